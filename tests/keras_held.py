"""What Keras prints, names, averages and refuses. ``tests/reference/make_keras_values_held.py`` keeps what Keras on JAX
does; ``tests/test_keras_held.py`` holds ``nnkit.keras`` to it.

Each program takes the package and returns numbers, texts, and lists and dicts of them. Each refusal is a function
of the package with the words that nnkit's message must have.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from keras_programs import numbers

HELD: dict[str, Callable[[Any], Any]] = {}


def held(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    HELD[function.__name__] = function
    return function


RANDOM = np.random.default_rng(0)
X = RANDOM.random((70, 8)).astype("float32")
Y = (X @ RANDOM.random((8, 1))).astype("float32")
YES = (X[:, :1] > 0.5).astype("float32")
KINDS = (X[:, 0] * 3).astype("int64")
ONE_HOT = np.eye(3, dtype="float32")[KINDS]
SHARES = RANDOM.random((70, 3)).astype("float32")
WEIGHTS = np.linspace(0.1, 2.0, 70).astype("float32")


def filled(model: Any) -> Any:
    """The model with weights of its own random stream."""
    random = np.random.default_rng(1)
    model.set_weights([random.normal(size=array.shape).astype("float32") * 0.3 for array in model.get_weights()])
    return model


def line(keras: Any, units: int = 1, activation: str | None = None) -> Any:
    dense = keras.layers.Dense
    return filled(
        keras.Sequential([keras.Input((8,)), dense(16, activation="relu"), dense(units, activation=activation)])
    )


def printed(act: Callable[[], Any]) -> list[str]:
    """The lines that ``act`` prints, of a bar the last state, without durations and marks of style."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        act()
    text = re.sub(r"\x1b\[[0-9;]*m|\x08", "", out.getvalue())
    lines = [re.sub(r"\d+(us|ms|s)(?=/| |$)", "T", row).rstrip() for row in re.split(r"[\r\n]", text)]
    rows = [row for row in lines if row]
    return [row for row, after in zip(rows, [*rows[1:], ""], strict=False) if not _is_redrawn(row, after)]


def _is_redrawn(row: str, after: str) -> bool:
    """Whether ``after`` is the same bar in a later state."""
    steps = [re.match(r" *\d+/(\d+) ━", one) for one in (row, after)]
    return all(steps) and steps[0][1] == steps[1][1]  # type: ignore[index]


@held
def lines_of_fit(keras: Any) -> Any:
    def run(verbose: int, epochs: int = 2) -> Any:
        model = line(keras)
        rmse = keras.metrics.RootMeanSquaredError(name="rmse")
        model.compile("rmsprop", "mse", metrics=["mae", rmse, "mape"], weighted_metrics=["mse"])
        return lambda: model.fit(
            X, Y, verbose=verbose, epochs=epochs, shuffle=False, sample_weight=WEIGHTS, validation_data=(X[:9], Y[:9])
        )

    return [printed(run(verbose)) for verbose in (0, 1, 2)] + [printed(run(2, epochs=1))]


@held
def lines_of_evaluate(keras: Any) -> Any:
    model = line(keras, 1, "sigmoid")
    model.compile("sgd", "binary_crossentropy", metrics=["accuracy"])
    return [printed(lambda verbose=verbose: model.evaluate(X, YES, verbose=verbose)) for verbose in (0, 1, 2)] + [
        printed(lambda verbose=verbose: model.predict(X, verbose=verbose)) for verbose in (0, 1, 2)
    ]


@held
def lines_of_callbacks(keras: Any) -> Any:
    model = line(keras)
    model.compile(keras.optimizers.SGD(0.25, momentum=0.5), "mse")
    kinds = keras.callbacks
    watchers = [
        kinds.LearningRateScheduler(lambda epoch, rate: rate * 0.5, verbose=1),
        kinds.EarlyStopping(monitor="loss", patience=1, min_delta=1.0, restore_best_weights=True, verbose=1),
    ]
    scheduled = printed(lambda: model.fit(X, Y, epochs=6, verbose=2, shuffle=False, callbacks=watchers))
    model.compile(keras.optimizers.SGD(0.25), "mse")
    reduce = kinds.ReduceLROnPlateau(monitor="loss", patience=1, min_delta=1.0, factor=0.5, verbose=1)
    reduced = printed(lambda: model.fit(X, Y, epochs=3, verbose=2, shuffle=False, callbacks=[reduce]))
    return [scheduled, reduced]


@held
def names_of_results(keras: Any) -> Any:
    layers = keras.layers
    inner = keras.Input((8,))
    outputs = [layers.Dense(1, name="price")(inner), layers.Dense(3, activation="softmax", name="kind")(inner)]
    model = filled(keras.Model(inner, outputs))
    model.compile(
        "sgd", {"price": "mse", "kind": "categorical_crossentropy"},
        metrics={"price": ["mae"], "kind": ["accuracy", "top_k_categorical_accuracy"]},
        loss_weights={"price": 0.5, "kind": 2.0},
    )  # fmt: skip
    y = {"price": Y, "kind": ONE_HOT}
    seen: list[list[str]] = []
    tell = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(sorted(logs)))
    rate = keras.callbacks.LearningRateScheduler(lambda epoch: 0.01)
    with TemporaryDirectory() as folder:
        table = keras.callbacks.CSVLogger(f"{folder}/log.csv")
        record = model.fit(
            X, y, epochs=2, verbose=0, validation_split=0.2, callbacks=[rate, tell, table], shuffle=False
        )
        head = Path(f"{folder}/log.csv").read_text().splitlines()[0]
    return [
        list(record.history), record.epoch, record.params, head, seen,
        list(model.train_on_batch(X, y, return_dict=True)),
        list(model.evaluate(X, y, verbose=0, return_dict=True)), numbers(model.evaluate(X, y, verbose=0)),
    ]  # fmt: skip


@held
def weights_of_parts_in_lists(keras: Any) -> Any:
    class Net(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.first = keras.layers.Dense(7)
            self.hidden = [keras.layers.Dense(5), keras.layers.Dense(6)]
            self.last = keras.layers.Dense(3)

        def call(self, inputs: Any) -> Any:
            x = self.first(inputs)
            for layer in self.hidden:
                x = layer(x)
            return self.last(x)

    model = Net()
    model(X[:2])
    return [list(weight.shape) for weight in model.weights]


WORDS = np.random.default_rng(2).integers(1, 9, (6, 5))
WORDS[::2, 3:] = 0


@held
def weights_of_positions(keras: Any) -> Any:
    layers = keras.layers
    model = filled(keras.Sequential([
        keras.Input((5,)), layers.Embedding(9, 4), layers.LSTM(4, return_sequences=True),
        layers.Dense(3, activation="softmax"),
    ]))  # fmt: skip
    model.compile("sgd", "sparse_categorical_crossentropy", weighted_metrics=["accuracy"])
    weight = (WORDS != 0).astype("float32") * np.arange(1, 7, dtype="float32")[:, None]
    options: Any = {"epochs": 2, "batch_size": 4, "verbose": 0, "shuffle": False}
    record = model.fit(WORDS, WORDS % 3, sample_weight=weight, validation_data=(WORDS, WORDS % 3, weight), **options)
    return [record.history, numbers(model.evaluate(WORDS, WORDS % 3, sample_weight=weight, verbose=0))]


@held
def attention_follows_the_masks_of_its_inputs(keras: Any) -> Any:
    layers = keras.layers
    found = {}
    parts = {
        "attention": lambda x: layers.Attention()([x, x]),
        "concat": lambda x: layers.Attention(score_mode="concat")([x, layers.Dense(6)(x), x]),
        "additive": lambda x: layers.AdditiveAttention()([x, x]),
        "heads": lambda x: layers.MultiHeadAttention(2, 4)(x, x),
        "causal": lambda x: layers.MultiHeadAttention(2, 4)(x, layers.Dense(6)(x), use_causal_mask=True),
        "lost": lambda x: layers.MultiHeadAttention(2, 4)(layers.Lambda(lambda y: y, output_shape=(5, 6))(x), x),
    }
    for name, part in parts.items():
        words = keras.Input((5,), dtype="int32")
        y = layers.GlobalAveragePooling1D()(part(layers.Embedding(9, 6, mask_zero=True)(words)))
        found[name] = numbers(filled(keras.Model(words, y)).predict(WORDS, verbose=0))
    return found


@held
def rates_and_histories_as_objects(keras: Any) -> Any:
    model = line(keras)
    model.compile(keras.optimizers.SGD(0.125), "mse")
    optimizer, record = model.optimizer, keras.callbacks.History()
    before = float(
        np.asarray(optimizer.learning_rate.numpy() if "nnkit" in keras.__name__ else optimizer.learning_rate)
    )
    optimizer.learning_rate.assign(0.0625)
    returned = model.fit(X, Y, epochs=2, verbose=0, shuffle=False, callbacks=[record])
    return [before, float(optimizer.learning_rate), record.history, record.epoch, returned.history]


@held
def activations_of_arrays_and_symbolic_tensors(keras: Any) -> Any:
    kinds, array = keras.activations, np.array([[-1.0, 0.5, 2.0]], "float32")
    names = ("relu", "elu", "gelu", "softmax", "celu", "hard_tanh", "squareplus")
    found = [numbers(getattr(kinds, name)(array)) for name in names]
    x = keras.Input((3,))
    y = kinds.softmax(kinds.gelu(kinds.leaky_relu(x, negative_slope=0.3), approximate=True))
    return [*found, numbers(keras.Model(x, y).predict(array, verbose=0))]


@held
def metrics_in_a_list_of_lists(keras: Any) -> Any:
    model = line(keras)
    model.compile("sgd", "mse", metrics=[["mae", "mse"]])
    return fit(model, X, Y, shuffle=False).history


@held
def numbers_of_numpy(keras: Any) -> Any:
    ops, half = keras.ops, np.float64(0.5)
    return [float(x) for x in (ops.convert_to_tensor(half), ops.exp(half), ops.add(half, half), ops.mean([half, half]))]


LOSSES = {
    "MeanSquaredError": {}, "MeanAbsoluteError": {}, "BinaryCrossentropy": {}, "CategoricalCrossentropy": {},
    "Huber": {}, "LogCosh": {}, "Poisson": {}, "KLDivergence": {}, "Hinge": {}, "CosineSimilarity": {},
    "Dice": {"axis": -1},
    "Tversky": {"axis": -1, "alpha": 0.3, "beta": 0.7}, "BinaryFocalCrossentropy": {},
    "CategoricalFocalCrossentropy": {"alpha": [0.2, 0.5, 0.3], "label_smoothing": 0.1},
}  # fmt: skip
FURTHER = [
    ("BinaryFocalCrossentropy", {"apply_class_balancing": True, "alpha": 0.3, "gamma": 1.5, "label_smoothing": 0.1}),
    ("BinaryFocalCrossentropy", {"from_logits": True}), ("CategoricalFocalCrossentropy", {"from_logits": True}),
    ("Dice", {}), ("Tversky", {}),
]  # fmt: skip


@held
def losses_by_reduction(keras: Any) -> Any:
    y, p = ONE_HOT[:4], SHARES[:4] / SHARES[:4].sum(1, keepdims=True)
    weights = {"none": None, "n": WEIGHTS[:4], "n1": WEIGHTS[:4, None], "one": 2.0, "zeros": np.zeros(4, "float32")}
    found = {}
    for name, options in LOSSES.items():
        for reduction in ("sum", "none", None, "mean", "sum_over_batch_size", "mean_with_sample_weight"):
            loss = getattr(keras.losses, name)(reduction=reduction, **options)
            for kind, weight in weights.items():
                found[f"{name} {reduction} {kind}"] = numbers(loss(y, p, sample_weight=weight))
    for name, options in FURTHER:
        found[f"{name} {options}"] = numbers(getattr(keras.losses, name)(**options)(y, p))
    generalized = keras.losses.CategoricalGeneralizedCrossEntropy(0.7, reduction="none")
    found["generalized"] = numbers(generalized(KINDS[:4], p))
    return found


def _metrics(keras: Any) -> dict[str, tuple[Any, Any, Any]]:
    kinds = keras.metrics
    made: dict[str, tuple[Any, Any, Any]] = {}
    for name in ("MeanSquaredError", "RootMeanSquaredError", "MeanAbsoluteError", "R2Score"):
        made[name] = (getattr(kinds, name)(), Y, SHARES[:, :1])
    for name in (
        "BinaryAccuracy",
        "Precision",
        "Recall",
        "AUC",
        "TruePositives",
        "FalseNegatives",
        "BinaryCrossentropy",
    ):
        made[name] = (getattr(kinds, name)(), YES, SHARES[:, :1])
    for name in ("SensitivityAtSpecificity", "SpecificityAtSensitivity", "PrecisionAtRecall", "RecallAtPrecision"):
        made[name] = (getattr(kinds, name)(0.6), YES, SHARES[:, :1])
    for name in ("CategoricalAccuracy", "CategoricalCrossentropy", "TopKCategoricalAccuracy"):
        made[name] = (getattr(kinds, name)(), ONE_HOT, SHARES)
    made["SparseCategoricalAccuracy"] = (kinds.SparseCategoricalAccuracy(), KINDS, SHARES)
    for average in (None, "micro", "macro", "weighted"):
        made[f"F1Score {average}"] = (kinds.F1Score(average), ONE_HOT, SHARES)
        made[f"FBetaScore {average}"] = (kinds.FBetaScore(average, 2.0, 0.4), ONE_HOT, SHARES)
    made["MeanIoU"] = (kinds.MeanIoU(3, dtype="float32"), KINDS, SHARES.argmax(1))
    made["IoU"] = (kinds.IoU(4, [0, 2, 3], ignore_class=1, dtype="float32"), KINDS, SHARES.argmax(1))
    made["OneHotMeanIoU"] = (kinds.OneHotMeanIoU(3, dtype="float32"), ONE_HOT, SHARES)
    made["OneHotIoU"] = (kinds.OneHotIoU(3, [1], dtype="float32"), ONE_HOT, SHARES)
    made["BinaryIoU"] = (kinds.BinaryIoU([1], 0.3, dtype="float32"), YES[:, 0], SHARES[:, 0])
    return made


@held
def metrics_over_unequal_batches(keras: Any) -> Any:
    found = {}
    for kind in ("none", "n", "n1"):
        weight = {"none": None, "n": WEIGHTS, "n1": WEIGHTS[:, None]}[kind]
        for name, (metric, y, p) in _metrics(keras).items():
            if kind == "n1" and name.startswith(("F1", "FB", "R2")):
                continue  # Keras's broadcast these to a matrix, or refuse them.
            for rows in (slice(0, 40), slice(40, 41), slice(41, None)):
                metric.update_state(y[rows], p[rows], None if weight is None else weight[rows])
            found[f"{name} {kind}"] = numbers(metric.result())
    return found


# ---- what is refused --------------------------------------------------------------------------------------


def compiled(keras: Any, units: int = 1, activation: str | None = None, **settings: Any) -> Any:
    model = line(keras, units, activation)
    model.compile(**{"optimizer": "sgd", "loss": "mse", **settings})
    return model


def fit(model: Any, x: Any, y: Any, **options: Any) -> Any:
    return model.fit(x, y, verbose=0, **options)


SPARSE = {"units": 3, "activation": "softmax", "loss": "sparse_categorical_crossentropy"}
ONE_OF_MANY = {"units": 3, "activation": "softmax", "loss": "categorical_crossentropy"}
#: name: (what to do, a pattern in nnkit's words)
REFUSALS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "too few features": (lambda k: fit(compiled(k), X[:, :3], Y), r"\(70, 3\).*takes inputs of shape \(None, 8\)"),
    "no features": (lambda k: fit(compiled(k), X[:, 0], Y), r"takes inputs of shape \(None, 8\)"),
    "other lengths": (lambda k: fit(compiled(k), X, Y[:8]), "x has 70 samples, y has 8"),
    "weights of another length": (lambda k: fit(compiled(k), X, Y, sample_weight=np.ones(7)), "sample_weight has 7"),
    "validation of other lengths": (lambda k: fit(compiled(k), X, Y, validation_data=(X, Y[:3])), "validation_data"),
    "an unknown loss": (lambda k: fit(compiled(k, loss="mean_sqared"), X, Y), "did you mean 'mean_squared_error'"),
    "an unknown metric": (lambda k: fit(compiled(k, metrics=["acuracy"]), X, Y), "did you mean 'accuracy'"),
    "an unknown optimizer": (lambda k: fit(compiled(k, optimizer="adamm"), X, Y), "did you mean 'adam'"),
    "an unknown activation": (lambda k: k.layers.Dense(3, activation="rellu"), "did you mean 'relu'"),
    "an unknown initializer": (lambda k: k.layers.Dense(3, kernel_initializer="glorot"), "GlorotUniform"),
    "an unknown argument": (lambda k: k.layers.Dense(3, activaton="relu"), "'activaton' .did you mean 'activation'"),
    "an unknown reduction": (lambda k: k.losses.MeanSquaredError(reduction="avg"), "unknown reduction 'avg'"),
    "not compiled": (lambda k: fit(line(k), X, Y), "call compile"),
    "not compiled to evaluate": (lambda k: line(k).evaluate(X, Y, verbose=0), "call compile"),
    "one-hot rows of other classes": (lambda k: fit(compiled(k, **ONE_OF_MANY), X, np.eye(4)[KINDS]), "3 scores"),
    "numbers for one-hot rows": (lambda k: fit(compiled(k, **ONE_OF_MANY), X, KINDS), "one-hot rows"),
    "one-hot rows for numbers": (lambda k: fit(compiled(k, **SPARSE), X, ONE_HOT), "for one-hot rows use"),
    "names of classes": (lambda k: fit(compiled(k, **SPARSE), X, np.array(["a", "b"] * 35)), "y holds text"),
    "text as inputs": (lambda k: fit(compiled(k), np.full((70, 8), "a"), Y), "expected real numbers"),
    "objects as inputs": (lambda k: fit(compiled(k), X.astype(object), Y), "expected real numbers"),
    "two outputs for one target": (
        lambda k: fit(compiled(k, 2, "sigmoid", loss="binary_crossentropy"), X, YES), "needs equal shapes"),
    "a dict for one input": (lambda k: fit(compiled(k), {"a": X, "b": X}, Y), "takes one array; got a dict of 2"),
    "all rows for validation": (lambda k: fit(compiled(k), X, Y, validation_split=1.0), "validation_split must be"),
    "no number of a rate": (
        lambda k: fit(compiled(k), X, Y, callbacks=[k.callbacks.LearningRateScheduler(lambda epoch: None)]),
        "must return a number; got None"),
    "a text as a rate": (
        lambda k: fit(compiled(k), X, Y, callbacks=[k.callbacks.LearningRateScheduler(lambda epoch: "a")]),
        "must return a number; got 'a'"),
    "a factor of 1": (lambda k: k.callbacks.ReduceLROnPlateau(factor=1.0), "between 0 and 1"),
    "no layer": (lambda k: k.Sequential([k.Input((4,)), "dense"]), "expects a layer"),
    "a class for a layer": (lambda k: k.Sequential([k.Input((4,)), k.layers.Dense]), "make an instance"),
    "a negative size": (lambda k: k.Input((-1,)), "negative sizes"),
    "no units": (lambda k: k.layers.Dense(0), "positive integer"),
    "too much dropout": (lambda k: k.layers.Dropout(1.5), "from 0 to 1"),
    "no known input shape": (lambda k: k.Sequential([k.layers.Dense(3)]).input_shape, "no defined input shape"),
    "no known output shape": (lambda k: k.Sequential([k.layers.Dense(3)]).output_shape, "no defined output shape"),
    "text to number": (lambda k: k.utils.to_categorical(["a", "b"]), "numpy.unique"),
    "an average that is none": (lambda k: k.metrics.F1Score("mean"), "average must be one of"),
    "too many classes": (lambda k: k.metrics.IoU(2, [3]), "less than num_classes"),
    "q of 1": (lambda k: k.losses.CategoricalGeneralizedCrossEntropy(1.0), "between 0 and 1"),
}  # fmt: skip
