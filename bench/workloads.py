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

from bench.nets import Net


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
    net: Net
    batch: int
    targets: tuple[Target, ...]
    loss: str = "cross_entropy"
    optimizer: str = "adam"
    rows: int = 0
    quoted: Mapping[str, float] = field(default_factory=dict)  # seconds measured elsewhere, shown but not compared

    @property
    def trains(self) -> bool:
        """Whether a step changes weights."""
        return self.kind in ("fit", "compiled", "eager")

    @property
    def parameters(self) -> int:
        """The number of weights and biases."""
        return self.net.parameters

    @property
    def flops(self) -> int:
        """Floating-point operations of one step's products; the first layer needs no gradient of its input."""
        products = [2 * self.batch * count for count in self.net.multiplications]
        return 3 * sum(products) - products[0] if self.trains else sum(products)

    @property
    def parameter_bytes(self) -> int:
        """What a step must read and write of parameters, gradients and state in float32, besides its products.

        An update by Adam reads 4 and writes 3 numbers per parameter, one by momentum 3 and 2. A prediction of one row
        reads every parameter for a single multiplication.
        """
        return self.parameters * ({"adam": 28, "sgd": 20}[self.optimizer] if self.trains else 4)

    def data(self, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """x (rows, …) float32 and y: labels (rows,) int64, or (rows, 1) float32 of 0 and 1."""
        random = np.random.default_rng(0)
        half, classes = (rows + 1) // 2, max(self.net.classes, 2)
        x = np.repeat(random.standard_normal((half, *self.net.inputs), np.float32), 2, axis=0)[:rows]
        label = random.integers(0, classes, half)
        y = np.stack([label, (label + 1) % classes], axis=1).reshape(-1)[:rows]
        return x, y[:, None].astype(np.float32) if self.loss == "bce_with_logits" else y

    def as_json(self) -> dict[str, Any]:
        """This workload for another process."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Workload:
        """The workload that ``as_json`` wrote."""
        targets = tuple(Target(**target) for target in values["targets"])
        return cls(**{**values, "net": Net.from_json(values["net"]), "targets": targets})


def _table() -> dict[str, Workload]:
    mnist, narrow, wide = Net((784, 128, 10)), Net((20, 32, 16, 1)), (1024, 2048, 2048, 1000)
    plain = Net((1, 16, 32, 10), "plain", (28, 28))
    residual = Net((3, 16, 32, 64, 10), "residual", (32, 32))
    separable = Net((3, 32, 64, 128, 10), "separable", (32, 32))
    tiny: dict[str, Any] = {"net": narrow, "batch": 32, "loss": "bce_with_logits", "optimizer": "sgd", "rows": 8192}
    digits: dict[str, Any] = {"net": mnist, "batch": 128, "rows": 8192}
    deep: dict[str, Any] = {"net": Net((784, 64, 64, 10)), "batch": 32, "rows": 8192}
    one: dict[str, Any] = {"kind": "predict", "batch": 1}
    seed = {"Keras on TensorFlow": 113.0, "Keras on JAX": 6.3}
    rows = [
        Workload("a", "20-32-16-1, batch 32, BCE, SGD nesterov, per step in `fit`", "fit", targets=_fastest(12),
                 **tiny),
        Workload("b", "the same, one `nnkit.compile`d step per call", "compiled", targets=_fastest(6), **tiny),
        Workload("c", "784-128-10, batch 128, Adam, per step in `fit`", "fit", targets=_fastest(2), **digits),
        Workload("d", "784-64-64-10, batch 32, Adam, per step in `fit`", "fit", targets=_fastest(4), **deep),
        Workload("e", "1024-2048-2048-1000, batch 256, Adam", "compiled", Net(wide), 256, _fastest(1.25)),
        Workload("f", "the same with GELU and dropout 0.1", "compiled", Net(wide, activation="gelu", dropout=0.1), 256,
                 _fastest(1.25)),
        Workload("g", "one row through 784-128-10, `model.predict`", targets=_fastest(1.5), net=mnist, **one),
        Workload("h", "one row through 20-32-16-1, `model.predict`", targets=_fastest(2), net=narrow,
                 loss="bce_with_logits", **one),
        Workload("i", "examples/seed_004_keras_binary.py (1000×20, 1000 epochs of batch 32)", "program",
                 targets=(Target(seconds=0.3),), quoted=seed, **tiny),
        Workload("j", "784-128-10, batch 128, Adam, eager step", "eager", targets=(Target(1, "PyTorch"),), **digits),
        Workload("k", "conv 1-16, pool, conv 16-32, pool, linear 1568-10; 28×28, batch 64, Adam", "compiled", plain, 64,
                 _fastest(3)),
        Workload("l", "one image through the same, `model.predict`", net=plain,
                 targets=(Target(3, "PyTorch"), Target(1.5, "ONNX Runtime")), **one),
        Workload("m", "residual net, 3 stages of 2 blocks, 16-32-64, BatchNorm; 32×32, batch 32, Adam", "compiled",
                 residual, 32, _fastest(1.5)),
        Workload("n", "depthwise-separable net, 32-64-128; 32×32, batch 32, Adam", "compiled", separable, 32,
                 _fastest(2)),
    ]  # fmt: skip
    return {row.key: row for row in rows}


def _fastest(factor: float) -> tuple[Target, ...]:
    return (Target(factor),)


WORKLOADS = _table()
