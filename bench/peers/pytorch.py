"""PyTorch's side: eager as it comes, or with ``torch.compile`` on the loss and on the optimizer's step.

``torch.compile`` cannot differentiate its own gradients. So the second derivatives of the heat equation are there those
of ``torch.func`` at one point, and ``vmap`` has them at all.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from bench import words
from bench.batches import ALPHA
from bench.contenders import Steps, numbers
from bench.machine import THREADS
from bench.peers.pytorch_words import generation
from bench.workloads import Workload

torch: Any = importlib.import_module("torch")


def network(workload: Workload) -> Any:
    """The workload's model."""
    return words.network(torch.nn, torch.from_numpy, workload.net)


def build(workload: Workload, compiled: bool = False) -> Steps | None:
    """The workload; a "fit" is the usual loop over one batch, which spares PyTorch the cost of making batches."""
    torch.set_num_threads(THREADS)
    torch.compiler.reset()  # else it compiles the same function for a few workloads only, and runs eagerly after that
    if workload.kind == "program" or (compiled and workload.kind in ("eager", "memory")):
        return None
    if workload.kind == "memory":
        return Steps.repeat(words.attention(torch, tensors(workload)))
    model = network(workload)
    if workload.kind == "generate":
        return Steps.same(generation(workload, model.eval(), torch.compile if compiled else None))
    if workload.trains:
        return Steps.repeat(_train(workload, model, compiled))
    row = tensors(workload)[0]
    forward = torch.compile(model.eval()) if compiled else model.eval()

    def run(count: int) -> None:
        with torch.inference_mode():
            for _ in range(count):
                forward(row)

    return Steps(run, values=lambda count: count * numbers(forward(row).detach()))


def tensors(workload: Workload, device: str = "cpu") -> list[Any]:
    """The workload's batch."""
    return [torch.from_numpy(array).to(device) for array in workload.data(workload.batch)]


def loss(workload: Workload, model: Any, batch: list[Any], compiled: bool) -> Callable[[], Any]:
    """The loss of a batch, not yet compiled, but made of what can be where it is to be."""
    if compiled and workload.loss == "heat":
        return _heat(model, *batch)
    found: Callable[[], Any] = words.loss(torch, workload, model, batch)
    return found


def _train(workload: Workload, model: Any, compiled: bool) -> Callable[[], Any]:
    optimizer = words.optimizer(torch, workload, model)
    forward, update = loss(workload, model, tensors(workload), compiled), optimizer.step
    if compiled:
        forward, update = torch.compile(forward), torch.compile(update)

    def step() -> Any:
        optimizer.zero_grad()
        loss = forward()
        loss.backward()
        update()
        return loss

    return step


def _heat(model: Any, inside: Any, known: Any, u: Any) -> Callable[[], Any]:
    func, parameters = torch.func, dict(model.named_parameters())

    def solution(parameters: Any, place: Any, time: Any) -> Any:
        return func.functional_call(model, parameters, (torch.stack([place, time]),))[0]

    def left(parameters: Any, point: Any) -> Any:
        place, time = point
        second = func.grad(func.grad(solution, 1), 1)(parameters, place, time)
        return func.grad(solution, 2)(parameters, place, time) - ALPHA * second

    def forward() -> Any:
        at_all = func.vmap(left, (None, 0))(parameters, inside)
        return (at_all * at_all).mean() + ((model(known) - u) ** 2).mean()

    return forward
