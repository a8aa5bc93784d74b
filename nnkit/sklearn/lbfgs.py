"""The solver "lbfgs": SciPy's L-BFGS-B, which scikit-learn brings, over the loss and gradient of all samples at once.

SciPy's, because its line search and its tests of convergence are what ``max_iter``, ``max_fun`` and ``tol`` mean there.
The loss and gradient are a recorded step. It is computed in float64, as the weights come from SciPy.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from nnkit import compiled, nn, ops
from nnkit.creation import as_tensor
from nnkit.sklearn.descent import NOT_FINITE, NonFiniteWeights, objective_of
from nnkit.sklearn.losses import PenalizedObjective
from nnkit.sklearn.validation import Samples
from nnkit.tape import no_grad
from nnkit.tensor import Tensor
from nnkit.training.batches import Batch
from nnkit.training.modes import training

__all__ = ["minimize_loss"]


class WholeLoss:
    """The loss of all samples and its gradient, as a function of the weights in a row (float64)."""

    def __init__(self, module: nn.Module, objective: PenalizedObjective, batch: Batch) -> None:
        self._module, self._objective, self._batch = module, objective, batch
        self._parameters = list(module.parameters())
        self._step = compiled.compile(self._loss_and_gradient)

    def _loss_and_gradient(self) -> Tensor:
        """One row: the loss that is shown, then the gradient."""
        for parameter in self._parameters:
            parameter.forget_grad()
        loss = self._objective(self._module(self._batch.x), self._batch)
        loss.value.backward()
        shown = loss.value.detach()
        if loss.total is not None:
            shown = loss.total.detach() / float(self._batch.rows)
            shown = shown if loss.penalty is None else shown + loss.penalty.detach()
        gradients = [parameter.grad.reshape(-1) for parameter in self._parameters if parameter.grad is not None]
        return ops.cat([shown.reshape(1), *gradients])

    def weights(self) -> np.ndarray:
        """The weights in a row."""
        return np.concatenate([p.detach().numpy().ravel() for p in self._parameters]).astype(np.float64)

    def put(self, weights: np.ndarray) -> None:
        """Let the module have these weights."""
        start = 0
        with no_grad():
            for parameter in self._parameters:
                part = weights[start : start + parameter.numel()].reshape(parameter.shape)
                parameter.copy_(as_tensor(part, device=parameter.device))
                start += parameter.numel()

    def __call__(self, weights: np.ndarray) -> tuple[float, np.ndarray]:
        self.put(weights)
        row = self._step().numpy()
        return float(row[0]), np.array(row[1:], np.float64)


def minimize_loss(estimator: Any, train: Samples) -> None:
    """Let ``estimator.module_`` have the weights of the smallest loss that SciPy finds; sets n_iter_ and loss_.

    Warns where it did not converge. Raises NonFiniteWeights where the weights are not finite.
    """
    module: nn.Sequential = estimator.module_
    device = module[-1].weight.device
    dense = train.X.toarray() if hasattr(train.X, "toarray") else train.X
    arrays = [dense, train.y, *([] if train.weight is None else [train.weight])]
    batch = Batch(*(as_tensor(array, device=device) for array in arrays))
    whole = WholeLoss(module, objective_of(estimator), batch)
    options = {"maxfun": estimator.max_fun, "maxiter": estimator.max_iter, "gtol": estimator.tol}
    with training(module), np.errstate(all="ignore"):
        found = minimize(_told(whole, estimator.verbose), whole.weights(), method="L-BFGS-B", jac=True, options=options)
    whole.put(found.x)
    estimator.n_iter_, estimator.loss_ = min(int(found.nit), estimator.max_iter), float(found.fun)
    if not np.isfinite(found.x).all():
        raise NonFiniteWeights(NOT_FINITE)
    if found.status != 0:
        warnings.warn(
            f"lbfgs failed to converge after {estimator.n_iter_} iteration(s) (status={found.status}): "
            f"{found.message}. Raise max_iter={estimator.max_iter} or max_fun={estimator.max_fun}, or scale the data",
            ConvergenceWarning,
            stacklevel=5,
        )


def _told(whole: WholeLoss, verbose: Any) -> Any:
    """The function, which prints a line for each evaluation where that is asked for."""
    if not verbose:
        return whole
    count = 0

    def function(weights: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal count
        value, gradient = whole(weights)
        count += 1
        print(f"Evaluation {count}, loss = {value:.8f}, largest slope = {np.abs(gradient).max():.8f}")
        return value, gradient

    return function
