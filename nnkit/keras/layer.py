"""Layer: an nnkit module that learns its input's size when it first meets it.

A Keras layer is told how many outputs it has and finds out by itself how many inputs. So it starts without
weights, and ``build(input_shape)`` makes them: when the layer is added to a model whose input shape is known,
or at the first call. Shapes are tuples whose first entry, the batch size, is None.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self, TypeAlias, TypedDict

import numpy as np

from nnkit import get_default_dtype, nn
from nnkit.backends.recording import paused, recorder
from nnkit.keras import config, regularizers
from nnkit.keras.adding import WithLosses
from nnkit.keras.arguments import dtype_name, taken, unknown_arguments
from nnkit.keras.calling import as_input, as_inputs, calls, masks_of, shapes_of, within_call
from nnkit.keras.dtype_policies import DTypePolicy
from nnkit.keras.masks import mask_of, with_mask
from nnkit.keras.naming import automatic_name, configured
from nnkit.keras.readable import readable
from nnkit.keras.shape_trees import as_shape, check_spec, is_unknown, shape_names, zeros_of
from nnkit.keras.symbolic_calls import Connectable
from nnkit.keras.weights import assign_weights
from nnkit.recording.observer import call
from nnkit.recording.structures import leaves, rebuilt
from nnkit.tensors.dtypes import as_dtype, is_float
from nnkit.tensors.precision import autocast
from nnkit.tensors.random import Generator, using
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor

__all__ = ["Layer", "LayerOptions", "SameShape", "Shape", "as_input", "assign_weights"]

Shape: TypeAlias = tuple[int | None, ...]


class LayerOptions(TypedDict, total=False):
    """The keyword arguments that every layer takes."""

    name: str | None
    trainable: bool
    input_shape: Sequence[int | None] | None
    input_dim: int | None
    dtype: Any
    autocast: bool
    batch_input_shape: Sequence[int | None] | None


class Layer(WithLosses, Connectable):
    """The base class of Keras layers.

    A layer of your own defines ``call(self, inputs)``, or ``call(self, inputs, training=False)``, and, where
    it has weights, ``build(self, input_shape)``, which makes them with :meth:`add_weight`; the shape of its output is
    found by a call, unless it defines ``compute_output_shape(self, input_shape)``. Layers that are its attributes, in
    lists, tuples and dicts too, are parts of it. Outside ``fit`` a layer is in inference mode: ``Dropout`` drops only
    in ``fit`` or under ``layer(x, training=True)``, which holds for the layers that it calls, too.

    Args:
        name: a text that is unique in the model; by default made from the class name.
        trainable: False freezes the weights.
        input_shape: the shape of one sample; on the first layer of a model it builds the model at once.
        input_dim: short for ``input_shape=(input_dim,)``.
        activity_regularizer: a name, a regularizer or a function: what outputs add to the loss, by the batch size.
        dtype: the type of weights and of what is computed; "mixed_bfloat16" and the like: of products alone.
        autocast: whether inputs of another float type are converted to it.
        batch_input_shape: ``input_shape`` with the batch size before it.

    Inputs are Tensors or arrays of numbers. Raises ValueError for an argument that is none. Source:
    ``keras.layers.Layer``.

    >>> class Linear(Layer):
    ...     def __init__(self, units):
    ...         super().__init__()
    ...         self.units = units
    ...     def build(self, input_shape):
    ...         self.w = self.add_weight(shape=(input_shape[-1], self.units), initializer="ones", name="w")
    ...     def call(self, inputs):
    ...         return inputs @ self.w
    >>> Linear(2)([[1.0, 2.0]]).tolist()
    [[3.0, 3.0]]
    """

    _call_names: ClassVar[tuple[str, ...]] = ("inputs",)
    _call_takes_training = False
    _call_takes_mask = False
    #: Whether the layer treats each step of a sequence by itself, so that a mask of its input is one of its output.
    supports_masking = False
    #: What inputs must be like: an ``InputSpec``, or a list of them.
    input_spec: Any = None

    def __new__(cls, *args: Any, **options: Any) -> Self:
        made: Self = super().__new__(cls)
        made.__dict__["_made_with"] = (args, options)
        return made

    states_output_shape = False

    def __init__(
        self,
        name: str | None = None,
        trainable: bool = True,
        input_shape: Sequence[int | None] | None = None,
        input_dim: int | None = None,
        activity_regularizer: Any = None,
        dtype: Any = None,
        autocast: bool = True,
        batch_input_shape: Sequence[int | None] | None = None,
        **unknown: Any,
    ) -> None:
        super().__init__()
        if unknown:
            raise unknown_arguments(type(self), unknown, LayerOptions.__annotations__)
        if batch_input_shape is not None:
            input_shape = tuple(batch_input_shape)[1:]
        if input_dim is not None:
            input_shape = (input_dim,)
        self.training = False
        self.name = automatic_name(type(self)) if name is None else str(name)
        self.built = False
        #: Whether another layer of the same model follows, so that no loss can want this one's logits.
        self.is_hidden = False
        self._built_for_shape: Any = None
        self.sample_shape = None if input_shape is None else tuple(input_shape)
        self._trainable = trainable
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.autocast = autocast
        self._given_dtype = dtype_name(dtype)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        code = getattr(inspect.unwrap(cls.call), "__code__", None)
        arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount] if code else ()
        cls._call_names = tuple(arguments[1 : code.co_argcount]) if code else ()
        cls._call_takes_training, cls._call_takes_mask = "training" in arguments, "mask" in arguments
        if "build" in vars(cls):
            cls.build = _noting(vars(cls)["build"])  # type: ignore[method-assign]

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        if not self._asks_what_it_was_made_with():
            state.pop("_made_with", None)
        return state

    # ---- types --------------------------------------------------------------------------------------------

    @property
    def dtype(self) -> str:
        """The type of the weights."""
        return self.variable_dtype

    @property
    def variable_dtype(self) -> str:
        """The type of the weights, by name."""
        given = self._given_dtype
        return str(get_default_dtype()) if given is None or given.startswith("mixed_") else given

    @property
    def compute_dtype(self) -> str:
        """The type of what is computed, by name; of "mixed_bfloat16" that of products."""
        return self.dtype_policy.compute_dtype

    @property
    def dtype_policy(self) -> DTypePolicy:
        """The types of the layer: those that it was given, else those of the policy of the process."""
        half = config.half_type()
        by_default = self.variable_dtype if half is None else f"mixed_{half}"
        return DTypePolicy(self._given_dtype or by_default)

    def _cast(self, inputs: Any) -> Any:
        """Inputs of another float type in that of the layer, where it was given one."""
        if self._given_dtype is None or not self.autocast or self._given_dtype.startswith("mixed_"):
            return inputs
        kind = as_dtype(self._given_dtype)
        if not is_float(kind):
            return inputs
        return rebuilt(inputs, lambda x: x.to(kind) if isinstance(x, Tensor) and x.is_floating_point() else x)

    # ---- building -----------------------------------------------------------------------------------------

    def build(self, input_shape: Any) -> None:
        """Make the weights for inputs of ``input_shape``, batch size first. The base class makes none."""
        self._note_built()

    def _note_built(self) -> None:
        self.built = True
        if not self._trainable:
            self.requires_grad_(False)

    def ensure_built(self, input_shape: Any) -> None:
        """Build the layer, if it is not built yet."""
        if not self.built:
            self.build(as_shape(input_shape))
            self.built = True
            if self._given_dtype is not None and not self._given_dtype.startswith("mixed_"):
                kind = as_dtype(self._given_dtype)
                if is_float(kind):
                    self.to(dtype=kind)

    def _build_for(self, inputs: Any, options: dict[str, Any]) -> None:
        """Build for the shapes of what a call was given."""
        self.__dict__["_in_call"] = True
        shapes = shapes_of(inputs)
        names = shape_names(type(self).build)
        if len(names) > 1:  # build(self, query_shape, value_shape)
            given = dict(zip(self._call_names[:1], [inputs], strict=False)) | options
            named = {name: shapes_of(given.get(name.removesuffix("_shape"))) for name in names}
            self.build(**{name: shape for name, shape in named.items() if shape is not None})
            self.built = True
        else:
            self.ensure_built(shapes)
        first = next((leaf for leaf in leaves(inputs) if isinstance(leaf, Tensor)), None)
        if first is not None:
            self.to(device=first.device)
        self._built_for_shape = shapes

    # ---- calling ------------------------------------------------------------------------------------------

    def call(self, *args: Any, **options: Any) -> Any:
        """What the layer computes; a subclass defines this."""
        raise NotImplementedError(f"{type(self).__name__} must define call(self, inputs)")

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the output, batch size first, for inputs of ``input_shape``.

        By default it is found by a call on one sample of zeros. A layer that cannot be called so, or is fed inputs
        whose sizes are not all known, says it itself: ``return (*input_shape[:-1], self.units)``.
        """
        shape = as_shape(input_shape)
        if is_unknown(shape):
            raise ValueError(
                f"the output shape of layer {self.name!r} for inputs of shape {shape} is not known: "
                f"define compute_output_shape(self, input_shape) in {type(self).__name__}"
            )
        with no_grad(), paused(), using(Generator(0)):
            return shapes_of(self(zeros_of(shape)))

    def __call__(self, *args: Any, **options: Any) -> Any:
        output = super().__call__(*args, **options)
        return output if calls.depth or recorder() is not None else readable(output)

    def forward(self, *args: Any, **options: Any) -> Any:
        """Build at the first call, then :meth:`call`. Arrays of numbers are accepted as well as Tensors.

        The first argument is the input, or a structure of several. ``training`` and ``mask`` go to a ``call`` that
        takes them: by default whether the layer around this one is training, and the mask (batch, steps) that the
        input carries, which goes on to the output where ``supports_masking``.
        """
        x, options = self._arguments(args, options)
        self._begin_losses()
        training, mask = options.pop("training", None), options.pop("mask", None)
        training = self.is_training(training)
        if self.input_spec is not None:
            check_spec(self.name, self.input_spec, x)
        if not self.built:
            self._build_for(x, options)
        x = self._cast(x)
        if self._call_takes_training:
            options["training"] = training
        mask = masks_of(x) if mask is None else mask
        if self._call_takes_mask:
            options["mask"] = mask
        first = () if x is None and not self._call_names else (x,)
        with within_call(training):
            if self._given_dtype is not None and self._given_dtype.startswith("mixed_"):
                with autocast(self.compute_dtype):
                    output = call(self.call, *first, **options)
            else:
                output = call(self.call, *first, **options)
            if self.activity_regularizer is not None:
                self._add_activity(output)
        return self._masked(output, x, mask)

    def is_training(self, training: bool | None = None) -> bool:
        """Whether a call is one of training: what it says, else what the layers around it do, else ``fit``."""
        if training is None:
            training = self.training if calls.training is None else calls.training
        return bool(training)

    def _arguments(self, args: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The input of a call, and its other arguments by name."""
        names = self._call_names
        options = {name: as_input(v) if isinstance(v, np.ndarray) else v for name, v in options.items()}
        if not args:
            given = options.pop(names[0], None) if names else None
        else:
            given = args[0]
            if isinstance(given, nn.Module):
                raise TypeError(
                    f"layer {self.name!r} was called on a layer; call it on what a layer returns: x = "
                    "Input(shape=(4,)), then layer(x)"
                )
            for name, value in zip(names[1:], args[1:], strict=False):
                options[name] = as_inputs(value) if isinstance(value, (np.ndarray, list, tuple, dict)) else value
            if len(args) > len(names) and len(args) > 1:
                raise TypeError(
                    f"layer {self.name!r} takes {len(names)} arguments ({', '.join(names)}), got {len(args)}"
                )
        return None if given is None else as_inputs(given), options

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """The mask of the output, of a layer that supports masks: that of the input."""
        return previous_mask

    def _masked(self, output: Any, inputs: Any, mask: Any) -> Any:
        if self.supports_masking or type(self).compute_mask is not Layer.compute_mask:
            found = self.compute_mask(inputs, mask)
            if isinstance(found, Tensor) and isinstance(output, Tensor):
                return with_mask(output, found) if mask_of(output) is not found else output
        elif mask is not None and not self._call_takes_mask:
            _say_mask_ends(type(self).__name__, self.name)
        return output

    # ---- configuration ------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them. A subclass adds its own.

        Of a class that does not define it, it has what the object was made with.
        """
        config: dict[str, Any] = {"name": self.name, "trainable": self._trainable}
        if self.sample_shape is not None:
            config["input_shape"] = list(self.sample_shape)
        if self._given_dtype is not None:
            config["dtype"] = self._given_dtype
        if self.activity_regularizer is not None:
            config["activity_regularizer"] = configured(self.activity_regularizer)
        if self._asks_what_it_was_made_with():
            return taken(type(self), config) | self._given_arguments()
        return config

    def _asks_what_it_was_made_with(self) -> bool:
        """Whether the configuration is what the constructor was given: the class says no other."""
        return type(self).get_config is Layer.get_config and type(self).__init__ is not Layer.__init__

    def _given_arguments(self) -> dict[str, Any]:
        """What the constructor was given, by name."""
        args, options = self.__dict__.get("_made_with", ((), {}))
        bound = inspect.signature(type(self).__init__).bind_partial(self, *args, **options)
        given = dict(list(bound.arguments.items())[1:])
        for parameter in bound.signature.parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                given |= given.pop(parameter.name, {})
        told = {name: value for name, value in given.items() if value is not None}
        return {name: value if isinstance(value, nn.Module) else configured(value) for name, value in told.items()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The layer that :meth:`get_config` described, without its weights."""
        return cls(**config)


class SameShape(Layer):
    """A layer whose output has the shape of its input."""

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)


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
