"""A training as it stands between two steps, so that another process goes on with it to the bit.

A checkpoint of a training holds all that later numbers depend on: weights, the optimizer's and the scaler's state, the
random streams, the place in the data, the sums of the epoch so far, the history, and what callbacks remember. Beside it
stands what must be the same again (data, batch size, loss, ...), which is compared before anything is changed.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nnkit import io
from nnkit.backends.advice import DISTRIBUTION
from nnkit.errors import ModelFileError
from nnkit.io.model import check_fit, layout_of
from nnkit.optim import GradScaler
from nnkit.tensors import random
from nnkit.tensors.loading import Fit
from nnkit.tensors.tensor import Tensor
from nnkit.training.fingerprint import compare
from nnkit.training.home import home

if TYPE_CHECKING:
    from nnkit.training.trainer import Trainer

__all__ = ["SavedRun", "save_run", "state_of"]

#: What a run's state consists of, each with a value of its kind.
PARTS: dict[str, Any] = {
    "epoch": 0, "step": 0, "stopped_by": None, "settings": {}, "data": {}, "place": {}, "totals": {}, "history": {},
    "source": {}, "random": {}, "callbacks": [], "scaler": {},
}  # fmt: skip


def state_of(trainer: Trainer, epoch: int, step: int) -> dict[str, Any]:
    """The whole training but for weights and optimizer, which would go on with ``epoch`` after ``step`` of its steps;
    of several processes each calls this."""
    scaler = trainer.step.precision.scaler
    return {
        "epoch": epoch,
        "step": step,
        "stopped_by": trainer.history.stopped_by if trainer.stop_training else None,
        "settings": _settings(trainer),
        "data": _data(trainer),
        "place": _place(trainer),
        "totals": trainer.step.totals.state_dict(),
        "history": trainer.history.state_dict(),
        "source": trainer.source.state_dict(step),
        "random": random.get_state(),
        "callbacks": [[type(c).__name__, state] for c in trainer.callbacks if (state := c.state_dict())],
        "scaler": {} if scaler is None else scaler.state_dict(),
    }


def save_run(path: str | os.PathLike[str], trainer: Trainer, run: Mapping[str, Any]) -> None:
    """Write the model, the optimizer, and what ``state_of`` gave."""
    io.save_checkpoint(path, trainer.model, trainer.optimizer, extra={"run": run})


class SavedRun:
    """A training that ``save_run`` wrote. Raises ModelFileError for any other file."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        found = io.load(path)
        extra = found.get("extra") if isinstance(found, dict) and {"model", "optimizer"} <= found.keys() else None
        run = extra.get("run") if isinstance(extra, dict) else None
        if not isinstance(run, dict):
            raise ModelFileError(
                f"{self.path!r} holds no training; fit(resume=...) takes what the callback RunCheckpoint wrote"
            )
        self._model, self._optimizer, self._run = found["model"], found["optimizer"], run
        fit = Fit("a training")
        fit.names(PARTS, run)
        for name, kind in PARTS.items():
            if name in run and name != "stopped_by" and not isinstance(run[name], type(kind)):
                fit.refuse(f"{name!r} must be a {type(kind).__name__}, got {run[name]!r:.60}")
        self.epoch, self.step = (fit.count(repr(name), run.get(name)) for name in ("epoch", "step"))
        fit.settle(f"the file {self.path!r}")

    def check(self, trainer: Trainer) -> None:
        """Raise ModelFileError that lists by what that training is another one; warn of what costs exactness."""
        fit = Fit("this training")
        compare(fit, "", self._run["settings"], _settings(trainer))
        own = _data(trainer)
        for name, what in (("training", ""), ("validation", " of validation_data")):
            compare(fit, what, self._run["data"].get(name), own[name])
        names = [type(callback).__name__ for callback in trainer.callbacks if callback.state_dict()]
        saved = [entry[0] if isinstance(entry, list) and len(entry) == 2 else entry for entry in self._run["callbacks"]]
        if names != saved:
            fit.refuse(f"callbacks that remember something: {saved} in the checkpoint, {names} here")
        fit.settle(f"the checkpoint {self.path!r}")
        if not isinstance(self._model, dict) or not all(isinstance(v, Tensor) for v in self._model.values()):
            raise ModelFileError(f"{self.path!r} has no weights of a model")
        check_fit(trainer.model, layout_of(self._model))
        self._warn_of_place(_place(trainer))

    def _warn_of_place(self, own: Mapping[str, str]) -> None:
        before = {"processes": "1", **self._run["place"]}
        changes = [f"{name} {before.get(name)} → {now}" for name, now in own.items() if before.get(name) != now]
        if changes:
            warnings.warn(
                f"the training goes on elsewhere ({', '.join(changes)}): its numbers will agree with those of a "
                "training without a break to rounding, no longer to the bit",
                stacklevel=4,
            )

    def restore(self, trainer: Trainer) -> None:
        """Put the training back as it was. The first that does not fit raises ModelFileError, before weights change."""
        run = self._run
        fit = Fit("this training")
        if self.epoch > trainer.epochs or (trainer.steps is not None and self.step > trainer.steps):
            fit.refuse(f"epoch {self.epoch}, step {self.step} are beyond the {trainer.epochs} epochs of this training")
        _check_streams(fit, run["random"])
        fit.settle(f"the checkpoint {self.path!r}")
        self._load_callbacks(trainer)
        trainer.history.load_state_dict(run["history"])
        trainer.step.totals.load_state_dict(run["totals"], home(trainer.model)[0])
        trainer.source.load_state_dict(run["source"])
        self._load_scaler(trainer.step.precision.scaler)
        trainer.optimizer.load_state_dict(self._optimizer)
        trainer.model.load_state_dict(self._model)
        if run["stopped_by"] is not None:
            trainer.history.stopped_by, trainer.stop_training = str(run["stopped_by"]), True
        random.set_state(run["random"])

    def _load_callbacks(self, trainer: Trainer) -> None:
        remembering = [callback for callback in trainer.callbacks if callback.state_dict()]
        for callback, (_, state) in zip(remembering, self._run["callbacks"], strict=True):
            if not isinstance(state, dict):
                raise ModelFileError(f"the state of {type(callback).__name__} must be a dict, got {state!r:.60}")
            callback.load_state_dict(state)

    def _load_scaler(self, scaler: GradScaler | None) -> None:
        if scaler is not None:
            GradScaler().load_state_dict(self._run["scaler"])
            scaler.load_state_dict(self._run["scaler"])


def _settings(trainer: Trainer) -> dict[str, Any]:
    """What the numbers depend on, beside the data."""
    step = trainer.step
    return {
        "loss": step.objective.name,
        "metrics": ", ".join(step.totals.names),
        "optimizer": type(step.optimizer).__name__,
        "clip_norm": step.clip_norm,
        "clip_value": step.clip_value,
        "precision": step.precision.half,
        "dtype": str(home(trainer.model)[1]),
    }


def _data(trainer: Trainer) -> dict[str, Any]:
    validation, ranks = trainer.validation, trainer.step.ranks
    found = {
        "training": trainer.source.fingerprint(),
        "validation": {} if validation is None else validation.source.fingerprint(),
    }
    if ranks is None or ranks.data == "all":
        return found
    every = ranks.gather(found)  # each has rows of its own
    return {
        kind: {
            f"{name} of rank {rank}": value for rank, other in enumerate(every) for name, value in other[kind].items()
        }
        for kind in found
    }


def _place(trainer: Trainer) -> dict[str, str]:
    """Where the training runs: another place rounds otherwise."""
    from importlib.metadata import PackageNotFoundError, version  # 10 ms, and needed by a saved run alone

    try:
        own = version(DISTRIBUTION)
    except PackageNotFoundError:  # used without being installed
        own = "?"
    ranks = trainer.step.ranks
    processes = "1" if ranks is None else str(ranks.size)
    return {"device": str(home(trainer.model)[0]), "processes": processes, "nnkit": own, "numpy": np.__version__}


def _check_streams(fit: Fit, state: Mapping[str, Any]) -> None:
    """The kind of what ``random.get_state`` gives."""
    host, devices = state.get("host"), state.get("devices")
    rows = [host, *(devices.values() if isinstance(devices, dict) else [None])]
    for row in rows:
        if not (isinstance(row, list) and len(row) == 2 and all(type(n) is int and abs(n) < 2**63 for n in row)):
            fit.refuse(f"'random' must be seeds and numbers of draws, got {row!r:.60}")
