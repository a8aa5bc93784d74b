"""How exactly matrices are multiplied: the setting for float32 products, and ``autocast`` to half types.

Two things that are easily confused. ``set_matmul_precision`` allows a GPU to use fewer digits where it would be
faster, and means nothing on a CPU. ``autocast`` is part of the mathematics, the same on every device: inside it, the
operands of matrix products are rounded to a half type, forward and backward.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from nnkit.backends import precision as setting
from nnkit.backends.precision import HALF_TYPES, get_matmul_precision
from nnkit.errors import UnknownNameError
from nnkit.recording.observer import call
from nnkit.recording.state import changed
from nnkit.tensors.dtypes import as_dtype
from nnkit.tensors.scopes import Block, Present

P = ParamSpec("P")
R = TypeVar("R")

__all__ = [
    "autocast",
    "autocast_type",
    "get_float32_matmul_precision",
    "get_matmul_precision",
    "half_type",
    "rounding",
    "set_float32_matmul_precision",
    "set_matmul_precision",
]


def set_matmul_precision(precision: str) -> None:
    """How a GPU computes products of float32 matrices: "highest" (the default), "high" or "medium".

    "highest" keeps all 24 binary digits of the operands, "high" 11 of them (TensorFloat-32), "medium" 8 (bfloat16);
    sums stay float32. Fewer digits are faster there. On a CPU float32 products are always of full precision. Recorded
    steps are recorded anew. Raises ValueError for another name. Source: ``torch.set_float32_matmul_precision``.

    >>> set_matmul_precision("high"); get_matmul_precision()
    'high'
    >>> set_matmul_precision("highest")
    """
    setting.set_matmul_precision(precision)


setting.listeners.append(changed)  # what is recorded knows the old setting

#: PyTorch's names.
set_float32_matmul_precision = set_matmul_precision
get_float32_matmul_precision = get_matmul_precision


_half: Present[str | None] = Present(None)


def autocast_type() -> str | None:
    """The type that matrix products of this thread round their operands to now: "bfloat16", "float16" or None."""
    scope = _half.scope
    return scope.value if scope.outer is None else _half.value


def half_type(dtype: Any) -> str:
    """The name of a half type, given by name or as a dtype. Raises UnknownNameError for another type."""
    name = dtype if isinstance(dtype, str) else as_dtype(dtype).name
    if name not in HALF_TYPES:
        raise UnknownNameError("half type", name, HALF_TYPES)
    return name


def rounding(half: str | None) -> Block:
    """A block in which products round to ``half``, or to nothing: as when what is differentiated was computed."""
    return Block(_half, half)


class autocast(Block):
    """Multiply matrices in a half type, for a ``with`` block, or for a function as a decorator.

    Inside, every product of float32 matrices (``linear``, ``matmul``) rounds its operands to the half type, to the
    nearest, ties to even; sums and results are float32. Its gradients are computed in the same way, also when
    ``backward`` is called outside. All else stays as it is: parameters, activations, losses and optimizers are float32,
    and need not be converted. Products of other types are not touched. A GPU has units for this, which are faster than
    those for float32; a CPU has none, and takes longer for the same numbers. In "float16" gradients below 6e-8 are
    lost: use ``GradScaler``.

    Args:
        device_type: the half type, "bfloat16" or "float16", as a name or a dtype; or, as PyTorch has it, a device.
        dtype: the half type, where the first argument is a device. By default bfloat16, and after "cuda" float16.
        enabled: False switches it off for the block, also inside another one.
        cache_enabled: accepted for PyTorch's sake; an operand is rounded once for the product and its gradients.

    Raises UnknownNameError for another type. Blocks may be nested; other threads are not affected.

    >>> import nnkit
    >>> x = nnkit.tensor([[1.00390625, 2.0]])
    >>> with autocast("bfloat16"):
    ...     (x @ x.T).item()
    5.0
    """

    def __init__(
        self, device_type: Any = None, dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None
    ) -> None:
        if dtype is None:
            devices = {None: "bfloat16", "cpu": "bfloat16", "cuda": "float16"}
            dtype = devices.get(device_type) if isinstance(device_type, str | None) else None
        self.half = half_type(device_type if dtype is None else dtype)
        self.enabled = bool(enabled)
        super().__init__(_half, self.half if self.enabled else None)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def halved(*args: P.args, **options: P.kwargs) -> R:
            with autocast(self.half, enabled=self.enabled):
                return call(function, *args, **options)

        return halved
