"""PyTorch's side: eager as it comes, or with ``torch.compile`` on the loss and on the optimizer's step."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from bench import words
from bench.contenders import Steps, numbers
from bench.machine import THREADS
from bench.workloads import Workload

torch: Any = importlib.import_module("torch")


def network(workload: Workload) -> Any:
    """The workload's model."""
    return words.network(torch.nn, torch.from_numpy, workload.net)


def build(workload: Workload, compiled: bool = False) -> Steps | None:
    """The workload; a "fit" is the usual loop over one batch, which spares PyTorch the cost of making batches."""
    torch.set_num_threads(THREADS)
    torch.compiler.reset()  # else it compiles the same function for a few workloads only, and runs eagerly after that
    if workload.kind == "program" or (compiled and workload.kind == "eager"):
        return None
    model = network(workload)
    step = _train(workload, model, compiled) if workload.trains else None
    if step is not None:
        return Steps.repeat(step)
    row = torch.from_numpy(workload.data(workload.batch)[0])
    forward = torch.compile(model.eval()) if compiled else model.eval()

    def run(count: int) -> None:
        with torch.inference_mode():
            for _ in range(count):
                forward(row)

    return Steps(run, values=lambda count: count * numbers(forward(row).detach()))


def _train(workload: Workload, model: Any, compiled: bool) -> Callable[[], Any]:
    x, y = map(torch.from_numpy, workload.data(workload.batch))
    loss_of = torch.nn.BCEWithLogitsLoss() if workload.loss == "bce_with_logits" else torch.nn.CrossEntropyLoss()
    if workload.optimizer == "sgd":
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    else:
        optimizer = torch.optim.Adam(model.parameters())

    def forward() -> Any:
        return loss_of(model(x), y)

    update = optimizer.step
    if compiled:
        forward, update = torch.compile(forward), torch.compile(update)

    def step() -> Any:
        optimizer.zero_grad()
        loss = forward()
        loss.backward()
        update()
        return loss

    return step
