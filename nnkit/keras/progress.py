"""What ``fit``, ``evaluate`` and ``predict`` print: Keras's lines, "3/3 - 0s - 2ms/step - loss: 0.5000"."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import numpy as np

from nnkit import training
from nnkit.keras import config
from nnkit.keras.progbar import Progbar
from nnkit.training.callbacks import Callback, Logs
from nnkit.training.progress import style_of

__all__ = ["EpochLines", "in_keras_order", "print_run", "with_progress"]

VERBOSE = {"auto": 1, "lines": 2}


def in_keras_order(names: Iterable[str]) -> list[str]:
    """Names of results by the alphabet, those of the validation after the others, the learning rate's last.

    >>> in_keras_order(["val_loss", "loss", "learning_rate", "accuracy"])
    ['accuracy', 'loss', 'val_loss', 'learning_rate']
    """
    return sorted(names, key=lambda name: (name == "learning_rate", name.startswith("val_"), name))


class EpochLines(training.ProgressBar):
    """One line per epoch; with ``verbose=1`` it is drawn again while the epoch runs, on terminals and in notebooks."""

    def __init__(self, style: str) -> None:
        super().__init__("lines")
        self._verbose = VERBOSE[style]
        self._progress: Progbar | None = None
        self._steps = 0

    def on_train_begin(self) -> None:
        """Nothing yet: the number of steps may not be known."""

    def on_epoch_begin(self, epoch: int) -> None:
        if self.trainer.epochs > 1:
            print(f"Epoch {epoch + 1}/{self.trainer.epochs}", flush=True)
        self._progress, self._steps = Progbar(self.trainer.steps, verbose=self._verbose), 0

    def on_read(self, step: int, logs: Logs) -> None:
        self._steps = step
        if self._progress is not None and self._verbose == 1 and _is_redrawn():
            self._progress.update(step, _shown(self._progress, logs), finalize=False)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        if self._progress is not None:
            _finish(self._progress, self._steps, logs)

    def on_train_end(self) -> None:
        self._progress = None


def with_progress(callbacks: list[Any], verbose: Any) -> list[Callback]:
    """The callbacks, and the progress that ``verbose`` asks for, unless one of them is a ProgressBar.

    Raises ValueError where ``verbose`` is none of "auto", 0, 1 and 2.
    """
    style = style_of(verbose) if config.is_interactive_logging_enabled() else None
    if style is None or any(isinstance(callback, training.ProgressBar) for callback in callbacks):
        return callbacks
    return [*callbacks, EpochLines(style)]


def print_run(verbose: Any, progress: Progbar, steps: int | None, logs: Logs) -> None:
    """The line of an evaluation or a prediction that began when ``progress`` was made."""
    style = style_of(verbose)
    if style is not None and config.is_interactive_logging_enabled():
        progress.verbose = VERBOSE[style]
        _finish(progress, steps, logs)


def _finish(progress: Progbar, steps: int | None, logs: Logs) -> None:
    if progress.target is None:
        progress.target = steps
    progress.update(progress.target or 1, _shown(progress, logs), finalize=True)


def _shown(progress: Progbar, logs: Logs) -> list[tuple[str, Any]]:
    """The numbers of ``logs`` in Keras's order, marked as numbers that are shown as they are."""
    progress.stateful_metrics.update(logs)
    return [(name, logs[name]) for name in in_keras_order(logs) if name != "lr" and np.ndim(logs[name]) == 0]


def _is_redrawn() -> bool:
    """Whether a line can be drawn again where it stands."""
    return sys.stdout.isatty() or "ipykernel" in sys.modules
