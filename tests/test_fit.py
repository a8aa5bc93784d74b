"""``fit``, ``evaluate`` and ``predict``: what they learn, what they report, and how they end."""

from __future__ import annotations

import copy
import pickle
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import nn
from nnkit.errors import UnknownNameError
from nnkit.training import Callback, LambdaCallback, last_history
from nnkit.utils.data import DataLoader, TensorDataset

CLOSE = 1e-5  # float32 results of the same arithmetic in another order


def toy(samples: int = 60, classes: int = 3, features: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Classes that lie around centres of their own."""
    random = np.random.default_rng(7)
    labels = np.arange(samples) % classes
    centres = random.normal(size=(classes, features)) * 3
    return (centres[labels] + random.normal(size=(samples, features))).astype(np.float32), labels


def classifier(seed: int = 1) -> nn.Sequential:
    nnkit.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))


def weights(model: nn.Module) -> list[np.ndarray]:
    return [parameter.detach().numpy().copy() for parameter in model.parameters()]


# ---- it learns --------------------------------------------------------------------------------------------


def test_xor(device: str) -> None:
    x = [[0, 0], [0, 1], [1, 0], [1, 1]]
    y = [[0], [1], [1], [0]]
    model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = nnkit.optim.Adam(model.parameters(), lr=0.1)
    history = model.fit(x, y, loss="bce_with_logits", optimizer=optimizer, epochs=60, metrics=["accuracy"], verbose=0)
    assert history.history["accuracy"][-1] == 1.0
    assert ((model.predict(x) > 0) == np.array(y)).all()


def test_linear_regression_finds_the_coefficients(device: str) -> None:
    x = np.random.default_rng(0).normal(size=(64, 2))
    y = x @ [[2.0], [-3.0]] + 0.5
    model = nn.Linear(2, 1)
    model.fit(x, y, loss="mse", optimizer=nnkit.optim.SGD(model.parameters(), lr=0.2), epochs=60, verbose=0)
    np.testing.assert_allclose(weights(model)[0], [[2.0, -3.0]], atol=1e-3)
    np.testing.assert_allclose(weights(model)[1], [0.5], atol=1e-3)


def test_classes_and_validation(device: str) -> None:
    x, y = toy(150)
    model = classifier()
    optimizer = nnkit.optim.Adam(model.parameters(), lr=0.05)
    options: dict[str, Any] = {"epochs": 12, "batch_size": 16, "validation_split": 0.2, "metrics": ["acc"]}
    history = model.fit(x, y, loss="cross_entropy", optimizer=optimizer, verbose=0, **options)
    assert history.history["acc"][-1] > 0.9
    assert history.history["val_acc"][-1] > 0.8
    assert history.epoch == list(range(12))
    assert list(history.history) == ["loss", "acc", "val_loss", "val_acc", "lr"]


def own_cross_entropy(prediction: nnkit.Tensor, target: nnkit.Tensor) -> nnkit.Tensor:
    return nn.functional.cross_entropy(prediction, target)


@pytest.mark.parametrize("loss", ["cross_entropy", nn.CrossEntropyLoss(), own_cross_entropy])
def test_a_loss_by_name_module_or_function_is_the_same(loss: Any, device: str) -> None:
    x, y = toy()
    expected = classifier().fit(x, y, loss="cross_entropy", epochs=2, verbose=0, shuffle=False).history["loss"]
    assert classifier().fit(x, y, loss=loss, epochs=2, verbose=0, shuffle=False).history["loss"] == expected


# ---- what it takes ----------------------------------------------------------------------------------------

SOURCES: dict[str, Callable[[np.ndarray, np.ndarray], tuple[Any, Any]]] = {
    "lists": lambda x, y: (x.tolist(), y.tolist()),
    "tensors": lambda x, y: (nnkit.tensor(x), nnkit.tensor(y)),
    "tensor dataset": lambda x, y: (TensorDataset(x, y), None),
    "loader": lambda x, y: (DataLoader(TensorDataset(x, y), batch_size=32), None),
    "list of batches": lambda x, y: ([(x[:32], y[:32]), (x[32:], y[32:])], None),
    "generator": lambda x, y: (((x[i : i + 32], y[i : i + 32]) for _ in range(3) for i in (0, 32)), None),
    "float64 and int32": lambda x, y: (x.astype(np.float64), y.astype(np.int32)),
    "Fortran order": lambda x, y: (np.asfortranarray(x), y),
    "negative strides": lambda x, y: (x[::-1].copy()[::-1], y[::-1].copy()[::-1]),
    "every second row": lambda x, y: (np.repeat(x, 2, axis=0)[::2], np.repeat(y, 2)[::2]),
    "byte-swapped": lambda x, y: (x.astype(">f4"), y.astype(">i8")),
}


@pytest.mark.parametrize("source", SOURCES)
def test_sources_of_the_same_data_train_alike(source: str, device: str) -> None:
    x, y = toy()
    options: dict[str, Any] = {"loss": "cross_entropy", "epochs": 3, "shuffle": False, "verbose": 0}
    expected = classifier().fit(x, y, **options).history["loss"]
    given_x, given_y = SOURCES[source](x, y)
    if source == "generator":
        options["steps_per_epoch"] = 2
    model = classifier()
    assert model.fit(given_x, given_y, **options).history["loss"] == expected
    assert model.evaluate(*SOURCES[source](x, y))["loss"] == pytest.approx(model.evaluate(x, y)["loss"], abs=CLOSE)


def test_predict_takes_what_fit_takes(device: str) -> None:
    x, y = toy()
    model = classifier()
    expected = model.predict(x)
    assert expected.dtype == np.float32 and expected.shape == (60, 3)
    loader = DataLoader(TensorDataset(x, y), batch_size=7)
    for given in (x.tolist(), nnkit.tensor(x), TensorDataset(x, y), loader, iter([x[:10], x[10:]])):
        np.testing.assert_allclose(model.predict(given), expected, atol=CLOSE)
    np.testing.assert_allclose(model.predict(x, batch_size=7), expected, atol=CLOSE)


def test_images_are_scaled_by_nobody_but_accepted(device: str) -> None:
    images = np.arange(8 * 2 * 2, dtype=np.uint8).reshape(8, 2, 2)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    history = model.fit(images, np.arange(8) % 2, loss="cross_entropy", verbose=0)
    assert len(history.history["loss"]) == 1 and model.predict(images).shape == (8, 2)


def test_a_float64_model_trains_in_float64(device: str) -> None:
    x, y = toy()
    model = classifier().double()
    model.fit(x.astype(np.float64) * 1e300 / 1e300, y, loss="cross_entropy", verbose=0)
    assert model.predict(x).dtype == np.float64


# ---- what it computes -------------------------------------------------------------------------------------


def test_the_epoch_s_numbers_are_exact_over_unequal_batches(device: str) -> None:
    x, y = toy(10)
    model = classifier()
    rate_zero = nnkit.optim.SGD(model.parameters(), lr=0.0)
    options: dict[str, Any] = {"loss": "cross_entropy", "metrics": ["accuracy", "f1"]}
    history = model.fit(x, y, optimizer=rate_zero, batch_size=4, verbose=0, **options).history
    whole = model.evaluate(x, y, batch_size=10, **options)
    parts = model.evaluate(x, y, batch_size=3, **options)
    for name, value in whole.items():
        assert history[name][0] == pytest.approx(value, abs=CLOSE)
        assert parts[name] == pytest.approx(value, abs=CLOSE)


def test_a_weight_of_two_is_a_sample_given_twice(device: str) -> None:
    x, y = toy(9)
    twice = np.concatenate([np.arange(9), [0, 4]])
    weight = np.array([2.0, 1, 1, 1, 2, 1, 1, 1, 1])
    one, other = classifier(), classifier()
    for model in (one, other):
        optimizer = nnkit.optim.SGD(model.parameters(), lr=0.1 * (9 if model is one else 11))
        data = (x, y) if model is one else (x[twice], y[twice])
        given = weight if model is one else None
        options: dict[str, Any] = {"sample_weight": given, "epochs": 3, "verbose": 0}
        model.fit(*data, loss="cross_entropy", optimizer=optimizer, **options)
    for first, second in zip(weights(one), weights(other), strict=True):
        np.testing.assert_allclose(first, second, atol=CLOSE)


def test_a_weighted_loss_is_the_weighted_sum_over_the_samples(device: str) -> None:
    x, y = toy(6)
    model = classifier()
    weight = np.array([0.0, 1.0, 2.0, 0.5, 3.0, 1.0])
    each = [model.evaluate(x[i : i + 1], y[i : i + 1], loss="cross_entropy")["loss"] for i in range(6)]
    got = model.evaluate(x, y, loss="cross_entropy", sample_weight=weight, batch_size=4)["loss"]
    assert got == pytest.approx((weight * each).sum() / 6, abs=CLOSE)


@pytest.mark.parametrize("given", [{0: 1.0, 2: 5.0}, [1.0, 1.0, 5.0]])
@pytest.mark.parametrize("one_hot", [False, True])
def test_class_weights_are_sample_weights(given: Any, one_hot: bool, device: str) -> None:
    x, y = toy()
    target = np.eye(3)[y] if one_hot else y
    options: dict[str, Any] = {"loss": "cross_entropy", "epochs": 2, "verbose": 0, "seed": 3}
    by_class, by_sample = classifier(), classifier()
    first = by_class.fit(x, target, class_weight=given, **options)
    second = by_sample.fit(x, target, sample_weight=np.where(y == 2, 5.0, 1.0), **options)
    assert first.history["loss"] == second.history["loss"]


def test_validation_keeps_sample_weights_and_leaves_class_weights_out(device: str) -> None:
    x, y = toy(20)
    model = classifier()
    optimizer = nnkit.optim.SGD(model.parameters(), lr=0.0)
    weight = np.arange(20) / 10
    options: dict[str, Any] = {"loss": "cross_entropy", "optimizer": optimizer, "verbose": 0}
    split = model.fit(x, y, validation_split=0.25, sample_weight=weight, class_weight={0: 9.0}, **options)
    given = model.fit(x, y, validation_data=(x[15:], y[15:], weight[15:]), **options)
    expected = model.evaluate(x[15:], y[15:], sample_weight=weight[15:])["loss"]
    for history in (split, given):
        assert history.history["val_loss"] == [pytest.approx(expected, abs=CLOSE)]


def test_validation_by_a_loader(device: str) -> None:
    x, y = toy(20)
    loader = DataLoader(TensorDataset(x[10:], y[10:]), batch_size=3)
    model = classifier()
    history = model.fit(x[:10], y[:10], loss="cross_entropy", validation_data=loader, epochs=2, verbose=0)
    assert history.history["val_loss"][-1] == pytest.approx(model.evaluate(x[10:], y[10:])["loss"], abs=CLOSE)


def test_the_penalty_is_part_of_the_loss_and_of_the_gradient(device: str) -> None:
    model = nn.Linear(1, 1, bias=False, l2=0.5)
    with nnkit.no_grad():
        model.weight.fill_(2.0)
    x, y = [[1.0]], [[2.0]]
    optimizer = nnkit.optim.SGD(model.parameters(), lr=0.1)
    history = model.fit(x, y, loss="mse", optimizer=optimizer, verbose=0)
    assert history.history["loss"] == [2.0]  # 0 + 0.5 * 2**2
    assert model.weight.item() == pytest.approx(2.0 - 0.1 * 2.0)
    assert model.evaluate(x, [[model.weight.item()]])["loss"] == pytest.approx(0.5 * 1.8**2)


@pytest.mark.parametrize(("options", "step"), [({"clip_norm": 0.5}, 0.5), ({"clip_value": 0.25}, 0.25), ({}, 8.0)])
def test_clipping_bounds_the_step(options: dict[str, float], step: float, device: str) -> None:
    model = nn.Linear(1, 1, bias=False)
    with nnkit.no_grad():
        model.weight.fill_(4.0)
    optimizer = nnkit.optim.SGD(model.parameters(), lr=1.0)
    model.fit([[1.0]], [[0.0]], loss="mse", optimizer=optimizer, verbose=0, **options)
    assert model.weight.item() == pytest.approx(4.0 - step, abs=1e-4)


# ---- how it goes on ---------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_losses_to_the_bit(device: str) -> None:
    x, y = toy()
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 3))
    twin = copy.deepcopy(model)
    options: dict[str, Any] = {"loss": "cross_entropy", "epochs": 3, "batch_size": 7, "verbose": 0, "seed": 11}
    assert model.fit(x, y, **options).history == twin.fit(x, y, **options).history


def test_training_in_two_parts_is_training_in_one(device: str) -> None:
    x, y = toy()
    whole, parts = classifier(), classifier()
    options: dict[str, Any] = {"loss": "cross_entropy", "batch_size": 16, "verbose": 0, "seed": 5}
    first = whole.fit(x, y, epochs=4, **options)
    parts.fit(x, y, epochs=2, **options)
    second = parts.fit(x, y, epochs=4, initial_epoch=2, optimizer=None, **options)
    assert second.epoch == [2, 3]
    assert second.history["loss"] == first.history["loss"][2:]


def test_the_order_is_a_new_permutation_each_epoch(device: str) -> None:
    class Look(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(nnkit.ones(1))

        def forward(self, x: nnkit.Tensor) -> nnkit.Tensor:
            if self.training:
                epochs[-1] += x.reshape(-1).tolist()
            return x * self.scale

    epochs: list[list[float]] = []
    begin = LambdaCallback(on_epoch_begin=lambda epoch: epochs.append([]))
    x = np.arange(10.0).reshape(10, 1)
    Look().fit(x, x, loss="mse", epochs=2, batch_size=4, callbacks=[begin], verbose=0, compile=False)
    assert epochs[0] != epochs[1]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(10))


def test_modes_are_put_back_as_they_were(device: str) -> None:
    x, y = toy()
    modes: list[bool] = []

    class Mode(nn.Module):
        def forward(self, x: nnkit.Tensor) -> nnkit.Tensor:
            modes.append(self.training)
            return x

    model = nn.Sequential(nn.Linear(4, 3), Mode())
    model[0].eval()
    for call in (
        lambda: model.fit(x, y, loss="cross_entropy", batch_size=60, validation_data=(x, y), verbose=0),
        lambda: model.evaluate(x, y),
        lambda: model.predict(x),
    ):
        call()
        assert [module.training for module in model.modules()] == [True, False, True]
    # The door's look at an output, a step, the validation; the door's look, the evaluation; the prediction.
    assert modes == [False, True, False, False, False, False]


def test_prediction_from_many_threads_while_in_training_mode(device: str) -> None:
    x, _ = toy(8)
    model = nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.9), nn.Linear(16, 3))
    expected = model.predict(x)
    results: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: results.append(model.predict(x, batch_size=3))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8 and model.training
    for result in results:
        np.testing.assert_allclose(result, expected, atol=CLOSE)


def test_evaluate_uses_what_fit_named(device: str) -> None:
    x, y = toy()
    model = classifier()
    with pytest.raises(ValueError, match="evaluate needs a loss or metrics"):
        model.evaluate(x, y)
    assert list(model.evaluate(x, y, metrics=["accuracy"])) == ["accuracy"]
    model.fit(x, y, loss="cross_entropy", metrics=["accuracy"], verbose=0)
    assert list(model.evaluate(x, y)) == ["loss", "accuracy"]
    assert list(model.evaluate(x, y, metrics=[])) == ["loss"]


def test_a_trained_model_is_copied_and_pickled_without_its_training(device: str) -> None:
    x, y = toy()
    model = classifier()
    model.fit(x, y, loss=lambda p, t: nn.functional.cross_entropy(p, t), verbose=0)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(twin.predict(x), model.predict(x))
        assert last_history(twin) is None
        with pytest.raises(ValueError, match="optimizer=None goes on with the optimizer"):
            twin.fit(x, y, loss="cross_entropy", optimizer=None, verbose=0)


# ---- arguments --------------------------------------------------------------------------------------------

ARGUMENTS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"loss": "cross_entrpy"}, UnknownNameError, "unknown loss 'cross_entrpy'; did you mean 'cross_entropy'"),
    ({"loss": nn.CrossEntropyLoss}, TypeError, "CrossEntropyLoss()"),
    ({"loss": nn.CrossEntropyLoss(reduction="none")}, ValueError, "loss has reduction='none'"),
    ({"loss": lambda p, t: p}, ValueError, "expected a scalar"),
    ({"optimizer": "adm"}, UnknownNameError, "'adam'"),
    ({"optimizer": None}, ValueError, "optimizer=None goes on with the optimizer of the model's last fit"),
    ({"metrics": "accuracy"}, TypeError, "metrics must be a list: write metrics=['accuracy']"),
    ({"metrics": ["acuracy"]}, UnknownNameError, "unknown metric 'acuracy'; did you mean 'accuracy'"),
    ({"metrics": ["acc", "acc"]}, ValueError, "two results would have the name 'acc'"),
    ({"epochs": 0}, ValueError, "epochs must be at least 1, got 0"),
    ({"epochs": 1.5}, TypeError, "epochs must be an integer, got 1.5"),
    ({"initial_epoch": -1}, ValueError, "initial_epoch must be at least 0"),
    ({"verbose": "loud"}, ValueError, "verbose must be 'auto', 0"),
    ({"callbacks": [Callback]}, TypeError, "callbacks must be Callback instances, got Callback"),
    ({"clip_norm": 0.0}, ValueError, "clip_norm must be a number greater than 0"),
    ({"clip_value": -1.0}, ValueError, "clip_value must be a number greater than 0"),
    ({"class_weight": {0: -1.0}}, ValueError, "class_weight[0] must be a finite number >= 0"),
    ({"validation_data": 3}, ValueError, "validation_data is a int"),
    ({"validation_split": 0.2, "validation_data": ([[0.0]], [0])}, ValueError, "were both given"),
]


@pytest.mark.parametrize(("options", "error", "message"), ARGUMENTS)
def test_wrong_arguments(options: dict[str, Any], error: type[Exception], message: str, device: str) -> None:
    x, y = toy()
    model = classifier()
    before = weights(model)
    with pytest.raises(error, match=re.escape(message)):
        model.fit(x, y, **({"loss": "cross_entropy", "verbose": 0} | options))
    for now, then in zip(weights(model), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_an_optimizer_of_another_model(device: str) -> None:
    x, y = toy()
    other = nnkit.optim.SGD(classifier().parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r"optimizer was made for other parameters: .*SGD\(model.parameters\(\)\)"):
        classifier().fit(x, y, loss="cross_entropy", optimizer=other, verbose=0)


def test_a_frozen_model(device: str) -> None:
    x, y = toy()
    with pytest.raises(ValueError, match="Sequential has no parameters to train"):
        classifier().requires_grad_(False).fit(x, y, loss="cross_entropy", verbose=0)


def test_weights_need_a_loss_per_sample(device: str) -> None:
    x, y = toy()
    with pytest.raises(ValueError, match="'own_cross_entropy' gives one number: use a loss of nnkit"):
        classifier().fit(x, y, loss=own_cross_entropy, sample_weight=np.ones(60), verbose=0)


def endless(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    while True:
        yield x, y


def test_an_endless_generator_with_steps(device: str) -> None:
    x, y = toy(8)
    history = classifier().fit(endless(x, y), loss="cross_entropy", steps_per_epoch=3, epochs=2, verbose=0)
    assert history.epoch == [0, 1] and history.stopped_by is None
