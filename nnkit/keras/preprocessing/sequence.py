"""``keras.preprocessing.sequence``: sequences of one length."""

from nnkit.keras.sequences import pad_sequences

__all__ = ["pad_sequences"]
