"""Boston: 506 districts and the prices of their houses, in 1978. ``keras.datasets.boston_housing``."""

from __future__ import annotations

from typing import Any

from nnkit.datasets.fetch import Source
from nnkit.keras.datasets.reading import FOLDER, table

__all__ = ["load_data"]

SOURCE = Source(
    "boston_housing", (FOLDER,),
    {"boston_housing.npz": "f553886a1f8d56431e820c5b82552d9d95cfcb96d1e678153f8839538947dff5"},
)  # fmt: skip


def load_data(path: Any = None, test_split: float = 0.2, seed: int = 113) -> Any:
    """``(x_train, y_train), (x_test, y_test)``: 13 columns, and the price in 1,000 dollars.

    One column counts people by the colour of their skin; for examples, ``california_housing`` is the better set.
    """
    return table(SOURCE, path, test_split, seed)
