"""nnkit.io below models: arrays in safetensors files, and files that are none."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from nnkit.errors import DtypeError, ModelFileError
from nnkit.io import load_weights, save_weights

# ---- arrays ---------------------------------------------------------------------------------------

TABLE = np.arange(24.0, dtype=np.float32).reshape(4, 6)
LAYOUTS: dict[str, np.ndarray] = {
    "plain": TABLE,
    "fortran": np.asfortranarray(TABLE),
    "transposed": TABLE.T,
    "strided": TABLE[::2, 1::2],
    "reversed": TABLE[::-1, ::-1],
    "broadcast": np.broadcast_to(TABLE[0], (3, 6)),
    "byte-swapped": TABLE.astype(">f4"),
    "scalar": np.array(3.0, np.float32),
    "empty": np.zeros((0, 3), np.float32),
    "empty too": np.zeros((3, 0), np.float32),
}


@pytest.mark.parametrize("dtype", ["?", "u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"])
def test_arrays_of_every_type_and_layout_come_back(tmp_path: Path, dtype: str) -> None:
    arrays = {name: array.astype(array.dtype.byteorder + dtype, order="K") for name, array in LAYOUTS.items()}
    before = {name: array.tobytes() for name, array in arrays.items()}
    save_weights(tmp_path / "w", arrays, {"note": "π"})
    back, metadata = load_weights(tmp_path / "w")
    assert metadata == {"note": "π"} and set(back) == set(arrays)
    for name, array in arrays.items():
        assert (back[name].dtype, back[name].shape) == (np.dtype(dtype), array.shape), name
        np.testing.assert_array_equal(back[name], array, err_msg=name)
        assert back[name].flags.writeable and back[name].flags.c_contiguous
        assert array.tobytes() == before[name]


def test_other_programs_read_our_files_and_we_read_theirs(tmp_path: Path) -> None:
    save_weights(tmp_path / "ours", {"w": TABLE.T})
    np.testing.assert_array_equal(safetensors.numpy.load_file(tmp_path / "ours")["w"], TABLE.T)
    safetensors.numpy.save_file({"w": TABLE}, tmp_path / "theirs", {"format": "pt"})
    arrays, metadata = load_weights(tmp_path / "theirs")
    np.testing.assert_array_equal(arrays["w"], TABLE)
    assert metadata == {"format": "pt"}


@pytest.mark.parametrize(
    "array", [np.array([1j]), np.array(["a"]), np.array([None]), np.array([1], np.longdouble)], ids=str
)
def test_save_weights_refuses_other_types(tmp_path: Path, array: np.ndarray) -> None:
    with pytest.raises(DtypeError, match="array 'w' has dtype"):
        save_weights(tmp_path / "w", {"w": array})
    assert os.listdir(tmp_path) == []


def test_save_weights_refuses_names_that_would_not_come_back(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="__metadata__"):
        save_weights(tmp_path / "w", {"__metadata__": TABLE})
    with pytest.raises(ModelFileError, match="has room for 16,777,216"):
        save_weights(tmp_path / "w", {}, {"long": "x" * 17_000_000})
    assert os.listdir(tmp_path) == []


def small_file() -> bytes:
    return safetensors.numpy.save({"a": np.arange(3, dtype="f4"), "b": np.ones((2, 2), "i8")}, {"k": "v"})


def test_every_truncation_and_extension_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w"
    content = small_file()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ModelFileError, match=r"truncated .*the file has|truncated: \d bytes"):
            load_weights(path)
    path.write_bytes(content + b"\0")
    with pytest.raises(ModelFileError, match="has 1 bytes more than its header describes"):
        load_weights(path)


def file_of(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype: Any = "U8", shape: Any = (1,), offsets: Any = (0, 1)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


BAD_FILES = {
    "header of 2**63 bytes": (file_of({}, length=2**63), "claims a header of 9,223,372,036,854,775,808 bytes"),
    "header of 200 MB": (file_of({}, length=200_000_000), "claims a header of 200,000,000 bytes"),
    "repeated name": (file_of(b'{"a":1,"a":2}'), "the name 'a' is given twice"),
    "repeated metadata": (file_of(b'{"__metadata__":{"k":"v","k":"w"}}'), "the name 'k' is given twice"),
    "no JSON": (file_of(b"{nonsense}"), "not valid JSON"),
    "NaN": (file_of(b'{"a":NaN}'), "NaN is not JSON"),
    "number of 5,000 digits": (file_of(b'{"a":' + b"9" * 5000 + b"}"), "not valid JSON"),
    "no UTF-8": (file_of(b'{"\xff":1}'), "not UTF-8"),
    "UTF-16": (file_of('{"a":1}'.encode("utf-16-le")), "not valid JSON"),
    "deep nesting": (file_of(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "nested too deeply"),
    "no braces": (file_of(b"[1]"), "does not begin with a brace"),
    "leading space": (file_of(b" {}"), "does not begin with a brace"),
    "metadata of numbers": (file_of({"__metadata__": {"k": 1}}), "texts to texts"),
    "entry is a number": (file_of({"a": 1}), "must have exactly dtype, shape and data_offsets"),
    "entry with more": (file_of({"a": {**entry(), "code": "x"}}, b"x"), "must have exactly"),
    "unknown type": (file_of({"a": entry("F8_E4M3")}, b"x"), "'F8_E4M3', which NumPy lacks"),
    "type is a list": (file_of({"a": entry(["U8"])}, b"x"), "which NumPy lacks"),
    "negative size": (file_of({"a": entry(shape=[-1, -1])}, b"x"), "impossible shape"),
    "size is a float": (file_of({"a": entry(shape=[1.0])}, b"x"), "impossible shape"),
    "size is true": (file_of({"a": entry(shape=[True])}, b"x"), "impossible shape"),
    "size overflows": (file_of({"a": entry(shape=[2**62, 4])}, b"x"), "needs 18,446,744,073,709,551,616 bytes"),
    "size beyond 64 bits": (file_of({"a": entry(shape=[2**64])}, b"x"), "impossible shape"),
    "rank 33": (file_of({"a": entry(shape=[1] * 33)}, b"x"), "impossible shape"),
    "three offsets": (file_of({"a": entry(offsets=[0, 1, 1])}, b"x"), "impossible data_offsets"),
    "offsets backwards": (file_of({"a": entry(offsets=[1, 0])}, b"x"), "data_offsets give -1"),
    "offsets too short": (file_of({"a": entry(shape=[2])}, b"x"), "needs 2 bytes, its data_offsets give 1"),
    "hole": (file_of({"a": entry(offsets=[1, 2])}, b"xx"), "overlap or leave a hole at byte 0"),
    "overlap": (file_of({"a": entry(), "b": entry()}, b"x"), "overlap or leave a hole"),
    "huge tensor": (file_of({"a": entry(shape=[2**40], offsets=[0, 2**40])}, b"x"), "says 1,099,511,627,"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_hostile_header_is_refused(tmp_path: Path, name: str) -> None:
    content, message = BAD_FILES[name]
    path = tmp_path / "w"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=message):
        load_weights(path)


def zip_file() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", b"x")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        *((pickle.dumps({"w": [1.0] * 9}, protocol), "a pickle") for protocol in range(2, 6)),
        (zip_file(), "a zip archive"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file"),
        (b"\x93NUMPY" + bytes(100), "a NumPy .npy file"),
        (b"\x1f\x8b\x08" + bytes(100), "a gzip archive"),
    ],
)
def test_files_of_other_kinds_are_named_and_never_opened(tmp_path: Path, content: bytes, kind: str) -> None:
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(ModelFileError, match=f"is {kind}.* never opens these"):
        load_weights(tmp_path / "w")


def test_a_header_length_that_looks_like_a_pickle_is_no_pickle(tmp_path: Path) -> None:
    text = json.dumps({"a": entry()}).encode()
    content = file_of(text + b" " * (0x0280 - len(text)), b"x")
    assert content[:2] == pickle.dumps(1, 2)[:2]
    (tmp_path / "w").write_bytes(content)
    assert load_weights(tmp_path / "w").arrays["a"].tolist() == [ord("x")]


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        load_weights(tmp_path)
    with pytest.raises(FileNotFoundError):
        load_weights(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelFileError, match="not a regular file"):
        load_weights(tmp_path / "pipe")


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
likely = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "U8", "I64", "F8_E5M2", "F8_E4M3"]) | values,
        "shape": st.lists(st.integers(-1, 2**33), max_size=4) | values,
        "data_offsets": st.lists(st.integers(-1, 2**40), min_size=2, max_size=2) | values,
    }
)


@settings(max_examples=300, deadline=None)
@given(header=st.dictionaries(st.text(max_size=5), likely | values, max_size=3), data=st.binary(max_size=32))
def test_no_header_crashes_or_allocates(tmp_path_factory: Any, header: Any, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "mutated"
    path.write_bytes(file_of(header, data))
    load_or_refuse(path)


@settings(max_examples=300, deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), min_size=1, max_size=6))
def test_no_change_of_bytes_crashes_or_allocates(tmp_path_factory: Any, changes: list[tuple[int, int]]) -> None:
    content = bytearray(small_file())
    for position, byte in changes:
        content[position % len(content)] = byte
    path = tmp_path_factory.getbasetemp() / "mutated"
    path.write_bytes(content)
    load_or_refuse(path)


def load_or_refuse(path: Path) -> None:
    tracemalloc.start()
    try:
        arrays, _ = load_weights(path)
        assert sum(array.nbytes for array in arrays.values()) <= path.stat().st_size
    except ModelFileError as error:
        assert "mutated" in str(error)
    finally:
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert most < 1_000_000
