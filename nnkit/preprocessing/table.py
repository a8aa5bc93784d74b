"""Tables with mixed columns: numbers, categories and dates made into one array, and the labels into class numbers."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from nnkit.errors import DataError, LabelError, ShapeError
from nnkit.preprocessing.columns import KINDS, Category, Code, Date, Encoder, Number, texts_of
from nnkit.preprocessing.frames import Column, columns_of
from nnkit.preprocessing.labels import Labels

__all__ = ["ATTRIBUTE", "Table"]

#: The attribute of a model, beside its parts, that holds the Table it ``reads``.
ATTRIBUTE = "_table"

#: A column of texts with more different values than this, and of which every third is another, is prose or a key.
PROSE, SHARE = 50, 1 / 3


class Table:
    """What makes rows with named columns into numbers; it remembers what it learned from the training data.

    Tables are frames of pandas, polars and what else narwhals reads, dicts of columns, lists of rows as dicts, and one
    row as a dict. Columns are found by name; their order does not matter, and further ones are passed over.

    Args:
        categories: columns of whole numbers that are names and not sizes, such as a postcode.
        dates: columns of texts that are dates, as 2026-11-28 or 2026-11-28T10:00.
        embed: columns of which each value gets a learned vector instead of a column of 0 and 1: names, or
            {name: length of the vector}; the model begins with ``nn.TableInput(*table.layout)`` then.
        ignore: columns that are left out.

    Numbers are filled with the median where they are missing, and scaled to mean 0 and deviation 1; texts become a
    column of 0 and 1 for each value; dates their distance from the mean, and where in year, week and day they lie.
    Where the training data have gaps, a column tells which. Values that the training data had not are zeros, and
    with ``embed`` a vector of their own. Texts that are prose or keys are refused. As scikit-learn's
    ``ColumnTransformer`` of an imputer, a scaler and an encoder.

    Raises DataError for what is no table and before ``fit``.

    >>> frame = {"age": [20, 40, None], "city": ["Rome", "Oslo", "Rome"], "left": ["no", "no", "yes"]}
    >>> table = Table().fit(frame, "left")
    >>> table.names
    ['age', 'age is missing', 'city=Oslo', 'city=Rome']
    >>> table.transform({"city": "Bonn", "age": 30.0}).tolist()
    [[0.0, 0.0, 0.0, 0.0]]
    """

    def __init__(
        self,
        *,
        categories: Sequence[str] = (),
        dates: Sequence[str] = (),
        embed: Sequence[str] | Mapping[str, int] = (),
        ignore: Sequence[str] = (),
    ) -> None:
        for name, value in (("categories", categories), ("dates", dates), ("embed", embed), ("ignore", ignore)):
            if isinstance(value, str):
                raise DataError(f"{name} must be a list of names: write {name}=[{value!r}]")
        self.categories, self.dates, self.ignore = tuple(categories), tuple(dates), tuple(ignore)
        self.embed: dict[str, int | None] = dict(embed) if isinstance(embed, Mapping) else dict.fromkeys(embed)
        self._refuse_two_roles()
        self.target: str | None = None
        self.labels: Labels | None = None
        self._encoders: list[Encoder] = []

    def _refuse_two_roles(self) -> None:
        roles = {name: set(getattr(self, name)) for name in ("categories", "dates", "embed", "ignore")}
        for one, other in itertools.combinations(roles, 2):
            if both := sorted(roles[one] & roles[other]):
                raise DataError(f"column {both[0]!r} is in {one} and in {other}; one of them can hold")
        for name, length in self.embed.items():
            if length is not None and (type(length) is not int or length < 1):
                raise DataError(f"embed={{{name!r}: {length!r}}}: the length of a vector is a whole number from 1 on")

    @staticmethod
    def of(model: Any) -> Table:
        """The Table that a model ``reads``, also one out of a file; raises ``DataError`` where there is none."""
        table = model.__dict__.get(ATTRIBUTE)
        if not isinstance(table, Table):
            raise DataError(f"this {type(model).__name__} reads no Table: model.reads(table)")
        return table

    # ---- learning -----------------------------------------------------------------------------------------

    def fit(self, table: Any, target: str | None = None) -> Self:
        """Learn from the training data; ``target`` names the column to predict.

        A target of texts or truth values is made into class numbers. Raises ``DataError`` and ``DtypeError`` that name
        the column.
        """
        if target is not None and target in self.ignore:
            raise DataError(f"column {target!r}, the target, is in ignore: leave it out there")
        columns = columns_of(table, but=self.ignore)
        if not any(len(column.values) for column in columns.values()):
            raise DataError("the table has no rows; expected at least one")
        named = [*self.categories, *self.dates, *self.embed, *([target] if target else [])]
        for name in named:
            _find(columns, name)
        self.target = target
        self.labels = None if target is None else _labels(target, columns[target])
        chosen = [self._encoder(name, column) for name, column in columns.items() if name != target]
        if not chosen:
            raise DataError("no column is left to learn from")
        encoders = [encoder.learn(columns[encoder.name]) for encoder in chosen]
        self._encoders = sorted(encoders, key=lambda encoder: isinstance(encoder, Code))  # codes last
        return self

    def _encoder(self, name: str, column: Column) -> Encoder:
        if name in self.embed:
            return Code(name, self.embed[name])
        if name in self.dates or column.kind == "date":
            return Date(name)
        if name in self.categories:
            return Category(name)
        if column.kind == "number":
            return Number(name)
        present = [value for value in column.values.tolist() if value is not None]
        different = len(set(present))
        if not column.declared and sum(map(_is_number, set(present))) > different / 2:
            _tell_numbers(name, present[0], different)
        if different > PROSE and different > SHARE * len(present):
            raise DataError(
                f"column {name!r} looks like prose or a key: {different} different texts in {len(present)} rows. Leave "
                f"it out with ignore=[{name!r}]; or, if they are dates, dates=[{name!r}]; names that come again, "
                f"embed=[{name!r}]; prose, make numbers of it first (nnkit.keras.layers.TextVectorization)"
            )
        return Category(name)

    # ---- what comes out ------------------------------------------------------------------------------------

    @property
    def encoders(self) -> list[Encoder]:
        """The columns that are read, each with what was learned of it."""
        return list(self._known())

    @property
    def names(self) -> list[str]:
        """What each column of ``transform``'s array means."""
        return [name for encoder in self._known() for name in encoder.names]

    @property
    def layout(self) -> tuple[int, list[tuple[int, int]]]:
        """What ``nn.TableInput`` is made with: plain numbers a row, and for each embedded column (values, length)."""
        codes = [encoder for encoder in self._known() if isinstance(encoder, Code)]
        return len(self.names) - len(codes), [(len(code.categories) + 2, code.width_of_row) for code in codes]

    @property
    def width(self) -> int:
        """Numbers a row that the first layer gets: after ``nn.TableInput``, where columns are embedded."""
        numbers, codes = self.layout
        return numbers + sum(length for _, length in codes)

    @property
    def classes(self) -> list[Any] | None:
        """The labels in the order of their numbers; None where the target is a number."""
        return None if self.labels is None else self.labels.state_dict()["classes"]

    def transform(self, table: Any, name: str = "x") -> np.ndarray:
        """(rows, len(names)) float32. Raises ``DataError`` that names a column which is lacking or not as it was."""
        columns = columns_of(table, name, [encoder.name for encoder in self._known()])
        parts = [encoder.encode(columns[encoder.name]) for encoder in self._known()]
        with np.errstate(over="ignore"):  # what float32 cannot hold is infinite there, and refused as such
            return np.concatenate(parts, axis=1).astype(np.float32)

    def targets(self, table: Any) -> np.ndarray:
        """The target column, (rows,): class numbers int64, or numbers float64; ``LabelError`` where one is missing."""
        if self.target is None:
            raise DataError("this Table knows of no target: write table.fit(frame, target='...')")
        column = columns_of(table, wanted=[self.target])[self.target]
        if self.labels is not None:
            try:
                return self.labels.transform(_label_texts(self.target, column))
            except LabelError as error:
                raise LabelError(str(error).replace("labels has", f"column {self.target!r}, the target, has")) from None
        if column.kind != "number":
            raise DataError(f"column {self.target!r}, the target, must hold numbers, as in the training data")
        missing = np.isnan(column.values)
        if missing.any():
            raise LabelError(
                f"column {self.target!r}, the target, is missing in {int(missing.sum())} rows, the first is row "
                f"{int(np.argmax(missing))}; leave these rows out"
            )
        return column.values

    def decode(self, outputs: Any) -> np.ndarray:
        """The labels of a model's outputs, (rows, classes) scores or (rows, 1) logits of the second class.

        >>> Table().fit({"x": [1, 2], "y": ["no", "yes"]}, "y").decode([[-1.0], [2.0]]).tolist()
        ['no', 'yes']
        """
        if self.labels is None:
            raise DataError("the target is no label: the model's outputs are what they are")
        scores = np.asarray(outputs)
        count = len(self.classes or ())
        if scores.ndim == 1 or scores.shape[-1] == 1:
            if count != 2:
                raise ShapeError(f"outputs of shape {scores.shape} tell two classes apart, and there are {count}")
            return self.labels.inverse_transform((scores.reshape(len(scores)) > 0).astype(np.int64))
        if scores.shape[1:] != (count,):
            raise ShapeError(f"outputs must have shape (rows, {count}), got {scores.shape}")
        return self.labels.inverse_transform(scores.argmax(axis=1))

    def _known(self) -> list[Encoder]:
        if not self._encoders:
            raise DataError("this Table has not seen data yet: call table.fit(frame, target='...') first")
        return self._encoders

    # ---- in files ------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """All that was learned, as plain JSON."""
        labels = None if self.labels is None else self.labels.state_dict()["classes"]
        columns = [encoder.state() for encoder in self._known()]
        return {"columns": columns, "target": self.target, "labels": labels, "options": self._options()}

    def _options(self) -> dict[str, Any]:
        """What it was made with, as JSON."""
        names = {name: list(getattr(self, name)) for name in ("categories", "dates", "ignore")}
        return {**names, "embed": dict(self.embed)}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> Self:
        """A Table that has learned; raises ``DataError`` where the state cannot be right."""
        if not isinstance(state, Mapping) or set(state) != {"columns", "target", "labels", "options"}:
            raise DataError("a Table's state has the entries columns, target, labels, options")
        columns, target, labels = state["columns"], state["target"], state["labels"]
        if not isinstance(columns, list) or not columns or not (target is None or isinstance(target, str)):
            raise DataError("a Table's state has a list of columns, and a target by name or none")
        table = cls(**_checked_options(state["options"]))
        for column in columns:
            kind = column.get("kind") if isinstance(column, Mapping) else None
            if not isinstance(kind, str) or kind not in KINDS:
                raise DataError(f"a column's kind is one of {sorted(KINDS)}, got {str(kind)[:50]!r}")
            table._encoders.append(KINDS[kind].from_state(column))
        table.target = target
        if labels is not None:
            table.labels = Labels()
            table.labels.load_state_dict({"classes": labels})
        return table

    def __repr__(self) -> str:
        if not self._encoders:
            return "Table()"
        kinds = ", ".join(f"{encoder.name}: {encoder.kind}" for encoder in self._encoders)
        return f"Table({kinds}; target: {self.target})"


def _checked_options(options: Any) -> dict[str, Any]:
    """The options in a state, if they can be what a Table was made with."""
    names = ("categories", "dates", "ignore")
    good = isinstance(options, Mapping) and set(options) == {*names, "embed"} and isinstance(options["embed"], Mapping)
    if good:
        lists, lengths = [options[name] for name in names], options["embed"]
        good = all(isinstance(one, list) and all(isinstance(name, str) for name in one) for one in lists)
        good = good and all(isinstance(k, str) and (v is None or type(v) is int) for k, v in lengths.items())
    if not good:
        raise DataError("a Table's options are lists of names, and the lengths of vectors by name")
    return dict(options)


def _find(columns: Mapping[str, Column], name: str) -> Column:
    if name not in columns:
        raise DataError(f"there is no column {name!r}; the columns are {list(columns)[:20]}")
    return columns[name]


def _tell_numbers(name: str, example: str, different: int) -> None:
    """Refuse texts that are numbers, or warn where they are few enough to be categories."""
    told, fix = f"column {name!r} holds numbers as texts, such as {example!r}", f"pandas.to_numeric(frame[{name!r}]"
    if different > PROSE:
        raise DataError(
            f"{told}, {different} different ones: make them numbers, {fix}, errors='coerce'); names that come again, "
            f"embed=[{name!r}]"
        )
    warnings.warn(
        f"{told}: each is taken for a category. Sizes: {fix}, errors='coerce'); names: categories=[{name!r}]",
        stacklevel=6,
    )


def _is_number(text: str) -> bool:
    """Whether a text is a number, and no name such as 007."""
    try:
        float(text)
    except ValueError:
        return False
    digits = text.strip().lstrip("+-")
    return not (digits[:1] == "0" and digits[1:2].isdigit())


def _labels(target: str, column: Column) -> Labels | None:
    """What numbers the labels, where the target is texts or truth values."""
    if column.kind == "date":
        raise LabelError(f"column {target!r}, the target, holds dates; make numbers or labels of them first")
    if column.kind == "text" or column.truth:
        return Labels().fit(_label_texts(target, column))
    return None


def _label_texts(target: str, column: Column) -> np.ndarray:
    if column.kind == "number":
        values: list[Any] = [None if np.isnan(v) else bool(v) for v in column.values]
    else:
        values = texts_of(column)
    lacking = [row for row, value in enumerate(values) if value is None]
    if lacking:
        raise LabelError(
            f"column {target!r}, the target, is missing in {len(lacking)} rows, the first is row {lacking[0]}; "
            "leave these rows out"
        )
    return np.array(values)
