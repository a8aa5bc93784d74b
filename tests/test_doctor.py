"""``python -m nnkit doctor``: one screen, what is unusual, and a status that says whether something is wrong."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

import nnkit
from nnkit.__main__ import main
from nnkit.backends.cuda import diagnosis
from nnkit.commands import doctor


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, int]:
    try:
        main(["doctor", *arguments])
        status = 0
    except SystemExit as ended:
        status = int(ended.code or 0)
    return capsys.readouterr().out, status


def test_one_screen_names_versions_devices_registers_rates_and_the_cache(capsys: pytest.CaptureFixture[str]) -> None:
    text, status = printed(capsys)
    for word in ("nnkit 0.", "Python 3.", "numpy 2.", "vector registers", "BLAS", "GFLOP/s", "GB/s", "cuda", "kept in"):
        assert word in text, word
    assert status == 0 and "no trouble found" in text
    assert len(text.splitlines()) < 40


def test_rates_can_be_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    text, _ = printed(capsys, "--no-measure")
    assert "GFLOP/s" not in text


@pytest.mark.parametrize("name", doctor.UNUSUAL)
def test_what_is_set_in_the_environment_is_said(name: str) -> None:
    (line,) = doctor.remarks({name: "7", "HOME": "/"})
    assert line.startswith(f"{name}=7: ")
    assert not list(doctor.remarks({name: ""}))


def of_cache(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "a file").write_text("")
    monkeypatch.setenv("NNKIT_CACHE", str(folder / "a file" / "within"))


def of_wheels(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(diagnosis, "wheels", lambda: ["cupy-cuda12x", "cupy-cuda13x"])


def of_name(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(doctor, "versions", lambda names: dict.fromkeys(names, "1.0"))


#: What is wrong -> what is said of it.
TROUBLES = {
    of_cache: "set NNKIT_CACHE to a folder that can be written",
    of_wheels: "pip uninstall cupy-cuda12x cupy-cuda13x",
    of_name: "pip uninstall nnkit, then install nnkit-engine again",
}


@pytest.mark.parametrize("make", TROUBLES)
def test_a_trouble_is_named_with_its_remedy_and_the_status_is_1(
    make: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make(monkeypatch, tmp_path)
    text, status = printed(capsys, "--no-measure")
    (line,) = (line for line in text.splitlines() if line.startswith("TROUBLE"))
    assert TROUBLES[make] in line
    assert status == 1 and "no trouble found" not in text


def test_nothing_is_changed_by_looking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNKIT_CACHE", str(tmp_path / "cache"))
    assert not list(doctor.troubles())
    assert os.listdir(tmp_path / "cache") == []


def test_one_version_is_named_everywhere() -> None:
    root = Path(__file__).parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    cited = re.search(r"^version: (.*)$", (root / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited is not None and project["version"] == nnkit.__version__ == cited[1]
