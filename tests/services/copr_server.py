"""A stand-in for a Copr frontend with its backend: API v3, as far as a build from an upload needs it.

The answers have the form of frontend/coprs_frontend/coprs/views/apiv3_ns; errors are always JSON with
``error``. Projects and builds live in memory, results in a folder that the same server hands out.
"""

from __future__ import annotations

import base64
import email.parser
import email.policy
import gzip
import json
import re
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from services.builder import dist_of, rebuild
from services.faults import Handler, Server

CHROOTS = (
    "epel-8-x86_64",
    "epel-9-x86_64",
    "epel-10-x86_64",
    "fedora-43-x86_64",
    "fedora-44-x86_64",
)


@dataclass
class Build:
    """A build: ``states`` by chroot, the whole's state follows from them."""

    id: int
    owner: str
    project: str
    file: str
    submitted: float
    states: dict[str, str]
    packages: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    source: str = "pending"

    @property
    def state(self) -> str:
        """The state of the whole, as models.Build.state derives it."""
        if self.source == "failed":
            return "failed"
        found = set(self.states.values())
        for state in ("canceled", "running", "starting", "pending", "waiting", "importing"):
            if state in found:
                return state
        return "failed" if "failed" in found else "succeeded" if "succeeded" in found else "skipped"


class Reply(Exception):
    """An answer that ends a request early."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status, self.error = status, error


class CoprServer(Server):
    """``outcomes`` says by chroot how a build ends: build (the default), failed, skipped, hang."""

    def __init__(self, folder: Path, login: str = "l0gin", token: str = "t0ken-secret") -> None:
        super().__init__(_Handler)
        self.folder, self.login, self.token = folder, login, token
        self.projects: dict[tuple[str, str], list[str]] = {}
        self.builds: dict[int, Build] = {}
        self.outcomes: dict[str, str] = {}
        self.pause = 0.0
        self.source_fails = False
        self.forget_source = False
        self.plain_logs = False

    @property
    def url(self) -> str:
        """What copr_url is."""
        return f"http://127.0.0.1:{self.port}"

    def config(
        self, path: Path, token: str = "", without: tuple[str, ...] = (), **more: str
    ) -> Path:
        """Write a configuration of the client."""
        words = {
            "login": self.login,
            "username": "jdoe",
            "token": token or self.token,
            "copr_url": self.url,
            "encrypted": "false",
            **more,
        }
        text = "".join(f"{key} = {value}\n" for key, value in words.items() if key not in without)
        path.write_text(f"[copr-cli]\n{text}")
        return path

    def run(self, build: Build, srpm: Path) -> None:
        """Build in every chroot, in a thread, as the backend would."""
        time.sleep(self.pause)
        if self.source_fails:
            place = self.folder / "results" / "srpm-builds" / f"{build.id:08}"
            place.mkdir(parents=True)
            (place / "builder-live.log").write_text("error: the source RPM cannot be imported\n")
            build.states = dict.fromkeys(build.states, "waiting")
            build.source = "failed"
            return
        build.source = "succeeded"
        for chroot in build.states:
            if build.states[chroot] == "canceled":
                continue
            build.states[chroot] = "running"
            self.one(build, chroot, srpm)

    def one(self, build: Build, chroot: str, srpm: Path) -> None:
        """Build in one chroot."""
        place = self.folder / "results" / build.owner / build.project / chroot / f"{build.id:08}"
        place.mkdir(parents=True, exist_ok=True)
        outcome = self.outcomes.get(chroot, "build")
        while outcome == "hang" and build.states[chroot] == "running":
            time.sleep(0.05)
            outcome = self.outcomes.get(chroot, "build")
        if build.states[chroot] == "canceled":
            return
        if outcome in ("failed", "skipped"):
            (place / "build.log").write_text("error: Bad exit status from %build\n")
            build.states[chroot] = outcome
        else:
            status, found = rebuild(srpm, place, dist_of(chroot))
            build.packages[chroot] = [nevra(path) for path in found]
            build.states[chroot] = "failed" if status else "succeeded"
        if not self.plain_logs:
            log = place / "build.log"
            (place / "build.log.gz").write_bytes(gzip.compress(log.read_bytes()))
            log.unlink()


def nevra(path: Path) -> dict[str, Any]:
    """Return name, epoch, version, release and architecture of a package."""
    form = "%{NAME}\t%{VERSION}\t%{RELEASE}\t%{ARCH}\t%{SOURCEPACKAGE}"
    said = subprocess.run(
        ["rpm", "-qp", "--qf", form, path], capture_output=True, text=True, check=True
    ).stdout.split("\t")
    arch = "src" if said[4] == "1" else said[3]
    return {"name": said[0], "epoch": 0, "version": said[1], "release": said[2], "arch": arch}


class _Handler(Handler):
    server: CoprServer

    def do_GET(self) -> None:
        self.respond("GET")

    def do_POST(self) -> None:
        self.respond("POST")

    def do_PUT(self) -> None:
        self.respond("PUT")

    def respond(self, method: str) -> None:
        """Answer one request."""
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        path = unquote(urlsplit(self.path).path)
        query = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
        fault = self.server.faults.next(f"{method} {path}")
        kind = fault.kind if fault else ""
        if kind == "cut":
            self.cut()
            return
        if kind == "garbage":
            self.answer(int(fault.value) if fault and fault.value else 200, b"<html>", "text/html")
            return
        if kind == "status":
            assert fault is not None
            self.json(int(fault.value), {"error": f"made to answer {int(fault.value)}"})
            return
        if path.startswith("/results/"):
            self.file(path, kind == "half")
            return
        try:
            found = self.route(method, path, query, body)
        except Reply as reply:
            self.json(reply.status, {"error": reply.error})
            return
        if kind == "after":
            self.cut()
            return
        self.json(200, found, kind == "half")

    def json(self, status: int, data: Any, half: bool = False) -> None:
        """Answer with JSON."""
        self.answer(status, json.dumps(data).encode(), "application/json", half)

    def file(self, path: str, half: bool) -> None:
        """Hand out a file of the results."""
        place = (self.server.folder / path.lstrip("/")).resolve()
        if place.is_dir():
            rows = "".join(f'<a href="{p.name}">{p.name}</a>\n' for p in sorted(place.iterdir()))
            self.answer(200, rows.encode(), "text/html")
        elif place.is_file() and self.server.folder.resolve() in place.parents:
            self.answer(200, place.read_bytes(), "application/octet-stream", half)
        else:
            self.answer(404, b"not found", "text/html")

    # -- the API -----------------------------------------------------------------------------------

    def authorized(self) -> None:
        """Want login and token, as HTTP Basic."""
        given = self.headers.get("Authorization", "").removeprefix("Basic ")
        wanted = f"{self.server.login}:{self.server.token}".encode()
        if given != base64.b64encode(wanted).decode():
            raise Reply(
                401, "Login invalid/expired. Please visit the frontend /api/ to get a token."
            )

    def route(self, method: str, path: str, query: dict[str, str], body: bytes) -> Any:
        """Return the answer of the API."""
        server, rest = self.server, path.removeprefix("/api_3").rstrip("/")
        if rest == "":
            return {"version": 3}
        if rest == "/auth-check":
            self.authorized()
            return {"id": 1, "name": "jdoe"}
        if rest == "/mock-chroots/list":
            return dict.fromkeys(CHROOTS, "")
        if rest == "/project" and method == "GET":
            return self.project(query["ownername"], query["projectname"])
        if found := re.fullmatch(r"/project/(add|edit)/([^/]+)(?:/([^/]+))?", rest):
            self.authorized()
            return self.change(found, query, json.loads(body))
        if rest == "/build/create/upload":
            self.authorized()
            return self.upload(body)
        if rest == "/build/list":
            self.project(query["ownername"], query["projectname"])
            builds = sorted(server.builds.values(), key=lambda b: -b.id)
            mine = [
                b
                for b in builds
                if (b.owner, b.project) == (query["ownername"], query["projectname"])
            ]
            return {"items": [self.shown(b) for b in mine], "meta": {"limit": 100, "offset": 0}}
        if found := re.fullmatch(
            r"/build/(?:(cancel|source-chroot|built-packages|source-build-config)/)?(\d+)", rest
        ):
            build = self.build(found[2])
            if found[1] == "cancel":
                self.authorized()
                if all(
                    s in ("succeeded", "failed", "canceled", "skipped")
                    for s in build.states.values()
                ):
                    raise Reply(409, f"Cannot cancel build {build.id}")
                build.states = dict.fromkeys(build.states, "canceled")
            if found[1] == "source-chroot":
                return {
                    "state": build.source,
                    "result_url": f"{server.url}/results/srpm-builds/{build.id:08}",
                }
            if found[1] == "built-packages":
                return {c: {"packages": p} for c, p in build.packages.items()}
            if found[1] == "source-build-config":
                return {"source_type": "upload", "source_dict": {"pkg": build.file}}
            return self.shown(build)
        if rest == "/build-chroot/list":
            build = self.build(query["build_id"])
            return {"items": [self.chroot(build, c) for c in build.states], "meta": {"limit": None}}
        if rest == "/build-chroot":
            build = self.build(query["build_id"])
            if query["chrootname"] not in build.states:
                raise Reply(404, f"Build {build.id} has no chroot {query['chrootname']}.")
            return self.chroot(build, query["chrootname"])
        raise Reply(404, f"no such endpoint: {rest}")

    def build(self, number: str) -> Build:
        """Return a build."""
        if int(number) not in self.server.builds:
            raise Reply(404, f"Build {number} does not exist.")
        return self.server.builds[int(number)]

    def project(self, owner: str, name: str) -> dict[str, Any]:
        """Return a project."""
        if (owner, name) not in self.server.projects:
            raise Reply(404, f"Project {owner}/{name} does not exist.")
        chroots = self.server.projects[owner, name]
        repos = {c: f"{self.server.url}/results/{owner}/{name}/{c}/" for c in chroots}
        return {
            "id": 1,
            "name": name,
            "ownername": owner,
            "full_name": f"{owner}/{name}",
            "chroot_repos": repos,
        }

    def change(self, found: re.Match[str], query: dict[str, str], data: dict[str, Any]) -> Any:
        """Make a project, or change its chroots."""
        owner = found[2]
        if owner != "jdoe":
            raise Reply(403, "You don't have permissions to create a project there.")
        name = found[3] or data["name"]
        wrong = [c for c in data.get("chroots") or [] if c not in CHROOTS]
        if wrong:
            raise Reply(400, f"Bad request parameters: Unexpected chroot: {', '.join(wrong)}")
        if found[1] == "add" and (owner, name) in self.server.projects:
            if query.get("exist_ok", "").lower() != "true":
                raise Reply(400, f"name: You already have a project named '{name}'.")
            return self.project(owner, name)
        self.server.projects[owner, name] = list(data.get("chroots") or [])
        return self.project(owner, name)

    def upload(self, body: bytes) -> Any:
        """Take a source RPM and begin to build it."""
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        parsed = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
        parts = {p.get_param("name", header="content-disposition"): p for p in parsed.iter_parts()}
        data = json.loads(parts["json"].get_payload(decode=True))
        owner, name = data["ownername"], data["projectname"]
        enabled = list(self.project(owner, name)["chroot_repos"])
        if owner != "jdoe":
            raise Reply(403, f"User jdoe is not allowed to build in the copr: {owner}/{name}")
        for chroot in data["chroots"]:
            if chroot not in enabled:
                raise Reply(
                    400,
                    f"Bad request parameters: {{'chroots': [\"'{chroot}' is not a valid choice for this field.\"]}}",
                )
        # secure_filename of the frontend keeps these alone
        file = re.sub(r"[^A-Za-z0-9_.-]", "", parts["pkgs"].get_filename())
        if not file.endswith(".src.rpm"):
            raise Reply(400, "Bad request parameters: {'pkgs': ['wrong extension']}")
        server = self.server
        with server.faults.lock:
            number = len(server.builds) + 1
            build = Build(
                number, owner, name, file, time.time(), dict.fromkeys(data["chroots"], "pending")
            )
            server.builds[number] = build
        srpm = server.folder / "uploads" / str(number) / file
        srpm.parent.mkdir(parents=True)
        srpm.write_bytes(parts["pkgs"].get_payload(decode=True))
        threading.Thread(target=server.run, args=(build, srpm), daemon=True).start()
        return self.shown(build)

    def shown(self, build: Build) -> dict[str, Any]:
        """Return a build as the API shows it."""
        gone = self.server.forget_source
        url = f"{self.server.url}/tmp/tmpxyz/{build.file}"
        return {
            "id": build.id,
            "state": build.state,
            "ownername": build.owner,
            "projectname": build.project,
            "project_dirname": build.project,
            "submitter": "jdoe",
            "submitted_on": int(build.submitted),
            "started_on": None,
            "ended_on": None,
            "chroots": list(build.states),
            "repo_url": f"{self.server.url}/results/{build.owner}/{build.project}",
            "source_package": {"name": None, "version": None, "url": None if gone else url},
            "is_background": False,
        }

    def chroot(self, build: Build, name: str) -> dict[str, Any]:
        """Return one chroot of a build as the API shows it."""
        place = f"results/{build.owner}/{build.project}/{name}/{build.id:08}"
        return {
            "name": name,
            "state": build.states[name],
            "started_on": None,
            "ended_on": None,
            "result_url": f"{self.server.url}/{place}/",
        }
