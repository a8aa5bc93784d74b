r"""
3. Gradients, by hand and by the tape
=====================================

*Key terms: forward propagation* 前向传播, *backpropagation* 反向传播, *chain rule* 链式法则, *gradient* 梯度,
*automatic differentiation* 自动微分

A network of two layers computes, forward,

.. math:: z^{(l)} = W^{(l)} a^{(l-1)} + b^{(l)}, \qquad a^{(l)} = f(z^{(l)}),

and the **chain rule** gives, backward, how the loss L grows with every weight:

.. math:: \frac{\partial L}{\partial W^{(l)}} = \frac{\partial L}{\partial a^{(l)}}
          \frac{\partial a^{(l)}}{\partial z^{(l)}} \frac{\partial z^{(l)}}{\partial W^{(l)}}

By hand
-------
Rows are samples, so that each layer is ``x @ W.T + b``. Going backward, each line below undoes one line above.
"""

import numpy as np

random = np.random.default_rng(0)
x, y = random.normal(size=(6, 3)), random.normal(size=(6, 1))
W1, b1 = random.normal(size=(4, 3)), np.zeros(4)
W2, b2 = random.normal(size=(1, 4)), np.zeros(1)

z1 = x @ W1.T + b1  # forward
a1 = np.tanh(z1)
z2 = a1 @ W2.T + b2
L = ((z2 - y) ** 2).mean()

dz2 = 2 * (z2 - y) / len(y)  # backward
dW2, db2 = dz2.T @ a1, dz2.sum(axis=0)
da1 = dz2 @ W2
dz1 = da1 * (1 - a1**2)  # the slope of tanh, from its own output
dW1, db1 = dz1.T @ x, dz1.sum(axis=0)
print(f"loss {L:.6f}")
print(dW1.round(4))

# %%
# By the tape
# -----------
# Nobody does this by hand for a large network. nnkit writes down each operation as it is computed (the *tape*), and
# ``backward()`` goes through what is written from the end to the beginning; each operation knows its own line of the
# chain rule. ``requires_grad=True`` says for which tensors the gradient is wanted.

import nnkit

tensors = [nnkit.tensor(array, dtype=nnkit.float64, requires_grad=True) for array in (W1, b1, W2, b2)]
V1, c1, V2, c2 = tensors
prediction = nnkit.tanh(nnkit.tensor(x) @ V1.T + c1) @ V2.T + c2
loss = ((prediction - nnkit.tensor(y)) ** 2).mean()
loss.backward()
print(f"loss {loss.item():.6f}")
for name, tensor, by_hand in zip(("W1", "b1", "W2", "b2"), tensors, (dW1, db1, dW2, db2), strict=True):
    print(f"{name}: largest difference between tape and hand {np.abs(tensor.grad.numpy() - by_hand).max():.0e}")

# %%
# By trying
# ---------
# A third way: change one weight a little and see how the loss changes. It costs two forward passes for every single
# weight, so that it is no way to train, but it is a good way to *test* gradients (``nnkit.autograd.gradcheck`` does).
# How little is a little? Too large a step sees the curve instead of the slope; too small a one sees only rounding.


def loss_at(change):
    changed = W1.copy()
    changed[0, 0] += change
    return ((np.tanh(x @ changed.T + b1) @ W2.T + b2 - y) ** 2).mean()


steps = 10.0 ** np.arange(-14, 0.5, 0.5)
errors = [abs((loss_at(h) - loss_at(-h)) / (2 * h) - dW1[0, 0]) for h in steps]
best = steps[int(np.argmin(errors))]
print("smallest error where the step is between 1e-7 and 1e-4:", bool(1e-7 <= best <= 1e-4))

# %%

from matplotlib import pyplot

figure, axes = pyplot.subplots(figsize=(6, 3.6), layout="constrained")
axes.loglog(steps, np.maximum(errors, 1e-17), "o-")
axes.set(xlabel="step h", ylabel="error of the slope", title="Slopes by trying, beside the chain rule")
axes.annotate("rounding", (1e-12, 1e-3), ha="left")
axes.annotate("the curve", (2e-2, 2e-5), ha="left", va="top")
pyplot.show()
