"""Faults of files: torn, damaged, hostile, or of something else."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pickle
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faults.models import (
    CLASSES,
    LABELS,
    X,
    classifier,
    described,
    regression,
    run,
    seeded,
    weights,
    with_header,
    zipped,
)
from faults.table import fault

import nnkit
from nnkit import io, nn
from nnkit.errors import ModelFileError
from nnkit.io import load_weights, save_weights, write_file
from nnkit.training import ModelCheckpoint

KILLED = """
import os, signal, sys
from nnkit.io import write_file
name, call, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
real, left = getattr(os, name), iter(range(10**6))
def function(*arguments):
    if next(left) == call:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments)
write = os.write
os.write = lambda descriptor, data: write(descriptor, data[:40])
real = getattr(os, name)
setattr(os, name, function)
write_file(path, b"n" * 100)
"""


@fault(
    1, "kill -9 while a checkpoint is written", "its name refers to the file before, or to the new one, whole",
    "the earlier checkpoint; what was left is removed at the next save", promise=2,
)  # fmt: skip
def killed(folder: Path, patch: pytest.MonkeyPatch) -> None:
    path = folder / "file"
    for name, call, written in (
        ("write", 1, b"old"),
        ("fsync", 0, b"old"),
        ("replace", 0, b"old"),
        ("fsync", 1, b"n" * 100),
    ):
        write_file(path, b"old")
        assert run(KILLED, name, call, path, check=False).returncode == -9
        assert path.read_bytes() == written
    write_file(path, b"whole")
    assert os.listdir(folder) == ["file"]


def failing(patch: pytest.MonkeyPatch, name: str, call: int, code: int) -> None:
    """Let a function of ``os`` fail at one of its calls."""
    real, left = getattr(os, name), iter(range(10**6))

    def function(*arguments: Any, **options: Any) -> Any:
        if next(left) == call:
            raise OSError(code, os.strerror(code))
        return real(*arguments, **options)

    patch.setattr(os, name, function)


NOT_SAVED = r"nothing was saved and the earlier file, if any, is intact \([\d,]+ bytes needed, [\d,]+ free"


class Failing(ModelCheckpoint):
    """Saves while one function of the system fails."""

    def __init__(self, path: Path, patch: pytest.MonkeyPatch, name: str, code: int) -> None:
        super().__init__(path)
        self.failure = patch, name, 0, code

    def write(self, path: Path) -> None:
        failing(*self.failure)
        super().write(path)


@fault(
    2, "the disk is full, over quota or broken while a model is saved in a training",
    "OSError with the path, the bytes needed and free; the training ends in order", "the old file; the trained weights",
    promise=2,
)  # fmt: skip
def disk_full(folder: Path, patch: pytest.MonkeyPatch) -> None:
    path = folder / "model"
    classifier().save(path)
    old = path.read_bytes()
    for name in ("open", "write", "fsync", "replace"):
        for code in (errno.ENOSPC, errno.EIO, errno.EDQUOT):
            model, before = seeded(), weights(seeded())
            with patch.context() as inner, pytest.raises(OSError, match=NOT_SAVED) as caught:
                model.fit(X, LABELS, callbacks=[Failing(path, inner, name, code)], epochs=3, **CLASSES)
            assert caught.value.filename == str(path)
            assert path.read_bytes() == old and os.listdir(folder) == ["model"]
            assert weights(model) != before and np.isfinite(model.predict(X)).all() and model.training is not None


@fault(
    3, "a folder that cannot be written, a link, and a file of mode 0600", "OSError with the path; mode kept",
    "the link's target; the secret while it is replaced",
)  # fmt: skip
def targets(folder: Path, patch: pytest.MonkeyPatch) -> None:
    with patch.context() as inner:
        failing(inner, "open", 0, errno.EROFS)
        with pytest.raises(OSError, match="Read-only file system; nothing was saved"):
            io.save({"a": 1}, folder / "file")
    (folder / "target").write_bytes(b"precious")
    (folder / "link").symlink_to(folder / "target")
    write_file(folder / "link", b"new")
    assert (folder / "target").read_bytes() == b"precious" and not (folder / "link").is_symlink()
    (folder / "target").chmod(0o600)
    modes, real = set(), os.write
    patch.setattr(os, "write", lambda d, data: (modes.add(stat.S_IMODE(os.fstat(d).st_mode)), real(d, data))[1])
    write_file(folder / "target", b"secret")
    assert modes == {0o600} == {stat.S_IMODE((folder / "target").stat().st_mode)}


@fault(4, "a file cut off after any byte", "ModelFileError: truncated; no memory for what is not there", "the process")
def truncated(folder: Path, patch: pytest.MonkeyPatch) -> None:
    regression().save(folder / "whole")
    content = (folder / "whole").read_bytes()
    for length in range(len(content)):
        (folder / "cut").write_bytes(content[:length])
        with pytest.raises(ModelFileError, match="is truncated"):
            io.load(folder / "cut")


HEADERS: dict[str, tuple[bytes, str]] = {
    "2**63 bytes": (with_header({}, length=2**63), "claims a header of"),
    "200 MB": (with_header({}, length=200_000_000), "claims a header of"),
}
ENTRY = {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}
ENTRIES: dict[str, tuple[bytes, str]] = {
    "a name twice": (with_header(b'{"a":1,"a":2}'), "is given twice"),
    "a hole": (with_header({"a": {**ENTRY, "data_offsets": [1, 2]}}, b"xx"), "overlap or leave a hole"),
    "an overlap": (with_header({"a": ENTRY, "b": ENTRY}, b"x"), "overlap or leave a hole"),
    "bytes behind": (with_header({"a": ENTRY}, b"xyz"), "bytes more than its header describes"),
    "an unknown type": (with_header({"a": {**ENTRY, "dtype": "F8_E4M3"}}, b"x"), "which NumPy lacks"),
    "a shape beyond 64 bits": (with_header({"a": {**ENTRY, "shape": [2**62, 4]}}, b"x"), "needs 18,446,744"),
    "deep nesting": (with_header(b'{"a":' + b"[" * 100_000), "nested too deeply"),
    "no UTF-8": (with_header(b'{"\xff":1}'), "not UTF-8"),
}  # fmt: skip


def refused(folder: Path, files: dict[str, tuple[bytes, str]]) -> None:
    for name, (content, message) in files.items():
        (folder / "file").write_bytes(content)
        for read in (io.load, io.load_state_dict, io.load_checkpoint, load_weights):
            with pytest.raises(ModelFileError, match=message):
                read(folder / "file")
                pytest.fail(name)


@fault(5, "a header that claims 2**63 or 200 MB", "ModelFileError before anything is read", "memory")
def headers(folder: Path, patch: pytest.MonkeyPatch) -> None:
    refused(folder, HEADERS)


@fault(
    6, "names twice, holes, overlaps, bytes behind, unknown types, impossible shapes", "ModelFileError", "the process"
)
def entries(folder: Path, patch: pytest.MonkeyPatch) -> None:
    refused(folder, ENTRIES)
    save_weights(folder / "file", {"../../x": np.ones(1)})
    assert list(load_weights(folder / "file").arrays) == ["../../x"] and os.listdir(folder) == ["file"]


@fault(7, "the right file for another architecture", "ModelFileError lists every mismatch", "the model, all of it")
def architecture(folder: Path, patch: pytest.MonkeyPatch) -> None:
    model, other = classifier(), nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2), nn.Linear(2, 2))
    io.save(other.state_dict(), folder / "state")
    io.save_checkpoint(folder / "checkpoint", other)
    before = weights(model)
    for act in (
        lambda: model.load_state_dict(io.load_state_dict(folder / "state")),
        lambda: io.load_checkpoint(folder / "checkpoint", model),
    ):
        with pytest.raises(ModelFileError, match=r"nothing was loaded\. 4 mismatches"):
            act()
        assert weights(model) == before


@fault(
    8, "a newer version of the format, or a class that is not registered", "says which; nothing is imported", promise=1
)
def unknown(folder: Path, patch: pytest.MonkeyPatch) -> None:
    for changes, message in (
        ({"version": 99}, "version 99 of the format, and this nnkit reads up to 1; upgrade nnkit"),
        ({"model": {"class": "antigravity.Net", "arguments": {}}}, "needs 'antigravity.Net', which is not registered"),
    ):
        described(folder / "file", **changes)
        with pytest.raises(ModelFileError, match=message):
            io.load(folder / "file")


@fault(9, "a pickle, .h5, .keras, .npy or .gz file", "ModelFileError names what it is; it is never opened", promise=1)
def foreign(folder: Path, patch: pytest.MonkeyPatch) -> None:
    refused(
        folder,
        {
            "pickle": (pickle.dumps({"w": [1.0] * 9}), "is a pickle .*never opens these"),
            "zip": (zipped(), "is a zip archive .*never opens these"),
            "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "is an HDF5 file .*never opens these"),
            "npy": (b"\x93NUMPY" + bytes(100), r"is a NumPy .npy file.* never opens these"),
            "gzip": (b"\x1f\x8b\x08" + bytes(100), "is a gzip archive.* never opens these"),
        },
    )


# ---- attacks ----------------------------------------------------------------------------------------------


class Trap:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


READERS: list[Callable[[Path], Any]] = [
    io.load, io.load_state_dict, io.load_checkpoint, load_weights,
    lambda path: classifier().fit(X, LABELS, resume=path, **CLASSES),
]  # fmt: skip


@fault(
    "A",
    "a pickle in the place of weights",
    "refused, or read as plain text, by every reader",
    "nothing is unpickled",
    promise=1,
)
def pickled(folder: Path, patch: pytest.MonkeyPatch) -> None:
    contents = [pickle.dumps(Trap(folder / "mark"), protocol) for protocol in range(6)]
    contents += [with_header({}, contents[-1]), with_header({"__metadata__": {"nnkit": contents[0].decode("latin1")}})]
    for content in contents:
        (folder / "file").write_bytes(content)
        for read in READERS:
            with contextlib.suppress(ModelFileError):
                read(folder / "file")
    assert os.listdir(folder) == ["file"]


#: Descriptions that would run something if names in them were looked up anywhere but in the registry.
CODE: list[Any] = [
    {"class": "os.system", "arguments": {"command": "touch mark"}},
    {"class": "builtins.eval", "arguments": {"*": ["1"]}},
    {"class": "Lambda", "arguments": {"function": "lambda x: x"}},
    {"class": "Linear", "arguments": {"in_features": 3, "out_features": 2, "activation": "os.system"}},
    {"class": "Linear", "arguments": {"in_features": 3, "out_features": 2, "activation": {"registered": "os.system"}}},
    {"class": "Linear", "arguments": {"in_features": 3, "out_features": 2, "activation": {"import": "os"}}},
    {
        "class": "keras.Sequential",
        "arguments": {"layers": [{"dict": [["class_name", "os"], ["config", {"dict": []}]]}]},
    },
]


@fault(
    "B", "code or import paths in the description of a model", "ModelFileError", "nothing is imported or run", promise=1
)
def code(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.chdir(folder)
    for description in CODE:
        described(folder / "file", model=description)
        with pytest.raises(ModelFileError):
            io.load(folder / "file")
    described(folder / "file", safe_mode=False, trusted=True)  # nothing in a file turns anything off
    assert isinstance(io.load(folder / "file"), nn.Linear)
    assert os.listdir(folder) == ["file"]


@fault("C", "a file that is damaged so that another loader might take it", "ModelFileError; no second loader is tried")
def fallback(folder: Path, patch: pytest.MonkeyPatch) -> None:
    regression().save(folder / "whole")
    content = (folder / "whole").read_bytes()
    for module in ("pickle", "marshal", "zipfile"):
        patch.setitem(__import__("sys").modules, module, None)
    for damaged in (b"\x80\x04" + content[2:], content[:8] + b"[" + content[9:], b"PK\x03\x04" + content[4:]):
        (folder / "file").write_bytes(damaged)
        with pytest.raises(ModelFileError):
            io.load(folder / "file")


@fault(
    "D", "a device, a pipe, a folder or a link in the place of a file", "refused, or read as the file it is", "the rest"
)
def places(folder: Path, patch: pytest.MonkeyPatch) -> None:
    os.mkfifo(folder / "pipe")
    for path in (folder / "pipe", Path("/dev/zero"), Path(os.devnull)):
        with pytest.raises(ModelFileError, match="not a regular file"):
            io.load(path)
        with pytest.raises(OSError, match="expected the path of a regular file"):
            io.save({}, path)
    with pytest.raises(IsADirectoryError):
        io.load(folder)
    arrays = {"../outside": np.ones(1), "/absolute": np.ones(1)}
    save_weights(folder / "names", arrays)
    io.load(folder / "names")
    assert sorted(os.listdir(folder)) == ["names", "pipe"] and not (folder.parent / "outside").exists()


@fault("E", "attributes of objects named in a file", "refused, unless a constructor takes them", "classes and objects")
def attributes(folder: Path, patch: pytest.MonkeyPatch) -> None:
    for name in ("__class__", "__dict__", "forward", "_modules", "weight", "training"):
        arguments = {"in_features": 3, "out_features": 2, name: "x"}
        described(folder / "file", model={"class": "Linear", "arguments": arguments})
        with pytest.raises(ModelFileError, match=r"is no name of an argument|refuses what the file gives it"):
            io.load(folder / "file")
    assert nn.Linear(3, 2)(nnkit.zeros(1, 3)).shape == (1, 2)


@fault("F", "a download that is not what it should be", "refused by its checksum and deleted", "the cache")
def downloads(folder: Path, patch: pytest.MonkeyPatch) -> None:
    from nnkit.datasets.fetch import Source, locate
    from nnkit.errors import DataError

    patch.setenv("NNKIT_CACHE", str(folder))
    patch.delenv("NNKIT_DATA", raising=False)
    source = Source("pages", ("https://mirror.invalid/",), {"one.gz": "0" * 64})
    with pytest.raises(DataError, match="SHA256 hash"):
        locate(
            source, downloader=lambda url, path, pooch: Path(path).write_bytes(json.dumps("wrong").encode()) and None
        )
    assert [path for path in folder.rglob("*") if path.is_file()] == []
