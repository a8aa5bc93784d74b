"""A small convolutional net learns the digits that come with nnkit, and draws those that it gets wrong.

python examples/images.py                 about half a minute on two cores; writes images.png
python examples/images.py --shifts        with every digit moved by one pixel in four directions, too
python examples/images.py --flips         with mirrored digits, too: it helps with cats, not with digits
python examples/images.py --epochs 5 --output picture.png
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

import nnkit
from nnkit import nn, plot
from nnkit.datasets import digits

SEED = 0
SHIFTS = ((1, 0), (-1, 0), (0, 1), (0, -1))


def build() -> nn.Sequential:
    """8x8 pixels, two stages of convolutions, ten digits."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout2d(0.1),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.3), nn.Linear(64 * 2 * 2, 10),
    )  # fmt: skip


def shifted(images: np.ndarray, down: int, right: int) -> np.ndarray:
    """Every image moved by so many pixels; what comes in is 0."""
    around = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    height, width = images.shape[2:]
    return around[:, :, 1 - down : 1 - down + height, 1 - right : 1 - right + width]


def more(x: np.ndarray, y: np.ndarray, shifts: bool, flips: bool) -> tuple[np.ndarray, np.ndarray]:
    """The images with what was made of them."""
    made = [x, *(shifted(x, *by) for by in SHIFTS if shifts), *([x[..., ::-1]] if flips else [])]
    return np.concatenate(made), np.tile(y, len(made))


def draw(model: nn.Module, x: np.ndarray, y: np.ndarray, path: str) -> None:
    """Sixteen digits that the model got wrong, with what it said and what was right, and its first filters."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    plot.MistakesDisplay.from_model(model, x, y, ax=left)
    plot.FilterDisplay.from_model(model, ax=right)
    figure.savefig(path, dpi=120)


def main(arguments: Sequence[str] | None = None) -> float:
    """Train, test, draw; the accuracy on the held-out digits."""
    parser = argparse.ArgumentParser(description="Train a small convolutional net on handwritten digits.")
    parser.add_argument("--shifts", action="store_true", help="add every digit moved by one pixel")
    parser.add_argument("--flips", action="store_true", help="add mirrored digits")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--output", default="images.png", help="the picture (needs matplotlib)")
    options = parser.parse_args(arguments)
    nnkit.manual_seed(SEED)
    (x, y), (x_test, y_test) = digits.load_data()
    x, x_test = x[:, None] / 16, x_test[:, None] / 16
    x_train, y_train = more(x, y, options.shifts, options.flips)
    model = build()
    optimizer = nnkit.optim.Adam(model.parameters(), lr=2e-3)
    model.fit(
        x_train, y_train, loss="cross_entropy", optimizer=optimizer, epochs=options.epochs, batch_size=64,
        metrics=["accuracy"], seed=SEED,
    )  # fmt: skip
    accuracy = model.evaluate(x_test, y_test, loss="cross_entropy", metrics=["accuracy"], verbose=0)["accuracy"]
    print(f"Accuracy on {len(y_test)} held-out digits: {accuracy:.4f}")
    draw(model, x_test, y_test, options.output)
    print(f"What it got wrong, and its first filters: {options.output}")
    return accuracy


if __name__ == "__main__":
    main()
