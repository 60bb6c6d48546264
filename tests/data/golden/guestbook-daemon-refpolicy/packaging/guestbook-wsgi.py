"""WSGI entry of guestbook, written by wsgi-sepkg: the application is imported in its domain only."""

import os
import sys

DOMAIN = "guestbook_wsgi_t"
WITHOUT_SELINUX = "run"
ROOT = '/usr/share/guestbook'
SETTINGS = 'guestbook.settings'
SECRETS = ()


def domain():
    """Return the SELinux domain of this thread, '' where the kernel has no SELinux."""
    try:
        with open("/proc/thread-self/attr/current", "rb") as file:
            context = file.read().decode("ascii", "replace").strip("\0\n ")
    except OSError:
        context = ""
    parts = context.split(":")
    if len(parts) > 2:
        return parts[2]
    # AppArmor answers in the same file, and a kernel without a policy says "kernel". Only a missing
    # selinuxfs proves that SELinux is off; "not allowed to look" proves the contrary.
    try:
        os.stat("/sys/fs/selinux/enforce")
    except FileNotFoundError:
        return ""
    except OSError:
        pass
    return context or "an unknown domain"


def read_secrets():
    """Put NAME=value lines of the secrets into the environment, where it has no such NAME."""
    for path in SECRETS:
        with open(path, encoding="utf-8") as file:
            for line in file:
                name, equals, value = line.strip().partition("=")
                if equals and name and not name.startswith("#"):
                    os.environ.setdefault(name, value)


found = domain()
if found != DOMAIN and (found or WITHOUT_SELINUX != "run"):
    raise RuntimeError(
        f"the application is not imported: this process is in {found or 'no domain'}, not in {DOMAIN}"
    )
read_secrets()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", SETTINGS)
sys.path.insert(0, ROOT)

from guestbook.wsgi import application as application  # noqa: E402,F401
