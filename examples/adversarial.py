"""Two nets play against each other: one draws digits, the other tells them from those that come with nnkit.

python examples/adversarial.py                 about 40 seconds on two cores; writes adversarial.png
python examples/adversarial.py --steps 2000 --output picture.png

It prints both losses (1.386 the critic's and 0.693 the painter's would mean that the critic only guesses), and how far
a held-out digit is from the nearest of as many drawn ones as there are real ones to learn from, and from the nearest of
those: if they were drawn badly, or always the same, it would be far.
Goodfellow et al., Generative adversarial nets, 2014.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

import nnkit
from nnkit import nn
from nnkit.datasets import digits

SEED, NOISE, WIDTH, BATCH = 0, 32, 256, 64


def build() -> tuple[nn.Sequential, nn.Sequential]:
    """The painter, noise -> 64 pixels, and the critic, 64 pixels -> the logit of a real digit."""
    painter = nn.Sequential(
        nn.Linear(NOISE, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU(),
        nn.Linear(WIDTH, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU(), nn.Linear(WIDTH, 64), nn.Sigmoid(),
    )  # fmt: skip
    critic = nn.Sequential(
        nn.Linear(64, WIDTH), nn.LeakyReLU(0.2), nn.Dropout(0.3),
        nn.Linear(WIDTH, WIDTH), nn.LeakyReLU(0.2), nn.Dropout(0.3), nn.Linear(WIDTH, 1),
    )  # fmt: skip
    return painter, critic


def train(painter: nn.Sequential, critic: nn.Sequential, x: np.ndarray, steps: int) -> None:
    """A step of each net in turn, both in one recorded step."""
    painter_optimizer = nnkit.optim.Adam(painter.parameters(), lr=3e-4, betas=(0.5, 0.999))
    critic_optimizer = nnkit.optim.Adam(critic.parameters(), lr=3e-4, betas=(0.5, 0.999))
    judge = nn.BCEWithLogitsLoss()
    real, painted = nnkit.ones(BATCH, 1), nnkit.zeros(BATCH, 1)
    random = np.random.default_rng(SEED)

    @nnkit.compile
    def step(images: nnkit.Tensor) -> tuple[nnkit.Tensor, nnkit.Tensor]:
        drawn = painter(nnkit.randn(BATCH, NOISE))
        critic_optimizer.zero_grad()
        critic_loss = judge(critic(images), real) + judge(critic(drawn.detach()), painted)
        critic_loss.backward()
        critic_optimizer.step()
        painter_optimizer.zero_grad()
        painter_loss = judge(critic(drawn), real)
        painter_loss.backward()
        painter_optimizer.step()
        return critic_loss, painter_loss

    for number in range(1, steps + 1):
        critic_loss, painter_loss = step(nnkit.tensor(x[random.integers(0, len(x), BATCH)]))
        if number % max(steps // 5, 1) == 0:
            print(f"step {number:5}: critic's loss {critic_loss.item():.3f}, painter's {painter_loss.item():.3f}")


def nearest(x: np.ndarray, others: np.ndarray) -> float:
    """How far an image is from the nearest of others, the mean over x."""
    squares = (x**2).sum(1)[:, None] + (others**2).sum(1) - 2 * x @ others.T
    return float(np.sqrt(np.maximum(squares, 0).min(axis=1)).mean())


def draw(images: np.ndarray, path: str) -> None:
    """The first hundred."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, places = pyplot.subplots(10, 10, figsize=(8, 8), layout="constrained")
    for image, axes in zip(images, places.flat, strict=False):
        axes.axis("off")
        axes.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0.0, vmax=1.0)
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def main(arguments: Sequence[str] | None = None) -> float:
    """Train, draw; returns how far a held-out digit is from the nearest drawn one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10000)
    parser.add_argument("--output", default="adversarial.png", help="the picture (needs matplotlib)")
    given = parser.parse_args(arguments)
    nnkit.manual_seed(SEED)
    (x, _), (x_test, _) = digits.load_data()
    x, x_test = x.reshape(-1, 64) / 16, x_test.reshape(-1, 64) / 16
    painter, critic = build()
    train(painter, critic, x, given.steps)
    painter.eval()
    with nnkit.no_grad():
        drawn = painter(nnkit.randn(len(x), NOISE)).numpy()
    distance = nearest(x_test, drawn)
    print(f"from a held-out digit to the nearest drawn {distance:.3f}, the nearest real {nearest(x_test, x):.3f}")
    draw(drawn, given.output)
    print(f"New digits: {given.output}")
    return distance


if __name__ == "__main__":
    main()
