"""Deep Q-learning on slippery ground: a net learns from remembered steps the way round the holes.

python examples/deep_q.py                             about 16 seconds on one core
python examples/deep_q.py --steps 8000 --slip 0     ground that is not slippery needs less practice

It prints, as it learns, the return of always taking the action that the net likes best, worked out exactly from the
ground's probabilities, beside the most that any way of acting can reach (by value iteration); then the way it found.
Mnih et al., Human-level control through deep reinforcement learning, 2015; the action in the target is chosen by the
net that learns, as in van Hasselt et al., Deep reinforcement learning with double Q-learning, 2015.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

import nnkit
from nnkit import nn

GROUND = ("S....", ".O.O.", ".....", ".O.O.", "....G")  # start, holes (-1 and over), goal (+1 and over)
MOVES, ARROWS = ((-1, 0), (0, 1), (1, 0), (0, -1)), "^>v<"
GAMMA = 0.97
BATCH, MEMORY, WARM, COPY = 128, 50_000, 500, 500

SIZE, CELLS = len(GROUND), "".join(GROUND)
STATES = len(CELLS)
REWARDS = np.array([{"O": -1.0, "G": 1.0}.get(cell, 0.0) for cell in CELLS], np.float32)  # for coming there
OVER = np.array([cell in "OG" for cell in CELLS])
SEEN = np.concatenate([np.repeat(np.eye(SIZE), SIZE, 0), np.tile(np.eye(SIZE), (SIZE, 1))], 1).astype(np.float32)


def ground(slip: float) -> np.ndarray:
    """How likely each action leads from each place to each (STATES, 4, STATES); walls hold one back.

    A step goes to the left of where it should as often as ``slip`` says, and as often to the right.
    """
    chances = np.zeros((STATES, 4, STATES))
    for state, action in np.ndindex(STATES, 4):
        for turn, chance in ((0, 1 - 2 * slip), (1, slip), (3, slip)):
            down, right = MOVES[(action + turn) % 4]
            row, column = np.clip(state // SIZE + down, 0, SIZE - 1), np.clip(state % SIZE + right, 0, SIZE - 1)
            chances[state, action, row * SIZE + column] += chance
    return chances


def value(chances: np.ndarray, policy: np.ndarray | None = None) -> float:
    """The expected discounted return from the start of a policy (STATES,), or of the best one."""
    values = np.zeros(STATES)
    for _ in range(1000):
        actions = chances @ (REWARDS + GAMMA * np.where(OVER, 0.0, values))
        values = actions.max(1) if policy is None else actions[np.arange(STATES), policy]
    return float(values[CELLS.index("S")])


def rows(steps: np.ndarray) -> list[nnkit.Tensor]:
    """What is seen before, actions, rewards, what is seen after, and 0 where it was over, of steps (N, 3)."""
    before, action, after = steps.T
    return [nnkit.tensor(x) for x in (SEEN[before], action, REWARDS[after], SEEN[after], (~OVER[after]).astype("f4"))]


def train(steps: int, seed: int, chances: np.ndarray) -> np.ndarray:
    """Walk, remember, learn; the action that the net likes best in each place."""
    nnkit.manual_seed(seed)
    random, best = np.random.default_rng(seed), value(chances)
    memory = np.zeros((MEMORY, 3), np.int64)  # the last steps: place, action, place after
    model, target = (nn.Sequential(nn.Linear(2 * SIZE, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))
                     for _ in range(2))  # fmt: skip
    optimizer = nnkit.optim.Adam(model.parameters(), lr=1e-3)
    schedule = nnkit.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, steps)

    @nnkit.compile
    def learn(seen: nnkit.Tensor, action: nnkit.Tensor, reward: nnkit.Tensor, after: nnkit.Tensor,
              goes_on: nnkit.Tensor) -> nnkit.Tensor:  # fmt: skip
        with nnkit.no_grad():
            chosen = model(after).argmax(1, keepdim=True)
            aim = reward + GAMMA * goes_on * target(after).gather(1, chosen).squeeze(1)
        loss = nn.functional.mse_loss(model(seen).gather(1, action.unsqueeze(1)).squeeze(1), aim)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    policy, state = np.zeros(STATES, np.int64), CELLS.index("S")
    for number in range(steps):
        explores = random.random() < max(0.2, 1 - 2 * number / steps)
        action = int(random.integers(4)) if explores else int(model.predict(SEEN[state : state + 1]).argmax())
        after = int(random.choice(STATES, p=chances[state, action]))
        memory[number % MEMORY] = state, action, after
        state = CELLS.index("S") if OVER[after] else after
        if number >= WARM:
            learn(*rows(memory[random.integers(0, min(number + 1, MEMORY), BATCH)]))
            schedule.step()
        if number % COPY == 0:
            target.load_state_dict(model.state_dict())
        if (number + 1) % max(steps // 5, 1) == 0:
            policy = model.predict(SEEN).argmax(1)
            print(f"step {number + 1:6}: return {value(chances, policy):.4f}, at best {best:.4f}")
    return policy


def main(arguments: Sequence[str] | None = None) -> tuple[float, float]:
    """Train, print; the return reached, and the most that can be."""
    parser = argparse.ArgumentParser(description="Learn to cross slippery ground by deep Q-learning.")
    parser.add_argument("--steps", type=int, default=40_000)
    parser.add_argument("--slip", type=float, default=0.05, help="how often a step goes left instead, or right")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    chances = ground(options.slip)
    policy = train(options.steps, options.seed, chances)
    way = "".join(cell if cell in "OG" else ARROWS[action] for cell, action in zip(CELLS, policy, strict=True))
    print(*(way[row : row + SIZE] for row in range(0, STATES, SIZE)), sep="\n")
    reached, best = value(chances, policy), value(chances)
    print(f"return reached {reached:.4f}, the most that can be {best:.4f}")
    return reached, best


if __name__ == "__main__":
    main()
