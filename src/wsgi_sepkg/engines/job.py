"""A build for many targets: what was asked for, what was submitted, what came of it, on disk.

The record is written before each step that cannot be taken back, so that a build whose client was
killed can be followed, and nothing is submitted twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from wsgi_sepkg.engines.base import Engine, Progress, Results, State, Submission
from wsgi_sepkg.engines.rpmbuild import move_results
from wsgi_sepkg.errors import (
    BuildFailed,
    BuildStopped,
    ServiceFailed,
    ServiceRefused,
    UsageError,
    WsgiSepkgError,
)

FOLDER = ".wsgi-sepkg"
_RECORD = "job.json"
# A question that fails is asked again this often before the service counts as failed.
PATIENCE = 5
# Seconds after an intent in which a server may still be at work on a request of a killed client.
SETTLE = 30.0


class Failure(msgspec.Struct):
    """An error as it is kept: ``kind`` is the name of its class."""

    kind: str
    message: str
    hint: str
    status: int


class Entry(msgspec.Struct):
    """What is known of one target: where it is built, how far it is, what it left."""

    target: str
    root: str = ""
    state: State = State.waiting
    detail: str = ""
    url: str = ""
    packages: list[str] = []
    logs: list[str] = []
    failure: Failure | None = None
    seconds: float = 0.0


class Sent(msgspec.Struct):
    """One submission: ``intended`` is when it was about to be sent (0: not yet), ``build`` what the
    engine calls it ('' until that is known)."""

    key: str
    targets: list[str]
    nvr: str
    sha256: str
    srpm: str = ""
    scm: str = ""
    intended: float = 0.0
    build: str = ""


class Record(msgspec.Struct):
    """A job: the engine and its settings (never a secret), submissions and targets."""

    id: str
    engine: str
    project: str
    created: float
    settings: dict[str, Any]
    sent: list[Sent]
    entries: list[Entry]
    format: int = 1


class Job:
    """A record in its folder ``OUTDIR/.wsgi-sepkg/ID/``."""

    def __init__(self, folder: Path, record: Record) -> None:
        self.folder = folder
        self.record = record

    @classmethod
    def create(cls, outdir: Path, engine: str, project: str, settings: dict[str, Any]) -> Job:
        """Return a new job; its folder is made."""
        now = time.time()
        day = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
        name = f"{day}-{secrets.token_hex(2)}"
        folder = outdir.resolve() / FOLDER / name
        try:
            folder.mkdir(parents=True)
        except OSError as exc:
            raise UsageError(
                f"{exc.filename or folder}: {exc.strerror or exc}", "choose another --outdir"
            ) from exc
        return cls(folder, Record(name, engine, project, now, settings, [], []))

    @classmethod
    def load(cls, name: str, outdir: Path) -> Job:
        """Return the job ``name``: an ID, or the engine's own number of one of its builds.

        It is looked for in ``outdir``, then where the index of this user says. Raises UsageError.
        """
        jobs = outdir.resolve() / FOLDER
        places = [jobs / name] if name and "/" not in name and name not in (".", "..") else []
        index = _index()
        if places and index is not None and (index / name).is_file():
            places.append(Path((index / name).read_text(encoding="utf-8").strip()))
        for place in places:
            if (place / _RECORD).is_file():
                return cls.read(place)
        for job in cls.all(outdir):
            if any(name in (s.build, s.key) for s in job.record.sent):
                return job
        known = [job.record.id for job in cls.all(outdir)][-5:]
        raise UsageError(
            f"{name}: no such job in {outdir}",
            f"known there: {', '.join(known)}" if known else "name its folder with --outdir",
        )

    @classmethod
    def read(cls, folder: Path) -> Job:
        """Return the job whose record lies in ``folder``."""
        try:
            record = msgspec.json.decode((folder / _RECORD).read_bytes(), type=Record)
        except (OSError, msgspec.MsgspecError) as exc:
            raise UsageError(
                f"{folder / _RECORD}: {exc}", "it was not written by this version of wsgi-sepkg"
            ) from exc
        return cls(folder, record)

    @classmethod
    def all(cls, outdir: Path) -> list[Job]:
        """Return the jobs of ``outdir`` that can be read, the oldest first."""
        found = []
        for folder in sorted((outdir.resolve() / FOLDER).glob(f"*/{_RECORD}")):
            with contextlib.suppress(UsageError):
                found.append(cls.read(folder.parent))
        return found

    @property
    def outdir(self) -> Path:
        """The folder into which results go."""
        return self.folder.parent.parent

    @property
    def over(self) -> bool:
        """Tell whether nothing is left to follow."""
        return all(e.state.over and not _again(e) for e in self.record.entries)

    def entry(self, target: str) -> Entry:
        """Return what is known of ``target``."""
        return next(e for e in self.record.entries if e.target == target)

    def save(self) -> None:
        """Write the record, whole or not at all, and onto the disk before this returns."""
        part = self.folder / f"{_RECORD}.part"
        with part.open("wb") as stream:
            stream.write(msgspec.json.format(msgspec.json.encode(self.record), indent=1) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(self.folder / _RECORD)
        index = _index()
        if index is not None:
            with contextlib.suppress(OSError):
                (index / self.record.id).write_text(f"{self.folder}\n", encoding="utf-8")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep every other process from following the job. Raises UsageError when one does."""
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageError(
                    f"job {self.record.id} is followed by another process",
                    "let that one go on, or end it first",
                ) from None
            yield

    def submission(self, sent: Sent) -> Submission:
        """Return the submission as the engine takes it."""
        return Submission(
            key=sent.key,
            roots={t: self.entry(t).root for t in sent.targets},
            nvr=sent.nvr,
            sha256=sent.sha256,
            srpm=self.folder / sent.srpm if sent.srpm else None,
            scm=sent.scm,
            work=self.folder / sent.key,
            created=self.record.created,
            project=self.record.project,
        )

    def tidy(self) -> None:
        """Remove what is not needed once all targets are built: sources and result folders."""
        if all(e.state is State.succeeded for e in self.record.entries):
            for path in self.folder.iterdir():
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)


def _index() -> Path | None:
    """Return the folder that tells where jobs are, so that an ID is enough to follow one."""
    base = os.environ.get("XDG_STATE_HOME", "")
    home = os.environ.get("HOME", "")
    if not base.startswith("/"):
        base = f"{home}/.local/state" if home.startswith("/") else ""
    if not base:
        return None
    folder = Path(base) / "wsgi-sepkg" / "jobs"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return None
    return folder


def new_key() -> str:
    """Return a word that no other submission carries."""
    return f"wsgisepkg-{secrets.token_hex(5)}"


def _again(entry: Entry) -> bool:
    """Tell whether following may change it: the service failed, not the build."""
    return entry.failure is not None and entry.failure.status == ServiceFailed.exit_status


def failure(error: WsgiSepkgError) -> Failure:
    """Return an error as it is kept in the record."""
    return Failure(type(error).__name__, error.message, error.hint, error.exit_status)


Watcher = Callable[[Job], None]


class Runner:
    """Drives one job with one engine until every target is over.

    One thread: an engine never waits, so all builds are asked in turn. ``jobs`` bounds how many
    are under way at once (0: no bound). ``watch`` is called after every change.
    """

    def __init__(
        self,
        job: Job,
        engine: Engine,
        jobs: int = 0,
        timeout: float = 0,
        watch: Watcher | None = None,
    ) -> None:
        self.job = job
        self.engine = engine
        self._jobs = jobs or len(job.record.sent)
        self._limit = timeout
        self._watch = watch or (lambda _: None)
        self._failed: dict[str, int] = {}
        self._began: dict[str, float] = {}

    def run(self, wait: bool = True) -> None:
        """Submit what is not submitted and follow all; without ``wait`` return once all are sent.

        An error of one target is kept with that target; the others go on. Raises BuildStopped when
        the time is over: the builds go on in the service.
        """
        started = time.monotonic()
        for entry in self.job.record.entries:
            if _again(entry):
                entry.state, entry.failure = State.waiting, None
        self.job.save()
        self._watch(self.job)
        while True:
            self._start()
            sent = [s for s in self.job.record.sent if s.build and not self._over(s)]
            if not wait and not self._waiting():
                return
            if not sent and not self._waiting():
                break
            for one in sent:
                self._ask(one)
            if all(self._over(s) for s in self.job.record.sent):
                break
            if self._limit and time.monotonic() - started > self._limit:
                raise ServiceFailed(
                    f"not done after {self._limit:g} seconds",
                    f"the builds go on: wsgi-sepkg build --follow {self.job.record.id}",
                )
            if any(not self._over(s) for s in sent):
                time.sleep(self.engine.interval)
        self.job.tidy()

    def _waiting(self) -> list[Sent]:
        return [s for s in self.job.record.sent if not s.build and not self._over(s)]

    def _over(self, sent: Sent) -> bool:
        return all(self.job.entry(t).state.over for t in sent.targets)

    def _set(self, target: str, progress: Progress) -> None:
        entry = self.job.entry(target)
        before = (entry.state, entry.detail)
        entry.state, entry.detail = progress.state, progress.detail
        entry.url = progress.url or entry.url
        if (entry.state, entry.detail) != before:
            self._watch(self.job)

    def _fail(self, targets: list[str], error: WsgiSepkgError) -> None:
        for target in targets:
            entry = self.job.entry(target)
            if not entry.state.over:
                entry.state, entry.failure = State.failed, failure(error)
                entry.detail = ""
        self.job.save()
        self._watch(self.job)

    # -- submitting --------------------------------------------------------------------------------

    def _start(self) -> None:
        """Submit as many as may be under way."""
        for sent in self._waiting():
            active = [s for s in self.job.record.sent if s.build and not self._over(s)]
            if len(active) >= self._jobs:
                return
            try:
                self._submit(sent)
            except WsgiSepkgError as exc:
                self._fail(sent.targets, exc)

    def _submit(self, sent: Sent) -> None:
        submission = self.job.submission(sent)
        if sent.intended:
            sent.build = self._look(submission, sent)
        if not sent.build:
            self.engine.prepare(submission)
            # From here on the server may have it, whatever happens to us: the intent is on disk.
            sent.intended = time.time()
            self.job.save()
            try:
                sent.build = self.engine.submit(submission)
            except ServiceRefused:
                raise
            except ServiceFailed as exc:
                sent.build = self._rescued(submission, exc)
        self._began[sent.key] = time.monotonic()
        for target in sent.targets:
            self._set(target, Progress(State.queued, sent.build if self.engine.remote else ""))
        self.job.save()
        self._watch(self.job)

    def _look(self, submission: Submission, sent: Sent) -> str:
        """Return the build that an intent led to; a request of a killed client may still be on."""
        settle = min(SETTLE, 10 * self.engine.interval) if self.engine.remote else 0.0
        while True:
            found = self.engine.find(submission)
            age = time.time() - sent.intended
            if found or not 0 <= age < settle:
                return found
            time.sleep(min(self.engine.interval, settle - age))

    def _rescued(self, submission: Submission, error: ServiceFailed) -> str:
        """Return the build of a call whose answer was lost. Raises the error when there is none."""
        for attempt in range(3):
            if attempt:
                time.sleep(min(self.engine.interval, 5))
            with contextlib.suppress(ServiceFailed):
                found = self.engine.find(submission)
                if found:
                    return found
        raise type(error)(
            error.message,
            f"{error.hint}; whether it was submitted is looked up by: wsgi-sepkg build --follow "
            f"{self.job.record.id}",
        )

    # -- following ---------------------------------------------------------------------------------

    def _ask(self, sent: Sent) -> None:
        """Ask for the state of one submission, and finish each target that is over."""
        submission = self.job.submission(sent)
        try:
            found = self.engine.follow(submission, sent.build)
            for target, progress in found.items():
                if self.job.entry(target).state.over:
                    continue
                if progress.state.over:
                    self._finish(sent, submission, target, progress)
                else:
                    self._set(target, progress)
            self._failed[sent.key] = 0
        except ServiceFailed as exc:
            count = self._failed[sent.key] = self._failed.get(sent.key, 0) + 1
            if isinstance(exc, ServiceRefused) or count >= PATIENCE:
                hint = exc.hint
                if "--follow" not in hint:
                    hint += "; the build goes on: wsgi-sepkg build --follow"
                hint = hint.replace("--follow", f"--follow {self.job.record.id}")
                self._fail(sent.targets, type(exc)(exc.message, hint))
            else:
                for target in sent.targets:
                    if not self.job.entry(target).state.over:
                        self.job.entry(target).detail = "the service does not answer, asking again"
                self._watch(self.job)
        except WsgiSepkgError as exc:
            self._fail(sent.targets, exc)

    def _finish(self, sent: Sent, submission: Submission, target: str, progress: Progress) -> None:
        """Fetch what is there and put it into the target's folder; keep the error of a failure."""
        entry = self.job.entry(target)
        place = self.job.outdir / target
        try:
            place.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="fetch-", dir=self.job.folder) as temporary:
                found = self.engine.fetch(submission, sent.build, target, Path(temporary))
                logs = move_results(found.logs, place)
                packages: tuple[Path, ...] = ()
                if progress.state is State.succeeded and found.packages:
                    packages = move_results(found.packages, place)
        except OSError as exc:
            raise UsageError(f"{exc.filename or place}: {exc.strerror or exc}") from exc
        error: WsgiSepkgError | None = None
        if progress.state is not State.succeeded:
            error = self.engine.failure(submission, sent.build, target, Results((), logs))
        elif not packages:
            error = BuildFailed(
                f"the build for {target} ended well, but there are no packages",
                f"look at {progress.url or 'the logs'}",
            )
        entry.packages = [str(p) for p in packages]
        entry.logs = [str(p) for p in logs]
        entry.seconds = round(time.monotonic() - self._began.get(sent.key, time.monotonic()), 1)
        if error is None:
            entry.failure = None
        else:
            entry.failure = failure(error)
        entry.state, entry.detail = progress.state, ""
        if error is not None and entry.state is State.succeeded:
            entry.state = State.failed
        entry.url = progress.url or entry.url
        self.job.save()
        self._watch(self.job)

    def cancel(self) -> None:
        """Stop every build that is under way; what is over stays as it is."""
        for sent in self.job.record.sent:
            if self._over(sent):
                continue
            submission = self.job.submission(sent)
            try:
                if not sent.build and sent.intended:
                    sent.build = self.engine.find(submission)
                if sent.build:
                    self.engine.cancel(submission, sent.build)
            except WsgiSepkgError as exc:
                self._fail(sent.targets, exc)
                continue
            for target in sent.targets:
                entry = self.job.entry(target)
                if not entry.state.over:
                    entry.state, entry.detail = State.canceled, ""
                    entry.failure = failure(BuildStopped("canceled by wsgi-sepkg build --cancel"))
        self.job.save()
        self._watch(self.job)


def statuses(entries: list[Entry]) -> Mapping[str, int]:
    """Return the exit status of each target: 0, or that of its error."""
    return {e.target: e.failure.status if e.failure else 0 for e in entries}


def exit_status(entries: list[Entry]) -> int:
    """Return the status of the whole: that of the gravest error, a failed service before all."""
    return max(statuses(entries).values(), default=0)
