"""Does a host look as a scenario says? Each expectation becomes one check."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wsgi_sepkg.simulate.events import Cast, stems
from wsgi_sepkg.simulate.package import Package, unpacked
from wsgi_sepkg.simulate.root import RECORD, STATE, STORE
from wsgi_sepkg.simulate.scenarios import Expectation
from wsgi_sepkg.simulate.transaction import Host, Transaction

# Stays by design: the distribution's record of booleans, empty but for its comment.
_STAYS = {f"/{RECORD}"}


@dataclass(frozen=True)
class Check:
    """An expectation in words; ``why`` says what was found instead, '' when it held."""

    text: str
    why: str = ""

    @property
    def held(self) -> bool:
        """Tell whether it held."""
        return not self.why


@dataclass(frozen=True)
class Before:
    """The host before the first step: all paths, and the booleans."""

    paths: frozenset[str]
    booleans: tuple[tuple[str, int], ...]


def checks(wanted: Expectation, host: Host, cast: Cast, before: Before) -> Iterator[Check]:
    """Give a check for each thing that ``wanted`` asks, and that no scriptlet has failed."""
    yield _status(host)
    last = host.done[-1]
    policies = [p for p in cast.new if p.modules]
    present = [p for p in host.installed.values() if p.modules] or policies
    if wanted.modules == "present":
        yield _present(host, present)
    elif wanted.modules == "absent":
        yield _absent(host, [*policies, *(p for p in cast.old if p.modules)])
    if wanted.semodule is not None:
        yield _semodule(last, wanted.semodule * len(policies))
    if wanted.relabelled == "changed":
        yield _changed(last)
    elif wanted.relabelled == "left":
        yield _left(host, last)
    elif wanted.relabelled == "none":
        found = last.relabelled(policy_only=True)
        yield Check("nothing is relabelled", _list("relabelled: ", found))
    if wanted.booleans and cast.wishes:
        yield _booleans(wanted.booleans, host, cast, before)
    said = "".join(transaction.said() for transaction in host.done)
    for text in wanted.said:
        words = _filled(text, cast)
        yield Check(
            f"the scriptlets say: {words}", "" if words in said else f"they said: {said.strip()!r}"
        )
    if wanted.silent:
        noise = last.said(policy_only=True).strip()
        yield Check("the policy's scriptlets print nothing", f"they said: {noise!r}" * bool(noise))
    if not wanted.hidden:
        yield _hidden(host, present, said)
    if wanted.never:
        found = last.commands(*wanted.never, policy_only=True)
        yield Check(f"the policy calls none of {', '.join(wanted.never)}", _list("called: ", found))
    for text in wanted.kept:
        path = _filled(text, cast)
        kept = host.root.at(path).exists()
        yield Check(f"{path} is kept", "" if kept else "it is gone")
    if wanted.leaves_nothing:
        yield Check("no file is left over", _list("left: ", left_over(host, cast, before)))
    # What an interrupted transaction left there is for the next one of the same package.
    if any(step.policy for step in last.steps) or not any(t.interrupted for t in host.done):
        state = sorted(p.name for p in host.root.at(STATE).glob("*"))
        yield Check(f"nothing stays in /{STATE}", _list("left: ", state))
    if wanted.verify is not None:
        for package in present:
            yield _verify(host, package, _filled(wanted.verify, cast))


def left_over(host: Host, cast: Cast, before: Before) -> list[str]:
    """Return the paths that are new and belong to no installed package, sorted.

    A folder counts when a package had brought it: others were made only to hold something.
    """
    packaged = {file.path for package in (*cast.new, *cast.old) for file in package.files}
    owned = {file.path for package in host.installed.values() for file in package.files}
    return sorted(
        path
        for path in host.root.listing() - before.paths - owned - _STAYS
        if path in packaged or not host.root.at(path).is_dir()
    )


def _filled(text: str, cast: Cast) -> str:
    return text.replace("{module}", cast.modules[0] if cast.modules else "")


def _list(head: str, found: list[str]) -> str:
    return head + ", ".join(found) if found else ""


def _status(host: Host) -> Check:
    failed = [
        f"%{step.scriptlet} {step.package} ended with {step.status}"
        for transaction in host.done
        for step in transaction.steps
        if step.status != 0
    ]
    return Check("no scriptlet fails", _list("", failed))


def _present(host: Host, packages: list[Package]) -> Check:
    wrong = []
    for package in packages:
        for name, content in package.modules.items():
            place = host.root.at(f"{STORE}/active/modules/200/{name}")
            kept = next((place / k for k in ("hll", "cil") if (place / k).is_file()), None)
            if kept is None:
                wrong.append(f"{name} is not at priority 200")
            elif unpacked(kept.read_bytes()) != unpacked(content):
                wrong.append(f"{name} at priority 200 is another one")
    names = ", ".join(name for package in packages for name in package.modules)
    return Check(f"in the store at priority 200, as packaged: {names}", _list("", wrong))


def _absent(host: Host, packages: list[Package]) -> Check:
    ours = {name for package in packages for name in package.modules}
    found = sorted(m for m in host.root.modules() if m.split("/")[1] in ours)
    return Check("no module of the package is in the store", _list("there: ", found))


def _semodule(last: Transaction, wanted: int) -> Check:
    found = last.commands("semodule")
    why = "" if len(found) == wanted else f"{len(found)} calls: {'; '.join(found)}"
    return Check(f"the store is changed by {wanted} call(s) of semodule", why)


def _covers(paths: list[str], wanted: str) -> bool:
    return any(wanted == path or wanted.startswith(f"{path.rstrip('/')}/") for path in paths)


def _changed(last: Transaction) -> Check:
    """What changed must be relabelled, by anybody; the policy relabels nothing else."""
    changed = sorted(stems(last.before ^ last.after))
    missing = [path for path in changed if not _covers(last.relabelled(), path)]
    extra = [path for path in last.relabelled(policy_only=True) if not _covers(changed, path)]
    text = "relabelled, since its contexts changed: " + (", ".join(changed) or "nothing")
    why = _list("not relabelled: ", missing)
    return Check(text, why or _list("relabelled without need: ", extra))


def _left(host: Host, last: Transaction) -> Check:
    gone = sorted(p for p in stems(last.before - last.after) if host.root.at(p).exists())
    missing = [path for path in gone if not _covers(last.relabelled(), path)]
    text = "labels of the base policy come back to: " + (", ".join(gone) or "nothing")
    return Check(text, _list("not relabelled: ", missing))


def _booleans(kind: str, host: Host, cast: Cast, before: Before) -> Check:
    was = dict(before.booleans)
    wrong = []
    for wish in cast.wishes:
        wanted = wish.value
        if kind == "before":
            wanted = was[wish.name]
        elif kind == "kept" and not wish.always:
            wanted = 1 - wish.value
        found = host.root.boolean(wish.name)
        if found != wanted:
            wrong.append(f"{wish.name} is {'on' if found else 'off'}")
    text = {
        "wished": "booleans are set as the package wants them",
        "before": "booleans are as they were before",
        "kept": "booleans that are set once stay as the administrator set them",
    }[kind]
    return Check(f"{text}: {', '.join(w.name for w in cast.wishes)}", _list("", wrong))


def _hidden(host: Host, packages: list[Package], said: str) -> Check:
    names = [name for package in packages for name in package.modules]
    over = [n for n in names if host.root.at(f"{STORE}/active/modules/400/{n}").exists()]
    unsaid = [n for n in over if f"a module {n} at priority 400 hides ours" not in said]
    return Check(
        "a module of ours at priority 400 is removed, or named", _list("not named: ", unsaid)
    )


def _verify(host: Host, package: Package, text: str) -> Check:
    status, said = host.verify(package)
    if not text:
        why = "" if (status, said) == (0, "") else f"status {status}: {said.strip()!r}"
        return Check(f"rpm -V {package.name} finds nothing", why)
    why = "" if status != 0 and text in said else f"status {status}: {said.strip()!r}"
    return Check(f"rpm -V {package.name} fails and says: {text}", why)
