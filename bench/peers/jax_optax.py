"""JAX's side: one jitted function for the whole step, optax for losses and updates."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from bench.contenders import Steps
from bench.workloads import Workload

jax: Any = importlib.import_module("jax")
optax: Any = importlib.import_module("optax")


def parameters(workload: Workload) -> list[tuple[Any, Any]]:
    """Weights (inputs, outputs) and biases."""
    random = np.random.default_rng(0)
    pairs = zip(workload.sizes, workload.sizes[1:], strict=False)
    weights = [random.standard_normal(shape, np.float32) / np.float32(np.sqrt(shape[0])) for shape in pairs]
    return [(jax.numpy.array(w), jax.numpy.zeros(w.shape[1], np.float32)) for w in weights]


def forward(workload: Workload, layers: list[tuple[Any, Any]], x: Any, key: Any = None) -> Any:
    """The model's output; with a key dropout is at work."""
    activation = {"relu": jax.nn.relu, "gelu": lambda h: jax.nn.gelu(h, approximate=False)}[workload.activation]
    for index, (w, b) in enumerate(layers):
        x = x @ w + b
        if index < len(layers) - 1:
            x = activation(x)
            if workload.dropout and key is not None:
                keep = jax.random.bernoulli(jax.random.fold_in(key, index), 1 - workload.dropout, x.shape)
                x = jax.numpy.where(keep, x / (1 - workload.dropout), 0)
    return x


def build(workload: Workload) -> Steps | None:
    """The workload.

    A "fit" is the usual loop over one batch, which spares JAX the cost of making batches; it waits for the result at
    the end only, so that JAX prepares the next step while one runs. Where steps are called singly, each is waited for.
    """
    if workload.kind in ("program", "eager"):
        return None
    if workload.trains:
        return _train(workload)
    layers, row = parameters(workload), jax.numpy.array(workload.data(workload.batch)[0])
    predict = jax.jit(lambda layers, x: forward(workload, layers, x))
    return Steps.repeat(lambda: predict(layers, row).block_until_ready())


def _train(workload: Workload) -> Steps:
    x, y = map(jax.numpy.array, workload.data(workload.batch))
    sgd = workload.optimizer == "sgd"
    optimizer = optax.sgd(0.01, momentum=0.9, nesterov=True) if sgd else optax.adam(1e-3)

    def loss_of(layers: Any, x: Any, y: Any, key: Any) -> Any:
        logits = forward(workload, layers, x, key)
        if workload.loss == "bce_with_logits":
            return optax.sigmoid_binary_cross_entropy(logits, y).mean()
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    @jax.jit
    def update(layers: Any, state: Any, key: Any, x: Any, y: Any) -> Any:
        key, now = jax.random.split(key) if workload.dropout else (key, key)
        loss, gradients = jax.value_and_grad(loss_of)(layers, x, y, now)
        changes, state = optimizer.update(gradients, state)
        return optax.apply_updates(layers, changes), state, key, loss

    layers = parameters(workload)
    held = [layers, optimizer.init(layers), jax.random.key(0)]

    def run(count: int) -> None:
        for _ in range(count):
            *held[:], loss = update(*held, x, y)
            if workload.kind != "fit":
                loss.block_until_ready()
        jax.block_until_ready(held)

    return Steps(run)
