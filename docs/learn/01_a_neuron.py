r"""
1. A neuron
===========

*Key terms: neuron* 神经元, *weight* 权重, *bias* 偏置, *activation function* 激活函数, *layer* 层,
*hidden layer* 隐藏层, *tensor* 张量, *training* 训练

A neuron takes some numbers, multiplies each by a **weight**, adds them up with a **bias**, and bends the sum by an
**activation function**:

.. math:: z = \sum_{i=1}^{n} w_i x_i + b, \qquad a = f(z)

Here is one with two inputs, worked out by hand.
"""

import numpy as np

w, b = np.array([2.0, -1.0]), 0.5
x = np.array([1.0, 3.0])
z = (w * x).sum() + b
a = 1 / (1 + np.exp(-z))  # the sigmoid squeezes any number between 0 and 1
print(f"z = {z}, a = {a:.4f}")

# %%
# nnkit calls it ``nn.Linear(2, 1)``: two numbers in, one out. ``nn.Sequential`` runs its parts one after another. The
# weights begin as random numbers, so that we put ours in their place. A **tensor** is nnkit's array: here two samples,
# one in each row, which are computed at once.

import nnkit
from nnkit import nn

nnkit.manual_seed(0)
neuron = nn.Sequential(nn.Linear(2, 1), nn.Sigmoid())
neuron[0].load_state_dict({"weight": nnkit.tensor([[2.0, -1.0]]), "bias": nnkit.tensor([0.5])})
print(neuron(nnkit.tensor([[1.0, 3.0], [1.0, 0.0]])))

# %%
# What one neuron can do
# ----------------------
# Where z = 0 the output is one half: a straight line through the plane of the two inputs. On one side of it the neuron
# says rather yes, on the other rather no. That is enough for *and* and *or*. For *exclusive or* (one of them, but not
# both) no straight line will do, however the weights are chosen, so that training ends without success.
#
# To train is to change the weights, little by little, until the answers are near those that are wanted. ``fit`` does
# it; what its words mean is the matter of the next chapters: *loss* and *epochs* of the second, *optimizer* of the
# fifth.

corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
wanted = {"and": [0, 0, 0, 1], "or": [0, 1, 1, 1], "exclusive or": [0, 1, 1, 0]}


def trained(model, labels):
    target = np.array(labels, np.float32)[:, None]
    optimizer = nnkit.optim.Adam(model.parameters(), lr=0.05)
    model.fit(corners, target, loss="bce", optimizer=optimizer, epochs=500, verbose=0)
    return model


for name, labels in wanted.items():
    answers = trained(nn.Sequential(nn.Linear(2, 1), nn.Sigmoid()), labels).predict(corners)
    print(f"{name:12} wanted {labels}  one neuron says {answers[:, 0].round(2)}")

# %%
# Neurons in layers
# -----------------
# Eight neurons that look at the same two inputs are a **layer**; one more that looks at the eight makes a network with
# a **hidden layer**. It bends the line, and *exclusive or* is no difficulty any more.

network = trained(nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1), nn.Sigmoid()), wanted["exclusive or"])
print("exclusive or:", network.predict(corners)[:, 0].round(2))

# %%
# The picture shows what each says for every place of the plane. The white line is where it says one half.

from matplotlib import pyplot

one = trained(nn.Sequential(nn.Linear(2, 1), nn.Sigmoid()), wanted["and"])
side = np.linspace(-0.5, 1.5, 81, dtype=np.float32)
places = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
figure, panels = pyplot.subplots(1, 2, figsize=(8, 3.6), sharey=True, layout="constrained")
for axes, model, name in zip(panels, (one, network), ("and", "exclusive or"), strict=True):
    said = model.predict(places).reshape(81, 81)
    colours = axes.pcolormesh(side, side, said, vmin=0, vmax=1, shading="gouraud")
    axes.contour(side, side, said, [0.5], colors="white")
    for label, marker in ((0, "o"), (1, "s")):
        chosen = corners[np.array(wanted[name]) == label]
        axes.scatter(*chosen.T, marker=marker, s=70, c="white", edgecolors="black", label=f"wanted {label}")
    axes.set(title=f"{name}: {'one neuron' if model is one else 'a hidden layer of 8'}", xlabel="first input")
panels[0].set_ylabel("second input")
panels[0].legend(loc="lower left")
figure.colorbar(colours, label="what it says")
pyplot.show()
