"""Helpers for integration tests: render, compile and read policy; facts about it, one a line.

A fact is a line of text that holds of a rendered or a compiled policy, or does not:

    domain DOMAIN ENTRY init_daemon [nnp] [permissive]
    type TYPE CLASS                       CLASS in the words of ../shared/cases
    member TYPE ATTRIBUTE
    label PATTERN FTYPE TYPE              dots unescaped; /run and /var/run stand for both
    port TYPE PROTOCOL RANGE
    tunable NAME DEFAULT
    boolean NAME VALUE                    a boolean of the base policy that the package sets
    allow SOURCE TARGET:CLASS { PERMISSIONS } [optional] [if TUNABLE]
    transition SOURCE DIRECTORY:CLASS TYPE [NAME]
    call MACRO(ARGUMENTS)                 the target has it; what it grants: see not_granted()
    interface NAME: FACT                  FACT holds of a module that calls NAME(caller_t)
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wsgi_sepkg.policy import render
from wsgi_sepkg.policy.buildcheck import Cil, read_cil
from wsgi_sepkg.policy.derive import derive
from wsgi_sepkg.policy.model import Policy
from wsgi_sepkg.project.load import load
from wsgi_sepkg.targets import Target

HLL_PP = "/usr/libexec/selinux/hll/pp"
DEVEL = Path("/usr/share/selinux/devel")
# Headers of other targets are built by nobody but their distributions: <target>/include below here.
HEADERS = Path(os.environ.get("WSGI_SEPKG_HEADERS", "/nonexistent"))

# class of ../shared/cases: (kinds of ours that mean it, an attribute that it must have)
CLASSES = {
    "config": (("config",), "configfile"),
    "log": (("log",), "logfile"),
    "var_lib": (("data", "file"), "file_type"),
    "file": (("file", "data", "cache", "content"), "file_type"),
    "pid": (("runtime",), "pidfile"),
    "tmp": (("temporary",), "tmpfile"),
    "tmpfs": (("tmpfs",), "tmpfsfile"),
    "port": (("port",), "port_type"),
    "cert": (("certificate",), "cert_type"),
    "unit": (("unit",), "systemdunit"),
}


# Each statement of a module's CIL, with the blocks that are open around it.
Statements = list[tuple[tuple[str, ...], str]]


def statements(module: Path) -> Statements:
    """Return the CIL of a module, read apart from the code under test.

    hll/pp prints one statement a line and opens a block at the end of a line.
    """
    text = subprocess.run([HLL_PP, module], capture_output=True, text=True, check=True).stdout
    blocks: list[str] = []
    found: Statements = []
    for line in map(str.strip, text.splitlines()):
        if line == ")":
            blocks.pop()
        elif line and line.count("(") > line.count(")"):
            blocks.append(line.lstrip("("))
        elif line and not line.startswith(";"):
            found.append((tuple(blocks), line))
    return found


def matches(cil: Statements, pattern: str) -> list[tuple[str, ...]]:
    """Return the groups of each statement that ``pattern`` matches."""
    return [m.groups() for _, line in cil if (m := re.fullmatch(pattern, line))]


def rules(cil: Statements) -> set[tuple[object, ...]]:
    """Return the rules: (kind, source, target, class, permissions, boolean, optional)."""
    found, lines = set(), set()
    for blocks, line in cil:
        match = re.fullmatch(r"\(([a-z]+) (\S+) (\S+) \((\S+) \((.*)\)\)\)", line)
        if match and match[1] in {"allow", "dontaudit", "neverallow", "auditallow"}:
            kind, source, target, cls, permissions = match.groups()
            condition = next((b[11:-1] for b in blocks if b.startswith("booleanif")), "")
            branch = next((b for b in blocks if b in {"true", "false"}), "")
            boolean = f"[ {condition} ]:{branch.capitalize()}" if condition else ""
            optional = next((b[9:] for b in reversed(blocks) if b.startswith("optional")), "")
            names = tuple(sorted(permissions.split()))
            lines.add((blocks, line))
            found.add((kind, source, target, cls, names, boolean, optional))
    # The reading above has overlooked no line (some stand in the module several times).
    kinds = r"\((?:allow|dontaudit|auditallow|neverallow)x? "
    assert lines == {(blocks, line) for blocks, line in cil if re.match(kinds, line)}
    return found


def include_folder(target: str) -> Path | None:
    """Return the folder of the policy headers of ``target``, None where they are not installed."""
    if target == "debian-12":
        return DEVEL / "include" if (DEVEL / "Makefile").is_file() else None
    folder = HEADERS / target / "include"
    return folder if (folder / "Makefile").is_file() else None


def structured_facts(case: dict[str, Any]) -> list[str]:
    """Return what a file of ../shared/cases says in fields, not in prose, as facts."""
    said = case["input"]
    facts = []
    for domain in said["domains"]:
        words = ["domain", domain["name"], domain["exec"], domain["kind"].split()[0]]
        words += [word for word in ("nnp", "permissive") if domain.get(word)]
        facts.append(" ".join(words))
    for declared in said["types"]:
        if isinstance(declared, dict):
            facts.append(f"type {declared['name']} {declared['class']}")
            facts += [f"member {declared['name']} {a}" for a in declared.get("attributes", [])]
    for context in said["file_contexts"]:
        path = plain_pattern(context["path"])
        facts.append(f"label {path} {context['ftype']} {context['type']}")
    for port in said.get("ports", []):
        facts.append(f"port {port['type']} {port['proto']} {port['range']}")
    for tunable in said.get("booleans_declared", []):
        facts.append(f"tunable {tunable['name']} {str(tunable['default']).lower()}")
    for setting in said.get("booleans_set", []):
        name, value = setting.split("=")
        facts.append(f"boolean {name} {'true' if value == '1' else 'false'}")
    return list(dict.fromkeys(facts))


def prose(case: dict[str, Any]) -> set[str]:
    """Return what the policy part of a file of ../shared/cases says in sentences or bare names."""
    said = case["input"]
    found: set[str] = set()
    for domain in said["domains"]:
        found |= {domain["kind"]} - {"init_daemon"}
    found |= {declared for declared in said["types"] if isinstance(declared, str)}
    for tunable in said.get("booleans_declared", []):
        found |= set(tunable.get("guards", []))
    for grant in said.get("foreign_domain_rules", []):
        found.add(grant["grant"] if isinstance(grant, dict) else grant)
    for calls in said.get("optional_calls", {}).values():
        found |= set(calls)
    for key in ("interfaces_called", "raw_rules", "own_interfaces", "optional_types"):
        found |= set(said.get(key, []))
    found |= set(said.get("conditional_by_release", []))
    return found | {text for text in case["expect"].get("te", []) if text.startswith("filetrans")}


def plain_pattern(pattern: str) -> str:
    """Return a pattern without the escapes that the cases write here and there."""
    return pattern.replace("\\", "")


@dataclass
class Rendered:
    """A description derived and rendered for one target; ``cil`` once it was compiled."""

    policy: Policy
    target: Target
    folder: Path
    texts: dict[str, str]
    cil: Cil | None = None
    caller: Cil | None = None
    reference: Cil | None = None
    calls: set[str] = field(default_factory=set)

    @property
    def package(self) -> Path:
        return self.folder / f"{self.policy.module}.pp"

    @property
    def modules(self) -> list[str]:
        """Return the module files in the order in which they are installed."""
        ports = [self.folder / f"{self.policy.ports_module}.cil"] if self.policy.ports else []
        return [str(path) for path in (self.package, *ports)]


def rendered(description: Path, target: str, folder: Path) -> Rendered:
    """Load, derive and render ``description`` for ``target`` into ``folder``."""
    loaded = load(description, target=target)
    policy = derive(loaded.description, loaded.target)
    texts = {
        f"{policy.module}.te": render.te(policy, loaded.target),
        f"{policy.module}.fc": render.fc(policy, loaded.target),
        f"{policy.module}.if": render.interface_file(policy),
    }
    if policy.ports:
        texts[f"{policy.ports_module}.cil"] = render.ports_cil(policy)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return Rendered(policy, loaded.target, folder, texts)


def compile_module(folder: Path, name: str, include: Path) -> tuple[Cil, str]:
    """Compile ``name`` with the devel Makefile; return the module as CIL and what was printed."""
    command = ["make", "-f", str(include / "Makefile"), f"HEADERDIR={include}", "NAME=default"]
    if include == DEVEL / "include":
        command = ["make", "-f", str(DEVEL / "Makefile"), "NAME=default"]
    else:
        command.append("TYPE=mcs")
    done = subprocess.run(
        [*command, f"{name}.pp"], cwd=folder, text=True, capture_output=True, timeout=120
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    cil = subprocess.run(
        [HLL_PP, f"{name}.pp"], cwd=folder, text=True, capture_output=True, timeout=60, check=True
    ).stdout
    return read_cil(cil), output


def compile_all(module: Rendered, include: Path, calls: list[str]) -> str:
    """Compile the module, one that calls all its interfaces, and one that only makes ``calls``.

    Returns what the compiler printed about the module itself.
    """
    policy = module.policy
    module.cil, output = compile_module(module.folder, policy.module, include)
    interfaces = "".join(f"{i.name}(caller_t)\n" for i in policy.interfaces)
    folder = module.folder / "caller"
    folder.mkdir()
    for suffix in ("te", "if"):  # the Makefile sees an .if only beside its .te
        name = f"{policy.module}.{suffix}"
        shutil.copyfile(module.folder / name, folder / name)
    (folder / "caller.te").write_text(
        f"policy_module(caller, 1.0)\ntype caller_t;\ndomain_type(caller_t)\n{interfaces}"
    )
    module.caller, printed = compile_module(folder, "caller", include)
    assert "rror" not in printed, printed
    known = module.target.facts.interfaces
    module.calls = {call for call in calls if call.partition("(")[0] in known}
    if module.calls:
        folder = module.folder / "reference"
        folder.mkdir()
        words = {w for call in module.calls for w in re.findall(r"\w+", call)[1:]}
        declared = "".join(f"type {name};\ndomain_type({name})\n" for name in sorted(words))
        text = "\n".join(["policy_module(reference, 1.0)", declared, *sorted(module.calls), ""])
        (folder / "reference.te").write_text(text)
        module.reference, _ = compile_module(folder, "reference", include)
    return output


def not_granted(module: Rendered) -> set[tuple[str, str, str, str, str]]:
    """Return what the calls of the reference module grant and the module itself does not.

    Each is (source, target, class, permission, condition).
    """
    assert module.cil is not None
    have, want = (
        {
            (r.source, r.target, r.cls, permission, r.condition)
            for r in (cil.rules if cil is not None else [])
            if r.kind == "allow"
            for permission in r.perms
        }
        for cil in (module.cil, module.reference)
    )
    return want - have


def holds(fact: str, module: Rendered) -> bool | None:
    """Say whether ``fact`` holds; None when only a compiled module could say it."""
    kind, _, rest = fact.partition(" ")
    return _KINDS[kind](rest, module)


def _domain(rest: str, module: Rendered) -> bool:
    name, entry, init, *flags = rest.split()
    found = [d for d in module.policy.domains if d.name == name]
    if not found or init != "init_daemon" or found[0].entry != entry:
        return False
    if found[0].no_new_privileges < ("nnp" in flags):
        return False
    if found[0].permissive != ("permissive" in flags):
        return False
    if module.cil is None:
        return True
    entries = {r.target for r in module.cil.rules if r.source == name and "entrypoint" in r.perms}
    # init is one of initrc_domain in Fedora's policy, it is named in the reference policy.
    init = {"init_t", "initrc_domain"}
    moves = {t.source for t in module.cil.transitions if t[1:4] == (entry, "process", name)}
    nnp = f"init_t {name}:process2 {{ nnp_transition nosuid_transition }}"
    return (
        entries == {entry}
        and name in module.cil.attribute_members["daemon"]
        and (name in module.cil.permissive) == ("permissive" in flags)
        and bool(moves & init)
        and ("nnp" not in flags or bool(_allow(nnp, module)))
    )


def _type(rest: str, module: Rendered) -> bool:
    name, class_ = rest.split()
    kinds, attribute = CLASSES[class_]
    found = [t for t in module.policy.types if t.name == name]
    if not found or found[0].kind not in kinds:
        return False
    if module.cil is None:
        return True
    if module.target.family == "fedora" and attribute == "systemdunit":
        attribute = "systemd_unit_file_type"
    return name in module.cil.types and name in module.cil.attribute_members.get(attribute, set())


def _member(rest: str, module: Rendered) -> bool:
    name, attribute = rest.split()
    if module.cil is not None:
        return name in module.cil.attribute_members.get(attribute, set())
    return any(
        t.name == name and (attribute in t.attributes or (attribute == "port_type" and t.calls))
        for t in module.policy.types
    )


_FTYPES = {"directory": "dir", "symlink": "link"}


def labels(module: Rendered) -> set[tuple[str, str, str]]:
    """Return (pattern without escapes, file type, type) of every file context."""
    if module.cil is not None:
        return {(plain_pattern(f.pattern), f.ftype, f.type) for f in module.cil.filecons}
    return {
        (plain_pattern(c.pattern), _FTYPES.get(c.file_type, c.file_type), c.type)
        for c in module.policy.contexts
    }


def spellings(pattern: str) -> set[str]:
    """Return both spellings of a path that the releases spell differently."""
    for one, other in (("/var/run/", "/run/"), ("/run/", "/var/run/"), ("/usr/sbin/", "/usr/bin/")):
        if pattern.startswith(one):
            return {pattern, other + pattern[len(one) :]}
    return {pattern}


def _label(rest: str, module: Rendered) -> bool:
    pattern, ftype, type_ = rest.split()
    return all((one, ftype, type_) in labels(module) for one in spellings(pattern))


def _port(rest: str, module: Rendered) -> bool:
    type_, protocol, span = rest.split()
    low, _, high = span.partition("-")
    if not module.policy.ports:
        return False
    found = read_cil(module.texts[f"{module.policy.ports_module}.cil"]).portcons
    return (protocol, int(low), int(high or low), type_) in found


def _tunable(rest: str, module: Rendered) -> bool:
    name, default = rest.split()
    if module.cil is not None:
        return module.cil.booleans.get(name) is (default == "true")
    return (name, default == "true") in {(t.name, t.default) for t in module.policy.tunables}


def _boolean(rest: str, module: Rendered) -> bool:
    name, value = rest.split()
    known = name in module.target.facts.booleans
    return known and (name, value == "true") in {(b.name, b.value) for b in module.policy.booleans}


_ALLOW = re.compile(r"(\w+) (\w+):(\w+) \{ (.*) \}( optional)?(?: if (\w+))?")


def _allow(rest: str, module: Rendered, caller: bool = False) -> bool | None:
    cil = module.caller if caller else module.cil
    if cil is None:
        return None
    match = _ALLOW.fullmatch(rest)
    assert match is not None, rest
    source, target, class_, permissions, optional, tunable = match.groups()
    granted: set[str] = set()
    for rule in cil.rules:
        if rule[:4] != ("allow", source, target, class_):
            continue
        if rule.condition != (f"[ {tunable} ]:True" if tunable else ""):
            continue
        if bool(optional) and not rule.optional:
            return False
        granted |= rule.perms
    return set(permissions.split()) <= granted


def _transition(rest: str, module: Rendered, caller: bool = False) -> bool | None:
    cil = module.caller if caller else module.cil
    source, directory, class_, type_, *name = rest.replace(":", " ").split()
    if cil is not None:
        return (source, directory, class_, type_, "".join(name)) in cil.transitions
    return None


def _call(rest: str, module: Rendered) -> bool | None:
    if module.cil is None:
        macro = rest.partition("(")[0]
        return (
            macro in module.target.facts.interfaces
            and rest in module.texts[f"{module.policy.module}.te"]
        )
    return rest in module.calls


def _interface(rest: str, module: Rendered) -> bool | None:
    name, _, fact = rest.partition(": ")
    if name not in {i.name for i in module.policy.interfaces}:
        return False
    kind, _, body = fact.partition(" ")
    return (_allow if kind == "allow" else _transition)(body, module, True)


_KINDS = {
    "domain": _domain,
    "type": _type,
    "member": _member,
    "label": _label,
    "port": _port,
    "tunable": _tunable,
    "boolean": _boolean,
    "allow": _allow,
    "transition": _transition,
    "call": _call,
    "interface": _interface,
}
