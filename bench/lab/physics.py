"""A training step of a physics-informed net for the heat equation: ``python -m bench.lab.physics [rounds]``.

u(x, t) is a net 2-50-50-50-1 with tanh; at 1,000 points u_t = u_xx / 10, at 200 more u is known; Adam. The derivatives
of u come by differentiating its gradient: ``create_graph`` in nnkit and PyTorch, ``vmap(grad(grad))`` in JAX, and
beside it JAX's forward mode, which needs no gradient of a gradient. float32, 2 threads; the libraries take turns.

On two cores of an AMD EPYC (Zen 4, AVX-512), medians of 60 steps in turns: nnkit 2.5 ms, PyTorch 2.13 6.5 ms, JAX 0.10
4.9 ms by gradients of gradients and 3.4 ms by its forward mode; PyTorch cannot compile a second derivative. The machine
was shared, and nnkit's second thread got no core of its own. 2.0 of nnkit's 2.4 ms are 24 products of 1000 x 50 x 50,
at 80 GFLOP/s, which either order of differentiation needs; all maps together take 0.3 ms.
"""

from __future__ import annotations

import itertools
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import nnkit

THREADS, ROUNDS, WARM = 2, 100, 10
SIZES, ALPHA = (2, 50, 50, 50, 1), 0.1


def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points inside (1000, 2), points where u is known (200, 2), and u there (200, 1)."""
    random = np.random.default_rng(0)
    inside, known = random.uniform(0, 1, (1000, 2)), random.uniform(0, 1, (200, 2))
    known[:100, 1] = 0.0
    known[100:, 0] = random.integers(0, 2, 100)
    u = np.exp(-ALPHA * np.pi**2 * known[:, 1:]) * np.sin(np.pi * known[:, :1])
    return inside.astype(np.float32), known.astype(np.float32), u.astype(np.float32)


def net(nn: Any) -> Any:
    """The net in PyTorch's words."""
    layers = []
    for i, o in itertools.pairwise(SIZES):
        layers += [nn.Linear(i, o), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def loss_of(grad: Callable[..., Any], model: Any, inside: Any, known: Any, u_known: Any) -> Any:
    """The mean square of what the equation leaves, and of the error where u is known."""
    u = model(inside)
    (first,) = grad(u.sum(), inside, create_graph=True)
    (second,) = grad(first[:, 0].sum(), inside, create_graph=True)
    left = first[:, 1] - ALPHA * second[:, 0]
    return (left * left).mean() + ((model(known) - u_known) ** 2).mean()


def own_step() -> Callable[[], Any]:
    """nnkit's recorded step."""
    model = net(nnkit.nn)
    optimizer = nnkit.optim.Adam(model.parameters(), lr=1e-3)
    inside, known, u = map(nnkit.tensor, data())
    inside.requires_grad_()

    @nnkit.compile
    def step() -> nnkit.Tensor:
        optimizer.zero_grad()
        loss = loss_of(nnkit.grad, model, inside, known, u)
        loss.backward()
        optimizer.step()
        return loss

    return step


def torch_step(compiled: bool) -> Callable[[], Any]:
    """PyTorch's."""
    import torch

    torch.set_num_threads(THREADS)
    model = net(torch.nn)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    inside, known, u = map(torch.tensor, data())
    inside.requires_grad_()
    run = torch.compile(model) if compiled else model

    def step() -> Any:
        optimizer.zero_grad()
        loss = loss_of(torch.autograd.grad, run, inside, known, u)
        loss.backward()
        optimizer.step()
        return loss

    return step


def jax_step(forward: bool) -> Callable[[], Any]:
    """JAX's: derivatives of u at one point by ``grad`` twice, or by ``jvp`` twice; then at all of them by ``vmap``."""
    import jax
    import optax

    random = np.random.default_rng(0)
    layers = [
        (jax.numpy.array(random.normal(size=(i, o)).astype(np.float32) / np.sqrt(i)), jax.numpy.zeros(o))
        for i, o in itertools.pairwise(SIZES)
    ]
    optimizer = optax.adam(1e-3)
    inside, known, u_known = map(jax.numpy.array, data())

    def model(layers: Any, x: Any) -> Any:
        for w, b in layers[:-1]:
            x = jax.numpy.tanh(x @ w + b)
        return x @ layers[-1][0] + layers[-1][1]

    def left_at(layers: Any, x: Any, t: Any) -> Any:
        def u(x: Any, t: Any) -> Any:
            return model(layers, jax.numpy.stack([x, t]))[0]

        if forward:
            one = jax.numpy.ones_like(x)
            along_x = lambda x: jax.jvp(lambda x: u(x, t), (x,), (one,))[1]  # noqa: E731
            return jax.jvp(lambda t: u(x, t), (t,), (one,))[1] - ALPHA * jax.jvp(along_x, (x,), (one,))[1]
        return jax.grad(u, 1)(x, t) - ALPHA * jax.grad(jax.grad(u))(x, t)

    def loss(layers: Any) -> Any:
        left = jax.vmap(left_at, (None, 0, 0))(layers, inside[:, 0], inside[:, 1])
        return (left**2).mean() + ((model(layers, known) - u_known) ** 2).mean()

    @jax.jit
    def update(layers: Any, state: Any) -> Any:
        value, gradients = jax.value_and_grad(loss)(layers)
        changes, state = optimizer.update(gradients, state)
        return optax.apply_updates(layers, changes), state, value

    held = [layers, optimizer.init(layers)]

    def step() -> Any:
        *held[:], value = update(*held)
        return value.block_until_ready()

    return step


def contenders() -> dict[str, Callable[[], Any]]:
    """Name -> a step; those that do not run here are said to."""
    makers: dict[str, Callable[[], Callable[[], Any]]] = {
        "nnkit": own_step,
        "PyTorch": lambda: torch_step(False),
        "PyTorch compiled": lambda: torch_step(True),
        "JAX, grad of grad": lambda: jax_step(False),
        "JAX, forward mode": lambda: jax_step(True),
    }
    steps = {}
    for name, make in makers.items():
        try:
            steps[name] = make()
            steps[name]()
        except Exception as error:
            print(f"{name} does not run here: {type(error).__name__}: {str(error).splitlines()[0][:90]}")
            steps.pop(name, None)
    return steps


def main(rounds: int = ROUNDS) -> None:
    """Measure, and print a line for each library."""
    nnkit.set_num_threads(THREADS)
    steps = contenders()
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + WARM):
        for name, step in steps.items():
            before = time.perf_counter()
            step()
            if number >= WARM:
                seconds[name].append(time.perf_counter() - before)
    for name, found in seconds.items():
        middle, least = statistics.median(found) * 1e3, min(found) * 1e3
        print(f"{name:18} median {middle:7.2f} ms, fastest {least:7.2f} ms, loss {float(steps[name]()):.4f}")


if __name__ == "__main__":
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=true")
    main(*map(int, sys.argv[1:]))
