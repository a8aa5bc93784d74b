"""What is measured: models, batches and optimizers, as plain data that every library's side is built from.

A workload says nothing about any library. Its data are such that they cannot be learned by heart: every row comes
twice, with two different labels. So gradients stay ordinary numbers however long a benchmark trains; a loss that
went to zero would fill the optimizer's state with denormal numbers, which some processors multiply very slowly.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Target:
    """What nnkit must reach: at most 1/``factor`` of the time of ``against``, or at most ``seconds``."""

    factor: float | None = None
    against: str = "fastest"  # the fastest of all peers, or the name of one
    seconds: float | None = None

    def __str__(self) -> str:
        if self.seconds is not None:
            return f"{self.seconds:g} s"
        of = "the fastest peer" if self.against == "fastest" else self.against
        return f"no slower than {of}" if self.factor == 1 else f"1/{self.factor:g} of {of}"


@dataclass(frozen=True)
class Workload:
    """One row of the report.

    ``kind`` is how nnkit does it: "fit" (steps inside ``fit``), "compiled" (one compiled step per call), "eager" (one
    plain step per call), "predict" (one call of ``predict`` on ``batch`` rows), "program" (a whole script).
    ``rows`` is the size of the data set of a "fit"; the other kinds see one batch again and again.
    """

    key: str
    title: str
    kind: str
    sizes: tuple[int, ...]
    batch: int
    target: Target
    loss: str = "cross_entropy"
    optimizer: str = "adam"
    activation: str = "relu"
    dropout: float = 0.0
    rows: int = 0
    quoted: Mapping[str, float] = field(default_factory=dict)  # seconds measured elsewhere, shown but not compared

    @property
    def trains(self) -> bool:
        """Whether a step changes weights."""
        return self.kind in ("fit", "compiled", "eager")

    @property
    def parameters(self) -> int:
        """The number of weights and biases."""
        return sum(i * o + o for i, o in zip(self.sizes, self.sizes[1:], strict=False))

    @property
    def flops(self) -> int:
        """Floating-point operations of one step's matrix products; the first layer needs no gradient of its input."""
        products = [2 * self.batch * i * o for i, o in zip(self.sizes, self.sizes[1:], strict=False)]
        return 3 * sum(products) - products[0] if self.trains else sum(products)

    @property
    def parameter_bytes(self) -> int:
        """What a step must read and write of parameters, gradients and state in float32, besides its products.

        An update by Adam reads 4 and writes 3 numbers per parameter, one by momentum 3 and 2. A prediction of one row
        reads every parameter for a single multiplication.
        """
        return self.parameters * ({"adam": 28, "sgd": 20}[self.optimizer] if self.trains else 4)

    def data(self, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """x (rows, features) float32 and y: labels (rows,) int64, or (rows, 1) float32 of 0 and 1."""
        random = np.random.default_rng(0)
        half, classes = (rows + 1) // 2, max(self.sizes[-1], 2)
        x = np.repeat(random.standard_normal((half, self.sizes[0]), np.float32), 2, axis=0)[:rows]
        label = random.integers(0, classes, half)
        y = np.stack([label, (label + 1) % classes], axis=1).reshape(-1)[:rows]
        return x, y[:, None].astype(np.float32) if self.loss == "bce_with_logits" else y

    def as_json(self) -> dict[str, Any]:
        """This workload for another process."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Workload:
        """The workload that ``as_json`` wrote."""
        return cls(**{**values, "sizes": tuple(values["sizes"]), "target": Target(**values["target"])})


def _table() -> dict[str, Workload]:
    tiny: dict[str, Any] = {
        "sizes": (20, 32, 16, 1), "batch": 32, "loss": "bce_with_logits", "optimizer": "sgd", "rows": 8192,
    }  # fmt: skip
    mnist: dict[str, Any] = {"sizes": (784, 128, 10), "batch": 128, "rows": 8192}
    deep: dict[str, Any] = {"sizes": (784, 64, 64, 10), "batch": 32, "rows": 8192}
    wide: dict[str, Any] = {"sizes": (1024, 2048, 2048, 1000), "batch": 256}
    one: dict[str, Any] = {"kind": "predict", "batch": 1}
    seed = {"Keras on TensorFlow": 113.0, "Keras on JAX": 6.3}
    rows = [
        Workload("a", "20-32-16-1, batch 32, BCE, SGD nesterov, per step in `fit`", "fit", target=Target(12), **tiny),
        Workload("b", "the same, one `nnkit.compile`d step per call", "compiled", target=Target(6), **tiny),
        Workload("c", "784-128-10, batch 128, Adam, per step in `fit`", "fit", target=Target(2), **mnist),
        Workload("d", "784-64-64-10, batch 32, Adam, per step in `fit`", "fit", target=Target(4), **deep),
        Workload("e", "1024-2048-2048-1000, batch 256, Adam", "compiled", target=Target(1.25), **wide),
        Workload("f", "the same with GELU and dropout 0.1", "compiled", activation="gelu", dropout=0.1,
                 target=Target(1.25), **wide),
        Workload("g", "one row through 784-128-10, `model.predict`", target=Target(1.5), sizes=(784, 128, 10), **one),
        Workload("h", "one row through 20-32-16-1, `model.predict`", target=Target(2), sizes=(20, 32, 16, 1),
                 loss="bce_with_logits", **one),
        Workload("i", "examples/seed_004_keras_binary.py (1000×20, 1000 epochs of batch 32)", "program",
                 target=Target(seconds=0.3), quoted=seed, **tiny),
        Workload("j", "784-128-10, batch 128, Adam, eager step", "eager", target=Target(1, "PyTorch"), **mnist),
    ]  # fmt: skip
    return {row.key: row for row in rows}


WORKLOADS = _table()
