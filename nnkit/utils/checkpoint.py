"""PyTorch's ``utils.checkpoint``, which saves memory by computing twice; here what is checkpointed is computed once.

The results and gradients are the same. The values in between are kept, as anywhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nnkit.recording.observer import call

__all__ = ["checkpoint", "checkpoint_sequential"]


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Any = None,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    **kwargs: Any,
) -> Any:
    """``function(*args, **kwargs)``.

    Nothing is computed twice to save memory. Raises TypeError for what cannot be called. Source:
    ``torch.utils.checkpoint.checkpoint``.

    >>> checkpoint(lambda x: x * x, 3.0, use_reentrant=False)
    9.0
    """
    kwargs.pop("preserve_rng_state", None)
    return call(function, *args, **kwargs)


def checkpoint_sequential(
    functions: Sequence[Callable[..., Any]], segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """Each function on the result of the one before it.

    Nothing is computed twice to save memory. Raises TypeError for what is no sequence. Source:
    ``torch.utils.checkpoint.checkpoint_sequential``.

    >>> checkpoint_sequential([abs, float], 1, -3)
    3.0
    """
    for function in functions:
        input = call(function, input)
    return input
