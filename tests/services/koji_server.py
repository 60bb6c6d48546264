"""A stand-in for a Koji hub with a builder: the XML-RPC calls of one `koji build --wait`.

Faults have Koji's codes (1000 generic, 1002 authentication, 1004 not allowed, 1005 build), the
session travels in Koji-Session-* headers, and a call that is sent twice is answered as the hub does.
"""

from __future__ import annotations

import base64
import ssl
import threading
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xmlrpc.client import Fault, dumps, loads

from services.builder import dist_of, rebuild
from services.faults import Handler, Server

FREE, OPEN, CLOSED, CANCELED, ASSIGNED, FAILED = range(6)
OVER = (CLOSED, CANCELED, FAILED)
TARGETS = {
    "el9": "el9",
    "el10": "el10",
    "f43": "f43",
    "epel9": "el9",
    "f44": "f44",
    "f43-locked": "f43",
}


@dataclass
class Task:
    """A task with what it left: ``files`` lie in its folder."""

    id: int
    method: str
    request: list[Any]
    parent: int | None = None
    state: int = FREE
    fault: Fault | None = None
    created: float = 0.0
    files: list[str] = field(default_factory=list)


class KojiServer(Server):
    """``outcomes`` says by build target how a task ends: build (the default), hang, or a text that
    becomes the fault of its child."""

    def __init__(self, folder: Path, users: dict[str, str] | None = None) -> None:
        super().__init__(_Handler)
        self.folder = folder
        self.users = users or {"packager": "pa55-word"}
        self.sessions: dict[int, tuple[str, str]] = {}
        self.calls: dict[int, int] = {}
        self.tasks: dict[int, Task] = {}
        self.builds: list[dict[str, Any]] = []
        self.outcomes: dict[str, str] = {}
        self.allow_srpm = True
        self.pause = 0.0
        self.tls = False

    @property
    def url(self) -> str:
        """The address of the hub."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/kojihub"

    def use_tls(self, certificate: Path, authority: Path) -> None:
        """Speak TLS, and ask for a client's certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        context.load_verify_locations(authority)
        context.verify_mode = ssl.CERT_OPTIONAL
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.tls = True

    def config(self, path: Path, **more: Any) -> Path:
        """Write a profile named koji."""
        words: dict[str, Any] = {
            "server": self.url,
            "weburl": self.url.replace("/kojihub", "/koji"),
            "topurl": self.url.replace("/kojihub", "/kojifiles"),
            "authtype": "password",
            "poll_interval": 1,
            "max_retries": 2,
            "retry_interval": 0,
            **more,
        }
        text = "".join(f"{key} = {value}\n" for key, value in words.items() if value is not None)
        path.write_text(f"[koji]\n{text}")
        return path

    def new_task(self, method: str, request: list[Any], parent: int | None = None) -> Task:
        """Add a task."""
        with self.faults.lock:
            task = Task(len(self.tasks) + 1, method, request, parent, created=time.time())
            self.tasks[task.id] = task
        return task

    def place(self, task: Task) -> Path:
        """The folder of a task's files."""
        return self.folder / "tasks" / str(task.id)

    def roots(self) -> list[Task]:
        """The tasks that somebody submitted."""
        return [t for t in self.tasks.values() if t.parent is None]

    def run(self, task: Task) -> None:
        """Build, in a thread, as kojid would: rebuildSRPM, then buildArch."""
        time.sleep(self.pause)
        source, target, options = task.request
        outcome = self.outcomes.get(target, "build")
        if target not in TARGETS:
            task.fault, task.state = Fault(1000, f"unknown build target: {target}"), FAILED
            return
        task.state = OPEN
        while outcome == "hang" and task.state == OPEN:
            time.sleep(0.05)
            outcome = self.outcomes.get(target, "build")
        if task.state == CANCELED:
            return
        scm = "://" in source
        if not scm and not options.get("scratch") and not self.allow_srpm:
            task.fault = Fault(1004, "policy violation (build_from_srpm): deny")
            task.state = FAILED
            return
        method = "buildSRPMFromSCM" if scm else "rebuildSRPM"
        if outcome != "build":
            where, _, text = outcome.rpartition("|")
            child = self.new_task(where or "buildArch", [], task.id)
            log = (
                "checkout.log"
                if "checkout.log" in text
                else "root.log"
                if "root.log" in text
                else "build.log"
            )
            self.leave(
                child, log, b"error: Bad exit status from %build\nthe decisive line: error\n"
            )
            child.fault, child.state = Fault(1005, text), FAILED
            task.fault, task.state = child.fault, FAILED
            return
        first = self.new_task(method, [source], task.id)
        first.state = OPEN
        srpm = self.folder / "scm.src.rpm" if scm else self.folder / "uploads" / source
        if not srpm.is_file() or srpm.read_bytes()[:4] != b"\xed\xab\xee\xdb":
            first.fault, first.state = Fault(1000, f"Downloaded rpm {source} is corrupted:"), FAILED
            task.fault, task.state = first.fault, FAILED
            return
        first.state = CLOSED
        child = self.new_task("buildArch", [source, target, "noarch"], task.id)
        child.state = OPEN
        place = self.place(child)
        status, found = rebuild(srpm, place, dist_of(TARGETS[target]))
        if status:
            child.files = ["build.log"]
            text = "error building package (arch noarch), mock exited with status 10; see build.log for more information"
            child.fault, child.state = Fault(1005, text), FAILED
            task.fault, task.state = child.fault, FAILED
            return
        child.state = CLOSED
        if options.get("scratch"):
            child.files = ["build.log", *(p.name for p in found)]
        else:
            self.keep(task, found, place / "build.log")
        task.state = CLOSED

    def keep(self, task: Task, found: list[Path], log: Path) -> None:
        """Move a build's files below topurl, as an import does."""
        main = next(p for p in found if p.name.endswith(".src.rpm"))
        name, version, release = main.name.removesuffix(".src.rpm").rsplit("-", 2)
        place = self.folder / "kojifiles" / "packages" / name / version / release
        rpms = []
        for path in found:
            stem, arch = path.name.removesuffix(".rpm").rsplit(".", 1)
            own, own_version, own_release = stem.rsplit("-", 2)
            (place / arch).mkdir(parents=True, exist_ok=True)
            path.rename(place / arch / path.name)
            rpms.append(
                {
                    "name": own,
                    "version": own_version,
                    "release": own_release,
                    "arch": arch,
                    "size": 1,
                }
            )
        logs = place / "data" / "logs" / "noarch"
        logs.mkdir(parents=True, exist_ok=True)
        log.rename(logs / "build.log")
        self.builds.append(
            {
                "build_id": len(self.builds) + 1,
                "task_id": task.id,
                "name": name,
                "version": version,
                "release": release,
                "nvr": f"{name}-{version}-{release}",
                "volume_name": "DEFAULT",
                "state": 1,
                "rpms": rpms,
                "logs": [
                    {
                        "name": "build.log",
                        "dir": "noarch",
                        "path": f"packages/{name}/{version}/{release}/data/logs/noarch/build.log",
                    }
                ],
            }
        )

    def leave(self, task: Task, name: str, content: bytes) -> None:
        """Put a file into a task's folder."""
        self.place(task).mkdir(parents=True, exist_ok=True)
        (self.place(task) / name).write_bytes(content)
        task.files.append(name)


class _Handler(Handler):
    server: KojiServer

    def do_GET(self) -> None:
        """Hand out a file below topurl."""
        path = urlsplit(self.path).path
        fault = self.server.faults.next(f"GET {path}")
        place = (self.server.folder / path.lstrip("/")).resolve()
        if path.startswith("/kojifiles/") and place.is_file():
            half = bool(fault and fault.kind == "half")
            self.answer(200, place.read_bytes(), "application/octet-stream", half)
        else:
            self.answer(404, b"not found", "text/html")

    def do_POST(self) -> None:
        """Answer a call, or take a piece of an upload."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path)
        if not path.path.startswith("/kojihub"):
            self.answer(404, b"not found", "text/html")
            return
        if "filename" in path.query:
            method, params = "rawUpload", ()
        else:
            params, name = loads(body, use_builtin_types=True)
            method = str(name)
        fault = self.server.faults.next(method)
        kind = fault.kind if fault else ""
        if kind == "cut":
            self.cut()
            return
        if kind == "status":
            assert fault is not None
            self.answer(int(fault.value), b"<html>error</html>", "text/html")
            return
        if kind == "garbage":
            self.answer(200, b"<html>a proxy</html>", "text/html")
            return
        try:
            if kind == "expire":
                raise Fault(1007, 'session "1" has expired')
            if kind == "fault":
                assert fault is not None
                raise Fault(int(fault.value), f"made to answer fault {int(fault.value)}")
            user = self.session(method)
            if method == "rawUpload":
                found: Any = self.piece(parse_qs(path.query), body)
            else:
                found = self.call(method, list(params), user)
            text = dumps((found,), methodresponse=True, allow_none=True)
        except Fault as exc:
            text = dumps(exc, allow_none=True)
        if kind == "after":
            self.cut()
            return
        self.answer(200, text.encode(), "text/xml", kind == "half", Koji_Version="1.36.1")

    def session(self, method: str) -> str:
        """Return the user of the session, '' without one."""
        number = int(self.headers.get("Koji-Session-Id") or 0)
        if not number:
            return ""
        key, user = self.server.sessions.get(number, ("", ""))
        if key != self.headers.get("Koji-Session-Key"):
            if method in ("login", "sslLogin"):
                return ""
            raise Fault(1002, "Invalid session or bad credentials")
        call = int(self.headers.get("Koji-Session-Callnum") or 0)
        last = self.server.calls.get(number)
        if last is not None and last == call and method == "build":
            raise Fault(1009, f"unable to retry call {call} (method {method}) for session {number}")
        self.server.calls[number] = call
        return user

    def piece(self, query: dict[str, list[str]], body: bytes) -> dict[str, Any]:
        """Take a piece of an upload."""
        place = self.server.folder / "uploads" / query["filepath"][0] / query["filename"][0]
        place.parent.mkdir(parents=True, exist_ok=True)
        offset = int(query["offset"][0])
        with place.open("r+b" if offset else "wb") as stream:
            stream.seek(offset)
            stream.write(body)
        return {"size": len(body), "hexdigest": f"{zlib.adler32(body) & 0xFFFFFFFF:08x}"}

    def call(self, method: str, params: list[Any], user: str) -> Any:
        """Return the result of a call."""
        keywords: dict[str, Any] = {}
        if params and isinstance(params[-1], dict) and params[-1].pop("__starstar", None):
            keywords = params.pop()
        handler = getattr(self, f"rpc_{method}", None)
        if handler is None:
            raise Fault(1000, f"Invalid method: {method}")
        open_to_all = ("login", "sslLogin", "getAPIVersion", "getKojiVersion", "getBuildTarget")
        if not user and method in ("build", "checkUpload", "cancelTask", "getLoggedInUser"):
            raise Fault(1002 if method not in open_to_all else 1000, "not logged in")
        self.user = user
        return handler(*params, **keywords)

    def new_session(self, user: str) -> dict[str, Any]:
        number = len(self.server.sessions) + 1
        self.server.sessions[number] = (f"key-{number}", user)
        return {"session-id": number, "session-key": f"key-{number}", "header-auth": True}

    def rpc_login(self, user: str, password: str, opts: Any = None, **_: Any) -> Any:
        if self.server.users.get(user) != password:
            raise Fault(1002, "invalid username or password")
        return self.new_session(user)

    def rpc_sslLogin(self, **_: Any) -> Any:
        certificate = self.connection.getpeercert() if self.server.tls else None  # type: ignore[attr-defined]
        if not certificate:
            raise Fault(1002, "could not verify client: NONE")
        names = {key: value for part in certificate["subject"] for key, value in part}
        return self.new_session(str(names["commonName"]))

    def rpc_logout(self, session_id: Any = None) -> None:
        return None

    def rpc_getAPIVersion(self) -> int:
        return 1

    def rpc_getKojiVersion(self) -> str:
        return "1.36.1"

    def rpc_getLoggedInUser(self) -> Any:
        return {"id": 7, "name": self.user}

    def rpc_getBuildTarget(self, name: str, **_: Any) -> Any:
        if name not in TARGETS:
            return None
        tag = TARGETS[name]
        return {
            "id": 1,
            "name": name,
            "build_tag": 2,
            "build_tag_name": f"{tag}-build",
            "dest_tag": 3,
            "dest_tag_name": name,
        }

    def rpc_getBuildTargets(self, *_: Any, **__: Any) -> Any:
        return [self.rpc_getBuildTarget(name) for name in TARGETS]

    def rpc_getTag(self, tag: Any, **_: Any) -> Any:
        locked = "f43-locked" in self.server.outcomes
        return {"id": 3, "name": "tag", "locked": locked}

    def rpc_checkUpload(self, path: str, name: str, **_: Any) -> Any:
        file = self.server.folder / "uploads" / path / name
        if not file.is_file():
            return None
        data = file.read_bytes()
        return {"size": len(data), "hexdigest": f"{zlib.adler32(data) & 0xFFFFFFFF:08x}"}

    def rpc_build(self, src: str, target: str, opts: Any = None, **_: Any) -> int:
        task = self.server.new_task("build", [src, target, opts or {}])
        threading.Thread(target=self.server.run, args=(task,), daemon=True).start()
        return task.id

    def task(self, number: int) -> Task:
        if number not in self.server.tasks:
            raise Fault(1000, f"No such task: {number}")
        return self.server.tasks[number]

    def info(self, task: Task, request: bool = False) -> dict[str, Any]:
        data = {
            "id": task.id,
            "method": task.method,
            "parent": task.parent,
            "state": task.state,
            "create_ts": task.created,
            "owner": 7,
            "arch": "noarch",
        }
        return {**data, "request": task.request} if request else data

    def rpc_getTaskInfo(self, task_id: int, request: bool = False, **_: Any) -> Any:
        found = self.server.tasks.get(task_id)
        return self.info(found, request) if found else None

    def rpc_getTaskChildren(self, task_id: int, request: bool = False, **_: Any) -> Any:
        return [
            self.info(t, request) for t in list(self.server.tasks.values()) if t.parent == task_id
        ]

    def rpc_getTaskResult(self, task_id: int, **_: Any) -> Any:
        task = self.task(task_id)
        if task.state not in OVER:
            raise Fault(1000, f"Task {task_id} is not finished")
        if task.fault is not None:
            raise task.fault
        return {}

    def rpc_listTasks(self, opts: Any = None, queryOpts: Any = None) -> Any:
        found = [t for t in self.server.tasks.values() if t.method == opts["method"]]
        found = [t for t in found if t.created > opts.get("createdAfter", 0)]
        return [self.info(t, True) for t in sorted(found, key=lambda t: -t.id)]

    def rpc_listTaskOutput(self, task_id: int, **_: Any) -> Any:
        return self.task(task_id).files

    def rpc_downloadTaskOutput(
        self, task_id: int, name: str, offset: int = 0, size: int = -1, **_: Any
    ) -> str:
        data = (self.server.place(self.task(task_id)) / name).read_bytes()[offset:]
        return base64.b64encode(data if size < 0 else data[:size]).decode()

    def rpc_cancelTask(self, task_id: int, **_: Any) -> None:
        task = self.task(task_id)
        if task.state not in OVER:
            task.state = CANCELED

    def rpc_listBuilds(self, **keywords: Any) -> Any:
        hidden = ("rpms", "logs")
        return [
            {k: v for k, v in b.items() if k not in hidden}
            for b in self.server.builds
            if b["task_id"] == keywords.get("taskID")
        ]

    def rpc_listBuildRPMs(self, build: int) -> Any:
        return next(b["rpms"] for b in self.server.builds if b["build_id"] == build)

    def rpc_getBuildLogs(self, build: int) -> Any:
        return next(b["logs"] for b in self.server.builds if b["build_id"] == build)
