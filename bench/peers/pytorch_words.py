"""PyTorch's side of generating words one by one, with keys and values kept: the modules' weights, a cache by hand.

Eagerly keys and values are sliced to what is there. Where a step is compiled, nothing may change its shape from word
to word: so all places are attended to, and those to come are masked; place and word are tensors.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.workloads import Workload

torch: Any = importlib.import_module("torch")
functional: Any = torch.nn.functional


def generation(workload: Workload, model: Any, compile: Callable[[Any], Any] | None = None) -> Callable[[], np.ndarray]:
    """As many words as the network has places, from word 0, each read before the next; ``compile`` takes a step."""
    embedding, positions, blocks, *ends = model
    net, device = workload.net, embedding.weight.device
    shape = 1, net.heads, net.tokens, net.sizes[1] // net.heads
    memory = [[torch.zeros(shape, device=device) for _ in range(2)] for _ in range(net.blocks)]
    places = torch.arange(net.tokens, device=device)
    attend = _attended_to_past if compile is None else _attended_to_all

    def following(word: Any, place: Any) -> Any:
        x = embedding(word) + positions.table.weight[place]
        for layer, (keys, values) in zip(blocks.encoder.layers, memory, strict=True):
            q, k, v = _projected(layer.self_attn, layer.norm1(x), net.heads)
            seen = attend(q, k, v, keys, values, place)
            x = x + layer.self_attn.out_proj(seen.transpose(1, 2).reshape(x.shape))
            x = x + layer.linear2(layer.activation(layer.linear1(layer.norm2(x))))
        for module in ends:
            x = module(x)
        return x[:, -1].argmax(-1).reshape(1, 1)

    step = following if compile is None else compile(following)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def generate() -> np.ndarray:
        word, found = torch.zeros(1, 1, dtype=torch.int64, device=device), []
        for place in range(net.tokens):
            word = step(word, place if compile is None else places[place : place + 1])
            found.append(int(word.item()))
        return np.array(found)

    return generate


def _projected(attention: Any, x: Any, heads: int) -> list[Any]:
    """Queries, keys and values (1, heads, 1, width of a head)."""
    qkv = functional.linear(x, attention.in_proj_weight, attention.in_proj_bias)
    return [part.view(1, 1, heads, -1).transpose(1, 2) for part in qkv.chunk(3, -1)]


def _attended_to_past(q: Any, k: Any, v: Any, keys: Any, values: Any, place: int) -> Any:
    keys[:, :, place : place + 1], values[:, :, place : place + 1] = k, v
    return functional.scaled_dot_product_attention(q, keys[:, :, : place + 1], values[:, :, : place + 1])


def _attended_to_all(q: Any, k: Any, v: Any, keys: Any, values: Any, place: Any) -> Any:
    keys.index_copy_(2, place, k)
    values.index_copy_(2, place, v)
    past = torch.arange(keys.shape[2], device=place.device) <= place
    return functional.scaled_dot_product_attention(q, keys, values, attn_mask=past.reshape(1, 1, 1, -1))
