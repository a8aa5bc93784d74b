"""Every public function and class says in a sentence what it does, with shapes, dtypes, errors, source and example."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

import pytest
from docstrings import described, lacking
from raised import calls, words
from test_public_names import PUBLIC, WITH_EXAMPLES

sys.path.append(str(Path(__file__).parents[1] / "docs" / "_ext"))

import reference_pages

REFERENCE = [name for names in reference_pages.groups().values() for name in names]

#: ``python tests/docstrings.py`` counts what docstrings lack.
MODULES = tuple(dict.fromkeys((*REFERENCE, *PUBLIC, *WITH_EXAMPLES)))


@pytest.mark.parametrize("name", MODULES)
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
