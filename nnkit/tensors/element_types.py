"""Tensors of another element type, new tensors like one at hand, and what a tensor says of its memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from nnkit.errors import DtypeError, GradientError, ShapeError
from nnkit.tensors import dtypes
from nnkit.tensors.methods import OPS

if TYPE_CHECKING:
    from nnkit.tensors.tensor import Tensor

#: PyTorch's old names of tensor types -> element types.
LEGACY = {
    "FloatTensor": dtypes.float32, "DoubleTensor": dtypes.float64, "HalfTensor": dtypes.float16,
    "ByteTensor": dtypes.uint8, "CharTensor": dtypes.int8, "ShortTensor": dtypes.int16, "IntTensor": dtypes.int32,
    "LongTensor": dtypes.int64, "BoolTensor": dtypes.bool_,
}  # fmt: skip
# Aliases, because the class below has methods named int, float and bool.
Int = int
Flag = bool
Number = float


def _cast(dtype: Any) -> Callable[..., Any]:
    """A method that gives the tensor in another element type."""

    def method(self: Any, memory_format: Any = None) -> Tensor:
        return OPS["to"](self, None, dtype)

    method.__doc__ = f"As {dtype}."
    return method


class ElementTypes:
    """The part of Tensor about element types and memory."""

    __slots__ = ()

    # ---- element types ------------------------------------------------------------------------------------------

    double, half, bfloat16 = _cast(dtypes.float64), _cast(dtypes.float16), _cast("bfloat16")
    byte, char, short, long = (_cast(t) for t in (dtypes.uint8, dtypes.int8, dtypes.int16, dtypes.int64))

    def type(self: Any, dtype: Any = None, non_blocking: Any = False) -> Any:
        """Of another type, by element type or by an old name such as ``torch.FloatTensor``; without one, that name."""
        if dtype is None:
            name = next((name for name, kind in LEGACY.items() if kind == self.dtype), "BFloat16Tensor")
            return f"torch.cuda.{name}" if self.is_cuda else f"torch.{name}"
        name = dtype if isinstance(dtype, str) else getattr(dtype, "__name__", "")
        short = name.rpartition(".")[2]
        if short not in LEGACY:
            return self.to(dtype=dtype)
        return self.to("cuda" if ".cuda." in f".{name}" else self.device, LEGACY[short])

    def type_as(self: Any, other: Tensor) -> Tensor:
        """Of another tensor's element type."""
        return self.to(other.dtype)

    # ---- new tensors ----------------------------------------------------------------------------------------------

    def _like(self: Any, options: dict[str, Any]) -> dict[str, Any]:
        """Options of a new tensor: this one's element type and device, unless others are given."""
        for word in ("layout", "pin_memory"):
            options.pop(word, None)
        given = {name: value for name, value in options.items() if value is not None}
        return {"dtype": self.dtype, "device": self.device} | given

    def new_empty(self: Any, *size: Any, **options: Any) -> Tensor:
        """Values not set, of this element type and device; options dtype, device, requires_grad."""
        return OPS["new"]("empty", size, options.pop("size", None), self._like(options))

    def new_zeros(self: Any, *size: Any, **options: Any) -> Tensor:
        """Zeros of this element type and device."""
        return OPS["new"]("zeros", size, options.pop("size", None), self._like(options))

    def new_ones(self: Any, *size: Any, **options: Any) -> Tensor:
        """Ones of this element type and device."""
        return OPS["new"]("ones", size, options.pop("size", None), self._like(options))

    def new_full(self: Any, size: Any, fill_value: Number, **options: Any) -> Tensor:
        """One value, in this element type and on this device."""
        return OPS["new"]("full", (size,), None, self._like(options) | {"fill_value": fill_value})

    def new_tensor(self: Any, data: Any, **options: Any) -> Tensor:
        """A copy of numbers, in this element type and on this device."""
        return OPS["tensor"](data, **self._like(options))

    def new(self: Any, *given: Any, **options: Any) -> Tensor:
        """As ``Tensor`` in old scripts: sizes for values not set, or numbers, of this element type and device."""
        if len(given) == 1 and not isinstance(given[0], (int, np.integer)):
            sizes = isinstance(given[0], tuple) and all(isinstance(n, int) for n in given[0])  # x.new(y.size())
            return self.new_empty(given[0], **options) if sizes else self.new_tensor(given[0], **options)
        return self.new_empty(given or (0,), **options)

    # ---- memory -----------------------------------------------------------------------------------------------------

    @property
    def is_cuda(self: Any) -> Flag:
        """Whether it is on an NVIDIA GPU."""
        return self.device.type == "cuda"

    @property
    def is_cpu(self: Any) -> Flag:
        """Whether it is on a CPU."""
        return not self.is_cuda

    is_sparse = is_quantized = is_mps = is_meta = is_xpu = is_mkldnn = property(lambda self: False)

    @property
    def itemsize(self: Any) -> Int:
        """The bytes of an element."""
        return self.dtype.itemsize

    @property
    def nbytes(self: Any) -> Int:
        """The bytes of all elements."""
        return self.numel() * self.dtype.itemsize

    def element_size(self: Any) -> Int:
        """The bytes of an element."""
        return self.dtype.itemsize

    def nelement(self: Any) -> Int:
        """The number of elements."""
        return self.numel()

    def ndimension(self: Any) -> Int:
        """The number of axes."""
        return self.ndim

    def is_complex(self) -> Flag:
        """False: there are no complex numbers here."""
        return False

    def is_signed(self: Any) -> Flag:
        """Whether the type has numbers below 0."""
        return self.dtype not in (dtypes.uint8, dtypes.bool_)

    def is_nonzero(self: Any) -> Flag:
        """Whether the one element is not 0. Raises ShapeError for more or less than one."""
        return bool(self)

    def is_contiguous(self: Any, memory_format: Any = None) -> Flag:
        """Whether the elements lie in order in memory."""
        return self.backend.is_contiguous(self.array)

    def stride(self: Any, dim: Int | None = None) -> Any:
        """How many elements lie between neighbours along each axis, or along one."""
        steps = tuple(step // self.dtype.itemsize for step in self.backend.strides(self.array))
        return steps if dim is None else steps[dim]

    def data_ptr(self: Any) -> Int:
        """The address of the first element."""
        return self.backend.address(self.array)

    def storage_offset(self: Any) -> Int:
        """How many elements lie in memory before the first one of this view; 0 of what is no view."""
        view = self.view_of
        if view is None:
            return 0
        return (self.backend.address(self.array) - view.base.data_ptr()) // self.dtype.itemsize

    def get_device(self: Any) -> Int:
        """The number of the GPU; -1 on a CPU."""
        return self.device.index if self.is_cuda else -1

    def pin_memory(self: Any, device: Any = None) -> Tensor:
        """Itself: copies to a GPU go through pinned memory of nnkit's own."""
        return self

    def is_pinned(self, device: Any = None) -> Flag:
        """False: see ``pin_memory``."""
        return False

    def share_memory_(self: Any) -> Tensor:
        """Itself: worker processes get copies."""
        return self

    def is_shared(self) -> Flag:
        """False: see ``share_memory_``."""
        return False

    def to_dense(self: Any, *args: Any, **options: Any) -> Tensor:
        """Itself: there are no sparse tensors here."""
        return self

    def resize_(self: Any, *sizes: Any) -> Tensor:
        """Another shape in place: the first elements in row-major order; new ones are not set. Off the tape only."""
        if self.requires_grad:
            raise GradientError("resize_ of a tensor that requires grad: resize x.data, or use reshape")
        return OPS["resize_in"](self, sizes)

    def resize_as_(self: Any, other: Tensor) -> Tensor:
        """``resize_`` to another tensor's shape."""
        return self.resize_(other.shape)

    def resize(self: Any, *sizes: Any) -> Tensor:
        """The same elements under another shape. Raises ShapeError where their number differs."""
        return OPS["reshape"](self, tuple(sizes[0]) if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes)

    # ---- with functions of Python -----------------------------------------------------------------------------------

    def apply_(self: Any, callable: Callable[[Any], Any]) -> Tensor:
        """Each element becomes what a Python function makes of it; slow, and off the tape."""
        values = [callable(value) for value in self.detach().reshape(-1).tolist()]
        return self.copy_(self.new_tensor(values).reshape(self.shape))

    def map_(self: Any, tensor: Tensor, callable: Callable[[Any, Any], Any]) -> Tensor:
        """Each element becomes what a Python function makes of it and of another tensor's; slow, and off the tape."""
        if tensor.shape != self.shape:
            raise ShapeError(f"map_: expected a tensor of shape {self.shape}, got {tensor.shape}")
        if tensor.dtype != self.dtype:
            raise DtypeError(f"map_: expected a tensor of {self.dtype}, got {tensor.dtype}")
        pairs = zip(self.detach().reshape(-1).tolist(), tensor.detach().reshape(-1).tolist(), strict=True)
        return self.copy_(self.new_tensor([callable(a, b) for a, b in pairs]).reshape(self.shape))

    # ---- last, because they hide Python's own words above ----------------------------------------------------------

    def bool(self: Any, memory_format: Any = None) -> Tensor:
        """As booleans: whether each element is not 0."""
        return self if self.dtype == dtypes.bool_ else OPS["ne"](self, 0)

    float, int = _cast(dtypes.float32), _cast(dtypes.int32)
