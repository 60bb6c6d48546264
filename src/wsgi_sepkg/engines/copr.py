"""The engine that builds in Copr, by its client from PyPI (API v3).

What the service answers and which exception of the client that becomes was observed on a Copr
frontend; tokens come from the client's own file or from the environment and are never shown.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from wsgi_sepkg import targets
from wsgi_sepkg.engines.base import Progress, Results, State, Submission, decisive, log_of
from wsgi_sepkg.engines.download import Gone, download
from wsgi_sepkg.errors import (
    BuildStopped,
    PackageBuildFailed,
    ServiceFailed,
    ServiceRefused,
    ToolMissing,
    UsageError,
    WsgiSepkgError,
)

# Seconds: to connect, and between two pieces of an answer. The client itself would wait for ever.
TIMEOUT = (30, 180)
# copr-cli asks every 30 seconds.
INTERVAL = 30.0
CONFIG = "~/.config/copr"
ENVIRONMENT = {
    "copr_url": "COPR_URL",
    "login": "COPR_LOGIN",
    "username": "COPR_USERNAME",
    "token": "COPR_TOKEN",
}
# The states of the service, by ours (copr_common/enums.py, StatusEnum).
STATES = {
    "succeeded": State.succeeded,
    "forked": State.succeeded,
    "failed": State.failed,
    "canceled": State.canceled,
    "skipped": State.failed,
    "running": State.running,
    "starting": State.running,
    "importing": State.queued,
    "pending": State.queued,
    "waiting": State.queued,
}
_LOGS = ("build.log", "builder-live.log", "root.log", "backend.log", "state.log")


class Copr:
    """A project of Copr: one build for all targets that have the same source RPM."""

    name = "copr"
    together = True
    remote = True

    def __init__(
        self,
        project: str = "",
        config: str = "",
        create: bool = False,
        chroots: Mapping[str, str] | None = None,
        network: bool = False,
        interval: float = INTERVAL,
    ) -> None:
        """``project`` is OWNER/NAME or NAME; ``create`` makes it where it is not there.

        ``chroots`` are names for targets that go before the known ones; ``network`` lets the build
        reach the network.
        """
        self.interval = interval
        self._project = project
        self._config_path = config
        self._create = create
        self._chroots = dict(chroots or {})
        self._network = network
        self._secrets: list[str] = []
        self._opened: Any = None
        self._copr: Any = None
        self._known: frozenset[str] = frozenset()
        self._asked: dict[str, int] = {}

    # -- the connection ----------------------------------------------------------------------------

    def _client(self) -> Any:
        if self._opened is None:
            try:
                import copr.v3 as api
                import copr.v3.requests as wire
                import requests
            except ImportError as exc:
                raise ToolMissing(
                    "the Copr client", dnf="python3-copr", why="pip install copr"
                ) from exc
            # The client has no time-out of its own, and no option for one.
            wire.requests = SimpleNamespace(
                request=partial(requests.request, timeout=TIMEOUT), exceptions=requests.exceptions
            )
            self._copr = api
            with self._mapped("reading the configuration"):
                config = self._configuration()
                self._secrets = [config[k] for k in ("token", "login") if config.get(k)]
                self._opened = api.Client(config)
        return self._opened

    def _configuration(self) -> dict[str, Any]:
        given = {key: os.environ[name] for key, name in ENVIRONMENT.items() if os.environ.get(name)}
        if {"login", "token"} <= given.keys():
            url = given.get("copr_url", "https://copr.fedorainfracloud.org")
            return {**given, "copr_url": url, "gssapi": False, "encrypted": True}
        from copr.v3.helpers import config_from_file

        path = self._config_path or os.environ.get("WSGI_SEPKG_COPR_CONFIG", "")
        config: dict[str, Any] = config_from_file(path or None)
        if not config.get("copr_url"):
            raise UsageError(f"{path or CONFIG}: there is no copr_url in [copr-cli]", _TOKEN)
        return config

    @property
    def _url(self) -> str:
        return str(self._client().config["copr_url"]).rstrip("/")

    def _place(self, submission: Submission) -> tuple[str, str]:
        """Return owner and name of the project."""
        owner, _, name = (self._project or submission.project).rpartition("/")
        if not owner:
            owner = self._client().config.get("username") or ""
            if not owner:
                with self._mapped("asking who we are"):
                    owner = self._client().base_proxy.auth_username() or ""
        if not owner:
            raise UsageError(
                "the owner of the Copr project is not known", "say --copr-project OWNER/NAME"
            )
        return owner, name

    @contextmanager
    def _mapped(self, doing: str) -> Iterator[None]:
        """Turn every error of the client into one of ours, without a secret in it."""
        import requests

        try:
            yield
        except self._copr.CoprException as exc:
            raise self._error(exc, doing) from None
        except requests.RequestException as exc:
            raise ServiceFailed(
                self._hidden(f"Copr does not answer while {doing}: {exc}"), _LATER
            ) from None
        except OSError as exc:
            raise ServiceFailed(
                f"{exc.filename or 'the cache of the Copr client'}: {exc.strerror or exc}",
                "the client locks a file below ~/.cache/copr: HOME must be writable",
            ) from None

    def _hidden(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "[hidden]")
        return text

    def _error(self, exc: Any, doing: str) -> WsgiSepkgError:
        """Return our error for one of the client's."""
        api = self._copr
        answer = getattr(exc.result, "__response__", None)
        status = answer.status_code if answer is not None else 0
        said = self._hidden(str(exc).strip()) or "no reason given"
        if isinstance(exc, api.CoprConfigException):
            return UsageError(f"the configuration of Copr cannot be used: {said}", _TOKEN)
        if isinstance(exc, api.CoprAuthException) and answer is None:
            # The client's own text shows what it has of login and token.
            return UsageError("there is no login for Copr", _TOKEN)
        if "not in JSON format" in said:
            return ServiceFailed(
                f"what answers at {self._opened.config['copr_url']} is no Copr (HTTP {status})",
                "look at copr_url in the configuration; a proxy in between may answer too",
            )
        if status == 401:
            return ServiceRefused(f"Copr refuses the token: {said}", _TOKEN)
        if status == 403:
            return ServiceRefused(
                f"this account may not do that in Copr: {said}",
                "ask the owner for the builder's permission (copr-cli edit-permissions), or name a "
                "project of your own with --copr-project",
            )
        if status == 404:
            return UsageError(
                f"Copr knows nothing of that: {said}",
                "look at owner and name of --copr-project; --create-project makes a new project",
            )
        if status == 409:
            return ServiceFailed(
                f"Copr cannot do that any more: {said}", "the build is over; nothing is left to do"
            )
        if status == 400:
            return UsageError(f"Copr does not take the request: {said}", _BAD)
        if status == 504:
            return ServiceFailed(f"Copr took too long while {doing}: {said}", _LATER)
        if status >= 500:
            return ServiceFailed(f"Copr has an error of its own (HTTP {status}): {said}", _LATER)
        if "Unable to connect" in said:
            return ServiceFailed(f"Copr cannot be reached while {doing}: {said}", _LATER)
        return ServiceFailed(f"Copr failed while {doing}: {said}", _LATER)

    # -- the engine --------------------------------------------------------------------------------

    def root(self, target: str) -> str:
        """Return the chroot of ``target``."""
        name = self._chroots.get(target, "") or targets.load(target).copr_chroot
        if not name:
            raise UsageError(
                f"{target}: Copr has no chroot for it", f"name one with --root {target}=CHROOT"
            )
        return name

    def prepare(self, submission: Submission) -> None:
        """Look whether the chroots exist and the project has them; make the project when asked."""
        client = self._client()
        owner, name = self._place(submission)
        wanted = sorted(set(submission.roots.values()))
        with self._mapped("asking for its chroots"):
            if not self._known:
                self._known = frozenset(client.mock_chroot_proxy.get_list())
        for chroot in wanted:
            if chroot not in self._known:
                raise UsageError(
                    f"{chroot}: Copr has no such chroot{targets.did_you_mean(chroot, self._known)}",
                    "`copr-cli list-chroots` lists them",
                )
        with self._mapped("asking for the project"):
            if self._create:
                client.project_proxy.add(owner, name, wanted, exist_ok=True)
            project = client.project_proxy.get(owner, name)
        lacking = [c for c in wanted if c not in (project.get("chroot_repos") or {})]
        if lacking and self._create:
            # exist_ok leaves a project as it is: the chroots of another run are added to it.
            with self._mapped("adding chroots to the project"):
                chroots = sorted({*project.chroot_repos, *lacking})
                client.project_proxy.edit(owner, name, chroots=chroots)
            lacking = []
        if lacking:
            raise UsageError(
                f"the project {owner}/{name} has no chroot {', '.join(lacking)}",
                "--create-project adds it, or enable it on the project's page",
            )

    def submit(self, submission: Submission) -> str:
        """Upload the source RPM and return the build's number."""
        owner, name = self._place(submission)
        options = {
            "chroots": sorted(set(submission.roots.values())),
            "enable_net": self._network,
            "background": False,
        }
        assert submission.srpm is not None
        # The name under which it is uploaded is what find() looks for; Copr takes the package's
        # name out of the header.
        carrier = submission.work / f"{submission.nvr}.{submission.key}.src.rpm"
        submission.work.mkdir(parents=True, exist_ok=True)
        carrier.unlink(missing_ok=True)
        try:
            os.link(submission.srpm, carrier)
        except OSError:
            shutil.copyfile(submission.srpm, carrier)
        try:
            with self._mapped("uploading the source RPM"):
                build = self._client().build_proxy.create_from_file(
                    owner, name, str(carrier), buildopts=options
                )
        finally:
            carrier.unlink(missing_ok=True)
        return str(build.id)

    def find(self, submission: Submission) -> str:
        """Return the build whose upload carries our key, among the newest of the project."""
        owner, name = self._place(submission)
        proxy = self._client().build_proxy
        newest = {"limit": 100, "order": "id", "order_type": "DESC"}
        with self._mapped("looking for the build"):
            builds = proxy.get_list(owner, name, pagination=newest)
        for build in builds:
            if submission.key in str((build.get("source_package") or {}).get("url") or ""):
                return str(build.id)
        # After its import a build may name the source elsewhere; what was uploaded stays on record.
        day = submission.created - 86400
        for build in builds:
            if float(build.get("submitted_on") or 0) < day:
                continue
            try:
                with self._mapped("looking for the build"):
                    source = proxy.get_source_build_config(build.id).get("source_dict")
            except UsageError:
                return ""  # an older Copr does not tell
            if submission.key in str(source):
                return str(build.id)
        return ""

    def follow(self, submission: Submission, build: str) -> Mapping[str, Progress]:
        """Return the states: one request a time, of the whole build and of its chroots in turn."""
        client, url = self._client(), f"{self._url}/coprs/build/{build}"
        single = len(submission.roots) == 1
        asked = self._asked[build] = self._asked.get(build, 0) + 1
        whole = State.running
        with self._mapped("asking for the state"):
            if single or asked % 2:
                word = client.build_proxy.get(int(build)).state
                whole = STATES.get(word, State.running)
                if single or not whole.over:
                    return {t: Progress(whole, word, url) for t in submission.roots}
            chroots = client.build_chroot_proxy.get_list(int(build))
        states = {c.name: c.state for c in chroots}
        found = {}
        for target, chroot in submission.roots.items():
            word = states.get(chroot, "waiting")
            state = STATES.get(word, State.running)
            # A source stage that failed leaves chroots behind that never began.
            found[target] = Progress(whole if whole.over and not state.over else state, word, url)
        return found

    def fetch(self, submission: Submission, build: str, target: str, folder: Path) -> Results:
        """Download the packages of a chroot, and those logs that it has."""
        client, chroot = self._client(), submission.roots[target]
        with self._mapped("asking for the results"):
            one = client.build_chroot_proxy.get(int(build), chroot)
            built = client.build_proxy.get_built_packages(int(build))
        packages: list[Path] = []
        logs: list[Path] = []
        place = str(one.get("result_url") or "").rstrip("/")
        if place:
            logs = self._logs(place, folder)
        if not logs and one.state not in ("succeeded", "forked"):
            # The source stage failed: its log is in a place of its own, where there is one.
            with contextlib.suppress(UsageError), self._mapped("asking for the source stage"):
                source = client.build_proxy.get_source_chroot(int(build)).get("result_url")
                logs = self._logs(str(source).rstrip("/"), folder) if source else []
        if place and one.state in ("succeeded", "forked"):
            known = (built.get(chroot) or {}).get("packages") or []
            names = [_file_name(package) for package in known] or _listed(place)
            for name in names:
                try:
                    packages.append(self._get(f"{place}/{name}", folder / name))
                except Gone:
                    if not name.endswith(".src.rpm"):  # a project may keep none
                        raise
        return Results(tuple(packages), tuple(logs))

    def _get(self, url: str, path: Path) -> Path:
        return download(url, path, self._hidden)

    def _logs(self, place: str, folder: Path) -> list[Path]:
        found = []
        for name in _LOGS:
            for suffix in ("", ".gz"):
                path = folder / f"{name}{suffix}"
                try:
                    self._get(f"{place}/{name}{suffix}", path)
                except Gone:
                    continue
                if suffix:
                    plain = folder / name
                    try:
                        plain.write_bytes(gzip.decompress(path.read_bytes()))
                    except (OSError, EOFError):
                        path.rename(plain)  # some servers send it decompressed already
                    path.unlink(missing_ok=True)
                    path = plain
                found.append(path)
                break
        return found

    def failure(
        self, submission: Submission, build: str, target: str, results: Results
    ) -> WsgiSepkgError:
        """Return why a chroot failed, out of its logs."""
        chroot = submission.roots[target]
        with self._mapped("asking for the state"):
            state = self._client().build_chroot_proxy.get(int(build), chroot).state
        url = f"{self._url}/coprs/build/{build}"
        if state == "canceled":
            return BuildStopped(f"build {build} was canceled in Copr", f"its page: {url}")
        if state == "skipped":
            return PackageBuildFailed(
                f"Copr skipped {chroot}",
                "ExclusiveArch or ExcludeArch of the spec leave it out, or the project is set not "
                f"to build it; its page: {url}",
            )
        log = log_of(results, "build.log", "builder-live.log", "root.log", "backend.log")
        return PackageBuildFailed(
            f"build {build} failed in Copr's {chroot}", f"its page: {url}", decisive(log), log
        )

    def cancel(self, submission: Submission, build: str) -> None:
        """Cancel the build; the answer that it is over already is no error."""
        with self._mapped("canceling the build"):
            try:
                self._client().build_proxy.cancel(int(build))
            except self._copr.CoprRequestException as exc:
                answer = getattr(exc.result, "__response__", None)
                if answer is None or answer.status_code != 409:
                    raise


_TOKEN = (
    "make a token on the service's page /api/ and put it into ~/.config/copr (a token lives 180 "
    "days), or set COPR_URL, COPR_LOGIN, COPR_USERNAME and COPR_TOKEN"
)
_LATER = "the build goes on in the service: try again with `wsgi-sepkg build --follow`"
_BAD = "look at --copr-project and --root; `copr-cli list-chroots` lists the chroots"


def _file_name(package: Mapping[str, Any]) -> str:
    return "{name}-{version}-{release}.{arch}.rpm".format(**package)


def _listed(place: str) -> list[str]:
    """Return the packages that the page of a result folder names."""
    import requests

    try:
        page = requests.get(f"{place}/", timeout=TIMEOUT)
        page.raise_for_status()
    except requests.RequestException as exc:
        raise ServiceFailed(f"the results cannot be read: {exc}", _LATER) from None
    names = re.findall(r'href="([A-Za-z0-9._+~^%-]+\.rpm)"', page.text)
    return sorted({name.replace("%7E", "~").replace("%5E", "^") for name in names})
