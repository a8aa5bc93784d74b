"""PyTorch's side: eager, ``torch.compile(mode="reduce-overhead")`` on the loss, or the whole step as a CUDA graph.

Adam is PyTorch's fused one, its fastest, in all three.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from bench.contenders import Steps
from bench.gpu.workloads import Training
from bench.peers import pytorch

torch = pytorch.torch
WARM_UP = 5  # steps before a graph is captured


def build(workload: Training, way: str) -> Steps:
    """The workload, ready to run on the GPU. Raises RuntimeError where this PyTorch sees none."""
    if not torch.cuda.is_available():
        raise RuntimeError(f"PyTorch {torch.__version__} sees no GPU")
    half = workload.precision == "bfloat16"
    torch.set_float32_matmul_precision("highest" if half else workload.precision)
    torch.backends.cudnn.allow_tf32 = workload.precision == "high"  # of convolutions, which it would allow by default
    model = pytorch.network(workload).cuda()
    x, y = (torch.from_numpy(array).cuda() for array in workload.data(workload.batch))
    optimizer = torch.optim.Adam(model.parameters(), fused=True, capturable=way == "graphs")
    loss_of = torch.nn.CrossEntropyLoss()

    def forward() -> Any:
        with torch.autocast("cuda", torch.bfloat16) if half else contextlib.nullcontext():
            return loss_of(model(x), y)

    loss = torch.compile(forward, mode="reduce-overhead") if way == "compiled" else forward

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


def _synchronized(step: Callable[[], None]) -> Steps:
    def run(count: int) -> None:
        for _ in range(count):
            step()
        torch.cuda.synchronize()

    run(WARM_UP)
    return Steps(run)
