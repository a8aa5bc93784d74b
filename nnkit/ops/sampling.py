"""Random draws: by probabilities, of distributions, and in place. PyTorch's names; numbers of nnkit's own streams.

Everything is drawn on the device from the Philox stream of the thread, or of the ``generator`` that is given: the same
on every device but for the last bits of logarithms and cosines. Only ``poisson`` looks at values on the host.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nnkit.backends.recording import recorder
from nnkit.errors import DtypeError, ShapeError
from nnkit.ops import elementwise as e
from nnkit.ops.choice import clamp
from nnkit.ops.in_place import copy_into
from nnkit.ops.promotion import Number, broadcast_shape
from nnkit.ops.reductions import argmax
from nnkit.ops.scanning import cumsum
from nnkit.ops.sorting import topk
from nnkit.tensors import dtypes, random
from nnkit.tensors.creation import empty
from nnkit.tensors.methods import op
from nnkit.tensors.random import Generator
from nnkit.tensors.random_tensors import rand, randint, randn
from nnkit.tensors.tensor import Tensor

#: Half of the distance between two uniform numbers: what stands for 0 where a logarithm is taken.
LEAST = 2.0**-25


def _uniform(like: Tensor) -> Tensor:
    """Uniform numbers in [0, 1) in a tensor's shape, in its type where that is float32 or float64."""
    dtype = like.dtype if like.dtype in (dtypes.float32, dtypes.float64) else dtypes.float32
    return rand(like.shape, dtype=dtype, device=like.device)


def _normal(like: Tensor) -> Tensor:
    dtype = like.dtype if like.dtype in (dtypes.float32, dtypes.float64) else dtypes.float32
    return randn(like.shape, dtype=dtype, device=like.device)


def _exponential(like: Tensor) -> Tensor:
    """Numbers above 0 of the exponential distribution of mean 1."""
    return -e.log1p(-clamp(_uniform(like), min=LEAST))


# ---- by probabilities -----------------------------------------------------------------------------------------------


@op
def bernoulli(input: Tensor, p: Any = None, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that each element is, else 0, in input's type; with ``p``, with that probability.

    Raises ShapeError for probabilities outside of 0 to 1.
    """
    if p is None and not input.is_floating_point():
        raise DtypeError(f"bernoulli: expected float probabilities, got {input.dtype}")
    chance = input if p is None else p
    if isinstance(chance, Number):
        if not 0 <= float(chance) <= 1:
            raise ShapeError(f"p: expected 0 to 1, got {p}")
        chance = float(chance)
    else:
        chance = chance.detach()
        _tested(chance, _are_probabilities)
    with random.using(generator):
        return (_uniform(input) < chance).to(input.dtype)


def _tested(x: Tensor, test: Callable[[np.ndarray], bool]) -> None:
    """Test values on the host, now and in every replay."""
    backend, at_work = x.backend, recorder()
    look: Callable[[Any], bool] = lambda array: test(backend.to_numpy(array))  # noqa: E731
    _ = look(x.array) if at_work is None else at_work.check(x.array, look)


def _are_probabilities(host: np.ndarray) -> bool:
    if host.size and not (host.min() >= 0 and host.max() <= 1):
        raise ShapeError(f"p: expected probabilities from 0 to 1, got from {host.min()} to {host.max()}")
    return True


@op
def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Places drawn with probabilities in proportion to input, a vector or rows: int64 (num_samples,), or one row each.

    Without ``replacement`` no place comes twice. Raises ShapeError for weights that are negative, not finite, or all 0,
    and for more samples than there are weights above 0. Source: ``torch.multinomial``. Weights are floats: DtypeError
    is raised for whole numbers.

    >>> from nnkit import tensor
    >>> multinomial(tensor([0.0, 3.0, 0.0]), 2, replacement=True)
    tensor([1, 1])
    """
    if input.ndim not in (1, 2):
        raise ShapeError(f"multinomial: expected a vector or a matrix, got shape {input.shape}")
    e.check_float("multinomial", input)
    if num_samples < 1 or (not replacement and num_samples > input.shape[-1]):
        raise ShapeError(f"num_samples: expected 1 to {input.shape[-1]} without replacement, got {num_samples}")
    weights = input.detach()
    weights = weights if weights.dtype == dtypes.float64 else weights.to(dtypes.float32)
    needed = 1 if replacement else num_samples
    _tested(weights, lambda host: _are_weights(host, needed))
    with random.using(generator):
        if replacement and num_samples > 1:
            return _drawn_again_and_again(weights, num_samples)
        # A race of exponential times, each as fast as its weight: the first to arrive.
        speed = weights / _exponential(weights)
    if num_samples == 1:
        return argmax(speed, -1, keepdim=True)
    return topk(speed, num_samples, -1).indices


def _are_weights(host: np.ndarray, needed: int) -> bool:
    if not host.size:
        return True
    if not (host.min() >= 0 and host.max() < math.inf):
        raise ShapeError("multinomial: expected weights of 0 or more, none of them infinite or NaN")
    if (host > 0).sum(-1).min() < needed:
        raise ShapeError(f"multinomial: expected at least {needed} weights above 0 in each row")
    return True


def _drawn_again_and_again(weights: Tensor, count: int) -> Tensor:
    backend = weights.backend
    ends = cumsum(weights, -1)
    whole = ends.amax(-1, keepdim=True)
    wanted = rand((*weights.shape[:-1], count), dtype=weights.dtype, device=weights.device) * whole
    places = backend.empty(wanted.shape, dtypes.int64)
    backend.search(ends.array, wanted.array, True, places)
    # Rounding may bring a draw to the very end: the last weight above 0 is meant.
    last = argmax(ends, -1, keepdim=True)
    return Tensor(places, backend).minimum(last)


# ---- of distributions -----------------------------------------------------------------------------------------------


@op
def normal(
    mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, generator: Generator | None = None, dtype: Any = None,
    device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Normal numbers: of the shape that mean and std, tensors or numbers, broadcast to; or of ``size``, for numbers.

    The result is off the tape. Raises ShapeError for a std below 0. It is float32 unless ``dtype`` is given. Source:
    ``torch.normal``.
    """
    tensors = [value for value in (mean, std) if isinstance(value, Tensor)]
    if isinstance(std, Number) and not float(std) >= 0:
        raise ShapeError(f"std: expected 0 or more, got {std}")
    if tensors and size is not None:
        raise ShapeError("size: expected none beside a mean or std that is a tensor, which has a shape of its own")
    with random.using(generator):
        if not tensors:
            z = randn(() if size is None else tuple(size), dtype=dtype, device=device)
            return (z * float(std) + float(mean)).detach().requires_grad_(requires_grad)
        e.check_float("mean" if isinstance(mean, Tensor) else "std", tensors[0])
        sizes = broadcast_shape("normal", *tensors)
        z = _normal(empty(sizes, dtype=tensors[0].dtype, device=tensors[0].device))
        means, deviations = (v.detach() if isinstance(v, Tensor) else float(v) for v in (mean, std))
        return (z * deviations + means).to(tensors[0].dtype).requires_grad_(requires_grad)


@op
def poisson(input: Tensor, *, generator: Generator | None = None) -> Tensor:
    """Whole numbers of the Poisson distributions whose means are the elements, in input's type.

    By the inverse of the distribution function, as the sum of several draws where a mean is above 30.
    """
    e.check_float("poisson", input)
    rate = input.detach()
    most = float(rate.max()) if rate.numel() else 0.0
    if rate.numel() and not float(rate.min()) >= 0:
        raise ShapeError(f"poisson: expected means of 0 or more, got {float(rate.min())}")
    draws = max(1, math.ceil(most / 30.0))
    share = (rate / draws).to(dtypes.float64)
    total = share * 0.0
    with random.using(generator):
        for _ in range(draws):
            total = total + _poisson_below_30(share, most / draws)
    return total.to(input.dtype)


def _poisson_below_30(rate: Tensor, most: float) -> Tensor:
    u = rand(rate.shape, dtype=dtypes.float64, device=rate.device)
    probability = e.exp(-rate)
    below, count = probability, rate * 0.0
    for k in range(1, math.ceil(most + 12.0 * math.sqrt(most) + 20.0)):
        count = count + (u >= below)
        probability = probability * rate / k
        below = below + probability
    return count


def randint_like(
    input: Tensor, low: int, high: int | None = None, *, dtype: Any = None, device: Any = None,
    generator: Generator | None = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Whole numbers from low to high - 1 in the shape, type and device of input: see ``randint``.

    Its dtype is input's unless given. Raises ShapeError where there is no such number, TypeError where input is no
    Tensor. As ``torch.randint_like``.
    """
    low, high = (0, low) if high is None else (low, high)
    return randint(
        low, high, input.shape, dtype=dtype or input.dtype, device=device or input.device, generator=generator,
        requires_grad=requires_grad,
    )  # fmt: skip


# ---- in place -------------------------------------------------------------------------------------------------------


def _float_like(name: str, x: Tensor) -> None:
    if not x.is_floating_point():
        raise DtypeError(f"{name}: expected a float tensor, got {x.dtype}; convert it with .float()")


@op
def normal_in(x: Tensor, mean: float = 0, std: float = 1, *, generator: Generator | None = None) -> Tensor:
    """x becomes normal numbers.

    x is a float Tensor of any shape, which changes in place and is returned. Raises DtypeError for whole numbers,
    ShapeError for std below 0. Source: ``torch.Tensor.normal_``.

    >>> import nnkit
    >>> nnkit.zeros(2).normal_(5.0, 0.0)
    tensor([5., 5.])
    """
    _float_like("normal_", x)
    if not float(std) >= 0:
        raise ShapeError(f"std: expected 0 or more, got {std}")
    with random.using(generator):
        return copy_into(x, _normal(x) * float(std) + float(mean))


@op
def uniform_in(
    x: Tensor, from_: float = 0, to: float = 1, *, generator: Generator | None = None, **named: Any
) -> Tensor:
    """x becomes uniform numbers in [from, to); ``from``, a word of Python's, comes by position or in **options.

    x is a float Tensor of any shape, which changes in place and is returned. Raises DtypeError for whole numbers,
    ShapeError where from is above to, TypeError for an unknown argument. Source: ``torch.Tensor.uniform_``.

    >>> import nnkit
    >>> nnkit.zeros(2).uniform_(3.0, 3.0)
    tensor([3., 3.])
    """
    _float_like("uniform_", x)
    low = named.pop("from", from_)
    if named:
        raise TypeError(f"uniform_: unknown arguments {', '.join(named)}")
    if low > to:
        raise ShapeError(f"to: expected at least from = {low}, got {to}")
    with random.using(generator):
        return copy_into(x, _uniform(x) * (to - low) + low)


@op
def bernoulli_in(x: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """x becomes 1 with probability p, a number or a tensor, else 0.

    x is a Tensor of any shape and dtype, which changes in place and is returned; p broadcasts with it. Raises
    ShapeError for a p outside of 0 to 1. Source: ``torch.Tensor.bernoulli_``.

    >>> import nnkit
    >>> nnkit.zeros(2).bernoulli_(1.0)
    tensor([1., 1.])
    """
    return copy_into(x, bernoulli(x.detach(), p, generator=generator))


@op
def exponential_in(x: Tensor, lambd: float = 1, *, generator: Generator | None = None) -> Tensor:
    """x becomes numbers of the exponential distribution of mean 1 / lambd.

    x is a float Tensor of any shape, which changes in place and is returned. Raises DtypeError for whole numbers,
    ShapeError for lambd of 0 or less. Source: ``torch.Tensor.exponential_``.

    >>> import nnkit
    >>> bool((nnkit.zeros(9).exponential_() >= 0).all())
    True
    """
    _float_like("exponential_", x)
    if not lambd > 0:
        raise ShapeError(f"lambd: expected a number above 0, got {lambd}")
    with random.using(generator):
        return copy_into(x, _exponential(x) / lambd)


@op
def log_normal_in(x: Tensor, mean: float = 1, std: float = 2, *, generator: Generator | None = None) -> Tensor:
    """x becomes numbers whose logarithms are normal, with this mean and deviation.

    x is a float Tensor of any shape, which changes in place and is returned. Raises DtypeError for whole numbers.
    Source: ``torch.Tensor.log_normal_``.

    >>> import nnkit
    >>> nnkit.zeros(2).log_normal_(0.0, 0.0)
    tensor([1., 1.])
    """
    _float_like("log_normal_", x)
    with random.using(generator):
        return copy_into(x, e.exp(_normal(x) * std + mean))


@op
def cauchy_in(x: Tensor, median: float = 0, sigma: float = 1, *, generator: Generator | None = None) -> Tensor:
    """x becomes numbers of the Cauchy distribution.

    x is a float Tensor of any shape, which changes in place and is returned. Raises DtypeError for whole numbers.
    Source: ``torch.Tensor.cauchy_``.

    >>> import nnkit
    >>> nnkit.zeros(2).cauchy_(3.0, 0.0)
    tensor([3., 3.])
    """
    _float_like("cauchy_", x)
    with random.using(generator):
        angle = (clamp(_uniform(x), min=LEAST) - 0.5) * math.pi
        return copy_into(x, e.sin(angle) / e.cos(angle) * sigma + median)


@op
def geometric_in(x: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """x becomes the number of tries to the first success, of probability p: 1, 2, …

    x is a Tensor of any shape and of floats or whole numbers, which changes in place and is returned. Raises ShapeError
    for a p that is not between 0 and 1. Source: ``torch.Tensor.geometric_``.

    >>> import nnkit
    >>> bool((nnkit.zeros(9).geometric_(0.5) >= 1).all())
    True
    """
    if not 0 < p < 1:
        raise ShapeError(f"p: expected a number between 0 and 1, got {p}")
    with random.using(generator):
        tries = -e.floor(_exponential(x) / math.log1p(-p))
        return copy_into(x, clamp(tries, min=1).to(x.dtype))


#: The greatest whole number up to which a float type has all.
WHOLE = {"float16": 2**11, "bfloat16": 2**8, "float32": 2**24, "float64": 2**53}


@op
def random_in(
    x: Tensor, from_: int | None = None, to: int | None = None, *, generator: Generator | None = None, **named: Any
) -> Tensor:
    """x becomes whole numbers from ``from`` to ``to`` - 1, or from 0 on all that its type holds; one bound is to.

    x is a Tensor of any shape and dtype, which changes in place and is returned. Raises ShapeError where there is no
    such number, TypeError for an unknown argument. Source: ``torch.Tensor.random_``.

    >>> import nnkit
    >>> nnkit.zeros(2).random_(3, 4)
    tensor([3., 3.])
    """
    low = named.pop("from", from_)
    if named:
        raise TypeError(f"random_: unknown arguments {', '.join(named)}")
    if to is None and low is not None:
        low, to = 0, low
    if to is None:
        if x.dtype == dtypes.bool_:
            to = 2
        else:
            to = WHOLE[x.dtype.name] + 1 if x.is_floating_point() else min(int(np.iinfo(x.dtype).max), 2**63 - 2) + 1
    drawn = randint(0 if low is None else low, to, x.shape, device=x.device, generator=generator)
    return copy_into(x, drawn.to(x.dtype))
