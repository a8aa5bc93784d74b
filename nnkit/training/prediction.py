"""``predict``: a model's outputs for an array, in evaluation mode, by a recorded forward pass.

The first call checks its input and runs plainly. After that each thread records a program per shape of batch, with
input and output memory of its own; so threads do not wait for one another, and a single row costs little more than
its sums.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from nnkit import compiled
from nnkit.backends import Backend
from nnkit.backends.program import Input, Program
from nnkit.backends.recording import recording
from nnkit.errors import ShapeError
from nnkit.guards import Guards
from nnkit.nn.module import Module
from nnkit.observer.frames import observing
from nnkit.tensor import Tensor
from nnkit.training.modes import evaluating
from nnkit.training.moment import Moment
from nnkit.training.plainly import say_plain

__all__ = ["Predictor", "forward", "predictor_of", "recall"]

MAXIMUM_PROGRAMS = 8  # per thread


class Recorded(NamedTuple):
    """A forward pass of one shape: its program, and the arrays to write to and to read from."""

    program: Program  # kept, because ``replay`` may hold nothing but addresses
    replay: Callable[[], object]
    guards: Guards
    backend: Backend
    x: Any
    y: Any


class _Programs(threading.local):
    def __init__(self) -> None:
        self.by_shape: dict[Any, Recorded] = {}
        self.seen: set[Any] = set()


class Predictor:
    """A model's recorded forward passes; copies and pickles of the model begin without them."""

    def __init__(self) -> None:
        self._programs = _Programs()
        self.moment = Moment()  # of the model's weights
        self._impossible = not compiled.enabled()
        self._restless = 0  # recordings in a row that left something otherwise than they found it

    def __reduce__(self) -> tuple[type[Predictor], tuple[()]]:
        return Predictor, ()

    def __deepcopy__(self, memo: Any) -> Predictor:
        return Predictor()

    def run(self, x: np.ndarray) -> np.ndarray | None:
        """The outputs for a host array whose shape and type are known, else None."""
        found = self._programs.by_shape.get((x.shape, x.dtype))
        if found is None or not found.guards.hold():
            return None
        _, replay, guards, backend, static, y = found
        moment = self.moment
        try:
            moment.begin()
            backend.upload(x, static)
            replay()
            guards.leave()
            return backend.download(y)
        finally:
            moment.end()

    def forward(self, model: Module, x: Any, batch: Tensor) -> np.ndarray:
        """The outputs for a batch on the device, made of ``x``: recorded where the like of it came before."""
        key = (
            (x.shape, x.dtype) if type(x) is np.ndarray and x.shape == batch.shape and x.dtype == batch.dtype else None
        )
        if self._impossible or key is None or key not in self._programs.seen:
            self._programs.seen.add(key)
            with evaluating(model):
                return np.array(forward(model, batch).numpy())
        static = Tensor(batch.backend.duplicate(batch.array), batch.backend)
        work = batch.backend.recorder()
        work.inputs = [Input(batch.array, static.array)]
        with evaluating(model), recording(work), observing(work) as observer:
            y = forward(model, static)
        outputs = batch.backend.download(y.array)
        restless = observer.lasting() or work.restless()
        self._restless = self._restless + 1 if restless else 0
        if work.obstacles or self._restless >= compiled.PATIENCE:
            self._impossible = True
            say_plain(model, work.obstacles[0] if work.obstacles else str(restless))
        if work.obstacles or restless:
            return outputs
        programs = self._programs.by_shape
        if len(programs) >= MAXIMUM_PROGRAMS:
            programs.pop(next(iter(programs)))
        guards = Guards(work, observer, but=("training",))
        program = work.finish()
        programs[key] = Recorded(program, program.once(), guards, batch.backend, static.array, y.array)
        return outputs


def recall(model: Module, x: Any) -> np.ndarray | None:
    """The model's outputs for x by a recorded forward pass, where this thread has one that fits; else None."""
    found: Predictor | None = model.__dict__.get("_predictor")
    return found.run(x) if found is not None and type(x) is np.ndarray else None


def predictor_of(model: Module) -> Predictor:
    """The model's Predictor, made when it is first asked for."""
    found: Predictor | None = model.__dict__.get("_predictor")
    if found is None:
        found = model.__dict__["_predictor"] = Predictor()
    return found


def forward(model: Module, batch: Tensor) -> Tensor:
    """The model's output for a batch; raises TypeError or ShapeError unless it is one Tensor with a row per sample."""
    output = model(batch)
    if not isinstance(output, Tensor):
        raise TypeError(f"the model must return one Tensor, got {type(output).__name__}")
    if output.ndim == 0 or output.shape[0] != batch.shape[0]:
        raise ShapeError(
            f"the model returned shape {tuple(output.shape)} for {batch.shape[0]} samples; "
            "its first dimension must be the samples"
        )
    return output
