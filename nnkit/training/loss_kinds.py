"""The losses of which the targets are no plain numbers: those of class labels, and those of yes and no."""

from __future__ import annotations

from nnkit.nn import MultiMarginLoss, losses

__all__ = ["BINARY", "LABEL_LOSSES"]

LABEL_LOSSES = (losses.CrossEntropyLoss, losses.NLLLoss, MultiMarginLoss)
BINARY = (losses.BCELoss, losses.BCEWithLogitsLoss)
