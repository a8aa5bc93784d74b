"""Writing into tensors, on the tape and off it.

On the tape a tensor that is changed in place stands for another value from then on: it gets the node of the new
value. Of a view it is the base that does: its new value is the old one with another part.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from nnkit.backends.pool import overlap
from nnkit.backends.recording import recorder
from nnkit.errors import DtypeError, GradientError, ShapeError
from nnkit.ops import shape
from nnkit.ops.promotion import Number, operand, pair, result_type
from nnkit.recording import state
from nnkit.tensors import dtypes
from nnkit.tensors.memory import Gradient
from nnkit.tensors.methods import OPS, op
from nnkit.tensors.results import Asked, result, same_backend
from nnkit.tensors.tape import Node, is_grad_enabled
from nnkit.tensors.tensor import Tensor
from nnkit.tensors.views import Path, View, follow

#: Ops whose gradient does not read what they are applied to.
UNREAD = ("add", "sub")
#: Op -> its formula for two tensors, and the one for a tensor and a number; what comes out may overwrite the first.
ARITHMETIC = {"add": ("add", "shift"), "sub": ("sub", "shift"), "mul": ("mul", "scale"), "div": ("div", "divide_by")}


@op
def assign(x: Tensor, name: str, *args: Any, **options: Any) -> Tensor:
    """x becomes the op ``name`` of x; the shape must stay. Returns x.

    Raises DtypeError for a result that x would cut, to whole numbers or to booleans, as PyTorch does.
    """
    on_tape = open_to_change(x, *args, *options.values())
    if not on_tape and _computed_there(x, name, *args, **options):
        return x
    if on_tape:
        value = OPS[name](alias(x) if name in UNREAD else shape.clone(x), *args, **options)
    else:
        options = {word: _off_tape(value) for word, value in options.items()}
        value = OPS[name](x.detach(), *map(_off_tape, args), **options)
    if not dtypes.can_become(value.dtype, x.dtype):
        raise DtypeError(
            f"{name}: the result is of {value.dtype}, which a tensor of {x.dtype} cannot take in place; "
            f"compute a new tensor, or convert first with .to({str(value.dtype)!r})"
        )
    return put(x, _fitted(value, x), on_tape)


def _computed_there(x: Tensor, name: str, *args: Any, **options: Any) -> bool:
    """Let arithmetic write its result into x, where neither types nor memory stand against that."""
    y = args[0] if len(args) == 1 else None
    if name not in ARITHMETIC or options or not isinstance(y, (Tensor, *Number)) or not _takes(x, name, y):
        return False
    of_tensors, of_number = ARITHMETIC[name]
    if isinstance(y, Number) and x.is_floating_point():
        x.backend.map(of_number, (x.array,), (x.array,), (-float(y) if name == "sub" else float(y),))
    else:
        _, other, backend, whole = pair(name, x.detach(), _off_tape(y))
        if whole != x.shape or (other.array is not x.array and overlap(other.array, x.array)):
            return False
        backend.map(of_tensors, (x.array, other.array), (x.array,))
    x.version.count += 1
    return True


def _takes(x: Tensor, name: str, y: Any) -> bool:
    """Whether the result is of x's type, and x of memory that kernels write."""
    numbers = x.is_floating_point() or (name != "div" and x.dtype == dtypes.int64)
    same = y.dtype == x.dtype if isinstance(y, Tensor) else result_type(x, y) == x.dtype
    writable = getattr(getattr(x.array, "flags", None), "writeable", True)  # NumPy alone lets memory be read-only
    return numbers and same and writable and x.backend.is_contiguous(x.array)


@op
def copy_into(x: Tensor, source: Any) -> Tensor:
    """x takes the values of ``source``, broadcast and cast, from any device. Returns x."""
    on_tape = open_to_change(x, source)
    source = operand(source, x, "copy_")
    value = _fitted(source if on_tape else source.detach(), x)
    if on_tape:
        inputs, backend, dtype = (alias(x), value), x.backend, x.dtype

        def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any, Any]:
            return backend.zeros(tuple(dy.shape), dtype), dy

        value = result("copy_", value.array, backend, inputs, pullback, (), lambda dy, asked: (None, dy))
    return put(x, value, on_tape)


@op
def fill_in(x: Tensor, value: float) -> Tensor:
    """Every element of x becomes ``value``. Returns x."""
    if is_grad_enabled() and x.requires_grad:
        return copy_into(x, value)
    open_to_change(x)
    x.backend.fill(value, x.array)
    x.version.count += 1
    return x


@op
def reshape_in(x: Tensor, name: str, *args: Any, **options: Any) -> Tensor:
    """x shows its memory as the view ``name`` of it does: in another shape or order. Returns x.

    Raises GradientError on the tape, where x = x.unsqueeze(...) and the like do it.
    """
    if open_to_change(x):
        raise GradientError(f"{name}_ cannot change a tensor on the tape: write x = x.{name}(...)")
    shown, before = OPS[name](x.detach(), *args, **options), x.array
    if shown.array is not before:
        x.array = shown.array
        state.changed(x, "array", before)
    return x


@op
def resize_in(x: Tensor, sizes: tuple[Any, ...]) -> Tensor:
    """x shows its first elements in another shape, in memory of its own where that has more. Returns x."""
    open_to_change(x)
    wanted = tuple(sizes[0]) if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes
    count, have, flat, before = math.prod(wanted), x.numel(), shape.reshape(x.detach(), (-1,)), x.array
    if count > have:
        room = x.backend.empty((count,), x.dtype)
        x.backend.copy(flat.array, room[:have])
        flat = Tensor(room, x.backend)
    x.array = x.backend.reshape(flat.array[:count], wanted)
    state.changed(x, "array", before)
    return x


def move_average(average: Tensor, value: Tensor, share: float, factor: float = 1.0) -> None:
    """Replace a ``share`` of an average by ``factor`` times a value of its shape, off the tape."""
    backend = same_backend("move_average", average, value)
    open_to_change(average)
    backend.map("moving_average", (average.array, value.array), (average.array,), (float(share), float(factor)))
    average.version.count += 1


def add_loss(total: Tensor, count: Tensor, loss: Tensor, samples: float) -> None:
    """Add ``samples`` times a loss to a running total, and 1 to ``count`` where the total is finite then.

    All three are of one element; total and count float64, off the tape.
    """
    backend = same_backend("add_loss", total, count, loss)
    for changed in (total, count):
        open_to_change(changed)
    loss = loss if loss.dtype == dtypes.float32 else loss.double()
    arrays = total.array, count.array
    backend.map("running_loss", (*arrays, backend.reshape(loss.array, total.shape)), arrays, (samples,))
    for changed in (total, count):
        changed.version.count += 1


# ---- what every change in place begins and ends with --------------------------------------------------------------


def open_to_change(x: Tensor, *values: Any) -> bool:
    """Tell of the change to come; returns whether the tape has to know of it, because x or a value requires grad.

    Raises GradientError for a leaf that requires grad, or a view of one, on the tape.
    """
    at_work = recorder()
    if at_work is not None:
        at_work.touch(x)
        at_work.write(x)
    if x.view_of is not None and _is_repeated(x):
        raise ShapeError(
            f"a tensor of shape {x.shape} whose elements share memory, as those of expand do, cannot be changed in "
            "place: change a copy, x.clone()"
        )
    view = x.view_of
    whole = x if view is None else view.base
    if not is_grad_enabled() or not (whole.requires_grad or any(_requires_grad(value) for value in values)):
        return False
    if whole.is_leaf and whole.requires_grad:
        raise GradientError(
            "a leaf that requires grad, or a view of one, cannot be changed in place on the tape: "
            "do it under nnkit.no_grad()"
        )
    if view is not None and not view.on_tape:
        raise GradientError(
            "a view that was made under no_grad() cannot be changed in place on the tape: make the view outside of it, "
            "or change it under no_grad(), too"
        )
    if at_work is not None and not at_work.owns(whole.array):
        at_work.obstacle("it puts a tensor that outlives the step on the tape: write y.detach() into it")
    return True


def put(x: Tensor, value: Tensor, on_tape: bool) -> Tensor:
    """x takes the values of a tensor of its shape and, on the tape, its node. Returns x."""
    x.backend.copy(value.array, x.array)
    x.version.count += 1
    if on_tape:
        if x.view_of is None:
            x.node = value.node
        else:
            x.view_of.base.node = _with_part(x.view_of, value)
    return x


def alias(x: Tensor) -> Tensor:
    """The same memory at the same place of the tape; where x moves on, this stays."""
    same = x.detach()
    same.node = x.node
    return same


def _with_part(view: View, part: Tensor) -> Node:
    """The node of a base in which one part took another value: the gradient of the others passes, that part's not."""
    backend, base, path = part.backend, view.base, view.path
    whole, dtype = base.shape, base.dtype
    _check_path(base, path)

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any, Any]:
        rest = backend.empty(whole, dtype)
        backend.copy(dy, rest)
        there = follow(path, Tensor(rest, backend)).array
        change = backend.empty(tuple(there.shape), dtype)
        backend.copy(there, change)
        backend.fill(0, there)
        return rest, change

    def rule(dy: Tensor, asked: Asked) -> tuple[Tensor, Tensor]:
        rest = Tensor(backend.empty(whole, dtype), backend)
        backend.fill(1, rest.array)
        backend.fill(0, follow(path, rest).array)
        return dy * rest, follow(path, OPS["contiguous"](dy))

    return Node("change_of_view", backend, (base.node, part.node), pullback, (), rule)


def _check_path(base: Tensor, path: Path) -> None:
    """A path that leads into the memory of a base whose elements lie in another order need not lead into others."""
    if base.backend.is_contiguous(base.array):
        return
    copy = shape.clone(base.detach())
    if follow(path, copy).version is not copy.version:
        raise GradientError(
            f"a reshaped view of a tensor of shape {base.shape} that does not lie in order in memory cannot be changed "
            "in place on the tape: change it before it is reshaped, or x.contiguous()"
        )


def _is_repeated(x: Tensor) -> bool:
    """Whether elements of x share memory."""
    return any(size > 1 and step == 0 for size, step in zip(x.shape, x.backend.strides(x.array), strict=True))


def _fitted(value: Tensor, x: Tensor) -> Tensor:
    """A value as it is written into x: there, of its shape and, on the tape, of its type."""
    if value.backend is not x.backend:
        value = value.to(x.device)
    if value.shape != x.shape:
        value = shape.expand(value, x.shape)
    return value.to(x.dtype) if value.requires_grad else value


def _off_tape(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value


def _requires_grad(value: Any) -> bool:
    return isinstance(value, Tensor) and value.requires_grad
