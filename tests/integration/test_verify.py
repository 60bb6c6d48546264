"""What ships with a build, and what ``verify`` finds when a build is made again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import package_tools as tools
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from wsgi_sepkg.package import compare, records, verify

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not all(map(shutil.which, ("rpmbuild", "checkmodule", "rpmkeys"))),
        reason="rpmbuild or checkpolicy is not installed",
    ),
]
NAME = "guestbook-1.4-1.deb12"


@pytest.fixture(scope="module")
def built() -> Path:
    """Return the output folder of a real build on this host."""
    return tools.guestbook() / "out"


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    shutil.copytree(built, tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def here(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the build that is made again be the first one: they are the same, as one test shows."""
    monkeypatch.setattr(verify, "_here", lambda *_: sorted(built.glob("*.rpm")))


def policy(folder: Path) -> Path:
    return folder / f"{NAME.replace('guestbook-', 'guestbook-selinux-')}.noarch.rpm"


def faults(folder: Path) -> str:
    (record,) = verify.records_of(folder)
    found = verify.verify(record)
    assert not found.ok
    return "\n".join([*found.faults, *(str(c.other) for c in found.comparisons)])


def test_the_sbom_keeps_the_schema_and_names_packages_sources_and_requirements(built: Path) -> None:
    text = (built / f"{NAME}.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    data = json.loads(text)
    components = {c["bom-ref"]: c for c in data["components"]}
    for package in built.glob("*.noarch.rpm"):
        assert components[package.name]["hashes"][0]["content"] == records.sha256(package)
    assert components[policy(built).name]["purl"].startswith("pkg:rpm/guestbook-selinux@1.4-1")
    assert components["source:guestbook.te"]["hashes"][0]["content"]
    assert components["source:guestbook-1.4.tar.gz"]["type"] == "file"
    needs = {d["ref"]: d.get("dependsOn", []) for d in data["dependencies"]}
    assert "requires:selinux-policy-targeted" in needs[policy(built).name]
    assert not [ref for ref in components if ref.startswith(("requires:/", "requires:rpmlib"))]


def test_the_provenance_names_inputs_target_and_tools(built: Path) -> None:
    data = json.loads((built / f"{NAME}.provenance.json").read_text())
    assert data["_type"] == "https://in-toto.io/Statement/v1"
    assert data["predicateType"] == "https://slsa.dev/provenance/v1"
    subjects = {s["name"]: s["digest"]["sha256"] for s in data["subject"]}
    assert subjects == {p.name: records.sha256(p) for p in built.glob("*.rpm")}
    definition = data["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["target"] == "debian-12"
    inputs = {d["name"]: d["digest"]["sha256"] for d in definition["resolvedDependencies"]}
    assert inputs["wsgi-sepkg.toml"] == records.sha256(tools.EXAMPLE / "wsgi-sepkg.toml")
    assert {"guestbook.te", "guestbook.spec", "guestbook-1.4.tar.gz"} <= set(inputs)
    versions = data["predicate"]["runDetails"]["builder"]["version"]
    assert versions["rpm"]
    assert "checkmodule" in versions
    assert str(built) not in json.dumps(data)


def test_a_build_is_the_same_when_it_is_made_again(built: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "wsgi_sepkg", "verify", str(built)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": every byte\n") == 3
    assert done.stdout.endswith("verified\n")


def test_a_package_of_other_content_with_a_record_that_fits_is_found(
    copy: Path, here: None
) -> None:
    """Someone who replaces a package can replace the record; the source package tells."""
    work = copy.parent / "forged"
    subprocess.run(
        ["rpm", "-i", "--define", f"_topdir {work}", copy / f"{NAME}.src.rpm"],
        check=True,
        capture_output=True,
    )
    manifest = work / "SOURCES" / "manifest"
    manifest.write_text(manifest.read_text() + "# one line more\n")
    forged = tools.rpmbuild_exactly(work / "SPECS" / "guestbook.spec", work, ".deb12")
    replaced = next(p for p in forged if p.name == policy(copy).name)
    shutil.copyfile(replaced, policy(copy))
    record = copy / f"{NAME}.provenance.json"
    data = json.loads(record.read_text())
    for subject in data["subject"]:
        subject["digest"]["sha256"] = records.sha256(copy / subject["name"])
    record.write_text(json.dumps(data))
    said = faults(copy)
    assert "'filemd5s'" in said


def test_a_damaged_package_is_found_before_anything_is_built(copy: Path, monkeypatch) -> None:
    data = bytearray(policy(copy).read_bytes())
    data[-50] ^= 0xFF
    policy(copy).write_bytes(bytes(data))
    monkeypatch.setattr(verify, "_here", None)
    assert "is damaged" in faults(copy)


def test_a_missing_package_and_a_strange_source_are_found(copy: Path, monkeypatch) -> None:
    monkeypatch.setattr(verify, "_here", lambda source, *_: [*source.parent.glob("*.rpm")])
    record = copy / f"{NAME}.provenance.json"
    data = json.loads(record.read_text())
    for entry in data["predicate"]["buildDefinition"]["resolvedDependencies"]:
        if entry["name"] == "guestbook.te":
            entry["digest"]["sha256"] = "0" * 64
    record.write_text(json.dumps(data))
    assert "guestbook.te, a source, is not the one of the record" in faults(copy)
    policy(copy).unlink()
    assert "is not there" in faults(copy)


def test_a_signature_is_no_difference(copy: Path, monkeypatch) -> None:
    """The signature header is all that signing changes; here it is another one of rpm's."""
    once = compare.unsigned(policy(copy))
    data = policy(copy).read_bytes()
    monkeypatch.setattr(verify, "_here", lambda source, *_: again)
    kept = copy.parent / "again"
    shutil.copytree(copy, kept)
    again = list(kept.glob("*.rpm"))
    if shutil.which("rpmsign"):
        subprocess.run(["rpmsign", "--delsign", policy(copy)], check=True, capture_output=True)
    if policy(copy).read_bytes() == data:  # nothing to delete: turn a reserved byte
        head = bytearray(data)
        head[95] ^= 1
        policy(copy).write_bytes(bytes(head))
    assert compare.unsigned(policy(copy)) == once
    (record,) = verify.records_of(copy)
    found = verify.verify(record)
    assert found.ok
    assert found.signed == (policy(copy).name,)


def service_build(folder: Path, work: Path, defines: dict[str, str]) -> None:
    """Turn a build into one of a service: made there anew, with words of its own."""
    top = work / "service"
    flags = ["--define", f"_topdir {top}", "--define", "dist .deb12"]
    for name, value in defines.items():
        flags += ["--define", f"{name} {value}"]
    source = folder / f"{NAME}.src.rpm"
    subprocess.run(
        ["rpmbuild", "-ra", "--nodeps", "--nocheck", *flags, source],
        check=True,
        capture_output=True,
    )
    for path in folder.iterdir():
        path.unlink()
    packages = [Path(shutil.copy(p, folder)) for p in sorted(top.glob("*RPMS/**/*.rpm"))]
    how = records.How("koji", "debian-12", "el9", "17")
    records.write(folder, packages, how, tools.EXAMPLE / "wsgi-sepkg.toml")


def test_what_a_service_adds_is_expected_and_listed(copy: Path, tmp_path: Path, here: None) -> None:
    service_build(copy, tmp_path, {"vendor": "Example Service", "packager": "builder"})
    (record,) = verify.records_of(copy)
    found = verify.verify(record, "rpmbuild")
    assert found.ok, (found.faults, [c.other for c in found.comparisons])
    for one in found.comparisons:
        tags = {tag for tag, _ in one.expected}
        assert {"vendor", "packager", "buildhost", "buildtime"} <= tags
        assert tags <= set(compare.EXPECTED)
    assert len(found.comparisons) == 2


def test_a_service_may_change_no_dependency_and_no_scriptlet(
    copy: Path, tmp_path: Path, here: None
) -> None:
    # What selinux-policy brings into the build root of another release.
    service_build(copy, tmp_path, {"selinux_requires_min": "Requires: selinux-policy >= 99"})
    (record,) = verify.records_of(copy)
    found = verify.verify(record, "rpmbuild")
    assert not found.ok
    said = [tag for c in found.comparisons for tag, _, _ in c.other]
    assert said == ["require"]
