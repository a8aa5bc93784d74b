"""Metrics that keep the rows of an epoch: scikit-learn's numbers, by hand and in training, recorded or not."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

import nnkit
from nnkit import nn
from nnkit.errors import ModelFileError, ShapeError
from nnkit.training import AUC, AveragePrecision, Callback, RowMetric
from nnkit.training import metrics as table
from nnkit.training.batches import Batch
from nnkit.training.metric import columns
from nnkit.training.steps import Totals

CLOSE = 1e-9

RANDOM = np.random.default_rng(5)
N = 53
X = RANDOM.normal(size=(N, 4)).astype(np.float32)
SCORES = RANDOM.normal(size=(N, 5)).astype(np.float32)
LABELS = RANDOM.integers(0, 5, size=N)
PROBABILITIES = (np.exp(SCORES.astype(np.float64)).T / np.exp(SCORES.astype(np.float64)).sum(axis=1)).T
TIED = np.round(RANDOM.uniform(size=(N, 1)), 1).astype(np.float32)
YES = RANDOM.integers(0, 2, size=(N, 1)).astype(np.float32)
TWO = YES[:, 0].astype(np.int64)
MANY = RANDOM.integers(0, 2, size=(N, 5)).astype(np.float32)
ONE_HOT = np.eye(5, dtype=np.float32)[LABELS]
WEIGHT = RANDOM.uniform(0.1, 2.0, size=N).astype(np.float32)
WEIGHT[::7] = 0.0
OVR = {"multi_class": "ovr"}
DIFFERENCE = SCORES[:, 1].astype(np.float64) - SCORES[:, 0]

#: name -> (options, predictions, targets, what scikit-learn is told of both, its options for the AUC)
CASES: dict[str, tuple[dict[str, Any], np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]] = {
    "yes or no": ({}, SCORES[:, :1], YES, TWO, SCORES[:, 0], {}),
    "(n,)": ({}, SCORES[:, 0], YES[:, 0], TWO, SCORES[:, 0], {}),
    "ties": ({}, TIED, YES, TWO, TIED[:, 0], {}),
    "all alike": ({}, TIED * 0, YES, TWO, TIED[:, 0] * 0, {}),
    "two classes": ({}, SCORES[:, :2], TWO, TWO, SCORES[:, 1], {}),
    "logits of two classes": ({"softmax": True}, SCORES[:, :2], TWO, TWO, DIFFERENCE, {}),
    "logits, one-hot": ({"softmax": True}, SCORES[:, :2], np.eye(2)[TWO], TWO, DIFFERENCE, {}),
    "classes": ({}, PROBABILITIES, LABELS, LABELS, PROBABILITIES, OVR),
    "labels (n, 1)": ({}, PROBABILITIES, LABELS[:, None], LABELS, PROBABILITIES, OVR),
    "logits of classes": ({"softmax": True}, SCORES, LABELS, LABELS, PROBABILITIES, OVR),
    "one-hot": ({}, PROBABILITIES, ONE_HOT, LABELS, PROBABILITIES, OVR),
    "many outputs": ({}, SCORES, MANY, MANY, SCORES, {}),
}
METRICS: list[tuple[type[RowMetric], Callable[..., Any]]] = [
    (AUC, sk.roc_auc_score),
    (AveragePrecision, sk.average_precision_score),
]


def measured(metric: RowMetric, cuts: list[int], *arrays: np.ndarray | None) -> float:
    """The metric of predictions, targets and weights from batches cut at ``cuts``."""
    parts = [np.split(array, cuts) for array in arrays if array is not None]
    return metric.result(
        np.concatenate([metric.rows(*map(nnkit.tensor, batch)).numpy() for batch in zip(*parts, strict=True)])
    )


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["alike", "weighted"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("kind", "function"), METRICS)
def test_equals_scikit_learn(
    kind: type[RowMetric], function: Callable[..., Any], case: str, weight: np.ndarray | None, device: str
) -> None:
    options, prediction, target, true, scores, arguments = CASES[case]
    arguments = arguments if kind is AUC else {}
    expected = function(true, scores, sample_weight=weight, **arguments)
    for cuts in ([], [1, 20, 25]):
        assert measured(kind(**options), cuts, prediction, target, weight) == pytest.approx(expected, abs=CLOSE)


@pytest.mark.parametrize("kind", [AUC, AveragePrecision])
def test_without_both_sides_there_is_no_number(kind: type[RowMetric]) -> None:
    assert math.isnan(measured(kind(), [], SCORES[:, :1], YES * 0))
    assert math.isnan(measured(kind(), [], SCORES[:, :1] * np.nan, YES))
    never = np.append(PROBABILITIES, PROBABILITIES[:, :1], axis=1)  # Class 5 does not occur.
    assert measured(kind(), [], never, LABELS) == measured(kind(), [], PROBABILITIES, LABELS)


class Median(RowMetric):
    """The median of the errors: a metric of a user's own."""

    name = "median"

    def rows(self, prediction: nnkit.Tensor, target: nnkit.Tensor, weight: nnkit.Tensor | None = None) -> nnkit.Tensor:
        p, t = columns(self.name, prediction, target)
        return nnkit.abs(p - t)

    def result(self, sums: np.ndarray) -> float:
        return float(np.median(sums))


class Batches:
    """Batches of unequal sizes, of a number that nobody knows before."""

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for part in np.split(np.arange(N), [5, 6, 30]):
            yield X[part], TWO[part]


def network() -> nn.Module:
    """Two classes from four numbers, the same each time."""
    nnkit.manual_seed(2)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))


NAMES = ["auc", "accuracy", "average_precision"]


def test_evaluate_gives_what_the_predictions_give(device: str) -> None:
    model = network()
    scores = model.predict(X).astype(np.float64)
    difference = scores[:, 1] - scores[:, 0]
    for data in ((X, TWO), (Batches(), None)):  # recorded, and one batch after the other
        found = model.evaluate(*data, loss="cross_entropy", metrics=NAMES, batch_size=7)
        assert list(found) == ["loss", *NAMES]
        assert found["auc"] == pytest.approx(sk.roc_auc_score(TWO, difference), abs=CLOSE)
        assert found["average_precision"] == pytest.approx(sk.average_precision_score(TWO, difference), abs=CLOSE)


def test_recorded_training_gives_what_plain_training_gives(device: str) -> None:
    options: dict[str, Any] = {
        "loss": "cross_entropy", "metrics": [*NAMES, AUC("weighted", weighted=True, softmax=True)], "epochs": 4,
        "batch_size": 7, "verbose": 0, "seed": 1, "validation_split": 0.3, "sample_weight": WEIGHT,
    }  # fmt: skip
    plain, recorded = (network().fit(X, TWO, compile=choice, **options).history for choice in (False, True))
    assert recorded == plain
    assert len(set(recorded["auc"])) > 1 and recorded["auc"] != recorded["weighted"]
    assert {"val_auc", "val_average_precision"} <= set(recorded)


def test_data_that_come_in_batches_find_room(device: str) -> None:
    history = network().fit(Batches(), loss="cross_entropy", metrics=["auc"], epochs=3, verbose=0).history["auc"]
    assert len(history) == 3 and all(0.0 < value < 1.0 for value in history)


def test_a_metric_of_ones_own(device: str) -> None:
    y = SCORES[:, :1]
    found = nn.Identity().evaluate(X[:, :1], y, loss="mse", metrics=[Median()], batch_size=8)
    assert found["median"] == pytest.approx(np.median(np.abs(X[:, :1].astype(np.float64) - y)), abs=CLOSE)


def test_within_an_epoch_the_others_are_shown(device: str) -> None:
    seen: list[set[str]] = []

    class Look(Callback):
        def on_batch_end(self, step: int, logs: Any) -> None:
            seen.append(set(logs))

    network().fit(X, TWO, loss="cross_entropy", metrics=["auc", "accuracy"], callbacks=[Look()], verbose=0)
    assert seen and all(names == {"loss", "accuracy"} for names in seen)


@pytest.mark.parametrize("name", ["auc", "average_precision"])
@pytest.mark.parametrize(("loss", "softmax"), [(nn.CrossEntropyLoss(), True), (nn.BCEWithLogitsLoss(), False)])
def test_by_name_the_loss_says_what_scores_are(name: str, loss: Any, softmax: bool) -> None:
    metric = table.get(name, loss)
    assert isinstance(metric, AUC | AveragePrecision) and metric.softmax == softmax and metric.name == name


def test_wrong_use() -> None:
    with pytest.raises(ShapeError, match="metric 'auc' needs scores"):
        AUC().rows(nnkit.zeros(3, 2), nnkit.zeros(4))
    with pytest.raises(ShapeError, match="metric 'auc' needs prediction and target of one shape"):
        AUC().rows(nnkit.zeros(3), nnkit.zeros(4))


def test_kept_rows_that_do_not_fit_are_refused(device: str) -> None:
    totals = Totals([AUC()], None)
    totals.prepare(nn.Identity(), Batch(nnkit.zeros(4, 1), nnkit.zeros(4, 1)), 4)
    state = totals.state_dict()
    for rows in ([], [nnkit.zeros(0, 5, dtype="float64")], [nnkit.zeros(1, 3, dtype="float64")], [1.0], None):
        with pytest.raises(ModelFileError, match="'rows' must be"):
            totals.load_state_dict({**state, "rows": rows}, device)
    with pytest.raises(ModelFileError, match="'rows' is missing"):
        totals.load_state_dict({"samples": 0, "parts": state["parts"]}, device)
    totals.load_state_dict(state, device)
