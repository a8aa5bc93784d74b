"""A small language model beside PyTorch and JAX: a training step, tokens one by one, and the memory of long inputs.

``python -m bench.lab.attention [train] [generate] [memory]``. Two transformer blocks, normalized first, 128 wide, 4
heads, GELU, 64 tokens of a vocabulary of 64, batches of 16; Adam, cross-entropy. Generating: 256 tokens, the likeliest
each time, keys and values kept. Memory: attention over 1,024 to 4,096 tokens, 4 heads of 32, causal, forward and
gradient; how much the process grew. Each library has a process of its own, and they take turns; medians and the
fastest.

On a 2-core AMD EPYC (Zen 4, AVX-512), PyTorch 2.13, JAX 0.10, 2 threads, medians, on a machine that was busy with other
work:

                      nnkit   PyTorch   compiled      JAX
    training step   22.9 ms   39.1 ms    34.3 ms  54.2 ms
    256 tokens      20.1 ms   94.9 ms                      (nnkit without recording: 439 ms)
    4,096 tokens   18.0 MiB  20 to 24 MiB                  (1,024 tokens: 4.5 and 7.4 MiB)

Of the step some 14.5 ms are matrix products, which run at 85 billion multiplications a second: near what both cores can
do, for PyTorch, too. So no step of this model can be twice as fast as PyTorch's here.
"""

from __future__ import annotations

import functools
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.worker import Worker, WorkerError

THREADS, ROUNDS, STEPS = 2, 15, 8
WIDTH, HEADS, TOKENS, BATCH, VOCABULARY, BLOCKS, GENERATED = 128, 4, 64, 16, 64, 2, 256
TRAINERS = ("nnkit", "PyTorch", "PyTorch compiled", "JAX")
GENERATORS = ("nnkit", "nnkit eager", "PyTorch")


def batch() -> tuple[np.ndarray, np.ndarray]:
    """Tokens, and those that follow."""
    random = np.random.default_rng(0)
    tokens = random.integers(0, VOCABULARY, (BATCH, TOKENS + 1))
    return tokens[:, :-1].copy(), tokens[:, 1:].copy()


def rows_of(library: Any, nn: Any, rows: int) -> Any:
    """A table of learned rows, taken by number."""
    if hasattr(nn, "Embedding"):
        return nn.Embedding(rows, WIDTH)

    class Rows(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(library.randn(rows, WIDTH))

        def forward(self, numbers: Any) -> Any:
            return self.weight[numbers]

    return Rows()


def language_model(library: Any, nn: Any, places: int) -> Any:
    """The model, in either library's words."""

    class Model(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.tokens = rows_of(library, nn, VOCABULARY)
            self.places = rows_of(library, nn, places)
            layer = nn.TransformerEncoderLayer(
                WIDTH, HEADS, 4 * WIDTH, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            self.blocks = nn.TransformerEncoder(layer, BLOCKS, nn.LayerNorm(WIDTH))
            self.head = nn.Linear(WIDTH, VOCABULARY)

        def forward(self, tokens: Any, mask: Any, cache: Any = None) -> Any:
            if cache is None:
                x = self.tokens(tokens) + self.places.weight[: tokens.shape[1]]
                return self.head(self.blocks(x, mask=mask, is_causal=True))
            x = self.tokens(tokens) + self.places(cache.positions(tokens.shape[1]))
            return self.head(self.blocks(x, cache=cache))

    return Model()


# ---- a training step ------------------------------------------------------------------------------------------------


def own_training() -> Callable[[], Any]:
    """nnkit's recorded step."""
    import nnkit

    nnkit.set_num_threads(THREADS)
    model = language_model(nnkit, nnkit.nn, TOKENS)
    optimizer, loss_of = nnkit.optim.Adam(model.parameters()), nnkit.nn.CrossEntropyLoss()
    inputs, targets = (nnkit.tensor(x) for x in batch())

    @nnkit.compile
    def step() -> nnkit.Tensor:
        optimizer.zero_grad()
        loss = loss_of(model(inputs, None).reshape(-1, VOCABULARY), targets.reshape(-1))
        loss.backward()
        optimizer.step()
        return loss

    return step


def torch_training(compiled: bool) -> Callable[[], Any]:
    """PyTorch's."""
    import torch

    torch.set_num_threads(THREADS)
    model = language_model(torch, torch.nn, TOKENS)
    mask = torch.nn.Transformer.generate_square_subsequent_mask(TOKENS)
    optimizer, loss_of = torch.optim.Adam(model.parameters()), torch.nn.CrossEntropyLoss()
    inputs, targets = (torch.tensor(x) for x in batch())
    run = torch.compile(model) if compiled else model

    def step() -> Any:
        optimizer.zero_grad()
        loss = loss_of(run(inputs, mask).reshape(-1, VOCABULARY), targets.reshape(-1))
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def jax_training() -> Callable[[], Any]:
    """JAX's: one jitted function."""
    import jax
    import optax

    jnp, random = jax.numpy, np.random.default_rng(0)

    def weight(*shape: int) -> Any:
        return jnp.array(random.normal(size=shape) / np.sqrt(shape[0]), np.float32)

    def norm() -> dict[str, Any]:
        return {"w": jnp.ones(WIDTH), "b": jnp.zeros(WIDTH)}

    def linear(i: int, o: int) -> dict[str, Any]:
        return {"w": weight(i, o), "b": jnp.zeros(o)}

    blocks = [
        {"norm1": norm(), "qkv": linear(WIDTH, 3 * WIDTH), "out": linear(WIDTH, WIDTH), "norm2": norm(),
         "up": linear(WIDTH, 4 * WIDTH), "down": linear(4 * WIDTH, WIDTH)}
        for _ in range(BLOCKS)
    ]  # fmt: skip
    ends = {"norm": norm(), "head": linear(WIDTH, VOCABULARY)}
    parameters = {"tokens": weight(VOCABULARY, WIDTH), "places": weight(TOKENS, WIDTH), "blocks": blocks, **ends}

    def normalized(p: Any, x: Any) -> Any:
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - mean) / jnp.sqrt(variance + 1e-5) * p["w"] + p["b"]

    def made(p: Any, x: Any) -> Any:
        return x @ p["w"] + p["b"]

    def loss_of(p: Any, inputs: Any, targets: Any) -> Any:
        x = p["tokens"][inputs] + p["places"]
        for block in p["blocks"]:
            qkv = made(block["qkv"], normalized(block["norm1"], x)).reshape(BATCH, TOKENS, 3, HEADS, -1)
            mixed = jax.nn.dot_product_attention(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2], is_causal=True)
            x = x + made(block["out"], mixed.reshape(BATCH, TOKENS, WIDTH))
            hidden = jax.nn.gelu(made(block["up"], normalized(block["norm2"], x)), approximate=False)
            x = x + made(block["down"], hidden)
        logits = made(p["head"], normalized(p["norm"], x))
        return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()

    optimizer = optax.adam(1e-3)

    @jax.jit
    def update(p: Any, state: Any, inputs: Any, targets: Any) -> Any:
        loss, gradients = jax.value_and_grad(loss_of)(p, inputs, targets)
        changes, state = optimizer.update(gradients, state)
        return optax.apply_updates(p, changes), state, loss

    held, data = [parameters, optimizer.init(parameters)], [jnp.array(x) for x in batch()]

    def step() -> Any:
        *held[:], loss = update(*held, *data)
        return loss.block_until_ready()

    return step


# ---- tokens one by one ----------------------------------------------------------------------------------------------


def own_generating(compiled: bool) -> Callable[[], Any]:
    """nnkit, keys and values in a ``KeyValueCache``; a recorded step, or an eager one."""
    import nnkit

    nnkit.set_num_threads(THREADS)
    model = language_model(nnkit, nnkit.nn, GENERATED).eval()
    cache = nnkit.nn.KeyValueCache(GENERATED)

    @nnkit.no_grad()
    def following(token: nnkit.Tensor) -> nnkit.Tensor:
        return model(token, None, cache)[:, -1].argmax(-1).reshape(1, 1)

    run = nnkit.compile(following) if compiled else following

    def generate() -> list[int]:
        token, found = nnkit.tensor([[0]]), []
        cache.reset()
        for _ in range(GENERATED):
            token = run(token)
            found.append(int(token.item()))
        return found

    return generate


def torch_generating() -> Callable[[], Any]:
    """PyTorch: keys and values in memory made beforehand, the weights of the same modules."""
    import torch

    torch.set_num_threads(THREADS)
    model = language_model(torch, torch.nn, GENERATED).eval()
    functional, shape = torch.nn.functional, (1, HEADS, GENERATED, WIDTH // HEADS)
    memory = [(torch.zeros(shape), torch.zeros(shape)) for _ in range(BLOCKS)]

    def attended(attention: Any, x: Any, keys: Any, values: Any, place: int) -> Any:
        qkv = functional.linear(x, attention.in_proj_weight, attention.in_proj_bias)
        q, k, v = (part.view(1, 1, HEADS, -1).transpose(1, 2) for part in qkv.chunk(3, -1))
        keys[:, :, place : place + 1], values[:, :, place : place + 1] = k, v
        seen = functional.scaled_dot_product_attention(q, keys[:, :, : place + 1], values[:, :, : place + 1])
        return attention.out_proj(seen.transpose(1, 2).reshape(1, 1, WIDTH))

    @torch.inference_mode()
    def generate() -> list[int]:
        token, found = torch.zeros(1, 1, dtype=torch.int64), []
        for place in range(GENERATED):
            x = model.tokens(token) + model.places.weight[place]
            for layer, (keys, values) in zip(model.blocks.layers, memory, strict=True):
                x = x + attended(layer.self_attn, layer.norm1(x), keys, values, place)
                x = x + layer.linear2(functional.gelu(layer.linear1(layer.norm2(x))))
            token = model.head(model.blocks.norm(x))[:, -1].argmax(-1).reshape(1, 1)
            found.append(int(token.item()))
        return found

    return generate


# ---- what a worker does ---------------------------------------------------------------------------------------------

MAKERS: dict[tuple[str, str], Callable[[], Callable[[], Any]]] = {
    ("train", "nnkit"): own_training, ("train", "PyTorch"): functools.partial(torch_training, False),
    ("train", "PyTorch compiled"): functools.partial(torch_training, True), ("train", "JAX"): jax_training,
    ("generate", "nnkit"): functools.partial(own_generating, True), ("generate", "PyTorch"): torch_generating,
    ("generate", "nnkit eager"): functools.partial(own_generating, False),
}  # fmt: skip


@functools.cache
def made(what: str, who: str) -> Callable[[], Any]:
    """The work of a contender, warmed up."""
    work = MAKERS[what, who]()
    for _ in range(3):
        work()
    return work


def seconds(what: str, who: str, times: int) -> float:
    """Seconds for one run of a contender's work."""
    work = made(what, who)
    before = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - before) / times


def grown(who: str, tokens: int) -> float:
    """MiB by which the process grows for attention over so many tokens, forward and gradient."""
    import resource

    random = np.random.default_rng(0)
    host = [random.normal(size=(1, HEADS, tokens, 32)).astype(np.float32) for _ in range(3)]
    if who == "nnkit":
        import nnkit

        make: Any = nnkit.tensor
        attention: Any = nnkit.nn.functional.scaled_dot_product_attention
        nnkit.set_num_threads(THREADS)
    else:
        import torch

        make, attention = torch.tensor, torch.nn.functional.scaled_dot_product_attention
        torch.set_num_threads(THREADS)

    def run(length: int) -> None:
        q, k, v = (make(x[:, :, :length].copy(), requires_grad=True) for x in host)
        attention(q, k, v, is_causal=True).sum().backward()

    run(64)  # what is loaded once
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run(tokens)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def turns(what: str, contenders: tuple[str, ...], times: int) -> None:
    """Measure the contenders in turns, and print a line for each."""
    workers = {who: Worker() for who in contenders}
    found: dict[str, list[float]] = {who: [] for who in contenders}
    for _ in range(ROUNDS):
        for who in list(found):
            try:
                found[who].append(workers[who].ask("bench.lab.attention:seconds", what, who, times))
            except WorkerError as error:
                print(f"{what:9} {who}: {error}")
                del found[who]
    for worker in workers.values():
        worker.close()
    for who, those in found.items():
        print(f"{what:9} {who:17} median {statistics.median(those) * 1e3:8.2f} ms, fastest {min(those) * 1e3:8.2f} ms")


def main(names: list[str]) -> None:
    """Measure what is named, or everything."""
    if "train" in names or not names:
        turns("train", TRAINERS, STEPS)
    if "generate" in names or not names:
        turns("generate", GENERATORS, 1)
    if "memory" in names or not names:
        for tokens in (1024, 2048, 4096):
            for who in ("nnkit", "PyTorch"):
                with Worker() as worker:
                    print(f"memory    {who:17} {tokens} tokens: {worker.ask(GROWN, who, tokens):6.1f} MiB")


GROWN = "bench.lab.attention:grown"

if __name__ == "__main__":
    main(sys.argv[1:])
