"""Tables of vectors for words, users, things: rows by number, and sums of rows."""

from __future__ import annotations

from typing import Any

from nnkit.errors import ShapeError
from nnkit.nn import functional, init
from nnkit.nn.embedding_functions import check_bag, check_frequencies, row_number
from nnkit.nn.module import Module
from nnkit.nn.sizes import positive
from nnkit.tensors.creation import empty
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Parameter, Tensor

__all__ = ["Embedding", "EmbeddingBag"]


class _Table(Module):
    """A weight (num_embeddings, embedding_dim), and how its rows are read."""

    #: Whether ``fit`` and ``predict`` leave whole numbers as they are.
    reads_whole_numbers = True
    weight: Parameter

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None, max_norm: float | None,
        norm_type: float, scale_grad_by_freq: bool, sparse: bool, weight: Tensor | None, freeze: bool, device: Any,
        dtype: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_embeddings = positive("num_embeddings", num_embeddings)
        self.embedding_dim = positive("embedding_dim", embedding_dim)
        self.padding_idx = row_number(padding_idx, self.num_embeddings)
        self.max_norm, self.norm_type, self.sparse = max_norm, float(norm_type), bool(sparse)
        check_frequencies(scale_grad_by_freq)
        self.scale_grad_by_freq = False
        shape = (self.num_embeddings, self.embedding_dim)
        if weight is not None and weight.shape != shape:
            raise ShapeError(f"_weight: expected shape {shape}, got {weight.shape}")
        self.weight = Parameter(empty(shape, device=device, dtype=dtype) if weight is None else weight, not freeze)
        if weight is None:
            self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values: standard normal, and 0 in the row of ``padding_idx``."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0.0

    def _text(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        defaults = {"padding_idx": None, "max_norm": None, "norm_type": 2.0, "sparse": False}
        return text + "".join(f", {k}={getattr(self, k)}" for k, v in defaults.items() if getattr(self, k) != v)


class Embedding(_Table):
    """Rows of ``weight`` (num_embeddings, embedding_dim) by number: whole numbers of any shape -> (..., embedding_dim).

    Args:
        padding_idx: the number of a row that starts at 0 and gets no gradient; negative ones count from the end.
        max_norm: rows that are used and longer than this are shortened first, in place; takes work for all rows.
        norm_type: the order of that norm.
        scale_grad_by_freq: not supported; True raises ValueError.
        sparse: accepted. A gradient takes work for the rows that are used in any case, and a step of ``optim.SGD``
            without momentum and weight decay, too; ``weight.grad`` is always whole.

    ``weight`` starts standard normal. Raises IndexError for an index out of range. Source: ``torch.nn.Embedding``.

    >>> import nnkit
    >>> Embedding(10, 3, padding_idx=0)(nnkit.tensor([[0, 2]])).shape
    (1, 2, 3)
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None, max_norm: float | None = None,
        norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False, _weight: Tensor | None = None,
        _freeze: bool = False, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, _weight,
            _freeze, device, dtype,
        )  # fmt: skip

    @classmethod
    def from_pretrained(
        cls, embeddings: Tensor, freeze: bool = True, padding_idx: int | None = None, max_norm: float | None = None,
        norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False,
    ) -> Embedding:  # fmt: skip
        """A layer whose weight is ``embeddings`` (rows, features), in the same memory; learned unless ``freeze``.

        >>> import nnkit
        >>> Embedding.from_pretrained(nnkit.tensor([[1.0, 2.0]]))(nnkit.tensor([0])).tolist()
        [[1.0, 2.0]]
        """
        rows, columns = _sizes(embeddings)
        made = cls(rows, columns, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, embeddings, freeze)
        made.weight.requires_grad = not freeze
        return made

    def forward(self, input: Tensor) -> Tensor:
        """Whole numbers (...) -> (..., embedding_dim)."""
        return functional.embedding(input, self.weight, self.padding_idx, self.max_norm, self.norm_type)

    def extra_repr(self) -> str:
        return self._text()


class EmbeddingBag(_Table):
    """Sums, means or maxima of rows of ``weight``, without the rows themselves.

    Args:
        max_norm, norm_type, scale_grad_by_freq, sparse: as of ``Embedding``.
        mode: "sum", "mean" or "max".
        include_last_offset: offsets have one more number, the end of the last bag.
        padding_idx: the number of a row that counts nowhere.

    input (B, N), bags of one size, or (N,) with offsets (B,), where each bag begins; ``per_sample_weights`` of the
    input's shape multiply the rows, in mode "sum". Result (B, embedding_dim); a bag of nothing is 0. Raises ValueError
    for what does not fit, IndexError for an index out of range. Source: ``torch.nn.EmbeddingBag``. Rows are float32
    unless ``dtype`` is given.

    >>> import nnkit
    >>> bag = EmbeddingBag.from_pretrained(nnkit.tensor([[1.0], [2.0]]), mode="sum")
    >>> bag(nnkit.tensor([0, 1, 1]), nnkit.tensor([0, 2])).tolist()
    [[3.0], [2.0]]
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, max_norm: float | None = None, norm_type: float = 2.0,
        scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False, _weight: Tensor | None = None,
        include_last_offset: bool = False, padding_idx: int | None = None, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, _weight,
            False, device, dtype,
        )  # fmt: skip
        self.mode, self.include_last_offset = check_bag(mode), bool(include_last_offset)

    @classmethod
    def from_pretrained(
        cls, embeddings: Tensor, freeze: bool = True, max_norm: float | None = None, norm_type: float = 2.0,
        scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False, include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> EmbeddingBag:  # fmt: skip
        """A layer whose weight is ``embeddings`` (rows, features), in the same memory; learned unless ``freeze``."""
        rows, columns = _sizes(embeddings)
        made = cls(
            rows, columns, max_norm, norm_type, scale_grad_by_freq, mode, sparse, embeddings, include_last_offset,
            padding_idx,
        )  # fmt: skip
        made.weight.requires_grad = not freeze
        return made

    def forward(self, input: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None) -> Tensor:
        """Bags of whole numbers -> (B, embedding_dim)."""
        return functional.embedding_bag(
            input, self.weight, offsets, self.max_norm, self.norm_type, mode=self.mode,
            per_sample_weights=per_sample_weights, include_last_offset=self.include_last_offset,
            padding_idx=self.padding_idx,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return self._text() + f", mode={self.mode!r}"


def _sizes(embeddings: Tensor) -> tuple[int, int]:
    if not isinstance(embeddings, Tensor) or embeddings.ndim != 2:
        given = f"shape {embeddings.shape}" if isinstance(embeddings, Tensor) else type(embeddings).__name__
        raise ShapeError(f"embeddings: expected a Tensor of shape (rows, features), got {given}")
    return embeddings.shape[0], embeddings.shape[1]
