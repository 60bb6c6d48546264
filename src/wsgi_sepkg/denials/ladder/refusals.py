"""What is never proposed as a bare rule, and what only a waiver sets aside."""

from __future__ import annotations

from collections.abc import Iterator

from wsgi_sepkg.denials import knowledge as known
from wsgi_sepkg.denials.ladder.fixes import Fix, rule
from wsgi_sepkg.denials.ladder.known import Known
from wsgi_sepkg.denials.model import Denial

_PAST_MODES = frozenset({"dac_override", "dac_read_search"})
READ = frozenset({"search", "getattr", "read", "open", "ioctl", "lock", "map", "watch"})
WRITE = frozenset(
    {
        "write",
        "append",
        "create",
        "unlink",
        "rename",
        "add_name",
        "remove_name",
        "setattr",
        "link",
        "rmdir",
        "reparent",
    }
)


class Refusals(Known):
    """Tells what may not be granted, and why."""

    def _never(self, denial: Denial) -> str:
        """Return why a bare rule is refused, '' when it may be proposed."""
        member, asked = self.knowledge.member, set(denial.permissions)
        target = denial.target.type
        if member("unlabelled", target):
            return f"{target} is every file without a label"
        if asked & {"execmem", "execstack", "execheap"}:
            return "memory that is written and then run is how an exploit stays"
        powers = {*_PAST_MODES, "sys_admin", "sys_ptrace", "sys_module"}
        web = self.knowledge.among(["@web", "@script", "@container"], denial.source.type)
        # In a user namespace the capability ends where the namespace does.
        if asked & powers and (web or not denial.tclass.endswith("_userns")):
            return "a capability that goes around every file mode, or into the kernel"
        secret = member("secrets", target) or member("policy-types", target)
        if secret and (web or target == "shadow_t" or not asked <= READ):
            return f"{target} is none of an application's business"
        writes = bool(asked & WRITE) and member("files", denial.tclass)
        if writes and (member("system-files", target) or target == "httpd_sys_content_t"):
            return f"a write to {target} changes programs or configuration of the host"
        if writes and (member("shared-base", target) or member("temporary", target)):
            return f"{target} is shared by the files of many programs"
        walks = asked <= {"getattr", "search", "watch", "watch_reads"} and denial.tclass == "dir"
        walks = walks or (asked <= {"getattr", "read"} and denial.tclass == "lnk_file")
        if member("base", target) and not walks:
            return f"{target} is what lies in a place until it gets a label of its own"
        # A socket without ports, as one of ICMP, is asked by its number all the same.
        if member("wide-ports", target) and member("net-sockets", denial.tclass):
            return f"{target} is a whole range of ports"
        return ""

    def _with_a_waiver(self, denial: Denial) -> Iterator[Fix]:
        """A domain's power over itself that is refused may be waived, with a reason and a day."""
        web = self.knowledge.among(["@web", "@script", "@never-left"], denial.source.type)
        own = denial.source.type == denial.target.type
        service = bool(self.names.owner(denial.source.type))
        why = self._never(denial)
        # A service of the host may be there for what is secret to all others (raw disks, modules).
        secret = self.knowledge.member("secrets", denial.target.type)
        charged = secret and service
        if not (own or charged) or web or denial.granted or not why:
            return
        # A capability that a service of the host asks for is mostly its work: dontaudit is second.
        # Not where it is asked for by a look at others (sys_ptrace), or for want of a file's mode.
        capability = own and self.knowledge.member("capabilities", denial.tclass)
        doubtful = {"sys_ptrace", *_PAST_MODES} & set(denial.permissions)
        target = "self" if own else denial.target.type
        grants = [f"{denial.source.type} {target}:{denial.tclass} {p}" for p in denial.permissions]
        yield Fix(
            "allow",
            "rule",
            "rung:waiver",
            f"{why}: it is granted only with a waiver",
            "[[waiver]] grant = " + ", ".join(f'"{g}"' for g in grants) + ", with a reason and a "
            "day, beside the [[allow]]. This program does not write either by itself.",
            grants=rule(denial),
            refs=("policy/refusals.toml",),
            weak=not (service and capability) or bool(doubtful),
        )

    def _wrong(self, denial: Denial) -> Iterator[known.Wrong]:
        for wrong in self.knowledge.wrong:
            if denial.tclass in wrong.classes and set(denial.permissions) & set(wrong.permissions):
                yield wrong
