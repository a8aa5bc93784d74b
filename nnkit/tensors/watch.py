"""Who looks at gradients on their way: hooks of tensors, tensors that keep theirs, and the search for the first NaN.

A walk without any of them costs nothing more: ``on_the_way`` is asked once. Hooks are Python, so a step that has some
is not replayed.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from nnkit.backends.recording import recorder
from nnkit.errors import GradientError
from nnkit.tensors.handles import HookHandle, add_hook
from nnkit.tensors.methods import op
from nnkit.tensors.tape import Node, no_grad, order_of
from nnkit.tensors.tensor import Tensor

TensorHook = Callable[[Tensor], Tensor | None]


class Watch:
    """What happens to the gradient of one tensor: the hooks, in order, and then who keeps it."""

    def __init__(self) -> None:
        self.hooks: dict[int, TensorHook] = {}
        self.keeper: Callable[[], Tensor | None] = lambda: None

    def passed(self, gradient: Tensor) -> Tensor:
        """The gradient that goes on."""
        at_work = recorder()
        if at_work is not None and self.hooks:
            at_work.obstacle("a tensor has a gradient hook, which is Python,")
        for hook in list(self.hooks.values()):
            changed = hook(gradient)
            if changed is not None and changed.shape != gradient.shape:
                raise GradientError(
                    f"a gradient hook returned shape {changed.shape} for a gradient of shape {gradient.shape}"
                )
            gradient = gradient if changed is None else changed
        keeper = self.keeper()
        if keeper is not None:
            leave(keeper, gradient)
        return gradient


_ever: list[bool] = []  # one entry once anything in this process was watched


def on_the_way(root: Any) -> bool:
    """Whether somebody looks at a gradient on the way back from here."""
    if not _ever:
        return False
    nodes = order_of(root) if isinstance(root, Node) else []
    edges = [root, *nodes, *(edge for node in nodes for edge in node.edges)]
    return any(getattr(edge, "watch", None) is not None for edge in edges)


def watch_of(tensor: Tensor) -> Watch:
    """The watch of a tensor, made when it is first asked for. Raises GradientError where no gradient passes."""
    edge = tensor._edge()
    if edge is None:
        raise GradientError("a tensor that does not require grad has no gradient to be looked at")
    found: Watch | None = getattr(edge, "watch", None)
    if found is None:
        found = edge.watch = Watch()
        _ever[:] = [True]
    return found


@op
def register_hook(x: Tensor, hook: TensorHook) -> HookHandle:
    """Call ``hook(gradient)`` when the gradient of x is known; see ``Tensor.register_hook``.

    >>> import nnkit
    >>> x = nnkit.tensor([1.0, 2.0], requires_grad=True)
    >>> handle = x.register_hook(lambda gradient: gradient * 10)
    >>> (x * x).sum().backward(); x.grad
    tensor([20., 40.])
    """
    return add_hook(watch_of(x).hooks, hook)


@op
def retain_grad(x: Tensor) -> None:
    """Keep the gradient of x in ``x.grad`` though it is no leaf; of a leaf it is kept anyway.

    >>> import nnkit
    >>> x = nnkit.tensor([1.0, 2.0], requires_grad=True)
    >>> y = x * 3; y.retain_grad(); (y * y).sum().backward(); y.grad
    tensor([ 6., 12.])
    """
    if x.node is not None:
        watch_of(x).keeper = weakref.ref(x)
    elif not x.requires_grad:
        raise GradientError("retain_grad of a tensor that does not require grad")


def leave(x: Tensor, gradient: Tensor) -> None:
    """Add a gradient to ``x.grad``; what is left stands where the gradient does on the tape."""
    place = x.gradient
    node = gradient.node
    if node is None:
        place.accumulate(x.backend, gradient.array)
        return
    before = x.grad
    total = gradient if before is None else before + gradient
    place.empty()
    with no_grad():
        place.accumulate(x.backend, total.array)
    left = x.grad
    assert left is not None
    left.node = total.node
