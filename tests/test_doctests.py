"""The examples in the docstrings run and give what they say."""

from __future__ import annotations

import doctest
import importlib
import re
import sys
from pathlib import Path

import pytest

import nnkit
from nnkit import backends, kernels

FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def modules_with_examples() -> list[str]:
    names: dict[str, None] = {}
    for package in (nnkit, backends, kernels):
        folder = Path(str(package.__file__)).parent
        for path in sorted(folder.rglob("*.py")):
            if re.search(r"^\s*>>> ", path.read_text(), re.MULTILINE):
                parts = path.relative_to(folder).with_suffix("").parts
                names[".".join([package.__name__, *parts]).removesuffix(".__init__")] = None
    return list(names)


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_in_docstrings(name: str) -> None:
    nnkit.manual_seed(0)
    results = doctest.testmod(importlib.import_module(name), optionflags=FLAGS)
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
    assert results.attempted > 0
    assert results.failed == 0
