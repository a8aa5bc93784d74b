"""``load_data()`` of ``nnkit.datasets.mnist``, where Keras has it."""

from nnkit.datasets.mnist import load_data

__all__ = ["load_data"]
