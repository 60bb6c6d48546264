"""A reading explained: each group of denials with its answer, by a target's names and a policy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from wsgi_sepkg import targets
from wsgi_sepkg.denials import grounds, knowledge
from wsgi_sepkg.denials.decide import Ladder
from wsgi_sepkg.denials.expand import Expander
from wsgi_sepkg.denials.grounds import Policy
from wsgi_sepkg.denials.ladder.fixes import Answer, Fix
from wsgi_sepkg.denials.model import Group, Reading
from wsgi_sepkg.errors import UsageError

INSTALLED_HEADERS = Path("/usr/share/selinux/devel/include")


@dataclass(frozen=True)
class Explained:
    """A group and the answers for the objects that it names, most frequent object first."""

    group: Group
    answers: tuple[Answer, ...]

    @property
    def answer(self) -> Answer:
        """The answer for the object that was denied most."""
        return self.answers[0]

    @property
    def fixes(self) -> tuple[Fix, ...]:
        """All fixes, the answer first; those of further objects follow."""
        found: dict[tuple[str, str, str], Fix] = {}
        for answer in self.answers:
            for fix in answer.fixes:
                found.setdefault((fix.kind, fix.id, fix.grants), fix)
        return tuple(found.values())


@dataclass(frozen=True)
class Explanation:
    """A whole reading explained. ``asked`` says what served: facts of a target, or a policy."""

    reading: Reading
    target: str
    asked: tuple[str, ...]
    explained: tuple[Explained, ...]

    def count(self, kind: str) -> int:
        """Return how many records have an answer of ``kind``."""
        return sum(e.group.count for e in self.explained if e.answer.fixes[0].kind == kind)


def prepare(target: str = "") -> None:
    """Load what `explain` needs whatever the logs say. Raises UsageError for an unknown target."""
    knowledge.load()
    facts = grounds.choose((), target).facts
    _ = (facts.types, facts.contexts, facts.booleans, facts.interfaces, facts.classes)


def explain(
    reading: Reading,
    target: str = "",
    policy: Path | None = None,
    use_policy: bool = True,
    headers: Path | None = None,
) -> Explanation:
    """Return ``reading`` explained.

    The names are those of ``target``, else of the target that knows most types of the reading.
    ``policy`` is a binary policy to ask; without it the installed one is, unless ``use_policy`` is
    False or there is none. ``headers`` is the folder of the target's policy headers (include);
    without it those of this host serve where it is of the target, unless ``use_policy`` is False.
    Raises UsageError when ``policy`` cannot be read.
    """
    if policy is not None and not policy.is_file():
        raise UsageError(
            f"{policy}: there is no such file",
            "give the binary policy of the host: /etc/selinux/TYPE/policy/policy.NN",
        )
    given = policy is not None
    if policy is None and use_policy:
        policy = grounds.installed_policy()
    names = grounds.choose(_types(reading.groups), target, targets.host_target() if policy else "")
    ladder = Ladder(names)
    asked = [f"facts of {names.target.name}"]
    denials = [e.denial for group in reading.groups for e in group.examples]
    if policy is not None and denials:
        ladder.policy = Policy(policy, given)
        wanted = [name for denial in denials for name in ladder.booleans(denial)]
        grounds.ask(ladder.policy, denials, wanted)
        asked.append(
            f"policy {policy} not asked: {ladder.policy.said}"
            if ladder.policy.said
            else f"policy {policy}"
        )
    include = headers
    if include is None and use_policy and targets.host_target() == names.target.name:
        include = INSTALLED_HEADERS
    if include is not None and (include / "support").is_dir() and denials:
        ladder.expander = Expander(include, names.facts)
        ladder.prepare(denials)
        asked.append(f"headers {include}")
    explained = tuple(Explained(group, tuple(ladder.answers(group))) for group in reading.groups)
    return Explanation(reading, names.target.name, tuple(asked), explained)


def _types(groups: Iterable[Group]) -> set[str]:
    return {t for g in groups for t in (g.denial.source.type, g.denial.target.type)}
