"""Einstein's notation: products of tensors whose axes have letters, summed over those that the result lacks.

Operands are contracted from left to right, each time as one batch of matrix products.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from nnkit.errors import ShapeError
from nnkit.ops import shape
from nnkit.ops.products import matmul
from nnkit.ops.rearranging import diagonal
from nnkit.ops.reductions import sum as summed
from nnkit.tensors.tensor import Tensor

#: The letters of the axes that an ellipsis stands for, from the last on; no others than these are not letters.
HIDDEN = "0123456789"
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def einsum(equation: Any, *operands: Any) -> Tensor:
    """Sums of products by an equation such as ``"bij,bjk->bik"``; without ``->`` the letters that come once, in order.

    A letter that comes twice in one operand is its diagonal; ``...`` stands for further axes, which broadcast. Operands
    may come as a list, or each before a list of numbers of its axes. Raises ShapeError where they do not fit. They are
    of any dtype. Source: ``torch.einsum``.

    >>> from nnkit import tensor
    >>> einsum("ij,j->i", tensor([[1.0, 2.0], [3.0, 4.0]]), tensor([1.0, 1.0]))
    tensor([3., 7.])
    """
    if isinstance(equation, Tensor):
        equation, operands = _from_lists((equation, *operands))
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    given, out = _letters(equation, operands)
    parts = [_without_repeats(x, letters) for x, letters in zip(operands, given, strict=True)]
    x, letters = parts[0]
    for number, (y, others) in enumerate(parts[1:], start=1):
        later = {*out, *(letter for _, rest in parts[number + 1 :] for letter in rest)}
        x, letters = _contracted(x, letters, y, others, later)
    x, letters = _summed(x, letters, set(out))
    return shape.permute(x, [letters.index(letter) for letter in out])


def _from_lists(given: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """The equation and the operands of einsum(x, [0, 1], y, [1, 2], [0, 2])."""

    def written(axes: Sequence[Any]) -> str:
        return "".join("..." if axis is Ellipsis else LETTERS[axis] for axis in axes)

    operands, axes = given[: len(given) // 2 * 2 : 2], given[1::2]
    equation = ",".join(map(written, axes))
    return (f"{equation}->{written(given[-1])}" if len(given) % 2 else equation), operands


def _letters(equation: str, operands: Sequence[Tensor]) -> tuple[list[str], str]:
    """The letters of each operand's axes and of the result's, those under an ellipsis among them."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    inputs = left.split(",")
    if len(inputs) != len(operands):
        raise ShapeError(f"einsum: {equation!r} is of {len(inputs)} operands, got {len(operands)}")
    spelled, most = [], 0
    for x, letters in zip(operands, inputs, strict=True):
        named = letters.replace("...", "", 1)
        if not all(letter in LETTERS for letter in named):
            raise ShapeError(f"einsum: expected letters, ',', '->' and '...', got {equation!r}")
        hidden = x.ndim - len(named)
        if hidden < 0 or (hidden and "..." not in letters):
            raise ShapeError(f"einsum: {letters!r} names {len(named)} axes, the operand has shape {x.shape}")
        most = max(most, hidden)
        spelled.append(letters.replace("...", HIDDEN[:hidden][::-1]))
    hidden_letters = HIDDEN[:most][::-1]
    if arrow:
        out = right.replace("...", hidden_letters)
    else:
        every = "".join(spelled)
        out = hidden_letters + "".join(c for c in sorted(set(every)) if every.count(c) == 1 and c in LETTERS)
    if len(set(out)) != len(out) or not set(out) <= {c for letters in spelled for c in letters}:
        raise ShapeError(f"einsum: the result {right!r} names a letter twice, or one that no operand has")
    return spelled, out


def _without_repeats(x: Tensor, letters: str) -> tuple[Tensor, str]:
    """A letter that comes twice is the diagonal of its axes."""
    for letter in dict.fromkeys(letters):
        while letters.count(letter) > 1:
            first, second = [i for i, c in enumerate(letters) if c == letter][:2]
            if x.shape[first] != x.shape[second]:
                raise ShapeError(f"einsum: the axes {letter!r} have sizes {x.shape[first]} and {x.shape[second]}")
            x = diagonal(x, 0, first, second)
            letters = "".join(c for i, c in enumerate(letters) if i not in (first, second)) + letter
    return x, letters


def _summed(x: Tensor, letters: str, wanted: set[str]) -> tuple[Tensor, str]:
    """Without the axes that nobody wants."""
    axes = [i for i, letter in enumerate(letters) if letter not in wanted]
    return (summed(x, axes), "".join(c for c in letters if c in wanted)) if axes else (x, letters)


def _contracted(x: Tensor, first: str, y: Tensor, second: str, later: set[str]) -> tuple[Tensor, str]:
    """The product of two operands, summed over the letters that both have and nothing later needs."""
    x, first = _summed(x, first, {*second, *later})
    y, second = _summed(y, second, {*first, *later})
    x, y = _of_one_size(x, first, y, second), _of_one_size(y, second, x, first)
    common = [c for c in first if c in second]
    batch, inner = [c for c in common if c in later], [c for c in common if c not in later]
    left, right = [c for c in first if c not in second], [c for c in second if c not in first]
    size = {c: n for letters, t in ((first, x), (second, y)) for c, n in zip(letters, t.shape, strict=True)}

    def laid(t: Tensor, letters: str, *groups: list[str]) -> Tensor:
        ordered = shape.permute(t, [letters.index(c) for group in groups for c in group])
        return shape.reshape(ordered, [math.prod(size[c] for c in group) for group in groups])

    rows, columns = laid(x, first, batch, left, inner), laid(y, second, batch, inner, right)
    z = matmul(rows, columns) if inner else rows * columns
    letters = [*batch, *left, *right]
    return shape.reshape(z, [size[c] for c in letters]), "".join(letters)


def _of_one_size(x: Tensor, letters: str, y: Tensor, others: str) -> Tensor:
    """x with axes of size 1 repeated where y's axis of the same letter is longer."""
    sizes = []
    for letter, n in zip(letters, x.shape, strict=True):
        m = y.shape[others.index(letter)] if letter in others else n
        if n != m and 1 not in (n, m):
            raise ShapeError(f"einsum: the axes {letter!r} have sizes {n} and {m}")
        sizes.append(m if n == 1 else n)
    return shape.expand(x, sizes) if tuple(sizes) != x.shape else x
