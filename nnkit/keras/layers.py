"""The layers, with Keras's argument names and defaults, over the modules of ``nnkit.nn``.

``Dense`` keeps its matrix as ``nn.Linear`` does, outputs by inputs, and shows it as Keras does, inputs by
outputs: ``kernel``, ``get_weights`` and ``set_weights``. Definitions: ``keras.layers``.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from typing import Any, Unpack

from nnkit import nn, ops
from nnkit.errors import ShapeError
from nnkit.keras import activations, constraints, initializers, regularizers
from nnkit.keras.activation_layers import ELU, Activation, LeakyReLU, ReLU, Softmax
from nnkit.keras.arguments import in_layout, positive, refuse
from nnkit.keras.attention import AdditiveAttention, Attention, MultiHeadAttention
from nnkit.keras.augmentation import (
    RandomContrast,
    RandomFlip,
    RandomRotation,
    RandomTranslation,
    RandomZoom,
    Rescaling,
)
from nnkit.keras.convolution import Conv1D, Conv2D, Conv3D
from nnkit.keras.embedding import Embedding, Masking
from nnkit.keras.input_layer import Input, InputLayer
from nnkit.keras.lambda_layer import Lambda
from nnkit.keras.layer import Layer, LayerOptions, SameShape, Shape
from nnkit.keras.layer_families import TOLD
from nnkit.keras.logits import with_logits
from nnkit.keras.merging import (
    Add,
    Average,
    Concatenate,
    Dot,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
    add,
    average,
    concatenate,
    dot,
    maximum,
    minimum,
    multiply,
    subtract,
)
from nnkit.keras.more_convolutions import (
    Conv1DTranspose,
    Conv2DTranspose,
    Conv3DTranspose,
    DepthwiseConv1D,
    DepthwiseConv2D,
    SeparableConv1D,
    SeparableConv2D,
)
from nnkit.keras.naming import configured
from nnkit.keras.normalization import (
    BatchNormalization,
    GroupNormalization,
    LayerNormalization,
    RMSNormalization,
    UnitNormalization,
)
from nnkit.keras.places import known_format
from nnkit.keras.pooling import (
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    AvgPool1D,
    AvgPool2D,
    AvgPool3D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAvgPool1D,
    GlobalAvgPool2D,
    GlobalMaxPool1D,
    GlobalMaxPool2D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    MaxPool1D,
    MaxPool2D,
    MaxPool3D,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
)
from nnkit.keras.recurrent import GRU, LSTM, SimpleRNN
from nnkit.keras.reshaping import (
    Cropping1D,
    Cropping2D,
    SpatialDropout1D,
    SpatialDropout2D,
    UpSampling1D,
    UpSampling2D,
    ZeroPadding1D,
    ZeroPadding2D,
)
from nnkit.keras.standardizing import Normalization
from nnkit.keras.texts import StringLookup, TextVectorization
from nnkit.keras.told import tell
from nnkit.keras.wrappers import Bidirectional, TimeDistributed
from nnkit.nn.skipping import are_skipped
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor

# fmt: off
__all__ = [
    "Activation", "Add", "AdditiveAttention", "Attention", "Average", "AveragePooling1D", "AveragePooling2D",
    "AveragePooling3D", "AvgPool1D", "AvgPool2D", "AvgPool3D", "BatchNormalization", "Bidirectional", "Concatenate",
    "Conv1D", "Conv1DTranspose", "Conv2D", "Conv2DTranspose", "Conv3D", "Conv3DTranspose", "Convolution1D",
    "Convolution1DTranspose", "Convolution2D", "Convolution2DTranspose", "Convolution3D", "Cropping1D", "Cropping2D",
    "Dense", "DepthwiseConv1D", "DepthwiseConv2D", "Dot", "Dropout", "ELU", "Embedding", "Flatten", "GRU",
    "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAvgPool1D", "GlobalAvgPool2D", "GlobalMaxPool1D",
    "GlobalMaxPool2D", "GlobalMaxPooling1D", "GlobalMaxPooling2D", "GroupNormalization", "Identity", "Input",
    "InputLayer", "LSTM", "Lambda", "Layer", "LayerNormalization", "LeakyReLU", "Masking", "MaxPool1D", "MaxPool2D",
    "MaxPool3D", "MaxPooling1D", "MaxPooling2D", "MaxPooling3D", "Maximum", "Minimum", "MultiHeadAttention",
    "Multiply", "Normalization", "RMSNormalization", "RandomContrast", "RandomFlip", "RandomRotation",
    "RandomTranslation", "RandomZoom", "ReLU", "Rescaling", "Reshape", "SeparableConv1D", "SeparableConv2D",
    "SeparableConvolution1D", "SeparableConvolution2D", "SimpleRNN", "Softmax", "SpatialDropout1D", "SpatialDropout2D",
    "StringLookup", "Subtract", "TextVectorization", "TimeDistributed", "UnitNormalization", "UpSampling1D",
    "UpSampling2D", "ZeroPadding1D", "ZeroPadding2D", "add", "average", "concatenate", "dot", "maximum", "minimum",
    "multiply", "subtract",
]
# fmt: on


class Dense(Layer):
    """``activation(x @ kernel + bias)``: input (…, features) to output (…, units).

    Args:
        units: the number of outputs, 1 or more.
        activation: a name, a function of a Tensor, or None for none.
        use_bias: whether to add a bias.
        kernel_initializer, bias_initializer: names or initializers of the first weights.
        kernel_regularizer, bias_regularizer: names, regularizers, or None.
        kernel_constraint, bias_constraint: names, constraints, or None.
        activity_regularizer: a name, a regularizer or None: what outputs add to the loss, divided by the batch size.
        options: ``name``, ``trainable``, ``input_shape`` or ``input_dim``.

    >>> layer = Dense(2, kernel_initializer="ones", name="sums")
    >>> layer([[1.0, 2.0, 3.0]]).tolist(), layer.kernel.shape
    ([[6.0, 6.0]], (3, 2))
    """

    supports_masking = True

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **options)
        self.units = positive("Dense", "units", units)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def build(self, input_shape: Shape) -> None:
        features = input_shape[-1] if len(input_shape) > 1 else None
        if features is None:
            raise ShapeError(
                f"Dense layer {self.name!r} needs inputs of shape (batch, …, features) with a known number "
                f"of features; got {tuple(input_shape)}"
            )
        self.linear = nn.Linear(features, self.units, bias=self.use_bias)
        if not are_skipped():
            self._draw(features)
        if self.kernel_regularizer is not None:
            self.linear.regularizers["weight"] = in_layout(self.kernel_regularizer, lambda weight: weight.T)
        if self.bias_regularizer is not None and self.use_bias:
            self.linear.regularizers["bias"] = self.bias_regularizer
        constraints.constrain(self.linear, "weight", self.kernel_constraint, lambda weight: weight.T)
        constraints.constrain(self.linear, "bias", self.bias_constraint)

    def _draw(self, features: int) -> None:
        """Give the weights their initial values."""
        with no_grad():
            if self.kernel_initializer is not None:
                self.linear.weight.copy_(self.kernel_initializer((features, self.units)).T)
            if self.linear.bias is not None and self.bias_initializer is not None:
                self.linear.bias.copy_(self.bias_initializer((self.units,)))

    def call(self, inputs: Tensor) -> Tensor:
        if not self.is_hidden and self.activation in (activations.sigmoid, activations.softmax):
            logits = self.linear.activated(inputs, None)
            return with_logits(self.activation(logits), logits, self.activation.__name__)
        return self.linear.activated(inputs, activations.core_form(self.activation))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.units)

    def layout_of(self, weight: Tensor) -> Callable[[Tensor], Tensor] | None:
        return (lambda tensor: tensor.T) if weight.ndim == 2 else None

    @property
    def kernel(self) -> Any:
        """The matrix, inputs by outputs: a variable in the layer's memory."""
        self.require_built()
        return self.shown(self.linear, "weight")

    @property
    def bias(self) -> Any:
        """The bias, of shape (units,), or None: a variable in the layer's memory."""
        self.require_built()
        return self.shown(self.linear, "bias")

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": activations.serialize(self.activation) or self.activation,
            "use_bias": self.use_bias,
            "kernel_initializer": configured(self.kernel_initializer),
            "bias_initializer": configured(self.bias_initializer),
            "kernel_regularizer": configured(self.kernel_regularizer),
            "bias_regularizer": configured(self.bias_regularizer),
            "kernel_constraint": configured(self.kernel_constraint),
            "bias_constraint": configured(self.bias_constraint),
        }


class Dropout(SameShape):
    """While training, sets a ``rate`` of the elements to 0 and divides the others by ``1 - rate``.

    Args:
        rate: the share to drop, from 0 to 1.
        noise_shape: not supported; anything but None is refused.
        seed: accepted; the masks come from nnkit's random stream, which ``keras.utils.set_random_seed`` starts.

    >>> import nnkit
    >>> Dropout(0.5)(nnkit.ones(1, 3), training=False).tolist()
    [[1.0, 1.0, 1.0]]
    """

    supports_masking = True

    def __init__(
        self, rate: float, noise_shape: None = None, seed: int | None = None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**options)
        refuse("Dropout", noise_shape=noise_shape)
        if not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
            raise ValueError(f"Dropout: rate must be a number from 0 to 1; got {rate!r}")
        self.rate, self.seed = rate, seed

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        return ops.dropout(inputs, self.rate) if training and self.rate > 0 else inputs

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


class Flatten(Layer):
    """Each sample as a vector: (batch, a, b, …) to (batch, a·b·…), its last axis fastest.

    With ``data_format="channels_first"`` the channels, axis 1, become the last axis before.

    >>> Flatten()([[[1.0, 2.0], [3.0, 4.0]]]).tolist(), Flatten("channels_first")([[[1.0, 2.0], [3.0, 4.0]]]).tolist()
    ([[1.0, 2.0, 3.0, 4.0]], [[1.0, 3.0, 2.0, 4.0]])
    """

    def __init__(self, data_format: str | None = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.data_format = known_format(data_format)

    def call(self, inputs: Tensor) -> Tensor:
        if self.data_format == "channels_first" and inputs.ndim > 2:
            inputs = inputs.permute(0, *range(2, inputs.ndim), 1)
        return inputs.reshape(inputs.shape[0], math.prod(inputs.shape[1:]))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format}

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        sizes = input_shape[1:]
        return (input_shape[0], None if None in sizes else math.prod(s for s in sizes if s is not None))


class Reshape(Layer):
    """Each sample in the shape ``target_shape``, of which one entry may be -1: what is left over.

    >>> Reshape((2, -1)).compute_output_shape((None, 6))
    (None, 2, 3)
    """

    def __init__(self, target_shape: Sequence[int], **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.target_shape = tuple(target_shape)
        if sum(size == -1 for size in self.target_shape) > 1 or any(size < -1 for size in self.target_shape):
            raise ShapeError(
                f"Reshape: target_shape may hold positive sizes and at most one -1; got {self.target_shape}"
            )

    def call(self, inputs: Tensor) -> Tensor:
        return inputs.reshape(*self.compute_output_shape(tuple(inputs.shape)))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        sizes = input_shape[1:]
        if None in sizes:
            return (input_shape[0], *(None if size == -1 else size for size in self.target_shape))
        elements = math.prod(size for size in sizes if size is not None)
        known = math.prod(size for size in self.target_shape if size != -1)
        if elements % known if -1 in self.target_shape else elements != known:
            raise ShapeError(
                f"Reshape layer {self.name!r} cannot make samples of shape {self.target_shape} "
                f"from samples of shape {tuple(sizes)}: {elements} elements do not fit"
            )
        return (input_shape[0], *(elements // known if size == -1 else size for size in self.target_shape))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "target_shape": list(self.target_shape)}


class Identity(SameShape):
    """The input itself.

    >>> import nnkit
    >>> Identity()(nnkit.tensor([1.0, 2.0]))
    tensor([1., 2.])
    """

    supports_masking = True

    def call(self, inputs: Tensor) -> Tensor:
        return inputs


#: Keras's longer names.
Convolution1D, Convolution2D, Convolution3D = Conv1D, Conv2D, Conv3D
Convolution1DTranspose, Convolution2DTranspose = Conv1DTranspose, Conv2DTranspose
SeparableConvolution1D, SeparableConvolution2D = SeparableConv1D, SeparableConv2D
Convolution3DTranspose = Conv3DTranspose
#: Layers that other modules have, which are imported when first asked for: module -> names.
FURTHER = {
    "cells": ("GRUCell", "LSTMCell", "RNN", "SimpleRNNCell", "StackedRNNCells"),
    "categories": ("CategoryEncoding", "Discretization", "HashedCrossing", "Hashing", "IntegerLookup"),
    "conv_lstm": ("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"),
    "image_layers": ("CenterCrop", "RandomBrightness", "RandomCrop", "RandomGrayscale", "Resizing"),
    "small_layers": (
        "ActivityRegularization", "AlphaDropout", "EinsumDense", "GaussianDropout", "GaussianNoise", "PReLU",
        "Permute", "RepeatVector",
    ),
    "volume_layers": (
        "AdaptiveAveragePooling1D", "AdaptiveAveragePooling2D", "AdaptiveAveragePooling3D", "AdaptiveMaxPooling1D",
        "AdaptiveMaxPooling2D", "AdaptiveMaxPooling3D", "Cropping3D", "GlobalAveragePooling3D", "GlobalMaxPooling3D",
        "SpatialDropout3D", "UpSampling3D", "ZeroPadding3D",
    ),
}  # fmt: skip
#: The same, by name.
WHERE = {name: module for module, names in FURTHER.items() for name in names}
_SHORT = {"GlobalAvgPool3D": "GlobalAveragePooling3D", "GlobalMaxPool3D": "GlobalMaxPooling3D"}

SOURCE = "Source: ``keras.layers.{name}``."
for _name, _told in TOLD.items():
    if _name in globals():
        tell(globals(), (_name,), _told)


def __getattr__(name: str) -> Any:
    name = _SHORT.get(name, name)
    if name in WHERE:
        layer = getattr(importlib.import_module(f"nnkit.keras.{WHERE[name]}"), name)
        tell({name: layer}, (name,), TOLD.get(name, SOURCE))
        return layer
    if name == "InputSpec":
        return importlib.import_module("nnkit.keras.shape_trees").InputSpec
    if name in ("serialize", "deserialize"):
        return getattr(importlib.import_module("nnkit.keras.saving"), f"{name}_keras_object")
    raise AttributeError(f"module 'nnkit.keras.layers' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *WHERE, *_SHORT})
