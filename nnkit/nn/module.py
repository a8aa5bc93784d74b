"""Module: parameters, and the ops that use them, under one name.

Whatever a module is given as an attribute is sorted by what it is: a ``Parameter`` is learned, a ``Module``
is a part of this one, a buffer (``register_buffer``) is kept beside the parameters but not learned, and
anything else is an ordinary attribute. From that follow the lists of parameters for an optimizer, the names
in a file (``"0.weight"``), and the moves from one device to another. The interface is PyTorch's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

from nnkit.backends import Device
from nnkit.backends.recording import MISSING, recorder, same
from nnkit.nn import constraints
from nnkit.nn.backward_hooks import BackwardHook, Passage, add_backward_hook
from nnkit.nn.hooks import ForwardHook, HookHandle, add_hook, after_forward, before_forward
from nnkit.nn.lookups import yields
from nnkit.nn.modes import mode_of, set_mode
from nnkit.nn.placement import Casts, converter, replace
from nnkit.nn.regularizers import Regularizers
from nnkit.nn.state import IncompatibleKeys, WithState
from nnkit.recording.observer import call
from nnkit.recording.state import changed
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Parameter, Tensor

__all__ = ["Module", "IncompatibleKeys"]


class Module(WithState, Casts):
    """The base class of layers, models and losses: write ``__init__`` and ``forward``, and call it like a
    function.

    Source: ``torch.nn.Module``.

    >>> import nnkit
    >>> class Scale(Module):
    ...     def __init__(self) -> None:
    ...         super().__init__()
    ...         self.factor = Parameter(nnkit.tensor([2.0]))
    ...
    ...     def forward(self, x: Tensor) -> Tensor:
    ...         return x * self.factor
    >>> Scale()(nnkit.tensor([1.0, 3.0])).tolist()
    [2.0, 6.0]
    """

    regularizers: dict[str, Callable[[Tensor], Tensor]]
    constraints: dict[str, Callable[[Tensor], Tensor]]
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _transient_buffers: set[str]
    _forward_hooks: dict[int, ForwardHook]
    _forward_pre_hooks: dict[int, ForwardHook]
    _backward_hooks: Mapping[int, BackwardHook] = {}  # until one is registered

    # Attached when nnkit is imported: by nnkit.training, save by nnkit.io, the next two by nnkit.nn.summary, the last
    # by nnkit.nn.compiled: what ``nnkit.compile`` makes of this module and its recorded calls.
    fit: Callable[..., Any]
    evaluate: Callable[..., Any]
    predict: Callable[..., Any]
    reads: Callable[..., Any]
    save: Callable[..., Any]
    summary: Any
    _repr_html_: Callable[..., Any]
    _compiled_by: Callable[..., Module]

    def __init__(self) -> None:
        if (at_work := recorder()) is not None:
            at_work.born[id(self)] = self
        self.training = True
        #: Name of a parameter of this module -> a function of it, whose value ``penalty`` adds.
        self.regularizers = Regularizers()
        #: Name of a parameter of this module -> a function of it: what ``constrain`` makes it.
        self.constraints = Regularizers()
        self._parameters = {}
        self._buffers = {}
        self._modules = {}
        self._transient_buffers = set()
        self._forward_hooks = {}
        self._forward_pre_hooks = {}

    # ---- calling ------------------------------------------------------------------------------------------

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; a subclass writes it, and callers call the module itself."""
        raise NotImplementedError(f"{type(self).__name__} has no forward method: define forward(self, x)")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        passage = Passage(self) if self._backward_hooks else None
        if passage is not None:
            args = passage.inputs(args)
        if (at_work := recorder()) is not None:
            at_work.modules[id(self)] = self
            if self._forward_hooks or self._forward_pre_hooks:
                at_work.obstacle(f"{type(self).__name__} has a forward hook, which is Python,")
        if self._forward_pre_hooks:
            args, kwargs = before_forward(self, self._forward_pre_hooks.values(), args, kwargs)
        output = call(self.forward, *args, **kwargs) if at_work is not None else self.forward(*args, **kwargs)
        if self._forward_hooks:
            output = after_forward(self, self._forward_hooks.values(), args, kwargs, output)
        return output if passage is None else passage.outputs(output)

    def register_forward_hook(
        self, hook: ForwardHook, *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> HookHandle:
        """Call ``hook(module, args, output)`` after every forward; what it returns, unless None, is the output.

        ``prepend``: before the other hooks. ``with_kwargs``: as ``hook(module, args, kwargs, output)``.
        ``always_call`` has no effect: a forward that raises has no output.

        >>> module, seen = Module(), []
        >>> module.forward = lambda x: x + 1
        >>> handle = module.register_forward_hook(lambda module, args, output: seen.append(output))
        >>> module(1), handle.remove(), module(2), seen
        (2, None, 3, [2])
        """
        return add_hook(self._forward_hooks, hook, prepend, with_kwargs)

    def register_forward_pre_hook(
        self, hook: ForwardHook, *, prepend: bool = False, with_kwargs: bool = False
    ) -> HookHandle:
        """Call ``hook(module, args)`` before every forward; what it returns, unless None, are the arguments.

        ``prepend``: before the other hooks. ``with_kwargs``: as ``hook(module, args, kwargs)``, which returns both.

        >>> module = Module()
        >>> module.forward = lambda x: x + 1
        >>> handle = module.register_forward_pre_hook(lambda module, args: (args[0] * 10,))
        >>> module(1), handle.remove(), module(1)
        (11, None, 2)
        """
        return add_hook(self._forward_pre_hooks, hook, prepend, with_kwargs)

    def register_full_backward_hook(self, hook: BackwardHook, prepend: bool = False) -> HookHandle:
        """Call ``hook(module, grad_input, grad_output)`` when the gradients of the positional inputs are known; what it
        returns, unless None, they are instead.

        Both are tuples; where a tensor does not require grad, None. ``prepend`` puts it before the others.

        >>> import nnkit
        >>> layer, seen = nnkit.nn.Linear(2, 1, bias=False), []
        >>> handle = layer.register_full_backward_hook(lambda module, given, got: seen.append(got[0].tolist()))
        >>> layer(nnkit.ones(1, 2, requires_grad=True)).sum().backward(); seen
        [[[1.0]]]
        """
        if not self._backward_hooks:
            self._backward_hooks = {}
        handle = add_backward_hook(self._backward_hooks, hook)  # type: ignore[arg-type]
        if prepend:
            hooks: dict[int, BackwardHook] = self._backward_hooks  # type: ignore[assignment]
            for key in list(hooks)[:-1]:
                hooks[key] = hooks.pop(key)
        return handle

    #: PyTorch's older name; there it saw other gradients in modules of several ops.
    register_backward_hook = register_full_backward_hook

    # ---- registration by attribute ------------------------------------------------------------------------

    def _registries(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        if "_forward_hooks" not in self.__dict__:
            name = type(self).__name__
            raise AttributeError(
                f"{name} was not initialised as a Module: call super().__init__() first in {name}.__init__"
            )
        return self._parameters, self._buffers, self._modules

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "training":
            object.__setattr__(self, name, value)
            return
        if isinstance(value, Parameter):
            self.register_parameter(name, value)
            return
        if isinstance(value, Module):
            self.add_module(name, value)
            return
        if "_forward_hooks" in self.__dict__:
            for registry, kind in (
                (self._parameters, Parameter),
                (self._modules, Module),
                (self._buffers, Tensor),
            ):
                if name in registry:
                    if value is not None and not isinstance(value, kind):
                        raise TypeError(
                            f"{type(self).__name__}.{name} is a registered {kind.__name__}: it can be set to "
                            f"a {kind.__name__} or None, got {type(value).__name__}"
                        )
                    before, registry[name] = registry[name], value  # type: ignore[assignment]
                    changed(self, name, before)
                    return
        before = self.__dict__.get(name, MISSING)
        object.__setattr__(self, name, value)
        if not same(before, value):
            changed(self, name, before)

    def __getattr__(self, name: str) -> Any:
        # Python calls this only for what is no ordinary attribute.
        if not (name.startswith("__") and name.endswith("__")):
            for registry in self._registries():
                if name in registry:
                    if (at_work := recorder()) is not None:
                        at_work.modules[id(self)] = self
                    return registry[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        registry = next((registry for registry in self._registries() if name in registry), None)
        if registry is None:
            object.__delattr__(self, name)
        else:
            del registry[name]
        changed()

    def _register(self, registry: dict[str, Any], name: str, value: Any, kind: type) -> None:
        """Put ``value`` under ``name`` into one registry, and out of every other place."""
        registries = self._registries()
        if not isinstance(name, str) or not name or "." in name:
            raise ValueError(f"the name of a {kind.__name__} must be text without dots, got {name!r}")
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"{name!r} must be a {kind.__name__} or None, got {type(value).__name__}")
        if name not in registry and hasattr(type(self), name) and not yields(type(self), name):
            raise KeyError(f"{type(self).__name__} already has an attribute {name!r}: choose another name")
        before = registry.get(name, MISSING)
        for other in (*registries, self.__dict__):
            if other is not registry:
                other.pop(name, None)
        registry[name] = value
        changed(self, name, before)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under ``name``; None reserves the name (a layer without bias)."""
        self._register(self._parameters, name, param, Parameter)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that moves and, where ``persistent``, is saved with the module, but is not learned."""
        self._register(self._buffers, name, tensor, Tensor)
        (self._transient_buffers.discard if persistent else self._transient_buffers.add)(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add ``module`` as the part called ``name``."""
        self._register(self._modules, name, module, Module)

    # ---- modes and gradients ------------------------------------------------------------------------------

    @property
    def training(self) -> bool:
        """Whether the module is in training mode: what ``train()`` and ``eval()`` set (see ``nnkit.nn.modes``)."""
        return mode_of(self)

    @training.setter
    def training(self, mode: bool) -> None:
        before = mode_of(self) if "_training" in self.__dict__ else MISSING
        set_mode(self, mode)
        if not same(before, mode):
            changed(self, "training", before)

    def train(self, mode: bool = True) -> Self:
        """Set training mode (dropout drops) here and in every part."""
        if not isinstance(mode, bool):
            raise TypeError(f"train(mode) expects True or False, got {mode!r}")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Set evaluation mode: ``train(False)``."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Learn every parameter (True) or freeze them (False)."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of every parameter; without ``set_to_none``, fill those there are with 0."""
        for parameter in self.parameters():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad.zero_()

    def penalty(self) -> Tensor | None:
        """The sum of every regularizer in this module and its parts, a scalar; None where there is none."""
        total: Tensor | None = None
        if (at_work := recorder()) is not None:
            at_work.modules[id(self)] = self
        for module in self.modules():
            for name, regularizer in module.regularizers.items():
                value = call(regularizer, getattr(module, name))
                total = value if total is None else total + value
        return total

    @no_grad()
    def constrain(self) -> None:
        """Make every parameter that has a constraint, here and in all parts, what it allows; after an update.

        >>> from nnkit import nn
        >>> layer = nn.Linear(2, 1); layer.constraints["weight"] = nn.NonNegative()
        >>> layer.constrain(); layer.weight.min().item() >= 0.0
        True
        """
        if (at_work := recorder()) is not None:
            at_work.modules[id(self)] = self
        for module in self.modules():
            for name, constraint in module.constraints.items():
                constraints.apply(getattr(module, name), constraint)

    # ---- device and dtype ---------------------------------------------------------------------------------

    def to(
        self,
        *args: Any,
        device: Any = None,
        dtype: Any = None,
        non_blocking: bool = False,
        memory_format: Any = None,
    ) -> Self:
        """Move to a device, a dtype, or both: ``to("cuda")``, ``to(nnkit.float64)``, ``to(device, dtype)``.

        Parameters stay the same objects, with their gradients moved; a dtype applies to floating-point
        tensors. Move a model before you make its optimizer. ``non_blocking`` and ``memory_format`` have no
        effect. Raises DtypeError for a dtype that is not floating point.
        """
        return self._replace_tensors(converter(args, device, dtype))

    def _replace_tensors(self, convert: Callable[[Tensor], Tensor]) -> Self:
        for parameter in self.parameters():
            replace(parameter, convert)
        for module in self.modules():
            # A buffer may be a tensor that someone else made and uses: it stays as it is.
            for name in [name for name, buffer in module._buffers.items() if buffer is not None]:
                setattr(module, name, convert(module._buffers[name]))  # type: ignore[arg-type]
        return self

    def cpu(self) -> Self:
        """Move to the best CPU device; what is on a CPU stays where it is."""
        return self._replace_tensors(Tensor.cpu)

    def cuda(self, device: Any = None) -> Self:
        """Move to the NVIDIA GPU (number ``device``)."""
        return self.to(device="cuda" if device is None else Device(device))

    # ---- text ---------------------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What stands between the parentheses of this module's own line."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        parts = [f"({name}): " + repr(module).replace("\n", "\n  ") for name, module in self._parts_by_name().items()]
        if not parts:
            return f"{type(self).__name__}({extra})"
        lines = ([extra] if extra else []) + parts
        return f"{type(self).__name__}(\n  " + "\n  ".join(lines) + "\n)"
