"""Arguments of layers: checked, refused, and told in a configuration."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from nnkit import nn
from nnkit.errors import ShapeError, nearest_names
from nnkit.keras import regularizers
from nnkit.recording.observer import call
from nnkit.tensors.dtypes import as_dtype
from nnkit.tensors.tensor import Tensor

__all__ = ["dtype_name", "in_layout", "normalized_shape", "positive", "refuse", "taken", "unknown_arguments"]


def refuse(layer: str, **arguments: object) -> None:
    """Raise for the first argument that Keras has and nnkit has not."""
    for name, value in arguments.items():
        if value is not None:
            raise ValueError(f"{layer}: {name} is not supported; leave it out (got {name}={value!r})")


def positive(layer: str, name: str, value: Any) -> int:
    """A whole number of at least 1.

    >>> positive("Dense", "units", 3)
    3
    """
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise ValueError(f"{layer}: {name} must be a positive integer; got {value!r}")
    return value


def in_layout(
    regularizer: regularizers.RegularizerFunction, layout: Callable[[Tensor], Tensor]
) -> regularizers.RegularizerFunction:
    """A penalty on a weight as Keras lays it out, as one on the tensor that the layer keeps."""
    if isinstance(regularizer, nn.L1L2):  # A sum over all elements: the order does not matter.
        return regularizer
    return lambda weight: call(regularizer, layout(weight))


def normalized_shape(shape: Any) -> tuple[int | None, ...]:
    """A shape with batch size, given as a tuple, a list or (of features) one number.

    >>> normalized_shape([None, 4]), normalized_shape((32, 4))
    ((None, 4), (32, 4))
    """
    sizes = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    if not sizes or not all(size is None or (isinstance(size, int) and size > 0) for size in sizes):
        raise ShapeError(f"a shape must be a tuple of positive integers and None, batch size first; got {shape!r}")
    return sizes


def dtype_name(dtype: Any) -> str | None:
    """The name of a dtype or of a policy."""
    if dtype is None or isinstance(dtype, str):
        known = dtype
    elif isinstance(dtype, dict):
        known = dtype.get("config", dtype).get("name")
    else:
        known = getattr(dtype, "name", None) or str(as_dtype(dtype))
    if known is not None and known.removeprefix("mixed_") == known:
        as_dtype(known)
    return known


def taken(cls: type, config: dict[str, Any]) -> dict[str, Any]:
    """Of the settings of every layer those that a constructor takes."""
    parameters = inspect.signature(cls.__init__).parameters.values()  # type: ignore[misc]
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return config
    names = {parameter.name for parameter in parameters}
    return {name: value for name, value in config.items() if name in names}


def unknown_arguments(layer: type, names: Iterable[str], of_all: Iterable[str]) -> ValueError:
    """What to say of keyword arguments that a layer does not take; ``of_all``: those that every layer does."""
    own = list(inspect.signature(layer.__init__).parameters)  # type: ignore[misc]
    known = [name for name in (*own, *of_all) if name not in ("self", "options", "kwargs")]
    told = []
    for name in names:
        near = nearest_names(name, known)
        told.append(f"{name!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
    return ValueError(f"{layer.__name__}: unrecognized keyword arguments: {', '.join(told)}")
