"""The most device memory that attention and its gradient take, in each library as it counts it itself.

Inputs and gradients count, what a library holds after the same with eight tokens does not. nnkit's step is recorded.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from bench import memory, words
from bench.contenders import CONTENDERS, OWN, Steps
from bench.gpu.process import Over, Process
from bench.gpu.workloads import ATTENTION
from bench.workloads import Workload

PATIENCE = 300.0  # seconds in which a contender may say nothing


class Way(NamedTuple):
    """How a library does it: ``start`` forgets its peak and gives what it holds, ``peak`` is the most since then."""

    build: Callable[[Workload], Steps]
    start: Callable[[], int]
    peak: Callable[[], int]


def row(until: float = math.inf) -> dict[str, Any]:
    """The row of the page. Raises Over when the whole command's time is up."""

    over: list[Over] = []

    def measure(name: str, given: Workload) -> Any:
        try:
            with Process(until=until) as process:
                return process.ask(PATIENCE, "bench.gpu.attention:attended", name, given.as_json())
        except Over as error:
            over.append(error)
            raise

    missing = {name: CONTENDERS[name].missing() for name in memory.ATTENDING}
    found = memory.row(ATTENTION, measure, missing)
    if over:
        raise over[0]
    return found


def attended(contender: str, workload: dict[str, Any]) -> dict[str, Any]:
    """The bytes for attention with its gradient, and what came out. For a process of its own."""
    given, way = Workload.from_json(workload), WAYS[contender]()
    way.build(memory.small(given)).run(3)
    before = way.start()
    ready = way.build(given)
    ready.run(3)
    return {"bytes": way.peak() - before, "outcome": memory.outcome(ready)}


def _own() -> Way:
    own: Any = importlib.import_module("bench.own")
    cuda = own.nnkit.cuda

    def start() -> int:
        cuda.reset_peak_memory_stats()
        return int(cuda.memory_reserved())

    return Way(lambda workload: own.build(workload, "cuda"), start, cuda.max_memory_allocated)


def _pytorch() -> Way:
    pytorch: Any = importlib.import_module("bench.peers.pytorch")
    cuda = pytorch.torch.cuda
    if not cuda.is_available():
        raise RuntimeError(f"PyTorch {pytorch.torch.__version__} sees no GPU")

    def start() -> int:
        cuda.reset_peak_memory_stats()
        return int(cuda.memory_allocated())

    def build(workload: Workload) -> Steps:
        return Steps.repeat(words.attention(pytorch.torch, pytorch.tensors(workload, "cuda")))

    return Way(build, start, cuda.max_memory_allocated)


def _jax() -> Way:
    jax_optax: Any = importlib.import_module("bench.peers.jax_optax")
    jax = jax_optax.jax
    if jax.default_backend() != "gpu":
        raise RuntimeError(f"JAX {jax.__version__} sees no GPU, only {jax.default_backend()}")
    jax.config.update("jax_default_matmul_precision", "float32")

    def figure(name: str) -> int:
        return int(jax.devices()[0].memory_stats()[name])

    return Way(jax_optax.build, lambda: figure("bytes_in_use"), lambda: figure("peak_bytes_in_use"))


WAYS: dict[str, Callable[[], Way]] = {OWN: _own, "PyTorch": _pytorch, "JAX": _jax}
