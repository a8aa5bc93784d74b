"""States and checkpoints in files: what comes back, what is refused, and resuming a run."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import nnkit
from nnkit import io, nn, optim
from nnkit.errors import DtypeError, ModelFileError

FILE = "model.safetensors"


class Unregistered(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x: nnkit.Tensor) -> nnkit.Tensor:
        return self.layer(x)


def test_a_state_comes_back_with_its_order_and_types(tmp_path: Path, device: str) -> None:
    state: dict[str, Any] = {
        "z": nnkit.tensor([1.0, 2.0]),
        "a": {0: [nnkit.tensor(3), np.arange(2)], "b.c": (None, True, 1e300, "text")},
        "a.0": nnkit.zeros(2, 0),
        "lr": float("inf"),
    }
    io.save(state, tmp_path / FILE)
    back = io.load(tmp_path / FILE)
    assert list(back) == list(state) and back["lr"] == state["lr"] and back["a"]["b.c"] == state["a"]["b.c"]
    assert back["z"].tolist() == [1.0, 2.0] and back["z"].device == nnkit.get_default_device()
    assert back["a"][0][0].item() == 3 and back["a"][0][0].dtype == nnkit.int64
    assert isinstance(back["a"][0][1], np.ndarray) and back["a.0"].shape == (2, 0)


def test_arrays_whose_names_meet_are_kept_apart(tmp_path: Path) -> None:
    io.save({"a": {"b": nnkit.tensor(1.0)}, "a.b": nnkit.tensor(2.0), "a.b~2": nnkit.tensor(3.0)}, tmp_path / FILE)
    back = io.load(tmp_path / FILE)
    assert (back["a"]["b"].item(), back["a.b"].item(), back["a.b~2"].item()) == (1.0, 2.0, 3.0)


def test_a_state_dict_keeps_its_plain_names(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    io.save(model.state_dict(), tmp_path / FILE)
    assert sorted(safetensors.numpy.load_file(tmp_path / FILE)) == ["0.bias", "0.weight"]
    for read in (io.load, io.load_state_dict):
        assert nn.Sequential(nn.Linear(3, 2)).load_state_dict(read(tmp_path / FILE)) == ([], [])
    io.save({"state": model.state_dict()}, tmp_path / FILE)
    with pytest.raises(ModelFileError, match=r"nested state.*nnkit\.load"):
        io.load_state_dict(tmp_path / FILE)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"model": [object()]}, "cannot save this state: model.0 is a object"),
        ({"f": print}, "f is a builtin_function"),
        ({1.5: 1}, "has the key 1.5"),
    ],
)
def test_other_states_are_refused_with_their_place(tmp_path: Path, state: Any, message: str) -> None:
    with pytest.raises(DtypeError, match=message):
        io.save(state, tmp_path / FILE)
    assert os.listdir(tmp_path) == []


def test_swapped_arguments_are_named(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"wrong order: write save\(obj, path\)"):
        io.save(str(tmp_path / FILE), nn.Linear(1, 1))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"wrong order: write save_checkpoint\(path, model\)"):
        io.save_checkpoint(nn.Linear(1, 1), tmp_path / FILE)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="path must be a text or a Path, got int"):
        io.save({}, 3)  # type: ignore[arg-type]


def test_a_state_that_holds_itself_is_refused(tmp_path: Path) -> None:
    state: dict[str, Any] = {}
    state["again"] = state
    with pytest.raises(DtypeError, match="nested too deeply, or holds itself"):
        io.save(state, tmp_path / FILE)


OPTIMIZERS = {
    "SGD": lambda parameters: optim.SGD(parameters, lr=0.1, momentum=0.9),
    "Adam": lambda parameters: optim.Adam(parameters, lr=0.01),
}


def train(model: nn.Module, optimizer: Any, steps: int) -> None:
    x = nnkit.tensor(np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3))
    for _ in range(steps):
        optimizer.zero_grad()
        (model(x) ** 2).mean().backward()
        optimizer.step()


@pytest.mark.parametrize("given_model", [True, False])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_resumed_run_equals_one_without_a_break(tmp_path: Path, device: str, name: str, given_model: bool) -> None:
    def make() -> nn.Module:
        return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))

    model = make()
    optimizer = OPTIMIZERS[name](model.parameters())
    train(model, optimizer, 3)
    io.save_checkpoint(tmp_path / FILE, model, optimizer, extra={"epoch": 3, "history": [0.5, 0.25]})
    train(model, optimizer, 3)

    if given_model:
        resumed = make()
        continued = OPTIMIZERS[name](resumed.parameters())
        checkpoint = io.load_checkpoint(tmp_path / FILE, resumed, continued)
        assert checkpoint.model is resumed
    else:
        checkpoint = io.load_checkpoint(tmp_path / FILE)
        resumed = checkpoint.model
        continued = OPTIMIZERS[name](resumed.parameters())
        assert checkpoint.optimizer_state is not None
        continued.load_state_dict(checkpoint.optimizer_state)
    assert checkpoint.extra == {"epoch": 3, "history": [0.5, 0.25]}
    train(resumed, continued, 3)
    for one, two in zip(model.parameters(), resumed.parameters(), strict=True):
        np.testing.assert_array_equal(one.detach().numpy(), two.detach().numpy())


def test_a_checkpoint_that_does_not_fit_changes_nothing(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    trained = optim.Adam(model.parameters())
    train(model, trained, 1)
    io.save_checkpoint(tmp_path / FILE, model, trained)
    other = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 1))
    optimizer = optim.Adam(other.parameters())
    before = [parameter.tolist() for parameter in other.parameters()]
    with pytest.raises(ModelFileError, match="3 mismatches"):
        io.load_checkpoint(tmp_path / FILE, other, optimizer)
    fitting = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    weights = fitting[0].weight.tolist()
    with pytest.raises(ModelFileError):
        io.load_checkpoint(tmp_path / FILE, fitting, optimizer)
    assert [parameter.tolist() for parameter in other.parameters()] == before
    assert fitting[0].weight.tolist() == weights


def test_a_checkpoint_of_an_unregistered_model_is_loaded_into_a_given_one(tmp_path: Path) -> None:
    model, again = Unregistered(), Unregistered()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        io.save_checkpoint(tmp_path / FILE, model)
    assert io.load_checkpoint(tmp_path / FILE, again).optimizer_state is None
    assert again.layer.weight.tolist() == model.layer.weight.tolist()
    with pytest.raises(ModelFileError, match="which is not registered"):
        io.load_checkpoint(tmp_path / FILE)
    with pytest.raises(ModelFileError, match="no state of an optimizer"):
        io.load_checkpoint(tmp_path / FILE, again, optim.SGD(again.parameters(), lr=0.1))
    with pytest.raises(TypeError, match="optimizer needs the model"):
        io.load_checkpoint(tmp_path / FILE, optimizer=optim.SGD(again.parameters(), lr=0.1))
    Unregistered().load_state_dict(io.load_state_dict(tmp_path / FILE))


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    nn.Linear(3, 2).save(tmp_path / FILE)
    with pytest.raises(ModelFileError, match="is no checkpoint"):
        io.load_checkpoint(tmp_path / FILE)
    io.save({"model": {}, "optimizer": None, "extra": None}, tmp_path / FILE)
    with pytest.raises(ModelFileError, match="is no checkpoint"):
        io.load_checkpoint(tmp_path / FILE)
