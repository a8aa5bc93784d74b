"""``compile``: record a step once, then replay it without Python.

The first call of a function runs plainly, so that whatever is made once (an optimizer's state) is made. After that, the
first call with given shapes records, and later ones copy their inputs into the recorded ones, replay, and copy the
outputs out. What the step relied on is checked before each replay (``guards``); where it changed, the step is
recorded anew. A step that reads a value on the host cannot be replayed: it runs plainly, after one warning with
file and line.
"""

from __future__ import annotations

import functools
import os
import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from nnkit.backends import Backend
from nnkit.backends.program import Program, ProgramRecorder
from nnkit.backends.recording import recorder, recording
from nnkit.errors import GraphError
from nnkit.guards import Guards
from nnkit.tape import is_grad_enabled
from nnkit.tensor import Tensor, resolve

F = TypeVar("F", bound=Callable[..., Any])
MAXIMUM_PROGRAMS = 16  # kept per function; the one not used for longest goes first
MAXIMUM_RECORDINGS = 64  # of one function; one that changes what it relies on every time runs plainly after that


class Stale(Exception):
    """A recorded program does not fit these values; the step has to be recorded anew."""


def enabled() -> bool:
    """Whether functions are recorded; NNKIT_COMPILE=0 in the environment runs everything plainly."""
    return os.environ.get("NNKIT_COMPILE", "1") != "0"


class Recorded:
    """A program with its inputs, its outputs and what it relies on."""

    def __init__(
        self, program: Program, guards: Guards, backend: Backend, inputs: list[Any], outputs: Callable[[], Any]
    ) -> None:
        self.program = program
        self.guards = guards
        self.backend = backend
        self.inputs = inputs
        self.outputs = outputs

    def replay(self, tensors: list[Tensor]) -> Any:
        """Run with other inputs of the same shapes; returns what the function returned, in memory of its own."""
        for static, tensor in zip(self.inputs, tensors, strict=True):
            self.backend.transfer(tensor.array, static)
        for check in self.program.checks:
            check()
        self.program.replay()
        self.guards.leave()
        return self.outputs()


class Compiled:
    """A function that is recorded; made by ``nnkit.compile``."""

    def __init__(self, function: Callable[..., Any], fullgraph: bool = False) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.fullgraph = fullgraph
        self.programs: OrderedDict[Any, Recorded] = OrderedDict()
        self._plain: set[Any] = set()
        self._recordings = 0
        self._warm = False
        self._enabled = enabled()

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Run the function: plainly, recording, or by replay."""
        if not self._enabled or recorder() is not None:
            return self.function(*args, **options)
        tensors: list[Tensor] = []
        key: Any = tuple([_key(value, tensors) for value in args])
        if options:
            key = (key, _key(options, tensors))
        if not is_grad_enabled():
            key = ("no_grad", key)
        if not self._warm or key in self._plain:
            self._warm = True
            return self.function(*args, **options)
        found = self.programs.get(key)
        if found is not None and found.guards.hold():
            try:
                result = found.replay(tensors)
            except Stale:
                pass
            else:
                self.programs.move_to_end(key)
                return result
        return self._record(key, args, options, tensors)

    def _record(self, key: Any, args: Any, options: Any, tensors: list[Tensor]) -> Any:
        """Run the function and keep its program, where it can have one."""
        self._recordings += 1
        backend = tensors[0].backend if tensors else resolve(None)
        if self._recordings > MAXIMUM_RECORDINGS:
            self._run_plainly_from_now(key, f"it was recorded {MAXIMUM_RECORDINGS} times and changes what it relies on")
            return self.function(*args, **options)
        inputs = [backend.duplicate(tensor.array) for tensor in tensors]
        statics = iter([Tensor(array, backend) for array in inputs])
        work = backend.recorder()
        work.inputs = inputs
        if self.fullgraph:
            work.refuse = lambda place: GraphError(_cannot(self.__name__, place))
        args, options = _rebuilt((args, options), statics)
        with recording(work):
            value = self.function(*args, **options)
        reason = self._why_not(work, value)
        if reason is not None:
            if self.fullgraph:
                raise GraphError(_cannot(self.__name__, reason))
            self._run_plainly_from_now(key, reason)
            return value
        if not work.settled:
            return value
        outputs = _copier(value, backend, work)
        self.programs[key] = Recorded(work.finish(), Guards(work), backend, inputs, outputs)
        if len(self.programs) > MAXIMUM_PROGRAMS:
            self.programs.popitem(last=False)
        return outputs()

    def _why_not(self, work: ProgramRecorder, value: Any) -> str | None:
        if work.obstacles:
            return work.obstacles[0]
        for tensor in _tensors_in(value):
            if tensor.node is not None and tensor.node.pullback is not None:
                return (
                    "it returns a tensor that is still on the tape: call backward inside, or run it under "
                    "nnkit.no_grad(), or return .detach()"
                )
        return None

    def _run_plainly_from_now(self, key: Any, reason: str) -> None:
        if not self._plain:
            warnings.warn(_cannot(self.__name__, reason) + "; it runs without recording", stacklevel=4)
        self._plain.add(key)


def compile(function: F | None = None, *, fullgraph: bool = False) -> Any:
    """Record a function of tensors on an early call, and replay it afterwards.

    ``function`` may be a training step, a forward pass, anything; Tensors among its arguments may differ from call
    to call, other arguments are part of what is recorded. ``fullgraph=True`` raises GraphError where the step
    cannot be replayed.

    >>> import nnkit
    >>> double = compile(lambda x: x * 2.0)
    >>> [double(nnkit.tensor([v])).item() for v in (1.0, 2.0, 3.0)]
    [2.0, 4.0, 6.0]
    """
    if function is None:
        return functools.partial(compile, fullgraph=fullgraph)
    return Compiled(function, fullgraph)


def _cannot(name: str, reason: str) -> str:
    return f"{name} cannot be replayed: {reason}"


# ---- arguments and results: nested tuples, lists and dicts with tensors in them ---------------------------------


def _is_input(value: Any) -> bool:
    return type(value) is Tensor and not value.requires_grad


def _key(value: Any, tensors: list[Tensor]) -> Any:
    """What of the arguments is recorded; the tensors that are inputs are collected."""
    if type(value) is Tensor and not value.requires_grad:
        tensors.append(value)
        return (value.array.shape, value.array.dtype, value.backend)
    if isinstance(value, (tuple, list)):
        return (type(value), *[_key(item, tensors) for item in value])
    if isinstance(value, dict):
        return (dict, *[(name, _key(item, tensors)) for name, item in value.items()])
    if isinstance(value, np.ndarray):
        raise TypeError("a compiled function takes Tensors, got a numpy array: make it one with nnkit.tensor(x)")
    if isinstance(value, (int, float, str, bool, bytes, type(None))):
        return (type(value), value)
    return (type(value), id(value))


def _rebuilt(value: Any, statics: Any) -> Any:
    """The arguments with the program's own inputs in place of the given ones."""
    if _is_input(value):
        return next(statics)
    if isinstance(value, (tuple, list)):
        items = [_rebuilt(item, statics) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, dict):
        return {name: _rebuilt(item, statics) for name, item in value.items()}
    return value


def _tensors_in(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, (tuple, list)):
        return [t for item in value for t in _tensors_in(item)]
    if isinstance(value, dict):
        return [t for item in value.values() for t in _tensors_in(item)]
    return []


def _copier(value: Any, backend: Backend, work: ProgramRecorder) -> Callable[[], Any]:
    """A function that makes the result anew: tensors the program made are copied, others are what they were."""
    if isinstance(value, Tensor):
        if id(value) in work.tensors:
            return lambda: value
        array = value.array
        return lambda: Tensor(backend.duplicate(array), backend)
    if isinstance(value, (tuple, list)):
        parts, kind = [_copier(item, backend, work) for item in value], type(value)
        if hasattr(value, "_fields"):
            return lambda: kind(*[part() for part in parts])
        return lambda: kind([part() for part in parts])
    if isinstance(value, dict):
        named = {name: _copier(item, backend, work) for name, item in value.items()}
        return lambda: {name: part() for name, part in named.items()}
    return lambda: value
