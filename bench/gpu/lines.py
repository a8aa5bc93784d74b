"""What the bench finds, one line of JSON each, written at once: a run that is killed leaves all that it had."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

#: Section -> name -> a line.
Found = dict[str, dict[str, dict[str, Any]]]


class Lines:
    """A file that results are added to, from any thread; without a path they go nowhere.

    >>> with Lines() as lines:
    ...     lines.add("facts", "device", value={"name": "a GPU"})
    """

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._earlier = [] if path is None else _read(path)
        self._file: TextIO | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8")
            if path.read_bytes()[-1:] not in (b"", b"\n"):
                self._file.write("\n")  # what was cut off in the middle stays a line of its own

    def add(self, section: str, name: str, **found: Any) -> None:
        """Write what became of one thing, and when."""
        if self._file is None:
            return
        line = json.dumps({"section": section, "name": name, "at": round(time.time(), 3), **found}, ensure_ascii=False)
        with self._lock:
            self._file.write(line + "\n")
            self._file.flush()

    def earlier(self, run: Mapping[str, Any], card: str) -> Found:
        """What runs like this one wrote there before it, on the same card; of a name the last line.

        ``run`` is what their first line has to say too: the commit and the sizes.
        """
        found: Found = {}
        same_run = same_card = False
        for line in self._earlier:
            if line["section"] == "run":
                same_run, same_card = all(line.get(key) == value for key, value in run.items()), False
            elif (line["section"], line["name"]) == ("facts", "device"):
                same_card = (line.get("value") or {}).get("name") == card
            elif same_run and same_card:
                found.setdefault(line["section"], {})[line["name"]] = line
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()


def _read(path: Path) -> list[dict[str, Any]]:
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
