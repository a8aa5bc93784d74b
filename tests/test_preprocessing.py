"""nnkit.preprocessing: what is learned, what is remembered, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sklearn.impute
import sklearn.model_selection
import sklearn.preprocessing

import nnkit
from nnkit.errors import DataError, DtypeError, LabelError, ShapeError
from nnkit.preprocessing import (
    Augment,
    FillMissing,
    GaussianNoise,
    Labels,
    MinMaxScale,
    RandomFlip,
    RandomShift,
    Standardize,
    drop_missing,
    fill_missing,
    one_hot,
    train_test_split,
    train_validation_test_split,
)

NAN = float("nan")


def data(*shape: int, dtype: Any = np.float64) -> np.ndarray:
    return np.random.default_rng(0).normal(3, 5, shape).astype(dtype)


SCALERS = [
    (Standardize, sklearn.preprocessing.StandardScaler),
    (MinMaxScale, sklearn.preprocessing.MinMaxScaler),
    (lambda: MinMaxScale(-2, 3), lambda: sklearn.preprocessing.MinMaxScaler((-2, 3))),
]


@pytest.mark.parametrize(("ours", "theirs"), SCALERS)
def test_scalers_agree_with_scikit_learn_and_have_an_inverse(ours: Any, theirs: Any) -> None:
    x, new = data(40, 5), data(7, 5) * 2
    x[:, 2] = 4.1
    new[:, 2] = 4.1
    mine, other = ours().fit(x), theirs().fit(x)
    np.testing.assert_allclose(mine.transform(new), other.transform(new), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(mine.inverse_transform(mine.transform(new)), new, rtol=1e-12)
    assert np.isfinite(mine.transform(x)).all()


@pytest.mark.parametrize("ours", [ours for ours, _ in SCALERS])
def test_scalers_remember_through_their_state(ours: Any) -> None:
    x = data(10, 2, 3)
    fitted, fresh = ours().fit(x), ours()
    fresh.load_state_dict(fitted.state_dict())
    np.testing.assert_array_equal(fresh.transform(x), fitted.transform(x))
    with pytest.raises(DataError, match="'offset' and 'factor'"):
        fresh.load_state_dict({"mean": 1.0})
    with pytest.raises(DataError, match="nowhere 0"):
        fresh.load_state_dict({"offset": [0.0], "factor": [0.0]})


def test_one_pair_of_statistics_for_all() -> None:
    scaled = Standardize(axis=None).fit_transform(data(10, 4, 4, dtype=np.float32))
    assert scaled.dtype == np.float32
    assert scaled.mean() == pytest.approx(0, abs=1e-6)
    assert scaled.std() == pytest.approx(1, abs=1e-6)
    assert not np.allclose(scaled.std(axis=0), 1)


@pytest.mark.parametrize(
    ("dtype", "result"),
    [
        ("u1", "f4"),
        ("?", "f4"),
        ("f2", "f4"),
        (">f4", "f4"),
        ("f4", "f4"),
        ("i8", "f8"),
        (">f8", "f8"),
        ("O", "f8"),
    ],
)
def test_element_types(dtype: str, result: str) -> None:
    x = np.array([[0, 1], [1, 0], [1, 1]]).astype(dtype)
    assert Standardize().fit_transform(x).dtype == np.dtype(result)


def test_large_integers_keep_their_differences() -> None:
    seconds = np.array([[1_700_000_000], [1_700_000_001]])
    assert MinMaxScale().fit_transform(seconds).tolist() == [[0.0], [1.0]]


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (
            [[1.0, NAN], [NAN, 2.0]],
            DataError,
            r"2 NaN or infinite values, the first \(NaN\) at row 0, column 1",
        ),
        (
            [[1.0], [float("inf")]],
            DataError,
            r"1 NaN or infinite value, the first \(infinite\) at row 1, column 0",
        ),
        ([1.0, NAN], DataError, "at index 1"),
        (np.full((2, 2, 2), NAN), DataError, r"8 NaN .* at index \(0, 0, 0\)"),
        ([["a"]], DtypeError, "must hold real numbers"),
        ([[1j]], DtypeError, "complex128"),
        (np.array([[object()]]), DtypeError, "got objects"),
        (np.ma.masked_array([[1.0]]), DtypeError, "MaskedArray"),
        (np.array([["2020-01-01"]], "M8[D]"), DtypeError, "datetime64"),
        ([[1.0], [1.0, 2.0]], ShapeError, "equal length"),
        (np.zeros((0, 3)), ShapeError, r"\(0, 3\)"),
        (np.zeros((3, 0)), ShapeError, r"\(3, 0\)"),
        (1.0, ShapeError, r"got shape \(\)"),
        ([[1e308], [-1e308]], DataError, "so large"),
    ],
)
def test_scalers_refuse(x: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Standardize().fit(x)


def test_scalers_refuse_use_before_fit_and_other_features() -> None:
    with pytest.raises(DataError, match="call fit"):
        Standardize().transform([[1.0]])
    with pytest.raises(ShapeError, match=r"\(2,\), as in fit, got \(3,\)"):
        Standardize().fit(data(4, 2)).transform(data(4, 3))
    with pytest.raises(DataError, match="axis"):
        Standardize(axis=1)
    with pytest.raises(DataError, match="low < high"):
        MinMaxScale(1, 1)


@pytest.mark.parametrize("strategy", ["mean", "median", "constant"])
def test_filling_agrees_with_scikit_learn(strategy: str) -> None:
    x = data(30, 4)
    x[np.random.default_rng(1).random(x.shape) < 0.3] = NAN
    mine = FillMissing(strategy, 7.0).fit(x)
    other = sklearn.impute.SimpleImputer(strategy=strategy, fill_value=7.0).fit(x)
    np.testing.assert_allclose(mine.transform(x[:5]), other.transform(x[:5]), rtol=1e-12)
    again = FillMissing(strategy)
    again.load_state_dict(mine.state_dict())
    np.testing.assert_array_equal(again.transform(x), fill_missing(x, strategy, 7.0))


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: FillMissing("mode"), "unknown strategy 'mode'.*Known: constant, mean, median"),
        (lambda: FillMissing("constant", NAN), "finite"),
        (
            lambda: FillMissing().fit([[1.0, NAN], [2.0, NAN]]),
            r"missing in every sample, the first at \(1,\)",
        ),
        (lambda: FillMissing().fit([[float("inf")]]), "1 infinite values"),
        (lambda: FillMissing().transform([[1.0]]), "call fit"),
        (lambda: FillMissing().fit([[1.0]]).transform([[1.0, 2.0]]), "as in fit"),
        (lambda: drop_missing([[NAN], [NAN]]), "every one of the 2 samples"),
        (lambda: drop_missing([[1.0]], [1, 2]), "got 1 and 2"),
    ],
)
def test_filling_refuses(act: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        act()


def test_drop_missing_looks_at_labels_too() -> None:
    x, y = drop_missing([[1.0], [NAN], [3.0], [4.0]], [0.1, 0.2, NAN, 0.4])
    assert (x.ravel().tolist(), y.tolist()) == ([1.0, 4.0], [0.1, 0.4])
    assert drop_missing(np.array([[[1.0, NAN]], [[1.0, 2.0]]])).tolist() == [[[1.0, 2.0]]]


def test_one_hot() -> None:
    rows = one_hot(np.array([[1, 0], [2, 1]], np.uint8), 4)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, np.eye(4)[[[1, 0], [2, 1]]])


@pytest.mark.parametrize(
    ("labels", "classes", "error", "message"),
    [
        ([0, -1], None, LabelError, "got -1 at index 1"),
        ([0, 3, 4], 3, LabelError, r"from 0 to 2, got 3 at index 1 \(2 in all\)"),
        ([0.0], None, DtypeError, "float64.*Labels"),
        (["a"], None, DtypeError, "integers"),
        ([True], None, DtypeError, "bool"),
        (np.zeros(0, int), None, ShapeError, "classes must be given"),
        ([0], 0, LabelError, "at least 1"),
    ],
)
def test_one_hot_refuses(labels: Any, classes: int | None, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        one_hot(labels, classes)


@pytest.mark.parametrize(
    "names", [["b", "a", "b"], [30, -10, 30], [True, False], np.array(["x", "yy"], object)], ids=str
)
def test_labels_go_there_and_back(names: Any) -> None:
    labels = Labels()
    codes = labels.fit_transform(names)
    assert codes.dtype == np.int64
    assert labels.inverse_transform(codes).tolist() == list(names)
    again = Labels()
    again.load_state_dict(labels.state_dict())
    np.testing.assert_array_equal(again.transform(names), codes)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: Labels().fit(["a"]).transform(["a", "z"]), r"such as \['z'\]; known: \['a'\]"),
        (lambda: Labels().fit(["a"]).transform([1]), "type seen in fit"),
        (lambda: Labels().fit(["a", "b"]).inverse_transform([2]), r"from 0 to 1, got \[2\]"),
        (lambda: Labels().fit(["a", "b"]).inverse_transform([-1]), "from 0 to 1"),
        (lambda: Labels().transform(["a"]), "call fit"),
        (lambda: Labels().fit([]), "float64|at least one"),
        (lambda: Labels().fit([["a"]]), r"\(1, 1\)"),
        (lambda: Labels().load_state_dict({"classes": ["b", "a"]}), "sorted"),
    ],
)
def test_labels_refuse(act: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        act()


def test_split_takes_every_sample_once_and_keeps_pairs() -> None:
    x = np.arange(100).reshape(50, 2)
    parts = train_validation_test_split(x, x[:, 0] * 10, sizes=(0.6, 0.2, 0.2), random_state=3)
    xs, ys = parts[:3], parts[3:]
    assert [len(part) for part in xs] == [30, 10, 10]
    assert sorted(np.concatenate(xs)[:, 0].tolist()) == x[:, 0].tolist()
    assert all((y == part[:, 0] * 10).all() for part, y in zip(xs, ys, strict=True))


def test_split_follows_from_the_seed_alone() -> None:
    parts = [train_test_split(list(range(30)), random_state=seed)[0] for seed in (0, 0, 1)]
    assert parts[0] == parts[1] != parts[2]
    assert parts[0] != sorted(parts[0])
    # The same in every version of nnkit and of NumPy.
    assert train_test_split(list(range(10)), test_size=0.3, random_state=0)[1] == [6, 8, 3]
    nnkit.manual_seed(5)
    first = train_test_split(list(range(30)))
    nnkit.manual_seed(5)
    assert first == train_test_split(list(range(30))) != train_test_split(list(range(30)))


@pytest.mark.parametrize("labels", [np.array([0, 1, 2]), np.array(["a", "b", "c"]), np.array(["a", "b", "c"], object)])
def test_stratified_split_keeps_the_shares_of_classes(labels: np.ndarray) -> None:
    classes = np.repeat([0, 1, 2], [60, 30, 10])
    x_train, x_test = train_test_split(classes, test_size=0.2, stratify=labels[classes], random_state=0)
    assert np.bincount(x_train).tolist() == [48, 24, 8]
    assert np.bincount(x_test).tolist() == [12, 6, 2]
    assert x_train.tolist() != sorted(x_train.tolist())


def test_samples_of_a_group_stay_together() -> None:
    groups = np.random.default_rng(0).integers(0, 12, 200)
    train, test = train_test_split(groups, groups=groups, test_size=0.25, random_state=1)
    assert not set(train.tolist()) & set(test.tolist()) and len(set(test.tolist())) == 3
    assert len(train) + len(test) == 200


SIZES: list[tuple[dict[str, Any], tuple[int, int]]] = [
    ({}, (7, 3)), ({"test_size": 0.01}, (9, 1)), ({"test_size": 4}, (6, 4)), ({"train_size": 0.55}, (5, 5)),
    ({"train_size": 2}, (2, 8)), ({"test_size": 2, "train_size": 3}, (3, 2)), ({"shuffle": False}, (7, 3)),
    ({"test_size": 3, "train_size": 4, "stratify": np.repeat([0, 1], 5)}, (4, 3)),
]  # fmt: skip


@pytest.mark.parametrize(("options", "expected"), SIZES)
def test_split_has_the_sizes_of_scikit_learn(options: dict[str, Any], expected: tuple[int, int]) -> None:
    x = np.arange(10)
    ours = train_test_split(x, random_state=0, **options)
    theirs = sklearn.model_selection.train_test_split(x, random_state=0, **options)
    assert tuple(map(len, ours)) == tuple(map(len, theirs)) == expected
    if not options.get("shuffle", True):
        assert ours[0].tolist() == theirs[0].tolist()


KEPT: dict[str, Any] = {
    "array": np.arange(8).reshape(4, 2), "list": [3, 1, 4, 1], "tuple": ("a", "b", "c", "d"), "text": "abcd",
    "dict": {"a": [1, 2, 3, 4], "b": np.arange(4)}, "tensor": nnkit.tensor([1.0, 2.0, 3.0, 4.0]),
}  # fmt: skip


@pytest.mark.parametrize("kind", KEPT)
def test_split_keeps_kinds(kind: str) -> None:
    train, test = train_test_split(KEPT[kind], test_size=1, shuffle=False)
    assert type(train) is (list if kind == "text" else type(KEPT[kind]))
    if kind == "dict":
        assert test["a"] == [4] and test["b"].tolist() == [3]
    else:
        assert len(train) == 3 and np.array_equal(np.asarray(test[0]), np.asarray(KEPT[kind][3]))


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: train_test_split(), "at least one array"),
        (lambda: train_test_split([1, 2], [1]), "got 2 and 1"),
        (lambda: train_test_split([], []), "too few for 2 parts"),
        (lambda: train_test_split([1], [1]), "too few for 2 parts"),
        (lambda: train_test_split([1, 2], test_size=1.0), "test_size must be a number between 0 and 1, got 1.0"),
        (lambda: train_test_split([1, 2], test_size=2), "test_size must be at least 1 and less than 2"),
        (lambda: train_test_split([1, 2, 3], test_size=2, train_size=2), "cannot be divided into 2"),
        (lambda: train_test_split([1, 2], random_state=-1), "seed"),
        (lambda: train_test_split([1, 2, 3], stratify=["a", "b", "a"]), "class 'b' has 1 sample"),
        (lambda: train_test_split(list(range(8)), test_size=1, stratify=[0, 1] * 4), "one of each of 2 classes"),
        (lambda: train_test_split([1, 2], stratify=[0.5, 1.5]), "one label per sample"),
        (lambda: train_test_split([1, 2], stratify=[0]), "one label per sample"),
        (lambda: train_test_split([1, 2], stratify=[0, 1], shuffle=False), "stratify needs shuffle"),
        (lambda: train_test_split([1, 2], stratify=[0, 1], groups=[0, 1]), "groups goes with neither"),
        (lambda: train_test_split([1, 2], groups=[0, 0]), "1 groups cannot be divided"),
        (lambda: train_validation_test_split([1, 2, 3], sizes=(0.5, 0.5, 0.5)), "sum to 1"),
        (lambda: train_validation_test_split([1, 2, 3], sizes=(0.5, 0.5)), "three numbers"),
        (lambda: train_validation_test_split([1, 2]), "too few for 3 parts"),
    ],
)
def test_split_refuses(act: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        act()


IMAGES = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5) + 1


def test_flips() -> None:
    generator = np.random.default_rng(0)
    np.testing.assert_array_equal(RandomFlip(1.0)(IMAGES, generator), IMAGES[..., ::-1])
    np.testing.assert_array_equal(RandomFlip(0.0, 1.0)(IMAGES, generator), IMAGES[..., ::-1, :])
    np.testing.assert_array_equal(RandomFlip(1.0, channels_last=True)(IMAGES, generator), IMAGES[:, :, ::-1])
    many = np.tile(IMAGES[:1, 0], (400, 1, 1))
    flipped = (RandomFlip(0.5)(many, generator) != many).any(axis=(1, 2))
    assert 150 < flipped.sum() < 250


def test_shift_moves_the_window_and_fills() -> None:
    images = np.tile(IMAGES[:1, 0], (200, 1, 1))
    moved = RandomShift(1, fill=-1.0)(images, np.random.default_rng(0))
    padded = np.pad(images[0], 1, constant_values=-1.0)
    windows = {padded[i : i + 4, j : j + 5].tobytes() for i in range(3) for j in range(3)}
    assert {image.tobytes() for image in moved} == windows


def test_shift_moves_all_channels_together() -> None:
    first = RandomShift(2)(IMAGES, np.random.default_rng(5))
    last = RandomShift(2, channels_last=True)(np.moveaxis(IMAGES, 1, -1), np.random.default_rng(5))
    np.testing.assert_array_equal(np.moveaxis(last, -1, 1), first)
    gaps = np.where(first > 0, first - first[:, :1], 0)
    assert set(np.unique(gaps)) <= {0.0, 20.0, 40.0}


def test_noise_has_the_given_spread() -> None:
    noisy = GaussianNoise(0.5)(np.zeros((100, 10, 10), np.float32), np.random.default_rng(0))
    assert noisy.dtype == np.float32
    assert noisy.std() == pytest.approx(0.5, rel=0.05)


def test_augment_is_repeatable_and_leaves_the_images_alone() -> None:
    steps: list[Any] = [RandomFlip(), RandomShift(2), GaussianNoise(0.1)]
    images = IMAGES[:, 0].copy()
    images.flags.writeable = False
    one, two = Augment(steps, seed=1), Augment(steps, seed=1)
    first, second = one(images), one(images)
    np.testing.assert_array_equal(two(images), first)
    np.testing.assert_array_equal(Augment(steps, seed=1)(images, step=1), second)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, Augment(steps, seed=2)(images))
    assert Augment([])(images) is not images
    np.testing.assert_array_equal(images, IMAGES[:, 0])


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: RandomFlip(1.5), "horizontal must be a probability"),
        (lambda: RandomShift(-1), "pixels"),
        (lambda: RandomShift(1, fill=NAN), "fill"),
        (lambda: GaussianNoise(-1.0), "std"),
        (lambda: Augment([1]), "functions of"),  # type: ignore[list-item]
        (lambda: Augment([], seed=-1), "seed"),
        (
            lambda: Augment([RandomFlip()])(np.zeros((3, 4))),
            r"\(samples, \[channels,\] height, width\), got \(3, 4\)",
        ),
        (lambda: Augment([RandomFlip(channels_last=True)])(np.zeros((1, 3, 4))), "height, width, channels"),
        (lambda: Augment([lambda images, generator: images[:1]])(np.zeros((2, 3, 4))), "changed the shape"),
    ],
)
def test_augment_refuses(act: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        act()


@pytest.mark.parametrize(
    "use",
    [
        lambda x: Standardize().fit_transform(x),
        lambda x: MinMaxScale().fit(x).inverse_transform(x),
        lambda x: FillMissing().fit_transform(x),
        lambda x: drop_missing(x, x[:, 0]),
        lambda x: train_test_split(x, stratify=np.arange(20) % 2),
        lambda x: Augment([RandomFlip(), RandomShift(), GaussianNoise()])(x[:, None]),
    ],
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_the_user_are_only_read(use: Any, order: Any) -> None:
    x = np.asarray(data(20, 3), order=order)
    before = x.tobytes()
    x.flags.writeable = False
    use(x)
    assert x.tobytes() == before
