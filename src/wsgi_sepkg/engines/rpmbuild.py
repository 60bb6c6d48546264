"""The engine that runs rpmbuild on this host."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from wsgi_sepkg import process
from wsgi_sepkg.engines.base import Built, Request
from wsgi_sepkg.engines.reproducible import MACROS as REPRODUCIBLE
from wsgi_sepkg.errors import BuildFailed, ToolFailed
from wsgi_sepkg.policy.compile import compile_failure

_TOOLS = ("make", "m4", "bzip2", "checkmodule", "semodule_package")


class Rpmbuild:
    """rpmbuild on the host itself, in a folder of its own."""

    name = "rpmbuild"

    def source(self, request: Request) -> Built:
        """Make the SRPM; it carries no dist tag, since each target adds its own."""
        log = self._run(request, "-bs", "%{nil}", ["--nodeps"], {})
        return Built(self._packages(request), log, None)

    def build(self, request: Request) -> Built:
        """Make the SRPM and the RPMs; the package's own %check leaves its result behind."""
        flags, notes = self._dependencies(request)
        keep = request.work / "check"
        environment = {"WSGISEPKG_KEEP": str(keep)}
        if request.headers is not None:
            environment["WSGISEPKG_HEADERS"] = str(request.headers)
        if request.policy_root is not None:
            environment["WSGISEPKG_ROOT"] = str(request.policy_root)
        try:
            log = self._run(request, "-ba", request.dist, flags, environment)
        except BuildFailed:
            # The %check found something: that is a result, with more to find than its first fault.
            if (keep / "result.json").is_file():
                return Built((), request.work / "rpmbuild.log", keep, tuple(notes))
            raise
        return Built(self._packages(request), log, keep, tuple(notes))

    def _dependencies(self, request: Request) -> tuple[list[str], list[str]]:
        """Return rpmbuild's flags: a host without an rpm database gets its tools checked by us."""
        known = process.run(["rpm", "-qa", "--qf", "x"], check=False).stdout
        if known:
            return [], []
        for tool in _TOOLS:
            process.find(tool, "building the package")
        return ["--nodeps"], [
            "this host has no rpm database: BuildRequires were not resolved by rpm (--nodeps), the "
            "tools themselves were looked up instead"
        ]

    def _run(
        self, request: Request, mode: str, dist: str, more: list[str], environment: dict[str, str]
    ) -> Path:
        top = request.work / "rpm"
        for name in ("BUILD", "BUILDROOT", "RPMS", "SRPMS"):
            (top / name).mkdir(parents=True, exist_ok=True)
        defines: list[str] = []
        macros = {
            "_topdir": str(top),
            "_sourcedir": str(request.sources),
            "dist": dist,
            **REPRODUCIBLE,
        }
        for name, value in macros.items():
            defines += ["--define", f"{name} {value}"]
        log = request.work / "rpmbuild.log"
        try:
            process.run(
                ["rpmbuild", mode, *defines, *more, request.spec],
                log=log,
                timeout=3600,
                env={**environment, "PYTHONDONTWRITEBYTECODE": "1"},
                cwd=request.work,
            )
        except ToolFailed as exc:
            raise self._failure(request, exc, log) from exc
        return log

    def _failure(self, request: Request, exc: ToolFailed, log: Path) -> BuildFailed:
        lines = exc.output.splitlines()
        module = request.tree.plan.module
        if f"{module}.te" in exc.output and "checkmodule" in exc.output + " ".join(lines):
            te = request.tree.sources[f"{module}.te"].decode()
            return compile_failure(
                ToolFailed(exc.command, exc.status, exc.output, log=log), module, te
            )
        app = request.tree.plan.application
        if app is not None and app.bundle is not None and "No module named pip" in exc.output:
            return BuildFailed(
                f"the virtual environment needs pip of {app.python} on this host",
                f"apt-get install python3-pip  or  dnf install {app.pip}; the whole log: {log}",
            )
        if "No module named 'django'" in exc.output and (app is None or app.bundle is None):
            return BuildFailed(
                "collectstatic needs Django on this host, and there is none",
                "apt-get install python3-django  or  dnf install python3-django; "
                f"the whole log: {log}",
            )
        decisive = [
            line
            for line in lines
            if re.search(
                r"error|Error|ERROR|holds a path|not found|No such file|Bad exit|Traceback", line
            )
        ] or exc.decisive
        shown = "\n".join(f"    {line.strip()}" for line in decisive[-8:])
        return BuildFailed(
            f"rpmbuild failed with status {exc.status}:\n{shown}", f"the whole log: {log}"
        )

    def _packages(self, request: Request) -> tuple[Path, ...]:
        top = request.work / "rpm"
        return tuple(sorted([*top.glob("SRPMS/*.rpm"), *top.glob("RPMS/*/*.rpm")]))


def move_results(packages: tuple[Path, ...], outdir: Path) -> tuple[Path, ...]:
    """Put the packages into ``outdir``: copied under temporary names, then renamed. Return them."""
    outdir.mkdir(parents=True, exist_ok=True)
    waiting = []
    try:
        for package in packages:
            temporary = outdir / f".{package.name}.part"
            waiting.append((temporary, outdir / package.name))
            shutil.copyfile(package, temporary)
        for temporary, final in waiting:
            temporary.replace(final)
    finally:
        for temporary, _ in waiting:
            temporary.unlink(missing_ok=True)
    return tuple(final for _, final in waiting)
