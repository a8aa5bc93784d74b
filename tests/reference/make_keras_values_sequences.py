"""What Keras computes for its layers of sequences, stored in ``keras_sequences_values.npz``.

A case is the text of layers; it is the same in both libraries, so ``compute(keras.Sequential, keras.layers, ...)`` made
the stored values, and the same with nnkit's must give them again. Run it where Keras is installed:
``KERAS_BACKEND=torch python tests/reference/make_keras_values_sequences.py``.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np

VALUES = Path(__file__).with_name("keras_sequences_values.npz")

RECURRENT = (
    "SimpleRNN(3{})", "SimpleRNN(3, activation='relu', use_bias=False{})", "LSTM(4{})", "LSTM(17, use_bias=False{})",
    "LSTM(3, activation='elu', recurrent_activation='hard_sigmoid'{})", "GRU(4{})", "GRU(3, use_bias=False{})",
    "GRU(3, reset_after=False{})", "GRU(3, activation='relu'{})",
)  # fmt: skip
OPTIONS = [
    "".join(f", {name}=True" for name, on in zip(("return_sequences", "go_backwards"), chosen, strict=True) if on)
    for chosen in itertools.product((False, True), repeat=2)
]
#: Layers, one after the other; what is in front makes a mask.
CASES = [
    *(f"{front}{text.format(options)}" for text in RECURRENT for options in OPTIONS for front in ("", "Masking() ")),
    *(
        f"{front}Bidirectional(L.LSTM(3, return_sequences={seq}), merge_mode={mode!r})"
        for mode in ("concat", "sum", "ave", "mul") for seq in (False, True) for front in ("", "Masking() ")
    ),
    "TimeDistributed(L.Dense(2))", "Masking() TimeDistributed(L.Dense(2)) GRU(3)", "Masking(0.5) SimpleRNN(2)",
    "Embedding(6,3,mask_zero=True) GlobalAveragePooling1D() Dense(2)",
    "Masking() Dropout(0.5) LayerNormalization() LSTM(3)", "Bidirectional(L.GRU(2)) Dense(2)",
    "Embedding(6,3) LSTM(3)", "Embedding(6,3,mask_zero=True) LSTM(3,return_sequences=True) GRU(2)",
    "Embedding(6,3,mask_zero=True) Bidirectional(L.GRU(3,return_sequences=True)) SimpleRNN(2)",
]  # fmt: skip


def numbers(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Numbers from -0.75 to 0.75, in float32."""
    return (np.random.default_rng([seed, *shape]).integers(-12, 13, shape) / 16.0).astype(np.float32)


def inputs(text: str) -> np.ndarray:
    """Sequences, some steps of which are 0; or numbers of words."""
    if text.startswith("Embedding"):
        return np.array([[1, 2, 0, 0, 0], [3, 1, 2, 0, 0], [4, 0, 1, 2, 5]])
    x = numbers((3, 5, 2), 99)
    x[0, 3:], x[1, 1], x[2, 0] = 0.0, 0.0, 0.0
    return x


def compute(sequential: Any, layers: Any, text: str) -> np.ndarray:
    """The output, with weights that depend on their shapes alone."""
    model = sequential([eval(f"L.{part}", {"L": layers}) for part in _parts(text)])
    x = inputs(text)
    model.build((None, *x.shape[1:]))
    model.set_weights([numbers(tuple(w.shape), n) for n, w in enumerate(model.get_weights())])
    y = model(x)
    return np.array((y.detach().cpu() if hasattr(y, "detach") else y).numpy())


def _parts(text: str) -> list[str]:
    """The texts of the layers: a blank outside of parentheses parts them."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == " " and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


if __name__ == "__main__":
    import keras

    np.savez_compressed(VALUES, **{text: compute(keras.Sequential, keras.layers, text) for text in CASES})
