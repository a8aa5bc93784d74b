"""Probabilities that remember the logits they were made from.

A model that ends in a softmax or sigmoid puts out probabilities, and a cross-entropy takes their logarithm.
Done in two steps, that loses digits near 0 and 1; from the logits it is exact, and one fused kernel. So the
last layer's output carries its logits along, and the losses use them where they are. Keras's TensorFlow
backend does the same.
"""

from __future__ import annotations

from nnkit.tensor import Tensor

__all__ = ["Probabilities", "with_logits"]


class Probabilities(Tensor):
    """Probabilities with the Tensor ``logits`` of their shape. What ops make of them is a plain Tensor."""

    __slots__ = ("logits",)

    logits: Tensor


def with_logits(probabilities: Tensor, logits: Tensor) -> Probabilities:
    """``probabilities``, in the same memory and at the same place of the tape, with its ``logits``."""
    remembering = Probabilities(probabilities.array, probabilities.backend)
    remembering.node = probabilities.node
    remembering.logits = logits
    return remembering
