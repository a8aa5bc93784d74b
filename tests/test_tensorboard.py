"""TensorBoard's files: records with checksums, read back here byte by byte."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit.utils.tensorboard import SummaryWriter
from nnkit.utils.tensorboard.event_file import crc32c, double, integer, message, number, record, text


def unmasked(value: int) -> int:
    value = (value - 0xA282EAD8) & 0xFFFFFFFF
    return (value << 15 | value >> 17) & 0xFFFFFFFF


def records(path: Path) -> Iterator[bytes]:
    """The contents of a TFRecord file, whose checksums are right."""
    content, at = path.read_bytes(), 0
    while at < len(content):
        length, checked = struct.unpack_from("<QI", content, at)
        assert unmasked(checked) == crc32c(content[at : at + 8])
        body = content[at + 12 : at + 12 + length]
        assert unmasked(struct.unpack_from("<I", content, at + 12 + length)[0]) == crc32c(body)
        yield body
        at += 16 + length


def varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte, at = content[at], at + 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def fields(content: bytes) -> dict[int, list[Any]]:
    """A protobuf message: number of a field -> its values."""
    found: dict[int, list[Any]] = {}
    at = 0
    while at < len(content):
        key, at = varint(content, at)
        value: Any
        if key & 7 == 0:
            value, at = varint(content, at)
        elif key & 7 == 2:
            length, at = varint(content, at)
            value, at = content[at : at + length], at + length
        else:
            value = struct.unpack_from("<d" if key & 7 == 1 else "<f", content, at)[0]
            at += 8 if key & 7 == 1 else 4
        found.setdefault(key >> 3, []).append(value)
    return found


def values(folder: Path) -> list[tuple[str, Any, dict[int, list[Any]]]]:
    """Tag, step and the fields of the value, of each event of a run."""
    (path,) = folder.glob("events.out.tfevents.*")
    first, *events = [fields(body) for body in records(path)]
    assert first[3] == [b"brain.Event:2"] and first[1][0] > 1.7e9
    found = []
    for event in events:
        value = fields(fields(event[5][0])[1][0])
        found.append((value[1][0].decode(), event.get(2, [None])[0], value))
    return found


def doubles(content: bytes) -> np.ndarray:
    return np.frombuffer(content, "<f8")


def test_numbers(device: str, tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as writer:
        writer.add_scalar("loss", nnkit.tensor([0.25]), 3)
        writer.add_scalar("loss", np.float64(0.5), global_step=2**40)
        writer.add_scalar("accuracy", 1)
    found = values(tmp_path)
    assert [(tag, step, value[2]) for tag, step, value in found] == [
        ("loss", 3, [0.25]),
        ("loss", 2**40, [0.5]),
        ("accuracy", None, [1.0]),
    ]


def test_several_numbers_are_runs_of_their_own(tmp_path: Path) -> None:
    with SummaryWriter(log_dir=str(tmp_path)) as writer:
        writer.add_scalars("loss/all", {"train": 1.0, "test": 2.0}, 0)
        writer.add_scalars("loss/all", {"train": 0.5}, 1)
    assert [(tag, step, v[2]) for tag, step, v in values(tmp_path / "loss_all_train")] == [
        ("loss/all", 0, [1.0]),
        ("loss/all", 1, [0.5]),
    ]
    assert values(tmp_path / "loss_all_test")[0][2][2] == [2.0]


def pixels(file: bytes, height: int, width: int, channels: int) -> np.ndarray:
    """The bytes of a PNG file without filters."""
    assert file[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", file[16:24]) == (width, height)
    begin = file.index(b"IDAT")
    length = struct.unpack(">I", file[begin - 4 : begin])[0]
    rows = np.frombuffer(zlib.decompress(file[begin + 4 : begin + 4 + length]), np.uint8)
    return rows.reshape(height, 1 + width * channels)[:, 1:].reshape(height, width, channels)


IMAGE = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5) * 4


@pytest.mark.parametrize(
    ("image", "order"),
    [
        (IMAGE, "CHW"),
        (IMAGE.transpose(1, 2, 0), "HWC"),
        (IMAGE[:1], "CHW"),
        (IMAGE[0], "HW"),
        ((IMAGE + 0.5) / 255.0, "CHW"),
        (nnkit.tensor((IMAGE + 0.5) / 255.0), "CHW"),
    ],
)
def test_images(tmp_path: Path, image: Any, order: str) -> None:
    with SummaryWriter(tmp_path) as writer:
        writer.add_image("i", image, 7, dataformats=order)
    ((tag, step, value),) = values(tmp_path)
    picture = fields(value[4][0])
    channels = 1 if image.shape[0] == 1 or order == "HW" else 3
    assert (tag, step, picture[1], picture[2]) == ("i", 7, [4], [5])
    assert np.array_equal(pixels(picture[4][0], 4, 5, channels), IMAGE[:channels].transpose(1, 2, 0))


def test_images_side_by_side(tmp_path: Path) -> None:
    images = np.stack([np.full((1, 2, 3), 10 * number, np.uint8) for number in range(9)])
    with SummaryWriter(tmp_path) as writer:
        writer.add_images("i", images)
    picture = fields(values(tmp_path)[0][2][4][0])
    grid = pixels(picture[4][0], 4, 24, 1)[:, :, 0]
    assert grid[0, ::3].tolist() == [10 * number for number in range(8)] and grid[2, ::3].tolist() == [80] + [0] * 7


def test_histograms(device: str, tmp_path: Path) -> None:
    drawn = np.array([-1.0, 0.0, 0.5, 0.5, 2.0, np.nan, np.inf])
    with SummaryWriter(tmp_path) as writer:
        writer.add_histogram("weights", nnkit.tensor(drawn), 1)
        writer.add_histogram("even", drawn, bins=4)
    for _, _, value in values(tmp_path):
        found = fields(value[5][0])
        assert [found[number][0] for number in (1, 2, 3, 4, 5)] == [-1.0, 2.0, 5.0, 2.0, 5.5]
        limits, counts = doubles(found[6][0]), doubles(found[7][0])
        assert len(limits) == len(counts) and counts.sum() == 5.0 and (np.diff(limits) > 0).all()
        for edge in (-1.0, 0.0, 0.5, 2.0):  # each value lies in a bin that ends at or behind it
            assert counts[limits >= edge - 1e-12].sum() >= (drawn[:5] >= edge).sum()


def test_texts_and_options(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as writer:
        writer.add_text("note", "**ü**", 1)
        writer.add_hparams({"lr": 0.1}, {"accuracy": 0.5})
    note, options, accuracy = values(tmp_path)
    assert note[0] == "note/text_summary" and fields(note[2][8][0])[8] == ["**ü**".encode()]
    assert fields(fields(note[2][9][0])[1][0])[1] == [b"text"]
    assert b"| lr | 0.1 |" in options[2][8][0] and accuracy[2][2] == [0.5]


def test_figures(tmp_path: Path) -> None:
    figures = pytest.importorskip("matplotlib.figure")
    pytest.importorskip("matplotlib.pyplot")
    with SummaryWriter(tmp_path) as writer:
        writer.add_figure("f", figures.Figure(figsize=(1, 2), dpi=50))
    picture = fields(values(tmp_path)[0][2][4][0])
    assert (picture[2], picture[1]) == ([50], [100]) and picture[4][0][:4] == b"\x89PNG"


def test_where_files_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    writer = SummaryWriter(comment="_try", filename_suffix=".x")
    assert Path(writer.get_logdir()).parent == Path("runs") and writer.log_dir.endswith("_try")
    (path,) = Path(writer.log_dir).iterdir()
    assert path.name.endswith(".x")
    writer.close()
    writer.add_scalar("late", 1.0)
    writer.close()
    assert len(list(Path(writer.log_dir).iterdir())) == 2


WRONG: list[tuple[Any, str]] = [
    (lambda w: w.add_scalar("a", [1.0, 2.0]), "one number"),
    (lambda w: w.add_image("a", np.zeros((2, 4, 5))), "1, 3 or 4 channels"),
    (lambda w: w.add_image("a", np.zeros((4, 5))), "does not name the axes"),
    (lambda w: w.add_images("a", np.zeros((4, 5))), "does not name the axes"),
    (lambda w: w.add_histogram("a", [np.nan]), "at least one finite value"),
]


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_what_cannot_be_shown(tmp_path: Path, call: Any, message: str) -> None:
    with SummaryWriter(tmp_path) as writer, pytest.raises(ValueError, match=message):
        call(writer)


def test_a_graph_is_not_written_and_says_so(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as writer, pytest.warns(UserWarning, match=r"nnkit\.explain"):
        writer.add_graph(nnkit.nn.Linear(1, 1), nnkit.ones(1, 1))


def test_encoding_of_fields() -> None:
    parts = integer(1, 300) + integer(2, -1) + double(3, 0.5) + number(4, 0.25) + text(5, "a") + message(6, b"")
    assert fields(parts) == {1: [300], 2: [2**64 - 1], 3: [0.5], 4: [0.25], 5: [b"a"], 6: [b""]}
    assert crc32c(b"") == 0 and crc32c(bytes(32)) == 0x8A9136AA and len(record(b"abc")) == 19
