"""Layers and losses as plain functions, by PyTorch's names and arguments.

``import nnkit.nn.functional as F``: what a module does without holding parameters. ``inplace`` is accepted
and has no effect.
"""

from __future__ import annotations

import warnings
from typing import Any

from nnkit import ops
from nnkit.errors import LabelError, UnknownNameError
from nnkit.nn.activation_functions import (
    celu,
    glu,
    gumbel_softmax,
    hardshrink,
    logsigmoid,
    prelu,
    rrelu,
    softshrink,
    tanhshrink,
    threshold,
)
from nnkit.nn.adaptive_functions import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
)
from nnkit.nn.attention_functions import scaled_dot_product_attention
from nnkit.nn.class_losses import cross_entropy, nll_loss
from nnkit.nn.ctc import ctc_loss
from nnkit.nn.distances import cosine_similarity, pairwise_distance
from nnkit.nn.dropout_functions import dropout, dropout1d, dropout2d, dropout3d
from nnkit.nn.embedding_functions import embedding, embedding_bag
from nnkit.nn.embedding_losses import (
    cosine_embedding_loss,
    margin_ranking_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from nnkit.nn.families import FUNCTIONS
from nnkit.nn.grid_functions import affine_grid, grid_sample
from nnkit.nn.likelihood_losses import gaussian_nll_loss, kl_div, poisson_nll_loss, quantile_loss
from nnkit.nn.loss_functions import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    huber_loss,
    l1_loss,
    mse_loss,
    smooth_l1_loss,
)
from nnkit.nn.margin_losses import (
    hinge_embedding_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    soft_margin_loss,
)
from nnkit.nn.normalization_functions import (
    batch_norm,
    group_norm,
    instance_norm,
    layer_norm,
    local_response_norm,
    rms_norm,
)
from nnkit.nn.overlap_losses import dice_loss, sigmoid_focal_loss
from nnkit.nn.resizing_functions import interpolate, pad, pixel_shuffle, pixel_unshuffle, upsample
from nnkit.nn.windowed_functions import (
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
    fold,
    max_pool1d,
    max_pool2d,
    max_pool3d,
    unfold,
)
from nnkit.ops.docstrings import describe
from nnkit.tensors.creation import arange
from nnkit.tensors.tensor import Tensor

# fmt: off
__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
    "adaptive_max_pool2d", "affine_grid", "avg_pool1d", "avg_pool2d", "avg_pool3d", "batch_norm",
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "celu", "conv1d", "conv2d", "conv3d",
    "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "cosine_embedding_loss", "cosine_similarity",
    "cross_entropy", "ctc_loss", "dice_loss", "dropout", "dropout1d", "dropout2d", "dropout3d", "elu", "embedding",
    "embedding_bag", "fold", "gaussian_nll_loss", "gelu", "glu", "grid_sample", "group_norm", "gumbel_softmax",
    "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "hinge_embedding_loss", "huber_loss", "instance_norm",
    "interpolate", "kl_div", "l1_loss", "layer_norm", "leaky_relu", "linear", "local_response_norm", "log_softmax",
    "logsigmoid", "margin_ranking_loss", "max_pool1d", "max_pool2d", "max_pool3d", "mish", "mse_loss",
    "multi_margin_loss", "multilabel_margin_loss", "multilabel_soft_margin_loss", "nll_loss", "normalize",
    "one_hot", "pad", "pairwise_distance", "pixel_shuffle", "pixel_unshuffle", "poisson_nll_loss", "prelu",
    "quantile_loss", "relu", "relu6", "rms_norm", "rrelu", "scaled_dot_product_attention", "selu", "sigmoid",
    "sigmoid_focal_loss", "silu", "smooth_l1_loss", "soft_margin_loss", "softmax", "softmin", "softplus",
    "softshrink", "softsign", "tanh", "tanhshrink", "threshold", "triplet_margin_loss",
    "triplet_margin_with_distance_loss", "unfold", "upsample",
]


def __dir__() -> list[str]:
    return sorted(__all__)


# fmt: on


# ---- layers -----------------------------------------------------------------------------------------------


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input @ weight.T + bias``: (..., I), (O, I), (O,) -> (..., O).

    Of numbers, which become floats. Raises ShapeError where sizes do not fit. Source: ``torch.nn.functional.linear``.

    >>> import nnkit
    >>> linear(nnkit.tensor([1.0, 2.0]), nnkit.tensor([[3.0, 4.0]]), nnkit.tensor([5.0])).tolist()
    [16.0]
    """
    return ops.linear(input, weight, bias)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Integer labels (...) -> int64 (..., num_classes) of 0 and 1; -1 takes one class more than the largest
    label.

    Raises LabelError for labels that are not integers from 0 to num_classes - 1. Source:
    ``torch.nn.functional.one_hot``.

    >>> import nnkit
    >>> one_hot(nnkit.tensor([2, 0]), 3).tolist()
    [[0, 0, 1], [1, 0, 0]]
    """
    if tensor.dtype.kind not in "iu":
        raise LabelError(f"one_hot expects integer labels, got {tensor.dtype}: convert whole numbers with y.long()")
    if tensor.numel() == 0 and num_classes < 0:
        raise LabelError("one_hot of no labels needs num_classes, the number of classes")
    low, high = (int(tensor.min().item()), int(tensor.max().item())) if tensor.numel() else (0, -1)
    classes = num_classes if num_classes >= 0 else high + 1
    if low < 0 or high >= classes:
        wrong = low if low < 0 else high
        index = tensor.reshape(-1).tolist().index(wrong)
        raise LabelError(f"label {wrong} at index {index} is out of range: one_hot expects 0 to {classes - 1}")
    columns = arange(classes, device=tensor.device)
    return ops.eq(tensor.long().unsqueeze(-1), columns).long()


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """``input`` over its p-norm along ``dim``; a norm below ``eps`` counts as ``eps``.

    A Tensor of numbers, of any shape; the result has it, of floats. Raises ShapeError for an axis that there is not.
    Source: ``torch.nn.functional.normalize``.

    >>> import nnkit
    >>> [round(x, 4) for x in normalize(nnkit.tensor([[3.0, 4.0]])).tolist()[0]]
    [0.6, 0.8]
    """
    return input / ops.clamp(ops.norm(input, p, dim, True), eps)


# ---- activations: one number in, one number out -----------------------------------------------------------


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0).

    >>> import nnkit
    >>> relu(nnkit.tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    return ops.activation(input, "relu")


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where x > 0, else negative_slope x.

    >>> import nnkit
    >>> leaky_relu(nnkit.tensor([-1.0, 2.0]), 0.5).tolist()
    [-0.5, 2.0]
    """
    return ops.activation(input, "leaky_relu", negative_slope=negative_slope)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else alpha (exp(x) - 1).

    >>> import nnkit
    >>> round(elu(nnkit.tensor([-1.0])).item(), 4)
    -0.6321
    """
    return ops.activation(input, "elu", alpha=alpha)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """1.0507 times elu with alpha = 1.6733: keeps mean 0 and variance 1.

    >>> import nnkit
    >>> round(selu(nnkit.tensor([1.0])).item(), 4)
    1.0507
    """
    return ops.activation(input, "selu")


def gelu_formula(approximate: str) -> str:
    """The formula of PyTorch's ``approximate`` argument."""
    formulas = {"none": "gelu", "tanh": "gelu_tanh"}
    if approximate not in formulas:
        raise UnknownNameError("approximation of gelu", approximate, formulas)
    return formulas[approximate]


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x Phi(x); with ``approximate="tanh"`` by the tanh formula.

    >>> import nnkit
    >>> round(gelu(nnkit.tensor([1.0])).item(), 4)
    0.8413
    """
    return ops.activation(input, gelu_formula(approximate))


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x sigmoid(x).

    >>> import nnkit
    >>> round(silu(nnkit.tensor([1.0])).item(), 4)
    0.7311
    """
    return ops.activation(input, "silu")


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x tanh(softplus(x)).

    >>> import nnkit
    >>> round(mish(nnkit.tensor([1.0])).item(), 4)
    0.8651
    """
    return ops.activation(input, "mish")


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-x)).

    >>> import nnkit
    >>> sigmoid(nnkit.tensor([0.0])).tolist()
    [0.5]
    """
    return ops.activation(input, "sigmoid")


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent.

    >>> import nnkit
    >>> tanh(nnkit.tensor([0.0])).tolist()
    [0.0]
    """
    return ops.activation(input, "tanh")


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta x)) / beta; x itself where beta x > threshold.

    >>> import nnkit
    >>> round(softplus(nnkit.tensor([0.0])).item(), 4)
    0.6931
    """
    return ops.activation(input, "softplus", beta=beta, threshold=threshold)


def softsign(input: Tensor) -> Tensor:
    """x / (1 + abs(x)).

    >>> import nnkit
    >>> softsign(nnkit.tensor([-1.0, 3.0])).tolist()
    [-0.5, 0.75]
    """
    return ops.activation(input, "softsign")


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """x held between min_val and max_val.

    >>> import nnkit
    >>> hardtanh(nnkit.tensor([-2.0, 0.5])).tolist()
    [-1.0, 0.5]
    """
    return ops.activation(input, "hardtanh", low=min_val, high=max_val)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """x held between 0 and 6.

    >>> import nnkit
    >>> relu6(nnkit.tensor([-1.0, 8.0])).tolist()
    [0.0, 6.0]
    """
    return ops.activation(input, "relu6")


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """x / 6 + 1/2 held between 0 and 1.

    >>> import nnkit
    >>> hardsigmoid(nnkit.tensor([-4.0, 0.0])).tolist()
    [0.0, 0.5]
    """
    return ops.activation(input, "hard_sigmoid")


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x hardsigmoid(x).

    >>> import nnkit
    >>> hardswish(nnkit.tensor([-4.0, 4.0])).tolist()
    [-0.0, 4.0]
    """
    return ops.activation(input, "hardswish")


# ---- activations of a whole row ---------------------------------------------------------------------------


def softmax(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """exp(x) over its sum along ``dim``, of x as ``dtype`` where given.

    Without ``dim``: PyTorch's choice, after a warning.

    >>> import nnkit
    >>> softmax(nnkit.zeros(1, 4), dim=1).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """
    return ops.softmax(input, _chosen_dim("softmax", input, dim), dtype)


def log_softmax(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """The logarithm of softmax along ``dim``, without overflow; of x as ``dtype`` where given.

    >>> import nnkit
    >>> [round(x, 4) for x in log_softmax(nnkit.zeros(2), dim=0).tolist()]
    [-0.6931, -0.6931]
    """
    return ops.log_softmax(input, _chosen_dim("log_softmax", input, dim), dtype)


def softmin(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """softmax of -x along ``dim``; otherwise like ``softmax``.

    >>> import nnkit
    >>> softmin(nnkit.zeros(2), dim=0).tolist()
    [0.5, 0.5]
    """
    return ops.softmax(-input, _chosen_dim("softmin", input, dim), dtype)


def _chosen_dim(name: str, input: Tensor, dim: int | None) -> int:
    if dim is not None:
        return dim
    chosen = 0 if input.ndim in (0, 1, 3) else 1
    warnings.warn(f"{name} without dim takes dim={chosen} for {input.ndim} dimensions: pass dim", stacklevel=3)
    return chosen


describe(globals(), FUNCTIONS)
