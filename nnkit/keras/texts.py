"""Words as numbers: ``StringLookup`` and ``TextVectorization``, for texts that fit in memory.

They work on texts on the host, before a model: ``model.fit(vectorize(texts), labels)``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self, Unpack

import numpy as np

from nnkit.errors import ModelFileError, UnknownNameError
from nnkit.keras.arguments import refuse
from nnkit.keras.layer import Layer, LayerOptions, Shape
from nnkit.tensors.creation import tensor
from nnkit.tensors.tensor import Tensor

__all__ = ["StringLookup", "TextVectorization"]

MODES = ("int", "one_hot", "multi_hot", "count")
STANDARDIZE = ("lower_and_strip_punctuation", "lower", "strip_punctuation")
PUNCTUATION = re.compile(r'[!"#$%&()\*\+,-\./:;<=>?@\[\\\]^_`{|}~\']')


def _texts(data: Any) -> np.ndarray:
    """Texts as an array of objects."""
    if isinstance(data, np.ndarray):
        return data.astype(object)
    if isinstance(data, str):
        return np.array(data, object)
    items = list(data)
    if any(isinstance(item, (list, tuple, np.ndarray)) for item in items):
        return np.array([list(item) for item in items], object)
    return np.array(items, object)


class StringLookup(Layer):
    """Words as numbers: first the mask, then words that are not known, then the vocabulary.

    Args:
        max_tokens: the size of the vocabulary, with mask and unknown words, at most.
        num_oov_indices: how many numbers stand for words that are not known; 0 makes those an error, 1 is usual.
        mask_token: a word that is 0 in mode "int"; None for none.
        oov_token: what an unknown word is called.
        vocabulary: the known words, in a list or a file of one a line; without it, :meth:`adapt` finds them.
        invert: numbers to words instead.
        output_mode: "int", "one_hot" (a row for each word), "multi_hot" or "count" (a row for the words of a sample).
        pad_to_max_tokens: make rows of ``max_tokens`` columns.
        idf_weights, sparse, encoding: as Keras's defaults; others are refused.

    Raises UnknownNameError for another ``output_mode``, ValueError for a word that is not known where none may be.
    Source: ``keras.layers.StringLookup``. More than one number for unknown words is refused: which one a word gets
    depends on TensorFlow's hash.

    >>> lookup = StringLookup(vocabulary=["a", "b"])
    >>> lookup([["b", "z"]]).tolist(), lookup.get_vocabulary()
    ([[2, 0]], ['[UNK]', 'a', 'b'])
    """

    def __init__(
        self, max_tokens: int | None = None, num_oov_indices: int = 1, mask_token: str | None = None,
        oov_token: str = "[UNK]", vocabulary: Any = None, idf_weights: None = None, invert: bool = False,
        output_mode: str = "int", pad_to_max_tokens: bool = False, sparse: bool = False, encoding: str = "utf-8",
        **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(**options)
        refuse("StringLookup", idf_weights=idf_weights, sparse=sparse or None)
        if num_oov_indices not in (0, 1):
            raise ValueError(f"StringLookup: num_oov_indices must be 0 or 1; got {num_oov_indices!r}")
        if output_mode not in MODES:
            raise UnknownNameError("output_mode", output_mode, MODES)
        self.max_tokens, self.num_oov_indices, self.mask_token = max_tokens, num_oov_indices, mask_token
        self.oov_token, self.invert, self.output_mode = oov_token, bool(invert), output_mode
        self.pad_to_max_tokens, self.encoding = bool(pad_to_max_tokens), encoding
        self.known: list[str] = []
        self._numbers: dict[str, int] = {}
        self.built = True
        if vocabulary is not None:
            self.set_vocabulary(vocabulary)

    def _special(self, modes: tuple[str, ...] = ("int",)) -> list[str]:
        """What stands before the known words."""
        mask = [self.mask_token] if self.mask_token is not None and self.output_mode in modes else []
        return [*mask, *[self.oov_token] * self.num_oov_indices]

    def set_vocabulary(self, vocabulary: Any) -> None:
        """Know these words: a list, with or without mask and unknown words before, or a file of one a line.

        Raises ValueError for words that come twice, and for more than ``max_tokens``.
        """
        if isinstance(vocabulary, str):
            with open(vocabulary, encoding=self.encoding) as lines:
                vocabulary = [line.rstrip("\r\n") for line in lines]
        words = [str(word) for word in vocabulary]
        special = self._special()
        if special and words[: len(special)] == special:
            words = words[len(special) :]
        twice = [word for word, count in Counter(words).items() if count > 1]
        if twice or self.oov_token in words:
            raise ValueError(f"vocabulary: {(twice or [self.oov_token])[0]!r} comes twice, or stands for unknown words")
        if self.max_tokens is not None and len(words) + len(special) > self.max_tokens:
            raise ValueError(f"vocabulary: {len(words)} words are more than max_tokens={self.max_tokens} has room for")
        self.known = words
        self._numbers = {word: number for number, word in enumerate(words, len(special))}
        for number, word in enumerate(special):
            self._numbers.setdefault(word, number)

    def adapt(self, data: Any, batch_size: int | None = None, steps: int | None = None) -> None:
        """Know the words of ``data``, the commonest first; of equally common ones the last in the alphabet first."""
        counts = Counter(str(word) for word in _texts(data).reshape(-1))
        self._learn(counts)

    def _learn(self, counts: Counter[str]) -> None:
        words = [word for word in counts if word not in ("", self.mask_token, self.oov_token)]
        words.sort(key=lambda word: (counts[word], word.encode()), reverse=True)
        room = None if self.max_tokens is None else self.max_tokens - len(self._special())
        self.set_vocabulary(words[:room])

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[str]:
        """The known words, after the mask and what stands for unknown ones."""
        return [*self._special(), *self.known] if include_special_tokens else list(self.known)

    def vocabulary_size(self) -> int:
        """How many numbers there are."""
        return len(self.known) + len(self._special())

    def forward(self, inputs: Any, *args: Any, **options: Any) -> Any:
        """Words of any shape -> numbers; of numbers words, where ``invert``."""
        if self.invert:
            numbers = np.asarray(inputs.numpy() if isinstance(inputs, Tensor) else inputs)
            table = self.get_vocabulary()
            found = [table[n] if 0 <= n < len(table) else self.oov_token for n in numbers.reshape(-1).tolist()]
            return np.array(found, object).reshape(numbers.shape)
        return tensor(self._encoded(self._lookup(_texts(inputs))))

    def _lookup(self, words: np.ndarray) -> np.ndarray:
        unknown = self._special().index(self.oov_token) if self.num_oov_indices else -1
        found = np.array([self._numbers.get(str(w), unknown) for w in words.reshape(-1)], np.int64)
        if (found < 0).any():
            wrong = words.reshape(-1)[np.flatnonzero(found < 0)[0]]
            raise ValueError(f"StringLookup: {wrong!r} is not in the vocabulary, and num_oov_indices is 0")
        return found.reshape(words.shape)

    def _columns(self) -> int:
        size = self.vocabulary_size()
        return self.max_tokens if self.pad_to_max_tokens and self.max_tokens is not None else size

    def _encoded(self, numbers: np.ndarray) -> np.ndarray:
        """Numbers as ``output_mode`` wants them."""
        return numbers if self.output_mode == "int" else encoded(numbers, self._columns(), self.output_mode)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        if self.output_mode == "int":
            return tuple(input_shape)
        return (*(input_shape if self.output_mode == "one_hot" else input_shape[:-1]), self._columns())

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The layer that :meth:`get_config` described. Raises ModelFileError where that names a file of words."""
        return cls(**with_own_words(config))

    def get_config(self) -> dict[str, Any]:
        names = ("max_tokens", "num_oov_indices", "mask_token", "oov_token", "invert", "output_mode",
                 "pad_to_max_tokens", "encoding")  # fmt: skip
        return {**super().get_config(), **{n: getattr(self, n) for n in names}, "vocabulary": self.known or None}


def with_own_words(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration whose vocabulary is a list: by a path in it, a model file could have any file read."""
    if isinstance(config.get("vocabulary"), str):
        raise ModelFileError(
            f"the configuration of {config.get('name')!r} names a file, {config['vocabulary'][:100]!r}, as its "
            "vocabulary; nnkit opens no file that a configuration names: give the words themselves"
        )
    return config


def encoded(numbers: np.ndarray, columns: int, mode: str) -> np.ndarray:
    """Numbers (…, N), none below 0 counted, as rows of float32 (…, columns): which come ("multi_hot") or how often.

    "one_hot": a row for each number.

    >>> encoded(np.array([[1, 1, 0]]), 3, "count").tolist()
    [[1.0, 2.0, 0.0]]
    """
    rows = (numbers[..., None] == np.arange(columns)).astype(np.float32)
    if mode == "one_hot":
        return rows
    rows = rows if numbers.ndim > 0 else rows[None]
    return rows.sum(axis=-2, dtype=np.float32) if mode == "count" else rows.max(axis=-2, initial=0.0)


class TextVectorization(Layer):
    """Texts as numbers of words: brought to a standard, split, looked up.

    Args:
        max_tokens: the size of the vocabulary, with padding and unknown words, at most.
        standardize: "lower_and_strip_punctuation", "lower", "strip_punctuation", a function of a text, or None.
        split: "whitespace", "character", a function of a text to words, or None.
        ngrams: also so many neighbouring words as one, or those numbers of a tuple.
        output_mode: "int" (padded with 0; 1 is an unknown word), "multi_hot" or "count".
        output_sequence_length: of mode "int", cut or padded to; the longest text by default.
        pad_to_max_tokens: make rows of ``max_tokens`` columns.
        vocabulary: the known words; without it, :meth:`adapt` finds them.
        idf_weights, sparse, ragged, encoding: as Keras's defaults; others are refused, and so is mode "tf_idf".

    Raises UnknownNameError for a setting that is none of these, ValueError for texts of another shape. Source:
    ``keras.layers.TextVectorization``.

    >>> vectorize = TextVectorization(vocabulary=["good", "film"])
    >>> vectorize(["Good film!", "bad"]).tolist()
    [[2, 3], [1, 0]]
    """

    def __init__(
        self, max_tokens: int | None = None, standardize: Any = "lower_and_strip_punctuation",
        split: Any = "whitespace", ngrams: Any = None, output_mode: str = "int",
        output_sequence_length: int | None = None, pad_to_max_tokens: bool = False, vocabulary: Any = None,
        idf_weights: None = None, sparse: bool = False, ragged: bool = False, encoding: str = "utf-8",
        **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(**options)
        refuse("TextVectorization", idf_weights=idf_weights, sparse=sparse or None, ragged=ragged or None)
        for name, value, known in (
            ("standardize", standardize, STANDARDIZE), ("split", split, ("whitespace", "character")),
        ):  # fmt: skip
            if value is not None and not callable(value) and value not in known:
                raise UnknownNameError(name, value, known)
        if output_mode not in ("int", "multi_hot", "count"):
            raise UnknownNameError("output_mode", output_mode, ("int", "multi_hot", "count"))
        if output_sequence_length is not None and output_mode != "int":
            raise ValueError(f"output_sequence_length is for output_mode='int', got output_mode={output_mode!r}")
        self.standardize, self.split, self.output_mode = standardize, split, output_mode
        self.ngrams = (
            tuple(range(1, ngrams + 1)) if isinstance(ngrams, int) else None if ngrams is None else tuple(ngrams)
        )
        self.output_sequence_length, self.max_tokens = output_sequence_length, max_tokens
        self.pad_to_max_tokens, self.encoding = bool(pad_to_max_tokens), encoding
        self.lookup = StringLookup(
            max_tokens, mask_token="" if output_mode == "int" else None, vocabulary=vocabulary, encoding=encoding,
            output_mode=output_mode, pad_to_max_tokens=pad_to_max_tokens,
        )  # fmt: skip
        self.built = True

    def adapt(self, data: Any, batch_size: int | None = None, steps: int | None = None) -> None:
        """Know the words of texts, the commonest first."""
        self.lookup._learn(Counter(word for text in _flat(data) for word in self._words(text)))

    def set_vocabulary(self, vocabulary: Any, idf_weights: None = None) -> None:
        """Know these words."""
        refuse("TextVectorization", idf_weights=idf_weights)
        self.lookup.set_vocabulary(vocabulary)

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[str]:
        """The known words, after "" for padding (in mode "int") and "[UNK]"."""
        return self.lookup.get_vocabulary(include_special_tokens)

    def vocabulary_size(self) -> int:
        """How many numbers there are."""
        return self.lookup.vocabulary_size()

    def _words(self, text: str) -> list[str]:
        words = _split(_standard(text, self.standardize), self.split)
        if self.ngrams is None:
            return words
        return [" ".join(words[i : i + n]) for n in self.ngrams for i in range(len(words) - n + 1)]

    def forward(self, inputs: Any, *args: Any, **options: Any) -> Tensor:
        """Texts (batch,) or (batch, 1), or one text -> numbers (batch, words), or rows (batch, columns)."""
        single = isinstance(inputs, str)
        rows = [self.lookup._lookup(np.array(self._words(text), object)) for text in _flat(inputs)]
        longest = self.output_sequence_length or max((len(row) for row in rows), default=0)
        filled = np.full((len(rows), longest), 0 if self.output_mode == "int" else -1, np.int64)
        for row, numbers in zip(filled, rows, strict=True):
            row[: min(len(numbers), longest)] = numbers[:longest]
        made = self.lookup._encoded(filled)
        return tensor(made[0] if single else made)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], self.output_sequence_length if self.output_mode == "int" else self.lookup._columns())

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The layer that :meth:`get_config` described. Raises ModelFileError where that names a file of words."""
        return cls(**with_own_words(config))

    def get_config(self) -> dict[str, Any]:
        names = ("max_tokens", "standardize", "split", "output_mode", "output_sequence_length", "pad_to_max_tokens",
                 "encoding")  # fmt: skip
        config = {**super().get_config(), **{name: getattr(self, name) for name in names}}
        return config | {"ngrams": self.ngrams and list(self.ngrams), "vocabulary": self.lookup.known or None}


def _flat(data: Any) -> Iterable[str]:
    texts = _texts(data)
    if texts.ndim > 1 and texts.shape[-1] != 1:
        raise ValueError(f"TextVectorization expects texts (batch,) or (batch, 1), got shape {texts.shape}")
    return (str(text) for text in texts.reshape(-1))


def _standard(text: str, how: str | Callable[[str], str] | None) -> str:
    if callable(how):
        return how(text)
    if how in ("lower", "lower_and_strip_punctuation"):
        text = text.lower()
    return PUNCTUATION.sub("", text) if how in ("strip_punctuation", "lower_and_strip_punctuation") else text


def _split(text: str, how: str | Callable[[str], Sequence[str]] | None) -> list[str]:
    if callable(how):
        return list(how(text))
    return text.split() if how == "whitespace" else list(text) if how == "character" else [text]
