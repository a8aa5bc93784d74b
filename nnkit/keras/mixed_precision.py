"""Mixed precision in Keras's words: a policy for the process, over ``nnkit.amp``. ``keras.mixed_precision``.

"mixed_bfloat16" and "mixed_float16" round the operands of products to the half type and keep weights and all else in
float32: what Keras's layers compute in the half type stays float32 here.
"""

from __future__ import annotations

from typing import Any

from nnkit.keras import config
from nnkit.keras.dtype_policies import DTypePolicy
from nnkit.keras.optimizers import Optimizer

__all__ = [
    "DTypePolicy",
    "LossScaleOptimizer",
    "Policy",
    "dtype_policy",
    "global_policy",
    "set_dtype_policy",
    "set_global_policy",
]

Policy = DTypePolicy
_global: list[DTypePolicy | None] = [None]


def dtype_policy() -> DTypePolicy:
    """The policy of new models: that of ``floatx`` unless set.

    Source: ``keras.config.dtype_policy``.

    >>> dtype_policy().name
    'float32'
    """
    return _global[0] or DTypePolicy(config.floatx())


def set_dtype_policy(policy: Any) -> None:
    """Set the policy of training from now on: a name, or a policy.

    A policy without "mixed_" sets ``floatx`` too. Raises UnknownNameError (a ValueError) for another name. Source:
    ``keras.config.set_dtype_policy``.

    >>> set_dtype_policy("mixed_bfloat16"); dtype_policy().compute_dtype
    'bfloat16'
    >>> set_dtype_policy("float32")
    """
    found = policy if isinstance(policy, DTypePolicy) else DTypePolicy(policy)
    _global[0] = found
    config.set_floatx(found.variable_dtype)
    config.set_half_type(found.precision)


global_policy, set_global_policy = dtype_policy, set_dtype_policy


def LossScaleOptimizer(
    inner_optimizer: Any, initial_scale: float = 2.0**15, dynamic_growth_steps: int = 2000, name: str | None = None,
    **ignored: Any,
) -> Optimizer:  # fmt: skip
    """The optimizer itself: ``fit`` scales losses by itself where the policy is "mixed_float16".

    Raises TypeError for what is no optimizer. Source: ``keras.optimizers.LossScaleOptimizer``.

    >>> from nnkit.keras.optimizers import SGD
    >>> LossScaleOptimizer(SGD(0.1)).learning_rate
    0.1
    """
    if not isinstance(inner_optimizer, Optimizer):
        raise TypeError(f"LossScaleOptimizer: expected an optimizer, got {type(inner_optimizer).__name__}")
    return inner_optimizer
