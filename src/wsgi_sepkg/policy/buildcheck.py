#!/usr/bin/python3
"""Check compiled SELinux modules against the installed policy, at build time.

This file has two lives: ``wsgi_sepkg.policy.buildcheck``, and ``policy-check.py`` beside a spec,
where ``%check`` runs it in mock, Koji or rpmbuild without wsgi-sepkg. So: one file, the standard
library only, Python 3.6 and later, and no import from wsgi_sepkg.

What it can do depends on the build root and on the user, and it says which of the two it did:

* link: the policy store can be read (root, or a copy) and ``semodule`` is installed. The modules
  are linked into a scratch copy of the store; the real store is never written.
* names: only the binary policy can be read (mock and Koji build as an ordinary user, and the store
  is closed to him). Every name that the modules require is looked up in it.

In both it compares file contexts and ports itself, because the linker does not: libsepol 3.4 drops
a second identical regex and every release drops a second portcon, both with status 0.

Exit status: 0 nothing failed, 1 a check failed, 2 wrong usage.
"""

import argparse
import bz2
import contextlib
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from typing import (
    Any,
    Dict,
    FrozenSet,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
    Union,
)

HLL_PP = "/usr/libexec/selinux/hll/pp"
DEVEL_INCLUDE = "usr/share/selinux/devel/include"
PRIORITY = 200


class BuildCheckError(Exception):
    """Base of the errors of this file."""


class CilError(BuildCheckError, ValueError):
    """The text is no CIL: parentheses or quotes do not match."""


class ExpectationError(BuildCheckError, ValueError):
    """The file of expectations, an option or a module file cannot be used."""


class ToolMissingError(BuildCheckError):
    """A program of the SELinux userspace is not installed; ``tool`` is its name."""

    def __init__(self, tool: str, package: str) -> None:
        super().__init__("{} is not installed (package {})".format(tool, package))
        self.tool = tool


class ToolFailedError(BuildCheckError):
    """A program of the SELinux userspace ended with an error; ``output`` is what it printed."""

    def __init__(self, command: Sequence[str], status: int, output: str) -> None:
        last = [line for line in output.splitlines() if line.strip()][-3:]
        super().__init__("{} failed with status {}: {}".format(command[0], status, "; ".join(last)))
        self.output = output


class StoreMissingError(BuildCheckError):
    """No SELinux policy is installed under the given root."""


# ------------------------------------------------------------------------------- CIL, read


class Rule(NamedTuple):
    """One access vector rule.

    ``kind`` is allow, dontaudit, auditallow, neverallow, or one of these with x (then ``perms``
    are numbers and ranges like ``0x8910-0x8915``). ``condition`` is written as sesearch writes it,
    ``[ a && !b ]:True``, and '' when unconditional. ``optional`` names the innermost optional
    block, '' outside of one.
    """

    kind: str
    source: str
    target: str
    cls: str
    perms: FrozenSet[str]
    condition: str
    optional: str


class Transition(NamedTuple):
    """``typetransition``; ``name`` is the file's name, '' when it holds for every name."""

    source: str
    target: str
    cls: str
    default: str
    name: str


class FileCon(NamedTuple):
    """``ftype``: any, file, dir, link, pipe, socket, block or char. ``type``: maybe <<none>>."""

    pattern: str
    ftype: str
    type: str


class PortCon(NamedTuple):
    """``protocol``: tcp, udp, dccp or sctp; ``low`` and ``high`` both belong to the range."""

    protocol: str
    low: int
    high: int
    type: str


class Cil(NamedTuple):
    """What a CIL module says.

    ``requirements`` maps (kind, name) to the optional blocks that need the name, '' for none.
    Kinds: type (or attribute), role, bool, tunable, user, class, and permission (``file:read``).
    Names that the module itself declares are left out.
    """

    types: Set[str]
    attributes: Set[str]
    aliases: Dict[str, str]
    booleans: Dict[str, bool]
    rules: List[Rule]
    transitions: List[Transition]
    filecons: List[FileCon]
    portcons: List[PortCon]
    permissive: Set[str]
    roles: Set[str]
    role_attributes: Set[str]
    role_types: List[Tuple[str, str]]
    attribute_members: Dict[str, Set[str]]
    attribute_expressions: Dict[str, List[str]]
    requirements: Dict[Tuple[str, str], Set[str]]

    @property
    def required(self) -> Dict[str, Set[str]]:
        """Names by kind without which the module cannot be linked."""
        return self._by_kind(True)

    @property
    def required_optional(self) -> Dict[str, Set[str]]:
        """Names by kind that only optional blocks need: without them the block is left out."""
        return self._by_kind(False)

    def _by_kind(self, unconditional: bool) -> Dict[str, Set[str]]:
        found: Dict[str, Set[str]] = {}
        for (kind, name), blocks in self.requirements.items():
            if ("" in blocks) is unconditional:
                found.setdefault(kind, set()).add(name)
        return found


# A parsed expression is a string or a list of expressions; mypy of 2023 knows recursive types, but
# this file must also read well without them.
_Node = Any

_TOKEN = re.compile(r'"[^"\n]*"|[()]|[^\s()";]+|;[^\n]*|"')
_OPERATORS = frozenset(["and", "or", "xor", "not", "eq", "neq", "all", "range"])
_AV_KINDS = frozenset(["allow", "dontaudit", "auditallow", "neverallow"])
_AVX_KINDS = frozenset([kind + "x" for kind in _AV_KINDS])
_INFIX = {"and": "&&", "or": "||", "xor": "^", "eq": "==", "neq": "!="}


def parse_cil(text: str) -> List[_Node]:
    """Return the statements of ``text`` as nested lists of strings (quotes taken off).

    Raises CilError, with the line.
    """
    top: List[_Node] = []
    stack: List[List[_Node]] = []
    current = top
    for word in _TOKEN.findall(text):
        if word == "(":
            inner: List[_Node] = []
            current.append(inner)
            stack.append(current)
            current = inner
        elif word == ")":
            if not stack:
                raise CilError(_misfit(text))
            current = stack.pop()
        elif word[0] == '"':
            if len(word) < 2:
                raise CilError(_misfit(text))
            current.append(word[1:-1])
        elif word[0] != ";":
            current.append(word)
    if stack:
        raise CilError(_misfit(text))
    return top


def _misfit(text: str) -> str:
    """Say where parentheses or quotes do not match (a second, slower walk: only for the error)."""
    opened: List[int] = []
    for match in _TOKEN.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        if match.group() == "(":
            opened.append(line)
        elif match.group() == '"':
            return "line {}: a quote that nothing closes".format(line)
        elif match.group() == ")":
            if not opened:
                return "line {}: a parenthesis that nothing opens".format(line)
            opened.pop()
    return "line {}: a parenthesis that nothing closes".format(opened[-1] if opened else 0)


def read_cil(text: str) -> Cil:
    """Read a module, or a whole policy (11 MB: about 3 s), written in CIL.

    Blocks, macros and named class permissions of hand-written CIL are not expanded: their
    statements are read as they stand. Raises CilError.
    """
    reader = _Reader()
    reader.walk(parse_cil(text), "", "")
    return reader.finish()


def _symbols(node: _Node) -> Iterator[str]:
    """Yield the names in an expression, without its operators."""
    if isinstance(node, str):
        if node not in _OPERATORS:
            yield node
    else:
        for part in node:
            yield from _symbols(part)


def _as_text(node: _Node) -> str:
    return node if isinstance(node, str) else "({})".format(" ".join(_as_text(n) for n in node))


def _infix(node: _Node) -> str:
    """Write a boolean expression with && || ^ == != !, as sesearch does."""
    if isinstance(node, str):
        return node
    if len(node) == 1:
        return _infix(node[0])
    if node[0] == "not":
        operand = _infix(node[1])
        return "!({})".format(operand) if " " in operand else "!" + operand
    parts = [_infix(part) for part in node[1:]]
    parts = ["({})".format(p) if " " in p else p for p in parts]
    return " {} ".format(_INFIX.get(node[0], node[0])).join(parts)


class _Reader:
    """Gathers the statements of one text; a malformed statement raises CilError."""

    def __init__(self) -> None:
        self.cil = Cil(set(), set(), {}, {}, [], [], [], [], set(), set(), set(), [], {}, {}, {})
        self._perms: Dict[Tuple[str, ...], FrozenSet[str]] = {}
        self._seen: Set[Tuple[str, FrozenSet[str], str]] = set()
        self._tunables: Set[str] = set()

    def finish(self) -> Cil:
        cil = self.cil
        declared = {
            "type": cil.types | cil.attributes | set(cil.aliases),
            "role": cil.roles | cil.role_attributes,
            "bool": set(cil.booleans),
            "tunable": self._tunables,
        }
        for kind, names in declared.items():
            for name in names:
                cil.requirements.pop((kind, name), None)
        return cil

    def walk(self, statements: Iterable[_Node], condition: str, optional: str) -> None:
        for statement in statements:
            try:
                self._statement(statement, condition, optional)
            except (IndexError, ValueError, TypeError, AttributeError) as exc:
                if isinstance(exc, CilError):
                    raise
                raise CilError("cannot read: " + _as_text(statement)[:200]) from exc

    def _need(self, kind: str, name: str, optional: str) -> None:
        self.cil.requirements.setdefault((kind, name), set()).add(optional)

    def _need_types(self, optional: str, *nodes: _Node) -> None:
        for node in nodes:
            for name in _symbols(node):
                if name != "self":
                    self._need("type", name, optional)

    def _statement(self, words: _Node, condition: str, optional: str) -> None:
        cil = self.cil
        kind = words[0]
        if kind in _AV_KINDS or kind in _AVX_KINDS:
            self._av_rule(words, condition, optional)
        elif kind == "type":
            cil.types.add(words[1])
        elif kind == "typeattribute":
            if words[1] != "cil_gen_require":
                cil.attributes.add(words[1])
        elif kind == "typealiasactual":
            cil.aliases[words[1]] = words[2]
        elif kind == "typealias":
            cil.aliases.setdefault(words[1], "")
        elif kind == "boolean":
            cil.booleans[words[1]] = words[2] == "true"
        elif kind == "tunable":
            self._tunables.add(words[1])
        elif kind == "typeattributeset":
            self._attribute_set(words[1], words[2], optional)
        elif kind == "typetransition":
            name = words[4] if len(words) > 5 else ""
            cil.transitions.append(Transition(words[1], words[2], words[3], words[-1], name))
            self._need_types(optional, words[1], words[2], words[-1])
            self._need("class", words[3], optional)
        elif kind in ("typechange", "typemember"):
            self._need_types(optional, words[1], words[2], words[-1])
            self._need("class", words[3], optional)
        elif kind == "typepermissive":
            cil.permissive.add(words[1])
            self._need_types(optional, words[1])
        elif kind == "role":
            cil.roles.add(words[1])
        elif kind == "roleattribute":
            if words[1] != "cil_gen_require":
                cil.role_attributes.add(words[1])
        elif kind == "roletype":
            cil.role_types.append((words[1], words[2]))
            self._need("role", words[1], optional)
            self._need_types(optional, words[2])
        elif kind == "roleattributeset":
            if words[1] != "cil_gen_require":
                self._need("role", words[1], optional)
            for name in _symbols(words[2]):
                self._need("role", name, optional)
        elif kind == "filecon":
            cil.filecons.append(FileCon(words[1], words[2], self._context(words[-1], optional)))
        elif kind == "portcon":
            low, high = words[2] if isinstance(words[2], list) else (words[2], words[2])
            setype = self._context(words[3], optional)
            cil.portcons.append(PortCon(words[1], int(low), int(high), setype))
        elif kind == "optional":
            self.walk(words[2:], condition, words[1])
        elif kind in ("booleanif", "tunableif"):
            for name in _symbols(words[1]):
                self._need("bool" if kind == "booleanif" else "tunable", name, optional)
            for branch in words[2:]:
                text = "[ {} ]:{}".format(_infix(words[1]), branch[0].capitalize())
                self.walk(branch[1:], text, optional)
        elif kind in ("block", "in"):
            self.walk([part for part in words[2:] if isinstance(part, list)], condition, optional)

    def _av_rule(self, words: _Node, condition: str, optional: str) -> None:
        kind, source, target, access = words
        if isinstance(access, str):  # a named class permission
            cls, perms = access, frozenset()  # type: Tuple[str, FrozenSet[str]]
        elif kind in _AVX_KINDS:
            cls, perms = access[1], frozenset(_ranges(access[2]))
        else:
            cls = access[0]
            key = tuple(_symbols(access[1]))
            perms = self._perms.setdefault(key, frozenset(key))
        self.cil.rules.append(Rule(kind, source, target, cls, perms, condition, optional))
        if source != "self":
            self._need("type", source, optional)
        if target != "self":
            self._need("type", target, optional)
        if isinstance(access, str) or (cls, perms, optional) in self._seen:
            return
        self._seen.add((cls, perms, optional))
        self._need("class", cls, optional)
        for perm in perms if kind in _AV_KINDS else [access[0]]:
            self._need("permission", "{}:{}".format(cls, perm), optional)

    def _attribute_set(self, name: str, value: _Node, optional: str) -> None:
        self._need_types(optional, value)
        if name == "cil_gen_require":
            return
        self._need_types(optional, name)
        items = [value] if isinstance(value, str) else value
        simple = all(isinstance(item, str) for item in items)
        if simple and not (items and items[0] in _OPERATORS):
            self.cil.attribute_members.setdefault(name, set()).update(items)
        else:
            self.cil.attribute_expressions.setdefault(name, []).append(_as_text(value))

    def _context(self, node: _Node, optional: str) -> str:
        """Return the type of a context, <<none>> for the empty one, '' for a context's name."""
        if isinstance(node, str):
            return ""
        if not node:
            return "<<none>>"
        self._need("user", node[0], optional)
        self._need("role", node[1], optional)
        self._need("type", node[2], optional)
        return str(node[2])


def _ranges(node: _Node) -> Iterator[str]:
    """Yield the numbers of an extended permission: ``0x10``, ``0x10-0x20``."""
    for item in [node] if isinstance(node, str) else node:
        if isinstance(item, str):
            if item not in _OPERATORS:
                yield item
        elif item and item[0] == "range":
            yield "{}-{}".format(item[1], item[2])
        else:
            yield from _ranges(item)


class Names(NamedTuple):
    """The names that a policy declares. ``classes`` maps a class to all of its permissions.

    A binary policy does not keep attributes and role attributes that no rule names any more.
    """

    types: Set[str]
    attributes: Set[str]
    aliases: Set[str]
    booleans: Set[str]
    roles: Set[str]
    role_attributes: Set[str]
    users: Set[str]
    classes: Dict[str, Set[str]]
    portcons: List[PortCon]
    permissive: Set[str]


_NAMED = re.compile(
    r"^ *\((type|typeattribute|typealias|typealiasactual|boolean|tunable|role|roleattribute|user|"
    r"class|common|classcommon|portcon|typepermissive) (.*)\)$",
    re.MULTILINE,
)


def read_cil_names(text: str) -> Names:
    """Gather only names and portcons of a full policy (0.1 s).

    That is what ``checkpolicy -b -C`` prints, or all modules of a store as libsepol prints them.

    It relies on the printer's layout, one statement a line: not for CIL written by hand.
    """
    names = Names(set(), set(), set(), set(), set(), set(), set(), {}, [], set())
    sets = {
        "type": names.types,
        "typeattribute": names.attributes,
        "typealias": names.aliases,
        "typealiasactual": names.aliases,
        "boolean": names.booleans,
        "tunable": names.booleans,
        "role": names.roles,
        "roleattribute": names.role_attributes,
        "user": names.users,
        "typepermissive": names.permissive,
    }
    commons: Dict[str, Set[str]] = {}
    inherits: List[List[str]] = []
    for kind, rest in _NAMED.findall(text):
        words = rest.replace("(", " ").replace(")", " ").split()
        if kind in sets:
            sets[kind].add(words[0])
        elif kind == "class":
            names.classes.setdefault(words[0], set()).update(words[1:])
        elif kind == "common":
            commons[words[0]] = set(words[1:])
        elif kind == "classcommon":
            inherits.append(words)
        elif kind == "portcon":
            high = words[2] if words[2].isdigit() else words[1]
            setype = words[5] if words[2].isdigit() else words[4]
            names.portcons.append(PortCon(words[0], int(words[1]), int(high), setype))
    for cls, common in inherits:
        names.classes.setdefault(cls, set()).update(commons.get(common, set()))
    return names


# ------------------------------------------------------------------------- programs and files


def _run(command: Sequence[str], package: str) -> Tuple[int, str]:
    """Run a program (no shell, LC_ALL=C); return its status and both of its streams together."""
    path = os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin:/sbin"
    program = shutil.which(command[0], path=path)
    if program is None:
        raise ToolMissingError(command[0], package)
    done = subprocess.run(
        [program] + list(command[1:]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(os.environ, LC_ALL="C"),
    )
    return done.returncode, done.stdout.decode("utf-8", "replace")


def read_text(path: str) -> str:
    """Read a text, unpacked when it is bzip2 (recognised by its first bytes, as libsemanage)."""
    with open(path, "rb") as file:
        data = file.read()
    return (bz2.decompress(data) if data[:3] == b"BZh" else data).decode("utf-8", "replace")


def module_name(path: str) -> str:
    """Return the module's name for semodule: the file's name up to .pp, .cil, .pp.bz2, .cil.bz2."""
    return re.sub(r"\.(pp|cil)(\.bz2)?$", "", os.path.basename(path))


def module_cil(path: str) -> str:
    """Return the CIL text of a module file: .pp, .pp.bz2, .cil or .cil.bz2.

    Raises ToolMissingError without policycoreutils' converter, ToolFailedError when it cannot read
    the file, ExpectationError for another kind of file, OSError.
    """
    if re.search(r"\.cil(\.bz2)?$", path):
        return read_text(path)
    if not re.search(r"\.pp(\.bz2)?$", path):
        raise ExpectationError("{}: no .pp, .pp.bz2, .cil or .cil.bz2 file".format(path))
    with open(path, "rb") as file:
        data = file.read()
    if data[:3] == b"BZh":
        data = bz2.decompress(data)
    if not os.access(HLL_PP, os.X_OK):
        raise ToolMissingError(HLL_PP, "policycoreutils")
    with tempfile.TemporaryDirectory() as folder:
        name = os.path.join(folder, module_name(path) + ".pp")
        with open(name, "wb") as file:
            file.write(data)
        done = subprocess.run([HLL_PP, name], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0:
        raise ToolFailedError(
            [HLL_PP, path], done.returncode, done.stderr.decode("utf-8", "replace")
        )
    return done.stdout.decode("utf-8", "replace")


def policy_names(policy: str) -> Names:
    """Return the names in a binary policy (policy.N), through checkpolicy (0.4 s).

    Raises ToolMissingError, ToolFailedError.
    """
    with tempfile.TemporaryDirectory() as folder:
        cil = os.path.join(folder, "policy.cil")
        for mls in (["-M"], []):
            command = ["checkpolicy"] + mls + ["-b", "-C", "-o", cil, policy]
            status, output = _run(command, "checkpolicy")
            if status == 0:
                return read_cil_names(read_text(cil))
        raise ToolFailedError(command, status, output)


# ----------------------------------------------------------------------------------- the store


class Store(NamedTuple):
    """An installed policy, or a scratch copy of one.

    ``store_root`` is the store's parent as semodule -S wants it, without ``root``; ``policy`` the
    newest binary policy ('' when there is none); ``configured`` the type in /etc/selinux/config.
    """

    root: str
    policy_type: str
    config_dir: str
    store_dir: str
    store_root: str
    policy: str
    readable: bool
    configured: str

    @property
    def contexts(self) -> str:
        """The path of file_contexts."""
        return os.path.join(self.config_dir, "contexts", "files", "file_contexts")

    @property
    def modules_dir(self) -> str:
        return os.path.join(self.store_dir, "active", "modules")


def _setting(path: str, name: str) -> str:
    """Return the last value of ``name = value`` in a configuration file, '' without one."""
    try:
        found = re.findall(r"(?m)^\s*{}\s*=\s*([^\s#]+)".format(re.escape(name)), read_text(path))
    except OSError:
        return ""
    return str(found[-1]) if found else ""


def _binary_policy(config_dir: str) -> str:
    folder = os.path.join(config_dir, "policy")
    versions = []
    if os.path.isdir(folder):
        versions = [int(n[7:]) for n in os.listdir(folder) if re.match(r"policy\.\d+$", n)]
    return os.path.join(folder, "policy.{}".format(max(versions))) if versions else ""


def find_store(selinux_root: str = "/", policy_type: Optional[str] = None) -> Store:
    """Find the policy under ``selinux_root``: the wanted type, else that of /etc/selinux/config.

    Raises StoreMissingError when no policy is installed there.
    """
    etc = os.path.join(selinux_root, "etc/selinux")
    configured = _setting(os.path.join(etc, "config"), "SELINUXTYPE")
    others = sorted(os.listdir(etc)) if os.path.isdir(etc) else []
    for kind in [policy_type or "", configured] + others:
        if kind and os.path.isdir(os.path.join(etc, kind, "contexts")):
            break
    else:
        raise StoreMissingError("no SELinux policy is installed under {}".format(etc))
    roots = [_setting(os.path.join(etc, "semanage.conf"), "store-root"), "/var/lib/selinux"]
    roots = [name for name in roots if name] + ["/etc/selinux"]
    folders = [os.path.join(selinux_root, name.lstrip("/"), kind) for name in roots]
    found = [i for i, name in enumerate(folders) if os.path.isdir(os.path.join(name, "active"))]
    store_dir = folders[found[0] if found else 0]
    modules = os.path.join(store_dir, "active", "modules")
    return Store(
        root=selinux_root,
        policy_type=kind,
        config_dir=os.path.join(etc, kind),
        store_dir=store_dir,
        store_root=roots[found[0] if found else 0],
        policy=_binary_policy(os.path.join(etc, kind)),
        readable=os.path.isdir(modules) and os.access(modules, os.R_OK | os.X_OK),
        configured=configured,
    )


def active_modules(store: Store) -> Dict[str, int]:
    """Map every module in force to the priority it is taken from; disabled ones are left out."""
    disabled = os.path.join(store.modules_dir, "disabled")
    off = set(os.listdir(disabled)) if os.path.isdir(disabled) else set()
    found: Dict[str, int] = {}
    for priority in sorted(int(n) for n in os.listdir(store.modules_dir) if n.isdigit()):
        for name in os.listdir(os.path.join(store.modules_dir, str(priority))):
            if name not in off:
                found[name] = priority
    return found


def _store_texts(store: Store) -> Iterator[Tuple[str, str]]:
    """Yield (module, CIL text) of every module in force."""
    for name, priority in sorted(active_modules(store).items()):
        path = os.path.join(store.modules_dir, str(priority), name, "cil")
        if os.path.exists(path):
            yield name, read_text(path)


_FILECON = re.compile(r'\(filecon "([^"]*)" "?(\w+)"? \((?:\S+ \S+ (\S+) |\))')


def store_contexts(store: Store) -> List[Tuple[str, FileCon]]:
    """Return (module, file context) for every entry of the store (0.4 s for 331 modules)."""
    return _contexts_of(dict(_store_texts(store)))


def _contexts_of(texts: Mapping[str, str]) -> List[Tuple[str, FileCon]]:
    return [
        (module, FileCon(pattern, ftype, setype or "<<none>>"))
        for module, text in sorted(texts.items())
        for pattern, ftype, setype in _FILECON.findall(text)
    ]


_FLAGS = {
    "": "any",
    "--": "file",
    "-d": "dir",
    "-l": "link",
    "-p": "pipe",
    "-s": "socket",
    "-b": "block",
    "-c": "char",
}


def read_file_contexts(text: str) -> List[FileCon]:
    """Read the text of an installed file_contexts."""
    lines = re.findall(
        r"(?m)^[ \t]*([^#\s]\S*)[ \t]+(?:(-[-bcdlps])[ \t]+)?(?:\w+:\w+:(\w+)\S*|<<none>>)[ \t]*$",
        text,
    )
    return [FileCon(pattern, _FLAGS[flag], setype or "<<none>>") for pattern, flag, setype in lines]


def _not_needed(folder: str, names: List[str]) -> Set[str]:
    """What a link does not read: caches, and a module's source form where its CIL is kept too."""
    unwanted = {name for name in names if name.endswith((".bin", ".LOCK"))}
    unwanted.update({"tmp", "previous"} & set(names))
    if "cil" in names:
        unwanted.update({"hll"} & set(names))
    return unwanted


def scratch_copy(store: Store, into: str) -> Store:
    """Copy ``store`` below the folder ``into`` and return the copy. The original is only read."""
    into = os.path.abspath(into)
    etc = os.path.join(into, "etc/selinux")
    copy = store._replace(
        root=into,
        config_dir=os.path.join(etc, store.policy_type),
        store_dir=os.path.join(into, store.store_root.lstrip("/"), store.policy_type),
    )
    for source, destination in (
        (store.config_dir, copy.config_dir),
        (store.store_dir, copy.store_dir),
    ):
        if not os.path.isdir(destination):
            copy_bytes = shutil.copyfile
            shutil.copytree(source, destination, True, _not_needed, copy_function=copy_bytes)
    original = os.path.join(store.root, "etc/selinux")
    for name in ("config", "semanage.conf"):
        if os.path.exists(os.path.join(original, name)):
            shutil.copyfile(os.path.join(original, name), os.path.join(etc, name))
    return copy._replace(policy=_binary_policy(copy.config_dir))


def linked_policy(scratch: Store) -> str:
    """Return the path of the binary policy that the last link wrote."""
    return _binary_policy(scratch.config_dir)


def linked_contexts(scratch: Store) -> str:
    """Return the path of the file_contexts that the last link wrote."""
    return scratch.contexts


class LinkResult(NamedTuple):
    """``decisive``: the lines that say why it failed. ``culprit``: the module they name, maybe ''.

    ``ours`` is False when that module was in the store before. ``expand_check``: neverallow rules
    were checked (not when the store breaks them without us).
    """

    ok: bool
    seconds: float
    messages: List[str]
    decisive: List[str]
    culprit: str
    ours: bool
    expand_check: bool


def link(
    scratch: Store,
    modules: Sequence[str],
    priority: int = PRIORITY,
    booleans: Optional[Mapping[str, bool]] = None,
) -> LinkResult:
    """Link module files into a scratch copy, in one call of semodule (6 s for 331 modules).

    ``booleans`` are set in the linked policy. Raises ToolMissingError.
    """
    started = time.monotonic()
    before = active_modules(scratch)
    if booleans:
        with open(os.path.join(scratch.store_dir, "active", "booleans.local"), "a") as file:
            file.writelines("{}={:d}\n".format(*item) for item in sorted(booleans.items()))
    result = _semodule(scratch, modules, priority, True, before)
    said = " ".join(result.messages)
    if not result.ok and not result.ours and re.search(r"neverallow|[Bb]ounds|violat", said):
        again = _semodule(scratch, modules, priority, False, before)
        result = again._replace(messages=result.messages + again.messages)
    return result._replace(seconds=time.monotonic() - started)


_NOISE = re.compile(r"not in password file|^libsemanage\.add_user|^\s*$")
_PLACE = re.compile(r"/modules/\d+/([^/\s:]+)/(?:cil|hll)(?::(\d+))?")


def _semodule(
    scratch: Store,
    modules: Sequence[str],
    priority: int,
    expand_check: bool,
    before: Mapping[str, int],
) -> LinkResult:
    conf = os.path.join(scratch.root, "etc/selinux/semanage.conf")
    text = read_text(conf) if os.path.exists(conf) else ""
    text = re.sub(r"(?m)^\s*expand-check\s*=.*\n?", "", text)
    with open(conf, "w", encoding="utf-8") as file:
        file.write("expand-check={:d}\n".format(expand_check) + text)
    command = ["semodule", "-p", scratch.root, "-S", scratch.store_root, "-s", scratch.policy_type]
    command += ["-n", "-N", "-X", str(priority)]
    for module in modules:
        command += ["-i", os.path.abspath(module)]
    status, output = _run(command, "policycoreutils")
    lines = [line.rstrip() for line in output.replace(scratch.root, "").splitlines()]
    lines = [line for line in lines if not _NOISE.search(line)]
    if status == 0:
        return LinkResult(True, 0.0, lines, [], "", True, expand_check)
    files = {module_name(path): path for path in modules}
    named = [match.group(1) for line in lines for match in _PLACE.finditer(line)]
    named += [module_name(path) for path in re.findall(r"Failed on (\S+)!", output)]
    own = [name for name in named if name in files or name not in before]
    culprit = (own or named or [""])[-1]
    decisive = [
        line
        for number, line in enumerate(lines)
        if number < 12 or any("/{}/".format(name) in line for name in own)
    ][:30]
    for line in decisive[:]:
        place = _PLACE.search(line)
        if place and place.group(2) and place.group(1) in files and "allow at" not in line:
            decisive.append("  that line is: " + _cil_line(files[place.group(1)], place.group(2)))
    return LinkResult(False, 0.0, lines, decisive, culprit, bool(own) or not named, expand_check)


def _cil_line(path: str, number: str) -> str:
    try:
        return module_cil(path).splitlines()[int(number) - 1].strip()
    except (BuildCheckError, OSError, IndexError):
        return "(unknown)"


# --------------------------------------------------------------------------------- comparisons


class Collision(NamedTuple):
    """An identical regex with another type; ``module`` owns ``base``, '' when that is unknown."""

    own: FileCon
    base: FileCon
    module: str


class PortClash(NamedTuple):
    """``kind``: equal, wider (than base), inside (base) or crossing. Only inside, own wins."""

    own: PortCon
    base: PortCon
    kind: str


class Missing(NamedTuple):
    kind: str
    name: str


# The ranges that cover every port: a port of its own type is always inside one of them.
GENERIC_PORT_TYPES = frozenset(
    ["reserved_port_t", "hi_reserved_port_t", "unreserved_port_t", "ephemeral_port_t", "port_t"]
)


def context_collisions(
    own: Iterable[FileCon], base: Iterable[Tuple[str, FileCon]]
) -> List[Collision]:
    """Find own entries whose regex the base has too, for an overlapping file type, typed otherwise.

    libsepol 3.4 drops the later one silently, older and newer ones refuse the link.
    """
    known: Dict[str, List[Tuple[str, FileCon]]] = {}
    for module, entry in base:
        known.setdefault(entry.pattern, []).append((module, entry))
    return [
        Collision(mine, entry, module)
        for mine in own
        for module, entry in known.get(mine.pattern, [])
        if mine.type != entry.type
        and (mine.ftype == entry.ftype or "any" in (mine.ftype, entry.ftype))
    ]


def port_clashes(own: Iterable[PortCon], base: Iterable[PortCon]) -> List[PortClash]:
    """Find own ports that overlap a range of another type with the same protocol.

    The narrower range wins in the kernel, and of two equal ones the base's; the linker says
    nothing. Being inside one of GENERIC_PORT_TYPES is no clash.
    """
    clashes = []
    base = list(base)
    for mine in own:
        for entry in base:
            if entry.protocol != mine.protocol or entry.type == mine.type:
                continue
            if entry.high < mine.low or mine.high < entry.low:
                continue
            if (entry.low, entry.high) == (mine.low, mine.high):
                kind = "equal"
            elif entry.low <= mine.low and mine.high <= entry.high:
                kind = "inside"
            elif mine.low <= entry.low and entry.high <= mine.high:
                kind = "wider"
            else:
                kind = "crossing"
            if not (kind == "inside" and entry.type in GENERIC_PORT_TYPES):
                clashes.append(PortClash(mine, entry, kind))
    return clashes


def missing_names(required: Mapping[str, Iterable[str]], names: Names) -> List[Missing]:
    """Return the required names that ``names`` lacks, sorted; a permission only of a known class.

    For a binary policy a missing attribute proves nothing: see Names.
    """
    known = {
        "type": names.types | names.attributes | names.aliases,
        "role": names.roles | names.role_attributes,
        "bool": names.booleans,
        "user": names.users,
        "class": set(names.classes),
    }
    missing = []
    for kind in sorted(required):
        for name in sorted(required[kind]):
            if kind == "permission":
                cls, _, perm = name.partition(":")
                if cls in names.classes and perm not in names.classes[cls]:
                    missing.append(Missing(kind, name))
            elif name not in known.get(kind, set()):
                missing.append(Missing(kind, name))
    return missing


def redeclared(own: Cil, names: Names) -> List[Missing]:
    """Return the types, attributes and booleans that the module declares and the policy has."""
    there = names.types | names.attributes | names.aliases
    mine = own.types | own.attributes | set(own.aliases)
    found = [Missing("type", name) for name in sorted(mine & there)]
    return found + [Missing("bool", name) for name in sorted(set(own.booleans) & names.booleans)]


def with_modules(names: Names, modules: Iterable[Cil]) -> Names:
    """Return ``names`` with what the modules declare: they may need one another."""
    for cil in modules:
        names = names._replace(
            types=names.types | cil.types,
            attributes=names.attributes | cil.attributes,
            aliases=names.aliases | set(cil.aliases),
            booleans=names.booleans | set(cil.booleans),
            roles=names.roles | cil.roles,
            role_attributes=names.role_attributes | cil.role_attributes,
        )
    return names


# -------------------------------------------------------------------------------- expectations


class Expectation(NamedTuple):
    """One line of the file: ``kind`` allow and deny use the first four, label the next three."""

    kind: str
    source: str
    target: str
    cls: str
    permissions: Tuple[str, ...]
    path: str
    ftype: str
    type: str
    key: str
    reason: str

    def __str__(self) -> str:
        if self.kind == "label":
            what = "{} ({}) is {}".format(self.path, self.ftype, self.type)
        else:
            perms = " ".join(self.permissions)
            what = "{} {} {}:{} {{ {} }}".format(
                self.kind, self.source, self.target, self.cls, perms
            )
        return what + (" [{}]".format(self.key) if self.key else "")


class Expectations(NamedTuple):
    expect: List[Expectation]
    name: str
    priority: int
    booleans: Dict[str, bool]


class Outcome(NamedTuple):
    """``ok`` is None when it was not checked; ``why`` says more in every case."""

    expectation: Expectation
    ok: Optional[bool]
    why: str


_MODES = {
    "any": 0,
    "file": stat.S_IFREG,
    "dir": stat.S_IFDIR,
    "link": stat.S_IFLNK,
    "pipe": stat.S_IFIFO,
    "socket": stat.S_IFSOCK,
    "block": stat.S_IFBLK,
    "char": stat.S_IFCHR,
}


def parse_expectations(text: str) -> Expectations:
    """Read the JSON text of an expectations file. Raises ExpectationError, naming the place."""
    where = "$"
    try:
        data = json.loads(text)
        module = data.get("module", {})
        booleans = data.get("booleans", {})
        if not all(isinstance(value, bool) for value in booleans.values()):
            raise ExpectationError("$.booleans: values are true or false")
        expect = []
        for index, entry in enumerate(data.get("expect", [])):
            where = "$.expect[{}]".format(index)
            expect.append(_expectation(entry))
        where = "$.module"
        name, priority = str(module.get("name", "")), int(module.get("priority", PRIORITY))
        return Expectations(expect, name, priority, dict(booleans))
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        raise ExpectationError("{}: {}".format(where, exc)) from exc


def _expectation(entry: Dict[str, Any]) -> Expectation:
    key, reason = str(entry.get("key", "")), str(entry.get("reason", ""))
    if "path" in entry:
        ftype = entry.get("file-type", "any")
        if ftype not in _MODES:
            raise ExpectationError("file-type is one of " + ", ".join(sorted(_MODES)))
        path, setype = str(entry["path"]), str(entry["type"])
        return Expectation("label", "", "", "", (), path, ftype, setype, key, reason)
    kinds = [kind for kind in ("allow", "deny") if kind in entry]
    if len(kinds) != 1:
        raise ExpectationError("wants one of allow, deny, path")
    rule = entry[kinds[0]]
    if isinstance(rule["permissions"], str) or not rule["permissions"]:
        raise ExpectationError("permissions is a list of names")
    perms = tuple(str(perm) for perm in rule["permissions"])
    access = (str(rule["source"]), str(rule["target"]), str(rule["class"]))
    return Expectation(kinds[0], *access, perms, "", "", "", key, reason)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what C libraries write to standard error."""
    sys.stderr.flush()
    saved = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


def check_access(
    policy: str, expectations: Iterable[Expectation], booleans: Optional[Mapping[str, bool]] = None
) -> List[Outcome]:
    """Ask the binary policy for every allow and deny; labels are passed over.

    An allow holds when every permission is granted, if need be through one of ``booleans``; a deny
    holds when none is. Not checked without libselinux's Python bindings.
    """
    asked = [item for item in expectations if item.kind != "label"]
    if not asked:
        return []
    try:
        from selinux import audit2why
    except ImportError:
        reason = "the Python module selinux.audit2why is not installed (python3-libselinux)"
        return [Outcome(item, None, reason) for item in asked]
    with _quiet():
        try:
            audit2why.init(policy)
        except (RuntimeError, ValueError) as exc:
            raise ToolFailedError(["audit2why", policy], 1, str(exc)) from exc
        try:
            return [_ask(audit2why, item, dict(booleans or {})) for item in asked]
        finally:
            audit2why.finish()


def _ask(audit2why: Any, item: Expectation, booleans: Dict[str, bool]) -> Outcome:
    granted, denied = [], []
    for perm in item.permissions:
        code, detail = _analyze(audit2why, item, perm)
        if code < 0:
            wrong = {audit2why.BADSCON: "the type " + item.source}
            wrong[audit2why.BADTCON] = "the type " + item.target
            wrong[audit2why.BADTCLASS] = "the class " + item.cls
            wrong[audit2why.BADPERM] = "the permission {}:{}".format(item.cls, perm)
            text = "{} is not in the policy".format(wrong.get(code, "something"))
            return Outcome(item, False, text)
        switches = detail if code == audit2why.BOOLEAN else []
        if code == audit2why.ALLOW or any(booleans.get(b) == bool(v) for b, v in switches):
            granted.append(perm)
        else:
            denied.append("{} ({})".format(perm, _reason(audit2why, code, switches)))
    if item.kind == "allow":
        return Outcome(item, not denied, "denied: " + ", ".join(denied) if denied else "granted")
    return Outcome(item, not granted, "granted: " + ", ".join(granted) if granted else "denied")


def _analyze(audit2why: Any, item: Expectation, perm: str) -> Tuple[int, List[Tuple[str, int]]]:
    """Ask with the first contexts that the policy accepts: object_r may have every type."""
    target = item.source if item.target == "self" else item.target
    for level in (":s0", ""):
        for source_role in ("system_r", "object_r"):
            for target_role in ("system_r", "object_r"):
                scon, tcon = (
                    name if ":" in name else "system_u:{}:{}{}".format(role, name, level)
                    for name, role in ((item.source, source_role), (target, target_role))
                )
                code, detail = audit2why.analyze(scon, tcon, item.cls, [perm])
                if code not in (audit2why.BADSCON, audit2why.BADTCON):
                    return code, list(detail or [])
                if code == audit2why.BADSCON:
                    break
            else:
                return code, []  # the source is right, so it is the target
    return code, []


def _reason(audit2why: Any, code: int, switches: Sequence[Tuple[str, int]]) -> str:
    if switches:
        pairs = ("{}={}".format(name, "on" if value else "off") for name, value in switches)
        return "only with " + " or ".join(pairs)
    return {
        audit2why.DONTAUDIT: "no rule, and not audited",
        audit2why.CONSTRAINT: "a constraint",
        audit2why.RBAC: "the role",
        audit2why.BOUNDS: "type bounds",
    }.get(code, "no rule")


def check_labels(contexts: str, expectations: Iterable[Expectation]) -> List[Outcome]:
    """Look every expected label up in a file_contexts file (with the subs_dist beside it)."""
    asked = [item for item in expectations if item.kind == "label"]
    outcomes = []
    try:
        paths = [(item.path, item.ftype) for item in asked]
        for item, found in zip(asked, lookup(contexts, paths)):  # noqa: B905 - since 3.10
            why = "is " + (found or "<<none>>")
            outcomes.append(Outcome(item, (found or "<<none>>") == item.type, why))
    except ToolMissingError as exc:
        return [Outcome(item, None, str(exc)) for item in asked]
    return outcomes


def lookup(contexts: str, paths: Sequence[Tuple[str, str]]) -> List[str]:
    """Return the type of every (path, file type), '' for none.

    By libselinux's bindings or matchpathcon. Raises ToolMissingError.
    """
    try:
        import selinux
    except ImportError:
        selinux = None
    found = []
    if selinux is not None:
        # The running kernel does not know our types: no translation, no validation.
        selinux.set_matchpathcon_flags(selinux.MATCHPATHCON_NOTRANS)
        selinux.matchpathcon_init(contexts)
        try:
            for path, ftype in paths:
                try:
                    found.append(selinux.matchpathcon(path, _MODES[ftype])[1])
                except OSError:
                    found.append("")
        finally:
            selinux.matchpathcon_fini()
    else:
        for path, ftype in paths:
            mode = [] if ftype == "any" else ["-m", ftype]
            command = ["matchpathcon", "-n", "-f", contexts] + mode + [path]
            found.append(_run(command, "libselinux-utils")[1].strip())
    return [label.split(":")[2] if label.count(":") > 1 else "" for label in found]


# ---------------------------------------------------------------------------------- the program


class Report:
    """Prints every result when it is known and keeps all of them for result.json."""

    def __init__(self, echo: bool = True) -> None:
        self.entries: List[Dict[str, str]] = []
        self.facts: Dict[str, Any] = {"mode": "none"}
        self._echo = echo

    def _add(self, status: str, text: str, key: str = "") -> None:
        self.entries.append({"status": status, "text": text, "key": key})
        if self._echo:
            line = "{:<12} {}".format(status, text.replace("\n", "\n" + " " * 13))
            known = sys.stdout.encoding or "ascii"  # rpmbuild may run in the C locale
            print(line.encode(known, "backslashreplace").decode(known), flush=True)

    def checked(self, text: str, key: str = "") -> None:
        self._add("CHECKED", text, key)

    def failed(self, text: str, key: str = "") -> None:
        self._add("FAILED", text, key)

    def warning(self, text: str, key: str = "") -> None:
        self._add("WARNING", text, key)

    def not_checked(self, text: str, reason: Union[str, Exception], key: str = "") -> None:
        self._add("NOT CHECKED", "{}: {}".format(text, reason), key)

    @property
    def ok(self) -> bool:
        return all(entry["status"] != "FAILED" for entry in self.entries)

    def as_json(self) -> str:
        document = dict(self.facts, ok=self.ok, results=self.entries)
        return json.dumps(document, indent=2, sort_keys=True) + "\n"


class Job(NamedTuple):
    """What one run checks: module files (ports are a module too) and what is expected of them."""

    files: List[str]
    expectations: Expectations
    policy_type: str
    selinux_root: str


def run(job: Job, folder: str, report: Report) -> None:
    """Do every check that is possible here; the scratch store goes into ``folder``/root."""
    cils: Dict[str, Cil] = {}
    try:
        for path in job.files:
            cils[module_name(path)] = read_cil(module_cil(path))
    except ToolMissingError as exc:
        report.not_checked("all", exc)
        return
    except (ToolFailedError, ValueError, OSError) as exc:  # ValueError: CilError, truncated bzip2
        report.failed("{}: {}".format(path, exc))
        return
    try:
        store = find_store(job.selinux_root, job.policy_type)
    except StoreMissingError as exc:
        report.not_checked("all", exc)
        return
    report.facts.update(policy=store.policy, policy_type=store.policy_type, modules=sorted(cils))
    if store.policy_type != job.policy_type:
        report.checked(
            "against the policy type {}, the one installed here; the package is for {}".format(
                store.policy_type, job.policy_type
            )
        )
    for name, cil in sorted(cils.items()):
        for domain in sorted(cil.permissive):
            report.warning("{}: {} is permissive: nothing is denied to it".format(name, domain))

    texts: Dict[str, str] = {}
    reader = threading.Thread(target=_read_store, args=(store, texts))
    reader.start()  # semodule keeps one processor busy, this the other
    linked = _link(job, store, folder, report)
    reader.join()
    for name in cils:
        texts.pop(name, None)
    names = read_cil_names("\n".join(texts.values())) if texts else _installed_names(store, report)
    _names(cils, names, store, linked is not None, report)
    _contexts(cils, store, texts, report)
    _ports(cils, names, report)
    _expected(job.expectations, linked, names, report)


def _read_store(store: Store, texts: Dict[str, str]) -> None:
    """Fill ``texts`` with the CIL of every module in force; nothing when the store is closed."""
    if store.readable:
        try:
            texts.update(_store_texts(store))
        except (OSError, ValueError):
            texts.clear()


def _installed_names(store: Store, report: Report) -> Optional[Names]:
    if not store.policy:
        reason = "no binary policy in {} (package selinux-policy-{})"
        reason = reason.format(os.path.join(store.config_dir, "policy"), store.policy_type)
        report.not_checked("names against the installed policy", reason)
        return None
    try:
        return policy_names(store.policy)
    except (ToolMissingError, ToolFailedError, OSError) as exc:
        report.not_checked("names against the installed policy", exc)
        return None


def _link(job: Job, store: Store, folder: str, report: Report) -> Optional[Store]:
    """Link, and return the linked copy; None when that was not possible or failed."""
    what = "linking with the installed policy"
    if not store.readable:
        reason = "the store {} cannot be read by this user; checked by name instead"
        report.not_checked(what, reason.format(store.store_dir))
        return None
    expected = job.expectations
    try:
        shadowed = active_modules(store)
        scratch = scratch_copy(store, os.path.join(folder, "root"))
        result = link(scratch, job.files, expected.priority, expected.booleans)
    except (ToolMissingError, OSError, shutil.Error) as exc:
        report.not_checked(what, "{}; checked by name instead".format(exc))
        return None
    report.facts["link"] = result._asdict()
    own = [module_name(path) for path in job.files]
    why = "\n".join(result.decisive)
    if not result.ok and not result.ours:
        reason = "the module {}, which is installed here already, does not link:\n{}"
        report.not_checked(what, reason.format(result.culprit, why))
        return None
    if not result.ok:
        report.failed("{}: does not link:\n{}".format(result.culprit or " ".join(own), why))
        return None
    report.facts["mode"] = "link"
    text = "{}: linked with the installed {} policy in {:.1f} s"
    report.checked(text.format(", ".join(own), store.policy_type, result.seconds))
    if result.expand_check:
        report.checked("neverallow rules of the policy hold")
    else:
        report.not_checked("neverallow rules", "the installed policy breaks them without us")
    for name in own:
        if shadowed.get(name, 0) > expected.priority:
            text = "{}: an installed module of this name has priority {} and wins over {}"
            report.warning(text.format(name, shadowed[name], expected.priority))
    return scratch


def _dropped_attributes(store: Store) -> Optional[Set[str]]:
    """Return attributes (of types and roles) that the policy's sources declare, None if unknown.

    The binary policy lacks those that only neverallow rules or constraints used.
    """
    if store.readable:
        pattern = re.compile(r"\((?:typeattribute|roleattribute) ([^\s()]+)\)")
        return {name for _, text in _store_texts(store) for name in pattern.findall(text)}
    folder = os.path.join(store.root, DEVEL_INCLUDE)
    if not os.path.isdir(folder):
        return None
    found: Set[str] = set()
    for top, _, files in os.walk(folder):
        for name in files:
            if name.endswith((".if", ".spt")):
                text = read_text(os.path.join(top, name))
                for declared in re.findall(r"\battribute(?:_role)?\s+([\w\s,]+);", text):
                    found.update(re.findall(r"\w+", declared))
    return found


def _names(
    cils: Mapping[str, Cil], names: Optional[Names], store: Store, linked: bool, report: Report
) -> None:
    if names is None:
        return
    if not linked:
        report.facts["mode"] = "names"
    everything = with_modules(names, cils.values())
    attributes: Optional[Set[str]] = None
    looked = False
    for module, cil in sorted(cils.items()):
        before = report.entries[:]
        for missing in missing_names(cil.required_optional, everything):
            if missing.kind in ("type", "role") and not looked:
                attributes, looked = _dropped_attributes(store), True
            if missing.name not in (attributes or ()):
                blocks = ", ".join(sorted(cil.requirements[missing]))
                text = "{}: no {} {} in the policy: left out at installation: optional {}"
                report.warning(text.format(module, missing.kind, missing.name, blocks))
        if linked:
            continue
        for missing in missing_names(cil.required, everything):
            if missing.kind in ("type", "role") and not looked:
                attributes, looked = _dropped_attributes(store), True
            if missing.name in (attributes or ()):
                continue
            what = "{}: {} {}".format(module, missing.kind, missing.name)
            doubtful = missing.kind == "role" or missing.name in cil.attribute_members
            if attributes is None and doubtful and not missing.name.endswith(("_t", "_r")):
                reason = "a binary policy drops unused attributes, and no headers are installed"
                report.not_checked(what, reason)
            else:
                report.failed(what + " is not in the installed policy")
        installed = _installed_file(store, module)
        if installed:
            report.not_checked(
                "{}: names declared twice".format(module), "it is installed here: " + installed
            )
        else:
            for twice in redeclared(cil, names):
                text = "{}: declares the {} {}, which the installed policy has already"
                report.failed(text.format(module, twice.kind, twice.name))
        if not any(e["status"] == "FAILED" for e in report.entries[len(before) :]):
            count = sum(len(group) for group in cil.required.values())
            text = "{}: the {} names it requires are in the installed {} policy"
            report.checked(text.format(module, count, store.policy_type))


def _installed_file(store: Store, module: str) -> str:
    """Return where a module of this name is installed already, '' when it is not."""
    if store.readable and module in active_modules(store):
        return os.path.join(store.modules_dir, str(active_modules(store)[module]), module)
    for top, _, files in os.walk(os.path.join(store.root, "usr/share/selinux/packages")):
        for name in files:
            if re.match(re.escape(module) + r"\.(pp|cil)(\.bz2)?$", name):
                return os.path.join(top, name)
    return ""


def _contexts(
    cils: Mapping[str, Cil], store: Store, texts: Mapping[str, str], report: Report
) -> None:
    own = [(module, entry) for module, cil in sorted(cils.items()) for entry in cil.filecons]
    if not own:
        return
    home = [entry.pattern for _, entry in own if re.match(r"HOME_(DIR|ROOT)|%\{", entry.pattern)]
    try:
        if texts:
            base = _contexts_of(texts)
        else:
            base = [("", entry) for entry in read_file_contexts(read_text(store.contexts))]
            if home:
                reason = "the templates of home directories are in the closed store"
                report.not_checked("collisions of " + ", ".join(home), reason)
    except OSError as exc:
        report.not_checked("collisions of file contexts", exc)
        return
    found = 0
    for index, (module, entry) in enumerate(own):
        for hit in context_collisions([entry], base + own[:index]):
            found += 1
            owner = " of the module " + hit.module if hit.module else " of the installed policy"
            text = "{}: the file context {} ({}) {} has the same regex as the entry{} ({}) {}"
            whole = (hit.own.pattern, hit.own.ftype, hit.own.type, owner)
            report.failed(text.format(module, *whole, hit.base.ftype, hit.base.type))
    if not found:
        text = "{} file contexts collide with none of the {} installed"
        report.checked(text.format(len(own), len(base)))


def _ports(cils: Mapping[str, Cil], names: Optional[Names], report: Report) -> None:
    own = [(module, port) for module, cil in sorted(cils.items()) for port in cil.portcons]
    if not own:
        return
    if names is None:
        report.not_checked("ports", "the installed binary policy could not be read")
        return
    hard = 0
    for index, (module, port) in enumerate(own):
        for hit in port_clashes([port], names.portcons + [p for _, p in own[:index]]):
            text = "{}: {} {} as {} is {} {} {}-{} of {}"
            relation = {"equal": "the same as", "inside": "inside", "wider": "around"}
            text = text.format(
                module,
                port.protocol,
                port.low if port.low == port.high else "{}-{}".format(port.low, port.high),
                port.type,
                relation.get(hit.kind, "across"),
                hit.base.protocol,
                hit.base.low,
                hit.base.high,
                hit.base.type,
            )
            if hit.kind == "inside":
                report.warning(text + ": it is taken away from that type")
            else:
                hard += 1
                report.failed(text + ": the linker is silent, that type stays")
    if not hard:
        report.checked("{} ports clash with none of the installed policy".format(len(own)))


def _expected(
    expected: Expectations, linked: Optional[Store], names: Optional[Names], report: Report
) -> None:
    if linked is None:
        if expected.expect:
            text = "{} expectations".format(len(expected.expect))
            report.not_checked(text, "they need the linked policy")
        return
    policy = linked_policy(linked)
    if names is not None:
        for name in sorted(set(expected.booleans) - names.booleans):
            report.failed("the boolean {} that the package sets does not exist".format(name))
    try:
        outcomes = check_access(policy, expected.expect, expected.booleans)
    except ToolFailedError as exc:
        report.not_checked("allow and deny", exc)
        outcomes = []
    for outcome in outcomes + check_labels(linked_contexts(linked), expected.expect):
        item = outcome.expectation
        if outcome.ok is None:
            report.not_checked(str(item), outcome.why, item.key)
        elif outcome.ok:
            report.checked(str(item), item.key)
        else:
            reason = " ({})".format(item.reason) if item.reason else ""
            report.failed("{}: {}{}".format(item, outcome.why, reason), item.key)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="policy-check.py", description="Check SELinux modules against the installed policy."
    )
    add = parser.add_argument
    add("--module", action="append", default=[], metavar="FILE", help=".pp or .cil, maybe .bz2")
    add("--ports", metavar="FILE", help="the CIL module with the ports")
    add("--expect", metavar="FILE", help="JSON: what the linked policy must grant, deny, label")
    add("--policy-type", default="targeted", metavar="TYPE", help="the package's (%(default)s)")
    add("--selinux-root", default="/", metavar="DIR", help="where etc/selinux is (%(default)s)")
    add("--keep", metavar="DIR", help="leave DIR/root, the linked copy, and DIR/result.json")
    add("--scratch", metavar="DIR", help="make the scratch folder in here")
    return parser


def _job(args: argparse.Namespace) -> Job:
    """Turn options into a job. Raises ExpectationError, OSError."""
    files = list(args.module) + ([args.ports] if args.ports else [])
    if not files:
        raise ExpectationError("nothing to check: give --module or --ports")
    for path in files:
        if not re.search(r"\.(pp|cil)(\.bz2)?$", path):
            raise ExpectationError("{}: no .pp, .pp.bz2, .cil or .cil.bz2 file".format(path))
        with open(path, "rb"):
            pass
    twice = [path for path in files if [module_name(f) for f in files].count(module_name(path)) > 1]
    if twice:
        raise ExpectationError("two modules of one name: " + " ".join(twice))
    try:
        expected = parse_expectations(read_text(args.expect) if args.expect else "{}")
    except ExpectationError as exc:
        raise ExpectationError("{}: {}".format(args.expect, exc)) from exc
    return Job(files, expected, args.policy_type, args.selinux_root)


def _wait_for_children() -> None:
    """Wait for programs that a signal left running between their start and the wait for them.

    What they write after the scratch was removed would stay.
    """
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the checks and return the exit status (see the top of this file)."""
    args = _parser().parse_args(argv)
    try:
        job = _job(args)
        if args.keep:
            os.makedirs(args.keep, exist_ok=True)
            root, result = os.path.join(args.keep, "root"), os.path.join(args.keep, "result.json")
            if os.path.exists(root) and not os.path.exists(result):
                raise ExpectationError("{} is there, and not from an earlier run".format(root))
            shutil.rmtree(root, ignore_errors=True)
    except (ExpectationError, OSError) as exc:
        print("policy-check.py: {}".format(exc), file=sys.stderr)
        return 2
    report = Report()
    folder = args.keep or tempfile.mkdtemp(prefix="policy-check-", dir=args.scratch)
    try:
        run(job, folder, report)
        if args.keep:
            with open(result, "w") as file:
                file.write(report.as_json())
    except SystemExit:
        _wait_for_children()
        raise
    finally:
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)
    return 0 if report.ok else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the scratch is removed
    sys.exit(main())
