"""The solver "lbfgs": SciPy's L-BFGS-B, which scikit-learn brings, over the loss and gradient of all samples at once.

SciPy's, because its line search and its tests of convergence are what ``max_iter``, ``max_fun`` and ``tol`` mean there.
The loss and gradient are a recorded step. It is computed in float64, as the weights come from SciPy.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from nnkit import nn, optim
from nnkit.recording.compiled import enabled
from nnkit.sklearn.descent import NOT_FINITE, NonFiniteWeights, objective_of
from nnkit.sklearn.losses import PenalizedObjective
from nnkit.sklearn.validation import Samples
from nnkit.tensors.creation import as_tensor
from nnkit.training.batches import ArraySource, Batch
from nnkit.training.modes import training
from nnkit.training.replay import runner_of
from nnkit.training.steps import Totals

__all__ = ["minimize_loss"]


class GradientStep:
    """A step that leaves the gradients of a batch in their places, and changes no weight."""

    def __init__(self, model: nn.Module, objective: PenalizedObjective) -> None:
        self.model, self.objective = model, objective
        self.totals = Totals([], objective)
        self._parameters = list(model.parameters())

    def __call__(self, batch: Batch) -> None:
        for parameter in self._parameters:
            parameter.forget_grad()
        prediction = self.model(batch.x)
        loss = self.objective(prediction, batch)
        self.totals.add(prediction, batch, loss)
        loss.value.backward()


class WholeLoss:
    """The loss of all samples and its gradient, as a function of the weights in a row (float64); recorded."""

    def __init__(self, module: nn.Module, objective: PenalizedObjective, source: ArraySource) -> None:
        self._step = GradientStep(module, objective)
        self._arena = optim.Arena(module.parameters())  # one block, for all are of one type on one device
        self._block = self._arena.blocks()[0]
        places = [(entry.offset, entry.offset + math.prod(entry.shape)) for entry in self._arena.table()]
        self._places = np.concatenate([np.arange(start, stop) for start, stop in places])
        self._runner = runner_of(self._step, source, enabled())

    def weights(self) -> np.ndarray:
        """The weights in a row."""
        return np.array(self._block.backend.download(self._block.values)[self._places], np.float64)

    def put(self, weights: np.ndarray) -> None:
        """Let the module have these weights."""
        whole = np.zeros(self._block.values.shape, self._block.dtype)
        whole[self._places] = weights
        self._block.backend.upload(whole, self._block.values)

    def __call__(self, weights: np.ndarray) -> tuple[float, np.ndarray]:
        self.put(weights)
        self._step.totals.reset()
        self._runner.begin(0)
        while self._runner.ready():
            self._runner.run(1)
        gradient = self._block.backend.download(self._block.gradients)[self._places]
        return self._step.totals.read().values["loss"], np.array(gradient, np.float64)


def minimize_loss(estimator: Any, train: Samples) -> None:
    """Let ``estimator.module_`` have the weights of the smallest loss that SciPy finds; sets n_iter_ and loss_.

    Warns where it did not converge. Raises NonFiniteWeights where the weights are not finite.
    """
    module: nn.Sequential = estimator.module_
    device = module[-1].weight.device
    dense = train.X.toarray() if hasattr(train.X, "toarray") else train.X
    arrays = [dense, train.y, *([] if train.weight is None else [train.weight])]
    source = ArraySource(Batch(*(as_tensor(array, device=device) for array in arrays)), len(dense))
    whole = WholeLoss(module, objective_of(estimator), source)
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
