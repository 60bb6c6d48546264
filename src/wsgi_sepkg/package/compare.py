"""Two packages side by side: are they the same but for the signature, and if not, in what?"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsgi_sepkg.errors import UsageError

_LEAD = 96
_MAGIC = b"\x8e\xad\xe8\x01"

# Tags of the signature header, which rpmfile mixes with the others, and digests of what the other
# tags hold: they say nothing that these do not.
SIGNATURE = frozenset(
    {
        *("signature", "sigmd5", "siggpg", "sigpgp", "dsaheader", "rsaheader", "sha1header"),
        *("sha256header", "sha256", "sha1", "md5", "pgp", "pgp5", "gpg", "payloadsize", "size"),
        *("longsize", "longsigsize", "longarchivesize", "reservedspace", "archivesize"),
        *("headerimmutable", "headersignatures", "headerimage"),
    }
)
# What the build root of a service decides, whatever was built: not a difference of the package.
EXPECTED: Mapping[str, str] = {
    "buildtime": "when it was built",
    "buildhost": "where it was built",
    "vendor": "who runs the service",
    "packager": "who runs the service",
    "distribution": "the name of the distribution there",
    "disturl": "the name of the distribution there",
    "bugurl": "the address of bug reports there",
    "rpmversion": "the rpm of the build root",
    "cookie": "host and time of the source package",
    "sourcepkgid": "the source package, which a service makes anew",
    "optflags": "compiler flags of the build root; there is nothing to compile",
    "platform": "the platform of the build root",
    "payloadformat": "how the payload is packed",
    "payloadcompressor": "how the payload is packed",
    "payloadflags": "how the payload is packed",
    "payloaddigest": "the packed payload",
    "payloaddigestalgo": "the packed payload",
    "loaddigestalt": "the payload before it is packed, times of files included",
    "payloaddigestalt": "the payload before it is packed, times of files included",
    "encoding": "the encoding that newer versions of rpm name",
    "filemtimes": "times of files, where the service does not limit them",
    "fileinodes": "numbers of files in the build root",
    "filedevices": "numbers of files in the build root",
    "filerdevs": "numbers of files in the build root",
    "filecolors": "numbers that rpm gives to kinds of files",
    "fileclass": "the words of file(1) of the build root",
    "classdict": "the words of file(1) of the build root",
}
_DEPENDENCIES = ("require", "provide", "conflict", "obsolete", "recommend", "suggest")


@dataclass(frozen=True)
class Comparison:
    """What a comparison found: ``same`` but for the signature; differences by header tag.

    ``expected`` are (tag, why) that a service's build root decides; ``other`` are (tag, one value,
    the other value), each of them a fault.
    """

    name: str
    same: bool
    expected: tuple[tuple[str, str], ...]
    other: tuple[tuple[str, str, str], ...]


def headers(path: Path) -> Mapping[str, Any]:
    """Return the headers of a package as rpmfile names them. Raises UsageError for another file."""
    import rpmfile

    try:
        with rpmfile.open(str(path)) as package:
            return dict(package.headers)
    except Exception as exc:  # rpmfile raises RPMError, AssertionError, struct.error, Exception
        raise UsageError(f"{path} is no package that can be read: {exc}") from exc


def texts(data: Mapping[str, Any], tag: str) -> list[str]:
    """Return the values of a tag as text, [] where the package has none."""
    value = data.get(tag)
    if value is None:
        return []
    values = value if isinstance(value, list | tuple) else [value]
    return [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values]


def unsigned(path: Path) -> bytes:
    """Return a package without lead and signature header: what a signature leaves as it is."""
    data = path.read_bytes()
    if data[_LEAD : _LEAD + 4] != _MAGIC:
        raise UsageError(f"{path} is no package that can be read")
    count, size = struct.unpack(">II", data[_LEAD + 8 : _LEAD + 16])
    end = _LEAD + 16 + 16 * count + size
    return data[end + -end % 8 :]


def compare(one: Path, other: Path, exact: bool) -> Comparison:
    """Compare two packages; ``exact`` allows no difference but the signature's."""
    if unsigned(one) == unsigned(other):
        return Comparison(one.name, True, (), ())
    first, second = _content(headers(one)), _content(headers(other))
    expected, faults = [], []
    for tag in sorted({*first, *second}):
        a, b = first.get(tag, ""), second.get(tag, "")
        if a == b:
            continue
        if tag in EXPECTED and not exact:
            expected.append((tag, EXPECTED[tag]))
        else:
            faults.append((tag, *_first_difference(a, b)))
    if exact and not faults:
        faults.append(("payload", "other bytes", "with the same headers"))
    return Comparison(one.name, False, tuple(expected), tuple(faults))


def _content(data: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags that say something, dependencies as one sorted text each.

    rpmlib() names features of the rpm that built, so they are a tag of their own.
    """
    found = {}
    used = set()
    for kind in _DEPENDENCIES:
        tags = (f"{kind}name", f"{kind}flags", f"{kind}version")
        # rpmfile has the plain word for some of them.
        names = texts(data, tags[0]) or texts(data, f"{kind}s")
        used |= {*tags, f"{kind}s"}
        flags, versions = texts(data, tags[1]), texts(data, tags[2])
        if len(flags) != len(names) or len(versions) != len(names):
            flags = versions = [""] * len(names)
        lines = sorted({" ".join(x) for x in zip(names, flags, versions, strict=True)})
        found[kind] = "\n".join(x for x in lines if not x.startswith("rpmlib("))
    for tag, value in data.items():
        name = str(tag).lower()
        if name not in SIGNATURE and name not in used and not name.isdigit():
            found[name] = "\n".join(texts(data, tag)) if not isinstance(value, dict) else str(value)
    return found


def _first_difference(one: str, other: str) -> tuple[str, str]:
    a, b = one.splitlines(), other.splitlines()
    for x, y in zip([*a, *[""] * len(b)], [*b, *[""] * len(a)], strict=True):
        if x != y:
            return x[:200], y[:200]
    return one[:200], other[:200]
