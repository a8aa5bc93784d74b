"""Wrong calls, and the error that each docstring says they raise.

A row: the module, the error, a call in which ``{}`` stands for a name of that module, and the names. Calls may use the
words of nnkit (``tensor``, ``ones``, …), those of the row's module, and ``nnkit`` itself.
"""

from __future__ import annotations

import importlib
from typing import Any

from raised_further import FURTHER
from raised_nn import OF_NETWORKS
from raised_ops import OF_OPS

RAISED: tuple[tuple[str, str, str, str], ...] = (
    ("nnkit.linalg", "ShapeError", "{}(ones(3))", "cond matrix_rank pinv qr svd svdvals"),
    ("nnkit.linalg", "ShapeError", "{}(ones(2, 3))", "cholesky det eigh eigvalsh inv matrix_exp slogdet"),
    ("nnkit.linalg", "ShapeError", "{}(ones(2, 3), 2)", "matrix_power"),
    ("nnkit.linalg", "ShapeError", "{}(ones(2, 2), ones(3, 3), upper=True)", "solve_triangular"),
    ("nnkit.linalg", "ShapeError", "{}(ones(2, 2), ones(3, 3))", "cross lstsq matmul solve vecdot"),
    ("nnkit.linalg", "ShapeError", "{}((ones(2, 2), ones(3, 3)))", "multi_dot"),
    ("nnkit.linalg", "ShapeError", "{}((ones(2, 2),))", "multi_dot"),
    ("nnkit.linalg", "ShapeError", "{}(ones(2, 2), dim=(0, 2))", "matrix_norm norm vector_norm"),
    ("nnkit.linalg", "ShapeError", "{}(ones(3))", "diagonal"),
    ("nnkit.linalg", "ShapeError", "{}(ones(3, 3), dim1=1, dim2=1)", "diagonal"),
    ("nnkit.linalg", "DtypeError", "{}(ones(2, 2).long())",
     "cholesky cond det eigh eigvalsh inv matrix_exp matrix_norm matrix_rank norm pinv qr slogdet svd svdvals"
     " vector_norm"),
    ("nnkit.linalg", "DtypeError", "{}(ones(2, 2).long(), 2)", "matrix_power"),
    ("nnkit.linalg", "DtypeError", "{}(ones(2, 2).long(), ones(2, 2).long())", "lstsq solve"),
    ("nnkit.linalg", "DtypeError", "{}(ones(2, 2).long(), ones(2, 2).long(), upper=True)", "solve_triangular"),
    ("nnkit.linalg", "DtypeError", "{}(ones(3), 'a')", "cross matmul vecdot"),
    ("nnkit.linalg", "MatrixError", "{}(zeros(2, 2))", "cholesky inv"),
    ("nnkit.linalg", "MatrixError", "{}(zeros(2, 2), -1)", "matrix_power"),
    ("nnkit.linalg", "MatrixError", "{}(zeros(2, 2), ones(2))", "solve"),
    ("nnkit.linalg", "MatrixError", "{}(zeros(2, 2), ones(2, 2), upper=True)", "solve_triangular"),
    ("nnkit.linalg", "ValueError", "{}(ones(2, 2), ord='x')", "matrix_norm norm vector_norm"),
    # ---- of elements
    ("nnkit", "TypeError", "{}('one')",
     "acos acosh asin asinh atan atanh cos cosh deg2rad digamma erf erfc exp exp2 expm1 lgamma log log10 log1p log2"
     " logit rad2deg reciprocal rsqrt sigmoid sin sinc sinh sqrt tan tanh"),
    ("nnkit", "TypeError", "{}('one')",
     "abs ceil floor neg positive relu round trunc clone nan_to_num sign square frac isfinite isinf isnan isneginf"
     " isposinf logical_not signbit"),
    ("nnkit", "DtypeError", "{}(tensor([True]))", "abs ceil floor neg positive relu round trunc frac"),
    ("nnkit", "DtypeError", "{}(ones(2))", "bitwise_not bincount"),
    ("nnkit", "ShapeError", "{}(ones(2), ones(3))",
     "eq ge gt le logical_and logical_or logical_xor lt ne add copysign floor_divide fmax fmin fmod heaviside"
     " maximum minimum mul pow remainder rsub sub atan2 div true_divide xlogy hypot logaddexp logaddexp2 clamp_max"
     " clamp_min isclose allclose dist dot clamp mm mv bmm float_power"),
    ("nnkit", "TypeError", "{}(ones(2), 'one')",
     "eq ge gt le logical_and logical_or logical_xor lt ne add copysign floor_divide fmax fmin fmod heaviside"
     " maximum minimum mul remainder rsub sub atan2 div true_divide xlogy pow"),
    ("nnkit", "DtypeError", "{}(ones(2), 'one')", "hypot logaddexp logaddexp2"),
    ("nnkit", "DtypeError", "{}(ones(2).long(), ones(2).long())", "hypot logaddexp logaddexp2"),
    ("nnkit", "DtypeError", "{}(ones(2), ones(2).long())",
     "bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor"),
    ("nnkit", "ShapeError", "{}(ones(2).long(), ones(3).long())",
     "bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor"),
    ("nnkit", "DtypeError", "{}(ones(2), 'one')", "clamp clamp_max clamp_min dist isin searchsorted"),
    ("nnkit", "ShapeError", "{}(ones(2))", "clamp"),
    ("nnkit", "ShapeError", "{}(ones(2), ones(3), ones(2))", "addcdiv addcmul lerp"),
    ("nnkit", "DtypeError", "{}('one', ones(2), ones(2))", "addcdiv addcmul"),
    ("nnkit", "DtypeError", "{}(ones(2).long(), ones(2).long(), ones(2).long())", "addcdiv lerp"),
    ("nnkit", "DtypeError", "{}(ones(2), ones(2).double())", "allclose isclose"),
    ("nnkit", "TypeError", "{}('one', ones(2))", "allclose isclose equal dsplit hsplit split tensor_split vsplit"),
    ("nnkit", "ShapeError", "{}(ones(2) > 0, ones(3), 1)", "where"),
    ("nnkit", "DtypeError", "{}(ones(2) > 0, ones(2).long(), 2**70)", "where"),
    ("nnkit", "ValueError", "{}(ones(2), 'one')", "float_power"),
    # ---- over axes
    ("nnkit", "ShapeError", "{}(ones(2), dim=7)",
     "nanmedian amax amin aminmax argmax argmin max min mode median nanmean count_nonzero nansum prod sum logsumexp"
     " mean norm std std_mean var var_mean all any cummax cummin cumprod cumsum log_softmax logcumsumexp softmax diff"
     " trapezoid squeeze unsqueeze argsort sort unique unique_consecutive unbind"),
    ("nnkit", "TypeError", "{}('one')",
     "nanmedian amax amin aminmax argmax argmin max min mode median nanmean count_nonzero nansum prod sum mean norm"
     " std std_mean var var_mean all any diff trapezoid squeeze argsort sort unique unique_consecutive nonzero"
     " argwhere msort unbind"),
    ("nnkit", "TypeError", "{}('one', 0)", "logsumexp cummax cummin cumprod cumsum unsqueeze"),
    ("nnkit", "ShapeError", "{}(zeros(0))", "amax amin aminmax argmax argmin max min mode"),
    ("nnkit", "ShapeError", "{}(ones(2), 3)", "kthvalue topk"),
    ("nnkit", "ShapeError", "{}(ones(2), 1, 7)", "kthvalue topk"),
    ("nnkit", "ShapeError", "{}(ones(2), 2.0)", "quantile nanquantile dropout"),
    ("nnkit", "ShapeError", "{}(ones(2), 0.5, 7)", "quantile nanquantile"),
    ("nnkit", "DtypeError", "{}(ones(2).long(), 0.5)", "quantile nanquantile dropout"),
    ("nnkit", "DtypeError", "{}(ones(2).long(), 0)", "log_softmax logcumsumexp softmax"),
    ("nnkit", "TypeError", "{}('one', 0.5)", "quantile nanquantile"),
    ("nnkit", "ShapeError", "{}(ones(2), ones(3))", "trapezoid"),
    ("nnkit", "DtypeError", "{}(ones(2).long())", "nanmean histc bernoulli poisson"),
    ("nnkit", "DtypeError", "{}(ones(2).long(), 2)", "histogram multinomial"),
    ("nnkit", "TypeError", "{}('one', 2)", "histogram repeat tile kthvalue topk histc"),
    ("nnkit", "TypeError", "{}('one')", "histc corrcoef cov bernoulli poisson is_floating_point numel"),
    ("nnkit", "ShapeError", "{}(ones(2, 2, 2))", "corrcoef cov combinations"),
    ("nnkit", "ShapeError", "{}(ones(2, 2), ones(3, 2))", "searchsorted"),
    ("nnkit", "ShapeError", "{}(ones(2), ones(2, 2))", "bucketize"),
    ("nnkit", "DtypeError", "{}('one', ones(2))", "bucketize"),
    # ---- of places and sizes
    ("nnkit", "ShapeError", "{}(ones(2, 2), 7)", "flip"),
    ("nnkit", "TypeError", "{}('one', 2)", "chunk"),
    ("nnkit", "ShapeError", "{}(ones(2, 2), 7, 0)", "select movedim transpose"),
    ("nnkit", "ShapeError", "{}(ones(2, 2), 7, 0, 1)", "narrow unfold"),
    ("nnkit", "ShapeError", "{}(ones(2, 2), (0, 7))", "permute"),
    ("nnkit", "ShapeError", "{}(ones(2, 2), 1, 7)", "roll"),
    ("nnkit", "ShapeError", "{}(ones(2, 2), 1, (0, 7))", "rot90"),
    ("nnkit", "ShapeError", "{}(ones(2, 2), 0, 0, 7)", "diag_embed diagonal"),
    ("nnkit", "ShapeError", "{}(ones(2), (3,))", "broadcast_to reshape"),
    ("nnkit", "ShapeError", "{}(ones(2, 2), -1)", "repeat tile"),
    ("nnkit", "ShapeError", "{}(ones(2, 2, 2))", "diag t"),
    ("nnkit", "ShapeError", "{}(ones(2), 0, 7)", "flatten"),
    ("nnkit", "ShapeError", "{}(ones(4), 0, (3, 2))", "unflatten"),
    ("nnkit", "ShapeError", "{}(ones(2))", "fliplr tril triu"),
    ("nnkit", "ShapeError", "{}(tensor(1.0))", "flipud"),
    ("nnkit", "TypeError", "{}('one')", "diag flatten diagflat ravel fliplr flipud t tril triu diag_embed diagonal"),
    ("nnkit", "TypeError", "{}('one', 0)", "flip unsqueeze repeat"),
    ("nnkit", "TypeError", "{}('one', (0, 1))", "permute"),
    ("nnkit", "TypeError", "{}('one', 0, 0)", "movedim select transpose"),
    ("nnkit", "TypeError", "{}('one')", "cat column_stack dstack hstack row_stack stack"),
    ("nnkit", "ShapeError", "{}((ones(2, 2), ones(3, 3)))", "cat column_stack dstack hstack row_stack stack"),
    ("nnkit", "ShapeError", "{}(ones(2), ones(2, 3))", "cartesian_prod meshgrid"),
    ("nnkit", "ShapeError", "{}(ones(2), ones(3))", "broadcast_tensors"),
    ("nnkit", "TypeError", "{}('one')", "broadcast_tensors meshgrid atleast_1d atleast_2d atleast_3d"),
    ("nnkit", "TypeError", "{}('one', ones(2))", "block_diag cartesian_prod kron"),
    ("nnkit", "ShapeError", "{}(ones(2, 2), 2, 7)", "chunk split tensor_split"),
    ("nnkit", "ShapeError", "{}(ones(2, 2), 2)", "dsplit"),
    ("nnkit", "ShapeError", "{}(tensor(1.0), 2)", "hsplit vsplit"),
    # ---- products
    ("nnkit", "ShapeError", "{}(ones(2, 2), ones(3, 3))", "chain_matmul mm mv dot inner outer bmm tensordot"),
    ("nnkit", "TypeError", "{}('one', ones(2))", "chain_matmul mm mv dot inner outer bmm tensordot"),
    ("nnkit", "ShapeError", "{}(ones(2))", "trace"),
    ("nnkit", "TypeError", "{}('one')", "trace"),
    ("nnkit", "ShapeError", "{}(ones(2, 2), ones(2, 2), ones(3, 3))", "addmm addmv addr"),
    ("nnkit", "ShapeError", "{}(ones(2, 2), ones(1, 2, 2), ones(1, 3, 3))", "addbmm baddbmm"),
    ("nnkit", "TypeError", "{}(ones(2, 2), ones(2, 2), 'one')", "addmm addmv"),
    ("nnkit", "TypeError", "{}(ones(2, 2), ones(2), 'one')", "addr"),
    ("nnkit", "TypeError", "{}(ones(2, 2), ones(2, 2, 2), 'one')", "addbmm baddbmm"),
    ("nnkit", "ShapeError", "{}('ij', ones(2))", "einsum"),
    ("nnkit", "ShapeError", "{}(ones(2, 2), ones(2, 3))", "cdist"),
    ("nnkit", "TypeError", "{}('one', ones(2, 3))", "cdist"),
    ("nnkit", "ShapeError", "{}(ones(2), ones(2))", "cross"),
    ("nnkit", "DtypeError", "{}(ones(3) > 0, ones(3) > 0)", "cross"),
    ("nnkit", "MatrixError", "{}(zeros(2, 2))", "cholesky"),
    ("nnkit", "ShapeError", "{}(ones(3))", "cholesky logdet qr svd"),
    ("nnkit", "DtypeError", "{}(ones(2, 2).long())", "logdet qr svd"),
    ("nnkit", "ShapeError", "{}(ones(2, 2), ones(3, 3))", "cholesky_solve"),
    ("nnkit", "DtypeError", "{}(ones(2, 2).long(), ones(2, 2).long())", "cholesky_solve"),
    # ---- at places
    ("nnkit", "ShapeError", "{}(ones(2), 7, tensor([0]))", "gather index_select"),
    ("nnkit", "IndexError", "{}(ones(2), 0, tensor([5]))", "gather index_select"),
    ("nnkit", "DtypeError", "{}(ones(2), 0, ones(1))", "gather index_select"),
    ("nnkit", "TypeError", "{}('one', 0, tensor([0]))", "gather index_select"),
    ("nnkit", "ShapeError", "{}(ones(2), 7, tensor([0]), ones(1))", "index_add index_copy scatter scatter_add"),
    ("nnkit", "IndexError", "{}(ones(2), 0, tensor([5]), ones(1))", "index_add index_copy scatter scatter_add"),
    ("nnkit", "DtypeError", "{}(ones(2), 0, ones(1), ones(1))", "index_add index_copy scatter scatter_add"),
    ("nnkit", "TypeError", "{}('one', 0, tensor([0]), ones(1))", "index_add index_copy scatter scatter_add"),
    ("nnkit", "ShapeError", "{}(ones(2), 7, tensor([0]), 1.0)", "index_fill"),
    ("nnkit", "IndexError", "{}(ones(2), 0, tensor([5]), 1.0)", "index_fill"),
    ("nnkit", "DtypeError", "{}(ones(2), 0, ones(1), 1.0)", "index_fill"),
    ("nnkit", "TypeError", "{}('one', 0, tensor([0]), 1.0)", "index_fill"),
    ("nnkit", "IndexError", "{}(ones(2), 0, tensor([5]), ones(1), 'sum')", "scatter_reduce"),
    ("nnkit", "IndexError", "{}(ones(2), tensor([5]))", "take"),
    ("nnkit", "DtypeError", "{}(ones(2), ones(1))", "take"),
    ("nnkit", "TypeError", "{}('one', tensor([0]))", "take"),
    ("nnkit", "IndexError", "{}(ones(2), tensor([5]), ones(1))", "put"),
    ("nnkit", "DtypeError", "{}(ones(2), ones(1), ones(1))", "put"),
    ("nnkit", "IndexError", "{}(ones(2), (tensor([5]),), ones(1))", "index_put"),
    ("nnkit", "DtypeError", "{}(ones(2), (ones(1),), ones(1))", "index_put"),
    ("nnkit", "ShapeError", "{}(ones(2), (tensor([0]),), ones(3))", "index_put"),
    ("nnkit", "DtypeError", "{}(ones(2), ones(2), 0)", "masked_fill"),
    ("nnkit", "DtypeError", "{}(ones(2), ones(2), ones(2))", "masked_scatter"),
    ("nnkit", "DtypeError", "{}(ones(2), ones(2))", "masked_select"),
    ("nnkit", "ShapeError", "{}(ones(2), ones(3) > 0)", "masked_select"),
    ("nnkit", "ShapeError", "{}(ones(2), ones(3) > 0, 0)", "masked_fill"),
    ("nnkit", "TypeError", "{}('one', ones(3) > 0)", "masked_select"),
    ("nnkit", "TypeError", "{}('one', ones(3) > 0, 0)", "masked_fill"),
    ("nnkit", "ShapeError", "{}(ones(2), tensor([[0]]), 0)", "take_along_dim"),
    ("nnkit", "IndexError", "{}(ones(2), tensor([5]), 0)", "take_along_dim"),
    ("nnkit", "DtypeError", "{}(ones(2), ones(2), 0)", "take_along_dim"),
    ("nnkit", "ShapeError", "{}(ones(2), -1)", "repeat_interleave"),
    ("nnkit", "TypeError", "{}('one', 1)", "repeat_interleave"),
    ("nnkit", "ShapeError", "{}(ones(2, 2), 2, 7, 1.0)", "renorm"),
    # ---- new tensors
    ("nnkit", "ShapeError", "{}(-1)", "zeros ones empty rand randn Tensor"),
    ("nnkit", "TypeError", "{}('one')",
     "zeros ones empty rand randn eye arange Tensor zeros_like ones_like empty_like rand_like randn_like from_dlpack"
     " BoolTensor ByteTensor CharTensor DoubleTensor FloatTensor HalfTensor IntTensor LongTensor ShortTensor"),
    ("nnkit", "DtypeError", "{}(['one'])",
     "BoolTensor ByteTensor CharTensor DoubleTensor FloatTensor HalfTensor IntTensor LongTensor ShortTensor tensor"
     " as_tensor Parameter"),
    ("nnkit", "DtypeError", "{}(2, dtype=int64)", "rand randn"),
    ("nnkit", "DtypeError", "{}(ones(2).long())", "rand_like randn_like Parameter"),
    ("nnkit", "ShapeError", "{}([[1], [1, 2]])", "tensor as_tensor"),
    ("nnkit", "DtypeError", "{}('one')", "scalar_tensor"),
    ("nnkit", "ZeroDivisionError", "{}(0, 3, 0)", "arange"),
    ("nnkit", "ValueError", "{}(0, 1, -1)", "linspace logspace"),
    ("nnkit", "ValueError", "{}(-1)", "eye randperm"),
    ("nnkit", "ValueError", "{}((2,), 'one')", "full"),
    ("nnkit", "ValueError", "{}(ones(2), 'one')", "full_like"),
    ("nnkit", "ShapeError", "{}(3, 3, (2,))", "randint"),
    ("nnkit", "ShapeError", "{}(ones(2), 3, 3)", "randint_like"),
    ("nnkit", "ShapeError", "{}(0.0, -1.0, (2,))", "normal"),
    ("nnkit", "DtypeError", "{}(2, 2, dtype='x')", "tril_indices triu_indices"),
    ("nnkit", "TypeError", "{}(int64)", "finfo"),
    ("nnkit", "TypeError", "{}(float32)", "iinfo"),
    ("nnkit", "DtypeError", "{}('x', float32)", "promote_types can_cast"),
    ("nnkit", "ValueError", "{}('one')", "manual_seed set_default_device"),
    ("nnkit", "ValueError", "{}(device='x').device", "Generator"),
    ("nnkit", "ShapeError", "{}(ones(2))", "is_nonzero"),
    ("nnkit", "KeyError", "{}({{}})", "set_rng_state"),
    ("nnkit", "ValueError", "{}(0)", "set_num_threads"),
    ("nnkit", "TypeError", "{}(3)", "explain"),
    ("nnkit", "OSError", "{}('/no/folder/at/all')", "load load_state_dict"),
    ("nnkit", "OSError", "{}('/no/folder/at/all', nn.Linear(1, 1))", "save_checkpoint"),
    ("nnkit", "GradientError", "{}(ones(2), ones(2))", "grad"),
)  # fmt: skip


def calls() -> list[tuple[str, str, str, str]]:
    """Module, error, the call, and the name that it calls."""
    rows = (*RAISED, *OF_NETWORKS, *OF_OPS, *FURTHER)
    return [(module, error, call.format(name), name) for module, error, call, names in rows for name in names.split()]


def words(module: str) -> dict[str, Any]:
    """What a call may use."""
    whole, own = importlib.import_module("nnkit"), importlib.import_module(module)
    return {name: getattr(of, name) for of in (whole, own) for name in dir(of)} | {"nnkit": whole}
