"""Recurrent layers beyond their values (``test_torch_values_sequences``): gradients, batches, recording, files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import nn, ops
from nnkit.errors import ShapeError, UnknownNameError
from nnkit.testing import check_gradient

KINDS = ("tanh", "relu", "lstm", "gru")
GATES = {"tanh": 1, "relu": 1, "lstm": 4, "gru": 3}


def numbers(*shape: int, seed: int = 0) -> nnkit.Tensor:
    values = np.random.default_rng([seed, *shape]).uniform(-1, 1, shape)
    return nnkit.tensor(values, dtype="float32")


def layer(kind: str, *args: Any, **options: Any) -> nn.RNNBase:
    made = {"lstm": nn.LSTM, "gru": nn.GRU}.get(kind)
    return made(*args, **options) if made else nn.RNN(*args, nonlinearity=kind, **options)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_the_derivatives(kind: str, reverse: bool, device: str) -> None:
    B, T, I, H = 2, 3, 2, 3
    N = GATES[kind] * H
    shapes = [(B, T, I), (N, I), (N, H), (N,), (N,), (B, H), (B, H)]
    tensors = [numbers(*shape, seed=7 + n).double().requires_grad_() for n, shape in enumerate(shapes)]
    keep = nnkit.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]], dtype="float64")
    if kind != "lstm":
        tensors.pop()

    def run(*given: nnkit.Tensor) -> nnkit.Tensor:
        x, *rest = given
        c = rest[5] if kind == "lstm" else None
        y, h, after = ops.recurrence(x, rest[:4], kind, rest[4], c, keep=keep, reverse=reverse)
        total = (y * y).sum() + (h * 0.5).sum()
        return total if after is None else total + (after * after).sum()

    check_gradient(run, *tensors)


@pytest.mark.parametrize("T,B,H", [(1, 1, 1), (3, 1, 33), (2, 5, 16), (4, 0, 3)])
@pytest.mark.parametrize("kind", KINDS)
def test_odd_sizes(kind: str, T: int, B: int, H: int, device: str) -> None:
    net = layer(kind, 2, H)
    output, _ = net(numbers(T, B, 2))
    output.sum().backward()
    assert output.shape == (T, B, H)
    assert all(p.grad is not None and p.grad.shape == p.shape for p in net.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_gives_the_same_numbers_alone_and_in_a_batch(kind: str, device: str) -> None:
    if device != "numba":
        pytest.skip("NumPy's products promise no order of sums")
    net, x = layer(kind, 3, 40, batch_first=True), numbers(37, 6, 3)
    whole = net(x)[0].detach().numpy()
    for row in (0, 8, 36):
        np.testing.assert_array_equal(net(x[row : row + 1])[0].detach().numpy()[0], whole[row])


@pytest.mark.parametrize("kind", KINDS)
def test_threads_change_no_number(kind: str, device: str) -> None:
    net, x = layer(kind, 3, 64, batch_first=True), numbers(33, 20, 3)
    found, before = [], nnkit.get_num_threads()
    try:
        for threads in (1, 2, 3):
            nnkit.set_num_threads(threads)
            net.zero_grad()
            output, _ = net(x)
            (output * output).sum().backward()
            found.append([output.detach().numpy().copy(), *(np.array(p.grad.numpy()) for p in net.parameters())])
    finally:
        nnkit.set_num_threads(before)
    for other in found[1:]:
        for one, same in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, same)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_packed_is_each_sequence_by_itself(kind: str, bidirectional: bool, device: str) -> None:
    net, x, lengths = layer(kind, 3, 5, num_layers=2, bidirectional=bidirectional), numbers(6, 3, 3), [2, 6, 3]
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
    output, last = net(packed)
    parts = nn.utils.rnn.unpack_sequence(output)
    for number, length in enumerate(lengths):
        alone, state = net(x[:length, number])
        np.testing.assert_allclose(parts[number].detach().numpy(), alone.detach().numpy(), 1e-5, 1e-6)
        pairs = zip(last, state, strict=True) if kind == "lstm" else [(last, state)]
        for one, other in pairs:
            np.testing.assert_allclose(one.detach().numpy()[:, number], other.detach().numpy(), 1e-5, 1e-6)


# ---- recorded -------------------------------------------------------------------------------------------------------


def trained(make: Callable[[], nn.Module], run: Callable[[Any, Any], Any], recorded: bool) -> list[np.ndarray]:
    """The losses and weights after some steps."""
    nnkit.manual_seed(3)
    model = make()
    optimizer = nnkit.optim.Adam(model.parameters(), lr=0.01)

    def step(x: nnkit.Tensor) -> nnkit.Tensor:
        optimizer.zero_grad()
        output = run(model, x)
        loss = (output * output).mean()
        loss.backward()
        optimizer.step()
        return loss

    function = nnkit.compile(step, fullgraph=True) if recorded else step
    losses = [function(numbers(5, 4, 3, seed=n)).detach().numpy().copy() for n in range(6)]
    return [*losses, *(p.detach().numpy().copy() for p in model.parameters())]


def last_of(model: Any, x: Any) -> Any:
    output, state = model(x)
    return output[-1] + (state[0] if isinstance(state, tuple) else state)[-1]


def packed_of(model: Any, x: Any) -> Any:
    packed = nn.utils.rnn.pack_padded_sequence(x, [5, 3, 3, 1])
    return nn.utils.rnn.pad_packed_sequence(model(packed)[0])[0]


PROGRAMS = {
    "lstm": (lambda: nn.LSTM(3, 6), last_of), "gru": (lambda: nn.GRU(3, 6, batch_first=True), lambda m, x: m(x)[0]),
    "rnn": (lambda: nn.RNN(3, 6, num_layers=2, dropout=0.5), lambda m, x: m(x)[1]),
    "both ways": (lambda: nn.LSTM(3, 6, bidirectional=True), lambda m, x: m(x)[0]),
    "packed": (lambda: nn.GRU(3, 6), packed_of), "cell": (lambda: nn.LSTMCell(3, 6), lambda m, x: m(x[0])[1]),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_recorded_is_eager_to_the_bit(name: str, device: str) -> None:
    for one, other in zip(trained(*PROGRAMS[name], False), trained(*PROGRAMS[name], True), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_recorded_step_holds_for_its_lengths(device: str) -> None:
    net = nn.GRU(3, 4)

    @nnkit.compile
    def run(x: nnkit.Tensor, lengths: nnkit.Tensor) -> nnkit.Tensor:
        with nnkit.no_grad():
            packed = nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
            return nn.utils.rnn.pad_packed_sequence(net(packed)[0], total_length=5)[0]

    for n, lengths in enumerate(([5, 3], [5, 3], [5, 3], [1, 2], [5, 3], [1, 2])):
        x = numbers(5, 2, 3, seed=n)
        found = run(x, nnkit.tensor(lengths)).numpy()
        for b, length in enumerate(lengths):
            alone = net(x[:length, b])[0].detach().numpy()
            np.testing.assert_allclose(found[:length, b], alone, 1e-5, 1e-6)
            assert not found[length:, b].any()


def test_under_autocast_operands_of_products_are_rounded(device: str) -> None:
    net, x = nn.LSTM(3, 5), numbers(4, 2, 3)
    with nnkit.autocast("cpu", dtype=nnkit.float16):
        output, _ = net(x)
    output.sum().backward()
    exact = net(x)[0].detach().numpy()
    assert not np.array_equal(output.detach().numpy(), exact)
    np.testing.assert_allclose(output.detach().numpy(), exact, 1e-2, 1e-2)


# ---- files, and what is refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [
    lambda: nn.LSTM(3, 4, num_layers=2, bidirectional=True), lambda: nn.GRU(3, 4, bias=False),
    lambda: nn.RNN(3, 4, nonlinearity="relu"), lambda: nn.Embedding(5, 3, padding_idx=1), lambda: nn.GRUCell(3, 4),
    lambda: nn.EmbeddingBag(5, 3, mode="sum"),
])  # fmt: skip
def test_saved_and_loaded(make: Callable[[], nn.Module], device: str, tmp_path: Path) -> None:
    module, path = make(), os.fspath(tmp_path / "module.safetensors")
    module.save(path)
    loaded = nnkit.load(path)
    assert repr(loaded) == repr(module)
    for (name, one), (other_name, other) in zip(module.state_dict().items(), loaded.state_dict().items(), strict=True):
        assert name == other_name
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_weights_of_an_embedding_can_be_tied_to_an_output_layer(device: str) -> None:
    table, out = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
    out.weight = table.weight
    out(table(nnkit.tensor([1, 2]))).sum().backward()
    weight = table.weight.detach().numpy().astype("float64")
    expected = np.tile(weight[[1, 2]].sum(0), (5, 1))
    expected[[1, 2]] += weight.sum(0)
    np.testing.assert_allclose(table.weight.grad.numpy(), expected, 1e-5, 1e-6)


REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "proj_size": (lambda: nn.LSTM(3, 4, proj_size=2), ValueError, "proj_size"),
    "nonlinearity": (lambda: nn.RNN(3, 4, nonlinearity="sin"), UnknownNameError, "nonlinearity"),
    "features": (lambda: nn.GRU(3, 4)(numbers(2, 2, 5)), ShapeError, "3 features"),
    "axes": (lambda: nn.GRU(3, 4)(numbers(3)), ShapeError, "3 axes"),
    "no steps": (lambda: nn.GRU(3, 4)(numbers(0, 2, 3)), ShapeError, "at least one step"),
    "state": (lambda: nn.GRU(3, 4)(numbers(2, 2, 3), numbers(1, 3, 4)), ShapeError, "h_0 of shape"),
    "no pair": (lambda: nn.LSTM(3, 4)(numbers(2, 2, 3), numbers(1, 2, 4)), TypeError, "pair"),
    "cell": (lambda: nn.LSTMCell(3, 4)(numbers(2, 5)), ShapeError, "LSTMCell"),
    "unsorted": (lambda: nn.utils.rnn.pack_padded_sequence(numbers(4, 2, 1), [2, 3]), ValueError, "longest first"),
    "no length": (lambda: nn.utils.rnn.pack_padded_sequence(numbers(4, 2, 1), [2, 0]), ValueError, "lengths"),
    "too short": (
        lambda: nn.utils.rnn.pad_packed_sequence(nn.utils.rnn.pack_sequence([numbers(3, 2)]), total_length=2),
        ValueError, "total_length",
    ),
    "kind": (
        lambda: ops.recurrence(numbers(1, 1, 1), [numbers(1, 1), numbers(1, 1)], "lstn"), UnknownNameError, "kind"
    ),
    "frequencies": (lambda: nn.Embedding(3, 2, scale_grad_by_freq=True), ValueError, "scale_grad_by_freq"),
    "index": (lambda: nn.Embedding(3, 2)(nnkit.tensor([3])), IndexError, "3 is out of range"),
    "negative": (lambda: nn.Embedding(3, 2)(nnkit.tensor([-1])), IndexError, "-1 is out of range"),
    "floats": (lambda: nn.Embedding(3, 2)(numbers(2)), TypeError, "whole numbers"),
    "padding": (lambda: nn.Embedding(3, 2, padding_idx=3), ValueError, "padding_idx"),
    "offsets": (lambda: nn.EmbeddingBag(3, 2)(nnkit.tensor([1])), ValueError, "offsets"),
    "mode": (lambda: nn.EmbeddingBag(3, 2, mode="product"), UnknownNameError, "mode"),
    "weights of samples": (
        lambda: nn.EmbeddingBag(3, 2)(nnkit.tensor([[1]]), per_sample_weights=numbers(1, 1)), ValueError, "mode='sum'"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(name: str) -> None:
    call, error, text = REFUSED[name]
    with pytest.raises(error, match=text):
        call()


def test_dropout_of_a_single_layer_is_warned_of() -> None:
    with pytest.warns(UserWarning, match="num_layers=1"):
        nn.LSTM(2, 3, dropout=0.5)
