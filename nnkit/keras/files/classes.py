"""Which class a name in Keras's files stands for, and the other way: a closed list, nothing is imported by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any

from nnkit.errors import ModelFileError
from nnkit.io import registry
from nnkit.keras import constraints, initializers, layers, losses, metrics, objects, optimizers, regularizers
from nnkit.keras.layer import LayerOptions
from nnkit.keras.models import Model, Sequential
from nnkit.keras.optimizers import schedules
from nnkit.keras.optimizers.base import CommonOptions, OptimizerOptions

__all__ = ["class_of", "is_layer_class", "is_own", "module_of", "parameters_of", "shown", "user_class"]

#: Keras's module -> where nnkit has its classes.
FAMILIES: dict[str, Any] = {
    "layers": layers, "initializers": initializers, "regularizers": regularizers, "constraints": constraints,
    "losses": losses, "metrics": metrics, "optimizers": optimizers, "schedules": schedules,
}  # fmt: skip
MODELS: dict[str, type] = {"Sequential": Sequential, "Functional": Model, "Model": Model}
#: What constructors hand on without naming it: the annotation of their ``**options``, and the names.
SHARED: dict[Any, Any] = {
    f"Unpack[{options.__name__}]": options for options in (LayerOptions, OptimizerOptions, CommonOptions)
}


def class_of(node: Mapping[str, Any], what: str) -> type:
    """The class that a description names: the user's, or one of nnkit.keras. Raises ModelFileError for any other."""
    name, module = node.get("class_name"), node.get("module")
    if not isinstance(name, str) or not name or len(name) > 200:
        raise ModelFileError(f"{what} names no class: {str(name)[:100]!r}")
    own = user_class(node)
    if own is not None:
        if not isinstance(own, type):
            raise ModelFileError(f"{what} needs the class {name!r}; what is registered under its name is {own!r}")
        return own
    known = _built_in(name, module)
    if known is not None:
        return known
    if isinstance(module, str) and module.partition(".")[0] == "keras" and not _is_registered(node):
        raise ModelFileError(f"{what} needs {shown(module, name)}, which nnkit.keras does not have")
    called = node.get("registered_name") or name
    short = str(called).rpartition(">")[2]
    raise ModelFileError(
        f"{what} needs the class {str(called)[:200]!r}, which is not registered here: give the class as "
        f"custom_objects={{{short[:100]!r}: {short[:100]}}}, or decorate it with "
        "@keras.saving.register_keras_serializable() in your program; nothing is imported by a file's word"
    )


def user_class(node: Mapping[str, Any]) -> Any:
    """What the user registered, or gave, under the names of a description; None where it is not the user's."""
    name, registered = node.get("class_name"), node.get("registered_name")
    found = objects.found(registered) if registered else None
    if found is None:
        found = objects.found(name)
    if found is None and isinstance(name, str):
        known = registry._by_name.get(name)
        found = known if isinstance(known, type) and not _is_nnkits(known) else None
    return found


def _is_registered(node: Mapping[str, Any]) -> bool:
    return ">" in str(node.get("registered_name") or "")


def _is_nnkits(kind: Any) -> bool:
    return str(kind.__module__).partition(".")[0] == "nnkit"


def _built_in(name: str, module: Any) -> type | None:
    """A class of nnkit.keras by Keras's name and module; without a module, as older files have it, by name alone."""
    if not isinstance(module, str):
        return MODELS.get(name) or next((kind for family in FAMILIES for kind in [_member(family, name)] if kind), None)
    parts = [part for part in module.split(".") if part != "src"]
    if parts[0] not in ("keras", "tf_keras") or parts[1:2] == ["ops"]:
        return None
    if len(parts) == 1 or parts[1] in ("models", "engine"):
        return MODELS.get(name)
    return _member("schedules" if "schedules" in "".join(parts) else parts[1], name)


def _member(family: str, name: str) -> type | None:
    home = FAMILIES.get(family)
    if home is None or not name.isidentifier() or name.startswith("_"):
        return None
    listed = name in home.__all__ or (home is layers and name in layers.WHERE)
    found = getattr(home, name) if listed else None
    return found if isinstance(found, type) else None


def is_layer_class(name: str) -> bool:
    """Whether a layer has this name."""
    return _member("layers", name) is not None


def is_own(kind: type) -> bool:
    """Whether a class is the user's."""
    return not _is_nnkits(kind)


def module_of(kind: type) -> str | None:
    """Keras's module of a class of nnkit.keras; None for the user's."""
    if kind is Sequential:
        return "keras"
    if kind is Model:
        return "keras.src.models.functional"
    for family in FAMILIES:
        if _member(family, kind.__name__) is kind:
            return "keras.optimizers.schedules" if family == "schedules" else f"keras.{family}"
    return None


@cache
def parameters_of(kind: type) -> frozenset[str]:
    """The names of the arguments that a class can be made with, those that it hands on to its bases included."""
    names: set[str] = set()
    for base in kind.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = list(inspect.signature(base.__init__).parameters.values())[1:]  # type: ignore[misc]
        names |= {one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
        rest = next((one for one in parameters if one.kind is one.VAR_KEYWORD), None)
        if rest is None:
            break
        if rest.annotation in SHARED:
            names |= set(SHARED[rest.annotation].__annotations__)
            break
    return frozenset(names)


def shown(module: str, name: str) -> str:
    """A class as messages name it."""
    return f"{module[:100]}.{name[:100]}"
