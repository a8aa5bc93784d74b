"""What every initializer is: a callable from a shape to a Tensor. Definitions: ``keras.initializers``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from nnkit.nn.skipping import are_skipped
from nnkit.tensors import random
from nnkit.tensors.creation import empty
from nnkit.tensors.tensor import Tensor


class Initializer:
    """The base class: a callable from a shape to a Tensor.

    With an integer ``seed`` every call gives the same numbers; without, they come from nnkit's random stream,
    which ``keras.utils.set_random_seed`` starts afresh.

    The base itself raises NotImplementedError when it is called. Source: ``keras.initializers.Initializer``.

    >>> class Sevens(Initializer):
    ...     def fill(self, values):
    ...         values.fill_(7.0)
    >>> Sevens()((2,)).tolist()
    [7.0, 7.0]
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Tensor:
        values = empty(*shape, dtype=dtype)
        if are_skipped():
            return values
        if self.seed is None:
            self.fill(values)
        else:
            with random.using(random.Generator(self.seed)):
                self.fill(values)
        return values

    def fill(self, values: Tensor) -> None:
        """Write the first values in place; a subclass defines this."""
        raise NotImplementedError(f"{type(self).__name__} must define fill(self, values)")

    def get_config(self) -> dict[str, Any]:
        """The arguments that rebuild this initializer."""
        return dict(vars(self))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The initializer that ``get_config`` described."""
        return cls(**config)

    def clone(self) -> Self:
        """Another like it."""
        return self.from_config(self.get_config())
