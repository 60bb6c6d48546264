"""The command line: exit statuses, formats, help."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import typer.main
from typer.testing import CliRunner

from wsgi_sepkg import cli
from wsgi_sepkg.errors import WsgiSepkgError


def commands(group, before=()):
    """Yield the words of every command and group."""
    for name, command in group.commands.items():
        yield [*before, name]
        if hasattr(command, "commands"):
            yield from commands(command, [*before, name])


COMMANDS = list(commands(typer.main.get_command(cli.app)))


def test_the_version_is_printed(run):
    assert run("--version")[1].startswith("wsgi-sepkg ")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_with_an_example(command):
    result = CliRunner().invoke(cli.app, [*command, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    example = result.output.partition("Example: ")[2]
    assert f"wsgi-sepkg {command[0]}" in example


def test_help_lists_the_commands_in_the_order_of_their_use():
    help_ = CliRunner().invoke(cli.app, ["--help"], env={"COLUMNS": "200"}).output
    steps = ["init", "check", "build", "inspect", "try", "repo", "explain", "learn", "targets"]
    places = [help_.index(f"\n\N{BOX DRAWINGS LIGHT VERTICAL} {step} ") for step in steps]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("words", "cure"),
    [
        (["check"], "wsgi-sepkg init"),
        (["targets", "centos9"], "el is RHEL, CentOS"),
        (["explain", "audit.log"], "/var/log/audit/audit.log"),
        (["try", "out/notes.rpm"], "wsgi-sepkg build"),
        (["learn", "unit.log", "unit.log"], "wsgi-sepkg learn . audit.log"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_mistake_of_a_beginner_is_status_2_with_the_cure(run, monkeypatch, tmp_path, words, cure):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "unit.log").write_text("type=AVC\n")
    status, out, err = run(*words)
    assert (status, out) == (2, "")
    assert cure in err.partition("\n")[2]


def test_generate_writes_and_says_what(run, project, tmp_path):
    status, out, _ = run("generate", str(project()), "--outdir", str(tmp_path / "o"))
    assert status == 0
    assert (tmp_path / "o" / "shop.spec").is_file()
    assert "wrote" in out


def test_generate_as_json(run, project, tmp_path):
    folder = str(project())
    _, out, _ = run("generate", folder, "-o", str(tmp_path / "o"), "--format", "json", "--dry-run")
    data = json.loads(out)
    assert "shop.spec" in data["written"]
    assert not (tmp_path / "o").exists()


def test_generate_explains_what_follows(run, project):
    status, out, _ = run("generate", str(project()), "--explain")
    assert status == 0
    assert "shop_media_t" in out
    assert "path.media" in out


def test_a_mistake_in_the_description_is_status_2_with_place_and_cure(run, project):
    folder = project(
        '[[boolean]]\nname = "httpd_can_network_conect_db"\nvalue = true\nreason="x"\n'
    )
    status, _, err = run("generate", str(folder))
    assert status == 2
    assert "wsgi-sepkg.toml:" in err
    assert "did you mean httpd_can_network_connect_db" in err


def test_mistakes_as_json(run, project):
    folder = project("colour = 'red'\n")
    status, out, _ = run("generate", str(folder), "--format", "json")
    data = json.loads(out)
    assert status == 2
    assert data["status"] == 2
    assert data["problems"][0]["key"] == "path.colour"
    assert data["problems"][0]["line"] > 0


def test_a_project_that_is_not_there_is_status_2(run, tmp_path):
    status, _, err = run("generate", str(tmp_path / "nothing"))
    assert status == 2
    assert "no such description" in err


def test_a_target_of_another_family_is_status_3_and_names_what_can_do_it(run, project):
    status, _, err = run("build", str(project()), "--target", "el9", "--dry-run")
    if "debian-12*" not in run("targets")[1]:
        pytest.skip("the host is of that family")
    assert status == 3
    assert "srpm" in err
    assert "--policy-headers" in err


def test_an_unknown_engine_is_status_2(run, project):
    assert run("build", str(project()), "--engine", "obs")[0] == 2


def test_set_overrides_a_key_for_one_run(run, project, tmp_path):
    run("generate", str(project()), "-o", str(tmp_path / "o"), "--set", "project.version=9.9", "-q")
    assert "Version:        9.9" in (tmp_path / "o" / "shop.spec").read_text()


def test_the_targets_are_listed(run):
    _, out, _ = run("targets")
    assert "debian-12" in out
    assert {t["name"] for t in json.loads(run("targets", "--format", "json")[1])} >= {
        "el9",
        "fedora",
    }


def test_the_schema_is_json_schema(run):
    data = json.loads(run("schema")[1])
    assert data["$schema"].startswith("https://json-schema.org/")
    assert "Description" in data["$defs"]


def test_a_key_is_explained(run):
    assert "uploads" in run("explain-config", "path.media")[1]
    status, _, err = run("explain-config", "path.medai")
    assert status == 2
    assert "did you mean path.media" in err


def test_an_interrupt_is_said_and_is_status_130(run, monkeypatch):
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "app", interrupted)
    status, _, err = run()
    assert status == 130
    assert "interrupted" in err


def test_errors_have_documented_statuses():
    def below(kind: type) -> list[type]:
        return [kind, *(x for sub in kind.__subclasses__() for x in below(sub))]

    assert {x.exit_status for x in below(WsgiSepkgError)} <= {1, 2, 3, 4, 5}


def test_starting_imports_neither_jinja_nor_the_policy_tools():
    code = (
        "import sys; sys.argv=['x','--version']\nfrom wsgi_sepkg.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(sorted({m.split('.')[0] for m in sys.modules} & "
        "{'jinja2','msgspec','setools','selinux','rpm','rpmfile','rich','packaging','tomllib'}))"
    )
    # What measures the tests imports tomllib, too.
    env = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
