"""The base of Keras's metrics: numbers that batches are added up to, on the device.

A metric of nnkit's is given as ``sums`` of a batch and a ``result`` of all sums, so that training adds them up in
programs. One of your own is written as in Keras: states made by ``add_variable``, ``update_state`` and ``result``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np

from nnkit import get_default_dtype
from nnkit.errors import ShapeError
from nnkit.keras.masks import by_step
from nnkit.keras.naming import automatic_name
from nnkit.keras.shapes import matched
from nnkit.keras.variable import Variable
from nnkit.tensors.creation import as_tensor, zeros
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor
from nnkit.training import metrics as core

__all__ = ["Metric"]


class Metric(core.Metric):
    """The base class of metrics.

    One of your own defines ``update_state(self, y_true, y_pred, sample_weight=None)``, or whatever arguments it is
    given, and ``result(self)``; ``reset_state`` makes its variables 0. A recorded step adds to them without Python.

    Args:
        name: what it is called in the results; by default made from the class name.
        dtype: accepted; sums are float64.

    ``result`` is a scalar Tensor. Raises TypeError for an argument that is none. Source: ``keras.metrics.Metric``.

    >>> class Count(Metric):
    ...     def __init__(self, name="count"):
    ...         super().__init__(name=name)
    ...         self.seen = self.add_variable(shape=(), initializer="zeros", name="seen")
    ...     def update_state(self, y_true, y_pred, sample_weight=None):
    ...         self.seen.assign_add(float(len(y_true)))
    ...     def result(self):
    ...         return self.seen
    >>> metric = Count(); metric.update_state([1, 2], [1, 2]); float(metric.result())
    2.0
    """

    #: The arguments of the constructor besides the name, which are attributes, too.
    config_names: ClassVar[tuple[str, ...]] = ()
    _sums: Tensor | None = None

    def __init__(self, name: str | None = None, dtype: Any = None, **options: Any) -> None:
        if options:
            raise TypeError(f"{type(self).__name__} has no argument {next(iter(options))!r}")
        super().__init__(name or automatic_name(type(self)))
        self._variables: list[Variable] = []

    def __new__(cls, *args: Any, **options: Any) -> Self:
        made: Self = super().__new__(cls)
        made._variables = []
        return made

    # ---- states -------------------------------------------------------------------------------------------

    def add_variable(
        self,
        shape: Sequence[int] = (),
        initializer: Any = "zeros",
        dtype: Any = None,
        aggregation: str | None = None,
        name: str | None = None,
    ) -> Variable:
        """A state of this metric, which ``reset_state`` makes 0."""
        if isinstance(shape, str):  # An older order: the name first.
            shape, name = (), shape
        made = Variable("zeros" if initializer is None else initializer, tuple(shape), dtype, False, name=name)
        self._variables.append(made)
        return made

    def add_weight(
        self,
        shape: Any = (),
        initializer: Any = None,
        dtype: Any = None,
        name: str | None = None,
        aggregation: str | None = None,
    ) -> Variable:
        """``add_variable`` under its older name."""
        return self.add_variable(shape, initializer, dtype, aggregation, name)

    @property
    def variables(self) -> list[Variable]:
        """The states, those of metrics in this one too."""
        inner = [value for value in vars(self).values() if isinstance(value, Metric)]
        return [*self._variables, *(variable for metric in inner for variable in metric.variables)]

    def reset_state(self) -> None:
        """Forget the batches."""
        with no_grad():
            if self._sums is not None:
                self._sums.fill_(0.0)
            for variable in self.variables:
                variable.fill_(0.0)

    def reset_states(self) -> None:
        """``reset_state`` under its older name."""
        self.reset_state()

    # ---- batches ------------------------------------------------------------------------------------------

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Add a batch; ``sample_weight`` is one number for all, or fits the values, else it raises ShapeError."""
        prediction = y_pred if isinstance(y_pred, Tensor) else as_tensor(y_pred, dtype=get_default_dtype())
        with no_grad():
            target = as_tensor(y_true, device=prediction.device)
            weight = None
            if sample_weight is not None:
                weight = as_tensor(sample_weight, dtype="float64", device=prediction.device)
            self._add(self.sums(prediction.detach(), self.paired(target, tuple(prediction.shape)), weight))

    def sums(self, prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Any:
        """What a batch adds; each step of a masked prediction counts as a sample, where the mask holds."""
        return super().sums(*by_step(prediction, target, weight))

    def per_sample(self, weight: Tensor | None, rows: int) -> Tensor | None:
        """Weights (B,), from one number, (B,) or (B, 1). Raises ShapeError for others."""
        if weight is None:
            return None
        if weight.shape not in ((), (rows,), (rows, 1)):
            raise ShapeError(
                f"metric {self.name!r}: sample_weight has shape {tuple(weight.shape)}; expected one number, "
                f"or one for each of {rows} samples"
            )
        return weight.reshape(-1) if weight.ndim else weight.expand(rows)

    def _add(self, sums: Tensor) -> None:
        """Add a batch's sums to the others'."""
        if self._sums is None or self._sums.shape != sums.shape or self._sums.device != sums.device:
            self._sums = zeros(*sums.shape, dtype="float64", device=sums.device)
        self._sums.add_(sums.double())

    def result(self, sums: np.ndarray | None = None) -> Any:
        """The metric over all batches so far, a scalar; 0 before the first. Of given ``sums`` a float."""
        if sums is not None:
            return self._number(sums)
        if self._sums is None:
            return as_tensor(0.0)
        return self.value(self._sums).to(get_default_dtype())

    def value(self, sums: Tensor) -> Tensor:
        """The metric of sums on the device; by default they are read, and computed with on the host."""
        return as_tensor(self._number(sums.numpy()), dtype="float64", device=sums.device)

    def _number(self, sums: np.ndarray) -> float:
        """The metric of sums on the host."""
        return self.value(as_tensor(np.asarray(sums, np.float64), device="numpy")).item()

    def paired(self, target: Tensor, output_shape: tuple[int, ...]) -> Tensor:
        """The target in the shape that goes with an output."""
        return matched(target, output_shape)

    @property
    def adds_up(self) -> bool:
        """Whether training may add up ``sums`` by itself: the class does not say how to update a state."""
        own = (type(self).update_state, type(self).result, type(self).reset_state, type(self).__call__)
        return self.is_number and all(method.__module__.partition(".")[0] == "nnkit" for method in own) and _sums(self)

    def __call__(self, *args: Any, **options: Any) -> Any:
        self.update_state(*args, **options)
        return self.result()

    # ---- configuration ------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The arguments that rebuild this metric."""
        return {"name": self.name, **{option: getattr(self, option) for option in self.config_names}}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The metric that ``get_config`` described."""
        return cls(**config)


def _sums(metric: Metric) -> bool:
    return type(metric).sums is not Metric.sums
