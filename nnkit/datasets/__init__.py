"""Data to learn from: digits that come with the package, MNIST and Fashion-MNIST from the network.

Each data set is a module with ``load_data()``, which returns ``(x_train, y_train), (x_test,
y_test)`` as Keras's do.
"""

from __future__ import annotations

from nnkit.datasets import digits, fashion_mnist, mnist
from nnkit.datasets.digits import load_digits
from nnkit.datasets.idx import read_idx, write_idx

__all__ = ["digits", "fashion_mnist", "load_digits", "mnist", "read_idx", "write_idx"]


def __dir__() -> list[str]:
    return sorted(__all__)
