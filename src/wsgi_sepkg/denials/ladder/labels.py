"""Labels that are looked up: of the path, and of the program that asked."""

from __future__ import annotations

from collections.abc import Iterator

from wsgi_sepkg.denials.grounds import CUSTOMIZABLE
from wsgi_sepkg.denials.ladder.fixes import Change, Fix, change_values
from wsgi_sepkg.denials.ladder.ports import Ports
from wsgi_sepkg.denials.model import Denial


class Labels(Ports):
    """Compares labels with those of the base policy."""

    def _mislabelled(self, denial: Denial) -> Iterator[Fix]:
        """The path has a label in the base policy, and the object has another one."""
        actual = denial.target.type
        if denial.target.role != "object_r" or not denial.path or actual in CUSTOMIZABLE:
            return
        if not self.knowledge.member("files", denial.tclass):
            return
        if denial.path == "/":
            return  # The root of some namespace or image: the host's has a label from the start.
        expected = self.names.expected(denial.path, denial.tclass)
        member = self.knowledge.member
        if not expected or self.names.real(expected) == self.names.real(actual):
            return
        if member("shared-base", expected) or member("unlabelled", expected):
            return
        made = "create" in denial.permissions
        if made and self.names.expected(denial.path.rpartition("/")[0], "dir") == actual:
            return  # Made in a rightly labelled folder: only a transition names it otherwise.
        stray = any(
            member(family, actual)
            for family in ("moved", "unlabelled", "shared-base", "home", "own-tmp", "temporary")
        )
        if not stray:
            return
        if member("home", actual) and denial.path.startswith(("/home/", "/root/")):
            return
        yield Fix(
            "relabel",
            "label",
            "rung:label",
            f"{denial.path} is {actual}, but the policy labels that path {expected}",
            f"restorecon -Rv {denial.path}. Files keep the label of where they were made: mv and "
            "rsync -X carry it along.",
            refs=("file_contexts of the base policy", "restorecon(8)"),
            change=Change("label", change_values(denial, expected=expected)),
        )

    def _program_of_another(self, denial: Denial) -> Iterator[Fix]:
        """The program has a domain of its own in the base policy, and runs in another's."""
        source = denial.source.type
        if denial.kind != "AVC" or denial.source.role == "object_r":
            return  # The executable is that of an object manager, or the source is a file.
        if self.knowledge.among(["@unconfined", "@people", "@never-left"], source):
            return
        entry = self.names.expected(denial.exe, "file")
        domain = f"{entry.removesuffix('_exec_t')}_t"
        if not entry.endswith("_exec_t") or not self.names.has_type(domain):
            return
        owner, here = self.names.owner(entry), self.names.owner(source)
        if not (owner and here) or owner == here:
            return
        yield Fix(
            "domain",
            "domain",
            "rung:program-of-another",
            f"{denial.exe} has a domain of its own, {domain}; here it runs in {source}",
            f"A transition to {domain} where {source} starts it: the program then has the rights "
            f"that it needs, and {source} gets none of them.",
            refs=("file_contexts of the base policy", "domain.te: domtrans_pattern"),
            weak=True,
        )
