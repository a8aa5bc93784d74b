"""Networks and data of images for whole trainings: the families that are timed, in small."""

from __future__ import annotations

import numpy as np

import nnkit
from bench import words
from bench.gpu.checks import Sizes
from bench.nets import Net
from bench.workloads import WORKLOADS
from nnkit import nn

#: Family -> its network.
NETS = {row.net.family: row.net for row in WORKLOADS.values() if row.net.image}


def net(family: str, sizes: Sizes) -> Net:
    """The network, smaller than where it is timed: its losses on the CPU are waited for."""
    given = NETS[family]
    return given.shrunk(*sizes.pick((32, 16), (16, 8), (4, 8)))


def data(family: str, sizes: Sizes) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels that follow from them; the last batch of an epoch is smaller."""
    rows, given = sizes.pick(300, 150, 20), net(family, sizes)
    random = np.random.default_rng(0)
    x = random.standard_normal((rows, *given.inputs), np.float32)
    scores = x.reshape(rows, -1) @ random.standard_normal((x[0].size, given.classes), np.float32)
    return x, scores.argmax(axis=1)


def network(family: str, sizes: Sizes, device: str) -> nn.Sequential:
    """The network, from the same weights on every device."""
    model: nn.Sequential = words.network(nn, nnkit.tensor, net(family, sizes))
    return model.to(device=device)
