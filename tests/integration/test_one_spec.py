"""One spec serves every release of its policy family: what rpm makes of it on each of them."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from wsgi_sepkg import targets
from wsgi_sepkg.package.inspect import pp_identity

ROOT = Path(__file__).parents[2]
SPEC = ROOT / "tests" / "data" / "golden" / "guestbook-fedora" / "guestbook.spec"
MACROS = ROOT / "tests" / "data" / "macros"
PAGE = ROOT / "docs" / "explanation" / "one-spec.md"
RELEASES = ["el8", "el9", "el10", "fedora-43", "rawhide"]

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not shutil.which("rpmspec"), reason="rpmspec is not installed"),
]


@cache
def parsed(name: str, policy_macros: bool = True) -> str:
    """Return the spec as rpm reads it with the macros of a release, selinux-policy's or none."""
    target = targets.load(name)
    command: list[str | Path] = ["rpmspec", "-P"]
    for macro, value in target.macros.items():
        command += ["--define", f"{macro} {value}"]
    if policy_macros:
        family = name if (MACROS / f"{name}.macros").exists() else "fedora"
        text = (MACROS / f"{family}.macros").read_text(encoding="utf-8")
        if not target.policy_macros.requires_min:
            text = re.sub(r"(?m)^%selinux_requires_min(.*\\\n)*.*\n", "", text)
        file = Path(_folder(), f"{name}.macros")
        file.write_text(text, encoding="utf-8")
        command += ["--load", file]
    done = subprocess.run([*command, SPEC], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def _folder() -> str:
    import tempfile

    return tempfile.mkdtemp()


@pytest.fixture(scope="module", autouse=True)
def _clean():
    yield
    shutil.rmtree(_folder())


def requirements(name: str) -> set[str]:
    """Return what the -selinux package and the build need on a release."""
    head = parsed(name).partition("\n%prep")[0]
    return {re.sub(r"\s+", " ", x) for x in re.findall(r"(?m)^(?:Build)?Requires.*$", head)}


@pytest.mark.parametrize("name", RELEASES)
def test_a_release_gets_its_own_tag_and_a_rich_dependency(name):
    dist = targets.load(name).dist
    assert f"\nRelease:        1{dist}\n" in parsed(name)
    rich = f"Requires: (guestbook-selinux = 1.4-1{dist} if selinux-policy-targeted)"
    assert rich in requirements(name)
    assert "%{" not in parsed(name).partition("\n%prep")[0]


def test_a_release_requires_the_policy_in_its_own_words():
    common = {
        "el8": "Requires: selinux-policy >= 3.14.3",
        "el9": "Requires: selinux-policy >= 38.1.23",
        "el10": "Requires: selinux-policy-stable",
        "fedora-43": "Requires: selinux-policy >= 42.1.18",
        "rawhide": "Requires: selinux-policy >= 42.1.18",
    }
    for name, line in common.items():
        assert line in requirements(name)
        # Where there is no smaller macro, the Python tools come along though nothing calls them.
        python = "Requires(post): policycoreutils-python-utils" in requirements(name)
        assert python == (not targets.load(name).policy_macros.requires_min)
        assert ("BuildRequires: git" in requirements(name)) == (name == "el8")


# What differs between two releases beside their selinux macros, and how its lines look.
OWN = {
    "dist tag": r"Release: +1\.\w+",
    "version in the rich dependency": r"Requires: +\(guestbook-selinux = 1\.4-1\.\w+ if selinux-.*",
    "module format": r'.*-gt \d\d \].*| *compiler="\$compiler -c \d\d"',
}
# ... and what the macros of selinux-policy themselves make different.
THEIRS = {
    "required policy": r"Requires(\(post\))?: selinux-policy(-base)?( >= [0-9.]+|-stable)",
    "git": r"BuildRequires: git",
    "Python tools": r"Requires\(post\): policycoreutils-python-utils",
    "configuration unguarded": r"(if \[ -e /etc/selinux/config \]; then )?\. /etc/selinux/config.*"
    r"|_policytype=targeted|if \[ \"\$SELINUXTYPE\" = \"\$_policytype\" \]; then"
    r"|if (/usr/sbin/)?selinuxenabled; then",
    "status of semodule": r"/usr/sbin/semodule -n .*-i \S+( \|\| :)?",
    "names without a folder": r"(/usr/sbin/)?(semodule|selinuxenabled|load_policy|fixfiles)\b.*"
    r"|if (/usr/sbin/)?selinuxenabled.*then",
    "conversion of /var/run": r".*varrun.*|fi",
}


def differences(one: str, other: str) -> set[str]:
    """Return the lines, without indentation, that one of two texts has and the other has not."""
    import difflib

    lines = difflib.ndiff(one.splitlines(), other.splitlines())
    return {line[2:].strip() for line in lines if line[0] in "+-"}


PAIRS = list(itertools.pairwise(RELEASES))


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_without_the_distributions_macros_three_things_differ(one, other):
    found = differences(parsed(one, False), parsed(other, False))
    left = [x for x in found if not any(re.fullmatch(form, x) for form in OWN.values())]
    assert left == []
    for what, form in OWN.items():
        assert any(re.fullmatch(form, x) for x in found), what


def test_every_difference_between_two_releases_has_its_reason_in_the_documentation():
    kinds = OWN | THEIRS
    seen = set()
    for one, other in PAIRS:
        for line in differences(parsed(one), parsed(other)):
            fitting = [what for what, form in kinds.items() if re.fullmatch(form, line)]
            assert fitting, f"{one} and {other}: {line}"
            seen.update(fitting)
    assert seen == set(kinds)
    listed = re.findall(r"(?m)^\| ([^|]+?) +\| ", PAGE.read_text(encoding="utf-8"))
    assert set(kinds) <= set(listed)


# -- the module format ---------------------------------------------------------------------------

TE = "policy_module(guestbook, 1.0)\ngen_require(`type httpd_t;')\ntype guestbook_data_t;\n"
HEADERS = Path("/usr/share/selinux/devel/Makefile")


def compiled(name: str, folder: Path) -> int:
    """Compile a module with the lines of %build that a release gets; return its format."""
    build = parsed(name).partition("\n%install\n")[0]
    start, end = build.index("newest="), build.index("mkdir targeted")
    (folder / "guestbook.te").write_text(TE, encoding="utf-8")
    done = subprocess.run(
        ["bash", "-euc", build[start:end]], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return pp_identity((folder / "guestbook.pp").read_bytes())[1]


@pytest.mark.skipif(
    not HEADERS.exists() or not shutil.which("checkmodule"),
    reason="the headers of the policy, or its compiler, are not installed",
)
@pytest.mark.parametrize("name", RELEASES)
def test_the_compiled_module_has_the_format_of_the_oldest_minor(name, tmp_path):
    said = subprocess.run(["checkmodule", "-V"], capture_output=True, text=True, check=False).stdout
    newest = int(re.search(r"-(\d+)\)?\s*$", said.strip().splitlines()[0])[1])
    # A compiler that is older than the release writes its own newest, which the release reads too.
    assert compiled(name, tmp_path) == min(targets.load(name).module_format, newest)


def test_a_release_that_is_unknown_gets_the_oldest_format():
    done = subprocess.run(["rpmspec", "-P", SPEC], capture_output=True, text=True, check=True)
    assert 'compiler="$compiler -c 19"' in done.stdout
