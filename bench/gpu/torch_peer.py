"""PyTorch's side: eager, ``torch.compile(mode="reduce-overhead")`` on the loss, or the whole step as a CUDA graph.

Adam is PyTorch's fused one, its fastest, in all three.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from typing import Any

from bench.contenders import Steps
from bench.gpu.workloads import Training

torch: Any = importlib.import_module("torch")
WARM_UP = 5  # steps before a graph is captured


def build(workload: Training, way: str) -> Steps:
    """The workload, ready to run on the GPU. Raises RuntimeError where this PyTorch sees none."""
    if not torch.cuda.is_available():
        raise RuntimeError(f"PyTorch {torch.__version__} sees no GPU")
    half = workload.precision == "bfloat16"
    torch.set_float32_matmul_precision("highest" if half else workload.precision)
    model, (x, y) = network(workload), (torch.from_numpy(a).cuda() for a in workload.data(workload.batch))
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


def network(workload: Training) -> Any:
    """The workload's model, on the GPU."""
    layers: list[Any] = []
    last = len(workload.sizes) - 2
    for index, (inputs, outputs) in enumerate(zip(workload.sizes, workload.sizes[1:], strict=False)):
        layers.append(torch.nn.Linear(inputs, outputs))
        if index < last:
            layers.append(torch.nn.ReLU())
    return torch.nn.Sequential(*layers).cuda()


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
