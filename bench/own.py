"""nnkit's side of every workload, through its public interface only."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

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


def build(workload: Workload, device: str = "cpu") -> Steps:
    """The workload, ready to run on a device."""
    if workload.kind == "program":
        return Steps(Steps.repeat(program()).run)
    if workload.kind == "memory":
        return Steps.repeat(nnkit.compile(words.attention(nnkit, tensors(workload, device))))
    model = network(workload, device)
    if workload.kind == "fit":
        single = dataclasses.replace(workload, kind="compiled")
        return _fit(workload, model)._replace(values=lambda count: build(single, device).values(count))
    if workload.kind == "predict":
        row = workload.data(workload.batch)[0]
        return Steps.repeat(lambda: model.predict(row))
    if workload.kind == "generate":
        return Steps.same(generation(workload, model)[0])
    step = train_step(workload, model)
    return Steps.repeat(nnkit.compile(step) if workload.kind == "compiled" else step)


def tensors(workload: Workload, device: Any) -> list[nnkit.Tensor]:
    """The workload's batch."""
    return [nnkit.tensor(array, device=device) for array in workload.data(workload.batch)]


def _fit(workload: Workload, model: nn.Module) -> Steps:
    x, y = workload.data(workload.rows)
    options: dict[str, Any] = {
        "loss": workload.loss, "optimizer": words.optimizer(nnkit, workload, model), "batch_size": workload.batch,
        "verbose": 0,
    }  # fmt: skip
    return Steps(lambda epochs: model.fit(x, y, epochs=epochs, **options), workload.rows // workload.batch, True)


def train_step(workload: Workload, model: nn.Module) -> Callable[[], nnkit.Tensor]:
    """One step as a person writes it: forget the gradients, forward, backward, update."""
    forward = words.loss(nnkit, workload, model, tensors(workload, next(iter(model.parameters())).device))
    updates = words.optimizer(nnkit, workload, model)

    def step() -> nnkit.Tensor:
        updates.zero_grad()
        loss: nnkit.Tensor = forward()
        loss.backward()
        updates.step()
        return loss.detach()

    return step


def generation(workload: Workload, model: Any) -> tuple[Callable[[], np.ndarray], Any]:
    """As many words as the network has places, from word 0, each read before the next; and the recorded step."""
    embedding, positions, blocks, *ends = model.eval()
    cache = nn.KeyValueCache(workload.net.tokens)
    device = embedding.weight.device

    @nnkit.compile
    @nnkit.no_grad()
    def following(word: nnkit.Tensor) -> nnkit.Tensor:
        x = embedding(word) + positions.table(cache.positions(1, device))
        x = blocks.encoder(x, cache=cache)
        for module in ends:
            x = module(x)
        return x[:, -1].argmax(-1).reshape(1, 1)

    def generate() -> np.ndarray:
        word, found = nnkit.tensor([[0]], device=device), []
        cache.reset()
        for _ in range(workload.net.tokens):
            word = following(word)
            found.append(int(word.item()))
        return np.array(found)

    return generate, following


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
