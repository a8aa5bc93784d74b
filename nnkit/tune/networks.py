"""From a setting to a network with its optimizer, and which networks are of one shape."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from nnkit.errors import UnknownNameError
from nnkit.nn import Dropout
from nnkit.nn.module import Module
from nnkit.optim import Optimizer
from nnkit.optim.optimizers import OPTIMIZERS
from nnkit.tensors.random import Generator, using

__all__ = ["Design", "Network", "plain_settings", "shape_of", "varying"]

PREFIX = "optimizer__"
#: Attributes of a module that say nothing about what it computes, or are looked at by themselves.
OTHERWISE = {
    "_training", "_parameters", "_buffers", "_modules", "_transient_buffers", "_constructor_arguments", "_predictor",
    "_last_fit",
}  # fmt: skip


@dataclass(frozen=True)
class Network:
    """A model, its optimizer, and the seed of all that is drawn for it.

    ``first_draw``: of the draws with that seed, the one that the first epoch's order comes from; ``stream``: what the
    steps draw from, where that is no new stream of the seed.
    """

    setting: Mapping[str, Any]
    model: Module
    optimizer: Optimizer
    seed: int
    first_draw: int = 0
    stream: Generator | None = None


@dataclass(frozen=True)
class Design:
    """What makes a network of a setting.

    A name in a setting is, in this order: "seed", "optimizer", a parameter of ``build``, an option of the optimizer
    (also as ``optimizer__name``), or, where ``build`` takes ``**names``, one of those.
    """

    build: Callable[..., Module]
    optimizer: Any
    seed: int
    device: Any = None

    def network(self, setting: Mapping[str, Any]) -> Network:
        """The network that is asked for. Raises UnknownNameError for a name that nobody knows, TypeError for what
        ``build`` makes if that is no Module."""
        given = dict(setting)
        seed = int(given.pop("seed", self.seed))
        kind = given.pop("optimizer", self.optimizer)
        make = _maker(kind)
        options, arguments = self._shared_out(given, make)
        with using(Generator(seed)):
            model = self.build(**arguments)
        if not isinstance(model, Module):
            raise TypeError(f"build must return a Module, got {type(model).__name__}")
        if self.device is not None:
            model.to(self.device)
        optimizer = make([p for p in model.parameters() if p.requires_grad], **options)
        return Network(setting, model, optimizer, seed)

    @functools.cached_property
    def _signature(self) -> tuple[list[str], bool]:
        return _parameters(self.build)

    @functools.cached_property
    def _known(self) -> dict[Any, list[str]]:
        """The options of each optimizer."""
        return {}

    def _shared_out(self, given: Mapping[str, Any], make: Callable[..., Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The options of the optimizer, and the arguments of ``build``."""
        own, takes_all = self._signature
        if make not in self._known:
            self._known[make] = _parameters(make)[0][1:]
        known = self._known[make]
        options, arguments = {}, {}
        for name, value in given.items():
            if name.startswith(PREFIX):
                option = name.removeprefix(PREFIX)
                if option not in known:
                    raise UnknownNameError("option of the optimizer", option, known)
                options[option] = value
            elif name in own:
                arguments[name] = value
            elif name in known:
                options[name] = value
            elif takes_all:
                arguments[name] = value
            else:
                raise UnknownNameError("name in a setting", name, ["seed", "optimizer", *own, *known])
        return options, arguments


def _maker(optimizer: Any) -> Callable[..., Optimizer]:
    if isinstance(optimizer, str):
        if optimizer.lower() not in OPTIMIZERS:
            raise UnknownNameError("optimizer", optimizer, OPTIMIZERS)
        return OPTIMIZERS[optimizer.lower()]
    if isinstance(optimizer, Optimizer) or not callable(optimizer):
        raise TypeError(
            "optimizer must be a name, a class or a function (parameters, lr=...) -> Optimizer, for each network gets "
            f"one of its own; got {type(optimizer).__name__}"
        )
    return optimizer


def _parameters(function: Callable[..., Any]) -> tuple[list[str], bool]:
    """The names of a function's parameters, and whether it takes any."""
    parameters = inspect.signature(function).parameters.values()
    named = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return named, any(p.kind is p.VAR_KEYWORD for p in parameters)


# ---- shapes ---------------------------------------------------------------------------------------------------


def varying(model: Module) -> list[Dropout]:
    """The parts whose number may be another in each network of one shape: dropouts that draw."""
    return [part for part in model.modules() if type(part) is Dropout and 0.0 < part.p < 1.0]


def shape_of(network: Network) -> Hashable:
    """Equal for networks that one program can train: parts, sizes, formulas; all but weights and numbers that vary.

    What a part keeps besides numbers, texts and tuples of them is compared by identity: so a module with a list or a
    function of its own is like no other.
    """
    parts: list[Hashable] = []
    drawing = {id(part) for part in varying(network.model)}
    for name, part in network.model.named_modules():
        own = plain_settings(part, **({"p": "varies"} if id(part) in drawing else {}))
        tensors = [(n, t.shape, str(t.dtype), t.requires_grad) for n, t in _tensors(part)]
        parts.append((name, type(part), own, tuple(tensors)))
    optimizer = network.optimizer
    formulas = tuple(optimizer.formulas(g.options) if optimizer.has_formulas else id(g) for g in optimizer.param_groups)
    return tuple(parts), type(optimizer), formulas


def plain_settings(part: Any, **instead: Any) -> Hashable:
    """What a module keeps besides weights and parts, ``instead`` in place of some: equal where it does the same."""
    own = {name: value for name, value in vars(part).items() if name not in OTHERWISE}
    return tuple((name, _plain(value)) for name, value in (own | instead).items())


def _tensors(part: Module) -> list[tuple[str, Any]]:
    return [(n, t) for n, t in [*part._parameters.items(), *part._buffers.items()] if t is not None]


def _plain(value: Any) -> Hashable:
    if isinstance(value, (int, float, str, bool, type(None))):
        return type(value), value
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    if isinstance(value, (dict, set)) and not value:
        return ()
    return id(value)
