"""A folder of built packages → a signed repository, ready for a web server."""

from __future__ import annotations

import itertools
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wsgi_sepkg import process
from wsgi_sepkg.errors import BuildFailed, ForeignFile, ToolFailed, UsageError, WsgiSepkgError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# $releasever and $basearch are dnf's own variables; a blank or a line end would begin another key.
_URL = re.compile(r"(?:https?|file)://[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")


@dataclass(frozen=True)
class Part:
    """One repository: its place below the whole ('' for the whole itself), and its packages."""

    place: str
    repo_file: Path
    packages: tuple[str, ...]


@dataclass(frozen=True)
class Repository:
    """What was made: ``key`` is the fingerprint that signed it, '' for unsigned."""

    folder: Path
    key: str
    parts: tuple[Part, ...]


def packages_of(folder: Path) -> dict[str, list[Path]]:
    """Return the packages of a build by target, '' for those that lie in ``folder`` itself.

    Source packages are left out. Raises UsageError when there are none.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder", "name the --outdir of a build")
    found: dict[str, list[Path]] = {}
    for path in sorted([*folder.glob("*.rpm"), *folder.glob("*/*.rpm")]):
        place = "" if path.parent == folder else path.parent.name
        if not path.name.endswith(".src.rpm") and not place.startswith("."):
            found.setdefault(place, []).append(path)
    if not found:
        raise UsageError(f"{folder} holds no packages", "name the --outdir of a build")
    return found


def make(
    built: Path, out: Path, name: str, url: str = "", key: str = "", keep: bool = False
) -> Repository:
    """Make the repository ``out`` of the packages in ``built``; each target has one of its own.

    ``url`` is where people will find it (the folder itself without one). ``key`` names a secret key
    of gpg: packages and metadata are signed with it, and read back. ``keep`` takes along what the
    repository holds already. ``out`` is replaced whole or not at all. Raises UsageError for a bad
    name, address or key, ForeignFile for a folder that is no repository, ToolMissing, BuildFailed.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!a} cannot be the name of a repository", "e.g. --name example")
    address = (url or out.resolve().as_uri()).rstrip("/")
    if not _URL.fullmatch(address):
        raise UsageError(
            f"{address!a} is no address that dnf takes", "e.g. --url https://example.org/packages"
        )
    found = packages_of(built)
    for tool in ("createrepo_c", *(("rpmsign", "gpg") if key else ())):
        process.find(tool, "making the repository")
    _replaceable(out)
    fingerprint = _fingerprint(key) if key else ""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as temporary:
            new = Path(temporary, "new")
            parts = []
            for place, packages in found.items():
                parts.append(_part(new, out, place, packages, name, address, fingerprint, keep))
            new.chmod(0o755)
            if out.exists():
                out.rename(Path(temporary, "old"))
            new.rename(out)
    except OSError as exc:
        raise WsgiSepkgError(f"{exc.filename or out}: {exc.strerror or exc}") from exc
    return Repository(out, fingerprint, tuple(parts))


def _replaceable(out: Path) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not out.is_dir() or not [*out.glob("repodata"), *out.glob("*/repodata")]:
        raise ForeignFile(f"{out} is there, and is no repository", "name another --outdir")


def _part(
    new: Path,
    out: Path,
    place: str,
    packages: list[Path],
    name: str,
    address: str,
    fingerprint: str,
    keep: bool,
) -> Part:
    folder, before = new / place, out / place
    folder.mkdir(parents=True, exist_ok=True)
    for path in packages:
        shutil.copyfile(path, folder / path.name)
    # One of the same name that is there already has been handed out: it stays.
    for path in sorted(before.glob("*.rpm")) if keep else []:
        shutil.copyfile(path, folder / path.name)
    names = tuple(sorted(p.name for p in folder.glob("*.rpm")))
    key_file = f"RPM-GPG-KEY-{name}"
    if fingerprint:
        public = process.run(["gpg", "--batch", "--armor", "--export", fingerprint]).stdout
        (folder / key_file).write_text(public, encoding="ascii")
        _sign([folder / n for n in names], fingerprint, folder / key_file)
    # Signing changes checksums, so the metadata comes after it. gzip is read by every release.
    command = ["createrepo_c", "--quiet", "--no-database", "--checksum", "sha256"]
    process.run([*command, "--general-compress-type", "gz", folder])
    if fingerprint:
        metadata = folder / "repodata" / "repomd.xml"
        signature = ["gpg", "--batch", "--yes", "--armor", "--local-user", fingerprint]
        _gpg([*signature, "--detach-sign", metadata], fingerprint)
    at = f"{address}/{place}" if place else address
    ident = f"{name}-{place}" if place else name
    lines = [f"[{ident}]", f"name={ident}", f"baseurl={at}", "enabled=1"]
    signed = int(bool(fingerprint))
    lines += [f"gpgcheck={signed}", f"repo_gpgcheck={signed}"]
    if fingerprint:
        lines.append(f"gpgkey={at}/{key_file}")
    (folder / f"{ident}.repo").write_text("\n".join(lines) + "\n", encoding="ascii")
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    folder.chmod(0o755)
    return Part(place, out / place / f"{ident}.repo", names)


def _fingerprint(key: str) -> str:
    """Return the fingerprint of the one secret key that ``key`` names. Raises UsageError."""
    done = process.run(
        ["gpg", "--batch", "--with-colons", "--list-secret-keys", "--", key], check=False
    )
    lines = [line.split(":") for line in done.stdout.splitlines()]
    found = [after[9] for line, after in itertools.pairwise(lines) if line[0] == "sec"]
    if len(found) != 1:
        what = "no secret key" if not found else f"{len(found)} secret keys"
        raise UsageError(
            f"{key!a}: gpg has {what} of that name",
            "gpg --list-secret-keys shows them; GNUPGHOME says where gpg looks",
        )
    return found[0]


def _sign(packages: list[Path], fingerprint: str, public: Path) -> None:
    """Sign the packages, and read back that rpm finds the signature of that very key.

    One that has it already keeps it. rpmsign may end with status 0 without having signed (a
    %__gpg that is not there).
    """
    with tempfile.TemporaryDirectory(prefix="wsgi-sepkg-") as database:
        rpmkeys = ["rpmkeys", "--dbpath", database]
        process.run([*rpmkeys, "--import", public])

        def signed(package: Path) -> bool:
            said = process.run([*rpmkeys, "--checksig", package], check=False)
            return said.status == 0 and "signatures OK" in said.stdout

        wanted = [package for package in packages if not signed(package)]
        command = ["rpmsign", "--define", f"_gpg_name {fingerprint}"]
        command += ["--define", f"__gpg {process.find('gpg')}", "--addsign"]
        if wanted:
            _gpg([*command, *wanted], fingerprint)
        for package in wanted:
            if not signed(package):
                raise BuildFailed(
                    f"{package.name} has no good signature of {fingerprint}",
                    "rpm reads RSA keys on every release; `rpmkeys --checksig -v` says more",
                )


def _gpg(command: Sequence[str | Path], fingerprint: str) -> None:
    try:
        process.run(command)
    except ToolFailed as exc:
        lines = "".join(f"\n    {line}" for line in exc.decisive)
        raise BuildFailed(
            f"signing with {fingerprint} failed{lines}",
            "gpg-agent has to know the passphrase, or the key has none",
        ) from exc
