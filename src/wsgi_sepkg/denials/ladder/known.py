"""What every rung is decided by: the names of a target, the knowledge, a policy, the headers."""

from __future__ import annotations

from dataclasses import dataclass, field

from wsgi_sepkg.denials import knowledge as known
from wsgi_sepkg.denials.expand import Expander
from wsgi_sepkg.denials.grounds import Names, Policy
from wsgi_sepkg.denials.knowledge import Knowledge
from wsgi_sepkg.denials.ladder.signs import stem
from wsgi_sepkg.denials.model import Denial


@dataclass
class Known:
    """The grounds of a decision; ``policy`` and ``expander`` are None where there is none."""

    names: Names
    policy: Policy | None = None
    knowledge: Knowledge = field(default_factory=known.load)
    expander: Expander | None = None
    """Expands interfaces, where the headers of the target are at hand."""

    def _words(self, denial: Denial) -> dict[str, str]:
        target = denial.target.type
        module = self.names.owner(target)
        path = denial.path or denial.name
        noun = target.removesuffix("_t")
        if module:
            noun = noun.removeprefix(f"{module}_") or noun
        return {
            "source": denial.source.type,
            "target": target,
            "stem": stem(denial.source.type),
            "owner": stem(target),
            "module": module,
            "noun": noun.removesuffix("_port") if noun.endswith("_port") else noun,
            "path": path or "(the record names no path)",
            "folder": path.rpartition("/")[0] or path or "the folder",
            "port": str(denial.port or ""),
        }

    def _count(self, boolean: str) -> int | None:
        return self.policy.opens.get(boolean) if self.policy is not None else None
