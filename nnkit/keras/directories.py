"""Data sets of the files in a folder, whose subfolders are the classes. Definitions: ``keras.utils``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from nnkit.errors import DataError, UnknownNameError
from nnkit.keras.batched import Batched
from nnkit.keras.ops import images
from nnkit.keras.pictures import MODES, img_to_array, load_img
from nnkit.keras.places import known_format

__all__ = ["image_dataset_from_directory", "text_dataset_from_directory"]

PICTURES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
LABEL_MODES = ("int", "categorical", "binary", None)


class _Files(Batched):
    """Files, read when they are wanted, and their labels."""

    def __init__(self, paths: list[str], labels: np.ndarray | None, names: list[str] | None, **options: Any) -> None:
        super().__init__(len(paths), **options)
        self.file_paths, self.labels, self.class_names = paths, labels, names

    def read(self, path: str) -> Any:
        """What is in a file."""
        raise NotImplementedError

    def rows(self, places: np.ndarray) -> Any:
        data = np.stack([self.read(self.file_paths[place]) for place in places])
        return data if self.labels is None else (data, self.labels[places])


class _Pictures(_Files):
    def __init__(self, *given: Any, settings: dict[str, Any], data_format: str, pad: bool, **options: Any) -> None:
        super().__init__(*given, **options)
        self._settings, self._format, self._pad = settings, data_format, pad

    def read(self, path: str) -> np.ndarray:
        size, mode = self._settings["size"], self._settings["mode"]
        array = img_to_array(load_img(path, mode), "channels_last")
        found = images.resize(
            array, size, self._settings["interpolation"], crop_to_aspect_ratio=self._settings["crop"],
            pad_to_aspect_ratio=self._pad,
        ).numpy()  # fmt: skip
        return found.transpose(2, 0, 1) if self._format == "channels_first" else found


class _Texts(_Files):
    max_length: int | None = None

    def read(self, path: str) -> str:
        with open(path, encoding="utf-8") as file:
            return file.read()[: self.max_length]


def image_dataset_from_directory(
    directory: Any, labels: Any = "inferred", label_mode: str | None = "int", class_names: Sequence[str] | None = None,
    color_mode: str = "rgb", batch_size: int | None = 32, image_size: Sequence[int] = (256, 256), shuffle: bool = True,
    seed: int | None = None, validation_split: float | None = None, subset: str | None = None,
    interpolation: str = "bilinear", follow_links: bool = False, crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False, data_format: str | None = None, format: str = "tf", verbose: bool = True,
) -> Any:  # fmt: skip
    """The pictures in a folder in batches, for ``fit``: float32 (batch, *image_size, channels) and labels.

    Args:
        directory: the folder; with ``labels="inferred"`` its subfolders are the classes.
        labels: "inferred"; None for no labels; or one for each file, in the order of their names.
        label_mode: "int"; "categorical" for one-hot rows; "binary" for 0.0 and 1.0, of shape (batch, 1); None for none.
        class_names: the subfolders to use, in their order.
        color_mode: "rgb", "rgba" or "grayscale".
        batch_size: pictures in a batch; None for one at a time.
        image_size: (height, width).
        shuffle, seed: whether in random order, and how.
        validation_split, subset: the share of the files at the end that are for validation, and which part is wanted:
            "training", "validation", or "both", which returns two data sets.
        interpolation, crop_to_aspect_ratio, pad_to_aspect_ratio: as in ``keras.ops.image.resize``.
        follow_links: whether subfolders that are links are looked into.
        data_format: where the channels are.
        format: taken, and without effect.
        verbose: whether to say how many files were found.

    The result has ``class_names`` and ``file_paths``. Raises ValueError for what does not fit, DataError for no files.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     image_dataset_from_directory(folder)
    Traceback (most recent call last):
    nnkit.errors.DataError: ...
    """
    if color_mode not in MODES:
        raise UnknownNameError("color_mode", color_mode, list(MODES))
    found = _index(directory, labels, label_mode, class_names, PICTURES, follow_links, verbose)
    settings = {"size": image_size, "mode": color_mode, "interpolation": interpolation, "crop": crop_to_aspect_ratio}
    options = {"settings": settings, "data_format": known_format(data_format), "pad": pad_to_aspect_ratio}
    return _parts(_Pictures, found, label_mode, batch_size, shuffle, seed, validation_split, subset, options)


def text_dataset_from_directory(
    directory: Any, labels: Any = "inferred", label_mode: str | None = "int", class_names: Sequence[str] | None = None,
    batch_size: int | None = 32, max_length: int | None = None, shuffle: bool = True, seed: int | None = None,
    validation_split: float | None = None, subset: str | None = None, follow_links: bool = False, format: str = "tf",
    verbose: bool = True,
) -> Any:  # fmt: skip
    """The .txt files in a folder in batches: arrays of texts, cut at ``max_length`` letters, and labels.

    The other arguments are those of :func:`image_dataset_from_directory`. Raises ValueError for what does not fit,
    DataError for no files. Source: ``keras.utils.text_dataset_from_directory``.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     text_dataset_from_directory(folder)
    Traceback (most recent call last):
    nnkit.errors.DataError: ...
    """
    found = _index(directory, labels, label_mode, class_names, (".txt",), follow_links, verbose)
    made = _parts(_Texts, found, label_mode, batch_size, shuffle, seed, validation_split, subset, {})
    for part in made if isinstance(made, tuple) else (made,):
        part.max_length = max_length
    return made


Found = tuple[list[str], np.ndarray | None, list[str] | None]


def _index(
    directory: Any, labels: Any, label_mode: str | None, class_names: Sequence[str] | None, endings: tuple[str, ...],
    follow_links: bool, verbose: bool,
) -> Found:  # fmt: skip
    """Paths, labels and names of the classes, in the order of the names."""
    folder = os.fspath(directory)
    if label_mode not in LABEL_MODES:
        raise UnknownNameError("label_mode", label_mode, [str(mode) for mode in LABEL_MODES])
    inferred = isinstance(labels, str)
    if inferred and labels != "inferred":
        raise ValueError(f"labels must be 'inferred', None, or one label for each file; got {labels!r}")
    if not inferred and class_names is not None:
        raise ValueError("class_names goes with labels='inferred'")
    names = [""] if not inferred else _subfolders(folder, class_names)
    files = [_files_below(os.path.join(folder, name), endings, follow_links) for name in names]
    paths = [path for part in files for path in part]
    if not paths:
        raise DataError(f"no files with the endings {', '.join(endings)} in {folder!r}")
    if inferred:
        found = np.repeat(np.arange(len(files), dtype=np.int32), [len(part) for part in files])
        known: list[str] | None = list(names)
    elif labels is None:
        return paths, None, None
    else:
        if len(labels) != len(paths):
            raise ValueError(f"labels must be one for each of the {len(paths)} files; got {len(labels)}")
        found, known = np.asarray(labels), [str(label) for label in sorted(set(labels))]
    assert known is not None
    if verbose:
        print(f"Found {len(paths)} files belonging to {len(known)} classes.")
    if label_mode == "binary" and len(known) != 2:
        raise ValueError(f"label_mode='binary' is for 2 classes; got {len(known)}: {known}")
    return paths, found if label_mode is not None else None, known


def _subfolders(folder: str, class_names: Sequence[str] | None) -> list[str]:
    found = sorted(name for name in os.listdir(folder) if name[0] != "." and os.path.isdir(os.path.join(folder, name)))
    if class_names is None:
        return found
    if not set(class_names) <= set(found):
        raise ValueError(f"class_names must be among the subfolders of {folder!r}, {found}; got {list(class_names)}")
    return list(class_names)


def _files_below(folder: str, endings: tuple[str, ...], follow_links: bool) -> list[str]:
    walked = sorted(os.walk(folder, followlinks=follow_links))
    return [
        os.path.join(place, name) for place, _, names in walked for name in sorted(names)
        if name.lower().endswith(endings)
    ]  # fmt: skip


def _parts(
    kind: Any, found: Found, label_mode: str | None, batch_size: int | None, shuffle: bool, seed: int | None,
    validation_split: float | None, subset: str | None, options: dict[str, Any],
) -> Any:  # fmt: skip
    """The data set, or the part of it that ``subset`` names, or both."""
    if (validation_split is None) != (subset is None):
        raise ValueError("validation_split and subset go together")
    if subset is not None and subset not in ("training", "validation", "both"):
        raise UnknownNameError("subset", subset, ("training", "validation", "both"))
    if subset is not None and shuffle and seed is None:
        raise ValueError(
            "with validation_split give a seed, or shuffle=False, so that the parts have no file in common"
        )
    paths, labels, names = found
    if shuffle:
        order = np.random.default_rng(seed).permutation(len(paths))
        paths, labels = [paths[k] for k in order], None if labels is None else labels[order]
    labels = _encoded(labels, label_mode, names)

    def part(rows: slice) -> Any:
        own = None if labels is None else labels[rows]
        return kind(paths[rows], own, names, batch_size=batch_size, shuffle=shuffle, seed=seed, **options)

    if subset is None:
        return part(slice(None))
    cut = len(paths) - int((validation_split or 0.0) * len(paths))
    both = {"training": slice(0, cut), "validation": slice(cut, None)}
    return tuple(map(part, both.values())) if subset == "both" else part(both[subset])


def _encoded(labels: np.ndarray | None, label_mode: str | None, names: list[str] | None) -> np.ndarray | None:
    if labels is None or label_mode == "int":
        return labels
    if label_mode == "binary":
        return labels.astype(np.float32)[:, None]
    return np.eye(len(names or ()), dtype=np.float32)[labels]
