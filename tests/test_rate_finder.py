"""The learning-rate finder: what it sees, when it stops, and that everything is as it was afterwards."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import nn
from nnkit.training import LearningRates, LRFinder, fit, last_history, lr_finder

X = np.linspace(-1.0, 1.0, 60, dtype=np.float32).reshape(60, 1)
Y = 3.0 * X


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(1, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Dropout(0.1), nn.Linear(4, 1))


def values(model: nn.Module) -> list[np.ndarray]:
    return [tensor.numpy().copy() for tensor in model.state_dict().values()]


def equal(one: Any, two: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(equal(one[name], two[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(map(equal, one, two))
    return bool(np.array_equal(one.numpy(), two.numpy())) if isinstance(one, nnkit.Tensor) else one == two


def test_the_losses_are_those_of_single_batches(device: str) -> None:
    """Gradient descent by hand, the short last batch of an epoch too."""
    model = nn.Linear(1, 1, bias=False)
    w = float(model.weight.item())
    found = lr_finder(
        model, X, Y, loss="mse", optimizer="sgd", batch_size=32, steps=5, start=0.01, stop=0.2, shuffle=False
    )
    expected = []
    for step, rate in enumerate(np.geomspace(0.01, 0.2, 5)):
        x, y = (part[:32] if step % 2 == 0 else part[32:] for part in (X, Y))
        expected.append(float(np.mean((w * x - y) ** 2)))
        w -= rate * float(np.mean(2.0 * (w * x - y) * x))
    assert found.rates == pytest.approx(list(np.geomspace(0.01, 0.2, 5)))
    assert found.losses == pytest.approx(expected, rel=1e-4) and not found.diverged


def test_everything_is_put_back(device: str) -> None:
    """Weights, buffers, the optimizer's state and rate, the last fit, and the random stream."""
    model = net()
    optimizer = nnkit.optim.Adam(model.parameters(), lr=0.01)
    fit(model, X, Y, loss="mse", optimizer=optimizer, epochs=2, verbose=0)
    weights, state, stream = values(model), optimizer.state_dict(), repr(nnkit.get_rng_state())
    history = last_history(model)
    found = lr_finder(model, X, Y, loss="mse", optimizer=optimizer, batch_size=8)
    assert len(found.rates) == len(found.losses) > 20
    assert all(map(np.array_equal, values(model), weights)) and equal(optimizer.state_dict(), state)
    assert repr(nnkit.get_rng_state()) == stream and last_history(model) is history


def test_a_training_after_it_is_the_one_without_it(device: str) -> None:
    def trained(find: bool) -> list[np.ndarray]:
        nnkit.manual_seed(3)
        model = net()
        optimizer = nnkit.optim.Adam(model.parameters(), lr=0.01)
        if find:
            lr_finder(model, X, Y, loss="mse", optimizer=optimizer, batch_size=8, steps=30)
        fit(model, X, Y, loss="mse", optimizer=optimizer, epochs=3, verbose=0)
        return values(model)

    assert all(map(np.array_equal, trained(True), trained(False)))


def test_it_stops_where_the_loss_diverges(device: str) -> None:
    model = nn.Linear(1, 1)
    before = values(model)
    found = lr_finder(model, X, Y, loss="mse", optimizer="sgd", batch_size=20, stop=1e4, steps=200)
    assert found.diverged and len(found.rates) < 190 and found.rates[-1] < 1e4
    assert all(math.isfinite(loss) for loss in found.losses)
    assert found.suggestion is not None and found.suggestion < found.rates[int(np.argmin(found.smoothed))]
    assert all(map(np.array_equal, values(model), before))


def test_a_loss_that_is_no_number(device: str) -> None:
    model = nn.Linear(1, 1)
    before = values(model)
    found = lr_finder(model, X, Y, loss="mse", optimizer="sgd", start=1e30, stop=1e38, steps=20, factor=1e30)
    assert found.diverged and len(found.rates) == len(found.losses) < 20
    assert all(map(np.array_equal, values(model), before))


def test_the_callback_in_a_training(device: str) -> None:
    model = net()
    optimizer = nnkit.optim.SGD(
        [{"params": model[0].parameters(), "lr": 0.1}, {"params": model[4].parameters(), "lr": 0.2}]
    )
    seen: list[tuple[float, float]] = []
    watch = nnkit.training.LambdaCallback(
        on_batch_end=lambda step, logs: seen.append(tuple(group["lr"] for group in optimizer.param_groups))
    )
    finder = LRFinder(1e-4, 1.0, steps=10)
    history = fit(
        model, X, Y, loss="mse", optimizer=optimizer, batch_size=10, epochs=9, callbacks=[watch, finder], verbose=0
    )
    assert history.stopped_by == "LRFinder" and len(finder.found.rates) == 10
    assert [first for first, _ in seen] == pytest.approx(finder.found.rates)
    assert [second / first for first, second in seen] == pytest.approx([2.0] * 10)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.2]


def test_a_keras_model() -> None:
    from nnkit.keras import Sequential, layers

    model = Sequential([layers.Dense(4, activation="tanh", input_shape=(1,)), layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(X, Y, epochs=1, verbose=0)
    before, rate = model.get_weights(), float(model.optimizer.learning_rate)
    found = lr_finder(model, X, Y, batch_size=10, steps=40)
    assert len(found.rates) > 10 and found.suggestion is not None
    assert all(map(np.array_equal, model.get_weights(), before)) and float(model.optimizer.learning_rate) == rate
    assert len(model.history.epoch) == 1


def test_the_suggestion() -> None:
    rates = [10.0**n for n in range(-4, 2)]
    falls = LearningRates(rates, [2.0, 2.0, 1.9, 1.0, 0.9, 50.0], smoothing=0.0)
    assert falls.suggestion == 0.01 and falls.smoothed[-1] == 2.0
    assert LearningRates(rates, [1.0, 1.1, 1.2, 1.3, 1.4, 1.5]).suggestion is None
    assert LearningRates().suggestion is None and LearningRates().smoothed == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": 0.0}, "0 < start < stop"),
        ({"start": 1.0, "stop": 0.1}, "0 < start < stop"),
        ({"steps": 0}, "steps"),
        ({"factor": 1.0}, "factor must be more than 1"),
        ({"smoothing": 1.0}, "below 1"),
    ],
)
def test_arguments_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lr_finder(net(), X, Y, loss="mse", **options)


def test_the_picture() -> None:
    matplotlib = pytest.importorskip("matplotlib", reason="pip install matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot
    from pictures import drawn

    rates = [10.0**n for n in range(-4, 2)]
    found = LearningRates(rates, [2.0, 2.0, 1.9, 1.0, 0.9, 50.0], smoothing=0.5)
    display = found.plot()
    assert drawn(display.ax_)["one batch"] == found.losses and drawn(display.ax_)["smoothed"] == found.smoothed
    assert list(display.ax_.lines[0].get_xdata()) == rates and display.ax_.get_xscale() == "log"
    assert f"suggested: {found.suggestion:.2g}" in drawn(display.ax_)
    assert display.ax_.get_ylim()[1] < 10.0  # the divergence does not set the scale
    finder = LRFinder()
    empty = nnkit.plot.LearningRateDisplay.from_finder(finder, ax=pyplot.subplots()[1])
    assert empty.ax_.texts[0].get_text() == "the loss was no number at any rate"
    pyplot.close("all")
