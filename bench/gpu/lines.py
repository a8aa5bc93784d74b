"""What the bench finds, one line of JSON each, written at once: a run that is killed leaves all that it had.

A run begins with a line of the section "run". Later runs add theirs to the same file, and go on from those before them
that were like them (see ``IDENTITY``) on the same card: between them they are one report.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from bench.gpu.outcomes import NOT_RUN

Line = dict[str, Any]
#: Section -> name -> a line.
Found = dict[str, dict[str, Line]]
#: What runs have in common that go on from one another: a hash of all sources, the packages' versions, the sizes.
IDENTITY = ("sources", "versions", "sizes")


class Lines:
    """A file that results are added to, from any thread; without a path they are only remembered.

    >>> with Lines() as lines:
    ...     lines.add("facts", "device", value={"name": "a GPU"})
    >>> lines.all[0]["value"]
    {'name': 'a GPU'}
    """

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        self.all = [] if path is None else read(path)
        self._file: TextIO | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8")
            if path.read_bytes()[-1:] not in (b"", b"\n"):
                self._file.write("\n")  # what was cut off in the middle stays a line of its own

    def add(self, section: str, name: str, **found: Any) -> None:
        """Write what became of one thing, and when."""
        line = {"section": section, "name": name, "at": round(time.time(), 3), **found}
        text = json.dumps(line, ensure_ascii=False)
        with self._lock:
            self.all.append(json.loads(text))  # as it is read again: tuples are lists
            if self._file is not None:
                self._file.write(text + "\n")
                self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()


def read(path: Path) -> list[Line]:
    """The lines of a file, without those that were cut off in the middle."""
    made = []
    for text in path.read_bytes().splitlines() if path.exists() else ():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and {"section", "name"} <= line.keys():
            made.append(line)
    return made


def together(lines: Sequence[Line]) -> list[list[Line]]:
    """The last run and those before it that it goes on from, the oldest first, each with its line of "run" first."""
    runs: list[list[Line]] = []
    for line in lines:
        if line["section"] == "run":
            runs.append([])
        if runs:
            runs[-1].append(line)
    return [run for run in runs if run is runs[-1] or _kind(run) == _kind(runs[-1]) is not None]


def _kind(run: Sequence[Line]) -> tuple[Any, ...] | None:
    """What a run and those that go on from it have in common; None where nobody knows the card."""
    cards = [line.get("value") for line in run if (line["section"], line["name"]) == ("facts", "device")]
    card = (cards[-1] or {}).get("name") if cards else None
    return None if card is None else (card, *(run[0].get(key) for key in IDENTITY))


def merged(runs: Iterable[Sequence[Line]]) -> Found:
    """Of each thing the last line, but none that says "not run" where an earlier run had an outcome."""
    found: Found = {}
    for line in (line for run in runs for line in run):
        section = found.setdefault(line["section"], {})
        if line.get("outcome") != NOT_RUN or line["name"] not in section:
            section[line["name"]] = line
    return found


def done(line: Line) -> bool:
    """Whether it says what became of something."""
    return line.get("outcome") != NOT_RUN
