"""What ``compile`` was told for each of several outputs: a loss, its weight, and metrics.

Each may be one for all outputs, a list with an entry for each, or a dict by the outputs' names. As in Keras the losses
of the outputs are told beside their sum, as ``<output>_loss``, and their metrics are called ``<output>_<metric>``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nnkit.errors import DataError
from nnkit.keras import losses, metrics
from nnkit.keras.pairing import Pairing
from nnkit.keras.sides import targets_side, weights_side
from nnkit.training.outputs import LossOfOutputs, of_output
from nnkit.training.several import Several

__all__ = ["Outputs", "PairingOfOutputs"]

#: The reductions of losses that training makes small.
REDUCTIONS = ("sum_over_batch_size", "mean", "sum")


class Outputs:
    """The losses of the outputs ``names``, from what ``compile`` was told; :meth:`metrics` makes their metrics.

    ``plain`` tells whether nnkit's own training can take these losses. Outputs in a dict (``keyed``) tell their losses
    in the order of the dict of losses.

    Raises:
        ValueError: an argument does not fit the outputs.
    """

    def __init__(self, names: Sequence[str], loss: Any, loss_weights: Any, keyed: bool = False) -> None:
        self.names = list(names)
        found = _for_each("loss", loss, self.names, shared=True)
        self.losses: list[losses.Loss | None] = [None if part is None else losses.get(part) for part in found]
        self._order = [self.names.index(name) for name in loss] if keyed and _by_output(loss) else None
        self.weights = _weights(loss_weights, self.names)
        chosen = [part for part in self.losses if part is not None]
        self.plain = bool(chosen) and all(part.reduction in REDUCTIONS for part in chosen)

    def core(self) -> LossOfOutputs:
        """The loss of training."""
        several = sum(loss is not None for loss in self.losses) > 1
        told = [
            f"{name}_loss" if several and loss else None for name, loss in zip(self.names, self.losses, strict=True)
        ]
        cores = [None if loss is None else loss.core for loss in self.losses]
        return LossOfOutputs(cores, self.weights, told, self._order)

    def metrics(self, plain: Any, weighted: Any) -> list[Any] | None:
        """The metrics of the outputs, in the order of their names as Keras has them; None where one is no sum."""
        found: list[Any] = []
        for argument, given, uses_weights in (("metrics", plain, False), ("weighted_metrics", weighted, True)):
            for place, own in enumerate(_for_each(argument, given or None, self.names)):
                for metric in _as_list(own):
                    made = metrics.get(metric)
                    if not getattr(made, "adds_up", True):
                        return None
                    made.weighted = uses_weights
                    found.append(of_output(made, place, f"{self.names[place]}_{made.name}"))
        names = [metric.name for metric in found]
        return None if len(set(names)) < len(names) else sorted(found, key=lambda metric: metric.name)


def _by_output(value: Any) -> bool:
    """Whether an argument of ``compile`` is a dict by the outputs' names, and not the description of one object."""
    return isinstance(value, Mapping) and "class_name" not in value


def _for_each(argument: str, value: Any, names: list[str], shared: bool = False) -> list[Any]:
    """An entry for each output; ``shared``: what is neither list nor dict of outputs is for all."""
    if value is None:
        return [None] * len(names)
    if _by_output(value):
        strange = [key for key in value if key not in names]
        if strange:
            raise ValueError(f"compile: {argument} has {strange}; the model's outputs are {names}")
        return [value.get(name) for name in names]
    if isinstance(value, (list, tuple)):
        if len(value) != len(names):
            raise ValueError(
                f"For a model with multiple outputs, when providing the `{argument}` argument as a list, it should "
                f"have as many entries as the model has outputs, {len(names)} ({names}); got {len(value)}: {value!r}"
            )
        return list(value)
    if not shared:
        raise ValueError(f"compile: {argument} must be a list or dict with an entry for each output of {names}")
    return [value] * len(names)


def _weights(value: Any, names: list[str]) -> list[float]:
    if value is None:
        return [1.0] * len(names)
    if not isinstance(value, (list, tuple, dict)):
        raise ValueError(f"compile: loss_weights must be a list or dict for the outputs {names}; got {value!r}")
    return [1.0 if weight is None else float(weight) for weight in _for_each("loss_weights", value, names)]


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


class PairingOfOutputs(Pairing):
    """Brings the targets of several outputs into the shapes that go with them."""

    def __init__(self, outputs: Outputs, shapes: Several, model: Any) -> None:
        super().__init__(shapes.parts[0], "values", model)
        self.outputs = outputs
        kinds = ["values" if loss is None else loss.target_kind for loss in outputs.losses]
        self._each = [Pairing(shape, kind, model) for shape, kind in zip(shapes.parts, kinds, strict=True)]

    def inputs(self, x: Any) -> Any:
        side = super().inputs(x)
        return side if isinstance(side, Several) else Several([side], form=None)

    def target(self, y: Any) -> Any:
        if y is None:
            raise DataError(f"y is missing: the model has the outputs {self.outputs.names}")
        needed = [loss is not None for loss in self.outputs.losses]
        sides = targets_side(y, self.outputs.names, needed)
        pairs = zip(self._each, sides.parts, needed, strict=True)
        return Several([own.target(part) if is_needed else part for own, part, is_needed in pairs], sides.names)

    def weight(self, weight: Any, rows: int) -> Any:
        return weights_side(weight, self.outputs.names, rows)
