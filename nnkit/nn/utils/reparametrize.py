"""Weights that are computed from others: by length and direction (weight_norm), or divided by their largest singular
value (spectral_norm).

The module becomes one of a class made for it, in which the weight is a property: whoever reads it gets it computed, on
the tape and in recorded steps, from the parameters that are learned instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from nnkit import ops
from nnkit.errors import ShapeError
from nnkit.nn.module import Module
from nnkit.tensors.random_tensors import randn
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Parameter, Tensor

__all__ = ["remove_spectral_norm", "remove_weight_norm", "spectral_norm", "weight_norm"]

M = TypeVar("M", bound=Module)


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Learn length and direction of a weight: ``name_g * name_v / |name_v|`` (Salimans and Kingma 2016).

    The norm is over all axes but ``dim``, or over all where that is None. Returns the module. Source:
    ``torch.nn.utils.weight_norm``, whose names of the parameters these are. Call it before making an
    optimizer. Raises ValueError for a ``name`` that is no parameter, ShapeError for an axis that it does not have.

    >>> import nnkit
    >>> layer = weight_norm(nnkit.nn.Linear(3, 2))
    >>> layer(nnkit.zeros(1, 3)).shape, sorted(name for name, _ in layer.named_parameters())
    ((1, 2), ['bias', 'weight_g', 'weight_v'])
    """
    weight = _taken(module, name, "weight_norm")
    if dim is not None and not -weight.ndim <= dim < weight.ndim:
        raise ShapeError(f"dim: expected an axis of {weight.ndim}, got {dim}")
    axes = [axis for axis in range(weight.ndim) if dim is None or axis != dim % weight.ndim]
    module.register_parameter(f"{name}_g", Parameter(norm_over(weight.detach(), axes), weight.requires_grad))
    module.register_parameter(f"{name}_v", Parameter(weight.detach(), weight.requires_grad))

    def computed(owner: Module) -> Tensor:
        direction = getattr(owner, f"{name}_v")
        return direction * (getattr(owner, f"{name}_g") / norm_over(direction, axes))

    return _becomes(module, name, "weight_norm", computed)


def spectral_norm(
    module: M, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> M:
    """Divide a weight by its largest singular value, as found by power iteration (Miyato et al. 2018).

    ``dim`` is the axis of outputs: 0, and 1 for transposed convolutions, unless given. Each reading in training mode
    makes ``n_power_iterations`` steps from where the last one ended. Returns the module. Source:
    ``torch.nn.utils.spectral_norm``. Call it before making an optimizer. Raises ValueError for a
    ``name`` that is no parameter, or less than 1 iteration.

    >>> import nnkit
    >>> layer = spectral_norm(nnkit.nn.Linear(3, 2))
    >>> sorted(name for name, _ in layer.named_buffers())
    ['weight_u', 'weight_v']
    """
    if n_power_iterations < 1:
        raise ValueError(f"n_power_iterations: expected at least 1, got {n_power_iterations}")
    weight = _taken(module, name, "spectral_norm")
    axis = (1 if "Transpose" in type(module).__name__ else 0) if dim is None else dim % weight.ndim
    matrix = as_matrix(weight.detach(), axis)
    module.register_parameter(f"{name}_orig", Parameter(weight.detach(), weight.requires_grad))
    module.register_buffer(f"{name}_u", unit_vector(_start(matrix, 0), eps))
    module.register_buffer(f"{name}_v", unit_vector(_start(matrix, 1), eps))

    def computed(owner: Module) -> Tensor:
        kept = getattr(owner, f"{name}_orig")
        rows = as_matrix(kept, axis)
        left, right = getattr(owner, f"{name}_u"), getattr(owner, f"{name}_v")
        if owner.training:
            with no_grad():
                for _ in range(n_power_iterations):
                    right.copy_(unit_vector(rows.detach().T @ left, eps))
                    left.copy_(unit_vector(rows.detach() @ right, eps))
        # Copies, because the next reading changes the vectors, and this one's gradient reads them.
        largest = (left.clone() * (rows @ right.clone())).sum()
        return kept / largest

    return _becomes(module, name, "spectral_norm", computed)


def remove_weight_norm(module: M, name: str = "weight") -> M:
    """Make the weight an ordinary parameter again, with its present value.

    Raises ValueError where it has no weight norm. Source: ``torch.nn.utils.remove_weight_norm``.

    >>> from nnkit import nn
    >>> sorted(dict(remove_weight_norm(weight_norm(nn.Linear(2, 1))).named_parameters()))
    ['bias', 'weight']
    """
    return _ends(module, name, "weight_norm")


def remove_spectral_norm(module: M, name: str = "weight") -> M:
    """Make the weight an ordinary parameter again, with its present value.

    Raises ValueError where it has no spectral norm. Source: ``torch.nn.utils.remove_spectral_norm``.

    >>> from nnkit import nn
    >>> sorted(dict(remove_spectral_norm(spectral_norm(nn.Linear(2, 1))).named_parameters()))
    ['bias', 'weight']
    """
    return _ends(module, name, "spectral_norm")


# ---- the class of a module with a computed weight -------------------------------------------------------------


def _taken(module: Module, name: str, kind: str) -> Parameter:
    """The parameter that will be computed, taken out of its module."""
    if name in getattr(type(module), "computed_weights", {}):
        raise ValueError(f"{kind}: {name!r} of {type(module).__name__} is computed already")
    weight = module._parameters.get(name)
    if weight is None:
        raise ValueError(f"{kind}: {type(module).__name__} has no parameter {name!r}")
    delattr(module, name)
    return weight


def _becomes(module: M, name: str, kind: str, computed: Callable[[Any], Tensor]) -> M:
    known: type = type(module)
    weights = {**getattr(known, "computed_weights", {}), name: (kind, known)}
    members = {name: property(computed), "computed_weights": weights, "__module__": __name__}
    module.__class__ = type(known.__name__, (known,), members)
    return module


def _ends(module: M, name: str, kind: str) -> M:
    found = getattr(type(module), "computed_weights", {}).get(name)
    if found is None or found[0] != kind:
        raise ValueError(f"{kind} of {name!r} was not found in {type(module).__name__}")
    with no_grad():
        value = getattr(module, name).detach().clone()
    learned = False
    for end in ("_g", "_v", "_orig", "_u"):
        if name + end in module._parameters:
            learned = learned or module._parameters[name + end].requires_grad  # type: ignore[union-attr]
        if name + end in (*module._parameters, *module._buffers):
            delattr(module, name + end)
    module.__class__ = found[1]
    module.register_parameter(name, Parameter(value, learned))
    return module


def norm_over(weight: Tensor, axes: list[int]) -> Tensor:
    """The lengths over axes, which stay as axes of size 1."""
    return (weight * weight).sum(dim=axes, keepdim=True).sqrt() if axes else weight.abs()


def as_matrix(weight: Tensor, axis: int) -> Tensor:
    """The weight as a matrix with the axis of outputs first."""
    if axis:
        weight = weight.permute(axis, *(other for other in range(weight.ndim) if other != axis))
    return weight.reshape(weight.shape[0], -1)


def _start(matrix: Tensor, axis: int) -> Tensor:
    return randn(matrix.shape[axis], dtype=matrix.dtype, device=matrix.device)


def unit_vector(vector: Tensor, eps: float) -> Tensor:
    """The vector at length 1."""
    return vector / ops.clamp((vector * vector).sum().sqrt(), min=eps)
