"""Layers as plain data: their weights' shapes, what they give and what that costs. Every contender has its own words.

Weights are laid out as PyTorch has them. Shapes are those of one example: channels first, or a sequence's tokens first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """A layer. Of its parameters ``ones`` begin at 1, other vectors at 0, and the rest is drawn."""

    ones: ClassVar[tuple[int, ...]] = ()

    def parameters(self) -> tuple[Shape, ...]:
        """The shapes of what it learns."""
        return ()

    def after(self, shape: Shape) -> Shape:
        """The shape of what it gives."""
        return shape

    def multiplications(self, shape: Shape) -> int:
        """Those of its products, forward, for one example."""
        return 0

    def input_multiplications(self, shape: Shape) -> int:
        """Those of the gradient of its input."""
        return self.multiplications(shape)

    def elements(self, shape: Shape) -> int:
        """How many numbers it computes for one example, those inside it too."""
        return math.prod(self.after(shape))

    def within(self, shape: Shape) -> Iterator[tuple[Layer, Shape]]:
        """The layers that it consists of, in the order of their weights, each with the shape of what it gets."""
        yield self, shape


def following(layers: Iterable[Layer], shape: Shape) -> Iterator[tuple[Layer, Shape]]:
    """Every simple layer, in the order of the weights, with the shape of what it gets."""
    for layer in layers:
        yield from layer.within(shape)
        shape = layer.after(shape)


@dataclass(frozen=True)
class Linear(Layer):
    """Weights (outputs, inputs), and a bias; of the last axis."""

    inputs: int
    outputs: int

    def parameters(self) -> tuple[Shape, ...]:
        return (self.outputs, self.inputs), (self.outputs,)

    def after(self, shape: Shape) -> Shape:
        return *shape[:-1], self.outputs

    def multiplications(self, shape: Shape) -> int:
        return math.prod(shape[:-1]) * self.inputs * self.outputs


@dataclass(frozen=True)
class Activation(Layer):
    """By name."""

    name: str


@dataclass(frozen=True)
class Dropout(Layer):
    """Of single elements."""

    p: float


@dataclass(frozen=True)
class Residual(Layer):
    """The sum of what a path gives and what stands beside it, which may be nothing: then it is the input."""

    path: tuple[Layer, ...]
    beside: tuple[Layer, ...] = ()

    def after(self, shape: Shape) -> Shape:
        for layer in self.path:
            shape = layer.after(shape)
        return shape

    def within(self, shape: Shape) -> Iterator[tuple[Layer, Shape]]:
        yield from following(self.path, shape)
        yield from following(self.beside, shape)


# ---- images ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Convolution(Layer):
    """Square windows of an odd side, padded by zeros so that a stride of 1 keeps height and width."""

    inputs: int
    outputs: int
    side: int = 3
    stride: int = 1
    groups: int = 1
    bias: bool = True

    def parameters(self) -> tuple[Shape, ...]:
        weights = (self.outputs, self.inputs // self.groups, self.side, self.side)
        return (weights, (self.outputs,)) if self.bias else (weights,)

    def after(self, shape: Shape) -> Shape:
        return self.outputs, *((size - 1) // self.stride + 1 for size in shape[1:])

    def multiplications(self, shape: Shape) -> int:
        return math.prod(self.after(shape)) * (self.inputs // self.groups) * self.side**2


@dataclass(frozen=True)
class BatchNorm(Layer):
    """Batch normalization of images, with running statistics."""

    channels: int
    ones: ClassVar[tuple[int, ...]] = (0,)

    def parameters(self) -> tuple[Shape, ...]:
        return (self.channels,), (self.channels,)


@dataclass(frozen=True)
class MaxPool(Layer):
    """Of windows that do not overlap."""

    side: int

    def after(self, shape: Shape) -> Shape:
        return shape[0], *(size // self.side for size in shape[1:])


@dataclass(frozen=True)
class GlobalPool(Layer):
    """The mean of each channel."""

    def after(self, shape: Shape) -> Shape:
        return shape[:1]


@dataclass(frozen=True)
class Flatten(Layer):
    """Everything of an example in a row."""

    def after(self, shape: Shape) -> Shape:
        return (math.prod(shape),)


# ---- sequences ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recurrent(Layer):
    """An LSTM or a GRU of one layer: (steps, inputs) to (steps, outputs), with PyTorch's two biases."""

    kind: str
    inputs: int
    outputs: int

    @property
    def gates(self) -> int:
        """How many products of the width of the state there are in a step."""
        return {"LSTM": 4, "GRU": 3}[self.kind]

    def parameters(self) -> tuple[Shape, ...]:
        rows = self.gates * self.outputs
        return (rows, self.inputs), (rows, self.outputs), (rows,), (rows,)

    def after(self, shape: Shape) -> Shape:
        return shape[0], self.outputs

    def multiplications(self, shape: Shape) -> int:
        return shape[0] * self.gates * self.outputs * (self.inputs + self.outputs)

    def input_multiplications(self, shape: Shape) -> int:
        return shape[0] * self.gates * self.outputs * self.inputs

    def elements(self, shape: Shape) -> int:
        return shape[0] * self.outputs * (self.gates + 2)


@dataclass(frozen=True)
class LastStep(Layer):
    """What a sequence ends with."""

    def after(self, shape: Shape) -> Shape:
        return shape[1:]


@dataclass(frozen=True)
class Embedding(Layer):
    """A table's rows by number; ``sparse``: PyTorch is to make its gradient of the rows used only."""

    rows: int
    width: int
    sparse: bool = False

    def parameters(self) -> tuple[Shape, ...]:
        return ((self.rows, self.width),)

    def after(self, shape: Shape) -> Shape:
        return *shape, self.width


@dataclass(frozen=True)
class Positions(Layer):
    """A learned row for each place is added: (places, width) to the same."""

    places: int
    width: int

    def parameters(self) -> tuple[Shape, ...]:
        return ((self.places, self.width),)


@dataclass(frozen=True)
class LayerNorm(Layer):
    """Layer normalization of the last axis."""

    width: int
    ones: ClassVar[tuple[int, ...]] = (0,)

    def parameters(self) -> tuple[Shape, ...]:
        return (self.width,), (self.width,)


@dataclass(frozen=True)
class Blocks(Layer):
    """Transformer blocks, normalized first, over sequences of ``tokens`` of which none sees a later one; no dropout.

    The parameters of each: queries, keys and values in one, the product after them, both linear layers, both
    normalizations. Scores above the diagonal are not counted.
    """

    count: int
    tokens: int
    width: int
    heads: int
    hidden: int
    activation: str
    ones: ClassVar[tuple[int, ...]] = (8, 10)

    def parameters(self) -> tuple[Shape, ...]:
        w, h = self.width, self.hidden
        return ((3 * w, w), (3 * w,), (w, w), (w,), (h, w), (h,), (w, h), (w,), (w,), (w,), (w,), (w,))

    def multiplications(self, shape: Shape) -> int:
        tokens = shape[0]
        return tokens * (4 * self.width**2 + 2 * self.width * self.hidden) + tokens * (tokens + 1) * self.width

    def elements(self, shape: Shape) -> int:
        return shape[0] * (9 * self.width + 2 * self.hidden)

    def within(self, shape: Shape) -> Iterator[tuple[Layer, Shape]]:
        yield from ((self, shape) for _ in range(self.count))


@dataclass(frozen=True)
class Attention(Layer):
    """Queries, keys and values (3, heads, tokens, width) to (heads, tokens, width); no query sees a later key."""

    def after(self, shape: Shape) -> Shape:
        return shape[1:]

    def multiplications(self, shape: Shape) -> int:
        _, heads, tokens, width = shape
        return heads * tokens * (tokens + 1) * width
