"""The fully connected layer, and the layers that change shape or drop elements."""

from __future__ import annotations

import math
from typing import Any

from nnkit import ops
from nnkit.errors import DtypeError, ShapeError
from nnkit.nn import activations, functional, init
from nnkit.nn.dropout_functions import check_probability
from nnkit.nn.module import Module
from nnkit.nn.regularizers import L1L2
from nnkit.nn.sizes import positive
from nnkit.recording.observer import call
from nnkit.tensors.creation import empty
from nnkit.tensors.tensor import Parameter, Tensor

__all__ = ["Dropout", "Flatten", "Identity", "Linear", "Reshape", "Unflatten"]


class Linear(Module):
    """``activation(x @ weight.T + bias)``: x (..., in_features) -> (..., out_features), as PyTorch's Linear.

    ``weight`` (out_features, in_features) and ``bias`` (out_features,) start uniform in +-1/sqrt(in_features). Beyond
    PyTorch: ``activation`` is a name, a function or a Module; ``l1`` and ``l2`` weigh a penalty on ``weight``
    (``Module.penalty``). Raises ShapeError where x has another number of features. Parameters are float32 unless
    ``dtype`` is given.

    >>> import nnkit
    >>> Linear(3, 2, activation="relu")(nnkit.zeros(5, 3)).shape
    (5, 2)
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        activation: Any = None,
        l1: float = 0.0,
        l2: float = 0.0,
    ) -> None:
        super().__init__()
        self.in_features = positive("in_features", in_features)
        self.out_features = positive("out_features", out_features)
        shape = (self.out_features, self.in_features)
        self.weight = Parameter(empty(shape, device=device, dtype=dtype))
        self.register_parameter("bias", Parameter(empty(shape[:1], device=device, dtype=dtype)) if bias else None)
        if activation is not None:
            activations.get(activation)  # An unknown name is an error now, not at the first call.
        self.activation = activation
        self.l1, self.l2 = l1, l2
        if l1 or l2:
            self.regularizers["weight"] = L1L2(l1, l2)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values (PyTorch's default: Kaiming uniform with a = sqrt(5))."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5.0))
        if self.bias is not None:
            bound = 1.0 / math.sqrt(self.in_features)
            init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in_features) -> (..., out_features)."""
        return self.activated(x, self.activation)

    def activated(self, x: Tensor, activation: Any) -> Tensor:
        """The layer with ``activation`` in place of its own, fused with the product if it has a formula."""
        if not isinstance(x, Tensor):
            raise DtypeError(
                f"{self!r} expects a Tensor, got {type(x).__name__}: use nnkit.as_tensor, or model.predict"
            )
        if x.ndim == 0 or x.shape[-1] != self.in_features:
            features = x.shape[-1] if x.ndim else "none"
            raise ShapeError(
                f"{self!r} expects {self.in_features} features in the last dimension of its input, "
                f"got {features} (input of shape {x.shape})"
            )
        if activation is None:
            return ops.linear(x, self.weight, self.bias)
        fused = activations.fused_formula(activation)
        if fused is None:
            return call(activations.get(activation), ops.linear(x, self.weight, self.bias))
        formula, scalars = fused
        return ops.linear(x, self.weight, self.bias, activation=formula, **scalars)

    def extra_repr(self) -> str:
        text = f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
        if self.activation is not None and not isinstance(self.activation, Module):
            text += f", activation={getattr(self.activation, '__name__', None) or repr(self.activation)}"
        return text + "".join(f", {name}={value}" for name in ("l1", "l2") if (value := getattr(self, name)))


class Identity(Module):
    """Returns its input; accepts and ignores any arguments, as PyTorch's.

    Of any shape and dtype. Never raises.

    >>> import nnkit
    >>> Identity()(nnkit.tensor([1.0])).tolist()
    [1.0]
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x


class Flatten(Module):
    """Joins dimensions ``start_dim`` to ``end_dim`` (both included) into one; the default keeps the batch.

    Input and result are of one dtype. Raises ShapeError, when it is called, for an axis that it does not have. As
    ``torch.nn.Flatten``.

    >>> import nnkit
    >>> Flatten()(nnkit.zeros(5, 2, 3)).shape
    (5, 6)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, x: Tensor) -> Tensor:
        return ops.flatten(x, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Splits dimension ``dim`` into ``unflattened_size``, of which one may be -1.

    Input and result are of one dtype. Raises ShapeError, when it is called, where the sizes do not fit. As
    ``torch.nn.Unflatten``.

    >>> import nnkit
    >>> Unflatten(1, (2, 3))(nnkit.zeros(5, 6)).shape
    (5, 2, 3)
    """

    def __init__(self, dim: int, unflattened_size: tuple[int, ...]) -> None:
        super().__init__()
        self.dim = dim
        self.unflattened_size = tuple(unflattened_size)

    def forward(self, x: Tensor) -> Tensor:
        dim = self.dim % x.ndim if x.ndim else 0
        return x.reshape(*x.shape[:dim], *self.unflattened_size, *x.shape[dim + 1 :])

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class Reshape(Module):
    """Gives every sample the shape ``shape`` and keeps the batch, as Keras's Reshape; one size may be -1.

    Input and result are of one dtype. Raises ShapeError, when it is called, where the number of elements is another.

    >>> import nnkit
    >>> Reshape((2, 3))(nnkit.zeros(5, 6)).shape
    (5, 2, 3)
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], *self.shape)

    def extra_repr(self) -> str:
        return f"shape={self.shape}"


class Dropout(Module):
    """In training, zeroes each element with probability ``p`` and multiplies the rest by 1/(1-p).

    In evaluation it returns its input. Srivastava et al., Dropout, 2014. Raises ValueError unless 0 <= p <=
    1.

    >>> import nnkit
    >>> Dropout(0.5).eval()(nnkit.ones(3)).tolist()
    [1.0, 1.0, 1.0]
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        check_probability(p)
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace=False"
