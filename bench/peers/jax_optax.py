"""JAX's side: one jitted function for the whole step, optax for losses and updates.

Convolutions are ``lax.conv_general_dilated`` with channels first: on a CPU channels last took as long. Second
derivatives are those of ``jvp`` twice, which were faster than gradients of gradients.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from bench import layers as kinds
from bench.batches import ALPHA
from bench.contenders import Steps, numbers
from bench.nets import Net
from bench.peers import jax_sequences
from bench.workloads import Workload

jax: Any = importlib.import_module("jax")
optax: Any = importlib.import_module("optax")

MOMENTUM, LEAST = 0.1, 1e-5  # of batch normalization: PyTorch's defaults


def parameters(net: Net) -> list[Any]:
    """What each layer learns; weights (inputs, outputs), of convolutions (outputs, inputs, height, width).

    Of transformer blocks it is a list for each.
    """
    return _taken(net.layers, iter(net.initial()))


def _taken(layers: Sequence[kinds.Layer], values: Iterator[np.ndarray]) -> list[Any]:
    made: list[Any] = []
    for layer in layers:
        if isinstance(layer, kinds.Residual):
            made.append([_taken(layer.path, values), _taken(layer.beside, values)])
        elif isinstance(layer, kinds.Blocks):
            made.append([_layer(layer, values) for _ in range(layer.count)])
        else:
            made.append(_layer(layer, values))
    return made


def _layer(layer: kinds.Layer, values: Iterator[np.ndarray]) -> list[Any]:
    a_table = isinstance(layer, kinds.Embedding | kinds.Positions)
    arrays = [next(values) for _ in layer.parameters()]
    return [jax.numpy.array(a.T if a.ndim == 2 and not a_table else a) for a in arrays]


def running(net: Net) -> list[Any]:
    """The running mean and variance of each batch normalization."""
    channels = [layer.channels for layer, _ in net.flat() if isinstance(layer, kinds.BatchNorm)]
    return [(jax.numpy.zeros(count), jax.numpy.ones(count)) for count in channels]


class Forward:
    """A network's output, in training where it is given a key for dropout.

    ``running``: the statistics of batch normalizations, in their order; a training leaves new ones there.
    """

    def __init__(self, running: Iterable[Any], key: Any = None) -> None:
        self._before, self.running = iter(running), list[Any]()
        self._key, self._drops = key, 0

    def __call__(self, layers: Sequence[kinds.Layer], learned: Sequence[Any], x: Any) -> Any:
        """What the layers give."""
        for layer, values in zip(layers, learned, strict=True):
            x = self._one(layer, values, x)
        return x

    def _one(self, layer: kinds.Layer, learned: Any, x: Any) -> Any:
        match layer:
            case kinds.Linear():
                return x @ learned[0] + learned[1]
            case kinds.Convolution():
                return _convolution(layer, learned, x)
            case kinds.BatchNorm():
                return self._normalized(learned, x)
            case kinds.Activation("relu"):
                return jax.nn.relu(x)
            case kinds.Activation("gelu"):
                return jax.nn.gelu(x, approximate=False)
            case kinds.Activation("tanh"):
                return jax.numpy.tanh(x)
            case kinds.Dropout(p):
                return self._dropped(p, x)
            case kinds.MaxPool(side):
                window = (1, 1, side, side)
                return jax.lax.reduce_window(x, -np.inf, jax.lax.max, window, window, "VALID")
            case kinds.GlobalPool():
                return x.mean((2, 3))
            case kinds.Flatten():
                return x.reshape(x.shape[0], -1)
            case kinds.Residual(path, beside):
                return self(path, learned[0], x) + self(beside, learned[1], x)
            case kinds.Recurrent():
                return jax_sequences.recurrent(layer, learned, x)
            case kinds.LastStep():
                return x[:, -1]
            case kinds.Embedding():
                return learned[0][x]
            case kinds.Positions():
                return x + learned[0][: x.shape[1]]
            case kinds.LayerNorm():
                return jax_sequences.normalized(learned, x)
            case kinds.Blocks():
                for of_block in learned:
                    x = jax_sequences.block(layer, of_block, x, jax_sequences.causal)
                return x
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


def _convolution(layer: kinds.Convolution, learned: Any, x: Any) -> Any:
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
    net = workload.net
    if workload.kind == "generate":
        return Steps.same(jax_sequences.generation(workload, parameters(net)))
    batch = tuple(map(jax.numpy.array, workload.data(workload.batch)))
    if workload.kind == "memory":
        return Steps.repeat(jax_sequences.attention(batch))
    row = batch[0]
    layers, learned, statistics = net.layers, parameters(net), running(net)
    predict = jax.jit(lambda learned, x: Forward(statistics)(layers, learned, x))
    return Steps.repeat(lambda: predict(learned, row).block_until_ready())


# ---- losses and updates ---------------------------------------------------------------------------------------------


def loss(workload: Workload, forward: Forward, learned: Any, batch: Sequence[Any]) -> Any:
    """The loss of a batch."""
    layers = workload.net.layers
    if workload.loss == "heat":
        return _heat(lambda x: forward(layers, learned, x), *batch)
    x, y = batch
    found = forward(layers, learned, x).astype(jax.numpy.float32)
    if workload.loss == "mse":
        return ((found - y) ** 2).mean()
    if workload.loss == "bce_with_logits":
        return optax.sigmoid_binary_cross_entropy(found, y).mean()
    return optax.softmax_cross_entropy_with_integer_labels(found, y).mean()


def _heat(model: Callable[[Any], Any], inside: Any, known: Any, u: Any) -> Any:
    place, time = inside[:, :1], inside[:, 1:]
    one = jax.numpy.ones_like(place)

    def along(place: Any) -> Any:
        return jax.jvp(lambda place: model(jax.numpy.concatenate([place, time], 1)), (place,), (one,))[1]

    by_time = jax.jvp(lambda time: model(jax.numpy.concatenate([place, time], 1)), (time,), (one,))[1]
    left = by_time - ALPHA * jax.jvp(along, (place,), (one,))[1]
    return (left * left).mean() + ((model(known) - u) ** 2).mean()


def optimizer_of(workload: Workload) -> Any:
    """The workload's optimizer."""
    match workload.optimizer:
        case "sgd":
            return optax.sgd(0.01, momentum=0.9, nesterov=True)
        case "plain sgd":
            return optax.sgd(0.1)
    return optax.adam(1e-3)


def _train(workload: Workload) -> Steps:
    batch, optimizer = tuple(map(jax.numpy.array, workload.data(workload.batch))), optimizer_of(workload)

    def loss_of(learned: Any, statistics: Any, batch: Any, key: Any) -> Any:
        forward = Forward(statistics, key)
        return loss(workload, forward, learned, batch), forward.running

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def update(learned: Any, state: Any, statistics: Any, key: Any, batch: Any) -> Any:
        key, now = jax.random.split(key) if workload.net.dropout else (key, key)
        gradient = jax.value_and_grad(loss_of, has_aux=True)
        (loss, statistics), gradients = gradient(learned, statistics, batch, now)
        changes, state = optimizer.update(gradients, state)
        return optax.apply_updates(learned, changes), state, statistics, key, loss

    learned = parameters(workload.net)
    held = [learned, optimizer.init(learned), running(workload.net), jax.random.key(0)]

    def step() -> Any:
        *held[:], loss = update(*held, batch)
        return loss

    def run(count: int) -> None:
        for _ in range(count):
            loss = step()
            if workload.kind != "fit":
                loss.block_until_ready()
        jax.block_until_ready(held)

    return Steps(run, values=lambda count: [value for _ in range(count) for value in numbers(step())])
