"""The way of the data: what came in → checked arrays → batches on the device → steps; seen from a training's calls."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

import nnkit
from nnkit import keras, nn
from nnkit.sklearn import NeuralClassifier
from nnkit.utils.data import DataLoader, TensorDataset

X = np.linspace(-1.0, 1.0, 24, dtype=np.float32).reshape(6, 4)
LABELS = np.array([0, 1, 2, 0, 1, 2])
FOLDER = str(Path(nnkit.training.__file__).parent)
#: Module -> the stage that its code belongs to.
STAGES = {
    "kinds": "kinds",
    "door": "door", "inputs": "door", "targets": "door", "sample_weights": "door",
    "sources": "sources", "streamed": "sources",
    "steps": "steps",
}  # fmt: skip
MAKING = {"__init__", "__post_init__", "<module>", "prepare", "_lay_out", "reset"}  # of objects, before the data come


def stages_of(call: Callable[[], Any]) -> list[str]:
    """The stages of the way whose code ``call`` runs, in this order, each as often as it begins anew."""
    found: list[str] = []

    def see(frame: Any, event: str, argument: Any) -> None:
        path, function = Path(frame.f_code.co_filename), frame.f_code.co_qualname.split(".")
        stage = STAGES.get(path.stem) if str(path.parent) == FOLDER and MAKING.isdisjoint(function) else None
        if event == "call" and stage is not None and found[-1:] != [stage]:
            found.append(stage)

    sys.setprofile(see)
    try:
        call()
    finally:
        sys.setprofile(None)
    return found


def fit(x: Any, y: Any = None, **options: Any) -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    model.fit(x, y, loss="cross_entropy", verbose=0, **options)


def with_two_inputs() -> Any:
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    model = keras.Model([a, b], keras.layers.Dense(3)(keras.layers.Concatenate()([a, b])))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.predict([X, X])
    return model


def tensors() -> TensorDataset:
    return TensorDataset(nnkit.tensor(X), nnkit.tensor(LABELS))


LATER = ["door", "sources", "steps"]
ONCE = ["kinds", *LATER]
#: What is trained on -> the training, and the stages that its data go through.
TRAININGS: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "ndarray": (lambda: fit(X, LABELS), ONCE),
    "list": (lambda: fit(X.tolist(), LABELS.tolist()), ONCE),
    "Tensor": (lambda: fit(nnkit.tensor(X), nnkit.tensor(LABELS)), ONCE),
    "DataFrame": (lambda: fit(pandas.DataFrame(X), pandas.Series(LABELS)), ONCE),
    "Dataset of tensors": (lambda: fit(tensors()), ONCE),
    "weights": (lambda: fit(X, LABELS, sample_weight=np.ones(6), class_weight="balanced"), ONCE),
    "a share for validation": (lambda: fit(X, LABELS, validation_split=0.5), ONCE),
    "data for validation": (lambda: fit(X, LABELS, validation_data=(X, LABELS)), ["kinds", "door", "sources", *ONCE]),
    "an estimator": (lambda: NeuralClassifier(nn.Linear(4, 3), max_epochs=1).fit(X, LABELS), ONCE),
    "a loader": (lambda: fit(DataLoader(tensors(), batch_size=3)), ["kinds", *LATER, *LATER]),
    "a generator": (lambda: fit(iter([(X, LABELS)] * 2)), ["kinds", *LATER, *LATER]),
    "one to evaluate on": (lambda: nn.Linear(4, 3).evaluate(X, LABELS, loss="cross_entropy"), ONCE),
    "inputs alone": (lambda: nn.Linear(4, 3).predict(X), ["kinds", "door", "sources"]),
}


@pytest.mark.parametrize("what", TRAININGS)
def test_data_go_through_the_stages_once_and_in_order(what: str, device: str) -> None:
    training, expected = TRAININGS[what]
    assert stages_of(training) == expected


def test_several_inputs_of_a_keras_model_go_the_same_way(device: str) -> None:
    model = with_two_inputs()
    assert stages_of(lambda: model.fit([X, X], LABELS, verbose=0)) == ONCE
    assert stages_of(lambda: model.fit({"a": X, "b": X}, LABELS, verbose=0)) == ONCE
