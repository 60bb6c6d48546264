"""What the tests of an application with domains of its own share."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from vm_tools import EXAMPLE, build_example

from wsgi_sepkg.machine.boot import Outcome
from wsgi_sepkg.machine.trial import refusals

HERE = Path(__file__).parent
WORKS = {"list": 200, "static": 200, "sign": 200, "photo": 200, "media": 200}

# misdeed: (type of the object, class, permission) of the denial; "self" is the process's domain.
# A type of None: the base policy hides this denial (dontaudit), so that the error alone is asked.
MISDEEDS = {
    "shadow": ("shadow_t", "file", "read"),
    "server-configuration": ("httpd_config_t", "dir", "search"),
    "other-data": ("mailman_data_t", "dir", "search"),
    "other-page": ("httpd_sys_content_t", "dir", "search"),
    "tls-key": ("tls_privkey_t", "dir", "search"),
    "own-code": ("guestbook_content_t", "file", "append"),
    "own-entry": ("guestbook_manage_exec_t", "file", "append"),
    "own-configuration": ("guestbook_config_t", "file", "append"),
    "own-log-unlink": ("guestbook_log_t", "dir", "remove_name"),
    "own-log-truncate": ("guestbook_log_t", "file", "write"),
    "unit": (None, "file", "append"),
    "sh": ("shell_exec_t", "file", "execute"),
    "python3": ("bin_t", "file", "execute_no_trans"),
    "env": ("bin_t", "file", "execute_no_trans"),
    "uploaded": ("guestbook_media_t", "file", "execute"),
    "connect": ("unreserved_port_t", "tcp_socket", "name_connect"),
    "connect-mail": ("smtp_port_t", "tcp_socket", "name_connect"),
    "bind": ("unreserved_port_t", "tcp_socket", "name_bind"),
    "sibling": ("self", "process", "ptrace"),
    "setenforce": (None, "file", "write"),
    "httpd-domain": ("self", "process", "setcurrent"),
    "unconfined-domain": ("self", "process", "setcurrent"),
    "writable-code": ("self", "process", "execmem"),
}


def example(
    folder: Path,
    description: str,
    *settings: str,
    more: str = "",
    pages: Mapping[str, str] = MappingProxyType({"misdeeds": "misdeeds/"}),
) -> tuple[Path, ...]:
    """Return the packages of the example by ``description``, with pages of tests/vm/misdeeds."""
    source = folder / "guestbook"
    shutil.copytree(EXAMPLE, source)
    urls = source / "guestbook" / "urls.py"
    text = urls.read_text(encoding="utf-8")
    for module, url in pages.items():
        shutil.copy(HERE / "misdeeds" / f"{module}.py", source / "guestbook")
        line = f'urlpatterns = [\n    path("{url}", {module}.page),'
        text = text.replace("urlpatterns = [", line, 1)
        text = f"from guestbook import {module}\n{text}"
    urls.write_text(text, encoding="utf-8")
    toml = source / description
    toml.write_text(toml.read_text(encoding="utf-8") + more, encoding="utf-8")
    return build_example(folder / "made", toml, *settings)


def threads(life: Outcome, step: str) -> list[tuple[str, str, str]]:
    """Return (domain, account, command line) of each thread that was seen in a step."""
    found = []
    for line in life.text(f"{step}.threads").splitlines():
        label, user, _, _, _, command = line.split(None, 5)
        found.append((label.split(":")[2], user, " ".join(command.split())))
    return found


def denied(life: Outcome, step: str) -> set[tuple[str, str, str, str]]:
    """Return what was denied in a step to or for the application and the web server."""
    return {
        (item.source, item.target, item.tclass, permission)
        for item in refusals(life.text(f"{step}.avc"))
        for permission in item.permissions
        if item.source.startswith(("guestbook_", "album_", "httpd_t"))
        or item.target.startswith("guestbook_")
    }


def unpunished(life: Outcome, domain: str) -> dict[str, str]:
    """Return the misdeeds that were not refused, or not in the audit log, and what was seen."""
    tried = json.loads(life.text("misdeeds.json"))
    assert tried.pop("context").split(":")[2] == domain
    assert set(tried) == set(MISDEEDS)
    log = denied(life, "misdeeds")
    found = {}
    for name, (target, class_, permission) in MISDEEDS.items():
        # mod_wsgi's process does not even map the interpreter.
        mapped = not domain.endswith("_wsgi_t")
        asked = permission if mapped else permission.removesuffix("_no_trans")
        wanted = (domain, domain if target == "self" else target, class_, asked)
        if not tried[name].startswith("PermissionError"):
            found[name] = tried[name]
        elif target is not None and wanted not in log:
            found[name] = f"refused, but the log has no {wanted}"
    return found
