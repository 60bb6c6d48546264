"""The -selinux subpackage in a spec that somebody else wrote: put in and taken out.

Whole lines are put in and nothing else is touched, so that taking them out gives back the spec byte
for byte. Each block stands between two lines that define a macro: unlike comments, these vanish in
every section, also in a %description, in all releases of rpm. The block's first line carries a
digest, by which an edit by hand is noticed.

The parts are those of the package of policy alone (specs/package.spec.j2), cut from its rendered
spec: so both say the same. What the spec is, specfile tells, which parses it by rpm's own library.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from msgspec.structs import replace as changed

from wsgi_sepkg.errors import BuildFailed, ForeignFile, ToolMissing, UsageError
from wsgi_sepkg.package.tree import Tree, generate
from wsgi_sepkg.project.load import Loaded
from wsgi_sepkg.project.names import module_name, prefix
from wsgi_sepkg.project.values import shown

_BEGIN = "%global wsgisepkg_block_begin"
_END = "%global wsgisepkg_block_end"
_BLOCK = re.compile(rf"^{_BEGIN} (\S+) ([0-9a-f]{{16}})\n(.*?)^{_END} \1\n", re.M | re.S)
_FILE = re.compile(r"^# wsgi-sepkg: source (\S+) ([0-9a-f]{64})$", re.M)
_SECTION = re.compile(
    r"%(package|description|prep|generate_buildrequires|conf|build|install|check|clean|pre|post|"
    r"preun|postun|pretrans|posttrans|preuntrans|postuntrans|verifyscript|trigger\w*|"
    r"filetrigger\w*|transfiletrigger\w*|files|changelog|sourcelist|patchlist)\b"
)
_LARGEST = 2_000_000


@dataclass(frozen=True)
class Grafted:
    """A spec with the subpackage, and the sources that belong beside it, by name."""

    text: str
    sources: Mapping[str, bytes]


@dataclass
class _Section:
    """A section: name, argument (the package it is for), first line and the line after its last."""

    name: str
    argument: str
    start: int
    end: int
    program: str = ""


class _Spec:
    """A spec as lines, with its sections and how many conditions are open before each line."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines(keepends=True)
        self.sections = _sections(text)
        self.open: list[int] = []
        depth = 0
        for line in self.lines:
            word = line.split(maxsplit=1)[0] if line.strip() else ""
            if word == "%endif":
                depth -= 1
                self.open.append(depth + 1)
                continue
            self.open.append(depth)
            if re.fullmatch(r"%if(n?arch|n?os)?", word):
                depth += 1
        self.open.append(depth)

    def find(self, name: str, argument: str = "") -> _Section | None:
        """Return the first section of that name for that package."""
        fitting = (s for s in self.sections if (s.name, s.argument) == (name, argument))
        return next(fitting, None)

    def before(self, section: _Section) -> int:
        """Return the line before which something can stand that must not depend on conditions."""
        at = section.start
        while at and self.open[at] > 0:
            at -= 1
        while at and self.lines[at - 1].startswith("#"):
            at -= 1
        return at

    def end_of(self, section: _Section) -> int | None:
        """Return the line after a section's last own line, None when it depends on a condition."""
        at = section.end
        while at > section.start + 1 and (
            self.open[at] > self.open[section.start]
            or not self.lines[at - 1].strip()
            or self.lines[at - 1].startswith("#")
        ):
            at -= 1
        return at if self.open[section.start] == 0 and self.open[at] == 0 else None


def _sections(text: str) -> list[_Section]:
    """Return the sections of a spec, the preamble first.

    Not by specfile's own: its result depends on which macros rpm happens to know already.
    """
    lines = text.splitlines()
    found = [_Section("package", "", 0, len(lines))]
    braces, continued = 0, False
    for number, line in enumerate(lines):
        inside = braces > 0 or continued
        match = None if inside else _SECTION.match(line)
        if match:
            found[-1].end = number
            argument, program = _arguments(line.split()[1:])
            found.append(_Section(match.group(1), argument, number, len(lines), program))
        elif inside or re.match(r"\s*%(global|define|\{)", line):
            # The body of a macro may go over several lines, and hold lines that look like sections.
            braces = max(0, braces + line.count("{") - line.count("}"))
            continued = line.endswith("\\")
    return found


def _arguments(options: list[str]) -> tuple[str, str]:
    """Return the package of a section's line as it is written, and the program of a scriptlet."""
    argument, program = "", ""
    while options:
        word = options.pop(0)
        if word == "-n" and options:
            argument = f"-n {options.pop(0)}"
        elif word == "-p" and options:
            program = options.pop(0)
        elif word == "-f" and options:
            options.pop(0)
        elif not word.startswith(("-", "%")):
            argument = argument or word
    return argument, program


# -- what is put in --------------------------------------------------------------------------------


def policy_alone(loaded: Loaded) -> Tree:
    """Return what the description gives without its application, under the same names."""
    description = loaded.description
    application = description.application
    project = changed(
        description.project, module=module_name(description), prefix=prefix(description)
    )
    if application is not None:
        if application.confinement != "shared":
            raise UsageError(
                f"{application.confinement} confinement brings entry points and units along",
                "only shared confinement fits into a spec of somebody else",
            )
        path = description.path
        if not path.code:
            path = changed(path, code=application.root)
        description = changed(description, application=None, file=[], unit=[], path=path)
    return generate(replace(loaded, description=changed(description, project=project)))


def _cut(text: str) -> dict[str, str]:
    """Return the sections of our own spec by name; the preamble is ``package``."""
    parts: dict[str, list[str]] = {"package": []}
    name = "package"
    for line in text.splitlines(keepends=True):
        match = _SECTION.match(line)
        if match:
            name = match.group(1)
            parts[name] = []
        else:
            parts[name].append(line)
    return {k: "".join(v).strip("\n") + "\n" for k, v in parts.items()}


def add(text: str, loaded: Loaded, package: str = "") -> Grafted:
    """Return ``text`` with the subpackage of ``loaded``.

    ``package`` names the package that holds the application's files, as %files does ('' or
    ``-n NAME``); default: the one that has files. Raises UsageError where the spec has no place for
    a part, or has such a subpackage already; ToolMissing without rpm's Python module; BuildFailed
    when rpm cannot parse the result.
    """
    if _BLOCK.search(text):
        raise UsageError("the spec has the subpackage already", "use `wsgi-sepkg spec update`")
    info = _parsed(text)
    spec = _Spec(text)
    tree = policy_alone(loaded)
    if "selinux" in {s.argument for s in spec.sections} | {
        s.argument.removeprefix(f"-n {info.name}-") for s in spec.sections
    }:
        raise UsageError(
            "the spec has a -selinux subpackage of its own",
            "take it out first, or write this one by hand",
        )
    if f"{info.name}-selinux" != tree.plan.name:
        raise UsageError(
            f"the description is for {tree.plan.name}, the spec is for {info.name}",
            f'set project.name = "{info.name}"',
        )
    placed = _placed(spec, tree, info, _owner(spec, package))
    lines = list(spec.lines)
    # From the end; of two at one line, the second one first.
    for at, name, body in sorted(placed, key=lambda p: p[0])[::-1]:
        lines[at:at] = _block(name, body).splitlines(keepends=True)
    result = "".join(lines)
    _parsed(result)
    return Grafted(result, _sources(tree))


def remove(text: str, force: bool = False) -> tuple[str, dict[str, str]]:
    """Return ``text`` without the subpackage, and the digests of its sources by name.

    Raises UsageError when there is none, ForeignFile when a block was edited and not ``force``.
    """
    blocks = list(_BLOCK.finditer(text))
    begun = len(re.findall(rf"^{_BEGIN} ", text, re.M))
    if not blocks or begun != len(blocks) or begun != len(re.findall(rf"^{_END} ", text, re.M)):
        raise UsageError(
            "the spec has no subpackage of wsgi-sepkg"
            if not begun
            else "the lines around the blocks of wsgi-sepkg were changed",
            "" if not begun else "take the blocks out by hand",
        )
    edited = [b.group(1) for b in blocks if _digest(b.group(3)) != b.group(2)]
    if edited and not force:
        raise ForeignFile(
            f"edited by hand since: block {', '.join(edited)} of the spec",
            "use --force to lose the edit; additions belong into wsgi-sepkg.toml",
        )
    files = {name: digest for b in blocks for name, digest in _FILE.findall(b.group(3))}
    return _BLOCK.sub("", text), files


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def _block(name: str, body: str) -> str:
    return f"{_BEGIN} {name} {_digest(body)}\n{body}{_END} {name}\n"


def _sources(tree: Tree) -> dict[str, bytes]:
    return {s.name: tree.files[f"{s.folder}/{s.name}"] for s in tree.plan.sources if s.folder}


@dataclass(frozen=True)
class _Info:
    """What rpm says of the spec."""

    name: str
    numbers: tuple[int, ...]
    has_bcond: bool


def _parsed(text: str) -> _Info:
    """Return what rpm's parser says. Raises BuildFailed when it cannot parse the spec."""
    if len(text) > _LARGEST:
        raise UsageError("the spec is too large", "a spec is a few hundred lines")
    try:
        from specfile.exceptions import SpecfileException
        from specfile.specfile import Specfile
    except ImportError as exc:
        raise ToolMissing(
            "rpm's Python module", "python3-rpm", "python3-rpm", "specs are parsed by rpm"
        ) from exc
    import tempfile

    with tempfile.TemporaryDirectory(prefix="wsgi-sepkg-spec-") as folder:
        try:
            spec: Any = Specfile(content=text, sourcedir=folder, force_parse=True)
            with spec.sources() as sources:
                numbers = tuple(s.number for s in sources)
            return _Info(
                str(spec.expanded_name),
                numbers,
                bool(re.search(r"^%bcond(_with(out)?)? selinux\b", text, re.M)),
            )
        except SpecfileException as exc:
            raise BuildFailed(
                f"rpm cannot parse the spec: {' '.join(str(exc).split())[:400]}",
                "try `rpmspec --parse` on it",
            ) from exc


def _owner(spec: _Spec, package: str) -> str:
    """Return the argument of %files that the application's files stand in."""
    wanted = [s.argument for s in spec.sections if s.name == "files"]
    if package:
        for form in (package, f"-n {package}"):
            if form in wanted:
                return form
        raise UsageError(f"{shown(package)}: the spec has no %files for it", "see its %files lines")
    if not wanted:
        raise UsageError("the spec has no %files", "name the package with --package")
    return "" if "" in wanted else wanted[0]


def _placed(spec: _Spec, tree: Tree, info: _Info, owner: str) -> list[tuple[int, str, str]]:
    """Return line, name and text of each block."""
    parts = _cut(tree.files[f"{tree.plan.name}.spec"].decode())
    with_ = ("%if %{with selinux}\n", "%endif\n")

    def guarded(body: str) -> str:
        return f"{with_[0]}{body}{with_[1]}"

    build, install, check = _steps(parts, tree)
    blocks = [(_preamble_line(spec), "preamble", _preamble(spec, parts, tree, info, owner))]
    if owner:
        section = spec.find("package", owner)
        if section is None:
            raise UsageError(f"the spec has no %package {owner}", "name another with --package")
        blocks.append((section.start + 1, "requires", guarded(_requires(tree, "        "))))
    first = next((s for s in spec.sections if s.name in ("prep", "build", "install")), None)
    final = spec.find("install")
    if first is None or final is None:
        raise UsageError("the spec has no %install", "add an %install section first")
    blocks.append((spec.before(first), "package", guarded(_package(parts))))
    compiled = spec.find("build")
    if compiled is None:
        blocks.append((spec.before(final), "build", f"%build\n{guarded(build)}\n"))
    else:
        blocks.append((_inside(spec, compiled), "build", guarded(build)))
    checked = spec.find("check")
    at = spec.end_of(checked) if checked is not None else None
    if checked is not None and at is None:
        install += check  # a %check that depends on a condition would leave ours out
    blocks.append((_inside(spec, final), "install", guarded(install)))
    if at is not None:
        blocks.append((at, "check", guarded(check)))
    elif checked is None:
        following = next((s for s in spec.sections if s.start >= final.end), None)
        if following is None:
            raise UsageError("the spec ends with %install", "add %files first")
        blocks.append((spec.before(following), "check", f"%check\n{guarded(check)}\n"))
    last = spec.find("changelog")
    if last is None or last.start < first.start:
        last = next(s for s in spec.sections if s.name == "files")
    rest, merged = _scriptlets(spec, parts, tree, owner)
    blocks.append((spec.before(last), "scriptlets", guarded(rest)))
    return blocks + merged


def _inside(spec: _Spec, section: _Section) -> int:
    at = spec.end_of(section)
    if at is None:
        raise UsageError(
            f"%{section.name} of the spec stands in a condition",
            "the policy is built whatever the condition says: end the condition in the section",
        )
    return at


def _preamble_line(spec: _Spec) -> int:
    """Return the line after the last tag of a source that depends on no condition."""
    preamble = spec.sections[0]
    names = (r"source\d*\s*:", r"(patch\d*|url|license|name)\s*:")
    for pattern in names:
        fitting = [
            n
            for n in range(preamble.end)
            if spec.open[n] == 0 and re.match(rf"(?i){pattern}", spec.lines[n])
        ]
        if fitting:
            return fitting[-1] + 1
    raise UsageError("the spec has no Name outside of conditions", "is it a spec?")


def _preamble(spec: _Spec, parts: dict[str, str], tree: Tree, info: _Info, owner: str) -> str:
    """Return globals, macros, sources and requirements, aligned as the spec's own tags are."""
    ours = parts["package"].splitlines(keepends=True)
    name = next(n for n, line in enumerate(ours) if line.startswith("Name:"))
    head = "".join(ours[1:name]).strip("\n") + "\n"
    column = 16
    for line in spec.lines[: spec.sections[0].end]:
        match = re.match(r"(?i)((?:source\d*|license|url)\s*:\s*)\S", line)
        if match and "\t" not in match.group(1):
            column = len(match.group(1))
            break
    number = max(info.numbers, default=-1) + 1
    lines = []
    if not info.has_bcond:
        lines.append("# --without selinux builds the application alone.\n%bcond_without selinux\n")
    lines.append(head)
    for offset, source in enumerate(tree.plan.sources):
        tag = f"Source{number + offset}:"
        lines.append(
            f"{tag:<{column}}{source.name}\n" if len(tag) < column else f"{tag} {source.name}\n"
        )
    digests = {n: hashlib.sha256(c).hexdigest() for n, c in _sources(tree).items()}
    lines += [f"# wsgi-sepkg: source {n} {d}\n" for n, d in sorted(digests.items())]
    needed = "".join(
        _aligned(line, column)
        for line in ours
        if line.startswith(("BuildRequires:", "# The macros"))
    )
    own = _requires(tree, " " * max(1, column - len("Requires:"))) if not owner else ""
    lines.append(f"%if %{{with selinux}}\n{needed}{own}%endif\n")
    return "".join(lines)


def _aligned(line: str, column: int) -> str:
    tag, sign, value = line.partition(":")
    if not sign or tag.startswith("#"):
        return line
    head = f"{tag}:"
    return f"{head:<{column}}{value.lstrip()}" if len(head) < column else f"{head} {value.lstrip()}"


def _requires(tree: Tree, gap: str) -> str:
    name = tree.plan.name
    lines = ["# Labels are right at unpacking when the policy is there first.\n"]
    lines.append(f"OrderWithRequires: {name}\n")
    for type_ in tree.plan.policy_types:
        rich = (
            f"({name} = %{{?epoch:%{{epoch}}:}}%{{version}}-%{{release}} if selinux-policy-{type_})"
        )
        lines.append(f"Requires:{gap}{rich}\n")
    return "".join(lines)


def _package(parts: dict[str, str]) -> str:
    """Return %package and %description of the subpackage."""
    ours = parts["package"].splitlines(keepends=True)
    tags = [line for line in ours if line.startswith(("%{?selinux_requires", "Requires", "# Each"))]
    licence = next(line for line in ours if line.startswith("License:"))
    head = "Summary:        SELinux policy for %{name}\n" + licence + "BuildArch:      noarch\n"
    return (
        f"%package selinux\n{head}{''.join(tags)}\n%description selinux\n{parts['description']}\n"
    )


def _steps(parts: dict[str, str], tree: Tree) -> tuple[str, str, str]:
    """Return what is added to %build, %install and %check, each in a shell of its own."""
    # Beside the sources: some specs install all that lies in their folder.
    where = '"$RPM_BUILD_DIR/%{name}-wsgi-sepkg"'
    entering = "cd %{name}-%{version}\n"
    copies = "".join(
        line for line in parts["prep"].splitlines(keepends=True) if line.startswith("cp -p")
    )
    build = parts["build"].removeprefix(entering)
    start = f"rm -rf {where}\nmkdir -p {where}/policy\ncd {where}\n{copies}"
    install = parts["install"].removeprefix(entering)
    check = parts["check"].removeprefix(entering)
    return (
        f"(\n{start}{build})\n",
        f"(\ncd {where}\n{install})\n",
        f"(\ncd {where}\n{check})\n",
    )


def _scriptlets(
    spec: _Spec, parts: dict[str, str], tree: Tree, owner: str
) -> tuple[str, list[tuple[int, str, str]]]:
    """Return the subpackage's scriptlets and files, and what the application's own get added."""
    texts = []
    for name in ("pre", "post", "preun", "postun", "posttrans", "verifyscript"):
        if name in parts:
            texts.append(f"%{name} selinux\n{parts[name]}\n")
    first = f"%{{_localstatedir}}/lib/rpm-state/{tree.plan.name}.first"
    marks = (
        "# %%posttrans cannot tell a first install from an upgrade.\n"
        'if [ "$1" -eq 1 ] && selinuxenabled >/dev/null 2>&1; then\n'
        f"  (mkdir -p %{{_localstatedir}}/lib/rpm-state && : >{first}) >/dev/null 2>&1 || :\n"
        "fi\n"
    )
    verify = "".join(
        f"%wsgisepkg_begin -s {t}\n%wsgisepkg_verify -s {t} {' '.join(tree.plan.modules)}\n"
        for t in tree.plan.policy_types
    )
    labels = (
        "# The policy may be here from an earlier transaction, and rpm may unpack without labels.\n"
        f"if [ -e {first} ]; then\n"
        f"  rm -f {first} || :\n"
        "  restorecon -R -i %{wsgisepkg_paths} >/dev/null 2>&1 || :\n"
        f"  if [ -e %{{wsgisepkg_manifest}} ]; then\n{verify}  :\n  fi\n"
        "fi\n"
    )
    merged: list[tuple[int, str, str]] = []
    for names, body in ((("post", "pre"), marks), (("posttrans",), labels)):
        place, new = _scriptlet_place(spec, names, owner)
        if place is None:
            head = f"%{new} {owner}" if owner else f"%{new}"
            texts.append(f"{head}\n{body}:\n\n")
        else:
            merged.append((place, new, f"%if %{{with selinux}}\n{body}%endif\n"))
    return "".join(texts) + f"%files selinux\n{parts['files']}\n", merged


def _scriptlet_place(spec: _Spec, names: tuple[str, ...], owner: str) -> tuple[int | None, str]:
    """Return the line in an existing scriptlet where lines of shell can go, None to make one."""
    for name in names:
        found = spec.find(name, owner)
        if found is None:
            return None, name
        if (
            found.program in ("", "/bin/sh", "/usr/bin/sh", "/bin/bash")
            and not spec.open[found.start]
        ):
            return found.start + 1, name
    raise UsageError(
        f"%{names[-1]} of the spec is no shell script, or stands in a condition",
        "the labels of a first installation are set in it",
    )
