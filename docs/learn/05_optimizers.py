r"""
5. Optimizers, drawn as paths
=============================

*Key terms: optimizer* 优化器, *gradient descent* 梯度下降, *momentum* 动量, *adaptive learning rate* 自适应学习率,
*stochastic gradient descent* 随机梯度下降

An **optimizer** decides what is done with the gradient. To see it, here is a loss with only two weights: a long
valley, steep across and flat along, with its lowest place at (0, 0).

.. math:: L(u, v) = \tfrac{1}{2}\,(0.05\,u^2 + 2\,v^2)

Plain **gradient descent** has one learning rate for both directions: what is right along the valley is too much across
it. **Momentum** remembers the last steps and goes on as a ball would. **RMSprop** and **Adam** divide each weight's
step by how large its gradients have been, so that all directions go at the same speed; Adam has momentum besides.
"""

import numpy as np

import nnkit
from nnkit import optim

curvature = nnkit.tensor([0.05, 2.0])
start = [-9.0, 2.0]
optimizers = {
    "gradient descent": lambda weights: optim.SGD(weights, lr=0.9),
    "with momentum": lambda weights: optim.SGD(weights, lr=0.3, momentum=0.85),
    "RMSprop": lambda weights: optim.RMSprop(weights, lr=0.2),
    "Adam": lambda weights: optim.Adam(weights, lr=0.5),
}


def path(make, steps=150):
    weights = nnkit.tensor(start, requires_grad=True)
    optimizer = make([weights])
    places = [weights.detach().numpy().copy()]
    for step in range(steps):
        optimizer.zero_grad()
        loss = 0.5 * (curvature * weights**2).sum()
        loss.backward()
        optimizer.step()
        places.append(weights.detach().numpy().copy())
    return np.array(places)


paths = {name: path(make) for name, make in optimizers.items()}
for name, places in paths.items():
    losses = 0.5 * (curvature.numpy() * places**2).sum(axis=1)
    below = np.flatnonzero(losses < 0.01)
    print(f"{name:17} loss after 20 steps {losses[20]:.4f}, below 0.01 from step {below[0] if len(below) else '-'}")

# %%
# The paths of the first 40 steps, on the surface seen from above:

from matplotlib import pyplot

u, v = np.meshgrid(np.linspace(-10, 4, 141), np.linspace(-2.6, 2.6, 105))
surface = 0.5 * (0.05 * u**2 + 2 * v**2)
figure, panels = pyplot.subplots(2, 2, figsize=(9, 5), sharex=True, sharey=True, layout="constrained")
for axes, (name, places), colour in zip(panels.flat, paths.items(), ("C3", "C0", "C1", "C2"), strict=True):
    axes.contour(u, v, surface, np.geomspace(0.01, 8, 12), colors="grey", linewidths=0.6)
    axes.plot(*places[:41].T, "o-", color=colour, markersize=3, linewidth=1.2)
    axes.plot(0, 0, "k*", markersize=12)
    axes.set(title=name, xlabel="u", ylabel="v")
    axes.label_outer()
pyplot.show()

# %%
# On data
# -------
# A network's loss is a surface over thousands of weights, and each batch shows only a noisy piece of it, hence
# *stochastic* gradient descent. Adam with its learning rate of 0.001 is a good first try for almost anything;
# momentum with a well-chosen rate is often as good in the end. The same small network on the digits that come with
# nnkit, for five epochs each:

from nnkit import nn
from nnkit.datasets import digits

(x, y), (x_test, y_test) = digits.load_data()
choices = {
    "gradient descent": lambda weights: optim.SGD(weights, lr=0.05),
    "with momentum": lambda weights: optim.SGD(weights, lr=0.05, momentum=0.9),
    "RMSprop": lambda weights: optim.RMSprop(weights, lr=0.001),
    "Adam": lambda weights: optim.Adam(weights, lr=0.001),
}
for name, make in choices.items():
    nnkit.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    history = model.fit(x / 16, y, loss="cross_entropy", optimizer=make(model.parameters()), epochs=5, verbose=0)
    print(f"{name:17}", " ".join(f"{loss:.3f}" for loss in history.history["loss"]))
