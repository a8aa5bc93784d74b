"""A model whose weights are averages of another's: ``nnkit.optim.swa_utils``'s ``AveragedModel`` and ``update_bn``."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from itertools import chain
from typing import Any

from nnkit.backends.recording import recorder
from nnkit.nn import BatchNorm1d, BatchNorm2d, BatchNorm3d
from nnkit.nn.module import Module
from nnkit.optim import swa_utils
from nnkit.optim.swa_utils import Average, AverageAll, average_into, keep_first
from nnkit.recording.observer import call
from nnkit.tensors import dtypes
from nnkit.tensors.creation import zeros
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor

__all__ = ["AveragedModel", "update_bn"]


class AveragedModel(Module):
    """A copy of a model whose parameters are running averages of the model's.

    Args:
        model: the model; its copy is ``module``, and calls go there.
        device: where the averages are kept; without it where the model is.
        avg_fn: (average, present, count) -> average of one parameter; see ``get_ema_avg_fn``. Without one plain means.
        multi_avg_fn: the same for lists, in place; see ``get_ema_multi_avg_fn``.
        use_buffers: average buffers too; else ``update_parameters`` copies them.

    ``n_averaged``, a buffer, counts the updates; the first takes the parameters as they are. An update may be part of
    a recorded step. Raises ValueError for both functions. Source: ``torch.optim.swa_utils.AveragedModel``.

    >>> import nnkit
    >>> layer = nnkit.nn.Linear(1, 1); averaged = AveragedModel(layer)
    >>> for value in (1.0, 3.0): _ = nnkit.nn.init.constant_(layer.weight, value); averaged.update_parameters(layer)
    >>> averaged.module.weight.tolist(), averaged.n_averaged.item()
    ([[2.0]], 2)
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: AverageAll | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise ValueError("give avg_fn or multi_avg_fn, not both")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        first = next(chain(self.module.parameters(), self.module.buffers()), None)
        self.register_buffer(
            "n_averaged", zeros((), dtype=dtypes.int64, device=None if first is None else first.device)
        )
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args: Any, **options: Any) -> Any:
        return self.module(*args, **options)

    def _pairs(self, model: Module) -> list[tuple[Tensor, Tensor]]:
        """Averages and present values."""
        own: list[Tensor] = list(self.module.parameters())
        given: list[Tensor] = list(model.parameters())
        if self.use_buffers:
            own, given = own + list(self.module.buffers()), given + list(model.buffers())
        return list(zip(own, given, strict=True))

    @no_grad()
    def update_parameters(self, model: Module) -> None:
        """Average ``model``'s present parameters in. Raises ValueError for a model with other numbers of them."""
        if (at_work := recorder()) is not None:
            at_work.modules |= {id(self): self, id(model): model}
        pairs, count = self._pairs(model), self.n_averaged
        if self.multi_avg_fn is not None:
            self._update_together(pairs, count)
        else:
            one = self.avg_fn or swa_utils.get_swa_avg_fn()
            for average, present in pairs:
                average_into(average, present, count, one)
        if not self.use_buffers:
            for kept, present in zip(self.module.buffers(), model.buffers(), strict=True):
                kept.copy_(present.detach().to(kept.device))
        self.n_averaged.add_(1)

    def _update_together(self, pairs: list[tuple[Tensor, Tensor]], count: Tensor) -> None:
        assert self.multi_avg_fn is not None
        moved = [(average.detach(), present.detach().to(average.device)) for average, present in pairs]
        call(self.multi_avg_fn, [average for average, _ in moved], [present for _, present in moved], count)
        for average, present in moved:
            keep_first(average, present, count, average)


@no_grad()
def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Make the running statistics of a model's batch normalizations anew, from one pass over ``loader``'s batches.

    A batch is the model's input, or a tuple or list whose first item is. ``device``: where batches are moved to.

    Inputs are (B, C, ...), of a floating dtype. Raises ShapeError where they do not fit the model. Source:
    ``torch.optim.swa_utils.update_bn``.

    >>> import nnkit
    >>> model = nnkit.nn.Sequential(nnkit.nn.BatchNorm1d(1))
    >>> update_bn([nnkit.tensor([[1.0], [3.0]])], model); model[0].running_mean.tolist()
    [2.0]
    """
    layers = [m for m in model.modules() if isinstance(m, (BatchNorm1d, BatchNorm2d, BatchNorm3d))]
    if not layers:
        return
    momenta, was_training = [layer.momentum for layer in layers], model.training
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None
    model.train()
    try:
        for batch in loader:
            x = batch[0] if isinstance(batch, (list, tuple)) else batch
            model(x if device is None else x.to(device))
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        model.train(was_training)


swa_utils.AveragedModel, swa_utils.update_bn = AveragedModel, update_bn
