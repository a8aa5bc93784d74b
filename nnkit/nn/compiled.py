"""A module whose calls are recorded: what ``nnkit.compile(model)`` returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nnkit.nn.module import Module

__all__ = ["CompiledModule"]

#: What stays the wrapper's own; all else is read from the model and set there.
OWN = {"_orig_mod", "_calls", "training"}


class CompiledModule(Module):
    """``model``, whose calls go through ``calls``, its recorded forward; everything else is the model's.

    Its parameters are the model's own, under the names that PyTorch gives them ("_orig_mod.0.weight"): a state dict of
    the one does not fit the other without that prefix. ``fit``, ``predict`` and ``save`` are those of the model.
    Source: PyTorch, ``torch._dynamo.OptimizedModule``.

    >>> import nnkit
    >>> model = nnkit.compile(nnkit.nn.Linear(2, 1))
    >>> [name for name, _ in model.named_parameters()], model(nnkit.ones(3, 2)).shape, model.in_features
    (['_orig_mod.weight', '_orig_mod.bias'], (3, 1), 2)
    """

    def __init__(self, model: Module, calls: Callable[..., Any]) -> None:
        super().__init__()
        self._orig_mod = model
        self._calls = calls
        self.training = model.training

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._calls(*args, **kwargs)

    @property
    def fit(self) -> Any:  # type: ignore[override]
        return self._orig_mod.fit

    @property
    def evaluate(self) -> Any:  # type: ignore[override]
        return self._orig_mod.evaluate

    @property
    def predict(self) -> Any:  # type: ignore[override]
        return self._orig_mod.predict

    @property
    def save(self) -> Any:  # type: ignore[override]
        return self._orig_mod.save

    @property
    def summary(self) -> Any:
        return self._orig_mod.summary

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name in OWN or (name.startswith("__") and name.endswith("__")):
                raise
            return getattr(self._orig_mod, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in OWN or "_orig_mod" not in self.__dict__.get("_modules", ()):
            super().__setattr__(name, value)
        else:
            setattr(self._orig_mod, name, value)


def _compiled_by(model: Module, calls: Callable[..., Any]) -> CompiledModule:
    return CompiledModule(model, calls)


Module._compiled_by = _compiled_by
