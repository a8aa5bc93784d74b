"""The state of a module: its parameters and buffers as tensors by dotted names, and putting such a state back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

from nnkit.nn.lookups import Lookups
from nnkit.tensors.loading import Fit
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Parameter, Tensor

__all__ = ["IncompatibleKeys", "WithState"]


class IncompatibleKeys(NamedTuple):
    """What ``load_state_dict(strict=False)`` found to differ."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not any(self):
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


class WithState(Lookups):
    """The part of Module that gives its state, and takes one."""

    def state_dict(
        self, *, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> OrderedDict[str, Tensor]:
        """Dotted name -> detached tensor, of the parameters and persistent buffers; they share memory with
        them.

        A shared parameter stands under each of its names, as in PyTorch. ``destination``: the dict to fill. ``prefix``:
        what all names begin with. ``keep_vars``: the parameters and buffers themselves.
        """
        state: OrderedDict[str, Tensor] = OrderedDict() if destination is None else destination
        begin = prefix
        for prefix, module in self.named_modules(remove_duplicate=False):
            saved = module._parameters | {
                name: buffer for name, buffer in module._buffers.items() if name not in module._transient_buffers
            }
            for name, tensor in saved.items():
                if tensor is not None:
                    whole = begin + (f"{prefix}.{name}" if prefix else name)
                    state[whole] = tensor if keep_vars else tensor.detach()
        return state

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy the tensors (or arrays) of ``state_dict`` into the parameters and buffers of the same names.

        The copy is in place: parameters stay the same objects in the same memory. Everything is checked
        before anything is copied. Returns (missing_keys, unexpected_keys); with ``strict`` both are empty. With
        ``assign`` the given tensors take the places themselves, with their types and devices.

        Raises ModelFileError that lists every mismatch: missing and unexpected names (where ``strict``),
        wrong shapes.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"state_dict must be a mapping of names to tensors, got {type(state_dict).__name__}")
        own, fit = self.state_dict(), Fit(self)
        missing = [name for name in own if name not in state_dict]
        unexpected = [name for name in state_dict if name not in own]
        if strict:
            fit.names(own, state_dict)
        values = {
            name: fit.tensor(repr(name), state_dict[name], tensor.shape, None if assign else tensor.device)
            for name, tensor in own.items()
            if name in state_dict
        }
        fit.settle()
        with no_grad():
            for name, value in values.items():
                if assign:
                    self._assign(name, value)  # type: ignore[arg-type]
                else:
                    own[name].copy_(value)
        return IncompatibleKeys(missing, unexpected)

    def _assign(self, name: str, value: Tensor) -> None:
        """Put a tensor in the place of a parameter or buffer, which goes on to be learned or not."""
        owner_name, _, last = name.rpartition(".")
        owner = self.get_submodule(owner_name)
        old = owner._parameters.get(last)
        setattr(owner, last, value.detach() if old is None else Parameter(value.detach(), old.requires_grad))
