"""The perceptron that learns numbers."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import column_or_1d, validate_data

from nnkit.parallel import MPI
from nnkit.sklearn.losses import loss_of
from nnkit.sklearn.multilayer import FLOATS, SPARSE, Perceptron, stochastic
from nnkit.sklearn.parameters import ParameterError
from nnkit.sklearn.validation import Samples

__all__ = ["MLPRegressor"]


class MLPRegressor(RegressorMixin, Perceptron):
    """A multi-layer perceptron that learns numbers, with the parameters and numbers of scikit-learn's MLPRegressor.

    Arguments and attributes are those of :class:`MLPClassifier`, without classes; ``early_stopping`` goes by R².

    Args:
        loss: "squared_error" (half of it; of several outputs the sum is descended and the mean shown), "poisson" (half
            the deviance, with exp at the output; y from 0), or a loss of nnkit by name ("huber", "mae"), a Module or a
            function (outputs, targets) -> scalar Tensor. It is the first argument, as in scikit-learn.

    Raises what :class:`MLPClassifier` raises, UnknownNameError for a solver that there is not. Source:
    ``sklearn.neural_network.MLPRegressor``.

    >>> import numpy as np
    >>> X = np.linspace(-1, 1, 40).reshape(-1, 1)
    >>> model = MLPRegressor(hidden_layer_sizes=(8,), learning_rate_init=0.05, tol=1e-5, random_state=0)
    >>> model.fit(X, X[:, 0] ** 2).score(X, X[:, 0] ** 2) > 0.9
    True
    """

    def __init__(
        self,
        loss: Any = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: Any = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        dropout: Any = 0.0,
        batch_norm: bool = False,
        solver_params: Any = None,
        validation_splitter: Any = None,
        scoring: Any = None,
        metrics: Any = None,
        callbacks: Any = None,
        device: str | None = None,
        precision: str | None = None,
        parallel: str | MPI | None = None,
    ) -> None:
        self._set(locals())

    def _encoded(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, np.ndarray, Any]:
        X, y = validate_data(
            self, X, y, accept_sparse=SPARSE, multi_output=True, y_numeric=True, dtype=FLOATS, reset=reset
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if self.loss == "poisson" and (y < 0).any():
            raise ValueError(f"loss='poisson' is for counts: y must be at least 0, and holds {y.min():g}")
        targets = y.reshape(len(y), -1)
        self.n_outputs_ = targets.shape[1]
        return X, targets, y

    def _check(self) -> None:
        super()._check()
        if not isinstance(self.loss, str) and not callable(self.loss):
            raise ParameterError(
                "The 'loss' parameter of MLPRegressor, the first one, must be a name, a Module or a function. Got "
                f"{self.loss!r} instead: write hidden_layer_sizes={self.loss!r}"
            )

    def _loss_function(self) -> Any:
        return loss_of(self.loss)

    def _out_activation(self) -> str:
        return "exp" if self.loss == "poisson" else "identity"

    def _score(self, held: Samples) -> float:
        """R². NaN where the outputs are not finite."""
        outputs = self._activated(self._raw(held.X))
        return r_squared(held.y, outputs, held.weight) if np.isfinite(outputs).all() else float("nan")

    def _activated(self, outputs: np.ndarray) -> np.ndarray:
        return np.exp(outputs) if self.out_activation_ == "exp" else outputs

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, X_val: Any = None, y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:  # fmt: skip
        """Fit to ``X`` (n_samples, n_features), dense or sparse, and ``y`` (n_samples,) or (n_samples, n_outputs).

        ``sample_weight`` (n_samples,). With ``X_val``, ``y_val`` early stopping looks at these samples; without
        ``early_stopping`` their loss and metrics are noted in ``history_``.
        """
        own = None if X_val is None else (X_val, y_val, sample_weight_val)
        return self._fit(X, y, sample_weight, own)

    @stochastic
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """One epoch over these samples."""
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any) -> np.ndarray:
        """The values (n_samples,) or (n_samples, n_outputs) for ``X`` (n_samples, n_features)."""
        outputs = self._activated(self._outputs(X))
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs


def r_squared(y: np.ndarray, outputs: np.ndarray, weight: np.ndarray | None) -> float:
    """scikit-learn's ``r2_score`` of (n, k) without its checks, which take longer than small nets do.

    The mean over the outputs; of constant targets 1 where they are met, else 0.

    >>> r_squared(np.array([[1.0], [2.0], [3.0]]), np.array([[1.0], [2.0], [4.0]]), None)
    0.5
    """
    y, weights = y.astype(np.float64), np.ones((len(y), 1)) if weight is None else weight.reshape(-1, 1)
    left = (weights * (y - outputs) ** 2).sum(axis=0)
    whole = (weights * (y - np.average(y, axis=0, weights=weight)) ** 2).sum(axis=0)
    constant = whole == 0
    scores = np.where(constant, left == 0, 1.0 - left / np.where(constant, 1.0, whole))
    return float(scores.mean())
