"""Keras's models: building, compile, fit, evaluate, predict and summary, as Keras 3 documents them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import keras
from nnkit.errors import DataError, DivergenceError, ShapeError, UnknownNameError
from nnkit.keras import layers
from nnkit.keras.layers import Dense, Dropout, Flatten, Input
from nnkit.keras.models import Model, Sequential
from nnkit.utils.data import DataLoader, TensorDataset

Make = Callable[[], Sequential]


@pytest.fixture(autouse=True)
def names_from_the_start() -> Iterator[None]:
    keras.utils.clear_session()
    yield


def line(slope: float = 1.0, **options: Any) -> Sequential:
    """One weight and a bias of 0: the model's output is slope * x."""
    model = Sequential([Dense(1, kernel_initializer=keras.initializers.Constant(slope), input_shape=(1,))])
    model.compile(**({"optimizer": "sgd", "loss": "mse"} | options))
    return model


def separable(rows: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Points in the plane, and whether their coordinates sum to more than 0."""
    x = np.random.default_rng(0).normal(size=(rows, 2))
    return x, (x.sum(axis=1) > 0).astype(int)


# ---- building ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: Sequential([Input(shape=(4,)), Dense(3), Dense(2)]),
        lambda: Sequential([layers.InputLayer(input_shape=(4,)), Dense(3), Dense(2)]),
        lambda: Sequential([Dense(3, input_shape=(4,)), Dense(2)]),
        lambda: Sequential([Dense(3, input_dim=4), Dense(2)]),
        lambda: Sequential([Sequential([Dense(3, input_dim=4)]), Dense(2)]),
        lambda: added(Sequential(), Input((4,)), Dense(3), Dense(2)),
        lambda: added(Sequential(), Dense(3, input_dim=4), Dense(2)),
        lambda: built(Sequential([Dense(3), Dense(2)]), (None, 4)),
        lambda: called(Sequential([Dense(3), Dense(2)]), np.zeros((5, 4))),
    ],
)
def test_every_way_of_stating_the_input_builds_the_same_model(make: Make) -> None:
    model = make()
    assert (model.input_shape, model.output_shape) == ((None, 4), (None, 2))
    assert [tuple(weight.shape) for weight in model.weights] == [(4, 3), (3,), (3, 2), (2,)]
    assert model.count_params() == 23
    assert len(model.layers) == 2


def added(model: Sequential, *parts: layers.Layer) -> Sequential:
    for part in parts:
        model.add(part)
    return model


def built(model: Sequential, shape: Any) -> Sequential:
    model.build(shape)
    return model


def called(model: Sequential, x: np.ndarray) -> Sequential:
    model(x)
    return model


def test_pop_takes_the_last_layer_off() -> None:
    model = Sequential([Dense(3, input_dim=4), Dense(2)])
    assert model.pop().name == "dense_1"
    assert model.output_shape == (None, 3)
    model.add(Flatten())
    model.add(Dense(5, name="new"))
    assert model.output_shape == (None, 5)
    assert model.get_layer("new") is model.layers[-1] is model.get_layer(index=2)


def test_set_weights_then_get_weights(device: str) -> None:
    model = Sequential([Dense(2, input_dim=3), Dense(1)])
    weights = [np.arange(6.0).reshape(3, 2), np.ones(2), np.full((2, 1), 2.0), np.array([-1.0])]
    model.set_weights(weights)
    assert all((got == given).all() for got, given in zip(model.get_weights(), weights, strict=True))
    assert model(np.ones((1, 3))).tolist() == [[2 * (7.0 + 10.0) - 1.0]]


def test_a_subclass_of_model(device: str) -> None:
    class Net(Model):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = Dense(8, activation="relu")
            self.out = Dense(1, activation="sigmoid")

        def call(self, inputs: nnkit.Tensor) -> nnkit.Tensor:
            return self.out(self.hidden(inputs))

    x, y = separable()
    keras.utils.set_random_seed(0)
    net = Net()
    net.compile(keras.optimizers.Adam(0.05), "binary_crossentropy", metrics=["accuracy"])
    history = net.fit(x, y, epochs=5, verbose=0)
    assert history.history["accuracy"][-1] > 0.9
    assert [layer.name for layer in net.layers] == ["dense", "dense_1"]
    assert [tuple(weight.shape) for weight in net.weights] == [(2, 8), (8,), (8, 1), (1,)]


SUMMARY = """\
Model: "digits"
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━┓
┃ Layer (type)                    ┃ Output Shape           ┃       Param # ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━┩
│ flatten (Flatten)               │ (None, 784)            │             0 │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ dense (Dense)                   │ (None, 128)            │       100,480 │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ dense_1 (Dense)                 │ (None, 10)             │         1,290 │
└─────────────────────────────────┴────────────────────────┴───────────────┘
 Total params: 101,770 (397.54 KB)
 Trainable params: 100,480 (392.50 KB)
 Non-trainable params: 1,290 (5.04 KB)"""


def test_summary() -> None:
    model = Sequential([Flatten(input_shape=(28, 28)), Dense(128), Dense(10, trainable=False)], name="digits")
    texts: list[str] = []
    model.summary(print_fn=texts.append)
    assert texts == [SUMMARY]


def test_summary_of_a_model_with_a_call_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    class Net(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.unused = Dense(8), Dense(2)

        def call(self, inputs: Any) -> Any:
            return self.hidden(inputs)

    model = Net()
    model(np.ones((2, 3), np.float32))
    model.summary()
    told = capsys.readouterr().out
    assert "(None, 8)" in told and "?" in told and "0 (unbuilt)" in told


def test_summary_of_a_model_without_weights_yet(capsys: pytest.CaptureFixture[str]) -> None:
    Sequential([Dense(2)]).summary()
    text = capsys.readouterr().out
    assert "?" in text and "0 (unbuilt)" in text and "Total params: 0 (0.00 B)" in text


# ---- training ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [(-1,), (-1, 1)])
@pytest.mark.parametrize("inputs", [(-1,), (-1, 1)])
def test_vectors_and_columns_are_alike(inputs: tuple[int, ...], target: tuple[int, ...], device: str) -> None:
    """One full-batch step by hand: the gradients of the mean of (wx - 2x)² at w = 1 are -2 mean(x²) and -2 mean(x)."""
    x = np.array([1.0, 2.0, 3.0])
    model = line(optimizer=keras.optimizers.SGD(0.125))
    history = model.fit(x.reshape(inputs), 2 * x.reshape(target), batch_size=3, verbose=0)
    assert history.history["loss"] == pytest.approx([14 / 3])
    assert [float(w.item()) for w in model.get_weights()] == pytest.approx([1 + 0.25 * 14 / 3, 0.25 * 2])
    assert model.predict(x.reshape(inputs), verbose=0).shape == (3, 1)


def test_a_classifier_learns(device: str) -> None:
    x, y = separable()
    keras.utils.set_random_seed(0)
    model = Sequential([Dense(8, activation="relu"), Dropout(0.1), Dense(2, activation="softmax")])
    model.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, epochs=6, batch_size=20, validation_split=0.25, verbose=0)
    assert list(history.history) == ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert history.epoch == list(range(6)) and model.history is history
    assert history.history["val_accuracy"][-1] > 0.9
    chances = model.predict(x, verbose=0)
    assert chances.shape == (200, 2) and chances.sum(axis=1) == pytest.approx(np.ones(200), abs=1e-5)
    assert (chances.argmax(axis=1) == y).mean() == model.evaluate(x, y, verbose=0)[1]  # type: ignore[index]


def test_the_losses_are_equal_on_all_devices(device: str) -> None:
    """The same program trains to the same numbers everywhere, to 5 digits."""
    x, y = separable(64)

    def losses() -> list[float]:
        keras.utils.set_random_seed(0)
        model = Sequential([Dense(8, activation="tanh"), Dropout(0.2), Dense(1, activation="sigmoid")])
        model.compile("adam", "binary_crossentropy")
        return model.fit(x, y, epochs=3, batch_size=16, verbose=0).history["loss"]

    here = losses()
    nnkit.set_default_device("numpy")
    assert here == pytest.approx(losses(), rel=1e-5)


def test_what_evaluate_returns() -> None:
    x, y = np.array([1.0, 2.0]), np.array([2.0, 4.0])
    assert line().evaluate(x, y, verbose=0) == 2.5
    model = line(metrics=["mae", keras.metrics.MeanSquaredError(name="again")])
    assert model.evaluate(x, y, verbose=0) == [2.5, 1.5, 2.5]
    assert model.evaluate(x, y, verbose=0, return_dict=True) == {"loss": 2.5, "mae": 1.5, "again": 2.5}
    assert model.test_on_batch(x, y) == [2.5, 1.5, 2.5]


def test_weights_of_samples_and_classes(device: str) -> None:
    """Keras divides sum(w_i * l_i) by the number of samples, not by the sum of the weights: (1·1 + 0.5·4) / 2."""
    x, y = np.array([1.0, 2.0]), np.array([2, 4])
    assert line().evaluate(x, y, sample_weight=np.array([1.0, 0.5]), verbose=0) == pytest.approx(1.5)
    history = line().fit(x, y, class_weight={2: 3.0, 4: 0.5}, verbose=0)
    assert history.history["loss"] == pytest.approx([2.5])
    both = line().fit(x, y, class_weight={4: 0.5}, sample_weight=np.array([0.0, 1.0]), verbose=0)
    assert both.history["loss"] == pytest.approx([1.0])


def test_penalties_are_part_of_every_loss(device: str) -> None:
    model = Sequential([Dense(1, kernel_initializer="ones", kernel_regularizer="l2", input_dim=1)])
    model.compile("sgd", "mse")
    x = np.array([1.0, 2.0])
    assert model.evaluate(x, x, verbose=0) == pytest.approx(0.01)
    history = model.fit(x, x, validation_data=(x, x), verbose=0)
    assert history.history["loss"] == pytest.approx([0.01])
    assert history.history["val_loss"][0] == pytest.approx(0.01 * 0.9998**2, rel=1e-4)


def test_a_loss_summed_over_the_batch() -> None:
    model = line(loss=keras.losses.MeanSquaredError(reduction="sum"))
    assert model.evaluate(np.array([1.0, 2.0]), np.array([2.0, 4.0]), verbose=0) == pytest.approx(5.0)


def test_fit_goes_on_where_it_left_off() -> None:
    """The optimizer keeps its momentum between calls, and compile starts it afresh."""
    x = np.array([1.0, 2.0])
    model = line(optimizer=keras.optimizers.SGD(0.01, momentum=0.9))
    model.fit(x, 2 * x, epochs=2, batch_size=2, verbose=0)
    once = line(optimizer=keras.optimizers.SGD(0.01, momentum=0.9))
    for epoch in range(2):
        once.fit(x, 2 * x, initial_epoch=epoch, epochs=epoch + 1, batch_size=2, verbose=0)
    assert once.history is not None and once.history.epoch == [1]
    assert once.get_weights()[0] == pytest.approx(model.get_weights()[0])
    assert model.optimizer is not None and model.optimizer.iterations == 2  # type: ignore[attr-defined]


def test_only_trainable_layers_change() -> None:
    x, y = separable(32)
    model = Sequential([Dense(4, trainable=False, input_dim=2), Dense(1)])
    before = model.get_weights()
    model.compile("sgd", "mse")
    model.fit(x, y, verbose=0)
    changed = [bool((a != b).any()) for a, b in zip(before, model.get_weights(), strict=True)]
    assert changed == [False, False, True, True]


@pytest.mark.parametrize("kind", ["loader", "dataset", "list", "generator"])
def test_data_that_come_in_batches(kind: str) -> None:
    """Targets (n,) beside an output (n, 1), from every source; deferred building takes the shape from the data."""
    x = np.arange(1.0, 7.0, dtype=np.float32).reshape(6, 1)
    y = 2 * x[:, 0]
    batches = [(x[:4], y[:4]), (x[4:], y[4:])]
    sources: dict[str, Callable[[], Any]] = {
        "loader": lambda: DataLoader(TensorDataset(x, y), batch_size=4),
        "dataset": lambda: TensorDataset(x, y),
        "list": lambda: batches,
        "generator": lambda: (batch for batch in batches),
    }
    model = Sequential([Dense(1, kernel_initializer="ones")])
    model.compile("sgd", "mse")
    assert model.evaluate(sources[kind](), verbose=0) == pytest.approx(91 / 6)
    model.fit(sources[kind](), validation_data=None if kind == "generator" else sources[kind](), verbose=0)
    assert model.get_weights()[0].item() > 1.0


def test_train_on_batch() -> None:
    x = np.array([1.0, 2.0])
    model = line(metrics=["mae"])
    assert model.train_on_batch(x, 2 * x) == pytest.approx([2.5, 1.5])
    assert model.train_on_batch(x, 2 * x, return_dict=True)["loss"] < 2.5  # type: ignore[index,call-overload]
    assert model.predict_on_batch(x).shape == (2, 1)


def test_every_kind_of_array_is_taken_and_left_unchanged() -> None:
    x = np.array([[1, 2], [3, 4]], dtype=">i2", order="F")
    y = np.array([[0.0], [1.0]])
    y.flags.writeable = False
    before = x.tobytes(), y.tobytes()
    model = Sequential([Dense(1, input_dim=2)])
    model.compile("sgd", "mse")
    model.fit(x, y, verbose=0)
    model.evaluate(x.tolist(), nnkit.tensor(y), verbose=0)
    assert (x.tobytes(), y.tobytes()) == before


# ---- refusals ---------------------------------------------------------------------------------------------

X, Y = np.ones((4, 1)), np.ones((4, 1))


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda: Sequential([Dense(1)]).fit(X, Y), ValueError, r"call compile\(optimizer=..., loss=...\) before fit"),
        (lambda: Sequential([Dense(1)]).evaluate(X, Y), ValueError, "before evaluate"),
        (lambda: line(loss=None).fit(X, Y), ValueError, "fit needs a loss"),
        (lambda: line(loss="msee"), UnknownNameError, "did you mean 'mse'"),
        (lambda: line(optimizer="adm"), UnknownNameError, "did you mean 'adam'"),
        (lambda: line(metrics=["acuracy"]), UnknownNameError, "'accuracy'"),
        (lambda: line(loss=["mse"], loss_weights=[1.0, 2.0]).fit(X, Y, verbose=0), ValueError, "zip"),
        (lambda: line(loss=keras.losses.MeanSquaredError(reduction=None)).fit(X, Y), ValueError, "reduction"),
        (lambda: line().fit(X, Y, validation_data=(X, Y), validation_freq=0), ValueError, "validation_freq must be"),
        (lambda: line().fit(np.ones((4, 3)), Y, verbose=0), ShapeError, r"takes inputs of shape \(None, 1\)"),
        (lambda: line().fit(X, np.ones((4, 2)), verbose=0), ShapeError, "equal shapes"),
        (lambda: line().fit(X, np.ones((3, 1)), verbose=0), DataError, "lengths differ"),
        (lambda: line().fit(X * np.nan, Y, verbose=0), DataError, "NaN or infinite"),
        (lambda: line().fit(iter([]), verbose=0), DataError, "yielded no batch"),
        (lambda: line().fit(1e6 * X, Y, epochs=20, verbose=0), DivergenceError, "epoch"),
        (lambda: Sequential().build((None, 2)), ValueError, "has no layers"),
        (lambda: Sequential([Dense(1)]).build(), ValueError, "does not know its input shape"),
        (lambda: Sequential([Dense(1)]).output_shape, AttributeError, "no defined output shape yet"),
        (lambda: Sequential([Dense(1, input_dim=2)]).build((None, 3)), ShapeError, "is built for samples of shape"),
        (lambda: Sequential([Dense(1, input_dim=2)]).build((None, 0)), ShapeError, "a shape must be a tuple"),
        (lambda: Sequential([Dense(1, name="a"), Dense(1, name="a")]), ValueError, "called 'a' already"),
        (lambda: Sequential([Dense(1), Input((2,))]), ValueError, "an Input layer comes first"),
        (lambda: Sequential([Dense]), ValueError, r"make an instance: Dense\(...\)"),
        (lambda: Sequential([nnkit.nn.Linear(1, 1)]), ValueError, "expects a layer of nnkit.keras.layers"),
        (lambda: Sequential().pop(), ValueError, "no layer to remove"),
        (lambda: line().get_layer("nothing"), ValueError, "its layers are"),
    ],
)  # fmt: skip
def test_refusals(act: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        act()


def test_importing_keras_costs_little() -> None:
    heavy = "{'numba', 'cupy', 'scipy', 'sklearn', 'matplotlib', 'pandas', 'tqdm', 'pooch', 'safetensors'}"
    code = f"import sys, nnkit.keras; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
