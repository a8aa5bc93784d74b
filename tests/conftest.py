"""Every test that takes ``device`` runs on each of these devices; a missing one is an error, not a skip."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

import nnkit

DEVICES = os.environ.get("NNKIT_TEST_DEVICES", "numpy,numba,strict").split(",")


@pytest.fixture(autouse=True, scope="session")
def interruptible() -> None:
    """Ctrl-C raises KeyboardInterrupt; a shell that started the tests in the background would have it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    """The default device of the test, by name; random streams start anew."""
    nnkit.set_device_fallback(False)
    nnkit.set_default_device(request.param)
    nnkit.manual_seed(0)
    yield request.param
    nnkit.set_default_device("cpu")
    nnkit.set_device_fallback(True)
