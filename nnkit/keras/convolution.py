"""Convolutions with Keras's arguments, defaults and weights. Definitions: ``keras.layers.Conv2D`` and its kin.

The weights are kept as ``nn.Conv2d`` keeps them, (filters, channels, *kernel), and shown as Keras shows them, (*kernel,
channels, filters): ``kernel``, ``get_weights`` and ``set_weights``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Unpack

from nnkit import nn, ops
from nnkit.errors import ShapeError
from nnkit.keras import activations, constraints, initializers, regularizers
from nnkit.keras.arguments import in_layout, positive
from nnkit.keras.layer import LayerOptions, Shape
from nnkit.keras.logits import with_logits
from nnkit.keras.naming import configured
from nnkit.keras.places import ImageLayer, known_padding, places, window_over
from nnkit.nn.sizes import Sizes, numbers
from nnkit.nn.skipping import are_skipped, skipped
from nnkit.recording.observer import call
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor

__all__ = ["Conv1D", "Conv2D", "Conv3D", "Convolution"]


class Convolution(ImageLayer):
    """What all convolutions have: windows, an activation, weights with Keras's names and axes.

    A subclass makes the modules that hold its weights (``_make``), says which initializer, regularizer and constraint
    go with each (``_kernels``), and computes (``_convolve``).
    """

    choices: ClassVar[tuple[str, ...]] = ("valid", "same")
    #: The constructor's arguments that ``get_config`` takes from attributes of the same name.
    arguments: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, kernel_size: Sizes, strides: Sizes, padding: str, data_format: str | None, dilation_rate: Sizes,
        activation: Any, use_bias: bool, bias_initializer: Any, bias_regularizer: Any, bias_constraint: Any,
        **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(data_format, **options)
        self.kernel_size = numbers("kernel_size", kernel_size, self.axes)
        self.strides = numbers("strides", strides, self.axes)
        self.padding = known_padding(padding, self.choices)
        self.dilation_rate = numbers("dilation_rate", dilation_rate, self.axes)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.bias_initializer = initializers.get(bias_initializer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.bias_constraint = constraints.get(bias_constraint)

    # ---- weights ------------------------------------------------------------------------------------------

    def _make(self, channels: int) -> None:
        raise NotImplementedError

    def _kernels(self) -> list[tuple[nn.Module, Any, Any, Any]]:
        """The modules that hold the weights, with initializer, regularizer and constraint of each one's kernel."""
        raise NotImplementedError

    def build(self, input_shape: Shape) -> None:
        channels, _ = self.parts_of(input_shape)
        if channels is None:
            raise ShapeError(
                f"{type(self).__name__} layer {self.name!r} needs a known number of channels; got {tuple(input_shape)}"
            )
        self.channels = channels
        wanted = not are_skipped()
        with skipped():
            self._make(channels)
        for module, initializer, regularizer, constraint in self._kernels():
            if wanted:
                _draw(self.keras_layout(module.weight), initializer)
                if module.bias is not None:
                    _draw(module.bias.detach(), self.bias_initializer)
            if regularizer is not None:
                module.regularizers["weight"] = in_layout(regularizer, self._laid_out)
            if module.bias is not None and self.bias_regularizer is not None:
                module.regularizers["bias"] = self.bias_regularizer
            constraints.constrain(module, "weight", constraint, self._laid_out)
            constraints.constrain(module, "bias", self.bias_constraint)

    def _laid_out(self, weight: Tensor) -> Tensor:
        """(filters, channels, *kernel) as Keras's (*kernel, channels, filters)."""
        return weight.permute(*range(2, weight.ndim), 1, 0)

    def layout_of(self, weight: Tensor) -> Callable[[Tensor], Tensor] | None:
        return None if weight.ndim == 1 else self._laid_out

    def _module(self, transposed: bool = False) -> Any:
        """PyTorch's class of this many axes."""
        return getattr(nn, f"Conv{'Transpose' * transposed}{self.axes}d")

    @property
    def bias(self) -> Tensor | None:
        """The bias, of shape (filters,), or None: a view of the layer's memory."""
        self.require_built()
        return self.shown(self._kernels()[-1][0], "bias")

    # ---- computing ----------------------------------------------------------------------------------------

    def _convolve(self, x: Tensor, activation: str | None = None, **scalars: float) -> Tensor:
        """x (B, C, *S) -> (B, filters, *places), with an activation that has a formula."""
        raise NotImplementedError

    def call(self, inputs: Tensor) -> Tensor:
        x = self.channels_first(inputs)
        if x.shape[1] != self.channels:
            raise ShapeError(
                f"{type(self).__name__} layer {self.name!r} was built for {self.channels} channels, "
                f"data_format={self.data_format!r}; got inputs of shape {inputs.shape}"
            )
        if not self.is_hidden and self.activation in (activations.sigmoid, activations.softmax):
            logits = self.as_given(self._convolve(x))
            return with_logits(self.activation(logits), logits, self.activation.__name__)
        fused = nn.activations.fused_formula(activations.core_form(self.activation))
        if fused is None:
            return call(self.activation, self.as_given(self._convolve(x)))
        formula, scalars = fused
        return self.as_given(self._convolve(x, formula, **scalars))

    def _over(self, x: Tensor) -> Any:
        return window_over(x.shape[2:], self.kernel_size, self.strides, self.padding, self.dilation_rate)

    def _places(self, sizes: Shape) -> Shape:
        name = f"{type(self).__name__} layer {self.name!r}"
        return places(name, sizes, self.kernel_size, self.strides, self.padding, self.dilation_rate)

    def _filters(self, channels: int | None) -> int | None:
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        channels, sizes = self.parts_of(input_shape)
        return self.shape_of(input_shape[0], self._filters(channels), self._places(sizes))

    def get_config(self) -> dict[str, Any]:
        shared = ("kernel_size", "strides", "padding", "dilation_rate", "use_bias")
        numbers_and_words = {name: getattr(self, name) for name in (*shared, *self.arguments)}
        made = {f"bias_{what}": getattr(self, f"bias_{what}") for what in ("initializer", "regularizer", "constraint")}
        return {
            **super().get_config(),
            "activation": activations.serialize(self.activation) or self.activation,
            **{
                name: list(value) if isinstance(value, tuple) else value if _is_plain(value) else configured(value)
                for name, value in (numbers_and_words | made).items()
            },
        }


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (int, str))


def _draw(weight: Tensor, initializer: Any) -> None:
    with no_grad():
        weight.copy_((initializer or initializers.GlorotUniform())(tuple(weight.shape)))


class _Conv(Convolution):
    arguments = ("filters", "groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint")

    def __init__(
        self, filters: int, kernel_size: Sizes, strides: Sizes = 1, padding: str = "valid",
        data_format: str | None = None, dilation_rate: Sizes = 1, groups: int = 1, activation: Any = None,
        use_bias: bool = True, kernel_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None, bias_regularizer: Any = None, activity_regularizer: Any = None,
        kernel_constraint: Any = None, bias_constraint: Any = None, **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, bias_initializer,
            bias_regularizer, bias_constraint, **options,
        )  # fmt: skip
        name = type(self).__name__
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.filters, self.groups = positive(name, "filters", filters), positive(name, "groups", groups)
        if filters % groups:
            raise ValueError(f"{name}: filters must be a multiple of groups; got {filters} and {groups}")
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)

    def _make(self, channels: int) -> None:
        if channels % self.groups:
            raise ShapeError(
                f"{type(self).__name__} layer {self.name!r}: {channels} channels are not {self.groups} equal groups; "
                "use a number of groups that divides them"
            )
        self.convolution = self._module()(
            channels, self.filters, self.kernel_size, bias=self.use_bias, groups=self.groups
        )

    def _kernels(self) -> list[tuple[nn.Module, Any, Any, Any]]:
        return [(self.convolution, self.kernel_initializer, self.kernel_regularizer, self.kernel_constraint)]

    def _convolve(self, x: Tensor, activation: str | None = None, **scalars: float) -> Tensor:
        part = self.convolution
        return ops.conv(x, part.weight, part.bias, self._over(x), self.groups, activation, **scalars)

    def _filters(self, channels: int | None) -> int | None:
        return self.filters

    @property
    def kernel(self) -> Tensor:
        """The kernel (*kernel_size, channels / groups, filters): a view of the layer's memory."""
        self.require_built()
        return self.shown(self.convolution, "weight")


class Conv1D(_Conv):
    """Cross-correlation of signals: (B, steps, channels) -> (B, steps', filters); see ``Conv2D``.

    ``padding="causal"`` too: no output sees a later input.

    >>> Conv1D(4, 3, padding="causal", dilation_rate=2).compute_output_shape((None, 9, 2))
    (None, 9, 4)
    """

    axes = 1
    choices = ("valid", "same", "causal")


class Conv2D(_Conv):
    """``activation(kernel over x + bias)``: images (B, height, width, channels) -> (B, height', width', filters).

    Args:
        filters: the number of output channels.
        kernel_size, strides, dilation_rate: one number, or one for height and one for width.
        padding: "valid" for none; "same" for zeros that make ceil(size / stride) places, the odd one at the end.
        data_format: "channels_last", or "channels_first": (B, channels, height, width).
        groups: equal parts of the channels that are convolved apart.
        activation: a name, a function of a Tensor, or None for none.
        use_bias: whether to add a bias.
        kernel_initializer, bias_initializer: names or initializers of the first weights.
        kernel_regularizer, bias_regularizer: names, regularizers, or None.
        kernel_constraint, bias_constraint: names, constraints, or None.
        activity_regularizer: a name, a regularizer or None: what outputs add to the loss, divided by the batch size.
        options: ``name``, ``trainable``, ``input_shape``.

    Raises ShapeError where the kernel reaches over more places than there are.

    >>> import nnkit
    >>> layer = Conv2D(8, 3, strides=2, padding="same", activation="relu")
    >>> layer(nnkit.zeros(5, 28, 28, 3)).shape, layer.kernel.shape
    ((5, 14, 14, 8), (3, 3, 3, 8))
    """

    axes = 2


class Conv3D(_Conv):
    """Cross-correlation of volumes: (B, depth, height, width, channels) -> (B, …, filters); see ``Conv2D``.

    >>> Conv3D(4, 2).compute_output_shape((None, 3, 4, 5, 1))
    (None, 2, 3, 4, 4)
    """

    axes = 3
