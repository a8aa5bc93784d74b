"""The table that ``model.summary()`` prints: each layer's output shape and number of parameters.

Drawn as Keras 3 draws it, 76 columns wide with box characters, or with ``+ - |`` where the output's encoding
has none.
"""

from __future__ import annotations

import itertools
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from nnkit.tensor import Tensor

if TYPE_CHECKING:
    from nnkit.keras.layer import Layer, Shape

__all__ = ["readable_size", "summary_text"]

HEADINGS = ("Layer (type)", "Output Shape", "Param #")
ASCII = str.maketrans("┏┳┓┡╇┩├┼┤└┴┘━─┃│", "+" * 12 + "--||")


def summary_text(
    name: str, layers: Sequence[Layer], output_shapes: Sequence[Shape | None], line_length: int = 76
) -> str:
    """The whole summary. ``output_shapes`` holds None for layers that are not built."""
    rows = [_row(layer, shape) for layer, shape in zip(layers, output_shapes, strict=True)]
    trainable = [weight for layer in layers for weight in layer.trainable_weights]
    frozen = [weight for layer in layers for weight in layer.non_trainable_weights]
    lines = [f'Model: "{name}"', *_table(rows, line_length)]
    for label, weights in (
        ("Total", [*trainable, *frozen]),
        ("Trainable", trainable),
        ("Non-trainable", frozen),
    ):
        count, size = _count(weights)
        lines.append(f" {label} params: {count:,} ({readable_size(size)})")
    text = "\n".join(lines)
    return text if _can_print(text) else text.translate(ASCII)


def readable_size(size: float) -> str:
    """A number of bytes in the largest unit that keeps it at 1 or more.

    >>> readable_size(101770 * 4), readable_size(0)
    ('397.54 KB', '0.00 B')
    """
    units = ["B", "KB", "MB", "GB", "TB"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        units.pop(0)
    return f"{size:.2f} {units[0]}"


def _row(layer: Layer, shape: Shape | None) -> tuple[str, str, str]:
    return (
        f"{layer.name} ({type(layer).__name__})",
        "?" if shape is None else f"({', '.join(map(str, shape))})",
        f"{layer.count_params():,}" if layer.built else "0 (unbuilt)",
    )


def _table(rows: Sequence[tuple[str, str, str]], line_length: int) -> list[str]:
    first, last = int(0.45 * line_length) - 1, int(0.2 * line_length)
    widths = (first, line_length - 4 - first - last, last)

    def rule(left: str, line: str, crossing: str, right: str) -> str:
        return left + crossing.join(line * width for width in widths) + right

    def cells(texts: Iterable[str], bar: str) -> list[str]:
        """One line, or more where a text is wider than its column."""
        parted = [textwrap.wrap(text, max(width - 2, 1)) for text, width in zip(texts, widths, strict=True)]
        lines = []
        for name, shape, count in itertools.zip_longest(*parted, fillvalue=""):
            padded = (f"{name:<{widths[0] - 2}}", f"{shape:<{widths[1] - 2}}", f"{count:>{widths[2] - 2}}")
            lines.append(f"{bar} " + f" {bar} ".join(padded) + f" {bar}")
        return lines

    lines = [rule("┏", "━", "┳", "┓"), *cells(HEADINGS, "┃"), rule("┡", "━", "╇", "┩")]
    for position, row in enumerate(rows):
        lines += [rule("├", "─", "┼", "┤")] * (position > 0)
        lines += cells(row, "│")
    return [*lines, rule("└", "─", "┴", "┘")]


def _count(weights: Sequence[Tensor]) -> tuple[int, int]:
    """How many numbers the weights are, and how many bytes."""
    counts = [weight.numel() for weight in weights]
    return sum(counts), sum(n * weight.dtype.itemsize for n, weight in zip(counts, weights, strict=True))


def _can_print(text: str) -> bool:
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
