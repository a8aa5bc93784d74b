r"""
8. Sequences
============

*Key terms: sequence* 序列, *recurrent neural network* 循环神经网络, *hidden state* 隐藏状态,
*gated recurrent unit* 门控循环单元, *attention* 注意力, *forecast* 预测

Words, notes and temperatures come one after another, and what a value means depends on those before. A **recurrent**
network reads one value at a time and keeps a **hidden state**, its memory of what it has read:

.. math:: h_t = f(W x_t + U h_{t-1} + b)

That plain form forgets quickly, since its gradient is multiplied by U at every step. An LSTM or a GRU has *gates* that
decide what is kept and what is overwritten. Here a GRU learns two rhythms in noise: one of 24 hours, one of nine.
"""

import numpy as np

import nnkit
from nnkit import nn

hours = np.arange(1500)
noise = np.random.default_rng(0).normal(size=1500)
series = np.sin(2 * np.pi * hours / 24) + 0.7 * np.sin(2 * np.pi * hours / 9) + 0.1 * noise
series = series.astype(np.float32)

WINDOW = 48
rows = np.lib.stride_tricks.sliding_window_view(series, WINDOW + 1)
x, y = rows[:, :-1, None], rows[:, -1:]  # 48 hours, and the hour that follows
x_train, y_train, x_test, y_test = x[:1100], y[:1100], x[1100 + WINDOW :], y[1100 + WINDOW :]
print(x_train.shape, y_train.shape)


class Forecaster(nn.Module):
    """Reads a window, and says from its last state how the next value will differ from the last one."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(1, 24, batch_first=True)
        self.out = nn.Linear(24, 1)

    def forward(self, x):
        states, last = self.gru(x)
        return x[:, -1] + self.out(states[:, -1])


nnkit.manual_seed(0)
model = Forecaster()
optimizer = nnkit.optim.Adam(model.parameters(), lr=0.01)
history = model.fit(x_train, y_train, loss="mse", optimizer=optimizer, epochs=20, batch_size=64, verbose=0)

# %%
# A forecast is only worth something beside a simple one. The noise, of variance 0.01, nobody can forecast.

forecast = model.predict(x_test)
print(f"mean squared error: the GRU                {np.mean((forecast - y_test) ** 2):.4f}")
print(f"                    the last value again   {np.mean((x_test[:, -1] - y_test) ** 2):.4f}")
print(f"                    the value a day before {np.mean((x_test[:, -24] - y_test) ** 2):.4f}")

# %%
# Going on alone
# --------------
# Fed with its own forecasts, it goes on for as long as one likes; its errors are fed back, too.

known = list(series[1100 : 1100 + WINDOW])
for hour in range(96):
    window = np.array(known[-WINDOW:], np.float32)[None, :, None]
    known.append(float(model.predict(window)[0, 0]))

from matplotlib import pyplot

figure, axes = pyplot.subplots(figsize=(9, 3.2), layout="constrained")
axes.plot(np.arange(-WINDOW, 96), series[1100 : 1100 + WINDOW + 96], color="black", linewidth=1, label="what happened")
axes.plot(np.arange(96), known[WINDOW:], "--", color="C3", linewidth=2, label="forecast from its own forecasts")
axes.axvspan(-WINDOW, 0, color="C5", alpha=0.2, label="what it was shown")
axes.set(xlabel="hours", ylabel="value", ylim=(-2.2, 3.2))
axes.legend(ncols=3, loc="upper center")
pyplot.show()

# %%
# **Attention** has no state: every place looks at all others at once and takes from each as much as seems to matter.
# ``nn.MultiheadAttention`` and ``nn.TransformerEncoderLayer`` are there; ``examples/language_model.py`` learns to write
# with them.
