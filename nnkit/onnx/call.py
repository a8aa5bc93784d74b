"""A node at work: what it is given, in the ways that operators ask for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nnkit.backends import Backend
from nnkit.onnx.errors import OnnxError
from nnkit.onnx.reading import LIMIT
from nnkit.tensors.tensor import Tensor

__all__ = ["Call"]


class Call(NamedTuple):
    """A node at work: its inputs are tensors, host arrays or None."""

    op: str
    inputs: Sequence[Any]
    attributes: dict[str, Any]
    outputs: int
    opset: int
    backend: Backend
    name: str

    def given(self, place: int) -> Any:
        """An input, or None where it is left out."""
        return self.inputs[place] if place < len(self.inputs) else None

    def tensor(self, place: int) -> Any:
        """An input as a tensor, on the device of this pass; None where it is left out."""
        value = self.given(place)
        if not isinstance(value, np.ndarray):
            return value
        if value.dtype == object:
            raise self.wrong("computes with texts, which no tensor holds")
        return Tensor(self.backend.asarray(value), self.backend)

    def tensors(self) -> list[Any]:
        """All inputs as tensors."""
        return [self.tensor(place) for place in range(len(self.inputs))]

    def host(self, place: int) -> np.ndarray | None:
        """An input as a host array: a shape, axes, or another number that has to be known."""
        value = self.given(place)
        return value.detach().numpy() if isinstance(value, Tensor) else value

    def numbers(self, place: int) -> np.ndarray:
        """The elements of an input that has to be there, on the host."""
        value = self.host(place)
        if value is None or not value.size:
            raise self.wrong(f"lacks its input number {place}")
        return np.ravel(value)

    def integers(self, place: int, name: str = "") -> list[int] | None:
        """Whole numbers: an input, or in older versions an attribute; None where they are left out."""
        value = self.host(place)
        if value is not None:
            return [int(v) for v in np.ravel(value)]
        found = self.attributes.get(name)
        return found if found is None else [int(v) for v in np.ravel(found)]

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute."""
        return self.attributes.get(name, default)

    def only(self, name: str, *allowed: Any) -> None:
        """Refuse an attribute with another value than these."""
        if name in self.attributes and self.attributes[name] not in allowed:
            raise self.wrong(
                f"has {name}={self.attributes[name]!r}, and nnkit.onnx knows {', '.join(map(repr, allowed))}"
            )

    def wrong(self, what: str) -> OnnxError:
        """The error for a node that is not understood."""
        return OnnxError(f"the node {self.name!r} ({self.op}) {what}")

    def room(self, shape: Sequence[int]) -> None:
        """Refuse to make more elements than an array may have."""
        if any(n < 0 for n in shape) or math.prod(shape) > LIMIT:
            raise self.wrong(f"makes an array of shape {tuple(shape)}, more than {LIMIT:,} elements")
