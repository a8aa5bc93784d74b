"""A batch at a time, by hand and for the loop: how data become tensors, and which steps are recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nnkit.keras.feeding import Batches, Feed, feed_of, is_array_like, pack, unpack
from nnkit.keras.loop import evaluated, numbers, step_of
from nnkit.keras.routes import class_weighted
from nnkit.keras.settings import WithSettings
from nnkit.recording.compiled import enabled
from nnkit.recording.structures import rebuilt
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor
from nnkit.training.home import home

__all__ = ["WithBatches"]


class WithBatches(WithSettings):
    """The part of a model that takes batches."""

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Make one update on one batch; returns the loss and metrics before it, as ``evaluate`` does."""
        self._require_compiled("train_on_batch")
        self.reset_metrics()
        weight = class_weighted(y, sample_weight, class_weight)
        with self.handing_mask_on():
            results = numbers(self._step("train_step")(self._batches().item(pack(x, y, weight))))
        return dict(sorted(results.items())) if return_dict else self._in_order(results)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """The loss and metrics of one batch, as ``evaluate`` returns them."""
        self._require_compiled("test_on_batch")
        self.reset_metrics()
        with no_grad(), self.handing_mask_on():
            results = numbers(self._step("test_step")(self._batches().item(pack(x, y, sample_weight))))
        return dict(sorted(results.items())) if return_dict else self._in_order(results)

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch."""
        with no_grad():
            found = self._step("predict_step")(self._batches().item(pack(x)))
        return rebuilt(found, lambda leaf: leaf.detach().numpy() if isinstance(leaf, Tensor) else leaf)

    # ---- for the loop --------------------------------------------------------------------------------------

    @property
    def _runs_plainly(self) -> bool:
        return self.run_eagerly or not enabled()

    def _step(self, name: str) -> Callable[[Any], Any]:
        """The recorded step of that name."""
        if name not in self._steps:
            self._steps[name] = step_of(self, name, self._runs_plainly)
        return self._steps[name]

    def _batches(self) -> Batches:
        """How data become tensors for this model."""
        device, dtype = home(self)
        whole = self.overrides("train_step", "test_step", "predict_step") or any(
            getattr(module, "reads_whole_numbers", False) for module in self.modules()
        )
        return Batches(device, dtype, whole)

    def _feed(
        self, x: Any, y: Any, weight: Any, size: int, shuffle: bool, limit: int | None, class_weight: Any
    ) -> Feed:
        if class_weight is not None:
            if y is None and not is_array_like(x):
                x = _ClassWeighted(x, class_weight)
            else:
                weight = class_weighted(y, weight, class_weight)
        return feed_of(x, y, weight, self._batches(), size, shuffle, limit)

    def _validation(self, data: Any, size: int, steps: int | None, callbacks: list[Any]) -> Callable[[], Any]:
        """A function that validates."""
        is_item = isinstance(data, (tuple, list)) and len(data) in (1, 2, 3)
        x, y, weight = unpack(data) if is_item else (data, None, None)
        feed = self._feed(x, y, weight, size, False, steps, None)
        step = self._step("test_step")

        def validate() -> dict[str, Any]:
            feed.restart()
            return evaluated(self, feed, step, callbacks)

        return validate

    def _in_order(self, results: Mapping[str, Any]) -> Any:
        """The numbers without their names; one by itself. Of several outputs their losses come first, as in Keras."""
        names = list(results)
        if self._compile_loss is not None and self._compile_loss.metrics:
            first = ["loss", *(metric.name for metric in self._compile_loss.metrics)]
            names = [*(name for name in first if name in results), *sorted(set(names) - set(first))]
        values = [results[name] for name in names]
        return values[0] if len(values) == 1 else values


class _ClassWeighted:
    """Batches with the weights of their classes."""

    def __init__(self, items: Any, class_weight: Mapping[int, float]) -> None:
        self.items, self.class_weight = items, class_weight

    def __iter__(self) -> Any:
        for item in self.items:
            x, y, weight = unpack(item)
            yield x, y, class_weighted(y, weight, self.class_weight)

    def __len__(self) -> int:
        return len(self.items)
