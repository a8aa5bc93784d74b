"""Convolutions by single places: an image is a matrix of channels by places, so their gradients are its products.

These are made by the tiles of ``kernels.cpu.products``, out of the images as they lie; the planes of ``convolution``
would be copies of them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nnkit.backends.cpu.launch import Call, address, new_call, shares
from nnkit.backends.windows import Window
from nnkit.kernels.cpu import deep, products, reductions
from nnkit.kernels.cpu.linear import bias_grad_kernel

#: Places from which on a row of them fills tiles well.
PLACES = 64


def fits(window: Window, groups: int, *images: np.ndarray | None) -> bool:
    """Whether a convolution of these arrays, (B, channels, *places), is one of matrices as they lie."""
    given = [a for a in images if a is not None]
    if groups != 1 or {*window.kernel, *window.stride} != {1} or any(n for pair in window.padding for n in pair):
        return False
    return math.prod(given[0].shape[2:]) >= PLACES and all(a[0].flags.c_contiguous for a in given)


def gradients(
    launch: Any, x: np.ndarray, w: np.ndarray, dz: np.ndarray, dx: np.ndarray | None, dw: np.ndarray | None,
    db: np.ndarray | None, add: tuple[bool, bool], most: int,
) -> None:  # fmt: skip
    """The stages of them; dw is made in at most so many parts of the images, which are added up in turn."""
    (B, O), C = dz.shape[:2], w.shape[1]
    parts = list(shares(B, 1, most))
    threads = launch.threads(dz.size * C)
    cuts = 1 if len(parts) >= threads else threads
    sums = 0 if dw is None else launch.rooms.take(len(parts) * O * C * launch.size)
    rows = 0 if db is None else launch.rooms.take(B * O * launch.size)
    stage = []
    for number, (first, count) in enumerate(parts):
        own = sums + number * O * C * launch.size
        images = range(first, first + count)
        if dw is not None:
            stage += [launch.in_turn(_weights(x, dz, images, own, some)) for some in shares(O, 8, cuts)]
        if dx is not None:
            stage += [launch.in_turn(_inputs(w, dz, images, dx, some)) for some in shares(C, 8, cuts)]
        if db is not None:
            stage.append(launch.in_turn(_rows(dz, images, rows)))
    launch.stages.append(stage)
    ends = []
    if dw is not None:
        kernel, size = deep.sum_kernel(launch.dtype), launch.size
        ends += [
            new_call(kernel, [sums + i * size, address(dw) + i * size, len(parts), n, O * C, int(add[0])])
            for i, n in shares(O * C, 64, launch.threads(O * C * len(parts)))
        ]
    if db is not None:
        ends.append(new_call(bias_grad_kernel(launch.dtype), [rows, address(db), B, O, int(add[1])]))
    launch.stages.append(ends)


def _weights(x: np.ndarray, dz: np.ndarray, images: range, to: int, some: tuple[int, int]) -> list[Call]:
    """Some rows of dz x^T, added up over images; both along their places."""
    (C, *_), P, (first, rows), size = x.shape[1:], math.prod(x.shape[2:]), some, x.itemsize
    kernel = products.dot_kernel(str(x.dtype))
    return [
        new_call(kernel, [
            address(dz[b]) + first * P * size, address(x[b]), to + first * C * size, rows, C, P, P, P, C, 0, 0,
            int(b > images[0]),
        ])
        for b in images
    ]  # fmt: skip


def _inputs(w: np.ndarray, dz: np.ndarray, images: range, dx: np.ndarray, some: tuple[int, int]) -> list[Call]:
    """Some rows of w^T dz for each image."""
    (O, C), P, (first, rows), dtype = w.shape[:2], math.prod(dz.shape[2:]), some, str(dz.dtype)
    kernel, others = deep.deep_kernel(dtype), [products.outer_kernel(dtype).address, products.depth(dtype)]
    return [
        new_call(kernel, [
            address(w) + first * w.itemsize, address(dz[b]), address(dx[b]) + first * P * w.itemsize, rows, P, O, 1, C,
            P, P, 0, 0, *others,
        ])
        for b in images
    ]  # fmt: skip


def _rows(dz: np.ndarray, images: range, to: int) -> list[Call]:
    """The sums of each channel over an image's places."""
    O, P = dz.shape[1], math.prod(dz.shape[2:])
    kernel = reductions.reduce_kernel("sum", str(dz.dtype), True)
    return [new_call(kernel, [O, P, 1, address(dz[b]), to + b * O * dz.itemsize]) for b in images]
