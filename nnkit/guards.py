"""What a recorded program relied on, and whether that still holds.

Relied on: the memory, type and trainability of the leaves it read or wrote; the settings (train or eval, numbers,
flags, hooks) of the modules it called; the layout of the optimizers it stepped; and for each gradient whether it was
filled before.
"""

from __future__ import annotations

from typing import Any

from nnkit.backends.program import ProgramRecorder
from nnkit.state import changes

PLAIN = (int, float, bool, str, type(None))


class Guards:
    """Made after recording; ``hold()`` before every replay."""

    def __init__(self, recorder: ProgramRecorder, but: tuple[str, ...] = ()) -> None:
        """``but`` names settings of modules that do not matter."""
        self._but = but
        self._tensors = [(t, t.array, t.requires_grad) for t in recorder.tensors.values()]
        self._modules = [(module, _settings(module, but)) for module in recorder.modules.values()]
        self._optimizers = [(o, o.arena, _formulas(o)) for o in recorder.optimizers.values()]
        flags = list(recorder.flags.values())
        self._entry = [(gradient, state) for gradient, state in flags if state is not None]
        self._exit = [(gradient, gradient.filled) for gradient, _ in flags]
        self._seen = changes.count

    def hold(self) -> bool:
        """Whether the program is still true to the world."""
        for gradient, filled in self._entry:
            if gradient._filled is not filled:
                return False
        if self._seen == changes.count:
            return True
        if not self._all_hold():
            return False
        self._seen = changes.count
        return True

    def _all_hold(self) -> bool:
        return (
            all(t.array is array and t.requires_grad is trained for t, array, trained in self._tensors)
            and all(_settings(module, self._but) == settings for module, settings in self._modules)
            and all(o.arena is arena and o.is_prepared() and _formulas(o) == f for o, arena, f in self._optimizers)
        )

    def leave(self) -> None:
        """Set what the step would have set in Python: which gradients are filled now."""
        for gradient, filled in self._exit:
            gradient._filled = filled


def _settings(module: Any, but: tuple[str, ...]) -> dict[str, Any]:
    """A module's plain attributes, its hooks and its parts by identity."""
    own = vars(module)
    settings: dict[str, Any] = {
        name: value for name, value in own.items() if isinstance(value, PLAIN) and name not in but
    }
    for name in ("_parameters", "_buffers", "_modules", "_forward_hooks", "regularizers"):
        settings[name] = [(key, id(value)) for key, value in own.get(name, {}).items()]
    return settings


def _formulas(optimizer: Any) -> list[Any]:
    return [optimizer.formulas(group) for group in optimizer.param_groups]
