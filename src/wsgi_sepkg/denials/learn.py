"""Learn: denials become changes of a description, and the linked policy is asked whether it holds.

Nothing is written before the changed description has been compiled, linked and asked.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from wsgi_sepkg.denials import changes, grounds
from wsgi_sepkg.denials.changes import Edit, NoChange
from wsgi_sepkg.denials.decide import Ladder
from wsgi_sepkg.denials.expand import Expander
from wsgi_sepkg.denials.ladder.fixes import Answer
from wsgi_sepkg.denials.model import Denial, Group, Reading
from wsgi_sepkg.denials.replay import Replayed, Vector, granted, modules_in, replay
from wsgi_sepkg.package.tree import Tree, generate
from wsgi_sepkg.policy import buildcheck
from wsgi_sepkg.policy import check as checking
from wsgi_sepkg.policy.compile import Headers
from wsgi_sepkg.project.load import Loaded, load

SETTLED = ("allowed", "denied on purpose", "allowed already", "not of this application")

# Kinds whose denial stays: what is wrong is not in the policy.
_ON_PURPOSE = {"dontaudit", "deny", "none", "app_config", "bug"}


@dataclass(frozen=True)
class Settled:
    """What became of one object of one group.

    ``state`` is one of SETTLED, or ``open``; ``why`` says by what, or why not.
    """

    group: Group
    denial: Denial
    answer: Answer
    state: str
    why: str

    @property
    def ok(self) -> bool:
        """Tell whether it is settled."""
        return self.state in SETTLED


@dataclass(frozen=True)
class Learned:
    """The result: the text before and after, the edits, and what became of each denial.

    ``more`` is what else became allowed, by permission; ``failed`` are findings of the check that
    failed: then nothing was written.
    """

    file: Path
    target: str
    before: str
    after: str
    edits: tuple[Edit, ...]
    refused: tuple[Edit, ...]
    settled: tuple[Settled, ...]
    asked_for: tuple[Vector, ...]
    more: tuple[Vector, ...]
    failed: tuple[str, ...] = ()
    written: bool = False

    @property
    def ok(self) -> bool:
        """Tell whether every denial is settled and the check holds."""
        return not self.failed and all(s.ok for s in self.settled)

    @property
    def of_this(self) -> list[Settled]:
        """The denials of this application's domains."""
        return [s for s in self.settled if s.state != "not of this application"]


Accept = Callable[[Edit], bool]


@dataclass
class _State:
    """A description linked in a scratch store, and each denial replayed on it."""

    tree: Tree
    linked: buildcheck.Store
    vectors: set[Vector]
    replayed: list[Replayed]
    failed: tuple[str, ...] = field(default=())


def learn(
    loaded: Loaded,
    reading: Reading,
    headers: Headers,
    accept: Accept,
    policy_root: Path = Path("/"),
    dry_run: bool = False,
) -> Learned:
    """Settle the denials of ``reading`` by changes of the description of ``loaded``.

    ``accept`` is asked for each change. The file is written (in one step, by rename) when the
    changed description compiles and its check holds, unless ``dry_run``. Raises ConfigError,
    BuildFailed and ToolMissing as the check does; then nothing is written.
    """
    ladder = Ladder(grounds.Names(loaded.target))
    include = headers.folder or headers.makefile.parent / "include"
    ladder.expander = Expander(include, loaded.target.facts)
    items = [(g, e.denial) for g in reading.groups for e in g.examples]
    denials = [denial for _, denial in items]
    with tempfile.TemporaryDirectory(prefix="wsgi-sepkg-learn-") as temporary:
        work = Path(temporary)
        before = _linked(loaded, headers, policy_root, work / "before", denials)
        domains = set(before.tree.policy.application_domains)
        ladder.prepare(denials)
        answers = [ladder.answer(denial) for denial in denials]
        proposed: list[Edit] = []
        why_not: dict[int, str] = {}
        for index, (group, denial) in enumerate(items):
            if denial.source.type not in domains or before.replayed[index].allowed:
                continue
            try:
                proposed += _edits(answers[index], denial, group, loaded, ladder)
            except NoChange as exc:
                why_not[index] = str(exc)
        edits = changes.merge(proposed)
        chosen = [edit for edit in edits if accept(edit)]
        after, text = before, loaded.text
        if chosen:
            text = changes.apply(loaded.text, chosen)
            changed = load(loaded.folder, loaded.target.name, text=text)
            changed = replace(changed, file=loaded.file)
            after = _linked(changed, headers, policy_root, work / "after", denials)
        settled = tuple(
            _settled(group, denial, answers[i], before.replayed[i], after.replayed[i], domains)
            for i, (group, denial) in enumerate(items)
        )
        settled = tuple(
            replace(s, why=f"{s.why}: {why_not[i]}") if not s.ok and i in why_not else s
            for i, s in enumerate(settled)
        )
        new = after.vectors - before.vectors
        asked = {
            (r.denial.source.type, r.type, r.denial.tclass, p)
            for r in after.replayed
            for p in r.denial.permissions
        }
        # A rule on itself is written with `self`.
        asked |= {(s, "self", c, p) for s, t, c, p in asked if s == t}
        result = Learned(
            loaded.file,
            loaded.target.name,
            loaded.text,
            text,
            tuple(chosen),
            tuple(edit for edit in edits if edit not in chosen),
            settled,
            tuple(sorted(new & asked)),
            tuple(sorted(new - asked)),
            after.failed,
        )
    if not chosen or dry_run or result.failed:
        return result
    _write(loaded.file, text)
    return replace(result, written=True)


def _edits(
    answer: Answer, denial: Denial, group: Group, loaded: Loaded, ladder: Ladder
) -> Sequence[Edit]:
    """Return the edits of the answer, or of the next fix of its kind that has any."""
    first = answer.fixes[0]
    if first.kind in _ON_PURPOSE and not (first.kind == "dontaudit" and first.change):
        return ()
    reason = NoChange(first.cure)
    for fix in answer.fixes:
        # A wider rung is never taken because a narrower one could not be written.
        if fix.kind != first.kind and {fix.kind, first.kind} != {"relabel", "fcontext"}:
            break
        try:
            return changes.edits_for(fix, denial, group, loaded.description, ladder.knowledge)
        except NoChange as exc:
            reason = exc
    raise reason


def _linked(
    loaded: Loaded, headers: Headers, policy_root: Path, work: Path, denials: Sequence[Denial]
) -> _State:
    tree = generate(loaded, policy_only=True)
    report = checking.check(tree, headers, policy_root, keep=work)
    linked = buildcheck.find_store(str(work / "root"))
    return _State(
        tree,
        linked,
        granted(modules_in(work, tree)),
        replay(tree.policy, linked, denials),
        tuple(f.text for f in report.findings if f.status == checking.FAILED),
    )


def _settled(
    group: Group,
    denial: Denial,
    answer: Answer,
    before: Replayed,
    after: Replayed,
    domains: set[str],
) -> Settled:
    first = answer.fixes[0]
    label = f"{denial.path} is {after.type} by then, " if after.type != denial.target.type else ""
    if denial.source.type not in domains:
        return Settled(group, denial, answer, "not of this application", denial.source.type)
    if before.allowed:
        why = f"{label}the policy allows it as it is"
        return Settled(group, denial, answer, "allowed already", why)
    if after.allowed:
        return Settled(group, denial, answer, "allowed", f"{label}the linked policy allows it")
    if first.kind in _ON_PURPOSE:
        return Settled(group, denial, answer, "denied on purpose", f"{first.kind}: {first.cure}")
    return Settled(group, denial, answer, "open", f"{label}{after.why}")


def _write(file: Path, text: str) -> None:
    """Replace ``file`` in one step, with its mode; a fault leaves it as it was."""
    real = file.resolve()
    mode = real.stat().st_mode & 0o7777
    handle, name = tempfile.mkstemp(dir=real.parent, prefix=f".{real.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(mode)
        Path(name).replace(real)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
