"""CIFAR-10: 60,000 colour images of 32 by 32 in ten classes. A. Krizhevsky, 2009. ``keras.datasets.cifar10``."""

from __future__ import annotations

import os

import numpy as np

from nnkit.datasets.fetch import Source
from nnkit.keras import config
from nnkit.keras.datasets.reading import Split, found, from_tar, unpickled

__all__ = ["load_data"]

SOURCE = Source(
    "cifar-10", ("https://www.cs.toronto.edu/~kriz/",),
    {"cifar-10-python.tar.gz": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"},
)  # fmt: skip


def load_data(path: str | os.PathLike[str] | None = None) -> tuple[Split, Split]:
    """``(x_train, y_train), (x_test, y_test)``: uint8 images (n, 32, 32, 3) and labels (n, 1), 50,000 and 10,000.

    ``path`` is the archive, or the folder that it is in; without it, it is looked for in ``$NNKIT_DATA/cifar-10`` and
    the cache, and downloaded (extra ``data``). With "channels_first" images are (n, 3, 32, 32). Raises DataError.
    """
    names = [f"cifar-10-batches-py/data_batch_{k}" for k in range(1, 6)] + ["cifar-10-batches-py/test_batch"]
    parts = [_part(data, "labels") for data in from_tar(found(SOURCE, path), *names)]
    x, y = (np.concatenate([part[k] for part in parts[:5]]) for k in range(2))
    return (x, y), parts[5]


def _part(data: bytes, key: str) -> Split:
    """Images and labels of one file."""
    held = unpickled(data, encoding="bytes")
    images = np.asarray(held[b"data"], np.uint8).reshape(-1, 3, 32, 32)
    if config.image_data_format() == "channels_last":
        images = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    return images, np.asarray(held[key.encode()], np.uint8).reshape(-1, 1)
