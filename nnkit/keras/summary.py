"""The table that ``model.summary()`` prints: each layer's output shape and number of parameters.

Drawn as Keras 3 draws it, 76 columns wide with box characters, or with ``+ - |`` where the output's encoding
has none. Where a model is no plain chain, a column tells what each layer is connected to.
"""

from __future__ import annotations

import itertools
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from nnkit.tensors.tensor import Tensor

__all__ = ["kind_of", "readable_size", "shape_text", "summary_text"]

ASCII = str.maketrans("┏┳┓┡╇┩├┼┤└┴┘━─┃│…", "+" * 12 + "--||~")
ALIGNED = {"Param #": ">", "Trainable": "^"}
#: Heading, and where its column ends, as a share of the line: of a chain, and of other graphs.
CHAIN = (("Layer (type)", 0.45), ("Output Shape", 0.80), ("Param #", 1.0))
GRAPH = (("Layer (type)", 0.3), ("Output Shape", 0.56), ("Param #", 0.74), ("Connected to", 1.0))


def summary_text(
    model: Any,
    line_length: int = 76,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: Any = None,
) -> str:
    """The whole summary of a model; the arguments are those of ``Model.summary``."""
    graph = getattr(model, "_graph", None)
    chain = graph is None or _is_chain(graph)
    shapes = model._layer_output_shapes()
    parts = list(zip(model.layers if graph is None else graph.operations, shapes, strict=True))
    rows = []
    for part, shape in parts[_chosen(parts, layer_range)]:
        rows += _rows(part, shape, None if chain else graph, expand_nested)
    columns = list(CHAIN if chain else GRAPH)
    if show_trainable:
        columns = [*((name, end * 0.9) for name, end in columns), ("Trainable", 1.0)]
    cells = [row if show_trainable else row[:-1] for row in rows]
    lines = [f'Model: "{model.name}"', *_table(cells, columns, line_length)]
    trainable, frozen = model.trainable_weights, model.non_trainable_weights
    for label, weights in (("Total", [*trainable, *frozen]), ("Trainable", trainable), ("Non-trainable", frozen)):
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


# ---- rows -----------------------------------------------------------------------------------------------------


def kind_of(part: Any) -> str:
    """The class of a layer; of a function its name as Keras writes a class: ``get_item`` as ``GetItem``."""
    if hasattr(part, "called"):
        name = part.called.rpartition(".")[2].strip("_")
        return "".join(word.capitalize() for word in name.split("_"))
    name = type(part).__name__
    return "Functional" if name == "Model" and part.is_functional else name


def shape_text(shape: Any) -> str:
    """A shape, or a list of them, as people read it; "?" where it is not known."""
    if shape is None:
        return "?"
    if isinstance(shape, dict):
        return "{" + ", ".join(f"{name}: {shape_text(part)}" for name, part in shape.items()) + "}"
    if any(isinstance(part, (tuple, list)) for part in shape):
        return "[" + ", ".join(map(shape_text, shape)) + "]"
    return f"({', '.join(map(str, shape))})"


def _rows(part: Any, shape: Any, graph: Any, expand: bool, level: int = 0) -> list[tuple[str, ...]]:
    """The row of a layer, and those of the layers in it; the last cell tells whether it is trained."""
    weights = part.weights if hasattr(part, "weights") else []
    built = getattr(part, "built", True)
    cells = [
        ("   " * level + "└ " if level else "") + f"{part.name} ({kind_of(part)})",
        shape_text(shape),
        (f"{_count(weights)[0]:,}" if built else "0 (unbuilt)"),
    ]
    if graph is not None:
        cells.append("-" if level else _connections(part, graph))
    cells.append("-" if not weights else "Y" if part.trainable else "N")
    rows = [tuple(cells)]
    if expand and hasattr(part, "_layer_output_shapes"):
        inner = getattr(part, "_graph", None)
        for own, its in zip(
            part.layers if inner is None else inner.operations, part._layer_output_shapes(), strict=True
        ):
            rows += _rows(own, its, graph, expand, level + 1)
    return rows


def _connections(part: Any, graph: Any) -> str:
    found = [
        f"{tensor.node.operation.name}[{tensor.node.number}][{tensor.index}]"
        for node in graph.uses(part)
        for tensor in node.inputs
        if tensor.node is not None
    ]
    return ", ".join(found) or "-"


def _is_chain(graph: Any) -> bool:
    """Whether each part is used once, and has one input."""
    parts = [node.operation for node in graph.nodes]
    once = len({id(part) for part in parts}) == len(parts) and len(graph.flat_inputs) == 1
    read = [id(tensor) for node in graph.nodes for tensor in node.inputs]
    return once and all(len(node.inputs) == 1 for node in graph.nodes) and len(set(read)) == len(read)


def _chosen(parts: Sequence[tuple[Any, Any]], layer_range: Any) -> slice:
    """Which rows ``layer_range`` asks for: names, or patterns, of the first and of the last."""
    if layer_range is None:
        return slice(None)
    if len(layer_range) != 2:
        raise ValueError(f"layer_range must be a list of two layer names, got {layer_range!r}")
    ends = []
    for wanted in layer_range:
        ends.append([place for place, (part, _) in enumerate(parts) if re.match(wanted, part.name)])
        if not ends[-1]:
            raise ValueError(f"layer_range: no layer's name matches {wanted!r}; they are {[p.name for p, _ in parts]}")
    return slice(min(ends[0] + ends[1]), max(ends[0] + ends[1]) + 1)


# ---- the table ------------------------------------------------------------------------------------------------


def _widths(ends: Sequence[float], line_length: int) -> list[int]:
    """The widths of the columns with a space on either side; what borders and spaces take is shared out equally."""
    places = [int(end * line_length) for end in ends]
    widths = [place - before + 2 for before, place in zip([0, *places], places, strict=False)]
    excess = sum(widths) + len(widths) + 1 - line_length
    for number in range(len(widths)):
        share = round(excess / (len(widths) - number))
        widths[number] -= share
        excess -= share
    if min(widths) < 4:
        raise ValueError(f"summary: line_length={line_length} is too narrow for {len(widths)} columns")
    return widths


def _table(rows: Sequence[tuple[str, ...]], columns: Sequence[tuple[str, float]], line_length: int) -> list[str]:
    widths = _widths([end for _, end in columns], line_length)
    headings = [name for name, _ in columns]

    def rule(left: str, line: str, crossing: str, right: str) -> str:
        return left + crossing.join(line * width for width in widths) + right

    def cells(texts: Iterable[str], bar: str) -> list[str]:
        """One line, or more where a text is wider than its column."""
        parted = [_wrapped(text, width - 2) for text, width in zip(texts, widths, strict=True)]
        lines = []
        for parts in itertools.zip_longest(*parted, fillvalue=""):
            aligned = [
                f"{part:{ALIGNED.get(name, '<')}{width - 2}}"
                for part, width, name in zip(parts, widths, headings, strict=True)
            ]
            lines.append(f"{bar} " + f" {bar} ".join(aligned) + f" {bar}")
        return lines

    lines = [rule("┏", "━", "┳", "┓"), *cells(headings, "┃"), rule("┡", "━", "╇", "┩")]
    for position, row in enumerate(rows):
        lines += [rule("├", "─", "┼", "┤")] * (position > 0)
        lines += cells(row, "│")
    return [*lines, rule("└", "─", "┴", "┘")]


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of at most ``width``; of a word that is longer, as much as fits."""
    indent = text[: len(text) - len(text.lstrip())]
    lines = textwrap.wrap(text.strip(), max(width - len(indent), 1), break_long_words=False, break_on_hyphens=False)
    lines = [indent + line if place == 0 else line for place, line in enumerate(lines)] or [""]
    return [line if len(line) <= width else line[: width - 1] + "…" for line in lines]


def _count(weights: Sequence[Tensor]) -> tuple[int, int]:
    """How many numbers the weights are, and how many bytes."""
    counts = [weight.numel() for weight in weights]
    return sum(counts), sum(n * weight.dtype.itemsize for n, weight in zip(counts, weights, strict=True))


def _can_print(text: str) -> bool:
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
