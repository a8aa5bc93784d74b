"""Attention maps: which token looks at which, in each head."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from nnkit.nn.module import Module
from nnkit.plot.display import Display, labels, panels, spread_ticks
from nnkit.plot.models import array_of, hooked, named, part_of, run
from nnkit.training.modes import evaluating

__all__ = ["AttentionDisplay"]

MOST = 16  # heads that are shown
NAMED = 32  # tokens that are named along an axis


class AttentionDisplay(Display):
    """A map for each head: rows are tokens that look, columns those that they look at, and each row adds up to 1.

    ``weights`` (heads, queries, keys) of one sample.

    They are of any floating dtype. Raises ValueError for another shape, and where a model has no attention. Source:
    scikit-learn's displays.

    >>> import nnkit, numpy as np
    >>> from nnkit.plot import AttentionDisplay
    >>> layer = nnkit.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    >>> AttentionDisplay.from_model(layer, np.zeros((1, 5, 8))).weights.shape
    (2, 5, 5)
    """

    def __init__(self, weights: Any, tokens: Sequence[Any] | None = None, title: str = "") -> None:
        self.weights = np.asarray(weights, np.float64)
        if self.weights.ndim != 3:
            raise ValueError(f"weights: expected (heads, queries, keys), got shape {self.weights.shape}")
        self.tokens, self.title = tokens, title

    @classmethod
    def from_model(
        cls, model: Any, x: Any, layer: Any = None, *, sample: int = 0, tokens: Sequence[Any] | None = None,
        ax: Any = None,
    ) -> Self:  # fmt: skip
        """Run the model on ``x``, or a tuple of several inputs, and draw what an attention layer looked at.

        ``layer`` by name or itself; the first ``nn.MultiheadAttention``, or attention of Keras's, unless given.
        ``tokens`` name the sample's tokens. Raises ValueError where there is no such layer, or it did not run.
        """
        name, part = part_of(model, layer, _attends, "attention layer")
        calls: list[tuple[Any, Any]] = []
        with hooked({name: part}, lambda name, module, args, kwargs, output: calls.append((args, kwargs))):
            run(model, x)
        if not calls:
            raise ValueError(f"layer: {name!r} did not run for this input")
        found = _weights(part, *calls[0])
        weights = found[sample] if found.ndim == 4 else found[sample][None]
        return cls(weights, tokens, named(name, part)).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> Self:
        """Draw into a new figure, within ``ax``, or into a list of Axes, one for each head."""
        heads = len(self.weights)
        shown = min(heads, MOST)
        axes = panels(ax, shown, math.ceil(math.sqrt(shown)), (5.2, 4.4) if shown == 1 else (3.4, 3.2))
        finite = self.weights[np.isfinite(self.weights)]
        most = float(finite.max()) if finite.size else 1.0
        for head, axis in enumerate(axes):
            image = axis.imshow(self.weights[head], cmap="viridis", vmin=0.0, vmax=most, aspect="auto")
            self._name(axis)
            axis.set_title(f"head {head}" if heads > 1 else labels([self.title])[0], fontsize=9)
        more = [f"the first {shown} of {heads} heads"] if heads > shown else []
        if ax is None and heads > 1:
            axes[0].figure.suptitle(", ".join([*labels([self.title], 60), *more]).lstrip(", "), fontsize=10)
        axes[0].figure.colorbar(image, ax=list(axes), fraction=0.04, pad=0.02, label="share of attention")
        self._drawn(axes)
        return self

    def _name(self, axis: Any) -> None:
        names = None if self.tokens is None else [labels([token], 12)[0] for token in self.tokens]
        for count, put, turned in (
            (self.weights.shape[2], axis.set_xticks, 90),
            (self.weights.shape[1], axis.set_yticks, 0),
        ):
            known = names is not None and len(names) == count
            ticks = spread_ticks(count, NAMED if known else 8)
            texts = [names[place] if known and names else str(place) for place in ticks]
            put(ticks, texts, fontsize=7, rotation=turned if known else 0)


def _attends(module: Module) -> bool:
    return _asks(module) is not None


def _asks(module: Module) -> dict[str, Any] | None:
    """The arguments that make a module return its weights; None for one that has none."""
    known = inspect.signature(type(module).forward).parameters
    if {"need_weights", "average_attn_weights"} <= known.keys():
        return {"need_weights": True, "average_attn_weights": False}
    return {"return_attention_scores": True} if "return_attention_scores" in known else None


def _weights(module: Any, args: Any, kwargs: Any) -> np.ndarray:
    """The weights of one call, (batch, heads, queries, keys) or without heads, as it was made before."""
    asked = _asks(module) or {}
    names = list(inspect.signature(type(module).forward).parameters)[1:]
    given = dict(zip(names, args, strict=False)) if "need_weights" in asked else {}
    rest = () if given else args
    options = {name: value for name, value in {**kwargs, **given}.items() if name != "cache"}
    with evaluating(module):
        _, weights = module.forward(*rest, **(options | asked))
    found = array_of(weights)
    return found[None] if "need_weights" in asked and found.ndim == 3 and args and args[0].ndim == 2 else found
