"""What starts an application in domains of its own: entry points, units, the entering of mod_wsgi.

Words of the description become literals of Python (``ascii``) or quoted settings of systemd here;
the templates put nothing else into the texts.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wsgi_sepkg.package import plan as planning
from wsgi_sepkg.package.model import Plan
from wsgi_sepkg.policy.render import environment
from wsgi_sepkg.project import names, processes
from wsgi_sepkg.project.processes import Process
from wsgi_sepkg.project.schema import Description
from wsgi_sepkg.targets import Target

_KINDS = {
    "web": "the web process",
    "worker": "a worker",
    "scheduler": "the scheduler",
    "timer": "a management command, by schedule",
    "command": "a management command",
    "manage": "management commands",
    "wsgi": "the daemon process of mod_wsgi",
}


def unit_text(text: str) -> str:
    """Return ``text`` for a unit, where systemd expands % (systemd.unit(5), SPECIFIERS)."""
    return text.replace("%", "%%")


def unit_setting(name: str, value: str) -> str:
    """Return NAME=value for Environment=, quoted (systemd.exec(5), systemd.syntax(7))."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t")
    return unit_text(f'"{name}={escaped}"')


def files(description: Description, plan: Plan, target: Target) -> dict[str, str]:
    """Return the files, by the name of their source; {} with shared confinement."""
    return dict(_Files(description, plan, target).all())


class _Files:
    def __init__(self, description: Description, plan: Plan, target: Target) -> None:
        self.d = description
        self.plan = plan
        self.target = target
        self.templates = environment("templates")

    def all(self) -> Iterator[tuple[str, str]]:
        found = processes.processes(self.d, self.target)
        application = self.d.application
        if not found or application is None:
            return
        name = self.d.project.name
        for process in found:
            if process.entry_point:
                yield Path(process.entry_point).name, self.entry(process)
            if process.unit:
                yield process.unit, self.service(process)
            if process.socket_unit:
                yield process.socket_unit, self.socket(process)
            if process.timer:
                yield process.timer, self.timer(process)
            if process.kind == "manage":
                yield f"{name}-manage.sh", self.command(process)
                if application.migrate == "unit":
                    yield f"{name}-migrate.service", self.migration(process)
            elif process.kind == "wsgi":
                yield Path(planning.enter_path(self.d)).name, self.enter(process)
                yield Path(planning.wsgi_path(self.d)).name, self.wsgi(process)

    @property
    def python(self) -> str:
        """The interpreter that knows the packages of the application."""
        assert self.plan.application is not None
        return self.plan.application.interpreter

    def common(self, process: Process) -> dict[str, object]:
        """Return what every program here knows."""
        application = self.d.application
        assert application is not None
        secrets = [
            entry.path
            for use, _, entry in names.path_entries(self.d.path)
            if use == "secret" and entry.variable
        ]
        return {
            "name": self.d.project.name,
            "domain": process.domain,
            "without_selinux": application.without_selinux,
            "root": ascii(application.root),
            "settings": ascii(application.settings),
            "secrets": ascii(tuple(secrets)),
        }

    def entry(self, process: Process) -> str:
        runner = process.runner or self.target.runners["manage"]
        manage = runner.name == "manage"
        argv0 = f"{self.d.project.name}-manage" if manage else runner.name
        return self.templates.get_template("entry/process.py.j2").render(
            **self.common(process),
            python=self.python,
            about=f"Starts {_KINDS[process.kind]} of {self.d.project.name}",
            program=ascii(runner.program or runner.python),
            compiled=bool(runner.program),
            arguments=ascii(process.arguments),
            argv0=ascii(argv0),
            # Words of a command line: an administrator's, or those of a unit that shares the file.
            more=process.kind == "manage",
        )

    def service(self, process: Process) -> str:
        kind = "exec"
        if process.kind in ("timer", "command"):
            kind = "oneshot"
        elif process.runner is not None and process.runner.notify:
            kind = "notify"
        starts = not process.timer and not process.socket_unit and process.kind != "command"
        return self.unit(
            process,
            unit=process.unit,
            description=f"{self.d.project.summary} ({process.name})",
            type=kind,
            arguments="",
            wanted_by="multi-user.target" if starts else "",
        )

    def migration(self, process: Process) -> str:
        return self.unit(
            process,
            unit=f"{self.d.project.name}-migrate.service",
            description=f"Database migrations of {self.d.project.name}",
            type="oneshot",
            arguments=" migrate --noinput",
            wanted_by="",
        )

    def unit(self, process: Process, *, description: str, **words: object) -> str:
        application = self.d.application
        assert application is not None
        user, group = self.groups(process)
        supplementary = [
            name
            for name in dict.fromkeys([process.user, processes.account(self.d, self.target)[1]])
            if name != group
        ]
        variables = dict(process.environment)
        if process.runner is not None and process.runner.name == "gunicorn":
            # Newer gunicorn puts its control socket there; else it would try the home folder.
            variables.setdefault("XDG_RUNTIME_DIR", process.runtime_folder)
            if process.main and application.url != "/":
                variables.setdefault("SCRIPT_NAME", application.url.rstrip("/"))
        common = self.common(process) | {"root": unit_text(application.root)}
        writable = planning.writable_paths(self.d)
        return self.templates.get_template("systemd/process.service.j2").render(
            **common,
            **words,
            description=unit_text(description),
            process=process.name,
            entry_point=process.entry_point,
            user=user,
            group=group,
            supplementary=" ".join(supplementary),
            environment=[unit_setting(k, v) for k, v in sorted(variables.items())],
            runtime=process.runtime_folder.removeprefix("/run/"),
            socket_unit=process.socket_unit,
            writable=[unit_text(path) for path in writable],
            protect_home=not any(
                p.startswith(("/home/", "/root/", "/run/user/"))
                for p in (application.root, *writable)
            ),
            families=self.families(),
        )

    def families(self) -> str:
        """Return the address families: those that the policy knows a reason for."""
        listens = any(said.listen != "socket" for said in self.d.process.values())
        inet = self.d.connect or self.d.port or listens
        return "AF_UNIX AF_INET AF_INET6 AF_NETLINK" if inet else "AF_UNIX"

    def groups(self, process: Process) -> tuple[str, str]:
        """Return user and group: the group of a web process lets the web server to its socket."""
        application = self.d.application
        assert application is not None
        server = self.target.servers[application.server]
        if process.kind == "web" and process.socket:
            return process.user, server.group
        own, group = processes.account(self.d, self.target)
        return process.user, group if process.user == own else process.user

    def socket(self, process: Process) -> str:
        user, group = self.groups(process)
        return self.templates.get_template("systemd/process.socket.j2").render(
            **self.common(process),
            unit=process.socket_unit,
            process=process.name,
            description=unit_text(f"{self.d.project.summary} ({process.name})"),
            listen=process.socket or f"{process.host}:{process.port}",
            path=process.socket,
            user=user,
            group=group,
        )

    def timer(self, process: Process) -> str:
        return self.templates.get_template("systemd/process.timer.j2").render(
            **self.common(process),
            unit=process.timer,
            process=process.name,
            description=unit_text(f"{self.d.project.summary} ({process.name})"),
            schedule=unit_text(process.schedule),
        )

    def command(self, process: Process) -> str:
        application = self.d.application
        assert application is not None
        common = self.common(process) | {"root": application.root}
        return self.templates.get_template("entry/manage.sh.j2").render(
            **common, user=process.user, entry_point=process.entry_point
        )

    def enter(self, process: Process) -> str:
        return self.templates.get_template("entry/enter.py.j2").render(
            **self.common(process), group=ascii(self.d.project.name)
        )

    def wsgi(self, process: Process) -> str:
        application = self.d.application
        assert application is not None
        module, _, function = application.wsgi.partition(":")
        return self.templates.get_template("entry/wsgi.py.j2").render(
            **self.common(process), module=module, function=function
        )
