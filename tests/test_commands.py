"""``python -m nnkit``: it chooses a command, imports that one only, and ends with its status."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nnkit import commands
from nnkit.__main__ import COMMANDS, main
from nnkit.commands import demo
from nnkit.datasets import digits


def test_each_module_is_a_command_and_each_command_a_module() -> None:
    found = {path.stem for path in Path(str(commands.__file__)).parent.glob("[a-z]*.py")}
    assert found == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_takes_arguments_and_runs(name: str) -> None:
    module: Any = importlib.import_module(f"nnkit.commands.{name}")
    module.add_arguments(argparse.ArgumentParser())
    assert callable(module.run)


#: The command line -> the commands whose modules it imports.
IMPORTED: dict[str, list[str]] = {"--help": [], "devices": ["devices"], "demo --help": ["demo"]}


@pytest.mark.parametrize("line", IMPORTED)
def test_no_command_is_imported_but_the_one_that_is_given(line: str) -> None:
    script = (
        "import contextlib, sys\nfrom nnkit.__main__ import main\n"
        f"with contextlib.suppress(SystemExit): main({line.split()!r})\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()[-1].split()
    assert [name for name in COMMANDS if f"nnkit.commands.{name}" in loaded] == IMPORTED[line]
    assert "nnkit.testing" not in loaded


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    said = capsys.readouterr().out
    assert caught.value.code == 0 and all(f"    {name} " in said for name in COMMANDS)


def test_a_command_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["train", "demo"])
    assert caught.value.code == 2 and "invalid choice: 'train'" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe's reader that has gone is told otherwise there")
def test_a_reader_that_has_gone_is_no_traceback() -> None:
    command = subprocess.Popen(
        [sys.executable, "-m", "nnkit", "devices"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert command.stdout is not None and command.stderr is not None
    command.stdout.close()
    assert command.stderr.read() == b"" and command.wait() == 1
    command.stderr.close()


def test_the_demonstration_ends_in_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss, and digits that it got wrong; without matplotlib it says what to install."""
    (x, y), _ = digits.load_data()
    model = demo.build("numpy")
    history = demo.train(model, x / 16, y, 1, 0)
    path = tmp_path / "digits.png"
    if importlib.util.find_spec("matplotlib") is not None:
        said = demo.draw(history, model, x / 16, y, path)
        assert str(path) in said and path.read_bytes().startswith(b"\x89PNG")
        path.unlink()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    said = demo.draw(history, model, x / 16, y, path)
    assert "pip install" in said and "plot]" in said and not path.exists()
