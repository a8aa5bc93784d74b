"""How long each formula takes to compile for each combination of operand kinds, and which never end.

An operand of ``map`` is full, or repeats a row, a column or one element; LLVM sees another loop each time. Read inside
the loop, an operand that stays the same along it made LLVM 22's vectoriser walk every path through the formula
(``isUniformAcrossVFsAndUFs``, while it unrolls): mish of a column or of an element, its gradient, and rounding to
float16 did not end in 45 seconds, where mish of a full operand took 0.3. Kernels now read such an operand before the
loop.

RESULTS
Run: ``python -m bench.lab.compile_times --formulas mish mish_grad``; all of them take an hour of one processor. For
another processor set NUMBA_CPU_NAME and NUMBA_CPU_FEATURES.
"""

from __future__ import annotations

import argparse
import itertools
import random
import time
from collections.abc import Iterator

from nnkit.kernels import updates
from nnkit.kernels.cpu.build import Source
from nnkit.kernels.cpu.elementwise import Shape, map_text, namespace
from nnkit.kernels.cpu.words import all_formulas
from nnkit.kernels.cpu.worker import CannotCompile, TookTooLong, Worker
from nnkit.kernels.vocabulary import element_names, output_count

KINDS = "frc1"
COMPARISONS = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
#: Formulas that also run on whole numbers and on booleans.
WHOLE = ("add", "sub", "mul", "neg", "square", "identity", "select", *COMPARISONS)
LOGIC = ("both", "either", "negation")


def layouts(count: int, most: int, draw: random.Random) -> Iterator[str]:
    """All combinations of the kinds of so many operands, or those that differ in one place, and some drawn."""
    if len(KINDS) ** count <= most:
        yield from map("".join, itertools.product(KINDS, repeat=count))
        return
    chosen = {kind * count for kind in KINDS}
    chosen |= {a * k + b + a * (count - k - 1) for a in KINDS for b in KINDS for k in range(count)}
    chosen |= {"".join(draw.choices(KINDS, k=count)) for _ in range(most)}
    yield from sorted(chosen)
