"""Run the conformance kit on the compiled kernels: conformance.py FILE writes what failed, by primitive."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from nnkit import backends
from nnkit.testing import CASES


def main(path: str) -> None:
    """Run every case."""
    backend = backends.get("numba")
    found: dict[str, list[str | None]] = {}
    for case in CASES:
        try:
            case.check(backend)
            error = None
        except Exception as raised:
            error = f"{case.id}: {type(raised).__name__}: {' '.join(str(raised).split())}"
            print(error, file=sys.stderr, flush=True)
        found.setdefault(case.primitive, []).append(error)
    Path(path).write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
