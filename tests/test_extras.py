"""Each extra for GPUs brings all that nnkit loads there: its environment is built from the metadata, and asked.

A pip that finds no index installs nothing, and the test is left out; whether an index is there, it finds out apart.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tomllib
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

#: What a process on a GPU does before it needs the driver; each line fails where something was not brought.
ASK = """
from importlib import import_module
from pathlib import Path
import numpy as np
import cupy
assert np.dtype("bfloat16").itemsize == 2  # as CuPy's arrays of bfloat16 are asked for
from cuda import pathfinder
for name in ("cublas", "cublasLt", "cudart", "nvJitLink", "nvrtc", "nvvm"):
    pathfinder.load_nvidia_dynamic_lib(name)
for name in ("cublas", "nvrtc"):
    import_module(f"cupy_backends.cuda.libs.{name}")
headers = pathfinder.find_nvidia_header_directory("cudart")
assert headers and Path(headers, "cuda_fp16.h").is_file(), headers
import nnkit
from nnkit.backends.cuda import cublaslt
from nnkit.kernels.cuda.compiler import PROBE, compile_source
assert cublaslt.load().cublasLtGetVersion() // 10000 == int(MAJOR), cublaslt.load().cublasLtGetVersion()
for architecture in ("sm_75", "sm_90"):
    binary = compile_source(PROBE, architecture)
    assert binary.format == "cubin", binary
row = next(row for row in nnkit.devices() if row.name == "cuda")
assert row.usable or "NVIDIA driver" in row.detail, row  # the first thing that is missing
"""


def installed_copy(folder: Path) -> Path:
    """The sources laid out as an installation has them."""
    package = folder / "nnkit"
    for name, to in (("nnkit", package), ("backends", package / "backends"), ("kernels", package / "kernels")):
        shutil.copytree(ROOT / name, to, ignore=shutil.ignore_patterns("__pycache__", "backends", "kernels"))
    return folder


@pytest.mark.long
@pytest.mark.parametrize("extra", ["cuda12", "cuda13"])
def test_the_libraries_of_a_gpu_load_in_the_environment_of_its_extra(extra: str, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    python = str(tmp_path / "env" / "bin" / "python")
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"][extra]]
    installing = subprocess.run([*pip, "install", *wanted], capture_output=True, text=True)
    if installing.returncode:
        probe = [*pip, "download", "--no-deps", "--dest", str(tmp_path), "array-api-compat"]
        if subprocess.run(probe, capture_output=True).returncode:
            pytest.skip("pip reaches no index here")
    assert installing.returncode == 0, installing.stderr
    environment = {
        **os.environ, "PYTHONPATH": str(installed_copy(tmp_path / "site")), "NNKIT_CACHE": str(tmp_path / "cache"),
    }  # fmt: skip
    text = f"MAJOR = {extra[4:]!r}\n{ASK}"
    asked = subprocess.run([python, "-c", text], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert asked.returncode == 0, asked.stderr


def test_both_extras_ask_for_the_same_of_their_version() -> None:
    twelve, thirteen = (PROJECT["optional-dependencies"][name] for name in ("cuda12", "cuda13"))
    assert [row.replace("12", "13") for row in twelve] == thirteen
