"""What every device can do: memory, and the primitives, each with a reference body in array-API calls.

A namespace of the array-API standard is a working device in ten lines: subclass ``Backend``, name it, give it ``xp``.
A faster backend replaces primitives, one by one, and changes nothing else; the reference body stays the specification
that it is tested against. Primitives write into outputs that the caller gives; none allocates its result.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

from nnkit.backends.attention import Attention
from nnkit.backends.images import Images
from nnkit.backends.linear_algebra import LinearAlgebra
from nnkit.backends.normalization import Normalization
from nnkit.backends.places import Places
from nnkit.backends.precision import is_half
from nnkit.backends.recording import Array, primitive
from nnkit.backends.recurrent import Recurrent
from nnkit.kernels import formulas, philox, special
from nnkit.kernels.registered import FORMULAS
from nnkit.kernels.vocabulary import ARRAY_NAMES, array_words, bind, element_names

Scalar = Any  # a Python float, or a float64 array of one element in device memory

#: The methods of Backend that are primitives.
PRIMITIVES = (
    "map", "map_unless", "fill", "copy", "reduce", "arg_reduce", "matmul", "linear", "linear_grad", "half_linear_grad",
    "softmax", "softmax_grad", "cross_entropy", "take_rows", "take_batch", "add_rows", "next_key", "random_bits",
    "uniform", "dropout", "conv", "conv_grad", "conv_pooled", "max_pool", "max_pool_grad", "sum_pool", "sum_pool_grad",
    "patches", "patches_grad", "normalize", "normalize_grad", "normalize_by", "normalize_by_grad", "attention",
    "attention_grad", "recurrence", "recurrence_grad", "recurrent_step", "recurrent_step_grad", "gather", "scatter",
    "sort", "scan", "search", "factorize",
)  # fmt: skip


#: What the bodies here call of a namespace, besides the words of formulas.
NAMESPACE = (
    "arange", "argsort", "asarray", "astype", "bool", "broadcast_to", "concat", "cumulative_prod", "cumulative_sum",
    "empty", "expand_dims", "flip", "float32", "float64", "int64", "isfinite", "linalg", "matmul", "max", "maximum",
    "mean", "nonzero", "permute_dims", "reshape", "searchsorted", "stack", "sum", "take", "take_along_axis", "uint64",
    "unique_all", "zeros", "zeros_like",
    *ARRAY_NAMES.values(),
)  # fmt: skip


def keeps_input(activation: str) -> bool:
    """Whether the activation's gradient reads the input x; otherwise it reads the output y."""
    return element_names(FORMULAS[f"{formulas.ACTIVATIONS[activation]}_grad"])[1] == "x"


class _Bound(dict[str, Any]):
    """Formulas over the arrays of a namespace; those that are registered later are found too."""

    def __init__(self, xp: Any) -> None:
        super().__init__()
        self.xp = xp

    def __missing__(self, name: str) -> Any:
        self.update(bind({"erf": special.erf} | FORMULAS, array_words(self.xp)))
        if name not in self:
            raise KeyError(name)
        return self[name]


class Backend(Attention, Images, Normalization, Recurrent, Places, LinearAlgebra):
    """A device's memory and primitives over the array-API namespace ``xp``.

    Dtypes are numpy's in every signature; shapes are tuples of ints. ``array`` means an array of ``xp``, which has to
    have the names in ``NAMESPACE``, and arrays of float32, float64, int64, booleans, and (for random numbers) uint64
    that take values in place (``x[...] = y``). Its primitives raise ShapeError, DtypeError and NotImplementedError as
    they say. Raises TypeError where there is no ``xp``.

    >>> import numpy
    >>> class Mine(Backend):
    ...     name, xp = "mine", numpy
    >>> Mine().to_numpy(Mine().zeros((2,), numpy.dtype("float32")))
    array([0., 0.], dtype=float32)
    """

    def __init_subclass__(cls) -> None:
        """An override of a primitive is a primitive."""
        super().__init_subclass__()
        for name in PRIMITIVES:
            body = vars(cls).get(name)
            if body is not None and not hasattr(body, "__wrapped__"):
                setattr(cls, name, primitive(body))

    # ---- memory, where it takes a primitive ---------------------------------------------------------------------

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """An array of zeros."""
        out = self.empty(shape, dtype)
        self.fill(0, out)
        return out

    def reshape(self, x: Array, shape: tuple[int, ...]) -> Array:
        """The same elements in row-major order under another shape; a view where possible."""
        part = self.view(x, shape)
        if part is not None:
            return part
        out = self.empty(tuple(x.shape), self.dtype_of(x))  # a primitive copies, so that a recording has it
        self.copy(x, out)
        return self.view(out, shape)

    # ---- primitives: elementwise ----------------------------------------------------------------------------

    @functools.cached_property
    def formulas(self) -> dict[str, Any]:
        """Every formula over this backend's arrays."""
        return _Bound(self.xp)

    @primitive
    def map(self, formula: str, inputs: Sequence[Array], out: Sequence[Array], scalars: Sequence[Scalar] = ()) -> None:
        """Each element of ``out`` from the elements of ``inputs`` (broadcast) by a formula of ``kernels``.

        ``scalars`` are one value for each keyword-only parameter of the formula, in order. An output may be one of
        the inputs; it may not overlap one otherwise.
        """
        wide = [self._wide(x) for x in inputs]
        numbers = [self._number(s, wide[0].dtype) for s in scalars]
        with self.quietly():
            values = self.formulas[formula](*wide, *numbers)
        for target, value in zip(out, values if len(out) > 1 else (values,), strict=True):
            if isinstance(value, float):  # a literal that the formula returns as it is
                self.fill(value, target)
            else:
                self._write(value, target)

    def _wide(self, x: Array) -> Array:
        """x, as float32 where it is of a half type: formulas and sums of those are computed so, as in kernels."""
        computed = self._computed(x)
        return x if computed == x.dtype else self.xp.astype(x, computed)

    def _computed(self, x: Array) -> Any:
        """The type that is computed in for x."""
        return self.xp.float32 if is_half(self.dtype_of(x)) else x.dtype

    def _number(self, scalar: Scalar, dtype: Any) -> Array:
        """A scalar as an array of one element of the type that the formula computes in."""
        if isinstance(scalar, (int, float)):
            return self.xp.asarray(scalar, dtype=dtype)
        return self.xp.reshape(self.xp.astype(scalar, dtype), ())

    def _write(self, value: Array, out: Array) -> None:
        if value.dtype != out.dtype:
            with self.quietly():
                value = self.xp.astype(value, out.dtype)
        out[...] = self.xp.broadcast_to(value, out.shape)

    @primitive
    def map_unless(
        self, flag: Array, formula: str, inputs: Sequence[Array], out: Sequence[Array], scalars: Sequence[Scalar] = ()
    ) -> None:
        """``map`` where ``flag``, float64 of one element, is 0; else ``out`` stays as it is.

        The flag is read on the device, so a replayed step can leave out its update.
        """
        stays = self.xp.reshape(flag, ()) != 0.0
        values = [self.empty(tuple(target.shape), self.dtype_of(target)) for target in out]
        self.map(formula, inputs, values, scalars)
        for value, target in zip(values, out, strict=True):
            self._write(self.xp.where(stays, target, value), target)

    def prepared_map(
        self, formula: str, inputs: Sequence[Array], out: Sequence[Array], scalars: Sequence[Scalar] = ()
    ) -> Callable[[], None]:
        """``map`` of these very arrays, to be run often: what can be decided once is."""
        return functools.partial(self.map, formula, inputs, out, scalars)

    @primitive
    def fill(self, value: float, out: Array) -> None:
        """Every element becomes ``value``."""
        out[...] = self.xp.asarray(value, dtype=out.dtype)

    @primitive
    def copy(self, x: Array, out: Array) -> None:
        """The elements of x (broadcast, cast to the type of ``out``)."""
        self._write(x, out)

    # ---- primitives: reductions -----------------------------------------------------------------------------

    @primitive
    def reduce(self, kind: str, x: Array, axes: tuple[int, ...], out: Array) -> None:
        """kind is sum, prod, max, min, any or all, over ``axes``; ``out`` has those axes removed or of size 1."""
        with self.quietly():
            result = getattr(self.xp, kind)(self._wide(x), axis=axes)
        self._write(self.xp.reshape(result, out.shape), out)

    @primitive
    def arg_reduce(self, kind: str, x: Array, axis: int, out: Array) -> None:
        """kind is argmax or argmin: the index of the first greatest or least element along ``axis``."""
        self._write(self.xp.reshape(getattr(self.xp, kind)(x, axis=axis), out.shape), out)

    # ---- primitives: matrix products --------------------------------------------------------------------------

    @primitive
    def matmul(self, x: Array, y: Array, out: Array) -> None:
        """x (..., M, K) times y (..., K, N), batch axes broadcast."""
        with self.quietly():
            self._write(self.xp.matmul(self._wide(x), self._wide(y)), out)

    @primitive
    def linear(
        self, x: Array, w: Array, b: Array | None, activation: str, z: Array | None, out: Array,
        scalars: Sequence[float] = (),
    ) -> None:  # fmt: skip
        """activation(x w^T + b): x (M, I), w (O, I), b (O,), out (M, O).

        z (M, O), where given, keeps the value before the activation (see ``keeps_input``).
        """
        target = out if z is None else z
        self.matmul(x, self.permute(w, (1, 0)), target)
        if b is not None:
            self.map("add", (target, b), (target,))
        if activation != "identity" or target is not out:
            self.map(formulas.ACTIVATIONS[activation], (target,), (out,), scalars)

    @primitive
    def linear_grad(
        self, x: Array, w: Array, kept: Array, dy: Array, activation: str, dz: Array, dx: Array | None,
        dw: Array | None, db: Array | None, add: tuple[bool, bool], scalars: Sequence[float] = (),
    ) -> None:  # fmt: skip
        """The gradients of ``linear``: dz (M, O) is scratch and may be dy where the activation is identity.

        kept is what the activation's gradient reads, z or the output. dx, dw and db are written where given;
        ``add`` says whether dw and db are added to what is there instead.
        """
        if activation != "identity":
            self.map(f"{formulas.ACTIVATIONS[activation]}_grad", (dy, kept), (dz,), scalars)
        if db is not None:
            with self.quietly():
                self._put(self.xp.sum(self._wide(dz), axis=0), db, add[1])
        if dw is not None:
            with self.quietly():
                self._put(self.xp.matmul(self.permute(self._wide(dz), (1, 0)), self._wide(x)), dw, add[0])
        if dx is not None:
            self.matmul(dz, w, dx)

    def rounded(self, x: Array, half: str) -> Array:
        """x as an operand of products under ``autocast``: rounded to the numbers of "bfloat16" or "float16".

        Here they stay in memory of x's type. A device that multiplies half types may return an array of that type;
        then its ``matmul``, ``linear`` and ``half_linear_grad`` have to take it, with sums and results in float32.
        """
        out = self.empty(tuple(x.shape), self.dtype_of(x))
        self.map(f"round_to_{half}", (x,), (out,))
        return out

    def half_linear_grad(
        self, half: str, x: Array, w: Array, kept: Array, dy: Array, activation: str, dz: Array, dx: Array | None,
        dw: Array | None, db: Array | None, add: tuple[bool, bool], scalars: Sequence[float] = (),
    ) -> None:  # fmt: skip
        """``linear_grad`` under ``autocast``: x and w are ``rounded``, dz is rounded before it is multiplied.

        db is the sum of dz itself. Made of other primitives, which a program has as instructions of its own.
        """
        if activation != "identity" or db is not None:
            self.linear_grad(x, w, kept, dy, activation, dz, None, None, db, add, scalars)
        if dx is not None or dw is not None:
            operand = self.rounded(dz, half)
            self.linear_grad(x, w, operand, operand, "identity", operand, dx, dw, None, add)

    def _put(self, value: Array, out: Array, add: bool) -> None:
        self._write(out + value if add else value, out)

    # ---- primitives: classification ---------------------------------------------------------------------------

    @primitive
    def softmax(self, x: Array, log: bool, out: Array) -> None:
        """Softmax, or its logarithm, over the last axis."""
        xp, x = self.xp, self._wide(x)
        with self.quietly():
            shifted = x - xp.max(x, axis=-1, keepdims=True)
            e = xp.exp(shifted)
            total = xp.sum(e, axis=-1, keepdims=True)
            self._write(shifted - xp.log(total) if log else e / total, out)

    @primitive
    def softmax_grad(self, dy: Array, y: Array, log: bool, out: Array) -> None:
        """The gradient of ``softmax`` from its output."""
        xp, dy, y = self.xp, self._wide(dy), self._wide(y)
        with self.quietly():
            if log:
                self._write(dy - xp.exp(y) * xp.sum(dy, axis=-1, keepdims=True), out)
            else:
                self._write(y * (dy - xp.sum(dy * y, axis=-1, keepdims=True)), out)

    @primitive
    def cross_entropy(self, z: Array, labels: Array, row_weights: Array | None, loss: Array, dz: Array) -> None:
        """Per row of logits z (B, C): loss (B,) = w (log sum exp z - z[label]), dz = w (softmax(z) - onehot(label)).

        labels are int64 from 0 to C - 1 (the caller checks); row_weights (B,) are 1 where not given.
        """
        xp, z = self.xp, self._wide(z)
        with self.quietly():
            shifted = z - xp.max(z, axis=-1, keepdims=True)
            e = xp.exp(shifted)
            total = xp.sum(e, axis=-1, keepdims=True)
            classes = xp.arange(z.shape[1], dtype=labels.dtype)
            right = xp.astype(xp.expand_dims(labels, axis=1) == classes, z.dtype)
            losses = xp.log(total[:, 0]) - xp.sum(xp.where(right > 0.0, shifted, 0.0), axis=1)
            gradient = e / total - right
            if row_weights is not None:
                losses = losses * row_weights
                gradient = gradient * xp.expand_dims(row_weights, axis=1)
        self._write(losses, loss)
        self._write(gradient, dz)

    # ---- primitives: rows ---------------------------------------------------------------------------------------

    @primitive
    def take_rows(self, x: Array, indices: Array, out: Array) -> None:
        """out[i] = x[indices[i]]: x (N, ...), indices int64 (M,) from 0 to N - 1, out (M, ...)."""
        self._write(self.xp.take(x, indices, axis=0), out)

    @primitive
    def take_batch(self, x: Array, order: Array, cursor: Array, out: Array) -> None:
        """out[i] = x[order[cursor + i]]: x (N, ...), order int64 (at least cursor + M,), cursor int64 (1,), out
        (M, ...).

        The cursor is read on the device, so a replayed step takes another batch every time.
        """
        xp = self.xp
        places = xp.arange(out.shape[0], dtype=cursor.dtype) + cursor
        self._write(xp.take(x, xp.take(order, places, axis=0), axis=0), out)

    @primitive
    def add_rows(self, y: Array, indices: Array, out: Array) -> None:
        """out[indices[i]] += y[i], also where an index comes twice: y (M, ...), out (N, ...)."""
        xp = self.xp
        rows, width = out.shape[0], math.prod(out.shape[1:])
        wanted = xp.arange(rows, dtype=indices.dtype)
        hits = xp.astype(xp.expand_dims(wanted, axis=1) == indices, out.dtype)
        y = xp.reshape(y, (y.shape[0], width))
        total = xp.matmul(hits, xp.where(xp.isfinite(y), y, xp.zeros_like(y)))
        # 0 times what is infinite or NaN would be NaN in every row, so rows that take some are counted apart.
        unknown = y != y
        signs = (xp.astype((y == end) | unknown, out.dtype) for end in (math.inf, -math.inf))
        up, down = (xp.matmul(hits, sign) > 0 for sign in signs)
        infinite = xp.where(up, xp.where(down, total * math.nan, total + math.inf), total - math.inf)
        self._write(out + xp.reshape(xp.where(up | down, infinite, total), out.shape), out)

    # ---- primitives: random numbers -------------------------------------------------------------------------------

    @primitive
    def next_key(self, state: Array, key: Array) -> None:
        """Take the key of the next draw: key becomes (seed, draw number), and the number in ``state`` grows by one.

        Both are int64 (2,) in device memory, so a replayed program draws new numbers every time.
        """
        self._write(state, key)
        state[1:2] = state[1:2] + self.xp.asarray(1, dtype=state.dtype)

    @primitive
    def random_bits(self, key: Array, purpose: int, out: Array) -> None:
        """63 random bits in each element of int64 ``out`` (n,), never negative; equal on every backend."""
        xp, count = self.xp, out.shape[0]
        words = xp.reshape(philox.words(xp, 2 * count, purpose, key[0:1], key[1:2]), (count, 2))
        high = words[:, 0] >> xp.asarray(1, dtype=xp.uint64)
        self._write((high << xp.asarray(32, dtype=xp.uint64)) | words[:, 1], out)

    @primitive
    def uniform(self, key: Array, purpose: int, out: Array) -> None:
        """Numbers in [0, 1), multiples of 2**-24, equal on every backend: see ``kernels.philox``.

        In half types the same numbers cut to multiples of 2**-11 (float16) or 2**-8 (bfloat16).
        """
        xp, count = self.xp, math.prod(out.shape)
        words = philox.words(xp, count, purpose, key[0:1], key[1:2])
        numbers = philox.uniforms(xp, words, self._computed(out))
        if numbers.dtype != out.dtype:  # cut, for rounding might give 1
            digits = 2.0**11 if self.dtype_of(out) == "float16" else 2.0**8
            numbers = xp.floor(numbers * digits) / digits
        self._write(xp.reshape(numbers, out.shape), out)

    @primitive
    def dropout(self, x: Array, p: float, key: Array, out: Array, first: int = 0) -> None:
        """0 with probability p, else x / (1 - p). The same key drops the same elements: so it is its own gradient.

        x is part of a larger array, whose elements the key drops: its own begin with element ``first`` of that.
        """
        xp, x = self.xp, self._wide(x)
        u = self.empty((first + math.prod(x.shape),), self.dtype_of(x))
        self.uniform(key, philox.PURPOSES["dropout"], u)
        u = self.reshape(u[first:], tuple(x.shape))
        keep = self._number(1.0, x.dtype) / (self._number(1.0, x.dtype) - self._number(p, x.dtype))
        self._write(xp.where(u >= self._number(p, x.dtype), x * keep, 0.0), out)
