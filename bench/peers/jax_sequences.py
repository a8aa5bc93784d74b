"""JAX's side of sequences: recurrences by ``lax.scan``, transformer blocks, and words one by one with a cache."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bench import layers as kinds
from bench.workloads import Workload

jax: Any = importlib.import_module("jax")
jnp: Any = importlib.import_module("jax.numpy")

LEAST = 1e-5  # of layer normalization: PyTorch's default

# ---- recurrences ----------------------------------------------------------------------------------------------------


def recurrent(layer: kinds.Recurrent, learned: Sequence[Any], x: Any) -> Any:
    """All states (batch, steps, outputs): the input's product for all steps at once, then step by step."""
    w, u, b, c = learned
    start = jnp.zeros((x.shape[0], layer.outputs))
    step, state = (_lstm, (start, start)) if layer.kind == "LSTM" else (_gru, (start,))
    entering = x.swapaxes(0, 1) @ w + b
    return jax.lax.scan(lambda state, given: step(state, given, state[0] @ u + c), state, entering)[1].swapaxes(0, 1)


def _lstm(state: Any, entering: Any, kept: Any) -> Any:
    i, f, g, o = jnp.split(entering + kept, 4, axis=1)
    cell = jax.nn.sigmoid(f) * state[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(cell)
    return (h, cell), h


def _gru(state: Any, entering: Any, kept: Any) -> Any:
    (xr, xz, xn), (hr, hz, hn) = (jnp.split(part, 3, axis=1) for part in (entering, kept))
    z = jax.nn.sigmoid(xz + hz)
    n = jnp.tanh(xn + jax.nn.sigmoid(xr + hr) * hn)
    h = (1 - z) * n + z * state[0]
    return (h,), h


# ---- transformers ---------------------------------------------------------------------------------------------------


def normalized(learned: Sequence[Any], x: Any) -> Any:
    """Layer normalization of the last axis."""
    scale, shift = learned
    return (x - x.mean(-1, keepdims=True)) * jax.lax.rsqrt(x.var(-1, keepdims=True) + LEAST) * scale + shift


def block(layer: kinds.Blocks, learned: Sequence[Any], x: Any, attend: Callable[[Any, Any, Any], Any]) -> Any:
    """One block; ``attend`` takes queries, keys and values (batch, tokens, heads, width of a head)."""
    w, b, out, out_b, up, up_b, down, down_b, *scales = learned
    qkv = (normalized(scales[:2], x) @ w + b).reshape(*x.shape[:2], 3, layer.heads, -1)
    x = x + attend(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]).reshape(x.shape) @ out + out_b
    hidden = normalized(scales[2:], x) @ up + up_b
    return x + jax.nn.gelu(hidden, approximate=False) @ down + down_b


def causal(q: Any, k: Any, v: Any) -> Any:
    """Attention in which no query sees a later key."""
    return jax.nn.dot_product_attention(q, k, v, is_causal=True)


def attention(batch: Sequence[Any]) -> Callable[[], Any]:
    """The sum of the squares of attention's outputs, and its gradients by queries, keys and values."""

    def loss_of(qkv: Any) -> Any:
        y = causal(*(x.swapaxes(1, 2) for x in qkv))
        return (y * y).sum()

    both, given = jax.jit(jax.value_and_grad(loss_of)), tuple(map(jnp.array, batch))

    def step() -> Any:
        loss, gradients = jax.block_until_ready(both(given))
        return loss, *gradients

    return step


def generation(workload: Workload, learned: Sequence[Any]) -> Callable[[], np.ndarray]:
    """As many words as the network has places, from word 0, each read before the next: a jitted step for each."""
    net, blocks = workload.net, workload.net.layers[2]
    assert isinstance(blocks, kinds.Blocks)
    shape = net.blocks, 1, net.tokens, net.heads, net.sizes[1] // net.heads

    @functools.partial(jax.jit, donate_argnums=(3, 4))
    def following(learned: Any, word: Any, place: Any, keys: Any, values: Any) -> Any:
        (words,), (places,), of_blocks, norm, (w, b) = learned
        past = (jnp.arange(net.tokens) <= place).reshape(1, 1, 1, -1)
        x, kept = words[word] + places[place], [keys, values]

        def attend(number: int, q: Any, k: Any, v: Any) -> Any:
            at = number, 0, place, 0, 0
            kept[:] = (jax.lax.dynamic_update_slice(a, n[None], at) for a, n in zip(kept, (k, v), strict=True))
            return jax.nn.dot_product_attention(q, kept[0][number], kept[1][number], mask=past)

        for number, of_block in enumerate(of_blocks):
            x = block(blocks, of_block, x, functools.partial(attend, number))
        logits = normalized(norm, x) @ w + b
        return logits[:, -1].argmax(-1).reshape(1, 1), *kept

    def generate() -> np.ndarray:
        word, kept, found = jnp.zeros((1, 1), int), [jnp.zeros(shape), jnp.zeros(shape)], []
        for place in range(net.tokens):
            word, *kept[:] = following(learned, word, place, *kept)
            found.append(int(word[0, 0]))
        return np.array(found)

    return generate
