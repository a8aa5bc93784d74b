"""What Keras computes for functional models, stored in ``keras_functional_values.npz``.

A case is a function of the library's name ``K``; it is the same in both libraries, so ``compute(keras, case)`` made the
stored values, and the same with nnkit's must give them again. Run it where Keras is installed:
``KERAS_BACKEND=jax python tests/reference/make_keras_values_functional.py``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

VALUES = Path(__file__).with_name("keras_functional_values.npz")
ROWS = 20


class Case(NamedTuple):
    """A model, its data, what ``compile`` and ``fit`` are given."""

    model: Any
    x: Any
    y: Any
    compile: dict[str, Any]
    fit: dict[str, Any] = {}  # noqa: RUF012


def numbers(*shape: int) -> np.ndarray:
    """Numbers from -1 to 1, in float32."""
    return (np.random.default_rng([7, *shape]).integers(-16, 17, shape) / 16.0).astype(np.float32)


def labels(classes: int, *shape: int) -> np.ndarray:
    return np.random.default_rng([8, classes, *shape]).integers(0, classes, shape)


def two_inputs(K: Any) -> Case:
    a, b = K.Input(shape=(4,), name="a"), K.Input(shape=(3,), name="b")
    h = K.layers.concatenate([K.layers.Dense(5, activation="relu")(a), K.layers.Dense(2)(b)])
    model = K.Model(inputs=[a, b], outputs=K.layers.Dense(1)(h))
    return Case(model, [numbers(ROWS, 4), numbers(ROWS, 3)], numbers(ROWS, 1), {"loss": "mse", "metrics": ["mae"]})


def two_outputs(K: Any) -> Case:
    x = K.Input(shape=(4,), name="x")
    h = K.layers.Dense(6, activation="tanh", name="body")(x)
    price = K.layers.Dense(1, name="price")(h)
    kind = K.layers.Dense(3, activation="softmax", name="kind")(h)
    told = {
        "loss": {"price": "mse", "kind": "sparse_categorical_crossentropy"},
        "loss_weights": {"price": 0.25, "kind": 1.5},
        "metrics": {"kind": ["accuracy"], "price": ["mae", "mse"]},
    }
    return Case(K.Model(x, [price, kind]), numbers(ROWS, 4), {"price": numbers(ROWS), "kind": labels(3, ROWS)}, told)


def outputs_by_list(K: Any) -> Case:
    x = K.Input(shape=(4,))
    one, other = K.layers.Dense(2, name="one")(x), K.layers.Dense(1, activation="sigmoid", name="other")(x)
    told = {"loss": ["mae", "binary_crossentropy"], "loss_weights": [2.0, 1.0], "metrics": [["mse"], ["accuracy"]]}
    weights = [np.linspace(0.5, 2.0, ROWS, dtype=np.float32), np.linspace(2.0, 0.0, ROWS, dtype=np.float32)]
    y = [numbers(ROWS, 2), labels(2, ROWS).astype(np.float32)]
    return Case(K.Model(x, [one, other]), numbers(ROWS, 4), y, told, {"sample_weight": weights})


def one_loss_for_all(K: Any) -> Case:
    x = K.Input(shape=(4,))
    model = K.Model(x, [K.layers.Dense(2, name="p")(x), K.layers.Dense(3, name="q")(x)])
    return Case(model, numbers(ROWS, 4), [numbers(ROWS, 2), numbers(ROWS, 3)], {"loss": "mse"})


def siamese(K: Any) -> Case:
    left, right = K.Input(shape=(6,), name="left"), K.Input(shape=(6,), name="right")
    body = K.Sequential([K.Input(shape=(6,)), K.layers.Dense(5, activation="relu"), K.layers.Dense(4)], name="body")
    distance = abs(body(left) - body(right))
    model = K.Model([left, right], K.layers.Dense(1, activation="sigmoid")(distance))
    told = {"loss": "binary_crossentropy", "metrics": ["accuracy"]}
    return Case(model, {"left": numbers(ROWS, 6), "right": numbers(ROWS, 6)[::-1].copy()}, labels(2, ROWS, 1), told)


def shared_layer(K: Any) -> Case:
    a, b = K.Input(shape=(5,), name="a", dtype="int32"), K.Input(shape=(7,), name="b", dtype="int32")
    words = K.layers.Embedding(9, 3, name="words")
    pooled = [K.layers.GlobalAveragePooling1D()(words(x)) for x in (a, b)]
    model = K.Model([a, b], K.layers.Dense(1)(K.layers.dot(pooled, axes=1, normalize=True)))
    return Case(model, [labels(9, ROWS, 5), labels(9, ROWS, 7)], numbers(ROWS, 1), {"loss": "mse"})


def nested(K: Any) -> Case:
    x = K.Input(shape=(8,), name="img")
    encoder = K.Model(x, K.layers.Dense(3, activation="relu", name="narrow")(x), name="encoder")
    z = K.Input(shape=(3,), name="code")
    decoder = K.Model(z, K.layers.Dense(8, name="wide")(z), name="decoder")
    whole = K.Input(shape=(8,), name="whole")
    return Case(
        K.Model(whole, decoder(encoder(whole)), name="both"), numbers(ROWS, 8), numbers(ROWS, 8), {"loss": "mse"}
    )


def ensemble(K: Any) -> Case:
    def part() -> Any:
        x = K.Input(shape=(4,))
        return K.Model(x, K.layers.Dense(1)(x))

    parts, x = [part() for _ in range(3)], K.Input(shape=(4,))
    model = K.Model(inputs=x, outputs=K.layers.average([own(x) for own in parts]))
    return Case(model, numbers(ROWS, 4), numbers(ROWS, 1), {"loss": "mse"})


def residual(K: Any) -> Case:
    x = K.Input(shape=(6, 6, 2), name="img")
    first = K.layers.Conv2D(3, 3, activation="relu", padding="same")(x)
    h = K.layers.Conv2D(3, 3, activation="relu", padding="same")(first)
    h = K.layers.BatchNormalization()(h)
    h = K.layers.add([h, first])
    h = K.layers.MaxPooling2D(2)(h)
    h = K.layers.GlobalAveragePooling2D()(h)
    model = K.Model(x, K.layers.Dense(4)(h), name="toy_resnet")
    told = {"loss": K.losses.SparseCategoricalCrossentropy(from_logits=True), "metrics": ["acc"]}
    return Case(model, numbers(ROWS, 6, 6, 2), labels(4, ROWS), told)


def dicts(K: Any) -> Case:
    inputs = {"size": K.Input(shape=(1,), name="size"), "age": K.Input(shape=(2,), name="age")}
    h = K.layers.Concatenate()([inputs["size"], inputs["age"]])
    outputs = {"up": K.layers.Dense(1, name="u")(h), "down": K.layers.Dense(2, name="d")(h)}
    told = {"loss": {"up": "mse", "down": "mae"}, "metrics": {"down": ["mse"]}}
    x, y = {"size": numbers(ROWS, 1), "age": numbers(ROWS, 2)}, {"up": numbers(ROWS, 1), "down": numbers(ROWS, 2)}
    return Case(K.Model(inputs, outputs), x, y, told, {"validation_split": 0.25})


def features(K: Any) -> Case:
    x = K.Input(shape=(4,))
    h = K.layers.Dense(5, activation="relu", name="hidden")(x)
    whole = K.Model(x, K.layers.Dense(2, name="end")(h))
    seen = K.Model(inputs=whole.inputs, outputs=[layer.output for layer in whole.layers[1:]])
    head = K.layers.Dense(1, name="head")(whole.get_layer("hidden").output)
    model = K.Model(whole.input, [head, *seen.outputs])
    told = {"loss": ["mse", None, "mae"]}
    y = [numbers(ROWS, 1), numbers(ROWS, 5), numbers(ROWS, 2)]
    return Case(model, numbers(ROWS, 4), y, told)


def from_the_middle(K: Any) -> Case:
    x = K.Input(shape=(4,))
    h = K.layers.Dense(5, activation="relu", name="hidden")(x)
    y = K.layers.Dense(2)(K.layers.LayerNormalization()(h) * 2.0)
    return Case(K.Model(h, y), numbers(ROWS, 5), numbers(ROWS, 2), {"loss": "mse"})


def masks(K: Any) -> Case:
    x = K.Input(shape=(None,), dtype="int32", name="words")
    h = K.layers.Embedding(9, 4, mask_zero=True)(x)
    both = K.layers.concatenate([h, K.layers.Dense(3, activation="tanh")(h)])
    h = K.layers.LSTM(3, return_sequences=True)(both)
    h = K.layers.add([h, K.layers.Dense(3)(both)])
    model = K.Model(x, K.layers.Dense(1)(K.layers.GRU(3)(h)))
    words = labels(9, ROWS, 6)
    words[::2, 3:] = 0
    return Case(model, words, numbers(ROWS, 1), {"loss": "mse"})


def masked_outputs(K: Any) -> Case:
    x = K.Input(shape=(None,), dtype="int32", name="words")
    h = K.layers.Embedding(9, 4, mask_zero=True)(x)
    model = K.Model(x, [K.layers.Dense(2, name="steps")(h), K.layers.Dense(1, name="whole")(K.layers.GRU(3)(h))])
    words = labels(9, ROWS, 6)
    words[::2, 3:] = 0
    return Case(model, words, [numbers(ROWS, 6, 2), numbers(ROWS, 1)], {"loss": "mse"})


def encoder_decoder(K: Any) -> Case:
    source = K.Input(shape=(5, 2), name="source")
    target = K.Input(shape=(4, 3), name="target")
    _, h, c = K.layers.LSTM(4, return_state=True, name="encoder")(source)
    decoded = K.layers.LSTM(4, return_sequences=True, name="decoder")(target, initial_state=[h, c])
    model = K.Model([source, target], K.layers.Dense(3, activation="softmax")(decoded))
    y = labels(3, ROWS, 4)
    told = {"loss": "sparse_categorical_crossentropy"}
    return Case(model, [numbers(ROWS, 5, 2), numbers(ROWS, 4, 3)], y, told)


def attention(K: Any) -> Case:
    x = K.Input(shape=(5, 4))
    h = K.layers.MultiHeadAttention(num_heads=2, key_dim=3)(x, x)
    h = K.layers.LayerNormalization(epsilon=1e-6)(x + h)
    h = K.layers.Add()([h, K.layers.Dense(4, activation="relu")(h)])
    model = K.Model(x, K.layers.Dense(2)(K.layers.GlobalAveragePooling1D()(h)))
    return Case(model, numbers(ROWS, 5, 4), numbers(ROWS, 2), {"loss": "mse"})


def operators(K: Any) -> Case:
    x = K.Input(shape=(6,))
    a, b = x[:, :3], x[:, 3:]
    y = (1.0 - a) * b + a / (2.0 + abs(b)) - (-b) ** 2
    y = y @ np.array([[1.0, 0.5], [0.0, 2.0], [1.0, 1.0]], np.float32)
    return Case(K.Model(x, K.layers.Dense(1)(y)), numbers(ROWS, 6), numbers(ROWS, 1), {"loss": "mse"})


def merging(K: Any) -> Case:
    x = K.Input(shape=(2, 4))
    parts = [K.layers.Dense(4, activation="tanh", name=f"d{i}")(x) for i in range(3)]
    L = K.layers
    pieces = [
        L.Maximum()(parts), L.Minimum()(parts), L.Multiply()(parts), L.Subtract()(parts[:2]), L.Average()(parts),
        L.Concatenate(axis=-1)([L.Dot(axes=2)(parts[:2]), L.Dot(axes=(2, 2), normalize=True)(parts[1:])]),
    ]  # fmt: skip
    y = L.Flatten()(L.Concatenate(axis=1)(pieces))
    return Case(K.Model(x, L.Dense(1)(y)), numbers(ROWS, 2, 4), numbers(ROWS, 1), {"loss": "mse"})


def tickets(K: Any) -> Case:
    title = K.Input(shape=(None,), name="title")
    body = K.Input(shape=(None,), name="body")
    tags = K.Input(shape=(4,), name="tags")
    found = [K.layers.LSTM(size)(K.layers.Embedding(12, 6)(x)) for x, size in ((title, 5), (body, 3))]
    x = K.layers.concatenate([*found, tags])
    priority = K.layers.Dense(1, name="priority")(x)
    department = K.layers.Dense(3, name="department")(x)
    model = K.Model(inputs=[title, body, tags], outputs={"priority": priority, "department": department})
    told = {
        "loss": {
            "priority": K.losses.BinaryCrossentropy(from_logits=True),
            "department": K.losses.CategoricalCrossentropy(from_logits=True),
        },
        "loss_weights": {"priority": 1.0, "department": 0.2},
    }
    x = {"title": labels(12, ROWS, 5), "body": labels(12, ROWS, 8), "tags": labels(2, ROWS, 4).astype("float32")}
    y = {"priority": numbers(ROWS, 1) * 0.5 + 0.5, "department": np.eye(3, dtype="float32")[labels(3, ROWS)]}
    return Case(model, x, y, told)


def penalties(K: Any) -> Case:
    x = K.Input(shape=(4,))
    h = K.layers.Dense(3, kernel_regularizer=K.regularizers.L2(0.1))(x)
    model = K.Model(x, [K.layers.Dense(1, name="a")(h), K.layers.Dense(1, name="b", bias_regularizer="l2")(h)])
    return Case(model, numbers(ROWS, 4), [numbers(ROWS, 1), numbers(ROWS, 1)], {"loss": ["mse", "mae"]})


CASES: list[Callable[[Any], Case]] = [
    two_inputs,
    two_outputs,
    outputs_by_list,
    one_loss_for_all,
    siamese,
    shared_layer,
    nested,
    ensemble,
    residual,
    dicts,
    features,
    from_the_middle,
    masks,
    masked_outputs,
    encoder_decoder,
    attention,
    operators,
    merging,
    tickets,
    penalties,
]


def flat(values: Any) -> list[np.ndarray]:
    """Arrays of a list or dict."""
    if isinstance(values, dict):
        return [values[name] for name in sorted(values)]
    return list(values) if isinstance(values, (list, tuple)) else [values]


def set_weights(model: Any) -> None:
    """Numbers that depend on shapes and places alone, so equal models need equal orders; variances are positive."""
    found = []
    for place, weight in enumerate(model.get_weights(), 1):
        values = numbers(place, *weight.shape)[place - 1] * 0.5
        found.append(np.abs(values) + 0.5 if weight.size and (weight == 1).all() else values)
    model.set_weights(found)


def compute(K: Any, case: Callable[[Any], Case]) -> dict[str, Any]:
    """Outputs before and after a training, what it reports, and the names in the model; for JSON but for arrays."""
    K.utils.clear_session()
    made = case(K)
    model = made.model
    set_weights(model)
    found: dict[str, Any] = {f"output_{i}": part for i, part in enumerate(flat(model.predict(made.x, verbose=0)))}
    model.compile(optimizer=K.optimizers.SGD(0.05), **made.compile)
    record = model.fit(made.x, made.y, epochs=3, batch_size=8, shuffle=False, verbose=0, **made.fit)
    found |= {f"trained_{i}": part for i, part in enumerate(flat(model.predict(made.x, verbose=0)))}
    told = {
        "history": {name: [float(value) for value in values] for name, values in sorted(record.history.items())},
        "evaluated": [float(value) for value in np.ravel(model.evaluate(made.x, made.y, batch_size=8, verbose=0))],
        "layers": [layer.name for layer in model.layers],
        "kinds": [type(layer).__name__ for layer in model.layers],
        "output_names": list(model.output_names),
        "weights": [[weight.path, *weight.shape] for weight in model.weights],
        "input_shape": json.loads(json.dumps(model.input_shape)),
        "output_shape": json.loads(json.dumps(model.output_shape)),
        "parameters": model.count_params(),
    }
    return found | {"told": json.dumps(told)}


def main() -> None:
    """Of all cases, or of those that are named."""
    import keras

    found = dict(np.load(VALUES)) if sys.argv[1:] else {}
    for case in CASES:
        if sys.argv[1:] and case.__name__ not in sys.argv[1:]:
            continue
        found |= {f"{case.__name__}.{name}": np.asarray(value) for name, value in compute(keras, case).items()}
        print(case.__name__, flush=True)
    np.savez_compressed(VALUES, **found)


if __name__ == "__main__":
    main()
