"""Normalization on CUDA over (A, C, L), samples, channels and places: means, variances, and what comes of them.

Statistics of groups of a sample's channels are those of a row of memory, which lanes of a warp or a block go over
twice: for the sums, and, from a cache, for the result. Those of a channel come from rows of places, or, where these
are short, from columns of memory, and a second kernel folds what was found; ``normalization_texts`` says what is kept
of values and how it is put together. Every order depends on sizes alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

from nnkit.kernels.cuda.compiler import Source
from nnkit.kernels.cuda.normalization_texts import (
    MOMENTS,
    SUMS,
    THREADS,
    UNROLL,
    Types,
    affine,
    cast,
    factor_text,
    fold,
    fold_columns,
    given,
    kernel_of,
    lanes_for,
    own_row,
    quotient,
    row_grid,
    starts,
    statistics_of,
    together,
    updated,
)
from nnkit.kernels.cuda.reductions import parts_of
from nnkit.kernels.cuda.texts import (
    Step,
    computed,
    inside,
    load,
    power_of_two_from,
    read,
    rounds,
    store,
    write,
)

SHORT = 32  # places of a channel below which columns are gone over instead of rows
LONG = 4096  # places of a row from which it is split where there are few
MANY = 1024  # blocks that keep a GPU busy
COLUMN = 64  # samples that a part of a column has, at least
MOST = 2**32 - 1


# ---- statistics of a row --------------------------------------------------------------------------------------------


def rows_step(types: Types, centred: bool, sizes: tuple[int, int, int], groups: int) -> Step:
    """``normalize`` in groups. Arguments: x, w, b (where types say so), means, variances, out, eps, ``*step.sizes``."""
    A, C, L = sizes
    R, N = A * groups, C // groups * L
    return Step(_rows_kernel(types, centred, lanes_for(N)), row_grid(R, N), (R, N, L, groups))


@functools.cache
def _rows_kernel(types: Types, centred: bool, lanes: int) -> Source:
    T = computed(types.x)

    def seen(places: list[str]) -> list[str]:
        loads = [f"v{k} = {read(types.x, f'x[at + {place}]')}" for k, place in enumerate(places)]
        return [*loads, *(line for k in range(len(places)) for line in updated(MOMENTS, centred, T, f"v{k}", ""))]

    result = [f"v = ({read(types.x, 'x[at + j]')} - mean) * factor"]
    if types.w or types.b:
        result += [f"channel = begin + {quotient('j', 'L')}", *affine(types, ["v"], "channel")]
    lines = [
        *own_row(lanes), "at = row * N", f"begin = (row - {quotient('row', 'G')} * G) * {quotient('N', 'L')}",
        *starts(MOMENTS, T), "end = N", "j = place", *rounds(seen, UNROLL, str(lanes)), *fold(MOMENTS, T, lanes),
        "mean = first", f"variance = second / to_{T}(N)", f"factor = {factor_text(T)}", "if mine:",
        *inside([
            "if place == 0:", f"    means[row] = {cast(types.statistics, 'mean', T)}",
            f"    variances[row] = {cast(types.statistics, 'variance', T)}",
            f"for j in range(place, N, {lanes}):", *inside([*result, f"out[at + j] = {write(types.x, 'v')}"]),
        ]),
    ]  # fmt: skip
    arrays = [("x", types.x), *given(types), ("means", types.statistics), ("variances", types.statistics)]
    name = f"normalize_rows{lanes}{'' if centred else '_mean_square'}_{types.name()}"
    return kernel_of(name, [*arrays, ("out", types.x)], ["R", "N", "L", "G"], lines, T)


def rows_grad_step(types: Types, centred: bool, sizes: tuple[int, int, int], groups: int) -> Step:
    """dx of ``rows_step``; types have no b. Arguments: x, dy, w, means, variances, dx, eps, ``*step.sizes``."""
    A, C, L = sizes
    R, N = A * groups, C // groups * L
    return Step(_rows_grad_kernel(types, centred, lanes_for(N)), row_grid(R, N), (R, N, L, groups))


@functools.cache
def _rows_grad_kernel(types: Types, centred: bool, lanes: int) -> Source:
    T = computed(types.x)

    def loaded(places: list[str]) -> list[str]:
        """The gradient g and the normalized value v at each place."""
        lines = []
        for k, place in enumerate(places):
            lines += [f"g{k} = {read(types.x, f'dy[at + {place}]')}", f"v{k} = {read(types.x, f'x[at + {place}]')}"]
            if types.w:
                scale = read(types.w, f"w[begin + {quotient(place, 'L')}]")
                lines += [f"g{k} = g{k} * element({scale})"]
        return [*lines, *(f"v{k} = (v{k} - mean) * factor" for k in range(len(places)))]

    def seen(places: list[str]) -> list[str]:
        sums = [line for k in range(len(places)) for line in updated(SUMS, centred, T, f"g{k}", f"v{k}")]
        return [*loaded(places), *sums]

    rest = f"(g0 - v0 * along{' - middle' * centred}) * factor"
    lines = [
        *own_row(lanes), "at = row * N", f"begin = (row - {quotient('row', 'G')} * G) * {quotient('N', 'L')}",
        *statistics_of(types, "row"), *starts(SUMS, T), "end = N", "j = place", *rounds(seen, UNROLL, str(lanes)),
        *fold(SUMS, T, lanes), f"middle = first / to_{T}(N)", f"along = second / to_{T}(N)", "if mine:",
        f"    for j in range(place, N, {lanes}):", *inside(inside(loaded(["j"]))),
        f"        dx[at + j] = {write(types.x, rest)}",
    ]  # fmt: skip
    arrays = [("x", types.x), ("dy", types.x), *given(types), ("means", types.statistics)]
    arrays += [("variances", types.statistics), ("dx", types.x)]
    name = f"normalize_rows{lanes}_grad{'' if centred else '_mean_square'}_{types.name()}"
    return kernel_of(name, arrays, ["R", "N", "L", "G"], lines, T)


# ---- what belongs to a channel -------------------------------------------------------------------------------------


class Parts(NamedTuple):
    """Where the sums of channels are made in parts: (Q, C, R) of them, of up to ``span`` of ``whole`` along Q."""

    Q: int
    R: int
    span: int
    whole: int
    rows: int  # elements of a row that is a part; 0: a part is one of a column


def parts_for(A: int, C: int, L: int) -> Parts:
    """How the sums of channels are shared out.

    >>> parts_for(128, 64, 196), parts_for(1000, 10, 1)
    (Parts(Q=128, R=1, span=196, whole=25088, rows=196), Parts(Q=15, R=1, span=67, whole=1000, rows=0))
    """
    if L < SHORT:
        width = min(power_of_two_from(C * L), 32)
        Q = parts_of(A, COLUMN, max(MANY // -(-C * L // width), 1))
        return Parts(Q, L, -(-A // Q), A, 0)
    split = 1
    while A * C * split < MANY and L % (2 * split) == 0 and L // (2 * split) >= LONG:
        split *= 2
    return Parts(A, split, L // split, A * (L // split), L // split)


def parts_step(types: Types, sums: bool, centred: bool, sizes: tuple[int, int, int], groups: int = 0) -> Step:
    """The first and second numbers of each part, one array behind the other: partials (2, Q, C, R).

    Without ``sums``: means and sums of squares of differences from them, of x. Arguments: x, partials, then
    ``*step.sizes``. With: the sums of dy, and of dy times x normalized. Arguments: x, dy, means, variances, partials,
    eps, ``*step.sizes``; statistics are one of each channel, or, with ``groups``, of each group of a sample.
    """
    A, C, L = sizes
    parts = parts_for(*sizes)
    if parts.rows:
        R = A * C * parts.R
        source = _row_parts_kernel(types, sums, centred, groups > 0, lanes_for(parts.rows))
        return Step(source, row_grid(R, parts.rows), (R, parts.rows, C, parts.R, max(groups, 1)))
    width = min(power_of_two_from(C * L), 32)
    grid = -(-C * L // width) * parts.Q
    source = _column_parts_kernel(types, sums, centred, groups > 0, width)
    return Step(source, grid, (A, C, L, parts.Q, parts.span, max(groups, 1)))


def _group_of(sample: str) -> str:
    """Where the statistics are of a channel's group in a sample."""
    return f"{sample} * G + {quotient('channel', quotient('C', 'G'))}"


def _part_body(types: Types, sums: bool, centred: bool, at: str, before: list[str]) -> Callable[[list[str]], list[str]]:
    """Lines that go through a part's elements, which lie at ``at`` for place {j}; ``before`` find their statistics."""
    T, state = computed(types.x), SUMS if sums else MOMENTS

    def body(places: list[str]) -> list[str]:
        lines = [f"v{k} = {read(types.x, f'x[{at.format(j=place)}]')}" for k, place in enumerate(places)]
        if sums:
            lines += [f"g{k} = {read(types.x, f'dy[{at.format(j=place)}]')}" for k, place in enumerate(places)]
        for k, place in enumerate(places):
            if sums:
                lines += [line.format(j=f"({place})") for line in before]
            value, made = (f"g{k}", f"((v{k} - mean) * factor)") if sums else (f"v{k}", "")
            lines += updated(state, centred, T, value, made)
        return lines

    return body


def _part_arrays(types: Types, sums: bool, T: str) -> list[tuple[str, str]]:
    of_sums = [("dy", types.x), ("means", types.statistics), ("variances", types.statistics)]
    return [("x", types.x), *(of_sums if sums else []), ("partials", T)]


@functools.cache
def _row_parts_kernel(types: Types, sums: bool, centred: bool, grouped: bool, lanes: int) -> Source:
    T, state = computed(types.x), SUMS if sums else MOMENTS
    outer = [f"outer = {quotient('row', 'S')}", f"sample = {quotient('outer', 'C')}", "channel = outer - sample * C"]
    statistics = [*outer, *statistics_of(types, _group_of("sample") if grouped else "channel")] if sums else []
    lines = [
        *own_row(lanes), "at = row * N", *statistics, *starts(state, T), "end = N", "j = place",
        *rounds(_part_body(types, sums, centred, "at + {j}", []), UNROLL, str(lanes)),
        *fold(state, T, lanes), "if mine and place == 0:", "    partials[row] = first",
        "    partials[R + row] = second",
    ]  # fmt: skip
    name = f"{_part_name(sums, centred, grouped)}_rows{lanes}_{types.x}_{types.statistics}"
    return kernel_of(name, _part_arrays(types, sums, T), ["R", "N", "C", "S", "G"], lines, T, sums)


@functools.cache
def _column_parts_kernel(types: Types, sums: bool, centred: bool, grouped: bool, width: int) -> Source:
    T, state, own = computed(types.x), SUMS if sums else MOMENTS, f"(thread() & {width - 1})"
    statistics = statistics_of(types, _group_of("{j}") if grouped else "channel")
    channel = [f"channel = {quotient('at', 'L')}", *([] if grouped else statistics)] if sums else []
    body = _part_body(types, sums, centred, "({j}) * M + at", statistics if grouped else [])
    lines = [
        "M = C * L", f"tiles = (M + {width - 1}) // {width}", f"column = block() % tiles * {width} + {own}",
        "slab = block() // tiles", "at = min(column, M - 1)", *channel, *starts(state, T),
        "end = min(slab * span + span, A)", f"j = slab * span + (thread() >> {width.bit_length() - 1})",
        *rounds(body, UNROLL, str(THREADS // width)), *fold_columns(state, T, width),
        f"if thread() < {width} and column < M:", "    partials[slab * M + column] = first",
        "    partials[(Q + slab) * M + column] = second",
    ]  # fmt: skip
    name = f"{_part_name(sums, centred, grouped)}_columns{width}_{types.x}_{types.statistics}"
    return kernel_of(name, _part_arrays(types, sums, T), ["A", "C", "L", "Q", "span", "G"], lines, T, sums)


def _part_name(sums: bool, centred: bool, grouped: bool) -> str:
    return f"normalize_{'sums' if sums else 'moments' if centred else 'squares'}{'_grouped' * grouped}"


class Totals(NamedTuple):
    """What is made of the sums of channels: dw and db of these types, or added to; the sums themselves, for dx."""

    dw: str | None
    db: str | None
    add: tuple[bool, bool]
    kept: bool


def fold_step(stored: str, totals: Totals | None, sizes: tuple[int, int, int], T: str) -> Step:
    """Each channel's parts folded. Without ``totals``: arguments partials, means, variances (``stored``), the sizes.

    With: partials, dw, db, sums (2, C) where there are such, ``*step.sizes``. T is the type computed in.
    """
    C, parts = sizes[1], parts_for(*sizes)
    N = parts.Q * parts.R
    source = _fold_kernel(stored, totals, lanes_for(N), T)
    return Step(source, row_grid(C, N), (C, N, parts.R, parts.span, parts.whole))


@functools.cache
def _fold_kernel(stored: str, totals: Totals | None, lanes: int, T: str) -> Source:
    state = SUMS if totals else MOMENTS
    taken = [f"q = {quotient('k', 'S')}", "there = (q * R + row) * S + k - q * S"]
    taken += ["other_first = partials[there]", "other_second = partials[R * N + there]"]
    taken += [] if totals else [f"other_count = to_{T}(min(span, whole - q * span))"]
    arrays = [("partials", T)]
    if totals is None:
        arrays += [("means", stored), ("variances", stored)]
        ends = [f"means[row] = {cast(stored, 'first', T)}"]
        ends.append(f"variances[row] = {cast(stored, 'second / count', T)}")
        name = f"normalize_fold{lanes}_{T}_{stored}"
    else:
        ends, name = [], f"normalize_fold{lanes}_sums_{T}"
        of_w, of_b = ("dw", totals.dw, "second", totals.add[0]), ("db", totals.db, "first", totals.add[1])
        for array, kind, value, add in (of_w, of_b):
            if kind:
                arrays.append((array, kind))
                whole = f"element({read(kind, f'{array}[row]')}) + {value}" if add else value
                ends.append(f"{array}[row] = {cast(kind, whole, T)}")
                name += f"_{'add_' * add}{array}_{kind}"
        if totals.kept:
            arrays.append(("sums", T))
            ends += ["sums[row] = first", "sums[R + row] = second"]
            name += "_kept"
    lines = [
        *own_row(lanes), *starts(state, T), f"for k in range(place, N, {lanes}):", *inside(taken),
        *inside(together(state, T)),
        *fold(state, T, lanes), "if mine and place == 0:", *inside(ends),
    ]  # fmt: skip
    return kernel_of(name, arrays, ["R", "N", "S", "span", "whole"], lines, T, False)


# ---- by the statistics of channels -----------------------------------------------------------------------------------


def apply_step(types: Types, wide: bool, sizes: tuple[int, int, int]) -> Step:
    """out = (x - mean) / sqrt(variance + eps) w + b, with one mean and variance a channel.

    Arguments: x, w, b (where types say so), means, variances, out, eps, ``*step.sizes``. ``wide``: x and out begin at
    multiples of 16 bytes.
    """
    width, grid, numbers = _shared_out(types, wide, sizes)
    return Step(_apply_kernel(types, width), grid, numbers)


def apply_grad_step(types: Types, own: bool, centred: bool, wide: bool, sizes: tuple[int, int, int]) -> Step:
    """dx of ``apply_step``; ``own``: the statistics are x's, and the sums of channels (2, C) are known.

    Arguments: x, dy, sums (where ``own``; else neither x), w, means, variances, dx, eps, ``*step.sizes``.
    """
    width, grid, numbers = _shared_out(types, wide, sizes)
    return Step(_apply_grad_kernel(types, own, centred, width), grid, (*numbers, sizes[0] * sizes[2]))


def _shared_out(types: Types, wide: bool, sizes: tuple[int, int, int]) -> tuple[int, int, tuple[int, int, int]]:
    """Neighbours that a thread takes, blocks, and groups of neighbours, channels, groups of a channel."""
    A, C, L = sizes
    width = 8 if "float16" in types.x else 4
    width = width if wide and L % width == 0 else 1
    n = A * C * L // width
    return width, -(-n // THREADS), (n, C, L // width)


OWN_CHANNEL = f"row = {quotient('i', 'L')}", f"channel = row - {quotient('row', 'C')} * C"


@functools.cache
def _apply_kernel(types: Types, width: int) -> Source:
    values, T = [f"v{k}" for k in range(width)], computed(types.x)
    lines = [*OWN_CHANNEL, *statistics_of(types, "channel"), *load(types.x, values, "x", "i")]
    lines += [f"{v} = ({v} - mean) * factor" for v in values]
    lines += [*affine(types, values, "channel"), *store(types.x, values, "out", "i")]
    arrays = [("x", types.x), *given(types), ("means", types.statistics), ("variances", types.statistics)]
    body = ["i = grid_thread()", "if i < n:", *inside(lines)]
    return kernel_of(
        f"normalize_by_{width}_{types.name()}", [*arrays, ("out", types.x)], ["n", "C", "L"], body, T
    )  # fmt: skip


@functools.cache
def _apply_grad_kernel(types: Types, own: bool, centred: bool, width: int) -> Source:
    values, gradients, T = [f"v{k}" for k in range(width)], [f"g{k}" for k in range(width)], computed(types.x)
    lines = [*OWN_CHANNEL, *statistics_of(types, "channel"), *load(types.x, gradients, "dy", "i")]
    if own:
        lines += [*load(types.x, values, "x", "i"), f"along = sums[C + channel] / to_{T}(count)"]
        lines += [f"{g} = {g} - ({v} - mean) * factor * along" for g, v in zip(gradients, values, strict=True)]
        if centred:
            lines += [f"middle = sums[channel] / to_{T}(count)", *(f"{g} = {g} - middle" for g in gradients)]
    lines += [f"{g} = {g} * factor" for g in gradients]
    lines += [*affine(types._replace(b=None), gradients, "channel"), *store(types.x, gradients, "dx", "i")]
    arrays = [("x", types.x), ("dy", types.x), ("sums", T)] if own else [("dy", types.x)]
    arrays += [*given(types), ("means", types.statistics), ("variances", types.statistics), ("dx", types.x)]
    name = f"normalize_by_grad{'_own' * own}{'' if centred else '_mean_square'}_{width}_{types.name()}"
    body = ["i = grid_thread()", "if i < n:", *inside(lines)]
    return kernel_of(name, arrays, ["n", "C", "L", "count"], body, T)
