"""What Keras's optimizers and schedules make of weights, stored in ``keras_optimizers_values.npz``.

A case is the text of an optimizer; it means the same in both libraries. Run it where Keras and JAX are installed:
``KERAS_BACKEND=jax python tests/reference/make_keras_values_optimizers.py``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

VALUES = Path(__file__).with_name("keras_optimizers_values.npz")
STEPS = 7
CASES = (
    "Adadelta(0.5)", "Adadelta(rho=0.5, epsilon=1e-3, weight_decay=0.1)", "Adamax(0.1)", "Nadam(0.1)",
    "Adamax(0.1, beta_1=0.5, beta_2=0.9, epsilon=1e-2, weight_decay=0.1)",
    "Nadam(0.1, 0.5, 0.9, 1e-2, weight_decay=0.1)",
    "Ftrl(0.5)", "Ftrl(0.5, -0.25, 0.5, 0.1, 0.2, 0.05, 0.5)", "Ftrl(0.5, l1_regularization_strength=0.5)", "Lion(0.1)",
    "Lion(0.1, 0.5, 0.75, weight_decay=0.1)", "Lamb(0.1)", "Lamb(0.1, 0.5, 0.75, 1e-2, weight_decay=0.1)",
    "Adafactor()",
    "Adafactor(0.5)", "Adafactor(0.5, -0.5, 1e-3, 0.1, 0.5, False)", "Adafactor(0.1, weight_decay=0.1)",
    "SGD(0.1, use_ema=True, ema_momentum=0.75)", "Adam(0.1, use_ema=True, ema_overwrite_frequency=3)",
    "SGD(0.1, gradient_accumulation_steps=3)", "Adam(0.1, gradient_accumulation_steps=2, clipnorm=0.5)",
    "Adam(0.1, gradient_accumulation_steps=2, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2)",
    "SGD(0.1, momentum=0.9, clipnorm=0.5)", "SGD(0.1, global_clipnorm=0.5)", "SGD(0.1, clipvalue=0.5)", "AdamW(0.1)",
    "SGD(schedules.CosineDecayRestarts(0.5, 2))",
    "SGD(schedules.ExponentialDecay(0.5, 2, 0.5), gradient_accumulation_steps=2)",
)  # fmt: skip
SCHEDULES = (
    "CosineDecayRestarts(0.5, 3)", "CosineDecayRestarts(0.5, 2, 1.0, 0.5, 0.1)",
    "CosineDecayRestarts(0.5, 2, 1.5, 0.9, 0.1)",
    "PolynomialDecay(0.5, 3, cycle=True)", "PolynomialDecay(0.5, 3, 0.1, 2.0, True)",
    "CosineDecay(0.1, 5, 0.1, 'x', 0.5, 3)",
    "ExponentialDecay(0.5, 3, 0.5, True, 'x')", "InverseTimeDecay(0.5, 3, 0.5)",
    "PiecewiseConstantDecay([2, 5], [1.0, 0.5, 0.1])",
)  # fmt: skip


def start() -> list[np.ndarray]:
    """A matrix, a vector and a number."""
    draw = np.random.default_rng(3)
    return [draw.normal(size=shape).astype(np.float32) for shape in ((3, 4), (5,), ())]


def gradients(step: int) -> list[np.ndarray]:
    """Those of one step; they do not depend on the weights."""
    draw = np.random.default_rng([4, step])
    return [draw.normal(size=shape).astype(np.float32) for shape in ((3, 4), (5,), ())]


if __name__ == "__main__":
    import keras

    stored = {}
    for text in CASES:
        optimizer = eval(text, {**vars(keras.optimizers)})
        weights = [keras.Variable(w) for w in start()]
        optimizer.build(weights)
        for step in range(STEPS):
            optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients(step)], weights)
            for n, w in enumerate(weights):
                stored[f"{text} {step} {n}"] = np.array(w.numpy())
        if optimizer.use_ema:
            optimizer.finalize_variable_values(weights)
            for n, w in enumerate(weights):
                stored[f"{text} end {n}"] = np.array(w.numpy())
    for text in SCHEDULES:
        schedule = eval(text, {**vars(keras.optimizers.schedules)})
        stored[text] = np.array([float(schedule(step)) for step in range(12)])
    np.savez_compressed(VALUES, **stored)
