"""A count of changes to what recorded programs rely on: which memory a parameter has, whether it is trained, how a
module is set.

Whoever changes such a thing calls ``changed``. A program that sees the count it saw last need not look any
further; else it checks everything it relied on, once.
"""

from __future__ import annotations


class _Changes:
    count = 0


changes = _Changes()


def changed() -> None:
    """Something that a recorded program may rely on is different now."""
    changes.count += 1
