"""CIFAR-100: 60,000 colour images of 32 by 32 in a hundred classes. A. Krizhevsky, 2009."""

from __future__ import annotations

import os

from nnkit.datasets.fetch import Source
from nnkit.errors import UnknownNameError
from nnkit.keras.datasets.cifar10 import _part
from nnkit.keras.datasets.reading import Split, found, from_tar

__all__ = ["load_data"]

SOURCE = Source(
    "cifar-100", ("https://www.cs.toronto.edu/~kriz/",),
    {"cifar-100-python.tar.gz": "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"},
)  # fmt: skip


def load_data(label_mode: str = "fine", path: str | os.PathLike[str] | None = None) -> tuple[Split, Split]:
    """As ``cifar10.load_data``; ``label_mode`` "fine" has the 100 classes, "coarse" 20 groups of them."""
    if label_mode not in ("fine", "coarse"):
        raise UnknownNameError("label_mode", label_mode, ("fine", "coarse"))
    files = from_tar(found(SOURCE, path), "cifar-100-python/train", "cifar-100-python/test")
    train, test = (_part(data, f"{label_mode}_labels") for data in files)
    return train, test
