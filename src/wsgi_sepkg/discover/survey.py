"""What the tree of an application says about itself: its name, its settings, what it requires."""

from __future__ import annotations

import ast
import re
import tomllib
from dataclasses import dataclass, field
from typing import Any

from wsgi_sepkg.discover.source import Tree, Unreadable
from wsgi_sepkg.errors import Place, UsageError

_LICENSES = (
    ("GNU AFFERO GENERAL PUBLIC LICENSE", "AGPL-3.0-or-later"),
    ("Apache License", "Apache-2.0"),
    ("Mozilla Public License Version 2.0", "MPL-2.0"),
    ("MIT License", "MIT"),
    ("BSD 3-Clause", "BSD-3-Clause"),
    ("BSD 2-Clause", "BSD-2-Clause"),
    ("ISC License", "ISC"),
)
_DEVELOPER = re.compile(r"(^|[._])(local|dev|devel|develop|development|test|tests|testing|ci)$")


@dataclass(frozen=True)
class Fact:
    """A value that the tree states, and where."""

    value: str
    place: Place


@dataclass
class Survey:
    """What a tree says. ``source`` is the folder of manage.py, relative to the tree.

    ``facts`` are keys of the description; ``settings`` are the modules that could be the
    settings, the one that wsgi.py names first; ``requirements`` are distributions of Python.
    """

    source: str = "."
    facts: dict[str, Fact] = field(default_factory=dict)
    settings: list[Fact] = field(default_factory=list)
    requirements: list[Fact] = field(default_factory=list)
    imports: list[Fact] = field(default_factory=list)
    files: list[str] = field(default_factory=list)


def survey(tree: Tree) -> Survey:
    """Return what the tree says of itself. Raises UsageError when it holds no Django project."""
    found = Survey(files=tree.names())
    manage = [f for f in found.files if f.rpartition("/")[2] == "manage.py" and f.count("/") < 4]
    wsgi = [f for f in found.files if f.rpartition("/")[2] == "wsgi.py" and f.count("/") < 5]
    if not manage and not wsgi:
        raise UsageError(
            f"{tree.root}: neither manage.py nor wsgi.py is there",
            "name the folder of a Django project",
        )
    if manage:
        best = min(manage, key=lambda f: (f.count("/"), f))
        found.source = best.rpartition("/")[0] or "."
    else:
        best = min(wsgi, key=lambda f: (f.count("/"), f))
        found.source = best.rpartition("/")[0].rpartition("/")[0] or "."
    inside = "" if found.source == "." else f"{found.source}/"
    for file in sorted((f for f in wsgi if f.startswith(inside)), key=lambda f: (f.count("/"), f)):
        _entry_point(tree, found, file, inside)
    for file in manage:
        _settings_named(tree, found, file)
    _project(tree, found)
    _more_settings(found, inside)
    _requirements(tree, found)
    _license(tree, found)
    return found


def _entry_point(tree: Tree, found: Survey, file: str, inside: str) -> None:
    module = file.removeprefix(inside).removesuffix(".py").replace("/", ".")
    _settings_named(tree, found, file)
    try:
        parsed = tree.parsed(file)
    except Unreadable:
        return
    for node in ast.walk(parsed):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name) and target.id in ("application", "app"):
                    fact = Fact(f"{module}:{target.id}", Place(file, node.lineno))
                    found.facts.setdefault("application.wsgi", fact)


def _settings_named(tree: Tree, found: Survey, file: str) -> None:
    """Take the modules that a file puts into DJANGO_SETTINGS_MODULE."""
    try:
        parsed = tree.parsed(file)
    except Unreadable:
        return
    for node in ast.walk(parsed):
        name, value = "", None
        if isinstance(node, ast.Call) and len(node.args) == 2:
            name, value = _constant(node.args[0]), node.args[1]
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
            name, value = _constant(node.targets[0].slice), node.value
        text = _constant(value) if value is not None else ""
        if name == "DJANGO_SETTINGS_MODULE" and re.fullmatch(r"[A-Za-z_][\w.]*", text):
            assert value is not None
            if text not in [s.value for s in found.settings]:
                found.settings.append(Fact(text, Place(file, value.lineno)))


def _constant(node: ast.AST | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _more_settings(found: Survey, inside: str) -> None:
    """Add the settings modules that nothing names, e.g. production beside local."""
    for file in found.files:
        inner = file.removeprefix(inside)
        if not file.startswith(inside) or "/tests/" in f"/{inner}":
            continue
        parts = inner.removesuffix(".py").split("/")
        in_package = len(parts) > 1 and parts[-2] in ("settings", "conf") and len(parts) < 6
        alone = parts[-1] == "settings" and len(parts) < 5 and not found.settings
        if not file.endswith(".py") or not (in_package or alone):
            continue
        name = ".".join(parts).removesuffix(".__init__")
        if (
            parts[-1] in ("production", "prod", "live", "deploy", "settings")
            and all(p.isidentifier() for p in parts)
            and name not in [s.value for s in found.settings]
        ):
            found.settings.append(Fact(name, Place(file, 1)))


def is_developers(module: str) -> bool:
    """Return whether a settings module is, by its name, for development or tests."""
    return bool(_DEVELOPER.search(module))


def _project(tree: Tree, found: Survey) -> None:
    name = tree.root.resolve().name
    if tree.is_file("pyproject.toml"):
        _pyproject(tree, found)
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", name):
        found.facts.setdefault("project.name", Fact(name.lower().replace("_", "-"), Place()))


def _pyproject(tree: Tree, found: Survey) -> None:
    file = "pyproject.toml"
    text = tree.text(file)
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError):
        return
    project = data.get("project")
    poetry = data.get("tool", {}).get("poetry") if isinstance(data.get("tool"), dict) else None
    table = project if isinstance(project, dict) else poetry if isinstance(poetry, dict) else {}

    def say(key: str, value: object, word: str) -> None:
        line = next(
            (n for n, row in enumerate(text.splitlines(), 1) if row.strip().startswith(word)), 0
        )
        if isinstance(value, str) and value.strip() and len(value) < 400:
            said = " ".join(value.split())
            found.facts.setdefault(key, Fact(said, Place(file, line)))

    name = table.get("name")
    if isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}", name):
        say("project.name", name.lower().replace("_", "-"), "name")
    say("project.version", table.get("version"), "version")
    say("project.summary", table.get("description"), "description")
    licence: Any = table.get("license")
    if isinstance(licence, dict):
        licence = licence.get("text")
    if isinstance(licence, str) and re.fullmatch(r"[A-Za-z0-9.+() -]{2,80}", licence):
        say("project.license", licence, "license")
    urls: Any = table.get("urls")
    homepage = table.get("homepage")
    if isinstance(urls, dict):
        named = {str(k).lower(): v for k, v in urls.items()}
        homepage = named.get("homepage") or named.get("repository") or homepage
    if isinstance(homepage, str) and re.match(r"https?://[\w./~-]+$", homepage):
        say("project.url", homepage, "homepage" if "homepage" in text else "")
    for person in table.get("authors") or [] if isinstance(table.get("authors"), list) else []:
        if isinstance(person, dict) and person.get("name") and person.get("email"):
            say("project.maintainer", f"{person['name']} <{person['email']}>", "authors")
        elif isinstance(person, str) and re.fullmatch(r"[^<>%]+ <[^<>]+@[^<>]+>", person):
            say("project.maintainer", person, "authors")
    needed = table.get("dependencies")
    names = list(needed) if isinstance(needed, dict | list) else []
    for item in names:
        _requirement(found, str(item), Place(file, _line_of(text, str(item))))


def _line_of(text: str, word: str) -> int:
    return next((n for n, row in enumerate(text.splitlines(), 1) if word in row), 0)


def _requirement(found: Survey, text: str, place: Place) -> None:
    match = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", text)
    if match and match.group(1).lower() != "python":
        name = re.sub(r"[-_.]+", "-", match.group(1)).lower()
        if name not in [r.value for r in found.requirements] and len(found.requirements) < 500:
            found.requirements.append(Fact(name, place))


def _requirements(tree: Tree, found: Survey) -> None:
    inside = "" if found.source == "." else f"{found.source}/"
    wanted = (
        "requirements.txt",
        "requirements/base.txt",
        "requirements/production.txt",
        "requirements/common.txt",
    )
    seen: set[str] = set()
    for file in dict.fromkeys([*wanted, *(f"{inside}{w}" for w in wanted)]):
        _requirements_file(tree, found, file, seen)
    if not found.requirements:
        _imports(tree, found, inside)


def _requirements_file(tree: Tree, found: Survey, file: str, seen: set[str]) -> None:
    if file in seen or len(seen) > 20 or not tree.is_file(file):
        return
    seen.add(file)
    try:
        text = tree.text(file)
    except Unreadable:
        return
    for number, line in enumerate(text.splitlines(), 1):
        row = line.partition(" #")[0].strip()
        more = re.match(r"-r\s*([\w./-]+)$", row)
        if more and not more.group(1).startswith("/"):
            folder = file.rpartition("/")[0]
            _requirements_file(tree, found, f"{folder}/{more.group(1)}".lstrip("/"), seen)
        elif row and not row.startswith(("-", "#", "git+", "http")):
            _requirement(found, row, Place(file, number))


def _imports(tree: Tree, found: Survey, inside: str) -> None:
    """Take what the code imports, where no file lists the requirements."""
    seen: dict[str, Place] = {}
    sources = [f for f in found.files if f.startswith(inside) and f.endswith(".py")]
    for file in [f for f in sources if "/tests/" not in f"/{f}"][:300]:
        try:
            parsed = tree.parsed(file)
        except Unreadable:
            continue
        for node in ast.walk(parsed):
            names = []
            if isinstance(node, ast.Import):
                names = [a.name for a in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names = [node.module]
            for name in names:
                assert isinstance(node, ast.Import | ast.ImportFrom)
                seen.setdefault(name.partition(".")[0], Place(file, node.lineno))
    found.imports = [Fact(name, place) for name, place in sorted(seen.items())]


def _license(tree: Tree, found: Survey) -> None:
    for file in ("LICENSE", "LICENSE.txt", "LICENSE.md", "COPYING", "LICENCE"):
        if "project.license" in found.facts or not tree.is_file(file):
            continue
        try:
            head = tree.text(file)[:600]
        except Unreadable:
            continue
        for words, spdx in _LICENSES:
            if words.lower() in " ".join(head.split()).lower():
                found.facts["project.license"] = Fact(spdx, Place(file, 1))
                break
