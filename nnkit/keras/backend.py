"""What programs for older Keras call in ``keras.backend``: settings, and functions of tensors by their old names.

The functions are those of ``nnkit.keras.ops``; what belongs to a graph of symbolic placeholders is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnkit.errors import ShapeError
from nnkit.keras import activations, ops, random
from nnkit.keras.config import (
    backend,
    epsilon,
    floatx,
    image_data_format,
    set_epsilon,
    set_floatx,
    set_image_data_format,
)
from nnkit.keras.naming import automatic_name, clear_session
from nnkit.keras.ops import (
    abs,
    arange,
    argmax,
    argmin,
    cast,
    clip,
    concatenate,
    cos,
    cumprod,
    cumsum,
    elu,
    equal,
    exp,
    expand_dims,
    eye,
    greater,
    greater_equal,
    hard_sigmoid,
    less,
    less_equal,
    log,
    logsumexp,
    maximum,
    minimum,
    ndim,
    not_equal,
    one_hot,
    ones,
    ones_like,
    reshape,
    round,
    shape,
    sigmoid,
    sign,
    sin,
    softmax,
    softplus,
    softsign,
    sqrt,
    square,
    squeeze,
    stack,
    stop_gradient,
    tanh,
    tile,
    transpose,
    zeros,
    zeros_like,
)
from nnkit.keras.ops.types import result_type, standardize_dtype
from nnkit.keras.symbolic import KerasTensor
from nnkit.keras.variable import Variable
from nnkit.tensors.tensor import Tensor

# ---- types ----------------------------------------------------------------------------------------------------------


def is_float_dtype(dtype: Any) -> bool:
    """Whether a dtype is one of floats.

    Raises DtypeError for what is no dtype. Source: ``keras.backend.is_float_dtype``.

    >>> is_float_dtype("bfloat16"), is_float_dtype("int8")
    (True, False)
    """
    return "float" in standardize_dtype(dtype)


def is_int_dtype(dtype: Any) -> bool:
    """Whether a dtype is one of whole numbers.

    Raises DtypeError for what is no dtype. Source: ``keras.backend.is_int_dtype``.

    >>> is_int_dtype("uint8"), is_int_dtype("bool")
    (True, False)
    """
    return standardize_dtype(dtype).lstrip("u").startswith("int")


def is_keras_tensor(x: Any) -> bool:
    """Whether x is symbolic.

    Raises nothing. Source: ``keras.backend.is_keras_tensor``.

    >>> is_keras_tensor(KerasTensor((None, 2))), is_keras_tensor([1.0])
    (True, False)
    """
    return isinstance(x, KerasTensor)


def is_tensor(x: Any) -> bool:
    """Whether x is a tensor, of any shape and dtype.

    Raises nothing. Source: ``keras.backend.is_tensor``.

    >>> is_tensor(zeros(2)), is_tensor([0.0])
    (True, False)
    """
    return isinstance(x, Tensor)


def dtype(x: Any) -> str:
    """The name of x's dtype, of any shape.

    Raises AttributeError for what has none. Source: ``keras.backend.dtype``.

    >>> dtype(zeros(2))
    'float32'
    """
    return standardize_dtype(x.dtype)


def get_uid(prefix: str = "") -> int:
    """A number that was not given for this prefix before, from 1 on.

    Raises TypeError for what is no text. Source: ``keras.backend.get_uid``.

    >>> get_uid("part of an example"), get_uid("part of an example")
    (1, 2)
    """
    found = automatic_name(type(prefix or "object", (), {})).rpartition("_")[2]
    return int(found) + 1 if found.isdigit() else 1


# ---- values ---------------------------------------------------------------------------------------------------------


def constant(value: Any, dtype: Any = None, shape: Any = None, name: str | None = None) -> Any:
    """A tensor of these numbers, of any shape, in ``floatx`` unless ``dtype`` tells otherwise.

    Raises DtypeError for what are no numbers, ShapeError where they cannot be repeated to ``shape``. Source:
    ``keras.backend.constant``.

    >>> constant(2, shape=(2,))
    tensor([2., 2.])
    """
    x = ops.convert_to_tensor(value, dtype or floatx())
    return x if shape is None else ops.broadcast_to(x, shape)


def variable(value: Any, dtype: Any = None, name: str | None = None, constraint: Any = None) -> Any:
    """A variable that begins with this value, of any shape, in ``floatx`` unless ``dtype`` tells otherwise.

    Raises DtypeError for what are no numbers. Source: ``keras.backend.variable``.

    >>> get_value(variable([1, 2]))
    array([1., 2.], dtype=float32)
    """
    return Variable(np.asarray(value), dtype=dtype or floatx(), name=name)


def cast_to_floatx(x: Any) -> Any:
    """As dtype ``floatx``, of x's shape: a tensor of a tensor, else an array.

    Raises ValueError for what are no numbers. Source: ``keras.backend.cast_to_floatx``.

    >>> cast_to_floatx([1, 2])
    array([1., 2.], dtype=float32)
    """
    return ops.cast(x, floatx()) if isinstance(x, (Tensor, KerasTensor)) else np.asarray(x, dtype=floatx())


def get_value(x: Any) -> np.ndarray:
    """The numbers of a tensor as an array of its shape and dtype; also called ``eval``.

    Raises DtypeError for what are no numbers. Source: ``keras.backend.get_value``.

    >>> get_value(ones(2))
    array([1., 1.], dtype=float32)
    """
    return ops.convert_to_numpy(x)


eval = get_value


def set_value(x: Any, value: Any) -> None:
    """Give a variable a value of its shape, which takes its dtype.

    Raises AttributeError for what is no variable. Source: ``keras.backend.set_value``.

    >>> x = variable(1.0); set_value(x, 2.0); get_value(x)
    array(2., dtype=float32)
    """
    x.assign(value)


def batch_get_value(tensors: Sequence[Any]) -> list[np.ndarray]:
    """The numbers of each tensor as an array of its shape and dtype.

    Raises DtypeError for what are no numbers. Source: ``keras.backend.batch_get_value``.

    >>> batch_get_value([ones(1), zeros(1)])
    [array([1.], dtype=float32), array([0.], dtype=float32)]
    """
    return [get_value(x) for x in tensors]


def batch_set_value(tuples: Sequence[tuple[Any, Any]]) -> None:
    """Give each variable its value, of its shape, which takes its dtype.

    Raises AttributeError for what is no variable. Source: ``keras.backend.batch_set_value``.

    >>> x, y = variable(1.0), variable(1.0)
    >>> batch_set_value([(x, 2.0), (y, 3.0)]); batch_get_value([x, y])
    [array(2., dtype=float32), array(3., dtype=float32)]
    """
    for x, value in tuples:
        set_value(x, value)


def int_shape(x: Any) -> tuple[int | None, ...]:
    """The sizes of the axes, None where one is not known.

    Raises AttributeError for what has no shape. Source: ``keras.backend.int_shape``.

    >>> int_shape(KerasTensor((None, 2)))
    (None, 2)
    """
    return tuple(x.shape)


# ---- sums and means: of booleans as numbers -------------------------------------------------------------------------


def _reduction(name: str, floating: bool = False) -> Callable[..., Any]:
    core = getattr(ops, name)

    def function(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return core(ops.cast(x, floatx()) if floating and standardize_dtype(x.dtype) == "bool" else x, axis, keepdims)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = core.__doc__
    return function


sum, prod, max, min = (_reduction(name) for name in ("sum", "prod", "max", "min"))
mean, var, std = (_reduction(name, True) for name in ("mean", "var", "std"))
any, all = _reduction("any"), _reduction("all")


def pow(x: Any, a: Any) -> Any:
    """x to the power a.

    x, a: shapes that broadcast, any dtypes. Raises DtypeError for what are no numbers. Source: ``keras.backend.pow``.

    >>> pow([2.0, 3.0], 2)
    tensor([4., 9.])
    """
    return ops.power(x, a)


def dot(x: Any, y: Any) -> Any:
    """The product over the last axis of x and the last but one of y.

    Any dtypes; the result has the common one. Raises ShapeError where they do not fit, DtypeError for what are no
    numbers. Source: ``keras.backend.dot``.

    >>> dot([[1.0, 2.0]], [[3.0], [4.0]])
    tensor([[11.]])
    """
    return ops.dot(x, y)


def batch_dot(x: Any, y: Any, axes: Any = None) -> Any:
    """The product of each sample of x with that of y, over these axes (the batch's is 0).

    x (B, ...) and y (B, ...), any dtypes; the result has the common one. Raises ShapeError where the axes differ in
    size, DtypeError for what are no numbers. Source: ``keras.backend.batch_dot``.

    >>> batch_dot([[1.0, 2.0]], [[3.0, 4.0]], axes=1)
    tensor([[11.]])
    """
    x, y = ops.convert_to_tensor(x), ops.convert_to_tensor(y)
    axes = (x.ndim - 1, y.ndim - 2 if y.ndim > 2 else y.ndim - 1) if axes is None else axes
    a, b = (axes, axes) if isinstance(axes, int) else axes
    a, b = a % x.ndim, b % y.ndim
    if x.shape[a] != y.shape[b]:
        raise ShapeError(f"batch_dot: axis {a} of {tuple(x.shape)} and {b} of {tuple(y.shape)} differ in size")
    letters = "bcdefghijklmnopqrs"
    left, right = list(letters[: x.ndim]), ["b", *(c.upper() for c in letters[1 : y.ndim])]
    right[b] = left[a]
    kept = [c for k, c in enumerate(left) if k != a] + [c for k, c in enumerate(right) if k not in (0, b)]
    found = ops.einsum(f"{''.join(left)},{''.join(right)}->{''.join(kept)}", x, y)
    return ops.expand_dims(found, 1) if found.ndim == 1 else found


# ---- shapes ---------------------------------------------------------------------------------------------------------


def flatten(x: Any) -> Any:
    """All elements in one row: shape (n,), of x's dtype.

    Raises DtypeError for what are no numbers. Source: ``keras.backend.flatten``.

    >>> flatten([[1.0], [2.0]])
    tensor([1., 2.])
    """
    return ops.reshape(x, (-1,))


def batch_flatten(x: Any) -> Any:
    """Each sample as one row: (B, ...) to (B, features), of x's dtype.

    Raises AttributeError for what has no shape. Source: ``keras.backend.batch_flatten``.

    >>> batch_flatten(ones((2, 3, 4))).shape
    (2, 12)
    """
    return ops.reshape(x, (x.shape[0] or -1, int(np.prod([n or -1 for n in x.shape[1:]]))))


def permute_dimensions(x: Any, pattern: Sequence[int]) -> Any:
    """The axes in another order; the dtype stays.

    Raises ShapeError where ``pattern`` does not name each axis once. Source: ``keras.backend.permute_dimensions``.

    >>> permute_dimensions(ones((2, 3)), (1, 0)).shape
    (3, 2)
    """
    return ops.transpose(x, pattern)


def repeat_elements(x: Any, rep: int, axis: int) -> Any:
    """Each element along an axis several times; the dtype stays.

    Raises ShapeError for an axis that x has not. Source: ``keras.backend.repeat_elements``.

    >>> repeat_elements([1.0, 2.0], 2, 0)
    tensor([1., 1., 2., 2.])
    """
    return ops.repeat(x, rep, axis)


def repeat(x: Any, n: int) -> Any:
    """Each sample n times over: (B, features) -> (B, n, features), of x's dtype.

    Raises DtypeError for what are no numbers. Source: ``keras.backend.repeat``.

    >>> repeat(ones((2, 3)), 4).shape
    (2, 4, 3)
    """
    return ops.repeat(ops.expand_dims(x, 1), n, 1)


def gather(reference: Any, indices: Any) -> Any:
    """The parts along axis 0 with these numbers, which are integers; the dtype stays.

    Raises IndexError for a number out of range, DtypeError for what are no numbers. Source: ``keras.backend.gather``.

    >>> gather([5.0, 6.0, 7.0], [2, 0])
    tensor([7., 5.])
    """
    return ops.take(reference, indices, 0)


def switch(condition: Any, then_expression: Any, else_expression: Any) -> Any:
    """One value or the other, by a condition; they may be functions, both of which are called.

    A condition of fewer axes goes for the whole of the others. Any dtypes; the result has the common one. Raises
    DtypeError for what are no numbers. Source: ``keras.backend.switch``.

    >>> switch([True, False], [1.0, 2.0], lambda: [3.0, 4.0])
    tensor([1., 4.])
    """
    first, second = (e() if callable(e) else e for e in (then_expression, else_expression))
    while ops.ndim(condition) < ops.ndim(first):
        condition = ops.expand_dims(condition, -1)
    return ops.where(condition, first, second)


# ---- networks -------------------------------------------------------------------------------------------------------


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


# ---- what belongs to graphs -----------------------------------------------------------------------------------------


def _refused(name: str, instead: str) -> Callable[..., Any]:
    def function(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"keras.backend.{name} belongs to graphs of placeholders: {instead}")

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""Refused: {instead}.

    Raises NotImplementedError. Source: ``keras.backend.{name}`` of older Keras.

    >>> {name}()
    Traceback (most recent call last):
    NotImplementedError: ...
    """
    return function


function = _refused("function", "make a Model(inputs, outputs), and call it")
gradients = _refused("gradients", "use nnkit.keras.GradientTape, or tensor.backward()")
placeholder = _refused("placeholder", "use nnkit.keras.Input")
learning_phase = _refused("learning_phase", "call the layer or model with training=True")
set_learning_phase = _refused("set_learning_phase", "call the layer or model with training=True")
get_session = _refused("get_session", "there is no session; tensors have values")

# fmt: off
__all__ = [
    "abs", "all", "any", "arange", "argmax", "argmin", "backend", "batch_dot", "batch_flatten", "batch_get_value",
    "batch_set_value", "binary_crossentropy", "cast", "cast_to_floatx", "categorical_crossentropy", "clear_session",
    "clip", "concatenate", "constant", "cos", "ctc_batch_cost", "ctc_decode", "cumprod", "cumsum", "dot", "dropout",
    "dtype", "elu", "epsilon", "equal", "eval", "exp", "expand_dims", "eye", "flatten", "floatx", "function",
    "gather", "get_session", "get_uid", "get_value", "gradients", "greater", "greater_equal", "hard_sigmoid",
    "image_data_format", "int_shape", "is_float_dtype", "is_int_dtype", "is_keras_tensor", "is_tensor",
    "l2_normalize", "learning_phase", "less", "less_equal", "log", "logsumexp", "max", "maximum", "mean", "min",
    "minimum", "ndim", "not_equal", "one_hot", "ones", "ones_like", "permute_dimensions", "placeholder", "pow",
    "prod", "random_normal", "random_uniform", "relu", "repeat", "repeat_elements", "reshape", "result_type",
    "round", "set_epsilon", "set_floatx", "set_image_data_format", "set_learning_phase", "set_value", "shape",
    "sigmoid", "sign", "sin", "softmax", "softplus", "softsign", "sparse_categorical_crossentropy", "sqrt",
    "square", "squeeze", "stack", "standardize_dtype", "std", "stop_gradient", "sum", "switch", "tanh", "tile",
    "transpose", "truncated_normal", "var", "variable", "zeros", "zeros_like",
]
# fmt: on


def __dir__() -> list[str]:
    return sorted(__all__)
