"""Parts that the texts of several CUDA kernels share: access to stored types, and combining what threads have found.

Threads combine their values without atomics and in a fixed order: within a warp by shuffles, in a block through
shared memory, over the grid by a second kernel. So a result depends on the sizes alone, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from nnkit.kernels.cuda.compiler import Source


class Step(NamedTuple):
    """One launch of a plan: its arguments are the input arrays, the output array, then these sizes."""

    source: Source
    grid: int
    sizes: tuple[int, ...]


class Plan(NamedTuple):
    """One step, or two with an array of partial results between: the output of the first, the input of the second.

    ``partials`` is the number of its elements (0 for one step), and ``partial_type`` their type.
    """

    steps: tuple[Step, ...]
    partials: int
    partial_type: str


def pointer(stored: str) -> str:
    """The parameter type of an array of this type: a boolean is a byte of 0 or 1, and a word is eight of them."""
    return {"bool": "uint8*", "words": "int64*"}.get(stored, f"{stored}*")


def computed(stored: str) -> str:
    """The type in which values stored in this type are computed."""
    return {"float16": "float32", "bfloat16": "float32", "bool": "int64", "words": "int64"}.get(stored, stored)


def read(stored: str, place: str) -> str:
    """The text that reads an element into the type computed in."""
    if stored in ("float16", "bfloat16"):
        return f"load_{stored}({place})"
    return f"to_int64({place})" if stored == "bool" else place


def write(stored: str, value: str) -> str:
    """The text that converts a computed value into what is stored."""
    return f"store_{stored}({value})" if stored in ("float16", "bfloat16") else value


def load(stored: str, names: list[str], array: str, index: str) -> list[str]:
    """Lines that read one element, array[index], or four or eight neighbours at as many times index, into ``names``."""
    if len(names) == 1:
        return [f"{names[0]} = {read(stored, f'{array}[{index}]')}"]
    if computed(stored) == stored:
        return [f"{', '.join(names)} = load{len(names)}({array}, {index})"]
    bits = [f"{name}_bits" for name in names]
    reads = [f"{name} = {read(stored, value)}" for name, value in zip(names, bits, strict=True)]
    return [f"{', '.join(bits)} = load{len(names)}({array}, {index})", *reads]


def store(stored: str, values: list[str], array: str, index: str) -> list[str]:
    """Lines that write what ``load`` with as many names reads."""
    written = [write(stored, value) for value in values]
    if len(values) == 1:
        return [f"{array}[{index}] = {written[0]}"]
    return [f"store{len(values)}({array}, {index}, {', '.join(written)})"]


def rounds(
    body: Callable[[list[str]], list[str]], unroll: int, step: str, down: bool = False, first: int = 0
) -> list[str]:
    """Loops over j, j + step, … below ``end`` (down: j, j - step, … to ``first``), ``unroll`` at a time where possible.

    body(places) are the lines for the places of one round. Their loads come before their stores: a compiler that
    cannot tell arrays apart would not bring a load forward.
    """
    sign, within = ("-", f">= {first}") if down else ("+", "< end")
    lines = []
    for count in sorted({unroll, 1}, reverse=True):
        places = ["j", *(f"j {sign} {k} * {step}" for k in range(1, count))]
        lines += [
            f"while {places[-1]} {within}:",
            *(f"    {line}" for line in body(places)),
            f"    j {sign}= {count} * {step}",
        ]
    return lines


def power_of_two_from(n: int) -> int:
    """The least power of two that is at least n."""
    return 1 << max(n - 1, 0).bit_length()


def fold_lanes(value: str, combine: str, lanes: int) -> list[str]:
    """Lines after which each of ``lanes`` neighbouring lanes holds their values combined."""
    lines, mask = [], lanes // 2
    while mask:
        lines.append(f"{value} = {combine.format(a=value, b=f'shuffle_xor({value}, {mask})')}")
        mask //= 2
    return lines


def fold_block(value: str, combine: str, threads: int, dtype: str) -> list[str]:
    """Lines after which every thread of the block holds the values of all, combined: first the warps, then theirs.

    The number of warps is a power of two, so that a warp's lanes read and combine what each of the warps has found.
    """
    warps = threads // 32
    return [
        *fold_lanes(value, combine, 32),
        *exchange([value], threads, dtype),
        *fold_lanes(value, combine, warps),
    ]


def exchange(values: list[str], threads: int, dtype: str) -> list[str]:
    """Lines in which the warps of a block meet: from values that a warp's lanes share to one warp's for each lane."""
    warps = threads // 32
    return [
        *(f"{value}_of = shared({warps}, {dtype})" for value in values),
        "if lane() == 0:",
        *(f"    {value}_of[thread() >> 5] = {value}" for value in values),
        "barrier()",
        *(f"{value} = {value}_of[lane() & {warps - 1}]" for value in values),
    ]


def fold_columns(value: str, combine: str, threads: int, width: int, dtype: str) -> list[str]:
    """Lines after which the first ``width`` threads hold the values of all threads of their column, combined.

    Thread t has column t % width; both numbers are powers of two.
    """
    if threads == width:
        return []
    lines = [f"{value}_of = shared({threads}, {dtype})", f"{value}_of[thread()] = {value}", "barrier()"]
    half = threads // 2
    while half > width:
        both = combine.format(a=f"{value}_of[thread()]", b=f"{value}_of[thread() + {half}]")
        lines += [f"if thread() < {half}:", f"    {value}_of[thread()] = {both}", "barrier()"]
        half //= 2
    both = combine.format(a=f"{value}_of[thread()]", b=f"{value}_of[thread() + {width}]")
    return [*lines, f"if thread() < {width}:", f"    {value} = {both}"]


def indented(lines: list[str], depth: int = 1) -> str:
    """The lines as the text of a block of that depth."""
    return "\n".join("    " * depth + line for line in lines)


def inside(lines: list[str]) -> list[str]:
    """The lines as the body of the line before them."""
    return [f"    {line}" for line in lines]
