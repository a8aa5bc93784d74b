"""Keras's losses and metrics, against the values in Keras's own documentation or worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit.errors import LabelError, ShapeError, UnknownNameError
from nnkit.keras import losses, metrics
from nnkit.keras.layers import Dense
from nnkit.keras.models import Sequential

TOLERANCE = 1e-3  # Keras's documentation gives three digits.

PAIRS = [[0.0, 1.0], [0.0, 0.0]]
GUESSES = [[0.6, 0.4], [0.4, 0.6]]
ONE_HOT = [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
CHANCES = [[0.05, 0.95, 0.0], [0.1, 0.8, 0.1]]
LOGITS = [[-18.6, 0.51], [2.94, -12.8]]

#: loss, targets, predictions, {reduction: value}, (sample weights, value)
DOCUMENTED: list[tuple[Callable[..., losses.Loss], Any, Any, dict[str | None, Any], tuple[list[float], float]]] = [
    (losses.MeanSquaredError, PAIRS, [[1.0, 1.0], [1.0, 0.0]],
     {"sum_over_batch_size": 0.5, "sum": 1.0, None: [0.5, 0.5]}, ([0.7, 0.3], 0.25)),
    (losses.MeanAbsoluteError, PAIRS, [[1.0, 1.0], [1.0, 0.0]],
     {"mean": 0.5, "sum": 1.0, None: [0.5, 0.5]}, ([0.7, 0.3], 0.25)),
    (losses.Huber, PAIRS, GUESSES, {"mean": 0.155, "sum": 0.31, None: [0.18, 0.13]}, ([1.0, 0.0], 0.09)),
    (losses.CategoricalCrossentropy, ONE_HOT, CHANCES,
     {"mean": 1.177, "sum": 2.354, None: [0.0513, 2.303]}, ([0.3, 0.7], 0.814)),
    (losses.SparseCategoricalCrossentropy, [1, 2], CHANCES,
     {"mean": 1.177, "sum": 2.354, None: [0.0513, 2.303]}, ([0.3, 0.7], 0.814)),
    (lambda **options: losses.BinaryCrossentropy(from_logits=True, **options), PAIRS, LOGITS,
     {"mean": 0.865, "sum": 1.730, None: [0.2351, 1.4958]}, ([0.8, 0.2], 0.243)),
    (losses.BinaryCrossentropy, PAIRS, GUESSES,
     {"mean": 0.815, "sum": 1.630, None: [0.9163, 0.7136]}, ([1.0, 0.0], 0.458)),
    (losses.KLDivergence, PAIRS, GUESSES, {"mean": 0.458, "sum": 0.916, None: [0.9163, 0.0]}, ([0.8, 0.2], 0.3665)),
]  # fmt: skip


@pytest.mark.parametrize(("loss", "target", "prediction", "values", "weighted"), DOCUMENTED)
def test_losses(
    loss: Callable[..., losses.Loss],
    target: Any,
    prediction: Any,
    values: dict[str | None, Any],
    weighted: tuple[list[float], float],
    device: str,
) -> None:
    for reduction, value in values.items():
        result = loss(reduction=reduction)(target, prediction)
        assert result.tolist() == pytest.approx(value, abs=TOLERANCE)
        assert str(result.device) == device
    weights, value = weighted
    assert loss()(target, prediction, weights).item() == pytest.approx(value, abs=TOLERANCE)


@pytest.mark.parametrize(
    ("function", "target", "prediction", "value"),
    [
        (losses.mean_squared_error, [1.0, 2.0], [[3.0], [2.0]], [4.0, 0.0]),
        (losses.mean_absolute_error, [[1.0], [2.0]], [3.0, 2.0], [2.0, 0.0]),
        (losses.huber, [[0.0]], [[3.0]], [2.5]),
        (losses.binary_crossentropy, [1, 0], [[0.5], [0.5]], [math.log(2)] * 2),
        (losses.categorical_crossentropy, [[0, 1]], [[0.75, 0.25]], [math.log(4)]),
        (losses.sparse_categorical_crossentropy, [[1.0], [0.0]], [[0.5, 0.5], [1.0, 0.0]], [math.log(2), 0.0]),
        (losses.kl_divergence, [[0.5, 0.5]], [[0.5, 0.5]], [0.0]),
    ],
)
def test_functions_pair_shapes_as_keras_does(
    function: Callable[..., nnkit.Tensor], target: Any, prediction: Any, value: list[float]
) -> None:
    assert function(target, prediction).tolist() == pytest.approx(value, abs=1e-6)


def test_probabilities_are_kept_from_0_and_1() -> None:
    """log(1e-7) = -16.118: the most that one element can cost (Keras's epsilon)."""
    assert losses.binary_crossentropy([1.0], [[0.0]]).item() == pytest.approx(16.118, abs=0.01)
    assert losses.categorical_crossentropy([[0.0, 1.0]], [[1.0, 0.0]]).item() == pytest.approx(16.118, abs=0.01)


def test_label_smoothing() -> None:
    """By hand: targets (0.1, 0.9) for two classes smoothed by 0.2, and 0.9 for a yes."""
    smoothed = -(0.1 * math.log(0.25) + 0.9 * math.log(0.75))
    assert losses.CategoricalCrossentropy(label_smoothing=0.2)([[0.0, 1.0]], [[0.25, 0.75]]).item() == pytest.approx(
        smoothed
    )
    assert losses.BinaryCrossentropy(label_smoothing=0.2)([[1.0]], [[0.75]]).item() == pytest.approx(smoothed)


def test_ignored_class_costs_nothing() -> None:
    loss = losses.SparseCategoricalCrossentropy(ignore_class=-1, reduction=None)
    assert loss([-1, 0], [[0.5, 0.5], [0.5, 0.5]]).tolist() == pytest.approx([0.0, math.log(2)])


@pytest.mark.parametrize(
    ("units", "activation", "loss", "target"),
    [(2, "softmax", "sparse_categorical_crossentropy", [1]), (2, "softmax", "categorical_crossentropy", [[0, 1]]),
     (1, "sigmoid", "binary_crossentropy", [1])],
)  # fmt: skip
def test_the_loss_of_a_last_softmax_or_sigmoid_is_computed_from_its_logits(
    units: int, activation: str, loss: str, target: Any, device: str
) -> None:
    """A model that is sure and wrong, its logits 100 apart, costs 100, not 16.118, and still learns."""
    layer = Dense(units, activation=activation, kernel_initializer="zeros")
    model = Sequential([layer])
    model.build((None, 1))
    kernel = [[100.0, 0.0]] if units == 2 else [[-100.0]]
    model.set_weights([np.array(kernel), np.zeros(units)])
    model.compile("sgd", loss)
    x = np.ones((1, 1))
    assert model.evaluate(x, np.array(target), verbose=0) == pytest.approx(100.0)
    model.fit(x, np.array(target), verbose=0)
    assert abs(layer.get_weights()[0][0, 0]) == pytest.approx(99.99)
    assert float(model.predict(x, verbose=0)[0, -1]) == pytest.approx(0.0, abs=1e-30)


def test_classes_are_the_last_axis_of_outputs_with_positions(device: str) -> None:
    labels = np.array([[0, 2], [1, 1]])
    chances = np.array([[[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], [[0.3, 0.4, 0.3], [0.25, 0.5, 0.25]]], np.float32)
    each = -np.log([[0.7, 0.8], [0.4, 0.5]])
    one_hot = np.eye(3, dtype=np.float32)[labels]
    for loss, target in ((losses.SparseCategoricalCrossentropy, labels), (losses.CategoricalCrossentropy, one_hot)):
        assert loss(reduction="none")(target, chances).numpy() == pytest.approx(each, rel=1e-5)
        assert loss()(target, chances).item() == pytest.approx(each.mean(), rel=1e-5)
        assert loss(reduction="sum")(target, chances).item() == pytest.approx(each.sum(), rel=1e-5)
    kept = losses.SparseCategoricalCrossentropy(ignore_class=1)(labels, chances).item()
    assert kept == pytest.approx(each[0].mean(), rel=1e-5)
    model = Sequential([Dense(3, input_shape=(2, 5), activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    x, y = np.ones((4, 2, 5), np.float32), np.array([[0, 2]] * 4)
    model.fit(x, y, verbose=0)
    assert model.evaluate(x, y, verbose=0) == pytest.approx(model.evaluate(x, y, batch_size=3, verbose=0))
    with pytest.raises(ShapeError, match=r"expects one class label per sample, shape \(4, 2\)"):
        model.fit(x, y[:, 0], verbose=0)


def test_a_function_as_loss_takes_the_target_first(device: str) -> None:
    def overshoot(y_true: nnkit.Tensor, y_pred: nnkit.Tensor) -> nnkit.Tensor:
        return (y_pred - y_true).mean(dim=-1)

    model = Sequential([Dense(1, input_dim=1, kernel_initializer="ones")])
    model.compile("sgd", overshoot)
    x, y = np.array([[3.0], [5.0]]), np.array([[1], [1]])
    assert model.evaluate(x, y, verbose=0) == pytest.approx(3.0)
    assert model.evaluate(x, y, sample_weight=np.array([1.0, 0.5]), verbose=0) == pytest.approx(2.0)


def test_a_loss_class_of_ones_own() -> None:
    class Overshoot(losses.Loss):
        def call(self, y_true: nnkit.Tensor, y_pred: nnkit.Tensor) -> nnkit.Tensor:
            return (y_pred - y_true).mean(dim=-1)

    assert Overshoot(reduction="sum")([1.0, 1.0], [[3.0], [5.0]]).item() == 6.0
    with pytest.raises(NotImplementedError, match="must define call"):
        losses.Loss()([1.0], [[1.0]])


@pytest.mark.parametrize(
    ("loss", "target", "error", "message"),
    [
        ("sparse_categorical_crossentropy", [0, 7], LabelError, "outside 0 to 2"),
        ("sparse_categorical_crossentropy", [0.5, 1.0], LabelError, "class labels are integers"),
        ("sparse_categorical_crossentropy", ["a", "b"], LabelError, "holds text"),
        ("sparse_categorical_crossentropy", [[0, 1, 0], [1, 0, 0]], ShapeError, "for one-hot rows use categorical"),
        ("categorical_crossentropy", [0, 1], ShapeError, "utils.to_categorical"),
        ("mse", [[0.0, 1.0], [0.0, 1.0]], ShapeError, None),
        ("binary_crossentropy", [[0, 2, 0], [0, 1, 0]], LabelError, "outside 0 to 1"),
    ],
)
def test_targets_that_do_not_fit_are_refused(
    loss: str, target: Any, error: type[Exception], message: str | None
) -> None:
    model = Sequential([Dense(3, input_dim=1, activation="softmax")])
    model.compile("sgd", loss)
    with pytest.raises(error, match=message):
        model.fit(np.ones((2, 1)), np.array(target), verbose=0)


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="'mean_squared_error'"):
        losses.get("mean_square_error")
    with pytest.raises(UnknownNameError, match="'accuracy'"):
        metrics.get("acuracy")
    with pytest.raises(UnknownNameError, match="reduction"):
        losses.MeanSquaredError(reduction="average")


# ---- metrics ----------------------------------------------------------------------------------------------

BINARY = ([1, 1, 0, 0], [[0.98], [1.0], [0.0], [0.6]])
CLASSES = [[0.1, 0.9, 0.8], [0.05, 0.95, 0.0]]
RANKED, RANKS = ([0, 0, 1, 1], [[0.1], [0.4], [0.35], [0.8]]), [1, 0, 0.5, 1]
METRICS: list[tuple[metrics.Metric, Any, Any, float, tuple[list[float], float]]] = [
    (metrics.BinaryAccuracy(), *BINARY, 0.75, ([1, 0, 0, 1], 0.5)),
    (metrics.BinaryAccuracy(threshold=0.7), *BINARY, 1.0, ([1, 0, 0, 1], 1.0)),
    (metrics.BinaryAccuracy(), [0, 1, 0.3, 0.9], [[0.2], [0.8], [0.2], [0.8]], 0.5, ([1, 0, 0, 1], 0.5)),
    (metrics.Accuracy(), *BINARY, 0.75, ([1, 0, 0, 1], 0.5)),
    (metrics.CategoricalAccuracy(), [[0, 0, 1], [0, 1, 0]], CLASSES, 0.5, ([0.7, 0.3], 0.3)),
    (metrics.SparseCategoricalAccuracy(), [2, 1], [[0.1, 0.6, 0.3], [0.05, 0.95, 0.0]], 0.5, ([0.7, 0.3], 0.3)),
    (metrics.SparseCategoricalAccuracy(), [[2], [1]], [[0.1, 0.6, 0.3], [0.05, 0.95, 0.0]], 0.5, ([0.7, 0.3], 0.3)),
    (metrics.TopKCategoricalAccuracy(k=1), [[0, 0, 1], [0, 1, 0]], CLASSES, 0.5, ([0.7, 0.3], 0.3)),
    (metrics.SparseTopKCategoricalAccuracy(k=2), [2, 1], CLASSES, 1.0, ([0.7, 0.3], 1.0)),
    (metrics.Precision(), [0, 1, 1, 1], [[1.0], [0.0], [1.0], [1.0]], 2 / 3, ([0, 0, 1, 0], 1.0)),
    (metrics.Recall(), [0, 1, 1, 1], [[1.0], [0.0], [1.0], [1.0]], 2 / 3, ([0, 0, 1, 0], 1.0)),
    (metrics.Precision(thresholds=0.9), [[0, 1], [1, 0]], [[0.2, 0.95], [0.8, 0.95]], 0.5, ([1, 0], 1.0)),
    (metrics.AUC(), *RANKED, 0.75, (RANKS, 1.0)),
    (metrics.AUC(num_thresholds=3), [0, 0, 1, 1], [[0.0], [0.5], [0.3], [0.9]], 0.75, ([1, 0, 0, 1], 1.0)),
    (metrics.AUC(thresholds=[0.5, 0.2]), *RANKED, 0.875, (RANKS, 1.0)),
    (metrics.AUC(thresholds=[0.2, 0.5], summation_method="minoring"), *RANKED, 0.75, (RANKS, 1.0)),
    (metrics.AUC(thresholds=[0.2, 0.5], summation_method="majoring"), *RANKED, 1.0, (RANKS, 1.0)),
    (metrics.AUC(curve="PR"), *RANKED, 0.797267, (RANKS, 1.0)),
    (metrics.AUC(curve="PR", thresholds=[0.2, 0.5]), *RANKED, 0.887327, (RANKS, 1.0)),
    (metrics.AUC(curve="PR", summation_method="minoring"), *RANKED, 0.25, (RANKS, 1 / 3)),
    (metrics.AUC(curve="PR", summation_method="majoring"), *RANKED, 0.833333, (RANKS, 1.0)),
    (metrics.MeanSquaredError(), PAIRS, [[1.0, 1.0], [0.0, 0.0]], 0.25, ([1, 0], 0.5)),
    (metrics.RootMeanSquaredError(), PAIRS, [[1.0, 1.0], [0.0, 0.0]], 0.5, ([1, 0], 0.5**0.5)),
    (metrics.MeanAbsoluteError(), PAIRS, [[1.0, 1.0], [0.0, 0.0]], 0.25, ([1, 0], 0.5)),
    (metrics.BinaryCrossentropy(), PAIRS, GUESSES, 0.815, ([1, 0], 0.916)),
    (metrics.CategoricalCrossentropy(), ONE_HOT, CHANCES, 1.177, ([0.3, 0.7], 1.6272)),
    (metrics.SparseCategoricalCrossentropy(), [1, 2], CHANCES, 1.177, ([0.3, 0.7], 1.6272)),
    (metrics.KLDivergence(), PAIRS, GUESSES, 0.458, ([0.9, 0.1], 0.8247)),
]  # fmt: skip


@pytest.mark.parametrize("case", METRICS, ids=lambda case: case[0].name)
def test_one_weight_for_all_is_that_weight_for_each(case: Any, device: str) -> None:
    metric, target, prediction, *_ = case
    results = []
    for weights in (2.0, [2.0] * len(target)):
        metric.reset_state()
        metric.update_state(target, prediction, weights)
        metric.update_state(target[:1], prediction[:1])
        results.append(float(metric.result()))
    assert results[0] == pytest.approx(results[1], rel=1e-9)
    for shape in ((3, len(target) + 5), (len(target) + 1,), (len(target), 7)):
        with pytest.raises(ShapeError, match=r"sample_weight has shape .*; expected one number, or one for each of"):
            metric.update_state(target, prediction, np.ones(shape))


@pytest.mark.parametrize(("metric", "target", "prediction", "value", "weighted"), METRICS)
def test_metrics(
    metric: metrics.Metric, target: Any, prediction: Any, value: float, weighted: tuple[list[float], float], device: str
) -> None:
    metric.reset_state()
    half = len(target) // 2
    metric.update_state(target[:half], prediction[:half])
    metric.update_state(target[half:], prediction[half:])
    assert float(metric.result()) == pytest.approx(value, abs=TOLERANCE)
    metric.reset_state()
    weights, value = weighted
    assert float(metric(target, prediction, weights)) == pytest.approx(value, abs=TOLERANCE)


@pytest.mark.parametrize(
    ("options", "area"),
    [({}, 0.8125), ({"multi_label": True}, 0.75), ({"multi_label": True, "label_weights": [1.0, 3.0]}, 0.75)],
)
def test_the_area_of_several_outputs(options: dict[str, Any], area: float, device: str) -> None:
    y, p = [[0, 1], [1, 0], [1, 1], [0, 0]], np.array([[0.1, 0.9], [0.6, 0.2], [0.4, 0.3], [0.5, 0.35]])
    assert float(metrics.AUC(**options)(y, p)) == pytest.approx(area, abs=1e-6)
    logits = np.log(p / (1 - p))
    assert float(metrics.AUC(from_logits=True, **options)(y, logits)) == pytest.approx(area, abs=1e-6)


def test_the_area_takes_what_is_outside_0_to_1_for_the_end(device: str) -> None:
    y, p = [0, 1, 0, 1, 1], [[-3.0], [2.0], [0.5], [0.25], [7.0]]
    assert float(metrics.AUC()(y, p)) == pytest.approx(float(metrics.AUC()(y, np.clip(p, 0.0, 1.0))))


@pytest.mark.parametrize("metric", [case[0] for case in METRICS])
def test_config_rebuilds_the_metric(metric: metrics.Metric) -> None:
    config = metric.get_config()
    again: Any = metrics.get({"class_name": type(metric).__name__, "config": config})
    assert type(again) is type(metric)
    assert again.get_config() == config


@pytest.mark.parametrize(
    ("loss", "units", "target", "accuracy"),
    [
        ("mse", 1, [1, 1, 0, 0], 0.75),
        ("mse", 1, [[1], [1], [0], [0]], 0.75),
        ("sparse_categorical_crossentropy", 2, [1, 1, 0, 0], 0.5),
        ("sparse_categorical_crossentropy", 2, [[1], [1], [0], [0]], 0.5),
        ("categorical_crossentropy", 2, [[0, 1], [0, 1], [1, 0], [1, 0]], 0.5),
    ],
)
def test_accuracy_is_what_the_shapes_say(loss: str, units: int, target: Any, accuracy: float, device: str) -> None:
    """Outputs 1, 2, -1, 3: three of four signs are right; two equal classes tie, and the first counts."""
    model = Sequential([Dense(units, "linear" if units == 1 else "softmax", kernel_initializer="ones", input_dim=1)])
    model.compile("sgd", loss, metrics=["accuracy", "acc"])
    results: Any = model.evaluate(np.array([[1.0], [2.0], [-1.0], [3.0]]), np.array(target), verbose=0)
    assert results[1:] == [accuracy, accuracy]


def test_functions_and_weighted_metrics(device: str) -> None:
    def overshoot(y_true: nnkit.Tensor, y_pred: nnkit.Tensor) -> nnkit.Tensor:
        return y_pred - y_true

    model = Sequential([Dense(1, kernel_initializer="ones", input_dim=1)])
    model.compile("sgd", "mse", metrics=[overshoot], weighted_metrics=["mae"])
    results: Any = model.evaluate(
        np.array([[3.0], [5.0]]), np.array([1.0, 1.0]), sample_weight=np.array([1.0, 0.0]), verbose=0, return_dict=True
    )
    assert results == pytest.approx({"loss": 2.0, "overshoot": 3.0, "mae": 2.0})
