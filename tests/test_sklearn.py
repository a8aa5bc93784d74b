"""The scikit-learn estimators: scikit-learn's own checks, and what the attributes hold."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale

import nnkit
from nnkit.errors import DivergenceError, UnknownNameError
from nnkit.sklearn import LinearRegression, MLPClassifier, MLPRegressor

# ---- linear regression ------------------------------------------------------------------------------------


def test_linear_regression_makes_the_steps_of_gradient_descent(device: str) -> None:
    """The same 50 steps written out in NumPy: w -= rate * 2/n * Xᵀ(Xw + b - y), b -= rate * 2/n * sum(Xw + b - y)."""
    X, y = load_diabetes(return_X_y=True)
    X = scale(X)
    weights, bias = np.zeros(X.shape[1]), 0.0
    for _ in range(50):
        error = X @ weights + bias - y
        weights -= 0.05 * 2 / len(X) * X.T @ error
        bias -= 0.05 * 2 / len(X) * error.sum()
    model = LinearRegression(learning_rate=0.05, epochs=50, device=device).fit(X, y)
    assert model.coef_ == pytest.approx(weights, rel=1e-9)
    assert model.intercept_ == pytest.approx(bias)
    assert model.predict(X) == pytest.approx(X @ weights + bias)
    assert (model.n_iter_, model.n_features_in_, len(model.loss_curve_)) == (50, 10, 50)


def test_linear_regression_finds_the_line_and_says_when_it_diverges() -> None:
    X = np.array([[-1.0], [0.0], [1.0]])
    model = LinearRegression(0.1).fit(X, 2 * X[:, 0] + 3)
    assert [model.coef_[0], model.intercept_, model.score(X, 2 * X[:, 0] + 3)] == pytest.approx([2.0, 3.0, 1.0])
    with pytest.raises(DivergenceError, match="Lower the learning rate"):
        LinearRegression(10.0).fit(100 * X, X[:, 0])
    assert LinearRegression(epochs=50).fit(1000 * X, X[:, 0]).score(1000 * X, X[:, 0]) > 0.99  # by the automatic rate


# ---- perceptrons ------------------------------------------------------------------------------------------


def iris() -> tuple[np.ndarray, np.ndarray]:
    data = load_iris()
    return scale(data.data), data.target_names[data.target]


def test_a_classifier_in_a_pipeline(device: str) -> None:
    X, y = iris()
    network = MLPClassifier((16,), learning_rate_init=0.05, tol=1e-2, n_iter_no_change=3, random_state=0, device=device)
    model = make_pipeline(StandardScaler(), network).fit(X, y)
    assert model.score(X, y) > 0.95
    assert network.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert [coefs.shape for coefs in network.coefs_] == [(4, 16), (16, 3)]
    assert [intercepts.shape for intercepts in network.intercepts_] == [(16,), (3,)]
    assert (network.n_features_in_, network.n_layers_, network.n_outputs_) == (4, 3, 3)
    assert network.n_iter_ == len(network.loss_curve_) and network.loss_ == network.loss_curve_[-1]
    chances = model.predict_proba(X)
    assert chances.sum(axis=1) == pytest.approx(np.ones(len(X)))
    assert model.predict_log_proba(X) == pytest.approx(np.log(chances))
    hidden = np.maximum(X @ network.coefs_[0] + network.intercepts_[0], 0.0)
    scores = np.exp(hidden @ network.coefs_[1] + network.intercepts_[1])
    assert chances == pytest.approx(scores / scores.sum(axis=1, keepdims=True), abs=1e-6)


def test_two_classes_have_one_output() -> None:
    X, y = iris()
    X, y = X[:100], y[:100]
    model = MLPClassifier((4,), solver="sgd", learning_rate_init=0.1, tol=1e-2, n_iter_no_change=3, random_state=0)
    model.fit(X, y)
    assert model.n_outputs_ == 1
    assert model.predict_proba(X).shape == (100, 2)
    assert model.score(X, y) > 0.95


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("outputs", [None, 1, 2])
def test_regressors_keep_the_shape_of_the_targets(outputs: int | None, device: str) -> None:
    X = np.linspace(-1, 1, 60).reshape(-1, 1)
    y = X[:, 0] if outputs is None else np.repeat(X, outputs, axis=1)
    model = MLPRegressor(
        "squared_error", (8,), "tanh", learning_rate_init=0.05, max_iter=60, tol=0.0, random_state=0, device=device
    )
    if outputs == 1:
        with pytest.warns(UserWarning, match="column-vector"):
            model.fit(X, y)
    else:
        model.fit(X, y)
    assert model.predict(X).shape == ((60,) if outputs in (None, 1) else (60, 2))
    assert model.score(X, y) > 0.95


def test_a_seed_makes_runs_equal_and_leaves_other_random_numbers_alone() -> None:
    X, y = iris()
    settings: dict[str, Any] = {"hidden_layer_sizes": (4,), "max_iter": 3, "tol": 10.0, "n_iter_no_change": 1}
    nnkit.manual_seed(0)
    before = nnkit.rand(3).tolist()
    nnkit.manual_seed(0)
    first, second = (MLPClassifier(**settings, random_state=7).fit(X, y) for _ in range(2))
    assert nnkit.rand(3).tolist() == before
    other = MLPClassifier(**settings, random_state=8).fit(X, y)
    assert first.loss_curve_ == second.loss_curve_ != other.loss_curve_


def test_early_stopping_holds_samples_out_and_keeps_the_best() -> None:
    X, y = iris()
    model = MLPClassifier(
        (16,), batch_size=16, learning_rate_init=0.05, early_stopping=True, n_iter_no_change=3, random_state=0
    ).fit(X, y)
    assert model.best_validation_score_ == max(model.validation_scores_) > 0.9
    assert len(model.validation_scores_) == model.n_iter_ < 200


def test_the_penalty_is_scikit_learns() -> None:
    """One step from known weights: alpha adds alpha * w / n to the gradient of each weight, and none to the bias."""
    X, y = np.array([[1.0], [2.0]]), np.array([1.0, 2.0])
    settings: dict[str, Any] = {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 1.0, "max_iter": 1, "tol": 1.0}
    with pytest.warns(ConvergenceWarning):
        plain, penalized = (
            MLPRegressor(hidden_layer_sizes=(), alpha=alpha, random_state=0, **settings).fit(X, y)
            for alpha in (0.0, 0.5)
        )
    bound = math.sqrt(6 / 2)
    assert penalized.intercepts_[0] == pytest.approx(plain.intercepts_[0])
    start = (plain.coefs_[0] - penalized.coefs_[0]).item() / (0.5 / 2)
    assert 0 < abs(start) <= bound


def test_grid_search_clone_and_pickle() -> None:
    X, y = iris()
    network = MLPClassifier(learning_rate_init=0.05, max_iter=5, tol=10.0, n_iter_no_change=2, random_state=0)
    search = GridSearchCV(network, {"hidden_layer_sizes": [(4,), (8, 4)]}, cv=2).fit(X, y)
    assert search.best_params_["hidden_layer_sizes"] in ((4,), (8, 4))
    assert clone(network).get_params() == network.get_params()
    again = pickle.loads(pickle.dumps(search.best_estimator_))
    assert again.predict_proba(X).tobytes() == search.best_estimator_.predict_proba(X).tobytes()


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda X, y: MLPClassifier(activation="rleu").fit(X, y), UnknownNameError, "'relu'"),
        (lambda X, y: MLPClassifier(solver="lbgfs").fit(X, y), UnknownNameError, "did you mean 'lbfgs'"),
        (lambda X, y: MLPClassifier(loss="crossentropy").fit(X, y), UnknownNameError, "cross_entropy"),
        (lambda X, y: MLPClassifier(batch_size=0).fit(X, y), ValueError, "'batch_size' .* at least 1 or 'auto'"),
        (lambda X, y: MLPClassifier(momentum=2).fit(X, y), ValueError, "'momentum' .* from 0 to 1. Got 2"),
        (lambda X, y: MLPClassifier(tol=-1).fit(X, y), ValueError, "'tol' .* at least 0"),
        (lambda X, y: MLPClassifier(alpha=-1).fit(X, y), ValueError, "'alpha' .* at least 0"),
        (lambda X, y: MLPClassifier(epsilon=0).fit(X, y), ValueError, "'epsilon' .* greater than 0"),
        (lambda X, y: MLPClassifier(shuffle="no").fit(X, y), TypeError, "'shuffle' .* True or False"),
        (lambda X, y: MLPClassifier(n_iter_no_change=0).fit(X, y), ValueError, "at least 1 or inf"),
        (lambda X, y: MLPClassifier(beta_1=1.0).fit(X, y), ValueError, "but not including, 1"),
        (lambda X, y: MLPClassifier(hidden_layer_sizes="8").fit(X, y), ValueError, "'hidden_layer_sizes'"),
        (lambda X, y: MLPClassifier(dropout=1.0).fit(X, y), ValueError, "'dropout'"),
        (lambda X, y: MLPClassifier((4, 4), dropout=[0.1]).fit(X, y), ValueError, "1 entries, and there are 2 hidden"),
        (lambda X, y: MLPClassifier((4,), solver="lbfgs", dropout=0.5).fit(X, y), ValueError, "same loss"),
        (lambda X, y: MLPClassifier(solver="adam", solver_params={"betas": (0, 0)}).fit(X, y), TypeError, "beta_1"),
        (lambda X, y: MLPClassifier(scoring="roc", early_stopping=True).fit(X, y), UnknownNameError, "scoring"),
        (lambda X, y: MLPClassifier(validation_splitter=3, early_stopping=True).fit(X, y), ValueError, "split"),
        (lambda X, y: MLPClassifier(callbacks=[1]).fit(X, y), ValueError, "'callbacks'"),
        (lambda X, y: MLPClassifier(class_weight=3.0).fit(X, y), ValueError, "'class_weight'"),
        (lambda X, y: MLPClassifier(class_weight="balanced").partial_fit(X, y, classes=y), ValueError, "all samples"),
        (lambda X, y: MLPClassifier().partial_fit(X, y), ValueError, "classes must be passed"),
        (lambda X, y: MLPClassifier(early_stopping=True).partial_fit(X, y), ValueError, "early_stopping"),
        (lambda X, y: MLPClassifier(solver="lbfgs").partial_fit(X, y), AttributeError, "stochastic"),
        (lambda X, y: MLPRegressor((8,)).fit(X, X[:, 0]), ValueError, r"write hidden_layer_sizes=\(8,\)"),
        (lambda X, y: MLPRegressor("poisson").fit(X, X[:, 0]), ValueError, "y must be at least 0"),
        (
            lambda X, y: MLPRegressor(hidden_layer_sizes=(0,)).fit(X, X[:, 0]),
            ValueError,
            "hidden_layer_sizes must be > 0",
        ),
        (lambda X, y: LinearRegression(epochs=0).fit(X, X[:, 0]), ValueError, "epochs must be at least 1"),
    ],
)
def test_refusals(act: Callable[[Any, Any], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        act(*iris())


def test_not_converged_is_said_once() -> None:
    with pytest.warns(ConvergenceWarning, match="raise max_iter") as caught:
        MLPClassifier((4,), max_iter=2, random_state=0).fit(*iris())
    assert [warning.filename for warning in caught] == [__file__]


def test_nnkit_alone_does_not_import_scikit_learn() -> None:
    code = "import sys, nnkit; print('sklearn' in sys.modules); import nnkit.sklearn; print('sklearn' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "True"]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("outputs", [1, 2])
def test_a_regressor_descends_half_the_squared_error(device: str, outputs: int) -> None:
    generator = np.random.default_rng(0)
    X, y = generator.normal(size=(12, 3)), generator.normal(size=(12, outputs))
    target = y[:, 0] if outputs == 1 else y
    settings: dict[str, Any] = {"solver": "sgd", "momentum": 0.0, "max_iter": 1, "alpha": 0.0}
    still, moved = (
        MLPRegressor(hidden_layer_sizes=(), learning_rate_init=rate, random_state=0, device=device, **settings).fit(
            X, target
        )
        for rate in (1e-12, 0.1)
    )
    residual = still.predict(X).reshape(y.shape) - y
    np.testing.assert_allclose(still.loss_, 0.5 * (residual**2).mean(), rtol=1e-5)
    np.testing.assert_allclose(still.coefs_[0] - moved.coefs_[0], 0.1 * X.T @ residual / len(X), rtol=1e-4, atol=1e-6)
