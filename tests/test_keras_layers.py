"""Keras's layers, initializers, regularizers and activations: outputs, shapes, weights, refusals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit.errors import LabelError, ShapeError, UnknownNameError
from nnkit.keras import Sequential, activations, initializers, layers, regularizers, utils
from nnkit.keras.layers import Dense, Input


@pytest.fixture(autouse=True)
def names_and_random_numbers_from_the_start() -> Iterator[None]:
    utils.clear_session()
    nnkit.manual_seed(0)
    yield


X = [[-1.0, 0.5, 2.0]]


@pytest.mark.parametrize(
    ("layer", "inputs", "output"),
    [
        (layers.Activation("relu"), X, [[0.0, 0.5, 2.0]]),
        (layers.Activation(lambda x: x * 2.0), X, [[-2.0, 1.0, 4.0]]),
        (layers.ReLU(max_value=1.0, negative_slope=0.5), X, [[-0.5, 0.5, 1.0]]),
        (layers.ReLU(threshold=1.0, negative_slope=0.5), X, [[-1.0, -0.25, 2.0]]),
        (layers.LeakyReLU(), X, [[-0.3, 0.5, 2.0]]),
        (layers.ELU(alpha=2.0), X, [[2.0 * math.expm1(-1.0), 0.5, 2.0]]),
        (layers.Softmax(), [[0.0, math.log(3.0)]], [[0.25, 0.75]]),
        (layers.Softmax(axis=0), [[0.0], [math.log(3.0)]], [[0.25], [0.75]]),
        (layers.Identity(), X, X),
        (layers.Dropout(0.5), X, X),
        (layers.Flatten(), [[[1.0, 2.0], [3.0, 4.0]]], [[1.0, 2.0, 3.0, 4.0]]),
        (layers.Reshape((2, -1)), [[1.0, 2.0, 3.0, 4.0]], [[[1.0, 2.0], [3.0, 4.0]]]),
        (Dense(1, kernel_initializer="ones", bias_initializer=initializers.Constant(0.5)), X, [[2.0]]),
        (Dense(2, "relu", kernel_initializer=lambda shape, dtype=None: -nnkit.ones(*shape)), X, [[0.0, 0.0]]),
        (Dense(2, activation="softmax", use_bias=False, kernel_initializer="zeros"), X, [[0.5, 0.5]]),
        (Dense(1, kernel_initializer="ones"), [[[1.0, 2.0], [3.0, 4.0]]], [[[3.0], [7.0]]]),
    ],
)
def test_outputs(layer: layers.Layer, inputs: list[Any], output: list[Any]) -> None:
    result = layer(inputs)
    assert np.asarray(result.detach()) == pytest.approx(np.array(output), abs=1e-6)
    assert layer.compute_output_shape((None, *np.shape(inputs)[1:])) == (None, *np.shape(output)[1:])


def test_dropout_drops_when_told_to(device: str) -> None:
    ones, layer = np.ones((100, 100)), layers.Dropout(0.25)
    values, counts = np.unique(np.asarray(layer(ones, training=True)), return_counts=True)
    assert values == pytest.approx([0.0, 4 / 3])
    assert counts[0] / 10_000 == pytest.approx(0.25, abs=0.02)
    assert np.asarray(layer(ones)).tolist() == ones.tolist()


def test_dense_shows_its_weights_as_keras_does(device: str) -> None:
    layer = Dense(3)
    layer.build((None, 2))
    kernel, bias = np.arange(6.0).reshape(2, 3), np.array([10.0, 20.0, 30.0])
    layer.set_weights([kernel, bias])
    assert layer.kernel.tolist() == kernel.tolist()
    assert layer.bias is not None and layer.bias.tolist() == bias.tolist()
    assert [array.tolist() for array in layer.get_weights()] == [kernel.tolist(), bias.tolist()]
    assert layer.linear.weight.tolist() == kernel.T.tolist()
    assert layer(np.array([[1.0, 1.0]])).tolist() == [[13.0, 25.0, 37.0]]
    assert layer.count_params() == 9


def test_a_frozen_layer_shows_its_weights_as_non_trainable() -> None:
    layer = Dense(2, trainable=False)
    layer.build((None, 3))
    assert (len(layer.trainable_weights), len(layer.non_trainable_weights)) == (0, 2)
    layer.trainable = True
    assert [tuple(weight.shape) for weight in layer.trainable_weights] == [(3, 2), (2,)]


def test_layers_are_named_after_their_class() -> None:
    made = [Dense(1), layers.LeakyReLU(), Dense(1), Dense(1, name="last"), Dense(1)]
    assert [layer.name for layer in made] == ["dense", "leaky_re_lu", "dense_1", "last", "dense_2"]


def test_a_layer_of_ones_own(device: str) -> None:
    class Scale(layers.Layer):
        def build(self, input_shape: tuple[int | None, ...]) -> None:
            self.factor = self.add_weight((input_shape[-1] or 0,), "ones", regularizer="l2", name="factor_")
            self.add_weight(initializer="zeros", trainable=False, name="calls")

        def call(self, inputs: nnkit.Tensor, training: bool = False) -> nnkit.Tensor:
            return inputs * self.factor_ * (2.0 if training else 1.0)

    layer = Scale()
    assert layer([[1.0, 2.0]]).tolist() == [[1.0, 2.0]]
    assert layer([[1.0, 2.0]], training=True).tolist() == [[2.0, 4.0]]
    assert (len(layer.trainable_weights), len(layer.non_trainable_weights)) == (1, 1)
    penalty = layer.penalty()
    assert penalty is not None and penalty.item() == pytest.approx(0.02)


def test_the_output_shape_of_ones_own_layer_is_found_by_a_call(device: str) -> None:
    class Doubled(layers.Layer):
        def call(self, inputs: nnkit.Tensor) -> nnkit.Tensor:
            return nnkit.cat([inputs, nnkit.rand(*inputs.shape)], dim=1)

    nnkit.manual_seed(0)
    expected = nnkit.rand(3).tolist()
    nnkit.manual_seed(0)
    shape = Doubled().compute_output_shape((None, 4))
    assert shape == (None, 8)
    assert nnkit.rand(3).tolist() == expected  # nothing was drawn from the user's stream
    model = Sequential([Input((4,)), Doubled(), Dense(3)])
    assert model.predict(np.ones((2, 4)), verbose=0).shape == (2, 3)
    with pytest.raises(ValueError, match=r"define compute_output_shape\(self, input_shape\) in Doubled"):
        Doubled().compute_output_shape((None, None))


@pytest.mark.parametrize("name", ["softplus", "tanh", "gelu", "silu", "leaky_relu", "hard_swish", "exponential"])
def test_a_fused_activation_is_the_function_of_its_name(name: str, device: str) -> None:
    x = np.linspace(-3, 3, 7).reshape(7, 1)
    fused = Dense(1, name, kernel_initializer="ones")(x)
    plain = activations.get(name)(nnkit.tensor(x).float())
    assert np.asarray(fused.detach()) == pytest.approx(np.asarray(plain), rel=1e-6)


def test_regularizers(device: str) -> None:
    """Penalties by hand: 0.01 * sum(w²) + 0.5 * |b| for weights 1, 2 and a bias of -4; 'l1' weighs 0.01 too."""
    layer = Dense(1, kernel_regularizer="l2", bias_regularizer=regularizers.L1(0.5))
    model = Sequential([layer, Dense(1, kernel_regularizer=lambda kernel: kernel[0, 0] * 7.0)])
    model.build((None, 2))
    model.set_weights([[[1.0], [2.0]], [-4.0], [[1.0]], [0.0]])
    penalty = model.penalty()
    assert penalty is not None and penalty.item() == pytest.approx(0.05 + 2.0 + 7.0)
    assert regularizers.get("l1")(nnkit.tensor([3.0])).item() == pytest.approx(0.03)  # type: ignore[misc]
    assert regularizers.l1_l2()(nnkit.tensor([2.0])).item() == pytest.approx(0.06)


def test_a_custom_regularizer_sees_the_kernel_as_keras_lays_it_out() -> None:
    seen: list[tuple[int, ...]] = []

    def watch(kernel: nnkit.Tensor) -> nnkit.Tensor:
        seen.append(tuple(kernel.shape))
        return kernel.sum()

    layer = Dense(2, kernel_regularizer=watch)
    layer.build((None, 3))
    layer.penalty()
    assert seen == [(3, 2)]


FANS = (200, 300)
UNIFORM, TRUNCATED = 1 / math.sqrt(3), 1 / 0.87962566103423978 * 2


@pytest.mark.parametrize(
    ("name", "deviation", "bound"),
    [
        ("glorot_uniform", math.sqrt(2 / 500), math.sqrt(6 / 500)),
        ("glorot_normal", math.sqrt(2 / 500), math.sqrt(2 / 500) * TRUNCATED),
        ("he_uniform", math.sqrt(2 / 200), math.sqrt(6 / 200)),
        ("HeNormal", math.sqrt(2 / 200), math.sqrt(2 / 200) * TRUNCATED),
        ("lecun_uniform", math.sqrt(1 / 200), math.sqrt(3 / 200)),
        ("LecunNormal", math.sqrt(1 / 200), math.sqrt(1 / 200) * TRUNCATED),
        ("random_normal", 0.05, math.inf),
        ("random_uniform", 0.05 * UNIFORM, 0.05),
        ("truncated_normal", 0.05 * 0.87962566103423978, 0.1),
        ("orthogonal", 1 / math.sqrt(300), math.inf),
        ("variance_scaling", math.sqrt(1 / 200), math.sqrt(1 / 200) * TRUNCATED),
    ],
)
def test_initializers_have_keras_spread(name: str, deviation: float, bound: float) -> None:
    """The standard deviation of 60,000 numbers is within 1 % of the definition's, and none is out of bounds."""
    values = np.asarray(initializers.get(name)(FANS))  # type: ignore[misc]
    assert values.shape == FANS
    assert values.std() == pytest.approx(deviation, rel=0.01)
    assert abs(values.mean()) < deviation / 50
    assert np.abs(values).max() <= bound * (1 + 1e-6)


def test_a_seeded_initializer_repeats_itself_and_leaves_the_stream_alone(device: str) -> None:
    seeded = initializers.RandomNormal(seed=3)
    nnkit.manual_seed(0)
    first = seeded((2, 2)).tolist()
    after = nnkit.rand(3).tolist()
    nnkit.manual_seed(0)
    assert nnkit.rand(3).tolist() == after
    assert seeded((2, 2)).tolist() == first


def test_first_weights_are_equal_on_all_devices(device: str) -> None:
    utils.set_random_seed(1)
    layer = Dense(3, kernel_initializer="he_normal")
    layer.build((None, 4))
    there = layer.get_weights()[0]
    nnkit.set_default_device("numpy")
    utils.set_random_seed(1)
    here = Dense(3, kernel_initializer="he_normal")
    here.build((None, 4))
    assert there.tobytes() == here.get_weights()[0].tobytes()


@pytest.mark.parametrize(
    ("labels", "classes", "rows"),
    [
        ([0, 2], None, [[1, 0, 0], [0, 0, 1]]),
        ([[1], [0]], 3, [[0, 1, 0], [1, 0, 0]]),
        ([[0, 1], [1, 0]], None, [[[1, 0], [0, 1]], [[0, 1], [1, 0]]]),
        ([1.0, 0.0], None, [[0, 1], [1, 0]]),
        ([], 2, []),
    ],
)
def test_to_categorical(labels: Any, classes: int | None, rows: Any) -> None:
    result = utils.to_categorical(labels, classes)
    assert result.dtype == np.float32
    assert result.tolist() == rows


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Dense(0), ValueError, "units must be a positive integer"),
        (lambda: Dense(2.5), ValueError, "units must be a positive integer"),
        (lambda: Dense(2, activation="rleu"), UnknownNameError, "did you mean 'relu'"),
        (lambda: Dense(2, kernel_initializer="glorot"), UnknownNameError, "glorot_"),
        (lambda: Dense(2, kernel_regularizer="l3"), UnknownNameError, "Known: l1, l1_l2"),
        (lambda: Dense(2, kernel_constraint="max_nom"), UnknownNameError, "unknown constraint 'max_nom'"),
        (lambda: Dense(2, colour="red"), ValueError, "colour"),
        (lambda: Dense(2).kernel, ValueError, "is not built"),
        (lambda: Dense(2).count_params(), ValueError, "is not built"),
        (lambda: Dense(2)(layers.InputLayer((3,))), TypeError, "was called on a layer"),
        (lambda: Dense(2)([1.0, 2.0]), ShapeError, "known number of features"),
        (lambda: layers.Dropout(1.5), ValueError, "rate must be a number from 0 to 1"),
        (lambda: layers.Dropout(0.5, noise_shape=(1,)), ValueError, "noise_shape is not supported"),
        (lambda: layers.Reshape((-1, -1)), ShapeError, "at most one -1"),
        (lambda: layers.Reshape((4,))(X), ShapeError, "3 elements do not fit"),
        (lambda: layers.ReLU(max_value=-1.0), ValueError, "must not be negative"),
        (lambda: initializers.VarianceScaling(scale=0.0), ValueError, "scale must be larger than 0"),
        (lambda: initializers.VarianceScaling(mode="fan"), ValueError, "mode must be one of fan_in"),
        (lambda: regularizers.L2(-1.0), ValueError, "l2"),
        (lambda: utils.to_categorical([0, 3], 3), LabelError, "from 0 to 2"),
        (lambda: utils.to_categorical([-1, 0]), LabelError, "from -1 to 0"),
        (lambda: utils.to_categorical([0.5]), LabelError, "whole numbers"),
        (lambda: utils.to_categorical([]), LabelError, "pass num_classes"),
    ],
)
def test_refusals(make: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_weights_of_another_shape_are_refused_and_nothing_changes() -> None:
    layer = Dense(2)
    layer.build((None, 3))
    before = layer.get_weights()
    with pytest.raises(ShapeError, match=r"array 1 must have shape \(2,\), got \(3,\)"):
        layer.set_weights([np.zeros((3, 2)), np.zeros(3)])
    with pytest.raises(ShapeError, match="expects 2 arrays, got 1"):
        layer.set_weights([np.zeros((3, 2))])
    assert [array.tobytes() for array in layer.get_weights()] == [array.tobytes() for array in before]
