"""The plan of a GPU reduction made at each call, and kept: 4.7 and 0.14 µs for column sums of (8192, 1024).

Measured on a shared 2-core AMD EPYC, without a GPU or CuPy: the plan alone, not the rest of preparing a launch.
Run: ``python -m bench.lab.reduction_plans``.
"""

from __future__ import annotations

import timeit

from nnkit.kernels.cuda.reductions import reduce_plan


def main() -> None:
    """Time the plans of two reductions."""
    for sizes in ((1, 1 << 20, 1), (1, 8192, 1024)):
        for name, plan in (("anew", reduce_plan.__wrapped__), ("kept", reduce_plan)):
            runs = timeit.repeat(lambda f=plan, s=sizes: f("sum", "float32", *s), number=2000, repeat=5)
            print(f"{sizes} {name}: {min(runs) / 2000 * 1e6:.2f} µs")


if __name__ == "__main__":
    main()
