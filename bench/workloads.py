"""What is measured: models, batches and optimizers, as plain data that every library's side is built from.

A workload says nothing about any library.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.batches import KNOWN, Arrays, batch
from bench.contenders import OWN
from bench.nets import Net

#: What the memory of a workload of this kind is to be, see ``bench.memory``.
MEMORY = "linear in the tokens within a tenth", "no more than PyTorch's"


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
        if self.factor is not None and self.factor < 1:
            return f"{1 / self.factor:g} times {of}"
        return f"no slower than {of}" if self.factor == 1 else f"1/{self.factor:g} of {of}"


@dataclass(frozen=True)
class Workload:
    """One row of the report.

    ``kind`` is how nnkit does it: "fit" (steps inside ``fit``), "compiled" (one compiled step per call), "eager" (one
    plain step per call), "predict" (one call of ``predict`` on ``batch`` rows), "program" (a whole script), "generate"
    (as many words as the network has places, the likeliest each time), "memory" (its peak, by ``bench.memory``).
    ``rows`` is the size of the data set of a "fit"; the other kinds see one batch again and again. Losses: by
    PyTorch's names; "heat", of the heat equation and of what is known of its solution; "squares", of all outputs.
    ``beside``: other networks that are timed in the same rounds, by the name in the report, with who runs them.
    ``how``: what the report says of the ways in which contenders do it.
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
    beside: Mapping[str, tuple[str, Net]] = field(default_factory=dict)
    how: str = ""

    @property
    def goal(self) -> str:
        """What nnkit must reach, in words."""
        return " and ".join(map(str, self.targets)) if self.kind != "memory" else " and ".join(MEMORY)

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
        """Floating-point operations of one step's products; the first layer needs no gradient of its input.

        With second derivatives a product of the forward pass is followed by one for the first and two for the second
        derivatives, and each of the four by two in the backward pass.
        """
        products = 2 * self.batch * sum(self.net.multiplications)
        if self.loss == "heat":
            return 12 * products + 3 * products // KNOWN
        return 3 * products - 2 * self.batch * self.net.input_multiplications if self.trains else products

    @property
    def parameter_bytes(self) -> int:
        """What a step must read and write of parameters, gradients and state in float32, besides its products.

        An update by Adam reads 4 and writes 3 numbers per parameter, one by momentum 3 and 2, a plain one 2 and 1. A
        prediction of one row, or of the next word, reads every parameter for a single multiplication.
        """
        if self.trains:
            return self._used * {"adam": 28, "sgd": 20, "plain sgd": 12}[self.optimizer]
        return self.parameters * 4 * (self.net.tokens if self.kind == "generate" else 1)

    @property
    def touched(self) -> int:
        """Bytes of memory in which that is: parameters and, in training, their gradients and state."""
        held = {"adam": 16, "sgd": 16, "plain sgd": 8}[self.optimizer]  # momentum's is rounded up
        return self._used * held if self.trains else self.parameters * 4

    @property
    def _used(self) -> int:
        """The parameters that a step changes: of a table alone, those of its words."""
        return self.batch * self.net.classes if self.net.family == "embedding" else self.parameters

    def data(self, rows: int) -> Arrays:
        """What so many rows consist of: see ``bench.batches``."""
        return batch(self.net, self.loss, rows)

    def as_json(self) -> dict[str, Any]:
        """This workload for another process."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Workload:
        """The workload that ``as_json`` wrote."""
        targets = tuple(Target(**target) for target in values["targets"])
        beside = {name: (who, Net.from_json(net)) for name, (who, net) in values["beside"].items()}
        return cls(**{**values, "net": Net.from_json(values["net"]), "targets": targets, "beside": beside})


def _table() -> dict[str, Workload]:
    mnist, narrow, wide = Net((784, 128, 10)), Net((20, 32, 16, 1)), (1024, 2048, 2048, 1000)
    plain = Net((1, 16, 32, 10), "plain", (28, 28))
    residual = Net((3, 16, 32, 64, 10), "residual", (32, 32))
    separable = Net((3, 32, 64, 128, 10), "separable", (32, 32))
    language = Net((64, 128, 512, 64), "language", activation="gelu", tokens=64, heads=4, blocks=2)
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
        Workload("o", "LSTM 32-128, 50 steps, linear to 10, batch 32, Adam", "compiled",
                 Net((32, 128, 10), "LSTM", tokens=50), 32, _fastest(1.5)),
        Workload("p", "GRU 8-32, 24 steps, linear to 1, batch 16, squared error, Adam", "compiled",
                 Net((8, 32, 1), "GRU", tokens=24), 16, _fastest(5), loss="mse"),
        Workload("q", "2 transformer blocks, 128 wide, 4 heads, GELU, 64 tokens of a vocabulary of 64, batch 16, Adam",
                 "compiled", language, 16, _fastest(2)),
        Workload("r", "256 tokens one by one by that model, keys and values kept", "generate",
                 dataclasses.replace(language, tokens=256), 1, (Target(3, "PyTorch"),),
                 how="eager PyTorch attends to the words so far; compiled, and in JAX, places to come are masked"),
        Workload("s", "attention over 4096 tokens, 4 heads of 32, causal, forward and gradient: peak memory", "memory",
                 Net((32,), "attention", tokens=4096, heads=4), 1, (), loss="squares"),
        Workload("t", "embedding of 100,000 × 64, batch 256, squared error, SGD", "compiled", _rows(100_000), 256,
                 (Target(0.8, f"{OWN}, 1,000 words"),), loss="mse", optimizer="plain sgd",
                 beside={f"{OWN}, 1,000 words": (OWN, _rows(1_000)),
                         f"{OWN}, 10,000 words": (OWN, _rows(10_000)),
                         "PyTorch, sparse gradient": ("PyTorch", _rows(100_000, True))}),
        Workload("u", "heat equation, 2-50-50-50-1, tanh, 1,000 points, second derivatives, Adam", "compiled",
                 Net((2, 50, 50, 50, 1), activation="tanh"), 1000, _fastest(3), loss="heat",
                 how="nnkit and PyTorch differentiate gradients, torch.compile those of `torch.func` at each point, "
                     "JAX takes `jvp` twice: what was fastest in each"),
    ]  # fmt: skip
    return {row.key: row for row in rows}


def _rows(words: int, sparse: bool = False) -> Net:
    return Net((words, 64), "embedding", sparse=sparse)


def _fastest(factor: float) -> tuple[Target, ...]:
    return (Target(factor),)


WORKLOADS = _table()
