"""What happens to a host between transactions: an administrator, other packages, bad luck."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wsgi_sepkg.simulate.package import Package, Wish
from wsgi_sepkg.simulate.root import CONTEXTS, RECORD, STORE
from wsgi_sepkg.simulate.transaction import Host

_MODULES = f"{STORE}/active/modules"


@dataclass(frozen=True)
class Cast:
    """The packages of a scenario: those given, and the older ones (the same where none are)."""

    new: tuple[Package, ...]
    old: tuple[Package, ...]

    def group(self, name: str, old: bool = False) -> list[Package]:
        """Return the packages of the group ``both``, ``policy`` or ``application``."""
        return [p for p in (self.old if old else self.new) if name in ("both", p.role)]

    @property
    def modules(self) -> list[str]:
        """The names of all modules, the first one is what texts mean by {module}."""
        return [name for p in self.new for name in p.modules]

    @property
    def wishes(self) -> list[Wish]:
        """The booleans that the new packages set."""
        return [wish for p in self.new for wish in p.booleans]


def stem(pattern: str) -> str:
    """Return what fixfiles -C takes of a pattern: the part before its first special character."""
    for index, char in enumerate(pattern):
        if char in "(\\ \t":
            return pattern[:index]
    return pattern


def stems(lines: Sequence[str] | frozenset[str]) -> set[str]:
    """Return the stems of lines of file contexts."""
    return {stem(line) for line in lines if line.startswith("/")} - {"/var/lib"}


def _modules_lost(host: Host, cast: Cast) -> None:
    for name in cast.modules:
        shutil.rmtree(host.root.at(f"{_MODULES}/200/{name}"), ignore_errors=True)


def _data_written(host: Host, cast: Cast) -> None:
    for path in sorted(stems(host.contexts())):
        place = host.root.at(path)
        if path.startswith("/var/") and (place.is_dir() or not place.exists()):
            host.root.write(f"{path}/written-by-a-user", "")


def _ours_moved_to_400(host: Host, cast: Cast) -> None:
    for package in cast.group("policy", old=True):
        for name in package.modules:
            old = host.root.at(f"{_MODULES}/200/{name}")
            if old.is_dir():
                new = host.root.at(f"{_MODULES}/400/{name}")
                new.parent.mkdir(exist_ok=True)
                shutil.move(old, new)


def _admin_sets_as_wished(host: Host, cast: Cast) -> None:
    for wish in cast.wishes:
        host.root.admin_sets(wish.name, wish.value)


def _admin_sets_otherwise(host: Host, cast: Cast) -> None:
    for wish in cast.wishes:
        host.root.admin_sets(wish.name, 1 - wish.value)


def _another_package_wants(host: Host, cast: Cast) -> None:
    """Its macro has recorded the default, in the distribution's form, and set the boolean."""
    lines = ["# This file is managed by macros.selinux-policy. Do not edit it manually"]
    for wish in cast.wishes:
        lines.append(f"boolean -m --{'off' if wish.value else 'on'} {wish.name}")
        host.root.admin_sets(wish.name, wish.value)
    host.root.write(RECORD, "\n".join(lines) + "\n")


def _local_fcontext(host: Host, cast: Cast) -> None:
    paths = sorted(stems([line for p in cast.new for line in p.contexts]))
    host.root.write(
        f"{CONTEXTS}.local",
        "".join(f"{path}(/.*)?    system_u:object_r:local_admin_t:s0\n" for path in paths[:1]),
    )


def _local_port(host: Host, cast: Cast) -> None:
    lines = [
        f"portcon {port.protocol} {port.low} system_u:object_r:local_admin_port_t:s0\n"
        for package in cast.new
        for port in package.ports
    ]
    host.root.write(f"{STORE}/active/ports.local", "".join(lines))


def _admin_module(host: Host, cast: Cast) -> None:
    for name in cast.modules[:1]:
        host.root.at(f"{_MODULES}/400/{name}").mkdir(parents=True)


def _foreign_broken(host: Host, cast: Cast) -> None:
    host.root.write(f"{_MODULES}/400/foreign/broken", "")


def _permissive(host: Host, cast: Cast) -> None:
    host.root.configure("permissive")


def _disabled(host: Host, cast: Cast) -> None:
    host.root.configure("disabled")
    host.root.at("selinux-on").unlink()


def _image(host: Host, cast: Cast) -> None:
    host.root.at("selinux-on").unlink()


def _booted(host: Host, cast: Cast) -> None:
    host.root.write("selinux-on", "")


def _no_config(host: Host, cast: Cast) -> None:
    host.root.at("etc/selinux/config").unlink()


def _no_diffutils(host: Host, cast: Cast) -> None:
    host.root.without("diff", "cmp")


def _other_type(host: Host, cast: Cast) -> None:
    host.root.configure(policy_type="mls")


EVENTS: dict[str, Callable[[Host, Cast], None]] = {
    "modules-lost": _modules_lost,
    "data-written": _data_written,
    "ours-moved-to-400": _ours_moved_to_400,
    "admin-sets-as-wished": _admin_sets_as_wished,
    "admin-sets-otherwise": _admin_sets_otherwise,
    "another-package-wants-the-booleans": _another_package_wants,
    "local-fcontext": _local_fcontext,
    "local-port": _local_port,
    "admin-module-at-400": _admin_module,
    "foreign-module-broken": _foreign_broken,
    "permissive": _permissive,
    "selinux-disabled": _disabled,
    "image": _image,
    "booted": _booted,
    "no-config": _no_config,
    "no-diffutils": _no_diffutils,
    "other-policy-type": _other_type,
}
