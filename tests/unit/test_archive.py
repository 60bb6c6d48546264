"""The source archive: what goes in, what is refused, and the same bytes every time."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import socket
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgi_sepkg.errors import UsageError
from wsgi_sepkg.package.archive import DEFAULT_EXCLUDES, newest_time, source_files, write_tarball

EPOCH = 1_767_225_600


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small application with a script, a folder and two links."""
    root = tmp_path / "site"
    write(root / "manage.py", "#!/usr/bin/python3\n").chmod(0o755)
    write(root / "guestbook" / "settings.py", "DEBUG = False\n")
    write(root / "guestbook" / "static" / "größe.css", "body {}\n")
    (root / "static").symlink_to("guestbook/static")
    (root / "guestbook" / "run.py").symlink_to("../manage.py")
    return root


def write(path: Path, text: str = "x\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def names(root: Path, exclude: tuple[str, ...] = ()) -> list[str]:
    return [path.as_posix() for path in source_files(root, exclude)]


def digest(root: Path, out: Path) -> str:
    write_tarball(root, source_files(root), "site-1.0", EPOCH, out)
    return hashlib.sha256(out.read_bytes()).hexdigest()


def test_files_and_links_come_relative_and_sorted(tree: Path) -> None:
    assert names(tree) == [
        "guestbook/run.py",
        "guestbook/settings.py",
        "guestbook/static/größe.css",
        "manage.py",
        "static",
    ]


@pytest.mark.parametrize(
    "path",
    [
        ".git/HEAD",
        ".hg/store",
        "guestbook/__pycache__/settings.cpython-311.pyc",
        "old.pyc",
        ".venv/bin/python",
        "venv/bin/python",
        "assets/node_modules/left/index.js",
        ".tox/log",
        ".mypy_cache/a",
        ".ruff_cache/a",
        ".pytest_cache/a",
        "site.egg-info/PKG-INFO",
        "db.sqlite3",
        "wsgi-sepkg.toml",
    ],
)
def test_what_is_never_shipped_stays_out(tree: Path, path: str) -> None:
    before = names(tree)
    write(tree / path)
    assert names(tree) == before


def test_only_the_description_at_the_top_is_ours(tree: Path) -> None:
    write(tree / "fixtures" / "wsgi-sepkg.toml")
    assert "fixtures/wsgi-sepkg.toml" in names(tree)


def test_the_default_excludes_can_be_replaced(tree: Path) -> None:
    write(tree / "db.sqlite3")
    write(tree / "old.pyc")
    kept = [path.as_posix() for path in source_files(tree, defaults=["*.pyc"])]
    assert "db.sqlite3" in kept
    assert "old.pyc" not in kept
    assert "*.sqlite3" in DEFAULT_EXCLUDES


@pytest.mark.parametrize(
    ("pattern", "gone"),
    [
        ("*.log", {"a.log", "docs/b.log", "docs/deep/c.log"}),
        ("/*.log", {"a.log"}),
        ("docs/*.log", {"docs/b.log"}),
        ("docs/**/*.log", {"docs/b.log", "docs/deep/c.log"}),
        ("docs", {"docs/b.log", "docs/deep/c.log"}),
        ("deep/", {"docs/deep/c.log"}),
        ("a.log/", set()),
        ("**/deep", {"docs/deep/c.log"}),
        ("[ab].log", {"a.log", "docs/b.log"}),
        ("*.LOG", set()),
    ],
)
def test_patterns_are_relative_to_the_root(tmp_path: Path, pattern: str, gone: set[str]) -> None:
    for name in ("a.log", "docs/b.log", "docs/deep/c.log", "keep"):
        write(tmp_path / name)
    everything = set(names(tmp_path))
    assert everything - set(names(tmp_path, (pattern,))) == gone


@pytest.mark.parametrize("pattern", ["", "/", "../x", "a//b", "a/../b", "./a"])
def test_a_pattern_that_cannot_match_is_refused(tree: Path, pattern: str) -> None:
    with pytest.raises(UsageError, match="exclude"):
        source_files(tree, [pattern])


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("/etc/passwd", "absolute"),
        ("//etc/passwd", "absolute"),
        ("../outside", "leaves the tree"),
        ("guestbook/../../outside", "leaves the tree"),
        ("../site/manage.py", "leaves the tree"),
        ("up/up.txt", "leaves the tree"),
        ("bad", "circle"),
        ("two\nlines", "control character"),
    ],
)
def test_a_link_that_leads_nowhere_good_is_named(tree: Path, target: str, reason: str) -> None:
    (tree / "bad").symlink_to(target)
    if target.startswith("up/"):
        # A link through a link: the second step leaves the tree.
        (tree / "up").symlink_to("guestbook")
        (tree / "guestbook" / "up.txt").symlink_to("../../outside")
    with pytest.raises(UsageError, match=rf"bad: .*{reason}"):
        source_files(tree)


@pytest.mark.parametrize("target", ["guestbook/./settings.py", "static/../settings.py", "later"])
def test_a_link_that_stays_inside_is_kept_even_dangling(tree: Path, target: str) -> None:
    (tree / "good").symlink_to(target)
    assert "good" in names(tree)


def test_every_refused_file_is_named_at_once(tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    (tree / "bad").symlink_to("/etc")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(tree)  # the path of a socket is short: sun_path holds 108 bytes
        try:
            server.bind("sock")
        finally:
            os.chdir(here)
        with pytest.raises(UsageError) as caught:
            source_files(tree)
    text = str(caught.value)
    assert "pipe: a named pipe" in text
    assert "sock: a socket" in text
    assert "bad: a link to the absolute path /etc" in text
    assert "exclude" in text


def test_a_long_list_of_refused_files_is_cut(tree: Path) -> None:
    for number in range(30):
        os.mkfifo(tree / f"pipe{number:02}")
    with pytest.raises(UsageError, match="and 10 more"):
        source_files(tree)


def test_devices_are_refused(tree: Path) -> None:
    try:
        os.mknod(tree / "null", 0o020644, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes device nodes")
    with pytest.raises(UsageError, match="null: a character device"):
        source_files(tree)


@pytest.mark.parametrize(
    "name", [b"two\nlines", b"bell\a", b"del\x7f", b"latin\xe9", b"ls\xe2\x80\xa8"]
)
def test_names_that_break_a_listing_are_refused_on_one_line(tree: Path, name: bytes) -> None:
    (tree / os.fsdecode(name)).write_text("x")
    with pytest.raises(UsageError, match="control character, or not in UTF-8") as caught:
        source_files(tree)
    assert len(str(caught.value).splitlines()) == 3
    str(caught.value).encode("utf-8")


def test_what_is_excluded_is_not_refused(tree: Path) -> None:
    (tree / ".venv").mkdir()
    (tree / ".venv" / "python").symlink_to("/usr/bin/python3")
    os.mkfifo(tree / "debug.pipe")
    assert names(tree, ("*.pipe",)) == names(tree, ("debug.pipe",))


def test_a_root_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a folder"):
        source_files(tmp_path / "missing")


def test_same_bytes_from_another_folder_day_umask_and_mode(tree: Path, tmp_path: Path) -> None:
    first = digest(tree, tmp_path / "out" / "site-1.0.tar.gz")
    copy = tmp_path / "elsewhere" / "copy"
    old = os.umask(0o077)
    try:
        shutil.copytree(tree, copy, symlinks=True, copy_function=shutil.copyfile)
        (copy / "manage.py").chmod(0o700)
        (copy / "guestbook").chmod(0o2775)
        for path in copy.rglob("*"):
            os.utime(path, (86_400, 86_400), follow_symlinks=False)
        second = digest(copy, tmp_path / "other name.tgz")
    finally:
        os.umask(old)
    assert first == second


def test_same_bytes_for_another_owner(tree: Path, tmp_path: Path) -> None:
    first = digest(tree, tmp_path / "a.tar.gz")
    try:
        os.chown(tree / "manage.py", 12345, 12345)
    except PermissionError:
        pytest.skip("only root gives files away")
    assert digest(tree, tmp_path / "b.tar.gz") == first


def test_the_order_of_the_list_does_not_matter(tree: Path, tmp_path: Path) -> None:
    files = source_files(tree)
    write_tarball(tree, files, "p", EPOCH, tmp_path / "a")
    write_tarball(tree, [*reversed(files), files[0]], "p", EPOCH, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_hard_links_are_two_files(tree: Path, tmp_path: Path) -> None:
    first = digest(tree, tmp_path / "a")
    (tree / "guestbook" / "settings.py").unlink()
    write(tmp_path / "aside", "DEBUG = False\n")
    os.link(tmp_path / "aside", tree / "guestbook" / "settings.py")
    assert digest(tree, tmp_path / "b") == first


def test_entries_are_owned_by_root_with_plain_modes_and_one_time(
    tree: Path, tmp_path: Path
) -> None:
    (tree / "guestbook" / "settings.py").chmod(0o4666)
    digest(tree, tmp_path / "a.tar.gz")
    with tarfile.open(tmp_path / "a.tar.gz") as tar:
        members = tar.getmembers()
    assert [(m.name, oct(m.mode), m.type) for m in members] == [
        ("site-1.0", "0o755", tarfile.DIRTYPE),
        ("site-1.0/guestbook", "0o755", tarfile.DIRTYPE),
        ("site-1.0/guestbook/static", "0o755", tarfile.DIRTYPE),
        ("site-1.0/guestbook/run.py", "0o755", tarfile.SYMTYPE),
        ("site-1.0/guestbook/settings.py", "0o644", tarfile.REGTYPE),
        ("site-1.0/guestbook/static/größe.css", "0o644", tarfile.REGTYPE),
        ("site-1.0/manage.py", "0o755", tarfile.REGTYPE),
        ("site-1.0/static", "0o755", tarfile.SYMTYPE),
    ]
    assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members} == {
        (0, 0, "root", "root", EPOCH)
    }
    assert {m.linkname for m in members if m.issym()} == {"../manage.py", "guestbook/static"}


def test_the_gzip_header_holds_no_time_and_no_name(tree: Path, tmp_path: Path) -> None:
    digest(tree, tmp_path / "site.tar.gz")
    header = (tmp_path / "site.tar.gz").read_bytes()[:10]
    assert header[:2] == b"\x1f\x8b"
    assert header[3] == 0  # FLG: no FNAME, no FEXTRA, no FCOMMENT
    assert header[4:8] == b"\0\0\0\0"  # MTIME


@pytest.mark.parametrize(("epoch", "mtime"), [(-5, 0), (8**12, 8**11 - 1)])
def test_the_time_is_brought_into_the_range_of_a_header(
    tree: Path, tmp_path: Path, epoch: int, mtime: int
) -> None:
    write_tarball(tree, source_files(tree), "p", epoch, tmp_path / "a")
    with tarfile.open(tmp_path / "a") as tar:
        assert {member.mtime for member in tar} == {mtime}


def test_an_archive_without_files_is_its_folder(tmp_path: Path) -> None:
    write_tarball(tmp_path, [], "a/b", 0, tmp_path / "a.tgz")
    with tarfile.open(tmp_path / "a.tgz") as tar:
        assert tar.getnames() == ["a", "a/b"]


@pytest.mark.parametrize("prefix", ["", "/abs", "..", "a/../b", "a/", "two\nlines"])
def test_a_prefix_that_leaves_the_archive_is_refused(tmp_path: Path, prefix: str) -> None:
    with pytest.raises(UsageError, match="top folder"):
        write_tarball(tmp_path, [], prefix, 0, tmp_path / "a.tgz")


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "."])
def test_a_file_outside_the_root_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(UsageError, match="does not name a file below"):
        write_tarball(tmp_path, [Path(path)], "p", 0, tmp_path / "a.tgz")


def test_an_archive_never_contains_itself(tree: Path) -> None:
    out = tree / "dist" / "site.tar.gz"
    digest(tree, out)
    with pytest.raises(UsageError, match="contain itself"):
        digest(tree, out)


def test_a_failure_leaves_the_old_archive_and_no_temporary_file(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "site.tar.gz"
    before = digest(tree, out)
    with pytest.raises(UsageError, match=r"gone\.py"):
        write_tarball(tree, [Path("manage.py"), Path("gone.py")], "p", 0, out)
    assert hashlib.sha256(out.read_bytes()).hexdigest() == before
    assert [path.name for path in out.parent.iterdir()] == ["site.tar.gz"]


def test_a_file_that_became_something_else_is_refused(tree: Path, tmp_path: Path) -> None:
    files = source_files(tree)
    (tree / "manage.py").unlink()
    (tree / "manage.py").mkdir()
    with pytest.raises(UsageError, match="neither a file nor a link"):
        write_tarball(tree, files, "p", 0, tmp_path / "a.tgz")


def test_a_finished_archive_can_be_read_by_all(tree: Path, tmp_path: Path) -> None:
    digest(tree, tmp_path / "a.tgz")
    assert (tmp_path / "a.tgz").stat().st_mode & 0o777 == 0o644


def test_the_newest_time_counts_links_by_themselves(tree: Path) -> None:
    for path in tree.rglob("*"):
        os.utime(path, (100, 100), follow_symlinks=False)
    os.utime(tree / "static", (700, 700), follow_symlinks=False)
    assert newest_time(tree, [Path("manage.py")]) == 100
    assert newest_time(tree, source_files(tree)) == 700
    assert newest_time(tree, []) == 0


def test_the_newest_time_of_a_missing_file_is_an_error_for_people(tree: Path) -> None:
    with pytest.raises(UsageError, match=r"gone: No such file"):
        newest_time(tree, [Path("gone")])


@given(st.binary(max_size=4096))
def test_any_content_comes_back(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    root = tmp_path_factory.mktemp("tree")
    (root / "data").write_bytes(content)
    write_tarball(root, [Path("data")], "p", 0, root / "out.tgz")
    with gzip.open(root / "out.tgz") as raw, tarfile.open(fileobj=raw) as tar:
        member = tar.extractfile("p/data")
        assert member is not None
        assert member.read() == content
