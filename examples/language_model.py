"""A small transformer learns to write, character by character, from seven of Shakespeare's sonnets (sonnets.txt).

python examples/language_model.py                    about a quarter of a minute on two cores
python examples/language_model.py --steps 2000 --temperature 0.5
python examples/language_model.py --text any.txt     another text

It prints the perplexity: among how many characters, all alike, one would have to guess as badly. The last tenth of the
text is held out; of so short a text most is learned by heart, so that there it soon gets worse again.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import nnkit
from nnkit import nn

SEED, WIDTH, HEADS, BLOCKS, LENGTH, BATCH = 0, 96, 4, 2, 64, 32


class LanguageModel(nn.Module):
    """Characters (B, T) -> scores of those that follow, (B, T, characters)."""

    def __init__(self, characters: int) -> None:
        super().__init__()
        self.characters = nn.Parameter(0.1 * nnkit.randn(characters, WIDTH))
        self.places = nn.Parameter(0.1 * nnkit.randn(LENGTH, WIDTH))
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, 4 * WIDTH, dropout=0.1, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(layer, BLOCKS, nn.LayerNorm(WIDTH))
        self.scores = nn.Linear(WIDTH, characters)

    def forward(self, x: nnkit.Tensor, cache: nn.KeyValueCache | None = None) -> nnkit.Tensor:
        if cache is None:
            places = self.places[: x.shape[1]]
        else:
            places = self.places[cache.positions(x.shape[1])]
        x = self.characters[x] + places
        return self.scores(self.blocks(x, is_causal=True, cache=cache))


def windows(numbers: np.ndarray, starts: np.ndarray) -> tuple[nnkit.Tensor, nnkit.Tensor]:
    """Pieces of the text, and the same moved by one character."""
    rows = np.stack([numbers[start : start + LENGTH + 1] for start in starts])
    return nnkit.tensor(rows[:, :-1].copy()), nnkit.tensor(rows[:, 1:].copy())


def loss_of(model: LanguageModel, x: nnkit.Tensor, y: nnkit.Tensor) -> nnkit.Tensor:
    """The mean of minus the logarithm of the probability that was given to the right character."""
    scores = model(x)
    return nn.functional.cross_entropy(scores.reshape(-1, scores.shape[-1]), y.reshape(-1))


def perplexity(model: LanguageModel, numbers: np.ndarray) -> float:
    """Over all of a text, piece by piece."""
    starts = np.arange(0, len(numbers) - LENGTH, LENGTH)
    model.eval()
    with nnkit.no_grad():
        loss = loss_of(model, *windows(numbers, starts)).item()
    model.train()
    return math.exp(loss)


def train(model: LanguageModel, numbers: np.ndarray, held_out: np.ndarray, steps: int) -> None:
    """Adam on random pieces; the step is recorded once and replayed."""
    optimizer = nnkit.optim.Adam(model.parameters(), lr=2e-3)
    random = np.random.default_rng(SEED)

    @nnkit.compile
    def step(x: nnkit.Tensor, y: nnkit.Tensor) -> nnkit.Tensor:
        optimizer.zero_grad()
        loss = loss_of(model, x, y)
        loss.backward()
        optimizer.step()
        return loss

    for number in range(1, steps + 1):
        loss = step(*windows(numbers, random.integers(0, len(numbers) - LENGTH, BATCH)))
        if number % max(steps // 5, 1) == 0:
            seen, unseen = math.exp(loss.item()), perplexity(model, held_out)
            print(f"step {number:5}: perplexity {seen:6.2f} in training, {unseen:6.2f} on the held-out text")


def write(model: LanguageModel, letters: str, begin: str, length: int, temperature: float) -> str:
    """Go on from ``begin``: one character after the other, keys and values of those before kept."""
    random, text = np.random.default_rng(SEED), begin
    model.eval()
    cache = nn.KeyValueCache(LENGTH)
    following = nnkit.compile(lambda x: model(x, cache)[0, -1])
    with nnkit.no_grad():
        while len(text) < length:
            cache.reset()  # when the places are used up it begins anew, with the last half of them
            scores = model(nnkit.tensor([[letters.index(c) for c in text[-LENGTH // 2 :]]]), cache)[0, -1]
            while len(text) < length and len(cache) < LENGTH:
                chances = np.exp((scores.numpy() - scores.max().item()) / temperature)
                text += letters[random.choice(len(letters), p=chances / chances.sum())]
                scores = following(nnkit.tensor([[letters.index(text[-1])]]))
    return text


def main(arguments: Sequence[str] | None = None) -> float:
    """Train, print the perplexity and a sample; the perplexity on the training text."""
    parser = argparse.ArgumentParser(description="Train a small transformer to write.")
    parser.add_argument("--text", default=str(Path(__file__).with_name("sonnets.txt")))
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--length", type=int, default=400, help="characters to write")
    parser.add_argument("--temperature", type=float, default=0.7, help="less than 1: the likelier ones more often")
    options = parser.parse_args(arguments)
    nnkit.manual_seed(SEED)
    text = Path(options.text).read_text(encoding="utf-8")
    letters = "".join(sorted(set(text)))
    numbers = np.array([letters.index(c) for c in text])
    cut = len(numbers) * 9 // 10
    shares = np.bincount(numbers) / len(numbers)
    print(f"{len(text)} characters, {len(letters)} different; by how often each comes: perplexity "
          f"{math.exp(-(shares * np.log(shares)).sum()):.2f}")  # fmt: skip
    model = LanguageModel(len(letters))
    train(model, numbers[:cut], numbers[cut:], options.steps)
    found = perplexity(model, numbers[:cut])
    print(f"Perplexity on the text that it learned from: {found:.3f}")
    print(write(model, letters, text[:20], options.length, options.temperature))
    return found


if __name__ == "__main__":
    main()
