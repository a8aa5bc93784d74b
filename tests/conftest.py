"""Every test that takes ``device`` runs on each of these devices; a missing one is an error, not a skip.

``.ci/run`` adds the device "strict", NumPy that knows the array API alone; what every backend must do is tested on it
here too. The whole suite runs in two processes, file by file, where pytest-xdist is installed: so kernels are compiled
side by side. ``-n 0`` makes it one.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from waiting import HANG

import nnkit
from nnkit.kernels.cpu import compiler

DEVICES = os.environ.get("NNKIT_TEST_DEVICES", "numpy,numba").split(",")
PROCESSES = 2


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Share out a run that names no tests, unless it says how, or wants to stop in a debugger."""
    named = config.args_source is pytest.Config.ArgsSource.ARGS
    if (
        named
        or hasattr(config, "workerinput")
        or not config.pluginmanager.hasplugin("xdist")
        or config.option.usepdb
        or config.option.collectonly
    ):
        return
    if config.option.numprocesses is None:
        config.option.numprocesses, config.option.dist = PROCESSES, "loadfile"


@pytest.fixture(autouse=True, scope="session")
def interruptible() -> None:
    """Ctrl-C raises KeyboardInterrupt; a shell that started the tests in the background would have it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def patient() -> None:
    """Kernels are compiled however long that takes; what gives one up sets a limit of its own."""
    compiler.LIMIT = HANG


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    """The default device of the test, by name; random streams start anew."""
    nnkit.set_device_fallback(False)
    nnkit.set_default_device(request.param)
    nnkit.manual_seed(0)
    yield request.param
    nnkit.set_default_device("cpu")
    nnkit.set_device_fallback(True)
