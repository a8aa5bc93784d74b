"""scikit-learn's vocabulary over nnkit: estimators for pipelines, grid search and cross-validation.

``MLPClassifier`` and ``MLPRegressor`` are scikit-learn's with more; ``NeuralClassifier``, ``NeuralRegressor`` and
``NeuralTransformer`` make an estimator of any Module. Importing this package imports scikit-learn (the extra
``sklearn``); nnkit itself never does.

From outside to inside: ``classifier``, ``regressor`` (targets, scores), ``multilayer`` (what both share), ``descent``
and ``lbfgs`` (the solvers), ``stopping``, ``validation``, ``orders``, ``optimizers``, ``losses``, ``network``.

Where the perceptrons differ from scikit-learn 1.9's:

- Sums are added in another order, so weights agree to rounding. "lbfgs" follows another path where rounding decides
  the line search: after some 100 iterations the weights are others, of about the same loss.
- A validation share of less than two samples is two where as many are left; there that is an error.
- There is no ``partial_fit`` with ``early_stopping``: ``hasattr`` says so, and calling it raises the same ValueError.
- A training whose loss turns NaN ends then; there it goes on to ``max_iter``, with the same error or weights.
- Probabilities by a sigmoid are never 0 or 1 itself. "poisson" refuses negative y, which there makes NaN.
- "lbfgs" prints lines of its own with ``verbose``. ``hidden_layer_sizes=()`` is a linear model.
- Sparse rows are made dense, batch by batch: a step takes as long as over dense ones.
- ``coefs_`` may be changed in place on a CPU, as there; of a GPU's weights they are copies: put new arrays into it.
"""

from nnkit.sklearn.classifier import MLPClassifier
from nnkit.sklearn.linear import LinearRegression
from nnkit.sklearn.neural_estimators import NeuralClassifier, NeuralRegressor, NeuralTransformer
from nnkit.sklearn.regressor import MLPRegressor

__all__ = [
    "LinearRegression", "MLPClassifier", "MLPRegressor", "NeuralClassifier", "NeuralRegressor", "NeuralTransformer",
]  # fmt: skip


def __dir__() -> list[str]:
    return sorted(__all__)
