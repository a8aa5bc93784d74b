"""The estimators among scikit-learn's tools: pipelines, searches, frames, routing, copies in other processes."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer, make_scorer, mean_squared_error
from sklearn.model_selection import (
    GridSearchCV,
    RandomizedSearchCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
)
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler, scale
from sklearn.utils.validation import NotFittedError
from sklearn_modules import Autoencoder, Net

from nnkit.sklearn import MLPClassifier, MLPRegressor, NeuralClassifier, NeuralRegressor, NeuralTransformer

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def iris() -> tuple[np.ndarray, np.ndarray]:
    data = load_iris()
    return scale(data.data), data.target_names[data.target]


def diabetes() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_diabetes(return_X_y=True)
    return scale(X), y


def classifier(**settings: Any) -> MLPClassifier:
    return MLPClassifier((8,), learning_rate_init=0.05, max_iter=30, random_state=0, **settings)


def neural(**settings: Any) -> NeuralClassifier:
    return NeuralClassifier(Net, lr=0.05, max_epochs=20, random_state=0, **settings)


CLASSIFIERS = [classifier, neural]


@pytest.mark.parametrize("make", CLASSIFIERS)
def test_pipelines_searches_and_cross_validation(make: Any) -> None:
    X, y = iris()
    pipeline = make_pipeline(StandardScaler(), make())
    assert cross_val_score(pipeline, X, y, cv=3).mean() > 0.9
    assert (cross_val_predict(pipeline, X, y, cv=3) == y).mean() > 0.9
    assert cross_val_predict(pipeline, X, y, cv=3, method="predict_proba").shape == (150, 3)
    assert set(cross_validate(pipeline, X, y, cv=2, scoring=["accuracy", "roc_auc_ovr"])) >= {"test_roc_auc_ovr"}
    assert learning_curve(pipeline, X, y, cv=2, train_sizes=[0.5, 1.0], shuffle=True, random_state=0)[2].shape == (2, 2)


def test_searches_over_settings_and_over_the_modules_own() -> None:
    X, y = iris()
    search = GridSearchCV(classifier(), {"hidden_layer_sizes": [(2,), (8,)], "dropout": [0.0, 0.1]}, cv=2).fit(X, y)
    assert search.best_score_ > 0.8
    grid = {"neuralclassifier__module__width": [2, 12], "neuralclassifier__optimizer__weight_decay": [0.0, 0.1]}
    pipeline = make_pipeline(StandardScaler(), neural(optimizer__weight_decay=0.0))
    found = RandomizedSearchCV(pipeline, grid, n_iter=3, cv=2, random_state=0).fit(X, y)
    best = found.best_estimator_[-1]
    assert best.module_.width == found.best_params_["neuralclassifier__module__width"]
    assert best.optimizer_.param_groups[0]["weight_decay"] == best.get_params()["optimizer__weight_decay"]


@pytest.mark.parametrize("make", CLASSIFIERS)
def test_processes_beside_one_another(make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    X, y = iris()
    alone = cross_val_score(make(), X, y, cv=2, n_jobs=1)
    with joblib.parallel_backend("loky", n_jobs=2), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of joblib's own
        np.testing.assert_allclose(cross_val_score(make(), X, y, cv=2), alone)
    with joblib.parallel_backend("threading", n_jobs=2):
        np.testing.assert_allclose(cross_val_score(make(), X, y, cv=2), alone)


@pytest.mark.parametrize("make", CLASSIFIERS)
def test_calibration_ensembles_and_importance(make: Any) -> None:
    X, y = iris()
    calibrated = CalibratedClassifierCV(make(), cv=2).fit(X, y)
    assert calibrated.score(X, y) > 0.9
    voting = VotingClassifier([("net", make()), ("line", LogisticRegression())], voting="soft").fit(X, y)
    stacked = StackingClassifier([("net", make()), ("line", LogisticRegression())], cv=2).fit(X, y)
    assert voting.score(X, y) > 0.9 and stacked.score(X, y) > 0.9
    noisy = np.hstack([X, np.random.default_rng(0).normal(size=(150, 1))])
    found = permutation_importance(make().fit(noisy, y), noisy, y, n_repeats=3, random_state=0)
    assert found.importances_mean[:4].max() > 5 * abs(found.importances_mean[4])
    both = np.c_[y == "setosa", y == "virginica"].astype(int)
    assert MultiOutputClassifier(make()).fit(X, both).score(X, both) > 0.8


def test_regressors_with_transformed_targets() -> None:
    X, y = diabetes()
    net = MLPRegressor(hidden_layer_sizes=(8,), learning_rate_init=0.01, max_iter=60, random_state=0)
    other = NeuralRegressor(Net, lr=0.01, max_epochs=60, random_state=0)
    for model in (net, other):
        scaled = TransformedTargetRegressor(make_pipeline(StandardScaler(), model), transformer=StandardScaler())
        assert scaled.fit(X, y).score(X, y) > 0.4
        logs = TransformedTargetRegressor(model, func=np.log, inverse_func=np.exp).fit(X, y)
        assert logs.predict(X).min() > 0
    errors = make_scorer(mean_squared_error, greater_is_better=False)
    assert np.isfinite(cross_val_score(net, X, scale(y), cv=2, scoring=errors)).all()
    assert get_scorer("r2")(net.fit(X, scale(y)), X, scale(y)) > 0.4


# ---- frames -------------------------------------------------------------------------------------------------------


def frame_of(kind: str, X: np.ndarray) -> Any:
    library = pytest.importorskip(kind)
    return library.DataFrame({f"column {i}": column for i, column in enumerate(X.T)})


@pytest.mark.parametrize("kind", ["pandas", "polars"])
@pytest.mark.parametrize("make", [classifier, neural, lambda: MLPRegressor(hidden_layer_sizes=(4,), max_iter=3)])
def test_frames_keep_their_names(make: Any, kind: str) -> None:
    X, y = iris()
    y = y if not isinstance(make(), MLPRegressor) else X[:, 0]
    frame = frame_of(kind, X)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = make().fit(frame, y)
        assert list(model.feature_names_in_) == list(frame.columns)
        np.testing.assert_array_equal(model.predict(frame), model.predict(frame_of(kind, X)))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        np.testing.assert_array_equal(model.predict(X), model.predict(frame))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame_of(kind, X)[list(frame.columns)[::-1]])


def test_early_stopping_keeps_a_frames_names_for_scorers() -> None:
    X, y = iris()
    frame = frame_of("pandas", X)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = classifier(early_stopping=True, scoring="neg_log_loss").fit(frame, y)
    assert model.score(frame, y) > 0.8


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_mixed_columns_and_outputs_as_frames(kind: str) -> None:
    library = pytest.importorskip(kind)
    X, y = iris()
    frame = library.DataFrame({"a": X[:, 2], "b": X[:, 3], "c": np.where(X[:, 0] > 0, "long", "short")})
    columns = ColumnTransformer(
        [("numbers", StandardScaler(), ["a", "b"]), ("names", OneHotEncoder(sparse_output=False), ["c"])]
    )
    model = make_pipeline(columns, classifier())
    assert model.fit(frame, y).score(frame, y) > 0.9
    codes = NeuralTransformer(Autoencoder, lr=0.05, max_epochs=5, random_state=0)
    coded = make_pipeline(columns, codes).set_output(transform=kind).fit(frame, y).transform(frame)
    assert isinstance(coded, library.DataFrame)
    assert list(coded.columns) == ["neuraltransformer0", "neuraltransformer1"]


def test_a_transformer_within_a_pipeline() -> None:
    X, y = iris()
    codes = NeuralTransformer(Autoencoder, module__width=3, lr=0.05, max_epochs=80, random_state=0).fit(X)
    back = codes.inverse_transform(codes.transform(X))
    assert ((back - X) ** 2).mean() < 0.1
    assert cross_val_score(make_pipeline(codes, LogisticRegression()), X, y, cv=3).mean() > 0.9


# ---- metadata -----------------------------------------------------------------------------------------------------


def test_metadata_are_routed() -> None:
    X, y = iris()
    weight = np.random.default_rng(0).uniform(0.5, 2.0, len(X))
    with sklearn.config_context(enable_metadata_routing=True):
        net = classifier().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), net)
        routed = pipeline.fit(X, y, sample_weight=weight)[-1]
        direct = classifier().fit(pipeline[0].transform(X), y, sample_weight=weight)
        np.testing.assert_allclose(routed.coefs_[0], direct.coefs_[0])
        found = cross_validate(net, X, y, cv=2, params={"sample_weight": weight})
        assert found["test_score"].min() > 0.8
        part = MLPClassifier().set_partial_fit_request(classes=True, sample_weight=True)
        assert part.get_metadata_routing().partial_fit.requests == {"classes": True, "sample_weight": True}


def test_validation_data_go_through_a_pipeline_with_routing() -> None:
    """With ``transform_input`` a pipeline transforms X_val as it does X."""
    X, y = iris()
    with sklearn.config_context(enable_metadata_routing=True):
        net = classifier(early_stopping=True).set_fit_request(X_val=True, y_val=True)
        pipeline = make_pipeline(FunctionTransformer(lambda x: x / 2), net, transform_input=["X_val"])
        pipeline.fit(X[::2], y[::2], X_val=X[1::2], y_val=y[1::2])
    assert pipeline[-1].best_validation_score_ == pytest.approx(pipeline.score(X[1::2], y[1::2]))


# ---- copies -------------------------------------------------------------------------------------------------------

ESTIMATORS = [
    lambda: classifier(), lambda: classifier(solver="lbfgs"), lambda: classifier(early_stopping=True, batch_norm=True),
    lambda: neural(), lambda: NeuralRegressor(Net, max_epochs=3, random_state=0),
]  # fmt: skip


@pytest.mark.parametrize("make", ESTIMATORS)
def test_copies_predict_the_same_and_go_on_alike(make: Any, device: str) -> None:
    X, y = iris()
    target = X[:, 0] if isinstance(make(), NeuralRegressor) else y
    model = make().set_params(device=device).fit(X, target)
    stream = io.BytesIO()
    joblib.dump(model, stream)
    stream.seek(0)
    copies = [pickle.loads(pickle.dumps(model)), copy.deepcopy(model), joblib.load(stream)]
    for other in copies:
        np.testing.assert_array_equal(other.predict(X), model.predict(X))
        if hasattr(model, "coefs_"):
            assert other.coefs_[0].base is not model.coefs_[0].base
            other.intercepts_[-1][:] += 100.0
    np.testing.assert_array_equal(model.predict(X), make().set_params(device=device).fit(X, target).predict(X))
    if hasattr(model, "partial_fit"):
        one, other = (pickle.loads(pickle.dumps(model)).partial_fit(X, target) for _ in range(2))
        np.testing.assert_array_equal(one.predict(X), other.predict(X))
    with pytest.raises(NotFittedError):
        clone(model).predict(X)
