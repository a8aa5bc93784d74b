"""Activations: the functions between linear layers, as modules and by name.

Each class names a formula (``nnkit.kernels.formulas``) and the numbers it takes. PyTorch's arguments and
defaults; ``inplace`` is accepted and has no effect. A new formula is known by its name at once; give it a
class here if it should have one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from nnkit import ops
from nnkit.errors import UnknownNameError
from nnkit.kernels.formulas import ACTIVATIONS
from nnkit.kernels.registered import adopt_activation
from nnkit.kernels.vocabulary import Formula, scalar_names
from nnkit.nn import functional
from nnkit.nn.module import Module
from nnkit.tensors.tensor import Tensor

# fmt: off
__all__ = [
    "Activation", "ELU", "GELU", "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyReLU", "LogSoftmax", "Mish",
    "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid", "Softmax", "Softplus", "Softsign", "Tanh", "fused_formula",
    "get",
]

#: Name -> formula: every formula under its own name, and under the names of other libraries.
FORMULAS = {name: name for name in ACTIVATIONS} | {
    "linear": "identity", "swish": "silu", "hardsigmoid": "hard_sigmoid", "hard_swish": "hardswish",
    "hard_tanh": "hardtanh",
}
# fmt: on

#: Name -> function, for activations that look at a whole row.
ROW_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": partial(functional.softmax, dim=-1),
    "log_softmax": partial(functional.log_softmax, dim=-1),
}


class Activation(Module):
    """An elementwise activation: a formula, and the attributes that are its scalars.

    Input and result are of one shape and float dtype. Raises TypeError, when it is called, for what is no Tensor.
    Source: nnkit's own, for ``register_activation``.

    >>> class Doubled(Activation):
    ...     formula = "leaky_relu"
    ...     scalar_names = {"slope": "negative_slope"}
    ...     slope = 2.0
    >>> from nnkit import tensor
    >>> Doubled()(tensor([-1.0, 1.0]))
    tensor([-2.,  1.])
    """

    formula: str
    #: Attribute of the module -> scalar of the formula.
    scalar_names: ClassVar[dict[str, str]] = {}

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    @property
    def scalars(self) -> dict[str, float]:
        """The formula's scalars by name."""
        return {scalar: getattr(self, attribute) for attribute, scalar in self.scalar_names.items()}

    def forward(self, x: Tensor) -> Tensor:
        return ops.activation(x, self.formula, **self.scalars)

    def extra_repr(self) -> str:
        return ", ".join(f"{attribute}={getattr(self, attribute)}" for attribute in self.scalar_names)


class ReLU(Activation):
    """max(x, 0).

    >>> import nnkit
    >>> ReLU()(nnkit.tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    formula = "relu"


class LeakyReLU(Activation):
    """x where x > 0, else negative_slope x (Maas et al. 2013).

    >>> import nnkit
    >>> LeakyReLU(0.5)(nnkit.tensor([-1.0, 2.0])).tolist()
    [-0.5, 2.0]
    """

    formula = "leaky_relu"
    scalar_names: ClassVar[dict[str, str]] = {"negative_slope": "negative_slope"}

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = negative_slope


class ELU(Activation):
    """x where x > 0, else alpha (exp(x) - 1) (Clevert et al. 2015).

    >>> import nnkit
    >>> round(ELU()(nnkit.tensor([-1.0])).item(), 4)
    -0.6321
    """

    formula = "elu"
    scalar_names: ClassVar[dict[str, str]] = {"alpha": "alpha"}

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha


class SELU(Activation):
    """ELU scaled so that mean 0 and variance 1 are kept (Klambauer et al. 2017).

    >>> import nnkit
    >>> round(SELU()(nnkit.tensor([1.0])).item(), 4)
    1.0507
    """

    formula = "selu"


class GELU(Activation):
    """x Phi(x); ``approximate="tanh"`` is the tanh formula (Hendrycks and Gimpel 2016).

    >>> import nnkit
    >>> round(GELU()(nnkit.tensor([1.0])).item(), 4)
    0.8413
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.formula = functional.gelu_formula(approximate)
        self.approximate = approximate

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class SiLU(Activation):
    """x sigmoid(x), also called swish (Elfwing et al. 2017).

    >>> import nnkit
    >>> round(SiLU()(nnkit.tensor([1.0])).item(), 4)
    0.7311
    """

    formula = "silu"


class Mish(Activation):
    """x tanh(softplus(x)) (Misra 2019).

    >>> import nnkit
    >>> round(Mish()(nnkit.tensor([1.0])).item(), 4)
    0.8651
    """

    formula = "mish"


class Sigmoid(Activation):
    """1 / (1 + exp(-x)).

    >>> import nnkit
    >>> Sigmoid()(nnkit.tensor([0.0])).tolist()
    [0.5]
    """

    formula = "sigmoid"


class Tanh(Activation):
    """The hyperbolic tangent.

    >>> import nnkit
    >>> Tanh()(nnkit.tensor([0.0])).tolist()
    [0.0]
    """

    formula = "tanh"


class Softplus(Activation):
    """log(1 + exp(beta x)) / beta; x itself where beta x > threshold.

    >>> import nnkit
    >>> round(Softplus()(nnkit.tensor([0.0])).item(), 4)
    0.6931
    """

    formula = "softplus"
    scalar_names: ClassVar[dict[str, str]] = {"beta": "beta", "threshold": "threshold"}

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold


class Softsign(Activation):
    """x / (1 + abs(x)).

    >>> import nnkit
    >>> Softsign()(nnkit.tensor([-1.0, 3.0])).tolist()
    [-0.5, 0.75]
    """

    formula = "softsign"


class Hardtanh(Activation):
    """x held between min_val and max_val.

    >>> import nnkit
    >>> Hardtanh()(nnkit.tensor([-2.0, 0.5])).tolist()
    [-1.0, 0.5]
    """

    formula = "hardtanh"
    scalar_names: ClassVar[dict[str, str]] = {"min_val": "low", "max_val": "high"}

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        if not min_val < max_val:
            raise ValueError(f"min_val must be smaller than max_val, got {min_val} and {max_val}")
        self.min_val, self.max_val = min_val, max_val


class ReLU6(Activation):
    """x held between 0 and 6 (Howard et al. 2017).

    >>> import nnkit
    >>> ReLU6()(nnkit.tensor([-1.0, 8.0])).tolist()
    [0.0, 6.0]
    """

    formula = "relu6"


class Hardsigmoid(Activation):
    """x / 6 + 1/2 held between 0 and 1.

    >>> import nnkit
    >>> Hardsigmoid()(nnkit.tensor([-4.0, 0.0])).tolist()
    [0.0, 0.5]
    """

    formula = "hard_sigmoid"


class Hardswish(Activation):
    """x hardsigmoid(x) (Howard et al. 2019).

    >>> import nnkit
    >>> Hardswish()(nnkit.tensor([-4.0, 4.0])).tolist()
    [-0.0, 4.0]
    """

    formula = "hardswish"


class Softmax(Module):
    """exp(x) over its sum along ``dim``: numbers in [0, 1] that sum to 1.

    >>> import nnkit
    >>> Softmax(dim=1)(nnkit.zeros(1, 4)).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return functional.softmax(x, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Softmax):
    """The logarithm of softmax along ``dim``, without overflow.

    >>> import nnkit
    >>> round(LogSoftmax(dim=0)(nnkit.zeros(2))[0].item(), 4)
    -0.6931
    """

    def forward(self, x: Tensor) -> Tensor:
        return functional.log_softmax(x, self.dim)


_forward = Activation.forward


def fused_formula(activation: object) -> tuple[str, dict[str, float]] | None:
    """The formula and scalars by which ``ops.linear`` applies ``activation``, or None where it cannot.

    A module counts only as nnkit wrote it: with no forward of its own, and no hooks that must see its output.

    >>> fused_formula(LeakyReLU(0.2)), fused_formula("swish"), fused_formula("softmax")
    (('leaky_relu', {'negative_slope': 0.2}), ('silu', {}), None)
    """
    if isinstance(activation, str):
        return (FORMULAS[activation], {}) if activation in FORMULAS else None
    if isinstance(activation, Activation):
        as_written = type(activation).forward is _forward and "forward" not in vars(activation)
        as_written = as_written and not (activation._forward_hooks or activation._forward_pre_hooks)
        return (activation.formula, activation.scalars) if as_written else None
    return None


def register_activation(name: str, function: Formula, gradient: Formula) -> type[Activation]:
    """Make an activation of two formulas known by its name, wherever activations are named, and as a module.

    Args:
        name: a word; ``nn.Linear(3, 2, activation=name)``, ``ops.activation(x, name)``, Keras's ``Dense(2, name)``.
        function: ``function(x, *, scalars)``, with a default for each scalar.
        gradient: ``gradient(dy, x, *, scalars)`` or, if it reads the output, ``gradient(dy, y, *, scalars)``: dy times
            the derivative.

    Returns a module class of that name, whose arguments are the scalars. Every backend compiles the formulas, with
    a linear layer too; what they may contain: see ``nnkit.optim.register``. Raises ValueError or TypeError otherwise.

    The formulas are tried with numbers of float32 and float64.

    >>> import nnkit
    >>> from nnkit.kernels.vocabulary import where
    >>> def kink(x, *, slope=0.5): return where(x > 0.0, x, slope * x)
    >>> def kink_grad(dy, x, *, slope): return where(x > 0.0, dy, slope * dy)
    >>> Kink = register_activation("kink", kink, kink_grad)
    >>> Kink(slope=0.25)(nnkit.tensor([-4.0, 2.0])), nnkit.nn.Linear(3, 2, activation="kink")(nnkit.zeros(1, 3)).shape
    (tensor([-1.,  2.]), (1, 2))
    """
    adopt_activation(name, function, gradient)
    FORMULAS[name] = name
    defaults = dict(function.__kwdefaults__ or {})
    lacking = [scalar for scalar in scalar_names(function) if scalar not in defaults]

    class Registered(Activation):
        formula = name
        scalar_names: ClassVar[dict[str, str]] = {scalar: scalar for scalar in defaults}

        def __init__(self, inplace: bool = False, **scalars: float) -> None:
            super().__init__(inplace)
            for scalar in scalars:
                if scalar not in defaults:
                    raise UnknownNameError(f"option of {name}", scalar, defaults)
            for scalar, value in (defaults | scalars).items():
                setattr(self, scalar, value)

    if lacking:
        raise ValueError(f"{name}: the scalar {lacking[0]!r} needs a default in the function: *, {lacking[0]}=1.0")
    Registered.__name__ = Registered.__qualname__ = name
    Registered.__doc__ = function.__doc__
    return Registered


def get(activation: str | Callable[..., Any]) -> Callable[..., Any]:
    """The function of an activation's name; a function or Module is returned as it is.

    Raises UnknownNameError, which lists the nearest names.

    >>> import nnkit
    >>> get("relu")(nnkit.tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    if isinstance(activation, type):
        raise TypeError(f"activation must be a name, a function or a Module instance: write {activation.__name__}()")
    if callable(activation):
        return activation
    if isinstance(activation, str) and activation in FORMULAS:
        return partial(ops.activation, name=FORMULAS[activation])
    if isinstance(activation, str) and activation in ROW_FUNCTIONS:
        return ROW_FUNCTIONS[activation]
    raise UnknownNameError("activation", activation, [*FORMULAS, *ROW_FUNCTIONS])
