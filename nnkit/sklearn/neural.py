"""Any Module as an estimator: what the three of them share, from building the module to its outputs.

Words are skorch's where it has one: ``module``, ``module__width``, ``criterion``, ``optimizer``, ``lr``.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple, Self

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from nnkit import nn, optim, training
from nnkit.nn import losses
from nnkit.parallel import MPI
from nnkit.sklearn.losses import takes_labels
from nnkit.sklearn.parameters import ParameterError, Rule, check_parameters, flag, integer, number
from nnkit.sklearn.prefixed import Prefixed, accepts, options, refuse_strange
from nnkit.sklearn.prepared import picked_up
from nnkit.sklearn.processes import generator_of, processes_of
from nnkit.sklearn.turns import taking_turns
from nnkit.sklearn.validation import Samples, split
from nnkit.tensors import random
from nnkit.training.home import home
from nnkit.training.ranked import alone

__all__ = ["Job", "Neural"]

RULES: dict[str, Rule] = {
    "lr": number(0.0, open_left=True),
    "max_epochs": integer(1),
    "batch_size": integer(1),
    "shuffle": flag(),
    "warm_start": flag(),
}


class Job(NamedTuple):
    """A training that is about to begin."""

    samples: Samples
    held: Samples | None
    stream: random.Generator | None
    epochs: int
    batch_size: int


class Neural(Prefixed):
    """The base of NeuralClassifier, NeuralRegressor and NeuralTransformer."""

    module: Any
    criterion: Any
    optimizer: Any
    lr: float
    max_epochs: int
    batch_size: int
    train_split: Any
    shuffle: bool
    callbacks: Any
    metrics: Any
    warm_start: bool
    random_state: Any
    verbose: Any
    device: Any
    precision: Any
    parallel: Any

    # ---- what subclasses say ------------------------------------------------------------------------------

    def _encoded(self, X: Any, y: Any, reset: bool) -> Samples:
        """X and y checked, y as the loss takes it."""
        raise NotImplementedError

    def _out_features(self) -> int | None:
        """How many outputs a module should have that asks for them."""
        raise NotImplementedError

    def _weights(self, given: Any) -> np.ndarray | None:
        """Weights by class."""
        return None

    # ---- fitting ------------------------------------------------------------------------------------------

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, own: tuple[Any, Any, Any] | None, epochs: int, reset: bool
    ) -> Self:
        """Train for ``epochs``; ``own`` is the caller's validation data; ``reset`` builds the module anew."""
        if reset and sample_weight is None and own is None and picked_up(self, X, y):
            return self
        mpi = processes_of(self)
        with alone(mpi):
            job = self._prepare(X, y, sample_weight, own, epochs, reset, mpi)
            with random.using(job.stream), taking_turns(home(self.module_)[0]):
                self.history_ = training.fit(
                    self.module_,
                    job.samples.X,
                    job.samples.y,
                    loss=self.criterion_,
                    optimizer=self.optimizer_,
                    epochs=job.epochs,
                    batch_size=job.batch_size,
                    validation_data=None if job.held is None else _parts(job.held),
                    metrics=list(self.metrics or ()),
                    callbacks=list(self.callbacks or ()),
                    sample_weight=job.samples.weight,
                    shuffle=self.shuffle,
                    verbose=self.verbose,
                    precision=self.precision,
                    parallel=mpi,
                )
        for callback in self.callbacks or ():  # what is kept of them should not hold the data
            vars(callback).pop("trainer", None)
            vars(callback).pop("model", None)
        self.n_iter_ = len(self.history_.epoch)
        return self

    def _prepare(
        self, X: Any, y: Any, sample_weight: Any, own: tuple[Any, Any, Any] | None, epochs: int, reset: bool,
        mpi: MPI | None = None,
    ) -> Job:  # fmt: skip
        """All that comes before the training: data checked, the module built."""
        self._refuse_unknown()
        check_parameters(self, RULES)
        first = reset or not hasattr(self, "module_")
        samples = self._weighed(self._encoded(X, y, first), sample_weight, by_class=True)
        stream = self._stream()
        with random.using(stream):
            if first:
                self._build(samples.X)
            samples = self._shaped(samples)
            held = None
            if own is not None:
                held = self._shaped(self._weighed(self._encoded(own[0], own[1], False), own[2]))
            elif self.train_split is not None:
                samples, held = self._split(samples, mpi)
        return Job(samples, held, stream, epochs, min(self.batch_size, len(samples.X)))

    def _stream(self) -> random.Generator | None:
        """What is drawn from: a stream of ``random_state``, where there is one; else None, for nnkit's."""
        if self.random_state is None:
            return None
        return random.Generator(int(check_random_state(self.random_state).randint(2**31)))

    def _build(self, X: np.ndarray) -> None:
        """Make the module, its loss and its optimizer."""
        self.module_ = self._module(X)
        if self.device is not None:
            self.module_.to(self.device)
        if X.dtype == np.float64 and not options(self, "module").get("dtype"):
            self.module_.double()
        self.criterion_ = self._criterion()
        make = self.optimizer
        if isinstance(make, str):
            optim.get(make, self.module_.parameters())  # an unknown name is named here
            make = optim.optimizers.OPTIMIZERS[make.lower()]
        self.optimizer_ = make(list(self.module_.parameters()), lr=self.lr, **options(self, "optimizer"))

    def _module(self, X: np.ndarray) -> nn.Module:
        """A new module: of a class or function, which may ask for in_features and out_features; or a copy of one."""
        given = options(self, "module")
        if isinstance(self.module, nn.Module):
            if given:
                raise ParameterError(
                    f"module__{next(iter(given))} is for a class, and module is an instance: give the class, "
                    f"module={type(self.module).__name__}"
                )
            return copy.deepcopy(self.module)
        if not callable(self.module):
            raise ParameterError(
                f"The 'module' parameter of {type(self).__name__} must be a Module, a class, or a function that makes "
                f"one. Got {self.module!r} instead."
            )
        refuse_strange(self.module, given, "module", ("in_features", "out_features"))
        for name, value in (("in_features", X.shape[-1]), ("out_features", self._out_features())):
            if value is not None and accepts(self.module, name):
                given.setdefault(name, value)
        made = self.module(**given)
        if not isinstance(made, nn.Module):
            raise ParameterError(f"module made a {type(made).__name__}; expected an nnkit Module")
        return made

    def _criterion(self) -> Any:
        given = options(self, "criterion")
        if isinstance(self.criterion, type):
            return self.criterion(**given)
        if given and isinstance(self.criterion, str):
            kind: Any = type(losses.get(self.criterion))
            return kind(**given)
        return losses.get(self.criterion)

    # ---- data ---------------------------------------------------------------------------------------------

    def _checked(self, X: Any, y: Any = "no_validation", reset: bool = True, **checks: Any) -> Any:
        """X of any rank, and y; whole numbers stay so, for embeddings."""
        return validate_data(self, X, y, reset=reset, allow_nd=True, **checks)

    def _weighed(self, samples: Samples, weight: Any, by_class: bool = False) -> Samples:
        """With weights, whose mean is 1: so the learning rate means the same with and without them."""
        if weight is not None:
            weight = _check_sample_weight(weight, samples.X)
        by_label = self._weights(samples.given) if by_class else None
        if by_label is not None:
            weight = by_label if weight is None else weight * by_label
        if weight is not None and weight.any():
            weight = weight / weight.mean()
        return Samples(samples.X, samples.y, weight, samples.given)

    def _shaped(self, samples: Samples) -> Samples:
        """Targets (n,) as (n, 1) where the module puts out a column."""
        if samples.y.ndim != 1 or takes_labels(self.criterion_):
            return samples
        column = self._raw(samples.X[:1]).ndim == 2
        return Samples(samples.X, samples.y.reshape(-1, 1) if column else samples.y, samples.weight, samples.given)

    def _split(self, samples: Samples, mpi: MPI | None = None) -> tuple[Samples, Samples]:
        share = self.train_split
        settings = _Split(share) if hasattr(share, "split") else _Split(None, share)
        generator = generator_of(self, mpi)
        return split(samples, settings, generator, self._stratify(samples))

    def _stratify(self, samples: Samples) -> np.ndarray | None:
        return None

    # ---- outputs ------------------------------------------------------------------------------------------

    def _outputs(self, X: Any) -> np.ndarray:
        """The module's outputs for X unchecked."""
        check_is_fitted(self, "module_")
        return self._raw(self._checked(X, reset=False))

    def _raw(self, X: np.ndarray) -> np.ndarray:
        return training.predict(self.module_, X, batch_size=max(1, min(4096, len(X))))

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "module_")


class _Split:
    """The settings of a split, for ``validation.split``."""

    def __init__(self, splitter: Any, share: float = 0.0) -> None:
        self.validation_splitter = splitter
        self.validation_fraction = share


def _parts(held: Samples) -> tuple[Any, ...]:
    return (held.X, held.y) if held.weight is None else (held.X, held.y, held.weight)
