"""Is every claim true? The modules are linked with the base policy and the result is asked.

The work that also runs in the %check of the package is in ``buildcheck``; this adds what needs the
description: built-in refusals with their waivers, and a label for each path of the payload.
"""

from __future__ import annotations

import datetime
import json
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from wsgi_sepkg.errors import WsgiSepkgError
from wsgi_sepkg.package.tree import Tree
from wsgi_sepkg.policy import buildcheck, invariants
from wsgi_sepkg.policy.compile import Headers, compile_modules, keys_for
from wsgi_sepkg.policy.invariants import PowerTable
from wsgi_sepkg.policy.model import BooleanSetting, Policy, RoleTypes, Rule
from wsgi_sepkg.policy.reach import (
    PROBE,
    PROBE_DOMAIN,
    PROBE_SOURCE,
    Reach,
    SetoolsMissing,
    read,
)
from wsgi_sepkg.targets import Facts, Target

OK, FAILED, WARNING, NOT_CHECKED = "ok", "failed", "warning", "not checked"
_STATUS = {"CHECKED": OK, "FAILED": FAILED, "WARNING": WARNING, "NOT CHECKED": NOT_CHECKED}


@dataclass(frozen=True)
class Finding:
    """One claim and what came of it; ``key`` is the TOML key behind it, '' when it has none."""

    status: str
    text: str
    key: str = ""


@dataclass(frozen=True)
class PathLabel:
    """A path of the payload, the type it gets, and the application's domains that may write it."""

    path: str
    type: str
    writers: tuple[str, ...]


@dataclass(frozen=True)
class CheckReport:
    """The result of a check: ``mode`` is linked, names (store not readable) or none."""

    name: str
    target: str
    module: str
    mode: str
    findings: tuple[Finding, ...]
    paths: tuple[PathLabel, ...]
    adds: dict[str, tuple[str, ...]]
    power: PowerTable | None = None

    @property
    def ok(self) -> bool:
        """Tell whether nothing failed."""
        return all(f.status != FAILED for f in self.findings)

    def count(self, status: str) -> int:
        """Return how many findings have ``status``."""
        return sum(f.status == status for f in self.findings)


def check(
    tree: Tree, headers: Headers, policy_root: Path = Path("/"), keep: Path | None = None
) -> CheckReport:
    """Compile, link into a scratch store copied from ``policy_root``, ask the linked policy.

    Raises BuildFailed when the module does not compile, ToolMissing when a tool is not there.
    ``keep`` is a folder that keeps the compiled modules and the scratch store.
    """
    with tempfile.TemporaryDirectory(prefix="wsgi-sepkg-check-") as temporary:
        work = keep if keep is not None else Path(temporary)
        confined = bool(tree.policy.processes)
        files = compile_modules(
            tree.policy,
            tree.sources,
            tree.loaded.target,
            headers,
            work / "modules",
            {PROBE: PROBE_SOURCE} if confined else {},
        )
        report = buildcheck.Report(echo=False)
        expectations = buildcheck.parse_expectations(tree.sources["policy-check.json"].decode())
        job = buildcheck.Job(
            [str(f) for f in files], expectations, tree.plan.policy_types[0], str(policy_root)
        )
        try:
            buildcheck.run(job, str(work), report)
        except buildcheck.BuildCheckError as exc:
            raise WsgiSepkgError(str(exc)) from exc
        own = [f for f in files if f.stem != PROBE]
        texts = [buildcheck.module_cil(str(f)) for f in own]
        return examine(tree, json.loads(report.as_json()), texts, work / "root", policy_root)


def examine(
    tree: Tree, result: dict[str, Any], texts: Sequence[str], linked_root: Path, policy_root: Path
) -> CheckReport:
    """Return the report: ``result`` of buildcheck plus refusals and labels of the linked policy.

    ``texts`` are the modules as CIL.
    """
    policy = tree.policy
    findings = [
        Finding(_STATUS[entry["status"]], entry["text"], entry.get("key", ""))
        for entry in without_probe(result["results"])
    ]
    findings += kept_labels(policy, tree.loaded.target.facts)
    findings += expired_waivers(policy, datetime.date.today())
    paths: tuple[PathLabel, ...] = ()
    power = None
    cils = [buildcheck.read_cil(text) for text in texts]
    if (linked_root / "etc/selinux").is_dir():
        linked = buildcheck.find_store(str(linked_root))
        base = buildcheck.find_store(str(policy_root))
        reach = None
        if policy.processes:
            reach = read_domains(policy, tree.loaded.target, buildcheck.linked_policy(linked))
            found, power = domains_of(policy, tree.loaded.target, reach)
            findings += found
        findings += refusals(policy, cils, linked, base, reach)
        paths = payload_labels(tree, linked, reach)
    adds = {
        "types": tuple(sorted(set().union(*(c.types for c in cils)))),
        "file contexts": tuple(
            sorted(f"{f.pattern} ({f.ftype}) {f.type}" for c in cils for f in c.filecons)
        ),
        "tunables": tuple(
            sorted(f"{n} ({'on' if v else 'off'})" for c in cils for n, v in c.booleans.items())
        ),
        "ports": tuple(
            sorted(
                f"{p.protocol} {p.low if p.low == p.high else f'{p.low}-{p.high}'} {p.type}"
                for c in cils
                for p in c.portcons
            )
        ),
        "booleans": tuple(f"{b.name} = {'on' if b.value else 'off'}" for b in policy.booleans),
    }
    name = tree.loaded.description.project.name
    return CheckReport(
        name,
        tree.loaded.target.name,
        policy.module,
        result.get("mode", ""),
        tuple(findings),
        paths,
        adds,
        power,
    )


def read_domains(policy: Policy, target: Target, linked: str) -> Reach | None:
    """Return what the processes' domains may do in a linked policy, None without setools."""
    names = [p.domain for p in policy.processes]
    try:
        return read(
            linked,
            [*names, policy.server_domain, PROBE_DOMAIN],
            {t.name: t.default for t in policy.tunables},
            target.facts.booleans,
            invariants.attributes(),
        )
    except SetoolsMissing:
        return None


def domains_of(
    policy: Policy, target: Target, reach: Reach | None
) -> tuple[list[Finding], PowerTable | None]:
    """Ask the linked policy about every process: the invariants, and the figures of its power.

    The figures need the probe (``reach.PROBE_SOURCE``) in the linked policy; without it they are
    left out.
    """
    if reach is None:
        text = "built-in invariants: the Python module setools is not installed (python3-setools)"
        return [Finding(NOT_CHECKED, text)], None
    names = [p.domain for p in policy.processes]
    shipped = target.facts.booleans
    broken = list(invariants.broken(policy, reach, target))
    found = []
    for name, domain, text in broken:
        what, _ = invariants.INVARIANTS[name]
        keys = ", ".join(sorted({p.key for p in policy.processes if p.domain == domain}))
        if name == "start":
            sentence = f"invariant {name}: {domain} is not started: {text}"
        else:
            sentence = f"invariant {name}: {domain} may {text}; no process may {what}"
        found.append(Finding(FAILED, sentence, keys))
    for name in invariants.INVARIANTS:
        if name not in {b[0] for b in broken}:
            what, _ = invariants.INVARIANTS[name]
            domains = len(set(names))
            found.append(Finding(OK, f"invariant {name}, {domains} domains: none may {what}"))
    power = None
    if reach.domains.keys() >= {*names, PROBE_DOMAIN, policy.server_domain}:
        power = invariants.power_table(policy, reach, policy.server_domain, shipped)
    return found, power


def without_probe(entries: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Return results of buildcheck without what they say about the probe, which no package has."""
    kept = [e for e in entries if not e["text"].startswith(f"{PROBE}:")]
    return [{**e, "text": e["text"].replace(f"{PROBE}, ", "", 1)} for e in kept]


_WRITTEN = frozenset({"media", "data", "log", "cache", "socket", "runtime", "temporary"})


def kept_labels(policy: Policy, facts: Facts) -> list[Finding]:
    """Return a finding for each path that keeps its label, with all that shares its type.

    A warning where the application writes there: what it may write has the type, not the path.
    """
    found = []
    for path in policy.paths:
        if not path.kept_by:
            continue
        places = [c[0] for c in facts.contexts if c[2] == path.type]
        shown = ", ".join(places[:4]) + (", ..." if len(places) > 4 else "")
        text = f"{path.path} keeps the label {path.type} of the base policy's module {path.kept_by}"
        if len(places) > 1 and path.use in _WRITTEN:
            text += f": what may be written is {shown}; an override with its reason narrows it"
            found.append(Finding(WARNING, text, path.key))
        else:
            found.append(Finding(OK, f"{text}, like {shown}", path.key))
    return found


def expired_waivers(policy: Policy, today: datetime.date) -> list[Finding]:
    """Return a finding for each waiver: failed after its day, a warning before."""
    found = []
    for waiver in policy.waivers:
        if waiver.until < today.isoformat():
            text = f"the waiver for {waiver.grant!r} ended on {waiver.until}"
            found.append(Finding(FAILED, text, waiver.key))
        else:
            text = f"waived until {waiver.until}: {waiver.grant}: {waiver.reason}"
            found.append(Finding(WARNING, text, waiver.key))
    return found


@cache
def _refusals() -> tuple[dict[str, Any], ...]:
    with (Path(__file__).parent / "refusals.toml").open("rb") as stream:
        return tuple(tomllib.load(stream)["refusal"])


def _deny(source: str, target: str, class_: str, permission: str, reason: str) -> Any:
    return buildcheck.Expectation(
        "deny", source, target, class_, (permission,), "", "", "", "", reason
    )


def refusals(
    policy: Policy, cils: Sequence[Any], linked: Any, base: Any, reach: Reach | None = None
) -> list[Finding]:
    """Return what the module grants although no module of ours should, less what is waived.

    A grant is the module's own when the linked policy allows it and the base policy alone does not;
    our tunables count as switched on. The domains in ``reach`` are answered for from there: they
    are the module's own.
    """
    own_types = {t.name for t in policy.types} | {d.name for d in policy.domains}
    entries = {d.entry for d in policy.domains if d.entry}
    answered = frozenset(reach.domains) & _own_domains(policy) if reach is not None else frozenset()
    domains = set(policy.application_domains)
    for cil in cils:
        domains |= {
            rule.source
            for rule in cil.rules
            if rule.kind == "allow" and rule.source not in own_types
        }
    names = set().union(*(c.attributes for c in cils)) if cils else set()
    said = set(policy.application_domains)
    for statement in policy.statements:
        body = statement.body
        if not isinstance(body, RoleTypes):
            said.update([body.source] if isinstance(body, Rule) else body.arguments)
    asked = []
    for domain in sorted(domains - names):
        for refusal in _refusals():
            targets = refusal["target"]
            for target in [domain] if targets == "self" else targets:
                for permission in refusal["permissions"]:
                    asked.append(
                        _deny(domain, target, refusal["class"], permission, refusal["reason"])
                    )
        # An interface may grant to a domain of the host that the description never names: what that
        # one may do to our files by the base policy's attributes is not the application's doing.
        # The invariants ask this of a process's own domain.
        if domain not in said or domain in answered:
            continue
        for type_ in sorted({*policy.read_only_types, *entries}):
            for permission in ("write", "append", "create", "unlink"):
                reason = "code, configuration and entry points are not the application's to write"
                asked.append(_deny(domain, type_, "file", permission, reason))
    everything = len(asked)
    if not policy.booleans:
        asked = [item for item in asked if _could_grant(cils, item)]
    tunables = {t.name: True for t in policy.tunables}
    own = [item for item in asked if item.source in answered]
    asked = [item for item in asked if item.source not in answered]
    after = buildcheck.check_access(buildcheck.linked_policy(linked), asked, tunables)
    if after and after[0].ok is None:
        return [Finding(NOT_CHECKED, f"built-in refusals: {after[0].why}")]
    suspects = [o.expectation for o in after if o.ok is False and o.why.startswith("granted")]
    before = {
        o.expectation
        for o in buildcheck.check_access(base.policy, suspects)
        if o.ok is False and o.why.startswith("granted")
    }
    suspects = [item for item in suspects if item not in before]
    if reach is not None:
        suspects += [item for item in own if _granted(reach, item)]
    switched = granted_by_booleans(policy, base, suspects)
    found = []
    waived = {w.grant for w in policy.waivers}
    used = set()
    for item in suspects:
        target = "self" if item.target == item.source else item.target
        permission = f"{item.cls} {item.permissions[0]}"
        grant = f"{item.source} {target}:{permission}"
        spellings = {grant, f"{item.source} {item.target}:{permission}"} & waived
        if spellings:
            used |= spellings
            continue
        by, keys = "the module", keys_for(policy, item.source, item.target)
        if item in switched:
            by, keys = switched[item].name, [switched[item].why.key]
        found.append(Finding(FAILED, f"{by} grants {grant}: {item.reason}", ", ".join(keys)))
    for cil in cils:
        for domain in sorted(cil.permissive):
            used.add(f"permissive {domain}")
            if f"permissive {domain}" not in waived:
                found.append(Finding(FAILED, f"{domain} is permissive: nothing is denied to it"))
    failed = bool(found)
    for waiver in policy.waivers:
        if waiver.grant not in used:
            text = f"nothing needs the waiver for {waiver.grant!r}: leave it out"
            found.append(Finding(WARNING, text, waiver.key))
    if not failed:
        found.append(Finding(OK, f"none of {everything} refused accesses is granted by the module"))
    return found


def _own_domains(policy: Policy) -> frozenset[str]:
    return frozenset(p.domain for p in policy.processes)


def _granted(reach: Reach, item: Any) -> bool:
    """Tell whether a process's domain has what is refused.

    Not what it may do to a file that it was only handed open: Fedora's base policy lets every
    domain append to files of users, but open none; that is the doing of whoever starts it.
    """
    domain = reach.domains[item.source]
    target = "self" if item.target == item.source else item.target
    permission = item.permissions[0]
    if not domain.may(target, item.cls, permission):
        return False
    handed = item.cls == "file" and permission in ("append", "write")
    return not handed or domain.may(target, "file", "open")


def _could_grant(cils: Sequence[Any], item: Any) -> bool:
    """Tell whether a module may grant ``item``: the linked policy is slow to say no.

    It may by a rule on that class and permission whose types are these, or attributes (and self),
    which may stand for them; or by giving the domain another attribute.
    """

    def stands_for(name: str, wanted: str) -> bool:
        return name == wanted or not name.endswith("_t")

    for cil in cils:
        for rule in cil.rules:
            if (
                rule.kind == "allow"
                and rule.cls == item.cls
                and rule.perms & {*item.permissions}
                and stands_for(rule.source, item.source)
                and stands_for(rule.target, item.target)
            ):
                return True
        if any(item.source in members for members in cil.attribute_members.values()):
            return True
        if cil.attribute_expressions:
            return True
    return False


def granted_by_booleans(
    policy: Policy, base: Any, items: Sequence[Any]
) -> dict[Any, BooleanSetting]:
    """Return which of ``items`` the base policy grants through a boolean that the package sets."""
    found: dict[Any, BooleanSetting] = {}
    for setting in policy.booleans if items else ():
        asked = [item._replace(kind="allow") for item in items]
        switches = {setting.name: setting.value}
        outcomes = buildcheck.check_access(base.policy, asked, switches)
        for item, outcome in zip(items, outcomes, strict=True):
            if outcome.ok:
                found.setdefault(item, setting)
    return found


def payload_labels(tree: Tree, linked: Any, reach: Reach | None = None) -> tuple[PathLabel, ...]:
    """Return each path of the application package with its label and who may write it."""
    plan = tree.plan.application
    if plan is None:
        return ()
    paths: dict[str, str] = {folder.path: "dir" for folder in plan.folders}
    paths.update((item.path, "file") for item in plan.installed)
    paths.update((secret.path, "file") for secret in plan.secrets)
    paths[plan.root] = "dir"
    for member in tree.archive_members():
        paths[f"{plan.root}/{member.as_posix()}"] = "file"
        for parent in list(member.parents)[:-1]:
            paths.setdefault(f"{plan.root}/{parent.as_posix()}", "dir")
    asked = sorted(paths.items())
    types = buildcheck.lookup(buildcheck.linked_contexts(linked), asked)
    wanted = sorted({(d, t) for t in types if t for d in tree.policy.application_domains})
    vectors = [_deny(domain, type_, "file", "write", "") for domain, type_ in wanted]
    vectors += [_deny(domain, type_, "file", "append", "") for domain, type_ in wanted]
    granted: dict[str, set[str]] = {}
    if reach is not None:
        answered = frozenset(reach.domains)
        for item in vectors:
            domain = reach.domains.get(item.source)
            if domain and (item.target, "file", item.permissions[0]) in domain.vectors:
                word = item.source + (" (append)" if item.permissions[0] == "append" else "")
                granted.setdefault(item.target, set()).add(word)
        vectors = [item for item in vectors if item.source not in answered]
    for outcome in buildcheck.check_access(buildcheck.linked_policy(linked), vectors):
        if outcome.ok is False and outcome.why.startswith("granted"):
            word = outcome.expectation.source
            if outcome.expectation.permissions[0] == "append":
                word += " (append)"
            granted.setdefault(outcome.expectation.target, set()).add(word)
    result = []
    for (path, _), type_ in zip(asked, types, strict=True):
        writers = granted.get(type_, set())
        shown = {w for w in writers if not (w.endswith(" (append)") and w[:-9] in writers)}
        result.append(PathLabel(path, type_ or "<<none>>", tuple(sorted(shown))))
    return tuple(result)
