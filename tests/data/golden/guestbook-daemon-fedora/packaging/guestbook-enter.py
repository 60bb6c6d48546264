"""Moves a daemon process of mod_wsgi into guestbook_wsgi_t, written by wsgi-sepkg.

mod_wsgi runs this file (WSGIImportScript) in the new process before it makes a thread. The kernel
moves a whole process only then. It swallows what is raised here and would go on in the web
server's domain: so a process that cannot be moved ends.
"""

import os
import sys

DOMAIN = "guestbook_wsgi_t"
GROUP = 'guestbook'
WITHOUT_SELINUX = "run"


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


def say(text):
    """Write a line into the error log of the web server."""
    sys.stderr.write(f"{GROUP}: {text}\n")
    sys.stderr.flush()


def end(why):
    """End this process: nothing is ever answered by it."""
    say(f"process {os.getpid()} ends: {why}")
    os._exit(1)


def enter():
    """Move the process, and look whether it has moved."""
    try:
        import mod_wsgi

        group = mod_wsgi.process_group
    except (ImportError, AttributeError):
        group = ""
    if group != GROUP:
        end(f"this is no daemon process of the group {GROUP}, but {group or 'the server itself'}")
    found = domain()
    if found == DOMAIN:
        return
    if not found:
        if WITHOUT_SELINUX == "run":
            say("warning: SELinux is off, the application is not confined")
            return
        end("SELinux is off, and the application must not run without it")
    threads = len(os.listdir("/proc/self/task"))
    if threads != 1:
        end(f"it has {threads} threads already, of which only one could enter {DOMAIN}")
    try:
        with open("/proc/thread-self/attr/current", "rb") as file:
            context = file.read().decode("ascii").strip("\0\n ").split(":")
        context[2] = DOMAIN
        file = os.open("/proc/thread-self/attr/current", os.O_WRONLY)
        os.write(file, ":".join(context).encode("ascii"))
        os.close(file)
    except Exception as exc:
        end(f"it cannot enter {DOMAIN} ({exc}). Is the policy module active (semodule -l)?")
    if domain() != DOMAIN:
        end(f"it is in {domain()}, not in {DOMAIN}")


try:
    enter()
except BaseException as exc:
    end(repr(exc))
