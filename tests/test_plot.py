"""Pictures: the protocol of displays, and what is drawn: places of lines, and their names. No picture is compared."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from pictures import apart, drawn, inside_of

import nnkit
from nnkit import nn, plot
from nnkit.errors import UnknownNameError
from nnkit.plot.display import labels

matplotlib = pytest.importorskip("matplotlib", reason="pip install matplotlib")
matplotlib.use("Agg")
pyplot = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def no_figures_left() -> Iterator[None]:
    """Every figure is closed after its test."""
    yield
    pyplot.close("all")


# ---- the protocol ---------------------------------------------------------------------------------------------------


def test_every_display_is_there_and_named() -> None:
    for name in plot.__all__:
        display = getattr(plot, name)
        assert display.__name__ == name and name.endswith("Display")
        assert any(method.startswith("from_") for method in dir(display)) and callable(display.plot)
    with pytest.raises(AttributeError, match="NoDisplay"):
        plot.NoDisplay  # noqa: B018
    assert set(plot.__all__) <= set(dir(plot)) and nnkit.plot is plot


# ---- histories ------------------------------------------------------------------------------------------------------

HISTORY = {"loss": [4.0, 2.0, 1.0], "val_loss": [5.0, 3.0, math.nan], "accuracy": [0.1, 0.2, 0.3], "lr": [0.1] * 3}


def test_a_history() -> None:
    display = plot.HistoryDisplay.from_history(HISTORY)
    loss, accuracy = display.axes_
    assert display.ax_ is loss and display.figure_ is loss.figure
    found = drawn(loss)
    assert found["loss"] == [4.0, 2.0, 1.0] and found["val_loss"][:2] == [5.0, 3.0]
    assert list(loss.lines[0].get_xdata()) == [1, 2, 3] and loss.get_xlabel() == "epoch"
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["training", "validation"]
    assert accuracy.get_title() == "accuracy" and accuracy.get_legend() is None
    assert inside_of(*display.axes_)


def test_the_learning_rate_is_drawn_where_it_changes() -> None:
    changing = HISTORY | {"lr": [0.1, 0.01, 1e-4]}
    *_, rate = plot.HistoryDisplay.from_history(changing).axes_
    assert rate.get_title() == "learning rate" and rate.get_yscale() == "log"


def test_a_history_into_axes_that_are_there() -> None:
    figure, (left, right) = pyplot.subplots(1, 2)
    display = plot.HistoryDisplay.from_history(HISTORY, ["loss"], ax=right)
    assert display.ax_ is right and display.figure_ is figure and not left.lines
    again = display.plot(ax=[left, right])
    assert again is display and display.axes_ == [left, right]
    _, whole = pyplot.subplots()
    inner = display.plot(ax=whole).axes_
    assert len(inner) == 2 and all(axes.figure is whole.figure for axes in inner)
    with pytest.raises(ValueError, match="2 panels are drawn, got 1 Axes"):
        display.plot(ax=[left])


@pytest.mark.parametrize(("epochs", "count"), [(1, 1), (1, 12), (500, 3)])
def test_histories_of_other_sizes(epochs: int, count: int) -> None:
    names = [f"a_metric_with_a_rather_long_name_{number}" for number in range(count)]
    display = plot.HistoryDisplay.from_history({name: [1.0] * epochs for name in names})
    assert len(display.axes_) == count and inside_of(*display.axes_)
    assert apart([axes.title for axes in display.axes_])


def test_a_history_without_a_finite_number() -> None:
    (axes,) = plot.HistoryDisplay.from_history({"loss": [math.nan, math.inf]}).axes_
    assert axes.texts[0].get_text() == "no finite value"


def test_who_has_a_history() -> None:
    x = np.zeros((4, 2), np.float32)
    model = nn.Linear(2, 1)
    with pytest.raises(ValueError, match="Linear holds no record of a training"):
        plot.HistoryDisplay.from_history(model)
    history = model.fit(x, x[:, :1], loss="mse", epochs=2, verbose=0)
    assert drawn(plot.HistoryDisplay.from_history(model).ax_)["loss"] == history.history["loss"]
    with pytest.raises(UnknownNameError, match="did you mean 'loss'"):
        plot.HistoryDisplay.from_history(history, ["los"])
    with pytest.raises(ValueError, match="nothing was recorded"):
        plot.HistoryDisplay.from_history({})


# ---- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["loss"], ["loss"]),
        ([], []),
        (["a" * 40], ["a" * 14 + "…" + "a" * 13]),
        ([f"encoder.layers.{n}.attention.weight" for n in range(2)], ["…0…", "…1…"]),
        (
            ["b" * 20 + str(n) + "c" * 20 for n in range(2)],
            ["0 bbbbbbbbbbbb…ccccccccccc", "1 bbbbbbbbbbbb…ccccccccccc"],
        ),
        (["block.conv." + "x" * 20, "block.norm." + "y" * 20], ["…conv." + "x" * 20, "…norm." + "y" * 20]),
    ],
)
def test_names_are_shortened_and_stay_different(names: list[str], shown: list[str]) -> None:
    assert labels(names) == shown
    assert len(set(labels(names))) == len(set(names))


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"drawn by matplotlib: pip install .*plot"):
        plot.HistoryDisplay.from_history(HISTORY)
