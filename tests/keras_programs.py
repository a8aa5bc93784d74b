"""Small programs in Keras's own words. ``tests/reference/make_keras_values_programs.py`` runs them with Keras on JAX
and keeps what they return; ``tests/test_keras_programs.py`` runs them with ``nnkit.keras`` in its place.

Each takes the package as its argument and returns numbers, texts, and lists and dicts of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Program = Callable[[Any], Any]
PROGRAMS: dict[str, Program] = {}


def program(function: Program) -> Program:
    PROGRAMS[function.__name__] = function
    return function


def data(rows: int = 12, features: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, features)).astype("float32")
    return x, (x @ np.arange(1, features + 1)).astype("float32")[:, None] / 4


def numbers(values: Any) -> Any:
    """Plain numbers of whatever a backend returns."""
    if isinstance(values, dict):
        return {str(name): numbers(value) for name, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [numbers(value) for value in values]
    if values is None or isinstance(values, (str, bool, int)):
        return values
    array = np.asarray(values.numpy() if hasattr(values, "numpy") else values)
    return array.astype(float).tolist() if array.dtype.kind in "fiub" else array.tolist()


def ramp(keras: Any) -> Any:
    """An initializer of the user's own: a ramp from -0.5 to 0.5."""

    class Ramp(keras.initializers.Initializer):
        def __call__(self, shape: Any, dtype: Any = None, **options: Any) -> Any:
            count = int(np.prod(shape))
            return keras.initializers.Constant(1.0)(shape) * np.linspace(-0.5, 0.5, count, dtype="float32").reshape(
                shape
            )

        def get_config(self) -> dict[str, Any]:
            return {}

    return Ramp()


def dense(keras: Any, units: int, **options: Any) -> Any:
    return keras.layers.Dense(units, kernel_initializer=ramp(keras), **options)


def linear(keras: Any) -> Any:
    class Linear(keras.layers.Layer):
        def __init__(self, units: int = 2, **options: Any) -> None:
            super().__init__(**options)
            self.units = units

        def build(self, input_shape: Any) -> None:
            self.w = self.add_weight(shape=(input_shape[-1], self.units), initializer=ramp(keras), name="w")
            self.b = self.add_weight(shape=(self.units,), initializer="zeros", trainable=True, name="b")

        def call(self, inputs: Any) -> Any:
            return inputs @ self.w + self.b

    return Linear


# ---- layers -----------------------------------------------------------------------------------------------


@program
def layers_of_layers(keras: Any) -> Any:
    Linear = linear(keras)

    class Block(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__(name="block")
            self.first = Linear(4, name="first")
            self.rest = []
            for number in range(2):
                self.rest.append(Linear(3, name=f"rest_{number}"))
            self.named = {"last": dense(keras, 2, name="last")}
            self.pair = (keras.layers.Dropout(0.5),)

        def call(self, inputs: Any, training: Any = None) -> Any:
            x = self.first(inputs)
            for layer in self.rest:
                x = layer(x)
            return self.pair[0](self.named["last"](x), training=training)

    block = Block()
    y = block(data()[0])
    before = [len(block.trainable_weights), len(block.non_trainable_weights), block.count_params()]
    block.rest[0].trainable = False
    after = [len(block.trainable_weights), len(block.non_trainable_weights)]
    return numbers([y, before, after, [list(w.shape) for w in block.weights], [w.name for w in block.weights]])


@program
def states(keras: Any) -> Any:
    class Running(keras.layers.Layer):
        def __init__(self, size: int) -> None:
            super().__init__()
            self.total = self.add_weight(shape=(size,), initializer="zeros", trainable=False, name="total")
            self.calls = self.add_weight(initializer="zeros", dtype="int32", trainable=False, name="calls")

        def call(self, inputs: Any) -> Any:
            self.total.assign_add(inputs.sum(0))
            self.calls.assign_add(1)
            return self.total + 0.0

    layer = Running(3)
    x = np.ones((2, 3), "float32")
    first, second = numbers(layer(x)), numbers(layer(x))
    return [first, second, numbers(layer.calls), len(layer.weights), len(layer.trainable_weights)]


@program
def losses_of_layers(keras: Any) -> Any:
    class Penalty(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            self.add_loss(1e-2 * inputs.sum())
            return inputs

    class Outer(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.added = Penalty()
            self.dense = dense(keras, 2, kernel_regularizer=keras.regularizers.L2(1e-3), activity_regularizer="l1")

        def call(self, inputs: Any) -> Any:
            return self.added(self.dense(inputs))

    layer = Outer()
    x = data()[0]
    found = [len(layer.losses)]
    for _ in range(2):
        layer(x)
        found.append(numbers(layer.losses))
    return found


@program
def training_reaches_inner_layers(keras: Any) -> Any:
    class Told(keras.layers.Layer):
        def call(self, inputs: Any, training: Any = None) -> Any:
            return inputs + (1.0 if training else 0.0)

    class Outer(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Told()

        def call(self, inputs: Any) -> Any:
            return self.inner(inputs)

    model = keras.Sequential([Outer(), keras.Sequential([Told()])])
    x = np.zeros((1, 1), "float32")
    return numbers([model(x), model(x, training=True), model(x, training=False)])


@program
def configurations(keras: Any) -> Any:
    class Scale(keras.layers.Layer):
        def __init__(self, factor: float, **options: Any) -> None:
            super().__init__(**options)
            self.factor = factor

        def call(self, inputs: Any) -> Any:
            return inputs * self.factor

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "factor": self.factor}

    layer = Scale(3.0, name="thrice", trainable=False)
    again = Scale.from_config(layer.get_config())
    return [again.name, again.trainable, again.factor, numbers(again(np.ones((1, 2), "float32")))]


# ---- fit --------------------------------------------------------------------------------------------------


def fitted(model: Any, *arguments: Any, **options: Any) -> Any:
    record = model.fit(*arguments, **{"verbose": 0, "shuffle": False, "batch_size": 5} | options)
    return numbers({name: record.history[name] for name in record.history})


def small(keras: Any, **options: Any) -> Any:
    model = keras.Sequential([keras.Input((3,)), dense(keras, 4, **{"activation": "tanh"} | options), dense(keras, 1)])
    return model


@program
def penalties_in_fit(keras: Any) -> Any:
    model = small(keras, activity_regularizer=keras.regularizers.L2(0.1), bias_regularizer="l2")
    model.compile(keras.optimizers.SGD(0.1), "mse", metrics=["mae"])
    x, y = data()
    return [
        fitted(model, x, y, epochs=2, validation_data=(x, y)),
        numbers(model.evaluate(x, y, verbose=0)),
        numbers(model.get_weights()),
    ]


@program
def a_loss_of_its_own(keras: Any) -> Any:
    class Net(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = dense(keras, 1)

        def call(self, inputs: Any) -> Any:
            y = self.dense(inputs)
            self.add_loss((y**2).mean())
            return y

    model = Net()
    model.compile(keras.optimizers.SGD(0.05))
    x, _ = data()
    return [fitted(model, x, epochs=2), numbers(model.get_weights())]


@program
def a_loss_computed_by_the_model(keras: Any) -> Any:
    class Net(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = dense(keras, 1)
            self.tracker = keras.metrics.Mean(name="own")

        def call(self, inputs: Any) -> Any:
            return self.dense(inputs)

        def compute_loss(
            self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
        ) -> Any:
            loss = (abs(y - y_pred)).mean() + 2.0 * (self.dense.kernel**2).sum()
            self.tracker.update_state(loss)
            return loss

    model = Net()
    model.compile(keras.optimizers.SGD(0.05), metrics=["mse"])
    x, y = data()
    return [fitted(model, x, y, epochs=2), numbers(model.get_weights())]


def two_headed(keras: Any, as_list: bool) -> Any:
    class Net(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.trunk = dense(keras, 4, activation="relu")
            self.value = dense(keras, 1)
            self.kind = dense(keras, 3, activation="softmax")

        def call(self, inputs: Any) -> Any:
            x = self.trunk(inputs)
            found = {"value": self.value(x), "kind": self.kind(x)}
            return list(found.values()) if as_list else found

    return Net()


@program
def outputs_by_name(keras: Any) -> Any:
    model = two_headed(keras, False)
    model.compile(
        keras.optimizers.SGD(0.1),
        loss={"value": "mse", "kind": "sparse_categorical_crossentropy"},
        loss_weights={"value": 2.0, "kind": 0.5},
        metrics={"value": ["mae"], "kind": ["accuracy"]},
    )
    x, y = data()
    kinds = np.arange(12) % 3
    targets = {"value": y, "kind": kinds}
    history = fitted(model, x, targets, epochs=2, validation_data=(x, targets))
    results = model.evaluate(x, targets, verbose=0, return_dict=True)
    return [dict(sorted(history.items())), dict(sorted(numbers(results).items())), numbers(model.get_weights())]


@program
def outputs_by_place(keras: Any) -> Any:
    model = two_headed(keras, True)
    model.compile(keras.optimizers.SGD(0.1), loss=["mse", "sparse_categorical_crossentropy"], loss_weights=[2.0, 0.5])
    x, y = data()
    history = fitted(model, x, [y, np.arange(12) % 3], epochs=2)
    return [history["loss"], numbers(model.get_weights()), [list(p.shape) for p in model.predict(x, verbose=0)]]


@program
def several_inputs(keras: Any) -> Any:
    class Net(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.left = dense(keras, 2)
            self.right = dense(keras, 2)
            self.out = dense(keras, 1)

        def call(self, inputs: Any) -> Any:
            return self.out(self.left(inputs["a"]) * self.right(inputs["b"]))

    model = Net()
    model.compile(keras.optimizers.SGD(0.1), "mse")
    x, y = data()
    inputs = {"a": x, "b": x[:, :2]}
    history = fitted(model, inputs, y, epochs=2, validation_split=0.25)
    return [history, numbers(model.predict(inputs, verbose=0)), numbers(model.get_weights())]


@program
def weights_of_samples(keras: Any) -> Any:
    found = []
    x, y = data()
    weights = np.linspace(0, 1, 12).astype("float32")
    for options in ({"sample_weight": weights}, {"sample_weight": weights[:, None]}):
        model = small(keras)
        model.compile(keras.optimizers.SGD(0.1), "mse", metrics=["mae"], weighted_metrics=["mse"])
        found.append([fitted(model, x, y, epochs=2, **options), numbers(model.get_weights())])
    return found


@program
def weights_of_classes(keras: Any) -> Any:
    x, _ = data()
    model = keras.Sequential([keras.Input((3,)), dense(keras, 3, activation="softmax")])
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", weighted_metrics=["accuracy"])
    return fitted(model, x, np.arange(12) % 3, epochs=2, class_weight={0: 2.0, 1: 1.0, 2: 0.5})


@program
def validations(keras: Any) -> Any:
    x, y = data()
    found = []
    for options in (
        {"validation_freq": 2}, {"validation_freq": [1, 3]}, {"validation_steps": 1, "validation_batch_size": 5},
        {"validation_batch_size": 7}, {"initial_epoch": 2},
    ):  # fmt: skip
        model = small(keras)
        model.compile(keras.optimizers.SGD(0.1), "mse")
        found.append(fitted(model, x, y, epochs=3, validation_data=(x * 2, y), **options))
    return found


@program
def steps_of_generators(keras: Any) -> Any:
    def batches() -> Any:
        for number in range(1000):
            yield data(4, seed=number)

    model = small(keras)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    history = model.fit(batches(), steps_per_epoch=3, epochs=1, verbose=0)
    return [
        numbers(dict(history.history)), numbers(model.evaluate(batches(), steps=2, verbose=0)),
        np.shape(model.predict(((x,) for x, _ in batches()), steps=3, verbose=0)),
    ]  # fmt: skip


@program
def batch_by_batch(keras: Any) -> Any:
    x, y = data()
    model = small(keras)
    model.compile(keras.optimizers.SGD(0.1), "mse", metrics=["mae"])
    found = [numbers(model.train_on_batch(x[:6], y[:6])), numbers(model.train_on_batch(x[6:], y[6:], return_dict=True))]
    model.reset_metrics()
    found += [numbers(model.test_on_batch(x, y)), numbers(model.test_on_batch(x[:3], y[:3], return_dict=True))]
    return [
        *found,
        numbers(model.predict_on_batch(x[:2])),
        numbers(model.train_on_batch(x, y, sample_weight=y[:, 0] ** 2)),
    ]


@program
def results(keras: Any) -> Any:
    x, y = data()
    one = small(keras)
    one.compile(loss="mse")
    several = small(keras)
    several.compile(loss="mse", metrics=["mae", "mape"])
    return numbers([
        one.evaluate(x, y, verbose=0), several.evaluate(x, y, verbose=0),
        several.evaluate(x, y, verbose=0, return_dict=True), several.metrics_names,
        several.evaluate(x, y, verbose=0, steps=2, batch_size=3),
    ])  # fmt: skip


@program
def frozen(keras: Any) -> Any:
    x, y = data()
    model = small(keras)
    model.layers[0].trainable = False
    model.compile(keras.optimizers.SGD(0.1), "mse")
    history = fitted(model, x, y, epochs=2)
    everything = small(keras)
    everything.trainable = False
    everything.compile(keras.optimizers.SGD(0.1), "mse")
    return [history, numbers(model.get_weights()), fitted(everything, x, y), len(everything.trainable_weights)]


# ---- the user's own parts ---------------------------------------------------------------------------------


@program
def own_parts(keras: Any) -> Any:
    class Capped(keras.constraints.Constraint):
        def __init__(self, most: float) -> None:
            self.most = most

        def __call__(self, w: Any) -> Any:
            return w * (abs(w) <= self.most) + 0.0

        def get_config(self) -> dict[str, Any]:
            return {"most": self.most}

    class Cubic(keras.regularizers.Regularizer):
        def __init__(self, strength: float) -> None:
            self.strength = strength

        def __call__(self, x: Any) -> Any:
            return self.strength * (abs(x) ** 3).sum()

        def get_config(self) -> dict[str, Any]:
            return {"strength": self.strength}

    class Quartic(keras.losses.Loss):
        def __init__(self, factor: float = 1.0, **options: Any) -> None:
            super().__init__(**options)
            self.factor = factor

        def call(self, y_true: Any, y_pred: Any) -> Any:
            return self.factor * ((y_true - y_pred) ** 4).mean(-1)

    class Above(keras.metrics.Metric):
        def __init__(self, name: str = "above", **options: Any) -> None:
            super().__init__(name=name, **options)
            self.count = self.add_variable(shape=(), initializer="zeros", name="count")
            self.seen = self.add_weight(name="seen", initializer="zeros")

        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            over = (y_pred > y_true) * 1.0
            self.count.assign_add(over.sum())
            self.seen.assign_add((y_true * 0.0 + 1.0).sum())

        def result(self) -> Any:
            return self.count / self.seen

    x, y = data()
    model = small(keras, kernel_constraint=Capped(0.4), kernel_regularizer=Cubic(0.1))
    model.compile(keras.optimizers.SGD(0.1), Quartic(0.5, reduction="sum", name="fourth"), metrics=[Above()])
    history = fitted(model, x, y, epochs=3, validation_data=(x, y))
    loss = Quartic(reduction=None)
    return [
        history, numbers(model.get_weights()), numbers(loss(y, y + 1.0)), numbers(Quartic()(y, y * 0.0, y[:, 0])),
        numbers(model.evaluate(x, y, verbose=0)),
    ]  # fmt: skip


@program
def functions_as_parts(keras: Any) -> Any:
    def loss(y_true: Any, y_pred: Any) -> Any:
        return (abs(y_true - y_pred) ** 1.5).mean(-1)

    def bias(y_true: Any, y_pred: Any) -> Any:
        return (y_pred - y_true).mean()

    x, y = data()
    model = small(keras, kernel_regularizer=lambda w: 0.1 * (w**2).sum(), activation=None)
    model.compile(keras.optimizers.SGD(0.1), loss, metrics=[bias])
    return [fitted(model, x, y, epochs=2), numbers(model.get_weights())]


@program
def metrics_by_hand(keras: Any) -> Any:
    m = keras.metrics
    found = {}
    mean = m.Mean()
    for values, weight in (([1.0, 3.0], None), ([[1.0, 2.0], [3.0, 4.0]], [1.0, 0.5]), (5.0, None), ([2.0], 3.0)):
        mean.update_state(values, sample_weight=weight)
        found[f"mean {len(found)}"] = numbers(mean.result())
    mean.reset_state()
    found["empty"] = numbers(mean.result())
    total = m.Sum()
    total.update_state([[1.0, 2.0], [3.0, 4.0]], [1.0, 0.5])
    found["sum"] = numbers(total.result())
    found["called"] = numbers(m.Mean()([1.0, 4.0]))
    wrapped = m.MeanMetricWrapper(lambda y_true, y_pred: (y_true - y_pred) ** 2, name="squares")
    wrapped.update_state(np.float32([[1.0, 2.0], [0.0, 1.0]]), np.float32([[0.0, 0.0], [0.0, 3.0]]), [1.0, 3.0])
    found["wrapped"] = [wrapped.name, numbers(wrapped.result())]
    return found


def table(keras: Any) -> list[tuple[str, Any, Any, Any]]:
    """Metrics, and what they are held to."""
    m = keras.metrics
    random = np.random.default_rng(1)
    yes, chance = (random.random((6, 1)) > 0.5).astype("float32"), random.random((6, 1)).astype("float32")
    labels = random.integers(0, 4, 6)
    rows = random.random((6, 4)).astype("float32")
    rows /= rows.sum(1, keepdims=True)
    hot = np.eye(4, dtype="float32")[labels]
    true, guess = random.normal(size=(6, 2)).astype("float32"), random.normal(size=(6, 2)).astype("float32")
    steps, found = random.integers(0, 4, (6, 3)), random.random((6, 3, 4)).astype("float32")
    return [
        ("binary_accuracy", m.BinaryAccuracy(threshold=0.3), yes, chance),
        ("binary_accuracy of several", m.BinaryAccuracy(), hot, rows),
        ("categorical_accuracy", m.CategoricalAccuracy(), hot, rows),
        ("sparse_categorical_accuracy", m.SparseCategoricalAccuracy(), labels, rows),
        ("sparse_categorical_accuracy of steps", m.SparseCategoricalAccuracy(), steps, found),
        ("top_k", m.TopKCategoricalAccuracy(2), hot, rows),
        ("sparse_top_k", m.SparseTopKCategoricalAccuracy(2), labels, rows),
        ("precision", m.Precision(), yes, chance),
        ("precision at", m.Precision(thresholds=[0.2, 0.5, 0.7]), yes, chance),
        ("precision of a class", m.Precision(class_id=1, thresholds=0.2), hot, rows),
        ("precision of the largest", m.Precision(top_k=2), hot, rows),
        ("recall", m.Recall(thresholds=0.3), hot, rows),
        ("recall of the largest", m.Recall(top_k=1), hot, rows),
        ("true_positives", m.TruePositives(), yes, chance),
        ("false_positives", m.FalsePositives(thresholds=[0.2, 0.6]), yes, chance),
        ("true_negatives", m.TrueNegatives(), hot, rows),
        ("false_negatives", m.FalseNegatives(0.7), yes, chance),
        ("mse", m.MeanSquaredError(), true, guess),
        ("rmse", m.RootMeanSquaredError(), true, guess),
        ("mae", m.MeanAbsoluteError(), true, guess),
        ("mape", m.MeanAbsolutePercentageError(), true, guess),
        ("msle", m.MeanSquaredLogarithmicError(), abs(true), abs(guess)),
        ("cosine", m.CosineSimilarity(), true, guess),
        ("cosine along 0", m.CosineSimilarity(axis=1), true, guess),
        ("logcosh", m.LogCoshError(), true, guess),
        ("hinge", m.Hinge(), yes, chance),
        ("squared_hinge", m.SquaredHinge(), np.sign(true), guess),
        ("categorical_hinge", m.CategoricalHinge(), hot, rows),
        ("poisson", m.Poisson(), abs(true), abs(guess)),
        ("kld", m.KLDivergence(), rows, rows[::-1].copy()),
        ("bce", m.BinaryCrossentropy(label_smoothing=0.2), yes, chance),
        ("cce", m.CategoricalCrossentropy(), hot, rows),
        ("scce", m.SparseCategoricalCrossentropy(), labels, rows),
        ("scce of steps", m.SparseCategoricalCrossentropy(from_logits=True), steps, found),
        ("r2", m.R2Score(), true, guess),
        ("auc", m.AUC(num_thresholds=20), yes, chance),
    ]  # fmt: skip


@program
def metrics_over_batches(keras: Any) -> Any:
    found = {}
    for name, metric, y_true, y_pred in table(keras):
        metric.update_state(y_true[:4], y_pred[:4])
        metric.update_state(y_true[4:], y_pred[4:])
        found[name] = [metric.name, numbers(metric.result())]
        if not name.startswith(("r2", "cosine along")):
            metric.reset_state()
            metric.update_state(y_true, y_pred, np.linspace(0.5, 2.0, 6).astype("float32"))
            found[name].append(numbers(metric.result()))
    return found


@program
def losses_by_hand(keras: Any) -> Any:
    names = [
        "MeanSquaredError", "MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanSquaredLogarithmicError", "Hinge",
        "SquaredHinge", "CategoricalHinge", "LogCosh", "Poisson", "CosineSimilarity", "KLDivergence", "Huber",
    ]  # fmt: skip
    random = np.random.default_rng(2)
    true, guess = random.random((5, 3)).astype("float32"), random.random((5, 3)).astype("float32")
    weights = np.linspace(0.0, 1.0, 5).astype("float32")
    found: dict[str, Any] = {}
    for name in names:
        cls = getattr(keras.losses, name)
        found[name] = numbers([
            cls()(true, guess), cls(reduction="sum")(true, guess), cls(reduction=None)(true, guess),
            cls()(true, guess, weights), cls()(true, guess, weights[:, None]), cls().name,
        ])  # fmt: skip
    for name in (
        "mean_squared_error", "mean_absolute_percentage_error", "mean_squared_logarithmic_error", "hinge",
        "squared_hinge", "categorical_hinge", "log_cosh", "poisson", "cosine_similarity", "kl_divergence",
    ):  # fmt: skip
        found[name] = numbers(getattr(keras.losses, name)(true, guess))
    return found


# ---- callbacks --------------------------------------------------------------------------------------------


@program
def hooks_in_order(keras: Any) -> Any:
    names = [
        f"on_{kind}{moment}" for kind in ("train_", "test_", "predict_")
        for moment in ("begin", "end", "batch_begin", "batch_end")
    ] + ["on_epoch_begin", "on_epoch_end"]  # fmt: skip

    class Diary(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.lines: list[Any] = []

    def hook(name: str) -> Any:
        def told(self: Any, *arguments: Any, **options: Any) -> None:
            logs = options.get("logs", arguments[-1] if arguments else None)
            self.lines.append([name, *[a for a in arguments if isinstance(a, int)], sorted(logs or {})])

        return told

    for name in names:
        setattr(Diary, name, hook(name))
    x, y = data(8)
    model = small(keras)
    model.compile(loss="mse", metrics=["mae"])
    diary = Diary()
    model.fit(x, y, batch_size=4, epochs=2, validation_data=(x, y), callbacks=[diary], verbose=0)
    model.evaluate(x, y, batch_size=4, callbacks=[diary], verbose=0)
    model.predict(x, batch_size=4, callbacks=[diary], verbose=0)
    return [*diary.lines, diary.model is model]


@program
def what_callbacks_write(keras: Any) -> Any:
    class Writes(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any) -> None:
            logs["own"] = epoch * 10.0
            if epoch == 1:
                self.model.stop_training = True

    x, y = data()
    model = small(keras)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    stop = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: None)
    return fitted(model, x, y, epochs=5, callbacks=[Writes(), stop])
