"""Muon: momentum whose matrix is brought to singular values of about 1."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nnkit.optim.optimizer import Optimizer, Parameters
from nnkit.tensors.creation import zeros_like
from nnkit.tensors.tape import enable_grad, no_grad
from nnkit.tensors.tensor import Tensor

__all__ = ["Muon", "orthogonalized"]

#: How the learning rate is adjusted to a matrix of A rows and B columns, by ``adjust_lr_fn``.
ADJUSTED: dict[str, Callable[[int, int], float]] = {
    "original": lambda A, B: max(1.0, A / B) ** 0.5,
    "match_rms_adamw": lambda A, B: 0.2 * max(A, B) ** 0.5,
}


def orthogonalized(
    x: Tensor, coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315), steps: int = 5, eps: float = 1e-7
) -> Tensor:
    """A matrix with the singular vectors of x (M, N), and singular values of about 1, by Newton and Schulz's iteration.

    >>> import nnkit
    >>> orthogonalized(nnkit.tensor([[9.0, 0.0], [0.0, 9.0]])).double().round(decimals=1).tolist()
    [[1.1, 0.0], [0.0, 1.1]]
    """
    a, b, c = coefficients
    tall = x.shape[0] > x.shape[1]
    x = x.t() if tall else x
    x = x / (x * x).sum().sqrt().clamp(min=eps)
    for _ in range(steps):
        square = x @ x.t()
        x = a * x + (b * square + c * (square @ square)) @ x
    return x.t() if tall else x


class Muon(Optimizer):
    """Jordan et al., Muon: An Optimizer for Hidden Layers in Neural Networks, 2024: for matrices only.

    Leave embeddings, output layers and biases to AdamW. Source: ``torch.optim.Muon``, which iterates in bfloat16 where
    this does so in the parameter's type.

    Args:
        params: matrices, or groups of them (see ``Optimizer``).
        lr: the learning rate.
        weight_decay: how much a parameter shrinks in a step, times ``lr``.
        momentum: how much of the running average of the gradient is kept.
        nesterov: look ahead along the momentum.
        ns_coefficients, eps, ns_steps: of ``orthogonalized``.
        adjust_lr_fn: "original" (where None) or "match_rms_adamw": how the rate depends on a matrix's sizes.

    Raises ValueError for a parameter that is no matrix, or an option out of range.

    >>> import nnkit
    >>> x = nnkit.tensor([[3.0]], requires_grad=True); optimizer = Muon([x], lr=1.0, weight_decay=0.0)
    >>> (x * x).sum().backward(); optimizer.step(); round(x.item(), 1)
    2.3
    """

    def __init__(
        self, params: Parameters, lr: float = 1e-3, weight_decay: float = 0.1, momentum: float = 0.95,
        nesterov: bool = True, ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7, ns_steps: int = 5, adjust_lr_fn: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(params, {
            "lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov,
            "ns_coefficients": tuple(ns_coefficients), "eps": eps, "ns_steps": ns_steps, "adjust_lr_fn": adjust_lr_fn,
        })  # fmt: skip

    def check(self, options: Mapping[str, Any]) -> None:
        super().check(options)
        if options["adjust_lr_fn"] not in (None, *ADJUSTED):
            raise ValueError(f"adjust_lr_fn must be one of {', '.join(ADJUSTED)}, got {options['adjust_lr_fn']!r}")
        for parameter in options.get("params", ()):
            if parameter.ndim != 2:
                raise ValueError(f"Muon is for matrices, got a parameter of shape {parameter.shape}: use AdamW for it")

    @no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(group, parameter)
        return loss

    def _update(self, group: Mapping[str, Any], parameter: Tensor) -> None:
        kept, gradient, momentum = self.state[parameter], parameter.grad, group["momentum"]
        assert gradient is not None
        if "momentum_buffer" not in kept:
            kept["momentum_buffer"] = zeros_like(gradient)
        average = kept["momentum_buffer"]
        average.mul_(momentum).add_(gradient * (1.0 - momentum))
        along = gradient + (average - gradient) * momentum if group["nesterov"] else average
        step = orthogonalized(along, group["ns_coefficients"], group["ns_steps"], group["eps"])
        rate = group["lr"] * ADJUSTED[group["adjust_lr_fn"] or "original"](*parameter.shape)
        parameter.mul_(1.0 - group["lr"] * group["weight_decay"]).sub_(step * rate)
