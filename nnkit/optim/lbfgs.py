"""L-BFGS: a quasi-Newton method that remembers its last steps, for few parameters and whole data sets."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from nnkit import ops
from nnkit.optim.optimizer import Optimizer, Parameters
from nnkit.tensors import dtypes
from nnkit.tensors.creation import zeros
from nnkit.tensors.tape import enable_grad, no_grad
from nnkit.tensors.tensor import Tensor

__all__ = ["LBFGS"]

#: Of the strong Wolfe conditions: how much of the slope's promise must come true, and how flat the end must be.
DECREASE, CURVATURE = 1e-4, 0.9
SEARCHES = 25  # evaluations of a line search
LEAST_CURVATURE = 1e-10


class Point(NamedTuple):
    """A place along a line: its distance, the loss there, the gradient, and the slope along the line."""

    at: float
    loss: float
    gradient: Tensor
    slope: float


class LBFGS(Optimizer):
    """Liu and Nocedal, On the Limited Memory BFGS Method for Large Scale Optimization, 1989.

    ``step(closure)`` makes up to ``max_iter`` iterations, and calls ``closure``, which computes the loss and its
    gradients, in each of them. Vectors are float64; lengths are decided on the host, so the step is not recorded.
    What it remembers is not in ``state_dict``.
    Source: ``torch.optim.LBFGS``; the line search is Nocedal and Wright's, Numerical Optimization, algorithm 3.5.

    Args:
        params: parameters, in one group.
        lr: the length of a step along the direction; where a search begins.
        max_iter: iterations in a ``step``.
        max_eval: evaluations of the closure in a ``step``; where None, 5/4 of ``max_iter``.
        tolerance_grad: ends where no gradient is larger.
        tolerance_change: ends where neither the loss nor a parameter changes by more.
        history_size: how many steps are remembered.
        line_search_fn: None, or "strong_wolfe".

    Raises TypeError for a step without a closure, ValueError for several groups or an option out of range.

    >>> import nnkit
    >>> x = nnkit.tensor([3.0, -2.0], requires_grad=True); optimizer = LBFGS([x], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad(); loss = ((x - 1) ** 4).sum(); loss.backward(); return loss
    >>> _ = optimizer.step(closure); x.round(decimals=1).tolist()
    [1.0, 1.0]
    """

    def __init__(
        self, params: Parameters, lr: float = 1.0, max_iter: int = 20, max_eval: int | None = None,
        tolerance_grad: float = 1e-7, tolerance_change: float = 1e-9, history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(params, {
            "lr": lr, "max_iter": max_iter, "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change, "history_size": history_size,
            "line_search_fn": line_search_fn,
        })  # fmt: skip
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS has one direction for all parameters: give them in one group")
        self._steps: list[tuple[Tensor, Tensor]] = []  # of the parameters and of the gradients
        self._scale = 1.0
        self._begun = False

    def check(self, options: Mapping[str, Any]) -> None:
        super().check(options)
        if options["line_search_fn"] not in (None, "strong_wolfe"):
            raise ValueError(f"line_search_fn must be None or 'strong_wolfe', got {options['line_search_fn']!r}")

    @no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        if closure is None:
            raise TypeError("LBFGS.step needs a closure that computes the loss and its gradients, and returns the loss")
        problem = _Problem(self.param_groups[0]["params"], closure)
        group, first = self.param_groups[0], problem.evaluate()
        loss, gradient, here = problem.loss, problem.gradient(), problem.parameters()
        for _ in range(group["max_iter"]):
            if _largest(gradient) <= group["tolerance_grad"] or problem.calls >= group["max_eval"]:
                break
            direction = self._direction(gradient)
            slope = _dot(gradient, direction)
            if slope > -group["tolerance_change"]:
                break
            length = group["lr"] if self._begun else min(1.0, 1.0 / gradient.abs().sum().item()) * group["lr"]
            start = Point(0.0, loss, gradient, slope)
            end = self._moved(problem, here, direction, start, length)
            self._remember(end.at * direction, end.gradient - gradient, group["history_size"])
            there = here + end.at * direction
            problem.move(there)
            still = _largest(there - here) <= group["tolerance_change"]
            still = still or abs(end.loss - loss) < group["tolerance_change"]
            here, loss, gradient, self._begun = there, end.loss, end.gradient, True
            if still or not math.isfinite(loss):
                break
        return first

    def _moved(self, problem: _Problem, here: Tensor, direction: Tensor, start: Point, length: float) -> Point:
        def look(at: float) -> Point:
            problem.move(here + at * direction)
            problem.evaluate()
            gradient = problem.gradient()
            return Point(at, problem.loss, gradient, _dot(gradient, direction))

        if self.param_groups[0]["line_search_fn"] is None:
            return look(length)
        smallest = self.param_groups[0]["tolerance_change"] / max(_largest(direction), 1e-300)
        return strong_wolfe(look, start, length, smallest)

    def _direction(self, gradient: Tensor) -> Tensor:
        """Minus the inverse of the remembered curvature, times the gradient: the two loops of the method."""
        direction, shares = -gradient, []
        for moved, turned in reversed(self._steps):
            shares.append(_dot(moved, direction) / _dot(turned, moved))
            direction = direction - shares[-1] * turned
        direction = direction * self._scale
        for (moved, turned), share in zip(self._steps, reversed(shares), strict=True):
            direction = direction + moved * (share - _dot(turned, direction) / _dot(turned, moved))
        return direction

    def _remember(self, moved: Tensor, turned: Tensor, most: int) -> None:
        curvature = _dot(turned, moved)
        if curvature > LEAST_CURVATURE:
            self._steps = [*self._steps, (moved, turned)][-most:]
            self._scale = curvature / _dot(turned, turned)


class _Problem:
    """Parameters as one vector, and the loss that a closure computes of them."""

    def __init__(self, tensors: tuple[Tensor, ...], closure: Callable[[], Any]) -> None:
        self._tensors, self._closure = tensors, closure
        self.calls, self.loss = 0, math.nan

    def evaluate(self) -> Any:
        """Call the closure; returns what it returns."""
        with enable_grad():
            loss = self._closure()
        self.calls, self.loss = self.calls + 1, float(loss)
        return loss

    def parameters(self) -> Tensor:
        """All parameters, in float64."""
        return ops.cat([tensor.detach().reshape(-1).to(dtypes.float64) for tensor in self._tensors])

    def gradient(self) -> Tensor:
        """All gradients, zero where a parameter has none."""
        parts = []
        for tensor in self._tensors:
            gradient = tensor.grad if tensor.grad is not None else zeros(tensor.shape, device=tensor.device)
            parts.append(gradient.reshape(-1).to(dtypes.float64))
        return ops.cat(parts)

    def move(self, to: Tensor) -> None:
        """Set the parameters."""
        first = 0
        for tensor in self._tensors:
            tensor.copy_(to[first : first + tensor.numel()].reshape(tensor.shape).to(tensor.dtype))
            first += tensor.numel()


def strong_wolfe(look: Callable[[float], Point], start: Point, length: float, smallest: float) -> Point:
    """A point where the loss fell as the slope promises and the slope is nearly flat, or the best that was found."""
    before, point, calls = start, look(length), 1
    while calls < SEARCHES:
        worse = point.loss > start.loss + DECREASE * point.at * start.slope
        if worse or not math.isfinite(point.loss) or (calls > 1 and point.loss >= before.loss):
            return _zoomed(look, start, before, point, SEARCHES - calls, smallest)
        if abs(point.slope) <= -CURVATURE * start.slope:
            return point
        if point.slope >= 0.0:
            return _zoomed(look, start, point, before, SEARCHES - calls, smallest)
        least, most = point.at + 0.01 * (point.at - before.at), 10.0 * point.at
        following = min(max(_lowest(before, point), least), most)
        before, point, calls = point, look(following), calls + 1
    return point


def _zoomed(
    look: Callable[[float], Point], start: Point, low: Point, high: Point, calls: int, smallest: float
) -> Point:
    """The search between two points of which ``low`` has the lower loss and falls towards the other."""
    for _ in range(calls):
        width = abs(high.at - low.at)
        if width <= smallest:
            break
        middle = _lowest(low, high)
        inside = min(low.at, high.at) + 0.1 * width, max(low.at, high.at) - 0.1 * width
        middle = min(max(middle, inside[0]), inside[1])
        point = look(middle)
        if not point.loss <= start.loss + DECREASE * point.at * start.slope or point.loss >= low.loss:
            high = point
            continue
        if abs(point.slope) <= -CURVATURE * start.slope:
            return point
        if point.slope * (high.at - low.at) >= 0.0:
            high = low
        low = point
    return low


def _lowest(x: Point, y: Point) -> float:
    """Where the cubic through two points and their slopes is lowest; the middle where it has no such place."""
    if not (math.isfinite(x.loss) and math.isfinite(y.loss) and x.at != y.at):
        return (x.at + y.at) / 2
    if x.at > y.at:
        x, y = y, x
    first = x.slope + y.slope - 3.0 * (x.loss - y.loss) / (x.at - y.at)
    square = first * first - x.slope * y.slope
    if square < 0.0:
        return (x.at + y.at) / 2
    second = math.sqrt(square)
    divisor = y.slope - x.slope + 2.0 * second
    if divisor == 0.0:
        return (x.at + y.at) / 2
    return y.at - (y.at - x.at) * (y.slope + second - first) / divisor


def _dot(x: Tensor, y: Tensor) -> float:
    return float((x * y).sum().item())


def _largest(x: Tensor) -> float:
    return float(x.abs().max().item()) if x.numel() else 0.0
