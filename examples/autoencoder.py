"""A variational autoencoder puts the digits that come with nnkit into eight numbers each, and draws new digits from it.

python examples/autoencoder.py                 about 5 seconds on two cores; writes autoencoder.png
python examples/autoencoder.py --epochs 20 --output picture.png

It prints, in nats per image, what the drawn digits miss of the given ones (reconstruction) and how far their codes are
from the normal distribution that new codes are drawn from (divergence), on the digits learned from and on those held
out. Their sum bounds minus the logarithm of an image's probability; a pixel's grey is taken for a probability of ink.
Kingma and Welling, Auto-encoding variational Bayes, 2013.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

import nnkit
from nnkit import nn
from nnkit.datasets import digits
from nnkit.distributions import Normal, kl_divergence

SEED, CODE, WIDTH, BATCH = 0, 8, 256, 64


class Autoencoder(nn.Module):
    """Images (B, 64) -> distributions of codes (B, CODE) -> logits of images (B, 64)."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 2 * CODE))
        self.decoder = nn.Sequential(nn.Linear(CODE, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 64))

    def forward(self, x: nnkit.Tensor) -> Normal:
        numbers = self.encoder(x)
        return Normal(numbers[:, :CODE], (0.5 * numbers[:, CODE:]).exp())


def losses(model: Autoencoder, x: nnkit.Tensor) -> tuple[nnkit.Tensor, nnkit.Tensor]:
    """Reconstruction and divergence, the mean over the images."""
    codes = model(x)
    logits = model.decoder(codes.rsample())
    reconstruction = nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    return reconstruction / len(x), kl_divergence(codes, Normal(0.0, 1.0)).sum() / len(x)


def train(model: Autoencoder, x: np.ndarray, held_out: nnkit.Tensor, epochs: int) -> float:
    """Adam on shuffled images; the step is recorded once and replayed. The bound on the held-out images."""
    optimizer = nnkit.optim.Adam(model.parameters(), lr=3e-3)
    random, bound = np.random.default_rng(SEED), 0.0

    @nnkit.compile
    def step(x: nnkit.Tensor) -> tuple[nnkit.Tensor, nnkit.Tensor]:
        optimizer.zero_grad()
        reconstruction, divergence = losses(model, x)
        (reconstruction + divergence).backward()
        optimizer.step()
        return reconstruction, divergence

    for epoch in range(1, epochs + 1):
        order = random.permutation(len(x))[: len(x) // BATCH * BATCH].reshape(-1, BATCH)
        seen = np.mean([[loss.item() for loss in step(nnkit.tensor(x[rows]))] for rows in order], axis=0)
        if epoch % max(epochs // 5, 1) == 0:
            with nnkit.no_grad():
                unseen = [loss.item() for loss in losses(model, held_out)]
            bound = sum(unseen)
            words = ["{:.3f} + {:.3f}".format(*pair) for pair in (seen, unseen)]
            print(f"epoch {epoch:4}: reconstruction + divergence {words[0]} in training, {words[1]} held out")
    return bound


def draw(model: Autoencoder, x: nnkit.Tensor, path: str) -> None:
    """Held-out digits, the same through the net, and new ones."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with nnkit.no_grad():
        again = model.decoder(model(x[:20]).mean).sigmoid().numpy()
        new = model.decoder(Normal(0.0, 1.0).sample((60, CODE))).sigmoid().numpy()
    figure, places = pyplot.subplots(10, 10, figsize=(8, 8.6), layout="constrained")
    figure.suptitle("two rows held out, the same two through the net, and six rows of new digits")
    for image, axes in zip(np.concatenate([x[:20].numpy(), again, new]), places.flat, strict=True):
        axes.axis("off")
        axes.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0.0, vmax=1.0)
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def main(arguments: Sequence[str] | None = None) -> float:
    """Train, draw; returns the bound on the held-out digits, in nats per image."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--output", default="autoencoder.png", help="the picture (needs matplotlib)")
    given = parser.parse_args(arguments)
    nnkit.manual_seed(SEED)
    (x, _), (x_test, _) = digits.load_data()
    model, held_out = Autoencoder(), nnkit.tensor(x_test.reshape(-1, 64) / 16)
    bound = train(model, x.reshape(-1, 64) / 16, held_out, given.epochs)
    draw(model, held_out, given.output)
    print(f"Digits and new ones: {given.output}")
    return bound


if __name__ == "__main__":
    main()
