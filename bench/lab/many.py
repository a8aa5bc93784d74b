"""Many small networks at once: ``nnkit.tune.train_many`` beside single fits, and beside JAX's ``vmap``.

32 networks 20-32-16-1 with other seeds and learning rates, Adam, batches of 32 of 1,000 rows. "single" builds and fits
them one after the other, "many" is one call of ``train_many``, from ``build`` to the histories: both with all that it
takes each time. "jax" is a compiled ``scan`` over the epoch's steps of ``vmap(value_and_grad)`` and Adam over stacked
weights, with each network's own order: its compilation is told beside it, and is not in its time. Each the median of
``--repeats`` runs in turns. ``--threads 1`` times one core: seconds of the processor's time, as other work on the
machine changes them less; else seconds by the clock.

On one core of an AMD EPYC (Zen 4) with much other work on the machine, JAX 0.10, the processor's time: many /
single 0.17 at 1 epoch, 0.22 at 10, 0.28 at 20, 0.52 at 100; many / jax 5.5, 1.0, 0.69, 0.49, where JAX compiled for 6
to 8 seconds before. What is spared is what a fit takes besides its steps (some 12 ms, most to record them): 32 networks
together take 70 ms, most to build 32 models and optimizers in Python. A step costs what it costs alone (3.5 to 4
microseconds: four fifths are products near the limit of the arithmetic); so the longer the training, the less is gained
on one core. On several, whole networks are shared out, where a single fit of this size uses one.

With two threads on the same machine, quiet, by the clock: many / single 0.24 at 10 epochs (112 ms), 0.39 at 100 (397
ms); many / jax 0.71 and 0.31.

    python -m bench.lab.many [--threads 1] [--epochs 1,10,20,100] [--networks 32]
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

ROWS, BATCH = 1000, 32


def data() -> tuple[np.ndarray, np.ndarray]:
    """Rows, and numbers to learn from them."""
    stream = np.random.default_rng(0)
    x = stream.standard_normal((ROWS, 20), np.float32)
    return x, np.tanh(x[:, :1] * x[:, 1:2]) + 0.1 * stream.standard_normal((ROWS, 1), np.float32)


def settings(count: int) -> list[dict[str, Any]]:
    """What the networks differ in."""
    return [{"seed": k, "lr": 10.0 ** -(2 + k % 3)} for k in range(count)]


def contenders(epochs: int, count: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """One call that trains all of nnkit's, and one that trains them one by one."""
    import nnkit
    from nnkit import nn, optim, tune

    x, y = data()

    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1))

    def many() -> Any:
        return tune.train_many(build, settings(count), x, y, loss="mse", epochs=epochs, batch_size=BATCH)

    def single() -> Any:
        for setting in settings(count):
            nnkit.manual_seed(setting["seed"])
            model = build()
            optimizer = optim.Adam(model.parameters(), lr=setting["lr"])
            model.fit(
                x, y, loss="mse", optimizer=optimizer, epochs=epochs, batch_size=BATCH, seed=setting["seed"], verbose=0
            )

    return many, single


def jax_contender(epochs: int, count: int) -> Callable[[], Any]:
    """The same by JAX."""
    import jax
    import jax.numpy as jnp

    x, y = map(jnp.asarray, data())
    rates = jnp.asarray([s["lr"] for s in settings(count)], jnp.float32)
    sizes = [(20, 32), (32, 16), (16, 1)]

    def loss(weights: Any, x: Any, y: Any) -> Any:
        for w, b in weights[:-1]:
            x = jax.nn.relu(x @ w + b)
        w, b = weights[-1]
        return jnp.mean((x @ w + b - y) ** 2)

    def step(state: Any, rate: Any, rows: Any) -> Any:
        weights, m, v, t = state
        value, grads = jax.value_and_grad(loss)(weights, x[rows], y[rows])
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, grads)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, grads)
        c1, c2 = 1 - 0.9**t, 1 - 0.999**t
        new = jax.tree.map(lambda w, m, v: w - rate * (m / c1) / (jnp.sqrt(v / c2) + 1e-8), weights, m, v)
        return (new, m, v, t), value

    @jax.jit
    def epoch(states: Any, orders: Any) -> Any:
        whole = ROWS // BATCH * BATCH
        rows = jnp.moveaxis(orders[:, :whole].reshape(count, -1, BATCH), 1, 0)
        states, losses = jax.lax.scan(lambda s, r: jax.vmap(step)(s, rates, r), states, rows)
        states, last = jax.vmap(step)(states, rates, orders[:, whole:])
        return states, (losses.sum(axis=0) * BATCH + last * (ROWS - whole)) / ROWS

    def begin(key: Any) -> Any:
        keys = jax.random.split(key, 2 * len(sizes))
        weights = [
            (
                jax.random.uniform(keys[2 * i], (a, b), minval=-(a**-0.5), maxval=a**-0.5),
                jax.random.uniform(keys[2 * i + 1], (b,), minval=-(a**-0.5), maxval=a**-0.5),
            )
            for i, (a, b) in enumerate(sizes)
        ]
        zeros = jax.tree.map(jnp.zeros_like, weights)
        return weights, zeros, zeros, jnp.zeros((), jnp.float32)

    begun = jax.jit(jax.vmap(begin))
    shuffled = jax.jit(jax.vmap(lambda key: jax.random.permutation(key, ROWS)))

    def run() -> Any:
        states = begun(jax.random.split(jax.random.key(0), count))
        history = []
        for number in range(epochs):
            orders = shuffled(jax.random.split(jax.random.key(number + 1), count))
            states, losses = epoch(states, orders)
            history.append(np.asarray(losses))
        jax.block_until_ready(states)
        return history

    return run


def main() -> None:
    """Print a row for each number of epochs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--epochs", default="1,10,20,100")
    parser.add_argument("--networks", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-jax", action="store_true")
    arguments = parser.parse_args()
    one = arguments.threads == 1
    if one and hasattr(os, "sched_setaffinity"):  # or XLA's threads take the other core
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import nnkit

    nnkit.set_num_threads(arguments.threads)
    clock = time.process_time if one else time.perf_counter
    print(f"{arguments.networks} networks, {arguments.threads} threads: milliseconds")
    print("epochs      many    single  many/single       jax  many/jax  (compiling)")
    for epochs in map(int, arguments.epochs.split(",")):
        many, single = contenders(epochs, arguments.networks)
        runs: list[Callable[[], Any]] = [many, single]
        compiling = float("nan")
        if not arguments.no_jax:
            jax = jax_contender(epochs, arguments.networks)
            before = clock()
            jax()
            compiling = clock() - before
            runs.append(jax)
        times: list[list[float]] = [[] for _ in runs]
        for _ in range(arguments.repeats + 1):
            for run, seconds in zip(runs, times, strict=True):
                before = clock()
                run()
                seconds.append(clock() - before)
        ours, alone, *peer = (1e3 * statistics.median(seconds[1:]) for seconds in times)
        jax_time = peer[0] if peer else float("nan")
        print(
            f"{epochs:6} {ours:9.1f} {alone:9.1f} {ours / alone:12.3f} {jax_time:9.1f} {ours / jax_time:9.3f}"
            f"  ({1e3 * compiling:.0f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
