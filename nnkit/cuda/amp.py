"""Mixed precision under PyTorch's older path, ``torch.cuda.amp``: as ``nnkit.amp``, with float16 unless told."""

from __future__ import annotations

from typing import Any

from nnkit import precision
from nnkit.optim.grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd"]


def autocast(enabled: bool = True, dtype: Any = None, cache_enabled: bool | None = None) -> Any:
    """``nnkit.autocast("cuda", ...)``."""
    return precision.autocast("cuda", dtype, enabled, cache_enabled)


def custom_fwd(fwd: Any = None, *, cast_inputs: Any = None) -> Any:
    """``fwd`` itself: no op here looks at the types that autocast chose."""
    return fwd if fwd is not None else lambda function: function


def custom_bwd(bwd: Any) -> Any:
    """``bwd`` itself."""
    return bwd
