"""PyTorch's files: read in each of its formats, and written so that PyTorch reads them."""

from __future__ import annotations

import io
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import nn
from nnkit.errors import DtypeError, ModelFileError

FILES = Path(__file__).parent / "reference" / "torch_files"
GRID = np.arange(12.0, dtype=np.float32).reshape(3, 4)


def model_and_optimizer() -> tuple[nn.Module, Any]:
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    return model, nnkit.optim.Adam(model.parameters(), lr=0.5)


@pytest.mark.parametrize("name", ["zip", "protocol4", "old"])
def test_what_pytorch_wrote_is_read(device: str, name: str) -> None:
    if device == "strict":  # which has no half types, as the standard does not
        with pytest.raises(DtypeError, match="the file holds tensors of float16, and device 'strict' has no"):
            nnkit.load(FILES / f"{name}.pt")
        return
    found = nnkit.load(FILES / f"{name}.pt", map_location=device, weights_only=True)
    views = [GRID, GRID.T, GRID[1:, ::2], GRID[2, 1], np.zeros((0, 3)), np.broadcast_to(GRID[0], (2, 4))]
    for tensor, expected in zip(found["views"], views, strict=True):
        assert tensor.tolist() == expected.tolist() and tensor.shape == expected.shape
        assert str(tensor.device) == device and tensor.dtype == np.float32
    for kind, tensor in found["kinds"].items():
        assert str(tensor.dtype) == kind and tensor.tolist() == GRID.astype(kind).tolist()
    assert isinstance(found["learned"], nn.Parameter) and found["learned"].requires_grad
    assert found["plain"] == [None, True, -5, 2**70, 2.5, "ü", (1, (2.0,)), {1, 2}, {3: "x"}]
    assert found["words"] == [(3, 4), nnkit.float32, nnkit.device("cpu")] and found["epoch"] == 3


@pytest.mark.parametrize("name", ["zip", "old"])
def test_a_checkpoint_goes_on_here(device: str, tmp_path: Path, name: str) -> None:
    found = nnkit.load(FILES / f"{name}.pt", map_location="numpy")
    model, optimizer = model_and_optimizer()
    model.load_state_dict(found["model_state_dict"])
    optimizer.load_state_dict(found["optimizer_state_dict"])
    assert optimizer.state_dict()["param_groups"][0]["step"] == 1
    model(nnkit.ones(4, 3)).sum().backward()
    optimizer.step()
    assert isinstance(found["model_state_dict"], OrderedDict)
    nnkit.save(found["model_state_dict"], tmp_path / "flat.pt")
    assert list(nnkit.load_state_dict(tmp_path / "flat.pt")) == list(found["model_state_dict"])


STATE: list[tuple[str, Any]] = [
    ("numbers", {"epoch": 3, "lr": 0.1, "large": -(2**40), "none": None, 7: True}),
    ("containers", {"list": [1, [2.0]], "tuple": (1, ()), "ordered": OrderedDict(a=1), "text": "a\ud800b"}),
    ("words", {"dtype": nnkit.float64, "device": nnkit.device("cpu"), "size": nnkit.ones(2, 3).size()}),
    ("numpy", {"number": np.float32(0.5), "array": GRID.T, "bytes": np.arange(3, dtype=np.uint8)}),
]


@pytest.mark.parametrize(("name", "state"), STATE, ids=[name for name, _ in STATE])
def test_what_is_written_is_read_again(tmp_path: Path, name: str, state: Any) -> None:
    nnkit.save(state, tmp_path / "x.pth")
    found = nnkit.load(tmp_path / "x.pth")
    assert found.keys() == state.keys()
    for key, value in state.items():
        same = np.array_equal(found[key], value) if isinstance(value, np.ndarray) else found[key] == value
        assert same and (isinstance(value, np.generic) or type(found[key]) is type(value))


@pytest.mark.parametrize(
    "kind", ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int8", "uint8", "bool"]
)
def test_tensors_are_written_and_read_again(device: str, tmp_path: Path, kind: str) -> None:
    if device == "strict" and "float16" in kind:
        pytest.skip("array-api-strict has no half types")
    x = nnkit.tensor(GRID % 3, dtype=kind)
    state = {"whole": x, "part": x[1:, ::2], "turned": x.t(), "one": x[0, 1], "none": x[:0]}
    nnkit.save(state, tmp_path / "x.pt")
    for name, found in nnkit.load(tmp_path / "x.pt").items():
        assert found.tolist() == state[name].tolist() and found.dtype == x.dtype and found.shape == state[name].shape


def test_tied_weights_stay_one_storage(tmp_path: Path) -> None:
    weight = nn.Parameter(nnkit.zeros(1000))
    nnkit.save({"first": weight.detach(), "second": weight.detach()}, tmp_path / "x.pt")
    assert (tmp_path / "x.pt").stat().st_size < 6000
    found = nnkit.load(tmp_path / "x.pt")
    found["first"].fill_(1.0)
    assert found["second"][0].item() == 1.0


def test_which_names_get_pytorchs_format(tmp_path: Path) -> None:
    for name in ("a.pt", "a.pth", "a.PTH", "a.ckpt", "a.pth.tar", "a.bin"):
        nnkit.save({"a": nnkit.ones(1)}, tmp_path / name)
        assert (tmp_path / name).read_bytes()[:2] == b"PK" and nnkit.load(tmp_path / name)["a"].item() == 1.0
    nnkit.save(nn.Linear(1, 1), tmp_path / "model.pt")
    assert isinstance(nnkit.load(f=tmp_path / "model.pt"), nn.Linear)
    buffer = io.BytesIO()
    nnkit.save({"a": nnkit.ones(1)}, f=buffer)
    buffer.seek(0)
    assert nnkit.load(f=buffer)["a"].item() == 1.0


@pytest.mark.parametrize(
    "place", ["cpu", nnkit.device("cpu"), {"cuda:0": "cpu"}, lambda storage, place: storage, lambda s, place: s.cpu()]
)
def test_map_location_in_all_its_forms(tmp_path: Path, place: Any) -> None:
    nnkit.save({"a": nnkit.ones(1)}, tmp_path / "a.pt")
    nnkit.save({"a": nnkit.ones(1)}, tmp_path / "a.safetensors")
    for name in ("a.pt", "a.safetensors"):
        assert nnkit.load(tmp_path / name, place)["a"].device.type == "cpu"
        assert nnkit.load(tmp_path / name, map_location=place)["a"].item() == 1.0


def test_a_whole_model_of_pytorch_is_refused_by_name() -> None:
    with pytest.raises(ModelFileError, match=r"the file holds 'torch.nn.modules.linear.Linear', .*state_dict"):
        nnkit.load(FILES / "model.pt", weights_only=False)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"a": [object()]}, r"a\.0 is a object"),
        ({b"a": 1}, r"the value has the key b'a'"),
        ({"a": np.array(["x"])}, "a is a ndarray"),
    ],
)
def test_what_no_file_can_hold(tmp_path: Path, state: Any, message: str) -> None:
    with pytest.raises(DtypeError, match=message):
        nnkit.save(state, tmp_path / "a.pt")
    assert not list(tmp_path.iterdir())


def test_a_state_that_holds_itself(tmp_path: Path) -> None:
    state: list[Any] = []
    state.append(state)
    with pytest.raises(DtypeError, match="holds itself"):
        nnkit.save(state, tmp_path / "a.pt")


# ---- beside PyTorch --------------------------------------------------------------------------------------------


def test_pytorch_reads_what_is_written(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    model = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2))
    optimizer = nnkit.optim.Adam(model.parameters(), lr=0.5)
    model(nnkit.tensor(GRID[:, :3])).square().sum().backward()
    optimizer.step()
    state = {"epoch": 2, "model_state_dict": model.state_dict(), "optimizer_state_dict": optimizer.state_dict()}
    nnkit.save(state | dict(STATE[0][1]), tmp_path / "x.pt")
    for options in ({}, {"mmap": True}):
        found = torch.load(tmp_path / "x.pt", weights_only=True, **options)
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Tanh(), torch.nn.Linear(2, 2))
    theirs.load_state_dict(found["model_state_dict"])
    their_optimizer = torch.optim.Adam(theirs.parameters(), lr=0.5)
    their_optimizer.load_state_dict(found["optimizer_state_dict"])
    x = np.array([[1.0, 2.0, -1.0], [0.5, 0.0, 2.0]], np.float32)
    for one, step, data in ((model, optimizer, nnkit.tensor(x)), (theirs, their_optimizer, torch.tensor(x))):
        step.zero_grad()
        one(data).square().mean().backward()
        step.step()
    for name, value in theirs.state_dict().items():
        np.testing.assert_allclose(model.state_dict()[name].numpy(), value.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["zip", "protocol4", "old"])
def test_the_stored_files_are_what_pytorch_reads(name: str) -> None:
    torch = pytest.importorskip("torch")
    found, theirs = nnkit.load(FILES / f"{name}.pt"), torch.load(FILES / f"{name}.pt", weights_only=False)
    for key, value in theirs["model_state_dict"].items():
        assert np.array_equal(found["model_state_dict"][key].numpy(), value.numpy())
