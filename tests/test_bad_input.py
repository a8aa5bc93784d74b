"""The door: what cannot be trained on is refused, in the same words on every device, and what can is left unchanged."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.sparse

import nnkit
from nnkit import nn
from nnkit.errors import DataError, DtypeError, LabelError, ShapeError
from nnkit.training import checked

X = np.linspace(-1.0, 1.0, 24, dtype=np.float32).reshape(6, 4)
LABELS = np.array([0, 1, 2, 0, 1, 2])
VALUES = np.linspace(0.0, 1.0, 6, dtype=np.float32).reshape(6, 1)


def classifier() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


def images() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 3))


def regression() -> nn.Module:
    return nn.Linear(4, 1)


def one_column() -> nn.Module:
    return nn.Linear(1, 1)


def flat_regression() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 1), nn.Flatten(0))


class Own(nn.Module):
    """A model whose first layer the door cannot see."""

    def __init__(self, answer: Callable[[nnkit.Tensor], Any] = lambda y: y) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.answer = answer

    def forward(self, x: nnkit.Tensor) -> Any:
        return self.answer(self.layer(x))


def pair() -> nn.Module:
    return Own(lambda y: (y, y))


def mean() -> nn.Module:
    return Own(lambda y: y.mean(dim=0))


def changed(array: np.ndarray, place: Any, value: float) -> np.ndarray:
    copy = np.array(array)
    copy[place] = value
    return copy


class Bad(NamedTuple):
    """What is wrong, the model, x, y, what comes and in which words; and how ``fit`` is called."""

    what: str
    model: Callable[[], nn.Module]
    x: Any
    y: Any
    error: type[Exception]
    message: str
    options: dict[str, Any] | None = None


MSE = {"loss": "mse"}
BCE = {"loss": "bce_with_logits"}
FIRST = "the model's first layer, Linear(in_features=4, out_features=8, bias=True), expects 4 features per sample"
NUMBERS = "convert it to numbers: x.astype(np.float32), or np.unique(x, return_inverse=True)[1] for labels"

# fmt: off
BAD = [
    # x against the model
    Bad("one row too few axes", classifier, X[0], LABELS, ShapeError,
        f"x has shape (4,); {FIRST}, shape (4, 4): write x.reshape(1, -1)"),
    Bad("a column without its axis", one_column, X[:, 0], VALUES, ShapeError,
        "x has shape (6,); the model's first layer, Linear(in_features=1, out_features=1, bias=True), expects 1 "
        "feature per sample, shape (6, 1): write x.reshape(-1, 1)", MSE),
    Bad("feature count", classifier, np.ones((6, 5)), LABELS, ShapeError,
        f"x has shape (6, 5); {FIRST}, shape (6, 4)"),
    Bad("images to a Linear", classifier, X.reshape(6, 2, 2), LABELS, ShapeError,
        f"x has shape (6, 2, 2); {FIRST}, shape (6, 4): write x.reshape(len(x), -1), or put nn.Flatten() first"),
    Bad("image size", images, np.ones((6, 5, 2)), LABELS, ShapeError,
        "x has shape (6, 5, 2); the model's first layer, Linear(in_features=4, out_features=3, bias=True), expects "
        "4 features per sample, shape (6, 4)"),
    Bad("feature count of an own model", Own, np.ones((6, 5)), LABELS, ShapeError,
        "x of shape (6, 5) does not fit the model: Linear(in_features=4, out_features=3, bias=True) expects 4 "
        "features in the last dimension of its input, got 5 (input of shape (2, 5))"),
    Bad("two outputs", pair, X, LABELS, TypeError,
        "the model must return one Tensor, got tuple"),
    Bad("no sample axis", mean, X, LABELS, ShapeError,
        "the model returned shape (3,) for 2 samples; its first dimension must be the samples"),
    Bad("a number", classifier, np.float32(3), LABELS, ShapeError,
        "x is a single number; expected an array whose first dimension is the samples"),
    # sizes
    Bad("x longer than y", classifier, X, LABELS[:5], DataError,
        "lengths differ: x has 6 samples, y has 5; each sample needs one entry in each of them"),
    Bad("too few weights", classifier, X, LABELS, DataError,
        "lengths differ: x has 6 samples, sample_weight has 5; each sample needs one entry in each of them",
        {"sample_weight": np.ones(5)}),
    Bad("no samples", classifier, X[:0], LABELS[:0], DataError,
        "x has 0 samples (shape (0, 4)); expected at least one row"),
    Bad("no features", classifier, X[:, :0], LABELS, DataError,
        "x has 0 features (shape (6, 0)); expected at least one column"),
    Bad("batches of 0", classifier, X, LABELS, ValueError,
        "batch_size must be at least 1, got 0", {"batch_size": 0}),
    Bad("negative batches", classifier, X, LABELS, ValueError,
        "batch_size must be at least 1, got -3", {"batch_size": -3}),
    Bad("a float of batches", classifier, X, LABELS, TypeError,
        "batch_size must be an integer, got 2.5 (float)", {"batch_size": 2.5}),
    Bad("validation of all", classifier, X, LABELS, ValueError,
        "validation_split must be at least 0 and less than 1, got 1.0: it is the share of the samples to keep for "
        "validation", {"validation_split": 1.0}),
    Bad("validation of less than nothing", classifier, X, LABELS, ValueError,
        "validation_split must be at least 0 and less than 1, got -0.1: it is the share of the samples to keep for "
        "validation", {"validation_split": -0.1}),
    Bad("nothing left to train on", classifier, X[:1], LABELS[:1], ValueError,
        "validation_split=0.5 of 1 samples leaves 0 for training and 1 for validation; each needs at least one",
        {"validation_split": 0.5}),
    # what has no rows in order
    Bad("a sparse matrix", classifier, scipy.sparse.csr_matrix(X), LABELS, TypeError,
        "x is a sparse matrix; pass a dense array: x.toarray()"),
    Bad("a sparse array alone", classifier, scipy.sparse.coo_array(X), None, TypeError,
        "x is a sparse matrix; pass a dense array: x.toarray()"),
    Bad("a dict of columns", classifier, {"a": X[:, 0], "b": X[:, 1]}, LABELS, TypeError,
        "x is a dict; expected one array: np.stack([x[key] for key in x], axis=1) makes one of columns"),
    Bad("a set", classifier, {1.0, 2.0}, LABELS, TypeError,
        "x is a set, which has no order; pass a list or an array"),
    Bad("a dict of targets", regression, X, {"a": VALUES}, TypeError,
        "y is a dict; expected one array: np.stack([y[key] for key in y], axis=1) makes one of columns", MSE),
    Bad("a label beyond int64", classifier, X, np.array([0, 1, 2**63 + 1, 0, 1, 2], np.uint64), LabelError,
        "y holds 1 label outside 0 to 2: the first, 9223372036854775809, is in row 2. The model puts out 3 scores; "
        "give it one for each class"),
    # values
    Bad("NaN in x", classifier, changed(changed(X, (3, 1), np.nan), (5, 0), np.inf), LABELS, DataError,
        "x holds 2 values that are NaN or infinite: the first, nan, is in row 3, column 1. Remove or fill such "
        "values first"),
    Bad("infinity in y", regression, X, changed(VALUES, 4, -np.inf), DataError,
        "y holds 1 value that is NaN or infinite: the first, -inf, is in row 4, column 0. Remove or fill such "
        "values first", MSE),
    Bad("NaN in weights", classifier, X, LABELS, DataError,
        "sample_weight holds 1 value that is NaN or infinite: the first, nan, is in row 2. Remove or fill such "
        "values first", {"sample_weight": changed(np.ones(6), 2, np.nan)}),
    Bad("too large for float32", classifier, changed(X.astype(np.float64), (2, 3), 1e39), LABELS, DataError,
        "x holds 1 value too large for the model's float32: the first, 1e+39, is in row 2, column 3. Scale the "
        "data, or use a float64 model: model.double()"),
    Bad("a negative weight", classifier, X, LABELS, DataError,
        "sample_weight holds 1 negative weight: the first, -2.0, is in row 5",
        {"sample_weight": changed(np.ones(6), 5, -2.0)}),
    Bad("weights with a column axis", classifier, X, LABELS, ShapeError,
        "sample_weight has shape (6, 1); expected one number per sample: write sample_weight.reshape(-1)",
        {"sample_weight": np.ones((6, 1))}),
    # y against the output
    Bad("(n,) against (n, 1)", regression, X, VALUES[:, 0], ShapeError,
        "y has shape (6,) but the model's output for it has shape (6, 1); MSELoss needs equal shapes: write "
        "y.reshape(-1, 1)", MSE),
    Bad("(n, 1) against (n,)", flat_regression, X, VALUES, ShapeError,
        "y has shape (6, 1) but the model's output for it has shape (6,); MSELoss needs equal shapes: write "
        "y.reshape(-1)", MSE),
    Bad("two columns against one", regression, X, X[:, :2], ShapeError,
        "y has shape (6, 2) but the model's output for it has shape (6, 1); MSELoss needs equal shapes", MSE),
    Bad("a number for y", regression, X, np.float32(1.0), ShapeError,
        "y is a single number; expected one entry per sample", MSE),
    Bad("-1 and 1", regression, X, np.sign(VALUES - 0.5), LabelError,
        "y holds 3 values outside 0 to 1: the first, -1.0, is in row 0, column 0. BCEWithLogitsLoss expects "
        "probabilities or labels 0 and 1: for labels -1 and 1 write (y + 1) / 2", BCE),
    Bad("beyond 1", regression, X, VALUES * 2, LabelError,
        "y holds 3 values outside 0 to 1: the first, 1.2000000476837158, is in row 3, column 0. BCEWithLogitsLoss "
        "expects probabilities or labels 0 and 1", BCE),
    # labels
    Bad("negative labels", classifier, X, LABELS - 1, LabelError,
        "y holds 2 labels outside 0 to 2: the first, -1, is in row 0. The model puts out 3 scores; give it one for "
        "each class"),
    Bad("labels from 1", classifier, X, LABELS + 1, LabelError,
        "y holds 2 labels outside 0 to 2: the first, 3, is in row 2. The model puts out 3 scores; subtract 1 from "
        "y, or give it one for each class"),
    Bad("a label too large", classifier, X, changed(LABELS, 5, 9), LabelError,
        "y holds 1 label outside 0 to 2: the first, 9, is in row 5. The model puts out 3 scores; give it one for "
        "each class"),
    Bad("float labels", classifier, X, LABELS.astype(np.float64), LabelError,
        "y holds float64 numbers; class labels are integers: write y.astype('int64'), or, for numbers, loss='mse'"),
    Bad("labels as text", classifier, X, np.array(list("abcabc")), LabelError,
        "y holds text; class labels are integers from 0: y = numpy.unique(y, return_inverse=True)[1]"),
    Bad("labels as a list of text", classifier, X, list("abcabc"), LabelError,
        "y holds text; class labels are integers from 0: y = numpy.unique(y, return_inverse=True)[1]"),
    Bad("labels with a column axis", classifier, X, LABELS[:, None], ShapeError,
        "y has shape (6, 1); CrossEntropyLoss expects one class label per sample, shape (6,): write y.reshape(-1)"),
    Bad("one-hot rows of other width", classifier, X, np.eye(4)[LABELS], ShapeError,
        "y has shape (6, 4); CrossEntropyLoss expects one class label per sample, shape (6,)"),
    Bad("one-hot rows beyond 1", classifier, X, np.eye(3)[LABELS] * 3, LabelError,
        "y holds 6 values outside 0 to 1: the first, 3.0, is in row 0, column 0. CrossEntropyLoss expects "
        "probabilities or labels 0 and 1"),
    Bad("one score for classes", regression, X, LABELS, ShapeError,
        "the model puts out 1 score per sample; CrossEntropyLoss needs one for each class, at least 2. For yes or "
        "no with one output use loss='bce_with_logits', for numbers loss='mse'"),
    Bad("labels of the validation", classifier, X, LABELS, LabelError,
        "y of validation_data holds 2 labels outside 0 to 2: the first, 3, is in row 2. The model puts out 3 "
        "scores; subtract 1 from y, or give it one for each class", {"validation_data": (X, LABELS + 1)}),
    # kinds
    Bad("masked", classifier, np.ma.masked_equal(X, 1.0), LABELS, TypeError,
        "x is a masked array, and its mask would be lost; fill it first: x.filled(0), or drop those rows"),
    Bad("matrix", classifier, X.view(np.matrix), LABELS, TypeError,
        "x is a numpy.matrix; pass an array: np.asarray(x)"),
    Bad("complex", classifier, X.astype(np.complex64), LABELS, DtypeError,
        "x has dtype complex64; expected real numbers: use .real, .imag or abs() of it"),
    Bad("object", classifier, X.astype(object), LABELS, DtypeError,
        "x has dtype object; expected real numbers: make it numeric: np.asarray(x, dtype=np.float32)"),
    Bad("None for labels", classifier, X, [None] * 6, DtypeError,
        "y has dtype object; expected real numbers: make it numeric: np.asarray(y, dtype=np.float32)"),
    Bad("dates", classifier, X.astype("datetime64[D]"), LABELS, DtypeError,
        "x has dtype datetime64[D]; expected real numbers: convert it to numbers, for example days since a start"),
    Bad("times", classifier, X.astype("timedelta64[D]"), LABELS, DtypeError,
        "x has dtype timedelta64[D]; expected real numbers: convert it to numbers: x / np.timedelta64(1, 's')"),
    Bad("text", classifier, np.full((6, 4), "1.5"), LABELS, DtypeError,
        f"x has dtype <U3; expected real numbers: {NUMBERS}"),
    Bad("bytes", classifier, np.full((6, 4), b"1.5"), LABELS, DtypeError,
        f"x has dtype |S3; expected real numbers: {NUMBERS}"),
    Bad("named fields", classifier, np.zeros(6, dtype=[("a", "<f8")]), LABELS, DtypeError,
        "x has dtype [('a', '<f8')]; expected real numbers: use one of its fields, or stack them: np.stack([x[f] "
        "for f in x.dtype.names], axis=1)"),
    Bad("nothing", classifier, None, LABELS, TypeError,
        "x is None; expected an array, a Tensor or a list"),
    Bad("no targets", classifier, X, None, TypeError,
        "y is missing: x is of type ndarray, so the targets must be given too, or x must yield batches (x, y)"),
    Bad("no data at all", classifier, object(), LABELS, TypeError,
        "x is of type object; expected an array, a Tensor, a list or a DataLoader"),
    Bad("array for validation", classifier, X, LABELS, DataError,
        "validation_data is a ndarray; expected (x, y), (x, y, sample_weight) or a DataLoader",
        {"validation_data": X}),
    # batches
    Bad("x changes shape", classifier, [(X, LABELS), (X[:, :3], LABELS)], None, ShapeError,
        "x of batch 1 has rows of shape (3,), those before had (4,); all batches must have rows of one shape"),
    Bad("y changes shape", classifier, [(X, LABELS), (X, LABELS[:, None])], None, ShapeError,
        "y of batch 1 has rows of shape (1,), those before had (); all batches must have rows of one shape"),
    Bad("lengths in a batch", classifier, [(X, LABELS), (X, LABELS[:3])], None, DataError,
        "lengths differ: x of batch 1 has 6 samples, y of batch 1 has 3; each sample needs one entry in each of "
        "them"),
    Bad("NaN in a batch", classifier, [(X, LABELS), (X, LABELS), (changed(X, (1, 2), np.nan), LABELS)], None, DataError,
        "x of batch 2 holds 1 value that is NaN or infinite: the first, nan, is in row 1, column 2. Remove or fill "
        "such values first"),
    Bad("labels in a batch", classifier, [(X, LABELS), (X, LABELS * 2)], None, LabelError,
        "y of batch 1 holds 2 labels outside 0 to 2: the first, 4, is in row 2. The model puts out 3 scores; give "
        "it one for each class"),
    Bad("weights in a batch", classifier, [(X, LABELS, -np.ones(6))], None, DataError,
        "sample_weight of batch 0 holds 6 negative weights: the first, -1.0, is in row 0"),
    Bad("weights beside batches", classifier, [(X, LABELS)], None, DataError,
        "sample_weight goes with arrays; a loader yields (x, y, sample_weight) instead",
        {"sample_weight": np.ones(6)}),
    Bad("y beside batches", classifier, nnkit.utils.data.DataLoader([(X[0], 0)]), LABELS, DataError,
        "y was given although x is a DataLoader, which yields (x, y) itself; leave y out"),
    Bad("a split of batches", classifier, [(X, LABELS)], None, ValueError,
        "validation_split goes with arrays; with a loader pass validation_data", {"validation_split": 0.5}),
]
# fmt: on

ARRAYS = [X, LABELS, VALUES]


@pytest.mark.parametrize("piece", [checked.PIECE, 3], ids=["whole", "in pieces"])
@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.what)
def test_is_refused_in_these_words_before_anything_is_learned_or_written(
    bad: Bad, piece: int, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checked, "PIECE", piece)  # elements that are looked at at once
    model = bad.model()
    before = [parameter.tolist() for parameter in model.parameters()]
    arrays = [value for value in (*ARRAYS, bad.x, bad.y) if isinstance(value, np.ndarray)]
    bytes_before = [array.tobytes() for array in arrays]
    with pytest.raises(bad.error) as caught:
        model.fit(bad.x, bad.y, **({"loss": "cross_entropy", "verbose": 0, "optimizer": "sgd"} | (bad.options or {})))
    assert str(caught.value) == bad.message
    assert [array.tobytes() for array in arrays] == bytes_before
    if not isinstance(bad.x, list):
        assert [parameter.tolist() for parameter in model.parameters()] == before
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize(
    "order",
    [
        lambda a: a,
        np.asfortranarray,
        lambda a: np.repeat(a, 2, axis=0)[::2],
        lambda a: a[::-1],
        lambda a: a.astype(a.dtype.newbyteorder()),
        lambda a: np.broadcast_to(a, a.shape),
    ],
    ids=["plain", "Fortran", "strided", "reversed", "byte-swapped", "read-only"],
)
def test_arrays_of_any_layout_are_used_as_they_are_and_left_unchanged(order: Any, device: str) -> None:
    x, y, weight = order(X), order(LABELS), order(np.linspace(0.5, 1.5, 6))
    plain = [np.array(array, dtype=array.dtype.newbyteorder("=")) for array in (x, y, weight)]
    bytes_before = [array.tobytes() for array in (x, y, weight)]
    losses = []
    for x_given, y_given, weight_given in ((x, y, weight), plain):
        nnkit.manual_seed(0)
        model = classifier()
        history = model.fit(
            x_given, y_given, sample_weight=weight_given, loss="cross_entropy", epochs=2, batch_size=4, verbose=0
        )
        model.evaluate(x_given, y_given, sample_weight=weight_given)
        losses.append((history.history, model.predict(x_given).tolist()))
    assert losses[0] == losses[1]
    assert [array.tobytes() for array in (x, y, weight)] == bytes_before


def test_tensors_of_the_user_are_left_unchanged(device: str) -> None:
    x, y = nnkit.tensor(X), nnkit.tensor(LABELS)
    classifier().fit(x, y, loss="cross_entropy", epochs=2, batch_size=4, verbose=0)
    assert x.numpy().tobytes() == X.tobytes() and y.numpy().tobytes() == LABELS.tobytes()


def test_batches_larger_than_the_data_are_cut_with_one_warning(device: str) -> None:
    with pytest.warns(UserWarning, match="batch_size 64 is larger than the 6 training samples; using 6") as caught:
        classifier().fit(X, LABELS, loss="cross_entropy", epochs=3, batch_size=64, verbose=0)
    assert len(caught) == 1


def test_a_function_that_broadcasts_silently_is_warned_of(device: str) -> None:
    with pytest.warns(UserWarning, match=r"broadcasts both to a matrix: write y.reshape\(-1, 1\)"):
        regression().fit(X, VALUES[:, 0], loss=lambda p, t: (p - t).square().mean(), verbose=0)


# ---- evaluate and predict have the same door --------------------------------------------------------------


def test_evaluate_and_predict_refuse_alike(device: str) -> None:
    model = classifier()
    with pytest.raises(LabelError, match="y holds 2 labels outside 0 to 2"):
        model.evaluate(X, LABELS + 1, loss="cross_entropy")
    with pytest.raises(ShapeError, match=r"x has shape \(6, 3\); the model's first layer"):
        model.predict(X[:, :3])
    with pytest.raises(DtypeError, match="x has dtype complex64"):
        model.predict(X.astype(np.complex64))
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        model.predict(X, batch_size=0)


def test_a_recorded_prediction_looks_at_values_too(device: str) -> None:
    model = nn.Sequential(nn.Embedding(10, 4), nn.Flatten(), nn.Linear(12, 2))
    for _ in range(4):  # plainly, recorded, replayed
        assert model.predict([[1, 2, 9]]).shape == (1, 2)
        with pytest.raises(IndexError, match="index 10 is out of range for 10 rows"):
            model.predict([[1, 2, 10]])


@pytest.mark.parametrize("value", [np.nan, 1e300])
def test_predict_lets_through_what_is_no_number_or_too_large(value: float, device: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = classifier().predict(changed(X.astype(np.float64), (1, 1), value))
    assert np.isnan(result[1]).all() and np.isfinite(np.delete(result, 1, axis=0)).all()
