"""scikit-learn's descents, by its formulas, and the rates they follow; other optimizers by nnkit's names.

Its SGD keeps the rate inside the velocity, and its Adam has the paper's epsilon-hat: with a changing rate, or a large
epsilon, these are other numbers than PyTorch's. The formulas are those that Keras shares with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from nnkit import optim
from nnkit.errors import UnknownNameError
from nnkit.kernels import keras_updates, updates
from nnkit.kernels.vocabulary import Formula
from nnkit.tensors.tensor import Tensor

__all__ = ["Rate", "SOLVERS", "optimizer_of", "solver_names"]

#: scikit-learn's solvers.
SOLVERS = ("lbfgs", "sgd", "adam")
#: Below this an "adaptive" rate ends the training.
LEAST_RATE = 1e-6


class SGD(optim.Optimizer):
    """``v = momentum * v - rate * g; w += v``; with Nesterov's momentum ``w += momentum * v - rate * g``.

    >>> import nnkit
    >>> x = nnkit.tensor([3.0], requires_grad=True); optimizer = SGD([x], 0.25, 0.5, True)
    >>> (x * x).sum().backward(); optimizer.step(); x.tolist()
    [0.75]
    """

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float, nesterov: bool) -> None:
        options = {"momentum": momentum, "nesterov": nesterov, "rate_decay": 0.0, "weight_decay": 0.0}
        super().__init__(params, {"lr": lr, **options, "maximize": False})

    def formulas(self, options: Mapping[str, Any]) -> tuple[Formula, Formula]:
        if options["momentum"] == 0:
            return keras_updates.keras_plain_sgd_rates, updates.sgd
        update = keras_updates.keras_sgd_nesterov if options["nesterov"] else keras_updates.keras_sgd
        return keras_updates.keras_sgd_rates, update

    @property
    def learning_rate(self) -> float:
        """The present rate."""
        return float(self.param_groups[0]["lr"])


class Adam(optim.Optimizer):
    """Kingma and Ba, 2015, with their epsilon-hat: ``w -= rate sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + epsilon)``.

    >>> import nnkit
    >>> x = nnkit.tensor([3.0], requires_grad=True); optimizer = Adam([x], 0.5, (0.9, 0.999), 1e-8)
    >>> (x * x).sum().backward(); optimizer.step(); round(x.item(), 6)
    2.5
    """

    def __init__(self, params: Iterable[Tensor], lr: float, betas: tuple[float, float], eps: float) -> None:
        options = {"betas": betas, "eps": eps, "rate_decay": 0.0, "weight_decay": 0.0, "maximize": False}
        super().__init__(params, {"lr": lr, **options})

    def formulas(self, options: Mapping[str, Any]) -> tuple[Formula, Formula]:
        return keras_updates.keras_adam_rates, updates.adam


def solver_names() -> list[str]:
    """All solvers by name: scikit-learn's and nnkit's."""
    return [*SOLVERS, *sorted(set(optim.optimizers.OPTIMIZERS) - set(SOLVERS))]


def optimizer_of(settings: Any, parameters: list[Tensor]) -> optim.Optimizer:
    """The optimizer that an estimator's settings name, for ``parameters``.

    ``solver`` is a name, or a function (parameters, lr=...) -> Optimizer; ``solver_params`` are its further options.
    Raises UnknownNameError, and TypeError for options that it does not have.
    """
    solver, rate, more = settings.solver, settings.learning_rate_init, dict(settings.solver_params or {})
    if solver in ("sgd", "adam") and more:
        raise TypeError(
            f"solver_params are for nnkit's optimizers; solver={solver!r} has its own parameters: "
            + ("momentum, nesterovs_momentum" if solver == "sgd" else "beta_1, beta_2, epsilon")
        )
    if solver == "sgd":
        return SGD(parameters, rate, settings.momentum, settings.nesterovs_momentum)
    if solver == "adam":
        return Adam(parameters, rate, (settings.beta_1, settings.beta_2), settings.epsilon)
    make: Callable[..., optim.Optimizer] = solver
    if not callable(solver):
        if solver not in optim.optimizers.OPTIMIZERS:
            raise UnknownNameError("solver", solver, solver_names())
        make = optim.optimizers.OPTIMIZERS[solver]
    return make(parameters, lr=rate, **more)


class Rate:
    """How the learning rate changes between epochs: "constant", "invscaling" or "adaptive".

    As in scikit-learn "adam" keeps its rate whatever the name.
    """

    def __init__(self, optimizer: optim.Optimizer, settings: Any) -> None:
        self.kind = "constant" if settings.solver == "adam" else settings.learning_rate
        self._optimizer = optimizer
        self._first, self._power = float(settings.learning_rate_init), settings.power_t

    @property
    def now(self) -> float:
        """The present rate."""
        return float(self._optimizer.param_groups[0]["lr"])

    def _set(self, rate: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = rate

    def after_epoch(self, samples: int) -> None:
        """``samples`` were trained on so far, in all epochs."""
        if self.kind == "invscaling":
            self._set(self._first / (samples + 1) ** self._power)

    def ends(self, message: str, verbose: Any) -> bool:
        """There was no improvement, ``message`` says: whether the training ends; else the rate is a fifth now."""
        ends = self.kind != "adaptive" or self.now <= LEAST_RATE
        if not ends:
            self._set(self.now / 5.0)
        if verbose:
            small = " Learning rate too small." if ends and self.kind == "adaptive" else ""
            print(message + (small + " Stopping." if ends else f" Setting learning rate to {self.now:f}"))
        return ends
