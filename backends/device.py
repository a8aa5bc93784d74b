"""The name of a place where arrays live: ``numpy``, ``numba``, ``cuda:1``."""

from __future__ import annotations


class Device:
    """A backend's name and, where there are several of its kind, an index.

    >>> Device.parse("cuda:1")
    device('cuda:1')
    >>> Device("cuda:1") == Device("cuda", 1), Device("numba").type
    (True, 'cpu')

    As in PyTorch a number alone is that of a GPU. Raises ValueError for an index that is none, or is given twice.
    """

    __slots__ = ("index", "name")
    name: str
    index: int

    def __init__(self, type: str | int | Device, index: int | None = None) -> None:
        if isinstance(type, Device):
            name, number = type.name, type.index
        elif isinstance(type, int):
            name, number = "cuda", type
        else:
            name, colon, text = type.strip().lower().partition(":")
            if colon and (not text.isdigit() or index is not None):
                raise ValueError(f"device {type!r}: expected a name or name:index such as 'cuda:1', and one index")
            number = int(text) if colon else 0
        self.name = name
        self.index = number if index is None else index

    @classmethod
    def parse(cls, text: str) -> Device:
        """From "cuda:1" or "numba". Raises ValueError when the index is not a whole number."""
        return cls(text)

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
