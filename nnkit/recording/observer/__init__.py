"""Observing what a user's code reads and does while a step is recorded: what is not understood is not replayed.

A step is replayed only where every value that the user's code reads from outside, and every effect it has, is known to
be compared before each replay, constant, or part of the program. Read in this order: ``source`` finds a function's
syntax, ``rewrite`` makes the twin that tells what it does, ``observer`` is what it tells, ``attributes``, ``calls`` and
``values`` decide what is understood (``understood`` is the table), ``places`` compares before each replay, and
``frames`` sees that no other code ran.
"""

from __future__ import annotations

from typing import Any

from nnkit.backends.recording import recorder

__all__ = ["call", "made"]


def call(function: Any, /, *arguments: Any, **options: Any) -> Any:
    """Call a function that may be the user's: observed, while a step is recorded."""
    at_work = recorder()
    observer = None if at_work is None else at_work.observer
    if observer is None:
        return function(*arguments, **options)
    return observer.call(function, *arguments, **options)


def made(value: Any) -> None:
    """Say that nnkit made this object in the step, for code of the user's to set what it likes of it."""
    at_work = recorder()
    observer = None if at_work is None else at_work.observer
    if observer is not None:
        observer.bear(value)
