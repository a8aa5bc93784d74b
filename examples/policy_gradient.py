"""REINFORCE with a baseline learns when to stop in a game of dice.

python examples/policy_gradient.py                 about 10 seconds on one core
python examples/policy_gradient.py --updates 200 --seed 1

The game: three throws at most, each of one, two or three dice, or of none, which ends it. What the dice show adds up,
but any 1 loses everything and ends it. It prints, as it learns, the points that the net wins on average, worked out
exactly, beside the most that any player can (by going backwards from the last throw); then how many dice it throws.
Williams, Simple statistical gradient-following algorithms for connectionist reinforcement learning, 1992.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

import nnkit
from nnkit import nn
from nnkit.distributions import Categorical

THROWS, DICE, GAMES = 3, 3, 512
CURIOSITY = 0.05  # what it is worth at first to try different actions; nothing from half the updates on
MOST = THROWS * DICE * 6


def seen(total: np.ndarray, left: np.ndarray | int) -> np.ndarray:
    """What the net gets: the points so far, in tens, and which throw it is (..., 1 + THROWS)."""
    which = np.broadcast_to(np.eye(THROWS)[np.asarray(left) - 1], (*total.shape, THROWS))
    return np.concatenate([total[..., None] / 10, which], axis=-1).astype(np.float32)


def exact(model: nn.Module | None = None) -> float:
    """The average points that the model wins, drawing its actions as it learned; without a model, the best player's."""
    die = np.array([0, 0, 1, 1, 1, 1, 1]) / 6  # a 1 is missing: it wins nothing
    sums, totals = [np.ones(1)], np.arange(MOST + 1)
    for _ in range(DICE):
        sums.append(np.convolve(sums[-1], die))
    values = totals.astype(float)  # nothing left to throw
    for left in range(1, THROWS + 1):
        further = np.pad(values, (0, DICE * 6))
        won = [np.correlate(further, chances)[: MOST + 1] for chances in sums[1:]]
        actions = np.stack([totals, *won], axis=1)
        values = actions.max(1) if model is None else (actions * odds(model, totals, left)).sum(1)
    return float(values[0])


def odds(model: nn.Module, totals: np.ndarray, left: int) -> np.ndarray:
    """How likely the model throws no die, one, two, three (..., 1 + DICE)."""
    with nnkit.no_grad():
        return Categorical(logits=model(nnkit.tensor(seen(totals, left)))[:, :-1]).probs.numpy()


def play(model: nn.Module, random: np.random.Generator) -> list[nnkit.Tensor]:
    """GAMES games at once: what was seen, what was done, what each game won, and 0 once it was over."""
    total, going = np.zeros(GAMES, np.int64), np.ones(GAMES, bool)
    rows = []
    for left in range(THROWS, 0, -1):
        before = seen(total, left)
        with nnkit.no_grad():
            action = Categorical(logits=model(nnkit.tensor(before))[:, :-1]).sample().numpy()
        rows.append((before, action, going.astype(np.float32)))
        going = going & (action > 0)
        dice = random.integers(1, 7, (GAMES, DICE))
        thrown = going[:, None] & (np.arange(DICE) < action[:, None])
        lost = (thrown & (dice == 1)).any(1)
        total, going = np.where(lost, 0, total + (thrown * dice).sum(1)), going & ~lost
    before, action, counts = (np.concatenate(column) for column in zip(*rows, strict=True))
    won = np.tile(total, THROWS).astype(np.float32) / 10
    return [nnkit.tensor(column) for column in (before, action, won, counts)]


def train(updates: int, seed: int) -> nn.Module:
    """Play, and make likelier what won more than the baseline said it would."""
    nnkit.manual_seed(seed)
    random, best = np.random.default_rng(seed), exact()
    model = nn.Sequential(nn.Linear(1 + THROWS, 64), nn.Tanh(), nn.Linear(64, 1 + DICE + 1))  # and the baseline
    optimizer = nnkit.optim.Adam(model.parameters(), lr=1e-2)
    schedule = nnkit.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, updates)

    @nnkit.compile
    def learn(before: nnkit.Tensor, action: nnkit.Tensor, won: nnkit.Tensor, counts: nnkit.Tensor,
              curiosity: nnkit.Tensor) -> nnkit.Tensor:  # fmt: skip
        output = model(before)
        more = won - output[:, -1]
        actions = Categorical(logits=output[:, :-1])
        gain = more.detach() * actions.log_prob(action) + curiosity * actions.entropy()
        loss = (counts * (0.5 * more**2 - gain)).sum() / counts.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    for number in range(updates):
        learn(*play(model, random), nnkit.tensor(CURIOSITY * max(0.0, 1 - 2 * number / updates)))
        schedule.step()
        if (number + 1) % max(updates // 5, 1) == 0:
            print(f"update {number + 1:5}: return {exact(model):.4f}, at best {best:.4f}")
    return model


def main(arguments: Sequence[str] | None = None) -> tuple[float, float]:
    """Train, print; the return reached, and the most that can be."""
    parser = argparse.ArgumentParser(description="Learn a game of dice by policy gradients.")
    parser.add_argument("--updates", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    model = train(options.updates, options.seed)
    for left in range(THROWS, 0, -1):
        dice = odds(model, np.arange(25 if left < THROWS else 1), left).argmax(1)
        print(f"{left} throws left, dice thrown at 0, 1, 2, ... points: {''.join(map(str, dice))}")
    reached, best = exact(model), exact()
    print(f"return reached {reached:.4f}, the most that can be {best:.4f}")
    return reached, best


if __name__ == "__main__":
    main()
