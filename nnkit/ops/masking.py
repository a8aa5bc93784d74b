"""Elements by a mask: filled, chosen, replaced; and where a tensor is not 0. PyTorch's names and rules."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nnkit.backends.recording import recorder
from nnkit.errors import DtypeError, ShapeError
from nnkit.ops import shape
from nnkit.ops.choice import clamp, where
from nnkit.ops.indexing import getitem, take_rows
from nnkit.ops.promotion import Number, broadcast_shape
from nnkit.ops.reductions import sum as summed
from nnkit.ops.scanning import cumsum
from nnkit.tensors import dtypes
from nnkit.tensors.creation import tensor
from nnkit.tensors.methods import op
from nnkit.tensors.tensor import Tensor


def _check_mask(name: str, mask: Tensor) -> None:
    if mask.dtype != dtypes.bool_:
        raise DtypeError(f"{name}: expected a mask of booleans, got {mask.dtype}; convert it with .bool()")


@op
def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """``value``, a number or a tensor of one element, where the mask holds, else input; the type is input's.

    Raises DtypeError for a mask that is none, or a value that input's type does not hold.

    >>> from nnkit import tensor
    >>> masked_fill(tensor([1.0, 2.0]), tensor([True, False]), -1)
    tensor([-1.,  2.])
    """
    _check_mask("masked_fill", mask)
    if isinstance(value, Tensor) and value.ndim:
        raise ShapeError(f"masked_fill: expected a value without axes, got shape {value.shape}")
    whole = not input.is_floating_point()
    if isinstance(value, Number) and whole and not math.isfinite(value):
        raise DtypeError(f"masked_fill: a tensor of {input.dtype} does not hold {value}")
    one = value if isinstance(value, Tensor) else tensor(value, dtype=input.dtype, device=input.device)
    return where(mask, one.to(input.device, input.dtype), input)


@op
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where the mask holds, in order, as a vector.

    How many these are is read on the host.
    """
    _check_mask("masked_select", mask)
    sizes = broadcast_shape("masked_select", input, mask)
    if not sizes:
        return getitem(shape.reshape(input, (1,)), shape.reshape(mask, (1,)))
    return getitem(shape.expand(input, sizes), shape.expand(mask, sizes))


@op
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """The elements of source, one after the other, where the mask holds, else input.

    Raises ShapeError where source has fewer elements than the mask has places.
    """
    _check_mask("masked_scatter", mask)
    if source.dtype != input.dtype:
        raise DtypeError(f"masked_scatter: expected source of {input.dtype} like input, got {source.dtype}")
    sizes = np.broadcast_shapes(input.shape, mask.shape)
    held = shape.reshape(shape.expand(mask, sizes), (-1,)).long()
    count, at_work = source.numel(), recorder()
    total = summed(held)

    def test(array: Any) -> bool:
        if int(total.backend.to_numpy(array)) > count:
            raise ShapeError(f"masked_scatter: source has {count} elements, fewer than the mask has places")
        return True

    _ = test(total.array) if at_work is None else at_work.check(total.array, test)
    if not count:
        return shape.clone(shape.expand(input, sizes))
    places = clamp(cumsum(held, 0) - 1, 0, count - 1)
    come = take_rows(shape.reshape(source, (-1,)), places, checked=True)
    return where(mask, shape.reshape(come, sizes), input)


@op
def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The places of the elements that are not 0, in order: int64 (count, axes), or one vector for each axis.

    How many these are is read on the host. A Tensor of any dtype. Raises TypeError for what is no Tensor. As
    ``torch.nonzero``.

    >>> from nnkit import tensor
    >>> nonzero(tensor([[0, 1], [2, 0]]))
    tensor([[0, 1],
            [1, 0]])
    """
    if input.ndim == 0:
        places = nonzero(shape.reshape(input, (1,)))
        return (getitem(places, (slice(None), 0)),) if as_tuple else getitem(places, (slice(None), slice(0, 0)))
    found = input.backend.nonzero(input.array)
    places = Tensor(found, input.backend).to(dtypes.int64)
    return tuple(getitem(places, (slice(None), i)) for i in range(input.ndim)) if as_tuple else places


@op
def argwhere(input: Tensor) -> Tensor:
    """The places of the elements that are not 0: see ``nonzero``.

    A Tensor of any shape and dtype; the result is int64 (count, axes). Raises TypeError for what is no Tensor. As
    ``torch.argwhere``.
    """
    return nonzero(input)
