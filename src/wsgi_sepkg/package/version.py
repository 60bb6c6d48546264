"""PEP 440 versions as RPM versions, in an order that rpm sees the same way.

===================  ===================  ==================================================
PEP 440              RPM                  why
===================  ===================  ==================================================
``1.2.3``            ``1.2.3``            zeros stay: rpm sorts 1.0 before 1.0.0
``1.0rc3``           ``1.0~rc3``          a tilde sorts before the end of the version
``1.0.dev4``         ``1.0~~dev4``        one tilde would sort after ``1.0~a1``
``1.0rc1.dev4``      ``1.0~rc1~dev4``
``1.0.post2``        ``1.0^post2``        a caret sorts after the end and before ``1.0.1``
``1.0.post1.dev2``   ``1.0^post1~dev2``
``1.0+local.1``      ``1.0^local.1``      Fedora's form for "after this release"
``1!2.0``            epoch 1, ``2.0``
===================  ===================  ==================================================

The order is the same on both sides except in two cases. Releases that differ in trailing zeros
only (1.0 and 1.0.0) are equal in PEP 440 and different in rpm. Local parts follow rpm's rules for
letters and digits; a project should not publish them.

A caret needs rpm 4.15 (``rpmlib(CaretInVersions)``), a tilde rpm 4.10.
"""

from __future__ import annotations

from dataclasses import dataclass

from packaging.version import Version

from wsgi_sepkg.errors import UsageError

_HINT = "write it as Python does: 1.2.3, 1.2.3rc1, 1.2.3.post1"


@dataclass(frozen=True)
class RpmVersion:
    """The two tags of a spec that hold a version; ``epoch`` 0 means that no Epoch tag is needed."""

    epoch: int
    version: str

    def __str__(self) -> str:
        """The form that rpm prints and dependencies use, ``epoch:version``."""
        return f"{self.epoch}:{self.version}" if self.epoch else self.version


def _parse(text: str) -> Version:
    # InvalidVersion is a ValueError, and so is int()'s refusal of thousands of digits.
    try:
        return Version(text)
    except ValueError as exc:
        shown = text if len(text) <= 60 else text[:60] + "..."
        raise UsageError(f"{shown!r} is not a PEP 440 version", _HINT) from exc


def rpm_version(text: str) -> RpmVersion:
    """Return the Epoch and Version tags for the PEP 440 version ``text``.

    The release part keeps all its numbers; the rest is normalised first, as ``str(Version(text))``
    does (``1.0-ALPHA.1`` is ``1.0a1``, ``2026.01`` is ``2026.1``). Raises UsageError, which is also
    a ValueError, when ``text`` is not PEP 440.
    """
    parsed = _parse(text)
    version = ".".join(str(number) for number in parsed.release)
    if parsed.pre is not None:
        letter, number = parsed.pre
        version += f"~{letter}{number}"
    if parsed.post is not None:
        version += f"^post{parsed.post}"
    if parsed.dev is not None:
        alone = parsed.pre is None and parsed.post is None
        version += f"~~dev{parsed.dev}" if alone else f"~dev{parsed.dev}"
    if parsed.local is not None:
        version += f"^{parsed.local}"
    return RpmVersion(parsed.epoch, version)


def policy_module_version(text: str) -> str:
    """Return the version of the SELinux module, three numbers, for the PEP 440 version ``text``.

    The module language knows digits and dots only, so everything but the release part is left out;
    a shorter release is filled with zeros and a longer one is cut. Raises UsageError.
    """
    numbers = [*_parse(text).release, 0, 0][:3]
    return ".".join(str(number) for number in numbers)
