"""JAX's side: one jitted function for the whole step, optax for losses and updates.

Convolutions are ``lax.conv_general_dilated`` with channels first: on a CPU channels last took as long.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from bench import nets
from bench.contenders import Steps, numbers
from bench.nets import Net
from bench.workloads import Workload

jax: Any = importlib.import_module("jax")
optax: Any = importlib.import_module("optax")

MOMENTUM, LEAST = 0.1, 1e-5  # of batch normalization: PyTorch's defaults


def parameters(net: Net) -> list[Any]:
    """What each layer learns; weights (inputs, outputs), of convolutions (outputs, inputs, height, width)."""
    return _taken(net.layers, iter(net.initial()))


def _taken(layers: Sequence[nets.Layer], values: Iterator[np.ndarray]) -> list[Any]:
    made: list[Any] = []
    for layer in layers:
        if isinstance(layer, nets.Residual):
            made.append([_taken(layer.path, values), _taken(layer.beside, values)])
        else:
            arrays = [next(values) for _ in layer.parameters()]
            made.append([jax.numpy.array(a.T if a.ndim == 2 else a) for a in arrays])
    return made


def running(net: Net) -> list[Any]:
    """The running mean and variance of each batch normalization."""
    channels = [layer.channels for layer, _ in net.flat() if isinstance(layer, nets.BatchNorm)]
    return [(jax.numpy.zeros(count), jax.numpy.ones(count)) for count in channels]


class Forward:
    """A network's output, in training where it is given a key for dropout.

    ``running``: the statistics of batch normalizations, in their order; a training leaves new ones there.
    """

    def __init__(self, running: Iterable[Any], key: Any = None) -> None:
        self._before, self.running = iter(running), list[Any]()
        self._key, self._drops = key, 0

    def __call__(self, layers: Sequence[nets.Layer], learned: Sequence[Any], x: Any) -> Any:
        """What the layers give."""
        for layer, values in zip(layers, learned, strict=True):
            x = self._one(layer, values, x)
        return x

    def _one(self, layer: nets.Layer, learned: Any, x: Any) -> Any:
        match layer:
            case nets.Linear():
                return x @ learned[0] + learned[1]
            case nets.Convolution():
                return _convolution(layer, learned, x)
            case nets.BatchNorm():
                return self._normalized(learned, x)
            case nets.Activation("relu"):
                return jax.nn.relu(x)
            case nets.Activation("gelu"):
                return jax.nn.gelu(x, approximate=False)
            case nets.Dropout(p):
                return self._dropped(p, x)
            case nets.MaxPool(side):
                window = (1, 1, side, side)
                return jax.lax.reduce_window(x, -np.inf, jax.lax.max, window, window, "VALID")
            case nets.GlobalPool():
                return x.mean((2, 3))
            case nets.Flatten():
                return x.reshape(x.shape[0], -1)
            case nets.Residual(path, beside):
                return self(path, learned[0], x) + self(beside, learned[1], x)
        raise TypeError(f"JAX's side has no {layer}")

    def _dropped(self, p: float, x: Any) -> Any:
        if self._key is None:
            return x
        keep = jax.random.bernoulli(jax.random.fold_in(self._key, self._drops), 1 - p, x.shape)
        self._drops += 1
        return jax.numpy.where(keep, x / (1 - p), 0)

    def _normalized(self, learned: Any, x: Any) -> Any:
        mean, variance = next(self._before)
        if self._key is not None:
            before, (mean, variance) = (mean, variance), (x.mean((0, 2, 3)), x.var((0, 2, 3)))
            count = x.size // x.shape[1]
            now = mean, variance * (count / (count - 1))
            self.running.append(tuple(old + MOMENTUM * (new - old) for old, new in zip(before, now, strict=True)))
        scale, shift = learned
        factor = scale * jax.lax.rsqrt(variance + LEAST)
        return x * _channels(factor) + _channels(shift - mean * factor)


def _channels(values: Any) -> Any:
    return values[:, None, None]


def _convolution(layer: nets.Convolution, learned: Any, x: Any) -> Any:
    padding = [(layer.side // 2, layer.side // 2)] * 2
    y = jax.lax.conv_general_dilated(x, learned[0], (layer.stride,) * 2, padding, feature_group_count=layer.groups)
    return y + _channels(learned[1]) if layer.bias else y


def build(workload: Workload) -> Steps | None:
    """The workload.

    A "fit" is the usual loop over one batch, which spares JAX the cost of making batches; it waits for the result at
    the end only, so that JAX prepares the next step while one runs. Where steps are called singly, each is waited for.
    """
    if workload.kind in ("program", "eager"):
        return None
    if workload.trains:
        return _train(workload)
    net, row = workload.net, jax.numpy.array(workload.data(workload.batch)[0])
    layers, learned, statistics = net.layers, parameters(net), running(net)
    predict = jax.jit(lambda learned, x: Forward(statistics)(layers, learned, x))
    return Steps.repeat(lambda: predict(learned, row).block_until_ready())


def _train(workload: Workload) -> Steps:
    x, y = map(jax.numpy.array, workload.data(workload.batch))
    sgd = workload.optimizer == "sgd"
    optimizer = optax.sgd(0.01, momentum=0.9, nesterov=True) if sgd else optax.adam(1e-3)

    layers = workload.net.layers

    def loss_of(learned: Any, statistics: Any, x: Any, y: Any, key: Any) -> Any:
        forward = Forward(statistics, key)
        logits = forward(layers, learned, x)
        if workload.loss == "bce_with_logits":
            return optax.sigmoid_binary_cross_entropy(logits, y).mean(), forward.running
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean(), forward.running

    @jax.jit
    def update(learned: Any, state: Any, statistics: Any, key: Any, x: Any, y: Any) -> Any:
        key, now = jax.random.split(key) if workload.net.dropout else (key, key)
        gradient = jax.value_and_grad(loss_of, has_aux=True)
        (loss, statistics), gradients = gradient(learned, statistics, x, y, now)
        changes, state = optimizer.update(gradients, state)
        return optax.apply_updates(learned, changes), state, statistics, key, loss

    learned = parameters(workload.net)
    held = [learned, optimizer.init(learned), running(workload.net), jax.random.key(0)]

    def step() -> Any:
        *held[:], loss = update(*held, x, y)
        return loss

    def run(count: int) -> None:
        for _ in range(count):
            loss = step()
            if workload.kind != "fit":
                loss.block_until_ready()
        jax.block_until_ready(held)

    return Steps(run, values=lambda count: [value for _ in range(count) for value in numbers(step())])
