"""The operators and methods of ``cupy.ndarray``: numpy's, through ``array.compute``."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from . import queues
from .array import Host, compute, ndarray, run
from .machine import machine


def refuse_blas(*arrays: Any) -> None:
    """CuPy does not call cuBLAS while a stream captures."""
    if any(isinstance(a, ndarray) and a.dtype.kind in "fc" for a in arrays):
        if queues.current_state().capture is not None:
            raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")
        machine.call("cublasGemmEx")


def _operator(function: Callable[..., Any], swapped: bool = False) -> Callable[[Any, Any], Any]:
    def call(self: ndarray, other: Any) -> Any:
        if isinstance(other, (list, tuple, str)) or other is None:
            return NotImplemented
        if function is operator.matmul:
            refuse_blas(self, other)
        return compute(function, *((other, self) if swapped else (self, other)))

    return call


def _in_place(function: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    def call(self: ndarray, other: Any) -> ndarray:
        def write(x: Host, y: Any) -> None:
            with np.errstate(all="ignore"):
                function(x, y, out=x, casting="same_kind")

        run(write, self, other, name=function.__name__)
        return self

    return call


def _method(name: str) -> Callable[..., Any]:
    function = getattr(np.ndarray, name)

    def call(self: ndarray, *args: Any, **options: Any) -> Any:
        return compute(function, self, *args, **options)

    call.__name__ = name
    return call


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor", "lshift", "rshift"):
    _function = getattr(operator, {"and": "and_", "or": "or_"}.get(_name, _name))
    setattr(ndarray, f"__{_name}__", _operator(_function))
    setattr(ndarray, f"__r{_name}__", _operator(_function, swapped=True))
ndarray.__matmul__ = _operator(operator.matmul)
ndarray.__rmatmul__ = _operator(operator.matmul, swapped=True)
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(ndarray, f"__{_name}__", _operator(getattr(operator, _name)))
for _name in ("neg", "pos", "abs", "invert"):
    setattr(ndarray, f"__{_name}__", _method(f"__{_name}__"))
for _name, _ufunc in {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide, "floordiv": np.floor_divide,
    "mod": np.remainder, "pow": np.power, "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
    "lshift": np.left_shift, "rshift": np.right_shift,
}.items():  # fmt: skip
    setattr(ndarray, f"__i{_name}__", _in_place(_ufunc))
METHODS = (
    "all", "any", "argmax", "argmin", "argsort", "astype", "clip", "conj", "copy", "cumprod", "cumsum", "diagonal",
    "flatten", "max", "mean", "min", "nonzero", "prod", "ravel", "repeat", "round", "squeeze", "std", "sum",
    "swapaxes", "trace", "transpose", "var",
)  # fmt: skip
for _name in METHODS:
    setattr(ndarray, _name, _method(_name))


def take(a: Host, indices: Any, axis: int | None = None) -> Host:
    """Elements by index; an index out of bounds goes round, as on the device."""
    length = a.size if axis is None else a.shape[axis]
    return np.take(a, np.mod(indices, max(length, 1)), axis=axis)  # mode="wrap" counts down, for hours where it is far


ndarray.take = lambda self, indices, axis=None, out=None: compute(take, self, indices, axis, out=out)
