"""nnkit.io.files: a name always refers to a complete file, whatever goes wrong while it is written."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nnkit.io import files, sha256, write_file


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


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_macos_is_asked_for_more_than_fsync(tmp_path: Path, known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def call(descriptor: int, command: int) -> None:
        asked.append(command)
        if not known:
            raise OSError(errno.ENOTSUP, "not on this file system")

    monkeypatch.setattr(files.fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(files.fcntl, "fcntl", call)
    write_file(tmp_path / "file", b"new")
    assert asked == [51] and (tmp_path / "file").read_bytes() == b"new"


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
