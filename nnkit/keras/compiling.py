"""What ``compile`` was given, matched to the outputs of a model: a loss and metrics for each, by place or by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from nnkit.errors import UnknownNameError
from nnkit.keras import losses, metrics
from nnkit.keras.means import Mean
from nnkit.keras.metric import Metric
from nnkit.recording.observer import call
from nnkit.recording.structures import leaves
from nnkit.tensors.tensor import Tensor

__all__ = ["CompileLoss", "CompileMetrics", "Output", "outputs_of"]


class Output(NamedTuple):
    """One output of a model: its key in the structure, its name (None: it has none), prediction and target."""

    key: Any
    name: str | None
    prediction: Any
    target: Any
    weight: Any


def outputs_of(y_pred: Any, y: Any, sample_weight: Any, names: Sequence[str] | None) -> list[Output]:
    """The outputs with what goes to each.

    Raises:
        ValueError: there are not as many targets as outputs.
    """
    if isinstance(y_pred, Mapping):
        keys = list(y_pred)
        if names and set(names) == set(keys):
            keys = list(names)
        known: list[str | None] = [str(key) for key in keys]
        given = [y_pred[key] for key in keys]
    elif isinstance(y_pred, (list, tuple)):
        given = list(leaves(y_pred))
        known = list(names) if names and len(names) == len(given) else [None] * len(given)
        keys = list(range(len(given)))
    else:
        weight = next(iter(leaves(sample_weight)), None) if sample_weight is not None else None
        only = next(iter(leaves(y)), None) if isinstance(y, (list, tuple, Mapping)) else y
        return [Output(None, None if not names else names[0], y_pred, only, weight)]
    targets = _spread(y, keys, known, "y")
    weights = _spread(sample_weight, keys, known, "sample_weight")
    return [Output(*parts) for parts in zip(keys, known, given, targets, weights, strict=True)]


def _spread(values: Any, keys: list[Any], names: Sequence[str | None], what: str) -> list[Any]:
    """One value for each output, from a dict, a list or, of weights, one for all."""
    if values is None:
        return [None] * len(keys)
    if isinstance(values, Mapping):
        return [values.get(key, values.get(name)) for key, name in zip(keys, names, strict=True)]
    if isinstance(values, (list, tuple)):
        flat = list(leaves(values))
        if len(flat) != len(keys):
            raise ValueError(f"{what} has {len(flat)} parts; the model has {len(keys)} outputs: {_called(names)}")
        return flat
    if what == "sample_weight" or len(keys) == 1:
        return [values] * len(keys)
    raise ValueError(f"{what} is one array; the model has {len(keys)} outputs: {_called(names)}")


def _called(names: Sequence[str | None]) -> str:
    return ", ".join(str(name) for name in names) if all(names) else f"{len(names)} without names"


def _of_outputs(argument: str, given: Any, outputs: Sequence[Output]) -> list[Any]:
    """What an argument of ``compile`` has for each output: by name, by place, or the same for all."""
    if isinstance(given, Mapping) and "class_name" not in given:
        names = [output.name if output.key is None else str(output.name or output.key) for output in outputs]
        if names == [None] and len(given) == 1:  # nobody knows what the only output is called
            return list(given.values())
        for name in given:
            if name not in names:
                raise UnknownNameError(f"output in {argument}", name, [name for name in names if name])
        return [given.get(name) for name in names]
    return [given] * len(outputs)


class CompileLoss:
    """The sum of the outputs' losses, each by its weight; of several the mean of each is followed, too."""

    def __init__(self, loss: Any, loss_weights: Any = None, output_names: Sequence[str] | None = None) -> None:
        self.loss, self.loss_weights, self.output_names = loss, loss_weights, output_names
        self._losses: list[list[tuple[losses.Loss, float | None]]] | None = None
        self._trackers: dict[str, Mean] = {}

    @property
    def metrics(self) -> list[Metric]:
        """The means of the outputs' losses, where there are several."""
        return list(self._trackers.values())

    def _build(self, outputs: Sequence[Output]) -> list[list[tuple[losses.Loss, float | None]]]:
        if isinstance(self.loss, (list, tuple)) and len(outputs) > 1:
            if len(self.loss) != len(outputs):
                raise ValueError(f"compile: loss has {len(self.loss)} parts; the model has {len(outputs)} outputs")
            chosen = list(self.loss)
        else:
            chosen = _of_outputs("loss", self.loss, outputs)
        factors = self._weights(outputs)
        made = []
        for one, factor in zip(chosen, factors, strict=True):
            parts = one if isinstance(one, (list, tuple)) else [one]
            by_part = factor if isinstance(factor, (list, tuple)) else [factor] * len(parts)
            pairs = zip(parts, by_part, strict=True)
            made.append([(losses.get(part), weight) for part, weight in pairs if part is not None])
        followed = [
            (output, loss) for output, parts in zip(outputs, made, strict=True) for loss, _ in parts
        ]  # fmt: skip
        if len(followed) > 1:
            for output, loss in followed:
                name = f"{output.name if output.name is not None else loss.name}_loss"
                self._trackers.setdefault(name, Mean(name))
        return made

    def _weights(self, outputs: Sequence[Output]) -> list[Any]:
        given = self.loss_weights
        if isinstance(given, (list, tuple)):
            if len(outputs) == 1:
                return [list(given) if isinstance(self.loss, (list, tuple)) else given[0]]
            if len(given) != len(outputs):
                raise ValueError(f"compile: loss_weights has {len(given)} parts; the model has {len(outputs)} outputs")
            return list(given)
        return _of_outputs("loss_weights", given, outputs)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor | None:
        """The whole loss; None where no output has one."""
        outputs = outputs_of(y_pred, y_true, sample_weight, self.output_names)
        if self._losses is None:
            self._losses = self._build(outputs)
        total = None
        for output, parts in zip(outputs, self._losses, strict=True):
            for loss, factor in parts:
                value = call(loss, output.target, output.prediction, output.weight)
                if self._trackers:
                    name = f"{output.name if output.name is not None else loss.name}_loss"
                    self._trackers[name].update_state(value.detach(), float(output.prediction.shape[0]))
                value = value if factor is None else value * float(factor)
                total = value if total is None else total + value
        return total


class CompileMetrics(Metric):
    """The metrics of ``compile`` for each output: those without sample weights, then those with them."""

    def __init__(self, plain: Any, weighted: Any, output_names: Sequence[str] | None = None) -> None:
        super().__init__("compile_metrics")
        self.plain, self.weighted_ones, self.output_names = plain, weighted, output_names
        self._found: list[tuple[int, str | None, bool, Any]] | None = None

    def _build(self, outputs: Sequence[Output]) -> list[tuple[int, str | None, bool, Any]]:
        found = []
        for uses_weights, argument, given in (
            (False, "metrics", self.plain), (True, "weighted_metrics", self.weighted_ones),
        ):  # fmt: skip
            several = len(outputs) > 1
            if several and isinstance(given, (list, tuple)) and len(given) == len(outputs):
                chosen = list(given)
            else:
                chosen = _of_outputs(argument, given, outputs)
            for number, (output, one) in enumerate(zip(outputs, chosen, strict=True)):
                for metric in _listed(one):
                    made = metrics.get(metric)
                    found.append((number, output.name if several else None, uses_weights, made))
        return found

    @property
    def metrics(self) -> list[Any]:
        """The metrics, once the outputs are known."""
        return [metric for *_, metric in self._found or ()]

    @property
    def variables(self) -> list[Any]:
        return [variable for metric in self.metrics for variable in metric.variables]

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch to every metric."""
        outputs = outputs_of(y_pred, y_true, sample_weight, self.output_names)
        if self._found is None:
            self._found = self._build(outputs)
        for number, _, uses_weights, metric in self._found:
            output = outputs[number]
            if output.target is not None:
                weight = output.weight if uses_weights else None
                call(metric.update_state, output.target, output.prediction.detach(), weight)

    def reset_state(self) -> None:
        for metric in self.metrics:
            metric.reset_state()

    def result(self, sums: Any = None) -> dict[str, Any]:  # type: ignore[override]
        """Each metric under its name, with the output's before it where there are several."""
        results: dict[str, Any] = {}
        for _, output, uses_weights, metric in self._found or ():
            name = metric.name if output is None else f"{output}_{metric.name}"
            if name in results and uses_weights:
                name = f"weighted_{metric.name}" if output is None else f"{output}_weighted_{metric.name}"
            results[_free(name, results)] = call(metric.result)
        return results


def _free(name: str, taken: Mapping[str, Any]) -> str:
    """The name, with a number behind it where it is taken."""
    numbers: Iterator[str] = (f"{name}_{number}" for number in range(1, 1000))
    return name if name not in taken else next(found for found in numbers if found not in taken)


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]
