"""A gradient against differences: one random direction tells whether any element of any gradient is wrong.

For L = sum(weights * f(x)) with random weights, (L(x + h d) - L(x - h d)) / 2h must be the sum of gradient * d. Both
the weights and d are random, so a wrong element shows up with certainty but for rounding.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nnkit.tensors.creation import tensor
from nnkit.tensors.gradients import grad
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor

#: Relative to the size of the derivative; differences in float64 are exact to about 1e-9.
TOLERANCE = 1e-6
STEP = 1e-5


def check_gradient(function: Callable[..., Tensor], *tensors: Tensor, tolerance: float = TOLERANCE) -> None:
    """Check the gradients of ``function(*tensors)`` with respect to those float64 tensors that require grad.

    The function may give a tensor of any shape. Its values must be smooth near the tensors' values: no kinks within
    1e-5. Raises AssertionError with both derivatives when they differ by more than ``tolerance``, relative to 1 plus
    their size; ValueError when a tensor that requires grad is not float64.

    Source: ``torch.autograd.gradcheck``.

    >>> import nnkit
    >>> check_gradient(lambda x: x.exp() * x, nnkit.tensor([0.5, 2.0], dtype="float64", requires_grad=True))
    """
    moving = [number for number, t in enumerate(tensors) if t.requires_grad]
    for number in moving:
        if tensors[number].dtype != np.float64:
            raise ValueError(f"tensors[{number}]: expected float64 to take differences of, got {tensors[number].dtype}")
    out = function(*tensors)
    rng = np.random.default_rng(0)
    weights = tensor(rng.uniform(0.5, 1.5, out.shape) * rng.choice([-1.0, 1.0], out.shape), device=out.device)
    directions = {number: rng.uniform(-1.0, 1.0, tensors[number].shape) for number in moving}
    gradients = grad(out, [tensors[number] for number in moving], weights)
    expected = 0.0
    for number, gradient in zip(moving, gradients, strict=True):
        assert gradient.shape == tensors[number].shape, f"gradient {number} has shape {gradient.shape}"
        expected += float((gradient.numpy() * directions[number]).sum())

    def projected(distance: float) -> float:
        """L at x + distance * d."""
        moved = list(tensors)
        for number in moving:
            host = tensors[number].detach().numpy() + distance * directions[number]
            moved[number] = tensor(host, device=tensors[number].device)
        with no_grad():
            return float((function(*moved).detach().numpy() * weights.numpy()).sum())

    measured = (projected(STEP) - projected(-STEP)) / (2.0 * STEP)
    error = abs(measured - expected)
    assert error <= tolerance * (1.0 + abs(expected)), f"gradient gives {expected:.9g}, differences {measured:.9g}"
