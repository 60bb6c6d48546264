"""Names that follow from a description: the module, own types, tunables, paths by use.

Pure functions of the description and the target's facts, used by the validation (are they free?)
and by the policy (what do they stand for?), so that both see the same names.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, lru_cache

from wsgi_sepkg.project.schema import PATH_USES, Connect, Description, PathEntry, Paths, Port
from wsgi_sepkg.targets import Facts, Target, unconditional_services

# Types that the base policy gives to whole trees: a path below them has no owner yet.
GENERIC_TYPES = frozenset(
    [
        "default_t",
        "root_t",
        "etc_t",
        "usr_t",
        "lib_t",
        "bin_t",
        "var_t",
        "var_lib_t",
        "var_log_t",
        "var_run_t",
        "var_cache_t",
        "run_t",
        "runtime_t",
        "var_spool_t",
        "var_lock_t",
        "tmp_t",
        "mnt_t",
        "home_root_t",
        "user_home_t",
        "user_home_dir_t",
        "httpd_sys_content_t",
        "init_runtime_t",
        "init_var_run_t",
    ]
)


@dataclass(frozen=True)
class Use:
    """What a path is used for: the suffix of its own type, the kind of the type."""

    name: str
    suffix: str
    kind: str


USES = {
    "code": Use("code", "content_t", "content"),
    "static": Use("static", "static_t", "content"),
    "media": Use("media", "media_t", "data"),
    "data": Use("data", "data_t", "data"),
    "log": Use("log", "log_t", "log"),
    "cache": Use("cache", "cache_t", "cache"),
    "config": Use("config", "config_t", "config"),
    "secret": Use("secret", "secret_t", "secret"),
    "socket": Use("socket", "runtime_t", "runtime"),
    "runtime": Use("runtime", "runtime_t", "runtime"),
    "temporary": Use("temporary", "tmp_t", "temporary"),
}


@dataclass(frozen=True)
class UsedPath:
    """One path of ``[path]``: ``key`` is its TOML path; the module ``kept_by`` keeps its label."""

    use: Use
    key: str
    entry: PathEntry
    type: str
    is_file: bool
    kept_by: str = ""

    @property
    def path(self) -> str:
        """The path itself, absolute, no pattern."""
        return self.entry.path


def module_name(description: Description) -> str:
    """Return the name of the policy module."""
    return description.project.module or re.sub(
        r"[^a-z0-9_]", "_", description.project.name.lower()
    )


def without_replaced(description: Description, target: Target) -> Target:
    """Return ``target`` as it is beside our module where that replaces one of the base policy."""
    module = module_name(description)
    if not description.project.replace_base_module or module not in target.facts.modules:
        return target
    return replace(target, facts=target.facts.without(module))


def prefix(description: Description) -> str:
    """Return what the names of own types and tunables begin with."""
    return description.project.prefix or re.sub(r"[^a-z0-9_]", "_", module_name(description))


def ports_module(description: Description) -> str:
    """Return the name of the CIL module that labels ports (a CIL module is named by its file)."""
    return f"{module_name(description)}_ports"


def environment_folder(description: Description) -> str:
    """Return the folder of the virtual environment where dependencies are bundled, '' elsewhere."""
    application = description.application
    if application is None or application.dependencies != "bundled":
        return ""
    return f"/usr/lib/{description.project.name}/venv"


def pattern_of(path: str) -> str:
    """Return the pattern of a file context that means ``path`` alone."""
    return re.sub(r"[.+]", r"\\\g<0>", path)


def path_entries(paths: Paths) -> Iterator[tuple[str, str, PathEntry]]:
    """Yield (use, TOML key, entry) for each path of ``[path]``."""
    for use in PATH_USES:
        value = getattr(paths, use)
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield use, f"path.{use}[{index}]", _entry(item)
        else:
            yield use, f"path.{use}", _entry(value)


def _entry(value: str | PathEntry) -> PathEntry:
    return PathEntry(path=value) if isinstance(value, str) else value


def used_paths(description: Description, target: Target) -> list[UsedPath]:
    """Return every path by use with its type on ``target``.

    A path that a module of the base policy labels with a type of its own keeps that label, unless
    the entry gives a reason to override it; ``kept_by`` then names the module.
    """
    application = description.application
    entries = list(path_entries(description.path))
    if application is not None and not any(use == "code" for use, _, _ in entries):
        entries.insert(0, ("code", "application.root", PathEntry(path=application.root)))
    shipped = {item.path for item in description.file}
    kept = _kept(entries, shipped, target.facts)
    result = []
    for use_name, key, entry in entries:
        use = USES[use_name]
        is_file = use_name == "secret" or entry.path in shipped
        type_, kept_by = kept.get(key, ("", ""))
        type_ = type_ or entry.type or f"{prefix(description)}_{use.suffix}"
        result.append(UsedPath(use, key, entry, type_, is_file, kept_by))
    return result


def _kept(
    entries: list[tuple[str, str, PathEntry]], shipped: set[str], facts: Facts
) -> dict[str, tuple[str, str]]:
    """Return (type, module) by key for the paths that keep a label of the base policy.

    Below a folder that we label ourselves only a context that is more precise than ours remains.
    """
    kept: dict[str, tuple[str, str]] = {}
    ours: list[str] = []
    for use, key, entry in sorted(entries, key=lambda item: len(item[2].path)):
        is_file = use == "secret" or entry.path in shipped
        line = None
        if not entry.override and not entry.type:
            line = _label_line(facts, entry.path if is_file else f"{entry.path}/x", "--")
        if line is not None:
            pattern, _, type_, module = line
            above = max((len(p) for p in ours if entry.path.startswith(p + "/")), default=0)
            foreign = module and type_ not in GENERIC_TYPES and type_ != "<<none>>"
            if foreign and _precision(pattern) >= above:
                kept[key] = (type_, module)
                continue
        ours.append(entry.path)
    return kept


def label_of(facts: Facts, path: str, file_type: str = "--") -> tuple[str, str]:
    """Return (type, module) that the base policy alone gives to ``path``, ('', '') for none.

    The last matching line of file_contexts wins (selabel_file(5)); equivalences come first.
    """
    line = _label_line(facts, path, file_type)
    return ("", "") if line is None or line[2] == "<<none>>" else (line[2], line[3])


@lru_cache(4096)
def _label_line(facts: Facts, path: str, file_type: str) -> tuple[str, str, str, str] | None:
    """Return (pattern, file type, type, module) of the line that labels ``path``."""
    for alias, real in facts.equivalences:
        if path == alias or path.startswith(alias + "/"):
            path = real + path[len(alias) :]
            break
    index = _context_index(facts, path[:_TREE])
    candidates = [i for n in range(_STEM + 1) for i in index.get(path[:n], ()) if n <= len(path)]
    for position in sorted(set(candidates), reverse=True):
        pattern, kind, _, _ = facts.contexts[position]
        # Compiling is the costly part: most candidates share their first characters only.
        if kind not in ("any", file_type) or not path.startswith(_stem(pattern)):
            continue
        try:
            if re.fullmatch(pattern, path):
                return facts.contexts[position]
        except re.error:
            continue
    return None


def _precision(pattern: str) -> int:
    """Return how many characters stand before the first that is special: the linker sorts by it.

    A pattern without any goes after all others (cil_post_filecon_compare in libsepol).
    """
    plain = re.sub(r"\\.", "x", pattern)
    match = re.search(r"[.^$?*+|\[({]", plain)
    return match.start() if match else len(plain) + 4096


def type_of_pattern(facts: Facts, pattern: str, file_type: str) -> str:
    """Return the type that the base policy gives to this very pattern, '' when it has none.

    ``file_type`` is ``any``, ``--``, ``-d``, ...
    """
    index = _context_index(facts, pattern[:_TREE])
    for position in index.get(_stem(pattern)[:_STEM], ()):
        known, kind, type_, _ = facts.contexts[position]
        if (known, kind) == (pattern, file_type):
            return type_
    return ""


_STEM = 14
_TREE = 4  # "/usr", "/etc", ...


@cache
def _context_index(facts: Facts, tree: str) -> dict[str, list[int]]:
    """Return positions in ``facts.contexts`` by the first characters that a path must have.

    Only entries that can match below ``tree`` (the first characters of a path) are in it: finding
    the literal beginning of all of them would take longer than the rest of ``generate``.
    """
    trees, anywhere = _trees(facts)
    index: dict[str, list[int]] = {}
    for position in heapq.merge(trees.get(tree, ()), anywhere):
        index.setdefault(_stem(facts.contexts[position][0])[:_STEM], []).append(position)
    return index


@cache
def _trees(facts: Facts) -> tuple[dict[str, list[int]], list[int]]:
    """Return positions in ``facts.contexts`` by their first characters, and those for any path."""
    trees: dict[str, list[int]] = {}
    anywhere = []
    for position, (pattern, *_) in enumerate(facts.contexts):
        if pattern[1:_TREE].isalpha() and pattern[_TREE : _TREE + 1] not in ("?", "*", "{"):
            trees.setdefault(pattern[:_TREE], []).append(position)
        else:
            anywhere.append(position)
    return trees, anywhere


_META = re.compile(r"[.^$?*+|\[({\\]")


def _stem(pattern: str) -> str:
    """Return the literal beginning of a pattern, as far as it surely must match."""
    match = _META.search(pattern)
    if match is None:
        return pattern
    # A quantifier or an alternative reaches back to the character before it.
    return pattern[: match.start() - 1] if match.group() in "?*{|" else pattern[: match.start()]


def port_type(description: Description, port: Port) -> str:
    """Return the type of a port of our own, or the base policy's where one is named."""
    return port.type or f"{prefix(description)}_port_t"


def connect_type(description: Description, connect: Connect) -> str:
    """Return the own port type that a connection to a bare number uses."""
    return f"{prefix(description)}_{connect.port}_port_t"


def connect_tunable(description: Description, connect: Connect) -> str:
    """Return the name of the tunable that guards a connection."""
    what = (connect.to or f"port_{connect.port}").replace("-", "_")
    return connect.tunable or f"{prefix(description)}_connect_{what}"


def has_tunable(connect: Connect) -> bool:
    """Tell whether a tunable guards a connection."""
    return connect.through == "tunable" and connect.to not in unconditional_services()


def own_types(description: Description, target: Target) -> dict[str, str]:
    """Return every type that the module declares, with the TOML key that asked for it."""
    types: dict[str, str] = {}
    start = prefix(description)
    for used in used_paths(description, target):
        if not used.kept_by and used.type.startswith(f"{start}_"):
            types.setdefault(used.type, used.key)
    for index, declared in enumerate(description.type):
        types.setdefault(declared.name, f"type[{index}]")
    for index, domain in enumerate(description.domain):
        types.setdefault(domain.name, f"domain[{index}]")
        if domain.entry not in target.facts.types:
            types.setdefault(domain.entry, f"domain[{index}].entry")
    for index, port in enumerate(description.port):
        name = port_type(description, port)
        if name not in target.facts.types:
            types.setdefault(name, f"port[{index}].type")
    for index, connect in enumerate(description.connect):
        if connect.port and not base_port_type(target.facts, "tcp", connect.port):
            types.setdefault(connect_type(description, connect), f"connect[{index}].port")
    return types


def own_tunables(description: Description) -> dict[str, str]:
    """Return every tunable that the module declares, with its TOML key."""
    tunables = {t.name: f"tunable[{i}]" for i, t in enumerate(description.tunable)}
    for index, connect in enumerate(description.connect):
        if has_tunable(connect):
            tunables.setdefault(connect_tunable(description, connect), f"connect[{index}]")
    return tunables


_WIDE = frozenset(
    {"reserved_port_t", "unreserved_port_t", "hi_reserved_port_t", "ephemeral_port_t"}
)


def base_port_type(facts: Facts, protocol: str, number: int) -> str:
    """Return the type that the base policy gives to a port, '' where only a wide range has it."""
    for fact in facts.ports:
        if fact.protocol == protocol and fact.low <= number <= fact.high and fact.type not in _WIDE:
            return fact.type
    return ""


def port_range(number: int | str) -> tuple[int, int]:
    """Return both ends of ``8765`` or ``'8000-8010'``. Raises ValueError."""
    low, dash, high = str(number).partition("-")
    first = int(low)
    last = int(high) if dash else first
    if not 0 < first <= last <= 65535:
        raise ValueError(f"{number}: not a port or a range of ports between 1 and 65535")
    return first, last
