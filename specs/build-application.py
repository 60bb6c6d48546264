"""Build steps of a packaged Django application, run by its spec: Python 3.6 or later, no network.

collect TREE SETTINGS OUT
    collect the static files of the project in TREE into OUT
compile TREE PREFIX PYTHON
    byte-compile TREE, reproducibly, as if it lay in PREFIX; its programs begin with PYTHON
environment WHEELS REQUIREMENTS TREE PREFIX LICENSES
    make a virtual environment in TREE, as if it lay in PREFIX, of wheels in the folder WHEELS whose
    hashes REQUIREMENTS lists; collect their licences in LICENSES
"""

import base64
import csv
import email.parser
import hashlib
import io
import os
import py_compile
import re
import shutil
import subprocess
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


def name_interpreter(tree, python):
    """Make "#!/usr/bin/env python3" name the target's own Python: PATH must not choose it."""
    begin = ("#!" + python).encode()
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


# -- the virtual environment -----------------------------------------------------------------------

# What pip writes where the path of the interpreter is too long for a "#!" line.
_LONG_START = re.compile(rb"""\A#!/bin/sh\n'''exec' (?P<python>[^\n]*?) "\$0" "\$@"\n' '''\n""")


def environment(wheels, requirements, tree, prefix, licenses):
    """Make the environment, then take out of it all that tells where it was made."""
    import venv

    # The distribution's pip is seen for as long as it works here, by any version of it.
    venv.EnvBuilder(system_site_packages=True, symlinks=True).create(tree)
    python = os.path.join(tree, "bin", "python3")
    variables = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")}
    variables.update(PIP_CONFIG_FILE=os.devnull, PIP_ROOT_USER_ACTION="ignore", LC_ALL="C.UTF-8")
    command = [python, "-I", "-m", "pip", "install", "--no-index", "--find-links", wheels]
    command += ["--require-hashes", "--only-binary=:all:", "--no-deps", "--ignore-installed"]
    command += ["--no-compile", "--no-cache-dir", "--disable-pip-version-check"]
    command += ["--no-warn-script-location", "--requirement", requirements]
    status = subprocess.call(command, env=variables)
    if status:
        print("pip could not install the bundled packages", file=sys.stderr)
        return status
    strip_environment(tree)
    changed = name_environment(tree, prefix)
    for info in infos_of(tree):
        record_again(info, changed)
        collect_licenses(info, licenses)
    # A file that this Python cannot read, as a template of a program, is no fault of the package.
    byte_compile(tree, prefix)
    set_modes(tree)
    return tells_place(tree, (tree, wheels, os.environ.get("RPM_BUILD_ROOT", "")))


def strip_environment(tree):
    """Leave interpreter, packages and programs, closed to the packages of the host."""
    home = os.path.dirname(os.readlink(os.path.join(tree, "bin", interpreter_link(tree))))
    with open(os.path.join(tree, "pyvenv.cfg"), "w") as stream:
        stream.write("home = %s\ninclude-system-site-packages = false\n" % home)
    for name in os.listdir(os.path.join(tree, "bin")):
        if name.lower().startswith("activate"):
            os.unlink(os.path.join(tree, "bin", name))
    shutil.rmtree(os.path.join(tree, "include"), ignore_errors=True)


def interpreter_link(tree):
    """Return the name of the one link that leads to the interpreter of the host."""
    folder = os.path.join(tree, "bin")
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if os.path.islink(path) and os.path.isabs(os.readlink(path)):
            return name
    raise OSError("%s has no link to an interpreter" % folder)


def infos_of(tree):
    """Return the .dist-info folders, in order."""
    found = []
    for folder, folders, _ in os.walk(tree):
        found += [os.path.join(folder, name) for name in folders if name.endswith(".dist-info")]
    return sorted(found)


def name_environment(tree, prefix):
    """Make the programs begin with the interpreter of the final place; return what was changed."""
    changed = set()
    folder = os.path.join(tree, "bin")
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if os.path.islink(path) or not os.path.isfile(path):
            continue
        with open(path, "rb") as stream:
            text = stream.read()
        named = text
        long = _LONG_START.match(text)
        if long:
            named = b"#!" + long.group("python").strip(b'"') + b"\n" + text[long.end() :]
        if named.startswith(b"#!"):
            first, end, rest = named.partition(b"\n")
            named = first.replace(os.fsencode(tree), os.fsencode(prefix)) + end + rest
        if named != text:
            with open(path, "wb") as stream:
                stream.write(named)
            changed.add(os.path.realpath(path))
    return changed


def record_again(info, changed):
    """Write hash and size of changed files into the RECORD of a package (PEP 376, PEP 427)."""
    path = os.path.join(info, "RECORD")
    with open(path, encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    for row in rows:
        place = os.path.realpath(os.path.join(os.path.dirname(info), row[0]))
        if place in changed:
            with open(place, "rb") as stream:
                content = stream.read()
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
            row[1:] = ["sha256=" + digest.decode(), str(len(content))]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(sorted(rows))
    with open(path, "w", encoding="utf-8", newline="") as stream:
        stream.write(text.getvalue())


def collect_licenses(info, licenses):
    """Copy the texts of a package's licences, and write down what its metadata calls them."""
    with open(os.path.join(info, "METADATA"), encoding="utf-8", errors="replace") as stream:
        said = email.parser.HeaderParser().parse(stream)
    out = os.path.join(licenses, os.path.basename(info)[: -len(".dist-info")])
    os.makedirs(out)
    words = [said.get("License-Expression") or ""]
    words += [w for w in said.get_all("Classifier") or () if w.startswith("License ::")]
    # The old field may hold the whole text of a licence.
    words += (said.get("License") or "").strip().splitlines()[:1]
    with open(os.path.join(out, "METADATA.license"), "w", encoding="utf-8") as stream:
        stream.write("".join(w + "\n" for w in words if w))
    listed = [os.path.normpath(name) for name in said.get_all("License-File") or ()]
    pattern = re.compile(r"(licen[cs]e|copying|notice|authors|copyright)", re.I)
    for path in files_of(info):
        inside = os.path.relpath(path, info)
        among = inside.split(os.sep)[0] in ("licenses", "license_files")
        if among or inside in listed or pattern.match(os.path.basename(path)):
            place = os.path.join(out, inside)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            shutil.copyfile(path, place)
            os.chmod(place, 0o644)


def set_modes(tree):
    """Give modes that no umask decides; rpm looks for what libraries need in programs only."""
    for folder, _, _ in os.walk(tree):
        os.chmod(folder, 0o755)
    for path in files_of(tree):
        if os.path.islink(path):
            continue
        with open(path, "rb") as stream:
            start = stream.read(4)
        program = start == b"\x7fELF" or (start[:2] == b"#!" and os.stat(path).st_mode & 0o100)
        os.chmod(path, 0o755 if program else 0o644)


def tells_place(tree, places):
    """Return 1, naming the files, when one holds a path of the build."""
    found = 0
    words = [os.fsencode(place) for place in places if place]
    for path in files_of(tree):
        if os.path.islink(path):
            content = os.fsencode(os.readlink(path))
        else:
            with open(path, "rb") as stream:
                content = stream.read()
        if any(word in content for word in words):
            print("%s holds a path of the build" % path, file=sys.stderr)
            found = 1
    return found


def main(arguments):
    """Run the step that is named first; return the exit status."""
    if arguments[:1] == ["collect"] and len(arguments) == 4:
        collect(*arguments[1:])
        return 0
    if arguments[:1] == ["compile"] and len(arguments) == 4:
        name_interpreter(arguments[1], arguments[3])
        return byte_compile(*arguments[1:3])
    if arguments[:1] == ["environment"] and len(arguments) == 6:
        return environment(*arguments[1:])
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
