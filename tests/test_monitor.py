"""Drift: a change is seen within a thousand rows, and what has not changed is left in peace."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("scipy", reason="pip install nnkit-engine[monitor]: no scipy")

import nnkit
from nnkit.errors import DataError, ShapeError
from nnkit.monitor import Drift, kolmogorov_smirnov, population_stability, reference
from nnkit.monitor.references import checked_reference
from nnkit.monitor.statistics import ks_limit, psi_limit

FEATURES = 20


def rows(seed: int, count: int, features: int = FEATURES) -> np.ndarray:
    """Features of several kinds: normal, skew, whole numbers, truth values, mostly zero, some missing."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, features))
    x[:, 1] = np.exp(2 * x[:, 1])
    x[:, 2] = rng.poisson(3.0, count)
    x[:, 3] = rng.random(count) < 0.1
    x[:, 4] = np.where(rng.random(count) < 0.9, 0.0, x[:, 4])
    x[rng.random(count) < 0.05, 5] = np.nan
    x[:, 6] = 7.0
    return x


MADE = reference(rows(0, 5000))

# ---- the two distances ----------------------------------------------------------------------------------------------


def test_the_index_is_its_formula() -> None:
    e, a = np.array([40, 30, 20, 10]), np.array([10, 10, 40, 40])
    p, q = e / e.sum(), a / a.sum()
    assert population_stability(e, a) == pytest.approx(((q - p) * np.log(q / p)).sum(), rel=1e-12)
    assert population_stability([e, e], [e, a]).tolist() == pytest.approx([0, float(population_stability(e, a))])
    half = (0.5 - 0.5 / 3) * np.log(0.5 / (0.5 / 3))  # an empty bin counts as half a row
    assert population_stability([3, 0], [1, 1]) == pytest.approx(0.5 * np.log(2) + half)


@pytest.mark.parametrize("seed", range(5))
def test_the_distance_of_bins_is_just_below_that_of_the_rows(seed: int) -> None:
    from scipy.stats import ks_2samp

    before, now = rows(seed, 4000)[:, :3], 1.1 * rows(seed + 100, 3000)[:, :3] + 0.1
    report = Drift(reference(before), window=3000).update(now).report()
    for place, feature in enumerate(report["features"]):
        exact = ks_2samp(before[:, place], now[:, place]).statistic
        assert exact - 0.02 <= feature["ks"] <= exact + 1e-12


COUNTS: dict[str, tuple[Any, Any, type[Exception]]] = {
    "other bins": ([1, 2], [1, 2, 3], ShapeError),
    "no bins": ([], [], ShapeError),
    "negative": ([1, -2], [1, 2], DataError),
    "NaN": ([1, float("nan")], [1, 2], DataError),
}


@pytest.mark.parametrize("case", COUNTS)
@pytest.mark.parametrize("distance", [population_stability, kolmogorov_smirnov])
def test_what_are_no_counts_is_refused(case: str, distance: Callable[..., Any]) -> None:
    expected, actual, error = COUNTS[case]
    with pytest.raises(error):
        distance(expected, actual)


#: Rows before and now, shares of the bins; the smallest should have from 0.1 to 100 rows.
TAILS: dict[str, tuple[int, int, list[float]]] = {
    "tenths": (5000, 500, [0.1] * 10),
    "few rows": (5000, 100, [0.1] * 10),
    "few rows before": (100, 5000, [0.1] * 10),
    "fifty rows": (1000, 50, [0.2] * 5),
    "rare": (5000, 500, [0.6, 0.3, 0.08, 0.02]),
    "very rare": (5000, 500, [0.9, 0.095, 0.005]),
    "one in five hundred": (2000, 500, [0.998, 0.002]),
    "hardly ever": (1000, 500, [0.9998, 0.0002]),
}


@pytest.mark.parametrize("case", TAILS)
def test_chance_passes_the_limits_no_more_often_than_it_may(case: str) -> None:
    m, n, shares = TAILS[case]
    rng = np.random.default_rng(1)
    before, now = (rng.multinomial(count, shares, 100_000) for count in (m, n))
    for chance in (1e-2, 1e-3, 1e-4):
        most = chance * 100_000 + 3 * np.sqrt(chance * 100_000)
        assert (population_stability(before, now) > psi_limit(before, now, chance)).sum() <= most
        assert (kolmogorov_smirnov(before, now) > ks_limit(m, n, chance)).sum() <= most


# ---- drift ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_seen_in_a_hundred_thousand_rows_that_have_not_changed(seed: int) -> None:
    drift = Drift(MADE)
    for part in range(10):
        drift.update(rows(1000 * (seed + 1) + part, 10_000))
    report = drift.report()
    assert (report["rows"], report["windows"], report["alarms"]) == (100_000, 200, {})


CHANGES: dict[str, Callable[[np.ndarray], Any]] = {
    "x[0] by half a deviation": lambda x: x[:, 0] + 0.5,
    "x[0] twice as wide": lambda x: 2 * x[:, 0],
    "x[1] in other units": lambda x: 1.8 * x[:, 1] + 32,
    "x[2] one more": lambda x: x[:, 2] + 1,
    "x[3] three times as often": lambda x: np.random.default_rng(0).random(len(x)) < 0.3,
    "x[4] never zero": lambda x: np.where(x[:, 4] == 0, 0.1, x[:, 4]),
    "x[5] missing more often": lambda x: np.where(np.random.default_rng(0).random(len(x)) < 0.2, np.nan, x[:, 5]),
    "x[6] another constant": lambda x: 6.0,
    "x[7] all missing": lambda x: np.nan,
    "x[8] infinite": lambda x: np.inf,
}


@pytest.mark.parametrize("already", [0, 250, 20_000])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_one_feature_is_seen_within_a_thousand_rows(change: str, already: int) -> None:
    drift, place = Drift(MADE), int(change[2])
    drift.update(rows(5, already))
    x = rows(6, 1000)
    x[:, place] = CHANGES[change](x)
    for row in range(0, 1000, 100):
        drift.update(x[row : row + 100])
    assert drift.report()["drifted"] == [f"x[{place}]"]


def test_rows_one_by_one_and_all_at_once_are_counted_alike() -> None:
    x = rows(3, 1234)
    whole, single = Drift(MADE).update(x), Drift(MADE)
    for row in x:
        single.update(row[None])
    assert whole.report() == single.report() and whole.report()["windows"] == 2


def test_several_threads_lose_no_row() -> None:
    drift, x = Drift(MADE), rows(3, 500)
    threads = [
        threading.Thread(target=lambda: [drift.update(x[i : i + 7]) for i in range(0, 490, 7)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert drift.report()["rows"] == 4 * 490


def test_before_a_window_is_full_there_is_no_verdict() -> None:
    drift = Drift(MADE)
    report = drift.update(rows(1, 30) + 100).report()
    assert (report["rows"], report["windows"], report["drifted"]) == (30, 0, [])
    assert report["features"][0]["psi"] > 1 and report["features"][0]["psi_limit"] is None
    assert Drift(MADE).report()["features"][0]["ks"] is None
    json.dumps(report, allow_nan=False)


def test_an_alarm_ends_when_the_rows_are_as_before() -> None:
    drift = Drift(MADE).update(rows(1, 500) + 5).update(rows(2, 500))
    report = drift.report()
    assert report["drifted"] == [] and report["alarms"]["x[0]"] == 1


FRAME = {"age": [20.0, 30.0, None, 50.0] * 250, "city": ["Rome", "Oslo", "Rome", None] * 250, "zip": [1, 2, 3, 4] * 250}


def test_columns_of_names_are_counted_by_value() -> None:
    made = reference(FRAME, categories=["zip"])
    assert [feature.get("values") for feature in made["features"]] == [None, ["Oslo", "Rome"], ["1", "2", "3", "4"]]
    assert Drift(made).update(FRAME).report()["drifted"] == []
    row = {"age": 20.0, "city": "Bonn", "zip": 1}  # a value that was not there
    assert Drift(made).update([row] * 500).report()["drifted"] == ["age", "city", "zip"]
    unseen = {**FRAME, "city": ["Rome", "Oslo", "Rome", None] * 230 + ["Bonn"] * 80}
    assert Drift(made).update(unseen).report()["drifted"] == ["city"]
    single = Drift(made)
    for place in range(500):
        single.update({name: values[place] for name, values in FRAME.items()})
    assert single.report()["drifted"] == [] and single.report()["features"][0]["missing"] == 0.25


def test_frames_and_dates(tmp_path: Any) -> None:
    pandas = pytest.importorskip("pandas", reason="pip install pandas")
    days = pandas.DataFrame({"day": pandas.date_range("2026-01-01", periods=1000), "n": np.arange(1000) % 7})
    drift = Drift(reference(days)).update(days.sample(frac=1.0, random_state=0))
    assert drift.report()["drifted"] == []
    later = days.assign(day=days["day"] + pandas.Timedelta(days=400))
    assert Drift(reference(days)).update(later).report()["drifted"] == ["day"]


# ---- the reference --------------------------------------------------------------------------------------------------


def test_a_reference_is_bounded_json() -> None:
    wide = reference(np.random.default_rng(0).normal(size=(300, 40, 50)))
    assert len(wide["features"]) == 1000 and wide["width"] == 2000
    assert len(json.dumps(wide, allow_nan=False)) < 2 << 20
    long = reference(np.random.default_rng(0).normal(size=(30_000, 1)))
    assert long["rows"] == 20_000
    assert Drift(json.loads(json.dumps(wide))).update(np.zeros((1, 40, 50))).report()["rows"] == 1


def test_tensors_and_other_types_are_read() -> None:
    x = rows(0, 100)[:, :3].astype(np.float32)
    assert reference(nnkit.tensor(x)) == reference(x)
    assert reference(np.arange(9, dtype=np.int8)[:, None])["features"][0]["name"] == "x[0]"
    assert reference(x, names=["a", "b", "c"])["features"][2]["name"] == "c"
    only_missing = reference(np.full((9, 1), np.nan))
    assert Drift(only_missing).update(np.full((500, 1), np.nan)).report()["drifted"] == []
    assert Drift(only_missing).update(np.ones((500, 1))).report()["drifted"] == ["x[0]"]


def broken(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    made = copy.deepcopy(MADE)
    change(made)
    return made


BROKEN: dict[str, Any] = {
    "nothing": None,
    "another": {"format": "other"},
    "newer": broken(lambda made: made.update(version=2)),
    "no rows": broken(lambda made: made.update(rows=0)),
    "no features": broken(lambda made: made.update(features=[])),
    "too many": broken(lambda made: made.update(features=made["features"] * 100)),
    "texts as counts": broken(lambda made: made["features"][0].update(counts=["1"] * 21)),
    "counts lacking": broken(lambda made: made["features"][0]["counts"].pop()),
    "other sums": broken(lambda made: made["features"][0]["counts"].__setitem__(0, 10**9)),
    "edges in disorder": broken(lambda made: made["features"][0]["edges"].reverse()),
    "an endless edge": broken(lambda made: made["features"][0]["edges"].__setitem__(0, float("-inf"))),
    "a place outside": broken(lambda made: made["features"][0].update(place=20)),
    "a strange entry": broken(lambda made: made["features"][0].update(more=1)),
    "neither kind": broken(lambda made: made["features"][0].update(edges=None)),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_reference_that_cannot_be_one_is_refused(case: str) -> None:
    with pytest.raises(DataError, match="reference"):
        checked_reference(BROKEN[case])


WRONG: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "no rows": (lambda: reference(np.zeros((0, 3))), DataError, "x has no rows"),
    "no features": (lambda: reference(np.zeros((3, 0))), DataError, "x has no feature"),
    "texts": (lambda: reference(np.array([["a"]])), ShapeError, "x must be rows of numbers or a table"),
    "a number": (lambda: reference(3.0), ShapeError, "x must be rows"),
    "names": (lambda: reference(np.zeros((3, 2)), names=["a"]), DataError, "names has 1 entries, and a row 2"),
    "window": (lambda: Drift(MADE, window=10), DataError, "window must be a whole number of at least 50"),
    "alpha": (lambda: Drift(MADE, alpha=0), DataError, "alpha must be between 0 and 1"),
    "width": (lambda: Drift(MADE).update(np.zeros((1, 3))), ShapeError, "rows must have 20 numbers each"),
    "columns": (lambda: Drift(MADE).update({"a": [1.0]}), DataError, r"there is no column 'x\[0\]'"),
    "array": (lambda: Drift(reference(FRAME)).update(np.zeros((1, 3))), ShapeError, "made of a table"),
    "kind": (
        lambda: Drift(reference(FRAME)).update({**FRAME, "age": ["old"] * 1000}),
        DataError,
        "'age' must hold numb",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_named(case: str) -> None:
    call, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        call()
