"""The demonstration: a network learns real handwritten digits, on the best device and then on every other one."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np

import nnkit
from nnkit import backends, nn, plot
from nnkit.backends.advice import install
from nnkit.datasets import digits

EPOCHS, COMPARED_EPOCHS, BATCH_SIZE, SEED = 30, 3, 32, 0
#: How far the final losses of the same training may lie apart: float32 sums come in another order on each device.
TOLERANCE = 1e-3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--device", default="auto", help="a device of 'python -m nnkit devices' (default: the best)")
    parser.add_argument(
        "--output",
        default="digits.safetensors",
        help="where to save the model, and beside it a picture (default: %(default)s)",
    )


def build(device: str) -> nn.Sequential:
    """The classifier: 64 pixels, 128 hidden units, 10 digits; the same weights on every device."""
    nnkit.manual_seed(SEED)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 128, device=device), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 10, device=device)
    )


def train(
    model: nn.Sequential, x: np.ndarray, y: np.ndarray, epochs: int, verbose: str | int
) -> nnkit.training.History:
    """Adam on the cross-entropy."""
    optimizer = nnkit.optim.Adam(model.parameters(), lr=2e-3)
    history: nnkit.training.History = model.fit(
        x, y, loss="cross_entropy", optimizer=optimizer, epochs=epochs, batch_size=BATCH_SIZE,
        metrics=["accuracy"], verbose=verbose, seed=SEED,
    )  # fmt: skip
    return history


def run(options: argparse.Namespace) -> None:
    """Train, test, save, compare; everything is printed."""
    device, output = options.device, options.output
    chosen = str(backends.get(device).device)
    check_output(Path(output))
    print(f"nnkit {nnkit.__version__} on {chosen!r}: {_why(device, chosen)}", flush=True)
    (x, y), (x_test, y_test) = digits.load_data()
    x, x_test = x / 16, x_test / 16
    print(f"Learning {len(x)} handwritten digits of 8x8 pixels (UCI), {len(x_test)} held out.", flush=True)
    model = build(chosen)
    history = train(model, x, y, EPOCHS, "auto")
    result = model.evaluate(x_test, y_test, loss="cross_entropy", metrics=["accuracy"], verbose=0)
    print(f"\nAccuracy on the held-out digits: {result['accuracy']:.4f}")
    model.save(output)
    print(f"Saved to {Path(output).resolve()}; load it with nnkit.load({output!r}).")
    compare(x, y)
    print(draw(history, model, x_test, y_test, Path(output).resolve().with_suffix(".png")))


def draw(history: nnkit.training.History, model: nn.Module, x: np.ndarray, y: np.ndarray, path: Path) -> str:
    """A picture of the loss, and of sixteen digits that the model got wrong; what to say of it."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return f"For a picture of the loss, and of digits that it got wrong: {install('plot')}"
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    plot.HistoryDisplay.from_history(history, ["loss"], ax=left)
    plot.MistakesDisplay.from_model(model, x, y, ax=right)
    figure.savefig(path, dpi=120)
    return f"The loss, and digits that it got wrong: {path}"


def check_output(path: Path) -> None:
    """Raise OSError where no file can be written at ``path``: before the training, not after it."""
    folder = path.resolve().parent
    if path.is_dir():
        raise IsADirectoryError(f"--output {path} is a folder: name a file")
    if not folder.is_dir():
        raise FileNotFoundError(f"--output {path}: the folder {folder} does not exist")
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"--output {path}: the folder {folder} cannot be written to")


def _why(asked: str, chosen: str) -> str:
    if asked not in ("auto", "cpu"):
        return "as asked" if asked == chosen else f"{asked!r} cannot be used here"
    passed_over = [row for row in backends.devices() if not row.usable]
    reasons = "; ".join(f"{row.name!r} cannot be used: {row.detail}" for row in passed_over)
    return f"the best device here ({reasons})" if reasons else "the best device here"


def compare(x: np.ndarray, y: np.ndarray) -> None:
    """The same training on every usable device: time per step and final loss."""
    print(f"\nThe same training, {COMPARED_EPOCHS} epochs, on every usable device:")
    print(f"{'device':8} {'time per step':>15} {'final loss':>12}")
    steps = COMPARED_EPOCHS * -(-len(x) // BATCH_SIZE)
    losses = []
    for row in backends.devices():
        if not row.usable:
            continue
        train(build(row.name), x, y, 1, 0)  # what is done once (compiling, allocating) is not the step's time
        model = build(row.name)
        start = time.perf_counter()
        losses.append(train(model, x, y, COMPARED_EPOCHS, 0).history["loss"][-1])
        print(f"{row.name:8} {(time.perf_counter() - start) / steps * 1e6:12.0f} us {losses[-1]:12.6f}", flush=True)
    spread = max(losses) - min(losses)
    if spread > TOLERANCE:
        sys.exit(f"The final losses differ by {spread:.2e}, more than the tolerance of {TOLERANCE:.0e}.")
    print(f"The final losses differ by {spread:.1e}; the tolerance is {TOLERANCE:.0e}.")
