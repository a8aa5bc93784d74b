"""Normalizations as functions: PyTorch's definitions, names and defaults."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nnkit import ops
from nnkit.backends.windows import Window
from nnkit.errors import ShapeError
from nnkit.ops.elementwise import check_float
from nnkit.ops.in_place import move_average
from nnkit.ops.whole_batch import mean_of_batch, normalize_whole
from nnkit.tensors.shares import share_of_statistics
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor

__all__ = ["batch_norm", "group_norm", "instance_norm", "layer_norm", "local_response_norm", "rms_norm"]

#: From 1 to the next number of a type.
SPACING = {"float32": 2.0**-23, "float64": 2.0**-52, "float16": 2.0**-10, "bfloat16": 2.0**-7}


def batch_norm(
    input: Tensor, running_mean: Tensor | None, running_var: Tensor | None, weight: Tensor | None = None,
    bias: Tensor | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """(x - mean) / sqrt(variance + eps) weight + bias for each channel of (B, C, ...).

    In ``training`` the statistics are those of the batch, and ``momentum`` of them goes into the running ones, with the
    variance of a sample (n - 1). Raises ShapeError for a training batch of one value a channel, whose variance is 0.
    Ioffe and Szegedy, Batch Normalization, 2015.

    >>> import nnkit
    >>> batch_norm(nnkit.tensor([[1.0], [3.0]]), None, None, training=True).round(decimals=3).tolist()
    [[-1.0], [1.0]]
    """
    if input.ndim < 2:
        raise ShapeError(f"batch_norm: expected (samples, channels, ...), got {input.shape}")
    B, C, *sizes = input.shape
    x = input.reshape(B, C, math.prod(sizes))
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError("batch_norm: running_mean and running_var are needed unless training=True")
        return ops.normalize_by(x, running_mean, running_var, weight, bias, eps).reshape(*input.shape)
    share = share_of_statistics()
    count = (B if share is None else share.whole) * math.prod(sizes)
    if count == 1:
        raise ShapeError(
            f"batch_norm: expected more than 1 value for each channel in training, got an input of {input.shape}: the "
            "variance would be 0. Use larger batches, drop_last=True, or model.eval()"
        )
    if share is None:
        out, mean, variance = ops.normalize(x, weight, bias, 0, eps)
    else:
        out, mean, variance, count = normalize_whole(x, weight, bias, eps, share)
    with no_grad():
        for running, batch, factor in ((running_mean, mean, 1.0), (running_var, variance, count / max(count - 1, 1))):
            if running is not None:
                move_average(running, batch.to(running.dtype), momentum, factor)
    return out.reshape(*input.shape)


def layer_norm(
    input: Tensor, normalized_shape: int | Sequence[int], weight: Tensor | None = None, bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """Mean 0 and variance 1 over the last axes, of ``normalized_shape``.

    Ba et al., Layer Normalization, 2016.

    >>> import nnkit
    >>> layer_norm(nnkit.tensor([[1.0, 3.0]]), (2,)).round(decimals=3).tolist()
    [[-1.0, 1.0]]
    """
    return _over_last("layer_norm", input, normalized_shape, weight, bias, eps, True)


def rms_norm(
    input: Tensor, normalized_shape: int | Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """x / sqrt(mean of x squared + eps) weight over the last axes; ``eps`` is the type's own where not given.

    Zhang and Sennrich, Root Mean Square Layer Normalization, 2019.

    >>> import nnkit
    >>> rms_norm(nnkit.tensor([[3.0, 4.0]]), (2,)).round(decimals=3)
    tensor([[0.849, 1.131]])
    """
    check_float("rms_norm", input)
    least = SPACING[str(input.dtype)] if eps is None else eps
    return _over_last("rms_norm", input, normalized_shape, weight, None, least, False)


def _over_last(
    name: str, input: Tensor, shape: int | Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float,
    centred: bool,
) -> Tensor:  # fmt: skip
    last = (shape,) if isinstance(shape, int) else tuple(shape)
    if not last or input.shape[-len(last) :] != last:
        raise ShapeError(f"{name}: expected an input of shape (..., {', '.join(map(str, last))}), got {input.shape}")
    for what, given in (("weight", weight), ("bias", bias)):
        if given is not None and given.shape != last:
            raise ShapeError(f"{name}: expected {what} of shape {last}, got {given.shape}")
    count = math.prod(last)
    x = input.reshape(-1 if count else math.prod(input.shape[: -len(last)]), count, 1)
    w, b = (None if given is None else given.reshape(count) for given in (weight, bias))
    return ops.normalize(x, w, b, 1, eps, centred)[0].reshape(*input.shape)


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Mean 0 and variance 1 over equal parts of the channels of each sample: (B, C, ...).

    Wu and He, 2018.

    >>> import nnkit
    >>> group_norm(nnkit.tensor([[1.0, 3.0, 5.0, 5.5]]), 2).round(decimals=2).tolist()
    [[-1.0, 1.0, -1.0, 1.0]]
    """
    if input.ndim < 2 or num_groups < 1 or input.shape[1] % num_groups:
        raise ShapeError(f"group_norm: expected channels in {num_groups} equal groups, got an input of {input.shape}")
    B, C, *sizes = input.shape
    return ops.normalize(input.reshape(B, C, math.prod(sizes)), weight, bias, num_groups, eps)[0].reshape(*input.shape)


def instance_norm(
    input: Tensor, running_mean: Tensor | None = None, running_var: Tensor | None = None, weight: Tensor | None = None,
    bias: Tensor | None = None, use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """Mean 0 and variance 1 for each channel of each sample: (B, C, L...).

    Ulyanov et al., 2016. Raises ShapeError for one place a channel.

    >>> import nnkit
    >>> instance_norm(nnkit.tensor([[[1.0, 3.0]]])).round(decimals=3).tolist()
    [[[-1.0, 1.0]]]
    """
    if input.ndim < 3:
        raise ShapeError(f"instance_norm: expected (samples, channels, places...), got {input.shape}")
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    B, C, *sizes = input.shape
    count = math.prod(sizes)
    if count == 1:
        raise ShapeError(f"instance_norm: expected more than 1 place for each channel, got an input of {input.shape}")
    out, mean, variance = ops.normalize(input.reshape(B, C, count), weight, bias, C, eps)
    with no_grad():
        for running, own, factor in ((running_mean, mean, 1.0), (running_var, variance, count / max(count - 1, 1))):
            if running is not None:
                move_average(running, mean_of_batch(own).to(running.dtype), momentum, factor)
    return out.reshape(*input.shape)


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """x / (k + alpha times the mean square of ``size`` neighbouring channels)**beta.

    Krizhevsky et al., 2012.

    >>> import nnkit
    >>> local_response_norm(nnkit.ones(1, 3, 1), 2, alpha=2.0, beta=1.0).reshape(-1).tolist()
    [0.5, 0.3333333432674408, 0.3333333432674408]
    """
    if input.ndim < 3:
        raise ShapeError(f"local_response_norm: expected (samples, channels, places...), got {input.shape}")
    B, C, *sizes = input.shape
    window = Window((size, 1), (1, 1), ((size // 2, (size - 1) // 2), (0, 0)), (1, 1))
    squares = input.square().reshape(B, 1, C, math.prod(sizes))
    means = ops.sum_pool(squares, window, 1.0 / size).reshape(*input.shape)
    return input / (means * alpha + k) ** beta
