"""The parts of an HDF5 file, read out of its bytes: headers of objects, groups, types, texts.

What h5py writes by default, and Keras with it: format 0 of the superblock, headers of version 1, groups as B-trees,
numbers in one piece. A file of another make is refused, and so is every claim that goes beyond the file; HDF5's own
library crashes on damaged files, which is why it is not asked. Definition: "HDF5 File Format Specification" (The HDF
Group).
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np

from nnkit.errors import ModelFileError

__all__ = ["MAGIC", "Attribute", "Bytes", "Message", "NumberType", "shape_of", "type_of"]

MAGIC = b"\x89HDF\r\n\x1a\n"
UNDEFINED = 0xFFFF_FFFF_FFFF_FFFF
#: Parts of one kind that an object or a group may have; a file could refer back and forth without end.
MOST_PARTS = 1_000_000
HIGHEST_RANK = 32
#: Bytes of all texts of an attribute: entries of a list may refer to one text many times.
LARGEST_TEXTS = 1 << 25
#: Of floats: (bytes, first bit of the exponent, its bits, bits of the fraction) -> NumPy's type.
FLOATS = {(2, 10, 5, 10): "f2", (4, 23, 8, 23): "f4", (8, 52, 11, 52): "f8", (2, 7, 8, 7): "bfloat16"}


class Message(NamedTuple):
    """A part of an object's header: its kind, and where it lies."""

    kind: int
    start: int
    end: int


class NumberType(NamedTuple):
    """A type of numbers, or of texts ("text": of so many bytes; "texts": each as long as it is)."""

    name: str
    size: int


class Attribute(NamedTuple):
    """An attribute: its type, its shape, and where its value begins."""

    type: NumberType
    shape: tuple[int, ...]
    start: int


class Bytes:
    """A file's bytes, of which every reading is checked against their end."""

    def __init__(self, content: Any, file: str) -> None:
        self.content, self.file, self.size = content, file, len(content)
        self._heaps: dict[int, dict[int, tuple[int, int]]] = {}

    def damaged(self, why: str) -> ModelFileError:
        """The error to raise."""
        return ModelFileError(f"{self.file} is damaged, or no HDF5 file as Keras writes them: {why}")

    def part(self, start: int, length: int) -> bytes:
        """So many bytes."""
        if not 0 <= start <= start + length <= self.size:
            raise self.damaged(f"it ends before byte {start + length:,}")
        return bytes(self.content[start : start + length])

    def numbers(self, form: str, start: int) -> tuple[Any, ...]:
        """Numbers, as ``struct`` reads them."""
        return struct.unpack("<" + form, self.part(start, struct.calcsize("<" + form)))

    def expect(self, signature: bytes, start: int) -> None:
        """Raise where something else is."""
        if self.part(start, len(signature)) != signature:
            raise self.damaged(f"expected {signature!r} at byte {start:,}")

    def text(self, start: int) -> str:
        """A text that a zero ends."""
        end = start
        while end < min(self.size, start + 65_536) and (found := self.content[end : end + 256].find(b"\0")) < 0:
            end += 256
        if end >= self.size or end >= start + 65_536:
            raise self.damaged(f"a name at byte {start:,} has no end")
        return self.decoded(bytes(self.content[start : end + found]))

    def decoded(self, raw: bytes) -> str:
        """Bytes as a text."""
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raise self.damaged(f"{raw[:50]!r} is no text") from None

    # ---- objects ------------------------------------------------------------------------------------------

    def root(self) -> int:
        """Where the top group is, after checking how the file begins and ends."""
        self.expect(MAGIC, 0)
        version, _, _, _, _, offsets, lengths = self.numbers("7B", 8)
        if version > 1 or offsets != 8 or lengths != 8:
            raise ModelFileError(
                f"{self.file} is an HDF5 file of a newer make ({version}), and not as Keras writes it; open it with "
                "Keras, and save it again"
            )
        start = 24 + (4 if version == 1 else 0)
        base, _, end, _ = self.numbers("4Q", start)
        if base != 0 or end > self.size:
            raise self.damaged(f"it says {end:,} bytes, and has {self.size:,}")
        return int(self.numbers("Q", start + 40)[0])

    def messages(self, address: int) -> list[Message]:
        """The parts of the header of an object."""
        version, _, count, _, length = self.numbers("BBHII", address)
        if version != 1:
            raise self.damaged(f"the object at byte {address:,} has a header of version {version}")
        blocks, found, seen = [(address + 16, length)], list[Message](), set[int]()
        while blocks and len(found) < count:
            start, length = blocks.pop(0)
            if start in seen or len(seen) > MOST_PARTS:
                raise self.damaged(f"the header at byte {address:,} goes in a circle")
            seen.add(start)
            end = start + length
            while start + 8 <= end and len(found) < count:
                kind, size, flags = self.numbers("HHB", start)
                message = Message(kind, start + 8, start + 8 + size)
                if message.end > end:
                    raise self.damaged(f"a part of the header at byte {address:,} is longer than that")
                if flags & 2:
                    raise self.damaged(f"a part of the header at byte {address:,} lies elsewhere")
                if kind == 0x10:
                    blocks.append(self.numbers("QQ", message.start))
                found.append(message)
                start = message.end
        return found

    def entries(self, messages: list[Message]) -> dict[str, tuple[str, int]]:
        """What is in a group: name -> ("object" or "link", where)."""
        found: dict[str, tuple[str, int]] = {}
        for message in messages:
            if message.kind == 0x11:
                tree, heap = self.numbers("QQ", message.start)
                self.expect(b"HEAP", heap)
                size, _, names = self.numbers("QQQ", heap + 8)
                self.part(names, size)
                self._collect(tree, (names, size), found, set(), 8)
            elif message.kind == 0x06:
                name, entry = self._link(message)
                found[name] = entry
            elif (
                message.kind == 0x02
                and self.numbers("Q", message.start + 2)[0] != UNDEFINED
                and (self.part(message.start + 1, 1) in (b"\0", b"\2"))
            ):
                raise self.damaged("a group is kept in a newer form")
        return found

    def _collect(
        self, node: int, heap: tuple[int, int], found: dict[str, tuple[str, int]], seen: set[int], depth: int
    ) -> None:
        """Add the entries of a node of a group's tree, and of those below."""
        if node in seen or len(found) > MOST_PARTS or depth < 0:
            raise self.damaged("a group goes in a circle")
        seen.add(node)
        if self.part(node, 4) == b"TREE":
            kind, _, used = self.numbers("BBH", node + 4)
            if kind != 0:
                raise self.damaged(f"the tree at byte {node:,} is none of a group")
            for number in range(used):
                self._collect(self.numbers("Q", node + 32 + 16 * number)[0], heap, found, seen, depth - 1)
            return
        self.expect(b"SNOD", node)
        for number in range(self.numbers("H", node + 6)[0]):
            offset, address, cached = self.numbers("QQI", node + 8 + 40 * number)
            if offset >= heap[1]:
                raise self.damaged("a name lies outside of its group")
            found[self.text(heap[0] + offset)] = ("link" if cached == 2 else "object"), address

    def _link(self, message: Message) -> tuple[str, tuple[str, int]]:
        """A link in the newer form: to an object of the file, or elsewhere."""
        version, flags = self.numbers("BB", message.start)
        if version != 1:
            raise self.damaged(f"a link has version {version}")
        start, kind = message.start + 2, 0
        if flags & 8:
            (kind,) = self.numbers("B", start)
            start += 1
        start += (8 if flags & 4 else 0) + (1 if flags & 16 else 0)
        width = 1 << (flags & 3)
        length = int.from_bytes(self.part(start, width), "little")
        if start + width + length > message.end:
            raise self.damaged("a link is longer than its part of the header")
        name = self.decoded(self.part(start + width, length))
        return name, ("object", self.numbers("Q", start + width + length)[0]) if kind == 0 else ("link", 0)

    # ---- attributes ---------------------------------------------------------------------------------------

    def attribute(self, message: Message) -> tuple[str, Attribute]:
        """The name of an attribute, and what and where it is."""
        version, _, name, kind, space = self.numbers("BBHHH", message.start)
        if version not in (1, 2, 3):
            raise self.damaged(f"an attribute has version {version}")
        padded = (lambda size: (size + 7) // 8 * 8) if version == 1 else (lambda size: size)
        start = message.start + (9 if version == 3 else 8)
        places = [start, start + padded(name)]
        places += [places[1] + padded(kind)]
        places += [places[2] + padded(space)]
        if places[3] > message.end:
            raise self.damaged("an attribute is longer than its part of the header")
        called = self.decoded(self.part(start, name).partition(b"\0")[0])
        return called, Attribute(type_of(self, places[1]), shape_of(self, places[2]), places[3])

    def heap_text(self, start: int) -> bytes:
        """A text in a heap, which an attribute refers to."""
        length, heap, number = self.numbers("IQI", start)
        if length == 0:
            return b""
        if heap not in self._heaps:
            self._heaps[heap] = self._heap(heap)
        if number not in self._heaps[heap]:
            raise self.damaged("an attribute refers to a text that is not there")
        place, size = self._heaps[heap][number]
        return self.part(place, min(length, size))

    def _heap(self, heap: int) -> dict[int, tuple[int, int]]:
        """Where the texts of a heap are, and how long, by their numbers."""
        self.expect(b"GCOL", heap)
        (size,) = self.numbers("Q", heap + 8)
        end, place, found = min(heap + size, self.size), heap + 16, dict[int, tuple[int, int]]()
        while place + 16 <= end:
            index, _, _, size = self.numbers("HHIQ", place)
            if index == 0:
                break
            found[index] = place + 16, size
            place += 16 + (size + 7) // 8 * 8
        return found


def shape_of(data: Bytes, start: int) -> tuple[int, ...]:
    """A shape; ``(-1,)`` for an attribute or array that holds nothing."""
    version, rank, _, kind = data.numbers("4B", start)
    if version not in (1, 2) or rank > HIGHEST_RANK:
        raise data.damaged(f"a shape has version {version} and {rank} axes")
    if version == 2 and kind == 2:
        return (-1,)
    return tuple(int(size) for size in data.numbers(f"{rank}Q", start + (8 if version == 1 else 4)))


def type_of(data: Bytes, start: int) -> NumberType:
    """A type of numbers or texts; any other is called "other"."""
    head, bits, _, _, size = data.numbers("4BI", start)
    kind, order = head & 15, ">" if bits & 1 else "<"
    if kind == 0 and size in (1, 2, 4, 8):
        return NumberType(np.dtype(f"{order}{'i' if bits & 8 else 'u'}{size}").str, size)
    if kind == 1:
        _, _, first, exponent, _, fraction = data.numbers("HHBBBB", start + 8)
        name = FLOATS.get((size, first, exponent, fraction), "other")
        return NumberType(name if name in ("other", "bfloat16") else f"{order}{name}", size)
    if kind == 3:
        return NumberType("text", size)
    if kind == 5 and size == 2:
        return NumberType("bfloat16", size)
    if kind == 8 and size == 1:
        return NumberType("|b1", size)
    if kind == 9 and bits & 15 == 1:
        return NumberType("texts", 16)
    return NumberType("other", size)
