"""The second look of ``fit``: a step that does something else than its program is noticed, even if nobody saw why."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import nn
from nnkit.recording.observer.places import Places
from nnkit.training import Callback, second_look

X = np.linspace(-1.0, 1.0, 32, dtype=np.float32).reshape(-1, 1)


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.state = nn.Linear(1, 1), {"scale": 1.0}

    def forward(self, x: Any) -> Any:
        return self.fc(x) * self.state["scale"]


class Changing(Callback):
    def on_epoch_end(self, epoch: int, logs: Any) -> None:
        self.model.state["scale"] = 1.0 + epoch


def trained(compile: bool) -> Any:
    nnkit.manual_seed(0)
    model = Scaled()
    history = model.fit(X, X, loss="mse", epochs=4, batch_size=4, verbose=0, callbacks=[Changing()], compile=compile)
    return history.history["loss"], model.fc.weight.tolist()


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first line of defence sees nothing, and a look costs nothing."""
    monkeypatch.setattr(Places, "watch", lambda self: lambda: True)
    monkeypatch.setattr(second_look, "FIRST_COST", 0.0)
    monkeypatch.setattr(second_look, "SHARE", 1e9)


def test_a_change_that_nobody_saw_is_noticed_and_honoured(blind: None, device: str) -> None:
    with pytest.warns(UserWarning, match="does something else than when it was recorded") as caught:
        recorded = trained(True)
    assert len(caught) == 1
    assert recorded == trained(False)


def test_a_step_that_stays_is_replayed_on(device: str) -> None:
    """No warning: what changes is seen, and recorded anew."""
    assert trained(True) == trained(False)
