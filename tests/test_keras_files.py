"""Saving and loading Keras models: the architecture, the weights, what compile was given, and refusals."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import keras
from nnkit.errors import ModelFileError
from nnkit.keras import layers, losses, metrics, optimizers, saving
from nnkit.keras.layers import Dense
from nnkit.keras.models import Model, Sequential, load_model

X = np.linspace(-1.0, 1.0, 12).reshape(4, 3)
Y = np.array([0, 1, 1, 0])


def every_layer() -> Sequential:
    return Sequential(
        [
            layers.Input((3,)),
            layers.Reshape((3, 1)),
            layers.Flatten(),
            Dense(4, "tanh", use_bias=False, kernel_initializer=keras.initializers.HeNormal(seed=3)),
            layers.ReLU(max_value=0.5, negative_slope=0.1),
            layers.LeakyReLU(0.2),
            layers.ELU(0.5),
            layers.Activation("gelu"),
            layers.Dropout(0.3),
            layers.Identity(),
            Sequential([Dense(4, kernel_regularizer=keras.regularizers.L1L2(0.1, 0.2), trainable=False)], name="inner"),
            Dense(3, bias_regularizer="l1"),
            layers.Softmax(),
        ],
        name="everything",
    )


def test_a_loaded_model_is_the_saved_one(tmp_path: Path, device: str) -> None:
    model = every_layer()
    model.compile(optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "model.safetensors")
    for again in (load_model(tmp_path / "model.safetensors"), nnkit.load(tmp_path / "model.safetensors")):
        assert json.dumps(again.get_config()) == json.dumps(model.get_config())
        assert again.predict(X, verbose=0).tobytes() == model.predict(X, verbose=0).tobytes()
        assert again.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)
        assert len(again.trainable_weights) == len(model.trainable_weights) == 3
        again.fit(X, Y, verbose=0)


def test_config_is_plain_and_rebuilds_the_model() -> None:
    model = every_layer()
    twin = Sequential.from_config(json.loads(json.dumps(model.get_config())))
    assert twin.get_config() == model.get_config()
    assert [type(layer) for layer in twin.layers] == [type(layer) for layer in model.layers]
    assert [weight.shape for weight in twin.weights] == [weight.shape for weight in model.weights]
    assert twin.layers[2] is not model.layers[2]


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "rmsprop", "loss": "mse"},
        {"optimizer": optimizers.SGD(lr=0.5, decay=0.1, momentum=0.9, nesterov=True), "loss": losses.Huber(0.5)},
        {
            "optimizer": optimizers.AdamW(optimizers.schedules.CosineDecay(0.1, 10), clipnorm=1.0),
            "loss": losses.CategoricalCrossentropy(label_smoothing=0.1),
            "metrics": [metrics.TopKCategoricalAccuracy(2), metrics.Precision(0.3, name="p"), "mae"],
            "weighted_metrics": [metrics.CategoricalCrossentropy()],
        },
    ],
)
def test_what_compile_was_given_comes_back(settings: dict[str, Any], tmp_path: Path) -> None:
    model = Sequential([Dense(3, "softmax", input_dim=3)])
    model.compile(**settings)
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert again.compiled and again.compile_config() == model.compile_config()
    assert again.evaluate(X, np.eye(4, 3), verbose=0) == model.evaluate(X, np.eye(4, 3), verbose=0)
    with pytest.raises(ValueError, match="not compiled"):
        load_model(tmp_path / "model", compile=False).evaluate(X, np.eye(4, 3))


def test_a_learning_rate_that_was_changed_is_saved_as_it_is(tmp_path: Path) -> None:
    model = Sequential([Dense(1, input_dim=3)])
    model.compile("sgd", "mse")
    halve = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    model.fit(X, Y, verbose=0, callbacks=halve)
    model.save(tmp_path / "model")
    assert load_model(tmp_path / "model").optimizer.learning_rate == 0.005  # type: ignore[union-attr]


def test_a_loss_of_ones_own_is_left_out_with_a_warning(tmp_path: Path) -> None:
    def own(y_true: nnkit.Tensor, y_pred: nnkit.Tensor) -> nnkit.Tensor:
        return (y_true - y_pred).abs().mean(dim=-1)

    model = Sequential([Dense(1, input_dim=3)])
    model.compile("sgd", own)
    with pytest.warns(UserWarning, match="call compile again after loading"):
        model.save(tmp_path / "model")
    assert not load_model(tmp_path / "model").compiled


def test_a_model_that_is_not_built_yet(tmp_path: Path) -> None:
    Sequential([Dense(2)]).save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert not again.built
    assert again(X).shape == (4, 2)


def test_layers_and_models_of_ones_own(tmp_path: Path) -> None:
    @saving.register_keras_serializable("tests")
    class Shift(layers.Layer):
        def __init__(self, by: float, **options: Any) -> None:
            super().__init__(**options)
            self.by = by

        def build(self, input_shape: Any) -> None:
            self.add_weight((input_shape[-1],), "ones", name="scale")

        def call(self, inputs: nnkit.Tensor) -> nnkit.Tensor:
            return inputs * self.scale + self.by

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "by": self.by}

    @nnkit.register_module(name="tests.Net")
    class Net(Model):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.shift = Shift(3.0)
            self.out = Dense(1)

        def call(self, inputs: nnkit.Tensor) -> nnkit.Tensor:
            return self.out(self.shift(inputs))

    for number, model in enumerate((Sequential([Shift(2.0), Dense(1)]), Net())):
        model.compile("sgd", "mse")
        model.fit(X, Y, verbose=0)
        model.save(tmp_path / str(number))
        again = load_model(tmp_path / str(number))
        assert type(again) is type(model)
        assert again.predict(X, verbose=0).tobytes() == model.predict(X, verbose=0).tobytes()


def test_what_cannot_be_described_keeps_its_weights_and_says_so(tmp_path: Path) -> None:
    model = Sequential([Dense(1, activation=lambda x: x, input_dim=3)])
    model.build((None, 3))
    with pytest.warns(UserWarning, match="holds the weights only"):
        model.save(tmp_path / "model")
    with pytest.raises(ModelFileError, match="holds only the weights"):
        load_model(tmp_path / "model")
    weights = nnkit.load_state_dict(tmp_path / "model")
    assert sum(weight.numel() for weight in weights.values()) == 4


def test_layers_that_are_not_registered_are_handed_over(tmp_path: Path) -> None:
    class Times(layers.Layer):
        def __init__(self, factor: float, **options: Any) -> None:
            super().__init__(**options)
            self.factor = factor

        def build(self, input_shape: Any) -> None:
            self.w = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="w")

        def call(self, inputs: nnkit.Tensor) -> nnkit.Tensor:
            return inputs * self.w * self.factor

    x = np.ones((2, 3), "float32")
    model = Sequential([Times(3.0, input_shape=(3,)), Dense(1)])
    for name in ("model.safetensors", "model.keras"):
        path = tmp_path / name
        model.save(path)
        with pytest.raises(ModelFileError, match="Times', which is not registered"):
            load_model(path)
        assert (load_model(path, custom_objects={"Times": Times}).predict(x) == model.predict(x)).all()
        with saving.custom_object_scope({"Times": Times}):
            assert load_model(path).layers[0].factor == 3.0


def test_what_a_class_was_made_with_is_its_configuration(tmp_path: Path) -> None:
    """Where a class does not say its configuration, it is what the constructor was given, layers too."""

    class Times(layers.Layer):
        def __init__(self, factor: float, **options: Any) -> None:
            super().__init__(**options)
            self.factor = factor

        def call(self, inputs: nnkit.Tensor) -> nnkit.Tensor:
            return inputs * self.factor

    class Net(Model):
        def __init__(self, units: int, body: Any, factor: float = 1.0) -> None:
            super().__init__()
            self.body, self.times, self.out = body, Times(factor), Dense(units)

        def call(self, inputs: nnkit.Tensor) -> nnkit.Tensor:
            return self.out(self.times(self.body(inputs)))

    assert Times.from_config(Times(2.0, name="twice").get_config()).factor == 2.0
    model, x = Net(2, Sequential([Dense(3)]), factor=4.0), np.ones((2, 3), "float32")
    model.compile("sgd", "mse")
    model.fit(x, x[:, :2], verbose=0)
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model", custom_objects={"Net": Net, "Times": Times})
    assert (again.predict(x, verbose=0) == model.predict(x, verbose=0)).all()


def test_registered_parts_come_back(tmp_path: Path) -> None:
    @saving.register_keras_serializable("files")
    def bent(x: nnkit.Tensor) -> nnkit.Tensor:
        return x * nnkit.sigmoid(x)

    @saving.register_keras_serializable("files")
    class Half(keras.regularizers.Regularizer):
        def __init__(self, strength: float) -> None:
            self.strength = strength

        def __call__(self, weight: nnkit.Tensor) -> nnkit.Tensor:
            return self.strength * (abs(weight) ** 0.5).sum()

    @saving.register_keras_serializable("files", "fourth")
    class Fourth(losses.Loss):
        def __init__(self, factor: float = 1.0, **options: Any) -> None:
            super().__init__(**options)
            self.factor = factor

        def call(self, y_true: nnkit.Tensor, y_pred: nnkit.Tensor) -> nnkit.Tensor:
            return self.factor * ((y_true - y_pred) ** 4).mean(-1)

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "factor": self.factor}

    model = Sequential([Dense(1, activation=bent, kernel_regularizer=Half(0.5), input_dim=3)])
    model.compile("sgd", Fourth(2.0), metrics=["mae"])
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert again.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)
    assert again.layers[0].activation is bent and again.loss["class_name"] == "files>fourth"


@pytest.mark.parametrize(
    ("family", "thing"),
    [
        (keras.initializers, keras.initializers.HeNormal(seed=1)),
        (keras.regularizers, keras.regularizers.L1L2(0.1, 0.2)),
        (keras.constraints, keras.constraints.MaxNorm(3.0)),
        (keras.losses, losses.Huber(0.5)),
        (keras.metrics, metrics.Precision(0.3)),
    ],
)
def test_each_family_is_described_and_made_again(family: Any, thing: Any) -> None:
    description = family.serialize(thing)
    again = family.deserialize(description)
    assert type(again) is type(thing) and again.get_config() == thing.get_config()
    assert saving.deserialize_keras_object(saving.serialize_keras_object(thing)).get_config() == thing.get_config()
    name = type(thing).__name__
    mine = type(f"My{name}", (type(thing),), {})
    assert type(family.deserialize({**description, "class_name": f"My{name}"}, {f"My{name}": mine})) is mine


def test_weights_alone(tmp_path: Path) -> None:
    model, other = (Sequential([Dense(2, input_dim=3)]) for _ in range(2))
    for name in ("model.weights.safetensors", "model.weights.h5", "model.h5"):
        model.save_weights(tmp_path / name)
        other.set_weights([0 * weight for weight in other.get_weights()])
        other.load_weights(tmp_path / name)
        assert other.get_weights()[0].tobytes() == model.get_weights()[0].tobytes()
        with pytest.raises(ModelFileError, match=r"does not fit|nothing was loaded"):
            Sequential([Dense(2, input_dim=4)]).load_weights(tmp_path / name)


def test_refusals(tmp_path: Path) -> None:
    path = tmp_path / "model"
    nnkit.nn.Linear(1, 1).save(path)
    with pytest.raises(ModelFileError, match="no model of nnkit"):
        load_model(path)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        Sequential([Dense(1)]).save(path, overwrite=False)
    with pytest.raises(ValueError, match="is not built"):
        Sequential([Dense(1)]).save_weights(path)
    with pytest.raises(ModelFileError, match="not registered"):
        Sequential.from_config({"name": "m", "layers": [{"class_name": "os.system", "config": {}}]})
    with pytest.raises(ModelFileError, match="is no layer"):
        Sequential.from_config({"name": "m", "layers": [{"class_name": "Linear", "config": {}}]})


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_goes_on_as_the_original_would(copied: Any) -> None:
    """The optimizer's momentum is copied too: both train on to the same weights, and apart from each other."""
    model = Sequential([Dense(4, "relu", input_dim=3), Dense(2, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(X, Y, epochs=2, shuffle=False, verbose=0)
    twin = copied(model)
    histories = [m.fit(X, Y, epochs=3, shuffle=False, verbose=0).history["loss"] for m in (model, twin)]
    assert histories[0] == histories[1]
    assert [w.tobytes() for w in twin.get_weights()] == [w.tobytes() for w in model.get_weights()]


# ---- one layer in two places ----------------------------------------------------------------------------------------


def inside_and_outside() -> Model:
    """A layer that a nested model has and the model around it calls too."""
    shared, x, y = Dense(3, name="shared"), keras.Input((3,)), keras.Input((3,))
    inner = Model(x, shared(x), name="inner")
    return Model(y, shared(inner(y)))


def in_a_list() -> Model:
    shared, x = Dense(3, name="shared"), keras.Input((3,))
    return Sequential([keras.Input((3,)), Model(x, shared(x), name="inner"), shared])


@pytest.mark.parametrize("make", [inside_and_outside, in_a_list])
def test_a_layer_in_a_nested_model_and_outside_of_it_stays_one(make: Any, tmp_path: Path) -> None:
    model = make()
    model.save(tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors")
    assert len(again.weights) == len(model.weights) == 2
    assert again.get_layer("shared") is again.get_layer("inner").get_layer("shared")
    assert np.array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))


@pytest.mark.parametrize("place", [0, 1, 7, -1, True, "0", None])
def test_a_reference_to_a_layer_that_does_not_come_before_is_refused(place: Any) -> None:
    """The nested model itself, which is not made yet, counts among those."""
    config = inside_and_outside().get_config()
    operations = config["graph"]["operations"]
    again = next(part for part in operations if "again" in part)
    operations.insert(0, operations.pop(operations.index(again)))
    again["again"] = place
    with pytest.raises(ModelFileError, match="does not come before"):
        Model.from_config(config)
