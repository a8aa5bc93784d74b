"""A recorded step is the program that was written: wherever a number lives, and whoever changes it, training,
evaluation and prediction give what plain Python gives, to the bit.

One table: holders of a number (``holders``) x places that read it (below) x who changes it (the step, a callback, the
user between two calls). A step that is not understood may run plainly, after a warning; it may never be wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import holders_of_data
import numpy as np
import pytest
from holders import HOLDERS, Change, Read, holder, nothing, reset

import nnkit
from nnkit import keras, nn, optim
from nnkit.errors import DivergenceError
from nnkit.recording import compiled
from nnkit.training import Callback, Metric

pytestmark = [
    pytest.mark.filterwarnings("ignore:.* cannot be replayed:UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

assert holders_of_data.holder is holder  # it has added its holders to the table

X = np.linspace(-1.0, 1.0, 10, dtype=np.float32).reshape(10, 1)
Y = (X * 0.5).astype(np.float32)


@pytest.fixture(autouse=True)
def on_numba() -> Any:
    """Recording is the same on every device; the one that people have by default stands for all."""
    before = nnkit.get_default_device()
    nnkit.set_default_device("numba")
    yield
    nnkit.set_default_device(before)
    reset()


def linear(x: Any = None) -> nn.Linear:
    layer = nn.Linear(1, 1)
    with nnkit.no_grad():
        layer.weight.fill_(0.5)
        layer.bias.fill_(0.25)
    return layer


class Reading(nn.Module):
    """A layer that reads a number."""

    def __init__(self, read: Read) -> None:
        super().__init__()
        self.inner = linear()
        self.read = read

    def forward(self, x: Any) -> Any:
        return self.inner(x) * self.read()


# ---- who changes it -----------------------------------------------------------------------------------------------


class AtBatches(Callback):
    """A callback that changes the number after every second batch."""

    def __init__(self, change: Change) -> None:
        self.change, self.calls = change, 0

    def on_batch_end(self, batch: int, logs: Any) -> None:
        self.calls += 1
        if self.calls % 2 == 0:
            self.change(self.calls)


class AtEpochs(Callback):
    """A callback that changes the number after every epoch but the first."""

    def __init__(self, change: Change) -> None:
        self.change, self.calls = change, 0

    def on_epoch_end(self, epoch: int, logs: Any) -> None:
        self.calls += 1
        if self.calls > 1:
            self.change(self.calls)


def calls(function: Callable[[], Any], change: Change, count: int = 7) -> list[Any]:
    """What a function gives, when the user changes the number between some of the calls."""
    seen = []
    for call in range(count):
        try:
            seen.append(function())
        except (AttributeError, DivergenceError) as error:
            seen.append(str(error))
        if call % 3 == 2:
            change(call)
    return seen


# ---- places: (read, change) -> all that came of it -------------------------------------------------------------------


def plain_function(read: Read, change: Change) -> Any:
    x = nnkit.tensor(X)
    function = nnkit.compile(lambda x: x * read())
    return calls(lambda: function(x).tolist(), change)


def training_step(read: Read, change: Change) -> Any:
    layer, x, y = linear(), nnkit.tensor(X), nnkit.tensor(Y)
    optimizer = optim.SGD(layer.parameters(), lr=0.001)

    @nnkit.compile
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(layer(x) * read(), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return calls(lambda: step(x, y).item(), change), layer.weight.tolist()


def prediction(read: Read, change: Change) -> Any:
    layer = Reading(read)
    return calls(lambda: layer.predict(X).tolist(), change)


def evaluation(read: Read, change: Change) -> Any:
    layer = Reading(read)
    return calls(lambda: layer.evaluate(X, Y, loss="mse", batch_size=4), change, 3)


def fitted(model: Any, change: Change, callback: Any, **options: Any) -> Any:
    """What ``fit`` leaves: its history, or its error, and the weights."""
    options = {"loss": "mse", "optimizer": optim.SGD(model.parameters(), lr=0.001)} | options
    try:
        history: Any = model.fit(
            X, Y, batch_size=4, epochs=3, verbose=0, callbacks=[callback(change)], **options
        ).history
    except (AttributeError, DivergenceError) as error:
        history = str(error)
    return history, [parameter.tolist() for parameter in model.parameters()]


def layer_in_fit(read: Read, change: Change, callback: Any = AtEpochs) -> Any:
    return fitted(nn.Sequential(Reading(read), linear()), change, callback)


def loss_in_fit(read: Read, change: Change, callback: Any = AtEpochs) -> Any:
    return fitted(linear(), change, callback, loss=lambda p, y: ((p * read() - y) ** 2).mean())


def loss_module_in_fit(read: Read, change: Change, callback: Any = AtEpochs) -> Any:
    class Own(nn.Module):
        def forward(self, p: Any, y: Any) -> Any:
            return ((p * read() - y) ** 2).mean()

    return fitted(linear(), change, callback, loss=Own())


def metric_function_in_fit(read: Read, change: Change, callback: Any = AtEpochs) -> Any:
    return fitted(linear(), change, callback, metrics=[lambda p, y: (p * read()).mean()])


def metric_in_fit(read: Read, change: Change, callback: Any = AtEpochs) -> Any:
    class Own(Metric):
        def sums(self, prediction: Any, target: Any, weight: Any = None) -> Any:
            return (prediction * read()).double().sum().reshape(1)

        def result(self, sums: Any) -> float:
            return float(sums[0])

    return fitted(linear(), change, callback, metrics=[Own("own")])


def regularizer_in_fit(read: Read, change: Change, callback: Any = AtEpochs) -> Any:
    model = linear()
    model.regularizers["weight"] = lambda w: (w * read()).sum()
    return fitted(model, change, callback)


def activation_in_fit(read: Read, change: Change, callback: Any = AtEpochs) -> Any:
    return fitted(nn.Sequential(nn.Linear(1, 1, activation=lambda x: x * read()), linear()), change, callback)


def optimizer_in_fit(read: Read, change: Change, callback: Any = AtEpochs) -> Any:
    class Own(optim.SGD):
        def step(self, closure: Any = None) -> Any:
            with nnkit.no_grad():
                for parameter in self.param_groups[0]["params"]:
                    parameter.grad.mul_(read())
            return super().step(closure)

    model = linear()
    return fitted(model, change, callback, optimizer=Own(model.parameters(), lr=0.001))


def in_keras(read: Read, change: Change, where: str) -> Any:
    class Own(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs * read() if where == "layer" else inputs

    class Changing(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch:
                change(epoch)

    model = keras.Sequential([keras.layers.Dense(1, input_shape=(1,), kernel_initializer="ones"), Own()])
    loss = (lambda y, p: nnkit.abs(y - p * read()).mean(dim=-1)) if where == "loss" else "mse"
    metrics = [lambda y, p: (p * read()).mean(dim=-1)] if where == "metric" else []
    model.compile(optimizer="sgd", loss=loss, metrics=metrics)
    try:
        history: Any = model.fit(X, Y, batch_size=4, epochs=3, verbose=0, callbacks=[Changing()]).history
    except (AttributeError, DivergenceError) as error:
        history = str(error)
    return history, model.get_weights()[0].tolist(), model.predict(X, verbose=0).tolist()


PLACES: dict[str, Callable[[Read, Change], Any]] = {
    "function": plain_function,
    "predict": prediction,
    "layer in fit": layer_in_fit,
}
FURTHER_PLACES: dict[str, Callable[[Read, Change], Any]] = {
    "training step": training_step,
    "evaluate": evaluation,
    "layer in fit, by batch": lambda read, change: layer_in_fit(read, change, AtBatches),
    "loss": loss_in_fit,
    "loss, by batch": lambda read, change: loss_in_fit(read, change, AtBatches),
    "loss module": loss_module_in_fit,
    "metric function": metric_function_in_fit,
    "metric": metric_in_fit,
    "metric, by batch": lambda read, change: metric_in_fit(read, change, AtBatches),
    "regularizer": regularizer_in_fit,
    "activation": activation_in_fit,
    "optimizer": optimizer_in_fit,
    "optimizer, by batch": lambda read, change: optimizer_in_fit(read, change, AtBatches),
    "Keras's layer": lambda read, change: in_keras(read, change, "layer"),
    "Keras's loss": lambda read, change: in_keras(read, change, "loss"),
    "Keras's metric": lambda read, change: in_keras(read, change, "metric"),
}
#: Holders for the further places: one of each kind.
SOME = [
    "attribute", "argparse namespace", "property", "slots", "class attribute", "attribute made by getattr", "float",
    "multiplication", "global", "closure", "closure set by the step", "list as default argument", "partial",
    "name in globals", "list of five thousand", "dict in a dict", "deque that grows", "object that counts",
    "array array", "small array", "large array", "tensor in a dict", "tensor kept by the step",
    "view changed by the step", "environment", "printed", "context variable", "iterator",
    "numpy generator in an object", "random of everybody",
]  # fmt: skip


def both(place: Callable[[Read, Change], Any], holder: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """What comes of it in plain Python and recorded, and what the holder gives afterwards."""
    results = []
    for recorded in (False, True):
        reset()
        nnkit.manual_seed(0)
        monkeypatch.setattr(compiled, "enabled", lambda recorded=recorded: recorded)
        monkeypatch.setattr("nnkit.training.api.recording_enabled", lambda recorded=recorded: recorded)
        monkeypatch.setattr("nnkit.training.replay.enabled", lambda recorded=recorded: recorded)
        read, change = HOLDERS[holder]()
        made = place(read, change)
        left = calls(read, nothing, 1)[0]
        results.append((repr(made), left.tolist() if isinstance(left, nnkit.Tensor) else repr(left)))
    return results[0], results[1]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("holder", HOLDERS)
def test_recorded_is_what_was_written(holder: str, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, recorded = both(PLACES[place], holder, monkeypatch)
    assert recorded == plain


@pytest.mark.parametrize("place", FURTHER_PLACES)
@pytest.mark.parametrize("holder", SOME)
def test_recorded_is_what_was_written_in_every_place(holder: str, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, recorded = both(FURTHER_PLACES[place], holder, monkeypatch)
    assert recorded == plain


@pytest.mark.parametrize("compile", [True, False], ids=["recorded", "plain"])
@pytest.mark.parametrize("kind", [nn.Linear, nn.ReLU])
def test_a_forward_that_was_replaced_is_the_one_that_runs(kind: Any, compile: bool, monkeypatch: Any) -> None:
    model, x = nn.Sequential(nn.Linear(1, 1), nn.ReLU()), np.ones((4, 1), np.float32)
    before = kind.forward

    def on_epoch_end(epoch: int, logs: Any) -> None:
        if epoch == 1:
            monkeypatch.setattr(kind, "forward", lambda self, given: before(self, given) * 0.0)

    def loss(prediction: nnkit.Tensor, target: nnkit.Tensor) -> nnkit.Tensor:
        return prediction.mean()

    with nnkit.no_grad():
        model[0].weight.fill_(1.0)
        model[0].bias.fill_(1.0)
    told = nnkit.training.LambdaCallback(on_epoch_end=on_epoch_end)
    history = model.fit(
        x, x, loss=loss, optimizer=optim.SGD(model.parameters(), lr=0.0), epochs=4, batch_size=1, callbacks=[told],
        verbose=0, compile=compile,
    )  # fmt: skip
    assert history.history["loss"] == [2.0, 2.0, 0.0, 0.0]
