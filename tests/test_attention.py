"""Attention: gradients against differences, blocks against whole matrices, recorded steps, masks, and odd shapes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import nn, ops
from nnkit.nn import functional
from nnkit.testing import check_gradient


def normal(*shape: int, seed: int = 0, dtype: str = "float64", requires_grad: bool = False) -> nnkit.Tensor:
    values = np.random.default_rng([seed, *shape]).normal(size=shape).astype(dtype)
    return nnkit.tensor(values, requires_grad=requires_grad)


def host(t: nnkit.Tensor) -> np.ndarray:
    return np.asarray(t.detach().numpy(), "float64")


def heads(B: int = 2, H: int = 2, G: int = 2, L: int = 4, S: int = 5, E: int = 3, F: int = 2, **options: Any) -> Any:
    """Queries, keys and values."""
    shapes = ((B, H, L, E), (B, G, S, E), (B, G, S, F))
    return [normal(*shape, seed=number, **options) for number, shape in enumerate(shapes)]


# ---- gradients and blocks -------------------------------------------------------------------------------------------

#: Options of ``ops.attention``, by the names of sizes where they differ.
OPTIONS: list[tuple[dict[str, int], dict[str, Any]]] = [
    ({}, {}), ({"H": 4, "S": 70, "L": 66}, {"causal": True}), ({}, {"scale": 0.9}), ({"E": 17, "F": 33}, {}),
    ({}, {"mask": "bool"}), ({"G": 1}, {"mask": "float"}),
]  # fmt: skip


def mask_of(kind: str | None, L: int, S: int) -> nnkit.Tensor | None:
    if kind is None:
        return None
    seen = np.random.default_rng(5).random((L, S)) > 0.4
    seen[1] = False
    return nnkit.tensor(seen if kind == "bool" else np.where(seen, 0.5, -np.inf))


@pytest.mark.parametrize("sizes, options", OPTIONS, ids=str)
def test_gradients_are_those_of_differences(sizes: dict[str, int], options: dict[str, Any], device: str) -> None:
    q, k, v = heads(**sizes, requires_grad=True)
    given = options | {"mask": mask_of(options.get("mask"), q.shape[2], k.shape[2])}
    check_gradient(lambda q, k, v: ops.attention(q, k, v, **given), q, k, v)


@pytest.mark.parametrize("sizes, options", OPTIONS, ids=str)
@pytest.mark.parametrize("by_token", [False, True])
def test_blocks_give_what_whole_matrices_give(
    sizes: dict[str, int], options: dict[str, Any], by_token: bool, device: str
) -> None:
    tensors = heads(**sizes, requires_grad=True)
    given = options | {"mask": mask_of(options.get("mask"), tensors[0].shape[2], tensors[1].shape[2])}
    found = []
    for function in (ops.attention, ops.whole_attention):
        laid = [t.transpose(1, 2).contiguous().transpose(1, 2) if by_token else t for t in tensors]
        out = function(*laid, **given)
        weights = normal(*out.shape, seed=9)
        gradients = nnkit.grad((out * weights).sum(), tensors)
        found.append([host(t) for t in (out, *gradients)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, 1e-9, 1e-11)


def test_a_mask_gets_a_gradient_where_it_wants_one(device: str) -> None:
    q, k, v = heads(requires_grad=True)
    mask = normal(1, 2, 4, 5, seed=7, requires_grad=True)
    check_gradient(lambda q, k, v, mask: functional.scaled_dot_product_attention(q, k, v, mask), q, k, v, mask)


@pytest.mark.parametrize("groups", [2, 1])
def test_side_by_side_is_as_apart(groups: int, device: str) -> None:
    x = normal(3, 5, (4 + 2 * groups) * 3, requires_grad=True)
    parts = x.reshape(3, 5, 4 + 2 * groups, 3).transpose(1, 2)
    apart = ops.attention(parts[:, :4], parts[:, 4 : 4 + groups], parts[:, 4 + groups :], causal=True)
    beside = ops.self_attention(x, 4, groups, causal=True)
    np.testing.assert_allclose(host(beside), host(apart.transpose(1, 2).reshape(3, 5, 12)), 1e-12, 1e-13)
    for one, other in zip(*(nnkit.grad((y * y).sum(), [x]) for y in (beside, apart)), strict=True):
        np.testing.assert_allclose(host(one), host(other), 1e-10, 1e-12)
    check_gradient(lambda x: ops.self_attention(x, 4, groups, mask_of("float", 5, 5)), x)


# ---- shapes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [{"L": 0}, {"S": 0}, {"B": 0}, {"L": 1, "S": 1}, {"E": 1, "F": 1}, {"L": 1, "S": 66}])
def test_few_tokens(sizes: dict[str, int], device: str) -> None:
    q, k, v = heads(**sizes, requires_grad=True)
    out = functional.scaled_dot_product_attention(q, k, v)
    out.sum().backward()
    assert out.shape == (*q.shape[:3], v.shape[3])
    assert all(t.grad is not None and np.isfinite(host(t.grad)).all() for t in (q, k, v))
    if k.shape[2] == 0:
        assert not host(out).any()


def test_leading_axes_are_any_and_broadcast(device: str) -> None:
    q, k, v = normal(4, 3), normal(5, 3), normal(5, 2)
    one = functional.scaled_dot_product_attention(q, k, v)
    assert one.shape == (4, 2)
    many = functional.scaled_dot_product_attention(q.expand(2, 3, 1, 4, 3), k, v.expand(3, 2, 5, 2))
    assert many.shape == (2, 3, 2, 4, 2)
    np.testing.assert_allclose(host(many), np.broadcast_to(host(one), many.shape), 1e-12)
    mask = normal(3, 1, 4, 5)
    masked = functional.scaled_dot_product_attention(q.expand(2, 3, 1, 4, 3), k, v, mask)
    for number in range(3):
        alone = functional.scaled_dot_product_attention(q, k, v, mask[number, 0])
        np.testing.assert_allclose(host(masked[1, number, 0]), host(alone), 1e-12)


@pytest.mark.parametrize("shape", [(0, 5, 8), (1, 1, 8), (2, 0, 8), (3, 7, 8)])
@pytest.mark.parametrize("weights", [False, True])
def test_layers_of_few_tokens(shape: tuple[int, ...], weights: bool, device: str) -> None:
    if weights and shape[1] == 0:
        pytest.skip("a softmax of no elements")
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    x = normal(*shape, dtype="float32", requires_grad=True)
    y, found = layer(x, x, x, need_weights=weights)
    y.sum().backward()
    assert y.shape == shape
    assert (found is None) is not weights
    assert x.grad is not None and x.grad.shape == shape


BAD: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: functional.scaled_dot_product_attention(normal(2, 3, 4), normal(2, 3, 5), normal(2, 3, 4)),
     ValueError, "expected q (B, H, L, E)"),
    (lambda: functional.scaled_dot_product_attention(normal(4), normal(4), normal(4)), ValueError, "query: expected"),
    (lambda: functional.scaled_dot_product_attention(normal(1, 4, 3, 2), normal(1, 2, 3, 2), normal(1, 2, 3, 2)),
     ValueError, "enable_gqa=True"),
    (lambda: functional.scaled_dot_product_attention(*heads(H=3), enable_gqa=True), ValueError, "3 heads of queries"),
    (lambda: functional.scaled_dot_product_attention(*heads(), attn_mask=normal(4, 5), is_causal=True),
     ValueError, "attn_mask must be None"),
    (lambda: functional.scaled_dot_product_attention(*heads(), attn_mask=normal(4, 6)),
     ValueError, "does not broadcast"),
    (lambda: functional.scaled_dot_product_attention(*heads(), attn_mask=nnkit.ones(4, 5).long()),
     TypeError, "booleans or floats"),
    (lambda: functional.scaled_dot_product_attention(*heads(), dropout_p=1.5), ValueError, "from 0 to 1"),
    (lambda: functional.scaled_dot_product_attention(heads()[0].float(), *heads()[1:]), TypeError, "one type"),
    (lambda: nn.MultiheadAttention(6, 4), ValueError, "multiple of num_heads"),
    (lambda: nn.MultiheadAttention(8, 2)(normal(3, 2, 7), normal(3, 2, 7), normal(3, 2, 7)), ValueError, "query: "),
    (lambda: nn.MultiheadAttention(8, 2)(*[nnkit.zeros(3, 2, 8)] * 3, nnkit.ones(3, 2).bool()),
     ValueError, "key_padding_mask: expected shape (2, 3)"),
    (lambda: nn.MultiheadAttention(8, 2)(*[nnkit.zeros(3, 2, 8)] * 3, attn_mask=nnkit.ones(3, 2).bool()),
     ValueError, "attn_mask: expected shape (3, 3) or (4, 3, 3)"),
    (lambda: nn.TransformerEncoderLayer(8, 2, activation="swish"), ValueError, "'relu', 'gelu' or a function"),
    (lambda: nn.RotaryPositions(3), ValueError, "even"),
    (lambda: nn.RotaryPositions(4)(normal(2, 3)), ValueError, "expects shape (..., tokens, 4)"),
    (lambda: nn.SinusoidalPositions(4, 2)(normal(1, 3, 4)), ValueError, "at most 2 tokens of width 4"),
]  # fmt: skip


@pytest.mark.parametrize("action, error, words", BAD, ids=[words for _, _, words in BAD])
def test_misuse_is_explained(action: Callable[[], Any], error: type[Exception], words: str, device: str) -> None:
    with pytest.raises(error) as caught:
        action()
    assert words in str(caught.value)


# ---- dropout, recorded steps, half types ----------------------------------------------------------------------------


def test_dropped_weights_are_the_same_on_every_device(device: str) -> None:
    found = []
    for where in ("numpy", device):
        nnkit.manual_seed(3)
        q, k, v = (nnkit.tensor(host(t), dtype="float32", device=where) for t in heads(L=70, S=70))
        found.append(host(functional.scaled_dot_product_attention(q, k, v, dropout_p=0.5)))
    np.testing.assert_allclose(*found, 1e-4, 1e-5)


def test_dropout_keeps_the_mean_and_its_gradient_the_mask(device: str) -> None:
    q, k, _ = heads(B=8, H=4, G=4, L=64, S=64)
    v = nnkit.ones(8, 4, 64, 2, dtype="float64").requires_grad_()
    out = functional.scaled_dot_product_attention(q, k, v, dropout_p=0.25)
    assert abs(host(out).mean() - 1.0) < 0.02
    (dv,) = nnkit.grad(out.sum(), [v])
    np.testing.assert_allclose(host(dv).sum(), host(out).sum(), 1e-9)
    everything = functional.scaled_dot_product_attention(q, k, v, dropout_p=1.0)
    assert not host(everything).any()


def model_of(dropout: float = 0.1, **options: Any) -> nn.Module:
    nnkit.manual_seed(1)
    layer = nn.TransformerEncoderLayer(16, 2, 24, dropout, "gelu", batch_first=True, **options)
    return nn.TransformerEncoder(layer, 2, nn.LayerNorm(16))


@pytest.mark.parametrize("first", [False, True])
def test_recorded_steps_are_eager_ones_to_the_bit(first: bool, device: str) -> None:
    x, mask = normal(3, 7, 16, dtype="float32"), nn.Transformer.generate_square_subsequent_mask(7)
    found = []
    for recorded in (False, True):
        model = model_of(norm_first=first)
        optimizer = nnkit.optim.Adam(model.parameters())

        def step(model: nn.Module = model, optimizer: Any = optimizer) -> nnkit.Tensor:
            optimizer.zero_grad()
            loss = model(x, mask=mask).square().mean()
            loss.backward()
            optimizer.step()
            return loss

        run = nnkit.compile(step, fullgraph=True) if recorded else step
        losses = [run().item() for _ in range(5)]
        found.append([losses, *(host(p).tolist() for p in model.parameters())])
    assert found[0] == found[1]


def test_hooks_of_a_layers_parts_are_called(device: str) -> None:
    layer, x, seen = nn.TransformerEncoderLayer(8, 2, 12, 0.0, batch_first=True), normal(1, 3, 8, dtype="float32"), []
    fused = host(layer(x))
    layer.linear1.register_forward_hook(lambda module, args, output: seen.append(output.shape))
    np.testing.assert_allclose(host(layer(x)), fused, 1e-5, 1e-6)
    assert seen == [(1, 3, 12)]


@pytest.mark.parametrize("half", ["bfloat16", "float16"])
def test_autocast_rounds_what_is_multiplied(half: str, device: str) -> None:
    tensors = [t.float().requires_grad_() for t in heads(L=9, S=9, E=16)]
    with nnkit.autocast(half):
        rounded = functional.scaled_dot_product_attention(*tensors, is_causal=True)
    exact = functional.scaled_dot_product_attention(*tensors, is_causal=True)
    assert rounded.dtype == np.float32
    assert 0 < abs(host(rounded) - host(exact)).max() < 0.05
    for one, other in zip(*(nnkit.grad(y.square().sum(), tensors) for y in (rounded, exact)), strict=True):
        np.testing.assert_allclose(host(one), host(other), rtol=0.1, atol=0.1)


def test_half_types_are_computed_in_float32(device: str) -> None:
    if device == "strict":
        pytest.skip("the standard has no half types")
    tensors = [t.to("float16").requires_grad_() for t in heads(L=9, S=70, E=16)]
    out = functional.scaled_dot_product_attention(*tensors)
    exact = functional.scaled_dot_product_attention(*(t.detach().float() for t in tensors))
    assert out.dtype == np.float16
    np.testing.assert_allclose(host(out), host(exact), rtol=2e-3, atol=2e-3)
    out.float().sum().backward()
    assert tensors[0].grad is not None and tensors[0].grad.dtype == np.float16


def test_threads_change_no_bit() -> None:
    found = []
    for threads in (1, 2):
        nnkit.set_num_threads(threads)
        values = [np.random.default_rng(n).normal(size=(1, 1, 300, 32)).astype("float32") for n in range(3)]
        q, k, v = (nnkit.tensor(x, requires_grad=True, device="cpu") for x in values)
        out = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        found.append([host(t).tolist() for t in (out, *nnkit.grad(out.square().sum(), [q, k, v]))])
    nnkit.set_num_threads(2)
    assert found[0] == found[1]


def test_a_query_that_sees_no_key_gives_nothing(device: str) -> None:
    layer, x = nn.MultiheadAttention(8, 2, batch_first=True), nnkit.ones(1, 3, 8)
    padding = nnkit.ones(1, 3).bool()
    y, _ = layer(x, x, x, key_padding_mask=padding, need_weights=False)
    np.testing.assert_array_equal(host(y), np.broadcast_to(host(layer.out_proj.bias), (1, 3, 8)))
    _, weights = layer(x, x, x, key_padding_mask=padding)
    assert weights is not None and np.isnan(host(weights)).all()


# ---- positions ------------------------------------------------------------------------------------------------------


def test_sinusoids(device: str) -> None:
    table = host(nn.SinusoidalPositions(5, 7)(nnkit.zeros(1, 7, 5)))[0]
    rates = 10000.0 ** (-np.arange(0, 5, 2) / 5)
    np.testing.assert_allclose(table[:, 0::2], np.sin(np.arange(7)[:, None] * rates), 1e-5, 1e-6)
    np.testing.assert_allclose(table[:, 1::2], np.cos(np.arange(7)[:, None] * rates[:2]), 1e-5, 1e-6)
    module = nn.SinusoidalPositions(5, 7, batch_first=False)
    assert not module.state_dict()
    places = nnkit.tensor([3, 0])
    np.testing.assert_array_equal(host(module(nnkit.zeros(2, 1, 5), places))[:, 0], table[[3, 0]].astype("float64"))


def test_rotations_make_scores_of_distances(device: str) -> None:
    rotate = nn.RotaryPositions(6)
    q, k = normal(1, 6, dtype="float32"), normal(1, 6, seed=1, dtype="float32")

    def score(i: int, j: int) -> float:
        return (rotate(q, nnkit.tensor([i])) * rotate(k, nnkit.tensor([j]))).sum().item()

    assert score(3, 1) == pytest.approx(score(12, 10), rel=1e-4)
    assert score(3, 1) != pytest.approx(score(4, 1), rel=1e-2)
    check_gradient(rotate, normal(2, 3, 6, requires_grad=True))


# ---- keys and values kept -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rotary", [False, True])
@pytest.mark.parametrize("prompt", [1, 4])
@pytest.mark.parametrize("recorded", [False, True])
def test_token_by_token_is_as_all_at_once(rotary: bool, prompt: int, recorded: bool, device: str) -> None:
    nnkit.manual_seed(2)
    layer = nn.MultiheadAttention(12, 3, batch_first=True, rotary=nn.RotaryPositions(4) if rotary else None).eval()
    cache, x = nn.KeyValueCache(9), normal(2, 9, 12, dtype="float32")

    @nnkit.no_grad()
    def one(x: nnkit.Tensor) -> nnkit.Tensor:
        return layer(x, x, x, need_weights=False, cache=cache)[0]

    run = nnkit.compile(one, fullgraph=True) if recorded else one
    with nnkit.no_grad():
        whole = host(layer(x, x, x, need_weights=False, is_causal=True)[0])
        for _ in range(2):
            parts = [host(one(x[:, :prompt]))] + [host(run(x[:, i : i + 1])) for i in range(prompt, 9)]
            np.testing.assert_allclose(np.concatenate(parts, 1), whole, 1e-4, 1e-5)
            assert len(cache) == 9
            cache.reset()


@pytest.mark.parametrize("given", [False, True])
def test_a_recorded_step_takes_the_cache_that_there_is(given: bool, device: str) -> None:
    """Another cache, by its name or as an argument, begins with no tokens; the first goes on where it was."""
    layer, x = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True).eval(), normal(1, 6, 8, dtype="float32")
    caches = [nn.KeyValueCache(6), nn.KeyValueCache(6)]
    cache = caches[0]

    if given:

        @nnkit.compile
        @nnkit.no_grad()
        def run(x: nnkit.Tensor, cache: nn.KeyValueCache) -> nnkit.Tensor:
            return layer(x, cache=cache)

    else:

        @nnkit.compile
        @nnkit.no_grad()
        def run(x: nnkit.Tensor) -> nnkit.Tensor:
            return layer(x, cache=cache)

    with nnkit.no_grad():
        whole = host(layer(x, is_causal=True))
    places = [0, 0]
    for number in (0, 0, 0, 1, 1, 0, 1, 1, 0, 1):
        cache, place = caches[number], places[number]
        token = x[:, place : place + 1].contiguous()
        found = run(token, cache) if given else run(token)
        np.testing.assert_allclose(host(found), whole[:, place : place + 1], 1e-4, 1e-5)
        places[number] += 1
    assert [len(one) for one in caches] == places


def test_a_cache_in_a_model_and_its_limits(device: str) -> None:
    model = model_of(0.0).eval()
    cache, x = nn.KeyValueCache(4), normal(1, 4, 16, dtype="float32")
    with nnkit.no_grad():
        whole = host(model(x, is_causal=True))
        model(x[:, :3], cache=cache)
        assert cache.positions(1).tolist() == [3]
        cache.truncate(2)
        found = host(model(x[:, 2:], cache=cache))
        np.testing.assert_allclose(found, whole[:, 2:], 1e-4, 1e-5)
        for action, words in (
            (lambda: model(x[:, :1], cache=cache), "4 tokens and 1 more do not fit its capacity of 4"),
            (lambda: model(normal(2, 1, 16, dtype="float32"), cache=cache), "use another cache"),
            (lambda: cache.truncate(5), "expected a number of tokens from 0 to 4"),
        ):
            with pytest.raises(ValueError, match=words):
                action()
    with pytest.raises(RuntimeError, match="no_grad"):
        model(x[:, :1], cache=nn.KeyValueCache(4))
    with pytest.raises(ValueError, match="without masks"):
        model.layers[0].self_attn(x, x, x, cache=cache)


# ---- files ----------------------------------------------------------------------------------------------------------

MODELS: dict[str, Callable[[], nn.Module]] = {
    "attention": lambda: nn.MultiheadAttention(8, 2, kdim=3, vdim=4, add_bias_kv=True),
    "rotary": lambda: nn.MultiheadAttention(8, 2, rotary=nn.RotaryPositions(4)),
    "encoder": lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 2, nn.LayerNorm(8)),
    "decoder": lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16, activation="gelu"), 2),
    "transformer": lambda: nn.Transformer(8, 2, 1, 1, 16, norm_first=True),
    "positions": lambda: nn.Sequential(nn.SinusoidalPositions(8, 5), nn.Linear(8, 2)),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_come_back_from_files(name: str, tmp_path: Path) -> None:
    model = MODELS[name]()
    model.save(tmp_path / "model")
    again = nnkit.load(tmp_path / "model")
    assert repr(again) == repr(model)
    for (key, one), (other_key, other) in zip(model.state_dict().items(), again.state_dict().items(), strict=True):
        assert key == other_key
        np.testing.assert_array_equal(host(one), host(other))
