"""IMDB: 50,000 reviews of films as numbers of words, good or bad. Maas et al., 2011. ``keras.datasets.imdb``."""

from __future__ import annotations

import json
from typing import Any

from nnkit.datasets.fetch import Source
from nnkit.keras.datasets.reading import FOLDER, Split, found, listed, pickled, short, words

__all__ = ["get_word_index", "load_data"]

SOURCE = Source("imdb", (FOLDER,), {"imdb.npz": "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f"})
INDEX = Source("imdb", (FOLDER,), {"imdb_word_index.json": "md5:bfafd718b763782e994055a2d397834f"})


def load_data(
    path: Any = None, num_words: int | None = None, skip_top: int = 0, maxlen: int | None = None, seed: int = 113,
    start_char: int | None = 1, oov_char: int | None = 2, index_from: int = 3,
) -> tuple[Split, Split]:  # fmt: skip
    """``(x_train, y_train), (x_test, y_test)``: lists of numbers of words, and 0 or 1.

    Args:
        path: the file, or its folder; else ``$NNKIT_DATA/imdb``, the cache, or a download (extra ``data``).
        num_words: numbers from here on become ``oov_char``. skip_top: and those below this.
        maxlen: leave out reviews that are not shorter.
        seed: of the order.
        start_char: stands at the beginning of each. index_from: words are numbered from here on.

    Raises DataError where the file cannot be had.
    """
    x_train, y_train, x_test, y_test = pickled(found(SOURCE, path), "x_train", "y_train", "x_test", "y_test")
    # One stream of random numbers for both, as in Keras: the test's order is what comes after the training's.
    (x_train, y_train), (x_test, y_test) = _ordered(seed, (x_train, y_train), (x_test, y_test))
    more = int(start_char is not None)
    train, y_train = short(maxlen, x_train, y_train, more)
    test, y_test = short(maxlen, x_test, y_test, more)
    xs = words(train + test, num_words, skip_top, oov_char, start_char, index_from)
    return (listed(xs[: len(train)]), y_train), (listed(xs[len(train) :]), y_test)


def _ordered(seed: int, *pairs: Split) -> list[Any]:
    import numpy as np

    random, found_pairs = np.random.RandomState(seed), []
    for x, y in pairs:
        order = np.arange(len(x))
        random.shuffle(order)
        found_pairs.append((x[order], y[order]))
    return found_pairs


def get_word_index(path: Any = None) -> dict[str, int]:
    """Words -> their numbers, before ``index_from`` is added."""
    with open(found(INDEX, path), encoding="utf-8") as file:
        return dict(json.load(file))
