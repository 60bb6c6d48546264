"""``wsgi-sepkg init``."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from wsgi_sepkg.cli import common

UNDO = "undo.md"


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(epilog="Example: wsgi-sepkg init . --answer project.license=MIT")(init)


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder of the application.", show_default=True)
    ] = Path(),
    settings: Annotated[
        str,
        typer.Option(
            "--settings", metavar="MODULE", help="Settings module; MODULE:CLASS for a class."
        ),
    ] = "",
    root: Annotated[
        str, typer.Option("--root", metavar="PATH", help="Folder of the code on the target.")
    ] = "",
    from_: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Configuration of the host: httpd, nginx, a unit, gunicorn, uWSGI, `semanage "
            "export`, `getsebool -a`, file_contexts.local, a .te of audit2allow.",
        ),
    ] = None,
    venv: Annotated[
        Path | None,
        typer.Option(
            "--venv",
            metavar="DIR",
            help="A virtual environment, or a folder of wheels, whose label plan is wanted.",
        ),
    ] = None,
    answer: Annotated[
        list[str] | None,
        typer.Option("--answer", "-a", metavar="KEY=VALUE", help="Answer a question beforehand."),
    ] = None,
    no_input: Annotated[
        bool, typer.Option("--no-input", help="Ask nothing; what is not known stays open.")
    ] = False,
    update: Annotated[
        bool,
        typer.Option("--update", help="Propose what changed since; edits by hand are kept."),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite a description that is there.")
    ] = False,
    dry_run: common.DryRun = False,
    format_: common.OutputFormat = common.Format.text,
    quiet: common.Quiet = False,
) -> None:
    """Make a first description from an existing application. Reads it, never runs it.

    Every line says where it came from. What cannot be known is asked, or stays in the file as an
    OPEN question; then the exit status is 1.
    """
    from wsgi_sepkg.discover.answers import Answers
    from wsgi_sepkg.discover.init import discover
    from wsgi_sepkg.discover.update import RECORD, answers_of, read_record, record_of, updated
    from wsgi_sepkg.errors import ForeignFile
    from wsgi_sepkg.package.tree import replace_files
    from wsgi_sepkg.project.load import FILE_NAME, find

    common.state["format"] = format_
    file = folder / FILE_NAME
    if (file.exists() or file.is_symlink()) and not (force or dry_run or update):
        raise ForeignFile(
            f"{file} is there already", "use --update to add what is new, or --force to replace it"
        )
    text = find(folder).read_text(encoding="utf-8") if update else ""
    if from_ and (folder / UNDO).exists() and not (force or dry_run):
        raise ForeignFile(f"{folder / UNDO} is there already", "use --force to replace it")
    interactive = not no_input and sys.stdin.isatty()
    answers = Answers(answer or [], interactive, answers_of(text) if update else None)
    found = discover(folder, answers, settings, root, from_ or (), venv)
    answers.unused()
    record = folder / RECORD
    if update:
        before = read_record(record.read_text(encoding="utf-8")) if record.is_file() else {}
        change = updated(text, before, found.draft.entries)
        found = replace(found, text=change.text)
        for line in change.changes or ("nothing is new",):
            common.show(line, quiet)
        for line in change.kept:
            common.note(line, quiet)
        # Comments of the file are its owner's by now: the plan is only shown.
        for line in found.draft.plan if venv else ():
            common.show(line, quiet)
    if not dry_run:
        contents = {FILE_NAME: found.text, RECORD: record_of(found.draft.entries)}
        if found.undo:
            contents[UNDO] = found.undo
        replace_files(folder, {name: said.encode() for name, said in contents.items()})
    if format_ is common.Format.json:
        common.show(json.dumps(_as_dict(found), indent=2, sort_keys=True))
    elif dry_run:
        common.show(found.text, quiet)
    else:
        common.show(f"wrote {file}", quiet)
    if format_ is common.Format.text:
        for question in found.open:
            common.note(f"open: {question.key}: {question.text}", quiet)
        if found.open:
            common.note("answer in the file, or by --answer KEY=VALUE with --update", quiet)
        for problem in found.problems:
            common.note(f"to mend: {problem}", quiet)
    if found.open or found.problems:
        raise typer.Exit(1)


def _as_dict(found: Any) -> dict[str, Any]:
    return {
        "description": found.text,
        "open": [
            {"key": q.key, "text": q.text, "place": str(q.place), "choices": list(q.choices)}
            for q in found.open
        ],
        "notes": found.draft.notes,
        "label-plan": found.draft.plan,
        "problems": [{"key": p.key, "message": p.message, "hint": p.hint} for p in found.problems],
        "findings": [
            {
                "kind": f.kind,
                "key": f.key,
                "value": f.value,
                "setting": f.setting,
                "place": str(f.place),
                "when": list(f.when),
                "default": f.default,
                "environment": sorted(f.envs),
            }
            for f in found.findings
        ],
    }
