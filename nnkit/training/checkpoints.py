"""Saving the model while it trains: every epoch, only when it got better, or the last few."""

from __future__ import annotations

import os
from pathlib import Path

from nnkit import io
from nnkit.training.callbacks import Callback, Logs, Monitor

__all__ = ["ModelCheckpoint"]


class ModelCheckpoint(Callback):
    """Saves the model after each epoch; with ``save_best_only``, after those in which ``monitor`` improved.

    ``path`` may have fields of the logs and the epoch (the first is 1): ``"net-{epoch:03d}-{val_loss:.3f}"``.
    ``keep_last=k`` deletes older files that this callback wrote; ``saved`` lists those that remain, the newest last.
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
        self.saved = []
        if self.save_best_only:
            self.monitor.check(self.trainer)
        names = dict.fromkeys(self.trainer.log_names, 0.0)
        try:
            self.path.format(**{**names, "epoch": 1})
        except (KeyError, IndexError) as error:
            raise ValueError(
                f"path {self.path!r} has a field {error} that is not recorded; known: epoch, {', '.join(names)}"
            ) from error

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        if self.save_best_only and not self.monitor.improved(logs):
            return
        path = Path(self.path.format(**{**logs, "epoch": epoch + 1}))
        path.parent.mkdir(parents=True, exist_ok=True)
        self.write(path)
        self.saved = [old for old in self.saved if old != path] + [path]
        while self.keep_last is not None and len(self.saved) > self.keep_last:
            self.saved.pop(0).unlink(missing_ok=True)

    def write(self, path: Path) -> None:
        """Save the model to ``path``; a subclass may save something else."""
        io.save(self.model, path)
