"""SummaryWriter: PyTorch's words for TensorBoard's files, written here, without TensorBoard."""

from __future__ import annotations

import datetime
import io
import os
import socket
import warnings
from collections.abc import Mapping
from typing import Any, Self

from nnkit.utils.tensorboard import summaries
from nnkit.utils.tensorboard.event_file import EventFile

__all__ = ["SummaryWriter"]


class SummaryWriter:
    """Writes numbers, images, histograms, figures and texts of a run, for ``tensorboard --logdir runs`` to show.

    Args:
        log_dir: the folder of the run; "runs/<time>_<machine><comment>" unless given.
        comment: see ``log_dir``.
        purge_step, max_queue: accepted for PyTorch's sake.
        flush_secs: events are handed over to the operating system at least that often.
        filename_suffix: the end of the file's name.

    Raises OSError for a folder that cannot be made, TypeError for what is no path.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, SummaryWriter(folder) as writer:
    ...     for step in range(3): writer.add_scalar("loss", 1.0 / (step + 1), step)
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] | None = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: float = 120,
        filename_suffix: str = "",
    ) -> None:
        if not log_dir:
            now = datetime.datetime.now().strftime("%b%d_%H-%M-%S")
            log_dir = os.path.join("runs", f"{now}_{socket.gethostname()}{comment}")
        self.log_dir = os.fspath(log_dir)
        self._suffix, self._flush_secs = filename_suffix, flush_secs
        self._file: EventFile | None = self._opened(self.log_dir)
        self._others: dict[str, EventFile] = {}

    def _opened(self, folder: str) -> EventFile:
        return EventFile(folder, self._suffix, self._flush_secs)

    def _add(self, summary: bytes, step: Any, walltime: float | None) -> None:
        if self._file is None:  # as PyTorch's, which opens another file after close()
            self._file = self._opened(self.log_dir)
        self._file.add(summary, None if step is None else int(step), walltime)

    def get_logdir(self) -> str:
        """The folder of the run."""
        return self.log_dir

    # ---- what can be shown ----------------------------------------------------------------------------------

    def add_scalar(
        self,
        tag: str,
        scalar_value: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        new_style: bool = False,
        double_precision: bool = False,
    ) -> None:
        """One number: a Python number, or a tensor or array of one element, kept in 32 bits."""
        self._add(summaries.scalar(tag, scalar_value), global_step, walltime)

    def add_scalars(
        self,
        main_tag: str,
        tag_scalar_dict: Mapping[str, Any],
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Several numbers under one title; each name is a run of its own, in a folder beside the file."""
        for name, value in tag_scalar_dict.items():
            folder = os.path.join(self.log_dir, f"{main_tag.replace('/', '_')}_{name}")
            if folder not in self._others:
                self._others[folder] = self._opened(folder)
            step = None if global_step is None else int(global_step)
            self._others[folder].add(summaries.scalar(main_tag, value), step, walltime)

    def add_histogram(
        self,
        tag: str,
        values: Any,
        global_step: int | None = None,
        bins: Any = "tensorflow",
        walltime: float | None = None,
        max_bins: int | None = None,
    ) -> None:
        """How often which values come. Values that are not finite are left out; without others ValueError."""
        self._add(summaries.histogram(tag, values, bins), global_step, walltime)

    def add_image(
        self,
        tag: str,
        img_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str = "CHW",
    ) -> None:
        """An image of 1, 3 or 4 channels: uint8, or floats from 0 to 1."""
        self._add(summaries.image(tag, img_tensor, dataformats), global_step, walltime)

    def add_images(
        self,
        tag: str,
        img_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str = "NCHW",
    ) -> None:
        """Several images, as one, in rows of up to eight."""
        whole = summaries.tiled(img_tensor, dataformats)
        self._add(summaries.image(tag, whole, "HWC"), global_step, walltime)

    def add_figure(
        self, tag: str, figure: Any, global_step: int | None = None, close: bool = True, walltime: float | None = None
    ) -> None:
        """A figure of matplotlib's, or several, which are closed afterwards unless told not to."""
        for number, one in enumerate(figures := figure if isinstance(figure, list) else [figure]):
            buffer = io.BytesIO()
            one.savefig(buffer, format="png")
            name = f"{tag}/{number}" if len(figures) > 1 else tag
            self._add(summaries.figure_image(name, buffer.getvalue()), global_step, walltime)
            if close:
                import matplotlib.pyplot

                matplotlib.pyplot.close(one)

    def add_text(
        self, tag: str, text_string: str, global_step: int | None = None, walltime: float | None = None
    ) -> None:
        """A text, shown as Markdown."""
        self._add(summaries.words(tag, text_string), global_step, walltime)

    def add_hparams(
        self,
        hparam_dict: Mapping[str, Any],
        metric_dict: Mapping[str, Any],
        hparam_domain_discrete: Any = None,
        run_name: str | None = None,
        global_step: int | None = None,
    ) -> None:
        """The options of a run as a table in Markdown, and its results as numbers; not for the page of options."""
        rows = "".join(f"| {name} | {value} |\n" for name, value in hparam_dict.items())
        self.add_text("hparams", f"| option | value |\n|---|---|\n{rows}", global_step)
        for name, value in metric_dict.items():
            self.add_scalar(name, value, global_step)

    def add_graph(self, model: Any, input_to_model: Any = None, verbose: bool = False, **options: Any) -> None:
        """Nothing, with a warning: ``nnkit.explain`` prints what a model computes."""
        warnings.warn("add_graph: no graph is written; nnkit.explain prints what a step computes", stacklevel=2)

    # ---- the files ------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Hand all events over to the operating system."""
        for file in (self._file, *self._others.values()):
            if file is not None:
                file.flush()

    def close(self) -> None:
        """Write everything and close the files; a later word opens another one."""
        for file in (self._file, *self._others.values()):
            if file is not None:
                file.close()
        self._file, self._others = None, {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        if "_others" in self.__dict__:
            self.close()
