"""From the lines of a run, and of those that it goes on from, to what the page is made of; that needs no GPU."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.gpu.lines import Found, Line, done, merged, together
from bench.gpu.outcomes import FAILED, NOT_RUN, Outcome, all_passed, summary
from bench.gpu.plan import ALL, CHECKED, FAILED_ONES, TESTED, TIMED

Runs = Sequence[Sequence[Line]]
EVERYTHING = "all of it"  # the name under which a whole section is not run
ENDED_BEFORE = "the run ended before"


def results(lines: Sequence[Line]) -> dict[str, Any]:
    """All that was found by the last run, and by those that it goes on from; there has to be one."""
    runs = together(lines)
    found, last = merged(runs), runs[-1][0]
    planned = {section for run in runs for section in run[0]["planned"]}
    facts = {name: line["value"] for name, line in found.get("facts", {}).items() if "value" in line}
    checked = {name: _section(name, runs, found.get(name, {})) for name in (*CHECKED, *TESTED) if name in planned}
    correctness = {name: section for name, section in checked.items() if section is not None}
    timed = {name: _values(found.get(name, {})) for name in TIMED if name in planned}
    card = facts["device"]["name"] if "device" in facts else "unknown GPU"
    partial = not any(run[0]["whole"] for run in runs)
    return {
        "name": slug(card) + ("-partial" if partial else ""),
        "partial": partial,
        "passed": all(all_passed(section) for section in correctness.values()),
        "machine": last["value"],
        "facts": facts,
        "correctness": correctness,
        "speed": timed,
        "not timed": {name: left for name in timed if (left := _left(name, runs, found.get(name, {})))},
        "failures": _failures(found),
        "seconds": round(sum(run[-1]["at"] - run[0]["at"] for run in runs), 1),
        "runs": len(runs),
    }


def slug(name: str) -> str:
    """A file name for a GPU.

    >>> slug("NVIDIA H200 NVL")
    'nvidia-h200-nvl'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _failures(found: Found) -> dict[str, str]:
    sections = ("facts", "missing", "traffic", "attention")
    return {name: line["error"] for s in sections for name, line in found.get(s, {}).items() if "error" in line}


def _values(lines: Mapping[str, Line]) -> dict[str, Any]:
    return {name: line["value"] for name, line in lines.items() if "value" in line}


# ---- a section ------------------------------------------------------------------------------------------------------


def _of(runs: Runs, section: str, name: str) -> Iterator[Line]:
    return (line for run in runs for line in run if (line["section"], line["name"]) == (section, name))


def units(name: str, runs: Runs) -> list[str] | None:
    """All that a section was to do; None where no run came so far."""
    told = [line["value"] for line in _of(runs, "units", name)]
    return list(dict.fromkeys(unit for value in told for unit in value)) if told else None


def _left(name: str, runs: Runs, lines: Mapping[str, Line]) -> dict[str, str]:
    """What a section has no outcome of, and why."""
    wanted = units(name, runs)
    names = [EVERYTHING] if wanted is None else wanted
    left = [unit for unit in names if unit not in lines or not done(lines[unit])]
    return {unit: lines[unit]["detail"] if unit in lines else ENDED_BEFORE for unit in left}


def _section(name: str, runs: Runs, lines: Mapping[str, Line]) -> dict[str, Any] | None:
    """What became of a section's checks; None where nothing of it was asked for."""
    wanted = units(name, runs)
    if wanted == []:
        return None
    ours, latest = set(wanted or ()), {line["name"] for line in runs[-1] if line["section"] == name}
    outcomes = [
        outcome_of(line)
        for line in lines.values()
        # What stopped a process in an earlier run may be past: the run after it says so where it is not.
        if "outcome" in line and done(line) and (line["name"].partition("::")[0] in ours or line["name"] in latest)
    ]
    outcomes += [Outcome(unit, NOT_RUN, detail=why) for unit, why in _left(name, runs, lines).items()]
    walls = list(_of(runs, "wall", name))
    return summary(outcomes, name not in TESTED) | {
        "wall": round(sum(line["seconds"] for line in walls), 1),
        "compiled": sum(line["compiled"] for line in walls),
    }


def outcome_of(line: Line) -> Outcome:
    """The outcome that a line was made of."""
    return Outcome(line["name"], *(line[field] for field in Outcome._fields[1:]))


# ---- going on from an earlier run -----------------------------------------------------------------------------------


def known(section: str, lines: Sequence[Line], again: str) -> Found:
    """What need not be done: "done", names with an outcome, and "ended", units that are through."""
    told = {} if again == ALL else merged(together(lines)).get(section, {})
    finished = {name: line for name, line in told.items() if done(line) and not (again == FAILED_ONES and failed(line))}
    open_files = {name.partition("::")[0] for name in told.keys() - finished.keys()}
    through = {name: line for name, line in finished.items() if "::" not in name and name not in open_files}
    return {"done": finished, "ended": through}


def failed(line: Line) -> bool:
    """Whether something went wrong with it; of a training, with any of those who ran it."""
    absent = (line.get("value") or {}).get("absent", {}) if isinstance(line.get("value"), dict) else {}
    return line.get("outcome") == FAILED or "error" in line or any(why.startswith("failed") for why in absent.values())
