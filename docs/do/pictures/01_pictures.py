r"""
Pictures of models and trainings
================================

``pip install -e ".[plot]"``. ``nnkit.plot`` has displays in scikit-learn's protocol: a method ``from_…`` draws at once,
into ``ax`` if that is given, and what was drawn stands in the display's attributes. Models are modules, Keras's models
or estimators.
"""

import numpy as np
from matplotlib import pyplot

import nnkit
from nnkit import nn, plot
from nnkit.datasets import digits

(x, y), (x_test, y_test) = digits.load_data()
x, x_test = x[:, None] / 16, x_test[:, None] / 16
nnkit.manual_seed(0)
model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 4 * 4, 10))
history = model.fit(
    x, y, loss="cross_entropy", epochs=8, metrics=["accuracy"], validation_data=(x_test, y_test), verbose=0
)
plot.HistoryDisplay.from_history(history)

# %%
# What was taken for what, and what the first layer looks for (each filter's number is that of its row and column
# together):

plot.ConfusionMatrixDisplay.from_model(model, x_test, y_test)
plot.FilterDisplay.from_model(model)

# %%
# What that layer makes of one image, and the values that each layer gives for many. Many zeros, or values that shrink
# from layer to layer, are a sign of a bad start.

plot.FeatureMapDisplay.from_model(model, x_test)
plot.ActivationDisplay.from_model(model, x_test)

# %%
# Two features can be seen whole:

random = np.random.default_rng(0)
angle = random.uniform(0, 2 * np.pi, 300)
label = random.integers(0, 2, 300)
places = np.stack([np.cos(angle), np.sin(angle)], axis=1) * (1 + label)[:, None] + random.normal(0, 0.2, (300, 2))
small = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))
small.fit(
    places, label, loss="cross_entropy", optimizer=nnkit.optim.Adam(small.parameters(), lr=0.02), epochs=60, verbose=0
)
figure, axes = pyplot.subplots(figsize=(4.5, 4), layout="constrained")
plot.DecisionBoundaryDisplay.from_model(small, places, label, ax=axes)
pyplot.show()

# %%
# ``RocCurveDisplay``, ``PrecisionRecallDisplay``, ``PredictionErrorDisplay``, ``WeightDisplay``, ``AttentionDisplay``,
# ``GradientFlowDisplay`` and ``LearningRateDisplay`` are there, too; the reference has an example of each.
