r"""
2. Linear regression
====================

*Key terms: linear regression* 线性回归, *loss function* 损失函数, *mean squared error* 均方误差,
*gradient descent* 梯度下降, *learning rate* 学习率, *epoch* 轮次

A neuron without an activation function is a straight line (with more inputs: a plane), and fitting it to data is
**linear regression**. The data here are made up: the prices of flats by their size and age.
"""

import numpy as np

random = np.random.default_rng(0)
size, age = random.uniform(30, 150, 200), random.uniform(0, 60, 200)
price = 50 + 3.0 * size - 1.5 * age + random.normal(0, 25, 200)  # in thousands
X = np.stack([size, age], axis=1)
X = (X - X.mean(axis=0)) / X.std(axis=0)  # both columns alike in range: training needs far fewer steps
y = price / 100
X_train, X_test, y_train, y_test = X[:160], X[160:], y[:160], y[160:]

# %%
# How wrong is it?
# ----------------
# The **loss** says in one number how wrong the predictions are. For numbers it is commonly the mean squared error,
#
# .. math:: L = \frac{1}{n}\sum_{i=1}^{n} (y_i - \hat{y}_i)^2
#
# **Gradient descent** makes it smaller: compute in which direction each weight makes the loss grow, and go a little
# the other way. How little is the **learning rate** :math:`\alpha`:
#
# .. math:: w \leftarrow w - \alpha\,\frac{\partial L}{\partial w}, \qquad
#           \frac{\partial L}{\partial w} = \frac{2}{n} X^\top(\hat{y} - y)
#
# All of it by hand:

weights, bias, rate = np.zeros(2), 0.0, 0.1
losses = []
for step in range(50):
    error = X_train @ weights + bias - y_train
    losses.append((error**2).mean())
    weights -= rate * 2 / len(error) * X_train.T @ error
    bias -= rate * 2 / len(error) * error.sum()
print("by hand:      ", weights.round(4), round(float(bias), 4))

# %%
# With nnkit
# ----------
# ``model.fit`` does the same: it goes through the data in portions (batches), and once through all of them is an
# **epoch**. With one batch of all 160 rows and plain gradient descent, the numbers are those from above: ``nn.Linear``
# starts from random weights instead of zeros, but after 50 steps nothing is left of that.

import nnkit
from nnkit import nn

nnkit.manual_seed(0)
model = nn.Linear(2, 1)
descent = nnkit.optim.SGD(model.parameters(), lr=rate)
history = model.fit(X_train, y_train[:, None], loss="mse", optimizer=descent, epochs=50, batch_size=160, verbose=0)
print("with nnkit:   ", model.weight.detach().numpy()[0].round(4), round(model.bias.item(), 4))

# %%
# For a straight line there is a formula, too, that needs no steps. Networks have none: that is why they are trained.

columns = np.column_stack([X_train, np.ones(160)])
print("least squares:", np.linalg.lstsq(columns, y_train)[0].round(4))
print("mean squared error on flats it has not seen:", round(model.evaluate(X_test, y_test[:, None])["loss"], 4))

# %%
# The learning rate decides how fast it goes, and from some point on whether it goes at all:

from matplotlib import pyplot

figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for number, rate in enumerate((0.01, 0.1, 0.5, 1.02)):
    weights, bias, losses = np.zeros(2), 0.0, []
    for step in range(40):
        error = X_train @ weights + bias - y_train
        losses.append((error**2).mean())
        weights -= rate * 2 / len(error) * X_train.T @ error
        bias -= rate * 2 / len(error) * error.sum()
    left.plot(losses, "-" if rate <= 0.5 else "--", label=f"learning rate {rate}")
left.set(yscale="log", xlabel="step", ylabel="loss", title="Too slow, right, too fast")
left.legend()
right.scatter(y_test * 100, model.predict(X_test)[:, 0] * 100, s=20)
right.plot([0, 500], [0, 500], "k:", label="as it should be")
right.set(xlabel="price in thousands", ylabel="predicted", title="Flats it has not seen")
right.legend()
pyplot.show()
