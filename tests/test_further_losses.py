"""Losses of pairs, margins, distributions, overlap and alignments: beyond PyTorch's values, and what is refused.

Values and gradients of those that PyTorch has are compared with its in ``test_torch_values_losses``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnkit
import nnkit.nn.functional as F
from nnkit import nn
from nnkit.errors import DtypeError, LabelError, ShapeError, UnknownNameError
from nnkit.nn import losses

ELEMENTWISE = [
    nn.KLDivLoss, nn.PoissonNLLLoss, nn.SoftMarginLoss, nn.HingeEmbeddingLoss, nn.QuantileLoss, nn.FocalLoss,
]  # fmt: skip


def numbers(device: str, *shape: int, seed: int = 0) -> nnkit.Tensor:
    return nnkit.tensor(np.random.default_rng(seed).uniform(0.1, 0.9, shape), nnkit.float64, device)


# ---- beyond PyTorch -----------------------------------------------------------------------------------------------

PREDICTIONS, TARGETS = np.array([[0.2, 0.9], [0.5, 0.4]]), np.array([[0.0, 1.0], [1.0, 1.0]])


def pinball(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    return np.where(t > p, 0.75 * (t - p), 0.25 * (p - t))


def focal(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    p = 1 / (1 + np.exp(-x))
    truth = np.where(t == 1.0, p, 1 - p)
    return -np.where(t == 1.0, 0.4, 0.6) * (1 - truth) ** 1.5 * np.log(truth)


def dice(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    return 1 - (2 * (p * t).sum(1) + 0.5) / (p.sum(1) + t.sum(1) + 0.5)


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        (nn.QuantileLoss, {"quantile": 0.75}, pinball),
        (nn.FocalLoss, {"alpha": 0.4, "gamma": 1.5}, focal),
        (nn.DiceLoss, {"smooth": 0.5}, dice),
    ],
)
def test_values_and_gradients_beyond_pytorch(
    kind: type[losses.Loss], options: dict[str, Any], expected: Callable[..., Any], device: str
) -> None:
    x = nnkit.tensor(PREDICTIONS, nnkit.float64, device, requires_grad=True)
    t = nnkit.tensor(TARGETS, nnkit.float64, device)
    each = expected(PREDICTIONS, TARGETS)
    for reduction, value in (("none", each), ("sum", each.sum()), ("mean", each.mean())):
        np.testing.assert_allclose(kind(**options, reduction=reduction)(x, t).detach().numpy(), value, 1e-12)
    kind(**options, reduction="sum")(x, t).backward()
    slopes = np.zeros_like(PREDICTIONS)
    for place in np.ndindex(PREDICTIONS.shape):
        step = np.zeros_like(PREDICTIONS)
        step[place] = 1e-6
        slopes[place] = (expected(PREDICTIONS + step, TARGETS) - expected(PREDICTIONS - step, TARGETS)).sum() / 2e-6
    np.testing.assert_allclose(x.grad.numpy(), slopes, 1e-6)


def test_focal_loss_without_focus_is_cross_entropy_of_any_logit(device: str) -> None:
    x = nnkit.tensor([-200.0, 200.0, 0.5], device=device, requires_grad=True)
    t = nnkit.tensor([1.0, 1.0, 0.0], device=device)
    found = F.sigmoid_focal_loss(x, t, alpha=-1.0, gamma=0.0, reduction="none")
    assert found.tolist() == pytest.approx(F.binary_cross_entropy_with_logits(x, t, reduction="none").tolist())
    F.sigmoid_focal_loss(x, t).backward()
    assert np.isfinite(x.grad.numpy()).all()


# ---- ctc ------------------------------------------------------------------------------------------------------------


def labelling(path: tuple[int, ...]) -> list[int]:
    """What an alignment says: repetitions once, then without blanks."""
    return [label for label, _ in itertools.groupby(path) if label != 0]


@pytest.mark.parametrize("labels", [[], [1], [2, 1], [1, 1], [2, 2, 1]])
def test_ctc_is_the_sum_over_all_alignments(labels: list[int], device: str) -> None:
    chances = np.random.default_rng(0).dirichlet(np.ones(3), 4)
    paths = [path for path in itertools.product(range(3), repeat=4) if labelling(path) == labels]
    total = sum(math.prod(chances[step, label] for step, label in enumerate(path)) for path in paths)
    x = nnkit.tensor(np.log(chances)[:, None], nnkit.float64, device)
    targets = nnkit.tensor(np.array([[*labels, 0]]), device=device)
    found = F.ctc_loss(x, targets, [4], [len(labels)], reduction="sum")
    assert found.item() == pytest.approx(-math.log(total), rel=1e-12)


def test_ctc_of_labels_that_do_not_fit(device: str) -> None:
    x = nnkit.zeros(2, 1, 3, device=device, requires_grad=True)
    twice = nnkit.tensor([[1, 1]], device=device)
    loss = F.ctc_loss(x, twice, [2], [2])
    loss.backward()
    assert loss.item() == math.inf and not x.grad.numpy().any()
    assert F.ctc_loss(x, twice, [2], [2], zero_infinity=True).item() == 0.0


# ---- training -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ELEMENTWISE)
@pytest.mark.parametrize("shape", [(6,), (6, 1), (1, 3), (0, 3), (2, 3, 4)])
def test_reductions_and_per_sample_agree(kind: type[losses.Loss], shape: tuple[int, ...], device: str) -> None:
    prediction, target = numbers(device, *shape), numbers(device, *shape, seed=1).round()
    each = kind(reduction="none")(prediction, target).numpy()
    assert each.shape == shape
    np.testing.assert_allclose(kind(reduction="sum")(prediction, target).item(), each.sum(), 1e-12)
    if each.size:
        np.testing.assert_allclose(kind()(prediction, target).item(), each.mean(), 1e-12)
        expected = each.reshape(shape[0], -1).mean(axis=1)
        np.testing.assert_allclose(kind().per_sample(prediction, target).numpy(), expected, 1e-12)


def test_the_divergence_of_a_sample_is_a_sum() -> None:
    x, t = numbers("numpy", 3, 4).log(), numbers("numpy", 3, 4, seed=1)
    loss = nn.KLDivLoss(reduction="batchmean")
    assert loss.per_sample(x, t).mean().item() == pytest.approx(loss(x, t).item(), rel=1e-12)


NAMES = {
    "kl_div": nn.KLDivLoss, "poisson_nll": nn.PoissonNLLLoss, "quantile": nn.QuantileLoss, "focal": nn.FocalLoss,
    "dice": nn.DiceLoss, "soft_margin": nn.SoftMarginLoss, "hinge_embedding": nn.HingeEmbeddingLoss,
    "multi_margin": nn.MultiMarginLoss, "multilabel_margin": nn.MultiLabelMarginLoss,
    "multilabel_soft_margin": nn.MultiLabelSoftMarginLoss,
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("weighted", [False, True])
def test_fit_by_name_with_and_without_sample_weights(name: str, weighted: bool, device: str) -> None:
    nnkit.manual_seed(0)
    assert type(losses.get(name)) is NAMES[name]
    x = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    y: Any = (x[:, :3] > 0).astype(np.float32)
    if name == "multi_margin":
        y = x[:, :3].argmax(axis=1)
    if name == "multilabel_margin":
        y = np.where(x[:, :3] > 0, [[0, 1, 2]], -1)
    if name in ("soft_margin", "hinge_embedding"):
        y = 2.0 * y - 1.0
    tail = {"kl_div": nn.LogSoftmax(1), "dice": nn.Sigmoid()}.get(name, nn.Identity())
    model = nn.Sequential(nn.Linear(4, 3), tail).to(device)
    weight = np.linspace(0.0, 2.0, 12, dtype=np.float32) if weighted else None
    learner = nnkit.optim.Adam(model.parameters(), lr=0.05)
    history = model.fit(x, y, loss=name, optimizer=learner, epochs=8, batch_size=4, sample_weight=weight, verbose=0)
    found = history.history["loss"]
    assert found[-1] < found[0]


# ---- types ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [nnkit.float16, nnkit.bfloat16])
def test_half_types_stay(dtype: Any) -> None:
    x, t = numbers("numpy", 4, 3).to(dtype), numbers("numpy", 4, 3, seed=1).round()
    for kind in (*ELEMENTWISE, nn.DiceLoss, nn.MultiLabelSoftMarginLoss):
        found = kind()(x, t)
        assert found.dtype == dtype and found.item() == pytest.approx(kind()(x.float(), t).item(), rel=0.03, abs=0.03)
    labels, text = (nnkit.tensor(row, device="numpy") for row in ([0, 1, 2, 0], [[1, 2]]))
    assert nn.MultiMarginLoss()(x, labels).dtype == nn.CosineSimilarity()(x, x).dtype == dtype
    frames = x.unsqueeze(1).log_softmax(2)
    found = F.ctc_loss(frames, text, [4], [2])
    expected = F.ctc_loss(frames.float(), text, [4], [2])
    assert found.dtype == dtype and found.item() == pytest.approx(expected.item(), rel=0.01)


def test_weights_move_with_the_loss(device: str) -> None:
    loss = nn.MultiMarginLoss(weight=[1.0, 2.0]).to(device, nnkit.float64)
    assert list(loss.state_dict()) == ["weight"] and loss.weight.dtype == nnkit.float64


# ---- what is refused ------------------------------------------------------------------------------------------------

X, T = numbers("numpy", 4, 3), numbers("numpy", 4, 3, seed=1)
FRAMES = X.unsqueeze(1).log_softmax(2)
TEXT = nnkit.tensor([[1, 2]], device="numpy")

REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: F.kl_div(X, T[:2]), ShapeError, r"kl_div: target: expected shape \(4, 3\)"),
    (lambda: F.soft_margin_loss(X, [1.0]), DtypeError, "target must be a Tensor, got list: use nnkit.as_tensor"),
    (lambda: F.poisson_nll_loss(X.long(), T), DtypeError, "poisson_nll_loss: input: expected a float tensor"),
    (lambda: F.kl_div(X, T, reduction="average"), UnknownNameError, "unknown reduction 'average'"),
    (lambda: nn.PoissonNLLLoss(reduction="batchmean"), UnknownNameError, "unknown reduction 'batchmean'"),
    (lambda: F.gaussian_nll_loss(X, T, X[:2]), ShapeError, r"var must have the shape of input, \(4, 3\)"),
    (lambda: F.gaussian_nll_loss(X, T, -1.0), ValueError, "var must be at least 0, got -1.0"),
    (lambda: nn.QuantileLoss(1.0), ValueError, "quantile must be greater than 0 and less than 1, got 1.0"),
    (lambda: nn.FocalLoss(gamma=-1.0), ValueError, "gamma must be at least 0, got -1.0"),
    (lambda: nn.FocalLoss(alpha=1.5), ValueError, "alpha must be at most 1, got 1.5"),
    (lambda: F.dice_loss(X, T, smooth=-1.0), ValueError, "smooth must be at least 0, got -1.0"),
    (lambda: F.margin_ranking_loss(X, T, T[0]), ShapeError, "input1, input2 and target must have one shape"),
    (lambda: F.cosine_embedding_loss(X, T, T), ShapeError, r"expected inputs \(B, D\) and a target \(B,\)"),
    (lambda: nn.TripletMarginLoss(margin=0.0), ValueError, "margin must be greater than 0, got 0.0"),
    (lambda: F.triplet_margin_loss(X, T, T[0]), ShapeError, "must have as many dimensions"),
    (lambda: nn.MultiMarginLoss(p=3), ValueError, "p must be 1 or 2, got 3"),
    (
        lambda: F.multi_margin_loss(X, nnkit.tensor([0, 1, 2, 3], device="numpy")),
        LabelError,
        "from 0 to 2, got 3 at index 3",
    ),
    (lambda: nn.MultiMarginLoss()(X, T[:, 0]), LabelError, "labels must be integers, got float64"),
    (
        lambda: F.multi_margin_loss(X, nnkit.tensor([0, 1], device="numpy")),
        ShapeError,
        r"expected labels of shape \(4,\), got \(2,\)",
    ),
    (lambda: F.multi_margin_loss(X, (T[:, 0] * 0.0).long(), weight=T[0, :1]), ShapeError, "for each of 3 classes"),
    (lambda: F.multilabel_margin_loss(X, (T * 0).long() - 2), LabelError, "got -2 at index 0"),
    (lambda: F.multilabel_margin_loss(X, TEXT), ShapeError, r"expected labels of shape \(4, 3\), got \(1, 2\)"),
    (lambda: F.ctc_loss(X[0], TEXT, [4], [2]), ShapeError, r"log_probs must have shape \(T, B, C\) or \(T, C\)"),
    (lambda: F.ctc_loss(FRAMES, TEXT, [5], [2]), ShapeError, "input_lengths must be from 0 to 4"),
    (lambda: F.ctc_loss(FRAMES, TEXT, [4], [3]), ShapeError, "target_lengths must be from 0 to 2"),
    (lambda: F.ctc_loss(FRAMES, TEXT, [4, 4], [2]), ShapeError, "input_lengths must be 1 integers"),
    (lambda: F.ctc_loss(FRAMES, TEXT + 1, [4], [2]), LabelError, "from 0 to 2, got 3"),
    (lambda: F.ctc_loss(FRAMES, TEXT * 1.0, [4], [2]), LabelError, "targets must be integers, got float32"),
    (lambda: F.ctc_loss(FRAMES, TEXT, [4], [2], blank=3), ValueError, "blank must be a class from 0 to 2, got 3"),
    (lambda: F.ctc_loss(FRAMES, TEXT[0], [4], [1]), ShapeError, "target_lengths sum to 1, and targets has 2 labels"),
    (lambda: F.glu(X), ShapeError, "an even size along dimension -1"),
    (lambda: F.prelu(X, nnkit.ones(2)), ShapeError, "expected 1 or 3 weights"),
    (lambda: nn.Softmax2d()(X), ShapeError, r"Softmax2d: expected \(B, C, H, W\)"),
    (lambda: nn.CELU(0.0), ValueError, "alpha must not be 0"),
    (lambda: nn.Softshrink(-1.0), ValueError, "lambd must be at least 0, got -1.0"),
    (lambda: nn.RReLU(0.5, 0.25), ValueError, "lower must be at most upper"),
    (lambda: F.gumbel_softmax(X, tau=0.0), ValueError, "tau must be greater than 0, got 0.0"),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_refused(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_the_old_arguments_for_the_reduction() -> None:
    with pytest.warns(UserWarning, match="write reduction='sum'"):
        found = F.soft_margin_loss(X, T, size_average=False)
    assert found.item() == F.soft_margin_loss(X, T, reduction="sum").item()


# ---- activations that draw ------------------------------------------------------------------------------------------


def test_random_slopes_lie_between_their_bounds(device: str) -> None:
    x = -nnkit.ones(200, device=device)
    x.requires_grad_()
    y = nn.RReLU(0.25, 0.5)(x)
    y.sum().backward()
    slopes = -y.detach().numpy()
    assert 0.25 <= slopes.min() < 0.3 and 0.45 < slopes.max() <= 0.5
    np.testing.assert_array_equal(x.grad.numpy(), slopes)
    assert nn.RReLU(0.25, 0.5).eval()(x).tolist() == [-0.375] * 200


def test_gumbel_samples_are_as_likely_as_their_class(device: str) -> None:
    nnkit.manual_seed(0)
    chances = nnkit.tensor([0.1, 0.6, 0.3], device=device)
    logits = chances.log().expand((4000, 3)).clone().requires_grad_()
    hard = F.gumbel_softmax(logits, hard=True)
    assert set(np.unique(hard.detach().numpy().round(6))) == {0.0, 1.0}
    np.testing.assert_allclose(hard.detach().mean(dim=0).numpy(), [0.1, 0.6, 0.3], atol=0.03)
    (hard * nnkit.tensor([1.0, 2.0, 3.0], device=device)).sum().backward()
    assert logits.grad.numpy().any()
