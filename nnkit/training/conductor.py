"""What every loop of training does for its callbacks: tell them in turn, note who ended it, and end them all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from nnkit.errors import DivergenceError
from nnkit.training.callbacks import Callback
from nnkit.training.history import History

__all__ = ["Conductor", "LazyLogs"]


class LazyLogs(Mapping[str, Any]):
    """Results by name; the first look at them reads the device."""

    def __init__(self, read: Callable[[], Mapping[str, Any]]) -> None:
        self._read = read
        self._values: Mapping[str, Any] | None = None

    def _known(self) -> Mapping[str, Any]:
        if self._values is None:
            self._values = self._read()
        return self._values

    def __getitem__(self, name: str) -> Any:
        return self._known()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known())

    def __len__(self) -> int:
        return len(self._known())

    def copy(self) -> dict[str, Any]:
        """The results as a dict."""
        return dict(self._known())

    def __repr__(self) -> str:
        return repr(self.copy())


class Conductor:
    """The callbacks of one training, its history, and whether it is to stop."""

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self.callbacks = list(callbacks)
        self.history = History()
        self.stop_training = False
        #: Whether this process writes files and tells what happens; of several that train one model, the first does.
        self.speaks = True
        self._at_batches = [callback for callback in self.callbacks if callback.wants_batches]

    def _call(self, method: str, *arguments: Any) -> None:
        for callback in self._at_batches if method.startswith("on_batch") else self.callbacks:
            getattr(callback, method)(*arguments)
            if self.stop_training and self.history.stopped_by is None:
                self.history.stopped_by = type(callback).__name__

    def _note(self, error: BaseException) -> None:
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            self.history.interrupted = True
        self.history.stopped_by = type(error).__name__

    def _forgiven(self, error: BaseException) -> bool:
        """Whether a callback takes a divergence upon itself."""
        if isinstance(error, DivergenceError):
            for callback in self.callbacks:
                if callback.on_divergence(str(error)):
                    self.history.stopped_by = type(callback).__name__
                    return True
        return False

    def _finish(self, failed: bool) -> None:
        """End every callback; where several ends fail, or the training did before, the first error counts."""
        first: BaseException | None = None
        for callback in self.callbacks:
            try:
                callback.on_train_end()
            except BaseException as error:
                first = first or error
        if first is not None and not failed:
            raise first
