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

from nnkit.backends import Backend
from nnkit.backends.program import Input, Program
from nnkit.backends.recording import Stale, recording
from nnkit.errors import ShapeError
from nnkit.nn.module import Module
from nnkit.recording import compiled
from nnkit.recording.guards import Guards
from nnkit.recording.observer.frames import observing
from nnkit.tensors.tensor import Tensor
from nnkit.training.modes import evaluating
from nnkit.training.moment import Moment
from nnkit.training.plainly import say_plain
from nnkit.training.several import Several, each, parts_of

__all__ = ["Predictor", "forward", "predictor_of", "recall"]

MAXIMUM_PROGRAMS = 8  # per thread, unless a Predictor is told another
MAXIMUM_SEEN = 1000  # shapes that are remembered, to record them when they come again


class Recorded(NamedTuple):
    """A forward pass of one shape: its program, and the arrays to write to and to read from, or several of them."""

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
        self.maximum = MAXIMUM_PROGRAMS
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
        program, replay, guards, backend, static, y = found
        moment = self.moment
        try:
            moment.begin()
            backend.upload(x, static)
            for check in program.checks:
                check()
            replay()
            guards.leave()
            return backend.download(y)
        except Stale:  # these values want another program
            return None
        finally:
            moment.end()

    def run_several(self, x: Several) -> Any:
        """The outputs for host arrays side by side whose shapes and types are known, else None."""
        found = self._programs.by_shape.get(_key(x, x))
        if found is None or not found.guards.hold():
            return None
        backend = found.backend
        with self.moment.reading():
            for part, static in zip(x.parts, found.x, strict=True):
                backend.upload(part, static)
            try:
                for check in found.program.checks:
                    check()
            except Stale:
                return None
            found.replay()
            found.guards.leave()
            return each(found.y, backend.download)

    def forward(self, model: Module, x: Any, batch: Any) -> Any:
        """The outputs for a batch on the device, made of ``x``: recorded where the like of it came before."""
        key = _key(x, batch)
        if self._impossible or key is None or key not in self._programs.seen:
            if len(self._programs.seen) >= MAXIMUM_SEEN:  # whoever predicts with ever other shapes
                self._programs.seen.clear()
            self._programs.seen.add(key)
            with evaluating(model):
                return each(forward(model, batch), lambda part: np.array(part.numpy()))
        backend = batch.backend
        static = each(batch, lambda part: Tensor(backend.duplicate(part.array), backend))
        work = backend.recorder()
        pairs = zip(parts_of(batch), parts_of(static), strict=True)
        work.inputs = [Input(given.array, own.array) for given, own in pairs]
        with evaluating(model), recording(work), observing(work) as observer:
            y = forward(model, static)
        outputs = each(y, lambda part: backend.download(part.array))
        restless = observer.lasting() or work.restless()
        self._restless = self._restless + 1 if restless else 0
        if work.obstacles or self._restless >= compiled.PATIENCE:
            self._impossible = True
            say_plain(model, work.obstacles[0] if work.obstacles else str(restless))
        if work.obstacles or restless:
            return outputs
        programs = self._programs.by_shape
        if len(programs) >= self.maximum:
            programs.pop(next(iter(programs)))
        guards = Guards(work, observer, but=("training",))
        program = work.finish()
        ins = tuple(part.array for part in static.parts) if isinstance(static, Several) else static.array
        outs = each(y, lambda part: part.array)
        programs[key] = Recorded(program, program.once(), guards, backend, ins, outs)
        return outputs


def recall(model: Module, x: Any) -> Any:
    """The model's outputs for x by a recorded forward pass, where this thread has one that fits; else None."""
    found: Predictor | None = model.__dict__.get("_predictor")
    if found is None or type(x) is not np.ndarray:
        return found.run_several(x) if found is not None and isinstance(x, Several) else None
    return found.run(x)


def _key(x: Any, batch: Any) -> Any:
    """Shape and type of x, or of each of several; None where they are not those of the batch that was made of it."""
    if isinstance(x, Several):
        keys = tuple(map(_key, x.parts, parts_of(batch)))
        return None if None in keys else keys
    same = type(x) is np.ndarray and x.shape == batch.shape and x.dtype == batch.dtype
    return (x.shape, x.dtype) if same else None


def predictor_of(model: Module) -> Predictor:
    """The model's Predictor, made when it is first asked for."""
    found: Predictor | None = model.__dict__.get("_predictor")
    if found is None:
        found = model.__dict__["_predictor"] = Predictor()
    return found


def forward(model: Module, batch: Any) -> Any:
    """The model's output for a batch, or several; raises TypeError or ShapeError unless it has a row per sample."""
    output = model(batch)
    return each(output, lambda part: _checked(part, batch))


def _checked(output: Any, batch: Any) -> Tensor:
    if not isinstance(output, Tensor):
        raise TypeError(f"the model must return one Tensor, got {type(output).__name__}")
    if output.ndim == 0 or output.shape[0] != batch.shape[0]:
        raise ShapeError(
            f"the model returned shape {tuple(output.shape)} for {batch.shape[0]} samples; "
            "its first dimension must be the samples"
        )
    return output
