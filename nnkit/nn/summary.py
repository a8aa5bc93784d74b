"""``summary``: the layers of any Module, with the shapes, parameters, bytes and multiplications of one call.

The module runs once, in evaluation mode and without gradients, while every primitive is noted: so what is counted is
what runs, in layers of the user's own too. Counted are the multiplications of matrix products, convolutions, attention
and recurrent layers; what works element by element is not.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from nnkit.backends.recording import recording
from nnkit.nn.lookups import Yielding
from nnkit.nn.modes import own_modes
from nnkit.nn.module import Module
from nnkit.recording.structures import leaves
from nnkit.tensors.creation import as_tensor, zeros
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor

__all__ = ["Row", "Summary", "readable_size", "summary"]

Shape = tuple[int, ...]
HEADS = ("layer", "output", "parameters", "bytes", "multiplications")
LONGEST = 44  # letters of a name
MOST_ROWS = 40  # of a table in a notebook


class Row(NamedTuple):
    """One module of the tree. ``parameters`` and ``nbytes`` (with buffers) are its own, not those of its parts.

    ``output`` is the shape of its first call's output, or a list of several, None where it was not called. ``calls``
    counts all its calls, ``multiplications`` are those of all of them, without its parts'. ``same_as`` is the name
    under which it stands already, where it is shared.
    """

    name: str
    kind: str
    depth: int
    output: Any
    parameters: int
    trained: int
    nbytes: int
    multiplications: int | None
    calls: int
    same_as: str | None


class Summary:
    """A table of a module's ``rows``; printed, and shown in notebooks.

    ``parameters``, ``trained`` and ``nbytes`` are of the whole; ``multiplications`` and ``output_nbytes`` (what the
    layers without parts returned) of the call, None without one.
    """

    def __init__(self, rows: Sequence[Row], output_nbytes: int | None) -> None:
        self.rows = list(rows)
        self.output_nbytes = output_nbytes
        self.parameters = sum(row.parameters for row in rows)
        self.trained = sum(row.trained for row in rows)
        self.nbytes = sum(row.nbytes for row in rows)
        counted = [row.multiplications for row in rows if row.multiplications is not None]
        self.multiplications = sum(counted) if output_nbytes is not None else None

    def __str__(self) -> str:
        table = self._table(self.rows)
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join(
                _aligned(n, cell, width) for n, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in table
        ]
        rule = "─" * max(map(len, lines))
        return "\n".join([lines[0], rule, *lines[1:], rule, self.totals()])

    def _table(self, rows: Sequence[Row]) -> list[tuple[str, ...]]:
        """Headings and cells; the columns of shapes and multiplications only where there are any."""
        counted = self.multiplications is not None
        kept = [n for n in range(len(HEADS)) if counted or HEADS[n] not in ("output", "multiplications")]
        return [tuple(cells[n] for n in kept) for cells in (HEADS, *(_cells(row) for row in rows))]

    __repr__ = __str__

    def totals(self) -> str:
        """The last line: numbers of the whole."""
        frozen = self.parameters - self.trained
        parts = [f"{self.parameters:,} parameters" + (f" ({frozen:,} frozen)" if frozen else "")]
        parts.append(readable_size(self.nbytes))
        if self.multiplications is not None and self.output_nbytes is not None:
            parts.append(f"{self.multiplications:,} multiplications")
            parts.append(f"{readable_size(self.output_nbytes)} of outputs")
        return ", ".join(parts)

    def _repr_html_(self) -> str:
        head, *table = self._table(self.rows[:MOST_ROWS])
        lines = [f"<tr>{''.join(f'<th>{html.escape(name)}</th>' for name in head)}</tr>"]
        for row, cells in zip(self.rows, table, strict=False):
            first = f"<td style='text-align:left;padding-left:{row.depth + 0.5}em'>{html.escape(cells[0].strip())}</td>"
            lines.append(f"<tr>{first}{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells[1:])}</tr>")
        if len(self.rows) > MOST_ROWS:
            lines.append(f"<tr><td colspan='{len(head)}'>and {len(self.rows) - MOST_ROWS} more</td></tr>")
        return f"<table>{''.join(lines)}</table><p>{html.escape(self.totals())}</p>"


def summary(module: Module, *inputs: Any, input_size: Any = None, dtype: Any = None) -> Summary:
    """The layers of ``module`` with their parameters and bytes; with an example input, shapes and multiplications too.

    Args:
        inputs: what the module is called with: Tensors or arrays, the batch in front; floats become the module's type.
        input_size: in place of inputs, the shape of one, or a list of shapes: zeros are passed.
        dtype: the type of these zeros, or a list of types (an embedding wants "int64"); the module's unless given.

    Raises ValueError where both inputs and an input size are given, and whatever the module raises for the input.
    The module runs once, in evaluation mode; lazy layers learn their sizes from it.

    >>> from nnkit import nn
    >>> print(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).summary(input_size=(1, 4)))
    layer         output  parameters  bytes  multiplications
    ────────────────────────────────────────────────────────
    Sequential    (1, 2)
      0 (Linear)  (1, 8)          40  160 B               32
      1 (ReLU)    (1, 8)
      2 (Linear)  (1, 2)          18   72 B               16
    ────────────────────────────────────────────────────────
    58 parameters, 232 B, 48 multiplications, 72 B of outputs
    """
    if inputs and input_size is not None:
        raise ValueError("summary: pass example inputs or input_size=, not both")
    given = _zeros(module, input_size, dtype) if input_size is not None else [_placed(module, x) for x in inputs]
    if not given:
        return Summary(list(_rows(module, None)), None)
    with own_modes(), no_grad(), _Watch(module) as watch:
        module.eval()
        module(*given)
    return Summary(list(_rows(module, watch)), watch.output_nbytes)


Module.summary = Yielding("summary", summary)


def readable_size(size: float) -> str:
    """Bytes as people read them.

    >>> readable_size(232), readable_size(407080), readable_size(0)
    ('232 B', '397.5 KiB', '0 B')
    """
    units = ["B", "KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        units.pop(0)
    return f"{size:.0f} B" if units[0] == "B" else f"{size:.1f} {units[0]}"


# ---- inputs -------------------------------------------------------------------------------------------------------


def _home(module: Module) -> tuple[Any, Any]:
    """The device and the float type of a module's weights; (None, None) where it has none."""
    for tensor in [*module.parameters(), *module.buffers()]:
        if tensor.is_floating_point():
            return tensor.device, tensor.dtype
    return None, None


def _zeros(module: Module, sizes: Any, dtypes: Any) -> list[Tensor]:
    device, own = _home(module)
    several = bool(sizes) and isinstance(sizes[0], (tuple, list))
    shapes = [tuple(size) for size in sizes] if several else [tuple(sizes)]
    types = list(dtypes) if isinstance(dtypes, (tuple, list)) else [dtypes] * len(shapes)
    if len(types) != len(shapes):
        raise ValueError(f"summary: dtype has {len(types)} types for {len(shapes)} inputs: give one for each")
    pairs = zip(shapes, types, strict=True)
    return [zeros(shape, dtype=own if kind is None else kind, device=device) for shape, kind in pairs]


def _placed(module: Module, value: Any) -> Any:
    """An example input as the module takes it; what is no array stays as it is."""
    device, own = _home(module)
    if isinstance(value, np.ndarray):
        value = as_tensor(value, device=device)
    if isinstance(value, Tensor):
        value = value.detach().to(device=value.device if device is None else device)
        return value.to(dtype=own) if value.is_floating_point() and own is not None else value
    return value


# ---- watching one call ----------------------------------------------------------------------------------------------


class _Watch:
    """Notes what each module of a tree returns, and what is multiplied inside of it but outside of its parts."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.outputs: dict[int, Any] = {}
        self.calls: dict[int, int] = {}
        self.multiplications: dict[int, int] = {}
        self.output_nbytes = 0
        self._running: list[int] = []
        self._seen = 0

    def __enter__(self) -> _Watch:
        first = next(iter([*self.module.parameters(), *self.module.buffers()]), None)
        backend = (zeros(()) if first is None else first).backend
        self._work = backend.recorder()
        self._recording = recording(self._work)
        self._handles: list[Any] = []
        for module in self.module.modules():
            self._handles.append(module.register_forward_pre_hook(self._enter))
            self._handles.append(module.register_forward_hook(self._leave))
        self._recording.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._recording.__exit__(*error)
        for handle in self._handles:
            handle.remove()

    def _enter(self, module: Module, args: Any) -> None:
        self._count()
        self._running.append(id(module))

    def _leave(self, module: Module, args: Any, output: Any) -> None:
        self._count()
        self._running.pop()
        key = id(module)
        self.calls[key] = self.calls.get(key, 0) + 1
        tensors = [leaf for leaf in leaves(output) if isinstance(leaf, Tensor)]
        shapes = [tuple(tensor.shape) for tensor in tensors]
        self.outputs.setdefault(key, shapes[0] if len(shapes) == 1 else shapes)
        if not any(True for _ in module.children()):
            self.output_nbytes += sum(tensor.numel() * tensor.dtype.itemsize for tensor in tensors)

    def _count(self) -> None:
        """Give what has run since the last look to the module that is running."""
        fresh = self._work.instructions[self._seen :]
        self._seen = len(self._work.instructions)
        if self._running:
            key = self._running[-1]
            found = sum(products_of(instruction.name, instruction.shapes) for instruction in fresh)
            self.multiplications[key] = self.multiplications.get(key, 0) + found


def products_of(name: str, shapes: Sequence[Shape]) -> int:
    """The multiplications of one primitive, from the shapes of its arrays in the order of its arguments.

    >>> products_of("linear", [(5, 4), (8, 4), (8,), (5, 8)])
    160
    """
    rule = _RULES.get(name)
    return 0 if rule is None else rule(shapes)


def _of_windows(shapes: Sequence[Shape], places: Shape) -> int:
    return math.prod(places) * math.prod(shapes[1][1:])  # each result is one filter over its channels


def _of_attention(shapes: Sequence[Shape]) -> int:
    q, k, v = shapes[:3]
    return math.prod(q[:-1]) * k[-2] * (q[-1] + v[-1])


#: Primitive -> its multiplications; of ``linear`` x (M, I), w (O, I); of ``recurrence`` gates (..., G H), w (G H, H).
_RULES: dict[str, Callable[[Sequence[Shape]], int]] = {
    "linear": lambda s: math.prod(s[0]) * s[1][0],
    "matmul": lambda s: math.prod(s[2]) * s[0][-1],
    "conv": lambda s: _of_windows(s, [shape for shape in s if len(shape) == len(s[0])][-1]),
    "conv_pooled": lambda s: _of_windows(s, [shape for shape in s if len(shape) == len(s[0])][-2]),
    "conv_grad": lambda s: _of_windows(s, s[3]),  # of dy: a transposed convolution is a gradient
    "attention": _of_attention,
    "recurrence": lambda s: math.prod(s[0]) * s[1][-1],
}


# ---- rows ------------------------------------------------------------------------------------------------------------


def _rows(module: Module, watch: _Watch | None) -> Iterator[Row]:
    names: dict[int, str] = {}
    counted: set[int] = set()
    for name, part, depth in _tree(module, "", 0, set()):
        same_as, key = names.get(id(part)), id(part)
        names.setdefault(key, name or type(part).__name__)
        parameters = [p for p in part._parameters.values() if p is not None and id(p) not in counted]
        buffers = [b for b in part._buffers.values() if b is not None and id(b) not in counted]
        counted |= {id(tensor) for tensor in [*parameters, *buffers]}
        output, multiplications, calls = None, None, 0
        if watch is not None and same_as is None:
            output, calls = watch.outputs.get(key), watch.calls.get(key, 0)
            multiplications = watch.multiplications.get(key, 0)
        numbers = sum(p.numel() for p in parameters)
        trained = sum(p.numel() for p in parameters if p.requires_grad)
        nbytes = sum(tensor.numel() * tensor.dtype.itemsize for tensor in [*parameters, *buffers])
        yield Row(
            name, type(part).__name__, depth, output, numbers, trained, nbytes, multiplications, calls, same_as
        )  # fmt: skip


def _tree(module: Module, name: str, depth: int, seen: set[int]) -> Iterator[tuple[str, Module, int]]:
    """A module and its parts as they hang together; the parts of a shared one only under its first name."""
    yield name, module, depth
    if id(module) in seen:
        return
    seen.add(id(module))
    for part_name, part in module._parts_by_name().items():
        if part is not None:
            yield from _tree(part, f"{name}.{part_name}" if name else part_name, depth + 1, seen)


def _cells(row: Row) -> tuple[str, ...]:
    own = row.name.rpartition(".")[2]
    label = f"{_short(own)} ({row.kind})" if own else row.kind
    if row.same_as is not None:
        label += f", the same as {_short(row.same_as)}"
    elif row.calls > 1:
        label += f", called {row.calls} times"
    return (
        "  " * row.depth + label,
        _shape_text(row.output),
        f"{row.parameters:,}" if row.parameters else "",
        readable_size(row.nbytes) if row.nbytes else "",
        f"{row.multiplications:,}" if row.multiplications else "",
    )


def _aligned(column: int, cell: str, width: int) -> str:
    return cell.ljust(width) if column == 0 or cell.startswith("(") or cell == HEADS[1] else cell.rjust(width)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST // 2]}…{name[-LONGEST // 2 + 1 :]}"


def _shape_text(shape: Any) -> str:
    if shape is None:
        return ""
    return ", ".join(map(str, shape)) if isinstance(shape, list) else str(shape)


def as_html(module: Module) -> str:
    """What a notebook shows of a module: its layers and their parameters, a table without scripts."""
    table = Summary(list(_rows(module, None)), None)
    return f"<b>{html.escape(type(module).__name__)}</b>{table._repr_html_()}"


Module._repr_html_ = as_html
