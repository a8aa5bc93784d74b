"""Metrics: scikit-learn's numbers, however the samples are cut into batches."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

import nnkit
from nnkit import nn
from nnkit.errors import ShapeError, UnknownNameError
from nnkit.training import (
    F1,
    MAE,
    MSE,
    R2,
    RMSE,
    Accuracy,
    BalancedAccuracy,
    ConfusionMatrix,
    FunctionMetric,
    LogLoss,
    Matthews,
    Metric,
    Precision,
    Recall,
    TopKAccuracy,
)  # fmt: skip
from nnkit.training import metrics as table

CLOSE = 1e-9  # Sums are float64 on both sides.

RANDOM = np.random.default_rng(3)
N = 53
SCORES = RANDOM.normal(size=(N, 7)).astype(np.float32)
LABELS = RANDOM.integers(0, 6, size=N)  # Class 6 never occurs, but is guessed.
FEW = np.where(SCORES.argmax(1) % 2 == 0, LABELS, 5)
PROBABILITIES = RANDOM.uniform(size=(N, 1)).astype(np.float32)
YES = RANDOM.integers(0, 2, size=(N, 1)).astype(np.float32)
TWO = YES[:, 0].astype(np.int64)
MANY = RANDOM.integers(0, 2, size=(N, 7)).astype(np.float32)
VALUES = (RANDOM.normal(size=(N, 2)) * 3 + 5).astype(np.float32)
TRUE_VALUES = (VALUES + RANDOM.normal(size=(N, 2))).astype(np.float32)
WEIGHT = RANDOM.uniform(0.1, 2.0, size=N).astype(np.float32)

Decide = Callable[[np.ndarray], np.ndarray]


def classes(scores: np.ndarray) -> np.ndarray:
    """The class of each row of scores or of a one-hot row; labels as they are."""
    return scores.argmax(axis=1) if scores.ndim == 2 and scores.shape[1] > 1 else scores.reshape(-1)


def positive(values: np.ndarray) -> np.ndarray:
    """Yes for a logit; 1 is yes and 0 is no."""
    return values > 0.0


def likely(values: np.ndarray) -> np.ndarray:
    """Yes for a probability."""
    return values > 0.5


def doubles(values: np.ndarray) -> np.ndarray:
    """The numbers themselves."""
    return values.astype(np.float64)


MACRO = {"average": "macro", "zero_division": 0}
WEIGHTED = {"average": "weighted", "zero_division": 0}
MICRO = {"average": "micro"}
CONSTANT = np.full((N, 2), 0.5, dtype=np.float32)

#: name -> (metric, predictions, targets, scikit-learn's function, what it is called on, its options)
CASES: dict[str, tuple[Metric, np.ndarray, np.ndarray, Callable[..., Any], Decide, dict[str, Any]]] = {
    "accuracy of classes": (Accuracy(), SCORES, LABELS, sk.accuracy_score, classes, {}),
    "accuracy of labels (n, 1)": (Accuracy(), SCORES, LABELS[:, None], sk.accuracy_score, classes, {}),
    "accuracy of one-hot": (Accuracy(), SCORES, np.eye(7)[LABELS], sk.accuracy_score, classes, {}),
    "accuracy of probabilities": (Accuracy(), PROBABILITIES, YES, sk.accuracy_score, likely, {}),
    "accuracy of (n,)": (Accuracy(), PROBABILITIES[:, 0], YES[:, 0], sk.accuracy_score, likely, {}),
    "accuracy of logits": (Accuracy(threshold=0.0), SCORES[:, :1], YES, sk.accuracy_score, positive, {}),
    "precision macro": (Precision(), SCORES, LABELS, sk.precision_score, classes, MACRO),
    "recall macro": (Recall(average="macro"), SCORES, LABELS, sk.recall_score, classes, MACRO),
    "f1 macro": (F1(average="macro"), SCORES, FEW, sk.f1_score, classes, MACRO),
    "precision micro": (Precision(average="micro"), SCORES, LABELS, sk.precision_score, classes, MICRO),
    "recall micro": (Recall(average="micro"), SCORES, LABELS, sk.recall_score, classes, MICRO),
    "f1 micro": (F1(average="micro"), SCORES, LABELS, sk.f1_score, classes, MICRO),
    "precision": (Precision(), PROBABILITIES, YES, sk.precision_score, likely, {}),
    "recall": (Recall(), PROBABILITIES, YES, sk.recall_score, likely, {}),
    "f1": (F1(), PROBABILITIES, YES, sk.f1_score, likely, {}),
    "f1 of two scores": (F1(average="binary"), SCORES[:, :2], TWO, sk.f1_score, classes, {}),
    "f1 of two classes": (F1(), SCORES[:, :2], TWO, sk.f1_score, classes, {}),
    "precision of class 0": (Precision(pos_label=0), SCORES[:, :2], TWO, sk.precision_score, classes, {"pos_label": 0}),
    "recall of no": (Recall(pos_label=0), PROBABILITIES, YES, sk.recall_score, likely, {"pos_label": 0}),
    "f1 weighted": (F1(average="weighted"), SCORES, LABELS, sk.f1_score, classes, WEIGHTED),
    "precision weighted": (Precision(average="weighted"), SCORES, FEW, sk.precision_score, classes, WEIGHTED),
    "balanced accuracy": (BalancedAccuracy(), SCORES, LABELS, sk.balanced_accuracy_score, classes, {}),
    "balanced accuracy of yes": (BalancedAccuracy(), PROBABILITIES, YES, sk.balanced_accuracy_score, likely, {}),
    "matthews": (Matthews(), SCORES, LABELS, sk.matthews_corrcoef, classes, {}),
    "matthews of yes": (Matthews(), PROBABILITIES, YES, sk.matthews_corrcoef, likely, {}),
    "matthews of one decision": (Matthews(), PROBABILITIES * 0, YES, sk.matthews_corrcoef, likely, {}),
    "precision of many": (Precision(average="macro", threshold=0.0), SCORES, MANY, sk.precision_score, positive, MACRO),
    "f1 of many": (F1(average="micro", threshold=0.0), SCORES, MANY, sk.f1_score, positive, MICRO),
    "f1 macro of yes": (F1(average="macro"), PROBABILITIES, YES, sk.f1_score, likely, MACRO),
    "recall macro of no": (Recall(average="macro", pos_label=0), PROBABILITIES, YES, sk.recall_score, likely, MACRO),
    "precision micro of yes": (Precision(average="micro"), PROBABILITIES, YES, sk.precision_score, likely, MICRO),
    "f1 weighted of yes": (F1(average="weighted"), PROBABILITIES, YES, sk.f1_score, likely, WEIGHTED),
    "f1 macro of logits": (F1(average="macro", threshold=0.0), SCORES[:, :1], YES, sk.f1_score, positive, MACRO),
    "macro of one decision": (F1(average="macro"), PROBABILITIES * 0, YES * 0, sk.f1_score, likely, MACRO),
    "nobody said yes": (Precision(), PROBABILITIES * 0, YES, sk.precision_score, likely, {"zero_division": 0}),
    "mse": (MSE(), VALUES, TRUE_VALUES, sk.mean_squared_error, doubles, {}),
    "mae": (MAE(), VALUES, TRUE_VALUES, sk.mean_absolute_error, doubles, {}),
    "rmse": (RMSE(), VALUES[:, 0], TRUE_VALUES[:, 0], sk.root_mean_squared_error, doubles, {}),
    "r2": (R2(), VALUES, TRUE_VALUES, sk.r2_score, doubles, {}),
    "r2 of a constant": (R2(), VALUES, CONSTANT, sk.r2_score, doubles, {}),
}


def measured(metric: Metric, cuts: list[int], *arrays: np.ndarray | None) -> float:
    """The metric of predictions, targets and weights from batches cut at ``cuts``."""
    parts = [np.split(array, cuts) for array in arrays if array is not None]
    sums = [metric.sums(*map(nnkit.tensor, batch)).numpy() for batch in zip(*parts, strict=True)]
    return metric.result(np.sum(sums, axis=0))


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["alike", "weighted"])
@pytest.mark.parametrize("case", CASES)
def test_equals_scikit_learn_over_unequal_batches(case: str, weight: np.ndarray | None, device: str) -> None:
    metric, prediction, target, function, decide, options = CASES[case]
    expected = function(decide(target), decide(prediction), sample_weight=weight, **options)
    assert measured(metric, [], prediction, target, weight) == pytest.approx(expected, abs=CLOSE)
    assert measured(metric, [1, 20, 25], prediction, target, weight) == pytest.approx(expected, abs=CLOSE)


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["alike", "weighted"])
def test_what_is_no_single_number_is_an_array(weight: np.ndarray | None, device: str) -> None:
    table = measured(ConfusionMatrix(), [9], SCORES, LABELS, weight)
    np.testing.assert_allclose(table, sk.confusion_matrix(LABELS, classes(SCORES), sample_weight=weight), atol=CLOSE)
    each = measured(F1(average=None), [9], SCORES, LABELS, weight)
    expected = sk.f1_score(LABELS, classes(SCORES), average=None, zero_division=0, sample_weight=weight)
    np.testing.assert_allclose(each, expected, atol=CLOSE)
    for metric in (ConfusionMatrix(), F1(average=None)):
        with pytest.raises(ValueError, match="gives an array, and training keeps numbers"):
            nn.Linear(2, 7).fit(SCORES[:, :2], LABELS, loss="cross_entropy", metrics=[metric], verbose=0)


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["alike", "weighted"])
def test_log_loss(weight: np.ndarray | None, device: str) -> None:
    p = np.exp(SCORES.astype(np.float64))
    p /= p.sum(axis=1, keepdims=True)
    expected = sk.log_loss(LABELS, p, labels=range(7), sample_weight=weight)
    for metric, given in ((LogLoss(from_logits=True), SCORES), (LogLoss(), p)):
        assert measured(metric, [9], given, LABELS, weight) == pytest.approx(expected, rel=1e-6)
    for dtype in (np.float32, np.float64):  # which keep another distance from 0 and 1
        certain = YES.astype(dtype)
        expected = sk.log_loss(1 - YES, certain, sample_weight=weight)
        assert measured(LogLoss(), [9], certain, 1 - YES, weight) == pytest.approx(expected, rel=1e-6)
    expected = -np.average((MANY * np.log(p) + (1 - MANY) * np.log(1 - p)).mean(axis=1), weights=weight)
    for from_logits, given in ((True, np.log(p / (1 - p))), (False, p)):
        metric = LogLoss(from_logits=from_logits, multilabel=True)
        assert measured(metric, [9], given, MANY, weight) == pytest.approx(expected, rel=CLOSE)
    expected = sk.log_loss(YES, PROBABILITIES, sample_weight=weight)
    logits = np.log(PROBABILITIES / (1 - PROBABILITIES))
    for metric, given in ((LogLoss(from_logits=True), logits), (LogLoss(), PROBABILITIES)):
        assert measured(metric, [9], given, YES, weight) == pytest.approx(expected, rel=1e-5)


def test_metrics_by_name_are_the_losss(device: str) -> None:
    model = nn.Linear(2, 2)
    x, y = SCORES[:, :2], TWO
    names = ["log_loss", "f1", "matthews", "balanced_accuracy"]
    found = model.evaluate(x, y, loss="cross_entropy", metrics=names, batch_size=7)
    decided = model.predict(x).argmax(axis=1)
    assert found["log_loss"] == pytest.approx(found["loss"], rel=1e-5)
    assert found["f1"] == pytest.approx(sk.f1_score(y, decided), abs=CLOSE)
    assert found["matthews"] == pytest.approx(sk.matthews_corrcoef(y, decided), abs=CLOSE)
    history = model.fit(x, y, loss="cross_entropy", metrics=names, epochs=2, verbose=0).history
    assert all(len(history[name]) == 2 for name in names)


@pytest.mark.parametrize(
    ("loss", "end", "target"),
    [
        ("cross_entropy", nn.Identity(), LABELS),
        ("nll", nn.LogSoftmax(dim=1), LABELS),
        ("bce", nn.Sigmoid(), MANY),
        ("bce_with_logits", nn.Identity(), MANY),
        ("bce", nn.Sigmoid(), np.eye(7, dtype=np.float32)[LABELS]),
    ],
)
def test_log_loss_by_name_is_the_loss(loss: str, end: nn.Module, target: np.ndarray, device: str) -> None:
    model = nn.Sequential(nn.Linear(7, 7), end)
    found = model.evaluate(SCORES, target, loss=loss, metrics=["log_loss"], batch_size=9)
    assert found["log_loss"] == pytest.approx(found["loss"], rel=1e-5)


@pytest.mark.parametrize("k", [1, 3, 7])
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["alike", "weighted"])
def test_top_k_accuracy(k: int, weight: np.ndarray | None, device: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's, about k = 7 of 7.
        expected = sk.top_k_accuracy_score(LABELS, SCORES, k=k, labels=range(7), sample_weight=weight)
    assert measured(TopKAccuracy(k), [5, 6], SCORES, LABELS, weight) == pytest.approx(expected, abs=CLOSE)


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["alike", "weighted"])
def test_accuracy_of_many_decisions_per_sample_counts_each(weight: np.ndarray | None, device: str) -> None:
    expected = np.average(((SCORES > 0) == MANY).mean(axis=1), weights=weight)
    assert measured(Accuracy(threshold=0.0), [5], SCORES, MANY, weight) == pytest.approx(expected, abs=CLOSE)


@pytest.mark.parametrize("case", CASES)
def test_sums_are_float64_vectors(case: str, device: str) -> None:
    metric, prediction, target, *_ = CASES[case]
    sums = metric.sums(nnkit.tensor(prediction), nnkit.tensor(target))
    assert sums.ndim == 1 and sums.dtype == np.float64 and not sums.requires_grad


def test_a_million_small_errors_are_not_lost(device: str) -> None:
    target = nnkit.zeros(100)
    one = MSE().sums(target + 1e-4, target).numpy()
    assert MSE().result(one * 10_000 + [1e6, 1.0]) == pytest.approx((1e6 + 1e-2) / 1_000_001, rel=1e-12)


NAMES = {
    "accuracy": Accuracy, "acc": Accuracy, "top_5_accuracy": TopKAccuracy, "precision": Precision, "recall": Recall,
    "f1": F1, "mse": MSE, "mean_squared_error": MSE, "rmse": RMSE, "mae": MAE, "mean_absolute_error": MAE, "r2": R2,
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_by_name(name: str) -> None:
    metric = table.get(name)
    assert type(metric) is NAMES[name] and metric.name == name


@pytest.mark.parametrize(
    ("loss", "threshold"),
    [(nn.BCEWithLogitsLoss(), 0.0), (nn.BCELoss(), 0.5), (nn.CrossEntropyLoss(), None), (None, None)],
)
@pytest.mark.parametrize("name", ["accuracy", "precision", "recall", "f1"])
def test_the_loss_decides_what_a_prediction_by_name_means(name: str, loss: Any, threshold: float | None) -> None:
    metric = table.get(name, loss)
    assert isinstance(metric, Accuracy | Precision | Recall | F1) and metric.threshold == threshold


def test_a_function_is_averaged_over_samples(device: str) -> None:
    def largest(prediction: nnkit.Tensor, target: nnkit.Tensor) -> nnkit.Tensor:
        return nnkit.abs(prediction - target).max()

    metric = table.get(largest)
    assert isinstance(metric, FunctionMetric) and metric.name == "largest"
    prediction, target = np.array([1.0, 2.0, 7.0]), np.zeros(3)
    assert measured(metric, [2], prediction, target) == pytest.approx((2 * 2.0 + 7.0) / 3)


def test_metrics_without_samples_are_nan() -> None:
    assert math.isnan(Accuracy().result(np.zeros(2))) and math.isnan(MSE().result(np.zeros(2)))
    assert math.isnan(R2().result(np.zeros(4)))


def test_weighted_metrics_get_the_sample_weights_and_others_do_not(device: str) -> None:
    model = nn.Identity()
    x, y = [[1.0], [1.0]], [[1.0], [3.0]]
    metrics = [MSE(), MSE("weighted_mse", weighted=True)]
    results = model.evaluate(x, y, loss="mse", metrics=metrics, sample_weight=[3.0, 1.0])
    assert results == {"loss": 2.0, "mse": 2.0, "weighted_mse": 1.0}


ERRORS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: table.get("acuracy"), UnknownNameError, "unknown metric 'acuracy'; did you mean 'accuracy'"),
    (lambda: table.get(Accuracy), TypeError, "write Accuracy"),
    (lambda: TopKAccuracy(0), ValueError, "k must be at least 1"),
    (lambda: F1(average="maco"), UnknownNameError, "did you mean 'macro'"),
    (lambda: F1(average="binary").result(np.ones(10)), ShapeError, "average='binary' needs 1 or 2 outputs, got 3"),
    (
        lambda: Matthews(threshold=0.0).sums(nnkit.zeros(3, 2), nnkit.zeros(3, 2)),
        ShapeError,
        "'matthews' needs one decision per sample, got 2 yes-or-no outputs: measure each output by itself",
    ),
    (lambda: MSE().sums(nnkit.zeros(3), nnkit.zeros(3, 1)), ShapeError, "of one shape, got"),
    (lambda: Accuracy().sums(nnkit.zeros(3, 2), nnkit.zeros(3, 3)), ShapeError, "labels"),
    (lambda: table.get(lambda p, t: p).sums(nnkit.zeros(3), nnkit.zeros(3)), ShapeError, "must return a scalar"),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_wrong_use(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
