"""PyTorch's words around gradients: functions of one's own, hooks, Jacobians, functions of functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import Tensor, autograd, errors, func, nn
from nnkit.autograd import Function, functional, gradcheck, gradgradcheck
from nnkit.autograd.function import once_differentiable


def leaf(*values: float, dtype: str = "float64") -> Tensor:
    return nnkit.tensor(list(values), dtype=dtype, requires_grad=True)


# ---- Function -------------------------------------------------------------------------------------------------------


class Cube(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.factor = factor
        return factor * x * x * x

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return dy * 3.0 * ctx.factor * x * x, None


class Exp(Function):
    """Saves its output, by ``setup_context``."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.exp()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        return dy * ctx.saved_tensors[0]


class SumAndProduct(Function):
    """Two outputs with a gradient, and one without."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Any:
        ctx.save_for_backward(x, y)
        larger = (x > y).to(x.dtype)
        ctx.mark_non_differentiable(larger)
        return x + y, (x * y).sum(), larger

    @staticmethod
    def backward(ctx: Any, ds: Tensor, dp: Tensor, dl: Any) -> Any:
        x, y = ctx.saved_tensors
        assert dl is None and ctx.needs_input_grad == (True, True)
        return ds + dp * y, ds + dp * x


class Opaque(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        return nnkit.tensor(2.0 * ctx.saved_tensors[0].detach().numpy() * dy.numpy())


FUNCTIONS: dict[str, tuple[Callable[..., Any], int]] = {
    "saved input": (lambda x: Cube.apply(x, 2.0), 1),
    "saved output": (Exp.apply, 1),
    "inside others": (lambda x: Exp.apply(Cube.apply(x.sin(), 0.5)), 1),
    "two outputs": (lambda x, y: SumAndProduct.apply(x, y)[:2], 2),
    "the second output": (lambda x, y: SumAndProduct.apply(x, y)[1], 2),
}


@pytest.mark.parametrize("case", FUNCTIONS)
def test_functions_of_ones_own(case: str, device: str) -> None:
    function, count = FUNCTIONS[case]
    inputs = [leaf(0.5, -1.2, 0.8), leaf(0.3, 1.1, -0.4)][:count]
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


def test_a_function_without_grad_is_a_plain_call(device: str) -> None:
    assert not Cube.apply(nnkit.tensor([1.0]), 2.0).requires_grad
    with nnkit.no_grad():
        assert not Exp.apply(leaf(1.0)).requires_grad
    assert repr(Exp.apply(leaf(1.0)).grad_fn) == "<ExpBackward>"
    assert not SumAndProduct.apply(leaf(1.0), leaf(2.0))[2].requires_grad


def test_once_differentiable(device: str) -> None:
    x = leaf(3.0)
    assert nnkit.grad(Opaque.apply(x).sum(), x)[0].tolist() == [6.0]
    (slope,) = nnkit.grad(Opaque.apply(x).sum(), x, create_graph=True)
    with pytest.raises(errors.GradientError, match="once_differentiable: its gradient has no gradient"):
        slope.sum().backward()


def test_a_saved_tensor_that_changed_is_refused(device: str) -> None:
    x = leaf(1.0) * 1.0
    y = Cube.apply(x, 1.0)
    with nnkit.no_grad():
        x.add_(1.0)
    with pytest.raises(errors.GradientError, match="changed in place once"):
        y.sum().backward()


def test_a_function_is_recorded(device: str) -> None:
    def step(x: Tensor) -> Tensor:
        t = x.detach().requires_grad_()
        return nnkit.grad(Cube.apply(t, 2.0).sum(), t)[0]

    compiled = nnkit.compile(step, fullgraph=True)
    for value in (1.0, 2.0, 3.0, 4.0, 5.0):
        x = nnkit.tensor([value])
        assert compiled(x).tolist() == step(x).tolist() == [6.0 * value * value]


# ---- checks ---------------------------------------------------------------------------------------------------------


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * 2.0

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        return dy * 3.0


def test_gradcheck_finds_what_is_wrong(device: str) -> None:
    with pytest.raises(errors.GradientError, match="output 0 has with respect to input 0"):
        gradcheck(Wrong.apply, leaf(1.0))
    assert gradcheck(Wrong.apply, leaf(1.0), raise_exception=False) is False
    with pytest.raises(ValueError, match="at least one input that requires grad"):
        gradcheck(nnkit.exp, nnkit.tensor([1.0]))


def test_anomaly_names_the_op(device: str) -> None:
    x = leaf(0.0, 1.0)
    with (
        autograd.detect_anomaly(),
        pytest.raises(errors.GradientError, match="gradient of 'sqrt' with respect to its in"),
    ):
        (x.sqrt() * nnkit.tensor([0.0, 1.0], dtype="float64")).exp().sum().backward()
    with autograd.set_detect_anomaly(False):
        (x.sqrt() * nnkit.tensor([0.0, 1.0], dtype="float64")).sum().backward()
    assert np.isnan(x.grad.numpy()[0])  # type: ignore[union-attr]


# ---- autograd.grad, backward ----------------------------------------------------------------------------------------


def test_grad_of_several_outputs(device: str) -> None:
    x, y = leaf(2.0), leaf(3.0)
    assert [g.tolist() for g in autograd.grad((x * y, y * y), (x, y), (leaf(1.0), leaf(10.0)))] == [[3.0], [62.0]]
    found = autograd.grad(x * x, (x, y), allow_unused=True)
    assert found[1] is None
    assert autograd.grad(x * x, (x, y), materialize_grads=True)[1].tolist() == [0.0]
    with pytest.raises(errors.GradientError, match="pass allow_unused=True"):
        autograd.grad(x * x, (x, y))
    autograd.backward((x * y, x * x))
    assert x.grad.tolist() == [7.0] and y.grad.tolist() == [2.0]  # type: ignore[union-attr]


def test_backward_with_create_graph_leaves_gradients_on_the_tape(device: str) -> None:
    x = leaf(2.0)
    (x**3.0).sum().backward(create_graph=True)
    assert x.grad is not None and x.grad.requires_grad and x.grad.tolist() == [12.0]
    (second,) = nnkit.grad(x.grad.sum(), x, retain_graph=True)
    assert second.tolist() == [12.0]
    (x**2).sum().backward(create_graph=True)
    assert x.grad.tolist() == [16.0]
    assert nnkit.grad(x.grad.sum(), x)[0].tolist() == [14.0]
    x.grad = None
    (x**2).sum().backward(inputs=x)
    assert x.grad.tolist() == [4.0] and not x.grad.requires_grad  # type: ignore[attr-defined]


def test_create_graph_keeps_the_graph_unless_told_not_to(device: str) -> None:
    x = leaf(2.0)
    y = (x * x).sum()
    nnkit.grad(y, x, create_graph=True)
    nnkit.grad(y, x, create_graph=True, retain_graph=False)
    with pytest.raises(errors.GradientError, match="a second time"):
        nnkit.grad(y, x)


def test_variable(device: str) -> None:
    assert autograd.Variable(nnkit.ones(1), requires_grad=True).requires_grad
    assert not autograd.Variable(nnkit.ones(1)).requires_grad


# ---- hooks ----------------------------------------------------------------------------------------------------------


def test_hooks_of_tensors_see_and_replace_gradients(device: str) -> None:
    x, seen = leaf(1.0, 2.0), list[Any]()
    y = x * 3.0
    handle = y.register_hook(lambda g: seen.append(g.tolist()))
    y.register_hook(lambda g: g * 2.0)
    (y * y).sum().backward()
    assert seen == [[6.0, 12.0]] and x.grad.tolist() == [36.0, 72.0]  # type: ignore[union-attr]
    handle.remove()
    x.grad = None
    x.register_hook(lambda g: g * 0.5)
    (x * x + x).sum().backward()  # the hook of a leaf sees the sum
    assert x.grad.tolist() == [1.5, 2.5] and len(seen) == 1  # type: ignore[attr-defined]
    with pytest.raises(errors.GradientError, match="does not require grad has no gradient"):
        nnkit.ones(1).register_hook(lambda g: None)
    with pytest.raises(TypeError, match="hook must be a function"):
        x.register_hook(1)  # type: ignore[arg-type]


def test_retain_grad_and_what_a_tensor_is(device: str) -> None:
    x = leaf(1.0, 2.0)
    y = x * 3.0
    y.retain_grad()
    x.retain_grad()
    (y * y).sum().backward()
    assert y.grad.tolist() == [6.0, 12.0] and x.grad.tolist() == [18.0, 36.0]  # type: ignore[union-attr]
    assert x.is_leaf and x.grad_fn is None and not y.is_leaf
    assert repr(y.tanh().grad_fn) == "<TanhBackward>"
    assert repr(y.log_softmax(0).grad_fn) == "<LogSoftmaxBackward>"
    assert [repr(node) for node, _ in (y * y).grad_fn.next_functions] == ["<MulBackward>", "<MulBackward>"]
    assert y.detach_() is y and y.is_leaf and not y.requires_grad


def test_backward_hooks_of_modules(device: str) -> None:
    layer, seen = nn.Linear(2, 1), list[Any]()
    layer.weight.data.copy_(nnkit.tensor([[1.0, 2.0]]))
    handle = layer.register_full_backward_hook(lambda m, given, got: seen.append((given[0].tolist(), got[0].tolist())))
    x = nnkit.ones(1, 2, requires_grad=True)
    (layer(x) * 3.0).sum().backward()
    assert seen == [([[3.0, 6.0]], [[3.0]])]
    handle.remove()
    layer.register_full_backward_hook(lambda m, given, got: (given[0] * 10.0,))
    x.grad = None
    layer(x).sum().backward()
    assert x.grad.tolist() == [[10.0, 20.0]] and len(seen) == 1  # type: ignore[attr-defined]
    plain, found = nn.Linear(2, 1), list[Any]()
    plain.register_full_backward_hook(lambda m, given, got: found.append(given))
    plain(nnkit.ones(1, 2)).sum().backward()
    assert found == [(None,)]


def test_a_step_with_a_hook_runs_plainly(device: str) -> None:
    layer = nn.Linear(2, 1)
    layer.weight.register_hook(lambda g: g * 2.0)

    @nnkit.compile
    def step(x: Tensor) -> Tensor:
        loss = layer(x).sum()
        loss.backward()
        return loss.detach()

    step(nnkit.ones(1, 2))
    with pytest.warns(UserWarning, match="a tensor has a gradient hook, which is Python"):
        step(nnkit.ones(1, 2))
    assert layer.weight.grad.tolist() == [[4.0, 4.0]]  # type: ignore[union-attr]


# ---- functional and func --------------------------------------------------------------------------------------------


def curve(x: Tensor) -> Tensor:
    return (x * x * x).sum() + x[0] * x[1] * x[1]


X = np.array([0.5, -1.5])
SLOPE = np.array([3 * 0.25 + 2.25, 3 * 2.25 + 2 * 0.5 * -1.5])
SECOND = np.array([[3.0, -3.0], [-3.0, 6 * -1.5 + 1.0]])
V = np.array([2.0, 0.25])


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-10, atol=1e-12)


def test_functional(device: str) -> None:
    x, v = nnkit.tensor(X), nnkit.tensor(V)
    close(functional.jacobian(curve, x), SLOPE)
    close(functional.hessian(curve, x), SECOND)
    close(functional.vjp(curve, x, nnkit.tensor(2.0, dtype="float64"))[1], 2.0 * SLOPE)
    value, rate = functional.jvp(curve, x, v)
    close(value, curve(x).numpy())
    close(rate, SLOPE @ V)
    close(functional.hvp(curve, x, v)[1], SECOND @ V)
    close(functional.vhp(curve, x, v)[1], V @ SECOND)
    two = functional.jacobian(lambda a, b: (a * b, a + b), (x, v))
    close(two[0][0], np.diag(V))
    close(two[1][1], np.eye(2))
    assert not functional.jacobian(curve, x).requires_grad
    assert functional.jacobian(curve, nnkit.tensor(X, requires_grad=True), create_graph=True).requires_grad
    close(functional.jvp(lambda a: nnkit.zeros(2, dtype="float64"), x, v)[1], np.zeros(2))
    with pytest.raises(errors.GradientError, match="strict: the outputs do not depend"):
        functional.jacobian(lambda a: nnkit.zeros(2), x, strict=True)


def test_func(device: str) -> None:
    x, v = nnkit.tensor(X), nnkit.tensor(V)
    close(func.grad(curve)(x), SLOPE)
    assert not func.grad(curve)(x).requires_grad
    found, value = func.grad_and_value(curve)(x)
    close(found, SLOPE)
    close(value, curve(x).numpy())
    close(func.jacrev(func.grad(curve))(x), SECOND)
    close(func.jacfwd(func.jacrev(curve))(x), SECOND)
    close(func.hessian(curve)(x), SECOND)
    close(func.jvp(func.grad(curve), (x,), (v,))[1], SECOND @ V)
    value, back = func.vjp(func.grad(curve), x)
    close(back(v)[0], V @ SECOND)
    close(func.vmap(func.grad(curve))(nnkit.stack([x, v]))[0], SLOPE)
    close(func.vmap(lambda a, b: a * b, (0, None), 1)(nnkit.stack([x, v]), x), np.stack([X * X, V * X], 1))
    both = func.grad(lambda p, t: (p["a"] * p["b"] * t).sum())({"a": x, "b": v}, x)
    close(both["a"], V * X)
    slope, extra = func.grad(lambda t: (curve(t), "extra"), has_aux=True)(x)
    assert extra == "extra"
    close(slope, SLOPE)
    w = nnkit.tensor(2.0, dtype="float64", requires_grad=True)
    func.grad(lambda t: w * (t**3.0).sum())(x).sum().backward()  # what is captured gets gradients, too
    close(w.grad, 3.0 * (X**2).sum())
    with pytest.raises(errors.ShapeError, match="expected rows"):
        func.vmap(lambda a: a)(nnkit.zeros(0, 2))


def test_functional_call(device: str) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1))
    x, own = nnkit.ones(3, 2), {name: p.detach() * 2.0 for name, p in model.named_parameters()}
    before = model(x).tolist()
    found = func.functional_call(model, own, (x,))
    assert model(x).tolist() == before != found.tolist()
    slopes = func.grad(lambda parameters: func.functional_call(model, parameters, x).sum())(own)
    assert slopes.keys() == own.keys() and slopes["0.weight"].shape == (2, 2)
    with pytest.raises(KeyError, match="unknown names"):
        func.functional_call(model, {"3.weight": x}, x)


# ---- recorded -------------------------------------------------------------------------------------------------------


def penalty(model: Any, x: Tensor) -> Tensor:
    """The gradient penalty of Gulrajani et al., 2017."""
    t = x.detach().requires_grad_()
    (slope,) = nnkit.grad(model(t).sum(), t, create_graph=True)
    return ((slope.norm(dim=1) - 1.0) ** 2).mean()


def third(model: Any, x: Tensor) -> Tensor:
    t = x.detach().requires_grad_()
    value = model(t)
    for _ in range(3):
        (slope,) = nnkit.grad(value.sum(), t, create_graph=True)
        value = slope[:, :1]
    return (value * value).mean()


MODELS: dict[str, Callable[[], Any]] = {
    "tanh": lambda: nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1)),
    "silu": lambda: nn.Sequential(nn.Linear(2, 8), nn.SiLU(), nn.LayerNorm(8), nn.Linear(8, 1)),
    "softplus": lambda: nn.Sequential(nn.Linear(2, 8), nn.Softplus(), nn.Linear(8, 4), nn.Softmax(1), nn.Linear(4, 1)),
}


@pytest.mark.parametrize("loss_of", [penalty, third])
@pytest.mark.parametrize("net", MODELS)
def test_recorded_to_the_bit(net: str, loss_of: Any, device: str) -> None:
    x = [nnkit.tensor(np.random.default_rng(k).normal(size=(5, 2)).astype(np.float32)) for k in range(6)]
    histories = []
    for compiled in (False, True):
        nnkit.manual_seed(1)
        model = MODELS[net]()
        optimizer = nnkit.optim.Adam(model.parameters(), lr=0.01)

        def step(batch: Tensor) -> Tensor:
            optimizer.zero_grad()  # noqa: B023
            loss = loss_of(model, batch)  # noqa: B023
            loss.backward()
            optimizer.step()  # noqa: B023
            return loss.detach()

        run = nnkit.compile(step, fullgraph=True) if compiled else step
        history = [run(batch).item() for batch in x]
        histories.append((history, [p.detach().tolist() for p in model.parameters()]))
    assert histories[0] == histories[1]
