"""From the measured numbers to the Markdown report. Everything in it comes from the JSON file beside it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.contenders import OWN, PEERS
from bench.machine import HELD, VECTORS

Results = Mapping[str, Any]


def duration(seconds: float) -> str:
    """Seconds in the unit that suits, with three digits.

    >>> [duration(s) for s in (3.21e-6, 0.000212, 0.0395, 6.3, 113.0)]
    ['3.21 µs', '212 µs', '39.5 ms', '6.30 s', '113 s']
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{_three(seconds / size)} {unit}"
    return f"{_three(seconds * 1e6)} µs"


def _three(number: float) -> str:
    """Three significant digits, none of them after the point once there are three before it."""
    if not number:
        return "0"
    return f"{number:.{max(2 - math.floor(math.log10(abs(number))), 0)}f}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table.

    >>> table(["a", "b"], [["1", "2"]])
    ['| a | b |', '| --- | --- |', '| 1 | 2 |', '']
    """
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(line)} |" for line in lines] + [""]


def verdict(row: Results, wrong: str = "too slow") -> str:
    """Whether the target was reached, or by what factor it was missed."""
    missing = row["missing"]
    if missing is None:
        return "no peer to compare with"
    return "**reached**" if missing <= 1.0 else f"missed: {missing:.2f}× {wrong}"


def floor_seconds(row: Results, limits: Results) -> float:
    """The least time that the machine's own matrix product and copy allow: one after the other, nothing else."""
    return float(row["flops"] / limits["gemm_flops"] + row["parameter_bytes"] / copy_rate(row, limits))


def copy_rate(row: Results, limits: Results) -> float:
    """Bytes/s of a copy that touches as much as the row's parameters and, in training, their gradients and state."""
    training = row["parameter_bytes"] > 4 * row["parameters"]
    touched = row.get("touched", 16 * row["parameters"] if training else row["parameter_bytes"])
    return float(next((rate for size, rate in limits["copies"] if size >= touched), limits["copies"][-1][1]))


def render(results: Results, reasons: Mapping[str, str]) -> str:
    """The report. ``reasons`` says, by the key of a workload, why its target was missed."""
    lines = [f"# nnkit beside its peers: {page_title(results['machine'])}", ""]
    lines += _warnings(results)
    lines += _workloads(results, reasons)
    lines += _limits(results)
    lines += _memory(results.get("memory"))
    for key, row in results["workloads"].items():
        lines += peaks(f"{key}. {row['title']}", "a process held after the same with eight tokens", row)
    lines += _startup(results.get("startup"))
    if results.get("scaling"):
        lines += ["## Time against size", "", f"![Time against size for each backend]({results['name']}.png)", ""]
    return "\n".join([*lines, *_machine(results)])


def page_title(machine: Results) -> str:
    """The processor, the width of its vectors, and the threads."""
    name, family = machine["processor"]["name"], machine["processor"].get("family")
    width = machine.get("vectors")
    known = [f"{name} ({family})" if family else name, *([width.upper().replace("AVX5", "AVX-5")] if width else [])]
    return f"{', '.join(known)}, {machine['threads']} threads"


def _warnings(results: Results) -> list[str]:
    machine = results["machine"]
    lines = []
    if results["partial"]:
        lines.append("> **Not the whole report**: something was left out, or rounds were few (`--only`, `--quick`).")
    commits = {told["commit"] for told in results.get("measured", {}).values()}
    if len(commits) > 1:
        lines.append("> **Of several commits**: parts were measured one by one; the last table says which is of which.")
    for name, value in machine["environment"].items():
        lines.append(f"> **{name}={value} was set**: OpenBLAS was not free to choose. These numbers do not count.")
    busy = max([row["others"] for row in results["workloads"].values()], default=0.0)
    if busy > 0.05:
        lines.append(
            f"> **The machine was busy**: other processes used up to {busy:.0%} of the processors during a workload. "
            "Where two threads wait for each other, a third process makes them wait for milliseconds."
        )
    lines += [f"> **{name} was not measured**: {why}" for name, why in results["failures"].items()]
    return [*"\n>\n".join(lines).split("\n"), ""] if lines else []


# ---- workloads ----------------------------------------------------------------------------------------------------


def _workloads(results: Results, reasons: Mapping[str, str]) -> list[str]:
    measured = {key: row for key, row in results["workloads"].items() if "bytes" not in row}
    if not measured:
        return []
    seen = {name for row in measured.values() for name in row["seconds"]}
    peers = [name for name in PEERS if name in seen]
    rows = []
    for key, row in measured.items():
        times = [_cell(row, name) for name in (OWN, *peers)]
        rows.append([f"{key}. {row['title']}", *times, *_ratio(row), row["target"], verdict(row)])
    lines = ["## Time", "", _how(measured), *_agreement(measured), ""]
    header = ["workload", OWN, *peers, "fastest peer", "nnkit is faster by", "target: at most", "result"]
    lines += table(header, rows)
    for key, row in measured.items():
        notes = _notes(key, row, results.get("limits"), reasons)
        if notes:
            lines.append(f"- **{key}**: {'; '.join(notes)}.")
    absent = sorted({f"{n} ({why})" for row in measured.values() for n, why in row["absent"].items() if "inst" in why})
    if absent:
        lines += ["", f"Not measured: {', '.join(absent)}."]
    return [*lines, ""]


def _how(measured: Mapping[str, Results]) -> str:
    rounds = max(row["rounds"] for row in measured.values())
    return (
        f"Time per step or call, the median of {rounds} rounds; in brackets the quartiles. In a round each library has "
        "one turn of at least 50 ms, in a process of its own, while the others sleep; ratios are taken round by round. "
        "Each library runs with its own defaults. nnkit's `fit` shuffles a data set (8192 rows) and makes the "
        "batches, and so does scikit-learn; the others' steps see one batch again and again, and in the `fit` rows JAX "
        "does not wait for a step before it starts the next."
    )


def _agreement(measured: Mapping[str, Results]) -> list[str]:
    """What was seen of everybody's losses, before the clock ran."""
    apart = [by for row in measured.values() for name, by in row.get("apart", {}).items() if name in row["seconds"]]
    if not apart:
        return []
    return [
        "",
        "Everybody but scikit-learn starts from the same weights. The losses of the first 5 steps, or the outputs, are "
        f"compared with nnkit's before the clock runs (but with dropout, which draws): they lie {max(apart):.0e} apart "
        "at the most.",
    ]


def _cell(row: Results, name: str) -> str:
    seconds = row["seconds"].get(name)
    if seconds is None:
        why = row["absent"].get(name, "")
        return "failed" if why.startswith("failed") else "–"
    spread = f"{_three(1e6 * seconds['low'])}–{_three(1e6 * seconds['high'])}"
    if seconds["median"] >= 1e-3:
        spread = f"{_three(1e3 * seconds['low'])}–{_three(1e3 * seconds['high'])}"
    return f"{duration(seconds['median'])} ({spread})"


def _ratio(row: Results) -> tuple[str, str]:
    if "peer" not in row:
        return "–", "–"
    faster = row["faster"]
    return row["peer"], f"{faster['median']:.2f}× ({faster['low']:.2f}–{faster['high']:.2f})"


def _notes(key: str, row: Results, limits: Results | None, reasons: Mapping[str, str]) -> list[str]:
    """What a reader should know about a row: figures from elsewhere, failures, and about a miss why."""
    notes = [row["how"]] if row.get("how") else []
    notes += [f"{name} took {duration(seconds)} where the target was set" for name, seconds in row["quoted"].items()]
    notes += [f"{name}: {_cell(row, name)}" for name in row["seconds"] if name not in (OWN, *PEERS)]
    if row["others"] > 0.05:
        notes.append(f"**other processes used {row['others']:.0%} of the processors** meanwhile: not to be trusted")
    notes += [f"{name} {why}" for name, why in row["absent"].items() if why.startswith("failed")]
    notes += [_goal(goal) for goal in row.get("goals", ())]
    missing = row["missing"]
    if missing is not None and missing > 1.0:
        own = row["seconds"][OWN]["median"]
        notes.append(f"missed by a factor of {missing:.2f}: {duration(own)} where {duration(own / missing)} is wanted")
        if limits is not None and row["flops"] and not row["quoted"]:
            least = floor_seconds(row, limits)
            notes.append(
                f"the machine's own matrix products and memory need {duration(least)} of that, "
                f"{least / own:.0%} ({least * missing / own:.0%} of what is wanted)"
            )
        if key in reasons:
            notes.append(reasons[key])
    return notes


def _goal(goal: Results) -> str:
    """One of a row's several targets."""
    if "faster" not in goal:
        return f"{goal['target']}: {verdict(goal)}"
    return f"{goal['target']}: faster by {goal['faster']['median']:.2f}×, {verdict(goal)}"


# ---- limits, memory, start ------------------------------------------------------------------------------------------


def _limits(results: Results) -> list[str]:
    limits = results.get("limits")
    if not limits:
        return []
    gemm, (smallest, *_, largest) = limits["gemm_flops"], limits["copies"]
    lines = ["## How close to the limit", ""]
    lines += [
        f"Measured here, with the same threads: matrix product {gemm / 1e9:.0f} GFLOP/s (float32, 2048³, SciPy's "
        f"BLAS), copy from {smallest[1] / 1e9:.0f} GB/s (in {smallest[0] / 2**10:.0f} KiB) to {largest[1] / 1e9:.1f} "
        f"GB/s (in {largest[0] / 2**20:.0f} MiB), read and written. The least time of a step is that of its matrix "
        "products and its optimizer's memory traffic at these rates, one after the other.",
        "",
    ]
    rows = []
    for key, row in results["workloads"].items():
        own = row["seconds"].get(OWN)
        if own is None or row["quoted"]:
            continue
        rate, least = row["flops"] / own["median"], floor_seconds(row, limits)
        rows.append([
            f"{key}. {row['title']}", f"{_three(rate / 1e9)}", f"{rate / gemm:.0%}",
            duration(least), duration(own["median"]), f"{least / own['median']:.0%}",
        ])  # fmt: skip
    if rows:
        lines += table(["workload", "GFLOP/s", "of the matrix product", "least time", OWN, "least / nnkit"], rows)
    rows = [
        [f"{row['parameters']:,}", f"{row['bytes_per_second'] / 1e9:.1f}", f"{row['copy'] / 1e9:.1f}",
         f"{row['bytes_per_second'] / row['copy']:.0%}"]
        for row in limits["adam"]
    ]  # fmt: skip
    header = ["Adam, parameters", "kernel, GB/s", "copy of as much memory, GB/s", "kernel / copy"]
    return [*lines, *table(header, rows)]


def _memory(memory: Results | None) -> list[str]:
    if not memory:
        return []
    lines = ["## Memory", ""]
    lines += [
        "Peak resident memory of a process while it trains, over what it held after importing the library; in brackets "
        "over what it held after a step of a very small model, which leaves out what the library loads at first use. "
        "The aim: recorded steps take no more than PyTorch's.",
        "",
    ]
    rows = []
    for key, measured in memory.items():
        rows.append([f"model of {key}", *map(_growth, measured.values()), _saved(measured)])
    return [*lines, *table(["", *next(iter(memory.values())), "nnkit recorded / PyTorch"], rows)]


def peaks(title: str, over: str, row: Results) -> list[str]:
    """A workload whose target is of memory, for several numbers of tokens; nothing about one that is timed."""
    if "bytes" not in row:
        return []
    lengths = list(dict.fromkeys(length for found in row["bytes"].values() for length in found))
    sizes = [[name, *(f"{found[n] / 2**20:.1f} MiB" for n in lengths)] for name, found in row["bytes"].items()]
    return [
        f"## {title}", "",
        f"Over what {over}; the inputs and their gradients count. All give the same loss and gradients.", "",
        *table(["tokens", *lengths], sizes),
        *(f"- {goal['target']}: {verdict(goal, 'too much')}" for goal in row["goals"]),
        *(f"- {name} {why}" for name, why in row["absent"].items()), "",
    ]  # fmt: skip


def _saved(measured: Results) -> str:
    own, theirs = measured["nnkit recorded"], measured["PyTorch"]
    if isinstance(own, str) or isinstance(theirs, str):
        return "–"
    share = own["over_import"] / theirs["over_import"]
    return f"{share:.2f}, {'**reached**' if share <= 1.0 else 'missed'}"


def _growth(grown: Any) -> str:
    if isinstance(grown, str):
        return grown
    return f"{grown['over_import'] / 2**20:.0f} MiB ({grown['over_first_use'] / 2**20:.0f})"


def _startup(startup: Results | None) -> list[str]:
    if not startup:
        return []
    missing = startup["warm"] / startup["target"]
    reached = "reached" if missing <= 1.0 else f"missed: {missing:.2f}× too slow"
    lines = [
        "## Start",
        "",
        "In a new process, from `import nnkit` to the end of a first step of `fit`, 784-128-10:",
        "",
    ]
    rows = [
        ["`import nnkit` alone", duration(startup["import"]), ""],
        ["first step, kernels in the cache", duration(startup["warm"]), f"at most {startup['target']} s: {reached}"],
        ["first step, empty cache", duration(startup["cold"]), "kernels are compiled"],
        ["the whole process of the program of workload i", duration(startup["program"]), ""],
    ]
    return [*lines, *table(["", "time", ""], rows)]


def _machine(results: Results) -> list[str]:
    machine, processor = results["machine"], results["machine"]["processor"]
    blas = machine["blas"]
    kernels = blas if isinstance(blas, str) else "; ".join(
        f"{pool['of']}'s {pool['library']} {pool['version']}, {pool['kernels']} kernels, {pool['threads']} threads"
        for pool in blas
    )  # fmt: skip
    cores = f"{processor['cores']} cores, {processor['hardware_threads']} hardware threads"
    rows = [
        ["processor", f"{processor['name']}, {cores}; {' '.join(processor['features'])}"],
        ["system", f"{machine['system']}, Python {machine['python']}"],
        ["versions", ", ".join(f"{name} {version}" for name, version in machine["versions"].items())],
        ["BLAS", kernels],
        ["threads of each library", str(machine["threads"])],
        *([["held to narrower vectors", held]] if (held := _held(machine)) else []),
        *_measured(results),
    ]
    return ["## Machine", "", *table(["", ""], rows), "Made by `python -m bench report`.", ""]


def _held(machine: Results) -> str:
    """How the libraries were held to the vectors that nnkit was held to; "" where they were not."""
    width = machine.get("vectors", "")
    if width not in HELD or "avx512f" not in machine["processor"]["features"]:
        return ""
    settings = ", ".join(f"{name}={value}" for name, value in {VECTORS: width, **HELD[width]}.items())
    return f"{settings}; ONNX Runtime has no such switch"


def _measured(results: Results) -> list[list[str]]:
    """When which sections were measured, of which commit, and how busy the machine was."""
    if "measured" not in results:
        machine = results["machine"]
        when = f"{machine['time']}; load {results['load_before']} before, {results['load_after']} after"
        return [["commit", machine["commit"]], ["measured", when]]
    rows = []
    by_commit: dict[str, dict[str, Results]] = {}
    for name, told in results["measured"].items():
        by_commit.setdefault(told["commit"], {})[name] = told
    for commit, parts in by_commit.items():
        times = sorted(told["time"] for told in parts.values())
        loads = [told["load"][0][0] for told in parts.values() if told["load"][0]]
        busy = f"; load before each of {min(loads)} to {max(loads)}" if loads else ""
        rows.append([f"commit {commit}", f"{', '.join(parts)}: from {times[0]} to {times[-1]}{busy}"])
    return rows
