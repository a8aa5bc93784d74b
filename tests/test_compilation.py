"""How kernels are compiled: in a process of their own, within a time, and with a word where one has to wait."""

from __future__ import annotations

import ctypes
import importlib.util
import io
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from waiting import until

from nnkit import backends
from nnkit.kernels import compilation
from nnkit.kernels.compilation import Compilations
from nnkit.kernels.cpu import compiler, worker
from nnkit.kernels.cpu.build import Object, Source, build
from nnkit.kernels.cpu.elementwise import Shape, map_text, namespace
from nnkit.kernels.cpu.words import memory_words
from nnkit.kernels.cpu.worker import CannotCompile, TookTooLong, Worker
from nnkit.training import ProgressBar

TEXT = "def kernel(block):\n    pointer(block[0])[0] = 5.0\n"
SOURCE = Source("five", TEXT, memory_words, ("float64",))
#: Compiling it never ends, and ends only in the simpler form.
ENDLESS = SOURCE._replace(name="endless", text="while True: pass\n" + TEXT)
SLOW = SOURCE._replace(name="slow", text="from numba.core.config import OPT\nwhile OPT > 1: pass\n" + TEXT)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder for this test."""
    monkeypatch.setenv("NNKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def other() -> Iterator[Worker]:
    """A worker for this test alone."""
    made = Worker()
    yield made
    made.end()


def run(built: Object, *arguments: int) -> None:
    """Load a kernel and run it once."""
    loader = compiler._Loader()
    block = (ctypes.c_int64 * len(arguments))(*arguments)
    loader.load("any", built).call(ctypes.addressof(block))


def number(built: Object) -> float:
    """What a kernel writes."""
    out = np.zeros(1)
    run(built, out.ctypes.data)
    return float(out[0])


# ---- texts that end being compiled --------------------------------------------------------------------------------

SHAPE = (3, 5)
#: Operands by kind: full, one row, one column, one element.
KINDS = {"f": SHAPE, "r": (1, 5), "c": (3, 1), "1": (1, 1)}


@pytest.mark.parametrize("layout", ["c", "1", "fc", "f1", "cf", "1r", "rc1"])
def test_what_stays_along_a_row_is_read_before_it(layout: str) -> None:
    """Inside the loop LLVM's vectoriser would follow it again from each of its uses."""
    shape = Shape(("float32",) * len(layout), ("float32",), layout, (-1,))
    *before, inner = map_text("select" if len(layout) == 3 else "add", shape).split("\n")
    for k, kind in enumerate(layout):
        assert (f"x{k}[" in inner) == (kind in "fr"), inner
        assert any(f"v{k} = x{k}[" in line for line in before) == (kind in "c1")


@pytest.mark.parametrize("formula, layout", [
    ("mish", "c"), ("mish", "1"), ("mish_grad", "fc"), ("mish_grad", "f1"), ("mish_grad", "rc"),
    ("round_to_float16", "c"), ("round_to_float16", "1"),
])  # fmt: skip
def test_long_formulas_of_repeated_operands(formula: str, layout: str) -> None:
    """They are compiled without a warning, and give what the full operands give."""
    random = np.random.default_rng(0)
    inputs = [np.broadcast_to(random.standard_normal(KINDS[kind]).astype("f"), SHAPE) for kind in layout]
    wanted, given = np.empty(SHAPE, "f"), np.empty(SHAPE, "f")
    numba = backends.get("numba")
    numba.map(formula, [np.ascontiguousarray(x) for x in inputs], (wanted,))
    numba.map(formula, inputs, (given,))
    np.testing.assert_allclose(given, wanted, rtol=1e-6)


# ---- within a time ------------------------------------------------------------------------------------------------


def test_a_compilation_that_takes_too_long_is_given_up(other: Worker) -> None:
    with pytest.raises(TookTooLong):
        other.compile(ENDLESS, limit=0.1)
    assert number(other.compile(SOURCE)) == 5.0


def test_the_simpler_form_runs_instead_is_kept_and_said_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "LIMIT", 0.1)
    with pytest.warns(compiler.SlowCompilation, match="the kernel slow takes more than 0.1 seconds to compile"):
        built = compiler.compile_object(SLOW)
    assert number(built) == 5.0
    compiler.keep(SLOW, built)
    assert compiler._load_cached(compiler._Loader(), SLOW) is not None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiler.compile_object(SLOW)


@pytest.mark.parametrize("layout", ["f", "c"])
@pytest.mark.parametrize("formula", ["mish", "gelu", "sigmoid", "round_to_float16", "logarithm1p"])
def test_the_simpler_form_gives_the_same_and_needs_no_more(formula: str, layout: str) -> None:
    """Nothing that only Numba provides, as the fast form."""
    source = Source("m", map_text(formula, Shape(("float32",), ("float32",), layout, (-1,))), namespace, ("float32",))
    x, results = np.linspace(-3, 3, 15, dtype="f"), []
    for built in (build(source), build(source, simple=True)):
        assert set(built.needs) <= compiler.UNREACHED
        y = np.empty(15, "f")
        run(built, 15, 1, x.ctypes.data, y.ctypes.data)
        results.append(y)
    np.testing.assert_allclose(*results, rtol=1e-6)


# ---- in another process -------------------------------------------------------------------------------------------


def lambda_words() -> Source:
    return SOURCE._replace(words=lambda dtype: memory_words(dtype))


def test_what_another_process_cannot_find_is_compiled_here(other: Worker) -> None:
    with pytest.raises(CannotCompile, match="five cannot be sent"):
        other.compile(lambda_words())
    assert number(compiler.compile_object(lambda_words())) == 5.0


@pytest.mark.parametrize("program", ["/nowhere/python", "false", "cat", "", None])
def test_where_no_other_process_starts_it_is_compiled_here(
    program: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Python inside of another program may not know where Python is."""
    monkeypatch.setattr("multiprocessing.spawn.get_executable", lambda: program)
    monkeypatch.setattr(compiler, "_worker", Worker())
    assert number(compiler.compile_object(SOURCE)) == 5.0
    compiler._worker.end()


def test_a_frozen_program_does_not_start_itself_to_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would run from its beginning, and start itself again."""
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(FileNotFoundError, match="this program includes it"):
        worker._interpreter()
    monkeypatch.setattr("multiprocessing.spawn.get_executable", lambda: b"/somewhere/python")
    assert worker._interpreter() == "/somewhere/python"


def test_an_error_is_raised_where_the_kernel_was_asked_for() -> None:
    with pytest.raises(ZeroDivisionError):
        compiler.compile_object(SOURCE._replace(text="1 / 0\n" + TEXT))


def test_a_worker_that_ended_is_replaced(other: Worker) -> None:
    assert number(other.compile(SOURCE)) == 5.0
    assert other._process is not None
    other._process.kill()
    other._process.wait()
    assert number(other.compile(SOURCE)) == 5.0


def test_an_interrupted_compilation_leaves_no_answer_behind(other: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    other.compile(SOURCE)

    def interrupted(file: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(worker.pickle, "load", interrupted)
        with pytest.raises(KeyboardInterrupt):
            other.compile(SOURCE._replace(text=TEXT.replace("5", "6")))
    assert number(other.compile(SOURCE)) == 5.0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_leaves_its_parents_worker_alone() -> None:
    compiler.compile_object(SOURCE)
    process = compiler._worker._process
    child = os.fork()
    if child == 0:
        forgotten = compiler._worker._process is None
        built = compiler.compile_object(SOURCE._replace(text=TEXT.replace("5", "6")))
        right = number(built) == 6.0
        compiler._worker.end()
        os._exit(0 if forgotten and right else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert number(compiler.compile_object(SOURCE)) == 5.0
    assert compiler._worker._process is process


KILLED = f"""
import os, signal
from nnkit.kernels.cpu import compiler
from nnkit.kernels.cpu.words import memory_words
compiler.compile_object(compiler.Source("five", {TEXT!r}, memory_words, ("float64",)))
print(compiler._worker._process.pid, flush=True)
{{end}}
"""


@pytest.mark.skipif(os.name == "nt", reason="signals are others there")
@pytest.mark.parametrize("end", ["", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_no_worker_outlives_its_process(end: str) -> None:
    command = [sys.executable, "-W", "error", "-c", KILLED.format(end=end)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stderr == ""
    pid = int(done.stdout)
    until(lambda: not running(pid))


def running(pid: int) -> bool:
    """Whether a process is there that is not merely waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# ---- with a word --------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def told(stream: io.StringIO, folder: Path, monkeypatch: pytest.MonkeyPatch, seconds: float = 0.0) -> list[str]:
    """What is said at the beginning of a compilation and of a second one, which cannot be written."""
    monkeypatch.setattr(sys, "stderr", stream)
    compilations = Compilations("this processor")
    compilations.seconds = seconds
    said = []
    for error in (None, OSError("the disk is full")):
        with compilations.one(folder) as failed:
            said.append(stream.getvalue().replace("\r", "").strip())
            if error is not None:
                failed(error)
    return [said[0], stream.getvalue().replace("\r", "").strip().removeprefix(said[0]).strip()]


ONCE = "nnkit: compiling kernels for this processor, once; they are kept on disk"
FULL = (
    "nnkit: compiling kernels for this processor, for this process only: they cannot be kept on disk "
    "(the disk is full); set NNKIT_CACHE to a folder of your own"
)


def test_a_terminal_shows_it_before_the_first_compilation(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(Terminal(), cache / "kernels", monkeypatch) == [ONCE, FULL]


def test_elsewhere_it_is_said_when_it_takes_long(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(io.StringIO(), cache / "kernels", monkeypatch, seconds=1.5) == [ONCE, FULL]
    assert told(io.StringIO(), cache / "kernels", monkeypatch) == ["", ""]


def test_it_is_not_said_that_they_are_kept_where_they_are_not(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.write_text("a file where the folder should be")
    said, later = told(Terminal(), cache / "kernels", monkeypatch)
    assert "cannot be kept on disk ([Errno" in said and str(cache) in said
    assert later == ""


def test_without_a_standard_error_nothing_is_said(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    compilations = Compilations("this processor")
    compilations.seconds = 5.0
    with compilations.one(cache):
        pass
    assert compilations.told


def test_the_estimate_of_a_progress_bar_leaves_it_out(monkeypatch: pytest.MonkeyPatch) -> None:
    bar: Any = ProgressBar("bar")
    bar.set_trainer(SimpleNamespace(steps=10, epochs=1, model=None))
    bar.on_epoch_begin(0)
    start, printed = bar._bar.start_t, bar._bar.last_print_t
    monkeypatch.setattr(compilation, "_seconds", compilation.seconds() + 140.0)
    for _ in range(2):
        bar.on_read(0, {})
        assert (bar._bar.start_t - start, bar._bar.last_print_t - printed) == pytest.approx((140.0, 140.0))
    bar.on_train_end()


def test_the_worker_finds_the_kernels_where_this_process_found_them(monkeypatch: pytest.MonkeyPatch) -> None:
    class Beside:
        @staticmethod
        def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
            return importlib.util.spec_from_loader(name, None) if name == "nnkit.kernels" else None

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Beside])
    assert worker._finders()[-1] is Beside
