"""The source archive: which files of an application go in, and the same bytes every time.

What is written depends on names, contents, the owner's execute bit and the time that is asked for;
not on the folder, the day, the umask or the user. The bytes are those that GNU tar and gzip write
for ``listing``, so that a pipeline without this program makes the same archive
(templates/pipelines/make-srpm.sh.j2).
"""

from __future__ import annotations

import io
import os
import re
import shutil
import stat
import tarfile
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from wsgi_sepkg import process
from wsgi_sepkg.errors import UsageError

# Left out of every archive: histories, caches, environments, a developer's database, our own input.
DEFAULT_EXCLUDES: tuple[str, ...] = (
    ".git",
    ".hg",
    "__pycache__",
    "*.pyc",
    ".venv",
    "venv",
    "node_modules",
    ".tox",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    "*.egg-info",
    "*.sqlite3",
    "*.rpm",
    "/wsgi-sepkg.toml",
    "/.wsgi-sepkg-init.json",
)

# Left out and told: what is shipped in a package is readable by all.
SECRET_LOOKING: tuple[str, ...] = (".env", ".env.*", "*.key", "*.pem", "id_rsa", "id_ed25519")

_LINKS_MAX = 40  # as the kernel's limit (path_resolution(7))
_EPOCH_MAX = 8**11 - 1  # eleven octal digits, the most that a ustar header holds
_SHOWN_MAX = 20

_KINDS = (
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISBLK, "a block device"),
    (stat.S_ISCHR, "a character device"),
)


def source_files(
    root: Path, exclude: Sequence[str] = (), *, defaults: Sequence[str] = DEFAULT_EXCLUDES
) -> list[Path]:
    """Return the files and symbolic links below ``root``, relative to it, sorted by name.

    ``exclude`` adds glob patterns to ``defaults``. A pattern without a slash matches a name at any
    depth (``*.log``); one with a slash matches from ``root`` on (``/docs``, ``media/*.jpg``);
    ``**`` stands for any number of folders, a slash at the end for folders only. What is below an
    excluded folder is excluded. Empty folders are not part of an archive, and links to folders are
    kept as links, never entered.

    Raises UsageError naming every file that cannot be packaged: a link whose target is absolute or
    leaves ``root``, a socket, pipe or device, a name with a control character or outside UTF-8.
    """
    patterns = [_Pattern(text) for text in (*defaults, *exclude)]
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder")
    found: list[Path] = []
    refused: list[str] = []
    with _file_errors():
        for path, mode in _walk(root, PurePosixPath(), patterns):
            reason = _why_not(root, path, mode)
            if reason:
                refused.append(f"{_shown(str(path))}: {reason}")
            else:
                found.append(Path(path))
    if refused:
        raise _refusal(refused)
    return sorted(found, key=_name)


def newest_time(root: Path, files: Iterable[Path]) -> int:
    """Return the newest modification time among ``files``, in seconds since 1970, or 0 for none.

    A link counts with its own time. Raises UsageError for a file that cannot be read.
    """
    with _file_errors():
        return max((int((root / path).lstat().st_mtime) for path in files), default=0)


def write_tarball(root: Path, files: Iterable[Path], prefix: str, epoch: int, out: Path) -> None:
    """Write ``files`` (relative to ``root``) below the folder ``prefix`` into the .tar.gz ``out``.

    Every entry belongs to root:root and has the time ``epoch``, brought into the range that a tar
    header can hold. Folders and files that their owner may execute get mode 0755, other files 0644.
    ``out`` appears complete or not at all. Raises UsageError when a file is no longer a plain file
    or a link, cannot be read, or is ``out`` itself.
    """
    if not _is_safe(prefix):
        raise UsageError(f"{_shown(prefix)} cannot be the top folder of an archive")
    mtime = min(max(epoch, 0), _EPOCH_MAX)
    paths = sorted(set(files), key=_name)
    for path in paths:
        if not _is_safe(_name(path)):
            raise UsageError(f"{_shown(str(path))} does not name a file below {root}")
        if os.path.abspath(root / path) == os.path.abspath(out):  # noqa: PTH100
            raise UsageError(
                f"the archive {out} would contain itself", "write it to a folder outside the tree"
            )
    with _file_errors(), tempfile.TemporaryDirectory(prefix="wsgi-sepkg-") as folder_name:
        plain = Path(folder_name, "archive.tar")
        with plain.open("wb") as raw, tarfile.open(fileobj=raw, mode="w", tarinfo=_Entry) as tar:
            for folder in _folders(prefix, paths):
                tar.addfile(_entry(folder, tarfile.DIRTYPE, 0o755, mtime))
            for path in paths:
                _add(tar, root / path, f"{prefix}/{_name(path)}", mtime)
        # -n leaves time and name out of the header (RFC 1952). Another implementation of deflate,
        # such as zlib, gives other bytes.
        process.run(["gzip", "-9", "-n", plain], why="packing the application")
        with _replaced(out) as packed, plain.with_name("archive.tar.gz").open("rb") as content:
            shutil.copyfileobj(content, packed)


def listing(files: Iterable[Path]) -> list[str]:
    """Return the entries of an archive of ``files`` in its order; its top folder is ``.``."""
    paths = sorted(set(files), key=_name)
    folders = {parent.as_posix() for path in paths for parent in PurePosixPath(path).parents}
    return [".", *sorted(folders - {"."}), *map(_name, paths)]


class _Pattern:
    """One glob pattern, split at its slashes."""

    def __init__(self, text: str) -> None:
        self.folders_only = text.endswith("/")
        parts = text.strip("/").split("/")
        if any(part in ("", ".", "..") for part in parts):
            raise UsageError(
                f"exclude: {text!r} is not a pattern relative to the source folder",
                "write a name (*.log) or a path from the source folder on (/docs, media/*.jpg)",
            )
        anchored = "/" in text.rstrip("/")
        self.parts = tuple(parts if anchored else ["**", *parts])

    def matches(self, path: PurePosixPath, is_folder: bool) -> bool:
        if self.folders_only and not is_folder:
            return False
        return _parts_match(path.parts, self.parts)


def _parts_match(names: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    if not parts:
        return not names
    if parts[0] == "**":
        return any(_parts_match(names[skip:], parts[1:]) for skip in range(len(names) + 1))
    return bool(names) and fnmatchcase(names[0], parts[0]) and _parts_match(names[1:], parts[1:])


def _walk(
    root: Path, folder: PurePosixPath, patterns: list[_Pattern]
) -> Iterator[tuple[PurePosixPath, int]]:
    """Yield what is not excluded below ``folder`` and is no folder, with its mode."""
    with os.scandir(root / folder) as entries:
        for entry in entries:
            path = folder / entry.name
            mode = entry.stat(follow_symlinks=False).st_mode
            if any(pattern.matches(path, stat.S_ISDIR(mode)) for pattern in patterns):
                continue
            if stat.S_ISDIR(mode):
                yield from _walk(root, path, patterns)
            else:
                yield path, mode


def _why_not(root: Path, path: PurePosixPath, mode: int) -> str:
    """Return why ``path`` cannot be packaged, or an empty string."""
    if not _is_safe(str(path)):
        return "a name with a control character, or not in UTF-8"
    if stat.S_ISLNK(mode):
        return _bad_link(root, path)
    for test, kind in _KINDS:
        if test(mode):
            return kind
    return ""


def _bad_link(root: Path, link: PurePosixPath) -> str:
    """Follow ``link`` as the kernel does, without ever leaving ``root``; return what is wrong."""
    target = str((root / link).readlink())
    if not _is_text(target):
        return "a link to a name with a control character, or not in UTF-8"
    here = list(link.parent.parts)
    ahead = list(reversed(PurePosixPath(target).parts))
    links = 1
    while ahead:
        part = ahead.pop()
        if part.startswith("/"):  # pathlib keeps two slashes at the start apart from one
            return f"a link to the absolute path {target}"
        if part == "..":
            if not here:
                return f"a link that leaves the tree, to {target}"
            here.pop()
            continue
        step = root.joinpath(*here, part)
        if not step.is_symlink():
            here.append(part)
            continue
        links += 1
        if links > _LINKS_MAX:
            return f"a link that runs in a circle, to {target}"
        ahead.extend(reversed(step.readlink().parts))
    return ""


def _is_text(text: str) -> bool:
    """Tell whether ``text`` can stand on one line of a spec or a listing, in UTF-8."""
    # Cc: control characters; Cs: bytes that are not UTF-8; Zl, Zp: Unicode's own line ends.
    return not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in text)


def _is_safe(name: str) -> bool:
    """Tell whether ``name`` is a relative path that stays where it is put."""
    parts = name.split("/")
    return _is_text(name) and not any(part in ("", ".", "..") for part in parts)


def _shown(name: str) -> str:
    """``name`` on one line, whatever it holds."""
    return name if _is_text(name) else ascii(name)


def _name(path: Path | PurePosixPath) -> str:
    return path.as_posix()


def _refusal(refused: list[str]) -> UsageError:
    lines = sorted(refused)
    if len(lines) > _SHOWN_MAX:
        lines[_SHOWN_MAX:] = [f"and {len(lines) - _SHOWN_MAX} more"]
    return UsageError(
        "these files cannot be packaged\n" + "\n".join(f"    {line}" for line in lines),
        "remove them, or exclude them by a pattern",
    )


@contextmanager
def _file_errors() -> Iterator[None]:
    """Turn what the system says about a file into an error for people."""
    try:
        yield
    except OSError as exc:
        # tarfile raises an OSError without a number for a file that shrank while it was read.
        what = f"{exc.filename}: {exc.strerror}" if exc.filename is not None else str(exc)
        raise UsageError(_shown(re.sub(r"\s+", " ", what))) from exc


@contextmanager
def _replaced(out: Path) -> Iterator[io.BufferedWriter]:
    """Give a file to write to that becomes ``out`` when all went well, and vanishes otherwise."""
    out.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as raw:
            yield raw
        temporary.chmod(0o644)
        temporary.replace(out)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _folders(prefix: str, paths: list[Path]) -> list[str]:
    """Return every folder of the archive, parents first."""
    inside = {parent.as_posix() for path in paths for parent in PurePosixPath(path).parents}
    top = [str(parent) for parent in PurePosixPath(prefix).parents if str(parent) != "."]
    below = [f"{prefix}/{folder}" for folder in inside if folder != "."]
    return sorted([*top, prefix, *below])


class _Entry(tarfile.TarInfo):
    """An entry whose header is what GNU tar 1.27 and later write in its own format."""

    def tobuf(self, *_: object) -> bytes:
        """Return the header; a name of more than 100 bytes has one of its own before it."""
        buffer = super().tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
        parts = [buffer[n : n + 512] for n in range(0, len(buffer), 512)]
        for index, part in enumerate(parts[:-1]):
            if part.startswith(b"././@LongLink\0"):  # Python leaves out its mode and owner
                fields = {100: b"0000644\0", 265: b"root", 297: b"root"}
                parts[index] = _changed(part, fields)
        return b"".join(parts)


def _changed(header: bytes, fields: dict[int, bytes]) -> bytes:
    """Return a tar header with other bytes at some places, and the checksum that it then has."""
    data = bytearray(header)
    for place, value in fields.items():
        data[place : place + len(value)] = value
    data[148:156] = b" " * 8
    data[148:156] = f"{sum(data):06o}\0 ".encode()
    return bytes(data)


def _entry(name: str, kind: bytes, mode: int, mtime: int) -> tarfile.TarInfo:
    info = _Entry(name)
    info.type = kind
    info.mode = mode
    info.mtime = mtime
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    return info


def _add(tar: tarfile.TarFile, path: Path, name: str, mtime: int) -> None:
    """Add one file or link. It is looked at again here: the tree may have changed since."""
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        info = _entry(name, tarfile.SYMTYPE, 0o755, mtime)
        info.linkname = path.readlink().as_posix()
        tar.addfile(info)
        return
    if not stat.S_ISREG(mode):
        raise UsageError(f"{path} is neither a file nor a link")
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as content:
        status = os.fstat(content.fileno())
        info = _entry(name, tarfile.REGTYPE, 0o755 if status.st_mode & 0o100 else 0o644, mtime)
        info.size = status.st_size
        tar.addfile(info, content)
