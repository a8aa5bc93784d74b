"""Keras's helpers: sequences, series, folders of pictures and texts, files, data sets, settings, random numbers."""

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import keras
from nnkit.errors import DataError
from nnkit.keras import backend, config, datasets, mixed_precision, preprocessing, random, utils
from nnkit.keras.layers import Dense, Flatten, Input
from nnkit.keras.models import Sequential

PADDED = [
    ({}, [[0, 0, 1], [0, 2, 3], [4, 5, 6]]), ({"padding": "post"}, [[1, 0, 0], [2, 3, 0], [4, 5, 6]]),
    ({"maxlen": 2}, [[0, 1], [2, 3], [5, 6]]), ({"maxlen": 2, "truncating": "post"}, [[0, 1], [2, 3], [4, 5]]),
    ({"value": 9, "dtype": "float32"}, [[9, 9, 1], [9, 2, 3], [4, 5, 6]]),
    ({"maxlen": 4}, [[0, 0, 0, 1], [0, 0, 2, 3], [0, 4, 5, 6]]),
]  # fmt: skip


@pytest.mark.parametrize(("options", "expected"), PADDED)
def test_pad_sequences(options: dict[str, Any], expected: list[list[int]]) -> None:
    found = utils.pad_sequences([[1], [2, 3], [4, 5, 6]], **options)
    assert found.tolist() == expected and found.dtype == options.get("dtype", "int32")
    assert preprocessing.sequence.pad_sequences is utils.pad_sequences


def test_pad_sequences_of_arrays_and_nothing() -> None:
    assert utils.pad_sequences([np.ones((1, 2)), np.ones((3, 2))]).shape == (2, 3, 2)
    assert utils.pad_sequences([[], [1]]).tolist() == [[0], [1]]
    for wrong in ({"padding": "middle"}, {"value": "a"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            utils.pad_sequences([[1]], **wrong)


@pytest.mark.parametrize(("options", "starts"), [
    ({}, [0, 1, 2, 3, 4, 5, 6, 7]), ({"sequence_stride": 3}, [0, 3, 6]), ({"sampling_rate": 2}, [0, 1, 2, 3, 4, 5]),
    ({"start_index": 2, "end_index": 8}, [2, 3, 4, 5]),
])  # fmt: skip
def test_windows_of_a_series(options: dict[str, Any], starts: list[int]) -> None:
    found = utils.timeseries_dataset_from_array(np.arange(10), np.arange(10) * 10, 3, batch_size=2, **options)
    x, y = (np.concatenate(part) for part in zip(*found, strict=True))
    rate = options.get("sampling_rate", 1)
    assert x.tolist() == [[s, s + rate, s + 2 * rate] for s in starts] and y.tolist() == [s * 10 for s in starts]
    assert len(found) == -(-len(starts) // 2)
    with pytest.raises(ValueError, match="sequence_stride"):
        utils.timeseries_dataset_from_array(np.arange(10), None, 3, sequence_stride=0)


def test_a_series_trains_a_model(device: str) -> None:
    series = np.sin(np.arange(60, dtype=np.float32) / 3.0)
    data = utils.timeseries_dataset_from_array(series[:-5], series[5:], 5, batch_size=16, shuffle=True, seed=1)
    model = Sequential([Input((5,)), Dense(1)])
    model.compile("adam", "mse")
    history = model.fit(data, epochs=2, verbose=0)
    assert len(history.history["loss"]) == 2
    assert len(list(data.take(2))) == 2 and len(list(data.skip(1))) == len(data) - 1
    assert next(iter(data.map(lambda x, y: (x * 2, y))))[0].shape == (16, 5)


def test_split_dataset() -> None:
    x, y = np.arange(10), np.arange(10) * 2
    left, right = utils.split_dataset((x, y), left_size=0.7)
    assert [int(a) for a, _ in left] == list(range(7)) and [int(b) for _, b in right] == [14, 16, 18]
    left, right = utils.split_dataset(x, right_size=4, shuffle=True, seed=1)
    assert sorted([int(a) for a in left] + [int(a) for a in right]) == list(range(10)) and len(right) == 4
    with pytest.raises(ValueError, match="left_size"):
        utils.split_dataset(x)


def test_py_dataset(device: str) -> None:
    class Batches(utils.PyDataset):
        ended = 0

        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> Any:
            return np.full((2, 3), index, np.float32), np.ones((2, 1), np.float32)

        def on_epoch_end(self) -> None:
            self.ended += 1

    data = Batches(workers=2)
    model = Sequential([Input((3,)), Dense(1)])
    model.compile("sgd", "mse")
    model.fit(data, epochs=2, verbose=0)
    assert data.ended >= 1 and utils.Sequence is utils.PyDataset


def test_progress_and_normalize(capsys: pytest.CaptureFixture[str]) -> None:
    bar = utils.Progbar(3, verbose=2, stateful_metrics=["last"])
    for step in range(3):
        bar.add(1, [("loss", float(step)), ("last", float(step))])
    assert "3/3" in (text := capsys.readouterr().out) and "loss: 1.0000" in text and "last: 2.0000" in text
    assert utils.normalize(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist() == [[0.6, 0.8], [0.0, 0.0]]


# ---- files ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    pytest.importorskip("PIL")
    for k, name in enumerate(("cats", "dogs")):
        (tmp_path / name).mkdir()
        for n in range(5):
            utils.save_img(tmp_path / name / f"{n}.png", np.full((8, 6, 3), 40.0 * k + n), scale=False)
    return tmp_path


def test_pictures_to_arrays_and_back(pictures: Path) -> None:
    image = utils.load_img(pictures / "dogs" / "2.png", target_size=(4, 4))
    array = utils.img_to_array(image)
    assert array.shape == (4, 4, 3) and array.dtype == np.float32 and set(array.reshape(-1)) == {42.0}
    assert utils.img_to_array(image, "channels_first").shape == (3, 4, 4)
    assert utils.load_img(pictures / "dogs" / "2.png", "grayscale").mode == "L"
    assert utils.array_to_img(np.arange(12.0).reshape(2, 2, 3)).getpixel((1, 1)) == (208, 231, 255)
    assert preprocessing.image.smart_resize(array, (2, 3)).shape == (2, 3, 3)


def test_a_folder_of_pictures(pictures: Path, device: str, capsys: pytest.CaptureFixture[str]) -> None:
    data = utils.image_dataset_from_directory(pictures, image_size=(4, 4), batch_size=4, seed=1)
    assert (
        data.class_names == ["cats", "dogs"]
        and len(data.file_paths) == 10
        and "Found 10 files" in capsys.readouterr().out
    )
    x, y = next(iter(data))
    assert x.shape == (4, 4, 4, 3) and x.dtype == np.float32 and y.dtype == np.int32
    assert [bool(v >= 40) for v in x[:, 0, 0, 0]] == [bool(label) for label in y]
    one, two = utils.image_dataset_from_directory(
        pictures,
        image_size=(4, 4),
        label_mode="categorical",
        validation_split=0.3,
        subset="both",
        seed=2,
        verbose=False,
    )
    assert len(one.file_paths) == 7 and not set(one.file_paths) & set(two.file_paths) and one[0][1].shape == (7, 2)
    model = Sequential([Input((4, 4, 3)), Flatten(), Dense(2)])
    model.compile("sgd", "mse")
    model.fit(one, validation_data=two, verbose=0)
    with pytest.raises(DataError, match="no files"):
        utils.image_dataset_from_directory(pictures / "cats", verbose=False)


def test_a_folder_of_texts(tmp_path: Path) -> None:
    for name in ("bad", "good"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(f"{name} film")
    data = utils.text_dataset_from_directory(tmp_path, label_mode="binary", shuffle=False, max_length=4, verbose=False)
    texts, labels = data[0]
    assert texts.tolist() == ["bad ", "good"] and labels.tolist() == [[0.0], [1.0]]


def test_get_file(tmp_path: Path) -> None:
    pytest.importorskip("pooch")
    (tmp_path / "source.txt").write_text("text")
    with zipfile.ZipFile(tmp_path / "source.zip", "w") as archive:
        archive.writestr("inside.txt", "more")
    origin = (tmp_path / "source.txt").as_uri()
    found = utils.get_file("own.txt", origin, md5_hash="1cb251ec0d568de6a929b520c4aed8d1", cache_dir=tmp_path / "cache")
    assert Path(found).read_text() == "text" and Path(found).name == "own.txt"
    folder = utils.get_file(origin=(tmp_path / "source.zip").as_uri(), extract=True, cache_dir=tmp_path / "cache")
    assert (Path(folder) / "inside.txt").read_text() == "more"
    with pytest.raises(DataError, match="checksum"):
        utils.get_file("other.txt", origin, file_hash="0" * 64, cache_dir=tmp_path / "cache")
    for wrong in ("../out.txt", "/out.txt"):
        with pytest.raises(ValueError, match="fname"):
            utils.get_file(wrong, origin)


def test_archives_write_nothing_outside_of_their_folder(tmp_path: Path) -> None:
    pytest.importorskip("pooch")
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        member = tarfile.TarInfo("../outside.txt")
        member.size = 1
        archive.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(Exception, match="outside"):
        utils.get_file(origin=(tmp_path / "evil.tar").as_uri(), extract=True, cache_dir=tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("outside.txt"))


# ---- data sets ------------------------------------------------------------------------------------------------------


def _object_npy(rows: list[list[int]]) -> bytes:
    array = np.empty(len(rows), object)
    array[:] = rows
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=True)
    return stream.getvalue()


def _npy(values: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.asarray(values))
    return stream.getvalue()


def test_cifar(tmp_path: Path) -> None:
    rows = {
        b"data": np.arange(3072, dtype=np.uint8).reshape(1, -1).repeat(2, 0),
        b"labels": [3, 5],
        b"coarse_labels": [0, 1],
    }
    for name, members in (
        ("cifar-10", [*(f"cifar-10-batches-py/data_batch_{k}" for k in range(1, 6)), "cifar-10-batches-py/test_batch"]),
        ("cifar-100", ["cifar-100-python/train", "cifar-100-python/test"]),
    ):
        with tarfile.open(tmp_path / f"{name}.tar.gz", "w:gz") as archive:
            for member in members:
                data = pickle.dumps(rows, protocol=2)
                info = tarfile.TarInfo(member)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    (x, y), (x_test, y_test) = datasets.cifar10.load_data(tmp_path / "cifar-10.tar.gz")
    assert x.shape == (10, 32, 32, 3) and y.shape == (10, 1) and y_test.tolist() == [[3], [5]]
    assert x_test[0, 0, 1].tolist() == [1, 1, 1]
    (x, y), _ = datasets.cifar100.load_data("coarse", tmp_path / "cifar-100.tar.gz")
    assert x.shape == (2, 32, 32, 3) and y.tolist() == [[0], [1]]


def test_words_as_numbers(tmp_path: Path) -> None:
    rows = [[1, 2, 3], [4, 5], [6], [7, 8, 9, 10], [11]]
    with zipfile.ZipFile(tmp_path / "imdb.npz", "w") as archive:
        for part in ("train", "test"):
            archive.writestr(f"x_{part}.npy", _object_npy(rows))
            archive.writestr(f"y_{part}.npy", _npy([0, 1, 0, 1, 0]))
    (x, y), (x_test, _) = datasets.imdb.load_data(tmp_path / "imdb.npz", num_words=10, maxlen=5)
    order = np.arange(5)
    np.random.RandomState(113).shuffle(order)
    kept = [k for k in order if len(rows[k]) + 1 < 5]
    expected = [[1, *(w + 3 if w + 3 < 10 else 2 for w in rows[k])] for k in kept]
    assert x.tolist() == expected and y.tolist() == [[0, 1, 0, 1, 0][k] for k in kept] and len(x_test) == len(x)
    with zipfile.ZipFile(tmp_path / "reuters.npz", "w") as archive:
        archive.writestr("x.npy", _object_npy(rows))
        archive.writestr("y.npy", _npy([0, 1, 2, 3, 4]))
    (x, y), (x_test, _) = datasets.reuters.load_data(tmp_path / "reuters.npz")
    assert len(x) == 4 and len(x_test) == 1 and x[0][0] == 1
    assert len(datasets.reuters.get_label_names()) == 46


def test_tables(tmp_path: Path) -> None:
    np.savez(tmp_path / "held.npz", x=np.arange(20.0).reshape(10, 2), y=np.arange(10.0))
    for data in (datasets.boston_housing, datasets.california_housing):
        (x, y), (x_test, y_test) = data.load_data(path=tmp_path / "held.npz", test_split=0.3)
        assert (
            x.shape == (7, 2)
            and y_test.shape == (3,)
            and (x[:, 0] == y * 2).all()
            and (x_test[:, 0] == y_test * 2).all()
        )
    with pytest.raises(ValueError, match="test_split"):
        datasets.boston_housing.load_data(tmp_path / "held.npz", test_split=1.0)


def test_pickles_that_name_anything_else_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "reuters.npz", "w") as archive:
        evil = np.empty(1, object)
        evil[0] = print
        stream = io.BytesIO()
        np.lib.format.write_array(stream, evil, allow_pickle=True)
        archive.writestr("x.npy", stream.getvalue())
        archive.writestr("y.npy", _npy([0]))
    with pytest.raises(DataError, match="print"):
        datasets.reuters.load_data(tmp_path / "reuters.npz")


# ---- settings -------------------------------------------------------------------------------------------------------


def test_settings() -> None:
    assert (config.floatx(), config.epsilon(), config.image_data_format()) == ("float32", 1e-7, "channels_last")
    try:
        config.set_floatx("float64")
        assert keras.ops.ones(1).dtype == np.float64 and backend.floatx() == "float64"
        config.set_image_data_format("channels_first")
        assert keras.layers.Conv2D(1, 1).data_format == "channels_first"
    finally:
        config.set_floatx("float32")
        config.set_image_data_format("channels_last")
    with pytest.raises(ValueError, match="float type"):
        config.set_floatx("int32")


def test_policies(device: str) -> None:
    x, y = np.ones((4, 3), np.float32), np.ones((4, 1), np.float32)
    try:
        mixed_precision.set_global_policy("mixed_bfloat16")
        assert mixed_precision.global_policy().compute_dtype == "bfloat16"
        model = Sequential([Input((3,)), Dense(1)])
        model.compile("sgd", "mse")
        model.fit(x, y, verbose=0)
    finally:
        mixed_precision.set_global_policy("float32")
    with pytest.raises(ValueError, match="policy"):
        mixed_precision.Policy("mixed_int8")


def test_words_of_older_programs(device: str) -> None:
    x = backend.constant([[1.0, 2.0], [3.0, 4.0]])
    assert backend.mean(x).item() == 2.5 and backend.sum(x, axis=0).tolist() == [4.0, 6.0]
    assert backend.int_shape(x) == (2, 2) and backend.batch_flatten(backend.zeros((2, 3, 4))).shape == (2, 12)
    assert backend.mean(backend.equal(x, 1.0)).item() == 0.25 and backend.get_value(x).shape == (2, 2)
    assert backend.batch_dot(backend.ones((2, 3, 4)), backend.ones((2, 4, 5))).shape == (2, 3, 5)
    assert backend.switch(x > 2, x, backend.zeros_like(x)).tolist() == [[0.0, 0.0], [3.0, 4.0]]
    v = backend.variable(1.0)
    backend.set_value(v, 2.0)
    assert backend.get_value(v) == 2.0
    y = np.full((1, 4, 3), 1 / 3, np.float32)
    assert backend.ctc_batch_cost(np.array([[0, 1]]), y, np.array([[4]]), np.array([[2]])).shape == (1, 1)
    tokens = preprocessing.text.Tokenizer(num_words=3, oov_token="?")
    tokens.fit_on_texts(["b a", "a", "c"])
    assert tokens.texts_to_sequences(["a b z"]) == [[2, 1, 1]]


# ---- random ---------------------------------------------------------------------------------------------------------

DRAWS: dict[str, tuple[Any, float, float]] = {
    "normal": (lambda s: random.normal((5000,), 1.0, 2.0, seed=s), 1.0, 2.0),
    "uniform": (lambda s: random.uniform((5000,), -1.0, 3.0, seed=s), 1.0, 4 / 12**0.5),
    "truncated_normal": (lambda s: random.truncated_normal((5000,), seed=s), 0.0, 0.8796),
    "randint": (lambda s: random.randint((5000,), 0, 5, seed=s), 2.0, 2**0.5),
    "categorical": (lambda s: random.categorical(np.log([[0.2, 0.3, 0.5]]), 5000, seed=s), 1.3, 0.781),
    "gamma": (lambda s: random.gamma((5000,), 2.5, seed=s), 2.5, 2.5**0.5),
    "beta": (lambda s: random.beta((5000,), 2.0, 3.0, seed=s), 0.4, 0.2),
    "binomial": (lambda s: random.binomial((5000,), 10.0, 0.3, seed=s), 3.0, 2.1**0.5),
    "dropout": (lambda s: random.dropout(np.ones(5000, np.float32), 0.2, seed=s), 1.0, 0.5),
}


@pytest.mark.parametrize("name", DRAWS)
def test_distributions_and_seeds(name: str, device: str) -> None:
    draw, mean, deviation = DRAWS[name]
    x = draw(3).numpy().astype(np.float64)
    assert abs(x.mean() - mean) < 6 * deviation / 5000**0.5 and abs(x.std() / deviation - 1.0) < 0.1
    assert (draw(3).numpy() == draw(3).numpy()).all()
    stream, again = random.SeedGenerator(4), random.SeedGenerator(4)
    first, second = draw(stream).numpy(), draw(stream).numpy()
    assert (first != second).any() and (draw(again).numpy() == first).all()
    utils.set_random_seed(5)
    free = draw(None).numpy()
    utils.set_random_seed(5)
    assert (draw(None).numpy() == free).all()


def test_shuffle_and_noise_shape(device: str) -> None:
    assert sorted(random.shuffle(np.arange(9), seed=1).tolist()) == list(range(9))
    rows = random.dropout(np.ones((50, 4), np.float32), 0.5, (None, 1), seed=1).numpy()
    assert (rows == rows[:, :1]).all() and set(rows.reshape(-1)) == {0.0, 2.0}


def test_draws_in_recorded_steps(device: str) -> None:
    def step(x: Any) -> Any:
        return x + random.normal((2,), seed=7), random.uniform((2,))

    compiled = nnkit.compile(step)
    found = [[part.tolist() for part in compiled(nnkit.zeros(2))] for _ in range(4)]
    assert all(one[0] == found[0][0] for one in found)
    assert len({tuple(one[1]) for one in found}) == 4


def test_progress_lines_can_be_switched_off(capsys: pytest.CaptureFixture[str]) -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.ones((4, 2), np.float32)
    keras.config.disable_interactive_logging()
    try:
        for verbose in ("auto", 1, 2):
            model.fit(x, x[:, :1], verbose=verbose)
            model.evaluate(x, x[:, :1], verbose=verbose)
            model.predict(x, verbose=verbose)
        assert capsys.readouterr().out == ""
    finally:
        keras.config.enable_interactive_logging()
    model.fit(x, x[:, :1], verbose=2)
    assert capsys.readouterr().out.startswith("1/1 - ")


def test_statistics_of_frames() -> None:
    frame = pytest.importorskip("pandas").DataFrame({"a": [1.0, 3.0], "b": [2.0, 6.0]})
    layer = keras.layers.Normalization()
    layer.adapt(frame)
    assert layer.mean.numpy().tolist() == [2.0, 4.0]


def test_base_classes_are_in_the_package() -> None:
    for name in ("Loss", "Metric", "Optimizer", "Regularizer", "Initializer", "DTypePolicy"):
        assert isinstance(getattr(keras, name), type)
    policy = keras.layers.Dense(1, dtype="mixed_bfloat16").dtype_policy
    assert (policy.name, policy.compute_dtype, policy.variable_dtype) == ("mixed_bfloat16", "bfloat16", "float32")


def test_layers_as_configurations() -> None:
    layer = keras.layers.Dense(3, activation="relu", name="small")
    described = keras.layers.serialize(layer)
    assert described["class_name"] == "Dense" and keras.utils.serialize_keras_object(layer) == described
    for again in (keras.layers.deserialize(described), keras.utils.deserialize_keras_object(described)):
        assert again is not layer and again.get_config() == layer.get_config()

    class Twice(keras.layers.Layer):
        def call(self, inputs: nnkit.Tensor) -> nnkit.Tensor:
            return inputs * 2.0

    own = keras.layers.serialize(Twice())
    assert isinstance(keras.layers.deserialize(own, custom_objects={"Twice": Twice}), Twice)
    with pytest.raises(ValueError, match="Twice"):
        keras.layers.deserialize(own)
