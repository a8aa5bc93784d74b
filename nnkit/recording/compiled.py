"""``compile``: record a step once, then replay it without Python.

The first call of a function runs plainly, so that whatever is made once (an optimizer's state) is made. After that, the
first call with given shapes records, and later ones copy their inputs into the recorded ones, replay, and copy the
outputs out. What the step relied on is checked before each replay (``guards``); where it changed, the step is
recorded anew, and the older program kept for when it fits again. A step that reads a value on the host cannot be
replayed: it runs plainly, after one warning with file and line.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from itertools import combinations
from types import MethodType
from typing import Any, TypeVar

from nnkit.backends import Backend
from nnkit.backends.aliasing import Changing
from nnkit.backends.pool import overlap
from nnkit.backends.program import Input, Program, ProgramRecorder
from nnkit.backends.recording import Stale, recorder, recording
from nnkit.errors import GraphError
from nnkit.recording.guards import Guards
from nnkit.recording.observer import call
from nnkit.recording.observer.frames import observing as observed
from nnkit.recording.observer.near import tensors_near
from nnkit.recording.plainly import say_unrecorded
from nnkit.recording.structures import PLAIN, Containers, Maker, copier, is_input, key_of, leaves, rebuilt, returned
from nnkit.tensors.default_device import resolve
from nnkit.tensors.tape import is_grad_enabled
from nnkit.tensors.tensor import Tensor, written

F = TypeVar("F", bound=Callable[..., Any])
MAXIMUM_PROGRAMS = 16  # kept per function; those not used for longest go first
MAXIMUM_VARIANTS = 4  # of these for arguments of the same shapes: train and eval mode, say
PATIENCE = 3  # recordings in a row that set the same thing, before the function is taken to do so in every call
TRIES = 2  # recordings in which a full graph may still lay out memory
MAXIMUM_RECORDINGS = 64  # of one function without a replay between them; after that it runs plainly


def enabled() -> bool:
    """Whether functions are recorded; NNKIT_COMPILE=0 in the environment runs everything plainly."""
    return os.environ.get("NNKIT_COMPILE", "1") != "0"


class Recorded:
    """A program with its inputs, its outputs and what it relies on."""

    def __init__(
        self,
        program: Program,
        guards: Guards,
        inputs: list[Tensor],
        outputs: Maker,
        changing: Changing,
        arguments: Any,
    ) -> None:
        self.program = program
        self.guards = guards
        self.outputs = outputs
        self.used = 0  # when, on the function's clock
        self._feeds = [(static.backend.transfer, static.array) for static in inputs]
        self._run = program.once()
        self._changing = changing if changing.arrays else None
        self._arguments = arguments  # kept: the key has identities of some, which no other object may get

    def replay(self, tensors: list[Tensor]) -> Any:
        """Run with other inputs of the same shapes; returns what the function returned, in memory of its own.

        Before anything runs, raises Stale where the values want another program, and errors of checks.
        """
        arrays = [tensor.array for tensor in tensors]
        if self._changing is not None and self._changing.meet(arrays):
            raise Stale
        program = self.program
        program.join()
        if not self.guards.enter():
            raise Stale
        for number, (transfer, static) in enumerate(self._feeds):
            transfer(arrays[number], static)
        for check in program.checks:
            check()
        self._run()
        self.guards.leave()
        return self.outputs(tensors)


class Compiled:
    """A function that is recorded; made by ``nnkit.compile``.

    Several threads may call it: they replay one after the other, and run plainly while one of them records.
    """

    def __init__(self, function: Callable[..., Any], fullgraph: bool = False) -> None:
        functools.update_wrapper(self, function, updated=())
        self.function = function
        self.fullgraph = fullgraph
        self.name = getattr(function, "__name__", type(function).__name__)
        self.programs: dict[Any, list[Recorded]] = {}
        self.plain: dict[Any, str] = {}  # calls that cannot be replayed, and why
        self.lock = threading.Lock()
        self._recording = False
        self._recordings = 0
        self._clock = 0
        self.restless = ""
        self._lasting = 0  # recordings in a row that set something outside
        self._broken = "its arguments differ in every call"
        self._observed: set[Any] = set()
        self._warm = False
        self._enabled = enabled()

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """In a class it is a method."""
        return self if instance is None else MethodType(self, instance)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy begins without programs."""
        return Compiled, (self.function, self.fullgraph)

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Run the function: plainly, recording, or by replay."""
        if not self._enabled or recorder() is not None:
            return self.function(*args, **options)
        tensors: list[Tensor] = []
        key = self._key(args, options, tensors)
        if not self._warm or (self.plain and key in self.plain):
            self._warm = True
            return self.function(*args, **options)
        with self.lock:
            for found in self.programs.get(key, ()):
                if not found.guards.hold():
                    self._broken = f"{found.guards.broken()} changes between calls"
                else:
                    try:
                        result = found.replay(tensors)
                    except Stale:
                        continue
                    self._recordings = 0
                    self._clock = found.used = self._clock + 1
                    return result
            busy, self._recording = self._recording, True
        if busy:
            return self.function(*args, **options)
        counted = self._recordings
        try:
            return self._record(key, args, options, tensors)
        except BaseException:
            self._recordings = counted  # an error, or Ctrl-C, is not the function's restlessness
            raise
        finally:
            self._recording = False

    def _key(self, args: tuple[Any, ...], options: dict[str, Any], tensors: list[Tensor]) -> Any:
        """What of a call a recording depends on."""
        key: Any = tuple([key_of(value, tensors) for value in args])
        if options:
            key = (key, key_of(options, tensors))
        return key if is_grad_enabled() else ("no_grad", key)

    def find(self, *args: Any, **options: Any) -> Recorded | str | None:
        """The program that a call with these arguments would replay, or why it runs plainly; None: neither yet."""
        if not self._enabled:
            return self.plain.get(None, "recording is switched off by NNKIT_COMPILE=0")
        key = self._key(args, options, [])
        with self.lock:
            held = [found for found in self.programs.get(key, ()) if found.guards.hold()]
        return held[0] if held else self.plain.get(key)

    # ---- recording ----------------------------------------------------------------------------------------

    def _record(self, key: Any, args: Any, options: Any, tensors: list[Tensor]) -> Any:
        """Run the function and keep its program, where it can have one."""
        if self._recordings >= MAXIMUM_RECORDINGS:
            self._run_plainly(None, f"it was recorded {MAXIMUM_RECORDINGS} times without a replay: {self.restless}")
            return self.function(*args, **options)
        self._recordings += 1
        work = _backend_of(tensors, self.function).recorder()
        if self.fullgraph:
            work.refuse = lambda place: GraphError(self._cannot(place))
        observing = _overlapping(tensors) and key not in self._observed
        statics = tensors if observing else [Tensor(t.backend.duplicate(t.array), t.backend) for t in tensors]
        work.inputs = [Input(tensor.array, static.array) for tensor, static in zip(tensors, statics, strict=True)]
        copies = iter(statics)
        originals = {id(static): tensor for static, tensor in zip(statics, tensors, strict=True)}
        given = rebuilt((args, options), lambda leaf: next(copies) if is_input(leaf) else leaf)
        containers = Containers((args, options), given)
        try:
            with recording(work), observed(work) as observer:
                value = call(self.function, *given[0], **given[1])
        finally:
            _hand_back(work, statics, tensors)
            containers.give_back(originals)
        reason = _obstacle(work, value, statics)
        if reason is not None:
            self._run_plainly(key, reason)
            return returned(value, statics, tensors)
        if observing:
            self._observed.add(key)
        lasting = observer.lasting()
        restless = lasting or work.restless()
        self.restless = restless or self._broken
        self._lasting = self._lasting + 1 if lasting else 0
        if lasting is not None and self._lasting >= PATIENCE:
            self._run_plainly(key, lasting)
            return returned(value, statics, tensors)
        if restless is not None and self.fullgraph and self._recordings > TRIES:
            raise GraphError(self._cannot(restless))
        if observing or restless is not None:
            return returned(value, statics, tensors)
        outputs = copier(value, statics, work.owns)
        result = outputs(tensors)  # before another thread can replay
        guards, changing = Guards(work, observer), work.changing()
        self._keep(key, Recorded(work.finish(), guards, statics, outputs, changing, given))
        return result

    def _keep(self, key: Any, recorded: Recorded) -> None:
        with self.lock:
            others = [found for found in self.programs.get(key, ()) if not found.guards.lost()]
            self.programs[key] = [recorded, *others][:MAXIMUM_VARIANTS]
            self._clock = recorded.used = self._clock + 1
            while sum(map(len, self.programs.values())) > MAXIMUM_PROGRAMS:
                del self.programs[min(self.programs, key=lambda key: max(found.used for found in self.programs[key]))]

    def _run_plainly(self, key: Any, reason: str) -> None:
        """Run calls with this key plainly from now on; with None, all calls."""
        if self.fullgraph:
            raise GraphError(self._cannot(reason))
        if not self.plain:
            say_unrecorded(self._cannot(reason))
        self.plain[key] = reason
        if key is None:
            self._enabled = False
            self.programs.clear()

    def _cannot(self, reason: str) -> str:
        return f"{self.name} cannot be replayed: {reason}"


def compile(
    model: F | None = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: Any = None,
    mode: str | None = None,
    options: Any = None,
    disable: bool = False,
) -> Any:
    """Record a function of tensors on an early call, and replay it afterwards.

    ``model`` may be a training step, a forward pass, anything; Tensors among its arguments may differ from call
    to call, and each of their shapes gets a program of its own. The first call runs plainly, the second is recorded:
    from then on what was done with tensors is repeated without Python. All else that the function read (arguments,
    settings of modules and optimizers, globals, attributes, lists, dicts, small arrays) is compared before each replay,
    and where it changed, the step is recorded anew.

    What is not understood is not replayed: where the function needs Python every time (``loss.item()``, ``print``, a
    clock, a file, ``if x > 0``, a forward hook, a list that grows, an object of another library), it runs plainly after
    one warning with file and line; with ``fullgraph=True`` it raises GraphError. Its source has to be at hand.
    NNKIT_COMPILE=0 in the environment runs everything plainly, and so does ``disable``; ``dynamic``, ``backend``,
    ``mode`` and ``options`` are PyTorch's and change nothing. A Module becomes one with its parameters and attributes
    (``nn.compiled.CompiledModule``). Raises TypeError for numpy arrays among the arguments. Shapes and dtypes are as
    they come.

    >>> import nnkit
    >>> double = compile(lambda x: x * 2.0)
    >>> [double(nnkit.tensor([v])).item() for v in (1.0, 2.0, 3.0)]
    [2.0, 4.0, 6.0]
    """
    if model is None:
        return functools.partial(compile, fullgraph=fullgraph, disable=disable)
    if disable:
        return model
    made = Compiled(model, fullgraph)
    return model._compiled_by(made) if hasattr(model, "_compiled_by") else made


def _backend_of(tensors: list[Tensor], function: Any) -> Backend:
    """Where a call works: the device of its arguments, else of a model or Tensor that it uses, else the default."""
    for known in (*tensors, *tensors_near(function)):
        return known.backend
    return resolve(None)


def _overlapping(tensors: list[Tensor]) -> bool:
    """Whether changing one of these in place might change another: their copies would not follow."""
    return any(overlap(one.array, other.array) for one, other in combinations(tensors, 2))


def _hand_back(work: ProgramRecorder, statics: list[Tensor], tensors: list[Tensor]) -> None:
    """What the function did to its arguments' copies while recording is done to the arguments."""
    for static, tensor in zip(statics, tensors, strict=True):
        if static is not tensor and work.changes_arguments:
            tensor.backend.transfer(static.array, tensor.array)
            written(tensor)
            tensor.node = static.node
        if static is not tensor and static.is_leaf and static.requires_grad:
            tensor.requires_grad_()
            tensor.gradient = static.gradient


def _obstacle(work: ProgramRecorder, value: Any, statics: list[Tensor]) -> str | None:
    """Why a function that has run cannot be replayed."""
    if work.obstacles:
        return work.obstacles[0]
    if any(static.requires_grad for static in statics):
        return "it sets requires_grad of an argument: use x.detach().requires_grad_()"
    for leaf in leaves(value):
        if not isinstance(leaf, (Tensor, *PLAIN)):
            return f"it returns a {type(leaf).__name__}: return Tensors, or tuples, lists and dicts of them"
        if isinstance(leaf, Tensor) and id(leaf) in work.born:
            return "it returns a tensor made inside that requires grad: return .detach()"
        if isinstance(leaf, Tensor) and type(leaf) is not Tensor and work.pool.owns(leaf.array):
            return f"it returns a {type(leaf).__name__} made inside: return .detach()"
        if isinstance(leaf, Tensor) and _is_hidden_part(leaf, statics):
            return "it returns memory of an argument: return .clone()"
        if isinstance(leaf, Tensor) and leaf.node is not None and leaf.node.pullback is not None:
            return (
                "it returns a tensor that is still on the tape: call backward inside, or run it under "
                "nnkit.no_grad(), or return .detach()"
            )
    return None


def _is_hidden_part(leaf: Tensor, statics: list[Tensor]) -> bool:
    """Whether a result has memory of an argument, in a way that cannot be found again for another argument."""
    base = leaf if leaf.view_of is None else leaf.view_of.base
    if any(base is static or leaf.array is static.array for static in statics):
        return False
    return any(overlap(leaf.array, static.array) for static in statics)
