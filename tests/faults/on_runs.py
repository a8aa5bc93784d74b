"""Faults between the steps of a training: it was ended, and goes on later, elsewhere, or with something else."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faults.models import CLASSES, LABELS, X, classifier, weights
from faults.mutations import mutated_bytes, mutations
from faults.table import fault

import nnkit
from nnkit import nn, optim
from nnkit.errors import ModelFileError
from nnkit.optim import lr_scheduler
from nnkit.training import EarlyStopping, LearningRateScheduler, RunCheckpoint


def train(path: Path, seed: int, resume: Any = None) -> dict[str, Any]:
    """A process of a training that saves itself at every step: all that must come out the same."""
    nnkit.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 5), nn.Dropout(0.3), nn.Linear(5, 3))
    optimizer, stop = optim.Adam(model.parameters(), lr=0.05), EarlyStopping(patience=2)
    schedule = LearningRateScheduler(lr_scheduler.ExponentialLR(optimizer, 0.97), by="batch")
    callbacks = [RunCheckpoint(path / "{epoch}-{step}", every=1), stop, schedule]
    options = {"batch_size": 9, "epochs": 3, "validation_data": (X, LABELS), "metrics": ["accuracy"], **CLASSES}
    history = model.fit(X, LABELS, optimizer=optimizer, callbacks=callbacks, resume=resume, **options)
    state = optimizer.state_dict()
    return {
        "weights": weights(model),
        "optimizer": [t.numpy().tobytes() for entry in state["state"].values() for t in entry.values()],
        "rates": state["param_groups"],
        "history": repr(history.history),
        "best": (stop.best, stop.best_epoch),
    }


@fault(38, "a training that ends after any step or epoch, and goes on in another process",
       "weights, optimizer, history and best so far are those of a training without a break, to the bit",
       promise=3)  # fmt: skip
def resumed(folder: Path, patch: pytest.MonkeyPatch) -> None:
    whole = train(folder / "whole", 1)
    names = sorted(os.listdir(folder / "whole"))
    assert len(names) == 18
    for number, name in enumerate(names):
        assert train(folder / "again", 50 + number, folder / "whole" / name) == whole, name


@fault(39, "another number of rows, batch size, element type or device when a training goes on",
       "refused with all that differs; the device by a warning that says what is lost", "the model")  # fmt: skip
def resumed_otherwise(folder: Path, patch: pytest.MonkeyPatch) -> None:
    classifier().to("numpy").fit(X, LABELS, optimizer="sgd", callbacks=[RunCheckpoint(folder / "run")], **CLASSES)
    options = {"optimizer": "sgd", "epochs": 2, "resume": folder / "run", **CLASSES}
    for x, model, more, message in (
        (X[:30], classifier(), {}, "x has shape"),
        (X + 1, classifier(), {}, "x holds other numbers"),
        (X, classifier(), {"batch_size": 5}, "batch_size is 32 in the checkpoint, 5 here"),
        (X, classifier().double(), {}, "dtype is 'float32' in the checkpoint, 'float64' here"),
    ):
        before = weights(model)
        with pytest.raises(ModelFileError, match=message):
            model.fit(x, LABELS[: len(x)], **options, **more)
        assert weights(model) == before
    with pytest.warns(UserWarning, match="device numpy → strict.*no longer to the bit"):
        classifier().to("strict").fit(X, LABELS, **options)


# ---- states that are damaged ------------------------------------------------------------------------------


def learned(kind: Any, **options: Any) -> tuple[list[Any], Any]:
    """Parameters, and an optimizer in two groups that has made two steps."""
    parameters = [nn.Parameter(nnkit.tensor([1.0, 2.0, 3.0])), nn.Parameter(nnkit.tensor([[1.0, 2.0], [3.0, 4.0]]))]
    optimizer = kind([{"params": parameters[:1], "lr": 0.1}, {"params": parameters[1:]}], **options)
    for _ in range(2):
        step(parameters, optimizer)
    return parameters, optimizer


def step(parameters: list[Any], optimizer: Any) -> None:
    optimizer.zero_grad()
    for parameter in parameters:
        (parameter * parameter).sum().backward()
    optimizer.step()


def shown(target: Any) -> str:
    """A state, to the bit."""
    return repr([shown_value(value) for value in target.state_dict().items()])


def shown_value(value: Any) -> Any:
    if isinstance(value, dict):
        return [(key, shown_value(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return [shown_value(item) for item in value]
    return value.numpy().tobytes() if isinstance(value, nnkit.Tensor) else value


OPTIMIZERS = [
    (optim.SGD, {"momentum": 0.9}), (optim.Adam, {"amsgrad": True}), (optim.RMSprop, {"centered": True}),
    (optim.Adagrad, {}),
]  # fmt: skip
SCHEDULES = [
    lambda o: lr_scheduler.StepLR(o, 2), lambda o: lr_scheduler.MultiStepLR(o, [2, 4]),
    lambda o: lr_scheduler.ExponentialLR(o, 0.9), lr_scheduler.LinearLR, lr_scheduler.PolynomialLR,
    lambda o: lr_scheduler.CosineAnnealingLR(o, 5), lr_scheduler.ReduceLROnPlateau,
    lambda o: lr_scheduler.OneCycleLR(o, max_lr=0.1, total_steps=10),
]  # fmt: skip


def load_or_refuse(target: Any, state: Any, name: str) -> bool:
    """Whether it was loaded; where not, nothing has changed."""
    before = shown(target)
    try:
        target.load_state_dict(state)
    except ModelFileError as error:
        assert "nothing was loaded" in str(error) or "state_dict must be" in str(error), error
        assert shown(target) == before, name
        return False
    return True


def damaged_states(every: int) -> int:
    """Load every so-manieth small change of each kind of state; what is loaded must then work."""
    count = 0
    for kind, options in OPTIMIZERS:
        parameters, optimizer = learned(kind, **options)
        for name, state in list(mutations(optimizer.state_dict()))[::every]:
            count += 1
            if load_or_refuse(optimizer, state, f"{kind.__name__}: {name}"):
                step(parameters, optimizer)
                parameters, optimizer = learned(kind, **options)
    for make in SCHEDULES:
        _, optimizer = learned(optim.SGD, momentum=0.9)
        for name, state in list(mutations(make(optimizer).state_dict()))[::every]:
            count += 1
            load_or_refuse(make(learned(optim.SGD, momentum=0.9)[1]), state, name)
    scaler, model = optim.GradScaler(), classifier()
    for target, states in ((scaler, mutations(scaler.state_dict())), (model, mutations(dict(model.state_dict())))):
        for name, state in list(states)[::every]:
            count += 1
            load_or_refuse(target, state, name)
    return count


@fault("state", "a state of an optimizer, a schedule, a scaler or a model that is damaged anywhere",
       "ModelFileError that names the keys, or it can be used", "the object, all of it")  # fmt: skip
def states(folder: Path, patch: pytest.MonkeyPatch) -> None:
    assert damaged_states(every=19) > 300


def damaged_files(folder: Path, count: int) -> None:
    """Read files of each kind with random damage."""
    model = classifier()
    model.save(folder / "model")
    model.fit(X, LABELS, callbacks=[RunCheckpoint(folder / "run")], **CLASSES)
    nnkit.save_checkpoint(folder / "checkpoint", model, optim.Adam(model.parameters()), extra={"epoch": 3})
    for name in ("model", "run", "checkpoint"):
        for content in mutated_bytes((folder / name).read_bytes(), count, seed=len(name)):
            (folder / "damaged").write_bytes(content)
            for read in (nnkit.load, nnkit.load_checkpoint):
                try:
                    read(folder / "damaged")
                except ModelFileError as error:
                    assert str(error)
    for content in mutated_bytes((folder / "run").read_bytes(), count, seed=9):
        (folder / "damaged").write_bytes(content)
        other = classifier()
        before = weights(other)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a device or a version that was damaged
                other.fit(X, LABELS, epochs=1, resume=folder / "damaged", **CLASSES)
        except ModelFileError:
            assert weights(other) == before


@fault(
    "file", "a file of a model or a training that is damaged anywhere", "ModelFileError, or it is read", "the process"
)
def damaged(folder: Path, patch: pytest.MonkeyPatch) -> None:
    damaged_files(folder, 40)
    assert np.isfinite(classifier().predict(X)).all()
