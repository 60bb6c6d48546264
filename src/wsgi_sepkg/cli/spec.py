"""``wsgi-sepkg spec add``, ``update`` and ``remove``."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from wsgi_sepkg.cli import common

_Spec = Annotated[Path, typer.Argument(metavar="SPEC", help="The spec; its sources lie beside it.")]
_Project = Annotated[
    str,
    typer.Option(
        "--project",
        "-p",
        metavar="PROJECT",
        help="The description: a folder or the file.",
        show_default="beside the spec",
    ),
]
_Package = Annotated[
    str,
    typer.Option(
        "--package",
        metavar="NAME",
        help="The package of the spec that holds the application's files.",
        show_default="the one that has %files",
    ),
]
_Force = Annotated[bool, typer.Option("--force", help="Lose edits of what was put in.")]


def register(app: typer.Typer) -> None:
    """Add the group of commands to ``app``."""
    group = typer.Typer(
        no_args_is_help=True,
        help="The -selinux subpackage in a spec that you have already.",
        epilog="Example: wsgi-sepkg spec add myapp.spec",
    )
    group.command(epilog="Example: wsgi-sepkg spec add myapp.spec")(add)
    group.command(epilog="Example: wsgi-sepkg spec update myapp.spec")(update)
    group.command(epilog="Example: wsgi-sepkg spec remove myapp.spec")(remove)
    app.add_typer(group, name="spec")


def add(
    spec: _Spec,
    project: _Project = "",
    target: common.Target = "",
    package: _Package = "",
    dry_run: common.DryRun = False,
    quiet: common.Quiet = False,
) -> None:
    """Add the subpackage to a spec, and write its sources beside it. Nothing else is touched.

    rpm's own parser reads the spec, which runs what the spec says in %( ) and Lua.
    """
    _write(spec, _text(spec), {}, project, target, package, False, dry_run, quiet)


def update(
    spec: _Spec,
    project: _Project = "",
    target: common.Target = "",
    package: _Package = "",
    force: _Force = False,
    dry_run: common.DryRun = False,
    quiet: common.Quiet = False,
) -> None:
    """Bring the subpackage in a spec up to date with the description."""
    from wsgi_sepkg.package import graft

    text, before = graft.remove(_text(spec), force)
    _write(spec, text, before, project, target, package, force, dry_run, quiet)


def remove(
    spec: _Spec,
    force: _Force = False,
    dry_run: common.DryRun = False,
    quiet: common.Quiet = False,
) -> None:
    """Take the subpackage out again; the spec is then as it was, byte for byte."""
    from wsgi_sepkg.package import graft
    from wsgi_sepkg.package.tree import replace_files

    text, files = graft.remove(_text(spec), force)
    gone = [n for n, digest in sorted(files.items()) if _digest(spec.parent / n) == digest]
    common.show(f"{'would write' if dry_run else 'wrote'} {spec}", quiet)
    if not dry_run:
        replace_files(spec.parent, {spec.name: text.encode()})
    for name in gone:
        common.show(f"{'would remove' if dry_run else 'removed'} {spec.parent / name}", quiet)
        if not dry_run:
            (spec.parent / name).unlink()
    for name in sorted(set(files) - set(gone)):
        if (spec.parent / name).exists():
            common.note(f"kept {spec.parent / name}: it was edited since", quiet)


def _text(spec: Path) -> str:
    from wsgi_sepkg.errors import UsageError

    try:
        return spec.read_bytes().decode("utf-8")
    except OSError as exc:
        raise UsageError(f"{spec} cannot be read: {exc.strerror}", "name a spec file") from exc
    except UnicodeDecodeError as exc:
        raise UsageError(f"{spec} cannot be read: {exc}", "name a spec in UTF-8") from exc


def _write(
    spec: Path,
    text: str,
    before: dict[str, str],
    project: str,
    target: str,
    package: str,
    force: bool,
    dry_run: bool,
    quiet: bool,
) -> None:
    from wsgi_sepkg.errors import ForeignFile
    from wsgi_sepkg.package import graft
    from wsgi_sepkg.package.tree import replace_files

    loaded = common.load(project or str(spec.parent), target, None, common.Format.text)
    made = graft.add(text, loaded, package)
    contents = {**made.sources, spec.name: made.text.encode()}
    foreign = [
        str(spec.parent / name)
        for name, content in sorted(made.sources.items())
        if (spec.parent / name).exists()
        and _digest(spec.parent / name)
        not in (before.get(name), hashlib.sha256(content).hexdigest())
    ]
    if foreign and not force:
        raise ForeignFile(
            "not overwritten, because wsgi-sepkg did not write it: " + ", ".join(foreign),
            "move it away, or choose another project.module",
        )
    stale = [
        n for n, d in sorted(before.items())
        if n not in made.sources and _digest(spec.parent / n) == d
    ]  # fmt: skip
    if not dry_run:
        replace_files(spec.parent, contents)
        for name in stale:
            (spec.parent / name).unlink()
    for name in contents:
        common.show(f"{'would write' if dry_run else 'wrote'} {spec.parent / name}", quiet)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
