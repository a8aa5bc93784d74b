"""What a family of functions or classes has in common, written once and said in the docstring of each.

A family is a text and the names that it is true of; ``{name}`` in the text stands for each. Its errors are tried, name
by name, in ``tests/raised.py``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["describe"]

#: Before the lines of a docstring: the compiler takes it off since Python 3.13.
MARGIN = "" if sys.version_info >= (3, 13) else "    "


def describe(words: Mapping[str, Any], families: Iterable[tuple[str, str]]) -> None:
    """End the prose of docstrings, which is what stands before an example, with what is true of their family.

    >>> def double(x: float) -> float:
    ...     '''2 x.'''
    >>> describe({"double": double}, [("Raises TypeError for a text. Source: {name}.", "double")])
    >>> print(double.__doc__)
    2 x.
    <BLANKLINE>
        Raises TypeError for a text. Source: double.
    """
    first_example = f"\n{MARGIN}>>> "
    for text, names in families:
        lines = text.strip().replace("\n", "\n" + MARGIN)
        for name in names.split():
            thing = words[name]
            before, example, after = thing.__doc__.partition(first_example)
            said = f"{before.rstrip()}\n\n{MARGIN}{lines.replace('{name}', name)}"
            thing.__doc__ = f"{said}\n{example}{after}" if example else said
