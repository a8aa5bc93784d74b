"""A plugin of pytest for ``bench gpu``: outcomes as lines for the parent, and kernels on the GPU, not emulated.

``python -m pytest -p bench.gpu.pytest_lines ...`` says which file it begins, what became of each test, and which file
has come to its end. Tests that are named on stdin, as a JSON list, are left out: their outcomes are known. The tests of
single kernels run them through ``kernel_checks``; here the GPU takes the emulator's place there.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
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
_known = frozenset(json.loads(sys.stdin.readline() or "[]"))


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
    """Put the GPU where the emulator was, and have compilations said."""
    with contextlib.suppress(ImportError):
        _say.compilations()
    if os.environ.get(ON_THE_GPU) == "1":
        sys.path.insert(0, str(TESTS / "cuda"))
        checks: Any = importlib.import_module("kernel_checks")
        checks.emulator = Gpu


class _At:
    """Where pytest is: its session, the file that is being run, and whether all is said of the test that is."""

    session: pytest.Session | None = None
    file = ""
    said = False


def _named(nodeid: str) -> str:
    """A test by its file's name and its own."""
    file, _, test = nodeid.partition("::")
    return f"{Path(file).name}::{test}"


@pytest.hookimpl(hookwrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """Leave out what is known; files of which nothing remains to be run have come to their end."""
    files = dict.fromkeys(Path(item.nodeid.partition("::")[0]).name for item in items)
    yield  # to -k and -m
    items[:] = [item for item in items if _named(item.nodeid) not in _known]
    left = {Path(item.nodeid.partition("::")[0]).name for item in items}
    for name in files:
        if name not in left:
            _say(item={"begin": name})
            _say(item={"end": name})


def pytest_sessionstart(session: pytest.Session) -> None:
    """Remember the session."""
    _At.session = session


def pytest_runtest_logstart(nodeid: str) -> None:
    """A test begins; the first of a file begins the file."""
    file = nodeid.partition("::")[0]
    if file != _At.file:
        _end_file()
        _At.file = file
        _say(item={"begin": Path(file).name})
    _At.said = False


def _end_file() -> None:
    if _At.file:
        _say(item={"end": Path(_At.file).name})
        _At.file = ""


def pytest_sessionfinish(session: pytest.Session) -> None:
    """The last file is done, unless the run was cut short."""
    if not session.shouldstop:
        _end_file()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """One of a test's three parts: setting up, the call, tearing down; it counts as failed with any of them."""
    if report.when == "call" or not report.passed:
        outcome = {"passed": PASSED, "failed": FAILED, "skipped": SKIPPED}[report.outcome]
        if _At.said and outcome != FAILED:
            return
        _At.said = True
        where = str(report.longrepr) if report.failed else ""
        told = {"seconds": report.duration, "detail": _detail(report), "traceback": where}
        _say(item={"name": _named(report.nodeid), "outcome": outcome, **told})


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
        where = str(report.longrepr) if outcome == FAILED else ""
        _say(item={"name": name, "outcome": outcome, "detail": absent[0] if absent else detail, "traceback": where})
        _say(item={"end": name})


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
