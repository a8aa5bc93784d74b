"""GradientFlow: norms and dead units against gradients worked out apart, in recorded steps that stay what they were."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import nn
from nnkit.training import GradientFlow, LambdaCallback, RunCheckpoint

RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 4)).astype(np.float32)
Y = np.arange(48) % 3


def net(dead: int = 0) -> nn.Sequential:
    """Of the eight hidden units so many are silent."""
    nnkit.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    with nnkit.no_grad():
        if dead:
            model[0].bias[:dead] = -100.0
            model[0].weight[:dead] = 0.0
    return model


def run(model: Any, *callbacks: Any, epochs: int = 3, **options: Any) -> Any:
    given: dict[str, Any] = {"loss": "cross_entropy", "optimizer": "sgd", "batch_size": 8, "verbose": 0, "seed": 1}
    return model.fit(X, Y, epochs=epochs, callbacks=callbacks, **(given | options))


def test_norms_are_those_of_the_gradients(device: str) -> None:
    """After every step, read by another callback."""
    flow, seen = GradientFlow(every=1), []
    model = net()

    def note(step: int, logs: Any) -> None:
        seen.append([float((p.grad * p.grad).sum().item()) for p in model.parameters()])

    run(model, LambdaCallback(on_batch_end=note), flow)
    squares = np.array(seen).reshape(3, 6, 2, 2).sum(-1)  # epochs, steps, layers
    expected = np.sqrt(squares).mean(1)
    assert flow.epochs == [0, 1, 2] and list(flow.norms) == ["0", "2"]
    assert np.allclose([flow.norms["0"], flow.norms["2"]], expected.T, rtol=1e-5)


@pytest.mark.parametrize("dead", [0, 3, 8])
def test_dead_units(device: str, dead: int) -> None:
    flow = GradientFlow(every=1)
    run(net(dead), flow)
    assert flow.dead["0"] == [dead / 8] * 3 and flow.dead["2"] == [0.0] * 3


def test_a_training_with_it_is_the_one_without_it(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit, and as often recorded."""
    from nnkit.training import replay

    recordings, record = [0], replay.Replay._record

    def counted(self: Any, rows: int) -> Any:
        recordings[0] += 1
        return record(self, rows)

    monkeypatch.setattr(replay.Replay, "_record", counted)
    weights, counts = [], []
    for callbacks in ([], [GradientFlow()], [GradientFlow(every=2)]):
        recordings[0] = 0
        model = net()
        run(model, *callbacks, optimizer="adam", epochs=4)
        weights.append([p.detach().numpy() for p in model.parameters()])
        counts.append(recordings[0])
    assert counts[0] == counts[1] == counts[2] > 0
    for other in weights[1:]:
        assert all(map(np.array_equal, weights[0], other))


def test_which_layers_have_units(device: str) -> None:
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(9, 4)
            self.up = nn.ConvTranspose1d(4, 6, 1)
            self.norm = nn.LayerNorm(6)
            self.frozen = nn.Linear(6, 6).requires_grad_(False)
            self.out = nn.Linear(6, 3)

        def forward(self, x: Any) -> Any:
            y = self.up(self.words(x).mT).mean(2)
            return self.out(self.frozen(self.norm(y)))

    flow = GradientFlow()
    Words().fit(RNG.integers(0, 9, (48, 2)), Y, loss="cross_entropy", epochs=1, callbacks=[flow], verbose=0)
    assert list(flow.norms) == ["words", "up", "norm", "out"] and all(row[0] > 0.0 for row in flow.norms.values())
    assert math.isnan(flow.dead["words"][0]) and math.isnan(flow.dead["norm"][0])
    assert flow.dead["up"] == [0.0] and flow.dead["out"] == [0.0]


def test_a_resumed_training_has_all_epochs(tmp_path: Path) -> None:
    path, whole = tmp_path / "run.safetensors", GradientFlow()
    run(net(), whole, epochs=4)
    run(net(), GradientFlow(), RunCheckpoint(path), epochs=2)
    flow = GradientFlow()
    run(net(), flow, RunCheckpoint(path), epochs=4, resume=path)
    assert flow.epochs == [0, 1, 2, 3] and flow.norms == whole.norms and flow.dead == whole.dead


def test_a_keras_model_and_one_with_a_step_of_its_own() -> None:
    from nnkit.keras import Sequential, layers

    class Own(Sequential):
        def train_step(self, data: Any) -> Any:
            return super().train_step(data)

    for kind in (Sequential, Own):
        model = kind([layers.Dense(5, activation="relu", input_shape=(4,)), layers.Dense(3, activation="softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        flow = GradientFlow()
        model.fit(X, Y, epochs=2, callbacks=[flow], verbose=0)
        assert flow.epochs == [0, 1] and list(flow.norms) == [layer.name for layer in model.layers]
        assert all(len(row) == 2 and row[0] > 0.0 for row in flow.norms.values())


@pytest.mark.parametrize(("layers", "epochs"), [(1, 1), (8, 3), (60, 500)])
def test_the_picture(layers: int, epochs: int) -> None:
    matplotlib = pytest.importorskip("matplotlib", reason="pip install matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot
    from pictures import apart, drawn, inside_of

    names = [f"encoder.layers.{n}.attention.projection.weight" for n in range(layers)]
    norms = {name: [1.0 + n] * epochs for n, name in enumerate(names)}
    dead = {name: [0.0, math.nan, 0.5][:epochs] + [0.1] * max(0, epochs - 3) for name in names}
    display = nnkit.plot.GradientFlowDisplay(range(epochs), norms, dead).plot()
    left, right = display.axes_
    assert display.ax_ is left and drawn(left) == norms and left.get_yscale() == "log"
    assert list(left.lines[0].get_xdata()) == list(range(1, epochs + 1)) and len(right.lines) == layers
    assert inside_of(*display.figure_.axes)
    if layers <= 8:
        assert apart(right.get_legend().get_texts()) and len(right.get_legend().get_texts()) == layers
    else:
        assert apart(display.figure_.axes[2].get_yticklabels())
    pyplot.close("all")


def test_nothing_to_draw() -> None:
    pytest.importorskip("matplotlib", reason="pip install matplotlib")
    with pytest.raises(ValueError, match="noted nothing"):
        GradientFlow().plot()
    with pytest.raises(ValueError, match="every"):
        GradientFlow(every=0)
