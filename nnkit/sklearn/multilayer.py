"""What the two perceptrons share: parameters, the way from ``fit`` to a solver and back, and prediction."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from types import MethodType
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from nnkit import training
from nnkit.errors import NnkitError
from nnkit.parallel import MPI
from nnkit.sklearn import network
from nnkit.sklearn.descent import descend
from nnkit.sklearn.lbfgs import minimize_loss
from nnkit.sklearn.losses import takes_labels
from nnkit.sklearn.optimizers import solver_names
from nnkit.sklearn.orders import dense_chunks
from nnkit.sklearn.parameters import Rule, check_parameters, each, flag, integer, known, name_or, number
from nnkit.sklearn.processes import generator_of, processes_of
from nnkit.sklearn.turns import taking_turns
from nnkit.sklearn.validation import Samples, split
from nnkit.training.ranked import alone, quiet

__all__ = ["FLOATS", "SPARSE", "Perceptron", "stochastic"]

FLOATS = [np.float64, np.float32]
SPARSE = ["csr", "csc"]

#: What each parameter may be; names of losses, activations and solvers are looked up where they are used.
RULES: dict[str, Rule] = {
    "alpha": number(0.0),
    "batch_size": integer(1, "auto"),
    "learning_rate": name_or(("constant", "invscaling", "adaptive")),
    "learning_rate_init": number(0.0, open_left=True),
    "power_t": number(0.0),
    "max_iter": integer(1),
    "shuffle": flag(),
    "tol": number(0.0),
    "verbose": flag(lambda value: isinstance(value, int) and value >= 0, " or an integer of at least 0"),
    "warm_start": flag(),
    "momentum": number(0.0, 1.0),
    "nesterovs_momentum": flag(),
    "early_stopping": flag(),
    "validation_fraction": number(0.0, 1.0, open_right=True),
    "beta_1": number(0.0, 1.0, open_right=True),
    "beta_2": number(0.0, 1.0, open_right=True),
    "epsilon": number(0.0, open_left=True),
    "n_iter_no_change": integer(1, math.inf),
    "max_fun": integer(1),
    "batch_norm": flag(),
    "dropout": each(number(0.0, 1.0, open_right=True)),
    "precision": name_or(("bfloat16", "float16"), lambda value: value is None, " or None"),
}


class Perceptron(BaseEstimator):
    """The base of MLPClassifier and MLPRegressor, which say what targets, losses and scores are.

    A subclass names its parameters in ``__init__`` and hands all of them to ``_set``.
    """

    activation: Any
    batch_size: Any
    dropout: Any
    early_stopping: bool
    max_iter: int
    n_outputs_: int
    random_state: Any
    solver: Any
    warm_start: bool

    def _set(self, parameters: Mapping[str, Any]) -> None:
        """Keep the constructor's arguments, as they are."""
        for name, value in parameters.items():
            if name not in ("self", "__class__"):
                setattr(self, name, value)

    # ---- what subclasses say ------------------------------------------------------------------------------

    def _encoded(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, np.ndarray, Any]:
        """X and y checked: X, targets as numbers (n, outputs) or labels (n,), and y as it is scored."""
        raise NotImplementedError

    def _loss_function(self) -> Any:
        raise NotImplementedError

    def _out_activation(self) -> str:
        raise NotImplementedError

    def _score(self, held: Samples) -> float:
        raise NotImplementedError

    def _class_weights(self, y: Any, incremental: bool) -> np.ndarray | None:
        return None

    def _stratify(self, y: np.ndarray) -> np.ndarray | None:
        return None

    # ---- fitting ------------------------------------------------------------------------------------------

    def _check(self) -> None:
        check_parameters(self, RULES)
        known("solver", self.solver, solver_names())
        if self.solver == "lbfgs" and self.dropout:
            raise ValueError(
                "solver='lbfgs' needs the same loss for the same weights: use dropout with 'sgd' or 'adam'"
            )

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, held: tuple[Any, Any, Any] | None = None, incremental: bool = False
    ) -> Self:
        """Train; ``held`` is the caller's own validation data, ``incremental`` makes it one epoch."""
        self._check()
        first = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
        X, targets, given = self._encoded(X, y, incremental, reset=first)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        weight = _product(sample_weight, self._class_weights(given, incremental))
        mpi = processes_of(self)
        if mpi is not None and self.solver == "lbfgs":
            raise ValueError("solver='lbfgs' looks at all samples at once: with parallel use 'sgd' or 'adam'")
        with alone(mpi), quiet(mpi):
            generator = generator_of(self, mpi)
            if first:
                self._initialize(X, targets, generator)
            else:
                self._synchronize()
            samples = self._of_module(Samples(X, targets, weight, given))
            with taking_turns(self.module_[-1].weight.device):
                if self.solver == "lbfgs":
                    minimize_loss(self, samples)
                else:
                    self._descend(samples, held, generator, incremental, mpi)
        self._link()
        return self

    def _initialize(self, X: Any, targets: np.ndarray, generator: np.random.RandomState) -> None:
        """Draw the weights, and begin all that is counted."""
        self.n_iter_, self.t_ = 0, 0
        self.out_activation_ = self._out_activation()
        self.n_layers_ = len(network.hidden_sizes(self)) + 2
        dtype = np.float64 if self.solver == "lbfgs" else X.dtype
        self.module_ = network.build(self, X.shape[1], self.n_outputs_, dtype)
        network.draw(self.module_, self, generator)
        self._link()
        self.__dict__.pop("_optimizer", None)
        if self.solver == "lbfgs":
            return
        self.loss_curve_: list[float] = []
        self._no_improvement_count = 0
        self.best_loss_: float | None = math.inf
        self.validation_scores_: list[float] | None = None
        self.best_validation_score_: float | None = None

    def _descend(
        self, samples: Samples, own: Any, generator: np.random.RandomState, incremental: bool, mpi: MPI | None
    ) -> None:
        held = None if own is None else self._held(*own)
        if self.early_stopping and held is None:
            samples, held = split(samples, self, generator, self._stratify(samples.y))
        if self.early_stopping and self.validation_scores_ is None:
            self.best_loss_, self.validation_scores_, self.best_validation_score_ = None, [], -math.inf
        if not incremental:
            self.__dict__.pop("_optimizer", None)
        rule, self.history_ = descend(self, samples, held, generator, 1 if incremental else self.max_iter, mpi)
        if not incremental and not rule.converged and self.n_iter_ == self.max_iter and rule.diverged is None:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization hasn't "
                "converged yet: raise max_iter",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _held(self, X: Any, y: Any, weight: Any) -> Samples:
        """The caller's own validation data."""
        X, targets, given = self._encoded(X, y, True, reset=False)
        weight = None if weight is None else _check_sample_weight(weight, X)
        return self._of_module(Samples(X, targets, weight, given))

    def _of_module(self, samples: Samples) -> Samples:
        """The samples in the types of the network."""
        dtype = self.module_[-1].weight.dtype
        y = samples.y if takes_labels(self._loss_function()) else samples.y.astype(dtype, copy=False)
        weight = None if samples.weight is None else samples.weight.astype(dtype, copy=False)
        return Samples(samples.X.astype(dtype, copy=False), y, weight, samples.given)

    # ---- the weights, as the module has them and as ``coefs_`` shows them -------------------------------------

    def _link(self) -> None:
        """Let ``coefs_`` and ``intercepts_`` show the module's weights: on a CPU they are its memory."""
        self.coefs_, self.intercepts_ = network.shown(self.module_)
        self._seen = [*self.coefs_, *self.intercepts_]

    def _synchronize(self) -> None:
        """Let the module have what was put into ``coefs_`` and ``intercepts_`` instead of what they showed."""
        if not hasattr(self, "module_"):
            self.n_outputs_ = self.coefs_[-1].shape[1]
            dtype = np.asarray(self.coefs_[0]).dtype
            self.module_ = network.build(self, self.coefs_[0].shape[0], self.n_outputs_, dtype)
            self._seen = []
        present = [*self.coefs_, *self.intercepts_]
        if len(present) == len(self._seen) and all(a is b for a, b in zip(present, self._seen, strict=True)):
            return
        for layer, coef, intercept in zip(network.linears(self.module_), self.coefs_, self.intercepts_, strict=True):
            network.load(layer, coef, intercept)
        self._seen = present

    def __getstate__(self) -> dict[str, Any]:
        if "module_" in vars(self):
            self._synchronize()
        state = dict(super().__getstate__())
        if "module_" in state:
            for name in ("coefs_", "intercepts_", "_seen"):
                state.pop(name, None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "module_" in vars(self):
            self._link()

    # ---- prediction ---------------------------------------------------------------------------------------

    def _outputs(self, X: Any) -> np.ndarray:
        """What the last layer puts out (n_samples, n_outputs), before ``out_activation_``, for X unchecked."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, accept_sparse=SPARSE)
        return self._raw(X)

    def _raw(self, X: Any) -> np.ndarray:
        """The same for X checked; in the wider of its type and the network's."""
        self._synchronize()
        dtype = self.module_[-1].weight.dtype
        wider = np.result_type(X.dtype, dtype)
        parts = [
            training.predict(self.module_, chunk.astype(dtype, copy=False), batch_size=max(1, min(4096, len(chunk))))
            for chunk in dense_chunks(X)
        ]
        return (parts[0] if len(parts) == 1 else np.concatenate(parts)).astype(wider, copy=False)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "coefs_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class PartialFitUnavailable(NnkitError, AttributeError, ValueError):
    """There is no ``partial_fit`` with these settings: ``hasattr`` says so, and calling it tells why."""


class stochastic:
    """Decorates a method that is there for stochastic solvers without early stopping."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.__doc__ = function.__doc__
        self.__wrapped__ = function

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self.__wrapped__
        if instance.solver == "lbfgs":
            raise PartialFitUnavailable(
                "partial_fit is only available for stochastic optimizers. lbfgs is not stochastic."
            )
        if instance.early_stopping:
            raise PartialFitUnavailable("partial_fit does not support early_stopping=True")
        return MethodType(self.__wrapped__, instance)


def _product(one: np.ndarray | None, other: np.ndarray | None) -> np.ndarray | None:
    """Both weights together; None stands for ones."""
    return other if one is None else one if other is None else one * other
