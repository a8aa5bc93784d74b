"""Fashion-MNIST: 70,000 images of clothes in ten classes, laid out as MNIST is.

Source: H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking
Machine Learning Algorithms", arXiv:1708.07747 (Zalando SE, MIT licence).
"""

from __future__ import annotations

import os

from nnkit.datasets.fetch import Source
from nnkit.datasets.mnist import TEST, TRAIN, Split, read_images_and_labels

__all__ = ["CLASSES", "SOURCE", "load_data"]

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

SOURCE = Source(
    "fashion-mnist",
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    checksums={
        TRAIN[0]: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        TRAIN[1]: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        TEST[0]: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        TEST[1]: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
)


def load_data(path: str | os.PathLike[str] | None = None) -> tuple[Split, Split]:
    """``(x_train, y_train), (x_test, y_test)``: 60,000 and 10,000 images (n, 28, 28) and labels, uint8.

    Label k is ``CLASSES[k]``. The files are found as ``nnkit.datasets.mnist.load_data`` finds
    them, the folder being ``fashion-mnist``.
    """
    return read_images_and_labels(SOURCE, path)
