"""The codes of twins, made once for each function's code."""

from __future__ import annotations

import threading
from types import CellType, CodeType, FunctionType
from typing import Any

from nnkit.recording.observer.rewrite import HOOKS, twin_code
from nnkit.recording.observer.source import CannotRead, source_of

__all__ = ["is_twin", "twin_of"]

MOST = 4096  # codes kept; more come from programs that make functions for ever

_codes: dict[int, tuple[CodeType, CodeType | str]] = {}  # by the identity of a code: itself, and its twin or why not
_twins: dict[int, CodeType] = {}  # the codes of twins and of the functions inside them
_lock = threading.Lock()


def is_twin(code: CodeType) -> bool:
    """Whether code tells what it does, by being part of a twin."""
    return id(code) in _twins


def twin_of(function: FunctionType, hooks: Any) -> FunctionType:
    """A function that does the same and tells ``hooks``. Raises CannotRead."""
    code = _code_of(function)
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    cells[HOOKS] = CellType(hooks)
    closure = tuple(cells[name] for name in code.co_freevars)
    twin = FunctionType(code, function.__globals__, function.__name__, function.__defaults__, closure)
    twin.__kwdefaults__ = function.__kwdefaults__
    twin.__qualname__ = function.__qualname__
    return twin


def _code_of(function: FunctionType) -> CodeType:
    code = function.__code__
    with _lock:
        if id(code) not in _codes:
            if len(_codes) >= MOST:
                _codes.clear()
                _twins.clear()
            _codes[id(code)] = code, _made(function)
        found = _codes[id(code)][1]
    if isinstance(found, str):
        raise CannotRead(found)
    return found


def _made(function: FunctionType) -> CodeType | str:
    try:
        code = twin_code(source_of(function), function)
    except CannotRead as reason:
        return str(reason)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "its source cannot be read"
    _remember(code)
    return code


def _remember(code: CodeType) -> None:
    _twins[id(code)] = code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _remember(constant)
