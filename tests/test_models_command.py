"""``python -m nnkit models``: what it prints, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nnkit import nn
from nnkit.__main__ import main
from nnkit.preprocessing import Table
from nnkit.registry import Registry
from nnkit.registry.cards import CARD


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    frame = {"age": [20, 40, 30], "city": ["Rome", "Oslo", "Rome"], "left": ["no", "no", "yes"]}
    table = Table().fit(frame, "left")
    registry = Registry(tmp_path / "registry")
    model = nn.Linear(table.width, 1).reads(table)
    registry.publish(model, "churn", metrics={"accuracy": 0.91}, data=frame, notes="the first", alias="champion")
    registry.publish(model, "churn", metrics={"accuracy": 0.93}, alias="candidate")
    return registry.folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    """The output of a command line."""

    def call(*words: object) -> str:
        main(["models", *map(str, words)])
        found: str = capsys.readouterr().out
        return found

    return call


def test_the_models_and_versions_are_listed(folder: Path, run: Any) -> None:
    head, line = run("list", folder).splitlines()
    assert head.split() == ["name", "versions", "newest", "created", "aliases"]
    assert line.startswith("churn  2         2       20") and line.endswith("Z  candidate 2, champion 1")
    head, first, second = run("list", folder, "churn").splitlines()
    assert head.split() == ["version", "created", "aliases", "metrics", "notes"]
    assert first.startswith("1        20") and first.endswith("champion   accuracy 0.91  the first")
    assert second.endswith("candidate  accuracy 0.93")
    assert json.loads(run("list", folder, "--json"))[0]["aliases"] == {"candidate": 2, "champion": 1}
    assert [row["number"] for row in json.loads(run("list", folder, "churn", "--json"))] == [1, 2]


def test_a_card_is_shown(folder: Path, run: Any) -> None:
    text = run("show", folder, "churn", 1)
    for name, value in (("aliases", "champion"), ("inputs", "age float64, city text"), ("classes", "no, yes")):
        assert f"\n{name:11} {value}\n" in text
    assert "reference   2 features, 3 rows\n" in text and text.endswith("candidate    promote  to 2\n")
    found = json.loads(run("show", folder, "churn", "candidate", "--json"))
    assert found["number"] == 2 and found["moves"][0]["alias"] == "champion" and Path(found["path"]).is_file()


def test_aliases_are_moved_and_moved_back(folder: Path, run: Any) -> None:
    assert run("promote", folder, "churn", "candidate") == "champion of churn is version 2\n"
    assert run("promote", folder, "churn", 1, "--alias", "old") == "old of churn is version 1\n"
    assert json.loads(run("rollback", folder, "churn", "--json")) == {"name": "churn", "alias": "champion", "number": 1}
    assert Registry(folder).aliases("churn") == {"candidate": 2, "champion": 1, "old": 1}


def test_a_file_is_published(folder: Path, run: Any, tmp_path: Path) -> None:
    nn.Linear(2, 1).save(tmp_path / "m.safetensors")
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n3,4\n5,6\n")
    words = ["publish", folder, "line", tmp_path / "m.safetensors", "--metric", "mse=0.5", "--metric", "mae=1"]
    text = run(*words, "--data", tmp_path / "rows.csv", "--alias", "champion", "--notes", "from a file")
    assert text == "published line 1; champion is version 1\n"
    card = Registry(folder).get("line").card
    assert (card["metrics"], card["data"]["rows"], card["notes"]) == ({"mse": 0.5, "mae": 1.0}, 3, "from a file")
    assert card["reference"]["rows"] == 3 and json.loads(run(*words, "--json"))["number"] == 2
    (tmp_path / "rows.csv").write_text("a,b\n")
    with pytest.raises(SystemExit) as caught:
        run(*words, "--data", tmp_path / "rows.csv")
    assert caught.value.code == 2


def test_damage_is_told_and_ends_with_1(folder: Path, run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", folder) == "2 versions, nothing wrong\n" and json.loads(run("check", folder, "--json")) == []
    card = folder / "churn" / "versions" / "000002" / CARD
    card.chmod(0o644)
    card.write_text("{")
    with pytest.raises(SystemExit) as caught:
        run("check", folder)
    assert caught.value.code == 1 and capsys.readouterr().out.startswith("churn 2: the card ")
    assert "damaged" in run("list", folder) and "damaged" in run("list", folder, "churn")


def test_nothing_of_a_card_reaches_the_terminal_as_a_command(folder: Path, run: Any) -> None:
    Registry(folder).publish(nn.Linear(1, 1), "line", metrics={"\x1b[2J": 1.0}, notes="\x1b]0;title\x07\nsecond")
    for words in (("list", folder, "line"), ("show", folder, "line")):
        assert "\x1b" not in run(*words) and "\x07" not in run(*words)
    assert json.loads(run("show", folder, "line", "--json"))["notes"].endswith("second")


WRONG: dict[str, tuple[list[str], str]] = {
    "no folder": (["list", "nowhere"], "there is no folder 'nowhere'; the first publish makes one"),
    "no model": (["show", "FOLDER", "chrn"], "unknown model in the registry 'FOLDER': 'chrn'; did you mean 'churn'?"),
    "no version": (["show", "FOLDER", "churn", "7"], "unknown version of 'churn' 7; Known: 1, 2"),
    "no way back": (["rollback", "FOLDER", "churn"], "pointed to no version before 1"),
    "a hostile name": (["check", "FOLDER", "../x"], "name must be 1 to 100 letters"),
    "a metric": (["publish", "FOLDER", "m", "FILE", "--metric", "good"], "--metric must be NAME=NUMBER"),
    "no file": (["publish", "FOLDER", "m", "nothing.safetensors"], "No such file"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_line_and_ends_with_2(
    case: str, folder: Path, run: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words, message = WRONG[case]
    nn.Linear(2, 1).save(tmp_path / "m.safetensors")
    places = {"FOLDER": str(folder), "FILE": str(tmp_path / "m.safetensors")}
    with pytest.raises(SystemExit) as caught:
        run(*(places.get(word, word) for word in words))
    error = capsys.readouterr().err
    assert caught.value.code == 2 and message.replace("FOLDER", str(folder)) in error and error.count("\n") == 1


def test_an_empty_registry_has_no_models(tmp_path: Path, run: Any) -> None:
    assert run("list", tmp_path) == f"no models in {tmp_path}\n" and run("list", tmp_path, "--json") == "[]\n"
