"""Helpers around training; ``nnkit.utils.data`` has datasets and loaders.

``tensorboard``, ``checkpoint`` and ``benchmark`` are imported when first asked for.
"""

from __future__ import annotations

import importlib
from typing import Any

from nnkit.utils import data

__all__ = ["data"]


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    if name in ("benchmark", "checkpoint", "tensorboard"):
        return importlib.import_module(f"nnkit.utils.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
