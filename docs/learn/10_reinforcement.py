r"""
10. Reinforcement
=================

*Key terms: reinforcement learning* 强化学习, *state* 状态, *action* 动作, *policy* 策略, *reward* 奖励,
*return* 回报, *baseline* 基线

No right answers this time, only a **reward** at the end. The game: throw a die as often as you like. What it shows adds
up, but a 1 loses everything and ends the game. At which number of points should one stop?

A **policy** says how likely each **action** is in each **state**; here a network that sees the points and gives a
score to stopping and one to throwing again. REINFORCE (Williams 1992) plays games with the policy as it is, and makes
each action likelier by how much more the game won than a **baseline** b, the average:

.. math:: L = -\frac{1}{n}\sum_{t} (R_t - b)\,\log p(a_t \mid s_t)
"""

import numpy as np

import nnkit
from nnkit import nn
from nnkit.distributions import Categorical

nnkit.manual_seed(0)
random = np.random.default_rng(0)
GAMES, THROWS = 512, 12
policy = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 2))
optimizer = nnkit.optim.Adam(policy.parameters(), lr=0.01)


def seen(points):
    return nnkit.tensor((np.asarray(points)[:, None] / 10).astype(np.float32))


def play():
    """Many games at once: the states, the actions, whether the game still went on, and what it won."""
    points, going = np.zeros(GAMES), np.ones(GAMES, bool)
    states, actions, counts = [], [], []
    for throw in range(THROWS):
        with nnkit.no_grad():
            action = Categorical(logits=policy(seen(points))).sample().numpy()
        states.append(points), actions.append(action), counts.append(going)
        going = going & (action == 1)
        die = random.integers(1, 7, GAMES)
        points = np.where(going & (die == 1), 0, np.where(going, points + die, points))
        going = going & (die != 1)
    return np.concatenate(states), np.concatenate(actions), np.concatenate(counts), points


@nnkit.compile
def learn(states, actions, weights):
    log_p = Categorical(logits=policy(states)).log_prob(actions)
    loss = -(weights * log_p).sum() / weights.shape[0]
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


won = []
for update in range(200):
    states, actions, counts, points = play()
    won.append(points.mean())
    better = np.tile(points - points.mean(), THROWS) * counts  # nothing where the game was over
    learn(seen(states), nnkit.tensor(actions), nnkit.tensor(better.astype(np.float32)))
for number in (0, 20, 50, 190):
    print(f"after {number:3} updates: {np.mean(won[number : number + 10]):.2f} points a game")

# %%
# What the best player does
# -------------------------
# This game is small enough to be solved. With s points, throwing once more gives s plus 4 on average, but only in five
# cases of six: 5/6 (s + 4), which is more than s as long as s is below 20. So: stop at 20. What that wins:

value = np.arange(40.0)
for points in range(19, -1, -1):
    value[points] = value[points + 2 : points + 7].sum() / 6
best = value[0]
print(f"the best player wins {best:.2f} points a game on average")
with nnkit.no_grad():
    throws = Categorical(logits=policy(seen(np.arange(31)))).probs.numpy()[:, 1]
print("the network rather stops from", int(np.flatnonzero(throws < 0.5)[0]), "points on")

# %%

from matplotlib import pyplot

figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
left.plot(won, linewidth=0.8, color="C5", label="one update's games")
left.plot(np.arange(9, 200), np.convolve(won, np.ones(10) / 10, "valid"), color="C0", label="average of ten")
left.axhline(best, color="black", linestyle=":", label="the best player")
left.set(xlabel="update", ylabel="points a game")
left.legend()
right.plot(np.arange(31), throws, color="C3", label="the network")
right.step([0, 20, 20, 30], [1, 1, 0, 0], "k:", where="post", label="the best player")
right.set(xlabel="points so far", ylabel="how likely it throws again")
right.legend()
pyplot.show()

# %%
# ``examples/policy_gradient.py`` has a game with more choices and a network for the baseline, ``examples/deep_q.py``
# learns the value of each action instead (deep Q-learning).
