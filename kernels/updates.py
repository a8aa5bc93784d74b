"""The optimizers' mathematics: for each optimizer its rates, once a step, and its update, once an element.

An update takes an element of the parameter, of its gradient and of the optimizer's state, and returns the new
parameter and the new state, in the order it took them. Its keyword-only scalars are what its rates formula
returns after the new step count, in that order. Rates are computed on the device in float64, where
``1 - beta**step`` keeps its digits, from the count of steps taken before this one and the options of the
parameter group: a recorded step can thus be replayed without Python and still use the present learning rate.

Common to all: ``direction`` is 1 to minimise and -1 to maximise, ``decay`` is the L2 penalty's factor.
To add an optimizer: write ``name`` and ``name_rates`` here, and a class in ``nnkit/optim/optimizers.py``.
"""

from __future__ import annotations

from nnkit.kernels.vocabulary import absolute, maximum, minimum, power, sqrt, where

#: The least divisor: with eps = 0 an element that never had a gradient stays, instead of becoming 0 / 0.
TINY_DIVISOR = 1e-37


def penalized(parameter, gradient, direction, decay):
    """The gradient of the objective with its L2 penalty.

    >>> penalized(2.0, 1.0, 1.0, 0.5)
    2.0
    """
    return direction * gradient + decay * parameter


# ---- stochastic gradient descent --------------------------------------------------------------------------


def sgd_rates(step, *, lr, weight_decay, direction):
    """step + 1; direction, decay, lr."""
    return step + 1.0, direction, weight_decay, lr


def sgd(parameter, gradient, *, direction, decay, lr):
    """One step down the gradient.

    >>> sgd(1.0, 2.0, direction=1.0, decay=0.0, lr=0.25)
    0.5
    """
    return parameter - lr * penalized(parameter, gradient, direction, decay)


def sgd_momentum_rates(step, *, lr, momentum, dampening, weight_decay, direction):
    """step + 1; direction, decay, lr, momentum, fresh. The first gradient enters the buffer undampened.

    >>> sgd_momentum_rates(0.0, lr=0.1, momentum=0.9, dampening=0.5, weight_decay=0.0, direction=1.0)
    (1.0, 1.0, 0.0, 0.1, 0.9, 1.0)
    """
    return step + 1.0, direction, weight_decay, lr, momentum, where(step == 0.0, 1.0, 1.0 - dampening)


def sgd_momentum(parameter, gradient, momentum_buffer, *, direction, decay, lr, momentum, fresh):
    """Polyak 1964, as PyTorch writes it: the rate multiplies the buffer, not what enters it.

    >>> sgd_momentum(1.0, 2.0, 4.0, direction=1.0, decay=0.0, lr=0.25, momentum=0.5, fresh=1.0)
    (0.0, 4.0)
    """
    descent = penalized(parameter, gradient, direction, decay)
    momentum_buffer = momentum * momentum_buffer + fresh * descent
    return parameter - lr * momentum_buffer, momentum_buffer


def sgd_nesterov(parameter, gradient, momentum_buffer, *, direction, decay, lr, momentum, fresh):
    """Sutskever et al., On the importance of initialization and momentum in deep learning, 2013.

    >>> sgd_nesterov(1.0, 2.0, 4.0, direction=1.0, decay=0.0, lr=0.25, momentum=0.5, fresh=1.0)
    (0.0, 4.0)
    """
    descent = penalized(parameter, gradient, direction, decay)
    momentum_buffer = momentum * momentum_buffer + fresh * descent
    return parameter - lr * (descent + momentum * momentum_buffer), momentum_buffer


# ---- Adam -------------------------------------------------------------------------------------------------


def adam_rates(step, *, lr, beta1, beta2, eps, weight_decay, decoupled_weight_decay, direction):
    """step + 1; direction, decay, shrink, fresh1, beta2, fresh2, rate, least.

    The bias corrections c1 = 1 - beta1**t and c2 = 1 - beta2**t go into the rate and the least divisor:
    lr (m / c1) / (sqrt(v / c2) + eps) = (lr sqrt(c2) / c1) m / (sqrt(v) + eps sqrt(c2)).
    Decoupled decay (1; else 0) stays out of the gradient: the parameter itself shrinks.

    >>> adam_rates(0.0, lr=0.25, beta1=0.5, beta2=0.75, eps=0.5, weight_decay=2.0,
    ...            decoupled_weight_decay=1.0, direction=1.0)
    (1.0, 1.0, 0.0, 0.5, 0.5, 0.75, 0.25, 0.25, 0.25)
    """
    correction = sqrt(1.0 - power(beta2, step + 1.0))
    rate = lr * correction / (1.0 - power(beta1, step + 1.0))
    least = maximum(eps * correction, TINY_DIVISOR)
    decay = weight_decay * (1.0 - decoupled_weight_decay)
    shrink = 1.0 - lr * weight_decay * decoupled_weight_decay
    return step + 1.0, direction, decay, shrink, 1.0 - beta1, beta2, 1.0 - beta2, rate, least


def adam(parameter, gradient, exp_avg, exp_avg_sq, *, direction, decay, shrink, fresh1, beta2, fresh2, rate, least):
    """Kingma and Ba, Adam, 2015; with decoupled decay Loshchilov and Hutter, 2019 (AdamW).

    >>> adam(1.0, 2.0, 0.0, 0.0, direction=1.0, decay=0.0, shrink=1.0, fresh1=0.5,
    ...      beta2=0.75, fresh2=0.25, rate=0.25, least=0.0)
    (0.75, 1.0, 1.0)
    """
    descent = penalized(parameter, gradient, direction, decay)
    exp_avg = exp_avg + fresh1 * (descent - exp_avg)
    exp_avg_sq = beta2 * exp_avg_sq + fresh2 * descent * descent
    return shrink * parameter - rate * exp_avg / (sqrt(exp_avg_sq) + least), exp_avg, exp_avg_sq


def adam_amsgrad(
    parameter, gradient, exp_avg, exp_avg_sq, max_exp_avg_sq, *,
    direction, decay, shrink, fresh1, beta2, fresh2, rate, least,
):  # fmt: skip
    """Reddi et al., On the Convergence of Adam and Beyond, 2018: divides by the largest average so far.

    >>> adam_amsgrad(1.0, 2.0, 0.0, 0.0, 4.0, direction=1.0, decay=0.0, shrink=1.0, fresh1=0.5,
    ...              beta2=0.75, fresh2=0.25, rate=0.5, least=0.0)
    (0.75, 1.0, 1.0, 4.0)
    """
    descent = penalized(parameter, gradient, direction, decay)
    exp_avg = exp_avg + fresh1 * (descent - exp_avg)
    exp_avg_sq = beta2 * exp_avg_sq + fresh2 * descent * descent
    max_exp_avg_sq = maximum(max_exp_avg_sq, exp_avg_sq)
    parameter = shrink * parameter - rate * exp_avg / (sqrt(max_exp_avg_sq) + least)
    return parameter, exp_avg, exp_avg_sq, max_exp_avg_sq


# ---- RMSprop ----------------------------------------------------------------------------------------------


def rmsprop_rates(step, *, lr, alpha, eps, weight_decay, direction):
    """step + 1; direction, decay, alpha, fresh, lr, least."""
    return step + 1.0, direction, weight_decay, alpha, 1.0 - alpha, lr, maximum(eps, TINY_DIVISOR)


def rmsprop_momentum_rates(step, *, lr, alpha, eps, weight_decay, momentum, direction):
    """step + 1; direction, decay, alpha, fresh, lr, least, momentum."""
    return step + 1.0, direction, weight_decay, alpha, 1.0 - alpha, lr, maximum(eps, TINY_DIVISOR), momentum


def rmsprop(parameter, gradient, square_avg, *, direction, decay, alpha, fresh, lr, least):
    """Tieleman and Hinton, Neural Networks for Machine Learning, lecture 6.5, 2012.

    >>> rmsprop(1.0, 2.0, 0.0, direction=1.0, decay=0.0, alpha=0.75, fresh=0.25, lr=0.25, least=0.0)
    (0.5, 1.0)
    """
    descent = penalized(parameter, gradient, direction, decay)
    square_avg = alpha * square_avg + fresh * descent * descent
    return parameter - lr * descent / (sqrt(square_avg) + least), square_avg


def rmsprop_momentum(
    parameter, gradient, square_avg, momentum_buffer, *, direction, decay, alpha, fresh, lr, least, momentum
):
    """RMSprop with a momentum buffer, as PyTorch writes it.

    >>> rmsprop_momentum(1.0, 2.0, 0.0, 2.0, direction=1.0, decay=0.0, alpha=0.75, fresh=0.25, lr=0.25,
    ...                  least=0.0, momentum=0.5)
    (0.25, 1.0, 3.0)
    """
    descent = penalized(parameter, gradient, direction, decay)
    square_avg = alpha * square_avg + fresh * descent * descent
    momentum_buffer = momentum * momentum_buffer + descent / (sqrt(square_avg) + least)
    return parameter - lr * momentum_buffer, square_avg, momentum_buffer


def deviation(square_avg, grad_avg):
    """The running standard deviation; rounding may not make its square negative.

    >>> deviation(5.0, 1.0)
    2.0
    """
    return sqrt(maximum(square_avg - grad_avg * grad_avg, 0.0))


def rmsprop_centered(parameter, gradient, square_avg, grad_avg, *, direction, decay, alpha, fresh, lr, least):
    """Graves, Generating Sequences with Recurrent Neural Networks, 2013: divides by the standard deviation.

    >>> rmsprop_centered(1.0, 4.0, 0.0, 0.0, direction=1.0, decay=0.0, alpha=0.5, fresh=0.5, lr=0.25,
    ...                  least=0.0)
    (0.5, 8.0, 2.0)
    """
    descent = penalized(parameter, gradient, direction, decay)
    square_avg = alpha * square_avg + fresh * descent * descent
    grad_avg = grad_avg + fresh * (descent - grad_avg)
    return parameter - lr * descent / (deviation(square_avg, grad_avg) + least), square_avg, grad_avg


def rmsprop_centered_momentum(
    parameter, gradient, square_avg, grad_avg, momentum_buffer, *,
    direction, decay, alpha, fresh, lr, least, momentum,
):  # fmt: skip
    """Both at once.

    >>> rmsprop_centered_momentum(1.0, 4.0, 0.0, 0.0, 2.0, direction=1.0, decay=0.0, alpha=0.5, fresh=0.5,
    ...                           lr=0.25, least=0.0, momentum=0.5)
    (0.25, 8.0, 2.0, 3.0)
    """
    descent = penalized(parameter, gradient, direction, decay)
    square_avg = alpha * square_avg + fresh * descent * descent
    grad_avg = grad_avg + fresh * (descent - grad_avg)
    momentum_buffer = momentum * momentum_buffer + descent / (deviation(square_avg, grad_avg) + least)
    return parameter - lr * momentum_buffer, square_avg, grad_avg, momentum_buffer


# ---- Adagrad ----------------------------------------------------------------------------------------------


def adagrad_rates(step, *, lr, lr_decay, eps, weight_decay, direction):
    """step + 1; direction, decay, rate, least.

    >>> adagrad_rates(1.0, lr=0.5, lr_decay=1.0, eps=0.125, weight_decay=0.0, direction=1.0)
    (2.0, 1.0, 0.0, 0.25, 0.125)
    """
    return step + 1.0, direction, weight_decay, lr / (1.0 + step * lr_decay), maximum(eps, TINY_DIVISOR)


def adagrad(parameter, gradient, sum, *, direction, decay, rate, least):
    """Duchi, Hazan and Singer, Adaptive Subgradient Methods, 2011.

    >>> adagrad(1.0, 2.0, 12.0, direction=1.0, decay=0.0, rate=0.5, least=0.0)
    (0.75, 16.0)
    """
    descent = penalized(parameter, gradient, direction, decay)
    sum = sum + descent * descent
    return parameter - rate * descent / (sqrt(sum) + least), sum


# ---- clipping of gradients --------------------------------------------------------------------------------


def clip_coefficient(norm, *, max_norm):
    """The factor that shortens a gradient of this norm to max_norm; never above 1.

    >>> clip_coefficient(4.0 - 1e-6, max_norm=2.0)
    0.5
    """
    return minimum(max_norm / (norm + 1e-6), 1.0)


def clip_scale(gradient, *, coefficient):
    """Zero stays zero also under a NaN coefficient, so that the padding of a flat buffer stays clean.

    >>> clip_scale(3.0, coefficient=0.5), clip_scale(0.0, coefficient=float("nan"))
    (1.5, 0.0)
    """
    return where(gradient == 0.0, gradient, gradient * coefficient)


def running_loss(total, count, loss, *, samples):
    """A sum of losses with one more, of so many samples; and how often the sum was finite: NaN stays in it.

    >>> running_loss(3.0, 2.0, 0.5, samples=4.0), running_loss(3.0, 2.0, float("inf"), samples=4.0)
    ((5.0, 3.0), (inf, 2.0))
    """
    total = total + loss * samples
    return total, where(total - total == 0.0, count + 1.0, count)


def moving_average(average, value, *, share, factor):
    """An average of which a share is replaced by factor times a new value.

    >>> moving_average(2.0, 3.0, share=0.25, factor=2.0)
    3.0
    """
    return average * (1.0 - share) + value * (share * factor)


def clip_value(gradient, *, limit):
    """The nearest number from -limit to limit.

    >>> clip_value(-3.0, limit=2.0), clip_value(1.0, limit=2.0)
    (-2.0, 1.0)
    """
    return minimum(maximum(gradient, -limit), limit)


def magnitude_power(gradient, *, order):
    """|gradient| to the power order: what a norm of that order sums.

    >>> magnitude_power(-3.0, order=2.0)
    9.0
    """
    return power(absolute(gradient), order)


def norm_root(total, *, order):
    """The root that turns a sum of powers into a norm.

    >>> norm_root(9.0, order=2.0)
    3.0
    """
    return power(total, 1.0 / order)
