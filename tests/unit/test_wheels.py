"""Which wheels travel along, and what the package says of them."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from packaging.tags import Tag
from wheel_tools import ELF, pin, wheel

from wsgi_sepkg.engines.base import Request
from wsgi_sepkg.engines.rpmbuild import Rpmbuild
from wsgi_sepkg.errors import (
    ConfigError,
    ServiceFailed,
    ToolFailed,
    ToolMissing,
    UsageError,
    WheelMissing,
)
from wsgi_sepkg.package import wheels
from wsgi_sepkg.package.tree import Tree, generate
from wsgi_sepkg.process import Finished
from wsgi_sepkg.project.load import load

NATIVE = "cp39-cp39-manylinux_2_17_x86_64.manylinux2014_x86_64"


def fits(name: str, python: str = "3.9", machine: str = "x86_64", glibc: str = "2.34") -> bool:
    interpreter, abi, platform = name.split("-")
    return Tag(interpreter, abi, platform) in wheels.tags(python, machine, glibc)


@pytest.mark.parametrize(
    "tag",
    [
        "cp39-cp39-manylinux_2_34_x86_64",
        "cp39-cp39-manylinux2014_x86_64",
        "cp39-cp39-manylinux1_x86_64",
        "cp36-abi3-manylinux_2_28_x86_64",
        "py3-none-manylinux_2_5_x86_64",
        "py3-none-any",
        "cp39-none-any",
    ],
)
def test_what_runs_on_the_target_fits(tag: str) -> None:
    assert fits(tag)


@pytest.mark.parametrize(
    "tag",
    [
        "cp39-cp39-manylinux_2_35_x86_64",  # a newer glibc
        "cp310-cp310-manylinux_2_17_x86_64",  # another Python
        "cp310-abi3-manylinux_2_17_x86_64",
        "cp39-cp39-musllinux_1_2_x86_64",
        "cp39-cp39-manylinux_2_17_aarch64",
        "cp39-cp39-macosx_11_0_x86_64",
        "py2-none-any",
    ],
)
def test_what_does_not_run_on_the_target_does_not_fit(tag: str) -> None:
    assert not fits(tag)


def test_machines_that_came_later_have_no_older_levels() -> None:
    assert fits("cp39-cp39-manylinux2014_aarch64", machine="aarch64")
    assert not fits("cp39-cp39-manylinux2010_aarch64", machine="aarch64")


# -- a project -------------------------------------------------------------------------------------


@pytest.fixture
def shop(project: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Return a maker of projects that bundle what ``text`` locks; wheels lie in tmp_path/wheels."""
    (tmp_path / "wheels").mkdir()

    def make(text: str, more: str = "", file: str = "lock.txt") -> Path:
        folder = project()
        description = folder / "wsgi-sepkg.toml"
        description.write_text(
            description.read_text().replace(
                'static = "none"\n',
                f'static = "none"\ndependencies = "bundled"\nrequirements = "{file}"\n{more}',
            )
        )
        (folder / "lock.txt").write_text(text)
        return folder

    return make


def tree(folder: Path, target: str = "el9") -> Tree:
    return generate(load(folder, target), folder.parent / "wheels")


def spec_of(made: Tree) -> list[str]:
    return made.files["shop.spec"].decode().splitlines()


def test_the_wheel_that_fits_best_is_taken(shop, tmp_path) -> None:
    place = tmp_path / "wheels"
    native = wheel(place, "speedy", tag=NATIVE, files={"speedy/_c.abi3.so": ELF})
    newer = wheel(place, "speedy", tag="cp39-cp39-manylinux_2_28_x86_64")
    plain = wheel(place, "speedy")
    other = wheel(place, "speedy", tag="cp312-cp312-manylinux_2_17_x86_64")
    hashes = [pin(p).split()[1] for p in (native, newer, plain, other)]
    made = tree(shop(f"speedy==1.0 {' '.join(hashes)}\n"))
    assert list(made.wheels) == [newer.name]


def test_a_pure_bundle_is_one_package_for_all_machines(shop, tmp_path) -> None:
    lines = pin(wheel(tmp_path / "wheels", "plain", "1.0rc1"))
    made = tree(shop(lines))
    spec = spec_of(made)
    assert spec.count("BuildArch:      noarch") == 2
    assert "Provides:       bundled(python3dist(plain)) = 1.0~rc1" in spec
    assert made.files["packaging/bundled.txt"].decode() == lines
    assert any(line.startswith("Source") and "plain-1.0rc1" in line for line in spec)


def test_machine_code_makes_the_application_s_package_one_of_its_machine(shop, tmp_path) -> None:
    files = {"fast/_c.cpython-39-x86_64-linux-gnu.so": ELF, "fast.libs/libz+1-0a.so.1.2": ELF}
    path = wheel(tmp_path / "wheels", "fast", tag=NATIVE, files=files)
    made = tree(shop(pin(path)))
    spec = spec_of(made)
    assert spec.count("BuildArch:      noarch") == 1
    assert spec[spec.index("BuildArch:      noarch") - 1].startswith("License:")  # %package selinux
    assert "ExclusiveArch:  x86_64" in spec
    assert "packaging/bundled-x86_64.txt" in made.files
    assert "%global __requires_exclude ^(libz[+]1-0a[.]so[.]1[.]2)([(].*)?$" in spec


def test_each_machine_has_its_own_wheels(shop, tmp_path) -> None:
    place = tmp_path / "wheels"
    one = wheel(place, "fast", tag=NATIVE)
    two = wheel(place, "fast", tag="cp39-cp39-manylinux_2_17_aarch64")
    hashes = f"{pin(one).split()[1]} {pin(two).split()[1]}"
    folder = shop(f"fast==1.0 {hashes}\n", 'architectures = ["x86_64", "aarch64"]\n')
    made = tree(folder)
    assert made.files["packaging/bundled-x86_64.txt"].decode() == pin(one)
    assert made.files["packaging/bundled-aarch64.txt"].decode() == pin(two)
    assert spec_of(made).count("Provides:       bundled(python3dist(fast)) = 1.0") == 1


def test_the_environment_runs_the_application_and_needs_its_python(shop, tmp_path) -> None:
    made = tree(
        shop(pin(wheel(tmp_path / "wheels", "plain")), 'python = "3.11"\nmigrate = "unit"\n')
    )
    text = made.files["shop.spec"].decode()
    assert "Requires:       python(abi) = 3.11\n" in text
    assert "BuildRequires:  python3.11-pip\n" in text
    unit = made.files["packaging/shop-migrate.service"].decode()
    assert "ExecStart=/usr/lib/shop/venv/bin/python3 /usr/share/shop/manage.py" in unit
    assert "python-home=/usr/lib/shop/venv " in made.files["packaging/shop.conf"].decode()


def test_the_environment_is_labelled_as_libraries_whole(shop, tmp_path) -> None:
    made = tree(shop(pin(wheel(tmp_path / "wheels", "plain"))))
    contexts = made.files["selinux/shop.fc"].decode()
    assert "/usr/lib/shop/venv(/.*)?" in contexts
    assert {(x.path, x.type) for x in made.policy.labels if "/venv/" in x.path} == {
        ("/usr/lib/shop/venv/bin/program", "lib_t"),
        ("/usr/lib/shop/venv/lib/python3/site-packages/x/bin/x.so", "lib_t"),
    }


def test_without_bundled_dependencies_nothing_of_it_is_there(project) -> None:
    made = generate(load(project(), "el9"))
    text = "".join(content.decode() for content in made.files.values() if b"\0" not in content)
    spec = made.files["shop.spec"].decode()
    assert "venv" not in spec
    assert "python-home" not in text
    assert "__os_install_post" not in spec


def test_the_policy_alone_needs_no_wheel(shop) -> None:
    folder = shop(f"nobody==1.0 --hash=sha256:{'a' * 64}\n")
    made = generate(load(folder, "el9"), policy_only=True)
    assert b"/usr/lib/shop/venv" in made.files["selinux/shop.fc"]


# -- what is refused -------------------------------------------------------------------------------


def test_a_wheel_with_another_hash_is_refused(shop, tmp_path) -> None:
    wheel(tmp_path / "wheels", "plain")
    with pytest.raises(WheelMissing, match=r"lock.txt:1: plain==1.0: .* has another hash"):
        tree(shop(f"plain==1.0 --hash=sha256:{'a' * 64}\n"))


def test_a_source_distribution_is_refused(shop, tmp_path) -> None:
    (tmp_path / "wheels" / "plain-1.0.tar.gz").write_bytes(b"x")
    with pytest.raises(WheelMissing, match=r"is a source distribution\n.*only wheels") as caught:
        tree(shop(f"plain==1.0 --hash=sha256:{'a' * 64}\n"))
    assert caught.value.exit_status == 2


def test_a_wheel_for_another_target_is_refused_and_all_are_told(shop, tmp_path) -> None:
    place = tmp_path / "wheels"
    lines = [
        pin(wheel(place, "one", tag="cp39-cp39-manylinux_2_35_x86_64")),
        pin(wheel(place, "two", tag="cp312-cp312-manylinux_2_17_x86_64")),
    ]
    with pytest.raises(WheelMissing) as caught:
        tree(shop("".join(lines)))
    text = str(caught.value)
    assert "lock.txt:1: one==1.0: no wheel for Python 3.9 on x86_64 with glibc 2.34 (el9)" in text
    assert "lock.txt:2: two==1.0" in text


def test_what_a_package_needs_has_to_be_locked_too(shop, tmp_path) -> None:
    place = tmp_path / "wheels"
    needs = ["absent>=2", "old>=3", "never; python_version < '3'", "extra; extra == 'more'"]
    lines = pin(wheel(place, "main", needs=needs)) + pin(wheel(place, "old", "1.0"))
    with pytest.raises(WheelMissing) as caught:
        tree(shop(lines))
    assert "lock.txt:1: main==1.0 needs absent>=2" in str(caught.value)
    assert "needs old>=3" in str(caught.value)
    assert "never" not in str(caught.value)
    assert "needs extra" not in str(caught.value)


def test_an_extra_that_is_asked_for_brings_its_needs(shop, tmp_path) -> None:
    path = wheel(tmp_path / "wheels", "main", needs=["extra; extra == 'more'"])
    with pytest.raises(WheelMissing, match="needs extra"):
        tree(shop(pin(path).replace("main==", "main[more]==")))


@pytest.mark.parametrize("name", ["../evil.py", "/etc/evil", "a/../../evil"])
def test_a_wheel_that_leaves_its_folder_is_refused(shop, tmp_path, name: str) -> None:
    path = wheel(tmp_path / "wheels", "plain", files={name: b"x"})
    with pytest.raises(WheelMissing, match="leaves its folder"):
        tree(shop(pin(path)))


def test_a_file_that_is_no_wheel_is_told(shop, tmp_path) -> None:
    path = tmp_path / "wheels" / "plain-1.0-py3-none-any.whl"
    path.write_bytes(b"no zip")
    with pytest.raises(WheelMissing, match="no wheel that can be read"):
        tree(shop(pin(path)))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("plain.py", "")
    with pytest.raises(WheelMissing, match="it has no METADATA"):
        tree(shop(pin(path)))


def test_a_package_that_is_locked_twice_for_a_target_is_refused(shop, tmp_path) -> None:
    place = tmp_path / "wheels"
    lines = pin(wheel(place, "plain", "1.0"))
    lines += pin(wheel(place, "plain", "2.0"), " ; python_version > '3.8'")
    with pytest.raises(WheelMissing, match=r"lock\.txt:2: plain is there twice"):
        tree(shop(lines))


@pytest.mark.parametrize(
    ("text", "more", "file", "key", "says"),
    [
        ("six==1.0\n", "", "lock.txt", "application.requirements", "lock.txt:1: six==1.0 has no"),
        ("", "", "none.txt", "application.requirements", "no such file"),
        ("", "", "../lock.txt", "application.requirements", "leaves the folder"),
        ("", "", "", "application.dependencies", "no file says which packages"),
        ("PIN", "architectures = []\n", "lock.txt", "application.architectures", "is empty"),
    ],
)
def test_a_description_that_cannot_be_bundled_is_told_where(
    shop, text: str, more: str, file: str, key: str, says: str
) -> None:
    text = text.replace("PIN", f"six==1.0 --hash=sha256:{'a' * 64}\n")
    with pytest.raises(ConfigError) as caught:
        load(shop(text, more, file), "el9")
    assert [(p.key, p.place.line > 0) for p in caught.value.problems] == [(key, True)]
    assert says in caught.value.problems[0].message


def test_an_old_pip_is_told_before_anything_is_fetched(shop) -> None:
    folder = shop(f"six==1.0 --hash=sha256:{'a' * 64}\n")
    with pytest.raises(ConfigError, match=r"pip of Python 3.6 on el8(.|\n)*python = \"3.12\""):
        load(folder, "el8")


@pytest.fixture
def plain(project: Callable[..., Path]) -> Callable[..., Path]:
    """Return a maker of projects that want what ``text`` says of the distribution."""

    def make(text: str, more: str = "") -> Path:
        folder = project()
        file = folder / "wsgi-sepkg.toml"
        line = f'requirements = "wanted.txt"\n{more}[path]'
        file.write_text(file.read_text().replace("[path]", line))
        (folder / "wanted.txt").write_text(text)
        return folder

    return make


def requirements(folder: Path, target: str = "el9") -> set[str]:
    app = generate(load(folder, target)).plan.application
    assert app is not None
    return {r for r in app.requires if "dist(" in r}


def test_names_become_requirements_of_the_distribution(plain) -> None:
    text = (
        "Django>=4.2,<5.0  # a series\n-i https://index.example.org\n"
        "Pillow\ncelery[redis]~=5.3.1\npsycopg2==2.9.*\nsix!=1.10\nrc>=2.0rc1\n"
        f"tomli ; python_version < '3.11'\nlocked==1.0.0 --hash=sha256:{'a' * 64}\n"
    )
    assert requirements(plain(text)) == {
        "(python3dist(django) < 5 with python3dist(django) >= 4.2)",
        "python3dist(pillow)",
        "(python3dist(celery[redis]) >= 5.3.1 with python3dist(celery[redis]) < 5.4)",
        "(python3dist(psycopg2) >= 2.9 with python3dist(psycopg2) < 2.10)",
        "python3dist(six)",
        "python3dist(rc) >= 2~rc1",
        "python3dist(tomli)",
        "python3dist(locked) = 1",
    }


def test_packages_of_another_python_have_its_version_in_their_name(plain) -> None:
    folder = plain("django\ntomli ; python_version < '3.11'\n", 'python = "3.12"\n')
    assert requirements(folder) == {"python3.12dist(django)"}


@pytest.mark.parametrize(
    ("text", "target", "says"),
    [
        ("django\n", "debian-12", "have no names as python3dist"),
        ("-r base.txt\n", "el9", "wanted.txt:1: -r is not read here"),
        ("x @ https://example.org/x.whl\n", "el9", "wanted.txt:1: .* is no name of a package"),
        ("django\n\n../x\n", "el9", "wanted.txt:3: .* is no name of a package"),
        ("", "el9", "wanted.txt:1: names no package"),
    ],
)
def test_what_the_distribution_cannot_be_asked_for_is_told(
    plain, text: str, target: str, says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        load(plain(text), target)


def test_a_package_of_the_distribution_that_is_also_bundled_is_told(shop, tmp_path) -> None:
    lines = pin(wheel(tmp_path / "wheels", "django"))
    loaded = load(shop(lines, 'requires = ["python3-django", "postgresql"]\n'), "el9")
    assert [w.key for w in loaded.warnings] == ["application.requires[0]"]


# -- pip and the cache -----------------------------------------------------------------------------


@pytest.fixture
def pip(monkeypatch, tmp_path) -> list[Sequence[str]]:
    """Let a download take what lies in tmp_path/index, and note each command."""
    commands: list[Sequence[str]] = []
    (tmp_path / "index").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(command, **_) -> Finished:
        commands.append(command)
        out = Path(command[command.index("--dest") + 1])
        for path in (tmp_path / "index").iterdir():
            (out / path.name).write_bytes(path.read_bytes())
        return Finished(list(command), 0, "", "")

    monkeypatch.setattr(wheels.process, "run", run)
    return commands


def gathered(folder: Path) -> list[str]:
    return sorted(generate(load(folder, "el9")).wheels)


def test_pip_downloads_wheels_of_the_target_by_hash_and_once(shop, pip, tmp_path) -> None:
    path = wheel(tmp_path / "index", "plain")
    folder = shop(pin(path))
    assert gathered(folder) == gathered(folder) == [path.name]
    (command,) = pip
    wanted = ["--require-hashes", "--only-binary=:all:", "--no-deps", "--python-version=3.9"]
    assert {*wanted, "--abi=cp39", "--platform=manylinux_2_34_x86_64"} <= set(command)
    assert "--platform=manylinux_2_35_x86_64" not in command


def test_a_kept_wheel_that_was_changed_is_downloaded_again(shop, pip, tmp_path) -> None:
    folder = shop(pin(wheel(tmp_path / "index", "plain")))
    gathered(folder)
    (kept,) = (tmp_path / "cache").glob("wsgi-sepkg/wheels/*/*.whl")
    kept.write_bytes(b"something else")
    assert gathered(folder) == [kept.name]
    assert len(pip) == 2


def test_what_pip_brought_is_checked_once_more(shop, pip, tmp_path) -> None:
    wheel(tmp_path / "index", "plain")
    with pytest.raises(WheelMissing, match="another hash"):
        gathered(shop(f"plain==1.0 --hash=sha256:{'b' * 64}\n"))


@pytest.mark.parametrize(
    ("output", "error", "status", "says"),
    [
        ("No module named pip", ToolMissing, 3, "pip is not installed"),
        ("NewConnectionError(...)\nERROR: No matching", ServiceFailed, 5, "--wheels DIR"),
        ("ERROR: No matching distribution found for plain==1.0", WheelMissing, 2, "lock.txt:1"),
        ("THESE PACKAGES DO NOT MATCH THE HASHES", WheelMissing, 2, "do not trust it"),
        ("ERROR: something else", WheelMissing, 2, "something else"),
    ],
)
def test_a_download_that_fails_says_why(
    shop, monkeypatch, tmp_path, output: str, error: type[Exception], status: int, says: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(wheels.process, "run", lambda c, **_: Finished(c, 1, "", output))
    with pytest.raises(error) as caught:
        gathered(shop(f"plain==1.0 --hash=sha256:{'b' * 64}\n"))
    assert caught.value.exit_status == status  # type: ignore[attr-defined]
    assert says in str(caught.value)


def test_a_build_root_without_pip_is_told_with_its_package(shop, tmp_path) -> None:
    made = tree(shop(pin(wheel(tmp_path / "wheels", "plain")), 'python = "3.12"\n'))
    request = Request(made, tmp_path / "shop.spec", tmp_path, tmp_path, ".el9")
    failed = ToolFailed(["rpmbuild"], 1, "/usr/bin/python3.12: No module named pip\n")
    error = Rpmbuild()._failure(request, failed, tmp_path / "log")
    assert "needs pip of /usr/bin/python3.12" in error.message
    assert "dnf install python3.12-pip" in error.hint


def test_a_pipeline_of_committed_files_is_refused(shop, tmp_path) -> None:
    from wsgi_sepkg.package import pipeline

    folder = shop(pin(wheel(tmp_path / "wheels", "plain")))
    with pytest.raises(UsageError, match="wsgi-sepkg srpm"):
        pipeline.targets_of(str(folder), ["el9"])
