"""A copy of a model's weights, kept on its device: to go back to the last good ones, or to the best ones."""

from __future__ import annotations

import math

from nnkit.nn.module import Module
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor

__all__ = ["WeightSnapshot"]


class WeightSnapshot:
    """The parameters and buffers of ``model`` as they were at the last ``take``.

    Taking and restoring copy memory once, on the device; a snapshot costs as much memory as the model.

    >>> import nnkit
    >>> model = nnkit.nn.Linear(1, 1)
    >>> snapshot = WeightSnapshot(model)
    >>> before = model.weight.item()
    >>> with nnkit.no_grad():
    ...     _ = model.weight.fill_(5.0)
    >>> snapshot.restore()
    >>> model.weight.item() == before
    True
    """

    def __init__(self, model: Module) -> None:
        self._model = model
        self._saved = [tensor.detach().clone() for tensor in self._tensors()]

    def _tensors(self) -> list[Tensor]:
        return [*self._model.parameters(), *self._model.buffers()]

    def take(self) -> None:
        """Copy the model's present weights."""
        with no_grad():
            for saved, tensor in zip(self._saved, self._tensors(), strict=True):
                saved.copy_(tensor.detach())

    def weights(self) -> list[Tensor]:
        """The copies, in the order of the model's parameters and then its buffers."""
        return self._saved

    def load(self, weights: list[Tensor]) -> None:
        """Hold copies of these weights, as ``weights`` gave them, instead."""
        with no_grad():
            for saved, tensor in zip(self._saved, weights, strict=True):
                saved.copy_(tensor.to(device=saved.device))

    def restore(self) -> None:
        """Copy the weights back into the model, in place."""
        with no_grad():
            for saved, tensor in zip(self._saved, self._tensors(), strict=True):
                tensor.copy_(saved)


def first_not_finite(model: Module) -> str | None:
    """The name of the first parameter or buffer that holds NaN or infinity; None where all are finite."""
    with no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if not is_finite(tensor):
                return name
    return None


def is_finite(tensor: Tensor) -> bool:
    """Whether all elements are finite, read on the host; integers always are. Needs no memory: NaN is passed on."""
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    values = tensor.detach()
    return math.isfinite(values.min().item()) and math.isfinite(values.max().item())
