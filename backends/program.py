"""A program: the primitives of one step, recorded once and replayed without deciding anything again.

``ProgramRecorder`` notes instructions; ``Program`` replays them as a list of calls.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from nnkit.backends.aliasing import Changing
from nnkit.backends.pool import Pool, overlap
from nnkit.backends.recording import MISSING, Array, CannotCopy, Instruction, Stale, paused, same
from nnkit.backends.trace import Trace

Check = Callable[[], None]


class Input(NamedTuple):
    """An argument's array, and the copy that stands for it in the program."""

    original: Array
    copy: Array


class ProgramRecorder:
    """Notes what a thread runs; ``finish`` gives the program.

    Fixed after recording: the addresses in argument blocks. So the program keeps the pool, and every array that is
    not of the pool (weights, data, constants), alive as long as itself.
    """

    def __init__(self, program: Callable[..., Program], pool: Pool | None = None) -> None:
        self.pool = Pool() if pool is None else pool
        self.instructions: list[Instruction] = []
        self.kept: dict[int, Array] = {}
        self.checks: list[Check] = []
        self.inputs: list[Input] = []
        # What is noted about the world the step relies on: leaves it read and modules it called; leaves and modules
        # that it made itself; places of gradients, and whether they had to be filled (None: the step did not ask
        # before it set them); what it set, and to what that was set before.
        self.tensors: dict[int, Any] = {}
        self.modules: dict[int, Any] = {}
        self.optimizers: dict[int, Any] = {}
        self.relied: dict[Any, Callable[[], bool]] = {}
        self.born: dict[int, Any] = {}
        self.flags: dict[int, tuple[Any, bool | None]] = {}
        self.emptied: dict[int, Any] = {}  # the gradients that the step forgets
        self.before: dict[tuple[int, str], tuple[Any, Any]] = {}
        self.obstacles: list[str] = []
        self.trace: Trace | None = None  # for comparing this recording with a later one
        self.stream: Any = None  # of random numbers, that the step draws from
        self.observer: Any = None  # of the user's code, where that is observed
        self.refuse: Callable[[str], Exception] | None = None
        self.changes_arguments = False
        self._unsettled: str | None = None
        self._parts: list[tuple[Array, Array]] = []
        self._written: list[Array] = []
        self._constants: list[Array] = []
        self._begun: set[int] = set()  # the constants that every replay begins by setting back
        self.written: dict[int, Any] = {}  # the tensors among these that the step did not make itself
        self._program = program

    # ---- memory -------------------------------------------------------------------------------------------

    def allocate(self, shape: tuple[int, ...], dtype: Any, elsewhere: Sequence[Array] = ()) -> Array:
        """Memory of the program's own, and not that of ``elsewhere``, even if it is nobody's any more."""
        array, held = self.pool.empty(shape, dtype), []
        while any(overlap(array, other) for other in elsewhere):
            held.append(array)
            array = self.pool.empty(shape, dtype)
        if self.trace is not None:
            self.trace.made(array)
        return array

    def adopt(self, array: Array) -> None:
        """Count an array of a backend without a pool as the program's own."""
        self.pool.adopt(array)
        if self.trace is not None:
            self.trace.made(array)

    def constant(self, array: Array) -> None:
        """An array that the step makes of numbers on the host; a replay finds it as the one before left it."""
        self._constants.append(array)

    def unleased(self, value: Any) -> Any:
        """Arguments without a hold on blocks of the pool, so that recording can use those again."""
        if isinstance(value, (tuple, list)):
            if hasattr(value, "_fields"):  # a named tuple, of numbers
                return value
            return type(value)([self.unleased(item) for item in value])
        if isinstance(value, dict):
            return {name: self.unleased(item) for name, item in value.items()}
        return self.pool.unleased(value)

    def owns(self, array: Array) -> bool:
        """Whether an array is in memory that only this program has: its pool, its inputs, tensors made of numbers."""
        own = [*self._constants, *(given.copy for given in self.inputs)]
        return self.pool.owns(array) or any(overlap(array, x) for x in own)

    # ---- what the backend tells ---------------------------------------------------------------------------

    def note(self, instruction: Instruction, arrays: list[Array], given: Any = ()) -> None:
        """Add an instruction that has just run. It keeps only arrays that are not of the pool."""
        self.instructions.append(instruction)
        self._noted(instruction.name, arrays, given)

    def fuse(self, instruction: Instruction, name: str, arrays: list[Array], given: Any = ()) -> None:
        """Put an instruction in the place of the last one, whose work it does beside that of the primitive ``name``.

        Recordings are compared by the primitives that were asked for, in however many instructions they run.
        """
        self.instructions[-1] = instruction
        self._noted(name, arrays, given)

    def last(self) -> Instruction | None:
        """The instruction that was noted last."""
        return self.instructions[-1] if self.instructions else None

    def _noted(self, name: str, arrays: list[Array], given: Any) -> None:
        if self.trace is not None:
            self.trace.add(name, given, self.pool)
        for array in arrays:
            if not self.pool.owns(array):
                self.kept[id(array)] = array
                self._follow(array)

    def _follow(self, array: Array) -> None:
        # An argument that is also reached otherwise may have changed there: its copy has to follow at once.
        for given in self.inputs:
            if given.original is not given.copy and overlap(array, given.original):
                given.copy[...] = given.original
                self.obstacle("an argument shares memory with another tensor that it uses")

    # ---- what tensors, modules and optimizers tell ------------------------------------------------------------

    def touch(self, *tensors: Any) -> None:
        """Note the leaves that the step reads or writes."""
        for tensor in tensors:
            if tensor.node is not None:
                continue
            if not self.owns(tensor.array):
                self.tensors[id(tensor)] = tensor
            elif tensor.requires_grad:
                self.born[id(tensor)] = tensor

    def write(self, tensor: Any) -> None:
        """Note what the step changes in place; a change of an argument has to reach the caller's tensor."""
        self._written.append(tensor.array)
        if not self.owns(tensor.array):
            self.written.setdefault(id(tensor.version), tensor)
        for constant in self._constants:
            if id(constant) not in self._begun and overlap(tensor.array, constant):
                self._begin_with(tensor.backend, constant)
        if any(overlap(tensor.array, given.copy) for given in self.inputs):
            self.changes_arguments = True
            self.obstacle("it changes an argument in place")

    def _begin_with(self, backend: Any, constant: Array) -> None:
        """A constant is about to be changed: let every replay begin by giving it its values."""
        self._begun.add(id(constant))
        so_far, self.instructions = self.instructions, []
        backend.copy(backend.duplicate(constant), constant)
        self.instructions += so_far

    def changed(self, owner: Any, name: str, before: Any) -> None:
        """Note what the step sets. In the end all must be as it was: a replay sets nothing."""
        if owner is None:
            self.unsettled()
        elif id(owner) not in self.born:
            array = before if name == "array" else getattr(owner, "array", None)
            if (id(owner), "array") in self.before or not self.owns(array):
                self.before.setdefault((id(owner), name), (owner, before))

    def outside(self) -> list[Array]:
        """The memory outside of its pool that the step writes in tensors."""
        begun = [constant for constant in self._constants if id(constant) in self._begun]
        return [*(tensor.array for tensor in self.written.values()), *begun]

    def changing(self) -> Changing:
        """The memory outside of the program that it writes: tensors, gradients, and what optimizers keep."""
        arrays = [tensor.array for tensor in self.written.values()]
        arrays += [place.array for place, _ in self.flags.values() if place.array is not None]
        for optimizer in self.optimizers.values():
            arrays += optimizer.memory()
        return Changing(array for array in arrays if not self.owns(array))

    def moved(self, array: Array, to: Array) -> None:
        """A tensor that someone holds was given memory of its own: what it had is used again."""
        if any(given.original is array for given in self.inputs):
            self.inputs = [given._replace(original=to) if given.original is array else given for given in self.inputs]
            self.obstacle("an argument is a gradient, whose memory it uses again")

    def obstacle(self, what: str) -> None:
        """Remember what cannot be replayed and where; raises it where the caller wants whole programs only."""
        self.obstacles.append(f"{what} at {user_line()}")
        if self.refuse is not None:
            raise self.refuse(self.obstacles[-1])

    def unsettled(self) -> None:
        """The step laid out memory anew: what was noted before that does not fit what came after."""
        self._unsettled = "it changes what it relies on"

    def restless(self) -> str | None:
        """What the step left otherwise than it found it, so that this recording cannot be replayed; or None."""
        for (_, name), (owner, before) in self.before.items():
            if not same(getattr(owner, name, MISSING), before):
                return f"it sets {type(owner).__name__}.{name}"
        return self._unsettled

    # ---- checks of values -----------------------------------------------------------------------------------

    def part_of(self, part: Array, whole: Array) -> None:
        """In every replay, ``part`` has elements of ``whole``, which stays as it is: one check of that will do."""
        self._parts.append((part, whole))

    def check(self, array: Array, test: Callable[[Array], bool]) -> bool:
        """Test values on the host, now and in replays; ``test`` raises an error, or returns a fact about them.

        Returns the fact to go by: where it depends on values that are made inside the program, True.
        Values that come from outside are tested before a replay runs, and a replay that finds another fact is Stale.
        """
        whole = next((whole for part, whole in self._parts if overlap(array, part)), array)
        with paused():
            fact = test(whole)
        if whole is not array:
            return fact
        if not self.pool.owns(array) and not any(overlap(array, x) for x in self._written):
            self.checks.append(lambda: _expect(test(array), fact))
            return fact
        call = functools.partial(test, self.pool.unleased(array))
        reason = "it looks at values on the host"
        self.instructions.append(Instruction("check", None, call, reason, (tuple(array.shape),), 0))
        return True

    def rely_on(self, array: Array, read: Callable[[], Any]) -> Any:
        """What ``read`` makes of an array on the host; a replay that would read something else is Stale."""
        with paused():
            found = read()
        if self.pool.owns(array) or any(overlap(array, x) for x in self._written):
            self.obstacle("it reads a value on the host")
        else:
            self.checks.append(lambda: _expect(read() == found, True))
        return found

    def finish(self) -> Program:
        """The program of what was noted."""
        return self._program(self.instructions, self.pool, list(self.kept.values()), self.checks)


def _expect(found: bool, recorded: bool) -> None:
    if found is not recorded:
        raise Stale


def user_line() -> str:
    """File and line of the innermost frame outside nnkit and Python's own library."""
    frame = sys._getframe(1)
    while frame is not None:
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package != "nnkit" and package not in sys.stdlib_module_names:
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "an unknown line"


class Step(NamedTuple):
    """One instruction as a replay runs it, and a call that only does what surrounds it."""

    run: Callable[[], object]
    idle: Callable[[], object]


class Copied(Protocol):
    """A program over the memory of several."""

    def run(self, which: Sequence[int], times: int = 1) -> None:
        """Run the copies with these numbers, each ``times`` times over."""


class Program:
    """Recorded instructions as a list of calls."""

    def __init__(
        self, instructions: list[Instruction], pool: Pool, kept: list[Array], checks: list[Callable[[], None]]
    ) -> None:
        self.instructions = instructions
        self.pool = pool
        self.checks = checks
        self.kept = kept

    def join(self) -> None:
        """Before anything is written into the program's memory: wait for what a device still does with it."""

    def replay(self, times: int = 1) -> None:
        """Run every instruction in order, ``times`` times over."""
        for _ in range(times):
            for instruction in self.instructions:
                instruction.call()

    def synchronize(self) -> None:
        """Wait until the device has done what replays gave it; at once on a CPU."""

    def once(self) -> Callable[[], object]:
        """What to call to replay once, with nothing left to decide."""
        return self.replay

    def copies(
        self, own: Sequence[Array], others: Sequence[Sequence[Array]], numbers: Mapping[float, Sequence[float]]
    ) -> Copied:
        """The program over the memory of others, which is laid out as ``own``; see ``backends.cpu.copies``."""
        raise CannotCopy("programs of this device are not copied")

    def steps(self) -> list[Step]:
        """The instructions one by one, for measuring."""
        return [Step(instruction.call, nothing) for instruction in self.instructions]


def nothing() -> None:
    pass
