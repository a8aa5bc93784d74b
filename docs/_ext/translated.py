"""What pages share, and links that GitHub wants otherwise.

The course in Chinese shows what the English chapters' code printed and drew. A link to a chapter's program leads to the
page that the gallery made of it; one to Markdown outside of docs/ is text.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import chapters
from docutils import nodes
from sphinx import addnodes

#: Where the gallery puts the pages of each folder of programs.
GALLERIES = {"learn": "course", "steps": "how/followed", "pictures": "do/drawn"}
PROGRAM = re.compile(r"(?:^|/)(learn|steps|pictures)/(\d\d_\w+)\.py$")


OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+[A-Z]+\.md[^)]*\)")


def weave(app: Any, name: str, source: list[str]) -> None:
    source[0] = OUTSIDE.sub(r"\1", source[0])
    built = Path(app.srcdir) / "course" / f"{Path(name).name}.rst"
    if name.startswith("zh/learn/") and built.exists():
        app.env.note_dependency(str(built))
        source[0] = chapters.woven(source[0], built.read_text(encoding="utf-8"))


def relink(app: Any, doctree: nodes.document) -> None:
    for link in list(doctree.findall(addnodes.download_reference)):
        found = PROGRAM.search(link["reftarget"])
        if found is None or app.env.docname.startswith(tuple(GALLERIES.values())):
            continue
        page = f"/{GALLERIES[found[1]]}/{found[2]}"
        reference = addnodes.pending_xref(
            "", *link.children, refdomain="std", reftype="doc", reftarget=page, refexplicit=True, refwarn=True,
            refdoc=app.env.docname,
        )  # fmt: skip
        link.replace_self(reference)


def setup(app: Any) -> dict[str, Any]:
    app.connect("source-read", weave)
    app.connect("doctree-read", relink, priority=100)  # before the files to download are collected
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
