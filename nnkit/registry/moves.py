"""Where aliases point, and where they pointed before: a log as JSON lines, that of a model in one file.

Each move makes a new numbered folder with the whole log, so a reader sees all of a move or nothing of it, and of two
processes that move aliases at once the second looks again at what the first has done.
"""

from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nnkit.errors import DataError, ModelFileError
from nnkit.io.files import open_at_once, write_file
from nnkit.registry.folders import make_folder, numbers, part, path_of, take
from nnkit.registry.names import checked_alias

__all__ = ["Log", "Move", "now", "stacks"]

FILE = "moves.jsonl"
KEPT = 3  # logs before the newest one, for readers that have just found them
LONGEST, SHORTENED = 1000, 500  # moves in a log, and how many of them go when it is too long
MOST_BYTES = 1 << 22
KINDS = ("promote", "rollback")


class Move(NamedTuple):
    """One line: an alias was moved to a version, forward by "promote" or back by "rollback"."""

    alias: str
    kind: str
    to: int
    time: str


def now() -> str:
    """The time, as ISO 8601 in UTC."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def stacks(moves: Sequence[Move]) -> dict[str, list[int]]:
    """For each alias the versions it pointed to, the present one last; a rollback takes what it left off.

    >>> moves = [Move("champion", kind, to, "") for kind, to in (("promote", 1), ("promote", 2), ("rollback", 1))]
    >>> stacks(moves)
    {'champion': [1]}
    """
    found: dict[str, list[int]] = {}
    for move in moves:
        stack = found.setdefault(move.alias, [])
        if move.kind == "rollback":
            while stack and stack[-1] != move.to:
                stack.pop()
        if not stack or stack[-1] != move.to:
            stack.append(move.to)
    return found


class Log:
    """The moves of one model's aliases, in ``home / "moves"``."""

    def __init__(self, home: Path) -> None:
        self.home, self.folder = home, home / "moves"

    def stamp(self) -> int:
        """A number that grows with each move."""
        return max(numbers(self.folder), default=0)

    def read(self) -> list[Move]:
        """All moves, the last one last. Raises ``ModelFileError`` where no log that is there can be read."""
        return self._read()[1]

    def append(self, decide: Callable[[list[Move]], Move | None]) -> Move | None:
        """Add the move that ``decide`` makes of those before; where it makes None, nothing. Raises ``OSError``."""
        while True:
            number, moves = self._read()
            move = decide(moves)
            if move is None:
                return None
            make_folder(self.folder)
            with part(self.home) as made:
                write_file(made / FILE, _lines(_shortened([*moves, move])))
                if take(made, self.folder, number + 1):
                    break
        for old in numbers(self.folder)[: -1 - KEPT]:
            shutil.rmtree(path_of(self.folder, old), ignore_errors=True)
        return move

    def problems(self) -> list[str]:
        """What is wrong with the newest log."""
        taken = numbers(self.folder)
        if not taken:
            return []
        try:
            content = _content(path_of(self.folder, taken[-1]) / FILE)
        except OSError as error:
            return [f"the log of aliases cannot be read: {error}"]
        lines = content.decode("utf-8", "replace").splitlines()
        if not lines:
            return ["the log of aliases is empty"]
        return [f"line {n} of the log of aliases is damaged" for n, line in enumerate(lines, 1) if _move(line) is None]

    def _read(self) -> tuple[int, list[Move]]:
        """The number of the newest log, and its moves; of the one before, where a damaged disk has lost it."""
        for _ in range(10):
            taken = numbers(self.folder)
            for number in reversed(taken):
                try:
                    lines = _content(path_of(self.folder, number) / FILE).decode("utf-8", "replace").splitlines()
                except FileNotFoundError:
                    continue
                moves = [move for move in map(_move, lines) if move is not None]
                if moves:  # nothing writes a log without a move
                    return taken[-1], moves
            if not taken:
                return 0, []
            # All that were listed have been removed since: there are newer ones.
        raise ModelFileError(
            f"{str(self.folder)!r} has logs of aliases, and none can be read: remove that folder, and promote anew"
        )


def _content(path: Path) -> bytes:
    with open(path, "rb", opener=open_at_once) as file:
        return file.read(MOST_BYTES) or b""  # None of a pipe that nobody has written to


def _lines(moves: Sequence[Move]) -> bytes:
    return "".join(json.dumps(move._asdict()) + "\n" for move in moves).encode()


def _move(line: str) -> Move | None:
    """The move in a line; None where there is none."""
    try:
        found: Any = json.loads(line)
        move = Move(**found)
        checked_alias(move.alias)
    except (ValueError, TypeError, RecursionError, DataError):
        return None
    good = move.kind in KINDS and type(move.to) is int and move.to > 0 and isinstance(move.time, str)
    return move if good else None


def _shortened(moves: list[Move]) -> list[Move]:
    """Not more than ``LONGEST`` moves: of the oldest there stay only where each alias pointed, and had pointed."""
    if len(moves) <= LONGEST:
        return moves
    old, rest = moves[:-SHORTENED], moves[-SHORTENED:]
    known = stacks(old)
    last = {move.alias: move.time for move in old}
    base = [Move(alias, "promote", to, last[alias]) for alias, stack in known.items() for to in stack[-2:]]
    return [*base, *rest]
