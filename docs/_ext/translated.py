"""The course's pages in Chinese show what the English chapters' code, which they share, printed and drew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import chapters


def weave(app: Any, name: str, source: list[str]) -> None:
    built = Path(app.srcdir) / "course" / f"{Path(name).name}.rst"
    if name.startswith("zh/learn/") and built.exists():
        app.env.note_dependency(str(built))
        source[0] = chapters.woven(source[0], built.read_text(encoding="utf-8"))


def setup(app: Any) -> dict[str, Any]:
    app.connect("source-read", weave)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
