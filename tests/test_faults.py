"""Every bad input and fault that nnkit must survive, in one table: how it is provoked, what must happen, what stays.

The rows are declared beside their checks, in ``tests/faults``. Those that need many repetitions are marked ``long``.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest
from faults import at_length, on_data, on_files, on_machine, on_runs
from faults.table import Fault, rows

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
MODULES = (at_length, on_data, on_files, on_machine, on_runs)

CHECKED = [pytest.param(row, marks=[pytest.mark.long] * row.long, id=str(row)) for row in rows if row.check]


@pytest.mark.parametrize("row", CHECKED)
def test_a_fault_is_survived(row: Fault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert row.check is not None
    row.check(tmp_path, monkeypatch)


@pytest.mark.parametrize("row", [row for row in rows if row.elsewhere], ids=str)
def test_a_fault_is_provoked_by_the_test_that_is_named(row: Fault) -> None:
    assert row.elsewhere is not None
    file, name = row.elsewhere
    tree = ast.parse((HERE / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", [row for row in rows if row.waits_for], ids=str)
def test_a_fault_of_a_part_that_is_not_built_waits_for_it(row: Fault) -> None:
    """Where this fails the part is there, and the row needs a check."""
    assert row.absent is not None and row.absent()


def test_the_table_is_whole() -> None:
    """46 faults or more and six ways of attack; each is provoked or waits, and says what must happen."""
    numbers = {row.number for row in rows}
    faults = {number for number in numbers if isinstance(number, int)}
    assert faults == set(range(1, max(46, *faults) + 1))
    assert set("ABCDEF") <= numbers
    for row in rows:
        assert (row.check is None) + (row.elsewhere is None) + (not row.waits_for) == 2, row
        assert row.provoked and row.must and (not row.long or row.check), row
    assert max(Counter(map(str, rows)).values()) == 1


def test_every_promise_of_the_readme_is_held_by_a_row() -> None:
    section = README.read_text(encoding="utf-8").partition("\n## Promises\n")[2].partition("\n## ")[0]
    promised = {int(number) for number in re.findall(r"^(\d+)\. ", section, flags=re.MULTILINE)}
    held = {row.promise for row in rows if row.promise is not None and not row.waits_for}
    assert promised == held == set(range(1, len(promised) + 1))
