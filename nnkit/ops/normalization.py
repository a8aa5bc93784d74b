"""Batch, layer, group, instance and RMS normalization: one op, which takes its statistics over different parts of x."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nnkit.backends.precision import is_half
from nnkit.errors import ShapeError
from nnkit.ops.elementwise import check_float
from nnkit.tensors import dtypes
from nnkit.tensors.memory import Gradient
from nnkit.tensors.methods import op
from nnkit.tensors.results import Asked, result, same_backend
from nnkit.tensors.tensor import Tensor


@op
def normalize(
    x: Tensor, w: Tensor | None = None, b: Tensor | None = None, groups: int = 0, eps: float = 1e-5,
    centred: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """(x - mean) / sqrt(variance + eps) w + b for x (A, C, L), w and b (C,): samples, channels, places.

    ``groups`` 0 takes statistics for each channel, over samples and places (Ioffe and Szegedy, Batch Normalization,
    2015); else for each sample, over that many equal parts of the channels and all places (Wu and He, Group
    Normalization, 2018; one part is Layer Normalization, Ba et al., 2016). Where not ``centred`` the mean is 0 and the
    variance the mean square. Returns the result, the means and the population's variances, which have no gradient.

    All are of one float type, or of a half type x and float32 the rest. Raises DtypeError for whole numbers, ShapeError
    where sizes do not fit.

    >>> import nnkit
    >>> y, mean, variance = normalize(nnkit.tensor([[[1.0, 3.0]]]), eps=0.0); y, mean
    (tensor([[[-1.,  1.]]]), tensor([2.]))
    """
    dtype = _checked("normalize", x, w, b)
    backend = same_backend("normalize", x, *(t for t in (w, b) if t is not None))
    A, C = x.shape[:2]
    if groups and C % groups:
        raise ShapeError(f"normalize: {C} channels are not {groups} equal groups")
    statistics = (C,) if groups == 0 else (A, groups)
    between = dtypes.float32 if is_half(dtype) else dtype
    mean, variance = backend.empty(statistics, between), backend.empty(statistics, between)
    y = backend.empty(x.shape, dtype)
    arrays = x.array, None if w is None else w.array
    backend.normalize(*arrays, None if b is None else b.array, groups, eps, centred, mean, variance, y)

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> list[Any]:
        dx, places = _places(x, w, b, into)
        (dw, add_w), (db, add_b) = places
        backend.normalize_grad(*arrays, groups, eps, centred, mean, variance, dy, dx, dw, db, (add_w, add_b))
        return [dx, *(None for t in (w, b) if t is not None)]

    inputs = [t for t in (x, w, b) if t is not None]
    reads = [[t for t in (x, w) if t is not None], [x], []]

    def rule(dy: Tensor, asked: Asked) -> list[Tensor | None]:
        whole = x.shape if groups == 0 else (A, groups, -1)
        axes = (0, 2) if groups == 0 else (2,)
        parts = x.reshape(whole)
        off = parts - parts.mean(axes, True) if centred else parts
        scale = 1.0 / ((off * off).mean(axes, True) + eps).sqrt()
        normal = off * scale
        gradient = (dy if w is None else dy * w.reshape(1, C, 1)).reshape(whole)
        rest = gradient - normal * (gradient * normal).mean(axes, True)
        rest = rest - gradient.mean(axes, True) if centred else rest
        return [(rest * scale).reshape(x.shape), *_of_parameters(dy, normal.reshape(x.shape), w, b)]

    out = result("normalize", y, backend, inputs, pullback, reads[: len(inputs)], rule)
    return out, Tensor(mean, backend), Tensor(variance, backend)


@op
def normalize_by(
    x: Tensor, mean: Tensor, variance: Tensor, w: Tensor | None = None, b: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """``normalize`` of each channel by given statistics (C,), which get no gradient.

    x (A, C, L), w and b (C,), of a float type. Raises DtypeError for whole numbers, ShapeError where sizes do not fit.
    Source: Ioffe and Szegedy, Batch Normalization, 2015.

    >>> import nnkit
    >>> normalize_by(nnkit.tensor([[[1.0, 3.0]]]), nnkit.tensor([1.0]), nnkit.tensor([4.0]), eps=0.0)
    tensor([[[0., 1.]]])
    """
    dtype = _checked("normalize_by", x, w, b)
    for what, statistic in (("mean", mean), ("variance", variance)):
        _check_each_channel("normalize_by", x, what, statistic)
    backend = same_backend("normalize_by", x, mean, variance, *(t for t in (w, b) if t is not None))
    y = backend.empty(x.shape, dtype)
    given = x.array, None if w is None else w.array
    statistics = mean.detach().array, variance.detach().array
    backend.normalize_by(*given, None if b is None else b.array, eps, *statistics, y)

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> list[Any]:
        dx, ((dw, add_w), (db, add_b)) = _places(x, w, b, into)
        backend.normalize_by_grad(*given, eps, *statistics, dy, dx, dw, db, (add_w, add_b))
        return [dx, *(None for t in (w, b) if t is not None)]

    inputs = [t for t in (x, w, b) if t is not None]
    read = [t for t in (x, w, mean, variance) if t is not None]

    def rule(dy: Tensor, asked: Asked) -> list[Tensor | None]:
        shape = (1, x.shape[1], 1)
        scale = 1.0 / (variance.detach().to(dtype).reshape(shape) + eps).sqrt()
        normal = (x - mean.detach().to(dtype).reshape(shape)) * scale
        dx = dy * scale if w is None else dy * (scale * w.reshape(shape))
        return [dx, *_of_parameters(dy, normal, w, b)]

    return result("normalize_by", y, backend, inputs, pullback, [read for _ in inputs], rule)


def _of_parameters(dy: Tensor, normal: Tensor, w: Tensor | None, b: Tensor | None) -> list[Tensor]:
    """The gradients of those of w and b that there are."""
    gradients = [] if w is None else [(dy * normal).sum((0, 2))]
    return gradients if b is None else [*gradients, dy.sum((0, 2))]


def _checked(name: str, x: Tensor, w: Tensor | None, b: Tensor | None) -> Any:
    check_float(name, x)
    if x.ndim != 3:
        raise ShapeError(f"{name}: expected x of shape (samples, channels, places), got {x.shape}")
    for what, given in (("w", w), ("b", b)):
        if given is not None:
            _check_each_channel(name, x, what, given)
    return x.dtype


def _check_each_channel(name: str, x: Tensor, what: str, given: Tensor) -> None:
    if given.shape != x.shape[1:2]:
        raise ShapeError(f"{name}: expected {what} of shape {x.shape[1:2]}, one for each channel, got {given.shape}")


def _places(x: Tensor, w: Tensor | None, b: Tensor | None, into: Sequence[Gradient | None]) -> tuple[Any, list[Any]]:
    """Memory for dx, and the places of dw and db with whether to add."""
    backend = x.backend
    dx = backend.empty(x.shape, x.dtype) if into[0] is not None else None
    given, places = list(into[1:]), []
    for t in (w, b):
        place = given.pop(0) if t is not None else None
        places.append((None, False) if place is None or t is None else place.place(backend, t.shape, t.dtype))
    return dx, places
