"""What a domain may do in a linked policy: read once, then asked about every process.

The binary policy is read with setools in one pass (about a second); attributes are expanded, own
tunables count as the description sets them or as switched on, booleans of the base policy as the
distribution ships them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Vector = tuple[str, str, str]  # target type ("self" for the domain itself), class, permission

PROBE = "wsgisepkg_probe"
PROBE_DOMAIN = f"{PROBE}_t"
PROBE_SOURCE = f"""policy_module({PROBE}, 1.0)

# A domain that is one and nothing else: what the others may do is counted beyond it.
type {PROBE_DOMAIN};
domain_type({PROBE_DOMAIN})
"""


class SetoolsMissing(Exception):
    """The Python module setools is not installed."""


@dataclass
class Domain:
    """One domain: ``vectors`` hold now, ``switched`` with own tunables on, ``boolean`` never do.

    ``boolean`` are the vectors that only a boolean of the base policy, off as shipped, would open,
    with the booleans. ``attributes``: the type's.
    """

    name: str
    attributes: frozenset[str] = frozenset()
    permissive: bool = False
    vectors: set[Vector] = field(default_factory=set)
    switched: set[Vector] = field(default_factory=set)
    boolean: dict[Vector, frozenset[str]] = field(default_factory=dict)

    def targets(self, class_: str, *permissions: str, switched: bool = True) -> set[str]:
        """Return the types on which it has one of the permissions of a class."""
        asked = self.switched if switched else self.vectors
        return {t for t, c, p in asked if c == class_ and p in permissions}

    def may(self, target: str, class_: str, permission: str) -> bool:
        """Tell whether it has a permission, own tunables switched on."""
        return (target, class_, permission) in self.switched


@dataclass
class Reach:
    """Domains of interest, who may enter them, and what the type attributes hold.

    ``entering``: for each domain the (source, permission) pairs of transition and dyntransition.
    ``automatic``: (source, entry type, domain) of process type transitions into them.
    ``leaving``: (source, executed type, domain) of those out of them. ``nnp``: for each domain the
    (source, permission) pairs of process2.
    """

    domains: dict[str, Domain]
    entering: dict[str, set[tuple[str, str]]]
    nnp: dict[str, set[tuple[str, str]]]
    automatic: set[tuple[str, str, str]]
    leaving: set[tuple[str, str, str]]
    members: dict[str, frozenset[str]]


def read(
    policy: str,
    names: Iterable[str],
    tunables: Mapping[str, bool],
    booleans: Mapping[str, bool],
    attributes: Iterable[str] = (),
) -> Reach:
    """Read the binary ``policy`` for the domains ``names``; those it lacks are left out.

    ``tunables``: our own with their values; ``booleans``: the base policy's as shipped;
    ``attributes``: whose members are wanted too. Raises SetoolsMissing.
    """
    try:
        import setools
        from setools.exception import InvalidType, RuleNotConditional
    except ImportError as exc:
        raise SetoolsMissing from exc
    linked = setools.SELinuxPolicy(policy)
    domains: dict[str, Domain] = {}
    for name in sorted(set(names)):
        try:
            found = linked.lookup_type(name)
        except InvalidType:
            continue
        has = frozenset(str(a) for a in found.attributes())
        domains[name] = Domain(name, has, bool(found.ispermissive))
    wanted: dict[str, list[Domain]] = {}
    for domain in domains.values():
        for word in (domain.name, *domain.attributes):
            wanted.setdefault(word, []).append(domain)
    expanded: dict[str, frozenset[str]] = {}

    def types(node: object) -> frozenset[str]:
        name = str(node)
        if name not in expanded:
            expand = getattr(node, "expand", None)
            expanded[name] = frozenset(str(t) for t in expand()) if expand else frozenset([name])
        return expanded[name]

    entering: dict[str, set[tuple[str, str]]] = {name: set() for name in domains}
    nnp: dict[str, set[tuple[str, str]]] = {name: set() for name in domains}
    automatic: set[tuple[str, str, str]] = set()
    leaving: set[tuple[str, str, str]] = set()
    shipped = {**booleans, **tunables}
    on = {**shipped, **dict.fromkeys(tunables, True)}
    allow, transition = setools.TERuletype.allow, setools.TERuletype.type_transition
    for rule in linked.terules():
        kind = rule.ruletype
        if kind not in (allow, transition):
            continue
        class_ = str(rule.tclass)
        if kind == transition:
            if class_ != "process":
                continue
            for source in types(rule.source):
                for executed in types(rule.target):
                    into = str(rule.default)
                    if into in domains:
                        automatic.add((source, executed, into))
                    if source in domains and into != source:
                        leaving.add((source, executed, into))
            continue
        mine = wanted.get(str(rule.source), ())
        process = class_ in ("process", "process2")
        if not mine and not process:
            continue
        try:
            condition = rule.conditional
        except RuleNotConditional:
            condition = None
        now = condition is None or rule.enabled(**shipped)
        switched = now or rule.enabled(**on)
        permissions = [str(p) for p in rule.perms]
        reached = types(rule.target)
        if process and switched:
            moves = [p for p in permissions if p in ("transition", "dyntransition")]
            store, pairs = (nnp, permissions) if class_ == "process2" else (entering, moves)
            for name in reached & domains.keys() if pairs else ():
                store[name].update((s, p) for s in types(rule.source) for p in pairs)
        for domain in mine:
            for target in reached:
                shown = "self" if target == domain.name else target
                for permission in permissions:
                    vector = (shown, class_, permission)
                    if now:
                        domain.vectors.add(vector)
                    if switched:
                        domain.switched.add(vector)
                    elif condition is not None:
                        names_of = frozenset(str(b) for b in condition.booleans)
                        domain.boolean[vector] = domain.boolean.get(vector, frozenset()) | names_of
    for domain in domains.values():
        domain.boolean = {v: b for v, b in domain.boolean.items() if v not in domain.switched}
    held: dict[str, frozenset[str]] = {}
    known = {str(a): a for a in linked.typeattributes()}
    for name in attributes:
        held[name] = types(known[name]) if name in known else frozenset()
    return Reach(domains, entering, nnp, automatic, leaving, held)
