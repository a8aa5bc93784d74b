"""Probabilities that remember the logits they were made from.

A model that ends in a softmax or sigmoid puts out probabilities, and a cross-entropy takes their logarithm.
Done in two steps, that loses digits near 0 and 1; from the logits it is exact, and one fused kernel. So the
last layer's output carries its logits along, and the losses use them where they are. Keras's TensorFlow
backend does the same.
"""

from __future__ import annotations

from nnkit.keras.readable import Readable
from nnkit.tensors.tensor import Tensor

__all__ = ["Probabilities", "logits_of", "with_logits"]


class Probabilities(Readable):
    """Probabilities with the Tensor ``logits`` of their shape, and the name of the ``activation`` that made them of it.
    What ops make of them is a plain Tensor."""

    __slots__ = ("activation", "logits", "versions")

    activation: str
    logits: Tensor
    versions: tuple[int, int]  # of both when they were made: after a change in place they belong together no more


def logits_of(prediction: Tensor, activation: str) -> Tensor | None:
    """The logits that ``activation`` made a prediction of; None where it was another one, or is not known."""
    if not isinstance(prediction, Probabilities) or prediction.activation != activation:
        return None
    return prediction.logits if prediction.versions == (prediction._version, prediction.logits._version) else None


def with_logits(probabilities: Tensor, logits: Tensor, activation: str) -> Probabilities:
    """``probabilities``, in the same memory and at the same place of the tape, with its ``logits``."""
    remembering = Probabilities(probabilities.array, probabilities.backend)
    remembering.node, remembering.version = probabilities.node, probabilities.version
    remembering.logits, remembering.activation = logits, activation
    remembering.versions = remembering._version, logits._version
    return remembering
