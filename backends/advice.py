"""How to install what is missing, as a command that works for how nnkit itself was installed.

On PyPI the name "nnkit" belongs to another library, which imports by the same name; this one's distribution has a name
of its own. From a checkout, or an editable install of one, the command is for that folder.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["DISTRIBUTION", "install"]

DISTRIBUTION = "nnkit-engine"


def install(extra: str) -> str:
    """The command that brings an extra: ``install("cuda13")``.

    >>> install("data").startswith("pip install ")
    True
    """
    folder = _checkout()
    if folder is None:
        return f'pip install "{DISTRIBUTION}[{extra}]"'
    place = "." if folder == Path.cwd() else folder
    return f'pip install -e "{place}[{extra}]"'


def _checkout() -> Path | None:
    """The folder of the sources that run, where this is a checkout or an editable install of one."""
    folder = Path(__file__).resolve().parents[1]
    return folder if (folder / "pyproject.toml").is_file() else None
