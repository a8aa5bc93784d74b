"""What is known of memory: how often that of a value was changed, and whether that of a gradient holds one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nnkit.backends.recording import recorder

if TYPE_CHECKING:
    from nnkit.backends import Backend

Array = Any


class Version:
    """How often a piece of memory was changed in place; the tensors that are views of it share one."""

    count = 0

    def shown(self, view: Any, of: Any, step: Any = None) -> None:
        """Note that a tensor shows this memory too; of interest where memory is lent (``nnkit.tensors.lent``)."""

    def lasting(self, host: Any) -> Any:
        """``host``, a numpy array of this memory, or a copy where the memory will be used again."""
        return host

    def give_back(self, array: Any) -> bool:
        """Before ``array`` is used again: give those who hold it a copy; returns whether there are any."""
        return False


Saved = tuple[Version, int, Array]  # a value that a pullback reads, and which version of it


class Gradient:
    """The place of a leaf's gradient: memory that may be a view of a flat buffer, and whether it holds a value.

    The first gradient after ``zero_grad`` overwrites the memory, the next ones are added to it; emptying is a flag.
    """

    __slots__ = ("_filled", "array", "shown", "version")

    def __init__(self, array: Array = None, filled: bool = False) -> None:
        self.array = array
        self._filled = filled
        self.shown: Any = None  # the tensor that shows it, where one does
        self.version: Version | None = None  # of that tensor; stays when that has gone, for what the tape saved

    @property
    def filled(self) -> bool:
        """Whether there is a gradient. A recorded step that asks depends on the answer."""
        at_work = recorder()
        if at_work is not None:
            at_work.flags.setdefault(id(self), (self, self._filled))
        return self._filled

    @filled.setter
    def filled(self, value: bool) -> None:
        at_work = recorder()
        if at_work is not None:
            at_work.flags.setdefault(id(self), (self, None))
            if not value:
                at_work.emptied[id(self)] = self
        self._filled = value

    def place(self, backend: Backend, shape: tuple[int, ...], dtype: Any) -> tuple[Array, bool]:
        """The memory to write to, made if need be, and whether to add to it; afterwards it counts as filled."""
        if self.array is None:
            self.array = backend.empty(shape, dtype)
        add, self.filled = self.filled, True
        if self.version is not None:
            self.version.count += 1
        return self.array, add

    def empty(self) -> None:
        """Hold no value. The memory is used again, so whoever still holds what shows it gets a copy."""
        self.give_back()
        self.filled = False

    def give_back(self) -> bool:
        """Give a copy to whoever holds what shows the value; returns whether somebody does."""
        if self.shown is None or self.version is None:
            return False
        self.shown = None  # from here on it lives only where somebody else holds it
        return self._filled and self.version.give_back(self.array)

    def accumulate(self, backend: Backend, value: Array) -> None:
        """Write or add a gradient that was computed elsewhere."""
        array, add = self.place(backend, tuple(value.shape), backend.dtype_of(value))
        if add:
            backend.map("add", (array, value), (array,))
        else:
            backend.copy(value, array)


class Passing(Gradient):
    """The place of a gradient on its way through the tape: gone after backward, so no recording depends on it."""

    __slots__ = ("filled",)

    filled: bool
    version = None

    def __init__(self) -> None:
        self.array = None
        self.filled = False
