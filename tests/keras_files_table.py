"""Layers and models for Keras's files, written once for both: ``keras`` is Keras or ``nnkit.keras``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Make = Callable[[Any], Any]


class Case(NamedTuple):
    """A model, what goes in, and how close the outputs are held to each other (of the largest output, at least 1)."""

    make: Make
    inputs: Any
    close: float = 1e-5


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


FLAT, SEQ, IMAGE, VOLUME = numbers(3, 6), numbers(3, 5, 4), numbers(2, 6, 6, 4), numbers(2, 4, 4, 4, 3)
WORDS = np.array([[1, 2, 0, 5], [3, 8, 1, 0]])


def alone(layer: Make, *inputs: np.ndarray, call: Any = None) -> Case:
    """A model of one layer."""

    def make(keras: Any) -> Any:
        heads = [keras.Input(x.shape[1:], dtype="int32" if x.dtype.kind == "i" else "float32") for x in inputs]
        made = layer(keras.layers)
        return keras.Model(heads, call(made, heads) if call else made(*heads))

    return Case(make, list(inputs))


def listed(layer: Any, heads: list[Any]) -> Any:
    return layer(heads)


# fmt: off
LAYERS: dict[str, Case] = {
    "Dense": alone(lambda L: L.Dense(3, "relu", kernel_regularizer="l2", bias_initializer="ones", kernel_constraint="max_norm"), FLAT),  # noqa: E501
    "Dense of steps": alone(lambda L: L.Dense(3, use_bias=False, activity_regularizer="l1"), SEQ),
    "EinsumDense": alone(lambda L: L.EinsumDense("abc,cd->abd", output_shape=(None, 7), bias_axes="d"), SEQ),
    "Embedding": alone(lambda L: L.Embedding(9, 4, mask_zero=True), WORDS),
    "Masking": alone(lambda L: L.Masking(0.5), SEQ),
    "Activation": alone(lambda L: L.Activation("gelu"), FLAT),
    "ReLU": alone(lambda L: L.ReLU(2.0, 0.1, 0.2), FLAT),
    "LeakyReLU": alone(lambda L: L.LeakyReLU(0.2), FLAT),
    "ELU": alone(lambda L: L.ELU(0.5), FLAT),
    "PReLU": alone(lambda L: L.PReLU(shared_axes=[1], alpha_initializer="ones"), SEQ),
    "Softmax": alone(lambda L: L.Softmax(), FLAT),
    "Identity": alone(lambda L: L.Identity(), FLAT),
    "Dropout": alone(lambda L: L.Dropout(0.5, seed=3), FLAT),
    "GaussianNoise": alone(lambda L: L.GaussianNoise(0.5), FLAT),
    "GaussianDropout": alone(lambda L: L.GaussianDropout(0.5), FLAT),
    "AlphaDropout": alone(lambda L: L.AlphaDropout(0.5), FLAT),
    "SpatialDropout1D": alone(lambda L: L.SpatialDropout1D(0.5), SEQ),
    "SpatialDropout2D": alone(lambda L: L.SpatialDropout2D(0.5), IMAGE),
    "SpatialDropout3D": alone(lambda L: L.SpatialDropout3D(0.5), VOLUME),
    "ActivityRegularization": alone(lambda L: L.ActivityRegularization(0.1, 0.2), FLAT),
    "Flatten": alone(lambda L: L.Flatten(), IMAGE),
    "Reshape": alone(lambda L: L.Reshape((2, -1)), FLAT),
    "Permute": alone(lambda L: L.Permute((2, 1)), SEQ),
    "RepeatVector": alone(lambda L: L.RepeatVector(3), FLAT),
    "Conv1D": alone(lambda L: L.Conv1D(3, 2, padding="causal", dilation_rate=2), SEQ),
    "Conv2D": alone(lambda L: L.Conv2D(4, 3, strides=2, padding="same", groups=2, activation="relu"), IMAGE),
    "Conv3D": alone(lambda L: L.Conv3D(2, 2), VOLUME),
    "Conv1DTranspose": alone(lambda L: L.Conv1DTranspose(3, 2, strides=2), SEQ),
    "Conv2DTranspose": alone(lambda L: L.Conv2DTranspose(3, 3, strides=2, padding="same"), IMAGE),
    "Conv3DTranspose": alone(lambda L: L.Conv3DTranspose(2, 2, strides=2), VOLUME),
    "DepthwiseConv1D": alone(lambda L: L.DepthwiseConv1D(2, depth_multiplier=2), SEQ),
    "DepthwiseConv2D": alone(lambda L: L.DepthwiseConv2D(3, depth_multiplier=2, padding="same"), IMAGE),
    "SeparableConv1D": alone(lambda L: L.SeparableConv1D(3, 2, depth_multiplier=2), SEQ),
    "SeparableConv2D": alone(lambda L: L.SeparableConv2D(3, 3, depth_multiplier=2), IMAGE),
    "LSTM": alone(lambda L: L.LSTM(3, return_sequences=True, kernel_regularizer="l1"), SEQ),
    "LSTM backwards": alone(lambda L: L.LSTM(3, go_backwards=True, unit_forget_bias=False), SEQ),
    "GRU": alone(lambda L: L.GRU(3, return_sequences=True), SEQ),
    "GRU, reset before": alone(lambda L: L.GRU(3, reset_after=False), SEQ),
    "SimpleRNN": alone(lambda L: L.SimpleRNN(3), SEQ),
    "Bidirectional": alone(lambda L: L.Bidirectional(L.LSTM(3, return_sequences=True), merge_mode="sum"), SEQ),
    "Bidirectional of two": alone(lambda L: L.Bidirectional(L.GRU(3), backward_layer=L.GRU(3, go_backwards=True)), SEQ),
    "TimeDistributed": alone(lambda L: L.TimeDistributed(L.Dense(2)), SEQ),
    "RNN": alone(lambda L: L.RNN([L.LSTMCell(3), L.GRUCell(2)], return_sequences=True), SEQ),
    "RNN of one": alone(lambda L: L.RNN(L.SimpleRNNCell(3)), SEQ),
    "ConvLSTM1D": alone(lambda L: L.ConvLSTM1D(2, 2), numbers(2, 3, 5, 2)),
    "ConvLSTM2D": alone(lambda L: L.ConvLSTM2D(2, 2, return_sequences=True), numbers(2, 3, 4, 4, 2)),
    "ConvLSTM3D": alone(lambda L: L.ConvLSTM3D(2, 2), numbers(2, 2, 3, 3, 3, 2)),
    "BatchNormalization": alone(lambda L: L.BatchNormalization(momentum=0.9), FLAT),
    "BatchNormalization, axis 1": alone(lambda L: L.BatchNormalization(axis=1, scale=False), IMAGE),
    "LayerNormalization": alone(lambda L: L.LayerNormalization(), SEQ),
    "LayerNormalization, 2 axes": alone(lambda L: L.LayerNormalization(axis=[1, 2], center=False), SEQ),
    "GroupNormalization": alone(lambda L: L.GroupNormalization(2), IMAGE),
    "UnitNormalization": alone(lambda L: L.UnitNormalization(), SEQ),
    "RMSNormalization": alone(lambda L: L.RMSNormalization(), SEQ),
    "Normalization": alone(lambda L: L.Normalization(mean=[1.0] * 6, variance=[4.0] * 6), FLAT),
    **{
        f"{kind}Pooling{rank}D": alone(lambda L, n=f"{kind}Pooling{rank}D": getattr(L, n)(2), x)
        for kind in ("Max", "Average", "AdaptiveMax", "AdaptiveAverage")
        for rank, x in ((1, SEQ), (2, IMAGE), (3, VOLUME))
    },
    **{
        f"Global{kind}Pooling{rank}D": alone(lambda L, n=f"Global{kind}Pooling{rank}D": getattr(L, n)(keepdims=True), x)
        for kind in ("Max", "Average")
        for rank, x in ((1, SEQ), (2, IMAGE), (3, VOLUME))
    },
    **{
        f"{kind}{rank}D": alone(lambda L, n=f"{kind}{rank}D", size=1 + (kind == "UpSampling"): getattr(L, n)(size), x)
        for kind in ("Cropping", "ZeroPadding", "UpSampling")
        for rank, x in ((1, SEQ), (2, IMAGE), (3, VOLUME))
    },
    "Resizing": alone(lambda L: L.Resizing(4, 4), IMAGE),
    "CenterCrop": alone(lambda L: L.CenterCrop(4, 4), IMAGE),
    "Rescaling": alone(lambda L: L.Rescaling(2.0, 1.0), IMAGE),
    "RandomFlip": alone(lambda L: L.RandomFlip("horizontal", seed=1), IMAGE),
    "RandomRotation": alone(lambda L: L.RandomRotation(0.1), IMAGE),
    "RandomZoom": alone(lambda L: L.RandomZoom(0.1), IMAGE),
    "RandomTranslation": alone(lambda L: L.RandomTranslation(0.1, 0.1), IMAGE),
    "RandomContrast": alone(lambda L: L.RandomContrast(0.1), IMAGE),
    "RandomBrightness": alone(lambda L: L.RandomBrightness(0.1), IMAGE),
    "RandomCrop": alone(lambda L: L.RandomCrop(6, 6), IMAGE),
    "RandomGrayscale": alone(lambda L: L.RandomGrayscale(0.1), numbers(2, 6, 6, 3)),
    "CategoryEncoding": alone(lambda L: L.CategoryEncoding(9, output_mode="multi_hot"), WORDS),
    "Discretization": alone(lambda L: L.Discretization(bin_boundaries=[0.0, 1.0]), FLAT),
    "Attention": alone(lambda L: L.Attention(use_scale=True), SEQ, SEQ, call=listed),
    "Attention, concat": alone(lambda L: L.Attention(score_mode="concat"), SEQ, SEQ, call=listed),
    "AdditiveAttention": alone(lambda L: L.AdditiveAttention(), SEQ, SEQ, call=listed),
    "MultiHeadAttention": alone(lambda L: L.MultiHeadAttention(2, 3), SEQ, SEQ, call=lambda m, h: m(*h)),
    "MultiHeadAttention, causal": alone(
        lambda L: L.MultiHeadAttention(2, 3, use_bias=False, output_shape=5), SEQ, SEQ,
        call=lambda m, h: m(h[0], value=h[1], use_causal_mask=True),
    ),
    **{
        name: alone(lambda L, n=name: getattr(L, n)(), FLAT, numbers(3, 6, seed=1), call=listed)
        for name in ("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract", "Concatenate")
    },
    "Dot": alone(lambda L: L.Dot(1, normalize=True), FLAT, numbers(3, 6, seed=1), call=listed),
}
# fmt: on


# ---- models -------------------------------------------------------------------------------------------------


def plain(keras: Any) -> Any:
    L = keras.layers
    inner = keras.Sequential([L.Dense(3), L.BatchNormalization()])
    return keras.Sequential([keras.Input((6,)), L.Dense(4, "relu"), inner, L.Dropout(0.2), L.Dense(2, "softmax")])


def shared(keras: Any) -> Any:
    """Several inputs and outputs, a layer used three times, a model used twice."""
    L = keras.layers
    a, b, i = keras.Input((6,), name="a"), keras.Input((6,), name="b"), keras.Input((5,))
    dense = L.Dense(5, "relu")
    inner = keras.Model(i, [L.Dense(2)(i), L.Dense(3)(i)], name="inner")
    (p, q), (r, s) = inner(dense(a)), inner(dense(b))
    return keras.Model([a, b], {"one": L.Add()([p, r]), "two": L.Concatenate(name="two")([q, s, dense(b)])})


def functions(keras: Any) -> Any:
    """Operators and functions of tensors."""
    ops, x = keras.ops, keras.Input((4, 3))
    y = x * 2.0 + ops.mean(x, axis=1, keepdims=True)
    y = y[:, 1:] - ops.relu(x[:, :3]) / 3.0
    y = ops.reshape(ops.concatenate([y, -y], axis=-1), (-1, 18))
    y = ops.squeeze(ops.transpose(ops.expand_dims(ops.exp(ops.clip(y, -1.0, 1.0)) ** 2.0, 1), (0, 2, 1)), -1)
    y = ops.pad(ops.cast(ops.softmax(ops.where(y > 1.0, y, abs(y))), "float32"), [[0, 0], [1, 1]])
    return keras.Model(x, ops.sum(y * y, axis=-1))


def nested(keras: Any) -> Any:
    L = keras.layers
    inner = keras.Sequential([keras.Input((4,)), L.Dense(3, name="inside")])
    i, j = keras.Input((4,)), keras.Input((5, 4))
    return keras.Model(j, L.TimeDistributed(keras.Model(i, inner(i) + 1.0))(j))


def words(keras: Any) -> Any:
    """A mask from an embedding on, through layers in both directions."""
    L, i = keras.layers, keras.Input((4,), dtype="int32")
    y = L.Bidirectional(L.LSTM(4, return_sequences=True))(L.Embedding(9, 6, mask_zero=True)(i))
    return keras.Model(i, L.Dense(1, "sigmoid")(L.GRU(3)(y)))


def transformer(keras: Any) -> Any:
    L, i = keras.layers, keras.Input((5, 4))
    y = L.LayerNormalization()(L.Add()([i, L.MultiHeadAttention(2, 4)(i, i, use_causal_mask=True)]))
    return keras.Model(i, L.MultiHeadAttention(2, 4)(y, y, return_attention_scores=True))


def states(keras: Any) -> Any:
    L, i = keras.layers, keras.Input((5, 4))
    y, h, c = L.LSTM(4, return_sequences=True, return_state=True)(i)
    return keras.Model(i, [L.LSTM(4)(y, initial_state=[h, c]), h])


def frozen(keras: Any) -> Any:
    L = keras.layers
    model = keras.Sequential([keras.Input((6,)), L.Dense(4), L.BatchNormalization(trainable=False), L.Dense(2)])
    model.layers[0].trainable = False
    return model


def mixed(keras: Any) -> Any:
    L = keras.layers
    return keras.Sequential([keras.Input((6,)), L.Dense(3, dtype="float64"), L.Dense(2, dtype="mixed_bfloat16")])


def half(keras: Any) -> Any:
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, dtype="bfloat16")])


def own_words(keras: Any) -> Any:
    """A layer, a function and a model of the user's, registered: the same program for both."""
    if "nnkit_test_words" in vars(keras.saving):
        return keras.saving.nnkit_test_words
    L, register = keras.layers, keras.saving.register_keras_serializable

    @register("mine")
    class Block(L.Layer):
        def __init__(self, units: int, first: Any = None, inner: Any = None, **options: Any) -> None:
            super().__init__(**options)
            self.units, self.first = units, keras.initializers.get(first)
            self.last = L.Dense(units)
            self.listed = [L.Dense(units), {"norm": L.BatchNormalization()}]
            self.inner = L.Dense(2, "tanh") if inner is None else inner

        def build(self, input_shape: Any) -> None:
            self.scale = self.add_weight(shape=(input_shape[-1],), name="scale", initializer=self.first)
            self.count = self.add_weight(shape=(1,), trainable=False, name="count", initializer="ones")
            self.shift = self.add_weight(shape=(2,), name="shift", initializer="zeros")

        def call(self, inputs: Any) -> Any:
            y = self.listed[1]["norm"](self.listed[0](self.last(inputs * self.scale)))
            return self.inner(y) + self.shift * self.count

        def get_config(self) -> Any:
            first = keras.initializers.serialize(self.first)
            inner = keras.saving.serialize_keras_object(self.inner)
            return {**super().get_config(), "units": self.units, "first": first, "inner": inner}

        @classmethod
        def from_config(cls, config: Any) -> Any:
            return cls(**{**config, "inner": keras.saving.deserialize_keras_object(config["inner"])})

    @register("mine")
    def squared(x: Any) -> Any:
        return x * x

    @register("mine")
    class Net(keras.Model):
        def __init__(self, units: int = 3, **options: Any) -> None:
            super().__init__(**options)
            self.a, self.out = L.Dense(units, squared), L.Dense(2)
            self.stack = [L.Dense(3), L.Dense(3)]
            self.block, self.rnn = Block(3, first="he_normal"), L.GRU(2)

        def call(self, x: Any) -> Any:
            x = self.a(x)
            for layer in self.stack:
                x = layer(x)
            return self.out(self.block(x)) + self.rnn(keras.ops.expand_dims(x, 1))

    keras.saving.nnkit_test_words = Block, Net, squared
    return keras.saving.nnkit_test_words


def own_layer(keras: Any) -> Any:
    Block = own_words(keras)[0]
    return keras.Sequential([keras.Input((6,)), Block(3, first="ones"), keras.layers.Dense(2)])


def own_model(keras: Any) -> Any:
    model = own_words(keras)[1](3)
    model(np.ones((2, 6), "float32"))
    return model


def own_function(keras: Any) -> Any:
    squared, L = own_words(keras)[2], keras.layers
    return keras.Sequential([keras.Input((6,)), L.Lambda(squared, output_shape=(6,)), L.Dense(2, squared)])


MODELS: dict[str, Case] = {
    "plain": Case(plain, FLAT),
    "shared": Case(shared, [FLAT, numbers(3, 6, seed=1)]),
    "functions": Case(functions, numbers(2, 4, 3)),
    "nested": Case(nested, SEQ),
    "words": Case(words, WORDS),
    "transformer": Case(transformer, SEQ),
    "states": Case(states, SEQ),
    "frozen": Case(frozen, FLAT),
    "mixed": Case(mixed, FLAT, 1e-2),  # Keras computes whole layers in bfloat16, nnkit the products
    "half": Case(half, FLAT, 1e-2),
    "own layer": Case(own_layer, FLAT),
    "own model": Case(own_model, FLAT),
    "own function": Case(own_function, FLAT),
}
CASES = LAYERS | MODELS


def shaken(model: Any) -> Any:
    """The model with other weights than the first, so that none is where another may be."""
    draw = np.random.default_rng(7)

    def other(weight: Any) -> Any:
        return (0.4 * (abs(weight) + draw.random(weight.shape))).astype(weight.dtype)

    model.set_weights([other(w) if w.dtype.kind in "fV" else w for w in model.get_weights()])
    return model


def outputs(model: Any, inputs: Any) -> list[np.ndarray]:
    """What a model predicts, flat, in float64."""
    found = model.predict(inputs, verbose=0)
    if isinstance(found, dict):
        found = [found[name] for name in sorted(found)]
    return [np.asarray(part, "float64") for part in (found if isinstance(found, (list, tuple)) else [found])]


def assert_close(found: list[np.ndarray], expected: list[np.ndarray], close: float) -> None:
    assert [part.shape for part in found] == [part.shape for part in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=close * max(1.0, abs(other).max()))
