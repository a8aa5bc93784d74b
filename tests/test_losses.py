"""Losses: names, reductions, per-sample values, and the errors for shapes and labels that do not fit.

Values and gradients of every loss are compared with PyTorch's in ``test_torch_values_nn``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import nn
from nnkit.errors import DtypeError, LabelError, ShapeError, UnknownNameError
from nnkit.nn import losses

ELEMENTWISE = [nn.MSELoss, nn.L1Loss, nn.HuberLoss, nn.SmoothL1Loss, nn.BCELoss, nn.BCEWithLogitsLoss]
BY_LABEL = [nn.CrossEntropyLoss, nn.NLLLoss]


def numbers(device: str, *shape: int, seed: int = 0) -> nnkit.Tensor:
    values = np.random.default_rng(seed).uniform(0.1, 0.9, shape)
    return nnkit.tensor(values, nnkit.float32, device)


# ---- reductions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ELEMENTWISE)
@pytest.mark.parametrize("shape", [(6,), (6, 1), (6, 3), (2, 3, 4)])
def test_reductions_and_per_sample_agree(kind: type[losses.Loss], shape: tuple[int, ...], device: str) -> None:
    prediction, target = numbers(device, *shape), numbers(device, *shape, seed=1)
    each = kind(reduction="none")(prediction, target).numpy()
    assert each.shape == shape
    np.testing.assert_allclose(kind(reduction="sum")(prediction, target).item(), each.sum(), 1e-5)
    np.testing.assert_allclose(kind()(prediction, target).item(), each.mean(), 1e-5)
    per_sample = kind(reduction="sum").per_sample(prediction, target)
    assert per_sample.shape == shape[:1]
    np.testing.assert_allclose(per_sample.numpy(), each.reshape(shape[0], -1).mean(axis=1), 1e-5)


@pytest.mark.parametrize("kind", BY_LABEL)
@pytest.mark.parametrize(("scores", "labels"), [((6, 4), (6,)), ((6, 4, 5), (6, 5))])
def test_label_losses_per_sample(
    kind: type[losses.Loss], scores: tuple[int, ...], labels: tuple[int, ...], device: str
) -> None:
    x = numbers(device, *scores)
    y = nnkit.tensor(np.arange(np.prod(labels)).reshape(labels) % 4, device=device)
    each = kind(reduction="none")(x, y).numpy()
    assert each.shape == labels
    np.testing.assert_allclose(kind().per_sample(x, y).numpy(), each.reshape(6, -1).mean(axis=1), 1e-5)
    np.testing.assert_allclose(kind()(x, y).item(), each.mean(), 1e-5)


def test_per_sample_has_a_gradient(device: str) -> None:
    x = numbers(device, 3, 2).requires_grad_()
    weights = nnkit.tensor([1.0, 0.0, 2.0], device=device)
    (nn.MSELoss().per_sample(x, numbers(device, 3, 2, seed=1)) * weights).sum().backward()
    gradient = x.grad.numpy()
    assert (gradient[1] == 0.0).all() and (gradient[[0, 2]] != 0.0).all()


# ---- names ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("mse", nn.MSELoss),
        ("mean_squared_error", nn.MSELoss),
        ("l1", nn.L1Loss),
        ("mae", nn.L1Loss),
        ("mean_absolute_error", nn.L1Loss),
        ("huber", nn.HuberLoss),
        ("smooth_l1", nn.SmoothL1Loss),
        ("cross_entropy", nn.CrossEntropyLoss),
        ("nll", nn.NLLLoss),
        ("bce", nn.BCELoss),
        ("binary_cross_entropy", nn.BCELoss),
        ("bce_with_logits", nn.BCEWithLogitsLoss),
        ("binary_cross_entropy_with_logits", nn.BCEWithLogitsLoss),
    ],
)
def test_names(name: str, kind: type[losses.Loss]) -> None:
    loss = losses.get(name)
    assert type(loss) is kind and loss.reduction == "mean"


def test_functions_and_modules_of_the_user_pass_through(device: str) -> None:
    def quartic(prediction: nnkit.Tensor, target: nnkit.Tensor) -> nnkit.Tensor:
        return ((prediction - target) ** 4).mean()

    class Cubic(nn.Module):
        def forward(self, prediction: nnkit.Tensor, target: nnkit.Tensor) -> nnkit.Tensor:
            return (prediction - target).abs().pow(3.0).sum()

    cubic = Cubic()
    x = nnkit.tensor([1.0, 3.0], device=device, requires_grad=True)
    y = nnkit.tensor([0.0, 1.0], device=device)
    assert losses.get(quartic) is quartic and losses.get(cubic) is cubic
    assert quartic(x, y).item() == 8.5 and cubic(x, y).item() == 9.0
    cubic(x, y).backward()
    assert x.grad.tolist() == [3.0, 12.0]


@pytest.mark.parametrize(
    ("loss", "error", "words"),
    [
        ("msee", UnknownNameError, "did you mean 'mse'"),
        ("crossentropy", UnknownNameError, "'cross_entropy'"),
        (["mse"], UnknownNameError, "unknown loss ['mse']"),
        (nn.MSELoss, TypeError, "write MSELoss()"),
    ],
)
def test_unknown_losses(loss: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as raised:
        losses.get(loss)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: nn.MSELoss(reduction="average"), UnknownNameError, "unknown reduction 'average'"),
        (lambda: nn.MSELoss(reduction="Mean"), UnknownNameError, "did you mean 'mean'"),
        (lambda: nn.MSELoss("sum"), TypeError, "write reduction='sum'"),
        (lambda: nn.CrossEntropyLoss(label_smoothing=1.5), ValueError, "label_smoothing must be from 0 to 1, got 1.5"),
        (lambda: nn.HuberLoss(delta=0.0), ValueError, "delta must be greater than 0, got 0.0"),
        (lambda: nn.SmoothL1Loss(beta=-1.0), ValueError, "beta must be at least 0, got -1.0"),
    ],
)
def test_bad_options(make: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error) as raised:
        make()
    assert words in str(raised.value)


# ---- shapes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ELEMENTWISE)
@pytest.mark.parametrize(
    ("prediction", "target", "hint"),
    [
        ((4, 1), (4,), "y.reshape(-1, 1)"),
        ((4,), (4, 1), "y.reshape(-1)"),
        ((2, 6), (3, 4), "expected shape (2, 6) like the prediction's, got (3, 4)"),
        ((4, 2), (4,), "expected shape (4, 2) like the prediction's, got (4,)"),
        ((4,), (), "expected shape (4,) like the prediction's, got ()"),
    ],
)
def test_shapes_must_be_equal(
    kind: type[losses.Loss], prediction: tuple[int, ...], target: tuple[int, ...], hint: str, device: str
) -> None:
    for learned in (False, True):
        y = numbers(device, *target).requires_grad_(learned)
        with pytest.raises(ShapeError) as raised:
            kind()(numbers(device, *prediction), y)
        assert hint in str(raised.value)


@pytest.mark.parametrize(
    ("kind", "slope"),
    [
        (nn.MSELoss, lambda x, t: 2 * (t - x)),
        (nn.L1Loss, lambda x, t: np.sign(t - x)),
        (nn.BCELoss, lambda x, t: np.log(1 - x) - np.log(x)),
        (nn.BCEWithLogitsLoss, lambda x, t: -x),
    ],
)
def test_gradients_reach_a_learned_target(kind: type[losses.Loss], slope: Callable[..., Any], device: str) -> None:
    x, t = numbers(device, 5).double(), numbers(device, 5, seed=1).double().requires_grad_()
    loss = kind(reduction="sum")
    assert loss(x, t).item() == pytest.approx(loss(x, t.detach()).item(), rel=1e-12)
    loss(x, t).backward()
    np.testing.assert_allclose(t.grad.numpy(), slope(x.numpy(), t.detach().numpy()), 1e-6)


@pytest.mark.parametrize(
    "loss", [nn.MSELoss(), nn.HuberLoss(), nn.SmoothL1Loss(), nn.SmoothL1Loss(beta=0.5), nn.BCEWithLogitsLoss()]
)
def test_the_gradient_of_a_prediction_that_is_nan_is_nan(loss: losses.Loss, device: str) -> None:
    x = nnkit.tensor([math.nan, 1.0], requires_grad=True)
    loss(x, nnkit.tensor([0.0, 1.0])).backward()
    assert np.isnan(x.grad.numpy()).tolist() == [True, False]


def test_binary_losses_of_infinite_logits(device: str) -> None:
    x = nnkit.tensor([math.inf, -math.inf, math.inf, -math.inf], requires_grad=True)
    found = nn.BCEWithLogitsLoss(reduction="none")(x, nnkit.tensor([0.0, 0.0, 1.0, 1.0]))
    found.sum().backward()
    assert found.tolist() == [math.inf, 0.0, 0.0, math.inf]
    assert x.grad.tolist() == [1.0, 0.0, 0.0, -1.0]


@pytest.mark.parametrize(
    ("scores", "labels", "words"),
    [
        ((4, 3), (4, 1), "labels must have shape (4,), got (4, 1): reshape labels with y.reshape(-1)"),
        ((4, 3), (5,), "labels must have shape (4,), got (5,): give one label for each row of scores"),
        ((4, 3), (4, 3), "one-hot labels must be floating point (y.float()), or class numbers (y.argmax(dim=1))"),
        ((4, 3, 2), (4,), "labels must have shape (4, 2), got (4,)"),
        ((), (), "must have shape (B, C), got a single number"),
    ],
)
@pytest.mark.parametrize("kind", BY_LABEL)
def test_labels_must_fit_the_scores(
    kind: type[losses.Loss], scores: tuple[int, ...], labels: tuple[int, ...], words: str, device: str
) -> None:
    with pytest.raises(ShapeError) as raised:
        kind()(numbers(device, *scores), nnkit.zeros(*labels, dtype=nnkit.int64, device=device))
    assert words in str(raised.value)


# ---- labels -------------------------------------------------------------------------------------------------------

BAD_LABELS: list[tuple[Any, dict[str, Any], list[str]]] = [
    ([0, 2, 5], {}, ["5", "index 2", "0 to 2"]),
    ([0, -1, 1], {}, ["-1", "index 1", "0 to 2"]),
    ([0, 3, -100], {}, ["3", "index 1", "0 to 2"]),
    ([0, -2, 1], {"weight": [1.0, 2.0, 3.0]}, ["-2", "index 1", "0 to 2"]),
    ([0, 1, 7], {"ignore_index": 0}, ["7", "index 2", "0 to 2"]),
    ([0.0, 1.0, 2.0], {}, ["float32", "0.0 at index 0", "0 to 2", "y.long()"]),
    ([0.0, 1.5, 2.0], {}, ["float32", "1.5 at index 1", "0 to 2"]),
]


@pytest.mark.parametrize(("labels", "options", "words"), BAD_LABELS)
@pytest.mark.parametrize("kind", BY_LABEL)
def test_bad_labels_are_named_with_their_place_and_range(
    kind: type[losses.Loss], labels: list[Any], options: dict[str, Any], words: list[str], device: str
) -> None:
    if "weight" in options:
        options = options | {"weight": nnkit.tensor(options["weight"], device=device)}
    with pytest.raises(LabelError) as raised:
        kind(**options)(numbers(device, 3, 3), nnkit.tensor(labels, device=device))
    for word in words:
        assert word in str(raised.value)


@pytest.mark.parametrize("labels", [["cat", "dog", "cat"], np.array(["cat", "dog", "cat"]), [0, 1, 2]])
def test_labels_that_are_no_tensor(labels: Any, device: str) -> None:
    with pytest.raises(LabelError, match=r"must be a Tensor of integers .* numpy.unique"):
        nn.CrossEntropyLoss()(numbers(device, 3, 3), labels)


def test_targets_that_are_no_tensor(device: str) -> None:
    with pytest.raises(DtypeError, match="target must be a Tensor, got list: use nnkit"):
        nn.MSELoss()(numbers(device, 2), [1.0, 2.0])


def test_errors_read_the_same_on_every_device(device: str) -> None:
    def message(where: str) -> str:
        with pytest.raises(LabelError) as raised:
            nn.CrossEntropyLoss()(numbers(where, 3, 3), nnkit.tensor([0, 9, 1], device=where))
        return str(raised.value)

    assert message(device) == message("numpy")


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool"])
def test_small_integer_and_boolean_labels_are_labels(dtype: str, device: str) -> None:
    x = numbers(device, 3, 2)
    labels = nnkit.tensor(np.array([0, 1, 1]), device=device)
    expected = nn.CrossEntropyLoss()(x, labels).item()
    assert nn.CrossEntropyLoss()(x, labels.to(np.dtype(dtype))).item() == expected


def test_the_class_weight_must_fit(device: str) -> None:
    loss = nn.CrossEntropyLoss(weight=nnkit.ones(2, device=device))
    with pytest.raises(ShapeError, match=r"one number for each of 3 classes, got shape \(2,\)"):
        loss(numbers(device, 4, 3), nnkit.zeros(4, dtype=nnkit.int64, device=device))


# ---- dtypes, fusing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ELEMENTWISE)
@pytest.mark.parametrize("dtype", ["float64", "int64", "bool"])
def test_the_target_takes_the_type_of_the_prediction(kind: type[losses.Loss], dtype: str, device: str) -> None:
    x = numbers(device, 3)
    ones = nnkit.ones(3, device=device)
    found = kind()(x, ones.to(np.dtype(dtype)))
    assert found.dtype == nnkit.float32 and found.item() == kind()(x, ones).item()


def test_weights_move_with_the_loss(device: str) -> None:
    weight = nnkit.tensor([2.0, 3.0], device="numpy")
    loss = nn.BCEWithLogitsLoss([1.0, 1.0], pos_weight=weight).to(device, nnkit.float64)
    assert list(loss.state_dict()) == ["weight", "pos_weight"]
    for moved in loss.buffers():
        assert str(moved.device) == device and moved.dtype == nnkit.float64
    assert weight.dtype == nnkit.float32 and str(weight.device) == "numpy"


@pytest.mark.parametrize(("options", "labels"), [({}, [0, 1]), ({"ignore_index": 5}, [0, 1]), ({}, [0, -100])])
def test_plain_labels_take_the_fused_op(
    options: dict[str, Any], labels: list[int], device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    original = nnkit.ops.cross_entropy
    monkeypatch.setattr(nnkit.ops, "cross_entropy", lambda *args, **kw: (seen.append(args), original(*args, **kw))[1])
    monkeypatch.setattr(nnkit.ops, "log_softmax", lambda *args: pytest.fail("not fused"))
    x, y = numbers(device, 2, 3), nnkit.tensor(labels, device=device)
    nn.CrossEntropyLoss(**options)(x, y)
    assert len(seen) == 1
