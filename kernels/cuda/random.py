"""Random numbers on CUDA: the streams of ``philox``, four numbers a thread, to the bit those of the other devices."""

from __future__ import annotations

import functools
from typing import NamedTuple

from nnkit.kernels.cuda.compiler import Source
from nnkit.kernels.cuda.texts import computed, indented, inside, load, pointer, store
from nnkit.kernels.philox import MULTIPLIER_0, MULTIPLIER_1, ROUNDS, WEYL_0, WEYL_1

THREADS = 256

# c0 to c3 become the words of block number q. The key is seed and draw number.
PHILOX = [
    "c0, c1, c2, c3 = to_uint32(q), to_uint32(purpose), to_uint32(key[1]), to_uint32(key[1] >> 32)",
    "k0, k1 = to_uint32(key[0]), to_uint32(key[0] >> 32)",
    f"for _ in range({ROUNDS}):",
    f"    h0, l0 = high_product(to_uint32({MULTIPLIER_0}), c0), to_uint32(to_uint32({MULTIPLIER_0}) * c0)",
    f"    h1, l1 = high_product(to_uint32({MULTIPLIER_1}), c2), to_uint32(to_uint32({MULTIPLIER_1}) * c2)",
    "    c0, c1, c2, c3 = to_uint32(h1 ^ c1 ^ k0), l1, to_uint32(h0 ^ c3 ^ k1), l0",
    f"    k0, k1 = to_uint32(k0 + to_uint32({WEYL_0})), to_uint32(k1 + to_uint32({WEYL_1}))",
]
NUMBER = f"element(to_uint32(c{{e}} >> to_uint32(8))) * element({2.0**-24!r})"


class Draw(NamedTuple):
    """A kernel that writes four numbers a thread: what it takes, what it computes first, and each number."""

    name: str
    arguments: str
    parameters: tuple[str, ...]  # "*" is a pointer to floats
    setup: tuple[str, ...]
    value: str  # of element e, from word c{e}, and x_{e} where there is an x


UNIFORM = Draw("uniform", "key, purpose, y, n", ("int64*", "int64", "*", "int64"), (), NUMBER)
DROPOUT = Draw(
    "dropout",
    "x, p, key, purpose, y, n",
    ("*", "float64", "int64*", "int64", "*", "int64"),
    ("limit = number(p)", "keep = element(1) / (element(1) - limit)"),
    f"x_{{e}} * keep if {NUMBER} >= limit else element(0)",
)


@functools.cache
def uniform_kernel(stored: str, wide: bool = False) -> Source:
    """Numbers in [0, 1). Arguments: key (2,), purpose, y, n. Where ``wide``, y is aligned to four elements."""
    return _kernel(UNIFORM, stored, wide)


@functools.cache
def dropout_kernel(stored: str, wide: bool = False) -> Source:
    """0 with probability p, else x / (1 - p). Arguments: x, p, key (2,), purpose, y (which may be x), n.

    Where ``wide``, x and y are aligned to four elements.
    """
    return _kernel(DROPOUT, stored, wide)


@functools.cache
def bits_kernel() -> Source:
    """63 random bits in each int64, from two words. Arguments: key (2,), purpose, y, n."""
    lines = ["q = grid_thread()", "if 2 * q < n:", *inside(PHILOX)]
    lines += ["    y[2 * q] = (to_int64(c0) >> 1) << 32 | to_int64(c1)", "    if 2 * q + 1 < n:"]
    lines += ["        y[2 * q + 1] = (to_int64(c2) >> 1) << 32 | to_int64(c3)"]
    text = "def kernel(key, purpose, y, n):\n" + indented(lines)
    return Source("random_bits", text, ("int64*", "int64", "int64*", "int64"), "int64", THREADS)


def grid(n: int, numbers: int = 4) -> int:
    """How many blocks write n elements, where a thread writes four; of random bits it writes two."""
    return -(-n // (numbers * THREADS))


def _kernel(draw: Draw, stored: str, wide: bool) -> Source:
    """The kernel of a draw into memory of a type."""
    lines = ["q = grid_thread()", "if 4 * q < n:", *inside([*PHILOX, *draw.setup])]
    each = []
    for e in range(4):
        each += [f"if 4 * q + {e} < n:", *inside(_group(draw, stored, [e], f"4 * q + {e}"))]
    if wide:
        each = ["if 4 * q + 4 <= n:", *inside(_group(draw, stored, [0, 1, 2, 3], "q")), "else:", *inside(each)]
    text = f"def kernel({draw.arguments}):\n" + indented(lines + inside(each))
    parameters = tuple(pointer(stored) if parameter == "*" else parameter for parameter in draw.parameters)
    return Source(f"{draw.name}_{stored}{'_wide' * wide}", text, parameters, computed(stored), THREADS)


def _group(draw: Draw, stored: str, elements: list[int], index: str) -> list[str]:
    """The lines that write one element, or four at once."""
    lines = load(stored, [f"x_{e}" for e in elements], "x", index) if draw.arguments.startswith("x") else []
    lines += [f"y_{e} = {draw.value.format(e=e)}" for e in elements]
    return lines + store(stored, [f"y_{e}" for e in elements], "y", index)
