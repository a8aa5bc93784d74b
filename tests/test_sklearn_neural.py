"""NeuralClassifier, NeuralRegressor and NeuralTransformer: parameters of parts, losses, validation, refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris, make_multilabel_classification
from sklearn.model_selection import ShuffleSplit
from sklearn.preprocessing import scale
from sklearn_modules import Autoencoder, Net, Words

import nnkit
from nnkit import nn, optim, training
from nnkit.errors import UnknownNameError
from nnkit.sklearn import NeuralClassifier, NeuralRegressor, NeuralTransformer


def iris() -> tuple[np.ndarray, np.ndarray]:
    data = load_iris()
    return scale(data.data), data.target_names[data.target]


def test_parameters_of_parts_are_parameters() -> None:
    model = NeuralClassifier(Net, module__width=3, optimizer__weight_decay=0.1, lr=0.2)
    params = model.get_params()
    assert (params["module__width"], params["optimizer__weight_decay"], params["lr"]) == (3, 0.1, 0.2)
    copied = clone(model.set_params(module__width=5, criterion__label_smoothing=0.1, max_epochs=2))
    assert copied.get_params() == model.get_params()
    X, y = iris()
    copied.fit(X, y)
    assert copied.module_.width == 5 and copied.criterion_.label_smoothing == 0.1
    assert copied.optimizer_.param_groups[0]["weight_decay"] == 0.1
    assert "module__width=5" in repr(copied)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_classifier_of_any_module(device: str, dtype: str) -> None:
    X, y = iris()
    X = X.astype(dtype)
    model = NeuralClassifier(Net, lr=0.05, max_epochs=30, random_state=0, device=device).fit(X, y)
    assert model.score(X, y) > 0.9 and model.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert model.predict_proba(X).sum(axis=1) == pytest.approx(np.ones(150), abs=1e-5)
    assert model.predict_proba(X).dtype == dtype and str(model.module_.last.weight.device) == device
    assert model.predict_log_proba(X) == pytest.approx(np.log(model.predict_proba(X)))
    assert len(model.history_.history["loss"]) == model.n_iter_ == 30
    again = clone(model).fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def build(in_features: int, out_features: int) -> nn.Module:
    return nn.Sequential(nn.Linear(in_features, 8, activation="tanh"), nn.Linear(8, out_features))


@pytest.mark.parametrize(
    ("module", "criterion", "optimizer"),
    [
        (build, "cross_entropy", "adamw"),
        (nn.Sequential(nn.Linear(4, 8, activation="relu"), nn.Linear(8, 3)), nn.CrossEntropyLoss, optim.Adam),
        (Net, "bce_with_logits", "rmsprop"),
        (lambda: nn.Sequential(nn.Linear(4, 3), nn.LogSoftmax(1)), "nll", "adam"),
        (Net, nn.MultiMarginLoss(), "adam"),
    ],
)
def test_modules_losses_and_optimizers_come_in_many_ways(module: Any, criterion: Any, optimizer: Any) -> None:
    X, y = iris()
    model = NeuralClassifier(module, criterion=criterion, optimizer=optimizer, lr=0.03, max_epochs=60, random_state=0)
    assert model.fit(X, y).score(X, y) > 0.85
    assert model.predict_proba(X).sum(axis=1) == pytest.approx(np.ones(150), abs=1e-6)
    if isinstance(module, nn.Module):
        assert model.module_ is not module


def test_two_classes_by_one_output_and_several_labels() -> None:
    X, y = iris()
    X, y = X[:100], y[:100]
    one = NeuralClassifier(Net, criterion="bce_with_logits", lr=0.05, max_epochs=20, random_state=0).fit(X, y)
    assert one.module_.last.out_features == 1 and one.predict_proba(X).shape == (100, 2) and one.score(X, y) > 0.95
    X, labels = make_multilabel_classification(100, random_state=0)
    many = NeuralClassifier(Net, criterion="bce_with_logits", lr=0.05, max_epochs=60, random_state=0).fit(X, labels)
    assert many.predict(X).shape == labels.shape and many.score(X, labels) > 0.5
    assert not np.allclose(many.predict_proba(X).sum(axis=1), 1.0)


def test_whole_numbers_reach_embeddings_and_images_keep_their_shape() -> None:
    generator = np.random.default_rng(0)
    words = generator.integers(0, 20, (200, 5))
    y = (words < 5).sum(axis=1) > 1
    model = NeuralClassifier(Words, module__words=20, module__classes=2, lr=0.05, max_epochs=40, random_state=0)
    assert model.fit(words, y).score(words, y) > 0.9
    images = generator.normal(size=(60, 1, 6, 6))
    bright = images.mean(axis=(1, 2, 3)) > 0

    def convolutional() -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))

    assert NeuralClassifier(convolutional, lr=0.02, max_epochs=40, random_state=0).fit(images, bright).score(
        images, bright
    ) > 0.9  # fmt: skip


def test_validation_stopping_weights_and_warm_starts() -> None:
    X, y = iris()
    stop = training.EarlyStopping("val_loss", patience=3)
    model = NeuralClassifier(Net, lr=0.3, max_epochs=100, train_split=0.2, callbacks=[stop], metrics=["accuracy"])
    model.set_params(random_state=1).fit(X, y)
    assert model.n_iter_ < 100 and len(model.history_.history["val_accuracy"]) == model.n_iter_
    own = NeuralClassifier(Net, max_epochs=2, random_state=0).fit(X[::2], y[::2], X_val=X[1::2], y_val=y[1::2])
    assert len(own.history_.history["val_loss"]) == 2
    parted = NeuralClassifier(Net, max_epochs=2, train_split=ShuffleSplit(1, random_state=0)).fit(X, y)
    assert "val_loss" in parted.history_.history
    warm = NeuralClassifier(Net, max_epochs=5, lr=0.01, warm_start=True, random_state=0).fit(X, y)
    first = warm.history_.history["loss"][0]
    assert warm.fit(X, y).history_.history["loss"][0] < first
    parts = NeuralClassifier(Net, lr=0.02, random_state=0).partial_fit(X[:50], y[:50], classes=np.unique(y))
    for _ in range(30):
        parts.partial_fit(X, y)
    assert parts.score(X, y) > 0.9


def test_weights_of_classes_and_samples() -> None:
    X, y = iris()
    weight = np.where(y == "setosa", 3.0, 1.0)
    settings: dict[str, Any] = {"max_epochs": 3, "random_state": 0}
    by_class = {"setosa": 3.0, "versicolor": 1.0, "virginica": 1.0}
    one = NeuralClassifier(Net, class_weight=by_class, **settings).fit(X, y)
    other = NeuralClassifier(Net, **settings).fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))


@pytest.mark.parametrize("outputs", [None, 1, 2])
def test_regressors_keep_the_shape_of_the_targets(outputs: int | None, device: str) -> None:
    X = np.linspace(-1, 1, 60).reshape(-1, 1)
    y = X[:, 0] if outputs is None else np.repeat(X, outputs, axis=1)
    model = NeuralRegressor(Net, lr=0.03, max_epochs=60, random_state=0, device=device)
    if outputs == 1:
        with pytest.warns(UserWarning, match="column-vector"):
            model.fit(X, y)
    else:
        model.fit(X, y)
    assert model.predict(X).shape == ((60,) if outputs in (None, 1) else (60, 2))
    assert model.score(X, y) > 0.95


def test_transformers_show_a_method_or_a_part() -> None:
    X, _ = iris()
    model = NeuralTransformer(Autoencoder, module__width=2, max_epochs=3, random_state=0).fit(X)
    weight = model.module_.coder.weight.detach().numpy()
    np.testing.assert_allclose(
        model.transform(X), X @ weight.T + model.module_.coder.bias.detach().numpy(), rtol=1e-6
    )  # fmt: skip
    part = NeuralTransformer(Net, layer="hidden", supervised=True, module__width=7, max_epochs=2, random_state=0)
    assert part.fit(X, X[:, 0]).transform(X).shape == (150, 7)
    assert (part.transform(X) >= 0).all() and part.get_feature_names_out().shape == (7,)
    with pytest.raises(AttributeError, match="no method decode"):
        part.inverse_transform(part.transform(X))


REFUSED: list[tuple[Callable[[Any, Any], object], type[Exception], str]] = [
    (lambda X, y: NeuralClassifier(Net, max_epoch=3).fit(X, y), TypeError, "did you mean 'max_epochs'"),
    (lambda X, y: NeuralClassifier(Net, width=3).fit(X, y), TypeError, "module__width reaches the module"),
    (lambda X, y: NeuralClassifier(3).fit(X, y), ValueError, "'module' parameter"),
    (lambda X, y: NeuralClassifier(nn.Linear(4, 3), module__width=3).fit(X, y), ValueError, "give the class"),
    (lambda X, y: NeuralClassifier(lambda: None).fit(X, y), ValueError, "made a NoneType"),
    (lambda X, y: NeuralClassifier(Net, lr=0.0).fit(X, y), ValueError, "'lr' .* greater than 0"),
    (lambda X, y: NeuralClassifier(Net, optimizer="adma").fit(X, y), UnknownNameError, "did you mean 'adam"),
    (lambda X, y: NeuralClassifier(Net, criterion="mea").fit(X, y), UnknownNameError, "mae"),
    (lambda X, y: NeuralClassifier(Net).fit(X, ["a"] * len(X)), ValueError, "one class: a"),
    (lambda X, y: NeuralClassifier(Net).fit(X, y).partial_fit(X, ["b"] * len(X)), ValueError, "not there before"),
    (lambda X, y: NeuralTransformer(Net, module__out_features=4).fit(X), ValueError, "no method 'encode'"),
    (lambda X, y: NeuralTransformer(Net, layer="hiden").fit(X), UnknownNameError, "did you mean 'hidden'"),
]


@pytest.mark.parametrize(("act", "error", "message"), REFUSED)
def test_refusals(act: Callable[[Any, Any], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        act(*iris())


def test_a_seed_leaves_nnkits_stream_alone() -> None:
    X, y = iris()
    nnkit.manual_seed(0)
    before = nnkit.rand(2).tolist()
    nnkit.manual_seed(0)
    NeuralClassifier(Net, max_epochs=1, random_state=3).fit(X, y)
    assert nnkit.rand(2).tolist() == before
