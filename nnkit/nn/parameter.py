"""``Parameter`` under PyTorch's path, and what it calls a buffer."""

from __future__ import annotations

from nnkit.tensors.tensor import Parameter

__all__ = ["Parameter"]
