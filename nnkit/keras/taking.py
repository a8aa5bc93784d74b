"""Functions of one tensor that take arrays, numbers and symbolic tensors, too."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from nnkit.keras.calling import as_input
from nnkit.keras.symbolic import symbolic
from nnkit.tensors.tensor import Tensor

__all__ = ["of_anything"]

Function = TypeVar("Function", bound=Callable[..., Any])


def of_anything(function: Function) -> Function:
    """A decorator: the first argument becomes a tensor where it is an array; a symbolic tensor makes a node.

    >>> @of_anything
    ... def doubled(x):
    ...     return x * 2.0
    >>> doubled([1.0, 2.0]).tolist()
    [2.0, 4.0]
    """

    @functools.wraps(function)
    def taking(x: Any, *args: Any, **options: Any) -> Any:
        return function(x if isinstance(x, Tensor) else as_input(x), *args, **options)

    return symbolic(taking)  # type: ignore[return-value]
