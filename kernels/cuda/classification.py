"""Row-wise CUDA kernels of classification: softmax, log-softmax, their gradients, and cross-entropy with its gradient.

A row is held in registers, so that it is read once and written once: these kernels cost what a copy costs. Of rows too
long for that, the end is read twice: first for the greatest element and the sum of exponentials together (Milakov and
Gimelshein, Online normalizer calculation for softmax, 2018), then for the result. So do the warps of a block find both
in one exchange: each has the sum of exponentials of differences from its own greatest element.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

from nnkit.kernels.cuda.compiler import Source
from nnkit.kernels.cuda.rows import (
    HELD,
    HELD_OF_TWO,
    SUM,
    Frame,
    backward,
    fold,
    forward,
    frame,
    held_names,
    if_mine,
    load_at,
    load_held,
    names,
    place_of,
    store_at,
    store_held,
    sum_held,
    text_of,
)
from nnkit.kernels.cuda.texts import Step, computed, exchange, fold_lanes, pointer, read, write

#: The least finite number: with it a greatest element begins, so that from minus infinity a difference is not NaN.
LEAST = {"float32": -3.4028234663852886e38, "float64": -1.7976931348623157e308}
#: The greater of two numbers. Of a row with NaN, the sum of exponentials is NaN: the greatest element need not be.
GREATER = "max({a}, {b})"


def cross_entropy_step(dtype: str, weighted: bool, wide: bool, B: int, C: int) -> Step:
    """Per row of z (B, C): loss (B,) = w (log sum exp z - z[label]), dz (B, C) = w (softmax(z) - onehot(label)).

    Arguments: z, labels (int64), w (B,) where ``weighted``, loss, dz, B, C. All but labels are contiguous arrays of
    ``dtype``: float32, float64, float16 or bfloat16; the sizes are at least 1, and dz may not be z. ``wide``: z and
    dz begin at multiples of 16 bytes.
    """
    shape = frame(B, C, wide, HELD[computed(dtype)])
    return _step(_softmax_source("cross_entropy", dtype, shape, weighted), shape, B, C)


def softmax_step(dtype: str, log: bool, wide: bool, B: int, C: int) -> Step:
    """Softmax or log-softmax of the rows of x (B, C) into y, which may not be x. Arguments: x, y, B, C.

    Types, sizes and ``wide`` as in ``cross_entropy_step``.
    """
    shape = frame(B, C, wide, HELD[computed(dtype)])
    return _step(_softmax_source("log_softmax" if log else "softmax", dtype, shape), shape, B, C)


def softmax_grad_step(dtype: str, log: bool, wide: bool, B: int, C: int) -> Step:
    """The gradient of ``softmax_step`` from its output y, into dx, which is neither dy nor y.

    Arguments: dy, y, dx, B, C. Types, sizes and ``wide`` as in ``cross_entropy_step``.
    """
    shape = frame(B, C, wide, HELD_OF_TWO[computed(dtype)])
    return _step(_softmax_grad_source(dtype, log, shape), shape, B, C)


def _step(source: Source, shape: Frame, B: int, C: int) -> Step:
    return Step(source, -(-B // shape.rows), (B, C))


def _source(name: str, arrays: list[tuple[str, str]], shape: Frame, lines: list[str]) -> Source:
    """The kernel over arrays: (name, type) each, the first of the type that the others are computed in."""
    dtype = arrays[0][1]
    text = text_of([array for array, _ in arrays], shape, lines)
    parameters = (*(pointer(stored) for _, stored in arrays), "int64", "int64")
    return Source(f"{name}_{shape}_{dtype}", text, parameters, computed(dtype), shape.threads, shape.blocks)


# ---- softmax and cross-entropy -----------------------------------------------------------------------------------


class Rule(NamedTuple):
    """What tells softmax, log-softmax and cross-entropy apart."""

    x: str  # the array read
    y: str  # the array written
    before: list[str]
    prepare: str  # from ``total``, the sum of exponentials, to what ``value`` needs
    value: str  # an element of y from the element {v} of x, or from {e}, which is exp({v} - top), and ``factor``
    after: list[str]


def _rule(name: str, dtype: str, shape: Frame, weighted: bool) -> Rule:
    one = f"to_{computed(dtype)}(1)"
    if name == "softmax":
        return Rule("x", "y", [], f"factor = {one} / total", "{e} * factor", [])
    if name == "log_softmax":
        return Rule("x", "y", [], "shift = logarithm(total)", "({v} - top) - shift", [])
    before = [
        "label = min(max(labels[row], 0), C - 1)",
        f"right = {read(dtype, 'z[at + label]')}",
        f"weight = {read(dtype, 'weights[row]') if weighted else one}",
    ]
    of_label = write(dtype, f"{_exponential('right')} * factor - weight")
    # The label's element is written by the thread that has just written it as if it were no label.
    after = [
        *place_of("label", shape),
        "if place == owner:",
        f"    dz[at + label] = {of_label}",
        "if place == 0:",
        f"    loss[row] = {write(dtype, 'weight * (logarithm(total) + (top - right))')}",
    ]
    return Rule("z", "dz", before, "factor = weight / total", "{e} * factor", after)


@functools.cache
def _softmax_source(name: str, dtype: str, shape: Frame, weighted: bool = False) -> Source:
    rule = _rule(name, dtype, shape, weighted)
    arrays = [(rule.x, dtype), (rule.y, dtype)]
    if name == "cross_entropy":
        arrays[1:1] = [("labels", "int64"), *[("weights", dtype)] * weighted, ("loss", dtype)]
    T = computed(dtype)
    lines = [*rule.before, f"top = to_{T}({LEAST[T]!r})", f"total = to_{T}(0)"]
    lines += [*_gather(dtype, shape, rule), *_held_softmax(dtype, shape, rule), *_finish(dtype, shape, rule)]
    return _source(f"{'weighted_' * weighted}{name}", arrays, shape, [*lines, *if_mine(shape, rule.after)])


def _exponential(value: str) -> str:
    return f"fast_exponential({value} - top)"


def _held_softmax(dtype: str, shape: Frame, rule: Rule) -> list[str]:
    """What registers hold is read, met with what the other threads have found, and written."""
    values = held_names("v", shape)
    lines = ["own = top", *load_held(dtype, "v", rule.x, shape, f"to_{computed(dtype)}(-1e999)")]
    lines += [*(f"top = max(top, {v})" for v in values), *fold_lanes("top", GREATER, min(shape.lanes, 32))]
    lines += ["total = total * fast_exponential(own - top)"] * shape.more
    terms = [_exponential(v) for v in values]
    if "{e}" in rule.value:  # each is computed once
        lines += [f"{v} = {term}" for v, term in zip(values, terms, strict=True)]
        terms = values
    lines += [*sum_held(terms, shape), *fold_lanes("total", SUM, min(shape.lanes, 32))]
    if shape.lanes <= 32:
        lines.append(rule.prepare)
    else:
        lines += ["own = top", *_meeting(shape, dtype), rule.prepare]
        if "{e}" in rule.value:  # they are differences from the warp's greatest element
            lines.append("held_factor = factor * fast_exponential(own - top)")
    value = rule.value if shape.lanes <= 32 else rule.value.replace("factor", "held_factor")
    results = [value.format(v=v, e=v) for v in values]
    return [*lines, *if_mine(shape, store_held(dtype, results, rule.y, shape))]


def _meeting(shape: Frame, dtype: str) -> list[str]:
    """Lines that turn a warp's greatest element and sum of exponentials into the block's."""
    warps = shape.threads // 32
    return [
        *exchange(["top", "total"], shape.threads, computed(dtype)),
        "one = top",
        *fold_lanes("top", GREATER, warps),
        "total = total * fast_exponential(one - top)",
        *fold_lanes("total", SUM, warps),
    ]


def _gather(dtype: str, shape: Frame, rule: Rule) -> list[str]:
    """A first read of what is not held: the thread's greatest element and sum of exponentials."""

    def gather(places: list[str]) -> list[str]:
        values = names("v", len(places) * shape.width)
        return [
            *load_at(dtype, values, rule.x, places, shape),
            "own = top",
            *(f"top = max(top, {v})" for v in values),
            f"total = total * fast_exponential(own - top) + ({' + '.join(map(_exponential, values))})",
        ]

    return forward(gather, 8 // shape.width, shape) if shape.more else []


def _finish(dtype: str, shape: Frame, rule: Rule) -> list[str]:
    """A second read of what is not held, and its result."""

    def finish(places: list[str]) -> list[str]:
        values = names("v", len(places) * shape.width)
        results = [rule.value.format(v=v, e=_exponential(v)) for v in values]
        return [*load_at(dtype, values, rule.x, places, shape), *store_at(dtype, results, rule.y, places, shape)]

    return backward(finish, 8 // shape.width, shape) if shape.more else []


# ---- the gradient of softmax -------------------------------------------------------------------------------------


@functools.cache
def _softmax_grad_source(dtype: str, log: bool, shape: Frame) -> Source:
    term = "{d}" if log else "{d} * {v}"
    value = "{d} - exponential({v}) * total" if log else "{v} * ({d} - total)"
    T, nothing = computed(dtype), f"to_{computed(dtype)}(0)"
    d, v = held_names("d", shape), held_names("v", shape)
    again = _gradient_again(dtype, shape, term, value)
    lines = [f"total = to_{T}(0)", *again[0]]
    lines += [*load_held(dtype, "d", "dy", shape, nothing), *load_held(dtype, "v", "y", shape, nothing)]
    lines += [*sum_held(_pairs(term, d, v), shape), *fold("total", SUM, shape, dtype)]
    lines += [*if_mine(shape, store_held(dtype, _pairs(value, d, v), "dx", shape)), *again[1]]
    arrays = [("dy", dtype), ("y", dtype), ("dx", dtype)]
    return _source("log_softmax_grad" if log else "softmax_grad", arrays, shape, lines)


def _pairs(form: str, d: list[str], v: list[str]) -> list[str]:
    return [form.format(d=one, v=other) for one, other in zip(d, v, strict=True)]


def _gradient_again(dtype: str, shape: Frame, term: str, value: str) -> tuple[list[str], list[str]]:
    """Lines for what is not held: a first read of both rows for the sum, a second one for the result."""

    def both(places: list[str]) -> tuple[list[str], list[str], list[str]]:
        d, v = (names(letter, len(places) * shape.width) for letter in "dv")
        return d, v, [*load_at(dtype, d, "dy", places, shape), *load_at(dtype, v, "y", places, shape)]

    def gather(places: list[str]) -> list[str]:
        d, v, loads = both(places)
        return [*loads, f"total = total + ({' + '.join(_pairs(term, d, v))})"]

    def finish(places: list[str]) -> list[str]:
        d, v, loads = both(places)
        return [*loads, *store_at(dtype, _pairs(value, d, v), "dx", places, shape)]

    unroll = 4 // shape.width
    # Not backward: beside two arrays' held elements, one register more would spill.
    return (forward(gather, unroll, shape), forward(finish, unroll, shape)) if shape.more else ([], [])
