"""What a recorded program relied on, and whether that still holds.

Relied on: the memory, type and trainability of the leaves it read or wrote; the settings (train or eval, numbers,
flags, hooks, parts) of the modules it called; the layout of the optimizers it stepped; for each gradient whether it
was filled before; every place that the user's code read (``observer.places``); and what is set for all: default type
and device, how matrices are multiplied.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from nnkit.backends.program import ProgramRecorder
from nnkit.backends.recording import same
from nnkit.nn.modes import present_modes
from nnkit.recording.observer.places import Places
from nnkit.recording.state import Watched, changes, looks
from nnkit.tensors.default_device import get_default_device
from nnkit.tensors.dtypes import get_default_dtype
from nnkit.tensors.precision import autocast_type, get_matmul_precision
from nnkit.tensors.random import current
from nnkit.tensors.tensor import Tensor

if TYPE_CHECKING:
    from nnkit.recording.observer.observer import Observer

PLAIN = (int, float, str, type(None))
REGISTRIES = (
    "_parameters",
    "_buffers",
    "_modules",
    "_forward_hooks",
    "_forward_pre_hooks",
    "regularizers",
    "constraints",
)


class Guards:
    """Made after recording; ``hold()`` before every replay."""

    def __init__(self, recorder: ProgramRecorder, observer: Observer | None = None, but: tuple[str, ...] = ()) -> None:
        """``observer`` has seen what the user's code did; ``but`` names attributes that do not matter."""
        self._seen = changes.count
        self._modes = present_modes()
        self._but = but
        self._places = Places() if observer is None else observer.places
        modules = with_parts([*recorder.modules.values(), *(observer.modules.values() if observer else ())])
        for kind in {type(module): None for module in modules}:
            self._places.inherited(kind, "forward")
        self._places_hold = self._places.watch()
        self._tensors = [(t, t.array, t.requires_grad, t._gradient) for t in recorder.tensors.values()]
        self._modules = [(module, _settings(module, but)) for module in modules]
        self._optimizers = [(o, o.arena, _options(o)) for o in recorder.optimizers.values()]
        self._stream = recorder.stream
        self._relied = list(recorder.relied.values())
        self._defaults = _defaults()
        self._half = autocast_type()
        own = {id(leaf.gradient) for leaf in recorder.born.values() if isinstance(leaf, Tensor)}
        flags = [flag for flag in recorder.flags.values() if id(flag[0]) not in own]
        self._entry = [(gradient, state) for gradient, state in flags if state is not None]
        self._emptied = [gradient for key, gradient in recorder.emptied.items() if key not in own]
        self._looks = self._looks_left = -1  # at gradients, when copies were given, and when versions were collected
        self._versions: list[Any] = []
        for gradient in self._emptied:
            gradient.shown = None  # what the step itself looked at belongs to the program, and nobody is to get a copy
        self._exit = [(gradient, gradient.filled) for gradient, _ in flags]
        # Gradients that came in rows: what the step leaves, and those that it finds and reads as a whole.
        slots = [gradient for gradient, _ in flags if hasattr(gradient, "by_rows")]
        self._by_rows = [(slot, slot.by_rows) for slot in slots]
        self._rows = [(slot, slot.rows) for slot in slots if slot.by_rows]
        self._whole = [slot for slot, _ in self._rows if (slot, True) in self._entry]
        self._written = [tensor.version for tensor in recorder.written.values()]
        self._leaves = bool(self._exit or self._rows or self._written)

    def hold(self) -> bool:
        """Whether the program is still true to the world."""
        if autocast_type() != self._half or (self._stream is not None and current() is not self._stream):
            return False
        for gradient, filled in self._entry:
            if gradient._filled is not filled:
                return False
        if not self._places_hold():
            return False
        seen, modes = changes.count, present_modes()
        if self._seen == seen and self._modes is modes:
            return True
        if not self._all_hold():
            return False
        self._seen, self._modes = seen, modes
        return True

    def broken(self) -> str:
        """What does not hold, in words."""
        return self._places.broken() or "a setting of a module or optimizer, or which memory it has"

    def _all_hold(self) -> bool:
        return (
            self._in_place()
            and all(t.requires_grad is trained for t, _, trained, _ in self._tensors)
            and all(_equal(_settings(module, self._but), settings) for module, settings in self._modules)
            and all(o.is_prepared() and _options(o) == options for o, _, options in self._optimizers)
            and all(slot.by_rows is known for slot, known in self._by_rows)
            and all(holds() for holds in self._relied)
            and self._defaults == _defaults()
        )

    def _in_place(self) -> bool:
        return all(
            t.array is array and (t._gradient is gradient or gradient is None)
            for t, array, _, gradient in self._tensors
        ) and all(o.arena is arena for o, arena, _ in self._optimizers)

    def lost(self) -> bool:
        """Whether memory it relied on was given up, so that it will never hold again."""
        return self._seen != changes.count and not self._in_place()

    def enter(self) -> bool:
        """Give copies to those who hold gradients that the step forgets; whether the program is true all the same."""
        for slot in self._whole:
            slot.settle()
        if self._looks == looks.count:
            return True
        self._looks = looks.count
        given = [gradient for gradient in self._emptied if gradient.shown is not None and gradient.give_back()]
        return not given or self._in_place()

    def leave(self) -> None:
        """Set what the step would have set in Python: which gradients are filled now, and that memory was changed."""
        if not self._leaves:
            return
        for gradient, filled in self._exit:
            gradient._filled = filled
        for slot, rows in self._rows:
            slot.rows = rows
        if self._looks_left != looks.count:
            self._looks_left = looks.count
            seen = [gradient.version for gradient, _ in self._exit if gradient.version is not None]
            self._versions = [*self._written, *seen]
        for version in self._versions:
            version.count += 1


def with_parts(modules: Iterable[Any]) -> list[Any]:
    """Modules and all their parts, each once."""
    found: dict[int, Any] = {}
    left = list(modules)
    while left:
        module = left.pop()
        if id(module) not in found:
            found[id(module)] = module
            left.extend(part for part in vars(module)["_modules"].values() if part is not None)
    return list(found.values())


def _defaults() -> tuple[Any, ...]:
    """What is set for the whole process."""
    return get_default_dtype(), get_default_device(), get_matmul_precision()


def _settings(module: Any, but: tuple[str, ...]) -> dict[Any, Any]:
    """A module's attributes, hooks and parts, and the attributes of its regularizers and constraints."""
    own = vars(module)
    settings: dict[Any, Any] = {name: value for name, value in own.items() if name not in (*REGISTRIES, "_training")}
    if "training" not in but:
        settings["training"] = module.training
    for registry in REGISTRIES:
        for name, value in own.get(registry, {}).items():
            settings[registry, name] = value
            if isinstance(value, Watched):
                settings |= {(registry, name, attribute): number for attribute, number in vars(value).items()}
    return settings


def _equal(first: dict[Any, Any], second: dict[Any, Any]) -> bool:
    return first.keys() == second.keys() and all(same(value, second[name]) for name, value in first.items())


def _options(optimizer: Any) -> list[Any]:
    """The formulas of an optimizer's groups, and its own attributes: what does not lie on the device."""
    own = [(name, value) for name, value in vars(optimizer).items() if name[0] != "_" and isinstance(value, PLAIN)]
    return [*(optimizer.formulas(group.options) for group in optimizer.param_groups), own]
