"""The conformance suite of ``nnkit.testing`` on the GPU: what every backend must do, case by case."""

from __future__ import annotations

import functools

from bench.gpu.checks import Check, Sizes
from nnkit import backends
from nnkit.testing import CASES, Case


def _check(case: Case, sizes: Sizes) -> None:
    case.check(backends.get("cuda"))


CHECKS: dict[str, Check] = {case.id: functools.partial(_check, case) for case in CASES}
