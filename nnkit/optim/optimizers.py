"""The optimizers: each is a table of options and the choice of its formulas.

Definitions and defaults are PyTorch's. ``foreach``, ``fused`` and ``capturable`` choose among PyTorch's loops; here a
step is one kernel over all parameters and can be recorded, so they are taken and change nothing.
To add one: write its formulas in ``nnkit.kernels.updates``, a class here, and its name in ``nnkit.optim``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nnkit.errors import UnknownNameError
from nnkit.kernels import updates
from nnkit.kernels.registered import adopt
from nnkit.kernels.vocabulary import Formula
from nnkit.optim import further_optimizers, muon
from nnkit.optim.groups import check_pair, refuse_differentiable, scalar_options
from nnkit.optim.optimizer import Optimizer, Parameters


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum (Polyak 1964) and Nesterov's variant (Sutskever et al.
    2013).

    Args:
        params: parameters, or groups of them (see ``Optimizer``).
        lr: the learning rate.
        momentum: the share of the previous step that is kept; 0 for none.
        dampening: the share of the gradient that is kept out of the momentum, from the second step on.
        weight_decay: the L2 penalty's factor.
        nesterov: look ahead along the momentum; needs momentum and no dampening.
        maximize: climb instead of descend.

    Raises ValueError for an option out of range. Source: ``torch.optim.SGD``.

    >>> import nnkit
    >>> x = nnkit.tensor([3.0], requires_grad=True); optimizer = SGD([x], lr=0.25)
    >>> (x * x).sum().backward(); optimizer.step(); x.tolist()
    [1.5]
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        refuse_differentiable(differentiable)
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "maximize": maximize,
        })  # fmt: skip

    def check(self, options: Mapping[str, Any]) -> None:
        super().check(options)
        if options["nesterov"] and (options["momentum"] <= 0 or options["dampening"] != 0):
            raise ValueError(
                "nesterov needs momentum greater than 0 and dampening 0, got "
                f"momentum={options['momentum']!r}, dampening={options['dampening']!r}"
            )

    def formulas(self, options: Mapping[str, Any]) -> tuple[Formula, Formula]:
        if options["momentum"] == 0:
            return updates.sgd_rates, updates.sgd
        return updates.sgd_momentum_rates, updates.sgd_nesterov if options["nesterov"] else updates.sgd_momentum

    def changes_rows(self, options: Mapping[str, Any]) -> bool:
        return bool(options["momentum"] == 0 and options["weight_decay"] == 0)


class Adam(Optimizer):
    """Kingma and Ba, Adam: A Method for Stochastic Optimization, 2015.

    Args:
        params: parameters, or groups of them (see ``Optimizer``).
        lr: the learning rate.
        betas: how much of the running averages of the gradient and of its square is kept in a step.
        eps: added to the divisor. With 0, an element that never had a gradient stays (PyTorch makes it NaN).
        weight_decay: the L2 penalty's factor.
        amsgrad: divide by the largest average so far (Reddi et al. 2018).
        maximize: climb instead of descend.
        decoupled_weight_decay: shrink the parameter instead of penalizing the gradient: ``AdamW``.

    Raises ValueError for an option out of range. Source: ``torch.optim.Adam``.

    >>> import nnkit
    >>> x = nnkit.tensor([3.0], requires_grad=True); optimizer = Adam([x], lr=0.5)
    >>> (x * x).sum().backward(); optimizer.step(); x.tolist()
    [2.5]
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        refuse_differentiable(differentiable)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize, "decoupled_weight_decay": decoupled_weight_decay,
        })  # fmt: skip

    def formulas(self, options: Mapping[str, Any]) -> tuple[Formula, Formula]:
        return updates.adam_rates, updates.adam_amsgrad if options["amsgrad"] else updates.adam


class AdamW(Adam):
    """Adam with decoupled weight decay: Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019.

    As ``Adam``, but ``weight_decay`` shrinks the parameter by lr * weight_decay and stays out of the
    averages. Raises ValueError for an option out of range. Source: ``torch.optim.AdamW``.

    >>> import nnkit
    >>> x = nnkit.tensor([3.0], requires_grad=True); optimizer = AdamW([x], lr=0.5, weight_decay=0.5)
    >>> (x * x).sum().backward(); optimizer.step(); x.tolist()
    [1.75]
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        refuse_differentiable(differentiable)
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True)


class RMSprop(Optimizer):
    """Tieleman and Hinton, Neural Networks for Machine Learning, lecture 6.5, 2012; centered: Graves 2013.

    Args:
        params: parameters, or groups of them (see ``Optimizer``).
        lr: the learning rate.
        alpha: how much of the running average of the squared gradient is kept in a step.
        eps: added to the divisor. With 0, an element that never had a gradient stays (PyTorch makes it NaN).
        weight_decay: the L2 penalty's factor.
        momentum: the share of the previous step that is kept; 0 for none.
        centered: divide by the standard deviation instead of the root mean square.
        maximize: climb instead of descend.

    Raises ValueError for an option out of range. Source: ``torch.optim.RMSprop``.

    >>> import nnkit
    >>> x = nnkit.tensor([3.0], requires_grad=True); optimizer = RMSprop([x], lr=0.25, alpha=0.75)
    >>> (x * x).sum().backward(); optimizer.step(); x.tolist()
    [2.5]
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        refuse_differentiable(differentiable)
        super().__init__(params, {
            "lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum,
            "centered": centered, "maximize": maximize,
        })  # fmt: skip

    def formulas(self, options: Mapping[str, Any]) -> tuple[Formula, Formula]:
        name = "rmsprop" + "_centered" * bool(options["centered"]) + "_momentum" * (options["momentum"] != 0)
        rates = updates.rmsprop_rates if options["momentum"] == 0 else updates.rmsprop_momentum_rates
        return rates, getattr(updates, name)


class Adagrad(Optimizer):
    """Duchi, Hazan and Singer, Adaptive Subgradient Methods, 2011.

    Args:
        params: parameters, or groups of them (see ``Optimizer``).
        lr: the learning rate.
        lr_decay: after n steps the rate is lr / (1 + n * lr_decay).
        weight_decay: the L2 penalty's factor.
        initial_accumulator_value: what the sum of squared gradients starts from.
        eps: added to the divisor. With 0, an element that never had a gradient stays (PyTorch makes it NaN).
        maximize: climb instead of descend.

    Raises ValueError for an option out of range. Source: ``torch.optim.Adagrad``.

    >>> import nnkit
    >>> x = nnkit.tensor([3.0], requires_grad=True); optimizer = Adagrad([x], lr=0.5)
    >>> (x * x).sum().backward(); optimizer.step(); x.tolist()
    [2.5]
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        refuse_differentiable(differentiable)
        super().__init__(params, {
            "lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "eps": eps, "maximize": maximize,
        })  # fmt: skip

    def formulas(self, options: Mapping[str, Any]) -> tuple[Formula, Formula]:
        return updates.adagrad_rates, updates.adagrad

    def initial_state(self, options: Mapping[str, Any]) -> dict[str, float]:
        return {"sum": options["initial_accumulator_value"]}


#: The optimizers that ``get`` and ``fit`` know by name: the classes here and in the modules beside this one.
OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    name.lower(): kind
    for name, kind in (globals() | vars(further_optimizers) | vars(muon)).items()
    if isinstance(kind, type) and issubclass(kind, Optimizer) and kind is not Optimizer
}
_BUILT_IN = frozenset(OPTIMIZERS)


def register(name: str, rates: Formula, update: Formula, **defaults: Any) -> type[Optimizer]:
    """An optimizer class of two formulas, also known by its name: ``model.fit(..., optimizer=name)``.

    Args:
        name: a word; the class is called so, and case does not matter where it is named.
        rates: what is computed once a step: ``rates(step, *, options)`` returns step + 1 and the update's scalars.
        update: what is computed for each element: ``update(parameter, gradient, states, *, scalars)`` returns the new
            parameter and states. Every backend compiles it; a state is called as its parameter is, and starts from 0.
        defaults: the options and their values. ``betas=(b1, b2)`` reaches ``rates`` as beta1 and beta2; ``maximize`` is
            an option of all, and reaches it as ``direction``, 1 or -1, where it asks for that.

    Formulas have operators, comparisons, float literals and the words of ``nnkit.kernels.vocabulary``; they may read
    numbers and call formulas of their module. Raises ValueError or TypeError where something does not fit. Source:
    nnkit's own.

    >>> import nnkit
    >>> from nnkit.kernels.vocabulary import sign
    >>> def signs_rates(step, *, lr): return step + 1.0, lr
    >>> def signs(parameter, gradient, *, lr): return parameter - lr * sign(gradient)
    >>> Signs = register("signs", signs_rates, signs, lr=0.5)
    >>> x = nnkit.tensor([3.0], requires_grad=True); optimizer = Signs([x])
    >>> (x * x).sum().backward(); optimizer.step(); x.tolist()
    [2.5]
    """
    if not (isinstance(name, str) and name.isidentifier()):
        raise ValueError(f"name must be a word, such as 'lion', got {name!r}")
    if name.lower() in _BUILT_IN:
        raise ValueError(f"{name!r} is an optimizer of nnkit's: choose another name")
    defaults = {"lr": 1e-3, "maximize": False} | defaults
    pair = adopt(rates), adopt(update)
    check_pair(rates, update, scalar_options(defaults))

    class Registered(Optimizer):
        def __init__(self, params: Parameters, **options: Any) -> None:
            unknown = [option for option in options if option not in defaults]
            if unknown:
                raise TypeError(f"{name} has no option {unknown[0]!r}; it has {', '.join(defaults)}")
            super().__init__(params, defaults | options)

        def formulas(self, options: Mapping[str, Any]) -> tuple[Formula, Formula]:
            return pair

    Registered.__name__ = Registered.__qualname__ = name
    Registered.__doc__ = update.__doc__
    OPTIMIZERS[name.lower()] = Registered
    return Registered


def get(optimizer: str | Optimizer | Callable[..., Optimizer], parameters: Parameters) -> Optimizer:
    """The optimizer that a name, an optimizer or a function of parameters stands for.

    Args:
        optimizer: a name such as "adam" or "sgd" (``OPTIMIZERS`` has all), with defaults; or an Optimizer, which is
            returned as it is; or a class or function that makes one from parameters.
        parameters: what to optimize.

    Raises UnknownNameError for another name, TypeError for anything else. Source: nnkit's own.

    >>> import nnkit
    >>> type(get("adam", [nnkit.Parameter(nnkit.zeros(2))])).__name__
    'Adam'
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, str):
        if optimizer.lower() not in OPTIMIZERS:
            raise UnknownNameError("optimizer", optimizer, OPTIMIZERS)
        return OPTIMIZERS[optimizer.lower()](parameters)
    made = optimizer(parameters) if callable(optimizer) else optimizer
    if not isinstance(made, Optimizer):
        raise TypeError(
            f"optimizer must be a name ({', '.join(OPTIMIZERS)}), an Optimizer, or a function that "
            f"makes one from parameters, got {type(made).__name__}"
        )
    return made
