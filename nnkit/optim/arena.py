"""The arena: all parameters of an optimizer side by side in one flat buffer, their gradients in another.

A module keeps its parameters as before; only their memory moves. Each parameter becomes a view of the flat
buffer, and backward writes its gradient straight into its place in the other. An optimizer step is then one
kernel over flat memory, and so is clipping. Views start at multiples of 256 bytes from the buffer's start; the
padding between them is zero and stays zero, because every update leaves a zero with a zero gradient alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Iterator
from typing import Any, NamedTuple, cast

from nnkit.backends.base import Backend
from nnkit.backends.recording import paused, recorder
from nnkit.recording.state import changed
from nnkit.tensors.tape import Gradient
from nnkit.tensors.tensor import Tensor

ALIGNMENT = 256  # bytes

#: What gives two flat arrays of zeros of a length and a dtype: for values, and for gradients.
Memory = Callable[[int, Any], tuple[Any, Any]]


class Block:
    """Two flat arrays of one length, on one backend and in one dtype: values and gradients."""

    __slots__ = ("backend", "dtype", "gradients", "values")

    def __init__(self, backend: Backend, dtype: Any, length: int, memory: Memory | None = None) -> None:
        self.backend, self.dtype = backend, dtype
        if memory is None:
            self.values, self.gradients = backend.zeros((length,), dtype), backend.zeros((length,), dtype)
        else:
            self.values, self.gradients = memory(length, dtype)

    @classmethod
    def of(cls, parameters: list[Tensor], memory: Memory | None = None) -> Block:
        """A new block with a seat for each of ``parameters``, which share a backend and a dtype.

        ``memory`` gives the flat arrays, where they are not to be any.
        """
        step = max(1, ALIGNMENT // parameters[0].dtype.itemsize)
        starts, length = [], 0
        for parameter in parameters:
            starts.append(length)
            length += -(-parameter.numel() // step) * step
        block = cls(parameters[0].backend, parameters[0].dtype, length, memory)
        ends = [*starts[1:], length]
        for parameter, start, end in zip(parameters, starts, ends, strict=True):
            Slot(block, start, end, tuple(parameter.shape)).seat(parameter)
        return block


class Slot(Gradient):
    """One parameter's place in a block. It is the ``gradient`` of the parameter that sits there.

    start, stop: the elements of the parameter; end: where the next slot starts, after the padding.
    value, home: views of them, in the parameter's shape, in the block's values and gradients.
    rows: a gradient that is 0 but for some rows, as (numbers of rows, rows) to be added up, until somebody reads it
    whole: so a step of plain descent does not grow with a table that it takes a few rows of.
    """

    def __init__(self, block: Block, start: int, end: int, shape: tuple[int, ...]) -> None:
        self.rows: tuple[tuple[Any, Any], ...] = ()
        self.by_rows = False  # whether its gradient ever came in rows
        self._recorded_by: Any = None
        self.block, self.start, self.stop, self.end = block, start, start + math.prod(shape), end
        reshape = block.backend.reshape
        self.value = reshape(block.values[start : self.stop], shape)
        self.home = reshape(block.gradients[start : self.stop], shape)
        super().__init__(array=self.home)

    @property
    def array(self) -> Any:
        """The gradient, whole."""
        self.settle()
        return self._array

    @array.setter
    def array(self, array: Any) -> None:
        self._array = array

    def add_rows(self, indices: Any, rows: Any) -> None:
        """Add ``rows`` (M, ...) to the rows of the gradient with these numbers (M,); both stay as they are from now."""
        at_work = recorder()
        if self.rows and self._recorded_by is not at_work:
            with paused():  # they came before the step that is recorded
                self.settle()
        if not self.by_rows:
            self.by_rows = True
            changed()
        backend, filled = self.block.backend, self.filled
        if filled and not self.rows:
            backend.add_rows(rows, indices, self.place(backend, tuple(self.home.shape), self.block.dtype)[0])
            return
        self.rows, self._recorded_by, self.filled = (*self.rows, (indices, rows)), at_work, True
        if self.version is not None:
            self.version.count += 1

    def settle(self) -> None:
        """Write a gradient that came in rows to its place."""
        if self.rows:
            rows, self.rows = self.rows, ()
            self.block.backend.fill(0.0, self.home)
            for indices, part in rows:
                self.block.backend.add_rows(part, indices, self.home)

    def empty(self) -> None:
        self.rows = ()
        super().empty()

    def holds(self, parameter: Tensor) -> bool:
        """Whether the parameter's value and gradient are in this place now."""
        return parameter.gradient is self and parameter.array is self.value and self._array is self.home

    def fits(self, parameter: Tensor) -> bool:
        """Whether the parameter, which sat here, can come back: same backend, dtype and shape."""
        return (
            parameter.backend is self.block.backend
            and parameter.dtype == self.block.dtype
            and tuple(parameter.shape) == tuple(self.value.shape)
        )

    def seat(self, parameter: Tensor) -> None:
        """Move the parameter in: its value, and its gradient if it has one, are copied."""
        old = parameter.gradient
        if old.filled and old.array is not self.home:
            self.block.backend.copy(old.array, self.home)
        if parameter.array is not self.value:
            self.block.backend.copy(parameter.array, self.value)
            _move(parameter, self.value)
        self.array, self.filled = self.home, old.filled
        parameter.gradient = self


def _move(parameter: Tensor, array: Any) -> None:
    """Let a parameter, and what its ``detach`` gave out before, live in other memory that has the same values."""
    before, parameter.array = parameter.array, array
    for follower in (found() for found in getattr(parameter, "_followers", ())):
        if follower is not None and follower.array is before:
            follower.array = array
    parameter._followers = []
    changed()


class Run(NamedTuple):
    """Neighbouring parameters of a block, padding between them included: elements start to stop."""

    block: Block
    start: int
    stop: int


class Entry(NamedTuple):
    """A row of the arena's table: where a parameter is. ``offset`` counts elements."""

    name: str
    block: int
    offset: int
    shape: tuple[int, ...]


def has_gradient(parameter: Tensor) -> bool:
    """Whether a parameter takes part in a step: it is seated, to be learned, and has a gradient."""
    slot = parameter.gradient
    return parameter.requires_grad and isinstance(slot, Slot) and slot.filled


def filled_runs(parameters: Iterable[Tensor]) -> Iterator[Run]:
    """The runs of the seated parameters that are to be learned and have a gradient.

    Usually one: everything. A parameter that is frozen or got no gradient interrupts it.
    """
    slots = [cast(Slot, p.gradient) for p in parameters if has_gradient(p)]
    for slot in slots:
        slot.settle()
    slots.sort(key=lambda slot: (id(slot.block), slot.start))
    pending: list[Slot] = []
    for slot in slots:
        if pending and (slot.block is not pending[-1].block or slot.start != pending[-1].end):
            yield Run(pending[0].block, pending[0].start, pending[-1].stop)
            pending = []
        pending.append(slot)
    if pending:
        yield Run(pending[0].block, pending[0].start, pending[-1].stop)


class Arena:
    """Gives parameters places side by side, one block for each backend and dtype.

    A parameter that already sits in a block, because an earlier optimizer put it there, stays: both
    optimizers then work on the same memory. A frozen parameter stays outside until it is to be learned.

    Args:
        parameters: leaf Tensors of any shapes; one that comes twice counts once.
        names: their names in the table; "0", "1", … if not given.
        also: the ids of frozen parameters that get a place nevertheless.

    Raises AttributeError for what is no Tensor. Source: nnkit's own.

    >>> import nnkit
    >>> w, b = nnkit.Parameter(nnkit.zeros(2, 3)), nnkit.Parameter(nnkit.zeros(3))
    >>> [tuple(entry) for entry in Arena([w, b], ["w", "b"]).table()]
    [('w', 0, 0, (2, 3)), ('b', 0, 64, (3,))]
    """

    def __init__(
        self, parameters: Iterable[Tensor], names: Iterable[str] | None = None, also: Container[int] = ()
    ) -> None:
        self.parameters = list({id(parameter): parameter for parameter in parameters}.values())
        self.names = [str(i) for i in range(len(self.parameters))] if names is None else list(names)
        self._settle(also)

    def _settle(self, also: Container[int]) -> None:
        strangers: dict[tuple[int, str], list[Tensor]] = {}
        for parameter in self.parameters:
            slot = parameter.gradient
            if isinstance(slot, Slot) and slot.fits(parameter):
                slot.seat(parameter)
            elif parameter.requires_grad or id(parameter) in also:
                strangers.setdefault((id(parameter.backend), str(parameter.dtype)), []).append(parameter)
        for members in strangers.values():
            Block.of(members)
        #: Where each parameter sits, by ``id(parameter)``.
        self.slots: dict[int, Slot] = {
            id(p): p.gradient for p in self.parameters if isinstance(p.gradient, Slot) and p.gradient.fits(p)
        }

    def is_current(self) -> bool:
        """Whether every parameter still lives where it was put; cheap.

        False after ``model.to(...)``, ``parameter.data = ...`` or when a frozen parameter is to be learned.
        """
        for parameter in self.parameters:
            slot = self.slots.get(id(parameter))
            if not (slot.holds(parameter) if slot is not None else not parameter.requires_grad):
                return False
        return True

    def blocks(self) -> list[Block]:
        """The blocks in use, in the order of the parameters. Usually one."""
        return list({id(slot.block): slot.block for slot in self.slots.values()}.values())

    def window(self, block: Block) -> tuple[int, int]:
        """The first element and the end of what this arena's parameters occupy in ``block``."""
        mine = [slot for slot in self.slots.values() if slot.block is block]
        return min(slot.start for slot in mine), max(slot.end for slot in mine)

    def table(self) -> list[Entry]:
        """Name, block, offset and shape of each parameter that has a place."""
        numbers = {id(block): number for number, block in enumerate(self.blocks())}
        named = [(n, self.slots.get(id(p))) for n, p in zip(self.names, self.parameters, strict=True)]
        return [
            Entry(name, numbers[id(slot.block)], slot.start, tuple(slot.value.shape))
            for name, slot in named
            if slot is not None
        ]

    def runs(self, parameters: Iterable[Tensor] | None = None) -> list[Run]:
        """The contiguous ranges of (some of) the parameters that have a gradient and are not frozen."""
        return list(filled_runs(self.parameters if parameters is None else parameters))
