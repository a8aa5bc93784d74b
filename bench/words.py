"""Networks, losses and updates in PyTorch's words, which are nnkit's too: the same lines build both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bench import layers as kinds
from bench.batches import ALPHA
from bench.nets import Net
from bench.workloads import Workload

ACTIVATIONS = {"relu": "ReLU", "gelu": "GELU", "tanh": "Tanh"}

# ---- networks -------------------------------------------------------------------------------------------------------


def network(nn: Any, tensor: Callable[[Any], Any], net: Net) -> Any:
    """The network by ``torch.nn`` or ``nnkit.nn``, with its first weights; ``tensor`` makes one of an array."""
    model = _sequence(nn, net.layers)
    names = [name for name, _ in model.named_parameters()]
    weights = dict(zip(names, map(tensor, net.initial()), strict=True))
    model.load_state_dict(weights, strict=False)  # running statistics begin as they are
    return model


def _sequence(nn: Any, layers: tuple[kinds.Layer, ...]) -> Any:
    return nn.Sequential(*(module for layer in layers for module in _modules(nn, layer)))


def _modules(nn: Any, layer: kinds.Layer) -> list[Any]:
    """What stands for one layer."""
    match layer:
        case kinds.Linear(inputs, outputs):
            return [nn.Linear(inputs, outputs)]
        case kinds.Convolution(inputs, outputs, side, stride, groups, bias):
            return [nn.Conv2d(inputs, outputs, side, stride, side // 2, groups=groups, bias=bias)]
        case kinds.BatchNorm(channels):
            return [nn.BatchNorm2d(channels)]
        case kinds.Activation(name):
            return [getattr(nn, ACTIVATIONS[name])()]
        case kinds.Dropout(p):
            return [nn.Dropout(p)]
        case kinds.MaxPool(side):
            return [nn.MaxPool2d(side)]
        case kinds.GlobalPool():
            return [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        case kinds.Flatten():
            return [nn.Flatten()]
        case kinds.Residual(path, beside):
            return [_residual(nn, _sequence(nn, path), _sequence(nn, beside) if beside else nn.Identity())]
        case kinds.LastStep():  # taken by what is before it
            return []
        case kinds.Recurrent(kind, inputs, outputs):
            return [_last_step(nn, getattr(nn, kind)(inputs, outputs, batch_first=True))]
        case kinds.Embedding(rows, width, sparse):
            return [nn.Embedding(rows, width, sparse=sparse)]
        case kinds.Positions(places, width):
            return [_positions(nn, nn.Embedding(places, width))]
        case kinds.LayerNorm(width):
            return [nn.LayerNorm(width)]
        case kinds.Blocks():
            return [_blocks(nn, layer)]
    raise TypeError(f"no word for {layer}")


def _residual(nn: Any, path: Any, beside: Any) -> Any:
    class Residual(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.path, self.beside = path, beside

        def forward(self, x: Any) -> Any:
            return self.path(x) + self.beside(x)

    return Residual()


def _last_step(nn: Any, layer: Any) -> Any:
    class LastStep(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Any) -> Any:
            return self.layer(x)[0][:, -1]

    return LastStep()


def _positions(nn: Any, table: Any) -> Any:
    class Positions(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.table = table

        def forward(self, x: Any) -> Any:
            return x + self.table.weight[: x.shape[1]]

    return Positions()


def _blocks(nn: Any, layer: kinds.Blocks) -> Any:
    """PyTorch wants the mask, and "causal" to know that it is one; nnkit needs the latter only."""

    class Blocks(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            one = nn.TransformerEncoderLayer(
                layer.width, layer.heads, layer.hidden, dropout=0.0, activation=layer.activation, batch_first=True,
                norm_first=True,
            )  # fmt: skip
            self.encoder = nn.TransformerEncoder(one, layer.count, enable_nested_tensor=False)
            mask = nn.Transformer.generate_square_subsequent_mask(layer.tokens)
            self.register_buffer("mask", mask, persistent=False)

        def forward(self, x: Any) -> Any:
            return self.encoder(x, mask=self.mask, is_causal=True)

    return Blocks()


# ---- losses and updates ---------------------------------------------------------------------------------------------


def loss(library: Any, workload: Workload, model: Any, batch: Sequence[Any]) -> Callable[[], Any]:
    """The loss of a batch as the weights are: by ``torch`` or ``nnkit``."""
    if workload.loss == "heat":
        return _heat(library, model, *batch)
    nn, (x, y) = library.nn, batch
    kind = {"cross_entropy": nn.CrossEntropyLoss, "bce_with_logits": nn.BCEWithLogitsLoss, "mse": nn.MSELoss}
    loss_of = kind[workload.loss]()
    if workload.net.family != "language":
        return lambda: loss_of(model(x), y)
    labels = y.reshape(-1)

    def each_word() -> Any:
        return loss_of(model(x).flatten(0, 1), labels)

    return each_word


def _heat(library: Any, model: Any, inside: Any, known: Any, u: Any) -> Callable[[], Any]:
    """The mean square of what the equation leaves inside, and of the error where u is known."""
    inside, grad = inside.requires_grad_(), library.autograd.grad

    def forward() -> Any:
        (first,) = grad(model(inside).sum(), inside, create_graph=True)
        (second,) = grad(first[:, 0].sum(), inside, create_graph=True)
        left = first[:, 1] - ALPHA * second[:, 0]
        return (left * left).mean() + ((model(known) - u) ** 2).mean()

    return forward


def optimizer(library: Any, workload: Workload, model: Any, **more: Any) -> Any:
    """The workload's optimizer, with its library's defaults."""
    parameters, optim = model.parameters(), library.optim
    match workload.optimizer:
        case "sgd":
            return optim.SGD(parameters, lr=0.01, momentum=0.9, nesterov=True)
        case "plain sgd":
            return optim.SGD(parameters, lr=0.1)
    return optim.Adam(parameters, **more)


def attention(library: Any, batch: Sequence[Any]) -> Callable[[], tuple[Any, ...]]:
    """The sum of the squares of attention's outputs, and its gradients by queries, keys and values."""
    q, k, v = (x.requires_grad_() for x in batch)
    attend, grad = library.nn.functional.scaled_dot_product_attention, library.autograd.grad

    def step() -> tuple[Any, ...]:
        y = attend(q, k, v, is_causal=True)
        loss = (y * y).sum()
        return loss.detach(), *grad(loss, (q, k, v))

    return step
