"""Steps of the user's own in Keras's words: gradient tapes, train_step overridden, loops written by hand.

Recorded steps are compared with plain ones to the bit, and steps written out with those that ``fit`` has.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import keras
from nnkit.errors import ShapeError
from nnkit.keras import GradientTape, Variable, layers, optimizers


@pytest.fixture(autouse=True)
def no_warnings_and_names_from_the_start() -> Iterator[None]:
    keras.utils.clear_session()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def data(rows: int = 60, features: int = 8) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(0).random((rows, features)).astype("float32")
    return x, x[:, :1] * 2 - x[:, 1:2]


# ---- tapes ------------------------------------------------------------------------------------------------


def test_gradients_in_the_structure_of_the_sources(device: str) -> None:
    a, b, unused = Variable(2.0), Variable([1.0, 3.0]), Variable(1.0)
    with GradientTape() as tape:
        y = a * (b * b).sum()
    found = tape.gradient(y, {"a": a, "rest": [b, (unused,)]})
    assert found["a"].item() == 10.0
    assert found["rest"][0].tolist() == [4.0, 12.0]
    assert found["rest"][1] == (None,)
    with GradientTape() as tape:
        y = a * a
    assert tape.gradient(y, [unused], unconnected_gradients="zero")[0].item() == 0.0


def test_targets_are_summed_and_weighted(device: str) -> None:
    a = Variable([1.0, 2.0])
    with GradientTape() as tape:
        one, other = a * a, a * 3.0
    assert tape.gradient([one, other], a).tolist() == [5.0, 7.0]
    with GradientTape() as tape:
        one = a * a
    weights = nnkit.tensor([1.0, 10.0])
    assert tape.gradient(one, a, output_gradients=weights).tolist() == [2.0, 40.0]


def test_a_tape_is_used_once_unless_it_is_persistent(device: str) -> None:
    a = Variable(3.0)
    with GradientTape() as tape:
        y = a * a
    tape.gradient(y, a)
    with pytest.raises(RuntimeError, match="non-persistent"):
        tape.gradient(y, a)
    with GradientTape(persistent=True) as tape:
        y = a * a
        z = y * y
    assert [tape.gradient(t, a).item() for t in (y, z, y)] == [6.0, 108.0, 6.0]


def test_what_is_watched(device: str) -> None:
    x, y = nnkit.tensor(3.0), nnkit.tensor(2.0)
    with GradientTape() as tape:
        tape.watch([x])
        z = x * y
    assert [g if g is None else g.item() for g in tape.gradient(z, [x, y])] == [2.0, None]
    assert not x.requires_grad
    frozen, learned = Variable(1.0, trainable=False), Variable(1.0)
    with GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(learned)
        z = learned * frozen * Variable(2.0, name="other")
    assert [g if g is None else g.item() for g in tape.gradient(z, [learned, frozen])] == [2.0, None]


def test_gradients_of_gradients(device: str) -> None:
    x = nnkit.tensor(3.0)
    with GradientTape() as outer:
        outer.watch(x)
        with GradientTape() as inner:
            inner.watch(x)
            y = x * x * x
        slope = inner.gradient(y, x)
    assert (slope.item(), outer.gradient(slope, x).item()) == (27.0, 18.0)
    with GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x * x * x
        slope = tape.gradient(y, x)
    assert tape.gradient(slope, x).item() == 18.0


def test_a_gradient_penalty(device: str) -> None:
    """The slope of a critic along its input, in the loss of the critic (Gulrajani et al., 2017)."""
    critic = keras.Sequential([layers.Dense(4, "tanh"), layers.Dense(1)])
    x = nnkit.tensor(data(6)[0])
    critic(x)

    def penalty() -> Any:
        with GradientTape() as inner:
            inner.watch(x)
            score = critic(x, training=True)
        (slope,) = inner.gradient(score, [x])
        return ((nnkit.sqrt((slope * slope).sum(1)) - 1.0) ** 2).mean()

    with GradientTape() as tape:
        loss = penalty()
    found = tape.gradient(loss, critic.trainable_variables)
    kernel = critic.layers[0].kernel
    before, step = kernel.numpy(), 1e-2
    estimate = []
    for sign in (1, -1):
        moved = before.copy()
        moved[0, 0] += sign * step
        kernel.assign(moved)
        estimate.append(penalty().item())
    assert found[0][0, 0].item() == pytest.approx((estimate[0] - estimate[1]) / (2 * step), rel=2e-2, abs=1e-4)


def test_jacobians(device: str) -> None:
    x = nnkit.tensor([[1.0, 2.0], [3.0, 4.0]])
    with GradientTape() as tape:
        tape.watch(x)
        y = x[0] * x[0]
    assert tape.jacobian(y, x).tolist() == [[[2.0, 0.0], [0.0, 0.0]], [[0.0, 4.0], [0.0, 0.0]]]
    with GradientTape() as tape:
        tape.watch(x)
        y = x * x
    assert tape.batch_jacobian(y, x).tolist() == [[[2.0, 0.0], [0.0, 4.0]], [[6.0, 0.0], [0.0, 8.0]]]


def test_gradients_have_the_layout_of_the_weights(device: str) -> None:
    """nnkit keeps kernels as PyTorch does; what is asked for and what is applied is as Keras shows them."""
    for layer, shape in (
        (layers.Dense(3), (2, 4)), (layers.Conv2D(3, (2, 1)), (2, 4, 5, 2)), (layers.LSTM(3), (2, 4, 5)),
        (layers.Embedding(7, 3), (2, 4)),
    ):  # fmt: skip
        x = nnkit.tensor(np.random.default_rng(1).integers(0, 7, shape).astype("float32"))
        layer(x)
        with GradientTape() as tape:
            y = (layer(x) ** 2).sum()
        gradients = tape.gradient(y, layer.trainable_weights)
        assert [g.shape for g in gradients] == [w.shape for w in layer.trainable_weights]
        before = layer.get_weights()
        optimizers.SGD(0.5).apply_gradients(zip(gradients, layer.trainable_weights, strict=True))
        for old, new, gradient in zip(before, layer.get_weights(), gradients, strict=True):
            np.testing.assert_allclose(new, old - 0.5 * gradient.numpy(), rtol=1e-6, atol=1e-6)


def test_gradients_flow_through_the_weights_that_keras_shows(device: str) -> None:
    """An autoencoder whose decoder is the encoder's kernel, transposed."""
    encoder = layers.Dense(2, use_bias=False)
    x = nnkit.tensor(data(4, 3)[0])
    encoder(x)
    with GradientTape() as tape:
        y = encoder(x) @ encoder.kernel.T
        loss = (y * y).sum()
    (found,) = tape.gradient(loss, encoder.trainable_weights)
    w = nnkit.tensor(encoder.kernel.numpy(), requires_grad=True)
    z = x @ w @ w.T
    (z * z).sum().backward()
    np.testing.assert_allclose(found.numpy(), w.grad.numpy(), rtol=1e-5)  # type: ignore[union-attr]


def test_variables(device: str) -> None:
    v = Variable([1.0, 2.0], name="v")
    assert v.assign([3.0, 4.0]) is v and v.assign_add([1.0, 1.0]) is v and v.assign_sub([0.5, 0.5]) is v
    assert (v.numpy().tolist(), v.value.tolist(), v.name, v.shape) == ([3.5, 4.5], [3.5, 4.5], "v", (2,))
    assert (v * 2.0).tolist() == [7.0, 9.0] and np.asarray(v).tolist() == [3.5, 4.5]
    with pytest.raises(ShapeError, match=r"assign to 'v': expected shape \(2,\), got \(3,\)"):
        v.assign([1.0, 2.0, 3.0])
    count = Variable(0, dtype="int32", trainable=False)
    assert (count.assign_add(3).item(), str(count.dtype), count.requires_grad) == (3, "int32", False)
    made = Variable("ones", shape=(2, 2), dtype="float32")
    assert made.tolist() == [[1.0, 1.0], [1.0, 1.0]]
    again = copy.deepcopy(v)
    again.assign([0.0, 0.0])
    assert (v.tolist(), again.name) == ([3.5, 4.5], "v")


def test_weights_are_variables_that_follow_the_memory(device: str) -> None:
    layer = layers.Dense(2)
    layer(np.ones((1, 3), "float32"))
    kernel = layer.kernel
    assert kernel is layer.weights[0] is layer.trainable_variables[0]
    assert (kernel.name, kernel.path, kernel.shape) == ("kernel", "dense/kernel", (3, 2))
    optimizers.Adam().build([layer.linear.weight, layer.linear.bias])  # moves the parameters
    kernel.assign(np.arange(6.0).reshape(3, 2))
    assert layer.linear.weight.tolist() == [[0.0, 2.0, 4.0], [1.0, 3.0, 5.0]]
    assert layer.get_weights()[0].tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    again = copy.deepcopy(layer)
    again.kernel.assign(np.zeros((3, 2)))
    assert kernel.numpy().sum() == 15.0 and again.kernel is not kernel


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda: optimizers.SGD().apply_gradients([(None, Variable(1.0))]), ValueError, "no gradients provided"),
        (lambda: optimizers.SGD().apply([None], []), ValueError, "got 1 gradients for 0 variables"),
        (lambda: twice_with_others(), ValueError, "unknown variable"),
        (lambda: GradientTape().gradient(Variable(1.0), "x"), TypeError, "must be variables or tensors"),
        (lambda: GradientTape().watch(1.0), TypeError, "tape.watch expects tensors"),
    ],
)
def test_refusals(act: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        act()


def twice_with_others() -> None:
    optimizer = optimizers.SGD()
    for _ in range(2):
        optimizer.apply([nnkit.tensor(1.0)], [Variable(1.0)])


# ---- steps ------------------------------------------------------------------------------------------------


class Written(keras.Model):
    """What ``fit`` does, written out."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = layers.Dense(8, activation="relu")
        self.drop = layers.Dropout(0.2)
        self.out = layers.Dense(1)
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.mae = keras.metrics.MeanAbsoluteError(name="mae")

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.out(self.drop(self.hidden(inputs), training=training))

    def train_step(self, data: Any) -> dict[str, Any]:
        x, y = data
        with GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = keras.losses.MeanSquaredError()(y, y_pred)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        self.loss_tracker.update_state(loss)
        self.mae.update_state(y, y_pred)
        return {metric.name: metric.result() for metric in self.metrics}

    def test_step(self, data: Any) -> dict[str, Any]:
        x, y = data
        y_pred = self(x, training=False)
        self.loss_tracker.update_state(keras.losses.MeanSquaredError()(y, y_pred))
        self.mae.update_state(y, y_pred)
        return {metric.name: metric.result() for metric in self.metrics}

    @property
    def metrics(self) -> list[Any]:
        return [self.loss_tracker, self.mae]


class Plain(keras.Model):
    """The same without steps of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = layers.Dense(8, activation="relu")
        self.drop = layers.Dropout(0.2)
        self.out = layers.Dense(1)

    call = Written.call


class WithCompiledLoss(Written):
    """Keras's own words for it: ``compute_loss`` and the metrics of ``compile``."""

    metrics = keras.Model.metrics  # type: ignore[assignment]

    def train_step(self, data: Any) -> dict[str, Any]:
        x, y = data
        with GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(x=x, y=y, y_pred=y_pred)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred)
        return {metric.name: metric.result() for metric in self.metrics if metric.name == "loss"}

    test_step = keras.Model.test_step


def trained(
    make: Callable[[], Any], seed: int = 3, rows: int = 60, shuffle: bool = True, **options: Any
) -> tuple[Any, list[np.ndarray]]:
    """The history, and the weights, after three epochs in batches of which the last is smaller where rows say so."""
    keras.utils.set_random_seed(seed)
    model, (x, y) = make(), data(rows)
    model(x[:1])
    model.compile(**({"optimizer": optimizers.Adam(0.01)} | options))
    settings: dict[str, Any] = {"epochs": 3, "batch_size": 16, "verbose": 0, "shuffle": shuffle}
    history = model.fit(x, y, validation_data=(x[:10], y[:10]), **settings).history
    return history, model.get_weights()


@pytest.mark.parametrize("make", [Written, WithCompiledLoss])
@pytest.mark.parametrize("rows", [64, 60])
def test_recorded_steps_are_the_plain_ones_to_the_bit(make: Any, rows: int, device: str) -> None:
    loss = {"loss": "mse"} if make is WithCompiledLoss else {}
    recorded, eager = (trained(make, rows=rows, run_eagerly=plain, **loss) for plain in (False, True))
    assert recorded[0] == eager[0]
    assert all((one == other).all() for one, other in zip(recorded[1], eager[1], strict=True))


def undropped(make: Callable[[], Any]) -> Callable[[], Any]:
    def made() -> Any:
        model = make()
        model.drop.rate = 0.0
        return model

    return made


def test_a_step_written_out_is_that_of_fit(device: str) -> None:
    written, plain = (
        trained(undropped(make), rows=64, shuffle=False, **told)
        for make, told in ((Written, {}), (Plain, {"loss": "mse", "metrics": ["mae"]}))
    )
    assert list(written[0]) == list(plain[0]) == ["loss", "mae", "val_loss", "val_mae"]
    for name, values in plain[0].items():
        assert written[0][name] == pytest.approx(values, rel=1e-5), name
    for one, other in zip(written[1], plain[1], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_steps_are_replayed_and_kept_for_the_next_fit(device: str) -> None:
    model = Written()
    model.compile("adam")
    x, y = data(60)
    for _ in range(2):
        model.fit(x, y, epochs=2, batch_size=16, verbose=0, validation_data=(x, y))
    for name, sizes in (("train_step", 2), ("test_step", 2)):  # batches of 16, and the last of 12
        step: Any = model._steps[name]
        assert (len(step.programs), step.plain) == (sizes, {}), name


def test_what_cannot_be_recorded_runs_plainly_after_one_warning(device: str) -> None:
    seen: list[float] = []

    class Looks(Written):
        def train_step(self, data: Any) -> dict[str, Any]:
            results = super().train_step(data)
            seen.append(float(results["loss"]))
            return results

    x, y = data(64)
    model = Looks()
    model.compile("sgd")
    with pytest.warns(UserWarning, match=r"Looks.train_step cannot be replayed: .*; it runs without recording") as told:
        history = model.fit(x, y, epochs=2, batch_size=16, verbose=0)
    assert len(told) == 1 and len(seen) == 8
    assert history.history["loss"][-1] == pytest.approx(seen[-1])


def test_gans_as_the_guide_has_them(device: str) -> None:
    """Two optimizers, random numbers in the step, a Dropout and a BatchNormalization, ``compile`` of its own."""

    class GAN(keras.Model):
        def __init__(self, discriminator: Any, generator: Any, latent_dim: int) -> None:
            super().__init__()
            self.discriminator, self.generator, self.latent_dim = discriminator, generator, latent_dim
            self.d_loss_tracker = keras.metrics.Mean(name="d_loss")
            self.g_loss_tracker = keras.metrics.Mean(name="g_loss")

        def compile(self, d_optimizer: Any, g_optimizer: Any, loss_fn: Any, **options: Any) -> None:  # type: ignore[override]
            super().compile(**options)
            self.d_optimizer, self.g_optimizer, self.loss_fn = d_optimizer, g_optimizer, loss_fn

        @property
        def metrics(self) -> list[Any]:
            return [self.d_loss_tracker, self.g_loss_tracker]

        def train_step(self, real_images: Any) -> dict[str, Any]:
            if isinstance(real_images, tuple):
                real_images = real_images[0]
            size = real_images.shape[0]
            generated = self.generator(nnkit.randn(size, self.latent_dim))
            combined = nnkit.cat([generated, real_images], 0)
            labels = nnkit.cat([nnkit.ones(size, 1), nnkit.zeros(size, 1)], 0)
            labels = labels + 0.05 * nnkit.rand(*labels.shape)
            with GradientTape() as tape:
                d_loss = self.loss_fn(labels, self.discriminator(combined, training=True))
            grads = tape.gradient(d_loss, self.discriminator.trainable_weights)
            self.d_optimizer.apply_gradients(zip(grads, self.discriminator.trainable_weights, strict=True))
            with GradientTape() as tape:
                fake = self.generator(nnkit.randn(size, self.latent_dim), training=True)
                g_loss = self.loss_fn(nnkit.zeros(size, 1), self.discriminator(fake))
            grads = tape.gradient(g_loss, self.generator.trainable_weights)
            self.g_optimizer.apply_gradients(zip(grads, self.generator.trainable_weights, strict=True))
            self.d_loss_tracker.update_state(d_loss)
            self.g_loss_tracker.update_state(g_loss)
            return {"d_loss": self.d_loss_tracker.result(), "g_loss": self.g_loss_tracker.result()}

    def run(plain: bool) -> tuple[Any, list[np.ndarray]]:
        keras.utils.set_random_seed(1)
        discriminator = keras.Sequential([layers.Dense(8), layers.LeakyReLU(0.2), layers.Dropout(0.2), layers.Dense(1)])
        generator = keras.Sequential([layers.Dense(8), layers.BatchNormalization(), layers.Dense(8, "sigmoid")])
        gan = GAN(discriminator, generator, 4)
        gan.compile(
            d_optimizer=optimizers.Adam(0.003), g_optimizer=optimizers.Adam(0.003),
            loss_fn=keras.losses.BinaryCrossentropy(from_logits=True), run_eagerly=plain,
        )  # fmt: skip
        history = gan.fit(data(60)[0], epochs=4, batch_size=16, verbose=0).history
        return history, gan.get_weights()

    recorded, eager = run(False), run(True)
    assert list(recorded[0]) == ["d_loss", "g_loss"] and recorded[0] == eager[0]
    assert all((one == other).all() for one, other in zip(recorded[1], eager[1], strict=True))


def test_dcgans_two_tapes_over_one_graph(device: str) -> None:
    """As TensorFlow's tutorial has it: both networks on both tapes, gradients asked for afterwards."""
    generator, discriminator = layers.Dense(3), layers.Dense(1)
    noise, real = nnkit.ones(4, 2), nnkit.ones(4, 3)
    generator(noise), discriminator(real)
    cross = keras.losses.BinaryCrossentropy(from_logits=True)
    with GradientTape() as gen_tape, GradientTape() as disc_tape:
        fake = discriminator(generator(noise, training=True), training=True)
        gen_loss = cross(nnkit.ones(4, 1), fake)
        disc_loss = cross(nnkit.ones(4, 1), discriminator(real)) + cross(nnkit.zeros(4, 1), fake)
    of_generator = gen_tape.gradient(gen_loss, generator.trainable_variables)
    of_discriminator = disc_tape.gradient(disc_loss, discriminator.trainable_variables)
    assert all(g is not None for g in [*of_generator, *of_discriminator])


def test_autoencoders_with_losses_of_their_own(device: str) -> None:
    class Sampling(layers.Layer):
        def call(self, inputs: Any) -> Any:
            mean, log_var = inputs
            return mean + nnkit.exp(0.5 * log_var) * nnkit.randn(*mean.shape)

    class Encoder(layers.Layer):
        def __init__(self, latent: int) -> None:
            super().__init__()
            self.hidden = layers.Dense(8, activation="relu")
            self.mean, self.log_var, self.sampling = layers.Dense(latent), layers.Dense(latent), Sampling()

        def call(self, inputs: Any) -> Any:
            x = self.hidden(inputs)
            mean, log_var = self.mean(x), self.log_var(x)
            return mean, log_var, self.sampling((mean, log_var))

    class VAE(keras.Model):
        """The end of the guide on subclassing."""

        def __init__(self) -> None:
            super().__init__()
            self.encoder = Encoder(2)
            self.decoder = keras.Sequential([layers.Dense(8, "relu"), layers.Dense(8, "sigmoid")])

        def call(self, inputs: Any) -> Any:
            mean, log_var, z = self.encoder(inputs)
            self.add_loss(-0.5 * (log_var - mean**2 - nnkit.exp(log_var) + 1.0).mean())
            return self.decoder(z)

    x, _ = data()
    keras.utils.set_random_seed(0)
    vae = VAE()
    vae.compile(optimizers.Adam(0.01), loss=keras.losses.MeanSquaredError())
    history = vae.fit(x, x, epochs=8, batch_size=20, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert len(vae.trainable_weights) == 10 and len(vae.losses) == 1
    assert [weight.path for weight in vae.encoder.weights][:2] == ["dense/kernel", "dense/bias"]


def test_distillation(device: str) -> None:
    """A student that learns a teacher's outputs, by ``compute_loss``."""

    class Distiller(keras.Model):
        def __init__(self, student: Any, teacher: Any) -> None:
            super().__init__()
            self.student, self.teacher = student, teacher

        def compile(self, optimizer: Any, student_loss_fn: Any, distillation_loss_fn: Any, alpha: float = 0.5) -> None:  # type: ignore[override]
            super().compile(optimizer=optimizer)
            self.student_loss_fn, self.distillation_loss_fn, self.alpha = student_loss_fn, distillation_loss_fn, alpha

        def compute_loss(
            self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
        ) -> Any:
            taught = self.teacher(x, training=False)
            own = self.student_loss_fn(y, y_pred)
            return self.alpha * own + (1 - self.alpha) * self.distillation_loss_fn(taught.detach(), y_pred)

        def call(self, x: Any) -> Any:
            return self.student(x)

    x, y = data()
    teacher = keras.Sequential([layers.Dense(1)])
    teacher(x)
    before = teacher.get_weights()
    teacher.trainable = False
    model = Distiller(keras.Sequential([layers.Dense(4), layers.Dense(1)]), teacher)
    model.compile("sgd", keras.losses.MeanSquaredError(), keras.losses.MeanAbsoluteError(), alpha=0.25)
    history = model.fit(x, y, epochs=5, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert all((one == other).all() for one, other in zip(before, teacher.get_weights(), strict=True))


def test_a_loop_from_scratch(device: str) -> None:
    """The guide: two datasets, a recorded step, metrics by hand, printed as it goes."""
    x, y = data(64)
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((8,)), layers.Dense(8, "relu"), layers.Dense(1)])
    optimizer, loss_fn = optimizers.Adam(0.01), keras.losses.MeanSquaredError()
    metric, losses = keras.metrics.MeanAbsoluteError(), []

    @nnkit.compile
    def train_step(x: Any, y: Any) -> Any:
        with GradientTape() as tape:
            predictions = model(x, training=True)
            loss = loss_fn(y, predictions)
        gradients = tape.gradient(loss, model.trainable_weights)
        optimizer.apply(gradients, model.trainable_weights)
        metric.update_state(y, predictions)
        return loss.detach()

    for _ in range(4):
        for start in range(0, 64, 16):
            loss = train_step(nnkit.tensor(x[start : start + 16]), nnkit.tensor(y[start : start + 16]))
        losses.append((float(loss), float(metric.result())))
        metric.reset_state()
    assert losses[-1] < losses[0]
    assert f"{metric.result():.1f}" == "0.0"


def test_a_loop_in_words_of_keras_on_torch(device: str) -> None:
    """``loss.backward()``, the gradients in ``v.value.grad``, and ``optimizer.apply``."""
    x, y = (nnkit.tensor(part) for part in data(32))
    model = keras.Sequential([keras.Input((8,)), layers.Dense(4, "relu"), layers.Dense(1)])
    optimizer, loss_fn = optimizers.SGD(0.05), keras.losses.MeanSquaredError()
    found = []
    for _ in range(10):
        model.zero_grad()
        loss = loss_fn(y, model(x))
        loss.backward()
        gradients = [v.value.grad for v in model.trainable_weights]
        with nnkit.no_grad():
            optimizer.apply(gradients, model.trainable_weights)
        found.append(loss.item())
    assert found[-1] < found[0] and loss.numpy() == found[-1]


def test_outputs_can_be_read(device: str) -> None:
    model = keras.Sequential([layers.Dense(2), layers.Dense(1, "sigmoid")])
    assert model(np.ones((3, 4), "float32")).numpy().shape == (3, 1)


@pytest.mark.parametrize("updates", [1, 2])
@pytest.mark.parametrize("own", [False, True])
def test_schedules_are_followed_in_own_steps(own: bool, updates: int, device: str) -> None:
    """By the optimizer of ``compile`` and by another one, with one update a batch and with more: rates as in Keras."""
    rates: Any = optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)

    class Steps(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(1, kernel_initializer="ones", use_bias=False)
            self.other = optimizers.SGD(rates)

        def call(self, inputs: Any) -> Any:
            return self.dense(inputs)

        def train_step(self, data: Any) -> dict[str, Any]:
            x, y = data
            optimizer = self.other if own else self.optimizer
            for _ in range(updates):
                with GradientTape() as tape:
                    loss = ((self(x) - y) ** 2).mean()
                optimizer.apply(tape.gradient(loss, self.trainable_weights), self.trainable_weights)
            return {"loss": loss}

    model = Steps()
    model.compile(optimizers.SGD(rates))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where the rate is set in the step, it runs plainly
        model.fit(np.ones((12, 1), "float32"), np.zeros((12, 1), "float32"), batch_size=4, epochs=2, verbose=0)
    expected = 1.0
    for update in range(6 * updates):
        expected -= 0.1 * 0.5**update * 2.0 * expected
    assert model.get_weights()[0].item() == pytest.approx(expected, rel=1e-5)


def test_compiled_metrics_in_an_own_step_are_told_one_by_one(device: str) -> None:
    """The guide's last form: ``self.metrics`` has the loss and all metrics of ``compile`` as one."""

    class Custom(keras.Model):
        def train_step(self, data: Any) -> dict[str, Any]:
            x, y = data
            with GradientTape() as tape:
                y_pred = self(x, training=True)
                loss = self.compute_loss(y=y, y_pred=y_pred)
            self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
            for metric in self.metrics:
                if metric.name == "loss":
                    metric.update_state(loss)
                else:
                    metric.update_state(y, y_pred)
            return {metric.name: metric.result() for metric in self.metrics}

    inputs = keras.Input((8,))
    model = Custom(inputs, layers.Dense(1)(inputs))
    model.compile("adam", "mse", metrics=["mae", "mape"])
    assert list(model.fit(*data(), epochs=2, verbose=0).history) == ["loss", "mae", "mape"]


def test_random_numbers_of_a_stream_in_a_step(device: str) -> None:
    class Noisy(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense, self.tracker = layers.Dense(1), keras.metrics.Mean(name="loss")
            self.seed_generator = keras.random.SeedGenerator(1337)

        def call(self, inputs: Any) -> Any:
            return self.dense(inputs)

        def train_step(self, data: Any) -> dict[str, Any]:
            x, y = data
            noise = keras.random.normal((keras.ops.shape(x)[0], 1), seed=self.seed_generator)
            with GradientTape() as tape:
                loss = keras.ops.mean(keras.ops.square(y + noise - self(x)))
            self.optimizer.apply(tape.gradient(loss, self.trainable_weights), self.trainable_weights)
            self.tracker.update_state(loss)
            return {"loss": self.tracker.result()}

        @property
        def metrics(self) -> list[Any]:
            return [self.tracker]

    found = []
    for plain in (False, True):
        keras.utils.set_random_seed(0)
        model = Noisy()
        model.compile("sgd", run_eagerly=plain)
        found.append(model.fit(*data(64), batch_size=16, epochs=4, verbose=0).history["loss"])
        assert plain or not model._steps["train_step"].plain  # type: ignore[attr-defined]
    assert found[0] == found[1] and len(set(found[0])) == 4


def test_data_sets_of_batches(device: str) -> None:
    class Batches(keras.utils.PyDataset):
        ended = 0

        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> Any:
            x, y = data(20)
            return x[index * 5 : index * 5 + 5], y[index * 5 : index * 5 + 5]

        def on_epoch_end(self) -> None:
            self.ended += 1

    for make in (Written, Plain):
        batches, model = Batches(), make()
        model.compile("sgd", None if make is Written else "mse")
        model.fit(batches, epochs=2, verbose=0)
        assert batches.ended == 2
        assert model.predict(batches, verbose=0).shape == (20, 1)
        assert np.isfinite(model.evaluate(batches, verbose=0)).all()


def test_values_that_layers_follow(device: str) -> None:
    class Follows(layers.Layer):
        def call(self, inputs: Any) -> Any:
            self.add_metric(abs(inputs).mean(), name="size")
            return inputs

    model = keras.Sequential([layers.Dense(2), Follows(), layers.Dense(1)])
    model.compile("sgd", "mse")
    assert list(model.fit(*data(), verbose=0).history) == ["loss", "size"]


def test_types_of_layers(device: str) -> None:
    x = np.ones((2, 3), "float32")
    wide, mixed = layers.Dense(2, dtype="float64"), layers.Dense(2, dtype="mixed_bfloat16")
    assert (str(wide(x).dtype), str(wide.kernel.dtype), wide.compute_dtype) == ("float64", "float64", "float64")
    assert (str(mixed(x).dtype), mixed.dtype, mixed.compute_dtype) == ("float32", "float32", "bfloat16")
    assert layers.Dense.from_config(wide.get_config()).dtype == "float64"


def test_a_model_is_built_by_its_input_shape(device: str) -> None:
    model = Plain()
    model.build((None, 8))
    assert model.built and model.count_params() == 8 * 8 + 8 + 8 + 1


def test_layers_take_several_arguments_by_name_and_place(device: str) -> None:
    class Between(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.project = layers.Dense(2, kernel_initializer="ones")

        def call(self, query: Any, value: Any, scale: float = 1.0, training: Any = None) -> Any:
            return self.project(query) * scale + self.project(value) + (1.0 if training else 0.0)

    x = np.ones((1, 3), "float32")
    layer = Between()
    assert layer(x, value=x, scale=2.0).tolist() == [[9.0, 9.0]]
    assert layer(x, x).tolist() == [[6.0, 6.0]] and layer(x, x, training=True).tolist() == [[7.0, 7.0]]


def test_input_specs(device: str) -> None:
    class Wants(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.input_spec = keras.InputSpec(ndim=2, axes={-1: 3})

        def call(self, inputs: Any) -> Any:
            return inputs

    assert Wants()(np.ones((1, 3), "float32")).shape == (1, 3)
    for shape, message in (((1, 2, 3), "2 axes"), ((1, 4), "size 3 along axis -1")):
        with pytest.raises(ShapeError, match=message):
            Wants()(np.ones(shape, "float32"))
