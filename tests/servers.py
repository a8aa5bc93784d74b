"""Servers in processes of their own, for tests: started, asked, and ended."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from waiting import HANG

STARTED = "nnkit serves "


class Server:
    """``python -m nnkit serve`` on a free port, until the block ends."""

    def __init__(self, path: Path | str, *arguments: str) -> None:
        command = [sys.executable, "-m", "nnkit", "serve", str(path), "--port", "0", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline().strip()
        if not self.said.startswith(STARTED):
            raise AssertionError(self.process.communicate(timeout=HANG)[1])
        self.address = self.said.rpartition(" ")[2]
        self.port = int(self.address.rpartition(":")[2])

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.address + path, timeout=HANG) as answer:
            return json.load(answer)

    def metric(self, name: str) -> float:
        """A sample of /metrics by its whole name; 0 where there is none."""
        with urllib.request.urlopen(f"{self.address}/metrics", timeout=HANG) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.rpartition(" ")[0] == name)

    def predict(self, told: Any, kind: str = "application/json") -> tuple[int, Any]:
        """The status and the answer."""
        body = told if isinstance(told, bytes) else json.dumps(told).encode()
        request = urllib.request.Request(f"{self.address}/predict", body, {"Content-Type": kind})
        try:
            with urllib.request.urlopen(request, timeout=HANG) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=HANG)

    def end(self) -> tuple[int, str]:
        """SIGTERM: the exit status, and what it wrote to stderr."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(HANG), self.process.communicate()[1]

    def memory(self) -> int:
        """Bytes that the process holds; Linux alone says so."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


def head(length: int | str, kind: str = "application/json", extra: str = "") -> bytes:
    """The head of a request to /predict; "chunked" instead of a length."""
    size = "Transfer-Encoding: chunked" if length == "chunked" else f"Content-Length: {length}"
    return f"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Type: {kind}\r\n{size}\r\n{extra}\r\n".encode()


def answer(connection: socket.socket) -> bytes:
    """What comes until the other side closes, or has sent a whole answer."""
    found = b""
    while True:
        try:
            part = connection.recv(1 << 16)
        except ConnectionResetError:
            return found
        found += part
        if not part or _is_whole(found):
            return found


def _is_whole(text: bytes) -> bool:
    start, _, body = text.partition(b"\r\n\r\n")
    lengths = [line for line in start.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(lengths) and len(body) >= int(lengths[0].split(b":")[1])
