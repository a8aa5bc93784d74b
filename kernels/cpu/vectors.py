"""Code on vector registers, for the tiles of ``products``: several neighbouring elements at once.

LLVM's own vectoriser keeps too few sums in registers for a matrix product, so a tile says what is in a register. It is
written against ``Vectors``, which builds LLVM's instructions; only the number of lanes depends on the processor.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from nnkit.kernels.cpu import target


class Registers(NamedTuple):
    """A processor's vector registers."""

    nbytes: int  # of one register
    number: int


@functools.cache
def registers() -> Registers:
    """The vector registers of the processor that is compiled for, as LLVM describes it."""
    if target.has("avx512f"):
        return Registers(64, 32)
    if target.has("avx"):
        return Registers(32, 16)
    return Registers(16, 16 if target.architecture().startswith(("x86", "i")) else 32)


def lanes(dtype: str) -> int:
    """Elements in a register."""
    return registers().nbytes // np.dtype(dtype).itemsize


class Vectors:
    """Builds instructions on vectors of ``dtype`` and on the integers that address them, at LLVM's ``builder``."""

    def __init__(self, builder: Any, dtype: str, count: int = 0) -> None:
        from llvmlite import ir

        self.ir, self.builder, self.dtype = ir, builder, dtype
        self.lanes, self.size = count or lanes(dtype), np.dtype(dtype).itemsize
        self.real = ir.FloatType() if dtype == "float32" else ir.DoubleType()
        self.type = ir.VectorType(self.real, self.lanes)
        self.zero = ir.Constant(self.type, [ir.Constant(self.real, 0.0)] * self.lanes)
        self.suffix = f"v{self.lanes}f{8 * self.size}"

    def halved(self) -> Vectors:
        """Vectors of half as many lanes, built at the same place."""
        return Vectors(self.builder, self.dtype, self.lanes // 2)

    # ---- integers -----------------------------------------------------------------------------------------

    def integer(self, value: int) -> Any:
        """A constant."""
        return self.ir.Constant(self.ir.IntType(64), value)

    def plus(self, x: Any, y: Any) -> Any:
        """x + y; y may be a Python number."""
        return self.builder.add(x, self.integer(y) if isinstance(y, int) else y)

    def times(self, x: Any, y: Any) -> Any:
        """x y."""
        return self.builder.mul(x, y)

    def at_most(self, x: Any, limit: Any) -> Any:
        """The smaller of x and ``limit``."""
        return self.builder.select(self.builder.icmp_signed("<", x, limit), x, limit)

    @contextmanager
    def loop(self, stop: Any, step: int = 1) -> Iterator[Any]:
        """Repeat what is built inside for 0, step, … below ``stop``."""
        from numba.core import cgutils

        with cgutils.for_range_slice(self.builder, self.integer(0), stop, self.integer(step)) as (index, _):
            yield index

    def parts(self, count: Any) -> Iterator[tuple[Any, Any]]:
        """Build what the loop around this does, for whole registers of ``count`` elements, then for those left.

        Each time gives a place, and how many elements of the register count; None for all.
        """
        rest = self.builder.srem(count, self.integer(self.lanes))
        whole = self.builder.sub(count, rest)
        with self.loop(whole, self.lanes) as place:
            yield place, None
        with self.when(self.builder.icmp_signed(">", rest, self.integer(0))):
            yield whole, rest

    def when(self, condition: Any) -> Any:
        """A context: what is built inside runs only if."""
        return self.builder.if_then(condition)

    # ---- memory -------------------------------------------------------------------------------------------

    def variable(self, value: Any) -> Any:
        """A variable, which LLVM will keep in a register; read and set by the builder's load and store."""
        from numba.core import cgutils

        return cgutils.alloca_once_value(self.builder, value)

    def element(self, pointer: Any, index: Any) -> Any:
        """The address of one element."""
        return self.builder.gep(pointer, [index])

    def _place(self, pointer: Any, index: Any) -> Any:
        return self.builder.bitcast(self.element(pointer, index), self.type.as_pointer())

    def _call(self, name: str, result: Any, *arguments: Any) -> Any:
        from numba.core import cgutils

        kind = self.ir.FunctionType(result, [a.type for a in arguments])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), arguments)

    def lanes_below(self, count: Any) -> Any:
        """A mask of the first ``count`` lanes."""
        numbers = self.ir.Constant(self.ir.VectorType(self.ir.IntType(64), self.lanes), list(range(self.lanes)))
        return self.builder.icmp_signed("<", numbers, self.spread(count))

    def load(self, pointer: Any, index: Any, count: Any = None) -> Any:
        """The elements from ``index`` on; where given, only ``count`` of them, and zeros."""
        place = self._place(pointer, index)
        if count is None:
            return self.builder.load(place, align=self.size)
        aligned = self.ir.Constant(self.ir.IntType(32), self.size)
        return self._call(
            f"llvm.masked.load.{self.suffix}.p0", self.type, place, aligned, self.lanes_below(count), self.zero
        )

    def store(self, pointer: Any, index: Any, vector: Any, count: Any = None) -> None:
        """Write the elements from ``index`` on; where given, only ``count`` of them."""
        place = self._place(pointer, index)
        if count is None:
            self.builder.store(vector, place, align=self.size)
        else:
            aligned = self.ir.Constant(self.ir.IntType(32), self.size)
            self._call(
                f"llvm.masked.store.{self.suffix}.p0",
                self.ir.VoidType(),
                vector,
                place,
                aligned,
                self.lanes_below(count),
            )

    def every(self, pointer: Any, index: Any, stride: int, count: Any = None) -> Any:
        """The elements from ``index`` on, each (stride 1) or every other (2); where given, ``count`` and zeros."""
        if stride == 1:
            return self.load(pointer, index, count)
        behind = list(range(1, self.lanes, 2))  # of the last's neighbour, which may not be there, nothing is read
        high = self.plus(index, self.lanes - 1)
        if count is None:
            low_count = high_count = None
        else:
            low_count = self.builder.sub(self.times(count, self.integer(2)), self.integer(1))
            high_count = self.builder.sub(low_count, self.integer(self.lanes - 1))
        places = [*range(0, self.lanes, 2), *(self.lanes + k for k in behind)]
        return self._pick(self.load(pointer, index, low_count), self.load(pointer, high, high_count), places)

    def pairs(self, pointer: Any, index: Any, count: Any = None) -> tuple[Any, Any]:
        """Of twice as many elements from ``index`` on, those at even and at odd places; or of ``count`` pairs."""
        twice = None if count is None else self.times(count, self.integer(2))
        rest = None if twice is None else self.plus(twice, -self.lanes)
        low, high = self.load(pointer, index, twice), self.load(pointer, self.plus(index, self.lanes), rest)
        even = list(range(0, 2 * self.lanes, 2))
        return self._pick(low, high, even), self._pick(low, high, [k + 1 for k in even])

    def store_first(self, pointer: Any, index: Any, vector: Any, count: Any) -> None:
        """``store`` of ``count`` elements, at least one, without a mask where processors are slow at that."""
        self._store_first(pointer, index, vector, count, self.size, f"llvm.masked.store.{self.suffix}.p0")

    def address(self, pointer: Any, index: Any) -> Any:
        """Where an element lies, as a number."""
        return self.builder.ptrtoint(self.element(pointer, index), self.ir.IntType(64))

    def prefetch(self, address: Any) -> None:
        """Begin to fetch the cache line at an address, which need not be anyone's, into the second cache."""
        i32, at = self.ir.IntType(32), self.ir.IntType(8).as_pointer()
        how = [self.ir.Constant(i32, k) for k in (0, 2, 1)]  # to read; not into the first cache; data
        self._call("llvm.prefetch.p0", self.ir.VoidType(), self.builder.inttoptr(address, at), *how)

    def store_integers(self, address: Any, index: Any, vector: Any, count: Any = None) -> None:
        """Write int64 from element ``index`` of the memory at an address on; where given, ``count`` of them."""
        pointer = self.builder.inttoptr(address, self.ir.IntType(64).as_pointer())
        if count is None:
            place = self.builder.bitcast(self.element(pointer, index), vector.type.as_pointer())
            self.builder.store(vector, place, align=8)
        else:
            self._store_first(pointer, index, vector, count, 8, f"llvm.masked.store.v{self.lanes}i64.p0")

    def _store_first(self, pointer: Any, index: Any, vector: Any, count: Any, size: int, masked: str) -> None:
        place = self.builder.bitcast(self.element(pointer, index), vector.type.as_pointer())
        if target.has("avx512f"):
            aligned = self.ir.Constant(self.ir.IntType(32), size)
            self._call(masked, self.ir.VoidType(), vector, place, aligned, self.lanes_below(count))
            return
        with self.builder.if_else(self.builder.icmp_signed(">=", count, self.integer(self.lanes))) as (whole, part):
            with whole:
                self.builder.store(vector, place, align=size)
            with part:
                self._store_bits(pointer, index, vector, count, size)

    def _store_bits(self, pointer: Any, index: Any, vector: Any, count: Any, size: int) -> None:
        """Write fewer elements than there are: a half where so many are wanted, of the rest a quarter, and so on."""
        half = self.lanes
        while half > 1:
            half //= 2
            there = self.builder.icmp_signed("!=", self.builder.and_(count, self.integer(half)), self.integer(0))
            low, high = (self._pick(vector, vector, list(range(k, k + half))) for k in (0, half))
            with self.when(there):
                place = self.builder.bitcast(self.element(pointer, index), low.type.as_pointer())
                self.builder.store(low, place, align=size)
            index = self.plus(index, self.builder.select(there, self.integer(half), self.integer(0)))
            vector = self.builder.select(there, high, low)

    def copied(self, x: Any, at: Any, y: Any, to: Any, count: Any) -> None:
        """y[to + k] = x[at + k] for ``count`` places k, which do not overlap: the last register where it still fits.

        It may lie over the one before it. Fewer than fit a register are half registers, or single elements.
        """
        self._copied(self.lanes, x, at, y, to, count)

    def _copied(self, size: int, x: Any, at: Any, y: Any, to: Any, count: Any) -> None:
        kind = self.ir.VectorType(self.real, size) if size > 1 else self.real

        def move(k: Any) -> None:
            source = self.builder.bitcast(self.element(x, self.plus(at, k)), kind.as_pointer())
            target = self.builder.bitcast(self.element(y, self.plus(to, k)), kind.as_pointer())
            self.builder.store(self.builder.load(source, align=self.size), target, align=self.size)

        if size < max(self.lanes // 4, 2):
            with self.loop(count) as k:
                at_k = self.builder.load(self.element(x, self.plus(at, k)))
                self.builder.store(at_k, self.element(y, self.plus(to, k)))
            return
        last = self.plus(count, -size)
        with self.builder.if_else(self.builder.icmp_signed(">=", last, self.integer(0))) as (fits, short):
            with fits:
                with self.loop(last, size) as k:
                    move(k)
                move(last)
            with short:
                self._copied(size // 2, x, at, y, to, count)

    # ---- arithmetic ---------------------------------------------------------------------------------------

    def spread(self, value: Any) -> Any:
        """One value in every lane."""
        kind = self.ir.VectorType(value.type, self.lanes)
        i32 = self.ir.IntType(32)
        first = self.builder.insert_element(self.ir.Constant(kind, self.ir.Undefined), value, self.ir.Constant(i32, 0))
        return self._pick(first, first, [0] * self.lanes)

    def add(self, x: Any, y: Any) -> Any:
        """x + y, lane by lane."""
        return self.builder.fadd(x, y)

    def multiply_add(self, x: Any, y: Any, z: Any) -> Any:
        """x y + z, rounded once."""
        return self._call(f"llvm.fma.{self.suffix}", self.type, x, y, z)

    def _pick(self, x: Any, y: Any, places: list[int]) -> Any:
        kind = self.ir.VectorType(self.ir.IntType(32), len(places))
        return self.builder.shuffle_vector(x, y, self.ir.Constant(kind, places))

    def sums(self, vectors: list[Any]) -> list[Any]:
        """The sum of the lanes of each vector; as many as fit are folded together.

        The halves of a vector are added, then the quarters, and so on: a sum is the same whatever else is folded.
        """
        made: list[Any] = []
        while vectors:
            count = 1 << (min(len(vectors), self.lanes).bit_length() - 1)
            made += self._fold(vectors[:count])
            vectors = vectors[count:]
        return made

    def _fold(self, vectors: list[Any]) -> list[Any]:
        count, size, group = len(vectors), self.lanes, self.lanes  # lanes of a vector; lanes that belong to one sum
        while group > 1:
            half = group // 2
            pairs = [vectors[i : i + 2] for i in range(0, len(vectors), 2)]
            starts = range(0, size * len(pairs[0]), group)
            low = [start + k for start in starts for k in range(half)]
            high = [start + half + k for start in starts for k in range(half)]
            vectors = [self.add(self._pick(p[0], p[-1], low), self._pick(p[0], p[-1], high)) for p in pairs]
            size, group = len(low), half
        i32 = self.ir.IntType(32)
        return [self.builder.extract_element(vectors[0], self.ir.Constant(i32, k)) for k in range(count)]

    def fold(self, vector: Any, both: Callable[[Any, Any], Any]) -> Any:
        """One value of all lanes: ``both`` of the halves, then of the quarters, and so on."""
        size = self.lanes
        while size > 1:
            size //= 2
            low, high = list(range(size)), list(range(size, 2 * size))
            vector = both(self._pick(vector, vector, low), self._pick(vector, vector, high))
        return self.builder.extract_element(vector, self.ir.Constant(self.ir.IntType(32), 0))

    def transposed(self, vectors: list[Any]) -> list[Any]:
        """As many vectors as lanes, seen as rows of a square matrix: its columns."""
        vectors, half = list(vectors), 1
        while half < self.lanes:
            low = [k if k & half == 0 else self.lanes + k - half for k in range(self.lanes)]
            high = [k + half if k & half == 0 else self.lanes + k for k in range(self.lanes)]
            for i in range(self.lanes):
                if i & half == 0:
                    x, y = vectors[i], vectors[i + half]
                    vectors[i], vectors[i + half] = self._pick(x, y, low), self._pick(x, y, high)
            half *= 2
        return vectors


def tile_word(dtype: str, pointers: int, integers: int, build: Callable[..., None]) -> Any:
    """A word for kernels: ``build(vectors, *arguments)``, whose arguments are pointers, then int64 numbers."""
    from numba import from_dtype, types
    from numba.extending import intrinsic

    kinds = [types.CPointer(from_dtype(np.dtype(dtype)))] * pointers + [types.int64] * integers

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        build(Vectors(builder, dtype), *arguments)
        return context.get_dummy_value()

    # Numba wants a typing function of as many parameters as the word has.
    names = ", ".join(f"a{k}" for k in range(len(kinds)))
    namespace: dict[str, Any] = {"signature": types.void(*kinds), "generate": generate}
    exec(f"def typing(context, {names}):\n    return signature, generate", namespace)
    return intrinsic(namespace["typing"])
