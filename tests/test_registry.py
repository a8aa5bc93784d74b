"""The registry of versions: what is published stays as it was, and no end of any process leaves it unusable."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import keras, nn
from nnkit.errors import DataError, ModelFileError, UnknownNameError
from nnkit.preprocessing import Table
from nnkit.registry import Registry, Version, cards, folders, moves
from nnkit.registry.cards import CARD

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)


def line(value: float = 1.0) -> nn.Linear:
    """A model that says which one it is: ``value`` for rows of zeros."""
    model = nn.Linear(3, 1)
    with nnkit.no_grad():
        assert model.bias is not None
        model.bias.fill_(value)
    return model


def says(version: Version) -> float:
    return float(version.load().predict(np.zeros((1, 3), np.float32))[0, 0])


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "registry")


# ---- versions and aliases --------------------------------------------------------------------------------------------


def test_versions_are_numbered_and_say_what_they_are(registry: Registry) -> None:
    first = registry.publish(line(), "line", metrics={"mse": np.float32(0.5)}, data=(X, X[:, 0]), notes="the first")
    assert (first.name, first.number, str(first), first.path.name) == ("line", 1, "line 1", "model.safetensors")
    assert registry.publish(line(2.0), "line").number == 2 and registry.publish(line(), "other").number == 1
    assert registry.names() == ["line", "other"] and [v.number for v in registry.versions("line")] == [1, 2]
    card = registry.get("line", 1).card
    assert (card["metrics"], card["notes"], card["number"], card["class"]) == ({"mse": 0.5}, "the first", 1, "Linear")
    assert card["inputs"] == [{"name": "x", "shape": [3], "dtype": "float32"}] and card["parameters"] == 4
    assert card["data"]["rows"] == 4 and len(card["data"]["sha256"]) == 64 == len(card["file"]["sha256"])
    assert card["code"]["nnkit"] == nnkit.__version__ and card["device"] == str(line().weight.device)
    assert [says(version) for version in registry.versions("line")] == [1.0, 2.0]


def test_an_empty_folder_is_no_version(registry: Registry) -> None:
    registry.publish(line(), "line")
    stray = registry.folder / "line" / "versions" / "000007"
    stray.mkdir()
    assert [v.number for v in registry.versions("line")] == [1] and registry.publish(line(2.0), "line").number == 2
    assert registry.get("line", "newest").number == 2 and registry.check("line") == []


def test_the_champion_is_the_newest_until_there_is_one(registry: Registry) -> None:
    for value in (1.0, 2.0, 3.0):
        registry.publish(line(value), "line")
    assert registry.get("line").number == 3 and registry.aliases("line") == {}
    registry.promote("line", 1)
    assert registry.get("line").number == 1 and registry.get("line", "newest").number == 3
    assert registry.get("line", "2") == registry.get("line", 2)
    registry.publish(line(4.0), "line", alias="candidate")
    assert registry.aliases("line") == {"candidate": 4, "champion": 1}


def test_an_alias_is_rolled_back_step_by_step(registry: Registry) -> None:
    for _ in range(3):
        registry.publish(line(), "line", alias="champion")
    registry.promote("line", 3)  # where it is already: no step
    registry.promote("line", 1)
    assert [registry.rollback("line").number for _ in range(3)] == [3, 2, 1]
    with pytest.raises(DataError, match="pointed to no version before 1"):
        registry.rollback("line")
    registry.promote("line", 3)
    assert registry.rollback("line").number == 1
    assert [(move.kind, move.to) for move in registry.moves("line")][-2:] == [("promote", 3), ("rollback", 1)]


def test_a_version_that_was_removed_is_not_rolled_back_to(registry: Registry) -> None:
    for _ in range(3):
        version = registry.publish(line(), "line", alias="champion")
    assert version.number == 3
    remove(registry.get("line", 2).folder)
    assert registry.rollback("line").number == 1


def test_the_stamp_changes_with_everything(registry: Registry) -> None:
    stamps = [registry.stamp("line")]
    for change in (
        lambda: registry.publish(line(), "line"),
        lambda: registry.publish(line(), "line"),
        lambda: registry.promote("line", 1),
        lambda: registry.promote("line", 2, "candidate"),
        lambda: registry.promote("line", 2),
        lambda: registry.rollback("line"),
        lambda: remove(registry.get("line", 2).folder),
    ):
        assert registry.stamp("line") == stamps[-1]
        change()
        stamps.append(registry.stamp("line"))
    assert len(set(stamps)) == len(stamps)


def remove(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


UNKNOWN: dict[str, Callable[[Registry], object]] = {
    "unknown model in the registry .* 'lime'; did you mean 'line'": lambda r: r.versions("lime"),
    "unknown version of 'line' 7; Known: 1": lambda r: r.get("line", 7),
    "unknown alias of 'line' 'champ'; did you mean 'champion'": lambda r: r.get("line", "champ"),
    "unknown version of 'line' 2; Known: 1": lambda r: r.promote("line", 2),
    "unknown alias of 'line' 'candidate'": lambda r: r.rollback("line", "candidate"),
}


@pytest.mark.parametrize("message", UNKNOWN)
def test_what_is_not_there_is_named(message: str, registry: Registry) -> None:
    registry.publish(line(), "line", alias="champion")
    with pytest.raises(UnknownNameError, match=message):
        UNKNOWN[message](registry)


# ---- names ---------------------------------------------------------------------------------------------------------

HOSTILE = [
    "", ".", "..", "../x", "a/b", "a\\b", "/etc", "C:", "a\0b", "nul", "NUL.txt", "Com1", "a.", "a ", " a", "-rf",
    ".part", "a\n", "é", "x" * 101, 3, None,
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE, ids=repr)
def test_a_hostile_name_is_refused_everywhere(name: Any, registry: Registry) -> None:
    registry.publish(line(), "line")
    for call in (
        lambda: registry.publish(line(), name),
        lambda: registry.versions(name),
        lambda: registry.promote(name, 1),
        lambda: registry.stamp(name),
        lambda: registry.promote("line", 1, name),
        lambda: registry.publish(line(), "line", alias=name or ""),
    ):
        with pytest.raises(DataError):
            call()
    assert sorted(path.name for path in registry.folder.parent.iterdir()) == ["registry"]
    assert len(registry.versions("line")) == 1


def test_names_that_would_be_one_folder_elsewhere_are_refused(registry: Registry) -> None:
    registry.publish(line(), "Line")
    with pytest.raises(DataError, match="only by case"):
        registry.publish(line(), "line")


@pytest.mark.parametrize("alias", ["3", "newest"])
def test_an_alias_that_means_a_version_already_is_refused(alias: str, registry: Registry) -> None:
    registry.publish(line(), "line")
    with pytest.raises(DataError, match="would mean a version already"):
        registry.promote("line", 1, alias)


def test_a_registry_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="is a file; expected a folder"):
        Registry(tmp_path / "file")
    assert Registry(tmp_path / "not there").names() == [] and not (tmp_path / "not there").exists()


# ---- kinds of models -------------------------------------------------------------------------------------------------

FROM_ANOTHER_PROCESS = """
import sys, numpy as np
from nnkit.registry import Registry
version = Registry(sys.argv[1]).get("model")
print(type(version.load()).__module__, version.load().predict(np.ones((2, 3), np.float32)).tolist())
"""


def test_a_keras_model_comes_back_in_a_program_that_has_not_heard_of_it(registry: Registry) -> None:
    model = keras.Sequential([keras.layers.Dense(2, activation="relu", input_shape=(3,))])
    model.compile(optimizer="adam", loss="mse")
    version = registry.publish(model, "model")
    assert version.card["kind"] == "keras" and version.card["inputs"][0]["shape"] == [3]
    script = [sys.executable, "-c", FROM_ANOTHER_PROCESS, str(registry.folder)]
    said = subprocess.run(script, capture_output=True, text=True, check=True).stdout.split(" ", 1)
    assert said[0].startswith("nnkit.keras")
    assert json.loads(said[1]) == model.predict(np.ones((2, 3), np.float32), verbose=0).tolist()


def test_a_model_that_reads_a_table_names_its_columns(registry: Registry) -> None:
    frame = {"age": [20, 40, None], "city": ["Rome", "Oslo", "Rome"], "left": ["no", "no", "yes"]}
    table = Table().fit(frame, "left")
    version = registry.publish(nn.Linear(table.width, 1).reads(table), "churn", data=frame)
    assert [(one["name"], one["dtype"]) for one in version.card["inputs"]] == [("age", "float64"), ("city", "text")]
    assert version.card["classes"] == ["no", "yes"] and version.card["data"]["rows"] == 3
    assert version.load().predict({"age": 30, "city": "Rome"}).shape == (1, 1)


@nnkit.register_module(name="tests.registry.Twice")
class Twice(nn.Module):
    def forward(self, x: Any) -> Any:
        return x + x


class Unregistered(nn.Module):
    def forward(self, x: Any) -> Any:
        return x


def test_a_model_of_ones_own_is_published_where_it_is_registered(registry: Registry) -> None:
    version = registry.publish(Twice(), "own")
    assert version.card["inputs"] is None and version.load().predict(X).tolist() == (X + X).tolist()


REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "a path": (lambda: "model.safetensors", TypeError, "got a path: publish\\(nnkit.load\\('model.safetensors'\\)"),
    "no model": (lambda: 3, TypeError, "model must be a Module, got int"),
    "not registered": (Unregistered, ModelFileError, "could not be loaded again: .*register_module"),
}


@pytest.mark.filterwarnings("ignore:.*holds the weights only")
@pytest.mark.parametrize("case", REFUSED)
def test_what_could_not_be_loaded_again_is_refused(case: str, registry: Registry) -> None:
    make, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        registry.publish(make(), "model")
    assert registry.names() == [] and leftovers(registry) == []


def test_an_estimator_is_told_to_publish_its_network(registry: Registry) -> None:
    sklearn = pytest.importorskip("nnkit.sklearn", reason="pip install scikit-learn")
    estimator = sklearn.MLPRegressor(hidden_layer_sizes=(2,), solver="lbfgs", random_state=0).fit(X, X[:, 0])
    with pytest.raises(TypeError, match=r"publish its network, model.module_"):
        registry.publish(estimator, "model")
    assert registry.publish(estimator.module_, "model").load().predict(X).shape == (4, 1)


CARDLESS: dict[str, tuple[dict[str, Any], str]] = {
    "NaN": ({"metrics": {"loss": float("nan")}}, "'loss' is nan"),
    "a text": ({"metrics": {"loss": "low"}}, "metrics must be numbers by name, got 'low'"),
    "no dict": ({"metrics": [1.0]}, "metrics must be a dict"),
    "long notes": ({"notes": "x" * 10_001}, "notes must be a text of at most 10,000"),
    "data": ({"data": 3}, "data must be arrays or a table"),
    "a reference": ({"reference": [1]}, "reference must be what nnkit.monitor.reference"),
    "too much": ({"metrics": {f"{n:05000}": n for n in range(1000)}}, "has room for 4,194,304"),
}


@pytest.mark.parametrize("case", CARDLESS)
def test_what_no_card_can_hold_is_refused(case: str, registry: Registry) -> None:
    options, message = CARDLESS[case]
    with pytest.raises(DataError, match=message):
        registry.publish(line(), "line", **options)
    assert not registry.folder.exists()


def test_the_same_data_have_the_same_checksum(registry: Registry) -> None:
    frame = {"a": [1.0, 2.0], "b": ["x", None]}
    same = [X, X.copy(order="F"), np.asfortranarray(X)[::1], nnkit.tensor(X)]
    found = {registry.publish(line(), "line", data=data).card["data"]["sha256"] for data in same}
    others = (X + 1, X[:, :2], X.astype(np.float64), (X, X), frame, {**frame, "b": ["x", "-"]}, {"a": [1.0, 2.0]})
    different = [registry.publish(line(), "line", data=data).card["data"]["sha256"] for data in others]
    assert len(found) == 1 and len({*found, *different}) == 1 + len(different)
    assert registry.publish(line(), "line", data="s3://rows/2026").card["data"] == {"source": "s3://rows/2026"}


def test_data_bring_a_reference_to_tell_drift_by(registry: Registry) -> None:
    drift = pytest.importorskip("nnkit.monitor").Drift
    x = np.random.default_rng(0).normal(size=(1000, 3))
    made = registry.publish(line(), "line", data=(x, x[:, 0])).card["reference"]
    assert drift(made).update(x + 1).report()["drifted"] == ["x[0]", "x[1]", "x[2]"]
    frame = {"age": [20, 40, None], "zip": [1, 2, 1], "key": ["a", "b", "c"], "left": ["no", "no", "yes"]}
    table = Table(categories=["zip"], ignore=["key"]).fit(frame, "left")
    made = registry.publish(nn.Linear(table.width, 1).reads(table), "churn", data=frame).card["reference"]
    assert [(one["name"], "values" in one) for one in made["features"]] == [("age", False), ("zip", True)]
    assert registry.publish(line(), "line", data="rows of May").card["reference"] is None


# ---- damage ----------------------------------------------------------------------------------------------------------


def flip(path: Path) -> None:
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def rewrite(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        card = json.loads((folder / CARD).read_text())
        change(card)
        (folder / CARD).chmod(0o644)
        (folder / CARD).write_text(json.dumps(card))

    return apply


def overwrite(content: bytes) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        (folder / CARD).chmod(0o644)
        (folder / CARD).write_bytes(content)

    return apply


def nested(depth: int) -> dict[str, Any]:
    return {"x": nested(depth - 1)} if depth else {}


def pipe(folder: Path) -> None:
    (folder / CARD).unlink()
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / CARD)
    else:
        (folder / CARD).write_bytes(b"")


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a flipped bit": (lambda f: flip(f / "model.safetensors"), "has not the checksum that was published"),
    "a shorter model": (lambda f: os.truncate(f / "model.safetensors", 9), "has 9 bytes"),
    "no model": (lambda f: (f / "model.safetensors").unlink(), "No such file"),
    "no card": (lambda f: (f / CARD).unlink(), "No such file"),
    "an empty card": (overwrite(b""), "is not valid JSON"),
    "half a card": (overwrite(b'{"format": "nnkit card", "ver'), "is not valid JSON"),
    "bytes": (overwrite(b"\xff\xfe"), "not UTF-8"),
    "another JSON": (overwrite(b"[1]"), "must be a JSON object"),
    "deep": (overwrite(b"[" * 100_000), "nested too deeply|not valid JSON"),
    "rather deep": (rewrite(lambda card: card.update(data=nested(300))), "nested more than 20 levels"),
    "endless": (overwrite(b" " * (4 << 20) + b" {}"), "more than 4,194,304 bytes"),
    "given twice": (overwrite(b'{"format": 1, "format": 2}'), "given twice"),
    "of a newer nnkit": (rewrite(lambda card: card.update(version=2)), "upgrade it"),
    "a file elsewhere": (rewrite(lambda card: card["file"].update(name="../../x")), "'file' cannot be"),
    "a pickle": (rewrite(lambda card: card["file"].update(name="model.tar.gz")), "'file' cannot be"),
    "metrics of words": (rewrite(lambda card: card.update(metrics={"a": "b"})), "'metrics' cannot be"),
    "no inputs": (rewrite(lambda card: card.pop("inputs")), "'inputs' cannot be left out"),
    "a pipe that nobody writes to": (pipe, "is not valid JSON"),
    "inputs of no size": (rewrite(lambda card: card["inputs"][0].update(shape=[-1])), "'inputs' cannot be"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_found_and_breaks_nothing_else(case: str, registry: Registry) -> None:
    registry.publish(line(), "line")
    version = registry.publish(line(2.0), "line")
    assert registry.check() == []
    damage, message = DAMAGE[case]
    damage(version.folder)
    (problem,) = Registry(registry.folder).check()
    assert problem.startswith("line 2: ")
    with pytest.raises((ModelFileError, OSError), match=message):
        registry.get("line", 2).load()
    assert registry.publish(line(3.0), "line").number == 3 and says(registry.get("line", 1)) == 1.0


def test_an_alias_of_a_removed_version_is_a_problem(registry: Registry) -> None:
    registry.publish(line(), "line")
    remove(registry.publish(line(), "line", alias="champion").folder)
    assert registry.check("line") == ["line: alias 'champion' points to version 2, which is not there"]
    with pytest.raises(UnknownNameError, match="unknown version of 'line' 2"):
        registry.get("line")


def test_a_damaged_line_of_moves_is_passed_over_and_told(registry: Registry) -> None:
    for _ in range(2):
        registry.publish(line(), "line", alias="champion")
    (newest,) = (registry.folder / "line" / "moves" / "000002").iterdir()
    newest.write_text(newest.read_text() + '{"alias": "champion", "kind": "promote", "to": "1", "time": ""}\n[]\nhalf')
    assert registry.aliases("line") == {"champion": 2}
    assert registry.check() == [f"line: line {n} of the log of aliases is damaged" for n in (3, 4, 5)]
    newest.unlink()
    assert registry.aliases("line") == {"champion": 1}  # where it pointed before
    registry.promote("line", 2)
    assert registry.aliases("line") == {"champion": 2}


@pytest.mark.parametrize("content", [b"", b"\xff\n{}\n", b"[" * 100_000], ids=["empty", "no move", "deep"])
def test_a_log_without_a_move_does_not_unset_the_champion(content: bytes, registry: Registry) -> None:
    for _ in range(3):
        registry.publish(line(), "line")
    for number in (1, 2):
        registry.promote("line", number)
    logs = registry.folder / "line" / "moves"
    (logs / "000002" / "moves.jsonl").write_bytes(content)
    assert registry.get("line").number == 1 and registry.check()  # where it pointed before
    registry.promote("line", 2)
    assert registry.get("line").number == 2 and registry.check() == []
    for log in logs.iterdir():
        (log / "moves.jsonl").write_bytes(content)
    with pytest.raises(ModelFileError, match="none can be read: remove that folder"):
        registry.get("line")
    assert any("none can be read" in problem for problem in registry.check())


def test_a_log_of_moves_stays_short(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moves, "LONGEST", 20)
    monkeypatch.setattr(moves, "SHORTENED", 10)
    for alias in ("old", "champion", "champion"):
        registry.publish(line(), "line", alias=alias)
    for turn in range(50):
        registry.promote("line", 2 + turn % 2)
    assert len(registry.moves("line")) <= 20 and registry.aliases("line") == {"champion": 3, "old": 1}
    assert registry.rollback("line").number == 2
    assert len(list((registry.folder / "line" / "moves").iterdir())) <= 1 + moves.KEPT


# ---- several at once, and ends at any moment -------------------------------------------------------------------------

PUBLISHES = """
import sys
from nnkit import nn
from nnkit.registry import Registry
registry, own = Registry(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
for _ in range(10):
    version = registry.publish(nn.Linear(3, 1), "line", alias=own, notes=own)
    registry.promote("line", version.number)
    print(version.number, flush=True)
"""


def test_two_processes_publish_and_move_aliases_at_once(registry: Registry) -> None:
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", PUBLISHES, str(registry.folder), own],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for own in ("one", "two")
    ]  # fmt: skip
    for worker in workers:
        assert worker.stdout is not None and worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    numbers = {}
    for own, worker in zip(("one", "two"), workers, strict=True):
        output, _ = worker.communicate()
        assert worker.returncode == 0
        numbers[own] = [int(number) for number in output.split()]
    assert sorted(numbers["one"] + numbers["two"]) == list(range(1, 21)) and registry.check() == []
    for own, mine in numbers.items():
        assert {registry.get("line", number).card["notes"] for number in mine} == {own}
        assert [move.to for move in registry.moves("line") if move.alias == own] == mine
    assert leftovers(registry) == []


def test_a_reader_sees_each_move_whole(registry: Registry) -> None:
    for _ in range(2):
        registry.publish(line(), "line", alias="champion")
    seen: set[int] = set()
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            seen.add(Registry(registry.folder).get("line").number)
            seen.add(Registry(registry.folder).aliases("line")["champion"])

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for turn in range(100):
            registry.promote("line", 1 + turn % 2)
    finally:
        ended.set()
        reader.join()
    assert seen == {1, 2}


def leftovers(registry: Registry) -> list[str]:
    return [str(path) for path in registry.folder.rglob("*") if folders.PART in path.name or "tmp" in path.name]


#: What touches files: in every version of these calls the process ends, or the call fails.
CALLS = ("open", "write", "fsync", "mkdir", "rename", "replace", "chmod", "unlink", "rmdir", "close")


def change(registry: Registry) -> None:
    """What is interrupted: a new version, and the move of an alias to it."""
    registry.publish(line(3.0), "line", alias="champion")


def counted(monkeypatch: pytest.MonkeyPatch, at: int, happens: Callable[[], None]) -> list[str]:
    """Has something happen just before the call number ``at`` of those that touch files; gives the calls so far."""
    seen: list[str] = []

    def replaced(name: str) -> Callable[..., Any]:
        original = getattr(os, name)

        def call(*args: Any, **options: Any) -> Any:
            seen.append(name)
            if len(seen) == at:
                happens()
            return original(*args, **options)

        return call

    for name in CALLS:
        monkeypatch.setattr(os, name, replaced(name))
    return seen


@pytest.fixture
def prepared(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Registry]:
    """A copy of a registry with two versions, the second of which is the champion."""
    monkeypatch.setattr(cards, "_commit", lambda: None)  # a process of its own, which touches no file here
    registry.publish(line(1.0), "line", alias="champion")
    registry.publish(line(2.0), "line", alias="champion")

    def copied(number: int) -> Registry:
        return Registry(shutil.copytree(registry.folder, registry.folder.with_name(str(number))))

    return copied


def is_whole(registry: Registry) -> None:
    """It opens; the champion is the one before or the new one, and what comes next succeeds."""
    newest = registry.get("line", "newest")
    assert registry.check() == [] and newest.number in (2, 3) and says(newest) == newest.number
    assert registry.get("line").number in (2, newest.number)
    assert says(registry.publish(line(4.0), "line", alias="champion")) == 4.0
    assert registry.get("line").number == newest.number + 1 and registry.rollback("line").number in (2, 3)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="one process for each moment, by fork")
def test_a_registry_is_whole_wherever_a_process_ends(
    prepared: Callable[[int], Registry], monkeypatch: pytest.MonkeyPatch
) -> None:
    for at in range(1, 1000):
        registry = prepared(at)
        child = os.fork()
        if child == 0:
            try:
                counted(monkeypatch, at, lambda: os._exit(1))
                change(registry)
                os._exit(0)
            finally:
                os._exit(2)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        is_whole(registry)
        if status == 0:
            break
        assert status == 1
    assert at > 30


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS], ids=errno.errorcode.get)
def test_a_registry_is_whole_wherever_a_call_fails(
    code: int, prepared: Callable[[int], Registry], monkeypatch: pytest.MonkeyPatch
) -> None:
    for at in range(1, 1000):
        registry = prepared(at)
        failed = False
        with monkeypatch.context() as patch:

            def fails() -> None:
                raise OSError(code, os.strerror(code))

            seen = counted(patch, at, fails)
            try:
                change(registry)
            except OSError as error:
                failed = True
                assert os.strerror(code) in str(error)
        if not failed:
            if len(seen) < at:
                break
            continue  # what failed was only tidying up
        is_whole(registry)
    assert at > 30


def test_a_full_disk_says_how_much_was_needed(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, content: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match=r"No space left on device; nothing was saved .*bytes needed"):
        registry.publish(line(), "line")
    monkeypatch.undo()
    assert registry.names() == [] and leftovers(registry) == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to_is_read(registry: Registry) -> None:
    registry.publish(line(), "line", alias="champion")
    registry.folder.joinpath("line").chmod(0o555)
    try:
        with pytest.raises(PermissionError, match="Permission denied: the registry cannot be written to"):
            registry.publish(line(), "line")
        assert says(registry.get("line")) == 1.0 and registry.check() == []
    finally:
        registry.folder.joinpath("line").chmod(0o755)


def test_what_the_dead_left_is_swept_after_an_hour(registry: Registry) -> None:
    registry.publish(line(), "line")
    old, young = (registry.folder / "line" / f"{folders.PART}{name}" for name in ("old", "young"))
    for part in (old, young):
        part.mkdir()
        (part / "model.safetensors").write_bytes(b"half")
    before = time.time() - 2 * folders.STALE
    for path in (old / "model.safetensors", old):
        os.utime(path, (before, before))
    (problem,) = registry.check()
    assert str(old) in problem and "left by a process that was killed" in problem
    assert registry.publish(line(), "line").number == 2
    assert young.exists() and not old.exists()


def test_a_file_that_another_program_holds_for_a_moment_is_waited_for(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, held = os.rename, [1, 1]

    def busy(*paths: Any) -> None:
        if held:
            held.pop()
            raise PermissionError(errno.EACCES, "held by a virus scanner")
        rename(*paths)

    monkeypatch.setattr(folders, "WAITS", (0.0, 0.0))
    monkeypatch.setattr(os, "rename", busy)
    assert registry.publish(line(), "line").number == 1


ENDLESSLY = """
import sys
from nnkit import nn
from nnkit.registry import Registry
registry = Registry(sys.argv[1])
registry.publish(nn.Linear(3, 1), "line", alias="champion")
print("ready", flush=True)
while True:
    registry.publish(nn.Linear(3, 1), "line", alias="champion")
    print("again", flush=True)
    registry.rollback("line")
"""


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_registry_is_whole_after_kills_at_random_moments(registry: Registry) -> None:
    registry.publish(line(), "line", alias="champion")
    source = random.Random(0)
    for _ in range(40):
        worker = subprocess.Popen(
            [sys.executable, "-c", ENDLESSLY, str(registry.folder)], stdout=subprocess.PIPE, text=True
        )
        assert worker.stdout is not None and worker.stdout.readline() == "ready\n"
        for _ in range(source.randrange(1, 4)):
            assert worker.stdout.readline() == "again\n"
        time.sleep(source.uniform(0.0, 0.05))
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        worker.stdout.close()
        assert registry.check() == []
        assert registry.get("line").load() is not None
    assert len(registry.versions("line")) > 80
