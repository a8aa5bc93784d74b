"""``keras.preprocessing.text`` of Keras 2: words of texts, and their numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

__all__ = ["Tokenizer", "one_hot", "text_to_word_sequence"]

FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'


def text_to_word_sequence(text: str, filters: str = FILTERS, lower: bool = True, split: str = " ") -> list[str]:
    """The words of a text, in small letters and without these signs.

    >>> text_to_word_sequence("One, two!")
    ['one', 'two']
    """
    text = text.lower() if lower else text
    return [word for word in text.translate(dict.fromkeys(map(ord, filters), split)).split(split) if word]


def one_hot(text: str, n: int, filters: str = FILTERS, lower: bool = True, split: str = " ") -> list[int]:
    """Each word as a number from 1 to n - 1, the same in every process."""
    from zlib import crc32

    return [crc32(word.encode()) % (n - 1) + 1 for word in text_to_word_sequence(text, filters, lower, split)]


class Tokenizer:
    """Numbers words by how often they come, from 1 on.

    Args:
        num_words: only numbers below this come out; None for all.
        filters, lower, split: as in :func:`text_to_word_sequence`.
        char_level: letters instead of words.
        oov_token: the word that stands for unknown ones; without one they are left out.

    >>> words = Tokenizer(); words.fit_on_texts(["the cat", "the dog"])
    >>> words.texts_to_sequences(["dog the bird"]), words.word_index
    ([[3, 1]], {'the': 1, 'cat': 2, 'dog': 3})
    """

    def __init__(
        self, num_words: int | None = None, filters: str = FILTERS, lower: bool = True, split: str = " ",
        char_level: bool = False, oov_token: str | None = None, analyzer: Callable[[str], list[str]] | None = None,
    ) -> None:  # fmt: skip
        self.num_words, self.filters, self.lower, self.split = num_words, filters, lower, split
        self.char_level, self.oov_token, self.analyzer = char_level, oov_token, analyzer
        self.word_counts: Counter[str] = Counter()
        self.word_docs: Counter[str] = Counter()
        self.word_index: dict[str, int] = {}
        self.index_word: dict[int, str] = {}
        self.document_count = 0

    def _words(self, text: Any) -> list[str]:
        if isinstance(text, (list, tuple)):
            return [word.lower() if self.lower else word for word in text]
        if self.char_level:
            return list(text.lower() if self.lower else text)
        return self.analyzer(text) if self.analyzer else text_to_word_sequence(
            text, self.filters, self.lower, self.split
        )  # fmt: skip

    def fit_on_texts(self, texts: Iterable[Any]) -> None:
        """Count the words of these texts, and number them anew."""
        for text in texts:
            words = self._words(text)
            self.document_count += 1
            self.word_counts.update(words)
            self.word_docs.update(set(words))
        ordered = [word for word, _ in sorted(self.word_counts.items(), key=lambda pair: -pair[1])]
        ordered = ordered if self.oov_token is None else [self.oov_token, *ordered]
        self.word_index = {word: number for number, word in enumerate(ordered, 1)}
        self.index_word = {number: word for word, number in self.word_index.items()}

    def texts_to_sequences(self, texts: Iterable[Any]) -> list[list[int]]:
        """The numbers of each text's words."""
        unknown = None if self.oov_token is None else self.word_index[self.oov_token]
        found = []
        for text in texts:
            numbers = (self.word_index.get(word) for word in self._words(text))
            known = (
                n if n is not None and (self.num_words is None or n < self.num_words) else unknown for n in numbers
            )
            found.append([n for n in known if n is not None])
        return found

    def sequences_to_texts(self, sequences: Iterable[Iterable[int]]) -> list[str]:
        """The texts of numbers, word by word."""
        unknown = self.oov_token
        found = ([self.index_word.get(int(n), unknown) for n in numbers] for numbers in sequences)
        return [" ".join(word for word in words if word is not None) for words in found]

    def texts_to_matrix(self, texts: Iterable[Any], mode: str = "binary") -> np.ndarray:
        """A row for each text: :meth:`sequences_to_matrix` of its numbers."""
        return self.sequences_to_matrix(self.texts_to_sequences(texts), mode)

    def sequences_to_matrix(self, sequences: Iterable[Iterable[int]], mode: str = "binary") -> np.ndarray:
        """For each sequence a column for each number: "binary" (is it there), "count" or "freq"."""
        if mode not in ("binary", "count", "freq"):
            raise ValueError(f"mode must be 'binary', 'count' or 'freq'; got {mode!r}")
        rows = [list(sequence) for sequence in sequences]
        columns = self.num_words or len(self.word_index) + 1
        found = np.zeros((len(rows), columns))
        for row, numbers in enumerate(rows):
            for number, count in Counter(n for n in numbers if n < columns).items():
                found[row, number] = {"binary": 1.0, "count": count, "freq": count / len(numbers)}[mode]
        return found
