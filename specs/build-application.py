"""Build steps of a packaged Django application, run by its spec: Python 3.6 or later, no network.

collect TREE SETTINGS OUT   collect the static files of the project in TREE into OUT
compile TREE PREFIX         byte-compile TREE, reproducibly, as if it lay in PREFIX; its programs
                            begin with the interpreter that runs this
"""

import os
import py_compile
import re
import sys


def collect(tree, settings_module, out):
    """Run collectstatic with its own destination; no log file, no database, no cache is opened."""
    sys.path.insert(0, tree)
    sys.dont_write_bytecode = True
    os.environ["DJANGO_SETTINGS_MODULE"] = settings_module
    import django
    from django.conf import settings
    from django.core.management import call_command

    settings.STATIC_ROOT = out
    settings.LOGGING_CONFIG = None
    django.setup()
    call_command("collectstatic", interactive=False, verbosity=1)


def files_of(tree):
    """Yield every file below ``tree``, in order."""
    for folder, folders, files in os.walk(tree):
        folders.sort()
        for name in sorted(files):
            yield os.path.join(folder, name)


def name_interpreter(tree):
    """Make "#!/usr/bin/env python3" name the target's own Python: PATH must not choose it."""
    begin = ("#!" + sys.executable).encode()
    for path in files_of(tree):
        if os.path.islink(path) or not os.stat(path).st_mode & 0o111:
            continue
        with open(path, "rb") as stream:
            text = stream.read()
        named = re.sub(rb"\A#! ?/usr/bin/env python[0-9.]*(?=\s)", lambda _: begin, text)
        if named != text:
            with open(path, "wb") as stream:
                stream.write(named)


def byte_compile(tree, prefix):
    """Write .pyc files that name the final path and are checked by the hash of their source."""
    mode = getattr(py_compile, "PycInvalidationMode", None)
    options = {"invalidation_mode": mode.CHECKED_HASH} if mode else {}
    failed = 0
    for path in files_of(tree):
        if not path.endswith(".py"):
            continue
        shown = os.path.join(prefix, os.path.relpath(path, tree))
        try:
            py_compile.compile(path, dfile=shown, doraise=True, **options)
        except py_compile.PyCompileError as exc:
            print(exc.msg, file=sys.stderr)
            failed = 1
    return failed


def main(arguments):
    """Run the step that is named first; return the exit status."""
    if arguments[:1] == ["collect"] and len(arguments) == 4:
        collect(*arguments[1:])
        return 0
    if arguments[:1] == ["compile"] and len(arguments) == 3:
        name_interpreter(arguments[1])
        return byte_compile(*arguments[1:])
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
