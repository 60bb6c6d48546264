"""Policy → text of the policy language. Same policy, same bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import jinja2

from wsgi_sepkg import resources
from wsgi_sepkg.policy.model import (
    Call,
    Interface,
    OwnDomain,
    Policy,
    RoleTypes,
    Rule,
    Statement,
    Why,
)
from wsgi_sepkg.project.values import FC_FLAGS, M4_WORDS
from wsgi_sepkg.targets import FAMILIES, Target


@cache
def environment(folder: str) -> jinja2.Environment:
    """Return the template environment of ``templates`` or ``specs``."""
    compiled = resources.cache_folder("templates")
    return jinja2.Environment(
        # Compiling the templates costs more than all the rest of a rendering.
        bytecode_cache=jinja2.FileSystemBytecodeCache(compiled) if compiled else None,
        loader=jinja2.FileSystemLoader(resources.folder(folder)),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


def comment(text: str) -> str:
    """Return ``text`` as it may stand in a comment of policy: m4's quotes would end an argument."""
    return text.replace("`", "\u2018").replace("'", "\u2019").replace("$", "\uff04")


def documentation(text: str) -> str:
    """Return ``text`` for the XML of a ``##`` comment."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return comment(escaped)


def statement_text(body: Rule | Call | RoleTypes) -> str:
    """Return one rule or call as a line of policy."""
    if isinstance(body, RoleTypes):
        return f"role {body.role} types {body.domain};"
    if isinstance(body, Call):
        name = f', "{body.name}"' if body.name else ""
        return f"{body.macro}({', '.join(body.arguments)}{name})"
    permissions = body.permissions
    single = len(permissions) == 1
    shown = permissions[0] if single else "{ " + " ".join(permissions) + " }"
    classes = body.classes
    class_ = classes[0] if len(classes) == 1 else "{ " + " ".join(classes) + " }"
    # What was listed stays listed: selint would shorten a part of it to a permission set.
    quiet = "" if single else " #selint-disable:S-010"
    return f"{body.keyword} {body.source} {body.target}:{class_} {shown};{quiet}"


@dataclass(frozen=True)
class _Lines:
    """Statements that share a reason, ready for a template."""

    comment: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class _Guarded:
    tunable: str
    groups: tuple[_Lines, ...]


@dataclass(frozen=True)
class _Block:
    optional: bool
    types: tuple[str, ...]
    attributes: tuple[str, ...]
    roles: tuple[str, ...]
    groups: tuple[_Lines, ...]
    guarded: tuple[_Guarded, ...]


def te(policy: Policy, target: Target) -> str:
    """Return the .te: declarations and rules, each with its reason and its TOML key."""
    domains = [
        (
            d,
            comment(d.why.reason),
            _domain_lines(d, target),
            d.entry in target.facts.types,
        )
        for d in policy.domains
    ]
    return (
        environment("templates")
        .get_template("policy/module.te.j2")
        .render(
            policy=policy,
            serves=FAMILIES[target.family],
            summary=comment(policy.summary),
            tunables=[(t, documentation(t.why.reason)) for t in policy.tunables],
            types=[(t, comment(t.why.reason)) for t in policy.types],
            domains=domains,
            blocks=_blocks(policy.statements),
        )
    )


def _domain_lines(domain: OwnDomain, target: Target) -> list[str]:
    """Return the lines that make a type a domain and say how it is entered."""
    if domain.way == "dynamic":
        return [f"domain_type({domain.name})", f"role system_r types {domain.name};"]
    macros = ["init_domain" if domain.way == "unit" else "init_daemon_domain"]
    if domain.no_new_privileges and "init_nnp_daemon_domain" in target.facts.interfaces:
        macros.append("init_nnp_daemon_domain")
    return [f"{macro}({domain.name}, {domain.entry})" for macro in macros]


def _blocks(statements: Iterable[Statement]) -> list[_Block]:
    grouped: dict[
        tuple[bool, tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[str, ...]],
        list[Statement],
    ] = {}
    for statement in statements:
        key = (
            statement.optional,
            tuple(sorted(statement.types)),
            tuple(sorted(statement.attributes)),
            tuple(sorted(statement.modules)),
            tuple(sorted(statement.roles)),
        )
        grouped.setdefault(key, []).append(statement)
    blocks = []
    for (optional, types, attributes, _, roles), members in sorted(
        grouped.items(), key=lambda item: item[0]
    ):
        tunables = sorted({m.tunable for m in members if m.tunable})
        blocks.append(
            _Block(
                optional,
                types,
                attributes,
                roles,
                _by_reason(m for m in members if not m.tunable),
                tuple(
                    _Guarded(t, _by_reason(m for m in members if m.tunable == t)) for t in tunables
                ),
            )
        )
    return blocks


def _by_reason(statements: Iterable[Statement]) -> tuple[_Lines, ...]:
    reasons: dict[Why, set[str]] = {}
    for statement in statements:
        reasons.setdefault(statement.why, set()).add(statement_text(statement.body))
    return tuple(
        _Lines(f"{why.key}: {comment(why.reason)}", tuple(sorted(lines)))
        for why, lines in sorted(reasons.items(), key=lambda item: _key_order(item[0]))
    )


def _key_order(why: Why) -> tuple[str, int, str]:
    match = re.fullmatch(r"(.*?)\[(\d+)\](.*)", why.key)
    return (match.group(1), int(match.group(2)), why.reason) if match else (why.key, -1, why.reason)


def fc(policy: Policy, target: Target) -> str:
    """Return the .fc. A pattern that holds a word of m4 is quoted, so that m4 leaves it alone."""
    rows = []
    last: Why | None = None
    for context in sorted(
        policy.contexts, key=lambda c: (_key_order(c.why), c.pattern, c.file_type)
    ):
        if context.why != last:
            rows.append(f"# {context.why.key}: {comment(context.why.reason)}")
            last = context.why
        label = "<<none>>"
        if context.type != "<<none>>":
            label = f"gen_context(system_u:object_r:{context.type},{context.level})"
        columns = (fc_pattern(context.pattern, target), FC_FLAGS.get(context.file_type, ""), label)
        rows.append("\t".join(columns) if columns[1] else f"{columns[0]}\t\t{label}")
    return (
        environment("templates")
        .get_template("policy/module.fc.j2")
        .render(policy=policy, rows=rows)
    )


def fc_pattern(pattern: str, target: Target) -> str:
    """Return the pattern as written: ``/srv/include(/.*)?`` would be a call of m4's include."""
    words = set(re.findall(r"[A-Za-z_][A-Za-z0-9_]*", pattern))
    macros = M4_WORDS | target.facts.macros | set(target.facts.permission_sets)
    return f"`{pattern}'" if words & macros else pattern


def interface_file(policy: Policy) -> str:
    """Return the .if: documented interfaces that other packages may call."""
    own = {t.name for t in policy.types} | {d.name for d in policy.domains}
    return (
        environment("templates")
        .get_template("policy/module.if.j2")
        .render(
            policy=policy,
            summary=documentation(policy.summary),
            interfaces=[_interface(i, own) for i in policy.interfaces],
        )
    )


def _interface(interface: Interface, own: set[str]) -> dict[str, object]:
    return {
        "name": interface.name,
        "summary": documentation(interface.summary),
        "parameters": interface.parameters,
        "types": interface.types,
        # selint sees no declaration of the base policy's types: headers hold none.
        "foreign": bool(set(interface.types) - own),
        "first": [statement_text(c) for c in interface.calls_first],
        "lines": [statement_text(b) for b in interface.body],
    }


def ports_cil(policy: Policy) -> str:
    """Return the CIL module that labels the ports; '' when there are none.

    portcon is no statement of a policy module, but it is one of CIL, is linked with the module and
    goes with it: no semanage, no record of the host to repair on erase.
    """
    if not policy.ports:
        return ""
    rows = [
        (
            f"{p.protocol} {p.low if p.low == p.high else f'({p.low} {p.high})'}",
            p.type,
            f"{p.why.key}: {comment(p.why.reason)}",
        )
        for p in policy.ports
    ]
    return (
        environment("templates")
        .get_template("policy/ports.cil.j2")
        .render(policy=policy, rows=rows)
    )
