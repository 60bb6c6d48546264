"""The label plan of a virtual environment: made ELF files, and what is said of each."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest
from elf_files import elf
from hypothesis import given
from hypothesis import strategies as st

from wsgi_sepkg import targets
from wsgi_sepkg.discover import environment
from wsgi_sepkg.discover.environment import label_plan, read_environment
from wsgi_sepkg.errors import UsageError

AT = "/usr/share/notes/venv"
SITE = "lib/python3.11/site-packages"
TEXTREL, FLAGS = 22, 30


@pytest.fixture
def venv(tmp_path):
    """Return a function that makes an environment: file in site-packages -> (owner, content)."""

    def make(files: dict[str, tuple[str, bytes]]) -> Path:
        folder = tmp_path / "venv"
        site = folder / SITE
        site.mkdir(parents=True)
        (folder / "pyvenv.cfg").write_text("home = /usr/bin\n")
        owners: dict[str, list[str]] = {}
        for name, (owner, data) in files.items():
            (site / name).parent.mkdir(parents=True, exist_ok=True)
            (site / name).write_bytes(data)
            owners.setdefault(owner, []).append(name)
        for owner, names in owners.items():
            if owner:
                (site / f"{owner}-1.0.dist-info").mkdir()
                record = "".join(f"{n},sha256=x,1\n" for n in names)
                (site / f"{owner}-1.0.dist-info" / "RECORD").write_text(record)
        return folder

    return make


def plan_of(folder: Path, at: str = AT, ours: tuple[str, ...] = ("/usr/share/notes",)) -> list[str]:
    return label_plan(read_environment(folder, at), targets.load("debian-12"), ours)


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("tag", [(TEXTREL, 0), (FLAGS, 4)])
def test_text_relocations_are_a_hazard_with_its_cure(venv, wide, order, tag):
    folder = venv({"a/x.so": ("a", elf(((1, 5), tag), wide=wide, order=order))})
    (said,) = [line for line in plan_of(folder) if line.startswith("HAZARD")]
    assert f"{SITE}/a/x.so (a): text relocations" in said
    assert "-fPIC" in said


def test_a_tag_behind_the_end_of_the_list_counts_for_nothing(venv):
    folder = venv({"x.so": ("a", elf(((0, 0), (TEXTREL, 0))))})
    assert not read_environment(folder).libraries[0].textrel


def test_other_flags_of_the_loader_are_no_text_relocation(venv):
    folder = venv({"x.so": ("a", elf(((FLAGS, 8),)))})
    assert not read_environment(folder).libraries[0].textrel


@pytest.mark.parametrize(("flags", "hazard"), [(6, False), (7, True), (None, True)])
@pytest.mark.parametrize("wide", [True, False])
def test_a_stack_is_executable_when_asked_for_or_not_said(venv, flags, hazard, wide):
    said = plan_of(venv({"x.so": ("a", elf(stack=flags, wide=wide))}))
    assert any("executable stack" in line and "patchelf" in line for line in said) is hazard


def test_each_library_is_said_to_be_of_its_distribution(venv):
    folder = venv({"a/x.so": ("one", elf()), "b/y.so": ("two", elf()), "z.so": ("", elf())})
    found = read_environment(folder)
    assert [(lib.name.rpartition("/")[2], lib.distribution) for lib in found.libraries] == [
        ("x.so", "one"),
        ("y.so", "two"),
        ("z.so", ""),
    ]
    assert found.distributions == 2


def test_what_is_linked_or_only_started_is_no_library(venv):
    folder = venv({"x.o": ("a", elf(kind=1)), "tool": ("a", elf(interp=True))})
    assert [lib.program for lib in read_environment(folder).libraries] == [True]
    assert "0 libraries" in plan_of(folder)[0]


def test_callbacks_of_ctypes_and_cffi_propose_the_power_and_plain_use_needs_nothing(venv):
    folder = venv({
        "a.py": ("plain", b"import ctypes\nctypes.CDLL('libc.so.6')\n"),
        "b.py": ("calls", b"from ctypes import CFUNCTYPE\nF = CFUNCTYPE(None)\n"),
        "c.py": ("cffied", b"import cffi\n@ffi.callback('void()')\ndef f(): pass\n"),
        "d.py": ("none", b"x = 'ctypes is a word'\nCFUNCTYPE()\n"),
        "e_winconsole.py": ("windows", b"import ctypes\nctypes.WINFUNCTYPE()\n"),
    })  # fmt: skip
    found = read_environment(folder)
    assert set(found.callers) == {"plain", "calls", "cffied"}
    assert set(found.callbacks) == {"calls", "cffied"}
    assert 'name = "libffi"' in plan_of(folder)


def test_where_the_base_policy_labels_libraries_nothing_is_proposed(venv):
    said = plan_of(venv({"x.so": ("a", elf())}), "/usr/lib/notes/venv", ())
    assert any(line.startswith("labels: nothing to do") for line in said)
    assert "[[file-context]]" not in said


@pytest.mark.parametrize(
    ("at", "ours"), [(AT, ("/usr/share/notes",)), ("/srv/notes/ve+nv", ()), ("/var/lib/n", ())]
)
def test_elsewhere_the_proposal_fits_the_library_and_loads(venv, at, ours):
    import re
    import tomllib

    said = plan_of(venv({"a/x.so.1": ("a", elf())}), at, ours)
    table = tomllib.loads("\n".join(filter(environment.is_proposal, said)))
    (context,) = table["file-context"]
    assert context["type"] == "lib_t"
    assert re.fullmatch(context["pattern"], f"{at}/{SITE}/a/x.so.1")
    assert not re.fullmatch(context["pattern"], f"{at}/{SITE}/a/x.py")


def test_links_are_not_followed_and_pipes_not_opened(venv, tmp_path):
    folder = venv({"x.so": ("a", elf())})
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "y.so").write_bytes(elf())
    (folder / SITE / "outside").symlink_to(tmp_path / "outside")
    (folder / SITE / "z.so").symlink_to(tmp_path / "outside" / "y.so")
    (folder / "lib64").symlink_to("lib")
    os.mkfifo(folder / SITE / "pipe.so")
    assert [lib.name for lib in read_environment(folder).libraries] == [f"{SITE}/x.so"]


def test_more_files_than_are_read_are_told(venv, monkeypatch):
    monkeypatch.setattr(environment, "_MOST_FILES", 2)
    said = plan_of(venv({f"{n}.so": ("a", elf()) for n in range(5)}))
    assert any(line.startswith("not complete") for line in said)


@pytest.mark.parametrize(
    "data",
    [
        b"\x7fELF",
        b"\x7fELF" + bytes(60),
        elf()[:70],
        elf()[:56] + b"\xff\xff" + elf()[58:],
        elf()[:32] + b"\xff" * 8 + elf()[40:],
    ],
)
def test_a_broken_file_is_told_and_the_rest_is_read(venv, data):
    found = read_environment(venv({"a.so": ("a", data), "b.so": ("b", elf())}))
    assert [bool(lib.broken) for lib in found.libraries] == [True, False]


@given(st.binary(max_size=300), st.integers(0, 200), st.binary(max_size=20))
def test_no_bytes_raise_anything(data, place, patch):
    import io

    for content in (b"\x7fELF\x02\x01" + data, elf()[:place] + patch + elf()[place:]):
        found = environment._Found()
        environment._look(found, "x.so", io.BytesIO(content))


def test_wheels_are_read_in_place(tmp_path):
    with zipfile.ZipFile(tmp_path / "one-1.0-cp311-cp311-linux_x86_64.whl", "w") as wheel:
        wheel.writestr("one/x.so", elf(stack=7))
        wheel.writestr("one/a.py", "from ctypes import CFUNCTYPE\nCFUNCTYPE(None)\n")
    (tmp_path / "two-1.0-py3-none-any.whl").write_bytes(b"no zip")
    found = read_environment(tmp_path, AT)
    assert [(lib.name, lib.distribution, lib.stack) for lib in found.libraries if lib.stack] == [
        ("one/x.so", "one", True)
    ]
    assert found.callbacks == {"one": "one/a.py"}
    said = label_plan(found, targets.load("debian-12"), ())
    assert any("no wheel that can be read" in line for line in said)
    assert "[[file-context]]" not in said


def test_a_wheel_that_unpacks_to_too_much_is_told(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "one-1.0-py3-none-any.whl", "w") as wheel:
        for name in ("a.so", "b.so"):
            wheel.writestr(name, elf())
    monkeypatch.setattr(environment, "_LARGEST_WHEEL", len(elf()))
    found = read_environment(tmp_path)
    assert ([lib.name for lib in found.libraries], bool(found.cut)) == (["a.so"], True)


@pytest.mark.parametrize("make", [False, True])
def test_a_folder_that_is_no_environment_is_refused(tmp_path, make):
    folder = tmp_path / "x"
    if make:
        folder.mkdir()
    with pytest.raises(UsageError):
        read_environment(folder)


def test_nothing_in_a_name_ends_a_comment(venv):
    folder = venv({"a\n[project]\nname = 'x'\n.so": ("a", elf(stack=7))})
    assert all("\n" not in line for line in plan_of(folder))
