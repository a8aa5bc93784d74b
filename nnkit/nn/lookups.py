"""Parts, parameters and buffers of a module by their dotted names, and PyTorch's words that mean nothing here."""

from __future__ import annotations

from collections.abc import Callable
from inspect import getattr_static
from types import MethodType
from typing import TYPE_CHECKING, Any, Self

from nnkit.tensors.tensor import Parameter, Tensor

if TYPE_CHECKING:
    from nnkit.nn.module import Module

__all__ = ["Lookups", "Yielding", "yields"]


class Yielding:
    """A method of modules that gives way to a part or parameter of its name: programs written for PyTorch, which has no
    such method, may call a part so.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name, self.function = name, function

    def __get__(self, module: Any, owner: Any = None) -> Any:
        if module is None:
            return self.function
        for registry in ("_parameters", "_buffers", "_modules"):
            if self.name in module.__dict__.get(registry, ()):
                return module.__dict__[registry][self.name]
        return MethodType(self.function, module)


def yields(owner: type, name: str) -> bool:
    """Whether the attribute ``name`` of a class gives way to a part of that name."""
    return isinstance(getattr_static(owner, name), Yielding)


class Lookups:
    """The part of Module that finds things by name."""

    def get_submodule(self, target: str) -> Module:
        """The part called ``target``, such as "encoder.0"; the module itself for "". Raises AttributeError.

        >>> import nnkit.nn as nn
        >>> nn.Sequential(nn.Identity()).get_submodule("0")
        Identity()
        """
        found: Any = self
        left = [name for name in target.split(".") if name]
        while left:
            parts = found._parts_by_name()
            # A part in a list of the module's has a dot in its name: "blocks.0".
            taken = next((n for n in range(len(left), 0, -1) if parts.get(".".join(left[:n])) is not None), 0)
            if not taken:
                raise AttributeError(
                    f"{type(found).__name__} has no part {left[0]!r}; it has {', '.join(parts) or 'none'}"
                )
            found, left = parts[".".join(left[:taken])], left[taken:]
        return found

    def get_parameter(self, target: str) -> Parameter:
        """The parameter called ``target``, such as "encoder.0.weight". Raises AttributeError."""
        return self._member("_parameters", "parameter", target)

    def get_buffer(self, target: str) -> Tensor:
        """The buffer called ``target``. Raises AttributeError."""
        return self._member("_buffers", "buffer", target)

    def _member(self, registry: str, kind: str, target: str) -> Any:
        owner_name, _, name = target.rpartition(".")
        owner = self.get_submodule(owner_name)
        found = getattr(owner, registry).get(name)
        if found is None:
            raise AttributeError(f"{type(owner).__name__} has no {kind} {name!r}")
        return found

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put ``module`` in the place of the part called ``target``; with ``strict`` there must be one."""
        owner_name, _, name = target.rpartition(".")
        owner = self.get_submodule(owner_name)
        if not name or (strict and name not in owner._modules):
            raise AttributeError(f"{type(owner).__name__} has no part {name!r}")
        owner.add_module(name, module)

    def register_module(self, name: str, module: Module | None) -> None:
        """``add_module`` under PyTorch's other name."""
        self.add_module(name, module)  # type: ignore[attr-defined]

    def type(self, dst_type: Any) -> Self:
        """Convert floating-point tensors to a type: ``to(dtype)``."""
        return self.to(dtype=getattr(dst_type, "dtype", dst_type))  # type: ignore[attr-defined]

    def share_memory(self) -> Self:
        """The module as it is: nnkit's processes share no memory."""
        return self
