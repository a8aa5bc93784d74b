"""A reader of pickles that executes nothing: a machine of the few instructions that data need.

A pickle is a program for a machine with a stack. Python's machine looks up any name and calls it. This one knows a
table of words (``torch_words``), refuses every other name and every other instruction, and calls nothing else.
What it makes is no larger than the file: lengths are compared with what there is before memory is set aside.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from nnkit.errors import ModelFileError, NnkitError
from nnkit.io.torch_words import ArrayOfNumpy, DtypeOfNumpy, StorageType, Word

__all__ = ["read_pickle", "skip_pickle"]

DEEPEST = 100  # levels of lists and dicts
MOST = 20_000_000  # values, each counted as often as somebody who walks through all of them meets it
CONTAINERS = (dict, list, tuple, set)


class _Mark:
    """Where a group of values begins on the stack."""


MARK = _Mark()


def read_pickle(stream: BinaryIO, words: Mapping[str, Any], persistent: Callable[[Any], Any] | None = None) -> Any:
    """The value of the pickle at the stream's place, which ends behind it.

    ``words`` has what stands for each name, ``persistent`` what for a reference to something outside of the pickle.
    Raises ModelFileError for a name or an instruction that is not known, and for a damaged pickle.
    """
    import pickletools

    machine = _Machine(words, persistent)
    try:
        for instruction, argument, _ in pickletools.genops(stream):
            if instruction.name == "STOP":
                return _sound(machine.result())
            machine.run(instruction.name, argument)
    except NnkitError:  # of the file, or of a device that lacks its types
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, UnicodeError) as error:
        raise ModelFileError(f"the pickle is damaged: {str(error)[:200]}") from None
    raise ModelFileError("the pickle has no end")


def skip_pickle(stream: BinaryIO) -> None:
    """Go behind the pickle at the stream's place."""
    import pickletools

    try:
        for _ in pickletools.genops(stream):
            pass
    except (ValueError, UnicodeError) as error:
        raise ModelFileError(f"the pickle is damaged: {str(error)[:200]}") from None


class _Machine:
    def __init__(self, words: Mapping[str, Any], persistent: Callable[[Any], Any] | None) -> None:
        self.words, self.persistent = words, persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def result(self) -> Any:
        """What the program leaves."""
        value = self.pop()
        if self.stack:
            raise ValueError("values are left over")
        return value

    def run(self, name: str, argument: Any) -> None:
        """One instruction."""
        if name in _VALUES:
            self.stack.append(argument if _VALUES[name] is ... else _VALUES[name])
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _STORE:
            self.memo[len(self.memo) if argument is None else argument] = self.stack[-1]
        elif name in _FETCH:
            self.stack.append(self.memo[argument])
        elif name in _STEPS:
            _STEPS[name](self, argument)
        elif name not in ("PROTO", "FRAME"):
            raise ModelFileError(f"the pickle has the instruction {name}, which data do not need")

    def pop(self) -> Any:
        """The topmost value."""
        value = self.stack.pop()
        if value is MARK:
            raise ValueError("a value is missing")
        return finished(value)

    def group(self) -> list[Any]:
        """The values behind the last mark."""
        values: list[Any] = []
        while (value := self.stack.pop()) is not MARK:
            values.append(finished(value))
        values.reverse()
        return values

    # ---- instructions ---------------------------------------------------------------------------------------

    def row(self, count: int) -> None:
        """A tuple of the topmost values."""
        values = [self.pop() for _ in range(count)]
        self.stack.append(tuple(reversed(values)))

    def extend(self, values: list[Any]) -> None:
        """Put values at the end of the list, or into the set, on top."""
        target = self.stack[-1]
        if type(target) is list:
            target.extend(values)
        elif type(target) is set:
            target.update(values)
        else:
            raise TypeError("items are added to what is no list")

    def set_items(self, values: list[Any]) -> None:
        """Put pairs of keys and values into the dict on top."""
        target = self.stack[-1]
        if type(target) not in (dict, OrderedDict) or len(values) % 2:
            raise TypeError("items are set of what is no dict")
        for key, value in zip(values[::2], values[1::2], strict=True):
            target[key] = value

    def name(self, module: Any, name: Any) -> None:
        """What stands for a name."""
        whole = f"{module}.{name}"
        if whole not in self.words:
            raise ModelFileError(
                f"the file holds {whole[:200]!r}, which is no tensor and no plain value, and nothing that a file "
                "names is run here: where you have PyTorch, save model.state_dict() and plain values, not whole objects"
            )
        self.stack.append(self.words[whole])

    def call(self) -> None:
        """What a word makes of the arguments on top."""
        arguments, word = self.pop(), self.stack.pop()
        if type(word) is not Word or type(arguments) is not tuple:
            raise TypeError("something is called that is no function")
        self.stack.append(word.make(*arguments))

    def build(self) -> None:
        """Give the value on top its state; an OrderedDict's is PyTorch's list of versions, which is not needed."""
        state, target = self.pop(), self.stack[-1]
        if isinstance(target, (DtypeOfNumpy, ArrayOfNumpy)):
            target.build(state)
        elif type(target) is not OrderedDict or type(state) is not dict:
            raise TypeError("a state is given to a value that has none")

    def reference(self) -> None:
        """What stands for something outside of the pickle."""
        if self.persistent is None:
            raise TypeError("a reference leads nowhere")
        self.stack.append(self.persistent(self.pop()))


def finished(value: Any) -> Any:
    """An array that was in the making."""
    return value.values if type(value) is ArrayOfNumpy else value


#: Instructions that push their argument (...), or a value of their own.
_VALUES: dict[str, Any] = {
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINUNICODE"), ...),
    **dict.fromkeys(("SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"), ...),
    **dict.fromkeys(("BINSTRING", "SHORT_BINSTRING"), ...),
    "NONE": None, "NEWTRUE": True, "NEWFALSE": False, "MARK": MARK,
}  # fmt: skip
_EMPTY: dict[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_SET": set,
}  # fmt: skip
_STORE = {"BINPUT", "LONG_BINPUT", "MEMOIZE"}
_FETCH = {"BINGET", "LONG_BINGET"}


def _global(machine: _Machine, argument: Any) -> None:
    machine.name(*argument.split(" ", 1))


def _stack_global(machine: _Machine, argument: Any) -> None:
    name, module = machine.pop(), machine.pop()
    machine.name(module, name)


def _one_item(machine: _Machine, argument: Any) -> None:
    value, key = machine.pop(), machine.pop()
    machine.set_items([key, value])


_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.group())),
    "TUPLE1": lambda machine, _: machine.row(1),
    "TUPLE2": lambda machine, _: machine.row(2),
    "TUPLE3": lambda machine, _: machine.row(3),
    "APPEND": lambda machine, _: machine.extend([machine.pop()]),
    "APPENDS": lambda machine, _: machine.extend(machine.group()),
    "ADDITEMS": lambda machine, _: machine.extend(machine.group()),
    "SETITEM": _one_item,
    "SETITEMS": lambda machine, _: machine.set_items(machine.group()),
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": lambda machine, _: machine.call(),
    "NEWOBJ": lambda machine, _: machine.call(),
    "BUILD": lambda machine, _: machine.build(),
    "BINPERSID": lambda machine, _: machine.reference(),
}


def _sound(value: Any) -> Any:
    """``value``, if whoever walks through it comes to an end: it holds nothing half made, nor itself, nor too much."""
    counts: dict[int, int] = {}
    depths: dict[int, int] = {}
    open_ones: set[int] = set()
    todo: list[tuple[Any, bool]] = [(value, False)]
    while todo:
        found, done = todo.pop()
        if isinstance(found, (Word, StorageType, DtypeOfNumpy, ArrayOfNumpy)):
            raise ModelFileError("the file holds the name of a class instead of a value")
        if not isinstance(found, CONTAINERS) or (id(found) in counts and not done):
            continue
        items = [*found.keys(), *found.values()] if isinstance(found, dict) else list(found)
        if not done:
            if id(found) in open_ones:
                raise ModelFileError("the file holds a list or dict that holds itself")
            open_ones.add(id(found))
            todo.append((found, True))
            todo.extend((item, False) for item in items)
            continue
        open_ones.discard(id(found))
        counts[id(found)] = 1 + sum(counts.get(id(item), 1) for item in items)
        depths[id(found)] = 1 + max((depths.get(id(item), 0) for item in items), default=0)
        if counts[id(found)] > MOST or depths[id(found)] > DEEPEST:
            raise ModelFileError("the values of the file are nested too deeply, or too many")
    return value
