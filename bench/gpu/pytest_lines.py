"""A plugin of pytest for ``bench gpu``: outcomes as lines for the parent, and kernels on the GPU, not emulated.

``python -m pytest -p bench.gpu.pytest_lines ...`` says which file it begins, and what became of each test. The tests of
single kernels run them through ``kernel_checks``; here the GPU takes the emulator's place there.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.gpu.checks import cuda_is_gone
from bench.gpu.outcomes import FAILED, PASSED, SKIPPED
from bench.gpu.process import Said
from bench.gpu.suites import ON_THE_GPU, TESTS
from nnkit import backends

#: How much of an error's text is kept.
LONGEST = 400

_say = Said()


class Gpu:
    """What ``kernel_checks`` needs of the emulator, on the GPU: there is one schedule, which nobody knows."""

    SCHEDULES = ("the GPU's",) * 3

    @staticmethod
    def run(source: Any, grid: int, arguments: Sequence[Any], schedule: str = "") -> None:
        """Launch a kernel on copies of the arrays; afterwards these are what it left."""
        cupy = importlib.import_module("cupy")
        cuda = importlib.import_module("nnkit.backends.cuda.backend")
        work = importlib.import_module("nnkit.backends.cuda.work")
        backend = backends.get("cuda")
        copies: dict[int, Any] = {}
        for array in (a for a in arguments if isinstance(a, np.ndarray)):
            # Some bytes ahead of it: an empty array has an address too.
            copies.setdefault(id(array), cupy.empty(256 + array.nbytes, np.uint8))
            copies[id(array)][256:].set(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
        given = [copies[id(a)].data.ptr + 256 if isinstance(a, np.ndarray) else a for a in arguments]
        if not cuda.run(work.Launch(source, grid, tuple(given)), backend.device):
            pytest.skip("no compiler for CUDA kernels works here")
        backend.synchronize()
        for array in (a for a in arguments if isinstance(a, np.ndarray) and a.flags.writeable):
            array.reshape(-1).view(np.uint8)[...] = copies[id(array)][256:].get()


def pytest_configure(config: pytest.Config) -> None:
    """Put the GPU where the emulator was, and say so."""
    if os.environ.get(ON_THE_GPU) == "1":
        sys.path.insert(0, str(TESTS / "cuda"))
        checks: Any = importlib.import_module("kernel_checks")
        checks.emulator = Gpu


class _At:
    """Where pytest is: its session, the file that is being run, and whether all is said of the test that is."""

    session: pytest.Session | None = None
    file = ""
    said = False


def pytest_sessionstart(session: pytest.Session) -> None:
    """Remember the session."""
    _At.session = session


def pytest_runtest_logstart(nodeid: str) -> None:
    """A test begins; the first of a file begins the file."""
    file = nodeid.partition("::")[0]
    if file != _At.file:
        _At.file = file
        _say(item={"begin": Path(file).name})
    _At.said = False


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """One of a test's three parts: setting up, the call, tearing down; it counts as failed with any of them."""
    if report.when == "call" or not report.passed:
        outcome = {"passed": PASSED, "failed": FAILED, "skipped": SKIPPED}[report.outcome]
        if _At.said and outcome != FAILED:
            return
        _At.said = True
        file, _, test = report.nodeid.partition("::")
        name = f"{Path(file).name}::{test}"
        _say(item={"name": name, "outcome": outcome, "seconds": report.duration, "detail": _detail(report)})


def pytest_runtest_logfinish() -> None:
    """End early where a test has left the process without CUDA: another one goes on with the next file."""
    if _At.session is not None and cuda_is_gone():
        _At.session.shouldstop = "CUDA is gone"


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """A file that cannot be imported, or that skips itself as a whole."""
    if not report.passed:
        name = Path(report.nodeid).name
        detail = _detail(report)
        absent = re.search(r"ModuleNotFoundError: No module named '(?!nnkit|bench)[\w.]+'", str(report.longrepr))
        outcome = SKIPPED if report.skipped or absent else FAILED
        _say(item={"begin": name})
        _say(item={"name": name, "outcome": outcome, "detail": absent[0] if absent else detail})


def pytest_unconfigure(config: pytest.Config) -> None:
    """All is said."""
    _say(value=None)


def _detail(report: pytest.TestReport | pytest.CollectReport) -> str:
    if report.passed:
        return ""
    if report.skipped and isinstance(report.longrepr, tuple):
        return str(report.longrepr[2])[:LONGEST]
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(crash.message if crash is not None else report.longrepr)
    return " ".join(text.split())[:LONGEST]
