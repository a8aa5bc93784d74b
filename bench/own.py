"""nnkit's side of every workload, through its public interface only."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nnkit
from bench import words
from bench.contenders import Steps
from bench.workloads import Workload
from nnkit import nn

SEED_PROGRAM = Path(__file__).parent.parent / "examples" / "seed_004_keras_binary.py"


def network(workload: Workload, device: str = "cpu") -> nn.Module:
    """The workload's model."""
    model: nn.Module = words.network(nn, nnkit.tensor, workload.net)
    return model.to(device=device)


def optimizer(workload: Workload, model: nn.Module) -> nnkit.optim.Optimizer:
    """The workload's optimizer with its library's defaults."""
    if workload.optimizer == "sgd":
        return nnkit.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    return nnkit.optim.Adam(model.parameters())


def build(workload: Workload, device: str = "cpu") -> Steps:
    """The workload, ready to run on a device."""
    if workload.kind == "program":
        return Steps(Steps.repeat(program()).run)
    model = network(workload, device)
    if workload.kind == "fit":
        single = dataclasses.replace(workload, kind="compiled")
        return _fit(workload, model)._replace(values=lambda count: build(single, device).values(count))
    if workload.kind == "predict":
        row = workload.data(workload.batch)[0]
        return Steps.repeat(lambda: model.predict(row))
    step = train_step(workload, model)
    return Steps.repeat(nnkit.compile(step) if workload.kind == "compiled" else step)


def _fit(workload: Workload, model: nn.Module) -> Steps:
    x, y = workload.data(workload.rows)
    options: dict[str, Any] = {
        "loss": workload.loss, "optimizer": optimizer(workload, model), "batch_size": workload.batch, "verbose": 0,
    }  # fmt: skip
    return Steps(lambda epochs: model.fit(x, y, epochs=epochs, **options), workload.rows // workload.batch, True)


def train_step(workload: Workload, model: nn.Module) -> Callable[[], nnkit.Tensor]:
    """One step as a person writes it: forget the gradients, forward, backward, update."""
    device = next(iter(model.parameters())).device
    x, y = (nnkit.tensor(array, device=device) for array in workload.data(workload.batch))
    loss_of = nn.BCEWithLogitsLoss() if workload.loss == "bce_with_logits" else nn.CrossEntropyLoss()
    updates = optimizer(workload, model)

    def step() -> nnkit.Tensor:
        updates.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        updates.step()
        return loss.detach()

    return step


def program(epochs: int = 1000) -> Callable[[], None]:
    """The script from first to last line, its imports loaded after the first time; what it prints is dropped."""
    text = SEED_PROGRAM.read_text(encoding="utf-8")
    if "epochs=1000" not in text:
        raise ValueError(f"{SEED_PROGRAM} has no epochs=1000: it is not the program that this workload measures")
    code = compile(text.replace("epochs=1000", f"epochs={epochs}"), str(SEED_PROGRAM), "exec")

    def run() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(code, {"__name__": "__main__"})

    return run
