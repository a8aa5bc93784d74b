"""From what was found to the page beside it. Everything in it comes from the JSON file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bench.contenders import OWN
from bench.gpu.contenders import CONTENDERS, IN_FIT, PEERS
from bench.gpu.outcomes import FAILED, NOT_RUN, PASSED, SKIPPED, all_passed
from bench.render import duration, peaks, table, verdict

Results = Mapping[str, Any]
#: Errors of a section that the page lists; the JSON file has all.
LISTED = 40
LAUNCH_TARGET = 8e-6  # seconds of one launch from Python


def render(results: Results) -> str:
    """The page."""
    facts = results["facts"]
    name = facts["device"]["name"] if "device" in facts else "an unknown GPU"
    lines = [f'# `device="cuda"` on {name}', ""]
    lines += _warnings(results)
    lines += _correctness(results["correctness"])
    lines += _trainings(results["speed"].get("trainings", {}))
    lines += _traffic(results["speed"].get("traffic", {}))
    for row in results["speed"].get("attention", {}).values():
        lines += peaks(row["title"], "a library held after the same with eight tokens, as it counts its memory", row)
    lines += _not_timed(results["not timed"])
    lines += _launches(facts.get("launches"))
    lines += _cublaslt(facts)
    return "\n".join([*lines, *_machine(results)])


def _warnings(results: Results) -> list[str]:
    lines = []
    if results["partial"]:
        lines.append(
            "> **Not the whole report**: something was left out, or made small (`--only`, `--quick`, `--match`)."
        )
    left = sum(section["counts"][NOT_RUN] for section in results["correctness"].values())
    left += sum(map(len, results["not timed"].values()))
    if left:
        lines.append(f"> **Not finished**: {left} were not run. The same command goes on with them.")
    lines += [f"> **{name} is not known**: {one_line(why)}" for name, why in results["failures"].items()]
    return [*"\n>\n".join(lines).split("\n"), ""] if lines else []


def one_line(text: str) -> str:
    """For a cell of a table."""
    return " ".join(str(text).split()).replace("|", "\\|")


# ---- correctness ----------------------------------------------------------------------------------------------------


def _correctness(sections: Mapping[str, Results]) -> list[str]:
    if not sections:
        return []
    right = all(map(all_passed, sections.values()))
    lines = ["## Correctness", "", f"**{'Passed' if right else 'Not passed'}.**", ""]
    rows = []
    for name, section in sections.items():
        counts = [str(section["counts"][what]) for what in (PASSED, FAILED, SKIPPED, NOT_RUN)]
        rows.append([name, *counts, str(section["compiled"]), f"{section['wall']:.0f} s"])
    lines += table(["", PASSED, FAILED, SKIPPED, NOT_RUN, "kernels compiled", "time"], rows)
    for name, section in sections.items():
        lines += _unlucky(name, section["checks"])
    remarks = {
        f"{name}: {check}": found[2]
        for name, section in sections.items()
        for check, found in section["checks"].items()
        if found[0] == PASSED and "in Python" in (found[2] if len(found) > 2 else "")
    }
    if remarks:
        lines += ["Captured, but with calls of Python between graphs:", ""]
        lines += [*(f"- {name}: {one_line(why)}" for name, why in remarks.items()), ""]
    return lines


def _unlucky(name: str, checks: Mapping[str, list[Any]]) -> list[str]:
    """What did not pass: failures one by one, the rest by its reason."""
    lines = []
    failed = {check: found for check, found in checks.items() if found[0] == FAILED}
    if failed:
        lines += [f"### Failed: {name}", ""]
        lines += [f"- `{check}`: {one_line(_detail(found))}" for check, found in list(failed.items())[:LISTED]]
        lines += [f"- … and {len(failed) - LISTED} more"] if len(failed) > LISTED else []
        lines.append("")
    reasons: dict[str, list[str]] = {}
    for check, found in checks.items():
        if found[0] in (SKIPPED, NOT_RUN):
            reasons.setdefault(f"{found[0]}: {_detail(found)}", []).append(check)
    for reason, which in reasons.items():
        lines.append(f"- {name}, {len(which)} {one_line(reason)} ({_some(which)})")
    return [*lines, ""] if reasons else lines


def _detail(found: list[Any]) -> str:
    return found[2] if len(found) > 2 else "no reason was given"


def _some(names: Iterable[str]) -> str:
    first, *rest = names
    return f"`{first}`" + (" and others" if rest else "")


# ---- speed ----------------------------------------------------------------------------------------------------------


def _trainings(rows: Mapping[str, Results]) -> list[str]:
    if not rows:
        return []
    seen = [name for name in CONTENDERS if any(name in row["seconds"] for row in rows.values())]
    peers = [name for name in PEERS if name in seen]
    lines = [
        "## Time of a training step", "",
        "Or of a whole text, where words are generated. Adam and cross-entropy where a row names no others, one batch "
        "again and again; the median of the rounds. In a round each contender has one turn, in a process of "
        "its own; the GPU is waited for at the end of "
        f'each turn. "{IN_FIT}" shuffles a data set and makes its batches; it is not compared. Products are in the '
        "precision that the row names, else in full float32; PyTorch's Adam is its fused one. The targets were set for "
        "an H200.", "",
    ]  # fmt: skip
    cells = []
    for row in rows.values():
        times = [_time(row, name) for name in (OWN, IN_FIT, *peers)]
        faster = f"{row['faster']['median']:.2f}× ({row['faster']['low']:.2f}–{row['faster']['high']:.2f})"\
            if "peer" in row else "–"  # fmt: skip
        cells.append([row["title"], *times, row.get("peer", "–"), faster, row["target"], verdict(row)])
    header = ["", OWN, IN_FIT, *peers, "fastest peer", "nnkit is faster by", "target: at most", "result"]
    lines += table(header, cells)
    lines += [*(f"- {row['title']}: {row['rounds']} rounds, contenders {row['way']}" for row in rows.values()), ""]
    absent = dict.fromkeys(
        f"- {name}, {row['title']}: {one_line(why)}"
        for row in rows.values() for name, why in row["absent"].items() if why != "not timed"
    )  # fmt: skip
    return [*lines, *(["Not timed:", "", *absent, ""] if absent else [])]


def _time(row: Results, name: str) -> str:
    if name in row["seconds"]:
        return duration(row["seconds"][name]["median"])
    return "failed" if row["absent"].get(name, "").startswith("failed") else "–"


def _traffic(rows: Mapping[str, Results]) -> list[str]:
    if not rows:
        return []
    cells = []
    for row in rows.values():
        shrunk = "" if row["count"] == row["wanted"] else f" (**of {row['wanted']:,}** that were wanted)"
        share = row["share"]
        cells.append([
            row["title"], f"{row['count']:,}{shrunk}", f"{row['bytes_per_second']['median'] / 1e9:.0f}",
            f"{row['copy']['median'] / 1e9:.0f}", f"{share['median']:.0%} ({share['low']:.0%}–{share['high']:.0%})",
            "**reached**" if row["missing"] <= 1 else "missed",
        ])  # fmt: skip
    header = ["", "elements", "GB/s", "copy, GB/s", "share of the copy", "at least 85 %"]
    return ["## Bound by memory", "", "Bytes that must be read and written, by the time.", "", *table(header, cells)]


def _not_timed(left: Mapping[str, Mapping[str, str]]) -> list[str]:
    lines = [f"- {section}, {key}: {NOT_RUN}: {why}" for section, keys in left.items() for key, why in keys.items()]
    return [*lines, ""] if lines else []


def _launches(launches: Mapping[str, float] | None) -> list[str]:
    if not launches:
        return []
    rows = [[name, duration(seconds)] for name, seconds in launches.items()]
    reached = launches["primitive"] <= LAUNCH_TARGET
    text = f"A primitive is to take at most {duration(LAUNCH_TARGET)}: {'**reached**' if reached else 'missed'}."
    return ["## One launch from Python", "", text, "", *table(["", "time"], rows)]


# ---- cuBLASLt -------------------------------------------------------------------------------------------------------


def _cublaslt(facts: Results) -> list[str]:
    lines = ["## cuBLASLt", ""]
    offered: Mapping[str, Results] = facts.get("epilogues") or {}
    if offered:
        names = list(next(iter(offered.values())))
        rows = [[kind, *(_offer(row[name]) for name in names)] for kind, row in offered.items()]
        lines += table(["epilogues that it offers", *names], rows)
    for what, said in (facts.get("meaning") or {}).items():
        lines.append(f"- epilogue of {what}: {one_line(said)}")
    costs = facts.get("bias gradient")
    if costs:
        rows = [
            [row["type"], " × ".join(map(str, row["shape"])), *(_cost(row[name]) for name in ("dw", "with BGRADB")),
             _cost(row["column sums"])]
            for row in costs
        ]  # fmt: skip
        lines += [
            "",
            *table(["gradient of the bias", "rows × inputs × outputs", "dw", "dw and BGRADB", "column sums"], rows),
        ]
    return [*lines, ""] if len(lines) > 2 else []


def _offer(found: bool | str) -> str:
    return {True: "yes", False: "no"}[found] if isinstance(found, bool) else one_line(found)


def _cost(seconds: float | None) -> str:
    return "not offered" if seconds is None else duration(seconds)


# ---- the machine ----------------------------------------------------------------------------------------------------


def _machine(results: Results) -> list[str]:
    machine, facts = results["machine"], results["facts"]
    gpu, compiler, processor = facts.get("device") or {}, facts.get("compiler") or {}, machine["processor"]
    used = compiler.get("used")
    if used:
        text = (
            f"{used}, {compiler['format']} for {compiler['architecture']}, {compiler['seconds_a_kernel']} s a kernel"
            f"{'; NumPy is without row_stack' if compiler['numpy_without_row_stack'] else ''}"
        )
    else:
        text = f"none: {one_line(compiler.get('why', 'not known'))}"
    size = f"{gpu.get('memory', 0) / 2**30:.0f} GiB, L2 {gpu.get('l2', 0) / 2**20:.0f} MiB"
    rows = [
        ["GPU", f"{gpu.get('name')}, compute capability {gpu.get('capability')}, {gpu.get('multiprocessors')} "
                f"multiprocessors, {size}"],
        ["driver", f"CUDA {gpu.get('driver')}; runtime {gpu.get('runtime')}; cuBLASLt {gpu.get('cublaslt')}"],
        ["compiler of the kernels", text],
        ["processor", f"{processor['name']}, {processor['cores']} cores"],
        ["system", f"{machine['system']}, Python {machine['python']}"],
        ["versions", ", ".join(f"{name} {version}" for name, version in machine["versions"].items())],
        ["commit", machine["commit"]],
        ["measured", f"{machine['time']}, in {results['seconds']:.0f} s" + _runs(results["runs"])],
    ]  # fmt: skip
    rows += [[f"library {name}", one_line(place)] for name, place in (facts.get("libraries") or {}).items()]
    return ["## Machine", "", *table(["", ""], rows), "Made by `python -m bench gpu`.", ""]


def _runs(count: int) -> str:
    return f" of {count} runs, each of which went on from those before it" if count > 1 else ""
