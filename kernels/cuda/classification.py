"""Row-wise CUDA kernels of classification: softmax, log-softmax, their gradients, and cross-entropy with its gradient.

A row is held in registers, so that it is read once and written once: these kernels cost what a copy costs. Rows too
long for that (over 32768 elements in float32, 16384 in float64; of the gradients' two arrays, half of it) are read
twice: first for the greatest element and the sum of exponentials together (Milakov and Gimelshein, Online normalizer
calculation for softmax, 2018), then for the result.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

from nnkit.kernels.cuda.compiler import Source
from nnkit.kernels.cuda.rows import (
    HELD,
    LARGER,
    SUM,
    Frame,
    backward,
    fold,
    forward,
    frame,
    if_mine,
    load_at,
    load_held,
    names,
    store_at,
    store_held,
    sum_held,
    text_of,
)
from nnkit.kernels.cuda.texts import Step, computed, pointer, read, write

#: The least finite number: what is less is minus infinity.
LEAST = {"float32": -3.4028234663852886e38, "float64": -1.7976931348623157e308}


def cross_entropy_step(dtype: str, weighted: bool, wide: bool, B: int, C: int) -> Step:
    """Per row of z (B, C): loss (B,) = w (log sum exp z - z[label]), dz (B, C) = w (softmax(z) - onehot(label)).

    Arguments: z, labels (int64), w (B,) where ``weighted``, loss, dz, B, C. All but labels are contiguous arrays of
    ``dtype``: float32, float64, float16 or bfloat16; the sizes are at least 1, and dz may not be z. ``wide``: C is a
    multiple of 4, and z and dz begin at multiples of 16 bytes.
    """
    shape = frame(B, C, 4 if wide else 1, HELD[computed(dtype)])
    return _step(_softmax_source("cross_entropy", dtype, shape, weighted), shape, B, C)


def softmax_step(dtype: str, log: bool, wide: bool, B: int, C: int) -> Step:
    """Softmax or log-softmax of the rows of x (B, C) into y, which may not be x. Arguments: x, y, B, C.

    Types, sizes and ``wide`` as in ``cross_entropy_step``.
    """
    shape = frame(B, C, 4 if wide else 1, HELD[computed(dtype)])
    return _step(_softmax_source("log_softmax" if log else "softmax", dtype, shape), shape, B, C)


def softmax_grad_step(dtype: str, log: bool, wide: bool, B: int, C: int) -> Step:
    """The gradient of ``softmax_step`` from its output y, into dx, which is neither dy nor y.

    Arguments: dy, y, dx, B, C. Types, sizes and ``wide`` as in ``cross_entropy_step``.
    """
    shape = frame(B, C, 4 if wide else 1, HELD[computed(dtype)] // 2)
    return _step(_softmax_grad_source(dtype, log, shape), shape, B, C)


def _step(source: Source, shape: Frame, B: int, C: int) -> Step:
    return Step(source, -(-B // shape.rows), (B, C))


def _source(name: str, arrays: list[tuple[str, str]], shape: Frame, lines: list[str]) -> Source:
    """The kernel over arrays: (name, type) each, the first of the type that the others are computed in."""
    dtype = arrays[0][1]
    text = text_of([array for array, _ in arrays], shape, lines)
    parameters = (*(pointer(stored) for _, stored in arrays), "int64", "int64")
    return Source(f"{name}_{shape}_{dtype}", text, parameters, computed(dtype), shape.threads)


# ---- softmax and cross-entropy -----------------------------------------------------------------------------------


class Rule(NamedTuple):
    """What tells softmax, log-softmax and cross-entropy apart."""

    x: str  # the array read
    y: str  # the array written
    before: list[str]
    prepare: str  # from ``total``, the sum of exponentials, to what ``value`` needs
    value: str  # an element of y from the element {v} of x, or from {e}, which is exp({v} - top)
    after: list[str]


def _rule(name: str, dtype: str, shape: Frame, weighted: bool) -> Rule:
    one = f"to_{computed(dtype)}(1)"
    if name == "softmax":
        return Rule("x", "y", [], f"factor = {one} / total", "{e} * factor", [])
    if name == "log_softmax":
        return Rule("x", "y", [], "shift = logarithm(total)", "({v} - top) - shift", [])
    label = "label = min(max(labels[row], 0), C - 1)"
    weight = read(dtype, "weights[row]") if weighted else one
    # The label's element is written by the thread that has just written it as if it were no label.
    after = [
        label,
        f"if place == (label // {shape.width} & {shape.lanes - 1}):",
        f"    dz[at + label] = {write(dtype, 'exponential(right - top) * factor - weight')}",
        "if place == 0:",
        f"    loss[row] = {write(dtype, 'weight * (logarithm(total) + (top - right))')}",
    ]
    before = [label, f"right = {read(dtype, 'z[at + label]')}", f"weight = {weight}"]
    return Rule("z", "dz", before, "factor = weight / total", "{e} * factor", after)


@functools.cache
def _softmax_source(name: str, dtype: str, shape: Frame, weighted: bool = False) -> Source:
    rule = _rule(name, dtype, shape, weighted)
    arrays = [(rule.x, dtype), (rule.y, dtype)]
    if name == "cross_entropy":
        arrays[1:1] = [("labels", "int64"), *[("weights", dtype)] * weighted, ("loss", dtype)]
    body = (_held_softmax if shape.accesses else _long_softmax)(dtype, shape, rule)
    lines = [*rule.before, *body, *if_mine(shape, rule.after)]
    return _source(f"{'weighted_' * weighted}{name}", arrays, shape, lines)


def _exponential(value: str) -> str:
    return f"exponential({value} - top)"


def _held_softmax(dtype: str, shape: Frame, rule: Rule) -> list[str]:
    """One read of a row into registers, and one write."""
    values = names("v", shape.held)
    lines = load_held(dtype, "v", rule.x, shape)
    lines += [f"top = {values[0]}", *(f"top = larger(top, {v})" for v in values[1:])]
    lines += fold("top", LARGER, shape, dtype)
    terms = [_exponential(v) for v in values]
    if "{e}" in rule.value:  # each is computed once
        lines += [f"{v} = {term}" for v, term in zip(values, terms, strict=True)]
        terms = values
    lines += [*sum_held(terms, shape, dtype), *fold("total", SUM, shape, dtype), rule.prepare]
    results = [rule.value.format(v=v, e=v) for v in values]
    return [*lines, *if_mine(shape, store_held(dtype, results, rule.y, shape))]


def _long_softmax(dtype: str, shape: Frame, rule: Rule) -> list[str]:
    """One read for the greatest element and the sum, another for the result, and one write."""
    T, unroll = computed(dtype), 8 // shape.width

    def gather(places: list[str]) -> list[str]:
        values = names("v", len(places) * shape.width)
        return [
            *load_at(dtype, values, rule.x, places, shape),
            "newer = top",
            *(f"newer = larger(newer, {v})" for v in values),
            # As long as there was nothing but minus infinity, its differences would be NaN.
            f"base = newer if newer >= to_{T}({LEAST[T]!r}) else to_{T}(0)",
            f"total = total * exponential(top - base) + ({' + '.join(f'exponential({v} - base)' for v in values)})",
            "top = newer",
        ]

    def finish(places: list[str]) -> list[str]:
        values = names("v", len(places) * shape.width)
        results = [rule.value.format(v=v, e=_exponential(v)) for v in values]
        return [*load_at(dtype, values, rule.x, places, shape), *store_at(dtype, results, rule.y, places, shape)]

    return [
        f"top = {read(dtype, f'{rule.x}[at]')}",
        f"total = to_{T}(0)",
        *forward(gather, unroll, shape),
        "own = top",
        *fold("top", LARGER, shape, dtype),
        "total = total * exponential(own - top)",
        *fold("total", SUM, shape, dtype),
        rule.prepare,
        *backward(finish, unroll, shape),
    ]


# ---- the gradient of softmax -------------------------------------------------------------------------------------


@functools.cache
def _softmax_grad_source(dtype: str, log: bool, shape: Frame) -> Source:
    term = "{d}" if log else "{d} * {v}"
    value = "{d} - exponential({v}) * total" if log else "{v} * ({d} - total)"
    body = (_held_grad if shape.accesses else _long_grad)(dtype, shape, term, value)
    arrays = [("dy", dtype), ("y", dtype), ("dx", dtype)]
    return _source("log_softmax_grad" if log else "softmax_grad", arrays, shape, body)


def _pairs(form: str, count: int) -> list[str]:
    return [form.format(d=d, v=v) for d, v in zip(names("d", count), names("v", count), strict=True)]


def _held_grad(dtype: str, shape: Frame, term: str, value: str) -> list[str]:
    """One read of both rows into registers, and one write."""
    return [
        *load_held(dtype, "d", "dy", shape),
        *load_held(dtype, "v", "y", shape),
        *sum_held(_pairs(term, shape.held), shape, dtype),
        *fold("total", SUM, shape, dtype),
        *if_mine(shape, store_held(dtype, _pairs(value, shape.held), "dx", shape)),
    ]


def _long_grad(dtype: str, shape: Frame, term: str, value: str) -> list[str]:
    """Two reads of both rows, and one write."""

    def both(places: list[str]) -> list[str]:
        d, v = (names(letter, len(places) * shape.width) for letter in "dv")
        return [*load_at(dtype, d, "dy", places, shape), *load_at(dtype, v, "y", places, shape)]

    def gather(places: list[str]) -> list[str]:
        terms = _pairs(term, len(places) * shape.width)
        return [*both(places), f"total = total + ({' + '.join(terms)})"]

    def finish(places: list[str]) -> list[str]:
        results = _pairs(value, len(places) * shape.width)
        return [*both(places), *store_at(dtype, results, "dx", places, shape)]

    unroll = 4 // shape.width
    return [
        f"total = to_{computed(dtype)}(0)",
        *forward(gather, unroll, shape),
        *fold("total", SUM, shape, dtype),
        *backward(finish, unroll, shape),
    ]
