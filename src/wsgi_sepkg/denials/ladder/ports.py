"""Ports: a label for one, the service behind it, or another number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from wsgi_sepkg.denials.ladder.fixes import Change, Fix, change_values, rule
from wsgi_sepkg.denials.ladder.interfaces import Interfaces
from wsgi_sepkg.denials.ladder.signs import related, stem
from wsgi_sepkg.denials.model import Denial

_SOCKET = "A unix socket in /run needs no port at all; else "


class Ports(Interfaces):
    """Decides what is denied on a port."""

    @staticmethod
    def _about_a_port(denial: Denial) -> bool:
        """Tell whether the target is a port or a node; else it is the socket of a process."""
        asked = {"name_connect", "name_bind", "node_bind", "recv_msg", "send_msg"}
        return denial.source.type != denial.target.type and bool(asked & set(denial.permissions))

    def _ports(self, denial: Denial) -> Iterator[Fix]:
        """A port: labelled for its service, only by accident, or not at all."""
        among, type_ = self.knowledge.among, denial.target.type
        asked = set(denial.permissions)
        if asked <= {"node_bind"}:
            yield from self._grant(denial)
            return
        bind = "name_bind" in asked
        web = among(["@web", "@script"], denial.source.type)
        where = f"port {denial.port}" if denial.port else "this port"
        wide = self.knowledge.member("wide-ports", type_)
        accident = next(
            (
                a
                for a in self.knowledge.accidents
                if a.holds(type_, denial.port) and (web or not a.only_web)
            ),
            None,
        )
        limit = next(
            (b for b in self.knowledge.binds if among(b.sources, denial.source.type)), None
        )
        foreign = bind and limit is not None and type_ not in limit.types
        if wide or accident is not None or foreign:
            verb = "bind" if bind else "connect to"
            if wide:
                says = f"{where} has no label of its own: {type_} is a whole range"
            elif accident is not None:
                says = (
                    f"{where} is labelled {type_}, which is another program's; "
                    f"{accident.usual} use it by accident"
                )
            else:
                says = f"{where} is labelled {type_}, which is not one that a web server binds"
            cure = (
                f"A label for that one port and the right to {verb} it: "
                + (
                    f"[[port]] number = {denial.port or 'N'}"
                    if bind
                    else f"[[connect]] port = {denial.port or 'N'}"
                )
                + ". "
            )
            if not wide:
                fixed = accident is not None and not accident.unix_socket
                cure = (
                    ("Where the other end can be moved, " if fixed else _SOCKET)
                    + f"a number that the policy leaves free. {where} cannot get a second label "
                    "from a module; an "
                    "administrator can change it on one host (semanage port -m). "
                )
            label = Fix(
                "port",
                "port",
                "rung:port",
                says,
                cure
                + f"Granting {type_} would open "
                + ("every port of the range." if wide else "the other program's ports as well."),
                grants="" if not wide else f"one port of a type of its own: {denial.port or 'N'}",
                refs=("ports of the target (semanage port -l)",),
                change=Change("port-bind" if bind else "port-connect", change_values(denial))
                if wide
                else None,
            )
            if accident is not None and accident.unix_socket and web and not bind:
                # A module cannot label the port again, so what helps is in the configuration.
                yield replace(label, kind="app_config", rung="configuration", id="rung:port-taken")
                label = replace(
                    label,
                    cure=f"On one host: semanage port -m gives {where} another type; the other "
                    "program then loses it.",
                )
            yield label
            if wide:
                return
        elif bind and self._labelled_here(denial):
            yield Fix(
                "port",
                "port",
                "rung:port-of-the-host",
                f"{where} is labelled {type_} on that host, and has no label in the base policy",
                "See who labelled it (semanage port -l -C). A port has one label: semanage port -m "
                f"gives it one that {denial.source.type} may bind, or a [[port]] does once the "
                "local one is gone.",
                refs=("ports of the target", "semanage-port(8)"),
            )
        elif bind and not related(stem(type_), stem(denial.source.type)):
            yield Fix(
                "port",
                "port",
                "rung:port-of-another",
                f"{where} is labelled {type_}, after the service that it is usual for",
                f"Where that service does not run here, another number for {denial.source.type}, "
                "one that has its own label (semanage port -l); on one host semanage port -m.",
                refs=("ports of the target (semanage port -l)",),
                weak=True,
            )
        yield from self._port_interface(denial, bind)

    def _labelled_here(self, denial: Denial) -> bool:
        """Tell whether a host has labelled the port that the base policy leaves in its range."""
        protocol = denial.tclass.removesuffix("_socket")
        return denial.port is not None and not self.names.port_label(protocol, denial.port)

    def _port_interface(self, denial: Denial, bind: bool) -> Iterator[Fix]:
        type_ = denial.target.type
        service = self.knowledge.services.get(type_, "")
        found = self.names.service(service) if service else None
        noun = type_.removesuffix("_t").removesuffix("_port")
        protocol = denial.tclass.removesuffix("_socket")
        verb = "bind" if bind else "connect"
        interface = self.names.interface(f"corenet_{protocol}_{verb}_{noun}_port")
        shown = f"{interface}({denial.source.type})" if interface else rule(denial)
        what = found.title if found is not None else type_
        says = f"{denial.source.type} may not {verb} to the port of {what}"
        if bind:
            says = f"{denial.source.type} may not bind the port of {what}"
        if found is not None and not bind:
            cure = f'[[connect]] to = "{service}": this one service.'
            change = Change("connect", change_values(denial, service=service))
        else:
            cure = f"{shown}: this one port type."
            change = Change("call", change_values(denial, interface=interface))
            if not interface:
                change = Change("rule", change_values(denial))
        yield Fix(
            "allow",
            "service",
            "rung:service",
            says,
            cure,
            grants=shown,
            opens=(f"every port of {type_}",),
            refs=("corenetwork.if of the target",),
            change=change,
        )
