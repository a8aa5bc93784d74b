"""Functional models: symbolic tensors, what models are made of, training on several arrays, files, copies, pictures."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
import subprocess
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import keras
from nnkit.errors import DataError, ModelFileError, ShapeError
from nnkit.keras import Input, Model, Sequential, layers, ops
from nnkit.keras.layers import Dense
from nnkit.keras.symbolic import KerasTensor, symbolic
from nnkit.training.several import Several

RNG = np.random.default_rng(0)
A, B = (RNG.normal(size=(24, n)).astype(np.float32) for n in (4, 3))
Y = RNG.normal(size=(24, 1)).astype(np.float32)


@pytest.fixture(autouse=True)
def names() -> None:
    keras.utils.clear_session()


@symbolic
def row_means(x: Any, scale: float = 1.0) -> Any:
    return x.mean(dim=-1, keepdim=True) * scale


def two_by_two() -> Model:
    """Inputs a and b; outputs ``sum`` and ``kind``; a shared layer, a nested and a Sequential model, functions."""
    a, b = Input((4,), name="a"), Input((3,), name="b")
    shared = Dense(5, activation="relu", name="shared")
    widened = Dense(4, name="widen")(b)
    inner_in = Input((5,), name="inner_in")
    inner = Model(inner_in, Dense(3, name="inner_dense")(layers.Dropout(0.5, name="drop")(inner_in)), name="inner")
    chain = Sequential([Input((3,)), Dense(2, name="chained")], name="chain")
    h = layers.add([shared(a), shared(widened)], name="joined")
    out = chain(inner(h))[:, :1] * 2.0 + row_means(h, scale=0.5)
    return Model(
        [a, b], [layers.Identity(name="sum")(out), Dense(3, activation="softmax", name="kind")(h)], name="both"
    )


def compiled() -> Model:
    model = two_by_two()
    loss = {"sum": "mse", "kind": "sparse_categorical_crossentropy"}
    model.compile("adam", loss, loss_weights={"kind": 0.5}, metrics={"kind": ["accuracy"]})
    return model


KINDS = RNG.integers(0, 3, 24)
X2, Y2 = {"a": A, "b": B}, {"sum": Y, "kind": KINDS}


# ---- symbolic tensors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "shape", "dtype"),
    [
        (lambda x: x + 1.0, (None, 4), "float32"),
        (lambda x: 1.0 - x, (None, 4), "float32"),
        (lambda x: np.float32(2.0) * x, (None, 4), "float32"),
        (lambda x: np.ones((3, 4), np.float32)[:1] / (x + 2.0), (None, 4), "float32"),
        (lambda x: abs(-x) ** 2, (None, 4), "float32"),
        (lambda x: x @ np.ones((4, 2), np.float32), (None, 2), "float32"),
        (lambda x: x[:, 1:3], (None, 2), "float32"),
        (lambda x: x[:, None], (None, 1, 4), "float32"),
        (lambda x: x[..., -1], (None,), "float32"),
        (lambda x: x.reshape(-1, 2, 2), (None, 2, 2), "float32"),
        (lambda x: (x > 0.0) & (x < 1.0), (None, 4), "bool"),
        (lambda x: row_means(x), (None, 1), "float32"),
        (lambda x: ops.concatenate([x, x], axis=1), (None, 8), "float32"),
        (lambda x: ops.reshape(x, (-1,)), (None,), "float32"),
        (lambda x: ops.argmax(x, axis=-1), (None,), "int32"),
        (lambda x: ops.max(x), (), "float32"),
        (lambda x: layers.LSTM(3, return_state=True)(x[:, :, None])[1], (None, 3), "float32"),
        (lambda x: layers.Lambda(lambda t: t[0] - t[1])([x, x]), (None, 4), "float32"),
    ],
)
def test_shapes_are_found(make: Callable[[Any], KerasTensor], shape: tuple[int | None, ...], dtype: str) -> None:
    x = Input((4,))
    found = make(x)
    assert (found.shape, found.dtype) == (shape, dtype)
    assert Model(x, found)(A).shape == tuple(
        24 if size is None and i == 0 else size for i, size in enumerate(shape)
    ) or (shape == (None,) and Model(x, found)(A).ndim == 1)


def test_an_input_says_shape_and_dtype() -> None:
    assert Input(shape=(3,), batch_size=5).shape == (5, 3)
    x = Input(batch_shape=(None, 7), dtype="int32", name="words")
    assert (x.shape, x.dtype, x.name, x.ndim) == ((None, 7), "int32", "words", 2)
    assert [Input((1,)).name, Input((1,)).name] == ["input_layer_1", "input_layer_2"]


X = Input((4,))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: bool(X > 0), TypeError, "has no numbers yet"),
        (lambda: np.asarray(X), TypeError, "has no numbers yet"),
        (lambda: list(X), TypeError, "has no numbers yet"),
        (lambda: X + Input((5,)), ShapeError, r"add_?\d* cannot be called on symbolic tensors of shape"),
        (lambda: Input(), ValueError, "needs the shape of one sample"),
        (lambda: Input(4), ValueError, "shape must be a tuple"),
        (lambda: Input((4,), sparse=True), ValueError, "sparse is not supported"),
        (lambda: Input((4,), batch_shape=(None, 4)), ValueError, "pass it alone"),
        (lambda: Model(X, Dense(2)(Input((3,)))), ValueError, "Graph disconnected: cannot find parent for tensor"),
        (lambda: Model([X, X], Dense(2)(X)), ValueError, "listed twice"),
        (lambda: Model(X, [Dense(2, name="q")(X), Dense(2, name="q")(X)]), ValueError, 'The name "q" is used 2 times'),
        (lambda: Model(X, np.ones(3)), ValueError, "all outputs must be symbolic tensors"),
        (lambda: Model(A, Dense(2)(X)), ValueError, "all inputs must be symbolic tensors"),
        (lambda: Model(X), TypeError, "belong together"),
        (lambda: Model(X, []), ValueError, "outputs is empty"),
        (lambda: Model(X, Dense(2)(X))(B), ShapeError, r"must have shape \(None, 4\), got \(24, 3\)"),
        (lambda: two_by_two()(A), ValueError, "has 2 inputs"),
        (lambda: two_by_two()({"a": A}), ValueError, r"lacks \['b'\]"),
        (lambda: compiled().fit([A], Y2, verbose=0), DataError, "x holds 1 array"),
        (lambda: compiled().fit({"a": A}, Y2, verbose=0), DataError, r"x lacks \['b'\]"),
        (lambda: compiled().fit(X2, {"sum": Y}, verbose=0), DataError, r"lacks \['kind'\]"),
        (lambda: compiled().fit(X2, {**Y2, "z": Y}, verbose=0), DataError, r"no output \['z'\]"),
        (lambda: compiled().fit(X2, [Y], verbose=0), DataError, "pass a list or dict of as many"),
        (lambda: compiled().fit({"a": A, "b": B[:3]}, Y2, verbose=0), DataError, r"x\['b'\] has 3"),
        (lambda: compiled().fit({"a": A, "b": B * np.nan}, Y2, verbose=0), DataError, r"x\['b'\] holds"),
        (lambda: compiled().fit(X2, Y2, class_weight={0: 1.0}, verbose=0), ValueError, "with a single output"),
        (lambda: two_by_two().compile("sgd", {"sum": "mse", "no": "mse"}), ValueError, r"loss has \['no'\]"),
        (lambda: two_by_two().compile("sgd", ["mse"]), ValueError, "as many entries as the model has outputs"),
        (lambda: two_by_two().compile("sgd", "mse", metrics=["mae"]), ValueError, "as many entries"),
        (
            lambda: two_by_two().compile("sgd", "mse", loss_weights=2.0),
            ValueError,
            "loss_weights must be a list or dict",
        ),
        (lambda: two_by_two().get_layer("none"), ValueError, "has no layer 'none'"),
        (lambda: Dense(2).output, AttributeError, "has never been called"),
        (lambda: layers.Add()(X), ValueError, "should be called on a list of inputs"),
        (lambda: layers.Subtract()([X, X, X]), ValueError, "exactly 2"),
        (lambda: layers.Add()([X, Input((3,))]), ShapeError, "incompatible shapes"),
        (lambda: layers.Concatenate()([X, Input((3, 4))]), ShapeError, "requires inputs with matching shapes"),
        (lambda: layers.Dot(axes=1)([X, Input((3,))]), ShapeError, "Incompatible input shapes"),
        (lambda: keras.models.clone_model(keras.Model()), ValueError, "has a call of its own"),
    ],
)
def test_refusals(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


# ---- what a model is made of ------------------------------------------------------------------------------------


def test_layers_inputs_and_outputs(device: str) -> None:
    model = two_by_two()
    assert [layer.name for layer in model.layers] == [
        "b", "a", "widen", "shared", "joined", "inner", "chain", "sum", "kind",
    ]  # fmt: skip
    assert model.input_shape == [(None, 4), (None, 3)] and model.output_shape == [(None, 1), (None, 3)]
    assert model.input_names == ["a", "b"] and model.output_names == ["sum", "kind"]
    assert model.get_layer("shared") is model.get_layer(index=[x.name for x in model.layers].index("shared"))
    assert model.get_layer("joined").input[0].shape == (None, 5)
    assert [tensor.name for tensor in model.inputs] == ["a", "b"]
    outputs = model([A, B])
    assert [part.shape for part in outputs] == [(24, 1), (24, 3)]
    seen = Model(model.inputs, model.get_layer("joined").output)
    assert seen({"b": B, "a": A}).shape == (24, 5)
    assert seen.get_layer("shared") is model.get_layer("shared")


def test_dropout_inside_follows_the_call(device: str) -> None:
    x = Input((50,))
    inner = Model(x, layers.Dropout(0.5)(x))
    always = Model(x, layers.Dropout(0.5)(x, training=True))
    outer, ones = Model(x, inner(x)), np.ones((8, 50), np.float32)
    assert (outer(ones).numpy() == 1).all() and not (outer(ones, training=True).numpy() == 1).all()
    assert not (always(ones).numpy() == 1).all()


def test_a_subclass_made_of_tensors_has_its_own_step() -> None:
    class Own(keras.Model):
        steps = 0

        def train_step(self, data: Any) -> Any:
            type(self).steps += 1
            return super().train_step(data)

    x = Input((4,))
    model = Own(x, Dense(1)(x))
    model.compile("sgd", "mse", run_eagerly=True)
    model.fit(A, Y, batch_size=8, epochs=1, verbose=0)
    assert Own.steps == 3 and model.output_shape == (None, 1)


def test_copies_and_pickles_are_models_of_their_own(device: str) -> None:
    model = two_by_two()
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.get_layer("shared") is not model.get_layer("shared")
        np.testing.assert_array_equal(other([A, B])[1].numpy(), model([A, B])[1].numpy())
        tapped = Model(other.inputs, other.get_layer("joined").output)
        before = tapped([A, B]).numpy()
        other.set_weights([weight * 0 for weight in other.get_weights()])
        assert (tapped([A, B]).numpy() == 0).all() and before.any() and model([A, B])[0].numpy().any()


def test_a_deep_chain_needs_no_deep_stack() -> None:
    x = h = Input((2,))
    for _ in range(600):
        h = h + 1.0
    model = Model(x, h)
    assert copy.deepcopy(model)(np.zeros((1, 2), np.float32)).tolist() == [[600.0, 600.0]]


# ---- training ---------------------------------------------------------------------------------------------------


def test_recorded_and_plain_steps_are_equal_to_the_bit(device: str) -> None:
    results = []
    for eager in (False, True):
        nnkit.manual_seed(0)
        keras.utils.clear_session()
        model = compiled()
        model.run_eagerly = eager
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            record = model.fit(X2, Y2, epochs=3, batch_size=5, verbose=0, validation_split=0.2)
        results.append((record.history, [weight.tobytes() for weight in model.get_weights()]))
    assert results[0] == results[1]


def test_data_in_every_form_train_alike(device: str) -> None:
    forms: list[tuple[Any, Any]] = [
        (X2, Y2), ([A, B], [Y, KINDS]), ((A, B), (Y[:, 0], KINDS[:, None])),
        ([nnkit.tensor(A), nnkit.tensor(B)], {"kind": KINDS, "sum": nnkit.tensor(Y)}),
    ]  # fmt: skip
    found = []
    for x, y in forms:
        nnkit.manual_seed(0)
        model = compiled()
        record = model.fit(x, y, batch_size=8, verbose=0, shuffle=False, validation_data=(x, y))
        found.append((record.history, model.evaluate(x, y, verbose=0), model.predict(x, verbose=0)[0].tobytes()))
    assert all(one == found[0] for one in found)
    assert list(found[0][0]) == [
        "kind_accuracy", "kind_loss", "loss", "sum_loss",
        "val_kind_accuracy", "val_kind_loss", "val_loss", "val_sum_loss",
    ]  # fmt: skip


def test_generators_of_dicts() -> None:
    def batches() -> Any:
        while True:
            yield {"a": A[:8], "b": B[:8]}, {"sum": Y[:8], "kind": KINDS[:8]}

    nnkit.manual_seed(0)
    model = compiled()
    before = model.evaluate(X2, Y2, verbose=0)
    record = model.fit(batches(), steps_per_epoch=10, epochs=2, verbose=0)
    assert set(record.history) == {"loss", "sum_loss", "kind_loss", "kind_accuracy"}
    assert model.evaluate(X2, Y2, verbose=0)[0] < before[0]


def test_weights_of_samples_by_output(device: str) -> None:
    model, zero = compiled(), np.zeros(24, np.float32)
    zero[0] = 1.0
    whole = model.evaluate(X2, Y2, verbose=0, return_dict=True)
    some = model.evaluate(X2, Y2, sample_weight={"sum": zero}, verbose=0, return_dict=True)
    both = model.evaluate(X2, Y2, sample_weight=zero, verbose=0, return_dict=True)
    assert some["kind_loss"] == pytest.approx(whole["kind_loss"]) and some["sum_loss"] < whole["sum_loss"]
    assert both["sum_loss"] == pytest.approx(some["sum_loss"]) and both["kind_loss"] < some["kind_loss"]


def test_a_single_row_and_a_second_prediction(device: str) -> None:
    model = two_by_two()
    for _ in range(3):  # plain, recorded, replayed
        one = model.predict([A[:1], B[:1]], verbose=0)
        np.testing.assert_allclose(one[1], model.predict(X2, verbose=0)[1][:1], rtol=1e-5)
    assert isinstance(Several([A, B])[:2], Several)


def test_masks_go_through_nested_models(device: str) -> None:
    words = np.array([[1, 2, 0, 0], [3, 4, 5, 6]])
    x = Input((None,), dtype="int32")
    embedded = layers.Embedding(9, 3, mask_zero=True)(x)
    inner = Model(x, embedded)
    pooled = Model(x, layers.GlobalAveragePooling1D()(inner(x)))
    expected = inner(words).numpy()
    np.testing.assert_allclose(pooled(words)[0].detach().numpy(), expected[0, :2].mean(0), rtol=1e-6)
    joined = Model(x, layers.GlobalAveragePooling1D()(layers.Add()([embedded, embedded])))
    np.testing.assert_allclose(joined(words)[0].detach().numpy(), 2 * expected[0, :2].mean(0), rtol=1e-6)


# ---- files ------------------------------------------------------------------------------------------------------


def test_files_bring_models_back(tmp_path: Path, device: str) -> None:
    model = compiled()
    model.fit(X2, Y2, verbose=0)
    model.save(tmp_path / "model.safetensors")  # Keras's files cannot name a function of the user's
    again = keras.models.load_model(tmp_path / "model.safetensors")
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    assert again.evaluate(X2, Y2, verbose=0) == model.evaluate(X2, Y2, verbose=0)
    for one, other in zip(again.predict(X2, verbose=0), model.predict(X2, verbose=0), strict=True):
        np.testing.assert_array_equal(one, other)
    again.fit(X2, Y2, verbose=0)


def test_a_configuration_is_json(device: str) -> None:
    model = two_by_two()
    config = json.loads(json.dumps(model.get_config()))
    again = Model.from_config(config)
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again([A, B])[0].numpy(), model([A, B])[0].numpy())
    for damage in (
        lambda c: c["graph"]["operations"].pop(), lambda c: c["graph"].pop("calls"),
        lambda c: c["graph"]["calls"].reverse(), lambda c: c["graph"].update(heads=[3, 4]),
        lambda c: c["graph"]["operations"][0].update(class_name="os.system"),
    ):  # fmt: skip
        damaged = copy.deepcopy(config)
        damage(damaged)
        with pytest.raises((ModelFileError, ValueError)):
            Model.from_config(damaged)


def test_clones_have_weights_of_their_own(device: str) -> None:
    model = two_by_two()
    clone = keras.models.clone_model(model)
    assert [w.shape for w in clone.weights] == [w.shape for w in model.weights]
    assert clone.get_layer("shared") is not model.get_layer("shared")
    assert (clone.get_weights()[0] != model.get_weights()[0]).any()
    wider = keras.models.clone_model(
        Model(X, Dense(2, name="only")(X)), clone_function=lambda layer: Dense(7, name=layer.name)
    )
    assert wider.output_shape == (None, 7)
    chain = keras.models.clone_model(Sequential([Dense(2, input_dim=4), Dense(1)]))
    assert chain.built and chain.output_shape == (None, 1)


# ---- pictures ---------------------------------------------------------------------------------------------------

SUMMARY = """\
Model: "m"
┏━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━┓
┃ Layer (type)        ┃ Output Shape      ┃    Param # ┃ Connected to      ┃
┡━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━┩
│ a (InputLayer)      │ (None, 4)         │          0 │ -                 │
├─────────────────────┼───────────────────┼────────────┼───────────────────┤
│ b (InputLayer)      │ (None, 4)         │          0 │ -                 │
├─────────────────────┼───────────────────┼────────────┼───────────────────┤
│ shared_layer_with_… │ (None, 8)         │         40 │ a[0][0], b[0][0]  │
│ (Dense)             │                   │            │                   │
├─────────────────────┼───────────────────┼────────────┼───────────────────┤
│ add (Add)           │ (None, 8)         │          0 │ shared_layer_wit… │
│                     │                   │            │ shared_layer_wit… │
├─────────────────────┼───────────────────┼────────────┼───────────────────┤
│ get_item (GetItem)  │ (None, 2)         │          0 │ add[0][0]         │
└─────────────────────┴───────────────────┴────────────┴───────────────────┘
 Total params: 40 (160.00 B)
 Trainable params: 40 (160.00 B)
 Non-trainable params: 0 (0.00 B)"""


def test_the_summary_is_keras_to_the_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", types.SimpleNamespace(encoding="utf-8", write=lambda text: None))
    a, b = Input((4,), name="a"), Input((4,), name="b")
    shared = Dense(8, name="shared_layer_with_a_long_name")
    texts: list[str] = []
    Model([a, b], layers.add([shared(a), shared(b)])[:, 1:3], name="m").summary(print_fn=texts.append)
    assert texts == [SUMMARY]


def test_the_summary_of_models_in_models() -> None:
    texts: list[str] = []
    two_by_two().summary(120, print_fn=texts.append, expand_nested=True, show_trainable=True)
    assert "inner (Functional)" in texts[0] and "└ drop (Dropout)" in texts[0] and "Trai" in texts[0]
    texts.clear()
    two_by_two().summary(print_fn=texts.append, layer_range=["widen", "joined"])
    assert "joined" in texts[0] and "inner" not in texts[0]
    with pytest.raises(ValueError, match="no layer's name matches"):
        two_by_two().summary(layer_range=["x", "joined"])


def test_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, utils = two_by_two(), keras.utils
    text = utils.model_to_mermaid(model, show_shapes=True, expand_nested=True)
    assert "flowchart TB" in text and "subgraph n" in text and '["inner"]' in text and "shared (Dense)" in text
    dot = utils.model_to_dot(model, show_layer_names=True, expand_nested=True, rankdir="LR")
    assert dot.startswith('digraph "both" {') and "subgraph cluster_" in dot and dot.count("{") == dot.count("}")
    for ending in ("mmd", "dot"):
        utils.plot_model(model, tmp_path / f"m.{ending}", show_shapes=True, show_dtype=True, show_trainable=True)
        assert "Output shape: (None, 5)" in (tmp_path / f"m.{ending}").read_text()
    calls = []
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(subprocess, "run", lambda command, **options: calls.append((command, options["input"])))
    utils.plot_model(model, tmp_path / "m.png")
    assert calls[0][0][:2] == ["/usr/bin/dot", "-Tpng"] and b"digraph" in calls[0][1]
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ImportError, match="install graphviz"):
        utils.plot_model(model, tmp_path / "m.png")
    with pytest.raises(ValueError, match="expected a word"):
        utils.model_to_dot(model, rankdir="TB; evil")
    with pytest.raises(ValueError, match="not built yet"):
        utils.model_to_dot(Sequential([Dense(2)]))


# ---- whole programs ---------------------------------------------------------------------------------------------


def test_the_guide_to_the_functional_api_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def images(*shape: int) -> Any:
        rng = np.random.default_rng(1)
        part = lambda n: (rng.integers(0, 256, (n, *shape), np.uint8), rng.integers(0, 10, (n, 1)))  # noqa: E731
        return types.SimpleNamespace(load_data=lambda: (part(160), part(40)))

    monkeypatch.chdir(tmp_path)
    source = (Path(__file__).parent / "programs" / "functional_api.py").read_text()
    found: dict[str, Any] = {"mnist": images(28, 28), "cifar10": images(32, 32, 3), "__name__": "functional_api"}
    exec(compile(source, "functional_api.py", "exec"), found)
    assert found["autoencoder"].output_shape == (None, 28, 28, 1)
    assert found["ensemble_model"].count_params() == 3 * 129
    assert len(found["extracted_features"]) == len(found["features_list"])
    assert (tmp_path / "mini_resnet.mmd").exists()


def test_a_loss_for_an_output_that_is_not_there_is_refused() -> None:
    inputs = Input((4,))
    model = Model(inputs, layers.Dense(1, name="price")(inputs))
    model.compile("sgd", {"prise": "mse"})
    with pytest.raises(ValueError, match="unknown output in loss 'prise'; did you mean 'price'"):
        model.fit(np.ones((4, 4)), np.ones((4, 1)), verbose=0)
