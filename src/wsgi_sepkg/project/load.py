"""wsgi-sepkg.toml → Description. Nothing is written; every mistake is found in one pass."""

from __future__ import annotations

import datetime
import re
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from wsgi_sepkg import targets
from wsgi_sepkg.errors import ConfigError, Place, Problem, UsageError
from wsgi_sepkg.project.names import without_replaced
from wsgi_sepkg.project.place import joined, part
from wsgi_sepkg.project.schema import Description
from wsgi_sepkg.project.values import shown

FILE_NAME = "wsgi-sepkg.toml"
_LARGEST = 256_000
_ARRAY_IDS = ("name", "to", "number", "port", "pattern", "path", "source", "interface", "grant")
_OPTION = "--set"


@dataclass(frozen=True)
class Loaded:
    """A description as read for one target.

    ``file`` and ``folder`` say where it is, ``text`` is what the file says, ``origins`` leads from
    keys of the merged description to the keys that were written (overrides, ``--set``), and
    ``warnings`` are the problems that stop nothing, already placed.
    """

    file: Path
    folder: Path
    description: Description
    target: targets.Target
    text: str
    origins: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()

    def placed(self, problems: Iterable[Problem]) -> list[Problem]:
        """Return the problems with file and line, in file order."""
        return _placed(self.file, self.text, self.origins, problems)


def find(project: str | Path) -> Path:
    """Return the description that ``project`` names: a folder, the file itself.

    Raises UsageError when there is none.
    """
    path = Path(project)
    try:
        if path.is_dir():
            path = path / FILE_NAME
        if path.is_file():
            return path
    except (OSError, ValueError) as exc:
        raise UsageError(f"{str(project)!a}: cannot be looked up: {exc}") from exc
    raise UsageError(
        f"{shown(str(path))}: no such description",
        f"name a folder that holds {FILE_NAME}, or the file itself; `wsgi-sepkg init` makes one",
    )


def load(
    project: str | Path,
    target: str = "",
    settings: Sequence[str] = (),
    validate: bool = True,
    text: str | None = None,
) -> Loaded:
    """Read the description of ``project`` for ``target`` and return it.

    ``target`` is a name of ``targets/``; '' takes this host's if the description lists it, else the
    first that it lists, else this host's. ``settings`` are KEY=VALUE overrides for this run.
    ``text`` is judged as if the file of the folder ``project`` said it. Raises ConfigError with all
    mistakes at once, UsageError when the file is not there.
    """
    file = find(project) if text is None else Path(project) / FILE_NAME
    text = _read(file) if text is None else text
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as exc:
        raise ConfigError([_syntax_problem(file, text, exc)]) from exc
    origins = {_apply_setting(raw, setting): f"{_OPTION} {setting}" for setting in settings}
    name = target or _choose_target(raw)
    chosen = targets.load(name)

    problems: list[Problem] = []
    merged = raw
    if isinstance(raw.get("target"), dict):
        problems += _other_overrides(raw, name)
        merged, more, moved = _for_target(raw, name)
        problems += more
        origins = moved | origins
    description, bad = _convert(merged, problems)
    chosen = without_replaced(description, chosen)
    loaded = Loaded(file, file.parent, description, chosen, text, origins)
    if validate:
        from wsgi_sepkg.project.validate import validate as check

        found = check(description, chosen, file.parent, frozenset(bad))
        problems += _not_followed(found, bad, text) if bad else found
        if not any(not p.warning for p in problems):
            problems += _elsewhere(raw, description, chosen, file.parent, problems)
    if any(not p.warning for p in problems):
        raise ConfigError(loaded.placed(problems))
    return replace(loaded, warnings=tuple(loaded.placed(problems))) if problems else loaded


# -- the file --------------------------------------------------------------------------------------


def _read(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            data = stream.read(_LARGEST + 1)
    except OSError as exc:
        raise UsageError(f"{shown(str(file))}: {exc.strerror or exc}") from exc
    if len(data) > _LARGEST:
        raise UsageError(
            f"{shown(str(file))}: larger than {_LARGEST // 1000} kB; this is no description",
            "a description is a few hundred lines of TOML",
        )
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as exc:
        line = data[: exc.start].count(b"\n") + 1
        raise ConfigError(
            [
                Problem(
                    "",
                    f"byte {data[exc.start]:#04x} is not UTF-8",
                    "save the file as UTF-8",
                    place=Place(str(file), line),
                )
            ]
        ) from exc


def _syntax_problem(file: Path, text: str, exc: Exception) -> Problem:
    message = "nested too deeply" if isinstance(exc, RecursionError) else str(exc)
    match = re.search(r"\(at line (\d+), column (\d+)\)", message)
    line = int(match.group(1)) if match else 0
    if "(at end of document)" in message:
        line = text.rstrip("\n").count("\n") + 1
    return Problem(
        "",
        f"not valid TOML: {message}",
        "see https://toml.io for the form of a file",
        place=Place(str(file), line),
    )


def _placed(
    file: Path, text: str, origins: Mapping[str, str], problems: Iterable[Problem]
) -> list[Problem]:
    from wsgi_sepkg.project.place import line_of, lines_of_keys

    places = lines_of_keys(text)
    found = []
    for problem in problems:
        key = _original(problem.key, origins)
        if key.startswith(_OPTION):
            place = Place(key.partition("=")[0], 0, "")
        else:
            place = Place(str(file), line_of(places, key), key)
        found.append(replace(problem, key=key, place=place))
    unique = {(p.place, p.message): p for p in found}
    return sorted(unique.values(), key=lambda p: (p.place.line, _natural(p.key), p.message))


def _original(key: str, origins: Mapping[str, str]) -> str:
    """Return the key that was written for ``key``: its longest part that has another origin."""
    fitting = [m for m in origins if key == m or key.startswith((f"{m}.", f"{m}["))]
    if not fitting:
        return key
    longest = max(fitting, key=len)
    origin = origins[longest]
    return origin if origin.startswith(_OPTION) else origin + key[len(longest) :]


def _natural(key: str) -> list[tuple[int, str]]:
    return [(int(p), "") if p.isdecimal() else (-1, p) for p in re.split(r"(\d{1,9})", key)]


# -- the target and what differs for it ------------------------------------------------------------


def _choose_target(raw: dict[str, Any]) -> str:
    project = raw.get("project")
    listed = project.get("targets", []) if isinstance(project, dict) else []
    host = targets.host_target()
    if not isinstance(listed, list) or not listed:
        return host or "debian-12"
    if host:
        for name in (host, targets.load(host).group):
            if name and name in listed:
                return name
    known = [name for name in listed if name in targets.names()]
    return str(known[0]) if known else host or "debian-12"


def _apply_setting(raw: dict[str, Any], setting: str) -> str:
    """Put one KEY=VALUE into ``raw`` and return its key."""
    key, sign, value = setting.partition("=")
    parts = key.strip().split(".")
    if not sign or not all(parts):
        raise UsageError(
            f"--set {shown(setting)}: not of the form KEY=VALUE", "e.g. --set project.version=1.5"
        )
    if parts[0] == "target":
        raise UsageError(
            f"--set {shown(setting)}: overrides of a target stay in the file",
            "set the key itself, for this run",
        )
    table: Any = raw
    for name in parts[:-1]:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise UsageError(
                f"--set {shown(setting)}: {shown(name)} is not a table of the description",
                "entries of lists are changed in the file",
            )
    table[parts[-1]] = _setting_value(value, _kind_at(parts))
    return ".".join(map(part, parts))


def _setting_value(value: str, kind: Any) -> Any:
    try:
        parsed = tomllib.loads(f"x = {value}")
    except (ValueError, RecursionError):
        return value
    if set(parsed) != {"x"}:
        return value
    # A version such as 1.5 reads as a number; the description wants text there.
    wants_text = str in _members(kind)
    return value if wants_text and isinstance(parsed["x"], int | float) else parsed["x"]


def _kind_at(parts: Sequence[str]) -> Any:
    """Return the type that the schema has at a key, None where it has none."""
    kind: Any = Description
    for name in parts:
        struct = _struct_of(kind)
        if struct is not None:
            known = {f.encode_name: f.type for f in msgspec.structs.fields(struct)}
            kind = known.get(name)
        else:
            kind = _value_of(kind)
    return kind


def _other_overrides(raw: dict[str, Any], name: str) -> list[Problem]:
    """Return what is wrong with the overrides of the targets that this run is not for."""
    known = targets.names()
    problems = []
    for other in raw["target"]:
        if other not in known:
            problems.append(
                Problem(
                    joined("target", other),
                    f"{shown(other)}: no such target{targets.did_you_mean(other[:80], known)}",
                    f"supported: {', '.join(known)}",
                )
            )
        elif other not in _chain(name):
            merged, more, origins = _for_target(raw, other)
            _convert(merged, more)
            written = [replace(p, key=_original(p.key, origins)) for p in more]
            problems += [p for p in written if p.key.startswith(f"target.{other}")]
    return problems


def _chain(name: str) -> list[str]:
    """Return the targets whose overrides count for ``name``: one that stands for it goes first."""
    group = targets.load(name).group if name in targets.names() else ""
    return [group, name] if group else [name]


def _for_target(
    raw: dict[str, Any], name: str
) -> tuple[dict[str, Any], list[Problem], dict[str, str]]:
    """Merge the overrides of ``name``, and before them those of the target that stands for it."""
    merged = raw
    problems: list[Problem] = []
    origins: dict[str, str] = {}
    for each in _chain(name):
        merged, more, moved = _overridden(merged, each)
        problems += more
        origins |= moved
    return merged, problems, origins


def _elsewhere(
    raw: dict[str, Any],
    description: Description,
    chosen: targets.Target,
    folder: Path,
    known: Iterable[Problem],
) -> list[Problem]:
    """Return, as warnings, what is wrong on the other targets that the description lists."""
    from wsgi_sepkg.project.validate import validate as check

    told = {(p.key, p.message) for p in known}
    found = []
    for other in description.project.targets:
        if other == chosen.name or other not in targets.names():
            continue
        merged, _, origins = (
            _for_target(raw, other) if isinstance(raw.get("target"), dict) else (raw, [], {})
        )
        its, bad = _convert(merged, [])
        target = without_replaced(its, targets.load(other))
        for problem in check(its, target, folder, frozenset(bad)):
            if problem.warning or (problem.key, problem.message) in told:
                continue
            named = other in re.split(r"[\s:;,]+", problem.message)
            message = problem.message if named else f"on {other}: {problem.message}"
            key = _original(problem.key, origins)
            found.append(replace(problem, key=key, message=message, warning=True))
    return found


def _overridden(
    raw: dict[str, Any], name: str
) -> tuple[dict[str, Any], list[Problem], dict[str, str]]:
    """Merge ``[target.NAME]`` into the description; elements of arrays are named by their id.

    Returns the merged description, what is wrong with the override, and from which key each
    changed key came.
    """
    result = dict(raw)
    problems: list[Problem] = []
    origins: dict[str, str] = {}
    override = raw["target"].get(name, {})
    for section, changes in override.items() if isinstance(override, dict) else ():
        key = f"target.{name}.{part(section)}"
        kind = _kind_at([section])
        if kind is None or section == "target":
            problems.append(
                Problem(
                    key,
                    f"unknown key {shown(section)}{_nearest(section, _sections())}",
                    f"known here: {', '.join(_sections())}",
                )
            )
        elif not isinstance(changes, dict):
            problems.append(Problem(key, "must be a table", f"write [{key}]"))
        elif typing.get_origin(_plain(kind)) is list:
            elements = raw.get(section, [])
            if isinstance(elements, list):
                result[section], more, moved = _changed(elements, changes, section, key)
                problems += more
                origins |= moved
        elif isinstance(raw.get(section, {}), dict):
            result[section] = {**raw.get(section, {}), **changes}
            origins |= {joined(section, k): joined(key, k) for k in changes}
    return result, problems, origins


def _sections() -> list[str]:
    return [f.encode_name for f in msgspec.structs.fields(Description) if f.name != "target"]


def _changed(
    elements: list[Any], changes: dict[str, Any], section: str, key: str
) -> tuple[list[Any], list[Problem], dict[str, str]]:
    names = [_ids(element) for element in elements]
    problems = []
    usable: dict[str, dict[str, Any]] = {}
    for name, change in changes.items():
        where = joined(key, name)
        count = sum(name in ids for ids in names)
        if not isinstance(change, dict):
            problems.append(Problem(where, "must be a table", f"write [{where}]"))
        elif not count:
            known = sorted({i for ids in names for i in ids})
            problems.append(
                Problem(
                    where,
                    f"{shown(name)}: the description has no such entry to override"
                    f"{_nearest(name, known)}",
                    f"[[{section}]] has {shown(', '.join(known), 400)}" if known else "",
                )
            )
        elif count > 1:
            problems.append(Problem(where, f"{shown(name)} names {count} entries of [[{section}]]"))
        elif not isinstance(change.get("skip", False), bool):
            problems.append(Problem(f"{where}.skip", "is true, or left out"))
        else:
            usable[name] = change
    kept: list[Any] = []
    origins: dict[str, str] = {}
    for index, (element, ids) in enumerate(zip(elements, names, strict=True)):
        mine = [name for name in ids if name in usable]
        if any(usable[name].get("skip") for name in mine):
            continue
        place = f"{section}[{len(kept)}]"
        if index != len(kept):
            origins[place] = f"{section}[{index}]"
        merged = element
        for name in mine:
            change = {k: v for k, v in usable[name].items() if k != "skip"}
            merged = {**merged, **change}
            origins |= {joined(place, k): joined(joined(key, name), k) for k in change}
        kept.append(merged)
    return kept, problems, origins


def _ids(element: object) -> list[str]:
    if not isinstance(element, dict):
        return []
    named = [element[i] for i in _ARRAY_IDS if isinstance(element.get(i), str | int)]
    return list(dict.fromkeys(map(str, named)))


# -- form ------------------------------------------------------------------------------------------


def _convert(raw: dict[str, Any], problems: list[Problem]) -> tuple[Description, set[str]]:
    """Return the typed description, and the keys of what was of the wrong form.

    Mistakes are added to ``problems``; what they spoil is left out or replaced by a stand-in, so
    that the rest can still be validated.
    """
    try:
        return msgspec.convert(raw, Description), set()
    except (msgspec.ValidationError, ValueError, OverflowError, RecursionError):
        pass
    found: list[Problem] = []
    repaired = _repaired(raw, Description, "", found)
    try:
        description = msgspec.convert(repaired, Description)
    except (msgspec.ValidationError, ValueError, OverflowError, RecursionError) as exc:
        found.append(Problem("", _in_toml_words(str(exc))))
        description = msgspec.convert(_stand_in(Description), Description)
    problems += found
    return description, {p.key for p in found}


_BAD: Any = object()


def _repaired(value: Any, kind: Any, key: str, problems: list[Problem]) -> Any:
    """Return ``value`` without its mistakes, or _BAD; add each mistake to ``problems``."""
    struct = _struct_of(kind)
    if struct is not None and isinstance(value, dict):
        return _repaired_table(value, struct, key, problems)
    element = _element_of(kind)
    if element is not None and isinstance(value, list):
        parts = [_repaired(p, element, f"{key}[{i}]", problems) for i, p in enumerate(value)]
        return [_stand_in(element) if p is _BAD else p for p in parts]
    if _value_of(kind) is not None and isinstance(value, dict):
        entries = {
            name: _repaired(p, _value_of(kind), joined(key, name), problems)
            for name, p in value.items()
        }
        return {name: p for name, p in entries.items() if p is not _BAD}
    try:
        msgspec.convert(value, kind)
    except (msgspec.ValidationError, ValueError, OverflowError, RecursionError) as exc:
        problems.append(_wrong_value(value, kind, key, exc))
        return _BAD
    return value


def _repaired_table(
    value: dict[str, Any], struct: type[msgspec.Struct], key: str, problems: list[Problem]
) -> dict[str, Any]:
    known = {f.encode_name: f for f in msgspec.structs.fields(struct)}
    result = {}
    for name, entry in value.items():
        where = joined(key, name)
        if name in known:
            repaired = _repaired(entry, known[name].type, where, problems)
            if repaired is not _BAD:
                result[name] = repaired
        else:
            message = f"unknown key {shown(name)}{_nearest(name, known)}"
            problems.append(Problem(where, message, f"known here: {', '.join(known)}"))
    for name, wanted in known.items():
        if not wanted.required or name in result:
            continue
        if name not in value:
            problems.append(
                Problem(joined(key, name), f"the key {name!r} is missing", _about(wanted.type))
            )
        result[name] = _stand_in(wanted.type)
    return result


def _wrong_value(value: Any, kind: Any, key: str, exc: Exception) -> Problem:
    choices = typing.get_args(_plain(kind))
    if isinstance(value, str) and value == "":
        return Problem(key, "is empty", _about(kind))
    if isinstance(value, str) and typing.get_origin(_plain(kind)) is typing.Literal:
        near = _nearest(value, choices)
        return Problem(key, f"{shown(value)}: no such word here{near}", f"{_listed(choices)}")
    if isinstance(value, str) and (longest := re.search(r"of length <= (\d+)", str(exc))):
        return Problem(
            key, f"longer than {longest.group(1)} characters ({len(value)})", "say it shorter"
        )
    if isinstance(value, str) and "matching regex" in str(exc):
        return Problem(key, f"{value[:80]!a} is not of the form wanted here", _about(kind))
    if "RFC3339" in str(exc):
        return Problem(key, f"{shown(str(value))} is no date", "write it as 2026-11-20, unquoted")
    return Problem(key, _in_toml_words(str(exc)), _about(kind))


def _listed(words: Sequence[str]) -> str:
    return "one of " + ", ".join(words)


def _about(kind: Any) -> str:
    """Return what the schema says about a field."""
    texts = [getattr(meta, "description", None) for meta in getattr(kind, "__metadata__", ())]
    return next((t for t in reversed(texts) if t), "")


def _stand_in(kind: Any) -> Any:
    """Return some value of the kind, in the place of one that is missing or wrong."""
    struct = _struct_of(kind)
    if str in _members(kind):
        return "x"
    if struct is not None:
        wanted = (f for f in msgspec.structs.fields(struct) if f.required)
        return {f.encode_name: _stand_in(f.type) for f in wanted}
    plain = _plain(kind)
    if typing.get_origin(plain) is typing.Literal:
        return typing.get_args(plain)[0]
    simple: dict[Any, Any] = {int: 1, bool: False, datetime.date: datetime.date(2026, 1, 1)}
    return next((simple[m] for m in _members(kind) if m in simple), [])


def _plain(kind: Any) -> Any:
    return typing.get_args(kind)[0] if hasattr(kind, "__metadata__") else kind


def _members(kind: Any) -> list[Any]:
    """Return the members of a union, or the kind alone, without their constraints."""
    kind = _plain(kind)
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return [m for k in typing.get_args(kind) for m in _members(k)]
    return [kind]


def _struct_of(kind: Any) -> type[msgspec.Struct] | None:
    for member in _members(kind):
        if isinstance(member, type) and issubclass(member, msgspec.Struct):
            return member
    return None


def _element_of(kind: Any) -> Any:
    """Return what the list of the kind holds, None when it is no list."""
    for member in _members(kind):
        if typing.get_origin(member) is list:
            return typing.get_args(member)[0]
    return None


def _value_of(kind: Any) -> Any:
    """Return what the values of a table with free keys are, None when it is none."""
    for member in _members(kind):
        if typing.get_origin(member) is dict:
            return typing.get_args(member)[1]
    return None


def _nearest(word: str, known: Iterable[str]) -> str:
    # The comparison is quadratic in the length of the words.
    return targets.did_you_mean(word, known) if len(word) <= 80 else ""


_TOML_WORDS = {
    "object": "a table",
    "array": "a list",
    "str": "text",
    "int": "a whole number",
    "float": "a number with a fraction",
    "bool": "true or false",
    "date": "a date",
    "datetime": "a date with a time",
    "time": "a time",
    "null": "nothing",
}


def _in_toml_words(text: str) -> str:
    """Return a message of msgspec in the words of TOML."""
    text = re.sub(r" - at `\$[^`]*`$", "", text)

    def words(match: re.Match[str]) -> str:
        return " or ".join(_TOML_WORDS.get(w, w) for w in match.group(1).split(" | "))

    text = re.sub(r"`([^`]*)`", words, text)
    return text[:1].lower() + text[1:]


def _not_followed(found: list[Problem], bad: set[str], text: str) -> list[Problem]:
    """Return the problems that do not merely follow from a key of the wrong form."""
    from wsgi_sepkg.project.place import lines_of_keys

    places = lines_of_keys(text)

    def touches(one: str, other: str) -> bool:
        return one == other or one.startswith((f"{other}.", f"{other}["))

    def follows(problem: Problem) -> bool:
        table = problem.key.rpartition(".")[0]
        return any(
            touches(problem.key, key)
            or touches(key, problem.key)
            or (problem.key not in places and bool(table) and touches(key, table))
            for key in bad
        )

    return [p for p in found if not follows(p)]
