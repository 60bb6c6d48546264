#!/usr/bin/python3
"""Extract the facts a distribution's SELinux policy offers into plain data files.

The input is what a distribution ships: the policy headers (``selinux/devel/include``), the
linked binary policy, the installed file contexts and the module store with the CIL of every
module.  The output is one folder of small text files, one record a line, that name the types,
booleans, interfaces, ports, file contexts and so on.  Only names and numbers are written, never
rules or macro bodies.

The command line tools ``checkpolicy`` (turns the binary policy into CIL) and ``m4`` (expands the
support macros) do the reading of the formats; nothing else outside the standard library is used.
The same input always gives the same bytes.
"""

from __future__ import annotations

import argparse
import bz2
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

KeyT = TypeVar("KeyT", str, tuple[str, str])

UNKNOWN = "-"
"""Written where no module is known to own a record."""

CIL_FTYPES = {
    "any": "any",
    "file": "--",
    "dir": "-d",
    "symlink": "-l",
    "pipe": "-p",
    "socket": "-s",
    "char": "-c",
    "block": "-b",
}
"""File kinds as CIL spells them, with the spelling of file_contexts."""

GENERATED_ATTRIBUTE = re.compile(r"_typeattr_\d+$|^cil_gen_require$|^@")
"""Attributes the compilers make up for unnamed type sets: nobody may refer to them."""

TUPLE = re.compile(r"\(([^()]*)\)")
IF_NAME = re.compile(r"^[ \t]*(?:interface|template)\([ \t]*`(\w+)'", re.MULTILINE)
PLAIN_SET = re.compile(r"[\w\s{}]+")
NOISE = re.compile(r"refpolicywarn\(`[^']*'\)|#[^\n]*")
"""What may stand beside the names in the body of a permission set: a warning, a comment."""

FILECON = re.compile(r'\s*\(filecon "((?:[^"\\]|\\.)*)" (\w+) \(')


@dataclass
class StoreFacts:
    """What the CIL of the modules in the store tells."""

    modules: set[str] = field(default_factory=set)
    type_owner: dict[str, str] = field(default_factory=dict)
    context_owner: dict[tuple[str, str], str] = field(default_factory=dict)
    attributes: set[str] = field(default_factory=set)
    contested: list[str] = field(default_factory=list)


@dataclass
class PolicyFacts:
    """What the linked binary policy tells."""

    types: set[str] = field(default_factory=set)
    aliases: dict[str, str] = field(default_factory=dict)
    attributes: set[str] = field(default_factory=set)
    roles: set[str] = field(default_factory=set)
    booleans: dict[str, bool] = field(default_factory=dict)
    ports: set[tuple[str, int, int, str]] = field(default_factory=set)
    classes: dict[str, set[str]] = field(default_factory=dict)


@dataclass
class HeaderFacts:
    """What the policy headers tell."""

    interfaces: dict[str, str] = field(default_factory=dict)
    permission_sets: dict[str, list[str]] = field(default_factory=dict)
    macros: set[str] = field(default_factory=set)


def run(command: Sequence[str | Path], stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command to completion in the C locale; its failure is an exception."""
    done = subprocess.run(
        [str(word) for word in command],
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="surrogateescape",
        env={"LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{command[0]} failed ({done.returncode}): {done.stderr[-2000:]}")
    return done


def read_cil(path: Path) -> str:
    """Return the text of a module's CIL, which the store keeps compressed with bzip2 or plain."""
    raw = path.read_bytes()
    if raw.startswith(b"BZh"):
        raw = bz2.decompress(raw)
    return raw.decode("utf-8", "surrogateescape")


def store_modules(store: Path) -> Iterator[tuple[str, Path]]:
    """Yield name and CIL file of the modules in effect: enabled, at their highest priority."""
    root = store / "active" / "modules"
    disabled = {entry.name for entry in (root / "disabled").glob("*")}
    chosen: dict[str, tuple[int, Path]] = {}
    for cil in root.glob("[0-9]*/*/cil"):
        name, priority = cil.parent.name, int(cil.parent.parent.name)
        if name not in disabled and priority >= chosen.get(name, (-1, cil))[0]:
            chosen[name] = (priority, cil)
    for name in sorted(chosen):
        yield name, chosen[name][1]


def read_store(store: Path) -> StoreFacts:
    """Read which module declares each type and each file context, and the named attributes."""
    facts = StoreFacts()
    for module, path in store_modules(store):
        facts.modules.add(module)
        for line in read_cil(path).splitlines():
            words = line.strip("() \t").split()
            if len(words) < 2:
                continue
            if words[0] == "type":
                claim(facts, facts.type_owner, words[1], module)
            elif words[0] == "typeattribute" and line.startswith("("):
                facts.attributes.add(words[1])
            elif words[0] == "filecon":
                found = FILECON.match(line)
                if found is None:
                    raise SystemExit(f"module {module}: cannot read {line!r}")
                pattern, kind = found.groups()
                key = (pattern.replace('\\"', '"'), CIL_FTYPES[kind])
                claim(facts, facts.context_owner, key, module)
    if not facts.modules:
        raise SystemExit(f"no modules in {store}")
    facts.attributes = {a for a in facts.attributes if not GENERATED_ATTRIBUTE.search(a)}
    return facts


def claim(facts: StoreFacts, owners: dict[KeyT, str], key: KeyT, module: str) -> None:
    """Record module as the owner of key; the first module by name keeps a contested one."""
    first = owners.setdefault(key, module)
    if first != module:
        facts.contested.append(f"{key} {first} {module}")


def read_policy(policy: Path) -> PolicyFacts:
    """Read the linked binary policy through checkpolicy's CIL output."""
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "policy.cil"
        run(["checkpolicy", "-M", "-b", "-C", "-o", target, policy])
        text = target.read_text("utf-8")
    facts = PolicyFacts()
    commons: dict[str, set[str]] = {}
    inherits: list[tuple[str, str]] = []
    for line in text.splitlines():
        words = line.strip("() \t").split()
        if not line.startswith("(") or len(words) < 2:
            continue
        match words[0]:
            case "type":
                facts.types.add(words[1])
            case "typealiasactual":
                facts.aliases[words[1]] = words[2]
            case "typeattribute":
                if not GENERATED_ATTRIBUTE.search(words[1]):
                    facts.attributes.add(words[1])
            case "role":
                facts.roles.add(words[1])
            case "boolean":
                facts.booleans[words[1]] = words[2] == "true"
            case "class" | "common":
                listed = TUPLE.search(line[1:])
                names = set(listed.group(1).split()) if listed else set()
                (facts.classes if words[0] == "class" else commons)[words[1]] = names
            case "classcommon":
                inherits.append((words[1], words[2]))
            case "portcon":
                facts.ports.add(read_portcon(line))
    for class_name, common in inherits:
        facts.classes[class_name] |= commons[common]
    return facts


def read_portcon(line: str) -> tuple[str, int, int, str]:
    """Return protocol, lowest and highest port and type of a CIL portcon statement."""
    words = line.replace("(", " ").replace(")", " ").split()
    if words[3].isdigit():
        return words[1], int(words[2]), int(words[3]), words[6]
    return words[1], int(words[2]), int(words[2]), words[5]


def read_contexts(path: Path, owners: Mapping[tuple[str, str], str]) -> list[str]:
    """Return the records of a linked file_contexts, in its order, with the owning modules."""
    records = []
    for line in data_lines(path):
        fields = line.split()
        kind = fields[1] if len(fields) == 3 else "any"
        if len(fields) not in (2, 3) or kind not in CIL_FTYPES.values():
            raise SystemExit(f"{path}: cannot read {line!r}")
        context = fields[-1]
        label = context if context == "<<none>>" else context.split(":")[2]
        owner = owners.get((fields[0], kind), UNKNOWN)
        records.append(f"{fields[0]}\t{kind}\t{label}\t{owner}")
    return records


def data_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file that are neither empty nor comments."""
    for line in path.read_text("utf-8").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield line


def build_options(headers: Path) -> dict[str, str]:
    """Return the settings of the headers' build.conf."""
    options = {}
    for line in data_lines(headers / "build.conf"):
        found = re.fullmatch(r"(?:override\s+)?(\w+)\s*[?:]?=\s*(.*)", line.strip())
        if found:
            options[found.group(1)] = found.group(2).strip()
    return options


def m4_flags(options: Mapping[str, str]) -> list[str]:
    """Return the -D flags that the headers' own Makefile would hand to m4."""
    flags = []
    if options.get("TYPE") in ("mcs", "mls"):
        flags.append(f"-Denable_{options['TYPE']}")
    if options.get("DISTRO"):
        flags.append(f"-Ddistro_{options['DISTRO']}")
    if options.get("SYSTEMD") == "y":
        flags.append("-Dinit_systemd")
    if options.get("DIRECT_INITRC") == "y":
        flags.append("-Ddirect_sysadm_daemon")
    if options.get("UBAC") == "y":
        flags.append("-Denable_ubac")
    flags += [f"-D{name}" for name in options.get("CUSTOM_BUILDOPT", "").split()]
    flags.append(f"-Dmls_num_sens={options.get('MLS_SENS', '16')}")
    flags.append(f"-Dmls_num_cats={options.get('MLS_CATS', '1024')}")
    flags.append(f"-Dmcs_num_cats={options.get('MCS_CATS', '1024')}")
    return flags


def m4_names(command: Sequence[str | Path]) -> set[str]:
    """Return the names of all macros that m4 knows after reading the command's files."""
    dump = run([*command, "-"], "dumpdef").stderr
    return set(re.findall(r"^(\w+):\t", dump, re.MULTILINE))


def m4_values(command: Sequence[str | Path], names: Iterable[str], how: str) -> dict[str, str]:
    """Return what each name gives in m4; how is a template holding ``NAME``."""
    asked = sorted(names)
    script = ["divert(0)dnl", "changequote`'dnl"]
    for name in asked:
        script += [f"@@@BEGIN@@@{how.replace('NAME', name)}@@@END@@@"]
    out = run([*command, "-"], "\n".join(script) + "\n").stdout
    values = re.findall(r"@@@BEGIN@@@(.*?)@@@END@@@", out, re.DOTALL)
    if len(values) != len(asked):
        raise SystemExit(f"m4 gave {len(values)} values for {len(asked)} names")
    return dict(zip(asked, values, strict=True))


def read_headers(headers: Path, classes: Mapping[str, set[str]]) -> HeaderFacts:
    """Read the interfaces and the support macros of the policy headers."""
    facts = HeaderFacts()
    for path in sorted(headers.glob("*/*.if")):
        text = path.read_text("utf-8")
        for name in IF_NAME.findall(text):
            facts.interfaces.setdefault(name, path.stem)
    if not facts.interfaces:
        raise SystemExit(f"no interfaces in {headers}")

    support = sorted((headers / "support").glob("*.spt"))
    flags = m4_flags(build_options(headers))
    command: list[str | Path] = ["m4", *flags, *support]
    builtins = m4_names(["m4"])
    given = {re.split(r"[D=]", flag)[1] for flag in flags}
    defined = m4_names(command) - builtins - given

    bodies = m4_values(command, defined, "defn(`NAME')")
    simple = [name for name, body in bodies.items() if PLAIN_SET.fullmatch(NOISE.sub("", body))]
    known = set(classes).union(*classes.values())
    for name, text in m4_values(command, simple, "NAME").items():
        words = sorted(set(NOISE.sub("", text).replace("{", " ").replace("}", " ").split()))
        if words and "{" in bodies[name] and known.issuperset(words):
            facts.permission_sets[name] = words
    facts.macros = (defined | builtins) - set(facts.permission_sets)
    return facts


def write(folder: Path, name: str, records: Iterable[str], ordered: bool = False) -> int:
    """Write records one a line, sorted by bytes unless their order matters; return the count."""
    lines = list(records)
    if not ordered:
        lines = sorted(set(lines), key=lambda line: line.encode("utf-8", "surrogateescape"))
    text = "".join(f"{line}\n" for line in lines)
    (folder / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    return len(lines)


def policy_version(policy: Path) -> int:
    """Return the format version from the header of a binary policy."""
    raw = policy.read_bytes()[:64]
    length = int.from_bytes(raw[4:8], "little")
    return int.from_bytes(raw[8 + length : 12 + length], "little")


def extract(args: argparse.Namespace) -> dict[str, int]:
    """Read everything, write the folder and return the number of records per file."""
    store = read_store(args.store)
    policy = read_policy(args.policy)
    headers = read_headers(args.headers, policy.classes)
    files = args.contexts
    out: Path = args.out
    out.mkdir(parents=True, exist_ok=True)

    counts = {
        "booleans.txt": write(
            out,
            "booleans.txt",
            (f"{name} {'on' if value else 'off'}" for name, value in policy.booleans.items()),
        ),
        "types.txt": write(
            out,
            "types.txt",
            (f"{name} {store.type_owner.get(name, UNKNOWN)}" for name in policy.types),
        ),
        "aliases.txt": write(
            out, "aliases.txt", (f"{alias} {name}" for alias, name in policy.aliases.items())
        ),
        "attributes.txt": write(out, "attributes.txt", policy.attributes | store.attributes),
        "interfaces.txt": write(
            out,
            "interfaces.txt",
            (f"{name} {module}" for name, module in headers.interfaces.items()),
        ),
        "classes.txt": write(
            out,
            "classes.txt",
            (" ".join([name, *sorted(perms)]) for name, perms in policy.classes.items()),
        ),
        "permission-sets.txt": write(
            out,
            "permission-sets.txt",
            (" ".join([name, *words]) for name, words in headers.permission_sets.items()),
        ),
        "macros.txt": write(out, "macros.txt", headers.macros),
        "ports.txt": write(
            out,
            "ports.txt",
            (f"{proto} {low} {high} {name}" for proto, low, high, name in policy.ports),
        ),
        "contexts.txt": write(
            out,
            "contexts.txt",
            read_contexts(files / "file_contexts", store.context_owner),
            ordered=True,
        ),
        "subs.txt": write(
            out,
            "subs.txt",
            (" ".join(line.split()) for line in data_lines(files / "file_contexts.subs_dist")),
            ordered=True,
        ),
        "modules.txt": write(out, "modules.txt", store.modules),
        "roles.txt": write(out, "roles.txt", policy.roles),
    }
    options = build_options(args.headers)
    source = [
        f"target: {args.name}",
        *args.source_note.strip().splitlines(),
        f"policy version: {policy_version(args.policy)}",
        "build options: " + " ".join(f"{key}={options[key]}" for key in sorted(options)),
        "m4 definitions: " + " ".join(m4_flags(options)),
        "extracted by: tools/extract_facts.py",
        "records: " + " ".join(f"{name}={count}" for name, count in sorted(counts.items())),
    ]
    write(out, "SOURCE", (line.rstrip() for line in source), ordered=True)
    for line in store.contested:
        print(f"declared twice: {line}", file=sys.stderr)
    return counts


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(
        description="Extract the names a distribution's SELinux policy offers."
    )
    parser.add_argument("--headers", type=Path, required=True, help="policy headers (include)")
    parser.add_argument("--policy", type=Path, required=True, help="linked binary policy")
    parser.add_argument("--contexts", type=Path, required=True, help="folder of file_contexts")
    parser.add_argument("--store", type=Path, required=True, help="module store of the policy")
    parser.add_argument("--name", required=True, help="name of the target, such as debian-12")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--source-note", default="", help="text for the SOURCE file")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the extraction and print the number of records per file."""
    counts = extract(parse_arguments(argv))
    for name, count in counts.items():
        print(f"{count:7} {name}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
