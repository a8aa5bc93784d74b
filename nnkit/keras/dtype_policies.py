"""The types of computing and of weights, by one name: ``keras.dtype_policies``."""

from __future__ import annotations

from typing import Any

from nnkit.errors import UnknownNameError
from nnkit.keras import config

__all__ = ["DTypePolicy", "get"]

POLICIES = ("float32", "float64", "float16", "bfloat16", "mixed_float16", "mixed_bfloat16")


class DTypePolicy:
    """The types of computing and of weights.

    Raises UnknownNameError for another policy. Source: ``keras.DTypePolicy``.

    >>> policy = DTypePolicy("mixed_bfloat16"); policy.compute_dtype, policy.variable_dtype
    ('bfloat16', 'float32')
    """

    def __init__(self, name: str | None = None) -> None:
        name = config.floatx() if name is None else name
        if name not in POLICIES:
            raise UnknownNameError("policy", name, POLICIES)
        self.name = name
        self.compute_dtype = name.removeprefix("mixed_")
        self.variable_dtype = "float32" if name.startswith("mixed_") else name

    @property
    def precision(self) -> str | None:
        """What ``fit`` is told: the half type of products, or None."""
        return self.compute_dtype if self.name.startswith("mixed_") else None

    def get_config(self) -> dict[str, Any]:
        """The arguments that rebuild it."""
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DTypePolicy:
        """The policy that :meth:`get_config` described."""
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DTypePolicy) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f'<DTypePolicy "{self.name}">'


def get(identifier: Any) -> DTypePolicy:
    """A policy by its name, its configuration or itself; the type of weights for None."""
    if isinstance(identifier, DTypePolicy):
        return identifier
    return DTypePolicy(**identifier["config"]) if isinstance(identifier, dict) else DTypePolicy(identifier)
