"""What Keras's layers for images have in common: where the channels are, and how "same" pads.

nnkit's ops take (B, C, *S). Keras's arrays are (B, *S, C) unless ``data_format="channels_first"``; the ops see them
through a permuted view, and what they give lies in memory as what they took, so that no batch is transposed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Unpack

from nnkit.backends.windows import Window
from nnkit.errors import ShapeError, UnknownNameError
from nnkit.keras.config import image_data_format
from nnkit.keras.layer import Layer, LayerOptions, Shape
from nnkit.ops.images import places_of
from nnkit.tensors.tensor import Tensor

__all__ = ["DATA_FORMATS", "ImageLayer", "known_format", "known_padding", "places", "window_over"]

DATA_FORMATS = ("channels_last", "channels_first")
#: What the axes of places are called in messages.
AXES = {1: ("steps",), 2: ("height", "width"), 3: ("depth", "height", "width")}


def known_format(data_format: str | None) -> str:
    """What a ``data_format`` says: "channels_last" or "channels_first"; None is what ``keras.config`` has.

    Raises UnknownNameError.
    """
    if data_format is not None and data_format not in DATA_FORMATS:
        raise UnknownNameError("data_format", data_format, DATA_FORMATS)
    return data_format or image_data_format()


def known_padding(padding: Any, choices: Sequence[str] = ("valid", "same")) -> str:
    """The padding in small letters. Raises UnknownNameError.

    >>> known_padding("SAME")
    'same'
    """
    name = padding.lower() if isinstance(padding, str) else padding
    if name not in choices:
        raise UnknownNameError("padding", padding, choices)
    return str(name)


def window_over(
    sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int], padding: str, dilation: Sequence[int]
) -> Window:
    """The window over so many places: "same" has a window for each stride begun, and the odd place at the end.

    >>> window_over((4,), (3,), (2,), "same", (1,)).padding
    ((0, 1),)
    """
    around = []
    for n, k, step, apart in zip(sizes, kernel, strides, dilation, strict=True):
        spare = apart * (k - 1)
        if padding == "same":
            spare = max((-(-n // step) - 1) * step + spare + 1 - n, 0)
        before = {"valid": 0, "same": spare // 2, "causal": spare}[padding]
        around.append((before, spare - before if padding == "same" else 0))
    return Window(tuple(kernel), tuple(strides), tuple(around), tuple(dilation))


def places(
    name: str, sizes: Shape, kernel: Sequence[int], strides: Sequence[int], padding: str, dilation: Sequence[int]
) -> Shape:
    """How many windows there are along each axis; None where the size is. Raises ShapeError where none fits.

    >>> places("pool", (5, None), (2, 2), (2, 2), "same", (1, 1))
    (3, None)
    """
    known = [axis for axis, n in enumerate(sizes) if n is not None]
    kernel, strides, dilation = ([given[axis] for axis in known] for given in (kernel, strides, dilation))
    given = tuple(n for n in sizes if n is not None)
    found = iter(places_of(name, window_over(given, kernel, strides, padding, dilation), given))
    return tuple(None if n is None else next(found) for n in sizes)


class ImageLayer(Layer):
    """A layer over (B, *S, C), or (B, C, *S) with ``data_format="channels_first"``, with ``axes`` of places."""

    axes: ClassVar[int]

    def __init__(self, data_format: str | None = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.data_format = known_format(data_format)

    @property
    def _is_last(self) -> bool:
        return self.data_format == "channels_last"

    def parts_of(self, input_shape: Shape) -> tuple[int | None, Shape]:
        """The channels and the places of a shape. Raises ShapeError for another number of axes."""
        shape = tuple(input_shape)
        if len(shape) != self.axes + 2:
            names = AXES[self.axes]
            order = (*names, "channels") if self._is_last else ("channels", *names)
            raise ShapeError(
                f"{type(self).__name__} layer {self.name!r} needs inputs of shape (batch, {', '.join(order)}), "
                f"data_format={self.data_format!r}; got {shape}"
            )
        return (shape[-1], shape[1:-1]) if self._is_last else (shape[1], shape[2:])

    def shape_of(self, batch: int | None, channels: int | None, sizes: Shape) -> Shape:
        """The shape with so many channels and places."""
        return (batch, *sizes, channels) if self._is_last else (batch, channels, *sizes)

    def channels_first(self, x: Tensor) -> Tensor:
        """A view (B, C, *S) of an input. Raises ShapeError for another number of axes."""
        self.parts_of(x.shape)
        return x.permute(0, x.ndim - 1, *range(1, x.ndim - 1)) if self._is_last else x

    def as_given(self, y: Tensor) -> Tensor:
        """A result (B, C, *S) with its axes in the order of the input's."""
        return y.permute(0, *range(2, y.ndim), 1) if self._is_last else y

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format}
