"""The documentation does what it says: its blocks of Python run, its links lead somewhere, its translations keep up.

The chapters of the course are run by the build of the pages (``docs/build``), which ``.ci/run`` does.
"""

from __future__ import annotations

import ast
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit.backends import registry
from nnkit.keras.datasets import mnist

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
README = ROOT / "README.md"
RUN = [
    path
    for path in PAGES
    if (path == README or DOCS in path.parents) and "learn" not in path.parts and "```python" in path.read_text()
]
CHAPTERS = sorted((DOCS / "learn").glob("*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def few_digits() -> Any:
    """In the place of MNIST, which is fetched: as many classes, few and random pictures."""
    random = np.random.default_rng(0)
    return [(random.integers(0, 256, (rows, 28, 28), np.uint8), np.arange(rows) % 10) for rows in (256, 64)]


def shown_and_printed(block: str, printed: str) -> list[tuple[str, str]]:
    """Of each ``print(…)  # number`` of a block: the number, and what was printed, with as many digits."""
    shown = re.findall(r"^print\(.*\)(?:  # ([\d.]+))?$", block, re.MULTILINE)
    values = printed.splitlines()[-len(shown) :] if shown else []
    pairs = zip(shown, values, strict=True)
    return [(number, f"{float(value):.{len(number.partition('.')[2])}f}") for number, value in pairs if number]


@pytest.mark.parametrize("path", RUN, ids=name_of)
def test_the_blocks_of_a_page_run_and_print_what_it_shows(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mnist, "load_data", few_digits)
    nnkit.manual_seed(0)  # as a new process begins
    for table in ("_registered", "_instances"):  # a backend that a page registers is gone after it
        monkeypatch.setattr(registry, table, dict(getattr(registry, table)))
    names: dict[str, Any] = {"__name__": "page"}
    for number, block in enumerate(chapters.code_of_page(path.read_text(encoding="utf-8"))):
        file = tmp_path / f"block_{number}.py"  # recording reads the source
        file.write_text(block, encoding="utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            exec(compile(block, str(file), "exec"), names)
        printed = capsys.readouterr().out
        if path.name in ("README.md", "start.md"):
            assert all(shown == got for shown, got in shown_and_printed(block, printed)), printed


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_to_files_that_are_there(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", text))
    local = [link.partition("#")[0] for link in links if not re.match(r"[a-z]+:", link) and link[0] != "#"]
    assert [link for link in local if not (path.parent / link).exists()] == []
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    anchors = {"#" + re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    assert {link for link in links if link[0] == "#"} <= anchors


OTHER_PAGES = [path.relative_to(DOCS) for path in PAGES if path.parent.name in ("do", "from", "how")]
LISTS = {  # a list of pages -> what stands in it
    "README.md": [f"({name})" for name in (*OTHER_PAGES, *(path.relative_to(DOCS) for path in CHAPTERS))],
    "index.rst": [f"   {page.with_suffix('')}\n" for page in OTHER_PAGES],
    "zh/learn/index.md": [f"({path.stem}.md)" for path in CHAPTERS],
}


@pytest.mark.parametrize("name", LISTS)
def test_every_page_stands_in_the_lists(name: str) -> None:
    text = (DOCS / name).read_text(encoding="utf-8")
    assert len(LISTS[name]) > 9 and [line for line in LISTS[name] if line not in text] == []


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


def test_the_chapters_are_numbered_and_each_shows_its_pictures() -> None:
    assert [path.name[:2] for path in CHAPTERS] == [f"{number:02}" for number in range(1, len(CHAPTERS) + 1)]
    for text in (path.read_text(encoding="utf-8") for path in CHAPTERS):
        drawn = re.findall(r"pyplot\.(?:subplots|figure)\(.*", text)
        assert drawn and all('layout="constrained"' in call for call in drawn)  # else a window cuts off the labels
        assert text.rindex("pyplot.show()") > text.rindex(drawn[-1])


@pytest.mark.parametrize("path", CHAPTERS, ids=name_of)
def test_a_chapter_in_chinese_has_the_code_of_the_english_one(path: Path) -> None:
    page = (DOCS / "zh" / "learn" / f"{path.stem}.md").read_text(encoding="utf-8")
    assert chapters.code_of_page(page) == chapters.code_of_chapter(path.read_text(encoding="utf-8"))


#: Arguments and methods whose texts stand in a picture.
SHOWN = {"label", "title", "xlabel", "ylabel", "suptitle", "set_title", "set_ylabel", "annotate"}


def words_in_picture(code: str) -> set[str]:
    """The texts that a block of code writes into its picture, but for those that it puts together elsewhere."""
    shown: list[ast.expr] = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call):
            shown += [keyword.value for keyword in node.keywords if keyword.arg in SHOWN]
            shown += node.args[:1] if isinstance(node.func, ast.Attribute) and node.func.attr in SHOWN else []
    texts = [part.value for value in shown for part in ast.walk(value) if isinstance(part, ast.Constant)]
    return {text.strip(" :,") for text in texts if isinstance(text, str) and re.search("[a-z]{2}", text)}


@pytest.mark.parametrize("path", CHAPTERS, ids=name_of)
def test_the_words_in_a_picture_are_said_in_chinese_below_it(path: Path) -> None:
    page = (DOCS / "zh" / "learn" / f"{path.stem}.md").read_text(encoding="utf-8")
    blocks = [(match[1], page[match.end() :].strip()) for match in chapters.BLOCK.finditer(page)]
    drawn = [(code, below.split("\n")[0]) for code, below in blocks if re.search(r"pyplot\.(subplots|figure)", code)]
    assert drawn
    for code, below in drawn:
        assert below.startswith("图中文字：")
        assert not [text for text in words_in_picture(code) if text not in below]


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
