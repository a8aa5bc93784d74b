"""Reuters: 11,228 newswires as numbers of words, in 46 topics. ``keras.datasets.reuters``."""

from __future__ import annotations

import json
from typing import Any

from nnkit.datasets.fetch import Source
from nnkit.keras.datasets.reading import FOLDER, Split, found, listed, pickled, shares, short, shuffled, words

__all__ = ["get_label_names", "get_word_index", "load_data"]

SOURCE = Source(
    "reuters", (FOLDER,), {"reuters.npz": "d6586e694ee56d7a4e65172e12b3e987c03096cb01eab99753921ef915959916"}
)
INDEX = Source("reuters", (FOLDER,), {"reuters_word_index.json": "md5:4d44cc38712099c9e383dc6e5f11a921"})
NAMES = (
    "cocoa", "grain", "veg-oil", "earn", "acq", "wheat", "copper", "housing", "money-supply", "coffee", "sugar",
    "trade", "reserves", "ship", "cotton", "carcass", "crude", "nat-gas", "cpi", "money-fx", "interest", "gnp",
    "meal-feed", "alum", "oilseed", "gold", "tin", "strategic-metal", "livestock", "retail", "ipi", "iron-steel",
    "rubber", "heat", "jobs", "lei", "bop", "zinc", "orange", "pet-chem", "dlr", "gas", "silver", "wpi", "hog", "lead",
)  # fmt: skip


def load_data(
    path: Any = None, num_words: int | None = None, skip_top: int = 0, maxlen: int | None = None,
    test_split: float = 0.2, seed: int = 113, start_char: int | None = 1, oov_char: int | None = 2, index_from: int = 3,
) -> tuple[Split, Split]:  # fmt: skip
    """``(x_train, y_train), (x_test, y_test)``: lists of numbers of words, and topics from 0 to 45.

    The arguments are those of ``imdb.load_data``, and ``test_split``, the share for testing.
    """
    xs, labels = shuffled(seed, *pickled(found(SOURCE, path), "x", "y"))
    kept, labels = short(maxlen, xs, labels, int(start_char is not None))
    return shares(listed(words(kept, num_words, skip_top, oov_char, start_char, index_from)), labels, test_split)


def get_word_index(path: Any = None) -> dict[str, int]:
    """Words -> their numbers, before ``index_from`` is added."""
    with open(found(INDEX, path), encoding="utf-8") as file:
        return dict(json.load(file))


def get_label_names() -> tuple[str, ...]:
    """The topics by number."""
    return NAMES
