"""``load_data()`` of ``nnkit.datasets.fashion_mnist``, where Keras has it."""

from nnkit.datasets.fashion_mnist import load_data

__all__ = ["load_data"]
