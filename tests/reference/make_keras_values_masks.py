"""What Keras computes where a mask reaches a model's output, stored in ``keras_masks_values.npz``.

Losses and metrics of masked sequences, weights after some steps, and batch normalizations for each step. The same
function computes for both libraries. Run it where Keras is installed:
``KERAS_BACKEND=jax python tests/reference/make_keras_values_masks.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

VALUES = Path(__file__).with_name("keras_masks_values.npz")
WORDS = np.array([[1, 2, 0, 0], [3, 1, 2, 0], [4, 3, 1, 2], [2, 0, 0, 0]])
LABELS = np.array([[0, 2, 1, 1], [1, 1, 0, 2], [2, 0, 1, 2], [1, 1, 1, 0]])

#: The last layer, the loss, the metrics, and whether samples have weights.
TRAININGS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "labels": ("Dense(3, activation='softmax')", "sparse_categorical_crossentropy", ("accuracy",)),
    "one-hot": ("Dense(3, activation='softmax')", "categorical_crossentropy", ("categorical_accuracy",)),
    "yes or no": ("Dense(1, activation='sigmoid')", "binary_crossentropy", ("accuracy",)),
    "numbers": ("Dense(3)", "mse", ("mae", "mse")),
    "numbers, huber": ("Dense(3)", "huber", ("mean_squared_error",)),
    "own loss": ("Dense(3)", "own", ("mae",)),
    "recurrent": ("LSTM(3, return_sequences=True)", "mae", ("mae",)),
    "no sequence left": ("GRU(3)", "mse", ("mae",)),
}
NORMALIZED = {
    "batch normalization": ("BatchNormalization(momentum=0.7)", (4, 3, 2)),
    "masked": ("Masking() BatchNormalization(momentum=0.7)", (4, 3, 2)),
    "each step": ("TimeDistributed(L.BatchNormalization(momentum=0.7))", (4, 3, 2)),
    "each step, masked": ("Masking() TimeDistributed(L.BatchNormalization(momentum=0.7))", (4, 3, 2)),
    "each step of images": ("TimeDistributed(L.BatchNormalization(momentum=0.7))", (2, 3, 4, 4, 2)),
    "each step, dense": ("TimeDistributed(L.Dense(3))", (4, 3, 2)),
}


def numbers(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Numbers from -0.75 to 0.75, in float32."""
    return (np.random.default_rng([seed, *shape]).integers(-12, 13, shape) / 16.0).astype(np.float32)


def own(y_true: Any, y_pred: Any) -> Any:
    """A loss of each step."""
    return ((y_true - y_pred) ** 4).mean(-1)


def train(keras: Any, name: str, weighted: bool) -> dict[str, np.ndarray]:
    """Loss and metrics before, and the weights after three steps."""
    last, loss, metrics = TRAININGS[name]
    L = keras.layers
    model = keras.Sequential([L.Embedding(6, 3, mask_zero=True), eval(f"L.{last}", {"L": L})])
    model.build((None, 4))
    model.set_weights([numbers(tuple(w.shape), n) for n, w in enumerate(model.get_weights())])
    model.compile(keras.optimizers.SGD(0.5), own if loss == "own" else loss, weighted_metrics=list(metrics))
    y: np.ndarray = LABELS
    if name == "one-hot":
        y = np.eye(3, dtype=np.float32)[LABELS]
    elif name == "yes or no":
        y = (LABELS > 0).astype(np.float32)[:, :, None]
    elif name != "labels":
        y = numbers((4, 3) if name == "no sequence left" else (4, 4, 3), 50)
    weights = np.array([1.0, 2.0, 0.5, 3.0], np.float32) if weighted else None
    if weighted and keras.__name__ == "keras":  # which wants as many axes as its mask has
        weights = weights[:, None]
    found = {"results": np.array(model.evaluate(WORDS, y, sample_weight=weights, verbose=0, batch_size=4))}
    for _ in range(3):
        model.train_on_batch(WORDS, y, sample_weight=weights)
    return found | {f"weight {n}": np.array(w) for n, w in enumerate(model.get_weights())}


def normalize(keras: Any, name: str) -> dict[str, np.ndarray]:
    """The output in training, and the weights then."""
    text, shape = NORMALIZED[name]
    L = keras.layers
    model = keras.Sequential([eval(f"L.{part}", {"L": L}) for part in text.split()])
    x = numbers(shape, 5)
    x[0, 1:], x[-1, 0] = 0.0, 0.0
    model.build((None, *shape[1:]))
    weights = [numbers(tuple(w.shape), n) for n, w in enumerate(model.get_weights())]
    model.set_weights([np.abs(w) if w.ndim == 1 else w for w in weights])
    y = model(x, training=True)
    found = {"output": np.array(y.detach().numpy() if hasattr(y, "detach") else y)}
    return found | {f"weight {n}": np.array(w) for n, w in enumerate(model.get_weights())}


def compute(keras: Any) -> dict[str, np.ndarray]:
    """Everything that is stored."""
    values = {}
    for name in TRAININGS:
        for weighted in (False, True):
            values |= {f"{name}/{weighted}/{what}": value for what, value in train(keras, name, weighted).items()}
    for name in NORMALIZED:
        values |= {f"{name}/{what}": value for what, value in normalize(keras, name).items()}
    return values


if __name__ == "__main__":
    import keras

    np.savez_compressed(VALUES, **compute(keras))
