"""The data of workloads: one batch, or a whole data set, that cannot be learned by heart.

Every row comes twice, with two different labels. So gradients stay ordinary numbers however long a benchmark trains; a
loss that went to zero would fill the optimizer's state with denormal numbers, which some processors multiply very
slowly. (A table of words is too large for that: each of its steps changes few rows by very little.)
"""

from __future__ import annotations

import numpy as np

from bench.nets import Net

KNOWN = 5  # of so many points inside, one more where the solution of the heat equation is known
ALPHA = 0.1  # u_t = ALPHA u_xx

Arrays = tuple[np.ndarray, ...]


def batch(net: Net, loss: str, rows: int) -> Arrays:
    """What so many examples consist of: mostly x (rows, …), of float32 or int64 words, and y.

    Labels are int64 (rows,), or (rows, tokens) where each word has one that follows; for "bce_with_logits" float32
    (rows, 1) of 0 and 1; for "mse" any numbers (rows, outputs). For "squares": queries, keys and values (rows, heads,
    tokens, width). For "heat": points inside (rows, 2), points (rows / 5, 2), and the solution there (rows / 5, 1).
    """
    random = np.random.default_rng(0)
    if loss == "heat":
        return _heat(random, rows)
    if loss == "squares":
        parts, *shape = net.inputs
        return tuple(random.standard_normal((parts, rows, *shape), np.float32))
    if net.family == "embedding":
        return _examples(random, net, rows), random.standard_normal((rows, net.classes), np.float32)
    half = (rows + 1) // 2
    x = np.repeat(_examples(random, net, half), 2, axis=0)[:rows]
    if loss == "mse":
        numbers = random.standard_normal((half, net.classes), np.float32)
        return x, _alternating(numbers, numbers + 1)[:rows]
    classes = max(net.classes, 2)
    label = random.integers(0, classes, (half, *(net.inputs if net.words else ())))
    y = _alternating(label, (label + 1) % classes)[:rows]
    return x, y[:, None].astype(np.float32) if loss == "bce_with_logits" else y


def _examples(random: np.random.Generator, net: Net, rows: int) -> np.ndarray:
    shape = (rows, *net.inputs)
    return random.integers(0, net.words, shape) if net.words else random.standard_normal(shape, np.float32)


def _alternating(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """A row of the one, a row of the other."""
    return np.stack([first, second], axis=1).reshape(-1, *first.shape[1:])


def _heat(random: np.random.Generator, rows: int) -> Arrays:
    """Places and times between 0 and 1; u is known at the beginning and at both ends."""
    count = max(rows // KNOWN, 2)
    inside, known = random.uniform(0, 1, (rows, 2)), random.uniform(0, 1, (count, 2))
    known[: count // 2, 1] = 0.0
    known[count // 2 :, 0] = random.integers(0, 2, count - count // 2)
    u = np.exp(-ALPHA * np.pi**2 * known[:, 1:]) * np.sin(np.pi * known[:, :1])
    return inside.astype(np.float32), known.astype(np.float32), u.astype(np.float32)
