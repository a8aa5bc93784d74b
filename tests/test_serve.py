"""Serving inside one process: what is refused and in which words, what is answered, and how rows become batches."""

from __future__ import annotations

import asyncio
import importlib
import io
import json
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from waiting import HANG

import nnkit
import nnkit.monitor
from nnkit import nn
from nnkit.preprocessing import Table
from nnkit.registry import Registry

httpx = pytest.importorskip("httpx", reason="pip install httpx")
for needed in ("fastapi", "uvicorn", "prometheus_client"):
    pytest.importorskip(needed, reason="pip install fastapi uvicorn prometheus_client")
serve = importlib.import_module("nnkit.serve")
answers, ladder, measures, served, worker = (
    importlib.import_module(f"nnkit.serve.{name}") for name in ("answers", "ladder", "measures", "served", "worker")
)
Application, Limits, source_of = serve.Application, serve.Limits, serve.source_of
Ladder, climb, Measures, Served, Worker = (
    ladder.Ladder, ladder.climb, measures.Measures, served.Served, worker.Worker
)  # fmt: skip
Refused = importlib.import_module("nnkit.serve.refused").Refused
Watch = importlib.import_module("nnkit.serve.watching").Watch

NPY, RAW = "application/x-npy", "application/octet-stream"


def small() -> nn.Module:
    nnkit.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))


def halved() -> nn.Module:
    return small().half()


def coarse() -> nn.Module:
    return small().bfloat16()


def images() -> nn.Module:
    nnkit.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 6 * 6, 4))


def words() -> nn.Module:
    nnkit.manual_seed(0)
    return nn.Sequential(nn.Embedding(10, 4), nn.Flatten(), nn.Linear(12, 2))


FRAME = {"age": [20.0, 40.0, None, 30.0], "city": ["Rome", "Oslo", "Rome", "Oslo"], "left": ["no", "no", "yes", "yes"]}


def tabled() -> nn.Module:
    nnkit.manual_seed(0)
    table = Table().fit(FRAME, "left")
    model: nn.Module = nn.Sequential(nn.Linear(table.width, 4), nn.ReLU(), nn.Linear(4, 1)).reads(table)
    return model


def asked(
    model: nn.Module,
    path: Path,
    ask: Callable[[Any, Application], Coroutine[Any, Any, Any]],
    limits: Limits | None = None,
) -> Any:
    """What ``ask`` finds out by a client of an application that serves ``model``."""
    model.save(path / "model.safetensors")

    async def main() -> Any:
        application = Application(source_of(path / "model.safetensors"), limits=limits)
        application.follower.start(asyncio.get_running_loop())
        try:
            transport = httpx.ASGITransport(application)
            async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
                return await ask(client, application)
        finally:
            application.follower.stop(5.0)

    return asyncio.run(main())


def posted(model: nn.Module, path: Path, *bodies: Any, headers: Any = None, limits: Limits | None = None) -> list[Any]:
    """(status, answer) for each body: JSON unless it is bytes."""

    async def ask(client: Any, application: Application) -> list[Any]:
        found = []
        for body in bodies:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            answer = await client.post("/predict", content=content, headers=headers or {})
            found.append((answer.status_code, answer.json()))
        return found

    return list(asked(model, path, ask, limits))


def npy(array: np.ndarray) -> bytes:
    room = io.BytesIO()
    np.save(room, array)
    return room.getvalue()


# ---- answers --------------------------------------------------------------------------------------------------------

ROWS: list[tuple[Callable[[], nn.Module], Any]] = [
    (small, [[1.0, 2.0, 3.0]]),
    (small, [[1, 2, 3], [4, 5, 6.5]]),
    (small, np.random.default_rng(0).random((70, 3)).tolist()),
    (halved, [[1.0, 2.0, 3.0]]),
    (coarse, [[1.0, 2.0, 3.0]]),
    (images, np.random.default_rng(0).random((2, 1, 8, 8)).tolist()),
    (words, [[1, 2, 9], [0, 0, 0]]),
    (tabled, [{"age": 33.0, "city": "Rome"}, {"age": None, "city": "Bonn"}]),
]


@pytest.mark.parametrize("make, rows", ROWS)
def test_answers_are_those_of_predict(make: Callable[[], nn.Module], rows: Any, tmp_path: Path) -> None:
    """The same body five times: plainly, recorded, and in the sizes that were learned of it."""
    expected = make().predict(rows)
    for status, told in posted(make(), tmp_path, *[{"rows": rows}] * 5):
        assert status == 200
        outputs = np.array(told["outputs"], np.float32)
        np.testing.assert_allclose(outputs, expected.astype(np.float32), rtol=1e-5, atol=1e-6)
        assert len(told["version"]) == 12


def test_a_table_is_asked_by_columns_and_answers_labels(tmp_path: Path) -> None:
    columns = {"city": ["Rome", "Oslo"], "age": [20, 70], "passed over": [1, 2]}
    ((status, told),) = posted(tabled(), tmp_path, {"columns": columns})
    assert status == 200
    outputs = tabled().predict(columns)
    np.testing.assert_allclose(told["outputs"], outputs, rtol=1e-5, atol=1e-6)
    assert told["labels"] == Table.of(tabled()).decode(outputs).tolist()


@pytest.mark.parametrize("kind, code", [(NPY, npy), (RAW, npy), (RAW, np.ndarray.tobytes)])
def test_bodies_of_numbers(kind: str, code: Callable[[Any], bytes], tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((5, 3)).astype(np.float32)
    ((status, told),) = posted(small(), tmp_path, code(x), headers={"content-type": kind})
    assert status == 200
    np.testing.assert_allclose(told["outputs"], small().predict(x), rtol=1e-5, atol=1e-6)


def test_an_answer_as_a_numpy_file(tmp_path: Path) -> None:
    async def ask(client: Any, application: Application) -> Any:
        return await client.post("/predict", json={"rows": [[1, 2, 3]]}, headers={"accept": NPY})

    answer = asked(small(), tmp_path, ask)
    assert answer.headers["content-type"] == NPY
    np.testing.assert_allclose(np.load(io.BytesIO(answer.content)), small().predict([[1.0, 2, 3]]), rtol=1e-5)


def test_outputs_that_are_no_numbers_are_null_and_counted(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(1, 1))
    model[0].weight.data.fill_(3e38)
    model[0].bias.data.fill_(0.0)

    async def ask(client: Any, application: Application) -> Any:
        answer = await client.post("/predict", json={"rows": [[1.0], [1e6], [-1e6]]})
        return answer.json()["outputs"], application.measures.text().decode()

    outputs, metrics = asked(model, tmp_path, ask)
    assert outputs[1:] == [[None], [None]] and outputs[0][0] == pytest.approx(3e38)
    assert "nnkit_nan_outputs_total 2.0" in metrics


# ---- refusals -------------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[Callable[[], nn.Module], Any]] = {
    "nan": (small, [[1.0, float("nan"), 3.0]]),
    "infinity": (small, [[1.0, 2.0, float("-inf")]]),
    "too large for the type": (small, [[1.0, 2.0, 1e300]]),
    "nan in float16": (halved, [[1.0, float("nan"), 3.0]]),
    "too large for float16": (halved, [[1.0, 2.0, 1e6]]),
    "nan in bfloat16": (coarse, [[1.0, float("nan"), 3.0]]),
    "columns": (small, [[1.0, 2.0]]),
    "one row without its brackets": (small, [1.0, 2.0, 3.0]),
    "unequal": (small, [[1.0, 2.0, 3.0], [1.0]]),
    "texts": (small, [["1", "2", "3"]]),
    "nothing": (small, [[None, 1.0, 2.0]]),
    "no rows": (small, []),
    "a number": (small, 3.0),
    "names where numbers belong": (small, {"a": [1.0]}),
    "the shape of an image": (images, [[[1.0, 2.0]]]),
    "a word that is not there": (words, [[1, 2, 99]]),
    "a column that is lacking": (tabled, [{"age": 3.0}]),
    "a text for a number": (tabled, [{"age": "old", "city": "Rome"}]),
    "a whole number without end": (tabled, [{"age": 10**400, "city": "Rome"}]),
}


def words_of(model: nn.Module, rows: Any) -> str:
    """What Python says of them: of values that are not finite as ``fit`` does, which ``predict`` lets pass."""
    with pytest.raises((nnkit.errors.NnkitError, ValueError, TypeError, IndexError)) as caught:
        model.predict(rows)
        model.fit(rows, [[0.0, 0.0]], loss="mse", verbose=0)
    return str(caught.value)


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_right_is_refused_in_the_words_of_python(what: str, tmp_path: Path) -> None:
    make, rows = WRONG[what]
    good = {images: np.zeros((1, 1, 8, 8)).tolist(), words: [[1, 2, 3]], tabled: [FRAME_ROW]}.get(make, [[1.0, 2, 3]])
    bodies = [{"rows": rows}, *[{"rows": good}] * 4, {"rows": rows}]  # before and after the good shape is known
    first, *between, last = posted(make(), tmp_path, *bodies)
    assert first == last == (422, {"error": words_of(make(), rows)})
    assert [status for status, _ in between] == [200] * 4


FRAME_ROW = {"age": 30.0, "city": "Rome"}

BODIES: list[tuple[Any, str, int, str]] = [
    (b"", "", 400, "no JSON"),
    (b'{"rows": [[1, 2', "", 400, "no JSON"),
    (b"\xff\xfe", "", 400, "no JSON"),
    (b"[" * 100_000, "", 400, "no JSON"),
    ([[1, 2, 3]], "", 422, 'expected {"rows"'),
    ({"row": [[1, 2, 3]]}, "", 422, 'expected {"rows"'),
    ({"rows": [[1, 2, 3]], "columns": {}}, "", 422, 'expected {"rows"'),
    (b"<rows/>", "text/xml", 415, "content-type 'text/xml'"),
    (b"\0" * 13, RAW, 422, "float32, 3 numbers a row: 12 bytes each"),
    (b"", RAW, 422, "float32"),
    (npy(np.zeros((2, 3)))[:-8], NPY, 400, "no NumPy file"),
    (npy(np.zeros((2, 3))).replace(b"(2, 3)", b"(9999999999, 3)"), NPY, 400, "no NumPy file"),
    (npy(np.array(1.0)), NPY, 400, "no NumPy file"),
    (npy(np.array(["a"])), NPY, 422, "x has dtype <U1"),
    (b"\x93NUMPY\x01\x00", NPY, 400, "no NumPy file"),
]


@pytest.mark.parametrize("body, kind, status, words", BODIES)
def test_bodies_that_are_none(body: Any, kind: str, status: int, words: str, tmp_path: Path) -> None:
    ((found, told),) = posted(small(), tmp_path, body, headers={"content-type": kind} if kind else None)
    assert found == status and words in told["error"]


def test_larger_requests_than_are_allowed(tmp_path: Path) -> None:
    bodies = [{"rows": rows} for rows in ([[1, 2, 3]] * 4, [[1, 2, 3]] * 5, [[0.123456789] * 3] * 9)]
    found = posted(small(), tmp_path, *bodies, limits=Limits(rows=4, size=200))
    assert [status for status, _ in found] == [200, 413, 413]
    assert found[1][1]["error"] == "5 rows; this server takes 4 in one request"
    assert "more than 200 bytes" in found[2][1]["error"]


def test_bodies_that_would_be_too_many_together(tmp_path: Path) -> None:
    ((status, told),) = posted(small(), tmp_path, {"rows": [[0.123456789] * 3] * 9}, limits=Limits(waiting=100))
    assert status == 503 and "try again" in told["error"]


@pytest.mark.parametrize("field", ["rows", "size", "waiting", "connections", "seconds", "grace"])
def test_limits_are_positive(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} must be more than 0, got 0"):
        Limits(**{field: 0})


def test_only_post(tmp_path: Path) -> None:
    async def ask(client: Any, application: Application) -> Any:
        return await client.get("/predict")

    answer = asked(small(), tmp_path, ask)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_without_orjson_all_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies: list[Any] = [{"rows": [[1.0, 2.0, 3.0]]}, {"rows": [[1.0, float("nan"), 3.0]]}, b"{"]
    with_it = posted(small(), tmp_path, *bodies)
    monkeypatch.setattr(answers, "orjson", None)
    without = posted(small(), tmp_path, *bodies)
    np.testing.assert_allclose(with_it[0][1]["outputs"], without[0][1]["outputs"], rtol=1e-6)
    assert with_it[1] == without[1] and with_it[2][0] == without[2][0] == 400


# ---- the other paths ------------------------------------------------------------------------------------------------


def test_health_models_metrics_and_the_description(tmp_path: Path) -> None:
    async def ask(client: Any, application: Application) -> Any:
        for rows in ([[1, 2, 3]], [[1, 2]], [[4, 5, 6]]):
            await client.post("/predict", json={"rows": rows})
        heads = [await client.head(path) for path in ("/health", "/models", "/metrics", "/")]
        return heads, *[await client.get(path) for path in ("/health", "/models", "/metrics", "/openapi.json", "/")]

    heads, health, models, metrics, described, page = asked(small(), tmp_path, ask)
    told = health.json()
    assert (told["status"], told["failure"], told["requests"], told["latency"]["requests"]) == ("ok", None, 3, 2)
    assert models.json()["input"] == {"numbers": 3} and models.json()["version"] == told["version"]
    lines = metrics.text.splitlines()
    assert 'nnkit_requests_total{status="200"} 2.0' in lines and "nnkit_refused_inputs_total 1.0" in lines
    assert "nnkit_rows_total 2.0" in lines and f'nnkit_version_info{{version="{told["version"]}"}} 1.0' in lines
    assert "nnkit_request_seconds_count 2.0" in lines and "nnkit_batch_rows_count 2.0" in lines
    assert [answer.status_code for answer in heads] == [200] * 4
    assert set(described.json()["paths"]) == {"/health", "/models", "/metrics", "/predict"}
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "http" not in page.text.replace("http-equiv", "")  # nothing from elsewhere


def test_a_registry_that_is_gone_takes_nothing_from_the_page(tmp_path: Path) -> None:
    Registry(tmp_path / "r").publish(small(), "small")
    source = source_of(tmp_path / "r")
    assert [version["number"] for version in source.told()["versions"]] == [1]
    (tmp_path / "r" / "small").rename(tmp_path / "elsewhere")
    assert source.told() == {"versions": [], "aliases": {}}


def test_the_columns_of_a_table_are_told(tmp_path: Path) -> None:
    async def ask(client: Any, application: Application) -> Any:
        return (await client.get("/models")).json()["input"]

    told = asked(tabled(), tmp_path, ask)
    assert [column["name"] for column in told["columns"]] == ["age", "city"]
    assert told["columns"][1]["values"] == ["Oslo", "Rome"] and told["classes"] == ["no", "yes"]


# ---- batches --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "seconds, rows, batches",
    [
        ({1: 1.0}, 3, [(1, 1)] * 3),
        ({1: 1.0, 2: 1.1, 4: 1.2}, 3, [(3, 4)]),
        ({1: 1.0, 2: 1.1, 4: 1.2}, 9, [(4, 4), (4, 4), (1, 1)]),
        ({1: 1.0, 2: 2.5, 4: 9.0}, 4, [(1, 1)] * 4),
        ({1: 1.0, 4: 3.0}, 2, [(1, 1)] * 2),
        ({1: 1.0, 4: 3.0}, 0, []),
    ],
)
def test_how_rows_are_cut(seconds: dict[int, float], rows: int, batches: list[tuple[int, int]]) -> None:
    assert list(Ladder(seconds).cut(rows)) == batches


@pytest.mark.parametrize(
    "seconds, patience", [({1: 0.5}, 0.0), ({1: 0.5, 2: 0.6}, 0.001), ({1: 1e-5, 2: 1.1e-5}, 1e-5)]
)
def test_rows_wait_no_longer_than_one_takes_nor_than_a_millisecond(seconds: dict[int, float], patience: float) -> None:
    assert Ladder(seconds).patience == patience


def test_rows_that_depend_on_one_another_are_not_put_together(device: str) -> None:
    row = np.array([[1.0, 2.0, 3.0]], np.float32)
    assert climb(lambda x: x - x.mean(axis=0), row) is None
    assert climb(lambda x: x * 2, row) is not None


def test_each_row_has_the_outputs_it_has_alone(device: str) -> None:
    model, random = small(), np.random.default_rng(0)
    served = Served(model)
    served.warm()
    parts = [served.prepared(random.random((rows, 3)).tolist()) for rows in (1, 1, 3, 1, 200, 2)]
    for part, found in zip(parts, served.predict(parts), strict=True):
        alone = np.concatenate([model.predict(part[k : k + 1]) for k in range(len(part))])
        np.testing.assert_allclose(found, alone, rtol=1e-5, atol=1e-6)
        assert len(found) == len(part)


def test_many_rows_that_come_seldom_are_cut_as_predict_cuts_them() -> None:
    sizes: list[tuple[int, int]] = []
    served, x = Served(images(), lambda size, rows: sizes.append((size, rows))), np.zeros((600, 1, 8, 8), np.float32)
    (found,) = served.predict([x])
    np.testing.assert_array_equal(found, images().predict(x))
    assert sizes == [(256, 256), (256, 256), (88, 88)]


class Watched(Served):
    """Notes how many requests came together; the first prediction waits for a signal."""

    def __init__(self, model: nn.Module, gate: Any) -> None:
        super().__init__(model)
        self.gate, self.together = gate, []  # type: ignore[var-annotated]

    def predict(self, parts: Any) -> Any:
        self.together.append(len(parts))
        assert self.gate.wait(HANG)
        return super().predict(parts)


def body(rows: Any) -> bytes:
    return json.dumps({"rows": rows}).encode()


def worked(served: Any, ask: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
    async def main() -> Any:
        worker = Worker(served, "1", Measures(), asyncio.get_running_loop())
        worker.start()
        try:
            return await ask(worker)
        finally:
            worker.close()
            assert worker.join(HANG)

    return asyncio.run(main())


def test_what_waits_is_answered_together_and_a_bad_request_spoils_only_its_own() -> None:
    gate = threading.Event()
    served = Watched(words(), gate)

    async def ask(worker: Worker) -> Any:
        rows = [[[1, 2, 3]], [[4, 5, 6]], [[1, 2, 99]], [[7, 8, 9]]]
        tasks = [asyncio.create_task(worker.ask(body([[0, 0, 0]]), "", ""))]
        while not served.together:
            await asyncio.sleep(0.01)
        tasks += [asyncio.create_task(worker.ask(body(row), "", "")) for row in rows]
        await asyncio.sleep(0.05)
        gate.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, one, two, bad, three = worked(served, ask)
    assert served.together[:2] == [1, 4]
    assert isinstance(bad, Refused) and bad.status == 422 and "99" in bad.message
    for answer, row in ((first, [[0, 0, 0]]), (one, [[1, 2, 3]]), (two, [[4, 5, 6]]), (three, [[7, 8, 9]])):
        np.testing.assert_allclose(json.loads(answer)["outputs"], words().predict(row), rtol=1e-5, atol=1e-6)


class Patient(Watched):
    """Would wait for others as long as the test lasts."""

    patience, largest = HANG, 3


def test_a_request_waits_for_as_many_as_came_together_before() -> None:
    gate = threading.Event()
    served, rows = Patient(small(), gate), body([[1.0, 2.0, 3.0]])

    async def ask(worker: Worker) -> None:
        first = asyncio.create_task(worker.ask(rows, "", ""))  # alone: at once
        while not served.together:
            await asyncio.sleep(0.01)
        two = [asyncio.create_task(worker.ask(rows, "", "")) for _ in range(2)]
        await asyncio.sleep(0.05)
        gate.set()
        await asyncio.gather(first, *two)
        waiting = asyncio.create_task(worker.ask(rows, "", ""))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        await asyncio.gather(waiting, worker.ask(rows, "", ""))

    worked(served, ask)
    assert served.together == [1, 2, 2]


def test_a_worker_that_is_closed_answers_what_it_was_asked() -> None:
    async def ask(worker: Worker) -> Any:
        tasks = [asyncio.create_task(worker.ask(body([[1.0, 2.0, float(k)]]), "", "")) for k in range(20)]
        await asyncio.sleep(0)
        worker.close()
        return await asyncio.gather(*tasks)

    found = worked(Served(small()), ask)
    outputs = np.array([json.loads(answer)["outputs"][0] for answer in found])
    np.testing.assert_allclose(
        outputs, small().predict([[1.0, 2.0, float(k)] for k in range(20)]), rtol=1e-5, atol=1e-6
    )


def test_a_fault_of_the_model_is_the_servers() -> None:
    class Broken(Served):
        def predict(self, parts: Any) -> Any:
            raise RuntimeError("no memory")

    async def ask(worker: Worker) -> Any:
        return await asyncio.gather(worker.ask(body([[1.0, 2.0, 3.0]]), "", ""), return_exceptions=True)

    (error,) = worked(Broken(small()), ask)
    assert error.status == 500 and error.message == "the prediction failed: RuntimeError: no memory"


# ---- drift ----------------------------------------------------------------------------------------------------------


def published(folder: Path, reference: Any, model: nn.Module) -> Any:
    """An application that serves the one version of a registry."""
    Registry(folder).publish(model, "sum", reference=reference)
    return Application(source_of(folder))


REFERENCES: dict[str, tuple[Callable[[], nn.Module], Any, Any, Any]] = {
    "an array": (
        small,
        np.random.default_rng(0).standard_normal((2000, 3)),
        lambda r: r.standard_normal((100, 3)).tolist(),
        lambda r: (r.standard_normal((100, 3)) + [0, 3, 0]).tolist(),
    ),
    "a table": (
        tabled,
        {"age": np.random.default_rng(0).normal(30, 5, 2000).tolist(), "city": ["Rome", "Oslo"] * 1000},
        lambda r: [{"age": age, "city": "Rome" if r.random() < 0.5 else "Oslo"} for age in r.normal(30, 5, 100)],
        lambda r: [{"age": age, "city": "Rome" if r.random() < 0.5 else "Oslo"} for age in r.normal(50, 5, 100)],
    ),
}


@pytest.mark.parametrize("kind", REFERENCES)
def test_inputs_that_drift_are_told(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("scipy", reason="pip install scipy")
    make, reference, usual, shifted = REFERENCES[kind]
    random = np.random.default_rng(1)

    async def main() -> Any:
        application = published(tmp_path, nnkit.monitor.reference(reference), make())
        application.follower.start(asyncio.get_running_loop())
        told = []
        async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://here") as client:
            for rows in (usual, shifted):
                for _ in range(10):
                    answer = await client.post("/predict", json={"rows": rows(random)})
                    assert answer.status_code == 200
                    application.follower.current.watch.look()
                told.append((await client.get("/health")).json()["drift"])
            text = (await client.get("/metrics")).text
        application.follower.stop(5.0)
        return told, text

    (before, after), text = asyncio.run(main())
    drifting = {"an array": "x[1]", "a table": "age"}[kind]
    assert before["rows"] == 1000 and before["drifted"] == []
    assert after["drifted"] == [drifting] and after["features"][0]["name"] == drifting
    assert "nnkit_drifted_inputs 1.0" in text and f'nnkit_drift_psi{{input="{drifting}"}}' in text


@pytest.mark.parametrize("reference", ["none", {"kind": "unknown"}])
def test_a_reference_that_is_none_is_said(reference: Any) -> None:
    watch = Watch(reference)
    watch.seen(np.zeros((1, 3)), 1)
    watch.look()
    assert "nnkit.monitor.reference" in watch.told()["error"]


def test_a_reference_of_other_rows_is_said() -> None:
    watch = Watch(nnkit.monitor.reference(np.random.default_rng(0).random((100, 2))))
    watch.seen(np.zeros((1, 3)), 1)
    watch.look()
    assert "rows must have 2 numbers each" in watch.told()["error"]


def test_only_so_many_rows_are_laid_aside() -> None:
    watch = Watch(nnkit.monitor.reference(np.random.default_rng(0).random((100, 2))))
    for _ in range(10_000):
        watch.seen(np.zeros((1, 2)), 1)
    watch.look()
    assert watch.told()["rows"] == 250
