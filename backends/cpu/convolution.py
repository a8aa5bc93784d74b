"""Launches of convolutions and their gradients: where planes lie, what each tap meets, who takes which image."""

from __future__ import annotations

import ctypes
import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nnkit.backends.cpu import elementwise, pointwise, winograd
from nnkit.backends.cpu.axes import AXES, Steps, of_three_axes, steps_of, three
from nnkit.backends.cpu.launch import FLOATS, Call, Launch, address, address_or_0, new_call, shares
from nnkit.backends.cpu.planes import Planes, Sum, backward_layout, forward_layout
from nnkit.backends.cpu.products import SHARED
from nnkit.backends.cpu.rooms import Rooms
from nnkit.backends.threads import get_num_threads
from nnkit.backends.windows import Sizes, Window
from nnkit.kernels.cpu import convolution as kernels
from nnkit.kernels.cpu.deep import sum_kernel
from nnkit.kernels.cpu.planes import planes_kernel
from nnkit.kernels.cpu.runner import runner_kernel
from nnkit.kernels.cpu.target import second_cache
from nnkit.kernels.cpu.vectors import lanes
from nnkit.kernels.formulas import ACTIVATIONS

#: Parts in which the gradient of weights is added up over images; they do not depend on the number of threads.
PARTS = 8
#: What adding an element of a part counts, in multiplications.
TOGETHER = 8
#: The part of a core's second cache that planes may take while their products are computed.
NEAR = 2
#: The pool that a convolution can do while it has its results at hand.
PAIRS = Window((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1))


# ---- arrays ----------------------------------------------------------------------------------------------------------


def _refused(groups: int, *arrays: np.ndarray | None) -> str | None:
    """Why no kernel takes these arrays; None where one does."""
    given = [a for a in arrays if a is not None]
    types = {a.dtype for a in given}
    if len(types) > 1 or given[0].dtype not in FLOATS:
        return f"element types {', '.join(sorted(map(str, types)))}"
    if any(not a.size for a in given):
        return "an array is empty"
    return "more axes than three of places" if given[0].ndim > 2 + AXES else None


# ---- forward ---------------------------------------------------------------------------------------------------------


class _Job(NamedTuple):
    """A sum to be made of each image: where its weights are packed, and what it writes."""

    sum: Sum
    weights: int
    channels: int  # of a group, in ``out``


def conv(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, window: Window, groups: int, activation: str,
    z: np.ndarray | None, out: np.ndarray, scalars: Sequence[float] = (),
) -> Launch | str:  # fmt: skip
    """Floats of one type; w and b contiguous, z laid out as ``out``."""
    if z is not None and z.strides != out.strides:
        return "an output is laid out otherwise than the other"
    written = Written(steps_of(out), address_or_0(z), address_or_0(b), activation, [float(s) for s in scalars])
    return _conv(x, w, b, window, groups, written, out, tuple(out.shape[2:]))


def conv_pooled(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, window: Window, groups: int, activation: str, pool: Window,
    room: np.ndarray, out: np.ndarray, scalars: Sequence[float] = (),
) -> Launch | str:  # fmt: skip
    """As ``conv``, of images; windows of 2 by 2 places that do not overlap. ``room`` stays as it is."""
    if pool != PAIRS:
        return "a pool of other windows than 2 by 2 places side by side"
    written = Written(steps_of(out), 0, address_or_0(b), activation, [float(s) for s in scalars], True)
    return _conv(x, w, b, window, groups, written, out, tuple(room.shape[2:]))


def _conv(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, window: Window, groups: int, written: Written, out: np.ndarray,
    places: Sizes,
) -> Launch | str:  # fmt: skip
    """``places``: how many windows there are along each axis, before any pool."""
    refused = _refused(groups, x, w, b, out)
    if refused:
        return refused
    if not w.flags.c_contiguous or (b is not None and not b.flags.c_contiguous):
        return "weights that are not contiguous"
    dtype, (O, per) = FLOATS[x.dtype], w.shape[:2]
    sizes, places = three(x.shape[2:], 1), three(places, 1)
    wide, launch = of_three_axes(window), _Building(dtype)
    name = f"conv{'_pooled' * written.pooled}_{written.activation}_{dtype}"
    if winograd.fits(wide, groups, per, O, places, dtype):
        weights = winograd.Weights(address(w), per, O, 9, 9 * per, False)
        before = wide.padding[1][0], wide.padding[2][0]
        winograd.forward(launch, steps_of(x), sizes, before, weights, written, places, len(x))
        return launch.launch(name)
    source = steps_of(x)
    if not written.pooled and pointwise.fits(window, 1, x, out):  # all places as one row
        sizes = places = (1, 1, math.prod(places))
        source, written = source.as_rows(), written._replace(out=written.out.as_rows())
    planes, total = forward_layout(wide, per, sizes, places)
    if written.pooled and (written.out.axes[2] != 1 or 2 * planes.pitches[1] > kernels.CHUNK):
        return "results whose rows are too long, or whose places lie apart"
    job = launch.packed(w, groups, O // groups, total, (O // groups * total.offsets.size, total.offsets.size))
    work = len(x) * O * math.prod(places) * total.offsets.size
    launch.sums(source, planes, per, groups, [job], written, len(x), work)
    return launch.launch(name)


class Written(NamedTuple):
    """What becomes of a sum."""

    out: Steps
    z: int = 0
    bias: int = 0
    activation: str = "identity"
    scalars: Sequence[float] = ()
    pooled: bool = False  # of each 2 by 2 places of an image the greatest


class _Building:
    """A launch while it is put together."""

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self.size = np.dtype(dtype).itemsize
        self.rooms = Rooms()
        self.stages: list[list[Call]] = []
        self._packing: list[Call] = []
        self.alive: list[Any] = [self.rooms.own]  # not what a program's later instructions use again

    def launch(self, name: str) -> Launch:
        """All stages."""
        return Launch(name, [stage for stage in self.stages if stage], *self.alive)

    def table(self, calls: int, nbytes: int) -> int:
        """The address of a table of rooms that so many calls take turns at."""
        at, alive = self.rooms.table(calls, nbytes)
        self.alive.append(alive)
        return at

    def threads(self, work: int) -> int:
        """How many threads share so many multiplications."""
        return get_num_threads() if work >= SHARED else 1

    def call(self, kernel: Any, arguments: Sequence[int]) -> Call:
        """A call that others know by address."""
        made = new_call(kernel, arguments)
        self.alive.append(made)
        return made

    def in_turn(self, calls: Sequence[Call]) -> Call:
        """One call that makes these, one after the other."""
        stages, table = (ctypes.c_int64 * 2)(0, len(calls)), (ctypes.c_int64 * (2 * len(calls)))()
        for k, made in enumerate(calls):
            table[2 * k : 2 * k + 2] = [made.kernel.address, ctypes.addressof(made.block)]
        self.alive += [stages, table, *calls]
        return new_call(runner_kernel(), [ctypes.addressof(stages), ctypes.addressof(table), 1, 1, 0])

    def packed(self, w: np.ndarray, groups: int, channels: int, total: Sum, steps: tuple[int, int]) -> _Job:
        """Weights in the order of tiles; ``steps`` are those from group to group and from channel to channel."""
        R, K = kernels.rows_for(channels), total.offsets.size
        tiles = -(-channels // R)
        at = self.rooms.take(max(groups * tiles * R * K, 1) * self.size)
        self.alive.append(total)
        if not self._packing:
            self.stages.append(self._packing)
        arguments = [address(w), at, groups, channels, K, R, *steps, address(total.places)]
        self._packing.append(new_call(kernels.pack_kernel(self.dtype), arguments))
        return _Job(total, at, channels)

    def planes(self, x: Steps, planes: Planes, channels: int) -> Call:
        """The copy of one image's group, to where its caller says."""
        arguments = [x.at, 0, channels, x.channel, *planes.sizes, *x.axes, *planes.before, *planes.stride]
        tail = planes.tail(self.dtype)
        arguments += [*planes.plane, planes.channel, tail, 1, *planes.kept]
        return self.call(planes_kernel(self.dtype), arguments)

    def sums(
        self, x: Steps, planes: Planes, channels: int, groups: int, jobs: Sequence[_Job], written: Written, images: int,
        work: int,
    ) -> None:  # fmt: skip
        """A stage in which threads share the images; of a single one, the channels of the result."""
        threads = self.threads(work)
        parts = [(0, jobs[0].channels)]
        if images < threads:
            parts = list(shares(jobs[0].channels, kernels.rows_for(jobs[0].channels), -(-threads // images)))
        pieces = list(shares(images, 1, 2 * threads if images >= 4 * threads else threads))
        calls, room = len(pieces) * len(parts), 0
        if not planes.are(x, self.dtype):
            room = self.table(calls, planes.size(channels, self.dtype) * self.size)
        self.stages.append([
            self._images(
                x._replace(at=x.at + piece[0] * x.sample * self.size), planes, channels, groups, jobs, written, piece,
                part, room,
            )
            for piece, part in itertools.product(pieces, parts)
        ])  # fmt: skip

    def _images(
        self, x: Steps, planes: Planes, channels: int, groups: int, jobs: Sequence[_Job], written: Written,
        images: tuple[int, int], part: tuple[int, int], room: int,
    ) -> Call:  # fmt: skip
        copy = self.planes(x, planes, channels)
        out, rows = written.out, []
        for job in jobs:
            R, K = kernels.rows_for(job.channels), job.sum.offsets.size
            kernel = kernels.forward_kernel(self.dtype, written.activation, R, written.pooled)
            o, some = part
            at = images[0] * out.sample + o * out.channel
            at = (at + sum(n * step for n, step in zip(job.sum.first, out.axes, strict=True))) * self.size
            steps = [n * step for n, step in zip(job.sum.step, out.axes, strict=True)]
            boxes = [ctypes.c_double(s) for s in written.scalars]
            self.alive.append(boxes)
            bias = written.bias + o * self.size if written.bias else 0
            pitches = planes.pitches[:2]
            weights = job.weights + o * K * self.size
            own = self.call(kernel, [
                0, weights, address(job.sum.offsets), K, out.at + at, written.z and written.z + at, some,
                out.channel, *steps, *job.sum.sizes, *pitches, bias, *(ctypes.addressof(box) for box in boxes),
            ])  # fmt: skip
            group = -(-job.channels // R) * R * K * self.size
            rows += [kernel.address, ctypes.addressof(own.block), out.sample * self.size]
            rows += [job.channels * out.channel * self.size, group, job.channels * self.size]
        found = (ctypes.c_int64 * len(rows))(*rows)  # a block, not an array: it has addresses of blocks
        self.alive.append(found)
        return new_call(kernels.images_kernel(), [
            copy.kernel.address, ctypes.addressof(copy.block), ctypes.addressof(found), len(jobs), images[1], groups,
            x.sample * self.size, channels * x.channel * self.size, room,
        ])  # fmt: skip


# ---- gradients -------------------------------------------------------------------------------------------------------


def conv_grad(
    x: np.ndarray, w: np.ndarray, kept: np.ndarray, dy: np.ndarray, window: Window, groups: int, activation: str,
    dz: np.ndarray, dx: np.ndarray | None, dw: np.ndarray | None, db: np.ndarray | None, add: tuple[bool, bool],
    scalars: Sequence[float] = (),
) -> Launch | str:  # fmt: skip
    """Floats of one type; weights and their gradients contiguous; dy, kept and dz laid out alike."""
    refused = _refused(groups, x, w, dy, dz, dx, dw, db)
    if refused:
        return refused
    if any(a is not None and not a.flags.c_contiguous for a in (w, dw, db)):
        return "weights that are not contiguous"
    dtype = FLOATS[x.dtype]
    launch = _Building(dtype)
    if activation != "identity":
        made = _activation_grad(activation, dy, kept, dz, scalars)
        if isinstance(made, str):
            return made
        launch.stages += [list(stage) for stage in made.stages]
        launch.alive.append(made)
    wide = of_three_axes(window)
    if pointwise.fits(window, groups, x, dz, dx):
        pointwise.gradients(launch, x, w, dz, dx, dw, db, add, PARTS)
        return launch.launch(f"conv_grad_{activation}_{dtype}")
    if dw is not None or db is not None:
        _weights(launch, x, dz, wide, groups, w.shape, dw, db, add)
    if dx is not None:
        _inputs(launch, w, dz, wide, groups, dx)
    return launch.launch(f"conv_grad_{activation}_{dtype}")


def _activation_grad(
    activation: str, dy: np.ndarray, kept: np.ndarray, dz: np.ndarray, scalars: Sequence[float]
) -> Launch | str:
    arrays = [dy, kept, dz]
    if not all(a.flags.c_contiguous for a in arrays):
        arrays = [np.moveaxis(a, 1, -1) for a in arrays]
    return elementwise.map(f"{ACTIVATIONS[activation]}_grad", arrays[:2], arrays[2:], scalars)


def _inputs(launch: _Building, w: np.ndarray, dz: np.ndarray, window: Window, groups: int, dx: np.ndarray) -> None:
    """dx: for each remainder of its places a sum over planes of dz."""
    (O, per), taps = w.shape[:2], math.prod(w.shape[2:])
    outputs, sizes, places = O // groups, three(dx.shape[2:], 1), three(dz.shape[2:], 1)
    if winograd.fits(window, groups, O, per, sizes, launch.dtype):
        weights = winograd.Weights(address(w), O, per, 9 * per, 9, True)
        before = 2 - window.padding[1][0], 2 - window.padding[2][0]
        winograd.forward(launch, steps_of(dz), places, before, weights, Written(steps_of(dx)), sizes, len(dx))
        return
    planes, sums = backward_layout(window, outputs, per, sizes, places)
    jobs = [launch.packed(w, groups, per, total, (outputs * per * taps, taps)) for total in sums]
    work = dz.size * per * taps
    launch.sums(steps_of(dz), planes, outputs, groups, jobs, Written(steps_of(dx)), len(dx), work)


def _weights(
    launch: _Building, x: np.ndarray, dz: np.ndarray, window: Window, groups: int, shape: tuple[int, ...],
    dw: np.ndarray | None, db: np.ndarray | None, add: tuple[bool, bool],
) -> None:  # fmt: skip
    """dw and db: made in parts of the images, and the parts added up."""
    B, O, K = len(x), shape[0], 0 if dw is None else math.prod(shape[1:])
    sizes, places, bias = three(x.shape[2:], 1), three(dz.shape[2:], 1), int(db is not None)
    fast = K > 0 and winograd.fits(window, groups, shape[1], O, places, launch.dtype)
    pieces = list(shares(B, 1, winograd.parts(shape[1], O, PARTS, launch.dtype) if fast else PARTS))
    step = O * (K + 1)
    parts = launch.rooms.take(len(pieces) * step * launch.size)
    into = [(*piece, parts + number * step * launch.size) for number, piece in enumerate(pieces)]
    if fast:
        before = window.padding[1][0], window.padding[2][0]
        winograd.gradient(launch, steps_of(x), sizes, before, steps_of(dz), places, into, (O, shape[1]), bias)
    else:
        _products(
            launch, steps_of(x), sizes, steps_of(dz), places, into, window, groups, (O // groups, shape[1], K), bias
        )
    adding, ends = sum_kernel(launch.dtype), []
    for out, first, n, added in ((dw, 0, O * K, add[0]), (db, O * K, O, add[1])):
        if out is not None:
            for begin, count in shares(n, 64, launch.threads(n * len(pieces) * TOGETHER)):
                at, to = parts + (first + begin) * launch.size, address(out) + begin * launch.size
                ends.append(new_call(adding, [at, to, len(pieces), count, step, int(added)]))
    launch.stages.append(ends)


def _products(
    launch: _Building, x: Steps, sizes: Sizes, dz: Steps, places: Sizes, into: Sequence[tuple[int, int, int]],
    window: Window, groups: int, shape: tuple[int, int, int], bias: int,
) -> None:  # fmt: skip
    """Products of planes of dz and of x. ``into``: for each part its first image, how many, and where it goes."""
    dtype, size, W, (O, per, K) = launch.dtype, launch.size, lanes(launch.dtype), shape
    planes, total = forward_layout(window, per, sizes, places)
    last = sum((n - 1) * pitch for n, pitch in zip(places, planes.pitches, strict=True))
    F = -(-(last + 1) // W) * W
    others = Planes(places, (0, 0, 0), (1, 1, 1), (places[0], *planes.plane[1:]), F)
    x_image, dz_image = planes.size(per, dtype), O * F
    launch.alive.append(total)
    kernel, stage = kernels.weights_kernel(dtype, kernels.weight_rows(O)), []
    most = max(1, min(max(count for _, count, _ in into), second_cache() // NEAR // ((x_image + dz_image) * size)))
    room = launch.table(len(into), (most * (x_image + dz_image) + others.tail(dtype)) * size)
    for b, count, part in into:
        copies = [
            launch.planes(x._replace(at=x.at + b * x.sample * size), planes, per),
            launch.planes(dz._replace(at=dz.at + b * dz.sample * size), others, O),
        ]
        stage.append(new_call(kernel, [
            *(place for copy in copies for place in (copy.kernel.address, ctypes.addressof(copy.block))), count, most,
            groups, x.sample * size, per * x.channel * size, dz.sample * size, O * dz.channel * size, x_image, dz_image,
            part, address(total.offsets), O, K, F, bias, room, most * x_image * size,
        ]))  # fmt: skip
    launch.stages.append(stage)
