"""Running a model over data without changing it: the validation of ``fit``, ``evaluate`` and ``predict``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from nnkit.errors import DataError
from nnkit.nn.module import Module
from nnkit.parallel import MPI
from nnkit.training.batches import Source
from nnkit.training.flow import Flow
from nnkit.training.modes import evaluating
from nnkit.training.prediction import predictor_of
from nnkit.training.replay import runner_of
from nnkit.training.several import Several
from nnkit.training.steps import EvaluationStep

__all__ = ["Evaluation", "predictions"]


CHUNK = 64  # batches between two looks for Ctrl-C


class Evaluation:
    """The loss and metrics of ``step`` over all batches of ``source``, as often as asked.

    ``between`` is called after some batches; it may raise (Ctrl-C) and so end the evaluation.
    """

    def __init__(self, step: EvaluationStep, source: Source, recorded: bool = True, ranks: MPI | None = None) -> None:
        self.step = step
        self.source = source
        self._runner = runner_of(step, source, recorded, ranks)
        self._flow = Flow(step.model)

    @property
    def names(self) -> list[str]:
        """The names of the results."""
        return self.step.totals.names

    def run(self, between: Callable[[], None] = lambda: None) -> dict[str, float]:
        """Evaluate once; raises DataError where the source yields no batch."""
        self.step.totals.reset()
        with evaluating(self.step.model), predictor_of(self.step.model).moment.reading():
            self._runner.begin(0)
            self._flow.begin()
            done = 0
            while self._runner.ready():
                done += self._flow.run(self._runner, CHUNK)
                self._flow.keep_up()
                self.source.forget(done)
                between()
        if not self.step.totals.samples:
            raise DataError("the data to evaluate on yielded no batch; expected at least one (x, y)")
        return self.step.totals.read(whole=True).values


def predictions(model: Module, x: Any, batches: Iterable[Any]) -> Any:
    """The model's outputs for x, or for what it yields, one batch after another, on the host.

    ``batches`` are x on the device, checked.
    """
    predictor = predictor_of(model)
    with predictor.moment.reading():
        found = [predictor.forward(model, x, batch) for batch in batches]
    if not found:
        raise DataError("the data to predict yielded no batch; expected at least one")
    if len(found) == 1:
        return found[0]
    if isinstance(found[0], Several):
        return found[0].each(lambda *parts: np.concatenate(parts), *found[1:])
    return np.concatenate(found)
