"""``TensorBoard``: what a training does, in files that TensorBoard reads."""

from __future__ import annotations

import os
from typing import Any

from nnkit.nn.module import Module
from nnkit.training.arguments import positive_integer
from nnkit.training.callbacks import Callback, Logs
from nnkit.utils.tensorboard import SummaryWriter
from nnkit.utils.tensorboard.weights import add_weight

__all__ = ["TensorBoard"]


class TensorBoard(Callback):
    """Writes a training into a folder, for ``tensorboard --logdir``: numbers, histograms, images, the model as text.

    Args:
        folder: where to; one for each training. "runs/<time>_<machine>" unless given.
        every: after how many steps of an epoch the numbers so far are written, too.
        histograms: after how many epochs the weights, and the gradients of the last step, are written as histograms.
        images: whether matrices and filters are written as images then, too.
        example: an input, or a tuple of several, for the shapes in the model's text.
        writer: what to write with in place of nnkit's own ``utils.tensorboard.SummaryWriter``: one of tensorboardX's
            or PyTorch's, which have the same words. It is flushed, and left open.

    Numbers of an epoch are "loss/train" and "loss/validation", and the rate "lr", by the epoch from 0; numbers so far
    are "loss/steps", by the step. Raises ValueError or TypeError for a count that is none.

    Weights may be of any shape and floating dtype.

    >>> import tempfile, nnkit
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     board, x = TensorBoard(folder, histograms=1), [[0.0], [1.0]]
    ...     _ = nnkit.nn.Linear(1, 1).fit(x, x, loss="mse", callbacks=[board], verbose=0)
    ...     len(list(Path(folder).glob("events.out.tfevents.*")))
    1
    """

    first_rank_only = True

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        every: int | None = None,
        histograms: int | None = None,
        images: bool = False,
        example: Any = None,
        writer: Any = None,
    ) -> None:
        if folder is not None and writer is not None:
            raise ValueError("TensorBoard: the writer has a folder of its own: pass folder or writer")
        self.folder, self.images, self.example = folder, images, example
        self.settle_every = None if every is None else positive_integer(every, "every")
        self.histograms = None if histograms is None else positive_integer(histograms, "histograms")
        self._given, self._writer = writer, writer
        self._logs: Logs = {}
        self._step = self._before = 0  # steps of this epoch, and of those before

    def on_train_begin(self) -> None:
        self._before = 0
        if self._given is None:
            self._writer = SummaryWriter(self.folder)
        self._writer.add_text("model", "\n".join(f"    {line}" for line in self._text().splitlines()), 0)

    def _text(self) -> str:
        """The model's layers as a table: Keras's own where it is a model of its kind."""
        if type(self.model).summary is not Module.summary:
            lines: list[str] = []
            self.model.summary(print_fn=lambda text, **options: lines.append(text))
            return "\n".join(lines)
        inputs = () if self.example is None else self.example
        return str(self.model.summary(*(inputs if isinstance(inputs, tuple) else (inputs,))))

    def on_read(self, step: int, logs: Logs) -> None:
        self._step, self._logs = step, logs

    def on_settled(self, epoch: int, step: int) -> None:
        if step and self.settle_every:
            for name, value in self._logs.items():
                self._writer.add_scalar(f"{name}/steps", value, self._before + step)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self._before += self._step
        for name, value in logs.items():
            part = "validation" if name.startswith("val_") else "train"
            tag = "lr" if name == "lr" else f"{name.removeprefix('val_')}/{part}"
            self._writer.add_scalar(tag, value, epoch)
        if self.histograms is not None and (epoch + 1) % self.histograms == 0:
            for name, parameter in self.model.named_parameters():
                add_weight(self._writer, f"weights/{name}", parameter, epoch, self.images)
                if parameter.grad is not None:
                    add_weight(self._writer, f"gradients/{name}", parameter.grad, epoch)
        self._writer.flush()

    def on_train_end(self) -> None:
        if self._given is None and self._writer is not None:
            self._writer.close()
