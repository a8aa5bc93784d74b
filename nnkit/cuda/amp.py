"""Mixed precision under PyTorch's older path, ``torch.cuda.amp``: as ``nnkit.amp``, with float16 unless told."""

from __future__ import annotations

from typing import Any

from nnkit.optim import grad_scaler
from nnkit.tensors import precision

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd"]


def __dir__() -> list[str]:
    return sorted(__all__)


class GradScaler(grad_scaler.GradScaler):
    """``nnkit.GradScaler`` with the arguments in PyTorch's older order.

    It scales losses, Tensors of any shape and floating dtype. Raises ValueError for a factor or interval out of range.
    Source: ``torch.cuda.amp.GradScaler``.

    >>> GradScaler(8.0).get_scale()
    8.0
    """

    def __init__(
        self,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        super().__init__(None, init_scale, growth_factor, backoff_factor, growth_interval, enabled)


def autocast(enabled: bool = True, dtype: Any = None, cache_enabled: bool = True) -> Any:
    """``nnkit.autocast("cuda", ...)``: products of float32 matrices, of any shape, round their operands to a half type.

    ``dtype`` is float16, which is the default, or bfloat16. Raises UnknownNameError for another. Source:
    ``torch.cuda.amp.autocast``.

    >>> import nnkit
    >>> with autocast(dtype=nnkit.bfloat16):
    ...     (nnkit.tensor([[1.00390625, 2.0]]) @ nnkit.tensor([[1.00390625], [2.0]])).item()
    5.0
    """
    return precision.autocast("cuda", dtype, enabled, cache_enabled)


def custom_fwd(fwd: Any = None, *, cast_inputs: Any = None) -> Any:
    """``fwd`` itself: no op here looks at the types that autocast chose.

    Raises nothing. Source: ``torch.cuda.amp.custom_fwd``.

    >>> custom_fwd(len) is len and custom_fwd(cast_inputs="float32")(len) is len
    True
    """
    return fwd if fwd is not None else lambda function: function


def custom_bwd(bwd: Any) -> Any:
    """``bwd`` itself.

    Raises nothing. Source: ``torch.cuda.amp.custom_bwd``.

    >>> custom_bwd(len) is len
    True
    """
    return bwd
