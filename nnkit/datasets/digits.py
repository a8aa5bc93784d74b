"""1,797 images of handwritten digits, 8 by 8, which come with the package (see DIGITS.md)."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from nnkit.preprocessing.checks import checked_fraction
from nnkit.preprocessing.split import train_test_split

__all__ = ["load_data", "load_digits"]

FILE = Path(__file__).with_name("digits.csv.gz")

Split = tuple[np.ndarray, np.ndarray]


def load_digits() -> Split:
    """All images, float32 (1797, 8, 8) with whole numbers from 0 to 16, and labels, int64 (1797,).

    Never raises. As ``sklearn.datasets.load_digits``.

    >>> images, labels = load_digits()
    >>> images.shape, float(images.max()), labels[:5].tolist()
    ((1797, 8, 8), 16.0, [0, 1, 2, 3, 4])
    """
    table = np.loadtxt(gzip.decompress(FILE.read_bytes()).decode("ascii").splitlines(), np.int64, delimiter=",")
    return table[:, :64].reshape(-1, 8, 8).astype(np.float32), table[:, 64].copy()


def load_data(test_fraction: float = 0.2, seed: int = 0) -> tuple[Split, Split]:
    """``(x_train, y_train), (x_test, y_test)``: the digits, shuffled, a part held out for the test.

    Images are float32 (n, 8, 8) with whole numbers from 0 to 16, labels int64 (n,). Every digit
    has the same share in both parts, and the parts are the same for the same ``seed``, on every
    machine. Raises ``DataError`` for a ``test_fraction`` that is not between 0 and 1.

    >>> (x_train, y_train), (x_test, y_test) = load_data()
    >>> x_train.shape, x_test.shape
    ((1438, 8, 8), (359, 8, 8))
    """
    images, labels = load_digits()
    held_out = round(checked_fraction(test_fraction, "test_fraction") * len(labels))
    x_train, x_test, y_train, y_test = train_test_split(
        images, labels, test_size=held_out, stratify=labels, random_state=seed
    )
    return (x_train, y_train), (x_test, y_test)
