"""Gradients are added up to the same numbers on every way between processes; and what that is made of."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import exchange_cases
import numpy as np
import pytest
from exchange_cases import WAYS
from test_parallel import needs_mpi, run

from nnkit import backends

SIZE = 4
#: What every rank gets of gradients 1, 2, 4 and 8, and one more in each further parameter.
EXPECTED = {"None": (15.0, 4.0), "equal": (3.75, 1.0), "[1, 2, 3, 2]": (4.125, 1.0)}
#: What a recorded step has of an exchange, and of a divided update, on one machine.
MEETING = ["meet", "merge", "meet", "merge", "meet"]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of four ranks saw."""
    folder = tmp_path_factory.mktemp("exchange")
    done = run(SIZE, folder, script=exchange_cases.__file__)
    assert done.returncode == 0, done.stderr[-4000:]
    return [json.loads(Path(folder, f"{rank}.json").read_text()) for rank in range(SIZE)]


@needs_mpi
@pytest.mark.parametrize("means", EXPECTED)
def test_sums_and_means_are_exact_on_every_way(means: str, ranks: Any) -> None:
    first, step = EXPECTED[means]
    for rank in ranks:
        for way, values in rank[means]:
            assert values == [first + step * number for number in range(len(values))], way


@needs_mpi
@pytest.mark.parametrize("way", WAYS)
def test_all_ranks_have_the_same_bits_and_learn(way: str, ranks: Any) -> None:
    for rank in ranks:
        assert rank[way]["weights"] == ranks[0][way]["weights"]
        assert rank[way]["losses"][-1] < rank[way]["losses"][0]
        np.testing.assert_allclose(rank[way]["losses"], rank["one machine"]["losses"], rtol=1e-5)


@needs_mpi
@pytest.mark.parametrize("way", WAYS)
def test_memory_is_shared_where_it_can_be_and_used_again(way: str, ranks: Any) -> None:
    for rank in ranks:
        assert rank[way]["rooms"] == WAYS[way][1]


@needs_mpi
def test_on_one_machine_a_recorded_step_is_kernels_alone(ranks: Any) -> None:
    for rank in ranks:
        names = rank["one machine"]["names"]
        assert all(kernel for _, kernel in names)
        assert [name for name, _ in names if name in MEETING] == MEETING
        assert [name for name, _ in rank["one machine"]["undivided"]["names"] if name in MEETING] == MEETING[:3]
        between = [name for name, kernel in rank["two machines"]["names"] if not kernel]
        assert between == ["exchange"]


@needs_mpi
@pytest.mark.parametrize("way", WAYS)
def test_updates_are_divided_where_memory_is_shared_and_give_the_bits_of_whole_ones(way: str, ranks: Any) -> None:
    times = {"one machine": 1, "two machines": 2}.get(way, SIZE)  # that a number is updated, by all ranks together
    assert sum(rank[way]["updated"] for rank in ranks) == times * ranks[0][way]["undivided"]["updated"]
    for rank in ranks:
        assert rank[way]["weights"] == rank[way]["undivided"]["weights"]


# ---- what it is made of, in one process -----------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["numpy", "numba"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("length", [1, 1000, 70_000])
@pytest.mark.parametrize("weights", [None, [1.0], [3.0, 1.0], [2.0, 0.0, 5.0]])
@pytest.mark.parametrize("whole", [None, 16.0])
def test_merge(device: str, dtype: str, length: int, weights: list[float] | None, whole: float | None) -> None:
    rng = np.random.default_rng(length)
    sources = [rng.normal(size=length).astype(dtype) for _ in range(3 if weights is None else len(weights))]
    factors = [1.0] * 3 if weights is None else np.array(weights) / (whole or sum(weights))
    expected = sum(factor * source.astype(np.float64) for factor, source in zip(factors, sources, strict=True))
    given = [np.array([weight]) for weight in weights or []]
    other = np.empty(length, dtype)
    backends.get(device).merge(sources, given, None if whole is None else np.array([whole]), [sources[-1], other])
    np.testing.assert_array_equal(sources[-1], other)
    np.testing.assert_allclose(other, expected, rtol=4 * np.finfo(dtype).eps, atol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("device", ["numpy", "numba"])
def test_nobody_leaves_a_meeting_before_all_have_come(device: str) -> None:
    backend: Any = backends.get(device)
    counts = [np.zeros(8, np.int64)[:1] for _ in range(3)]
    come, seen = [0, 0, 0], []

    def process(own: int) -> None:
        for times in range(1, 101):
            come[own] = times
            backend.meet(counts, own)
            seen.append(min(come) >= times)
            backend.meet(counts, own)

    threads = [threading.Thread(target=process, args=(own,)) for own in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 300 and all(seen) and [int(count[0]) for count in counts] == [200] * 3
