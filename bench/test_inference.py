"""Inference, one row and many: every backend by ``predict``, a plain forward pass, a compiled one; and peers."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

import nnkit
from bench import own
from bench.contenders import CONTENDERS, PEERS
from bench.workloads import WORKLOADS, Workload

MODELS = {"784-128-10": "g", "20-32-16-1": "h", "plain net of images": "l"}
ROWS = (1, 256)


def workload(model: str, rows: int) -> Workload:
    """The inference of a model on so many rows."""
    return dataclasses.replace(WORKLOADS[MODELS[model]], batch=rows)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("way", ["predict", "eager", "compiled"])
def test_inference(benchmark: Any, model: str, rows: int, way: str, backend_name: str) -> None:
    benchmark.group = f"inference, {model}, rows {rows}"
    given = workload(model, rows)
    if way == "predict":
        steps = own.build(given, backend_name)
        steps.run(3)
        benchmark(steps.run, 1)
        return
    network = own.network(given, backend_name).eval()
    x = nnkit.tensor(given.data(rows)[0], device=backend_name)
    forward = nnkit.no_grad()(nnkit.compile(network) if way == "compiled" else network)
    for _ in range(3):
        forward(x)
    benchmark(forward, x)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("peer", PEERS)
def test_inference_of_peer(benchmark: Any, model: str, rows: int, peer: str) -> None:
    benchmark.group = f"inference, {model}, rows {rows}"
    contender = CONTENDERS[peer]
    if contender.missing():
        pytest.skip(f"{peer} is {contender.missing()}")
    steps = contender.load()(workload(model, rows))
    assert steps is not None
    steps.run(3)
    benchmark(steps.run, 1)
