"""Averages of weights: recorded updates, statistics made anew, what is refused. Values: ``test_schedules``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from captured import Training, batch, replays, values

import nnkit
from nnkit import nn, optim
from nnkit.optim import swa_utils
from nnkit.recording.compiled import Recorded

pytest.mark.usefixtures(replays.__name__)


def normalized() -> nn.Sequential:
    return nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_buffers": True},
        {"avg_fn": swa_utils.get_ema_avg_fn(0.9)},
        {"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.9), "use_buffers": True},
        {"multi_avg_fn": swa_utils.get_swa_multi_avg_fn()},
    ],
    ids=["simple", "with buffers", "exponential", "exponential, all at once, with buffers", "all at once"],
)
def test_a_recorded_step_may_update_averages(options: dict[str, Any], device: str, replays: list[Recorded]) -> None:
    left = []
    for compiled in (False, True):
        training = Training(False, model=normalized)
        averaged = swa_utils.AveragedModel(training.model, **options)

        def step(x: Any, y: Any, training: Training = training, averaged: Any = averaged) -> nnkit.Tensor:
            loss = training.plain_step(x, y)["loss"]
            averaged.update_parameters(training.model)
            return loss

        run = nnkit.compile(step) if compiled else step
        losses = [values(run(*batch(number, "labels"))) for number in range(6)]
        left.append([losses, training.left(), [values(t) for t in averaged.state_dict().values()]])
    assert left[0] == left[1] and len(replays) >= 3
    assert averaged.n_averaged.item() == 6


def test_an_average_is_a_model_of_its_own(device: str) -> None:
    model = normalized().to(device)
    averaged = swa_utils.AveragedModel(model)
    averaged.update_parameters(model)
    x = batch(0, "labels")[0].to(device)
    assert averaged.eval()(x).tolist() == model.eval()(x).tolist()
    again = swa_utils.AveragedModel(normalized().to(device))
    again.load_state_dict(averaged.state_dict())
    assert again.n_averaged.item() == 1 and again.eval()(x).tolist() == averaged(x).tolist()
    before = averaged.module[0].weight.tolist()
    nn.init.zeros_(model[0].weight)
    assert averaged.module[0].weight.tolist() == before


@pytest.mark.parametrize("momentum", [0.1, None])
def test_statistics_of_normalizations_are_those_of_all_batches(momentum: float | None, device: str) -> None:
    layer = nn.BatchNorm1d(5, momentum=momentum)
    model = nn.Sequential(layer, nn.Linear(5, 2)).to(device).eval()
    batches = [batch(number, "labels")[0].to(device) for number in range(3)]
    swa_utils.update_bn([(x, None) for x in batches], model)
    expected = np.mean([x.numpy().mean(axis=0) for x in batches], axis=0)
    np.testing.assert_allclose(layer.running_mean.numpy(), expected, 1e-5, 1e-6)
    assert layer.momentum == momentum and not model.training and layer.num_batches_tracked.item() == 3
    swa_utils.update_bn(iter([]), nn.Linear(1, 1))  # which has none


def learner() -> optim.Optimizer:
    return optim.SGD([nn.Parameter(nnkit.zeros(1))], lr=0.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: swa_utils.get_ema_avg_fn(1.5), "decay must be from 0 to 1, got 1.5"),
        (
            lambda: swa_utils.AveragedModel(
                nn.Identity(), avg_fn=swa_utils.get_swa_avg_fn(), multi_avg_fn=swa_utils.get_swa_multi_avg_fn()
            ),
            "give avg_fn or multi_avg_fn, not both",
        ),
        (lambda: swa_utils.AveragedModel(normalized()).update_parameters(nn.Linear(5, 6)), "argument 2 is shorter"),
        (lambda: swa_utils.SWALR(learner(), 0.1, anneal_strategy="cosine"), "must be 'cos' or 'linear', got 'cosine'"),
        (lambda: swa_utils.SWALR(learner(), 0.1, anneal_epochs=-1), "anneal_epochs must be a whole number"),
        (lambda: swa_utils.SWALR(learner(), [0.1, 0.2]), "swa_lr: 2 values for 1 parameter groups"),
        (lambda: optim.lr_scheduler.CyclicLR(learner(), 0.1, 0.2, mode="saw"), "mode must be 'triangular'"),
        (lambda: optim.lr_scheduler.CyclicLR(learner(), [0.1, 0.3], 0.2), "base_lr: 2 values for 1 parameter groups"),
        (lambda: optim.lr_scheduler.CosineAnnealingWarmRestarts(learner(), 0), "T_0 must be a whole number greater"),
        (
            lambda: optim.lr_scheduler.CosineAnnealingWarmRestarts(learner(), 2).step(-1),
            "epoch must be at least 0, got -1",
        ),
    ],
)
def test_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_a_schedule_goes_to_a_place_between_steps() -> None:
    scheduler = optim.lr_scheduler.CosineAnnealingWarmRestarts(learner(), 4, 2)
    found = []
    for place in (1.0, 3.0, 5.0, 8.0, 12.0):
        scheduler.step(place)
        found.append((scheduler.T_cur, scheduler.T_i, scheduler.get_last_lr()[0]))
    lengths = [(1.0, 4), (3.0, 4), (1.0, 8), (4.0, 8), (0.0, 16)]
    expected = [(cur, i, 0.25 * (1 + np.cos(np.pi * cur / i))) for cur, i in lengths]
    assert found == [pytest.approx(row) for row in expected]
