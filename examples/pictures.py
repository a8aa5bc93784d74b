"""A small convolutional net learns the digits that come with nnkit, and everything about it is drawn.

python examples/pictures.py                      about half a minute on two cores; writes pictures/*.png
python examples/pictures.py --epochs 5 --output folder

Which learning rate (Smith 2017), how the losses went, how large the gradients of each layer were, and which units got
none; the filters, and what they make of a digit; what the layers return, and how their weights are spread; which digit
is taken for which. Beside the pictures the folder has the model as a table, and the numbers of each epoch.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

import nnkit
from nnkit import nn, plot
from nnkit.datasets import digits
from nnkit.training import GradientFlow, JSONLines, lr_finder

SEED = 0


def build() -> nn.Sequential:
    """8x8 pixels, two stages of convolutions, ten digits."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.2), nn.Linear(32 * 2 * 2, 10),
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> float:
    """Choose a rate, train, test, draw; the accuracy on the held-out digits."""
    parser = argparse.ArgumentParser(description="Draw all that there is to see of a small net.")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--output", default="pictures", help="the folder of the pictures")
    options = parser.parse_args(arguments)
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    matplotlib.use("Agg")
    nnkit.manual_seed(SEED)
    (x, y), (x_test, y_test) = digits.load_data()
    x, x_test = x[:, None] / 16, x_test[:, None] / 16
    model = build()
    (folder / "model.txt").write_text(f"{model.summary(x[:1])}\n", encoding="utf-8")

    rates = lr_finder(model, x, y, loss="cross_entropy", optimizer="adam", batch_size=64)
    rate = (rates.suggestion or 0.01) / 3  # Adam's momentum makes the steepest a little much
    flow, log = GradientFlow(), JSONLines(folder / "epochs.jsonl")
    schedule = nnkit.training.LearningRateScheduler(lambda epoch: rate * 0.9**epoch)
    history = model.fit(
        x, y, loss="cross_entropy", optimizer=nnkit.optim.Adam(model.parameters(), lr=rate), epochs=options.epochs,
        batch_size=64, validation_data=(x_test, y_test), metrics=["accuracy"], callbacks=[schedule, flow, log],
        seed=SEED,
    )  # fmt: skip

    displays: dict[str, Any] = {
        "rates": plot.LearningRateDisplay.from_finder(rates),
        "history": plot.HistoryDisplay.from_history(history),
        "gradients": plot.GradientFlowDisplay.from_callback(flow),
        "filters": plot.FilterDisplay.from_model(model),
        "maps": plot.FeatureMapDisplay.from_model(model, x_test, "4"),
        "activations": plot.ActivationDisplay.from_model(model, x_test),
        "weights": plot.WeightDisplay.from_model(model),
        "confusion": plot.ConfusionMatrixDisplay.from_model(model, x_test, y_test),
        "roc": plot.RocCurveDisplay.from_model(model, x_test, y_test),
        "mistakes": plot.MistakesDisplay.from_model(model, x_test, y_test),
    }
    for name, display in displays.items():
        display.figure_.savefig(folder / f"{name}.png", dpi=100)
        matplotlib.pyplot.close(display.figure_)
    accuracy: float = history.history["val_accuracy"][-1]
    print(f"Learning rate {rate:.2g}; accuracy on {len(y_test)} held-out digits: {accuracy:.4f}")
    print(f"{len(displays)} pictures: {folder.resolve()}")
    return accuracy


if __name__ == "__main__":
    main()
