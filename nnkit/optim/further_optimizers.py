"""The optimizers beyond the common ones: each is a table of options and the choice of its formulas.

Definitions and defaults are PyTorch's, but for ``Lion``, which is the paper's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nnkit.kernels import further_updates as updates
from nnkit.kernels.vocabulary import Formula
from nnkit.optim.groups import refuse_differentiable
from nnkit.optim.optimizer import Optimizer, Parameters

__all__ = ["ASGD", "Adadelta", "Adamax", "Lion", "NAdam", "RAdam", "Rprop"]


class Adadelta(Optimizer):
    """Zeiler, Adadelta: An Adaptive Learning Rate Method, 2012.

    Source: ``torch.optim.Adadelta``.

    Args:
        params: parameters, or groups of them (see ``Optimizer``).
        lr: what each step is multiplied by.
        rho: how much of the running averages of squares is kept in a step.
        eps: added to the averages, under the roots.
        weight_decay: the L2 penalty's factor.
        maximize: climb instead of descend.

    Raises ValueError for an option out of range.

    >>> import nnkit
    >>> x = nnkit.tensor([3.0], requires_grad=True); optimizer = Adadelta([x], rho=0.0, eps=1.0)
    >>> (x * x / 6).sum().backward(); optimizer.step(); round(x.item(), 4)
    2.2929
    """

    def __init__(
        self, params: Parameters, lr: float = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0.0,
        foreach: bool | None = None, *, capturable: bool = False, maximize: bool = False,
        differentiable: bool = False,
    ) -> None:  # fmt: skip
        refuse_differentiable(differentiable)
        options = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, options)

    def check(self, options: Mapping[str, Any]) -> None:
        super().check(options)
        check_between("rho", options["rho"], 0.0, 1.0)

    def formulas(self, options: Mapping[str, Any]) -> tuple[Formula, Formula]:
        return updates.adadelta_rates, updates.adadelta


class Adamax(Optimizer):
    """Adam whose divisor is the largest gradient, which fades: Kingma and Ba, 2015, section 7.1.

    Options as ``Adam``'s. Source: ``torch.optim.Adamax``. Raises ValueError for an option out of range.

    >>> import nnkit
    >>> x = nnkit.tensor([3.0], requires_grad=True); optimizer = Adamax([x], lr=0.5)
    >>> (x * x).sum().backward(); optimizer.step(); x.tolist()
    [2.5]
    """

    def __init__(
        self, params: Parameters, lr: float = 2e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0.0, foreach: bool | None = None, *, maximize: bool = False,
        differentiable: bool = False, capturable: bool = False,
    ) -> None:  # fmt: skip
        refuse_differentiable(differentiable)
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, options)

    def formulas(self, options: Mapping[str, Any]) -> tuple[Formula, Formula]:
        return updates.adamax_rates, updates.adamax


class NAdam(Optimizer):
    """Adam with Nesterov's momentum: Dozat, Incorporating Nesterov Momentum into Adam, 2016.

    Options as ``Adam``'s, and ``momentum_decay``: how fast the momentum rises to its full size. The product of momenta
    is kept for each element. Source: ``torch.optim.NAdam``. Raises ValueError for an option out of range.

    >>> import nnkit
    >>> x = nnkit.tensor([3.0], requires_grad=True); optimizer = NAdam([x], lr=0.5)
    >>> (x * x).sum().backward(); optimizer.step(); round(x.item(), 3)
    2.472
    """

    def __init__(
        self, params: Parameters, lr: float = 2e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0.0, momentum_decay: float = 4e-3, decoupled_weight_decay: bool = False, *,
        foreach: bool | None = None, maximize: bool = False, capturable: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        refuse_differentiable(differentiable)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize,
        })  # fmt: skip

    def formulas(self, options: Mapping[str, Any]) -> tuple[Formula, Formula]:
        return updates.nadam_rates, updates.nadam

    def initial_state(self, options: Mapping[str, Any]) -> dict[str, float]:
        return {"mu_product": 1.0}


class RAdam(Optimizer):
    """Adam that begins without its divisor, as long as that is not known well: Liu et al., 2020.

    Options as ``Adam``'s. Source: ``torch.optim.RAdam``. Raises ValueError for an option out of range.

    >>> import nnkit
    >>> x = nnkit.tensor([3.0], requires_grad=True); optimizer = RAdam([x], lr=0.5)
    >>> (x * x / 6).sum().backward(); optimizer.step(); x.tolist()
    [2.5]
    """

    def __init__(
        self, params: Parameters, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0.0, decoupled_weight_decay: bool = False, *, foreach: bool | None = None,
        maximize: bool = False, capturable: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        refuse_differentiable(differentiable)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize,
        })  # fmt: skip

    def formulas(self, options: Mapping[str, Any]) -> tuple[Formula, Formula]:
        return updates.radam_rates, updates.radam


class Rprop(Optimizer):
    """Steps by the gradient's sign, longer while it stays: for whole data sets, not for batches.

    Riedmiller and Braun, 1993. Source: ``torch.optim.Rprop``.

    Args:
        params: parameters, or groups of them (see ``Optimizer``).
        lr: the first step of each element.
        etas: what a step is multiplied by where the gradient's sign turned, and where it stayed.
        step_sizes: the least step and the greatest.
        maximize: climb instead of descend.

    Raises ValueError for an option out of range.

    >>> import nnkit
    >>> x = nnkit.tensor([3.0], requires_grad=True); optimizer = Rprop([x], lr=0.5)
    >>> (x * x).sum().backward(); optimizer.step(); x.tolist()
    [2.5]
    """

    def __init__(
        self, params: Parameters, lr: float = 1e-2, etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50.0), *, capturable: bool = False, foreach: bool | None = None,
        maximize: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        refuse_differentiable(differentiable)
        super().__init__(params, {"lr": lr, "etas": etas, "step_sizes": step_sizes, "maximize": maximize})

    def check(self, options: Mapping[str, Any]) -> None:
        super().check(options)
        less, more = options["etas"]
        if not 0.0 < less < 1.0 < more:
            raise ValueError(f"etas must be one number between 0 and 1 and one above 1, got {options['etas']!r}")

    def formulas(self, options: Mapping[str, Any]) -> tuple[Formula, Formula]:
        return updates.rprop_rates, updates.rprop

    def initial_state(self, options: Mapping[str, Any]) -> dict[str, float]:
        return {"step_size": float(options["lr"])}


class ASGD(Optimizer):
    """Stochastic gradient descent whose average is kept in ``optimizer.state[parameter]["ax"]``.

    Polyak and Juditsky, 1992. Source: ``torch.optim.ASGD``.

    Args:
        params: parameters, or groups of them (see ``Optimizer``).
        lr: the first learning rate.
        lambd: how fast the rate falls: after n steps it is lr / (1 + lambd lr n)**alpha.
        alpha: the power of that fall.
        t0: the step after which the average begins.
        weight_decay: the L2 penalty's factor.
        maximize: climb instead of descend.

    Raises ValueError for an option out of range.

    >>> import nnkit
    >>> x = nnkit.tensor([3.0], requires_grad=True); optimizer = ASGD([x], lr=0.25, lambd=0.0)
    >>> (x * x).sum().backward(); optimizer.step(); x.tolist()
    [1.5]
    """

    def __init__(
        self, params: Parameters, lr: float = 1e-2, lambd: float = 1e-4, alpha: float = 0.75, t0: float = 1e6,
        weight_decay: float = 0.0, foreach: bool | None = None, maximize: bool = False, differentiable: bool = False,
        capturable: bool = False,
    ) -> None:  # fmt: skip
        refuse_differentiable(differentiable)
        super().__init__(params, {
            "lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay, "maximize": maximize,
        })  # fmt: skip

    def formulas(self, options: Mapping[str, Any]) -> tuple[Formula, Formula]:
        return updates.asgd_rates, updates.asgd


class Lion(Optimizer):
    """Steps by the sign of a running average: Chen et al., Symbolic Discovery of Optimization Algorithms, 2023.

    Args:
        params: parameters, or groups of them (see ``Optimizer``).
        lr: the length of each step; a third to a tenth of Adam's.
        betas: how much of the average goes into the step, and how much of it is kept.
        weight_decay: how much the parameter shrinks in a step, times ``lr``.
        maximize: climb instead of descend.

    Raises ValueError for an option out of range.

    >>> import nnkit
    >>> x = nnkit.tensor([3.0], requires_grad=True); optimizer = Lion([x], lr=0.5)
    >>> (x * x).sum().backward(); optimizer.step(); x.tolist()
    [2.5]
    """

    def __init__(
        self, params: Parameters, lr: float = 1e-4, betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0, *, maximize: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize})

    def formulas(self, options: Mapping[str, Any]) -> tuple[Formula, Formula]:
        return updates.lion_rates, updates.lion


def check_between(name: str, value: Any, least: float, most: float) -> None:
    """Raise ValueError when an option is not from ``least`` to ``most``."""
    if not least <= value <= most:
        raise ValueError(f"{name} must be from {least:g} to {most:g}, got {value!r}")
