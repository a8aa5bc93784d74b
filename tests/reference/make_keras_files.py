"""Writes keras_files.zip: what Keras 3 (on JAX) saved of the models in keras_files_table.py, and what they predict.

KERAS_BACKEND=jax python tests/reference/make_keras_files.py    (keras 3.15.1, jax; h5py)
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")
FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent))

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras_files_table import CASES, FLAT, MODELS, outputs, shaken  # noqa: E402

X, Y = np.random.default_rng(5).normal(size=(8, 6)).astype("float32"), np.eye(2, dtype="float32")[[0, 1] * 4]


def content_of(write: Any, ending: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"file{ending}"
        write(path)
        return path.read_bytes()


def trained() -> dict[str, bytes]:
    """A model that was trained, saved, and trained on."""
    L = keras.layers
    model = keras.Sequential([keras.Input((6,)), L.Dense(5, "tanh"), L.Dense(2, "softmax")])
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
    model.compile(keras.optimizers.Adam(rate), keras.losses.CategoricalCrossentropy(), metrics=["accuracy"])
    model.fit(X, Y, batch_size=2, shuffle=False, verbose=0)
    files = {f"trained{end}": content_of(model.save, end) for end in (".keras", ".h5")}
    model.fit(X, Y, batch_size=2, shuffle=False, verbose=0)
    buffer = io.BytesIO()
    np.savez(buffer, *model.get_weights())
    return files | {"trained.npz": buffer.getvalue()}


def main() -> None:
    files = trained()
    values = {}
    for name, case in CASES.items():
        model = shaken(case.make(keras))
        files[f"{name}.keras"] = content_of(model.save, ".keras")
        if name in MODELS:
            files[f"{name}.weights.h5"] = content_of(model.save_weights, ".weights.h5")
        if name in ("plain", "shared", "nested", "frozen"):
            files[f"{name}.h5"] = content_of(model.save, ".h5")
        for number, found in enumerate(outputs(model, case.inputs)):
            values[f"{name}/{number}"] = found.astype("float32")
    with_lambda = keras.Sequential([keras.Input((6,)), keras.layers.Lambda(lambda x: x + 1.0), keras.layers.Dense(2)])
    files |= {f"lambda{end}": content_of(with_lambda.save, end) for end in (".keras", ".h5")}
    assert len(outputs(with_lambda, FLAT)) == 1
    buffer = io.BytesIO()
    np.savez(buffer, **values)
    with zipfile.ZipFile(FOLDER / "keras_files.zip", "w", zipfile.ZIP_LZMA) as archive:
        for name, content in [*files.items(), ("outputs.npz", buffer.getvalue())]:
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), content, zipfile.ZIP_LZMA)


if __name__ == "__main__":
    main()
