"""Runs a CUDA kernel's text on the host, block by block, so that it can be tested without a GPU.

A GPU runs the threads of a block in any order, and lets one run ahead of another until both wait at a barrier. Here
every thread is a greenlet (a function that can be left and taken up again); between two barriers the threads run one
after another, in an order that the schedule names. A correct kernel gives the same result under every schedule.
What the order of one run might hide is looked for at every access: memory that two threads use between two barriers
while one of them writes it (a race), shared memory that nobody wrote, an index out of bounds, a barrier that some
threads do not reach. Each of them raises, naming the kernel, the block and the thread.
"""

from __future__ import annotations

import contextvars
import functools
import random
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from nnkit.kernels.cuda.compiler import Source
from nnkit.kernels.cuda.words import STORED, host_words

WARP = 32
#: Stamps: moments are multiples of MOMENT, to which the thread's number is added, or SEVERAL.
MOMENT, SEVERAL = 4096, 4095
SCHEDULES = ("forward", "backward", "shuffled")


class KernelError(RuntimeError):
    """A kernel did what on a GPU has no defined result."""


class OutOfBounds(KernelError):
    """An access outside of the memory that a pointer was given with, or not aligned to its width."""


class Race(KernelError):
    """Two threads use one place in memory, one of them writes, and no barrier lies between."""


class Divergence(KernelError):
    """Some threads wait at a barrier or for a shuffle that others do not reach."""


class Log:
    """Who used which address: raises when two threads meet at one without a barrier between.

    A stamp is a moment and a thread in one number; moments come with every barrier and every block. Blocks never wait
    for one another, so what one of them wrote no other may read. Shared memory belongs to one block, and starts
    unwritten.
    """

    __slots__ = ("place", "readers", "shared", "writers")

    def __init__(self, place: Place, shared: bool) -> None:
        self.place, self.shared = place, shared
        self.writers: dict[int, int] = {}  # address -> stamp
        self.readers: dict[int, int] = {}

    def read(self, memory: Memory, index: int) -> None:
        address = memory.base + int(index) * memory.step
        here, written, read = self.place, self.writers.get(address), self.readers.get(address)
        if written is None:
            if self.shared:
                raise Race(f"{memory.name}[{index}]: this thread reads shared memory that nobody wrote")
        elif written != here.stamp and not here.start <= written < here.moment:
            self.fail(memory, index, "reads", "wrote", written)
        if read is None or here.start <= read < here.moment:
            self.readers[address] = here.stamp
        elif read != here.stamp and read >= here.moment:
            self.readers[address] = here.moment + SEVERAL

    def write(self, memory: Memory, index: int) -> None:
        address = memory.base + int(index) * memory.step
        here, written, read = self.place, self.writers.get(address), self.readers.get(address)
        if written is not None and written != here.stamp and not here.start <= written < here.moment:
            self.fail(memory, index, "writes", "wrote", written)
        if read is not None and read != here.stamp and not here.start <= read < here.moment:
            self.fail(memory, index, "writes", "read", read)
        self.writers[address] = here.stamp

    def fail(self, memory: Memory, index: int, now: str, then: str, stamp: int) -> NoReturn:
        other = "several threads" if stamp % MOMENT == SEVERAL else f"thread {stamp % MOMENT}"
        if stamp < self.place.start:
            other = "another block"
        raise Race(f"{memory.name}[{index}]: this thread {now} what {other} {then}, and no barrier lies between")


class Memory:
    """A pointer: checks each access, then reads or writes the array."""

    __slots__ = ("array", "base", "log", "name", "size", "step")

    def __init__(self, name: str, array: np.ndarray, log: Log) -> None:
        self.name, self.array, self.log = name, array, log
        self.size, self.step, self.base = array.size, array.itemsize, array.ctypes.data

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < self.size:
            raise OutOfBounds(f"{self.name}[{index}] of {self.size} elements")
        self.log.read(self, index)
        return self.array[index]

    def __setitem__(self, index: int, value: Any) -> None:
        if not 0 <= index < self.size:
            raise OutOfBounds(f"{self.name}[{index}] of {self.size} elements")
        self.log.write(self, index)
        self.array[index] = value

    def neighbours(self, group: int, count: int) -> range:
        """The indices of the ``count`` neighbours that one access reads or writes."""
        first = count * int(group)
        if (self.base + first * self.step) % min(16, count * self.step):
            raise OutOfBounds(f"{self.name}[{first}]: {count} elements of {self.step} bytes are not aligned there")
        return range(first, first + count)


class Place:
    """Where and when the running thread is: its number, its block, the moment; and what the block shares."""

    def __init__(self, source: Source, grid: int) -> None:
        self.threads, self.grid = source.threads, grid
        self.block = self.thread = self.start = self.moment = self.stamp = 0
        self.arrays: list[Memory] = []
        self.claimed: dict[int, int] = {}  # thread -> how many shared arrays it has asked for

    def enter(self, block: int) -> None:
        """A new block begins."""
        self.block = block
        self.pass_barrier()
        self.start = self.moment
        self.arrays, self.claimed = [], {}

    def pass_barrier(self) -> None:
        """A new moment begins."""
        self.moment += MOMENT

    def resume(self, thread: int) -> None:
        """A thread runs on."""
        self.thread, self.stamp = thread, self.moment + thread

    def shared(self, count: int, dtype: Any) -> Memory:
        """The next shared array of the block; its threads ask for the same ones in the same order."""
        number = self.claimed.get(self.thread, 0)
        self.claimed[self.thread] = number + 1
        if number == len(self.arrays):
            array = np.full(count, 0xAA, np.uint8).repeat(np.dtype(dtype).itemsize).view(dtype)
            self.arrays.append(Memory(f"shared array {number}", array, Log(self, shared=True)))
        return self.arrays[number]


# ---- the words that ask where a thread is, or stop it -----------------------------------------------------------


class Request(NamedTuple):
    """Why a thread stopped: the word, the line of the kernel's text, and what a shuffle offers and asks."""

    word: str
    line: int
    value: Any = None
    argument: int = 0


def place_words(place: Place) -> dict[str, Any]:
    """The words on a thread's place, shared memory, waiting, and several elements at once."""

    def stop(word: str) -> Callable[..., Any]:
        return lambda *what: greenlets().getcurrent().parent.switch(Request(word, sys._getframe(1).f_lineno, *what))

    def load(count: int) -> Callable[..., Any]:
        return lambda x, group: tuple(x[i] for i in x.neighbours(group, count))

    def store(count: int) -> Callable[..., Any]:
        def word(y: Memory, group: int, *values: Any) -> None:
            for i, value in zip(y.neighbours(group, count), values, strict=True):
                y[i] = value

        return word

    return {
        "thread": lambda: place.thread, "block": lambda: place.block, "lane": lambda: place.thread % WARP,
        "threads": lambda: place.threads, "blocks": lambda: place.grid,
        "grid_thread": lambda: place.block * place.threads + place.thread,
        "grid_size": lambda: place.grid * place.threads, "shared": place.shared,
        "barrier": stop("barrier"), "shuffle_xor": stop("shuffle_xor"), "shuffle_down": stop("shuffle_down"),
        "ballot": stop("ballot"), "lowest_bit": lambda number: (int(number) & -int(number)).bit_length() - 1,
        "load4": load(4), "load8": load(8), "store4": store(4), "store8": store(8),
    }  # fmt: skip


@functools.cache
def greenlets() -> Any:
    """The library that gives each thread a stack of its own; kernels whose threads never wait do without."""
    import greenlet

    return greenlet


# ---- running ----------------------------------------------------------------------------------------------------


def run(source: Source, grid: int, arguments: Sequence[Any], schedule: str = "forward", seed: int = 0) -> None:
    """Run a kernel over ``grid`` blocks. Pointers are C-contiguous numpy arrays, which it reads and writes.

    A sixteen-bit float's pointer takes an array of that type or of its bits, a boolean's one of bool or uint8.
    schedule is "forward", "backward" or "shuffled" (with ``seed``). Raises KernelError, and TypeError where an
    argument is not what the kernel's parameter says.

    >>> text = "def kernel(x, n):\\n    i = grid_thread()\\n    if i < n:\\n        x[i] = relu(x[i])"
    >>> x = np.array([-1, 2], "float32")
    >>> run(Source("relu", text, ("float32*", "int64"), "float32", 32), 1, [x, 2])
    >>> x.tolist()
    [0.0, 2.0]
    """
    place = Place(source, grid)
    values = bound(source, arguments, Log(place, shared=False))
    namespace = host_words(source.dtype) | place_words(place)
    exec(code_of(source.text, source.name), namespace)
    call = functools.partial(namespace["kernel"], *values)
    waits = any(word in source.text for word in ("barrier(", "shuffle_", "ballot("))
    order = orders(schedule, seed)
    with np.errstate(all="ignore"):
        for block in order(grid):
            place.enter(block)
            try:
                (run_waiting if waits else run_plain)(call, place, order)
            except Exception as error:
                error.add_note(f"in kernel {source.name}, block {place.block}, thread {place.thread}")
                raise


@functools.lru_cache(256)
def code_of(text: str, name: str) -> Any:
    return compile(text, f"<kernel {name}>", "exec")


def bound(source: Source, arguments: Sequence[Any], log: Log) -> list[Any]:
    """The kernel's arguments: pointers for arrays, and scalars as they come out of a launch."""
    names = code_of(source.text, source.name).co_consts[0].co_varnames
    values: list[Any] = []
    for name, parameter, argument in zip(names, source.parameters, arguments, strict=False):
        stored = np.dtype(STORED[parameter])
        if parameter.endswith("*"):
            same = isinstance(argument, np.ndarray) and stored.itemsize == argument.itemsize
            if not same or not (argument.dtype == stored or argument.dtype.name in (parameter[:-1], "bool")):
                raise TypeError(f"{name}: expected an array of {parameter[:-1]}, got {_described(argument)}")
            if not argument.flags.c_contiguous:
                raise TypeError(f"{name}: expected a C-contiguous array, got strides {argument.strides}")
            flat = argument.view(stored).reshape(-1)
            values.append(Memory(name, flat, log))
        elif type(argument) is not (float if parameter == "float64" else int):
            raise TypeError(
                f"{name}: expected a Python {'float' if parameter == 'float64' else 'int'}, got {_described(argument)}"
            )
        else:
            values.append(stored.type(argument) if parameter == "float64" else argument)
    if len(arguments) != len(source.parameters):
        raise TypeError(f"{source.name} takes {len(source.parameters)} arguments, got {len(arguments)}")
    return values


def _described(argument: Any) -> str:
    return f"an array of {argument.dtype}" if isinstance(argument, np.ndarray) else type(argument).__name__


def orders(schedule: str, seed: int) -> Callable[[int], Iterable[int]]:
    """From a number of threads or blocks to the order in which they run: a new one at each call where shuffled."""
    generator = random.Random(seed)
    chosen: dict[str, Callable[[int], Iterable[int]]] = {
        "forward": range,
        "backward": lambda count: range(count - 1, -1, -1),
        "shuffled": lambda count: generator.sample(range(count), count),
    }
    return chosen[schedule]


def run_plain(call: Callable[[], None], place: Place, order: Callable[[int], Iterable[int]]) -> None:
    """Threads that never wait run one after another."""
    for thread in order(place.threads):
        place.resume(thread)
        call()


def run_waiting(call: Callable[[], None], place: Place, order: Callable[[int], Iterable[int]]) -> None:
    """Each thread runs until it waits or ends; then those that wait for the same go on."""
    stacks = [greenlets().greenlet(call) for _ in range(place.threads)]
    for stack in stacks:
        stack.gr_context = contextvars.copy_context()  # it holds numpy's error state
    ready: dict[int, tuple[Any, ...]] = dict.fromkeys(range(place.threads), ())
    waiting: dict[int, Request] = {}
    while ready:
        for thread in order(place.threads):
            if thread in ready:
                place.resume(thread)
                request = stacks[thread].switch(*ready[thread])
                if not stacks[thread].dead:
                    waiting[thread] = request
        ready = released(waiting, place)


def released(waiting: dict[int, Request], place: Place) -> dict[int, tuple[Any, ...]]:
    """Those that may go on, and what each gets: whole warps at a shuffle, else all threads at a barrier."""
    ready: dict[int, tuple[Any, ...]] = {}
    for first in range(0, place.threads, WARP):
        warp = [waiting.get(first + lane) for lane in range(WARP)]
        if warp[0] is not None and warp[0].word != "barrier" and len({_kind(r) for r in warp}) == 1:
            ready |= {first + lane: (value,) for lane, value in enumerate(_exchanged(warp))}
    if not ready and waiting:
        if len({_kind(waiting.get(thread)) for thread in range(place.threads)}) > 1:
            raise Divergence(_divergence(waiting, place))
        ready = dict.fromkeys(waiting, ())
        place.pass_barrier()
    for thread in ready:
        del waiting[thread]
    return ready


def _kind(request: Request | None) -> tuple[Any, ...]:
    """What threads must have in common to go on together."""
    return () if request is None else (request.word, request.line, request.argument)


def _exchanged(warp: Sequence[Any]) -> Iterator[Any]:
    """What each lane gets at a ballot or a shuffle; its own value where it asks beyond the warp."""
    for lane, request in enumerate(warp):
        if request.word == "ballot":
            yield sum(bool(voter.value) << number for number, voter in enumerate(warp))
            continue
        other = lane ^ request.argument if request.word == "shuffle_xor" else lane + request.argument
        yield warp[other].value if other < WARP else request.value


def _divergence(waiting: dict[int, Request], place: Place) -> str:
    groups: dict[str, list[int]] = {}
    for thread in range(place.threads):
        request = waiting.get(thread)
        where = "ended" if request is None else f"wait at {request.word} in line {request.line}"
        groups.setdefault(where, []).append(thread)
    parts = [f"{len(threads)} threads ({threads[0]} …) {where}" for where, threads in groups.items()]
    return "threads of a block wait for what others do not reach: " + "; ".join(parts)
