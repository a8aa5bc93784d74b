"""Making tensors: from values, filled, counted, random. PyTorch's names and arguments."""

from __future__ import annotations

import contextlib
import math
import operator
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from nnkit.backends.recording import recorder
from nnkit.errors import DtypeError, ShapeError
from nnkit.tensors import dtypes
from nnkit.tensors.default_device import resolve
from nnkit.tensors.methods import op
from nnkit.tensors.tensor import Size, Tensor


@op
def tensor(data: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A new tensor with a copy of ``data``: numbers, nested lists, an array or a tensor.

    Python floats become the default float type (float32), Python ints int64; arrays keep their type. Raises DtypeError
    for strings, objects, complex numbers and dates, ShapeError for ragged lists. It has the shape of the data. Source:
    ``torch.tensor``.

    >>> tensor([[1, 2], [3, 4]]).shape
    (2, 2)
    """
    host = host_values(data, "data")
    if dtype is None and not hasattr(data, "dtype") and host.dtype == np.float64:
        dtype = dtypes.get_default_dtype()
    backend = resolve(device if device is not None or not isinstance(data, Tensor) else data.device)
    chosen = host.dtype.newbyteorder("=") if dtype is None else dtypes.as_dtype(dtype)
    array, at_work = backend.asarray(host, chosen), recorder()
    if at_work is not None:
        at_work.constant(array)
    return Tensor(array, backend, requires_grad)


def host_values(data: Any, name: str) -> np.ndarray:
    """``data`` as a numpy array of numbers; ``name`` is the argument that messages speak of."""
    if isinstance(data, Tensor):
        return data.detach().numpy()
    if isinstance(data, (list, tuple)) and any(isinstance(item, Tensor) for item in data):
        data = [item.tolist() if isinstance(item, Tensor) else item for item in data]
    try:
        host = np.asarray(data)
    except ValueError as error:
        raise ShapeError(f"{name}: expected nested lists of equal lengths; {error}") from None
    if host.dtype.kind not in "fiub" and not dtypes.is_float(host.dtype):
        what = f"element type {host.dtype}" if host.ndim else type(data).__name__
        raise DtypeError(f"{name}: expected numbers, got {what}; convert to float32 or int64 first")
    if host.dtype == np.longdouble and host.dtype != np.float64:
        raise DtypeError(f"{name}: element type {host.dtype} has no counterpart here; convert to float64")
    return host


def scalar_tensor(s: float, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A number as a tensor without axes, of the default float type unless ``dtype`` is given.

    Raises DtypeError for what is no number. As ``torch.scalar_tensor``.

    >>> scalar_tensor(2.0)
    tensor(2.)
    """
    return tensor(s, dtype or dtypes.get_default_dtype(), device, requires_grad)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """``data`` itself when it is a tensor of that type and device, else a new tensor.

    Of any shape; the dtype is the data's, or ``dtype``. Raises DtypeError for what are no numbers, ShapeError for
    ragged lists. As ``torch.as_tensor``.

    >>> as_tensor([1, 2])
    tensor([1, 2])
    """
    return data.to(device=device, dtype=dtype) if isinstance(data, Tensor) else tensor(data, dtype, device)


@op
def of_data_or_sizes(given: tuple[Any, ...], dtype: Any = None, device: Any = None) -> Tensor:
    """What ``Tensor(...)`` makes, and ``FloatTensor(...)``: whole numbers are sizes, a list, an array or a tensor data.

    A tuple is data, but a ``Size`` (as ``x.size()`` gives it) sizes. Values of a tensor made by sizes are not set. The
    type is the default float type unless given. Raises TypeError for a number that is no size.

    >>> of_data_or_sizes((2, 3)).shape, of_data_or_sizes(([2, 3],))
    ((2, 3), tensor([2., 3.]))
    """
    dtype = dtypes.get_default_dtype() if dtype is None else dtype
    if len(given) == 1 and not isinstance(given[0], (int, float, str, np.number)):
        data = given[0]
        if type(data) is Size:
            return empty(data, dtype=dtype, device=device)
        if isinstance(data, Tensor):
            return data.detach().to(device=device, dtype=dtype)
        return tensor(data, dtype, device)
    if not given:
        return empty(0, dtype=dtype, device=device)
    if any(isinstance(size, bool) or not isinstance(size, (int, np.integer)) for size in given):
        raise TypeError(
            f"Tensor{given}: expected sizes, or one list of data; write Tensor([...]), or nnkit.tensor(...)"
        )
    return empty(*given, dtype=dtype, device=device)


def from_numpy(array: np.ndarray, device: Any = None) -> Tensor:
    """A tensor with a copy of a numpy array (PyTorch shares the memory; nnkit never writes to a user's array).

    Of the array's shape and dtype. Raises DtypeError for elements that are no numbers.

    >>> from_numpy(np.ones(2, np.float32))
    tensor([1., 1.])
    """
    return tensor(array, device=device)


def from_dlpack(source: Any, device: Any = None) -> Tensor:
    """A tensor over the memory of another library's array, without a copy where the backend allows it.

    Of the array's shape and dtype. Raises TypeError for an object without ``__dlpack__``. As ``torch.from_dlpack``.

    >>> from_dlpack(np.ones(2, np.float32))
    tensor([1., 1.])
    """
    backend = resolve(device)
    return Tensor(backend.xp.from_dlpack(source), backend)


def shape_of(sizes: tuple[Any, ...], named: Sequence[int] | int | None = None) -> tuple[int, ...]:
    """Sizes given one by one, as one sequence, or under the name ``size``."""
    if named is not None:
        if sizes:
            raise TypeError(f"size: given twice, as {sizes} and as {named}")
        sizes = (named,)
    given = sizes[0] if len(sizes) == 1 and isinstance(sizes[0], Sequence) else sizes
    try:
        shape = tuple(operator.index(size) for size in given)
    except TypeError:
        raise TypeError(f"size: expected whole numbers, or one list of them, got {given!r}") from None
    if any(size < 0 for size in shape):
        raise ShapeError(f"size: expected sizes of 0 or more, got {shape}")
    return shape


class _Room(threading.local):
    elements: float = math.inf


_room = _Room()


@contextlib.contextmanager
def at_most(elements: int) -> Iterator[None]:
    """Inside this ``with`` block, tensors made by shape have at most so many elements together.

    For shapes that come from a file: the tensor that is too much raises ShapeError before its memory is taken.

    >>> with at_most(1000):
    ...     zeros(1 << 40)
    Traceback (most recent call last):
    nnkit.errors.ShapeError: size: a tensor of shape (1099511627776,) is larger than expected here
    """
    before, _room.elements = _room.elements, elements
    try:
        yield
    finally:
        _room.elements = before


def blank(shape: tuple[int, ...], dtype: Any, device: Any) -> Tensor:
    """A tensor whose values are not set; raises ShapeError where ``at_most`` leaves no room for it."""
    _room.elements -= math.prod(shape)
    if _room.elements < 0:
        raise ShapeError(f"size: a tensor of shape {shape} is larger than expected here")
    backend = resolve(device)
    chosen = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)
    return Tensor(backend.empty(shape, chosen), backend)


def empty(
    *sizes: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """A tensor whose values are not set.

    float32 unless ``dtype`` is given. Raises ShapeError for sizes below 0, TypeError for what are no sizes. As
    ``torch.empty``, of any shape.

    >>> empty(2, 3).shape
    (2, 3)
    """
    return blank(shape_of(sizes, size), dtype, device).requires_grad_(requires_grad)


def full(
    size: Sequence[int], fill_value: float, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Every element is ``fill_value``; its type is that of the value unless ``dtype`` is given.

    Raises ShapeError for sizes below 0, ValueError for a text. As ``torch.full``, of any shape.

    >>> full((2, 2), 7.0)
    tensor([[7., 7.],
            [7., 7.]])
    """
    if dtype is None:
        dtype = dtypes.bool_ if isinstance(fill_value, bool) else None
        dtype = dtypes.int64 if isinstance(fill_value, int) and dtype is None else dtype
    out = blank(shape_of((size,)), dtype, device)
    out.backend.fill(fill_value, out.array)
    return out.requires_grad_(requires_grad)


def zeros(*sizes: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros.

    float32 unless ``dtype`` is given. Raises ShapeError for sizes below 0, TypeError for what are no sizes. As
    ``torch.zeros``, of any shape.

    >>> zeros(2, 3).shape
    (2, 3)
    """
    return full(shape_of(sizes, size), 0, dtype or dtypes.get_default_dtype(), device, requires_grad)


def ones(*sizes: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones.

    float32 unless ``dtype`` is given. Raises ShapeError for sizes below 0, TypeError for what are no sizes. As
    ``torch.ones``, of any shape.

    >>> ones(2, 2)
    tensor([[1., 1.],
            [1., 1.]])
    """
    return full(shape_of(sizes, size), 1, dtype or dtypes.get_default_dtype(), device, requires_grad)


@op
def new(kind: str, sizes: tuple[Any, ...], named: Any, options: dict[str, Any]) -> Tensor:
    """A tensor that ``empty``, ``zeros``, ``ones`` or ``full`` makes, for Tensor's methods of nearly that name."""
    makers: dict[str, Callable[..., Tensor]] = {"empty": empty, "zeros": zeros, "ones": ones, "full": full}
    return makers[kind](shape_of(sizes, named), **options)


def zeros_like(x: Tensor, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros of the shape, type and device of ``x``.

    Its dtype is that of ``x`` unless given. Raises TypeError where ``x`` is no Tensor. As ``torch.zeros_like``.

    >>> zeros_like(tensor([1, 2]))
    tensor([0, 0])
    """
    return full(x.shape, 0, dtype or x.dtype, device or x.device, requires_grad)


def ones_like(x: Tensor, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones of the shape, type and device of ``x``.

    Its dtype is that of ``x`` unless given. Raises TypeError where ``x`` is no Tensor. As ``torch.ones_like``.

    >>> ones_like(tensor([1, 2]))
    tensor([1, 1])
    """
    return full(x.shape, 1, dtype or x.dtype, device or x.device, requires_grad)


def full_like(
    x: Tensor, fill_value: float, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """``fill_value`` in the shape, type and device of ``x``.

    Its dtype is that of ``x`` unless given. Raises TypeError where ``x`` is no Tensor, ValueError for a text. As
    ``torch.full_like``.

    >>> full_like(tensor([1, 2]), 7)
    tensor([7, 7])
    """
    return full(x.shape, fill_value, dtype or x.dtype, device or x.device, requires_grad)


def empty_like(x: Tensor, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Values not set, in the shape, type and device of ``x``.

    Its dtype is that of ``x`` unless given. Raises TypeError where ``x`` is no Tensor. As ``torch.empty_like``.

    >>> empty_like(ones(2, 3)).shape
    (2, 3)
    """
    return empty(x.shape, dtype=dtype or x.dtype, device=device or x.device, requires_grad=requires_grad)


def arange(
    start: float = 0, end: float | None = None, step: float = 1, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """start, start + step, … before end (0, 1, … before start without end); int64 when every bound is an int.

    Raises TypeError for what are no numbers, ZeroDivisionError for a step of 0. As ``torch.arange``.

    >>> arange(3), arange(1, 2, 0.5)
    (tensor([0, 1, 2]), tensor([1. , 1.5]))
    """
    bounds = [
        b.item() if isinstance(b, Tensor) else b for b in ((0, start, step) if end is None else (start, end, step))
    ]
    if dtype is None:
        whole = all(isinstance(bound, (int, np.integer)) for bound in bounds)
        dtype = dtypes.int64 if whole else dtypes.get_default_dtype()
    return tensor(np.arange(*bounds), dtype, device, requires_grad)


def linspace(
    start: float, end: float, steps: int, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """``steps`` numbers from start to end, both included.

    A vector, float32 unless ``dtype`` is given. Raises ValueError for a number of steps below 0. As ``torch.linspace``.

    >>> linspace(0, 1, 5)
    tensor([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    ends = (float(start), float(end))
    return tensor(np.linspace(*ends, int(steps)), dtype or dtypes.get_default_dtype(), device, requires_grad)


def logspace(
    start: float, end: float, steps: int, base: float = 10.0, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """base to the power of ``steps`` numbers from start to end, both included.

    A vector, float32 unless ``dtype`` is given. Raises ValueError for a number of steps below 0. As ``torch.logspace``.

    >>> logspace(0, 2, 3)
    tensor([  1.,  10., 100.])
    """
    numbers = float(base) ** np.linspace(float(start), float(end), int(steps))
    return tensor(numbers, dtype or dtypes.get_default_dtype(), device, requires_grad)


def eye(n: int, m: int | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones on the diagonal of an (n, m) matrix, zeros elsewhere.

    Raises TypeError for sizes that are no whole numbers, ValueError for sizes below 0. As ``torch.eye``; float32 unless
    ``dtype`` is given.

    >>> eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    return tensor(np.eye(n, m), dtype or dtypes.get_default_dtype(), device, requires_grad)


# ---- random numbers -------------------------------------------------------------------------------------------------
