"""Watching a model compute: which ops it called, on what, and what came out.

A run is watched at two heights. Python's profiling hook tells of every call, so that a call of an op that has a rule of
its own (``nnkit.onnx.rules``) is noted as a whole; what other functions ask of the backend is noted primitive by
primitive, as a recorded step is. Memory tells what depends on the inputs: a value that does and was made by neither is
an error, never a constant in the file.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, NamedTuple

import numpy as np

from nnkit.backends import Backend
from nnkit.backends.program import user_line
from nnkit.backends.recording import Instruction, arrays_in, paused, recording
from nnkit.nn.module import Module
from nnkit.onnx.errors import OnnxError
from nnkit.onnx.memory import Part, Region, Span, names_of, part_of, span_of, weights_of
from nnkit.onnx.rules import RULES
from nnkit.onnx.sizes import Ref
from nnkit.tensors.tensor import Tensor

#: Primitives that draw random numbers.
RANDOM = ("next_key", "random_bits", "uniform", "dropout")
#: What a primitive writes into where that is not ``out``.
WRITTEN = {"sort": ("values", "places")}
#: A primitive that has a rule -> the parameters that it writes into.
WRITES = {
    name: WRITTEN.get(name, ("out",)) for name in (r.removeprefix("primitive ") for r in RULES if "primitive " in r)
}
#: What functions of an op's inside may change in place: the argument of that name is what comes out.
IN_PLACE = {"setitem": "x"}


class Step(NamedTuple):
    """One call: the rule that says it in ONNX, what it was given and what it made, with Refs for arrays."""

    rule: str
    args: dict[str, Any]
    outs: list[Ref | None]
    where: str


class Watch:
    """Notes what one run does. It stands in the place of a recorder, and every array stays as long as itself."""

    def __init__(self, model: Module | None, backend: Backend, ops: Mapping[Any, str]) -> None:
        self.steps: list[Step] = []
        self.constants: list[np.ndarray] = []
        self.names: dict[int, str] = {}  # of constants that are parameters or buffers
        self.parts: dict[int, Part] = {}  # of constants that are views of some
        self.counts = {"input": 0, "value": 0}
        self.backend, self.ops = backend, ops
        self.failure: Exception | None = None
        self._values: dict[int, Ref] = {}
        self._spans: dict[int, Span] = {}  # of the arrays that depend on the inputs
        self._covered, self._held = Region(), Region()  # by arrays that depend on the inputs, and by constants
        self._stale: set[int] = set()
        self._fixed: dict[Any, Ref] = {}  # constants by where they lie
        self._kept: list[Any] = []
        self._paths = {id(part): name for name, part in model.named_modules()} if model is not None else {}
        self._own = names_of(model) if model is not None else {}
        self._weights = weights_of(model) if model is not None else []
        self._inside: list[str] = []
        self._claimed: FrameType | None = None
        self._pending: tuple[str, dict[str, Any]] | None = None
        self._changing: Any = None  # the tensor that the claimed call changes in place
        # What a recorder has beside this; nothing of it matters to a file.
        self.modules: dict[int, Any] = {}
        self.optimizers: dict[int, Any] = {}
        self.flags: dict[int, Any] = {}
        self.emptied: dict[int, Any] = {}
        self.born: dict[int, Any] = {}
        self.relied: dict[Any, Any] = {}
        self.observer = self.stream = None

    # ---- the run --------------------------------------------------------------------------------------------

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note what this thread does inside."""
        before = sys.getprofile()
        try:
            with recording(self):  # type: ignore[arg-type]
                sys.setprofile(self._told)
                yield
        finally:
            sys.setprofile(before)
            if self.failure is not None:  # also where the model's own code caught it
                raise self.failure

    def input(self, array: Any) -> Ref:
        """An array that comes from outside."""
        return self._define(array, "input")

    def _told(self, frame: FrameType, event: str, value: Any) -> None:
        if event == "call":
            if frame.f_code is MODULE_CALL:
                self._inside.append(self._place(frame.f_locals["self"]))
            elif self._claimed is None and (rule := self.ops.get(frame.f_code)) is not None:
                self._safely(self._called, rule, frame)
        elif event == "return":
            if frame is self._claimed:
                self._safely(self._returned, value)
            elif frame.f_code is MODULE_CALL:
                self._inside.pop()

    def _safely(self, function: Callable[..., None], *args: Any) -> None:
        try:
            function(*args)
        except Exception as error:
            self.failure = self.failure or error
            raise

    def _place(self, module: Any) -> str:
        return f"{self._paths.get(id(module), '') or 'the model'} ({type(module).__name__})"

    @property
    def where(self) -> str:
        """The module at work."""
        return self._inside[-1] if self._inside else "the model"

    # ---- ops ------------------------------------------------------------------------------------------------

    def _called(self, rule: str, frame: FrameType) -> None:
        names = frame.f_code.co_varnames[: _parameters(frame.f_code)]
        given = {name: frame.f_locals[name] for name in names}
        if not any(self._depends(array) for array in _arrays(given)):
            return  # of constants: what comes out is one
        if rule == "getitem" and _is_basic(given["index"]):
            return  # a view, which ``_slice`` notes
        self._pending = rule, {name: self._tree(value) for name, value in given.items()}
        self._changing = given[IN_PLACE[rule]] if rule in IN_PLACE else None
        self._claimed = frame

    def _returned(self, value: Any) -> None:
        assert self._pending is not None
        self._claimed, (rule, args) = None, self._pending
        outs: list[Ref | None]
        if rule in IN_PLACE:
            outs = [self._written(self._changing.array)]
        elif value is None:
            return  # it raised an error
        else:
            parts = value if isinstance(value, (tuple, list)) else (value,)
            if all(part is None or self._same(part, args) for part in parts):
                return  # what was given comes back
            outs = [None if part is None else self._define(part.array) for part in parts]
        self.steps.append(Step(rule, args, outs, self.where))

    def _same(self, part: Any, args: dict[str, Any]) -> bool:
        ref = self._values.get(id(part.array))
        return ref is not None and any(ref is one for one in args.values())

    # ---- what the backend tells -----------------------------------------------------------------------------

    def note(self, instruction: Instruction, arrays: list[Any], given: Any = ()) -> None:
        """A primitive has run."""
        name, (args, options) = instruction.name, given
        if name in RANDOM:
            raise self._failed(f"{self.where} draws random numbers, which a file cannot: export it in evaluation mode")
        if self._claimed is not None:
            return
        if name not in WRITES:
            if any(self._depends(array) for array in arrays):
                raise self._failed(
                    f"{self.where} computes {name!r} ({user_line()}), and nnkit.onnx has no rule for it: "
                    "write the model with other ops"
                )
            return
        named = _bound(name, self.backend, args, options)
        outs = [array for word in WRITES[name] for array in arrays_in([named.pop(word)])]
        if not any(self._depends(array) for array in (*arrays_in(list(named.values())), *outs)):
            for array in outs:
                self._forget(span_of(array))
            return
        refs = {word: self._tree(value) for word, value in named.items()}
        made: list[Ref | None] = [self._written(array) for array in outs]
        self.steps.append(Step(f"primitive {name}", refs, made, self.where))

    def allocate(self, shape: tuple[int, ...], dtype: Any, elsewhere: Sequence[Any] = ()) -> Any:
        """Memory like any other, which stays until the end: a kernel at work does not hold what it was given."""
        with paused():
            self._kept.append(self.backend.empty(shape, dtype))
        return self._kept[-1]

    def check(self, array: Any, test: Callable[[Any], bool]) -> bool:
        """A test of values that raises an error: it holds for the example. What it tells of others is not known."""
        with paused():
            fact = test(array)
        return True if self._depends(array) else fact

    def rely_on(self, array: Any, read: Callable[[], Any]) -> Any:
        """A value that is read on the host."""
        if self._depends(array):
            raise self._read()
        with paused():
            return read()

    def obstacle(self, what: str) -> None:
        """Of what recorded steps cannot do, a file minds only values that are read, and random numbers."""
        if "random" in what:
            raise self._failed(f"{self.where} draws random numbers on the host, which a file cannot")
        if "reads a value" in what and self._claimed is None:
            frame = sys._getframe(2)
            while frame is not None and frame.f_code.co_name not in ("to_numpy", "__dlpack__", "download"):
                frame = frame.f_back  # type: ignore[assignment]
            seen = None if frame is None else frame.f_locals.get("array", frame.f_locals.get("self"))
            seen = getattr(seen, "array", seen)
            if seen is None or not hasattr(seen, "shape") or self._depends(seen):
                raise self._read()

    def _read(self) -> OnnxError:
        return self._failed(
            f"{self.where} reads a value that depends on the input, at {user_line()}: what Python does with it is not "
            "part of a file. Write it with ops, e.g. nnkit.where(x > 0, a, b) for a choice"
        )

    def _failed(self, what: str) -> OnnxError:
        self.failure = self.failure or OnnxError(f"export: {what}")
        return self.failure  # type: ignore[return-value]

    def adopt(self, array: Any) -> None: ...
    def constant(self, array: Any) -> None: ...
    def touch(self, *tensors: Any) -> None: ...
    def write(self, tensor: Any) -> None: ...
    def changed(self, owner: Any, name: str, before: Any) -> None: ...
    def moved(self, array: Any, to: Any) -> None: ...
    def unsettled(self) -> None: ...
    def part_of(self, part: Any, whole: Any) -> None: ...
    def last(self) -> None: ...
    def owns(self, array: Any) -> bool:
        return True

    def unleased(self, value: Any) -> Any:
        return value

    # ---- arrays ---------------------------------------------------------------------------------------------

    def _depends(self, array: Any) -> bool:
        if id(array) in self._values:
            return True
        span = span_of(array)
        return span is not None and self._covered.meets(span)

    def _tree(self, value: Any) -> Any:
        """What a call was given, with Refs for arrays."""
        if isinstance(value, Tensor):
            return self.ref(value.array)
        if isinstance(value, (tuple, list)):
            parts = [self._tree(part) for part in value]
            return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
        if isinstance(value, dict):
            return {name: self._tree(part) for name, part in value.items()}
        if isinstance(value, np.ndarray) or (hasattr(value, "shape") and hasattr(value, "dtype") and value.shape != ()):
            return self.ref(value)
        return value.item() if isinstance(value, np.generic) else self._scalar(value)

    def _scalar(self, value: Any) -> Any:
        return self.ref(value) if hasattr(value, "shape") and hasattr(value, "dtype") else value

    def ref(self, array: Any) -> Ref:
        """The Ref of an array that is read."""
        found = self._values.get(id(array))
        if id(array) in self._stale:
            raise self._failed(
                f"{self.where} reads a tensor of shape {tuple(array.shape)} after it was changed in place by way of "
                "another view of its memory, which a file cannot say: compute a new tensor, e.g. by nnkit.where"
            )
        if found is not None:
            return found
        if self._depends(array):
            raise self._failed(
                f"{self.where} uses a part of a value that was made by a function without a rule in nnkit.onnx "
                f"({user_line()}): write it with ops"
            )
        return self._constant(array)

    def _constant(self, array: Any) -> Ref:
        span = span_of(array)
        key = id(array) if span is None else span
        if key not in self._fixed:
            name = self._own.get(id(array)) or self._own.get(span)
            with paused():
                host = array if isinstance(array, np.ndarray) else self.backend.to_numpy(array)
                host = host if name is not None else np.array(host)  # others may change before the run ends
            ref = Ref("constant", len(self.constants), host.shape, host.dtype)
            if name is not None:
                self.names[ref.number] = name
            elif span is not None and (part := part_of(array, span, self._weights)) is not None:
                self.parts[ref.number] = part
            self._fixed[key] = ref
            if span is not None:
                self._held.add(span)
            self._kept.append(array)
            self.constants.append(host)
        return self._fixed[key]

    def _define(self, array: Any, kind: str = "value") -> Ref:
        ref = Ref(kind, self.counts[kind], tuple(array.shape), np.dtype(self.backend.dtype_of(array)))
        self.counts[kind] += 1
        self._values[id(array)] = ref
        self._kept.append(array)
        self._stale.discard(id(array))
        span = span_of(array)
        if span is not None:
            self._spans[id(array)] = span
            self._covered.add(span)
        return ref

    def _written(self, array: Any) -> Ref:
        """An array that a step has written, whatever was there before."""
        span = span_of(array)
        if span is not None and self._covered.meets(span):
            for key, other in self._spans.items():
                if key != id(array) and other.start < span.end and span.start < other.end:
                    self._stale.add(key)
        self._forget(span)
        return self._define(array)

    def _forget(self, span: Span | None) -> None:
        """Constants that lay where something was written are no more what they were."""
        if span is None or not self._held.meets(span):
            return
        for known in [key for key in self._fixed if isinstance(key, Span)]:
            if known.start < span.end and span.start < known.end:
                self._refuse_state(self._fixed.pop(known))

    def _refuse_state(self, ref: Ref) -> None:
        name = self.names.get(ref.number)
        if name is not None:
            raise self._failed(
                f"{self.where} changes {name!r} in its forward pass: a file has no place for what a model keeps "
                "from call to call. Export it in evaluation mode, or give and return the state as a tensor"
            )


MODULE_CALL = Module.__call__.__code__


def _parameters(code: Any) -> int:
    flags = bool(code.co_flags & inspect.CO_VARARGS) + bool(code.co_flags & inspect.CO_VARKEYWORDS)
    return code.co_argcount + code.co_kwonlyargcount + flags


def _arrays(value: Any) -> Iterator[Any]:
    if isinstance(value, Tensor):
        yield value.array
    elif isinstance(value, dict):
        for part in value.values():
            yield from _arrays(part)
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _arrays(part)


def _is_basic(index: Any) -> bool:
    items = index if isinstance(index, tuple) else (index,)
    plain = (int, np.integer, slice)
    return all(
        item is None or item is Ellipsis or (isinstance(item, plain) and not isinstance(item, bool)) for item in items
    )


def _bound(name: str, backend: Backend, args: tuple[Any, ...], options: dict[str, Any]) -> dict[str, Any]:
    """A primitive's arguments by name."""
    signature = inspect.signature(inspect.unwrap(getattr(Backend, name)))
    bound = signature.bind(backend, *args, **options)
    bound.apply_defaults()
    return {word: value for word, value in bound.arguments.items() if word != "self"}
