"""The ladder: from one denial to the narrowest fix, the next wider ones, and what is refused.

The order is that of ``knowledge.RUNGS``. An answer comes from an entry of the knowledge, or from
one of the rungs that look things up: the label that the base policy gives to the path, the booleans
of the target, the ports, the interfaces. Nothing here knows a program, a type or a port by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from wsgi_sepkg.denials.knowledge import RUNGS, Problem
from wsgi_sepkg.denials.ladder.booleans import BY_ITS_NAME
from wsgi_sepkg.denials.ladder.fixes import Answer, Change, Fix, Refused, change_values, rule
from wsgi_sepkg.denials.ladder.labels import Labels
from wsgi_sepkg.denials.model import Denial, Group


@dataclass
class Ladder(Labels):
    """Decides denials by the knowledge, the names of a target, and a policy where one is given."""

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

    def _fixes(self, denial: Denial) -> Iterator[Fix]:
        matched = False
        for entry in self.matching(denial):
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
            if "." in type_:
                block = type_.rpartition(".")[0]
                yield (
                    f"{type_} stands in the CIL block {block} (udica writes one for a container): "
                    "no module in policy language can name it; its rules belong into that block"
                )
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
        return [fix for fix in fixes if fix.verified != BY_ITS_NAME] or fixes

    @staticmethod
    def _verified(fix: Fix, denial: Denial) -> Fix:
        if fix.verified != BY_ITS_NAME:
            return replace(fix, verified="in the policy")
        name = fix.id.removeprefix("boolean:")
        change = Change("boolean", change_values(denial, name=name))
        cure = f"setsebool -P {name} on."
        return replace(fix, verified="in the policy", cure=cure, change=change)

    def _problem(self, fix: Fix) -> Problem | None:
        return next((p for p in self.knowledge.problems if fix.id in p.entries), None)


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
