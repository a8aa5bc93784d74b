"""A chapter's code without its text, and what the code printed and drew when the gallery ran it."""

from __future__ import annotations

import re

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def code_of_chapter(source: str) -> list[str]:
    """The blocks of code of a chapter's .py file, without its text."""
    _, _, body = source.split('"""', 2)
    blocks = []
    for part in re.split(r"^# %%.*\n", body, flags=re.MULTILINE):
        lines = part.splitlines()
        while blocks and lines and lines[0].startswith("#"):  # the text of this part
            lines.pop(0)
        code = "\n".join(lines).strip()
        if code:
            blocks.append(code)
        elif not blocks:
            blocks.append("")
    return [block for block in blocks if block]


def code_of_page(source: str) -> list[str]:
    """The blocks of Python of a page in Markdown."""
    return [block.strip() for block in BLOCK.findall(source)]


def results(built: str) -> list[tuple[list[str], str]]:
    """From the page that sphinx-gallery made of a chapter: each block's pictures, and what it printed."""
    parts = built.split(".. GENERATED FROM PYTHON SOURCE LINES")[1:]
    found = []
    for part in parts:
        if ".. code-block:: Python" not in part:
            continue
        pictures = re.findall(r"image-sg:: /?(\S+)", part)
        printed = re.search(r"sphx-glr-script-out\n\n \.\. code-block:: none\n\n((?:    .*\n|\s*\n)*)", part)
        lines = printed[1].rstrip().splitlines() if printed else []
        found.append((pictures, "\n".join(line[4:] for line in lines)))
    return found


def woven(page: str, built: str) -> str:
    """A page in Markdown, with pictures and prints of the chapter whose code it shows below each block."""
    what_came = iter(results(built))

    def with_results(match: re.Match[str]) -> str:
        pictures, printed = next(what_came)
        lines = [match[0]]
        if printed:
            lines.append(f"```text\n{printed}\n```")
        lines += [f"![本章程序画出的图](/{picture})" for picture in pictures]
        return "\n\n".join(lines)

    return BLOCK.sub(with_results, page)
