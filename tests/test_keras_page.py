"""The page on Keras's words does what it says: its blocks of Python run, one after the other."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

PAGE = (Path(__file__).parents[1] / "KERAS.md").read_text()


def test_the_blocks_of_the_page_run(device: str, tmp_path: Path) -> None:
    names: dict[str, Any] = {"__name__": "page"}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 3
    for number, block in enumerate(blocks):
        path = tmp_path / f"block_{number}.py"  # recording reads the source
        path.write_text(block)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            exec(compile(block, str(path), "exec"), names)
    assert names["history"].history["loss"][-1] < names["history"].history["loss"][0]
    assert not names["train_step"].plain and names["train_step"].programs
