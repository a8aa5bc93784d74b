"""What PyTorch computes for ``nnkit.optim``, stored in ``optim_values.npz``.

Every case is run by one function for both libraries, whose names are the same, so the two cannot drift apart:
``trajectory(torch, ...)`` made the stored values, ``trajectory(nnkit, ...)`` must give them again.
Run it where PyTorch is installed: ``python tests/reference/make_torch_values_optim.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

VALUES = Path(__file__).with_name("optim_values.npz")
STEPS = 12
KEPT = (1, 2, 5, 12)  # the steps after which the parameters are stored
SHAPES = ((3, 5), (35,), (), (1, 2, 2))

OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {}),
    "sgd lr": ("SGD", {"lr": 0.1}),
    "sgd decay": ("SGD", {"lr": 0.1, "weight_decay": 0.2}),
    "sgd maximize": ("SGD", {"lr": 0.02, "weight_decay": 0.2, "maximize": True}),
    "sgd momentum": ("SGD", {"lr": 0.05, "momentum": 0.9}),
    "sgd momentum decay": ("SGD", {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.2}),
    "sgd dampening": ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3}),
    "sgd nesterov": ("SGD", {"lr": 0.05, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1}),
    "sgd momentum maximize": ("SGD", {"lr": 0.01, "momentum": 0.9, "maximize": True}),
    "adam": ("Adam", {}),
    "adam lr": ("Adam", {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-3}),
    "adam betas 0": ("Adam", {"lr": 0.01, "betas": (0.0, 0.0)}),
    "adam decay": ("Adam", {"lr": 0.05, "weight_decay": 0.3}),
    "adam amsgrad": ("Adam", {"lr": 0.1, "betas": (0.5, 0.6), "amsgrad": True}),
    "adam maximize": ("Adam", {"lr": 0.05, "maximize": True, "weight_decay": 0.1}),
    "adam decoupled": ("Adam", {"lr": 0.05, "weight_decay": 0.3, "decoupled_weight_decay": True}),
    "adamw": ("AdamW", {}),
    "adamw decay": ("AdamW", {"lr": 0.05, "weight_decay": 0.3}),
    "adamw amsgrad": ("AdamW", {"lr": 0.1, "betas": (0.5, 0.6), "amsgrad": True, "weight_decay": 0.1}),
    "adamw maximize": ("AdamW", {"lr": 0.05, "maximize": True, "weight_decay": 0.1}),
    "rmsprop": ("RMSprop", {}),
    "rmsprop decay": ("RMSprop", {"lr": 0.02, "alpha": 0.9, "eps": 1e-3, "weight_decay": 0.2}),
    "rmsprop momentum": ("RMSprop", {"lr": 0.01, "alpha": 0.9, "momentum": 0.7}),
    "rmsprop centered": ("RMSprop", {"lr": 0.01, "alpha": 0.9, "centered": True, "eps": 1e-2}),
    "rmsprop both": ("RMSprop", {"lr": 0.01, "alpha": 0.9, "centered": True, "momentum": 0.5, "eps": 1e-2}),
    "rmsprop maximize": ("RMSprop", {"lr": 0.01, "maximize": True}),
    "adadelta": ("Adadelta", {}),
    "adadelta all": ("Adadelta", {"lr": 0.5, "rho": 0.7, "eps": 1e-2, "weight_decay": 0.2, "maximize": True}),
    "adamax": ("Adamax", {}),
    "adamax all": ("Adamax", {"lr": 0.05, "betas": (0.8, 0.9), "eps": 1e-2, "weight_decay": 0.2, "maximize": True}),
    "nadam": ("NAdam", {}),
    "nadam all": ("NAdam", {"lr": 0.05, "betas": (0.8, 0.9), "eps": 1e-2, "weight_decay": 0.2, "momentum_decay": 0.1}),
    "nadam decoupled": ("NAdam", {"lr": 0.05, "weight_decay": 0.2, "decoupled_weight_decay": True, "maximize": True}),
    "radam": ("RAdam", {}),
    "radam all": ("RAdam", {"lr": 0.05, "betas": (0.8, 0.9), "eps": 1e-2, "weight_decay": 0.2}),
    "radam decoupled": ("RAdam", {"lr": 0.05, "weight_decay": 0.2, "decoupled_weight_decay": True, "maximize": True}),
    "rprop": ("Rprop", {}),
    "rprop all": ("Rprop", {"lr": 0.1, "etas": (0.3, 1.7), "step_sizes": (0.02, 0.15), "maximize": True}),
    "asgd": ("ASGD", {}),
    "asgd all": ("ASGD", {"lr": 0.1, "lambd": 0.05, "alpha": 0.5, "t0": 3.0, "weight_decay": 0.2, "maximize": True}),
    "adagrad": ("Adagrad", {}),
    "adagrad decay": ("Adagrad", {"lr": 0.3, "lr_decay": 0.1, "weight_decay": 0.2}),
    "adagrad initial": ("Adagrad", {"lr": 0.3, "initial_accumulator_value": 0.5, "eps": 1e-3}),
    "adagrad maximize": ("Adagrad", {"lr": 0.1, "maximize": True}),
}

#: The options of the second of two groups; the first group has its optimizer's "lr" case above.
SECOND_GROUPS: dict[str, dict[str, Any]] = {
    "sgd lr": {"lr": 0.01, "momentum": 0.9, "nesterov": True},
    "adam lr": {"lr": 0.02, "betas": (0.9, 0.99), "amsgrad": True},
    "rmsprop decay": {"lr": 0.005, "weight_decay": 0.0, "centered": True, "eps": 0.1},
}


def warm_up(step: int) -> float:
    """A rule for LambdaLR."""
    return min(1.0, (step + 1) / 6)


def decline(step: int) -> float:
    """Another one."""
    return 0.9**step


METRICS = (
    5.0,
    4.0,
    4.0,
    4.1,
    3.9,
    3.9,
    3.9,
    3.9,
    3.9,
    3.0,
    3.0,
    3.0,
    3.0,
    3.0,
    2.9999,
    3.0,
    3.0,
    9.0,
    9.0,
    9.0,
)

SCHEDULES: dict[str, tuple[str, dict[str, Any]]] = {
    "step": ("StepLR", {"step_size": 3}),
    "step gamma": ("StepLR", {"step_size": 4, "gamma": 0.7}),
    "multistep": ("MultiStepLR", {"milestones": [9, 2, 5], "gamma": 0.5}),
    "multistep repeated": ("MultiStepLR", {"milestones": [4, 4]}),
    "exponential": ("ExponentialLR", {"gamma": 0.9}),
    "constant": ("ConstantLR", {}),
    "constant factor": ("ConstantLR", {"factor": 0.25, "total_iters": 3}),
    "linear": ("LinearLR", {}),
    "linear down": ("LinearLR", {"start_factor": 1.0, "end_factor": 0.1, "total_iters": 8}),
    "polynomial": ("PolynomialLR", {}),
    "polynomial power": ("PolynomialLR", {"total_iters": 12, "power": 2.0}),
    "cosine": ("CosineAnnealingLR", {"T_max": 10}),
    "cosine eta_min": ("CosineAnnealingLR", {"T_max": 7, "eta_min": 0.01}),
    "multiplicative": ("MultiplicativeLR", {"lr_lambda": decline}),
    "constant for ever": ("ConstantLR", {"factor": 0.0, "total_iters": 99}),
    "linear to 0": ("LinearLR", {"start_factor": 1.0, "end_factor": 0.0, "total_iters": 8}),
    "one cycle no climb": ("OneCycleLR", {"max_lr": 0.5, "total_steps": 20, "pct_start": 0.0}),
    "one cycle all climb": ("OneCycleLR", {"max_lr": 0.5, "total_steps": 21, "pct_start": 1.0}),
    "lambda": ("LambdaLR", {"lr_lambda": warm_up}),
    "lambda each": ("LambdaLR", {"lr_lambda": [warm_up, decline]}),
    "one cycle": ("OneCycleLR", {"max_lr": 0.5, "total_steps": 20}),
    "one cycle linear": ("OneCycleLR", {
        "max_lr": [0.5, 0.2], "epochs": 4, "steps_per_epoch": 6, "pct_start": 0.4,
        "anneal_strategy": "linear",
    }),
    "one cycle three": ("OneCycleLR", {
        "max_lr": 0.5, "total_steps": 20, "three_phase": True, "div_factor": 5.0,
    }),
    "restarts": ("CosineAnnealingWarmRestarts", {"T_0": 4}),
    "restarts longer": ("CosineAnnealingWarmRestarts", {"T_0": 3, "T_mult": 2, "eta_min": 0.01}),
    "cyclic": ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.2, "step_size_up": 4}),
    "cyclic uneven": ("CyclicLR", {
        "base_lr": [0.01, 0.1], "max_lr": [0.2, 0.3], "step_size_up": 2, "step_size_down": 5, "mode": "triangular2",
    }),
    "cyclic decaying": ("CyclicLR", {
        "base_lr": 0.01, "max_lr": 0.2, "step_size_up": 3, "mode": "exp_range", "gamma": 0.9, "cycle_momentum": False,
    }),
    "cyclic scaled": ("CyclicLR", {
        "base_lr": 0.01, "max_lr": 0.2, "step_size_up": 3, "scale_fn": decline, "scale_mode": "iterations",
        "base_momentum": 0.5, "max_momentum": 0.7,
    }),
    "swa": ("SWALR", {"swa_lr": 0.02}),
    "swa linear": ("SWALR", {"swa_lr": [0.02, 0.5], "anneal_epochs": 4, "anneal_strategy": "linear"}),
    "swa at once": ("SWALR", {"swa_lr": 0.02, "anneal_epochs": 0}),
    "plateau": ("ReduceLROnPlateau", {"patience": 2}),
    "plateau all": ("ReduceLROnPlateau", {
        "factor": 0.5, "patience": 1, "cooldown": 2, "threshold": 0.05, "threshold_mode": "abs",
        "min_lr": 0.02,
    }),
    "plateau max": ("ReduceLROnPlateau", {
        "mode": "max", "patience": 1, "factor": 0.3, "min_lr": [0.01, 0.0],
    }),
    "plateau max abs": ("ReduceLROnPlateau", {
        "mode": "max", "patience": 1, "factor": 0.3, "threshold": 1.0, "threshold_mode": "abs",
    }),
}  # fmt: skip

#: Schedules that share one optimizer, as (class, options) in the order in which they are made and stepped.
TOGETHER: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "exponential and multistep": [SCHEDULES["exponential"], ("MultiStepLR", {"milestones": [2, 4]})],
    "step and step": [SCHEDULES["step"], SCHEDULES["step gamma"]],
    "exponential and plateau": [SCHEDULES["exponential"], SCHEDULES["plateau"]],
    "plateau and cosine": [SCHEDULES["plateau"], SCHEDULES["cosine"]],
    "warm-up and cosine": [("LinearLR", {"start_factor": 0.1}), SCHEDULES["cosine"]],
    "warm-up and cosine to eta_min": [("LinearLR", {"start_factor": 0.1}), SCHEDULES["cosine eta_min"]],
    "constant and polynomial": [SCHEDULES["constant factor"], SCHEDULES["polynomial power"]],
    "lambda and step": [SCHEDULES["lambda"], SCHEDULES["step"]],
    "one cycle and exponential": [SCHEDULES["one cycle"], SCHEDULES["exponential"]],
    "restarts and exponential": [SCHEDULES["restarts"], SCHEDULES["exponential"]],
    "multiplicative and linear": [SCHEDULES["multiplicative"], SCHEDULES["linear"]],
}

#: The same, one after another: schedules and the steps at which the next begins.
IN_SEQUENCE: dict[str, tuple[list[tuple[str, dict[str, Any]]], list[int]]] = {
    "warm-up, then cosine": ([("LinearLR", {"start_factor": 0.1}), SCHEDULES["cosine"]], [5]),
    "constant, then exponential": ([SCHEDULES["constant factor"], SCHEDULES["exponential"]], [3]),
    "warm-up, cosine, constant": ([SCHEDULES["linear"], SCHEDULES["cosine eta_min"], SCHEDULES["constant"]], [4, 11]),
    "lambda, then step": ([SCHEDULES["lambda"], SCHEDULES["step"]], [6]),
    "exponential, then multiplicative": ([SCHEDULES["exponential"], SCHEDULES["multiplicative"]], [5]),
    "exponential, then restarts": ([SCHEDULES["exponential"], SCHEDULES["restarts longer"]], [4]),
    "step, then one cycle": ([SCHEDULES["step"], ("OneCycleLR", {"max_lr": 0.5, "total_steps": 20})], [3]),
}

CLIPPINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "norm": ("clip_grad_norm_", {"max_norm": 1.0}),
    "norm large": ("clip_grad_norm_", {"max_norm": 1e4}),
    "norm 0": ("clip_grad_norm_", {"max_norm": 0.0}),
    "norm of order 1": ("clip_grad_norm_", {"max_norm": 2.0, "norm_type": 1}),
    "norm of order 3": ("clip_grad_norm_", {"max_norm": 2.0, "norm_type": 3.0}),
    "norm of order infinity": ("clip_grad_norm_", {"max_norm": 0.5, "norm_type": float("inf")}),
    "value": ("clip_grad_value_", {"clip_value": 0.7}),
}


def start(library: Any, dtype: str, **place: Any) -> tuple[list[Any], list[Any], list[Any]]:
    """Parameters, and for each the target and the curvature of its quadratic loss."""
    random = np.random.default_rng(7)
    kind = getattr(library, dtype)

    def draw(low: float, high: float) -> list[Any]:
        return [library.tensor(random.uniform(low, high, s).tolist(), dtype=kind, **place) for s in SHAPES]

    values, targets, curvatures = draw(-1, 1), draw(-2, 2), draw(0.2, 3)
    return [library.nn.Parameter(value) for value in values], targets, curvatures


def loss_of(parameters: list[Any], targets: list[Any], curvatures: list[Any]) -> Any:
    """A quadratic whose gradient changes along the way."""
    terms = [(c * (p - t) * (p - t)).sum() for p, t, c in zip(parameters, targets, curvatures, strict=True)]
    return sum(terms[1:], terms[0])


def flatten(tensors: list[Any]) -> np.ndarray:
    """All elements, one after another, as float64."""
    return np.concatenate([np.asarray(t.detach().tolist(), np.float64).reshape(-1) for t in tensors])


def trajectory(
    library: Any, name: str, dtype: str = "float64", second: dict[str, Any] | None = None, **place: Any
) -> np.ndarray:
    """All parameters after each of the steps KEPT: (4, elements). second: a group of the last two."""
    parameters, targets, curvatures = start(library, dtype, **place)
    kind, options = OPTIMIZERS[name]
    groups = parameters if second is None else [{"params": parameters[:2]}, {"params": parameters[2:], **second}]
    optimizer = getattr(library.optim, kind)(groups, **options)
    rows = []
    for step in range(1, STEPS + 1):
        optimizer.zero_grad()
        loss_of(parameters, targets, curvatures).backward()
        optimizer.step()
        if step in KEPT:
            rows.append(flatten(parameters))
    return np.stack(rows)


def valley(x: Any) -> Any:
    """Rosenbrock's valley: lowest, 0, at (1, 1)."""
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def lbfgs(library: Any, **options: Any) -> np.ndarray:
    """A place in the valley after each of eight steps of four iterations: (8, 2)."""
    x = library.tensor([-0.75, 0.5], dtype=library.float64, requires_grad=True)
    optimizer, rows = library.optim.LBFGS([x], max_iter=4, history_size=3, **options), []

    def closure() -> Any:
        optimizer.zero_grad()
        loss = valley(x)
        loss.backward()
        return loss

    for _ in range(8):
        optimizer.step(closure)
        rows.append(x.detach().numpy().copy())
    return np.stack(rows)


def two_groups(library: Any, **place: Any) -> Any:
    """An optimizer whose two groups have rates 0.1 and 0.25."""
    parameters, _, _ = start(library, "float64", **place)
    for parameter in parameters:
        (parameter * 0.0).sum().backward()
    groups = [{"params": parameters[:2]}, {"params": parameters[2:], "lr": 0.25}]
    return library.optim.SGD(groups, lr=0.1, momentum=0.5)


def made(library: Any, optimizer: Any, schedules: list[tuple[str, dict[str, Any]]]) -> list[Any]:
    """The schedules of an optimizer, in order."""
    return [getattr(home_of(library, kind), kind)(optimizer, **options) for kind, options in schedules]


def home_of(library: Any, kind: str) -> Any:
    """The module that has a schedule."""
    return library.optim.swa_utils if kind == "SWALR" else library.optim.lr_scheduler


def followed(optimizer: Any, schedulers: list[Any], by_hand: tuple[int, float] | None = None) -> np.ndarray:
    """Rate and momentum of each group, at the start and after each of 20 steps; by_hand: (step, rate of a group)."""
    rows = [[group[key] for group in optimizer.param_groups for key in ("lr", "momentum")]]
    for step, metric in enumerate(METRICS):
        optimizer.step()
        if by_hand is not None and step == by_hand[0]:
            optimizer.param_groups[1]["lr"] = by_hand[1]
        for scheduler in schedulers:
            scheduler.step(*([metric] if type(scheduler).__name__ == "ReduceLROnPlateau" else []))
        rows.append([group[key] for group in optimizer.param_groups for key in ("lr", "momentum")])
    return np.array(rows)


def rates(library: Any, name: str, by_hand: tuple[int, float] | None = None, **place: Any) -> np.ndarray:
    """What one schedule makes of two groups: (21, 4)."""
    optimizer = two_groups(library, **place)
    return followed(optimizer, made(library, optimizer, [SCHEDULES[name]]), by_hand)


def rates_together(library: Any, name: str, chained: bool = False) -> np.ndarray:
    """What several schedules make of two groups, stepped one by one or as one: (21, 4)."""
    optimizer = two_groups(library)
    schedulers = made(library, optimizer, TOGETHER[name])
    return followed(optimizer, [library.optim.lr_scheduler.ChainedScheduler(schedulers)] if chained else schedulers)


def rates_in_sequence(library: Any, name: str) -> np.ndarray:
    """What schedules make of two groups one after another: (21, 4)."""
    schedules, milestones = IN_SEQUENCE[name]
    optimizer = two_groups(library)
    schedulers = made(library, optimizer, schedules)
    return followed(optimizer, [library.optim.lr_scheduler.SequentialLR(optimizer, schedulers, milestones)])


#: Averages of a model: the name of a function of ``swa_utils``, where it goes, and the options of both.
AVERAGES: dict[str, tuple[str | None, str, list[float], dict[str, Any]]] = {
    "means": (None, "avg_fn", [], {}),
    "means of buffers": (None, "avg_fn", [], {"use_buffers": True}),
    "ema": ("get_ema_avg_fn", "avg_fn", [0.75], {}),
    "ema together": ("get_ema_multi_avg_fn", "multi_avg_fn", [0.75], {"use_buffers": True}),
}


def averaged(library: Any, name: str) -> np.ndarray:
    """The averages of parameters and buffers after each of four updates: (4, elements)."""
    make, argument, numbers, options = AVERAGES[name]
    if make is not None:
        options = options | {argument: getattr(library.optim.swa_utils, make)(*numbers)}
    random = np.random.default_rng(3)
    model = library.nn.Sequential(library.nn.Linear(2, 3), library.nn.BatchNorm1d(3)).to(library.float64)
    average, rows = library.optim.swa_utils.AveragedModel(model, **options), []
    for count in range(1, 5):
        with library.no_grad():
            for tensor in (*model.parameters(), *model.buffers()):
                values = (
                    random.uniform(0, 2, tuple(tensor.shape)) if tensor.is_floating_point() else np.array(5 * count)
                )
                tensor.copy_(library.tensor(values, dtype=tensor.dtype))
        average.update_parameters(model)
        rows.append(flatten([*average.module.parameters(), *average.module.buffers(), average.n_averaged]))
    return np.stack(rows)


def clipped(library: Any, utils: Any, name: str, dtype: str = "float64", **place: Any) -> np.ndarray:
    """The gradients after clipping, and the norm before (0 where none is returned)."""
    parameters, targets, curvatures = start(library, dtype, **place)
    loss_of(parameters, targets, curvatures).backward()
    function, options = CLIPPINGS[name]
    norm = getattr(utils, function)(parameters, **options)
    return np.append(flatten([p.grad for p in parameters]), 0.0 if norm is None else norm.item())


def compute(torch: Any) -> dict[str, np.ndarray]:
    """Everything that is stored."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # in which PyTorch keeps the numbers that some optimizers have beside lr
    values = {f"trajectory {name}": trajectory(torch, name) for name in OPTIMIZERS}
    torch.set_default_dtype(before)
    values |= {f"groups {name}": trajectory(torch, name, second=two) for name, two in SECOND_GROUPS.items()}
    values["lbfgs"] = lbfgs(torch, lr=0.1)
    values |= {f"rates {name}": rates(torch, name) for name in SCHEDULES}
    values |= {f"by hand {name}": rates(torch, name, (4, 0.03125)) for name in SCHEDULES}
    values |= {f"together {name}": rates_together(torch, name) for name in TOGETHER}
    values |= {f"in sequence {name}": rates_in_sequence(torch, name) for name in IN_SEQUENCE}
    values |= {f"averaged {name}": averaged(torch, name) for name in AVERAGES}
    return values | {f"clipped {name}": clipped(torch, torch.nn.utils, name) for name in CLIPPINGS}


if __name__ == "__main__":
    import torch
    import torch.optim.swa_utils

    np.savez_compressed(VALUES, **compute(torch))
