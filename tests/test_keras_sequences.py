"""Keras's layers of sequences equal Keras's, whose values are stored; masks, states that stay, texts."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reference.make_keras_values_sequences import CASES, VALUES, compute, numbers

import nnkit
from nnkit import keras
from nnkit.errors import ShapeError, UnknownNameError
from nnkit.keras import layers


@pytest.fixture(scope="module")
def stored() -> dict[str, np.ndarray]:
    with np.load(VALUES) as values:
        return dict(values)


@pytest.mark.parametrize("text", CASES)
def test_values_are_keras(text: str, device: str, stored: dict[str, np.ndarray]) -> None:
    found = compute(keras.Sequential, layers, text)
    assert found.shape == stored[text].shape
    np.testing.assert_allclose(found, stored[text], 2e-5, 2e-6)


def text_model() -> keras.Sequential:
    return keras.Sequential([
        layers.Embedding(12, 6, mask_zero=True), layers.Bidirectional(layers.LSTM(5, return_sequences=True)),
        layers.GRU(4, dropout=0.2), layers.Dense(1, activation="sigmoid"),
    ])  # fmt: skip


def test_a_model_of_texts_learns_and_is_saved(device: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    x = random.integers(1, 12, (128, 7))
    x[::3, 5:] = 0
    y = (x[:, 0] > 6).astype("float32")
    model, path = text_model(), os.fspath(tmp_path / "model.keras")
    model.compile(keras.optimizers.Adam(0.02), "binary_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, epochs=15, batch_size=32, verbose=0).history
    assert history["accuracy"][-1] > 0.9
    model.save(path)
    np.testing.assert_array_equal(keras.models.load_model(path).predict(x, verbose=0), model.predict(x, verbose=0))


def test_padding_behind_a_mask_changes_nothing(device: str) -> None:
    model = keras.Sequential([layers.Embedding(9, 3, mask_zero=True), layers.LSTM(4)])
    model.build((None, 6))
    short, padded = model([[3, 4, 5]]), model([[3, 4, 5, 0, 0, 0]])
    np.testing.assert_allclose(short.detach().numpy(), padded.detach().numpy(), 1e-6)


@pytest.mark.parametrize("kind", [layers.SimpleRNN, layers.LSTM, layers.GRU])
def test_a_stateful_layer_goes_on_where_it_ended(kind: Any, device: str) -> None:
    x = numbers((2, 6, 3), 1)
    plain, stateful = kind(4), kind(4, stateful=True)
    for layer in (plain, stateful):
        layer.build((2, 6, 3))
    stateful.set_weights(plain.get_weights())
    whole = plain(x).detach().numpy()
    stateful(x[:, :2])
    np.testing.assert_allclose(stateful(x[:, 2:]).detach().numpy(), whole, 1e-5, 1e-6)
    stateful.reset_states()
    np.testing.assert_allclose(stateful(x).detach().numpy(), whole, 1e-5, 1e-6)
    with pytest.raises(ShapeError, match="stateful"):
        stateful(x[:1])


def test_states_go_in_and_out(device: str) -> None:
    x, layer = numbers((2, 4, 3), 1), layers.LSTM(5, return_state=True)
    output, h, c = layer(x)
    np.testing.assert_array_equal(output.detach().numpy(), h.detach().numpy())
    again = layer(x[:, :2])
    on = layer(x[:, 2:], initial_state=list(again[1:]))
    for one, other in zip(on, (output, h, c), strict=True):
        np.testing.assert_allclose(one.detach().numpy(), other.detach().numpy(), 1e-5, 1e-6)


def test_a_layer_that_knows_no_masks_ends_them_with_a_warning(device: str) -> None:
    class Plain(layers.Layer):
        def call(self, inputs: nnkit.Tensor) -> nnkit.Tensor:
            return inputs

        def compute_output_shape(self, input_shape: Any) -> Any:
            return input_shape

    layer = Plain(name=f"ends_masks_on_{device}")
    with pytest.warns(UserWarning, match="does not hand the mask on"):
        layer(layers.Masking()([[[1.0], [0.0]]]))


# ---- texts ----------------------------------------------------------------------------------------------------------

TEXTS = ["The cat sat.", "The dog sat, the dog ran!", "A cat"]


def test_vocabulary_by_frequency_then_backwards_through_the_alphabet() -> None:
    vectorize = layers.TextVectorization()
    vectorize.adapt(TEXTS)
    assert vectorize.get_vocabulary() == ["", "[UNK]", "the", "sat", "dog", "cat", "ran", "a"]
    assert vectorize(["the bird ran", "Cat"]).tolist() == [[2, 1, 6], [5, 0, 0]]
    assert vectorize.vocabulary_size() == 8


OUTPUTS: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "cut": ({"output_sequence_length": 2}, [[2, 1], [5, 0]]),
    "padded": ({"output_sequence_length": 4}, [[2, 1, 6, 0], [5, 0, 0, 0]]),
    "few": ({"max_tokens": 4}, [[2, 1, 1], [1, 0, 0]]),
    "multi_hot": ({"output_mode": "multi_hot", "max_tokens": 4}, [[1, 1, 0, 0], [1, 0, 0, 0]]),
    "count": ({"output_mode": "count", "max_tokens": 4}, [[2, 1, 0, 0], [1, 0, 0, 0]]),
    "wide": ({"output_mode": "count", "max_tokens": 12, "pad_to_max_tokens": True}, [
        [1, 1, 0, 0, 0, 1] + [0] * 6, [0, 0, 0, 0, 1] + [0] * 7,
    ]),
    "letters": ({"split": "character", "output_sequence_length": 3, "max_tokens": 5}, [[3, 1, 1], [1, 4, 3]]),
    "pairs": ({"ngrams": (2,), "output_sequence_length": 2}, [[1, 1], [0, 0]]),
}  # fmt: skip


@pytest.mark.parametrize("name", OUTPUTS)
def test_outputs_of_text_vectorization(name: str) -> None:
    options, expected = OUTPUTS[name]
    vectorize = layers.TextVectorization(**options)
    vectorize.adapt(TEXTS)
    found = vectorize(["the bird ran", "Cat"])
    assert found.tolist() == expected
    again = layers.TextVectorization.from_config(vectorize.get_config())
    assert again(["the bird ran", "Cat"]).tolist() == expected


def test_string_lookup_both_ways() -> None:
    lookup = layers.StringLookup(vocabulary=["a", "b", "c"])
    assert lookup([["a", "c"], ["z", "b"]]).tolist() == [[1, 3], [0, 2]]
    back = layers.StringLookup(vocabulary=lookup.get_vocabulary(), invert=True)
    assert back([[1, 3], [0, 9]]).tolist() == [["a", "c"], ["[UNK]", "[UNK]"]]
    assert layers.StringLookup(vocabulary=["a"], mask_token="")(["", "a", "b"]).tolist() == [0, 2, 1]
    hot = layers.StringLookup(vocabulary=["a", "b"], output_mode="multi_hot")
    assert hot([["a", "a"], ["b", "z"]]).tolist() == [[0, 1, 0], [1, 0, 1]]
    assert layers.StringLookup(vocabulary=["a"], output_mode="one_hot")(["a", "z"]).tolist() == [[0, 1], [1, 0]]


REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "recurrent_dropout": (lambda: layers.LSTM(3, recurrent_dropout=0.5), ValueError, "recurrent_dropout"),
    "constraint": (lambda: layers.GRU(3, kernel_constraint="max_nom"), UnknownNameError, "constraint 'max_nom'"),
    "units": (lambda: layers.GRU(0), ValueError, "units"),
    "axes": (lambda: layers.GRU(2)([[1.0]]), ShapeError, "steps, features"),
    "merge_mode": (lambda: layers.Bidirectional(layers.GRU(2), merge_mode="max"), UnknownNameError, "merge_mode"),
    "not recurrent": (lambda: layers.Bidirectional(layers.Dense(2)), TypeError, "SimpleRNN, LSTM or GRU"),
    "number": (lambda: layers.Embedding(3, 2)([[5]]), IndexError, "5 is out of range|5.0 is out of range"),
    "state": (lambda: layers.GRU(2)(np.zeros((1, 2, 3)), initial_state=nnkit.zeros(2, 2)), ShapeError, "initial_state"),
    "oov": (lambda: layers.StringLookup(num_oov_indices=2), ValueError, "num_oov_indices"),
    "unknown": (lambda: layers.StringLookup(num_oov_indices=0, vocabulary=["a"])(["b"]), ValueError, "'b'"),
    "mode": (lambda: layers.TextVectorization(output_mode="tf_idf"), UnknownNameError, "output_mode"),
    "twice": (lambda: layers.StringLookup(vocabulary=["a", "a"]), ValueError, "comes twice"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(name: str) -> None:
    call, error, text = REFUSED[name]
    with pytest.raises(error, match=text):
        call()
