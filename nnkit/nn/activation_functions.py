"""The less common activations as functions, by PyTorch's names and arguments; ``inplace`` has no effect."""

from __future__ import annotations

from nnkit import ops
from nnkit.errors import ShapeError
from nnkit.tensors.creation import arange
from nnkit.tensors.random_tensors import rand_like
from nnkit.tensors.tensor import Tensor

# fmt: off
__all__ = [
    "celu", "check_bounds", "glu", "gumbel_softmax", "hardshrink", "logsigmoid", "prelu", "rrelu", "softshrink",
    "tanhshrink", "threshold",
]
# fmt: on


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where x > threshold, else ``value``.

    >>> import nnkit
    >>> nnkit.nn.functional.threshold(nnkit.tensor([0.5, 2.0]), 1.0, -1.0).tolist()
    [-1.0, 2.0]
    """
    return ops.activation(input, "threshold", threshold=threshold, value=value)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x where |x| > lambd, else 0.

    >>> import nnkit
    >>> hardshrink(nnkit.tensor([0.25, -2.0])).tolist()
    [0.0, -2.0]
    """
    return ops.activation(input, "hardshrink", lambd=lambd)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x nearer to 0 by lambd, and 0 from -lambd to lambd.

    Raises ValueError for lambd below 0.

    >>> import nnkit
    >>> softshrink(nnkit.tensor([0.25, -2.0])).tolist()
    [0.0, -1.5]
    """
    if not lambd >= 0.0:
        raise ValueError(f"lambd must be at least 0, got {lambd!r}")
    return ops.activation(input, "softshrink", lambd=lambd)


def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh(x).

    >>> import nnkit
    >>> tanhshrink(nnkit.tensor([0.0])).tolist()
    [0.0]
    """
    return ops.activation(input, "tanhshrink")


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else alpha (exp(x / alpha) - 1).

    Raises ValueError for alpha 0.

    >>> import nnkit
    >>> round(celu(nnkit.tensor([-1.0])).item(), 4)
    -0.6321
    """
    if alpha == 0.0:
        raise ValueError("alpha must not be 0: x is divided by it")
    return ops.activation(input, "celu", alpha=alpha)


def logsigmoid(input: Tensor) -> Tensor:
    """log(1 / (1 + exp(-x))), without overflow.

    >>> import nnkit
    >>> round(logsigmoid(nnkit.tensor([0.0])).item(), 4)
    -0.6931
    """
    return ops.activation(input, "log_sigmoid")


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a sigmoid(b) of the two halves a, b along ``dim`` (Dauphin et al. 2017).

    Raises ShapeError for an odd size. A Tensor of numbers. Source: ``torch.nn.functional.glu``. The result has its
    float dtype.

    >>> import nnkit
    >>> glu(nnkit.tensor([4.0, 0.0])).tolist()
    [2.0]
    """
    if not input.ndim or not -input.ndim <= dim < input.ndim or input.shape[dim] % 2:
        raise ShapeError(f"glu: expected an even size along dimension {dim}, got shape {input.shape}")
    a, b = ops.split(input, input.shape[dim] // 2, dim) if input.shape[dim] else (input, input)
    return a * ops.sigmoid(b)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where x > 0, else weight x (He et al. 2015): weight (1,) or (), or (C,), one for each channel (dimension 1).

    Raises ShapeError for another number of weights. Both of floats. Source: ``torch.nn.functional.prelu``.

    >>> import nnkit
    >>> prelu(nnkit.tensor([-4.0, 2.0]), nnkit.tensor([0.25])).tolist()
    [-1.0, 2.0]
    """
    channels = input.shape[1] if input.ndim > 1 else 1
    if weight.ndim > 1 or weight.numel() not in (1, channels):
        raise ShapeError(f"prelu: expected 1 or {channels} weights for input {input.shape}, got shape {weight.shape}")
    if weight.numel() != 1:
        weight = weight.reshape(channels, *(1,) * (input.ndim - 2))
    return ops.where(ops.gt(input, 0.0), input, weight * input)


def rrelu(
    input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False
) -> Tensor:
    """x where x > 0, else a x: a between ``lower`` and ``upper``, drawn for each element in training, else the middle.

    Xu et al., Empirical Evaluation of Rectified Activations, 2015. Raises ValueError for lower > upper.

    >>> import nnkit
    >>> rrelu(nnkit.tensor([-4.0, 2.0]), 0.25, 0.75).tolist()
    [-2.0, 2.0]
    """
    check_bounds(lower, upper)
    if not training:
        return ops.activation(input, "leaky_relu", negative_slope=(lower + upper) / 2.0)
    return ops.where(ops.gt(input, 0.0), input, (rand_like(input) * (upper - lower) + lower) * input)


def check_bounds(lower: float, upper: float) -> None:
    """Raise ValueError unless lower <= upper."""
    if not lower <= upper:
        raise ValueError(f"lower must be at most upper, got {lower!r} and {upper!r}")


def gumbel_softmax(logits: Tensor, tau: float = 1.0, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """Near one-hot samples of classes with a gradient: softmax of (logits + Gumbel noise) / tau along ``dim``.

    Jang et al., Categorical Reparameterization with Gumbel-Softmax, 2017. ``hard``: one-hot, with the gradient of the
    soft sample. ``eps`` has no effect, as in PyTorch. Raises ValueError unless tau > 0. logits are floats of any shape,
    and so is the result. Raises DtypeError for whole numbers. Source: ``torch.nn.functional.gumbel_softmax``. Raises
    ShapeError for an axis that there is not.

    >>> import nnkit
    >>> gumbel_softmax(nnkit.zeros(3), hard=True).sum().item()
    1.0
    """
    if not tau > 0.0:
        raise ValueError(f"tau must be greater than 0, got {tau!r}")
    noise = -ops.log(-ops.log1p(-rand_like(logits.detach())))  # of a number above 0: rand may be 0, never 1
    soft = ops.softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    largest = ops.argmax(soft, dim).unsqueeze(dim)
    shape = [1] * soft.ndim
    shape[dim] = soft.shape[dim]
    one_hot = ops.eq(largest, arange(soft.shape[dim], device=soft.device).reshape(*shape)).to(soft.dtype)
    return one_hot - soft.detach() + soft
