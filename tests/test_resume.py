"""A training that was interrupted anywhere and goes on is, to the bit, the training without a break."""

from __future__ import annotations

import itertools
import os
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import nn, optim
from nnkit.backends import Backend
from nnkit.errors import DataError, ModelFileError
from nnkit.optim.lr_scheduler import CosineAnnealingLR
from nnkit.training import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    RunCheckpoint,
    streamed,
)
from nnkit.utils.data import DataLoader, TensorDataset

_random = np.random.default_rng(0)
X = _random.normal(size=(40, 4)).astype(np.float32)
Y = _random.integers(0, 3, 40)
NAME = "run-{epoch}-{step}.safetensors"


def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches without an end, with random numbers of their own, as for augmentation."""
    noise = np.random.default_rng(7)
    for number in itertools.count():
        start = number * 8 % 40
        yield X[start : start + 8] + 0.01 * noise.normal(size=(8, 4)), Y[start : start + 8]


ARRAYS: dict[str, Any] = {"x": X, "y": Y, "batch_size": 8}
#: What is trained on, made anew for each process: name -> arguments of ``fit``.
DATA: dict[str, Any] = {
    "arrays": lambda: {**ARRAYS, "validation_split": 0.2},
    "arrays, seeded": lambda: {**ARRAYS, "validation_split": 0.2, "seed": 3},
    "arrays, weighted": lambda: {**ARRAYS, "class_weight": {0: 2.0}, "validation_data": (X, Y)},
    "arrays in parts": lambda: {**ARRAYS, "steps_per_epoch": 3, "validation_data": (X, Y)},
    "arrays, plain": lambda: {**ARRAYS, "compile": False, "validation_data": (X, Y)},
    "float16": lambda: {**ARRAYS, "precision": "float16", "validation_data": (X, Y)},
    "loader": lambda: {"x": DataLoader(TensorDataset(X, Y), 8, shuffle=True), "validation_data": (X, Y)},
    "loader, seeded": lambda: {"x": DataLoader(TensorDataset(X, Y), 8, True, generator=4), "validation_data": (X, Y)},
    "generator": lambda: {"x": batches(), "steps_per_epoch": 3, "validation_data": (X, Y)},
}  # fmt: skip


class Best(Callback):
    """A callback of a user that remembers something."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_epoch_end(self, epoch: int, logs: Any) -> None:
        self.seen.append(logs["loss"])
        for group in self.trainer.optimizer.param_groups:
            group["weight_decay"] = 0.001 * len(self.seen)

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state_dict(self, state: Any) -> None:
        self.seen = list(state["seen"])


class Run:
    """One process of a training: a model, an optimizer and callbacks made anew, whatever was drawn before."""

    def __init__(self, folder: Path, data: str, seed: int, resume: Any = None, **options: Any) -> None:
        nnkit.manual_seed(seed)
        self.model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Dropout(0.3), nn.Linear(6, 3))
        self.optimizer = optim.Adam(self.model.parameters(), lr=0.02)
        self.stop = EarlyStopping(patience=3)
        self.best = ModelCheckpoint(folder / "best.safetensors", save_best_only=True)
        schedule = CosineAnnealingLR(self.optimizer, 30)
        own: list[Callback] = [
            RunCheckpoint(folder / NAME, every=2), self.stop, LearningRateScheduler(schedule, by="batch"), Best(),
            ReduceLROnPlateau(patience=0), self.best,
        ]  # fmt: skip
        self.seeded = "seed" in DATA[data]()
        given = {"epochs": 4, "metrics": ["accuracy", "auc"], "verbose": 0, "callbacks": own} | DATA[data]() | options
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "the data ended after")
            self.history = self.model.fit(
                loss="cross_entropy", optimizer=self.optimizer, resume=resume, **given
            )  # fmt: skip

    def result(self) -> dict[str, Any]:
        """Everything that must be the same, to the bit."""
        state = self.optimizer.state_dict()
        return {
            "weights": [parameter.detach().numpy().tobytes() for parameter in self.model.parameters()],
            "optimizer": [t.numpy().tobytes() for entry in state["state"].values() for t in entry.values()],
            "options": state["param_groups"],
            "history": (self.history.epoch, repr(self.history.history), self.history.stopped_by),
            "early stopping": (self.stop.best, self.stop.best_epoch, self.stop.stopped_epoch),
            "best": self.best.best,
            "next numbers": None if self.seeded else nnkit.rand(4).tolist(),  # a seed's stream ends with its fit
        }


@pytest.mark.parametrize("data", DATA)
def test_a_training_goes_on_to_the_bit_from_every_step_and_epoch(tmp_path: Path, device: str, data: str) -> None:
    whole = Run(tmp_path / "whole", data, seed=1).result()
    names = sorted(os.listdir(tmp_path / "whole"))
    names.remove("best.safetensors")
    assert len(names) >= 8 and any(not name.endswith("-0.safetensors") for name in names)
    # Every one of them on the first device, a few on the others.
    for name in names if device == "numba" else names[1::4]:
        resumed = Run(tmp_path / "resumed", data, seed=99, resume=tmp_path / "whole" / name).result()
        differing = [part for part in whole if resumed[part] != whole[part]]
        assert not differing, (name, differing)


def test_a_training_that_ctrl_c_ended_goes_on_to_the_bit(tmp_path: Path, device: str) -> None:
    def run(stop_at: int | None, resume: Any = None) -> tuple[list[bytes], str]:
        nnkit.manual_seed(0 if resume is None else 9)
        model = nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.3), nn.Linear(6, 3))
        press = LambdaCallback(
            on_batch_begin=lambda step: step == stop_at and signal.raise_signal(signal.SIGINT)  # type: ignore[arg-type]
        )
        history = fit(model, "adam", callbacks=[RunCheckpoint(tmp_path / "run"), press], resume=resume)
        return [parameter.detach().numpy().tobytes() for parameter in model.parameters()], repr(history.history)

    whole = run(None)
    (tmp_path / "run").unlink()
    with pytest.raises(KeyboardInterrupt):
        run(3)
    assert nnkit.load(tmp_path / "run")["extra"]["run"]["step"] == 4
    assert run(None, tmp_path / "run") == whole


def test_data_that_stay_on_the_host_go_on_to_the_bit(
    tmp_path: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if device == "strict":
        pytest.skip("no backend of this kind streams")
    monkeypatch.setattr(Backend, "keeps", lambda self, size: False)
    monkeypatch.setattr(streamed, "WINDOW", 600)
    for data in ("arrays", "arrays in parts", "arrays, plain"):
        whole = Run(tmp_path / data, data, seed=1).result()
        for name in sorted(path.name for path in (tmp_path / data).glob("run-*"))[1::3]:
            assert Run(tmp_path / "resumed", data, seed=99, resume=tmp_path / data / name).result() == whole, name


def test_a_training_that_was_stopped_stays_so(tmp_path: Path, device: str) -> None:
    options = {
        "epochs": 30,
        "callbacks": [RunCheckpoint(tmp_path / "run"), EarlyStopping("loss", patience=1, mode="max")],
    }
    first = Run(tmp_path, "arrays", 1, **options)
    again = Run(tmp_path, "arrays", 2, resume=tmp_path / "run", **options)
    assert first.history.epoch == again.history.epoch == [0, 1] and again.history.stopped_by == "EarlyStopping"
    assert again.result()["weights"] == first.result()["weights"]


def shorter(**changes: Any) -> dict[str, Any]:
    return {"callbacks": [], "validation_split": 0.0, **changes}


#: What is otherwise the second time, and what the error says.
OTHER: dict[str, tuple[dict[str, Any], str]] = {
    "batch size": (shorter(batch_size=4), "batch_size is 8 in the checkpoint, 4 here"),
    "rows": (shorter(x=X[:30], y=Y[:30]), r"x has shape \[40, 4\] in the checkpoint, \[30, 4\] here"),
    "numbers": (shorter(x=X + 1), "x holds other numbers than in the checkpoint"),
    "labels": (shorter(y=Y[::-1]), "y holds other numbers"),
    "weights": (shorter(sample_weight=np.ones(40)), "sample_weight is absent in the checkpoint, there here"),
    "order": (shorter(shuffle=False), "shuffle is True in the checkpoint, False here"),
    "seed": (shorter(seed=4), "seed is None in the checkpoint, 4 here"),
    "validation": (shorter(validation_data=(X, Y)), "x of validation_data is absent in the checkpoint, there here"),
    "loss": (shorter(loss="nll"), "loss is 'CrossEntropyLoss' in the checkpoint, 'NLLLoss' here"),
    "metrics": (shorter(metrics=[]), "metrics is 'loss, accuracy' in the checkpoint, 'loss' here"),
    "clipping": (shorter(clip_norm=1.0), "clip_norm is None in the checkpoint, 1.0 here"),
    "precision": (shorter(precision="bfloat16"), "precision is None in the checkpoint, 'bfloat16' here"),
    "callbacks": (shorter(callbacks=[EarlyStopping("loss")]), r"\[\] in the checkpoint, \['EarlyStopping'\] here"),
    "a loader": (
        shorter(x=DataLoader(TensorDataset(X, Y), 8), y=None, batch_size=None), "x is there in the checkpoint",
    ),
}  # fmt: skip


def fit(model: nn.Module, optimizer: Any, **options: Any) -> Any:
    given = {**ARRAYS, "loss": "cross_entropy", "metrics": ["accuracy"], "epochs": 3, "verbose": 0} | options
    return model.fit(optimizer=optimizer, **given)


def classifier(hidden: int = 6) -> nn.Module:
    return nn.Sequential(nn.Linear(4, hidden), nn.Tanh(), nn.Linear(hidden, 3))


@pytest.mark.parametrize("change", OTHER)
def test_another_training_is_refused_and_changes_nothing(tmp_path: Path, change: str) -> None:
    options, message = OTHER[change]
    fit(classifier(), "sgd", epochs=1, callbacks=[RunCheckpoint(tmp_path / "run")])
    model = classifier()
    before = [parameter.tolist() for parameter in model.parameters()]
    with pytest.raises(ModelFileError, match=message):
        fit(model, "sgd", resume=tmp_path / "run", **options)
    assert [parameter.tolist() for parameter in model.parameters()] == before


@pytest.mark.parametrize(
    ("model", "optimizer", "message"),
    [
        (classifier, "adam", "optimizer is 'SGD' in the checkpoint, 'Adam' here"),
        (lambda: classifier(7), "sgd", "does not fit Sequential; nothing was loaded"),
        (lambda: classifier().double(), "sgd", "dtype is 'float32' in the checkpoint, 'float64' here"),
    ],
)
def test_another_model_is_refused(tmp_path: Path, model: Any, optimizer: str, message: str) -> None:
    fit(classifier(), "sgd", epochs=1, callbacks=[RunCheckpoint(tmp_path / "run")])
    with pytest.raises(ModelFileError, match=message):
        fit(model(), optimizer, resume=tmp_path / "run")


def test_another_device_costs_a_warning(tmp_path: Path) -> None:
    fit(classifier().to("numpy"), "sgd", epochs=1, callbacks=[RunCheckpoint(tmp_path / "run")])
    with pytest.warns(UserWarning, match="goes on elsewhere .device numpy → strict.*no longer to the bit"):
        history = fit(classifier().to("strict"), "sgd", resume=tmp_path / "run")
    assert history.epoch == [0, 1, 2]


def test_another_loader_is_refused(tmp_path: Path) -> None:
    def loader(x: np.ndarray = X, size: int = 8) -> Any:
        return {"x": DataLoader(TensorDataset(x, Y), size), "y": None, "batch_size": None}

    fit(classifier(), "sgd", epochs=1, callbacks=[RunCheckpoint(tmp_path / "run")], **loader())
    for other, message in (
        (loader(size=10), "batches is 5 in the checkpoint, 4 here\n  batch_size is 8 in the checkpoint, 10 here"),
        (loader(X + 1), "tensor 0 of x holds other numbers than in the checkpoint"),
    ):
        with pytest.raises(ModelFileError, match=message):
            fit(classifier(), "sgd", resume=tmp_path / "run", **other)


def test_data_that_are_not_the_same_again_are_noticed(tmp_path: Path) -> None:
    def loader(start: float) -> Any:
        return ((X[i : i + 8] + start, Y[i : i + 8]) for i in range(0, 40, 8))

    options: dict[str, Any] = {"y": None, "batch_size": None, "epochs": 1}
    fit(classifier(), "sgd", x=loader(0.0), callbacks=[RunCheckpoint(tmp_path / NAME, every=2)], **options)
    path = tmp_path / NAME.format(epoch=0, step=2)
    fit(classifier(), "sgd", x=loader(0.0), resume=path, **options)
    with pytest.raises(DataError, match="batch 1 is another than before the checkpoint"):
        fit(classifier(), "sgd", x=loader(1.0), resume=path, **options)
    with pytest.raises(DataError, match="the data end after 1 batches; 2 were read"):
        fit(classifier(), "sgd", x=itertools.islice(loader(0.0), 1), resume=path, **options)


def test_what_is_no_training_is_refused(tmp_path: Path) -> None:
    model = classifier()
    nnkit.save_checkpoint(tmp_path / "checkpoint", model)
    model.save(tmp_path / "model")
    for name in ("checkpoint", "model"):
        with pytest.raises(ModelFileError, match=r"holds no training; .*RunCheckpoint"):
            fit(model, "sgd", resume=tmp_path / name)
    with pytest.raises(FileNotFoundError):
        fit(model, "sgd", resume=tmp_path / "none")
    fit(model, "sgd", callbacks=[RunCheckpoint(tmp_path / "run")])
    with pytest.raises(ValueError, match="initial_epoch=1 and resume were both given"):
        fit(model, "sgd", resume=tmp_path / "run", initial_epoch=1)
    with pytest.raises(ModelFileError, match="are beyond the 2 epochs"):
        fit(model, "sgd", resume=tmp_path / "run", epochs=2)
    assert nnkit.load_checkpoint(tmp_path / "run", classifier()).optimizer_state is not None


def test_rows_of_a_log_that_are_run_again_are_replaced(tmp_path: Path) -> None:
    def run(**options: Any) -> None:
        callbacks = [RunCheckpoint(tmp_path / NAME), CSVLogger(tmp_path / "log.csv")]
        nnkit.manual_seed(0)
        fit(classifier(), "sgd", callbacks=callbacks, **options)

    run()
    whole = (tmp_path / "log.csv").read_text()
    run(resume=tmp_path / NAME.format(epoch=1, step=0))
    assert (tmp_path / "log.csv").read_text() == whole and whole.count("\n") == 4


# ---- how many are kept ------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["net-{epoch}-{loss:.3f}.safetensors", "{epoch:03d}/net.safetensors"])
def test_keep_last_knows_the_files_of_earlier_runs(tmp_path: Path, pattern: str) -> None:
    others = ["net-best-0.1.safetensors", "net-1-0.500.safetensors.bak", "best/net.safetensors"]
    (tmp_path / "best").mkdir()
    for name in others:
        (tmp_path / name).write_bytes(b"mine")
    for _ in range(3):
        keeper = ModelCheckpoint(f"{tmp_path}/{pattern}", keep_last=2)
        fit(classifier(), "sgd", callbacks=[keeper])
    left = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert left - set(others) == {str(p.relative_to(tmp_path)) for p in keeper.saved} and len(keeper.saved) == 2
    assert set(others) < left


def test_fields_of_a_runs_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has a field 'loss'; known: epoch, step"):
        fit(classifier(), "sgd", callbacks=[RunCheckpoint(f"{tmp_path}/{{loss}}")])
    with pytest.raises(ValueError, match="every must be at least 1, got 0"):
        RunCheckpoint(tmp_path / NAME, every=0)
