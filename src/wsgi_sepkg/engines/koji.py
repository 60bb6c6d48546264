"""The engine that builds in Koji, by its client from PyPI (XML-RPC to the hub).

Calls and answers: koji/__init__.py and kojihub of 1.36. The client is imported when it is needed:
it brings gssapi along.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wsgi_sepkg import targets
from wsgi_sepkg.engines.base import Progress, Results, State, Submission, decisive, log_of
from wsgi_sepkg.engines.download import Gone, download
from wsgi_sepkg.errors import (
    BuildStopped,
    DependencyMissing,
    PackageBuildFailed,
    ServiceFailed,
    ServiceRefused,
    ToolMissing,
    UsageError,
    WsgiSepkgError,
)

# The client would try 30 times, 20 seconds apart, and wait half a day for an answer.
RETRIES, RETRY_SECONDS, TIMEOUT = 3, 5, 300
_PIECE = 4 << 20  # bytes of a result in one call
_LATER = "the build goes on in the service: try again with `wsgi-sepkg build --follow`"
_METADATA = "wsgi-sepkg"
_LOGS = ("build.log", "root.log", "mock_output.log", "state.log", "checkout.log", "hw_info.log")
# koji.TASK_STATES
_FREE, _OPEN, _CLOSED, _CANCELED, _ASSIGNED, _FAILED = range(6)
STATES = {
    _FREE: State.queued,
    _OPEN: State.running,
    _CLOSED: State.succeeded,
    _CANCELED: State.canceled,
    _ASSIGNED: State.queued,
    _FAILED: State.failed,
}

# What the fault of a task says: (pattern, what to do). The first that is found counts.
CURES: tuple[tuple[str, str], ...] = (
    (
        r"not in list for tag",
        "the package is not in the tag: `koji add-pkg --owner OWNER TAG PACKAGE`, or build with "
        "--scratch",
    ),
    (
        r"policy violation \(build_from_srpm\)",
        "this hub builds from a source RPM for scratch builds alone: build with --scratch, or from "
        "a repository with --scm",
    ),
    (
        r"not in the list of allowed SCMs",
        "the builder may not fetch from there: its administrator adds host and repository to "
        "allowed_scms in kojid.conf",
    ),
    (
        r"Error running GIT command",
        "the builder cannot clone it: look at address and commit of --scm, and at checkout.log",
    ),
    (
        r"[Nn]o spec file found",
        "Koji finds no single spec in the repository of --scm",
    ),
    (r"Downloaded rpm .* is corrupted", "the source RPM came in damaged: build again"),
    (
        r"[Bb]uild already exists|already complete",
        "a name-version-release is built once and for all: raise project.release",
    ),
    (r"unknown build target|[Nn]o such build target", "`koji list-targets` lists the targets"),
    (r"No matching package|nothing provides", "add the package to the tag's repositories"),
)


class Koji:
    """A Koji hub: one task for each target."""

    name = "koji"
    together = False
    remote = True

    def __init__(
        self,
        profile: str = "",
        config: str = "",
        user: str = "",
        scratch: bool = True,
        build_targets: Mapping[str, str] | None = None,
        interval: float = 0,
    ) -> None:
        """``profile`` is a section of koji's configuration, ``config`` a file to read it from.

        ``user`` logs in with the password in WSGI_SEPKG_KOJI_PASSWORD. ``build_targets`` go before
        the known names of targets. ``interval`` 0 takes the profile's poll_interval.
        """
        self._profile = profile or "koji"
        self._config = config
        self._user = user or os.environ.get("WSGI_SEPKG_KOJI_USER", "")
        self._password = os.environ.get("WSGI_SEPKG_KOJI_PASSWORD", "")
        self._scratch = scratch
        self._targets = dict(build_targets or {})
        self._session: Any = None
        self._koji: Any = None
        self._options: dict[str, Any] = {}
        self.interval = interval or 6.0
        self._fixed = bool(interval)

    # -- the connection ----------------------------------------------------------------------------

    def _hub(self) -> Any:
        """Return the session, which is made and logged in when it is first asked for."""
        if self._session is None:
            try:
                import koji
            except ImportError as exc:
                raise ToolMissing(
                    "the Koji client",
                    "libkrb5-dev gcc python3-dev",
                    "python3-koji",
                    why="pip install koji",
                ) from exc
            self._koji = koji
            # The client logs what it raises as well; without a handler that goes to the terminal.
            logging.getLogger("koji").addHandler(logging.NullHandler())
            with self._mapped("reading the configuration"):
                self._options = self._read_options()
            options = koji.grab_session_options(self._options)
            options["max_retries"] = min(options.get("max_retries", RETRIES), RETRIES)
            options["retry_interval"] = min(options.get("retry_interval", 5), RETRY_SECONDS)
            options["anon_retry"] = False
            options["timeout"] = min(options.get("timeout", TIMEOUT), TIMEOUT)
            if self._user:
                options["user"], options["password"] = self._user, self._password
            if not self._fixed:
                self.interval = float(max(self._options.get("poll_interval") or 6, 1))
            session = koji.ClientSession(self._options["server"], options)
            with self._mapped("logging in"):
                self._login(session)
            self._session = session
        return self._session

    def _read_options(self) -> dict[str, Any]:
        server = os.environ.get("WSGI_SEPKG_KOJI_URL", "")
        try:
            options: dict[str, Any] = self._koji.read_config(self._profile, self._config or None)
        except self._koji.ConfigurationError:
            if not server:
                raise
            # The address alone is enough for a hub without a profile.
            base = server.rstrip("/").removesuffix("/kojihub")
            options = {"topurl": f"{base}/kojifiles", "weburl": f"{base}/koji", "poll_interval": 6}
        if server:
            options["server"] = server
        return options

    def _login(self, session: Any) -> None:
        """Log in as koji's own command does (koji_cli.lib.activate_session)."""
        kind, cert = self._options.get("authtype"), self._options.get("cert") or ""
        if kind == "noauth":
            return
        if kind == "ssl" or (kind is None and cert and Path(cert).is_file()):
            session.ssl_login(cert, None, self._options.get("serverca"))
        elif kind == "password" or (kind is None and self._user):
            if not self._user:
                raise UsageError(
                    "this hub wants a user and a password",
                    "say --koji-user, and set WSGI_SEPKG_KOJI_PASSWORD (koji ignores both in its "
                    "configuration file)",
                )
            session.login()
        else:
            more = {}
            if self._options.get("principal"):
                more["principal"] = self._options["principal"]
                if self._options.get("keytab"):
                    more["keytab"] = self._options["keytab"]
            session.gssapi_login(**more)

    @contextmanager
    def _mapped(self, doing: str) -> Iterator[None]:
        """Turn every error of the client into one of ours."""
        from xml.parsers.expat import ExpatError
        from xmlrpc.client import Error, Fault

        import requests

        try:
            yield
        except WsgiSepkgError:
            raise
        except self._koji.ConfigurationError as exc:
            raise UsageError(
                f"the configuration of Koji cannot be used: {exc}",
                "profiles are sections of /etc/koji.conf, /etc/koji.conf.d/ and ~/.koji/config: "
                "name one with --koji-profile, or a file with --koji-config",
            ) from None
        except self._koji.GSSAPIAuthError as exc:
            raise ServiceRefused(
                f"Koji refuses the Kerberos login: {self._hidden(exc)}",
                "get a ticket with kinit (fkinit for Fedora), and look at it with klist",
            ) from None
        except (self._koji.RetryError, self._koji.SequenceError, self._koji.AuthLockError) as exc:
            # The connection was cut after the hub had the call: what it did is to be looked up.
            raise ServiceFailed(f"a call was cut off while {doing}: {exc}", _LATER) from None
        except self._koji.AuthError as exc:
            raise ServiceRefused(
                f"Koji refuses the login: {self._hidden(exc)}",
                "look at authtype, cert and serverca of the profile, or at user and password",
            ) from None
        except self._koji.ActionNotAllowed as exc:
            raise ServiceRefused(
                f"this account may not do that in Koji: {self._hidden(exc)}",
                _cure(str(exc)) or "ask an administrator of the hub for the permission",
            ) from None
        except self._koji.ServerOffline as exc:
            raise ServiceFailed(f"the hub says that it is offline: {exc}", _LATER) from None
        except self._koji.GenericError as exc:
            raise ServiceFailed(
                f"Koji failed while {doing}: {self._hidden(exc)}", _cure(str(exc)) or _LATER
            ) from None
        except requests.HTTPError as exc:
            status = exc.response.status_code if exc.response is not None else 0
            if status in (401, 403):
                raise ServiceRefused(
                    f"the hub refuses us (HTTP {status})",
                    "look at the login of the profile, and whether the address is the hub's",
                ) from None
            cure = _LATER
            if status == 404:
                cure = "look at `server` of the profile: it ends with /kojihub as a rule"
            raise ServiceFailed(
                f"{self._options.get('server')} answers HTTP {status} while {doing}", cure
            ) from None
        except requests.exceptions.SSLError as exc:
            raise ServiceFailed(
                f"the hub's certificate is not accepted: {exc}",
                "look at `serverca` of the profile: the file with the authority's certificate",
            ) from None
        except requests.RequestException as exc:
            raise ServiceFailed(
                f"the hub cannot be reached while {doing}: {self._hidden(exc)}", _LATER
            ) from None
        except Fault as exc:
            # Fault 1 is a traceback of the hub itself.
            last = str(exc.faultString).strip().splitlines()[-1:] or [""]
            raise ServiceFailed(f"the hub has an error of its own: {last[0]}", _LATER) from None
        except (Error, ExpatError, OSError, ValueError, LookupError) as exc:
            # An answer that is no XML-RPC ends in the parser.
            raise ServiceFailed(
                f"what the hub answers while {doing} cannot be read: {self._hidden(exc)}", _LATER
            ) from None

    def _hidden(self, text: object) -> str:
        shown = str(text).strip()
        return shown.replace(self._password, "[hidden]") if self._password else shown

    # -- the engine --------------------------------------------------------------------------------

    def root(self, target: str) -> str:
        """Return the build target of ``target``."""
        name = self._targets.get(target, "") or targets.load(target).koji_target
        if not name:
            raise UsageError(
                f"{target}: no build target of Koji is known for it",
                f"name one with --root {target}=BUILD_TARGET",
            )
        return name

    def prepare(self, submission: Submission) -> None:
        """Look whether the build target exists: the hub takes the name of one that does not."""
        hub = self._hub()
        (name,) = submission.roots.values()
        with self._mapped("asking for the build target"):
            found = hub.getBuildTarget(name)
            if not found:
                known = [entry["name"] for entry in hub.getBuildTargets() or []]
                raise UsageError(
                    f"{name}: Koji has no such build target{targets.did_you_mean(name, known)}",
                    "`koji list-targets` lists them; --root TARGET=BUILD_TARGET names another",
                )
            if self._scratch:
                return
            tag = hub.getTag(found["dest_tag"])
        if not tag:
            raise UsageError(
                f"{name}: its destination tag {found['dest_tag_name']} is not there",
                "build with --scratch, or ask an administrator of the hub",
            )
        if tag.get("locked"):
            raise UsageError(f"the tag {tag['name']} is locked", "build with --scratch, or wait")

    def submit(self, submission: Submission) -> str:
        """Upload the source RPM, unless an SCM is to be built from, and start the task."""
        hub = self._hub()
        (name,) = submission.roots.values()
        with self._mapped("starting the build"):
            source = submission.scm
            if submission.srpm is not None:
                folder = f"cli-build/{submission.key}"
                hub.uploadWrapper(str(submission.srpm), folder)
                source = f"{folder}/{submission.srpm.name}"
            # custom_user_metadata stands in the task's request: find() knows our task by it.
            options: dict[str, Any] = {"custom_user_metadata": {_METADATA: submission.key}}
            if self._scratch:
                options["scratch"] = True
            return str(hub.build(source, name, options))

    def find(self, submission: Submission) -> str:
        """Return the task that was started with our key."""
        hub = self._hub()
        with self._mapped("looking for the build"):
            wanted: dict[str, Any] = {
                "method": "build",
                "decode": True,
                "createdAfter": submission.created - 86400.0,  # clocks differ
            }
            user = hub.getLoggedInUser() if hub.logged_in else None
            if user:
                wanted["owner"] = user["id"]
            tasks = hub.listTasks(wanted, {"order": "-id", "limit": 500})
        for task in tasks:
            if submission.key in str(task.get("request")):
                return str(task["id"])
        return ""

    def _page(self, build: str) -> str:
        web = str(self._options.get("weburl") or "").rstrip("/")
        return f"{web}/taskinfo?taskID={build}" if web else f"task {build}"

    def follow(self, submission: Submission, build: str) -> Mapping[str, Progress]:
        """Return the state of the task, with what its children do."""
        hub = self._hub()
        (target,) = submission.roots
        with self._mapped("asking for the state"):
            info = hub.getTaskInfo(int(build))
            if not info:
                raise ServiceFailed(
                    f"Koji does not know task {build}", "look whether this is the same hub"
                )
            state = STATES.get(info["state"], State.running)
            detail = ""
            if state is State.running:
                children = hub.getTaskChildren(int(build))
                active = [c["method"] for c in children if c["state"] == _OPEN]
                detail = ", ".join(sorted(set(active)))
        return {target: Progress(state, detail or f"task {build}", self._page(build))}

    def fetch(self, submission: Submission, build: str, target: str, folder: Path) -> Results:
        """Download what the task and its children left; a tagged build's from the hub's files."""
        hub = self._hub()
        packages: dict[str, Path] = {}
        logs: dict[str, Path] = {}
        with self._mapped("downloading the results"):
            if not self._scratch and hub.getTaskInfo(int(build))["state"] == _CLOSED:
                built = hub.listBuilds(taskID=int(build))
                if built:
                    return self._of_build(built[0], folder)
            for task in self._family(int(build)):
                for name in sorted(hub.listTaskOutput(task["id"])):
                    if name.endswith(".rpm"):
                        packages[name] = self._task_file(task["id"], name, folder)
                    elif name in _LOGS and (name not in logs or task["state"] == _FAILED):
                        # The failed child's logs go before those of its sisters.
                        logs[name] = self._task_file(task["id"], name, folder)
        return Results(tuple(packages.values()), tuple(logs.values()))

    def _family(self, task: int) -> list[dict[str, Any]]:
        """Return the task and all below it, the failed ones first."""
        hub = self._session
        found = [hub.getTaskInfo(task)]
        waiting = [task]
        while waiting:
            children = hub.getTaskChildren(waiting.pop())
            found += children
            waiting += [child["id"] for child in children]
        return sorted(found, key=lambda t: (t["state"] != _FAILED, -t["id"]))

    def _task_file(self, task: int, name: str, folder: Path) -> Path:
        path = folder / Path(name).name
        part = path.with_name(f".{path.name}.part")
        try:
            with part.open("wb") as stream:
                while piece := self._session.downloadTaskOutput(
                    task, name, offset=stream.tell(), size=_PIECE
                ):
                    stream.write(piece)
                    if len(piece) < _PIECE:
                        break
            return part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def _of_build(self, build: Mapping[str, Any], folder: Path) -> Results:
        """Return the files of a build that was imported: they lie below the hub's topurl."""
        hub, top = self._session, str(self._options.get("topurl") or "").rstrip("/")
        if not top:
            raise UsageError(
                "the results of a tagged build lie below the hub's topurl, and none is known",
                "set topurl in the profile; `koji download-build` needs it as well",
            )
        info = self._koji.PathInfo(topdir=top)
        place = info.build(build)
        packages, logs = [], []
        for rpm in hub.listBuildRPMs(build["build_id"]):
            url = f"{place}/{info.rpm(rpm)}"
            packages.append(download(url, folder / url.rsplit("/", 1)[1]))
        for entry in hub.getBuildLogs(build["build_id"]):
            if entry["name"] in _LOGS:
                try:
                    logs.append(download(f"{top}/{entry['path']}", folder / entry["name"]))
                except Gone:
                    continue
        return Results(tuple(packages), tuple(logs))

    def failure(
        self, submission: Submission, build: str, target: str, results: Results
    ) -> WsgiSepkgError:
        """Return the fault of the child that failed, and the log that it points to."""
        from xmlrpc.client import Fault

        hub = self._hub()
        page = f"its page: {self._page(build)}"
        said, method, state = "", "build", _FAILED
        with self._mapped("asking for the result"):
            state = hub.getTaskInfo(int(build))["state"]
            failed = [t for t in self._family(int(build)) if t["state"] == _FAILED]
            if failed:
                task = failed[0]
                method = task.get("method") or method
                try:
                    hub.getTaskResult(task["id"])
                except (self._koji.GenericError, Fault) as exc:
                    text = getattr(exc, "faultString", None) or str(exc)
                    said = self._hidden(text).splitlines()[-1] if str(text).strip() else ""
        if state == _CANCELED:
            return BuildStopped(f"task {build} was canceled in Koji", page)
        names = ["build.log", "root.log", "mock_output.log", "checkout.log"]
        if "see root.log" in said:
            names = ["root.log", *names]
        elif "checkout.log" in said:
            names = ["checkout.log", *names]
        log = log_of(results, *names)
        kind = PackageBuildFailed
        if "No matching package" in " ".join([said, *decisive(log)]):
            kind = DependencyMissing
        cure = "; ".join(part for part in (_cure(said), page) if part)
        what = f"task {build} failed in Koji ({method}): {said or 'no reason given'}"
        return kind(what, cure, decisive(log), log)

    def cancel(self, submission: Submission, build: str) -> None:
        """Cancel the task; one that is over stays as it is."""
        with self._mapped("canceling the build"):
            self._hub().cancelTask(int(build))


def _cure(said: str) -> str:
    return next((cure for pattern, cure in CURES if re.search(pattern, said)), "")
