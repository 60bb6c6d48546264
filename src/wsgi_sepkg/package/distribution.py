"""Names of Python packages as requirements of the distribution: ``python3dist(NAME)``.

Fedora's and RHEL's packages of Python provide such names by themselves (rpm's pythondistdeps), with
versions in RPM's form that have lost their last zeros.
"""

from __future__ import annotations

import re

from packaging.version import Version

from wsgi_sepkg.package.version import rpm_version
from wsgi_sepkg.project.requirements import Wanted, environment, wanted
from wsgi_sepkg.targets import Python

_OPERATORS = {">=": ">=", "<=": "<=", ">": ">", "<": "<", "==": "=", "===": "="}


def requires(text: str, python: Python, default: str) -> tuple[str, ...]:
    """Return the RPM requirements that a requirements file means, sorted.

    ``default`` is the target's own Python: packages of another one have its version in the name. A
    version that is excluded alone (``!=``) has no form in RPM and is left out.
    """
    word = "python3dist" if python.version == default else f"python{python.version}dist"
    known = environment(python.version, "x86_64")
    found = {_requirement(one, word) for one in wanted(text)[0] if one.applies(known)}
    return tuple(sorted(found))


def _requirement(one: Wanted, word: str) -> str:
    extras = f"[{','.join(sorted(one.extras))}]" if one.extras else ""
    name = f"{word}({one.name}{extras})"
    bounds = [bound for operator, version in one.bounds for bound in _bounds(operator, version)]
    said = [f"{name} {operator} {version}" for operator, version in bounds] or [name]
    return said[0] if len(said) == 1 else f"({' with '.join(said)})"


def _bounds(operator: str, version: str) -> list[tuple[str, str]]:
    if operator == "~=" or version.endswith(".*"):
        series = Version(version.removesuffix(".*"))
        kept = series.release[:-1] if operator == "~=" else series.release
        following = ".".join(map(str, (*kept[:-1], kept[-1] + 1)))
        if operator in ("~=", "=="):
            return [(">=", _version(str(series))), ("<", _version(following))]
        return []
    return [(_OPERATORS[operator], _version(version))] if operator in _OPERATORS else []


def _version(text: str) -> str:
    version = Version(text)
    numbers = list(version.release)
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    plain = ".".join(map(str, version.release))
    short = ".".join(map(str, numbers))
    return str(rpm_version(re.sub(rf"(?<![0-9.]){re.escape(plain)}", short, str(version), count=1)))
