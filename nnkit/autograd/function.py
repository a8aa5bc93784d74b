"""Functions with a gradient of one's own: ``class Mine(Function)`` with ``forward`` and ``backward``."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

from nnkit import ops
from nnkit.errors import GradientError
from nnkit.recording.observer import call, made
from nnkit.tensors.memory import Gradient
from nnkit.tensors.results import Asked, result
from nnkit.tensors.tape import is_grad_enabled, no_grad
from nnkit.tensors.tensor import Tensor

__all__ = ["Function", "FunctionCtx", "once_differentiable"]


class FunctionCtx:
    """What ``forward`` hands to ``backward``: saved tensors, and any attribute that is set."""

    def __init__(self, needs_input_grad: tuple[bool, ...]) -> None:
        made(self)
        self.needs_input_grad = needs_input_grad
        self._saved: tuple[Tensor | None, ...] = ()
        self._constant: tuple[Tensor, ...] = ()
        self._again: Callable[[Tensor], Tensor] = lambda saved: saved

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep inputs or outputs for ``backward``, which refuses them when they have changed in place since."""
        self._saved = tensors

    save_for_forward = save_for_backward

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """What was saved, where it is on the tape."""
        return tuple([None if t is None else self._again(t) for t in self._saved])

    saved_variables = saved_tensors

    def mark_non_differentiable(self, *outputs: Tensor) -> None:
        """These outputs have no gradient."""
        self._constant = outputs

    def mark_dirty(self, *inputs: Tensor) -> None:
        """Inputs that ``forward`` changes in place cannot be told to the tape here. Raises NotImplementedError."""
        raise NotImplementedError("mark_dirty: let forward return a new tensor, and leave its inputs as they are")

    def set_materialize_grads(self, value: bool) -> None:
        """Gradients of outputs that nobody used are zeros here, never None. Raises NotImplementedError for False."""
        if not value:
            raise NotImplementedError("set_materialize_grads(False): backward gets zeros for outputs that are not used")


class Function:
    """A function whose gradient you write: call it by ``Mine.apply(...)``.

    ``forward(ctx, *args)`` computes, off the tape; or ``forward(*args)`` does, and ``setup_context(ctx, inputs,
    output)`` keeps what is needed. ``backward(ctx, *gradients)`` returns one gradient, or None, for each argument of
    ``forward``. With ``create_graph`` what backward does is on the tape, so if it is made of ops, or of other
    Functions, it has gradients of every order. ``ctx.save_for_backward`` keeps tensors, ``ctx.saved_tensors`` gives
    them back, ``ctx.needs_input_grad`` says which gradients are wanted. Tensors may have any shapes and
    dtypes; a gradient has those of its argument. Raises what ``forward`` and ``backward`` raise, and GradientError for
    another number of gradients. Source: ``torch.autograd.Function``.

    >>> import nnkit
    >>> class Cube(Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x * x
    ...     @staticmethod
    ...     def backward(ctx, dy):
    ...         (x,) = ctx.saved_tensors
    ...         return dy * 3.0 * x * x
    >>> x = nnkit.tensor(2.0, requires_grad=True)
    >>> nnkit.grad(Cube.apply(x), x)
    (tensor(12.),)
    """

    @staticmethod
    def forward(*args: Any, **options: Any) -> Any:
        """What the function computes."""
        raise NotImplementedError("a Function needs a static method forward(ctx, *args)")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """Keep what ``backward`` needs, where ``forward`` takes no ``ctx``."""
        raise NotImplementedError

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """The gradients of the arguments from those of the outputs."""
        raise NotImplementedError("a Function needs a static method backward(ctx, *gradients)")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Compute, and put the outputs on the tape."""
        on_tape = is_grad_enabled()
        needs = tuple([on_tape and isinstance(a, Tensor) and a.requires_grad for a in args])
        ctx = FunctionCtx(needs)
        with no_grad():
            if cls.setup_context is Function.setup_context:
                given = call(cls.forward, ctx, *args)
            else:
                given = call(cls.forward, *args)
                call(cls.setup_context, ctx, args, given)
        if not any(needs):
            return given
        return _Applied(cls, ctx, args).outputs(given)


class _Applied:
    """One call of a Function on the tape. Several outputs are parts of one flat tensor there."""

    def __init__(self, kind: type[Function], ctx: FunctionCtx, args: tuple[Any, ...]) -> None:
        self.kind, self.ctx, self.args = kind, ctx, args
        self.inputs = [a for a in args if isinstance(a, Tensor)]
        self.shapes: list[tuple[int, ...] | None] = []  # of the outputs; None for one without a gradient

    def outputs(self, given: Any) -> Any:
        """What the user gets."""
        several = [given] if isinstance(given, Tensor) else list(given)
        whole = [self._has_gradient(output) for output in several]
        self.shapes = [output.shape if has else None for output, has in zip(several, whole, strict=True)]
        if isinstance(given, Tensor):
            return self._on_tape(given, (given,)) if whole[0] else given
        with no_grad():
            flat = ops.cat([output.reshape(-1) for output, has in zip(several, whole, strict=True) if has])
        joined, at = self._on_tape(flat, tuple(several)), 0
        for number, shape in enumerate(self.shapes):
            if shape is not None:
                size = math.prod(shape)
                several[number] = joined[at : at + size].reshape(shape)
                at += size
        return type(given)(several)

    def _has_gradient(self, output: Any) -> bool:
        if not isinstance(output, Tensor):
            raise TypeError(f"{self.kind.__name__}.forward: expected Tensors, got {type(output).__name__}")
        return output.is_floating_point() and not any(output is one for one in self.ctx._constant)

    def _on_tape(self, out: Tensor, outputs: tuple[Tensor, ...]) -> Tensor:
        ctx, single = self.ctx, self.shapes[0] if len(outputs) == 1 else None

        def pullback(dy: Any, into: Sequence[Gradient | None]) -> list[Any]:
            with no_grad():
                return [None if g is None else g.array for g in self._gradients(Tensor(dy, out.backend))]

        def rule(dy: Tensor, asked: Asked) -> list[Tensor | None]:
            def again(saved: Tensor) -> Tensor:
                if not any(saved is one for one in outputs):
                    return saved
                if single is not None:
                    return asked.output(saved.array)
                raise GradientError(
                    f"create_graph=True: {self.kind.__name__} saved one of several outputs; save its inputs instead"
                )

            ctx._again = again
            try:
                return self._gradients(dy)
            finally:
                ctx._again = lambda saved: saved

        kept = [t for t in ctx._saved if t is not None]
        tensor = result(
            self.kind.__name__, out.array, out.backend, self.inputs, pullback, [kept] * len(self.inputs), rule
        )
        tensor.version = out.version
        return tensor

    def _gradients(self, dy: Tensor) -> list[Tensor | None]:
        """Call the user's backward; one gradient for each tensor among the arguments."""
        found = call(self.kind.backward, self.ctx, *self._parts(dy))
        found = [found] if found is None or isinstance(found, Tensor) else list(found)
        if len(found) < len(self.args) or any(extra is not None for extra in found[len(self.args) :]):
            raise GradientError(
                f"{self.kind.__name__}.backward: expected {len(self.args)} gradients, one for each argument of "
                f"forward, got {len(found)}"
            )
        gradients = []
        for number, (argument, gradient) in enumerate(zip(self.args, found, strict=False)):
            if isinstance(argument, Tensor):
                if gradient is not None and gradient.shape != argument.shape:
                    raise GradientError(
                        f"{self.kind.__name__}.backward: gradient {number} has shape {gradient.shape}, and the "
                        f"argument {argument.shape}"
                    )
                gradients.append(None if gradient is None else gradient.to(argument.dtype))
        return gradients

    def _parts(self, dy: Tensor) -> list[Tensor | None]:
        if len(self.shapes) == 1 and self.shapes[0] == dy.shape:
            return [dy]
        parts: list[Tensor | None] = []
        at = 0
        for shape in self.shapes:
            size = 0 if shape is None else math.prod(shape)
            parts.append(None if shape is None else dy[at : at + size].reshape(shape))
            at += size
        return parts


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """For a ``backward`` that is not made of ops: its gradients can be had, and gradients of those are refused."""

    @functools.wraps(backward)
    def once(ctx: Any, *gradients: Any) -> Any:
        with no_grad():
            found = call(backward, ctx, *gradients)
        if not is_grad_enabled():
            return found
        return tuple(map(_last, (found,) if found is None or isinstance(found, Tensor) else found))

    def _last(gradient: Tensor | None) -> Tensor | None:
        if gradient is None:
            return None
        end = gradient.detach().requires_grad_()
        return result("once_differentiable", gradient.array, gradient.backend, (end,), refused, (), refused)

    def refused(*asked: Any) -> Any:
        raise GradientError(f"{backward.__qualname__} is once_differentiable: its gradient has no gradient")

    return once
