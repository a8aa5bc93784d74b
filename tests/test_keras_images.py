"""Keras's layers for images in models: summaries, training, files, first weights, refusals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import keras, nn
from nnkit.errors import ShapeError, UnknownNameError
from nnkit.keras import Sequential, initializers, layers
from nnkit.training.replay import Replay


@pytest.fixture(autouse=True)
def names_and_random_numbers_from_the_start() -> Iterator[None]:
    keras.utils.clear_session()
    nnkit.manual_seed(0)
    yield


def digits_model() -> Sequential:
    """The network of Keras's first example with images, smaller."""
    return Sequential(
        [
            layers.Input((12, 12, 1)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(16, (3, 2), padding="same", strides=2, activation="relu", kernel_regularizer="l2"),
            layers.SeparableConv2D(8, 3, padding="same", activation="gelu"),
            layers.DepthwiseConv2D(2, padding="same"),
            layers.AveragePooling2D(2, padding="same"),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ],
        name="digits",
    )


def normalized_model() -> Sequential:
    """Normalizations, dropout of channels, other sizes; one normalization is frozen."""
    return Sequential(
        [
            layers.Conv2D(4, 3, use_bias=False, input_shape=(12, 12, 1)),
            layers.BatchNormalization(momentum=0.8),
            layers.ReLU(),
            layers.SpatialDropout2D(0.25),
            layers.Conv2D(4, 3, strides=2),
            layers.GroupNormalization(2),
            layers.UpSampling2D(2, interpolation="bilinear"),
            layers.ZeroPadding2D(1),
            layers.Cropping2D(((1, 0), (0, 1))),
            layers.LayerNormalization(),
            layers.BatchNormalization(trainable=False),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )


def random_model() -> Sequential:
    """Every layer that changes images at random."""
    return Sequential(
        [
            layers.Rescaling(0.5, input_shape=(12, 12, 1)),
            layers.RandomFlip(),
            layers.RandomContrast(0.3, (-9.0, 9.0)),
            layers.RandomRotation(0.1),
            layers.RandomTranslation(0.1, 0.1, "wrap"),
            layers.RandomZoom(0.1, None, "constant", "nearest"),
            layers.Normalization(mean=[0.5], variance=[0.25]),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )


SUMMARY = """\
Model: "digits"
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━┓
┃ Layer (type)                    ┃ Output Shape           ┃       Param # ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━┩
│ conv2d (Conv2D)                 │ (None, 10, 10, 8)      │            80 │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ max_pooling2d (MaxPooling2D)    │ (None, 5, 5, 8)        │             0 │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ conv2d_1 (Conv2D)               │ (None, 3, 3, 16)       │           784 │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ separable_conv2d                │ (None, 3, 3, 8)        │           280 │
│ (SeparableConv2D)               │                        │               │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ depthwise_conv2d                │ (None, 3, 3, 8)        │            40 │
│ (DepthwiseConv2D)               │                        │               │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ average_pooling2d               │ (None, 2, 2, 8)        │             0 │
│ (AveragePooling2D)              │                        │               │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ flatten (Flatten)               │ (None, 32)             │             0 │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ dense (Dense)                   │ (None, 3)              │            99 │
└─────────────────────────────────┴────────────────────────┴───────────────┘
 Total params: 1,283 (5.01 KB)
 Trainable params: 1,283 (5.01 KB)
 Non-trainable params: 0 (0.00 B)"""


def test_summary() -> None:
    """As Keras 3 prints it."""
    texts: list[str] = []
    digits_model().summary(print_fn=texts.append)
    assert texts == [SUMMARY]


X = np.random.default_rng(0).normal(size=(40, 12, 12, 1)).astype(np.float32)
Y = (X[:, :6].mean(axis=(1, 2, 3)) > 0.0).astype(int) + (X[:, :, :6].mean(axis=(1, 2, 3)) > 0.0)


@pytest.mark.parametrize("make", [digits_model, normalized_model])
def test_training_and_files(make: Callable[[], Sequential], device: str, tmp_path: Path) -> None:
    model = make()
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(X, Y, epochs=6, batch_size=10, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.predict(X, verbose=0).tobytes() == model.predict(X, verbose=0).tobytes()
    assert [type(layer) for layer in again.layers] == [type(layer) for layer in model.layers]
    told = [[{**layer["config"], "input_shape": None} for layer in m.get_config()["layers"]] for m in (again, model)]
    assert told[0] == told[1]  # the shape of the input is the input layer's
    model.save_weights(tmp_path / "model.weights.h5")
    other = make()
    other.load_weights(tmp_path / "model.weights.h5")
    assert [w.tobytes() for w in other.get_weights()] == [w.tobytes() for w in model.get_weights()]


def trained(make: Callable[[], Sequential], x: np.ndarray, compiled: bool, chunks: list[int]) -> list[bytes]:
    """The losses and weights after a training whose steps are recorded, or run in Python."""
    keras.utils.clear_session()
    nnkit.manual_seed(3)
    module = nn.Sequential(make())
    rates = nnkit.optim.Adam(module.parameters(), lr=0.01)
    labels = np.arange(len(x)) % 3
    history = module.fit(x, labels, optimizer=rates, loss="nll", epochs=4, batch_size=10, verbose=0, compile=compiled)
    tensors = [*module.parameters(), *module.buffers()]
    return [np.array(history.history["loss"]).tobytes(), *(np.array(t.detach().numpy()).tobytes() for t in tensors)]


RECORDED: dict[str, Callable[[], Sequential]] = {
    "digits": digits_model, "normalized": normalized_model, "random": random_model
}  # fmt: skip


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_training_is_training_in_python(name: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks: list[int] = []
    run = Replay._replay

    def counting(replay: Replay, rows: int, times: int) -> int:
        chunks.append(run(replay, rows, times))
        return chunks[-1]

    monkeypatch.setattr(Replay, "_replay", counting)
    recorded = trained(RECORDED[name], X, True, chunks)
    assert sum(chunks) > 0
    assert recorded == trained(RECORDED[name], X, False, chunks)


# ---- weights ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "shapes", "fans"),
    [
        (layers.Conv1D(50, 5, groups=2), [(5, 20, 50), (50,)], 5 * 70),
        (layers.Conv2D(50, (3, 2)), [(3, 2, 40, 50), (50,)], 6 * 90),
        (layers.Conv2DTranspose(50, (3, 2)), [(3, 2, 50, 40), (50,)], 6 * 90),
        (layers.DepthwiseConv2D(8, depth_multiplier=4), [(8, 8, 40, 4), (160,)], 64 * 44),
        (layers.SeparableConv2D(50, 8, depth_multiplier=4), [(8, 8, 40, 4), (1, 1, 160, 50), (50,)], 64 * 44),
    ],
)
def test_first_weights_have_keras_shapes_and_spread(
    layer: Any, shapes: list[tuple[int, ...]], fans: int, device: str
) -> None:
    """Glorot's uniform reaches sqrt(6 / fans), and has a third of its square as variance; biases start at 0."""
    layer.build((None, *(9,) * layer.axes, 40))
    given = layer.get_weights()
    assert [w.shape for w in given] == shapes
    bound = math.sqrt(6 / fans)
    assert 0.98 * bound < np.abs(given[0]).max() <= bound
    assert given[0].std() == pytest.approx(bound / math.sqrt(3.0), rel=0.03)
    assert not given[-1].any()
    assert layer.bias.shape == shapes[-1]
    layer.set_weights([w + 1.0 for w in given])
    assert all((a == b + 1.0).all() for a, b in zip(layer.get_weights(), given, strict=True))


def test_a_regularizer_of_ones_own_sees_the_kernel_as_keras_lays_it_out() -> None:
    seen: list[tuple[int, ...]] = []

    def watch(kernel: nnkit.Tensor) -> nnkit.Tensor:
        seen.append(tuple(kernel.shape))
        return kernel.sum()

    for layer in (
        layers.Conv2D(2, (3, 2), kernel_regularizer=watch),
        layers.Conv2DTranspose(2, (3, 2), kernel_regularizer=watch),
        layers.DepthwiseConv2D((3, 2), depthwise_regularizer=watch),
        layers.SeparableConv2D(2, (3, 2), depthwise_regularizer=watch, pointwise_regularizer=watch),
    ):
        layer.build((None, 4, 4, 5))
        layer.penalty()
    assert seen == [(3, 2, 5, 2), (3, 2, 2, 5), (3, 2, 5, 1), (3, 2, 5, 1), (1, 1, 5, 2)]


def test_sizes_may_be_unknown() -> None:
    model = Sequential([layers.Conv2D(4, 3, strides=2, padding="same"), layers.GlobalMaxPooling2D()])
    model.build((None, None, None, 3))
    assert model.layers[0].compute_output_shape((None, None, 9, 3)) == (None, None, 5, 4)
    assert model.output_shape == (None, 4)
    assert [model.predict(np.ones((2, n, n + 1, 3)), verbose=0).shape for n in (5, 8)] == [(2, 4), (2, 4)]


def test_the_last_layer_remembers_its_logits(device: str) -> None:
    """A loss of a saturated sigmoid is exact: the logit itself."""
    layer = layers.Conv2D(1, 1, activation="sigmoid", kernel_initializer=initializers.Constant(100.0))
    loss = keras.losses.BinaryCrossentropy()(nnkit.zeros(1, 2, 2, 1), layer(nnkit.ones(1, 2, 2, 1)))
    assert loss.item() == pytest.approx(100.0)


# ---- normalization and dropout ----------------------------------------------------------------------------


def test_batch_normalization_counts_moves_and_freezes(device: str) -> None:
    """Two steps by hand: moving becomes 0.75 moving + 0.25 batch; frozen, or outside of training, it stays."""
    layer = layers.BatchNormalization(momentum=0.75, epsilon=0.0)
    x = nnkit.tensor([[1.0], [5.0]])
    assert layer(x).tolist() == [[1.0], [5.0]]
    assert layer.count_params() == 4
    assert [len(weights) for weights in (layer.trainable_weights, layer.non_trainable_weights)] == [2, 2]
    for _ in range(2):
        assert layer(x, training=True).tolist() == [[-1.0], [1.0]]
    moved = [1.0, 0.0, 3.0 * (1 - 0.75**2), 0.75**2 + 4.0 * (1 - 0.75**2)]
    assert [w.item() for w in layer.get_weights()] == pytest.approx(moved)
    layer.trainable = False
    assert len(layer.non_trainable_weights) == 4
    expected = (np.array([[1.0], [5.0]]) - moved[2]) / math.sqrt(moved[3])
    assert np.asarray(layer(x, training=True).detach()) == pytest.approx(expected)
    assert [w.item() for w in layer.get_weights()] == pytest.approx(moved)


def test_the_summary_tells_what_is_not_trained() -> None:
    texts: list[str] = []
    normalized_model().summary(print_fn=texts.append)
    totals = [line.split(": ")[1].split(" (")[0] for line in texts[0].splitlines()[-3:]]
    assert totals == ["247", "223", "24"]


@pytest.mark.parametrize(
    ("layer", "shape", "one"),
    [
        (layers.SpatialDropout1D(0.25), (100, 5, 40), (100, 1, 40)),
        (layers.SpatialDropout2D(0.25), (100, 3, 2, 40), (100, 1, 1, 40)),
        (layers.SpatialDropout2D(0.25, data_format="channels_first"), (100, 40, 3, 2), (100, 40, 1, 1)),
    ],
)
def test_dropout_of_channels(layer: Any, shape: tuple[int, ...], one: tuple[int, ...], device: str) -> None:
    x = nnkit.ones(*shape)
    assert (layer(x) == x).all()
    y = np.asarray(layer(x, training=True))
    kept = y[tuple(slice(n) for n in one)]
    assert (y == kept).all()
    assert set(np.unique(kept).round(5)) == {0.0, np.float32(4 / 3).round(5)}
    assert (kept == 0.0).mean() == pytest.approx(0.25, abs=0.03)


# ---- refusals ---------------------------------------------------------------------------------------------

IMAGES = np.ones((1, 3, 4, 2))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: layers.Conv2D(4, 5)(IMAGES), ShapeError, "reaches over 5 x 5 places, and the input has 3 x 4"),
        (
            lambda: Sequential([layers.Input((3, 4, 2)), layers.Conv2D(4, 5, name="wide")]),
            ShapeError,
            "Conv2D layer 'wide': the kernel reaches over 5 x 5 places, and the input has 3 x 4",
        ),
        (lambda: layers.MaxPooling2D(4)(IMAGES), ShapeError, "4 x 4 places, and the input has 3 x 4"),
        (lambda: layers.Conv2D(4, 3)(IMAGES[0]), ShapeError, r"shape \(batch, height, width, channels\)"),
        (lambda: layers.MaxPool1D(2)(IMAGES), ShapeError, r"shape \(batch, steps, channels\)"),
        (lambda: layers.Conv2D(4, 3).build((None, 8, 8, None)), ShapeError, "a known number of channels"),
        (lambda: of_other_channels(), ShapeError, "was built for 2 channels"),
        (lambda: layers.Conv2D(4, 3, data_format="NHWC"), UnknownNameError, "'NHWC'.*channels_last"),
        (lambda: layers.Conv2D(4, 3, padding="causal"), UnknownNameError, "'causal'.*same"),
        (lambda: layers.Conv2D(4, 3, padding=1), UnknownNameError, "valid"),
        (lambda: layers.MaxPooling2D(2, padding="full"), UnknownNameError, "'full'"),
        (lambda: layers.Conv2D(0, 3), ValueError, "Conv2D: filters must be a positive integer; got 0"),
        (lambda: layers.Conv2D(4, (3, 3, 3)), ValueError, "kernel_size: expected one number, or 2"),
        (lambda: layers.Conv2D(4, 0), ValueError, "kernel_size: expected at least 1"),
        (lambda: layers.Conv2D(4, 3, strides=0), ValueError, "strides: expected at least 1"),
        (lambda: layers.Conv2D(4, 3, groups=3), ValueError, "filters must be a multiple of groups"),
        (lambda: layers.Conv2D(6, 3, groups=3)(IMAGES), ShapeError, "2 channels are not 3 equal groups"),
        (lambda: layers.Conv1D(4, 3, kernel_constraint="maxnom"), UnknownNameError, "unknown constraint 'maxnom'"),
        (lambda: layers.DepthwiseConv2D(3, depthwise_constraint="a"), UnknownNameError, "unknown constraint 'a'"),
        (lambda: layers.DepthwiseConv2D(3, depth_multiplier=0), ValueError, "depth_multiplier must be a positive"),
        (lambda: layers.SeparableConv2D(4, 3, pointwise_constraint="a"), UnknownNameError, "constraint 'a'"),
        (lambda: layers.Conv2DTranspose(4, 3, strides=2, output_padding=2), ValueError, "output_padding must be below"),
        (lambda: layers.Conv2D(4, 3).kernel, ValueError, "is not built"),
        (lambda: layers.BatchNormalization(axis=4)(IMAGES), ShapeError, "axis 4 is none of the 4 axes"),
        (lambda: layers.BatchNormalization().build((None, 3, None)), ShapeError, "needs the size of axis -1"),
        (lambda: layers.BatchNormalization(momentum=1.5), ValueError, "momentum must be from 0 to 1; got 1.5"),
        (lambda: layers.BatchNormalization(synchronized=True), ValueError, "synchronized is not supported"),
        (lambda: layers.BatchNormalization(renorm=True), ValueError, "renorm is not supported"),
        (lambda: layers.LayerNormalization(gamma_constraint="a"), UnknownNameError, "unknown constraint 'a'"),
        (lambda: layers.GroupNormalization(0), ValueError, "groups must be a positive integer, or -1; got 0"),
        (lambda: layers.GroupNormalization(3)(IMAGES), ShapeError, "2 channels are not 3 equal groups"),
        (lambda: layers.UpSampling2D(2, interpolation="bicubic"), UnknownNameError, "'bicubic'.*bilinear"),
        (lambda: layers.ZeroPadding2D((1, 2, 3)), ValueError, "padding must be one number, 2, or 2 pairs"),
        (lambda: layers.ZeroPadding1D(-1), ValueError, "padding: expected at least 0"),
        (lambda: layers.Cropping2D(2)(IMAGES), ShapeError, "leaves nothing of inputs of shape"),
        (lambda: layers.SpatialDropout2D(1.0), ValueError, "rate must be a number from 0 to less than 1"),
    ],
)
def test_refusals(make: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def of_other_channels() -> None:
    layer = layers.Conv2D(4, 3)
    layer.build((None, 4, 4, 2))
    layer(np.ones((1, 4, 4, 3)))
