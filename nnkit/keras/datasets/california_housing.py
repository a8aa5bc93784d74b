"""California: 20,640 districts and the prices of their houses, in 1990. ``keras.datasets.california_housing``."""

from __future__ import annotations

from typing import Any

from nnkit.datasets.fetch import Source
from nnkit.errors import UnknownNameError
from nnkit.keras.datasets.reading import FOLDER, table

__all__ = ["load_data"]

SOURCE = Source(
    "california_housing", (FOLDER,),
    {"california_housing.npz": "1a2e3a52e0398de6463aebe6f4a8da34fb21fbb6b934cf88c3425e766f2a1a6f"},
)  # fmt: skip


def load_data(version: str = "large", path: Any = None, test_split: float = 0.2, seed: int = 113) -> Any:
    """``(x_train, y_train), (x_test, y_test)``: 8 columns, and the price in dollars; "small" has 600 districts."""
    if version not in ("large", "small"):
        raise UnknownNameError("version", version, ("large", "small"))
    return table(SOURCE, path, test_split, seed, 600 if version == "small" else None)
