"""What every comparison needs: the backends by name, and the settings of a measurement instead of a test's."""

from __future__ import annotations

import pytest

from bench.primitives import usable_backends


def pytest_configure(config: pytest.Config) -> None:
    """Libraries that are only compared may warn."""
    config.addinivalue_line("filterwarnings", "default")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``backend_name`` takes every backend that is usable here."""
    if "backend_name" in metafunc.fixturenames:
        metafunc.parametrize("backend_name", usable_backends())
