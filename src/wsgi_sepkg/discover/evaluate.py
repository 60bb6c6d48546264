"""A reader of settings modules: what names would hold, without running anything.

The syntax tree is walked with abstract values (value.py). Where a condition depends on the host,
both branches are followed and the condition is kept. What a library would return is known for the
few functions that settings modules use (library.py); anything else is unknown, and said to be.
"""

# The methods are named after the nodes of the ast module, as those of ast.NodeVisitor are.
# ruff: noqa: N802, N815
from __future__ import annotations

import ast
import posixpath
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from wsgi_sepkg.discover import library
from wsgi_sepkg.discover.source import Tree
from wsgi_sepkg.discover.value import (
    ABSENT,
    LONGEST_TEXT,
    MOST_ITEMS,
    NOWHERE,
    Absent,
    Alternative,
    Either,
    Function,
    Items,
    Klass,
    Known,
    Library,
    Module,
    Table,
    Unknown,
    Value,
    alternatives,
    either,
    envs_of,
    get,
    has_hole,
    hole,
    mapped,
    negated,
    paired,
    place_of,
    readable,
    with_envs,
)
from wsgi_sepkg.errors import Place, WsgiSepkgError

_STEPS = 150_000
_DEEPEST = 60
_CALLS = 12
_IMPORTS = 20
_TURNS = 64


class TooMuch(WsgiSepkgError, ValueError):
    """Reading a settings module takes more steps than any real one needs."""

    exit_status = 2


@dataclass(frozen=True)
class Remark:
    """Something about the reading that a person should know, with its place."""

    text: str
    place: Place


@dataclass(frozen=True)
class FileRead:
    """The settings read a file of the host: its path, and what the content becomes."""

    path: Value
    place: Place
    purpose: str = ""


@dataclass
class _Scope:
    """Names of a module, a function or a class; ``outer`` is asked for the others."""

    names: dict[str, Value]
    module: _Unit
    outer: _Scope | None = None

    def look(self, name: str) -> Value | None:
        scope: _Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.outer
        return None


@dataclass
class _Unit:
    """A module being read: its dotted name, its file, whether it is a package."""

    name: str
    file: str
    package: bool


@dataclass
class _Flow:
    """What a block does: the values it returns, and whether what follows it is reached.

    ``under`` and ``likely`` say when it is reached, where other branches have returned.
    """

    returns: list[Alternative] = field(default_factory=list)
    live: bool = True
    under: tuple[str, ...] = ()
    likely: bool | None = True


class Reader:
    """Reads modules of one tree. ``root`` is where the folder ``source`` lies on the target."""

    def __init__(self, tree: Tree, source: str, root: str) -> None:
        self.tree = tree
        self.source = source.strip("/") if source != "." else ""
        self.root = root.rstrip("/")
        self.remarks: list[Remark] = []
        self.files: list[FileRead] = []
        self.required: dict[str, Place] = {}
        self.modules: dict[str, Module | None] = {}
        self.steps = 0
        self.depth = 0
        self.calls = 0
        self.importing: list[str] = []
        self.purpose: list[str] = []

    # -- modules -----------------------------------------------------------------------------

    def module(self, name: str) -> Module | None:
        """Return a module of the tree, None when the tree has none of that name.

        Raises Unreadable when it cannot be read, TooMuch when it never ends.
        """
        if name in self.modules:
            return self.modules[name]
        file, package = self.file_of(name)
        if not file or name in self.importing or len(self.importing) >= _IMPORTS:
            if file:
                self.remark(f"{name} imports itself, or too many modules import one another", file)
            return None
        return self._read(name, file, package)

    def _read(self, name: str, file: str, package: bool) -> Module:
        parsed = self.tree.parsed(file)
        self.importing.append(name)
        unit = _Unit(name, file, package)
        scope = _Scope({"__file__": self._file(file), "__name__": Known(name)}, unit)
        try:
            self.block(parsed.body, scope)
        finally:
            self.importing.pop()
        self.modules[name] = Module(name, scope.names)
        return Module(name, scope.names)

    def file_module(self, file: str) -> Module:
        """Return what a Python file of the tree assigns, e.g. a configuration of gunicorn."""
        return self._read(f"<{file}>", file, False)

    def file_of(self, name: str) -> tuple[str, bool]:
        """Return the file of a module relative to the tree, and whether it is a package."""
        parts = name.split(".")
        if not all(part.isidentifier() for part in parts) or len(name) > 200:
            return "", False
        stem = "/".join(([self.source] if self.source else []) + parts)
        if self.tree.is_file(f"{stem}.py"):
            return f"{stem}.py", False
        if self.tree.is_file(f"{stem}/__init__.py"):
            return f"{stem}/__init__.py", True
        return "", False

    def _file(self, file: str) -> Value:
        inner = file.removeprefix(f"{self.source}/") if self.source else file
        return Known(f"{self.root}/{inner}", Place(file, 1), path=True)

    def remark(self, text: str, file: str, line: int = 0) -> None:
        """Keep a remark, once."""
        found = Remark(readable(text), Place(file, line))
        if found not in self.remarks and len(self.remarks) < 200:
            self.remarks.append(found)

    # -- statements --------------------------------------------------------------------------

    def block(self, body: Sequence[ast.stmt], scope: _Scope) -> _Flow:
        """Follow statements one after the other."""
        flow = _Flow()
        for statement in body:
            part = self.statement(statement, scope)
            flow.returns += [
                Alternative(
                    r.value,
                    tuple(dict.fromkeys((*flow.under, *r.when))),
                    r.default if flow.likely else flow.likely,
                )
                for r in part.returns
            ]
            if not part.live:
                flow.live = False
                break
            flow.under = tuple(dict.fromkeys((*flow.under, *part.under)))
            flow.likely = part.likely if flow.likely else flow.likely
        return flow

    def statement(self, node: ast.stmt, scope: _Scope) -> _Flow:
        self.steps += 1
        if self.steps > _STEPS:
            raise TooMuch(
                f"{scope.module.file}: the settings take too many steps to be read",
                "name another settings module, or describe the application by hand",
            )
        if self.depth > _DEEPEST:
            self.remark("nested too deeply to be read", scope.module.file, node.lineno)
            return _Flow()
        self.depth += 1
        try:
            method = getattr(self, f"do_{type(node).__name__}", None)
            if method is None:
                return _Flow()
            return method(node, scope) or _Flow()
        except RecursionError:
            self.remark("nested too deeply to be read", scope.module.file, node.lineno)
            return _Flow()
        finally:
            self.depth -= 1

    def do_Assign(self, node: ast.Assign, scope: _Scope) -> None:
        name = next((t.id for t in node.targets if isinstance(t, ast.Name)), "")
        value = self.value(node.value, scope, name)
        for target in node.targets:
            self.store(target, value, scope)

    def do_AnnAssign(self, node: ast.AnnAssign, scope: _Scope) -> None:
        if node.value is not None:
            name = node.target.id if isinstance(node.target, ast.Name) else ""
            self.store(node.target, self.value(node.value, scope, name), scope)

    def do_AugAssign(self, node: ast.AugAssign, scope: _Scope) -> None:
        before = self.value(node.target, scope)
        self.store(node.target, self.binary(node.op, before, self.value(node.value, scope)), scope)

    def do_Expr(self, node: ast.Expr, scope: _Scope) -> None:
        if isinstance(node.value, ast.Call):
            if self.changed(node.value, scope):
                return
            self.value(node.value, scope)

    def do_Delete(self, node: ast.Delete, scope: _Scope) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                scope.names.pop(target.id, None)
            elif isinstance(target, ast.Subscript):
                key = self.key(target.slice, scope)
                holder = self.value(target.value, scope)
                if isinstance(holder, Table) and key is not None:
                    rest = {k: v for k, v in holder.items.items() if k != key}
                    self.store(target.value, replace(holder, items=rest), scope)

    def do_Return(self, node: ast.Return, scope: _Scope) -> _Flow:
        value = self.value(node.value, scope) if node.value else Known(None)
        return _Flow([Alternative(value, (), True)], False)

    def do_Raise(self, node: ast.Raise, scope: _Scope) -> _Flow:
        return _Flow(live=False)

    def do_If(self, node: ast.If, scope: _Scope) -> _Flow:
        test = self.value(node.test, scope)
        truth, sure = self.truth(test)
        if sure and truth is not None:
            return self.block(node.body if truth else node.orelse, scope)
        condition = self.said(node.test, test)
        return self.fork(
            scope,
            (condition, truth, node.body),
            (negated(condition), None if truth is None else not truth, node.orelse),
        )

    def do_Try(self, node: ast.Try, scope: _Scope) -> _Flow:
        if not node.handlers or self.certain(node.body, scope):
            flow = self.block([*node.body, *node.orelse], scope)
        else:
            what = f"line {node.lineno} of {scope.module.file} fails"
            missing = self.lacking(node.body, scope)
            flow = self.fork(
                scope,
                (negated(what), None if missing else True, [*node.body, *node.orelse]),
                (what, None if missing else False, node.handlers[0].body),
            )
        last = self.block(node.finalbody, scope)
        return _Flow(flow.returns + last.returns, flow.live and last.live)

    do_TryStar = do_Try

    def do_With(self, node: ast.With | ast.AsyncWith, scope: _Scope) -> _Flow:
        for item in node.items:
            value = self.value(item.context_expr, scope)
            if item.optional_vars is not None:
                self.store(item.optional_vars, value, scope)
        return self.block(node.body, scope)

    do_AsyncWith = do_With

    def do_For(self, node: ast.For | ast.AsyncFor, scope: _Scope) -> _Flow:
        items = self.iterated(self.value(node.iter, scope))
        if items is not None and len(items) <= _TURNS and not _has_jump(node.body):
            flow = _Flow()
            for item in items:
                self.store(node.target, item, scope)
                part = self.block(node.body, scope)
                flow.returns += part.returns
                if not part.live:
                    return _Flow(flow.returns, False)
            last = self.block(node.orelse, scope)
            return _Flow(flow.returns + last.returns, last.live)
        source = self.value(node.iter, scope)
        # What a file of the host says can replace a default, as the environment can.
        file = next((f for a in alternatives(source) if (f := _file_of(a.value))), "")
        item = Unknown("a loop that is not followed", self.at(node, scope), file=file)
        self.store(node.target, item, scope)
        likely = False if file else None
        condition = f"{file} says so" if file else f"the loop at line {node.lineno}"
        return self.fork(scope, (condition, likely, node.body), ("", True if file else None, []))

    do_AsyncFor = do_For

    def do_While(self, node: ast.While, scope: _Scope) -> _Flow:
        return self.fork(
            scope, (f"the loop at line {node.lineno}", None, node.body), ("", None, [])
        )

    def do_Match(self, node: ast.Match, scope: _Scope) -> _Flow:
        subject = readable(ast.unparse(node.subject))[:80]
        branches = [
            (f"{subject} matches {readable(ast.unparse(c.pattern))[:60]}", None, c.body)
            for c in node.cases[:20]
        ]
        return self.fork(scope, *branches, ("no case matches", None, []))

    def do_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: _Scope) -> None:
        value: Value = Function(node, scope)
        decorators = [readable(ast.unparse(d))[:60] for d in node.decorator_list]
        if any(d in ("property", "classproperty") for d in decorators):
            value = Library("property", (value,))
        elif any(
            d not in ("staticmethod", "classmethod", "cache", "lru_cache") for d in decorators
        ):
            value = Unknown("a decorated function", self.at(node, scope))
        scope.names[node.name] = value

    do_AsyncFunctionDef = do_FunctionDef

    def do_ClassDef(self, node: ast.ClassDef, scope: _Scope) -> None:
        inner = _Scope({}, scope.module, scope)
        self.block(node.body, inner)
        bases = tuple(self.value(base, scope) for base in node.bases[:10])
        scope.names[node.name] = Klass(node.name, inner.names, bases, scope)

    def do_Import(self, node: ast.Import, scope: _Scope) -> None:
        for alias in node.names:
            top = alias.name.split(".")[0]
            name, shown = (alias.name, alias.asname) if alias.asname else (top, top)
            scope.names[shown] = self.imported(name)

    def do_ImportFrom(self, node: ast.ImportFrom, scope: _Scope) -> None:
        base = self.absolute(node, scope)
        for alias in node.names:
            if alias.name == "*":
                self.star(base, scope, node)
                continue
            value = self.member(base, alias.name)
            scope.names[alias.asname or alias.name] = value

    def star(self, base: str, scope: _Scope, node: ast.stmt) -> None:
        """Take all names of a module; say when they cannot be known."""
        module = self.module(base)
        if module is not None:
            listed = module.names.get("__all__")
            known = {
                t.value
                for t in (listed.items if isinstance(listed, Items) else ())
                if isinstance(t, Known)
            }
            for name, value in module.names.items():
                if name in known if known else not name.startswith("_"):
                    scope.names[name] = value
        elif not library.is_harmless(base):
            self.remark(
                f"more settings may come from the module {base}, which is not in the tree",
                scope.module.file,
                node.lineno,
            )

    def imported(self, name: str) -> Value:
        """Return a module as a value."""
        return self.module(name) or Library(name)

    def member(self, base: str, name: str) -> Value:
        """Return a name of a module, or the module of that name below a package."""
        module = self.module(base) if base else None
        if module is not None and name in module.names:
            return module.names[name]
        inner = f"{base}.{name}" if base else name
        if self.file_of(inner)[0]:
            return self.module(inner) or Unknown(f"{inner} is being read", Place())
        if module is not None:
            return Unknown(f"{base} does not say {name}")
        return Library(inner)

    def absolute(self, node: ast.ImportFrom, scope: _Scope) -> str:
        """Return the dotted name that an import means."""
        if not node.level:
            return node.module or ""
        parts = scope.module.name.split(".")
        up = node.level - 1 if scope.module.package else node.level
        parts = parts[: len(parts) - up] if up <= len(parts) else []
        return ".".join([*parts, *([node.module] if node.module else [])])

    # -- branches ----------------------------------------------------------------------------

    def fork(self, scope: _Scope, *branches: tuple[str, bool | None, Sequence[ast.stmt]]) -> _Flow:
        """Follow each branch from the same beginning, and join what they assign and return."""
        start = dict(scope.names)
        results: list[tuple[str, bool | None, dict[str, Value]]] = []
        flow = _Flow(live=False)
        for condition, default, body in branches:
            scope.names = dict(start)
            part = self.block(body, scope)
            when = (condition,) if condition else ()
            flow.returns += [
                Alternative(r.value, (*when, *r.when), default if r.default else r.default)
                for r in part.returns
            ]
            if part.live:
                results.append((condition, default, scope.names))
                flow.live = True
        if len(results) == 1 and flow.returns:
            flow.under = (results[0][0],) if results[0][0] else ()
            flow.likely = results[0][1]
        if not results:
            scope.names = start
        elif len(results) == 1:
            scope.names = results[0][2]
        else:
            scope.names = self.joined(start, results)
        return flow

    def joined(
        self, start: dict[str, Value], results: list[tuple[str, bool | None, dict[str, Value]]]
    ) -> dict[str, Value]:
        names = dict.fromkeys(name for _, _, found in results for name in found)
        merged: dict[str, Value] = {}
        for name in names:
            first = results[0][2].get(name, ABSENT)
            if all(found.get(name, ABSENT) is first for _, _, found in results):
                merged[name] = first
                continue
            merged[name] = either(
                Alternative(
                    found.get(name, ABSENT),
                    (condition,) if condition else (),
                    default,
                )
                for condition, default, found in results
            )
        return merged

    def certain(self, body: Sequence[ast.stmt], scope: _Scope) -> bool:
        """Return whether a guarded block only imports what the tree or a known library has."""
        for node in body:
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [self.absolute(node, scope)]
            else:
                return False
            if not all(self.file_of(n)[0] or library.is_known(n) for n in names if n):
                return False
        return True

    def lacking(self, body: Sequence[ast.stmt], scope: _Scope) -> bool:
        """Return whether a guarded block imports something that the tree has not."""
        return any(
            isinstance(n, ast.Import | ast.ImportFrom) and not self.certain([n], scope)
            for n in body
        )

    def said(self, node: ast.expr, value: Value) -> str:
        """Return a condition as a person would write it, on one line."""
        text = " ".join(readable(ast.unparse(node)).split())
        named = sorted(envs_of(value))
        if named and not any(name in text for name in named):
            text = f"{text} (from {', '.join(named)})"
        return text if len(text) <= 100 else text[:97] + "..."

    def truth(self, value: Value) -> tuple[bool | None, bool]:
        """Return whether a value is true (None: not known), and whether no host can change it."""
        if isinstance(value, Either):
            found = [self.truth(a.value)[0] for a in value.alternatives if a.default is True]
            return (found[0] if found and len(set(found)) == 1 else None), False
        if isinstance(value, Known):
            return bool(value.value), not value.envs
        if isinstance(value, Items):
            return (bool(value.items) or None if value.open else bool(value.items)), (
                not value.open and not value.envs
            )
        if isinstance(value, Table):
            return (bool(value.items) or None if value.open else bool(value.items)), not value.open
        if isinstance(value, Absent):
            return None, False
        if isinstance(value, Unknown):
            return None, False
        return (None, False) if isinstance(value, Library) else (True, True)

    # -- storing -----------------------------------------------------------------------------

    def store(self, target: ast.expr, value: Value, scope: _Scope) -> None:
        """Assign to a name, an element, or several of them."""
        if isinstance(target, ast.Name):
            if target.id == "DEBUG" and self.truth(value)[0]:
                # A site is served with DEBUG off, whatever a developer's settings say.
                value = either(
                    [
                        Alternative(Known(True, place_of(value)), ("DEBUG",), False),
                        Alternative(Known(False, place_of(value)), ("not (DEBUG)",), True),
                    ]
                )
            scope.names[target.id] = value
        elif isinstance(target, ast.Subscript):
            key = self.key(target.slice, scope)
            holder = self.value(target.value, scope)
            if isinstance(holder, Library) and holder.name in ("globals()", "locals()"):
                if isinstance(key, str):
                    scope.names[key] = value
                else:
                    self.computed(target, scope)
                return
            self.store(target.value, mapped(holder, lambda h: _with(h, key, value)), scope)
        elif isinstance(target, ast.Tuple | ast.List):
            items = self.iterated(value)
            if items is None or len(items) != len(target.elts):
                items = [Unknown("an unpacked value", place_of(value))] * len(target.elts)
            for part, item in zip(target.elts, items, strict=True):
                self.store(part, item, scope)
        elif isinstance(target, ast.Starred):
            self.store(target.value, value, scope)

    def computed(self, node: ast.expr, scope: _Scope) -> None:
        self.remark("settings are assigned by computed names", scope.module.file, node.lineno)

    def changed(self, node: ast.Call, scope: _Scope) -> bool:
        """Follow a call that changes a list or table in place; return whether it was one."""
        if isinstance(node.func, ast.Name) and node.func.id in ("exec", "execfile", "eval"):
            self.remark(f"{node.func.id} adds what cannot be read", scope.module.file, node.lineno)
            return True
        if isinstance(node.func, ast.Name) and node.func.id == "include":
            return self.included(node, scope)
        if not isinstance(node.func, ast.Attribute):
            return False
        target = self.element_meant(node.func.value, scope)
        holder = self.value(target, scope)
        name = node.func.attr
        if isinstance(holder, Library) and holder.name in ("globals()", "locals()"):
            if name == "update" and node.args:
                self.spread(self.value(node.args[0], scope), scope, node)
            return True
        if not all(isinstance(a.value, Items | Table) for a in alternatives(holder)):
            return False
        arguments = [self.value(a, scope) for a in node.args]
        if name in ("append", "insert", "extend", "remove", "add"):
            new = mapped(holder, lambda h: _listed(h, name, arguments, self))
        elif name == "update":
            more: Value = arguments[0] if arguments else Table()
            named: dict[Hashable, Value] = {
                k.arg: self.value(k.value, scope) for k in node.keywords if k.arg
            }
            new = paired(holder, more, _updated)
            new = paired(new, Table(named), _updated)
        elif name == "setdefault" and len(arguments) == 2:
            key = _hashable(arguments[0])
            if key is None or not isinstance(get(holder, key), Absent):
                return True
            new = mapped(holder, lambda h: _with(h, key, arguments[1]))
        elif name == "pop" and arguments and isinstance(holder, Table):
            gone = _hashable(arguments[0])
            new = replace(holder, items={k: v for k, v in holder.items.items() if k != gone})
        elif name == "pop":
            new = mapped(holder, lambda h: _popped(h, arguments))
        else:
            return False
        self.store(target, new, scope)
        return True

    def element_meant(self, node: ast.expr, scope: _Scope) -> ast.expr:
        """Return ``x[k]`` for ``x.setdefault(k, v)``: the same object, which is there then."""
        if not (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "setdefault"
            and len(node.args) == 2
        ):
            return node
        holder = self.element_meant(node.func.value, scope)
        function = ast.copy_location(ast.Attribute(holder, "setdefault", ast.Load()), node)
        self.changed(ast.copy_location(ast.Call(function, node.args, []), node), scope)
        return ast.copy_location(ast.Subscript(holder, node.args[0], ast.Load()), node)

    def spread(self, value: Value, scope: _Scope, node: ast.expr) -> None:
        """Take a table's entries as names of the module."""
        if isinstance(value, Table):
            for key, item in value.items.items():
                if isinstance(key, str):
                    scope.names[key] = item
            if value.open:
                self.computed(node, scope)
        else:
            self.computed(node, scope)

    def included(self, node: ast.Call, scope: _Scope) -> bool:
        """Follow ``include`` of django-split-settings."""
        maker = scope.look("include")
        if not (isinstance(maker, Library) and maker.name.startswith("split_settings")):
            return False
        folder = posixpath.dirname(scope.module.file)
        for argument in node.args:
            value = self.value(argument, scope)
            if isinstance(value, Library) and value.own:
                value = value.own[0]
            if not isinstance(value, Known) or not isinstance(value.value, str):
                self.remark("includes settings by a computed name", scope.module.file, node.lineno)
                continue
            for name in _globbed(self.tree, folder, value.value):
                unit = _Unit(scope.module.name, name, scope.module.package)
                inner = _Scope(scope.names, unit)
                self.block(self.tree.parsed(name).body, inner)
                scope.names.update(inner.names)
        return True

    # -- expressions -------------------------------------------------------------------------

    def value(self, node: ast.expr, scope: _Scope, purpose: str = "") -> Value:
        """Return what an expression can be. ``purpose`` is the name that it is assigned to."""
        self.steps += 1
        if self.steps > _STEPS:
            raise TooMuch(
                f"{scope.module.file}: the settings take too many steps to be read",
                "name another settings module, or describe the application by hand",
            )
        if self.depth > _DEEPEST:
            return Unknown("nested too deeply to be read", self.at(node, scope))
        self.depth += 1
        if purpose:
            self.purpose.append(purpose)
        try:
            method = getattr(self, f"of_{type(node).__name__}", None)
            if method is None:
                return Unknown(f"{type(node).__name__} is not followed", self.at(node, scope))
            found: Value = method(node, scope)
            return found
        except RecursionError:
            return Unknown("nested too deeply to be read", self.at(node, scope))
        finally:
            self.depth -= 1
            if purpose:
                self.purpose.pop()

    def at(self, node: ast.stmt | ast.expr, scope: _Scope) -> Place:
        """Return the place of a node."""
        return Place(scope.module.file, node.lineno)

    def of_Constant(self, node: ast.Constant, scope: _Scope) -> Value:
        if isinstance(node.value, complex) or node.value is Ellipsis:
            return Unknown("no setting has such a value", self.at(node, scope))
        return Known(node.value, self.at(node, scope))

    def of_Name(self, node: ast.Name, scope: _Scope) -> Value:
        found = scope.look(node.id)
        if found is not None:
            return found
        if node.id in library.BUILTINS:
            return Library(node.id)
        return Unknown(f"{node.id} is not known", self.at(node, scope))

    def of_NamedExpr(self, node: ast.NamedExpr, scope: _Scope) -> Value:
        value = self.value(node.value, scope)
        self.store(node.target, value, scope)
        return value

    def of_List(self, node: ast.List | ast.Tuple | ast.Set, scope: _Scope) -> Value:
        items: list[Value] = []
        is_open = False
        for element in node.elts[:MOST_ITEMS]:
            if isinstance(element, ast.Starred):
                more = self.iterated(self.value(element.value, scope))
                items += more or []
                is_open = is_open or more is None
            else:
                items.append(self.value(element, scope))
        return Items(
            tuple(items[:MOST_ITEMS]),
            is_open or len(node.elts) > MOST_ITEMS,
            self.at(node, scope),
        )

    of_Tuple = of_List
    of_Set = of_List

    def of_Dict(self, node: ast.Dict, scope: _Scope) -> Value:
        table: Value = Table({}, False, self.at(node, scope))
        items: dict[Hashable, Value] = {}
        is_open = False
        for key_node, value_node in list(zip(node.keys, node.values, strict=True))[:MOST_ITEMS]:
            named = key_node.value if isinstance(key_node, ast.Constant) else ""
            value = self.value(value_node, scope, named if isinstance(named, str) else "")
            if key_node is None:
                table = paired(
                    paired(table, Table(items, is_open, self.at(node, scope)), _updated),
                    value,
                    _updated,
                )
                items, is_open = {}, False
                continue
            key = self.key(key_node, scope)
            if key is None:
                is_open = True
            else:
                items[key] = value
        return paired(table, Table(items, is_open, self.at(node, scope)), _updated)

    def key(self, node: ast.expr, scope: _Scope) -> Hashable | None:
        return _hashable(self.value(node, scope))

    def of_JoinedStr(self, node: ast.JoinedStr, scope: _Scope) -> Value:
        whole: Value = Known("", self.at(node, scope))
        for part in node.values:
            piece = self.value(part, scope)
            whole = paired(whole, piece, _concatenated)
        return whole

    def of_FormattedValue(self, node: ast.FormattedValue, scope: _Scope) -> Value:
        if node.format_spec is not None:
            return Unknown(readable(ast.unparse(node.value))[:40], self.at(node, scope))
        return mapped(self.value(node.value, scope), library.as_text)

    def of_BinOp(self, node: ast.BinOp, scope: _Scope) -> Value:
        left, right = self.value(node.left, scope), self.value(node.right, scope)
        return self.binary(node.op, left, right, self.at(node, scope))

    def binary(self, op: ast.operator, left: Value, right: Value, place: Place = NOWHERE) -> Value:
        """Return what an operator gives."""
        return paired(left, right, lambda a, b: library.operated(type(op).__name__, a, b, place))

    def of_UnaryOp(self, node: ast.UnaryOp, scope: _Scope) -> Value:
        value = self.value(node.operand, scope)
        if isinstance(node.op, ast.Not):

            def inverted(one: Value) -> Value:
                truth, _ = self.truth(one)
                if truth is None:
                    return Unknown("a condition of the host", place_of(one))
                return Known(not truth, place_of(one), envs_of(one))

            return mapped(value, inverted)
        if isinstance(value, Known) and isinstance(value.value, int | float):
            if isinstance(node.op, ast.USub):
                return replace(value, value=-value.value)
            return value if isinstance(node.op, ast.UAdd) else Unknown("bits", value.place)
        return Unknown("a computed number", self.at(node, scope))

    def of_BoolOp(self, node: ast.BoolOp, scope: _Scope) -> Value:
        result = self.value(node.values[0], scope)
        for following in node.values[1:]:
            result = self.combined(isinstance(node.op, ast.Or), result, following, scope)
        return result

    def combined(self, is_or: bool, left: Value, node: ast.expr, scope: _Scope) -> Value:
        parts: list[Alternative] = []
        right: Value | None = None
        for part in alternatives(left):
            truth, sure = self.truth(part.value)
            if truth is None or truth is not is_or:
                right = self.value(node, scope) if right is None else right
                envs = envs_of(part.value)
                parts.append(replace(part, value=mapped(right, lambda r: with_envs(r, envs))))  # noqa: B023
            if (truth is None and not _is_env(part.value)) or truth is is_or:
                parts.append(part if truth is not None else replace(part, default=None))
            del sure
        return either(parts)

    def of_Compare(self, node: ast.Compare, scope: _Scope) -> Value:
        left = self.value(node.left, scope)
        if len(node.ops) > 1:
            return Unknown("a comparison of several values", self.at(node, scope))
        right = self.value(node.comparators[0], scope)
        name = type(node.ops[0]).__name__
        return paired(left, right, lambda a, b: library.compared(name, a, b, self.at(node, scope)))

    def of_IfExp(self, node: ast.IfExp, scope: _Scope) -> Value:
        test = self.value(node.test, scope)
        truth, sure = self.truth(test)
        if sure and truth is not None:
            return self.value(node.body if truth else node.orelse, scope)
        condition = self.said(node.test, test)
        other = None if truth is None else not truth
        return either(
            [
                Alternative(self.value(node.body, scope), (condition,), truth),
                Alternative(self.value(node.orelse, scope), (negated(condition),), other),
            ]
        )

    def of_Subscript(self, node: ast.Subscript, scope: _Scope) -> Value:
        holder = self.value(node.value, scope)
        if isinstance(node.slice, ast.Slice):
            bounds = [
                self.value(b, scope) if b is not None else Known(None)
                for b in (node.slice.lower, node.slice.upper, node.slice.step)
            ]
            return mapped(holder, lambda h: library.sliced(h, bounds))
        key = self.value(node.slice, scope)
        return paired(holder, key, lambda h, k: library.element(self, h, k, self.at(node, scope)))

    def of_Attribute(self, node: ast.Attribute, scope: _Scope) -> Value:
        holder = self.value(node.value, scope)
        return mapped(holder, lambda h: self.attribute(h, node.attr, self.at(node, scope)))

    def attribute(self, holder: Value, name: str, place: Place) -> Value:
        """Return a name of a module, class or library, or a method of a value."""
        if isinstance(holder, Module):
            if name in holder.names:
                return holder.names[name]
            return self.member(holder.name, name)
        if isinstance(holder, Klass):
            return self.of_class(holder, name)
        if isinstance(holder, Library):
            return library.attribute(holder, name, place)
        if isinstance(holder, Unknown):
            return replace(holder, place=holder.place if holder.place.file else place)
        return library.method(holder, name, place)

    def of_class(self, holder: Klass, name: str, depth: int = 0) -> Value:
        """Return a name of a class or of its bases; a property is evaluated."""
        found: Value = ABSENT
        if name in holder.names:
            found = holder.names[name]
        elif depth < 10:
            for base in holder.bases:
                if isinstance(base, Klass):
                    found = self.of_class(base, name, depth + 1)
                if not isinstance(found, Absent):
                    return found
        if isinstance(found, Library) and found.name == "property":
            return self.call(found.own[0], [holder], {}, Place())
        return found

    def of_Lambda(self, node: ast.Lambda, scope: _Scope) -> Value:
        return Function(node, scope)

    def of_Starred(self, node: ast.Starred, scope: _Scope) -> Value:
        return self.value(node.value, scope)

    def of_Call(self, node: ast.Call, scope: _Scope) -> Value:
        function = self.value(node.func, scope)
        arguments = self.of_List(ast.List(node.args, ast.Load(), lineno=node.lineno), scope)
        assert isinstance(arguments, Items)
        named: dict[str, Value] = {}
        for keyword in node.keywords:
            value = self.value(keyword.value, scope)
            if keyword.arg:
                named[keyword.arg] = value
            elif isinstance(value, Table):
                named |= {k: v for k, v in value.items.items() if isinstance(k, str)}
        if isinstance(function, Library) and function.name in ("globals", "locals", "vars"):
            return Library(f"{'globals' if function.name == 'vars' else function.name}()")
        if isinstance(function, Library) and function.name == "super":
            return Unknown("super", self.at(node, scope))
        place = self.at(node, scope)
        return mapped(function, lambda f: self.call(f, list(arguments.items), named, place))

    def call(
        self, function: Value, arguments: list[Value], named: dict[str, Value], place: Place
    ) -> Value:
        """Return what a call gives. Nothing is run: functions of the tree are read too."""
        if isinstance(function, Function):
            return self.applied(function, arguments, named, place)
        if isinstance(function, Library):
            return library.call(self, function, arguments, named, place)
        if isinstance(function, Klass):
            return Unknown(f"an object of {function.name}", place)
        if isinstance(function, Unknown):
            return replace(function, place=function.place if function.place.file else place)
        return Unknown("a call that is not followed", place)

    def applied(
        self, function: Function, arguments: list[Value], named: dict[str, Value], place: Place
    ) -> Value:
        node = function.node
        if self.calls >= _CALLS:
            return Unknown("functions call one another too deeply", place)
        inner = _Scope({}, function.scope.module, function.scope)
        spec = node.args
        names = [a.arg for a in (*spec.posonlyargs, *spec.args)]
        for name, default in zip(reversed(names), reversed(spec.defaults), strict=False):
            inner.names[name] = self.value(default, function.scope)
        for argument, kw_default in zip(spec.kwonlyargs, spec.kw_defaults, strict=True):
            if kw_default is not None:
                inner.names[argument.arg] = self.value(kw_default, function.scope)
        inner.names.update(zip(names, arguments, strict=False))
        known = {*names, *(a.arg for a in spec.kwonlyargs)}
        inner.names.update({k: v for k, v in named.items() if k in known})
        if spec.vararg:
            inner.names[spec.vararg.arg] = Items(tuple(arguments[len(names) :]))
        if spec.kwarg:
            rest: dict[Hashable, Value] = {k: v for k, v in named.items() if k not in known}
            inner.names[spec.kwarg.arg] = Table(rest)
        for name in known:
            inner.names.setdefault(name, Unknown(f"the argument {name}", place))
        self.calls += 1
        try:
            if isinstance(node, ast.Lambda):
                return self.value(node.body, inner)
            if any(isinstance(n, ast.Yield | ast.YieldFrom | ast.Await) for n in ast.walk(node)):
                return Unknown(f"{node.name} is a generator", place)
            flow = self.block(node.body, inner)
        finally:
            self.calls -= 1
        returns = list(flow.returns)
        if flow.live:
            returns.append(Alternative(Known(None, place), (), None if returns else True))
        return either(returns) if returns else Unknown("a function that only raises", place)

    # -- loops over values -------------------------------------------------------------------

    def iterated(self, value: Value) -> list[Value] | None:
        """Return the elements of a value, None when not all are known."""
        if isinstance(value, Items) and not value.open:
            return [with_envs(item, value.envs) for item in value.items]
        if isinstance(value, Table) and not value.open:
            return [Known(k) for k in value.items if isinstance(k, str | int)]
        return None

    def of_ListComp(
        self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp, scope: _Scope
    ) -> Value:
        items: list[Value] = []
        whole = True
        for inner in self.turns(node.generators, scope):
            if inner is None:
                whole = False
            else:
                items.append(self.value(node.elt, inner))
        return Items(tuple(items[:MOST_ITEMS]), not whole, self.at(node, scope))

    of_SetComp = of_ListComp
    of_GeneratorExp = of_ListComp

    def of_DictComp(self, node: ast.DictComp, scope: _Scope) -> Value:
        items: dict[Hashable, Value] = {}
        whole = True
        for inner in self.turns(node.generators, scope):
            key = None if inner is None else self.key(node.key, inner)
            if inner is None or key is None:
                whole = False
            else:
                items[key] = self.value(node.value, inner)
        return Table(items, not whole, self.at(node, scope))

    def turns(
        self, generators: Sequence[ast.comprehension], scope: _Scope
    ) -> Iterator[_Scope | None]:
        """Yield the names of each turn of a comprehension; None for turns that are not known."""
        if len(generators) > 1:
            yield None
            return
        generator = generators[0]
        source = self.value(generator.iter, scope)
        items = self.iterated(source)
        if items is None or len(items) > _TURNS * 4:
            yield None
            return
        for item in items:
            inner = _Scope({}, scope.module, scope)
            self.store(generator.target, item, inner)
            checks = [self.truth(self.value(test, inner)) for test in generator.ifs]
            if any(truth is False for truth, _ in checks):
                continue
            if any(truth is None for truth, _ in checks):
                yield None
                continue
            yield inner


def _has_jump(body: Sequence[ast.stmt]) -> bool:
    return any(
        isinstance(n, ast.Break | ast.Continue) for statement in body for n in ast.walk(statement)
    )


def _file_of(value: Value) -> str:
    return value.file if isinstance(value, Unknown) else ""


def _is_env(value: Value) -> bool:
    """Return whether a value is nothing but what an environment variable says."""
    return isinstance(value, Unknown) and bool(value.env)


def _hashable(value: Value) -> Hashable | None:
    if isinstance(value, Known) and not (isinstance(value.value, str) and has_hole(value.value)):
        return value.value
    return None


def _with(holder: Value, key: Hashable | None, value: Value) -> Value:
    if isinstance(holder, Table):
        if key is None:
            return replace(holder, open=True)
        if len(holder.items) >= MOST_ITEMS:
            return replace(holder, open=True)
        return replace(holder, items={**holder.items, key: value})
    if (
        isinstance(holder, Items)
        and isinstance(key, int)
        and -len(holder.items) <= key < len(holder.items)
    ):
        items = list(holder.items)
        items[key] = value
        return replace(holder, items=tuple(items))
    if isinstance(holder, Absent):
        return Table({key: value} if key is not None else {}, True)
    return replace(holder, open=True) if isinstance(holder, Items) else holder


def _updated(one: Value, two: Value) -> Value:
    if isinstance(one, Table) and isinstance(two, Table):
        return Table({**one.items, **two.items}, one.open or two.open, one.place)
    if isinstance(one, Table):
        return replace(one, open=True)
    return one


def _popped(holder: Value, arguments: list[Value]) -> Value:
    if not isinstance(holder, Items):
        return holder
    place = _hashable(arguments[0]) if arguments else -1
    if isinstance(place, int) and -len(holder.items) <= place < len(holder.items):
        gone = place % len(holder.items)
        return replace(holder, items=holder.items[:gone] + holder.items[gone + 1 :])
    return replace(holder, open=True)


def _listed(holder: Value, name: str, arguments: list[Value], reader: Reader) -> Value:
    if not isinstance(holder, Items) or not arguments:
        return holder
    last = arguments[-1]
    if name == "extend":
        more = reader.iterated(last)
        added: tuple[Value, ...] = tuple(more or ())
        return replace(
            holder,
            items=(*holder.items, *added)[:MOST_ITEMS],
            open=holder.open or more is None,
        )
    if name == "remove":
        gone = _hashable(last)
        return replace(holder, items=tuple(i for i in holder.items if _hashable(i) != gone))
    return replace(holder, items=(*holder.items, last)[:MOST_ITEMS])


def _concatenated(one: Value, two: Value) -> Value:
    if not isinstance(one, Known):
        return one
    text = library.as_text(two)
    if isinstance(text, Known) and isinstance(one.value, str) and isinstance(text.value, str):
        joined = one.value + text.value
        if len(joined) > LONGEST_TEXT:
            return Unknown("too long a text", one.place)
        return Known(joined, one.place, one.envs | text.envs, one.path)
    return Known(str(one.value) + hole("?"), one.place, one.envs)


def _globbed(tree: Tree, folder: str, pattern: str) -> list[str]:
    from fnmatch import fnmatchcase

    wanted = posixpath.normpath(posixpath.join(folder, pattern))
    below = posixpath.dirname(wanted.partition("*")[0]) or "."
    if ".." in wanted.split("/"):
        return []
    return [n for n in tree.names(below, (".py",)) if fnmatchcase(n, wanted)][:50]
