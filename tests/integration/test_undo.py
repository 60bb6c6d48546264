"""The commands of undo.md, run as they stand on a copy of this host's module store."""

from __future__ import annotations

import bz2
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from wsgi_sepkg import cli

STORE = Path("/var/lib/selinux/default")
TOOLS = ("semanage", "setsebool", "semodule", "unshare", "mount")
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        bool(os.geteuid())
        or not (STORE / "active").is_dir()
        or not all(shutil.which(tool, path=PATH) for tool in TOOLS),
        reason="not root, or no module store with its tools",
    ),
]

CIL = b"""\
(typeattributeset cil_gen_require httpd_t)
(typeattributeset cil_gen_require redis_port_t)
(allow httpd_t redis_port_t (tcp_socket (name_connect)))
"""
TE = "module local 1.0;\nallow httpd_t redis_port_t:tcp_socket name_connect;\n"
CONTEXTS = """\
/var/lib/notes/media(/.*)?    system_u:object_r:httpd_sys_rw_content_t:s0
/srv/other(/.*)?    system_u:object_r:httpd_sys_content_t:s0
"""


class Host:
    """A host whose /etc/selinux and /var/lib/selinux are copies, seen by its commands alone."""

    def __init__(self, folder: Path) -> None:
        self.etc, self.var = folder / "etc", folder / "var"
        shutil.copytree("/etc/selinux", self.etc, symlinks=True)
        shutil.copytree("/var/lib/selinux", self.var, symlinks=True)
        self.active = self.var / STORE.name / "active"

    def run(self, script: str) -> str:
        """Run a script in it and return what it printed. Raises CalledProcessError."""
        mounts = (
            f"mount --bind '{self.etc}' /etc/selinux\nmount --bind '{self.var}' /var/lib/selinux\n"
        )
        done = subprocess.run(
            ["unshare", "-m", "bash", "-e"],
            input=mounts + script,
            text=True,
            stdout=subprocess.PIPE,
            env={**os.environ, "PATH": PATH},
            timeout=900,
            check=True,
        )
        return done.stdout

    def exported(self) -> list[str]:
        """Return what semanage exports of local changes."""
        lines = self.run("semanage export\n").splitlines()
        return [line for line in lines if not line.endswith(" -D") and "module -d" not in line]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host on which an administrator set three things for notes, and one for somebody else."""
    made = Host(tmp_path / "host")
    (made.active / "booleans.local").write_text("httpd_can_network_connect=1\n")
    (made.active / "file_contexts.local").write_text(CONTEXTS)
    module = made.active / "modules" / "400" / "local"
    module.mkdir(parents=True)
    (module / "lang_ext").write_text("cil")
    for name in ("cil", "hll"):
        (module / name).write_bytes(bz2.compress(CIL))
    return made


def test_the_page_s_commands_take_back_what_was_set_by_hand_and_nothing_else(
    host: Host, tmp_path: Path
) -> None:
    folder = tmp_path / "notes"
    (folder / "notes").mkdir(parents=True)
    entry = "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'notes.settings')\n"
    (folder / "manage.py").write_text(entry)
    (folder / "notes" / "wsgi.py").write_text(f"{entry}application = None\n")
    (folder / "notes" / "settings.py").write_text("MEDIA_ROOT = '/var/lib/notes/media'\n")
    before = host.exported()
    assert len(before) == 3, before
    (tmp_path / "export").write_text("\n".join(before) + "\n")
    (tmp_path / "local.te").write_text(TE)
    words = ["init", str(folder), "--no-input", "-a", "project.license=MIT"]
    words += ["-a", "project.maintainer=Example Ltd <packages@example.org>"]
    words += ["--from", str(tmp_path / "export"), "--from", str(tmp_path / "local.te")]
    made = CliRunner().invoke(cli.app, words)
    assert made.exit_code == 0, made.output
    page = (folder / "undo.md").read_text()
    commands = page.partition("```sh\n")[2].partition("```")[0]
    assert len(commands.splitlines()) == 3
    host.run(commands)
    after = host.exported()
    assert not (host.active / "modules" / "400" / "local").exists()
    assert after == [
        "boolean -m -0 httpd_can_network_connect",
        "fcontext -a -f a -t httpd_sys_content_t -r 's0' '/srv/other(/.*)?'",
    ]
