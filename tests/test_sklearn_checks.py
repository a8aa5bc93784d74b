"""scikit-learn's ``check_estimator`` over estimators and settings: one table, with what cannot hold and why."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from nnkit import nn
from nnkit.sklearn import (
    LinearRegression,
    MLPClassifier,
    MLPRegressor,
    NeuralClassifier,
    NeuralRegressor,
    NeuralTransformer,
)
from nnkit.tensors.tensor import Tensor


class Net(nn.Sequential):
    """A net of any width, for the classifier and the regressor."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(nn.Linear(in_features, 16, activation="relu"), nn.Linear(16, out_features))


class Autoencoder(nn.Module):
    """A code of three numbers, and back."""

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.coder, self.decoder = nn.Linear(in_features, 3, activation="tanh"), nn.Linear(3, in_features)

    def encode(self, x: Tensor) -> Tensor:
        return self.coder(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encode(x))


WEIGHTS = ("check_sample_weight_equivalence_on_dense_data", "check_sample_weight_equivalence_on_sparse_data")
#: What draws by row cannot tell a row of weight 2 from two rows: which rows are held out, and which units are dropped.
BY_ROW = dict.fromkeys(WEIGHTS, "rows are drawn, whatever they weigh")
#: Batches of a few rows: their number is another where a row comes twice.
IN_BATCHES = dict.fromkeys(WEIGHTS, "a row of weight 2 is in one batch, two rows in two")


def rate_of(solver: str, stops: bool) -> float:
    """At the default rate SGD stops early before it has learned anything, in scikit-learn too: it fails
    check_classifiers_train there."""
    return 0.1 if solver == "sgd" and stops else 0.001


SETTINGS: list[tuple[Any, dict[str, str]]] = [
    *(
        (kind(solver=solver, early_stopping=stops, **rate), BY_ROW if stops and solver != "lbfgs" else {})
        for solver, stops in itertools.product(("adam", "sgd", "lbfgs"), (False, True))
        for kind, rate in (
            (MLPClassifier, {"learning_rate_init": rate_of(solver, stops)}),
            (MLPRegressor, {}),
        )
    ),
    (MLPClassifier((8,), max_iter=10, learning_rate_init=0.1, batch_size=20), IN_BATCHES),
    (MLPRegressor(hidden_layer_sizes=(8,), max_iter=10, learning_rate_init=0.1, batch_size=20), IN_BATCHES),
    (MLPClassifier(batch_norm=True, dropout=0.2, learning_rate_init=0.01), BY_ROW),
    (MLPRegressor(batch_norm=True, dropout=0.2, learning_rate_init=0.01), BY_ROW),
    (MLPClassifier(loss="cross_entropy", solver="adamw", learning_rate_init=0.01), {}),
    (MLPRegressor("huber", solver="rmsprop", learning_rate_init=0.01), {}),
    (LinearRegression(), {}),
    (NeuralClassifier(Net, lr=0.05, batch_size=1000, random_state=0), {}),
    (NeuralClassifier(Net, lr=0.05, batch_size=1000, random_state=0, criterion="bce_with_logits"), {}),
    (NeuralRegressor(Net, lr=0.05, batch_size=1000, random_state=0), {}),
    (NeuralTransformer(Autoencoder, lr=0.05, batch_size=1000, random_state=0), {}),
]


def expected_failures(estimator: Any) -> dict[str, str]:
    """Those of the row whose settings these are."""
    return next(failures for row, failures in [*QUICK, *SETTINGS] if repr(row) == repr(estimator))


#: Rows that are quick, one for each estimator.
QUICK: list[tuple[Any, dict[str, str]]] = [
    (MLPClassifier(early_stopping=True), BY_ROW),
    (MLPClassifier((8,), max_iter=10, solver="lbfgs"), {}),
    (MLPRegressor(hidden_layer_sizes=(8,), max_iter=10, learning_rate_init=0.1), {}),
    *SETTINGS[-5:],
]


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([row for row, _ in QUICK], expected_failed_checks=expected_failures)
def test_scikit_learns_own_checks(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([row for row, _ in SETTINGS], expected_failed_checks=expected_failures)
def test_scikit_learns_own_checks_over_all_settings(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)
