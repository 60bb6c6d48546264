"""Dependencies that travel along: real wheels, built by rpmbuild without a network."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from package_tools import application_package, query, rpmbuild_exactly, selinux_package

from wsgi_sepkg.package.compare import compare

pytestmark = [
    pytest.mark.integration,
    # Twice the build of 22 packages: minutes that a run of everything has not.
    pytest.mark.skipif(not os.environ.get("WSGI_SEPKG_VM_FULL"), reason="make vm-full runs it"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a network namespace"),
]

EXAMPLE = Path(__file__).parents[2] / "examples" / "guestbook"
PLACE = "/usr/lib/guestbook/venv"
OFFLINE = ("unshare", "--net")
WANTED = ("celery", "django", "gunicorn", "pillow", "psycopg", "psycopg-binary")


def run(*arguments: str | Path, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*before, sys.executable, "-m", "wsgi_sepkg", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of the example: pip fetches, then nothing can be reached."""
    folder = tmp_path_factory.mktemp("bundled")
    shutil.copytree(EXAMPLE, folder / "guestbook")
    description = folder / "guestbook" / "bundled.toml"
    run("srpm", description, "--target", "debian-12", "--outdir", folder / "source")
    run("build", description, "--target", "debian-12", "--outdir", folder / "out", before=OFFLINE)
    return folder / "out"


@pytest.fixture(scope="module")
def packages(out: Path) -> tuple[Path, ...]:
    return tuple(sorted(p for p in out.glob("*.rpm") if not p.name.endswith(".src.rpm")))


@pytest.fixture(scope="module")
def root(packages: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which rpm has unpacked the application."""
    folder = tmp_path_factory.mktemp("root")
    command = ["rpm", "--root", folder, "--nodeps", "--noscripts", "-i"]
    subprocess.run([*command, application_package(packages)], check=True, capture_output=True)
    return folder


def names(package: Path, tag: str) -> list[str]:
    return query(package, f"[%{{{tag}}}\\n]").splitlines()


def test_the_application_is_of_its_machine_and_the_policy_of_none(packages) -> None:
    assert len(packages) == 2  # no package of debug information
    assert query(application_package(packages), "%{ARCH}") == os.uname().machine
    assert query(selinux_package(packages), "%{ARCH}") == "noarch"


def test_two_builds_are_the_same_bytes_wherever_they_are_made(out, packages, tmp_path) -> None:
    (source,) = out.glob("*.src.rpm")
    # Longer than what the kernel takes for the path of an interpreter.
    work = tmp_path / ("a-folder-with-a-long-name-" * 8)
    command = ["rpm", "--define", f"_topdir {work}", "-i", str(source)]
    subprocess.run(command, check=True, capture_output=True)
    spec = work / "SPECS" / "guestbook.spec"
    again = rpmbuild_exactly(spec, work, ".deb12", before=OFFLINE)
    for one in packages:
        other = next(p for p in again if p.name == one.name)
        assert compare(one, other, exact=True).other == ()
        assert one.read_bytes() == other.read_bytes()


def test_what_travels_along_is_told_and_nothing_else_is_provided(packages) -> None:
    application = application_package(packages)
    provided = names(application, "PROVIDENAME")
    bundled = [p for p in provided if p.startswith("bundled(")]
    assert {f"bundled(python3dist({name}))" for name in WANTED} <= set(bundled)
    rest = {p.partition("(")[0] for p in provided if p not in bundled}
    assert rest == {"guestbook", "config"}


def test_libraries_of_the_system_are_required_and_those_of_wheels_are_not(packages, root) -> None:
    required = names(application_package(packages), "REQUIRENAME")
    assert "libc.so.6()(64bit)" in required
    assert "libstdc++.so.6()(64bit)" in required
    here = {p.name for p in (root / PLACE[1:]).rglob("*") if ".so" in p.name}
    assert len(here) > 20
    assert {r for r in required if r.partition("(")[0] in here} == set()
    assert [r for r in required if "dist(" in r or r == "/usr/bin/env"] == []
    assert "python3" in required


def test_no_file_tells_where_it_was_built(root, out) -> None:
    place = root / PLACE[1:]
    words = [b"/rpm/BUILD", b"BUILDROOT", os.fsencode(out.parent), b"/tmp/wsgi-sepkg-"]
    found = [
        path
        for path in place.rglob("*")
        if path.is_file() and not path.is_symlink() and any(w in path.read_bytes() for w in words)
    ]
    assert found == []
    compiled = next(place.glob("lib/python3.11/site-packages/gunicorn/__pycache__/config.*.pyc"))
    assert f"{PLACE}/lib/python3.11/site-packages/gunicorn/config.py".encode() in (
        compiled.read_bytes()
    )
    assert compiled.read_bytes()[4:8] == b"\x03\0\0\0"  # checked by the hash of the source, PEP 552


def test_programs_begin_with_the_interpreter_of_the_environment(root) -> None:
    begin = f"#!{PLACE}/bin/python3"
    programs = {p.name: p for p in (root / PLACE[1:] / "bin").iterdir() if not p.is_symlink()}
    assert {"gunicorn", "celery", "django-admin"} <= set(programs)
    assert {p.read_text().split("\n")[0] for p in programs.values()} == {begin}
    entries = list((root / "usr/libexec/guestbook").iterdir())
    assert {p.read_text().split("\n")[0] for p in entries} == {f"{begin} -I"}
    assert (root / "usr/share/guestbook/manage.py").read_text().startswith(f"{begin}\n")
    assert str((root / PLACE[1:] / "bin" / "python3").readlink()) == "/usr/bin/python3"


def test_every_record_is_true(root) -> None:
    wrong = []
    for record in (root / PLACE[1:]).rglob("*.dist-info/RECORD"):
        for name, said, _ in csv.reader(record.read_text(encoding="utf-8").splitlines()):
            content = (record.parent.parent / name).read_bytes() if said else b""
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
            if said and said != f"sha256={digest.decode()}":
                wrong.append(name)
    assert wrong == []


def test_the_environment_works_and_sees_nothing_of_the_host(root) -> None:
    code = (
        "import celery, django, gunicorn, json, psycopg, sys, PIL.features\n"
        "print(json.dumps([django.__file__, psycopg.pq.__impl__, PIL.features.check('jpg'), "
        "sys.path]))"
    )
    python = root / PLACE[1:] / "bin" / "python3"
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True)
    django, driver, jpeg, path = json.loads(done.stdout)
    assert django.startswith(str(root))
    assert (driver, jpeg) == ("binary", True)
    assert not [place for place in path if "dist-packages" in place]


def test_every_package_brings_the_text_of_its_licence(packages, root) -> None:
    folder = root / "usr/share/licenses/guestbook/bundled"
    without = [
        p.name
        for p in folder.iterdir()
        if not [f for f in p.rglob("*") if f.is_file() and f.name != "METADATA.license"]
    ]
    assert len(list(folder.iterdir())) > 20
    assert without == []
    form = "[%{FILEFLAGS:fflags} %{FILENAMES}\\n]"
    flags = query(application_package(packages), form).splitlines()
    marked = [line for line in flags if "/licenses/" in line and re.match(r"\S*l", line)]
    assert len(marked) > 40


def test_nothing_was_stripped_and_no_build_id_is_linked(packages, root) -> None:
    assert not [n for n in names(application_package(packages), "FILENAMES") if "build-id" in n]
    record = next((root / PLACE[1:]).rglob("psycopg_binary-*.dist-info/RECORD")).read_text()
    assert ".so" in record  # test_every_record_is_true has compared their bytes with the wheel's


def test_the_sbom_names_each_package_with_its_hash(out) -> None:
    sbom = json.loads(next(out.glob("*.cdx.json")).read_text(encoding="utf-8"))
    found = {c["name"]: c for c in sbom["components"] if c.get("purl", "").startswith("pkg:pypi/")}
    assert set(WANTED) <= set(found)
    assert all(c["hashes"][0]["alg"] == "SHA-256" for c in found.values())


def test_another_target_gets_its_own_wheels(tmp_path) -> None:
    run("srpm", EXAMPLE / "bundled.toml", "--target", "el9", "--outdir", tmp_path)
    (source,) = tmp_path.glob("*.src.rpm")
    wheels = [n for n in names(source, "BASENAMES") if n.endswith(".whl")]
    native = [n for n in wheels if "manylinux" in n]
    assert len(native) >= 2
    assert all("-cp39-" in n and "x86_64" in n for n in native)
    assert not [n for n in wheels if "cp311" in n]
