"""Entry points, units and snippets of an application in domains of its own.

What the programs do is tried by running them. A file stands in for the kernel's
/proc/thread-self/attr/current; the kernel itself is asked in tests/vm.
"""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import msgspec
import pytest

from wsgi_sepkg import targets
from wsgi_sepkg.package import plan as planning
from wsgi_sepkg.package import services
from wsgi_sepkg.policy.derive import derive
from wsgi_sepkg.project.schema import Description
from wsgi_sepkg.project.validate import validate

WEB = {"kind": "web", "run": "gunicorn shop.wsgi --workers 2"}
JOBS = {"kind": "worker", "run": "celery -A shop worker"}
CLEAR = {"kind": "timer", "run": "manage clearsessions", "schedule": "daily"}


def described(process=None, path=None, connect=(), **application):
    raw = {
        "project": {
            "name": "shop",
            "version": "1",
            "summary": "A 100% shop",
            "license": "MIT",
            "maintainer": "A <a@b.example>",
        },
        "changelog": [{"date": "2026-11-20", "text": "x"}],
        "application": {
            "root": "/usr/share/shop",
            "wsgi": "shop.wsgi:application",
            "settings": "shop.settings",
            "confinement": "service",
            "static": "none",
        }
        | application,
        "path": path or {"data": "/var/lib/shop/db"},
        "process": process or {},
        "connect": list(connect),
    }
    return msgspec.convert(raw, Description)


def planned(description, target="debian-12"):
    base = targets.load(target)
    return planning.plan(description, derive(description, base), base)


def rendered(description, target="debian-12"):
    return services.files(description, planned(description, target), targets.load(target))


def settings_of(unit):
    found = {}
    for line in unit.splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


@pytest.fixture
def application(tmp_path):
    """An application beside a stand-in of gunicorn that only says that it was started."""
    for name, text in {
        "gunicorn/__init__.py": "",
        "gunicorn/app/__init__.py": "",
        "gunicorn/app/wsgiapp.py": (
            "import os, sys\n"
            "def run():\n"
            "    print('started', sys.argv, os.environ['DJANGO_SETTINGS_MODULE'],\n"
            "          os.environ.get('SHOP_KEY'))\n"
        ),
        "shop/__init__.py": "",
        "shop/wsgi.py": "application = 'imported'\n",
        "key": "# made once\nSHOP_KEY=a=b\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def in_place(text, folder, context=None):
    """Return a program that looks into ``folder`` for the application and for its context."""
    text = text.replace("'/usr/share/shop'", ascii(str(folder)))
    text = text.replace("'/etc/shop/key'", ascii(str(folder / "key")))
    if context is not None:
        (folder / "current").write_bytes(context)
        text = text.replace("/proc/thread-self/attr/current", str(folder / "current"))
    return text.replace("/sys/fs/selinux/enforce", str(folder / "enforce"))


def run(folder, text, **more):
    program = folder / "shop-web"
    program.write_text(text)
    return subprocess.run(
        [sys.executable, "-I", program], capture_output=True, text=True, check=False, **more
    )


def entry(application_folder, context, **said):
    path = {
        "data": "/var/lib/shop/db",
        "secret": {"path": "/etc/shop/key", "variable": "SHOP_KEY"},
    }
    text = rendered(described({"web": WEB}, path, **said))["shop-web"]
    return run(application_folder, in_place(text, application_folder, context))


# -- the entry point of a service ----------------------------------------------------------------


def test_the_entry_point_starts_the_program_in_its_domain(application):
    done = entry(application, b"system_u:system_r:shop_t:s0\0")
    assert (done.returncode, done.stderr) == (0, "")
    words = ["--bind", "unix:/run/shop/shop.sock", "shop.wsgi", "--workers", "2"]
    assert done.stdout.strip() == f"started {['gunicorn', *words]} shop.settings a=b"


@pytest.mark.parametrize(
    ("context", "domain"),
    [
        (b"system_u:system_r:init_t:s0\0", "init_t"),
        (b"system_u:system_r:unconfined_service_t:s0\0", "unconfined_service_t"),
        (b"system_u:system_r:initrc_t:s0-s0:c0.c1023\0", "initrc_t"),
        (b"system_u:system_r:shop_t_not:s0\0", "shop_t_not"),
        (b"system_u:object_r:unlabeled_t:s0\0", "unlabeled_t"),
    ],
)
def test_the_entry_point_starts_nothing_in_another_domain(application, context, domain):
    done = entry(application, context)
    assert (done.returncode, done.stdout) == (78, "")
    assert f"shop-web: not started: it runs in {domain}, not in shop_t" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("context", [b"unconfined\n", b"kernel\0", b""])
def test_without_selinux_it_runs_and_says_so(application, context):
    done = entry(application, context)
    assert done.returncode == 0
    assert done.stdout.startswith("started")
    assert "warning: SELinux is off" in done.stderr


def test_without_selinux_it_refuses_where_the_description_wants_that(application):
    done = entry(application, b"unconfined\n", **{"without-selinux": "refuse"})
    assert (done.returncode, done.stdout) == (78, "")
    assert "runs without SELinux, not in shop_t" in done.stderr


def test_a_context_that_cannot_be_read_beside_a_mounted_selinuxfs_is_a_wrong_one(application):
    (application / "enforce").write_text("1")
    done = entry(application, b"")
    assert (done.returncode, done.stdout) == (78, "")
    assert "runs in an unknown domain" in done.stderr


def test_the_interpreter_of_an_entry_point_is_isolated():
    for name, text in rendered(described({"web": WEB, "jobs": JOBS, "clear": CLEAR})).items():
        if name in ("shop-web", "shop-jobs", "shop-clear", "shop-manage"):
            assert text.startswith("#!/usr/bin/python3 -I\n"), name


def test_only_the_command_of_the_administrator_takes_words(application):
    found = rendered(described({"web": WEB, "clear": CLEAR}))
    assert "*sys.argv[1:]" in found["shop-manage"]
    assert "*sys.argv[1:]" not in found["shop-clear"]
    assert "ARGUMENTS = ('clearsessions',)" in found["shop-clear"]


def test_a_compiled_program_takes_the_place_of_the_entry_point():
    text = rendered(described({"web": {"kind": "web", "run": "uwsgi --module shop.wsgi"}}))
    assert "os.execv(PROGRAM, [PROGRAM, *ARGUMENTS])" in text["shop-web"]
    assert "PROGRAM = '/usr/bin/uwsgi'" in text["shop-web"]
    assert 'os.environ["PYTHONNOUSERSITE"] = "1"' in text["shop-web"]


def test_words_of_the_description_stay_words(application):
    evil = {"kind": "web", "run": ["gunicorn", "'\"; import os #\\", "%h$(id)"]}
    text = rendered(described({"web": evil}))["shop-web"]
    done = run(application, in_place(text, application, b"u:r:shop_t:s0"))
    assert str(["'\"; import os #\\", "%h$(id)"])[1:-1] in done.stdout


# -- the process of mod_wsgi ---------------------------------------------------------------------


def enter(folder, context, group="shop", threads=1, module=True):
    """Run the entering script, with a stand-in of mod_wsgi's module; it must come to its end."""
    text = in_place(
        rendered(described(confinement="daemon"))["shop-enter.py"], folder, context
    ).replace("/proc/self/task", str(folder / "task"))
    for number in range(threads):
        (folder / "task" / str(number)).mkdir(parents=True, exist_ok=True)
    if module:
        (folder / "mod_wsgi.py").write_text(f"process_group = {group!r}\n")
    head = f"import sys; sys.path.insert(0, {str(folder)!r})\n"
    return run(folder, head + text + "\nprint('goes on')\n")


def test_a_process_with_one_thread_enters_its_domain(application):
    done = enter(application, b"system_u:system_r:httpd_t:s0-s0:c1\0")
    assert (done.returncode, done.stdout, done.stderr) == (0, "goes on\n", "")
    written = (application / "current").read_bytes()
    assert written.startswith(b"system_u:system_r:shop_wsgi_t:s0-s0:c1")


def test_a_process_with_threads_ends(application):
    done = enter(application, b"system_u:system_r:httpd_t:s0\0", threads=3)
    assert (done.returncode, done.stdout) == (1, "")
    assert "ends: it has 3 threads already" in done.stderr


@pytest.mark.parametrize("said", [{"group": ""}, {"group": "other"}, {"module": False}])
def test_what_is_no_daemon_process_of_the_group_ends(application, said):
    done = enter(application, b"system_u:system_r:httpd_t:s0\0", **said)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no daemon process of the group shop" in done.stderr


def test_a_process_that_the_kernel_does_not_move_ends(application):
    text = in_place(
        rendered(described(confinement="daemon"))["shop-enter.py"],
        application,
        b"system_u:system_r:httpd_t:s0\0",
    )
    (application / "mod_wsgi.py").write_text("process_group = 'shop'\n")
    # A kernel that takes what is written and does nothing.
    text = text.replace("os.write(file,", "(lambda *said: None)(file,")
    head = f"import sys; sys.path.insert(0, {str(application)!r})\n"
    done = run(application, head + text + "\nprint('goes on')\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert "ends: it is in httpd_t, not in shop_wsgi_t" in done.stderr


def test_an_unknown_type_ends_the_process(application):
    (application / "mod_wsgi.py").write_text("process_group = 'shop'\n")
    text = in_place(
        rendered(described(confinement="daemon"))["shop-enter.py"],
        application,
        b"system_u:system_r:httpd_t:s0\0",
    )
    text = text.replace("os.write(file,", "(lambda *said: 1/0)(file,")
    head = f"import sys; sys.path.insert(0, {str(application)!r})\n"
    done = run(application, head + text + "\nprint('goes on')\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert "it cannot enter shop_wsgi_t" in done.stderr


def load_wsgi(folder, context, **said):
    text = in_place(
        rendered(described(confinement="daemon", **said))["shop-wsgi.py"], folder, context
    )
    module = types.ModuleType("entry")
    exec(compile(text, "shop-wsgi.py", "exec"), module.__dict__)
    return module


@pytest.fixture
def _clean(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "x")
    yield
    for name in ("shop", "shop.wsgi"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("_clean")
def test_the_wsgi_entry_imports_the_application_in_its_domain(application):
    module = load_wsgi(application, b"system_u:system_r:shop_wsgi_t:s0\0")
    assert module.application == "imported"


@pytest.mark.usefixtures("_clean")
def test_the_wsgi_entry_does_not_import_the_application_elsewhere(application):
    with pytest.raises(RuntimeError, match="is in httpd_t, not in shop_wsgi_t"):
        load_wsgi(application, b"system_u:system_r:httpd_t:s0\0")
    assert "shop.wsgi" not in sys.modules


@pytest.mark.usefixtures("_clean")
def test_the_wsgi_entry_refuses_without_selinux_where_that_is_said(application):
    with pytest.raises(RuntimeError, match="is in no domain"):
        load_wsgi(application, b"unconfined\n", **{"without-selinux": "refuse"})
    assert load_wsgi(application, b"unconfined\n").application == "imported"


# -- units ---------------------------------------------------------------------------------------


def test_the_unit_of_the_web_agrees_with_the_policy():
    unit = settings_of(rendered(described({"web": WEB}))["shop.service"])
    assert unit["Type"] == ["notify"]
    assert unit["ExecStart"] == ["/usr/libexec/shop/shop-web"]
    assert unit["SELinuxContext"] == ["system_u:system_r:shop_t:s0"]
    assert (unit["User"], unit["Group"], unit["SupplementaryGroups"]) == (
        ["shop"],
        ["www-data"],
        ["shop"],
    )
    assert unit["RuntimeDirectory"] == ["shop"]
    assert unit["NoNewPrivileges"] == unit["PrivateTmp"] == ["yes"]
    assert unit["ProtectSystem"] == ["strict"]
    assert unit["ReadWritePaths"] == ["-/var/lib/shop/db"]
    assert unit["Description"] == ["A 100%% shop (web)"]
    assert "MemoryDenyWriteExecute" not in unit


def test_address_families_follow_the_connections():
    plain = settings_of(rendered(described({"web": WEB}))["shop.service"])
    assert plain["RestrictAddressFamilies"] == ["AF_UNIX"]
    to = {"to": "postgresql", "reason": "orders"}
    wide = settings_of(rendered(described({"web": WEB}, connect=[to]))["shop.service"])
    assert "AF_INET" in wide["RestrictAddressFamilies"][0].split()


def test_a_worker_keeps_its_own_group():
    unit = settings_of(rendered(described({"web": WEB, "jobs": JOBS}))["shop-jobs.service"])
    assert (unit["Type"], unit["Group"]) == (["exec"], ["shop"])
    assert unit["RuntimeDirectory"] == ["shop-jobs"]
    assert unit["WantedBy"] == ["multi-user.target"]


def test_a_timer_starts_its_command():
    found = rendered(described({"web": WEB, "clear": CLEAR}))
    assert settings_of(found["shop-clear.timer"])["OnCalendar"] == ["daily"]
    service = settings_of(found["shop-clear.service"])
    assert service["Type"] == ["oneshot"]
    assert service["SELinuxContext"] == ["system_u:system_r:shop_manage_t:s0"]
    assert "WantedBy" not in service
    assert "RuntimeDirectory" not in service


def test_a_socket_of_systemd_outlives_the_service():
    found = rendered(described({"web": WEB | {"socket-activation": True}}))
    socket = settings_of(found["shop.socket"])
    assert socket["ListenStream"] == ["/run/shop/shop.sock"]
    assert (socket["SocketGroup"], socket["SocketMode"]) == (["www-data"], ["0660"])
    assert settings_of(found["shop.service"])["RuntimeDirectoryPreserve"] == ["yes"]


def test_values_of_the_environment_are_quoted():
    web = WEB | {"environment": {"GREETING": 'a "b" \\ 100% $HOME'}}
    unit = settings_of(rendered(described({"web": web}))["shop.service"])
    assert r'"GREETING=a \"b\" \\ 100%% $HOME"' in unit["Environment"]


def test_migrations_run_in_the_domain_of_management_commands():
    unit = settings_of(rendered(described({"web": WEB}, migrate="unit"))["shop-migrate.service"])
    assert unit["ExecStart"] == ["/usr/libexec/shop/shop-manage migrate --noinput"]
    assert unit["SELinuxContext"] == ["system_u:system_r:shop_manage_t:s0"]


def test_the_command_leaves_root_before_it_enters_the_domain():
    text = rendered(described({"web": WEB}))["shop-manage.sh"]
    assert 'exec runuser -u shop -- /usr/libexec/shop/shop-manage "$@"' in text


def test_shared_confinement_brings_none_of_it():
    assert rendered(described(confinement="shared")) == {}


# -- the packages --------------------------------------------------------------------------------


def test_what_is_started_belongs_to_root_alone():
    description = described({"web": WEB, "jobs": JOBS, "clear": CLEAR})
    app = planned(description).application
    files = {entry.path: entry.directives for entry in app.files}
    for name in ("web", "jobs", "clear", "manage"):
        assert files[f"/usr/libexec/shop/shop-{name}"] == ""
    assert files["/usr/libexec/shop"] == "%dir"
    assert files["/usr/bin/shop-manage"] == ""
    modes = {item.path: item.mode for item in app.installed}
    assert modes["/usr/libexec/shop/shop-web"] == "0755"


def test_units_are_enabled_and_restarted_by_what_they_are():
    description = described(
        {"web": WEB, "jobs": JOBS | {"enable": False}, "clear": CLEAR}, migrate="unit"
    )
    app = planned(description).application
    assert sorted(app.enabled_units) == ["shop-clear.timer", "shop.service"]
    assert sorted(app.restarted_units) == ["shop-clear.timer", "shop-jobs.service", "shop.service"]
    assert "shop-migrate.service" in app.units


def test_the_account_is_made_and_the_web_server_reads_media_through_its_group():
    app = planned(
        described({"web": WEB}, {"media": "/var/lib/shop/media", "data": "/var/lib/shop/db"})
    ).application
    assert app.accounts == ("shop",)
    folders = {f.path: (f.mode, f.owner, f.group) for f in app.folders}
    assert folders["/var/lib/shop/media"] == ("2750", "shop", "www-data")
    assert folders["/var/lib/shop/db"] == ("0750", "shop", "shop")


def test_mod_wsgi_is_required_by_the_daemon_only():
    assert "python3-mod_wsgi" not in planned(described({"web": WEB})).application.requires
    daemon = planned(described(confinement="daemon")).application
    assert "python3-mod_wsgi" in daemon.requires
    assert daemon.accounts == ()


def test_nginx_needs_no_upstream_for_a_service(tmp_path):
    def keys(**said):
        description = described({"web": WEB}, server="nginx", **said)
        return [p.key for p in validate(description, targets.load("el9"), tmp_path)]

    assert "application.upstream" not in keys()
    assert "application.upstream" in keys(upstream="127.0.0.1:8000")


def test_the_lock_of_several_processes_is_no_object_of_the_web_server():
    """Else the daemon processes end: they cannot acquire the accept mutex."""
    golden = Path(__file__).parents[1] / "data" / "golden"
    for family in ("fedora", "refpolicy"):
        text = (golden / f"guestbook-daemon-{family}/packaging/guestbook.conf").read_text()
        assert "\nWSGIAcceptMutex pthread\n" in text
        assert text.index("WSGIImportScript") < text.index("WSGIScriptAlias")
        assert "selinux-context" not in text
