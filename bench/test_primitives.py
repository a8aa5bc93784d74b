"""Primitives, forward and gradient, several sizes: every backend, called from Python and replayed from a program."""

from __future__ import annotations

from typing import Any

import pytest

from bench.primitives import PRIMITIVES, recorded
from nnkit import backends

CASES = [(name, size) for name, primitive in PRIMITIVES.items() for size in primitive.sizes]


@pytest.mark.parametrize(("name", "size"), CASES, ids=lambda value: str(value).replace(" ", "-"))
@pytest.mark.parametrize("way", ["eager", "recorded"])
def test_primitive(benchmark: Any, name: str, size: int, way: str, backend_name: str) -> None:
    benchmark.group = f"{name}, size {size}"
    backend = backends.get(backend_name)
    call = PRIMITIVES[name].make(backend, size)
    if way == "eager":
        benchmark(call)
    else:
        benchmark(recorded(backend, call), 1)
    backend.synchronize()
