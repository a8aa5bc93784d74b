"""nnkit's side of what is timed: one compiled step per call, or the steps inside ``fit``, or words one by one."""

from __future__ import annotations

from typing import Any

import nnkit
from bench import own, words
from bench.contenders import Steps
from bench.gpu.workloads import Training
from nnkit import backends


def build(workload: Training, in_fit: bool = False) -> Steps:
    """The workload, ready to run on the GPU."""
    half = "bfloat16" if workload.precision == "bfloat16" else None
    nnkit.set_matmul_precision("highest" if half else workload.precision)
    nnkit.set_default_device("cuda")
    model = own.network(workload, "cuda")
    if in_fit:
        return _fit(workload, model, half)
    backend = backends.get("cuda")
    if workload.kind == "generate":
        call, compiled = own.generation(workload, model)
    else:
        step: Any = own.train_step(workload, model)
        call = compiled = nnkit.compile(nnkit.autocast(half)(step) if half else step)

    def run(count: int) -> None:
        for _ in range(count):
            call()
        backend.synchronize()

    run(3)
    if compiled.plain:
        raise RuntimeError(f"the step is not recorded: {next(iter(compiled.plain.values()))}")
    return Steps(run)


def _fit(workload: Training, model: nnkit.nn.Module, half: str | None) -> Steps:
    x, y = workload.data(workload.rows)
    options: dict[str, Any] = {
        "loss": workload.loss, "optimizer": words.optimizer(nnkit, workload, model), "batch_size": workload.batch,
        "verbose": 0, "precision": half,
    }  # fmt: skip
    return Steps(lambda epochs: model.fit(x, y, epochs=epochs, **options), workload.rows // workload.batch, True)
