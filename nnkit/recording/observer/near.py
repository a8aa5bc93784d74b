"""Tensors near a function: what tells where a call will work, before it has run."""

from __future__ import annotations

from collections.abc import Iterator
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any

from nnkit.backends.recording import MISSING
from nnkit.recording.observer.attributes import own_names
from nnkit.recording.observer.values import is_module, is_tensor
from nnkit.tensors.tensor import Tensor

__all__ = ["tensors_near"]


def tensors_near(function: Any) -> Iterator[Tensor]:
    """Tensors, and parameters of modules, that a function is bound to or reads by name, or their attributes."""
    if isinstance(function, MethodType):
        near, function = [function.__self__], function.__func__
    else:
        near = [function]
    if isinstance(function, FunctionType):
        near += [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
        outside = function.__globals__
        near += [outside[name] for name in function.__code__.co_names if name in outside]
    for one in near:
        yield from _tensors_of(one)
    for one in near:
        own = None if type(one) is ModuleType else own_names(one)
        for value in list((own or {}).values()):
            yield from _tensors_of(value)


def _is_filled(cell: CellType) -> bool:
    try:
        return cell.cell_contents is not MISSING
    except ValueError:
        return False


def _tensors_of(value: Any) -> Iterator[Tensor]:
    if is_tensor(value):
        yield value
    elif is_module(value):
        yield from value.parameters()
