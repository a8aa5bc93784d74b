"""What a user's code reads and does while a step is recorded, noted place by place.

The code runs as its twin (``rewrite``), which tells here whatever it reads from outside, calls, looks into or sets.
What is understood becomes a place that is compared before each replay, or is part of the program already; anything else
is an obstacle, and the step runs plainly from then on. Noting never calls code of the user's and never raises.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

from nnkit.backends.program import ProgramRecorder, user_line
from nnkit.backends.recording import MISSING, recorder, same
from nnkit.backends.trace import Trace
from nnkit.errors import GraphError
from nnkit.recording.observer import attributes, calls, understood, values
from nnkit.recording.observer.places import Places
from nnkit.recording.observer.quiet import quietly
from nnkit.recording.observer.source import CannotRead
from nnkit.recording.observer.twins import is_twin, twin_of

__all__ = ["Effect", "Hooks", "Observer"]


class Effect(NamedTuple):
    """Something that the step set outside: how to read it, what was there before, and where that was."""

    read: Callable[[], Any]
    before: Any
    name: str
    line: str


class Observer:
    """Of one recording: what was read (``places``), set (``effects``) and made on the way (``born``)."""

    def __init__(self, work: ProgramRecorder) -> None:
        self.work = work
        self.places = Places()
        self.modules: dict[int, Any] = {}  # that were looked into without being called
        self.effects: dict[Any, Effect] = {}
        self.gone = False  # something was not understood: nothing is noted any more
        self.known: dict[int, Any] = {}  # codes that may run unobserved
        self._born: dict[int, Any] = {}
        self._twins: dict[int, FunctionType] = {}

    # ---- what is not understood -----------------------------------------------------------------------------------

    def give_up(self, what: str) -> None:
        """The step does something that is not understood."""
        if not self.gone:
            self.gone = True
            self.work.obstacle(what)

    def _noting(self, note: Callable[..., Any], *arguments: Any) -> Any:
        """Note something; whatever goes wrong in that is the step's obstacle, not the user's error."""
        try:
            return quietly(note, self, *arguments)
        except GraphError:
            raise
        except Exception as error:  # objects may do anything, even when asked for their type's attributes
            self.give_up(f"it uses an object that cannot be looked at ({type(error).__name__})")
            return None

    def lasting(self) -> str | None:
        """What the step left set otherwise than it was, which a replay would not do again; or None."""
        for effect in self.effects.values():
            if not same(effect.read(), effect.before):
                return (
                    f"it sets {effect.name} at {effect.line}: keep what changes in a Tensor, and change that in place "
                    "(a buffer: self.register_buffer, then self.state.copy_(...))"
                )
        return None

    def set(self, key: Any, read: Callable[[], Any], name: str) -> None:
        """Note what is about to be set: it has to be the same again in the end."""
        if key not in self.effects:
            self.effects[key] = Effect(read, read(), name, user_line())

    # ---- what was made on the way -----------------------------------------------------------------------------------

    def made(self, value: Any) -> Any:
        """A container or iterator that the step made itself: it may do with it as it likes."""
        if not self.gone and (type(value) in understood.CONTAINERS or type(value) in understood.ITERATORS):
            self._born[id(value)] = value
        return value

    def bear(self, value: Any) -> Any:
        """The same for an object or array."""
        self._born[id(value)] = value
        return value

    def is_born(self, value: Any) -> bool:
        """Whether the step made this object."""
        return id(value) in self._born

    # ---- what twins tell -------------------------------------------------------------------------------------------

    def used(self, value: Any) -> Any:
        """A value that an operator, a condition, a loop, ... looks into."""
        if not self.gone and type(value) not in understood.IMMUTABLE:
            self._noting(values.look_into, value)
        return value

    def attribute(self, owner: Any, name: str, /) -> Any:
        """``owner.name``."""
        if self.gone:
            return getattr(owner, name)
        getter = self._noting(attributes.read, owner, name)
        return getattr(owner, name) if getter is None else getter()

    def item(self, container: Any, index: Any, /) -> Any:
        """``container[index]``."""
        if self.gone:
            return container[index]
        getter = self._noting(values.read_item, container, index)
        return container[index] if getter is None else getter(container, index)

    def set_attribute(self, value: Any, owner: Any, name: str, /) -> None:
        """``owner.name = value``."""
        if not self.gone:
            self._noting(attributes.note_set, owner, name)
        setattr(owner, name, value)

    def set_item(self, value: Any, container: Any, index: Any, /) -> None:
        """``container[index] = value``."""
        if not self.gone:
            self._noting(values.note_set_item, container, index)
        container[index] = value

    def augmented(self, value: Any) -> Any:
        """A value that ``+=`` and the like may change in place."""
        if not self.gone and type(value) not in understood.IMMUTABLE:
            self._noting(values.note_augmented, value)
        return value

    def entered(self, context: AbstractContextManager[Any]) -> AbstractContextManager[Any]:
        """What a ``with`` enters."""
        if not self.gone:
            self._noting(values.note_entered, context)
        return context

    def call(self, function: Any, /, *arguments: Any, **options: Any) -> Any:
        """``function(*arguments, **options)``: the twin of the user's function, or what is known to be harmless."""
        if self.gone:
            return function(*arguments, **options)
        plan = self._noting(calls.plan, function, arguments, options)
        if plan is None or plan.run is None:
            return function(*arguments, **options)
        if plan.arguments is not None:
            arguments, options = plan.arguments
        result = plan.run(*arguments, **options)
        return self.made(result) if plan.makes else result

    # ---- functions ---------------------------------------------------------------------------------------------------

    def twin(self, function: FunctionType) -> FunctionType | None:
        """The user's function as one that tells what it does; None where it cannot be observed."""
        found = self._twins.get(id(function))
        if found is None:
            if is_twin(function.__code__):
                return function
            try:
                found = quietly(twin_of, function, Hooks(self, function))
            except CannotRead as reason:
                code = function.__code__
                self.give_up(
                    f"{function.__qualname__} ({code.co_filename}:{code.co_firstlineno}) is not understood: {reason};"
                )
                return None
            self._twins[id(function)] = found
            self.places.code(function)
            if self.work.trace is None:  # from here on: what nnkit does by itself needs no second look
                self.work.trace = Trace()
        return found

    def telling(self, function: Any) -> Any:
        """A function for others to call, which is observed then."""
        if isinstance(function, (FunctionType, MethodType)):
            return lambda *arguments, **options: self.call(function, *arguments, **options)
        return function

    def intrudes(self, frame: Any) -> None:
        """Code runs that is neither known nor a twin: whatever called it, nobody sees what it does."""
        code = frame.f_code
        if is_twin(code) or id(code) in self.known or recorder() is not self.work or self.gone:
            return
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package == self.work.pool.kind.__module__.partition(".")[0]:  # an array's own methods
            return
        if not _is_importing(frame) and not _is_of_a_backend(frame):
            name = getattr(code, "co_qualname", code.co_name)
            self.give_up(
                f"{name} ({code.co_filename}:{code.co_firstlineno}) is called in a way that is not observed "
                "(an operator, a hook, a callback): call it by name;"
            )


def _is_importing(frame: Any) -> bool:
    """Whether code runs because a module is imported, for the first time."""
    while frame is not None and not is_twin(frame.f_code):
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _is_of_a_backend(frame: Any) -> bool:
    """Whether a backend called this: its namespace of arrays, which no code of a step's is reached from."""
    while frame is not None and not is_twin(frame.f_code):
        filename = frame.f_code.co_filename
        if understood.is_ours(filename):
            return filename.startswith(understood.BACKENDS)
        frame = frame.f_back
    return False


class Hooks:
    """What the twin of one function calls: the observer, and how this function's variables from outside are read."""

    def __init__(self, observer: Observer, function: FunctionType) -> None:
        self._observer = observer
        self._globals = function.__globals__
        self._cells: dict[str, CellType] = dict(
            zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        )
        for name in ("used", "attribute", "item", "set_attribute", "set_item", "augmented", "entered", "call", "made"):
            setattr(self, name, getattr(observer, name))

    def name(self, name: str, value: Any) -> Any:
        """A global, or a word of Python's own."""
        observer = self._observer
        if not observer.gone:
            outside = self._globals
            if name in outside:
                observer.places.name(outside, outside, name, value)
            else:
                observer.places.name(outside, outside, name)
                words = vars(sys.modules["builtins"])
                observer.places.name(words, words, name, value)
        return value

    def free(self, name: str, value: Any) -> Any:
        """A variable of a function around."""
        if not self._observer.gone:
            self._observer.places.cell(self._cells[name], name, value)
        return value

    def slice(self, start: Any, stop: Any, step: Any) -> slice:
        """``start:stop:step``."""
        return slice(start, stop, step)

    def imported_module(self, name: str) -> None:
        """``import name``, inside the function."""
        parts = name.split(".")
        for count in range(1, len(parts) + 1):
            one = ".".join(parts[:count])
            self._observer.places.name(sys.modules, sys.modules, one, sys.modules[one])

    def imported(self, module: str, name: str, value: Any) -> None:
        """``from module import name``, inside the function."""
        observer = self._observer
        self.imported_module(module)
        owner = sys.modules.get(module)
        if type(owner) is ModuleType and vars(owner).get(name, MISSING) is value:
            observer.places.name(vars(owner), vars(owner), name, value)
        elif sys.modules.get(f"{module}.{name}") is not value:
            observer.give_up(f"it imports {name} from {module}, which makes it anew")

    def __repr__(self) -> str:
        return "the hooks of a function that is observed"
