"""The repository's own tests on the GPU: which files, and the process that runs some of them."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path

from bench.gpu.process import Process
from bench.machine import ROOT

TESTS = ROOT / "tests"
#: The environment variable that asks for kernels on the GPU.
ON_THE_GPU = "NNKIT_KERNELS_ON_THE_GPU"
#: By pytest's markers: neither what takes long nor what only compiles, which a machine without a GPU can do.
SELECTED = "not long and not compiles"
#: Files whose tests take a device, the longest first, and the shortest list that still says something.
DEVICE_TESTS = (
    "test_captured", "test_fit", "test_autograd", "test_ops", "test_tensor", "test_replay", "test_grad_scaler",
    "test_optim", "test_losses", "test_autocast", "test_compile", "test_compile_values", "test_arena", "test_modules",
    "test_layers", "test_threads", "test_program", "test_callbacks", "test_fit_ends", "test_golden_runs",
    "test_optim_state", "test_activations", "test_random", "test_clipping", "test_precision", "test_formulas",
    "test_data_loading", "test_metrics", "test_state_files", "test_model_files", "test_schedules", "test_init",
    "test_explain", "test_keras_layers", "test_keras_losses", "test_keras_optimizers", "test_keras_callbacks",
    "test_sklearn", "test_torch_values_nn", "test_optim_refused", "test_bad_input",
)  # fmt: skip
QUICK_TESTS = ("test_captured", "test_replay", "test_golden_runs", "test_grad_scaler", "test_optim", "test_clipping")
#: What holds on a CPU only, or of its programs.
ON_A_CPU = (
    "test_on_a_cpu_every_setting_means_highest", "test_rounding_is_exact", "test_each_instruction_says_what_it_is",
    "test_a_line_for_each_instruction", "test_a_move_to_where_it_is_keeps_the_memory",
)  # fmt: skip
#: Files of tests/cuda: single kernels, which run on the GPU, and what asks the real libraries.
CUDA_TESTS = (
    "test_elementwise", "test_reductions", "test_classification", "test_linear_kernels", "test_memory_kernels",
    "test_random_kernels", "test_compiler", "test_cublaslt", "test_stand_in",
)  # fmt: skip
QUICK_CUDA_TESTS = ("test_linear_kernels", "test_random_kernels", "test_stand_in")


def missing() -> str | None:
    """Why no tests can be run here; None where they can."""
    if not TESTS.exists():
        return f"there is no folder {TESTS}"
    return None if importlib.util.find_spec("pytest") else "pytest is not installed"


def device_tests(quick: bool) -> list[str]:
    """File names under tests/."""
    return _there(TESTS, QUICK_TESTS if quick else DEVICE_TESTS)


def cuda_tests(quick: bool) -> list[str]:
    """File names under tests/cuda/."""
    return _there(TESTS / "cuda", QUICK_CUDA_TESTS if quick else CUDA_TESTS)


def _there(folder: Path, names: Sequence[str]) -> list[str]:
    return [f"{name}.py" for name in names if (folder / f"{name}.py").exists()]


def pytest_in(
    folder: Path, more: dict[str, str], chosen: str, files: Sequence[str], known: Collection[str] = ()
) -> Process:
    """A process that runs tests of these files of a folder: those that ``chosen`` selects, as pytest's -k has it.

    Tests in ``known``, "test_file.py::test_name", are left out.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-p", "bench.gpu.pytest_lines", "-p", "no:cacheprovider"]
    command += ["-m", SELECTED, *(["-k", chosen] if chosen else [])]
    # What the GPU's libraries warn of is no failure of nnkit's.
    command += ["-W", "default", *(os.path.join(folder, name) for name in files)]
    process = Process(command, {"NNKIT_STRICT_DEVICE": "", **more})
    process.tell(sorted(known))
    return process


_OF_THE_DEVICE = f"cuda and not ({' or '.join(ON_A_CPU)})"
on_the_device = partial(pytest_in, TESTS, {"NNKIT_TEST_DEVICES": "cuda"}, _OF_THE_DEVICE)
of_cuda = partial(pytest_in, TESTS / "cuda", {ON_THE_GPU: "1"}, "")
