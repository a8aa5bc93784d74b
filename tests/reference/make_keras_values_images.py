"""What Keras computes for the layers of images, stored in ``keras_images_values.npz``.

A case is the text of a layer and the shape of its input; the text is the same in both libraries. Keras's backend is JAX
here, whose convolutions pad as TensorFlow's do (Keras's PyTorch backend shifts some transposed ones by a place).
Run it where Keras and JAX are installed: ``python tests/reference/make_keras_values_images.py``.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np

VALUES = Path(__file__).with_name("keras_images_values.npz")

Shape = tuple[int, ...]
FIRST = "data_format='channels_first'"
#: The text of a layer -> shapes of inputs.
CASES: dict[str, tuple[Shape, ...]] = {
    # ---- convolutions: even and odd sizes and kernels, both data formats, strides of 2 with "same"
    "Conv1D(4, 3)": ((2, 9, 3),),
    "Conv1D(4, 2, strides=2, padding='same', activation='tanh')": ((2, 7, 2), (2, 8, 2)),
    "Conv1D(4, 3, padding='causal', dilation_rate=2)": ((2, 7, 2),),
    "Conv1D(6, 3, strides=2, padding='causal', groups=2)": ((2, 8, 4),),
    f"Conv1D(4, 3, padding='same', {FIRST})": ((2, 3, 8),),
    "Conv2D(5, 3)": ((2, 6, 7, 1), (0, 6, 7, 1)),
    "Conv2D(5, 1, use_bias=False)": ((2, 4, 3, 3),),
    "Conv2D(5, 1, strides=3, padding='same')": ((2, 7, 8, 3),),
    "Conv2D(3, 3, padding='same', activation='relu')": ((2, 5, 6, 2),),
    "Conv2D(3, 3, strides=2, padding='same')": ((2, 5, 6, 2), (2, 6, 5, 2), (2, 8, 8, 1)),
    "Conv2D(3, (2, 4), padding='same', activation='gelu')": ((2, 5, 6, 2),),
    "Conv2D(3, (2, 4), strides=(2, 3), padding='same')": ((2, 5, 6, 2), (2, 6, 7, 2)),
    "Conv2D(3, (3, 2), padding='same', dilation_rate=(2, 3))": ((2, 7, 6, 2),),
    "Conv2D(3, 3, dilation_rate=2)": ((2, 7, 6, 2),),
    "Conv2D(6, 3, strides=2, groups=2, activation='sigmoid')": ((2, 7, 7, 4),),
    "Conv2D(3, 3, padding='same', activation='softmax')": ((2, 4, 4, 2),),
    f"Conv2D(3, 3, strides=2, padding='same', {FIRST})": ((2, 2, 6, 5),),
    f"Conv2D(4, 2, groups=2, activation='relu', {FIRST})": ((2, 4, 5, 5),),
    f"Conv2D(3, 3, activation='softmax', {FIRST})": ((2, 2, 4, 5),),
    "Conv3D(3, (2, 3, 2), strides=(1, 2, 1), padding='same')": ((2, 3, 4, 5, 2),),
    "DepthwiseConv1D(3, strides=2, padding='same', depth_multiplier=2)": ((2, 8, 3),),
    "DepthwiseConv2D(3, activation='relu')": ((2, 5, 6, 3),),
    "DepthwiseConv2D((3, 2), strides=2, padding='same', depth_multiplier=2)": ((2, 6, 6, 3), (2, 5, 5, 3)),
    f"DepthwiseConv2D(2, padding='same', dilation_rate=2, {FIRST})": ((2, 3, 5, 6),),
    "SeparableConv1D(4, 3, padding='same', depth_multiplier=2)": ((2, 7, 3),),
    "SeparableConv1D(4, 3, strides=2)": ((2, 7, 3),),
    "SeparableConv2D(4, 3, activation='tanh')": ((2, 5, 6, 3),),
    "SeparableConv2D(4, 2, strides=2, padding='same', depth_multiplier=3)": ((2, 5, 6, 2), (2, 5, 6, 1)),
    "SeparableConv2D(3, 1)": ((2, 3, 3, 1),),
    f"SeparableConv2D(4, 3, use_bias=False, {FIRST})": ((2, 3, 5, 6),),
    "Conv1DTranspose(4, 3, strides=2, padding='same')": ((2, 5, 3),),
    "Conv2DTranspose(3, 3)": ((2, 4, 5, 2),),
    "Conv2DTranspose(3, 3, strides=2, activation='relu')": ((2, 4, 5, 2),),
    "Conv2DTranspose(3, 3, strides=2, padding='same')": ((2, 4, 5, 2),),
    "Conv2DTranspose(3, (2, 4), strides=2, padding='same')": ((2, 4, 5, 2),),
    "Conv2DTranspose(3, (2, 3), padding='same')": ((2, 4, 5, 2),),
    "Conv2DTranspose(3, 2, strides=3)": ((2, 4, 5, 2),),
    "Conv2DTranspose(3, 2, strides=3, padding='same')": ((2, 4, 5, 2),),
    "Conv2DTranspose(3, (5, 4), strides=(3, 2), padding='same', output_padding=1)": ((2, 4, 5, 2),),
    "Conv2DTranspose(3, 3, strides=2, output_padding=1)": ((2, 4, 5, 2),),
    "Conv2DTranspose(3, 3, padding='same', dilation_rate=2, use_bias=False)": ((2, 4, 5, 2),),
    f"Conv2DTranspose(3, 3, strides=2, padding='same', {FIRST})": ((2, 2, 4, 5),),
    # ---- pools
    "MaxPooling1D(3, strides=2, padding='same')": ((2, 7, 3), (2, 8, 3)),
    "MaxPooling2D()": ((2, 6, 7, 3),),
    "MaxPooling2D(3, strides=2, padding='same')": ((2, 6, 7, 3),),
    "MaxPooling2D((2, 3), strides=1, padding='same')": ((2, 5, 6, 3),),
    f"MaxPool2D(2, padding='same', {FIRST})": ((2, 3, 5, 6),),
    "MaxPooling3D(2)": ((1, 4, 4, 5, 2),),
    "AveragePooling1D(2, padding='same')": ((2, 7, 3),),
    "AveragePooling2D(2)": ((2, 6, 7, 3),),
    "AveragePooling2D(3, strides=2, padding='same')": ((2, 6, 7, 3),),
    f"AvgPool2D((2, 4), strides=(1, 2), padding='same', {FIRST})": ((2, 3, 5, 6),),
    "AveragePooling3D(2, padding='same')": ((1, 3, 4, 5, 2),),
    "GlobalAveragePooling1D()": ((2, 5, 3),),
    "GlobalAveragePooling2D(keepdims=True)": ((2, 5, 4, 3),),
    f"GlobalAvgPool2D({FIRST})": ((2, 3, 5, 4),),
    "GlobalMaxPooling1D(keepdims=True)": ((2, 5, 3),),
    "GlobalMaxPool2D()": ((2, 5, 4, 3),),
    f"GlobalMaxPooling2D(keepdims=True, {FIRST})": ((2, 3, 5, 4),),
    "Flatten()": ((2, 3, 4, 5),),
    f"Flatten({FIRST})": ((2, 3, 4, 5),),
    # ---- normalization
    "BatchNormalization()": ((4, 3), (2, 5, 3), (2, 3, 4, 3)),
    "BatchNormalization(axis=1, momentum=0.7, epsilon=0.1)": ((2, 3, 4, 5),),
    "BatchNormalization(axis=2, scale=False)": ((2, 3, 4, 5),),
    "BatchNormalization(center=False)": ((2, 3, 4, 2),),
    "BatchNormalization(trainable=False)": ((2, 3, 4, 2),),
    "LayerNormalization()": ((3, 7), (2, 3, 7)),
    "LayerNormalization(axis=1, epsilon=0.1)": ((2, 3, 4, 2),),
    "LayerNormalization(axis=[3, 1], center=False)": ((2, 3, 4, 2),),
    "LayerNormalization(axis=[1, 2, 3], scale=False)": ((2, 3, 4, 2),),
    "GroupNormalization(2)": ((2, 3, 4, 6), (3, 4)),
    "GroupNormalization(-1, axis=1, epsilon=0.1)": ((2, 3, 4, 5),),
    "GroupNormalization(3, axis=1, scale=False)": ((2, 6, 4, 2),),
    "RMSNormalization()": ((2, 3, 7),),
    "RMSNormalization(axis=[1, 2], epsilon=0.1)": ((2, 3, 4),),
    "UnitNormalization()": ((2, 3, 4),),
    "UnitNormalization(axis=[1, 2])": ((2, 3, 4, 2),),
    # ---- padding and resizing
    "UpSampling1D(3)": ((2, 4, 3),),
    "UpSampling2D()": ((2, 3, 4, 2),),
    f"UpSampling2D((3, 1), {FIRST})": ((2, 2, 3, 4),),
    "UpSampling2D((2, 3), interpolation='bilinear')": ((2, 3, 4, 2), (1, 1, 2, 2)),
    f"UpSampling2D(2, interpolation='bilinear', {FIRST})": ((2, 2, 3, 4),),
    "ZeroPadding1D((2, 1))": ((2, 4, 3),),
    f"ZeroPadding1D(2, {FIRST})": ((2, 3, 4),),
    "ZeroPadding2D()": ((2, 3, 4, 2),),
    f"ZeroPadding2D(((1, 0), (2, 3)), {FIRST})": ((2, 2, 3, 4),),
    "Cropping1D((0, 2))": ((2, 4, 3),),
    "Rescaling(0.5, offset=2.0)": ((2, 3),),
    "Normalization(axis=(1, 3), mean=[1.0, 2.0], variance=[0.5, 4.0], invert=True)": ((2, 3, 4, 2),),
    "Normalization(axis=None, mean=1.0, variance=4.0)": ((2, 3, 4),),
    "Cropping2D((1, 2))": ((2, 5, 7, 2),),
    f"Cropping2D(((1, 0), (2, 3)), {FIRST})": ((2, 2, 3, 8),),
}  # fmt: skip


#: Affine maps (a0, a1, a2, b0, b1, b2) of two images of 4 x 5 pixels; some look far outside.
MATRICES = ((0.8, -0.3, 1.7, 0.4, 1.1, -0.6), (1.9, 0.2, -9.3, -0.7, 1.3, 11.6))
WARPS = [(fill, mixing) for fill in ("reflect", "wrap", "constant", "nearest") for mixing in ("nearest", "bilinear")]


def all_cases() -> list[tuple[str, Shape]]:
    """Each text with each of its shapes."""
    return [(text, shape) for text, shapes in CASES.items() for shape in shapes]


def key_of(text: str, shape: Shape) -> str:
    """A key for a case."""
    return f"{text} of {'x'.join(map(str, shape))}"


def modes(text: str) -> tuple[bool, ...]:
    """Whether a layer is called in training: both where it makes a difference."""
    return (False, True) if text.startswith("BatchNormalization") else (False,)


def numbers(shape: Shape, seed: int) -> np.ndarray:
    """Numbers of an input or a weight: no two alike."""
    random = np.random.default_rng([seed, *shape])
    return random.permutation(math.prod(shape)).reshape(shape) / 8.0 % 3.0 - 1.5 + random.uniform(size=shape) / 8.0


def weights_for(layer: Any) -> list[np.ndarray]:
    """Weights for a layer that is built; variances are positive."""
    given = [numbers(tuple(weight.shape), seed) for seed, weight in enumerate(layer.weights)]
    return [np.abs(w) + 0.5 if w.ndim == 1 and seed == len(given) - 1 else w for seed, w in enumerate(given)]


def compute(layers: Any, text: str, shape: Shape, training: bool) -> dict[str, np.ndarray]:
    """What nnkit's layers give: the output, its shape as foretold, gradients of the input and all weights, and the
    weights that are not trained."""
    layer = eval(text, vars(layers))
    layer.build((None, *shape[1:]))
    layer.set_weights(weights_for(layer))
    x = nnkit.tensor(numbers(shape, 99), dtype=nnkit.get_default_dtype()).requires_grad_()
    y = layer(x, training=training) if layer._call_takes_training else layer(x)
    (y * nnkit.tensor(numbers(tuple(y.shape), 77), dtype=y.dtype)).sum().backward()
    grads = [layer.keras_layout(p.grad) for p in layer.parameters() if p.grad is not None]
    return _named(y.detach(), layer.compute_output_shape(shape), x.grad, grads, layer.non_trainable_weights)


def compute_in_keras(layers: Any, text: str, shape: Shape, training: bool) -> dict[str, np.ndarray]:
    """The same of Keras's, on JAX."""
    layer = eval(text, vars(layers))
    layer.build((None, *shape[1:]))
    layer.set_weights(weights_for(layer))
    options = {"training": training} if layer._call_has_training_arg else {}
    fixed = [variable.value for variable in layer.non_trainable_variables]

    def function(x: Any, trained: Any) -> Any:
        return layer.stateless_call(trained, fixed, x, **options)

    trained = [variable.value for variable in layer.trainable_variables]
    y, pull, after = jax.vjp(function, jax.numpy.asarray(numbers(shape, 99)), trained, has_aux=True)
    assert y.dtype == "float64", text
    dx, grads = pull(jax.numpy.asarray(numbers(y.shape, 77)))
    return _named(y, layer.compute_output_shape(shape), dx, grads, after)


def _named(output: Any, foretold: Any, dx: Any, grads: Any, fixed: Any) -> dict[str, np.ndarray]:
    found = {"output": output, "shape": np.array(foretold, float), "input": dx}
    found |= {f"gradient {k}": value for k, value in enumerate(grads)}
    found |= {f"kept {k}": value for k, value in enumerate(fixed)}
    return {name: np.array(value.numpy() if hasattr(value, "numpy") else value) for name, value in found.items()}


def warps() -> dict[str, np.ndarray]:
    """What Keras's affine_transform gives for each way to fill and to mix."""
    matrices = np.array([(*matrix, 0.0, 0.0) for matrix in MATRICES])
    return {
        f"warp {fill} {mixing}": np.asarray(
            keras.ops.image.affine_transform(numbers((2, 4, 5, 3), 5), matrices, mixing, fill, 0.5)
        )
        for fill, mixing in WARPS
    }


def all_values(layers: Any) -> dict[str, np.ndarray]:
    """What Keras computes in float64."""
    return warps() | {
        f"{key_of(text, shape)}/{training}/{name}": value
        for text, shape in all_cases()
        for training in modes(text)
        for name, value in compute_in_keras(layers, text, shape, training).items()
    }


if __name__ == "__main__":
    os.environ |= {"KERAS_BACKEND": "jax", "JAX_ENABLE_X64": "1"}
    import jax
    import keras
    from keras.src.backend.common import dtypes

    dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"  # else means and activations are made in float32
    keras.config.set_floatx("float64")
    np.savez_compressed(VALUES, **all_values(keras.layers))
else:
    import nnkit
