"""Convolutions of any kind, as sums of shifted planes.

Of each image the channels are copied into *planes*: rows with their padding, all of one length, and where windows step
over places, one plane for each remainder (so that neighbouring windows read neighbouring elements). Then the element
that a tap of a window meets lies a fixed distance behind the window's own place, whatever the window: ``offsets`` has
that distance for each channel and tap. A tile runs over neighbouring windows, a register of them at a time, and over
some output channels at once; what it computes between the ends of rows is not looked at again.

The gradient for the input is the same sum over planes of dz, once for each remainder of the steps. That for the weights
multiplies planes of dz, 0 between the ends of rows, by those of x, and adds up along them.

A sum over channels and taps grows from the first to the last in one register, so neither the threads nor the other
images change it. Sums over images are made in parts that depend on their number alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from nnkit.kernels.cpu.compiler import Kernel, Source, load
from nnkit.kernels.cpu.pooling import greatest, seen
from nnkit.kernels.cpu.rooms import room_words
from nnkit.kernels.cpu.vectors import Vectors, lanes, registers, tile_word
from nnkit.kernels.cpu.words import compiled_formulas, control_words, memory_words
from nnkit.kernels.formulas import ACTIVATIONS
from nnkit.kernels.registered import FORMULAS
from nnkit.kernels.vocabulary import scalar_names

CHUNK = 512  # places that a tile's results are kept of, until they are written
ROWS = (8, 4, 2, 1)  # output channels of a tile
Build = Callable[..., None]


def rows_for(channels: int) -> int:
    """Output channels of a tile, of so many in a group; eight would leave few registers room for places."""
    return next(R for R in ROWS[registers().number < 32 :] if channels >= R)


def registers_for(rows: int) -> int:
    """Registers of places of a tile: with its rows, as many sums as there are registers for."""
    if registers().number >= 32:
        return {8: 3, 4: 6, 2: 8, 1: 8}[rows]
    return {8: 1, 4: 3, 2: 4, 1: 6}[rows]


def weight_rows(channels: int) -> int:
    """Output channels of a tile of the weights' gradient."""
    return min(channels, 4 if registers().number >= 32 else 3)


def weight_columns(rows: int) -> int:
    """Channels and taps of such a tile."""
    return (24 if registers().number >= 32 else 12) // rows if rows > 1 else 9


def slack(dtype: str) -> int:
    """Elements behind the planes that a tile may read."""
    return 9 * lanes(dtype)


# ---- weights --------------------------------------------------------------------------------------------------------

# Block: [w, packed, G, O, K, R, from group to group in w, from output to output, places (int64, K)]: for each group,
# for each R outputs, the K weights of each side by side.
PACK = """
def kernel(block):
    w, y, places = pointer(block[0]), pointer(block[1]), labels(block[8])
    G, O, K, R, group, row = block[2], block[3], block[4], block[5], block[6], block[7]
    at = 0
    for g in range(G):
        for o in range(0, O, R):
            for k in range(K):
                for r in range(R):
                    y[at + r] = w[g * group + min(o + r, O - 1) * row + places[k]]
                at += R
"""


@functools.cache
def pack_kernel(dtype: str) -> Kernel:
    """Put weights into the order in which tiles read them."""
    return load(Source(f"conv_pack_{dtype}", PACK, memory_words, (dtype,)))


# ---- the sum over channels and taps ----------------------------------------------------------------------------------


def _offset(v: Vectors, table: Any, k: Any) -> Any:
    """Element k of a table of int64 at an address."""
    places = v.builder.inttoptr(table, v.ir.IntType(64).as_pointer())
    return v.builder.load(v.builder.gep(places, [k]))


def _tile(R: int, V: int) -> Build:
    """y[r ld + f…] = the sums over k of w[k, r] x[offsets[k] + start + f…]: V registers of places."""

    def build(v: Vectors, x: Any, w: Any, y: Any, offsets: Any, K: Any, start: Any, f: Any, ld: Any) -> None:
        first = v.plus(start, f)
        sums = [[v.variable(v.zero) for _ in range(V)] for _ in range(R)]
        with v.loop(K) as k:
            at = v.plus(_offset(v, offsets, k), first)
            seen = [v.load(x, v.plus(at, n * v.lanes)) for n in range(V)]
            row = v.times(k, v.integer(R))
            for r in range(R):
                factor = v.spread(v.builder.load(v.element(w, v.plus(row, r))))
                for n in range(V):
                    v.builder.store(v.multiply_add(factor, seen[n], v.builder.load(sums[r][n])), sums[r][n])
        for r in range(R):
            place = v.plus(v.times(ld, v.integer(r)), f)
            for n in range(V):
                v.store(y, v.plus(place, n * v.lanes), v.builder.load(sums[r][n]))

    return build


def _spread(R: int) -> Build:
    """y[to + i step + r] = x[at + r ld + i]: places i of R rows, which are to lie side by side."""

    def build(v: Vectors, x: Any, y: Any, *numbers: Any) -> None:
        at, to, ld, step, places, channels = numbers
        rows = [v.load(x, v.plus(at, v.times(ld, v.integer(r)))) for r in range(min(R, v.lanes))]
        for first in range(0, R, v.lanes):
            some = rows if first == 0 else [v.load(x, v.plus(at, v.times(ld, v.integer(r)))) for r in range(first, R)]
            count = v.at_most(v.integer(min(v.lanes, R - first)), v.plus(channels, -first))
            for i, column in enumerate(v.transposed(some + [v.zero] * (v.lanes - len(some)))):
                with v.when(v.builder.icmp_signed("<", v.integer(i), places)):
                    v.store(y, v.plus(v.plus(to, first), v.times(step, v.integer(i))), column, count)

    return build


def _rows(v: Vectors, x: Any, y: Any, *numbers: Any) -> None:
    """y[to + i row + j] = x[at + i step + j]: rows i of places j."""
    at, step, to, row, rows, places = numbers
    with v.loop(rows) as i:
        v.copied(x, v.plus(at, v.times(i, step)), y, v.plus(to, v.times(i, row)), places)


def _pooled(v: Vectors, x: Any, y: Any, *numbers: Any) -> None:
    """y[to + i row + j] = the greatest of x in windows (i, j) of 2 by 2 places, whose rows are ``step`` apart."""
    at, step, to, row, rows, windows = numbers
    last = v.plus(windows, -v.lanes)
    last = v.builder.select(v.builder.icmp_signed(">", last, v.integer(0)), last, v.integer(0))
    with v.loop(rows) as i:
        first, target = v.plus(at, v.times(i, v.times(step, v.integer(2)))), v.plus(to, v.times(i, row))
        with v.loop(windows, v.lanes) as number:
            j = v.at_most(number, last)  # the last register may lie over the one before
            here = v.plus(first, v.times(j, v.integer(2)))
            values = [value for start in (here, v.plus(here, step)) for value in seen(v, x, start, 2, 2, 1)]
            v.store_first(y, v.plus(target, j), greatest(v, values), v.builder.sub(windows, j))


# Block: [planes, weights, offsets, K, out, z or 0, O, from channel to channel in out, 3 steps in out, 3 sizes of out, 2
# steps in planes, bias or 0, scalars…]. As many rows as the stack has room for are computed at once. ``pooled``: of
# the results, of two axes, the greatest in windows of 2 by 2 is written, and the sizes are those before that.
FORWARD = """
def kernel(block):
    planes, offsets, K = pointer(block[0]), block[2], block[3]
    out, z, O, oc, o0, o1, o2 = block[4], block[5], block[6], block[7], block[8], block[9], block[10]
    P0, P1, P2, pitch0, pitch1 = block[11], block[12], block[13], block[14], block[15]
    bias = pointer(block[16])
    {scalars}
    y, before = pointer(out), pointer(z)
    wide = min(P2, {chunk})
    rows = max(1, {chunk} // pitch1)
    if {pooled}:
        rows = max(2, rows // 2 * 2)
    ld = {space}
    space = pointer(stack({R} * {space} * {size}))
    for i0 in range(P0):
        for i1 in range(0, P1, rows):
            count = min(rows, P1 - i1)
            for j0 in range(0, P2, wide):
                columns = min(wide, P2 - j0)
                start, F = i0 * pitch0 + i1 * pitch1 + j0, (count - 1) * pitch1 + columns
                whole = (F + {W} * 4 - 1) // ({W} * 4) * {W} * 4
                for o in range(0, O, {R}):
                    w = pointer(block[1] + o * K * {size})
                    f = 0
                    while f < F:
                        {choice}
                    present = min({R}, O - o)
                    for part in range(2):
                        target = y
                        if part == 0:
                            if z == 0:
                                continue
                            target = before
                            if block[16] != 0:
                                for r in range(present):
                                    for k in range(r * ld, r * ld + whole):
                                        space[k] += bias[o + r]
                        else:
                            for r in range(present):
                                shift = zero
                                if block[16] != 0 and z == 0:
                                    shift = bias[o + r]
                                for k in range(r * ld, r * ld + whole):
                                    space[k] = {formula}(space[k] + shift{arguments})
                        at = o * oc + i0 * o0 + i1 * o1 + j0 * o2
                        if {pooled}:
                            for r in range(present):
                                to = (o + r) * oc + i1 // 2 * o1
                                pooled(space, target, r * ld, pitch1, to, o1, count // 2, columns // 2)
                        elif oc == 1 and o2 != 1:
                            for i in range(count):
                                for j in range(0, columns, {W}):
                                    to = at + i * o1 + j * o2
                                    spread(space, target, i * pitch1 + j, to, ld, o2, columns - j, O - o)
                        elif o2 == 1:
                            for r in range(present):
                                copied(space, target, r * ld, pitch1, at + r * oc, o1, count, columns)
                        else:
                            for r in range(present):
                                for i in range(count):
                                    for j in range(columns):
                                        target[at + r * oc + i * o1 + j * o2] = space[r * ld + i * pitch1 + j]
"""


@functools.cache
def forward_kernel(dtype: str, activation: str, R: int, pooled: bool) -> Kernel:
    """The sum over channels and taps of one image and group, with bias and activation, and ``pooled`` or not."""
    formula = ACTIVATIONS[activation]
    names = [f"s{k}" for k in range(len(scalar_names(FORMULAS[formula])))]
    lines, W = list[str](), lanes(dtype)
    for V in range(registers_for(R), 0, -1):
        condition = f"F - f > {(V - 1) * W}"
        lines += [f"{'elif' if lines else 'if'} {condition}:"]
        lines += [f"    tile{V}(planes, w, space, offsets, K, start, f, ld)", f"    f += {V * W}"]
    text = FORWARD.format(
        scalars="\n    ".join(f"{name} = scalar(block[{17 + k}])" for k, name in enumerate(names)) or "pass",
        chunk=CHUNK, space=CHUNK + slack(dtype), R=R, size=np.dtype(dtype).itemsize, formula=formula, pooled=pooled,
        arguments="".join(f", {name}" for name in names), W=W, choice=f"\n{' ' * 24}".join(lines),
    )  # fmt: skip
    name = f"conv{'_pooled' * pooled}_{activation}_{R}_{dtype}_{W}"
    return load(Source(name, text, _forward_words, (dtype, str(R))))


def _forward_words(dtype: str, rows: str) -> dict[str, Any]:
    R = int(rows)
    words = memory_words(dtype) | control_words() | compiled_formulas(dtype) | {"zero": np.dtype(dtype).type(0)}
    words |= {"copied": tile_word(dtype, 2, 6, _rows), "pooled": tile_word(dtype, 2, 6, _pooled)}
    words["spread"] = tile_word(dtype, 2, 6, _spread(R))
    for V in range(1, registers_for(R) + 1):
        words[f"tile{V}"] = tile_word(dtype, 3, 5, _tile(R, V))
    return words


# Block: [planes kernel, its block, jobs, number of jobs, images, groups, bytes from image to image and from group to
# group in x, table of rooms for planes, or 0 where the images lie as planes do]. A job is five numbers: kernel, block,
# and in bytes from image to image and from group to group in ``out`` and from group to group of its weights; then from
# group to group of its bias.
IMAGES = """
def kernel(block):
    planes, jobs = labels(block[1]), labels(block[2])
    x, room = planes[0], 0
    if block[8] != 0:
        room = taken(block[8])
        planes[1] = room
    for b in range(block[4]):
        for g in range(block[5]):
            image = x + b * block[6] + g * block[7]
            if room != 0:
                planes[0], planes[21] = image, b == 0 and g == 0
                call(block[0], block[1])
                image = room
            for n in range(block[3]):
                job = 6 * n
                own = labels(jobs[job + 1])
                own[0] = image
                weights, out, z, bias = own[1], own[4], own[5], own[16]
                own[1] = weights + g * jobs[job + 4]
                own[4] = out + b * jobs[job + 2] + g * jobs[job + 3]
                if z != 0:
                    own[5] = z + b * jobs[job + 2] + g * jobs[job + 3]
                if bias != 0:
                    own[16] = bias + g * jobs[job + 5]
                call(jobs[job], jobs[job + 1])
                own[1], own[4], own[5], own[16] = weights, out, z, bias
    planes[0] = x
    if room != 0:
        given_back(block[8], room)
"""


@functools.cache
def images_kernel() -> Kernel:
    """Every image and group, one after the other: planes, then the sums."""
    return load(Source("conv_images", IMAGES, _control))


def _control() -> dict[str, Any]:
    return memory_words("float64") | control_words() | room_words()


# ---- the gradient of the weights ------------------------------------------------------------------------------------


def _products(R: int, C: int) -> Build:
    """sums[o, k] += the sums over images and places of dz[o…] x[offsets[k] + …], a tile of R outputs and C of k."""

    def build(v: Vectors, x: Any, dz: Any, sums: Any, offsets: Any, *numbers: Any) -> None:
        images, x_image, dz_image, ld, F, o, k, O, K = numbers
        rows = [v.times(v.at_most(v.plus(o, r), v.plus(O, -1)), ld) for r in range(R)]
        columns = [_offset(v, offsets, v.at_most(v.plus(k, c), v.plus(K, -1))) for c in range(C)]
        totals = [[v.variable(v.zero) for _ in range(C)] for _ in range(R)]
        with v.loop(images) as b:
            in_x, in_dz = v.times(b, x_image), v.times(b, dz_image)
            from_x, from_dz = [v.plus(in_x, c) for c in columns], [v.plus(in_dz, r) for r in rows]
            with v.loop(F, v.lanes) as f:
                left = [v.load(dz, v.plus(place, f)) for place in from_dz]
                for c in range(C):
                    right = v.load(x, v.plus(from_x[c], f))
                    for r in range(R):
                        total = totals[r][c]
                        v.builder.store(v.multiply_add(left[r], right, v.builder.load(total)), total)
        for r in range(R):
            with v.when(v.builder.icmp_signed("<", v.plus(o, r), O)):
                row = v.plus(v.times(v.plus(o, r), K), k)
                for c, value in enumerate(v.sums([v.builder.load(total) for total in totals[r]])):
                    with v.when(v.builder.icmp_signed("<", v.plus(k, c), K)):
                        place = v.element(sums, v.plus(row, c))
                        v.builder.store(v.builder.fadd(v.builder.load(place), value), place)

    return build


# Block: [x planes kernel, its block, dz planes kernel, its block, images, most images at once, groups, and in bytes:
# from image to image and group to group in x, and in dz; elements of an image in the planes of x, and of dz; sums,
# offsets, O, K, places (a multiple of the lanes), 1 where the bias is wanted, table of rooms, in it bytes from the
# planes of x to those of dz]. sums: for each group and output its K, then for each output one for the bias.
WEIGHTS = """
def kernel(block):
    planes, others = labels(block[1]), labels(block[3])
    x, dz, to_x = planes[0], others[0], taken(block[19])
    to_dz = to_x + block[20]
    G, O, K, F = block[6], block[15], block[16], block[17]
    sums = pointer(block[13])
    for k in range(G * O * (K + 1)):
        sums[k] = zero
    for g in range(G):
        own = pointer(block[13] + g * O * K * {size})
        for b0 in range(0, block[4], block[5]):
            images = min(block[5], block[4] - b0)
            for b in range(images):
                planes[0] = x + (b0 + b) * block[7] + g * block[8]
                planes[1], planes[21] = to_x + b * block[11] * {size}, b0 == 0 and g == 0
                call(block[0], block[1])
                others[0] = dz + (b0 + b) * block[9] + g * block[10]
                others[1], others[21] = to_dz + b * block[12] * {size}, b0 == 0 and g == 0
                call(block[2], block[3])
            for o in range(0, O, {R}):
                for k in range(0, K, {C}):
                    tile(pointer(to_x), pointer(to_dz), own, block[14], images, block[11], block[12], F, F, o, k, O, K)
            if block[18] != 0:
                for o in range(O):
                    for b in range(images):
                        row = pointer(to_dz + (b * block[12] + o * F) * {size})
                        total = zero
                        for f in range(F):
                            total += row[f]
                        sums[G * O * K + g * O + o] += total
    planes[0], others[0] = x, dz
    given_back(block[19], to_x)
"""


@functools.cache
def weights_kernel(dtype: str, R: int) -> Kernel:
    """The products of dz and x, added up over some images."""
    C = weight_columns(R)
    text = WEIGHTS.format(size=np.dtype(dtype).itemsize, R=R, C=C)
    name = f"conv_weights_{R}x{C}_{dtype}_{lanes(dtype)}"
    return load(Source(name, text, _weights_words, (dtype, str(R)), reassociate=True))


def _weights_words(dtype: str, rows: str) -> dict[str, Any]:
    tile = tile_word(dtype, 3, 10, _products(int(rows), weight_columns(int(rows))))
    return memory_words(dtype) | control_words() | room_words() | {"tile": tile, "zero": np.dtype(dtype).type(0)}
