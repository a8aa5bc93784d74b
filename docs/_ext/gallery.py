"""Each chapter begins with the same seed, the same picture settings and no pictures left open."""

from __future__ import annotations

from typing import Any

# Okabe and Ito's colours, told apart by colour-blind readers too.
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000"]


def fresh(conf: dict[str, Any], name: str) -> None:
    """Called by sphinx-gallery before each chapter."""
    import matplotlib
    from cycler import cycler
    from matplotlib import pyplot

    import nnkit
    from nnkit.kernels import compilation

    compilation._say = lambda text: None  # what is compiled now is no part of what a chapter prints
    matplotlib.use("Agg")
    pyplot.close("all")
    matplotlib.rcdefaults()
    matplotlib.rcParams.update(
        {
            "axes.prop_cycle": cycler(color=COLOURS),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "figure.constrained_layout.use": True,
            "figure.dpi": 110,
            "image.cmap": "cividis",
        }
    )
    nnkit.manual_seed(0)
