"""The checks of correctness, by name, and how a process works on some of them.

A check is a function of the sizes that raises AssertionError, or anything else, where something is wrong, and may
return a remark. Before each one starts, its name is said; so whoever listens knows which one hung.
"""

from __future__ import annotations

import importlib
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from bench.gpu.outcomes import FAILED, PASSED, SKIPPED
from bench.gpu.process import described


class Sizes(NamedTuple):
    """How large the checks are: "large" for a GPU, "quick" with less of all, "tiny" where a GPU is only pretended."""

    name: str

    def pick(self, large: Any, quick: Any, tiny: Any) -> Any:
        """The value for these sizes."""
        return {"large": large, "quick": quick, "tiny": tiny}[self.name]


class Skip(Exception):
    """A check that makes no sense here, and why."""


Check = Callable[[Sizes], str | None]
#: Section -> the module that has its ``CHECKS``, from name to Check.
SECTIONS = {
    "conformance": "bench.gpu.conformance",
    "kernels": "bench.gpu.kernels",
    "products": "bench.gpu.products",
    "training": "bench.gpu.training",
    "captured": "bench.gpu.captured",
    "device": "bench.gpu.devices",
}


def table(section: str) -> Mapping[str, Check]:
    """The checks of a section."""
    found: Mapping[str, Check] = importlib.import_module(SECTIONS[section]).CHECKS
    return found


def names(section: str) -> list[str]:
    """The names of a section's checks."""
    return list(table(section))


def work(section: str, names: list[str], sizes: str) -> Iterator[dict[str, Any]]:
    """Run some checks one after the other; ends early where one has left the process without CUDA."""
    checks = table(section)
    for name in names:
        yield {"begin": name}
        start = time.monotonic()
        outcome, detail, where = _outcome(checks[name], Sizes(sizes))
        yield {
            "name": name,
            "outcome": outcome,
            "seconds": time.monotonic() - start,
            "detail": detail,
            "traceback": where,
        }
        if cuda_is_gone():
            return


def _outcome(check: Check, sizes: Sizes) -> tuple[str, str, str]:
    try:
        return PASSED, check(sizes) or "", ""
    except Skip as reason:
        return SKIPPED, str(reason), ""
    except Exception as error:
        return FAILED, described(error), traceback.format_exc()


def cuda_is_gone() -> bool:
    """Whether CUDA can no longer be used in this process."""
    faults = sys.modules.get("nnkit.backends.cuda.faults")
    try:
        if faults is not None:
            faults.check()
    except RuntimeError:
        return True
    return False
