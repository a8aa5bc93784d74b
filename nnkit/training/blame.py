"""Which process's rows gave a gradient that is not finite, where every loss was: found by computing the step again."""

from __future__ import annotations

from nnkit.nn.module import Module
from nnkit.training.batches import Source
from nnkit.training.divided import own_part, part_of_batch
from nnkit.training.steps import TrainingStep
from nnkit.training.weights import WeightSnapshot, is_finite

__all__ = ["bad_gradients"]


def bad_gradients(step: TrainingStep, snapshot: WeightSnapshot, source: Source, last: int) -> list[str | None]:
    """For each process the first parameter whose gradient by its rows of batch ``last`` is not finite; called by all.

    The gradients are those at the last finite weights, which the model has afterwards: where only the weights since
    then made them overflow, nobody has a bad one.
    """
    assert step.ranks is not None
    snapshot.restore()
    batch, ranks = source.recall(last), step.ranks
    step.gradients(own_part(batch, source, ranks) if ranks.data == "own" else part_of_batch(batch, ranks))
    found = _first_bad_gradient(step.model)
    step.optimizer.zero_grad()
    return step.ranks.gather(found)


def _first_bad_gradient(model: Module) -> str | None:
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and not is_finite(parameter.grad):
            return name
    return None
