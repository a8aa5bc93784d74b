"""The documentation does what it says: its blocks of Python run, its links lead somewhere, its translations keep up.

The chapters of the course are run by the build of the pages (``docs/build``), which ``.ci/run`` does.
"""

from __future__ import annotations

import re
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

import nnkit
from nnkit.backends import registry

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS / "_ext"))

import chapters  # noqa: E402
import reference_pages  # noqa: E402

PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]
    if not {"_build", "course", "followed", "made"} & set(path.parts)
)
RUN = [path for path in PAGES if DOCS in path.parents and "learn" not in path.parts and "```python" in path.read_text()]
CHAPTERS = sorted((DOCS / "learn").glob("*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", RUN, ids=name_of)
def test_the_blocks_of_a_page_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for table in ("_registered", "_instances"):  # a backend that a page registers is gone after it
        monkeypatch.setattr(registry, table, dict(getattr(registry, table)))
    names: dict[str, Any] = {"__name__": "page"}
    for number, block in enumerate(chapters.code_of_page(path.read_text(encoding="utf-8"))):
        file = tmp_path / f"block_{number}.py"  # recording reads the source
        file.write_text(block, encoding="utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            exec(compile(block, str(file), "exec"), names)


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_to_files_that_are_there(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", text))
    local = [link.partition("#")[0] for link in links if not re.match(r"[a-z]+:", link) and link[0] != "#"]
    assert [link for link in local if not (path.parent / link).exists()] == []
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    anchors = {"#" + re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    assert {link for link in links if link[0] == "#"} <= anchors


def test_what_a_page_calls_absent_is_absent() -> None:
    page = (DOCS / "from" / "pytorch.md").read_text(encoding="utf-8")
    table = page.partition("## Absent")[2].partition("## What differs")[0]
    names = re.findall(r"`([\w.]+)`", "\n".join(line for line in table.splitlines() if line[:1] == "|"))
    assert len(names) > 20 and [name for name in names if is_there(name)] == []


def is_there(name: str) -> bool:
    value: Any = nnkit
    for part in name.split("."):
        value = getattr(value, part, None)
    return value is not None


def test_the_course_has_ten_chapters_and_each_a_picture() -> None:
    assert [path.name[:2] for path in CHAPTERS] == [f"{number:02}" for number in range(1, 11)]
    assert all("pyplot.subplots" in path.read_text() or "pyplot.figure" in path.read_text() for path in CHAPTERS)


@pytest.mark.parametrize("path", CHAPTERS, ids=name_of)
def test_a_chapter_in_chinese_has_the_code_of_the_english_one(path: Path) -> None:
    page = (DOCS / "zh" / "learn" / f"{path.stem}.md").read_text(encoding="utf-8")
    assert chapters.code_of_page(page) == chapters.code_of_chapter(path.read_text(encoding="utf-8"))


def test_the_start_page_in_chinese_has_the_code_of_the_english_one() -> None:
    english, chinese = ((DOCS / name).read_text(encoding="utf-8") for name in ("start.md", "zh/start.md"))
    assert chapters.code_of_page(chinese) == chapters.code_of_page(english)


def test_prints_and_pictures_are_put_below_the_code_that_made_them() -> None:
    built = (
        ".. GENERATED FROM PYTHON SOURCE LINES 1-2\n\ntext\n\n.. GENERATED FROM PYTHON SOURCE LINES 3-4\n\n"
        ".. code-block:: Python\n\n    print(1)\n\n.. image-sg:: /course/images/a_001.png\n   :alt: x\n\n"
        ".. rst-class:: sphx-glr-script-out\n\n .. code-block:: none\n\n    1\n      2\n\n"
    )
    page = "文字\n\n```python\nprint(1)\n```\n\n文字\n"
    picture = "![本章程序画出的图](/course/images/a_001.png)"
    expected = f"文字\n\n```python\nprint(1)\n```\n\n```text\n1\n  2\n```\n\n{picture}\n\n文字\n"
    assert chapters.woven(page, built) == expected


def test_the_reference_has_every_public_package() -> None:
    listed = {name for names in reference_pages.groups().values() for name in names}
    packages = {path.parent.name for path in (ROOT / "nnkit").glob("*/__init__.py")} - reference_pages.INTERNAL
    assert {f"nnkit.{name}" for name in packages} <= listed


def test_the_reference_describes_each_name_once() -> None:
    homes: dict[int, str] = {}
    text = "\n".join(reference_pages.page(name, homes) for name in ("nnkit", "nnkit.nn", "nnkit.keras.metrics"))
    described = re.findall(r"^\.\. auto(?:class|function|exception):: (\S+)$", text, re.MULTILINE)
    assert len(described) == len(set(described)) and {"nnkit.matmul", "nnkit.nn.Linear"} <= set(described)
    assert "``divide``" in text and ":py:obj:`nnkit.div`" in text
