"""What looks at models, on a pretended GPU: summaries, gradient flow, the learning-rate finder, pictures of layers."""

from __future__ import annotations

import numpy as np
import pytest

import nnkit
from nnkit import nn
from nnkit.training import GradientFlow, lr_finder

X = np.linspace(-1.0, 1.0, 24, dtype=np.float32).reshape(12, 2)


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))


def test_a_summary(device: str) -> None:
    found = net().summary(input_size=(3, 2))
    assert (found.parameters, found.multiplications) == (17, 3 * (2 * 4 + 4))
    assert [row.output for row in found.rows] == [(3, 1), (3, 4), (3, 4), (3, 1)]


def test_gradient_flow_and_the_rate_finder(device: str) -> None:
    model, flow = net(), GradientFlow(every=1)
    model.fit(X, X[:, :1], loss="mse", optimizer="sgd", batch_size=6, epochs=2, callbacks=[flow], verbose=0)
    assert flow.epochs == [0, 1] and all(row[0] > 0.0 for row in flow.norms.values())
    before = [tensor.numpy().copy() for tensor in model.state_dict().values()]
    found = lr_finder(model, X, X[:, :1], loss="mse", optimizer="sgd", batch_size=6, steps=8)
    assert len(found.losses) == 8
    assert all(map(np.array_equal, before, [tensor.numpy() for tensor in model.state_dict().values()]))


def test_what_layers_return(device: str) -> None:
    pytest.importorskip("matplotlib", reason="pip install matplotlib").use("Agg")
    from matplotlib import pyplot

    display = nnkit.plot.ActivationDisplay.from_model(net(), X)
    assert [int(counts.sum()) for counts in display.counts.values()] == [48, 48, 12]
    pyplot.close("all")
