"""Weights that are computed by modules from others: PyTorch's ``nn.utils.parametrize``.

``module.parametrizations`` holds, for each such weight, what is learned instead (``original``) and the modules that
compute with it. The module becomes one of a class made for it, in which the weight is a property: whoever reads it gets
it computed, on the tape and in recorded steps; what is set goes back through ``right_inverse``. Such a module is saved
by its ``state_dict``, as in PyTorch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from nnkit.nn.containers import ModuleDict, ModuleList
from nnkit.nn.module import Module
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Parameter, Tensor

__all__ = [
    "ParametrizationList", "cached", "is_parametrized", "register_parametrization", "remove_parametrizations",
    "type_before_parametrizations",
]  # fmt: skip

M = TypeVar("M", bound=Module)


class ParametrizationList(ModuleList):
    """The modules that compute one weight, one after the other, from ``original`` (or ``original0``, ``original1`` …).

    Made by ``register_parametrization``. The first module's ``right_inverse`` may give several originals. The weight is
    of any shape and dtype. Raises ValueError where ``right_inverse`` gives no Tensor. Source:
    ``torch.nn.utils.parametrize.ParametrizationList``.

    >>> import nnkit
    >>> layer = nnkit.nn.utils.parametrizations.weight_norm(nnkit.nn.Linear(3, 2))
    >>> type(layer.parametrizations.weight).__name__, layer.parametrizations.weight.original0.shape
    ('ParametrizationList', (2, 1))
    """

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False) -> None:
        super().__init__(modules)
        self.unsafe = unsafe
        found = _begun(modules[0], original)
        if not isinstance(found, Tensor) and not (isinstance(found, (tuple, list)) and _tensors(found)):
            raise ValueError(f"right_inverse: expected a Tensor or several, got {type(found).__name__}")
        self.is_tensor = isinstance(found, Tensor)
        self.ntensors = 1 if isinstance(found, Tensor) else len(found)
        if isinstance(found, Tensor):
            _check_kept("right_inverse", original, found, unsafe)
            original.data = found.detach()
            self._keep("original", original)
            return
        for number, part in enumerate(found):
            learned = isinstance(original, Parameter)
            own = part.detach().clone()
            self._keep(f"original{number}", Parameter(own, original.requires_grad) if learned else own)

    def _keep(self, name: str, tensor: Tensor) -> None:
        if isinstance(tensor, Parameter):
            self.register_parameter(name, tensor)
        else:
            self.register_buffer(name, tensor)

    def originals(self) -> list[Tensor]:
        """What the weight is computed from."""
        names = ["original"] if self.is_tensor else [f"original{number}" for number in range(self.ntensors)]
        return [getattr(self, name) for name in names]

    def forward(self) -> Tensor:
        """The weight."""
        first, *others = self
        x = first(*self.originals())
        for module in others:
            x = module(x)
        return x

    def right_inverse(self, value: Tensor) -> None:
        """Set the originals to what the weight ``value`` is computed from; it is off the tape.

        Raises NotImplementedError where a module has no ``right_inverse``.
        """
        with no_grad():
            found: Any = value.detach()
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise NotImplementedError(
                        f"{type(module).__name__} has no right_inverse: give it one to set what it computes"
                    )
                found = _inverted(module, found)
            for original, part in zip(self.originals(), [found] if self.is_tensor else found, strict=True):
                if original.shape == part.shape:
                    original.copy_(part)
                else:
                    original.data = part.to(original.dtype)


def _begun(module: Any, original: Tensor) -> Any:
    """What a weight is computed from at first: itself, where there is no inverse."""
    if not hasattr(module, "right_inverse"):
        return original
    with no_grad(), contextlib.suppress(NotImplementedError):
        return _inverted(module, original.detach())
    return original


def _inverted(module: Any, value: Tensor) -> Any:
    return module.right_inverse(value)


def _tensors(values: Sequence[Any]) -> bool:
    return all(isinstance(value, Tensor) for value in values)


def _check_kept(what: str, before: Tensor, after: Any, unsafe: bool) -> None:
    """Raise ValueError where a parametrization changes the shape or the type of a weight."""
    if not isinstance(after, Tensor):
        raise ValueError(f"{what}: expected a Tensor, got {type(after).__name__}")
    if not unsafe and (after.shape != before.shape or after.dtype != before.dtype):
        raise ValueError(
            f"{what} of a weight of {before.dtype}, shape {before.shape}, gives {after.dtype}, shape {after.shape}: it "
            "may change neither, unless unsafe=True"
        )


# ---- registering and removing ---------------------------------------------------------------------------------------


def register_parametrization(module: M, tensor_name: str, parametrization: Module, *, unsafe: bool = False) -> M:
    """Compute a parameter or buffer by ``parametrization(original)`` from now on; several compute in turn.

    Where the parametrization has a ``right_inverse``, the original is that of the present value, and ``module.name =
    value`` works. The original stays the same Parameter. Returns the module. Raises ValueError for a name without a
    tensor and, unless ``unsafe``, where shape or type change. Source: ``torch.nn.utils.parametrize``.

    >>> import nnkit
    >>> class Symmetric(nnkit.nn.Module):
    ...     def forward(self, x):
    ...         return x.triu() + x.triu(1).T
    >>> layer = register_parametrization(nnkit.nn.Linear(2, 2), "weight", Symmetric())
    >>> bool((layer.weight == layer.weight.T).all()), [name for name, _ in layer.named_parameters()]
    (True, ['bias', 'parametrizations.weight.original'])
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        _append(module, tensor_name, parametrization, unsafe)
        return module
    original = module._parameters.get(tensor_name, module._buffers.get(tensor_name))
    if original is None:
        raise ValueError(
            f"{type(module).__name__} has no parameter or buffer {tensor_name!r}, nor parametrization of it"
        )
    shown = original.detach().clone()
    made = ParametrizationList([parametrization], original, unsafe)
    with no_grad():
        _check_kept("the parametrization", shown, made(), unsafe)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        module.parametrizations = ModuleDict()
    module.parametrizations[tensor_name] = made
    return _of_own_class(module)


def _of_own_class(module: M) -> M:
    """The module, of a class of its own that computes its weights; of its first one where there are none."""
    known = type_before_parametrizations(module)
    names = list(module.parametrizations)
    members = {name: _computed(name) for name in names} | {"__module__": __name__, "_before": known}
    module.__class__ = type(f"Parametrized{known.__name__}", (known,), members) if names else known
    return module


def _computed(name: str) -> property:
    def get(owner: Any) -> Tensor:
        return owner.parametrizations[name]()

    def put(owner: Any, value: Tensor) -> None:
        owner.parametrizations[name].right_inverse(value)

    return property(get, put)


def _append(module: Module, name: str, parametrization: Module, unsafe: bool) -> None:
    """One more module for a weight that is computed already."""
    row: Any = module.parametrizations[name]
    with no_grad():
        now = getattr(module, name)
        _check_kept("the parametrization", now, parametrization(now), unsafe)
        if hasattr(parametrization, "right_inverse"):
            before = _inverted(parametrization, now)
            _check_kept("right_inverse", now, before, unsafe)
            row.append(parametrization)
            setattr(module, name, now)
        else:
            row.append(parametrization)
    row.unsafe = row.unsafe or unsafe


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a module computes a weight, or the one of that name.

    Raises AttributeError for what is no Module. Source: ``torch.nn.utils.parametrize.is_parametrized``.

    >>> import nnkit
    >>> is_parametrized(nnkit.nn.Linear(2, 2))
    False
    """
    found = module._modules.get("parametrizations")
    if not isinstance(found, ModuleDict) or "_before" not in vars(type(module)):
        return False
    return len(found) > 0 if tensor_name is None else tensor_name in found


def remove_parametrizations(module: M, tensor_name: str, leave_parametrized: bool = True) -> M:
    """Make a weight an ordinary parameter or buffer again, with its present value or, unless ``leave_parametrized``,
    with the original's.

    Returns the module. Raises ValueError for a weight that is not computed, and without ``leave_parametrized`` for one
    that is computed from several. Source: ``torch.nn.utils.parametrize.remove_parametrizations``.

    >>> import nnkit
    >>> layer = nnkit.nn.utils.parametrizations.weight_norm(nnkit.nn.Linear(3, 2))
    >>> [name for name, _ in remove_parametrizations(layer, "weight").named_parameters()]
    ['bias', 'weight']
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"{type(module).__name__} has no parametrization of {tensor_name!r}")
    row: Any = module.parametrizations[tensor_name]
    originals = row.originals()
    kept = originals[0]
    if leave_parametrized:
        with no_grad():
            value = getattr(module, tensor_name).detach().clone()
        if row.is_tensor:
            kept.data = value
        else:
            learned = any(original.requires_grad for original in originals)
            kept = Parameter(value, learned) if isinstance(kept, Parameter) else value
    elif not row.is_tensor:
        raise ValueError(f"{tensor_name!r} is computed from {row.ntensors} tensors: leave it parametrized")
    del module.parametrizations[tensor_name]
    if not len(_of_own_class(module).parametrizations):
        delattr(module, "parametrizations")
    if isinstance(kept, Parameter):
        module.register_parameter(tensor_name, kept)
    else:
        module.register_buffer(tensor_name, kept)
    return module


def type_before_parametrizations(module: Module) -> type:
    """The class of a module without its parametrizations.

    Raises nothing. Source: ``torch.nn.utils.parametrize.type_before_parametrizations``.

    >>> import nnkit
    >>> type_before_parametrizations(nnkit.nn.utils.parametrizations.weight_norm(nnkit.nn.Linear(3, 2))).__name__
    'Linear'
    """
    return vars(type(module)).get("_before", type(module))


@contextlib.contextmanager
def cached() -> Iterator[None]:
    """Nothing: weights are computed whenever they are read, inside and outside of this block.

    Source: ``torch.nn.utils.parametrize.cached``.

    >>> with cached():
    ...     pass
    """
    yield
