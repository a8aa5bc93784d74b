"""Differentiable functions of tensors, by family. Each computes its output and, a few lines below, its pullback."""

from nnkit.ops.attention import (
    append_rows,
    attention,
    attention_weights,
    check_room,
    self_attention,
    whole_attention,
)
from nnkit.ops.choice import (
    bitwise_and,
    bitwise_not,
    bitwise_or,
    bitwise_xor,
    clamp,
    eq,
    ge,
    gt,
    le,
    logical_and,
    logical_not,
    logical_or,
    lt,
    ne,
    where,
)
from nnkit.ops.classification import check_labels, cross_entropy, dropout, log_softmax, nll, softmax
from nnkit.ops.elementwise import (
    abs,
    activation,
    add,
    cos,
    div,
    elementwise_loss,
    erf,
    exp,
    expm1,
    floor,
    floor_divide,
    log,
    log1p,
    maximum,
    minimum,
    mul,
    neg,
    pow,
    reciprocal,
    relu,
    remainder,
    round,
    sigmoid,
    sign,
    sin,
    sqrt,
    square,
    sub,
    tanh,
)  # fmt: skip
from nnkit.ops.images import conv, conv_transpose, max_pool, pad_with, patches, sum_patches, sum_pool
from nnkit.ops.indexing import getitem, setitem, take_batch, take_rows
from nnkit.ops.normalization import normalize, normalize_by
from nnkit.ops.products import linear, matmul
from nnkit.ops.reductions import (
    all,
    amax,
    amin,
    any,
    argmax,
    argmin,
    logsumexp,
    max,
    mean,
    min,
    norm,
    prod,
    std,
    sum,
    var,
)  # fmt: skip
from nnkit.ops.shape import (
    cat,
    clone,
    expand,
    flatten,
    permute,
    reshape,
    split,
    squeeze,
    stack,
    to,
    transpose,
    unsqueeze,
)  # fmt: skip

__all__ = [name for name in dir() if not name.startswith("_")]
