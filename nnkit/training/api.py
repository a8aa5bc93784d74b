"""``fit``, ``evaluate`` and ``predict``: the three things people do with a model. Every Module has them as methods."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from nnkit import optim
from nnkit.nn import losses
from nnkit.nn.module import Module
from nnkit.optim import GradScaler, Optimizer
from nnkit.parallel import MPI
from nnkit.recording.compiled import enabled as recording_enabled
from nnkit.tensors.random import Generator, using
from nnkit.training import metrics as metric_table
from nnkit.training.agreement import same_data, same_settings
from nnkit.training.arguments import Plan, positive_integer
from nnkit.training.callbacks import Callback
from nnkit.training.data import evaluation_source, input_batches, training_sources
from nnkit.training.door import Door
from nnkit.training.evaluation import Evaluation, predictions
from nnkit.training.history import History
from nnkit.training.lone_rows import refuse_lone_rows
from nnkit.training.metric import Metric
from nnkit.training.objective import Objective
from nnkit.training.precision import precision_of
from nnkit.training.prediction import recall
from nnkit.training.progress import ProgressBar, line, style_of
from nnkit.training.ranked import alone, begin, processes, quiet, same_stream, trainer_of
from nnkit.training.replay import runner_of
from nnkit.training.resume import SavedRun
from nnkit.training.steps import EvaluationStep, Totals, TrainingStep
from nnkit.training.tables import inputs_of, pair_of, samples_of

__all__ = ["evaluate", "fit", "last_fit", "last_history", "metrics_of", "predict"]


class _LastFit:
    """What the last ``fit`` of a model used, kept with the model; copies and pickles of the model begin without it."""

    def __init__(self) -> None:
        self.loss: Callable[..., Any] | None = None
        self.optimizer: Optimizer | None = None
        self.scaler: GradScaler | None = None
        self.metrics: list[Metric] = []
        self.history: History | None = None

    def __reduce__(self) -> tuple[type[_LastFit], tuple[()]]:
        return _LastFit, ()


def fit(
    model: Module,
    x: Any,
    y: Any = None,
    *,
    loss: str | Callable[..., Any],
    optimizer: str | Optimizer | None = "adam",
    epochs: int = 1,
    batch_size: int | None = None,
    validation_data: Any = None,
    validation_split: float = 0.0,
    metrics: Sequence[Any] = (),
    callbacks: Sequence[Callback] = (),
    sample_weight: Any = None,
    class_weight: Any = None,
    shuffle: bool = True,
    verbose: str | int = "auto",
    clip_norm: float | None = None,
    clip_value: float | None = None,
    initial_epoch: int = 0,
    steps_per_epoch: int | None = None,
    seed: int | None = None,
    compile: bool = True,
    precision: Any = None,
    resume: str | os.PathLike[str] | None = None,
    parallel: str | MPI | None = None,
) -> History:
    """Train ``model`` and return the History of the epochs.

    Data: ``x`` and ``y`` are arrays, Tensors or lists with one row per sample; or ``x`` alone is a DataLoader, a
    Dataset, a list of batches or a generator of (x, y) or (x, y, sample_weight), with ``steps_per_epoch`` where it
    does not end; arrays are then gone through in epochs of so many batches. A model that ``reads`` a Table takes frames
    and dicts of columns, and ``y`` and ``sample_weight`` may name columns. They are checked, moved to the model's
    device once, and never changed.

    - ``loss``: a name ("mse", "cross_entropy", "bce_with_logits", ...), a Module, or a function (prediction, target) ->
      scalar Tensor; ``model.penalty()`` is added
    - ``optimizer``: a name, an optimizer of the model's parameters, or None for the one of the last ``fit``
    - ``batch_size``: rows of a batch of arrays, 32 unless given; what yields batches of its own takes none
    - ``epochs``, ``initial_epoch``: epochs ``initial_epoch`` to ``epochs`` - 1 are run
    - ``validation_data``: (x, y), (x, y, sample_weight) or a loader; ``validation_split``: or the last share of x and y
    - ``metrics``: names, Metrics or functions, computed while training, and in validation; those that need all samples
      at once ("auc", "average_precision") at the end of each epoch
    - ``sample_weight`` (n,), ``class_weight`` {label: weight} or "balanced": a batch's loss is sum(w_i * l_i) over what
      the mean of l_i is over (the samples, or the loss's own class weights), so weights of 1 change nothing
    - ``clip_norm``, ``clip_value``: bounds of the gradients' common norm, and of each of their elements
    - ``verbose``: "auto" or 1 (a bar on a terminal, else one line per epoch), 2 (lines), 0 (silence)
    - ``compile``: record the step and replay it; False runs every step in Python, for debugging. The second step is
      recorded, and replayed while all that your layers, loss and metrics read is as it was; a step that does what
      recording does not understand (files, clocks, ``print``, other libraries) runs in Python after one warning
    - ``precision``: "bfloat16" or "float16" for products in that type (see ``nnkit.autocast``), weights and all else
      staying float32; in float16 the loss is scaled (see ``nnkit.GradScaler``), and steps that overflow are left out
    - ``resume``: a file that a RunCheckpoint wrote: go on there as if the training had not ended, to the bit. All else
      must be as it was then; epochs ``epochs`` - 1 included are run
    - ``parallel``: "mpi" or an ``nnkit.parallel.MPI``: train on all processes that ``mpirun`` started, each on its rows
      of every batch; the numbers are one process's, but for rounding. Every process must be given the same data (or,
      with ``MPI(data="own")``, rows of its own) and arguments. The weights of rank 0 are the first ones; rank 0 alone
      speaks and saves. One process without mpirun
    - ``seed``: what is drawn (dropout, orders) comes from a stream of its own with this seed, and each epoch's order is
      a function of the seed and its number; without one, from the thread's stream (``nnkit.manual_seed``)

    Bad data raise DataError, LabelError, ShapeError or DtypeError before anything is trained. A loss that turns NaN or
    infinite raises DivergenceError and leaves weights from shortly before (see ``trainer``). Ctrl-C finishes the step,
    leaves the model usable and raises KeyboardInterrupt; ``last_history(model)`` has the record then. SIGTERM does the
    same, and ends the program with status 143. Other threads may predict with the model meanwhile: in evaluation mode,
    and with the weights of one moment.

    >>> import nnkit
    >>> nnkit.manual_seed(0)
    >>> model = nnkit.nn.Linear(1, 1)
    >>> history = model.fit([[0.0], [1.0]], [[1.0], [3.0]], loss="mse", epochs=500, optimizer="adam", verbose=0)
    >>> len(history.history["loss"])
    500
    """
    mpi = processes(parallel, precision)
    own = mpi if mpi is not None and mpi.data == "own" else None
    plan = Plan(batch_size, shuffle, seed, epochs, steps_per_epoch, validation_data, validation_split, own)
    run = range(positive_integer(initial_epoch, "initial_epoch", 0), positive_integer(epochs, "epochs"))
    saved = None if resume is None else SavedRun(resume)
    if saved is not None and run.start:
        raise ValueError(f"initial_epoch={run.start} and resume were both given; the file says where to go on")
    shown = _with_progress(callbacks, verbose)
    objective = Objective(model, losses.get(loss))
    measured = metrics_of(metrics, objective.loss)
    x, y, sample_weight = samples_of(model, objective.loss, x, y, sample_weight)
    plan = dataclasses.replace(plan, validation_data=pair_of(model, objective.loss, validation_data))
    with using(None if seed is None else Generator(seed)), quiet(mpi), alone(mpi):
        same_stream(mpi)
        source, validation = training_sources(Door(model, objective.loss, class_weight, own), x, y, sample_weight, plan)
        refuse_lone_rows(model, source)
        chosen = _optimizer(model, optimizer)
        recorded = compile and recording_enabled()
        last = last_fit(model)
        computed = precision_of(precision, last.scaler if optimizer is None else None)
        totals = [Totals(measured, objective) for _ in range(2)]
        if mpi is not None:
            begin(mpi, model, objective, source, validation, totals)
            settings = {"seed": seed, "shuffle": shuffle, "epochs": epochs, "initial_epoch": initial_epoch,
                        "clip_norm": clip_norm, "clip_value": clip_value, "precision": str(precision),
                        "class_weight": str(class_weight)}  # fmt: skip
            same_settings(mpi, model, objective, totals[0], chosen, settings)
            same_data(
                mpi, source, validation, " of validation_data" if not validation_split else " of the validation split"
            )
        step = TrainingStep(model, objective, chosen, totals[0], clip_norm, clip_value, computed, mpi)
        validate = None
        if validation is not None:
            validate = Evaluation(EvaluationStep(model, objective, totals[1], computed), validation, recorded, mpi)
        trainer = trainer_of(mpi, step, source, validate, shown, run, runner_of(step, source, recorded, mpi))
        if saved is not None:
            trainer.resume(saved)
        last.loss, last.optimizer, last.metrics, last.history = objective.loss, chosen, measured, trainer.history
        last.scaler = computed.scaler
        return trainer.run()


def evaluate(
    model: Module,
    x: Any,
    y: Any = None,
    *,
    loss: str | Callable[..., Any] | None = None,
    metrics: Sequence[Any] | None = None,
    batch_size: int = 256,
    sample_weight: Any = None,
    verbose: str | int = 0,
) -> dict[str, float]:
    """The loss and metrics of ``model`` on data, exact over unequal batches: {"loss": ..., "accuracy": ...}.

    Takes data as ``fit`` does, in evaluation mode, and changes nothing; a ``fit`` of the model in another thread
    waits. ``loss`` and ``metrics`` left out are those of the model's last ``fit``; without any loss only the
    metrics are computed.

    Raises ValueError without a loss or metric, DataError for x and y of unlike lengths. Source: Keras's
    ``Model.evaluate``.

    >>> import nnkit
    >>> nnkit.nn.Identity().evaluate([1.0, 2.0], [1.0, 4.0], loss="mse", metrics=["mae"])
    {'loss': 2.0, 'mae': 1.0}
    """
    style = style_of(verbose)
    last = last_fit(model)
    chosen = last.loss if loss is None else losses.get(loss)
    measured = last.metrics if metrics is None else metrics_of(metrics, chosen)
    if chosen is None and not measured:
        raise ValueError("evaluate needs a loss or metrics: the model has had no fit that named them")
    started = time.monotonic()
    x, y, sample_weight = samples_of(model, chosen, x, y, sample_weight)
    source = evaluation_source(Door(model, chosen), x, y, sample_weight, batch_size)
    objective = None if chosen is None else Objective(model, chosen)
    step = EvaluationStep(model, objective, Totals(measured, objective))
    results = Evaluation(step, source).run()
    if style is not None:
        print(line("evaluation", time.monotonic() - started, results), flush=True)
    return results


def predict(model: Module, x: Any, *, batch_size: int = 256) -> np.ndarray:
    """The outputs of ``model`` for all samples of ``x``, as a numpy array; in evaluation mode, without gradients.

    ``x`` is an array, a Tensor or a list; or a DataLoader, Dataset or generator, of whose batches the first part
    counts. NaN in ``x`` is not refused: it comes out as NaN.

    The second call with the like of ``x`` is recorded, and later ones replay it while all that the model's code read
    is as it was; code that recording does not understand (see ``fit``) runs in Python every time, after one warning.

    It has shape (B, …), and so has the result, of the dtype of the outputs. Raises DataError for no samples.

    >>> import nnkit
    >>> nnkit.nn.ReLU().predict([-1.0, 2.0])
    array([0., 2.], dtype=float32)
    """
    known: np.ndarray | None = recall(model, x)
    if known is None:
        x = inputs_of(model, x)
        known = recall(model, x)
    if known is not None:
        return known
    found: np.ndarray = predictions(model, x, input_batches(Door(model, None), x, batch_size))
    return found


def last_history(model: Module) -> History | None:
    """The History of the model's last ``fit``, also where that ended with an exception; None before any.

    Raises AttributeError for what is no Module. Source: nnkit's own, as Keras's ``model.history``.

    >>> import nnkit
    >>> model, x = nnkit.nn.Linear(1, 1), [[0.0], [1.0]]
    >>> history = model.fit(x, x, loss="mse", epochs=3, verbose=0)
    >>> last_history(model) is history
    True
    """
    return last_fit(model).history


def last_fit(model: Module) -> _LastFit:
    """What is remembered of the model's last ``fit``."""
    found = model.__dict__.get("_last_fit")
    if found is None:
        found = model.__dict__["_last_fit"] = _LastFit()
    return found


def _optimizer(model: Module, optimizer: str | Optimizer | None) -> Optimizer:
    """The optimizer by name, by object, or of the last fit."""
    if optimizer is None:
        last = last_fit(model)
        diverged = last.history is not None and last.history.stopped_by in ("DivergenceError", "TerminateOnNaN")
        if last.optimizer is None or diverged:
            raise ValueError(
                "optimizer=None goes on with the optimizer of the model's last fit, and "
                f"{'that diverged' if diverged else 'it has had none'}: pass a name such as 'adam' or an optimizer"
            )
        return last.optimizer
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise ValueError(
            f"{type(model).__name__} has no parameters to train: all are frozen or there are none. Modules in a list "
            "or dict are not seen: keep them in nn.ModuleList or nn.ModuleDict"
        )
    if isinstance(optimizer, Optimizer):
        own = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        if own.isdisjoint(map(id, parameters)):
            raise ValueError(
                "optimizer was made for other parameters: make it of this model's, "
                f"{type(optimizer).__name__}(model.parameters())"
            )
        return optimizer
    return optim.get(optimizer, model.parameters())


def metrics_of(metrics: Iterable[Any], loss: Callable[..., Any] | None) -> list[Metric]:
    """The metrics, each with a name of its own."""
    if isinstance(metrics, str):
        raise TypeError(f"metrics must be a list: write metrics=[{metrics!r}]")
    found = [metric_table.get(metric, loss) for metric in metrics]
    for metric in found:
        if not metric.is_number:
            raise ValueError(f"metric {metric.name!r} gives an array, and training keeps numbers: use it by hand")
    names = ["loss", *(metric.name for metric in found)]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two results would have the name {name!r}: give a metric another, Metric(name=...)")
    return found


def _with_progress(callbacks: Sequence[Callback], verbose: str | int) -> list[Callback]:
    """The callbacks, and the progress that ``verbose`` asks for, unless one of them is a ProgressBar."""
    style = style_of(verbose)
    if isinstance(callbacks, Callback):
        raise TypeError(f"callbacks must be a list: write callbacks=[{type(callbacks).__name__}(...)]")
    for callback in callbacks:
        if not isinstance(callback, Callback):
            name = callback.__name__ if isinstance(callback, type) else type(callback).__name__
            raise TypeError(f"callbacks must be Callback instances, got {name}")
    if style is None or any(isinstance(callback, ProgressBar) for callback in callbacks):
        return list(callbacks)
    return [*callbacks, ProgressBar(style)]
