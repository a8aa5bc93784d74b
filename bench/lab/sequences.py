"""A training step of recurrent nets, and of an embedding, beside PyTorch and JAX.

``python -m bench.lab.sequences [lstm] [gru] [embedding] …``: the libraries take turns, ten steps each; medians, and the
fastest of each. An LSTM 32-128 over 50 steps, batch 32, linear to 10, and a GRU 8-32 over 24 steps, batch 16, linear to
1 (a forecaster's size), both with Adam; an embedding of 1,000, 10,000 and 100,000 words x 64, batch 256, by plain SGD.
PyTorch runs eagerly, and compiled where that works; JAX compiles the whole step, over ``lax.scan``.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import nnkit
from nnkit import nn

THREADS, ROUNDS, EACH = 2, 15, 10
Step = Callable[[], Any]


class Net(NamedTuple):
    """A recurrent net's sizes."""

    layer: str
    inputs: int
    hidden: int
    steps: int
    batch: int
    outputs: int


NETS = {"lstm": Net("LSTM", 32, 128, 50, 32, 10), "gru": Net("GRU", 8, 32, 24, 16, 1)}
VOCABULARIES, WIDTH, WORDS = (1_000, 10_000, 100_000), 64, 256


def data(net: Net) -> tuple[np.ndarray, np.ndarray]:
    """One batch: sequences (B, T, I), and labels or numbers."""
    random = np.random.default_rng(0)
    x = random.normal(size=(net.batch, net.steps, net.inputs)).astype(np.float32)
    if net.outputs > 1:
        return x, random.integers(0, net.outputs, net.batch)
    return x, random.normal(size=(net.batch, 1)).astype(np.float32)


def model_of(nn: Any, net: Net) -> Any:
    """The net in PyTorch's words, which are nnkit's."""

    class Last(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layer = getattr(nn, net.layer)(net.inputs, net.hidden, batch_first=True)
            self.out = nn.Linear(net.hidden, net.outputs)

        def forward(self, x: Any) -> Any:
            return self.out(self.layer(x)[0][:, -1])

    return Last()


def loss_of(nn: Any, net: Net) -> Any:
    """Cross-entropy of classes, or the squared error of a number."""
    return nn.CrossEntropyLoss() if net.outputs > 1 else nn.MSELoss()


def own_step(net: Net) -> Step:
    """nnkit's recorded step."""
    model, x, y = model_of(nn, net), *(nnkit.tensor(a) for a in data(net))
    optimizer, loss_function = nnkit.optim.Adam(model.parameters()), loss_of(nn, net)

    @nnkit.compile
    def step() -> nnkit.Tensor:
        optimizer.zero_grad()
        loss: nnkit.Tensor = loss_function(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def torch_step(net: Net, compiled: bool) -> Step:
    """PyTorch's."""
    import torch

    torch.set_num_threads(THREADS)
    model, x, y = model_of(torch.nn, net), *(torch.tensor(a) for a in data(net))
    optimizer, loss_function = torch.optim.Adam(model.parameters()), loss_of(torch.nn, net)
    run = torch.compile(model) if compiled else model

    def step() -> Any:
        optimizer.zero_grad()
        loss = loss_function(run(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def jax_step(net: Net) -> Step:
    """JAX's, with Adam of optax."""
    import jax
    import jax.numpy as jnp
    import optax

    random, G, bound = np.random.default_rng(0), 4 if net.layer == "LSTM" else 3, net.hidden**-0.5
    shapes = {
        "wi": (net.inputs, G * net.hidden), "wh": (net.hidden, G * net.hidden), "bi": (G * net.hidden,),
        "bh": (G * net.hidden,), "wo": (net.hidden, net.outputs), "bo": (net.outputs,),
    }  # fmt: skip
    weights = {name: jnp.asarray(random.uniform(-bound, bound, s), jnp.float32) for name, s in shapes.items()}
    values, y = data(net)
    x = jnp.asarray(values.transpose(1, 0, 2).copy())
    start = jnp.zeros((net.batch, net.hidden))

    def predict(w: Any, x: Any) -> Any:
        def lstm(state: Any, entering: Any) -> Any:
            i, f, g, o = jnp.split(entering + state[0] @ w["wh"] + w["bh"], 4, axis=1)
            c = jax.nn.sigmoid(f) * state[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
            return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

        def gru(state: Any, entering: Any) -> Any:
            xr, xz, xn = jnp.split(entering, 3, axis=1)
            hr, hz, hn = jnp.split(state[0] @ w["wh"] + w["bh"], 3, axis=1)
            z = jax.nn.sigmoid(xz + hz)
            n = jnp.tanh(xn + jax.nn.sigmoid(xr + hr) * hn)
            return ((1 - z) * n + z * state[0],), None

        first = (start, start) if net.layer == "LSTM" else (start,)
        last, _ = jax.lax.scan(lstm if net.layer == "LSTM" else gru, first, x @ w["wi"] + w["bi"])
        return last[0] @ w["wo"] + w["bo"]

    def loss(w: Any, x: Any, y: Any) -> Any:
        found = predict(w, x)
        if net.outputs > 1:
            return optax.softmax_cross_entropy_with_integer_labels(found, y).mean()
        return ((found - y) ** 2).mean()

    return _jax_training(loss, weights, optax.adam(1e-3), (x, jnp.asarray(y)))


def _jax_training(loss: Callable[..., Any], weights: Any, optimizer: Any, batch: tuple[Any, ...]) -> Step:
    import jax
    import optax

    @jitted
    def train(weights: Any, state: Any, *batch: Any) -> Any:
        value, gradients = jax.value_and_grad(loss)(weights, *batch)
        updates, state = optimizer.update(gradients, state, weights)
        return value, optax.apply_updates(weights, updates), state

    kept = [weights, optimizer.init(weights)]

    def step() -> Any:
        value, *kept[:] = train(*kept, *batch)
        return jax.block_until_ready(kept) and value

    return step


def jitted(function: Callable[..., Any]) -> Any:
    """``jax.jit`` that uses the memory of the first two arguments again."""
    import jax

    return jax.jit(function, donate_argnums=(0, 1))


# ---- an embedding ---------------------------------------------------------------------------------------------------


def words(vocabulary: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of words, and what their rows are to be."""
    random = np.random.default_rng(0)
    return random.integers(0, vocabulary, WORDS), random.normal(size=(WORDS, WIDTH)).astype(np.float32)


def own_embedding(vocabulary: int) -> Step:
    """nnkit's recorded step."""
    layer, (indices, target) = nn.Embedding(vocabulary, WIDTH), (nnkit.tensor(a) for a in words(vocabulary))
    optimizer, loss_function = nnkit.optim.SGD(layer.parameters(), lr=0.1), nn.MSELoss()

    @nnkit.compile
    def step() -> nnkit.Tensor:
        optimizer.zero_grad()
        loss = loss_function(layer(indices), target)
        loss.backward()
        optimizer.step()
        return loss

    return step


def torch_embedding(vocabulary: int, sparse: bool) -> Step:
    """PyTorch's, with a dense gradient or a sparse one."""
    import torch

    torch.set_num_threads(THREADS)
    indices, target = (torch.tensor(a) for a in words(vocabulary))
    layer = torch.nn.Embedding(vocabulary, WIDTH, sparse=sparse)
    optimizer, loss_function = torch.optim.SGD(layer.parameters(), lr=0.1), torch.nn.MSELoss()

    def step() -> Any:
        optimizer.zero_grad()
        loss = loss_function(layer(indices), target)
        loss.backward()
        optimizer.step()
        return loss

    return step


def jax_embedding(vocabulary: int) -> Step:
    """JAX's."""
    import jax.numpy as jnp
    import optax

    indices, target = words(vocabulary)
    table = jnp.asarray(np.random.default_rng(0).normal(size=(vocabulary, WIDTH)), jnp.float32)

    def loss(table: Any, indices: Any, target: Any) -> Any:
        return ((table[indices] - target) ** 2).mean()

    return _jax_training(loss, table, optax.sgd(0.1), (jnp.asarray(indices), jnp.asarray(target)))


# ---- measuring ------------------------------------------------------------------------------------------------------


def contenders(name: str) -> dict[str, dict[str, Callable[[], Step]]]:
    """What is measured under a name: the title -> library -> how its step is made."""
    if name in NETS:
        net = NETS[name]
        return {
            name: {
                "nnkit": lambda: own_step(net), "PyTorch": lambda: torch_step(net, False),
                "PyTorch compiled": lambda: torch_step(net, True), "JAX": lambda: jax_step(net),
            }
        }  # fmt: skip
    return {
        f"embedding {vocabulary:,}": {
            "nnkit": lambda v=vocabulary: own_embedding(v),
            "PyTorch": lambda v=vocabulary: torch_embedding(v, False),
            "PyTorch sparse": lambda v=vocabulary: torch_embedding(v, True),
            "JAX": lambda v=vocabulary: jax_embedding(v),
        }
        for vocabulary in VOCABULARIES
    }  # type: ignore[misc]  # fmt: skip


def made(makers: dict[str, Callable[[], Step]]) -> dict[str, Step]:
    """The steps that work here, each run a few times."""
    steps: dict[str, Step] = {}
    for who, make in makers.items():
        try:
            step = make()
            for _ in range(4):
                step()
            steps[who] = step
        except Exception as error:
            print(f"{who} does not work here: {type(error).__name__}: {error}")
    return steps


def main(names: list[str]) -> None:
    """Measure, and print a line for each library."""
    nnkit.set_num_threads(THREADS)
    for name in names or [*NETS, "embedding"]:
        for title, makers in contenders(name).items():
            steps = made({who: make for who, make in makers.items() if not os.environ.get("OWN") or who == "nnkit"})
            seconds: dict[str, list[float]] = {who: [] for who in steps}
            for _ in range(ROUNDS):
                for who, step in steps.items():
                    for _ in range(EACH):
                        before = time.perf_counter()
                        step()
                        seconds[who].append(time.perf_counter() - before)
            for who, found in seconds.items():
                middle, least = statistics.median(found) * 1e3, min(found) * 1e3
                print(f"{title:17} {who:17} median {middle:8.3f} ms, fastest {least:8.3f} ms")


if __name__ == "__main__":
    main(sys.argv[1:])
