"""Several processes train one model: the numbers of one process, the same in every process, and one end for all."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import parallel_cases
import parallel_fates
import pytest
from captured import programs
from parallel_cases import CASES
from twin import check_fit, check_loop
from waiting import HANG, until

import nnkit
from nnkit import nn
from nnkit.parallel import MPI, shard, watch
from nnkit.tensors import random
from nnkit.tensors.shares import Share, divided
from nnkit.utils.data import TensorDataset

Run = dict[str, Any]


def mpiexec() -> str | None:
    """The launcher of MPICH's wheel, or what is on the path."""
    try:
        files = importlib.metadata.files("mpich") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    own = [str(Path(str(file.locate())).resolve()) for file in files if file.name == "mpiexec"]
    return own[0] if own and Path(own[0]).exists() else shutil.which("mpiexec")


LAUNCHER = mpiexec()
needs_mpi = pytest.mark.skipif(
    LAUNCHER is None or importlib.util.find_spec("mpi4py") is None,
    reason="mpi4py or mpiexec is not installed: pip install mpi4py mpich",
)


def run(size: int, folder: Path, *words: str, script: str = "") -> subprocess.CompletedProcess[str]:
    assert LAUNCHER is not None
    library = Path(LAUNCHER).parent.parent / "lib"
    paths = os.pathsep.join([str(library), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])])
    environment = {**os.environ, "NNKIT_NUM_THREADS": "1", "LD_LIBRARY_PATH": paths, "NNKIT_TEST_RUN": str(folder)}
    command = [
        LAUNCHER,
        "-n",
        str(size),
        sys.executable,
        script or (parallel_fates if words else parallel_cases).__file__,
        str(folder),
        *words,
    ]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=HANG, stdin=subprocess.DEVNULL, check=False
    )


@pytest.fixture(scope="module", params=[2, 3])
def ranks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Run], str, Path]:
    """What each rank saw, what was printed, and the folder."""
    folder = tmp_path_factory.mktemp("ranks")
    done = run(request.param, folder)
    assert done.returncode == 0, done.stderr[-4000:]
    found = [json.loads((folder / f"{request.param}-{rank}.json").read_text()) for rank in range(request.param)]
    return found, done.stdout + done.stderr, folder


@cache
def alone(name: str, folder: str) -> Run:
    os.environ["NNKIT_TEST_FOLDER"] = folder
    return CASES[name](None)


@needs_mpi
@pytest.mark.parametrize("name", CASES)
def test_several_processes_give_the_numbers_of_one(name: str, ranks: Any, tmp_path: Path) -> None:
    found = [rank[name] for rank in ranks[0]]
    for other in found[1:]:
        assert other["history"] == found[0]["history"] and other["weights"] == found[0]["weights"]
    expected = alone(name, str(tmp_path))
    assert found[0]["history"].keys() == expected["history"].keys()
    for key, values in expected["history"].items():
        np.testing.assert_allclose(found[0]["history"][key], values, rtol=2e-5, atol=1e-6, err_msg=key)
    assert found[0].get("best") == expected.get("best")


@needs_mpi
def test_steps_over_processes_are_recorded(ranks: Any) -> None:
    for rank in ranks[0]:
        assert rank["many_steps"]["replayed"] > 150 and rank["dropout"]["replayed"] > 8
        assert rank["plainly"]["replayed"] == 0


@needs_mpi
def test_the_same_number_of_processes_gives_the_same_bits(ranks: Any) -> None:
    for name, weights in ranks[0][0]["again"].items():
        assert weights == ranks[0][0][name]["weights"]


@needs_mpi
def test_the_first_rank_alone_speaks_and_saves(ranks: Any) -> None:
    found, printed, folder = ranks
    assert printed.count("epoch 1/1") == 1
    assert sorted(path.name for path in folder.glob("*.safetensors")) == [
        f"best-{len(found)}.safetensors", f"run-{len(found)}.safetensors",
    ]  # fmt: skip


@needs_mpi
def test_what_would_give_other_numbers_is_refused(ranks: Any) -> None:
    for rank in ranks[0]:
        said = rank["refusals"]
        assert "batch_statistics='own'" in said["batch norm"]
        assert "2.layer (Dropout) draws" in said["by time"] and "bfloat16" in said["float16"]
        assert "'every'" in said["within epochs"] and "rank 1 has other data" in said["other data"]
        assert "rank 1 read 9 rows as its next batch, and rank 0 read 8" in said["other batches"]
        assert "their shapes are [(4, 10), (4,)] beside [(3, 10), (3,)]" in said["other weights"]
        for name, told in (
            ("epochs", "epochs is 2 beside 1"),
            ("optimizer", "optimizer is Adam beside SGD"),
            ("clipping", "clip_norm is 2.0 beside 1.0"),
            ("seed", "seed is 1 beside 0"),
            ("loss", "loss is CrossEntropyLoss beside NLLLoss"),
            ("metrics", "metrics is ['loss'] beside ['loss', 'accuracy']"),
            ("class weights", "class_weight is {0: 2.0} beside {0: 1.0}"),
            ("frozen", "frozen is ['0.weight', '0.bias'] beside []"),
        ):
            alike = len(ranks[0]) == 3 and name not in ("epochs", "clipping", "seed", "class weights")
            who = "ranks 1, 2 have" if alike else "rank 1 has"
            assert f"{who} other settings than rank 0: {told}" in said[f"other {name}"], name
        assert said["own statistics"] == ranks[0][0]["refusals"]["own statistics"]


@needs_mpi
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x", "x holds other values, in the same shape (97, 10)"),
        ("y", "y holds other values, in the same shape (97,)"),
        ("weight", "sample_weight holds other values, in the same shape (97,)"),
        ("validation", "y of validation_data holds other values, in the same shape (97,)"),
        ("split", "x of the validation split holds other values, in the same shape (20, 10)"),
        ("batches", "x of the first batch of an epoch holds other values, in the same shape (8, 10)"),
        ("loader", "x of the first batch of an epoch holds other values, in the same shape (1, 10)"),
        ("plainly", "x holds other values, in the same shape (97, 10)"),
        ("large", "x holds other values, in the same shape (970, 10)"),
    ],
)
def test_other_values_in_one_rank_are_refused_by_name(name: str, message: str, ranks: Any) -> None:
    who = "ranks 1, 2 have" if name == "loader" and len(ranks[0]) == 3 else "rank 1 has"
    for rank in ranks[0]:
        assert f"{who} other data than rank 0: {message}" in rank["refusals"][f"values of {name}"]


@needs_mpi
@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("raises", "rank 1: RuntimeError: the disk is full"),
        ("exits", "rank 1: SystemExit: 3"),
    ],
)
def test_all_ranks_end_with_one_that_fails(word: str, message: str, tmp_path: Path) -> None:
    done = run(2, tmp_path, word)
    assert done.returncode != 0 and message in done.stdout + done.stderr
    assert "ended first, without a word" not in done.stderr


@needs_mpi
@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="who has ended is seen by Linux's pidfd_open")
@pytest.mark.parametrize("word", ["killed", "exits at once"])
@pytest.mark.parametrize("size", [2, 3])
def test_a_rank_that_ends_without_a_word_is_named(word: str, size: int, tmp_path: Path) -> None:
    """The launcher, which is ending, does not always pass on what is printed then."""
    for _ in range(3):
        done = run(size, tmp_path, word)
        assert done.returncode != 0
        named = re.findall(r"(rank \d+) \(pid \d+\) ended first, without a word", done.stderr)
        if named:
            break
    assert named == ["rank 1"], done.stderr[-2000:]
    until(lambda: not left_behind(tmp_path))


@needs_mpi
def test_nothing_is_said_or_left_behind_where_all_end_well(ranks: Any) -> None:
    assert "without a word" not in ranks[1]
    until(lambda: not left_behind(ranks[2]))


def left_behind(folder: Path) -> list[str]:
    """Processes that look after those of a run."""
    return [
        path.parent.name
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if b"parallel/sentry.py" in read(path) and str(folder).encode() in read(path.with_name("environ"))
    ]


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended
        return b""


@needs_mpi
@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("breaks", "rank 1: the loss turned NaN or infinite at epoch 1, step 1"),
        (
            "bad_gradient",
            "rank 1: the gradient of 'inner.weight' by the rows of this rank is NaN or infinite at epoch 1, step 2",
        ),
        (
            "bad_last_gradient",
            "rank 1: the gradient of 'inner.weight' by the rows of this rank is NaN or infinite at epoch 1, step 1",
        ),
    ],
)
def test_every_rank_hears_which_rank_diverged(word: str, message: str, tmp_path: Path) -> None:
    done = run(2, tmp_path, word)
    assert done.returncode == 0, done.stderr[-2000:]
    for rank in range(2):
        assert f"{rank} heard: {message}" in done.stdout


@needs_mpi
@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (2, 3), (2, 2)])
def test_a_training_goes_on_with_another_number_of_processes(before: int, after: int, tmp_path: Path) -> None:
    """From within an epoch; that the numbers agree to rounding only is said, where the number is another."""
    done = run(before, tmp_path, "saved_within")
    assert done.returncode == 0, done.stderr[-2000:]
    done = run(after, tmp_path, "goes_on")
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    for name, values in parallel_cases.whole_run(None)["history"].items():
        np.testing.assert_allclose(found["history"][name], values, rtol=2e-5, atol=1e-6, err_msg=name)
    said = [line for line in found["said"] if f"processes {before} → {after}" in line and "to rounding" in line]
    assert len(said) == len(found["said"]) == (before != after)


@needs_mpi
def test_a_checkpoint_is_whole_though_rank_0_is_killed_while_it_writes_the_next(tmp_path: Path) -> None:
    assert run(2, tmp_path, "dies_writing").returncode != 0
    found = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3))
    with pytest.warns(UserWarning, match="processes 2 → 1"):
        again = parallel_cases.fitted(found, parallel_cases.X, parallel_cases.Y, None, resume=tmp_path / "run")
    assert len(again["history"]["loss"]) == 4


@needs_mpi
@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("sleeps", r"rank 1 has not come, it is at .*parallel_fates\.py:\d+ in sleeps; all ranks end"),
        ("sleeps_before_a_step", r"rank 1 has not come, it is at .*parallel_fates\.py:\d+ in sleeps_before_a_step;"),
        ("stopped_by_hand", "rank 1 does not answer: it has ended, was killed or stopped"),
    ],
)
def test_all_ranks_end_where_one_does_not_come(word: str, message: str, tmp_path: Path) -> None:
    done = run(2, tmp_path, word)
    assert done.returncode != 0 and "without a word" not in done.stderr
    assert len(re.findall(f"after 1 s of waiting for all in exchange \\d+: {message}", done.stderr)) == 1


@needs_mpi
@pytest.mark.parametrize("size", [2, 3])
def test_trainings_in_threads_need_communicators_of_their_own(size: int, tmp_path: Path) -> None:
    done = run(size, tmp_path, "threads")
    assert done.returncode == 0, done.stderr[-2000:]
    found = re.findall(r"found (\[.*?\])", done.stdout)  # the launcher may join lines of two ranks
    assert len(found) == size and len(set(found)) == 1
    done = run(size, tmp_path, "threads_of_one")
    assert done.returncode != 0 and "their exchanges would mix" in done.stderr and ".Dup())" in done.stderr


# ---- in one process -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rank", "seconds"), [(0, 0.0), (2, watch.BEAT)])
@pytest.mark.parametrize("answers", [True, False])
def test_of_those_who_wait_the_first_speaks_first(
    rank: int, seconds: float, answers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ranks 0 and 2 of three wait, and rank 1 has told that it is elsewhere, or says nothing."""
    clock, said, asked = [0.0], list[str](), list[int]()
    monkeypatch.setattr(watch, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(watch, "end_all", lambda communicator, text: said.append(text))
    send = lambda message, receiver, tag: asked.append(receiver) or SimpleNamespace(Test=bool)  # noqa: E731
    waits = watch.Watch(SimpleNamespace(Get_rank=lambda: rank, Get_size=lambda: 3, isend=send))
    waits._can_ask, waits._tag = True, 0
    waits.begin(1.0)
    waits._suspect(1, 1.0)
    assert asked == [other for other in range(3) if other != rank]
    waits._answers = {2 - rank: watch.Message(2 - rank, False, 1, "")}
    if answers:
        waits._answers[1] = watch.Message(1, False, 0, "train.py:12 in main")
    clock[0] = seconds + (0.0 if answers else watch.LOOKS * watch.BEAT)
    waits._suspect(1, 1.0)
    assert said == []
    clock[0] += 0.1
    waits._suspect(1, 1.0)
    (told,) = said
    assert ("rank 1 has not come, it is at train.py:12 in main" in told) == answers
    assert ("rank 1 does not answer" in told) != answers


class Of(MPI):
    """A rank that is only told so."""

    def __init__(self, rank: int, size: int) -> None:
        super().__init__()
        self.rank, self.size = rank, size


@pytest.mark.parametrize(("rows", "size"), [(0, 1), (1, 3), (7, 3), (8, 4), (9, 4)])
def test_shares_are_all_rows_once(rows: int, size: int) -> None:
    shares = [Of(rank, size).share(rows) for rank in range(size)]
    assert [row for share in shares for row in range(share.first, share.first + share.rows)] == list(range(rows))
    assert max(share.rows for share in shares) - min(share.rows for share in shares) <= 1


@pytest.mark.parametrize(("shape", "first"), [((8, 4), 2), ((8, 3), 3), ((8, 5, 3), 1), ((8,), 5)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dropout_of_a_share_is_part_of_the_whole_one(device: str, shape: Any, first: int, dtype: str) -> None:
    x = nnkit.ones(*shape, dtype=dtype, device=device)
    random.manual_seed(1)
    whole = nn.functional.dropout(x, 0.5)
    random.manual_seed(1)
    rows = shape[0] - first - 1
    own = x[first : first + rows].clone().requires_grad_()
    with divided(Share(first, rows, shape[0])):
        part = nn.functional.dropout(own, 0.5)
    assert (part.detach() == whole[first : first + rows]).all()
    part.sum().backward()
    assert (own.grad == part.detach()).all()


def test_what_is_not_keyed_by_place_is_refused() -> None:
    x = nnkit.ones(4, 3)
    with divided(Share(0, 2, 4)):
        with pytest.raises(NotImplementedError, match="axis 0 must be the samples"):
            nn.functional.dropout(x, 0.5)
        with pytest.raises(NotImplementedError, match="not keyed by the samples' places"):
            nnkit.randperm(2)


def test_one_process_is_as_without(device: str) -> None:
    mpi = MPI()
    assert (mpi.rank, mpi.size, mpi.gather(3), mpi.from_first(3)) == (0, 1, [3], 3)
    model = nn.Linear(2, 1).to(device)
    mpi.broadcast(model)
    assert len(model.fit([[0.0, 1.0]], [[1.0]], loss="mse", parallel="mpi", verbose=0).epoch) == 1
    assert len(shard(TensorDataset(nnkit.ones(4, 1)))) == 4


def test_an_exchange_is_part_of_a_recorded_step(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert programs(check_loop(device, monkeypatch)) == 1


def test_fit_beside_a_process_with_equal_rows(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check_fit(device, monkeypatch)


@pytest.mark.parametrize(("parallel", "error"), [("mpj", ValueError), (2, TypeError), ("nccl", ValueError)])
def test_parallel_names_what_there_is(parallel: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="parallel"):
        nn.Linear(1, 1).fit([[0.0]], [[0.0]], loss="mse", parallel=parallel)


def test_shard_refuses_what_does_not_go_round() -> None:
    with pytest.raises(ValueError, match="one length"):
        shard([1, 2], [1])
    with pytest.raises(ValueError, match="2 rows for 3 processes"):
        shard([1, 2], mpi=Of(0, 3))
