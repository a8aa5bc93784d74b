"""Conversions, shapes, and control flow: loops and choices over tensors.

Loops are Python's: each turn computes at once and is on the tape. A step that is recorded holds what its loops did when
it was recorded, so a loop whose length a tensor decides is run plainly.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnkit import ops
from nnkit.keras.ops.types import convert_to_tensor, of_type, standardize_dtype
from nnkit.recording.observer import call
from nnkit.tensors import dtypes
from nnkit.tensors.limits import finfo
from nnkit.tensors.tensor import Tensor


def convert_to_numpy(x: Any) -> np.ndarray:
    """A copy of the numbers as a NumPy array."""
    return np.array(x.detach().cpu().numpy()) if isinstance(x, Tensor) else np.array(convert_to_tensor(x).numpy())


def is_tensor(x: Any) -> bool:
    """Whether x is a tensor."""
    return isinstance(x, Tensor)


def cast(x: Any, dtype: Any) -> Tensor:
    """The numbers in another type; floats become whole numbers towards 0.

    >>> cast([1.7, 0.0], "bool").tolist()
    [True, False]
    """
    x, kind = convert_to_tensor(x), of_type(dtype)
    if kind == dtypes.bool_ and x.dtype != kind:
        return ops.ne(x, 0)
    return ops.to(x, dtype=kind)


def saturate_cast(x: Any, dtype: Any) -> Tensor:
    """:func:`cast`, with numbers beyond what the type holds at its ends."""
    x, kind = convert_to_tensor(x), of_type(dtype)
    if kind == dtypes.bool_ or x.dtype == dtypes.bool_:
        return cast(x, kind)
    low, high = _ends(kind)
    own_low, own_high = _ends(x.dtype)
    bounds = (low if low > own_low else None, high if high < own_high else None)
    return cast(x if bounds == (None, None) else ops.clamp(x, *bounds), kind)


def _ends(kind: np.dtype) -> tuple[Any, Any]:
    if kind.kind in "iu":
        whole = np.iinfo(kind)
        return int(whole.min), int(whole.max)
    found = finfo(kind)
    return float(found.min), float(found.max)


def dtype(x: Any) -> str:
    """The name of x's type.

    >>> dtype([1, 2])
    'int32'
    """
    return standardize_dtype(x.dtype if hasattr(x, "dtype") else convert_to_tensor(x).dtype)


def shape(x: Any) -> tuple[int, ...]:
    """The sizes of the axes; of symbolic tensors None where one is not known."""
    return tuple(x.shape) if hasattr(x, "shape") else tuple(convert_to_tensor(x).shape)


def ndim(x: Any) -> int:
    """The number of axes."""
    return len(shape(x))


def size(x: Any) -> int:
    """The number of elements."""
    return int(np.prod(shape(x), dtype=np.int64))


def stop_gradient(variable: Any) -> Tensor:
    """The same numbers, to which no gradient goes."""
    return convert_to_tensor(variable).detach()


def custom_gradient(f: Callable[..., Any]) -> Any:
    """Refused: write a class with forward and backward, ``nnkit.autograd.Function``.

    Raises NotImplementedError.

    >>> custom_gradient(len)
    Traceback (most recent call last):
    NotImplementedError: custom_gradient is not there: ...
    """
    raise NotImplementedError(
        "custom_gradient is not there: a function with a gradient of your own is a subclass of nnkit.autograd.Function"
    )


# ---- structures -----------------------------------------------------------------------------------------------------


def _each(function: Callable[..., Any], *structures: Any) -> Any:
    """A function of the tensors at the same place of nested lists, tuples and dicts."""
    first = structures[0]
    if isinstance(first, dict):
        return {key: _each(function, *(s[key] for s in structures)) for key in first}
    if isinstance(first, (list, tuple)):
        parts = [_each(function, *parts) for parts in zip(*structures, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    return None if first is None else function(*structures)


def _leaves(structure: Any) -> list[Any]:
    found: list[Any] = []
    _each(found.append, structure)
    return found


def _length(structure: Any) -> int:
    sizes = {len(leaf) for leaf in _leaves(structure)}
    if len(sizes) != 1:
        raise ValueError(f"expected tensors of one length along axis 0; got {sorted(sizes)}")
    return sizes.pop()


def _stacked(parts: Sequence[Any]) -> Any:
    return _each(lambda *same: ops.stack([convert_to_tensor(part) for part in same]), *parts)


# ---- choices --------------------------------------------------------------------------------------------------------


def cond(pred: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any]) -> Any:
    """What the first function returns where ``pred`` is true, else what the second does.

    >>> cond(True, lambda: 1, lambda: 2)
    1
    """
    return call(true_fn if bool(pred) else false_fn)


def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """What the function of this number returns; numbers out of range mean the first or the last."""
    place = builtins.min(builtins.max(int(index), 0), len(branches) - 1)
    return call(branches[place], *operands)


# ---- loops ----------------------------------------------------------------------------------------------------------


def while_loop(
    cond: Callable[..., Any], body: Callable[..., Any], loop_vars: Any, maximum_iterations: int | None = None
) -> Any:
    """``loop_vars = body(*loop_vars)`` as long as ``cond(*loop_vars)``.

    >>> while_loop(lambda i: i < 10, lambda i: i + 3, [0])[0]
    12
    """
    is_one = not isinstance(loop_vars, (list, tuple))
    found, turns = ((loop_vars,) if is_one else tuple(loop_vars)), 0
    while (maximum_iterations is None or turns < maximum_iterations) and bool(call(cond, *found)):
        new = call(body, *found)
        found = tuple(new) if isinstance(new, (list, tuple)) else (new,)
        turns += 1
    return found[0] if is_one else type(loop_vars)(found)


def fori_loop(lower: Any, upper: Any, body_fun: Callable[[Any, Any], Any], init_val: Any) -> Any:
    """``value = body_fun(i, value)`` for i from lower to before upper.

    >>> fori_loop(0, 4, lambda i, total: total + i, 0)
    6
    """
    value = init_val
    for i in range(int(lower), int(upper)):
        value = call(body_fun, i, value)
    return value


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any = None, length: int | None = None,
    reverse: bool = False, unroll: Any = 1,
) -> tuple[Any, Any]:  # fmt: skip
    """``carry, y = f(carry, x)`` for the parts x of xs along axis 0; the last carry, and all y stacked.

    >>> carry, sums = scan(lambda c, x: (c + x, c + x), 0, [1, 2, 3])
    >>> sums.tolist()
    [1, 3, 6]
    """
    xs = None if xs is None else _tensors(xs)
    if xs is None and length is None:
        raise ValueError("scan: give xs, or a length")
    count = int(length) if xs is None else _length(xs)  # type: ignore[arg-type]
    carry, found = init, []
    for i in reversed(range(count)) if reverse else range(count):
        carry, y = call(f, carry, None if xs is None else _part(xs, i))
        found.append(y)
    found = found[::-1] if reverse else found
    return carry, None if not found or found[0] is None else _stacked(found)


def _tensors(xs: Any) -> Any:
    """xs as tensors: a list of numbers is one."""
    if isinstance(xs, (list, tuple)) and not builtins.any(isinstance(x, (Tensor, np.ndarray, dict)) for x in xs):
        return convert_to_tensor(xs)
    return _each(convert_to_tensor, xs)


def _part(xs: Any, i: int) -> Any:
    return _each(lambda x: x[i], xs)


def map(f: Callable[[Any], Any], xs: Any) -> Any:
    """A function of each part of xs along axis 0, stacked.

    >>> map(lambda x: x * x, [1, 2, 3]).tolist()
    [1, 4, 9]
    """
    xs = _tensors(xs)
    return _stacked([call(f, _part(xs, i)) for i in range(_length(xs))])


def vectorized_map(function: Callable[[Any], Any], elements: Any) -> Any:
    """The same as :func:`map`: each part by itself, one after the other."""
    return map(function, elements)


def associative_scan(f: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0) -> Any:
    """What ``f`` makes of all parts so far along an axis; computed one after the other.

    >>> associative_scan(lambda a, b: a + b, [1, 2, 3]).tolist()
    [1, 3, 6]
    """
    parts = _each(lambda x: ops.movedim(x, axis, 0), _tensors(elems))
    count = _length(parts)
    order = list(reversed(range(count))) if reverse else list(range(count))
    found = [_part(parts, order[0])]
    for i in order[1:]:
        found.append(call(f, found[-1], _part(parts, i)))
    whole = _stacked(found[::-1] if reverse else found)
    return _each(lambda x: ops.movedim(x, 0, axis), whole)


def vectorize(pyfunc: Callable[..., Any], *, excluded: Any = None, signature: str | None = None) -> Callable[..., Any]:
    """A function of numbers as one of tensors, element by element, broadcast."""
    if excluded or signature:
        raise ValueError("vectorize: excluded and signature are not supported; leave them out")

    def function(*args: Any) -> Any:
        parts = ops.broadcast_tensors(*(convert_to_tensor(arg) for arg in args))
        rows = [ops.reshape(part, (-1,)) for part in parts]
        found = [call(pyfunc, *(row[i] for row in rows)) for i in range(rows[0].shape[0])]
        return ops.reshape(ops.stack([convert_to_tensor(y) for y in found]), parts[0].shape)

    return function
