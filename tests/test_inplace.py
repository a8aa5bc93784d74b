"""Changes in place on the tape, of whole tensors and through views: PyTorch's outcome, literally.

Each program makes a scalar of x (2, 3) and w (3,).
"""

from __future__ import annotations

import pytest
from tape_programs import Table

import nnkit
from nnkit import Tensor

table = Table()
gives, refused = table.gives, table.refused


@gives(30.0, x=[3.0, 0.0, 1.5, 3.0, 0.0, 1.5], w=[6.0, 8.0, 10.0])
def plus_equals(x: Tensor, w: Tensor) -> Tensor:
    s = x.sum()
    s += w.sum()
    s += (x * w).sum()
    return s


@gives(7.5, x=[2.0, -1.0, 0.5, 2.0, -1.0, 0.5], w=[5.0, 7.0, 9.0])
def times_equals(x: Tensor, w: Tensor) -> Tensor:
    h = x * 1.0
    h *= w
    return h.sum()


@refused
def times_itself(x: Tensor, w: Tensor) -> Tensor:
    h = x * 1.0
    h *= h
    return h.sum()


@gives(344.5, x=[0.0, 20.0, 22.0, 24.0, 44.0, 46.0], w=[-12.0, -32.0, -34.0])
def minus_equals(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2.0
    h -= w
    return (h * h).sum()


@gives(13.5, x=[0.5, -1.0, 2.0, 0.5, -1.0, 2.0], w=[-1.25, -7.0, -36.0])
def div_equals(x: Tensor, w: Tensor) -> Tensor:
    h = x * 1.0
    h /= w
    return h.sum()


@gives(441.0, x=[3.0, 12.0, 27.0, 48.0, 75.0, 108.0], w=None)
def pow_equals(x: Tensor, w: Tensor) -> Tensor:
    h = x * 1.0
    h **= 3
    return h.sum()


@gives(98.0, x=[0.0, -0.0, 0.0, 32.0, 10.0, 3.0], w=[64.0, -50.0, 36.0])
def element_zero(x: Tensor, w: Tensor) -> Tensor:
    y = x * w
    y[0] = 0
    return (y * y).sum()


@gives(87.25, x=[2.0, 0.0, 6.0, 8.0, 10.0, 12.0], w=[0.0, 0.0, 1.0])
def element_set(x: Tensor, w: Tensor) -> Tensor:
    y = x * 1.0
    y[0, 1] = w[2]
    return (y * y).sum()


@gives(79.0, x=[0.0, 4.0, 6.0, 0.0, 10.0, 12.0], w=[4.0, -2.0, 0.0])
def column_set(x: Tensor, w: Tensor) -> Tensor:
    y = x * 1.0
    y[:, 0] = w[:2]
    return (y * y).sum()


@gives(10.5, x=[0.0, 0.0, 0.0, 0.0, 0.0, 0.0], w=[8.0, -4.0, 2.0])
def row_broadcast(x: Tensor, w: Tensor) -> Tensor:
    y = x * 1.0
    y[:] = w
    return (y * y).sum()


@gives(1.5, x=[0.0, 0.0, 0.0, 2.0, -1.0, 0.5], w=[1.0, 2.0, 3.0])
def relu_inplace(x: Tensor, w: Tensor) -> Tensor:
    h = x - 3.0
    h.relu_()
    return (h * w).sum()


@gives(9.5, x=[0.0, -1.0, 0.5, 2.0, 0.0, 0.0], w=[6.0, 6.0, 7.0])
def clamp_inplace(x: Tensor, w: Tensor) -> Tensor:
    h = x * 1.0
    h.clamp_(2, 4)
    return (h * w).sum()


@gives(9.4057, x=None, w=[7.3891, 0.3679, 1.6487])
def exp_inplace(x: Tensor, w: Tensor) -> Tensor:
    h = w * 1.0
    h.exp_()
    return h.sum()


@gives(0.6646, x=None, w=[0.0707, 0.42, 0.7864])
def tanh_inplace(x: Tensor, w: Tensor) -> Tensor:
    h = w * 1.0
    h.tanh_()
    return h.sum()


@gives(10.8318, x=[0.5, 0.3536, 0.2887, 0.25, 0.2236, 0.2041], w=None)
def sqrt_inplace(x: Tensor, w: Tensor) -> Tensor:
    h = x * 1.0
    h.sqrt_()
    return h.sum()


@gives(9.0, x=[8.0, 4.0, 0.0, 0.0, -0.0, 0.0], w=[4.0, -8.0, 0.0])
def mask_number(x: Tensor, w: Tensor) -> Tensor:
    y = x * w
    y[x.detach() > 2] = 0.5
    return (y * y).sum()


@gives(19.25, x=[2.0, 4.0, 6.0, 0.0, 0.0, 0.0], w=[4.0, -2.0, 1.0])
def mask_values(x: Tensor, w: Tensor) -> Tensor:
    y = x * 1.0
    y[x.detach() > 3] = w
    return (y * y).sum()


@gives(10.5, x=[0.0, 0.0, 0.0, 0.0, 0.0, 0.0], w=[8.0, -4.0, 2.0])
def rows_values(x: Tensor, w: Tensor) -> Tensor:
    y = x * 1.0
    y[nnkit.tensor([1, 0])] = w
    return (y * y).sum()


@gives(10.5, x=[0.0, 0.0, 0.0, 0.0, 0.0, 0.0], w=[8.0, -4.0, 2.0])
def copied(x: Tensor, w: Tensor) -> Tensor:
    y = x * 1.0
    y.copy_(w)
    return (y * y).sum()


@gives(6.0, x=[0.0, 0.0, 0.0, 0.0, 0.0, 0.0], w=[4.0, 4.0, 4.0])
def filled(x: Tensor, w: Tensor) -> Tensor:
    y = x * 1.0
    y.fill_(2.0)
    return (y * w).sum()


@gives(3.0, x=[0.0, 0.0, 0.0, 0.0, 0.0, 0.0], w=[2.0, 2.0, 2.0])
def zeroed(x: Tensor, w: Tensor) -> Tensor:
    y = x * 1.0
    y.zero_()
    return (y + w).sum()


@gives(163.0, x=[10.0, 0.0, 8.0, 16.0, 6.0, 14.0], w=[52.0, 12.0, 44.0])
def add_alpha(x: Tensor, w: Tensor) -> Tensor:
    y = x * 1.0
    y.add_(w, alpha=2)
    return (y * y).sum()


@gives(108.25, x=[8.0, 4.0, 1.5, 32.0, 10.0, 3.0], w=[68.0, -58.0, 45.0])
def double_then(x: Tensor, w: Tensor) -> Tensor:
    h = x * 1.0
    h.add_(1)
    h.mul_(w)
    h.sub_(w)
    return (h * h).sum()


@refused
def leaf_inplace(x: Tensor, w: Tensor) -> Tensor:
    x.add_(1)
    return x.sum()


@refused
def leaf_setitem(x: Tensor, w: Tensor) -> Tensor:
    x[0] = 1.0
    return x.sum()


@gives(364.0, x=[4.0, 8.0, 12.0, 16.0, 20.0, 24.0], w=None)
def leaf_no_grad(x: Tensor, w: Tensor) -> Tensor:
    with nnkit.no_grad():
        x.mul_(2)
    return (x * x).sum()


@gives(-0.5, x=None, w=[0.0, 1.0, 1.0])
def integer_leaf_free(x: Tensor, w: Tensor) -> Tensor:
    i = nnkit.tensor([0, 1])
    i += 1
    return w[i].sum()


@gives(112.0, x=[3.0, 5.0, 7.0, 9.0, 11.0, 13.0], w=None)
def second_gradient_target(x: Tensor, w: Tensor) -> Tensor:
    h = x * 1.0
    y = h + 1
    y.mul_(h)
    return y.sum()


@pytest.mark.parametrize("name", table.programs)
def test_changes_on_the_tape_mean_what_they_mean_in_pytorch(name: str, device: str) -> None:
    table.check(name)


@pytest.mark.parametrize("name", table.replayed)
def test_recorded_they_are_the_same_to_the_bit(name: str, device: str) -> None:
    table.check_recorded(name)
