"""``python -m nnkit predict``: rows of text in, outputs out, a block at a time; every error names row and column."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import keras, nn
from nnkit.__main__ import main
from nnkit.commands import predict
from nnkit.errors import DataError
from nnkit.io.rows import Rows
from nnkit.preprocessing import Table
from nnkit.registry import Registry

FRAME = {
    "age": [20.0, 40.0, np.nan, 33.0] * 3,
    "city": ["Rome", "Oslo", "Rome", "Bonn"] * 3,
    "zip": [1, 2, 3, 4] * 3,
    "since": ["2026-01-01", "2026-02-01", None, "2026-03-01"] * 3,
    "left": ["no", "no", "yes", "no"] * 3,
}


def plain() -> nn.Module:
    nnkit.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def reading() -> nn.Module:
    nnkit.manual_seed(0)
    table = Table(categories=["zip"], dates=["since"]).fit(FRAME, "left")
    return nn.Linear(table.width, 1).reads(table)


def words() -> nn.Module:
    return nn.Sequential(nn.Embedding(5, 2), nn.Flatten(), nn.Linear(4, 1))


def said(
    text: str | bytes, model: nn.Module, monkeypatch: pytest.MonkeyPatch, capsys: Any, *options: str, tmp_path: Path
) -> str:
    model.save(tmp_path / "model.safetensors")
    content = text.encode() if isinstance(text, str) else text
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    main(["predict", str(tmp_path / "model.safetensors"), *options])
    found: str = capsys.readouterr().out
    return found


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """The output for a text and a model."""
    return lambda text, model, *options: said(text, model, monkeypatch, capsys, *options, tmp_path=tmp_path)


def numbers(output: str) -> np.ndarray:
    return np.genfromtxt(io.StringIO(output), delimiter=",", skip_header=1, dtype=np.float32)


X = np.random.default_rng(0).normal(size=(2500, 3)).astype(np.float32)
TEXT = "\n".join(",".join(map(str, row)) for row in X) + "\n"

#: How the same rows can be written.
SPELLINGS: dict[str, tuple[str | bytes, list[str]]] = {
    "plain": (TEXT, []),
    "with a header": ("a,b,c\n" + TEXT, []),
    "with numbers as names": ("1,2,3\n" + TEXT, ["--header", "yes"]),
    "of Windows": (TEXT.replace("\n", "\r\n"), []),
    "with a mark of the byte order": (b"\xef\xbb\xbf" + TEXT.encode(), []),
    "without an end": (TEXT.rstrip("\n"), []),
    "with empty lines": (TEXT.replace("\n", "\n\n"), []),
    "quoted": ('"a","b","c"\n' + TEXT, []),
    "with semicolons": (TEXT.replace(",", ";"), ["--delimiter", ";"]),
    "with blanks": (TEXT.replace(",", ", "), []),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_rows_come_out_as_in_python(spelling: str, run: Any) -> None:
    text, options = SPELLINGS[spelling]
    model = plain()
    output = run(text, model, *options)
    assert output.startswith("y0,y1\n") and np.array_equal(numbers(output), model.predict(X))
    found = [json.loads(line) for line in run(text, model, *options, "--format", "json").splitlines()]
    assert np.array_equal(np.array([line["y"] for line in found], np.float32), model.predict(X))


def test_columns_are_found_by_name_in_any_order(run: Any) -> None:
    model = reading()
    text = "zip,key,since,city,age\n1,a,2026-02-01,Oslo,30\n4.0,b,,Paris,\n7,c,2026-01-01,,NA\n"
    rows = {
        "zip": np.array([1.0, 4.0, 7.0]), "since": ["2026-02-01", None, "2026-01-01"], "city": ["Oslo", "Paris", None],
        "age": [30.0, np.nan, np.nan],
    }  # fmt: skip
    output = run(text, model)
    assert output.startswith("left,y\n")
    found = [line.split(",") for line in output.splitlines()[1:]]
    expected = model.predict(rows)
    assert np.array_equal(np.array([float(y) for _, y in found], np.float32), expected[:, 0])
    assert [label for label, _ in found] == Table.of(model).decode(expected).tolist()
    line = json.loads(run(text, model, "--format", "json").splitlines()[0])
    assert line == {"left": found[0][0], "y": pytest.approx(float(found[0][1]))}


def test_rows_take_the_shape_of_the_models_input(run: Any) -> None:
    model = words()
    assert numbers(run("1,2\n4,0\n", model)).tolist() == model.predict(np.array([[1, 2], [4, 0]]))[:, 0].tolist()
    image = keras.Sequential([keras.layers.Flatten(input_shape=(2, 2, 1)), keras.layers.Dense(1)])
    x = np.arange(8, dtype=np.float32).reshape(2, 2, 2, 1)
    assert numbers(run("0,1,2,3\n4,5,6,7\n", image)).tolist() == image.predict(x)[:, 0].tolist()


@pytest.mark.parametrize("form", ["csv", "json"])
def test_nan_goes_through_as_in_python_and_is_told(form: str, tmp_path: Path) -> None:
    plain().save(tmp_path / "m.safetensors")
    command = [sys.executable, "-m", "nnkit", "predict", str(tmp_path / "m.safetensors"), "--format", form]
    done = subprocess.run(command, input="1,2,3\n1,,3\n1,nan,3\n", capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr == "2 of 3 rows have outputs that are NaN or infinite; the first is row 2\n"
    assert done.stdout.splitlines()[-1] == ("nan,nan" if form == "csv" else '{"y": [null, null]}')


#: Which model, what it is given, and what it says.
WRONG: dict[str, tuple[Any, str | bytes, list[str], str]] = {
    "nothing": (plain, "", [], "the input has no row"),
    "a word": (plain, "a,b,c\n1,2,3\n4,x,6\n", [], r"row 2 (line 3), column 'b': 'x' is no number"),
    "a word in column 2": (plain, "1,2,3\n4,x,6\n", [], r"row 2 (line 2), column 2: 'x' is no number"),
    "a word far below": (plain, TEXT + "1,2,x\n", [], r"row 2501 (line 2501), column 3: 'x' is no number"),
    "a long row": (plain, "1,2,3\n1,2,3,4\n", [], "row 2 (line 2) has 4 cells, and the first line 3"),
    "a narrow table": (plain, "1,2\n", [], "a row must have 3 cells, as the model's input, got 2"),
    "two lines in a cell": (plain, 'a,b,"c\nd"\n1,2,3\n4,5,y\n', [], r"row 2 (line 4), column 'c\nd': 'y' is no"),
    "no quote": (plain, '1,2,3\n"1,2,3\n', [], "is no comma-separated text"),
    "not UTF-8": (plain, b"1,2,3\n\xff,2,3\n", [], "is no comma-separated text in UTF-8"),
    "a word in the first line": (
        plain, "1,x,3\n4,5,6\n", [], "line 1 has numbers, and 'x', which is none: does it name the columns?"
    ),
    "half a word's number": (words, "1,2\n3,1.5\n", [], "row 2 (line 2), column 2: '1.5' is no whole number"),
    "no word": (words, "1,2\n3,\n", [], "row 2 (line 2), column 2: '' is no whole number"),
    "a word of another list": (words, "1,2\n3,9\n", [], "rows 1 to 2: "),
    "a huge cell": (plain, "1,2," + "3" * 200_000 + "\n", [], "field larger than field limit"),
    "a delimiter": (plain, "1,2,3\n", ["--delimiter", ";;"], "--delimiter must be one character"),
    "a word for an age": (
        reading, "zip,since,city,age\n1,,Rome,20\n1,,Rome,old\n", [], "row 2 (line 3), column 'age': 'old' is no number"
    ),
    "an endless age": (
        reading, "zip,since,city,age\n1,,Rome,inf\n", [], "row 1 (line 2), column 'age': 'inf' is infinite"
    ),
    "no date": (
        reading, "zip,since,city,age\n1,,Rome,20\n1,May,Rome,2\n", [],
        "row 2 (line 3), column 'since': 'May' is no date: write it as 2026-11-28",
    ),
    "no column": (reading, "zip,since,city\n1,,Rome\n", [], "there is no column 'age'; the columns are ['zip', "),
    "a column twice": (reading, "zip,since,city,age,age\n1,,Rome,2,3\n", [], "there are 2 columns 'age'"),
    "no names": (reading, "1,2,3,4\n", ["--header", "no"], "the first line must name them: 'age', 'city', 'zip', "),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_an_error_names_row_and_column(case: str, run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    make, text, options, message = WRONG[case]
    with pytest.raises(SystemExit) as caught:
        run(text, make(), *options)
    assert caught.value.code == 2 and message in capsys.readouterr().err


def test_an_endless_line_is_not_read_to_its_end() -> None:
    class Endless(io.StringIO):
        def readline(self, size: int = -1, /) -> str:
            assert size > 0
            return "1" * size

    with pytest.raises(DataError, match="line 1 has 16,777,216 characters or more"):
        Rows(Endless())


class Counting(io.StringIO):
    """Rows without end to speak of, and how many were read that no line was written for yet."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.left, self.waiting, self.most, self.lines = rows, 0, 0, 0

    def readline(self, size: int = -1, /) -> str:
        self.left -= 1
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        return "1,2,3\n" if self.left >= 0 else ""

    def write(self, text: str, /) -> int:
        self.waiting -= text.count("\n")
        self.lines += text.count("\n")
        return len(text)


def test_no_more_than_a_block_of_rows_is_held_however_many_there_are() -> None:
    model, stream = plain(), Counting(20_000)
    lines = predict.Lines(model, stream, "csv")
    for block in predict.blocks_of(model, Rows(stream)):
        lines.write(model.predict(block))
    assert stream.lines == 20_001 and stream.most <= predict.BLOCK + 1


def test_fewer_of_wide_rows_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "CELLS", 10)
    found = [len(block) for block in predict.blocks_of(plain(), Rows(io.StringIO("1,2,3\n" * 7)))]
    assert found == [3, 3, 1]


def test_a_file_is_written_whole_or_not_at_all(run: Any, tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    target.write_text("before")
    with pytest.raises(SystemExit):
        run(TEXT + "1,2,x\n", plain(), "--output", str(target))
    assert target.read_text() == "before" and len(list(tmp_path.iterdir())) == 2
    assert run(TEXT, plain(), "--output", str(target)) == ""
    assert len(target.read_text().splitlines()) == 2501 and len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_without_a_traceback_and_leaves_no_file(
    number: int, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Any
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(predict, "_predicted", lambda *given: signal.raise_signal(number))
    with pytest.raises(SystemExit) as caught:
        run(TEXT, plain(), "--output", str(tmp_path / "out.csv"))
    assert caught.value.code == status and [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_model_may_be_a_version_in_a_registry(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    registry = Registry(tmp_path / "registry")
    for value in (1.0, 2.0):
        model = nn.Linear(1, 1)
        with nnkit.no_grad():
            model.weight.fill_(value)
            assert model.bias is not None
            model.bias.zero_()
        registry.publish(model, "line")
    registry.promote("line", 1)
    (tmp_path / "rows.csv").write_text("1\n")
    for which, expected in (("", "1"), ("@newest", "2"), ("@2", "2"), ("@champion", "1")):
        main(["predict", f"{registry.folder}/line{which}", str(tmp_path / "rows.csv")])
        assert capsys.readouterr().out == f"y\n{expected}\n"
    for text, message in (
        (str(registry.folder), "is a registry: name a model in it"),
        (f"{registry.folder}/lime", "unknown model in the registry"),
        (f"{registry.folder}/line@3", "unknown version of 'line' 3"),
        (str(tmp_path / "nothing"), "is neither a model's file nor a model in a registry"),
    ):
        with pytest.raises(SystemExit):
            main(["predict", text, str(tmp_path / "rows.csv")])
        assert message in capsys.readouterr().err


def test_the_card_of_a_version_says_what_a_row_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = np.arange(18, dtype=np.float32).reshape(2, 1, 3, 3)
    model = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Flatten())
    version = Registry(tmp_path / "registry").publish(model, "image", data=x)
    np.savetxt(tmp_path / "rows.csv", x.reshape(2, 9), delimiter=",")
    main(["predict", f"{tmp_path}/registry/{version.name}", str(tmp_path / "rows.csv")])
    assert numbers(capsys.readouterr().out).tolist() == model.predict(x)[:, 0].tolist()


@pytest.mark.skipif(os.name == "nt", reason="no named pipes")
def test_nothing_takes_the_place_of_a_pipe_or_a_link_to_one(tmp_path: Path, run: Any) -> None:
    (tmp_path / "out").symlink_to("/proc/self/fd/1") if sys.platform == "linux" else None
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        for name in ("pipe", "link"):
            run("1,2,3\n", plain(), "--output", str(tmp_path / name))
            assert os.read(reader, 1000).startswith(b"y0,y1\n")
    finally:
        os.close(reader)
    for name in ("pipe", "link", "out"):
        if (tmp_path / name).is_symlink() or name == "pipe":
            before = (tmp_path / name).lstat().st_ino
            with pytest.raises(OSError, match="a device, pipe or socket"):
                plain().save(tmp_path / name)
            assert (tmp_path / name).lstat().st_ino == before
    with pytest.raises(SystemExit):
        run("1,2,3\n", plain(), "--output", str(tmp_path))


def test_a_model_of_ones_own_needs_its_module(tmp_path: Path) -> None:
    (tmp_path / "mine_for_predict.py").write_text(
        "import nnkit\n@nnkit.register_module(name='tests.predict.Double')\nclass Double(nnkit.nn.Module):\n"
        "    def forward(self, x): return x + x\n"
    )
    script = "import mine_for_predict; mine_for_predict.Double().save('m.safetensors')"
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    command = [sys.executable, "-m", "nnkit", "predict", "m.safetensors"]
    without = subprocess.run(command, cwd=tmp_path, input="1\n", capture_output=True, text=True)
    assert without.returncode == 2 and "is not registered" in without.stderr
    done = subprocess.run([*command, "--import", "mine_for_predict"], cwd=tmp_path, input=b"1\n", capture_output=True)
    assert done.stdout.split() == [b"y", b"2"]
