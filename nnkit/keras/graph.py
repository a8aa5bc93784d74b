"""What lies between the inputs and the outputs of a model: its layers and functions, in the order in which they run.

The symbolic tensors know the nodes that make them. :class:`Graph` follows them from the outputs back to the inputs,
and keeps a flat list of steps, in whose arguments numbers stand for values; running it is one pass over that list.
The order of ``operations``, and with it of a model's layers and weights, is Keras's: by the longest way to an output,
and where that is equal in the order in which they were met.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from nnkit.keras.symbolic import KerasTensor, Node, leaves
from nnkit.recording.structures import rebuilt

__all__ = ["Graph", "Slot", "Step"]


@dataclass(frozen=True)
class Slot:
    """Stands in the arguments of a step for value ``number``."""

    number: int


@dataclass
class Step:
    """One call: of ``operation``, with arguments in which slots stand, for the values ``made``.

    Of the values that it reads, those in ``frees`` are read by no later step.
    """

    operation: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    made: tuple[int, ...]
    result: Any
    frees: tuple[int, ...] = ()
    options: tuple[str, ...] = ()

    def run(self, values: list[Any], options: dict[str, Any]) -> None:
        """Fill in the values that it makes."""
        fill: Callable[[Any], Any] = lambda leaf: values[leaf.number] if type(leaf) is Slot else leaf  # noqa: E731
        kwargs = rebuilt(self.kwargs, fill) if self.kwargs else {}
        told = {name: options[name] for name in self.options if name not in kwargs and name in options}
        found = self.operation(*rebuilt(self.args, fill), **told, **kwargs)
        parts = [found] if len(self.made) == 1 and not isinstance(found, (tuple, list, dict)) else leaves_of(found)
        for number, part in zip(self.made, parts, strict=True):
            values[number] = part
        for number in self.frees:
            values[number] = None


def leaves_of(found: Any) -> list[Any]:
    """What a call returned, flat, without what is no tensor."""
    return [part for part in leaves(found) if hasattr(part, "shape")]


class _Spec(NamedTuple):
    shape: Any
    dtype: str
    name: str


class Graph:
    """The steps from ``inputs`` to ``outputs``, both symbolic tensors in lists, tuples and dicts.

    An input may be a tensor that a layer made: the model then begins behind that layer, and ``stand_in`` makes the
    tensor of an ``Input`` to stand for it.

    Raises ValueError where an output needs an input that was not given, or two operations have one name.
    """

    def __init__(self, inputs: Any, outputs: Any, stand_in: Callable[[KerasTensor], KerasTensor]) -> None:
        self.outputs = outputs
        given = [_symbolic("inputs", leaf) for leaf in leaves(inputs)]
        self.flat_outputs = [_symbolic("outputs", leaf) for leaf in leaves(outputs)]
        for name, found in (("inputs", given), ("outputs", self.flat_outputs)):
            if not found:
                raise ValueError(f"Model: {name} is empty; expected symbolic tensors")
        heads = {id(tensor): tensor if tensor.node and tensor.node.is_input else stand_in(tensor) for tensor in given}
        if len(heads) < len(given):
            raise ValueError(f"Model: an input is listed twice in inputs={inputs}")
        self.inputs, self.flat_inputs = rebuilt(inputs, lambda leaf: heads[id(leaf)]), list(heads.values())
        tracing = _Tracing({key: head.node for key, head in heads.items() if head.node is not None})
        for output in self.flat_outputs:
            tracing.follow(output)
        self.nodes = tracing.nodes
        self.operations = _ordered(tracing)
        _refuse_equal_names(self.operations)
        self._number(given)

    def _number(self, given: list[KerasTensor]) -> None:
        """Give each tensor a number, and make the steps."""
        tensors = [*self.flat_inputs, *(made for node in self.nodes for made in node.made)]
        self._numbers = {id(tensor): number for number, tensor in enumerate(tensors)}
        self._numbers |= {id(tensor): number for number, tensor in enumerate(given)}
        self._specs = [_Spec(tensor.shape, tensor.dtype, tensor.name) for tensor in tensors]
        last: dict[int, int] = {}
        for position, node in enumerate(self.nodes):
            last |= {self._numbers[id(tensor)]: position for tensor in node.inputs}
        kept = {self._numbers[id(tensor)] for tensor in self.flat_outputs}
        self.steps = [self._step(node, position, last, kept) for position, node in enumerate(self.nodes)]
        #: Inputs and outputs, with slots for tensors.
        self.slots = self._slotted(self.inputs), self._slotted(self.outputs)
        self.results = [self._numbers[id(tensor)] for tensor in self.flat_outputs]

    def _step(self, node: Node, position: int, last: dict[int, int], kept: set[int]) -> Step:
        frees = tuple(number for number, place in last.items() if place == position and number not in kept)
        made = tuple(self._numbers[id(tensor)] for tensor in node.made)
        # A model in a model hands its masks on.
        is_layer, is_model = hasattr(node.operation, "built"), hasattr(node.operation, "compiled")
        options = ("training", "keep_mask") if is_model else ("training",) if is_layer else ()
        args, kwargs = self._slotted(node.args), self._slotted(node.kwargs)
        return Step(node.operation, args, kwargs, made, self._slotted(node.outputs), frees, options)

    def _slotted(self, structure: Any) -> Any:
        return rebuilt(structure, lambda leaf: Slot(self._numbers[id(leaf)]) if isinstance(leaf, KerasTensor) else leaf)

    def run(self, inputs: Iterable[Any], options: dict[str, Any]) -> list[Any]:
        """The outputs, flat, for the inputs, flat; ``options`` go to every layer that was not called with its own."""
        values: list[Any] = [*inputs]
        values += [None] * (len(self._specs) - len(values))
        for step in self.steps:
            step.run(values, options)
        return [values[number] for number in self.results]

    def replaced(self, flat: Iterable[Any]) -> Any:
        """Values, flat, in the structure of the outputs; one alone in a list stands for itself, as in Keras."""
        found = list(flat)
        if len(found) == 1 and not isinstance(self.outputs, dict):
            return found[0]
        by_tensor = {id(tensor): value for tensor, value in zip(self.flat_outputs, found, strict=True)}
        return rebuilt(self.outputs, lambda leaf: by_tensor[id(leaf)])

    def uses(self, operation: Any) -> list[Node]:
        """The nodes of an operation in this model."""
        return [node for node in self.nodes if node.operation is operation]

    # ---- copies and pickles: the tensors and nodes are made anew ----------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        dropped = ("inputs", "outputs", "flat_inputs", "flat_outputs", "nodes", "_numbers")
        return {name: value for name, value in self.__dict__.items() if name not in dropped}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        tensors = [KerasTensor(*spec) for spec in self._specs]
        fill: Callable[[Any], Any] = lambda leaf: tensors[leaf.number] if type(leaf) is Slot else leaf  # noqa: E731
        self.inputs, self.outputs = (rebuilt(side, fill) for side in self.slots)
        self.flat_inputs, self.flat_outputs = list(leaves(self.inputs)), list(leaves(self.outputs))
        self._numbers = {id(tensor): number for number, tensor in enumerate(tensors)}
        for tensor in self.flat_inputs:
            head = next(operation for operation in self.operations if operation.name == tensor.name)
            Node(head, (), {}, tensor)
        self.nodes = [
            Node(step.operation, rebuilt(step.args, fill), rebuilt(step.kwargs, fill), rebuilt(step.result, fill))
            for step in self.steps
        ]


class _Tracing:
    """Follows tensors back to the inputs: ``nodes`` in an order in which they can run."""

    def __init__(self, heads: dict[int, Node]) -> None:
        #: An input -> the node of the ``Input`` that it is, or that stands for it.
        self.heads = heads
        self.nodes: list[Node] = []
        #: Operation -> when it was met first.
        self.met: dict[int, int] = {}
        self._done: set[int] = set()
        self._open: set[int] = set()

    def follow(self, output: KerasTensor) -> None:
        """Add all nodes that an output needs."""
        pending: list[tuple[KerasTensor | Node, Node | None]] = [(output, None)]
        while pending:
            item, reader = pending.pop()
            if isinstance(item, Node):
                self._open.discard(id(item))
                self._done.add(id(item))
                self.nodes.append(item)
                continue
            node = item.node
            if id(item) in self.heads:
                self.met.setdefault(id(self.heads[id(item)].operation), len(self.met))
                continue
            if node is None or node.is_input:
                raise ValueError(self._disconnected(item, reader))
            if id(node) in self._open:
                raise ValueError(f"Tensor {item} from operation {node.operation.name!r} is part of a cycle.")
            if id(node) in self._done:
                continue
            self.met.setdefault(id(node.operation), len(self.met))
            self._open.add(id(node))
            pending.append((node, None))
            pending += [(tensor, node) for tensor in reversed(node.inputs)]

    def _disconnected(self, tensor: KerasTensor, reader: Node | None) -> str:
        place = "as an output" if reader is None else f"at operation {reader.operation.name!r}"
        return (
            f"Graph disconnected: cannot find parent for tensor {tensor} {place}: it is not among the inputs of the "
            f"model, nor made of them. Operations that were reached: {[node.operation.name for node in self.nodes]}"
        )


def _ordered(tracing: _Tracing) -> list[Any]:
    """Layers and functions in Keras's order."""
    depths: dict[int, int] = {}  # of operations: the longest way to an output
    of_nodes: dict[int, int] = {}
    operations: dict[int, Any] = {}
    for node in reversed(tracing.nodes):
        key = id(node.operation)
        depth = max(of_nodes.get(id(node), 0), depths.get(key, 0))
        depths[key] = of_nodes[id(node)] = depth
        operations[key] = node.operation
        for tensor in node.inputs:
            parent: Any = tracing.heads.get(id(tensor), tensor.node)
            of_nodes[id(parent)] = max(depth + 1, of_nodes.get(id(parent), 0))
    for head in tracing.heads.values():
        key = id(head.operation)
        depths[key] = max(of_nodes.get(id(head), 0), depths.get(key, 0))
        operations[key] = head.operation
    return sorted(operations.values(), key=lambda found: (-depths[id(found)], tracing.met.get(id(found), -1)))


def _refuse_equal_names(operations: list[Any]) -> None:
    for name, times in Counter(operation.name for operation in operations).items():
        if times > 1:
            raise ValueError(
                f'The name "{name}" is used {times} times in the model. All operation names should be unique.'
            )


def _symbolic(argument: str, leaf: Any) -> KerasTensor:
    if not isinstance(leaf, KerasTensor):
        raise ValueError(
            f"Model: all {argument} must be symbolic tensors, as Input and layers called on it return; got "
            f"{type(leaf).__name__}: {leaf!r}"
        )
    return leaf
