"""Where templates, spec templates and mock roots are: beside src/, or in the wheel."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


@cache
def folder(name: str) -> Path:
    """Return the folder ``templates``, ``specs`` or ``mock-configs``.

    Raises FileNotFoundError when the installation is incomplete.
    """
    for base in (_PACKAGE / "_data", _PACKAGE.parent.parent):
        if (base / name).is_dir():
            return base / name
    raise FileNotFoundError(f"the installation lacks its folder {name!r}: reinstall wsgi-sepkg")


def cache_folder(name: str = "") -> str:
    """Return a folder of this user for what can be made again, '' where there is none.

    ``name`` is a folder in it, for things of one kind.

    It is the XDG cache folder; one that others may write is not used, since code is read from it.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    home = os.environ.get("HOME", "")
    if not base.startswith("/"):
        base = f"{home}/.cache" if home.startswith("/") else ""
    if not base:
        return ""
    folder = f"{base}/wsgi-sepkg"
    for made in (folder, f"{folder}/{name}") if name else (folder,):
        try:
            os.makedirs(made, mode=0o700, exist_ok=True)  # noqa: PTH103 - no pathlib on the way to a start
            status = os.stat(made)  # noqa: PTH116
        except OSError:
            return ""
        if status.st_uid != os.getuid() or status.st_mode & 0o022:
            return ""
    return made
