"""What each op is in ONNX: one function a rule, which adds nodes to a graph and returns what came out.

A rule is called with the graph, the call's arguments by name (Refs for arrays, ``Size`` for what grows with the batch)
and the Refs of what it made. ``OPS`` says which function of ``nnkit.ops`` a rule is for; a rule called "primitive …" is
for what any other function asks of the backend.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable
from typing import Any

from nnkit.onnx.rules import arithmetic, images, sequences, shapes

__all__ = ["RULES", "codes"]

Rule = Callable[..., Any]


#: Name of the rule -> the rule.
RULES: dict[str, Rule] = {**arithmetic.RULES, **images.RULES, **sequences.RULES, **shapes.RULES}


@functools.cache
def codes() -> dict[Any, str]:
    """The code of a function -> the rule that says what a call of it is."""
    functions = {
        "shape": ("reshape", "permute", "expand", "cat", "clone", "to"),
        "indexing": ("getitem", "_slice", "take_rows", "setitem"),
        "gathering": ("scattered",),
        "scattering": ("_folded_otherwise",),
        "embedding": ("embedding",),
        "classification": ("_softmax", "cross_entropy"),
        "products": ("_matmul", "linear"),
        "reductions": ("_mean",),
        "images": ("conv", "conv_pooled", "conv_transpose"),
        "windows": ("max_pool", "sum_pool", "spread_pool", "patches", "sum_patches", "pad_with"),
        "normalization": ("normalize", "normalize_by"),
        "attention": ("attention", "self_attention"),
        "recurrent": ("recurrence",),
        "functional": ("one_hot",),
    }  # fmt: skip
    return {
        inspect.unwrap(
            getattr(importlib.import_module(f"nnkit.{'nn' if module == 'functional' else 'ops'}.{module}"), name)
        ).__code__: name.removeprefix("_")
        for module, names in functions.items()
        for name in names
    }
