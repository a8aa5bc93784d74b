"""JAX's side: the whole step as one jitted function, which overwrites its weights and state in place."""

from __future__ import annotations

import functools
import importlib
from typing import Any

from bench.contenders import Steps
from bench.gpu.workloads import Training
from bench.peers import jax_optax, jax_sequences

jax, optax = jax_optax.jax, jax_optax.optax
#: Precision of the products -> JAX's name; by default it would take TF32 on a GPU.
PRECISIONS = {"highest": "float32", "high": "tensorfloat32", "bfloat16": "bfloat16"}


def build(workload: Training) -> Steps:
    """The workload, ready to run on the GPU. Raises RuntimeError where this JAX sees none."""
    if jax.default_backend() != "gpu":
        raise RuntimeError(f"JAX {jax.__version__} sees no GPU, only {jax.default_backend()}")
    return steps(workload)


def steps(workload: Training) -> Steps:
    """The workload on whatever device JAX has."""
    jnp: Any = importlib.import_module("jax.numpy")
    if workload.kind == "generate":
        return _generation(workload)
    half = workload.precision == "bfloat16"
    batch = tuple(map(jnp.array, workload.data(workload.batch)))
    optimizer = jax_optax.optimizer_of(workload)

    def loss_of(learned: Any, statistics: Any, batch: Any) -> Any:
        if half:  # weights stay float32; what is computed up to the loss is bfloat16
            x, *others = batch
            learned, x = jax.tree.map(lambda a: a.astype(jnp.bfloat16), (learned, x))
            batch = x, *others
        forward = jax_optax.Forward(statistics, jax.random.key(0))
        return jax_optax.loss(workload, forward, learned, batch), forward.running

    @functools.partial(jax.jit, donate_argnums=(0, 1, 2))
    def update(learned: Any, state: Any, statistics: Any, batch: Any) -> Any:
        with jax.default_matmul_precision(PRECISIONS[workload.precision]):
            gradient = jax.value_and_grad(loss_of, has_aux=True)
            (loss, statistics), gradients = gradient(learned, statistics, batch)
        changes, state = optimizer.update(gradients, state)
        return optax.apply_updates(learned, changes), state, statistics, loss

    learned = jax_optax.parameters(workload.net)
    held = [learned, optimizer.init(learned), jax_optax.running(workload.net)]

    def run(count: int) -> None:
        for _ in range(count):
            *held[:], _ = update(*held, batch)
        jax.block_until_ready(held)

    run(3)
    return Steps(run)


def _generation(workload: Training) -> Steps:
    generate = jax_sequences.generation(workload, jax_optax.parameters(workload.net))

    def run(count: int) -> None:
        with jax.default_matmul_precision(PRECISIONS[workload.precision]):
            for _ in range(count):
                generate()

    run(1)
    return Steps(run)
