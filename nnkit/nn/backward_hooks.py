"""Backward hooks: functions that look at, or replace, the gradients of a module's inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nnkit.autograd.function import Function
from nnkit.backends.recording import recorder
from nnkit.errors import GradientError
from nnkit.recording.structures import leaves, rebuilt
from nnkit.tensors import handles
from nnkit.tensors.handles import HookHandle
from nnkit.tensors.tape import is_grad_enabled
from nnkit.tensors.tensor import Tensor

__all__ = ["BackwardHook", "Passage", "add_backward_hook"]

#: (module, gradients of the inputs, gradients of the outputs) -> None, or the gradients of the inputs to use instead.
BackwardHook = Callable[[Any, tuple[Any, ...], tuple[Any, ...]], Any]


def add_backward_hook(hooks: dict[int, BackwardHook], hook: BackwardHook) -> HookHandle:
    """The same of a hook on gradients."""
    return handles.add_hook(hooks, hook, "module, gradients of the inputs, gradients of the outputs")


class _Mark(Function):
    """Tensors as they are; what their gradients are is told, and may be changed, in between."""

    @staticmethod
    def forward(ctx: Any, tell: Callable[..., Any], *tensors: Tensor) -> Any:
        """The same tensors."""
        ctx.tell = tell
        return tuple([t.clone() for t in tensors])

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """What ``tell`` makes of their gradients."""
        return None, *ctx.tell(gradients)


class Passage:
    """One call of a module with backward hooks: its inputs and outputs pass marks, where gradients are seen."""

    def __init__(self, module: Any) -> None:
        if (at_work := recorder()) is not None:
            at_work.obstacle(f"{type(module).__name__} has a backward hook, which is Python,")
        self.module, self.hooks = module, list(module._backward_hooks.values())
        self.sees: dict[str, list[bool]] = {}  # of the tensors that go in and come out: whether they pass a mark
        self.outgoing: tuple[Any, ...] = ()  # the gradients of the outputs, when they are known

    def inputs(self, args: Any) -> Any:
        """The arguments behind their mark."""
        return self._marked("in", args, self._tell_inputs)

    def outputs(self, output: Any) -> Any:
        """The output behind its mark."""
        return self._marked("out", output, self._tell_outputs)

    def _marked(self, way: str, values: Any, tell: Callable[..., Any]) -> Any:
        tensors = [t for t in leaves(values) if isinstance(t, Tensor)]
        self.sees[way] = [t.requires_grad and is_grad_enabled() for t in tensors]
        chosen = [t for t, sees in zip(tensors, self.sees[way], strict=True) if sees]
        if not chosen:
            return values
        marked = dict(zip(map(id, chosen), _Mark.apply(tell, *chosen), strict=True))
        return rebuilt(values, lambda t: marked.get(id(t), t))

    def _whole(self, way: str, gradients: tuple[Any, ...]) -> tuple[Any, ...]:
        """An entry for every tensor."""
        found = iter(gradients)
        return tuple([next(found) if sees else None for sees in self.sees[way]])

    def _tell_outputs(self, gradients: tuple[Any, ...]) -> tuple[Any, ...]:
        self.outgoing = self._whole("out", gradients)
        if not any(self.sees["in"]):
            self._tell_inputs(())
        return gradients

    def _tell_inputs(self, gradients: tuple[Any, ...]) -> tuple[Any, ...]:
        whole = self._whole("in", gradients)
        for hook in self.hooks:
            changed = hook(self.module, whole, self.outgoing)
            if changed is not None:
                given = (changed,) if isinstance(changed, Tensor) else tuple(changed)
                if len(given) != len(whole):
                    raise GradientError(
                        f"a backward hook of {type(self.module).__name__} returned {len(given)} gradients for "
                        f"{len(whole)} inputs"
                    )
                whole = given
        return tuple([gradient for gradient, sees in zip(whole, self.sees["in"], strict=True) if sees])
