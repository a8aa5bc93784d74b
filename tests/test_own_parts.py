"""``fit(parallel=MPI(data="own"))``: each process trains on rows of its own, as many as it has."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import own_parts_cases
import pytest
from own_parts_cases import CASES, Data
from test_parallel import Of, needs_mpi, run

import nnkit
from nnkit import nn
from nnkit.parallel import MPI
from nnkit.parallel.parts import Parts
from nnkit.training.batches import ArraySource, Batch


@pytest.fixture(scope="module", params=[2, 3])
def ranks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("parts")
    done = run(request.param, folder, script=own_parts_cases.__file__)
    assert done.returncode == 0, done.stderr[-4000:]
    return [json.loads((folder / f"{request.param}-{rank}.json").read_text()) for rank in range(request.param)]


@cache
def alone(name: str, size: int) -> dict[str, Any]:
    return CASES[name](Data(size))


@needs_mpi
@pytest.mark.parametrize("name", CASES)
def test_parts_give_the_numbers_of_one_process_with_the_same_batches(name: str, ranks: Any) -> None:
    found = [rank[name] for rank in ranks]
    for other in found[1:]:
        assert other["history"] == found[0]["history"] and other["weights"] == found[0]["weights"]
    expected = alone(name, len(ranks))
    assert found[0]["history"].keys() == expected["history"].keys()
    for key, values in expected["history"].items():
        np.testing.assert_allclose(found[0]["history"][key], values, rtol=2e-5, atol=1e-6, err_msg=key)
    assert found[0].get("best") == expected.get("best")


@needs_mpi
def test_shuffled_parts_give_the_same_bits_in_every_rank_and_again(ranks: Any) -> None:
    for rank in ranks:
        assert rank["shuffled"] == rank["shuffled again"] == ranks[0]["shuffled"]


@needs_mpi
def test_every_row_of_every_part_counts_once(ranks: Any) -> None:
    for name, expected in ranks[0]["standing"]["expected"].items():
        np.testing.assert_allclose(ranks[0]["standing"]["found"][name], [expected] * 2, rtol=1e-5, err_msg=name)


@needs_mpi
def test_a_training_on_parts_goes_on_to_the_bit(ranks: Any) -> None:
    for rank in ranks:
        assert rank["resumed"]["again"] == rank["resumed"]["whole"] == ranks[0]["resumed"]["whole"]


@needs_mpi
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("batch size", "batch_size is 1 for {size} processes with data='own'"),
        ("generator", "which can be read only once"),
        ("statistics", "batch_statistics='own' needs rows of every process in every batch, and rank 1 has"),
        ("words", "rank 1 gives arrays to train on and nothing to validate on, with data='own'; rank 0"),
        ("validation", "rank 1 gives arrays to train on and arrays to validate on, with data='own'; rank 0"),
        ("kinds", "rank 0 batches to train on and nothing"),
        ("checkpoint", "RunCheckpoint cannot keep the place in a loader"),
    ],
)
def test_what_parts_cannot_do_is_refused_in_every_rank(name: str, message: str, ranks: Any) -> None:
    for rank in ranks:
        assert message.format(size=len(ranks)) in rank["refusals"][name]


# ---- in one process -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "sizes"), [((5, 3), (2, 2)), ((60, 37), (8, 8)), ((1, 9, 4), (2, 2, 1)), ((4, 4), (2, 2)), ((7,), (3,))]
)
def test_batches_of_parts_are_all_rows_once(rows: tuple[int, ...], sizes: tuple[int, ...]) -> None:
    parts = Parts(rows, sizes, 0)
    counts = [parts.of_batch(number) for number in range(parts.batches)]
    assert tuple(map(sum, zip(*counts, strict=True))) == rows and all(map(any, counts))
    for number in range(parts.batches):
        alike = parts.alike(number)
        assert all(parts.of_batch(k) == counts[number] for k in range(number, min(number + alike, parts.batches)))


@pytest.mark.parametrize("seed", [None, 3])
def test_each_rank_shuffles_by_a_stream_of_its_own(seed: int | None) -> None:
    orders, states = [], []
    for rank in range(3):
        nnkit.manual_seed(1)
        source = ArraySource(Batch(nnkit.arange(20), nnkit.arange(20)), 4, shuffle=True, seed=seed)
        source.parts = Parts((20, 20, 20), (4, 4, 4), rank)
        orders.append(np.concatenate([batch.x.numpy() for batch in source.epoch(0)]))
        states.append(nnkit.get_rng_state())
    assert all(sorted(order) == list(range(20)) for order in orders) and states == [states[0]] * 3
    assert all((orders[a] != orders[b]).any() for a, b in ((0, 1), (0, 2), (1, 2)))


def test_the_word_is_checked_and_one_process_is_as_without() -> None:
    with pytest.raises(ValueError, match="data must be 'all' or 'own', got 'mine'"):
        MPI(data="mine")
    histories = []
    for parallel in (None, MPI(data="own")):
        nnkit.manual_seed(0)
        model = nn.Linear(2, 1)
        history = model.fit(np.eye(2), [[0.0], [1.0]], loss="mse", parallel=parallel, verbose=0, batch_size=1)
        histories.append(history.history)
    assert histories[0] == histories[1]
    assert Of(1, 3).share_of([2, 0, 1])[:3] == (2, 0, 3)
