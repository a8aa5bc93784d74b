"""Searches that train fits of one shape together give what scikit-learn's give, to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sklearn.model_selection
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, LeaveOneOut, ShuffleSplit, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn_modules import Layers

from nnkit import tune
from nnkit.sklearn import MLPRegressor, NeuralClassifier, NeuralRegressor
from nnkit.training import EarlyStopping

X = np.random.default_rng(0).standard_normal((60, 4)).astype(np.float32)
CLASSES, NUMBERS = np.array(["no", "yes"])[(X[:, 0] > 0).astype(int)], 2.0 * X[:, 0] + X[:, 1] ** 2


def classifier(**settings: Any) -> NeuralClassifier:
    return NeuralClassifier(Layers, max_epochs=3, random_state=0, batch_size=16, **settings)


def regressor(**settings: Any) -> NeuralRegressor:
    return NeuralRegressor(Layers, **{"max_epochs": 3, "random_state": 0, "batch_size": 16, **settings})


RATES = {"lr": [0.1, 0.01, 0.001]}
#: Name -> estimator, grid, further settings of the search, targets, and how many fits are trained together.
CASES: dict[str, tuple[Any, dict[str, Any], dict[str, Any], np.ndarray, int]] = {
    "rates": (classifier(), RATES, {"cv": 3}, CLASSES, 9),
    "numbers": (regressor(), RATES, {"cv": 3, "scoring": ["r2", "neg_max_error"], "refit": "r2"}, NUMBERS, 9),
    "several numbers": (regressor(), RATES, {"cv": 3}, np.stack([NUMBERS, -NUMBERS], axis=1), 9),
    "seeds and dropouts": (
        classifier(), {"random_state": [1, 2], "module__dropout": [0.1, 0.5]}, {"cv": StratifiedKFold(2)}, CLASSES, 8,
    ),
    "shapes": (classifier(), {"module__width": [3, 5], "lr": [0.1, 0.01]}, {"cv": 2}, CLASSES, 8),
    "losses": (regressor(), {"criterion": ["mse", "mae"], "lr": [0.1, 0.01]}, {"cv": 2}, NUMBERS, 8),
    "decays": (
        regressor(optimizer="adamw"), {"optimizer__weight_decay": [0.0, 0.1], "max_epochs": [1, 3]}, {"cv": 2}, NUMBERS,
        8,
    ),
    "unequal folds": (regressor(), RATES, {"cv": 7}, NUMBERS, 21),
    "leave one out": (
        regressor(max_epochs=1), {"lr": [0.1]}, {"cv": LeaveOneOut(), "scoring": "neg_mean_squared_error"}, NUMBERS, 60,
    ),
    "folds drawn anew": (classifier(), RATES, {"cv": KFold(3, shuffle=True, random_state=1)}, CLASSES, 9),
    "shares": (regressor(), RATES, {"cv": ShuffleSplit(2, random_state=0), "return_train_score": True}, NUMBERS, 6),
    "metrics": (classifier(metrics=["accuracy"]), RATES, {"cv": 2}, CLASSES, 6),
    "one without a seed": (classifier(), {"random_state": [0, None], "lr": [0.1]}, {"cv": 2}, CLASSES, 2),
    "one that stops": (regressor(), {"callbacks": [None, [EarlyStopping("loss")]]}, {"cv": 2}, NUMBERS, 2),
    "a fit that fails": (classifier(), {"module__width": [3, -1]}, {"cv": 2}, CLASSES, 2),
    "a fit that diverges": (
        regressor(optimizer="sgd"), {"lr": [0.01, 1e30]}, {"cv": 2, "error_score": -7.0}, NUMBERS, 4,
    ),
    "held out": (regressor(train_split=0.25), RATES, {"cv": 2}, NUMBERS, 0),
    "a pipeline": (
        make_pipeline(StandardScaler(), regressor()),
        {"neuralregressor__lr": [0.1, 0.01], "standardscaler__with_mean": [True, False]}, {"cv": 2}, NUMBERS, 8,
    ),
    "a pipeline of one": (make_pipeline(regressor()), {"neuralregressor__lr": [0.1, 0.01]}, {"cv": 2}, NUMBERS, 4),
    "a perceptron": (MLPRegressor(max_iter=300, random_state=0), {"alpha": [0.0, 0.1]}, {"cv": 2}, NUMBERS, 0),
    "another's": (Ridge(), {"alpha": [0.0, 0.1]}, {"cv": 2}, NUMBERS, 0),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning", "ignore::UserWarning")
@pytest.mark.parametrize("case", CASES)
def test_a_grid_gives_what_scikit_learns_gives(case: str) -> None:
    estimator, grid, settings, y, together = CASES[case]
    theirs = sklearn.model_selection.GridSearchCV(clone(estimator), grid, **settings)
    ours = tune.GridSearchCV(clone(estimator), grid, **settings)
    if "random_state" in grid and None in grid["random_state"]:
        ours.refit = theirs.refit = False
    theirs.fit(X, y)
    ours.fit(X, y)
    assert ours.n_together_ == together
    assert_equal(ours, theirs, but=case == "one without a seed")


def assert_equal(ours: Any, theirs: Any, but: bool = False) -> None:
    assert ours.cv_results_.keys() == theirs.cv_results_.keys()
    for name, found in ours.cv_results_.items():
        if name.endswith("_time") or but:
            assert len(found) == len(theirs.cv_results_[name])
        elif name.startswith(("param_", "params")):
            assert list(map(repr, found))[:1] == list(map(repr, theirs.cv_results_[name]))[:1]
        else:
            np.testing.assert_array_equal(found, theirs.cv_results_[name], err_msg=name)
    if ours.refit and not but:
        assert ours.best_index_ == theirs.best_index_
        np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))


def test_at_random_and_what_is_kept() -> None:
    spread = {"lr": np.geomspace(1e-3, 1e-1, 20).tolist(), "module__dropout": [0.1, 0.2, 0.3]}
    settings = {"n_iter": 6, "random_state": 3, "cv": 3}
    ours = tune.RandomizedSearchCV(classifier(), spread, **settings).fit(X, CLASSES)
    theirs = sklearn.model_selection.RandomizedSearchCV(classifier(), spread, **settings).fit(X, CLASSES)
    assert_equal(ours, theirs)
    assert ours.n_together_ == 18 and (ours.cv_results_["mean_fit_time"] > 0).all()
    assert clone(ours).get_params().keys() == clone(theirs).get_params().keys()
    assert not {name for name in vars(ours) if name in ("_given", "_seconds")}
    assert ours.best_estimator_.history_.history.keys() == {"loss", "lr"}


def test_frames_through_a_pipeline() -> None:
    pandas = pytest.importorskip("pandas", reason="pip install pandas")
    frame = pandas.DataFrame(X, columns=list("abcd")).assign(kind=CLASSES)
    columns = make_column_transformer((StandardScaler(), list("abcd")), (OneHotEncoder(sparse_output=False), ["kind"]))
    pipeline, grid = make_pipeline(columns, regressor()), {"neuralregressor__lr": [0.1, 0.01]}
    ours = tune.GridSearchCV(pipeline, grid, cv=3).fit(frame, NUMBERS)
    theirs = sklearn.model_selection.GridSearchCV(pipeline, grid, cv=3).fit(frame, NUMBERS)
    assert ours.n_together_ == 6
    np.testing.assert_array_equal(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"])
    np.testing.assert_array_equal(ours.predict(frame), theirs.predict(frame))


def test_weights_and_processes_are_left_to_scikit_learn() -> None:
    search = tune.GridSearchCV(classifier(), {"lr": [0.1, 0.01]}, cv=2).fit(X, CLASSES, sample_weight=np.ones(60))
    assert search.n_together_ == 0 and np.isfinite(search.best_score_)
