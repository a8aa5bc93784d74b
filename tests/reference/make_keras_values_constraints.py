"""What Keras's constraints make of weights, and how its initializers spread, in ``keras_constraints_values.npz``.

The same function computes for both libraries. Run it where Keras is installed:
``KERAS_BACKEND=jax python tests/reference/make_keras_values_constraints.py``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

VALUES = Path(__file__).with_name("keras_constraints_values.npz")

CONSTRAINTS: dict[str, tuple[int, ...]] = {
    "NonNeg()": (4, 3),
    **{
        f"{text}{axis})": shape
        for text in ("MaxNorm(1.5, axis=", "UnitNorm(axis=", "MinMaxNorm(0.5, 1.5, 0.75, axis=", "MinMaxNorm(axis=")
        for axis, shape in (("0", (4, 3)), ("1", (4, 3)), ("-1", (5,)), ("[0, 1, 2]", (2, 2, 3, 4)), ("(0, 1)", (3, 2)))
    },
    "MaxNorm()": (4, 3), "UnitNorm()": (4, 3), "MinMaxNorm()": (4, 3),
}  # fmt: skip
INITIALIZERS = (
    "Zeros()", "Ones()", "Constant(2.5)", "Identity()", "Identity(0.5)", "RandomNormal()", "RandomNormal(1.0, 2.0)",
    "RandomUniform()", "RandomUniform(-1.0, 3.0)", "TruncatedNormal()", "TruncatedNormal(1.0, 0.5)", "GlorotNormal()",
    "GlorotUniform()", "HeNormal()", "HeUniform()", "LecunNormal()", "LecunUniform()", "Orthogonal()",
    "Orthogonal(2.0)", "VarianceScaling()", "VarianceScaling(3.0, 'fan_out', 'uniform')",
    "VarianceScaling(2.0, 'fan_avg', 'untruncated_normal')",
)  # fmt: skip
SHAPES = ((200, 300), (300, 150), (3, 3, 40, 60), (5, 30, 200))
SEEDED = {"Zeros()", "Ones()", "Constant(2.5)", "Identity()", "Identity(0.5)"}


def array(x: Any) -> np.ndarray:
    """The values of a tensor of either library."""
    return np.array(x.detach().numpy() if hasattr(x, "detach") else x)


def constrained(keras: Any, text: str) -> np.ndarray:
    """The allowed weights; one column of them is 0."""
    shape = CONSTRAINTS[text]
    weights = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    weights[..., 0] = 0.0
    if keras.__name__ != "keras":
        import nnkit

        return array(eval(f"C.{text}", {"C": keras.constraints})(nnkit.tensor(weights)))
    return array(eval(f"C.{text}", {"C": keras.constraints})(weights))


def spread(keras: Any, text: str, shape: tuple[int, ...]) -> np.ndarray:
    """Mean, deviation, least and greatest of many first weights, and how far the columns are from right angles."""
    seeded = text if text in SEEDED else text.replace("()", "(seed=5)").replace("')", "', seed=5)")
    values = array(eval(f"I.{seeded}", {"I": keras.initializers})(shape)).astype(np.float64)
    flat = values.reshape(-1, shape[-1])
    gram = flat.T @ flat if flat.shape[0] >= flat.shape[1] else flat @ flat.T
    off = np.abs(gram - np.diag(np.diagonal(gram))).max() / np.diagonal(gram).mean() if gram.any() else 0.0
    return np.array([values.mean(), values.std(), values.min(), values.max(), off, np.diagonal(gram).mean()])


def configs(keras: Any) -> dict[str, Any]:
    """The arguments that rebuild each, under its name."""
    kinds = {"C": (keras.constraints, CONSTRAINTS), "I": (keras.initializers, INITIALIZERS)}
    return {
        text: eval(f"{letter}.{text}", {letter: home}).get_config()
        for letter, (home, texts) in kinds.items() for text in texts
    }  # fmt: skip


def shapes_of(text: str) -> tuple[tuple[int, ...], ...]:
    """Identity is for matrices."""
    return SHAPES[:2] if text.startswith("Identity") else SHAPES


if __name__ == "__main__":
    import keras

    stored = {text: constrained(keras, text) for text in CONSTRAINTS}
    stored |= {f"{text} {shape}": spread(keras, text, shape) for text in INITIALIZERS for shape in shapes_of(text)}
    stored["configs"] = np.array(json.dumps(configs(keras)))
    np.savez_compressed(VALUES, **stored)
