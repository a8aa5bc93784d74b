"""The mathematics of the optimizers beyond the common ones; ``updates`` says what rates and updates are.

Definitions are PyTorch's, but for Lion, which is the paper's.
"""

from __future__ import annotations

from nnkit.kernels.updates import TINY_DIVISOR, penalized
from nnkit.kernels.vocabulary import absolute, maximum, minimum, power, sign, sqrt, where

# ---- Adadelta -----------------------------------------------------------------------------------------------


def adadelta_rates(step, *, lr, rho, eps, weight_decay, direction):
    """step + 1; direction, decay, rho, fresh, lr, eps."""
    return step + 1.0, direction, weight_decay, rho, 1.0 - rho, lr, maximum(eps, TINY_DIVISOR)


def adadelta(parameter, gradient, square_avg, acc_delta, *, direction, decay, rho, fresh, lr, eps):
    """Zeiler, Adadelta: An Adaptive Learning Rate Method, 2012.

    >>> adadelta(1.0, 2.0, 0.0, 0.0, direction=1.0, decay=0.0, rho=0.75, fresh=0.25, lr=0.5, eps=0.5625)
    (0.4, 1.0, 0.36)
    """
    descent = penalized(parameter, gradient, direction, decay)
    square_avg = rho * square_avg + fresh * descent * descent
    delta = delta_of(descent, square_avg, acc_delta, eps)
    return parameter - lr * delta, square_avg, rho * acc_delta + fresh * delta * delta


def delta_of(descent, square_avg, acc_delta, eps):
    """The step, in proportion to those before and to how this descent compares.

    >>> delta_of(2.0, 1.0, 0.0, 0.5625)
    1.2
    """
    return sqrt(acc_delta + eps) / sqrt(square_avg + eps) * descent


# ---- relatives of Adam --------------------------------------------------------------------------------------


def adamax_rates(step, *, lr, beta1, beta2, eps, weight_decay, direction):
    """step + 1; direction, decay, fresh1, beta2, rate, least."""
    rate = lr / (1.0 - power(beta1, step + 1.0))
    return step + 1.0, direction, weight_decay, 1.0 - beta1, beta2, rate, maximum(eps, TINY_DIVISOR)


def adamax(parameter, gradient, exp_avg, exp_inf, *, direction, decay, fresh1, beta2, rate, least):
    """Kingma and Ba, Adam, 2015, section 7.1: divides by the largest gradient, which fades.

    >>> adamax(1.0, 2.0, 0.0, 8.0, direction=1.0, decay=0.0, fresh1=0.5, beta2=0.5, rate=2.0, least=0.0)
    (0.5, 1.0, 4.0)
    """
    descent = penalized(parameter, gradient, direction, decay)
    exp_avg = exp_avg + fresh1 * (descent - exp_avg)
    exp_inf = maximum(beta2 * exp_inf, absolute(descent) + least)
    return parameter - rate * exp_avg / exp_inf, exp_avg, exp_inf


def nadam_rates(step, *, lr, beta1, beta2, eps, weight_decay, momentum_decay, decoupled_weight_decay, direction):
    """step + 1; direction, decay, shrink, fresh1, beta2, fresh2, correction, lr, eps, momentum, next_momentum."""
    decay = weight_decay * (1.0 - decoupled_weight_decay)
    shrink = 1.0 - lr * weight_decay * decoupled_weight_decay
    correction = 1.0 - power(beta2, step + 1.0)
    momentum = coming_up(beta1, (step + 1.0) * momentum_decay)
    following = coming_up(beta1, (step + 2.0) * momentum_decay)
    least = maximum(eps, TINY_DIVISOR)
    fresh1, fresh2 = 1.0 - beta1, 1.0 - beta2
    return step + 1.0, direction, decay, shrink, fresh1, beta2, fresh2, correction, lr, least, momentum, following


def coming_up(beta, steps):
    """A momentum that begins at half of ``beta``.

    >>> coming_up(0.5, 0.0)
    0.25
    """
    return beta * (1.0 - 0.5 * power(0.96, steps))


def nadam(
    parameter, gradient, exp_avg, exp_avg_sq, mu_product, *,
    direction, decay, shrink, fresh1, beta2, fresh2, correction, lr, eps, momentum, following,
):  # fmt: skip
    """Dozat, Incorporating Nesterov Momentum into Adam, 2016. ``mu_product`` is the product of all momenta so far.

    >>> nadam(1.0, 2.0, 0.0, 0.0, 1.0, direction=1.0, decay=0.0, shrink=1.0, fresh1=0.5, beta2=0.75, fresh2=0.25,
    ...       correction=0.25, lr=0.5, eps=0.0, momentum=0.5, following=0.5)
    (0.33333333333333337, 1.0, 1.0, 0.5)
    """
    descent = penalized(parameter, gradient, direction, decay)
    exp_avg = exp_avg + fresh1 * (descent - exp_avg)
    exp_avg_sq = beta2 * exp_avg_sq + fresh2 * descent * descent
    mu_product = mu_product * momentum
    divisor = sqrt(exp_avg_sq / correction) + eps
    now = (1.0 - momentum) / (1.0 - mu_product) * descent
    then = following / (1.0 - mu_product * following) * exp_avg
    return shrink * parameter - lr * (now + then) / divisor, exp_avg, exp_avg_sq, mu_product


def radam_rates(step, *, lr, beta1, beta2, eps, weight_decay, decoupled_weight_decay, direction):
    """step + 1; direction, decay, shrink, fresh1, beta2, fresh2, rate, rectified, eps.

    ``rectified`` is 0 as long as the variance of the rate cannot be told: the first five steps or so.
    """
    decay = weight_decay * (1.0 - decoupled_weight_decay)
    shrink = 1.0 - lr * weight_decay * decoupled_weight_decay
    left = power(beta2, step + 1.0)
    longest = 2.0 / (1.0 - beta2) - 1.0
    length = longest - 2.0 * (step + 1.0) * left / (1.0 - left)
    share = (length - 4.0) * (length - 2.0) * longest / ((longest - 4.0) * (longest - 2.0) * length)
    rectified = where(length > 5.0, sqrt(maximum(share, 0.0)) * sqrt(1.0 - left), 0.0)
    rate = lr / (1.0 - power(beta1, step + 1.0))
    least = maximum(eps, TINY_DIVISOR)
    return step + 1.0, direction, decay, shrink, 1.0 - beta1, beta2, 1.0 - beta2, rate, rectified, least


def radam(
    parameter, gradient, exp_avg, exp_avg_sq, *,
    direction, decay, shrink, fresh1, beta2, fresh2, rate, rectified, eps,
):  # fmt: skip
    """Liu et al., On the Variance of the Adaptive Learning Rate and Beyond, 2020.

    >>> radam(1.0, 2.0, 0.0, 0.0, direction=1.0, decay=0.0, shrink=1.0, fresh1=0.5, beta2=0.75, fresh2=0.25, rate=0.25,
    ...       rectified=0.0, eps=0.0)
    (0.75, 1.0, 1.0)
    """
    descent = penalized(parameter, gradient, direction, decay)
    exp_avg = exp_avg + fresh1 * (descent - exp_avg)
    exp_avg_sq = beta2 * exp_avg_sq + fresh2 * descent * descent
    adapted = where(rectified > 0.0, rectified / (sqrt(exp_avg_sq) + eps), 1.0)
    return shrink * parameter - rate * exp_avg * adapted, exp_avg, exp_avg_sq


# ---- by signs -----------------------------------------------------------------------------------------------


def rprop_rates(step, *, eta_minus, eta_plus, least_step, most_step, direction):
    """step + 1; direction, eta_minus, eta_plus, least_step, most_step."""
    return step + 1.0, direction, eta_minus, eta_plus, least_step, most_step


def rprop(parameter, gradient, prev, step_size, *, direction, eta_minus, eta_plus, least_step, most_step):
    """Riedmiller and Braun, A Direct Adaptive Method for Faster Backpropagation Learning, 1993.

    Where the gradient turned around the step is cut, and not taken.

    >>> rprop(1.0, 2.0, 1.0, 0.5, direction=1.0, eta_minus=0.5, eta_plus=1.5, least_step=0.0, most_step=50.0)
    (0.25, 2.0, 0.75)
    """
    descent = direction * gradient
    along = descent * prev
    factor = where(along > 0.0, eta_plus, where(along < 0.0, eta_minus, 1.0))
    step_size = minimum(maximum(step_size * factor, least_step), most_step)
    descent = where(along < 0.0, 0.0, descent)
    return parameter - sign(descent) * step_size, descent, step_size


def lion_rates(step, *, lr, beta1, beta2, weight_decay, direction):
    """step + 1; direction, shrink, beta1, fresh1, beta2, fresh2, lr."""
    return step + 1.0, direction, 1.0 - lr * weight_decay, beta1, 1.0 - beta1, beta2, 1.0 - beta2, lr


def lion(parameter, gradient, exp_avg, *, direction, shrink, beta1, fresh1, beta2, fresh2, lr):
    """Chen et al., Symbolic Discovery of Optimization Algorithms, 2023.

    >>> lion(1.0, 2.0, 0.0, direction=1.0, shrink=1.0, beta1=0.5, fresh1=0.5, beta2=0.75, fresh2=0.25, lr=0.25)
    (0.75, 0.5)
    """
    descent = direction * gradient
    way = sign(beta1 * exp_avg + fresh1 * descent)
    return shrink * parameter - lr * way, beta2 * exp_avg + fresh2 * descent


# ---- averaged -----------------------------------------------------------------------------------------------


def asgd_rates(step, *, lr, lambd, alpha, t0, weight_decay, direction):
    """step + 1; direction, decay, shrink, eta, mu.

    >>> asgd_rates(3.0, lr=0.5, lambd=2.0, alpha=0.5, t0=1.0, weight_decay=0.0, direction=1.0)
    (4.0, 1.0, 0.0, 0.5, 0.25, 0.5)
    """
    eta = lr / power(1.0 + lambd * lr * step, alpha)
    return step + 1.0, direction, weight_decay, 1.0 - lambd * eta, eta, 1.0 / maximum(1.0, step - t0)


def asgd(parameter, gradient, ax, *, direction, decay, shrink, eta, mu):
    """Polyak and Juditsky, Acceleration of Stochastic Approximation by Averaging, 1992. ``ax`` is the average.

    >>> asgd(1.0, 2.0, 3.0, direction=1.0, decay=0.0, shrink=0.5, eta=0.25, mu=0.5)
    (0.0, 1.5)
    """
    parameter_now = shrink * parameter - eta * penalized(parameter, gradient, direction, decay)
    return parameter_now, ax + (parameter_now - ax) * mu
