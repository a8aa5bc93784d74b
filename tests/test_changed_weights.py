"""Saved values that are changed by others than a tensor's own methods: optimizers, loading, recorded steps."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import nnkit
from nnkit import Tensor, errors, nn, optim
from nnkit.keras.logits import logits_of, with_logits


def adversary_steps_first() -> Tensor:
    maker, judge = nn.Linear(2, 2), nn.Linear(2, 1)
    optimizer = optim.SGD(judge.parameters(), lr=0.1)
    score = judge(maker(nnkit.ones(3, 2))).sum()
    judge(nnkit.ones(3, 2)).sum().backward()
    optimizer.step()
    return score


def weights_are_loaded() -> Tensor:
    layer = nn.Linear(2, 1)
    score = layer(nnkit.ones(3, 2).requires_grad_()).sum()
    layer.load_state_dict(layer.state_dict())
    return score


def weights_are_drawn_anew() -> Tensor:
    layer = nn.Linear(2, 1)
    score = layer(nnkit.ones(3, 2).requires_grad_()).sum()
    nn.init.zeros_(layer.weight)
    return score


def a_gradient_is_added_to() -> Tensor:
    x = nnkit.ones(2, requires_grad=True)
    (x * x).sum().backward()
    assert x.grad is not None
    product = nnkit.ones(2, requires_grad=True) * x.grad
    (x * x).sum().backward()
    return product.sum()


def a_recorded_step_is_replayed() -> Tensor:
    w = nnkit.ones(3, requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1)

    @nnkit.compile
    def step(x: Tensor) -> None:
        optimizer.zero_grad()
        (w * x).sum().backward()
        optimizer.step()

    for _ in range(3):
        step(nnkit.ones(3))
    product = nnkit.ones(3, requires_grad=True) * w
    step(nnkit.ones(3))
    return product.sum()


def a_recorded_step_changes_a_buffer() -> Tensor:
    buffer = nnkit.ones(3)
    step = nnkit.compile(lambda: buffer[1:].add_(1.0).sum())
    for _ in range(3):
        step()
    product = nnkit.ones(3, requires_grad=True) * buffer
    step()
    return product.sum()


def a_model_is_fitted() -> Tensor:
    model = nn.Sequential(nn.Linear(2, 1))
    score = model(nnkit.ones(3, 2).requires_grad_()).sum()
    model.fit(nnkit.ones(8, 2).numpy(), nnkit.ones(8, 1).numpy(), loss="mse", epochs=1, batch_size=2, verbose=0)
    return score


CHANGES = [
    adversary_steps_first,
    weights_are_loaded,
    weights_are_drawn_anew,
    a_gradient_is_added_to,
    a_recorded_step_is_replayed,
    a_recorded_step_changes_a_buffer,
    a_model_is_fitted,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_backward_refuses_what_others_changed(change: Callable[[], Tensor], device: str) -> None:
    score = change()
    with pytest.raises(errors.GradientError, match="changed in place"):
        score.backward()


def test_the_refusal_names_the_op_the_shape_and_what_to_do(device: str) -> None:
    x, y = nnkit.ones(2, 3, requires_grad=True), nnkit.ones(3)
    z = x * y
    y.add_(5.0)
    with pytest.raises(errors.GradientError, match=r"'mul' needs a value of shape \(3,\) .* once .* y\.clone\(\)"):
        z.sum().backward()


def test_a_step_changes_only_what_has_a_gradient(device: str) -> None:
    first, second = nn.Linear(2, 2), nn.Linear(2, 1)
    optimizer = optim.SGD([*first.parameters(), *second.parameters()], lr=0.1)
    score = first(nnkit.ones(3, 2).requires_grad_()).sum()
    second(nnkit.ones(3, 2)).sum().backward()
    optimizer.step()
    score.backward()
    assert first.weight.grad is not None and first.weight.grad.tolist() == [[3.0, 3.0], [3.0, 3.0]]


def test_probabilities_that_are_changed_are_not_taken_for_those_of_their_logits(device: str) -> None:
    logits = nnkit.tensor([[1.0, 2.0]])
    for change in (lambda p: p.mul_(0.5), lambda p: logits.add_(1.0)):
        probabilities = with_logits(logits.softmax(), logits, "softmax")
        assert logits_of(probabilities, "softmax") is logits
        change(probabilities)
        assert logits_of(probabilities, "softmax") is None
