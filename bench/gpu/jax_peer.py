"""JAX's side: the whole step as one jitted function, which overwrites its weights and state in place."""

from __future__ import annotations

import functools
import importlib
from typing import Any

from bench.contenders import Steps
from bench.gpu.workloads import Training
from bench.peers import jax_optax

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
    half = workload.precision == "bfloat16"
    x, y = map(jnp.array, workload.data(workload.batch))
    optimizer = optax.adam(1e-3)

    layers = workload.net.layers

    def loss_of(learned: Any, statistics: Any, x: Any, y: Any) -> Any:
        if half:  # weights stay float32; what is computed up to the loss is bfloat16
            learned, x = jax.tree.map(lambda a: a.astype(jnp.bfloat16), (learned, x))
        forward = jax_optax.Forward(statistics, jax.random.key(0))
        logits = forward(layers, learned, x).astype(jnp.float32)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean(), forward.running

    @functools.partial(jax.jit, donate_argnums=(0, 1, 2))
    def update(learned: Any, state: Any, statistics: Any, x: Any, y: Any) -> Any:
        with jax.default_matmul_precision(PRECISIONS[workload.precision]):
            gradient = jax.value_and_grad(loss_of, has_aux=True)
            (loss, statistics), gradients = gradient(learned, statistics, x, y)
        changes, state = optimizer.update(gradients, state)
        return optax.apply_updates(learned, changes), state, statistics, loss

    learned = jax_optax.parameters(workload.net)
    held = [learned, optimizer.init(learned), jax_optax.running(workload.net)]

    def run(count: int) -> None:
        for _ in range(count):
            *held[:], _ = update(*held, x, y)
        jax.block_until_ready(held)

    run(3)
    return Steps(run)
