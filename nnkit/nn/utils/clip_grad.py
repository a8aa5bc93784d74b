"""Clipping of gradients under PyTorch's path: it is ``nnkit.optim.clipping``."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from nnkit.optim.clipping import clip_grad_norm_, clip_grad_value_, get_total_norm
from nnkit.tensors.tensor import Tensor

__all__ = ["clip_grad_norm", "clip_grad_norm_", "clip_grad_value_", "get_total_norm"]


def clip_grad_norm(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """``clip_grad_norm_`` under its first name, with a warning.

    Gradients have any shapes and float dtypes. Raises ValueError for a bound that is negative or NaN. Source:
    ``torch.nn.utils.clip_grad_norm``.

    >>> import warnings, nnkit
    >>> x = nnkit.tensor([3.0, 4.0], requires_grad=True); (x * x).sum().backward()
    >>> with warnings.catch_warnings(action="ignore"):
    ...     clip_grad_norm([x], 1.0).item()
    10.0
    """
    warnings.warn("clip_grad_norm is an old word: write clip_grad_norm_", FutureWarning, stacklevel=2)
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)
