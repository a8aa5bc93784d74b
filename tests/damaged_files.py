"""Ways to damage a file that is a line of JSON and code behind it, as compiled kernels are kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Damage = Callable[[bytes], bytes]


def with_header(change: Callable[[dict[str, Any]], object]) -> Damage:
    """The same file with another header."""

    def damage(data: bytes) -> bytes:
        line, code = data.split(b"\n", 1)
        header = json.loads(line)
        change(header)
        return json.dumps(header).encode() + b"\n" + code

    return damage


DAMAGE: dict[str, Damage] = {
    "empty": lambda data: b"",
    "truncated": lambda data: data[: len(data) // 2],
    "one byte short": lambda data: data[:-1],
    "not a header": lambda data: b"\xff\xfe{" + data,
    "a list for a header": lambda data: b"[1]\n" + data,
}
