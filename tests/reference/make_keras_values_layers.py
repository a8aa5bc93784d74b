"""What Keras computes for its further layers, stored in ``keras_layers_values.npz``.

A case is the text of a layer of ``L``, and the name of its input; weights depend on their shapes alone. Run it where
Keras and JAX are installed: ``KERAS_BACKEND=jax python tests/reference/make_keras_values_layers.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

VALUES = Path(__file__).with_name("keras_layers_values.npz")


def _numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng([seed, *shape]).integers(-12, 13, shape) / 8.0).astype(np.float32)


INPUTS: dict[str, np.ndarray] = {
    "vec": _numbers(3, 4), "seq": _numbers(2, 5, 3), "img": _numbers(2, 6, 7, 3), "vol": _numbers(1, 4, 5, 6, 2),
    "video": _numbers(2, 3, 5, 6, 2), "signals": _numbers(2, 3, 5, 2), "ints": np.array([[0, 1], [3, 3]]),
    "one": np.array([[2], [0]]),
}  # fmt: skip
CASES = (
    ("L.Permute((2, 1))", "seq"), ("L.Permute((3, 1, 2))", "img"), ("L.RepeatVector(3)", "vec"),
    ("L.Lambda(lambda x: x * 2)", "vec"), ("L.PReLU()", "vec"), ("L.PReLU(shared_axes=[1, 2])", "img"),
    ("L.EinsumDense('abc,cd->abd', (None, 5), bias_axes='d')", "seq"), ("L.EinsumDense('...x,xy->...y', 4)", "seq"),
    ("L.EinsumDense('abc,cde->abde', (None, 2, 5), activation='relu', bias_axes='de')", "seq"),
    ("L.CategoryEncoding(4)", "ints"), ("L.CategoryEncoding(4, 'one_hot')", "ints"),
    ("L.CategoryEncoding(4, 'one_hot')", "one"), ("L.CategoryEncoding(5, 'count')", "ints"),
    ("L.Discretization([0., 1.])", "vec"), ("L.Discretization([0., 1.], output_mode='one_hot')", "vec"),
    ("L.Resizing(4, 9)", "img"), ("L.Resizing(4, 4, 'nearest', crop_to_aspect_ratio=True)", "img"),
    ("L.CenterCrop(3, 4)", "img"), ("L.CenterCrop(8, 4)", "img"), ("L.UpSampling3D(2)", "vol"),
    ("L.ZeroPadding3D(((1, 0), (0, 2), (1, 1)))", "vol"), ("L.Cropping3D(1)", "vol"),
    ("L.GlobalAveragePooling3D()", "vol"),
    ("L.GlobalMaxPooling3D(keepdims=True)", "vol"), ("L.AdaptiveAveragePooling1D(2)", "seq"),
    ("L.AdaptiveAveragePooling2D((2, 3))", "img"), ("L.AdaptiveMaxPooling2D((2, 4))", "img"),
    ("L.RNN(L.LSTMCell(4))", "seq"), ("L.RNN(L.GRUCell(4), return_sequences=True)", "seq"),
    ("L.RNN(L.GRUCell(4, reset_after=False))", "seq"),
    ("L.RNN(L.LSTMCell(3, activation='relu'), go_backwards=True)", "seq"),
    ("L.RNN(L.SimpleRNNCell(4, use_bias=False), go_backwards=True, return_sequences=True)", "seq"),
    ("L.RNN([L.LSTMCell(4), L.GRUCell(2)], return_state=True)", "seq"), ("L.LeakyReLU(alpha=0.1)", "vec"),
    ("L.ConvLSTM2D(3, 3, padding='same', return_sequences=True)", "video"),
    ("L.ConvLSTM2D(3, (2, 3), strides=2)", "video"),
    ("L.ConvLSTM1D(3, 3, return_state=True)", "signals"),
    ("L.ConvLSTM2D(2, 3, use_bias=False, go_backwards=True)", "video"),
    ("L.ActivityRegularization(l2=0.1)", "vec"), ("L.GaussianNoise(0.5)", "vec"), ("L.GaussianDropout(0.5)", "vec"),
    ("L.AlphaDropout(0.5)", "vec"),
)  # fmt: skip


def flat(y: Any) -> list[np.ndarray]:
    """The arrays in a result."""
    if isinstance(y, (list, tuple)):
        return [array for part in y for array in flat(part)]
    return [np.asarray(y.detach().numpy() if hasattr(y, "detach") else y)]


def compute(layers: Any, text: str, name: str) -> tuple[Any, list[np.ndarray], list[np.ndarray]]:
    """The layer, its weights and its outputs."""
    layer, x = eval(text, {"L": layers}), INPUTS[name]
    layer(x)
    shapes = [tuple(weight.shape) for weight in layer.get_weights()]
    if shapes:
        layer.set_weights([_numbers(*shape, seed=n + 1) / 2.0 for n, shape in enumerate(shapes)])
    return layer, [np.array(weight) for weight in layer.get_weights()], flat(layer(x))


if __name__ == "__main__":
    from keras import layers

    stored = {}
    for text, name in CASES:
        _, weights, outputs = compute(layers, text, name)
        for n, weight in enumerate(weights):
            stored[f"{text} {name} shape {n}"] = np.array(weight.shape)
        for n, output in enumerate(outputs):
            stored[f"{text} {name} output {n}"] = output
    np.savez_compressed(VALUES, **stored)
