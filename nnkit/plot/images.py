"""Filters of a layer, and feature maps: many small images side by side, in one picture."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np

from nnkit.nn.module import Module
from nnkit.plot.display import Display, panels, shorten, spread_ticks
from nnkit.plot.models import array_of, layers_of, named, outputs_of, part_of

__all__ = ["FeatureMapDisplay", "FilterDisplay"]

MOST = 64  # images that are shown


class _Tiles(Display):
    """``images`` (n, height, width), or of three colours (n, height, width, 3), in rows; their numbers at the edges."""

    colours = "viridis"

    def __init__(self, images: np.ndarray, title: str = "", count: int | None = None) -> None:
        self.images = np.asarray(images, np.float64)
        self.title = title
        #: How many there are, of which ``images`` are the first.
        self.count = len(self.images) if count is None else count

    def plot(self, *, ax: Any = None) -> Self:
        """Draw into a new figure, or into ``ax``."""
        shown, height, width = self.images.shape[:3]
        columns = max(1, min(shown, round(math.sqrt(shown * height / width)) or 1))
        rows = math.ceil(shown / columns)
        across, down = columns * width, rows * height
        size = 6.0 / max(across, down)
        (axis,) = panels(ax, 1, 1, (max(2.6, across * size) + 1.3, max(1.8, down * size) + 0.9))
        whole = self._joined(rows, columns)
        low, high = self._limits()
        kind = {} if self.images.ndim == 4 else {"cmap": self.colours, "vmin": low, "vmax": high}
        image = axis.imshow(whole, interpolation="nearest", **kind)
        if self.images.ndim == 3:
            axis.figure.colorbar(image, ax=axis, fraction=0.05, pad=0.03)
        across_ticks, down_ticks = spread_ticks(columns, 16), spread_ticks(rows, 16)
        axis.set_xticks([(place + 0.5) * (width + 1) - 1 for place in across_ticks], [f"+{n}" for n in across_ticks])
        axis.set_yticks([(place + 0.5) * (height + 1) - 1 for place in down_ticks], [n * columns for n in down_ticks])
        axis.tick_params(length=0, labelsize=8)
        axis.spines[:].set_visible(False)
        axis.set_facecolor("#d8d8d8")
        more = f", the first {shown} of {self.count}" if self.count > shown else ""
        axis.set_title(f"{shorten(self.title, 44)}{more}", fontsize=10)
        self._drawn([axis])
        return self

    def _joined(self, rows: int, columns: int) -> np.ndarray:
        """All images as one, a line of NaN between two."""
        count, height, width, *rest = self.images.shape
        empty = 0.85 if rest else np.nan
        whole = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, *rest), empty)
        for number in range(count):
            top, left = number // columns * (height + 1), number % columns * (width + 1)
            whole[top : top + height, left : left + width] = self.images[number]
        return whole

    def _limits(self) -> tuple[float, float]:
        finite = self.images[np.isfinite(self.images)]
        return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)


class FilterDisplay(_Tiles):
    """The filters of a convolution, blue below 0 and red above; or the weights of a layer, as images of a given shape.

    Filters of three input channels are in their colours, of others the mean. ``images`` have shape (n, height,
    width), of any dtype of numbers. Raises ValueError where there is no convolution. Source: scikit-learn's
    displays.

    >>> import nnkit
    >>> from nnkit.plot import FilterDisplay
    >>> FilterDisplay.from_model(nnkit.nn.Conv2d(1, 6, 3)).images.shape
    (6, 3, 3)
    """

    colours = "RdBu_r"

    @classmethod
    def from_model(
        cls, model: Any, layer: Any = None, *, shape: tuple[int, int] | None = None, most: int = MOST, ax: Any = None
    ) -> Self:
        """Draw the filters of ``layer``, by name or itself; of the first convolution of images unless given.

        ``shape``: what a row of a dense layer's weights is as an image, (28, 28). Raises ValueError where there is no
        such layer, or the weights are no images.
        """
        name, part = part_of(model, layer, lambda module: _filters(module) is not None, "convolution of images")
        weights = _filters(part)
        if shape is not None:
            flat = getattr(part, "weight", None) if weights is None else None
            inner = next(iter(part.parameters()), None) if flat is None else flat
            rows = array_of(inner)
            if rows.ndim != 2 or rows.shape[1] != math.prod(shape):
                raise ValueError(f"shape: {shape} is no image of weights of shape {rows.shape}")
            weights = rows.reshape(-1, 1, *shape)
        if weights is None:
            raise ValueError(f"layer: {name!r} has no filters over images; pass shape= for a dense layer")
        count, channels = weights.shape[:2]
        chosen = weights[:most]
        if channels == 3:
            spread = float(np.abs(chosen[np.isfinite(chosen)]).max(initial=0.0)) or 1.0
            images = np.clip(chosen.transpose(0, 2, 3, 1) / (2.0 * spread) + 0.5, 0.0, 1.0)
        else:
            images = chosen.mean(1)
        over = f", mean of {channels} channels" if channels not in (1, 3) else ""
        return cls(images, f"{named(name, part)}{over}", count).plot(ax=ax)

    def _limits(self) -> tuple[float, float]:
        low, high = super()._limits()
        most = max(abs(low), abs(high)) or 1.0
        return -most, most


class FeatureMapDisplay(_Tiles):
    """What a layer of a convolutional net makes of one image: a map for each channel.

    ``images`` have shape (n, height, width), of any dtype of numbers. Raises ValueError where no layer returns images.
    Source: scikit-learn's displays.

    >>> import nnkit, numpy as np
    >>> from nnkit.plot import FeatureMapDisplay
    >>> FeatureMapDisplay.from_model(nnkit.nn.Conv2d(1, 6, 3), np.zeros((1, 1, 8, 8))).images.shape
    (6, 6, 6)
    """

    @classmethod
    def from_model(
        cls, model: Any, x: Any, layer: Any = None, *, sample: int = 0, most: int = MOST, ax: Any = None
    ) -> Self:
        """Run the model on ``x`` and draw what ``layer`` returns for one sample; the first that returns images unless
        given. Of Keras's layers the channels are last. Raises ValueError where it returns no images.
        """
        parts = layers_of(model)
        if layer is not None:
            name, part = part_of(model, layer, lambda module: True, "layer")
            parts = {named(name, part): part}
        found = outputs_of(model, x[sample : sample + 1], parts)
        title = next((name for name, output in found.items() if output.ndim == 4), None)
        if title is None:
            of = "no layer returns" if layer is None else f"{layer!r} does not return"
            raise ValueError(f"layer: {of} images (n, channels, height, width) for this input")
        maps = found[title][0]
        if hasattr(parts[title], "built"):  # Keras's layers, whose channels are last
            maps = maps.transpose(2, 0, 1)
        return cls(maps[:most], title, len(maps)).plot(ax=ax)


def _filters(module: Module) -> np.ndarray | None:
    """Weights (filters, channels, height, width); None for a module without such."""
    weight = module._parameters.get("weight")
    if weight is not None and weight.ndim == 4:
        return array_of(weight)
    return None
