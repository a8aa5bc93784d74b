"""Launches of convolutions by Winograd's way: when it is taken, and who makes which rows of tiles."""

from __future__ import annotations

import ctypes
import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nnkit.backends.cpu.axes import Steps
from nnkit.backends.cpu.launch import Call, new_call, shares
from nnkit.backends.pool import ALIGNMENT
from nnkit.backends.recording import recorder
from nnkit.backends.windows import Sizes, Window
from nnkit.kernels.cpu import winograd as kernels
from nnkit.kernels.cpu.target import second_cache
from nnkit.kernels.cpu.vectors import lanes
from nnkit.kernels.cpu.winograd_tiles import PLACES, tiles_kernel, weights_kernel

#: What the transforms of a channel's tile of x and of results cost beside a multiplication of the products.
TRANSFORMS = 72
#: Bytes that the sums of all parts of a gradient may take.
ROOM = 1 << 24
#: Images of a batch up to which transforming the weights takes long beside them.
FEW = 4


def fits(window: Window, groups: int, channels: int, outputs: int, places: Sizes, dtype: str) -> bool:
    """Whether a convolution, of three axes, is made faster so. It does not depend on the batch or the threads."""
    (k0, *kernel), (_, *places) = window.kernel, places  # type: ignore[assignment]
    if groups != 1 or k0 != 1 or kernel != [3, 3] or {*window.stride, *window.dilation} != {1}:
        return False
    if window.padding[0] != (0, 0) or any(not 0 <= n <= 2 for pair in window.padding for n in pair):
        return False
    W = lanes(dtype)
    C, O = (-(-n // W) * W for n in (channels, outputs))
    wasted = math.prod(n + n % 2 for n in places) / math.prod(places)
    return wasted * (16 * C * O + TRANSFORMS * (C + O)) < 36 * channels * outputs


class Tiles(NamedTuple):
    """The tiles of a convolution."""

    images: int
    height: int  # rows of tiles of an image
    width: int  # tiles of a row

    @property
    def rows(self) -> int:
        """Of all images."""
        return self.images * self.height

    def at_once(self, channels: int, dtype: str) -> int:
        """Rows of tiles whose transforms, of so many channels in all, leave three quarters of the second cache free."""
        most = second_cache() // 4 // (PLACES * channels * np.dtype(dtype).itemsize * self.width)
        return max(1, most)


def tiles_of(images: int, places: Sizes) -> Tiles:
    """The tiles that make so many results."""
    return Tiles(images, -(-places[1] // 2), -(-places[2] // 2))


class _Room(NamedTuple):
    """Where the transformed tiles of some rows lie."""

    channels: int
    tiles: Tiles
    once: int
    dtype: str

    @property
    def plane(self) -> int:
        """Elements from register to register of channels; a product may read and write some tiles more."""
        return (self.once * self.tiles.width + kernels.few_rows(kernels.tile_rows(1))) * lanes(self.dtype)

    @property
    def step(self) -> int:
        """Elements from place to place of a transformed tile."""
        return -(-self.channels // lanes(self.dtype)) * self.plane + kernels.APART

    @property
    def size(self) -> int:
        """Elements of all."""
        return PLACES * self.step


class _Source(NamedTuple):
    """What tiles are made of."""

    x: Steps
    sizes: Sizes
    before: tuple[int, int]
    of_gradient: bool

    def wide(self, room: _Room) -> int:
        """Places of a strip."""
        W = lanes(room.dtype)
        return max(2 * room.tiles.width + self.side - 2, self.before[1] + -(-self.sizes[2] // W) * W)

    @property
    def side(self) -> int:
        """Places of a tile, and rows of strips."""
        return 2 if self.of_gradient else 4

    def strips(self, room: _Room) -> int:
        """Elements of the strips."""
        W = lanes(room.dtype)
        return -(-room.channels // W) * W * self.side * self.wide(room)

    def call(self, launch: Any, room: _Room) -> Call:
        """The kernel that makes strips and transformed tiles where its caller says."""
        x, sizes, tiles = self.x, self.sizes, room.tiles
        made: Call = launch.call(tiles_kernel(room.dtype, self.of_gradient), [
            x.at, 0, 0, room.channels, *sizes[1:], *self.before, x.sample, x.channel, *x.axes[1:], tiles.height,
            tiles.width, 0, 0, self.wide(room), room.step, room.plane,
        ])  # fmt: skip
        return made


def _room(launch: Any, calls: int, sizes: Sequence[int]) -> tuple[int, int]:
    """A table of rooms of parts with so many elements, and where the distances of all but the first begin."""
    bytes_of = [-(-n * launch.size // ALIGNMENT) * ALIGNMENT for n in sizes]
    starts = list(itertools.accumulate(bytes_of))
    distances = (ctypes.c_int64 * len(starts))(*starts)
    launch.alive.append(distances)
    return launch.table(calls, starts[-1]), ctypes.addressof(distances)


class Weights(NamedTuple):
    """Weights (outputs, channels, 3, 3), or those of the gradient for the input: in elements, the steps along both."""

    at: int
    channels: int
    outputs: int
    channel: int
    output: int
    turned: bool


def forward(
    launch: Any, x: Steps, sizes: Sizes, before: tuple[int, int], weights: Weights, written: Any, places: Sizes,
    images: int,
) -> None:  # fmt: skip
    """The stages of a convolution: the weights' transform, and the rows of tiles. ``written`` is where it goes."""
    dtype, size, W = launch.dtype, launch.size, lanes(launch.dtype)
    C, O = weights.channels, weights.outputs
    N = kernels.panel(O, dtype)
    panels, channels = -(-O // (N * W)), -(-C // W)
    kept = _kept(launch, weights, images)
    room_of = launch.rooms.keep if kept else launch.rooms.take
    of_w = room_of(PLACES * panels * channels * W * N * W * size)
    tiles = tiles_of(images, places)
    threads = launch.threads(images * math.prod(places) * C * O * 9)
    launch.stages.append([
        new_call(weights_kernel(dtype, N), [
            weights.at, of_w, C, O, weights.channel, weights.output, int(weights.turned), first, count, panels, kept,
        ])
        for first, count in shares(panels, 1, threads if C * O >= 1 << 10 and not kept else 1)
    ])  # fmt: skip
    once = min(tiles.at_once(channels * W + panels * N * W, dtype), tiles.rows)
    kernel = kernels.forward_kernel(dtype, written.activation, N, kernels.tile_rows(N, tiles.width))
    boxes = [ctypes.c_double(s) for s in written.scalars]
    launch.alive.append(boxes)
    out, wide = written.out, max(2 * tiles.width, -(-places[2] // W) * W)
    room, sums = _Room(C, tiles, once, dtype), _Room(panels * N * W, tiles, once, dtype)
    source, pieces = _Source(x, sizes, before, False), list(shares(tiles.rows, 1, 2 * threads if threads > 1 else 1))
    needs = source.strips(room), room.size, sums.size, 4 * wide * W + panels * N * W
    table, stage = _room(launch, len(pieces), needs), []
    for first, count in pieces:
        mine = source.call(launch, room)
        stage.append(new_call(kernel, [
            mine.kernel.address, ctypes.addressof(mine.block), of_w, *table, written.bias, out.at, written.z,
            first, count, once, tiles.height, tiles.width, channels, O, *places[1:], out.sample, out.channel,
            *out.axes[1:], wide, room.step, room.plane, sums.step, int(written.pooled),
            *(ctypes.addressof(box) for box in boxes),
        ]))  # fmt: skip
    launch.stages.append(stage)


def _kept(launch: Any, weights: Weights, images: int) -> int:
    """Where a recorded launch keeps the weights that it has transformed, so that it need not do so in every run; or 0.

    Only where it takes a good part of the time, and where comparing them costs next to nothing.
    """
    nbytes = weights.channels * weights.outputs * 9 * launch.size
    if recorder() is None or weights.turned or images > FEW or nbytes > second_cache() // 4:
        return 0
    at: int = launch.rooms.keep(16 + nbytes)
    return at


def gradient(
    launch: Any, x: Steps, sizes: Sizes, before: tuple[int, int], dz: Steps, places: Sizes,
    into: Sequence[tuple[int, int, int]], shape: tuple[int, int], bias: int,
) -> None:  # fmt: skip
    """A stage of parts of the gradient of weights and bias: for each its first image, how many, where it goes."""
    dtype, W, (O, C) = launch.dtype, lanes(launch.dtype), shape
    N = kernels.weight_panel(C, dtype)
    channels, outputs = -(-C // W) * W, -(-O // W) * W
    tiles, stage = tiles_of(1, places), []
    rows = max(count for _, count, _ in into) * tiles.height
    once = min(tiles.at_once(channels + outputs, dtype), rows)
    of_x, of_dz = _Room(C, tiles, once, dtype), _Room(O, tiles, once, dtype)
    sources = _Source(x, sizes, before, False), _Source(dz, places, (0, 0), True)
    totals = PLACES * (outputs * channels + kernels.APART)
    needs = sources[0].strips(of_x), of_x.size, sources[1].strips(of_dz), of_dz.size, totals
    kernel = kernels.gradient_kernel(dtype, N)
    table, distances = _room(launch, len(into), needs)
    for b, count, part in into:
        mine, others = sources[0].call(launch, of_x), sources[1].call(launch, of_dz)
        stage.append(new_call(kernel, [
            mine.kernel.address, ctypes.addressof(mine.block), others.kernel.address, ctypes.addressof(others.block),
            table, part, b * tiles.height, count * tiles.height, once, tiles.width, C, O, of_x.step, of_dz.step,
            of_x.plane, bias, distances,
        ]))  # fmt: skip
    launch.stages.append(stage)


def parts(channels: int, outputs: int, most: int, dtype: str) -> int:
    """In how many parts the gradient of weights is added up over images: fewer where the weights are large."""
    W = lanes(dtype)
    each = PLACES * -(-channels // W) * W * -(-outputs // W) * W * np.dtype(dtype).itemsize
    return max(2, min(most, ROOM // each))
