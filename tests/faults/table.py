"""What a row of the table of faults is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

#: Provokes the fault in an empty folder, and asserts what must happen and what must stay intact.
Check = Callable[[Path, pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Fault:
    """One way in which things go wrong.

    ``number``: from 1 for an input or fault (a new one takes the next), or "A" to "F" for a way of attack. Exactly one
    of these provokes it: ``check``; ``elsewhere``, the test (file, name) that does so on a stand-in for the machine; or
    nobody, while the part of nnkit that could have it is not built: ``waits_for`` names that part, and ``absent`` says
    that it is so.
    """

    number: int | str
    provoked: str
    must: str
    intact: str = ""
    check: Check | None = None
    elsewhere: tuple[str, str] | None = None
    waits_for: str = ""
    absent: Callable[[], bool] | None = None
    long: bool = False
    promise: int | None = None

    def __str__(self) -> str:
        return f"{self.number}: {self.provoked}"


def fault(number: int | str, provoked: str, must: str, intact: str = "", **more: Any) -> Callable[[Check], Check]:
    """Declares the decorated function as the check of a row."""

    def declare(check: Check) -> Check:
        rows.append(Fault(number, provoked, must, intact, check, **more))
        return check

    return declare


def provoked_in(file: str, name: str, number: int, provoked: str, must: str, **more: Any) -> None:
    """Declares a row that another test provokes."""
    rows.append(Fault(number, provoked, must, elsewhere=(file, name), **more))


def waits(number: int, part: str, absent: Callable[[], bool], provoked: str, must: str) -> None:
    """Declares a row of a part that is not built."""
    rows.append(Fault(number, provoked, must, waits_for=part, absent=absent))


#: Every row declared so far.
rows: list[Fault] = []
