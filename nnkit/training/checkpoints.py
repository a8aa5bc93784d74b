"""Saving while it trains: the model (every epoch, only the better ones, the last few), or the whole training."""

from __future__ import annotations

import os
import re
import string
from collections.abc import Mapping
from glob import escape
from pathlib import Path
from typing import Any

from nnkit import io
from nnkit.tensors.loading import Fit
from nnkit.training.arguments import positive_integer
from nnkit.training.callbacks import Callback, Logs, Monitor
from nnkit.training.resume import save_run, state_of

__all__ = ["ModelCheckpoint", "RunCheckpoint"]


class ModelCheckpoint(Callback):
    """Saves the model after each epoch; with ``save_best_only``, after those in which ``monitor`` improved.

    ``path`` may have fields of the logs and the epoch (the first is 1): ``"net-{epoch:03d}-{val_loss:.3f}"``.
    ``keep_last=k`` deletes all but the k newest files that have such a name, those of earlier runs included;
    ``saved`` lists those that remain, the newest last.

    Raises UnknownNameError for another mode, ValueError for a ``keep_last`` below 1 or without fields in ``path``.
    Source: ``keras.callbacks.ModelCheckpoint``.

    >>> import os, tempfile, nnkit
    >>> model, x = nnkit.nn.Linear(1, 1), [[0.0], [1.0]]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     keep = ModelCheckpoint(f"{folder}/best.safetensors", "loss")
    ...     _ = model.fit(x, x, loss="mse", epochs=2, callbacks=[keep], verbose=0)
    ...     os.path.exists(f"{folder}/best.safetensors")
    True
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        monitor: str = "val_loss",
        save_best_only: bool = False,
        mode: str = "auto",
        keep_last: int | None = None,
    ) -> None:
        self.path = os.fspath(path)
        if keep_last is not None and (keep_last < 1 or (keep_last > 1 and "{" not in self.path)):
            raise ValueError(
                f"keep_last={keep_last} with path {self.path!r}: keep_last must be at least 1, and several files "
                "need different names: put {epoch} into path"
            )
        self.monitor = Monitor(monitor, mode)
        self.save_best_only = save_best_only
        self.keep_last = keep_last
        self.saved: list[Path] = []

    @property
    def best(self) -> float | None:
        """The best value so far, where only the best are saved."""
        return self.monitor.best

    def on_train_begin(self) -> None:
        self._find_saved()
        if self.save_best_only:
            self.monitor.check(self.trainer)
        names = dict.fromkeys(self.trainer.log_names, 0.0)
        try:
            self.path.format(**{**names, "epoch": 1})
        except (KeyError, IndexError) as error:
            raise ValueError(
                f"path {self.path!r} has a field {error} that is not recorded; known: epoch, {', '.join(names)}"
            ) from error

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best} if self.save_best_only else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        fit = Fit(self)
        fit.like("state", {"best": None}, state)
        fit.settle()
        self.monitor.best = state["best"]

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        if not self.save_best_only or self.monitor.improved(logs):
            self.keep(self.path.format(**{**logs, "epoch": epoch + 1}))

    def keep(self, name: str) -> None:
        """Write a file of that name, then delete what is too old; of several processes the first does."""
        if not self.trainer.speaks:
            return
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.write(path)
        self.saved = [old for old in self.saved if old != path] + [path]
        self._delete_old()

    def _find_saved(self) -> None:
        """The files of earlier runs; a process that was killed may have left one too many."""
        self.saved = [] if self.keep_last is None or not self.trainer.speaks else _named_by(self.path)
        self._delete_old()

    def _delete_old(self) -> None:
        while self.keep_last is not None and len(self.saved) > self.keep_last:
            self.saved.pop(0).unlink(missing_ok=True)

    def write(self, path: Path) -> None:
        """Save the model to ``path``; a subclass may save something else."""
        io.save(self.model, path)


class RunCheckpoint(ModelCheckpoint):
    """Saves the whole training after each epoch, with ``every=n`` also after every n steps of one, and at Ctrl-C.

    ``fit(..., resume=path)`` goes on from such a file as if there had been no break: weights, optimizer, schedule,
    random numbers, history and the callbacks are as they were, to the bit on the same device and versions. A
    callback of your own that remembers something says it by ``state_dict`` and ``load_state_dict``. ``path`` may
    have the fields ``{epoch}`` (whole epochs that are done) and ``{step}`` (and steps of the next).
    ``nnkit.load_checkpoint`` reads the model from the file.

    Raises ValueError for an ``every`` below 1. Source: nnkit's own.

    >>> import tempfile, nnkit
    >>> x = [[0.0], [1.0]]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model, path = nnkit.nn.Linear(1, 1), f"{folder}/run.safetensors"
    ...     history = model.fit(x, x, loss="mse", epochs=2, callbacks=[RunCheckpoint(path)], verbose=0)
    ...     longer = nnkit.nn.Linear(1, 1).fit(x, x, loss="mse", epochs=5, resume=path, verbose=0)
    >>> longer.epoch, longer.history["loss"][:2] == history.history["loss"]
    ([0, 1, 2, 3, 4], True)
    """

    def __init__(self, path: str | os.PathLike[str], every: int | None = None, keep_last: int | None = None) -> None:
        super().__init__(path, keep_last=keep_last)
        self.settle_every = None if every is None else positive_integer(every, "every")
        self._state: dict[str, Any] = {}

    def on_train_begin(self) -> None:
        self._find_saved()
        try:
            self.path.format(epoch=0, step=0)
        except (KeyError, IndexError) as error:
            raise ValueError(f"path {self.path!r} has a field {error}; known: epoch, step") from error

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Not yet: other callbacks may still change something."""

    def on_settled(self, epoch: int, step: int) -> None:
        self._state = state_of(self.trainer, epoch, step)  # of all processes, though one of them writes it
        self.keep(self.path.format(epoch=epoch, step=step))

    def write(self, path: Path) -> None:
        save_run(path, self.trainer, self._state)


def _named_by(pattern: str) -> list[Path]:
    """The files that are there under a name with fields, the oldest first."""
    parts = list(string.Formatter().parse(pattern))
    names = "".join(escape(literal) + ("" if field is None else "*") for literal, field, _, _ in parts)
    expression = re.compile(
        "".join(re.escape(text) + ("" if field is None else _value(field)) for text, field, *_ in parts)
    )
    root = Path(pattern).anchor
    relative = names[len(root) :]
    found = [path for path in Path(root or ".").glob(relative) if expression.fullmatch(str(path)) and path.is_file()]
    return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))


def _value(field: str) -> str:
    """What a field can have become: a whole number for the epoch, else any number."""
    return r"\s*\d+" if field in ("epoch", "step") else r"[-+]?(?:\d[\d,]*\.?\d*(?:e[-+]?\d+)?%?|nan|inf)"
