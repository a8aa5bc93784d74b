"""Linear regression by gradient descent, as an estimator with ``fit`` and ``predict``."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from nnkit import nn, optim, training

__all__ = ["LinearRegression"]


class LinearRegression(RegressorMixin, BaseEstimator):
    """``X @ coef_ + intercept_``, with the weights that full-batch gradient descent finds for the mean squared error.

    The descent starts from zeros and makes ``epochs`` steps. Scale the columns of ``X`` first: where some are of much
    larger numbers than others, no rate suits all of them.

    Args:
        learning_rate: the size of a step; one too large makes the loss diverge, a DivergenceError. "auto" is one over
            the largest curvature of the loss, which never does.
        epochs: the number of steps.
        device: where to train: "cpu", "cuda", …; None for nnkit's default device.

    Attributes:
        coef_: (n_features,); intercept_: a number.
        loss_curve_: the mean squared error before each step.
        n_iter_: the number of steps made.

    X is (n, features), of any dtype of numbers. Raises DivergenceError, and as scikit-learn does ValueError for
    data that do not fit, NotFittedError before ``fit``. Source: ``sklearn.linear_model.LinearRegression``.

    >>> import numpy as np
    >>> X, y = np.array([[-1.0], [0.0], [1.0]]), np.array([1.0, 3.0, 5.0])
    >>> model = LinearRegression(learning_rate=0.1).fit(X, y)
    >>> model.coef_.round(6), round(model.intercept_, 6)
    (array([2.]), 3.0)
    """

    def __init__(self, learning_rate: float | str = "auto", epochs: int = 1000, device: str | None = None) -> None:
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.device = device

    def fit(self, X: Any, y: Any) -> Self:
        """Fit to ``X`` (n_samples, n_features) and ``y`` (n_samples,)."""
        X, y = validate_data(self, X, y, y_numeric=True, dtype=[np.float64, np.float32])
        self.module_ = nn.Linear(X.shape[1], 1, device=self.device, dtype=X.dtype)
        for parameter in self.module_.parameters():
            nn.init.zeros_(parameter)
        record = training.fit(
            self.module_,
            X,
            y.reshape(-1, 1),
            loss="mse",
            optimizer=optim.SGD(self.module_.parameters(), lr=self._rate(X)),
            epochs=self.epochs,
            batch_size=len(X),
            shuffle=False,
            verbose=0,
        )
        weight, bias = (np.array(parameter.detach().numpy()) for parameter in self.module_.parameters())
        self.coef_: np.ndarray = weight[0]
        self.intercept_: float = float(bias[0])
        self.loss_curve_: list[float] = record.history["loss"]
        self.n_iter_: int = len(self.loss_curve_)
        return self

    def _rate(self, X: np.ndarray) -> float:
        if self.learning_rate != "auto":
            return float(self.learning_rate)
        columns = np.column_stack([X, np.ones(len(X))]).astype(np.float64)
        return float(1.0 / np.linalg.eigvalsh(2.0 / len(X) * columns.T @ columns).max())

    def predict(self, X: Any) -> np.ndarray:
        """The values (n_samples,) for ``X`` (n_samples, n_features)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        return training.predict(self.module_, X, batch_size=len(X))[:, 0]
