"""Families of random cases: a case is a function of the library (nnkit or torch), and gives lists of numbers.

Each draws all it needs from the ``random.Random`` that it is given, so a seed and a number make one case again.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable
from typing import Any

Case = Callable[[Any], list[Any]]


def shape(draw: random.Random, least: int = 1) -> list[int]:
    return [draw.randint(1, 4) for _ in range(draw.randint(least, 3))]


def values(draw: random.Random, sizes: list[int]) -> Any:
    """Nested lists of numbers: ordinary ones, and now and then 0, ties and large ones."""
    if not sizes:
        return draw.choice([draw.gauss(0.0, 1.5), draw.gauss(0.0, 1.5), 0.0, 1.0, -1.0, 30.0])
    return [values(draw, sizes[1:]) for _ in range(sizes[0])]


def outcome(result: Any, *leaves: Any) -> list[Any]:
    """A result, and the gradients of the sum of its sines."""
    total = result.sin().sum()
    if total.requires_grad:
        total.backward()
    return [result.detach().tolist(), *(None if leaf.grad is None else leaf.grad.tolist() for leaf in leaves)]


# ---- ops ------------------------------------------------------------------------------------------------------------

UNARY = """abs exp sin cos tanh sigmoid relu square neg erf expm1 floor sign""".split()
POSITIVE = ["log", "sqrt", "log1p", "reciprocal"]
BINARY = ["add", "sub", "mul", "div", "maximum", "minimum"]
REDUCING = ["sum", "mean", "amax", "amin", "prod", "var", "std", "logsumexp", "softmax", "log_softmax"]


def of_op(draw: random.Random) -> Case:
    sizes = shape(draw)
    data, kind = values(draw, sizes), draw.choice(["unary", "positive", "binary", "reduce", "clamp", "where", "matmul"])
    if kind in ("unary", "positive"):
        name = draw.choice(UNARY if kind == "unary" else POSITIVE)

        def run(lib: Any) -> list[Any]:
            x = lib.tensor(data, dtype=lib.float64, requires_grad=True)
            return outcome(getattr(lib, name)(x * x + 0.5 if kind == "positive" else x), x)

    elif kind == "binary":
        name, other = (
            draw.choice(BINARY),
            values(draw, [draw.choice([1, size]) for size in sizes[draw.randint(0, 1) :]]),
        )

        def run(lib: Any) -> list[Any]:
            x, y = (lib.tensor(v, dtype=lib.float64, requires_grad=True) for v in (data, other))
            return outcome(getattr(lib, name)(x, y * y + 0.25 if name == "div" else y), x, y)

    elif kind == "reduce":
        name, dim = draw.choice(REDUCING), draw.randrange(-len(sizes), len(sizes))
        keep = draw.random() < 0.5
        options = {} if "softmax" in name else {"keepdim": keep}

        def run(lib: Any) -> list[Any]:
            x = lib.tensor(data, dtype=lib.float64, requires_grad=True)
            if name in ("var", "std") and x.shape[dim] == 1:
                return []
            return outcome(getattr(lib, name)(x, dim=dim, **options), x)

    elif kind == "clamp":
        low, high = sorted((draw.gauss(0, 1), draw.choice([0.0, 1.0, draw.gauss(0, 1)])))

        def run(lib: Any) -> list[Any]:
            x = lib.tensor(data, dtype=lib.float64, requires_grad=True)
            return outcome(lib.clamp(x, low, high), x)

    elif kind == "where":
        other = values(draw, sizes)

        def run(lib: Any) -> list[Any]:
            x, y = (lib.tensor(v, dtype=lib.float64, requires_grad=True) for v in (data, other))
            return outcome(lib.where(x > y, x * y, y - x), x, y)

    else:
        inner, right = draw.randint(1, 4), draw.randint(1, 4)
        left, other = values(draw, [*sizes, inner]), values(draw, [inner, right])

        def run(lib: Any) -> list[Any]:
            x, y = (lib.tensor(v, dtype=lib.float64, requires_grad=True) for v in (left, other))
            return outcome(lib.matmul(x, y) * 0.1, x, y)

    return run


def of_index(draw: random.Random) -> Case:
    sizes = shape(draw, 2)
    data = values(draw, sizes)
    index: list[Any] = []
    for size in sizes[: draw.randint(1, len(sizes))]:
        kind = draw.choice(["number", "slice", "list", "whole"])
        if kind == "number":
            index.append(draw.randrange(-size, size))
        elif kind == "slice":
            index.append(slice(draw.randint(0, size), None, draw.randint(1, 2)))
        elif kind == "list" and not any(isinstance(i, list) for i in index):
            index.append([draw.randrange(size) for _ in range(draw.randint(1, 3))])
        else:
            index.append(slice(None))
    place, scale = tuple(index), draw.choice([None, 2.0])

    def run(lib: Any) -> list[Any]:
        x = lib.tensor(data, dtype=lib.float64, requires_grad=True)
        y = x * 1.5
        if scale is not None:
            y[place] = scale
        return outcome(y if scale is not None else y[place], x)

    return run


# ---- losses ---------------------------------------------------------------------------------------------------------

ELEMENTWISE = ["MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss"]


def of_loss(draw: random.Random) -> Case:
    rows, classes = draw.randint(1, 5), draw.randint(2, 4)
    logits, reduction = values(draw, [rows, classes]), draw.choice(["mean", "sum", "none"])
    kind = draw.choice(["elementwise", "labels", "labels", "binary"])
    if kind == "elementwise":
        name, target = draw.choice(ELEMENTWISE), values(draw, [rows, classes])

        def run(lib: Any) -> list[Any]:
            x = lib.tensor(logits, dtype=lib.float64, requires_grad=True)
            loss = getattr(lib.nn, name)(reduction=reduction)
            return outcome(loss(x, lib.tensor(target, dtype=lib.float64)), x)

    elif kind == "labels":
        labels = [draw.choice([-100, *range(classes)] if draw.random() < 0.3 else range(classes)) for _ in range(rows)]
        labels[0] = abs(labels[0]) % classes
        weight = [draw.uniform(0.1, 3.0) for _ in range(classes)] if draw.random() < 0.5 else None
        smoothing = draw.choice([0.0, 0.0, 0.1])

        def run(lib: Any) -> list[Any]:
            x = lib.tensor(logits, dtype=lib.float64, requires_grad=True)
            own = None if weight is None else lib.tensor(weight, dtype=lib.float64)
            loss = lib.nn.CrossEntropyLoss(weight=own, reduction=reduction, label_smoothing=smoothing)
            return outcome(loss(x, lib.tensor(labels)), x)

    else:
        target = [[float(draw.random() < 0.5) for _ in range(classes)] for _ in range(rows)]
        weight = [draw.uniform(0.1, 3.0) for _ in range(classes)] if draw.random() < 0.5 else None
        positive = [draw.uniform(0.1, 3.0) for _ in range(classes)] if draw.random() < 0.5 else None

        def run(lib: Any) -> list[Any]:
            x = lib.tensor(logits, dtype=lib.float64, requires_grad=True)
            given = [None if w is None else lib.tensor(w, dtype=lib.float64) for w in (weight, positive)]
            loss = lib.nn.BCEWithLogitsLoss(weight=given[0], reduction=reduction, pos_weight=given[1])
            return outcome(loss(x, lib.tensor(target, dtype=lib.float64)), x)

    return run


# ---- optimizers, schedules, modules ---------------------------------------------------------------------------------

OPTIMIZERS: dict[str, Callable[[random.Random], dict[str, Any]]] = {
    "SGD": lambda d: _sgd(d),
    "Adam": lambda d: {"betas": (d.uniform(0, 0.95), d.uniform(0.5, 0.999)), "amsgrad": d.random() < 0.3},
    "AdamW": lambda d: {"betas": (d.uniform(0, 0.95), d.uniform(0.5, 0.999)), "amsgrad": d.random() < 0.3},
    "RMSprop": lambda d: {"alpha": d.uniform(0.5, 0.99), "centered": d.random() < 0.5, "momentum": d.choice([0, 0.9])},
    "Adagrad": lambda d: {"lr_decay": d.choice([0.0, 0.1]), "initial_accumulator_value": d.choice([0.0, 0.2])},
}


def _sgd(draw: random.Random) -> dict[str, Any]:
    momentum = draw.choice([0.0, 0.9])
    nesterov = momentum > 0 and draw.random() < 0.5
    return {"momentum": momentum, "nesterov": nesterov, "dampening": 0.0 if nesterov else draw.choice([0.0, 0.3])}


def of_optimizer(draw: random.Random) -> Case:
    name = draw.choice(list(OPTIMIZERS))
    options = OPTIMIZERS[name](draw) | {"lr": 10 ** draw.uniform(-3, -0.5), "weight_decay": draw.choice([0.0, 0.1])}
    options["maximize"] = draw.random() < 0.2
    starts = [values(draw, shape(draw)) for _ in range(3)]
    second = draw.choice([None, {"lr": 0.05}])
    frozen = [draw.random() < 0.2 for _ in range(8)]

    def run(lib: Any) -> list[Any]:
        ps = [lib.tensor(start, dtype=lib.float64, requires_grad=True) for start in starts]
        groups: Any = ps if second is None else [{"params": ps[:1], **second}, {"params": ps[1:]}]
        optimizer = getattr(lib.optim, name)(groups, **options)
        for still in frozen:
            optimizer.zero_grad()
            used = ps[1:] if still else ps
            sum(((p - 0.3) * (p - 0.3)).sum() for p in used).backward()
            optimizer.step()
        return [p.detach().tolist() for p in ps]

    return run


SCHEDULES: dict[str, Callable[[random.Random], dict[str, Any]]] = {
    "StepLR": lambda d: {"step_size": d.randint(1, 4), "gamma": d.uniform(0.2, 0.9)},
    "MultiStepLR": lambda d: {"milestones": sorted(d.sample(range(1, 10), 2)), "gamma": d.uniform(0.2, 0.9)},
    "ExponentialLR": lambda d: {"gamma": d.uniform(0.5, 0.99)},
    "ConstantLR": lambda d: {"factor": d.uniform(0.1, 1.0), "total_iters": d.randint(1, 6)},
    "LinearLR": lambda d: {
        "start_factor": d.uniform(0.1, 1.0),
        "end_factor": d.uniform(0.1, 1.0),
        "total_iters": d.randint(1, 8),
    },
    "PolynomialLR": lambda d: {"total_iters": d.randint(2, 12), "power": d.choice([1.0, 2.0])},
    "CosineAnnealingLR": lambda d: {"T_max": d.randint(2, 9), "eta_min": d.choice([0.0, 1e-3])},
}


def of_schedule(draw: random.Random) -> Case:
    chosen = [(name, SCHEDULES[name](draw)) for name in draw.choices(list(SCHEDULES), k=draw.randint(1, 2))]
    if len({name for name, _ in chosen}) == 1:
        chosen = chosen[:1]
    by_hand = draw.choice([None, draw.randint(1, 8)]) if len(chosen) == 1 else None

    def run(lib: Any) -> list[Any]:
        optimizer = lib.optim.SGD([lib.tensor([1.0], requires_grad=True)], lr=0.5)
        schedulers = [getattr(lib.optim.lr_scheduler, name)(optimizer, **options) for name, options in chosen]
        rates = [optimizer.param_groups[0]["lr"]]
        for step in range(12):
            optimizer.step()
            for scheduler in schedulers:
                scheduler.step()
            if step == by_hand:
                optimizer.param_groups[0]["lr"] = 0.125
            rates.append(optimizer.param_groups[0]["lr"])
        return rates

    return run


LAYERS = ["ReLU", "Tanh", "Sigmoid", "GELU", "ELU", "SiLU", "Softplus", "LeakyReLU", "Hardtanh", "Mish", "SELU"]


def of_module(draw: random.Random) -> Case:
    sizes = [draw.randint(1, 4) for _ in range(draw.randint(2, 4))]
    weights = [(values(draw, [o, i]), values(draw, [o])) for i, o in itertools.pairwise(sizes)]
    activations = draw.choices(LAYERS, k=len(weights))
    data = values(draw, [draw.randint(1, 5), sizes[0]])

    def run(lib: Any) -> list[Any]:
        layers: list[Any] = []
        for (w, b), name in zip(weights, activations, strict=True):
            linear = lib.nn.Linear(len(w[0]), len(w), dtype=lib.float64)
            with lib.no_grad():
                linear.weight.copy_(lib.tensor(w, dtype=lib.float64) * 0.3)
                linear.bias.copy_(lib.tensor(b, dtype=lib.float64) * 0.1)
            layers += [linear, getattr(lib.nn, name)()]
        model = lib.nn.Sequential(*layers)
        result = model(lib.tensor(data, dtype=lib.float64))
        return outcome(result, *model.parameters())

    return run


FAMILIES: dict[str, Callable[[random.Random], Case]] = {
    "ops": of_op, "indices": of_index, "losses": of_loss, "optimizers": of_optimizer, "schedules": of_schedule,
    "modules": of_module,
}  # fmt: skip


def close(one: Any, other: Any, tolerance: float = 1e-6) -> bool:
    """Whether two nested lists of numbers are equal, NaN and infinities included."""
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(close(a, b, tolerance) for a, b in zip(one, other, strict=True))
    if one is None or other is None:
        return one is other
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return one == other or abs(one - other) <= tolerance * max(1.0, abs(one), abs(other))
