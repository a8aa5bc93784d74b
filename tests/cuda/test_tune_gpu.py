"""Many networks on a pretended GPU: trained one after the other there, with the results of each by itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnkit import nn, tune

X = np.random.default_rng(0).standard_normal((24, 3)).astype(np.float32)


def build(dropout: float = 0.25) -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4, activation="relu"), nn.Dropout(dropout), nn.Linear(4, 1))


def test_each_is_what_it_would_be_alone(device: str) -> None:
    settings = [{"seed": seed, "lr": 0.01 * (seed + 1)} for seed in range(3)]
    same: dict[str, Any] = {"loss": "mse", "epochs": 2, "batch_size": 8}
    runs = tune.train_many(build, settings, X, X[:, :1], **same)
    for setting, run in zip(settings, runs, strict=True):
        one = tune.train_one(build, setting, X, X[:, :1], **same)
        assert run.history.history == one.history.history and "not copied" in str(run.alone)
        for ours, theirs in zip(run.model.parameters(), one.model.parameters(), strict=True):
            assert ours.device.type == "cuda"
            np.testing.assert_array_equal(ours.detach().numpy(), theirs.detach().numpy())
