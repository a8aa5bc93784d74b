"""What the members of a family have in common, told in the docstring of each: shapes, dtypes, what they raise, source.

It is written once, beside the family, and ``help()`` and the reference show it with every name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nnkit.ops.docstrings import describe

__all__ = ["tell", "tell_of_names"]


def tell(words: Mapping[str, Any], names: Iterable[str], statement: str) -> None:
    """Put a statement into the docstrings of those ``words``, before their examples; ``{name}`` in it is
    their own.

    A function or class with several names has it once, and one that names its source
    already has no need of it. Raises KeyError for a name that is not among the words.

    >>> def half(x):
    ...     '''Half of x.'''
    >>> tell({"half": half}, ["half"], "Source: ``keras.ops.{name}``.")
    >>> print(half.__doc__)
    Half of x.
    <BLANKLINE>
        Source: ``keras.ops.half``.
    """
    for name in names:
        value = words[name]
        if "Source:" not in value.__doc__.partition(">>>")[0]:
            describe({value.__name__: value}, [(statement, value.__name__)])


def tell_of_names(
    words: Mapping[str, Any], family: str, wrong: str = "ValueError for what has no ``get_config``"
) -> None:
    """The same of ``get``, ``deserialize`` and ``serialize``, which each family of Keras's has.

    >>> def get(identifier):
    ...     '''What a name stands for.'''
    >>> tell_of_names({"get": get, "deserialize": get, "serialize": get}, "losses")
    >>> print(get.__doc__)
    What a name stands for.
    <BLANKLINE>
        Raises UnknownNameError for a name that nobody has. Source: ``keras.losses.get``.
    """
    source = f"Source: ``keras.{family}.{{name}}``."
    tell(words, ("get", "deserialize"), f"Raises UnknownNameError for a name that nobody has. {source}")
    tell(words, ("serialize",), f"Raises {wrong}. {source}")
