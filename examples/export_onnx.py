"""A network that other programs run: exported to ONNX, run by onnxruntime, and read back to go on learning.

python examples/export_onnx.py                    some seconds on two cores; writes digits.onnx and credit.onnx
python examples/export_onnx.py --epochs 2 --folder /tmp

It trains a small convolutional network on the digits that come with nnkit, writes it to a file with its scaling inside,
and prints how far onnxruntime's outputs are from the model's, for batches of several sizes. Then the same with a table,
whose columns become the inputs of the file: numbers that may be missing and names. In the end it loads the first file,
as it would one of PyTorch's, and trains its last layer alone for one more epoch. Needs onnx and onnxruntime.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import nnkit
import nnkit.onnx
from nnkit import nn
from nnkit.datasets import digits as data
from nnkit.preprocessing import Standardize, Table

SEED = 0


def run(file: Path, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The outputs of a file by onnxruntime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    outputs: list[np.ndarray] = session.run(None, inputs)
    return outputs


def digits(file: Path, epochs: int) -> tuple[float, float]:
    """A network for digits in a file: the greatest difference of its scores there, and its accuracy."""
    (x, y), (test_x, test_y) = data.load_data()
    x, test_x = (images.reshape(-1, 1, 8, 8).astype(np.float32) for images in (x, test_x))
    scale = Standardize(axis=None).fit(x)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.GELU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip
    model.fit(scale.transform(x), y, loss="cross_entropy", optimizer="adam", epochs=epochs, verbose=0)

    nnkit.onnx.export(model, file, x[:1], scale=scale)  # one sample is enough: the file takes any number
    difference = 0.0
    for rows in (1, 7, len(test_x)):
        (scores,) = run(file, {"input": test_x[:rows]})
        difference = max(difference, float(abs(scores - model.predict(scale.transform(test_x[:rows]))).max()))
    accuracy = float((scores.argmax(1) == test_y).mean())
    print(f"digits.onnx: {file.stat().st_size:,} bytes, accuracy {accuracy:.3f}, differs by {difference:.1e}")
    return difference, accuracy


def credit(file: Path, epochs: int) -> list[str]:
    """A table in a file: the raw columns go in, labels come out."""
    random = np.random.default_rng(SEED)
    income, job = random.gamma(4.0, 900.0, 800), random.choice(["baker", "nurse", "pilot"], 800)
    good = income * (1 + (job == "nurse")) > 4000
    income[random.random(800) < 0.05] = np.nan
    frame: dict[str, Any] = {"income": income, "job": job.tolist(), "pays": np.where(good, "yes", "no").tolist()}
    table = Table().fit(frame, "pays")
    model = nn.Sequential(nn.Linear(table.width, 16), nn.Tanh(), nn.Linear(16, 2)).reads(table)
    model.fit(frame, "pays", loss="cross_entropy", optimizer="adam", epochs=epochs, verbose=0)

    nnkit.onnx.export(model, file, frame)
    jobs = np.array([["baker"], ["nurse"], ["king"]], object)
    rows = {"income": np.array([[900.0], [np.nan], [9000.0]]), "job": jobs}
    scores, labels = run(file, rows)
    print(f"credit.onnx: {', '.join(labels)}, of scores of {scores.shape[1]} classes")
    return list(labels)


def again(file: Path, epochs: int) -> float:
    """The network of a file, which learns on; returns the loss at the end."""
    (x, y), _ = data.load_data()
    model = nnkit.onnx.load(file)
    model.requires_grad_(False)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith("8."))  # the file has PyTorch's and nnkit's names: the last layer
    x = x.reshape(-1, 1, 8, 8).astype(np.float32)
    history = model.fit(x, y, loss="cross_entropy", optimizer="adam", epochs=epochs, verbose=0)
    print(f"loaded again: {len(model.state_dict())} weights by name, loss {history.history['loss'][-1]:.4f}")
    return float(history.history["loss"][-1])


def main(arguments: Sequence[str] | None = None) -> tuple[float, float, list[str], float]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--folder", type=Path, default=Path("."))
    options = parser.parse_args(arguments)
    nnkit.manual_seed(SEED)
    difference, accuracy = digits(options.folder / "digits.onnx", options.epochs)
    labels = credit(options.folder / "credit.onnx", options.epochs)
    return difference, accuracy, labels, again(options.folder / "digits.onnx", 1)


if __name__ == "__main__":
    main()
