"""Every error a user can meet: what is wrong, where, what to do next, and the exit status.

Exit statuses (stable, documented in docs/reference/exit-status.md):

==  ==========================================================
0   done
1   a check found something
2   wrong usage, or a mistake in the description
3   a needed tool is missing, or cannot do this job on this host
4   a compile, link or build failed
5   a remote service failed
==  ==========================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, order=True)
class Place:
    """Where in a file something is: ``file:line`` (line 1-based, 0 when unknown) and TOML key."""

    file: str = ""
    line: int = 0
    key: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.key}" if where and self.key else where or self.key


@dataclass(frozen=True)
class Problem:
    """One finding about the description: ``key`` is the TOML path, ``hint`` the cure."""

    key: str
    message: str
    hint: str = ""
    warning: bool = False
    place: Place = Place()

    def __str__(self) -> str:
        head = f"{self.place or self.key}: " if (self.place.file or self.key) else ""
        word = "warning: " if self.warning else ""
        tail = f"\n    {self.hint}" if self.hint else ""
        return f"{head}{word}{self.message}{tail}"


class WsgiSepkgError(Exception):
    """Base of all errors of this program. ``hint`` says what to do next."""

    exit_status = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n    {self.hint}" if self.hint else self.message


class UsageError(WsgiSepkgError, ValueError):
    """An option or an argument cannot be used."""

    exit_status = 2


class ConfigError(WsgiSepkgError, ValueError):
    """The description has mistakes; ``problems`` holds all of them, in file order."""

    exit_status = 2

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(p) for p in problems))


class ForeignFile(WsgiSepkgError):
    """A file that would be overwritten was not written by this program, or was edited since."""

    exit_status = 2


class ToolMissing(WsgiSepkgError):
    """A program that is needed is not installed; the hint names its packages for apt and dnf."""

    exit_status = 3

    def __init__(self, tool: str, apt: str = "", dnf: str = "", why: str = "") -> None:
        packages = []
        if dnf:
            packages.append(f"dnf install {dnf}")
        if apt:
            packages.append(f"apt-get install {apt}")
        hint = "install it: " + "  or  ".join(packages) if packages else ""
        super().__init__(f"{tool} is not installed" + (f" ({why})" if why else ""), hint)
        self.tool = tool


class WrongHost(WsgiSepkgError):
    """This host cannot do the job for that target (another policy family)."""

    exit_status = 3


class ToolFailed(WsgiSepkgError):
    """A program ended with an error.

    ``command`` is its argument list, ``status`` its exit status, ``output`` what it printed,
    ``decisive`` the lines that say why, ``log`` the file that keeps the whole output.
    """

    exit_status = 4

    def __init__(
        self,
        command: list[str],
        status: int,
        output: str,
        decisive: list[str] | None = None,
        log: Path | None = None,
    ) -> None:
        self.command = command
        self.status = status
        self.output = output
        self.decisive = decisive if decisive is not None else _last_lines(output)
        self.log = log
        text = f"{Path(command[0]).name} failed with status {status}"
        if self.decisive:
            text += "\n" + "\n".join(f"    {line}" for line in self.decisive)
        super().__init__(text, f"the whole log: {log}" if log else "")


class BuildFailed(WsgiSepkgError):
    """A compile, a link or an rpmbuild failed, with the keys of the description that caused it."""

    exit_status = 4


class PackageBuildFailed(BuildFailed):
    """A build in mock, Copr or Koji failed; the decisive lines of its log are told.

    ``lines`` are those lines, ``log`` is the file that keeps the whole log (None without one).
    """

    def __init__(
        self, message: str, hint: str = "", lines: list[str] | None = None, log: Path | None = None
    ) -> None:
        self.lines = lines or []
        self.log = log
        shown = "".join(f"\n    {line}" for line in self.lines)
        tail = f"the whole log: {log}" if log else ""
        super().__init__(message + shown, "; ".join(part for part in (hint, tail) if part))


class DependencyMissing(PackageBuildFailed):
    """A BuildRequires of the package cannot be had in the build root."""


class WheelMissing(WsgiSepkgError):
    """A wheel of the requirements file cannot be had for the target, or cannot be packaged."""

    exit_status = 2


class BuildStopped(PackageBuildFailed):
    """A build was canceled, killed, or took longer than it may."""


class BuilderFailed(WsgiSepkgError):
    """mock cannot do its job on this host, whatever the package is."""

    exit_status = 3


class ServiceFailed(WsgiSepkgError):
    """Copr or Koji cannot be reached, or answered with an error of its own."""

    exit_status = 5


class ServiceRefused(ServiceFailed):
    """Copr or Koji refused the login, or the account may not do this."""


class CheckFailed(WsgiSepkgError):
    """The check found something; the report was already shown."""

    exit_status = 1


class MachineFailed(WsgiSepkgError):
    """The machine did not boot, or its job did not end as a job must."""

    exit_status = 4


class NotAnRpm(WsgiSepkgError, ValueError):
    """A file that should be an RPM is missing, or is none that can be read."""

    exit_status = 2


def _last_lines(output: str, count: int = 6) -> list[str]:
    return [line.rstrip() for line in output.splitlines() if line.strip()][-count:]
