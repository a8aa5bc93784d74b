"""Jacobians, Hessians and their products with vectors, of functions of tensors: PyTorch's torch.autograd.functional.

``inputs`` is a tensor or a tuple of them, and results follow that. With ``create_graph`` results are on the tape.
``strict`` raises GradientError where an output does not depend on an input; else its slopes are zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nnkit import ops
from nnkit.errors import GradientError, ShapeError
from nnkit.tensors.creation import ones_like, zeros_like
from nnkit.tensors.gradients import grad
from nnkit.tensors.tape import enable_grad
from nnkit.tensors.tensor import Tensor

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

Tensors = Tensor | tuple[Tensor, ...]
Function = Callable[..., Any]


def jacobian(
    func: Function, inputs: Tensors, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:  # fmt: skip
    """The slopes of every output element along every input element: shape (*output, *input).

    A tuple over the outputs of one over the inputs, where those are tuples. One walk back for each output element;
    ``vectorize`` and ``strategy`` change nothing here. Tensors of a float dtype. Raises TypeError for what is no
    Tensor, GradientError by ``strict``. Source: ``torch.autograd.functional.jacobian``.

    >>> import nnkit
    >>> jacobian(lambda x: x * x, nnkit.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    with enable_grad():
        given = _fresh(inputs, create_graph)
        outputs = func(*given)
        rows = [_jacobian_of(output, given, create_graph, strict) for output in _as_tuple(outputs)]
    found = [row if isinstance(inputs, tuple) else row[0] for row in rows]
    return found[0] if isinstance(outputs, Tensor) else tuple(found)


def _jacobian_of(output: Tensor, given: tuple[Tensor, ...], create_graph: bool, strict: bool) -> tuple[Tensor, ...]:
    parts: list[list[Tensor]] = [[] for _ in given]
    for one in output.reshape(-1):
        for rows, gradient in zip(parts, _grads(one, given, None, create_graph, strict, True), strict=True):
            rows.append(gradient)
    return tuple([
        ops.stack(rows).reshape((*output.shape, *t.shape)) if rows else _nothing(output, t)
        for rows, t in zip(parts, given, strict=True)
    ])  # fmt: skip


def _nothing(output: Tensor, t: Tensor) -> Tensor:
    return Tensor(t.backend.zeros((*output.shape, *t.shape), t.dtype), t.backend)


def hessian(
    func: Function, inputs: Tensors, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:  # fmt: skip
    """The second slopes of a function that gives one number: shape (*input, *input); of a tuple, a tuple of tuples.

    Tensors of a float dtype. Raises ShapeError for a function that gives more than one number, TypeError for what is no
    Tensor, GradientError by ``strict``. Source: ``torch.autograd.functional.hessian``.

    >>> import nnkit
    >>> hessian(lambda x: (x * x * x).sum(), nnkit.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """

    def slopes(*given: Tensor) -> Any:
        gradients = _grads(_number("hessian", func(*given)), given, None, True, strict)
        return gradients if isinstance(inputs, tuple) else gradients[0]

    return jacobian(slopes, inputs, create_graph, strict)


def vjp(
    func: Function, inputs: Tensors, v: Tensors | None = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The outputs, and v times the Jacobian: one gradient. ``v`` is 1 where the output is one number.

    Tensors of a float dtype; v has the shapes of the outputs. Raises ShapeError for a v that has others, and for none
    where there is more than one number, TypeError for what is no Tensor. Source: ``torch.autograd.functional.vjp``.

    >>> import nnkit
    >>> vjp(lambda x: x * x, nnkit.tensor([1.0, 2.0]), nnkit.tensor([1.0, 10.0]))[1]
    tensor([ 2., 40.])
    """
    with enable_grad():
        given = _fresh(inputs, create_graph)
        outputs = func(*given)
        ends = _as_tuple(outputs)
        gradients = _grads(ends, given, _vector(v, ends), create_graph, strict)
    return _off(outputs, create_graph), _like(inputs, gradients, create_graph)


def jvp(
    func: Function, inputs: Tensors, v: Tensors | None = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The outputs, and the Jacobian times v: how fast they change along v.

    By two walks back, as PyTorch does it. Tensors of a float dtype; v has the shapes of the inputs. Raises ShapeError
    for a v that has others, TypeError for what is no Tensor. Source: ``torch.autograd.functional.jvp``.

    >>> import nnkit
    >>> jvp(lambda x: x * x, nnkit.tensor([1.0, 2.0]), nnkit.tensor([1.0, 10.0]))[1]
    tensor([ 2., 40.])
    """
    with enable_grad():
        given = _fresh(inputs, create_graph)
        outputs = func(*given)
        ends = _as_tuple(outputs)
        rates = _pushed(ends, given, _vector(v, given), create_graph, strict)
    return _off(outputs, create_graph), _like(outputs, rates, create_graph)


def _pushed(
    ends: tuple[Tensor, ...], given: tuple[Tensor, ...], v: list[Tensor], create_graph: bool, strict: bool
) -> tuple[Tensor, ...]:
    """The rates of outputs along v: what gradients that come in are multiplied by, found by differentiating by them."""
    dummies = [zeros_like(end).requires_grad_() for end in ends]
    gradients = _grads(ends, given, dummies, True, strict)
    moving = [k for k, gradient in enumerate(gradients) if gradient.requires_grad]
    if not moving:
        return tuple(map(zeros_like, ends))
    return _grads([gradients[k] for k in moving], tuple(dummies), [v[k] for k in moving], create_graph, False)


def hvp(
    func: Function, inputs: Tensors, v: Tensors | None = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The output, one number, and its Hessian times v; here as ``vhp``, for the Hessian is symmetric.

    Tensors of a float dtype; v has the shapes of the inputs. Raises ShapeError for a v that has others, and for a
    function that gives more than one number. Source: ``torch.autograd.functional.hvp``.

    >>> import nnkit
    >>> hvp(lambda x: (x * x * x).sum(), nnkit.tensor([1.0, 2.0]), nnkit.tensor([1.0, 10.0]))[1]
    tensor([  6., 120.])
    """
    return vhp(func, inputs, v, create_graph, strict)


def vhp(
    func: Function, inputs: Tensors, v: Tensors | None = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The output, one number, and v times its Hessian: the gradient of v times the gradient.

    Tensors of a float dtype; v has the shapes of the inputs. Raises ShapeError for a v that has others, and for a
    function that gives more than one number. Source: ``torch.autograd.functional.vhp``.

    >>> import nnkit
    >>> vhp(lambda x: (x * x * x).sum(), nnkit.tensor([1.0, 2.0]), nnkit.tensor([1.0, 10.0]))[1]
    tensor([  6., 120.])
    """
    with enable_grad():
        given = _fresh(inputs, create_graph)
        output = _number("vhp", func(*given))
        slopes = _grads(output, given, None, True, strict)
        moving = [k for k, slope in enumerate(slopes) if slope.requires_grad]
        vector = _vector(v, given)
        if moving:
            products = _grads([slopes[k] for k in moving], given, [vector[k] for k in moving], create_graph, strict)
        else:
            products = tuple(map(zeros_like, given))
    return _off(output, create_graph), _like(inputs, products, create_graph)


# ---- what they share ------------------------------------------------------------------------------------------------


def _as_tuple(values: Any) -> tuple[Any, ...]:
    found = (values,) if isinstance(values, Tensor) else values
    if not isinstance(found, (tuple, list)) or not all(isinstance(value, Tensor) for value in found):
        raise TypeError(f"expected a Tensor, or a tuple of Tensors, got {type(values).__name__}: {values!r:.100}")
    return tuple(found)


def _fresh(inputs: Tensors, create_graph: bool) -> tuple[Tensor, ...]:
    """The inputs as tensors of their own, on the tape behind the given ones where results are to be."""
    return tuple([
        t.clone() if create_graph and t.requires_grad else t.detach().requires_grad_() for t in _as_tuple(inputs)
    ])  # fmt: skip


def _vector(v: Tensors | None, like: Sequence[Tensor]) -> list[Tensor]:
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise ShapeError("v: expected a tensor for each, of its shape; it may be left out for one number only")
        return [ones_like(like[0].detach())]
    vectors = list(_as_tuple(v))
    for one, other in zip(vectors, like, strict=True):
        if one.shape != other.shape:
            raise ShapeError(f"v: expected shape {other.shape}, got {one.shape}")
    return vectors


def _number(name: str, output: Any) -> Tensor:
    if not isinstance(output, Tensor) or output.numel() != 1:
        raise ShapeError(f"{name}: expected a function that gives one number, got {getattr(output, 'shape', output)}")
    return output.reshape(())


def _grads(
    outputs: Tensor | Sequence[Tensor], given: tuple[Tensor, ...], seeds: Any, create_graph: bool, strict: bool,
    keep: bool = False,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Gradients; zeros where there is none, or with ``strict`` an error."""
    ends = [t for t in _as_tuple(outputs) if t.requires_grad]
    if seeds is not None:
        seeds = [s for s, t in zip(seeds, _as_tuple(outputs), strict=True) if t.requires_grad]
    found: Sequence[Any] = [None] * len(given)
    if ends:
        found = grad(ends, given, seeds, keep or create_graph, create_graph, True)
    for number, gradient in enumerate(found):
        if gradient is None and strict:
            raise GradientError(f"strict: the outputs do not depend on inputs[{number}]")
    return tuple([zeros_like(t) if g is None else g for t, g in zip(given, found, strict=True)])


def _off(values: Any, create_graph: bool) -> Any:
    if create_graph:
        return values
    return values.detach() if isinstance(values, Tensor) else tuple([t.detach() for t in values])


def _like(inputs: Any, found: Sequence[Tensor], create_graph: bool) -> Any:
    return _off(found[0] if isinstance(inputs, Tensor) else tuple(found), create_graph)
