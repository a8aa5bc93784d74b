"""What belongs to a graph of symbolic placeholders: refused by name, with what to use instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def _refused(name: str, instead: str) -> Callable[..., Any]:
    def function(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"keras.backend.{name} belongs to graphs of placeholders: {instead}")

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""Refused: {instead}.

    Raises NotImplementedError. Source: ``keras.backend.{name}`` of older Keras.

    >>> {name}()
    Traceback (most recent call last):
    NotImplementedError: ...
    """
    return function


function = _refused("function", "make a Model(inputs, outputs), and call it")
gradients = _refused("gradients", "use nnkit.keras.GradientTape, or tensor.backward()")
placeholder = _refused("placeholder", "use nnkit.keras.Input")
learning_phase = _refused("learning_phase", "call the layer or model with training=True")
set_learning_phase = _refused("set_learning_phase", "call the layer or model with training=True")
get_session = _refused("get_session", "there is no session; tensors have values")
