r"""
7. Images
=========

*Key terms: convolution* 卷积, *filter (kernel)* 卷积核, *channel* 通道, *pooling* 池化, *accuracy* 准确率,
*confusion matrix* 混淆矩阵

To a dense layer an image is a row of numbers; that two pixels are neighbours it would have to find out. A
**convolution** looks through a small window, everywhere with the same weights: what is learned at one place is known
at all. Each of its **filters** makes one **channel** of the next image, and **pooling** makes the image smaller.

nnkit comes with 1,797 handwritten digits of 8 by 8 pixels (from UCI, as in scikit-learn).
"""

import numpy as np

import nnkit
from nnkit import nn
from nnkit.datasets import digits

(x, y), (x_test, y_test) = digits.load_data()
x, x_test = x[:, None] / 16, x_test[:, None] / 16  # (samples, channels, height, width), from 0 to 1
print(x.shape, x_test.shape)


def dense():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def convolutional():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 2 * 2, 10),
    )  # fmt: skip


def shifted(images, down, right):
    """Every image moved by so many pixels."""
    around = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    return around[:, :, 1 - down : 9 - down, 1 - right : 9 - right]


models = {}
for name, build in (("dense", dense), ("convolutional", convolutional)):
    nnkit.manual_seed(0)
    models[name] = model = build()
    optimizer = nnkit.optim.Adam(model.parameters(), lr=0.003)
    model.fit(x, y, loss="cross_entropy", optimizer=optimizer, epochs=10, metrics=["accuracy"], verbose=0)
    weights = sum(p.numel() for p in model.parameters())
    straight = model.evaluate(x_test, y_test)["accuracy"]
    moved = model.evaluate(shifted(x_test, 0, 1), y_test)["accuracy"]
    print(f"{name:14} {weights} weights, accuracy {straight:.3f}; with all digits moved by a pixel {moved:.3f}")

# %%
# The **accuracy** is the share of the digits that were named rightly. The convolutional network makes fewer errors.
# Digits that stand one pixel further right confuse both, since neither has seen any there, but the convolutional one
# less. Showing moved digits in training is the cure: *data augmentation* (``python examples/images.py --shifts``).
#
# What it got wrong
# -----------------
# An average hides which mistakes are made; a **confusion matrix** shows it. Rows are what was right, columns what was
# said:

model = models["convolutional"]
said = model.predict(x_test).argmax(axis=1)
table = np.zeros((10, 10), int)
np.add.at(table, (y_test, said), 1)
print(table)

# %%

from matplotlib import pyplot

wrong = np.flatnonzero(said != y_test)[:8]
filters = model[0].weight.detach().numpy()[:, 0]
most = np.abs(filters).max()
figure = pyplot.figure(figsize=(10, 3), layout="constrained")
left, right = figure.subfigures(1, 2)
left.suptitle("digits that it got wrong: what it said")
for place, axes in enumerate(left.subplots(2, 4).flat):
    axes.axis("off")
    if place < len(wrong):
        axes.imshow(x_test[wrong[place], 0], cmap="gray_r")
        axes.set_title(f"{said[wrong[place]]}, not {y_test[wrong[place]]}", fontsize=9)
right.suptitle("the first layer's 16 filters (blue: less, orange: more)")
from matplotlib.colors import LinearSegmentedColormap

colours = LinearSegmentedColormap.from_list("", ["#0072B2", "white", "#D55E00"])
for values, axes in zip(filters, right.subplots(2, 8).flat, strict=True):
    axes.axis("off")
    axes.imshow(values, cmap=colours, vmin=-most, vmax=most)
pyplot.show()
