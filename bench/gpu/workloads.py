"""What is timed: trainings beside the peers, and work that is bound by memory beside a plain copy."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

from bench.nets import Net
from bench.workloads import WORKLOADS, Target, Workload


@dataclass(frozen=True)
class Training(Workload):
    """A training step on the GPU. ``precision``: of products, as ``set_matmul_precision`` has it, or "bfloat16"."""

    precision: str = "highest"


#: What ``python -m bench report`` has under a letter, timed here too, in full float32.
SEQUENCES = {"lstm": "o", "gru": "p", "transformer": "q", "generation": "r", "embedding": "t", "heat equation": "u"}


def _trainings() -> dict[str, Training]:
    wide, middle = Net((4096, 4096, 4096, 1000)), Net((784, 512, 512, 10))
    rows = [
        Training("small", "784-128-10, batch 128", "compiled", Net((784, 128, 10)), 128, (Target(1.5),), rows=8192),
        Training("middle", "784-512-512-10, batch 1024", "compiled", middle, 1024, (Target(1.2),), rows=16384),
        Training("wide, TF32", "4096-4096-4096-1000, batch 4096, TF32", "compiled", wide, 4096, (Target(1),),
                 precision="high"),
        *(_images(family) for family in ("residual", "plain", "separable")),
        Training("wide, bfloat16", "4096-4096-4096-1000, batch 4096, bfloat16", "compiled", wide, 4096, (Target(1),),
                 precision="bfloat16"),
        *(_same(name, key) for name, key in SEQUENCES.items()),
    ]  # fmt: skip
    return {row.key: row for row in rows}


def _images(family: str) -> Training:
    """The training of images that ``python -m bench report`` has of this family, in TF32, PyTorch's default there."""
    same = next(row for row in WORKLOADS.values() if row.net.family == family and row.trains)
    title = same.title.removesuffix(", Adam")
    return Training(family, f"{title}, TF32", "compiled", same.net, same.batch, (Target(1),), precision="high")


def _same(name: str, key: str) -> Training:
    given = WORKLOADS[key]
    options = {field.name: getattr(given, field.name) for field in dataclasses.fields(given)}
    title = given.title.removesuffix(", Adam")
    return Training(**options | {"key": name, "title": title, "targets": (Target(1),), "beside": {}, "how": ""})


TRAININGS = _trainings()
#: Attention of which the peak of the device's memory is measured, over more tokens than on a CPU.
ATTENTION = dataclasses.replace(
    WORKLOADS["s"], title=WORKLOADS["s"].title.replace("4096", "16384"),
    net=dataclasses.replace(WORKLOADS["s"].net, tokens=16384),
)  # fmt: skip
#: Those whose step is also timed inside ``fit``.
IN_FIT = ("small", "middle")
QUICK = ("small", "middle", "plain", "lstm", "transformer")


class Traffic(NamedTuple):
    """Work that is bound by memory: bytes read and written (``moved``), and ``held``, for each of its elements."""

    title: str
    elements: int
    moved: int
    held: int


#: What must move at the least: the flat Adam reads 4 numbers of a parameter and writes 3.
TRAFFIC = {
    "adam": Traffic("Adam over one flat array", 2**28, 28, 16),
    "gelu": Traffic("bias + GELU, forward, as the layer's gradient needs it", 2**28, 12, 8),
    "gelu_grad": Traffic("its gradient, with that of the bias", 2**28, 12, 12),
    "cross_entropy": Traffic("softmax cross-entropy with its gradient", 8192 * 32768, 8, 8),
}
#: What of the measured copy rate is to be reached.
SHARE = 0.85
#: Of the device's free memory, how much a row may hold.
ROOM = 0.8


def fitting(traffic: Traffic, free: int) -> int:
    """The number of elements that fit into so many free bytes: halved until they do.

    >>> fitting(Traffic("", 1 << 20, 8, 8), 1 << 23)
    524288
    """
    count = traffic.elements
    while count * traffic.held > ROOM * free and count > 1 << 12:
        count //= 2
    return count
