"""Clients that ask again as soon as they are answered: plain sockets, so that they take little of the machine."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Answers(NamedTuple):
    """Seconds that each request took, how long all took, and how many answers were no 200."""

    seconds: list[float]
    whole: float
    wrong: int

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.seconds) / self.whole

    def percentile(self, share: float) -> float:
        """Milliseconds in which this share of the requests was answered."""
        return float(np.percentile(self.seconds, share)) * 1e3


class _Client:
    def __init__(self, port: int, requests: Sequence[bytes], first: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.requests, self.next, self.began, self.found = requests, first, 0.0, b""

    def ask(self) -> None:
        self.began, self.found = time.perf_counter(), b""
        self.socket.sendall(self.requests[self.next % len(self.requests)])
        self.next += 1

    def is_answered(self) -> bool:
        """Read what has come."""
        self.found += self.socket.recv(1 << 16)
        head, split, body = self.found.partition(b"\r\n\r\n")
        if not split:
            return False
        place = head.lower().index(b"content-length:") + 15
        return len(body) >= int(head[place:].partition(b"\r\n")[0])


def ask(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> Answers:
    """So many connections, each asking one thing after the other, for so long."""
    found: list[float] = []
    wrong = 0
    with selectors.DefaultSelector() as selector:
        clients = [_Client(port, requests, number) for number in range(connections)]
        for client in clients:
            selector.register(client.socket, selectors.EVENT_READ, client)
        start = time.perf_counter()
        for client in clients:
            client.ask()
        waiting = len(clients)
        while waiting:
            for key, _ in selector.select(timeout=30):
                client = key.data
                if client.is_answered():
                    now = time.perf_counter()
                    found.append(now - client.began)
                    wrong += not client.found.startswith(b"HTTP/1.1 200")
                    if now - start < seconds:
                        client.ask()
                    else:
                        waiting -= 1
        whole = time.perf_counter() - start
        for client in clients:
            client.socket.close()
    return Answers(found, whole, wrong)


def request(body: bytes, kind: str) -> bytes:
    """A POST to /predict."""
    head = f"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
