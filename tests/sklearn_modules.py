"""Modules that estimators are made of in tests; a module of its own, so that other processes can unpickle them."""

from __future__ import annotations

from nnkit import nn
from nnkit.tensors.tensor import Tensor


class Net(nn.Module):
    """Two layers of any width."""

    def __init__(self, in_features: int, out_features: int, width: int = 16, activation: str = "relu") -> None:
        super().__init__()
        self.width = width
        self.hidden = nn.Linear(in_features, width, activation=activation)
        self.last = nn.Linear(width, out_features)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.hidden(x))


class Autoencoder(nn.Module):
    """A code of a few numbers, and back."""

    def __init__(self, in_features: int, width: int = 2) -> None:
        super().__init__()
        self.coder, self.decoder = nn.Linear(in_features, width), nn.Linear(width, in_features)

    def encode(self, x: Tensor) -> Tensor:
        return self.coder(x)

    def decode(self, code: Tensor) -> Tensor:
        return self.decoder(code)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))


class Words(nn.Module):
    """The mean of a learned vector for each of some numbered words, and scores of it."""

    def __init__(self, words: int, classes: int) -> None:
        super().__init__()
        self.vectors, self.scores = nn.Embedding(words, 8), nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.scores(self.vectors(x).mean(dim=1))


class Layers(nn.Module):
    """As many layers as there are activations."""

    def __init__(
        self, in_features: int, out_features: int, width: int = 4, activations: tuple[str, ...] = ("relu",),
        dropout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        hidden = [
            nn.Linear(width if place else in_features, width, activation=name) for place, name in enumerate(activations)
        ]
        self.layers = nn.Sequential(*hidden, nn.Dropout(dropout), nn.Linear(width, out_features))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
