"""Sixty-four small networks at once: how sure is one of them, and which of them stop early?

python examples/many_networks.py            some seconds on two cores
python examples/many_networks.py --networks 8 --epochs 10

The networks learn a curve from noisy points; they differ in their seeds, learning rates and dropouts, and each stops by
itself when points held out are predicted no better. Trained together they are one recorded program that runs over the
memory of each; a second run trains some of them one by one, and finds the same weights, to the bit. Where all networks
saw points, they agree; beyond, they do not, and the spread of an ensemble says so.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from nnkit import nn, tune
from nnkit.training import EarlyStopping

SEED = 0


def points(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Places from -3 to 3, and a noisy curve over them."""
    random = np.random.default_rng(SEED)
    x = random.uniform(-3.0, 3.0, (rows, 1)).astype(np.float32)
    return x, (np.sin(2.0 * x) + 0.3 * x + random.normal(0.0, 0.1, x.shape)).astype(np.float32)


def network(dropout: float = 0.0) -> nn.Module:
    """Two hidden layers."""
    return nn.Sequential(
        nn.Linear(1, 32, activation="tanh"), nn.Dropout(dropout), nn.Linear(32, 16, activation="tanh"), nn.Linear(16, 1)
    )


def main(arguments: Sequence[str] | None = None) -> tuple[float, float]:
    """Returns the spread of the ensemble where there were points, and beyond."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, default=64)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=100)
    options = parser.parse_args(arguments)

    x, y = points(options.rows)
    held = options.rows // 5
    rates, dropouts = (0.03, 0.01, 0.003), (0.01, 0.05)
    settings = [
        {"seed": k, "lr": rates[k % len(rates)], "dropout": dropouts[k % len(dropouts)]}
        for k in range(options.networks)
    ]
    same: dict[str, Any] = {
        "loss": "mse", "epochs": options.epochs, "batch_size": 32, "validation_data": (x[:held], y[:held]),
        "callbacks": [EarlyStopping("val_loss", patience=10)],
    }  # fmt: skip

    begin = time.perf_counter()
    runs = tune.train_many(network, settings, x[held:], y[held:], **same)
    together = time.perf_counter() - begin
    epochs = [len(history.epoch) for history in runs.histories]
    print(f"{runs!r}: {together:.2f} s; they stopped after {min(epochs)} to {max(epochs)} epochs")

    some = range(0, options.networks, max(1, options.networks // 4))
    begin = time.perf_counter()
    alone = [tune.train_one(network, settings[k], x[held:], y[held:], **same) for k in some]
    each = (time.perf_counter() - begin) / len(alone)
    same_weights = all(
        np.array_equal(first.detach().numpy(), second.detach().numpy())
        for k, run in zip(some, alone, strict=True)
        for first, second in zip(run.model.parameters(), runs[k].model.parameters(), strict=True)
    )
    print(f"one by one: {each:.2f} s each, {each * options.networks / together:.1f} times as long for all")
    print(f"the same weights: {same_weights}")

    best = runs.best("val_loss")
    print(f"best: {dict(best.setting)}, val_loss {best.value('val_loss'):.4f}")
    good = sorted(runs, key=lambda run: run.value("val_loss"))[: max(2, options.networks // 2)]
    places = np.array([[-6.0], [0.0], [1.5], [6.0]], np.float32)
    answers = np.stack([run.model.predict(places)[:, 0] for run in good])
    for place, mean, spread in zip(places[:, 0], answers.mean(axis=0), answers.std(axis=0), strict=True):
        print(f"at {place:5.1f}: {mean:6.2f} ± {spread:.2f}{'' if abs(place) < 3 else ', where no point was'}")
    spreads = answers.std(axis=0)
    return float(spreads[1:3].mean()), float(spreads[[0, 3]].mean())


if __name__ == "__main__":
    main()
