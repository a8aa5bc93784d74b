"""What ``python -m bench gpu`` is asked for, and the order of its sections: what is worth most comes first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

PARTS = ("correctness", "speed")
#: Sections of checks, and what is timed. Captured and eager are compared by all from "captured" on.
CHECKED = ("conformance", "training", "captured", "products", "device", "kernels")
TIMED = ("trainings", "traffic", "attention")
#: Sections that are thousands of the repository's own tests.
TESTED = ("tests", "tests of kernels")
FAILED_ONES, ALL = "failed", "all"  # what is done again of that which an earlier run did


class Plan(NamedTuple):
    """What is run, and in which sizes: "large", "quick", or "tiny" for a GPU that is only pretended."""

    only: Sequence[str] = PARTS
    sizes: str = "large"
    match: str = ""  # of a check's name, without regard to case
    again: str = ""  # "failed" or "all": what is done again, though an earlier run has its outcome
    minutes: float | None = None  # for everything

    @property
    def whole(self) -> bool:
        """Whether nothing is left out."""
        return set(self.only) == set(PARTS) and self.sizes == "large" and not self.match

    def sections(self, tests: bool) -> list[str]:
        """The sections in their order; ``tests``: the repository's tests can be run."""
        correctness, speed = ("correctness" in self.only), ("speed" in self.only)
        after = TESTED if tests and correctness else ()
        return [*(CHECKED if correctness else ()), *(TIMED if speed else ()), *after]
