"""Formulas as MathML, which browsers draw themselves: the pages need no network and no JavaScript for them."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from docutils.utils.math import latex2mathml


def mathml(tex: str, display: bool) -> str:
    """The MathML of a formula in TeX; raises where docutils cannot read it."""
    root = latex2mathml.tex2mathml(tex, as_block=display)
    return str(root)


def inline(translator: Any, node: nodes.Element) -> None:
    translator.body.append(mathml(node.astext(), False))
    raise nodes.SkipNode


def block(translator: Any, node: nodes.Element) -> None:
    translator.body.append(f'<div class="math">{mathml(node.astext(), True)}</div>')
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, Any]:
    app.add_html_math_renderer("mathml", inline_renderers=(inline, None), block_renderers=(block, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
