"""The less common activations as modules: PyTorch's arguments and defaults."""

from __future__ import annotations

from typing import Any, ClassVar

from nnkit.errors import ShapeError
from nnkit.nn import activation_functions as functions
from nnkit.nn import functional
from nnkit.nn.activations import Activation, Softmax
from nnkit.nn.module import Module
from nnkit.tensors.creation import full
from nnkit.tensors.tensor import Parameter, Tensor

# fmt: off
__all__ = [
    "CELU", "GLU", "Hardshrink", "LogSigmoid", "PReLU", "RReLU", "Softmax2d", "Softmin", "Softshrink", "Tanhshrink",
    "Threshold",
]
# fmt: on


class Threshold(Activation):
    """x where x > threshold, else ``value``.

    >>> import nnkit
    >>> Threshold(1.0, -1.0)(nnkit.tensor([0.5, 2.0])).tolist()
    [-1.0, 2.0]
    """

    formula = "threshold"
    scalar_names: ClassVar[dict[str, str]] = {"threshold": "threshold", "value": "value"}

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold, self.value = threshold, value


class Hardshrink(Activation):
    """x where |x| > lambd, else 0.

    >>> import nnkit
    >>> Hardshrink()(nnkit.tensor([0.25, -2.0])).tolist()
    [0.0, -2.0]
    """

    formula = "hardshrink"
    scalar_names: ClassVar[dict[str, str]] = {"lambd": "lambd"}

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd


class Softshrink(Hardshrink):
    """x nearer to 0 by lambd, and 0 from -lambd to lambd.

    >>> import nnkit
    >>> Softshrink()(nnkit.tensor([0.25, -2.0])).tolist()
    [0.0, -1.5]
    """

    formula = "softshrink"

    def __init__(self, lambd: float = 0.5) -> None:
        if not lambd >= 0.0:
            raise ValueError(f"lambd must be at least 0, got {lambd!r}")
        super().__init__(lambd)


class Tanhshrink(Activation):
    """x - tanh(x).

    >>> import nnkit
    >>> Tanhshrink()(nnkit.tensor([0.0])).tolist()
    [0.0]
    """

    formula = "tanhshrink"


class CELU(Activation):
    """x where x > 0, else alpha (exp(x / alpha) - 1) (Barron 2017).

    >>> import nnkit
    >>> round(CELU()(nnkit.tensor([-1.0])).item(), 4)
    -0.6321
    """

    formula = "celu"
    scalar_names: ClassVar[dict[str, str]] = {"alpha": "alpha"}

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        if alpha == 0.0:
            raise ValueError("alpha must not be 0: x is divided by it")
        self.alpha = alpha


class LogSigmoid(Activation):
    """log(1 / (1 + exp(-x))), without overflow.

    >>> import nnkit
    >>> round(LogSigmoid()(nnkit.tensor([0.0])).item(), 4)
    -0.6931
    """

    formula = "log_sigmoid"


class GLU(Module):
    """a sigmoid(b) of the two halves a, b along ``dim`` (Dauphin et al. 2017).

    Called with a Tensor of floats it gives half of it along that axis, of the same dtype, and raises ShapeError for an
    odd size. Source: ``torch.nn.GLU``.

    >>> import nnkit
    >>> GLU()(nnkit.tensor([4.0, 0.0])).tolist()
    [2.0]
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return functions.glu(x, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class PReLU(Module):
    """x where x > 0, else a learned weight times x, one for all or one for each channel (He et al. 2015).

    Input and result are of one shape and float dtype. Raises ShapeError, when it is called, for another number of
    channels. Source: ``torch.nn.PReLU``.

    >>> import nnkit
    >>> PReLU()(nnkit.tensor([-4.0, 2.0])).tolist()
    [-1.0, 2.0]
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        if num_parameters < 1:
            raise ShapeError(f"num_parameters must be at least 1, got {num_parameters}")
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter(full((num_parameters,), float(init), dtype=dtype, device=device))

    def forward(self, x: Tensor) -> Tensor:
        return functions.prelu(x, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class RReLU(Module):
    """x where x > 0, else a x: a drawn between ``lower`` and ``upper`` in training, else their middle.

    >>> import nnkit
    >>> RReLU(0.25, 0.75).eval()(nnkit.tensor([-4.0, 2.0])).tolist()
    [-2.0, 2.0]
    """

    def __init__(self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False) -> None:
        super().__init__()
        functions.check_bounds(lower, upper)
        self.lower, self.upper = lower, upper

    def forward(self, x: Tensor) -> Tensor:
        return functions.rrelu(x, self.lower, self.upper, self.training)

    def extra_repr(self) -> str:
        return f"lower={self.lower}, upper={self.upper}"


class Softmin(Softmax):
    """softmax of -x along ``dim``.

    >>> import nnkit
    >>> Softmin(dim=0)(nnkit.zeros(2)).tolist()
    [0.5, 0.5]
    """

    def forward(self, x: Tensor) -> Tensor:
        return functional.softmin(x, self.dim)


class Softmax2d(Module):
    """softmax over the channels of (B, C, H, W) or (C, H, W).

    Raises ShapeError for other shapes. They are of floats. Source: ``torch.nn.Softmax2d``.

    >>> import nnkit
    >>> Softmax2d()(nnkit.zeros(1, 2, 1, 1)).reshape(2).tolist()
    [0.5, 0.5]
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim not in (3, 4):
            raise ShapeError(f"Softmax2d: expected (B, C, H, W) or (C, H, W), got shape {x.shape}")
        return x.softmax(dim=-3)
