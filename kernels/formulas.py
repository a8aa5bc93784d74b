"""The scalar mathematics of layers and losses, each formula written once.

Every backend runs this text: the reference over arrays, the compiled CPU kernels, CUDA. See ``vocabulary`` for the
words a formula may use. A gradient stands below its function and is named after it with ``_grad``; its parameters
say what must be kept from the forward pass: ``dy`` is the gradient that comes in, ``x`` the function's input,
``y`` its output. At corners, infinities and NaN a gradient is PyTorch's wherever that is finite.
Arithmetic is in ``arithmetic``, rounding in ``rounding``, optimizer updates are in ``updates``.

To add an activation: write ``name`` and ``name_grad`` here, and add the name to ``ACTIVATIONS``.
"""

from __future__ import annotations

from nnkit.kernels.vocabulary import (
    absolute,
    cos,
    erf,
    exp,
    expm1,
    log,
    log1p,
    maximum,
    minimum,
    sign,
    sqrt,
    tanh,
    where,
)

SQRT_HALF = 0.7071067811865476
INVERSE_SQRT_TWO_PI = 0.3989422804014327
SQRT_TWO_OVER_PI = 0.7978845608028654
SELU_SCALE = 1.0507009873554805
SELU_ALPHA = 1.6732632423543772

# fmt: off
#: The activations that ``linear`` fuses and ``activation`` applies: name -> formula.
ACTIVATIONS = {name: name for name in (
    "identity", "relu", "leaky_relu", "elu", "selu", "gelu", "gelu_tanh", "silu", "mish", "sigmoid",
    "softplus", "softsign", "hardtanh", "relu6", "hard_sigmoid", "hardswish", "celu", "log_sigmoid", "hardshrink",
    "softshrink", "tanhshrink", "threshold",
)} | {"tanh": "hyperbolic_tangent"}
# fmt: on


# ---- activations ------------------------------------------------------------------------------------------


def identity(x):
    return x


def identity_grad(dy, y):
    return dy


def relu(x):
    # maximum and not where(x > 0, x, 0): NaN must come out as NaN.
    return maximum(x, 0.0)


def relu_grad(dy, y):
    return where(y <= 0.0, 0.0, dy)


def leaky_relu(x, *, negative_slope=0.01):
    return where(x > 0.0, x, x * negative_slope)


def leaky_relu_grad(dy, x, *, negative_slope):
    return where(x > 0.0, dy, dy * negative_slope)


def elu(x, *, alpha=1.0):
    return where(x > 0.0, x, alpha * expm1(minimum(x, 0.0)))


def elu_grad(dy, x, *, alpha):
    return where(x <= 0.0, dy * alpha * exp(minimum(x, 0.0)), dy)


def selu(x):
    """Klambauer et al., Self-Normalizing Neural Networks, 2017."""
    return SELU_SCALE * where(x > 0.0, x, SELU_ALPHA * expm1(minimum(x, 0.0)))


def selu_grad(dy, x):
    return dy * SELU_SCALE * where(x <= 0.0, SELU_ALPHA * exp(minimum(x, 0.0)), 1.0)


def gelu(x):
    """x Phi(x): Hendrycks and Gimpel, Gaussian Error Linear Units, 2016."""
    return 0.5 * x * (1.0 + erf(x * SQRT_HALF))


def gelu_grad(dy, x):
    return dy * (0.5 * (1.0 + erf(x * SQRT_HALF)) + x * INVERSE_SQRT_TWO_PI * exp(-0.5 * x * x))


def gelu_tanh(x):
    """The tanh approximation of gelu, as PyTorch's ``approximate="tanh"``."""
    return 0.5 * x * (1.0 + tanh(SQRT_TWO_OVER_PI * (x + 0.044715 * x * x * x)))


def gelu_tanh_grad(dy, x):
    t = tanh(SQRT_TWO_OVER_PI * (x + 0.044715 * x * x * x))
    return dy * 0.5 * (1.0 + t + x * (1.0 - t * t) * SQRT_TWO_OVER_PI * (1.0 + 0.134145 * x * x))


def sigmoid(x):
    # exp of a negative number only: it cannot overflow.
    e = exp(-absolute(x))
    return where(x >= 0.0, 1.0, e) / (1.0 + e)


def sigmoid_grad(dy, y):
    return dy * y * (1.0 - y)


def silu(x):
    return x * sigmoid(x)


def silu_grad(dy, x):
    s = sigmoid(x)
    return dy * s * (1.0 + x * (1.0 - s))


def hyperbolic_tangent(x):
    return tanh(x)


def hyperbolic_tangent_grad(dy, y):
    return dy * (1.0 - y * y)


def softplus(x, *, beta=1.0, threshold=20.0):
    """log(1 + exp(beta x)) / beta; x itself where beta x is over the threshold, as PyTorch has it."""
    z = beta * x
    return where(z > threshold, x, (maximum(z, 0.0) + log1p(exp(-absolute(z)))) / beta)


def softplus_grad(dy, x, *, beta, threshold):
    return where(beta * x > threshold, dy, dy * sigmoid(beta * x))


def log_1_plus_exp(x):
    """log(1 + exp(x)), without overflow; with a gradient of its own, for it has no corner at 0, where its parts do."""
    return maximum(x, 0.0) + log1p(exp(-absolute(x)))


def log_1_plus_exp_grad(dy, x):
    return dy * sigmoid(x)


def mish(x):
    """x tanh(softplus(x)): Misra, Mish, 2019."""
    return x * tanh(log_1_plus_exp(x))


def mish_grad(dy, x):
    t = tanh(log_1_plus_exp(x))
    return dy * (t + x * (1.0 - t * t) * sigmoid(x))


def softsign(x):
    return x / (1.0 + absolute(x))


def softsign_grad(dy, x):
    d = 1.0 + absolute(x)
    return dy / (d * d)


def hardtanh(x, *, low=-1.0, high=1.0):
    return minimum(maximum(x, low), high)


def hardtanh_grad(dy, x, *, low, high):
    return where(x <= low, 0.0, where(x >= high, 0.0, dy))


def relu6(x):
    return minimum(maximum(x, 0.0), 6.0)


def relu6_grad(dy, x):
    return where(x <= 0.0, 0.0, where(x >= 6.0, 0.0, dy))


def hard_sigmoid(x):
    """clamp(x / 6 + 1/2, 0, 1)."""
    return minimum(maximum(x + 3.0, 0.0), 6.0) / 6.0


def hard_sigmoid_grad(dy, x):
    return where(absolute(x) < 3.0, dy / 6.0, 0.0)


def hardswish(x):
    """x clamp(x + 3, 0, 6) / 6: Howard et al., Searching for MobileNetV3, 2019."""
    return x * minimum(maximum(x + 3.0, 0.0), 6.0) / 6.0


def hardswish_grad(dy, x):
    return where(x <= -3.0, 0.0, where(x < 3.0, dy * (x / 3.0 + 0.5), dy))


def celu(x, *, alpha=1.0):
    """Barron, Continuously Differentiable Exponential Linear Units, 2017."""
    return where(x > 0.0, x, alpha * expm1(minimum(x, 0.0) / alpha))


def celu_grad(dy, x, *, alpha):
    return where(x <= 0.0, dy * exp(minimum(x, 0.0) / alpha), dy)


def log_sigmoid(x):
    """log(1 / (1 + exp(-x))), without overflow."""
    return minimum(x, 0.0) - log1p(exp(-absolute(x)))


def log_sigmoid_grad(dy, x):
    return dy * sigmoid(-x)


def hardshrink(x, *, lambd=0.5):
    """0 from -lambd to lambd, else x."""
    return where(absolute(x) <= lambd, 0.0, x)


def hardshrink_grad(dy, x, *, lambd):
    return where(absolute(x) <= lambd, 0.0, dy)


def softshrink(x, *, lambd=0.5):
    """x nearer to 0 by lambd."""
    return where(absolute(x) <= lambd, 0.0, x - sign(x) * lambd)


def softshrink_grad(dy, x, *, lambd):
    return where(absolute(x) <= lambd, 0.0, dy)


def tanhshrink(x):
    return x - tanh(x)


def tanhshrink_grad(dy, x):
    t = tanh(x)
    return dy * t * t


def threshold(x, *, threshold=0.0, value=0.0):
    """x where it is over the threshold, else the value."""
    return where(x <= threshold, value, x)


def threshold_grad(dy, x, *, threshold, value):
    return where(x <= threshold, 0.0, dy)


# ---- losses per element: y is the prediction, t the target --------------------------------------------------


def squared_error(y, t):
    return (y - t) * (y - t)


def squared_error_grad(dy, y, t):
    return 2.0 * dy * (y - t)


def absolute_error(y, t):
    return absolute(y - t)


def absolute_error_grad(dy, y, t):
    return dy * sign(y - t)


def huber(y, t, *, delta=1.0):
    """Huber 1964: quadratic to delta, linear beyond."""
    a = absolute(y - t)
    return where(a <= delta, 0.5 * a * a, delta * (a - 0.5 * delta))


def huber_grad(dy, y, t, *, delta):
    return dy * minimum(maximum(y - t, -delta), delta)


def smooth_l1(y, t, *, beta=1.0):
    """Huber's loss divided by beta; the absolute error where beta is 0."""
    a = absolute(y - t)
    return where(a < beta, 0.5 * a * a / where(beta > 0.0, beta, 1.0), a - 0.5 * beta)


def smooth_l1_grad(dy, y, t, *, beta):
    d = y - t
    # NaN stays NaN, but for beta 0, where it is 0 as the absolute error's.
    return dy * where(absolute(d) >= beta, sign(d), where(beta > 0.0, d / where(beta > 0.0, beta, 1.0), 0.0))


def binary_cross_entropy(y, t):
    """y is a probability; the logarithms are held at -100, as PyTorch has it."""
    return -(t * maximum(log(y), -100.0) + (1.0 - t) * maximum(log1p(-y), -100.0))


def binary_cross_entropy_grad(dy, y, t):
    return dy * (y - t) / maximum((1.0 - y) * y, 1e-12)


def binary_cross_entropy_with_logits(y, t):
    """max(y, 0) - y t + log(1 + exp(-|y|)): no overflow for any logit y, infinite ones with t = 0 or 1 included."""
    line = where(t == 0.0, maximum(y, 0.0), where(t == 1.0, maximum(-y, 0.0), maximum(y, 0.0) - y * t))
    return line + log1p(exp(-absolute(y)))


def binary_cross_entropy_with_logits_grad(dy, y, t):
    return dy * (sigmoid(y) - t)


# ---- random numbers ---------------------------------------------------------------------------------------


def box_muller(u, v):
    """A standard normal number from two uniforms in [0, 1): Box and Muller 1958."""
    return sqrt(-2.0 * log(1.0 - u)) * cos(6.283185307179586 * v)
