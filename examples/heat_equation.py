"""A physics-informed net solves the heat equation u_t = a u_xx: it sees the equation, the start and the ends, no data.

python examples/heat_equation.py                 about 20 seconds; prints the error, writes heat_equation.png
python examples/heat_equation.py --steps 1000 --output picture.png

The rod is 1 long and begins as sin(pi x) + sin(3 pi x) / 2; its ends are kept at 0. Raissi et al., Physics-informed
neural networks, 2019.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

import numpy as np

import nnkit
from nnkit import nn

A = 0.1  # how fast heat spreads
POINTS, EDGES = 1000, 200


def exact(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    """The solution: each wave fades by itself, the shorter one nine times as fast."""
    slow = np.exp(-A * np.pi**2 * t) * np.sin(np.pi * x)
    return slow + 0.5 * np.exp(-A * 9 * np.pi**2 * t) * np.sin(3 * np.pi * x)


def residual(model: nn.Module, points: nnkit.Tensor) -> nnkit.Tensor:
    """u_t - a u_xx at points (x, t): what is left of the equation."""
    u = model(points)
    (slopes,) = nnkit.grad(u.sum(), points, create_graph=True)
    u_x, u_t = slopes[:, 0], slopes[:, 1]
    (second,) = nnkit.grad(u_x.sum(), points, create_graph=True)
    return u_t - A * second[:, 0]


def train(steps: int) -> nn.Module:
    """Fit the net to the equation inside, and to what is known at the start and at the ends."""
    nnkit.manual_seed(0)
    random = np.random.default_rng(0)
    model = nn.Sequential(
        nn.Linear(2, 50), nn.Tanh(), nn.Linear(50, 50), nn.Tanh(), nn.Linear(50, 50), nn.Tanh(), nn.Linear(50, 1)
    )
    edges = random.uniform(0, 1, (EDGES, 2))
    edges[: EDGES // 2, 1] = 0.0
    edges[EDGES // 2 :, 0] = random.integers(0, 2, EDGES // 2)
    inside = nnkit.tensor(random.uniform(0, 1, (POINTS, 2)).astype(np.float32), requires_grad=True)
    known = nnkit.tensor(exact(edges[:, :1], edges[:, 1:]).astype(np.float32))
    where = nnkit.tensor(edges.astype(np.float32))
    optimizer = nnkit.optim.Adam(model.parameters(), lr=2e-3)
    schedule = nnkit.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)

    @nnkit.compile
    def step() -> nnkit.Tensor:
        optimizer.zero_grad()
        loss = (residual(model, inside) ** 2).mean() + 10.0 * ((model(where) - known) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    for number in range(steps):
        loss = step()
        schedule.step()
        if (number + 1) % max(steps // 5, 1) == 0:
            print(f"step {number + 1:5}: loss {loss.item():.6f}")
    return model


def draw(model: nn.Module, path: str) -> None:
    """The rod at four times, the net's against the exact one, and the error everywhere."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4), layout="constrained")
    x = np.linspace(0, 1, 101)
    for t in (0.0, 0.1, 0.3, 1.0):
        line = left.plot(x, exact(x, np.full_like(x, t)), alpha=0.4, linewidth=4)[0]
        left.plot(x, values(model, x, np.full_like(x, t)), "--", color=line.get_color(), label=f"t = {t}")
    left.set(xlabel="x", ylabel="u", title="the net (dashed) on the exact solution")
    left.legend()
    across, up = np.meshgrid(x, x)
    error = np.abs(values(model, across, up) - exact(across, up))
    shown = right.pcolormesh(across, up, error, shading="auto")
    right.set(xlabel="x", ylabel="t", title="distance from the exact solution")
    figure.colorbar(shown)
    figure.savefig(path, dpi=100)


def values(model: nn.Module, x: np.ndarray, t: np.ndarray) -> np.ndarray:
    """What the net says at points."""
    points = np.stack([x.ravel(), t.ravel()], axis=1).astype(np.float32)
    with nnkit.no_grad():
        return model(nnkit.tensor(points)).numpy().reshape(x.shape)


def main(arguments: Sequence[str] | None = None) -> float:
    """Train, print the error, draw; returns the error, relative to the solution."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--output", default="heat_equation.png", help="the picture (needs matplotlib)")
    given = parser.parse_args(arguments)
    model = train(given.steps)
    x, t = np.meshgrid(np.linspace(0, 1, 101), np.linspace(0, 1, 101))
    difference = values(model, x, t) - exact(x, t)
    error = math.sqrt((difference**2).mean() / (exact(x, t) ** 2).mean())
    print(f"relative error {error:.5f}, largest distance {np.abs(difference).max():.5f}")
    draw(model, given.output)
    return error


if __name__ == "__main__":
    main()
