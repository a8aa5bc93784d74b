"""``summary`` of modules: shapes, parameters, bytes and multiplications against numbers worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import nn


class Branches(nn.Module):
    """Two inputs, a layer that runs twice, and one that stands under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 16)
        self.rnn = nn.LSTM(16, 8, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(16, 5)
        self.again = self.head
        self.summary = nn.Linear(5, 5)  # a part that takes the method's name, as in programs for PyTorch

    def forward(self, words: Any, x: Any) -> Any:
        y, _ = self.rnn(self.words(words))
        return self.summary(self.head(y)) + self.head(y), x @ x.mT


LSTM = 14 * 2 * (4 * 8 * (16 + 8)) * 2  # 2 * 7 steps, two directions, two layers that see 16 numbers
ATTENTION = 2 * 6 * 32 * 96 + 2 * 4 * 6 * 6 * (8 + 8)

#: (module, shape of the input, output, parameters, multiplications)
CASES: dict[str, tuple[Any, Any, Any, int, int]] = {
    "linear": (lambda: nn.Linear(4, 8), (5, 4), (5, 8), 40, 160),
    "no rows": (lambda: nn.Linear(4, 8), (0, 4), (0, 8), 40, 0),
    "without a batch": (lambda: nn.Linear(4, 8), (4,), (8,), 40, 32),
    "convolution": (lambda: nn.Conv2d(2, 6, 3, groups=2), (2, 2, 5, 5), (2, 6, 3, 3), 60, 2 * 6 * 9 * 9),
    "signal": (lambda: nn.Conv1d(2, 6, 3, stride=2), (2, 2, 9), (2, 6, 4), 42, 2 * 6 * 4 * 6),
    "transposed": (lambda: nn.ConvTranspose2d(3, 5, 3), (2, 3, 4, 4), (2, 5, 6, 6), 140, 2 * 3 * 16 * 45),
    "GRU": (lambda: nn.GRU(3, 4), (6, 2, 3), [(6, 2, 4), (1, 2, 4)], 108, 12 * 12 * 7),
    "cell": (lambda: nn.LSTMCell(3, 4), (2, 3), [(2, 4), (2, 4)], 144, 2 * 16 * 7),
    "no products": (lambda: nn.LayerNorm(4), (2, 4), (2, 4), 8, 0),
    "lazy": (lambda: nn.LazyLinear(3), (2, 9), (2, 3), 30, 54),
    "activation inside": (lambda: nn.Linear(4, 8, activation="relu"), (5, 4), (5, 8), 40, 160),
}


@pytest.mark.parametrize("name", CASES)
def test_one_layer(device: str, name: str) -> None:
    make, shape, output, parameters, multiplications = CASES[name]
    found = make().summary(input_size=shape)
    (row,) = found.rows
    assert (row.output, row.parameters, row.multiplications, row.calls) == (output, parameters, multiplications, 1)
    assert (found.parameters, found.nbytes, found.multiplications) == (parameters, 4 * parameters, multiplications)


def test_a_chain_and_its_text(device: str) -> None:
    model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.BatchNorm2d(8), nn.Flatten())
    model[0].requires_grad_(False)
    found = model.summary(np.zeros((2, 1, 4, 4)))
    assert [row.output for row in found.rows[1:]] == [(2, 8, 4, 4), (2, 8, 4, 4), (2, 8, 2, 2), (2, 8, 2, 2), (2, 32)]
    assert (found.parameters, found.trained, found.multiplications) == (96, 16, 2 * 8 * 16 * 9)
    assert found.output_nbytes == 4 * (256 + 256 + 64 + 64 + 64)
    text = str(found)
    assert "  0 (Conv2d)       (2, 8, 4, 4)          80  320 B            2,304\n" in text
    assert text.endswith("96 parameters (80 frozen), 456 B, 2,304 multiplications, 2.8 KiB of outputs")


def test_without_an_input() -> None:
    found = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5)).summary()
    assert found.multiplications is None and found.rows[1].output is None
    assert str(found).splitlines()[0].split() == ["layer", "parameters", "bytes"]


def test_shared_and_repeated_layers_and_several_inputs(device: str) -> None:
    model = Branches()
    found = nn.Module.summary(model, np.zeros((2, 7), np.int64), np.zeros((3, 4)))
    rows = {row.name: row for row in found.rows}
    assert rows[""].output == [(2, 7, 5), (3, 3)] and rows[""].multiplications == 36
    assert rows["rnn"].multiplications == LSTM and rows["rnn"].output == [(2, 7, 16), (4, 2, 8), (4, 2, 8)]
    assert (rows["head"].calls, rows["head"].multiplications) == (2, 2 * 14 * 16 * 5)
    assert (rows["again"].same_as, rows["again"].parameters) == ("head", 0)
    assert found.parameters == sum(p.numel() for p in model.parameters())
    assert "head (Linear), called 2 times" in str(found) and "again (Linear), the same as head" in str(found)
    assert isinstance(model.summary, nn.Linear) and len(model.state_dict()) == 1 + 16 + 4 + 2


def test_attention(device: str) -> None:
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    found = layer.summary(input_size=(2, 6, 32))
    rows = {row.name: row for row in found.rows}
    assert rows["self_attn"].multiplications == ATTENTION
    assert found.multiplications == ATTENTION + 12 * 32 * 32 + 2 * 12 * 32 * 64


def test_sixty_layers_and_long_names() -> None:
    model = nn.Sequential({"a_very_long_name_" * 5 + str(n): nn.Linear(2, 2) for n in range(60)})
    lines = str(model.summary(input_size=(1, 2))).splitlines()
    assert len(lines) == 65 and max(map(len, lines)) < 110 and "…" in lines[3]


def test_nothing_is_changed(device: str) -> None:
    """Neither mode, numbers, hooks nor the random stream; a recorded prediction goes on as it was."""
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5))
    x = np.ones((3, 4), np.float32)
    before, mean = [model.predict(x) for _ in range(3)][-1], model[1].running_mean.numpy().copy()
    stream = repr(nnkit.get_rng_state())
    model.summary(x)
    assert np.array_equal(model.predict(x), before) and np.array_equal(model[1].running_mean.numpy(), mean)
    assert repr(nnkit.get_rng_state()) == stream
    assert model.training and not model[0]._forward_hooks


def test_an_input_that_does_not_fit_leaves_no_hooks() -> None:
    model = nn.Sequential(nn.Linear(4, 8))
    with pytest.raises(nnkit.errors.ShapeError):
        model.summary(input_size=(1, 5))
    assert not model[0]._forward_hooks and not model._forward_pre_hooks


def test_arguments_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="not both"):
        nn.Linear(1, 1).summary(np.zeros((1, 1)), input_size=(1, 1))
    with pytest.raises(ValueError, match="2 types for 1 inputs"):
        nn.Linear(1, 1).summary(input_size=(1, 1), dtype=["int64", "float32"])
    found = nn.Embedding(5, 3).summary(input_size=(2, 4), dtype="int64")
    assert found.rows[0].output == (2, 4, 3)


def test_in_a_notebook() -> None:
    model = nn.Sequential({"<script>alert(1)</script>": nn.Linear(2, 2), **{f"b{n}": nn.ReLU() for n in range(60)}})
    text = model._repr_html_()
    assert "<script" not in text and "&lt;script&gt;" in text and "and 22 more" in text and len(text) < 8000
    assert "<td>(1, 2)</td>" in model.summary(input_size=(1, 2))._repr_html_()
