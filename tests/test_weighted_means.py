"""One definition of a weighted mean: weights of 1 change nothing, nor do batches, and what is masked takes no part."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import keras, nn, optim
from nnkit.errors import DataError, ShapeError, UnknownNameError

RANDOM = np.random.default_rng(5)
N = 50
X = RANDOM.normal(size=(N, 4)).astype(np.float32)
LABELS = RANDOM.integers(0, 3, N)
MASKED = np.where(RANDOM.random(N) < 0.4, -100, LABELS)
MASKED[:7] = -100  # whole batches of it, where they are small
VALUES = RANDOM.normal(size=(N, 3)).astype(np.float32)
YES = RANDOM.integers(0, 2, (N, 3)).astype(np.float32)
WEIGHTS = [0.1, 1.0, 5.0]
CORE = nn.CrossEntropyLoss

#: name -> (makes the loss, targets)
LOSSES: dict[str, tuple[Any, np.ndarray]] = {
    "cross-entropy": (lambda: CORE(), LABELS),
    "cross-entropy, class weights": (lambda: CORE(weight=WEIGHTS), LABELS),
    "cross-entropy, masked": (lambda: CORE(), MASKED),
    "cross-entropy, masked, class weights": (lambda: CORE(weight=WEIGHTS), MASKED),
    "cross-entropy, masked, smoothed": (lambda: CORE(weight=WEIGHTS, label_smoothing=0.1), MASKED),
    "cross-entropy, another mask": (lambda: CORE(ignore_index=1), LABELS),
    "cross-entropy, sum": (lambda: CORE(reduction="sum"), LABELS),
    "cross-entropy, sum, masked": (lambda: CORE(weight=WEIGHTS, reduction="sum"), MASKED),
    "cross-entropy of probabilities": (lambda: CORE(weight=WEIGHTS), np.eye(3, dtype=np.float32)[LABELS]),
    "nll, class weights": (lambda: nn.NLLLoss(weight=WEIGHTS), LABELS),
    "mse": (lambda: nn.MSELoss(), VALUES),
    "mse, sum": (lambda: nn.MSELoss(reduction="sum"), VALUES),
    "l1": (lambda: nn.L1Loss(), VALUES),
    "huber, sum": (lambda: nn.HuberLoss(reduction="sum"), VALUES),
    "bce": (lambda: nn.BCEWithLogitsLoss(weight=WEIGHTS, pos_weight=WEIGHTS), YES),
}


def model(penalty: float = 0.0) -> nn.Module:
    nnkit.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3, l2=penalty))


@pytest.mark.parametrize("penalty", [0.0, 0.1])
@pytest.mark.parametrize("name", LOSSES)
def test_evaluation_does_not_depend_on_batches_nor_on_weights_of_1(name: str, penalty: float, device: str) -> None:
    make, target = LOSSES[name]
    loss = make()
    measured = model(penalty)
    own = measured.penalty()
    expected = loss(measured(nnkit.tensor(X)), nnkit.tensor(target)).item() + (own.item() if own is not None else 0.0)
    for batch_size in (1, 7, 16, N):
        for weight in (None, np.ones(N)):
            found = measured.evaluate(X, target, loss=loss, batch_size=batch_size, sample_weight=weight)["loss"]
            assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("compile", [True, False])
@pytest.mark.parametrize("name", LOSSES)
def test_an_epochs_loss_is_that_of_all_samples_recorded_or_not(name: str, compile: bool, device: str) -> None:
    make, target = LOSSES[name]
    trained = model(0.1)
    expected = trained.evaluate(X, target, loss=make(), batch_size=N)["loss"]
    optimizer = optim.SGD(trained.parameters(), lr=1e-12)  # the weights stay
    for batch_size in (1, 7):  # of the masked labels some batches have none, some are whole
        history = trained.fit(
            X, target, loss=make(), optimizer=optimizer, batch_size=batch_size, shuffle=False, verbose=0,
            compile=compile,
        )  # fmt: skip
        assert history.history["loss"] == pytest.approx([expected], rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_training_with_weights_of_1_is_training_without(name: str, device: str) -> None:
    make, target = LOSSES[name]
    loss = make()
    results = []
    for weight in (None, np.ones(N)):
        trained = model()
        optimizer = optim.SGD(trained.parameters(), lr=0.001)
        history = trained.fit(
            X, target, loss=loss, optimizer=optimizer, epochs=2, batch_size=7, verbose=0, sample_weight=weight, seed=1
        )
        results.append(([*history.history["loss"]], trained[0].weight.detach().numpy().copy()))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-5)
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-4, atol=1e-6)


DECISIONS = ["accuracy", "precision", "recall", "f1", "balanced_accuracy", "matthews", "log_loss", "auc"]
MANY_DECISIONS = ["accuracy", "precision", "recall", "f1", "log_loss", "auc", "average_precision"]
ERRORS = ["mse", "rmse", "mae", "r2"]

#: loss -> (targets, outputs, the last layer, metrics)
MEASURED: dict[str, tuple[np.ndarray, int, nn.Module, list[str]]] = {
    "cross_entropy": (LABELS, 3, nn.Identity(), [*DECISIONS, "average_precision", "top_2_accuracy"]),
    "nll": (LABELS, 3, nn.LogSoftmax(dim=1), [*DECISIONS, "average_precision", "top_2_accuracy"]),
    "bce": (YES, 3, nn.Sigmoid(), MANY_DECISIONS),
    "bce_with_logits": (YES[:, :1], 1, nn.Identity(), [*DECISIONS, "average_precision"]),
    "mse": (VALUES, 3, nn.Identity(), ERRORS),
    "l1": (VALUES, 3, nn.Identity(), ERRORS),
    "huber": (VALUES, 3, nn.Identity(), ERRORS),
    "smooth_l1": (VALUES, 3, nn.Identity(), ERRORS),
}
KERAS_MEASURED: dict[str, tuple[np.ndarray, int, str | None, list[str]]] = {
    "sparse_categorical_crossentropy": (LABELS, 3, "softmax", ["accuracy", "sparse_top_k_categorical_accuracy"]),
    "categorical_crossentropy": (
        np.eye(3, dtype=np.float32)[LABELS], 3, "softmax", ["accuracy", "precision", "recall", "auc", "kl_divergence"],
    ),
    "binary_crossentropy": (YES[:, 0], 1, "sigmoid", ["accuracy", "precision", "recall", "auc", "binary_crossentropy"]),
    "kl_divergence": (np.abs(VALUES), 3, "softmax", ["mse"]),
    "mse": (VALUES, 3, None, ["mae", "r2_score", "root_mean_squared_error"]),
    "mae": (VALUES, 3, None, ["mse"]),
    "huber": (VALUES, 3, None, ["mse"]),
}  # fmt: skip


@pytest.mark.parametrize("loss", MEASURED)
def test_metrics_do_not_depend_on_batches_nor_on_weights_of_1(loss: str, device: str) -> None:
    target, outputs, end, metrics = MEASURED[loss]
    measured = nn.Sequential(nn.Linear(4, outputs), end)
    options: dict[str, Any] = {"loss": loss, "metrics": metrics}
    expected = measured.evaluate(X, target, batch_size=N, **options)
    for batch_size in (1, 7, 16):
        for weight in (None, np.ones(N)):
            found = measured.evaluate(X, target, batch_size=batch_size, sample_weight=weight, **options)
            assert found == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("loss", KERAS_MEASURED)
def test_keras_metrics_do_not_depend_on_batches_nor_on_weights_of_1(loss: str, device: str) -> None:
    target, outputs, activation, metrics = KERAS_MEASURED[loss]
    measured = keras.Sequential([keras.layers.Dense(outputs, activation=activation, input_shape=(4,))])
    for weighted in ({"metrics": metrics}, {"weighted_metrics": metrics}):
        measured.compile("sgd", loss, **weighted)
        expected = measured.evaluate(X, target, verbose=0, batch_size=N)
        for batch_size in (1, 7, 16):
            for weight in (None, np.ones(N)):
                found = measured.evaluate(X, target, verbose=0, batch_size=batch_size, sample_weight=weight)
                assert found == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_class_weights_of_1_change_nothing(device: str) -> None:
    histories = []
    for weights in (None, {0: 1.0, 1: 1.0, 2: 1.0}, [1.0, 1.0, 1.0]):
        trained = model()
        history = trained.fit(X, LABELS, loss="cross_entropy", class_weight=weights, epochs=2, verbose=0, seed=1)
        histories.append([*history.history["loss"], *trained[0].weight.reshape(-1).tolist()])
    for other in histories[1:]:
        np.testing.assert_allclose(other, histories[0], rtol=1e-4, atol=1e-6)


def test_weights_are_of_samples(device: str) -> None:
    """A weight of 2 is the sample twice in the sum, and once in what the mean is over."""
    weight = np.where(np.arange(N) < 10, 2.0, 1.0)
    measured = model()
    rows = nn.functional.cross_entropy(measured(nnkit.tensor(X)), nnkit.tensor(LABELS), reduction="none").tolist()
    expected = np.dot(rows, weight) / N
    found = [measured.evaluate(X, LABELS, loss=CORE(), batch_size=b, sample_weight=weight)["loss"] for b in (7, N)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("bad", [-np.inf, np.inf, np.nan])
@pytest.mark.parametrize("weight", [None, [1.0, 2.0, 3.0]])
def test_a_masked_row_takes_no_part_whatever_is_in_it(bad: float, weight: Any, device: str) -> None:
    logits = nnkit.tensor([[bad, 0.0, 1.0], [1.0, 2.0, 3.0]], requires_grad=True)
    loss = CORE(weight=weight)(logits, nnkit.tensor([-100, 1]))
    loss.backward()
    assert loss.item() == pytest.approx(1.4076059)  # PyTorch's, whatever the weight of the only class
    assert logits.grad is not None and logits.grad[0].tolist() == [0.0, 0.0, 0.0]
    np.testing.assert_allclose(logits.grad[1].tolist(), [0.0900306, -0.7552715, 0.6652409], rtol=1e-5)


def test_a_batch_that_is_all_masked_counts_nothing(device: str) -> None:
    logits = nnkit.tensor([[0.0, 1.0, 2.0]], requires_grad=True)
    loss = CORE()(logits, nnkit.tensor([-100]))
    loss.backward()
    assert loss.item() == 0.0 and logits.grad is not None and logits.grad.tolist() == [[0.0, 0.0, 0.0]]
    trained = model()
    before = trained[0].weight.tolist()
    sgd = optim.SGD(trained.parameters(), lr=1.0)
    history = trained.fit(X[:7], MASKED[:7], loss=CORE(), optimizer=sgd, batch_size=3, epochs=2, verbose=0)
    assert trained[0].weight.tolist() == before and len(history.history["loss"]) == 2


# ---- what is refused ----------------------------------------------------------------------------------------------

LOGITS, TARGETS = nnkit.zeros(4, 1), nnkit.zeros(4, 1)
REFUSED: dict[str, Any] = {
    "weight": lambda: nn.BCEWithLogitsLoss(weight=nnkit.ones(4))(LOGITS, TARGETS),
    "pos_weight": lambda: nn.BCEWithLogitsLoss(pos_weight=nnkit.ones(4))(LOGITS, TARGETS),
    "weight of probabilities": lambda: nn.BCELoss(weight=nnkit.ones(4))(LOGITS, TARGETS),
    "too many axes": lambda: nn.BCELoss(weight=nnkit.ones(1, 4, 1))(LOGITS, TARGETS),
}


@pytest.mark.parametrize("name", REFUSED)
def test_weights_never_make_more_losses_than_predictions(name: str) -> None:
    with pytest.raises(ShapeError, match=r"weight has shape .* does not fit predictions of shape"):
        REFUSED[name]()


def test_weights_of_columns_broadcast() -> None:
    loss = nn.BCEWithLogitsLoss(weight=nnkit.tensor([1.0, 0.0]))(nnkit.zeros(3, 2), nnkit.zeros(3, 2))
    assert loss.item() == pytest.approx(np.log(2) / 2)


@pytest.mark.parametrize("value", [-0.5, 1.5])
def test_probabilities_outside_0_to_1_are_refused(value: float, device: str) -> None:
    with pytest.raises(ValueError, match="takes probabilities from 0 to 1, got predictions from"):
        nn.BCELoss()(nnkit.tensor([value, 0.5]), nnkit.tensor([1.0, 0.0]))


def test_fit_says_what_is_wrong_with_bce_of_logits_and_cross_entropy_of_probabilities() -> None:
    with pytest.raises(DataError, match="use loss='bce_with_logits', or end the model with"):
        model().fit(X, YES, loss="bce", verbose=0)
    with pytest.warns(UserWarning, match=r"take nn.Softmax\(\) off its end"):
        nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=-1)).fit(X, LABELS, loss="cross_entropy", verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model().fit(X, LABELS, loss="cross_entropy", verbose=0)


def test_weights_that_are_all_0_are_refused() -> None:
    with pytest.raises(DataError, match="sample_weight is 0 for every sample"):
        model().fit(X, LABELS, loss="cross_entropy", sample_weight=np.zeros(N), verbose=0)


CLASS_WEIGHTS: dict[str, tuple[Any, str]] = {
    "names": ({"churned": 10, "stayed": 1}, "has the key 'churned', but the labels are 0, 1, 2"),
    "texts": ({"0": 10}, "has the key '0'"),
    "another class": ({7: 1}, "has the key 7"),
    "a short list": ([1.0, 2.0], "the labels go to 2: give 3 numbers"),
}


@pytest.mark.parametrize("name", CLASS_WEIGHTS)
def test_class_weights_that_match_no_class_are_refused(name: str) -> None:
    weights, message = CLASS_WEIGHTS[name]
    with pytest.raises(DataError, match=message):
        model().fit(X, LABELS, loss="cross_entropy", class_weight=weights, verbose=0)


def test_balanced_class_weights_are_scikit_learns() -> None:
    utils = pytest.importorskip("sklearn.utils.class_weight")
    expected = dict(enumerate(utils.compute_class_weight("balanced", classes=np.arange(3), y=LABELS)))
    histories = [
        model().fit(X, LABELS, loss="cross_entropy", class_weight=w, verbose=0, shuffle=False).history["loss"]
        for w in ("balanced", expected)
    ]
    assert histories[0] == histories[1]
    with pytest.raises(UnknownNameError, match="balanced"):
        model().fit(X, LABELS, loss="cross_entropy", class_weight="balance", verbose=0)


# ---- Keras's words: the values are Keras 3.15's ---------------------------------------------------------------------

P, T = [0.3, 0.4, 0.9, 0.2], [1.0, 0.0, 1.0, 0.0]
W = [1.0, 2.0, 3.0, 4.0]
EACH = [1.2039731, 0.510826, 0.105361, 0.223144]
WEIGHTED = [1.2039731, 1.0216511, 0.316082, 0.892574]
BINARY: dict[tuple[str | None, bool, bool], Any] = {  # reduction, columns, weighted
    ("sum_over_batch_size", False, False): 0.510826,
    ("sum_over_batch_size", False, True): 1.277064,
    ("sum_over_batch_size", True, False): 0.510826,
    ("sum_over_batch_size", True, True): 0.858570,
    ("sum", False, False): 0.510826,
    ("sum", False, True): 5.108256,
    ("sum", True, False): 2.043302,
    ("sum", True, True): 3.434280,
    (None, False, False): 0.510826,
    (None, False, True): [0.510826, 1.021651, 1.532477, 2.043302],
    (None, True, False): EACH,
    (None, True, True): [[value] for value in WEIGHTED],
}


@pytest.mark.parametrize("case", BINARY, ids=str)
def test_keras_reductions(case: tuple[str | None, bool, bool]) -> None:
    reduction, columns, weighted = case
    shape = (4, 1) if columns else (4,)
    t, p, w = (np.array(values, np.float32).reshape(shape) for values in (T, P, W))
    found = keras.losses.BinaryCrossentropy(reduction=reduction)(t, p, sample_weight=w if weighted else None)
    assert np.shape(found.tolist()) == np.shape(BINARY[case])
    np.testing.assert_allclose(found.tolist(), BINARY[case], rtol=1e-4)


def test_keras_ignored_class_is_left_out_of_the_mean(device: str) -> None:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=2)
    x = np.array([[5, 0, 1], [1, 2, 3], [0, 0, 0], [3, 1, 0]], np.float32)
    y = np.array([2, 1, 0, 2])
    measured = keras.Sequential([keras.layers.Dense(3, input_shape=(3,), use_bias=False)])
    measured.set_weights([np.eye(3, dtype=np.float32)])
    measured.compile("sgd", loss)
    found = [loss(y, x).item()]
    found += [
        measured.evaluate(x, y, verbose=0, batch_size=b, sample_weight=w) for b in (1, 3, 4) for w in (None, np.ones(4))
    ]
    np.testing.assert_allclose(found, 1.2531091, rtol=1e-5)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [(None, 1.2531091), ([1, 2, 3, 4], 1.2222097), ([[1], [2], [3], [4]], 1.2222097), (2, 1.2531091)],
)
def test_keras_mean_with_sample_weight_leaves_out_the_weights_of_an_ignored_class(
    weights: Any, expected: float, device: str
) -> None:
    loss = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, ignore_class=2, reduction="mean_with_sample_weight"
    )
    x = [[5, 0, 1], [1, 2, 3], [0, 0, 0], [3, 1, 0]]
    assert loss([2, 1, 0, 2], x, weights).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("activation", "loss", "expected"),
    [
        ("softmax", "binary_crossentropy", "clipped"),
        ("sigmoid", "categorical_crossentropy", "normalised"),
        ("softplus", "categorical_crossentropy", "normalised"),
    ],
)
def test_keras_losses_take_probabilities_as_they_are(activation: str, loss: str, expected: str) -> None:
    """Only the loss that inverts the last layer's activation may use its logits."""
    nnkit.manual_seed(0)
    built = keras.Sequential([keras.layers.Dense(3, activation=activation, input_shape=(4,))])
    built.compile("sgd", loss)
    target = np.eye(3, dtype=np.float32)[LABELS]
    p = np.clip(built.predict(X, verbose=0).astype(np.float64), 1e-7, 1 - 1e-7)
    if expected == "clipped":
        right = -(target * np.log(p) + (1 - target) * np.log(1 - p)).mean()
    else:
        p = built.predict(X, verbose=0).astype(np.float64)
        right = -(target * np.log(p / p.sum(axis=1, keepdims=True))).sum(axis=1).mean()
    assert built.evaluate(X, target, verbose=0) == pytest.approx(right, rel=1e-5)


def test_keras_metrics_take_weights_in_a_column_and_thresholds_of_logits() -> None:
    metric = keras.metrics.BinaryCrossentropy()
    metric.update_state([[0.0], [1.0]], [[0.1], [0.6]], sample_weight=[[1.0], [3.0]])
    assert float(metric.result()) == pytest.approx(0.4094593)
    assert float(keras.metrics.BinaryAccuracy(threshold=0.0)([1, 0, 1], [2.0, -1.0, 0.2])) == 1.0
