"""Reading RPMs: packages made here byte by byte, so that odd ones can exist too."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wsgi_sepkg.errors import NotAnRpm
from wsgi_sepkg.package import inspect as room
from wsgi_sepkg.package.inspect import Dependency, inspect, pp_identity

INT16, INT32, INT64, STRING, STRINGS, I18N = 3, 4, 5, 6, 8, 9
MODULE = "/usr/share/selinux/packages/app.cil"
CIL = b"""(type app_t)
(typepermissive app_t)
(boolean app_net false)
(booleanif (app_net) (true (allow app_t self (tcp_socket (connect create)))))
(optional app_db (typeattributeset cil_gen_require db_t) (allow app_t db_t (sock_file (write))))
(filecon "/srv/app(/.*)?" any (system_u object_r app_t ((s0) (s0))))
(portcon tcp (8000 8010) (system_u object_r app_t ((s0) (s0))))
"""


def header(entries: list[tuple[int, int, object]]) -> bytes:
    """A header of rpm: the magic, the index and the store."""
    index, store = b"", b""
    for tag, kind, value in entries:
        if kind in {INT16, INT32, INT64}:
            numbers = value if isinstance(value, list) else [value]
            width = {INT16: 2, INT32: 4, INT64: 8}[kind]
            store += b"\0" * (-len(store) % width)
            data = b"".join(n.to_bytes(width, "big") for n in numbers)
            count = len(numbers)
        else:
            texts = value if isinstance(value, list) else [value]
            data = b"".join(str(t).encode() + b"\0" for t in texts)
            count = len(texts)
        index += struct.pack("!iiii", tag, kind, len(store), count)
        store += data
    return (
        b"\x8e\xad\xe8\x01"
        + b"\0" * 4
        + struct.pack("!ii", len(entries), len(store))
        + (index + store)
    )


def member(
    name: str, data: bytes, *, inode: int = 1, links: int = 1, magic: str = "070701"
) -> bytes:
    fields = [inode, 0o100644, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
    head = magic + "".join(f"{f:08x}" for f in fields)
    raw = head.encode() + name.encode() + b"\0"
    raw += b"\0" * (-len(raw) % 4) + data
    return raw + b"\0" * (-len(raw) % 4)


def cpio(*members: bytes) -> bytes:
    return b"".join(members) + member("TRAILER!!!", b"")


def rpm(
    entries: list[tuple[int, int, object]] | None = None,
    payload: bytes | None = None,
    files: tuple[str, ...] = (MODULE,),
) -> bytes:
    base: list[tuple[int, int, object]] = [
        (1000, STRING, "app"),
        (1001, STRING, "1.0"),
        (1002, STRING, "1"),
        (1004, I18N, "An application"),
        (1014, STRING, "MIT"),
        (1022, STRING, "noarch"),
        (1044, STRING, "app-1.0-1.src.rpm"),
    ]
    if files:
        base += [
            (1117, STRINGS, [f.rpartition("/")[2] for f in files]),
            (1118, STRINGS, [f.rpartition("/")[0] + "/" for f in files]),
            (1116, INT32, list(range(len(files)))),
            (1030, INT16, [0o100644] * len(files)),
        ]
    if payload is None:
        payload = gzip.compress(cpio(*(member("." + f, CIL) for f in files)), mtime=0)
    lead = struct.pack("!4sBBhh66shh16s", b"\xed\xab\xee\xdb", 3, 0, 0, 1, b"app", 1, 5, b"")
    signature = header([(1007, INT32, 100)])
    own = {tag for tag, _, _ in entries or []}
    main = header([e for e in base if e[0] not in own] + (entries or []))
    return lead + signature + b"\0" * (-len(signature) % 8) + main + payload


@pytest.fixture
def put(tmp_path: Path):
    def write(data: bytes) -> Path:
        path = tmp_path / "app.rpm"
        path.write_bytes(data)
        return path

    return write


def test_the_identity_of_a_package_is_read(put) -> None:
    found = inspect(put(rpm([(1003, INT32, 7)])))
    assert str(found.nevra) == "app-7:1.0-1.noarch"
    assert (found.summary, found.license, found.rpm_format) == ("An application", "MIT", 4)


def test_a_package_without_epoch_has_none(put) -> None:
    assert inspect(put(rpm())).nevra.epoch is None


def test_a_cil_module_is_listed_with_all_its_content(put) -> None:
    (module,) = inspect(put(rpm())).modules
    content = module.content
    assert content is not None
    assert (module.name, content.types, content.permissive) == ("app", ("app_t",), ("app_t",))
    assert content.booleans == (("app_net", False),)
    assert [(r.cls, r.permissions, bool(r.boolean), r.optional) for r in content.rules] == [
        ("sock_file", ("write",), False, "app_db"),
        ("tcp_socket", ("connect", "create"), True, ""),
    ]
    assert content.file_contexts[0].pattern == "/srv/app(/.*)?"
    assert (content.ports[0].low, content.ports[0].high) == (8000, 8010)


@pytest.mark.parametrize(
    ("pack", "name"),
    [
        (gzip.compress, "gzip"),
        (bz2.compress, "bzip2"),
        (lzma.compress, "xz"),
        (lambda d: lzma.compress(d, lzma.FORMAT_ALONE), "lzma"),
        (bytes, "none"),
    ],
)
def test_each_compression_of_the_standard_library_is_read(put, pack, name: str) -> None:
    found = inspect(put(rpm(payload=pack(cpio(member("." + MODULE, CIL))))))
    assert found.payload == name
    assert found.modules[0].content is not None


def test_zstd_is_read(put) -> None:
    zstandard = pytest.importorskip("zstandard")
    found = inspect(put(rpm(payload=zstandard.compress(cpio(member("." + MODULE, CIL))))))
    assert (found.payload, found.notes) == ("zstd", ())
    assert found.modules[0].content is not None


def test_every_name_of_a_hard_link_gets_the_content(put) -> None:
    names = ("/a/one.cil", "/a/two.cil")
    payload = cpio(
        member("./a/one.cil", b"", inode=5, links=2), member("./a/two.cil", CIL, inode=5, links=2)
    )
    found = inspect(put(rpm(payload=payload, files=names)))
    assert [m.content is not None for m in found.modules] == [True, True]
    assert found.modules[0].content.types == ("app_t",)


def test_a_compressed_module_is_unpacked(put) -> None:
    payload = cpio(member("./m/app.cil.bz2", bz2.compress(CIL)))
    (module,) = inspect(put(rpm(payload=payload, files=("/m/app.cil.bz2",)))).modules
    assert (module.name, module.content is not None) == ("app", True)


def test_a_bomb_in_a_compressed_module_is_not_swallowed(put, monkeypatch) -> None:
    monkeypatch.setattr(room, "LARGEST_MODULE", 1000)
    payload = cpio(member("./m/app.cil.bz2", bz2.compress(b";" * 5000)))
    (module,) = inspect(put(rpm(payload=payload, files=("/m/app.cil.bz2",)))).modules
    assert "larger than any policy module" in module.note


def test_stripped_cpio_without_tools_names_what_is_missing(put, monkeypatch) -> None:
    monkeypatch.setattr(
        room.process, "find", lambda tool, why="": (_ for _ in ()).throw(room.ToolMissing(tool))
    )
    found = inspect(put(rpm([(5114, INT32, 6)], payload=b"07070X" + b"0" * 200)))
    assert found.rpm_format == 6
    assert "rpm2archive is not installed and rpm2cpio is not installed" in found.notes[0]
    assert found.modules[0].content is None
    assert "could not be read" in found.modules[0].note


def test_a_missing_converter_is_told_with_its_package(put, monkeypatch) -> None:
    def missing(command, **_):
        raise room.ToolMissing(command[0], "policycoreutils", "policycoreutils")

    monkeypatch.setattr(room.process, "run", missing)
    payload = cpio(member("./m/x.pp", module_bytes("app")))
    (module,) = inspect(put(rpm(payload=payload, files=("/m/x.pp",)))).modules
    assert (module.name, module.format, module.content) == ("app", 21, None)
    assert "dnf install policycoreutils" in module.note


def module_bytes(name: str) -> bytes:
    text = b"SE Linux Module"
    inner = struct.pack("<II", 0xF97CFF8D, len(text)) + text + struct.pack("<5I", 2, 21, 1, 8, 0)
    inner += struct.pack("<I", len(name)) + name.encode()
    return struct.pack("<IIII", 0xF97CFF8F, 1, 1, 16) + inner


def test_the_name_inside_a_module_is_read() -> None:
    assert pp_identity(module_bytes("inner")) == ("inner", 21)


@given(st.binary(max_size=80))
def test_the_name_of_any_bytes_can_be_asked(data: bytes) -> None:
    pp_identity(data)
    pp_identity(module_bytes("x")[: len(data)])


def test_one_value_and_many_values_have_the_same_shape(put) -> None:
    one = [(1049, STRINGS, ["bash"]), (1050, STRINGS, [""]), (1048, INT32, [1 << 10])]
    found = inspect(put(rpm(one))).dependencies
    assert found.requires == (Dependency("bash", when=("post",)),)


def test_dependencies_are_merged_and_rpmlib_is_apart(put) -> None:
    entries = [
        (1049, STRINGS, ["policycoreutils", "policycoreutils", "rpmlib(X)", "b"]),
        (1050, STRINGS, ["3.0", "3.0", "4.0-1", ""]),
        (1048, INT32, [12 | 1 << 10, 12 | 1 << 12, 10 | 1 << 24, 0]),
    ]
    found = inspect(put(rpm(entries))).dependencies
    assert [str(d) for d in found.requires] == ["b", "policycoreutils >= 3.0"]
    assert found.requires[1].when == ("post", "postun")
    assert [str(d) for d in found.rpmlib] == ["rpmlib(X) <= 4.0-1"]


def test_setuid_bits_flags_and_unreadable_sizes_of_files(put) -> None:
    entries = [
        (1030, INT16, [0o104755, 0o100644]),
        (1037, INT32, [0, 17]),
        (1039, STRINGS, ["root", "root"]),
        (1040, STRINGS, ["root", "wheel"]),
        (5008, INT64, [1, 2]),
    ]
    found = inspect(put(rpm(entries, files=("/bin/su2", "/etc/x.conf"))))
    su, conf = found.files
    assert (su.permissions, su.special_bits, su.size) == ("4755", ("setuid",), None)
    assert (conf.flags, conf.group) == (("config", "noreplace"), "wheel")
    assert [f.code for f in found.findings] == ["setid-file"]


def test_an_empty_scriptlet_with_a_program_is_listed(put) -> None:
    found = inspect(put(rpm([(1088, STRING, "/sbin/ldconfig")])))
    (scriptlet,) = found.scriptlets
    assert (scriptlet.name, scriptlet.interpreter) == ("postun", "/sbin/ldconfig")
    assert scriptlet.effects[0].text == "runs /sbin/ldconfig"


def test_triggers_are_named_by_their_packages(put) -> None:
    entries = [
        (1065, STRINGS, ["setsebool -P a=1"]),
        (1092, STRINGS, ["/bin/sh"]),
        (1066, STRINGS, ["selinux-policy", "other"]),
        (1068, INT32, [1 << 16, 1 << 16]),
        (1069, INT32, [0, 0]),
    ]
    found = inspect(put(rpm(entries)))
    assert found.scriptlets[0].name == "triggerin -- selinux-policy, other"
    assert "trigger-on-policy" in {f.code for f in found.findings}


def test_a_package_without_files_is_read(put) -> None:
    found = inspect(put(rpm(files=(), payload=b"")))
    assert (found.files, found.modules, found.payload) == ((), (), "missing")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"#!/bin/sh\n", "is not an RPM"),
        (b"\xed\xab\xee\xdb", "headers cannot be read"),
        (rpm()[:200], "headers cannot be read"),
        (rpm()[:-30], "payload is cut off or damaged"),
        (rpm(files=("/a",))[:-30], "payload is cut off or damaged"),
        (rpm([(1116, INT32, [9])]), "headers make no sense"),
        (rpm([(1000, STRING, "")]), "no name"),
        (rpm([(5092, STRINGS, ["00"]), (5093, INT32, 8)]), "does not match its digest"),
    ],
)
def test_what_is_no_rpm_is_refused_with_the_reason(put, data: bytes, said: str) -> None:
    with pytest.raises(NotAnRpm, match=said):
        inspect(put(data))


def test_a_directory_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotAnRpm, match="is a directory"):
        inspect(tmp_path)
    with pytest.raises(NotAnRpm, match="does not exist"):
        inspect(tmp_path / "none.rpm")


WHOLE = rpm(
    [
        (1024, STRING, "semodule -i x.pp\nrestorecon -R /\n"),
        (1049, STRINGS, ["a", "b"]),
        (1050, STRINGS, ["1", ""]),
        (1048, INT32, [8, 0]),
    ],
    payload=cpio(member("." + MODULE, CIL), member("./z", b"z")),
)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    changes=st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=6),
    cut=st.one_of(st.none(), st.integers(0, len(WHOLE))),
)
def test_a_changed_rpm_is_read_or_refused(tmp_path_factory, changes, cut) -> None:
    data = bytearray(WHOLE)
    for place, value in changes:
        data[place] = value
    path = tmp_path_factory.getbasetemp() / "changed.rpm"
    path.write_bytes(bytes(data[:cut]))
    with contextlib.suppress(NotAnRpm):
        inspect(path)


@given(st.binary(max_size=400))
@settings(suppress_health_check=list(HealthCheck))
def test_any_archive_is_walked_or_refused(data: bytes) -> None:
    for start in (b"", cpio(member("./a", b"x"))[:110]):
        stream = io.BytesIO(start + data)
        with contextlib.suppress(EOFError, ValueError, room._UnwalkableError):
            list(room._members(stream, {"/a"}))


def test_a_negative_size_does_not_turn_the_archive_back() -> None:
    raw = member("./a", b"x").replace(b"00000001", b"-0000001")
    with pytest.raises(ValueError, match="not a number"):
        list(room._members(io.BytesIO(raw), {"/a"}))
