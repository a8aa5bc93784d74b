"""Which names are variables of a function's own: those that something in it binds."""

from __future__ import annotations

import ast

from nnkit.recording.observer.source import CannotRead

__all__ = ["bound_by", "targets_of"]

SCOPES = (ast.FunctionDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def bound_by(function: ast.FunctionDef | ast.Lambda) -> set[str]:
    """The parameters and variables of a function, without those of the functions inside it."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    names = {argument.arg for argument in named if argument is not None}
    body = function.body if isinstance(function.body, list) else [function.body]
    for statement in body:
        _collect(statement, names, within=False)
    return names


def targets_of(generators: list[ast.comprehension]) -> set[str]:
    """The variables of a comprehension."""
    names: set[str] = set()
    for generator in generators:
        _collect(generator.target, names, within=False)
    return names


def _collect(node: ast.AST, names: set[str], within: bool) -> None:
    """Add what ``node`` binds; ``within`` a comprehension only ``:=`` binds a variable of the function."""
    if isinstance(node, ast.FunctionDef):
        names.add(node.name)
        for part in (*node.args.defaults, *node.args.kw_defaults):
            if part is not None:
                _collect(part, names, within)
        return
    if isinstance(node, ast.Lambda):
        return
    if isinstance(node, ast.NamedExpr):
        names.add(node.target.id)
    elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load) and not within:
        names.add(node.id)
    elif isinstance(node, ast.alias):
        if node.name == "*":
            raise CannotRead("it imports *")
        names.add((node.asname or node.name).partition(".")[0])
    elif isinstance(node, ast.ExceptHandler) and node.name:
        names.add(node.name)
    inside = within or isinstance(node, SCOPES)
    for child in ast.iter_child_nodes(node):
        _collect(child, names, inside)
