"""Helpers around training; ``nnkit.utils.data`` has datasets and loaders."""

from __future__ import annotations

from nnkit.utils import data

__all__ = ["data"]
