"""What the emulated Python is told at its start: which programs run it again, and compile for it."""

import multiprocessing
import sys
from pathlib import Path

HERE = Path(__file__).parents[1]

sys.executable = str(HERE / "python")
multiprocessing.set_executable(str(HERE / "compiler"))
