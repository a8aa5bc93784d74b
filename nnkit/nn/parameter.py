"""``Parameter`` under PyTorch's path, and what it calls a buffer."""

from __future__ import annotations

from nnkit.tensor import Parameter

__all__ = ["Parameter"]
