"""Small layers: axes in another order, functions as layers, noise. Keras's arguments, defaults and definitions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Unpack

from nnkit import ops
from nnkit.errors import ShapeError
from nnkit.keras import activations, constraints, initializers, regularizers
from nnkit.keras.arguments import positive
from nnkit.keras.layer import Layer, LayerOptions, SameShape, Shape
from nnkit.keras.naming import configured
from nnkit.keras.ops.products import einsum
from nnkit.recording.observer import call
from nnkit.tensors.random_tensors import rand, randn
from nnkit.tensors.tensor import Tensor

# fmt: off
__all__ = [
    "ActivityRegularization", "AlphaDropout", "EinsumDense", "GaussianDropout", "GaussianNoise", "PReLU",
    "Permute", "RepeatVector",
]
# fmt: on


class Permute(Layer):
    """The axes of each sample in another order; ``dims`` counts them from 1.

    >>> Permute((2, 1))([[[1.0, 2.0, 3.0]]]).tolist()
    [[[1.0], [2.0], [3.0]]]
    """

    def __init__(self, dims: Sequence[int], **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(f"Permute: dims must be 1 to {len(self.dims)} in some order; got {self.dims}")

    def call(self, inputs: Tensor) -> Tensor:
        return inputs.permute(0, *self.dims)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], *(input_shape[k] for k in self.dims))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dims": list(self.dims)}


class RepeatVector(Layer):
    """(batch, features) -> (batch, n, features).

    >>> RepeatVector(2)([[1.0, 2.0]]).tolist()
    [[[1.0, 2.0], [1.0, 2.0]]]
    """

    def __init__(self, n: int, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.n = positive("RepeatVector", "n", n)

    def call(self, inputs: Tensor) -> Tensor:
        if inputs.ndim != 2:
            raise ShapeError(f"RepeatVector needs inputs (batch, features); got {tuple(inputs.shape)}")
        return ops.repeat_interleave(ops.unsqueeze(inputs, 1), self.n, 1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], self.n, *input_shape[1:])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "n": self.n}


class ActivityRegularization(SameShape):
    """Passes on its input, whose size is a part of the loss: ``l1`` times the sum of |x|, ``l2`` times that of x²."""

    supports_masking = True

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.activity_regularizer = regularizers.L1L2(l1, l2)
        self.l1, self.l2 = l1, l2

    def call(self, inputs: Tensor) -> Tensor:
        return inputs

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("activity_regularizer", None)
        return {**config, "l1": self.l1, "l2": self.l2}


# ---- noise ----------------------------------------------------------------------------------------------------------


class GaussianNoise(SameShape):
    """While training, adds normal numbers with this standard deviation.

    >>> GaussianNoise(0.5)([[1.0]]).tolist()
    [[1.0]]
    """

    supports_masking = True

    def __init__(self, stddev: float, seed: int | None = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        if not 0 <= stddev <= 1:
            raise ValueError(f"GaussianNoise: stddev must be a number from 0 to 1; got {stddev!r}")
        self.stddev, self.seed = stddev, seed

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        if not training or self.stddev == 0:
            return inputs
        return inputs + randn(*inputs.shape, dtype=inputs.dtype, device=inputs.device) * self.stddev

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "stddev": self.stddev, "seed": self.seed}


class _Rated(SameShape):
    supports_masking = True

    def __init__(self, rate: float, seed: int | None = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        if not 0 <= rate <= 1:
            raise ValueError(f"{type(self).__name__}: rate must be a number from 0 to 1; got {rate!r}")
        self.rate, self.seed = rate, seed

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


class GaussianDropout(_Rated):
    """While training, multiplies by normal numbers around 1 with the deviation sqrt(rate / (1 - rate)).

    Srivastava et al., Dropout, 2014, section 10.
    """

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        if not training or self.rate == 0:
            return inputs
        deviation = math.sqrt(self.rate / (1.0 - self.rate))
        return inputs * (randn(*inputs.shape, dtype=inputs.dtype, device=inputs.device) * deviation + 1.0)


class AlphaDropout(_Rated):
    """While training, sets a share to SELU's least value, and keeps mean and variance. Klambauer et al., 2017."""

    LEAST = -1.6732632423543772 * 1.0507009873554805

    def __init__(
        self, rate: float, noise_shape: Any = None, seed: int | None = None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(rate, seed, **options)
        self.noise_shape = noise_shape

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        if not training or self.rate == 0:
            return inputs
        shape = inputs.shape if self.noise_shape is None else [
            n if size is None else size for n, size in zip(inputs.shape, self.noise_shape, strict=True)
        ]  # fmt: skip
        kept = rand(*shape, dtype=inputs.dtype, device=inputs.device) >= self.rate
        scale = ((1.0 - self.rate) * (1.0 + self.rate * self.LEAST**2)) ** -0.5
        return ops.where(kept, inputs, self.LEAST) * scale - scale * self.LEAST * self.rate

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "noise_shape": self.noise_shape}


# ---- with weights ---------------------------------------------------------------------------------------------------


class PReLU(SameShape):
    """x above 0, and ``alpha`` times it below, with a weight alpha for each element of a sample.

    ``shared_axes`` are those along which one weight serves all. He et al., Delving Deep into Rectifiers, 2015.
    """

    supports_masking = True

    def __init__(
        self, alpha_initializer: Any = "Zeros", alpha_regularizer: Any = None, alpha_constraint: Any = None,
        shared_axes: Any = None, **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(**options)
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.alpha_constraint = constraints.get(alpha_constraint)
        shared = () if shared_axes is None else shared_axes
        self.shared_axes = [shared] if isinstance(shared, int) else list(shared)

    def build(self, input_shape: Shape) -> None:
        shape = [1 if axis in self.shared_axes else n for axis, n in enumerate(input_shape)][1:]
        self.alpha = self.add_weight(
            shape=[n or 1 for n in shape], initializer=self.alpha_initializer, regularizer=self.alpha_regularizer,
            constraint=self.alpha_constraint, name="alpha",
        )  # fmt: skip

    def call(self, inputs: Tensor) -> Tensor:
        return ops.clamp(inputs, min=0.0) + self.alpha * ops.clamp(inputs, max=0.0)

    def get_config(self) -> dict[str, Any]:
        own = {name: configured(getattr(self, name)) for name in (
            "alpha_initializer", "alpha_regularizer", "alpha_constraint")}  # fmt: skip
        return {**super().get_config(), **own, "shared_axes": self.shared_axes or None}


class EinsumDense(Layer):
    """``activation(einsum(equation, x, kernel) + bias)``.

    Args:
        equation: as ``"abc,cd->abd"``; "..." for axes that may be any number.
        output_shape: the output's sizes without the batch; None for what the input says.
        activation: a name, a function, or None.
        bias_axes: the letters of the output that the bias has, or None for no bias.
        kernel_initializer, bias_initializer: names or initializers; so with ``_regularizer`` and ``_constraint``.

    >>> import nnkit
    >>> layer = EinsumDense("abc,cd->abd", output_shape=(None, 5), bias_axes="d")
    >>> layer(nnkit.zeros(2, 3, 4)).shape, layer.kernel.shape, layer.bias.shape
    ((2, 3, 5), (4, 5), (5,))
    """

    def __init__(
        self, equation: str, output_shape: Any, activation: Any = None, bias_axes: str | None = None,
        kernel_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros", kernel_regularizer: Any = None,
        bias_regularizer: Any = None, kernel_constraint: Any = None, bias_constraint: Any = None,
        **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(**options)
        self.equation, self.bias_axes = equation, bias_axes
        self.partial_output_shape = (output_shape,) if isinstance(output_shape, int) else tuple(output_shape)
        self.activation = activations.get(activation)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def _letters(self, rank: int) -> tuple[str, str, str]:
        """The letters of input, kernel and output, with others in the place of "..."."""
        sides, output = self.equation.replace(" ", "").split("->")
        left, kernel = sides.split(",")
        if "..." in left or "..." in output:
            free = "".join(c for c in "zyxwvutsrqp" if c not in self.equation)
            more = free[: rank - len(left.replace("...", ""))]
            left, output = left.replace("...", more), output.replace("...", more)
        return left, kernel, output

    def build(self, input_shape: Shape) -> None:
        left, kernel, output = self._letters(len(input_shape))
        sizes: dict[str, int | None] = dict(zip(left, input_shape, strict=True))
        known = self.partial_output_shape
        behind = output[len(output) - len(known) :]
        for letter, size in zip(behind, known, strict=True):
            sizes[letter] = size if size is not None else sizes.get(letter)
        missing = [c for c in kernel if sizes.get(c) is None]
        if missing:
            raise ShapeError(f"EinsumDense {self.name!r}: the size of {missing[0]!r} in {self.equation!r} is not known")
        shape = [int(sizes[c] or 0) for c in kernel]
        self.kernel = self.add_weight(
            shape=shape, initializer=self.kernel_initializer, regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint, name="kernel",
        )  # fmt: skip
        self.bias = None
        if self.bias_axes:
            first = min(output.index(c) for c in self.bias_axes)
            bias_shape = [int(sizes[c] or 0) if c in self.bias_axes else 1 for c in output[first:]]
            self.bias = self.add_weight(
                shape=bias_shape, initializer=self.bias_initializer, regularizer=self.bias_regularizer,
                constraint=self.bias_constraint, name="bias",
            )  # fmt: skip

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        left, _, output = self._letters(len(input_shape))
        sizes: dict[str, int | None] = dict(zip(left, input_shape, strict=True))
        known = self.partial_output_shape
        for letter, size in zip(output[len(output) - len(known) :], known, strict=True):
            sizes[letter] = size if size is not None else sizes.get(letter)
        return tuple(sizes.get(letter) for letter in output)

    def call(self, inputs: Tensor) -> Tensor:
        left, kernel, output = self._letters(inputs.ndim)
        y = einsum(f"{left},{kernel}->{output}", inputs, self.kernel)
        return call(self.activation, y if self.bias is None else y + self.bias)

    def get_config(self) -> dict[str, Any]:
        made = [
            f"{part}_{what}" for part in ("kernel", "bias") for what in ("initializer", "regularizer", "constraint")
        ]
        return {
            **super().get_config(), "equation": self.equation, "output_shape": list(self.partial_output_shape),
            "activation": activations.serialize(self.activation) or self.activation, "bias_axes": self.bias_axes,
            **{name: configured(getattr(self, name)) for name in made},
        }  # fmt: skip
