"""The data sets that ``keras.datasets`` and nnkit have in common; the loading is in ``nnkit.datasets``."""

from nnkit.keras.datasets import fashion_mnist, mnist

__all__ = ["fashion_mnist", "mnist"]
