"""How long each formula takes to compile for each combination of operand kinds, and which never end.

An operand of ``map`` is full, or repeats a row, a column or one element; LLVM sees another loop each time. Read inside
the loop, an operand that stays the same along it made LLVM 22's vectoriser walk every path through the formula
(``isUniformAcrossVFsAndUFs``, while it unrolls): mish of a column or of an element, its gradient, and rounding to
float16 did not end in 45 seconds, where mish of a full operand took 0.3. Kernels now read such an operand before the
loop.

On AMD EPYC (Zen 4), Numba 0.68, LLVM 22, all 8,737 kernels compiled, for AVX-512 and for AVX2 (NUMBA_CPU_NAME=znver3,
without AVX-512): none took two seconds of a processor's time, and 0.15 s by the clock on the average, at a low priority
on a machine that was busy with other work; the longest there was softplus_grad of two float64 rows for AVX2, 7 s.
Run: ``python -m bench.lab.compile_times --formulas mish mish_grad``; all take twenty minutes of one processor. For
another processor set NUMBA_CPU_NAME and NUMBA_CPU_FEATURES.
"""

from __future__ import annotations

import argparse
import itertools
import random
import time
from collections.abc import Iterator

import numpy as np

from nnkit.backends.cpu.elementwise import WHOLE  # formulas that also run on whole numbers
from nnkit.kernels import special
from nnkit.kernels.cpu.build import Source
from nnkit.kernels.cpu.elementwise import Shape, map_text, namespace
from nnkit.kernels.cpu.worker import CannotCompile, TookTooLong, Worker
from nnkit.kernels.registered import FORMULAS
from nnkit.kernels.vocabulary import Formula, array_words, bind, element_names, scalar_names

KINDS = "frc1"
COMPARISONS = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
#: Formulas that run on booleans, and no floats.
LOGIC = ("both", "either", "exclusive", "negation")


def layouts(count: int, most: int, draw: random.Random) -> Iterator[str]:
    """All combinations of the kinds of so many operands, or those that differ in one place, and some drawn."""
    if len(KINDS) ** count <= most:
        yield from map("".join, itertools.product(KINDS, repeat=count))
        return
    chosen = {kind * count for kind in KINDS}
    chosen |= {a * k + b + a * (count - k - 1) for a in KINDS for b in KINDS for k in range(count)}
    chosen |= {"".join(draw.choices(KINDS, k=count)) for _ in range(most)}
    yield from sorted(chosen)


def types_of(name: str, count: int) -> list[tuple[str, ...]]:
    """The types of the operands that a formula runs on."""
    whole = ("int64",) if name in WHOLE else ()
    if name in LOGIC:
        return [(dtype,) * count for dtype in ("bool", *whole)]
    rows = [(dtype,) * count for dtype in ("float32", "float64", *whole)]
    return [("bool", *row[1:]) for row in rows] if name == "select" else rows


def outputs_of(name: str, formula: Formula, count: int) -> int:
    """How many values a formula returns."""
    numbers = [np.full(1, 0.5)] * (count + len(scalar_names(formula)))
    given = bind({"erf": special.erf} | FORMULAS, array_words(np))[name](*numbers)
    return len(given) if isinstance(given, tuple) else 1


def sources(names: list[str], most: int, draw: random.Random) -> Iterator[Source]:
    """The kernels of these formulas, for each type and combination of kinds; outputs overwrite nothing."""
    for name in names:
        formula = FORMULAS[name]
        count = len(element_names(formula))
        made = 1 if name in LOGIC else outputs_of(name, formula, count)
        for types in types_of(name, count):
            result = "bool" if name in COMPARISONS else types[-1]
            for layout in layouts(count, most, draw):
                shape = Shape(types, (result,) * made, layout, (-1,) * made)
                yield Source(f"{name} {types[-1]} {layout}", map_text(name, shape), namespace, (types[-1],))


def main() -> None:
    """Compile them all, and print those that took longest or too long."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--formulas", nargs="*", default=sorted(FORMULAS))
    parser.add_argument("--most", type=int, default=64, help="combinations of kinds, of which to draw where more are")
    parser.add_argument("--limit", type=float, default=2.0, help="seconds of a processor's time for one kernel")
    parser.add_argument("--share", default="1/1", help="2/3: the second of three parts, to run side by side")
    given = parser.parse_args()
    part, parts = map(int, given.share.split("/"))
    worker, times, lost = Worker(), [], []
    for source in itertools.islice(sources(given.formulas, given.most, random.Random(0)), part - 1, None, parts):
        start = time.perf_counter()
        try:
            worker.compile(source, limit=given.limit)
            times.append((time.perf_counter() - start, source.name))
        except (TookTooLong, CannotCompile) as error:
            lost.append(f"{source.name}: {type(error).__name__} {error}")
    worker.end()
    times.sort(reverse=True)
    print(f"{len(times)} kernels in {sum(seconds for seconds, _ in times):.0f} s; not compiled: {len(lost)}")
    print(*lost, *(f"{seconds:6.2f} s {name}" for seconds, name in times[:10]), sep="\n")


if __name__ == "__main__":
    main()
