"""Booleans: those of the knowledge, and a domain's own by its needs or by their names."""

from __future__ import annotations

from collections.abc import Iterator

from wsgi_sepkg.denials.knowledge import Boolean, OwnBoolean, SaidWord
from wsgi_sepkg.denials.ladder.fixes import Change, Fix, change_values, rule
from wsgi_sepkg.denials.ladder.refusals import Refusals
from wsgi_sepkg.denials.ladder.signs import program_of, stem
from wsgi_sepkg.denials.model import Denial

# Parts of names that tell nothing: endings of types, and words that every class or file has.
_NO_WORDS = frozenset(
    {"t", "exec", "var", "run", "lib", "tmp", "etc", "file", "dir", "socket", "stream"}
    | {"port", "device", "name", "runtime", "data", "unix", "object", "system"}
)
BY_ITS_NAME = "by its name: no policy was asked"


class Booleans(Refusals):
    """Finds the booleans that govern an access."""

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
                    "connect", change_values(denial, service=service, boolean=boolean.name)
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
            else Change("boolean", change_values(denial, name=boolean.name)),
            weak=boolean.last,
        )

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
                    change=Change("rule", change_values(denial, tunable=name)),
                )
        for name, much in self._booleans_by_name(denial):
            default = ", which it is by default" if self.names.facts.booleans[name] else ""
            says = f"by its name, {name} is the switch for this access, when it is on{default}"
            opens = "whatever the boolean governs: its name is known here, not its rules"
            yield self._own_boolean(name, denial, says, opens, weak=much, verified=BY_ITS_NAME)

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
            change=None if verified else Change("boolean", change_values(denial, name=name)),
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
        stems = sorted({whole, short, module, f"{module}_{whole}"}, key=len, reverse=True)
        starts = tuple(f"{s}_" for s in stems)
        told = {denial.tclass, program_of(denial)}
        for text in (denial.target.type, denial.tclass, *denial.permissions):
            told |= set(text.split("_")) - _NO_WORDS
        for name in self.names.facts.booleans:
            if not name.startswith(starts):
                continue
            start = next(s for s in starts if name.startswith(s))
            rest = set(name.removeprefix(start).split("_")) - self.knowledge.fillers
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
