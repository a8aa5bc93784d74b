"""Every public function and class says in a sentence what it does, with shapes, dtypes, errors, source and example."""

from __future__ import annotations

import inspect
import re

import pytest
from docstrings import described, lacking
from raised import calls, words
from test_public_names import PUBLIC, WITH_EXAMPLES

MODULES = tuple(dict.fromkeys(("nnkit", *PUBLIC, *WITH_EXAMPLES)))
#: Modules of which every name's docstring is whole. ``python tests/docstrings.py`` counts what the others lack.
WHOLE = (
    "nnkit", "nnkit.nn", "nnkit.nn.functional", "nnkit.linalg", "nnkit.ops", "nnkit.onnx", "nnkit.utils",
    "nnkit.version", "nnkit.nn.init", "nnkit.nn.utils.rnn", "nnkit.optim.lr_scheduler",
    "nnkit.distributions", "nnkit.io", "nnkit.datasets", "nnkit.errors", "nnkit.random", "nnkit.amp",
    "nnkit.optim", "nnkit.optim.swa_utils", "nnkit.autograd", "nnkit.func", "nnkit.accelerator", "nnkit.nn.utils",

    "nnkit.cuda", "nnkit.cuda.amp", "nnkit.training", "nnkit.tune", "nnkit.registry", "nnkit.serve", "nnkit.testing",
    "nnkit.utils.data", "nnkit.sklearn", "nnkit.preprocessing", "nnkit.plot", "nnkit.monitor", "nnkit.parallel",

    "nnkit.keras", "nnkit.keras.activations", "nnkit.keras.backend", "nnkit.keras.callbacks",
    "nnkit.keras.constraints", "nnkit.keras.datasets", "nnkit.keras.initializers", "nnkit.keras.layers",
    "nnkit.keras.losses", "nnkit.keras.metrics", "nnkit.keras.models", "nnkit.keras.ops", "nnkit.keras.optimizers",
    "nnkit.keras.random", "nnkit.keras.regularizers", "nnkit.keras.saving", "nnkit.keras.utils",
)  # fmt: skip


@pytest.mark.parametrize("name", WHOLE)
def test_docstrings_say_all_that_they_should(name: str) -> None:
    short = [f"{word}: {', '.join(rules)}" for word, value in described(name) if (rules := lacking(value))]
    assert not short


@pytest.mark.parametrize(("module", "error", "call", "name"), calls())
def test_what_a_docstring_says_is_raised_is(module: str, error: str, call: str, name: str) -> None:
    scope = words(module)
    doc = inspect.getdoc(scope[name]) or ""
    assert re.search(rf"[Rr]aise.*\b{error}\b", doc, re.DOTALL), f"{module}.{name} does not say that it raises {error}"
    with pytest.raises(Exception) as caught:
        eval(call, scope)
    assert error in [kind.__name__ for kind in type(caught.value).__mro__], repr(caught.value)
