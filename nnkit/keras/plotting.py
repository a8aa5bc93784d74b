"""A model as a picture: the text of a DOT file for graphviz, and of a Mermaid diagram. Definitions: ``keras.utils``.

The texts need nothing but Python. A picture file needs graphviz's program ``dot``, which is looked for when it is
asked for.
"""

from __future__ import annotations

import html
import itertools
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any, NamedTuple

from nnkit.keras.summary import kind_of, shape_text

__all__ = ["model_to_dot", "model_to_mermaid", "plot_model"]


class _Box(NamedTuple):
    """A layer or function in a picture: its number in the text, and what is written into it."""

    key: str
    part: Any
    lines: tuple[str, ...]


class _Picture:
    """The boxes of a model and the arrows between them; of models in it too, where they are expanded."""

    def __init__(self, model: Any, show: dict[str, bool], prefix: str = "n") -> None:
        if not model.built:
            raise ValueError(
                f"model {model.name!r} is not built yet: build it, or call it on a batch of data, before it is plotted"
            )
        self.model, self.show, self.prefix = model, show, prefix
        self.boxes: list[_Box] = []
        self.inner: dict[str, _Picture] = {}
        self.arrows: list[tuple[str, str]] = []
        graph = getattr(model, "_graph", None)
        parts = model.layers if graph is None else graph.operations
        shapes = dict(zip(map(id, parts), model._layer_output_shapes(), strict=True))
        self._keys: dict[int, str] = {}
        for number, part in enumerate(parts):
            key = self._keys[id(part)] = f"{prefix}{number}"
            if show["expand_nested"] and hasattr(part, "_layer_output_shapes") and part.built:
                self.inner[key] = _Picture(part, show, f"{key}_")
            else:
                self.boxes.append(_Box(key, part, tuple(self._lines(part, shapes[id(part)]))))
        self._connect(graph, parts)

    def _connect(self, graph: Any, parts: Any) -> None:
        if graph is None:
            pairs = list(itertools.pairwise(parts)) if hasattr(self.model, "_output_shapes") else []
        else:
            pairs = [
                (tensor.node.operation, node.operation)
                for node in graph.nodes
                for tensor in node.inputs
                if tensor.node is not None
            ]
        for one, other in dict.fromkeys((self._keys[id(one)], self._keys[id(other)]) for one, other in pairs):
            self.arrows.append((self._last(one), self._first(other)))

    def _first(self, key: str) -> str:
        return self.inner[key].first if key in self.inner else key

    def _last(self, key: str) -> str:
        return self.inner[key].last if key in self.inner else key

    @property
    def first(self) -> str:
        """The box that an arrow to the model points to."""
        return self._first(next(iter(self._keys.values())))

    @property
    def last(self) -> str:
        """The box that an arrow from the model begins at."""
        return self._last(list(self._keys.values())[-1])

    def _lines(self, part: Any, shape: Any) -> Iterator[str]:
        show = self.show
        yield f"{part.name} ({kind_of(part)})" if show["show_layer_names"] else kind_of(part)
        activation = getattr(part, "activation", None)
        if show["show_layer_activations"] and activation is not None:
            yield f"Activation: {getattr(activation, '__name__', type(activation).__name__)}"
        if show["show_shapes"]:
            nodes = getattr(part, "_inbound_nodes", ())
            given = [tensor.shape for tensor in nodes[0].inputs] if nodes else []
            if given:
                yield f"Input shape: {shape_text(given[0] if len(given) == 1 else given)}"
            yield f"Output shape: {shape_text(shape)}"
        if show["show_dtype"]:
            nodes = getattr(part, "_inbound_nodes", ())
            yield f"Output dtype: {', '.join(tensor.dtype for tensor in nodes[0].made) if nodes else '?'}"
        if show["show_trainable"] and getattr(part, "weights", None):
            yield "Trainable" if part.trainable else "Non-trainable"


# ---- texts ----------------------------------------------------------------------------------------------------


def model_to_dot(
    model: Any, show_shapes: bool = False, show_dtype: bool = False, show_layer_names: bool = False,
    rankdir: str = "TB", expand_nested: bool = False, dpi: int = 200, subgraph: bool = False,
    show_layer_activations: bool = False, show_trainable: bool = False, splines: str = "ortho",
) -> str:  # fmt: skip
    """The text of a DOT file that draws the model; Keras returns a ``pydot.Dot``, of which this is ``to_string()``.

    Args:
        model: a model that is built.
        show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable: what boxes tell.
        rankdir: "TB" from top to bottom, "LR" from left to right.
        expand_nested: whether models in the model are drawn with their layers.
        dpi, splines: dots per inch, and how arrows are drawn.
        subgraph: accepted; the text is that of a whole graph.

    Raises ValueError for a model that is not built. Source: ``keras.utils.model_to_dot``.

    >>> from nnkit import keras
    >>> "Dense" in str(model_to_dot(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])))
    True
    """
    picture = _Picture(model, _shown(locals()))
    lines = [f'digraph "{_dot_text(model.name)}" {{', f"rankdir={_word(rankdir)}; dpi={int(dpi)};"]
    lines += [f"splines={_word(splines)}; concentrate=true;", 'node [shape=box, fontname="Helvetica"];']
    return "\n".join([*lines, *_dot_lines(picture), "}"]) + "\n"


def _dot_lines(picture: _Picture) -> Iterator[str]:
    for box in picture.boxes:
        yield f'{box.key} [label="' + "\\n".join(map(_dot_text, box.lines)) + '"];'
    for key, inner in picture.inner.items():
        yield f'subgraph cluster_{key} {{ label="{_dot_text(inner.model.name)}"; style=dashed;'
        yield from _dot_lines(inner)
        yield "}"
    for one, other in picture.arrows:
        yield f"{one} -> {other};"


def model_to_mermaid(
    model: Any, show_shapes: bool = False, show_dtype: bool = False, show_layer_names: bool = True,
    rankdir: str = "TB", expand_nested: bool = False, show_layer_activations: bool = False,
    show_trainable: bool = False,
) -> str:  # fmt: skip
    """The text of a Mermaid flowchart of the model, for Markdown pages; the arguments are those of ``plot_model``.

    Raises ValueError for a model that is not built. Source: nnkit's own; Mermaid's flowcharts.

    >>> from nnkit.keras import Input, Model, layers
    >>> x = Input(shape=(4,), name="x")
    >>> print(model_to_mermaid(Model(x, layers.Dense(2, name="y")(x))), end="")
    flowchart TB
        n0["x (InputLayer)"]
        n1["y (Dense)"]
        n0 --> n1
    """
    picture = _Picture(model, _shown(locals()))
    return "\n".join([f"flowchart {_word(rankdir)}", *_mermaid_lines(picture, "    ")]) + "\n"


def _mermaid_lines(picture: _Picture, indent: str) -> Iterator[str]:
    for box in picture.boxes:
        yield f'{indent}{box.key}["' + "<br/>".join(map(_mermaid_text, box.lines)) + '"]'
    for key, inner in picture.inner.items():
        yield f'{indent}subgraph {key}["{_mermaid_text(inner.model.name)}"]'
        yield from _mermaid_lines(inner, indent + "    ")
        yield f"{indent}end"
    for one, other in picture.arrows:
        yield f"{indent}{one} --> {other}"


# ---- files ----------------------------------------------------------------------------------------------------


def plot_model(
    model: Any, to_file: str | os.PathLike[str] = "model.png", show_shapes: bool = False, show_dtype: bool = False,
    show_layer_names: bool = False, rankdir: str = "TB", expand_nested: bool = False, dpi: int = 200,
    show_layer_activations: bool = False, show_trainable: bool = False, splines: str = "ortho",
) -> None:  # fmt: skip
    """Draw the model into a file: a picture, or its text where the file ends in ".dot" or ".mmd" (Mermaid).

    Args:
        model: a model that is built.
        to_file: the file; its ending says what is written: png, svg, pdf, ... by graphviz, dot and mmd by nnkit.
        show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable: what boxes tell.
        rankdir, expand_nested, dpi, splines: see ``model_to_dot``.

    Raises:
        ImportError: a picture is asked for, and graphviz's program ``dot`` is not installed.

    Source: ``keras.utils.plot_model``.

    >>> import os, tempfile
    >>> from nnkit import keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> path = os.path.join(tempfile.mkdtemp(), "model.mmd")
    >>> plot_model(model, path); os.path.exists(path)
    True
    """
    options = _shown(locals())
    ending = os.path.splitext(os.fspath(to_file))[1].lstrip(".").lower()
    if ending in ("mmd", "mermaid"):
        _write(to_file, model_to_mermaid(model, rankdir=rankdir, **options))
        return
    text = model_to_dot(model, rankdir=rankdir, dpi=dpi, splines=splines, **options)
    if ending == "dot":
        _write(to_file, text)
        return
    program = shutil.which("dot")
    if program is None:
        raise ImportError(
            "plot_model draws pictures by graphviz's program dot, which is not installed: install graphviz (apt "
            "install graphviz, brew install graphviz), or write a text: to_file='model.dot', or 'model.mmd' for Mermaid"
        )
    if not re.fullmatch(r"[a-z]{2,5}", ending or "png"):
        raise ValueError(f"plot_model: cannot write a file that ends in .{ending}; take png, svg or pdf")
    command = [program, f"-T{ending or 'png'}", "-o", os.fspath(to_file)]
    subprocess.run(command, input=text.encode(), check=True, timeout=120)


def _write(path: str | os.PathLike[str], text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def _shown(arguments: dict[str, Any]) -> dict[str, bool]:
    names = (
        "show_shapes", "show_dtype", "show_layer_names", "show_layer_activations", "show_trainable", "expand_nested",
    )  # fmt: skip
    return {name: bool(arguments[name]) for name in names}


def _dot_text(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _mermaid_text(text: str) -> str:
    return html.escape(text, quote=False).replace('"', "#quot;")


def _word(value: Any) -> str:
    """An option of graphviz's as a word; raises ValueError for anything else."""
    if not re.fullmatch(r"[A-Za-z]+", str(value)):
        raise ValueError(f"plot_model: expected a word such as 'TB' or 'ortho', got {value!r}")
    return str(value)
