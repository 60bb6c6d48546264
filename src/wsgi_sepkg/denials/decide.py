"""The ladder: from one denial to the narrowest fix, the next wider ones, and what is refused.

The order is that of ``knowledge.RUNGS``. An answer comes from an entry of the knowledge, or from
one of the rungs that look things up: the label that the base policy gives to the path, the booleans
of the target, the ports, the interfaces. Nothing here knows a program, a type or a port by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from wsgi_sepkg.denials import knowledge as known
from wsgi_sepkg.denials.expand import Expander
from wsgi_sepkg.denials.grounds import CUSTOMIZABLE, Names, Policy
from wsgi_sepkg.denials.knowledge import (
    RUNGS,
    Boolean,
    Entry,
    Knowledge,
    OwnBoolean,
    Problem,
    SaidWord,
)
from wsgi_sepkg.denials.model import Denial, Group

_STATE_ENDINGS = re.compile(
    r"_(var_lib|var_run|var_log|runtime|log|db|spool|cache|data|var|lock|tmp|tmpfs|etc|conf|config"
    r"|etc_rw|conf_rw|exec|unit_file|initrc_exec|port|home|keytab|content|rw_content)?_?t$"
)
# A process, namespace or socket that has a path only in the record: no file that a label is for.
_HANDLE = re.compile(r"[a-z_]+:\[[^\]/]*\]")
# Parts of names that tell nothing: endings of types, and words that every class or file has.
_NO_WORDS = frozenset(
    {"t", "exec", "var", "run", "lib", "tmp", "etc", "file", "dir", "socket", "stream"}
    | {"port", "device", "name", "runtime", "data", "unix", "object", "system"}
)
_BY_ITS_NAME = "by its name: no policy was asked"
_GENERIC_STEMS = frozenset({"", "user", "system", "var", "admin", "staff", "sysadm", "etc", "usr"})

_PAST_MODES = frozenset({"dac_override", "dac_read_search"})
# Classes whose target is a process when the target's role is not object_r.
_READ = frozenset({"search", "getattr", "read", "open", "ioctl", "lock", "map", "watch"})
_WRITE = frozenset(
    {
        "write",
        "append",
        "create",
        "unlink",
        "rename",
        "add_name",
        "remove_name",
        "setattr",
        "link",
        "rmdir",
        "reparent",
    }
)


@dataclass(frozen=True)
class Change:
    """What a fix changes in a description, in words: ``changes.py`` makes the TOML of it.

    ``word`` is that of the knowledge or ``boolean``, ``connect``, ``port``; ``values`` are what it
    needs, by name.
    """

    word: str
    values: tuple[tuple[str, str], ...] = ()

    def value(self, name: str) -> str:
        """Return a value, '' when there is none."""
        return dict(self.values).get(name, "")


@dataclass(frozen=True)
class Fix:
    """One way to settle a denial."""

    kind: known.Kind
    rung: known.Rung
    id: str
    """The entry, ``boolean:NAME`` or the rung that found it."""
    says: str
    cure: str
    grants: str = ""
    """What becomes allowed, in a line; '' where nothing does."""
    opens: tuple[str, ...] = ()
    """What else it opens, as known."""
    opens_count: int | None = None
    """Access vectors that it opens, counted on the policy; None when that was not asked."""
    verified: str = ""
    """How it was verified that it covers the denial; '' where nothing can be."""
    refs: tuple[str, ...] = ()
    change: Change | None = None
    weak: bool = False


@dataclass(frozen=True)
class Refused:
    """A way that other tools propose and this one does not."""

    what: str
    reason: str


@dataclass(frozen=True)
class Answer:
    """What a denial means and how it is settled; ``fixes[0]`` is the answer, never empty."""

    denial: Denial
    fixes: tuple[Fix, ...]
    refused: tuple[Refused, ...] = ()
    notes: tuple[str, ...] = ()
    problem: Problem | None = None


@dataclass
class Ladder:
    """Decides denials by the knowledge, the names of a target, and a policy where one is given."""

    names: Names
    policy: Policy | None = None
    knowledge: Knowledge = field(default_factory=known.load)
    expander: Expander | None = None
    """Expands interfaces, where the headers of the target are at hand."""

    def prepare(self, denials: Sequence[Denial]) -> None:
        """Expand at once every interface that the answers to ``denials`` may name."""
        if self.expander is not None:
            self.expander.load(n for denial in denials for n in self.candidates(denial))

    def candidates(self, denial: Denial) -> list[str]:
        """Return the interfaces that may grant what was denied, by name, the narrowest first."""
        words = self._words(denial)
        found = list(interface_names(denial, words))
        for entry in self.knowledge.entries:
            if entry.interface and self.matches(entry, denial):
                found += [w.format_map(words) for w in entry.interface if self._fits(w, words)]
        found += self._relatives(denial, words["module"])
        return [name for name in dict.fromkeys(found) if name in self.names.facts.interfaces]

    def _relatives(self, denial: Denial, module: str) -> list[str]:
        """Return interfaces of the target's module whose verb fits: only an expansion can tell."""
        verbs = set(_verbs(denial))
        if self.expander is None or not module or not verbs:
            return []
        start = re.compile(rf"{re.escape(module)}_(?:{'|'.join(map(re.escape, verbs))})(?:_|$)")
        return [
            name
            for name, owner in self.names.facts.interfaces.items()
            if owner == module and start.match(name)
        ][:_MOST_RELATIVES]

    def interface(self, denial: Denial, wanted: Sequence[str]) -> tuple[str, str]:
        """Return the interface of ``wanted`` that grants what was denied, and how that is known.

        With the headers at hand, of all whose expansion covers the denial the one that grants the
        least besides; else the first by its name. ('', '') where there is none.
        """
        names = [n for n in dict.fromkeys(wanted) if n in self.names.facts.interfaces]
        if self.expander is None:
            return (names[0], "by its name, not expanded: no headers here") if names else ("", "")
        real = self.names.real(denial.target.type)
        covering = [
            (found.surplus(denial), index, name)
            for index, name in enumerate(names)
            if (found := self.expander.known.get(name)) is not None
            and (found.covers(denial) or found.covers(denial, real))
        ]
        if not covering:
            return "", ""
        more, _, name = min(covering)
        return name, f"covers it by its expansion, and grants {more} access vectors besides"

    def answer(self, denial: Denial) -> Answer:
        """Return how ``denial`` is settled."""
        fixes = sorted(self._fixes(denial), key=lambda fix: (fix.weak, RUNGS.index(fix.rung)))
        # Last: that nothing was blocked is a hint, and no answer where there is any other.
        fixes = _without_repeats([*fixes, *self._went_through(denial)])
        fixes = fixes or [self._nothing_known(denial)]
        notes = list(self._notes(denial))
        fixes = self._by_policy(denial, fixes, notes)
        return Answer(
            denial,
            tuple(fixes),
            tuple(self._refused(denial)),
            tuple(notes),
            self._problem(fixes[0]),
        )

    def answers(self, group: Group) -> list[Answer]:
        """Return an answer for each object that the group names."""
        return [self.answer(example.denial) for example in group.examples]

    def booleans(self, denial: Denial) -> list[str]:
        """Return the booleans that an answer may name: a policy is asked what they open."""
        found = [b.name for b in self._booleans(denial)]
        found += [w.name for w in self._wrong(denial)]
        found += [fix.id.removeprefix("boolean:") for fix in self._own_booleans(denial)]
        return [name for name in dict.fromkeys(found) if name in self.names.facts.booleans]

    # -- finding -------------------------------------------------------------------------------

    def _fixes(self, denial: Denial) -> Iterator[Fix]:
        matched = False
        for entry in self.knowledge.entries:
            if self.matches(entry, denial):
                yield self._from_entry(entry, denial)
                matched = matched or (entry.kind == "allow" and not entry.weak)
        yield from self._mislabelled(denial)
        yield from self._program_of_another(denial)
        if self._lost(denial):
            return
        for boolean in self._booleans(denial):
            yield from self._from_boolean(boolean, denial)
        yield from self._own_booleans(denial)
        if self.knowledge.member("net-sockets", denial.tclass) and self._about_a_port(denial):
            yield from self._ports(denial)
        elif not matched:
            yield from self._grant(denial)
        yield from self._with_a_waiver(denial)

    def _lost(self, denial: Denial) -> bool:
        """Tell whether a service runs in the domain of init: no grant is proposed for that one."""
        return any(
            entry.kind == "domain" and "@never-left" in entry.source and self.matches(entry, denial)
            for entry in self.knowledge.entries
        )

    def matches(self, entry: Entry, denial: Denial) -> bool:
        """Tell whether a denial looks as ``entry`` says."""
        among = self.knowledge.among
        asked = set(denial.permissions)
        if entry.granted != denial.granted:
            return False
        if not (
            among(entry.source, denial.source.type)
            and among(entry.target, denial.target.type)
            and among(entry.class_, denial.tclass)
        ):
            return False
        if entry.permissions and not asked & set(entry.permissions):
            return False
        if asked & set(entry.not_permissions):
            return False
        if entry.only and not asked <= set(entry.only):
            return False
        if entry.not_only and asked <= set(entry.not_only):
            return False
        if entry.self is not None and entry.self != (denial.source.type == denial.target.type):
            return False
        if entry.other_process and (
            denial.target.role == "object_r" or denial.source.type == denial.target.type
        ):
            return False
        place = denial.path or denial.name
        if entry.path and not re.fullmatch(entry.path, place):
            return False
        if entry.not_path and re.fullmatch(entry.not_path, place):
            return False
        program = program_of(denial)
        if entry.command and not re.fullmatch(entry.command, program):
            return False
        if entry.not_command and re.fullmatch(entry.not_command, program):
            return False
        if entry.inherited and (denial.name or not denial.path):
            return False
        if entry.foreign_domain and stem(denial.target.type) in (
            stem(denial.source.type),
            *_GENERIC_STEMS,
        ):
            return False
        owner = self.names.owner(denial.source.type)
        short = stem(denial.source.type).partition("_")[0]
        if entry.other_module:
            # A domain that is newer than the facts is told by the name of its program.
            theirs = self.names.owner(denial.target.type)
            if owner == theirs if owner else short == stem(denial.target.type).partition("_")[0]:
                return False
        if entry.own_type and not denial.target.type.startswith(f"{short}_"):
            return False
        if entry.base_domain is not None and entry.base_domain != bool(owner):
            return False
        for asked_for, who in (
            (entry.session, denial.source),
            (entry.peer_session, denial.target),
        ):
            if asked_for is not None and asked_for != (who.role not in ("system_r", "object_r")):
                return False
        if entry.unless_own and self._has_own(entry.unless_own, denial):
            return False
        if _HANDLE.fullmatch(denial.path) and entry.kind in ("relabel", "fcontext"):
            return False
        if entry.standard_path:
            expected = self.names.expected(denial.path, denial.tclass)
            if not expected or self.knowledge.member("unlabelled", expected):
                return False
        return True

    def _from_entry(self, entry: Entry, denial: Denial) -> Fix:
        words = self._words(denial)
        interface = verified = grants = ""
        if entry.interface:
            wanted = [w.format_map(words) for w in entry.interface if self._fits(w, words)]
            if self.expander is not None:
                wanted += self.candidates(denial)
            interface, verified = self.interface(denial, wanted)
            if interface:
                grants = f"{interface}({denial.source.type})"
        cure = entry.cure.format_map(words)
        if entry.kind == "allow" and not grants:
            grants = rule(denial)
        change = None
        if entry.change:
            change = Change(entry.change, _change_values(denial, interface=interface))
        return Fix(
            entry.kind,
            entry.place,
            entry.id,
            entry.says.format_map(words),
            cure,
            grants=grants if entry.kind == "allow" else "",
            verified=verified,
            refs=tuple(entry.refs),
            change=change,
            weak=entry.weak,
        )

    @staticmethod
    def _fits(word: str, words: dict[str, str]) -> bool:
        return all(words[name] for name in re.findall(r"\{(\w+)\}", word))

    def _words(self, denial: Denial) -> dict[str, str]:
        target = denial.target.type
        module = self.names.owner(target)
        path = denial.path or denial.name
        noun = target.removesuffix("_t")
        if module:
            noun = noun.removeprefix(f"{module}_") or noun
        return {
            "source": denial.source.type,
            "target": target,
            "stem": stem(denial.source.type),
            "owner": stem(target),
            "module": module,
            "noun": noun.removesuffix("_port") if noun.endswith("_port") else noun,
            "path": path or "(the record names no path)",
            "folder": path.rpartition("/")[0] or path or "the folder",
            "port": str(denial.port or ""),
        }

    # -- rungs that look things up -------------------------------------------------------------

    def _mislabelled(self, denial: Denial) -> Iterator[Fix]:
        """The path has a label in the base policy, and the object has another one."""
        actual = denial.target.type
        if denial.target.role != "object_r" or not denial.path or actual in CUSTOMIZABLE:
            return
        if not self.knowledge.member("files", denial.tclass):
            return
        if denial.path == "/":
            return  # The root of some namespace or image: the host's has a label from the start.
        expected = self.names.expected(denial.path, denial.tclass)
        member = self.knowledge.member
        if not expected or self.names.real(expected) == self.names.real(actual):
            return
        if member("shared-base", expected) or member("unlabelled", expected):
            return
        stray = any(
            member(family, actual)
            for family in ("moved", "unlabelled", "shared-base", "home", "own-tmp", "temporary")
        )
        if not stray:
            return
        if member("home", actual) and denial.path.startswith(("/home/", "/root/")):
            return
        yield Fix(
            "relabel",
            "label",
            "rung:label",
            f"{denial.path} is {actual}, but the policy labels that path {expected}",
            f"restorecon -Rv {denial.path}. Files keep the label of where they were made: mv and "
            "rsync -X carry it along.",
            refs=("file_contexts of the base policy", "restorecon(8)"),
            change=Change("label", _change_values(denial, expected=expected)),
        )

    def _program_of_another(self, denial: Denial) -> Iterator[Fix]:
        """The program has a domain of its own in the base policy, and runs in another's."""
        source = denial.source.type
        if denial.kind != "AVC" or denial.source.role == "object_r":
            return  # The executable is that of an object manager, or the source is a file.
        if self.knowledge.among(["@unconfined", "@people", "@never-left"], source):
            return
        entry = self.names.expected(denial.exe, "file")
        domain = f"{entry.removesuffix('_exec_t')}_t"
        if not entry.endswith("_exec_t") or not self.names.has_type(domain):
            return
        owner, here = self.names.owner(entry), self.names.owner(source)
        if not (owner and here) or owner == here:
            return
        yield Fix(
            "domain",
            "domain",
            "rung:program-of-another",
            f"{denial.exe} has a domain of its own, {domain}; here it runs in {source}",
            f"A transition to {domain} where {source} starts it: the program then has the rights "
            f"that it needs, and {source} gets none of them.",
            refs=("file_contexts of the base policy", "domain.te: domtrans_pattern"),
            weak=True,
        )

    def _booleans(self, denial: Denial) -> Iterator[Boolean]:
        asked = set(denial.permissions)
        for boolean in self.knowledge.booleans:
            if denial.source.type not in boolean.sources:
                continue
            if not self.knowledge.among([boolean.class_], denial.tclass):
                continue
            if "*" not in boolean.permissions and not asked <= set(boolean.permissions):
                continue
            own = denial.source.type == denial.target.type
            if not (
                denial.target.type in boolean.targets
                or "*" in boolean.targets
                or ("self" in boolean.targets and own)
            ):
                continue
            if boolean.family not in ("", self.names.target.family):
                continue
            if boolean.name in self.names.facts.booleans:
                yield boolean

    def _from_boolean(self, boolean: Boolean, denial: Denial) -> Iterator[Fix]:
        says = f"{denial.source.type} has this access only when {boolean.name} is on"
        service = self.knowledge.services.get(denial.target.type, "")
        if service and not boolean.last and self.names.service(service) is not None:
            # One service is narrower than the boolean: it goes before, on the same rung.
            yield Fix(
                "boolean",
                "boolean",
                f"tunable:{service}",
                says,
                f'[[connect]] to = "{service}": the connection to this one service, under a '
                "tunable of the module that the site can turn off.",
                grants=f"{denial.source.type} {denial.target.type}:{denial.tclass} name_connect",
                opens=(f"every port of {denial.target.type}",),
                refs=("corenetwork.if and apache.te of the policy family",),
                change=Change(
                    "connect", _change_values(denial, service=service, boolean=boolean.name)
                ),
            )
        cure = f"setsebool -P {boolean.name} on, by a [[boolean]] of the package."
        if boolean.refused:
            cure += f" Only with a waiver: {boolean.refused}."
        if boolean.alternative:
            cure += f" {boolean.alternative[0].upper()}{boolean.alternative[1:]}."
        yield Fix(
            "boolean",
            "boolean",
            f"boolean:{boolean.name}",
            says,
            cure,
            grants=f"{boolean.name} = on",
            opens=tuple(boolean.opens),
            opens_count=self._count(boolean.name),
            refs=("apache.te of the policy family",),
            change=None
            if boolean.refused or boolean.wide
            else Change("boolean", _change_values(denial, name=boolean.name)),
            weak=boolean.last,
        )

    def _count(self, boolean: str) -> int | None:
        return self.policy.opens.get(boolean) if self.policy is not None else None

    def _own_booleans(self, denial: Denial) -> Iterator[Fix]:
        """Booleans of the source's own: by what is known of a need, then by their names."""
        among = self.knowledge.among
        if among(["@web", "@script", "@never-left", "@unconfined"], denial.source.type):
            return
        wide = self.knowledge.member("wide-ports", denial.target.type)
        for need in self.knowledge.own:
            if not self._needs(need, denial):
                continue
            name = self._own_name(need, denial)
            if name:
                # A label for one port is narrower than a switch for all.
                weak = need.weak or (wide and "*" in need.targets)
                says = f"{denial.source.type} has this access only when {name} is on"
                yield self._own_boolean(name, denial, says, need.opens, weak=weak)
            elif need.tunable:
                name = need.tunable.format_map(self._own_words(denial))
                yield Fix(
                    "boolean",
                    "boolean",
                    f"own:{need.id}",
                    f"{denial.source.type} may not use {denial.target.type}, which is every file "
                    "of every such mount",
                    f"A tunable of the module, {name}, off by default; or mount the file system "
                    "with -o context= and one type of the service: narrower.",
                    grants=rule(denial),
                    opens=(need.opens,),
                    refs=("mount(8): context=",),
                    change=Change("rule", _change_values(denial, tunable=name)),
                )
        for name, much in self._booleans_by_name(denial):
            default = ", which it is by default" if self.names.facts.booleans[name] else ""
            says = f"by its name, {name} is the switch for this access, when it is on{default}"
            opens = "whatever the boolean governs: its name is known here, not its rules"
            yield self._own_boolean(name, denial, says, opens, weak=much, verified=_BY_ITS_NAME)

    def _own_boolean(
        self, name: str, denial: Denial, says: str, opens: str, *, weak: bool, verified: str = ""
    ) -> Fix:
        how = f"setsebool -P {name} on."
        if verified:
            how += " Ask a policy first (--policy): the name is all that speaks for it."
        return Fix(
            "boolean",
            "boolean",
            f"boolean:{name}",
            says,
            how,
            grants=f"{name} = on",
            opens=(opens,),
            opens_count=self._count(name),
            verified=verified,
            refs=("booleans of the target",),
            # A name alone writes nothing into a description.
            change=None if verified else Change("boolean", _change_values(denial, name=name)),
            weak=weak,
        )

    def _needs(self, need: OwnBoolean, denial: Denial) -> bool:
        if not self.knowledge.among(need.class_, denial.tclass):
            return False
        if "*" not in need.permissions and not set(denial.permissions) & set(need.permissions):
            return False
        if "self" in need.targets:
            return denial.source.type == denial.target.type
        return self.knowledge.among(need.targets, denial.target.type)

    def _has_own(self, id_: str, denial: Denial) -> bool:
        return any(
            need.id == id_ and self._needs(need, denial) and self._own_name(need, denial)
            for need in self.knowledge.own
        )

    def _own_words(self, denial: Denial) -> dict[str, str]:
        return {
            "stem": stem(denial.source.type),
            "short": stem(denial.source.type).partition("_")[0],
            "module": self.names.owner(denial.source.type) or stem(denial.source.type),
            "fs": denial.target.type.removesuffix("_t").replace("cifs", "samba"),
        }

    def _own_name(self, need: OwnBoolean, denial: Denial) -> str:
        """Return the boolean of the target that serves ``need``, '' where there is none."""
        words = self._own_words(denial)
        for pattern in need.names:
            name = pattern.format_map(words)
            listed = need.only_for.get(name)
            if listed is not None and not self.knowledge.among(listed, denial.source.type):
                continue
            if name in self.names.facts.booleans:
                return name
        return ""

    def _booleans_by_name(self, denial: Denial) -> Iterator[tuple[str, bool]]:
        """Yield booleans named after the source whose every other word tells of the denial.

        With each, whether one of its words says that it opens much else. A word tells of a denial
        when it is one of the target's type, the class, the permissions or the program, or when the
        knowledge says so (``SaidWord``).
        """
        if self._never(denial) and not self.knowledge.member("base", denial.target.type):
            return
        words = self._own_words(denial)
        short, whole, module = words["short"], words["stem"], words["module"]
        starts = sorted({whole, short, module, f"{module}_{whole}"}, key=len, reverse=True)
        told = {denial.tclass, program_of(denial)}
        for text in (denial.target.type, denial.tclass, *denial.permissions):
            told |= set(text.split("_")) - _NO_WORDS
        for name in self.names.facts.booleans:
            start = next((s for s in starts if name.startswith(f"{s}_")), "")
            if not start:
                continue
            rest = set(name.removeprefix(f"{start}_").split("_")) - self.knowledge.fillers
            much = False
            for word in rest - told - {f"{w}s" for w in told}:
                said = next((s for s in self.knowledge.said if self._says(s, word, denial)), None)
                if said is None:
                    break
                much = much or said.wide
            else:
                if rest:
                    yield name, much

    def _says(self, said: SaidWord, word: str, denial: Denial) -> bool:
        if word not in said.words or not self.knowledge.among(said.class_, denial.tclass):
            return False
        if said.permissions and not set(denial.permissions) & set(said.permissions):
            return False
        return self.knowledge.among(said.target, denial.target.type)

    @staticmethod
    def _about_a_port(denial: Denial) -> bool:
        """Tell whether the target is a port or a node; else it is the socket of a process."""
        asked = {"name_connect", "name_bind", "node_bind", "recv_msg", "send_msg"}
        return denial.source.type != denial.target.type and bool(asked & set(denial.permissions))

    def _ports(self, denial: Denial) -> Iterator[Fix]:
        """A port: labelled for its service, only by accident, or not at all."""
        among, type_ = self.knowledge.among, denial.target.type
        asked = set(denial.permissions)
        if asked <= {"node_bind"}:
            yield from self._grant(denial)
            return
        bind = "name_bind" in asked
        web = among(["@web", "@script"], denial.source.type)
        where = f"port {denial.port}" if denial.port else "this port"
        wide = self.knowledge.member("wide-ports", type_)
        accident = next(
            (
                a
                for a in self.knowledge.accidents
                if a.holds(type_, denial.port) and (web or not a.only_web)
            ),
            None,
        )
        limit = next(
            (b for b in self.knowledge.binds if among(b.sources, denial.source.type)), None
        )
        foreign = bind and limit is not None and type_ not in limit.types
        if wide or accident is not None or foreign:
            verb = "bind" if bind else "connect to"
            if wide:
                says = f"{where} has no label of its own: {type_} is a whole range"
            elif accident is not None:
                says = (
                    f"{where} is labelled {type_}, which is another program's; "
                    f"{accident.usual} use it by accident"
                )
            else:
                says = f"{where} is labelled {type_}, which is not one that a web server binds"
            cure = (
                f"A label for that one port and the right to {verb} it: "
                + (
                    f"[[port]] number = {denial.port or 'N'}"
                    if bind
                    else f"[[connect]] port = {denial.port or 'N'}"
                )
                + ". "
            )
            if not wide:
                cure = (
                    "A unix socket in /run needs no port at all; else a number that the policy "
                    f"leaves free. {where} cannot get a second label from a module; an "
                    "administrator can change it on one host (semanage port -m). "
                )
            label = Fix(
                "port",
                "port",
                "rung:port",
                says,
                cure
                + f"Granting {type_} would open "
                + ("every port of the range." if wide else "the other program's ports as well."),
                grants="" if not wide else f"one port of a type of its own: {denial.port or 'N'}",
                refs=("ports of the target (semanage port -l)",),
                change=Change("port-bind" if bind else "port-connect", _change_values(denial))
                if wide
                else None,
            )
            if accident is not None and web and not bind:
                # A module cannot label the port again, so what helps is in the configuration.
                yield replace(label, kind="app_config", rung="configuration", id="rung:port-taken")
                label = replace(
                    label,
                    cure=f"On one host: semanage port -m gives {where} another type; the other "
                    "program then loses it.",
                )
            yield label
            if wide:
                return
        elif bind and not _related(stem(type_), stem(denial.source.type)):
            yield Fix(
                "port",
                "port",
                "rung:port-of-another",
                f"{where} is labelled {type_}, after the service that it is usual for",
                f"Where that service does not run here, another number for {denial.source.type}, "
                "one that has its own label (semanage port -l); on one host semanage port -m.",
                refs=("ports of the target (semanage port -l)",),
                weak=True,
            )
        yield from self._port_interface(denial, bind)

    def _port_interface(self, denial: Denial, bind: bool) -> Iterator[Fix]:
        type_ = denial.target.type
        service = self.knowledge.services.get(type_, "")
        found = self.names.service(service) if service else None
        noun = type_.removesuffix("_t").removesuffix("_port")
        protocol = denial.tclass.removesuffix("_socket")
        verb = "bind" if bind else "connect"
        interface = self.names.interface(f"corenet_{protocol}_{verb}_{noun}_port")
        shown = f"{interface}({denial.source.type})" if interface else rule(denial)
        what = found.title if found is not None else type_
        says = f"{denial.source.type} may not {verb} to the port of {what}"
        if bind:
            says = f"{denial.source.type} may not bind the port of {what}"
        if found is not None and not bind:
            cure = f'[[connect]] to = "{service}": this one service.'
            change = Change("connect", _change_values(denial, service=service))
        else:
            cure = f"{shown}: this one port type."
            change = Change("call", _change_values(denial, interface=interface))
            if not interface:
                change = Change("rule", _change_values(denial))
        yield Fix(
            "allow",
            "service",
            "rung:service",
            says,
            cure,
            grants=shown,
            opens=(f"every port of {type_}",),
            refs=("corenetwork.if of the target",),
            change=change,
        )

    def _grant(self, denial: Denial) -> Iterator[Fix]:
        """An interface by its name, else the bare rule: what is left when nothing narrower is."""
        if self._never(denial):
            return
        words = self._words(denial)
        named = list(interface_names(denial, words))
        if self.expander is not None:
            named = self.candidates(denial)
        interface, verified = self.interface(denial, named)
        source, target = denial.source.type, denial.target.type
        wanted = " ".join(denial.permissions)
        says = f"{source} may not {wanted} a {denial.tclass} of {target}"
        if denial.target.role != "object_r" and source != target:
            says = f"{source} may not {wanted} {target}, another domain ({denial.tclass})"
        if interface:
            yield Fix(
                "allow",
                "interface",
                "rung:interface",
                says,
                f"{interface}({source}).",
                grants=f"{interface}({source})",
                verified=verified,
                refs=("interfaces of the target",),
                change=Change("call", _change_values(denial, interface=interface)),
            )
        yield Fix(
            "allow",
            "rule",
            "rung:rule",
            says,
            "This one rule, with the reason why the program needs it.",
            grants=rule(denial),
            refs=("the record itself",),
            change=Change("rule", _change_values(denial)),
        )

    def _never(self, denial: Denial) -> str:
        """Return why a bare rule is refused, '' when it may be proposed."""
        member, asked = self.knowledge.member, set(denial.permissions)
        target = denial.target.type
        if member("unlabelled", target):
            return f"{target} is every file without a label"
        if asked & {"execmem", "execstack", "execheap"}:
            return "memory that is written and then run is how an exploit stays"
        powers = {*_PAST_MODES, "sys_admin", "sys_ptrace", "sys_module"}
        web = self.knowledge.among(["@web", "@script", "@container"], denial.source.type)
        # In a user namespace the capability ends where the namespace does.
        if asked & powers and (web or not denial.tclass.endswith("_userns")):
            return "a capability that goes around every file mode, or into the kernel"
        secret = member("secrets", target) or member("policy-types", target)
        if secret and (web or target == "shadow_t" or not asked <= _READ):
            return f"{target} is none of an application's business"
        writes = bool(asked & _WRITE) and member("files", denial.tclass)
        if writes and (member("system-files", target) or target == "httpd_sys_content_t"):
            return f"a write to {target} changes programs or configuration of the host"
        if writes and (member("shared-base", target) or member("temporary", target)):
            return f"{target} is shared by the files of many programs"
        walks = asked <= {"getattr", "search", "watch", "watch_reads"} and denial.tclass == "dir"
        walks = walks or (asked <= {"getattr", "read"} and denial.tclass == "lnk_file")
        if member("base", target) and not walks:
            return f"{target} is what lies in a place until it gets a label of its own"
        # A socket without ports, as one of ICMP, is asked by its number all the same.
        if member("wide-ports", target) and member("net-sockets", denial.tclass):
            return f"{target} is a whole range of ports"
        return ""

    def _went_through(self, denial: Denial) -> Iterator[Fix]:
        if denial.permissive or denial.success:
            yield Fix(
                "none",
                "notice",
                "rung:not-blocked",
                "nothing was blocked: the access was only logged"
                if denial.permissive
                else "the system call went through all the same",
                "Nothing, where the program does what it should when enforcing.",
                refs=("audit record: permissive=1, success=yes",),
                weak=True,
            )

    def _with_a_waiver(self, denial: Denial) -> Iterator[Fix]:
        """A domain's power over itself that is refused may be waived, with a reason and a day."""
        web = self.knowledge.among(["@web", "@script", "@never-left"], denial.source.type)
        own = denial.source.type == denial.target.type
        # A service of the host may be there for what is secret to all others (raw disks, modules).
        secret = self.knowledge.member("secrets", denial.target.type)
        charged = secret and bool(self.names.owner(denial.source.type))
        if not (own or charged) or web or denial.granted or not self._never(denial):
            return
        # A capability that a service of the host asks for is mostly its work: dontaudit is second.
        # Not where it is asked for by a look at others (sys_ptrace), or for want of a file's mode.
        work = own and bool(self.names.owner(denial.source.type))
        work = work and self.knowledge.member("capabilities", denial.tclass)
        work = work and not {"sys_ptrace", *_PAST_MODES} & set(denial.permissions)
        target = "self" if own else denial.target.type
        grants = [f"{denial.source.type} {target}:{denial.tclass} {p}" for p in denial.permissions]
        yield Fix(
            "allow",
            "rule",
            "rung:waiver",
            f"{self._never(denial)}: it is granted only with a waiver",
            "[[waiver]] grant = " + ", ".join(f'"{g}"' for g in grants) + ", with a reason and a "
            "day, beside the [[allow]]. This program does not write either by itself.",
            grants=rule(denial),
            refs=("policy/refusals.toml",),
            weak=not work,
        )

    def _nothing_known(self, denial: Denial) -> Fix:
        why = self._never(denial)
        says = f"{denial.source.type} was refused {rule(denial)}"
        if why:
            return Fix(
                "deny",
                "refuse",
                "rung:refuse",
                says,
                f"Leave it denied: {why}. A waiver of the description can set that aside, with a "
                "reason and a day.",
                refs=("policy/refusals.toml",),
            )
        return Fix("none", "rule", "rung:none", says, "Nothing is known that settles it.")

    # -- beside the answer ---------------------------------------------------------------------

    def _wrong(self, denial: Denial) -> Iterator[known.Wrong]:
        for wrong in self.knowledge.wrong:
            if denial.tclass in wrong.classes and set(denial.permissions) & set(wrong.permissions):
                yield wrong

    def _refused(self, denial: Denial) -> Iterator[Refused]:
        why = self._never(denial)
        if not why and self._lost(denial):
            why = f"every service of the host starts in {denial.source.type}"
        if why:
            yield Refused(rule(denial), why)
        for wrong in self._wrong(denial):
            if wrong.name in self.names.facts.booleans:
                count = self._count(wrong.name)
                tail = f" ({count} access vectors)" if count else ""
                yield Refused(f"{wrong.name} = on", wrong.reason + tail)

    def _notes(self, denial: Denial) -> Iterator[str]:
        if denial.permissive:
            yield "permissive: it was only logged, the access went through"
        elif denial.success:
            yield "the system call succeeded all the same: what was denied was not needed for it"
        classes = self.names.facts.classes
        if denial.tclass not in classes:
            yield f"class {denial.tclass} is not in the policy of {self.names.target.name}"
        else:
            unknown = set(denial.permissions) - classes[denial.tclass]
            if unknown:
                yield (
                    f"{', '.join(sorted(unknown))} is no permission of {denial.tclass} in the "
                    f"policy of {self.names.target.name}"
                )
        for type_ in (denial.source.type, denial.target.type):
            if not self.names.has_type(type_):
                yield f"{type_} is not in the base policy of {self.names.target.name}"
        differ = [word for word in ("role", "user") if word in denial.constraints]
        if differ and denial.tclass == "process":
            yield (
                f"the {' and the '.join(differ)} of the two differ: a constraint may refuse it "
                "whatever the rules say; the policy at hand tells"
            )
        if "level" in denial.constraints:
            yield (
                "the levels (MCS categories) of the two differ: no rule helps where a constraint "
                "refuses; give both the same categories"
            )

    def _by_policy(self, denial: Denial, fixes: list[Fix], notes: list[str]) -> list[Fix]:
        """Put in what the policy says; only one that the user named changes the answer."""
        verdict = self.policy.verdict(denial) if self.policy is not None else None
        if verdict is None or self.policy is None:
            return fixes
        if verdict.word == "allowed":
            notes.append(f"{self.policy.path} allows it: the denial is older, or of another host")
            if self.policy.given and not denial.granted:
                done = Fix(
                    "none",
                    "first",
                    "policy:allowed",
                    "the policy allows this access already",
                    "Nothing to do on a host with that policy.",
                    verified=f"{self.policy.path}",
                )
                return [done, *fixes]
        elif verdict.word == "unknown":
            notes.append(f"{self.policy.path} does not have {verdict.why}")
            return fixes
        elif verdict.word == "dontaudit":
            notes.append("the policy hides this denial (dontaudit); it is seen after semodule -DB")
        elif verdict.word in ("constraint", "role", "bounds"):
            what = {"constraint": "a constraint", "role": "a role", "bounds": "type bounds"}
            notes.append(f"{what[verdict.word]} of the policy refuses it: a rule would not help")
        elif verdict.word == "boolean":
            switches = ", ".join(f"{n}={'on' if v else 'off'}" for n, v in verdict.booleans)
            notes.append(f"the policy would allow it with {switches}")
            told = {f"boolean:{name}" for name, _ in verdict.booleans}
            fixes = [self._verified(fix, denial) if fix.id in told else fix for fix in fixes]
        # What only a name spoke for is taken back where the policy does not say it.
        return [fix for fix in fixes if fix.verified != _BY_ITS_NAME] or fixes

    @staticmethod
    def _verified(fix: Fix, denial: Denial) -> Fix:
        if fix.verified != _BY_ITS_NAME:
            return replace(fix, verified="in the policy")
        name = fix.id.removeprefix("boolean:")
        change = Change("boolean", _change_values(denial, name=name))
        cure = f"setsebool -P {name} on."
        return replace(fix, verified="in the policy", cure=cure, change=change)

    def _problem(self, fix: Fix) -> Problem | None:
        return next((p for p in self.knowledge.problems if fix.id in p.entries), None)


def rule(denial: Denial) -> str:
    """Return the bare rule that would allow a denial, as policy writes it."""
    target = "self" if denial.source.type == denial.target.type else denial.target.type
    wanted = " ".join(denial.permissions)
    if len(denial.permissions) > 1:
        wanted = f"{{ {wanted} }}"
    return f"allow {denial.source.type} {target}:{denial.tclass} {wanted};"


def stem(type_: str) -> str:
    """Return the program that a type is named after: ``cinder`` of ``cinder_var_lib_t``."""
    found = _STATE_ENDINGS.sub("", type_)
    return found if found != type_ else type_.removesuffix("_t")


def _related(one: str, other: str) -> bool:
    """Tell whether one name begins the other: memcache and memcached."""
    return one.startswith(other) or other.startswith(one)


def program_of(denial: Denial) -> str:
    """Return the name of the program: of its script where that is known, else the kernel's."""
    for word in denial.command[:2]:
        last = word.rpartition("/")[2]
        if last.endswith(".py"):
            return last
    return denial.comm or denial.exe.rpartition("/")[2]


# (classes, permissions all among these, verbs of interfaces), the narrowest first.
_VERBS: tuple[tuple[frozenset[str], frozenset[str], tuple[str, ...]], ...] = (
    (frozenset({"dir"}), frozenset({"getattr", "search"}), ("search", "list", "read")),
    (frozenset({"dir"}), frozenset({"getattr", "search", "read", "open"}), ("list", "read")),
    (frozenset({"file", "lnk_file"}), frozenset({"getattr"}), ("getattr", "read")),
    (frozenset({"file", "lnk_file", "chr_file"}), _READ, ("read", "rw", "use")),
    (
        frozenset({"file"}),
        frozenset({"append", "open", "getattr", "lock"}),
        ("append", "write", "manage"),
    ),
    (frozenset({"file"}), frozenset({"execute", "execute_no_trans"}) | _READ, ("exec", "domtrans")),
    (
        frozenset({"file", "chr_file", "fifo_file"}),
        _READ | {"write", "append"},
        ("rw", "write", "manage"),
    ),
    (frozenset({"file", "dir", "lnk_file", "sock_file"}), _READ | _WRITE, ("manage",)),
    (
        frozenset({"unix_stream_socket", "sock_file"}),
        frozenset({"connectto", "write", "getattr"}),
        ("stream_connect",),
    ),
    (
        frozenset({"unix_dgram_socket"}),
        frozenset({"sendto"}),
        ("dgram_send", "dgram_sendto"),
    ),
    (frozenset({"process"}), frozenset({"signal"}), ("signal",)),
    (frozenset({"process"}), frozenset({"signull"}), ("signull",)),
    (frozenset({"process"}), frozenset({"sigchld"}), ("sigchld",)),
    (frozenset({"process"}), frozenset({"sigkill"}), ("kill", "sigkill")),
    (frozenset({"process"}), frozenset({"transition"}), ("domtrans",)),
    (frozenset({"dbus"}), frozenset({"send_msg"}), ("dbus_chat",)),
    (frozenset({"service"}), frozenset({"status", "start", "stop", "reload"}), ("systemctl",)),
    (frozenset({"key"}), frozenset({"read", "view", "search"}), ("read_keys", "search_keys")),
    (frozenset({"fd"}), frozenset({"use"}), ("use_fds",)),
    (frozenset({"tcp_socket", "udp_socket"}), frozenset({"node_bind"}), ("bind",)),
)


_MOST_RELATIVES = 30


def _verbs(denial: Denial) -> Iterator[str]:
    """Yield the verbs of interfaces that may grant an access, the narrowest first."""
    asked = frozenset(denial.permissions)
    for classes, permissions, verbs in _VERBS:
        if denial.tclass in classes and asked <= permissions:
            yield from verbs


def interface_names(denial: Denial, words: dict[str, str]) -> Iterator[str]:
    """Yield the names that an interface for this access would have, the narrowest first.

    Source: how the reference policy names interfaces, MODULE_VERB_NOUN; whether it covers the
    denial is for its expansion to say.
    """
    module, noun = words["module"], words["noun"]
    if not module:
        return
    ends = [noun, f"{noun}s", f"{noun}_files", f"{noun}_dirs", f"{noun}_dir"]
    short = noun.removeprefix("var_")
    ends += [f"{short}_files", short, f"{short}_dirs"]
    if denial.tclass == "node":
        yield f"corenet_{denial.tclass}_bind_generic_node"
    for verb in _verbs(denial):
        for end in ends:
            yield f"{module}_{verb}_{end}"
        yield f"{module}_{verb}"


def _change_values(denial: Denial, **more: str) -> tuple[tuple[str, str], ...]:
    values = {
        "source": denial.source.type,
        "target": denial.target.type,
        "class": denial.tclass,
        "permissions": " ".join(denial.permissions),
        "path": denial.path,
        "name": denial.name,
        "port": "" if denial.port is None else str(denial.port),
        "protocol": denial.protocol or denial.tclass.removesuffix("_socket"),
    }
    return tuple({**values, **more}.items())


def _without_repeats(fixes: list[Fix]) -> list[Fix]:
    """Return each fix once, and no second one of those that change nothing but the log."""
    found: dict[tuple[str, str], Fix] = {}
    said: set[str] = set()
    for fix in fixes:
        if fix.weak and fix.kind in said:
            continue
        if fix.kind in ("dontaudit", "none", "bug"):
            said.add(fix.kind)
        found.setdefault((fix.kind, fix.grants or fix.id), fix)
    return list(found.values())
