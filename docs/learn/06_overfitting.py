r"""
6. Overfitting, and what helps
==============================

*Key terms: overfitting* 过拟合, *regularization* 正则化, *validation set* 验证集, *early stopping* 早停,
*dropout* 随机失活, *weight decay* 权重衰减, *hyperparameter* 超参数

A network with many weights can learn a few samples by heart, noise and all, and then be wrong about all others. That
is **overfitting**. One sees it only on data that were kept aside: the **validation set**.

Here are 20 noisy points of a curve to learn from, 200 more to validate with, and a network with thousands of weights.
"""

import numpy as np

import nnkit
from nnkit import nn
from nnkit.training import EarlyStopping

random = np.random.default_rng(2)


def curve(x):
    return np.sin(3 * x)


def sample(count):
    x = random.uniform(-1.5, 1.5, (count, 1)).astype(np.float32)
    return x, (curve(x) + random.normal(0, 0.3, (count, 1))).astype(np.float32)


x, y = sample(20)
x_valid, y_valid = sample(200)


def network(dropout=0.0):
    nnkit.manual_seed(0)
    layers = []
    for inputs in (1, 64, 64):
        layers += [nn.Linear(inputs, 64), nn.Tanh(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(64, 1))


def train(model, data=(x, y), decay=0.0, callbacks=()):
    optimizer = nnkit.optim.AdamW(model.parameters(), lr=0.005, weight_decay=decay)
    return model.fit(
        *data, loss="mse", optimizer=optimizer, epochs=1000, batch_size=20, verbose=0, callbacks=callbacks,
        validation_data=(x_valid, y_valid),
    ).history  # fmt: skip


plain = network()
history = train(plain)
print(f"loss on its 20 points, at the end   {history['loss'][-1]:.3f}")
print(f"loss on others: lowest              {min(history['val_loss']):.3f}, at the end {history['val_loss'][-1]:.3f}")

# %%
# The loss on its own points sinks below what the noise allows (its variance is 0.09): the rest is learned by heart.
# What helps:
#
# - **more data**, where there are more;
# - **early stopping**: keep the weights of the epoch in which the validation loss was lowest;
# - **weight decay** (L2 regularization): all weights shrink a little in each step, so that large ones must be worth it;
# - **dropout**: in each step some neurons are left out at random, so that none can rely on one other;
# - **a smaller network**.

models, results = {"nothing": plain}, {"nothing": history}
models["early stopping"] = network()
stopping = EarlyStopping(patience=100, restore_best_weights=True)
results["early stopping"] = train(models["early stopping"], callbacks=[stopping])
models["weight decay"] = network()
results["weight decay"] = train(models["weight decay"], decay=2.0)
models["dropout"] = network(dropout=0.3)
results["dropout"] = train(models["dropout"])
models["200 points"] = network()
results["200 points"] = train(models["200 points"], data=sample(200))
for name, model in models.items():
    error = model.evaluate(x_valid, y_valid, loss="mse")["loss"]
    print(f"{name:15} {len(results[name]['loss']):5} epochs, loss on others {error:.3f}")

# %%

from matplotlib import pyplot

figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
left.plot(history["loss"], "--", color="C0", label="its own points")
left.plot(history["val_loss"], color="C3", label="others")
left.axhline(0.09, color="black", linestyle=":", linewidth=1, label="the noise")
left.set(xlabel="epoch", ylabel="loss", yscale="log", title="Nothing done: overfitting")
left.legend()
grid = np.linspace(-1.5, 1.5, 200, dtype=np.float32)[:, None]
right.plot(grid, curve(grid), "k:", label="the true curve")
for name, style in (("nothing", "C3-"), ("early stopping", "C0--"), ("200 points", "C2-.")):
    right.plot(grid, models[name].predict(grid), style, label=name)
right.scatter(x, y, s=25, color="black", zorder=3)
right.set(ylim=(-2.2, 2.8), title="What was learned from the points")
right.legend(fontsize=8, ncols=2, loc="upper left")
pyplot.show()

# %%
# How long to train, how much decay and how large a network are **hyperparameters**: nothing learns them, one tries.
# Try with the validation set; and if you try much, keep a third part of the data, the *test set*, for the last word,
# since by trying one overfits the validation set, too.
