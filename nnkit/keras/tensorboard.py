"""``TensorBoard``: what a training does, in files that TensorBoard reads. Source: ``keras.callbacks.TensorBoard``."""

from __future__ import annotations

import os
import time
from typing import Any

from nnkit.keras.callback_base import Callback
from nnkit.training.callbacks import Logs
from nnkit.utils.tensorboard import SummaryWriter
from nnkit.utils.tensorboard.weights import add_weight

__all__ = ["TensorBoard"]


class TensorBoard(Callback):
    """Writes the numbers of epochs to ``log_dir``/train and ``log_dir``/validation, for ``tensorboard --logdir``.

    Args:
        log_dir: a folder for this training alone.
        histogram_freq: after how many epochs the weights are written as histograms; 0: never.
        write_graph: whether to write the model's summary, as a text: nnkit has no graphs.
        write_images: whether to write matrices and kernels of weights as images, too.
        write_steps_per_second: whether to write how many steps were done in a second.
        update_freq: "epoch", or "batch", or after how many batches the numbers so far are written, too.
        profile_batch, embeddings_freq, embeddings_metadata: accepted; nothing is written for them.

    Weights may be of any shape and floating dtype. Raises ValueError for an ``update_freq`` that is none of these.
    Source: ``keras.callbacks.TensorBoard``.

    >>> import os, tempfile
    >>> from nnkit import keras
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> folder = tempfile.mkdtemp()
    >>> history = model.fit([[0.0], [1.0]], [[0.0], [1.0]], verbose=0, callbacks=[TensorBoard(folder)])
    >>> os.listdir(folder)
    ['train']
    """

    first_rank_only = True

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: Any = "epoch",
        profile_batch: Any = 0,
        embeddings_freq: int = 0,
        embeddings_metadata: Any = None,
    ) -> None:
        if update_freq not in ("epoch", "batch") and (not isinstance(update_freq, int) or update_freq < 1):
            raise ValueError(f"TensorBoard: update_freq must be 'epoch', 'batch' or a number; got {update_freq!r}")
        self.log_dir = os.fspath(log_dir)
        self.histogram_freq, self.write_graph, self.write_images = histogram_freq, write_graph, write_images
        self.write_steps_per_second = write_steps_per_second
        self.update_freq = 1 if update_freq == "batch" else update_freq
        self._writers: dict[str, Any] = {}
        self._step = self._epoch_step = 0
        self._started = 0.0

    @property
    def wants_batches(self) -> bool:
        return self.update_freq != "epoch" or self.write_steps_per_second

    def _writer(self, part: str) -> Any:
        if part not in self._writers:
            self._writers[part] = SummaryWriter(os.path.join(self.log_dir, part))
        return self._writers[part]

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._step = 0
        if self.write_graph and self.model.built:
            texts: list[str] = []
            self.model.summary(print_fn=lambda text, **options: texts.append(text))
            self._writer("train").add_text("keras", "\n".join(texts), 0)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch_step, self._started = self._step, time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._step += 1
        if self.update_freq != "epoch" and self._step % self.update_freq == 0:
            for name, value in (logs or {}).items():
                self._writer("train").add_scalar(f"batch_{name}", value, self._step)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        for name, value in (logs or {}).items():
            if name == "lr":
                continue
            validation = name.startswith("val_")
            part, tag = ("validation", name.removeprefix("val_")) if validation else ("train", name)
            self._writer(part).add_scalar(f"epoch_{tag}", value, epoch)
        rate = getattr(self.trainer, "learning_rate", None)
        if rate is not None:
            self._writer("train").add_scalar("epoch_learning_rate", rate, epoch)
        if self.write_steps_per_second:
            seconds = max(time.perf_counter() - self._started, 1e-9)
            speed = (self._step - self._epoch_step) / seconds
            self._writer("train").add_scalar("epoch_steps_per_second", speed, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            self._write_weights(epoch)
        for writer in self._writers.values():
            writer.flush()

    def _write_weights(self, epoch: int) -> None:
        for layer in self.model.layers:
            for weight in layer.weights:
                add_weight(
                    self._writer("train"), weight.path.replace(":", "_"), weight.numpy(), epoch,
                    self.write_images and len(weight.shape) == 2,
                )  # fmt: skip

    def on_train_end(self, logs: Logs | None = None) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()
