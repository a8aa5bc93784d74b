"""A fully connected layer that learns the number of its inputs from the first of them."""

from __future__ import annotations

from typing import Any

from nnkit.creation import empty
from nnkit.errors import ShapeError
from nnkit.nn.linear import Linear
from nnkit.nn.module import Module
from nnkit.nn.sizes import positive
from nnkit.tensor import Parameter, Tensor

__all__ = ["LazyLinear"]


class LazyLinear(Module):
    """A ``Linear`` whose ``in_features`` are those of its first input, by which it becomes one.

    Until then its parameters have no elements. They stay the same objects, so an optimizer may be made before.

    >>> import nnkit
    >>> layer = LazyLinear(2)
    >>> layer(nnkit.zeros(5, 3)).shape, layer
    ((5, 2), Linear(in_features=3, out_features=2, bias=True))
    """

    def __init__(self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.in_features, self.out_features = 0, positive("out_features", out_features)
        self.weight = Parameter(empty(0, device=device, dtype=dtype))
        self.register_parameter("bias", Parameter(empty(0, device=device, dtype=dtype)) if bias else None)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in_features) -> (..., out_features)."""
        if x.ndim == 0 or not x.shape[-1]:
            raise ShapeError(f"LazyLinear expects features in the last dimension of its input, got shape {x.shape}")
        self._become(x.shape[-1])
        return self.forward(x)

    def _become(self, in_features: int) -> None:
        known = {name: self._parameters[name] for name in ("weight", "bias")}
        kept = {name: self.__dict__[name] for name in ("_forward_hooks", "_forward_pre_hooks", "_training")}
        place, dtype = self.weight.device, self.weight.dtype
        self.__class__ = Linear  # type: ignore[assignment]
        Linear.__init__(self, in_features, self.out_features, known["bias"] is not None, place, dtype)  # type: ignore[arg-type]
        for name, parameter in known.items():
            if parameter is not None:
                parameter.data = getattr(self, name).detach()
                setattr(self, name, parameter)
        self.__dict__.update(kept)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
