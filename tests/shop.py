"""A shop: the smallest Django project that packages are made of in the tests."""

from __future__ import annotations

from pathlib import Path

PROJECT = """
[project]
name = "shop"
version = "{version}"
summary = "A shop"
license = "MIT"
maintainer = "Example Ltd <packages@example.org>"
targets = ["el9", "debian-12"]
{project}
[[changelog]]
date = 2026-11-20
text = "{version}"
"""
APPLICATION = """
[application]
root = "/usr/share/shop"
wsgi = "shop.wsgi:application"
settings = "shop.settings"
static = "none"
{application}
"""
PATHS = """
[path]
data = "/var/lib/shop"
"""
PORT = """
[[port]]
number = 24680
type = "shop_port_t"
reason = "where the stock is asked for"
"""


def boolean(name: str, value: bool = True, when: str = "first-install") -> str:
    """Return the [[boolean]] of a description."""
    return (
        f'[[boolean]]\nname = "{name}"\nvalue = {str(value).lower()}\nset = "{when}"\n'
        'reason = "the shop asks its stock"\n'
    )


def description(
    rest: str = "",
    version: str = "1.0",
    project: str = "",
    application: str | None = "",
    paths: str = PATHS,
) -> str:
    """Return a description of the shop; ``application`` None makes it a policy alone."""
    app = "" if application is None else APPLICATION.format(application=application)
    return PROJECT.format(version=version, project=project) + app + paths + rest


def source(folder: Path, text: str) -> Path:
    """Write the shop, a Django project of the smallest kind, into ``folder``."""
    files = {
        "manage.py": "#!/usr/bin/env python3\nimport django\n",
        "shop/__init__.py": "",
        "shop/wsgi.py": "application = print\n",
        "shop/settings.py": "DEBUG = False\n",
        "etc/shop.conf": "colour = red\n",
        "etc/shop-worker.service": "[Service]\nExecStart=/usr/bin/true\n",
        "wsgi-sepkg.toml": text,
    }
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    (folder / "manage.py").chmod(0o755)
    return folder
