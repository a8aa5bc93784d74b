"""Layer: an nnkit module that learns its input's size when it first meets it.

A Keras layer is told how many outputs it has and finds out by itself how many inputs. So it starts without
weights, and ``build(input_shape)`` makes them: when the layer is added to a model whose input shape is known,
or at the first call. Shapes are tuples whose first entry, the batch size, is None.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self, TypeAlias, TypedDict

import numpy as np

from nnkit import get_default_dtype, nn
from nnkit.backends.recording import paused
from nnkit.creation import tensor, zeros
from nnkit.errors import ShapeError
from nnkit.keras import constraints, initializers, regularizers
from nnkit.keras.masks import mask_of, with_mask
from nnkit.keras.naming import automatic_name
from nnkit.keras.symbolic_calls import Connectable
from nnkit.observer import call
from nnkit.random import Generator, using
from nnkit.tape import no_grad
from nnkit.tensor import Parameter, Tensor

__all__ = [
    "Layer",
    "LayerOptions",
    "SameShape",
    "Shape",
    "as_input",
    "assign_weights",
    "in_layout",
    "normalized_shape",
    "positive",
    "refuse",
]

Shape: TypeAlias = tuple[int | None, ...]


class LayerOptions(TypedDict, total=False):
    """The keyword arguments that every layer takes."""

    name: str | None
    trainable: bool
    input_shape: Sequence[int | None] | None
    input_dim: int | None


class Layer(Connectable):
    """The base class of Keras layers.

    A layer of your own defines ``call(self, inputs)``, or ``call(self, inputs, training=False)``, and, where
    it has weights, ``build(self, input_shape)``, which makes them with :meth:`add_weight`; the shape of its output is
    found by a call, unless it defines ``compute_output_shape(self, input_shape)``. Outside ``fit`` a
    layer is in inference mode: ``Dropout`` drops only in ``fit`` or under ``layer(x, training=True)``.

    Args:
        name: a text that is unique in the model; by default made from the class name.
        trainable: False freezes the weights.
        input_shape: the shape of one sample; on the first layer of a model it builds the model at once.
        input_dim: short for ``input_shape=(input_dim,)``.
    """

    _call_takes_training = False
    _call_takes_mask = False
    #: Whether the layer treats each step of a sequence by itself, so that a mask of its input is one of its output.
    supports_masking = False
    states_output_shape = False

    def __init__(
        self,
        name: str | None = None,
        trainable: bool = True,
        input_shape: Sequence[int | None] | None = None,
        input_dim: int | None = None,
    ) -> None:
        super().__init__()
        if input_dim is not None:
            input_shape = (input_dim,)
        self.training = False
        self.name = automatic_name(type(self)) if name is None else str(name)
        self.built = False
        #: Whether another layer of the same model follows, so that no loss can want this one's logits.
        self.is_hidden = False
        self._built_for_shape: Shape | None = None
        self.sample_shape = None if input_shape is None else tuple(input_shape)
        self._trainable = trainable

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        code = getattr(cls.call, "__code__", None)
        arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount] if code else ()
        cls._call_takes_training, cls._call_takes_mask = "training" in arguments, "mask" in arguments
        if "build" in vars(cls):
            cls.build = _noting(vars(cls)["build"])  # type: ignore[method-assign]

    def build(self, input_shape: Shape) -> None:
        """Make the weights for inputs of ``input_shape``, batch size first. The base class makes none."""
        self._note_built()

    def _note_built(self) -> None:
        self.built = True
        if not self._trainable:
            self.requires_grad_(False)

    def call(self, inputs: Tensor) -> Tensor:
        """What the layer computes; a subclass defines this."""
        raise NotImplementedError(f"{type(self).__name__} must define call(self, inputs)")

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The shape of the output, batch size first, for inputs of ``input_shape``.

        By default it is found by a call on one sample of zeros. A layer that cannot be called so, or is fed inputs
        whose sizes are not all known, says it itself: ``return (*input_shape[:-1], self.units)``.
        """
        if None in input_shape[1:]:
            raise ValueError(
                f"the output shape of layer {self.name!r} for inputs of shape {tuple(input_shape)} is not known: "
                f"define compute_output_shape(self, input_shape) in {type(self).__name__}"
            )
        with no_grad(), paused(), using(Generator(0)):
            return (None, *self(zeros(1, *input_shape[1:])).shape[1:])

    def ensure_built(self, input_shape: Sequence[int | None]) -> None:
        """Build the layer, if it is not built yet."""
        if not self.built:
            self.build(tuple(input_shape))

    def require_built(self) -> None:
        """Raise ValueError where the layer has not met its input's size yet."""
        if not self.built:
            raise ValueError(
                f"{self.name!r} is not built, so it has no weights yet; state the input's shape "
                "(input_shape=, or build(input_shape)), or call it on data first"
            )

    def forward(self, inputs: Any, training: bool | None = None, mask: Tensor | None = None, **more: Any) -> Any:
        """Build at the first call, then :meth:`call`. Arrays of numbers are accepted as well as Tensors.

        A mask (batch, steps) that the input carries goes to a ``call`` that takes ``mask``, and on to the output where
        ``supports_masking``; ``more`` are further arguments of ``call``.
        """
        if isinstance(inputs, Layer):
            raise TypeError(
                f"layer {self.name!r} was called on a layer; call it on what a layer returns: x = Input(shape=(4,)), "
                "then layer(x)"
            )
        x = as_input(inputs)
        if not self.built:
            self.ensure_built((None, *x.shape[1:]))
            self.to(device=x.device)
            self._built_for_shape = (None, *x.shape[1:])
        options: dict[str, Any] = {}
        if self._call_takes_training:
            options["training"] = self.training if training is None else training
        mask = mask_of(x) if mask is None else mask
        if self._call_takes_mask:
            options["mask"] = mask
        return self._masked(call(self.call, x, **options, **more), x, mask)

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None = None) -> Tensor | None:
        """The mask of the output, of a layer that supports masks: that of the input."""
        return previous_mask

    def _masked(self, output: Any, inputs: Tensor, mask: Tensor | None) -> Any:
        if self.supports_masking:
            found = self.compute_mask(inputs, mask)
            if found is not None and isinstance(output, Tensor):
                return with_mask(output, found) if mask_of(output) is not found else output
        elif mask is not None and not self._call_takes_mask:
            _say_mask_ends(type(self).__name__, self.name)
        return output

    # ---- weights ------------------------------------------------------------------------------------------

    def add_weight(
        self,
        shape: Sequence[int] = (),
        initializer: Any = "glorot_uniform",
        dtype: Any = None,
        trainable: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        name: str | None = None,
    ) -> Tensor:
        """A new weight of this layer, kept under ``name`` (a buffer, if not trainable); for use in ``build``."""
        make = initializers.get(initializer) or initializers.Zeros()
        values = make(tuple(shape), dtype=dtype)
        name = name or f"weight_{len(self._parameters) + len(self._buffers)}"
        if not trainable:
            self.register_buffer(name, values)
            return values
        weight = Parameter(values)
        self.register_parameter(name, weight)
        penalty = regularizers.get(regularizer)
        if penalty is not None:
            self.regularizers[name] = penalty
        constraints.constrain(self, name, constraints.get(constraint))
        return weight

    def keras_layout(self, weight: Tensor) -> Tensor:
        """A view of one of this layer's tensors with the axes in Keras's order."""
        return weight.detach()

    def _parts(self) -> tuple[list[Tensor], list[Layer]]:
        """The tensors that are this layer's own, and the layers inside it, each once."""
        tensors: list[Tensor] = []
        layers: list[Layer] = []
        modules: list[nn.Module] = [self]
        while modules:
            module = modules.pop(0)
            tensors += [*module.parameters(recurse=False), *module.buffers(recurse=False)]
            for child in module.children():
                if isinstance(child, Layer):
                    layers.append(child)
                else:
                    modules.append(child)
        return tensors, layers

    def _collect(self, trainable: tuple[bool, ...]) -> list[Tensor]:
        tensors, layers = self._parts()
        own = [self.keras_layout(tensor) for tensor in tensors if tensor.requires_grad in trainable]
        return own + [weight for layer in layers for weight in layer._collect(trainable)]

    @property
    def weights(self) -> list[Tensor]:
        """The weights in Keras's order and layout; they share memory with the layer."""
        return self._collect((True, False))

    @property
    def trainable_weights(self) -> list[Tensor]:
        """The weights that training changes."""
        return self._collect((True,))

    @property
    def non_trainable_weights(self) -> list[Tensor]:
        """The weights that training leaves alone."""
        return self._collect((False,))

    variables = weights
    trainable_variables = trainable_weights
    non_trainable_variables = non_trainable_weights

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights. Setting it sets it in the layers inside, too."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for module in self.modules():
            if isinstance(module, Layer):
                module._trainable = bool(value)
        self.requires_grad_(bool(value))

    def get_weights(self) -> list[np.ndarray]:
        """Copies of the weights as NumPy arrays, in the order and layout of :attr:`weights`."""
        return [np.array(weight.numpy()) for weight in self.weights]

    def set_weights(self, weights: Iterable[Any]) -> None:
        """Overwrite the weights with arrays in the order and layout of :attr:`weights`.

        Raises:
            ShapeError: the number of arrays or a shape differs; nothing is then changed.
        """
        assign_weights(self.name, self.weights, weights)

    def count_params(self) -> int:
        """The number of weights, counted one by one."""
        self.require_built()
        return sum(weight.numel() for weight in self.weights)

    # ---- configuration ------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them. A subclass adds its own."""
        config: dict[str, Any] = {"name": self.name, "trainable": self._trainable}
        if self.sample_shape is not None:
            config["input_shape"] = list(self.sample_shape)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The layer that :meth:`get_config` described, without its weights."""
        return cls(**config)


class SameShape(Layer):
    """A layer whose output has the shape of its input."""

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)


def refuse(layer: str, **arguments: object) -> None:
    """Raise for the first argument that Keras has and nnkit has not."""
    for name, value in arguments.items():
        if value is not None:
            raise ValueError(f"{layer}: {name} is not supported; leave it out (got {name}={value!r})")


def positive(layer: str, name: str, value: Any) -> int:
    """A whole number of at least 1.

    >>> positive("Dense", "units", 3)
    3
    """
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise ValueError(f"{layer}: {name} must be a positive integer; got {value!r}")
    return value


def in_layout(
    regularizer: regularizers.RegularizerFunction, layout: Callable[[Tensor], Tensor]
) -> regularizers.RegularizerFunction:
    """A penalty on a weight as Keras lays it out, as one on the tensor that the layer keeps."""
    if isinstance(regularizer, nn.L1L2):  # A sum over all elements: the order does not matter.
        return regularizer
    return lambda weight: regularizer(layout(weight))


def assign_weights(owner: str, current: Sequence[Tensor], given: Iterable[Any]) -> None:
    """Copy the arrays ``given`` into the Tensors ``current``; nothing changes unless all shapes fit."""
    arrays = [np.asarray(array) for array in given]
    if len(arrays) != len(current):
        raise ShapeError(
            f"set_weights of {owner!r} expects {len(current)} arrays, got {len(arrays)}; "
            f"the expected shapes are {[tuple(weight.shape) for weight in current]}"
        )
    for position, (weight, array) in enumerate(zip(current, arrays, strict=True)):
        if tuple(weight.shape) != array.shape:
            raise ShapeError(
                f"set_weights of {owner!r}: array {position} must have shape {tuple(weight.shape)}, "
                f"got {array.shape}; nothing was changed"
            )
    with no_grad():
        for weight, array in zip(current, arrays, strict=True):
            weight.copy_(tensor(array, dtype=weight.dtype, device=weight.device))


def normalized_shape(shape: Any) -> Shape:
    """A shape with batch size, given as a tuple, a list or (of features) one number.

    >>> normalized_shape([None, 4]), normalized_shape((32, 4))
    ((None, 4), (32, 4))
    """
    sizes = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    if not sizes or not all(size is None or (isinstance(size, int) and size > 0) for size in sizes):
        raise ShapeError(f"a shape must be a tuple of positive integers and None, batch size first; got {shape!r}")
    return sizes


def _noting(build: Callable[..., None]) -> Callable[..., None]:
    """``build``, which afterwards notes that the layer is built."""

    @functools.wraps(build)
    def noting(self: Layer, *args: Any, **options: Any) -> None:
        build(self, *args, **options)
        self._note_built()

    return noting


@functools.cache
def _say_mask_ends(kind: str, name: str) -> None:
    warnings.warn(
        f"layer {name!r} ({kind}) takes an input whose steps are masked, and does not hand the mask on: what follows "
        "counts all steps; set supports_masking = True in a layer that treats each step by itself",
        stacklevel=2,
    )


def as_input(inputs: Any) -> Tensor:
    """A Tensor as it is; numbers as one of the default type."""
    if isinstance(inputs, Tensor):
        return inputs
    array = np.asarray(inputs)
    return tensor(array, dtype=get_default_dtype() if array.dtype.kind in "fiub" else None)
