"""Normalizations with Keras's arguments, defaults and weights. Definitions: ``keras.layers.BatchNormalization``, ..."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Unpack

from nnkit import ops
from nnkit.errors import ShapeError
from nnkit.keras import constraints, initializers, regularizers
from nnkit.keras.arguments import refuse
from nnkit.keras.layer import LayerOptions, SameShape, Shape
from nnkit.keras.naming import configured
from nnkit.nn import functional
from nnkit.ops.in_place import move_average
from nnkit.ops.whole_batch import normalize_whole, sum_of_batch
from nnkit.tensors.shares import share_of_statistics
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor

__all__ = [
    "BatchNormalization",
    "GroupNormalization",
    "LayerNormalization",
    "RMSNormalization",
    "UnitNormalization",
]

Axes = int | Sequence[int]


def axes_of(layer: SameShape, axis: Axes, ndim: int) -> tuple[int, ...]:
    """The axes counted from the front, in order. Raises ShapeError for one that there is not.

    >>> axes_of(UnitNormalization(), (-1, 1), 4)
    (1, 3)
    """
    given = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    if any(not -ndim <= k < ndim for k in given):
        raise ShapeError(
            f"{type(layer).__name__} layer {layer.name!r}: axis {axis} is none of the {ndim} axes of its input"
        )
    return tuple(sorted(k % ndim for k in given))


def sizes_along(layer: SameShape, axis: Axes, shape: Shape) -> tuple[int, ...]:
    """The sizes of the axes that weights are made for. Raises ShapeError where one is not known."""
    sizes = tuple(shape[k] for k in axes_of(layer, axis, len(shape)))
    if None in sizes:
        raise ShapeError(
            f"{type(layer).__name__} layer {layer.name!r} needs the size of axis {axis}; got inputs of shape {shape}"
        )
    return tuple(n for n in sizes if n is not None)


#: What keeps a mean over nothing from being one divided by 0 (``keras.config.epsilon``).
EPSILON = 1e-7


class _Scaled(SameShape):
    """A normalization that may multiply by ``gamma`` (where ``scale``) and add ``beta`` (where ``center``)."""

    supports_masking = True

    gamma: Tensor | None
    beta: Tensor | None

    def __init__(
        self, axis: Axes = -1, epsilon: float = 1e-3, center: bool = True, scale: bool = True,
        beta_initializer: Any = "zeros", gamma_initializer: Any = "ones", beta_regularizer: Any = None,
        gamma_regularizer: Any = None, beta_constraint: Any = None, gamma_constraint: Any = None,
        **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(**options)
        self.axis: Any = list(axis) if isinstance(axis, (tuple, list)) else axis
        self.epsilon, self.center, self.scale = epsilon, center, scale
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)

    def build(self, input_shape: Shape) -> None:
        shape = sizes_along(self, self.axis, input_shape)
        for name, wanted in (("gamma", self.scale), ("beta", self.center)):
            if wanted:
                initializer, penalty = (getattr(self, f"{name}_{what}") for what in ("initializer", "regularizer"))
                limit = getattr(self, f"{name}_constraint")
                self.add_weight(shape, initializer, regularizer=penalty, constraint=limit, name=name)
            else:
                self.register_parameter(name, None)

    def get_config(self) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in ("axis", "epsilon", "center", "scale")}
        made = [f"{name}_{what}" for name in ("beta", "gamma") for what in ("initializer", "regularizer", "constraint")]
        return {**super().get_config(), **plain, **{name: configured(getattr(self, name)) for name in made}}


class BatchNormalization(_Scaled):
    """Mean 0 and variance 1 for each place along ``axis``, over all other axes; then times gamma, plus beta.

    In training the statistics are those of the batch, and ``moving_mean`` and ``moving_variance`` become ``momentum``
    times themselves plus ``1 - momentum`` times these, the variance being the population's (PyTorch's is a sample's).
    Else, and where the layer is not ``trainable``, they are the moving ones. Ioffe and Szegedy, 2015.

    Args:
        axis: the axis of the channels; 1 for ``data_format="channels_first"``.
        momentum: what is kept of the moving statistics at each step.
        epsilon: added to the variance.
        center, scale: whether there are beta and gamma.
        beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer: the first values.
        beta_regularizer, gamma_regularizer: names, regularizers, or None.
        beta_constraint, gamma_constraint: names, constraints, or None.
        synchronized, renorm: not supported; True is refused.
        options: ``name``, ``trainable``, ``input_shape``.

    >>> layer = BatchNormalization(epsilon=0.0)
    >>> layer([[1.0], [3.0]], training=True).tolist(), layer.moving_variance.round(decimals=2).tolist()
    ([[-1.0], [1.0]], [1.0])
    """

    moving_mean: Tensor
    moving_variance: Tensor

    def __init__(
        self, axis: int = -1, momentum: float = 0.99, epsilon: float = 1e-3, center: bool = True, scale: bool = True,
        beta_initializer: Any = "zeros", gamma_initializer: Any = "ones", moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones", beta_regularizer: Any = None, gamma_regularizer: Any = None,
        beta_constraint: Any = None, gamma_constraint: Any = None, synchronized: bool = False, renorm: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(
            axis, epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer,
            beta_constraint, gamma_constraint, **options,
        )  # fmt: skip
        refuse("BatchNormalization", synchronized=synchronized or None, renorm=renorm or None)
        if not isinstance(axis, int):
            raise TypeError(f"BatchNormalization: axis must be one whole number; got {axis!r}")
        if not 0.0 <= momentum <= 1.0:
            raise ValueError(f"BatchNormalization: momentum must be from 0 to 1; got {momentum!r}")
        self.momentum = momentum
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)

    def build(self, input_shape: Shape) -> None:
        super().build(input_shape)
        shape = sizes_along(self, self.axis, input_shape)
        self.add_weight(shape, self.moving_mean_initializer, trainable=False, name="moving_mean")
        self.add_weight(shape, self.moving_variance_initializer, trainable=False, name="moving_variance")

    def call(self, inputs: Tensor, training: bool = False, mask: Tensor | None = None) -> Tensor:
        (axis,) = axes_of(self, self.axis, inputs.ndim)
        if axis == 0:
            raise ShapeError(f"BatchNormalization layer {self.name!r}: axis 0 is that of the samples")
        if inputs.shape[axis] != self.moving_mean.shape[0]:
            raise ShapeError(
                f"BatchNormalization layer {self.name!r} was built for {self.moving_mean.shape[0]} channels in axis "
                f"{self.axis}; got inputs of shape {inputs.shape}"
            )
        if mask is not None and training and self.trainable:
            return self._of_what_counts(inputs, axis, mask)
        if axis == inputs.ndim - 1:  # rows of channels, as they lie
            rows = inputs.reshape(math.prod(inputs.shape[:-1]), inputs.shape[-1])
            return self._normalized(rows, training).reshape(*inputs.shape)
        planes, back = _in_planes(inputs, axis)
        return self._normalized(planes, training).permute(*back)

    def _of_what_counts(self, x: Tensor, axis: int, mask: Tensor) -> Tensor:
        """By the statistics of the steps that a mask holds for, which has all axes but the last."""
        if mask.ndim != x.ndim - 1:
            raise ShapeError(f"BatchNormalization layer {self.name!r}: a mask of {mask.shape} beside inputs {x.shape}")
        held, others = mask.unsqueeze(-1).expand(x.shape), [k for k in range(x.ndim) if k != axis]
        whole = sum_of_batch()
        count = whole(held.to(x.dtype).sum(others, keepdim=True)) + EPSILON
        mean = whole(ops.where(held, x, 0.0).sum(others, keepdim=True)) / count
        variance = whole(ops.square(ops.where(held, x - mean, 0.0)).sum(others, keepdim=True)) / count
        with no_grad():
            for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
                move_average(moving, batch.detach().reshape(moving.shape).to(moving.dtype), 1.0 - self.momentum)
        out = (x - mean) * ops.rsqrt(variance + self.epsilon)
        out = out if self.gamma is None else out * self.gamma.reshape(mean.shape)
        return out if self.beta is None else out + self.beta.reshape(mean.shape)

    def _normalized(self, x: Tensor, training: bool) -> Tensor:
        part = x.reshape(x.shape[0], x.shape[1], math.prod(x.shape[2:]))
        if not (training and self.trainable):
            statistics = self.moving_mean, self.moving_variance
            return ops.normalize_by(part, *statistics, self.gamma, self.beta, self.epsilon).reshape(*x.shape)
        share = share_of_statistics()
        if share is None:
            out, mean, variance = ops.normalize(part, self.gamma, self.beta, 0, self.epsilon)
        else:
            out, mean, variance, _ = normalize_whole(part, self.gamma, self.beta, self.epsilon, share)
        with no_grad():
            for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
                move_average(moving, batch.to(moving.dtype), 1.0 - self.momentum)
        return out.reshape(*x.shape)

    def get_config(self) -> dict[str, Any]:
        made = ("moving_mean_initializer", "moving_variance_initializer")
        own = {"momentum": self.momentum, **{name: configured(getattr(self, name)) for name in made}}
        return {**super().get_config(), **own}


def _in_planes(x: Tensor, axis: int) -> tuple[Tensor, list[int]]:
    """``x`` as (B, C, …), each channel's places together in memory, and the order of axes that undoes it.

    A copy, unless they lie so.
    """
    order = [0, axis, *(k for k in range(1, x.ndim) if k != axis)]
    return x.permute(*order).contiguous(), [order.index(k) for k in range(x.ndim)]


def _over_last(x: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, list[int]]:
    """``x`` with these axes last, in order in memory, and the order of axes that undoes it: a copy, unless they are."""
    order = [k for k in range(x.ndim) if k not in axes] + list(axes)
    return x.permute(*order).contiguous(), [order.index(k) for k in range(x.ndim)]


class LayerNormalization(_Scaled):
    """Mean 0 and variance 1 over ``axis`` of each sample, or over several axes; then times gamma, plus beta.

    Ba et al., Layer Normalization, 2016. The arguments are those of ``BatchNormalization``.

    >>> LayerNormalization(epsilon=0.0)([[1.0, 3.0], [4.0, 4.5]]).tolist()
    [[-1.0, 1.0], [-1.0, 1.0]]
    """

    def call(self, inputs: Tensor) -> Tensor:
        axes = axes_of(self, self.axis, inputs.ndim)
        x, back = _over_last(inputs, axes)
        shape = x.shape[-len(axes) :]
        return functional.layer_norm(x, shape, self.gamma, self.beta, self.epsilon).permute(*back)


class GroupNormalization(_Scaled):
    """Mean 0 and variance 1 over equal parts of the channels of each sample; then times gamma, plus beta.

    Args:
        groups: how many parts; -1 makes each channel a part of its own.
        axis: the axis of the channels.
        epsilon, center, scale and the others: as in ``BatchNormalization``.

    Wu and He, Group Normalization, 2018.

    >>> GroupNormalization(2, epsilon=0.0)([[1.0, 3.0, 5.0, 5.5]]).tolist()
    [[-1.0, 1.0, -1.0, 1.0]]
    """

    def __init__(
        self, groups: int = 32, axis: int = -1, epsilon: float = 1e-3, center: bool = True, scale: bool = True,
        beta_initializer: Any = "zeros", gamma_initializer: Any = "ones", beta_regularizer: Any = None,
        gamma_regularizer: Any = None, beta_constraint: Any = None, gamma_constraint: Any = None,
        **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(
            axis, epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer,
            beta_constraint, gamma_constraint, **options,
        )  # fmt: skip
        if isinstance(groups, bool) or not isinstance(groups, int) or (groups < 1 and groups != -1):
            raise ValueError(f"GroupNormalization: groups must be a positive integer, or -1; got {groups!r}")
        self.groups = groups

    def build(self, input_shape: Shape) -> None:
        (channels,) = sizes_along(self, self.axis, input_shape)
        if self.groups != -1 and channels % self.groups:
            raise ShapeError(
                f"GroupNormalization layer {self.name!r}: {channels} channels are not {self.groups} equal groups; "
                "use a number of groups that divides them"
            )
        super().build(input_shape)

    def call(self, inputs: Tensor) -> Tensor:
        (axis,) = axes_of(self, self.axis, inputs.ndim)
        x, back = _in_planes(inputs, axis)
        groups = x.shape[1] if self.groups == -1 else self.groups
        return functional.group_norm(x, groups, self.gamma, self.beta, self.epsilon).permute(*back)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "groups": self.groups}


class RMSNormalization(SameShape):
    """x / sqrt(mean of x squared + epsilon) times the weight ``scale``, over ``axis`` (Zhang and Sennrich, 2019).

    >>> RMSNormalization(epsilon=0.0)([[1.0, -1.0, 7.0, 7.0]]).tolist()
    [[0.20000000298023224, -0.20000000298023224, 1.399999976158142, 1.399999976158142]]
    """

    supports_masking = True

    scale: Tensor

    def __init__(self, axis: Axes = -1, epsilon: float = 1e-6, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.axis: Any = list(axis) if isinstance(axis, (tuple, list)) else axis
        self.epsilon = epsilon

    def build(self, input_shape: Shape) -> None:
        self.add_weight(sizes_along(self, self.axis, input_shape), "ones", name="scale")

    def call(self, inputs: Tensor) -> Tensor:
        axes = axes_of(self, self.axis, inputs.ndim)
        x, back = _over_last(inputs, axes)
        return functional.rms_norm(x, x.shape[-len(axes) :], self.scale, self.epsilon).permute(*back)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis, "epsilon": self.epsilon}


class UnitNormalization(SameShape):
    """x divided by the square root of its sum of squares along ``axis``; 0 stays 0.

    >>> UnitNormalization()([[3.0, 4.0], [0.0, 0.0]]).round(decimals=4).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """

    supports_masking = True

    def __init__(self, axis: Axes = -1, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.axis: Any = list(axis) if isinstance(axis, (tuple, list)) else axis

    def call(self, inputs: Tensor) -> Tensor:
        axes = axes_of(self, self.axis, inputs.ndim)
        squares = ops.sum(inputs.square(), axes, keepdim=True)
        return inputs / ops.sqrt(ops.clamp(squares, min=1e-24))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}
