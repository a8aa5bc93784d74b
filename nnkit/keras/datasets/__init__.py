"""The data sets of ``keras.datasets``, downloaded when first loaded; each has ``load_data``."""

import importlib
from typing import Any

from nnkit.keras.datasets import fashion_mnist, mnist

NAMES = ("boston_housing", "california_housing", "cifar10", "cifar100", "imdb", "reuters")
__all__ = ["boston_housing", "california_housing", "cifar10", "cifar100", "fashion_mnist", "imdb", "mnist", "reuters"]


def __getattr__(name: str) -> Any:
    if name in NAMES:
        return importlib.import_module(f"nnkit.keras.datasets.{name}")
    raise AttributeError(f"module 'nnkit.keras.datasets' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
