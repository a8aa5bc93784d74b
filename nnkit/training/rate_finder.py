"""The learning-rate finder: a short training whose rate grows from step to step, and what the loss made of it.

Source: Smith, Cyclical Learning Rates for Training Neural Networks, 2017.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nnkit.plot.rates import LearningRateDisplay
from nnkit.tensors.random import Generator, using
from nnkit.training.api import fit
from nnkit.training.arguments import positive_integer
from nnkit.training.callbacks import Callback, Logs
from nnkit.training.weights import WeightSnapshot

__all__ = ["LRFinder", "LearningRates", "lr_finder"]
FIRST = 5  # losses that say where the training begins


@dataclass
class LearningRates:
    """What a finder saw: ``rates``, and the ``losses`` of the batches that were trained at them.

    ``diverged``: whether the loss grew too large, or was no number any more; ``smoothing`` is the finder's. Raises
    nothing for lists that are empty. Source: Smith, Cyclical Learning Rates for Training Neural Networks, 2017.

    >>> LearningRates([0.01, 0.1, 1.0, 10.0], [4.0, 3.9, 1.0, 9.0], smoothing=0.0).suggestion
    0.1
    """

    rates: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    diverged: bool = False
    smoothing: float = 0.9

    @property
    def smoothed(self) -> list[float]:
        """The mean loss around each rate; a step further away counts ``smoothing ** 2`` times as much, on both sides,
        so that the curve does not lag behind. What diverges counts for no more than the highest of the first losses.

        >>> LearningRates([0.1, 1.0, 10.0], [4.0, 4.0, 4.0]).smoothed
        [4.0, 4.0, 4.0]
        """
        most = max(self.losses[:FIRST], default=0.0)
        losses = [min(loss, most) for loss in self.losses]
        count, near = len(losses), self.smoothing**2
        weights = [[near ** abs(n - other) for other in range(count)] for n in range(count)]
        return [sum(w * loss for w, loss in zip(row, losses, strict=True)) / sum(row) for row in weights]

    @property
    def suggestion(self) -> float | None:
        """The rate at which the smoothed loss falls most steeply over the logarithm of the rate, before it is lowest;
        None where it falls nowhere.

        >>> LearningRates([0.01, 0.1, 1.0, 10.0], [4.0, 3.9, 1.0, 9.0], smoothing=0.0).suggestion
        0.1
        """
        smoothed = self.smoothed
        low = min(range(len(smoothed)), key=smoothed.__getitem__, default=0)
        slopes = [
            ((smoothed[n + 1] - smoothed[n]) / math.log(self.rates[n + 1] / self.rates[n]), n) for n in range(low)
        ]
        steepest, place = min(slopes, default=(0.0, 0))
        return self.rates[place] if steepest < 0.0 else None

    def plot(self, ax: Any = None) -> LearningRateDisplay:
        """Draw the loss over the rate: ``nnkit.plot.LearningRateDisplay``."""
        return LearningRateDisplay.from_finder(self, ax=ax)


class LRFinder(Callback):
    """Lets the rate grow from ``start`` to ``stop`` in ``steps`` steps of ``fit``, notes the losses, and ends ``fit``.

    Afterwards weights, buffers, the optimizer's state and its rates are what they were; ``found`` has what was seen.
    It ends early where the mean loss, in which what came before has the weight ``smoothing``, is more than ``factor``
    times the lowest so far, or where a loss is no number any more. Groups of parameters keep the proportions of their
    rates. Raises ValueError for arguments that cannot be.

    Source: Smith, Cyclical Learning Rates for Training Neural Networks, 2017.

    >>> import nnkit
    >>> x = nnkit.linspace(-1, 1, 64).reshape(64, 1)
    >>> model, finder = nnkit.nn.Linear(1, 1), LRFinder(steps=50)
    >>> _ = model.fit(x, 3 * x, loss="mse", optimizer="sgd", batch_size=8, epochs=100, callbacks=[finder], verbose=0)
    >>> len(finder.found.rates) <= 50 and 1e-3 < finder.found.suggestion < 10
    True
    """

    def __init__(
        self, start: float = 1e-6, stop: float = 10.0, steps: int = 100, *, factor: float = 4.0, smoothing: float = 0.9
    ) -> None:
        if not 0.0 < start < stop < math.inf:
            raise ValueError(f"start and stop must be rates, 0 < start < stop, got {start!r} and {stop!r}")
        if not factor > 1.0 or not 0.0 <= smoothing < 1.0:
            raise ValueError(
                f"factor must be more than 1, and smoothing from 0 to below 1, got {factor!r} and {smoothing!r}"
            )
        self.start, self.stop, self.factor, self.smoothing = float(start), float(stop), factor, smoothing
        self.steps = positive_integer(steps, "steps")
        self.found = LearningRates(smoothing=smoothing)
        self._restore: Callable[[], None] | None = None

    def on_train_begin(self) -> None:
        optimizer, snapshot = self.trainer.optimizer, WeightSnapshot(self.model)
        state = optimizer.state_dict()
        self.found = LearningRates(smoothing=self.smoothing)
        self._groups = [(group, float(group["lr"])) for group in optimizer.param_groups]
        self._mean, self._lowest, self._sum, self._weight = 0.0, math.inf, 0.0, 0.0

        def restore() -> None:
            snapshot.restore()
            optimizer.load_state_dict(state)

        self._restore = restore

    def on_epoch_begin(self, epoch: int) -> None:
        self._sum = self._weight = 0.0

    def on_batch_begin(self, step: int) -> None:
        share = len(self.found.rates) / max(self.steps - 1, 1)
        rate = self.start * (self.stop / self.start) ** min(share, 1.0)
        first = self._groups[0][1] or 1.0
        for group, own in self._groups:
            group["lr"] = rate * (own / first)
        self.found.rates.append(rate)

    def on_batch_end(self, step: int, logs: Logs) -> None:
        loss, found = self._loss(step, logs), self.found
        self._mean = self.smoothing * self._mean + (1.0 - self.smoothing) * loss
        mean = self._mean / (1.0 - self.smoothing ** len(found.rates))  # of the losses so far, without bias
        if math.isfinite(mean):
            found.losses.append(loss)
            found.diverged = self._lowest > 0.0 and mean > self.factor * self._lowest
            self._lowest = min(self._lowest, mean)
        else:
            found.rates.pop()
            found.diverged = True
        if found.diverged or len(found.rates) >= self.steps:
            self.trainer.stop_training = True

    def _loss(self, step: int, logs: Mapping[str, Any]) -> float:
        """The loss of the last batch, from the mean over the epoch so far."""
        totals = getattr(getattr(self.trainer, "step", None), "totals", None)
        weight = float(step + 1 if totals is None else totals.samples)
        whole = float(logs["loss"]) * weight
        loss = (whole - self._sum) / (weight - self._weight)
        self._sum, self._weight = whole, weight
        return loss

    def on_divergence(self, message: str) -> bool:
        self.found.diverged = True
        del self.found.rates[len(self.found.losses) :]
        return True

    def on_train_end(self) -> None:
        if self._restore is not None:
            self._restore()
            self._restore = None


def lr_finder(
    model: Any, x: Any, y: Any = None, *, start: float = 1e-6, stop: float = 10.0, steps: int = 100,
    factor: float = 4.0, smoothing: float = 0.9, **options: Any,
) -> LearningRates:  # fmt: skip
    """Train ``model`` for at most ``steps`` batches at rates from ``start`` to ``stop``, and put everything back.

    ``options`` are those of ``fit``: ``loss``, ``optimizer``, ``batch_size``, ... A model of ``nnkit.keras`` that is
    compiled needs none. Weights, buffers, an optimizer's state and the random stream are afterwards what they were. The
    other arguments are those of ``LRFinder``. Raises what ``fit`` raises.

    >>> import nnkit
    >>> x = nnkit.linspace(-1, 1, 64).reshape(64, 1)
    >>> found = lr_finder(nnkit.nn.Linear(1, 1), x, 3 * x, loss="mse", optimizer="sgd", batch_size=8, steps=50)
    >>> 1e-3 < found.suggestion < 10
    True
    """
    finder = LRFinder(start, stop, steps, factor=factor, smoothing=smoothing)
    own = {"epochs": finder.steps, "callbacks": [*options.pop("callbacks", ()), finder], "verbose": 0}
    before = dict(model.__dict__)  # with what the last fit left: its history, its optimizer
    last: Any = before.get("_last_fit")
    kept = {} if last is None else dict(last.__dict__)
    train = fit if type(model).fit is fit else type(model).fit
    with using(Generator(0)):
        try:
            train(model, x, y, **(own | options))
        finally:
            for name in ("_last_fit", "history"):
                model.__dict__.pop(name, None)
                model.__dict__.update({name: before[name]} if name in before else {})
            if last is not None:
                last.__dict__.update(kept)
    return finder.found
