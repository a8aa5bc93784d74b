"""Attention with Keras's arguments, defaults and weights. Definitions: ``keras.layers.MultiHeadAttention``, ..."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Unpack

from nnkit import nn, ops
from nnkit.errors import ShapeError
from nnkit.keras import constraints, initializers, regularizers
from nnkit.keras.arguments import in_layout, positive, refuse
from nnkit.keras.layer import Layer, LayerOptions, Shape, as_input
from nnkit.keras.masks import mask_of, with_mask
from nnkit.keras.naming import configured
from nnkit.nn.skipping import are_skipped, skipped
from nnkit.recording.observer import call
from nnkit.tensors import dtypes
from nnkit.tensors.creation import arange
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor

__all__ = ["AdditiveAttention", "Attention", "MultiHeadAttention"]


class _Projection(NamedTuple):
    """A linear layer, and the axes that its inputs and its outputs have in Keras: width, or heads and width."""

    linear: nn.Linear
    taken: tuple[int, ...]
    given: tuple[int, ...]

    def shown(self, weight: Tensor) -> Tensor:
        """The weight as Keras has it: (*taken, *given), or a bias of (*given,)."""
        if weight.ndim == 1:
            return weight.reshape(*self.given)
        whole, count = weight.reshape(*self.given, *self.taken), len(self.given)
        return whole.permute(*range(count, whole.ndim), *range(count))


class MultiHeadAttention(Layer):
    """Queries (B, T, E) take of values (B, S, V) by keys (B, S, K): (B, T, E), or E as ``output_shape`` says.

    Called as ``layer(query, value, key=None)``. Vaswani et al., 2017. Weights as Keras shows them: kernels of queries
    and keys (width, num_heads, key_dim), of values (width, num_heads, value_dim), of the output (num_heads, value_dim,
    E), each with a bias where ``use_bias``. Where a query sees no key the output is the bias.

    Args:
        num_heads, key_dim, value_dim: heads, the width of a query or key in one, and that of a value (``key_dim``).
        dropout: the probability that a weight is dropped in training.
        use_bias: whether the projections have biases.
        output_shape: the width of the output; that of the query where None.
        kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, kernel_constraint, bias_constraint:
            of all projections.
        seed: accepted; dropout draws from nnkit's random stream.
        attention_axes, sliding_window, use_gate, activity_regularizer: not supported, and refused.
        options: ``name``, ``trainable``.

    >>> import nnkit
    >>> layer, x = MultiHeadAttention(num_heads=2, key_dim=3), nnkit.zeros(4, 5, 8)
    >>> layer(x, x, use_causal_mask=True).shape, layer.weights[0].shape
    ((4, 5, 8), (8, 2, 3))
    """

    def __init__(
        self, num_heads: int, key_dim: int, value_dim: int | None = None, dropout: float = 0.0, use_bias: bool = True,
        output_shape: int | Sequence[int] | None = None, attention_axes: int | Sequence[int] | None = None,
        sliding_window: None = None, flash_attention: bool | None = None, kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros", kernel_regularizer: Any = None, bias_regularizer: Any = None,
        activity_regularizer: None = None, kernel_constraint: Any = None, bias_constraint: Any = None,
        use_gate: bool = False, seed: int | None = None, **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(**options)
        name = type(self).__name__
        axes = None if attention_axes in (None, 1, (1,), [1]) else attention_axes
        refuse(
            name, attention_axes=axes, sliding_window=sliding_window, activity_regularizer=activity_regularizer,
            use_gate=use_gate or None,
        )  # fmt: skip
        self.num_heads, self.key_dim = positive(name, "num_heads", num_heads), positive(name, "key_dim", key_dim)
        self.value_dim = self.key_dim if value_dim is None else positive(name, "value_dim", value_dim)
        width = output_shape[0] if isinstance(output_shape, (tuple, list)) and len(output_shape) == 1 else output_shape
        self.output_width = None if width is None else positive(name, "output_shape", width)
        self.dropout, self.use_bias, self.seed = dropout, use_bias, seed
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def build(self, query_shape: Shape, value_shape: Shape | None = None, key_shape: Shape | None = None) -> None:
        value_shape = query_shape if value_shape is None else value_shape
        E, V, K = (shape[-1] for shape in (query_shape, value_shape, key_shape or value_shape))
        if E is None or V is None or K is None:
            raise ShapeError(f"MultiHeadAttention layer {self.name!r} needs known widths of its inputs")
        heads, self._query_width = self.num_heads, E
        sizes = [(E, heads * self.key_dim), (K, heads * self.key_dim), (V, heads * self.value_dim)]
        wanted = not are_skipped()
        with skipped():
            self.query, self.key, self.value = (nn.Linear(i, o, self.use_bias) for i, o in sizes)
            self.attention_output = nn.Linear(heads * self.value_dim, self.output_width or E, self.use_bias)
        for made in self._projections():
            self._begin(made, wanted)

    def _begin(self, made: _Projection, draw: bool) -> None:
        """Draw the values of a projection, and note its penalties."""
        linear = made.linear
        if draw:
            _draw(made.shown(linear.weight.detach()), self.kernel_initializer or initializers.GlorotUniform())
            if linear.bias is not None:
                _draw(made.shown(linear.bias.detach()), self.bias_initializer or initializers.Zeros())
        if self.kernel_regularizer is not None:
            linear.regularizers["weight"] = in_layout(self.kernel_regularizer, made.shown)
        if linear.bias is not None and self.bias_regularizer is not None:
            linear.regularizers["bias"] = in_layout(self.bias_regularizer, made.shown)
        constraints.constrain(linear, "weight", self.kernel_constraint, made.shown)
        constraints.constrain(linear, "bias", self.bias_constraint, made.shown)

    def _projections(self) -> list[_Projection]:
        of_keys, of_values = (self.num_heads, self.key_dim), (self.num_heads, self.value_dim)
        output = self.attention_output
        return [
            _Projection(self.query, (self.query.in_features,), of_keys),
            _Projection(self.key, (self.key.in_features,), of_keys),
            _Projection(self.value, (self.value.in_features,), of_values),
            _Projection(output, of_values, (output.out_features,)),
        ]

    def layout_of(self, weight: Tensor) -> Callable[[Tensor], Tensor] | None:
        for made in self._projections():
            if weight is made.linear.weight or weight is made.linear.bias:
                return made.shown
        return None

    def forward(
        self, query: Any, value: Any, key: Any = None, query_mask: Any = None, value_mask: Any = None,
        key_mask: Any = None, attention_mask: Any = None, return_attention_scores: bool = False,
        training: bool | None = None, use_causal_mask: bool = False,
    ) -> Any:  # fmt: skip
        """The output, and the weights (B, num_heads, T, S) where ``return_attention_scores``.

        Masks are True where something is to be seen: ``query_mask`` (B, T), ``value_mask`` and ``key_mask`` (B, S),
        ``attention_mask`` (B, T, S) or (B, num_heads, T, S). By default the first three are those that the
        inputs carry; that of the query goes on to the output.
        """
        q, v = as_input(query), as_input(value)
        k = v if key is None else as_input(key)
        query_mask = mask_of(q) if query_mask is None else as_input(query_mask).bool()
        value_mask = mask_of(v) if value_mask is None else value_mask
        key_mask = mask_of(k) if key_mask is None and key is not None else key_mask
        if not self.built:
            self.build((None, *q.shape[1:]), (None, *v.shape[1:]), (None, *k.shape[1:]))
            self.to(device=q.device)
        for name, x in (("query", q), ("value", v), ("key", k)):
            if x.ndim != 3:
                name_and_shape = f"expected {name} of shape (batch, tokens, width), got {x.shape}"
                raise ShapeError(f"MultiHeadAttention layer {self.name!r}: {name_and_shape}")
        mask = _joined(q, attention_mask, query_mask, value_mask, key_mask)
        p = self.dropout if self.is_training(training) else 0.0
        found = call(self.call, q, k, v, mask, use_causal_mask, p, return_attention_scores)
        if query_mask is None:
            return found
        y, *scores = found if return_attention_scores else (found,)
        return (with_mask(y, query_mask), *scores) if return_attention_scores else with_mask(y, query_mask)

    def call(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, p: float, scored: bool) -> Any:
        projected = zip((self.query, self.key, self.value), (q, k, v), strict=True)
        queries, keys, values = (self._by_head(call(linear, x)) for linear, x in projected)
        weights = None
        if scored:
            weights = ops.attention_weights(queries, keys, mask, causal, safe=True)
            found = ops.matmul(ops.dropout(weights, p), values)
        elif causal and mask is not None:
            found = ops.attention(queries, keys, values, ops.logical_and(mask, _causal(q, k)), p=p)
        else:
            found = ops.attention(queries, keys, values, mask, causal, p=p)
        joined = found.transpose(1, 2).reshape(*q.shape[:2], self.num_heads * self.value_dim)
        y = call(self.attention_output, joined)
        return (y, weights) if scored else y

    def _by_head(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.num_heads, -1).transpose(1, 2)

    def compute_output_shape(
        self, query_shape: Shape, value_shape: Shape | None = None, key_shape: Shape | None = None
    ) -> Shape:
        return (*query_shape[:-1], self.output_width or query_shape[-1])

    def get_config(self) -> dict[str, Any]:
        names = ("num_heads", "key_dim", "value_dim", "dropout", "use_bias", "seed")
        made = [
            f"{part}_{what}" for part in ("kernel", "bias") for what in ("initializer", "regularizer", "constraint")
        ]
        plain = {name: getattr(self, name) for name in names} | {"output_shape": self.output_width}
        return {**super().get_config(), **plain, **{name: configured(getattr(self, name)) for name in made}}


class Attention(Layer):
    """Queries (B, T, D) take of values (B, S, V) by keys (B, S, D): called on a list [query, value], or with the key.

    Scores are products of queries and keys (Luong et al., 2015), or, with ``score_mode="concat"``, a weight times the
    sum of tanh(query + key); ``use_scale`` makes a scale that is learned. ``mask`` is [query_mask, value_mask], each
    True where something is to be seen, or None: by default the masks that query and value carry.

    Args:
        use_scale: whether scores are multiplied by a learned number.
        score_mode: "dot" or "concat".
        dropout: the probability that a weight is dropped in training.
        seed: accepted; dropout draws from nnkit's random stream.
        options: ``name``, ``trainable``.

    >>> import nnkit
    >>> Attention()([nnkit.zeros(2, 3, 4), nnkit.zeros(2, 5, 4)]).shape
    (2, 3, 4)
    """

    scale: Tensor | None
    concat_score_weight: Tensor | None

    def __init__(
        self, use_scale: bool = False, score_mode: str = "dot", dropout: float = 0.0, seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(**options)
        if score_mode not in ("dot", "concat"):
            raise ValueError(f"Attention: score_mode must be 'dot' or 'concat', got {score_mode!r}")
        self.use_scale, self.score_mode, self.dropout, self.seed = use_scale, score_mode, dropout, seed

    def build(self, input_shape: Any) -> None:
        for name, wanted in (("scale", self.use_scale), ("concat_score_weight", self.score_mode == "concat")):
            if wanted:
                self.add_weight((), "ones", name=name)
            else:
                self.register_parameter(name, None)

    def forward(
        self, inputs: Any, mask: Any = None, training: bool | None = None, return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:  # fmt: skip
        if not isinstance(inputs, (list, tuple)) or len(inputs) not in (2, 3):
            raise ValueError(f"{type(self).__name__}: expected a list [query, value] or [query, value, key]")
        q, v, *rest = map(as_input, inputs)
        k = rest[0] if rest else v
        if not self.built:
            self.build([(None, *x.shape[1:]) for x in (q, v, k)])
            self.to(device=q.device)
        query_mask, value_mask = (mask[0], mask[1]) if mask else (mask_of(q), mask_of(v))
        p = self.dropout if self.is_training(training) else 0.0
        seen = _joined(q, None, None, value_mask, None)
        y, weights = call(self.call, q, k, v, seen, use_causal_mask, p, return_attention_scores)
        if query_mask is not None:
            y = ops.where(as_input(query_mask).bool().unsqueeze(-1), y, 0.0)
            y = with_mask(y, as_input(query_mask).bool())
        return (y, weights) if return_attention_scores else y

    def call(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, p: float, scored: bool
    ) -> tuple[Tensor, Tensor | None]:
        if self.score_mode == "dot" and not scored:
            q = q if self.scale is None else q * self.scale
            if mask is not None and causal:
                mask, causal = ops.logical_and(mask, _causal(q, k)), False
            queries, keys, values = (x.unsqueeze(1) for x in (q, k, v))
            return ops.attention(queries, keys, values, mask, causal, 1.0, p).squeeze(1), None
        scores = self._scores(q, k)
        if causal:
            mask = _causal(q, k) if mask is None else ops.logical_and(mask, _causal(q, k))
        if mask is not None:
            scores = ops.where(mask.reshape(-1, *mask.shape[2:]), scores, scores - 1e9)
        weights = ops.dropout(ops.softmax(scores, -1), p)
        return ops.matmul(weights, v), weights

    def _scores(self, q: Tensor, k: Tensor) -> Tensor:
        if self.score_mode == "dot":
            scores = ops.matmul(q, k.transpose(1, 2))
            return scores if self.scale is None else scores * self.scale
        both = q.unsqueeze(2) + k.unsqueeze(1)
        return self.concat_score_weight * ops.sum(ops.tanh(both if self.scale is None else both * self.scale), -1)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return (*input_shape[0][:-1], input_shape[1][-1])

    def get_config(self) -> dict[str, Any]:
        names = ("use_scale", "score_mode", "dropout", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


class AdditiveAttention(Attention):
    """As ``Attention``, with scores that are sums of ``scale`` times tanh(query + key): Bahdanau et al., 2015.

    Args:
        use_scale: whether ``scale``, a number for each column, is learned.
        dropout: the probability that a weight is dropped in training.
        options: ``seed``, ``name``, ``trainable``.

    >>> import nnkit
    >>> AdditiveAttention()([nnkit.zeros(2, 3, 4), nnkit.zeros(2, 5, 4)]).shape
    (2, 3, 4)
    """

    def __init__(self, use_scale: bool = True, dropout: float = 0.0, **options: Any) -> None:
        super().__init__(use_scale, "concat", dropout, **options)

    def build(self, input_shape: Any) -> None:
        if self.use_scale:
            self.add_weight((input_shape[0][-1],), "glorot_uniform", name="scale")
        else:
            self.register_parameter("scale", None)

    def _scores(self, q: Tensor, k: Tensor) -> Tensor:
        both = ops.tanh(q.unsqueeze(2) + k.unsqueeze(1))
        return ops.sum(both if self.scale is None else both * self.scale, -1)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["score_mode"]
        return config


def _draw(weight: Tensor, initializer: Any) -> None:
    with no_grad():
        weight.copy_(initializer(tuple(weight.shape)))


def _causal(q: Tensor, k: Tensor) -> Tensor:
    """(1, 1, T, S), True where a key does not come after the query."""
    rows, columns = arange(q.shape[1], device=q.device), arange(k.shape[1], device=q.device)
    return ops.ge(rows.reshape(1, 1, -1, 1), columns.reshape(1, 1, 1, -1))


def _joined(q: Tensor, mask: Any, of_queries: Any, of_values: Any, of_keys: Any) -> Tensor | None:
    """The masks as one, of four axes, that is True where all of them are; None where there are none."""
    given = []
    for one, axis in ((of_queries, -1), (of_values, -2), (of_keys, -2)):
        if one is not None:
            given.append(as_input(one).to(q.device).bool().unsqueeze(axis).unsqueeze(1))
    if mask is not None:
        whole = as_input(mask).to(q.device).bool()
        given.append(whole.unsqueeze(1) if whole.ndim == 3 else whole)
    if not given:
        return None
    joined = given[0]
    for one in given[1:]:
        joined = ops.logical_and(joined, one)
    assert joined.dtype == dtypes.bool_
    return joined
