"""Activations, losses and random numbers, by the names of older Keras."""

from __future__ import annotations

from typing import Any

from nnkit.keras import activations, ops, random
from nnkit.keras.config import epsilon


def relu(x: Any, alpha: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Any:
    """x above 0, ``alpha`` times it below, and not above ``max_value``.

    x: any shape, of a floating dtype. Raises DtypeError for what are no numbers. Source: ``keras.backend.relu``.

    >>> relu([-1.0, 2.0], alpha=0.5)
    tensor([-0.5,  2. ])
    """
    return activations.relu(x, alpha, max_value, threshold)


def l2_normalize(x: Any, axis: Any = None) -> Any:
    """x by the root of its sum of squares along axes.

    x: any shape, which the result has, of a floating dtype. Raises DtypeError for what are no numbers. Source:
    ``keras.backend.l2_normalize``.

    >>> l2_normalize([3.0, 4.0])
    tensor([0.6, 0.8])
    """
    total = ops.sum(ops.square(x), axis, True)
    return x * ops.rsqrt(ops.maximum(total, 1e-12))


def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Any:
    """The loss of each element.

    Both of one shape of floats, which the result has. Raises ShapeError where they do not fit, DtypeError for what
    are no numbers. Source: ``keras.backend.binary_crossentropy``.

    >>> binary_crossentropy([1.0], [0.5])
    tensor([0.6931])
    """
    return ops.binary_crossentropy(target, output, from_logits)


def categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Any:
    """The loss of each sample, for shares of classes.

    Both of one shape of floats; the result is without the axis of classes. Raises ShapeError where they do not fit,
    DtypeError for what are no numbers. Source: ``keras.backend.categorical_crossentropy``.

    >>> categorical_crossentropy([[0.0, 1.0]], [[0.5, 0.5]])
    tensor([0.6931])
    """
    return ops.categorical_crossentropy(target, output, from_logits, axis)


def sparse_categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Any:
    """The loss of each sample, for class numbers.

    Integers, and floats that have an axis of classes more. Raises ShapeError where they do not fit, DtypeError for
    what are no numbers. Source: ``keras.backend.sparse_categorical_crossentropy``.

    >>> sparse_categorical_crossentropy([1], [[0.5, 0.5]])
    tensor([0.6931])
    """
    return ops.sparse_categorical_crossentropy(target, output, from_logits, axis)


def dropout(x: Any, level: float, noise_shape: Any = None, seed: int | None = None) -> Any:
    """A share of the elements set to 0, the others divided by the rest.

    x: any shape, of a floating dtype. Raises ValueError for a share that is none, DtypeError for what are no numbers.
    Source: ``keras.backend.dropout``.

    >>> dropout([1.0, 2.0], 0.0)
    tensor([1., 2.])
    """
    return random.dropout(x, level, noise_shape, seed)


def random_normal(
    shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: int | None = None
) -> Any:
    """Normal numbers in this shape, of ``dtype``, or ``floatx``.

    Raises TypeError for what is no shape, ShapeError for a size below 0. Source: ``keras.backend.random_normal``.

    >>> random_normal((2, 3), seed=0).shape
    (2, 3)
    """
    return random.normal(shape, mean, stddev, dtype, seed)


def random_uniform(
    shape: Any, minval: float = 0.0, maxval: float = 1.0, dtype: Any = None, seed: int | None = None
) -> Any:
    """Uniform numbers in this shape, of ``dtype``, or ``floatx``.

    Raises TypeError for what is no shape, ShapeError for a size below 0. Source: ``keras.backend.random_uniform``.

    >>> random_uniform((2, 3), seed=0).shape
    (2, 3)
    """
    return random.uniform(shape, minval, maxval, dtype, seed)


def truncated_normal(
    shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: int | None = None
) -> Any:
    """Normal numbers within two standard deviations of the mean, in this shape, of ``dtype``, or ``floatx``.

    Raises TypeError for what is no shape, ShapeError for a size below 0. Source: ``keras.backend.truncated_normal``.

    >>> bool((truncated_normal((99,), seed=0) < 2.0).all())
    True
    """
    return random.truncated_normal(shape, mean, stddev, dtype, seed)


def ctc_batch_cost(y_true: Any, y_pred: Any, input_length: Any, label_length: Any) -> Any:
    """-log of the probability of each sample's labels, from probabilities whose last class is the blank: (batch, 1).

    Labels (B, n) and lengths (B, 1) are integers, probabilities floats (B, T, classes). Raises
    DtypeError for what are no numbers. Source: ``keras.backend.ctc_batch_cost``.

    >>> ctc_batch_cost([[0]], [[[0.5, 0.5]]], [[1]], [[1]])
    tensor([[0.6931]])
    """
    probabilities = ops.convert_to_tensor(y_pred)
    labels, frames = (ops.reshape(part, (-1,)) for part in (label_length, input_length))
    logits = ops.log(probabilities + epsilon())
    return ops.expand_dims(ops.ctc_loss(y_true, logits, labels, frames, probabilities.shape[-1] - 1), 1)


def ctc_decode(
    y_pred: Any, input_length: Any, greedy: bool = True, beam_width: int = 100, top_paths: int = 1
) -> tuple[list[Any], Any]:
    """The likeliest labels of each sample, -1 behind, from probabilities whose last class is the blank.

    Probabilities are floats (B, T, classes), lengths integers (B,). Raises NotImplementedError unless
    ``greedy``, DtypeError for what are no numbers. Source: ``keras.backend.ctc_decode``.

    >>> ctc_decode([[[0.9, 0.1]]], [1])[0]
    [tensor([[0]], dtype=int32)]
    """
    if not greedy:
        raise NotImplementedError("ctc_decode: only greedy=True is there")
    probabilities = ops.convert_to_tensor(y_pred)
    scores = ops.log(probabilities + epsilon())
    found, score = ops.ctc_decode(
        scores, ops.reshape(input_length, (-1,)), mask_index=probabilities.shape[-1] - 1, strategy="greedy"
    )
    return [found[0]], score
