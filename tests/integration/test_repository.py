"""``wsgi-sepkg repo``: what dnf takes from a signed repository, and what it refuses."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
from pathlib import Path

import package_tools as tools
import pytest
from package_tools import Root
from shop import description

from wsgi_sepkg.errors import BuildFailed, ForeignFile, UsageError
from wsgi_sepkg.package import repository

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not all(map(shutil.which, ("rpmbuild", "dnf", "createrepo_c", "gpg", "rpmsign"))),
        reason="dnf, createrepo_c, gpg or rpmsign is not installed",
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="rpm needs root for a scratch root"),
]

PLAIN = description()
NEXT = description(version="1.1")
SYSTEM = (
    "config(shop) selinux-policy selinux-policy-base selinux-policy-targeted policycoreutils "
    "policycoreutils-python-utils libselinux-utils coreutils grep sed gawk bzip2 diffutils httpd "
    "python3 python3-mod_wsgi shadow-utils /bin/sh /usr/bin/python3 systemd"
)


@pytest.fixture(scope="module", autouse=True)
def keys():
    """Give gpg two keys that only these tests know, and take them away."""
    home = tools.work() / "gnupg"
    home.mkdir(mode=0o700)
    before = os.environ.get("GNUPGHOME")
    os.environ["GNUPGHOME"] = str(home)
    for name in ("packages", "other"):
        made = ["gpg", "--batch", "--passphrase", "", "--quick-generate-key"]
        subprocess.run(
            [*made, f"{name}@example.org", "rsa2048", "sign"], check=True, capture_output=True
        )
    yield
    subprocess.run(["gpgconf", "--kill", "gpg-agent"], check=False)
    del os.environ["GNUPGHOME"]
    if before is not None:
        os.environ["GNUPGHOME"] = before


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """Return the output folder of a build."""
    folder = tmp_path_factory.mktemp("built")
    for package in tools.package(PLAIN):
        shutil.copy2(package, folder)
    return folder


@pytest.fixture(scope="module")
def served(built, tmp_path_factory) -> Path:
    """Return a signed repository."""
    folder = tmp_path_factory.mktemp("web") / "repo"
    repository.make(built, folder, "example", key="packages@example.org")
    return folder


@pytest.fixture
def root() -> Root:
    """Return a root in which rpm knows the packages of the system, with SELinux as stand-ins."""
    root = Root("bash")
    spec = tools.work() / "system" / "system.spec"
    if not spec.exists():
        spec.parent.mkdir()
        lines = "\n".join(f"Provides: {word} = 99" for word in SYSTEM.split() if word[0] != "/")
        lines += "\n" + "\n".join(f"Provides: {w}" for w in SYSTEM.split() if w[0] == "/")
        spec.write_text(
            "Name: system\nVersion: 1\nRelease: 1\nSummary: A stub\nLicense: MIT\n"
            f"BuildArch: noarch\n{lines}\n%description\nA stub.\n%files\n"
        )
        tools.rpmbuild(spec, spec.parent)
    (package,) = spec.parent.glob("top/RPMS/*/*.rpm")
    subprocess.run(
        ["rpm", "--root", root.path, "-i", "--nodeps", "--nosignature", package],
        check=True,
        capture_output=True,
    )
    return root


def dnf(root: Root, repo_file: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run dnf with the .repo file as it is, and nothing else."""
    repos = root.path / "repos"
    repos.mkdir(exist_ok=True)
    shutil.copy(repo_file, repos)
    command = ["dnf", "-y", f"--installroot={root.path}", "--releasever=9"]
    command += ["--setopt=install_weak_deps=0", f"--setopt=cachedir={root.path}/var/cache/dnf"]
    command += [f"--setopt=reposdir={repos}", "--setopt=pluginpath=/nonexistent"]
    return subprocess.run(
        [*command, *words],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"LC_ALL": "C"},
        check=False,
    )


def copied(served: Path, folder: Path) -> Path:
    """Return a copy of the repository whose .repo file leads to the copy."""
    copy = folder / "copy"
    shutil.copytree(served, copy)
    file = copy / "example.repo"
    file.write_text(file.read_text().replace(served.as_uri(), copy.as_uri()))
    return copy


def installed(root: Root) -> set[str]:
    command = ["rpm", "--root", root.path, "-qa", "--qf", "%{NAME}-%{VERSION}\n"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {line for line in done.stdout.split() if line.startswith("shop")}


def test_the_repo_file_asks_for_both_signatures(served: Path) -> None:
    parser = configparser.ConfigParser()
    parser.read(served / "example.repo")
    assert dict(parser["example"]) == {
        "name": "example",
        "baseurl": served.as_uri(),
        "enabled": "1",
        "gpgcheck": "1",
        "repo_gpgcheck": "1",
        "gpgkey": f"{served.as_uri()}/RPM-GPG-KEY-example",
    }


def test_dnf_installs_the_policy_from_the_signed_repository(served: Path, root: Root) -> None:
    done = dnf(root, served / "example.repo", "install", "shop-selinux")
    assert done.returncode == 0, done.stdout + done.stderr
    assert installed(root) == {"shop-selinux-1.0"}
    assert root.modules() == {"200/shop"}


def test_a_tampered_package_is_refused(served: Path, root: Root, tmp_path: Path) -> None:
    """The metadata is made anew and signed, so that nothing but the package's signature is bad."""
    copy = copied(served, tmp_path)
    package = tools.selinux_package(sorted(copy.glob("*.rpm")))
    data = bytearray(package.read_bytes())
    data[-100] ^= 0xFF
    package.write_bytes(bytes(data))
    subprocess.run(["createrepo_c", "-q", copy], check=True, capture_output=True)
    sign(copy, "packages@example.org")
    done = dnf(root, copy / "example.repo", "install", "shop-selinux")
    assert done.returncode != 0
    assert "GPG" in done.stdout + done.stderr or "signature" in done.stdout + done.stderr
    assert installed(root) == set()


def test_a_package_of_another_key_is_refused(served: Path, root: Root, tmp_path: Path) -> None:
    copy = copied(served, tmp_path)
    package = tools.selinux_package(sorted(copy.glob("*.rpm")))
    other = ["--define", "_gpg_name other@example.org", "--define", f"__gpg {shutil.which('gpg')}"]
    subprocess.run(["rpmsign", *other, "--addsign", package], check=True, capture_output=True)
    subprocess.run(["createrepo_c", "-q", copy], check=True, capture_output=True)
    sign(copy, "packages@example.org")
    done = dnf(root, copy / "example.repo", "install", "shop-selinux")
    assert done.returncode != 0
    assert installed(root) == set()


def sign(folder: Path, key: str) -> None:
    metadata = folder / "repodata" / "repomd.xml"
    command = ["gpg", "--batch", "--yes", "--armor", "--local-user", key, "--detach-sign", metadata]
    subprocess.run(command, check=True, capture_output=True)


@pytest.mark.parametrize("how", ["changed", "unsigned", "other key"])
def test_tampered_metadata_is_refused(served: Path, root: Root, tmp_path: Path, how: str) -> None:
    copy = copied(served, tmp_path)
    metadata = copy / "repodata" / "repomd.xml"
    if how == "changed":
        metadata.write_text(metadata.read_text().replace("<revision>", "<revision>1"))
    elif how == "unsigned":
        metadata.with_name("repomd.xml.asc").unlink()
    else:
        sign(copy, "other@example.org")
    done = dnf(root, copy / "example.repo", "install", "shop-selinux")
    assert done.returncode != 0
    assert installed(root) == set()


def test_without_a_key_the_repo_file_says_so(built: Path, root: Root, tmp_path: Path) -> None:
    repository.make(built, tmp_path / "repo", "example")
    text = (tmp_path / "repo" / "example.repo").read_text()
    assert "\ngpgcheck=0\nrepo_gpgcheck=0\n" in text
    assert "gpgkey" not in text
    done = dnf(root, tmp_path / "repo" / "example.repo", "install", "shop-selinux")
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_target_of_a_build_has_a_repository_of_its_own(built: Path, tmp_path: Path) -> None:
    for target in ("el9", "fedora-43"):
        shutil.copytree(built, tmp_path / "out" / target)
    made = repository.make(tmp_path / "out", tmp_path / "repo", "shop", "https://example.org/r/")
    assert [p.place for p in made.parts] == ["el9", "fedora-43"]
    text = (tmp_path / "repo" / "el9" / "shop-el9.repo").read_text()
    assert "[shop-el9]\n" in text
    assert "baseurl=https://example.org/r/el9\n" in text
    assert (tmp_path / "repo" / "fedora-43" / "repodata" / "repomd.xml").exists()


def test_what_was_handed_out_is_kept_when_asked(served: Path, tmp_path: Path) -> None:
    copy = copied(served, tmp_path)
    before = {p.name: p.read_bytes() for p in copy.glob("*.rpm")}
    (tmp_path / "new").mkdir()
    for package in tools.package(NEXT):
        shutil.copy2(package, tmp_path / "new")
    made = repository.make(tmp_path / "new", copy, "example", key="packages@example.org", keep=True)
    assert len(made.parts[0].packages) == 4
    assert {n: (copy / n).read_bytes() for n in before} == before
    repository.make(tmp_path / "new", copy, "example", key="packages@example.org")
    assert not [n for n in before if (copy / n).exists()]


def test_what_cannot_become_a_repository_is_told_and_nothing_changes(
    built: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("x")
    with pytest.raises(ForeignFile, match="no repository"):
        repository.make(built, tmp_path / "mine", "example")
    with pytest.raises(UsageError, match="no packages"):
        repository.make(tmp_path / "mine", tmp_path / "repo", "example")
    with pytest.raises(UsageError, match="no secret key"):
        repository.make(built, tmp_path / "repo", "example", key="nobody@example.org")
    with pytest.raises(UsageError, match="2 secret keys"):
        repository.make(built, tmp_path / "repo", "example", key="example.org")
    with pytest.raises(UsageError, match="no address"):
        repository.make(built, tmp_path / "repo", "example", "https://a b\ngpgcheck=0")
    with pytest.raises(UsageError, match="name of a repository"):
        repository.make(built, tmp_path / "repo", "a]\nx")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine"]


def test_a_signature_that_rpmsign_did_not_make_is_noticed(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some rpmsign end with status 0 when gpg is not where their macro says."""
    (tmp_path / "bin").mkdir()
    stub = tmp_path / "bin" / "rpmsign"
    stub.write_text("#!/bin/sh\nexit 0\n")
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with pytest.raises(BuildFailed, match="no good signature"):
        repository.make(built, tmp_path / "repo", "example", key="packages@example.org")
    assert not (tmp_path / "repo").exists()
