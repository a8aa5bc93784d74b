"""Learning-rate schedules: their rates equal PyTorch's, they reach the device, and they can be saved and resumed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from optim_helpers import stored
from reference import make_torch_values_optim as reference

import nnkit
from nnkit.errors import ModelFileError
from nnkit.nn import Parameter
from nnkit.optim import SGD, Adagrad, lr_scheduler, swa_utils

TOLERANCE = 1e-12


def optimizer(lr: float = 0.5) -> SGD:
    return SGD([Parameter(nnkit.ones(2))], lr=lr)


def rates(scheduler: Any, steps: int) -> list[float]:
    """The rate at present and after each of the steps."""
    found = [scheduler.get_last_lr()[0]]
    for _ in range(steps):
        scheduler.step()
        found.append(scheduler.get_last_lr()[0])
    return found


@pytest.mark.parametrize("name", reference.SCHEDULES)
def test_rates_and_momenta_are_pytorchs(device: str, name: str) -> None:
    np.testing.assert_allclose(reference.rates(nnkit, name), stored()[f"rates {name}"], TOLERANCE, TOLERANCE)


@pytest.mark.parametrize("name", reference.SCHEDULES)
def test_a_rate_set_by_hand_counts_as_in_pytorch(name: str) -> None:
    found = reference.rates(nnkit, name, (4, 0.03125))
    np.testing.assert_allclose(found, stored()[f"by hand {name}"], TOLERANCE, TOLERANCE)


@pytest.mark.parametrize("name", reference.AVERAGES)
def test_averages_of_a_model_are_pytorchs(device: str, name: str) -> None:
    np.testing.assert_allclose(reference.averaged(nnkit, name), stored()[f"averaged {name}"], TOLERANCE, TOLERANCE)


def test_means_of_lists_are_means(monkeypatch: pytest.MonkeyPatch) -> None:
    found = reference.averaged(nnkit, "means")
    monkeypatch.setitem(reference.AVERAGES, "means", ("get_swa_multi_avg_fn", "multi_avg_fn", [], {}))
    np.testing.assert_array_equal(reference.averaged(nnkit, "means"), found)


@pytest.mark.parametrize("name", reference.TOGETHER)
def test_schedules_of_one_optimizer_multiply_as_in_pytorch(name: str) -> None:
    expected = stored()[f"together {name}"]
    np.testing.assert_allclose(reference.rates_together(nnkit, name), expected, TOLERANCE, TOLERANCE)
    if "plateau" not in name:
        np.testing.assert_array_equal(
            reference.rates_together(nnkit, name, chained=True), reference.rates_together(nnkit, name)
        )


@pytest.mark.parametrize("name", reference.IN_SEQUENCE)
def test_schedules_in_sequence_are_pytorchs(name: str) -> None:
    found = reference.rates_in_sequence(nnkit, name)
    np.testing.assert_allclose(found, stored()[f"in sequence {name}"], TOLERANCE, TOLERANCE)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda o: lr_scheduler.ConstantLR(o, factor=0.0, total_iters=2), [0.0, 0.0, 0.5, 0.5]),
        (lambda o: lr_scheduler.InverseTimeLR(o, decay=1.0), [0.5, 0.25, 0.5 / 3, 0.125]),
        (lambda o: lr_scheduler.InverseTimeLR(o, decay=0.0), [0.5, 0.5, 0.5, 0.5]),
        (lambda o: lr_scheduler.LambdaLR(o, lambda step: step), [0.0, 0.5, 1.0, 1.5]),
        (
            lambda o: lr_scheduler.OneCycleLR(
                o, 0.5, 10, pct_start=0.1, anneal_strategy="linear", div_factor=1.0, final_div_factor=10.0
            ),
            [0.5, 0.45, 0.4, 0.35],
        ),
    ],
)
def test_rates_of_the_others(make: Any, expected: list[float]) -> None:
    assert rates(make(optimizer()), 3) == pytest.approx(expected, rel=TOLERANCE)


def test_the_rate_reaches_the_next_update(device: str) -> None:
    learner = optimizer(lr=1.0)
    (p,) = learner.param_groups[0]["params"]
    scheduler = lr_scheduler.ExponentialLR(learner, gamma=0.5)
    seen = []
    for _ in range(3):
        learner.zero_grad()
        p.sum().backward()
        learner.step()
        scheduler.step()
        seen.append(p.tolist()[0])
    assert seen == [0.0, -0.5, -0.75]


MAKERS: list[Callable[[Any], Any]] = [
    lambda o: lr_scheduler.StepLR(o, 2),
    lambda o: lr_scheduler.MultiStepLR(o, [2, 5]),
    lambda o: lr_scheduler.ExponentialLR(o, 0.9),
    lambda o: lr_scheduler.ConstantLR(o, 0.25, 6),
    lambda o: lr_scheduler.ConstantLR(o, 0.25, 0),
    lambda o: lr_scheduler.LinearLR(o, 0.25, 1.0, 9),
    lambda o: lr_scheduler.PolynomialLR(o, 12, 2.0),
    lambda o: lr_scheduler.CosineAnnealingLR(o, 7),
    lambda o: lr_scheduler.LambdaLR(o, lambda step: 0.9**step),
    lambda o: lr_scheduler.InverseTimeLR(o, 0.1),
    lambda o: lr_scheduler.OneCycleLR(o, 0.5, total_steps=12),
    lambda o: lr_scheduler.MultiplicativeLR(o, lambda step: 0.9),
    lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 2, 2, 0.01),
    lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.5, 3, 2, "triangular2"),
    lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.5, 3, scale_fn=lambda cycle: 1.0 / cycle, cycle_momentum=False),
    lambda o: swa_utils.SWALR(o, 0.125, 4),
    lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.LinearLR(o), lr_scheduler.CosineAnnealingLR(o, 9)], [3]),
    lambda o: lr_scheduler.ChainedScheduler([lr_scheduler.LinearLR(o), lr_scheduler.StepLR(o, 3)]),
    lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.SequentialLR(o, [lr_scheduler.LinearLR(o), lr_scheduler.CosineAnnealingLR(o, 9)], [3])]
    ),
]


@pytest.mark.parametrize("saved", [0, 2, 4], ids="saved at step {}".format)
@pytest.mark.parametrize("make", MAKERS)
def test_a_saved_schedule_goes_on(make: Callable[[Any], Any], saved: int) -> None:
    whole = rates(make(optimizer()), 9)
    first = make(optimizer())
    rates(first, saved)
    second = make(optimizer())
    second.load_state_dict(first.state_dict())
    assert second.optimizer.param_groups[0]["lr"] == whole[saved]
    assert rates(second, 9 - saved) == whole[saved:]


def test_two_saved_schedules_go_on_in_either_order() -> None:
    def make() -> tuple[Any, list[Any]]:
        learner = optimizer()
        return learner, [lr_scheduler.ExponentialLR(learner, 0.5), lr_scheduler.StepLR(learner, 2)]

    first, schedulers = make()
    for _ in range(3):
        for scheduler in schedulers:
            scheduler.step()
    for order in ([0, 1], [1, 0]):
        second, others = make()
        for number in order:
            others[number].load_state_dict(schedulers[number].state_dict())
        assert second.param_groups[0]["lr"] == first.param_groups[0]["lr"]


@pytest.mark.parametrize("make", MAKERS)
def test_a_group_that_is_added_later_joins_in(make: Callable[[Any], Any]) -> None:
    learner = optimizer()
    scheduler = make(learner)
    alone = rates(make(optimizer()), 4)
    rates(scheduler, 2)
    learner.add_param_group({"params": [Parameter(nnkit.ones(2))], "lr": 0.25})
    rates(scheduler, 2)
    first, added = scheduler.get_last_lr()
    assert first == alone[4]
    assert added > 0.0


def test_a_new_schedule_starts_from_the_rate_that_was_set_by_hand() -> None:
    learner = optimizer()
    lr_scheduler.StepLR(learner, 2)
    learner.param_groups[0]["lr"] = 0.01
    assert lr_scheduler.StepLR(learner, 2).get_last_lr() == [0.01]
    assert learner.param_groups[0]["initial_lr"] == 0.5


def test_a_saved_plateau_goes_on() -> None:
    def make() -> Any:
        return lr_scheduler.ReduceLROnPlateau(optimizer(), factor=0.5, patience=1, cooldown=1)

    losses = [3.0, 2.0, 2.0, 2.0, 2.0, nnkit.tensor(2.0), 2.0, 1.0, 1.0, 1.0]
    whole, first, second = make(), make(), make()
    seen = []
    for loss in losses:
        whole.step(loss)
        seen.append(whole.get_last_lr())
    for loss in losses[:5]:
        first.step(loss)
    second.load_state_dict(first.state_dict())
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    resumed = []
    for loss in losses[5:]:
        second.step(loss)
        resumed.append(second.get_last_lr())
    assert resumed == seen[5:]
    assert seen[-1] == [0.0625]


def test_resuming_by_last_epoch_needs_the_optimizers_state() -> None:
    first = optimizer()
    scheduler = lr_scheduler.StepLR(first, 2)
    rates(scheduler, 3)
    second = optimizer(lr=9.0)
    with pytest.raises(KeyError, match="group 0 has no 'initial_lr'"):
        lr_scheduler.StepLR(second, 2, last_epoch=3)
    second.load_state_dict(first.state_dict())
    resumed = lr_scheduler.StepLR(second, 2, last_epoch=3)
    scheduler.step()
    assert resumed.get_last_lr() == scheduler.get_last_lr() == [pytest.approx(0.005)]


def test_a_state_of_another_schedule_is_refused() -> None:
    scheduler = lr_scheduler.StepLR(optimizer(), 2)
    state = lr_scheduler.ExponentialLR(optimizer(), 0.5).state_dict()
    with pytest.raises(
        ModelFileError, match=r"does not fit StepLR; nothing was loaded\. 1 mismatch:\n  'step_size' is missing"
    ):
        scheduler.load_state_dict(state)
    assert scheduler.gamma == 0.1


def one_cycle(**options: Any) -> Any:
    return lr_scheduler.OneCycleLR(optimizer(), 0.5, **options)


def falling_below(eta_min: float) -> Any:
    """A cosine, which comes back from eta_min, of a rate that another schedule lowers all the time."""
    learner = optimizer()
    return lr_scheduler.ChainedScheduler(
        [lr_scheduler.ExponentialLR(learner, 0.5), lr_scheduler.CosineAnnealingLR(learner, 4, eta_min)]
    )


REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: lr_scheduler.StepLR(None, 2), TypeError, "optimizer must be an nnkit.optim.Optimizer, got NoneType"),
    (lambda: lr_scheduler.ReduceLROnPlateau(3), TypeError, "optimizer must be an nnkit.optim.Optimizer, got int"),
    (lambda: lr_scheduler.StepLR(optimizer(), 0), ValueError, "step_size must be a whole number greater than 0"),
    (lambda: lr_scheduler.CosineAnnealingLR(optimizer(), 0), ValueError, "T_max must be a whole number"),
    (lambda: lr_scheduler.ConstantLR(optimizer(), 2.0), ValueError, "factor must be from 0 to 1, got 2.0"),
    (lambda: lr_scheduler.ConstantLR(optimizer(), total_iters=-1), ValueError, "total_iters must be a whole number"),
    (
        lambda: rates(lr_scheduler.LambdaLR(optimizer(), lambda step: 1.0 - step), 2),
        ValueError,
        "LambdaLR: step 2 would set the rate of group 0 to -0.5, and lr must be at least 0$",
    ),
    (
        lambda: rates(falling_below(eta_min=0.1), 9),
        ValueError,
        "CosineAnnealingLR: step . would set the rate of group 0 to -.*set below eta_min=0.1, .*pass eta_min=0",
    ),
    (lambda: lr_scheduler.LinearLR(optimizer(), 0.0), ValueError, "start_factor must be greater than 0"),
    (lambda: lr_scheduler.LinearLR(optimizer(), 0.5, 2.0), ValueError, "end_factor must be from 0 to 1, got 2.0"),
    (lambda: lr_scheduler.InverseTimeLR(optimizer(), -1.0), ValueError, "decay must be at least 0, got -1.0"),
    (lambda: lr_scheduler.LambdaLR(optimizer(), [abs, abs]), ValueError, "2 functions for 1 parameter groups"),
    (lambda: lr_scheduler.ChainedScheduler([]), ValueError, "schedulers is empty"),
    (lambda: lr_scheduler.SequentialLR(optimizer(), [abs], []), TypeError, r"schedulers\[0\] must be a schedule"),
    (
        lambda: lr_scheduler.SequentialLR(optimizer(), [lr_scheduler.StepLR(optimizer(), 2)], []),
        ValueError,
        r"schedulers\[0\] belongs to another optimizer",
    ),
    (
        lambda: lr_scheduler.ChainedScheduler([lr_scheduler.ReduceLROnPlateau(optimizer())]),
        ValueError,
        r"schedulers\[0\] is a ReduceLROnPlateau, whose step needs a metric",
    ),
    (
        lambda: lr_scheduler.SequentialLR(o := optimizer(), [lr_scheduler.StepLR(o, 2)], [3]),
        ValueError,
        "milestones must be 0 steps for 1 schedulers, got 1",
    ),
    (lambda: lr_scheduler.ReduceLROnPlateau(optimizer(), "least"), ValueError, "mode must be 'min' or 'max'"),
    (lambda: lr_scheduler.ReduceLROnPlateau(optimizer(), factor=1.0), ValueError, "factor must be less than 1"),
    (lambda: lr_scheduler.ReduceLROnPlateau(optimizer(), threshold_mode="x"), ValueError, "must be 'rel' or 'abs'"),
    (lambda: lr_scheduler.ReduceLROnPlateau(optimizer(), min_lr=[0, 0]), ValueError, "2 values for 1 parameter"),
    (lambda: one_cycle(), ValueError, "give total_steps, or epochs and steps_per_epoch"),
    (lambda: one_cycle(total_steps=0), ValueError, "total_steps must be a whole number greater than 0, got 0"),
    (lambda: one_cycle(total_steps=9, pct_start=2.0), ValueError, "pct_start must be from 0 to 1, got 2.0"),
    (lambda: one_cycle(total_steps=9, anneal_strategy="x"), ValueError, "must be 'cos' or 'linear', got 'x'"),
    (lambda: rates(one_cycle(total_steps=3), 4), ValueError, "step 4 is beyond the cycle's total_steps=3"),
    (
        lambda: lr_scheduler.OneCycleLR(Adagrad([Parameter(nnkit.ones(2))]), 0.5, 9),
        ValueError,
        "Adagrad has neither momentum nor betas; pass cycle_momentum=False",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_refused(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


READS: dict[str, Callable[[Any, Any], float]] = {
    "group": lambda o, s: o.param_groups[0]["lr"],
    "get": lambda o, s: o.param_groups[0].get("lr"),
    "items": lambda o, s: dict(o.param_groups[0])["lr"],
    "get_last_lr": lambda o, s: s.get_last_lr()[0],
    "own key": lambda o, s: o.param_groups[0]["own"],
    "defaults": lambda o, s: o.defaults["lr"],
}


@pytest.mark.parametrize("read", READS)
def test_a_rate_that_a_recorded_step_reads_is_the_present_one(device: str, read: str) -> None:
    def run(compiled: bool) -> list[float]:
        learner = optimizer()
        (p,) = learner.param_groups[0]["params"]
        learner.param_groups[0]["own"] = 1.0
        scheduler = lr_scheduler.ExponentialLR(learner, 0.5)

        def step() -> None:
            learner.zero_grad()
            (p * p).sum().backward()
            with nnkit.no_grad():
                p.sub_(p.grad * READS[read](learner, scheduler) * 0.1)

        call = nnkit.compile(step) if compiled else step
        for number in range(8):
            call()
            if number % 3 == 2:
                scheduler.step()
                learner.param_groups[0]["own"] *= 0.5
                learner.defaults["lr"] *= 0.5
        return p.tolist()

    assert run(True) == run(False)
