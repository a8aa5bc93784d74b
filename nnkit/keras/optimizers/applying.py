"""``apply`` and ``apply_gradients``: an update by gradients that were computed apart, as loops of one's own do."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from nnkit.keras.variable import parameter_of, put_gradient
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor

__all__ = ["Applying"]


class Applying:
    """The part of Keras's optimizers that takes gradients from outside."""

    built: bool
    name: str
    param_groups: list[Any]

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Tensor | None, Any]], **options: Any) -> None:
        """One update by pairs of a gradient and its variable; where the gradient is None the variable stays.

        >>> from nnkit.keras import Variable, optimizers
        >>> w = Variable([1.0]); g = w.detach() * 2.0
        >>> optimizers.SGD(0.25).apply_gradients([(g, w)]); w.tolist()
        [0.5]
        """
        pairs = list(grads_and_vars)
        self.apply([gradient for gradient, _ in pairs], [variable for _, variable in pairs])

    def apply(self, grads: Iterable[Tensor | None], trainable_variables: Iterable[Any] | None = None) -> None:
        """One update by gradients in the order of the variables, by default of those it was built for.

        Raises:
            ValueError: no gradient is given, their number is another, or a variable is none of those of the first call.
        """
        gradients = list(grads)
        variables: Sequence[Any] = self._known() if trainable_variables is None else list(trainable_variables)
        if len(gradients) != len(variables):
            raise ValueError(f"{self.name}: got {len(gradients)} gradients for {len(variables)} variables")
        if all(gradient is None for gradient in gradients):
            names = [getattr(variable, "path", "?") for variable in variables]
            raise ValueError(f"{self.name}: no gradients provided for any variable; the variables are {names}")
        self._take_on(variables)
        for parameter in self._known():
            parameter.forget_grad()
        missing = []
        for gradient, variable in zip(gradients, variables, strict=True):
            if gradient is None:
                missing.append(getattr(variable, "path", "?"))
            else:
                put_gradient(variable, gradient)
        if missing:
            warnings.warn(f"{self.name}: gradients do not exist for {missing}; they stay as they are", stacklevel=3)
        self._keep_to_schedule()
        self.step()  # type: ignore[attr-defined]
        for parameter in self._known():
            parameter.forget_grad()
        _constrain(variables)

    def count_batch(self) -> None:
        """Begin a batch of ``fit`` at the scheduled rate of its update."""
        self.__dict__["_updates"] = [0]
        if self.built:
            self.follow_schedule()  # type: ignore[attr-defined]
        else:  # It is built in the first step, at the first rate.
            self.__dict__["_next"] = 1

    def _keep_to_schedule(self) -> None:
        """Where ``fit`` follows a schedule batch by batch, a step with a further update follows it itself."""
        updates: list[int] = self.__dict__.get("_updates", [0])
        if self.driven and updates[0]:  # type: ignore[attr-defined]
            self.follow_schedule()  # type: ignore[attr-defined]
        updates[0] += 1

    def _known(self) -> list[Tensor]:
        return [parameter for group in self.param_groups for parameter in group["params"]] if self.built else []

    def _take_on(self, variables: Sequence[Any]) -> None:
        """Be built for these variables, or have been for them and others."""
        parameters = [parameter_of(variable) for variable in variables]
        if not self.built:
            self.build(parameters)  # type: ignore[attr-defined]
            return
        known = {id(parameter) for parameter in self._known()}
        for variable, parameter in zip(variables, parameters, strict=True):
            if id(parameter) not in known:
                raise ValueError(
                    f"{self.name}: unknown variable {getattr(variable, 'path', '?')!r}: the optimizer was built for "
                    "others; make one optimizer for each set of variables, or build(all of them) first"
                )


def _constrain(variables: Iterable[Any]) -> None:
    """Make the variables that have a constraint what it allows."""
    for variable in variables:
        constraint = getattr(variable, "constraint", None)
        if constraint is not None:
            with no_grad():
                parameter = parameter_of(variable)
                parameter.copy_(constraint(parameter.detach()))
