"""Makes digits.csv.gz from scikit-learn's copy: ``python -m nnkit.datasets.make_digits``.

Each line is one image: 64 pixels row by row, then the label. The result is the same, to the
byte, wherever the same zlib made it.
"""

from __future__ import annotations

import gzip

import numpy as np

from nnkit.datasets.digits import FILE

__all__ = ["digits_csv"]


def digits_csv() -> str:
    """The text inside digits.csv.gz, made anew from ``sklearn.datasets.load_digits``."""
    import sklearn.datasets

    pixels, labels = sklearn.datasets.load_digits(return_X_y=True)
    table = np.column_stack([pixels, labels]).astype(int)
    return "".join(",".join(map(str, row)) + "\n" for row in table.tolist())


if __name__ == "__main__":
    FILE.write_bytes(gzip.compress(digits_csv().encode("ascii"), mtime=0))
