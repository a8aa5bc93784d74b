"""CUDA kernels of windows over images, signals and volumes: patches, pools, and the gradients of these.

A kernel that *sweeps* has a thread for each window, which goes through its places, the *taps*. One that *gathers* has
a thread for each element of x, which goes through the windows that see it: so sums need no atomics, and have one order.
Arrays are (B, C, places…) and lie in any regular way that does not run backwards: each comes with its steps.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from nnkit.kernels.cuda.compiler import Source
from nnkit.kernels.cuda.strided import UNITS
from nnkit.kernels.cuda.texts import computed, indented, inside, pointer, read, write

THREADS = 256
#: What is said of each axis of places: those of x, windows, and the window.
OF_AXIS = ("S", "P", "kernel", "stride", "before", "dilation")
#: The most threads: places are found in 32 bits, because dividing longer numbers is slow.
MOST = 2**32 - 1


def grid(n: int) -> int:
    """How many blocks a kernel needs for n windows or elements."""
    return -(-n // THREADS)


@functools.cache
def patches_kernel(itemsize: int, axes: int) -> Source:
    """What each window sees, 0 for padding: x (B, C, S…) into y (B, C, taps, P…).

    Arguments: x, y, n windows, C, for each axis ``OF_AXIS``, the steps of x and of y; steps count elements.
    """
    body = _sweep(axes, [
        f"if {' and '.join(f'0 <= s{k} and s{k} < S{k}' for k in range(axes))}:",
        f"    y[{_at('target', 'o', 'y', axes)} + ({_tap(axes)}) * yt] = x[{_at('source', 's', 'x', axes)}]",
        "else:",
        f"    y[{_at('target', 'o', 'y', axes)} + ({_tap(axes)}) * yt] = 0",
    ])  # fmt: skip
    lines = ["source = b * xb + c * xc", "target = b * yb + c * yc", *body]
    steps = [*_steps("x", axes), "yb", "yc", "yt", *_steps("y", axes)[2:]]
    unit = UNITS[itemsize]
    return _source(f"patches_{itemsize}", ("x", "y"), (unit, unit), [], steps, "P", axes, False, lines, "int64")


@functools.cache
def pool_kernel(kind: str, dtype: str, axes: int, last: bool) -> Source:
    """``max``: the greatest in each window, of equals the first, NaN before all, and its place; ``greatest``: without
    that; ``sum``: a multiple.

    Arguments: x, y, and places (int64), or for a sum the factor (float64); n windows, C, for each axis ``OF_AXIS``,
    the steps of x, of y, of places. ``last``: neighbouring threads take neighbouring channels.
    """
    placed, T = kind == "max", computed(dtype)
    value = read(dtype, f"x[{_at('source', 's', 'x', axes)}]")
    to = _at("b * yb + c * yc", "o", "y", axes)
    if kind != "sum":
        starts = [f"best = to_{T}(-1e999)", "found = to_int64(-1)"]
        number = _number(axes) if placed else "to_int64(0)"
        body = [f"v = {value}", "if found < 0 or v > best or v != v:", "    best = v", f"    found = {number}"]
        ends = [f"y[{to}] = {write(dtype, 'best')}"]
        if placed:
            ends.append(f"places[{_at('b * placesb + c * placesc', 'o', 'places', axes)}] = found")
    else:
        starts, body = [f"total = to_{T}(0)"], [f"total = total + {value}"]
        ends = [f"y[{to}] = {write(dtype, 'total * number(factor)')}"]
    lines = ["source = b * xb + c * xc", *starts, *_sweep(axes, body, within=True), *ends]
    steps = [*_steps("x", axes), *_steps("y", axes), *(_steps("places", axes) if placed else [])]
    arrays = ("x", "y", "places")[: 2 + placed]
    types, scalars = (dtype, dtype, "int64")[: 2 + placed], ["factor"] if kind == "sum" else []
    return _source(f"{kind}_pool_{dtype}", arrays, types, scalars, steps, "P", axes, last, lines, T)


@functools.cache
def spread_kernel(kind: str, given: str, dtype: str, axes: int, last: bool) -> Source:
    """dx (B, C, S…), of ``dtype``: at each place the sum of dy, of type ``given``, over the windows that see it.

    ``max``: of those whose greatest element it was; ``sum``: times a factor; ``patches``: of dy (B, C, taps, P…) what
    that tap saw. Arguments: dy, places (int64) for ``max``, dx, the factor (float64) for ``sum``, n elements of dx, C,
    for each axis ``OF_AXIS``, the steps of dy, of places, of dx. ``last`` as for ``pool_kernel``.
    """
    T, at = computed(given), _at("source", "o", "dy", axes)
    value = read(given, f"dy[{at} + ({_tap(axes)}) * dyt]" if kind == "patches" else f"dy[{at}]")
    body, lines = [f"total = total + {value}{' * number(factor)' * (kind == 'sum')}"], []
    of_dy, of_places = _steps("dy", axes), []
    if kind == "max":
        body = [f"if places[{_at('there', 'o', 'places', axes)}] == own:", *inside(body)]
        lines = [f"own = {_number(axes)}", "there = b * placesb + c * placesc"]
        of_places = _steps("places", axes)
    if kind == "patches":
        of_dy.insert(2, "dyt")
    lines += ["source = b * dyb + c * dyc", f"total = to_{T}(0)", *_gather(axes, body)]
    result = "total" if computed(dtype) == T else f"to_{computed(dtype)}(total)"
    lines.append(f"dx[{_at('b * dxb + c * dxc', 's', 'dx', axes)}] = {write(dtype, result)}")
    arrays, types = ("dy", "dx"), (given, dtype)
    if kind == "max":
        arrays, types = ("dy", "places", "dx"), (given, "int64", dtype)  # type: ignore[assignment]
    steps = [*of_dy, *of_places, *_steps("dx", axes)]
    scalars, name = ["factor"] * (kind == "sum"), f"{kind}_spread_{given}_{dtype}"
    return _source(name, arrays, types, scalars, steps, "S", axes, last, lines, T)


# ---- parts of the texts ---------------------------------------------------------------------------------------------


def _source(
    name: str, arrays: Sequence[str], types: Sequence[str], scalars: list[str], steps: list[str], over: str, axes: int,
    last: bool, lines: list[str], dtype: str,
) -> Source:  # fmt: skip
    """A kernel whose thread knows its b, c and place: o0, o1, … of a window (``over`` is P), s0, … of an element."""
    sizes = ["n", "C", *(f"{what}{k}" for k in range(axes) for what in OF_AXIS)]
    letter = "o" if over == "P" else "s"
    places = [(f"{letter}{k}", f"{over}{k}") for k in reversed(range(axes))]
    found = [("c", "C"), *places] if last else [*places, ("c", "C")]
    own = []
    for index, size in found:
        own += [
            f"rest = to_int64(to_uint32(to_uint32(i) // to_uint32({size})))",
            f"{index} = i - rest * {size}",
            "i = rest",
        ]
    text = f"def kernel({', '.join([*arrays, *scalars, *sizes, *steps])}):\n    i = grid_thread()\n    if i < n:\n"
    text += indented([*own, "b = i", *lines], 2)
    parameters = [*map(pointer, types), *["float64"] * len(scalars), *["int64"] * (len(sizes) + len(steps))]
    blocks = 4 if axes < 3 else 3  # without being told, the assembler takes a few registers more than let them run
    return Source(f"{name}_{axes}{'_last' * last}", text, tuple(parameters), dtype, THREADS, blocks)


def _steps(array: str, axes: int) -> list[str]:
    return [f"{array}b", f"{array}c", *(f"{array}{k}" for k in range(axes))]


def _at(start: str, index: str, array: str, axes: int) -> str:
    """Where an element lies: behind the start of its channel."""
    return " + ".join([start, *(f"{index}{k} * {array}{k}" for k in range(axes))])


def _number(axes: int) -> str:
    """A place's number in row-major order."""
    return functools.reduce(lambda before, k: f"({before}) * S{k} + s{k}", range(1, axes), "s0")


def _tap(axes: int) -> str:
    """A tap's number."""
    return functools.reduce(lambda before, k: f"({before}) * kernel{k} + t{k}", range(1, axes), "t0")


def _sweep(axes: int, body: list[str], within: bool = False) -> list[str]:
    """Loops over the taps of window o; ``within``: only those that meet a place of x."""
    for k in reversed(range(axes)):
        place = f"s{k} = o{k} * stride{k} - before{k} + t{k} * dilation{k}"
        if within:
            body = [f"if 0 <= s{k} and s{k} < S{k}:", *inside(body)]
        body = [f"for t{k} in range(kernel{k}):", *inside([place, *body])]
    return body


def _gather(axes: int, body: list[str]) -> list[str]:
    """Loops over the taps that meet place s, each in the one window o where it does."""
    for k in reversed(range(axes)):
        window = f"o{k} = to_int64(to_uint32(to_uint32(far{k}) // to_uint32(stride{k})))"
        found = [window, f"if o{k} * stride{k} == far{k} and o{k} < P{k}:", *inside(body)]
        place = f"far{k} = s{k} + before{k} - t{k} * dilation{k}"
        body = [f"for t{k} in range(kernel{k}):", *inside([place, f"if far{k} >= 0:", *inside(found)])]
    return body
