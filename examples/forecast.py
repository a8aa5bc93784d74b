"""An LSTM learns two rhythms in noise, and goes on by itself from where the data end.

python examples/forecast.py                 about ten seconds on two cores; writes forecast.png
python examples/forecast.py --epochs 5 --output picture.png

It prints the error of forecasts one step ahead on the part that it was not trained on, beside that of repeating the
last value and that of the value one period before; then it forecasts 100 steps from its own forecasts, and draws both.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

import nnkit
from nnkit import nn

SEED, WINDOW, AHEAD, PERIOD = 0, 72, 100, 24


def series(steps: int) -> np.ndarray:
    """A daily rhythm and one of three days, with some noise; of standard deviation about 1."""
    t = np.arange(steps)
    noise = np.random.default_rng(SEED).normal(size=steps)
    return (np.sin(2 * np.pi * t / PERIOD) + 0.7 * np.sin(2 * np.pi * t / (3 * PERIOD)) + 0.1 * noise).astype("float32")


def windows(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every WINDOW values in a row (N, WINDOW, 1), and the value after them (N, 1)."""
    seen = np.lib.stride_tricks.sliding_window_view(values, WINDOW + 1)
    return np.ascontiguousarray(seen[:, :-1, None]), np.ascontiguousarray(seen[:, -1:])


class Forecaster(nn.Module):
    """An LSTM over a window; from its last state, how the next value differs from the last."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, 32, batch_first=True)
        self.out = nn.Linear(32, 1)

    def forward(self, x: nnkit.Tensor) -> nnkit.Tensor:
        """(B, WINDOW, 1) -> (B, 1)."""
        output, _ = self.lstm(x)
        change: nnkit.Tensor = self.out(output[:, -1])
        return x[:, -1] + change


def go_on(model: Forecaster, values: np.ndarray, steps: int) -> np.ndarray:
    """The next values, each forecast from those before, which are forecasts too."""
    known = list(values[-WINDOW:])
    for _ in range(steps):
        window = np.array(known[-WINDOW:], np.float32)[None, :, None]
        known.append(float(model.predict(window)[0, 0]))
    return np.array(known[WINDOW:])


def draw(values: np.ndarray, start: int, one_ahead: np.ndarray, forecast: np.ndarray, path: str) -> None:
    """The end of the series, with forecasts one step ahead and those from forecasts."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(10, 4), layout="constrained")
    axes.plot(np.arange(start, len(values)), values[start:], color="0.6", label="what came")
    axes.plot(np.arange(len(values) - len(one_ahead), len(values)), one_ahead, label="forecast one step ahead")
    begin = len(values) - len(forecast)
    axes.plot(np.arange(begin, len(values)), forecast, "--", label=f"{len(forecast)} steps from its own forecasts")
    axes.axvline(begin, color="0.8")
    axes.set_xlabel("hour")
    axes.legend(loc="upper left", ncols=3)
    axes.set_ylim(-2.4, 3.0)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main(arguments: Sequence[str] | None = None) -> tuple[float, float]:
    """Train, test, draw; the root mean square errors of the model and of repeating the last value."""
    parser = argparse.ArgumentParser(description="Forecast a sequence with an LSTM.")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--output", default="forecast.png", help="the picture (needs matplotlib)")
    options = parser.parse_args(arguments)
    nnkit.manual_seed(SEED)
    values = series(2000)
    (x, y), held_out = windows(values[:1600]), 400
    model = Forecaster()
    optimizer = nnkit.optim.Adam(model.parameters(), lr=5e-3)
    model.fit(x, y, loss="mse", optimizer=optimizer, epochs=options.epochs, batch_size=64, seed=SEED)
    x_test, y_test = windows(values[-held_out - WINDOW :])
    said = model.predict(x_test)
    error = float(np.sqrt(np.mean((said - y_test) ** 2)))
    last = float(np.sqrt(np.mean((x_test[:, -1] - y_test) ** 2)))
    before = float(np.sqrt(np.mean((x_test[:, -PERIOD] - y_test) ** 2)))
    print(f"Root mean square error one step ahead: LSTM {error:.3f}, last value {last:.3f}, a day before {before:.3f}")
    forecast = go_on(model, values[:-AHEAD], AHEAD)
    draw(values, len(values) - 250, said[-250:, 0], forecast, options.output)
    print(f"Its forecasts: {options.output}")
    return error, last


if __name__ == "__main__":
    main()
