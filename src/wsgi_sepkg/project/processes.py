"""Processes of an application with a domain of its own, and every name that follows from them.

Pure functions of the description and the target, for the validation, the policy and the packages:
what is started, by which unit, through which entry point, in which domain.

The contract
------------
``processes()`` returns nothing with ``shared`` confinement. Otherwise, sorted by name:

* each ``[process.NAME]``;
* with ``daemon`` confinement ``wsgi``, the mod_wsgi daemon process: the only one without an entry
  point and a unit, because httpd starts it and the entering script moves it;
* always ``manage``, the administrator's command. No unit starts it.

The **main** process answers the web server: ``wsgi``, or the one of kind ``web`` (where there are
several, the one that is called ``web``). Names, with P the prefix of the policy and N the name of
the project:

=================  =======================  ======================  =============================
process            domain                   unit                    folder in /run
=================  =======================  ======================  =============================
main (service)     ``P_t``                  ``N.service``           ``/run/N``
main (daemon)      ``P_wsgi_t``             none                    none
NAME, own domain   ``P_NAME_t``             ``N-NAME.service``      ``/run/N-NAME``
NAME, kind web,    that of the main         ``N-NAME.service``      ``/run/N-NAME``, labelled as
worker, scheduler                                                   the main's
NAME, kind timer   ``P_manage_t``           ``N-NAME.service``      none
or command
manage             ``P_manage_t``           none                    none
=================  =======================  ======================  =============================

With STEM the domain without ``_t``: the entry point ``/usr/libexec/N/N-NAME`` has the type
``STEM_exec_t``, the folder in /run ``STEM_runtime_t``, files in /tmp ``STEM_tmp_t``, in shared
memory ``STEM_tmpfs_t``. Sockets, units and timers: see ``Process``. All units have ``P_unit_t``.

What the policy expects of the packages:

* Only files of the type ``STEM_exec_t`` are entered. They belong to root, begin with a ``#!`` line
  of the interpreter and ``-I``, and import what they run (``runner.python``): no domain may execute
  a program below /usr/bin, so nothing is started by ``exec`` but ``runner.program``, where the
  runner has one.
* The folder in /run is made by ``RuntimeDirectory=``; temporary files get their type in /tmp, with
  ``PrivateTmp=`` or without.
* With daemon confinement the entering script and the WSGI entry lie in ``/usr/libexec/N`` and keep
  the type of that folder (bin_t): httpd may read that, and nothing of the application but static
  and media files. So no ``python-path=``, ``python-home=`` or ``WSGIScriptAlias`` may name a folder
  of the application.
* ``manage`` is started by ``runuser -u USER -- ENTRY_POINT`` from unconfined_t or sysadm_t, or by a
  unit. A one-shot unit of ours (``migrate``) uses the same entry point.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace

from wsgi_sepkg.project import names
from wsgi_sepkg.project.schema import Application, Description
from wsgi_sepkg.project.schema import Process as SaidProcess
from wsgi_sepkg.targets import Runner, Target, domains

# Names of processes whose derived types would be those of a use, or that mean something else.
RESERVED = frozenset(
    [
        *(use.suffix.removesuffix("_t") for use in names.USES.values()),
        *("exec", "manage", "port", "ports", "tmpfs", "unit", "wsgi", "socket", "connect"),
    ]
)


@dataclass(frozen=True)
class Process:
    """One process with a domain.

    ``kind``: web, worker, scheduler, timer, command, manage (the administrator's command) or wsgi
    (mod_wsgi's daemon process). ``key``: the TOML key that asked for it. ``entry_type``,
    ``entry_point``: '' for wsgi. ``runner``: None for manage and wsgi. ``arguments``: the words
    after the program's own name, addresses included; for manage and for ``manage COMMAND`` those
    after manage.py. ``unit``, ``timer``, ``socket_unit``: names of systemd units, '' for none.
    ``runtime_folder``: its folder in /run ('' for none). ``socket``: path of its socket in that
    folder, '' when it listens on ``host`` and ``port`` or not at all. ``user``: account. ``own``:
    whether the domain is its own and not shared with the main process or ``manage``.
    """

    name: str
    kind: str
    key: str
    main: bool
    own: bool
    domain: str
    entry_type: str
    entry_point: str
    runner: Runner | None
    arguments: tuple[str, ...]
    unit: str
    timer: str
    socket_unit: str
    runtime_folder: str
    socket: str
    host: str
    port: int
    user: str
    schedule: str
    environment: tuple[tuple[str, str], ...]
    enable: bool
    permissive: bool

    @property
    def stem(self) -> str:
        """Return the domain without ``_t``: what the names of its own types begin with."""
        return self.domain.removesuffix("_t")


def confined(description: Description) -> bool:
    """Tell whether the application has domains of its own: daemon or service confinement."""
    application = description.application
    return application is not None and application.confinement != "shared"


def words_of(run: str | list[str]) -> tuple[str, ...]:
    """Return a command line as words. Raises ValueError where a quote is not closed."""
    return tuple(shlex.split(run)) if isinstance(run, str) else tuple(run)


def account(description: Description, target: Target) -> tuple[str, str]:
    """Return user and group of the application's processes.

    ``application.user``; else the web server's account with daemon confinement, an account named
    after the project with service confinement.
    """
    application = description.application
    assert application is not None
    if application.user:
        return application.user, application.user
    if application.confinement == "service":
        name = re.sub(r"[^a-z0-9_-]", "-", description.project.name.lower()).strip("-")[:31]
        return name, name
    server = target.servers[application.server]
    return server.user, server.group


def main_name(description: Description) -> str:
    """Return the name of the process that answers the web server, '' when it cannot be told."""
    application = description.application
    if application is not None and application.confinement == "daemon":
        return "wsgi"
    webs = sorted(name for name, said in description.process.items() if said.kind == "web")
    if len(webs) == 1:
        return webs[0]
    return "web" if "web" in webs else ""


def main_domain(description: Description) -> str:
    """Return the domain of the main process."""
    start = names.prefix(description)
    application = description.application
    daemon = application is not None and application.confinement == "daemon"
    return f"{start}_wsgi_t" if daemon else f"{start}_t"


def has_own_domain(said: SaidProcess) -> bool:
    """Tell whether a process that is not the main one has a domain of its own."""
    return said.kind in ("worker", "scheduler") if said.own_domain is None else said.own_domain


def connecting(description: Description, target: Target, by: str | list[str]) -> tuple[str, ...]:
    """Return the domains that ``by`` of a connection means; '' and [] mean all processes.

    Outside of an application with domains of its own only a domain can be named.
    """
    known = {process.name: process.domain for process in processes(description, target)}
    if not by:
        return tuple(sorted(set(known.values())))
    wanted = [by] if isinstance(by, str) else by
    return tuple(sorted({known.get(name, name) for name in wanted}))


def own_types(description: Description, target: Target) -> dict[str, str]:
    """Return every type that the processes bring, with the TOML key that asked for it."""
    types: dict[str, str] = {}
    found = processes(description, target)
    shared = shared_memory(description, target)
    for process in found:
        types.setdefault(process.domain, process.key)
        if process.entry_type:
            types.setdefault(process.entry_type, process.key)
        types.setdefault(f"{process.stem}_tmp_t", process.key)
        if process.runtime_folder:
            types.setdefault(f"{process.stem}_runtime_t", process.key)
        if process.domain in shared:
            types.setdefault(f"{process.stem}_tmpfs_t", process.key)
        if process.unit:
            types.setdefault(f"{names.prefix(description)}_unit_t", process.key)
    return types


def groups(process: Process) -> frozenset[str]:
    """Return the groups of targets/domains.toml that a process belongs to."""
    found = {"all", process.kind}
    if process.kind != "wsgi":
        found.add("service")
    if process.kind in ("web", "worker", "scheduler"):
        found.add("unit")
    if process.kind in ("timer", "command", "manage"):
        found.add("commands")
    if process.socket:
        found.add("serves")
    if process.port:
        found.add("listens")
    runner = process.runner
    if runner is not None:
        found.update(dict(runner.extras).get(process.kind, ()))
        if runner.program:
            found.add("program")
        if runner.runs_httpd:
            found.add("httpd")
    return frozenset(found)


def powers(description: Description, target: Target) -> dict[int, tuple[Process, ...]]:
    """Return the processes that each ``[[power]]`` is for, by its place in the description."""
    known = domains(target.family).powers
    result = {}
    for index, power in enumerate(description.power):
        every = processes(description, target)
        meant = known[power.name].kinds
        chosen = tuple(p for p in every if (p.name in power.by if power.by else groups(p) & meant))
        result[index] = chosen
    return result


def shared_memory(description: Description, target: Target) -> frozenset[str]:
    """Return the domains that keep something in shared memory."""
    found = {p.domain for p in processes(description, target) if "pool" in groups(p)}
    for index, chosen in powers(description, target).items():
        if description.power[index].name in ("shared-memory", "libffi"):
            found.update(p.domain for p in chosen)
    return frozenset(found)


def power_tunables(description: Description) -> dict[str, str]:
    """Return the tunables of the powers, with their TOML keys."""
    known = domains("fedora").powers
    return {
        f"{names.prefix(description)}_{known[power.name].tunable}": f"power[{index}]"
        for index, power in enumerate(description.power)
        if power.through == "tunable" and known[power.name].tunable
    }


def processes(description: Description, target: Target) -> tuple[Process, ...]:
    """Return all processes that have a domain, sorted by name, () with shared confinement.

    See the top of this module. What is wrong in the description is left empty here; the validation
    names it.
    """
    application = description.application
    if application is None or not confined(description):
        return ()
    found = [_said(description, application, target, name) for name in description.process]
    found.append(_fixed(description, target, "manage"))
    if application.confinement == "daemon":
        found.append(_fixed(description, target, "wsgi"))
    return tuple(sorted(found, key=lambda process: process.name))


def _fixed(description: Description, target: Target, name: str) -> Process:
    start, project = names.prefix(description), description.project.name
    manage = name == "manage"
    return Process(
        name=name,
        kind=name,
        key="application.confinement",
        main=not manage,
        own=True,
        domain=f"{start}_{name}_t",
        entry_type=f"{start}_manage_exec_t" if manage else "",
        entry_point=f"/usr/libexec/{project}/{project}-manage" if manage else "",
        runner=None,
        arguments=(),
        unit="",
        timer="",
        socket_unit="",
        runtime_folder="",
        socket="",
        host="",
        port=0,
        user=account(description, target)[0],
        schedule="",
        environment=(),
        enable=False,
        permissive=False,
    )


def _said(description: Description, application: Application, target: Target, name: str) -> Process:
    said = description.process[name]
    start, project = names.prefix(description), description.project.name
    main = name == main_name(description)
    own = main or has_own_domain(said)
    short = name.replace("-", "_")
    commands = said.kind in ("timer", "command")
    domain = main_domain(description)
    if not main and own:
        domain = f"{start}_{short}_t"
    elif commands:
        domain = f"{start}_manage_t"
    stem = domain.removesuffix("_t")
    base = project if main else f"{project}-{name}"
    folder = "" if commands else f"/run/{base}"
    listens = said.kind == "web"
    by_socket = listens and said.listen == "socket"
    socket = f"{folder}/{base}.sock" if by_socket else ""
    host, _, port = said.listen.rpartition(":") if listens and not by_socket else ("", "", "")
    try:
        words = words_of(said.run)
    except ValueError:
        words = ()
    runner = target.runners.get(words[0]) if words else None
    if runner is not None and runner.name == "call" and len(words) > 1:
        runner, words = replace(runner, python=words[1]), words[1:]
    return Process(
        name=name,
        kind=said.kind,
        key=f"process.{name}",
        main=main,
        own=own,
        domain=domain,
        entry_type=f"{stem}_exec_t",
        entry_point=f"/usr/libexec/{project}/{project}-{name}",
        runner=runner,
        arguments=_arguments(description, said, runner, words, folder, socket),
        unit=f"{base}.service",
        timer=f"{base}.timer" if said.kind == "timer" else "",
        socket_unit=f"{base}.socket" if listens and said.socket_activation else "",
        runtime_folder=folder,
        socket=socket,
        host=host,
        port=int(port) if re.fullmatch(r"[0-9]{1,5}", port) else 0,
        user=said.user or account(description, target)[0],
        schedule=said.schedule,
        environment=tuple(sorted(said.environment.items())),
        enable=said.enable,
        permissive=said.permissive,
    )


def _arguments(
    description: Description,
    said: SaidProcess,
    runner: Runner | None,
    words: tuple[str, ...],
    folder: str,
    socket: str,
) -> tuple[str, ...]:
    """Return the command line after the program, with the words that this project adds."""
    if runner is None:
        return words[1:]
    added: tuple[str, ...] = ()
    if said.kind == "web":
        added = runner.socket if socket else runner.address
        added = runner.activation if said.socket_activation else added
    elif said.kind == "scheduler":
        added = runner.schedule
    host, _, port = said.listen.rpartition(":")
    data = [entry.path for use, _, entry in names.path_entries(description.path) if use == "data"]
    values = {
        "socket": socket,
        "host": host,
        "port": port,
        "runtime": folder,
        "state": data[0] if data else folder,
    }
    added = tuple(word.format(**values) for word in added)
    always = () if set(words) & set(runner.spawns) else runner.always
    rest = words[1:]
    word = runner.word(said.kind)
    if word and word in rest:
        # Options of a subcommand stand behind it.
        return (*runner.first, *rest, *always, *added)
    return (*runner.first, *always, *added, *rest)
