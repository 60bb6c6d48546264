"""What the packages hold, as plain frozen data for the spec template."""

from __future__ import annotations

import datetime
from collections.abc import Iterable

from msgspec import Struct


class Source(Struct, frozen=True):
    """A file of the SRPM: ``folder`` is where it is kept in the generated tree ('' for none)."""

    number: int
    name: str
    folder: str


class Entry(Struct, frozen=True):
    """One line of %files: attributes are given where they are not root's default."""

    path: str
    directives: str


class Folder(Struct, frozen=True):
    """A folder made in %install."""

    path: str
    mode: str
    owner: str
    group: str


class Installed(Struct, frozen=True):
    """A source installed as it is."""

    source: int
    path: str
    mode: str


class Secret(Struct, frozen=True):
    """A secret that is made once per host: a random key, as NAME=KEY where ``variable`` is."""

    path: str
    mode: str
    owner: str
    group: str
    variable: str


class Change(Struct, frozen=True):
    """An entry of %changelog."""

    date: datetime.date
    author: str
    version: str
    lines: tuple[str, ...]

    @property
    def head(self) -> str:
        """The first line in RPM's form, always in English."""
        day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[self.date.weekday()]
        months = [
            "Jan",
            "Feb",
            "Mar",
            "Apr",
            "May",
            "Jun",
            "Jul",
            "Aug",
            "Sep",
            "Oct",
            "Nov",
            "Dec",
        ]
        return (
            f"* {day} {months[self.date.month - 1]} {self.date.day:02d} {self.date.year} "
            f"{self.author} - {self.version}"
        )


class BooleanWish(Struct, frozen=True):
    """A boolean of the base policy: ``word`` is the argument of the scriptlet macros."""

    name: str
    value: int
    when: str

    @property
    def word(self) -> str:
        """NAME=VALUE:WHEN."""
        return f"{self.name}={self.value}:{self.when}"


class Wheel(Struct, frozen=True):
    """A wheel that travels along: a source of the SRPM, installed on ``architectures``."""

    file: str
    name: str
    version: str
    sha256: str
    architectures: tuple[str, ...]


class Bundle(Struct, frozen=True):
    """The virtual environment of an application, in ``folder``.

    ``architectures`` are those that the package is built for, () where one package serves all.
    ``libraries`` are names of shared libraries in the wheels.
    """

    folder: str
    wheels: tuple[Wheel, ...]
    architectures: tuple[str, ...]
    libraries: tuple[str, ...]

    @property
    def interpreter(self) -> str:
        """The interpreter that knows the environment."""
        return f"{self.folder}/bin/python3"

    @property
    def locks(self) -> dict[str, str]:
        """The requirements files that pip installs from, by name: one, or one for each machine."""
        if not self.architectures:
            return {"bundled.txt": _lock(self.wheels)}
        return {
            f"bundled-{machine}.txt": _lock(w for w in self.wheels if machine in w.architectures)
            for machine in self.architectures
        }


def _lock(wheels: Iterable[Wheel]) -> str:
    lines = (f"{w.name}=={w.version} --hash=sha256:{w.sha256}\n" for w in wheels)
    return "".join(sorted(lines))


class ApplicationPlan(Struct, frozen=True):
    """The application package.

    ``accounts`` are made at its installation. ``units``: all of systemd that it brings;
    ``enabled_units``: by preset on the first install; ``restarted_units``: what runs all the time,
    restarted after an upgrade. ``confinement``: the word of the description. ``python`` is the
    target's interpreter; ``bundle`` the environment of the application, None where it runs with the
    packages of the distribution, and ``pip`` the package that fills it.
    """

    root: str
    archive: str
    python: str
    build_package: str
    requires: tuple[str, ...]
    settings: str
    static: str
    static_root: str
    build_environment: tuple[tuple[str, str], ...]
    folders: tuple[Folder, ...]
    installed: tuple[Installed, ...]
    files: tuple[Entry, ...]
    secrets: tuple[Secret, ...]
    accounts: tuple[str, ...]
    group: str
    home: str
    confinement: str
    server_unit: str
    reload: bool
    units: tuple[str, ...]
    enabled_units: tuple[str, ...]
    restarted_units: tuple[str, ...]
    migrate: str
    migrate_command: str
    tmpfiles: str
    bundle: Bundle | None
    pip: str

    @property
    def interpreter(self) -> str:
        """The interpreter that runs the application."""
        return self.bundle.interpreter if self.bundle is not None else self.python


class Plan(Struct, frozen=True):
    """Both packages, or the -selinux package alone (``application`` is None).

    ``ports`` are PROTOCOL/LOW/HIGH/TYPE of each port label, for the shell. ``module_formats`` are
    conditions of a spec with the newest module format that is written there, the first without.
    """

    name: str
    version: str
    release: int
    epoch: int
    summary: str
    description: str
    license: str
    policy_license: str
    url: str
    module: str
    ports_module: str
    ports: tuple[str, ...]
    policy_types: tuple[str, ...]
    module_formats: tuple[tuple[str, int], ...]
    sources: tuple[Source, ...]
    te_parts: tuple[str, ...]
    fc_parts: tuple[str, ...]
    relabel_paths: tuple[str, ...]
    skipped_paths: tuple[str, ...]
    booleans: tuple[BooleanWish, ...]
    previous_modules: tuple[str, ...]
    previous_priority: int
    reasons: tuple[str, ...]
    changelog: tuple[Change, ...]
    application: ApplicationPlan | None
    serves: str
    has_interfaces: bool

    @property
    def modules(self) -> tuple[str, ...]:
        """Names of the policy modules, the one with the ports last."""
        return (self.module, self.ports_module) if self.ports_module else (self.module,)

    @property
    def selinux_name(self) -> str:
        """Name of the package that holds the policy."""
        return self.name if self.application is None else f"{self.name}-selinux"

    @property
    def evr(self) -> str:
        """Epoch, version and release without a dist tag."""
        epoch = f"{self.epoch}:" if self.epoch else ""
        return f"{epoch}{self.version}-{self.release}"
