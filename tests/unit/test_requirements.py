"""A requirements file is read in the forms that tools write; what pins nothing is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgi_sepkg.project.requirements import environment, read, text_of

A, B = "a" * 64, "b" * 64
HASH = f"--hash=sha256:{A}"


def test_the_form_of_pip_compile_and_uv_is_read() -> None:
    lock = read(
        "# made by a tool\n"
        "--index-url https://pypi.example.org/simple\n\n"
        "Django==4.2.16 ; python_version >= '3.8' \\\n"
        f"    --hash=sha256:{A} \\\n"
        f"    --hash=sha256:{B}\n"
        "    # via -r in.txt\n"
        f"psycopg[binary,pool]==3.2.0rc1 {HASH}  # the database\n"
    )
    assert lock.mistakes == ()
    assert lock.options == ("--index-url https://pypi.example.org/simple",)
    django, psycopg = lock.requirements
    assert (django.name, django.version, django.line) == ("django", "4.2.16", 4)
    assert django.hashes == {A, B}
    assert (psycopg.name, psycopg.version) == ("psycopg", "3.2.0rc1")
    assert psycopg.extras == {"binary", "pool"}


@pytest.mark.parametrize(
    ("line", "says", "cure"),
    [
        ("django==4.2", "django==4.2 has no hash", "--generate-hashes"),
        (f"django {HASH}", "does not say one version", "--generate-hashes"),
        (f"django>=4.2 {HASH}", "does not say one version", "--generate-hashes"),
        (f"django==4.* {HASH}", "does not say one version", "--generate-hashes"),
        (f"django===4.2 {HASH}", "does not say one version", "--generate-hashes"),
        (f"django==4.2 --hash=md5:{'a' * 32}", "no SHA-256 hash", "--generate-hashes"),
        ("django==4.2 --hash=sha256:../../x", "is no hash", "--hash=sha256:"),
        (f"django @ https://example.org/d.whl {HASH}", "comes from an address", "--wheels"),
        ("-e .", "-e is not read here", "--no-emit-project"),
        ("-r base.txt", "-r is not read here", "into this file"),
        ("--no-binary :all:", "--no-binary is not read here", "only wheels"),
        (f"../evil.whl {HASH}", "is no requirement", "NAME==VERSION"),
        (f"django==4.2 ; nonsense == '1' {HASH}", "is no requirement", "NAME==VERSION"),
        ("", "names no package", "--generate-hashes"),
    ],
)
def test_what_pins_nothing_is_a_mistake_with_its_line_and_cure(
    line: str, says: str, cure: str
) -> None:
    mistakes = read(f"# head\n{line}\n" if line else "").mistakes
    assert [m.line for m in mistakes] == [2 if line else 1]
    assert says in mistakes[0].message
    assert cure in mistakes[0].hint


def test_every_mistake_is_told_in_the_order_of_the_file() -> None:
    lock = read(f"django==4.2\n-e .\nsix==1.0 {HASH}\nsix==1.1 {HASH}\n")
    assert [m.line for m in lock.mistakes] == [1, 2, 4]
    assert "twice, also in line 3" in lock.mistakes[2].message


def test_a_marker_is_judged_for_the_target_and_not_for_this_python() -> None:
    lock = read(
        f"six==1.0 ; python_version < '3.10' {HASH}\n"
        f"six==2.0 ; python_full_version >= '3.10' {HASH}\n"
        f"colorama==1 ; sys_platform == 'win32' {HASH}\n"
        f"other==1 ; platform_machine == 'aarch64' {HASH}\n"
    )
    assert lock.mistakes == ()

    def names(python: str, machine: str) -> list[str]:
        found = [r for r in lock.requirements if r.applies(environment(python, machine))]
        return [f"{r.name} {r.version}" for r in found]

    assert names("3.9", "x86_64") == ["six 1.0"]
    assert names("3.14", "aarch64") == ["six 2.0", "other 1"]


@given(st.text(max_size=300))
def test_any_text_is_requirements_or_mistakes(text: str) -> None:
    lock = read(text)
    assert lock.requirements or lock.mistakes or lock.options
    assert all(m.message.isprintable() for m in lock.mistakes)


def test_a_file_that_is_no_text_is_told(tmp_path) -> None:
    (tmp_path / "r.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="not UTF-8"):
        text_of(tmp_path / "r.txt")
