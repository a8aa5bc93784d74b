"""Gradients against differences, element by element, as PyTorch's ``gradcheck`` has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnkit.errors import GradientError
from nnkit.tensors.creation import tensor
from nnkit.tensors.gradients import grad
from nnkit.tensors.tape import enable_grad
from nnkit.tensors.tensor import Tensor

Inputs = Tensor | Sequence[Any]


def gradcheck(
    func: Callable[..., Any],
    inputs: Inputs,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Whether the gradients of ``func(*inputs)`` are those that central differences of ``eps`` give.

    Every element of every output is compared for every element of every input that requires grad: they should be
    float64 and few. Raises GradientError where they differ (or returns False, without ``raise_exception``), ValueError
    where no input requires grad. Source: ``torch.autograd.gradcheck``.

    >>> import nnkit
    >>> gradcheck(nnkit.tanh, nnkit.tensor([0.3, -1.0], dtype="float64", requires_grad=True))
    True
    """
    given = _as_tuple(inputs)
    moving = [k for k, t in enumerate(given) if isinstance(t, Tensor) and t.requires_grad]
    if not moving:
        raise ValueError("gradcheck: expected at least one input that requires grad")
    with enable_grad():
        outputs = [t for t in _as_tuple(func(*given)) if isinstance(t, Tensor) and t.is_floating_point()]
        found = [_slopes(output, [given[k] for k in moving]) for output in outputs]
    for number, k in enumerate(moving):
        measured = _differences(func, given, k, eps)
        for which, columns in enumerate(measured):
            slope = found[which][number]
            if not np.allclose(slope, columns, rtol, atol):
                if not raise_exception:
                    return False
                raise GradientError(
                    f"gradcheck: output {which} has with respect to input {k} the gradient\n{slope}\n"
                    f"and by differences\n{columns}"
                )
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Inputs,
    grad_outputs: Inputs | None = None,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """``gradcheck`` of the gradients: of how they depend on the inputs and on the gradients that come in.

    Raises GradientError where they differ, ValueError where no input requires grad. Source:
    ``torch.autograd.gradgradcheck``.

    >>> import nnkit
    >>> gradgradcheck(nnkit.tanh, nnkit.tensor([0.3, -1.0], dtype="float64", requires_grad=True))
    True
    """
    given = _as_tuple(inputs)
    outputs = [t for t in _as_tuple(func(*given)) if isinstance(t, Tensor) and t.requires_grad]
    if grad_outputs is None:
        rng = np.random.default_rng(0)
        seeds = [tensor(rng.normal(size=t.shape), dtype=t.dtype, device=t.device) for t in outputs]
    else:
        seeds = list(_as_tuple(grad_outputs))
    seeds = [seed.detach().requires_grad_() for seed in seeds]

    def gradients(*both: Any) -> tuple[Any, ...]:
        values, incoming = both[: len(given)], both[len(given) :]
        outputs = [t for t in _as_tuple(func(*values)) if isinstance(t, Tensor) and t.requires_grad]
        moving = [t for t in values if isinstance(t, Tensor) and t.requires_grad]
        return grad(outputs, moving, list(incoming), create_graph=True)

    return gradcheck(gradients, (*given, *seeds), eps, atol, rtol, raise_exception)


def _as_tuple(values: Any) -> tuple[Any, ...]:
    return (values,) if isinstance(values, Tensor) else tuple(values)


def _slopes(output: Tensor, inputs: list[Tensor]) -> list[np.ndarray]:
    """For each input, a row for each of its elements and a column for each of the output's."""
    slopes = [np.zeros((t.numel(), output.numel())) for t in inputs]
    if output.requires_grad:
        for place in range(output.numel()):
            seed = np.zeros(output.numel())
            seed[place] = 1.0
            seeds = tensor(seed.reshape(output.shape), dtype=output.dtype, device=output.device)
            for slope, gradient in zip(slopes, grad(output, inputs, seeds, retain_graph=True), strict=True):
                slope[:, place] = gradient.detach().numpy().reshape(-1)
    return slopes


def _differences(func: Callable[..., Any], given: tuple[Any, ...], k: int, eps: float) -> list[np.ndarray]:
    """For each output, a row for each element of input k and a column for each of the output's."""
    host = given[k].detach().numpy()
    rows: list[list[np.ndarray]] = []
    for place in range(host.size):
        ends = []
        for step in (eps, -eps):
            moved = host.copy().reshape(-1)
            moved[place] += step
            other = tensor(moved.reshape(host.shape), device=given[k].device, requires_grad=True)
            outputs = _as_tuple(func(*given[:k], other, *given[k + 1 :]))
            ends.append([
                t.detach().numpy().reshape(-1).astype(float)
                for t in outputs if isinstance(t, Tensor) and t.is_floating_point()
            ])  # fmt: skip
        rows.append([(up - down) / (2.0 * eps) for up, down in zip(*ends, strict=True)])
    return [np.stack(columns) for columns in zip(*rows, strict=True)]
