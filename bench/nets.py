"""Networks as plain data: a family and its sizes give layers, which every contender builds in its own words.

Weights are laid out as PyTorch has them, and everybody starts from the same (``initial``): so all can be held to the
same losses.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

Shape = tuple[int, ...]

# ---- layers ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layer:
    """A layer. Shapes are those of one example, channels first."""

    def parameters(self) -> tuple[Shape, ...]:
        """The shapes of what it learns."""
        return ()

    def after(self, shape: Shape) -> Shape:
        """The shape of what it gives."""
        return shape

    def multiplications(self, shape: Shape) -> int:
        """Those of its product, forward, for one example."""
        return 0

    def within(self, shape: Shape) -> Iterator[tuple[Layer, Shape]]:
        """The layers that it consists of, in the order of their weights, each with the shape of what it gets."""
        yield self, shape


@dataclass(frozen=True)
class Linear(Layer):
    """Weights (outputs, inputs), and a bias."""

    inputs: int
    outputs: int

    def parameters(self) -> tuple[Shape, ...]:
        return (self.outputs, self.inputs), (self.outputs,)

    def after(self, shape: Shape) -> Shape:
        return (self.outputs,)

    def multiplications(self, shape: Shape) -> int:
        return self.inputs * self.outputs


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

    def parameters(self) -> tuple[Shape, ...]:
        return (self.channels,), (self.channels,)


@dataclass(frozen=True)
class Activation(Layer):
    """By name."""

    name: str


@dataclass(frozen=True)
class Dropout(Layer):
    """Of single elements."""

    p: float


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


def following(layers: Iterable[Layer], shape: Shape) -> Iterator[tuple[Layer, Shape]]:
    """Every simple layer, in the order of the weights, with the shape of what it gets."""
    for layer in layers:
        yield from layer.within(shape)
        shape = layer.after(shape)


# ---- networks -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Net:
    """A network: ``sizes`` are features or channels, first the input's and last the classes.

    Families: "dense", and of images "plain", "residual", "separable".
    """

    sizes: tuple[int, ...]
    family: str = "dense"
    image: tuple[int, ...] = ()  # height and width
    activation: str = "relu"
    dropout: float = 0.0

    @property
    def inputs(self) -> Shape:
        """The shape of one example."""
        return (self.sizes[0], *self.image)

    @property
    def classes(self) -> int:
        """The number of outputs."""
        return self.sizes[-1]

    @property
    def layers(self) -> tuple[Layer, ...]:
        """What it consists of."""
        return FAMILIES[self.family](self)

    @property
    def parameters(self) -> int:
        """The number of weights and biases."""
        return sum(math.prod(shape) for layer, _ in self.flat() for shape in layer.parameters())

    @property
    def multiplications(self) -> list[int]:
        """Those of each product, forward, for one example."""
        return [count for layer, shape in self.flat() if (count := layer.multiplications(shape))]

    @property
    def elements(self) -> int:
        """What is computed for one example: the sizes of all its arrays."""
        return math.prod(self.inputs) + sum(math.prod(layer.after(shape)) for layer, shape in self.flat())

    def flat(self) -> Iterator[tuple[Layer, Shape]]:
        """Its layers without blocks, in the order of their weights, each with the shape of what it gets."""
        return following(self.layers, self.inputs)

    def initial(self) -> list[np.ndarray]:
        """Weights and biases to begin with, the same each time."""
        random, made = np.random.default_rng(0), list[np.ndarray]()
        for layer, _ in self.flat():
            for number, shape in enumerate(layer.parameters()):
                is_scale = isinstance(layer, BatchNorm) and number == 0
                made.append(_normal(random, shape) if len(shape) > 1 else np.full(shape, is_scale, np.float32))
        return made

    def shrunk(self, most: int, side: int = 8) -> Self:
        """The same family with at most so many features, on images of so small a side."""
        return replace(self, sizes=tuple(min(size, most) for size in self.sizes), image=(side,) * len(self.image))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The network whose fields these are, as JSON leaves them."""
        return cls(**{**values, "sizes": tuple(values["sizes"]), "image": tuple(values["image"])})


def _normal(random: np.random.Generator, shape: Shape) -> np.ndarray:
    """Weights that keep the size of what goes through."""
    return random.standard_normal(shape, np.float32) / np.float32(math.sqrt(math.prod(shape[1:])))


def _dense(net: Net) -> tuple[Layer, ...]:
    """Linear layers, and between them the activation and dropout."""
    between: list[Layer] = [Activation(net.activation)]
    if net.dropout:
        between.append(Dropout(net.dropout))
    layers: list[Layer] = []
    for inputs, outputs in itertools.pairwise(net.sizes):
        layers += [Linear(inputs, outputs), *between]
    return tuple(layers[: -len(between)])


def _plain(net: Net) -> tuple[Layer, ...]:
    """Convolutions, each followed by the activation and a pool; one linear layer."""
    channels, layers, shape = net.sizes[:-1], list[Layer](), net.inputs
    for inputs, outputs in itertools.pairwise(channels):
        layers += [Convolution(inputs, outputs), Activation(net.activation), MaxPool(2)]
    for layer in layers:
        shape = layer.after(shape)
    return (*layers, Flatten(), Linear(math.prod(shape), net.classes))


def _residual(net: Net) -> tuple[Layer, ...]:
    """Stages of two blocks with batch normalization, each stage but the first at half the side: He et al., 2016."""
    inputs, first, *_ = net.sizes
    layers: list[Layer] = [*_normalized(inputs, first, 3, 1), Activation(net.activation)]
    before = first
    for stage, channels in enumerate(net.sizes[1:-1]):
        for number in range(2):
            stride = 2 if stage and not number else 1
            path = [*_normalized(before, channels, 3, stride), Activation(net.activation)]
            beside = _normalized(before, channels, 1, stride) if stride > 1 or before != channels else ()
            layers += [Residual((*path, *_normalized(channels, channels, 3, 1)), beside), Activation(net.activation)]
            before = channels
    return (*layers, GlobalPool(), Linear(before, net.classes))


def _normalized(inputs: int, outputs: int, side: int, stride: int) -> tuple[Layer, ...]:
    return Convolution(inputs, outputs, side, stride, bias=False), BatchNorm(outputs)


def _separable(net: Net) -> tuple[Layer, ...]:
    """Depthwise and pointwise convolutions, each pair but the first at half the side: Howard et al., 2017."""
    inputs, first, *_ = net.sizes
    relu = Activation(net.activation)
    layers: list[Layer] = [Convolution(inputs, first), relu]
    for number, (i, o) in enumerate(itertools.pairwise(net.sizes[1:-1])):
        layers += [Convolution(i, i, 3, 2 if number else 1, groups=i), relu, Convolution(i, o, 1), relu]
    return (*layers, GlobalPool(), Linear(net.sizes[-2], net.classes))


FAMILIES: dict[str, Callable[[Net], tuple[Layer, ...]]] = {
    "dense": _dense, "plain": _plain, "residual": _residual, "separable": _separable,
}  # fmt: skip
