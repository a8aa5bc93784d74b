"""The table: compare.py FOLDER reads what either processor computed, and fails unless it is the same."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from test_golden_runs import TOLERANCE

from nnkit.testing import TOLERANCES

#: The groups of ``results.py``, how the primitives begin whose cases belong to them, and the rest.
PRIMITIVES = {
    "products": ("matmul", "linear", "half_linear"),
    "convolutions_and_pools": ("conv", "max_pool", "sum_pool", "patches", "normalize"),
    "activations": ("map",),
    "losses": ("softmax", "cross_entropy"),
    "random_streams": ("random", "uniform", "next_key", "dropout"),
    "memory_and_sums": ("",),
}
#: Groups that must be equal to the bit, and those that may differ as trainings do on one machine's devices.
EXACT = ("random_streams",)
TRAINING = {"recorded_training": TOLERANCE}
ROW = "{:24} {:>9} {:>7} {:>9} {:>9} {:>9}  {}"
HEAD = ("what", "kit cases", "failed", "numbers", "float32", "float64", "")

Values = dict[str, np.ndarray]


def main(folder: Path) -> bool:
    """Print the table; whether all is well."""
    here, there = (dict(np.load(folder / f"{name}.npz")) for name in ("x86_64", "aarch64"))
    cases = _cases(json.loads((folder / "conformance.json").read_text()))
    groups = dict.fromkeys([*(name.partition("/")[0] for name in here), *PRIMITIVES])
    print("aarch64: the conformance kit, and the largest difference from x86-64 over an array's largest number or 1")
    print(ROW.format(*HEAD))
    right = [_row(group, cases.get(group, []), here, there) for group in groups]
    print(f"allowed: {TOLERANCES}; to trainings {TOLERANCE}; to random streams not a bit")
    return all(right) and here.keys() == there.keys()


def _cases(found: dict[str, list[str | None]]) -> dict[str, list[str | None]]:
    """The outcomes of the kit's cases by group."""
    grouped: dict[str, list[str | None]] = {}
    for primitive, errors in found.items():
        group = next(group for group, begins in PRIMITIVES.items() if primitive.startswith(begins))
        grouped.setdefault(group, []).extend(errors)
    return grouped


def _row(group: str, errors: list[str | None], here: Values, there: Values) -> bool:
    names = [name for name in here if name.startswith(f"{group}/") and name in there]
    worst = {kind: max(_differences(names, kind, here, there), default=(0.0, "")) for kind in TOLERANCES}
    exact = all(here[name].tobytes() == there[name].tobytes() for name in names)
    allowed = TRAINING.get(group, TOLERANCES)
    wrong = [name for kind, (value, name) in worst.items() if not value <= allowed[kind]]
    right = not any(errors) and (exact if group in EXACT else not wrong)
    shown = ["equal" if exact else f"{value:.0e}" for value, _ in worst.values()] if names else ["", ""]
    count = sum(here[name].size for name in names) or ""
    known = [len(errors), sum(map(bool, errors))] if errors else ["", ""]
    print(ROW.format(group.replace("_", " "), *known, count, *shown, "" if right else f"WRONG {' '.join(wrong)}"))
    return right


def _differences(names: list[str], kind: str, here: Values, there: Values) -> Iterable[tuple[float, str]]:
    """The largest difference in each array that was computed in one kind of float."""
    for name in names:
        x, y = here[name], there[name]
        if kind == ("float32" if "float32" in name or x.dtype == np.float32 else "float64"):
            yield _difference(x, y), name


def _difference(x: np.ndarray, y: np.ndarray) -> float:
    if (x.shape, x.dtype) != (y.shape, y.dtype):
        return float("inf")
    x, y = x.astype(float), y.astype(float)
    finite = np.isfinite(x) & np.isfinite(y)
    if not np.array_equal(x[~finite], y[~finite], equal_nan=True):
        return float("inf")
    return float(np.max(np.abs(x - y)[finite], initial=0.0) / np.max(np.abs(x[finite]), initial=1.0))


if __name__ == "__main__":
    right = main(Path(sys.argv[1]))
    print("PASS" if right else "FAIL")
    sys.exit(not right)
