"""nnkit's side of every workload, through its public interface only."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nnkit
from bench.contenders import Steps
from bench.workloads import Workload
from nnkit import nn

SEED_PROGRAM = Path(__file__).parent.parent / "examples" / "seed_004_keras_binary.py"


def network(workload: Workload, device: str = "cpu") -> nn.Sequential:
    """The workload's model: linear layers, and between them the activation and dropout."""
    layers: list[nn.Module] = []
    last = len(workload.sizes) - 2
    for index, (inputs, outputs) in enumerate(zip(workload.sizes, workload.sizes[1:], strict=False)):
        layers.append(nn.Linear(inputs, outputs, device=device))
        if index < last:
            layers.append({"relu": nn.ReLU, "gelu": nn.GELU}[workload.activation]())
            if workload.dropout:
                layers.append(nn.Dropout(workload.dropout))
    return nn.Sequential(*layers)


def optimizer(workload: Workload, model: nn.Module) -> nnkit.optim.Optimizer:
    """The workload's optimizer with its library's defaults."""
    if workload.optimizer == "sgd":
        return nnkit.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    return nnkit.optim.Adam(model.parameters())


def build(workload: Workload, device: str = "cpu") -> Steps:
    """The workload, ready to run on a device."""
    if workload.kind == "program":
        return Steps.repeat(program())
    model = network(workload, device)
    if workload.kind == "fit":
        return _fit(workload, model)
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
