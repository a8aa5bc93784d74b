"""Parts, parameters and buffers of a module: one after another, and by their dotted names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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
    """The part of Module that goes through its parts, and finds things by name."""

    _modules: dict[str, Module | None]

    # ---- one after another --------------------------------------------------------------------------------

    def named_modules(
        self, memo: set[int] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all its parts, with dotted names; a shared part once. ``memo``: parts known (by id)."""
        return self._walk(prefix, (set() if memo is None else memo) if remove_duplicate else None)

    def _walk(self, prefix: str, seen: set[int] | None) -> Iterator[tuple[str, Module]]:
        if seen is not None:
            if id(self) in seen:
                return
            seen.add(id(self))
        yield prefix, self  # type: ignore[misc]
        for name, module in self._parts_by_name().items():
            if module is not None:
                yield from module._walk(f"{prefix}.{name}" if prefix else name, seen)

    def _parts_by_name(self) -> Mapping[str, Module | None]:
        """The direct parts; a class whose parts are in other places too says so here."""
        return self._modules

    def _named_members(self, kind: str, prefix: str, recurse: bool, unique: bool) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        owners = self.named_modules(prefix=prefix, remove_duplicate=unique) if recurse else iter([(prefix, self)])
        for owner_name, owner in owners:
            for name, member in getattr(owner, kind).items():
                if member is None or (unique and id(member) in seen):
                    continue
                seen.add(id(member))
                yield f"{owner_name}.{name}" if owner_name else name, member

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Dotted names and parameters; a shared parameter once, under its first name."""
        return self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Every parameter once."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Dotted names and buffers; a shared buffer once."""
        return self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Every buffer once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct parts and their names; a shared part once."""
        seen: set[int] = set()
        for name, module in self._parts_by_name().items():
            if module is not None and id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def children(self) -> Iterator[Module]:
        """The direct parts."""
        return (module for _, module in self.named_children())

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and all its parts; a shared part once."""
        return (module for _, module in self.named_modules(remove_duplicate=remove_duplicate))

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call ``fn`` on every part, then on this module; returns the module."""
        for module in self.children():
            module.apply(fn)
        fn(self)  # type: ignore[arg-type]
        return self

    # ---- by name ------------------------------------------------------------------------------------------

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
