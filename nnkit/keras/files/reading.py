"""Objects of the descriptions in Keras's files: layers, models, losses, optimizers.

A description names a class of the closed list in ``classes``, or one that the user registered; its configuration is
plain values and further descriptions. Functions are named, too; code, which Keras's files can hold as well (a lambda),
is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnkit.errors import ModelFileError
from nnkit.keras import objects
from nnkit.keras.config import floatx
from nnkit.keras.files.classes import class_of, is_layer_class, is_own, parameters_of, shown, user_class
from nnkit.keras.files.graphs import sides_of
from nnkit.keras.files.operations import is_function_class, operation_of
from nnkit.keras.layer import Layer
from nnkit.keras.models import Model, Sequential
from nnkit.keras.shape_trees import as_shape
from nnkit.tensors.creation import at_most, tensor
from nnkit.tensors.dtypes import as_dtype

__all__ = ["Reader", "room_for"]

#: What Keras writes of every layer, or of some, and nnkit has no use for: dropped whatever it is.
UNUSED = frozenset((
    "zero_output_for_mask", "implementation", "time_major", "ragged", "sparse", "optional", "is_legacy_optimizer",
    "jit_compile", "loss_scale_factor", "vocabulary_dtype", "use_cudnn", "name", "autocast", "flash_attention",
    "vocabulary_size", "has_input_names", "input_axes", "output_axes", "batch_input_shape", "fn",
))  # fmt: skip
#: What says nothing, as it is the only value that nnkit has.
USUAL: dict[str, Any] = {"trainable": True, "renorm_momentum": 0.99, "synchronized": False}
#: Older names of arguments.
RENAMED = {"alpha": "negative_slope"}
LAMBDA = (
    "nnkit runs no code from files. Put the function into a Layer, or register it by "
    "@keras.saving.register_keras_serializable(), in the program that saves and in this one; or build the model here, "
    "and model.load_weights(path) takes the weights alone"
)


class Reader:
    """Makes the objects of one file; ``what`` is what messages call it."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._shared: dict[Any, Any] = {}
        #: Layers by class and name: of one that is in the file twice Keras marks only the second as shared.
        self._layers: dict[tuple[str, str], Layer] = {}

    # ---- values -------------------------------------------------------------------------------------------

    def value(self, node: Any) -> Any:
        """What a part of a configuration stands for: itself, or the object that it describes."""
        if isinstance(node, list):
            return [self.value(part) for part in node]
        if not isinstance(node, Mapping):
            return node
        if "class_name" not in node:
            return {name: self.value(part) for name, part in node.items()}
        name, config = node["class_name"], node.get("config")
        if isinstance(name, str) and name.startswith("__"):
            return self._special(name, config)
        if name == "function":
            return self._function(node)
        if name in ("DTypePolicy", "FloatDTypePolicy", "Policy"):
            return self._policy(config)
        if isinstance(name, str) and name.endswith(("DTypePolicy", "DTypePolicyMap", "QuantizationConfig")):
            raise ModelFileError(f"{self.what} has quantized parts ({name[:100]!r}), which nnkit does not have")
        return self.object(node)

    def _special(self, name: str, config: Any) -> Any:
        try:
            if name == "__tensor__":
                return tensor(np.array(config["value"], dtype=as_dtype(config["dtype"])))
            if name == "__numpy__":
                return np.array(config["value"], dtype=as_dtype(config["dtype"]))
            if name == "__bytes__":
                return str(config["value"])
            if name == "__slice__":
                return slice(*(self.value(config[part]) for part in ("start", "stop", "step")))
        except (KeyError, TypeError, ValueError) as error:
            raise ModelFileError(f"{self.what} has a damaged value {name}: {error}") from error
        if name == "__ellipsis__":
            return Ellipsis
        if name == "__lambda__":
            raise ModelFileError(f"{self.what} has a lambda, which is code. {LAMBDA}")
        raise ModelFileError(f"{self.what} has a value {name[:100]!r}, which nnkit does not read")

    def _function(self, node: Mapping[str, Any]) -> Any:
        """The user's function, or the name of one of nnkit.keras, which the argument's own table looks up."""
        name = node.get("config")
        for known in (node.get("registered_name"), name):
            found = objects.found(known)
            if found is not None:
                return found
        module = node.get("module")
        if not isinstance(name, str) or (
            module is not None and str(module).partition(".")[0] not in ("keras", "builtins")
        ):
            raise ModelFileError(
                f"{self.what} needs the function {str(name)[:100]!r} of {str(module)[:100]!r}, which is not registered "
                "here: give it in custom_objects=, or decorate it with @keras.saving.register_keras_serializable()"
            )
        return name

    def _policy(self, config: Any) -> str:
        name = config.get("name") if isinstance(config, Mapping) else None
        if not isinstance(name, str):
            raise ModelFileError(f"{self.what} has a damaged dtype policy: {str(config)[:100]}")
        return name

    # ---- objects ------------------------------------------------------------------------------------------

    def object(self, node: Any) -> Any:
        """The object that a description with a class describes."""
        if not isinstance(node, Mapping) or "class_name" not in node:
            raise ModelFileError(
                f"{self.what}: expected the class and configuration of an object, got {str(node)[:100]}"
            )
        shared = node.get("shared_object_id")
        if isinstance(shared, (int, str)) and shared in self._shared:
            return self._shared[shared]
        config = node.get("config") or {}
        if not isinstance(config, Mapping):
            raise ModelFileError(f"{self.what}: the configuration of {str(node['class_name'])[:100]!r} is no object")
        kind = class_of(node, self.what)
        known = (str(node["class_name"]), str(config.get("name")))
        made = self._layers.get(known) if isinstance(shared, (int, str)) else None
        if made is None:
            made = self._made(kind, dict(config), node)
            if isinstance(made, Layer):
                self._layers[known] = made
        if isinstance(shared, (int, str)):
            self._shared[shared] = made
        return made

    def _made(self, kind: type, config: dict[str, Any], node: Mapping[str, Any]) -> Any:
        name = f"{self.what}: {str(node['class_name'])[:100]}"
        if isinstance(config.get("name"), str):
            name += f" {config['name'][:100]!r}"
        try:
            if issubclass(kind, Model):
                made = self._model(kind, config)
            elif is_own(kind):
                made = self._of_own(kind, config)
            else:
                made = self._of_nnkit(kind, config)
            if isinstance(made, Layer):
                self._build(made, node.get("build_config"), is_own(kind) or isinstance(made, Model))
            return made
        except ModelFileError:
            raise
        except RecursionError:
            raise ModelFileError(f"{self.what} is nested too deeply") from None
        except Exception as error:  # whatever a constructor raises, the file is at fault
            raise ModelFileError(f"{name} cannot be made of what the file says: {str(error)[:500]}") from error

    def _of_nnkit(self, kind: type, config: dict[str, Any]) -> Any:
        if kind.__name__ == "Lambda" and isinstance(config.get("function"), (list, Mapping)):
            function = config["function"]
            if isinstance(function, list) or function.get("class_name") == "__lambda__":
                raise ModelFileError(f"{self.what} has a Lambda layer {config.get('name')!r}, which is code. {LAMBDA}")
        values = {name: self.value(part) for name, part in config.items()}
        if kind.__name__ == "InputLayer":
            values.pop("optional", None)
        arguments = _accepted(kind, _usual(values), self.what)
        from_config: Any = getattr(kind, "from_config", None)
        return kind(**arguments) if from_config is None else from_config(arguments)

    def _of_own(self, kind: type, config: dict[str, Any]) -> Any:
        """An object of the user's class, whose ``from_config`` finds descriptions in the configuration."""
        return objects.made(kind, _for_own(kind, self._translated(config)))

    def _translated(self, node: Any) -> Any:
        """A configuration as nnkit's own have it, for code of the user's that makes its objects itself."""
        if isinstance(node, list):
            return [self._translated(part) for part in node]
        if not isinstance(node, Mapping):
            return node
        name = node.get("class_name")
        if name is None:
            return {key: self._translated(part) for key, part in node.items()}
        if isinstance(name, str) and (name.startswith("__") or name == "function" or name.endswith("Policy")):
            return self.value(node)
        kind = class_of(node, self.what)
        config = self._translated(node.get("config") or {})
        if not is_own(kind) and not issubclass(kind, Model):
            config = _accepted(kind, _usual(config), self.what)
        return {**node, "config": config}

    # ---- models -------------------------------------------------------------------------------------------

    def _model(self, kind: type, config: dict[str, Any]) -> Model:
        if issubclass(kind, Sequential):
            if not is_own(kind) or "layers" in config:
                return self._sequential(kind, config)
        elif {"layers", "input_layers", "output_layers"} <= set(config):
            inputs, outputs = sides_of(self, config)
            rest = {
                name: self._translated(part)
                for name, part in config.items()
                if name not in ("layers", "input_layers", "output_layers", "dtype")
            }
            rest["trainable"] = rest.get("trainable") is not False
            make: Any = kind
            made: Model = make(inputs=inputs, outputs=outputs, **(_for_own(kind, rest) if is_own(kind) else rest))
            return made
        if not is_own(kind):
            raise ModelFileError(f"{self.what}: the description of a functional model lacks its layers")
        found: Model = self._of_own(kind, config)
        return found

    def _sequential(self, kind: type[Sequential], config: dict[str, Any]) -> Sequential:
        parts = [self.layer(part) for part in config.get("layers") or ()]
        made = kind(name=config.get("name"), trainable=config.get("trainable") is not False)
        for part in parts:
            made.add(part)
        shape = config.get("build_input_shape")
        if shape is not None and not made.built and parts:
            made.build(as_shape(shape))
        return made

    def layer(self, node: Any) -> Any:
        """A layer, which in older files has the shape of its input in its configuration."""
        made = self.object(node)
        if not isinstance(made, Layer):
            raise ModelFileError(f"{self.what}: expected a layer, got {type(made).__name__}")
        return made

    def part(self, node: Any) -> tuple[Any, dict[str, Any]]:
        """A part of a functional model: a layer, or a function with the arguments that are settings."""
        if not isinstance(node, Mapping) or user_class(node) is not None:
            return self.layer(node), {}
        module, name = node.get("module"), str(node.get("class_name"))
        is_function = ".ops." in f"{module}." or (module is None and _reads_as_function(node))
        if not is_function:
            return self.layer(node), {}
        try:
            found = operation_of(module, name, self.value(node.get("config") or {}))
        except ModelFileError as error:
            raise ModelFileError(f"{self.what}: {error}") from None
        if found is None:
            raise ModelFileError(
                f"{self.what} needs the function {shown(str(module), name)}, which nnkit's models cannot have as a part"
            )
        return found

    def _build(self, layer: Any, config: Any, wanted: bool) -> None:
        """Build what no call of a model around it will build, by the shapes that the file gives."""
        if layer.built or not wanted or not isinstance(config, Mapping):
            return
        own = getattr(type(layer), "build_from_config", None)
        if own is not None and is_own(type(layer)):
            layer.build_from_config(dict(config))
        elif config.get("input_shape") is not None:
            shape = as_shape(config["input_shape"])
            if isinstance(layer, Model):
                layer.build(shape)
            else:
                layer.ensure_built(shape)
        elif isinstance(config.get("shapes_dict"), Mapping):
            shapes = config["shapes_dict"].items()
            layer.build(**{str(name): as_shape(shape) for name, shape in shapes if str(name).isidentifier()})
        layer.built = True


def _reads_as_function(node: Mapping[str, Any]) -> bool:
    """Whether a part without a module, in an older file, is a function: layers say whether they are trained."""
    name, config = str(node.get("class_name")), node.get("config") or {}
    return is_function_class(name) and not (is_layer_class(name) and "trainable" in config)


def _usual(values: dict[str, Any]) -> dict[str, Any]:
    """A configuration without the dtype that all layers have here, and with shapes and axes as nnkit takes them."""
    found = dict(values)
    if found.get("dtype") == floatx():
        del found["dtype"]
    if isinstance(found.get("axis"), list) and len(found["axis"]) == 1:
        found["axis"] = found["axis"][0]
    if "batch_input_shape" in found:
        found["batch_shape"] = found.pop("batch_input_shape")
    return found


def _accepted(kind: type, values: dict[str, Any], what: str) -> dict[str, Any]:
    """The arguments that a class takes. Raises ModelFileError for one that it does not, and that says something."""
    names = parameters_of(kind)
    if "batch_shape" in values and "batch_shape" not in names:
        values["input_shape"] = (values.pop("batch_shape") or [None])[1:]
    found = {}
    for name, value in values.items():
        known = RENAMED.get(name, name) if name not in names else name
        if known in names:
            found[known] = value
        elif value not in (None, False) and name not in UNUSED and USUAL.get(name, ...) != value:
            raise ModelFileError(
                f"{what}: {kind.__name__} is not made with {name!r} in nnkit; the file says {str(value)[:100]}"
            )
    return found


def _for_own(kind: type, config: dict[str, Any]) -> dict[str, Any]:
    """What the constructor of a class of the user's takes of what Keras writes of every layer."""
    names = parameters_of(kind)
    found = dict(config)
    if found.get("dtype") == floatx() or "dtype" not in names:
        found.pop("dtype", None)
    for name in ("name", "trainable"):
        if name in found and name not in names:
            del found[name]
    return found


def room_for(stored: int) -> Any:
    """A block in which a model can be made whose weights take as many bytes in the file as these."""
    return at_most(4 * stored + (1 << 24))
