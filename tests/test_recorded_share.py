"""Code as people write it is recorded: the layers, losses and models of courses and tutorials, none of it wrongly."""

from __future__ import annotations

import argparse
import math
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest

import nnkit
import nnkit as torch
import nnkit.nn.functional as F
from nnkit import keras, nn
from nnkit.backends.cpu.program import KernelProgram
from nnkit.backends.program import Program

WIDTH = 4
ACTIVATIONS = {"relu": F.relu, "tanh": torch.tanh}


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.drop = nn.Linear(4, 8), nn.Linear(8, 4), nn.Dropout(0.25)

    def forward(self, x: Any) -> Any:
        identity = x
        out = self.drop(F.relu(self.fc1(x)))
        out = self.fc2(out)
        out = out + identity * 1.0
        return F.relu(out)


class Configured(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.args = argparse.Namespace(hidden=8, scale=0.5, act="tanh", layers=2)
        self.layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(self.args.layers)])

    def forward(self, x: Any) -> Any:
        assert x.dim() == 2, f"expected two axes, got {x.shape}"
        for i, layer in enumerate(self.layers):
            x = ACTIVATIONS[self.args.act](layer(x)) * self.args.scale / math.sqrt(i + 1)
        return x


class Flattening(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(OrderedDict(first=nn.Linear(4, 4), act=nn.ReLU()))

    def forward(self, x: Any) -> Any:
        x = x.view(x.size(0), -1)
        batch, features = x.shape
        return self.net(x).reshape(batch, features)


class Modes(nn.Module):
    dropout: float | None = 0.5

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Any, mask: Any = None) -> Any:
        x = self.fc(x)
        if self.training and self.dropout is not None:
            x = F.dropout(x, p=self.dropout, training=self.training)
        return x if mask is None else x * mask


class Gated(nn.Module):
    """A gated linear unit."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 8)

    def forward(self, x: Any) -> Any:
        both = self.fc(x)
        a, b = both[:, :4], both[:, 4:]
        return a * torch.sigmoid(b)


class Highway(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.h, self.t = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Any) -> Any:
        t = torch.sigmoid(self.t(x))
        return self.h(x) * t + x * (1 - t)


class Autoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(4, 2), nn.ReLU())
        self.decoder = nn.Sequential(nn.Linear(2, 4), nn.Sigmoid())

    def encode(self, x: Any) -> Any:
        return self.encoder(x)

    def forward(self, x: Any) -> Any:
        return self.decoder(self.encode(x))


class Variational(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.mu, self.logvar, self.out = (nn.Linear(4, 4) for _ in range(4))

    def reparameterize(self, mu: Any, logvar: Any) -> Any:
        std = torch.exp(0.5 * logvar)
        return mu + torch.randn_like(std) * std

    def forward(self, x: Any) -> Any:
        h = F.relu(self.fc(x))
        mu, logvar = self.mu(h), self.logvar(h)
        return self.out(self.reparameterize(mu, logvar) if self.training else mu)


class Normalizing(nn.Module):
    """A layer normalization by hand."""

    def __init__(self, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = nn.Parameter(torch.ones(4)), nn.Parameter(torch.zeros(4)), eps

    def forward(self, x: Any) -> Any:
        mean = x.mean(dim=-1, keepdim=True)
        var = ((x - mean) ** 2).mean(dim=-1, keepdim=True)
        return self.weight * (x - mean) / torch.sqrt(var + self.eps) + self.bias


class Running(nn.Module):
    """A batch normalization by hand, with running averages."""

    def __init__(self) -> None:
        super().__init__()
        self.momentum = 0.1
        self.register_buffer("mean", torch.zeros(4))
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Any) -> Any:
        x = self.fc(x)
        if self.training:
            batch = x.mean(dim=0)
            with torch.no_grad():
                self.mean.mul_(1 - self.momentum).add_(batch.detach() * self.momentum)
            return x - batch
        return x - self.mean


class Maxout(nn.Module):
    def __init__(self, pieces: int = 3) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Linear(4, 4) for _ in range(pieces))

    def forward(self, x: Any) -> Any:
        return torch.stack([part(x) for part in self.parts], dim=0).max(dim=0)[0]


class Dense(nn.Module):
    """Every layer sees the outputs of all before it."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(8, 4)

    def forward(self, x: Any) -> Any:
        features = [x]
        for layer in (self.a, self.b):
            features.append(F.relu(layer(torch.cat(features, dim=1))))
        return features[-1]


class Experts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(4, 2)
        self.experts = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(4, 4)})

    def forward(self, x: Any) -> Any:
        weights = F.softmax(self.gate(x), dim=-1)
        outputs = {name: expert(x) for name, expert in self.experts.items()}
        return sum(weights[:, i : i + 1] * outputs[name] for i, name in enumerate(sorted(outputs)))


class Radial(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.centres, self.log_width = nn.Parameter(torch.randn(4, 4)), nn.Parameter(torch.zeros(1))

    def forward(self, x: Any) -> Any:
        distance = (x.unsqueeze(1) - self.centres.unsqueeze(0)).pow(2).sum(dim=-1)
        return torch.exp(-distance * self.log_width.exp())


class Fourier(nn.Module):
    """Features as sines and cosines of several frequencies."""

    def __init__(self) -> None:
        super().__init__()
        self.frequencies = [1.0, 2.0]
        self.fc = nn.Linear(16, 4)

    def forward(self, x: Any) -> Any:
        parts = []
        for frequency in self.frequencies:
            parts += [torch.sin(frequency * math.pi * x), torch.cos(frequency * np.pi * x)]
        return self.fc(torch.cat(parts, -1))


class Base(nn.Module):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = {"bias": True} | options
        self.body = nn.Linear(4, 4, **self.options)

    def forward(self, x: Any) -> Any:
        return self.activate(self.body(x))

    def activate(self, x: Any) -> Any:
        return x


class Derived(Base):
    @staticmethod
    def swish(x: Any, beta: float = 1.0) -> Any:
        return x * torch.sigmoid(beta * x)

    @property
    def doubled(self) -> bool:
        return self.options.get("doubled", False)

    def activate(self, x: Any) -> Any:
        x = self.swish(x) if isinstance(self.body, nn.Linear) else x
        return 2 * x if self.doubled else x

    def forward(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        return super().forward(x)


@dataclass
class Settings:
    depth: int = 2
    slope: float = 0.1


class Tied(nn.Module):
    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__()
        self.settings = settings or Settings()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Any) -> Any:
        for _ in range(self.settings.depth):
            x = F.leaky_relu(self.fc(x), self.settings.slope)
        return F.linear(x, self.fc.weight.t())


class Output(NamedTuple):
    scores: Any
    hidden: Any


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Any) -> Output:
        hidden = torch.tanh(self.fc(x))
        return Output(scores=hidden * 2, hidden=hidden)


class Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Inner()

    def forward(self, x: Any) -> Any:
        scores, hidden = self.inner(x)
        return scores + self.inner(x).hidden - hidden


class Attending(nn.Module):
    """Attention over the features of a row."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(4, 4, bias=False) for _ in range(3))
        self.scale = 4**-0.5

    def forward(self, x: Any) -> Any:
        q, k, v = (f(x).unsqueeze(-1) for f in (self.q, self.k, self.v))
        weights = torch.softmax(q @ k.transpose(-2, -1) * self.scale, dim=-1)
        return (weights @ v).squeeze(-1)


class Noisy(nn.Module):
    def __init__(self, sigma: float = 0.1) -> None:
        super().__init__()
        self.fc, self.sigma = nn.Linear(4, 4), sigma

    def forward(self, x: Any) -> Any:
        return self.fc(x + self.sigma * torch.randn(*x.shape) if self.training else x)


class MadeInForward(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Any) -> Any:
        sizes = [x.shape[i] for i in range(x.ndim)]
        return nn.ReLU()(self.fc(x)) + torch.zeros(sizes, device=x.device, dtype=x.dtype)


class KerasModel(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.dense1 = keras.layers.Dense(8, activation="relu")
        self.dropout = keras.layers.Dropout(0.5)
        self.dense2 = keras.layers.Dense(4)

    def call(self, inputs: Any, training: bool = False) -> Any:
        x = self.dense1(inputs)
        if training:
            x = self.dropout(x)
        return self.dense2(x)


class KerasLayer(keras.layers.Layer):
    def __init__(self, units: int = 4) -> None:
        super().__init__()
        self.units = units

    def build(self, input_shape: Any) -> None:
        self.w = self.add_weight(shape=(input_shape[-1], self.units), initializer="random_normal")
        self.b = self.add_weight(shape=(self.units,), initializer="zeros")

    def call(self, inputs: Any) -> Any:
        return torch.matmul(inputs, self.w) + self.b


MODULES: list[type[nn.Module]] = [
    Residual, Configured, Flattening, Modes, Gated, Highway, Autoencoder, Variational, Normalizing, Running, Maxout,
    Dense, Experts, Radial, Fourier, Derived, Tied, Outer, Attending, Noisy, MadeInForward, KerasModel, KerasLayer,
]  # fmt: skip


def smooth(prediction: Any, target: Any, delta: float = 1.0) -> Any:
    """A Huber loss by hand."""
    error = torch.abs(prediction - target)
    return torch.where(error < delta, 0.5 * error**2, delta * (error - 0.5 * delta)).mean()


class Weighted(nn.Module):
    def __init__(self, weights: Any = (1.0, 2.0, 0.5, 1.0)) -> None:
        super().__init__()
        self.weights = list(weights)

    def forward(self, prediction: Any, target: Any) -> Any:
        total = 0
        for i, weight in enumerate(self.weights):
            total = total + weight * F.mse_loss(prediction[:, i], target[:, i])
        return total / len(self.weights)


def close(prediction: Any, target: Any) -> Any:
    return ((prediction - target).abs() < 0.5).float().mean()


STEPS = 15
X = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)


def trained(kind: type[nn.Module], compile: bool, loss: Any) -> Any:
    nnkit.manual_seed(1)
    model = kind()
    model(nnkit.tensor(X[:2]))
    history = nn.Module.fit(
        model, X, X, loss=loss, metrics=[close], epochs=3, batch_size=8, verbose=0, compile=compile
    ).history
    return history, [values.tolist() for values in model.state_dict().values()]


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many steps each replay ran."""
    counts: list[int] = []
    for kind in (Program, KernelProgram):
        monkeypatch.setattr(kind, "replay", counted(kind.replay, counts))
    return counts


def counted(function: Any, counts: list[int]) -> Any:
    def replay(self: Any, times: int = 1) -> None:
        counts.append(times)
        function(self, times)

    return replay


@pytest.mark.parametrize("loss", [smooth, Weighted()], ids=["function", "module"])
@pytest.mark.parametrize("kind", MODULES)
def test_modules_of_courses_are_recorded(kind: Any, loss: Any, device: str, replayed: list[int]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recorded = trained(kind, True, loss)
        assert sum(replayed) >= STEPS - 3  # the first runs plainly, the second is recorded, the third compared
        assert recorded == trained(kind, False, loss)
