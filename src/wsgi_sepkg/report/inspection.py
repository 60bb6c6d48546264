"""Show an Inspection: a page for people, JSON for programs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from wsgi_sepkg.package.inspect import (
    Dependencies,
    Dependency,
    Inspection,
    PackagedFile,
    PolicyContent,
    PolicyModule,
    PolicyRule,
    Scriptlet,
)

_WIDTH = 100


def as_json(inspection: Inspection) -> bytes:
    """Return the inspection as JSON: keys sorted, the same package gives the same bytes."""
    return msgspec.json.format(msgspec.json.encode(inspection, order="sorted"), indent=2) + b"\n"


def as_text(inspection: Inspection, verbose: bool = False) -> str:
    """Return the inspection as a page of plain text, sections in a fixed order.

    ``verbose`` adds what the JSON has too: each permission of a rule, the members of attributes,
    and what a module needs of the host's policy.
    """
    sections = [
        ("Package", _package(inspection)),
        ("What it installs", _files(inspection.files)),
        ("What its scriptlets do", _scriptlets(inspection.scriptlets)),
        ("Policy modules", _modules(inspection.modules, verbose)),
        ("File contexts", _file_contexts(inspection.modules)),
        ("Booleans", _booleans(inspection)),
        ("Ports", _ports(inspection)),
        ("Findings", _findings(inspection)),
    ]
    if inspection.notes:
        sections.append(("Not read", [f"- {note}" for note in inspection.notes]))
    out: list[str] = []
    for title, lines in sections:
        out += [title, "=" * len(title), *(lines or ["none"]), ""]
    return "\n".join(_printable(line) for line in out).rstrip("\n") + "\n"


def _printable(line: str) -> str:
    """Replace control characters: a package's text must not drive the reader's terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)


def _package(inspection: Inspection) -> list[str]:
    lines = [
        f"{inspection.nevra}",
        f"summary:  {inspection.summary}",
        f"license:  {inspection.license}",
        f"source:   {inspection.sourcerpm or 'this is a source package'}",
        f"format:   rpm {inspection.rpm_format}, payload {inspection.payload}",
    ]
    return lines + _dependencies(inspection.dependencies)


def _dependencies(found: Dependencies) -> list[str]:
    lines: list[str] = []
    kinds: list[tuple[str, Sequence[Dependency]]] = [
        ("requires", found.requires),
        ("provides", found.provides),
        ("conflicts with", found.conflicts),
        ("obsoletes", found.obsoletes),
        ("recommends", found.recommends),
        ("suggests", found.suggests),
        ("supplements", found.supplements),
        ("enhances", found.enhances),
        ("ordered after", found.order_with),
    ]
    for title, dependencies in kinds:
        if dependencies:
            lines.append(f"{title}:")
            for dependency in dependencies:
                when = f"  (for {', '.join(dependency.when)})" if dependency.when else ""
                lines.append(f"  {dependency}{when}")
    return lines


def _files(files: Iterable[PackagedFile]) -> list[str]:
    lines = []
    for file in files:
        marks = [*file.special_bits, *file.flags]
        if file.capabilities not in {"", "="}:
            marks.append(f"capabilities {file.capabilities}")
        link = f" -> {file.link}" if file.link else ""
        slash = "/" if file.kind == "directory" else ""
        tail = f"  [{', '.join(marks)}]" if marks else ""
        lines.append(f"{file.permissions} {file.user}:{file.group} {file.path}{slash}{link}{tail}")
    return lines


def _scriptlets(scriptlets: Iterable[Scriptlet]) -> list[str]:
    lines: list[str] = []
    for scriptlet in scriptlets:
        lines.append(f"%{scriptlet.name} ({scriptlet.interpreter})")
        for effect in scriptlet.effects:
            number = f"line {effect.line}: " if effect.line else ""
            lines.append(f"  {number}{effect.text}")
            if effect.when:
                lines.append(f"      {'; '.join(effect.when)}")
        if scriptlet.other_commands:
            lines += _wrapped("also runs: ", scriptlet.other_commands, "  ")
        if not scriptlet.effects and not scriptlet.other_commands:
            lines.append("  nothing recognised")
    return lines


def _modules(modules: Iterable[PolicyModule], verbose: bool) -> list[str]:
    lines: list[str] = []
    for module in modules:
        version = f", module format {module.format}" if module.format else ""
        lines.append(f"{module.name} ({module.path}{version})")
        if module.note:
            lines.append(f"  {module.note}")
        if module.content is not None:
            lines += _content(module.content, verbose)
    return lines


def _content(content: PolicyContent, verbose: bool) -> list[str]:
    lines: list[str] = []
    for title, names in (
        ("types: ", content.types),
        ("attributes: ", content.attributes),
        ("roles: ", content.roles),
        ("permissive: ", content.permissive),
    ):
        if names:
            lines += _wrapped(title, names, "  ")
    if content.attribute_members and not verbose:
        joined = [attribute for attribute, _ in content.attribute_members]
        lines.append(f"  adds to attributes: {' '.join(joined)}")
    if verbose:
        for attribute, members in content.attribute_members:
            lines += _wrapped(f"adds to {attribute}: ", members, "  ")
        for kind, names in content.required:
            lines += _wrapped(f"needs ({kind}): ", names, "  ")
        for kind, names in content.required_optional:
            lines += _wrapped(f"uses when present ({kind}): ", names, "  ")
    if content.rules:
        rules = _rules(content.rules, verbose)
        shortened = any("_perms" in line for line in rules)
        hint = " (..._perms: sets of the reference policy)" if shortened else ""
        lines.append(f"  rules{hint}:")
        lines += rules
    if content.transitions:
        lines.append("  transitions:")
        for t in content.transitions:
            named = f' named "{t.file_name}"' if t.file_name else ""
            lines.append(f"    {t.source} on {t.target}:{t.cls}{named} gives {t.default}")
    return lines


# Sets of permissions by the name that support/obj_perm_sets.spt of the reference policy gives
# them. Some policies have _MORE in some of them, which is then shown beside the name.
_MORE = frozenset({"map", "relabelfrom", "relabelto", "watch", "watch_reads"})
_FILE = "getattr ioctl lock open"
_SETS = {
    name: frozenset(permissions.split())
    for name, permissions in {
        ("dir", "search_dir_perms"): "getattr open search",
        ("dir", "list_dir_perms"): f"{_FILE} read search",
        ("dir", "add_entry_dir_perms"): f"{_FILE} search write add_name",
        ("dir", "rw_dir_perms"): f"{_FILE} read search write add_name remove_name",
        ("dir", "manage_dir_perms"): (
            f"{_FILE} read search write add_name remove_name create link rename reparent rmdir"
            " setattr unlink"
        ),
        ("file", "read_file_perms"): f"{_FILE} read",
        ("file", "append_file_perms"): f"{_FILE} append",
        ("file", "rw_file_perms"): f"{_FILE} read append write",
        ("file", "manage_file_perms"): (
            f"{_FILE} read append write create link rename setattr unlink"
        ),
        ("lnk_file", "read_lnk_file_perms"): "getattr read",
    }.items()
}


def _permissions(cls: str, permissions: set[str], verbose: bool) -> str:
    """Name a set that the reference policy names, alone or with some of _MORE."""
    if not verbose:
        for (of, name), members in _SETS.items():
            if of == cls and permissions - _MORE == members:
                return " ".join([name, *sorted(permissions & _MORE)])
    return " ".join(sorted(permissions))


def _rules(rules: Iterable[PolicyRule], verbose: bool) -> list[str]:
    """Group rules by source, target and class; conditions and optional blocks stay apart.

    Several rules of one source below the same condition get a line of their own for both.
    """
    grouped: dict[tuple[str, str, str, str], dict[tuple[str, str], set[str]]] = defaultdict(dict)
    for r in rules:
        key = (r.boolean, r.optional, r.source, r.kind)
        grouped[key].setdefault((r.target, r.cls), set()).update(r.permissions)
    lines = []
    for (boolean, optional, source, kind), targets in sorted(grouped.items()):
        conditions = [f"if {boolean}"] if boolean else []
        conditions += [f"in optional {optional}"] if optional else []
        tail = f"  ({', '.join(conditions)})" if conditions else ""
        told = [
            f"-> {target}:{cls} {_permissions(cls, permissions, verbose)}"
            for (target, cls), permissions in sorted(targets.items())
        ]
        if len(told) == 1:
            lines.append(f"    {kind} {source} {told[0]}{tail}")
        else:
            lines.append(f"    {kind} {source}{tail}")
            lines += [f"      {line}" for line in told]
    return lines


def _file_contexts(modules: Iterable[PolicyModule]) -> list[str]:
    lines = [
        f"{context.pattern}  {context.file_type}  {context.type or '<<none>>'}"
        for module in modules
        if module.content is not None
        for context in module.content.file_contexts
    ]
    return list(dict.fromkeys(lines))


def _booleans(inspection: Inspection) -> list[str]:
    lines = [
        f"{name}: new, {'on' if default else 'off'} by default (module {module.name})"
        for module in inspection.modules
        if module.content is not None
        for name, default in module.content.booleans
    ]
    lines = list(dict.fromkeys(lines))
    for change in inspection.booleans:
        word = {"1": "on", "0": "off"}.get(change.value, change.value or "unknown")
        how = "" if change.persistent else ", until the next boot"
        lines.append(f"{change.name}: set {word} by {change.source}{how}")
    return lines


def _ports(inspection: Inspection) -> list[str]:
    return [
        f"{port.protocol}/{port.low}{f'-{port.high}' if port.high != port.low else ''}"
        f"  {port.type}  ({port.source})"
        for port in inspection.ports
    ]


def _findings(inspection: Inspection) -> list[str]:
    return [f"{f.severity}: {f.where}: {f.reason} [{f.code}]" for f in inspection.findings]


def _wrapped(title: str, names: Iterable[str], indent: str) -> list[str]:
    lines = [f"{indent}{title}"]
    for name in names:
        part = f"{name} "
        if len(lines[-1]) + len(part) > _WIDTH:
            lines.append(f"{indent}    ")
        lines[-1] += part
    return [line.rstrip() for line in lines]
