"""What ``fit`` shows: a bar on a terminal and in a notebook, one plain line per epoch anywhere else."""

from __future__ import annotations

import sys
import time
import warnings
from typing import Any

from nnkit.errors import UnknownNameError
from nnkit.kernels import compilation
from nnkit.training.callbacks import Callback, Logs

__all__ = ["ProgressBar", "in_notebook", "line", "style_of"]

_STYLES = ("auto", "bar", "lines")


class ProgressBar(Callback):
    """Shows the progress on standard output: as a bar that grows, or in lines.

    ``style`` is "bar" (tqdm's, a notebook's where ipywidgets is there), "lines", or "auto": a bar on a terminal and
    in a notebook. Raises UnknownNameError for another. Source: Keras's progress bar; tqdm.

    >>> import nnkit
    >>> x = [[0.0], [1.0]]
    >>> _ = nnkit.nn.Linear(1, 1).fit(x, x, loss="mse", callbacks=[ProgressBar("lines")], verbose=0)
    epoch 1/1 - ...s - loss ...
    """

    first_rank_only = True

    def __init__(self, style: str = "auto") -> None:
        if style not in _STYLES:
            raise UnknownNameError("style", style, _STYLES)
        self.style = style
        self._bar: Any = None
        self._started = 0.0
        self._compiled = 0.0

    def on_train_begin(self) -> None:
        if self.style == "auto":
            self.style = "bar" if sys.stdout.isatty() or in_notebook() else "lines"

    def on_epoch_begin(self, epoch: int) -> None:
        self._started = time.monotonic()
        self._compiled = compilation.seconds()
        if self.style == "bar":
            self._bar = _bar_class()(
                total=self.trainer.steps, desc=self._title(epoch), file=sys.stdout, leave=False, dynamic_ncols=True
            )

    def on_resume(self, epoch: int, step: int) -> None:
        self.on_epoch_begin(epoch)

    def on_read(self, step: int, logs: Logs) -> None:
        if self._bar is not None:
            self._leave_out_compilation()
            self._bar.set_postfix_str(" - ".join(_shown(logs)), refresh=False)
            self._bar.update(step - self._bar.n)

    def _leave_out_compilation(self) -> None:
        """Stop the bar's clock for what does not recur: the time in which kernels were compiled."""
        before, self._compiled = self._compiled, compilation.seconds()
        self._bar.start_t += self._compiled - before
        self._bar.last_print_t += self._compiled - before

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self._close()
        print(line(self._title(epoch), time.monotonic() - self._started, logs), flush=True)

    def on_train_end(self) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _title(self, epoch: int) -> str:
        return f"epoch {epoch + 1}/{self.trainer.epochs}"


def in_notebook() -> bool:
    """Whether this is a notebook's kernel, which shows more than text."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in shell.config


def _bar_class() -> Any:
    with warnings.catch_warnings():  # where a notebook has no ipywidgets, tqdm says so and draws in text
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm
    return tqdm


def style_of(verbose: Any) -> str | None:
    """The style that ``verbose`` asks for: "auto", 1 and True (bar or lines), 2 (lines), 0 and False (None: silence).

    >>> style_of("auto"), style_of(2), style_of(False)
    ('auto', 'lines', None)
    """
    styles = {"auto": "auto", 1: "auto", 2: "lines", 0: None}
    if not isinstance(verbose, (str, int)) or verbose not in styles:
        raise ValueError(
            f"verbose must be 'auto', 0 (silent), 1 (progress bar) or 2 (one line per epoch), got {verbose!r}"
        )
    return styles[verbose]


def line(title: str, seconds: float, logs: Logs) -> str:
    """One line of results.

    >>> line("epoch 1/5", 0.25, {"loss": 0.123456, "accuracy": 0.97})
    'epoch 1/5 - 0.2s - loss 0.1235 - accuracy 0.9700'
    """
    return " - ".join([title, f"{seconds:.1f}s", *_shown(logs)])


def _shown(logs: Logs) -> list[str]:
    return [f"{name} {value:.4g}" if abs(value) < 1e-3 else f"{name} {value:.4f}" for name, value in logs.items()]
