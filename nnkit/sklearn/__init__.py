"""scikit-learn's vocabulary over nnkit: estimators for pipelines, grid search and cross-validation.

Importing this package imports scikit-learn (the extra ``sklearn``); nnkit itself never does.
"""

from nnkit.sklearn.classifier import MLPClassifier
from nnkit.sklearn.linear import LinearRegression
from nnkit.sklearn.neural_estimators import NeuralClassifier, NeuralRegressor, NeuralTransformer
from nnkit.sklearn.regressor import MLPRegressor

__all__ = [
    "LinearRegression", "MLPClassifier", "MLPRegressor", "NeuralClassifier", "NeuralRegressor", "NeuralTransformer",
]  # fmt: skip
