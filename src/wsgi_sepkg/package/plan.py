"""Description + Policy → Plan: files, owners, requirements and scriptlets of the packages."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from pathlib import Path

from wsgi_sepkg.package.model import (
    ApplicationPlan,
    BooleanWish,
    Bundle,
    Change,
    Entry,
    Folder,
    Installed,
    Plan,
    Secret,
    Source,
)
from wsgi_sepkg.package.version import rpm_version
from wsgi_sepkg.policy.model import Policy
from wsgi_sepkg.project import names, processes
from wsgi_sepkg.project.schema import Application, Description
from wsgi_sepkg.project.values import HOST_FOLDERS
from wsgi_sepkg.targets import FAMILIES, Target, module_formats

POLICY_FOLDER = "selinux"
PACKAGING_FOLDER = "packaging"
CHECK_SCRIPT = "policy-check.py"
CHECK_FILE = "policy-check.json"
BUILD_SCRIPT = "build-application.py"
MANIFEST = "manifest"
# What `init-pipeline` writes where the description lies at the top of a repository.
PIPELINE_RECORD = ".wsgi-sepkg-pipelines.json"
PIPELINE_FILES = (
    "/.copr",
    "/.github",
    "/.gitlab-ci.yml",
    "/.packit.yaml",
    "/dist-git",
    f"/{PIPELINE_RECORD}",
)

# Places that `fixfiles -C` leaves out (policycoreutils scripts/fixfiles).
_SKIPPED = ("/home", "/root", "/tmp", "/mnt", "/var/tmp", "/var/lib/BackupPC")  # noqa: S108


def plan(
    description: Description,
    policy: Policy,
    target: Target,
    local_files: tuple[str, ...] = (),
    newest: datetime.date | None = None,
    bundle: Bundle | None = None,
    packages: tuple[str, ...] = (),
) -> Plan:
    """Return what is packaged.

    ``local_files`` are the hand-written additions that lie beside the generated policy
    (``local.te``, ``local.fc``); ``newest`` is the day of the newest source, used for the changelog
    where the description has none. ``bundle`` is the environment of an application that brings its
    dependencies along, ``packages`` are requirements of one that does not.
    """
    project = description.project
    version = rpm_version(project.version)
    epoch = project.epoch or version.epoch
    application = description.application
    name = project.name
    if application is None and not name.endswith("-selinux"):
        name = f"{name}-selinux"
    evr = f"{f'{epoch}:' if epoch else ''}{version.version}-{project.release}"
    sources = _Sources()
    policy_files = [f"{policy.module}.te", f"{policy.module}.fc", f"{policy.module}.if"]
    if policy.ports:
        policy_files.append(f"{policy.ports_module}.cil")
    app = None
    if application is not None:
        sources.add(f"{project.name}-{version.version}.tar.gz", "")
    for file in (*policy_files, *local_files):
        sources.add(file, POLICY_FOLDER)
    for file in (MANIFEST, CHECK_SCRIPT, CHECK_FILE):
        sources.add(file, PACKAGING_FOLDER)
    if application is not None:
        app = _application(description, application, policy, target, sources, bundle, packages)
    description_text = project.description or project.summary
    return Plan(
        name=name,
        version=version.version,
        release=project.release,
        epoch=epoch,
        summary=project.summary,
        description=description_text,
        license=project.license,
        policy_license=project.policy_license or project.license,
        url=project.url,
        module=policy.module,
        ports_module=policy.ports_module,
        ports=tuple(f"{p.protocol}/{p.low}/{p.high}/{p.type}" for p in policy.ports),
        policy_types=tuple(project.policy_types),
        module_formats=module_formats(target.family),
        sources=tuple(sources.items),
        te_parts=(f"{policy.module}.te", *(f for f in local_files if f.endswith(".te"))),
        fc_parts=(f"{policy.module}.fc", *(f for f in local_files if f.endswith(".fc"))),
        relabel_paths=relabel_paths(policy),
        skipped_paths=tuple(
            p for p in relabel_paths(policy) if any(p.startswith(s + "/") for s in _SKIPPED)
        ),
        booleans=tuple(BooleanWish(b.name, int(b.value), b.when) for b in policy.booleans),
        previous_modules=tuple(sorted(project.previous_modules)),
        previous_priority=project.previous_priority,
        reasons=tuple(_reasons(policy)),
        changelog=tuple(_changelog(description, evr, epoch, newest)),
        application=app,
        serves=FAMILIES[target.family],
        has_interfaces=bool(policy.interfaces),
    )


class _Sources:
    def __init__(self) -> None:
        self.items: list[Source] = []

    def add(self, name: str, folder: str) -> int:
        """Return the number of the source ``name``, adding it when it is new."""
        number = len(self.items)
        self.items.append(Source(number, name, folder))
        return number


def relabel_paths(policy: Policy) -> tuple[str, ...]:
    """Return what to relabel when the module goes: folders, or ``stem*`` for a pattern.

    Only own contexts count, never a shared folder of the host.
    """
    found = set()
    for context in policy.contexts:
        pattern = context.pattern
        if pattern.startswith(("/var/run/", "/var/lock/")):
            continue
        plain = pattern.removesuffix("(/.*)?")
        literal = re.match(r"(?:[^.^$?*+|\[({\\]|\\[.+])*", plain)
        stem = literal.group() if literal else ""
        if len(stem) < len(plain) and plain[len(stem)] in "?*{":
            stem = stem[:-1]
        path = stem.replace("\\", "")
        if stem != plain:
            path = path if path.endswith("/") else path + "*"
        if path.rstrip("/*") in HOST_FOLDERS or path.count("/") < 2:
            continue
        found.add(path.rstrip("/") if not path.endswith("*") else path)
    return tuple(
        sorted(p for p in found if not any(p.startswith(q + "/") for q in found if q != p))
    )


def _reasons(policy: Policy) -> Iterator[str]:
    """Yield one line per power that the module grants, for the package's description."""
    for tunable in policy.tunables:
        yield f"{tunable.name} ({'on' if tunable.default else 'off'}): {tunable.why.reason}"
    for boolean in policy.booleans:
        yield f"{boolean.name} = {'on' if boolean.value else 'off'}: {boolean.why.reason}"
    for waiver in policy.waivers:
        yield f"waived until {waiver.until}: {waiver.grant}: {waiver.reason}"


def _changelog(
    description: Description, evr: str, epoch: int, newest: datetime.date | None
) -> Iterator[Change]:
    author = description.project.maintainer
    if not description.changelog:
        day = newest or datetime.date(2026, 1, 1)
        yield Change(day, author, evr, (f"Version {description.project.version}",))
    for index, entry in enumerate(description.changelog):
        version = evr
        if entry.version:
            number = rpm_version(entry.version).version
            version = f"{f'{epoch}:' if epoch else ''}{number}-{entry.release}"
        elif index:
            version = f"{evr.rpartition('-')[0]}-{entry.release}"
        lines = (entry.text,) if isinstance(entry.text, str) else tuple(entry.text)
        yield Change(entry.date, entry.author or author, version, lines)


def accounts(description: Description, target: Target) -> tuple[str, ...]:
    """Return the accounts that the package makes: those of its processes that are not httpd's."""
    application = description.application
    assert application is not None
    servers = {server.user for server in target.servers.values()}
    user, _ = processes.account(description, target)
    others = [p.user for p in processes.processes(description, target) if p.user != user]
    return tuple(name for name in dict.fromkeys([user, *sorted(others)]) if name not in servers)


def writable_paths(description: Description) -> tuple[str, ...]:
    """Return the folders that the processes write, for ReadWritePaths=: none inside another."""
    uses = ("media", "data", "log", "cache", "socket", "runtime", "temporary")
    found = {e.path for use, _, e in names.path_entries(description.path) if use in uses}
    return tuple(sorted(p for p in found if not any(p.startswith(f"{q}/") for q in found)))


def entry_folder(description: Description) -> str:
    """Return the folder of what starts the processes; root's alone."""
    return f"/usr/libexec/{description.project.name}"


def enter_path(description: Description) -> str:
    """Return the path of the script that moves mod_wsgi's daemon process."""
    return f"{entry_folder(description)}/{description.project.name}-enter.py"


def wsgi_path(description: Description) -> str:
    """Return the path of the WSGI entry that looks again."""
    return f"{entry_folder(description)}/{description.project.name}-wsgi.py"


# use: (mode of a folder, mode of a file, owned by the application's user)
_MODES = {
    "code": ("0755", "0644", False),
    "static": ("0755", "0644", False),
    "media": ("2750", "0640", True),
    "data": ("0750", "0640", True),
    "log": ("0750", "0640", True),
    "cache": ("0750", "0640", True),
    "config": ("0750", "0640", False),
    "secret": ("0750", "0640", False),
    "socket": ("0750", "0640", True),
    "runtime": ("0750", "0640", True),
    "temporary": ("0750", "0640", True),
}


def _application(
    description: Description,
    application: Application,
    policy: Policy,
    target: Target,
    sources: _Sources,
    bundle: Bundle | None,
    packages: tuple[str, ...],
) -> ApplicationPlan:
    server = target.servers[application.server]
    python = target.pythons[application.python or target.default_python]
    user, group = processes.account(description, target)
    name = description.project.name
    folders: list[Folder] = []
    files: list[Entry] = [Entry(application.root, "")]
    secrets: list[Secret] = []
    known = {application.root}
    shipped = {item.path for item in description.file}

    def parents(path: str) -> None:
        parent = path.rpartition("/")[0]
        while parent.count("/") > 1 and parent not in HOST_FOLDERS and parent not in known:
            if any(p.startswith(parent + "/") or p == parent for p in _HOST_TREES):
                break
            if any(parent.startswith(k + "/") and k == application.root for k in known):
                break
            known.add(parent)
            folders.append(Folder(parent, "0755", "root", "root"))
            files.append(Entry(parent, "%dir"))
            parent = parent.rpartition("/")[0]

    for use, _key, entry in sorted(
        names.path_entries(description.path), key=lambda item: item[2].path
    ):
        path = entry.path
        folder_mode, file_mode, own = _MODES[use]
        owner = entry.owner or (user if own else "root")
        served = use == "media" and user != server.user
        entry_group = entry.group or (
            server.group if served else "root" if use in ("code", "static") else group
        )
        if use == "secret":
            parents(path)
            mode = entry.mode or file_mode
            if entry.generate:
                secrets.append(Secret(path, mode, owner, entry_group, entry.variable))
            files.append(Entry(path, f"%ghost %attr({mode},{owner},{entry_group})"))
            continue
        if path in shipped:
            continue
        folder = Folder(path, entry.mode or folder_mode, owner, entry_group)
        if use in ("socket", "runtime") or path.startswith("/run/"):
            continue
        if path.startswith(application.root + "/") and use in ("code", "static"):
            folders.append(folder)
            continue
        parents(path)
        if path in known and use not in ("code", "static"):
            files = [f for f in files if f.path != path]
            folders = [f for f in folders if f.path != path]
        known.add(path)
        folders.append(folder)
        directive = "%dir " if use not in ("code", "static") else ""
        plain = (folder.mode, folder.owner, folder.group) == ("0755", "root", "root")
        attr = "" if plain else f"%attr({folder.mode},{folder.owner},{folder.group})"
        if path != application.root:
            files.append(Entry(path, f"{directive}{attr}".strip()))

    installed: list[Installed] = []

    def ship(file: str, path: str, mode: str = "0644", directives: str = "") -> None:
        installed.append(Installed(sources.add(file, PACKAGING_FOLDER), path, mode))
        files.append(Entry(path, directives))

    sources.add(BUILD_SCRIPT, PACKAGING_FOLDER)
    if bundle is not None:
        for file in bundle.locks:
            sources.add(file, PACKAGING_FOLDER)
        for wheel in bundle.wheels:
            sources.add(wheel.file, "")
        files.append(Entry(bundle.folder.rpartition("/")[0], "%dir"))
        files.append(Entry(bundle.folder, ""))
    ship(f"{name}.conf", f"{server.conf_dir}/{name}.conf", directives="%config(noreplace)")
    if any(use == "log" for use, _, _ in names.path_entries(description.path)):
        ship(f"{name}.logrotate", f"/etc/logrotate.d/{name}", directives="%config(noreplace)")
    persistent = [f for f in folders if f.path.startswith("/var/")]
    tmpfiles = ""
    if volatile_folders(description, target) or persistent:
        tmpfiles = f"/usr/lib/tmpfiles.d/{name}.conf"
        ship(f"{name}.tmpfiles", tmpfiles)
    made = accounts(description, target)
    if made:
        ship(f"{name}.sysusers", f"/usr/lib/sysusers.d/{name}.conf")
    units: list[str] = []
    enabled: list[str] = []
    restarted: list[str] = []

    def ship_unit(unit: str) -> None:
        ship(unit, f"/usr/lib/systemd/system/{unit}")
        units.append(unit)

    if application.migrate == "unit":
        ship_unit(f"{name}-migrate.service")
    confined = processes.processes(description, target)
    if confined:
        files.append(Entry(entry_folder(description), "%dir"))
    for process in confined:
        if process.entry_point:
            ship(Path(process.entry_point).name, process.entry_point, "0755")
        for unit in filter(None, (process.unit, process.socket_unit, process.timer)):
            ship_unit(unit)
        starts = process.timer or process.socket_unit or process.unit
        if process.enable and process.unit and process.kind != "command":
            enabled.append(starts)
        if process.kind in ("web", "worker", "scheduler"):
            restarted.append(process.unit)
        elif process.timer:
            restarted.append(process.timer)
        if process.kind == "manage":
            ship(f"{name}-manage.sh", f"/usr/bin/{name}-manage", "0755")
        elif process.kind == "wsgi":
            ship(Path(enter_path(description)).name, enter_path(description))
            ship(Path(wsgi_path(description)).name, wsgi_path(description))
    for unit_entry in description.unit:
        unit = Path(unit_entry.source).name
        ship_unit(unit)
        restarted.append(unit)
        if unit_entry.enable:
            enabled.append(unit)
    for item in description.file:
        parents(item.path)
        use_group = next(
            (
                group
                for use, _, e in names.path_entries(description.path)
                if use in ("config", "secret")
                and (item.path == e.path or item.path.startswith(e.path + "/"))
            ),
            "",
        )
        mode, file_group = item.mode, item.group
        if use_group and item.mode == "0644" and item.group == "root":
            mode, file_group = "0640", use_group
        attr = ""
        if (mode, item.owner, file_group) != ("0644", "root", "root"):
            attr = f"%attr({mode},{item.owner},{file_group})"
        config = "%config(noreplace)" if item.config else ""
        ship(payload_name(item.path), item.path, mode, f"{config} {attr}".strip())

    static_root = ""
    for use, _, entry in names.path_entries(description.path):
        if use == "static" and not static_root:
            static_root = entry.path
    requires = [*server.packages]
    if any(f.path.startswith("/etc/logrotate.d/") for f in files):
        requires.append("logrotate")
    if application.server == "httpd" and application.confinement != "service":
        requires.append(python.mod_wsgi)
    requires += (*application.requires, *packages)
    interpreter = python.interpreter
    if bundle is not None:
        interpreter = bundle.interpreter
        # What is compiled for one minor version of Python is found by no other.
        requires.append(python.build_package)
        if target.family == "fedora":
            requires.append(f"python(abi) = {python.version}")
    migrate = f"runuser -u {user} -- {interpreter} {application.root}/manage.py migrate"
    if confined:
        migrate = f"{name}-manage migrate"
    return ApplicationPlan(
        root=application.root,
        archive=sources.items[0].name,
        python=python.interpreter,
        build_package=python.build_package,
        requires=tuple(sorted(dict.fromkeys(requires))),
        settings=application.settings,
        static=application.static,
        static_root=static_root,
        build_environment=tuple(sorted(application.build_environment.items())),
        folders=tuple(dict.fromkeys(folders)),
        installed=tuple(installed),
        files=tuple(sorted(dict.fromkeys(files), key=lambda f: f.path)),
        secrets=tuple(secrets),
        accounts=made,
        group=group,
        home=application.root,
        confinement=application.confinement,
        server_unit=server.unit,
        reload=application.reload,
        units=tuple(units),
        enabled_units=tuple(enabled),
        restarted_units=tuple(restarted),
        migrate=application.migrate,
        migrate_command=migrate,
        tmpfiles=tmpfiles,
        bundle=bundle,
        pip=python.pip,
    )


# Trees of the host that packages put files into but never own.
_HOST_TREES = (
    "/etc/logrotate.d",
    "/usr/lib/systemd/system",
    "/usr/lib/tmpfiles.d",
    "/usr/lib/sysusers.d",
    "/etc/httpd/conf.d",
    "/etc/nginx/conf.d",
    "/etc/apache2/conf-enabled",
)


def payload_name(path: str) -> str:
    """Return the name of a [[file]] among the sources: all of them lie in one folder there."""
    return path.strip("/").replace("/", "--")


def volatile_folders(description: Description, target: Target) -> list[Folder]:
    """Return the folders in /run, which tmpfiles.d makes at boot."""
    application = description.application
    if application is None:
        return []
    user, group = processes.account(description, target)
    return [
        Folder(e.path, e.mode or "0750", e.owner or user, e.group or group)
        for use, _, e in names.path_entries(description.path)
        if use in ("socket", "runtime") or e.path.startswith("/run/")
    ]
