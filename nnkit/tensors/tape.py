"""The tape: what was computed, so that gradients can be found by walking back.

An op computes an array and says, as its *pullback*, how a gradient of its output becomes gradients of its inputs. The
output's ``Node`` keeps the pullback and points to the nodes of the inputs. ``backward`` visits the nodes from the
loss on, each after all that use it, and ends at the leaves: tensors that were made by hand, such as parameters.

A pullback is called as ``pullback(dy, into)``. ``into`` has one entry for each input: None where no gradient is wanted,
else a ``Gradient``, the place where it may be written. It returns one array (or None) for each input; an input whose
gradient was written into its place is None.

Beside its pullback an op may say its *rule*: the same gradients made of ops on tensors, for gradients of gradients and
for hooks. ``nnkit.tensors.walk`` walks back by rules; ``backward`` here by pullbacks, and leaves no trace.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

from nnkit.backends.recording import recorder
from nnkit.errors import GradientError
from nnkit.recording.observer import call
from nnkit.tensors.memory import Array, Gradient, Passing, Saved
from nnkit.tensors.scopes import Block, Present

if TYPE_CHECKING:
    from nnkit.backends import Backend

P = ParamSpec("P")
R = TypeVar("R")


class Leaf(Protocol):
    """A tensor that gradients end at."""

    backend: Backend
    gradient: Gradient


Pullback = Callable[[Array, Sequence[Gradient | None]], Sequence[Array | None]]
#: ``rule(dy, asked)`` gives one tensor, or None, for each input; ``asked`` is ``nnkit.tensor.Asked``.
Rule = Callable[[Any, Any], Sequence[Any]]
Edge = Any  # Node, Leaf or None; a Protocol cannot be told from a class by isinstance at a reasonable price


class Node:
    """One op's part of the tape. ``saved`` are the values that its pullback reads and that may be changed in place."""

    __slots__ = ("backend", "edges", "name", "pullback", "rule", "saved", "watch")

    def __init__(
        self,
        name: str,
        backend: Backend,
        edges: tuple[Edge, ...],
        pullback: Pullback,
        saved: Sequence[Saved] = (),
        rule: Rule | None = None,
    ) -> None:
        self.name = name
        self.backend = backend
        self.edges = edges
        self.pullback: Pullback | None = pullback
        self.saved = saved
        self.rule = rule

    def __repr__(self) -> str:
        return f"<{''.join(part[:1].upper() + part[1:] for part in self.name.split('_'))}Backward>"

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """The nodes of the inputs, as PyTorch shows them; None for an input that has none."""
        return tuple((edge if isinstance(edge, Node) else None, 0) for edge in self.edges)


_enabled = Present(True)


def is_grad_enabled() -> bool:
    """Whether ops are put on the tape in this thread.

    As ``torch.is_grad_enabled``.

    >>> is_grad_enabled()
    True
    """
    scope = _enabled.scope
    return scope.value if scope.outer is None else _enabled.value


class _Block(Block):
    """A state of the tape in this thread for a ``with`` block, or for a function as a decorator."""

    def __init__(self, enabled: bool) -> None:
        super().__init__(_enabled, enabled)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        enabled = self.inside

        @functools.wraps(function)
        def switched(*args: P.args, **options: P.kwargs) -> R:
            with _Block(enabled):
                return call(function, *args, **options)

        return switched


class set_grad_enabled(_Block):
    """Switch the tape on or off in this thread: at once, until a ``with`` block ends, or for a decorated function.

    As ``torch.set_grad_enabled``. Raises TypeError for a decorated object that is no function.

    >>> import nnkit
    >>> with nnkit.set_grad_enabled(False): nnkit.is_grad_enabled()
    False
    >>> _ = nnkit.set_grad_enabled(False); nnkit.is_grad_enabled()
    False
    >>> _ = nnkit.set_grad_enabled(True)
    """

    def __init__(self, mode: bool) -> None:
        super().__init__(mode)
        self._found = _enabled.value
        at_work = recorder()
        if at_work is not None:  # A step that leaves it so cannot be replayed.
            at_work.changed(_enabled, "value", self._found)
        _enabled.value = mode

    def __enter__(self) -> None:
        _enabled.value = self._found  # It was meant for the block alone.
        super().__enter__()

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        _enabled.value = self._found  # It was meant for the function alone.
        return super().__call__(function)


class _Named(_Block):
    """A block whose name says the state; as a decorator with or without parentheses."""

    enabled = True

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        block = super().__new__(cls)
        if function is None:
            return block
        block.__init__()  # type: ignore[misc]
        return block(function)

    def __init__(self) -> None:
        super().__init__(self.enabled)


class no_grad(_Named):
    """Nothing inside is put on the tape: ``with nnkit.no_grad():``, ``@nnkit.no_grad()`` or ``@nnkit.no_grad``.

    As ``torch.no_grad``. Raises TypeError, when it is called, for a decorated object that is no function.

    >>> import nnkit
    >>> with no_grad():
    ...     nnkit.ones(1, requires_grad=True).sum().requires_grad
    False
    """

    enabled = False


class enable_grad(_Named):
    """Ops inside are put on the tape, also within ``no_grad``; as a decorator with or without parentheses.

    As ``torch.enable_grad``. Raises TypeError, when it is called, for a decorated object that is no function.

    >>> import nnkit
    >>> with no_grad(), enable_grad():
    ...     nnkit.ones(1, requires_grad=True).sum().requires_grad
    True
    """


class inference_mode(_Block):
    """``no_grad`` under PyTorch's other name, in all its forms; ``inference_mode(False)`` puts ops on the tape.

    Tensors made inside may be used on the tape later, which PyTorch refuses. Raises nothing of its own.

    >>> import nnkit
    >>> with inference_mode():
    ...     nnkit.ones(1, requires_grad=True).sum().requires_grad
    False
    """

    def __new__(cls, mode: bool | Callable[..., Any] = True) -> Any:
        if not callable(mode):
            return super().__new__(cls)
        block = super().__new__(cls)
        block.__init__(True)  # type: ignore[misc]
        return block(mode)

    def __init__(self, mode: bool = True) -> None:
        super().__init__(not mode)


def order_of(root: Node) -> list[Node]:
    """The nodes that root depends on, each before the nodes that use it."""
    order: list[Node] = []
    seen: set[int] = set()
    stack: list[tuple[Node, bool]] = [(root, False)]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((edge, False) for edge in node.edges if isinstance(edge, Node))
    return order


def leading(order: list[Node], wanted: Iterable[Edge]) -> set[int]:
    """The ids of what is wanted, and of the nodes that depend on it."""
    found = {id(edge) for edge in wanted}
    for node in order:
        for edge in node.edges:
            if id(edge) in found:
                found.add(id(node))
                break
    return found


def backward(root: Node | Leaf, seed: Array, retain_graph: bool, wanted: Sequence[Edge] | None) -> list[Array | None]:
    """Walk back from ``root``, whose gradient is ``seed``.

    Without ``wanted``, gradients go into the leaves' own places. With it, they are returned, one for each wanted node
    or leaf (None where root does not depend on it), and the leaves' own gradients stay as they are.
    """
    asked: dict[int, Gradient] | None = None if wanted is None else {id(edge): Passing() for edge in wanted}
    arriving: dict[int, Array] = {id(root): seed}
    order = order_of(root) if isinstance(root, Node) else []
    leads = None if wanted is None else leading(order, wanted)
    if not isinstance(root, Node):
        _arrive(root, seed, asked)
    for node in reversed(order):
        dy = arriving.pop(id(node), None)
        if dy is None:
            continue
        if asked is not None and id(node) in asked:
            asked[id(node)].accumulate(node.backend, dy)
        if node.pullback is None:
            check_kept(node)
        for version, count, _ in node.saved:
            if version.count != count:
                check_kept(node)
        _step_back(node, dy, arriving, asked, leads)
        if not retain_graph:
            node.pullback = node.rule = None
            node.saved = ()
    if wanted is None or asked is None:
        return []
    return [asked[id(edge)].array for edge in wanted]


def check_kept(node: Node) -> None:
    """Raise GradientError where a node's saved values were freed, or changed in place."""
    if node.pullback is None:
        raise GradientError(
            f"backward through {node.name!r} a second time: its saved values were freed by the first. "
            "Compute the loss again, or call the first backward with retain_graph=True"
        )
    for version, count, array in node.saved:
        if version.count != count:
            raise GradientError(_overtaken(node.name, array, version.count - count))


def _overtaken(name: str, array: Array, changes: int) -> str:
    times = "once" if changes == 1 else f"{changes} times"
    return (
        f"backward through {name!r} needs a value of shape {tuple(array.shape)} that was changed in place {times} "
        "since it was computed with: call backward before the change (an optimizer's step is one), compute the loss "
        "again, or change a copy, e.g. y = y + 1 or y = y.clone()"
    )


def _step_back(
    node: Node, dy: Array, arriving: dict[int, Array], asked: dict[int, Gradient] | None, leads: set[int] | None
) -> None:
    """Call one node's pullback and send its gradients to the inputs."""
    into = [_place_for(edge, asked, leads) for edge in node.edges]
    if leads is not None and all(place is None for place in into):
        return  # it is wanted itself, and nothing before it
    assert node.pullback is not None
    gradients = node.pullback(dy, into)
    for edge, place, gradient in zip(node.edges, into, gradients, strict=True):
        if place is None:
            continue
        if isinstance(edge, Node):
            value = place.array if gradient is None and place.filled else gradient
            if value is not None:
                before = arriving.get(id(edge))
                arriving[id(edge)] = value if before is None else _sum(edge.backend, before, value)
        elif gradient is not None:
            _arrive(edge, gradient, asked)


def _place_for(edge: Edge, asked: dict[int, Gradient] | None, leads: set[int] | None) -> Gradient | None:
    if edge is None:
        return None
    if isinstance(edge, Node):
        return Passing() if leads is None or id(edge) in leads else None
    if asked is None:
        place: Gradient = edge.gradient
        return place
    return asked.get(id(edge))


def _arrive(leaf: Leaf, gradient: Array, asked: dict[int, Gradient] | None) -> None:
    place = leaf.gradient if asked is None else asked.get(id(leaf))
    if place is not None:
        place.accumulate(leaf.backend, gradient)


def _sum(backend: Backend, x: Array, y: Array) -> Array:
    # Never in place: a pullback may have handed the same array to two inputs.
    out = backend.empty(tuple(x.shape), backend.dtype_of(x))
    backend.map("add", (x, y), (out,))
    return out
