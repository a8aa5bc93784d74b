"""What the bench finds, one line of JSON each, written at once: a run that is killed leaves all that it had."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO


class Lines:
    """A file that results are added to, from any thread; without a path they go nowhere.

    >>> with Lines() as lines:
    ...     lines.add("facts", "device", value={"name": "a GPU"})
    """

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._file: TextIO | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8")

    def add(self, section: str, name: str, **found: Any) -> None:
        """Write what became of one thing, and when."""
        if self._file is None:
            return
        line = json.dumps({"section": section, "name": name, "at": round(time.time(), 3), **found}, ensure_ascii=False)
        with self._lock:
            self._file.write(line + "\n")
            self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()
