"""PyTorch's files that were damaged or made to do harm: refused, having run nothing and taken no memory."""

from __future__ import annotations

import io
import pickle
import random
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest

import nnkit
from nnkit.errors import ModelFileError

FILES = Path(__file__).parent / "reference" / "torch_files"
RAN: list[str] = []


def harm(*given: Any) -> str:
    """What a hostile pickle would call."""
    RAN.append("harm")
    return "harm"


class Caller:
    """Pickles to a call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> Any:
        return self.reduced


def zipped(pickled: bytes, compression: int = zipfile.ZIP_STORED, **entries: bytes) -> bytes:
    """An archive as PyTorch writes it, with this pickle and these other entries."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled)
        for name, content in entries.items():
            archive.writestr(f"archive/{name.replace('__', '/')}", content)
    return buffer.getvalue()


def tensor_pickle(
    offset: bytes = b"K\x00", sizes: bytes = b"K\x02\x85", strides: bytes = b"K\x01\x85", kind: str = "FloatStorage",
    count: bytes = b"K\x02", key: bytes = b"X\x01\x00\x00\x000",
) -> bytes:  # fmt: skip
    """A pickle of one tensor, with parts of it as instructions."""
    reference = b"(X\x07\x00\x00\x00storage" + f"ctorch\n{kind}\n".encode() + key + b"X\x03\x00\x00\x00cpu" + count
    call = b"ctorch._utils\n_rebuild_tensor_v2\n(" + reference + b"tQ" + offset + sizes + strides
    return b"\x80\x02" + call + b"\x89ccollections\nOrderedDict\n)RtR."


TWO = {"data__0": struct.pack("<2f", 1.0, 2.0)}
HUGE = b"\x8a\x08" + (2**60).to_bytes(8, "little")
DEEP = b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."
LAUGHS = b"\x80\x02(]q\x00K\x01a" + b"".join(
    b"](" + b"h" + bytes([level]) + b"h" + bytes([level]) + b"eq" + bytes([level + 1]) for level in range(60)
) + b"t."  # fmt: skip
ITSELF = b"\x80\x02]q\x00h\x00a."

HOSTILE: list[tuple[str, bytes, str]] = [
    ("a function", zipped(pickle.dumps({"a": Caller(harm)}, 2)), "test_hostile_torch_files.harm"),
    ("os.system", zipped(pickle.dumps(Caller(__import__("os").system, "true"), 2)), "system"),
    ("eval", zipped(pickle.dumps(Caller(eval, "RAN.append(1)"), 2)), "eval"),
    ("getattr", zipped(pickle.dumps(Caller(getattr, 1, "real"), 4)), "getattr"),
    ("a class", zipped(b"\x80\x02cpathlib\nPath\n)R."), "pathlib.Path"),
    ("a dotted name", zipped(b"\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.fromkeys\x93."), "OrderedDict.fromkeys"),
    ("its own instruction", zipped(b"\x80\x02(i__main__\nharm\n."), "instruction INST"),
    ("an extension", zipped(b"\x80\x02\x82\x01."), "instruction EXT1"),
    ("a class as a value", zipped(b"\x80\x02ctorch\nFloatStorage\n."), "name of a class instead of a value"),
    ("a class as a value in a list", zipped(b"\x80\x02]ctorch._utils\n_rebuild_tensor_v2\na."), "name of a class"),
    ("a storage that is called", zipped(b"\x80\x02ctorch\nFloatStorage\n)R."), "something is called"),
    ("a state for a list", zipped(b"\x80\x02]}b."), "a state is given"),
    ("attributes of an OrderedDict", zipped(b"\x80\x02ccollections\nOrderedDict\n)RX\x01\x00\x00\x00ab."), "a state"),
    ("nesting", zipped(DEEP), "nested too deeply"),
    ("many of the same", zipped(LAUGHS), "nested too deeply, or too many"),
    ("a list in itself", zipped(ITSELF), "holds itself"),
    ("a dict in itself", zipped(b"\x80\x02}q\x00K\x01h\x00s."), "holds itself"),
    ("no end", zipped(b"\x80\x02}"), "damaged"),
    ("nothing", zipped(b""), "damaged|no end"),
    ("an empty stack", zipped(b"\x80\x02."), "damaged"),
    ("a mark alone", zipped(b"\x80\x02(."), "damaged"),
    ("a memo that is not there", zipped(b"\x80\x02h\x05."), "damaged"),
    ("a far memo", zipped(b"\x80\x02Nr\xff\xff\xff\xff0."), "instruction POP"),
    ("a length beyond the file", zipped(b"\x80\x04\x8e" + struct.pack("<Q", 2**50) + b"abc."), "damaged"),
    ("a list as a key", zipped(b"\x80\x02}]K\x01s."), "damaged"),
    ("a tensor beyond its storage", zipped(tensor_pickle(sizes=b"K\x03\x85"), **TWO), "not inside its storage"),
    ("an offset beyond", zipped(tensor_pickle(offset=b"K\x01"), **TWO), "not inside its storage"),
    ("an offset below 0", zipped(tensor_pickle(offset=b"J\xff\xff\xff\xff"), **TWO), "impossible place"),
    ("a stride below 0", zipped(tensor_pickle(strides=b"J\xff\xff\xff\xff\x85"), **TWO), "impossible shape"),
    ("a size below 0", zipped(tensor_pickle(sizes=b"J\xff\xff\xff\xff\x85"), **TWO), "impossible shape"),
    ("a size that is true", zipped(tensor_pickle(sizes=b"\x88\x85"), **TWO), "impossible shape"),
    ("more strides", zipped(tensor_pickle(strides=b"K\x01K\x01\x86"), **TWO), "impossible place"),
    ("one element, very often", zipped(tensor_pickle(sizes=HUGE + b"\x85", strides=b"K\x00\x85"), **TWO), "far larger"),
    ("a large storage", zipped(tensor_pickle(sizes=HUGE + b"\x85", count=HUGE + b"\x8a\x01\x010"), **TWO), "."),
    ("a storage of another length", zipped(tensor_pickle(count=b"K\x03"), **TWO), "has 8 bytes; 3 elements"),
    ("no storage", zipped(tensor_pickle()), "lacks 'data/0'"),
    ("a storage elsewhere", zipped(tensor_pickle(key=b"X\x0b\x00\x00\x00../data.pkl"), **TWO), "lacks"),
    ("a storage with a number", zipped(tensor_pickle(key=b"K\x00"), **TWO), "unknown kind"),
    ("quantized", zipped(tensor_pickle(kind="QInt8Storage"), **TWO), "torch.QInt8Storage"),
    ("complex", zipped(tensor_pickle(kind="ComplexFloatStorage"), **TWO), "torch.ComplexFloatStorage"),
    ("bytes of a storage to load", zipped(b"\x80\x02ctorch.storage\n_load_from_bytes\n."), "_load_from_bytes"),
    ("compressed", zipped(tensor_pickle(), zipfile.ZIP_DEFLATED, data__0=bytes(10**7)), "compressed"),
    ("an array of objects", zipped(pickle.dumps(__import__("numpy").array([harm], object), 2)), "."),
]  # fmt: skip


@pytest.mark.parametrize(("content", "message"), [row[1:] for row in HOSTILE], ids=[row[0] for row in HOSTILE])
def test_hostile_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError, match=message):
            nnkit.load(path)
        assert tracemalloc.get_traced_memory()[1] < 200e6
    finally:
        tracemalloc.stop()
    assert not RAN
    with pytest.raises(ModelFileError):
        nnkit.load(io.BytesIO(content))


@pytest.mark.parametrize("name", ["zip", "old"])
def test_damaged_files_are_refused_or_read(tmp_path: Path, name: str) -> None:
    whole = (FILES / f"{name}.pt").read_bytes()
    chance = random.Random(0)
    path = tmp_path / "x.pt"
    for number in range(150):
        damaged = bytearray(whole)
        if number % 3:
            for _ in range(chance.randrange(1, 4)):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        else:
            del damaged[chance.randrange(len(damaged)) :]
        path.write_bytes(damaged)
        try:
            nnkit.load(path)
        except ModelFileError:
            pass
    assert not RAN


def test_other_zip_archives_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights.npy", b"")
    with pytest.raises(ModelFileError, match="a zip archive"):
        nnkit.load(path)
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ModelFileError, match="a pickle"):
        nnkit.load(path)
