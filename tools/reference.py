#!/usr/bin/env python3
"""Write docs/reference/ from the program itself: its schema, its commands, its tables.

.venv/bin/python tools/reference.py           write what is out of date
.venv/bin/python tools/reference.py --check   only name it; status 1 when something is
"""

from __future__ import annotations

import argparse
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import typer.main

from wsgi_sepkg import errors, policy, targets
from wsgi_sepkg.cli import app
from wsgi_sepkg.package import plan
from wsgi_sepkg.policy import derive, invariants
from wsgi_sepkg.project import names, reference

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference"
NOTE = "<!-- Written by tools/reference.py: change the program, not this page. -->\n"


def cell(text: str) -> str:
    """Return ``text`` as it may stand in a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<<", "&lt;&lt;").replace("*", "\\*")


def code(text: str) -> str:
    """Return ``text`` as code in a cell, '' for nothing."""
    return f"`{text}`".replace("|", "\\|") if text else ""


def prose(text: str) -> str:
    """Return a paragraph in lines of a readable width."""
    return textwrap.fill(text, 96, break_long_words=False, break_on_hyphens=False) + "\n"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table; the cells are ready to stand."""
    columns = list(head)
    lines = [columns, ["---"] * len(columns), *[list(row) for row in rows]]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


# -- the description -------------------------------------------------------------------------------


def description() -> Iterator[str]:
    """Return the page of the keys of wsgi-sepkg.toml."""
    yield "# Keys of wsgi-sepkg.toml\n"
    yield prose(
        "A table in single brackets stands once, one in double brackets as often as it is "
        "needed. The order of tables and keys never matters. `wsgi-sepkg explain-config` "
        "prints the same text, and `wsgi-sepkg schema` the JSON Schema that editors complete "
        "from."
    )
    known = reference.keys()
    for head in (k for k in known if k.kind == "table"):
        if head.path == "target":
            yield f"## `[target.NAME]`\n\n{head.text}.\n"
            yield OVERRIDES
            continue
        needed = " Required." if head.required else ""
        text = head.text.rstrip(".")
        yield f"## `{head.table}`\n" + (f"\n{text}.{needed}\n" if text else "")
        keys = [k for k in known if k.kind != "table" and k.path.startswith(f"{head.path}.")]
        start = f"{head.path}.USE."
        plain = [k for k in keys if not k.path.startswith(start)]
        yield _keys(plain, f"{head.path}.")
        special = [k for k in keys if k.path.startswith(start)]
        if special:
            yield "### A path with more to say\n"
            yield "In place of a plain path, a table with these keys:\n"
            yield _keys(special, start)


OVERRIDES = """\
`[target.NAME.TABLE]` replaces single keys of `[TABLE]` on one target. An entry of a `[[TABLE]]` is
named by its `name`, `to`, `number`, `port`, `pattern`, `path`, `source`, `interface` or `grant`:
`[target.NAME.TABLE.ENTRY]`. There, `skip = true` leaves the entry out on that target.
"""


def _keys(keys: Iterable[reference.Key], start: str) -> str:
    rows = []
    for key in keys:
        default = "required" if key.required else code(key.default)
        kind = cell(key.kind)
        rows.append([code(key.path.removeprefix(start)), kind, default, cell(key.text)])
    return table(["key", "value", "default", "meaning"], rows)


# -- the command line ------------------------------------------------------------------------------


def command_line() -> Iterator[str]:
    """Return the page of the commands, from the tree of commands that typer builds."""
    group: Any = typer.main.get_command(app)
    yield "# Commands\n"
    yield f"{group.help}\n"
    yield table(
        ["command", "what it does"],
        [
            [f"[`{name}`](#wsgi-sepkg-{name.replace(' ', '-')})", cell(c.help)]
            for name, c in _commands(group)
        ],
    )
    for name, command in _commands(group):
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        words = ["wsgi-sepkg", name, "[OPTIONS]", *(_argument(p) for p in arguments)]
        yield f"## wsgi-sepkg {name}\n\n{command.help}\n"
        yield f"```text\n{' '.join(words)}\n```\n"
        if command.params:
            yield table(
                ["option", "default", "meaning"],
                [
                    [_option(p), code(_default(p)), cell(p.help or "")]
                    for p in command.params
                    if p.name != "help"
                ],
            )
        if command.epilog:
            text = str(command.epilog).removeprefix("Example: ")
            yield f"```sh\n{text}\n```\n"
    yield prose("Every command has `--help` (`-h`). All share the [exit statuses](exit-status.md).")


def _commands(group: Any) -> list[tuple[str, Any]]:
    """Commands by name, in the order of --help; those of a group by the name of both."""
    found = []
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found += [(f"{name} {inner}", c) for inner, c in command.commands.items()]
        else:
            found.append((name, command))
    return found


def _argument(parameter: Any) -> str:
    name = parameter.metavar or parameter.name.upper()
    return name if parameter.required else f"[{name}]"


def _option(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return code(parameter.metavar or parameter.name.upper())
    shown = ", ".join(code(word) for word in (*parameter.opts, *parameter.secondary_opts))
    if parameter.is_flag:
        return shown
    choices = getattr(parameter.type, "choices", None)
    value = "|".join(str(getattr(c, "value", c)) for c in choices) if choices else ""
    return f"{shown} {code(value or parameter.metavar or 'TEXT')}"


def _default(parameter: Any) -> str:
    if isinstance(parameter.show_default, str):
        return parameter.show_default
    value = parameter.default
    if value in (None, "", False, ()) or callable(value):
        return ""
    return str(getattr(value, "value", value))


# -- exit statuses ---------------------------------------------------------------------------------


def exit_status() -> Iterator[str]:
    """Return the page of the exit statuses, from the errors themselves."""
    yield "# Exit statuses\n\nThe same for every command. They do not change between releases.\n"
    meanings = {}
    for line in (errors.__doc__ or "").splitlines():
        number, _, text = line.partition("   ")
        if number.strip().isdigit():
            meanings[int(number)] = text.strip()
    kinds: dict[int, list[str]] = {}
    for kind in vars(errors).values():
        if (
            isinstance(kind, type)
            and issubclass(kind, errors.WsgiSepkgError)
            and kind is not errors.WsgiSepkgError
        ):
            kinds.setdefault(kind.exit_status, []).append(_first(kind.__doc__))
    yield table(
        ["status", "meaning", "for example"],
        [
            [str(number), cell(text), "<br>".join(cell(k) for k in sorted(kinds.get(number, [])))]
            for number, text in sorted(meanings.items())
        ],
    )
    yield prose(
        "A result goes to standard output, a mistake to standard error. With `--format json` "
        "a mistake is also a JSON object on standard output: `error`, `hint`, `status`, and "
        "`problems` where the description has mistakes. 130 says that Ctrl-C ended the "
        "command."
    )


def _first(text: str | None) -> str:
    """Return the first sentence of a docstring, without what follows a semicolon."""
    plain = " ".join((text or "").split())
    return plain.partition(". ")[0].partition(";")[0].rstrip(".").replace("``", "`")


# -- targets, services -----------------------------------------------------------------------------


def target_page() -> Iterator[str]:
    """Return the page of the targets and where each fact about them is from."""
    yield "# Targets\n"
    yield prose(
        "A target is a distribution and release: what its policy offers is data inside the "
        "program, so that a description can be judged for a target on any host. `wsgi-sepkg "
        "targets` lists them and marks the one that this host is; `wsgi-sepkg targets NAME` shows "
        "what is known of one."
    )
    yield prose(
        "`fedora` stands for all living releases of Fedora: an override in `[target.fedora]` "
        "counts for each of them, before one of its own. Their names are checked against the same "
        "facts. What is built for `fedora` has the module format of the oldest and is built on the "
        "newest that is out."
    )
    yield prose(
        "Names that a description uses are checked for every target that `project.targets` lists: "
        "what is wrong on another target than the one of this run is a warning."
    )
    known = [targets.load(name) for name in targets.names()]
    yield table(
        ["target", "policy family", "dist tag", "rpm", "Python", "description"],
        [
            [
                code(t.name),
                t.family,
                code(t.dist),
                t.rpm_version,
                ", ".join(sorted(t.pythons, key=lambda v: int(v.split(".")[1]))),
                cell(t.title),
            ]
            for t in known
        ],
    )
    yield "## Releases\n"
    yield prose(
        "A package is pinned to the module format of the oldest release of its target. `sbin` is "
        "merged where `/usr/sbin` stands for `/usr/bin` in the file contexts."
    )
    yield table(
        ["target", "release", "userspace", "module format", "kernel policy", "`/run`", "sbin"],
        [
            [
                code(t.name),
                r.name,
                r.userspace,
                str(r.module_format),
                str(r.policy_version),
                code(t.run),
                r.sbin,
            ]
            for t in known
            if not any(other.group == t.name for other in known)
            for r in t.releases
        ],
    )
    yield "## Where packages are built\n"
    yield table(
        ["target", "mock", "Copr", "Koji target", "Koji tag"],
        [
            [
                code(t.name),
                ", ".join(code(root) for root in t.build.mock_roots.values()),
                code(t.copr_chroot),
                code(t.koji_target),
                code(t.build.koji_tag),
            ]
            for t in known
            if t.mock_root
        ],
    )
    yield "## Macros of selinux-policy\n"
    yield prose("What the macros of a release do wrong, and what a package does about it.")
    defects: dict[tuple[str, str], list[str]] = {}
    for t in known:
        for defect in t.policy_macros.defects:
            defects.setdefault(defect, []).append(code(t.name))
    yield table(
        ["defect", "targets", "cure"],
        [
            [cell(text), "all" if len(where) == len(known) - 1 else ", ".join(where), cell(cure)]
            for (text, cure), where in defects.items()
        ],
    )
    minimal = [code(t.name) for t in known if t.policy_macros.requires_min]
    yield f"`%selinux_requires_min` is there on {', '.join(minimal)}.\n"
    for target in known:
        facts = target.facts
        yield f"## {target.name}\n"
        if not target.group:
            yield table(
                ["web server", "domain", "account", "unit", "configuration"],
                [
                    [name, code(s.domain), code(s.user), code(s.unit), code(s.conf_dir)]
                    for name, s in sorted(target.servers.items())
                ],
            )
            yield (
                f"Known of its base policy: {len(facts.modules)} modules, {len(facts.types)} "
                f"types, {len(facts.interfaces)} interfaces,\n{len(facts.booleans)} booleans, "
                f"{len(facts.contexts)} file contexts, {len(facts.ports)} port labels.\n"
            )
            if target.facts_note:
                yield prose(f"These facts are {target.facts_note}.")
        yield "Sources:\n\n" + "".join(f"- {line}\n" for line in target.source)


def service_page() -> Iterator[str]:
    """Return the page of the services that a [[connect]] can name."""
    yield "# Services\n"
    yield prose(
        "What `to` of a `[[connect]]` may name, and what it means in the policy of each "
        "family. An empty cell: the family has no name for it, and a description that asks "
        "for it is refused with the other ways that are open."
    )
    by_family: dict[str, targets.Target] = {}
    for name in targets.names():
        if not targets.load(name).group:
            by_family[targets.load(name).family] = targets.load(name)
    for family, target in sorted(by_family.items()):
        listed = [n for n in targets.names() if targets.load(n).family == family]
        yield f"## Policy family {family}: {', '.join(listed)}\n"
        yield table(
            ["`to`", "service", "port type", "over TCP", "on this host's socket", "boolean"],
            [
                [
                    code(name),
                    cell(s.title),
                    code(s.port_type),
                    code(s.call or s.tcp),
                    code(s.stream),
                    code(s.boolean),
                ]
                for name, s in target.services.items()
            ],
        )
    opened: dict[tuple[str, str], None] = {}
    for target in by_family.values():
        for service in target.services.values():
            if service.boolean and service.opens:
                opened[service.boolean, service.opens] = None
    yield "## What a boolean of the base policy opens besides\n"
    yield table(["boolean", "opens"], [[code(b), cell(o)] for b, o in opened])
    lacking: dict[tuple[str, str], list[str]] = {}
    for name in targets.names():
        target = targets.load(name)
        for service in target.services.values():
            if service.boolean and service.boolean not in target.facts.booleans:
                lacking.setdefault((service.name, service.boolean), []).append(name)
            full = by_family[target.family].services[service.name]
            for word in (full.tcp, full.stream):
                if word and word not in target.facts.interfaces:
                    lacking.setdefault((service.name, word), []).append(name)
    if lacking:
        yield "A name of a family is not in each of its releases:\n"
        yield table(
            ["service", "name", "lacking in"],
            [[code(s), code(b), ", ".join(where)] for (s, b), where in sorted(lacking.items())],
        )


# -- uses, refusals --------------------------------------------------------------------------------


def use_page() -> Iterator[str]:
    """Return the page of the uses of a path: type, access, owner."""
    yield "# Uses of a path\n"
    yield prose(
        "The keys of `[path]`. A use decides the type of what lies there, what the "
        "application's domain may do, and owner and mode in the package. `P` stands for the "
        "prefix of own names: `project.prefix`, else the module's name."
    )
    yield table(
        ["use", "own type", "granted by", "promised", "refused", "reason"],
        [
            [
                code(use),
                code(f"P_{names.USES[use].suffix}"),
                "<br>".join(code(m) for m in macros),
                cell(" ".join(may)),
                cell(" ".join(must_not)),
                cell(reason),
            ]
            for use, (macros, may, must_not, reason) in derive._GRANTS.items()
        ],
    )
    yield prose(
        '"Promised" and "refused" are permissions on files (on socket files for `socket`). '
        "Each is asked of the linked policy by `check` and by the package's own `%check`. A "
        "path that a module of the base policy labels already keeps that label; what the base "
        "policy grants to it is not refused: see "
        "[label a path](../how-to/label-a-path-the-base-policy-labels.md)."
    )
    yield "## Owner and mode in the package\n"
    rows = []
    for use, (folder, file, own) in plan._MODES.items():
        if own:
            owner = "the application's account"
        elif use in ("config", "secret"):
            owner = "root, readable by the application's group"
        else:
            owner = "root"
        rows.append([code(use), code(folder), code(file), owner])
    yield table(["use", "mode of a folder", "mode of a file", "owner"], rows)
    yield "## Attributes of an own type\n"
    yield "`kind` of a `[[type]]`, and of the types that the uses make:\n"
    yield table(
        ["kind", "interface that gives the attributes"],
        [[code(kind), code(_interface(call))] for kind, call in derive._KIND_CALLS.items()],
    )


def _interface(call: str) -> str:
    if not call.startswith("@"):
        return call
    every = [targets.load(name).interface[call[1:]] for name in targets.names()]
    return ", ".join(sorted(set(every)))


def refusal_page() -> Iterator[str]:
    """Return the page of what no module may grant without a waiver."""
    with (Path(policy.__path__[0]) / "refusals.toml").open("rb") as stream:
        refusals = tomllib.load(stream)["refusal"]
    yield "# Refusals\n"
    yield prose(
        "What a module made by this program does not grant. The linked policy is asked with "
        "and without the module, own tunables switched on; a grant that the base policy makes "
        "by itself is not the module's. One that it makes because the package sets a boolean is "
        "the package's. A `[[waiver]]` with a reason and a last day sets one refusal aside."
    )
    rows = []
    for refusal in refusals:
        target = refusal["target"]
        shown = ["self"] if target == "self" else target
        rows.append(
            [
                " ".join(code(t) for t in shown),
                code(refusal["class"]),
                " ".join(code(p) for p in refusal["permissions"]),
                cell(refusal["reason"]),
            ]
        )
    yield table(["target", "class", "permissions", "why"], rows)
    yield prose(
        "The same holds for writing own `code`, `static`, `config` and `secret` files and the "
        "entry points of own domains, and for a permissive domain."
    )


def domain_page() -> Iterator[str]:
    """Return the page of what a process with a domain of its own may do and may not."""
    yield "# Domains of processes\n"
    yield prose(
        "With `daemon` and `service` confinement each process has a domain of its own. It gets "
        "what stands here, the paths of `[path]` by their [use](uses.md), the connections that "
        "`[[connect]]` names, and nothing else. `$domain` and the like stand for the own types, "
        "`$server` for the domain of the web server."
    )
    families = ("refpolicy", "fedora")
    found = {family: targets.domains(family) for family in families}
    yield "## What each gets\n"
    rows = []
    pairs = zip(found["refpolicy"].grants, found["fedora"].grants, strict=True)
    for debian, fedora in pairs:
        both = [w for w in (*debian.calls, *debian.rules) if w in (*fedora.calls, *fedora.rules)]
        words = [code(w) for w in both]
        for family, grant in zip(families, (debian, fedora), strict=True):
            own = [w for w in (*grant.calls, *grant.rules) if w not in both]
            words += [f"{code(w)} ({family})" for w in own]
        rows.append(
            (
                ", ".join(sorted(debian.groups)),
                "; ".join(words),
                cell(debian.reason),
                cell(debian.denial),
            )
        )
    yield table(("for", "grant", "reason", "denial without it"), rows)
    yield prose(
        "for: `all`; `service`, all but mod_wsgi's process; `unit`, what runs all the time; "
        "`commands`, timers, commands and the administrator's command; `serves` and `listens`, "
        "what answers the web server by a socket or a port; `tcp`, what connects; `pool`, "
        "`backlog`, `groups`, `program`, `httpd`, what a program of `run` needs; `shares`, what "
        "uses shared memory."
    )
    yield "## Powers\n"
    yield prose("What `[[power]]` opens. Without a tunable it is given by a rule.")
    yield table(
        ("power", "what it is", "tunable", "of", "what else it opens"),
        (
            (
                code(power.name),
                power.title,
                code(f"NAME_{power.tunable}") if power.tunable else "",
                ", ".join(sorted(power.kinds)) or "whom `by` names",
                cell(power.risk),
            )
            for power in found["refpolicy"].powers.values()
        ),
    )
    yield "## Who starts them\n"
    yield table(
        ("policy family", "processes", "management commands too"),
        (
            (family, ", ".join(map(code, r.started_by)), ", ".join(map(code, r.commanded_by)))
            for family, r in found.items()
        ),
    )
    yield prose(
        "In Fedora's policy unconfined_t may ask for every domain of the host by runcon(1). "
        "mod_wsgi's process is entered from the web server's domain."
    )
    yield "## Programs that `run` may name\n"
    yield table(
        ("word", "program", "kinds of process", "options that the package decides"),
        (
            (
                code(runner.name),
                runner.title,
                ", ".join(runner.kinds),
                " ".join(map(code, runner.refused)),
            )
            for runner in targets.load("debian-12").runners.values()
        ),
    )
    yield "## Invariants\n"
    yield prose(
        "`check` and `build` ask the linked policy for every process, with the tunables of the "
        "package switched on. No process may:"
    )
    yield table(
        ("invariant", "no process may", "but for"),
        (
            (code(name), cell(what), cell(but))
            for name, (what, but) in invariants.INVARIANTS.items()
        ),
    )
    yield prose(
        "Ports that only a boolean of the base policy would open are listed apart in the table of "
        "power, with that boolean and how it is shipped."
    )
    yield "## The table of power\n"
    yield prose(
        "`check` counts access vectors: target type, class and permission, attributes expanded, "
        "booleans as the distribution ships them, tunables as the package does. What a domain that "
        "is one and nothing else has too, a probe that is linked along, is not counted. The web "
        "server's domain is counted in the same way, in the same store."
    )


PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "domains.md": domain_page,
    "description.md": description,
    "commands.md": command_line,
    "exit-status.md": exit_status,
    "targets.md": target_page,
    "services.md": service_page,
    "uses.md": use_page,
    "refusals.md": refusal_page,
}


def render(name: str) -> str:
    """Return the text of one page."""
    return NOTE + "\n" + "\n".join(part.rstrip("\n") + "\n" for part in PAGES[name]())


def main(argv: list[str] | None = None) -> int:
    """Write the pages, or with ``--check`` compare them; return the exit status."""
    parser = argparse.ArgumentParser(description="Write docs/reference/ from the program.")
    parser.add_argument("--check", action="store_true", help="only say what is out of date")
    wanted = parser.parse_args(argv)
    old = 0
    for name in PAGES:
        path, text = FOLDER / name, render(name)
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        old += 1
        if wanted.check:
            print(f"docs/reference/{name} is out of date: run tools/reference.py")
        else:
            FOLDER.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote docs/reference/{name}")
    return 1 if wanted.check and old else 0


if __name__ == "__main__":
    sys.exit(main())
