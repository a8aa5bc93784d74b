"""What an op gives back: its output as a tensor, on the tape where a gradient may be wanted.

Ops call ``result``, or ``view_result`` where no data move, with a pullback and what it reads. A rule, which makes the
same gradients of ops, is called with ``Asked``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nnkit.backends import Backend
from nnkit.backends.recording import recorder
from nnkit.errors import DeviceError, GradientError
from nnkit.tensors.memory import Saved, Version
from nnkit.tensors.tape import Node, Pullback, Rule, is_grad_enabled
from nnkit.tensors.tensor import Tensor
from nnkit.tensors.views import view_of

#: Among what a gradient reads: the op's own output.
OUTPUT: Any = object()

#: As a rule: the pullback itself, which finds ``Asked`` in the place of ``into``. Spares the commonest ops a function.
ITSELF: Any = object()


def result(
    name: str,
    array: Any,
    backend: Backend,
    inputs: Sequence[Tensor],
    pullback: Pullback,
    reads: Sequence[Sequence[Tensor]] = (),
    rule: Rule | None = None,
) -> Tensor:
    """An op's output as a tensor, on the tape when a gradient may be wanted.

    ``reads``: for each input, the tensors (or OUTPUT) that its gradient reads; backward refuses if they have changed.
    ``rule(dy, asked)`` makes the gradients again, of ops on tensors, so that they have gradients in turn; it is called
    after that check. Without one, gradients of this op's gradients are refused.
    """
    out = Tensor(array, backend)
    at_work = recorder()
    if at_work is not None:
        at_work.touch(*inputs)
    if is_grad_enabled():
        edges = tuple([x._edge() for x in inputs])
        for edge in edges:
            if edge is not None:
                out._node = Node(name, backend, edges, pullback, _saved(out, edges, reads) if reads else (), rule)
                break
    return out


class Asked:
    """What a rule is asked for: ``wanted`` says for each input whether its gradient is; the rest may be None."""

    __slots__ = ("_node", "wanted")

    def __init__(self, node: Node, wanted: tuple[bool, ...]) -> None:
        self._node = node
        self.wanted = wanted

    def output(self, array: Any) -> Tensor:
        """The op's own output, of which it kept the array, as a tensor where it is on the tape."""
        out = Tensor(array, self._node.backend)
        out._node = self._node
        for version, _, saved in self._node.saved:
            if saved is array:
                out._shared = version
        return out


def _saved(out: Tensor, edges: Sequence[Any], reads: Sequence[Sequence[Tensor]]) -> list[Saved]:
    """What the gradients of those inputs that want one are computed from."""
    saved = []
    for number, needed in enumerate(reads):
        if edges[number] is not None:
            for t in needed:
                t = out if t is OUTPUT else t
                version = t._shared
                if version is None:  # as ``version`` does, at the price of every op
                    version = t._shared = Version()
                saved.append((version, version.count, t.array))
    return saved


def view_result(
    name: str, array: Any, x: Tensor, pullback: Pullback, step: Callable[[Any], Any], rule: Rule | None = None
) -> Tensor:
    """The output ``step(x)`` of an op that moves no data: a view of x, and of whatever x is a view of."""
    out = result(name, array, x.backend, (x,), pullback, (), rule)
    out._shared = version = x.version
    version.shown(out, x, step)
    out.view_of = view_of(x, step)
    return out


def changes(x: Tensor) -> int:
    """How often x was changed in place up to now."""
    version = x._shared
    return 0 if version is None else version.count


def require_unchanged(name: str, tensors: Sequence[Tensor], counts: Sequence[int]) -> None:
    """Raise GradientError where a tensor that a rule reads, and the pullback does not, was changed since."""
    for x, count in zip(tensors, counts, strict=True):
        if changes(x) != count:
            raise GradientError(
                f"create_graph=True: the gradient of {name!r} has to be computed again from a value of shape {x.shape} "
                "that was changed in place since: change a copy, e.g. y = x.clone()"
            )


def same_backend(name: str, *tensors: Tensor) -> Backend:
    """The backend that all tensors live on. Raises DeviceError when they live on several."""
    backend = tensors[0].backend
    for other in tensors[1:]:
        if other.backend is not backend:
            raise DeviceError(
                f"{name}: expected all tensors on one device, got {str(backend.device)!r} and "
                f"{str(other.device)!r}; move one with .to({str(backend.device)!r})"
            )
    return backend
