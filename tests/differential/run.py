"""Random cases against live PyTorch: ``python tests/differential/run.py --seed 0 --count 10000 [--only ops losses]``.

Ops with gradients, indices, losses, optimizers, schedules, modules, and programs with views and changes in place (those
also recorded against eager, to the bit). Every disagreement is printed with what makes it again, and the exit status is
1 where there is one. Each device of ``--devices`` runs all cases.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from differential import programs
from differential.families import FAMILIES, close

import nnkit

REFUSED = "PyTorch refuses the case"


def disagreement(family: str, seed: int, number: int, torch: Any) -> str | None:
    """What nnkit gives otherwise than PyTorch, in words, or REFUSED; None where they agree."""
    if family == "programs":
        return programs.disagreement(programs.drawn(seed * 1_000_003 + number), torch)
    case = FAMILIES[family](random.Random(f"{family} {seed} {number}"))
    try:
        expected = case(torch)
    except (RuntimeError, ValueError, IndexError, TypeError):
        return REFUSED
    try:
        found = case(nnkit)
    except Exception as error:
        return f"nnkit raises {type(error).__name__}: {error}"
    return None if close(found, expected) else f"nnkit {found}, PyTorch {expected}"


def main() -> int:
    """Draw, compare, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=10_000, help="cases in all")
    parser.add_argument("--first", type=int, default=0, help="the number of the first case of each family")
    parser.add_argument("--only", nargs="+", choices=[*FAMILIES, "programs"], default=[*FAMILIES, "programs"])
    parser.add_argument("--devices", nargs="+", default=["numba", "numpy"])
    options = parser.parse_args()
    import torch

    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    started, failed = time.monotonic(), 0
    each = max(1, options.count // len(options.only) // len(options.devices))
    for device in options.devices:
        nnkit.set_default_device(device)
        for family in options.only:
            wrong = refused = 0
            for number in range(options.first, options.first + each):
                found = disagreement(family, options.seed, number, torch)
                refused += found is REFUSED
                if found is not None and found is not REFUSED:
                    wrong += 1
                    again = f"--seed {options.seed} --first {number} --count 1 --only {family} --devices {device}"
                    print(f"{family}: {found}\n    {again}")
            failed += wrong
            agree = each - wrong - refused
            print(f"{device:6} {family:11} {agree} of {each} agree, PyTorch refuses {refused}", flush=True)
    print(f"{time.monotonic() - started:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
