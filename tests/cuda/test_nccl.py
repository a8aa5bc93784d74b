"""Gradients from GPU to GPU by NCCL: in the graph, on one GPU a process, by way of the host where NCCL cannot.

The GPUs are pretended, and NCCL is a stand-in whose processes meet at a socket; nothing of this has run on real ones.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gpu_ranks
import numpy as np
import pytest
import stand_in
from stand_in.machine import Machine
from stand_in.nccl import NcclError
from test_graph import numbers, recorded
from test_parallel import needs_mpi, run
from twin import check_loop

import nnkit
from nnkit import backends
from nnkit.backends import Device
from nnkit.backends import device as devices
from nnkit.backends.errors import DeviceFault
from nnkit.parallel import gpus


@pytest.fixture
def team(device: str) -> Any:
    """The team of this process alone."""
    from nnkit.backends.cuda import nccl

    return nccl.Team(1, 0, nccl.new_identity(), 0)


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing has been agreed with other processes."""
    monkeypatch.setattr(gpus, "_agreed", [])


# ---- several processes ----------------------------------------------------------------------------------------------

#: What each rank sees: its GPU, whether sums are NCCL's, in graphs or between them, and what the first one warns of.
SEEN: dict[str, tuple[list[str], bool, str]] = {
    "own": (["cuda", "cuda"], True, ""),
    "shared": (["cuda", "cuda:0"], False, "ranks 0 and 1 share one GPU"),
    "fails": (["cuda", "cuda"], False, "rank 1: cuda:1: NCCL failed while the processes met: NCCL_ERROR_SYSTEM_ERROR"),
    "lacks": (["cuda", "cuda"], False, "rank 1: CuPy finds no NCCL: pip install nvidia-nccl-cu13"),
    "uncaptured": (["cuda", "cuda"], True, ""),
}


@needs_mpi
@pytest.mark.parametrize("word", SEEN)
def test_two_processes_train_as_one(word: str, device: str, tmp_path: Path) -> None:
    done = run(2, tmp_path, word, script=gpu_ranks.__file__)
    assert done.returncode == 0, done.stderr[-3000:]
    ranks = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    names, by_nccl, warning = SEEN[word]
    assert [rank["device"] for rank in ranks] == names
    assert [rank["index"] for rank in ranks] == [0, int(word != "shared")]
    expected = gpu_ranks.trained(None, "cuda")["history"]
    for rank in ranks:
        assert rank["history"] == ranks[0]["history"] and rank["replayed"] > 20
        np.testing.assert_allclose(rank["history"]["loss"], expected["loss"], rtol=2e-5)
        assert rank["met"] == int(word in ("own", "uncaptured", "fails")), "once for both trainings"
        steps = 2 * 3 * 5
        assert rank["sums"] == (steps if by_nccl else 0)
        if by_nccl:
            assert (rank["calls"] >= steps) == (word == "uncaptured"), "else a graph has it"
    said = [text for text in ranks[0]["warned"] if "NCCL" in text]
    assert len(said) == (1 if warning else 0) and all(warning in text for text in said)
    assert not [text for text in ranks[1]["warned"] if "NCCL" in text]


# ---- one process ----------------------------------------------------------------------------------------------------


def test_a_sum_is_part_of_the_graph(team: Any, whole_gpu: Machine) -> None:
    x = numbers(1.0, 2.0, 3.0)

    def step() -> nnkit.Tensor:
        y = x * 2.0
        team.add_up(y.array)
        return y + 1.0

    program, y = recorded(step)
    assert [instruction.kernel is not None for instruction in program.instructions] == [True, True, True]
    assert program.instructions[1].note == "NCCL's allReduce"
    whole_gpu.counts.clear()
    program.replay(3)
    assert y.tolist() == [3.0, 5.0, 7.0]
    assert (whole_gpu.counts["cudaGraphLaunch"], whole_gpu.counts["sums by NCCL"]) == (3, 3)


def test_a_communicator_is_never_destroyed(device: str, whole_gpu: Machine) -> None:
    from nnkit.backends.cuda import nccl

    nccl.Team(1, 0, nccl.new_identity(), 0)
    assert whole_gpu.counts["ncclCommDestroy"] == 0, "it would wait for graphs that Python frees later"


@pytest.mark.parametrize(
    ("dtype", "taken"), [("float32", True), ("float64", True), ("float16", True), ("bfloat16", True), ("uint8", False)]
)
def test_types(dtype: str, taken: bool, team: Any) -> None:
    x = nnkit.ones(4, dtype=dtype, device="cuda")
    assert team.takes(x.array) == taken and not team.takes(x.array[::2])
    if taken:
        team.add_up(x.array)
        assert x.float().tolist() == [1.0] * 4


@pytest.mark.parametrize("status", range(1, 7))
@pytest.mark.parametrize("call", ["ncclAllReduce", "ncclCommGetAsyncError"])
def test_errors_name_the_remedy(call: str, status: int, team: Any) -> None:
    from nnkit.backends.cuda import nccl

    stand_in.fail(call, error=NcclError(status))
    with pytest.raises(DeviceFault, match=r"cuda:0: NCCL failed while adding up gradients.*NCCL_ERROR_") as caught:
        team.add_up(numbers(1.0).array)
    assert nccl.REMEDIES[status] in str(caught.value)


def test_two_on_one_gpu_are_refused_by_nccl_itself(device: str) -> None:
    from nnkit.backends.cuda import nccl

    identity, said = nccl.new_identity(), []

    def meet(rank: int) -> None:
        try:
            nccl.Team(2, rank, identity, 0)
        except DeviceFault as error:
            said.append(str(error))

    threads = [threading.Thread(target=meet, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(said) == 2 and all("Each process needs a GPU of its own" in text for text in said)


def test_a_twin_on_the_same_gpu_goes_by_the_host(device: str, nobody: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.warns(UserWarning, match="share one GPU") as told:
        check_loop("cuda", monkeypatch)
    assert len(told) == 1


# ---- which GPU ------------------------------------------------------------------------------------------------------


@pytest.fixture
def rank_of() -> Iterator[Any]:
    """A function that makes this process one of a launcher's."""
    with pytest.MonkeyPatch.context() as patch:
        for name in devices.LOCAL_RANK:
            patch.delenv(name, raising=False)

        def become(**variables: str) -> None:
            for name, value in variables.items():
                patch.setenv(name, value)
            devices._local_rank.cache_clear()

        become()
        yield become
    devices._local_rank.cache_clear()


@pytest.mark.parametrize(
    ("variables", "index"),
    [
        ({}, 0),
        ({"MPI_LOCALRANKID": "1"}, 1),
        ({"OMPI_COMM_WORLD_LOCAL_RANK": "2"}, 0),
        ({"SLURM_LOCALID": "3"}, 1),
        ({"SLURM_LOCALID": "?"}, 0),
    ],
)
def test_cuda_alone_is_the_gpu_of_the_local_rank(
    variables: dict[str, str], index: int, whole_gpu: Machine, rank_of: Any
) -> None:
    whole_gpu.device_count = 2
    rank_of(**variables)
    own = Device("cuda")
    assert own.index == index and str(own) == "cuda" and backends.get("cuda").device == own
    for other in range(2):
        assert Device.parse(str(Device("cuda", other))) == Device("cuda", other)
    assert nnkit.ones(1).cuda().device == own and nnkit.cuda.current_device() == index
    nnkit.cuda.set_device(index)


def test_without_a_driver_cuda_is_the_first(gpu: Machine, rank_of: Any) -> None:
    rank_of(MPI_LOCALRANKID="1")
    gpu.driver_version = 0
    assert Device("cuda").index == 0
