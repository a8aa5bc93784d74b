"""Weights as TensorBoard shows them: how often which values come, and as an image."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnkit.utils.tensorboard.summaries import host

__all__ = ["add_weight", "weight_image"]

MOST_FILTERS = 64  # of a convolution that are shown


def add_weight(writer: Any, name: str, values: Any, step: int, image: bool = False) -> None:
    """Write ``values`` under ``name`` as "/histogram" and, where they can be one and it is asked for, as "/image".

    What has no finite value leaves nothing.
    """
    found = host(values)
    if np.isfinite(found).any():
        writer.add_histogram(f"{name}/histogram", found[np.isfinite(found)], step)
        shown = weight_image(found) if image else None
        if shown is not None:
            writer.add_image(f"{name}/image", shown, step, dataformats="HW")


def weight_image(values: np.ndarray) -> np.ndarray | None:
    """A matrix, or the filters of a convolution (out, in, height, width) side by side, from 0 to 1; else None.

    >>> weight_image(np.array([[-1.0, 0.0, 1.0]])).tolist(), weight_image(np.zeros(3))
    ([[0.0, 0.5, 1.0]], None)
    """
    if values.ndim == 4:
        _, channels, height, width = values.shape
        filters = values[:MOST_FILTERS].transpose(0, 2, 1, 3)  # a row of pictures for each filter, one for each channel
        edged = np.pad(filters, ((0, 0), (0, 1), (0, 0), (0, 1)), constant_values=np.nan)
        values = edged.reshape(-1, channels * (width + 1))[: len(filters) * (height + 1) - 1, :-1]
    if values.ndim != 2 or not values.size:
        return None
    least, most = float(np.nanmin(values)), float(np.nanmax(values))
    shown: np.ndarray = np.nan_to_num((values - least) / ((most - least) or 1.0), nan=1.0)
    return shown
