"""Weights of a length and a direction, of a spectral norm of 1, and orthogonal ones: ``nn.utils.parametrizations``.

By ``nn.utils.parametrize``, with PyTorch's names of parameters and buffers.
"""

from __future__ import annotations

from typing import Any, TypeVar

from nnkit import ops
from nnkit.errors import ShapeError, UnknownNameError
from nnkit.nn.module import Module
from nnkit.nn.utils.parametrize import register_parametrization
from nnkit.nn.utils.reparametrize import as_matrix, norm_over, unit_vector
from nnkit.tensors.creation import eye
from nnkit.tensors.random_tensors import randn
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]

M = TypeVar("M", bound=Module)
MAPS = ("matrix_exp", "cayley", "householder")


def _weight(module: Module, name: str, kind: str) -> Tensor:
    found = getattr(module, name, None)
    if not isinstance(found, Tensor):
        raise ValueError(f"{kind}: {type(module).__name__} has no parameter or buffer {name!r}")
    return found


# ---- length and direction -------------------------------------------------------------------------------------------


class _WeightNorm(Module):
    """A weight from its lengths and its directions."""

    def __init__(self, ndim: int, dim: int | None) -> None:
        super().__init__()
        self.whole = dim is None or dim == -1
        self.axes = [axis for axis in range(ndim) if self.whole or axis != (dim or 0) % ndim]

    def _lengths(self, v: Tensor) -> Tensor:
        found = norm_over(v, self.axes)
        return found.reshape(()) if self.whole else found

    def forward(self, g: Tensor, v: Tensor) -> Tensor:
        return v * (g / self._lengths(v))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Lengths and directions of a weight."""
        return self._lengths(weight), weight


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Learn lengths (``original0``) and directions (``original1``) of a weight: Salimans and Kingma, 2016.

    The norm is over all axes but ``dim``, or over all where that is None or, as in PyTorch, -1. Returns the module.
    Source: ``torch.nn.utils.parametrizations.weight_norm``. Call it before making an optimizer. Raises ValueError for a
    module without that weight.

    >>> import nnkit
    >>> layer = weight_norm(nnkit.nn.Linear(3, 2)); layer.parametrizations.weight.original0.shape
    (2, 1)
    """
    weight = _weight(module, name, "weight_norm")
    if dim is not None and not -weight.ndim <= dim < weight.ndim:
        raise ShapeError(f"dim: expected an axis of {weight.ndim}, got {dim}")
    return register_parametrization(module, name, _WeightNorm(weight.ndim, dim), unsafe=True)


# ---- the largest singular value -------------------------------------------------------------------------------------

#: Steps of power iteration before the first reading.
STEPS = 15


class _SpectralNorm(Module):
    """A weight divided by its largest singular value, along vectors that power iteration finds."""

    def __init__(self, weight: Tensor, n_power_iterations: int, dim: int, eps: float) -> None:
        super().__init__()
        self.n_power_iterations, self.dim, self.eps = n_power_iterations, dim, eps
        if weight.ndim > 1:
            matrix = as_matrix(weight.detach(), dim)
            for name, axis in (("_u", 0), ("_v", 1)):
                start = randn(matrix.shape[axis], dtype=weight.dtype, device=weight.device)
                self.register_buffer(name, unit_vector(start, eps))
            self._iterate(matrix, STEPS)

    def _iterate(self, matrix: Tensor, steps: int) -> None:
        with no_grad():
            for _ in range(steps):
                self._u.copy_(unit_vector(matrix @ self._v, self.eps))
                self._v.copy_(unit_vector(matrix.T @ self._u, self.eps))

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return unit_vector(weight, self.eps)
        matrix = as_matrix(weight, self.dim)
        if self.training:
            self._iterate(matrix.detach(), self.n_power_iterations)
        # Copies, because the next reading changes the vectors, and this one's gradient reads them.
        return weight / (self._u.clone() * (matrix @ self._v.clone())).sum()

    def right_inverse(self, value: Tensor) -> Tensor:
        """The weight itself: it may have any norm."""
        return value


def spectral_norm(
    module: M, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> M:
    """Divide a weight by its largest singular value, as found by power iteration: Miyato et al., 2018.

    ``dim`` is the axis of outputs: 0, and 1 for transposed convolutions, unless given. Each reading in training mode
    makes ``n_power_iterations`` steps from where the last one ended. Returns the module. Source:
    ``torch.nn.utils.parametrizations.spectral_norm``. Call it before making an optimizer. Raises ValueError for a
    module without that weight, and for less than one step.

    >>> import nnkit
    >>> layer = spectral_norm(nnkit.nn.Linear(3, 2)); [name for name, _ in layer.named_buffers()]
    ['parametrizations.weight.0._u', 'parametrizations.weight.0._v']
    """
    if n_power_iterations < 1:
        raise ValueError(f"n_power_iterations: expected at least 1, got {n_power_iterations}")
    weight = _weight(module, name, "spectral_norm")
    axis = (1 if "Transpose" in type(module).__name__ else 0) if dim is None else dim % weight.ndim
    return register_parametrization(module, name, _SpectralNorm(weight, n_power_iterations, axis, eps))


# ---- orthogonal -----------------------------------------------------------------------------------------------------


class _Orthogonal(Module):
    """A matrix with orthonormal columns (rows, if there are fewer) from one without bounds."""

    def __init__(self, weight: Tensor, orthogonal_map: str, use_trivialization: bool) -> None:
        super().__init__()
        self.orthogonal_map = orthogonal_map
        if use_trivialization:
            self.register_buffer("base", None)
        self.use_trivialization = use_trivialization

    def forward(self, X: Tensor) -> Tensor:
        tall = X.shape[-2] >= X.shape[-1]
        x = X if tall else ops.transpose(X, -2, -1)
        found = _product_of_reflections(x) if self.orthogonal_map == "householder" else self._from_skew(x)
        base = self.base if self.use_trivialization else None
        if base is not None:
            found = base @ found
        return found if tall else ops.transpose(found, -2, -1)

    def _from_skew(self, x: Tensor) -> Tensor:
        """The image of x's lower triangle less its transpose."""
        n, k = x.shape[-2:]
        lower = ops.tril(x)
        if n != k:
            lower = ops.cat([lower, ops.expand(x.new_zeros(n, n - k), (*x.shape[:-2], n, n - k))], -1)
        skew = lower - ops.transpose(lower, -2, -1)
        if self.orthogonal_map == "matrix_exp":
            found = ops.matrix_exp(skew)
        else:
            one = eye(n, dtype=x.dtype, device=x.device)
            found = ops.solve(one - skew * 0.5, one + skew * 0.5)
        return found[..., :k] if n != k else found

    def right_inverse(self, Q: Tensor) -> Tensor:
        """What gives Q, made orthogonal first."""
        tall = Q.shape[-2] >= Q.shape[-1]
        q = Q if tall else ops.transpose(Q, -2, -1)
        if self.use_trivialization:
            self.base = _with_more_columns(q)
            # Reflections along no vector turn signs, and so does a diagonal of -1: what this gives is the base.
            start = -eye(Q.shape[-2], Q.shape[-1], dtype=Q.dtype, device=Q.device)
            return ops.clone(ops.expand(start, Q.shape))
        if self.orthogonal_map != "householder":
            raise NotImplementedError(
                f"orthogonal_map={self.orthogonal_map!r} has no inverse: set weights with use_trivialization=True, or "
                "use the map 'householder'"
            )
        found = _reflections(q)
        return found if tall else ops.transpose(found, -2, -1)


def _with_more_columns(q: Tensor) -> Tensor:
    """Orthonormal columns that begin with those of q, as many as there are rows."""
    n, k = q.shape[-2:]
    if n == k and _is_orthogonal(q):
        return ops.clone(q)
    if n != k:
        q = ops.cat([q, randn(*q.shape[:-2], n, n - k, dtype=q.dtype, device=q.device)], -1)
    orthonormal, triangle = ops.qr(q)
    return orthonormal * ops.unsqueeze(ops.sign(ops.diagonal(triangle, 0, -2, -1)), -2)


def _is_orthogonal(q: Tensor) -> bool:
    n = q.shape[-1]
    off = ops.transpose(q, -2, -1) @ q - eye(n, dtype=q.dtype, device=q.device)
    return float(ops.amax(ops.abs(off))) <= 10.0 * n * (2.0**-23 if q.dtype.itemsize < 8 else 2.0**-52)


def _product_of_reflections(x: Tensor) -> Tensor:
    """The first columns of the product of the reflections whose vectors lie below the diagonal, times the diagonal."""
    n, k = x.shape[-2:]
    below = ops.tril(x, -1)
    scale = 2.0 / (1.0 + (below * below).sum(-2))
    found = ops.expand(eye(n, k, dtype=x.dtype, device=x.device), x.shape)
    vectors = below + eye(n, k, dtype=x.dtype, device=x.device)
    for j in range(k - 1, -1, -1):
        v = vectors[..., j : j + 1]
        found = found - v @ (ops.transpose(v, -2, -1) @ found) * scale[..., j : j + 1, None]
    return found * ops.unsqueeze(ops.trunc(ops.diagonal(x, 0, -2, -1).detach()), -2)


def _reflections(q: Tensor) -> Tensor:
    """Vectors of reflections and signs whose product is the orthogonal factor of q, by Householder's method."""
    columns = []
    for j in range(q.shape[-1]):  # q becomes what is right of and below the diagonal's j-th place
        first, below = q[..., :1, 0], q[..., 1:, 0]
        length = ops.sqrt(ops.square(q[..., 0]).sum(-1, keepdim=True))
        away = first + ops.where(first < 0, -length, length)
        v = ops.cat([ops.add(first * 0.0, 1.0), below / ops.where(away == 0, 1.0, away)], -1)
        scale = 2.0 / ops.square(v).sum(-1, keepdim=True)
        q = q - ops.unsqueeze(v, -1) * (ops.unsqueeze(v * scale, -2) @ q)
        sign = ops.where(q[..., :1, 0] < 0, -1.0, 1.0).to(q.dtype)
        columns.append(ops.cat([q.new_zeros(*q.shape[:-2], j), sign, v[..., 1:]], -1))
        q = q[..., 1:, 1:]
    return ops.stack(columns, -1)


def orthogonal(
    module: M, name: str = "weight", orthogonal_map: str | None = None, *, use_trivialization: bool = True
) -> M:
    """Keep a weight (..., n, k) orthogonal: orthonormal columns, or rows where there are fewer.

    Args:
        module, name: the weight's; it begins as the orthogonal factor of its present value.
        orthogonal_map: "matrix_exp", of the lower triangle less its transpose; "cayley", (1 - A/2)^-1 (1 + A/2) of the
            same; "householder", a product of reflections. By default matrix_exp for square matrices, and householder.
        use_trivialization: multiply by a kept orthogonal matrix, ``base``, from the left, which is what is set by
            ``module.weight = Q``: Lezcano-Casado, 2019.

    Returns the module. Raises ShapeError for a weight of less than two axes, UnknownNameError for another map. Source:
    ``torch.nn.utils.parametrizations.orthogonal``. Call it before making an optimizer. The weight is float32 or
    float64.

    >>> import nnkit
    >>> layer = orthogonal(nnkit.nn.Linear(3, 2)); (layer.weight @ layer.weight.T).detach().round(decimals=3).abs()
    tensor([[1., 0.],
            [0., 1.]])
    """
    weight = _weight(module, name, "orthogonal")
    if weight.ndim < 2:
        raise ShapeError(f"orthogonal: expected a weight of at least two axes, got shape {weight.shape}")
    if orthogonal_map is None:
        orthogonal_map = "matrix_exp" if weight.shape[-2] == weight.shape[-1] else "householder"
    if orthogonal_map not in MAPS:
        raise UnknownNameError("orthogonal_map", orthogonal_map, MAPS)
    made: Any = _Orthogonal(weight, orthogonal_map, use_trivialization)
    return register_parametrization(module, name, made, unsafe=True)
