"""Initial values: fill a parameter in place with numbers of a chosen spread.

The spread decides whether signals grow or die on their way through many layers; the formulas keep their
variance, forward (fan_in: inputs of a unit) or backward (fan_out). Numbers are drawn on the host from nnkit's
own stream, or ``generator``, and copied, so they are the same to the bit on every device; ``nnkit.manual_seed`` repeats
them. Names and arguments are PyTorch's; every function returns the tensor it filled.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nnkit.errors import ShapeError, UnknownNameError
from nnkit.nn.skipping import is_wanted
from nnkit.tensors.creation import as_tensor, eye
from nnkit.tensors.random import Generator, host_normal, host_truncated_normal, host_uniform, using
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor

# fmt: off
__all__ = [
    "calculate_gain", "constant_", "dirac_", "eye_", "kaiming_normal_", "kaiming_uniform_", "lecun_normal_",
    "lecun_uniform_", "normal_", "ones_", "orthogonal_", "sparse_", "trunc_normal_", "uniform_", "xavier_normal_",
    "xavier_uniform_", "zeros_",
]


def __dir__() -> list[str]:
    return sorted(__all__)


#: Nonlinearity -> gain: by how much a layer before it must amplify to keep the variance.
GAINS = {
    "linear": 1.0, "identity": 1.0, "conv1d": 1.0, "conv2d": 1.0, "conv3d": 1.0, "sigmoid": 1.0,
    "tanh": 5.0 / 3.0, "relu": math.sqrt(2.0), "selu": 0.75,
}
# fmt: on


def _write(tensor: Tensor, values: Callable[[], Any], generator: Generator | None = None) -> Tensor:
    """Draw numbers on the host and copy them into ``tensor``, outside the tape; unless they will be overwritten.

    They are drawn from the stream ``generator``, where there is one.
    """
    if is_wanted(tensor):
        with no_grad(), using(generator):
            tensor.copy_(as_tensor(values(), device=tensor.device, dtype=tensor.dtype))
    return tensor


def _fill(tensor: Tensor, value: float) -> Tensor:
    if is_wanted(tensor):
        with no_grad():
            tensor.fill_(value)
    return tensor


# ---- plain distributions ----------------------------------------------------------------------------------


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Numbers from ``a`` to ``b``, all equally likely.

    A float Tensor of any shape, which is filled in place and returned. Raises AttributeError for what is no Tensor.
    Source: ``torch.nn.init.uniform_``.

    >>> import nnkit
    >>> weight = uniform_(nnkit.empty(100), -1.0, 1.0)
    >>> weight.min().item() >= -1.0 and weight.max().item() <= 1.0
    True
    """
    return _write(tensor, lambda: host_uniform(tensor.shape, a, b), generator)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Numbers of the normal distribution.

    A float Tensor of any shape, which is filled in place and returned. Raises AttributeError for what is no Tensor.
    Source: ``torch.nn.init.normal_``.

    >>> import nnkit
    >>> normal_(nnkit.empty(3), mean=7.0, std=0.0).tolist()
    [7.0, 7.0, 7.0]
    """
    return _write(tensor, lambda: host_normal(tensor.shape, mean, std), generator)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Numbers of the normal distribution given that they lie between ``a`` and ``b``.

    A float Tensor of any shape, which is filled in place and returned. Raises ValueError unless a < b and std > 0.
    Source: ``torch.nn.init.trunc_normal_``.

    >>> import nnkit
    >>> trunc_normal_(nnkit.empty(100)).max().item() <= 2.0
    True
    """
    if not (a < b and std > 0.0):
        raise ValueError(f"trunc_normal_ expects a < b and std > 0, got a={a}, b={b}, std={std}")
    low, high = (a - mean) / std, (b - mean) / std
    _write(tensor, lambda: host_truncated_normal(tensor.shape, low, high) * std + mean, generator)
    if is_wanted(tensor):
        with no_grad():
            tensor.clamp_(a, b)
    return tensor


def constant_(tensor: Tensor, val: float) -> Tensor:
    """``val`` everywhere.

    A Tensor of any shape and dtype, which is filled in place and returned. Raises ValueError for a value that is no
    number. Source: ``torch.nn.init.constant_``.

    >>> import nnkit
    >>> constant_(nnkit.empty(2), 3.0).tolist()
    [3.0, 3.0]
    """
    return _fill(tensor, val)


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere.

    A Tensor of any shape and dtype, which is filled in place and returned. Raises AttributeError for what is no Tensor.
    Source: ``torch.nn.init.zeros_``.

    >>> import nnkit
    >>> zeros_(nnkit.empty(2)).tolist()
    [0.0, 0.0]
    """
    return _fill(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere.

    A Tensor of any shape and dtype, which is filled in place and returned. Raises AttributeError for what is no Tensor.
    Source: ``torch.nn.init.ones_``.

    >>> import nnkit
    >>> ones_(nnkit.empty(2)).tolist()
    [1.0, 1.0]
    """
    return _fill(tensor, 1.0)


def eye_(tensor: Tensor) -> Tensor:
    """1 on the diagonal and 0 elsewhere, for a matrix.

    A float Tensor, which is filled in place and returned. Raises ShapeError for what is no matrix. Source:
    ``torch.nn.init.eye_``.

    >>> import nnkit
    >>> eye_(nnkit.empty(2, 3)).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    if tensor.ndim != 2:
        raise ShapeError(f"eye_ fills matrices, got shape {tensor.shape}")
    return _write(tensor, lambda: eye(tensor.shape[0], tensor.shape[1]))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A convolution's weight (outputs, inputs, *kernel) that passes as many channels on as it can; 0 elsewhere.

    ``groups``: each of so many equal parts of the outputs passes the inputs on. Raises ShapeError for other than 3 to 5
    dimensions, and where ``groups`` does not divide the outputs. The Tensor is of floats. Source:
    ``torch.nn.init.dirac_``.

    >>> import nnkit
    >>> dirac_(nnkit.empty(2, 2, 3))[:, :, 1].tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    if tensor.ndim not in (3, 4, 5):
        raise ShapeError(f"dirac_ fills weights of 3 to 5 dimensions, got shape {tensor.shape}")
    if groups < 1 or tensor.shape[0] % groups:
        raise ShapeError(f"dirac_: groups={groups} does not divide {tensor.shape[0]} outputs")

    def values() -> np.ndarray:
        found = np.zeros(tensor.shape)
        each = tensor.shape[0] // groups
        centre = tuple(size // 2 for size in tensor.shape[2:])
        for group in range(groups):
            for channel in range(min(each, tensor.shape[1])):
                found[(group * each + channel, channel, *centre)] = 1.0
        return found

    return _write(tensor, values)


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None) -> Tensor:
    """Normal numbers, of which in each column the share ``sparsity``, rounded up, is 0 (Martens 2010).

    Raises ShapeError for what is no matrix, ValueError unless ``sparsity`` is from 0 to 1. The Tensor is of floats.

    >>> import nnkit
    >>> (sparse_(nnkit.empty(4, 3), 0.5) == 0.0).sum(dim=0).tolist()
    [2, 2, 2]
    """
    if tensor.ndim != 2:
        raise ShapeError(f"sparse_ fills matrices, got shape {tensor.shape}")
    if not 0.0 <= sparsity <= 1.0:
        raise ValueError(f"sparsity must be from 0 to 1, got {sparsity!r}")

    def values() -> np.ndarray:
        found = host_normal(tensor.shape, 0.0, std)
        ranks = host_uniform(tensor.shape).argsort(axis=0, kind="stable").argsort(axis=0)  # in each column, at random
        found[ranks < math.ceil(sparsity * tensor.shape[0])] = 0.0
        return found

    return _write(tensor, values, generator)


# ---- spreads that keep the variance -----------------------------------------------------------------------


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """PyTorch's gain of a nonlinearity; ``param`` is the negative slope of leaky_relu (0.01).

    Raises UnknownNameError for another nonlinearity.

    >>> calculate_gain("tanh")
    1.6666666666666667
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2.0 / (1.0 + (0.01 if param is None else param) ** 2))
    if nonlinearity not in GAINS:
        raise UnknownNameError("nonlinearity", nonlinearity, [*GAINS, "leaky_relu"])
    return GAINS[nonlinearity]


def _fans(tensor: Tensor) -> tuple[int, int]:
    """Inputs and outputs of one unit of a weight (outputs, inputs, *kernel)."""
    if tensor.ndim < 2:
        raise ShapeError(f"fan_in and fan_out need at least 2 dimensions, got shape {tensor.shape}")
    kernel = math.prod(tensor.shape[2:])
    return tensor.shape[1] * kernel, tensor.shape[0] * kernel


def _fan(tensor: Tensor, mode: str) -> int:
    if mode not in ("fan_in", "fan_out"):
        raise UnknownNameError("fan mode", mode, ["fan_in", "fan_out"])
    return _fans(tensor)[mode == "fan_out"]


def _uniform_of_std(tensor: Tensor, std: float, generator: Generator | None = None) -> Tensor:
    bound = math.sqrt(3.0) * std
    return uniform_(tensor, -bound, bound, generator)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform, variance gain**2 * 2 / (fan_in + fan_out) (Glorot and Bengio 2010).

    A float Tensor of two or more axes, which is filled in place and returned. Raises ShapeError for fewer. Source:
    ``torch.nn.init.xavier_uniform_``.

    >>> import nnkit
    >>> xavier_uniform_(nnkit.empty(3, 3)).max().item() <= 1.0
    True
    """
    return _uniform_of_std(tensor, gain * math.sqrt(2.0 / sum(_fans(tensor))), generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal, variance gain**2 * 2 / (fan_in + fan_out) (Glorot and Bengio 2010).

    A float Tensor of two or more axes, which is filled in place and returned. Raises ShapeError for fewer. Source:
    ``torch.nn.init.xavier_normal_``.

    >>> import nnkit
    >>> xavier_normal_(nnkit.empty(3, 3), gain=0.0).max().item()
    0.0
    """
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(_fans(tensor))), generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Uniform, variance gain**2 / fan; ``a`` is the negative slope of leaky_relu (He et al. 2015).

    A float Tensor of two or more axes, which is filled in place and returned. Raises ShapeError for fewer. Source:
    ``torch.nn.init.kaiming_uniform_``. Raises UnknownNameError for another mode or nonlinearity.

    >>> import nnkit
    >>> kaiming_uniform_(nnkit.empty(3, 6)).max().item() <= 1.0
    True
    """
    return _uniform_of_std(tensor, calculate_gain(nonlinearity, a) / math.sqrt(_fan(tensor, mode)), generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Normal, variance gain**2 / fan; ``a`` is the negative slope of leaky_relu (He et al. 2015).

    A float Tensor of two or more axes, which is filled in place and returned. Raises ShapeError for fewer. Source:
    ``torch.nn.init.kaiming_normal_``. Raises UnknownNameError for another mode or nonlinearity.

    >>> import nnkit
    >>> kaiming_normal_(nnkit.empty(3, 6), nonlinearity="relu").shape
    (3, 6)
    """
    return normal_(tensor, 0.0, calculate_gain(nonlinearity, a) / math.sqrt(_fan(tensor, mode)), generator)


def lecun_uniform_(tensor: Tensor) -> Tensor:
    """Uniform, variance 1 / fan_in (LeCun et al., Efficient BackProp, 1998).

    A float Tensor of two or more axes, which is filled in place and returned. Raises ShapeError for fewer. Source:
    ``keras.initializers.LecunUniform``.

    >>> import nnkit
    >>> lecun_uniform_(nnkit.empty(3, 3)).max().item() <= 1.0
    True
    """
    return _uniform_of_std(tensor, 1.0 / math.sqrt(_fan(tensor, "fan_in")))


def lecun_normal_(tensor: Tensor) -> Tensor:
    """Normal, variance 1 / fan_in (LeCun et al. 1998; for selu, Klambauer et al. 2017).

    A float Tensor of two or more axes, which is filled in place and returned. Raises ShapeError for fewer. Source:
    ``keras.initializers.LecunNormal``.

    >>> import nnkit
    >>> lecun_normal_(nnkit.empty(3, 6)).shape
    (3, 6)
    """
    return normal_(tensor, 0.0, 1.0 / math.sqrt(_fan(tensor, "fan_in")))


def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """``gain`` times a random matrix whose rows (or columns, if fewer) are orthonormal (Saxe et al. 2013).

    More than two dimensions count as a matrix of the first by all others. It is a float Tensor, which is filled in
    place and returned. Raises ShapeError for fewer than two axes. Source: ``torch.nn.init.orthogonal_``.

    >>> import nnkit
    >>> weight = orthogonal_(nnkit.empty(2, 3, dtype=nnkit.float64))
    >>> nnkit.nn.functional.mse_loss(weight @ weight.T, nnkit.eye(2, dtype=nnkit.float64)).item() < 1e-12
    True
    """
    if tensor.ndim < 2:
        raise ShapeError(f"orthogonal_ needs at least 2 dimensions, got shape {tensor.shape}")
    return _write(
        tensor,
        lambda: gain * _orthogonal(tensor.shape[0], math.prod(tensor.shape[1:])).reshape(tensor.shape),
        generator,
    )


def _orthogonal(rows: int, columns: int) -> np.ndarray:
    # By numpy on the host, so that every device gets the same. The signs of R's diagonal make Q unique.
    q, r = np.linalg.qr(host_normal((max(rows, columns), min(rows, columns))))
    q = q * np.sign(np.diagonal(r))
    return q if rows >= columns else q.T
