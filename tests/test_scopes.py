"""Blocks that change a value of this thread's end with it, however they are used and whatever comes between."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from waiting import HANG

from nnkit import autocast, enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from nnkit.tensors.precision import autocast_type


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    yield
    assert is_grad_enabled() and autocast_type() is None


def nested() -> Iterator[bool]:
    block = no_grad()
    with block:
        yield is_grad_enabled() is False
        with block:
            yield is_grad_enabled() is False
        with enable_grad():
            yield is_grad_enabled()
            with block:
                yield is_grad_enabled() is False
            yield is_grad_enabled()
        yield is_grad_enabled() is False
    yield is_grad_enabled()


def by_hand() -> Iterator[bool]:
    block = no_grad()
    block.__enter__()
    block.__enter__()
    block.__exit__(None, None, None)
    yield is_grad_enabled() is False
    block.__exit__(None, None, None)
    yield is_grad_enabled()


def in_a_stack() -> Iterator[bool]:
    with contextlib.ExitStack() as stack:
        stack.enter_context(no_grad())
        stack.enter_context(autocast("float16"))
        yield is_grad_enabled() is False and autocast_type() == "float16"
        stack.enter_context(enable_grad())
        yield is_grad_enabled()
    yield is_grad_enabled()


def set_inside() -> Iterator[bool]:
    with no_grad():
        set_grad_enabled(True)
        yield is_grad_enabled()
    set_grad_enabled(False)
    with enable_grad():
        yield is_grad_enabled()
    yield is_grad_enabled() is False
    set_grad_enabled(True)
    with set_grad_enabled(False):
        yield is_grad_enabled() is False


def in_two_threads() -> Iterator[bool]:
    block, meet, seen = no_grad(), threading.Barrier(2), []

    def other() -> None:
        with block:
            meet.wait(HANG)
            meet.wait(HANG)
            seen.append(is_grad_enabled())
        seen.append(is_grad_enabled())

    thread = threading.Thread(target=other)
    thread.start()
    meet.wait(HANG)
    yield is_grad_enabled()
    with block:
        yield is_grad_enabled() is False
    meet.wait(HANG)
    thread.join()
    yield seen == [False, True]


@pytest.mark.parametrize("use", [nested, by_hand, in_a_stack, set_inside, in_two_threads])
def test_a_block_ends_where_it_ends(use: Callable[[], Iterator[bool]]) -> None:
    assert all(use())


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no such timers")
def test_no_interrupt_leaves_a_block_open() -> None:
    came: list[int] = []

    def interrupt(number: int, frame: Any) -> None:
        if not came:
            came.append(number)
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for number in range(300):
            with contextlib.suppress(KeyboardInterrupt):
                came.clear()
                # Again and again: where the process was stopped meanwhile, one alarm alone was seen to be missed.
                signal.setitimer(signal.ITIMER_REAL, 2e-4 + 1e-6 * number, 0.05)
                while not came:
                    with no_grad(), autocast("bfloat16"):
                        pass
            assert is_grad_enabled() and autocast_type() is None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
