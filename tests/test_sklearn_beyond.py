"""What the perceptrons have beyond scikit-learn's: layers, losses, optimizers, validation, callbacks, devices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, make_classification
from sklearn.metrics import log_loss, mean_absolute_error, roc_auc_score
from sklearn.model_selection import GroupShuffleSplit, StratifiedShuffleSplit
from sklearn.preprocessing import scale

import nnkit
from nnkit import nn, optim, training
from nnkit.errors import UnknownNameError
from nnkit.sklearn import MLPClassifier, MLPRegressor
from nnkit.tensors.tensor import Tensor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def iris() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_iris(return_X_y=True)
    return scale(X), y


def cancer() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_breast_cancer(return_X_y=True)
    return scale(X), y


def diabetes() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_diabetes(return_X_y=True)
    return scale(X), scale(y)


QUICK: dict[str, Any] = {"learning_rate_init": 0.02, "max_iter": 60, "random_state": 0}

# ---- classes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("class_weight", ["balanced", {0: 1.0, 1: 20.0}])
def test_class_weights_are_sample_weights(class_weight: Any) -> None:
    X, y = make_classification(300, weights=[0.95], flip_y=0.0, random_state=1)
    by_class = dict(enumerate(len(y) / (2 * np.bincount(y)))) if class_weight == "balanced" else class_weight
    weight = np.array([by_class[label] for label in y])
    one = MLPClassifier((8,), class_weight=class_weight, **QUICK).fit(X, y)
    other = MLPClassifier((8,), **QUICK).fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(one.coefs_[0], other.coefs_[0], rtol=1e-7)
    both = MLPClassifier((8,), class_weight=class_weight, **QUICK).fit(X, y, sample_weight=weight)
    squared = MLPClassifier((8,), **QUICK).fit(X, y, sample_weight=weight**2)
    np.testing.assert_allclose(both.coefs_[0], squared.coefs_[0], rtol=1e-7)
    plain = MLPClassifier((8,), **{**QUICK, "max_iter": 3}).fit(X, y)
    heavy = MLPClassifier((8,), class_weight=class_weight, **{**QUICK, "max_iter": 3}).fit(X, y)
    assert heavy.predict_proba(X)[:, 1].mean() > plain.predict_proba(X)[:, 1].mean()


def test_parts_take_class_weights_as_a_dict() -> None:
    X, y = cancer()
    model = MLPClassifier((4,), class_weight={0: 3.0, 1: 1.0}, random_state=0)
    model.partial_fit(X, y, classes=[0, 1])
    weighed = MLPClassifier((4,), random_state=0).partial_fit(X, y, np.where(y == 0, 3.0, 1.0), classes=[0, 1])
    np.testing.assert_allclose(model.coefs_[0], weighed.coefs_[0])


# ---- layers -------------------------------------------------------------------------------------------------------


def kinds(model: Any) -> list[str]:
    return [type(layer).__name__ for layer in model.module_]


def test_dropout_batch_normalization_and_activations_by_layer(device: str) -> None:
    X, y = iris()
    model = MLPClassifier(
        (16, 8), ["tanh", "gelu"], dropout=[0.0, 0.25], batch_norm=True, device=device, **QUICK
    ).fit(X, y)  # fmt: skip
    assert kinds(model) == [
        "Linear", "BatchNorm1d", "Tanh", "Linear", "BatchNorm1d", "GELU", "Dropout", "Linear",
    ]  # fmt: skip
    assert model.module_[6].p == 0.25 and model.score(X, y) > 0.9
    assert [coef.shape for coef in model.coefs_] == [(4, 16), (16, 8), (8, 3)]
    assert model.predict_proba(X[:1]) == pytest.approx(model.predict_proba(X)[:1])  # no dropout, no statistics of X
    again = MLPClassifier((16, 8), ["tanh", "gelu"], dropout=[0.0, 0.25], batch_norm=True, device=device, **QUICK)
    np.testing.assert_array_equal(again.fit(X, y).coefs_[0], model.coefs_[0])
    plain = MLPClassifier((16, 8), ["tanh", nn.LeakyReLU(0.2)], **QUICK).fit(X, y)
    assert kinds(plain) == ["Linear"] * 3 and plain.score(X, y) > 0.9
    with pytest.raises(UnknownNameError, match="did you mean 'gelu'"):
        MLPClassifier((4,), "geluu").fit(X, y)


def test_dropout_regularizes_and_leaves_nnkits_stream_alone() -> None:
    X, y = diabetes()
    nnkit.manual_seed(0)
    before = nnkit.rand(2).tolist()
    nnkit.manual_seed(0)
    plain, dropped = (MLPRegressor(hidden_layer_sizes=(64,), dropout=rate, **QUICK).fit(X, y) for rate in (0.0, 0.5))
    assert nnkit.rand(2).tolist() == before
    assert dropped.loss_ > plain.loss_


# ---- losses and optimizers ------------------------------------------------------------------------------------------


def test_losses_by_name_by_module_and_by_function(device: str) -> None:
    X, y = diabetes()
    spoiled = np.where(np.arange(len(y)) % 15 == 0, 40.0, y)
    errors = {}
    for loss in ("squared_error", "mae", "huber", nn.SmoothL1Loss(), lambda p, t: (p - t).abs().mean()):
        model = MLPRegressor(loss, (16,), device=device, **{**QUICK, "max_iter": 150}).fit(X, spoiled)
        errors[str(loss)] = mean_absolute_error(y, model.predict(X))
    squared = errors.pop("squared_error")
    assert all(error < squared for error in errors.values()), (squared, errors)
    X, y = iris()
    for name in ("cross_entropy", nn.CrossEntropyLoss(label_smoothing=0.1), nn.MultiMarginLoss(), "bce_with_logits"):
        model = MLPClassifier((16,), loss=name, device=device, **QUICK).fit(X, y)
        assert model.score(X, y) > 0.9
        assert model.predict_proba(X).sum(axis=1) == pytest.approx(np.ones(len(X)))
    two = MLPClassifier((8,), loss="cross_entropy", early_stopping=True, device=device, **QUICK).fit(X[:100], y[:100])
    assert two.n_outputs_ == 2 and two.out_activation_ == "softmax" and two.score(X[:100], y[:100]) > 0.9
    with pytest.raises(ValueError, match="several labels: use loss='log_loss'"):
        MLPClassifier(loss="cross_entropy").fit(X, np.c_[y == 0, y == 1])
    weight = np.linspace(0.5, 3.0, len(X))
    plain = MLPClassifier((8,), loss="cross_entropy", alpha=0.0, **QUICK)
    by_weight = [plain.fit(X, y, factor * weight).loss_ for factor in (1.0, 10.0)]
    assert by_weight[0] == pytest.approx(by_weight[1], rel=1e-6)
    assert MLPClassifier((8,), loss="cross_entropy", **QUICK).fit(X, y).loss_ == pytest.approx(
        MLPClassifier((8,), **QUICK).fit(X, y).loss_, rel=1e-6
    )


@pytest.mark.parametrize(
    ("solver", "options"),
    [("adamw", {"weight_decay": 0.1}), ("rmsprop", None), ("nadam", None), ("lion", None), ("adamax", None),
     (optim.AdamW, None), (lambda parameters, lr: optim.SGD(parameters, lr=10 * lr, momentum=0.9), None)],
)  # fmt: skip
def test_optimizers_by_name_and_by_function(solver: Any, options: Any) -> None:
    X, y = iris()
    model = MLPClassifier((16,), solver=solver, solver_params=options, **QUICK).fit(X, y)
    assert model.score(X, y) > 0.9
    with pytest.raises(UnknownNameError, match="adamw"):
        MLPClassifier(solver="adamv").fit(X, y)
    with pytest.raises(TypeError, match="rate"):
        MLPClassifier(solver="adamw", solver_params={"rate": 1.0}).fit(X, y)


# ---- validation -----------------------------------------------------------------------------------------------------


def test_own_validation_data_stop_the_training_and_the_best_weights_come_back(device: str) -> None:
    X, y = cancer()
    model = MLPClassifier((16,), early_stopping=True, scoring="roc_auc", n_iter_no_change=3, device=device, **QUICK)
    model.fit(X[:60], y[:60], X_val=X[60:200], y_val=y[60:200])
    assert model.n_iter_ == len(model.validation_scores_) == len(model.loss_curve_) < 60
    assert model.best_validation_score_ == max(model.validation_scores_)
    best = roc_auc_score(y[60:200], model.predict_proba(X[60:200])[:, 1])
    assert best == pytest.approx(model.best_validation_score_)
    assert model.history_.history["validation_score"] == model.validation_scores_


SCORINGS: list[tuple[Any, Any]] = [
    ("neg_log_loss", lambda m, X, y: -log_loss(y, m.predict_proba(X))),
    ("loss", lambda m, X, y: -log_loss(y, m.predict_proba(X))),
    ("f1_macro", None),
    (lambda estimator, X, y: -float(abs(estimator.predict_proba(X).max(axis=1) - 0.8).mean()), None),
    (training.LogLoss(from_logits=True), lambda m, X, y: -log_loss(y, m.predict_proba(X))),
    (None, lambda m, X, y: m.score(X, y)),
]


@pytest.mark.parametrize(
    ("scoring", "check"), SCORINGS, ids=["log loss", "loss", "f1", "a function", "a metric", "its own"]
)
def test_early_stopping_goes_by_any_metric(scoring: Any, check: Any) -> None:
    X, y = iris()
    train, held = np.arange(150) % 3 != 0, np.arange(150) % 3 == 0
    model = MLPClassifier((16,), early_stopping=True, scoring=scoring, n_iter_no_change=4, alpha=0.0, **QUICK)
    model.fit(X[train], y[train], X_val=X[held], y_val=y[held])
    assert model.best_validation_score_ == max(model.validation_scores_)
    if check is not None:
        assert check(model, X[held], y[held]) == pytest.approx(model.best_validation_score_, rel=1e-6)


def test_a_splitter_says_what_is_held_out() -> None:
    X, y = iris()
    splitter = StratifiedShuffleSplit(1, test_size=0.4, random_state=5)
    _, held = next(splitter.split(X, y))
    model = MLPClassifier((8,), early_stopping=True, validation_splitter=splitter, **QUICK).fit(X, y)
    assert model.best_validation_score_ == pytest.approx(model.score(X[held], y[held]))
    with pytest.raises(ValueError, match="groups"):
        MLPClassifier((8,), early_stopping=True, validation_splitter=GroupShuffleSplit(1)).fit(X, y)


def test_without_early_stopping_validation_data_are_only_noted() -> None:
    X, y = iris()
    model = MLPClassifier((8,), metrics=["accuracy"], **{**QUICK, "max_iter": 7})
    model.fit(X[::2], y[::2], X_val=X[1::2], y_val=y[1::2])
    history = model.history_.history
    assert model.n_iter_ == 7 and model.validation_scores_ is None
    assert {name: len(values) for name, values in history.items()} == dict.fromkeys(
        ("loss", "accuracy", "val_loss", "val_accuracy", "lr"), 7
    )
    assert history["val_accuracy"][-1] == pytest.approx(model.score(X[1::2], y[1::2]))
    assert history["loss"] == model.loss_curve_


def test_validation_weights_count() -> None:
    X, y = cancer()
    weight = np.where(y[100:] == 1, 1.0, 0.0)
    model = MLPClassifier((4,), early_stopping=True, **QUICK)
    model.fit(X[:100], y[:100], X_val=X[100:], y_val=y[100:], sample_weight_val=weight)
    expected = model.score(X[100:], y[100:], sample_weight=weight)
    assert model.best_validation_score_ == pytest.approx(expected)


# ---- callbacks, devices, precision ----------------------------------------------------------------------------------


def test_callbacks_see_the_training_and_may_end_it() -> None:
    X, y = iris()
    seen: list[int] = []
    watching = training.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    stopping = training.EarlyStopping("val_loss", patience=2)
    model = MLPClassifier((16,), callbacks=[watching, stopping], **{**QUICK, "learning_rate_init": 0.3})
    model.fit(X[::2], y[::2], X_val=X[1::2], y_val=y[1::2])
    assert seen == list(range(model.n_iter_)) and model.n_iter_ < 60
    assert not hasattr(watching, "trainer")
    halved = training.LearningRateScheduler(lambda epoch, rate: rate / 2)
    model = MLPClassifier((4,), callbacks=[halved], **{**QUICK, "max_iter": 3}).fit(X, y)
    assert model.history_.history["lr"] == [0.01, 0.005, 0.0025]


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_products(precision: str) -> None:
    X, y = iris()
    model = MLPClassifier((16,), precision=precision, **QUICK).fit(X.astype(np.float32), y)
    full = MLPClassifier((16,), **QUICK).fit(X.astype(np.float32), y)
    assert model.coefs_[0].dtype == np.float32 and model.score(X, y) > 0.9
    assert not np.array_equal(model.coefs_[0], full.coefs_[0])
    np.testing.assert_allclose(model.predict_proba(X), full.predict_proba(X), atol=0.05)


def test_devices_give_the_same_numbers() -> None:
    X, y = iris()
    models = [MLPClassifier((16,), device=device, **QUICK).fit(X, y) for device in ("numpy", "numba")]
    assert [str(model.module_[0].weight.device) for model in models] == ["numpy", "numba"]
    np.testing.assert_allclose(models[0].coefs_[0], models[1].coefs_[0], rtol=1e-6)


def test_diverging_is_an_error_that_names_where() -> None:
    X, y = diabetes()
    model = MLPRegressor(hidden_layer_sizes=(8,), solver="sgd", learning_rate_init=1e3)
    with pytest.raises(ValueError, match=r"non-finite parameter weights[^$]*learning rate 1000"):
        model.fit(X, 1e3 * y)
    stopped = MLPRegressor(hidden_layer_sizes=(8,), solver="sgd", learning_rate_init=1e3, early_stopping=True)
    stopped.fit(X, 1e3 * y)
    assert np.isnan(stopped.validation_scores_[-1]) and np.isfinite(stopped.predict(X)).all()


def test_a_module_with_a_loss_of_its_own_is_descended_with_the_penalty() -> None:
    """One step from known weights: alpha * w / n comes to the gradient of any loss."""
    X, y = np.array([[1.0], [2.0]]), np.array([1.0, 2.0])

    def mine(prediction: Tensor, target: Tensor) -> Tensor:
        return ((prediction - target) ** 2).mean() * 0.5

    settings: dict[str, Any] = {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 0.1, "max_iter": 1}
    own, there = (
        MLPRegressor(loss, (), alpha=0.5, random_state=0, **settings).fit(X, y) for loss in (mine, "squared_error")
    )
    np.testing.assert_allclose(own.coefs_[0], there.coefs_[0], rtol=1e-9)
    assert own.loss_ == pytest.approx(there.loss_)
