"""What a person may hand to ``fit`` and its sisters by mistake, in every place that takes data, and what they are told.

``python tests/refusals.py`` writes ``tests/reference/refusals.txt`` anew; ``tests/test_refusals.py`` compares with it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import scipy.sparse

import nnkit
from nnkit import keras, nn
from nnkit.utils.data import DataLoader, TensorDataset

STORED = Path(__file__).parent / "reference" / "refusals.txt"

X = np.linspace(-1.0, 1.0, 24, dtype=np.float32).reshape(6, 4)
LABELS = np.array([0, 1, 2, 0, 1, 2])
VALUES = np.linspace(0.0, 1.0, 6, dtype=np.float32).reshape(6, 1)
FRAME = {"age": [30.0, 40.0, 50.0, 60.0, 70.0, 80.0], "town": list("abcabc"), "left": [0, 1, 2, 0, 1, 2]}


def changed(array: np.ndarray, place: Any, value: Any) -> np.ndarray:
    copy = np.array(array)
    copy[place] = value
    return copy


# ---- what is wrong --------------------------------------------------------------------------------------------------

#: What is handed over -> a maker of it, for some are used up by reading.
WRONG: dict[str, Callable[[], Any]] = {
    # shapes
    "one row": lambda: X[0],
    "a number of numpy's": lambda: np.float32(3),
    "an array without axes": lambda: np.array(1.5),
    "three columns": lambda: X[:, :3],
    "five columns": lambda: np.ones((6, 5)),
    "one column": lambda: VALUES,
    "two columns": lambda: X[:, :2],
    "values without an axis": lambda: VALUES[:, 0],
    "pictures": lambda: X.reshape(6, 2, 2),
    "a last axis of one": lambda: X[..., None],
    "five rows": lambda: X[:5],
    "no rows": lambda: X[:0],
    "no columns": lambda: X[:, :0],
    "nothing in a list": list,
    "nothing in a list in a list": lambda: [[]],
    # element types
    "complex": lambda: X.astype(np.complex64),
    "objects": lambda: X.astype(object),
    "objects that are None": lambda: np.full((6, 4), None),
    "text": lambda: np.full((6, 4), "1.5"),
    "bytes": lambda: np.full((6, 4), b"1.5"),
    "dates": lambda: X.astype("datetime64[D]"),
    "times": lambda: X.astype("timedelta64[s]"),
    "fields": lambda: np.zeros(6, dtype=[("a", "<f8")]),
    "truth values": lambda: X > 0,
    "whole numbers": lambda: np.arange(24).reshape(6, 4),
    # values
    "NaN": lambda: changed(X, (3, 1), np.nan),
    "two that are no numbers": lambda: changed(changed(X, (2, 0), -np.inf), (5, 3), np.nan),
    "NaN in a flat array": lambda: changed(VALUES[:, 0], 4, np.nan),
    "NaN in a picture": lambda: changed(X.reshape(6, 2, 2), (1, 1, 0), np.nan),
    "beyond float32": lambda: changed(X.astype(np.float64), (2, 3), 1e39),
    "negative": lambda: -np.ones(6),
    "zeros": lambda: np.zeros(6),
    "labels from 1": lambda: LABELS + 1,
    "labels below 0": lambda: LABELS - 1,
    "labels as floats": lambda: LABELS.astype(np.float64),
    "labels in a column": lambda: LABELS[:, None],
    "labels beyond int64": lambda: changed(LABELS.astype(np.uint64), 2, 2**63 + 1),
    "labels as text": lambda: np.array(list("abcabc")),
    "rows of one hot": lambda: np.eye(3)[LABELS],
    "rows of one hot, too wide": lambda: np.eye(4)[LABELS],
    "rows of one hot, tripled": lambda: np.eye(3)[LABELS] * 3,
    "-1 and 1": lambda: np.sign(VALUES - 0.5),
    "twice the values": lambda: VALUES * 2,
    # things of Python's
    "None": lambda: None,
    "an object": lambda: Opaque(),
    "an int": lambda: 3,
    "a bool": lambda: True,
    "a str": lambda: "data.csv",
    "some bytes": lambda: b"12",
    "a function": lambda: np.ones,
    "a class": lambda: nn.Linear,
    "a module": lambda: nn.Linear(4, 3),
    "a path": lambda: Path("data.csv"),
    "a range": lambda: range(6),
    "a set": lambda: {1.0},
    "a dict of columns": lambda: {"a": X[:, 0], "b": X[:, 1]},
    "an empty dict": dict,
    "rows of unequal lengths": lambda: [[1.0, 2.0, 3.0, 4.0], [1.0, 2.0]],
    "a list of text": lambda: list("abcabc"),
    "a list of None": lambda: [None] * 6,
    "a list with one None": lambda: [1.0, None, 2.0, 3.0, 4.0, 5.0],
    "a tuple of two arrays": lambda: (X, LABELS),
    "a list of pairs": lambda: [(X, LABELS)],
    "a list of triples": lambda: [(X, LABELS, np.ones(6))],
    "a generator of arrays": lambda: (row for row in X),
    "a generator of pairs": lambda: ((X, LABELS) for _ in range(2)),
    "a generator of nothing": lambda: iter(()),
    "a generator that fails": lambda: failing(),
    # of other libraries
    "masked": lambda: np.ma.masked_equal(X, 1.0),
    "a matrix": lambda: X.view(np.matrix),
    "sparse rows": lambda: scipy.sparse.csr_matrix(X),
    "a sparse array": lambda: scipy.sparse.coo_array(X),
    "a frame": lambda: pandas.DataFrame(X, columns=list("abcd")),
    "a frame with text": lambda: pandas.DataFrame({"a": X[:, 0], "town": pandas.Series(list("uvwuvw"), dtype=object)}),
    "a frame with NaN": lambda: pandas.DataFrame(changed(X, (3, 1), np.nan), columns=list("abcd")),
    "a frame with dates": lambda: pandas.DataFrame({"day": np.arange(6).astype("datetime64[s]")}),
    "a frame of one column": lambda: pandas.DataFrame({"a": LABELS}),
    "a series": lambda: pandas.Series(VALUES[:, 0]),
    "a series of text": lambda: pandas.Series(list("abcabc"), dtype=object),
    "an index": lambda: pandas.Index(LABELS),
    # of nnkit's
    "a Tensor of three columns": lambda: nnkit.tensor(X[:, :3]),
    "a Tensor with NaN": lambda: nnkit.tensor(changed(X, (3, 1), np.nan)),
    "a Tensor without axes": lambda: nnkit.tensor(1.0),
    "a Tensor of whole numbers": lambda: nnkit.tensor(LABELS),
    "a Dataset of one tensor": lambda: TensorDataset(nnkit.tensor(X)),
    "a Dataset of two": lambda: TensorDataset(nnkit.tensor(X), nnkit.tensor(LABELS)),
    "a Dataset of three": lambda: TensorDataset(nnkit.tensor(X), nnkit.tensor(LABELS), nnkit.tensor(LABELS)),
    "a loader": lambda: DataLoader(TensorDataset(nnkit.tensor(X), nnkit.tensor(LABELS)), batch_size=3),
}


class Opaque:
    """An object of no kind that anybody knows."""

    def __repr__(self) -> str:
        return "Opaque()"


def failing() -> Iterator[Any]:
    yield X, LABELS
    raise OSError("the disk is gone")


# ---- where it is handed over ----------------------------------------------------------------------------------------


def scores() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


def number() -> nn.Module:
    return nn.Linear(4, 1)


def two_inputs() -> keras.Model:
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    model = keras.Model(
        [a, b], keras.layers.Dense(3, name="out")(keras.layers.Concatenate()([a, b])), name="two_inputs"
    )
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def two_outputs() -> keras.Model:
    a = keras.Input((4,), name="a")
    model = keras.Model(a, [keras.layers.Dense(1, name="p")(a), keras.layers.Dense(3, name="q")(a)], name="two_outputs")
    model.compile("sgd", ["mse", keras.losses.SparseCategoricalCrossentropy(from_logits=True)])
    return model


def reading() -> nn.Module:
    table = nnkit.preprocessing.Table().fit(FRAME, "left")
    return nn.Linear(table.width, 3).reads(table)


def fitted(model: Callable[[], nn.Module], loss: Any, x: Any, y: Any, **options: Any) -> None:
    model().fit(x, y, **({"loss": loss, "verbose": 0, "optimizer": "sgd", "steps_per_epoch": None} | options))


CE = "cross_entropy"
OWN_LOSS: Callable[[Any, Any], Any] = lambda output, y: (output - y).square().mean()  # noqa: E731

#: Place -> what is done with the wrong thing there.
PLACES: dict[str, Callable[[Any], Any]] = {
    "fit(x, labels)": lambda bad: fitted(scores, CE, bad, LABELS),
    "fit(x)": lambda bad: fitted(scores, CE, bad, None),
    "fit(X, y, cross_entropy)": lambda bad: fitted(scores, CE, X, bad),
    "fit(X, y, mse)": lambda bad: fitted(number, "mse", X, bad),
    "fit(X, y, own loss)": lambda bad: fitted(number, OWN_LOSS, X, bad),
    "fit(sample_weight)": lambda bad: fitted(scores, CE, X, LABELS, sample_weight=bad),
    "fit(validation_data)": lambda bad: fitted(scores, CE, X, LABELS, validation_data=bad),
    "fit(NaN, validation_data)": lambda bad: fitted(scores, CE, X / 0.0, LABELS, validation_data=bad),
    "fit(an item)": lambda bad: fitted(scores, CE, iter([(X, LABELS), bad]), None),
    "fit(x of a batch)": lambda bad: fitted(scores, CE, iter([(X, LABELS), (bad, LABELS)]), None),
    "fit(y of a batch)": lambda bad: fitted(scores, CE, iter([(X, LABELS), (X, bad)]), None),
    "evaluate(X, y)": lambda bad: scores().evaluate(X, bad, loss=CE),
    "predict(x)": lambda bad: scores().predict(bad),
    "a Table's model: fit(x, y)": lambda bad: fitted(reading, CE, bad, None),
    "a Table's model: fit(frame, y)": lambda bad: fitted(reading, CE, FRAME, bad),
    "Keras, two inputs: fit({a, b})": lambda bad: two_inputs().fit({"a": X, "b": bad}, LABELS, verbose=0),
    "Keras, two outputs: fit([V, y])": lambda bad: two_outputs().fit(X, [VALUES, bad], verbose=0),
}


# ---- what is said ---------------------------------------------------------------------------------------------------

#: What others say, or what differs from run to run.
OTHERS_WORDS = [(re.compile(r" at 0x[0-9a-f]+"), " at …"), (re.compile(r"setting an array element.*?part\."), "…")]


def said(place: str, wrong: str) -> str:
    """The error, or that there is none, behind the warnings before it; each on one line."""
    nnkit.manual_seed(0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            PLACES[place](WRONG[wrong]())
            told = "is taken"
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
    found = " | ".join([*(f"{type(w.message).__name__}: {w.message}" for w in caught), told])
    for pattern, instead in OTHERS_WORDS:
        found = pattern.sub(instead, found)
    return found.replace("\n", "⏎")


def told_in(place: str) -> dict[str, list[str]]:
    """What is said in a place -> of what."""
    found: dict[str, list[str]] = {}
    for wrong in WRONG:
        found.setdefault(said(place, wrong), []).append(wrong)
    return found


def stored() -> dict[str, dict[str, list[str]]]:
    """What was said when it was written down: place -> message -> of what."""
    found: dict[str, dict[str, list[str]]] = {}
    for section in STORED.read_text().removeprefix("## ").split("\n## "):
        place, *lines = section.splitlines()
        found[place] = {lines[i]: lines[i + 1].strip().split(" · ") for i in range(0, len(lines), 2)}
    return found


def write() -> None:
    """Write down what is said now."""
    lines: list[str] = []
    for place in PLACES:
        lines.append(f"## {place}")
        for message, wrongs in told_in(place).items():
            lines += [message, f"    {' · '.join(wrongs)}"]
    STORED.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    write()
