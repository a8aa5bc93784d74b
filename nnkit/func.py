"""Functions of functions: gradients, Jacobians and maps over an axis, as PyTorch's torch.func.

What they give can be differentiated and mapped again. ``vmap`` calls the function once for each row and stacks what
comes: always right, with any op, and as slow as a loop; a recorded step replays that loop without Python. Where rows do
not meet, as in a net, a gradient of the sum over all rows gives the gradients of each in one call.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nnkit import ops
from nnkit.autograd import functional
from nnkit.errors import DtypeError, ShapeError
from nnkit.nn.module import Module
from nnkit.recording.observer import call
from nnkit.recording.structures import leaves, rebuilt
from nnkit.tensors.gradients import grad as gradients_of
from nnkit.tensors.tape import Node, enable_grad, is_grad_enabled, order_of
from nnkit.tensors.tensor import Parameter, Tensor

__all__ = [
    "functional_call", "grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp", "vjp", "vmap",
]  # fmt: skip


def __dir__() -> list[str]:
    return sorted(__all__)


Function = Callable[..., Any]
Argnums = int | tuple[int, ...]


# ---- gradients ------------------------------------------------------------------------------------------------------


def grad(func: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """The function that gives the gradient of ``func``, which gives one number, with respect to its arguments.

    An argument may be a tensor, or a dict, list or tuple of tensors, and so is its gradient. With ``has_aux`` the
    function gives a pair (number, anything), and the gradient comes in a pair with the latter. Arguments are floats of
    any shape, which their gradients have. Raises ShapeError for a function that gives anything else, DtypeError for
    arguments of whole numbers, ValueError for ``argnums`` that are not there. Source: ``torch.func.grad``.

    >>> import nnkit
    >>> grad(grad(lambda x: x ** 3))(nnkit.tensor(2.0))
    tensor(12.)
    """

    @functools.wraps(func)
    def gradient(*args: Any, **options: Any) -> Any:
        found, value = grad_and_value(func, argnums, has_aux)(*args, **options)
        return (found, value[1]) if has_aux else found

    return gradient


def grad_and_value(func: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """``grad`` in a pair with what the function gives: (gradient, value), or (gradient, (value, aux)).

    Arguments are floats of any shape. Raises ShapeError for a function that does not give one number, DtypeError for
    arguments of whole numbers, ValueError for ``argnums`` that are not there. Source: ``torch.func.grad_and_value``.

    >>> import nnkit
    >>> grad_and_value(lambda x: x * x)(nnkit.tensor(3.0))
    (tensor(6.), tensor(9.))
    """

    @functools.wraps(func)
    def both(*args: Any, **options: Any) -> Any:
        places = _places(argnums, args)
        outside = is_grad_enabled()
        with enable_grad():
            given, fresh = _fresh(args, places)
            value = call(func, *given, **options)
            number = value[0] if has_aux else value
            if not isinstance(number, Tensor) or number.numel() != 1:
                raise ShapeError(
                    f"grad: expected a function that gives one number, got {getattr(number, 'shape', number)}"
                )
            on_tape = outside and _reaches_others(number, fresh)
            found = gradients_of(number, fresh, None, True, on_tape) if number.requires_grad else None
        parts = iter([ops.mul(t, 0.0).detach() for t in fresh] if found is None else found)
        slopes = [_made_of(args[place], parts) for place in places]
        value = value if on_tape else _off(value)
        return slopes[0] if isinstance(argnums, int) else tuple(slopes), value

    return both


def vjp(func: Function, *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """What the function gives, and a function that takes v of its shape to v times the Jacobian.

    Raises DtypeError for ``primals`` of whole numbers, and the function for v of another shape ShapeError. Source:
    ``torch.func.vjp``.

    >>> import nnkit
    >>> value, back = vjp(lambda x: x * x, nnkit.tensor([1.0, 2.0]))
    >>> back(nnkit.tensor([1.0, 10.0]))
    (tensor([ 2., 40.]),)
    """
    places = tuple(range(len(primals)))
    outside = is_grad_enabled()
    with enable_grad():
        given, fresh = _fresh(primals, places)
        value = call(func, *given)
    output, aux = value if has_aux else (value, None)
    ends = [t for t in leaves(output) if isinstance(t, Tensor)]
    on_tape = outside and any(_reaches_others(end, fresh) for end in ends)

    def back(*v: Any) -> tuple[Any, ...]:
        seeds = [t for t in leaves(v[0] if len(v) == 1 else v) if isinstance(t, Tensor)]
        pairs = [(end, seed) for end, seed in zip(ends, seeds, strict=True) if end.requires_grad]
        create = on_tape or (is_grad_enabled() and any(seed.requires_grad for seed in seeds))
        with enable_grad():
            found = gradients_of([e for e, _ in pairs], fresh, [s for _, s in pairs], True, create)
        parts = iter(found)
        return tuple([_made_of(primal, parts) for primal in primals])

    shown = output if on_tape else _off(output)
    return (shown, back, aux) if has_aux else (shown, back)


def jvp(func: Function, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    """What the function of the tensors ``primals`` gives, and how fast it changes along ``tangents``.

    By two walks back rather than one forward. Raises ShapeError for tangents of other shapes, DtypeError for primals of
    whole numbers. Source: ``torch.func.jvp``.

    >>> import nnkit
    >>> jvp(lambda x: x * x, (nnkit.tensor([1.0, 2.0]),), (nnkit.tensor([1.0, 10.0]),))
    (tensor([1., 4.]), tensor([ 2., 40.]))
    """
    inside = _inside(primals)
    return functional.jvp(func, tuple(primals), tuple(tangents), create_graph=inside)


def jacrev(func: Function, argnums: Argnums = 0) -> Function:
    """The function that gives the Jacobian along the arguments: shape (*output, *input).

    One walk for each output. Raises TypeError for a function that does not give tensors, DtypeError for arguments of
    whole numbers, ValueError for ``argnums`` that are not there. Source: ``torch.func.jacrev``.

    >>> import nnkit
    >>> jacrev(lambda x: x * x)(nnkit.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """

    @functools.wraps(func)
    def jacobian(*args: Any, **options: Any) -> Any:
        places = _places(argnums, args)

        def of_these(*chosen: Any) -> Any:
            given = list(args)
            for place, value in zip(places, chosen, strict=True):
                given[place] = value
            return call(func, *given, **options)

        chosen = tuple(args[place] for place in places)
        return functional.jacobian(
            of_these, chosen[0] if isinstance(argnums, int) else chosen, create_graph=_inside(args)
        )

    return jacobian


def jacfwd(func: Function, argnums: Argnums = 0, randomness: str = "error") -> Function:
    """``jacrev`` under the name of the way forward, which gives the same.

    Raises what that raises. Source: ``torch.func.jacfwd``.

    >>> import nnkit
    >>> jacfwd(lambda x: x * x)(nnkit.tensor([1.0, 2.0])).tolist()
    [[2.0, 0.0], [0.0, 4.0]]
    """
    return jacrev(func, argnums)


def hessian(func: Function, argnums: Argnums = 0) -> Function:
    """The function that gives the second slopes of ``func``: the Jacobian of its Jacobian.

    It has the shape (*output, *input, *input). Raises what ``jacrev`` raises, such as DtypeError for whole numbers.
    Source: ``torch.func.hessian``.

    >>> import nnkit
    >>> hessian(lambda x: (x ** 3).sum())(nnkit.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    return jacrev(jacrev(func, argnums), argnums)


# ---- modules, and maps over an axis ---------------------------------------------------------------------------------


def functional_call(
    module: Module, parameters: Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]], args: Any = None,
    kwargs: Mapping[str, Any] | None = None, *, tie_weights: bool = True, strict: bool = False,
) -> Any:  # fmt: skip
    """Call a module with other tensors in the place of its parameters and buffers, by name; it stays as it is.

    They may have any shapes and dtypes that its ``forward`` can work with. Raises KeyError for a name that the module
    does not have, and with ``strict`` for one that is missing. Source: ``torch.func.functional_call``.

    >>> import nnkit
    >>> layer = nnkit.nn.Linear(1, 1)
    >>> functional_call(layer, {"weight": nnkit.tensor([[2.0]]), "bias": nnkit.tensor([1.0])}, (nnkit.ones(1),))
    tensor([3.])
    """
    given: dict[str, Tensor] = {}
    for part in [parameters] if isinstance(parameters, Mapping) else parameters:
        given |= part
    own = {name for name, _ in (*module.named_parameters(), *module.named_buffers())}
    unknown, missing = given.keys() - own, own - given.keys()
    if unknown or (strict and missing):
        raise KeyError(f"functional_call: unknown names {sorted(unknown)}, missing names {sorted(missing)}")
    parts, held = dict(module.named_modules()), []
    try:
        for name, value in given.items():
            path, _, last = name.rpartition(".")
            owner = parts[path]
            registry: dict[str, Any] = owner._parameters if last in owner._parameters else owner._buffers
            held.append((registry, last, registry[last]))
            registry[last] = value
        return module(*(args if isinstance(args, tuple) else () if args is None else (args,)), **(kwargs or {}))
    finally:
        for registry, last, before in reversed(held):
            registry[last] = before


def vmap(
    func: Function, in_dims: Any = 0, out_dims: Any = 0, randomness: str = "error", *, chunk_size: int | None = None
) -> Function:
    """The function that calls ``func`` for each row of its arguments and stacks what comes.

    ``in_dims`` says along which axis rows of each argument lie, None for one that all rows share; ``out_dims`` where
    they come to lie. ``randomness`` and ``chunk_size`` change nothing: each row is a call of its own, and draws its own
    random numbers; tensors are of any dtype. Raises ShapeError where there are no rows, or not equally many. Source:
    ``torch.func.vmap``.

    >>> import nnkit
    >>> vmap(lambda x, y: (x * y).sum(), (0, None))(nnkit.tensor([[1.0, 2.0], [3.0, 4.0]]), nnkit.tensor([1.0, 10.0]))
    tensor([21., 43.])
    """

    @functools.wraps(func)
    def mapped(*args: Any, **options: Any) -> Any:
        axes = tuple(in_dims) if isinstance(in_dims, (tuple, list)) else (in_dims,) * len(args)
        if len(axes) != len(args):
            raise ShapeError(f"vmap: in_dims has {len(axes)} entries for {len(args)} arguments")
        counts = {
            _rows(t, axis)
            for arg, axis in zip(args, axes, strict=True)
            if axis is not None
            for t in leaves(arg)
            if isinstance(t, Tensor)
        }
        if len(counts) != 1 or 0 in counts:
            raise ShapeError(f"vmap: expected rows, as many in each argument that has them, got {sorted(counts)}")
        rows = [
            call(func, *(_row(arg, axis, i) for arg, axis in zip(args, axes, strict=True)), **options)
            for i in range(counts.pop())
        ]
        return _stacked(rows, out_dims)

    return mapped


def _rows(tensor: Tensor, axis: int) -> int:
    if not -tensor.ndim <= axis < tensor.ndim:
        raise ShapeError(f"vmap: expected rows along axis {axis}, got an argument of shape {tensor.shape}")
    return tensor.shape[axis]


def _row(argument: Any, axis: int | None, number: int) -> Any:
    if axis is None:
        return argument
    return rebuilt(argument, lambda t: t[(slice(None),) * (axis % t.ndim) + (number,)] if isinstance(t, Tensor) else t)


def _stacked(rows: list[Any], out_dims: Any) -> Any:
    if isinstance(rows[0], Tensor):
        return ops.stack(rows, out_dims if isinstance(out_dims, int) else out_dims[0])
    if isinstance(rows[0], dict):
        return {name: _stacked([row[name] for row in rows], out_dims) for name in rows[0]}
    axes = (out_dims,) * len(rows[0]) if isinstance(out_dims, int) else out_dims
    return type(rows[0])([_stacked([row[k] for row in rows], axis) for k, axis in enumerate(axes)])


# ---- what they share ------------------------------------------------------------------------------------------------


def _fresh(args: tuple[Any, ...], places: tuple[int, ...]) -> tuple[list[Any], list[Tensor]]:
    """Arguments with tensors of this call's own in these places, behind the given ones on the tape; and these."""
    fresh: list[Tensor] = []

    def own(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        if not leaf.is_floating_point():
            raise DtypeError(f"expected arguments of floats, which have gradients, got {leaf.dtype}: call .float()")
        fresh.append(leaf.clone() if leaf.requires_grad else leaf.detach().requires_grad_())
        return fresh[-1]

    return [rebuilt(arg, own) if k in places else arg for k, arg in enumerate(args)], fresh


def _places(argnums: Argnums, args: tuple[Any, ...]) -> tuple[int, ...]:
    """The places of arguments, which have to be there."""
    places = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for place in places:
        if not -len(args) <= place < len(args):
            raise ValueError(f"argnums: expected places of {len(args)} arguments, got {place}")
    return tuple(place % len(args) for place in places)


def _made_of(argument: Any, parts: Any) -> Any:
    """Gradients in the form of the argument."""
    return rebuilt(argument, lambda t: next(parts) if isinstance(t, Tensor) else t)


def _reaches_others(output: Tensor, fresh: list[Tensor]) -> bool:
    """Whether it depends on leaves that require grad besides those made here."""
    own = {id(t) for t in fresh if t.node is None}
    if output.node is None:
        return False
    return any(
        edge is not None and not isinstance(edge, Node) and id(edge) not in own
        for node in order_of(output.node)
        for edge in node.edges
    )


def _inside(values: Any) -> bool:
    """Whether results are to be on the tape."""
    return is_grad_enabled() and any(isinstance(t, Tensor) and t.requires_grad for t in leaves(values))


def _off(value: Any) -> Any:
    return rebuilt(value, lambda t: t.detach() if isinstance(t, Tensor) and not isinstance(t, Parameter) else t)
