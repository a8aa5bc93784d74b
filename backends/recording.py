"""Recording: noting the primitives that a thread runs, so that they can be run again without Python.

While a ``Recorder`` is at work in a thread, every primitive still runs, and is noted as an ``Instruction``: a compiled
kernel and its argument block, or, where no kernel fits, a call of the body in Python. Outputs come from a pool of
the recorder's own. Work that is done once (an optimizer making its state) is put under ``paused`` and leaves no trace.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from nnkit.backends.pool import shadow

if TYPE_CHECKING:
    from nnkit.backends.base import Backend

Array = Any


class Instruction(NamedTuple):
    """One recorded primitive."""

    name: str  # the primitive
    kernel: Any  # the kernel's Launch, or None
    call: Callable[[], object]  # runs the instruction from Python
    note: str  # the kernel's name, or the reason why there is none
    shapes: tuple[tuple[int, ...], ...]  # of the arrays, in the order of the arguments
    nbytes: int  # of those arrays


#: What an attribute is that is not there.
MISSING = object()


def same(x: Any, y: Any) -> bool:
    """Whether two values are one object, or equal plain numbers or texts; 0.0 and -0.0 are not the same."""
    return x is y or (
        type(x) is type(y) and isinstance(x, (int, float, str)) and x == y and (x != 0 or repr(x) == repr(y))
    )


class Stale(Exception):
    """A recorded program does not fit these values; the step has to be recorded anew."""


class CannotCopy(Exception):
    """A recorded program cannot be run over other memory than that it was recorded on; says why."""


class Recorder(Protocol):
    """What a backend's recorder can do, and what it is told about the world outside."""

    modules: dict[int, Any]
    optimizers: dict[int, Any]
    flags: dict[int, tuple[Any, bool | None]]
    emptied: dict[int, Any]
    born: dict[int, Any]
    #: What else the step relied on: what it is -> whether it still is so.
    relied: dict[Any, Callable[[], bool]]
    observer: Any
    stream: Any

    def allocate(self, shape: tuple[int, ...], dtype: Any, elsewhere: Sequence[Array] = ()) -> Array:
        """Memory of the program's own, and not that of ``elsewhere``."""

    def owns(self, array: Array) -> bool:
        """Whether an array is in memory that only the program has."""

    def adopt(self, array: Array) -> None:
        """An array that a backend without a pool made for the program."""

    def constant(self, array: Array) -> None:
        """An array that the step makes of numbers on the host."""

    def unleased(self, value: Any) -> Any:
        """An instruction's argument as the program keeps it: without a hold on blocks of the pool."""

    def note(self, instruction: Instruction, arrays: list[Array], given: Any = ()) -> None:
        """Add an instruction that reads and writes these arrays, and all that its primitive was given."""

    def fuse(self, instruction: Instruction, name: str, arrays: list[Array], given: Any = ()) -> None:
        """Put an instruction in the place of the last one, whose work it does beside that of the primitive ``name``."""

    def last(self) -> Instruction | None:
        """The instruction that was noted last."""

    def touch(self, *tensors: Any) -> None:
        """Tensors that the step reads or writes."""

    def write(self, tensor: Any) -> None:
        """A tensor that the step is about to change in place."""

    def changed(self, owner: Any, name: str, before: Any) -> None:
        """The step set ``owner.name``, which was ``before``."""

    def moved(self, array: Array, to: Array) -> None:
        """A tensor outside has other memory from here on."""

    def obstacle(self, what: str) -> None:
        """The step did something that no replay can repeat."""

    def unsettled(self) -> None:
        """The step changed what it relies on (memory was laid out anew): it has to be recorded again."""

    def part_of(self, part: Array, whole: Array) -> None:
        """In every replay, ``part`` has elements of ``whole``, which stays as it is."""

    def check(self, array: Array, test: Callable[[Array], bool]) -> bool:
        """Test values that a replay may find changed; returns what the step has to reckon with."""

    def rely_on(self, array: Array, read: Callable[[], Any]) -> Any:
        """What ``read`` makes of an array on the host; a replay that would read something else is Stale."""


class _Current(threading.local):
    recorder: Recorder | None = None


_current = _Current()


def recorder() -> Recorder | None:
    """The recorder at work in this thread, or None."""
    return _current.recorder


@contextmanager
def recording(with_recorder: Recorder | None) -> Iterator[None]:
    """Note what this thread does inside; with None, note nothing."""
    before = _current.recorder
    _current.recorder = with_recorder
    try:
        yield
    finally:
        _current.recorder = before


def paused() -> Any:
    """Leave what is done inside out of any recording: it is done once, not every step."""
    return recording(None)


def note_host_read() -> None:
    """Tell the recorder, if one is at work, that a value is being read on the host."""
    if _current.recorder is not None:
        _current.recorder.obstacle("it reads a value on the host")


def primitive(body: Callable[..., None]) -> Callable[..., None]:
    """A method of a Backend that is a primitive: it runs, and is noted while its thread records."""

    @functools.wraps(body)
    def call(self: Backend, *args: Any, **options: Any) -> None:
        if _current.recorder is None:
            body(self, *args, **options)
        else:
            note_call(body, "this backend has no kernel for it", self, args, options)

    return call


def note_call(
    body: Callable[..., None], reason: str, backend: Backend, args: tuple[Any, ...], options: dict[str, Any]
) -> None:
    """Run a body in Python, and note that call as one instruction (what it calls in turn is not noted)."""
    at_work = _current.recorder
    assert at_work is not None
    with paused():
        body(backend, *args, **options)
    arrays = arrays_in([*args, *options.values()])
    call = functools.partial(body, backend, *at_work.unleased(args), **at_work.unleased(options))
    at_work.note(describe(body.__name__, None, call, reason, arrays), arrays, (args, options))


def describe(name: str, kernel: Any, call: Callable[[], object], note: str, arrays: list[Array]) -> Instruction:
    """An instruction with the shapes and bytes of its arrays."""
    shapes = tuple(tuple(a.shape) for a in arrays)
    views = [shadow(array) for array in arrays]
    return Instruction(name, kernel, call, note, shapes, sum(view.nbytes for view in views if view is not None))


def arrays_in(values: Any) -> list[Array]:
    """The arrays among a primitive's arguments, also inside tuples and lists."""
    found = []
    for value in values:
        if isinstance(value, (tuple, list)):
            found += arrays_in(value)
        elif hasattr(value, "shape"):
            found.append(value)
    return found
