"""Whole trainings: the GPU's losses against the CPU's. Captured and eager are compared in ``captured``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import nnkit
from bench.gpu import images
from bench.gpu.checks import Check, Sizes, Skip
from bench.gpu.products import precision
from nnkit import nn, optim

GPU, CPU = "cuda", "numpy"
#: How far losses may lie from the CPU's, relative, by the type in which products are computed.
TOLERANCES = {"highest": 2e-5, "high": 2e-3, "medium": 2e-2, "bfloat16": 2e-3, "float16": 2e-3, "float64": 1e-10}

Optimizer = Callable[[Any], optim.Optimizer]
OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": lambda p: optim.SGD(p, lr=0.05),
    "nesterov, weight decay": lambda p: optim.SGD(p, lr=0.02, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adam": lambda p: optim.Adam(p, lr=1e-3),
    "adam, two groups": lambda p: optim.Adam([{"params": list(p)[:2], "lr": 2e-3}, {"params": list(p)[2:]}], lr=1e-3),
    "adamw, amsgrad": lambda p: optim.AdamW(p, lr=1e-3, amsgrad=True),
    "rmsprop, centered": lambda p: optim.RMSprop(p, lr=1e-3, centered=True, momentum=0.5),
    "adagrad": lambda p: optim.Adagrad(p, lr=0.01),
}


class Run(NamedTuple):
    """A training, without the device it is on."""

    optimizer: Optimizer = OPTIMIZERS["adam"]
    activation: str = "relu"
    dropout: float = 0.0
    dtype: str = "float32"
    digits: str = "highest"
    images: str = ""  # the family of a network for images, in place of one of two layers
    fit: dict[str, Any] = {}  # noqa: RUF012 - read only


class Result(NamedTuple):
    """What a training leaves: the loss of each epoch, and the bytes of every weight."""

    losses: list[float]
    weights: list[bytes]


def data(sizes: Sizes, dtype: str = "float32") -> tuple[np.ndarray, np.ndarray]:
    """Inputs (rows, features) and labels that follow from them; the last batch of an epoch is smaller."""
    rows, features = sizes.pick((2100, 784), (600, 100), (20, 6))
    random = np.random.default_rng(0)
    x = random.standard_normal((rows, features)).astype(dtype)
    return x, (x @ random.standard_normal((features, 10)).astype(dtype)).argmax(axis=1)


def network(run: Run, features: int, hidden: int, device: str) -> nn.Sequential:
    """Two layers with the activation between, from the same weights on every device."""
    nnkit.manual_seed(7)
    layers: list[nn.Module] = [nn.Linear(features, hidden, activation=run.activation), nn.Linear(hidden, 10)]
    if run.dropout:
        layers.insert(1, nn.Dropout(run.dropout))
    return nn.Sequential(*layers).to(device=device, dtype=run.dtype)


def train(run: Run, sizes: Sizes, device: str = GPU, compile: bool = True) -> Result:
    """A few epochs of ``fit``."""
    x, y = images.data(run.images, sizes) if run.images else data(sizes, run.dtype)
    if run.images:
        model = images.network(run.images, sizes, device)
    else:
        model = network(run, x.shape[1], sizes.pick(128, 64, 5), device)
    options: dict[str, Any] = {"epochs": 3, "batch_size": sizes.pick(128, 128, 8), "verbose": 0, "seed": 3} | run.fit
    with precision(run.digits):
        history = model.fit(
            x, y, loss="cross_entropy", optimizer=run.optimizer(model.parameters()), compile=compile, **options
        )
    weights = [parameter.detach().numpy().tobytes() for parameter in model.parameters()]
    return Result(history.history["loss"], weights)


def _check(run: Run, sizes: Sizes) -> str:
    found, cpu = train(run, sizes), train(run, sizes, CPU)
    assert cpu.losses[-1] < cpu.losses[0], f"the CPU does not learn: {cpu.losses}"
    return close(found.losses, cpu.losses, tolerance_of(run))


def tolerance_of(run: Run) -> float:
    """How far the losses of a run may lie from the CPU's."""
    return TOLERANCES["float64" if run.dtype == "float64" else run.fit.get("precision", run.digits)]


def close(found: list[float], expected: list[float], tolerance: float) -> str:
    """Check the losses of two devices; how far they lie apart."""
    error = max(abs(f - e) / abs(e) for f, e in zip(found, expected, strict=True))
    assert error <= tolerance, f"losses {found}, on the CPU {expected}: {error:.1e} apart, {tolerance:.0e} is allowed"
    return f"{error:.1e} from the CPU"


def _streamed(sizes: Sizes) -> None:
    """Data that stay on the host and come in windows give what those on the device give."""
    from nnkit.backends.cuda import device_memory

    run = Run(fit={"shuffle": False})
    whole, before = train(run, sizes), device_memory.SHARE
    device_memory.SHARE = 0.0
    try:
        streamed = train(run, sizes)
    finally:
        device_memory.SHARE = before
    assert streamed == whole, f"streamed losses {streamed.losses}, on the device {whole.losses}"


# ---- steps of one's own ---------------------------------------------------------------------------------------------


def steps(device: str, sizes: Sizes, compiled: bool, **scaling: Any) -> tuple[list[float], float]:
    """Steps by hand in float16: scaled, clipped, with a learning rate that changes; the losses and the scale."""
    x, y = data(sizes)
    rows = sizes.pick(128, 128, 8)
    model = network(Run(dropout=0.1), x.shape[1], sizes.pick(128, 64, 5), device)
    optimizer, scaler = optim.AdamW(model.parameters(), lr=1e-3), nnkit.GradScaler(**scaling)
    schedule = optim.lr_scheduler.StepLR(optimizer, 3, 0.5)
    loss_of = nn.CrossEntropyLoss()

    def step(x: nnkit.Tensor, y: nnkit.Tensor) -> nnkit.Tensor:
        optimizer.zero_grad()
        with nnkit.autocast("float16"):
            loss = loss_of(model(x), y)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        optim.clip_grad_norm_(model.parameters(), 0.5)
        scaler.step(optimizer)
        scaler.update()
        return loss.detach()

    run: Any = nnkit.compile(step) if compiled else step
    losses = []
    for number in range(8):
        part = slice(0, rows) if number % 2 else slice(len(x) - rows, None)
        losses.append(run(nnkit.tensor(x[part], device=device), nnkit.tensor(y[part], device=device)))
        schedule.step()
    return [loss.item() for loss in losses], scaler.get_scale()


#: A scale under which the first steps overflow, so that they are left out.
OVERFLOWING = {"init_scale": 2.0**28, "growth_interval": 3}


def _scaled(sizes: Sizes) -> str:
    found, scale = steps(GPU, sizes, True, **OVERFLOWING)
    losses, expected = steps(CPU, sizes, False, **OVERFLOWING)
    assert scale == expected < OVERFLOWING["init_scale"], f"the scale is {scale}, on the CPU {expected}"
    return close(found, losses, TOLERANCES["float16"])


def _predictions(sizes: Sizes) -> str:
    """``predict`` and ``evaluate`` of one model on both devices."""
    x, y = data(sizes)
    model = network(Run(activation="gelu"), x.shape[1], sizes.pick(512, 64, 5), CPU)
    expected = model.predict(x), model.evaluate(x, y, loss="cross_entropy", metrics=["accuracy"])
    model.to(GPU)
    found = model.predict(x), model.evaluate(x, y, loss="cross_entropy", metrics=["accuracy"])
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-4, atol=1e-4)
    return close(list(found[1].values()), list(expected[1].values()), 1e-3)


# ---- the table ------------------------------------------------------------------------------------------------------


def _runs() -> Iterator[tuple[str, Run]]:
    for name, optimizer in OPTIMIZERS.items():
        yield name, Run(optimizer)
    for activation in ("gelu", "silu", "tanh", "softmax"):
        yield f"activation {activation}", Run(activation=activation)
    for family in images.NETS:
        yield f"{family} net of images", Run(functools.partial(optim.SGD, lr=0.003), images=family)
    yield "dropout", Run(dropout=0.3)
    yield "float64", Run(dtype="float64")
    for digits in ("high", "medium"):
        yield f"matmul precision {digits}", Run(digits=digits)
    for half in ("bfloat16", "float16"):
        yield f"autocast {half}", Run(fit={"precision": half}, activation="gelu")
    yield "clipped by norm", Run(fit={"clip_norm": 0.1})
    yield "clipped by value", Run(fit={"clip_value": 0.01})
    weights = {"class_weight": {0: 2.0, 4: 0.5}, "metrics": ["accuracy"], "validation_split": 0.2}
    yield "class weights, metrics", Run(fit=weights)


RUNS: dict[str, Run] = dict(_runs())


def possible(check: Callable[[Run, Sizes], str | None]) -> Callable[[Run, Sizes], str | None]:
    """The check, skipped where NumPy has no arrays of the type that a run needs."""

    @functools.wraps(check)
    def call(run: Run, sizes: Sizes) -> str | None:
        if run.fit.get("precision") == "bfloat16":
            try:
                import ml_dtypes  # noqa: F401
            except ImportError as error:
                raise Skip("without ml_dtypes there are no arrays of bfloat16") from error
        return check(run, sizes)

    return call


CHECKS: dict[str, Check] = {
    **{name: functools.partial(possible(_check), run) for name, run in RUNS.items()},
    "data streamed from the host": _streamed,
    "scaled float16 steps that overflow": _scaled,
    "predictions": _predictions,
}
