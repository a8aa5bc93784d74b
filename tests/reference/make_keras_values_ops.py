"""What Keras computes in ``keras.ops``, stored in ``keras_ops_values.npz``: values, types and shapes.

A case is an expression of ``ops``, ``np`` and the arrays below; it means the same in both libraries. Run it where
Keras and JAX are installed: ``KERAS_BACKEND=jax python tests/reference/make_keras_values_ops.py``. The types
are those that Keras says of symbolic tensors.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

VALUES = Path(__file__).with_name("keras_ops_values.npz")


def _numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng([seed, *shape]).integers(-14, 15, shape) / 8.0).astype(np.float32)


ARRAYS: dict[str, np.ndarray] = {
    "a": _numbers(3, 4), "b": _numbers(3, 4, seed=1), "c": _numbers(4), "v": _numbers(6, seed=2),
    "t": _numbers(2, 3, 4),
    "p": np.abs(_numbers(3, 4, seed=3)) + 0.25, "u": _numbers(3, 4, seed=4) / 2.0,
    "i": np.random.default_rng(1).integers(-5, 6, (3, 4)).astype(np.int32),
    "j": np.random.default_rng(2).integers(1, 6, (3, 4)).astype(np.int32),
    "h": np.abs(_numbers(3, 4, seed=17)) + 0.5,
    "k": np.array([2, 0, 1, 2], np.int32), "f": np.array([[True, False, True, True], [False] * 4, [True] * 4]),
    "n": np.array([[1.0, np.nan, -2.0, 3.0], [np.nan] * 4, [0.5, 2.0, np.inf, -np.inf]], np.float32),
    "m": np.array([[4.0, 1.0, 0.5], [1.0, 3.0, -0.25], [0.5, -0.25, 2.0]], np.float32),
    "l": np.array([[2.0, 0.0, 0.0], [0.5, 1.5, 0.0], [-1.0, 0.25, 1.0]], np.float32), "s": _numbers(4, 2, seed=5),
    "w": _numbers(2, 7, seed=6), "img": np.abs(_numbers(2, 5, 6, 3, seed=7)) / 2.0, "one": _numbers(4, 5, 2, seed=8),
    "sig": _numbers(2, 8, 3, seed=9), "vol": _numbers(1, 4, 5, 4, 2, seed=10), "ker": _numbers(3, 3, 3, 2, seed=11),
    "dep": _numbers(3, 2, 3, 2, seed=12), "q": _numbers(2, 3, 2, 4, seed=13), "kv": _numbers(2, 5, 2, 4, seed=14),
    "big": np.abs(_numbers(1, 16, 14, 1, seed=15)) / 2.0, "long": _numbers(2, 40, seed=16),
}  # fmt: skip

_ONE = (
    "abs absolute arccosh arcsinh arctan cbrt ceil cos cosh deg2rad erf erfc exp exp2 expm1 fabs floor isfinite isinf "
    "isnan isneginf isposinf log1p logical_not negative rad2deg reciprocal round sign signbit sin sinc sinh square tan "
    "tanh trunc relu relu6 sigmoid silu softplus softsign selu hard_sigmoid hard_silu leaky_relu elu celu gelu "
    "log_sigmoid hard_shrink soft_shrink hard_tanh tanh_shrink squareplus sparse_plus sparse_sigmoid softmax "
    "log_softmax normalize rms_normalization real imag conj isreal angle nan_to_num ravel flip transpose copy "
    "zeros_like ones_like sum mean var std max min amax amin ptp prod all any argmax argmin sort argsort cumsum "
    "cumprod median count_nonzero diff average logsumexp nansum nanmean nanvar nanstd nanmax nanmin nanprod nanmedian "
    "nanargmax nanargmin nancumsum nancumprod norm trace tril triu fliplr flipud size ndim shape dtype"
).split()
_TWO = (
    "add subtract multiply maximum minimum fmax fmin equal not_equal greater greater_equal less less_equal logical_and "
    "logical_or logical_xor arctan2 hypot logaddexp logaddexp2 divide_no_nan heaviside divide true_divide append "
    "isclose allclose outer inner vdot dot"
).split()
_BITS = ("bitwise_and", "bitwise_or", "bitwise_xor")
_REDUCED = "sum mean var std max min prod all any argmax argmin median logsumexp nansum nanmean nanmax ptp".split()

CASES: list[str] = [
    *(f"ops.{name}({x})" for name in _ONE for x in "aif" if (name, x) not in {
        ("normalize", "f"), ("erfc", "f"), ("reciprocal", "f"), ("reciprocal", "i"), ("arccosh", "a"), ("arccosh", "i"),
        ("arccosh", "f"), ("ptp", "f"), ("diff", "f"), ("trace", "f"), ("rms_normalization", "f"),
        ("rms_normalization", "i"), ("softmax", "f"), ("log_softmax", "f"), ("median", "f"),
        ("nanmedian", "f"), ("sign", "f"), ("negative", "f"), ("normalize", "i"), ("norm", "f"), ("squareplus", "f"),
        ("sparse_plus", "f"), ("sparse_sigmoid", "f"), ("squareplus", "i"), ("sparse_plus", "i"), ("softplus", "f"),
        ("sparse_sigmoid", "i"), ("relu", "f"), ("relu6", "f"), ("leaky_relu", "f"), ("elu", "f"), ("celu", "f"),
        ("selu", "f"), ("hard_shrink", "f"), ("soft_shrink", "f"), ("hard_tanh", "f"), ("hard_sigmoid", "f"),
        ("hard_silu", "f"), ("signbit", "f"), ("relu6", "i"), ("hard_tanh", "i"), ("hard_shrink", "i"),
        ("soft_shrink", "i"), ("leaky_relu", "i"), ("elu", "i"), ("celu", "i"), ("selu", "i"), ("hard_sigmoid", "i"),
        ("hard_silu", "i"), ("log_sigmoid", "f"), ("log_sigmoid", "i"), ("tanh_shrink", "f"), ("tanh_shrink", "i"),
        ("softsign", "f"), ("silu", "f"), ("sigmoid", "f"), ("gelu", "f"), ("gelu", "i"), ("logsumexp", "f"),
        ("angle", "f"), ("erf", "i"), ("erf", "f"), ("round", "f"), ("sigmoid", "i"), ("silu", "i"),
        ("nancumprod", "f"), ("nancumsum", "f"),
    }),
    *(f"ops.{name}({x})" for name in _ONE if name.startswith("nan") for x in ("n", "n, 1") if name != "nan_to_num"),
    *(f"ops.{name}(p)" for name in ("log", "log2", "log10", "sqrt", "rsqrt", "reciprocal", "arccosh")),
    *(f"ops.{name}(j)" for name in ("log", "sqrt", "arccosh")),
    *(f"ops.{name}(u / 2)" for name in ("arcsin", "arccos", "arctanh", "erfinv")),
    *(f"ops.{name}({x})"
      for name in _TWO
      for x in ("a, s" if name == "dot" else "a, b", "a, c[:1]", "i, j", "a, i", "i, 2", "a, 2", "i, 0.5")
      if not (name in ("outer", "inner", "vdot", "dot", "append") and x != "a, b") or name == "append"),
    *(f"ops.{name}({x})" for name in ("floor_divide", "mod", "fmod") for x in ("a, p", "i, j", "a, 2", "i, 2", "i, h")),
    *(f"ops.power({x})" for x in ("p, b", "j, k", "a, 2", "j, 0.5", "2, k")),
    *(f"ops.{name}({x})" for name in _BITS for x in ("i, j", "f, ~f")),
    *(f"ops.{name}(j, k % 3)" for name in ("bitwise_left_shift", "bitwise_right_shift", "left_shift", "right_shift")),
    "ops.bitwise_not(i)", "ops.bitwise_invert(f)", "ops.ldexp(a, k)", "ops.round(a, 1)", "ops.isin(i, [1, 2])",
    *(f"ops.{name}({x}, {rest})" for name in _REDUCED for x in ("a", "t") for rest in
      (("0", "-1", "1, True") if name.startswith("arg") else ("0", "-1", "(0, 1)", "1, keepdims=True"))),
    "ops.max(a, initial=5.)", "ops.min(t, 1, initial=-9.)", "ops.argmax(a, keepdims=True)", "ops.argmin(t, 2)",
    "ops.average(a, 1, weights=p)", "ops.average(t, axis=2, weights=[1., 2., 3., 4.])", "ops.sort(a, 0)",
    "ops.argsort(a, 0)", "ops.sort(a, None)", "ops.cumsum(a, 1)", "ops.cumprod(t, 0)",
    "ops.cumsum(i, 0, dtype='float32')",
    *(f"ops.quantile(a, {q}, {axis})"
      for q in ("0.3", "[0.1, 0.5, 1.0]") for axis in ("None", "1", "0, keepdims=True")),
    "ops.quantile(a, 0.3, 1, method='lower')", "ops.nanquantile(n, 0.5, 1)", "ops.percentile(a, 30., 1)",
    "ops.quantile(t, [0.25, 0.5], (0, 2), keepdims=True)", "ops.median(t, (0, 1))",
    "ops.nanpercentile(n[:, :3], 25., 0)",
    "ops.diff(t, 2, 1)", "ops.trapezoid(a)", "ops.trapezoid(a, dx=0.5, axis=0)", "ops.trapezoid(a, x=[0., 1., 3., 4.])",
    "ops.moments(t, (0, 2))", "ops.moments(t, [1], keepdims=True)", "ops.ptp(t, 1)", "ops.logsumexp(t, (0, 2))",
    # comparing
    "ops.where(f, a, b)", "ops.where(f, a, 0)", "ops.where(f, i, 1.5)", "ops.where(f)", "ops.nonzero(i)",
    "ops.select([a > 0, b > 0], [a, b], 7.)", "ops.clip(a, -1, 1)", "ops.clip(i, -1, 2)", "ops.clip(a, b - .5, b + .5)",
    "ops.nan_to_num(n)", "ops.nan_to_num(n, 1., 2., 3.)", "ops.isin(i, j, invert=True)",
    # shaping
    "ops.reshape(a, (2, -1))", "ops.transpose(t, (1, 2, 0))", "ops.swapaxes(t, 0, 2)", "ops.moveaxis(t, 0, -1)",
    "ops.moveaxis(t, [0, 1], [1, 2])", "ops.expand_dims(a, 1)", "ops.expand_dims(a, (0, -1))",
    "ops.squeeze(a[None, :1])",
    "ops.squeeze(a[None], 0)", "ops.broadcast_to(c, (2, 3, 4))", "ops.flip(t, 1)", "ops.flip(t, (0, 2))",
    "ops.roll(a, 1)",
    "ops.roll(a, 2, 1)", "ops.roll(t, (1, 2), (0, 2))", "ops.rot90(a)", "ops.rot90(t, 2, (1, 2))", "ops.rot90(a, -1)",
    "ops.concatenate([a, b], 1)", "ops.concatenate([a, i])", "ops.concatenate([a, a], None)", "ops.stack([a, b])",
    "ops.stack([a, b], -1)", "ops.unstack(a)", "ops.unstack(t, axis=1)", "ops.append(a, b, 0)", "ops.hstack([a, b])",
    "ops.hstack([c, c])", "ops.vstack([c, c])", "ops.dstack([c, c])", "ops.dstack([a, b])", "ops.split(a, 2, 1)",
    "ops.split(t, [1, 3], 2)", "ops.array_split(v, 4)", "ops.hsplit(a, 2)", "ops.vsplit(a, 3)", "ops.dsplit(t, 2)",
    "ops.repeat(a, 2)", "ops.repeat(a, 2, 1)", "ops.repeat(a, np.array([1, 2, 0]), 0)", "ops.tile(a, 2)",
    "ops.tile(a, (2, 1))",
    "ops.tile(c, (2, 3, 1))", "ops.pad(a, 1)", "ops.pad(a, (1, 2))", "ops.pad(a, ((1, 0), (0, 2)), constant_values=3.)",
    *(f"ops.pad(a, ((1, 2), (2, 1)), {m!r})" for m in ("reflect", "symmetric", "edge", "wrap")), "ops.pad(i, 1)",
    "ops.diag(c)", "ops.diag(c, 1)", "ops.diag(a, -1)", "ops.diagflat(a, 1)", "ops.diagonal(t)", "ops.tri(3, 4, 1)",
    "ops.diagonal(t, 1, 1, 2)", "ops.trace(t, 0, 1, 2)", "ops.tril(a, 1)", "ops.triu(t, -1)", "ops.vander(c)",
    "ops.vander(k, 3, increasing=True)", "ops.rearrange(t, 'b h w -> b (w h)')",
    "ops.rearrange(t, 'b h (w c) -> (b c) w h', c=2)",
    "ops.expand_dims(i, -2)", "ops.space_to_depth(img[:, :4], 2)", "ops.meshgrid(c, v)",
    "ops.depth_to_space(ops.reshape(img[:, :4], (2, 4, 3, 6))[..., :4], 2)", "ops.meshgrid(c, v, indexing='ij')",
    "ops.depth_to_space(ops.reshape(img[:, :4, :4], (2, 12, 2, 2)), 2, 'channels_first')",
    "ops.space_to_depth(ops.transpose(img[:, :4], (0, 3, 1, 2)), 2, 'channels_first')", "ops.copy(c)",
    "ops.unfold(ops.transpose(img, (0, 3, 1, 2)), 2)", "ops.fold(ops.ones((1, 8, 6)), (3, 4), 2)",
    # creating
    "ops.zeros((2, 3))", "ops.ones(3, 'int32')", "ops.full((2, 2), 7)",
    "ops.full((2, 3), np.array([1, 2, 3]), 'int32')", "ops.eye(3)",
    "ops.eye(3, 4, 1, 'int32')", "ops.identity(2)", "ops.arange(5)", "ops.arange(1, 9, 3)", "ops.arange(0., 1., 0.25)",
    "ops.arange(3, dtype='float32')", "ops.linspace(0, 1, 5)", "ops.linspace(0., 4., 4, endpoint=False)",
    "ops.bartlett(6)",
    "ops.linspace(0, 10, 5, dtype='int32')", "ops.linspace(c, c + 1., 3)", "ops.linspace(c, c + 1., 3, axis=-1)",
    "ops.linspace(0., 1., 3, retstep=True)", "ops.logspace(0, 2, 5)", "ops.geomspace(1., 8., 4)", "ops.blackman(6)",
    "ops.hamming(6)", "ops.hanning(5)", "ops.kaiser(5, 3.)", "ops.full_like(i, 2)", "ops.full_like(a, 1, 'int32')",
    "ops.ones_like(i, 'float32')", "ops.array([1, 2])", "ops.array([[1., 2.]])", "ops.zeros_like(f)",
    "ops.convert_to_tensor([1, 2])", "ops.convert_to_tensor([1, 2.5])", "ops.convert_to_tensor(True)",
    "ops.convert_to_tensor(3)", "ops.convert_to_tensor(3.)", "ops.convert_to_tensor([True])",
    "ops.convert_to_tensor(i, 'float16')",
    # gathering
    "ops.take(a, [2, 0])", "ops.take(a, [0, -1], 0)", "ops.take(t, [[0, 1], [2, 2]], 1)", "ops.take(a, 1, 0)",
    "ops.take_along_axis(a, ops.argsort(a, 1), 1)", "ops.take_along_axis(a, [[0], [-1], [2]], 1)",
    "ops.get_item(t, (0, 1))",
    "ops.scatter(np.array([[0, 1], [2, 0], [0, 1]]), c[:3], (3, 2))",
    "ops.scatter(np.array([[1], [0]]), a[:2], (3, 4))",
    *(f"ops.scatter_update(a, [[0, 1], [2, 3]], [9., -9.]{r})"
      for r in ("", ", 'add'", ", 'max'", ", 'min'", ", 'mul'")),
    "ops.scatter_update(a, [[1], [0]], b[:2])", "ops.scatter_update(i, [[1, 1]], [7])",
    "ops.slice(t, (0, 1, 1), (2, 2, 3))",
    "ops.slice_update(a, (1, 2), b[:2, :2])", "ops.top_k(a, 2)", "ops.top_k(i, 3)", "ops.top_k(v, 1)",
    "ops.in_top_k(k[:3], a, 2)", "ops.searchsorted(ops.sort(v), a[0])",
    "ops.searchsorted(ops.sort(v), c, side='right')",
    "ops.digitize(a, [-1., 0., 1.])", "ops.segment_sum(a, np.array([0, 2, 0]), 4)",
    "ops.segment_sum(i, np.array([0, 1, 1]), 2)",
    "ops.segment_max(a, np.array([0, 2, 0]), 3)", "ops.segment_max(i, np.array([0, 1, 0]), 3)",
    "ops.segment_min(a, np.array([0, 1, 1]), 2)",
    "ops.segment_prod(a, np.array([0, 1, 1]), 2)", "ops.bincount(k)", "ops.bincount(k, minlength=6)",
    "ops.bincount(k, weights=c)",
    "ops.bincount(j)", "ops.histogram(v, 4)", "ops.histogram(v, 3, range=(-1., 1.))", "ops.unique(k)",
    "ops.unique(a > 0)",
    "ops.unique(k, return_inverse=True, return_counts=True)", "ops.unravel_index([3, 7, 0], (2, 4))",
    "ops.one_hot(k, 3)",
    "ops.one_hot(k, 4, axis=0)", "ops.one_hot(i, 4, dtype='int32')", "ops.multi_hot(k, 4)", "ops.multi_hot(j, 6)",
    "ops.argpartition(v, 2)[2]",
    # products
    "ops.matmul(a, s)", "ops.matmul(t, s)", "ops.matmul(a, c)", "ops.matmul(c, s)", "ops.matmul(i, ops.transpose(j))",
    "ops.matmul(i, s)", "ops.dot(t, s)", "ops.dot(c, c)", "ops.dot(a, 2.)", "ops.inner(a, b)", "ops.vdot(a, b)",
    "ops.outer(c, v)", "ops.tensordot(t, s, 1)", "ops.tensordot(t, a, [[1, 2], [0, 1]])",
    "ops.tensordot(a, b, [[0], [0]])",
    "ops.einsum('ij,jk->ik', a, s)", "ops.einsum('bij,jk', t, s)", "ops.einsum('ii->i', m)",
    "ops.einsum('...j,j->...', t, c)",
    "ops.kron(m, c[:2])", "ops.cross(m, m[::-1])", "ops.cross(s[:, :2], s[::-1])",
    "ops.cross(t, t[:, :, ::-1], axis=1)",
    "ops.corrcoef(a)",
    *(f"ops.correlate({x}, {mode!r})" for x in ("v, c", "c, v", "v, v[:3]") for mode in ("valid", "same", "full")),
    "ops.cholesky(m)", "ops.cholesky(m, upper=True)", "ops.cholesky_inverse(l)", "ops.det(m)", "ops.logdet(m)",
    "ops.slogdet(m)", "ops.inv(m)", "ops.pinv(s)", "ops.eigh(m)[0]", "ops.abs(ops.eigh(m)[1])", "ops.abs(ops.qr(s)[0])",
    "ops.abs(ops.qr(s)[1])", "ops.svd(s, compute_uv=False)", "ops.svd(s)[1]", "ops.solve(m, l)", "ops.solve(m, c[:3])",
    "ops.solve_triangular(l, m, lower=True)", "ops.solve_triangular(ops.transpose(l), c[:3])", "ops.lstsq(s, c)",
    "ops.lstsq(s, a.T[:, :2])", "ops.matrix_rank(m)", "ops.matrix_rank(m * 0)", "ops.norm(a, axis=1)",
    "ops.cdist(s, s[:3])",
    *(f"ops.norm(a, {o}, 1)" for o in ("1", "2", "np.inf", "-np.inf", "0", "3")), "ops.norm(t, axis=(1, 2))",
    *(f"ops.norm(m, {o})" for o in ("'fro'", "'nuc'", "1", "2", "-2", "np.inf", "-1")),
    "ops.norm(t, 2, (1, 2), keepdims=True)", "ops.norm(i)", "ops.norm(t, 1, (1, 2), keepdims=True)",
    "ops.psnr(img, img * .9, 1.)",
    # nn
    "ops.leaky_relu(a, 0.1)", "ops.elu(a, 0.5)", "ops.celu(a, 0.5)", "ops.gelu(a, False)", "ops.glu(a)",
    "ops.glu(s, 0)",
    "ops.hard_shrink(a, 0.75)", "ops.soft_shrink(a, 0.25)", "ops.threshold(a, 0.5, -1.)", "ops.softmax(t, 1)",
    "ops.softmax(t, (0, 2))", "ops.log_softmax(t, (1, 2))", "ops.normalize(a, 0)", "ops.normalize(t, (1, 2))",
    "ops.normalize(a, order=1)", "ops.batch_normalization(t, c, np.abs(c), -1)", "ops.layer_normalization(a, c, v[:4])",
    "ops.batch_normalization(t, c[:3], np.abs(c[:3]), 1, c[:3], c[1:], 1e-2)",
    "ops.layer_normalization(t, axis=(1, 2))",
    "ops.rms_normalization(a, c)", "ops.rms_normalization(t, axis=1)", "ops.binary_crossentropy(f * 1., p / 3)",
    "ops.binary_crossentropy(f * 1., a, from_logits=True)", "ops.categorical_crossentropy(p / 3, p)",
    "ops.categorical_crossentropy(p / 3, a, from_logits=True)", "ops.sparse_categorical_crossentropy([1, 0, 3], p)",
    "ops.sparse_categorical_crossentropy([[1], [0], [3]], a, from_logits=True)",
    "ops.ctc_loss([[1, 2, 1], [3, 1, 0]], np.tile(t, (1, 2, 1)), [3, 2], [6, 5])",
    "ops.ctc_decode(np.tile(t, (1, 2, 1)), [6, 4])",
    "ops.ctc_decode(np.tile(t, (1, 2, 1)), [6, 4], merge_repeated=False)",
    "ops.dot_product_attention(q, kv, kv)", "ops.dot_product_attention(q, q, q, is_causal=True)",
    "ops.dot_product_attention(q, kv, kv, scale=0.3, mask=np.arange(5) < 3)",
    "ops.dot_product_attention(q, kv, kv, bias=np.ones((1, 2, 3, 5), 'float32') * np.arange(5, dtype='float32'))",
    *(f"ops.conv({x}, padding={p!r}, strides={s})"
      for x in ("sig, dep[0]", "img, ker") for p in ("valid", "same") for s in (1, 2)),
    "ops.conv(img, ker, dilation_rate=2, padding='same')", "ops.conv(vol, ops.ones((2, 2, 2, 2, 3)), padding='same')",
    "ops.conv(ops.transpose(img, (0, 3, 1, 2)), ker, data_format='channels_first')",
    "ops.conv(img, np.concatenate([ker[:, :, :1]] * 3, 3))",
    "ops.depthwise_conv(img, ker)", "ops.depthwise_conv(sig, dep[0], padding='same')",
    "ops.separable_conv(img, ker, ops.ones((1, 1, 6, 2)))",
    "ops.conv_transpose(img, ops.transpose(ker, (0, 1, 3, 2)), 2, 'same')",
    *(f"ops.conv_transpose(sig, {_k}, {s}, {p!r})"
      for _k in ("dep[0].transpose(0, 2, 1)",) for s in (1, 2, 3) for p in ("valid", "same")),
    "ops.conv_transpose(sig, dep[0].transpose(0, 2, 1), 2, 'same', output_padding=1)", "ops.max_pool(img, 2, 2)",
    *(f"ops.{n}_pool({x}, padding={p!r})"
      for n in ("max", "average") for p in ("valid", "same")
      for x in ("sig, 3, 2", "img, (2, 3), (2, 3)", "img, 3, 1")),
    "ops.average_pool(vol, 2, 2)", "ops.adaptive_average_pool(img, (2, 3))", "ops.adaptive_max_pool(img, (2, 4))",
    "ops.adaptive_average_pool(sig, 3)",
    # image
    *(f"ops.image.resize(img, {s}, {m!r}{aa})" for s in ("(3, 9)", "(10, 4)") for m in
      ("bilinear", "nearest", "bicubic", "lanczos3", "lanczos5") for aa in ("", ", antialias=True")),
    "ops.image.resize(one, (6, 3))", "ops.image.resize(img, (4, 4), crop_to_aspect_ratio=True)",
    "ops.image.resize(img, (6, 4), pad_to_aspect_ratio=True, fill_value=2.)",
    "ops.image.resize(ops.transpose(img, (0, 3, 1, 2)), (3, 4), data_format='channels_first')",
    "ops.image.rgb_to_grayscale(img)", "ops.image.rgb_to_hsv(img)", "ops.image.hsv_to_rgb(img % 1.)",
    "ops.image.rgb_to_grayscale(ops.transpose(img, (0, 3, 1, 2)), data_format='channels_first')",
    "ops.image.pad_images(img, 1, 2, 0, 1)", "ops.image.pad_images(one, 1, 2, target_height=8, target_width=9)",
    "ops.image.crop_images(img, 1, 2, target_height=3, target_width=2)", "ops.image.crop_images(one, 1, 1, 1, 1)",
    "ops.image.extract_patches(img, 2)", "ops.image.extract_patches(img, (3, 2), 1, padding='same')",
    "ops.image.sobel_edges(img)",
    "ops.image.extract_patches(one, 2, (1, 2))", "ops.image.extract_patches_3d(vol, 2)",
    *(f"ops.image.affine_transform(img, "
      f"np.array([[1., .2, -.5, .1, .9, .75, 0., 0.]] * 2, 'float32'), {i!r}, {m!r}, 0.5)"
      for i in ("bilinear", "nearest")
      for m in ("constant", "nearest", "wrap", "reflect")),
    "ops.image.perspective_transform(img[0], np.array([[0., 0.], [5., 0.], [0., 4.], [5., 4.]]), "
    "np.array([[.5, 0.], [5., 1.], [0., 3.5], [4., 4.]]))",
    *(f"ops.image.map_coordinates(one[..., 0], "
      f"np.array([[0.5, 2.5, -1.25, 5.], [1.5, 0., 3.75, -0.75]]), {o}, {m!r}, 1.)"
      for o in (0, 1) for m in ("constant", "nearest", "wrap", "mirror", "reflect")),
    "ops.image.gaussian_blur(img, (3, 5), (1., 2.), 'channels_last')", "ops.image.ssim(big, big * 0.75)",
    "ops.image.scale_and_translate(img, (2, 4, 5, 3), [.8, .9], [.5, -.25], [1, 2], 'linear')",
    "ops.image.scale_and_translate(img, (2, 4, 5, 3), [1.8, .9], [.5, 0.], [1, 2], 'cubic', False)",
    # fourier
    "ops.fft((a, b))", "ops.fft2((t, t * .5))", "ops.ifft2((t, t * .5))", "ops.rfft(w)", "ops.rfft(w, 4)",
    "ops.rfft(w, 10)",
    "ops.irfft((a, b))", "ops.irfft((a, b), 7)", "ops.extract_sequences(w, 3, 2)", "ops.stft(long, 8, 4, 10)",
    "ops.stft(long, 8, 4, 8, 'hamming', center=False)", "ops.istft(ops.stft(long, 8, 2, 10), 8, 2, 10)",
    "ops.istft(ops.stft(long, 8, 2, 8, center=False), 8, 2, 8, center=False)", "ops.istft((t, t[::-1] / 2), 6, 2, 6)",
    # control
    "ops.cast(a, 'int32')", "ops.cast(a, 'bool')", "ops.cast(f, 'float16')", "ops.saturate_cast(a * 200, 'uint8')",
    "ops.saturate_cast(i * 100, 'int8')", "ops.while_loop(lambda i, x: i < 3, lambda i, x: (i + 1, x * 2), (0, a))[1]",
    "ops.fori_loop(0, 3, lambda i, x: x + 1., a)", "ops.scan(lambda c, x: (c + x, c * x), ops.zeros(4), a)",
    "ops.scan(lambda c, x: (c + x, c * x), ops.zeros(4), a, reverse=True)", "ops.map(lambda x: x * x, a)",
    "ops.cond(True, lambda: a, lambda: b)",
    "ops.vectorized_map(lambda x: ops.sum(x), a)", "ops.switch(1, [lambda x: x, lambda x: x * 2], a)",
    "ops.associative_scan(lambda x, y: x + y, a)",
    "ops.associative_scan(lambda x, y: x * y, a, reverse=True, axis=1)", "ops.stop_gradient(a)",
    "ops.convert_to_numpy(ops.ones(2))",
]  # fmt: skip

TYPES = ("bool", "uint8", "int8", "int32", "int64", "float16", "bfloat16", "float32", "float64")
#: Functions of one and of two tensors whose result's type is stored for each type and pair of types.
OF_ONE = (
    "abs negative square sign sqrt exp ceil round sum mean prod max cumsum var argmax sort floor isnan ones_like sin "
    "count_nonzero relu median"
).split()
OF_TWO = "add multiply divide maximum power floor_divide equal matmul where concatenate logaddexp arctan2 dot".split()


def evaluate(text: str, ops: Any) -> Any:
    """The value of a case."""
    return eval(text, {"ops": ops, "np": np, **{name: x.copy() for name, x in ARRAYS.items()}})


def plain(value: Any) -> list[np.ndarray]:
    """The arrays in a result."""
    if isinstance(value, dict):
        return [part for key in sorted(value) for part in plain(value[key])]
    if isinstance(value, (tuple, list)) and not (value and isinstance(value[0], int)):
        return [array for part in value for array in plain(part)]
    if isinstance(value, str):
        return [np.array(value)]
    value = value.detach().cpu() if hasattr(value, "detach") else value
    return [np.asarray(value.numpy() if hasattr(value, "numpy") else value)]


def _called(ops: Any, name: str, *args: Any) -> Any:
    if name == "where":
        return ops.where(np.array([True, False]), *args)
    return ops.concatenate(args) if name == "concatenate" else getattr(ops, name)(*args)


def types(ops: Any, make: Callable[[str], Any]) -> dict[str, str]:
    """The type of each function's result for each type, pair of types, and type beside a number of Python's.

    ``make`` gives a tensor of shape (2,) of a type.
    """
    found = {}
    for name, dtype in itertools.product(OF_ONE, TYPES):
        if dtype == "bool" and name in ("negative", "sign", "median"):
            continue
        found[f"{name}({dtype})"] = str(_called(ops, name, make(dtype)).dtype)
    for name, first, second in itertools.product(OF_TWO, TYPES, (*TYPES, "1", "1.0")):
        if second in ("1", "1.0") and name in ("matmul", "concatenate", "dot", "arctan2"):
            continue
        if name in ("power", "floor_divide") and {first, second} == {"bool"}:
            continue
        other = make(second) if second in TYPES else eval(second)
        found[f"{name}({first}, {second})"] = str(_called(ops, name, make(first), other).dtype)
    return found


if __name__ == "__main__":
    import keras

    # What is stored already stays; without the file all is computed.
    stored: dict[str, np.ndarray] = dict(np.load(VALUES)) if VALUES.exists() else {}
    wanted = {f"{text} #0" for text in CASES}
    stored = {
        key: value for key, value in stored.items()
        if key == "types" or f"{key.rpartition(' #')[0]} #0" in wanted
    }  # fmt: skip
    for text in CASES:
        if f"{text} #0" in stored:
            continue
        try:
            parts = plain(evaluate(text, keras.ops))
        except Exception as error:
            print("FAILED", text, type(error), str(error)[:200])
            continue
        for n, part in enumerate(parts):
            stored[f"{text} #{n}"] = part
    # Keras narrows 64 bits to 32, but on TensorFlow: as there, they are kept.
    from keras.src.backend.common.dtypes import BIT64_TO_BIT32_DTYPE

    BIT64_TO_BIT32_DTYPE.update(int64="int64", float64="float64")
    found = types(keras.ops, lambda dtype: keras.KerasTensor((2,), dtype))
    stored["types"] = np.array([f"{key}={value}" for key, value in found.items()])
    spaces = (keras.ops, keras.ops.image)
    stored["names"] = np.array([
        name for space in spaces for name in dir(space) if name[0] != "_" and callable(getattr(space, name))
    ])  # fmt: skip
    np.savez_compressed(VALUES, **stored)
