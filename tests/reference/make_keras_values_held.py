"""Keeps what Keras on JAX prints, names, averages and raises for the programs of ``tests/keras_held.py``.

KERAS_BACKEND=jax python tests/reference/make_keras_values_held.py [names of programs]
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")
sys.path.insert(0, str(Path(__file__).parents[1]))

import keras
from keras_held import HELD, REFUSALS


def raised(act: Any) -> str:
    """The class of the error, ValueError or TypeError where it is one of these."""
    try:
        act(keras)
    except (ValueError, TypeError, AttributeError) as error:
        return next(kind.__name__ for kind in (ValueError, TypeError, AttributeError) if isinstance(error, kind))
    raise AssertionError("Keras raises nothing")


if __name__ == "__main__":
    path = Path(__file__).with_name("keras_held_values.json")
    values = json.loads(path.read_text())["values"] if path.exists() else {}
    for name, program in HELD.items():
        if not sys.argv[1:] or name in sys.argv[1:]:
            keras.utils.clear_session()
            values[name] = program(keras)
            print(name, flush=True)
    errors = {name: raised(act) for name, (act, _) in REFUSALS.items()}
    path.write_text(json.dumps({"keras": keras.__version__, "values": values, "errors": errors}, indent=1) + "\n")
    print(f"{len(values)} programs and {len(errors)} refusals with Keras {keras.__version__}")
