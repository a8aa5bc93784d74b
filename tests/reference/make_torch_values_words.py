"""What PyTorch gives for the words of training scripts, functions and methods of tensors: ``words_values.npz``.

A case is an expression that both libraries understand; L is the library, the other names are the operands below. Stored
are the type, the values and, where it has one, the gradient of each float operand; or that PyTorch refuses it.
Run it where PyTorch is installed: ``python tests/reference/make_torch_values_words.py``.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

VALUES = Path(__file__).parent / "words_values.npz"
REFUSED = (RuntimeError, TypeError, ValueError, IndexError, ZeroDivisionError, NotImplementedError, OverflowError)


def numbers(seed: int, *shape: int) -> np.ndarray:
    """Different numbers from -2 to 2, none near 0."""
    count = math.prod(shape)
    even = np.linspace(-2.0, 2.0, count + 1)[:count] + 1.7 / max(count, 1)
    return np.random.default_rng(seed).permutation(even).reshape(shape).astype("float32")


_ROOT = numbers(4, 3, 3).astype("float64")
OPERANDS: dict[str, np.ndarray] = {
    "x": numbers(0, 3, 4), "y": numbers(1, 3, 4), "v": numbers(2, 4), "w": numbers(3, 5), "one": np.float32(0.7),
    "p": np.abs(numbers(5, 3, 4)) / 3 + np.float32(0.1), "b": numbers(6, 2, 3, 4), "c": numbers(7, 2, 4, 3),
    "a": numbers(8, 3, 3), "d": np.stack([numbers(9, 3, 3), numbers(10, 3, 3)]),
    "s": (_ROOT @ _ROOT.T + np.eye(3)).astype("float32"), "t": numbers(11, 5, 3), "e": numbers(12, 0, 3),
    "z": np.array([[1, np.nan, -2, 3], [np.inf, 0, -np.inf, 1], [0.5, 2, -1, np.nan]], "float32"),
    "zero": np.array([[2, 0, 3, 4], [0, 1, 0, 2], [1, 5, 2, 0]], "float32"),
    "same": np.array([[1, 2, 1, 2], [3, 3, 3, 0], [2, 0, 1, 2]], "float32"),
    "i": np.array([[0, 2], [1, 1], [2, 0]]), "j": np.array([[0, 1, 2, 0]]), "k": np.array([2, 0, 2]),
    "n": np.array([[5, -3, 0, 2], [-4, 7, 2, 2], [1, 0, -1, 9]]),
    "q": np.array([[2, 3, -2, 4], [3, -2, 5, 1], [2, 4, 3, -5]]),
    "u": np.array([[5, 200, 0, 2], [4, 7, 255, 2], [1, 0, 1, 9]], "uint8"),
    "m": np.array([[1, 0, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1]], bool), "row": np.array([True, False, True, True]),
    "f": np.array([[1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]], bool),
    "edges": np.array([-1.0, 0.0, 0.5, 1.5], "float32"),
}  # fmt: skip

UNARY = """
log2 log10 exp2 rsqrt tan asin acos atan sinh cosh asinh acosh atanh arcsin arccos arctan arcsinh arccosh arctanh sinc
ceil trunc fix frac isnan isinf isfinite isposinf isneginf nan_to_num signbit logit lgamma digamma exp log
log1p expm1 sqrt square abs neg negative positive absolute sign floor round sin cos tanh sigmoid relu reciprocal erf
logical_not
""".split()
BINARY = """
atan2 arctan2 hypot logaddexp logaddexp2 xlogy copysign fmod remainder floor_divide true_divide maximum minimum
fmax fmin float_power lerp isclose logical_and logical_or logical_xor eq ne lt le gt ge greater greater_equal
less less_equal not_equal add sub mul div subtract multiply divide pow
""".split()
IN_PLACE = """
ceil trunc frac log2 log10 exp2 rsqrt tan asin atan sinh cosh exp log log1p sqrt square abs neg sign floor
round sin cos tanh sigmoid relu reciprocal erf nan_to_num
""".split()

PAIRS = ("x, y", "p, v", "n, q", "x, n", "u, q", "m, row", "z, x", "x, e")
WITH_NUMBERS = "fmod remainder floor_divide true_divide pow add sub mul div eq lt".split()
#: Equation and operands.
EINSUMS = (
    ("ij,jk->ik", "x, y.t()"), ("ij,ij->i", "x, y"), ("ij->ji", "x"), ("ij->", "x"), ("ii->i", "a"), ("ii", "a"),
    ("bij,bjk->bik", "b, c"), ("bij,bjk", "b, c"), ("i,j->ij", "v, w"), ("i,i", "v, v"), ("i->ii", "v"),
    ("...ij,...jk->...ik", "b, c"), ("...j,j->...", "b, v"), ("ij,jk,kl->il", "x, y.t(), a"), ("b...->b", "b"),
    (" ij , ij -> ij ", "x, y"), ("bij,ij->bj", "b, x"), ("ij,jk->ki", "x, y.t()"), ("ij,j->ik", "x, v"),
    ("ij,jk->ik", "x, y"),
)  # fmt: skip

EXPRESSIONS = [
    *(f"L.{name}({operand})" for name in UNARY for operand in ("x", "p", "n", "u", "m", "z")),
    *(f"L.{name}({pair})" for name in BINARY for pair in PAIRS),
    *(f"L.{name}(p, {number})" for name in WITH_NUMBERS for number in ("2", "0.3", "-1.5")),
    *(f"p.clone().{name}_()" for name in IN_PLACE),
    "L.bitwise_right_shift(n.abs(), 1)", "L.vdot(v, v + 1)", "L.is_nonzero(one)", "L.is_complex(x)",
    "L.dsplit(b, 2)", "L.dsplit(b, [1, 3])", "x.clone().fill_diagonal_(2.0)", "L.histogram(y * y, 3)[0]",
    "L.cholesky_solve(x[:, :2], L.linalg.cholesky(s))", "x.clone().put_(k, v[:3])",
    # by number
    "L.gather(x, 1, i)", "x.gather(1, i)", "x.gather(0, j)", "x.gather(dim=-1, index=i)",
    "b.gather(2, i.unsqueeze(0))", "n.gather(1, i)", "x.gather(1, i + 9)", "x.gather(1, -i - 1)", "x.gather(1, k)",
    "x.gather(1, i.float())", "m.gather(1, i)", "one.gather(0, L.tensor(0))", "x.gather(1, i[:, :0])",
    "L.take_along_dim(x, i, 1)", "L.take_along_dim(x, x.argsort(1), dim=1)", "L.take_along_dim(x, L.tensor([3, 0]))",
    "L.take(x, i)", "x.take(-i - 1)", "x.scatter(1, i, y[:, :2])", "x.scatter(1, i, 2.5)",
    "x.scatter(1, i, value=-1)", "x.clone().scatter_(1, i, y[:, :2])", "x.detach().scatter(1, i, y.detach())",
    "x.clone().scatter_(0, j, 1.0)", "L.zeros(3, 5).scatter_(1, i, 1)", "L.zeros(3, 4).scatter_(1, i, y[:, 2:])",
    "x.detach().scatter(1, i, y.detach(), reduce='add')",
    "x.detach().scatter(1, i[:, :1], y.detach(), reduce='multiply')", "x.scatter(1, i + 9, y)", "n.scatter(1, i, q)",
    "n.scatter(1, i, 1.5)", "x.scatter(1, i, n)", "x.scatter_add(1, i, y[:, :2])", "x.scatter_add(0, j, y[:1])",
    "L.scatter_add(x, 1, L.zeros(3, 4).long(), y)", "x.clone().scatter_add_(1, i, y[:, :2])",
    "n.scatter_add(1, i, q)",
    *(f"L.scatter_reduce(x, 0, L.tensor([[0, 1, 2, 0], [0, 1, 0, 2]]), y[:2] + 0.01, '{r}', include_self={s})"
      for r in ("sum", "prod", "mean", "amax", "amin") for s in (True, False)),
    "L.scatter_reduce(n, 1, i, q, 'mean')", "L.scatter_reduce(x, 1, i, y, 'median')", "L.index_select(x, 0, k)",
    "x.index_select(1, k)", "b.index_select(-1, k)", "x.index_select(0, k + 5)", "x.index_select(1, i)",
    "x.index_add(0, k, y)", "x.index_add(1, k, y[:, :3], alpha=2)", "x.clone().index_add_(0, k, y)",
    "n.index_add(0, k, q)", "x.index_add(0, k, v)", "x.index_copy(0, L.tensor([2, 0]), y[:2])",
    "x.clone().index_copy_(1, L.tensor([3]), y[:, :1])", "x.index_fill(1, k, 7.0)", "x.clone().index_fill_(0, k, -1)",
    "n.index_fill(0, k, 3)", "x.clone().index_put_((k, k), w[:3])", "x.clone().index_put_((k,), v, accumulate=True)",
    "L.index_put(x, (k, L.tensor([1, 1, 1])), L.tensor(2.0), True)",
    # by a mask
    "x.masked_fill(m, 0.5)", "L.masked_fill(x, m, -1)", "x.masked_fill(row, float('-inf'))", "x.masked_fill(m, one)",
    "x.clone().masked_fill_(m, 9.0)", "n.masked_fill(m, 3)", "n.masked_fill(m, 1.5)", "x.masked_fill(n, 1.0)",
    "v.masked_fill(m, 0)", "x.masked_fill(m, v)", "m.masked_fill(m, False)", "x.masked_select(m)",
    "L.masked_select(v, m)", "x.masked_select(row)", "n.masked_select(m)", "one.masked_select(L.tensor(True))",
    "x.masked_scatter(m, y)", "x.clone().masked_scatter_(row, y)", "x.masked_scatter(m, v[:2])", "L.nonzero(n)",
    "n.nonzero()", "L.nonzero(m, as_tuple=True)", "m.nonzero(as_tuple=True)[1]", "L.nonzero(one)",
    "L.nonzero(L.tensor(0.0))", "L.argwhere(n > 0)", "L.where(m)", "L.where(m, x, y)", "L.where(m, x, 0)",
    "L.where(m, 1.0, n)", "L.where(row, x, v)", "x.where(m, y)", "L.where(m, x, n)", "e.nonzero()",
    # by order
    "L.sort(x)", "x.sort(0)", "x.sort(dim=1, descending=True)", "x.sort(-1, True)", "same.sort(dim=1, stable=True)",
    "same.sort(dim=1, descending=True, stable=True)", "n.sort(1)", "m.sort(dim=1, stable=True)", "z.sort(1)[0]",
    "z.sort(1, descending=True)[0]", "one.sort()", "e.sort(0)", "L.argsort(x, 1)", "x.argsort(descending=True)",
    "L.msort(x)", "L.topk(x, 2)", "x.topk(3, dim=0)", "x.topk(2, 1, largest=False)", "x.topk(k=1, dim=1)",
    "x.topk(5)", "n.topk(1, 0)", "v.topk(0)", "x.topk(2, 1, True, True).values", "L.kthvalue(x, 2)",
    "x.kthvalue(3, 0, keepdim=True)", "x.kthvalue(9)", "L.median(x)", "x.median(1)", "x.median(dim=0, keepdim=True)",
    "n.median()", "z.median(1).values", "z.nanmedian(1).values", "z.nanmedian()", "w.median()",
    "L.mode(same, 1).values", "n.mode(0).values", "L.quantile(x, 0.3)", "x.quantile(0.25, dim=1)",
    "x.quantile(L.tensor([0.1, 0.5, 1.0]), dim=0)", "x.quantile(L.tensor([0.1, 0.9]), 1, keepdim=True)",
    "x.quantile(0.5, keepdim=True)", "x.quantile(L.tensor([0.2, 0.4]), keepdim=True)", "z.quantile(0.5, 1)",
    "z.nanquantile(0.5, 1)", "x.quantile(1.5)", "n.quantile(0.5)",
    *(f"x.quantile(0.35, 1, interpolation='{w}')" for w in ("lower", "higher", "nearest", "midpoint")),
    "L.unique(same)", "same.unique(return_inverse=True)", "L.unique(n, return_inverse=True, return_counts=True)",
    "L.unique(L.tensor([[1, 2], [0, 5], [1, 2]]), dim=0, return_inverse=True, return_counts=True)",
    "same.unique(dim=1)", "m.unique()", "same.unique_consecutive()",
    "L.unique_consecutive(same, return_inverse=True, return_counts=True)",
    "L.unique_consecutive(L.tensor([[1, 2], [1, 2], [0, 5]]), dim=0, return_counts=True)", "L.searchsorted(edges, x)",
    "L.searchsorted(edges, x, right=True)", "L.searchsorted(edges, 0.5)",
    "L.searchsorted(edges, edges, side='right')", "L.searchsorted(x.sort(1).values, y)",
    "L.searchsorted(L.tensor([1, 3, 5]), n, out_int32=True)", "L.bucketize(x, edges)",
    "L.bucketize(edges, edges, right=True)", "L.bucketize(0.2, edges)",
    # running
    "L.cumsum(x, 0)", "x.cumsum(dim=-1)", "n.cumsum(1)", "m.cumsum(0)", "u.cumsum(1)", "x.cumsum(1, dtype=L.float64)",
    "one.cumsum(0)", "x.clone().cumsum_(1)", "x.cumsum(2)", "L.cumprod(x, 1)", "zero.cumprod(1)", "zero.cumprod(0)",
    "n.cumprod(0)", "x.cummax(1)", "L.cummin(x, dim=0)", "same.cummax(1)", "n.cummin(1)", "z.cummax(1).values",
    "L.logcumsumexp(x, 1)", "L.diff(x)", "x.diff(n=2, dim=0)", "n.diff()", "m.diff()", "L.diff(v, prepend=v[:1])",
    "L.trapezoid(x, dim=0)", "L.trapz(x, v.sort().values)", "e.cumsum(0)",
    # rearranged
    "L.tril(x)", "x.tril(-1)", "x.triu(1)", "L.triu(b, diagonal=-1)", "m.tril()", "n.triu()", "v.tril()",
    "x.clone().tril_()", "L.tril(L.ones(3, 3)) == 0", "L.tril_indices(3, 4, 1)", "L.triu_indices(3, 3)",
    "L.flip(x, [0])", "x.flip(0, 1)", "x.flip(-1)", "x.flip(dims=(1,))", "L.fliplr(x)", "x.flipud()", "v.fliplr()",
    "L.roll(x, 1)", "x.roll(-1, 0)", "x.roll((1, 2), (0, 1))", "L.roll(x, shifts=5, dims=1)",
    *(f"L.rot90(x, {k})" for k in (0, 1, 2, 3, -1)), "L.rot90(b, 1, [1, 2])", "x.repeat(2, 1)", "v.repeat(2, 3)",
    "x.repeat(1, 1, 2)", "x.repeat((2, 2))", "x.repeat(2)", "v.repeat(0)", "L.tile(x, (2,))", "x.tile(2, 1, 1)",
    "L.repeat_interleave(x, 2)", "x.repeat_interleave(2, dim=0)", "x.repeat_interleave(L.tensor([1, 0, 2]), 0)",
    "L.repeat_interleave(L.tensor([2, 0, 1]))", "x.repeat_interleave(L.tensor([1, 2]), 0)", "L.diag(v)",
    "L.diag(v, 1)", "L.diag(x)", "x.diag(-1)", "L.diag(b)", "L.diagonal(x)", "x.diagonal(1)", "b.diagonal(0, 1, 2)",
    "b.diagonal(offset=-1, dim1=0, dim2=2)", "L.diag_embed(x)", "L.diag_embed(v, 1)", "L.diag_embed(x, -1, 0, 2)",
    "L.diagflat(x)", "a.clone().fill_diagonal_(5)", "t.clone().fill_diagonal_(5)", "L.eye(3).fill_diagonal_(0)",
    "x.narrow(1, 1, 2)", "L.narrow(x, 0, -2, 1)", "x.narrow(0, 2, 2)", "x.select(1, -1)", "L.select(x, 0, 1)",
    "x.select(0, 5)", "x.unfold(1, 2, 1)", "x.unfold(0, 2, 2)", "v.unfold(0, 3, 1)", "x.unfold(1, 9, 1)",
    "x.unflatten(1, (2, 2))", "x.unflatten(1, (-1, 2))", "L.movedim(b, 0, 2)", "b.movedim((0, 1), (1, 2))",
    "L.moveaxis(b, -1, 0)", "L.swapaxes(b, 0, 2)", "b.swapdims(0, 1)", "x.t()", "b.t()", "L.t(v)", "x.T", "b.mT",
    "x.ravel()", "L.ravel(b)", "x.view_as(b[0])", "v.view_as(x)", "x.reshape_as(y.t())", "v.expand_as(x)",
    "L.broadcast_to(v, (3, 4))", "L.broadcast_tensors(x, v)", "n.unsqueeze_(0)", "L.zeros(1, 3).squeeze_()",
    "L.ones(2, 3).t_().shape", "L.ones(2, 3).transpose_(0, 1).shape",
    # joined and cut
    "L.vstack([x, v])", "L.vstack((v, v))", "L.hstack([x, y])", "L.hstack((v, w))", "L.dstack([x, y])",
    "L.column_stack([v, v])", "L.column_stack([a, s])", "L.row_stack([v, v])", "L.concat([x, y], 1)",
    "L.concatenate([x, y], dim=0)", "L.cat((x, n))", "L.stack([v, v], dim=1)", "L.block_diag(x, v)",
    "L.cartesian_prod(v, edges)", "L.combinations(v)", "L.combinations(v, 3, True)", "L.atleast_1d(one)",
    "L.atleast_2d(v)", "L.atleast_3d(x)", "L.meshgrid(v, w, indexing='ij')", "L.meshgrid(v, w, edges, indexing='xy')",
    "L.meshgrid([v, w], indexing='ij')", "L.chunk(w, 2)", "x.chunk(3, dim=1)", "x.chunk(0)", "w.split(2)",
    "x.split([1, 3], dim=1)", "L.split(w, 5)", "x.split([1, 1], 1)", "x.split(2, dim=1)", "L.tensor_split(w, 2)",
    "w.tensor_split([1, 3])", "x.hsplit(2)", "b.vsplit([1])", "L.hsplit(w, [2])", "x.vsplit(2)", "L.unbind(x)",
    "x.unbind(1)",
    # products
    "L.bmm(b, c)", "b.bmm(c)", "L.bmm(x, y)", "L.mm(x, y.t())", "x.mm(v)", "L.mv(x, v)", "L.dot(v, v)", "v.dot(x)",
    "L.inner(x, y)", "L.outer(v, w)", "v.ger(w)", "L.ger(v, w)", "L.addmm(a, x, y.t())",
    "L.addmm(one, x, y.t(), beta=0.5, alpha=2)", "L.addmv(v[:3], x, v)", "L.addr(L.zeros(4, 5), v, w)",
    "L.baddbmm(d, b, c, beta=0.5)", "L.addbmm(a, b, c)", "L.trace(a)", "a.trace()", "L.cross(a, s, dim=1)",
    "L.cross(a, s, dim=0)", "L.linalg.cross(a, s)", "L.kron(a, x)", "L.kron(v, w)", "L.cdist(x, y)",
    "L.cdist(b, b, p=1.0)", "L.cdist(x, y, p=3.0)", "L.dist(x, y)", "L.dist(x, y, 1)",
    "L.tensordot(b, c, dims=([2], [1]))", "L.tensordot(x, y, dims=([0, 1], [0, 1]))", "L.tensordot(x, c[0], 1)",
    "L.chain_matmul(x, y.t(), a)", "L.linalg.multi_dot([x, y.t(), a])",
    *(f"L.einsum('{equation}', {operands})" for equation, operands in EINSUMS),
    "L.einsum('ij,jk->ik', [x, y.t()])", "L.einsum(x, [0, 1], y, [0, 1], [1])",
    # norms and matrices
    "L.norm(x)", "x.norm(2, 1)", "x.norm(p=1, dim=0, keepdim=True)", "L.linalg.norm(x)", "L.linalg.norm(x, dim=1)",
    "L.linalg.norm(x, ord=1)", "L.linalg.norm(v, 3)", "L.linalg.norm(x, 'fro', (0, 1))",
    "L.linalg.norm(x, float('inf'), dim=1)", "L.linalg.vector_norm(x)", "L.linalg.vector_norm(x, 3, dim=0)",
    *(f"L.linalg.matrix_norm(b, {o})" for o in ("'fro'", "'nuc'", "1", "-1", "2", "-2", "float('inf')")),
    "L.linalg.matrix_norm(x, keepdim=True)", "L.linalg.norm(n)", "L.inverse(a)", "a.inverse()", "L.linalg.inv(d)",
    "L.linalg.inv(x)", "L.linalg.inv(L.zeros(2, 2))", "L.linalg.solve(a, s)", "L.linalg.solve(d, s)",
    "L.linalg.solve(a, v[:3])", "L.linalg.solve(a, s, left=False)", "L.det(a)", "L.linalg.det(d)",
    "L.det(L.ones(2, 2))", "L.slogdet(a)", "L.linalg.slogdet(d)", "L.logdet(s)", "L.linalg.cholesky(s)",
    "L.linalg.cholesky(s, upper=True)", "L.linalg.cholesky(-s)", "L.linalg.eigvalsh(s)", "L.linalg.eigh(s)[0]",
    "L.linalg.eigh(s)[1].abs() ** 3", "L.linalg.svdvals(x)", "L.linalg.svd(x, full_matrices=False)[1]", "L.svd(x)[1]",
    "L.linalg.svd(x, full_matrices=False)[0].abs() ** 3", "L.linalg.svd(t, full_matrices=False)[2].abs() ** 3",
    "L.linalg.svd(t, full_matrices=False)[0].abs() ** 3", "L.linalg.qr(t)[0].abs() ** 3",
    "L.linalg.qr(t)[1].abs() ** 3", "L.linalg.pinv(x)", "L.pinverse(t)", "L.linalg.matrix_power(a, 3)",
    "L.matrix_power(a, -2)", "L.linalg.matrix_power(d, 0)", "L.linalg.matrix_rank(x)",
    "L.linalg.lstsq(t, w.unsqueeze(1)).solution", "L.linalg.cond(a)", "L.matrix_exp(a)",
    "L.linalg.solve_triangular(s, a, upper=False)", "L.linalg.vecdot(x, y)", "L.linalg.diagonal(b)",
    # counts
    "L.nansum(z)", "z.nansum(1)", "n.nansum()", "L.nanmean(z, 1)", "z[:, :1].nanmean()", "L.nanmean(n)",
    "L.bincount(L.tensor([1, 1, 3]))", "L.bincount(k, weights=w[:3])", "L.bincount(k, minlength=6)",
    "k.bincount(w[:3].double())", "L.bincount(n)", "L.histc(x, 4)", "L.histc(x, bins=3, min=-1, max=1)",
    "L.count_nonzero(n)", "n.count_nonzero(1)", "L.std_mean(x, 1)", "L.var_mean(x)", "L.cov(x)", "L.corrcoef(x)",
    "L.renorm(x, 2, 0, 1.0)", "L.isin(n, L.tensor([2, 5]))", "L.isin(n, 2)", "L.aminmax(x)", "x.aminmax(dim=1)",
    "L.amax(x, 1)", "x.amin((0, 1), keepdim=True)", "x.amax()", "L.allclose(x, x + 1e-9)", "L.allclose(x, y)",
    "L.equal(x, x)", "L.equal(x, v)", "L.isclose(z, z, equal_nan=True)", "L.isclose(x, n)", "L.allclose(n, n)",
    "L.heaviside(x, one.detach())",
    # reductions in other words
    "x.sum(axis=1)", "x.sum(1, keepdim=True)", "L.sum(x, dim=(0, 1))", "n.sum()", "m.sum(0)", "u.sum()",
    "L.mean(x, axis=0)", "x.std(unbiased=False)", "x.std(1, unbiased=True)", "L.std(x, dim=1, correction=0)",
    "x.var(0, False)", "L.var(x, unbiased=False)", "x.argmax(1, keepdim=True)", "x.argmin()", "m.all(1)", "m.any()",
    "n.all()", "L.any(m, dim=0)", "L.all(f, 1, keepdim=True)", "x.prod(1)", "n.prod()", "m.prod()", "x.max(1)",
    "x.min(0, keepdim=True)", "L.max(x, y)", "L.logsumexp(x, 1)", "n.max()", "u.min(1)", "m.max()", "L.max(m, 0)",
    "x.mean(dtype=L.float64)", "n.float().mean((0, 1))",
    # several operands
    "L.deg2rad(x)", "L.rad2deg(x)", "L.erfc(x)", "b.permute(dims=(2, 0, 1))", "v.expand(size=(2, 4))",
    "(x * 2).detach_() + y", "x.clone()", "L.asarray([1.0, 2.0])",
    "L.lerp(x, y, 0.3)", "L.lerp(x, y, p)", "x.clone().lerp_(y, 0.9)", "L.addcmul(x, y, p, value=0.5)",
    "L.addcdiv(x, y, p)", "x.clone().addcmul_(y, p, value=2)", "x.clone().addcdiv_(y, p, value=-1)",
    "L.addcdiv(n, n, q)", "L.addcmul(n, q, q)", "L.add(x, y, alpha=2)", "x.add(y, alpha=0.5)", "L.sub(x, y, alpha=3)",
    "x.clone().add_(y, alpha=-1)", "L.rsub(x, y)", "L.div(x, p, rounding_mode='floor')",
    "L.div(x, p, rounding_mode='trunc')", "L.div(n, q, rounding_mode='trunc')", "L.div(n, q, rounding_mode='floor')",
    "n // 2", "n % 3", "-n // 2", "n % -3", "x // 0.5", "x % 0.7", "n // 0", "n % 0", "7 // p", "5 % p.detach()",
    "n / 2", "n / q", "u / 2", "m / 2", "2 ** n.abs()", "x ** 2", "x ** -1", "n ** 2", "n ** -1", "p ** y",
    "2.0 ** x", "n << 1", "n >> 1", "u << 1", "x << 1", "n & 3", "n | q", "n ^ q", "~n", "~m", "m & row", "m ^ row",
    "m + m", "m * 2", "m - m", "m * x", "u + 250", "u * 2.0", "-u", "-m", "n.clone().floor_divide_(2)",
    "n.clone().remainder_(4)", "x.clone().fmod_(0.7)", "x.clamp(min=v)", "x.clip(-0.5, 0.5)", "L.clip(n, 0, 3)",
    "n.clamp(0.5)", "L.clamp_min(x, 0)", "x.clamp_max(0.2)", "x.clone().clamp_min_(0.1)", "L.maximum(x, one)",
    "L.relu(n)", "L.where(m, n, 1.5)", "L.nan_to_num(z, 5.0, 6.0, -7.0)", "L.round(x, decimals=1)",
    "L.bitwise_and(n, q)", "n.bitwise_or(3)", "L.bitwise_not(n)", "L.bitwise_xor(m, row)",
    "L.bitwise_left_shift(n, 2)",
    # types and new tensors
    "x.type(L.float64)", "x.type_as(n)", "n.abs().byte()", "n.char()", "n.short()", "n.int()", "x.long()", "x.half()",
    "x.double()", "n.float()", "n.bool()", "x.type()", "n.type()", "x.new_zeros(2, 3)", "x.new_ones((2,))",
    "n.new_full((2, 2), 3)", "x.new_tensor([1, 2])", "x.new_zeros(2, dtype=L.int64)", "x.new(2, 3).shape",
    "x.new([1, 2])", "x.nelement()", "x.element_size()", "x.ndimension()", "x.is_contiguous()",
    "x.t().is_contiguous()", "x.stride()", "x.t().stride()", "x.stride(0)", "x[1:].storage_offset()", "x.is_cuda",
    "x.detach().clone().resize_(2, 6)", "x.detach().clone().resize_(2, 2)", "x.detach().clone().resize_as_(a)",
    "x.detach().clone().apply_(lambda q: q * 2)", "x.detach().clone().map_(y.detach(), lambda a, b: a - b)",
    "L.numel(x)", "L.is_tensor(x)", "L.is_tensor(3)", "L.is_floating_point(n)", "L.promote_types(L.int64, L.float32)",
    "L.result_type(n, 1.5)", "L.can_cast(L.float32, L.int64)", "L.arange(3)", "L.arange(1, 2, 0.5)",
    "L.arange(0, 10, 3, dtype=L.float32)", "L.arange(start=1, end=4)", "L.linspace(0, 1, 5)",
    "L.linspace(start=-1, end=1, steps=3, dtype=L.float64)", "L.logspace(0, 2, 3)", "L.eye(2, 3)", "L.full((2,), 7)",
    "L.full((2,), 1.5)", "L.full((2,), True)", "L.zeros(size=(2, 3))", "L.ones(2, dtype=L.bool)",
    "L.scalar_tensor(3)", "L.zeros_like(n, dtype=L.float32)", "L.full_like(x, 2)", "L.tensor([True, False])",
    "L.tensor(3)", "L.tensor([1, 2.5])", "L.as_tensor([1, 2])", "n.sum().item()", "n.tolist()",
    "L.cumsum(n, 1, out=L.empty(3, 4, dtype=L.int64))", "L.add(n, q, out=L.zeros(3, 4).long())",
]  # fmt: skip
#: Their gradient there is the noise of a rounded sine.
EXPRESSIONS = [e for e in dict.fromkeys(EXPRESSIONS) if e not in ("L.digamma(z)", "L.copysign(z, x)")]


def evaluate(library: Any, expression: str, device: str = "cpu") -> dict[str, np.ndarray]:
    """What an expression gives, by names: kinds of results, values, gradients; or that it is refused."""
    tensors = {name: library.tensor(array, device=device) for name, array in OPERANDS.items()}
    for name, tensor in tensors.items():
        if OPERANDS[name].dtype.kind == "f" and name != "edges":
            tensor.requires_grad_(True)
    try:
        result = eval(expression, {"L": library, **tensors})
    except REFUSED:
        return {"kinds": np.array(["refused"])}
    found: dict[str, np.ndarray] = {}
    kinds, total = [], None
    for number, part in enumerate(_parts(result)):
        if not hasattr(part, "detach"):
            kinds.append(f"{type(part).__name__} {part}" if isinstance(part, (str, type)) else f"{type(part).__name__}")
            if isinstance(part, (bool, int, float)):
                found[f"value {number}"] = np.array(part)
            continue
        kinds.append(str(part.dtype).removeprefix("torch."))
        found[f"value {number}"] = part.detach().numpy()
        if part.requires_grad and part.numel():
            weights = np.linspace(1.0, 2.0, part.numel()).reshape(tuple(part.shape))
            term = (part * library.tensor(weights, device=device).to(part.dtype)).sum()
            total = term if total is None else total + term.to(total.dtype)
    found["kinds"] = np.array(kinds)
    if total is not None:
        try:
            total.backward()
        except REFUSED:  # no derivative
            return found
        for name, tensor in tensors.items():
            if tensor.grad is not None and bool((tensor.grad != 0).any()):
                found[f"gradient {name}"] = tensor.grad.numpy()
    return found


def _parts(result: Any) -> list[Any]:
    """The leaves of nested tuples and lists."""
    if isinstance(result, (tuple, list)):
        return [leaf for item in result for leaf in _parts(item)]
    if type(result).__name__ == "dtype" or isinstance(result, np.dtype):
        return [str(result).removeprefix("torch.")]
    return [result]


def all_values(library: Any) -> dict[str, np.ndarray]:
    """Every result by expression and name."""
    values = {}
    for expression in EXPRESSIONS:
        for name, value in evaluate(library, expression).items():
            values[f"{expression}|{name}"] = value
    return values


def write(values: dict[str, np.ndarray]) -> None:
    """All values one behind the other, and beside them names, types and shapes."""
    texts = {name: value for name, value in values.items() if value.dtype.kind == "U"}
    arrays = {name: value for name, value in values.items() if value.dtype.kind != "U"}
    np.savez_compressed(
        VALUES,
        text_names=list(texts),
        texts=["|".join(value.tolist()) for value in texts.values()],
        names=list(arrays),
        types=[value.dtype.name for value in arrays.values()],
        shapes=[",".join(map(str, value.shape)) for value in arrays.values()],
        data=np.concatenate([value.astype("float64").reshape(-1) for value in arrays.values()]),
    )


def read() -> dict[str, np.ndarray]:
    """What ``write`` has written."""
    with np.load(VALUES) as stored:
        found = {
            str(n): np.array(str(t).split("|")) for n, t in zip(stored["text_names"], stored["texts"], strict=True)
        }
        data, at = stored["data"], 0
        for name, dtype, shape in zip(stored["names"], stored["types"], stored["shapes"], strict=True):
            sizes = tuple(map(int, str(shape).split(","))) if str(shape) else ()
            count = math.prod(sizes)
            found[str(name)] = data[at : at + count].astype(str(dtype)).reshape(sizes)
            at += count
    return found


def main() -> None:
    """Write ``words_values.npz``."""
    import warnings

    import torch

    warnings.simplefilter("ignore")  # PyTorch's, of what the cases are about
    values = all_values(torch)
    write(values)
    print(f"{len(values)} values of {len(EXPRESSIONS)} expressions, of PyTorch {torch.__version__}, are in {VALUES}")


if __name__ == "__main__":
    main()
