"""Whether a denial looks as an entry of the knowledge says."""

from __future__ import annotations

import re
from collections.abc import Iterator

from wsgi_sepkg.denials.knowledge import Entry
from wsgi_sepkg.denials.ladder.booleans import Booleans
from wsgi_sepkg.denials.ladder.signs import GENERIC_STEMS, program_of, stem
from wsgi_sepkg.denials.model import Denial

# A process, namespace or socket that has a path only in the record: no file that a label is for.
_HANDLE = re.compile(r"[a-z_]+:\[[^\]/]*\]")


class Entries(Booleans):
    """Matches entries."""

    def matching(self, denial: Denial) -> Iterator[Entry]:
        """Yield the entries that a denial looks like, in their order."""
        asked = set(denial.permissions)
        for entry in self.knowledge.about(denial.source.type, denial.target.type, denial.tclass):
            if self._matches(entry, denial, asked):
                yield entry

    def _matches(self, entry: Entry, denial: Denial, asked: set[str]) -> bool:
        """Tell whether a denial looks as ``entry`` says, of whose types and class it is."""
        if entry.granted != denial.granted:
            return False
        if entry.permissions and not asked & set(entry.permissions):
            return False
        if asked & set(entry.not_permissions):
            return False
        if entry.only and not asked <= set(entry.only):
            return False
        if entry.not_only and asked <= set(entry.not_only):
            return False
        if entry.self is not None and entry.self != (denial.source.type == denial.target.type):
            return False
        if entry.other_process is not None and entry.other_process == (
            denial.target.role == "object_r" or denial.source.type == denial.target.type
        ):
            return False
        place = denial.path or denial.name
        if entry.path and not re.fullmatch(entry.path, place):
            return False
        if entry.not_path and re.fullmatch(entry.not_path, place):
            return False
        program = program_of(denial)
        if entry.command and not re.fullmatch(entry.command, program):
            return False
        if entry.not_command and re.fullmatch(entry.not_command, program):
            return False
        if entry.inherited and (denial.name or not denial.path):
            return False
        if entry.foreign_domain and stem(denial.target.type) in (
            stem(denial.source.type),
            *GENERIC_STEMS,
        ):
            return False
        owner = self.names.owner(denial.source.type)
        short = stem(denial.source.type).partition("_")[0]
        if entry.other_module:
            # A domain that is newer than the facts is told by the name of its program.
            theirs = self.names.owner(denial.target.type)
            if owner == theirs if owner else short == stem(denial.target.type).partition("_")[0]:
                return False
        if entry.own_type and not denial.target.type.startswith(f"{short}_"):
            return False
        if entry.base_domain is not None and entry.base_domain != bool(owner):
            return False
        for asked_for, who in (
            (entry.session, denial.source),
            (entry.peer_session, denial.target),
        ):
            if asked_for is not None and asked_for != (who.role not in ("system_r", "object_r")):
                return False
        if entry.apart is not None and entry.apart != ("level" in denial.constraints):
            return False
        if entry.unless_own and self._has_own(entry.unless_own, denial):
            return False
        if _HANDLE.fullmatch(denial.path) and entry.kind in ("relabel", "fcontext"):
            return False
        if entry.standard_path:
            expected = self.names.expected(denial.path, denial.tclass)
            if not expected or self.knowledge.member("unlabelled", expected):
                return False
        return True

    def _lost(self, denial: Denial) -> bool:
        """Tell whether a service runs in the domain of init: no grant is proposed for that one."""
        return any(
            entry.kind == "domain" and "@never-left" in entry.source
            for entry in self.matching(denial)
        )
