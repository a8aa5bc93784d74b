"""Clipping of gradients, in place and on the device: nothing is read on the host.

So a recorded step can contain it. Parameters that live in one arena are clipped as one flat array.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator

from nnkit.backends.base import Array, Backend
from nnkit.backends.precision import is_half
from nnkit.errors import DeviceError, DivergenceError
from nnkit.optim.arena import Slot, filled_runs
from nnkit.optim.groups import check_not_negative
from nnkit.tensors.creation import tensor
from nnkit.tensors.dtypes import float32
from nnkit.tensors.tensor import Tensor

Parameters = Tensor | Iterable[Tensor]


def clip_grad_norm_(
    parameters: Parameters,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale the gradients by min(1, max_norm / (norm + 1e-6)), norm being that of all of them as one vector.

    Args:
        parameters: a float Tensor, or any iterable of them; those without gradient are left out.
        max_norm: the greatest norm that is left as it is.
        norm_type: the norm's order, above 0; infinity for the greatest absolute value.
        error_if_nonfinite: raise DivergenceError for an infinite or NaN norm; this reads it on the host.
        foreach: PyTorch's choice between its loops, which changes nothing.

    Returns the norm before clipping, a scalar Tensor on the device. Warns when ``parameters`` is an iterator that has
    nothing left. Raises ValueError for another order, and for a bound that is negative or NaN,
    DeviceError for parameters of several devices. Source: ``torch.nn.utils.clip_grad_norm_``.

    >>> import nnkit
    >>> x = nnkit.tensor([3.0, 4.0], requires_grad=True)
    >>> (x * x).sum().backward(); norm = clip_grad_norm_([x], 1.0); norm.item(), x.grad
    (10.0, tensor([0.6, 0.8]))
    """
    check_not_negative("max_norm", max_norm)
    order = float(norm_type)
    if not order > 0.0:
        raise ValueError(f"norm_type must be greater than 0, or infinity, got {norm_type!r}")
    pieces, backend = gradient_pieces(parameters, "clip")
    if backend is None:
        return tensor(0.0)
    norm = _norm(pieces, order, backend)
    result = backend.empty((), backend.dtype_of(pieces[0]))
    backend.copy(backend.reshape(norm, ()), result)
    if error_if_nonfinite:
        value = float(backend.to_numpy(norm)[0])
        if not math.isfinite(value):
            raise DivergenceError(
                f"the norm of the gradients is {value}: they cannot be clipped. "
                "Lower the learning rate, or pass error_if_nonfinite=False"
            )
    coefficient = backend.empty((1,), "float64")
    backend.map("clip_coefficient", (norm,), (coefficient,), (float(max_norm),))
    for piece in pieces:
        backend.map("clip_scale", (piece,), (piece,), (coefficient,))
    return Tensor(result, backend)


def clip_grad_value_(parameters: Parameters, clip_value: float, foreach: bool | None = None) -> None:
    """Move every element of the gradients into -clip_value … clip_value.

    Warns when ``parameters`` is an iterator that has nothing left. Raises ValueError for a ``clip_value`` that is
    negative or NaN. Source: ``torch.nn.utils.clip_grad_value_``.

    >>> import nnkit
    >>> x = nnkit.tensor([3.0, -0.25], requires_grad=True)
    >>> (x * x).sum().backward(); clip_grad_value_([x], 1.0); x.grad.tolist()
    [1.0, -0.5]
    """
    check_not_negative("clip_value", clip_value)
    pieces, backend = gradient_pieces(parameters, "clip")
    for piece in pieces:
        assert backend is not None
        backend.map("clip_value", (piece,), (piece,), (float(clip_value),))


def get_total_norm(
    tensors: Parameters, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None
) -> Tensor:
    """The norm of tensors (of gradients, say) as one vector.

    They have any shapes and float dtypes; the norm is a scalar. Raises DivergenceError for one that is infinite or NaN
    with ``error_if_nonfinite``. Source: ``torch.nn.utils.get_total_norm``.

    >>> import nnkit
    >>> get_total_norm([nnkit.tensor([3.0]), nnkit.tensor([4.0])]).item()
    5.0
    """
    given = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    if not given:
        return tensor(0.0)
    backend = given[0].backend
    norm = _norm([one.detach().array for one in given], float(norm_type), backend)
    result = Tensor(backend.reshape(norm, ()), backend).to(given[0].dtype)
    if error_if_nonfinite and not math.isfinite(result.item()):
        raise DivergenceError(f"the norm of the tensors is {result.item()}")
    return result


def gradient_pieces(parameters: Parameters, purpose: str) -> tuple[list[Array], Backend | None]:
    """The gradients as few arrays as possible, and their backend; None where there are none.

    Raises DeviceError, which names the purpose, for gradients on several devices.
    """
    given = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    if not given and isinstance(parameters, Iterator):
        warnings.warn(
            f"parameters is an iterator with nothing left, so there is nothing to {purpose}: it was used up before. "
            "Pass model.parameters() anew each time, or a list",
            stacklevel=3,
        )
    filled = list({id(p): p for p in given if p.grad is not None and p.numel()}.values())
    for parameter in filled:
        if parameter.backend is not filled[0].backend:
            raise DeviceError(
                f"the gradients to {purpose} must be on one device, got "
                f"{str(filled[0].device)!r} and {str(parameter.device)!r}: "
                f"{purpose} those of each device by themselves"
            )
    seated = [p for p in filled if isinstance(p.gradient, Slot) and p.gradient.holds(p) and p.requires_grad]
    pieces = [run.block.gradients[run.start : run.stop] for run in filled_runs(seated)]
    ids = {id(parameter) for parameter in seated}
    pieces += [parameter.gradient.array for parameter in filled if id(parameter) not in ids]
    return pieces, filled[0].backend if filled else None


def _norm(pieces: list[Array], order: float, backend: Backend) -> Array:
    """The norm of all pieces as one vector: float64, one element."""
    parts = backend.empty((len(pieces),), "float64")
    kind = "max" if math.isinf(order) else "sum"
    for index, piece in enumerate(pieces):
        dtype = backend.dtype_of(piece)
        dtype = float32 if is_half(dtype) else dtype  # whose squares would be infinite from 256 on
        scratch = backend.empty(tuple(piece.shape), dtype)
        if kind == "max":
            backend.map("absolute_value", (piece,), (scratch,))
        elif order == 2.0:
            backend.map("square", (piece,), (scratch,))
        else:
            backend.map("magnitude_power", (piece,), (scratch,), (order,))
        part = backend.empty((1,), dtype)
        backend.reduce(kind, backend.reshape(scratch, (-1,)), (0,), part)
        backend.copy(part, parts[index : index + 1])
    norm = backend.empty((1,), "float64")
    backend.reduce(kind, parts, (0,), norm)
    if order == 2.0:
        backend.map("square_root", (norm,), (norm,))
    elif kind == "sum":
        backend.map("norm_root", (norm,), (norm,), (order,))
    return norm
