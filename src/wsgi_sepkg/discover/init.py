"""From a folder to a description: survey the tree, read the settings, propose, and try to load it.

The one function for the command line and for other callers is ``discover``.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wsgi_sepkg import targets as known_targets
from wsgi_sepkg.discover.environment import found_in, label_plan, read_environment
from wsgi_sepkg.discover.evaluate import Reader
from wsgi_sepkg.discover.host import Host, read_host
from wsgi_sepkg.discover.local import form_of, read_local, undo_page, uses_of
from wsgi_sepkg.discover.needs import SHARED, Finding, needs
from wsgi_sepkg.discover.propose import (
    Ask,
    Draft,
    Question,
    labelled_ports,
    once,
    powers,
    propose,
    relabelled,
    served,
    shipped,
)
from wsgi_sepkg.discover.source import Tree
from wsgi_sepkg.discover.survey import Fact, Survey, is_developers, survey
from wsgi_sepkg.discover.value import Klass, Value
from wsgi_sepkg.discover.write import text_of
from wsgi_sepkg.errors import ConfigError, Place, Problem, UsageError


@dataclass(frozen=True)
class Discovery:
    """What was found: the draft, its text, the findings behind it, and what stays open.

    ``undo`` is a page of commands that take back what was set by hand on the host, '' for none.
    ``problems`` are mistakes that loading the text showed, which no question covers.
    """

    draft: Draft
    text: str
    findings: tuple[Finding, ...]
    open: tuple[Question, ...]
    undo: str = ""
    problems: tuple[Problem, ...] = ()


def discover(
    folder: Path,
    ask: Ask,
    settings: str = "",
    root: str = "",
    extra: Sequence[Path] = (),
    venv: Path | None = None,
) -> Discovery:
    """Read the application in ``folder`` and return a description of it.

    ``ask`` answers a question, or returns None to leave it open. ``settings`` names the settings
    module, ``root`` the folder of the code on the target, ``extra`` configuration of the host that
    lies elsewhere, ``venv`` a virtual environment or a folder of wheels; without it one in the tree
    is taken. Nothing of the application is run and nothing is written. Raises UsageError when it is
    no Django project, Unreadable when a file of it cannot be read, TooMuch when its settings never
    end.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder", "name the folder of a Django project")
    tree = Tree(folder)
    found = survey(tree)
    outside = tree.leaving(found.files)
    named = [file for file in extra if os.path.realpath(file) in outside.values()]
    tree.allowed |= {os.path.realpath(file) for file in named}
    module = _settings(found, ask, settings)
    host = read_host(tree, found.files)
    examples = len(host.findings)
    lists = [file for file in extra if file not in named and not _more(host, file)]
    place = _root(found, ask, root, Fact(host.root, host.root_place) if host.root else None)
    reader = Reader(tree, found.source, place.value)
    names = _names(reader, module)
    said = needs(reader, names)
    said += _linked(tree, outside)
    findings = [*said, *_examples(said, host.findings[:examples]), *host.findings[examples:]]
    commands: list[str] = []
    target = known_targets.load(known_targets.host_target() or "debian-12")
    texts = {file: Tree(file.resolve().parent).text(file.name) for file in lists}
    uses = uses_of((t for t in texts.values() if form_of(t) == "module"), target.facts)
    # File contexts first: they tell the paths that the rules of modules are about.
    for file in sorted(lists, key=lambda file: form_of(texts[file]) == "module"):
        words = _words(found, place.value, findings)
        local = read_local(texts[file], str(file), findings, words, target.facts, uses)
        findings += local.findings
        commands += local.undo
    draft = propose(tree, found, findings, ask, place, module, reader.required, [target.name])
    served(draft, findings, host.processes, ask)
    powers(draft, findings, target)
    relabelled(draft, ask, target)
    labelled_ports(draft, ask, target)
    shipped(draft, ask, str(folder.resolve()) == place.value, target)
    draft.plan = _plan(tree, found, place.value, target, findings, venv)
    result = _loaded(folder, draft, tuple(findings))
    name = str(draft.value("project.name") or "the package")
    return replace(result, undo=undo_page(name, list(dict.fromkeys(commands))) if commands else "")


def _linked(tree: Tree, outside: Mapping[str, str]) -> list[Finding]:
    """Return what links out of the tree mean: configuration that is read, or is not."""
    found = []
    for name, real in outside.items():
        place = Place(name)
        if real not in tree.allowed:
            text = f"a link to {real}, outside of the folder: name that with --from to have it read"
            found.append(Finding("note", "", text, "", place))
        elif posixpath.dirname(real) in SHARED:
            found.append(Finding("path", "config", real, "a link", place, "settings that are read"))
        else:
            folder = posixpath.dirname(real)
            found.append(Finding("path", "config", folder, "a link", place, f"{real} is read"))
    return found


def _plan(
    tree: Tree,
    found: Survey,
    root: str,
    target: known_targets.Target,
    findings: Sequence[Finding],
    given: Path | None,
) -> list[str]:
    """Return the label plan of the environment that was named, or that lies in the tree."""
    source = tree.root / found.source
    folder = given or found_in(source)
    if folder is None:
        return []
    real, top = folder.resolve(), source.resolve()
    inside = real.is_relative_to(top)
    at = f"{root}/{real.relative_to(top)}" if inside else str(real)
    ours = [root, *(str(f.value) for f in findings if f.kind == "path")]
    plan = label_plan(read_environment(folder, at), target, ours)
    if given is None:
        plan.insert(1, "packages leave this folder out: the same libraries there would need")
    return plan


def _words(found: Survey, root: str, findings: Sequence[Finding]) -> set[str]:
    """Return what file contexts of this application have in their paths."""
    name = found.facts.get("project.name")
    words = {root, *(str(f.value) for f in findings if f.kind == "path")}
    return words | ({name.value} if name else set())


def _settings(found: Survey, ask: Ask, given: str) -> Fact:
    if given:
        return Fact(given, Place())
    if not found.settings:
        raise UsageError(
            "no settings module is named in manage.py or wsgi.py", "name it with --settings"
        )
    first = found.settings[0]
    choices = tuple(s.value for s in found.settings)
    sure = len(choices) == 1 or not is_developers(first.value)
    question = Question(
        "application.settings", "settings module that the site runs with",
        first.value if sure else None, choices, first.place,
    )  # fmt: skip
    answer = ask(question)
    if answer is None:
        raise UsageError(
            f"which settings module does the site run with? {', '.join(choices)}",
            "name it with --settings; the one in manage.py is for developers",
        )
    return next((s for s in found.settings if s.value == answer), Fact(answer, Place()))


def _examples(said: Sequence[Finding], found: Sequence[Finding]) -> list[Finding]:
    """Return what configuration in the tree says; it gives way to the settings.

    Such files are often examples, or made for a container: other folders than the settings' are
    told, not taken.
    """
    uses = {f.key for f in said if f.kind == "path" and f.default}
    paths = {f.value for f in said if f.kind == "path"}
    result = []
    for one in found:
        if one.kind == "path" and one.key in uses and one.value not in paths:
            text = f"{one.value} as {one.key}, where the settings name another folder"
            result.append(replace(one, kind="note", key="", value=text))
        else:
            result.append(one)
    return result


def _more(host: Host, file: Path) -> bool:
    """Read one file of the host, with the drop-ins beside it; False for a list of settings."""
    if not file.is_file():
        raise UsageError(f"{file}: no such file", "name a configuration of a server, or a unit")
    beside = Tree(file.resolve().parent)
    if form_of(beside.text(file.name)):
        return False
    names = [file.name]
    if (file.parent / f"{file.name}.d").is_dir():
        names += [
            f"{file.name}.d/{p.name}" for p in sorted((file.parent / f"{file.name}.d").iterdir())
        ]
    more = read_host(beside, names)
    host.findings += more.findings
    host.processes += more.processes
    if not host.root:
        host.root, host.root_place = more.root, more.root_place
    return True


def _root(found: Survey, ask: Ask, given: str, said: Fact | None) -> Fact:
    name = found.facts.get("project.name")
    usual = f"/usr/share/{name.value if name else 'application'}"
    if said is not None:
        usual = said.value
    question = Question("application.root", "folder of the code on the target", usual)
    answer = given or ask(question) or usual
    if not answer.startswith("/") or "\0" in answer:
        raise UsageError(f"{answer!a}: not an absolute path", "e.g. /usr/share/myapp")
    place = said.place if said is not None and said.value == answer else Place()
    return Fact(answer.rstrip("/") or "/", place)


def _names(reader: Reader, module: Fact) -> dict[str, Value]:
    """Return the names of the settings module, or of its class (django-configurations)."""
    name, _, inner = module.value.partition(":")
    read = reader.module(name)
    if read is None:
        raise UsageError(
            f"{module.value}: the tree holds no such settings module",
            "name another with --settings",
        )
    if not inner:
        return dict(read.names)
    klass = read.names.get(inner)
    if not isinstance(klass, Klass):
        raise UsageError(f"{module.value}: {name} has no class {inner}")
    listed: dict[str, None] = {}
    pending = [klass]
    while pending:
        one = pending.pop()
        listed |= dict.fromkeys(n for n in one.names if n.isupper())
        pending += [b for b in one.bases if isinstance(b, Klass)][:10]
    return {n: reader.of_class(klass, n) for n in listed}


def _loaded(folder: Path, draft: Draft, findings: tuple[Finding, ...]) -> Discovery:
    """Load the text as a user would, and turn what the target refuses into questions."""
    for _ in range(6):
        text = text_of(draft)
        problems = _problems(folder, text)
        draft, changed = _without(draft, problems)
        if not changed:
            break
    named = {q.key for q in draft.open}
    rest = tuple(
        p for p in problems if not any(p.key == k or p.key.startswith(f"{k}.") for k in named)
    )
    return Discovery(draft, text_of(draft), findings, tuple(once(draft.open)), problems=rest)


def _problems(folder: Path, text: str) -> list[Problem]:
    from wsgi_sepkg.project.load import load

    try:
        load(folder, text=text)
    except ConfigError as exc:
        return [p for p in exc.problems if not p.warning]
    return []


def _without(draft: Draft, problems: Sequence[Problem]) -> tuple[Draft, bool]:
    """Set aside the paths and connections that the target refuses, as open questions."""
    entries = list(draft.entries)
    arrays: dict[str, list[int]] = {}
    for index, entry in enumerate(entries):
        arrays.setdefault(entry.table, []).append(index)
    gone: dict[int, Problem] = {}
    for problem in problems:
        table, _, rest = problem.key.partition(".")
        table, _, number = table.partition("[")
        if number and number.rstrip("]").isdecimal():
            gone.setdefault(arrays.get(table, [])[int(number.rstrip("]"))], problem)
        elif table == "path":
            use = rest.partition(".")[0].partition("[")[0]
            for index in arrays.get("path", []):
                if entries[index].id == use:
                    gone.setdefault(index, problem)
    for index, problem in gone.items():
        entry = entries[index]
        text = f"{problem.message}. {problem.hint} ({'; '.join(entry.comments)[:200]})"
        draft.open.append(Question(entry.name, text))
    kept = [e for i, e in enumerate(entries) if i not in gone]
    return replace(draft, entries=kept), bool(gone)
