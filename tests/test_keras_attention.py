"""Keras's attention layers equal Keras's: live where it is installed; and everywhere what they promise."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit.keras import layers

B, T, S = 2, 5, 7


def given() -> dict[str, np.ndarray]:
    """Inputs and masks by name."""
    random = np.random.default_rng(0)
    attention_mask, value_mask = random.random((B, T, S)) > 0.4, random.random((B, S)) > 0.4
    attention_mask[..., 0] = value_mask[:, 0] = True
    return {
        "query": random.normal(size=(B, T, 6)).astype("float32"),
        "value": random.normal(size=(B, S, 4)).astype("float32"),
        "key": random.normal(size=(B, S, 6)).astype("float32"), "attention_mask": attention_mask,
        "value_mask": value_mask, "query_mask": random.random((B, T)) > 0.3,
    }  # fmt: skip


#: A layer, the names of its inputs, and the options of a call, of which a text names an input.
CASES: list[tuple[str, tuple[str, ...], dict[str, Any]]] = [
    ("MultiHeadAttention(2, 3)", ("query", "value"), {}),
    ("MultiHeadAttention(2, 3, value_dim=5, use_bias=False)", ("query", "value", "key"),
     {"use_causal_mask": True, "return_attention_scores": True}),  # without the scores Keras on JAX refuses the widths
    ("MultiHeadAttention(2, 3, use_bias=False)", ("query", "value", "key"), {"use_causal_mask": True}),
    ("MultiHeadAttention(3, 2, output_shape=4)", ("query", "query"), {"use_causal_mask": True}),
    ("MultiHeadAttention(2, 3)", ("query", "value"), {"attention_mask": "attention_mask"}),
    ("MultiHeadAttention(2, 3)", ("query", "value"),
     {"attention_mask": "attention_mask", "use_causal_mask": True, "return_attention_scores": True}),
    ("MultiHeadAttention(2, 3)", ("query", "value"), {"value_mask": "value_mask"}),
    ("Attention()", ("query", "value", "key"), {}), ("Attention(use_scale=True)", ("query", "key"), {}),
    ("Attention()", ("query", "key"), {"mask": ["query_mask", "value_mask"], "use_causal_mask": True}),
    ("Attention(score_mode='concat', use_scale=True)", ("query", "key"), {"return_attention_scores": True}),
    ("AdditiveAttention()", ("query", "value", "key"), {"mask": ["query_mask", "value_mask"]}),
    ("AdditiveAttention(use_scale=False)", ("query", "key"), {"use_causal_mask": True}),
]  # fmt: skip
IDS = [f"{text}-{'-'.join(inputs)}-{'-'.join(options)}" for text, inputs, options in CASES]


def called(module: Any, text: str, inputs: tuple[str, ...], options: dict[str, Any], of: Callable[..., Any]) -> Any:
    """The layer, and what it gives; its weights are numbers in order."""
    layer, data = eval(text, vars(module)), given()
    arrays = [of(data[name]) for name in inputs]

    def named(value: Any) -> Any:
        if isinstance(value, list):
            return [named(one) for one in value]
        return of(data[value]) if isinstance(value, str) else value

    chosen = {name: named(value) for name, value in options.items()}
    run = (lambda: layer(*arrays, **chosen)) if "Multi" in text else (lambda: layer(arrays, **chosen))
    run()
    weights = [np.random.default_rng(n).normal(size=tuple(w.shape)) for n, w in enumerate(layer.weights)]
    layer.set_weights(weights)
    return layer, run()


@pytest.mark.parametrize(("text", "inputs", "options"), CASES, ids=IDS)
def test_outputs_and_weights_are_those_of_keras(
    text: str, inputs: tuple[str, ...], options: dict[str, Any], device: str
) -> None:
    os.environ["KERAS_BACKEND"] = "jax"
    keras = pytest.importorskip("keras")
    layer, found = called(layers, text, inputs, options, nnkit.tensor)
    their_layer, wanted = called(keras.layers, text, inputs, options, np.asarray)
    assert [tuple(w.shape) for w in layer.weights] == [tuple(w.shape) for w in their_layer.weights]
    pairs = zip(found, wanted, strict=True) if isinstance(found, tuple) else [(found, wanted)]
    for one, other in pairs:
        np.testing.assert_allclose(one.detach().numpy(), np.asarray(other), 2e-4, 2e-5)


@pytest.mark.parametrize(("text", "inputs", "options"), CASES, ids=IDS)
def test_gradients_reach_all_weights_and_configs_come_back(
    text: str, inputs: tuple[str, ...], options: dict[str, Any], device: str
) -> None:
    layer, found = called(layers, text, inputs, options, nnkit.tensor)
    out = found[0] if isinstance(found, tuple) else found
    if layer.weights:
        out.square().sum().backward()
    assert all(p.grad is not None and np.isfinite(p.grad.numpy()).all() for p in layer.parameters())
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


def test_a_masked_key_is_not_seen_and_blocks_are_as_weights(device: str) -> None:
    data = given()
    layer, x = layers.MultiHeadAttention(2, 3), nnkit.tensor(data["query"])
    value = nnkit.tensor(data["value"])
    mask = nnkit.tensor(data["attention_mask"])
    found = layer(x, value, attention_mask=mask)
    again, weights = layer(x, value, attention_mask=mask, return_attention_scores=True)
    np.testing.assert_allclose(found.detach().numpy(), again.detach().numpy(), 1e-5, 1e-6)
    assert not weights.detach().numpy()[np.broadcast_to(~data["attention_mask"][:, None], weights.shape)].any()


def test_training_drops_and_a_model_trains(device: str) -> None:
    nnkit.manual_seed(0)
    x = nnkit.tensor(given()["query"])
    layer = layers.MultiHeadAttention(2, 3, dropout=0.5)
    assert (layer(x, x).detach().numpy() == layer(x, x).detach().numpy()).all()
    assert (layer(x, x, training=True).detach().numpy() != layer(x, x).detach().numpy()).any()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: layers.MultiHeadAttention(0, 3), "num_heads must be a positive integer"),
        (lambda: layers.MultiHeadAttention(2, 3, attention_axes=2), "attention_axes is not supported"),
        (lambda: layers.MultiHeadAttention(2, 3)(nnkit.zeros(2, 3), nnkit.zeros(2, 3)), "expected query of shape"),
        (lambda: layers.Attention(score_mode="sum"), "score_mode must be"),
        (lambda: layers.Attention()(nnkit.zeros(2, 3, 4)), "expected a list"),
    ],
)
def test_misuse_is_explained(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()
