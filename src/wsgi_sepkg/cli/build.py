"""``wsgi-sepkg build``: the main command."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from wsgi_sepkg.cli import common


class EngineName(StrEnum):
    """Where packages are built."""

    rpmbuild = "rpmbuild"
    mock = "mock"
    copr = "copr"
    koji = "koji"


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(
        epilog="Example: wsgi-sepkg build examples/guestbook --engine mock --target el9 "
        "--target fedora --jobs 2 --outdir out"
    )(build)


_Targets = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        "-t",
        metavar="NAME",
        help="Target; may be repeated. See `wsgi-sepkg targets`.",
        show_default="this host; the description's targets for mock, copr and koji",
    ),
]
_Engine = Annotated[
    EngineName,
    typer.Option(
        "--engine",
        "-e",
        help="Where it is built: on this host (rpmbuild, or mock in a clean chroot) or by a "
        "service (copr, koji).",
    ),
]
_Jobs = Annotated[
    int,
    typer.Option(
        "--jobs",
        "-j",
        metavar="N",
        min=0,
        help="How many targets are built at once.",
        show_default="as many as there are processors here; all of them at a service",
    ),
]
_Roots = Annotated[
    list[str] | None,
    typer.Option(
        "--root",
        metavar="TARGET=NAME",
        help="What the engine calls a target: a mock root (name or .cfg file), a chroot of Copr, a "
        "build target of Koji. May be repeated.",
    ),
]
_Wait = Annotated[
    bool, typer.Option("--wait/--no-wait", help="Wait for the builds, or return once they began.")
]
_Timeout = Annotated[
    float,
    typer.Option(
        "--timeout", metavar="SECONDS", min=0, help="Give up waiting after this time; 0: never."
    ),
]
_Poll = Annotated[
    float,
    typer.Option(
        "--poll",
        metavar="SECONDS",
        min=0,
        help="Time between two questions to a service.",
        show_default="30 for Copr, poll_interval of the profile for Koji",
    ),
]
_Follow = Annotated[
    str,
    typer.Option(
        "--follow",
        metavar="ID",
        help="Take up a build whose client is gone: its ID, or the service's number of it.",
        show_default=False,
    ),
]
_Cancel = Annotated[
    str,
    typer.Option(
        "--cancel", metavar="ID", help="Stop what is under way of a build.", show_default=False
    ),
]
_Again = Annotated[
    bool, typer.Option("--again", help="Submit anew even if the same build is under way.")
]
_CoprProject = Annotated[
    str,
    typer.Option(
        "--copr-project",
        metavar="OWNER/NAME",
        envvar="WSGI_SEPKG_COPR_PROJECT",
        help="Copr: the project to build in.",
        show_default="the name of the description, of your own account",
    ),
]
_CoprConfig = Annotated[
    str,
    typer.Option(
        "--copr-config",
        metavar="FILE",
        envvar="WSGI_SEPKG_COPR_CONFIG",
        help="Copr: the file with the token.",
        show_default="~/.config/copr",
    ),
]
_Create = Annotated[
    bool,
    typer.Option("--create-project", help="Copr: make the project, or add the chroots it lacks."),
]
_Network = Annotated[
    bool, typer.Option("--enable-network", help="Copr: let the build reach the network.")
]
_Profile = Annotated[
    str,
    typer.Option(
        "--koji-profile",
        metavar="NAME",
        envvar="WSGI_SEPKG_KOJI_PROFILE",
        help="Koji: the section of its configuration.",
        show_default="koji",
    ),
]
_KojiConfig = Annotated[
    str,
    typer.Option(
        "--koji-config",
        metavar="FILE",
        envvar="WSGI_SEPKG_KOJI_CONFIG",
        help="Koji: a configuration file.",
        show_default="/etc/koji.conf, ~/.koji/config",
    ),
]
_User = Annotated[
    str,
    typer.Option(
        "--koji-user",
        metavar="NAME",
        envvar="WSGI_SEPKG_KOJI_USER",
        help="Koji: log in by password, which WSGI_SEPKG_KOJI_PASSWORD holds.",
        show_default=False,
    ),
]
_Scratch = Annotated[
    bool,
    typer.Option(
        "--scratch/--tagged", help="Koji: build to try, or for the tag that users install from."
    ),
]
_Scm = Annotated[
    str,
    typer.Option(
        "--scm",
        metavar="URL",
        help="Koji: build from a repository, e.g. git+https://host/repo.git#COMMIT, instead of a "
        "source RPM.",
        show_default=False,
    ),
]


def build(
    project: common.Project = ".",
    target: _Targets = None,
    settings: common.Settings = None,
    engine: _Engine = EngineName.rpmbuild,
    outdir: common.OutDir = Path("out"),
    wheels: common.Wheels = None,
    jobs: _Jobs = 0,
    root: _Roots = None,
    wait: _Wait = True,
    timeout: _Timeout = 0,
    poll: _Poll = 0,
    follow: _Follow = "",
    cancel: _Cancel = "",
    again: _Again = False,
    vendor: common.Vendor = "",
    copr_project: _CoprProject = "",
    copr_config: _CoprConfig = "",
    create_project: _Create = False,
    enable_network: _Network = False,
    koji_profile: _Profile = "",
    koji_config: _KojiConfig = "",
    koji_user: _User = "",
    scratch: _Scratch = True,
    scm: _Scm = "",
    policy_headers: common.Headers = None,
    policy_root: common.PolicyRoot = None,
    dry_run: common.DryRun = False,
    format_: common.OutputFormat = common.Format.text,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Build the application's RPM and its -selinux RPM, and check them before they leave."""
    targets = list(dict.fromkeys(target or []))
    if follow or cancel:
        _take_up(follow or cancel, bool(cancel), outdir, jobs, timeout, poll, format_, quiet)
        return
    if engine is EngineName.rpmbuild and len(targets) < 2:
        _here(
            project,
            "".join(targets),
            settings,
            outdir,
            wheels,
            policy_headers,
            policy_root,
            dry_run,
            format_,
            quiet,
            verbose,
        )
        return

    from wsgi_sepkg.package import farm

    common.state["format"] = format_
    wanted = farm.Settings(
        roots=farm.roots(root or [], targets),
        interval=poll,
        vendor=vendor,
        copr_project=copr_project,
        copr_config=copr_config,
        create=create_project,
        network=enable_network,
        profile=koji_profile,
        koji_config=koji_config,
        user=koji_user,
        scratch=scratch,
        scm=scm,
        project=str(Path(project).resolve()),
        options=farm.options(settings or [], policy_headers, policy_root, wheels),
        wheels=str(wheels.resolve()) if wheels is not None else "",
    )
    targets = targets or farm.described(project, settings or [])
    if dry_run:
        worker = farm.engine(engine.value, wanted)
        for name in targets:
            common.show(f"would build for {name} in {worker.root(name)}", quiet)
        return
    with common.progress("making the source RPMs", quiet):
        job = farm.prepare(project, targets, settings or [], engine.value, wanted, outdir)
    other = farm.unfinished(job) if not again else None
    if other is not None:
        common.note(f"the same build is under way: following {other.record.id}", quiet)
        farm.discard(job)
        job = other
    _drive(job, wanted, jobs, wait, timeout, format_, quiet)


def _take_up(
    name: str,
    stop: bool,
    outdir: Path,
    jobs: int,
    timeout: float,
    poll: float,
    format_: common.Format,
    quiet: bool,
) -> None:
    from dataclasses import replace

    from wsgi_sepkg.engines.job import Job
    from wsgi_sepkg.package import farm

    common.state["format"] = format_
    job = Job.load(name, outdir)
    wanted = farm.settings_of(job)
    if poll:
        wanted = replace(wanted, interval=poll)
    _drive(job, wanted, jobs, True, timeout, format_, quiet, stop)


def _drive(
    job: Any,
    settings: Any,
    jobs: int,
    wait: bool,
    timeout: float,
    format_: common.Format,
    quiet: bool,
    stop: bool = False,
) -> None:
    """Follow a job to its end, print what came of it, and end with its status."""
    from wsgi_sepkg.engines.job import Runner, exit_status
    from wsgi_sepkg.errors import WsgiSepkgError
    from wsgi_sepkg.package import farm
    from wsgi_sepkg.report import farm as report

    worker = farm.engine(job.record.engine, settings)
    follow = f"wsgi-sepkg build --follow {job.record.id} --outdir {job.outdir}"
    with job.held():
        job = type(job).read(job.folder)
        if not quiet:
            sys.stderr.write(f"job {job.record.id}; to take it up again: {follow}\n")
        with report.shown(quiet) as watch:
            runner = Runner(job, worker, farm.side_by_side(worker, jobs), timeout, watch)
            try:
                if stop:
                    runner.cancel()
                else:
                    runner.run(wait)
            except KeyboardInterrupt:
                sys.stderr.write(f"\nthe builds go on: {follow}\n")
                raise typer.Exit(130) from None
        report.write_summary(job)
        try:
            farm.record(job)
        except WsgiSepkgError as exc:  # what was built is not lost for it
            common.note(f"no SBOM and no provenance: {exc}", quiet)
    if format_ is common.Format.json:
        common.show(json.dumps(report.as_dict(job), indent=2, sort_keys=True))
    else:
        status = exit_status(job.record.entries)
        common.show(report.as_text(job), quiet and not status)
    if not stop and exit_status(job.record.entries):
        raise typer.Exit(exit_status(job.record.entries))


def _here(
    project: str,
    target: str,
    settings: list[str] | None,
    outdir: Path,
    wheels: Path | None,
    policy_headers: Path | None,
    policy_root: Path | None,
    dry_run: bool,
    format_: common.Format,
    quiet: bool,
    verbose: bool,
) -> None:
    """Build for one target on this host."""
    from wsgi_sepkg.package import build as builder
    from wsgi_sepkg.policy.compile import headers_for
    from wsgi_sepkg.report import build as report

    loaded = common.load(project, target, settings, format_)
    tree = common.tree(loaded, quiet, wheels)
    if dry_run:
        headers_for(loaded.target, policy_headers, policy_root)
        for name in report.expected_names(tree):
            common.show(f"would write {outdir / name}", quiet)
        return
    with common.progress(f"building {tree.plan.name} for {loaded.target.name}", quiet):
        result = builder.build(tree, outdir, headers=policy_headers, policy_root=policy_root)
    for text in result.notes if format_ is common.Format.text else ():
        common.note(text, quiet)
    if format_ is common.Format.json:
        common.show(json.dumps(report.as_dict(result), indent=2, sort_keys=True))
    else:
        failed = result.report is not None and not result.report.ok
        common.show(report.as_text(result, verbose), quiet and not failed)
    if result.report is not None and not result.report.ok:
        raise typer.Exit(1)
