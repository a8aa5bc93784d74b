"""Rounds in turns: every library's server is asked for a while, then the next one's, and again."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bench import machine, words
from bench.serving.clients import Answers, ask, request
from bench.serving.predictors import NET
from nnkit import nn, tensor

#: What the report calls it -> the predictor, and what has to be installed.
SERVERS = {
    "nnkit": ("nnkit", "nnkit"),
    "PyTorch": ("pytorch", "torch"),
    "ONNX Runtime": ("onnx_runtime", "onnxruntime"),
}
OWN = "nnkit"
TARGET = "5,000 requests a second at 32 connections, p99 below 20 ms, and more than the peers"
PIXELS = 0.19  # the share of a digit's pixels that are not 0
JSON, RAW = "application/json", "application/octet-stream"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=0.8, help="of a round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="of each server (default: %(default)s)")
    parser.add_argument("--only", choices=SERVERS, help="one of them")
    parser.add_argument("--output", type=Path, help="a JSON file to write the numbers to")


def run(options: argparse.Namespace) -> int:
    """Measure, and print a table."""
    machine.pin()
    wanted = SERVERS if options.only is None else {options.only: SERVERS[options.only]}
    known = {name: module for name, (module, needed) in wanted.items() if importlib.util.find_spec(needed)}
    before = machine.load()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        path = Path(folder) / "digits.safetensors"
        words.network(nn, tensor, NET).save(path)
        servers = {name: stack.enter_context(served(module, path)) for name, module in known.items()}
        found = measured(servers, options.connections, options.seconds, options.rounds)
    report = {
        "processor": machine.processor(), "commit": machine.commit(), "load": [before, machine.load()],
        "versions": machine.versions(["uvicorn", "httptools", "uvloop", "orjson", "torch", "onnxruntime"]),
        "connections": options.connections, "target": TARGET, "servers": found,
    }  # fmt: skip
    print("\n".join(lines(report)))
    if options.output is not None:
        options.output.write_text(json.dumps(report, indent=1) + "\n")
    return 0


Rounds = list[tuple[Answers, float]]  # and what each request took of the server's processor, in seconds


class Server:
    """A server's process."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process, self.port = process, port

    def processor_seconds(self) -> float:
        """What it has used of the processors; Linux alone says so of another process."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def served(module: str, path: Path) -> Iterator[Server]:
    """A server with this library's predictions, until the block ends."""
    command = [sys.executable, "-m", "bench.serving.predictors", module, str(path)]
    # As many threads as nnkit's server takes; PyTorch's OpenMP has a number for each thread that calls it.
    threads = dict.fromkeys(machine.THREAD_VARIABLES, str(max(1, machine.THREADS // 2)))
    environment = {**machine.worker_environment(), **threads}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=machine.ROOT) as process:
        try:
            assert process.stdout is not None
            yield Server(process, int(process.stdout.readline().rpartition(":")[2]))
        finally:
            process.terminate()


def bodies() -> dict[str, list[bytes]]:
    """Requests of one row each: digits as JSON with all their decimals, and as float32."""
    random = np.random.default_rng(0)
    rows = (random.integers(1, 256, (64, 784)) / np.float32(255)).astype(np.float32)
    rows *= random.random(rows.shape) < PIXELS
    texts = [json.dumps({"rows": [row.tolist()]}, separators=(",", ":")).encode() for row in rows]
    return {JSON: [request(text, JSON) for text in texts], RAW: [request(row.tobytes(), RAW) for row in rows]}


def measured(servers: dict[str, Server], connections: int, seconds: float, rounds: int) -> list[dict[str, Any]]:
    """A row for each server and kind of body: medians of rounds."""
    requests = bodies()
    found: dict[tuple[str, str], Rounds] = {}
    for number in range(rounds + 1):  # the first only warms
        for kind, texts in requests.items():
            for name, server in servers.items():
                before = server.processor_seconds()
                answers = ask(server.port, texts, connections, seconds if number else 0.3)
                if number:
                    used = (server.processor_seconds() - before) / len(answers.seconds)
                    found.setdefault((name, kind), []).append((answers, used))
    return [_row(name, kind, rounds, found.get((OWN, kind), rounds)) for (name, kind), rounds in found.items()]


def _row(name: str, kind: str, rounds: Rounds, own: Rounds) -> dict[str, Any]:
    def median(read: Any) -> float:
        return statistics.median(map(read, rounds))

    pairs = zip(own, rounds, strict=True)
    return {
        "ahead": statistics.median(ours[0].rate / theirs[0].rate for ours, theirs in pairs),
        "name": name, "kind": kind, "rate": median(lambda r: r[0].rate), "rates": [r[0].rate for r in rounds],
        "p50": median(lambda r: r[0].percentile(50)), "p99": median(lambda r: r[0].percentile(99)),
        "processor": 1e6 * median(lambda r: r[1]), "wrong": sum(r[0].wrong for r in rounds),
    }  # fmt: skip


def lines(report: dict[str, Any]) -> Iterator[str]:
    """The report as a table."""
    processor = report["processor"]
    yield f"One row through 784-128-10 a request, {report['connections']} connections, servers and clients on"
    yield f"{machine.THREADS} cores of {processor['name']} {processor['family']}"
    yield f"Load of the machine before and after: {report['load']}; commit {report['commit']}."
    yield f"Target: {report['target']}."
    yield "Medians of rounds; nnkit's rate is divided by the other's of the same round; µs/request are of the server's"
    yield "processor, and less changed by what else the machine does."
    yield ""
    yield "| predictions by | body | requests/s | rounds | nnkit's beside it | p50 ms | p99 ms | µs/request | not 200 |"
    yield "|---|---|---:|---|---:|---:|---:|---:|---:|"
    for row in report["servers"]:
        kind = "JSON" if row["kind"] == JSON else "float32"
        rates = ", ".join(f"{rate:,.0f}" for rate in row["rates"])
        yield (
            f"| {row['name']} | {kind} | {row['rate']:,.0f} | {rates} | {row['ahead']:.2f} | {row['p50']:.2f} "
            f"| {row['p99']:.2f} | {row['processor']:.0f} | {row['wrong']} |"
        )
