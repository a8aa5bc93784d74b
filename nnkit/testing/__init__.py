"""The conformance kit: whoever writes a backend runs it, and knows what is missing.

``check_backend`` runs every case and names those that fail; ``CASES`` is the list of them, for a test runner to go
through one by one. ``check_gradient`` tries a gradient against differences, for whoever writes an op.
"""

from __future__ import annotations

from nnkit import backends
from nnkit.backends import Backend
from nnkit.testing import (
    attention,
    elementwise,
    images,
    memory,
    normalization,
    places,
    pools,
    products,
    recurrent,
    reductions,
    rows,
)
from nnkit.testing.bench import TOLERANCES, Case
from nnkit.testing.gradients import check_gradient

__all__ = ["CASES", "TOLERANCES", "Case", "check_backend", "check_gradient"]


def __dir__() -> list[str]:
    return sorted(__all__)


#: Every case; between them they cover every name in ``nnkit.backends.PRIMITIVES``.
CASES: tuple[Case, ...] = (
    *memory.CASES,
    *elementwise.CASES,
    *reductions.CASES,
    *products.CASES,
    *rows.CASES,
    *images.CASES,
    *pools.CASES,
    *normalization.CASES,
    *attention.CASES,
    *recurrent.CASES,
    *places.CASES,
)


def check_backend(backend: Backend | str) -> None:
    """Run every case on a backend, given as an object or by name.

    Raises AssertionError that names each failed case, its primitive and what was wrong.

    Source: nnkit's own; the array API standard.

    >>> check_backend("numpy")
    """
    tried = backends.get(backend) if isinstance(backend, str) else backend
    failures = []
    for case in CASES:
        try:
            case.check(tried)
        except Exception as error:
            what = " ".join(str(error).split())
            failures.append(f"{case.primitive}, case {case.id}: {type(error).__name__}: {what}")
    if failures:
        head = f"backend {tried.name!r} fails {len(failures)} of {len(CASES)} conformance cases:"
        raise AssertionError("\n".join([head, *failures]))
