"""What the members of a family have in common, told in the docstring of each: shapes, dtypes, what they raise, source.

It is written once, beside the family, and ``help()`` and the reference show it with every name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["tell"]


def tell(words: Mapping[str, Any], names: Iterable[str], statement: str) -> None:
    """Put a paragraph into the docstrings of those ``words``, before their examples; ``{name}`` in it is the word's.

    A function or class with several names has the paragraph once, for the first of them. Raises KeyError for a name
    that is not among the words.

    >>> def half(x):
    ...     '''Half of x.'''
    >>> tell({"half": half}, ["half"], "Source: ``keras.ops.{name}``.")
    >>> print(half.__doc__)
    Half of x.
    <BLANKLINE>
        Source: ``keras.ops.half``.
    """
    seen: set[int] = set()
    for name in names:
        value = words[name]
        if id(value) not in seen:
            seen.add(id(value))
            head, mark, examples = (value.__doc__ or "").partition("\n\n    >>>")
            value.__doc__ = f"{head.rstrip()}\n\n    {statement.replace('{name}', name)}{mark}{examples}"
