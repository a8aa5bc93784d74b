"""``python -m nnkit serve`` as a process: clients that are killed, slow or send too much, signals, and new versions."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from servers import Server, answer, head
from waiting import HANG, until

import nnkit
from nnkit import nn
from nnkit.registry import Registry

for needed in ("fastapi", "uvicorn", "prometheus_client"):
    pytest.importorskip(needed, reason="pip install fastapi uvicorn prometheus_client")

MB = 1 << 20
BODY = json.dumps({"rows": [[1.0, 2.0, 3.0]]}).encode()


def scaled(value: float) -> nn.Module:
    model = nn.Linear(3, 1, bias=False)
    model.weight.data.fill_(value)
    return model


def saved(path: Path, value: float) -> Path:
    """A model that answers ``value`` times the sum of a row."""
    scaled(value).save(path)
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    path = saved(tmp_path_factory.mktemp("served") / "sum.safetensors", 1.0)
    with Server(path, "--megabytes", "2", "--seconds", str(HANG)) as started:
        yield started


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that lets slow clients go."""
    path = saved(tmp_path_factory.mktemp("served") / "sum.safetensors", 1.0)
    with Server(path, "--seconds", "1") as started:
        yield started


def well(server: Server) -> bool:
    """Whether it answers as ever."""
    return server.predict({"rows": [[1, 2, 3]]})[1]["outputs"] == [[6.0]]


def answers_again(server: Server) -> bool:
    """The same of one that is hasty: it may let go this client too, where that is stopped while it asks."""
    try:
        return well(server)
    except OSError:
        return False


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


def test_it_listens_on_this_machine_alone_and_says_where(server: Server) -> None:
    assert server.said.startswith("nnkit serves sum, version ") and server.address.startswith("http://127.0.0.1:")
    assert well(server)


def test_a_port_that_is_taken(server: Server, tmp_path: Path) -> None:
    path = saved(tmp_path / "sum.safetensors", 1.0)
    command = [sys.executable, "-m", "nnkit", "serve", str(path), "--port", str(server.port)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert f"port {server.port} of 127.0.0.1 is taken by another program: choose another with --port" in done.stderr


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["missing.safetensors"], "No such file"),
        (["{file}", "--host", "no.such.host.invalid"], "cannot listen on 'no.such.host.invalid'"),
        (["{file}", "--name", "digits"], "is one model and no registry"),
        (["{file}", "--port", "99999"], "port must be a number from 0, for a free one, to 65535, got 99999"),
        (["{file}", "--rows", "0"], "rows must be more than 0, got 0"),
        (["{weights}"], "holds a dict; expected a file of model.save"),
        (["{folder}"], "has no models; publish one first"),
        (["{folder}", "--name", "digits"], "unknown"),
    ],
)  # fmt: skip
def test_what_cannot_be_served(arguments: list[str], words: str, tmp_path: Path) -> None:
    file, weights = saved(tmp_path / "sum.safetensors", 1.0), tmp_path / "weights.safetensors"
    nnkit.save({"weight": nnkit.ones(3)}, weights)
    (tmp_path / "empty").mkdir()
    given = [text.format(file=file, weights=weights, folder=tmp_path / "empty") for text in arguments]
    done = subprocess.run(
        [sys.executable, "-m", "nnkit", "serve", *given], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr


# ---- clients that behave badly --------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [b"POST /predict HT", head(100)[:-4], head(100), head(100) + BODY[:10]])
def test_a_client_that_is_killed(start: bytes, server: Server) -> None:
    connection = server.connect()
    connection.sendall(start)
    time.sleep(0.05)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, as of a killed one
    connection.close()
    assert well(server)


@pytest.mark.parametrize("start", [b"", b"POST /predict HT", head(100), head(100) + BODY[:10]])
def test_a_client_that_is_slow_is_let_go(start: bytes, hasty: Server) -> None:
    with hasty.connect() as connection:
        with contextlib.suppress(OSError):  # it may be let go before it has sent this
            connection.sendall(start)
        assert answer(connection) == b""
    until(lambda: answers_again(hasty))


def test_a_client_that_sends_a_byte_now_and_then_is_let_go(hasty: Server) -> None:
    """Twenty bytes a second keep no connection open."""
    with hasty.connect() as connection, pytest.raises(OSError):
        until(lambda: connection.sendall(b"x"))
    until(lambda: answers_again(hasty))


def test_a_head_without_an_end_is_not_kept(server: Server) -> None:
    before = server.memory()
    with server.connect() as connection, pytest.raises(OSError):
        connection.sendall(b"POST /predict HTTP/1.1\r\nX: ")
        for _ in range(100):
            connection.sendall(b"x" * MB)
    assert server.memory() - before < 8 * MB
    assert well(server)


def test_ten_million_rows_are_refused_before_they_are_read(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(head(10**7 * 20))
        assert answer(connection).startswith(b"HTTP/1.1 413")
    assert well(server)


def test_ten_million_rows_without_a_length_are_refused_on_their_way(server: Server) -> None:
    """The client reads its answer only when it can send no more, or is told to close."""
    before, part = server.memory(), chunk(b"[1.0,2.0,3.0]," * 20_000)
    sent = 0
    with server.connect() as connection:
        connection.sendall(head("chunked") + chunk(b'{"rows":['))
        try:
            for _ in range(500):
                connection.sendall(part)
                sent += len(part)
        except OSError:
            pass
    assert sent < 40 * MB
    assert server.memory() - before < 24 * MB
    assert server.metric('nnkit_requests_total{status="413"}') >= 1
    assert well(server)


def test_the_answer_to_a_body_that_is_too_large_can_be_read(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(head(3 * MB))
        connection.sendall(b"x" * 3 * MB)
        told = answer(connection)
    assert told.startswith(b"HTTP/1.1 413") and b"send the rows in several requests" in told
    assert well(server)


def test_curl_waits_for_leave_to_send_and_is_refused_without_sending(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(head(3 * MB, extra="Expect: 100-continue\r\n"))
        assert answer(connection).startswith(b"HTTP/1.1 413")


def test_requests_one_behind_the_other(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(3 * (head(len(BODY)) + BODY))
        found = b""
        while found.count(b"[[6.0]]") < 3:
            found += connection.recv(1 << 16)
    assert found.count(b"HTTP/1.1 200") == 3


def test_many_requests_and_killed_clients_leave_nothing_behind(server: Server) -> None:
    def some(count: int) -> None:
        for _ in range(count):
            with server.connect() as killed:
                killed.sendall(head(10_000) + b"x" * 5_000)
                killed.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with server.connect() as connection:
                for _ in range(5):
                    connection.sendall(head(len(BODY)) + BODY)
                    assert b"[[6.0]]" in answer(connection)

    some(50)
    before = server.memory()
    some(150)
    assert server.memory() - before < 4 * MB


# ---- its end --------------------------------------------------------------------------------------------------------


def test_sigterm_lets_end_what_has_begun_and_refuses_the_rest(tmp_path: Path) -> None:
    with (
        Server(saved(tmp_path / "sum.safetensors", 1.0), "--seconds", str(HANG), "--grace", str(HANG)) as server,
        server.connect() as begun,
        server.connect() as idle,
    ):
        begun.sendall(head(len(BODY)) + BODY[:10])
        idle.sendall(head(len(BODY)) + BODY)
        assert b"[[6.0]]" in answer(idle)
        ended: list[Any] = []
        thread = threading.Thread(target=lambda: ended.append(server.end()))
        thread.start()
        until(lambda: refuses(server))
        assert idle.recv(10) == b""  # closed, in order
        begun.sendall(BODY[10:])
        assert b"[[6.0]]" in answer(begun)
        thread.join(HANG)
        assert ended == [(0, "")]


def refuses(server: Server) -> bool:
    try:
        server.connect().close()
    except ConnectionRefusedError:
        return True
    return False


def test_sigterm_does_not_wait_for_ever(tmp_path: Path) -> None:
    limits = ("--grace", "1", "--seconds", str(2 * HANG))  # nothing but its grace ends the connection
    with Server(saved(tmp_path / "sum.safetensors", 1.0), *limits) as server, server.connect() as connection:
        connection.sendall(head(100) + b"{")
        assert server.end()[0] == 0


# ---- other versions -------------------------------------------------------------------------------------------------


def test_a_file_is_followed_and_a_bad_one_leaves_the_old_one_serving(tmp_path: Path) -> None:
    path = saved(tmp_path / "sum.safetensors", 1.0)
    with Server(path) as server:
        first = server.get("/health")["version"]
        saved(path, 2.0)
        until(lambda: server.get("/health")["version"] != first)
        _, told = server.predict({"rows": [[1, 2, 3]]})
        assert told == {"outputs": [[12.0]], "version": server.get("/health")["version"]}
        path.write_bytes(b"no model")
        until(lambda: server.get("/health")["status"] == "degraded")
        assert "ModelFileError" in server.get("/health")["failure"]["error"]
        assert server.metric("nnkit_load_failed") == 1 and server.metric('nnkit_loads_total{result="failed"}') >= 1
        assert server.predict({"rows": [[1, 2, 3]]})[1]["outputs"] == [[12.0]]
        saved(path, 3.0)
        until(lambda: server.get("/health")["status"] == "ok")
        assert server.predict({"rows": [[1, 2, 3]]})[1]["outputs"] == [[18.0]]
        assert server.metric("nnkit_load_failed") == 0
        assert server.end() == (0, "")


def registered(folder: Path) -> Registry:
    """Two versions, of which the first is the champion, and a third that cannot be loaded."""
    registry = Registry(folder)
    for value in (1.0, 2.0, 3.0):
        version = registry.publish(scaled(value), "sum", metrics={"mse": value}, notes=f"times {value:.0f}")
    version.path.chmod(0o644)
    version.path.write_bytes(b"no model")
    registry.promote("sum", 1)
    return registry


def answers(server: Server) -> tuple[str, float]:
    told = server.predict({"rows": [[1, 2, 3]]})[1]
    return told["version"], told["outputs"][0][0]


def test_an_alias_is_followed(tmp_path: Path) -> None:
    registry = registered(tmp_path / "registry")
    with Server(tmp_path / "registry", "--name", "sum") as server:
        assert "sum, version 1 at" in server.said and answers(server) == ("1", 6.0)
        registry.promote("sum", 2)
        until(lambda: answers(server) == ("2", 12.0))
        registry.promote("sum", 3)
        until(lambda: server.get("/health")["status"] == "degraded")
        assert "publish it anew" in server.get("/health")["failure"]["error"]
        assert answers(server) == ("2", 12.0) and server.metric("nnkit_load_failed") == 1
        registry.rollback("sum")
        until(lambda: server.get("/health")["status"] == "ok")
        assert answers(server) == ("2", 12.0) and server.metric("nnkit_load_failed") == 0
        registry.rollback("sum")
        until(lambda: answers(server) == ("1", 6.0))
        told = server.get("/models")
        assert [row["number"] for row in told["versions"]] == [3, 2, 1] and told["aliases"] == {"champion": 1}
        assert told["card"]["metrics"] == {"mse": 1.0} and told["versions"][1]["notes"] == "times 2"
        assert server.end() == (0, "")


def test_another_alias_and_the_only_name(tmp_path: Path) -> None:
    registry = registered(tmp_path / "registry")
    registry.promote("sum", 2, "candidate")
    with Server(tmp_path / "registry", "--alias", "candidate") as server:
        assert answers(server) == ("2", 12.0)


def test_every_request_is_answered_by_one_version_while_versions_change(tmp_path: Path) -> None:
    path = saved(tmp_path / "sum.safetensors", 1.0)
    found: list[tuple[int, Any]] = []
    with Server(path) as server:
        stop = threading.Event()

        def ask() -> None:
            while not stop.is_set():
                found.append(server.predict({"rows": [[1, 2, 3], [0, 0, 1]]}))

        clients = [threading.Thread(target=ask) for _ in range(4)]
        for client in clients:
            client.start()
        for value in (2.0, 3.0, 4.0):
            before = server.get("/health")["version"]
            saved(path, value)
            until(lambda before=before: server.get("/health")["version"] != before)
        stop.set()
        for client in clients:
            client.join()
    assert {status for status, _ in found} == {200}
    seen = {(told["version"], *np.ravel(told["outputs"])) for _, told in found}
    assert len(seen) == len({version for version, *_ in seen}) >= 2
    assert {(first, last) for _, first, last in seen} <= {(6.0 * k, 1.0 * k) for k in (1, 2, 3, 4)}
