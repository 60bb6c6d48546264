"""What the names in a denial tell: whose a type is, which program asked."""

from __future__ import annotations

import re

from wsgi_sepkg.denials.model import Denial

_STATE_ENDINGS = re.compile(
    r"_(var_lib|var_run|var_log|runtime|log|db|spool|cache|data|var|lock|tmp|tmpfs|etc|conf|config"
    r"|etc_rw|conf_rw|exec|unit_file|initrc_exec|port|home|keytab|content|rw_content)?_?t$"
)
GENERIC_STEMS = frozenset({"", "user", "system", "var", "admin", "staff", "sysadm", "etc", "usr"})


def stem(type_: str) -> str:
    """Return the program that a type is named after: ``cinder`` of ``cinder_var_lib_t``."""
    found = _STATE_ENDINGS.sub("", type_)
    return found if found != type_ else type_.removesuffix("_t")


def related(one: str, other: str) -> bool:
    """Tell whether one name begins the other: memcache and memcached."""
    return one.startswith(other) or other.startswith(one)


def program_of(denial: Denial) -> str:
    """Return the name of the program: of its script where that is known, else the kernel's."""
    for word in denial.command[:2]:
        last = word.rpartition("/")[2]
        if last.endswith(".py"):
            return last
    return denial.comm or denial.exe.rpartition("/")[2]
