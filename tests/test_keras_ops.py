"""``nnkit.keras.ops`` against values, types and shapes that Keras computed, stored.

The cases are in ``reference/make_keras_values_ops.py``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reference.make_keras_values_ops import ARRAYS, CASES, VALUES, evaluate, plain, types

import nnkit
from nnkit.keras import backend, ops
from nnkit.keras.symbolic import KerasTensor
from nnkit.testing.gradients import check_gradient

DIFFERENCES = Path(__file__).parent.parent / "KERAS.md"


@pytest.fixture(scope="module")
def stored() -> dict[str, np.ndarray]:
    with np.load(VALUES) as values:
        return dict(values)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("text", CASES)
def test_values_types_and_shapes(text: str, device: str, stored: dict[str, np.ndarray]) -> None:
    if device == "strict" and "float16" in text:
        pytest.skip("array-api-strict has no half types")
    expected = _parts(text, stored)
    assert expected
    with np.errstate(all="ignore"):
        found = plain(evaluate(text, ops))
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.shape == theirs.shape
        assert mine.dtype == theirs.dtype
        if theirs.dtype.kind in "fV":
            np.testing.assert_allclose(mine, theirs, 2e-4, 2e-5)
        else:
            np.testing.assert_array_equal(mine, theirs)


def _parts(text: str, stored: dict[str, np.ndarray]) -> list[np.ndarray]:
    found: list[np.ndarray] = []
    while f"{text} #{len(found)}" in stored:
        found.append(stored[f"{text} #{len(found)}"])
    return found


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_types_of_results(device: str, stored: dict[str, np.ndarray]) -> None:
    if device == "strict":
        pytest.skip("array-api-strict has no half types")
    expected = dict(line.rsplit("=", 1) for line in stored["types"].tolist())
    with np.errstate(all="ignore"):
        found = types(ops, lambda dtype: ops.ones(2, dtype))
    assert {key: (found[key], expected[key]) for key in found if found[key] != expected[key]} == {}


def test_names_of_keras_are_there_or_listed_as_absent(stored: dict[str, np.ndarray]) -> None:
    text = DIFFERENCES.read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if line.startswith("| absent from `keras.ops` |"))
    absent = set(re.findall(r"`(?:image\.)?(\w+)`", row.split("|")[2]))
    names = set(stored["names"].tolist())
    mine = {name for name in names if hasattr(ops, name) or hasattr(ops.image, name)}
    assert names - mine == absent


@pytest.mark.parametrize("name", ["linalg", "nn", "numpy"])
def test_namespaces_have_the_same_functions(name: str) -> None:
    namespace = getattr(ops, name)
    assert all(getattr(namespace, function) is getattr(ops, function) for function in namespace.__all__)


# ---- on symbolic tensors --------------------------------------------------------------------------------------------

SYMBOLIC = (
    "ops.add(x, 1.0)", "ops.mean(x, axis=-1)", "ops.reshape(x, (-1, 12))", "ops.matmul(x, ops.transpose(x, (0, 2, 1)))",
    "ops.concatenate([x, x], -1)", "ops.softmax(x)", "ops.expand_dims(x, 1)", "ops.cast(x, 'int32')",
    "ops.top_k(x, 2)[1]",
    "ops.where(x > 0, x, 0.0)", "ops.einsum('bij,bkj->bik', x, x)", "ops.split(x, 2, -1)[0]", "ops.take(x, [0, 2], 1)",
    "ops.tile(x, (1, 2, 1))", "ops.one_hot(ops.argmax(x, -1), 4)", "ops.layer_normalization(x)",
    "ops.squeeze(x[:, :1], 1)",
)  # fmt: skip


@pytest.mark.parametrize("text", SYMBOLIC)
def test_a_symbolic_result_has_the_shape_and_type_of_the_real_one(text: str, device: str) -> None:
    found = eval(text, {"ops": ops, "x": KerasTensor((None, 3, 4))})
    real = eval(text, {"ops": ops, "x": nnkit.tensor(ARRAYS["t"])})
    assert isinstance(found, KerasTensor)
    assert found.dtype == str(real.dtype)
    assert found.shape[1:] == real.shape[1:]


def test_shapes_of_symbolic_tensors() -> None:
    x = KerasTensor((None, 3))
    assert ops.shape(x) == (None, 3) and ops.ndim(x) == 2


# ---- gradients ------------------------------------------------------------------------------------------------------

SMOOTH = (
    "ops.exp(x)", "ops.logsumexp(x, (0, 1))", "ops.cbrt(x + 3.0)", "ops.erfinv(x / 4.0)", "ops.sparsemax(x)",
    "ops.norm(x, axis=1)",
    "ops.normalize(x)", "ops.layer_normalization(x)", "ops.rms_normalization(x)", "ops.einsum('ij,kj->ik', x, x)",
    "ops.take(x, [0, 2, 0], 1)", "ops.scatter_update(x, [[0, 1], [1, 1]], [1.0, 2.0], 'add')",
    "ops.segment_sum(x, [0, 0, 1], 2)",
    "ops.image.resize(ops.reshape(x, (3, 4, 1)), (5, 3))",
    "ops.image.resize(ops.reshape(x, (3, 4, 1)), (2, 3), 'bicubic', True)",
    "ops.conv(ops.reshape(x, (1, 4, 3)), ops.reshape(x, (2, 3, 2)), padding='same')",
    "ops.slice_update(x, (0, 1), x[1:, :2])",
    "ops.average_pool(ops.reshape(x, (1, 4, 3)), 2, 1, 'same')", "ops.stft(ops.reshape(x, (12,)), 4, 2, 6)[0]",
    "ops.istft((x, x * 0.5), 6, 2, 6)", "ops.rfft(x)[1]", "ops.depth_to_space(ops.reshape(x, (1, 1, 3, 4)), 2)",
    "ops.binary_crossentropy(ops.sigmoid(x) * 0.0 + 0.25, ops.sigmoid(x))", "ops.std(x, 1)", "ops.quantile(x, 0.3, 1)",
    "ops.sparse_categorical_crossentropy([0, 3, 1], x, from_logits=True)", "ops.cumprod(x, 1)", "ops.glu(x)",
    "ops.correlate(x[0], x[1], 'same')",
    "ops.dot_product_attention(*[ops.reshape(x, (1, 3, 2, 2))] * 3)",
    "ops.scan(lambda c, y: (c * y, c + y), ops.ones(4, 'float64'), x)[1]",
)  # fmt: skip


@pytest.mark.parametrize("text", SMOOTH)
def test_gradients(text: str, device: str) -> None:
    values = ARRAYS["a"] * 0.5 + np.linspace(0.0, 0.3, 12).reshape(3, 4)
    x = nnkit.tensor(values, dtype="float64", requires_grad=True)
    check_gradient(lambda x: eval(text, {"ops": ops, "x": x}), x)


def _elementwise(x: Any) -> Any:
    y = ops.where(x > 0.1, ops.cbrt(x), ops.erfinv(ops.tanh(x))) + ops.log1p(ops.square(x)) * 2
    return ops.clip(ops.logaddexp(y, 0.5), -1.0, 3.0) / ops.maximum(x, 1)


def _reduced(x: Any) -> Any:
    y = ops.softmax(x, (0, 1)) + ops.var(x, axis=-1, keepdims=True) - ops.logsumexp(x, 0)
    return ops.cumsum(y, 1) * ops.cast(ops.argmax(y, 1, keepdims=True), "float32") + ops.norm(y, axis=1, keepdims=True)


def _moved(x: Any) -> Any:
    y = ops.concatenate([ops.transpose(x), ops.zeros((4, 1)), ops.flip(ops.transpose(x), 0)], -1)
    y = ops.pad(ops.roll(y, 1, 0), ((1, 0), (0, 1)), "reflect")
    return ops.matmul(y, ops.transpose(y)) + ops.scatter_update(ops.ones((5, 5)), [[0, 1], [2, 2]], [2.0, 3.0], "add")


def _networks(x: Any) -> Any:
    y = ops.reshape(x, (1, 4, 3))
    y = ops.average_pool(ops.conv(y, ops.ones((2, 3, 4)) * 0.1, padding="same"), 2, 1, "same")
    heads = ops.reshape(ops.layer_normalization(y), (1, 4, 2, 2))
    y = ops.reshape(ops.dot_product_attention(heads, heads, heads, is_causal=True), (4, 4))
    return ops.sparse_categorical_crossentropy([0, 3, 1, 2], ops.gelu(y), from_logits=True) + ops.top_k(y, 1)[0][:, 0]


def _signals(x: Any) -> Any:
    y = ops.image.resize(ops.reshape(x, (3, 4, 1)), (5, 6), "bicubic")
    real, imaginary = ops.stft(ops.reshape(y, (30,)), 6, 3, 8)
    return ops.istft((real, imaginary), 6, 3, 8) + ops.sum(ops.segment_sum(x, [0, 1, 0], 2))


@pytest.mark.parametrize("step", [_elementwise, _reduced, _moved, _networks, _signals])
def test_a_recorded_call_is_the_same_to_the_bit(step: Any, device: str) -> None:
    compiled = nnkit.compile(step)
    for k in range(4):
        x = nnkit.tensor(ARRAYS["a"] * 0.5 + 0.1 * k)
        np.testing.assert_array_equal(compiled(x).numpy(), step(x).numpy())


# ---- what is refused ------------------------------------------------------------------------------------------------

WRONG = (
    "ops.squeeze(a, 0)", "ops.split(a, 3, 1)", "ops.take(a, [0.5])", "ops.pad(a, 1, 'nonsense')",
    "ops.one_hot(k, 3, sparse=True)",
    "ops.where(a, 1)", "ops.ldexp(a, a)", "ops.max(a[:0])", "ops.searchsorted(a, k)", "ops.histogram(v, 0)",
    "ops.qr(m, 'nonsense')",
    "ops.categorical_crossentropy(a, m)", "ops.image.resize(img, (2, 2), 'nonsense')", "ops.image.rgb_to_hsv(i)",
    "ops.glu(m)",
    "ops.conv(img, img)", "ops.stft(a, 4, 2, 2)", "ops.fft(a)", "ops.scan(lambda c, x: (c, x), 0)", "ops.sum(a, 5)",
    "ops.rearrange(a, 'b c d -> b')", "ops.image.pad_images(img, 1)", "ops.mean(a, axis=(0, 7))",
    "ops.scatter_update(a, [[0, 0]], [1.0], 'no')",
)  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_wrong_arguments_are_refused(text: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        evaluate(text, ops)


@pytest.mark.parametrize("name", ["function", "gradients", "placeholder", "learning_phase"])
def test_words_of_graphs_name_the_way_out(name: str) -> None:
    with pytest.raises(NotImplementedError, match=name):
        getattr(backend, name)()
