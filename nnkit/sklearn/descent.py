"""The training of a perceptron step by step: nnkit's loop and recorded steps, over scikit-learn's batches and rule."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from nnkit import nn
from nnkit.errors import DivergenceError
from nnkit.parallel import MPI
from nnkit.recording.compiled import enabled
from nnkit.sklearn.losses import PenalizedObjective
from nnkit.sklearn.network import linears
from nnkit.sklearn.optimizers import Rate, optimizer_of
from nnkit.sklearn.orders import source_of
from nnkit.sklearn.parameters import ParameterError
from nnkit.sklearn.stopping import Stopping
from nnkit.sklearn.validation import Samples, is_own_metric, score_of
from nnkit.tensors import random
from nnkit.training import metrics as metric_table
from nnkit.training.agreement import same_data, same_settings
from nnkit.training.callbacks import Callback
from nnkit.training.evaluation import Evaluation
from nnkit.training.lone_rows import refuse_lone_rows
from nnkit.training.precision import precision_of
from nnkit.training.ranked import begin, trainer_of
from nnkit.training.replay import runner_of
from nnkit.training.steps import EvaluationStep, Totals, TrainingStep

__all__ = ["NonFiniteWeights", "descend", "objective_of"]

#: Parameters of an estimator that need not be the same in every process.
APART = {"callbacks", "metrics", "parallel", "random_state", "scoring", "validation_splitter", "verbose"}
NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."
)


class NonFiniteWeights(DivergenceError, ValueError):
    """The weights turned NaN or infinite; a ValueError, as scikit-learn's."""


def objective_of(estimator: Any) -> PenalizedObjective:
    """What is made small: the loss, and the penalty of the weights without the biases."""
    module: nn.Sequential = estimator.module_
    return PenalizedObjective(
        module, estimator._loss_function(), [layer.weight for layer in linears(module)], estimator.alpha
    )


def batch_size_of(estimator: Any, rows: int) -> int:
    """Samples in a batch: 200 unless given, and no more than there are."""
    if estimator.batch_size == "auto":
        return min(200, rows)
    if estimator.batch_size > rows:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=6
        )
    return int(np.clip(estimator.batch_size, 1, rows))


def descend(
    estimator: Any, train: Samples, held: Samples | None, generator: np.random.RandomState, epochs: int,
    mpi: MPI | None = None,
) -> Any:  # fmt: skip
    """Train ``estimator.module_`` for at most ``epochs`` epochs; returns the Stopping that ended it, and the History.

    ``held`` are the samples of early stopping, or, without it, those whose loss and metrics are noted. Raises
    NonFiniteWeights where the training diverges without early stopping.
    """
    module: nn.Sequential = estimator.module_
    device = module[-1].weight.device
    size = batch_size_of(estimator, train.X.shape[0])
    source = source_of(train.X, train.y, train.weight, size, generator if estimator.shuffle else None, device)
    refuse_lone_rows(module, source)
    if not hasattr(estimator, "_optimizer"):
        estimator._optimizer = optimizer_of(estimator, list(module.parameters()))
    objective = objective_of(estimator)
    objective.ranks = mpi
    measured = [metric_table.get(metric, objective.loss) for metric in _metrics(estimator, held)]
    precision = precision_of(estimator.precision, None)
    totals = [Totals(measured, objective) for _ in range(2)]
    rows = None
    stops = estimator.early_stopping
    if held is not None and (not stops or measured or estimator.callbacks or is_own_metric(estimator.scoring)):
        rows = source_of(held.X, held.y, held.weight, min(size, held.X.shape[0]), None, device)
    if mpi is not None:
        begin(mpi, module, objective, source, rows, totals)
        settings = {name: str(value) for name, value in estimator.get_params().items() if name not in APART}
        same_settings(mpi, module, objective, totals[0], estimator._optimizer, settings)
        same_data(mpi, source, rows, " of the validation")
    step = TrainingStep(module, objective, estimator._optimizer, totals[0], precision=precision, ranks=mpi)
    validate = None
    if rows is not None:
        validate = Evaluation(EvaluationStep(module, objective, totals[1], precision), rows, enabled(), mpi)
    score = score_of(estimator, held) if stops and held is not None else None
    rule = Stopping(estimator, Rate(estimator._optimizer, estimator), source.rows, score)
    callbacks = [rule, *_callbacks(estimator)]
    estimator.n_iter_ = 0
    runner = runner_of(step, source, enabled(), mpi)
    trainer = trainer_of(mpi, step, source, validate, callbacks, range(epochs), runner)
    stream = random.Generator(int(generator.randint(2**31))) if _draws(module) else None
    try:
        with random.using(stream):
            history = trainer.run()
    except DivergenceError as error:
        raise NonFiniteWeights(f"{NOT_FINITE} In detail: {error}") from error
    except KeyboardInterrupt:
        warnings.warn("Training interrupted by user.", stacklevel=5)
        history = trainer.history
    finally:
        for callback in callbacks:  # what is kept of them should not hold the data
            vars(callback).pop("trainer", None)
            vars(callback).pop("model", None)
    return rule, history


def _draws(module: nn.Sequential) -> bool:
    """Whether the network draws random numbers while it learns."""
    return any(isinstance(layer, nn.Dropout) for layer in module)


def _metrics(estimator: Any, held: Samples | None) -> list[Any]:
    """The metrics asked for, and the one that early stopping goes by, if it is nnkit's."""
    asked = list(estimator.metrics or ())
    scoring = estimator.scoring
    if held is not None and is_own_metric(scoring) and scoring != "loss" and scoring not in asked:
        asked.append(scoring)
    return asked


def _callbacks(estimator: Any) -> list[Callback]:
    found = list(estimator.callbacks or ())
    for callback in found:
        if not isinstance(callback, Callback):
            raise ParameterError(
                f"The 'callbacks' parameter must be None or a list of nnkit.training.Callback. Got {callback!r} in it."
            )
    return found
