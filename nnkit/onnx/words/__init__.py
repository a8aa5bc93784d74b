"""What each operator of ONNX is in nnkit's ops: functions of a ``Call``, by the operator's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nnkit.onnx.words import elements, layers, learned, shapes

__all__ = ["WORDS"]

Word = Callable[[Any], Any]

WORDS: dict[str, Word] = {**elements.WORDS, **shapes.WORDS, **layers.WORDS, **learned.WORDS}
