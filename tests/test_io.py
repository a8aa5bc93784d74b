"""nnkit.io below models: files that are whole or not there, and arrays in safetensors."""

from __future__ import annotations

import errno
import fcntl
import io
import json
import os
import pickle
import stat
import struct
import subprocess
import sys
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
from nnkit.io import files, load_weights, save_weights, sha256, write_file

# ---- files ----------------------------------------------------------------------------------------


def test_write_file_replaces_the_content_and_keeps_the_mode(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_file(path, b"old")
    os.chmod(path, 0o640)
    write_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["file"]


def test_a_new_file_has_the_mode_of_any_new_file(tmp_path: Path) -> None:
    write_file(tmp_path / "ours", b"")
    (tmp_path / "plain").write_bytes(b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_link_is_replaced_and_its_target_left_alone(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"precious")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_file(tmp_path / "link", b"new")
    assert (tmp_path / "target").read_bytes() == b"precious"
    assert (tmp_path / "link").read_bytes() == b"new" and not (tmp_path / "link").is_symlink()


def fail_at(call: int, real: Any, code: int = errno.ENOSPC) -> Any:
    """``real``, except that the call with this number fails as a full disk does."""
    calls = iter(range(1000))

    def function(*args: Any) -> Any:
        if next(calls) == call:
            raise OSError(code, os.strerror(code))
        return real(*args)

    return function


@pytest.mark.parametrize(
    ("function", "call"), [("open", 0), ("write", 0), ("write", 1), ("chmod", 0), ("fsync", 0), ("replace", 0)]
)
def test_a_failure_leaves_the_old_file_and_no_temporary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, call: int
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    real_write = os.write
    # Short writes, as on a disk that fills up.
    monkeypatch.setattr(os, "write", lambda descriptor, data: real_write(descriptor, data[:2]))
    monkeypatch.setattr(os, function, fail_at(call, getattr(os, function)))
    with pytest.raises(OSError, match=r"nothing was saved and the earlier file, if any, is intact \(7 bytes") as caught:
        write_file(path, b"content")
    monkeypatch.undo()
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_ctrl_c_while_writing_leaves_the_old_file_and_no_temporary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_file(path, b"content")
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize(("code", "ignored"), [(errno.EINVAL, True), (errno.EIO, False)])
def test_a_folder_that_cannot_be_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, ignored: bool
) -> None:
    monkeypatch.setattr(os, "fsync", fail_at(1, os.fsync, code))
    if ignored:
        write_file(tmp_path / "file", b"content")
    else:
        with pytest.raises(OSError, match=os.strerror(code)):
            write_file(tmp_path / "file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content"


KILLED_WHILE_WRITING = """
import os, signal, sys
from nnkit.io import write_file
os.replace = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)
write_file(sys.argv[1], b"new")
"""


def test_temporaries_of_a_killed_process_are_swept_and_others_kept(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, str(path)], check=False)
    (left_over,) = set(os.listdir(tmp_path)) - {"file"}
    assert path.read_bytes() == b"old"
    written, other = left_over.replace(".file.", ".file.0"), left_over.replace(".file.", ".other.")
    for name in (written, other, ".file.notes"):
        (tmp_path / name).write_bytes(b"")
    with open(tmp_path / written) as file:  # as its writer holds it
        fcntl.flock(file, fcntl.LOCK_EX)
        write_file(path, b"new")
        assert set(os.listdir(tmp_path)) == {"file", written, other, ".file.notes"}


def test_processes_of_one_number_do_not_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In containers the first process has number 1, and so has the one after a restart."""
    path = tmp_path / "file"
    monkeypatch.setattr(os, "getpid", lambda: 1)
    names: list[str] = []

    def killed(temporary: Path, target: Path) -> None:
        names.append(temporary.name)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    monkeypatch.setattr(Path, "unlink", lambda *args, **options: None)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            write_file(path, b"half")
    monkeypatch.undo()
    assert len(set(names)) == 3 and set(names) == set(os.listdir(tmp_path))
    write_file(path, b"whole")
    assert os.listdir(tmp_path) == ["file"]


def test_a_temporary_that_was_swept_too_early_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, left = fcntl.flock, iter([True, False, False])

    def flock(descriptor: int, operation: int) -> None:
        if next(left):
            for name in os.listdir(tmp_path):
                os.unlink(tmp_path / name)
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    write_file(tmp_path / "file", b"content")
    assert os.listdir(tmp_path) == ["file"] and (tmp_path / "file").read_bytes() == b"content"


def test_a_file_that_is_secret_is_secret_while_it_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen, real = tmp_path / "file", [], os.write
    write_file(path, b"old")
    path.chmod(0o600)

    def write(descriptor: int, data: Any) -> int:
        seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    write_file(path, b"new")
    assert seen == [0o600] and stat.S_IMODE(path.stat().st_mode) == 0o600


def test_only_regular_files_are_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path(os.devnull)):
        with pytest.raises(OSError, match="expected the path of a regular file"):
            write_file(path, b"content")
    assert not Path(os.devnull).is_file() and (tmp_path / "pipe").is_fifo()


def test_a_replacement_that_a_scanner_holds_up_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_WAITS", (0.0, 0.0))
    monkeypatch.setattr(os, "replace", fail_at(0, os.replace, errno.EACCES))
    write_file(tmp_path / "file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content"


def test_write_file_says_what_is_wrong_with_the_path(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="make it first"):
        write_file(tmp_path / "none" / "file", b"")
    with pytest.raises(IsADirectoryError, match="got a folder"):
        write_file(tmp_path, b"")


@pytest.mark.parametrize("name", ["x" * 255, "模" * 85])
def test_a_name_of_the_greatest_length_can_be_written(tmp_path: Path, name: str) -> None:
    write_file(tmp_path / name, b"content")
    assert os.listdir(tmp_path) == [name]


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


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
    with pytest.raises(ModelFileError, match=f"is {kind}.* nnkit never opens these, because"):
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
