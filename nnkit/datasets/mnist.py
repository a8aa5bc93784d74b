"""MNIST: 70,000 images of handwritten digits, 28 by 28, in shades of grey.

Source: Y. LeCun, C. Cortes and C. J. C. Burges, "The MNIST database of handwritten digits"
(1998), after L. Bottou et al. (1994) and NIST's Special Databases 1 and 3.
"""

from __future__ import annotations

import os

import numpy as np

from nnkit.datasets.fetch import Source, locate
from nnkit.datasets.idx import read_idx
from nnkit.errors import DataError

__all__ = ["SOURCE", "load_data", "read_images_and_labels"]

Split = tuple[np.ndarray, np.ndarray]

TRAIN = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")
TEST = ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")

SOURCE = Source(
    "mnist",
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    checksums={
        TRAIN[0]: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        TRAIN[1]: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        TEST[0]: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        TEST[1]: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
)


def load_data(path: str | os.PathLike[str] | None = None) -> tuple[Split, Split]:
    """``(x_train, y_train), (x_test, y_test)``: 60,000 and 10,000 images (n, 28, 28) and labels, uint8.

    ``path`` is a folder with the four IDX files, gzipped or not. Without it they are looked for
    in ``$NNKIT_DATA/mnist``, then in the cache, and downloaded there (with the extra ``data``).
    Raises ``DataError`` that names the files and the folder where they cannot be had. As Keras's
    ``keras.datasets.mnist.load_data``.
    """
    return read_images_and_labels(SOURCE, path)


def read_images_and_labels(source: Source, path: str | os.PathLike[str] | None) -> tuple[Split, Split]:
    """The four files of a data set laid out as MNIST is: the two images-and-labels pairs."""
    files = locate(source, path)
    train, test = (_pair(files[images], files[labels]) for images, labels in (TRAIN, TEST))
    return train, test


def _pair(image_path: os.PathLike[str], label_path: os.PathLike[str]) -> Split:
    images, labels = read_idx(image_path), read_idx(label_path)
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != (28, 28):
        raise DataError(f"{image_path} must hold uint8 images (n, 28, 28), got {images.dtype} {images.shape}")
    if labels.dtype != np.uint8 or labels.shape != images.shape[:1] or (labels > 9).any():
        raise DataError(f"{label_path} must hold {len(images)} uint8 labels from 0 to 9")
    return images, labels
