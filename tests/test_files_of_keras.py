"""Keras's own files: those that Keras 3 wrote are read, and those that nnkit writes Keras opens.

What Keras wrote is in reference/keras_files.zip (made by make_keras_files.py); where Keras can be imported, it opens
what nnkit writes. Outputs are held to 1e-5 of the largest.
"""

from __future__ import annotations

import io
import os
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras_files_table import (
    CASES,
    FLAT,
    MODELS,
    assert_close,
    outputs,
    own_words,
    plain,
    shaken,
    shared,
)

import nnkit
from nnkit import keras
from nnkit.errors import ModelFileError
from nnkit.keras.models import load_model

h5py = pytest.importorskip("h5py")
STORED = Path(__file__).parent / "reference" / "keras_files.zip"
X, Y = np.random.default_rng(5).normal(size=(8, 6)).astype("float32"), np.eye(2, dtype="float32")[[0, 1] * 4]


@pytest.fixture(scope="module")
def stored() -> Any:
    own_words(keras)
    with zipfile.ZipFile(STORED) as archive:
        yield archive


@pytest.fixture(scope="module")
def expected(stored: Any) -> Any:
    return np.load(io.BytesIO(stored.read("outputs.npz")))


def put(stored: Any, name: str, folder: Path) -> Path:
    path = folder / name.replace(" ", "_")
    path.write_bytes(stored.read(name))
    return path


def predicted(expected: Any, name: str) -> list[np.ndarray]:
    return [expected[key] for key in expected.files if key.rpartition("/")[0] == name]


# ---- read -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_what_keras_wrote_predicts_as_it_did_there(name: str, stored: Any, expected: Any, tmp_path: Path) -> None:
    model = load_model(put(stored, f"{name}.keras", tmp_path))
    assert_close(outputs(model, CASES[name].inputs), predicted(expected, name), CASES[name].close)


@pytest.mark.parametrize("name", MODELS)
def test_weights_that_keras_wrote(name: str, stored: Any, expected: Any, tmp_path: Path) -> None:
    model = MODELS[name].make(keras)
    model.load_weights(put(stored, f"{name}.weights.h5", tmp_path))
    assert_close(outputs(model, MODELS[name].inputs), predicted(expected, name), MODELS[name].close)
    again = shaken(MODELS[name].make(keras))
    again.load_weights(put(stored, f"{name}.keras", tmp_path))  # a whole model's weights alone
    assert [w.tobytes() for w in again.get_weights()] == [w.tobytes() for w in model.get_weights()]


@pytest.mark.parametrize("name", ["plain", "shared", "nested", "frozen"])
def test_older_files_that_keras_wrote(name: str, stored: Any, expected: Any, tmp_path: Path) -> None:
    path = put(stored, f"{name}.h5", tmp_path)
    found, made = load_model(path), MODELS[name].make(keras)
    made.load_weights(path)
    for model in (found, made):
        assert_close(outputs(model, MODELS[name].inputs), predicted(expected, name), 1e-5)


def test_a_training_goes_on_where_keras_left_it(stored: Any, tmp_path: Path) -> None:
    """Weights, schedule and the optimizer's state are there, in the older format too."""
    after = np.load(io.BytesIO(stored.read("trained.npz")))
    for ending in (".keras", ".h5"):
        model = load_model(put(stored, f"trained{ending}", tmp_path))
        assert model.optimizer.iterations == 4  # type: ignore[union-attr]
        assert model.optimizer.learning_rate == pytest.approx(0.025)  # type: ignore[union-attr]
        model.fit(X, Y, batch_size=2, shuffle=False, verbose=0)
        assert_close([np.asarray(w) for w in model.get_weights()], [after[key] for key in after.files], 2e-5)
        assert set(model.evaluate(X, Y, verbose=0, return_dict=True)) == {"loss", "accuracy"}
    assert not load_model(put(stored, "trained.keras", tmp_path), compile=False).compiled


def test_an_older_layout_of_calls(tmp_path: Path) -> None:
    """Keras 2 listed calls as [[layer, call, result, arguments]], and counted a model's own call."""
    history = [[["inner", 1, 0, {}]], [["inner", 2, 0, {}]]]
    inner = {"name": "inner", "layers": [
        {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 3], "dtype": "float32", "name": "i"},
         "name": "i", "inbound_nodes": []},
        {"class_name": "Dense", "name": "d", "inbound_nodes": [[["i", 0, 0, {}]]], "config": {
            "name": "d", "units": 2, "kernel_initializer": {"class_name": "GlorotUniform", "config": {"seed": None}}}},
    ], "input_layers": [["i", 0, 0]], "output_layers": [["d", 0, 0]]}  # fmt: skip
    heads = [
        {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 3], "name": n}, "name": n,
         "inbound_nodes": []} for n in "ab"
    ]  # fmt: skip
    whole = {"class_name": "Functional", "config": {"name": "outer", "layers": [
        *heads, {"class_name": "Functional", "config": inner, "name": "inner",
                 "inbound_nodes": [[["a", 0, 0, {}]], [["b", 0, 0, {}]]]},
        {"class_name": "Subtract", "config": {"name": "s", "trainable": True}, "name": "s",
         "inbound_nodes": [history[0] + history[1]]},
    ], "input_layers": [["a", 0, 0], ["b", 0, 0]], "output_layers": [["s", 0, 0]]}}  # fmt: skip
    model = keras.saving.deserialize_keras_object(whole)
    a, b = np.ones((2, 3), "float32"), np.zeros((2, 3), "float32")
    kernel = model.get_weights()[0]
    np.testing.assert_allclose(model.predict([a, b], verbose=0), a @ kernel, rtol=1e-6)


# ---- write ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".keras", ".h5", ".weights.h5", ".named.h5"])
@pytest.mark.parametrize("name", MODELS)
def test_what_nnkit_wrote_it_reads(name: str, ending: str, tmp_path: Path, device: str) -> None:
    if (name, device) == ("half", "strict"):
        pytest.skip("the strict device has no half types")
    own_words(keras)
    model, path = shaken(MODELS[name].make(keras)), tmp_path / f"file{ending}"
    if (name, ending) == ("own model", ".h5"):  # older files do not say what its input is like
        model.save(path)
        with pytest.raises(ModelFileError, match="does not say of what shape the input"):
            load_model(path)
        return
    if ending in (".keras", ".h5"):
        model.save(path)
        again = load_model(path)
        if name != "own model":  # whose own code names them
            assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    else:
        model.save_weights(path)
        again = MODELS[name].make(keras)
        again.load_weights(path)
    assert [w.shape for w in again.trainable_weights] == [w.shape for w in model.trainable_weights]
    assert_close(outputs(again, MODELS[name].inputs), outputs(model, MODELS[name].inputs), 0.0)


OPTIMIZERS = {
    "sgd": lambda o: o.SGD(0.1), "momentum": lambda o: o.SGD(0.1, momentum=0.9, nesterov=True),
    "adam": lambda o: o.Adam(0.01, amsgrad=True), "adamw": lambda o: o.AdamW(0.01, clipnorm=1.0),
    "rmsprop": lambda o: o.RMSprop(0.01), "centered": lambda o: o.RMSprop(0.01, momentum=0.9, centered=True),
    "adagrad": lambda o: o.Adagrad(0.1), "adadelta": lambda o: o.Adadelta(1.0), "adamax": lambda o: o.Adamax(0.01),
    "ftrl": lambda o: o.Ftrl(0.1, l1_regularization_strength=0.01), "lamb": lambda o: o.Lamb(0.01),
    "lion": lambda o: o.Lion(0.01), "nadam": lambda o: o.Nadam(0.01),
    "schedule": lambda o: o.SGD(o.schedules.CosineDecay(0.1, 20), momentum=0.5),
    "average": lambda o: o.Adam(0.01, use_ema=True, ema_overwrite_frequency=3),
    "several batches": lambda o: o.SGD(0.1, momentum=0.9, gradient_accumulation_steps=2),
}  # fmt: skip


def trained(kit: Any, name: str) -> Any:
    model = kit.Sequential([kit.Input((6,)), kit.layers.Dense(5, "tanh"), kit.layers.Dense(2)])
    model.compile(OPTIMIZERS[name](kit.optimizers), loss="mse", metrics=["mae"])
    model.fit(X[:6], Y[:6], batch_size=2, shuffle=False, verbose=0)
    return model


def goes_on(one: Any, other: Any) -> None:
    for model in (one, other):
        model.fit(X, Y, batch_size=2, shuffle=False, verbose=0)
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_training_goes_on_from_a_file(name: str, tmp_path: Path) -> None:
    model = trained(keras, name)
    model.save(tmp_path / "model.keras")
    goes_on(model, load_model(tmp_path / "model.keras"))


def test_a_decay_of_older_optimizers_becomes_a_schedule(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(2)])
    model.compile(keras.optimizers.SGD(lr=0.5, decay=0.1), "mse")
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras")
    assert again.optimizer.learning_rate == pytest.approx(model.optimizer.learning_rate)  # type: ignore[union-attr]
    goes_on(model, again)


def test_an_optimizer_whose_state_is_kept_otherwise_begins_afresh(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(2)])
    model.compile("adafactor", "mse")
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "model.keras")
    with pytest.warns(UserWarning, match="begins afresh"):
        assert load_model(tmp_path / "model.keras").optimizer.iterations == 0  # type: ignore[union-attr]


def test_by_name_and_what_fits(tmp_path: Path) -> None:
    L = keras.layers
    one = keras.Sequential([keras.Input((6,)), L.Dense(4, name="a"), L.Dense(2, name="b")])
    other = keras.Sequential([keras.Input((6,)), L.Dense(4, name="a"), L.Dense(3, name="c")])
    for ending, options in ((".h5", {"by_name": True}), (".weights.h5", {"skip_mismatch": True})):
        shaken(one).save_weights(tmp_path / f"w{ending}")
        before = [0 * weight for weight in other.get_weights()]
        other.set_weights(before)
        with pytest.raises((ModelFileError, ValueError)):
            other.load_weights(tmp_path / f"w{ending}")
        assert not any(weight.any() for weight in other.get_weights())
        other.load_weights(tmp_path / f"w{ending}", **options)
        assert (other.get_weights()[0] == one.get_weights()[0]).all() and not other.get_weights()[2].any()


def test_a_layer_in_two_models_is_one_again(tmp_path: Path) -> None:
    L = keras.layers
    within = keras.Sequential([keras.Input((6,)), L.Dense(3)])
    i, j = keras.Input((6,)), keras.Input((6,))
    model = shaken(keras.Model(j, [keras.Model(i, within(i) + 1.0)(j), within(j)]))
    model.save(tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras")
    assert len(again.weights) == len(model.weights) == 2
    assert_close(outputs(again, FLAT), outputs(model, FLAT), 0.0)


def test_texts(tmp_path: Path) -> None:
    """Words learned by adapt are in the configuration, or, in Keras's files, in a text beside."""
    L = keras.layers
    lookup = L.StringLookup(mask_token="")
    lookup.adapt(["b", "a", "b"])
    model = keras.Sequential([lookup], name="texts")
    model.save(tmp_path / "model.keras")
    assert load_model(tmp_path / "model.keras").layers[0].get_vocabulary() == ["", "[UNK]", "b", "a"]  # type: ignore[attr-defined]
    path = tmp_path / "beside.keras"
    with zipfile.ZipFile(tmp_path / "model.keras") as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name).replace(b'"vocabulary": ["b", "a"]', b'"vocabulary": null')
            new.writestr(name, content)
        new.writestr("assets/layers/string_lookup/vocabulary.txt", "\n[UNK]\nz\ny\n")
    assert load_model(path).layers[0].get_vocabulary() == ["", "[UNK]", "z", "y"]  # type: ignore[attr-defined]


def test_weights_of_pytorchs_files_are_read_as_before(tmp_path: Path) -> None:
    model, other = (shaken(keras.Sequential([keras.Input((6,)), keras.layers.Dense(2)])) for _ in range(2))
    nnkit.save(dict(model.state_dict()), tmp_path / "weights.pt")
    other.set_weights([0 * weight for weight in other.get_weights()])
    other.load_weights(tmp_path / "weights.pt")
    assert (other.get_weights()[0] == model.get_weights()[0]).all()


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    L = keras.layers
    model = keras.Sequential([keras.Input((6,)), L.Dense(2)])
    with pytest.raises(ValueError, match=r"name the file \.weights\.h5"):
        model.save_weights(tmp_path / "w.keras")
    with pytest.raises(ValueError, match="zipped=False"):
        model.save(tmp_path / "m.keras", zipped=False)
    model.save(tmp_path / "m.keras")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        model.save(tmp_path / "m.keras", overwrite=False)
    with pytest.raises(ValueError, match="by_name is for"):
        model.load_weights(tmp_path / "m.keras", by_name=True)
    with pytest.raises(ModelFileError, match="no description of a model"):
        model.save_weights(tmp_path / "w.h5")
        load_model(tmp_path / "w.h5")
    with pytest.raises(ModelFileError, match="function that is not registered"):
        keras.Sequential([keras.Input((6,)), L.Lambda(lambda x: x)]).save(tmp_path / "l.keras")
    assert not (tmp_path / "l.keras").exists()
    with pytest.raises(ModelFileError, match=r"1 mismatches:\nlayers/dense .* has weights of the shapes"):
        keras.Sequential([keras.Input((5,)), L.Dense(2)]).load_weights(tmp_path / "m.keras")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'nnkit-engine\[keras-files\]'"):
        model.save(tmp_path / "n.keras")
    assert load_model(tmp_path / "m.keras").get_weights()[0].shape == (6, 2)  # reading needs none


# ---- with Keras at hand -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real() -> Any:
    """Keras 3, where it is installed."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = pytest.importorskip("keras")
        if int(found.__version__.partition(".")[0]) < 3:
            pytest.skip("Keras 3 is needed")
        own_words(found)
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_keras_opens_what_nnkit_wrote(name: str, real: Any, tmp_path: Path) -> None:
    own_words(keras)
    model = shaken(CASES[name].make(keras))
    model.save(tmp_path / "model.keras")
    there = real.models.load_model(tmp_path / "model.keras")
    expected = outputs(model, CASES[name].inputs)
    assert_close(outputs(there, CASES[name].inputs), expected, CASES[name].close)
    if name in MODELS:
        model.save_weights(tmp_path / "model.weights.h5")
        there.set_weights([0 * weight for weight in there.get_weights()])
        there.load_weights(tmp_path / "model.weights.h5")
        assert_close(outputs(there, CASES[name].inputs), expected, CASES[name].close)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [plain, shared])
def test_keras_opens_older_files_that_nnkit_wrote(make: Any, real: Any, tmp_path: Path) -> None:
    inputs = FLAT if make is plain else [FLAT, FLAT + 1]
    model = shaken(make(keras))
    model.save(tmp_path / "model.h5")
    there = real.models.load_model(tmp_path / "model.h5")
    assert_close(outputs(there, inputs), outputs(model, inputs), 1e-5)
    shaken(model).save_weights(tmp_path / "named.h5")
    there.load_weights(tmp_path / "named.h5")
    assert_close(outputs(there, inputs), outputs(model, inputs), 1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_keras_goes_on_with_a_training_of_nnkits(name: str, real: Any, tmp_path: Path) -> None:
    model = trained(keras, name)
    model.save(tmp_path / "model.keras")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Skipping variable loading")
        there = real.models.load_model(tmp_path / "model.keras")
    goes_on(model, there)
