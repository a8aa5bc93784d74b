"""What tests ask of a picture: what is drawn in it, and whether it can be read."""

from __future__ import annotations

from typing import Any


def inside_of(*axes: Any) -> bool:
    """Whether all that these axes of one figure have, names and titles too, lies in it: measured after layout."""
    axes[0].figure.canvas.draw()
    whole = axes[0].figure.bbox.padded(1.0)
    boxes = [box for box in (one.get_tightbbox() for one in axes) if box is not None]
    return all(whole.x0 <= b.x0 and whole.y0 <= b.y0 and b.x1 <= whole.x1 and b.y1 <= whole.y1 for b in boxes)


def drawn(axes: Any) -> dict[str, list[float]]:
    """Label -> the y of each line."""
    return {line.get_label(): list(line.get_ydata()) for line in axes.lines}


def apart(texts: Any) -> bool:
    """Whether texts that stand side by side do not touch one another."""
    shown = [text for text in texts if text.get_visible() and text.get_text()]
    boxes = [text.get_window_extent() for text in shown]
    return not any(a.overlaps(b) for n, a in enumerate(boxes) for b in boxes[n + 1 :])
