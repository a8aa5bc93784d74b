"""TensorBoard's files under PyTorch's names: ``SummaryWriter``. TensorBoard itself is needed only to look at them."""

from __future__ import annotations

from nnkit.utils.tensorboard.writer import SummaryWriter

__all__ = ["SummaryWriter"]
