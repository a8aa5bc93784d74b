"""Layers that make one tensor of several: ``Add()([x, y])``, or ``add([x, y])``. Definitions: ``keras.layers``.

Inputs of fewer axes than the others get axes of size 1 behind the batch. Where all inputs carry masks a step of the
output counts if it does in one of them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, Unpack

from nnkit import ops
from nnkit.errors import ShapeError
from nnkit.keras.layer import Layer, LayerOptions, Shape, as_input
from nnkit.keras.masks import mask_of, unmasked, with_mask
from nnkit.recording.observer import call
from nnkit.tensors.creation import ones
from nnkit.tensors.tensor import Tensor

__all__ = [
    "Add", "Average", "Concatenate", "Dot", "Maximum", "Merge", "Minimum", "Multiply", "Subtract", "add", "average",
    "concatenate", "dot", "maximum", "minimum", "multiply", "subtract",
]  # fmt: skip

Mask = Tensor | None


class Merge(Layer):
    """The base: a subclass says in ``merged`` what it makes of a list of tensors of as many axes."""

    supports_masking = True
    #: The least and the largest number of inputs.
    takes = (1, math.inf)

    def forward(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """One tensor of a list of them; arrays are accepted as well."""
        self._check_list(inputs)
        tensors = [as_input(x) for x in inputs]
        if not self.built:
            self.build([(None, *x.shape[1:]) for x in tensors])
        masks = [mask_of(x) for x in tensors] if mask is None else list(mask)
        plain = [unmasked(x) for x in tensors]
        output = call(self.call, plain, masks)
        found = self.compute_mask(plain, masks)
        return output if found is None else with_mask(output, found)

    def call(self, inputs: list[Tensor], masks: Sequence[Mask]) -> Tensor:
        most = max(x.ndim for x in inputs)
        return self.merged([x.reshape(x.shape[0], *[1] * (most - x.ndim), *x.shape[1:]) for x in inputs], masks)

    def merged(self, inputs: list[Tensor], masks: Sequence[Mask]) -> Tensor:
        """What is made of tensors of as many axes."""
        raise NotImplementedError(f"{type(self).__name__} must define merged(self, inputs, masks)")

    def _check_list(self, inputs: Any) -> None:
        least, most = self.takes
        if not isinstance(inputs, (list, tuple)) or not least <= len(inputs) <= most:
            wanted = f"exactly {least}" if least == most else f"at least {least}"
            given = f"{len(inputs)}" if isinstance(inputs, (list, tuple)) else f"a {type(inputs).__name__}"
            raise ValueError(
                f"A merge layer should be called on a list of inputs: {type(self).__name__} layer {self.name!r} takes "
                f"{wanted}, got {given}; write {type(self).__name__}()([x, y])"
            )

    def build(self, input_shape: Any) -> None:
        self._check_list(input_shape)
        if not all(isinstance(shape, (list, tuple)) for shape in input_shape):
            raise ValueError(
                f"A merge layer should be called on a list of inputs: {type(self).__name__} layer {self.name!r} got "
                f"shape {input_shape}"
            )
        self.compute_output_shape(input_shape)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        shapes = [tuple(shape) for shape in input_shape]
        batches = {shape[0] for shape in shapes} - {None}
        if len(batches) > 1:
            raise ShapeError(f"Cannot merge tensors with different batch sizes. Got tensors with shapes {shapes}")
        rest = functools.reduce(self._broadcast, [shape[1:] for shape in shapes])
        return (batches.pop() if batches else None, *rest)

    def _broadcast(self, one: Shape, other: Shape) -> Shape:
        most = max(len(one), len(other))
        sizes: list[int | None] = []
        pairs = zip((1,) * (most - len(one)) + one, (1,) * (most - len(other)) + other, strict=True)
        for size, also in pairs:
            if size is not None and also is not None and size != also and 1 not in (size, also):
                raise ShapeError(
                    f"{type(self).__name__} layer {self.name!r}: Inputs have incompatible shapes. Received shapes "
                    f"{one} and {other}"
                )
            sizes.append(None if size is None or also is None else also if size == 1 else size)
        return tuple(sizes)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Mask:
        if previous_mask is None or any(mask is None for mask in previous_mask):
            return None
        return functools.reduce(ops.logical_or, previous_mask)


class Add(Merge):
    """The sum of its inputs.

    >>> Add()([[[1.0, 2.0]], [[3.0, 4.0]]]).tolist()
    [[4.0, 6.0]]
    """

    def merged(self, inputs: list[Tensor], masks: Sequence[Mask]) -> Tensor:
        return functools.reduce(ops.add, inputs)


class Subtract(Merge):
    """The first of two inputs minus the second.

    >>> import nnkit
    >>> Subtract()([nnkit.tensor([[2.0]]), nnkit.tensor([[3.0]])])
    tensor([[-1.]])
    """

    takes = (2, 2)

    def merged(self, inputs: list[Tensor], masks: Sequence[Mask]) -> Tensor:
        return inputs[0] - inputs[1]


class Average(Merge):
    """The mean of its inputs.

    >>> import nnkit
    >>> Average()([nnkit.tensor([[1.0]]), nnkit.tensor([[3.0]])])
    tensor([[2.]])
    """

    def merged(self, inputs: list[Tensor], masks: Sequence[Mask]) -> Tensor:
        total: Tensor = functools.reduce(ops.add, inputs)
        return total / float(len(inputs))


class Multiply(Merge):
    """The product of its inputs; one that is masked counts as 1 where its step does not count.

    >>> import nnkit
    >>> Multiply()([nnkit.tensor([[2.0]]), nnkit.tensor([[3.0]])])
    tensor([[6.]])
    """

    def merged(self, inputs: list[Tensor], masks: Sequence[Mask]) -> Tensor:
        parts = [
            x if mask is None else ops.where(ops.unsqueeze(mask, -1), x, 1.0)
            for x, mask in zip(inputs, masks, strict=True)
        ]
        product: Tensor = functools.reduce(ops.mul, parts)
        joined = self.compute_mask(inputs, masks)
        return product if joined is None else ops.where(ops.unsqueeze(joined, -1), product, 0.0)


class _Extreme(Merge):
    """The largest or smallest of the inputs whose step counts; of all, where it counts in none."""

    function: Any

    def merged(self, inputs: list[Tensor], masks: Sequence[Mask]) -> Tensor:
        output, seen = inputs[0], masks[0]
        for x, mask in zip(inputs[1:], masks[1:], strict=True):
            here = x if mask is None else ops.where(ops.unsqueeze(mask, -1), x, output)
            before = output if seen is None else ops.where(ops.unsqueeze(seen, -1), output, here)
            seen = None if mask is None or seen is None else ops.logical_or(seen, mask)
            output = type(self).function(before, here)
        return output


class Maximum(_Extreme):
    """The largest of its inputs, element by element.

    >>> import nnkit
    >>> Maximum()([nnkit.tensor([[1.0]]), nnkit.tensor([[3.0]])])
    tensor([[3.]])
    """

    function = staticmethod(ops.maximum)


class Minimum(_Extreme):
    """The smallest of its inputs, element by element.

    >>> import nnkit
    >>> Minimum()([nnkit.tensor([[1.0]]), nnkit.tensor([[3.0]])])
    tensor([[1.]])
    """

    function = staticmethod(ops.minimum)


class Concatenate(Merge):
    """Its inputs one after another along ``axis``, the last by default.

    >>> Concatenate()([[[1.0]], [[2.0, 3.0]]]).tolist()
    [[1.0, 2.0, 3.0]]
    """

    def __init__(self, axis: int = -1, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.axis = axis

    def call(self, inputs: list[Tensor], masks: Sequence[Mask]) -> Tensor:
        return ops.cat(inputs, self.axis)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        shapes = [list(shape) for shape in input_shape]
        ranks = {len(shape) for shape in shapes}
        rank = ranks.pop()
        axis = self.axis % rank if -rank <= self.axis < rank else None
        others = list(zip(*shapes, strict=False))
        known = [{size for size in sizes if size is not None} for sizes in others]
        if ranks or axis is None or any(len(sizes) > 1 for place, sizes in enumerate(known) if place != axis):
            raise ShapeError(
                "A `Concatenate` layer requires inputs with matching shapes except for the concatenation axis. "
                f"Layer {self.name!r} with axis={self.axis} received shapes {[tuple(shape) for shape in shapes]}"
            )
        along = [shape[axis] for shape in shapes]
        found: list[Any] = [next(iter(sizes), None) for sizes in known]
        found[axis] = None if None in along else sum(along)
        return tuple(found)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Mask:
        if previous_mask is None or all(mask is None for mask in previous_mask):
            return None
        axis = self.axis % inputs[0].ndim
        steps = [
            ones(*x.shape[:2], dtype="bool", device=x.device) if mask is None else mask
            for x, mask in zip(inputs, previous_mask, strict=True)
        ]
        if axis == 1:
            return ops.cat(steps, 1)
        return functools.reduce(ops.logical_or, steps)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}


class Dot(Merge):
    """Products of two inputs, summed along an axis of each: (B, 2, D) and (B, 3, D) at ``axes=2`` give (B, 2, 3).

    Args:
        axes: the axis, or one for each input; not 0, the batch.
        normalize: whether both are divided by their length along that axis, so that the products are cosines.
        options: ``name``, ``trainable``.

    >>> Dot(axes=1)([[[1.0, 2.0]], [[3.0, 4.0]]]).tolist()
    [[11.0]]
    """

    takes = (2, 2)

    def __init__(self, axes: Any, normalize: bool = False, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        pair = axes if isinstance(axes, (list, tuple)) else (axes, axes)
        if len(pair) != 2 or not all(isinstance(axis, int) for axis in pair):
            raise ValueError(f"Dot: axes must be an integer or two of them, got {axes!r}")
        self.axes, self.normalize = axes, normalize
        self._pair = tuple(pair)

    def _places(self, ranks: Sequence[int]) -> tuple[int, int]:
        one, other = (axis % rank for axis, rank in zip(self._pair, ranks, strict=True))
        return one, other

    def call(self, inputs: list[Tensor], masks: Sequence[Mask]) -> Tensor:
        one, other = (_last(x, axis) for x, axis in zip(inputs, self._places([x.ndim for x in inputs]), strict=True))
        if self.normalize:
            one, other = (
                x / ops.sqrt(ops.clamp(ops.sum(x * x, dim=-1, keepdim=True), min=1e-12)) for x in (one, other)
            )
        B, D = one.shape[0], one.shape[-1]
        sizes = (*one.shape[1:-1], *other.shape[1:-1])
        found = ops.matmul(one.reshape(B, -1, D), other.reshape(B, -1, D).transpose(1, 2))
        return found.reshape(B, *(sizes or (1,)))

    def compute_output_shape(self, input_shape: Any) -> Shape:
        one, other = (list(shape) for shape in input_shape)
        first, second = self._places((len(one), len(other)))
        sizes = one[first], other[second]
        if None not in sizes and sizes[0] != sizes[1]:
            raise ShapeError(
                f"Dot layer {self.name!r}: Incompatible input shapes: axis values {sizes[0]} (at axis {first}) != "
                f"{sizes[1]} (at axis {second}). Full input shapes: {tuple(one)}, {tuple(other)}"
            )
        del one[first], other[second]
        rest = (*one[1:], *other[1:])
        return (one[0], *(rest or (1,)))

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Mask:
        return None

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axes": self.axes, "normalize": self.normalize}


def _last(x: Tensor, axis: int) -> Tensor:
    """With an axis moved to the end."""
    return x.permute(*(place for place in range(x.ndim) if place != axis), axis)


def add(inputs: Any, **options: Any) -> Any:
    """``Add(**options)(inputs)``.

    >>> import nnkit
    >>> add([nnkit.tensor([[2.0]]), nnkit.tensor([[3.0]])])
    tensor([[5.]])
    """
    return Add(**options)(inputs)


def subtract(inputs: Any, **options: Any) -> Any:
    """``Subtract(**options)(inputs)``.

    >>> import nnkit
    >>> subtract([nnkit.tensor([[2.0]]), nnkit.tensor([[3.0]])])
    tensor([[-1.]])
    """
    return Subtract(**options)(inputs)


def multiply(inputs: Any, **options: Any) -> Any:
    """``Multiply(**options)(inputs)``.

    >>> import nnkit
    >>> multiply([nnkit.tensor([[2.0]]), nnkit.tensor([[3.0]])])
    tensor([[6.]])
    """
    return Multiply(**options)(inputs)


def average(inputs: Any, **options: Any) -> Any:
    """``Average(**options)(inputs)``.

    >>> import nnkit
    >>> average([nnkit.tensor([[1.0]]), nnkit.tensor([[3.0]])])
    tensor([[2.]])
    """
    return Average(**options)(inputs)


def maximum(inputs: Any, **options: Any) -> Any:
    """``Maximum(**options)(inputs)``.

    >>> import nnkit
    >>> maximum([nnkit.tensor([[1.0]]), nnkit.tensor([[3.0]])])
    tensor([[3.]])
    """
    return Maximum(**options)(inputs)


def minimum(inputs: Any, **options: Any) -> Any:
    """``Minimum(**options)(inputs)``.

    >>> import nnkit
    >>> minimum([nnkit.tensor([[1.0]]), nnkit.tensor([[3.0]])])
    tensor([[1.]])
    """
    return Minimum(**options)(inputs)


def concatenate(inputs: Any, axis: int = -1, **options: Any) -> Any:
    """``Concatenate(axis, **options)(inputs)``.

    >>> import nnkit
    >>> concatenate([nnkit.tensor([[2.0]]), nnkit.tensor([[3.0]])])
    tensor([[2., 3.]])
    """
    return Concatenate(axis, **options)(inputs)


def dot(inputs: Any, axes: Any = -1, **options: Any) -> Any:
    """``Dot(axes, **options)(inputs)``.

    >>> import nnkit
    >>> dot([nnkit.tensor([[1.0, 2.0]]), nnkit.tensor([[3.0, 4.0]])], axes=1)
    tensor([[11.]])
    """
    return Dot(axes, **options)(inputs)
