"""Gradients: into leaves' ``.grad`` by ``backward``, or given back by ``grad``; of any order with ``create_graph``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from nnkit.errors import GradientError, ShapeError
from nnkit.tensors import tape
from nnkit.tensors.methods import op
from nnkit.tensors.results import Asked, same_backend
from nnkit.tensors.tape import Node, order_of
from nnkit.tensors.tensor import Tensor
from nnkit.tensors.walk import Walk
from nnkit.tensors.watch import leave, on_the_way

Tensors = Tensor | Sequence[Tensor]


class _Anomaly(threading.local):
    """Whether backward looks for the first NaN, in this thread."""

    on = False


anomaly = _Anomaly()


class _Afterwards(threading.local):
    """What is to be done once this thread's next backward has ended."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []


_afterwards = _Afterwards()


def after_backward(call: Callable[[], None]) -> None:
    """Call ``call``, once, when the next backward has left its gradients in the leaves."""
    if call not in _afterwards.calls:
        _afterwards.calls.append(call)


def grad(
    outputs: Tensors,
    inputs: Tensors,
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    materialize_grads: bool = True,
) -> tuple[Any, ...]:
    """The gradients of ``outputs`` with respect to ``inputs``, leaving every ``.grad`` as it is.

    Each output is a scalar, or ``grad_outputs`` has a tensor of its shape for it. The result has one tensor for each of
    ``inputs``: zeros where the outputs do not depend on it, or with ``allow_unused`` None. With ``create_graph`` the
    gradients are on the tape themselves, and can be differentiated again. Raises GradientError for an input that does
    not require grad. ``autograd.grad`` is the same with PyTorch's defaults. Shapes and dtypes are those of ``inputs``.

    >>> import nnkit
    >>> x = nnkit.tensor(3.0, requires_grad=True)
    >>> (slope,) = nnkit.grad(x * x * x, x, create_graph=True)
    >>> nnkit.grad(slope, x)
    (tensor(18.),)
    """
    wanted = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if allow_unused is None:
        allow_unused = False
    elif allow_unused:
        materialize_grads = False
    for number, tensor in enumerate(wanted):
        if not tensor.requires_grad:
            raise GradientError(f"inputs[{number}] does not require grad: set requires_grad=True before computing")
    root, seed = _root(outputs, grad_outputs)
    found = _walked(root, seed, retain_graph, create_graph, [t._edge() for t in wanted])
    for number, tensor in enumerate(wanted):
        if found[number] is None and not (allow_unused and not _reaches(root, tensor)):
            if not materialize_grads and not _reaches(root, tensor):
                raise GradientError(
                    f"the outputs do not depend on inputs[{number}]: pass allow_unused=True to get None for it"
                )
            found[number] = Tensor(tensor.backend.zeros(tensor.shape, tensor.dtype), tensor.backend)
    return tuple(found)


@op
def backward(
    tensor: Tensors,
    gradient: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensors | None = None,
) -> None:
    """Add the gradients of one or several tensors to the ``grad`` of every leaf, or of ``inputs``.

    Raises GradientError for a tensor that depends on nothing that requires grad, or that is no scalar and comes without
    ``gradient``; ShapeError for a gradient of another shape. Source: ``torch.autograd.backward``.

    >>> import nnkit
    >>> x = nnkit.tensor(3.0, requires_grad=True)
    >>> backward(x * x); x.grad.item()
    6.0
    """
    _into_leaves(tensor, gradient, retain_graph, create_graph, inputs)
    if _afterwards.calls:
        calls, _afterwards.calls = _afterwards.calls, []
        for call in calls:
            call()


def _into_leaves(
    tensor: Tensors, gradient: Any, retain_graph: bool | None, create_graph: bool, inputs: Tensors | None
) -> None:
    if inputs is None and not create_graph and isinstance(tensor, Tensor) and not anomaly.on:
        edge = tensor._edge()
        if not on_the_way(edge):  # the common case, without detours
            array = _one(tensor) if gradient is None else seed_of(tensor, gradient).array
            tape.backward(edge, array, bool(retain_graph), None)
            return
    if inputs is None:
        root, seed = _root(tensor, gradient)
        _walked(root, seed, retain_graph, create_graph, None)
        return
    wanted = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    root, seed = _root(tensor, gradient)
    gradients = _walked(root, seed, retain_graph, create_graph, [t._edge() for t in wanted])
    for t, found in zip(wanted, gradients, strict=True):
        if found is not None:
            leave(t, found)


def _walked(
    root: Any, seed: Tensor, retain_graph: bool | None, create_graph: bool, wanted: list[Any] | None
) -> list[Tensor | None]:
    keep = create_graph if retain_graph is None else retain_graph
    if create_graph or anomaly.on or on_the_way(root):
        return Walk(create_graph, keep, anomaly.on).back(root, seed, wanted)
    arrays = tape.backward(root, seed.array, keep, wanted)
    if wanted is None:
        return []
    return [None if array is None else Tensor(array, edge.backend) for array, edge in zip(arrays, wanted, strict=True)]


def _reaches(root: Any, tensor: Tensor) -> bool:
    """Whether the way back leads to a tensor, if only with a slope of 0 everywhere, as relu's second is."""
    edge = tensor._edge()
    return root is edge or any(
        e is edge for node in (order_of(root) if isinstance(root, Node) else ()) for e in node.edges
    )


def _root(outputs: Tensors, gradients: Any) -> tuple[Any, Tensor]:
    """Where the walk begins, and the gradient there."""
    if isinstance(outputs, Tensor):
        given = gradients if gradients is None or isinstance(gradients, Tensor) else gradients[0]
        return outputs._edge(), seed_of(outputs, given)
    ends = list(outputs)
    given = [gradients] * len(ends) if gradients is None or isinstance(gradients, Tensor) else list(gradients)
    seeds = [seed_of(end, one) for end, one in zip(ends, given, strict=True)]
    if len(ends) == 1:
        return ends[0]._edge(), seeds[0]
    edges = tuple([end._edge() for end in ends])

    def rule(dy: Tensor, asked: Asked) -> list[Tensor]:
        return seeds

    return Node("outputs", ends[0].backend, edges, lambda dy, into: [s.array for s in seeds], (), rule), seeds[0]


def seed_of(output: Tensor, gradient: Tensor | None) -> Tensor:
    """The gradient that backward begins with. Raises GradientError or ShapeError where there is none."""
    if gradient is None:
        return Tensor(_one(output), output.backend)
    _require_grad(output)
    if gradient.shape != output.shape:
        raise ShapeError(f"gradient: expected shape {output.shape} like the tensor's, got {gradient.shape}")
    same_backend("backward", output, gradient)
    return gradient.to(output.dtype)


def _one(output: Tensor) -> Any:
    """The gradient of a scalar with respect to itself."""
    _require_grad(output)
    if output.numel() != 1:
        raise GradientError(
            f"backward of a tensor of shape {output.shape}: expected a scalar; reduce it first, "
            "e.g. loss.mean().backward(), or pass gradient= of the same shape"
        )
    backend = output.backend
    return backend.reshape(backend.one(output.dtype), output.shape)


def _require_grad(output: Tensor) -> None:
    if not output.requires_grad:
        raise GradientError(
            "backward of a tensor that does not depend on any tensor with requires_grad=True, "
            "or that was computed under no_grad()"
        )
