"""The less common optimizers: Adadelta, Adamax, Nadam, Ftrl, Lion; and of whole weights, Adafactor and Lamb."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from nnkit import ops
from nnkit.keras.optimizers.base import Optimizer, OptimizerOptions, Rate
from nnkit.kernels import further_updates, keras_updates
from nnkit.kernels.vocabulary import Formula
from nnkit.tensors.creation import zeros
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor

__all__ = ["Adadelta", "Adafactor", "Adamax", "Ftrl", "Lamb", "Lion", "Nadam"]


class Adadelta(Optimizer):
    """Zeiler, Adadelta: An Adaptive Learning Rate Method, 2012.

    Args:
        learning_rate: a number, a schedule, or a function without arguments; the paper's is 1.
        rho: what is kept of the averages of squared gradients and of squared steps.
        epsilon: added to both under the root.
        options: see :class:`Optimizer`.

    >>> Adadelta().learning_rate
    0.001
    """

    def __init__(
        self, learning_rate: Rate = 0.001, rho: float = 0.95, epsilon: float = 1e-7, **options: Unpack[OptimizerOptions]
    ) -> None:
        self.rho, self.epsilon = rho, epsilon
        super().__init__(learning_rate, {"rho": rho, "eps": epsilon}, options)

    def formulas(self, options: Mapping[str, Any]) -> tuple[Formula, Formula]:
        return keras_updates.keras_adadelta_rates, keras_updates.keras_adadelta

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rho": self.rho, "epsilon": self.epsilon}


class _OfTwoAverages(Optimizer):
    """What Adam's relatives have: two betas and an epsilon."""

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon
        super().__init__(learning_rate, {"betas": (beta_1, beta_2), "eps": epsilon}, options)

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("beta_1", "beta_2", "epsilon")}
        return {**super().get_config(), **own}


class Adamax(_OfTwoAverages):
    """Kingma and Ba, Adam, 2015, section 7.1: divides by the largest gradient, which fades.

    >>> from nnkit import keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(Adamax(learning_rate=0.01), loss="mse")
    >>> round(float(model.optimizer.learning_rate), 4)
    0.01
    """

    def formulas(self, options: Mapping[str, Any]) -> tuple[Formula, Formula]:
        return keras_updates.keras_adamax_rates, keras_updates.keras_adamax


class Nadam(_OfTwoAverages):
    """Dozat, Incorporating Nesterov Momentum into Adam, 2016.

    >>> from nnkit import keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(Nadam(learning_rate=0.01), loss="mse")
    >>> round(float(model.optimizer.learning_rate), 4)
    0.01
    """

    def formulas(self, options: Mapping[str, Any]) -> tuple[Formula, Formula]:
        return keras_updates.keras_nadam_rates, further_updates.nadam

    def initial_state(self, options: Mapping[str, Any]) -> dict[str, float]:
        return {"mu_product": 1.0}


class Ftrl(Optimizer):
    """Follow the regularized leader (McMahan et al., Ad Click Prediction: a View from the Trenches, 2013).

    Args:
        learning_rate: a number, a schedule, or a function without arguments.
        learning_rate_power: how the rate falls with the sum of squared gradients: not above 0.
        initial_accumulator_value: what that sum starts from.
        l1_regularization_strength, l2_regularization_strength: penalties on the weights as they come out.
        l2_shrinkage_regularization_strength: a penalty on their size, in the gradient.
        beta: the paper's beta.
        options: see :class:`Optimizer`.

    >>> from nnkit import keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(Ftrl(learning_rate=0.01), loss="mse")
    >>> round(float(model.optimizer.learning_rate), 4)
    0.01
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float = 0.0,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        own = {
            "initial_accumulator_value": initial_accumulator_value,
            "l1_regularization_strength": l1_regularization_strength,
            "l2_regularization_strength": l2_regularization_strength,
            "l2_shrinkage_regularization_strength": l2_shrinkage_regularization_strength,
        }
        for name, value in own.items():
            if value < 0:
                raise ValueError(f"Ftrl: {name} must be 0 or larger; got {value!r}")
        if learning_rate_power > 0:
            raise ValueError(f"Ftrl: learning_rate_power must not be above 0; got {learning_rate_power!r}")
        self._arguments = {"learning_rate_power": learning_rate_power, **own, "beta": beta}
        settings = {
            "lr_power": learning_rate_power, "initial_accumulator_value": initial_accumulator_value, "beta": beta,
            "l1": l1_regularization_strength, "l2": l2_regularization_strength,
            "l2_shrinkage": l2_shrinkage_regularization_strength,
        }  # fmt: skip
        super().__init__(learning_rate, settings, options)

    def formulas(self, options: Mapping[str, Any]) -> tuple[Formula, Formula]:
        return keras_updates.keras_ftrl_rates, keras_updates.keras_ftrl

    def initial_state(self, options: Mapping[str, Any]) -> dict[str, float]:
        return {"sum": options["initial_accumulator_value"]}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._arguments}


class Lion(Optimizer):
    """Chen et al., Symbolic Discovery of Optimization Algorithms, 2023: steps of one size, by signs.

    >>> from nnkit import keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(Lion(learning_rate=0.01), loss="mse")
    >>> round(float(model.optimizer.learning_rate), 4)
    0.01
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        if not 0 < beta_1 <= 1:
            raise ValueError(f"Lion: beta_1 must be above 0 and at most 1; got {beta_1!r}")
        self.beta_1, self.beta_2 = beta_1, beta_2
        super().__init__(learning_rate, {"betas": (beta_1, beta_2)}, options)

    def formulas(self, options: Mapping[str, Any]) -> tuple[Formula, Formula]:
        return keras_updates.keras_lion_rates, further_updates.lion

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2}


class _OfWholeWeights(Optimizer):
    """An optimizer whose step of an element depends on the whole weight: made of ops, not of a formula."""

    @no_grad()
    def _update(self) -> None:
        for group in self.param_groups:
            rate, decay = group["lr"], group["weight_decay"]
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is None:
                    continue
                kept = self.state[parameter]
                if "step" not in kept:
                    kept["step"] = zeros(1, dtype=parameter.dtype, device=parameter.device)
                kept["step"].add_(1.0)
                if decay:
                    parameter.mul_(1.0 - rate * decay)
                self._change(parameter, gradient, kept, rate, ops.reshape(kept["step"], ()))

    @property
    def iterations(self) -> int:
        if not self.built:
            return 0
        return max((int(kept["step"].item()) for kept in self.state.values() if "step" in kept), default=0)

    def _change(self, parameter: Tensor, gradient: Tensor, kept: dict[str, Tensor], rate: float, step: Tensor) -> None:
        raise NotImplementedError

    def _held(self, kept: dict[str, Tensor], name: str, like: Tensor) -> Tensor:
        if name not in kept:
            kept[name] = like * 0.0
        return kept[name]


class Lamb(_OfWholeWeights):
    """You et al., Large Batch Optimization for Deep Learning, 2020: Adam's step, as long as the weight is.

    >>> from nnkit import keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(Lamb(learning_rate=0.01), loss="mse")
    >>> round(float(model.optimizer.learning_rate), 4)
    0.01
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon
        super().__init__(learning_rate, {}, options)

    def _change(self, parameter: Tensor, gradient: Tensor, kept: dict[str, Tensor], rate: float, step: Tensor) -> None:
        average, square = (self._held(kept, name, gradient) for name in ("exp_avg", "exp_avg_sq"))
        average.add_((gradient - average) * (1.0 - self.beta_1))
        square.add_((gradient * gradient - square) * (1.0 - self.beta_2))
        first, second = (1.0 - ops.pow(beta, step) for beta in (self.beta_1, self.beta_2))
        change = average / first / (ops.sqrt(square / second) + self.epsilon)
        weight, length = (ops.sqrt(ops.sum(x * x)) for x in (parameter, change))
        known = ops.logical_and(weight > 0.0, length > 0.0)
        parameter.sub_(ops.where(known, weight / ops.where(known, length, 1.0), 1.0) * rate * change)

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("beta_1", "beta_2", "epsilon")}
        return {**super().get_config(), **own}


class Adafactor(_OfWholeWeights):
    """Shazeer and Stern, Adafactor: Adaptive Learning Rates with Sublinear Memory Cost, 2018.

    Args:
        learning_rate: a number, a schedule, or a function without arguments.
        beta_2_decay: how the share of the newest squared gradient falls with the steps.
        epsilon_1: added to squared gradients. epsilon_2: the least size of a weight.
        clip_threshold: the largest root mean square of a step.
        relative_step: with a number as rate, let it fall as 1 / sqrt(steps).
        options: see :class:`Optimizer`.

    >>> from nnkit import keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(Adafactor(learning_rate=0.01), loss="mse")
    >>> round(float(model.optimizer.learning_rate), 4)
    0.01
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta_2_decay: float = -0.8,
        epsilon_1: float = 1e-30,
        epsilon_2: float = 1e-3,
        clip_threshold: float = 1.0,
        relative_step: bool = True,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        self.beta_2_decay, self.epsilon_1, self.epsilon_2 = beta_2_decay, epsilon_1, epsilon_2
        self.clip_threshold, self.relative_step = clip_threshold, relative_step
        super().__init__(learning_rate, {}, options)

    def _change(self, parameter: Tensor, gradient: Tensor, kept: dict[str, Tensor], rate: float, step: Tensor) -> None:
        # Keras's rate: the falling one is the lesser of two, so ``relative_step`` makes no difference.
        falling = ops.clamp(ops.rsqrt(step), max=rate)
        alpha = ops.clamp(_size(parameter), min=self.epsilon_2) * falling
        square = gradient * gradient + self.epsilon_1
        old = 1.0 - ops.pow(step, self.beta_2_decay)
        if parameter.ndim < 2:
            variance = self._mixed(kept, "exp_avg_sq", square, old)
        else:
            row, column = _last_two(parameter)
            rows = self._mixed(kept, "rows", ops.mean(square, column, True), old)
            columns = self._mixed(kept, "columns", ops.mean(square, row, True), old)
            variance = rows / ops.mean(rows, row, True) * columns
        change = gradient / ops.sqrt(variance)
        parameter.sub_(alpha * change / ops.clamp(_size(change) / self.clip_threshold, min=1.0))

    def _mixed(self, kept: dict[str, Tensor], name: str, new: Tensor, share: Tensor) -> Tensor:
        average = self._held(kept, name, new)
        average.copy_(share * average + (1.0 - share) * new)
        return average

    def get_config(self) -> dict[str, Any]:
        names = ("beta_2_decay", "epsilon_1", "epsilon_2", "clip_threshold", "relative_step")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _size(x: Tensor) -> Tensor:
    """The root mean square."""
    return ops.sqrt(ops.mean(x * x))


def _last_two(parameter: Tensor) -> tuple[int, int]:
    """The axes that are Keras's last two: of a kernel of nnkit's (filters, channels, *size) channels and filters."""
    of_windows = parameter.ndim > 2 and not hasattr(parameter, "assign")
    return (1, 0) if of_windows else (parameter.ndim - 2, parameter.ndim - 1)
