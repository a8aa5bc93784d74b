"""Parameters with a prefix: ``module__width=8`` reaches the module's constructor, as in skorch.

They are parameters like any: ``get_params``, ``set_params``, ``clone`` and grid search know them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from sklearn.base import BaseEstimator

from nnkit.errors import nearest_names

__all__ = ["Prefixed", "accepts", "options", "refuse_strange"]

PREFIXES = ("module__", "optimizer__", "criterion__")


class Prefixed(BaseEstimator):
    """A BaseEstimator whose constructor also takes ``module__name``, ``optimizer__name`` and ``criterion__name``."""

    def _set(self, parameters: dict[str, Any], further: dict[str, Any]) -> None:
        """Keep the constructor's arguments, as they are; ``fit`` refuses those that nothing has."""
        own = {name: value for name, value in parameters.items() if name not in ("self", "__class__", "further")}
        self.__dict__.update(own | further)
        self._further = set(further)

    def _refuse_unknown(self) -> None:
        """Raise TypeError for a parameter that nothing has."""
        for name in self._further:
            if not name.startswith(PREFIXES):
                near = nearest_names(name, super().get_params(False))
                hint = f": did you mean {near[0]!r}?" if near else f"; module__{name} reaches the module"
                raise TypeError(f"{type(self).__name__} has no parameter {name!r}{hint}")

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """All parameters by name, those with a prefix too."""
        return super().get_params(deep) | {name: getattr(self, name) for name in sorted(self._further)}

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name; one with a prefix need not have been set before."""
        further = {name: value for name, value in params.items() if name.startswith(PREFIXES)}
        self.__dict__.update(further)
        self._further |= set(further)
        super().set_params(**{name: value for name, value in params.items() if name not in further})
        return self


def options(estimator: Any, part: str) -> dict[str, Any]:
    """The parameters of ``part``: "module" has those that begin with "module__"."""
    prefix = f"{part}__"
    return {name.removeprefix(prefix): value for name, value in vars(estimator).items() if name.startswith(prefix)}


def refuse_strange(function: Callable[..., Any], given: Mapping[str, Any], part: str, but: Sequence[str] = ()) -> None:
    """Raise TypeError for a name that a class or function has no parameter for; ``but`` are set by other means."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for name in given:
        if name not in parameters:
            near = nearest_names(name, [known for known in parameters if known not in but])
            hint = f": did you mean {part}__{near[0]}?" if near else f", whose parameters are {', '.join(parameters)}"
            owner = getattr(function, "__name__", type(function).__name__)
            raise TypeError(f"{part}__{name} is for a parameter {name!r}, which {owner} lacks{hint}")


def accepts(function: Callable[..., Any], name: str) -> bool:
    """Whether a function or class has a parameter of that name."""
    try:
        return name in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
