"""A twin of a function that tells what it reads and does: ``a.b`` becomes ``__nnkit__.attribute(a, "b")``, and so on.

The twin does the same in the same order, and line numbers stay, so errors point where they would. Told are: variables
from outside (globals, closure), attributes, items, calls, operators and whatever else looks into a value, containers
made on the way, and what is set. What a twin cannot tell is refused by ``CannotRead``.
"""

from __future__ import annotations

import ast
import copy
from types import CodeType, FunctionType
from typing import Any

from nnkit.recording.observer.scopes import bound_by, targets_of
from nnkit.recording.observer.source import CannotRead, Function, Source, compiled

__all__ = ["HOOKS", "twin_code"]

HOOKS = "__nnkit__"  # the twin's variable for the hooks
#: Words that work by where they are called from.
FRAMES = {
    "locals",
    "globals",
    "vars",
    "dir",
    "eval",
    "exec",
    "_getframe",
    "breakpoint",
}  # work by where they are called
REFUSED = {
    ast.ClassDef: "it defines a class",
    ast.AsyncFunctionDef: "it is asynchronous",
    ast.Await: "it is asynchronous",
    ast.AsyncFor: "it is asynchronous",
    ast.AsyncWith: "it is asynchronous",
    ast.Match: "it uses match: write if",
    ast.Global: "it sets a global variable",
    ast.Nonlocal: "it sets a variable of a function around it",
    ast.Delete: "it deletes something",
}
AUGMENTED = "__nnkit_augmented__"


def twin_code(source: Source, function: FunctionType) -> CodeType:
    """The code of the twin of a function with this source. Raises CannotRead."""
    code = function.__code__
    node = _Rewriter(source, frozenset(code.co_freevars)).twin(copy.deepcopy(source.node))
    return compiled(source._replace(node=node), code, (HOOKS,))


class _Rewriter(ast.NodeTransformer):
    def __init__(self, source: Source, free: frozenset[str]) -> None:
        self._owner = source.owner
        self._free = free
        self._scopes: list[set[str]] = []
        self._made = 0

    def twin(self, node: Function) -> Function:
        """The whole function, rewritten."""
        return self._function(node)

    # ---- tools ------------------------------------------------------------------------------------------------

    def _hook(self, name: str, at: ast.AST, *arguments: ast.expr) -> ast.Call:
        hook = ast.Attribute(ast.Name(HOOKS, ast.Load()), name, ast.Load())
        call = ast.Call(hook, list(arguments), [])
        for made in (call, hook, hook.value):
            ast.copy_location(made, at)
        return call

    def _text(self, text: str, at: ast.AST) -> ast.Constant:
        if self._owner is not None and text.startswith("__") and not text.endswith("__"):
            text = f"_{self._owner.lstrip('_')}{text}" if self._owner.strip("_") else text
        return ast.copy_location(ast.Constant(text), at)

    def _used(self, node: ast.expr) -> ast.expr:
        """A value that is looked into, by an operator for one."""
        new = self.visit(node)
        return new if isinstance(node, ast.Constant) else self._hook("used", node, new)

    def _variable(self, at: ast.AST) -> ast.Name:
        self._made += 1
        return ast.copy_location(ast.Name(f"{AUGMENTED}{self._made}", ast.Store()), at)

    def visit(self, node: ast.AST) -> Any:
        """Rewrite a node; refuse what a twin cannot tell."""
        for kind, reason in REFUSED.items():
            if isinstance(node, kind) and not (kind is ast.Delete and _deletes_names(node)):
                raise CannotRead(f"{reason} in line {getattr(node, 'lineno', '?')}")
        return super().visit(node)

    # ---- functions inside, and comprehensions -------------------------------------------------------------------

    def _function(self, node: Function) -> Function:
        self._scopes.append(bound_by(node))
        arguments = node.args.kwarg
        if isinstance(node, ast.FunctionDef):
            node.body = self._body(node.body)
            if arguments is not None:  # a dict made for this call
                made = self._hook("made", node, ast.copy_location(ast.Name(arguments.arg, ast.Load()), node))
                node.body.insert(0, ast.copy_location(ast.Expr(made), node))
        else:
            node.body = self.visit(node.body)
        self._scopes.pop()
        return node

    def _body(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        found: list[ast.stmt] = []
        for statement in statements:
            new = self.visit(statement)
            found += new if isinstance(new, list) else [new]
        return found

    def _defaults(self, arguments: ast.arguments) -> None:
        arguments.defaults = [self.visit(default) for default in arguments.defaults]
        arguments.kw_defaults = [default and self.visit(default) for default in arguments.kw_defaults]

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        """A function inside: it tells through the same hooks."""
        if node.decorator_list or getattr(node, "type_params", None):
            raise CannotRead(f"it decorates a function in line {node.lineno}")
        self._defaults(node.args)
        _without_annotations(node)
        return self._function(node)

    def visit_Lambda(self, node: ast.Lambda) -> Any:
        """A function inside, too."""
        self._defaults(node.args)
        return self._function(node)

    def _comprehension(self, node: Any) -> Any:
        first = node.generators[0].iter = self._used(node.generators[0].iter)
        self._scopes.append(targets_of(node.generators))
        for generator in node.generators:
            generator.target = self._target(generator.target)
            if generator.iter is not first:
                generator.iter = self._used(generator.iter)
            generator.ifs = [self._used(condition) for condition in generator.ifs]
        if isinstance(node, ast.DictComp):
            node.key, node.value = self._used(node.key), self.visit(node.value)
        else:
            node.elt = self.visit(node.elt)
        self._scopes.pop()
        return self._hook("made", node, node)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    # ---- expressions --------------------------------------------------------------------------------------------

    def visit_Name(self, node: ast.Name) -> Any:
        """A variable: told where it is not the function's own."""
        if not isinstance(node.ctx, ast.Load) or any(node.id in scope for scope in self._scopes):
            return node
        if node.id in FRAMES:
            raise CannotRead(f"it uses {node.id} in line {node.lineno}")
        return self._hook("free" if node.id in self._free else "name", node, self._text(node.id, node), node)

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        """``a.b``."""
        if node.attr == "_getframe":
            raise CannotRead(f"it uses _getframe in line {node.lineno}")
        return self._hook("attribute", node, self.visit(node.value), self._text(node.attr, node))

    def visit_Subscript(self, node: ast.Subscript) -> Any:
        """``a[b]``."""
        return self._hook("item", node, self.visit(node.value), self._index(node.slice))

    def _index(self, node: ast.expr) -> ast.expr:
        if isinstance(node, ast.Slice):
            nothing = ast.copy_location(ast.Constant(None), node)
            parts = [nothing if part is None else self.visit(part) for part in (node.lower, node.upper, node.step)]
            return self._hook("slice", node, *parts)
        if isinstance(node, ast.Tuple) and any(isinstance(part, ast.Slice) for part in node.elts):
            return ast.copy_location(ast.Tuple([self._index(part) for part in node.elts], ast.Load()), node)
        return self.visit(node)

    def visit_Call(self, node: ast.Call) -> Any:
        """``f(a, *b, **c)``. What stands as ``super()`` works by where it stands."""
        if isinstance(node.func, ast.Name) and node.func.id == "super":
            if not node.args:
                return node
            function: ast.expr = node.func
        else:
            function = self.visit(node.func)
        arguments = [self.visit(argument) for argument in node.args]
        call = self._hook("call", node, function, *arguments)
        call.keywords = [
            ast.copy_location(
                ast.keyword(word.arg, self._used(word.value) if word.arg is None else self.visit(word.value)), word
            )
            for word in node.keywords
        ]
        return call

    def visit_Starred(self, node: ast.Starred) -> Any:
        """``*a``."""
        if isinstance(node.ctx, ast.Load):
            node.value = self._used(node.value)
        return node

    def visit_BinOp(self, node: ast.BinOp) -> Any:
        """``a + b``."""
        node.left, node.right = self._used(node.left), self._used(node.right)
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:
        """``-a``, ``not a``."""
        node.operand = self._used(node.operand)
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:
        """``a and b``: all but the last are asked whether they are true."""
        node.values = [*(self._used(value) for value in node.values[:-1]), self.visit(node.values[-1])]
        return node

    def visit_Compare(self, node: ast.Compare) -> Any:
        """``a < b``; ``a is b`` looks into neither."""
        if all(isinstance(operator, (ast.Is, ast.IsNot)) for operator in node.ops):
            return self.generic_visit(node)
        node.left = self._used(node.left)
        node.comparators = [self._used(value) for value in node.comparators]
        return node

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        """``a if b else c``."""
        node.test, node.body, node.orelse = self._used(node.test), self.visit(node.body), self.visit(node.orelse)
        return node

    def visit_FormattedValue(self, node: ast.FormattedValue) -> Any:
        """``{a}`` in a text."""
        node.value = self._used(node.value)
        if node.format_spec is not None:
            node.format_spec = self.visit(node.format_spec)
        return node

    def visit_YieldFrom(self, node: ast.YieldFrom) -> Any:
        """``yield from a``."""
        node.value = self._used(node.value)
        return node

    def _display(self, node: Any) -> Any:
        if isinstance(getattr(node, "ctx", None), ast.Store):
            return node
        if isinstance(node, ast.Dict):
            node.keys = [key and self._used(key) for key in node.keys]
            values = zip(node.keys, node.values, strict=True)
            node.values = [self._used(value) if key is None else self.visit(value) for key, value in values]
        else:
            node.elts = [self.visit(part) for part in node.elts]
        return self._hook("made", node, node)

    visit_List = visit_Dict = visit_Set = _display

    # ---- statements -----------------------------------------------------------------------------------------------

    def _target(self, node: ast.expr) -> ast.expr:
        """What a loop or a ``with`` may assign to: variables only."""
        for part in ast.walk(node):
            if isinstance(part, (ast.Attribute, ast.Subscript)):
                raise CannotRead(f"it sets something in the head of a loop or a with in line {part.lineno}")
        return node

    def visit_Assign(self, node: ast.Assign) -> Any:
        """``a = b``, ``a.b = c``, ``a[b] = c`` and several at once."""
        unpacks = any(isinstance(target, (ast.Tuple, ast.List)) for target in node.targets)
        node.value = self._used(node.value) if unpacks else self.visit(node.value)
        stores: list[ast.stmt] = []
        node.targets = [self._stored(target, stores) for target in node.targets]
        return [node, *stores]

    def _stored(self, target: ast.expr, stores: list[ast.stmt]) -> ast.expr:
        """A target in which variables stand for attributes and items; these are set from them afterwards."""
        if isinstance(target, (ast.Tuple, ast.List)):
            target.elts = [self._stored(part, stores) for part in target.elts]
        elif isinstance(target, ast.Starred):
            target.value = self._stored(target.value, stores)
        elif isinstance(target, (ast.Attribute, ast.Subscript)):
            variable = self._variable(target)
            value = ast.copy_location(ast.Name(variable.id, ast.Load()), target)
            stores.append(self._store(target, value, self.visit(target.value)))
            return variable
        return target

    def _store(self, target: Any, value: ast.expr, owner: ast.expr, index: ast.expr | None = None) -> ast.stmt:
        if isinstance(target, ast.Attribute):
            call = self._hook("set_attribute", target, value, owner, self._text(target.attr, target))
        else:
            call = self._hook("set_item", target, value, owner, self._index(target.slice) if index is None else index)
        return ast.copy_location(ast.Expr(call), target)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        """``a: int = b``: in a function the annotation is not evaluated."""
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return self.visit_Assign(ast.copy_location(ast.Assign([node.target], node.value), node))

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        """``a += b``: the old value is looked into, and may be changed in place."""
        target = node.target
        if isinstance(target, ast.Name):
            loaded = ast.copy_location(ast.Name(target.id, ast.Load()), node)
            check = ast.copy_location(ast.Expr(self._hook("augmented", node, loaded)), node)
            node.value = self._used(node.value)
            return [check, node]
        owner, value = self._variable(node), self._variable(node)
        statements: list[ast.stmt] = [self._assign(owner, self.visit(target.value))]
        index = None
        if isinstance(target, ast.Subscript):
            index = self._variable(node)
            statements.append(self._assign(index, self._index(target.slice)))
            read = self._hook("item", node, _load(owner), _load(index))
        else:
            read = self._hook("attribute", node, _load(owner), self._text(target.attr, node))
        statements.append(self._assign(value, self._hook("augmented", node, read)))
        augmented = ast.AugAssign(value, node.op, self._used(node.value))
        statements.append(ast.copy_location(augmented, node))
        statements.append(self._store(target, _load(value), _load(owner), None if index is None else _load(index)))
        return statements

    def _assign(self, variable: ast.Name, value: ast.expr) -> ast.stmt:
        return ast.copy_location(ast.Assign([ast.Name(variable.id, ast.Store(), **_at(variable))], value), variable)

    def visit_For(self, node: ast.For) -> Any:
        """``for a in b:``."""
        node.target, node.iter = self._target(node.target), self._used(node.iter)
        node.body, node.orelse = self._body(node.body), self._body(node.orelse)
        return node

    def _conditional(self, node: Any) -> Any:
        node.test = self._used(node.test)
        node.body, node.orelse = self._body(node.body), self._body(node.orelse)
        return node

    visit_If = visit_While = _conditional

    def visit_Assert(self, node: ast.Assert) -> Any:
        """``assert a, b``."""
        node.test = self._used(node.test)
        node.msg = node.msg and self.visit(node.msg)
        return node

    def visit_With(self, node: ast.With) -> Any:
        """``with a as b:``."""
        for item in node.items:
            item.context_expr = self._hook("entered", item.context_expr, self.visit(item.context_expr))
            if item.optional_vars is not None:
                item.optional_vars = self._target(item.optional_vars)
        node.body = self._body(node.body)
        return node

    def visit_Import(self, node: ast.Import) -> Any:
        """``import a``."""
        told: list[ast.stmt] = []
        for alias in node.names:
            name = ast.copy_location(ast.Constant(alias.name), node)
            told.append(ast.copy_location(ast.Expr(self._hook("imported_module", node, name)), node))
        return [node, *told]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> Any:
        """``from a import b``: b is read from a, every time."""
        if node.level:
            raise CannotRead(f"it imports from its own package in line {node.lineno}: import at the top")
        told: list[ast.stmt] = []
        for alias in node.names:
            value = ast.copy_location(ast.Name(alias.asname or alias.name, ast.Load()), node)
            names = [ast.copy_location(ast.Constant(text), node) for text in (node.module, alias.name)]
            told.append(ast.copy_location(ast.Expr(self._hook("imported", node, *names, value)), node))
        return [node, *told]


def _load(variable: ast.Name) -> ast.Name:
    return ast.copy_location(ast.Name(variable.id, ast.Load()), variable)


def _at(node: ast.expr) -> dict[str, Any]:
    return {name: getattr(node, name) for name in ("lineno", "col_offset", "end_lineno", "end_col_offset")}


def _deletes_names(node: ast.AST) -> bool:
    return isinstance(node, ast.Delete) and all(isinstance(target, ast.Name) for target in node.targets)


def _without_annotations(node: ast.FunctionDef) -> None:
    node.returns = None
    arguments = node.args
    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg):
        if argument is not None:
            argument.annotation = None
