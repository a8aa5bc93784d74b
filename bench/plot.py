"""The report's plot: time against size for each backend, on logarithmic axes."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.primitives import BATCH

COLOURS = ("#4269d0", "#ff725c", "#3ca951", "#a463f2", "#efb118")
AXES = {
    "linear + bias + relu": f"size n: ({BATCH}, n) times (n, n)",
    "its gradients": f"size n: ({BATCH}, n), (n, n)",
    "Adam": "size n: n² parameters",
}


def draw(scaling: Mapping[str, Any], title: str, path: Path) -> None:
    """One panel for each kind of work; a colour for each backend; recorded solid, eager dashed."""
    matplotlib = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot = importlib.import_module("matplotlib.pyplot")
    figure, panels = pyplot.subplots(1, len(AXES), figsize=(5 * len(AXES), 4.5), sharey=True, layout="constrained")
    sizes = scaling["sizes"]
    for panel, (name, label) in zip(panels, AXES.items(), strict=True):
        for colour, (backend, measured) in zip(COLOURS, scaling["backends"].items(), strict=False):
            for way, line in (("recorded", "o-"), ("eager", "s--")):
                microseconds = [1e6 * seconds for seconds in measured[name][way]]
                style: dict[str, Any] = {"color": colour, "markersize": 4, "label": f"{backend}, {way}"}
                panel.loglog(sizes, microseconds, line, alpha=1.0 if way == "recorded" else 0.55, **style)
        panel.set_title(name, fontsize=11)
        panel.set_xlabel(label)
        panel.set_xticks(sizes, [str(size) for size in sizes], fontsize=8)
        panel.minorticks_off()
        panel.grid(True, color="#dddddd", linewidth=0.6)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("µs per call")
    panels[0].legend(frameon=False, fontsize=9)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
