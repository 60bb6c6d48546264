"""``init``: from an application to a description that loads, with what is open said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import pytest
from elf_files import elf

from wsgi_sepkg.project.load import load
from wsgi_sepkg.project.names import used_paths

GUESTBOOK = Path(__file__).parents[2] / "examples" / "guestbook"
# What no source of the guest book says: who makes the package, and what the site decides.
ANSWERS = (
    "project.name=guestbook",
    "project.version=1.4",
    "project.summary=Guest book with photographs",
    "project.license=MIT",
    "project.url=https://www.example.org/guestbook",
    "project.maintainer=Example Ltd <packages@example.org>",
    "project.targets=debian-12,el9,el10,fedora",
    "connect.postgresql.default=yes",
    "connect.postgresql.over=tcp",
    "connect.smtp.default=no",
)


@pytest.fixture
def run(run):
    """Return a function that runs ``init`` on a folder: (status, standard output, errors)."""

    def call(folder: Path, *options: str, answers: tuple[str, ...] = ()) -> tuple[int, str, str]:
        given = [word for answer in answers for word in ("--answer", answer)]
        return run("init", str(folder), "--no-input", *given, *options)

    return call


@pytest.fixture
def site(tmp_path):
    """Return a function that writes a Django project with settings."""

    def make(settings: str, **files: str) -> Path:
        folder = tmp_path / "notes"
        (folder / "notes").mkdir(parents=True, exist_ok=True)
        module = "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'notes.settings')\n"
        (folder / "manage.py").write_text(module)
        (folder / "notes" / "__init__.py").touch()
        (folder / "notes" / "wsgi.py").write_text(module + "application = None\n")
        (folder / "notes" / "settings.py").write_text(settings)
        for name, text in files.items():
            (folder / name.replace("__", "/").replace("-py", ".py")).write_text(text)
        return folder

    return make


SURE = ("project.license=MIT", "project.maintainer=Example Ltd <packages@example.org>")
SETTINGS = """\
WSGI_APPLICATION = 'notes.wsgi.application'
MEDIA_ROOT = '/var/lib/notes/media'
MEDIA_URL = '/media/'
"""


def meaning(description: object) -> dict[str, object]:
    """Return a description as data, without what only people read: reasons, history, claims."""
    data = msgspec.to_builtins(description)
    for words in ("changelog", "expect"):
        data.pop(words, None)
    for entry in data["connect"]:
        entry.pop("reason")
    for key in ("requires", "exclude"):
        data["application"][key] = sorted(data["application"][key])
    data["connect"].sort(key=lambda c: c["to"])
    data["path"] = {k: v for k, v in data["path"].items() if v}
    return data


def test_the_guest_book_is_described_as_by_hand(run, tmp_path):
    folder = tmp_path / "guestbook"
    shutil.copytree(GUESTBOOK, folder, ignore=shutil.ignore_patterns("__pycache__"))
    wanted = load(folder)
    (folder / "wsgi-sepkg.toml").unlink()
    status, _, err = run(folder, answers=ANSWERS)
    assert (status, err) == (0, "")
    made = load(folder)
    assert meaning(made.description) == meaning(wanted.description)
    assert used_paths(made.description, made.target) == used_paths(
        wanted.description, wanted.target
    )


def said_in(folder: Path) -> str:
    """Return the description with its comments unfolded."""
    return " ".join((folder / "wsgi-sepkg.toml").read_text().replace("\n#  ", "").split())


def test_every_line_says_where_it_came_from(run, site):
    folder = site(SETTINGS)
    run(folder, answers=SURE)
    lines = (folder / "wsgi-sepkg.toml").read_text().splitlines()
    for number, line in enumerate(lines):
        if " = " in line and not line.startswith("#"):
            assert lines[number - 1].startswith("#"), line
    assert "# notes/settings.py:2 MEDIA_ROOT: uploads" in lines


def test_what_nobody_answers_stays_open_and_is_status_1(run, site):
    folder = site(SETTINGS.replace("'/var/lib/notes/media'", "__import__('os').environ['M']"))
    status, _, err = run(folder, answers=SURE)
    text = (folder / "wsgi-sepkg.toml").read_text()
    assert status == 1
    assert "# OPEN path.media" in text
    assert "(notes/settings.py:2)" in text
    assert "open: path.media" in err
    assert run(folder, "--force", answers=(*SURE, "path.media=/var/lib/notes/m"))[0] == 0
    assert load(folder).description.path.media == "/var/lib/notes/m"


def test_a_description_that_is_there_is_not_overwritten(run, site):
    folder = site(SETTINGS)
    (folder / "wsgi-sepkg.toml").write_text("mine")
    status, _, err = run(folder, answers=SURE)
    assert (status, (folder / "wsgi-sepkg.toml").read_text()) == (2, "mine")
    assert "--force" in err


def test_a_dry_run_writes_nothing_and_prints_the_description(run, site):
    folder = site(SETTINGS)
    status, out, _ = run(folder, "--dry-run", answers=SURE)
    assert status == 0
    assert 'media = "/var/lib/notes/media"' in out
    assert not (folder / "wsgi-sepkg.toml").exists()


def test_as_json_with_findings_and_questions(run, site):
    folder = site(SETTINGS)
    status, out, _ = run(folder, "--format", "json", "--dry-run")
    data = json.loads(out)
    assert status == 1
    assert {q["key"] for q in data["open"]} == {"project.license", "project.maintainer"}
    assert data["findings"][0]["place"] == "notes/settings.py:1"


def test_an_answer_that_nothing_asks_for_is_status_2(run, site):
    status, _, err = run(site(SETTINGS), answers=(*SURE, "path.medai=/srv"))
    assert status == 2
    assert "path.medai" in err


def test_a_folder_without_django_is_status_2(run, tmp_path):
    assert run(tmp_path)[0] == 2
    assert run(tmp_path / "nowhere")[0] == 2


def test_broken_settings_are_one_error_and_write_nothing(run, site):
    folder = site("X = (\n")
    status, _, err = run(folder, answers=SURE)
    assert status == 2
    assert "notes/settings.py:1: not valid Python" in err
    assert not (folder / "wsgi-sepkg.toml").exists()


def test_settings_for_developers_are_not_taken_for_the_sites(run, site):
    folder = site(SETTINGS)
    module = "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'notes.settings_dev')\n"
    (folder / "manage.py").write_text(module)
    (folder / "notes" / "wsgi.py").write_text(module.replace("_dev", ".local"))
    status, _, err = run(folder, answers=SURE)
    assert status == 2
    assert "--settings" in err
    assert run(folder, "--settings", "notes.settings", answers=SURE)[0] == 0


def test_a_condition_turns_a_connection_off_until_the_site_says_otherwise(run, site):
    folder = site(
        SETTINGS + "import os\nif os.environ.get('R'):\n    CELERY_BROKER_URL = 'redis://r'\n"
    )
    run(folder, answers=SURE)
    (connect,) = load(folder).description.connect
    assert (connect.to, connect.default) == ("redis", False)


def test_nothing_from_the_settings_ends_a_comment_or_a_string(run, site):
    folder = site(
        SETTINGS
        + "STATIC_ROOT = '/srv/a\"]\\n[application]\\nroot = \"/etc'\n"
        + "if 'a\\n[project]':\n    CELERY_BROKER_URL = 'redis://a\\nb'\n"
    )
    run(folder, answers=SURE)
    text = (folder / "wsgi-sepkg.toml").read_text()
    assert text.count("[application]\n") == 1
    assert text.count("[project]\n") == 1


def test_the_class_of_django_configurations_is_read(run, site):
    folder = site(
        "from configurations import Configuration, values\n"
        "class Base(Configuration):\n    MEDIA_ROOT = '/srv/base'\n"
        "class Production(Base):\n"
        "    @property\n    def MEDIA_ROOT(self):\n        return '/srv/' + 'notes'\n"
        "    DATABASES = values.DatabaseURLValue('postgres://db.example/n')\n"
    )
    run(folder, "--settings", "notes.settings:Production", answers=SURE)
    description = load(folder).description
    assert description.path.media == "/srv/notes"
    assert [c.to for c in description.connect] == ["postgresql"]


def test_servers_of_the_tree_and_of_the_host_are_read_too(run, site, tmp_path):
    folder = site(SETTINGS)
    (folder / "httpd.conf").write_text(
        "WSGIScriptAlias / /srv/notes/notes/wsgi.py\nWSGIDaemonProcess notes processes=4\n"
    )
    unit = tmp_path / "notes-worker.service"
    unit.write_text(
        "[Service]\nUser=notes\nExecStart=celery -A notes worker\nLogsDirectory=notes\n"
    )
    run(folder, "--from", str(unit), answers=SURE)
    description = load(folder).description
    assert description.application.root == "/srv/notes"
    assert description.application.processes == 4
    assert description.path.log == "/var/log/notes"
    assert "celery -A notes worker" in (folder / "wsgi-sepkg.toml").read_text()
    assert run(folder, "--force", "--from", str(tmp_path / "no.conf"), answers=SURE)[0] == 2


def test_a_unit_of_gunicorn_becomes_a_process_with_a_domain_of_its_own(run, site, tmp_path):
    folder = site(SETTINGS)
    unit = tmp_path / "notes.service"
    unit.write_text(
        "[Service]\nUser=notes\nRuntimeDirectory=notes\n"
        "ExecStart=/usr/bin/gunicorn --workers 3 --bind unix:/run/notes/web.sock notes.wsgi\n"
    )
    assert run(folder, "--from", str(unit), answers=SURE)[0] == 0
    description = load(folder).description
    assert description.application.confinement == "service"
    assert description.process["web"].run == "gunicorn --workers 3 notes.wsgi"
    shared = ("application.confinement=shared", *SURE)
    run(folder, "--force", "--from", str(unit), answers=shared)
    assert load(folder).description.application.confinement == "shared"


def test_an_example_of_a_configuration_gives_way_to_the_settings(run, site):
    folder = site(SETTINGS)
    (folder / "nginx.conf").write_text("server {\n location /media/ { alias /app/media/; }\n}\n")
    run(folder, answers=SURE)
    assert load(folder).description.path.media == "/var/lib/notes/media"
    assert "/app/media as media" in (folder / "wsgi-sepkg.toml").read_text()


def test_an_update_adds_what_is_new_and_keeps_edits_and_comments(run, site):
    folder = site(
        SETTINGS + "LOGGING = {'handlers': {'f': {'filename': '/var/log/notes/a.log'}}}\n"
    )
    run(folder, answers=SURE)
    file = folder / "wsgi-sepkg.toml"
    edited = file.read_text().replace('log = "/var/log/notes"', 'log = "/var/log/mine"  # moved')
    file.write_text(edited.replace('summary = "', '# our words\nsummary = "The '))
    status, out, _ = run(folder, "--update")
    assert (status, out.splitlines()[0]) == (0, "nothing is new")
    settings = folder / "notes" / "settings.py"
    text = settings.read_text().replace("/var/lib/notes/media", "/srv/notes/media")
    settings.write_text(text + "CELERY_BROKER_URL = 'redis://r'\n")
    status, out, _ = run(folder, "--update")
    assert status == 0
    assert "added connect.redis" in out
    assert "changed path.media: /var/lib/notes/media to /srv/notes/media" in out
    new = file.read_text()
    assert 'log = "/var/log/mine"  # moved' in new
    assert "# our words" in new
    description = load(folder).description
    assert (description.path.media, description.path.log) == ("/srv/notes/media", "/var/log/mine")
    assert [c.to for c in description.connect] == ["redis"]
    before = file.read_bytes()
    run(folder, "--update")
    assert file.read_bytes() == before


def test_an_update_puts_an_answer_where_its_question_stood(run, site):
    folder = site(SETTINGS)
    answers = [answer for answer in SURE if not answer.startswith("project.license")]
    assert run(folder, answers=answers)[0] == 1
    file = folder / "wsgi-sepkg.toml"
    before = file.read_text()
    assert "# OPEN project.license" in before
    assert run(folder, "--update", answers=["project.license=MIT"])[0] == 0
    start, _, rest = before.partition("# OPEN project.license")
    after = rest.partition('# license = "..."')[2]
    assert file.read_text() == f'{start}# answered\nlicense = "MIT"{after}'


def test_an_update_does_not_bring_back_what_was_removed_by_hand(run, site):
    folder = site(SETTINGS + "CELERY_BROKER_URL = 'redis://r'\n")
    run(folder, answers=SURE)
    file = folder / "wsgi-sepkg.toml"
    file.write_text(file.read_text().partition("[[connect]]")[0])
    run(folder, "--update")
    assert load(folder).description.connect == []


def test_an_update_of_both_sides_is_told_and_left(run, site):
    folder = site(SETTINGS)
    run(folder, answers=SURE)
    file = folder / "wsgi-sepkg.toml"
    file.write_text(file.read_text().replace("/var/lib/notes/media", "/srv/mine"))
    settings = folder / "notes" / "settings.py"
    settings.write_text(settings.read_text().replace("/var/lib/notes/media", "/srv/theirs"))
    _, _, err = run(folder, "--update")
    assert "path.media: kept as it was edited; now found: /srv/theirs" in err
    assert load(folder).description.path.media == "/srv/mine"


def test_an_update_needs_a_description(run, site):
    assert run(site(SETTINGS), "--update", answers=SURE)[0] == 2


EXPORT = """\
boolean -D
boolean -m -1 httpd_can_network_connect
boolean -m -1 httpd_can_network_connect_db
boolean -m -1 httpd_use_nfs
boolean -m -0 httpd_enable_cgi
fcontext -a -f a -t httpd_sys_rw_content_t -r 's0' '/var/lib/notes/media(/.*)?'
fcontext -a -f a -t httpd_sys_rw_content_t -r 's0' '/srv/notes/spool(/.*)?'
fcontext -a -f a -t httpd_sys_content_t -r 's0' '/srv/other(/.*)?'
port -a -t http_port_t -r 's0' -p tcp 8765
"""


def test_what_an_administrator_set_by_hand_becomes_our_words_and_a_page_to_undo_it(
    run, site, tmp_path
):
    database = "DATABASES = {'default': {'ENGINE': 'django.db.backends.mysql', 'HOST': 'db'}}\n"
    folder = site(SETTINGS + database)
    export = tmp_path / "export"
    export.write_text(EXPORT)
    assert run(folder, "--from", str(export), answers=SURE)[0] == 0
    description = load(folder).description
    assert description.path.media == "/var/lib/notes/media"
    assert description.path.data == "/srv/notes/spool"
    assert [(c.to, c.through) for c in description.connect] == [("mysql", "tunable")]
    assert [b.name for b in description.boolean] == ["httpd_use_nfs"]
    text = said_in(folder)
    assert "opens every port: not taken over; connections found instead: mysql" in text
    undo = (folder / "undo.md").read_text()
    commands = undo.partition("```sh\n")[2].partition("```")[0].splitlines()
    assert commands == [
        "setsebool -P httpd_can_network_connect off",
        "setsebool -P httpd_can_network_connect_db off",
        "semanage fcontext -d '/var/lib/notes/media(/.*)?'",
        "semanage fcontext -d '/srv/notes/spool(/.*)?'",
    ]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("httpd_can_sendmail --> on\nhttpd_execmem --> on\nftpd_full_access --> on\n", ["smtp"]),
        ("/srv/notes/x(/.*)?    system_u:object_r:httpd_log_t:s0\n", []),
        (
            "module local 1.0;\nrequire { type httpd_t; }\n"
            "allow httpd_t redis_port_t:tcp_socket name_connect;\n"
            "allow httpd_t self:process execmem;\nallow httpd_t var_t:file { read write };\n",
            ["redis"],
        ),
    ],
)
def test_other_lists_of_a_host(run, site, tmp_path, text, wanted):
    folder = site(SETTINGS)
    file = tmp_path / "list"
    file.write_text(text)
    assert run(folder, "--from", str(file), answers=SURE)[0] == 0
    description = load(folder).description
    assert [c.to for c in description.connect] == wanted
    assert description.allow == []
    assert description.boolean == []
    assert (folder / "undo.md").exists()
    if "log_t" in text:
        assert description.path.log == "/srv/notes/x"
    if "module" in text:
        assert "semodule -X 400 -r local" in (folder / "undo.md").read_text()


def test_an_answer_that_the_description_refuses_is_told_with_the_cure(run, site):
    status, _, err = run(site(SETTINGS), answers=("project.license=whatever you like", *SURE[1:]))
    assert status == 1
    assert "to mend" in err
    assert "project.license" in err


def test_the_label_plan_is_written_as_comments_that_load_once_they_are_none(run, site, tmp_path):
    folder = site(SETTINGS)
    site_packages = folder / "deps" / "lib" / "python3.11" / "site-packages"
    site_packages.mkdir(parents=True)
    (folder / "deps" / "pyvenv.cfg").touch()
    (site_packages / "x.so").write_bytes(elf())
    assert run(folder, "--venv", str(folder / "deps"), answers=SURE)[0] == 0
    file = folder / "wsgi-sepkg.toml"
    text = file.read_text()
    assert "# LABEL PLAN of /usr/share/notes/deps: 0 distributions, 1 library" in text
    assert not load(folder).description.file_context
    head, start, proposal = text.partition("# [[file-context]]")
    file.write_text(head + (start + proposal).replace("# ", ""))
    before = file.read_bytes()
    assert "LABEL PLAN" in run(folder, "--update", "--venv", str(folder / "deps"))[1]
    assert file.read_bytes() == before
    (context,) = load(folder).description.file_context
    assert (context.type, context.file_type) == ("lib_t", "file")
    assert context.pattern.startswith("/usr/share/notes/deps/")


def test_an_environment_in_the_tree_is_found_and_said_to_stay_behind(run, site):
    folder = site(SETTINGS)
    (folder / ".venv").mkdir()
    (folder / ".venv" / "pyvenv.cfg").touch()
    run(folder, answers=SURE)
    assert "packages leave this folder out" in (folder / "wsgi-sepkg.toml").read_text()
    assert run(folder, "--force", "--venv", str(folder / "notes"), answers=SURE)[0] == 2


# -- code that another package installs ------------------------------------------------------------


ELSEWHERE = ("application.shipped=no", *SURE)
QUEUE = "INSTALLED_APPS = ['django_q']\n"


def test_code_of_another_package_gets_policy_alone(run, site):
    folder = site(SETTINGS + QUEUE + "CELERY_BROKER_URL = 'redis://r'\n")
    assert run(folder, answers=ELSEWHERE)[0] == 0
    description = load(folder).description
    assert description.application is None
    assert description.path.media == "/var/lib/notes/media"
    assert [(c.to, c.by) for c in description.connect] == [("redis", "httpd_t")]
    (rule,) = description.allow
    assert (rule.source, rule.target, rule.permissions) == ("httpd_t", "httpd_tmpfs_t", ["map"])
    before = (folder / "wsgi-sepkg.toml").read_bytes()
    assert run(folder, "--update")[1].splitlines()[0] == "nothing is new"
    assert (folder / "wsgi-sepkg.toml").read_bytes() == before


def test_a_service_of_another_package_s_code_ships_units_and_no_code(run, site, tmp_path):
    folder = site(SETTINGS + QUEUE + "STATIC_ROOT = '/srv/notes/static'\n")
    (tmp_path / "uwsgi.ini").write_text(
        "[uwsgi]\nchdir = /usr/share/notes\nplugins = python3\nwsgi-file = notes/wsgi.py\n"
        "uid = www-data\nattach-daemon = python3 manage.py qcluster\n"
    )
    assert run(folder, "--from", str(tmp_path / "uwsgi.ini"), answers=ELSEWHERE)[0] == 0
    description = load(folder).description
    application = description.application
    assert (application.exclude, application.static, application.user) == (
        ["*"],
        "prebuilt",
        "www-data",
    )
    assert {name: p.run for name, p in description.process.items()} == {
        "web": "uwsgi --plugin python3 --module notes.wsgi",
        "qcluster": "manage qcluster",
    }
    assert [p.name for p in description.power] == ["shared-memory"]


def test_the_folder_of_the_code_itself_is_another_package_s(run, site):
    folder = site(SETTINGS)
    assert run(folder, "--root", str(folder), answers=SURE)[0] == 0
    assert load(folder).description.application is None


LABELLED = SETTINGS.replace("/var/lib/notes/media", "/var/lib/mailman3/web")


def test_a_folder_that_the_base_policy_labels_and_that_is_written_gets_its_own_label(run, site):
    folder = site(LABELLED)
    run(folder, answers=("path.media.also-written-by=mailman_queue_t", *SURE))
    description = load(folder).description
    assert description.path.media.path == "/var/lib/mailman3/web"
    assert "mailman_data_t is on other paths too" in description.path.media.override
    assert {(c.interface, *c.arguments) for c in description.call} == {
        (name, "mailman_queue_t", "notes_media_t", "notes_media_t")
        for name in ("manage_dirs_pattern", "mmap_manage_files_pattern")
    }
    run(folder, "--force", answers=("path.media.own-label=no", *SURE))
    assert load(folder).description.path.media == "/var/lib/mailman3/web"


def test_a_port_that_gets_a_label_is_given_back_to_those_who_used_it(run, site):
    folder = site(SETTINGS + "MAILMAN_REST_API_URL = 'http://localhost:8001'\n")
    run(folder, answers=("connect.http-8001.also-used-by=mailman_queue_t", *SURE))
    (rule,) = load(folder).description.allow
    assert (rule.source, rule.target) == ("mailman_queue_t", "notes_8001_port_t")
    assert rule.permissions == ["name_bind", "name_connect"]


def test_a_link_out_of_the_folder_is_read_once_its_file_is_named(run, site, tmp_path):
    folder = site(SETTINGS + "from notes.local import *\n")
    there = tmp_path / "etc" / "local.py"
    there.parent.mkdir()
    there.write_text("MEDIA_ROOT = '/srv/notes/media'\n")
    (folder / "notes" / "local.py").symlink_to(there)
    run(folder, answers=SURE)
    assert load(folder).description.path.media == "/var/lib/notes/media"
    assert "name that with --from" in said_in(folder)
    run(folder, "--force", "--from", str(there), answers=SURE)
    description = load(folder).description
    assert description.path.media == "/srv/notes/media"
    assert description.path.config == str(there.parent)


# -- modules of others -----------------------------------------------------------------------------


TE = """\
policy_module(local, 1.0)
require {
    type httpd_t; # not: allow httpd_t shadow_t:file read;
    class file { read write };
}
allow httpd_t httpd_sys_rw_content_t:file {
    write execute
};
allow httpd_t { notes_spool_t }:{ file dir } { append create };
allow httpd_t self:capability sys_ptrace;
allow httpd_t port_t:tcp_socket name_bind;
allow httpd_t ephemeral_port_t:tcp_socket name_connect;
allow init_t var_t:file read;
dontaudit httpd_t shadow_t:file read;
corenet_tcp_connect_redis_port(httpd_t)
corenet_tcp_connect_all_ports(httpd_t)
files_manage_var_files(httpd_t)
"""
FC = """\
/srv/notes/spool(/.*)?  --  gen_context(system_u:object_r:notes_spool_t,s0)
/srv/other(/.*)?        gen_context(system_u:object_r:httpd_log_t, s0)
"""


def test_a_foreign_module_becomes_the_narrowest_that_stands_for_it(run, site, tmp_path):
    """Each rule is answered: by a use, a connection, or the reason why it is not taken over."""
    folder = site(SETTINGS + "FILE_UPLOAD_TEMP_DIR = '/var/www/notes/rw'\n")
    (tmp_path / "local.te").write_text(TE)
    (tmp_path / "local.fc").write_text(FC)
    lists = ("--from", str(tmp_path / "local.te"), "--from", str(tmp_path / "local.fc"))
    assert run(folder, *lists, answers=SURE)[0] == 0
    description = load(folder).description
    assert description.path.log == "/srv/notes/spool"  # the rules only append to its type
    assert [c.to for c in description.connect] == ["redis"]
    assert (description.allow, description.call) == ([], [])
    text = said_in(folder)
    for words in (
        "local.te:6 httpd_t httpd_sys_rw_content_t:file: access by label",
        "local.te:9 httpd_t notes_spool_t:file: replaced by path.log (/srv/notes/spool)",
        "sys_ptrace: goes past the checks of the kernel: not taken over",
        "a [[port]] with bind-by labels that one port alone",
        "ephemeral_port_t: which service is it?",
        "about init_t, which is not this application",
        "corenet_tcp_connect_all_ports: opens every port: not taken over; instead: redis",
        "files_manage_var_files: an interface for a whole domain",
    ):
        assert words in text, words
    assert "shadow_t" not in text
    assert "/srv/other" not in text
    undo = (folder / "undo.md").read_text()
    assert undo.count("semodule -X 400 -r local\n") == 1
    assert "semanage fcontext" not in undo


def test_what_a_rule_granted_and_a_use_does_not_is_said(run, site, tmp_path):
    folder = site(SETTINGS.replace("/var/lib/notes/media", "/var/lib/notes/media"))
    rule = "module local 1.0;\nallow httpd_t var_lib_t:file { write unlink execute relabelto };\n"
    (tmp_path / "local.te").write_text(rule)
    run(folder, "--from", str(tmp_path / "local.te"), answers=SURE)
    text = said_in(folder)
    assert (
        "replaced by path.media (/var/lib/notes/media): what lies there, instead of all that is "
        "var_lib_t on the host; no longer: execute relabelto"
    ) in text


def test_more_rules_than_anybody_reads_end(run, site, tmp_path):
    folder = site(SETTINGS)
    many = " ".join(f"t{n}_t" for n in range(300))
    rule = f"allow {{ {many} }} {{ {many} }}:{{ file dir }} read;\n"
    (tmp_path / "local.te").write_text(f"module local 1.0;\n{rule}")
    assert run(folder, "--from", str(tmp_path / "local.te"), answers=SURE)[0] == 0
