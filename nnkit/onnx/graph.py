"""A graph in the making: nodes, constants and sizes, from which ``onnx.helper`` makes a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nnkit.onnx.element_types import number_of
from nnkit.onnx.errors import OnnxError, onnx_package
from nnkit.onnx.sizes import ROWS, Dims, Ref, Repeated, Size

__all__ = ["Graph", "Value"]

INT64_MAX, INT64_MIN = np.iinfo(np.int64).max, np.iinfo(np.int64).min


class Value(NamedTuple):
    """A value of the graph: its name there, its type, and its shape as far as it is known."""

    name: str
    dtype: np.dtype
    shape: Dims


class Graph:
    """Nodes in order. ``where`` names the module that the next ones are of, for their names and for errors."""

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self.nodes: list[Any] = []
        self.initializers: dict[str, np.ndarray] = {}
        self.plain: set[str] = set()  # the constants that are no weights, which become nodes
        self.values: dict[tuple[str, int], Value] = {}
        self.where = "the model"
        self.rows: Value | None = None  # an input whose axis ``rows_axis`` is the batch
        self.rows_axis = 0
        self._names: dict[str, int] = {}
        self._constants: dict[Any, Value] = {}
        self._sizes: dict[Any, Value] = {}
        self._named: dict[str, Value] = {}
        self._reshaped: dict[str, Value] = {}  # what a reshaped value was before

    # ---- nodes ------------------------------------------------------------------------------------------------

    def name(self, wanted: str) -> str:
        """A name that is not taken."""
        count = self._names.get(wanted, 0)
        self._names[wanted] = count + 1
        return wanted if not count else self.name(f"{wanted}_{count}")

    def node(
        self, op: str, inputs: Sequence[Value | None], dtype: Any = None, shape: Dims = (), outputs: int = 1,
        domain: str = "", **attributes: Any,
    ) -> Any:  # fmt: skip
        """Add a node; its output, or a list of several. The type is the first input's unless ``dtype`` says."""
        if dtype is None:
            dtype = next(x.dtype for x in inputs if x is not None)
        place = self.where.partition(" ")[0].replace(".", "/") if self.where != "the model" else ""
        stem = f"{place}/{op}" if place and place != "the" else op
        outs = [Value(self.name(stem), np.dtype(dtype), shape) for _ in range(outputs)]
        names = ["" if x is None else x.name for x in inputs]
        while names and not names[-1]:
            names.pop()
        attributes = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(
            onnx_package().helper.make_node(
                op, names, [out.name for out in outs], name=self.name(f"{stem}.node"), domain=domain, **attributes
            )
        )
        return outs[0] if outputs == 1 else outs

    # ---- constants --------------------------------------------------------------------------------------------

    def constant(self, values: Any, dtype: Any = None, name: str | None = None) -> Value:
        """A constant; equal ones without names are one."""
        array = np.asarray(values, dtype)
        key = (array.dtype.str, array.shape, array.tobytes()) if name is None and array.dtype != object else None
        if key is not None and key in self._constants:
            return self._constants[key]
        value = Value(self.name(name or "constant"), array.dtype, array.shape)
        self.initializers[value.name] = array
        if name is None:
            self.plain.add(value.name)
        if key is not None:
            self._constants[key] = value
        return value

    def integers(self, values: Sequence[Any]) -> Value:
        """A vector of int64, whose elements may be Sizes."""
        if not any(isinstance(v, Size) for v in values):
            return self.constant(list(values), np.int64)
        parts: list[Value] = []
        run: list[int] = []
        for v in values:
            if isinstance(v, Size):
                if run:
                    parts.append(self.constant(run, np.int64))
                run = []
                parts.append(self.size(v))
            else:
                run.append(v)
        if run:
            parts.append(self.constant(run, np.int64))
        return parts[0] if len(parts) == 1 else self.node("Concat", parts, axis=0, shape=(len(values),))

    def size(self, size: Size) -> Value:
        """A Size as a vector of one int64."""
        if size not in self._sizes:
            if size == ROWS:
                assert self.rows is not None
                axis = self.rows_axis
                end = axis + 1 if axis != -1 else None
                found = self.node("Shape", [self.rows], np.int64, (1,), start=axis, end=end)
            else:
                found = self.size(ROWS)
                if size.factor != 1:
                    found = self.node("Mul", [found, self.constant([size.factor], np.int64)], shape=(1,))
                if size.more:
                    found = self.node("Add", [found, self.constant([size.more], np.int64)], shape=(1,))
            self._sizes[size] = found
        return self._sizes[size]

    def number(self, value: Any, dtype: Any) -> Value:
        """A number of a type, which may be a Size."""
        if isinstance(value, Size):
            vector = self.node("Squeeze", [self.size(value), self.constant([0], np.int64)], shape=())
            return vector if np.dtype(dtype) == np.int64 else self.cast(vector, dtype)
        return self.constant(value, dtype)

    def fixed(self, value: Any, what: str) -> Any:
        """A number or numbers that may not grow with the batch. Raises OnnxError for one that does."""
        for one in value if isinstance(value, (tuple, list)) and not isinstance(value, Size) else (value,):
            if isinstance(one, Size):
                raise OnnxError(
                    f"export: {self.where}: {what} depends on the number of rows, and ONNX wants a number there. "
                    "Export with dynamic=False for one size of batch"
                )
        return value

    def refuse(self, what: str) -> OnnxError:
        """The error for what ONNX cannot say."""
        return OnnxError(f"export: {self.where}: {what}")

    # ---- values -----------------------------------------------------------------------------------------------

    def value(self, ref: Ref) -> Value:
        """The value of a Ref."""
        return self.values[ref.kind, ref.number]

    def define(self, ref: Ref | None, value: Value) -> None:
        """Let a Ref have a value, of the type and shape that it had in the run."""
        if ref is not None:
            if value.dtype != ref.dtype:
                value = self.cast(value, ref.dtype)
            self.values[ref.kind, ref.number] = value._replace(shape=ref.shape)

    def repeated(self, found: Repeated) -> Value:
        """A constant that grows with the batch."""
        if found.counted:
            first, step = (self.constant(v, found.values.dtype) for v in found.values)
            count = self.cast(self.number(found.shape[0], np.int64), found.values.dtype)
            end = self.node("Add", [first, self.node("Mul", [count, step])])
            return self.node("Range", [first, end, step], shape=found.shape)
        return self.expand(self.constant(found.values), found.shape)

    # ---- what many rules need -----------------------------------------------------------------------------------

    def cast(self, x: Value, dtype: Any) -> Value:
        """x in another type."""
        if x.dtype == np.dtype(dtype):
            return x
        return self.node("Cast", [x], dtype, x.shape, to=number_of(dtype))

    def reshape(self, x: Value, shape: Dims) -> Value:
        """x in another shape; at most one of the sizes is left to be found at run time, where that can be."""
        x = self._reshaped.get(x.name, x)  # two in a row are one
        if x.shape == shape:
            return x
        growing = [axis for axis, size in enumerate(shape) if isinstance(size, Size)]
        if any(size == 0 for size in shape if not isinstance(size, Size)):
            return self._shaped(x, self.integers(shape), shape, allowzero=1)
        if len(growing) == 1:
            (axis,) = growing
            same = axis < len(x.shape) and x.shape[axis] == shape[axis]
            target = self.constant([(0 if same else -1) if i == axis else n for i, n in enumerate(shape)], np.int64)
        else:
            target = self.integers(shape)
        return self._shaped(x, target, shape)

    def _shaped(self, x: Value, target: Value, shape: Dims, allowzero: int | None = None) -> Value:
        found: Value = self.node("Reshape", [x, target], shape=shape, allowzero=allowzero)
        if x.shape:
            self._reshaped[found.name] = x
        return found

    def transpose(self, x: Value, order: Sequence[int]) -> Value:
        """The axes in another order."""
        shape = tuple(x.shape[i] for i in order) if len(x.shape) == len(order) else ()
        if list(order) == sorted(order):
            return x
        return self.node("Transpose", [x], shape=shape, perm=list(order))

    def expand(self, x: Value, shape: Dims) -> Value:
        """x repeated to a shape."""
        return x if x.shape == shape else self.node("Expand", [x, self.integers(shape)], shape=shape)

    def reduce(self, op: str, x: Value, axes: Sequence[int], keep: bool, shape: Dims = ()) -> Value:
        """ReduceSum and its sisters, which take their axes in other ways before opset 18."""
        if not axes:
            return x
        if self.opset >= 18 or op == "ReduceSum":
            return self.node(op, [x, self.constant(list(axes), np.int64)], shape=shape, keepdims=int(keep))
        return self.node(op, [x], shape=shape, axes=list(axes), keepdims=int(keep))

    def cut(self, x: Value, axis: int, start: Any, end: Any, shape: Dims = ()) -> Value:
        """A slice along one axis."""
        ends = [self.integers([v]) for v in (start, end, axis)]
        return self.node("Slice", [x, *ends], shape=shape)

    def folded(self, inputs: Sequence[Value], compute: Any, label: str) -> Value | None:
        """What ``compute`` makes of constants, as one of its own; None where one of them is none."""
        if any(x.name not in self.initializers for x in inputs):
            return None
        name = f"{inputs[0].name}.{label}"
        found = self._named.get(name)
        if found is None:
            array = compute(*(self.initializers[x.name] for x in inputs))
            found = self._named[name] = self.constant(array, name=name)
        return found

    def pad(self, x: Value, before: Sequence[int], behind: Sequence[int], value: float, shape: Dims = ()) -> Value:
        """So many elements of a value before and behind each axis."""
        if not any(before) and not any(behind):
            return x
        return self.node("Pad", [x, self.integers([*before, *behind]), self.constant(value, x.dtype)], shape=shape)

    def transposed_last(self, x: Value) -> Value:
        """The last two axes exchanged."""
        n = len(x.shape)
        return self.transpose(x, (*range(n - 2), n - 1, n - 2))
