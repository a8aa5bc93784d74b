"""Outputs of layers that can be read by ``.numpy()`` though they are on the tape, as Keras's can."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnkit.recording.structures import rebuilt
from nnkit.tensors.tensor import Tensor

__all__ = ["Output", "Readable", "readable"]


class Readable(Tensor):
    """A tensor whose values can be read wherever it stands."""

    __slots__ = ()

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """The values as a numpy array."""
        found: np.ndarray = super().numpy(force=True)
        return found


class Output(Readable):
    """What a layer put out. What ops make of it is a plain tensor."""

    __slots__ = ()


def readable(outputs: Any) -> Any:
    """Outputs that are on the tape as tensors that can be read."""
    return rebuilt(outputs, _readable)


def _readable(output: Any) -> Any:
    if type(output) is not Tensor or not output.requires_grad or output.node is None:
        return output
    made = Output(output.array, output.backend)
    made.node, made.version, made.view_of = output.node, output.version, output.view_of
    return made
