"""Ways to damage a file that is sealed, a line of JSON and code, as compiled kernels are kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from nnkit.kernels import cache

Damage = Callable[[bytes], bytes]


def sealed(key: str, content: bytes) -> bytes:
    """A file that is whole by its seal."""
    return cache.seal(key, content) + b"\n" + content


def with_header(key: str, change: Callable[[dict[str, Any]], object]) -> Damage:
    """The same file with another header, sealed under ``key``."""

    def damage(data: bytes) -> bytes:
        _, line, code = data.split(b"\n", 2)
        header = json.loads(line)
        change(header)
        return sealed(key, json.dumps(header).encode() + b"\n" + code)

    return damage


def damages(key: str) -> dict[str, Damage]:
    """Name -> what is done to a file that was kept under ``key``."""
    return {
        "empty": lambda data: b"",
        "truncated": lambda data: data[: len(data) // 2],
        "one byte short": lambda data: data[:-1],
        "one byte more": lambda data: data + b"\0",
        "zeroed": lambda data: bytes(len(data)),
        "not a header": lambda data: b"\xff\xfe{" + data,
        "another seal": lambda data: b"0" * 64 + data[64:],
        "a list for a header": lambda data: sealed(key, b"[1]\n" + data),
        "a header without end": lambda data: sealed(key, b"[" * 200_000),
        "a deep header": lambda data: sealed(key, b"[" * 50_000 + b"\n" + data),
        "a header that is no JSON": lambda data: sealed(key, b"{\n" + data),
        "larger than any kernel": lambda data: data + bytes(cache.LARGEST),
    }
