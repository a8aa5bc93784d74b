"""What was saved for backward and is changed before it: PyTorch's outcome, a gradient or a refusal, literally.

Each program makes a scalar of x (2, 3) and w (3,).
"""

from __future__ import annotations

import pytest
from tape_programs import Table

import nnkit
from nnkit import Tensor

table = Table()
gives, refused = table.gives, table.refused


@refused
def mul_factor_changed(x: Tensor, w: Tensor) -> Tensor:
    z = x * w
    with nnkit.no_grad():
        w.add_(5)
    return z.sum()


@refused
def mul_constant_changed(x: Tensor, w: Tensor) -> Tensor:
    m = nnkit.ones(3) * 3
    z = x * m
    m.add_(5)
    return z.sum()


@gives(63.0, x=[3.0, 3.0, 3.0, 3.0, 3.0, 3.0], w=None)
def mul_unread_changed(x: Tensor, w: Tensor) -> Tensor:
    h = x * 1.0
    m = nnkit.ones(3) * 3
    z = h * m
    h.add_(1)
    return z.sum()


@refused
def mul_both_changed(x: Tensor, w: Tensor) -> Tensor:
    h = x * 1.0
    z = h * w
    h.add_(1)
    return z.sum()


@gives(24.0, x=[1.0, 1.0, 1.0, 1.0, 1.0, 1.0], w=[2.0, 2.0, 2.0])
def add_changed(x: Tensor, w: Tensor) -> Tensor:
    h = x * 1.0
    z = h + w
    h.mul_(3)
    with nnkit.no_grad():
        w.mul_(2)
    return z.sum()


@refused
def exp_output_changed(x: Tensor, w: Tensor) -> Tensor:
    y = x.exp()
    y.add_(1)
    return y.sum()


@refused
def sigmoid_output_changed(x: Tensor, w: Tensor) -> Tensor:
    y = x.sigmoid()
    y.mul_(2)
    return y.sum()


@refused
def log_input_changed(x: Tensor, w: Tensor) -> Tensor:
    h = x * 1.0
    y = h.log()
    h.add_(1)
    return y.sum()


@refused
def relu_output_changed(x: Tensor, w: Tensor) -> Tensor:
    y = x.relu()
    y.add_(1)
    return y.sum()


@gives(21.0, x=[1.0, 1.0, 1.0, 1.0, 1.0, 1.0], w=None)
def relu_input_changed(x: Tensor, w: Tensor) -> Tensor:
    h = x * 1.0
    y = h.relu()
    h.add_(1)
    return y.sum()


@refused
def changed_through_view(x: Tensor, w: Tensor) -> Tensor:
    h = x * 1.0
    z = h * w
    h[:, 0].mul_(2)
    return z.sum()


@refused
def changed_through_base(x: Tensor, w: Tensor) -> Tensor:
    h = x * 1.0
    v = h[:, 0]
    z = v * w[:2]
    h.mul_(2)
    return z.sum()


@refused
def changed_elsewhere_in_base(x: Tensor, w: Tensor) -> Tensor:
    h = x * 1.0
    v = h[0]
    z = v * w
    h[1].mul_(2)
    return z.sum()


@refused
def changed_by_detach(x: Tensor, w: Tensor) -> Tensor:
    h = x * 1.0
    z = h * w
    h.detach().mul_(2)
    return z.sum()


@gives(24.0, x=[1.0, 1.0, 1.0, 1.0, 1.0, 1.0], w=[2.0, 2.0, 2.0])
def changed_by_data_other(x: Tensor, w: Tensor) -> Tensor:
    h = x * 1.0
    z = h + w
    h.data.mul_(2)
    return z.sum()


@refused
def changed_under_no_grad(x: Tensor, w: Tensor) -> Tensor:
    h = x * 1.0
    z = h * w
    with nnkit.no_grad():
        h.mul_(2)
    return z.sum()


@refused
def matmul_weight_changed(x: Tensor, w: Tensor) -> Tensor:
    m = nnkit.ones(3, 2).requires_grad_()
    z = x @ m
    with nnkit.no_grad():
        m.mul_(2)
    return z.sum()


@gives(42.0, x=[2.0, 2.0, 2.0, 2.0, 2.0, 2.0], w=None)
def matmul_input_changed_const_weight(x: Tensor, w: Tensor) -> Tensor:
    m = nnkit.ones(3, 2)
    h = x * 1.0
    z = h @ m
    h.mul_(2)
    return z.sum()


@refused
def copy_changes(x: Tensor, w: Tensor) -> Tensor:
    h = x * 1.0
    z = h * h
    h.copy_(nnkit.zeros(2, 3))
    return z.sum()


@refused
def fill_changes(x: Tensor, w: Tensor) -> Tensor:
    h = x * 1.0
    z = h * h
    h.fill_(0)
    return z.sum()


@refused
def zero_changes(x: Tensor, w: Tensor) -> Tensor:
    h = x * 1.0
    z = h * h
    h.zero_()
    return z.sum()


@refused
def setitem_changes(x: Tensor, w: Tensor) -> Tensor:
    h = x * 1.0
    z = h * h
    h[0, 0] = 7.0
    return z.sum()


@refused
def max_changes(x: Tensor, w: Tensor) -> Tensor:
    h = x * 1.0
    z = h.max()
    h.mul_(2)
    return z


@refused
def norm_changes(x: Tensor, w: Tensor) -> Tensor:
    h = x * 1.0
    z = h.norm()
    h.mul_(2)
    return z


@gives(21.0, x=[1.0, 1.0, 1.0, 1.0, 1.0, 1.0], w=None)
def sum_changes(x: Tensor, w: Tensor) -> Tensor:
    h = x * 1.0
    z = h.sum()
    h.mul_(2)
    return z


@gives(10.5, x=[0.5, 0.5, 0.5, 0.5, 0.5, 0.5], w=None)
def mean_changes(x: Tensor, w: Tensor) -> Tensor:
    h = x * 1.0
    z = h.mean(0)
    h.mul_(2)
    return z.sum()


@refused
def softmax_changes(x: Tensor, w: Tensor) -> Tensor:
    z = x.softmax(1)
    z.mul_(2)
    return (z * w).sum()


@refused
def where_condition_changes(x: Tensor, w: Tensor) -> Tensor:
    c = x.detach() > 2
    z = nnkit.where(c, x, w)
    c[0] = True
    return z.sum()


@refused
def index_changes(x: Tensor, w: Tensor) -> Tensor:
    i = nnkit.tensor([0, 1, 1])
    z = w[i]
    i[0] = 2
    return (z * z).sum()


@gives(42.0, x=[2.0, 2.0, 2.0, 2.0, 2.0, 2.0], w=None)
def reshape_changes(x: Tensor, w: Tensor) -> Tensor:
    h = x * 1.0
    z = h.reshape(3, 2) * 2
    h.mul_(2)
    return z.sum()


@gives(7.5, x=[2.0, -1.0, 0.5, 2.0, -1.0, 0.5], w=[5.0, 7.0, 9.0])
def clone_saves_nothing(x: Tensor, w: Tensor) -> Tensor:
    h = x * 1.0
    z = h.clone() * w
    h.mul_(2)
    return z.sum()


@refused
def twice(x: Tensor, w: Tensor) -> Tensor:
    h = x * w
    z = h * h
    h.add_(1)
    h.add_(1)
    return z.sum()


@refused
def pow_changes(x: Tensor, w: Tensor) -> Tensor:
    h = x * 1.0
    z = h**3
    h.add_(1)
    return z.sum()


@gives(5.375, x=[0.5, 0.25, 0.125, 0.5, 0.25, 0.125], w=None)
def div_numerator(x: Tensor, w: Tensor) -> Tensor:
    h = x * 1.0
    z = h / nnkit.tensor([2.0, 4.0, 8.0])
    h.add_(1)
    return z.sum()


@refused
def div_denominator(x: Tensor, w: Tensor) -> Tensor:
    h = w * 1.0
    z = x / h
    h.add_(1)
    return z.sum()


@refused
def abs_changes(x: Tensor, w: Tensor) -> Tensor:
    h = x - 3.0
    z = h.abs()
    h.add_(1)
    return z.sum()


@refused
def clamp_changes(x: Tensor, w: Tensor) -> Tensor:
    h = x * 1.0
    z = h.clamp(2, 4)
    h.add_(1)
    return z.sum()


@refused
def tanh_changes(x: Tensor, w: Tensor) -> Tensor:
    z = w.tanh()
    z.add_(1)
    return z.sum()


@refused
def maximum_changes(x: Tensor, w: Tensor) -> Tensor:
    h = x * 1.0
    z = nnkit.maximum(h, w)
    h.add_(1)
    return z.sum()


@refused
def detach_leaf_inplace(x: Tensor, w: Tensor) -> Tensor:
    z = x * w
    w.detach().add_(1)
    return z.sum()


@refused
def retained(x: Tensor, w: Tensor) -> Tensor:
    y = x * w
    y.sum().backward(retain_graph=True)
    x.grad = None
    w.grad = None
    with nnkit.no_grad():
        w.add_(1)
    return y.sum()


@pytest.mark.parametrize("name", table.programs)
def test_saved_values_that_change_are_refused_and_nothing_else(name: str, device: str) -> None:
    table.check(name)


@pytest.mark.parametrize("name", table.replayed)
def test_recorded_it_is_the_same_to_the_bit(name: str, device: str) -> None:
    table.check_recorded(name)
