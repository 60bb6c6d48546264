"""What the scriptlets of a package do, read from their text; nothing is run.

The commands that matter to SELinux are explained in plain words, and the ones that harm hosts are
reported.

The reading is a heuristic: a command whose name is computed, or that a program of the package
runs, is not seen.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from wsgi_sepkg.package.shell import NOT, Command, Script, alternatives, negated, split_words

SHELLS = frozenset({"sh", "bash", "dash", "ksh", "zsh"})
DEFAULT_PRIORITY = 400  # semodule(8): "default priority is 400"

# Trees so large, or so shared, that relabelling all of them is never one package's business.
WHOLE_TREES = frozenset(
    {"/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/mnt", "/opt", "/root"}
    | {"/run", "/sbin", "/srv", "/usr", "/usr/bin", "/usr/lib", "/usr/lib64", "/usr/sbin"}
    | {"/usr/share", "/var", "/var/cache", "/var/lib", "/var/lib/selinux", "/var/log", "/var/run"}
    | {"/var/spool", "/tmp"}  # noqa: S108
)
# What a failure of the scriptlet does (rpm-scriptlets(7)): these stop the package, others warn.
FATAL = {
    "pretrans": "the whole transaction is refused",
    "pre": "the package is not installed",
    "preun": "the package cannot be removed",
    "preuntrans": "the whole transaction is refused",
}
_BUILTINS = frozenset(
    {":", "true", "echo", "printf", "export", "unset", "local", "cat", "command", "exec", "env"}
    | {"[", "[[", "test", "false", "exit", "return", "set", "cd", "shift", "read", "break", "if"}
    | {"continue", "grep", "egrep", "sed", "awk", "cut", "head", "tail", "sort", "tr", "wc", "eval"}
    | {
        "basename",
        "dirname",
        "type",
        "which",
        "umask",
        "trap",
        "wait",
        "sleep",
        "uniq",
        "diff",
        "cmp",
        "cksum",
    }
    | {"selinuxenabled", "getenforce", "sestatus", "getent", "id", "uname", "rpm", "ls", "xargs"}
)
_ARGUMENT = re.compile(
    r"\$\{?1(?::-?\d*)?\}?[\"']?\s*(-eq|-ne|-gt|-ge|-lt|-le|==?|!=|<|>)\s*[\"']?(\d)"
)
_RELATIONS: dict[str, Callable[[int, int], bool]] = {
    **dict.fromkeys(["-eq", "=", "=="], operator.eq),
    **dict.fromkeys(["-ne", "!="], operator.ne),
    **dict.fromkeys(["-gt", ">"], operator.gt),
    **dict.fromkeys(["-lt", "<"], operator.lt),
    "-ge": operator.ge,
    "-le": operator.le,
}
_BOOLEAN_PAIR = re.compile(r"([A-Za-z_]\w*)=(\w+)\Z")
_ON = frozenset({"1", "on", "true", "--on", "-1"})
_OFF = frozenset({"0", "off", "false", "--off", "-0"})


@dataclass(frozen=True, order=True)
class Finding:
    """Something suspicious: ``severity`` is ``high``, ``medium`` or ``low``; ``code`` is stable."""

    severity: str
    code: str
    where: str
    reason: str


@dataclass(frozen=True)
class Effect:
    """One recognised command: its line (1-based), the command, its meaning, its conditions."""

    line: int
    command: str
    text: str
    when: tuple[str, ...] = ()


@dataclass(frozen=True)
class Action:
    """A change that other scriptlets or the payload are compared with.

    ``kind`` is one of ``module-install``, ``module-remove``, ``boolean-set``, ``boolean-restore``,
    ``port-add``, ``port-delete``, ``fcontext-add``, ``fcontext-delete``, ``contexts-copy`` and
    ``relabel-changed``. ``value`` is the priority, the boolean's value or the port's type.
    """

    kind: str
    name: str
    value: str = ""
    line: int = 0
    conditions: tuple[str, ...] = ()
    persistent: bool = True


@dataclass(frozen=True)
class Reading:
    """What one scriptlet does: effects and findings in line order, actions, other commands."""

    name: str
    effects: tuple[Effect, ...] = ()
    findings: tuple[Finding, ...] = ()
    actions: tuple[Action, ...] = ()
    other_commands: tuple[str, ...] = ()


# --- conditions -----------------------------------------------------------------------------------


def _count(condition: str) -> str:
    """Return what a test of ``$1`` selects: ``0``, ``1``, ``2+``, ``1+``, ``0-1``; "" for none."""
    match = _ARGUMENT.search(condition)
    if match is None or re.search(r" (?:&&|\|\||\||-o|-a) ", condition):
        return ""
    relation, number = match.group(1), int(match.group(2))
    negated = condition.startswith(("not: ", "! "))
    holds = _RELATIONS[relation]
    chosen = tuple(n for n in (0, 1, 2) if holds(n, number) != negated)
    return {(0,): "0", (1,): "1", (2,): "2+", (1, 2): "1+", (0, 1): "0-1"}.get(chosen, "")


def _erase_only(conditions: Iterable[str]) -> bool:
    return any(_count(c) == "0" for c in conditions)


_TEST = re.compile(r"(?:\[\[?|test) (.*?)(?: \]\]?)?\Z", re.DOTALL)
_IS_SET = re.compile(r"(not: )?\[ (-n|-z) \$\{?(\w+)\}? \]\Z")
_STORE = re.compile(r"/active/modules\Z")
_STORED = re.compile(r"/active/modules/([^/]+)/([^/]+)\Z")
_HOST_TYPE = "SELINUXTYPE"


def _causes(script: Script, conditions: Iterable[str], seen: frozenset[str]) -> list[str]:
    """Replace "this variable is set" by the conditions under which the script sets it."""
    out: list[str] = []
    for condition in conditions:
        match = _IS_SET.match(condition)
        if match is None or bool(match[1]) is not (match[2] == "-z") or match[3] in seen:
            out.append(condition)
            continue
        name = match[3]
        every = script.set_when.get(name, [])
        common = [c for c in (every[0] if every else ()) if all(c in e for e in every)]
        found = [c for c in common if not re.search(rf"\$\{{?{name}\b", c)]
        out += _causes(script, found, seen | {name}) if found else [condition]
    return list(dict.fromkeys(out))


def _explain(name: str, script: Script, command: Command) -> tuple[str, ...]:
    """Put the conditions of ``command`` in words, those without a meaning for a reader left out."""
    conditions = _causes(script, command.conditions, frozenset())
    told = (_plain(name, script, c, frozenset(command.words)) for c in conditions)
    return tuple(dict.fromkeys(t for t in told if t))


def _plain(name: str, script: Script, condition: str, used: frozenset[str]) -> str:
    """Put a condition in words: ``$1`` is the number of installed versions afterwards."""
    choices = alternatives(condition.removeprefix(NOT))
    if len(choices) > 1:
        no = condition.startswith(NOT)
        told = [_plain(name, script, negated(c) if no else c, used) for c in choices]
        return _either([t for t in told if t] or [""], "and" if no else "or")
    removing = name.split(" ", maxsplit=1)[0] in {"preun", "postun", "preuntrans", "postuntrans"}
    counted = _count(condition)
    words = {
        ("0", True): "when the package is removed, not on an upgrade",
        ("1+", True): "on an upgrade, not when the package is removed",
        ("1", True): "on an upgrade, not when the package is removed",
        ("1", False): "on the first installation, not on an upgrade",
        ("2+", False): "on an upgrade, not on the first installation",
    }
    if (counted, removing) in words:
        return words[counted, removing]
    bare = " ".join(condition.removeprefix(NOT).split())
    no = condition.startswith(NOT)
    if PurePosixPath(bare).name == "selinuxenabled":
        return "when SELinux is disabled" if no else "when SELinux is enabled"
    if _HOST_TYPE in bare and not no and "selinuxenabled" not in bare:
        return "when that policy type is the host's"
    test = _TEST.match(bare)
    if test is not None:
        text = _test(script, split_words(test[1]), no, used)
    else:
        text = _question(script, split_words(bare), no, used)
    if text is not None:
        return text
    short = _shortened(bare)
    return f"unless {short}" if no else f"if {short}"


def _either(told: list[str], word: str) -> str:
    """Join alternatives, what they begin with told once."""
    words = [t.split() for t in told]
    same = 0
    while all(len(w) > same + 1 and w[same] == words[0][same] for w in words):
        same += 1
    return " ".join([*words[0][:same], f" {word} ".join(" ".join(w[same:]) for w in words)])


def _shortened(text: str) -> str:
    """Leave out what is inside of command substitutions, and the end of a long text."""
    short = " ".join(re.sub(r"\A\$\(.*", "$(...)", w) for w in split_words(text))
    return short if len(short) <= 100 else short[:97] + "..."


def _test(script: Script, words: list[str], no: bool, used: frozenset[str]) -> str | None:
    """Put what ``[`` tests in words, None when there are none for it."""
    if words[:1] == ["!"]:
        no, words = not no, words[1:]
    unless = "unless" if no else "if"
    match words:
        case ["-n" | "-z" as operator, value]:
            empty = (operator == "-z") is not no
            if any(_HOST_TYPE in v for v in script.values(value)):
                return f"when the host's policy type is {'not ' if empty else ''}known"
            variable = value.strip("${}")
            if script.set_when.get(variable) and "" in script.variables[variable]:  # a flag
                return f"if the scriptlet has found {'nothing' if empty else 'something'} to do"
            return f"if {_shortened(value)} is {'' if empty else 'not '}empty"
        case ["-d" | "-e" | "-f" | "-s" | "-r" | "-x" | "-w" | "-L" | "-h", path]:
            return _existence(script.values(path), unless, used)
        case [left, "=" | "==" | "!=" as operator, right]:
            same = (operator != "!=") is not no
            if "$(id -u)" in words and "0" in words:
                return f"when {'' if same else 'not '}run by root"
            sides = [script.values(left), script.values(right)]
            host = [any(_HOST_TYPE in v for v in side) for side in sides]
            if any(host):
                (other,) = sides[host.index(True) - 1][:1]
                wanted = "the package's" if _computed(other) else other
                return f"when the host's policy type is {'' if same else 'not '}{wanted}"
            shown = [
                _shortened(side[0] if len(side) == 1 else w)
                for side, w in zip(sides, (left, right), strict=True)
            ]
            return f"if {shown[0]} is {'' if same else 'not '}{shown[1]}"
    return None


def _existence(paths: list[str], unless: str, used: frozenset[str]) -> str | None:
    if any(_STORE.search(p) for p in paths):
        return f"{'when' if unless == 'if' else unless} the host has a policy store"
    stored = list(dict.fromkeys(m.groups() for p in paths if (m := _STORED.search(p))))
    if stored:
        names = list(dict.fromkeys(name for _, name in stored))
        priorities = {priority for priority, _ in stored}
        if used.issuperset(names):
            return f"{unless} {'it is' if len(names) == 1 else 'they are'} in the policy store"
        where = f" at priority {priorities.pop()}" if len(priorities) == 1 else ""
        if any(_computed(n) for n in names):
            return f"{unless} they are in the policy store{where}"
        many = f"modules {', '.join(names)} are" if len(names) > 1 else f"module {names[0]} is"
        return f"{unless} {many} in the policy store{where}"
    if used.issuperset(paths):
        if len(paths) == 1:
            return f"{unless} it exists"
        return "those that exist" if unless == "if" else "those that do not exist"
    if len(paths) > 3 or any("$" in p for p in paths):
        return None
    return f"{unless} {' or '.join(paths)} exists"


def _question(script: Script, words: list[str], no: bool, used: frozenset[str]) -> str | None:
    """Put a command that a condition asks in words, None when there are none for it."""
    program, rest = (words[0], words[1:]) if words else ("", [])
    operands = [w for w in rest if not w.startswith("-")]
    unless = "unless" if no else "if"
    if program == "read":
        return ""  # each turn of a loop
    if program in script.functions:
        return f"{unless} its function {program} succeeds"
    if program == "command" and rest[:1] in (["-v"], ["-V"]):
        return f"{unless} {' '.join(operands)} is installed"
    if program == "cmp" and len(operands) == 2:
        first, second = (" or ".join(script.values(w)) for w in operands)
        return (
            f"if {'it' if first in used else first} {'differs from' if no else 'equals'} {second}"
        )
    if program == "grep" and rest[:1] in (["-q"], ["-qx"], ["-Eq"], ["-qE"], ["-qF"]):
        # Quotes are gone: what is not the file is the pattern.
        *pattern, file = rest[1:] or [""]
        if pattern and file.startswith("/"):
            return f"{unless} {file} has a line like {' '.join(pattern)}"
    return None


def _computed(word: str) -> bool:
    """Tell whether ``word`` is known only when the scriptlet runs."""
    return word.startswith("$") or "$(" in word or "`" in word


_FOUND_OUT = "that the scriptlet finds out while it runs"


def _modules(value: str) -> str:
    return f"policy modules {_FOUND_OUT}," if _computed(value) else f"policy module {value}"


# --- programs -------------------------------------------------------------------------------------


def _options(
    words: Sequence[str], valued: str = "", long_valued: Iterable[str] = ()
) -> list[tuple[str, str]]:
    """Cut arguments into (option, value) pairs in order; an operand has the option ``""``."""
    out: list[tuple[str, str]] = []
    rest = list(words)
    takes = set(long_valued)
    while rest:
        word = rest.pop(0)
        if word == "--":
            out += [("", w) for w in rest]
            break
        if word.startswith("--"):
            key, equals, value = word.partition("=")
            if not equals and key in takes and rest:
                value = rest.pop(0)
            out.append((key, value))
        elif word.startswith("-") and len(word) > 1:
            letters = word[1:]
            while letters:
                letter, letters = letters[0], letters[1:]
                if letter in valued:
                    value = letters or (rest.pop(0) if rest else "")
                    out.append((f"-{letter}", value))
                    letters = ""
                else:
                    out.append((f"-{letter}", ""))
        else:
            out.append(("", word))
    return out


def _first(options: Iterable[tuple[str, str]], *names: str) -> str | None:
    return next((value for option, value in options if option in names), None)


def _has(options: Iterable[tuple[str, str]], *names: str) -> bool:
    return any(option in names for option, _ in options)


def _operands(options: Iterable[tuple[str, str]]) -> list[str]:
    return [value for option, value in options if option == ""]


def module_name(path: str) -> str:
    """Return the module name that a file name suggests: ``/x/app.pp.bz2`` gives ``app``."""
    name = PurePosixPath(path).name
    for ending in (".bz2", ".gz"):
        name = name.removesuffix(ending)
    for ending in (".pp", ".cil"):
        name = name.removesuffix(ending)
    return name


class _Reader:
    """Collect effects, findings and actions of one scriptlet."""

    def __init__(self, name: str, script: Script) -> None:
        self.name = name
        self.script = script
        self.effects: list[Effect] = []
        self.findings: list[Finding] = []
        self.actions: list[Action] = []
        self.others: set[str] = set()
        self.rebuilds = 0

    def effect(self, command: Command, text: str) -> None:
        when = _explain(self.name, self.script, command)
        if all((e.text, e.when) != (text, when) for e in self.effects):  # told once
            self.effects.append(Effect(command.line, command.text, text, when))

    def find(self, severity: str, code: str, line: int, reason: str) -> None:
        where = f"%{self.name}, line {line}" if line else f"%{self.name}"
        finding = Finding(severity, code, where, reason)
        if finding not in self.findings:
            self.findings.append(finding)

    def act(
        self, command: Command, kind: str, name: str, value: str = "", *, persistent: bool = True
    ) -> None:
        self.actions.append(Action(kind, name, value, command.line, command.conditions, persistent))

    # -- the policy store

    def semodule(self, command: Command) -> None:
        """semodule(8); operands after the options belong to the last of -i, -r, -e, -d."""
        long_valued = ["--install", "--remove", "--priority", "--store", "--enable", "--disable"]
        options = _options(
            command.words[1:], "irXsedpSEbu", [*long_valued, "--path", "--extract", "--store-path"]
        )
        priority, given, mode = str(DEFAULT_PRIORITY), False, ""
        store = _first(options, "-s", "--store")
        later = _has(options, "-n", "--noreload")
        known = False
        tail = (f" of policy type {store}" if store else "") + (
            ", not loaded into the kernel yet" if later else ", loaded into the kernel at once"
        )
        installs = 0
        for option, value in options:
            if option in {"-X", "--priority"}:
                priority, given = value, True
                continue
            if option in {"-i", "--install", "-u"}:
                mode = "i"
            elif option in {"-r", "--remove"}:
                mode = "r"
            elif option in {"-e", "--enable"}:
                mode = "e"
            elif option in {"-d", "--disable"}:
                mode = "d"
            elif option:
                known = self._semodule_switch(command, option) or known
                continue
            if not mode or not value:
                continue
            known = True
            if mode == "i":
                installs += 1
                file = "" if _computed(value) else f" ({value})"
                what = _modules(value if _computed(value) else module_name(value))
                self.effect(
                    command,
                    f"puts {what}{file} into the policy store at priority {priority}{tail}",
                )
                self.act(command, "module-install", value, priority)
                self._installed(command, value, priority, given)
            elif mode == "r":
                self.effect(
                    command,
                    f"removes {_modules(value)} at priority {priority} from the policy store{tail}",
                )
                self.act(command, "module-remove", value, priority)
                self._removed(command, value)
            elif mode == "e":
                self.effect(command, f"enables {_modules(value)}{tail}")
            else:
                self.effect(command, f"disables {_modules(value)}{tail}")
                self.find(
                    "medium",
                    "module-disabled",
                    command.line,
                    f"policy module {value} of the host is disabled",
                )
        self.rebuilds += bool(installs)
        if not known and not _has(options, "-l", "-E", "--list-modules", "--list", "--extract"):
            self.effect(command, "works on the policy store")

    def _semodule_switch(self, command: Command, option: str) -> bool:
        if option in {"-B", "--build", "-R", "--reload", "--refresh"}:
            self.effect(command, "rebuilds or reloads the host's policy")
        elif option in {"-D", "--disable_dontaudit"}:
            self.effect(command, "removes all dontaudit rules from the host's policy")
            self.find(
                "high",
                "dontaudit-disabled",
                command.line,
                "semodule -D removes the dontaudit rules of the whole host until the next -B",
            )
        elif option in {"-P", "--preserve_tunables"}:
            return False
        else:
            return False
        return True

    def _installed(self, command: Command, value: str, priority: str, given: bool) -> None:
        if not given:
            self.find(
                "medium",
                "priority-400",
                command.line,
                f"semodule without -X puts {value} at priority 400, the administrator's own; a"
                " package belongs at 200 (-X 200)",
            )
        elif priority.isdigit() and int(priority) <= 100:
            self.find(
                "medium",
                "priority-base",
                command.line,
                f"{value} is put at priority {priority}, the one of the distribution's policy",
            )
        if command.silenced:
            self.find(
                "medium",
                "install-errors-hidden",
                command.line,
                "the error messages of the module's installation are thrown away",
            )
        if any(_enabled_gate(c) for c in command.conditions):
            self.find(
                "medium",
                "install-needs-selinux-on",
                command.line,
                "the module is installed only when SELinux is enabled at that moment; an image"
                " build or a host that enables it later stays without the module",
            )

    def _removed(self, command: Command, value: str) -> None:
        # %posttrans and %post may well drop an old module; on removal it must not.
        if self.name in {"preun", "postun"} and not any(
            _count(c) == "0" for c in command.conditions
        ):
            self.find(
                "high",
                "removed-on-upgrade",
                command.line,
                f"module {value} is removed on upgrades too: there is no test that $1 is 0",
            )
        if self.name == "preun":
            self.find(
                "medium",
                "removed-too-early",
                command.line,
                f"module {value} is removed in %preun, while its files and services still exist",
            )

    def load_policy(self, command: Command) -> None:
        self.effect(command, "loads the policy of the policy store into the kernel")

    # -- labels

    def fixfiles(self, command: Command) -> None:
        """fixfiles(8)."""
        options = _options(command.words[1:], "CRNlMB")
        changed = _first(options, "-C")
        packages = _first(options, "-R")
        operands = _operands(options)
        if _has(options, "-F"):
            self._forced(command)
        if changed is not None:
            self.effect(
                command,
                "relabels the files whose file context differs from the copy in"
                f" {changed} (not below /home, /root and /tmp)",
            )
            self.act(command, "relabel-changed", changed)
        elif packages is not None:
            self.effect(command, f"relabels all files of the package {packages}")
        elif operands[:1] and operands[0] in {"onboot", "relabel", "restore", "verify", "check"}:
            paths = operands[1:]
            if operands[0] in {"verify", "check"}:
                self.effect(command, "compares labels, changes nothing")
            elif paths:
                self._relabelled(command, paths, recursive=True)
            else:
                moment = " at the next boot" if operands[0] == "onboot" else ""
                self.effect(command, f"relabels the whole host{moment}")
                self.find(
                    "high",
                    "relabel-whole-tree",
                    command.line,
                    f"fixfiles {operands[0]} relabels every file of the host{moment}",
                )
        else:
            self.effect(command, "relabels files")

    def restorecon(self, command: Command) -> None:
        """restorecon(8)."""
        options = _options(command.words[1:], "efT")
        if _has(options, "-n") and not _has(options, "-R", "-r"):
            self.effect(command, "compares labels, changes nothing")
            return
        if _has(options, "-F"):
            self._forced(command)
        if _has(options, "-T"):
            self.find(
                "low",
                "restorecon-threads",
                command.line,
                "restorecon -T exists in policycoreutils 3.4 and later only",
            )
        self._relabelled(command, _operands(options), recursive=_has(options, "-R", "-r"))

    def _relabelled(self, command: Command, paths: list[str], *, recursive: bool) -> None:
        below = " and everything below" if recursive else ""
        known = [p for p in paths if not _computed(p)]
        if len(known) < len(paths):
            known.append(f"paths {_FOUND_OUT}")
        self.effect(
            command,
            f"gives {', '.join(known) or 'the files named on its input'}{below} the label of the"
            " host's policy",
        )
        for path in paths if recursive else []:
            if _tree(path) in WHOLE_TREES:
                self.find(
                    "high",
                    "relabel-whole-tree",
                    command.line,
                    f"relabels all of {_tree(path)}: takes long, and undoes labels that are not"
                    " this package's",
                )
            elif path.startswith(("$", '"$')) and _tree(path).count("/") <= 0:
                self.find(
                    "low",
                    "relabel-unknown-tree",
                    command.line,
                    f"relabels the tree {path}, which is known only when the scriptlet runs",
                )

    def _forced(self, command: Command) -> None:
        self.find(
            "medium",
            "relabel-forced",
            command.line,
            f"{command.name} -F resets the user, the level (MCS categories of containers) and the"
            " customizable types too",
        )

    def setfiles(self, command: Command) -> None:
        options = _options(command.words[1:], "erscT")
        if _has(options, "-F"):
            self._forced(command)
        self._relabelled(command, _operands(options)[1:], recursive=True)

    def chcon(self, command: Command) -> None:
        self.effect(command, "changes labels by hand, outside of the policy")
        self.find(
            "medium",
            "chcon",
            command.line,
            "chcon sets a label that the next relabel undoes; a file context is needed",
        )

    def runcon(self, command: Command) -> None:
        self.effect(command, "runs a command in another security context")
        self.find(
            "medium", "runcon", command.line, "runcon runs a command in a context of its choice"
        )

    # -- booleans, ports and other local settings

    def setsebool(self, command: Command) -> None:
        """setsebool(8): ``setsebool [-PNV] boolean value | bool1=val1 ...``."""
        options = _options(command.words[1:])
        persistent = _has(options, "-P")
        operands = _operands(options)
        pairs = [(m.group(1), m.group(2)) for m in map(_BOOLEAN_PAIR.match, operands) if m]
        if not pairs and len(operands) == 2:
            pairs = [(operands[0], operands[1])]
        for boolean, value in pairs:
            self._boolean(command, boolean, value, persistent=persistent)
        if not pairs:
            self.effect(command, "sets booleans whose names are known only when it runs")

    def _boolean(self, command: Command, boolean: str, value: str, *, persistent: bool) -> None:
        number = "1" if value.lower() in _ON else "0" if value.lower() in _OFF else value
        word = {"1": "on", "0": "off"}.get(number, number)
        how = "for good" if persistent else "until the next boot"
        if _computed(boolean):
            self.effect(command, f"sets booleans {_FOUND_OUT}, {how}")
            return
        self.effect(command, f"turns the boolean {boolean} {word}, {how}")
        self.act(command, "boolean-set", boolean, number, persistent=persistent)

    def semanage(self, command: Command) -> None:
        """semanage(8), also a line given to ``semanage import``."""
        verb = next((w for w in command.words[1:] if not w.startswith("-")), "")
        index = command.words.index(verb) if verb else 0
        options = _options(
            command.words[index + 1 :],
            "tprsefSP" if verb != "dontaudit" else "S",
            ["--type", "--proto", "--range", "--seuser", "--ftype", "--store", "--equal"],
        )
        adding = _has(options, "-a", "--add")
        modifying = _has(options, "-m", "--modify")
        deleting = _has(options, "-d", "--delete")
        operands = _operands(options)
        what = operands[-1] if operands else ""
        if verb == "import":
            self._import(command, options)
        elif verb == "boolean":
            self._semanage_boolean(command, options, modifying, deleting, what)
        elif verb == "port" and (adding or modifying or deleting):
            self._semanage_port(command, options, adding, modifying, what)
        elif verb == "fcontext" and (adding or modifying or deleting):
            self._semanage_fcontext(command, options, deleting, what)
        elif verb == "permissive" and (adding or deleting):
            self.effect(command, f"{'makes' if adding else 'ends'} the domain {what} permissive")
            if adding:
                self.find(
                    "high", "permissive", command.line, f"the domain {what} is made permissive"
                )
        elif verb == "dontaudit":
            self.effect(command, f"turns the dontaudit rules of the host {what}")
            if what == "off":
                self.find("high", "dontaudit-disabled", command.line, "dontaudit rules turned off")
        elif adding or modifying or deleting:
            word = "adds" if adding else "changes" if modifying else "deletes"
            self.effect(command, f"{word} a local setting of the host: {verb} {what}")
        elif _has(options, "-D", "--deleteall"):
            self.effect(command, f"deletes all local {verb} settings of the host")
            self.find(
                "high",
                "local-settings-deleted",
                command.line,
                f"deletes every local {verb} setting, the administrator's too",
            )

    def _import(self, command: Command, options: list[tuple[str, str]]) -> None:
        lines = [line.split() for line in command.stdin.splitlines() if line.strip()]
        literal = [line for line in lines if "$" not in " ".join(line)]
        if not literal:
            self.effect(command, "applies a list of local settings made by the scriptlet")
        for line in literal:
            self.semanage(replace(command, words=("semanage", *line), stdin=""))

    def _semanage_boolean(
        self,
        command: Command,
        options: list[tuple[str, str]],
        modifying: bool,
        deleting: bool,
        what: str,
    ) -> None:
        if modifying:
            on = _has(options, "-1", "--on")
            off = _has(options, "-0", "--off")
            self._boolean(command, what, "1" if on else "0" if off else "", persistent=True)
        elif deleting:
            self.effect(command, f"gives the boolean {what} its default value again")
            self.act(command, "boolean-restore", what)

    def _semanage_port(
        self,
        command: Command,
        options: list[tuple[str, str]],
        adding: bool,
        modifying: bool,
        what: str,
    ) -> None:
        protocol = _first(options, "-p", "--proto") or "tcp"
        label = _first(options, "-t", "--type") or ""
        port = f"{protocol}/{what}"
        if adding or modifying:
            self.effect(command, f"gives the port {port} the type {label}")
            self.act(command, "port-add", port, label)
        else:
            self.effect(command, f"takes the local type of the port {port} away")
            self.act(command, "port-delete", port, label)
            if self.name in {"postun", "preun"} and not _erase_only(command.conditions):
                self.find(
                    "medium",
                    "port-deleted-on-upgrade",
                    command.line,
                    f"the type of port {port} is taken away on upgrades too",
                )
        # An existing definition makes "semanage port -a" fail before policycoreutils 3.7.
        guards = [c for c in command.conditions if not _enabled_gate(c)]
        if adding and not guards and not command.rescued:
            self.find(
                "medium",
                "port-unguarded",
                command.line,
                f"semanage port -a for {port} without a test: it fails when the port has a type"
                " already, and again on each upgrade",
            )

    def _semanage_fcontext(
        self, command: Command, options: list[tuple[str, str]], deleting: bool, what: str
    ) -> None:
        label = _first(options, "-t", "--type") or ""
        if _has(options, "-e", "--equal"):
            self.effect(command, f"adds an equivalence of paths to the host: {what}")
            self.find(
                "medium",
                "host-equivalence",
                command.line,
                "semanage fcontext -e is the host's configuration, not a package's",
            )
        elif deleting:
            self.effect(command, f"deletes the local file context {what}")
            self.act(command, "fcontext-delete", what)
        else:
            self.effect(command, f"adds the local file context {what} with the type {label}")
            self.act(command, "fcontext-add", what, label)

    # -- the rest

    def setenforce(self, command: Command) -> None:
        value = " ".join(command.words[1:])
        off = value.lower() in {"0", "permissive"}
        self.effect(command, f"makes SELinux {'permissive' if off else 'enforcing'}")
        self.find("high", "setenforce", command.line, f"setenforce {value}: the host's own switch")

    def systemctl(self, command: Command) -> None:
        operands = [w for w in command.words[1:] if not w.startswith("-")]
        verb, units = (operands[0], operands[1:]) if operands else ("", [])
        words = {
            "daemon-reload": "makes systemd read its unit files again",
            "daemon-reexec": "restarts systemd itself",
            "preset": "enables or disables by the host's preset: ",
            "try-restart": "restarts, when it is running: ",
            "condrestart": "restarts, when it is running: ",
            "try-reload-or-restart": "reloads or restarts, when it is running: ",
            "enable": "makes start at boot: ",
            "disable": "makes no longer start at boot: ",
            "mask": "makes unstartable: ",
        }
        text = words.get(verb, f"systemctl {verb}: ")
        self.effect(command, (text + " ".join(units)).strip().removesuffix(":"))

    def update_helper(self, command: Command) -> None:
        self.effect(
            command,
            f"tells systemd about units ({' '.join(command.words[1:2])}): "
            f"{' '.join(command.words[2:])}",
        )

    def tmpfiles(self, command: Command) -> None:
        files = " ".join(w for w in command.words[1:] if not w.startswith("-"))
        self.effect(command, f"creates the files and folders that tmpfiles.d names: {files}")

    def accounts(self, command: Command) -> None:
        verb = {
            "useradd": "creates the user",
            "adduser": "creates the user",
            "groupadd": "creates the group",
            "usermod": "changes the user",
            "groupmod": "changes the group",
            "userdel": "deletes the user",
            "groupdel": "deletes the group",
        }[command.name]
        self.effect(command, f"{verb} {command.words[-1]}")

    def sysusers(self, command: Command) -> None:
        self.effect(command, "creates the users and groups that sysusers.d names")

    def ownership(self, command: Command) -> None:
        operands = [w for w in command.words[1:] if not w.startswith("-")]
        text = {"chown": "owner", "chgrp": "group", "chmod": "mode", "setcap": "capabilities"}
        self.effect(
            command,
            f"changes the {text[command.name]} to {' '.join(operands[:1])} of"
            f" {' '.join(operands[1:])}",
        )
        setid = re.compile(r"[0-7]?[2-7][0-7]{3}\Z|.*\+.*s")
        if command.name == "setcap" or (
            command.name == "chmod"
            and operands
            and setid.match(operands[0])
            and not operands[0].startswith("0")
        ):
            self.find(
                "medium",
                "privilege-given",
                command.line,
                f"gives a program more rights: {command.text}",
            )

    def ldconfig(self, command: Command) -> None:
        self.effect(command, "updates the cache of shared libraries")

    def copying(self, command: Command) -> None:
        operands = [w for w in command.words[1:] if not w.startswith("-")]
        if any("file_contexts" in w for w in operands[:-1]):
            self.effect(command, f"keeps a copy of the host's file contexts in {operands[-1]}")
            self.act(command, "contexts-copy", operands[-1])
        else:
            self.others.add(command.name)

    def sourcing(self, command: Command) -> None:
        file = command.words[1] if len(command.words) > 1 else ""
        if file == "/etc/selinux/config" and not any(file in c for c in command.conditions):
            self.find(  # a missing file ends a POSIX shell at once
                "medium",
                "config-unguarded",
                command.line,
                "reads /etc/selinux/config without a test: the scriptlet dies where it is missing"
                " (containers)",
            )

    def boot(self, command: Command) -> None:
        if re.search(r"\b(selinux|enforcing)=0", command.text):
            self.effect(command, "turns SELinux off for the next boot")
            self.find("high", "selinux-off", command.line, "turns SELinux off at boot")
        else:
            self.others.add(command.name)

    def files(self, command: Command) -> None:
        if any(w == "/.autorelabel" for w in command.words):
            self.effect(command, "relabels the whole host at the next boot")
            self.find(
                "high",
                "relabel-whole-tree",
                command.line,
                "/.autorelabel makes the next boot relabel every file",
            )
        else:
            self.others.add(command.name)

    def any_command(self, command: Command) -> None:
        """Look at what every command can do: write to SELinux's configuration."""
        edited = [w for w in command.words if w in _CONFIG_FILES]
        changing = command.name == "sed" and any(
            w.startswith(("-i", "--in-place")) or "i" in w
            for w in command.words
            if w.startswith("-")
        )
        if any(f in _CONFIG_FILES for f in command.written) or (edited and changing):
            self.effect(command, "changes SELinux's configuration file")
            self.find(
                "high",
                "selinux-config-edited",
                command.line,
                "edits /etc/selinux/config, which decides whether SELinux is on",
            )
        if "/.autorelabel" in command.written:
            self.files(replace(command, words=("touch", "/.autorelabel")))

    def warnings(self) -> None:
        """Tell what the scriptlet looks for on the host and prints a message about."""
        found: list[str] = []
        first: Command | None = None
        shared: list[str] = []
        for command in self.script.commands:
            if command.name not in {"echo", "printf"} or command.piped:
                continue
            if not {"/dev/stderr", "/dev/stdout", "/dev/tty"}.issuperset(command.written):
                continue
            for place in reversed(range(len(command.conditions))):
                before = replace(command, words=(), conditions=command.conditions[:place])
                fault = self._fault(command.conditions[place])
                if fault == _LOCAL:
                    self.effect(before, fault)
                elif fault:
                    found.append(fault)
                    when = _causes(self.script, before.conditions, frozenset())
                    shared = [c for c in shared if c in when] if first else when
                    first = first or command
                if fault:
                    break
        if first is not None:
            *some, last = dict.fromkeys(found)
            what = f"{', '.join(some)} or {last}" if some else last
            failing = self.name == "verify" and any(
                c.name == "exit" and c.words[1:2] not in ((), ("0",)) for c in self.script.commands
            )
            self.effect(
                replace(first, conditions=tuple(shared)),
                f"says so when a module {what}" + (", and rpm -V fails then" if failing else ""),
            )

    def _fault(self, condition: str) -> str:
        """Return what a message under ``condition`` says about the store; "" for nothing."""
        no = condition.startswith(NOT)
        match = _TEST.match(condition.removeprefix(NOT))
        words = split_words(match[1]) if match else []
        if words[:1] == ["!"]:
            no, words = not no, words[1:]
        values = [v for w in words for v in self.script.values(w)]
        if any(v.endswith("/file_contexts.local") for v in values) and not no:
            return _LOCAL
        if any(v.endswith("/active/ports.local") for v in values) and not no:
            return _LOCAL_PORTS
        inside = [v.partition("/active/modules/")[2] for v in values if "/active/modules/" in v]
        if not inside:
            return ""
        if len(words) > 2:
            return "is not the one of the package" if ("!=" in words) is not no else ""
        priorities = {v.partition("/")[0] for v in inside}
        if no:
            return "is not in the policy store"
        if priorities == {"disabled"}:
            return "is disabled"
        if not all(p.isdigit() for p in priorities):
            return "is in the policy store at another priority too"
        return "is still in the policy store" if self.name in {"preun", "postun"} else ""


_LOCAL = "looks through the local file contexts of the host and says what it finds"
_LOCAL_PORTS = "looks through the local ports of the host and says what it finds"
_CONFIG_FILES = frozenset({"/etc/selinux/config", "/etc/sysconfig/selinux"})

_PROGRAMS: dict[str, Callable[[_Reader, Command], None]] = {
    "semodule": _Reader.semodule,
    "load_policy": _Reader.load_policy,
    "fixfiles": _Reader.fixfiles,
    "restorecon": _Reader.restorecon,
    "setfiles": _Reader.setfiles,
    "chcon": _Reader.chcon,
    "runcon": _Reader.runcon,
    "setsebool": _Reader.setsebool,
    "semanage": _Reader.semanage,
    "setenforce": _Reader.setenforce,
    "systemctl": _Reader.systemctl,
    "systemd-update-helper": _Reader.update_helper,
    "systemd-tmpfiles": _Reader.tmpfiles,
    "systemd-sysusers": _Reader.sysusers,
    "ldconfig": _Reader.ldconfig,
    "cp": _Reader.copying,
    ".": _Reader.sourcing,
    "source": _Reader.sourcing,
    "grubby": _Reader.boot,
    "touch": _Reader.files,
    **dict.fromkeys(
        ["useradd", "adduser", "groupadd", "usermod", "groupmod", "userdel", "groupdel"],
        _Reader.accounts,
    ),
    **dict.fromkeys(["chown", "chgrp", "chmod", "setcap"], _Reader.ownership),
}


def _tree(path: str) -> str:
    """Return ``path`` without what only repeats the folder: ``/var/lib/*`` is ``/var/lib``."""
    bare = re.sub(r"/+", "/", path)
    while bare.endswith(("/*", "/.")):
        bare = bare[:-2] or "/"
    return bare.rstrip("/") or "/"


def _enabled_gate(condition: str) -> bool:
    return not condition.startswith("not: ") and bool(
        re.search(r"\b(selinuxenabled|getenforce|sestatus)\b", condition)
    )


# --- scriptlets -----------------------------------------------------------------------------------


def is_shell(interpreter: str) -> bool:
    """Tell whether ``interpreter`` (a command line) runs shell text; none means /bin/sh."""
    words = interpreter.split()
    return not words or PurePosixPath(words[0]).name in SHELLS


def read_scriptlet(name: str, interpreter: str, body: str) -> Reading:
    """Return what the scriptlet ``name`` (``post``, ``triggerin -- x``...) does.

    Any text can be read; nothing is raised. The body of a language other than shell is searched
    for the names of the tools only.
    """
    if not body.strip():
        text = f"runs {interpreter}" if interpreter and not is_shell(interpreter) else ""
        return Reading(name, (Effect(0, interpreter, text),) if text else ())
    if not is_shell(interpreter):
        return _foreign(name, interpreter, body)
    script = Script(body)
    reader = _Reader(name, script)
    for command in script.commands:
        if not command.words and not command.written:
            continue
        reader.any_command(command)
        handler = _PROGRAMS.get(command.name)
        if handler is not None:
            handler(reader, command)
        elif command.name and command.name not in _BUILTINS:
            reader.others.add(command.name)
    reader.warnings()
    _boolean_macros(reader, body)
    _whole_script(reader, interpreter, body)
    return Reading(
        name,
        tuple(sorted(reader.effects, key=lambda e: e.line)),
        tuple(reader.findings),
        tuple(reader.actions),
        tuple(sorted(reader.others)),
    )


def _foreign(name: str, interpreter: str, body: str) -> Reading:
    found = sorted(n for n in _PROGRAMS if len(n) > 3 and re.search(rf"\b{re.escape(n)}\b", body))
    finding = Finding(
        "medium" if found else "low",
        "not-shell",
        f"%{name}",
        f"written for {interpreter}, not read"
        + (f"; it names {', '.join(found)}" if found else ""),
    )
    return Reading(name, (), (finding,), (), ())


def _boolean_macros(reader: _Reader, body: str) -> None:
    """Recognise %selinux_set_booleans and %selinux_unset_booleans in their expanded form.

    Both loop over their arguments and end in ``semanage import``; only the first asks for the
    local settings (``semanage boolean -E``). Source: the macros that selinux-policy brings for rpm.
    """
    words = [c.words[1:] for c in reader.script.commands if c.name == "semanage"]
    imports = any("import" in w for w in words)
    macro = "rpmbooleans.custom" in body
    if not (imports and macro):
        return
    sets = any("boolean" in w and "-E" in w for w in words)
    for loop in reader.script.loops:
        command = Command(("for", loop.variable), loop.line, loop.conditions)
        for value in loop.values:
            match = re.match(r"([A-Za-z_]\w*)(?:=(\w+))?\Z", value)
            if match is None:
                continue
            boolean, wanted = match.group(1), match.group(2) or ""
            shown = replace(command, words=("%selinux_set_booleans", value))
            if not sets:
                shown = replace(shown, words=("%selinux_unset_booleans", value))
                reader.effect(shown, f"gives the boolean {boolean} the value from before again")
                reader.act(shown, "boolean-restore", boolean)
                if _erase_only(loop.conditions):
                    reader.find(  # M3 of the knowledge file
                        "medium",
                        "unset-booleans-guarded",
                        loop.line,
                        "unset_booleans runs only when $1 is 0: the record counts one use for each"
                        " upgrade, so after an upgrade a removal restores nothing",
                    )
            else:
                reader._boolean(shown, boolean, wanted, persistent=True)
                if wanted not in {"0", "1"}:
                    reader.find(
                        "high",
                        "boolean-value",
                        loop.line,
                        f"{value}: the macro knows 0 and 1 only, so this is never set",
                    )


def _whole_script(reader: _Reader, interpreter: str, body: str) -> None:
    name = reader.name
    if reader.rebuilds > 1:
        reader.find(
            "low",
            "several-rebuilds",
            0,
            f"{reader.rebuilds} calls of semodule -i: each rebuilds the whole policy",
        )
    commands = reader.script.commands
    strict = any(
        c.name == "set" and any(w.startswith("-") and "e" in w for w in c.words[1:])
        for c in commands
    ) or any(w.startswith("-") and "e" in w for w in interpreter.split()[1:])
    exits = [
        c
        for c in commands
        if c.name == "exit" and c.words[1:2] and c.words[1].isdigit() and c.words[1] != "0"
    ]
    severity = "medium" if name in FATAL else "low"
    result = FATAL.get(name, "rpm reports a failed scriptlet")
    if name == "verify":
        pass  # its status is its answer to rpm -V
    elif strict:
        reader.find(severity, "may-fail", 0, f"set -e: any failing command, and {result}")
    elif exits:
        reader.find(
            severity, "may-fail", exits[0].line, f"ends with status {exits[0].words[1]}: {result}"
        )
    elif reader.script.may_fail and commands:
        last = commands[-1]
        if any(a.kind == "contexts-copy" and a.line == last.line for a in reader.actions):
            severity = "low"  # %selinux_relabel_pre ends like this in every package
        reader.find(
            severity,
            "may-fail",
            last.line,
            f"its last command ({last.name}) may fail: then {result}; end with 'exit 0'",
        )
    if name.startswith("trigger") and "selinux-policy" in name and reader.actions:
        reader.find(
            "medium",
            "trigger-on-policy",
            0,
            "a trigger on selinux-policy changes the host again at each policy update",
        )


def across(readings: Sequence[Reading]) -> tuple[Finding, ...]:
    """Return the findings that only show when all scriptlets of a package are seen together."""
    actions = [(reading.name, action) for reading in readings for action in reading.actions]
    return (
        *_priorities(actions),
        *_booleans_back(actions),
        *_relabel_pairs(actions),
        *_locals_back(actions),
    )


def _of(actions: Iterable[tuple[str, Action]], kind: str) -> list[tuple[str, Action]]:
    return [(name, action) for name, action in actions if action.kind == kind]


def _priorities(actions: list[tuple[str, Action]]) -> list[Finding]:
    """A module is removed at the priority where it was installed, or not at all."""
    out = []
    removed: dict[str, set[str]] = {}
    for name, action in _of(actions, "module-remove"):
        if name in {"postun", "preun"}:
            removed.setdefault(action.name, set()).add(action.value)
    for name, action in _of(actions, "module-install"):
        module = module_name(action.name)
        where = f"%{name}, line {action.line}"
        if "$" in module or any("$" in m for m in removed):
            continue
        if module not in removed:
            out.append(
                Finding(
                    "medium", "never-removed", where, f"nothing removes module {module} on erase"
                )
            )
        elif action.value not in removed[module]:
            other = ", ".join(sorted(removed[module]))
            out.append(
                Finding(
                    "high",
                    "priority-mismatch",
                    where,
                    f"module {module} is installed at priority {action.value} but removed at"
                    f" {other}: it stays on the host for ever",
                )
            )
    return out


def _booleans_back(actions: list[tuple[str, Action]]) -> list[Finding]:
    """A boolean of the host that is set for good needs a way back on erase."""
    back = {a.name for _, a in _of(actions, "boolean-restore")}
    back |= {a.name for n, a in _of(actions, "boolean-set") if n in {"preun", "postun"}}
    return [
        Finding(
            "medium",
            "boolean-no-way-back",
            f"%{name}, line {action.line}",
            f"the boolean {action.name} is set for good and nothing restores it on erase",
        )
        for name, action in _of(actions, "boolean-set")
        if action.persistent and action.name not in back
    ]


def _relabel_pairs(actions: list[tuple[str, Action]]) -> list[Finding]:
    """``fixfiles -C`` in %post needs the copy that %pre makes."""
    copies = {a.name for n, a in _of(actions, "contexts-copy") if n in {"pre", "pretrans"}}
    uses = _of(actions, "relabel-changed")
    out = [
        Finding(
            "medium",
            "relabel-without-pre",
            f"%{name}, line {action.line}",
            f"relabels by comparison with {action.name}, but no %pre makes that copy: nothing is"
            " relabelled",
        )
        for name, action in uses
        if name in {"post", "posttrans"} and action.name not in copies
    ]
    used = {a.name for n, a in uses if n in {"post", "posttrans"}}
    out += [
        Finding(
            "low",
            "relabel-copy-unused",
            f"%{name}, line {action.line}",
            f"keeps the copy {action.name} and no %post or %posttrans uses it",
        )
        for name, action in _of(actions, "contexts-copy")
        if action.name not in used
    ]
    return out


def _locals_back(actions: list[tuple[str, Action]]) -> list[Finding]:
    """What semanage adds must be deleted on erase."""
    out = []
    for kind, what in (("port", "the local type of port"), ("fcontext", "the local file context")):
        deleted = {a.name for _, a in _of(actions, f"{kind}-delete")}
        seen: set[str] = set()
        for name, action in _of(actions, f"{kind}-add"):
            if action.name in deleted or action.name in seen:
                continue
            seen.add(action.name)
            out.append(
                Finding(
                    "low",
                    f"{kind}-no-way-back",
                    f"%{name}, line {action.line}",
                    f"{what} {action.name} stays on the host after the package is gone",
                )
            )
    return out
