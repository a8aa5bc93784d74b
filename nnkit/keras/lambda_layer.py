"""A function of tensors as a layer. Definition: ``keras.layers.Lambda``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Unpack

from nnkit.errors import ModelFileError
from nnkit.keras import objects
from nnkit.keras.layer import Layer, LayerOptions
from nnkit.recording.observer import call

__all__ = ["Lambda"]


class Lambda(Layer):
    """``function(inputs, **arguments)`` as a layer without weights.

    A file can name a registered function alone (``keras.saving.register_keras_serializable``): a lambda or another
    function of yours is no part of a file, and a model with one is saved by its weights.

    Args:
        function: a function of Tensors, or of a list of them; it may take ``training`` and ``mask``.
        output_shape: the shape of a sample of the output, or a function of the input's shape; else found by a call.
        mask: the mask of the output, or a function ``(inputs, mask)``.
        arguments: further arguments of the function, by name.
        options: ``name``, ``trainable``, ``dtype``.

    >>> Lambda(lambda x: x * 2.0)([[1.0, 2.0]]).tolist()
    [[2.0, 4.0]]
    """

    def __init__(
        self, function: Any, output_shape: Any = None, mask: Any = None, arguments: Mapping[str, Any] | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(**options)
        if isinstance(function, str):
            function = _function(function)
        if not callable(function):
            raise TypeError(f"Lambda: function must be callable, got {type(function).__name__}")
        self.function: Callable[..., Any] = function
        self.arguments = dict(arguments or {})
        self.mask = mask
        self._output_shape = output_shape
        self.supports_masking = mask is not None
        self.states_output_shape = output_shape is not None
        names = _parameters(function)
        self._takes = [name for name in ("training", "mask") if name in names and name not in self.arguments]

    def call(self, inputs: Any, mask: Any = None, training: bool = False) -> Any:
        given = {"training": training, "mask": mask}
        return call(self.function, inputs, **self.arguments, **{name: given[name] for name in self._takes})

    def compute_output_shape(self, input_shape: Any) -> Any:
        if self._output_shape is None:
            return super().compute_output_shape(input_shape)
        if callable(self._output_shape):
            return self._output_shape(input_shape)
        first = input_shape[0] if input_shape and isinstance(input_shape[0], (list, tuple)) else input_shape
        return (first[0], *self._output_shape)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return self.mask(inputs, previous_mask) if callable(self.mask) else self.mask

    def get_config(self) -> dict[str, Any]:
        """The function by its registered name; itself where it has none, for messages to name."""
        shape = self._output_shape
        return {
            **super().get_config(),
            "function": objects.registered_name(self.function) or self.function,
            "output_shape": list(shape) if isinstance(shape, (list, tuple)) else shape,
            "arguments": self.arguments,
        }


def _function(name: str) -> Any:
    found = objects.found(name)
    if found is None:
        raise ModelFileError(
            f"the file needs the function {name[:100]!r}, which is not registered: decorate it with "
            "@keras.saving.register_keras_serializable() in your program before you load the file"
        )
    return found


def _parameters(function: Any) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []
