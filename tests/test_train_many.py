"""Networks trained together are those trained by themselves, to the bit: weights, buffers, histories."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import nn, tune
from nnkit.errors import DataError, UnknownNameError
from nnkit.training import EarlyStopping, LearningRateScheduler, ReduceLROnPlateau, TerminateOnNaN

stream = np.random.default_rng(0)
X = stream.standard_normal((70, 5)).astype(np.float32)
NUMBERS = np.stack([X[:, 0] * X[:, 1], X[:, 2]], axis=1).astype(np.float32)
CLASSES = (X[:, 0] + X[:, 1] > 0).astype(np.int64) + (X[:, 2] > 0.5)
SEEDS = [{"seed": seed} for seed in (3, 4, 5)]
RATES = [{"seed": 7, "lr": rate} for rate in (0.1, 0.01, 0.001)]


def perceptron(width: int = 8, dropout: float = 0.0, outputs: int = 2) -> nn.Module:
    return nn.Sequential(
        nn.Linear(5, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, width, activation="tanh"),
        nn.Dropout(dropout / 2), nn.Linear(width, outputs),
    )  # fmt: skip


def normed(momentum: float = 0.1) -> nn.Module:
    return nn.Sequential(
        nn.Linear(5, 6), nn.BatchNorm1d(6, momentum=momentum), nn.GELU(), nn.Linear(6, 6), nn.LayerNorm(6), nn.SiLU(),
        nn.Linear(6, 2),
    )  # fmt: skip


def classifier() -> nn.Module:
    return perceptron(outputs=3)


def frozen() -> nn.Module:
    model = perceptron()
    model[0].weight.requires_grad_(False)  # type: ignore[index]
    return model


class Residual(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(5, width), nn.Linear(width, width), nn.Linear(width, 2)

    def forward(self, x: Any) -> Any:
        h = self.first(x).relu()
        return self.last(h + self.second(h).sigmoid())


IMAGES = np.random.default_rng(5).normal(size=(70, 3, 8, 8)).astype(np.float32)


def images(width: int, *layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(width, 2))


class Signs(nnkit.optim.Optimizer):
    def __init__(self, params: Any, lr: float = 0.01) -> None:
        super().__init__(params, {"lr": lr})

    @nnkit.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(group["lr"] * p.grad.sign())


LABELS = {"y": CLASSES, "loss": "cross_entropy"}
#: Name -> how to build, the settings, what else, and whether the compiled device trains them together.
CASES: dict[str, tuple[Callable[..., nn.Module], list[dict[str, Any]], dict[str, Any], bool]] = {
    "seeds": (perceptron, SEEDS, {}, True),
    "rates": (perceptron, RATES, {}, True),
    "dropouts": (perceptron, [{"seed": k, "dropout": p} for k, p in enumerate((0.1, 0.5, 0.8))], {}, True),
    "no dropout is another shape": (perceptron, [{"dropout": p} for p in (0.0, 0.0, 0.5, 0.3)], {}, True),
    "widths": (perceptron, [{"width": w, "lr": r} for w in (4, 9) for r in (0.1, 0.01)], {}, True),
    "one of a width": (perceptron, [{"width": w} for w in (4, 9)], {}, False),
    "batches that fit": (perceptron, SEEDS, {"batch_size": 35}, True),
    "one batch": (perceptron, SEEDS, {"batch_size": 70}, True),
    "in order": (perceptron, RATES, {"shuffle": False}, True),
    "norms": (normed, SEEDS, {}, True),
    "momenta of a norm are shapes": (
        normed, [{"momentum": m, "seed": k} for m in (0.1, 0.3) for k in (0, 1)], {}, True,
    ),
    "labels": (classifier, RATES, {**LABELS, "metrics": ["accuracy"]}, True),
    "a metric of all rows": (
        lambda: perceptron(outputs=1), SEEDS,
        {"y": NUMBERS[:, :1] > 0, "loss": "bce_with_logits", "metrics": ["auc"]}, True,
    ),
    "weights": (
        classifier, SEEDS, {**LABELS, "class_weight": "balanced", "sample_weight": np.linspace(0.5, 1, 70)}, True,
    ),
    "validation": (classifier, RATES, {**LABELS, "validation_split": 0.3, "metrics": ["accuracy"]}, True),
    "validation data": (perceptron, SEEDS, {"validation_data": (X[:9], NUMBERS[:9])}, True),
    "frozen": (frozen, SEEDS, {}, True),
    "a module of one's own": (Residual, SEEDS, {}, True),
    "clipping": (perceptron, SEEDS, {"clip_norm": 0.1, "clip_value": 0.05}, True),
    "schedule": (
        perceptron, RATES, {"callbacks": [LearningRateScheduler(lambda epoch, rate: rate / (1 + epoch))]}, True,
    ),
    "plateau": (perceptron, RATES, {"callbacks": [ReduceLROnPlateau("loss", patience=1, min_delta=1.0)]}, True),
    "sgd": (perceptron, [{"momentum": m, "seed": k} for m in (0.0, 0.9) for k in (1, 2)], {"optimizer": "sgd"}, True),
    "nesterov": (
        perceptron, [{"lr": r, "momentum": m, "nesterov": True} for r, m in ((0.1, 0.5), (0.01, 0.9))],
        {"optimizer": "sgd"}, True,
    ),
    "adamw": (
        perceptron, [{"optimizer__weight_decay": d, "seed": 2} for d in (0.0, 0.1, 1.0)], {"optimizer": "adamw"}, True,
    ),
    "rmsprop": (
        perceptron, [{"lr": r, "alpha": a} for r, a in ((0.1, 0.9), (0.01, 0.5))], {"optimizer": "rmsprop"}, True,
    ),
    "optimizers": (perceptron, [{"optimizer": o, "seed": s} for o in ("adam", "sgd") for s in (0, 1)], {}, True),
    "a step of one's own": (perceptron, SEEDS, {"optimizer": Signs}, False),
    "folds": (perceptron, RATES, {"rows": [np.arange(0, 60), np.arange(10, 70), [*range(30), *range(40, 70)]]}, True),
    "folds in order": (perceptron, SEEDS, {"rows": [range(k, 40 + k) for k in range(3)], "shuffle": False}, True),
    "unequal folds": (perceptron, SEEDS, {"rows": [range(50), np.arange(70) < 60, None]}, False),
    "images": (lambda: images(128, nn.Conv2d(3, 8, 3, padding=1), nn.MaxPool2d(2)), SEEDS, {"x": IMAGES}, True),
    "images by tiles": (
        lambda: images(576, nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1)), SEEDS, {"x": IMAGES},
        True,
    ),
    "images by single places": (
        lambda: images(256, nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 4, 1)), SEEDS, {"x": IMAGES}, True,
    ),
    "images by groups": (
        lambda: images(6, nn.Conv2d(3, 6, 3, stride=2, groups=3), nn.AvgPool2d(2)), SEEDS, {"x": IMAGES}, True,
    ),
    "float64": (
        lambda: perceptron().double(), SEEDS, {"x": X.astype(np.float64), "y": NUMBERS.astype(np.float64)}, True,
    ),
}  # fmt: skip


def alone(build: Any, settings: list[Any], x: Any, y: Any, rows: Any = None, **same: Any) -> list[tune.Run]:
    found = []
    for number, setting in enumerate(settings):
        chosen = None if rows is None else rows[number]
        at = slice(None) if chosen is None else np.asarray(chosen)
        found.append(tune.train_one(build, setting, x[at], y[at], **same))
    return found


def numbers(model: nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}


def assert_equal(first: tune.Run, second: tune.Run, what: Any) -> None:
    assert first.history.history == second.history.history, what
    assert first.history.stopped_by == second.history.stopped_by, what
    ours, theirs = numbers(first.model), numbers(second.model)
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=f"{what}: {name}")


@pytest.mark.parametrize("case", CASES)
def test_each_is_what_it_would_be_alone(case: str, device: str) -> None:
    build, settings, same, together = CASES[case]
    same = {"x": X, "y": NUMBERS, "loss": "mse", "epochs": 3, "batch_size": 16, **same}
    runs = tune.train_many(build, settings, **same)
    for setting, run, one in zip(settings, runs, alone(build, settings, **same), strict=True):
        assert_equal(run, one, setting)
    if device == "numba":
        assert all(run.alone is None for run in runs) is together, [run.alone for run in runs]


def test_each_goes_on_from_where_it_stands(device: str) -> None:
    same = {"loss": "mse", "metrics": ["mae"], "epochs": 2, "batch_size": 16}
    run = tune.train_many(perceptron, RATES, X, NUMBERS, **same)[1]
    one = tune.train_one(perceptron, RATES[1], X, NUMBERS, **same)
    results = [model.evaluate(X, NUMBERS) for model in (run.model, one.model)]
    assert results[0] == results[1] and list(results[0]) == ["loss", "mae"]
    for model in (run.model, one.model):
        model.fit(X, NUMBERS, loss="mse", optimizer=None, epochs=2, seed=9, verbose=0)
    for first, second in zip(numbers(run.model).values(), numbers(one.model).values(), strict=True):
        np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(run.model.predict(X), one.model.predict(X))


def test_each_stops_by_itself(device: str) -> None:
    settings = [{"seed": 1, "lr": rate} for rate in (0.3, 0.003, 0.0)]
    same = {
        "loss": "mse", "epochs": 12, "batch_size": 16, "validation_data": (X[50:], NUMBERS[50:]),
        "callbacks": [EarlyStopping("val_loss", patience=2)],
    }  # fmt: skip
    runs = tune.train_many(perceptron, settings, X[:50], NUMBERS[:50], **same)  # type: ignore[arg-type]
    for setting, run in zip(settings, runs, strict=True):
        assert_equal(run, tune.train_one(perceptron, setting, X[:50], NUMBERS[:50], **same), setting)
    lengths = [len(history.epoch) for history in runs.histories]
    assert lengths[2] == 3 and len(set(lengths)) > 1
    assert same["callbacks"][0].best is None, "the callback that was given is nobody's"  # type: ignore[index]
    assert runs.best().model.evaluate(X[50:], NUMBERS[50:])["loss"] == pytest.approx(runs.best().value("val_loss"))
    assert runs.best().value("val_loss") == min(min(h.history["val_loss"]) for h in runs.histories)


def test_nan_in_one_does_not_touch_the_others(device: str) -> None:
    settings = [{"seed": 1, "lr": rate} for rate in (0.01, 1e30, 0.001)]
    same = {"loss": "mse", "epochs": 4, "batch_size": 16, "optimizer": "sgd"}
    runs = tune.train_many(perceptron, settings, X, NUMBERS, **same)  # type: ignore[arg-type]
    assert [error is None for error in runs.errors] == [True, False, True]
    assert "learning rate 1e+30" in str(runs.errors[1]) and runs.histories[1].stopped_by == "DivergenceError"
    assert all(np.isfinite(values).all() for values in numbers(runs.models[1]).values())
    for place in (0, 2):
        assert_equal(runs[place], tune.train_one(perceptron, settings[place], X, NUMBERS, **same), place)
    assert runs.best("loss") is not runs[1]
    with pytest.warns(UserWarning, match="1e\\+30"):
        forgiven = tune.train_many(perceptron, settings, X, NUMBERS, callbacks=[TerminateOnNaN()], **same)  # type: ignore[arg-type]
    assert forgiven.errors == [None] * 3 and forgiven.histories[1].stopped_by == "TerminateOnNaN"


def test_an_interrupt_leaves_every_network_usable() -> None:
    class Interrupting(nnkit.training.Callback):
        def on_epoch_end(self, epoch: int, logs: Any) -> None:
            if epoch == 1 and self.trainer.learning_rate == 0.01:
                raise KeyboardInterrupt

        def on_train_end(self) -> None:
            ended.append(self.trainer.learning_rate)

    ended: list[float] = []
    made: list[nn.Module] = []

    def build() -> nn.Module:
        made.append(perceptron())
        return made[-1]

    with pytest.raises(KeyboardInterrupt):
        tune.train_many(build, RATES, X, NUMBERS, loss="mse", epochs=5, callbacks=[Interrupting()])
    assert ended == [0.1, 0.01, 0.001] or ended == [0.1, 0.01]  # together, or one after the other
    for model in made[: len(ended)]:
        assert np.isfinite(model.predict(X)).all()
        model.fit(X, NUMBERS, loss="mse", verbose=0)


def test_what_one_program_cannot_train_says_why() -> None:
    class Counting(nn.Linear):
        def forward(self, x: Any) -> Any:
            np.random.default_rng()
            return super().forward(x)

    class Batches(nnkit.training.Callback):
        def on_batch_end(self, step: int, logs: Any) -> None:
            pass

    def reason(build: Any = perceptron, **same: Any) -> str:
        return str(tune.train_many(build, SEEDS, X, NUMBERS, loss="mse", **same)[0].alone)

    assert "no other network" in str(tune.train_many(perceptron, [{}], X, NUMBERS, loss="mse")[0].alone)
    with pytest.warns(UserWarning):
        assert "random" in reason(lambda: Counting(5, 2))
    assert "within epochs" in reason(callbacks=[Batches()])
    with pytest.raises(nnkit.errors.NnkitError):
        tune.train_many(perceptron, SEEDS, X, NUMBERS[:-1], loss="mse")


def test_bad_arguments_are_named() -> None:
    train = lambda *settings, build=perceptron, **same: tune.train_many(  # noqa: E731
        build, settings, X, NUMBERS, **{"loss": "mse", **same}
    )
    with pytest.raises(UnknownNameError, match="widht"):
        train({"widht": 3})
    with pytest.raises(UnknownNameError, match="beta"):
        train({"optimizer__beta": 3})
    with pytest.raises(UnknownNameError, match="adm"):
        train({}, optimizer="adm")
    with pytest.raises(TypeError, match="one of its own"):
        train({}, optimizer=nnkit.optim.SGD(perceptron().parameters()))
    one = perceptron()
    with pytest.raises(ValueError, match=r"networks 0 and 1 have one '.*' together; make new modules"):
        train({"seed": 1}, {"seed": 2}, build=lambda: one)
    with pytest.raises(TypeError, match="must return a Module"):
        train({}, build=lambda: 3)
    with pytest.raises(DataError, match="rows\\[1\\]"):
        train({}, {}, rows=[range(3), [70]])
    with pytest.raises(DataError, match="each of the 1 settings"):
        train({}, rows=[range(3), [60]])
    with pytest.raises(ValueError, match="validation_split"):
        train({}, rows=[range(3)], validation_split=0.5)
    with pytest.raises(UnknownNameError, match="recorded quantity"):
        train({}).best("val_loss")
    with pytest.raises(ValueError, match="lr must be at least 0"):
        train({"lr": -1.0})


def test_results() -> None:
    runs = tune.train_many(perceptron, RATES, X, NUMBERS, loss="mse", epochs=2)
    assert len(runs) == 3 and runs.settings == RATES and runs.models[0] is runs[0].model
    assert runs[1:].histories == runs.histories[1:] and runs[-1] is list(runs)[2]
    assert runs.best("loss").value("loss") == min(history.history["loss"][-1] for history in runs.histories)
    assert len(tune.train_many(perceptron, [], X, NUMBERS, loss="mse")) == 0
    with pytest.raises(ValueError, match="none of the 0"):
        runs[:0].best("loss")


def test_nothing_is_kept() -> None:
    runs = tune.train_many(perceptron, SEEDS, X, NUMBERS, loss="mse", epochs=2)
    gone = [weakref.ref(model) for model in runs.models]
    del runs
    gc.collect()
    assert [found() for found in gone] == [None] * 3


def test_more_networks_than_a_stage_has_calls() -> None:
    settings = [{"seed": seed} for seed in range(70)]
    runs = tune.train_many(perceptron, settings, X, NUMBERS, loss="mse", epochs=2)
    for place in (0, 61, 62, 69):
        assert runs[place].alone is None
        assert_equal(runs[place], tune.train_one(perceptron, settings[place], X, NUMBERS, loss="mse", epochs=2), place)
