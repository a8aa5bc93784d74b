"""Runs the programs of ``tests/keras_programs.py`` with Keras on JAX, and keeps what they return as JSON.

KERAS_BACKEND=jax python tests/reference/make_keras_values_programs.py [names of programs]
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")
sys.path.insert(0, str(Path(__file__).parents[1]))

import keras
from keras_programs import PROGRAMS

if __name__ == "__main__":
    path = Path(__file__).with_name("keras_programs_values.json")
    values = json.loads(path.read_text())["values"] if path.exists() else {}
    for name, program in PROGRAMS.items():
        if not sys.argv[1:] or name in sys.argv[1:]:
            keras.utils.clear_session()
            values[name] = program(keras)
            print(name, flush=True)
    path.write_text(json.dumps({"keras": keras.__version__, "values": values}, indent=1) + "\n")
    print(f"{len(values)} programs with Keras {keras.__version__}")
