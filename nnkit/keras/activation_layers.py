"""Activations as layers of their own, with Keras's argument names and defaults. Definitions: ``keras.layers``."""

from __future__ import annotations

from typing import Any, Unpack

from nnkit.keras import activations
from nnkit.keras.layer import LayerOptions, SameShape
from nnkit.keras.logits import with_logits
from nnkit.recording.observer import call
from nnkit.tensors.tensor import Tensor

__all__ = ["ELU", "Activation", "LeakyReLU", "ReLU", "Softmax"]


class Activation(SameShape):
    """An activation as a layer of its own: ``Activation("relu")``.

    >>> import nnkit
    >>> Activation("relu")(nnkit.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    supports_masking = True

    def __init__(self, activation: Any, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.activation = activations.get(activation)

    def call(self, inputs: Tensor) -> Tensor:
        output = call(self.activation, inputs)
        if not self.is_hidden and self.activation in (activations.sigmoid, activations.softmax):
            return with_logits(output, inputs, self.activation.__name__)
        return output

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": activations.serialize(self.activation) or self.activation}


class ReLU(SameShape):
    """``max(x, 0)``, or with a slope below ``threshold`` and a ceiling at ``max_value``.

    >>> import nnkit
    >>> ReLU(max_value=1.5)(nnkit.tensor([-1.0, 1.0, 2.0]))
    tensor([0. , 1. , 1.5])
    """

    supports_masking = True

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        if negative_slope < 0 or threshold < 0 or (max_value is not None and max_value < 0):
            raise ValueError(
                "ReLU: max_value, negative_slope and threshold must not be negative; "
                f"got {max_value}, {negative_slope}, {threshold}"
            )
        self.max_value, self.negative_slope, self.threshold = max_value, negative_slope, threshold

    def call(self, inputs: Tensor) -> Tensor:
        return activations.relu(inputs, self.negative_slope, self.max_value, self.threshold)

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("max_value", "negative_slope", "threshold")}
        return {**super().get_config(), **own}


class LeakyReLU(SameShape):
    """``x`` where positive, else ``negative_slope * x``, 0.3 by default (the function of this name: 0.2).

    >>> import nnkit
    >>> LeakyReLU()(nnkit.tensor([-1.0, 2.0]))
    tensor([-0.3,  2. ])
    """

    supports_masking = True

    def __init__(
        self, negative_slope: float = 0.3, alpha: float | None = None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**options)
        self.negative_slope = negative_slope if alpha is None else alpha  # its older name

    def call(self, inputs: Tensor) -> Tensor:
        return activations.leaky_relu(inputs, self.negative_slope)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "negative_slope": self.negative_slope}


class ELU(SameShape):
    """``x`` where positive, else ``alpha * (exp(x) - 1)``.

    >>> import nnkit
    >>> ELU()(nnkit.tensor([-100.0, 2.0]))
    tensor([-1.,  2.])
    """

    supports_masking = True

    def __init__(self, alpha: float = 1.0, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.alpha = alpha

    def call(self, inputs: Tensor) -> Tensor:
        return activations.elu(inputs, self.alpha)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alpha": self.alpha}


class Softmax(SameShape):
    """Non-negative numbers that sum to 1 along ``axis``.

    >>> import nnkit
    >>> Softmax()(nnkit.tensor([0.0, 0.0]))
    tensor([0.5, 0.5])
    """

    supports_masking = True

    def __init__(self, axis: int = -1, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.axis = axis

    def call(self, inputs: Tensor) -> Tensor:
        output = activations.softmax(inputs, self.axis)
        return with_logits(output, inputs, "softmax") if self.axis == -1 and not self.is_hidden else output

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}
