"""Rows with named columns: what a Table learns, what it makes of them, and models that take them from file to file."""

from __future__ import annotations

import copy
import datetime
import json
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import nn
from nnkit.errors import DataError, DtypeError, LabelError, ModelFileError
from nnkit.preprocessing import Table
from nnkit.preprocessing import train_test_split as split

ROWS = 60
random = np.random.default_rng(0)
FRAME: dict[str, Any] = {
    "age": [None if k % 7 == 3 else int(a) for k, a in enumerate(random.integers(20, 80, ROWS))],
    "income": random.normal(3e4, 8e3, ROWS),
    "city": [None if k % 10 == 9 else c for k, c in enumerate(random.choice(["Rome", "Oslo", "Bonn"], ROWS).tolist())],
    "zip": random.choice([10115, 20095, 80331], ROWS),
    "since": np.datetime64("2020-01-01", "us") + random.integers(0, 2000, ROWS).astype("timedelta64[D]"),
    "member": random.random(ROWS) < 0.5,
    "left": random.choice(["no", "yes"], ROWS).tolist(),
}
OPTIONS: dict[str, Any] = {"categories": ["zip"]}


def pandas(frame: dict[str, Any]) -> Any:
    return pytest.importorskip("pandas").DataFrame(frame)


def polars(frame: dict[str, Any]) -> Any:
    return pytest.importorskip("polars").DataFrame(frame)


def categorical(frame: dict[str, Any]) -> Any:
    made = pandas(frame)
    return made.assign(city=made["city"].astype("category"), age=made["age"].astype("Int64"))


def rows(frame: dict[str, Any]) -> list[dict[str, Any]]:
    return [{name: values[k] for name, values in frame.items()} for k in range(len(frame["city"]))]


KINDS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "pandas": pandas, "pandas's own types": categorical, "polars": polars, "rows": rows,
    "arrays": lambda frame: {k: np.asarray(v) for k, v in frame.items()},
}  # fmt: skip


def fitted(**options: Any) -> Table:
    return Table(**OPTIONS | options).fit(FRAME, "left")


def row(number: int = 0, **changes: Any) -> dict[str, Any]:
    return {name: values[number] for name, values in FRAME.items() if name != "left"} | changes


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_table_gives_the_same_numbers(kind: str) -> None:
    made, expected = KINDS[kind](FRAME), fitted()
    table = Table(**OPTIONS).fit(made, "left")
    assert table.state_dict() == expected.state_dict()
    np.testing.assert_array_equal(table.transform(made), expected.transform(FRAME))
    np.testing.assert_array_equal(table.targets(made), expected.targets(FRAME))


def test_numbers_agree_with_scikit_learn() -> None:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    table, age = fitted(), np.array(FRAME["age"], float)[:, None]
    steps = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    np.testing.assert_allclose(table.transform(FRAME)[:, :1], steps.fit_transform(age), rtol=1e-5, atol=1e-6)
    assert table.names[:2] == ["age", "age is missing"]
    np.testing.assert_array_equal(table.transform(FRAME)[:, 1], np.isnan(age[:, 0]))


def test_categories_have_a_column_each_and_gaps_one() -> None:
    table = fitted()
    cities = [name for name in table.names if name.startswith("city")]
    assert cities == ["city=Bonn", "city=Oslo", "city=Rome", "city is missing"]
    first = table.names.index("city=Bonn")

    def of(city: Any) -> list[float]:
        return table.transform(row(city=city))[0, first : first + 4].tolist()

    assert [of("Bonn"), of("Rome"), of(None)] == [[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert of("Paris") == [0, 0, 0, 0]
    assert [name for name in table.names if name.startswith("zip")] == ["zip=10115", "zip=20095", "zip=80331"]


@pytest.mark.parametrize("zip", [10115, 10115.0, "10115", np.int64(10115)])
def test_a_number_that_is_a_name_may_come_in_any_type(zip: Any) -> None:
    table = fitted()
    assert table.transform(row(zip=zip))[0, table.names.index("zip=10115")] == 1


def test_a_row_alone_may_lack_its_date() -> None:
    table = fitted()
    absent = table.transform(row(since=None))[0]
    columns = [number for number, name in enumerate(table.names) if "since" in name and "missing" not in name]
    assert columns and not absent[columns].any()


def test_dates_lie_in_circles() -> None:
    table = fitted()
    names = [name for name in table.names if name.endswith("since")]
    assert names == ["since", *(f"{w} of the {c} of since" for c in ("year", "week") for w in ("sine", "cosine"))]
    same = [table.transform(row(since=day)) for day in (datetime.date(2024, 3, 4), np.datetime64("2024-03-04"))]
    np.testing.assert_array_equal(*same)
    monday, next_monday = (table.transform(row(since=datetime.date(2024, 3, day)))[0] for day in (4, 11))
    week = table.names.index("sine of the week of since")
    np.testing.assert_allclose(monday[week : week + 2], [0, 1], atol=1e-4)
    np.testing.assert_allclose(monday[week : week + 2], next_monday[week : week + 2], atol=1e-4)
    texts = {"day": ["2024-03-04", "2024-03-05T06:00", None], "y": [1.0, 2.0, 3.0]}
    hours = Table(dates=["day"]).fit(texts, "y")
    assert "sine of the day of day" in hours.names and "day is missing" in hours.names
    assert hours.transform(texts)[2].tolist() == [0.0] * (len(hours.names) - 1) + [1.0]


def test_embedded_columns_are_numbers_of_values() -> None:
    frame = {"shop": ["a", "a", "b", "b", "once", None], "x": [1.0, 2, 3, 4, 5, 6], "y": [0.0, 1, 0, 1, 0, 1]}
    table = Table(embed={"shop": 3}).fit(frame, "y")
    assert (table.layout, table.width, table.names) == ((1, [(4, 3)]), 4, ["x", "shop"])
    assert table.transform(frame)[:, 1].tolist() == [2, 2, 3, 3, 0, 1]
    assert table.transform({"shop": "new", "x": 1.0})[0, 1] == 0
    assert Table(embed=["shop"]).fit(frame, "y").layout == (1, [(4, 3)])  # 1.6 · 4**0.56


TARGETS: dict[str, tuple[Any, Any, list[Any] | None]] = {
    "texts": (["b", "a", "b"], [1, 0, 1], ["a", "b"]),
    "truth values": ([True, False, True], [1, 0, 1], [False, True]),
    "an array of them": (np.array([True, False, True]), [1, 0, 1], [False, True]),
    "whole numbers": ([2, 0, 1], [2, 0, 1], None),
    "numbers": ([0.5, 1.5, -1.0], [0.5, 1.5, -1.0], None),
}


@pytest.mark.parametrize("kind", TARGETS)
def test_targets(kind: str) -> None:
    values, expected, classes = TARGETS[kind]
    table = Table().fit({"x": [1.0, 2, 3], "y": values}, "y")
    assert table.targets({"y": values}).tolist() == expected and table.classes == classes


def test_outputs_become_labels_again() -> None:
    two = Table().fit({"x": [1, 2], "y": ["no", "yes"]}, "y")
    assert two.decode([[-0.1], [3.0]]).tolist() == two.decode([-0.1, 3.0]).tolist() == ["no", "yes"]
    assert two.decode([[0.5, 0.1], [0.0, 2.0]]).tolist() == ["no", "yes"]
    three = Table().fit({"x": [1, 2, 3], "y": ["a", "b", "c"]}, "y")
    assert three.decode(np.eye(3)[[2, 0]]).tolist() == ["c", "a"]


# ---- models that read them --------------------------------------------------------------------------------


def reader(embed: bool = True, outputs: int = 1) -> nn.Module:
    nnkit.manual_seed(0)
    table = fitted(**({"embed": {"zip": 2}, "categories": []} if embed else {}))
    front = [nn.TableInput(*table.layout)] if embed else []
    model: nn.Module = nn.Sequential(*front, nn.Linear(table.width, 8), nn.ReLU(), nn.Linear(8, outputs)).reads(table)
    return model


@pytest.mark.parametrize("embed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_takes_tables_wherever_it_takes_arrays(kind: str, embed: bool) -> None:
    model, frame = reader(embed), KINDS[kind](FRAME)
    assert isinstance(frame, (dict, list)) or set(frame.columns) == set(FRAME)
    history = model.fit(
        frame, "left", loss="bce_with_logits", epochs=3, metrics=["accuracy"], verbose=0, seed=0,
        validation_data=(frame, "left"),
    )  # fmt: skip
    assert len(history.history["val_accuracy"]) == 3
    plain = reader(embed)
    table = Table.of(plain)
    y = table.targets(FRAME).astype(np.float32)[:, None]
    plain.fit(table.transform(FRAME), y, loss="bce_with_logits", epochs=3, verbose=0, seed=0)
    np.testing.assert_array_equal(model.predict(frame), plain.predict(table.transform(FRAME)))
    assert model.evaluate(frame, "left") == model.evaluate(frame)


def test_the_order_of_columns_does_not_matter_and_one_row_is_enough() -> None:
    model = reader()
    backwards = dict(reversed(FRAME.items())) | {"further": ["?"] * ROWS}
    expected = model.predict(FRAME)
    np.testing.assert_array_equal(model.predict(backwards), expected)
    for _ in range(3):  # plainly, recorded, replayed
        np.testing.assert_allclose(model.predict(row(4)), expected[4:5], rtol=1e-6)


def test_columns_that_nobody_asked_for_are_not_read() -> None:
    strange = FRAME | {"blob": [object()] * ROWS, "short": [1]}
    table = Table(ignore=["blob", "short"], **OPTIONS).fit(strange, "left")
    assert table.names == fitted().names
    np.testing.assert_array_equal(table.transform(strange), fitted().transform(FRAME))


@pytest.mark.parametrize("loss", ["cross_entropy", nn.MultiMarginLoss()])
def test_losses_of_class_scores_get_labels(loss: Any) -> None:
    table = fitted()
    model = nn.Linear(table.width, 2).reads(table)
    assert len(model.fit(FRAME, loss=loss, epochs=2, verbose=0).history["loss"]) == 2


def test_more_classes_and_weights_by_name() -> None:
    frame = FRAME | {"left": random.choice(["a", "b", "c"], ROWS).tolist(), "importance": np.ones(ROWS)}
    table = Table(ignore=["importance"], **OPTIONS).fit(frame, "left")
    models = [nn.Linear(table.width, 3).reads(table) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    options: dict[str, Any] = {"loss": "cross_entropy", "epochs": 2, "verbose": 0, "seed": 0, "metrics": ["accuracy"]}
    weighted = models[0].fit(frame, "left", sample_weight="importance", **options)
    assert weighted.history["loss"] == models[1].fit(frame, "left", **options).history["loss"]
    assert set(table.decode(models[0].predict(frame))) <= {"a", "b", "c"}


def test_the_table_is_copied_pickled_and_saved_with_the_model(tmp_path: Path) -> None:
    model = reader()
    model.fit(FRAME, loss="bce_with_logits", epochs=1, verbose=0)
    expected = model.predict(row())
    model.save(tmp_path / "model.safetensors")
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), nnkit.load(tmp_path / "model.safetensors")):
        np.testing.assert_array_equal(other.predict(row()), expected)
        assert Table.of(other).state_dict() == Table.of(model).state_dict()
    program = (
        "import json, sys, datetime, nnkit\n"
        "row = json.loads(sys.argv[2]); row['since'] = datetime.date.fromisoformat(row['since'])\n"
        "print(nnkit.load(sys.argv[1]).predict(row).tolist())"
    )
    raw = {k: v if isinstance(v, (str, type(None))) else float(v) for k, v in row().items() if k != "since"}
    raw["since"] = str(row()["since"])[:10]
    command = [sys.executable, "-c", program, str(tmp_path / "model.safetensors"), json.dumps(raw)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    np.testing.assert_allclose(json.loads(printed), expected, rtol=1e-6)


def test_a_table_out_of_a_state_learns_anew_as_it_was_made_to() -> None:
    table = fitted(embed={"city": 2}, ignore=["member"])
    again = Table.from_state_dict(json.loads(json.dumps(table.state_dict())))
    assert again.fit(FRAME, "left").state_dict() == table.state_dict()


DAMAGE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no columns": lambda state: state | {"columns": []},
    "an unknown kind": lambda state: state | {"columns": [{"kind": "lambda", "name": "x"}]},
    "a scale of 0": lambda state: state | {"columns": [state["columns"][0] | {"scale": 0}]},
    "infinity": lambda state: state | {"columns": [state["columns"][0] | {"center": float("inf")}]},
    "a missing entry": lambda state: state | {"columns": [{"kind": "number", "name": "age"}]},
    "labels out of order": lambda state: state | {"labels": ["yes", "no"]},
    "a list": lambda state: [state],
    "options that are none": lambda state: state | {"options": {"categories": "zip"}},
    "names that are numbers": lambda state: state | {"options": state["options"] | {"ignore": [3]}},
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_states_are_refused(kind: str) -> None:
    with pytest.raises((DataError, DtypeError)):
        Table.from_state_dict(DAMAGE[kind](fitted().state_dict()))


def test_a_damaged_table_in_a_file_is_a_damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, path = reader(), tmp_path / "model.safetensors"
    monkeypatch.setattr(Table, "state_dict", lambda self: {"columns": 3, "target": None, "labels": None, "options": {}})
    model.save(path)
    with pytest.raises(ModelFileError, match="table of columns is damaged"):
        nnkit.load(path)


KEYS = {"key": [f"k{i}" for i in range(ROWS)]}
REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: Table(categories="zip"), DataError, r"categories=\['zip'\]"),
    (lambda: Table().fit(FRAME, "lost"), DataError, "no column 'lost'"),
    (lambda: Table(ignore=["gone"]).fit(FRAME, "left"), DataError, "no column 'gone'"),
    (lambda: Table().transform(FRAME), DataError, "call table.fit"),
    (lambda: Table().fit(FRAME).targets(FRAME), DataError, "knows of no target"),
    (lambda: Table().fit(FRAME | KEYS), DataError, "'key' looks like prose or a key: 60 different texts in 60 rows"),
    (lambda: Table(categories=["n"]).fit({"n": np.arange(101)}), DataError, r"embed=\['n'\]"),
    (lambda: Table().fit({"x": [None, None]}), DataError, r"'x' has no value in any row.*ignore=\['x'\]"),
    (lambda: Table().fit({"x": [1e308, -1e308]}), DataError, "'x' has numbers so large"),
    (lambda: Table().fit({"x": [1, 2], "y": [3]}), DataError, "unequal length: {'x': 2, 'y': 1}"),
    (lambda: Table().fit({"x": [1, "a"]}), DtypeError, "'x' mixes int and str"),
    (lambda: Table().fit({"x": np.ones((2, 2))}), DataError, "'x' must have one value a row"),
    (lambda: Table().fit({"x": np.ones(2, complex)}), DtypeError, "'x' is of the type complex128"),
    (lambda: Table().fit([{"x": 1}, {"y": 1}]), DataError, "lacks 'y' in row 0"),
    (lambda: Table().fit({"x": [1, 2], "y": ["a", None]}, "y"), LabelError, "missing in 1 rows, the first is row 1"),
    (lambda: fitted().targets(FRAME | {"left": ["?"] * ROWS}), LabelError, "not seen in fit"),
    (lambda: fitted().transform(row(age="old")), DtypeError, "'age' must hold numbers.*such as 'old'"),
    (lambda: fitted().transform(row(age=float("inf"))), DataError, "'age' has 1 infinite values, the first in row 0"),
    (lambda: fitted().transform(row(since=3)), DtypeError, "'since' must hold dates"),
    (lambda: fitted().transform(row(since="soon")), DataError, "'since' has 'soon' in row 0, which is no date"),
    (lambda: fitted().transform({"age": 3}), DataError, "no column 'income'; the columns are"),
    (lambda: reader().fit(FRAME, "city", loss="mse"), DataError, "learned the target 'left', not 'city'"),
    (lambda: nn.Linear(2, 1).fit(FRAME, "left", loss="mse"), DataError, r"model.reads\(table\)"),
    (lambda: nn.Linear(2, 1).reads(fitted(embed=["zip"], categories=[])), DataError, r"nn.TableInput\("),
    (lambda: nn.Linear(2, 1).reads(Table()), DataError, "call table.fit"),
    (lambda: reader().fit(FRAME, sample_weight="city", loss="mse"), DataError, "'city' holds texts; expected numbers"),
    (lambda: Table().fit({"x": [1, 2, "a"]}), DtypeError, "'x' mixes int and str, such as 'a' in row 2"),
    (lambda: Table().fit({"x": [b"a", b"b"]}), DtypeError, "'x' holds objects of the type bytes"),
    (lambda: Table().fit({"x": [str(n / 3) for n in range(ROWS)]}), DataError, "'x' holds numbers as texts"),
    (lambda: Table(dates=["x"]).fit({"x": ["20261128"]}), DataError, "'x' has '20261128' in row 0, which is no date"),
    (lambda: Table(dates=["x"]).fit({"x": ["today"]}), DataError, "'x' has 'today' in row 0, which is no date"),
    (lambda: Table(categories=["x"], embed=["x"]), DataError, "'x' is in categories and in embed"),
    (lambda: Table(embed={"x": 0}), DataError, "embed={'x': 0}: the length of a vector"),
    (lambda: Table(ignore=["left"]).fit(FRAME, "left"), DataError, "'left', the target, is in ignore"),
    (lambda: Table().fit(pandas(FRAME)[:0], "left"), DataError, "has no rows"),
    (lambda: Table().fit(pandas(FRAME).set_axis(range(len(FRAME)), axis=1)), DataError, "called 0, and names are"),
    (lambda: Table().fit(pandas(FRAME).set_axis(["a"] * len(FRAME), axis=1)), DataError, r"columns called 'a': rename"),
    (lambda: Table().fit(polars(FRAME).lazy()), DataError, r"frame.collect\(\)"),
    (lambda: Table().fit(np.zeros(3)), DataError, "x is a ndarray; tables are"),
    (lambda: split(pandas(FRAME), stratify="left"), DataError, r"the labels themselves, frame\['left'\]"),
    (lambda: nn.TableInput(1, [(3, 2)])(nnkit.ones(2, 3)), ValueError, r"shape \(rows, 2\)"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_refused(number: int) -> None:
    act, error, message = REFUSED[number]
    with pytest.raises(error, match=message):
        act()


def test_frames_stay_frames_when_they_are_divided() -> None:
    for make in (pandas, polars):
        frame = make(FRAME)
        train, test = nnkit.preprocessing.train_test_split(frame, test_size=10, random_state=0)
        assert type(train) is type(test) is type(frame) and (len(train), len(test)) == (50, 10)
        assert list(train.columns) == list(frame.columns)


def test_a_row_of_pandas_is_a_row() -> None:
    frame, model = pandas(FRAME), reader()
    one = frame.iloc[3]
    np.testing.assert_array_equal(model.predict(one), model.predict(frame)[3:4])


def test_numbers_as_texts_are_told() -> None:
    with pytest.warns(UserWarning, match=r"'zip' holds numbers as texts, such as '10'.*categories=\['zip'\]"):
        table = Table().fit({"zip": ["10", "20", "n/a", "10"]})
    assert table.names == ["zip=10", "zip=20", "zip=n/a"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Table(categories=["zip"]).fit({"zip": ["10", "20"]})
        Table().fit({"zip": ["00501", "00544"]})  # names, by their zeros
        assert Table().fit(pandas({"zip": [1, 2]}).astype("category")).names == ["zip=1", "zip=2"]


def test_dates_that_name_a_zone_are_read_at_its_clock() -> None:
    plain = Table(dates=["at"]).fit({"at": ["2026-01-05T10:00", "2026-03-01T22:30"]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for zone in ("Z", "+02:00", "-0530"):
            zoned = plain.transform({"at": [f"2026-01-05T10:00:00{zone}", ""]})
            np.testing.assert_array_equal(zoned, plain.transform({"at": ["2026-01-05 10:00", None]}))


def test_more_classes_than_a_binary_loss_tells_apart() -> None:
    frame = {"x": [1.0, 2.0, 3.0], "y": ["a", "b", "c"]}
    model = nn.Linear(1, 1).reads(Table().fit(frame, "y"))
    with pytest.raises(LabelError, match=r"column 'y', the target, has 3 classes.*end the model with 3 scores"):
        model.fit(frame, "y", loss="bce_with_logits", verbose=0)
