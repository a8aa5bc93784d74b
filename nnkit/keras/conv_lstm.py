"""LSTM over images: products are convolutions. Shi et al., Convolutional LSTM Network, 2015."""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

from nnkit import ops
from nnkit.errors import ShapeError
from nnkit.keras import activations, constraints, initializers, regularizers
from nnkit.keras.arguments import positive, refuse
from nnkit.keras.layer import Layer, LayerOptions, Shape
from nnkit.keras.naming import configured
from nnkit.keras.ops.windows import conv
from nnkit.keras.places import known_format, known_padding, places
from nnkit.nn.sizes import numbers
from nnkit.recording.observer import call
from nnkit.tensors.creation import zeros
from nnkit.tensors.tensor import Tensor

__all__ = ["ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"]

PARTS = ("kernel", "recurrent", "bias")


class _ConvLSTM(Layer):
    """Gates in the order i, f, c, o; states h and c, images: the arguments are those of ``Conv2D`` and ``LSTM``."""

    axes: ClassVar[int]

    def __init__(  # activity_regularizer stands where Keras has it
        self, filters: int, kernel_size: Any, strides: Any = 1, padding: str = "valid", data_format: str | None = None,
        dilation_rate: Any = 1, activation: Any = "tanh", recurrent_activation: Any = "sigmoid", use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform", recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros", unit_forget_bias: bool = True, kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None, bias_regularizer: Any = None, activity_regularizer: Any = None,
        kernel_constraint: Any = None, recurrent_constraint: Any = None, bias_constraint: Any = None,
        dropout: float = 0.0, recurrent_dropout: float = 0.0, seed: int | None = None, return_sequences: bool = False,
        return_state: bool = False, go_backwards: bool = False, stateful: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        given = dict(locals())
        super().__init__(**options)
        self.activity_regularizer = regularizers.get(activity_regularizer)
        name = type(self).__name__
        refuse(name, stateful=stateful or None, dropout=dropout or None, recurrent_dropout=recurrent_dropout or None)
        self.filters = positive(name, "filters", filters)
        self.kernel_size = numbers("kernel_size", kernel_size, self.axes)
        self.strides, self.dilation_rate = (numbers(n, given[n], self.axes) for n in ("strides", "dilation_rate"))
        self.padding, self.data_format = known_padding(padding), known_format(data_format)
        self.activation, self.recurrent_activation = activations.get(activation), activations.get(recurrent_activation)
        self.use_bias, self.unit_forget_bias, self.seed = use_bias, unit_forget_bias, seed
        self.return_sequences, self.return_state, self.go_backwards = return_sequences, return_state, go_backwards
        for part in PARTS:
            for what, of in (("initializer", initializers), ("regularizer", regularizers), ("constraint", constraints)):
                setattr(self, f"{part}_{what}", of.get(given[f"{part}_{what}"]))

    def build(self, input_shape: Shape) -> None:
        channels = input_shape[-1] if self.data_format == "channels_last" else input_shape[2]
        if len(input_shape) != self.axes + 3 or channels is None:
            raise ShapeError(
                f"{type(self).__name__} layer {self.name!r} needs inputs of {self.axes + 3} axes (batch, steps, …) "
                f"with known channels; got {tuple(input_shape)}"
            )
        shapes = {
            "kernel": (*self.kernel_size, channels, 4 * self.filters),
            "recurrent": (*self.kernel_size, self.filters, 4 * self.filters), "bias": (4 * self.filters,),
        }  # fmt: skip
        self.bias = None
        for part, shape in shapes.items():
            if part == "bias" and not self.use_bias:
                continue
            name = "recurrent_kernel" if part == "recurrent" else part
            weight = self.add_weight(
                shape=shape, initializer=self._first_bias if part == "bias" else getattr(self, f"{part}_initializer"),
                regularizer=getattr(self, f"{part}_regularizer"), constraint=getattr(self, f"{part}_constraint"),
                name=name,
            )  # fmt: skip
            setattr(self, name, weight)

    def _first_bias(self, shape: Any, dtype: Any = None) -> Tensor:
        values = (self.bias_initializer or initializers.Zeros())(shape, dtype=dtype)
        if self.unit_forget_bias:
            values[self.filters : 2 * self.filters] = 1.0
        return values

    def call(self, sequences: Tensor, initial_state: Any = None) -> Any:
        batch, steps = sequences.shape[:2]
        axis = -1 if self.data_format == "channels_last" else 1
        frames = ops.reshape(sequences, (batch * steps, *sequences.shape[2:]))
        entering = conv(frames, self.kernel, self.strides, self.padding, self.data_format, self.dilation_rate)
        if self.bias is not None:
            last = [-1 if k == axis % entering.ndim else 1 for k in range(entering.ndim)]
            entering = entering + ops.reshape(self.bias, last)
        entering = ops.reshape(entering, (batch, steps, *entering.shape[1:]))
        h, c = initial_state or self._zeros(entering, axis)
        made = []
        for t in reversed(range(steps)) if self.go_backwards else range(steps):
            z = entering[:, t] + conv(h, self.recurrent_kernel, 1, "same", self.data_format)
            i, f, g, o = ops.split(z, self.filters, axis % z.ndim)
            i, f, o = (call(self.recurrent_activation, part) for part in (i, f, o))
            c = f * c + i * call(self.activation, g)
            h = o * call(self.activation, c)
            made.append(h)
        found = ops.stack(made, 1) if self.return_sequences else h
        return (found, h, c) if self.return_state else found

    def _zeros(self, entering: Tensor, axis: int) -> tuple[Tensor, Tensor]:
        shape = list(entering.shape[:1]) + list(entering.shape[2:])
        shape[axis] = self.filters
        one = zeros(*shape, dtype=entering.dtype, device=entering.device)
        return one, one

    def compute_output_shape(self, input_shape: Shape) -> Any:
        last = self.data_format == "channels_last"
        sizes = input_shape[2:-1] if last else input_shape[3:]
        found = places(self.name, sizes, self.kernel_size, self.strides, self.padding, self.dilation_rate)
        frame = (*found, self.filters) if last else (self.filters, *found)
        state = (input_shape[0], *frame)
        output = (*input_shape[:2], *frame) if self.return_sequences else state
        return (output, state, state) if self.return_state else output

    def get_config(self) -> dict[str, Any]:
        plain = ("filters", "padding", "data_format", "use_bias", "unit_forget_bias", "seed", "return_sequences",
                 "return_state", "go_backwards")  # fmt: skip
        made = [f"{part}_{what}" for what in ("initializer", "regularizer", "constraint") for part in PARTS]
        sizes = {name: list(getattr(self, name)) for name in ("kernel_size", "strides", "dilation_rate")}
        called = {
            name: activations.serialize(getattr(self, name)) or getattr(self, name)
            for name in ("activation", "recurrent_activation")
        }
        own = {name: getattr(self, name) for name in plain} | sizes | called
        return {**super().get_config(), **own, **{name: configured(getattr(self, name)) for name in made}}


class ConvLSTM1D(_ConvLSTM):
    """Of signals: (batch, steps, places, channels); see ``ConvLSTM2D``."""

    axes = 1


class ConvLSTM2D(_ConvLSTM):
    """Of images: (batch, steps, height, width, channels) -> (batch, height', width', filters), or of all steps.

    >>> import nnkit
    >>> ConvLSTM2D(4, 3, padding="same")(nnkit.zeros(2, 3, 8, 8, 1)).shape
    (2, 8, 8, 4)
    """

    axes = 2


class ConvLSTM3D(_ConvLSTM):
    """Of volumes; see ``ConvLSTM2D``."""

    axes = 3
