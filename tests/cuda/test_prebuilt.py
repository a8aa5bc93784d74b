"""Kernels compiled ahead into a folder: what is read from it, what is not, and the command that makes it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import kernel_checks
import pytest

from nnkit import __main__ as command
from nnkit.kernels.cuda import compiler, prebuilt
from nnkit.kernels.cuda.compiler import Binary, CompilerMissing, KernelsNotLoaded, Source, compile_source
from nnkit.testing import stock

FIVE = Source("five", "def kernel(y, n):\n    y[n] = element(5)\n", ("float32*", "int64"), "float32", 64)
SIX = FIVE._replace(name="six", text="def kernel(y, n):\n    y[n] = element(6)\n")
WRONG = FIVE._replace(name="wrong", text="def kernel(y, n):\n    y[n] = no_such_word(5)\n")


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kernels that are compiled, beside an empty cache; what comes out needs no compiler."""
    names: list[str] = []

    def stands_in(source: Source, architecture: str) -> Binary:
        names.append(source.name)
        return Binary(source.name, architecture, "cubin", source.text.encode())

    monkeypatch.setenv("NNKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NNKIT_KERNELS", str(tmp_path / "ahead"))
    monkeypatch.setattr(compiler, "compiled", stands_in)
    monkeypatch.setattr(compiler, "_warned", set())
    return names


def ahead(tmp_path: Path, source: Source = FIVE) -> Path:
    """The file of a kernel that has been compiled ahead for sm_90."""
    assert prebuilt.build_one(source, "sm_90", tmp_path / "ahead") == ""
    return compiler.place(tmp_path / "ahead", source, "sm_90")


def test_what_was_compiled_ahead_is_read_before_the_cache_and_not_kept_again(
    tmp_path: Path, compiled: list[str]
) -> None:
    ahead(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compile_source(FIVE, "sm_90").code == FIVE.text.encode()
        compile_source(SIX, "sm_90")  # which the folder lacks: nothing to warn of
    assert compiled == ["five", "six"]
    assert [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()] == ["six.sm_90"]


def other_kernel(path: Path) -> None:
    six = compiler.place(path.parents[1], SIX, "sm_90")
    assert prebuilt.build_one(SIX, "sm_90", path.parents[1]) == ""
    six.replace(path)


FOREIGN: dict[str, Callable[[Path], object]] = {
    "damaged": lambda path: path.write_bytes(path.read_bytes()[:-1] + b"?"),
    "empty": lambda path: path.write_bytes(b""),
    "another kernel's": other_kernel,
    "writable by all": lambda path: path.chmod(0o666),
    "of another version": lambda path: path.parent.rename(path.parent.with_name("cuda-0")),
}


@pytest.mark.parametrize("fault", FOREIGN)
def test_a_file_that_is_not_to_be_trusted_is_compiled_anew_with_one_warning(
    fault: str, tmp_path: Path, compiled: list[str]
) -> None:
    FOREIGN[fault](ahead(tmp_path))
    compiled.clear()
    with pytest.warns(KernelsNotLoaded, match="python -m nnkit kernels build") as caught:
        first = compile_source(FIVE, "sm_90")
        assert compile_source(FIVE, "sm_90") == first
    assert (first.code, compiled, len(caught)) == (FIVE.text.encode(), ["five"], 1)


def test_the_stock_has_kernels_of_each_kind_once() -> None:
    sources = stock.sources()
    assert len({source.name for source in sources}) == len(sources)
    for start in ("map_relu_", "map_adam_", "fill_", "take_batch_", "sum_rows", "argmax_rows", "cross_entropy_"):
        assert any(source.name.startswith(start) for source in sources), start


def test_the_command_compiles_what_is_lacking_and_names_what_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel_checks.need_compiler()
    arguments = ["kernels", "build", "--arch", "sm_90", "--to", str(tmp_path)]
    monkeypatch.setattr(stock, "sources", lambda: [FIVE, WRONG])
    for found, lacking in ((0, 2), (1, 1)):  # the second build goes on where the first stopped
        with pytest.raises(SystemExit) as caught:
            command.main(arguments)
        said = capsys.readouterr().out
        assert caught.value.code == 1
        assert f"2 kernels for sm_90, {found} of them" in said
        assert f"{lacking} of {lacking}" in said
        assert "not compiled: wrong: " in said
    assert prebuilt.missing([FIVE, WRONG], "sm_90", tmp_path) == [WRONG]


def test_the_command_refuses_an_architecture_that_there_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main(["kernels", "build", "--arch", "90", "--to", "here"])
    assert caught.value.code == 2
    assert "expected an architecture such as sm_90, got '90'" in capsys.readouterr().err


def test_without_a_compiler_the_command_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing() -> None:
        raise CompilerMissing("no compiler; install one")

    monkeypatch.setattr(compiler, "toolchain", missing)
    with pytest.raises(SystemExit) as caught:
        command.main(["kernels", "build", "--arch", "sm_90", "--to", str(tmp_path)])
    assert caught.value.code == 2
    assert "no compiler; install one" in capsys.readouterr().err
