"""How Sphinx builds these pages: ``docs/build``, or ``python -m sphinx -W -b html docs docs/_build``."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))
os.environ.setdefault("MPLBACKEND", "Agg")

import nnkit  # noqa: E402

project = "nnkit"
copyright = "the authors of nnkit"
version = release = nnkit.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "docstrings",
    "mathml",
    "reference_pages",
    "translated",
]
root_doc = "index"
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
exclude_patterns = ["_build", "learn", "how/steps", "do/pictures", "README.md"]

# ---- look: nothing is fetched, neither in building nor in reading
html_theme = "furo"
html_title = "nnkit"
html_static_path = ["_static"]
html_css_files = ["nnkit.css"]
html_copy_source = False
html_show_sphinx = False
html_math_renderer = "mathml"
templates_path: list[str] = []

# ---- Markdown
myst_enable_extensions = ["dollarmath", "attrs_inline"]
myst_heading_anchors = 4
myst_update_mathjax = False
myst_all_links_external = False

# ---- docstrings: prose with examples
add_module_names = False
toc_object_entries = False  # else each page carries a list of 1,500 names
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
autosummary_generate = False
# A name in an annotation may be that of several classes, such as nnkit.training's and Keras's Callback.
suppress_warnings = ["ref.python"]
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

# ---- the chapters: run, their prints and pictures kept
sphinx_gallery_conf = {
    "examples_dirs": [str(HERE / "learn"), str(HERE / "how" / "steps"), str(HERE / "do" / "pictures")],
    "gallery_dirs": ["course", "how/followed", "do/drawn"],
    "filename_pattern": r"[/\\]\d\d_",
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": ("matplotlib",),
    "matplotlib_animations": False,
    "reset_modules": ("gallery.fresh",),
    "reset_modules_order": "before",
    "capture_repr": (),
    "abort_on_example_error": True,
    "only_warn_on_example_error": False,
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,  # that page fetches scripts
    "min_reported_time": 3600,
    "remove_config_comments": True,
    "plot_gallery": True,
    "log_level": {"backreference_missing": "info"},
}
