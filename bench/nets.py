"""Networks as plain data: a family and its sizes give layers, which every contender builds in its own words.

Everybody starts from the same weights (``initial``): so all can be held to the same losses.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from bench.layers import (
    Activation,
    Attention,
    BatchNorm,
    Blocks,
    Convolution,
    Dropout,
    Embedding,
    Flatten,
    GlobalPool,
    LastStep,
    Layer,
    LayerNorm,
    Linear,
    MaxPool,
    Positions,
    Recurrent,
    Residual,
    Shape,
    following,
)


@dataclass(frozen=True)
class Net:
    """A network: ``sizes`` are features, channels or words, first the input's and last the classes.

    Families: "dense"; of images "plain", "residual", "separable"; of sequences "LSTM", "GRU" and "language" (words,
    width, hidden units of its ``blocks``, words); "embedding", a table alone; "attention", whose size is a head's.
    """

    sizes: tuple[int, ...]
    family: str = "dense"
    image: tuple[int, ...] = ()  # height and width
    activation: str = "relu"
    dropout: float = 0.0
    tokens: int = 0  # or steps of a sequence
    heads: int = 0
    blocks: int = 0
    sparse: bool = False  # the gradient of a table, in PyTorch

    @property
    def inputs(self) -> Shape:
        """The shape of one example."""
        match self.family:
            case "embedding":
                return ()
            case "language":
                return (self.tokens,)
            case "LSTM" | "GRU":
                return self.tokens, self.sizes[0]
            case "attention":
                return 3, self.heads, self.tokens, self.sizes[0]
        return (self.sizes[0], *self.image)

    @property
    def words(self) -> int:
        """Of how many words examples are made; 0 where they are made of any numbers."""
        return self.sizes[0] if self.family in ("embedding", "language") else 0

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
        """Those of each layer's products, forward, for one example."""
        return [count for layer, shape in self.flat() if (count := layer.multiplications(shape))]

    @property
    def input_multiplications(self) -> int:
        """Those of the gradient of the input, by the first layer, for one example."""
        return self.layers[0].input_multiplications(self.inputs)

    @property
    def elements(self) -> int:
        """What is computed for one example: the sizes of all its arrays."""
        return math.prod(self.inputs) + sum(layer.elements(shape) for layer, shape in self.flat())

    def flat(self) -> Iterator[tuple[Layer, Shape]]:
        """Its layers without blocks, in the order of their weights, each with the shape of what it gets."""
        return following(self.layers, self.inputs)

    def initial(self) -> list[np.ndarray]:
        """Weights and biases to begin with, the same each time."""
        random, made = np.random.default_rng(0), list[np.ndarray]()
        for layer, _ in self.flat():
            for number, shape in enumerate(layer.parameters()):
                begins = np.full(shape, number in layer.ones, np.float32)
                made.append(_normal(random, shape) if len(shape) > 1 else begins)
        return made

    def shrunk(self, most: int, side: int = 8) -> Self:
        """The same family with at most so many features, on images or sequences of so small a side."""
        sizes, heads = tuple(min(size, most) for size in self.sizes), self.heads and math.gcd(self.heads, most)
        return replace(self, sizes=sizes, image=(side,) * len(self.image), heads=heads, tokens=min(self.tokens, side))

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


# ---- sequences ------------------------------------------------------------------------------------------------------


def _recurrent(net: Net) -> tuple[Layer, ...]:
    """One recurrent layer, and of its last step a linear one."""
    inputs, hidden, classes = net.sizes
    return Recurrent(net.family, inputs, hidden), LastStep(), Linear(hidden, classes)


def _language(net: Net) -> tuple[Layer, ...]:
    """Which word follows: rows of words and of places, transformer blocks, a normalization, a linear layer."""
    words, width, hidden, classes = net.sizes
    blocks = Blocks(net.blocks, net.tokens, width, net.heads, hidden, net.activation)
    return Embedding(words, width), Positions(net.tokens, width), blocks, LayerNorm(width), Linear(width, classes)


FAMILIES: dict[str, Callable[[Net], tuple[Layer, ...]]] = {
    "dense": _dense, "plain": _plain, "residual": _residual, "separable": _separable,
    "LSTM": _recurrent, "GRU": _recurrent, "language": _language,
    "embedding": lambda net: (Embedding(*net.sizes, net.sparse),), "attention": lambda net: (Attention(),),
}  # fmt: skip
