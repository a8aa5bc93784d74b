"""The conformance kit on the pretended GPU, with kernels and without; and what is tested on every other device."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest
from captured import replays

from nnkit import backends
from nnkit.testing import CASES, Case

pytest.mark.usefixtures(replays.__name__)

#: Millions of elements, for loops that are cut into pieces; the emulator would take minutes.
LARGE = {"map-large", "uniform-and-dropout-large"}
#: Their many cases differ in what reaches one kernel; here every third is run, which the emulator does in seconds.
ALIKE = {
    "reduce",
    "arg_reduce",
    "linear_grad",
    "half_linear_grad",
    "softmax",
    "softmax_grad",
    "cross_entropy",
    "uniform",
    "attention",
    "attention_grad",
}
SMALL = [
    case
    for number, case in enumerate(CASES)
    if case.id not in LARGE and (case.primitive not in ALIKE or number % 3 == 0)
]
#: Files of ../ whose tests of a device are run on this one too.
FILES = ("test_activations", "test_compile", "test_losses")


@pytest.fixture
def no_compiler(device: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine on which no kernel can be compiled, and everybody knows."""
    from nnkit.backends.cuda import modules
    from nnkit.kernels.cuda.compiler import CompilerMissing

    monkeypatch.setattr(modules, "_missing", [CompilerMissing("no compiler")])
    monkeypatch.setattr(modules, "_functions", {})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.id)
def test_with_kernels(case: Case, device: str) -> None:
    case.check(backends.get(device))


@pytest.mark.parametrize("case", SMALL[::5], ids=lambda case: case.id)
def test_without_a_compiler(case: Case, device: str, no_compiler: None) -> None:
    case.check(backends.get(device))


def those_of_a_device(file: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name, test in vars(import_module(file)).items():
        if name.startswith("test_") and "device" in inspect.signature(test).parameters:
            yield f"{name}_of_{file.removeprefix('test_')}", test


for file in FILES:
    globals().update(those_of_a_device(file))
