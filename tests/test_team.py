"""Stages whose calls are shared among threads: each call runs exactly once, whoever is there to help."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from waiting import HANG, until

import nnkit
from nnkit.backends.cpu import team
from nnkit.backends.cpu.launch import new_call, shares
from nnkit.backends.cpu.rooms import Rooms
from nnkit.backends.cpu.table import Table
from nnkit.kernels.cpu.elementwise import Shape, map_kernel
from nnkit.kernels.cpu.rooms import LINE
from nnkit.kernels.cpu.runner import ACTIVE, ALONE, HELPERS, MOST, PENALTY

PIECES = 12
#: x[i] = x[i] + 1, so that a call that runs twice, or never, shows.
ONCE_MORE = ("add", Shape(("float64", "float64"), ("float64",), "f1", (0,)))


@pytest.fixture(params=[1, 2, 4])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = nnkit.get_num_threads()
    nnkit.set_num_threads(request.param)
    yield request.param
    nnkit.set_num_threads(before)


class Counting:
    """A table of three stages over numbers that count how often their call ran."""

    def __init__(self) -> None:
        self.counts = np.zeros(3 * PIECES)
        self.one = np.ones(1)
        kernel = map_kernel(*ONCE_MORE)
        address, one = self.counts.ctypes.data, self.one.ctypes.data
        calls = [
            [new_call(kernel, [1, 1, address + 8 * (PIECES * s + k), one, address]) for k in range(PIECES)]
            for s in range(3)
        ]
        self.calls = [calls[0], calls[1][:1], calls[2]]  # the second stage is a single call
        self.table = Table([[(c.kernel.address, ctypes.addressof(c.block)) for c in stage] for stage in self.calls])

    def assert_ran(self, times: int) -> None:
        expected = np.repeat([times, 0, times], PIECES)
        expected[PIECES] = times
        assert np.array_equal(self.counts, expected)


def test_every_call_runs_once(threads: int) -> None:
    counting = Counting()
    counting.table.run()
    counting.assert_ran(1)
    counting.table.run(20_000)
    counting.assert_ran(20_001)


def test_everyone_begins_with_their_own_share() -> None:
    """Four calls and two threads: while both are in their first, these are the helper's first and the runner's."""
    before = nnkit.get_num_threads()
    nnkit.set_num_threads(2)
    both, firsts = threading.Barrier(2, timeout=HANG), dict[int, int]()

    @ctypes.CFUNCTYPE(None, ctypes.POINTER(ctypes.c_int64))
    def note(block: Any) -> None:
        if threading.get_ident() not in firsts:
            firsts[threading.get_ident()] = block[0]
            both.wait()

    address = ctypes.cast(note, ctypes.c_void_p).value
    assert address is not None
    blocks = [(ctypes.c_int64 * 1)(number) for number in range(4)]
    table = Table([[(address, ctypes.addressof(block)) for block in blocks]])
    try:
        counting = Counting()
        counting.table.run()  # makes the team
        for _ in range(5):
            firsts.clear()
            team._current.board[ALONE] = 0  # type: ignore[union-attr]
            table.run()
            runner = firsts.pop(threading.get_ident())
            assert (runner, *firsts.values()) == (2, 0)
    finally:
        nnkit.set_num_threads(before)


def test_a_stage_of_more_calls_than_one_offer_holds(threads: int) -> None:
    count = 2 * MOST + 3
    counts, one, kernel = np.zeros(count), np.ones(1), map_kernel(*ONCE_MORE)
    places = [counts.ctypes.data + 8 * k for k in range(count)]
    calls = [new_call(kernel, [1, 1, place, one.ctypes.data, place]) for place in places]
    Table([[(c.kernel.address, ctypes.addressof(c.block)) for c in calls]]).run(20)
    assert np.array_equal(counts, np.full(count, 20.0))


def test_many_threads_with_programs_of_their_own(threads: int) -> None:
    tables = [Counting() for _ in range(8)]
    started = [threading.Thread(target=lambda c=c: [c.table.run(7) for _ in range(300)]) for c in tables]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join(HANG)
    for counting in tables:
        counting.assert_ran(2100)


def test_a_helper_that_sleeps_is_woken_and_sleeps_again() -> None:
    before = nnkit.get_num_threads()
    nnkit.set_num_threads(2)
    try:
        counting = Counting()
        counting.table.run()
        helpers = team._current
        assert helpers is not None and helpers.helpers == 1 and helpers.board[ACTIVE] == 0
        for _ in range(3):
            until(lambda: helpers.board[HELPERS] == 1)
            counting.table.run(50)
        counting.assert_ran(151)
    finally:
        nnkit.set_num_threads(before)


def test_without_the_team_a_program_runs_alone() -> None:
    before = nnkit.get_num_threads()
    nnkit.set_num_threads(2)
    try:
        counting = Counting()
        with ThreadPoolExecutor(1) as another:
            assert another.submit(team.taken, 0).result(HANG) is not None and team.taken(0) is None
            counting.table.run(3)
            another.submit(team.left).result(HANG)
        counting.assert_ran(3)
    finally:
        nnkit.set_num_threads(before)


def test_after_a_long_wait_stages_are_kept_for_a_while() -> None:
    before = nnkit.get_num_threads()
    nnkit.set_num_threads(2)
    try:
        counting = Counting()
        counting.table.run()
        board = team._current.board  # type: ignore[union-attr]
        board[ALONE], board[PENALTY] = 2**62, 6400
        counting.table.run(2)
        assert board[PENALTY] == 6400  # nothing was offered
        board[ALONE] = 0
        counting.table.run()
        assert board[PENALTY] != 6400
        counting.assert_ran(4)
    finally:
        nnkit.set_num_threads(before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_has_a_team_of_its_own() -> None:
    before = nnkit.get_num_threads()
    nnkit.set_num_threads(2)
    try:
        counting = Counting()
        counting.table.run()
        child = os.fork()
        if child == 0:
            counting.table.run(100)
            os._exit(0 if counting.counts[0] == 101 else 1)
        assert os.waitpid(child, 0)[1] == 0
    finally:
        nnkit.set_num_threads(before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_finds_all_rooms_free() -> None:
    """Also those that another thread of the parent had at that moment."""
    at, table = Rooms().table(2, 64)
    taken = range(LINE, LINE * (ctypes.c_int64.from_address(at).value + 1), LINE)
    places = [ctypes.c_int64.from_address(at + 8 * place) for place in taken]
    for place in places:
        place.value = 1
    child = os.fork()
    if child == 0:
        os._exit(sum(place.value for place in places))
    assert os.waitpid(child, 0)[1] == 0 and sum(place.value for place in places) == len(places)
    assert table is not None


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [((100, 16, 2), [(0, 64), (64, 36)]), ((5, 16, 2), [(0, 5)]), ((64, 1, 3), [(0, 22), (22, 22), (44, 20)])],
)
def test_shares(arguments: Any, expected: list[tuple[int, int]]) -> None:
    assert list(shares(*arguments)) == expected


@pytest.mark.parametrize("count", [0, -1])
def test_a_number_of_threads_is_at_least_one(count: int) -> None:
    with pytest.raises(ValueError, match=f"count: expected at least 1 thread, got {count}"):
        nnkit.set_num_threads(count)


#: What is added to (16, 24, 30, 31), large enough to be shared: how it lies.
ADDED = {
    "full": (16, 24, 30, 31), "a row": (31,), "rows": (30, 31), "a column": (16, 24, 30, 1),
    "one a sample": (16, 1, 1, 1),
    "one a channel": (24, 1, 1), "a column inside": (24, 30, 1), "one": (1,),
}  # fmt: skip


@pytest.mark.parametrize("shape", ADDED.values(), ids=ADDED)
def test_shared_loops_see_each_element_once(threads: int, shape: tuple[int, ...]) -> None:
    backend = nnkit.backends.get("numba")
    x, y = (np.random.default_rng(k).normal(size=n).astype(np.float32) for k, n in enumerate(((16, 24, 30, 31), shape)))
    out = np.full_like(x, np.nan)
    backend.map("add", (x, y), (out,))
    assert np.array_equal(out, x + y)
