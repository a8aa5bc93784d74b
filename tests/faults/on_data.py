"""Bad input: what is not fit to be trained on, predicted from or read as a data set."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faults.models import CLASSES, LABELS, NUMBERS, VALUES, X, classifier, regression, seeded, weights
from faults.table import fault, waits

import nnkit
from nnkit import nn
from nnkit.errors import DataError, DivergenceError, DtypeError, LabelError, ShapeError
from nnkit.training import LambdaCallback, last_history


def with_value(array: np.ndarray, place: Any, value: float) -> np.ndarray:
    """A copy with one element changed."""
    changed = np.array(array)
    changed[place] = value
    return changed


def refuses(error: type[Exception], message: str, x: Any, y: Any, model: Any = classifier, **options: Any) -> None:
    """``fit`` raises that, and neither the model nor the user's array is changed."""
    net = model()
    before = weights(net), np.asarray(x).tobytes()
    with pytest.raises(error, match=message):
        net.fit(x, y, **{**(CLASSES if model is classifier else NUMBERS), **options})
    assert (weights(net), np.asarray(x).tobytes()) == before


@fault(10, "NaN or infinity in x", "DataError: how many, and the first by row and column", "the model")
def nan_in_x(folder: Path, patch: pytest.MonkeyPatch) -> None:
    refuses(
        DataError, "x holds 1 value .*: the first, nan, is in row 3, column 1", with_value(X, (3, 1), np.nan), LABELS
    )
    refuses(
        DataError, "x holds 1 value .*: the first, inf, is in row 0, column 0", with_value(X, (0, 0), np.inf), LABELS
    )
    refuses(DataError, "x of validation_data holds", X, LABELS, validation_data=(with_value(X, (3, 1), np.nan), LABELS))


@fault(11, "NaN or infinity in y; NaN or negative weights, or only weights of 0", "DataError", "the model")
def nan_in_y(folder: Path, patch: pytest.MonkeyPatch) -> None:
    for value in (np.nan, np.inf):
        refuses(DataError, "y holds 1 value", X, with_value(VALUES, (2, 0), value), regression)
    ones = np.ones(40)
    refuses(DataError, "sample_weight holds 1 value .* NaN", X, LABELS, sample_weight=with_value(ones, 5, np.nan))
    refuses(DataError, "sample_weight is 0 for every sample", X, LABELS, sample_weight=0.0 * ones)
    refuses(DataError, "sample_weight holds 1 negative weight", X, LABELS, sample_weight=with_value(ones, 5, -1.0))


@fault(
    12, "the loss turns NaN at a step", "DivergenceError: epoch, step, rate, first module", "the last finite weights"
)
def divergence(folder: Path, patch: pytest.MonkeyPatch) -> None:
    model = classifier()
    optimizer = nnkit.optim.SGD(model.parameters(), lr=1e30)
    with pytest.raises(DivergenceError, match=r"at epoch \d+, step \d+ \(learning rate 1e\+30\)"):
        model.fit(X, LABELS, optimizer=optimizer, epochs=9, batch_size=8, **CLASSES)
    assert all(np.isfinite(parameter.detach().numpy()).all() for parameter in model.parameters())
    history = last_history(model)
    assert history is not None and history.stopped_by == "DivergenceError"


@fault(13, "float64 numbers that float32 does not hold", "DataError before they become infinite", "the model")
def overflow(folder: Path, patch: pytest.MonkeyPatch) -> None:
    refuses(DataError, "too large for the model's float32", with_value(X.astype(np.float64), (1, 1), 1e300), LABELS)


@fault(14, "x of 0, 1 or 3 dimensions for a dense layer", "ShapeError with the reshape to write", "the model")
def dimensions(folder: Path, patch: pytest.MonkeyPatch) -> None:
    refuses(ShapeError, "x is a single number", np.float32(1), LABELS)
    refuses(ShapeError, r"write x.reshape\(1, -1\)", X[0], LABELS[:4])
    refuses(ShapeError, r"write x.reshape\(len\(x\), -1\)", X.reshape(40, 2, 2), LABELS)


@fault(15, "another number of features when predicting", "ShapeError names both numbers", "the model")
def features(folder: Path, patch: pytest.MonkeyPatch) -> None:
    model = classifier()
    model.fit(X, LABELS, **CLASSES)
    with pytest.raises(ShapeError, match=r"x has shape \(40, 3\); .* expects 4 features"):
        model.predict(X[:, :3])


@fault(16, "x and y of different lengths", "DataError names both", "the model")
def lengths(folder: Path, patch: pytest.MonkeyPatch) -> None:
    refuses(DataError, "lengths differ: x has 40 samples, y has 39", X, LABELS[:-1])


@fault(17, "y (n,) where the output is (n, 1)", "ShapeError with the fix; never a broadcast", "the model")
def broadcast(folder: Path, patch: pytest.MonkeyPatch) -> None:
    refuses(ShapeError, r"write y.reshape\(-1, 1\)", X, VALUES[:, 0], regression)


@fault(18, "labels that are negative, too large, floats, text, or in a column", "LabelError or ShapeError", "the model")
def labels(folder: Path, patch: pytest.MonkeyPatch) -> None:
    refuses(LabelError, "1 label outside 0 to 2: the first, -1, is in row 4", X, with_value(LABELS, 4, -1))
    refuses(LabelError, "outside 0 to 2: the first, 3", X, LABELS + 1)
    refuses(LabelError, "the first, 9223372036854775809,", X, with_value(LABELS.astype(np.uint64), 0, 2**63 + 1))
    refuses(LabelError, "class labels are integers", X, LABELS.astype(np.float32))
    refuses(LabelError, "holds text", X, np.array(list("abc"))[LABELS])
    refuses(ShapeError, "expects one class label per sample", X, LABELS.reshape(-1, 1))
    classifier().fit(X, np.eye(3)[LABELS], **CLASSES)
    classifier().fit(X, LABELS > 0, **CLASSES)


@fault(19, "labels of one class only", "it trains, and predicts that class")
def one_class(folder: Path, patch: pytest.MonkeyPatch) -> None:
    model = seeded()
    model.fit(X, np.zeros(40, np.int64), epochs=40, optimizer=nnkit.optim.Adam(model.parameters(), lr=0.05), **CLASSES)
    assert (model.predict(X).argmax(axis=1) == 0).all()


@fault(20, "0 samples, 0 features, 1 sample, empty batches", "DataError; works; skipped after a warning", "never NaN")
def emptiness(folder: Path, patch: pytest.MonkeyPatch) -> None:
    refuses(DataError, "x has 0 samples", X[:0], LABELS[:0])
    refuses(DataError, "x has 0 features", X[:, :0], LABELS)
    assert np.isfinite(classifier().fit(X[:1], LABELS[:1], **CLASSES).history["loss"]).all()
    batches = [(X[:8], LABELS[:8]), (X[:0], LABELS[:0]), (X[8:], LABELS[8:])]
    with pytest.warns(UserWarning, match="batch 1 is empty and was skipped"):
        assert np.isfinite(classifier().fit(batches, **CLASSES).history["loss"]).all()


@fault(21, "batch sizes of 0, less, more than the data, or no integer", "ValueError or TypeError; cut after a warning")
def batch_sizes(folder: Path, patch: pytest.MonkeyPatch) -> None:
    refuses(ValueError, "batch_size must be at least 1, got 0", X, LABELS, batch_size=0)
    refuses(ValueError, "batch_size must be at least 1, got -1", X, LABELS, batch_size=-1)
    refuses(TypeError, "batch_size must be an integer", X, LABELS, batch_size=2.5)
    with pytest.warns(UserWarning, match="batch_size 50 is larger than the 40 training samples"):
        classifier().fit(X, LABELS, batch_size=50, **CLASSES)


#: The same numbers in memory of another kind.
LAYOUTS = {
    "fortran": np.asfortranarray(X),
    "reversed": X[::-1, ::-1].copy()[::-1, ::-1],
    "strided": np.repeat(np.repeat(X, 2, axis=0), 2, axis=1)[::2, ::2],
    "byte-swapped": X.astype(">f4"),
    "unaligned": np.frombuffer(b"x" + X.tobytes(), np.uint8)[1:].view(np.float32).reshape(X.shape),
    "float64": X.astype(np.float64),
    "a list": X.tolist(),
}  # fmt: skip


@fault(22, "arrays of any layout, byte order or access", "as of a plain copy; masked ones and matrices are refused",
       "the user's arrays", promise=6)  # fmt: skip
def layouts(folder: Path, patch: pytest.MonkeyPatch) -> None:
    X.tofile(folder / "x")
    read_only = X.copy()
    read_only.flags.writeable = False
    kinds = {**LAYOUTS, "read-only": read_only, "memory map": np.memmap(folder / "x", np.float32, "r", shape=X.shape)}
    expected = seeded()
    expected.fit(X, LABELS, seed=1, **CLASSES)
    for name, x in kinds.items():
        before = np.array(x)
        model = seeded()
        model.fit(x, LABELS, seed=1, **CLASSES)
        assert weights(model) == weights(expected), name
        assert np.array(x).tobytes() == before.tobytes(), name
    broadcasted = np.broadcast_to(X[:1], X.shape)
    assert seeded().predict(broadcasted).tobytes() == seeded().predict(np.array(broadcasted)).tobytes()
    refuses(TypeError, "is a masked array", np.ma.masked_array(X), LABELS)
    refuses(TypeError, "is a numpy.matrix", X.view(np.matrix), LABELS)


@fault(23, "objects, text, dates, complex numbers, half and long floats", "DtypeError with advice; or cast", promise=5)
def dtypes(folder: Path, patch: pytest.MonkeyPatch) -> None:
    for kind, advice in (
        ("c8", "use .real"),
        ("M8[s]", "convert it to numbers"),
        ("U3", "convert"),
        (object, "numeric"),
    ):
        refuses(DtypeError, advice, np.zeros((40, 4)).astype(kind), LABELS)
    for cast in (np.float16, np.float64, np.longdouble, np.int8, np.bool_):
        model = classifier()
        model.fit(X.astype(cast), LABELS, **CLASSES)
        assert {str(parameter.dtype) for parameter in model.parameters()} == {"float32"}
    double = classifier().double()
    double.fit(X, LABELS, **CLASSES)
    assert double.predict(X).dtype == np.float64


@fault(24, "y is a view of x; training and validation data are one array", "as with copies", "the arrays", promise=6)
def aliases(folder: Path, patch: pytest.MonkeyPatch) -> None:
    results = []
    for copy in (False, True):
        x = X.copy()
        y = x[:, :1].copy() if copy else x[:, :1]
        nnkit.manual_seed(0)
        model = regression()
        history = model.fit(x, y, validation_data=(x.copy() if copy else x, y), epochs=3, seed=1, **NUMBERS)
        assert x.tobytes() == X.tobytes()
        results.append((weights(model), repr(history.history)))
    assert results[0] == results[1]


@fault(25, "the user changes an array while fit runs", "the batches are of the array as it was", "the training")
def changed_meanwhile(folder: Path, patch: pytest.MonkeyPatch) -> None:
    results = []
    for spoil in (False, True):
        x, model = X.copy(), seeded()
        after = LambdaCallback(on_epoch_end=lambda epoch, logs, x=x, spoil=spoil: x.fill(1e6) if spoil else None)
        model.fit(x, LABELS, epochs=4, seed=1, callbacks=[after], **CLASSES)
        results.append(weights(model))
    assert results[0] == results[1]


def pairs(count: int, wrong: Any = None) -> Iterator[Any]:
    for number in range(count):
        yield wrong if wrong is not None and number == 3 else (X[:8], LABELS[:8])


def failing_pairs() -> Iterator[Any]:
    yield X[:8], LABELS[:8]
    raise KeyError("mine")


@fault(26, "a generator that ends early, changes shape, raises, or never ends", "warning, or an error with the batch")
def generators(folder: Path, patch: pytest.MonkeyPatch) -> None:
    with pytest.warns(UserWarning, match="the data ended after 3 of 5 steps"):
        classifier().fit(pairs(3), steps_per_epoch=5, epochs=2, **CLASSES)
    with pytest.raises(ShapeError, match="x of batch 3 has rows of shape"):
        classifier().fit(pairs(5, (X[:8, :3], LABELS[:8])), **CLASSES)
    with pytest.raises(DataError, match="the data raised KeyError at batch 1: 'mine'") as caught:
        classifier().fit(failing_pairs(), **CLASSES)
    assert isinstance(caught.value.__cause__, KeyError)
    endless = ((X[:8], LABELS[:8]) for _ in itertools.count())
    assert len(classifier().fit(endless, steps_per_epoch=3, epochs=2, **CLASSES).epoch) == 2
    nothing = ((X[:0], LABELS[:0]) for _ in itertools.count())
    with warnings.catch_warnings(), pytest.raises(DataError, match="empty batches in a row"):
        warnings.simplefilter("ignore")
        classifier().fit(nothing, steps_per_epoch=3, **CLASSES)


waits(
    15, "tables with named columns", lambda: not hasattr(nn.Module, "feature_names_in_"),
    "columns of a table that are reordered or renamed when predicting", "an error that names them",
)  # fmt: skip


@fault(21, "a batch of one row before a batch normalization", "ShapeError before the first step", "the model")
def a_batch_of_one_row(folder: Path, patch: pytest.MonkeyPatch) -> None:
    def normalized() -> nn.Module:
        return nn.Sequential(nn.Linear(X.shape[1], 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))

    lone = r"batch_size=13 leaves a batch of 1 of the 40 samples, and 1 \(BatchNorm1d\) needs more than 1 value"
    refuses(ShapeError, lone, X, LABELS, normalized, **CLASSES, batch_size=13)
    assert len(normalized().fit(X, LABELS, **CLASSES, batch_size=8).epoch) >= 1
