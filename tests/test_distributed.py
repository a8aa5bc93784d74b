"""A script in the words of torch.distributed: two processes of nnkit over MPI against two of PyTorch over gloo."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import ddp_cases
import numpy as np
import pytest
from test_parallel import needs_mpi, run

import nnkit
from nnkit import distributed as dist
from nnkit import nn
from nnkit.errors import GradientError
from nnkit.nn.parallel import DistributedDataParallel
from nnkit.utils.data.distributed import DistributedSampler

#: Of the script's numbers: losses of some digits, weights after 12 steps.
CLOSE = {"rtol": 2e-5, "atol": 2e-6}


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What PyTorch's two processes came to."""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    return came_to("torch", tmp_path_factory.mktemp("torch"))


def came_to(word: str, folder: Path) -> list[Any]:
    done = run(2, folder, word, script=ddp_cases.__file__)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((folder / f"{word}-{rank}.json").read_text()) for rank in range(2)]


@needs_mpi
@pytest.mark.parametrize("word", ["nnkit", "compiled"])
def test_the_script_comes_to_pytorch_s_numbers(word: str, theirs: list[Any], tmp_path: Path) -> None:
    for ours, expected in zip(came_to(word, tmp_path), theirs, strict=True):
        for name in ("losses", "own", "all"):
            np.testing.assert_allclose(ours[name], expected[name], err_msg=name, **CLOSE)
        assert ours["state"].keys() == expected["state"].keys()
        for name, values in expected["state"].items():
            np.testing.assert_allclose(ours["state"][name], values, err_msg=name, **CLOSE)
        assert ours["sent"] == expected["sent"]


@needs_mpi
def test_unlike_calls_are_refused_in_every_rank(tmp_path: Path) -> None:
    done = run(3, tmp_path, "refused", script=ddp_cases.__file__)
    assert done.returncode == 0, done.stderr[-3000:]
    for rank in range(3):
        found = json.loads((tmp_path / f"refused-{rank}.json").read_text())
        for name, calls, first in (
            ("shapes", "all_reduce (sum) of a float32 tensor of shape (4,)", "all_reduce (sum) of a float32 tensor of"),
            ("dtypes", "all_reduce (sum) of a float64 tensor of shape (3,)", "all_reduce (sum) of a float32 tensor of"),
            ("operations", "all_reduce (max) of a float32 tensor of shape (3,)", "all_reduce (min)"),
            ("sources", "broadcast (src=1) of a float32 tensor of shape (3,)", "broadcast (src=0)"),
            ("sent", "broadcast (src=0) of a float32 tensor of shape (3, 2)", "broadcast (src=0)"),
            (
                "gathered",
                "all_gather of a float32 tensor of shape (4,)",
                "all_gather of a float32 tensor of shape (3,)",
            ),
            ("words", "barrier", "all_gather_object"),
        ):
            assert found[name].startswith(f"rank 1 calls {calls}, and rank 0 {first}"), name
            assert found[f"{name}, then"] == [3.0, 3.0]


# ---- in one process -------------------------------------------------------------------------------------------------


@pytest.fixture
def joined() -> Iterator[None]:
    dist.init_process_group("gloo")
    yield
    dist.destroy_process_group()


class Two:
    """Two processes, of which the other has what this one has."""

    size, rank = 2, 1

    def same_call(self, told: str) -> None:
        """Both make it."""

    def broadcast(self, model: nn.Module) -> None:
        """Nothing differs."""

    def add_up(self, backend: Any, *arrays: Any) -> None:
        for array in arrays:
            backend.map("add", (array, array), (array,))


def test_one_process_is_as_without(joined: None, device: str) -> None:
    nnkit.manual_seed(0)
    layer = nn.Linear(3, 2).to(device)
    model, x = DistributedDataParallel(layer), nnkit.ones(4, 3, device=device)
    model(x).sum().backward()
    assert layer.weight.grad is not None and (layer.weight.grad == 4.0).all()
    assert list(model.state_dict()) == ["module.weight", "module.bias"] and model(x).tolist() == layer(x).tolist()
    assert (dist.get_rank(), dist.get_world_size(), dist.get_backend()) == (0, 1, "mpi")
    assert list(DistributedSampler(range(3), shuffle=False)) == [0, 1, 2]


def test_gradients_are_means_where_backward_ends(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nnkit.nn.parallel.joined", Two)
    layer = nn.Linear(3, 2).to(device)
    model, x = DistributedDataParallel(layer), nnkit.ones(4, 3, device=device)
    model(x).sum().backward()
    assert layer.weight.grad is not None and (layer.weight.grad == 4.0).all(), "the mean of two that are equal"
    (layer(x).sum() * 2.0).backward()
    assert (layer.weight.grad == 12.0).all(), "a backward that is not the model's exchanges nothing"


def test_a_parameter_without_gradient_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nnkit.nn.parallel.joined", Two)

    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.left = nn.Linear(2, 1), nn.Linear(2, 1)

        def forward(self, x: nnkit.Tensor) -> nnkit.Tensor:
            return self.used(x)

    with pytest.raises(GradientError, match=r"does not depend on 'left\.weight'.*find_unused_parameters=True"):
        DistributedDataParallel(Half())(nnkit.ones(1, 2)).sum().backward()
    half = Half()
    DistributedDataParallel(half, find_unused_parameters=True)(nnkit.ones(1, 2)).sum().backward()
    assert half.left.weight.grad is not None and half.left.weight.grad.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"backend": "ucc"}, ValueError, "backend must be one of 'mpi'"),
        ({"world_size": 4}, ValueError, "world_size is 4, and mpiexec says 1"),
        ({"rank": 1}, ValueError, "rank is 1, and mpiexec says 0"),
        ({"timeout": timedelta(0)}, ValueError, "timeout must be a number of seconds greater than 0"),
    ],
)
def test_what_mpi_does_not_do_is_said(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        dist.init_process_group(**options)
    assert not dist.is_initialized()


def test_torchrun_is_told_from_mpiexec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(RuntimeError, match="mpiexec -n 4 python"):
        dist.init_process_group("nccl")


def test_words_before_and_twice(joined: None) -> None:
    with pytest.raises(RuntimeError, match="joined already"):
        dist.init_process_group()
    with pytest.raises(NotImplementedError, match="async_op"):
        dist.all_reduce(nnkit.ones(1), async_op=True)
    with pytest.raises(ValueError, match="ReduceOp"):
        dist.all_reduce(nnkit.ones(1), op="median")
    dist.destroy_process_group()
    with pytest.raises(ValueError, match="init_process_group"):
        dist.barrier()
