"""Shapes of inputs: one shape, or a list, tuple or dict of them where a layer takes several inputs."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from nnkit.errors import ShapeError
from nnkit.recording.structures import leaves
from nnkit.tensors.creation import zeros
from nnkit.tensors.tensor import Tensor

__all__ = ["InputSpec", "as_shape", "check_spec", "is_shape", "is_unknown", "shape_names", "zeros_of"]


class InputSpec:
    """What the input of a layer must be like; raises ShapeError at a call where it is not.

    Args:
        dtype: accepted; inputs are converted, not refused.
        shape: the whole shape, with None for any size.
        ndim, max_ndim, min_ndim: how many axes.
        axes: the size of each of some axes: ``{-1: 64}``.
        allow_last_axis_squeeze, optional: accepted.
        name: accepted.

    Source: ``keras.InputSpec``.

    >>> InputSpec(shape=(None, 3)).ndim
    2
    """

    def __init__(
        self,
        dtype: Any = None,
        shape: Any = None,
        ndim: int | None = None,
        max_ndim: int | None = None,
        min_ndim: int | None = None,
        axes: dict[int, int | None] | None = None,
        allow_last_axis_squeeze: bool = False,
        name: str | None = None,
        optional: bool = False,
    ) -> None:
        self.dtype, self.name, self.optional = dtype, name, optional
        self.shape = None if shape is None else tuple(shape)
        self.ndim = ndim if self.shape is None else len(self.shape)
        self.max_ndim, self.min_ndim = max_ndim, min_ndim
        self.axes = {int(axis): size for axis, size in (axes or {}).items()}
        self.allow_last_axis_squeeze = allow_last_axis_squeeze

    def check(self, layer: str, x: Tensor) -> None:
        """Raise ShapeError for a tensor that is not like this."""
        wrong = None
        if self.ndim is not None and x.ndim != self.ndim:
            wrong = f"{self.ndim} axes"
        elif self.max_ndim is not None and x.ndim > self.max_ndim:
            wrong = f"at most {self.max_ndim} axes"
        elif self.min_ndim is not None and x.ndim < self.min_ndim:
            wrong = f"at least {self.min_ndim} axes"
        elif self.shape is not None and any(n not in (None, m) for n, m in zip(self.shape, x.shape, strict=True)):
            wrong = f"shape {self.shape}"
        else:
            for axis, size in self.axes.items():
                if size is not None and x.shape[axis] != size:
                    wrong = f"size {size} along axis {axis}"
        if wrong is not None:
            raise ShapeError(f"layer {layer!r} expects an input of {wrong}; got shape {tuple(x.shape)}")

    def __repr__(self) -> str:
        return f"InputSpec(shape={self.shape}, ndim={self.ndim}, axes={self.axes})"


def check_spec(layer: str, spec: Any, inputs: Any) -> None:
    """Raise ShapeError where an input is not as its spec says."""
    specs = list(leaves(spec))
    given = [leaf for leaf in leaves(inputs) if isinstance(leaf, Tensor)]
    if len(specs) != len(given):
        raise ShapeError(f"layer {layer!r} expects {len(specs)} inputs, got {len(given)}")
    for one, x in zip(specs, given, strict=True):
        if isinstance(one, InputSpec):
            one.check(layer, x)


def is_shape(value: Any) -> bool:
    """Whether this is one shape: a tuple or list of whole numbers and None."""
    return isinstance(value, (tuple, list)) and all(size is None or isinstance(size, int) for size in value)


def as_shape(value: Any) -> Any:
    """A shape as a tuple, in a structure of shapes each of them.

    >>> as_shape([None, 3]), as_shape([[None, 3], (None, 4)])
    ((None, 3), [(None, 3), (None, 4)])
    """
    if is_shape(value):
        return tuple(value)
    if isinstance(value, dict):
        return {name: as_shape(shape) for name, shape in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(as_shape(shape) for shape in value)
    return value


def is_unknown(shape: Any) -> bool:
    """Whether a size other than the batch's is not known, in any shape of a structure."""
    if is_shape(shape):
        return None in shape[1:]
    parts = shape.values() if isinstance(shape, dict) else shape
    return any(is_unknown(part) for part in parts)


def zeros_of(shape: Any) -> Any:
    """One sample of zeros for a shape, or for each of a structure."""
    if is_shape(shape):
        return zeros(1, *(size or 1 for size in shape[1:]))
    if isinstance(shape, dict):
        return {name: zeros_of(part) for name, part in shape.items()}
    return type(shape)(zeros_of(part) for part in shape)


@functools.cache
def shape_names(build: Callable[..., Any]) -> tuple[str, ...]:
    """The parameters of a ``build`` that are shapes, by name: those that end in "_shape"."""
    parameters = list(inspect.signature(inspect.unwrap(build)).parameters)
    return tuple(name for name in parameters[1:] if name.endswith("_shape"))
