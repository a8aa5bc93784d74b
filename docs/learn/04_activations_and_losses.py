r"""
4. Activations and losses
=========================

*Key terms: activation function* 激活函数, *cross-entropy* 交叉熵, *softmax* 归一化指数函数, *logits* 未归一化的得分,
*probability* 概率

Without an activation function between them, two layers are no more than one: a line of a line is a line. The common
ones, and their slopes, which is what a gradient is multiplied by on its way back:

.. math:: \sigma(x) = \frac{1}{1 + e^{-x}}, \qquad \tanh(x) = \frac{e^x - e^{-x}}{e^x + e^{-x}}, \qquad
          \mathrm{ReLU}(x) = \max(0, x)

GELU is ReLU with its corner rounded off; transformers use it.
"""

import numpy as np
from matplotlib import pyplot

import nnkit
from nnkit.nn import functional as F

functions = {"sigmoid": nnkit.sigmoid, "tanh": nnkit.tanh, "ReLU": F.relu, "GELU": F.gelu}
figure, panels = pyplot.subplots(1, 4, figsize=(10, 2.8), sharey=True, layout="constrained")
for axes, (name, function) in zip(panels, functions.items(), strict=True):
    x = nnkit.linspace(-4.0, 4.0, 161, requires_grad=True)
    y = function(x)
    y.sum().backward()
    axes.plot(x.detach().numpy(), y.detach().numpy(), label="value")
    axes.plot(x.detach().numpy(), x.grad.numpy(), "--", label="slope")
    axes.set(title=name, xlabel="x", ylim=(-1.2, 2.5))
    axes.axhline(0, color="grey", linewidth=0.5)
panels[0].legend()

# %%
# The sigmoid's slope is never more than a quarter, and nearly nothing away from 0: through ten such layers hardly
# anything of a gradient is left. ReLU's is 1 wherever it is not 0, which made deep networks trainable.

for name, function in functions.items():
    x = nnkit.linspace(-4.0, 4.0, 161, requires_grad=True)
    function(x).sum().backward()
    print(f"{name:8} largest slope {x.grad.max().item():.3f}")

# %%
# From scores to probabilities
# ----------------------------
# For classes, the last layer gives a score for each (**logits**), and **softmax** makes probabilities of them, which
# are positive and add up to 1. The **cross-entropy** is minus the logarithm of the probability that the right class
# got: 0 where the network was certain and right, and large where it was certain and wrong.

scores = nnkit.tensor([[2.0, 1.0, -1.0]])
probabilities = F.softmax(scores, dim=1)
print("probabilities", probabilities.numpy().round(4))
for right in range(3):
    by_hand = -np.log(probabilities.numpy()[0, right])
    print(f"right class {right}: {by_hand:.4f}  by nnkit {F.cross_entropy(scores, nnkit.tensor([right])).item():.4f}")

# %%
# A common mistake
# ----------------
# ``cross_entropy`` (and ``nn.CrossEntropyLoss``) takes *scores*, as in PyTorch, and does the softmax itself. Many
# published programs put a softmax before it, too. They run and even learn, but slowly: with probabilities, which lie
# between 0 and 1, in place of scores, the loss of a perfect answer is not 0. For ten classes:

perfect = nnkit.tensor([[1.0] + [0.0] * 9])  # all of the probability on the right class
print(f"softmax twice, perfect answer: {F.cross_entropy(perfect, nnkit.tensor([0])).item():.4f}")
print(f"scores, a good answer:         {F.cross_entropy(perfect * 20, nnkit.tensor([0])).item():.4f}")

# %%
# In Keras's words it is the other way round: ``loss="sparse_categorical_crossentropy"`` expects probabilities unless
# it is told ``from_logits=True``. Which loss for what ("bce" is binary cross-entropy, that of two classes):
#
# ============================ ====================== ==================================
# what is predicted            last layer gives       loss
# ============================ ====================== ==================================
# a number                     the number             ``"mse"`` (mean squared error)
# a number, some far off       the number             ``"huber"`` (squared only near 0)
# one of several classes       a score for each       ``"cross_entropy"``
# yes or no                    one score              ``"bce_with_logits"``
# several yes-or-no at once    a score for each       ``"bce_with_logits"``
# ============================ ====================== ==================================
#
# Squared error for yes or no would do, too, but it hardly pushes where it would have to push most: where the network
# is certain and wrong, the sigmoid is flat.

z = nnkit.linspace(-6.0, 6.0, 121, requires_grad=True)
target = nnkit.ones(121)
figure, (left, right) = pyplot.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
for name, losses in (
    ("cross-entropy", F.binary_cross_entropy_with_logits(z, target, reduction="none")),
    ("squared error", (nnkit.sigmoid(z) - target) ** 2),
):
    slopes = nnkit.autograd.grad(losses.sum(), z)[0]
    left.plot(z.detach().numpy(), losses.detach().numpy(), "-" if name[0] == "c" else "--", label=name)
    right.plot(z.detach().numpy(), slopes.numpy(), "-" if name[0] == "c" else "--", label=name)
left.set(title="loss where the answer is yes", xlabel="score")
right.set(title="its slope", xlabel="score")
left.legend()
pyplot.show()
