"""Views on the tape: after a change in place of the whole or of a part, each has to find its place on the tape anew.

A view knows the tensor whose memory it is part of, its base, and the steps that lead there. Whatever is changed
in place, it is the base that gets another node; a view sees that when it is asked for its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nnkit.backends.pool import overlap
from nnkit.backends.recording import paused
from nnkit.errors import GradientError
from nnkit.tensors.tape import enable_grad, is_grad_enabled

if TYPE_CHECKING:
    from nnkit.tensors.tensor import Tensor

Step = Callable[[Any], Any]
Path = tuple[Step, ...]


class View:
    """What a tensor is a view of: ``path`` are the steps that lead from ``base`` to it."""

    __slots__ = ("base", "on_tape", "path", "seen")

    def __init__(self, base: Tensor, path: Path) -> None:
        self.base = base
        self.path = path
        self.on_tape = is_grad_enabled()
        self.seen = base._node  # that the view's own node comes from; a base is no view itself

    def renew(self, tensor: Tensor) -> None:
        """Give the view a node that comes from what its base is now."""
        if not self.on_tape:
            if is_grad_enabled():
                raise GradientError(
                    "a view that was made under no_grad() is used on the tape, where its base was changed in place "
                    "since: make the view outside of no_grad(), or use view.detach()"
                )
            return
        self.seen = self.base.node
        with enable_grad(), paused():
            again = follow(self.path, self.base)
        if overlap(again.array, tensor.array):  # else the base has other memory by now
            tensor.node = again.node


def view_of(whole: Tensor, step: Callable[[Any], Any]) -> View:
    """What ``step(whole)`` is a view of."""
    if whole.view_of is None:
        return View(whole, (step,))
    return View(whole.view_of.base, (*whole.view_of.path, step))


def follow(path: Path, whole: Any) -> Any:
    """The part of a tensor to which a path leads."""
    for step in path:
        whole = step(whole)
    return whole
