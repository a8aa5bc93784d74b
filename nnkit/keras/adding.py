"""What layers add to the training besides their outputs: losses and metrics of their own."""

from __future__ import annotations

from typing import Any

from nnkit.backends.recording import recorder
from nnkit.keras.calling import calls
from nnkit.keras.means import Mean
from nnkit.keras.metric import Metric
from nnkit.keras.readable import readable
from nnkit.keras.weights import INTERNAL, WithWeights
from nnkit.recording.observer import call
from nnkit.recording.structures import leaves
from nnkit.tensors.creation import as_tensor
from nnkit.tensors.tensor import Tensor

__all__ = ["WithLosses"]

_ever: list[bool] = []  # one entry once any layer has added a loss: until then nobody need look for some


class WithLosses(WithWeights):
    """The part of Layer that has losses (``add_loss``, ``activity_regularizer``) and metrics."""

    activity_regularizer: Any

    def add_loss(self, loss: Any) -> None:
        """Add a scalar, or several in a list, to the loss of the training; for use in ``call``.

        It holds until the outermost layer or model is called again.
        """
        kept: list[Any] = self.__dict__.setdefault("_losses", [])
        for one in leaves(loss):
            if one is not None:
                kept.append(one if isinstance(one, Tensor) or callable(one) else as_tensor(one))
        _ever[:] = [True]

    def _begin_losses(self) -> None:
        """Forget what layers added in the last call, where this one is the outermost."""
        if _ever and calls.depth == 0:
            for layer in self.modules():
                kept = vars(layer).get("_losses")
                if kept:
                    kept[:] = [loss for loss in kept if not isinstance(loss, Tensor)]

    def _add_activity(self, outputs: Any) -> None:
        """The penalty on outputs, divided by the batch size."""
        for output in leaves(outputs):
            if isinstance(output, Tensor):
                loss = call(self.activity_regularizer, output)
                self.add_loss(loss / float(max(output.shape[0], 1)) if output.ndim else loss)

    def _added(self) -> list[Tensor]:
        """What this layer and those in it added."""
        if not _ever:
            return []
        found: list[Tensor] = []
        for layer in self.modules():
            for loss in vars(layer).get("_losses", ()):
                found.append(loss if isinstance(loss, Tensor) else call(loss))
        return found

    @property
    def losses(self) -> list[Tensor]:
        """What this layer and those in it added in the last call, and the penalties on weights."""
        found = self._added()
        for module in self.modules():
            for name, regularizer in module.regularizers.items():
                weight = getattr(module, name)
                if weight.requires_grad:
                    found.append(call(regularizer, weight))
        return found if recorder() is not None else [readable(loss) for loss in found]

    def penalty(self) -> Tensor | None:
        """The sum of :attr:`losses`; None where there are none."""
        total = super().penalty()
        for loss in self._added():
            total = loss if total is None else total + loss
        return total

    # ---- metrics ------------------------------------------------------------------------------------------

    def add_metric(self, value: Any, name: str | None = None, aggregation: str = "mean") -> None:
        """Follow the mean of a value under a name: it is among the results of ``fit``. An older word of Keras's."""
        if name is None:
            raise ValueError("add_metric needs a name: add_metric(value, name='norm')")
        followed: dict[str, Metric] = self.__dict__.setdefault("_added_metrics", {})
        if name not in followed:
            followed[name] = Mean(name=name)
        followed[name].update_state(value.detach() if isinstance(value, Tensor) else value)  # type: ignore[call-arg]

    def _own_metrics(self) -> list[Metric]:
        """The metrics that are attributes of this layer, in lists and dicts too."""
        found: list[Metric] = []
        for name, value in vars(self).items():
            if name not in INTERNAL and name not in ("_compile_metrics", "_loss_tracker"):
                kept = leaves(value) if type(value) in (list, tuple, dict) and len(value) < 1000 else (value,)
                found += [one for one in kept if isinstance(one, Metric)]
        return found

    @property
    def metrics(self) -> list[Metric]:
        """The metrics that this layer and those in it follow."""
        found: dict[int, Metric] = {}
        for layer in self.modules():
            if isinstance(layer, WithLosses):
                found |= {id(metric): metric for metric in layer._own_metrics()}
        return list(found.values())

    @property
    def metrics_variables(self) -> list[Any]:
        """The states of :attr:`metrics`."""
        return [variable for metric in self.metrics for variable in metric.variables]
