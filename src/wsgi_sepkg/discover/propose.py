"""Findings and answers as a description: what each key says, where it came from, what is open."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from wsgi_sepkg.discover.host import ProcessFound
from wsgi_sepkg.discover.needs import Finding, knowledge
from wsgi_sepkg.discover.source import Tree
from wsgi_sepkg.discover.survey import Fact, Survey
from wsgi_sepkg.discover.value import readable
from wsgi_sepkg.errors import Place
from wsgi_sepkg.project.names import GENERIC_TYPES, USES, base_port_type, label_of
from wsgi_sepkg.project.validate import CONFINEMENTS
from wsgi_sepkg.targets import Target

TABLES = ("project", "application", "path")
_YES_NO = ("yes", "no")


_NOWHERE = Place()


@dataclass(frozen=True)
class Question:
    """Something that the sources do not say.

    ``key`` names it in ``--answer``. Without a ``default`` it stays open until it is answered.
    """

    key: str
    text: str
    default: str | None = None
    choices: tuple[str, ...] = ()
    place: Place = _NOWHERE


Ask = Callable[[Question], str | None]


@dataclass(frozen=True)
class Entry:
    """One key of a table, or one entry of a list of tables, with where it came from.

    ``id`` tells entries of one list apart.
    """

    table: str
    values: dict[str, Any]
    comments: tuple[str, ...] = ()
    id: str = ""

    @property
    def name(self) -> str:
        """Return what the entry is called: ``path.media``, ``connect.postgresql``."""
        return f"{self.table}.{self.id}"


@dataclass
class Draft:
    """A description in the making.

    ``open`` are the questions that nobody answered, ``plan`` the label plan of an environment.
    """

    entries: list[Entry] = field(default_factory=list)
    open: list[Question] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    aside: dict[str, list[str]] = field(default_factory=dict)
    plan: list[str] = field(default_factory=list)

    def put(self, table: str, key: str, value: Any, *comments: str) -> None:
        """Set one key of a table."""
        self.entries.append(Entry(table, {key: value}, comments, key))

    def value(self, name: str) -> Any:
        """Return the value of a key such as ``application.root``, None where it has none."""
        found = next((e for e in self.entries if e.name == name and e.table in TABLES), None)
        return found.values[found.id] if found else None


def said(place: Place, setting: str = "", text: str = "") -> str:
    """Return a comment that tells where something came from."""
    where = str(place) if place.file else ""
    words = " ".join(w for w in (where, setting) if w)
    return readable(f"{words}: {text}" if text and words else words or text)


def propose(
    tree: Tree,
    survey: Survey,
    findings: Sequence[Finding],
    ask: Ask,
    root: Fact,
    settings: Fact,
    required: dict[str, Place],
    targets: Sequence[str],
) -> Draft:
    """Return the description that the findings ask for."""
    draft = Draft()
    _project(draft, survey, ask, targets)
    _application(draft, tree, survey, findings, ask, root, settings, required)
    _paths(draft, findings, ask, root.value)
    _files(draft, tree, survey, findings)
    _connections(draft, findings, ask)
    for one in findings:
        if one.kind == "boolean":
            values = {"name": one.key, "value": True, "reason": one.reason}
            comments = (said(one.place, one.setting),)
            draft.entries.append(Entry("boolean", values, comments, one.key))
        if one.kind == "note":
            draft.notes.append(said(one.place, one.setting, str(one.value)))
    draft.notes = list(dict.fromkeys(draft.notes))
    return draft


def _project(draft: Draft, survey: Survey, ask: Ask, targets: Sequence[str]) -> None:
    name = _fact(draft, survey, ask, "name", "the package's name")
    _fact(draft, survey, ask, "version", "its version", "0.1")
    _fact(draft, survey, ask, "summary", "one line about it", f"{name}, a Django application")
    _fact(draft, survey, ask, "license", "its licence, an SPDX expression such as MIT")
    _fact(draft, survey, ask, "maintainer", "who packages it, 'Name <address>'")
    url = survey.facts.get("project.url")
    given = ask(Question("project.url", "its home page", url.value if url else ""))
    if given:
        draft.put("project", "url", given, _origin(url, given))
    said_targets = ask(
        Question("project.targets", "targets to build for, with commas", ",".join(targets))
    )
    wanted = [t.strip() for t in (said_targets or "").split(",") if t.strip()]
    if wanted:
        draft.put(
            "project",
            "targets",
            wanted,
            "answered" if wanted != list(targets) else "this host's; see `wsgi-sepkg targets`",
        )


def _origin(fact: Fact | None, value: str) -> str:
    if fact is not None and fact.value == value:
        return said(fact.place) or "from the name of the folder"
    return "answered"


def _fact(
    draft: Draft, survey: Survey, ask: Ask, key: str, text: str, fallback: str | None = None
) -> str:
    fact = survey.facts.get(f"project.{key}")
    default = fact.value if fact else fallback
    question = Question(f"project.{key}", text, default, (), fact.place if fact else Place())
    value = ask(question)
    if value is None:
        draft.open.append(question)
        return ""
    comment = _origin(fact, value)
    if fact is None and value == fallback:
        comment = "not said anywhere: chosen by wsgi-sepkg init"
    draft.put("project", key, value, comment)
    return value


def served(
    draft: Draft, findings: Sequence[Finding], processes: Sequence[ProcessFound], ask: Ask
) -> None:
    """Say how the application is served: by which server, in which processes.

    Processes make sense with domains of their own alone; until one is asked for, they are told.
    """
    first = {f.key: f for f in reversed(findings) if f.kind == "application" and f.default}
    for key in ("processes", "threads", "user", "url"):
        if key in first:
            draft.put(
                "application", key, first[key].value, said(first[key].place, first[key].setting)
            )
    webs = [p for p in processes if p.kind == "web"]
    usual = "service" if webs and "service" in CONFINEMENTS else "shared"
    choices = tuple(CONFINEMENTS)
    chosen = (
        ask(Question("application.confinement", "how is it confined?", usual, choices))
        if len(choices) > 1
        else "shared"
    )
    server = first.get("server")
    upstream = first.get("upstream")
    if server is not None and chosen != "daemon" and (upstream is not None or chosen == "service"):
        draft.put("application", "server", str(server.value), said(server.place, server.setting))
        if upstream is not None and chosen == "shared":
            where = said(upstream.place, upstream.setting)
            draft.put("application", "upstream", str(upstream.value), where)
    if chosen in (None, "shared"):
        for one in processes:
            text = f"runs as a process of its own: [process.{one.name}] kind = {one.kind!r}, "
            draft.notes.append(said(one.place, "", f"{text}run = {one.run!r}"))
        return
    draft.put("application", "confinement", chosen, "processes with domains of their own")
    # Each process gets a folder in /run with its unit.
    draft.entries = [e for e in draft.entries if e.name not in ("path.runtime", "path.socket")]
    taken: set[str] = set()
    for one in processes:
        if chosen == "daemon" and one.kind == "web":
            continue
        if one.name in taken:
            draft.notes.append(said(one.place, "", f"another {one.name}: {one.run}"))
            continue
        taken.add(one.name)
        values = {"kind": one.kind, "run": one.run}
        draft.entries.append(Entry(f"process.{one.name}", values, (said(one.place),), one.name))


# -- the application -------------------------------------------------------------------------------


def _application(
    draft: Draft,
    tree: Tree,
    survey: Survey,
    findings: Sequence[Finding],
    ask: Ask,
    root: Fact,
    settings: Fact,
    required: dict[str, Place],
) -> None:
    put = draft.put
    if survey.source != ".":
        put("application", "source", survey.source, "the folder of manage.py")
    put("application", "root", root.value, said(root.place) or "where the code goes")
    wsgi = next((f for f in findings if f.kind == "application" and f.key == "wsgi"), None)
    entry = survey.facts.get("application.wsgi")
    if wsgi is not None:
        put("application", "wsgi", str(wsgi.value), said(wsgi.place, wsgi.setting))
    elif entry is not None:
        put("application", "wsgi", entry.value, said(entry.place))
    else:
        question = Question("application.wsgi", "the WSGI entry, MODULE:OBJECT")
        answer = ask(question)
        if answer:
            put("application", "wsgi", answer, "answered")
        else:
            draft.open.append(question)
    module, _, klass = settings.value.partition(":")
    put("application", "settings", module, said(settings.place) or "answered")
    if klass:
        draft.notes.append(f"the host must set DJANGO_CONFIGURATION={klass}")
    _requires(draft, survey, ask)
    _exclude(draft, tree, survey, findings)
    _static(draft, findings)
    _environment(draft, findings, required)


def _requires(draft: Draft, survey: Survey, ask: Ask) -> None:
    table = knowledge()["requirement"]
    names: dict[str, str] = {}
    unknown: list[str] = []
    for fact in survey.requirements or survey.imports:
        if fact.value in table:
            names.setdefault(table[fact.value], said(fact.place))
        elif survey.requirements:
            unknown.append(fact.value)
    given = ask(
        Question("application.requires", "RPM packages that it needs, with commas", ",".join(names))
    )
    wanted = [n.strip() for n in (given or "").split(",") if n.strip()]
    if wanted:
        places = "; ".join(f"{n}: {names[n]}" if n in names else f"{n}: answered" for n in wanted)
        draft.put("application", "requires", wanted, places)
    if unknown:
        shown = ", ".join(sorted(unknown)[:60])
        draft.notes.append(f"also required, and which RPM brings it is not known: {shown}")


def _exclude(draft: Draft, tree: Tree, survey: Survey, findings: Sequence[Finding]) -> None:
    inside = "" if survey.source == "." else f"{survey.source}/"
    inner = [f.removeprefix(inside) for f in survey.files if f.startswith(inside)]
    patterns: dict[str, str] = {}
    for finding in findings:
        if finding.kind == "file":
            source = payload(tree, survey, str(finding.value))
            folder = source.removeprefix(inside).rpartition("/")[0]
            if source and folder:
                patterns[f"{folder}/*"] = "configuration, installed elsewhere"
    for name in inner:
        if re.fullmatch(r"(README|CHANGELOG|CONTRIBUTING|CHANGES)(\.\w+)?", name):
            patterns[name] = "for people"
        elif match := re.fullmatch(r"((?:[^/]+/){0,3}tests)/.*", name):
            patterns.setdefault(f"{match.group(1)}/*", "tests")
        elif re.fullmatch(r"(docker-compose[\w.-]*|Dockerfile[\w.-]*|compose[\w.-]*\.ya?ml)", name):
            patterns[name] = "for containers"
    if patterns:
        kept = list(patterns)[:40]
        draft.put("application", "exclude", kept, "not needed where the application runs")


def payload(tree: Tree, survey: Survey, path: str) -> str:
    """Return the file of the tree that is meant to be installed as ``path``, '' for none."""
    base = path.rpartition("/")[2]
    fitting = [f for f in survey.files if f.rpartition("/")[2] == base and f.count("/") < 4]
    exact = [f for f in fitting if tree.is_file(f)]
    return exact[0] if len(exact) == 1 else ""


def _static(draft: Draft, findings: Sequence[Finding]) -> None:
    static = [f for f in findings if f.kind == "path" and f.key == "static" and f.default]
    asked = [f for f in findings if f.kind == "question" and f.key == "path.static"]
    if not static and not asked:
        draft.put("application", "static", "none", "no STATIC_ROOT in the settings")
    for key, usual in (("static-url", "/static/"), ("media-url", "/media/")):
        if key == "static-url" and not static:
            continue
        urls = [f for f in findings if f.kind == "application" and f.key == key and f.default]
        if urls and urls[0].value != usual:
            draft.put("application", key, str(urls[0].value), said(urls[0].place, urls[0].setting))
    media = [f for f in findings if f.kind == "path" and f.key == "media" and f.default]
    has_url = any(f.kind == "application" and f.key == "media-url" for f in findings)
    if media and not has_url:
        draft.put("application", "media-url", "", "no MEDIA_URL: uploads are not handed out")


def _environment(draft: Draft, findings: Sequence[Finding], required: dict[str, Place]) -> None:
    """Dummies for collectstatic at build time; and a word on what the host must set."""
    wanted: dict[str, str] = {}
    for finding in findings:
        if finding.kind == "application" and finding.key == "secret-variable":
            wanted[str(finding.value)] = said(finding.place, finding.setting)
    for name, place in required.items():
        wanted.setdefault(name, said(place))
    wanted = {k: v for k, v in wanted.items() if re.fullmatch(r"[A-Z_][A-Z0-9_]*", k)}
    if draft.value("application.static") != "none" and wanted:
        draft.put(
            "application",
            "build-environment",
            dict.fromkeys(wanted, "only-for-collectstatic"),
            "; ".join(f"{k}: {v}" for k, v in wanted.items()),
        )
    if required:
        names = ", ".join(sorted(required))
        draft.notes.append(f"the host must set these environment variables: {readable(names)}")


# -- paths -----------------------------------------------------------------------------------------


def _paths(draft: Draft, findings: Sequence[Finding], ask: Ask, root: str) -> None:
    uses = (
        "code",
        "static",
        "media",
        "data",
        "cache",
        "log",
        "config",
        "secret",
        "temporary",
        "runtime",
        "socket",
    )
    taken: dict[str, str] = {}
    for use in uses:
        sure = [f for f in findings if f.kind == "path" and f.key == use and f.default]
        rest = [f for f in findings if f.kind == "path" and f.key == use and not f.default]
        values: dict[str, list[str]] = {}
        for one in sure:
            path = str(one.value)
            other = taken.get(path)
            if other is not None and other != use:
                draft.notes.append(
                    said(
                        one.place,
                        one.setting,
                        f"{path} is for {other} already; as {use} too it needs a folder of its own",
                    )
                )
                continue
            taken[path] = use
            values.setdefault(path, []).append(_path_comment(one))
        values |= _asked_paths(draft, findings, ask, use, bool(values))
        for path in values:
            taken.setdefault(path, use)
        if values:
            paths = list(values)
            comments = [c for texts in values.values() for c in dict.fromkeys(texts)]
            draft.put("path", use, paths[0] if len(paths) == 1 else paths, *comments)
        for one in rest:
            if str(one.value) not in values:
                text = f"{use} = {str(one.value)!r} when {_conditions(one)}"
                draft.aside.setdefault("path", []).append(said(one.place, one.setting, text))
    if use_root := taken.get(root):
        draft.notes.append(f"{root} is also named as {use_root}")


def _path_comment(one: Finding) -> str:
    text = one.reason
    if one.envs:
        text += f", unless {', '.join(sorted(one.envs))} says otherwise"
    return said(one.place, one.setting, text)


def _conditions(one: Finding) -> str:
    parts = [w for w in one.when if not w.startswith("not (")] or list(one.when)
    return " and ".join(parts[:3]) if parts else "the host says so"


def _asked_paths(
    draft: Draft, findings: Sequence[Finding], ask: Ask, use: str, known: bool
) -> dict[str, list[str]]:
    """Ask for the paths that the settings do not tell; a conditional one is only told."""
    found: dict[str, list[str]] = {}
    questions = [f for f in findings if f.kind == "question" and f.key == f"path.{use}"]
    for one in questions:
        if one.default is False or (known and one.default is None):
            text = f"when {_conditions(one)}: {one.value}"
            draft.aside.setdefault("path", []).append(
                said(one.place, one.setting, f"{use}: {text}")
            )
            continue
        question = Question(
            f"path.{use}",
            f"folder of {use} on the target, or none ({one.setting} {one.value})",
            None,
            (),
            one.place,
        )
        answer = ask(question)
        if answer is None:
            draft.open.append(question)
        elif answer != "none":
            comment = said(one.place, one.setting, f"{one.value}; answered")
            for path in answer.split(","):
                found.setdefault(path.strip(), []).append(comment)
    return found


def _files(draft: Draft, tree: Tree, survey: Survey, findings: Sequence[Finding]) -> None:
    for one in findings:
        source = payload(tree, survey, str(one.value)) if one.kind == "file" else ""
        if source:
            values = {"source": source, "path": str(one.value), "config": True}
            comments = (said(one.place, one.setting, one.reason),)
            draft.entries.append(Entry("file", values, comments, str(one.value)))


# -- connections -----------------------------------------------------------------------------------


def _connections(draft: Draft, findings: Sequence[Finding], ask: Ask) -> None:
    _asked_services(draft, findings, ask)
    connects = [f for f in findings if f.kind == "connect"]
    for name in dict.fromkeys((f.key, f.port) for f in connects):
        _connection(draft, [f for f in connects if (f.key, f.port) == name], ask)


def _connection(draft: Draft, found: Sequence[Finding], ask: Ask) -> None:
    service, port = found[0].key, found[0].port
    sure = [f for f in found if f.default]
    main = sure or list(found)
    values: dict[str, Any] = {"port": port} if port else {"to": service}
    ident = f"{service}-{port}" if port else service
    over = _over(ident, service, main, found, ask)
    if over == "socket" and not port:
        values["socket"] = True
    conditions = [_conditions(f) for f in main] if not sure else []
    if not sure or any(f.when for f in sure):
        # Where a condition decides, the site turns it on; a grant that is not needed stays off.
        text = f"is {service} reached from the first start? {'; '.join(dict.fromkeys(conditions))}"
        default = "yes" if sure else "no"
        on = ask(Question(f"connect.{ident}.default", text, default, ("yes", "no"), main[0].place))
        if on == "no":
            values["default"] = False
    reasons = list(dict.fromkeys(f.reason for f in main))
    values["reason"] = "; ".join(reasons)[:400]
    comments = []
    for one in found:
        text = one.reason
        if one.default is not True:
            text += f", when {_conditions(one)}"
        if one.envs:
            text += f" ({', '.join(sorted(one.envs))} can change it)"
        if one.socket is not bool(values.get("socket")):
            text += ", over its socket" if one.socket else ", over TCP"
        comments.append(said(one.place, one.setting, text))
    draft.entries.append(Entry("connect", values, tuple(dict.fromkeys(comments))[:12], ident))


def _over(
    ident: str, service: str, main: Sequence[Finding], found: Sequence[Finding], ask: Ask
) -> str:
    """Return whether the service is reached over its socket or over TCP."""
    kinds = {f.socket for f in found}
    likely = "socket" if all(f.socket for f in main) else "tcp"
    changeable = any(f.envs for f in found)
    if len(kinds) == 1 and not (changeable and True in kinds):
        return likely
    question = Question(
        f"connect.{ident}.over", f"is {service} reached over its socket on the host, or over TCP?",
        likely, ("socket", "tcp"), main[0].place,
    )  # fmt: skip
    return ask(question) or likely


def _asked_services(draft: Draft, findings: Sequence[Finding], ask: Ask) -> None:
    """Ask what a service is that the settings do not name."""
    known = sorted(knowledge()["service-port"])
    for one in findings:
        if one.kind != "question" or not one.key.startswith("connect."):
            continue
        if one.default is False:
            text = f"when {_conditions(one)}: {one.value}"
            draft.aside.setdefault("connect", []).append(said(one.place, one.setting, text))
            continue
        question = Question(
            one.key, f"which service is it, or none? {one.setting} {one.value}", None,
            (*known, "none"), one.place,
        )  # fmt: skip
        answer = ask(question)
        if answer is None:
            draft.open.append(question)
        elif answer != "none" and not any(
            e.table == "connect" and e.id == answer for e in draft.entries
        ):
            comment = said(one.place, one.setting, f"{one.value}; answered")
            values = {"to": answer, "reason": f"{one.setting} of the settings"}
            draft.entries.append(Entry("connect", values, (comment,), answer))


def once(questions: Iterable[Question]) -> list[Question]:
    """Return the questions, each key once."""
    return list({q.key: q for q in reversed(list(questions))}.values())[::-1]


# -- the policy of the host ------------------------------------------------------------------------

_WRITTEN = ("media", "data", "cache", "temporary")


def powers(draft: Draft, findings: Sequence[Finding], target: Target) -> None:
    """Say what the application needs beyond paths and connections."""
    confinement = draft.value("application.confinement") or "shared"
    domain = target.servers["httpd"].domain
    for one in {f.key: f for f in reversed(findings) if f.kind == "power"}.values():
        comments = (said(one.place, one.setting, one.reason),)
        values: dict[str, Any]
        if confinement != "shared":
            values = {"name": one.key, "reason": one.reason}
            draft.entries.append(Entry("power", values, comments, one.key))
        elif one.key == "shared-memory":
            # The server's domain makes files in shared memory already; multiprocessing maps them.
            values = {
                "source": domain,
                "target": f"{domain.removesuffix('_t')}_tmpfs_t",
                "class": "file",
                "permissions": ["map"],
                "reason": one.reason,
            }
            draft.entries.append(Entry("allow", values, comments, one.key))


def relabelled(draft: Draft, ask: Ask, target: Target) -> None:
    """Ask about folders that are written, and that a module of the base policy labels.

    Kept, that label would be granted on all paths that have it.
    """
    own: list[str] = []
    for index, entry in enumerate(draft.entries):
        if entry.table != "path" or entry.id not in _WRITTEN:
            continue
        given = entry.values[entry.id]
        kept: list[Any] = []
        for path in sorted(given) if isinstance(given, list) else [given]:
            type_, module = label_of(target.facts, f"{path}/x")
            foreign = module and type_ not in GENERIC_TYPES and type_ != "<<none>>"
            if foreign and not any(path.startswith(f"{above}/") for above in own):
                kept.append(_own_label(draft, ask, entry.id, path, type_, module))
                own.append(path)
            else:
                kept.append(path)
        value = kept if isinstance(given, list) else kept[0]
        draft.entries[index] = Entry("path", {entry.id: value}, entry.comments, entry.id)


def _own_label(draft: Draft, ask: Ask, use: str, path: str, type_: str, module: str) -> Any:
    text = f"{path} is {type_} by the base policy's module {module}, like other paths"
    own = ask(Question(f"path.{use}.own-label", f"{text}: a label of its own?", "yes", _YES_NO))
    if own == "no":
        return path
    also = f"{text}: other domains that write it, with commas"
    others = ask(Question(f"path.{use}.also-written-by", also, ""))
    suffix = USES[use].suffix
    prefix = _prefix(draft)
    for domain in _domains(others):
        for interface in ("manage_dirs_pattern", "mmap_manage_files_pattern"):
            values = {
                "interface": interface,
                "arguments": [domain, f"{prefix}_{suffix}", f"{prefix}_{suffix}"],
                "reason": f"it writes {path} too, which had the label {type_}",
            }
            draft.entries.append(Entry("call", values, ("answered",), f"{domain}-{interface}"))
    return {"path": path, "override": f"written by this application; {type_} is on other paths too"}


def labelled_ports(draft: Draft, ask: Ask, target: Target) -> None:
    """Ask who else uses the ports that get a label: as unreserved ones they were everybody's."""
    for entry in [e for e in draft.entries if e.table == "connect" and "port" in e.values]:
        port = entry.values["port"]
        if base_port_type(target.facts, "tcp", port):
            continue
        text = f"port {port} gets a label: other domains that listen there or connect, with commas"
        others = ask(Question(f"{entry.name}.also-used-by", text, ""))
        for domain in _domains(others):
            values = {
                "source": domain,
                "target": f"{_prefix(draft)}_{port}_port_t",
                "class": "tcp_socket",
                "permissions": ["name_bind", "name_connect"],
                "reason": f"it uses port {port} too, which had no label",
            }
            draft.entries.append(Entry("allow", values, ("answered",), f"{domain}-{port}"))


def _domains(answer: str | None) -> list[str]:
    return [word.strip() for word in (answer or "").split(",") if word.strip()]


def _prefix(draft: Draft) -> str:
    """Return what names of own types begin with."""
    return re.sub(r"[^a-z0-9_]", "_", str(draft.value("project.name") or "").lower())


def shipped(draft: Draft, ask: Ask, here: bool, target: Target) -> None:
    """Ask who installs the code; where another package does, leave it out of this one.

    ``here``: the tree that was read is the folder of the code on the target.
    """
    text = "does this package ship the code? no: another package installs it"
    answer = ask(Question("application.shipped", text, "no" if here else "yes", _YES_NO))
    if answer != "no":
        return
    gone = ["application.exclude", "application.build-environment", "application.static"]
    if (draft.value("application.confinement") or "shared") != "shared":
        draft.entries = [e for e in draft.entries if e.name not in gone]
        draft.put("application", "exclude", ["*"], "another package installs the code")
        static = "none" if draft.value("path.static") is None else "prebuilt"
        draft.put("application", "static", static, "another package brings the static files")
        return
    draft.notes.append("another package installs the code: this is the policy for it alone")
    draft.entries = [e for e in draft.entries if e.table not in ("application", "file")]
    for entry in draft.entries:
        if entry.table == "connect":
            entry.values["by"] = target.servers["httpd"].domain
