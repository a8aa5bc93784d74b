"""``GradientTape``: TensorFlow's protocol for gradients, over nnkit's tape, for programs that are written in it.

nnkit puts whatever depends on a parameter on its one tape. A ``GradientTape`` says where gradients will be asked for,
and asks for them: it returns them, and leaves every ``.grad`` as it is. Definition: ``tf.GradientTape``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from nnkit import ops
from nnkit.errors import UnknownNameError
from nnkit.keras.variable import WeightView, parameter_of
from nnkit.recording.structures import leaves, rebuilt
from nnkit.tensors.creation import ones_like, zeros_like
from nnkit.tensors.gradients import grad
from nnkit.tensors.tape import enable_grad, no_grad
from nnkit.tensors.tensor import Tensor

__all__ = ["GradientTape"]

UNCONNECTED = ("none", "zero")


class _Active(threading.local):
    """The tapes whose blocks this thread is in, the outermost first."""

    def __init__(self) -> None:
        self.tapes: list[GradientTape] = []


_active = _Active()


class GradientTape:
    """Gradients of what is computed in its ``with`` block.

    Args:
        persistent: whether ``gradient`` may be called more than once.
        watch_accessed_variables: whether trainable variables are watched without being named.

    Tapes may lie in one another: gradients that are asked for inside an outer tape's block are on that tape.

    Raises RuntimeError where a tape that is not persistent is asked twice. Source: ``tf.GradientTape`` of TensorFlow.

    >>> from nnkit.keras import Variable
    >>> w = Variable(3.0)
    >>> with GradientTape() as tape:
    ...     loss = w * w
    >>> tape.gradient(loss, w).item()
    6.0
    """

    def __init__(self, persistent: bool = False, watch_accessed_variables: bool = True) -> None:
        self._persistent = bool(persistent)
        self._watches_all = bool(watch_accessed_variables)
        self._watched: dict[int, Tensor] = {}
        self._lent: list[Tensor] = []  # tensors that require grad for the time of the block alone
        self._overlaps = False  # whether another tape's block was open at the same time
        self._used = False
        self._on: Any = None

    # ---- the block ----------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        for other in _active.tapes:
            other._overlaps = self._overlaps = True
        _active.tapes.append(self)
        self._on = enable_grad()
        self._on.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._on.__exit__(*exception)
        if self in _active.tapes:
            _active.tapes.remove(self)
        self._give_back()

    def _give_back(self) -> None:
        """Tensors that were watched, and are no variables, do not require grad after the block."""
        for tensor in self._lent:
            if tensor.node is None and not any(tensor is other for tape in _active.tapes for other in tape._lent):
                tensor.requires_grad = False

    def watch(self, tensor: Any) -> None:
        """Let gradients be asked for with respect to a tensor, or those in a list, tuple or dict; none of integers."""
        for one in leaves(tensor):
            if not isinstance(one, Tensor):
                raise TypeError(f"tape.watch expects tensors, got {type(one).__name__}")
            source = parameter_of(one)
            self._watched[id(source)] = source
            if not source.requires_grad and source.is_floating_point():
                source.requires_grad = True
                self._lent.append(source)

    def watched_variables(self) -> tuple[Tensor, ...]:
        """What was named to ``watch``."""
        return tuple(self._watched.values())

    @contextmanager
    def stop_recording(self) -> Iterator[None]:
        """A block in which nothing is recorded."""
        with no_grad():
            yield

    def reset(self) -> None:
        """Forget what was watched, and that ``gradient`` was called."""
        self._give_back()
        self._watched, self._lent, self._used = {}, [], False

    # ---- gradients ----------------------------------------------------------------------------------------

    def gradient(
        self, target: Any, sources: Any, output_gradients: Any = None, unconnected_gradients: Any = "none"
    ) -> Any:
        """The gradients of ``target``, a tensor or several, of which the sum counts, in the structure of ``sources``.

        Args:
            target: what is differentiated; a tensor that is no scalar stands for the sum of its elements.
            sources: a variable or tensor, or a list, tuple or dict of them.
            output_gradients: factors of the shapes of ``target``, in place of ones.
            unconnected_gradients: "none" (None where ``target`` does not depend on a source) or "zero".

        Raises:
            RuntimeError: the second call, where the tape is not persistent.
        """
        self._once()
        self._used = True
        how = str(getattr(unconnected_gradients, "value", unconnected_gradients)).lower()
        if how not in UNCONNECTED:
            raise UnknownNameError("unconnected_gradients", unconnected_gradients, UNCONNECTED)
        found = iter(self._gradients(list(leaves(target)), list(leaves(sources)), output_gradients))

        def given(source: Any) -> Any:
            gradient = next(found)
            return zeros_like(source.detach()) if gradient is None and how == "zero" else gradient

        return rebuilt(sources, given)

    def jacobian(self, target: Tensor, sources: Any, unconnected_gradients: Any = "none", **options: Any) -> Any:
        """The slopes of every element of ``target`` along every element of each source: shape (*target, *source)."""
        with self._often(), enable_grad():
            elements = list(target.reshape(-1))
            rows = [list(leaves(self.gradient(one, sources, None, unconnected_gradients))) for one in elements]
        columns = iter(range(len(rows[0]) if rows else 0))

        def stacked(source: Any) -> Any:
            number = next(columns)
            parts = [row[number] for row in rows]
            return None if parts[0] is None else ops.stack(parts).reshape(*target.shape, *source.shape)

        return rebuilt(sources, stacked)

    def batch_jacobian(self, target: Tensor, source: Tensor, **options: Any) -> Tensor:
        """For each sample the slopes of its outputs along its inputs: (B, *outputs, *inputs)."""
        B = target.shape[0]
        with self._often(), enable_grad():
            flat = target.reshape(B, -1)
            rows = [self.gradient(flat[:, k].sum(), source, None, "zero") for k in range(flat.shape[1])]
        return ops.stack(rows, dim=1).reshape(B, *target.shape[1:], *source.shape[1:])

    @contextmanager
    def _often(self) -> Iterator[None]:
        """A block in which ``gradient`` may be called for one row after the other."""
        self._once()
        persistent, self._persistent = self._persistent, True
        try:
            yield
        finally:
            self._persistent = persistent

    def _once(self) -> None:
        if self._used and not self._persistent:
            raise RuntimeError(
                "A non-persistent GradientTape can only be used to compute one set of gradients (or jacobians): "
                "make it with persistent=True, or ask for all gradients at once"
            )

    def _gradients(self, targets: list[Any], sources: list[Any], factors: Any) -> list[Tensor | None]:
        """One gradient for each source."""
        watched = [tensor for tensor in self._lent if not tensor.requires_grad and tensor.node is None]
        for tensor in watched:
            tensor.requires_grad = True
        try:
            return self._found(targets, sources, factors)
        finally:
            for tensor in watched:
                tensor.requires_grad = False

    def _found(self, targets: list[Any], sources: list[Any], factors: Any) -> list[Tensor | None]:
        weights = [None] * len(targets) if factors is None else list(leaves(factors))
        ends = [
            (target, ones_like(target.detach()) if weight is None else weight)
            for target, weight in zip(targets, weights, strict=True)
            if isinstance(target, Tensor) and target.requires_grad
        ]
        known = [self._is_known(source) for source in sources]
        if not ends or not any(known):
            return [None] * len(sources)
        higher = any(tape is not self or tape._persistent for tape in _active.tapes)
        gradients = grad(
            [target for target, _ in ends],
            [parameter_of(source) for source, is_known in zip(sources, known, strict=True) if is_known],
            [weight for _, weight in ends],
            retain_graph=self._persistent or self._overlaps or higher,
            create_graph=higher,
            allow_unused=True,
        )
        given = iter(gradients)
        return [
            _shown(source, next(given)) if is_known else None for source, is_known in zip(sources, known, strict=True)
        ]

    def _is_known(self, source: Any) -> bool:
        """Whether a gradient with respect to this was made possible."""
        if not isinstance(source, Tensor):
            raise TypeError(f"tape.gradient: sources must be variables or tensors, got {type(source).__name__}")
        parameter = parameter_of(source)
        named = id(parameter) in self._watched or parameter.node is not None
        return parameter.requires_grad and (self._watches_all or named)


def _shown(source: Any, gradient: Tensor | None) -> Tensor | None:
    """The gradient in the layout of the source."""
    return source.laid_out(gradient) if isinstance(source, WeightView) and gradient is not None else gradient
