"""Views: what shares memory, and changes through views on the tape; PyTorch's outcome, literally.

Each program makes a scalar of x (2, 3) and w (3,).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tape_programs import Table

import nnkit
from nnkit import Tensor, errors

table = Table()
gives, refused = table.gives, table.refused


@gives(26.0, x=[2.0, 1.0, 1.0, 2.0, 1.0, 1.0], w=None)
def view_mul(x: Tensor, w: Tensor) -> Tensor:
    y = x.clone()
    v = y[:, 0]
    v.mul_(2)
    return y.sum()


@gives(87.25, x=[8.0, 4.0, 1.5, 8.0, 10.0, 12.0], w=[4.0, -8.0, 9.0])
def view_mul_tensor(x: Tensor, w: Tensor) -> Tensor:
    y = x.clone()
    v = y[0]
    v.mul_(w)
    return (y * y).sum()


@gives(103.0, x=[2.0, 16.0, 6.0, 8.0, 10.0, 12.0], w=[16.0, -50.0, 0.0])
def view_of_view(x: Tensor, w: Tensor) -> Tensor:
    y = x.clone()
    v = y.t()[1:]
    v = v[0]
    v *= w[:2]
    return (y * y).sum()


@gives(10.25, x=[8.0, 4.0, 1.5, 0.0, 0.0, 0.0], w=[4.0, -8.0, 9.0])
def view_then_use_view(x: Tensor, w: Tensor) -> Tensor:
    y = x.clone()
    v = y[0]
    v.mul_(w)
    return (v * v).sum()


@gives(10.25, x=[8.0, 4.0, 1.5, 0.0, -0.0, 0.0], w=[4.0, -8.0, 9.0])
def base_then_view(x: Tensor, w: Tensor) -> Tensor:
    y = x.clone()
    v = y[0]
    y.mul_(w)
    return (v * v).sum()


@gives(70.25, x=[0.0, 4.0, 1.5, 32.0, -0.0, 0.0], w=[64.0, -8.0, 9.0])
def base_then_reshaped(x: Tensor, w: Tensor) -> Tensor:
    y = x.clone()
    v = y.view(-1)
    y.mul_(w)
    return (v[1:4] * v[1:4]).sum()


@gives(100.0, x=[2.0, 4.0, 10.0, 6.0, 10.0, 12.0], w=[10.0, 6.0, 0.0])
def reshaped_then_base(x: Tensor, w: Tensor) -> Tensor:
    y = x.clone()
    v = y.view(3, 2)
    v[1].add_(w[:2])
    return (y * y).sum()


@gives(142.0, x=[8.0, 4.0, 6.0, 32.0, 10.0, 12.0], w=[68.0, 0.0, 0.0])
def unsqueezed(x: Tensor, w: Tensor) -> Tensor:
    y = x.clone()
    y[:, 0].unsqueeze(1).mul_(w[:1])
    return (y * y).sum()


@gives(235.0, x=[16.0, -16.0, 12.0, 144.0, -90.0, 54.0], w=[148.0, 241.0, 360.0])
def transposed(x: Tensor, w: Tensor) -> Tensor:
    y = x.clone()
    y.t().mul_(nnkit.tensor([2.0, 3.0]))
    return (y * y * w).sum()


@gives(15.25, x=[8.0, 30.0, 1.5, 0.0, -3.0, 0.0], w=[-2.0, -45.0, 9.0])
def two_views(x: Tensor, w: Tensor) -> Tensor:
    y = x.clone()
    a = y[0]
    b = y[:, 1]
    a.mul_(w)
    b.mul_(3)
    return (a * a).sum() + (b * w[:2]).sum()


@gives(129.25, x=[9.0, 5.0, 2.5, 33.0, 11.0, 4.0], w=[68.0, -58.0, 45.0])
def old_result_kept(x: Tensor, w: Tensor) -> Tensor:
    y = x.clone()
    s = y.sum()
    y.mul_(w)
    return s + (y * y).sum()


@gives(5.25, x=None, w=[4.0, -2.0, 1.0])
def buffer_takes(x: Tensor, w: Tensor) -> Tensor:
    b = nnkit.zeros(4)
    b[1:] = w
    return (b * b).sum()


@gives(4.0, x=None, w=[4.0, 0.0, 0.0])
def buffer_view_sees(x: Tensor, w: Tensor) -> Tensor:
    b = nnkit.zeros(4)
    v = b[:2]
    b[1:] = w
    return (v * v).sum()


@gives(7.5, x=[3.0, 0.0, 1.5, 0.0, 0.0, 0.0], w=[1.0, 2.0, 3.0])
def buffer_adds(x: Tensor, w: Tensor) -> Tensor:
    b = nnkit.ones(3)
    b += w
    b *= x[0]
    return b.sum()


@gives(108.25, x=[8.0, 4.0, 1.5, 32.0, 10.0, 3.0], w=[68.0, -58.0, 45.0])
def stacked_by_hand(x: Tensor, w: Tensor) -> Tensor:
    b = nnkit.zeros(2, 3)
    for i in range(2):
        b[i] = x[i] * w
    return (b * b).sum()


@refused
def leaf_view_inplace(x: Tensor, w: Tensor) -> Tensor:
    x[0].add_(1)
    return x.sum()


@gives(80.0, x=[2.0, 2.0, 2.0, 8.0, 10.0, 12.0], w=None)
def leaf_view_no_grad(x: Tensor, w: Tensor) -> Tensor:
    with nnkit.no_grad():
        x[0] = 1.0
    return (x * x).sum()


@refused
def expanded_inplace(x: Tensor, w: Tensor) -> Tensor:
    y = w * 1.0
    e = y.expand(2, 3)
    e.mul_(2)
    return e.sum()


@refused
def no_grad_view_inplace(x: Tensor, w: Tensor) -> Tensor:
    y = x * 1.0
    with nnkit.no_grad():
        v = y[0]
    v.mul_(2)
    return y.sum()


@refused
def no_grad_view_after_base(x: Tensor, w: Tensor) -> Tensor:
    y = x * 1.0
    with nnkit.no_grad():
        v = y[0]
    y.mul_(2)
    return (v * w).sum()


@gives(7.5, x=[2.0, -1.0, 0.5, 2.0, -1.0, 0.5], w=[5.0, 7.0, 9.0])
def contiguous_of_t(x: Tensor, w: Tensor) -> Tensor:
    y = x * 1.0
    c = y.t().contiguous()
    c.mul_(2)
    return (y * w).sum()


@gives(49.5, x=[4.0, 1.0, 2.5, 4.0, 1.0, 2.5], w=[5.0, 7.0, 9.0])
def reshape_of_t(x: Tensor, w: Tensor) -> Tensor:
    y = x * 1.0
    c = y.t().reshape(-1)
    c.mul_(2)
    return (y * w).sum() + c.sum()


@refused
def view_of_t(x: Tensor, w: Tensor) -> Tensor:
    y = x * 1.0
    c = y.t().view(-1)
    return c.sum()


@gives(22.5, x=[6.0, -3.0, 1.5, 6.0, -3.0, 1.5], w=[15.0, 21.0, 27.0])
def flatten_inplace(x: Tensor, w: Tensor) -> Tensor:
    y = x * 1.0
    y.flatten().mul_(3)
    return (y * w).sum()


@gives(22.5, x=[6.0, -3.0, 1.5, 6.0, -3.0, 1.5], w=[15.0, 21.0, 27.0])
def squeeze_inplace(x: Tensor, w: Tensor) -> Tensor:
    y = (x * 1.0).reshape(2, 1, 3)
    y.squeeze(1).mul_(3)
    return (y * w).sum()


@gives(27.0, x=[1.0, 1.0, 1.0, 1.0, 1.0, 1.0], w=None)
def detached_view_not_on_tape(x: Tensor, w: Tensor) -> Tensor:
    y = x * 1.0
    d = y.detach()
    d.add_(1)
    return y.sum()


@gives(12.0, x=[0.0, 0.0, 0.0, 4.0, -2.0, 1.0], w=[8.0, 10.0, 12.0])
def shift_by_itself(x: Tensor, w: Tensor) -> Tensor:
    y = x * 1.0
    y[0] = y[1]
    return (y * w).sum()


@gives(3.0, x=None, w=[3.0, 3.0, 0.0])
def overlap_shift(x: Tensor, w: Tensor) -> Tensor:
    y = w * 1.0
    y[1:] = y[:-1].clone()
    return (y * nnkit.tensor([1.0, 2.0, 3.0])).sum()


@pytest.mark.parametrize("name", table.programs)
def test_changes_on_the_tape_mean_what_they_mean_in_pytorch(name: str, device: str) -> None:
    table.check(name)


@pytest.mark.parametrize("name", table.replayed)
def test_recorded_they_are_the_same_to_the_bit(name: str, device: str) -> None:
    table.check_recorded(name)


# ---- what shares memory ---------------------------------------------------------------------------------------------

ITSELF, VIEW, COPY, UNSEEN = "itself", "a view", "a copy", "a view whose changes backward does not see"
#: What is made of x (2, 3), and how it lies to x in PyTorch.
MADE: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "contiguous": (lambda x: x.contiguous(), ITSELF),
    "t().contiguous": (lambda x: x.t().contiguous(), COPY),
    "[:, 0].contiguous": (lambda x: x[:, 0].contiguous(), COPY),
    "[1].contiguous": (lambda x: x[1].contiguous(), VIEW),
    "reshape": (lambda x: x.reshape(3, 2), VIEW),
    "t().reshape(-1)": (lambda x: x.t().reshape(-1), COPY),
    "t().reshape(3, 1, 2)": (lambda x: x.t().reshape(3, 1, 2), VIEW),
    "[:, :2].reshape(-1)": (lambda x: x[:, :2].reshape(-1), COPY),
    "[:, 0].reshape(2, 1)": (lambda x: x[:, 0].reshape(2, 1), VIEW),
    "flatten": (lambda x: x.flatten(), VIEW),
    "t().flatten": (lambda x: x.t().flatten(), COPY),
    "view": (lambda x: x.view(-1, 2), VIEW),
    "t().view(3, 1, 2)": (lambda x: x.t().view(3, 1, 2), VIEW),
    "[:, 0].view(2, 1)": (lambda x: x[:, 0].view(2, 1), VIEW),
    "expand": (lambda x: x.unsqueeze(0).expand(2, 2, 3), VIEW),
    "data": (lambda x: x.data, UNSEEN),
    "detach": (lambda x: x.detach(), VIEW),
    "clone": (lambda x: x.clone(), COPY),
    "to the same type": (lambda x: x.to(x.dtype), ITSELF),
    "double": (lambda x: x.double(), COPY),
    "[0]": (lambda x: x[0], VIEW),
    "[0, 1]": (lambda x: x[0, 1], VIEW),
    "[:, 1:]": (lambda x: x[:, 1:], VIEW),
    "[None]": (lambda x: x[None], VIEW),
    "[[0]]": (lambda x: x[[0]], COPY),
    "[mask]": (lambda x: x[x > 2], COPY),
    "unsqueeze": (lambda x: x.unsqueeze(1), VIEW),
    "t": (lambda x: x.t(), VIEW),
    "permute": (lambda x: x.permute(1, 0), VIEW),
    "an item": (lambda x: next(iter(x)), VIEW),
    "plus 0": (lambda x: x + 0, COPY),
    "relu": (lambda x: x.relu(), COPY),
}


@pytest.mark.parametrize("name", MADE)
def test_memory_is_shared_as_in_pytorch(name: str, device: str) -> None:
    make, expected = MADE[name]
    x = nnkit.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    y = make(x)
    before = y.tolist()
    x.mul_(-1.0)
    shared = {True: VIEW, False: UNSEEN}[y._version == x._version]
    assert expected == (ITSELF if y is x else shared if y.tolist() != before else COPY)


@pytest.mark.parametrize("make", [lambda x: x.t().view(6), lambda x: x[:, :2].view(4)])
def test_a_view_that_would_have_to_copy_is_refused(make: Callable[[Tensor], Tensor], device: str) -> None:
    with pytest.raises(errors.ShapeError, match="use reshape, which copies"):
        make(nnkit.ones(2, 3))
