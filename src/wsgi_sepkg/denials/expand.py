"""What an interface really grants: its expansion by m4 with the policy headers of the host.

An interface is proposed as covering a denial only when its expansion does; what it grants besides
is counted. Only the headers that the wanted interfaces need are read, round by round.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from wsgi_sepkg import process
from wsgi_sepkg.denials.model import Denial
from wsgi_sepkg.targets import Facts

PROBE = "wsgi_sepkg_probe_t"
_ROUNDS = 6

_MARK = re.compile(r"^@@ (\w+)$", re.M)
_CALL = re.compile(r"\b([A-Za-z_]\w*)\s*\(")
_NAMES = r"(?:\{[^;:]*?\}|[^\s;:{}]+)"
_PART = re.compile(
    rf"\ballow\s+({_NAMES})\s+({_NAMES})\s*:\s*({_NAMES})\s+(\{{[^;]*?\}}|[^\s;{{}}]+)\s*;"
    r"|\bif\s*\([^{]*\{|\boptional\s*\{|\brequire\s*\{|\{|\}"
)

Vector = tuple[str, str, str, str]


@dataclass(frozen=True)
class Expansion:
    """What one interface grants: ``always``, and ``sometimes`` (under a boolean), as vectors of
    (source, target, class, permission); ``PROBE`` stands for the domain that calls it.
    """

    always: frozenset[Vector]
    sometimes: frozenset[Vector]

    def covers(self, denial: Denial, target: str = "") -> bool:
        """Tell whether everything that was denied is granted to the caller, always."""
        type_ = target or denial.target.type
        return all(
            (PROBE, type_, denial.tclass, permission) in self.always
            for permission in denial.permissions
        )

    def surplus(self, denial: Denial) -> int:
        """Return how many access vectors it grants besides what was denied."""
        return len(self.always | self.sometimes) - len(denial.permissions)


class Expander:
    """Expands interfaces of the headers below ``include``; what is expanded once is kept."""

    def __init__(self, include: Path, facts: Facts) -> None:
        self.include = include
        self.facts = facts
        self.known: dict[str, Expansion] = {}

    @cached_property
    def _files(self) -> dict[str, Path]:
        return {path.stem: path for path in sorted(self.include.glob("*/*.if"))}

    def load(self, names: Iterable[str]) -> None:
        """Expand ``names``; one that takes more than the caller's domain is left out.

        Raises ToolMissing without m4, ToolFailed when a header cannot be read.
        """
        wanted = [n for n in dict.fromkeys(names) if n not in self.known and self._simple(n)]
        modules = {self.facts.interfaces[name] for name in wanted}
        text = ""
        for _ in range(_ROUNDS):
            text = self._m4(wanted, modules) if wanted else ""
            called = {n for n in _CALL.findall(text) if n in self.facts.interfaces}
            more = {self.facts.interfaces[n] for n in called} & self._files.keys()
            if more <= modules:
                break
            modules |= more
        parts = _MARK.split(text)
        for name, body in zip(parts[1::2], parts[2::2], strict=True):
            self.known[name] = _read(body)

    def _simple(self, name: str) -> bool:
        module = self.facts.interfaces.get(name, "")
        path = self._files.get(module)
        if path is None:
            return False
        text = path.read_text(encoding="utf-8", errors="replace")
        start = text.find(f"interface(`{name}',`")
        if start < 0:
            return False
        end = text.find("interface(`", start + 10)
        body = text[start : end if end > 0 else len(text)].split("\n')", 1)[0]
        return "$1" in body and "$2" not in body

    def _m4(self, names: Iterable[str], modules: Iterable[str]) -> str:
        """Expand ``names``. As the headers' Makefile does it: one run turns the headers into
        definitions, a second one expands the calls.
        """
        support = sorted((self.include / "support").glob("*.spt"))
        headers = [self._files[m] for m in sorted(modules) if m in self._files]
        flags = ["-D", "enable_mcs", "-D", "mls_num_sens=1", "-D", "mls_num_cats=1024"]
        flags += ["-D", "mcs_num_cats=1024", "-D", "hide_broken_symptoms"]
        given = [f"include(`{path}')" for path in support]
        first = ["divert(-1)", *given, "divert(0)dnl", *(f"include(`{path}')" for path in headers)]
        why = "expanding interfaces"
        definitions = process.run(["m4", *flags, "-"], stdin="\n".join(first) + "\n", why=why)
        defined = definitions.stdout.replace("dollarsstar", "$*")
        second = ["divert(-1)", *given, defined, "divert(0)dnl"]
        for name in names:
            second += [f"@@ `{name}'", f"{name}({PROBE})"]
        return process.run(["m4", *flags, "-"], stdin="\n".join(second) + "\n", why=why).stdout


def _read(text: str) -> Expansion:
    """Return what expanded policy grants; the bodies of `require` grant nothing."""
    always: set[Vector] = set()
    sometimes: set[Vector] = set()
    stack: list[bool] = []
    for match in _PART.finditer(text):
        found = match.group()
        if found.startswith("allow"):
            sources, targets, classes, permissions = (_words(match[i]) for i in range(1, 5))
            into = sometimes if any(stack) else always
            for source in sources:
                for target in targets:
                    real = source if target == "self" else target
                    into |= {(source, real, c, p) for c in classes for p in permissions}
        elif found == "}":
            if stack:
                stack.pop()
        else:
            stack.append(found.startswith("if"))
    return Expansion(frozenset(always), frozenset(sometimes))


def _words(text: str) -> list[str]:
    return [w for w in re.split(r"[\s{}]+", text) if w and not w.startswith(("-", "~"))]
