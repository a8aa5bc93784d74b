"""The syntax tree of a function that is already running: its file is parsed again, and the part that compiles to the
very same instructions is its source. Where there is none (a file that was edited meanwhile, a console of Python 3.12
and older, code made by ``exec``), the function is not understood.
"""

from __future__ import annotations
import __future__

import ast
import copy
import linecache
import sys
from types import CodeType, FunctionType
from typing import NamedTuple

__all__ = ["CannotRead", "Source", "compiled", "source_of"]

FUTURE = 0
for _name in __future__.all_feature_names:
    FUTURE |= getattr(__future__, _name).compiler_flag

NESTED, DOCSTRING = 0x10, 0x4000000  # flags of code that say nothing about what it does

Function = ast.FunctionDef | ast.Lambda
FUNCTIONS = (ast.FunctionDef, ast.Lambda)


class CannotRead(Exception):
    """A function's source is not at hand, or has something in it that is not understood."""


class Source(NamedTuple):
    """A function's syntax, the class that it was written in, and the names that its file imports: to the compiler,
    a call of a module's function differs from a call of an object's."""

    node: Function
    owner: str | None
    imported: frozenset[str]


_files: dict[str, tuple[list[str], dict[int, list[Source]]]] = {}


def source_of(function: FunctionType) -> Source:
    """The source of a Python function. Raises CannotRead."""
    code = function.__code__
    rewritten = type(function.__globals__.get("__loader__")).__name__ == "AssertionRewritingHook"
    for candidate in _candidates(code, _file_of(function)):
        found = compiled(bare(candidate), code, ())
        if alike(found, code) or (rewritten and _resembles(found, code)):
            return bare(candidate)
    raise CannotRead("its source is not at hand: put it into a file, and start anew where that was edited")


def _file_of(function: FunctionType) -> str:
    """Where a function was written. cloudpickle, by which joblib's processes get what a script defines, leaves that to
    the globals."""
    name = function.__code__.co_filename
    return str(function.__globals__.get("__file__") or name) if name == "<dynamic-code>" else name


def _candidates(code: CodeType, file: str) -> list[Source]:
    """The functions that start where this one does."""
    lines = linecache.getlines(file) or _command_line(file)
    known = _files.get(file)
    if known is None or known[0] is not lines:
        try:
            tree = ast.parse("".join(lines))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            tree = ast.Module([], [])
        index: dict[int, list[Source]] = {}
        _index(tree, index)
        known = _files[file] = lines, index
    return known[1].get(code.co_firstlineno, [])


def _command_line(filename: str) -> list[str]:
    """The program of ``python -c``."""
    words = sys.orig_argv
    return words[words.index("-c") + 1].splitlines(keepends=True) if filename == "<string>" and "-c" in words else []


def _imported(tree: ast.Module) -> frozenset[str]:
    """The names that a module imports, outside its functions and classes."""
    names, waiting = set(), list[ast.AST](tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif not isinstance(node, (ast.ClassDef, ast.AsyncFunctionDef, *FUNCTIONS)):
            waiting += ast.iter_child_nodes(node)
    return frozenset(names)


def _index(tree: ast.Module, found: dict[int, list[Source]]) -> None:
    """Collect every function of a module by the line it starts in."""
    imported = _imported(tree)
    waiting: list[tuple[ast.AST, str | None]] = [(tree, None)]
    while waiting:
        node, owner = waiting.pop()
        if isinstance(node, FUNCTIONS):
            decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
            first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
            found.setdefault(first, []).append(Source(node, owner, imported))
        inner = node.name if isinstance(node, ast.ClassDef) else owner
        waiting += [(child, inner) for child in ast.iter_child_nodes(node)]


def bare(source: Source) -> Source:
    """The same without what is evaluated where the function is made, not where it runs."""
    node = copy.copy(source.node)
    if isinstance(node, ast.FunctionDef):
        if getattr(node, "type_params", None):
            raise CannotRead("it has type parameters")
        node.decorator_list, node.returns = [], None
    arguments = node.args = copy.copy(node.args)
    nothing = ast.copy_location(ast.Constant(None), node)
    arguments.defaults = [nothing for _ in arguments.defaults]
    arguments.kw_defaults = [default and nothing for default in arguments.kw_defaults]
    for name in ("posonlyargs", "args", "kwonlyargs"):
        setattr(arguments, name, [_unannotated(argument) for argument in getattr(arguments, name)])
    arguments.vararg = arguments.vararg and _unannotated(arguments.vararg)
    arguments.kwarg = arguments.kwarg and _unannotated(arguments.kwarg)
    return source._replace(node=node)


def _unannotated(argument: ast.arg) -> ast.arg:
    return ast.copy_location(ast.arg(argument.arg), argument)


def compiled(source: Source, like: CodeType, free: tuple[str, ...]) -> CodeType:
    """The code of a function of this syntax, to which ``like``'s free variables and ``free`` are variables outside."""
    node = source.node
    made: ast.stmt = ast.Return(node) if isinstance(node, ast.Lambda) else node
    names = [ast.arg(name) for name in dict.fromkeys((*like.co_freevars, *free))]
    around: ast.stmt = ast.FunctionDef(
        name="around", args=ast.arguments([], names, None, [], [], None, []), body=[made], decorator_list=[]
    )
    if hasattr(around, "type_params") or sys.version_info >= (3, 12):
        around.type_params = []  # type: ignore[attr-defined]
    if source.owner is not None:  # names with two underscores are the class's own
        around = ast.ClassDef(name=source.owner, bases=[], keywords=[], body=[around], decorator_list=[])
        if sys.version_info >= (3, 12):
            around.type_params = []  # type: ignore[attr-defined]
    imports: list[ast.stmt] = [ast.Import([ast.alias(name)]) for name in sorted(source.imported)]
    module = ast.fix_missing_locations(ast.Module([*imports, around], []))
    code = compile(module, like.co_filename, "exec", flags=like.co_flags & FUTURE, dont_inherit=True)
    for _ in range(2 if source.owner is None else 3):
        code = next(constant for constant in code.co_consts if isinstance(constant, CodeType))
    return code.replace(co_qualname=like.co_qualname)


def alike(one: CodeType, other: CodeType) -> bool:
    """Whether two codes do the same."""
    return (
        one.co_code == other.co_code
        and one.co_names == other.co_names
        and one.co_varnames == other.co_varnames
        and sorted(one.co_freevars) == sorted(other.co_freevars)
        and one.co_cellvars == other.co_cellvars
        and _signature(one) == _signature(other)
        and len(one.co_consts) == len(other.co_consts)
        and all(map(_same_constant, one.co_consts, other.co_consts))
    )


def _signature(code: CodeType) -> tuple[int, ...]:
    flags = code.co_flags & ~(NESTED | DOCSTRING)
    return code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, flags


def _same_constant(one: object, other: object) -> bool:
    if isinstance(one, CodeType) and isinstance(other, CodeType):
        return alike(one, other)
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_same_constant, one, other))
    return type(one) is type(other) and (one == other) and (isinstance(one, frozenset) or repr(one) == repr(other))


def _resembles(found: CodeType, code: CodeType) -> bool:
    """The same for a module in which pytest rewrote the assertions, which is all that differs."""
    return (
        _signature(found) == _signature(code)
        and found.co_freevars == code.co_freevars
        and found.co_varnames == tuple(name for name in code.co_varnames if name[0] != "@")
        and set(found.co_names) <= {*code.co_names, "AssertionError"}
    )
