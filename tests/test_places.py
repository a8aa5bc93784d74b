"""What is drawn for the samples of a divided batch is that of the whole batch, or is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import keras, nn
from nnkit.tensors.shares import Share, divided, samples_along
from nnkit.training.places import check_places

SAMPLES, FIRST, ROWS = 8, 2, 3
RANDOM = np.random.default_rng(0)

#: Layers that take samples first: what makes one, and the shape of a sample.
FIRST_AXIS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "Dropout": (lambda: nn.Dropout(0.5), (4, 3)),
    "Dropout1d": (lambda: nn.Dropout1d(0.5), (4, 3)),
    "Dropout2d": (lambda: nn.Dropout2d(0.5), (4, 3, 2)),
    "Dropout3d": (lambda: nn.Dropout3d(0.5), (4, 3, 2, 2)),
    "RReLU": (lambda: nn.RReLU(), (4, 3)),
    "Attention": (lambda: Attending(), (4, 6)),
    "Attention with weights": (lambda: Attending(need_weights=True), (4, 6)),
    "Attention by time": (lambda: Attending(batch_first=False), (4, 6)),
    "TransformerEncoderLayer": (lambda: nn.TransformerEncoderLayer(6, 2, 8, 0.5, batch_first=True), (4, 6)),
    "LSTM": (lambda: Recurrent(nn.LSTM(6, 5, 2, dropout=0.5, batch_first=True)), (4, 6)),
    "keras Dropout": (lambda: keras.layers.Dropout(0.5), (4, 3)),
    "keras GaussianNoise": (lambda: keras.layers.GaussianNoise(0.5), (4, 3)),
    "keras GaussianDropout": (lambda: keras.layers.GaussianDropout(0.5), (4, 3)),
    "keras AlphaDropout": (lambda: keras.layers.AlphaDropout(0.5), (4, 3)),
    "keras SpatialDropout1D": (lambda: keras.layers.SpatialDropout1D(0.5), (4, 3)),
    "keras SpatialDropout2D": (lambda: keras.layers.SpatialDropout2D(0.5), (4, 3, 2)),
    "keras LSTM": (lambda: keras.layers.LSTM(3, dropout=0.5), (4, 3)),
    "keras RandomFlip": (lambda: keras.layers.RandomFlip(), (4, 4, 3)),
    "keras RandomBrightness": (lambda: keras.layers.RandomBrightness(0.5), (4, 4, 3)),
}


class Attending(nn.Module):
    def __init__(self, batch_first: bool = True, need_weights: bool = False) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, dropout=0.5, batch_first=batch_first)
        self.need_weights = need_weights

    def forward(self, x: nnkit.Tensor) -> nnkit.Tensor:
        x = x if self.attention.batch_first else x.transpose(0, 1)
        y = self.attention(x, x, x, need_weights=self.need_weights)[0]
        return y if self.attention.batch_first else y.transpose(0, 1)


class Recurrent(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: nnkit.Tensor) -> nnkit.Tensor:
        return self.layer(x)[0]


class ByTime(nn.Module):
    """A layer that is given (time, samples, ...)."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: nnkit.Tensor) -> nnkit.Tensor:
        return self.layer(x.transpose(0, 1)).transpose(0, 1)


def drawn(model: Any, x: nnkit.Tensor, share: Share | None, seed: int = 4) -> Any:
    nnkit.manual_seed(seed)
    with divided(share):
        y = model(x)
    y.sum().backward()
    return y.detach().numpy(), x.grad.numpy()  # type: ignore[union-attr]


def check_part(model: nn.Module, shape: tuple[int, ...], device: str) -> None:
    numbers = RANDOM.normal(size=(SAMPLES, *shape)).astype(np.float32)
    model.train()
    model(nnkit.tensor(numbers, device=device))  # a Keras layer is built
    found = []
    for rows, share in ((slice(None), None), (slice(FIRST, FIRST + ROWS), Share(FIRST, ROWS, SAMPLES))):
        x = nnkit.tensor(numbers[rows], device=device, requires_grad=True)
        found.append(drawn(model, x, share))
    assert (drawn(model, nnkit.tensor(numbers, device=device, requires_grad=True), None, 5)[0] != found[0][0]).any()
    for whole, part in zip(*found, strict=True):
        np.testing.assert_allclose(part, whole[FIRST : FIRST + ROWS], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", FIRST_AXIS)
def test_a_part_draws_what_the_whole_batch_does(name: str, device: str) -> None:
    make, shape = FIRST_AXIS[name]
    nnkit.manual_seed(1)
    model = make().to(device)
    check_part(model, shape, device)
    check_places(model, nnkit.ones(SAMPLES, *shape, device=device))


@pytest.mark.parametrize("layers", ["TransformerEncoderLayer", "TransformerDecoderLayer"])
def test_layers_that_take_time_first_say_so(layers: str, device: str) -> None:
    nnkit.manual_seed(1)
    layer = getattr(nn, layers)(6, 2, 8, 0.5)

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: nnkit.Tensor) -> nnkit.Tensor:
            return self.layer(*[x] * (1 if "Encoder" in layers else 2))

    model = ByTime(Both()).to(device)
    check_part(model, (4, 6), device)
    check_places(model, nnkit.ones(SAMPLES, 4, 6, device=device))


@pytest.mark.parametrize("shape", [(4, 3), (2, 4, 3)])
def test_a_step_draws_its_part_along_the_second_axis_when_it_is_replayed_too(shape: Any, device: str) -> None:
    x = nnkit.ones(shape[0], SAMPLES, *shape[1:], device=device)
    nnkit.manual_seed(2)
    whole = [nn.functional.dropout(x, 0.5).numpy() for _ in range(3)]
    nnkit.manual_seed(2)

    @nnkit.compile
    def step(x: nnkit.Tensor) -> nnkit.Tensor:
        return nn.functional.dropout(x, 0.5)

    part = nnkit.ones(shape[0], ROWS, *shape[1:], device=device)
    with divided(Share(FIRST, ROWS, SAMPLES)), samples_along(1):
        for expected in whole:
            assert (step(part).numpy() == expected[:, FIRST : FIRST + ROWS]).all()


@pytest.mark.parametrize("name", ["Dropout", "Dropout1d", "RReLU", "keras GaussianNoise", "keras AlphaDropout"])
def test_samples_along_the_second_axis_are_refused_by_name(name: str) -> None:
    """As many steps of time as samples: the shape alone would not tell."""
    model = ByTime(FIRST_AXIS[name][0]()).train()
    with pytest.raises(NotImplementedError, match=rf"layer \({type(model.layer).__name__}\) draws random numbers"):
        check_places(model, nnkit.ones(SAMPLES, SAMPLES, 3))


def test_what_does_not_grow_with_the_samples_is_refused_by_name() -> None:
    class OfWeights(nn.Linear):
        def forward(self, x: nnkit.Tensor) -> nnkit.Tensor:
            return x @ nn.functional.dropout(self.weight, 0.5).T

    with pytest.raises(NotImplementedError, match=r"1 \(OfWeights\) draws random numbers of shape \(3, 3\)"):
        check_places(nn.Sequential(nn.Identity(), OfWeights(3, 3)), nnkit.ones(SAMPLES, 3))
