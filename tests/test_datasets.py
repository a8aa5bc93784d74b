"""nnkit.datasets: the digits that come along, IDX files, and finding or fetching MNIST."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.datasets
from hypothesis import given, settings
from hypothesis import strategies as st

from nnkit.datasets import digits, fashion_mnist, fetch, load_digits, mnist, read_idx, write_idx
from nnkit.datasets.fetch import Source, locate
from nnkit.datasets.make_digits import digits_csv
from nnkit.errors import DataError, DtypeError, ShapeError

# ---- digits -------------------------------------------------------------------------------------------


def test_digits_are_those_of_the_source() -> None:
    images, labels = load_digits()
    source = sklearn.datasets.load_digits()
    assert (images.dtype, images.shape, labels.dtype) == (np.float32, (1797, 8, 8), np.int64)
    np.testing.assert_array_equal(images, source.images)
    np.testing.assert_array_equal(labels, source.target)
    assert gzip.decompress(digits.FILE.read_bytes()).decode() == digits_csv()
    assert digits.FILE.with_name("DIGITS.md").read_text().count("10.24432/C50P49") == 1


def test_digits_hold_out_a_fifth_of_every_class() -> None:
    (x_train, y_train), (x_test, y_test) = digits.load_data()
    assert len(x_train) + len(x_test) == 1797
    shares = np.bincount(y_test) / (np.bincount(y_test) + np.bincount(y_train))
    np.testing.assert_allclose(shares, 0.2, atol=0.003)
    images = {image.tobytes() for image in np.concatenate([x_train, x_test])}
    assert images == {image.tobytes() for image in load_digits()[0]}
    np.testing.assert_array_equal(digits.load_data()[1][0], x_test)
    # The same on every machine and in every version.
    assert y_test[:10].tolist() == [6, 8, 7, 5, 4, 5, 1, 8, 2, 4]
    assert not np.array_equal(digits.load_data(seed=1)[1][1], y_test)


# ---- IDX files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "float32", "float64", ">f4"])
@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 1, 3), (1, 2, 2, 2), (0, 4)])
def test_idx_files_hold_arrays(tmp_path: Path, dtype: str, shape: tuple[int, ...], suffix: str) -> None:
    array = (np.arange(np.prod(shape)).reshape(shape) * 3).astype(dtype)
    write_idx(tmp_path / f"a{suffix}", np.asfortranarray(array))
    back = read_idx(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(back, array)
    assert back.dtype == array.dtype.newbyteorder("=") and back.flags.writeable and back.dtype.isnative


def idx(code: int = 8, sizes: tuple[int, ...] = (2, 3), content: bytes = b"123456", first: bytes = b"\0\0") -> bytes:
    return first + bytes([code, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes) + content


BAD_IDX = [
    (b"", "is no IDX file"),
    (b"<html>404</html>", "is no IDX file: it begins with the bytes b'<htm'"),
    (idx(code=0x0A), "is no IDX file"),
    (idx(sizes=()), "claims 0 dimensions; expected 1 to 4"),
    (idx(sizes=(1,) * 5), "claims 5 dimensions"),
    (idx()[:9], "truncated inside its header"),
    (idx(content=b"12345"), "is truncated"),
    (idx(content=b"1234567"), "has bytes after its array"),
    (idx(sizes=(2**31, 28, 28)), "needs 1,683,627,180,032 bytes"),
    (idx(sizes=(2**32 - 1,) * 4), "is truncated"),
]


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(("content", "message"), BAD_IDX)
def test_bad_idx_files_are_refused(tmp_path: Path, content: bytes, message: str, zipped: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(DataError, match=message):
        read_idx(path)


@pytest.mark.parametrize("keep", [3, 12, 20, -1, -8])
def test_a_damaged_gzip_stream_is_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(idx())[:keep])
    with pytest.raises(DataError, match=r"damaged gzip|truncated|no IDX"):
        read_idx(path)


def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(idx(content=b"x" * 50_000_000)))
    tracemalloc.start()
    with pytest.raises(DataError, match="has bytes after its array"):
        read_idx(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 5_000_000


@settings(max_examples=150, deadline=None)
@given(position=st.integers(0, 17), byte=st.integers(0, 255), cut=st.integers(0, 18))
def test_idx_files_with_any_byte_changed_are_read_or_refused(
    tmp_path_factory: Any, position: int, byte: int, cut: int
) -> None:
    content = bytearray(idx())
    content[position] = byte
    path = tmp_path_factory.getbasetemp() / "mutated.idx"
    path.write_bytes(content[:cut])
    try:
        assert read_idx(path).nbytes < cut
    except DataError as error:
        assert "mutated.idx" in str(error)


def test_write_idx_refuses_what_the_format_lacks(tmp_path: Path) -> None:
    with pytest.raises(DtypeError, match="int64"):
        write_idx(tmp_path / "a", np.zeros(3, np.int64))
    with pytest.raises(ShapeError, match="1 to 4 dimensions"):
        write_idx(tmp_path / "a", np.zeros((), np.uint8))
    assert list(tmp_path.iterdir()) == []


# ---- MNIST and Fashion-MNIST --------------------------------------------------------------------------


def write_mnist(folder: Path, zipped: bool = True, count: int = 4) -> Path:
    """Four small files laid out as MNIST's."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    for file in mnist.SOURCE.checksums:
        shape = (count, 28, 28) if "images" in file else (count,)
        high = 256 if "images" in file else 10
        write_idx(folder / (file if zipped else file[:-3]), generator.integers(0, high, shape, np.uint8))
    return folder


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(("module", "name"), [(mnist, "mnist"), (fashion_mnist, "fashion-mnist")])
def test_files_of_the_user_are_used_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, zipped: bool
) -> None:
    folder = write_mnist(tmp_path / name, zipped)
    monkeypatch.setenv("NNKIT_DATA", str(tmp_path))
    (x_train, y_train), (x_test, y_test) = module.load_data()
    assert (x_train.shape, x_train.dtype, y_train.shape, y_train.dtype) == (
        (4, 28, 28),
        np.uint8,
        (4,),
        np.uint8,
    )
    assert not np.array_equal(x_train, x_test)
    monkeypatch.delenv("NNKIT_DATA")
    np.testing.assert_array_equal(module.load_data(folder)[1][1], y_test)


def test_a_folder_without_the_files_is_refused_with_their_names(tmp_path: Path) -> None:
    (write_mnist(tmp_path / "m") / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"lacks files of mnist: t10k-labels-idx1-ubyte\.gz$"):
        mnist.load_data(tmp_path / "m")


@pytest.mark.parametrize(
    ("file", "array", "message"),
    [
        ("train-images-idx3-ubyte.gz", np.zeros((4, 28, 27), np.uint8), r"images \(n, 28, 28\)"),
        ("train-images-idx3-ubyte.gz", np.zeros((4, 28, 28), np.float32), "float32"),
        ("train-images-idx3-ubyte.gz", np.zeros((5, 28, 28), np.uint8), "must hold 5 uint8 labels"),
        ("t10k-labels-idx1-ubyte.gz", np.full(4, 10, np.uint8), "from 0 to 9"),
    ],
)
def test_files_that_are_not_mnist_are_refused(tmp_path: Path, file: str, array: np.ndarray, message: str) -> None:
    write_idx(write_mnist(tmp_path) / file, array)
    with pytest.raises(DataError, match=message):
        mnist.load_data(tmp_path)


PAGES = {"one.gz": b"first file", "two.gz": b"second file"}
SOURCE = Source(
    "pages",
    mirrors=("https://down.example/", "https://wrong.example/", "https://up.example/"),
    checksums={name: hashlib.sha256(content).hexdigest() for name, content in PAGES.items()},
)


class Network:
    """A downloader that reaches some hosts, one of which serves other bytes."""

    def __init__(self, *hosts: str) -> None:
        self.hosts = hosts
        self.asked: list[str] = []

    def __call__(self, url: str, path: str, pooch: Any) -> None:
        self.asked.append(url)
        _, _, host, file = url.split("/")
        if host not in self.hosts:
            raise ConnectionError(f"cannot reach {host}")
        Path(path).write_bytes(b"<html>" if host == "wrong.example" else PAGES[file])


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / "cache" / project)
    monkeypatch.delenv("NNKIT_DATA", raising=False)
    monkeypatch.delenv("NNKIT_CACHE", raising=False)
    return tmp_path / "cache" / "nnkit" / "pages"


def test_downloads_take_the_first_mirror_that_serves_the_right_bytes(cache: Path) -> None:
    network = Network("wrong.example", "up.example")
    files = locate(SOURCE, downloader=network)
    assert {name: path.read_bytes() for name, path in files.items()} == PAGES
    assert [url.split("/")[2] for url in network.asked] == ["down.example", "wrong.example", "up.example"] * 2
    assert sorted(path.name for path in cache.iterdir()) == sorted(PAGES)
    again = Network()
    assert locate(SOURCE, downloader=again) == files
    assert again.asked == []


@pytest.mark.parametrize("variable", ["NNKIT_CACHE", "NNKIT_DATA"])
def test_a_folder_in_the_users_home_is_found(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv(variable, "~/mine")
    if variable == "NNKIT_DATA":
        (tmp_path / "mine" / "pages").mkdir(parents=True)
        for name, content in PAGES.items():
            (tmp_path / "mine" / "pages" / name).write_bytes(content)
    files = locate(SOURCE, downloader=Network("up.example"))
    assert {path.parent for path in files.values()} == {tmp_path / "mine" / "pages"}


def test_a_pipe_is_no_data_set(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="is not a regular file"):
        read_idx(tmp_path / "pipe")


def test_a_damaged_file_in_the_cache_is_fetched_again(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "one.gz").write_bytes(b"half of")
    files = locate(SOURCE, downloader=Network("up.example"))
    assert files["one.gz"].read_bytes() == PAGES["one.gz"]


@pytest.mark.parametrize("setting", [None, "some/folder"])
def test_offline_the_error_says_which_files_to_put_where(
    cache: Path, monkeypatch: pytest.MonkeyPatch, setting: str | None
) -> None:
    if setting:
        monkeypatch.setenv("NNKIT_DATA", setting)
    with pytest.raises(DataError) as caught:
        locate(SOURCE, downloader=Network("wrong.example"))
    message = str(caught.value)
    wanted = "put these files, gzipped or not, into some/folder/pages: one.gz, two.gz"
    assert (wanted if setting else "into <folder>/pages and set NNKIT_DATA=<folder>: one.gz, two.gz") in message
    assert "https://down.example/one.gz: cannot reach down.example" in message
    assert "https://wrong.example/one.gz: SHA256 hash" in message
    assert not list(cache.glob("*"))


def test_without_pooch_the_error_says_how_to_install_it(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(DataError, match=r"pip install .*data.*Or put these files"):
        locate(SOURCE)


@pytest.mark.parametrize("module", [mnist, fashion_mnist])
def test_sources_name_the_four_files_with_checksums(module: Any) -> None:
    assert set(module.SOURCE.checksums) == {*mnist.TRAIN, *mnist.TEST}
    assert all(len(bytes.fromhex(checksum)) == 32 for checksum in module.SOURCE.checksums.values())
    assert all(mirror.endswith("/") for mirror in module.SOURCE.mirrors) and len(module.SOURCE.mirrors) == 2
    assert fetch.FOLDER_VARIABLE == "NNKIT_DATA"
