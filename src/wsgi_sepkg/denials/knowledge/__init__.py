"""What is known about denials, as data: the TOML files beside this, read and checked once.

Nothing here decides. An entry says what a denial must look like, what it means and what cures it;
`wsgi_sepkg.denials.decide` climbs the ladder with them. To add knowledge, add an entry with an
``example``: the tests decide every example.
"""

# No `from __future__ import annotations` here: resolving them later doubles the time of a load.
import copy
import itertools
import re
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta, Struct, field

Kind = Literal[
    "allow",
    "boolean",
    "fcontext",
    "relabel",
    "port",
    "domain",
    "dontaudit",
    "app_config",
    "bug",
    "deny",
    "none",
]
"""What a fix is; the words of the JSON output."""

Rung = Literal[
    "first",
    "notice",
    "refuse",
    "label",
    "domain",
    "silence",
    "configuration",
    "bug",
    "boolean",
    "port",
    "service",
    "interface",
    "own-type",
    "rule",
]

RUNGS: tuple[Rung, ...] = get_args(Rung)
"""The order in which answers are preferred: what grants nothing, then the narrowest grant."""

_RUNG_OF: dict[str, Rung] = {
    "none": "notice",
    "deny": "refuse",
    "relabel": "label",
    "fcontext": "label",
    "domain": "domain",
    "dontaudit": "silence",
    "app_config": "configuration",
    "bug": "bug",
    "boolean": "boolean",
    "port": "port",
    "allow": "interface",
}

ChangeWord = Literal[
    "",
    "label",
    "use",
    "library",
    "textrel",
    "program",
    "socket",
    "file-context",
    "dontaudit",
    "tmpfs",
    "tmp",
    "rule",
    "call",
    "connect-socket",
]
"""What the fix changes in a description; see `wsgi_sepkg.denials.changes`."""

Sentence = Annotated[str, Meta(min_length=4, max_length=700)]
Names = list[Annotated[str, Meta(pattern=r"^!?[@*a-zA-Z][a-zA-Z0-9_-]*$|^\*$")]]


class _Data(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """Base of everything that is read from the files."""


_HERE = Path(__file__).resolve().parent


class Family(_Data, frozen=True):
    """A family that entries name: of types or classes with ``@NAME``, of paths with ``@{NAME}``."""

    about: Sentence
    names: list[str]
    patterns: list[str]
    source: Sentence


class Entry(_Data, frozen=True):
    """One thing that is known: what a denial must look like, what it means, what cures it.

    A list of names holds when one of them does and none that begins with ``!`` does; an empty list
    always holds. ``@word`` is a family.
    """

    id: Annotated[str, Meta(pattern=r"^[a-z0-9-]+$")]
    kind: Kind
    says: Sentence
    cure: Sentence
    refs: Annotated[list[str], Meta(min_length=1)]
    example: Annotated[str, Meta(min_length=10)]
    rung: Rung | Literal[""] = ""
    source: Names = field(default_factory=list)
    target: Names = field(default_factory=list)
    class_: Names = field(default_factory=list, name="class")
    permissions: list[str] = field(default_factory=list)
    """One of these is asked for."""
    not_permissions: list[str] = field(default_factory=list)
    """None of these is asked for."""
    only: list[str] = field(default_factory=list)
    """Nothing but these is asked for."""
    not_only: list[str] = field(default_factory=list)
    """Something besides these is asked for."""
    path: str = ""
    """The path (or name) matches; a denial without any does not. ``@{NAME}`` in it stands for the
    patterns of a family."""
    not_path: str = ""
    command: str = ""
    """The name of the program matches."""
    not_command: str = ""
    self: bool | None = None
    """Source and target are one domain."""
    other_process: bool | None = None
    """The target is another process and no file, or it is not."""
    foreign_domain: bool = False
    """The target's type belongs to another program than the source's."""
    other_module: bool = False
    """The target's type is declared by another module than the source's: nothing that the programs
    of one module pass to each other."""
    own_type: bool = False
    """The target's type belongs to the source's own program."""
    standard_path: bool = False
    """The base policy has a label of its own for the path."""
    base_domain: bool | None = None
    """The source is a domain of the base policy, or it is one of an application's own module."""
    session: bool | None = None
    """A person started the source by hand (its role is none of the system), or the system did."""
    peer_session: bool | None = None
    """The same of the target, which is another process."""
    apart: bool | None = None
    """The levels differ so that a constraint refuses it, or they do not."""
    unless_own: str = ""
    """Not where the target has a boolean of the source's own for that need (`OwnBoolean.id`)."""
    inherited: bool = False
    """The program got the file already open: the record has a path and no ``open``."""
    granted: bool = False
    weak: bool = False
    """Only an alternative to what else is found."""
    interface: list[str] = field(default_factory=list)
    change: ChangeWord = ""

    @property
    def place(self) -> Rung:
        """The rung on which the entry stands."""
        return self.rung or _RUNG_OF[self.kind]


class Boolean(_Data, frozen=True):
    """A boolean of the base policy: what it is for and what else it opens."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9_]+$")]
    sources: list[str]
    class_: str = field(name="class")
    permissions: list[str]
    targets: list[str]
    opens: Annotated[list[str], Meta(min_length=1)]
    example: str
    family: Literal["", "fedora", "refpolicy"] = ""
    """The policy family where it opens this; '' where it does in every one that has it."""
    alternative: str = ""
    refused: str = ""
    """Why it is proposed only with a waiver, '' when it may be proposed."""
    wide: bool = False
    last: bool = False
    """Only an alternative to what else is found."""


class Wrong(_Data, frozen=True):
    """A boolean that other tools recommend although it opens far more."""

    name: str
    classes: list[str]
    permissions: list[str]
    reason: Sentence
    source: Sentence


class OwnBoolean(_Data, frozen=True):
    """How the boolean of one domain for one need is called."""

    id: str
    class_: list[str] = field(name="class")
    permissions: list[str]
    targets: list[str]
    names: list[str]
    opens: Sentence
    example: str
    only_for: dict[str, list[str]] = field(default_factory=dict)
    tunable: str = ""
    """A tunable of our own where the base policy has no boolean; '' where none is proposed."""
    weak: bool = False
    """Only an alternative to what else is found."""


class SaidWord(_Data, frozen=True):
    """What a word in the name of a boolean says about a denial."""

    words: Annotated[list[str], Meta(min_length=1)]
    example: str
    boolean: str
    """The boolean that the example finds."""
    class_: Names = field(default_factory=list, name="class")
    permissions: list[str] = field(default_factory=list)
    """One of these is asked for."""
    target: Names = field(default_factory=list)
    wide: bool = False
    """The word says that much else is opened: only an alternative to what else is found."""


class PortService(_Data, frozen=True):
    """A port type that applications connect to, and the service behind it."""

    type: str
    service: str
    example: str


class PortAccident(_Data, frozen=True):
    """Port types whose numbers applications use for something else."""

    types: Annotated[list[str], Meta(min_length=1)]
    ports: Annotated[list[Annotated[str, Meta(pattern=r"^\d+(-\d+)?$")]], Meta(min_length=1)]
    usual: Sentence
    example: str
    only_web: bool = False
    unix_socket: bool = False
    """What listens there is mostly an application, which can listen on a unix socket as well."""

    def holds(self, type_: str, port: int | None) -> bool:
        """Tell whether a denial on ``port`` of ``type_`` is such an accident."""
        if type_ not in self.types:
            return False
        if port is None:
            return True
        ranges = (tuple(map(int, p.split("-"))) for p in self.ports)
        return any(r[0] <= port <= r[-1] for r in ranges)


class PortBind(_Data, frozen=True):
    """Which port types a program may bind."""

    sources: list[str]
    types: list[str]
    note: str
    example: str


class Problem(_Data, frozen=True):
    """A problem that people had: what they see first, why, and what cures it."""

    number: int
    symptom: Sentence
    cause: Sentence
    cure: Sentence
    entries: list[str]
    source: Sentence
    example: str = ""
    silent: str = ""


class PathUse(_Data, frozen=True):
    """What a path is for, by its place and whether it was written."""

    pattern: str
    access: Literal["read", "write", "any"]
    use: str
    source: Sentence
    example: str


class SharedFolder(_Data, frozen=True):
    """A folder of many programs; ``depth`` components below it tell a use apart."""

    path: str
    depth: Annotated[int, Meta(ge=1, le=4)]


class _File(_Data, frozen=True):
    """What one file may hold."""

    family: dict[str, Family] = field(default_factory=dict)
    entry: list[Entry] = field(default_factory=list)
    boolean: list[Boolean] = field(default_factory=list)
    wrong: list[Wrong] = field(default_factory=list)
    own: list[OwnBoolean] = field(default_factory=list)
    said: list[SaidWord] = field(default_factory=list)
    filler: list[str] = field(default_factory=list)
    service: list[PortService] = field(default_factory=list)
    accident: list[PortAccident] = field(default_factory=list)
    bind: list[PortBind] = field(default_factory=list)
    problem: list[Problem] = field(default_factory=list)
    use: list[PathUse] = field(default_factory=list)
    shared_folder: list[SharedFolder] = field(default_factory=list)


class Knowledge:
    """All that is known, from every file of a folder."""

    def __init__(self, folder: Path) -> None:
        files = [
            msgspec.toml.decode(path.read_bytes(), type=_File)
            for path in sorted(folder.glob("*.toml"))
        ]
        self.families = {name: f for part in files for name, f in part.family.items()}
        entries = [self._with_paths(entry) for part in files for entry in part.entry]
        self.entries = tuple(sorted(entries, key=lambda e: RUNGS.index(e.place)))
        self.booleans = tuple(b for part in files for b in part.boolean)
        self.wrong = tuple(w for part in files for w in part.wrong)
        self.own = tuple(o for part in files for o in part.own)
        self.said = tuple(s for part in files for s in part.said)
        self.fillers = frozenset(word for part in files for word in part.filler)
        self.services = {s.type: s.service for part in files for s in part.service}
        self.port_services = tuple(s for part in files for s in part.service)
        self.accidents = tuple(a for part in files for a in part.accident)
        self.binds = tuple(b for part in files for b in part.bind)
        self.problems = tuple(
            sorted((p for part in files for p in part.problem), key=lambda p: p.number)
        )
        self.uses = tuple(u for part in files for u in part.use)
        shared = [s for part in files for s in part.shared_folder]
        self.shared_folders = tuple(sorted(shared, key=lambda s: -len(s.path)))
        self._members: dict[tuple[str, str], bool] = {}
        self._holding: dict[tuple[str, str], int] = {}
        self._about: dict[tuple[str, str, str], tuple[Entry, ...]] = {}

    def without(self, id_: str) -> "Knowledge":
        """Return all that is known but the entry ``id_``."""
        rest = copy.copy(self)
        rest.entries = tuple(entry for entry in self.entries if entry.id != id_)
        rest._holding, rest._about = {}, {}
        rest.__dict__.pop("_words", None)
        return rest

    def _with_paths(self, entry: Entry) -> Entry:
        """``entry`` with the patterns of the families that its paths name."""

        def patterns(found: re.Match[str]) -> str:
            if found[1] not in self.families:
                raise msgspec.ValidationError(f"{entry.id}: there is no family {found[1]}")
            return f"(?:{'|'.join(self.families[found[1]].patterns)})"

        path, not_path = (
            re.sub(r"@\{([a-z-]+)\}", patterns, text) for text in (entry.path, entry.not_path)
        )
        if (path, not_path) == (entry.path, entry.not_path):
            return entry
        return msgspec.structs.replace(entry, path=path, not_path=not_path)

    def member(self, family: str, name: str) -> bool:
        """Tell whether ``name`` is of ``family``. Raises KeyError when there is no such family."""
        key = (family, name)
        if key not in self._members:
            known = self.families[family]
            self._members[key] = name in known.names or any(
                re.fullmatch(pattern, name) for pattern in known.patterns
            )
        return self._members[key]

    def among(self, names: list[str], name: str) -> bool:
        """Tell whether a list of names, families and exceptions holds for ``name``."""
        wanted = [n for n in names if not n.startswith("!")]
        if any(self._is(n[1:], name) for n in names if n.startswith("!")):
            return False
        return not wanted or any(self._is(n, name) for n in wanted)

    def about(self, source: str, target: str, tclass: str) -> tuple[Entry, ...]:
        """Return the entries that hold for these types and this class, in their order."""
        key = (source, target, tclass)
        if key not in self._about:
            holding = (
                self._holds("source", source)
                & self._holds("target", target)
                & self._holds("class_", tclass)
            )
            self._about[key] = tuple(
                entry for index, entry in enumerate(self.entries) if holding >> index & 1
            )
        return self._about[key]

    def _holds(self, what: str, name: str) -> int:
        """The entries of which the list ``what`` holds for ``name``, a bit for each."""
        key = (what, name)
        if key not in self._holding:
            wanted, unwanted = self._words[what]
            said = ["*", name, *(f"@{f}" for f in self.families if self.member(f, name))]
            holding = wanted[""]
            for word in said:
                holding |= wanted.get(word, 0)
            for word in said:
                holding &= ~unwanted.get(word, 0)
            self._holding[key] = holding
        return self._holding[key]

    @cached_property
    def _words(self) -> dict[str, tuple[dict[str, int], dict[str, int]]]:
        """For each list of names, by its words, the entries that have them and that exclude them.

        The entries that want none in particular stand under "".
        """
        found: dict[str, tuple[dict[str, int], dict[str, int]]] = {}
        for what in ("source", "target", "class_"):
            wanted: dict[str, int] = {"": 0}
            unwanted: dict[str, int] = {}
            for index, entry in enumerate(self.entries):
                names = getattr(entry, what)
                for name in [n for n in names if not n.startswith("!")] or [""]:
                    wanted[name] = wanted.get(name, 0) | 1 << index
                for name in [n[1:] for n in names if n.startswith("!")]:
                    unwanted[name] = unwanted.get(name, 0) | 1 << index
            found[what] = wanted, unwanted
        return found

    def use_of(self, path: str, written: bool) -> str:
        """Return the use in [path] that a path has, by its place and whether it was written."""
        return self._use(path, written)[0]

    def _use(self, path: str, written: bool) -> tuple[str, str]:
        access = "write" if written else "read"
        for known in self.uses:
            match = known.access in ("any", access) and re.fullmatch(known.pattern, path)
            if match:
                named = match.group(1) if match.re.groups else ""
                return known.use, named or ""
        raise AssertionError("the last pattern of each access matches everything")

    def folder_of(self, path: str, is_folder: bool, written: bool) -> str:
        """Return the folder that a use should name for ``path``, '' where all programs share it."""
        named = self._use(path, written)[1]
        if named and named.count("/") > 1 and (is_folder or named != path):
            shares = {shared.path for shared in self.shared_folders}
            if named not in shares and not named.startswith(("/tmp", "/var/tmp")):  # noqa: S108
                return named
        for shared in self.shared_folders:
            if path.startswith(shared.path + "/"):
                parts = path.removeprefix(shared.path + "/").split("/")
                if not is_folder:
                    parts = parts[:-1]
                # A year, a number or a hash is no place of its own.
                told = list(itertools.takewhile(_is_a_name, parts[: shared.depth]))
                below = "/".join(told)
                return f"{shared.path}/{below}" if below else ""
        parts = path.strip("/").split("/")
        if not is_folder:
            parts = parts[:-1]
        return "/" + "/".join(parts[:2]) if parts else ""

    def _is(self, word: str, name: str) -> bool:
        if word.startswith("@"):
            return self.member(word[1:], name)
        return word in ("*", name)


def _is_a_name(part: str) -> bool:
    return not re.fullmatch(r"\d+|[0-9a-f]{6,}|.*\d{4}-\d\d.*", part)


@cache
def load(folder: Path = _HERE) -> Knowledge:
    """Return the knowledge of ``folder``. Raises msgspec.ValidationError, naming the key."""
    return Knowledge(folder)
