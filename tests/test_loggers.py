"""What a training leaves behind as it goes: lines of JSON, TensorBoard's files, frames; and what notebooks show."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_tensorboard import doubles, fields, values

import nnkit
from nnkit import nn
from nnkit.training import History, JSONLines, ProgressBar, RunCheckpoint, TensorBoard, progress

X = np.linspace(-1.0, 1.0, 12).reshape(12, 1)


def run(*callbacks: Any, model: Any = None, epochs: int = 3, **options: Any) -> History:
    model = nn.Linear(1, 1) if model is None else model
    given: dict[str, Any] = {"loss": "mse", "batch_size": 4, "validation_data": (X, X), "verbose": 0}
    return model.fit(X, 3.0 * X, epochs=epochs, callbacks=callbacks, **(given | options))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# ---- lines of JSON ------------------------------------------------------------------------------------------------


def test_json_lines(device: str, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    history = run(JSONLines(path))
    found = lines(path)
    assert [line["epoch"] for line in found] == [0, 1, 2] and found[0]["time"] > 1.7e9
    assert all([line[name] for line in found] == row for name, row in history.history.items())
    run(JSONLines(path, append=True), epochs=1)
    assert [line["epoch"] for line in lines(path)] == [0, 1, 2, 0]
    run(JSONLines(path), epochs=1)
    assert len(lines(path)) == 1


def test_json_lines_have_no_nan(tmp_path: Path) -> None:
    logger = JSONLines(tmp_path / "log.jsonl")
    logger.trainer = types.SimpleNamespace(first_epoch=0)  # type: ignore[assignment]
    logger.on_train_begin()
    logger.on_epoch_end(0, {"loss": math.nan, "worst": math.inf, "count": np.float32(2.0)})
    logger.on_train_end()
    (found,) = lines(tmp_path / "log.jsonl")
    assert (found["loss"], found["worst"], found["count"]) == (None, None, 2.0)


def test_json_lines_of_a_resumed_training(tmp_path: Path) -> None:
    """The epochs that are repeated are replaced, and so is a line that was cut short."""
    path, saved = tmp_path / "log.jsonl", tmp_path / "run.safetensors"
    run(JSONLines(path), RunCheckpoint(saved), epochs=2)
    with open(path, "a") as file:
        file.write('{"epoch": 2, "los')
    run(JSONLines(path), RunCheckpoint(saved), epochs=4, resume=saved)
    assert [line["epoch"] for line in lines(path)] == [0, 1, 2, 3]


# ---- TensorBoard ----------------------------------------------------------------------------------------------------


def test_tensorboard(device: str, tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(1, 3), nn.Linear(3, 1))
    board = TensorBoard(tmp_path, every=2, histograms=2, images=True, example=X)
    history = run(board, model=model, epochs=2)
    found = values(tmp_path)
    numbers = {(tag, step): value[2][0] for tag, step, value in found if 2 in value}
    for name, tag in (("loss", "loss/train"), ("val_loss", "loss/validation"), ("lr", "lr")):
        assert [numbers[tag, epoch] for epoch in range(2)] == pytest.approx(history.history[name])
    assert [step for tag, step, _ in found if tag == "loss/steps"] == [2, 5]
    assert found[0][0] == "model/text_summary" and b"    layer" in found[0][2][8][0]
    histograms = {tag: fields(value[5][0]) for tag, step, value in found if 5 in value and step == 1}
    names = [f"{kind}/{name}/histogram" for name, _ in model.named_parameters() for kind in ("weights", "gradients")]
    assert sorted(histograms) == sorted(names)
    assert histograms["weights/0.weight/histogram"][3][0] == 3.0
    assert doubles(histograms["gradients/1.bias/histogram"][7][0]).sum() == 1.0
    images = [tag for tag, _, value in found if 4 in value]
    assert images == ["weights/0.weight/image", "weights/1.weight/image"]


def test_tensorboard_with_another_writer(tmp_path: Path) -> None:
    """tensorboardX's, which reads our own files, too."""
    tensorboardx = pytest.importorskip("tensorboardX", reason="pip install tensorboardX")
    writer = tensorboardx.SummaryWriter(str(tmp_path / "theirs"))
    model = nn.Sequential(nn.Unflatten(1, (1, 1, 1)), nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(2, 1))
    run(TensorBoard(writer=writer, histograms=1, images=True), model=model, epochs=1)
    writer.add_scalar("still open", 1.0, 0)
    writer.close()
    nnkit.manual_seed(0)
    run(TensorBoard(tmp_path / "ours"), epochs=1)
    assert {"loss/train", "weights/1.weight/image", "still_open"} <= {tag for tag, *_ in values(tmp_path / "theirs")}
    from tensorboardX.proto import event_pb2
    from test_tensorboard import records

    (path,) = (tmp_path / "ours").iterdir()
    events = [event_pb2.Event.FromString(body) for body in records(path)]
    tags = [value.tag for event in events for value in event.summary.value]
    assert tags == ["model/text_summary", "loss/train", "loss/validation", "lr"]


def test_tensorboard_of_a_keras_model(tmp_path: Path) -> None:
    from nnkit.keras import Sequential, layers

    model = Sequential([layers.Dense(2, input_shape=(1,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, X, epochs=1, callbacks=[TensorBoard(tmp_path, histograms=1)], verbose=0)
    found = values(tmp_path)
    assert b"Dense" in found[0][2][8][0] and "loss/train" in [tag for tag, *_ in found]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"every": 0}, "every"), ({"histograms": -1}, "histograms"), ({"folder": "a", "writer": 1}, "folder or writer")],
)
def test_tensorboard_refuses(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TensorBoard(**options)


# ---- frames and notebooks -------------------------------------------------------------------------------------------


def record() -> History:
    found = History()
    found.add(0, {"loss": 2.0})
    found.add(1, {"loss": 1.0, "val_<loss>": math.nan})
    return found


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_history_as_a_frame(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """pandas's where it is, polars's where that is missing."""
    pytest.importorskip(library)
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pandas" != library else found(name))
    frame = record().to_frame()
    assert type(frame).__module__.startswith(library) and frame.shape == (2, 3)
    assert list(frame["epoch"]) == [0, 1] and list(frame["loss"]) == [2.0, 1.0]


def test_without_a_library_of_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install pandas"):
        record().to_frame()


def test_a_history_in_a_notebook() -> None:
    text = record()._repr_html_()
    assert "<td>2</td><td>1</td><td>2</td><td>1</td>" in text and "val_&lt;loss&gt;" in text
    assert "no finite number" in text and "<script" not in text and text.endswith("<p>2 epochs</p>")


def test_a_notebook_has_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A kernel of IPython's is known by its configuration; tqdm.auto chooses what it can draw there."""
    assert not progress.in_notebook()
    shell = types.SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    assert progress.in_notebook()
    bar = ProgressBar()
    run(bar, epochs=1)
    assert bar.style == "bar" and "epoch 1/1" in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: None))
    assert not progress.in_notebook()
