"""Walking back in tensors: for gradients of gradients, and where somebody looks at gradients on their way.

``tape.backward`` is the quick way, over arrays. Here a node's gradients are tensors: with ``create_graph`` made by its
rule, of ops, and so on the tape themselves; else by its pullback.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nnkit.errors import GradientError
from nnkit.tensors.memory import Passing
from nnkit.tensors.methods import OPS
from nnkit.tensors.results import ITSELF, Asked
from nnkit.tensors.tape import Edge, Node, check_kept, enable_grad, leading, no_grad, order_of
from nnkit.tensors.tensor import Tensor
from nnkit.tensors.watch import leave

Gradients = Sequence[Tensor | None]


class Walk:
    """One way back through the tape."""

    def __init__(self, create_graph: bool, retain_graph: bool, anomaly: bool) -> None:
        self.create_graph = create_graph
        self.retain_graph = retain_graph
        self.anomaly = anomaly

    def back(self, root: Edge, seed: Tensor, wanted: Sequence[Edge] | None) -> list[Tensor | None]:
        """Like ``tape.backward``: gradients of what is wanted, or into the leaves' ``grad``."""
        with enable_grad() if self.create_graph else no_grad():
            return self._back(root, seed, wanted)

    def _back(self, root: Edge, seed: Tensor, wanted: Sequence[Edge] | None) -> list[Tensor | None]:
        arriving: dict[int, Tensor] = {id(root): seed}
        order = order_of(root) if isinstance(root, Node) else []
        leads = None if wanted is None else leading(order, wanted)
        leaves: dict[int, Tensor] = {} if isinstance(root, Node) else {id(root): root}
        found: dict[int, Tensor] = {}
        for node in reversed(order):
            if id(node) not in arriving:
                continue
            dy = found[id(node)] = _looked_at(node, arriving.pop(id(node)))
            edges = [edge if leads is None or id(edge) in leads else None for edge in node.edges]
            if all(edge is None for edge in edges):
                continue
            check_kept(node)
            gradients = self._step(node, dy, edges)
            for edge, gradient in zip(edges, gradients, strict=True):
                if edge is not None and gradient is not None:
                    before = arriving.get(id(edge))
                    arriving[id(edge)] = gradient if before is None else OPS["add"](before, gradient)
                    if not isinstance(edge, Node):
                        leaves[id(edge)] = edge
            if not self.retain_graph:
                node.pullback = node.rule = None
                node.saved = ()
        for key, leaf in leaves.items():
            found[key] = _looked_at(leaf, arriving[key])
            if wanted is None:
                leave(leaf, found[key])
        return [] if wanted is None else [found.get(id(edge)) for edge in wanted]

    def _step(self, node: Node, dy: Tensor, edges: Sequence[Edge]) -> Gradients:
        """One node's gradients of those inputs that have an edge here."""
        wanted = tuple([edge is not None for edge in edges])
        gradients = _by_rule(node, dy, wanted) if self.create_graph else _by_pullback(node, dy, wanted)
        if self.anomaly:
            _require_numbers(node, dy, gradients)
        return gradients


def _by_rule(node: Node, dy: Tensor, wanted: tuple[bool, ...]) -> Gradients:
    if node.rule is None:
        raise GradientError(
            f"create_graph=True: the op {node.name!r} has no gradient of its gradient; compute it from other ops, or "
            "write it as an autograd.Function with a backward that is made of ops"
        )
    rule: Any = node.pullback if node.rule is ITSELF else node.rule
    gradients: Gradients = rule(dy, Asked(node, wanted))
    return gradients


def _by_pullback(node: Node, dy: Tensor, wanted: tuple[bool, ...]) -> Gradients:
    into = [Passing() if one else None for one in wanted]
    assert node.pullback is not None
    gradients = []
    for place, gradient in zip(into, node.pullback(dy.array, into), strict=True):
        array = place.array if gradient is None and place is not None and place.filled else gradient
        gradients.append(None if array is None else Tensor(array, node.backend))
    return gradients


def _looked_at(edge: Edge, gradient: Tensor) -> Tensor:
    watch = getattr(edge, "watch", None)
    return gradient if watch is None else watch.passed(gradient)


def _require_numbers(node: Node, dy: Tensor, gradients: Gradients) -> None:
    """Raise GradientError where this op made NaN of what was none."""
    for number, gradient in enumerate(gradients):
        if gradient is not None and _has_nan(gradient) and not _has_nan(dy):
            raise GradientError(
                f"the gradient of {node.name!r} with respect to its input {number} has NaN in it, and the gradient "
                "that came in has none: this op made the first NaN in backward"
            )


def _has_nan(x: Tensor) -> bool:
    values: Any = x.detach().numpy()
    return bool((values != values).any())
