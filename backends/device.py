"""The name of a place where arrays live: ``numpy``, ``numba``, ``cuda:1``."""

from __future__ import annotations


class Device:
    """A backend's name and, where there are several of its kind, an index.

    >>> Device.parse("cuda:1")
    device('cuda:1')
    >>> Device.parse("numba").type
    'cpu'
    """

    __slots__ = ("index", "name")

    def __init__(self, name: str, index: int = 0) -> None:
        self.name = name
        self.index = index

    @classmethod
    def parse(cls, text: str) -> Device:
        """From "cuda:1" or "numba". Raises ValueError when the index is not a whole number."""
        name, colon, index = text.strip().lower().partition(":")
        if colon and not index.isdigit():
            raise ValueError(f"device {text!r}: expected a name or name:index such as 'cuda:1'")
        return cls(name, int(index) if colon else 0)

    @property
    def type(self) -> str:
        """ "cuda" for NVIDIA GPUs, "cpu" for the rest."""
        return "cuda" if self.name == "cuda" else "cpu"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and (self.name, self.index) == (other.name, other.index)

    def __hash__(self) -> int:
        return hash((self.name, self.index))

    def __str__(self) -> str:
        return f"{self.name}:{self.index}" if self.index else self.name

    def __repr__(self) -> str:
        return f"device('{self}')"
