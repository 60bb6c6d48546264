"""``check`` with the real compiler and linker: what is true passes, each falsehood is named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from wsgi_sepkg.errors import BuildFailed, ConfigError, WrongHost
from wsgi_sepkg.package.tree import generate
from wsgi_sepkg.policy.check import FAILED, OK, CheckReport, check
from wsgi_sepkg.policy.compile import headers_for
from wsgi_sepkg.project.load import load

pytestmark = pytest.mark.integration

EXAMPLE = Path(__file__).parents[2] / "examples" / "guestbook"
BASE = """\
[project]
name = "shop"
version = "1.0"
summary = "A shop"
license = "MIT"
maintainer = "Example Ltd <packages@example.org>"
[[changelog]]
date = 2026-01-05
text = "x"
[path]
media = "/srv/shop/media"
log = "/var/log/shop"
"""


def run(folder: Path, more: str = "", base: str = BASE) -> CheckReport:
    folder.mkdir(exist_ok=True)
    (folder / "wsgi-sepkg.toml").write_text(base + more)
    loaded = load(folder, "debian-12")
    return check(generate(loaded), headers_for(loaded.target, None))


def failures(report: CheckReport) -> list[str]:
    return [f"{f.key}: {f.text}" for f in report.findings if f.status == FAILED]


@pytest.fixture(scope="module")
def example() -> CheckReport:
    loaded = load(EXAMPLE, "debian-12")
    return check(generate(loaded), headers_for(loaded.target, None))


def test_the_example_holds_every_claim(example):
    assert example.mode == "link"
    assert failures(example) == []
    assert example.count(OK) > 30


def test_every_path_of_the_payload_has_its_label_and_its_writers(example):
    labels = {p.path: p for p in example.paths}
    assert labels["/var/lib/guestbook/media"].type == "guestbook_media_t"
    assert labels["/var/lib/guestbook/media"].writers == ("httpd_t",)
    assert labels["/var/log/guestbook"].writers == ("httpd_t (append)",)
    assert labels["/usr/share/guestbook/guestbook/wsgi.py"].writers == ()
    assert labels["/etc/guestbook/secret-key"].type == "guestbook_secret_t"


def test_everything_false_in_one_description_is_named_at_once_in_a_table(tmp_path):
    """Falsehoods that only the linked policy knows; one link for all of them."""
    folder = tmp_path / "shop"
    (folder / "selinux").mkdir(parents=True)
    (folder / "selinux" / "local.fc").write_text(
        "/var/spool/mailman.*\tgen_context(system_u:object_r:shop_media_t,s0)\n"
    )
    (folder / "wsgi-sepkg.toml").write_text(
        f'{BASE}[[expect]]\ndeny = {{ source = "httpd_t", target = "shop_media_t", '
        'class = "file", permissions = ["write"] }\n'
        '[[expect]]\npath = "/srv/shop/media/a"\ntype = "httpd_sys_content_t"\n'
        '[[allow]]\nsource = "httpd_t"\ntarget = "self"\nclass = "process"\n'
        'permissions = ["execmem"]\nreason = "a library wants it"\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "wsgi_sepkg", "check", str(folder), "--target", "debian-12"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "4 failed" in done.stdout
    failed = [row for row in done.stdout.splitlines() if row.startswith("FAILED")]
    assert len(failed) == 4
    for words in (
        ("granted: write", "[expect[0]]"),
        ("/srv/shop/media/a", "[expect[1]]"),
        ("/var/spool/mailman.*", "mailman"),
        ("the module grants httpd_t self:process execmem", "[allow[0]]"),
    ):
        assert len([row for row in failed if all(word in row for word in words)]) == 1, failed


def test_a_context_of_the_base_policy_is_refused_before_anything_is_built(tmp_path):
    said = "[[file-context]]\npattern = '/var/spool/mailman.*'\ntype = \"shop_media_t\"\n"
    with pytest.raises(ConfigError, match="mailman_data_t"):
        run(tmp_path / "shop", said + 'reason = "ours"\n')


def test_a_port_of_the_base_policy_is_refused_before_anything_is_built(tmp_path):
    with pytest.raises(ConfigError, match="lirc_port_t"):
        run(tmp_path / "shop", '[[port]]\nnumber = 8765\nreason = "x"\n')


def test_a_boolean_that_the_target_lacks_is_refused_before_anything_is_built(tmp_path):
    with pytest.raises(ConfigError, match="no such boolean in debian-12"):
        run(tmp_path / "shop", '[[boolean]]\nname = "httpd_fly"\nvalue = true\nreason = "x"\n')


def test_a_compile_error_names_the_key_behind_the_line(tmp_path):
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "wsgi-sepkg.toml").write_text(BASE)
    (folder / "selinux").mkdir()
    (folder / "selinux" / "local.te").write_text("allow nosuch_t shop_media_t:file read;\n")
    loaded = load(folder, "debian-12")
    with pytest.raises(BuildFailed, match="nosuch_t") as caught:
        check(generate(loaded), headers_for(loaded.target, None))
    assert caught.value.exit_status == 4


def test_hand_written_additions_are_compiled_linked_and_checked(tmp_path):
    folder = tmp_path / "shop"
    (folder / "selinux").mkdir(parents=True)
    (folder / "selinux" / "local.te").write_text("type shop_extra_t;\nfiles_type(shop_extra_t)\n")
    (folder / "selinux" / "local.fc").write_text(
        "/srv/shop/extra(/.*)?\tgen_context(system_u:object_r:shop_extra_t,s0)\n"
    )
    report = run(folder, '[[type]]\nname = "shop_x_t"\nkind = "file"\nreason = "spare"\n')
    assert "shop_extra_t" in report.adds["types"]
    assert "/srv/shop/extra(/.*)? (any) shop_extra_t" in report.adds["file contexts"]


def test_another_family_is_refused_without_its_headers(tmp_path):
    loaded = load(EXAMPLE, "el9")
    with pytest.raises(WrongHost, match="el9"):
        headers_for(loaded.target, None)
