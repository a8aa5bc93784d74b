"""Training steps: every backend eager and recorded, and the peers that are installed.

All of them run in this process, where idle threads of one library can disturb another. For ratios that count there
is ``python -m bench report``, which gives each a process of its own.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from bench import own
from bench.contenders import CONTENDERS, PEERS
from bench.workloads import WORKLOADS

MODELS = {
    "20-32-16-1, batch 32": "b", "784-128-10, batch 128": "c", "784-64-64-10, batch 32": "d",
    "1024-2048-2048-1000, batch 256": "e", "1024-2048-2048-1000, GELU, dropout": "f",
    "plain net of images": "k", "residual net": "m", "separable net": "n",
    "LSTM": "o", "GRU": "p", "transformer blocks": "q", "embedding": "t", "heat equation": "u",
}  # fmt: skip


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("way", ["eager", "compiled"])
def test_step(benchmark: Any, model: str, way: str, backend_name: str) -> None:
    benchmark.group = f"training step, {model}"
    steps = own.build(dataclasses.replace(WORKLOADS[MODELS[model]], kind=way), backend_name)
    steps.run(3)
    benchmark(steps.run, 1)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("peer", PEERS)
def test_step_of_peer(benchmark: Any, model: str, peer: str) -> None:
    benchmark.group = f"training step, {model}"
    contender = CONTENDERS[peer]
    if contender.missing():
        pytest.skip(f"{peer} is {contender.missing()}")
    steps = contender.load()(dataclasses.replace(WORKLOADS[MODELS[model]], kind="compiled"))
    if steps is None:
        pytest.skip(f"{peer} has no such thing")
    steps.run(3)
    benchmark(steps.run, 1)
