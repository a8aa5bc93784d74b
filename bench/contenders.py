"""Who runs: nnkit and its peers, one module for each, which is imported only where its library is installed.

A contender's module has ``build(workload)``, which makes the work ready and returns ``Steps``, or None where the
library has no such thing. Importing the module imports the library.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np


class Steps(NamedTuple):
    """Work that is ready: ``run(n)`` does n units, each of ``per_unit`` steps.

    ``has_setup`` says that a call also costs something that is no step; it is measured by two calls of different n.
    ``values(n)``, before anything is run, gives what tells whether all do the same work: the losses of n steps, or the
    outputs of n predictions.
    """

    run: Callable[[int], None]
    per_unit: int = 1
    has_setup: bool = False
    values: Callable[[int], list[float]] = lambda count: []

    @classmethod
    def repeat(cls, step: Callable[[], Any]) -> Steps:
        """Steps that are calls of one function."""

        def run(count: int) -> None:
            for _ in range(count):
                step()

        return cls(run, values=lambda count: [value for _ in range(count) for value in numbers(step())])

    @classmethod
    def same(cls, step: Callable[[], Any]) -> Steps:
        """Calls of one function that gives the same each time: one tells all."""
        return cls.repeat(step)._replace(values=lambda count: numbers(step()))


def numbers(array: Any) -> list[float]:
    """The elements of a loss or of outputs, whosever arrays they are; of several, one after the other."""
    if isinstance(array, list | tuple):
        return [value for one in array for value in numbers(one)]
    return [float(value) for value in np.asarray(array.tolist()).reshape(-1)]


class Contender(NamedTuple):
    """A library, by the name the report gives it."""

    module: str
    needs: tuple[str, ...]  # import names
    packages: tuple[str, ...]  # distributions whose versions the report names
    options: dict[str, Any]  # further arguments of ``build``

    def missing(self) -> str | None:
        """Why this contender cannot run here; None when it can."""
        absent = [name for name in self.needs if importlib.util.find_spec(name) is None]
        return f"not installed: {', '.join(absent)}" if absent else None

    def load(self) -> Callable[..., Steps | None]:
        """The function that builds a workload; imports the library."""
        return partial(importlib.import_module(self.module).build, **self.options)


OWN = "nnkit"
_TORCH = ("bench.peers.pytorch", ("torch",), ("torch",))
CONTENDERS = {
    OWN: Contender("bench.own", ("nnkit",), ("nnkit", "numpy", "numba", "llvmlite"), {}),
    "PyTorch": Contender(*_TORCH, {}),
    "torch.compile": Contender(*_TORCH, {"compiled": True}),
    "JAX": Contender("bench.peers.jax_optax", ("jax", "optax"), ("jax", "jaxlib", "optax"), {}),
    "scikit-learn": Contender("bench.peers.scikit_learn", ("sklearn",), ("scikit-learn",), {}),
    "ONNX Runtime": Contender(
        "bench.peers.onnx_runtime", ("onnx", "onnxruntime"), ("onnx", "onnxruntime"), {}
    ),
}  # fmt: skip
PEERS = tuple(name for name in CONTENDERS if name != OWN)
