"""Functional models as Keras's files have them: layers with their calls, whose tensors are named by who made them.

``["dense", 0, 1]`` is the second result of the first call of "dense". Calls are listed with the layer that they are
of, and made when all that they need is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nnkit.errors import ModelFileError
from nnkit.keras.graph import Graph
from nnkit.keras.input_layer import InputLayer
from nnkit.keras.models import Model, Sequential
from nnkit.keras.symbolic import KerasTensor, Operation, leaves

__all__ = ["described_graph", "sides_of"]

MOST_CALLS = 100_000


class _NotYet(Exception):
    """A call needs a tensor that is not made yet."""


# ---- reading --------------------------------------------------------------------------------------------------


def sides_of(reader: Any, config: Mapping[str, Any]) -> tuple[Any, Any]:
    """The inputs and outputs, symbolic, of a description; raises ModelFileError where it is damaged."""
    try:
        return _Made(reader, config).sides()
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ModelFileError(f"{reader.what}: the description of a functional model is damaged: {error!r}") from error


class _Made:
    """The layers and functions of a description, and the tensors that their calls made."""

    def __init__(self, reader: Any, config: Mapping[str, Any]) -> None:
        self.reader, self.config = reader, config
        self.parts: dict[str, tuple[Any, dict[str, Any]]] = {}
        self.made: dict[str, list[list[KerasTensor]]] = {}
        self._calls: list[tuple[str, list[Any]]] = []
        for node in config["layers"]:
            name = node.get("name") or node["config"]["name"]
            if not isinstance(name, str) or name in self.parts:
                raise ModelFileError(f"{reader.what}: a functional model has two parts called {str(name)[:100]!r}")
            part, settings = reader.part(node)
            self.parts[name] = part, settings
            self.made[name] = [[part.output]] if isinstance(part, InputLayer) else []
            self._calls.append((name, list(node.get("inbound_nodes") or ())))

    def sides(self) -> tuple[Any, Any]:
        """Make all calls, and find the inputs and outputs."""
        waiting = [(name, calls) for name, calls in self._calls if calls]
        if sum(len(calls) for _, calls in waiting) > MOST_CALLS:
            raise ModelFileError(f"{self.reader.what}: a functional model has more than {MOST_CALLS:,} calls")
        while waiting:
            before = sum(len(calls) for _, calls in waiting)
            waiting = [(name, rest) for name, calls in waiting if (rest := self._run(name, calls))]
            if waiting and sum(len(calls) for _, calls in waiting) == before:
                names = ", ".join(name for name, _ in waiting[:5])[:200]
                raise ModelFileError(
                    f"{self.reader.what}: a functional model goes in a circle, or lacks parts, at {names}"
                )
        return self._structure(self.config["input_layers"]), self._structure(self.config["output_layers"])

    def _run(self, name: str, calls: list[Any]) -> list[Any]:
        """Make the calls that can be made; return the rest."""
        for number, call in enumerate(calls):
            try:
                args, kwargs = self._arguments(call)
            except _NotYet:
                return calls[number:]
            part, settings = self.parts[name]
            found = self._call(part, settings, args, kwargs)
            self.made[name].append([leaf for leaf in leaves(found) if isinstance(leaf, KerasTensor)])
        return []

    def _call(self, part: Any, settings: dict[str, Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
        if not isinstance(part, Operation):
            # Keras notes whether a call was one in training, and heeds what fit and predict say in its place.
            told = {name: value for name, value in kwargs.items() if name != "training" and value is not None}
            return part(*args, **told)
        if part.called == "ops.get_item" and isinstance(args[1], list):
            args = [args[0], tuple(args[1])]
        if "subscripts" in settings:
            return part.symbolically(settings["subscripts"], *args, **kwargs)
        return part.symbolically(*args, **settings, **kwargs)

    def _arguments(self, call: Any) -> tuple[list[Any], dict[str, Any]]:
        if isinstance(call, Mapping):
            args, kwargs = self._filled(call.get("args") or []), self._filled(call.get("kwargs") or {})
            return list(args), dict(kwargs)
        tensors: list[KerasTensor] = []
        options: dict[str, Any] = {}
        for entry in call:  # an older form: [[name, call, result, arguments], …]
            name, number, result = entry[:3]
            is_model = isinstance(self.parts.get(name, (None,))[0], Model)  # which then had a call of its own, too
            tensors.append(self._tensor(name, max(number - 1, 0) if is_model else number, result))
            options |= self._filled(entry[3]) if len(entry) > 3 else {}
        return [tensors[0] if len(tensors) == 1 else tensors], options

    def _filled(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self._filled(part) for part in node]
        if not isinstance(node, Mapping):
            return node
        if node.get("class_name") == "__keras_tensor__":
            return self._tensor(*node["config"]["keras_history"])
        if "class_name" in node:
            return self.reader.value(node)
        return {name: self._filled(part) for name, part in node.items()}

    def _tensor(self, name: Any, call: Any, result: Any) -> KerasTensor:
        if name not in self.made:
            raise ModelFileError(
                f"{self.reader.what}: a functional model uses the part {str(name)[:100]!r}, which it lacks"
            )
        calls = self.made[name]
        if not isinstance(call, int) or not isinstance(result, int) or call < 0 or result < 0:
            raise ModelFileError(f"{self.reader.what}: a tensor of {name[:100]!r} has no number: {call!r}, {result!r}")
        if call >= len(calls):
            raise _NotYet
        return calls[call][result]

    def _structure(self, node: Any) -> Any:
        """The inputs or outputs, in the structure of the file."""
        if isinstance(node, Mapping):
            return {name: self._structure(part) for name, part in node.items()}
        if isinstance(node, list) and len(node) == 3 and isinstance(node[0], str):
            name, call, result = node
            part, _ = self.parts.get(name, (None, None))
            shift = isinstance(part, Model) and not isinstance(part, Sequential) and part.is_functional
            try:
                return self._tensor(name, max(call - 1, 0) if shift else call, result)
            except _NotYet:
                raise ModelFileError(f"{self.reader.what}: {name[:100]!r} is not called {call + 1} times") from None
        return [self._structure(part) for part in node]


# ---- writing --------------------------------------------------------------------------------------------------


def described_graph(graph: Graph, describe: Callable[[Any], dict[str, Any]], value: Callable[[Any], Any],
                    operation: Callable[..., Any]) -> dict[str, Any]:  # fmt: skip
    """The layers with their calls, and the inputs and outputs. ``describe``, ``value`` and ``operation`` describe a
    layer, an argument, and a call of a function."""
    numbers: dict[int, tuple[str, int]] = {}  # node -> the operation, and which of its calls in this model it is
    counts: dict[int, int] = {}
    for tensor in graph.flat_inputs:
        assert tensor.node is not None
        numbers[id(tensor.node)] = tensor.name, 0
    for node in sorted(graph.nodes, key=lambda node: node.number):
        count = counts.get(id(node.operation), 0)
        numbers[id(node)], counts[id(node.operation)] = (node.operation.name, count), count + 1

    def history(tensor: KerasTensor, shift: bool = False) -> list[Any]:
        assert tensor.node is not None
        name, call = numbers[id(tensor.node)]
        own = tensor.node.operation
        moved = shift and isinstance(own, Model) and not isinstance(own, Sequential) and own.is_functional
        return [name, call + 1 if moved else call, tensor.index]

    def argument(part: Any) -> Any:
        if isinstance(part, KerasTensor):
            told = {"shape": list(part.shape), "dtype": part.dtype, "keras_history": history(part)}
            return {"class_name": "__keras_tensor__", "config": told}
        if isinstance(part, (list, tuple)):
            return [argument(one) for one in part]
        return {name: argument(one) for name, one in part.items()} if isinstance(part, dict) else value(part)

    described = []
    for one in graph.operations:
        nodes = sorted(graph.uses(one), key=lambda node: node.number)
        if isinstance(one, Operation):
            entry, args, kwargs = operation(one, nodes[0].args, nodes[0].kwargs)
            entry["config"] = {name: value(part) for name, part in entry["config"].items()}
            calls = [{"args": argument(args), "kwargs": argument(kwargs)}]
        else:
            entry = describe(one)
            calls = [{"args": argument(node.args), "kwargs": argument(node.kwargs)} for node in nodes]
        entry |= {"name": one.name, "inbound_nodes": calls}
        described.append(entry)

    def side(structure: Any) -> Any:
        if isinstance(structure, KerasTensor):
            return history(structure, shift=True)
        if isinstance(structure, dict):
            return {name: side(part) for name, part in structure.items()}
        return [side(part) for part in structure]

    return {"layers": described, "input_layers": side(graph.inputs), "output_layers": side(graph.outputs)}
