"""A network in PyTorch's words, which are nnkit's too: the same lines build both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench import nets
from bench.nets import Net


def network(nn: Any, tensor: Callable[[Any], Any], net: Net) -> Any:
    """The network by ``torch.nn`` or ``nnkit.nn``, with its first weights; ``tensor`` makes one of an array."""
    model = _sequence(nn, net.layers)
    names = [name for name, _ in model.named_parameters()]
    weights = dict(zip(names, map(tensor, net.initial()), strict=True))
    model.load_state_dict(weights, strict=False)  # running statistics begin as they are
    return model


def _sequence(nn: Any, layers: tuple[nets.Layer, ...]) -> Any:
    return nn.Sequential(*(module for layer in layers for module in _modules(nn, layer)))


def _modules(nn: Any, layer: nets.Layer) -> list[Any]:
    """What stands for one layer."""
    match layer:
        case nets.Linear(inputs, outputs):
            return [nn.Linear(inputs, outputs)]
        case nets.Convolution(inputs, outputs, side, stride, groups, bias):
            return [nn.Conv2d(inputs, outputs, side, stride, side // 2, groups=groups, bias=bias)]
        case nets.BatchNorm(channels):
            return [nn.BatchNorm2d(channels)]
        case nets.Activation(name):
            return [{"relu": nn.ReLU, "gelu": nn.GELU}[name]()]
        case nets.Dropout(p):
            return [nn.Dropout(p)]
        case nets.MaxPool(side):
            return [nn.MaxPool2d(side)]
        case nets.GlobalPool():
            return [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        case nets.Flatten():
            return [nn.Flatten()]
        case nets.Residual(path, beside):
            return [_residual(nn, _sequence(nn, path), _sequence(nn, beside) if beside else nn.Identity())]
    raise TypeError(f"no word for {layer}")


def _residual(nn: Any, path: Any, beside: Any) -> Any:
    class Residual(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.path, self.beside = path, beside

        def forward(self, x: Any) -> Any:
            return self.path(x) + self.beside(x)

    return Residual()
