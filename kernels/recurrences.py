"""One step of a recurrent layer for one hidden unit, forward and back; definitions are PyTorch's.

``z…`` is what enters a gate, the products of the input and of the hidden state added up; ``h`` is the hidden state
before the step, ``c`` the cell state. A ``…_back`` takes the gradient ``dh`` of the hidden state after the step.
"""

from __future__ import annotations

from nnkit.kernels.formulas import sigmoid
from nnkit.kernels.vocabulary import tanh

#: Kind of layer -> how many gates it has.
GATES = {"tanh": 1, "relu": 1, "lstm": 4, "gru": 3}
#: The kinds that are one activation -> its formula.
STATELESS = {"tanh": "hyperbolic_tangent", "relu": "relu"}


def lstm_step(zi, zf, zg, zo, c):
    """The gates i, f, g, o, and the cell state and hidden state after: Hochreiter and Schmidhuber, 1997; Gers, 2000."""
    i, f, g, o = sigmoid(zi), sigmoid(zf), tanh(zg), sigmoid(zo)
    after = f * c + i * g
    return i, f, g, o, after, o * tanh(after)


def lstm_step_back(dh, dc, i, f, g, o, c, after):
    """The gradients of zi, zf, zg, zo and of c; ``dc`` is that of the cell state after the step."""
    t = tanh(after)
    dc = dc + dh * o * (1.0 - t * t)
    return dc * g * i * (1.0 - i), dc * c * f * (1.0 - f), dc * i * (1.0 - g * g), dh * t * o * (1.0 - o), dc * f


def gru_step(xr, xz, xn, hr, hz, hn, h):
    """The gates r, z, n, and the hidden state after: Cho et al., 2014, with the reset after the product.

    ``x…`` are the input's products, ``h…`` those of the hidden state.
    """
    r, z = sigmoid(xr + hr), sigmoid(xz + hz)
    n = tanh(xn + r * hn)
    return r, z, n, n + z * (h - n)


def gru_step_back(dh, r, z, n, hn, h):
    """The gradients of xr, xz, xn, of hn, and of h on the way beside the products; hr's is xr's, and hz's is xz's."""
    dn = dh * (1.0 - z) * (1.0 - n * n)
    return dn * hn * r * (1.0 - r), dh * (h - n) * z * (1.0 - z), dn, dn * r, dh * z
