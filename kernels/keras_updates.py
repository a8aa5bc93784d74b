"""The mathematics of Keras's optimizers, where it is not that of ``updates``, which says what rates and updates are.

Three differences to PyTorch: the learning rate goes into the momentum instead of multiplying it, eps stands under the
root (Adam: is not corrected with it), and weight decay is decoupled: the parameter itself shrinks. ``rate_decay`` is
the ``decay`` of older versions: the rate falls as 1 / (1 + rate_decay * step).
"""

from __future__ import annotations

from nnkit.kernels.further_updates import coming_up, delta_of
from nnkit.kernels.updates import TINY_DIVISOR
from nnkit.kernels.vocabulary import absolute, maximum, minimum, power, sqrt


def keras_rate(step, lr, rate_decay):
    """
    >>> keras_rate(4.0, 0.5, 0.25)
    0.25
    """
    return lr / (1.0 + rate_decay * step)


def keras_plain_sgd_rates(step, *, lr, rate_decay, weight_decay, direction):
    """For ``sgd``, where decoupled decay and penalty are the same: step + 1; direction, decay, lr."""
    return step + 1.0, direction, weight_decay, keras_rate(step, lr, rate_decay)


def keras_sgd_rates(step, *, lr, rate_decay, momentum, weight_decay, direction):
    """step + 1; rate, shrink, momentum.

    >>> keras_sgd_rates(0.0, lr=0.5, rate_decay=1.0, momentum=0.75, weight_decay=0.5, direction=1.0)
    (1.0, 0.5, 0.75, 0.75)
    """
    rate = keras_rate(step, lr, rate_decay)
    return step + 1.0, direction * rate, 1.0 - rate * weight_decay, momentum


def keras_sgd(parameter, gradient, velocity, *, rate, shrink, momentum):
    """
    >>> keras_sgd(1.0, 2.0, 4.0, rate=0.25, shrink=1.0, momentum=0.5)
    (2.5, 1.5)
    """
    velocity = momentum * velocity - rate * gradient
    return shrink * parameter + velocity, velocity


def keras_sgd_nesterov(parameter, gradient, velocity, *, rate, shrink, momentum):
    """
    >>> keras_sgd_nesterov(1.0, 2.0, 4.0, rate=0.25, shrink=1.0, momentum=0.5)
    (1.25, 1.5)
    """
    velocity = momentum * velocity - rate * gradient
    return shrink * parameter + momentum * velocity - rate * gradient, velocity


def keras_adam_rates(step, *, lr, rate_decay, beta1, beta2, eps, weight_decay, direction):
    """As ``adam_rates``, but eps is the paper's epsilon-hat: it is added to the uncorrected root.

    >>> keras_adam_rates(0.0, lr=0.25, rate_decay=0.0, beta1=0.5, beta2=0.75, eps=0.5, weight_decay=2.0, direction=1.0)
    (1.0, 1.0, 0.0, 0.5, 0.5, 0.75, 0.25, 0.25, 0.5)
    """
    decayed = keras_rate(step, lr, rate_decay)
    rate = decayed * sqrt(1.0 - power(beta2, step + 1.0)) / (1.0 - power(beta1, step + 1.0))
    shrink = 1.0 - decayed * weight_decay
    return step + 1.0, direction, 0.0, shrink, 1.0 - beta1, beta2, 1.0 - beta2, rate, maximum(eps, TINY_DIVISOR)


def keras_rmsprop_rates(step, *, lr, rate_decay, alpha, eps, weight_decay, direction):
    """step + 1; rate, shrink, alpha, fresh, least."""
    rate = keras_rate(step, lr, rate_decay)
    return step + 1.0, direction * rate, 1.0 - rate * weight_decay, alpha, 1.0 - alpha, maximum(eps, TINY_DIVISOR)


def keras_rmsprop(parameter, gradient, square_avg, *, rate, shrink, alpha, fresh, least):
    """
    >>> keras_rmsprop(1.0, 2.0, 0.0, rate=0.25, shrink=1.0, alpha=0.75, fresh=0.25, least=0.0)
    (0.5, 1.0)
    """
    square_avg = alpha * square_avg + fresh * gradient * gradient
    return shrink * parameter - rate * gradient / sqrt(square_avg + least), square_avg


def keras_rmsprop_full_rates(step, *, lr, rate_decay, alpha, eps, weight_decay, momentum, centered, direction):
    """step + 1; rate, shrink, alpha, fresh, least, momentum, centered (1; else 0)."""
    rate, least = keras_rate(step, lr, rate_decay), maximum(eps, TINY_DIVISOR)
    return step + 1.0, direction * rate, 1.0 - rate * weight_decay, alpha, 1.0 - alpha, least, momentum, centered


def keras_rmsprop_full(
    parameter, gradient, square_avg, grad_avg, velocity, *,
    rate, shrink, alpha, fresh, least, momentum, centered,
):  # fmt: skip
    """With momentum, with the gradient's average taken out of its square (``centered``), or both.

    >>> keras_rmsprop_full(1.0, 4.0, 0.0, 0.0, 2.0, rate=0.25, shrink=1.0, alpha=0.5, fresh=0.5,
    ...                    least=0.0, momentum=0.5, centered=1.0)
    (-0.5, 8.0, 2.0, 1.5)
    """
    square_avg = alpha * square_avg + fresh * gradient * gradient
    grad_avg = alpha * grad_avg + fresh * gradient
    variance = maximum(square_avg - centered * grad_avg * grad_avg, 0.0)
    velocity = momentum * velocity + rate * gradient / sqrt(variance + least)
    return shrink * parameter - velocity, square_avg, grad_avg, velocity


def keras_adagrad_rates(step, *, lr, rate_decay, eps, weight_decay, direction):
    """step + 1; rate, shrink, least."""
    rate = keras_rate(step, lr, rate_decay)
    return step + 1.0, direction * rate, 1.0 - rate * weight_decay, maximum(eps, TINY_DIVISOR)


def keras_adagrad(parameter, gradient, sum, *, rate, shrink, least):
    """
    >>> keras_adagrad(1.0, 2.0, 12.0, rate=0.5, shrink=1.0, least=0.0)
    (0.75, 16.0)
    """
    sum = sum + gradient * gradient
    return shrink * parameter - rate * gradient / sqrt(sum + least), sum


# ---- further optimizers -------------------------------------------------------------------------------------


def keras_adadelta_rates(step, *, lr, rate_decay, rho, eps, weight_decay, direction):
    """step + 1; direction, shrink, rho, fresh, rate, least."""
    rate, least = keras_rate(step, lr, rate_decay), maximum(eps, TINY_DIVISOR)
    return step + 1.0, direction, 1.0 - rate * weight_decay, rho, 1.0 - rho, rate, least


def keras_adadelta(parameter, gradient, square_avg, acc_delta, *, direction, shrink, rho, fresh, rate, least):
    """``adadelta``, with the weight decayed apart.

    >>> keras_adadelta(1.0, 2.0, 0.0, 0.0, direction=1.0, shrink=1.0, rho=0.75, fresh=0.25, rate=0.5, least=0.5625)
    (0.4, 1.0, 0.36)
    """
    square_avg = rho * square_avg + fresh * gradient * gradient
    delta = delta_of(direction * gradient, square_avg, acc_delta, least)
    return shrink * parameter - rate * delta, square_avg, rho * acc_delta + fresh * delta * delta


def keras_adamax_rates(step, *, lr, rate_decay, beta1, beta2, eps, weight_decay, direction):
    """step + 1; direction, shrink, fresh1, beta2, rate, least."""
    decayed = keras_rate(step, lr, rate_decay)
    rate, least = decayed / (1.0 - power(beta1, step + 1.0)), maximum(eps, TINY_DIVISOR)
    return step + 1.0, direction, 1.0 - decayed * weight_decay, 1.0 - beta1, beta2, rate, least


def keras_adamax(parameter, gradient, exp_avg, exp_inf, *, direction, shrink, fresh1, beta2, rate, least):
    """As ``adamax``, but eps is added to the divisor.

    >>> keras_adamax(1.0, 2.0, 0.0, 8.0, direction=1.0, shrink=1.0, fresh1=0.5, beta2=0.5, rate=2.0, least=0.0)
    (0.5, 1.0, 4.0)
    """
    exp_avg = exp_avg + fresh1 * (direction * gradient - exp_avg)
    exp_inf = maximum(beta2 * exp_inf, absolute(gradient))
    return shrink * parameter - rate * exp_avg / (exp_inf + least), exp_avg, exp_inf


def keras_nadam_rates(step, *, lr, rate_decay, beta1, beta2, eps, weight_decay, direction):
    """Those of ``nadam``, with a momentum that comes up 250 times faster."""
    decayed = keras_rate(step, lr, rate_decay)
    least, correction = maximum(eps, TINY_DIVISOR), 1.0 - power(beta2, step + 1.0)
    momentum, following = coming_up(beta1, step + 1.0), coming_up(beta1, step + 2.0)
    shrink, fresh1, fresh2 = 1.0 - decayed * weight_decay, 1.0 - beta1, 1.0 - beta2
    return step + 1.0, direction, 0.0, shrink, fresh1, beta2, fresh2, correction, decayed, least, momentum, following


def keras_lion_rates(step, *, lr, rate_decay, beta1, beta2, weight_decay, direction):
    """Those of ``lion``."""
    rate = keras_rate(step, lr, rate_decay)
    return step + 1.0, direction, 1.0 - rate * weight_decay, beta1, 1.0 - beta1, beta2, 1.0 - beta2, rate


def keras_ftrl_rates(step, *, lr, rate_decay, lr_power, l1, l2, l2_shrinkage, beta, weight_decay, direction):
    """step + 1; direction, shrink, lr, exponent, l1, quadratic, drag."""
    rate = keras_rate(step, lr, rate_decay)
    shrink = 1.0 - rate * weight_decay
    return step + 1.0, direction, shrink, rate, -lr_power, l1, 2.0 * l2 + beta / rate, 2.0 * l2_shrinkage


def keras_ftrl(parameter, gradient, sum, linear, *, direction, shrink, rate, exponent, l1, quadratic, drag):
    """McMahan et al., Ad Click Prediction: a View from the Trenches, 2013.

    >>> keras_ftrl(1.0, 2.0, 0.0, 0.0, direction=1.0, shrink=1.0, rate=0.5, exponent=0.5, l1=0.0, quadratic=0.0,
    ...            drag=0.0)
    (0.5, 4.0, -2.0)
    """
    parameter = shrink * parameter
    descent = direction * gradient
    larger = sum + descent * descent
    root = power(larger, exponent)
    linear = linear + descent + drag * parameter - (root - power(sum, exponent)) / rate * parameter
    kept = minimum(maximum(linear, -l1), l1)
    return (kept - linear) / (root / rate + quadratic), larger, linear
