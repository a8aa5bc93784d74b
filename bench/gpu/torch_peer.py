"""PyTorch's side: eager, ``torch.compile(mode="reduce-overhead")`` on the loss, or the whole step as a CUDA graph.

The step of generating one word goes the same three ways.

Adam is PyTorch's fused one, its fastest, in all three.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

from bench import words
from bench.contenders import Steps
from bench.gpu.workloads import Training
from bench.peers import pytorch
from bench.peers.pytorch_words import generation

torch = pytorch.torch
WARM_UP = 5  # steps before a graph is captured


def build(workload: Training, way: str) -> Steps:
    """The workload, ready to run on the GPU. Raises RuntimeError where this PyTorch sees none."""
    if not torch.cuda.is_available():
        raise RuntimeError(f"PyTorch {torch.__version__} sees no GPU")
    half = workload.precision == "bfloat16"
    torch.set_float32_matmul_precision("highest" if half else workload.precision)
    torch.backends.cudnn.allow_tf32 = workload.precision == "high"  # of convolutions, which it would allow by default
    model, compile = pytorch.network(workload).cuda(), partial(torch.compile, mode="reduce-overhead")
    if workload.kind == "generate":
        ways = {"eager": None, "compiled": compile, "graphs": replayed}
        return _synchronized(generation(workload, model.eval(), ways[way]))
    optimizer = words.optimizer(torch, workload, model, fused=True, capturable=way == "graphs")
    loss_of = pytorch.loss(workload, model, pytorch.tensors(workload, "cuda"), compiled=way == "compiled")

    def forward() -> Any:
        with torch.autocast("cuda", torch.bfloat16) if half else contextlib.nullcontext():
            return loss_of()

    loss = compile(forward) if way == "compiled" else forward

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return _synchronized(captured(step) if way == "graphs" else step)


def captured(step: Callable[[], None]) -> Callable[[], None]:
    """The step as a CUDA graph, captured as PyTorch's notes on CUDA graphs say: after a warm-up in another stream."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    replay: Callable[[], None] = graph.replay
    return replay


def replayed(following: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The step from a word and its place to the next word, as a CUDA graph over tensors of its own."""
    word, place = (torch.zeros(shape, dtype=torch.int64, device="cuda") for shape in ((1, 1), (1,)))
    found = torch.zeros_like(word)

    def step() -> None:
        found.copy_(following(word, place))

    with torch.no_grad():
        replay = captured(step)

    def call(given: Any, at: Any) -> Any:
        word.copy_(given)
        place.copy_(at)
        replay()
        return found

    return call


def _synchronized(step: Callable[[], Any]) -> Steps:
    def run(count: int) -> None:
        for _ in range(count):
            step()
        torch.cuda.synchronize()

    run(WARM_UP)
    return Steps(run)
