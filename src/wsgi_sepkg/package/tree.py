"""The generated tree: policy sources, spec and packaging files, rendered in memory, then written.

Nothing is half written: all files are made under a temporary name first and renamed at the end. A
file that this program did not write, or that was edited since, is never replaced without being
asked to.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from wsgi_sepkg import resources
from wsgi_sepkg.errors import ForeignFile, WsgiSepkgError
from wsgi_sepkg.package import plan as planning
from wsgi_sepkg.package import services, spec
from wsgi_sepkg.package.model import Plan
from wsgi_sepkg.policy import render
from wsgi_sepkg.policy.derive import derive
from wsgi_sepkg.policy.model import Policy
from wsgi_sepkg.project import names, processes
from wsgi_sepkg.project.load import Loaded
from wsgi_sepkg.project.schema import Application

RECORD = ".wsgi-sepkg.json"
LOCAL_FILES = ("local.te", "local.fc")


@dataclass(frozen=True)
class Tree:
    """What a description becomes: ``files`` maps paths relative to the project to their bytes.

    ``wheels`` are the sources that are too large to be held here: their names, and where they lie.
    """

    loaded: Loaded
    policy: Policy
    plan: Plan
    files: Mapping[str, bytes]
    wheels: Mapping[str, Path] = field(default_factory=dict)

    @property
    def spec_name(self) -> str:
        """Name of the spec file."""
        return f"{self.plan.name}.spec"

    @cached_property
    def sources(self) -> dict[str, bytes]:
        """The sources of the SRPM but archive and wheels, by name, hand-written ones included."""
        found = {}
        for source in self.plan.sources:
            path = f"{source.folder}/{source.name}"
            if path in self.files:
                found[source.name] = self.files[path]
            elif source.name in LOCAL_FILES:
                found[source.name] = (self.loaded.folder / path).read_bytes()
        return found

    def archive_members(self) -> list[Path]:
        """Return the files of the application, relative to its source; [] without one."""
        application = self.loaded.description.application
        if application is None:
            return []
        return application_files(self.loaded, application, self.files)


def application_files(
    loaded: Loaded, application: Application, generated: Iterable[str] = ()
) -> list[Path]:
    """Return the files of the source tree that are shipped: none of ours, none excluded."""
    from wsgi_sepkg.package.archive import SECRET_LOOKING, source_files

    root = loaded.folder / application.source
    own = set(generated) | {RECORD}
    exclude = [*application.exclude, *SECRET_LOOKING, *planning.PIPELINE_FILES]
    if root.resolve() == loaded.folder.resolve():
        exclude += [f"/{planning.POLICY_FOLDER}", f"/{planning.PACKAGING_FOLDER}", "/*.spec"]
        exclude += ["/*.toml", "/out"]
        exclude += [f"/{item.source}" for item in loaded.description.file]
        exclude += [f"/{unit.source}" for unit in loaded.description.unit]
    return [p for p in source_files(root, exclude) if p.as_posix() not in own]


def generate(loaded: Loaded, wheels: Path | None = None, *, policy_only: bool = False) -> Tree:
    """Render everything that ``loaded`` describes. Nothing is written, and no tool is run but pip.

    pip downloads the wheels of an application that bundles its dependencies, where neither the
    folder ``wheels`` nor the cache has them. ``policy_only`` is for those who need no package: it
    does without the wheels. Raises what ``wheels.gather`` raises.
    """
    description, target = loaded.description, loaded.target
    gathered = None
    if names.environment_folder(description) and not policy_only:
        from wsgi_sepkg.package.wheels import gather

        gathered = gather(loaded, wheels)
    policy = derive(description, target)
    folder = loaded.folder / planning.POLICY_FOLDER
    local = tuple(name for name in LOCAL_FILES if (folder / name).is_file())
    newest = None if description.changelog else _newest_day(loaded)
    bundle = gathered.bundle if gathered is not None else None
    packages = _packages(loaded)
    plan = planning.plan(description, policy, target, local, newest, bundle, packages)
    files: dict[str, bytes] = {}

    def put(place: str, name: str, text: str | bytes) -> None:
        files[f"{place}/{name}" if place else name] = (
            text.encode() if isinstance(text, str) else text
        )

    file_contexts = render.fc(policy, target)
    put(planning.POLICY_FOLDER, f"{policy.module}.te", render.te(policy, target))
    put(planning.POLICY_FOLDER, f"{policy.module}.fc", file_contexts)
    put(planning.POLICY_FOLDER, f"{policy.module}.if", render.interface_file(policy))
    if policy.ports:
        put(planning.POLICY_FOLDER, f"{policy.ports_module}.cil", render.ports_cil(policy))
    local_fc = (folder / "local.fc").read_bytes() if "local.fc" in local else b""
    digest = hashlib.sha256(file_contexts.encode() + local_fc).hexdigest()
    place = planning.PACKAGING_FOLDER
    put(place, planning.MANIFEST, spec.manifest(plan, digest))
    put(place, planning.CHECK_SCRIPT, _check_script())
    put(place, planning.CHECK_FILE, check_file(policy, plan))
    if description.application is not None:
        for name, text in (bundle.locks if bundle is not None else {}).items():
            put(place, name, text)
        build_script = resources.folder("specs") / planning.BUILD_SCRIPT
        put(place, planning.BUILD_SCRIPT, build_script.read_bytes())
        for name, text in _snippets(loaded, plan, policy).items():
            put(place, name, text)
        for item in description.file:
            payload = (loaded.folder / item.source).read_bytes()
            put(place, planning.payload_name(item.path), payload)
        for unit in description.unit:
            put(place, Path(unit.source).name, (loaded.folder / unit.source).read_bytes())
    put("", f"{plan.name}.spec", spec.render(plan))
    return Tree(loaded, policy, plan, files, gathered.files if gathered is not None else {})


def _packages(loaded: Loaded) -> tuple[str, ...]:
    """Return the distribution's packages that the requirements file asks for."""
    application = loaded.description.application
    if application is None or application.dependencies == "bundled" or not application.requirements:
        return ()
    from wsgi_sepkg.package import distribution
    from wsgi_sepkg.project.requirements import text_of

    default = loaded.target.default_python
    python = loaded.target.pythons[application.python or default]
    text = text_of(loaded.folder / application.requirements)
    return distribution.requires(text, python, default)


def _newest_day(loaded: Loaded) -> datetime.date:
    """Return the day of the newest source (UTC), which becomes the date of the changelog."""
    from wsgi_sepkg.package.archive import newest_time

    application = loaded.description.application
    newest = int(loaded.file.stat().st_mtime)
    if application is not None:
        root = loaded.folder / application.source
        newest = max(newest, newest_time(root, application_files(loaded, application)))
    return datetime.datetime.fromtimestamp(newest, tz=datetime.UTC).date()


def _check_script() -> bytes:
    from wsgi_sepkg.policy import __file__ as package

    return (Path(package).parent / "buildcheck.py").read_bytes()


def check_file(policy: Policy, plan: Plan) -> str:
    """Return what the %check of the spec expects, as JSON for the travelling script."""
    expect: list[dict[str, object]] = []
    for promise in policy.promises:
        vector = {
            "source": promise.source,
            "target": promise.target,
            "class": promise.class_,
            "permissions": list(promise.permissions),
        }
        word = "allow" if promise.allow else "deny"
        expect.append({word: vector, "key": promise.why.key, "reason": promise.why.reason})
    for label in policy.labels:
        expect.append(
            {
                "path": label.path,
                "file-type": _FILE_WORDS[label.file_type],
                "type": label.type,
                "key": label.why.key,
                "reason": label.why.reason,
            }
        )
    document = {
        "module": {"name": plan.module, "priority": 200},
        "booleans": {b.name: bool(b.value) for b in plan.booleans},
        "expect": expect,
    }
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


_FILE_WORDS = {
    "any": "file",
    "file": "file",
    "directory": "dir",
    "symlink": "link",
    "socket": "socket",
    "pipe": "pipe",
    "block-device": "block",
    "character-device": "char",
}


def _snippets(loaded: Loaded, plan: Plan, policy: Policy) -> dict[str, str]:
    """Return what serves the application: web server, logs, folders, account, migration."""
    description, target = loaded.description, loaded.target
    application, app = description.application, plan.application
    assert application is not None
    assert app is not None
    server = target.servers[application.server]
    user, group = processes.account(description, target)
    name = description.project.name
    environment = render.environment("templates")
    by_use = {
        use: entry.path for use, _, entry in reversed(list(names.path_entries(description.path)))
    }
    module, _, function = application.wsgi.partition(":")
    script = module.replace(".", "/") + ".py"
    media = by_use.get("media", "")

    def folder_pair(url: str, folder: str) -> tuple[str, str]:
        return (url, folder + "/" if url.endswith("/") else folder) if url and folder else ("", "")

    static_url, static_root = folder_pair(
        application.static_url if application.static != "none" else "", by_use.get("static", "")
    )
    media_url, media_root = folder_pair(application.media_url, media)
    confined = {p.name: p for p in processes.processes(description, target)}
    main = confined.get(processes.main_name(description))
    upstream = f"http://{application.upstream}" if application.upstream else ""
    form = "application"
    if application.server == "httpd" and main is not None:
        form = application.confinement
    if main is not None and main.socket:
        # httpd wants the name of a server behind the path; nothing looks it up.
        httpd = application.server == "httpd"
        upstream = f"unix:{main.socket}|http://{name}/" if httpd else f"http://unix:{main.socket}"
    elif main is not None and main.port:
        upstream = f"http://{main.host}:{main.port}" + "/" * (application.server == "httpd")
    entry = planning.wsgi_path(description)
    files = {
        f"{name}.conf": environment.get_template(f"{application.server}/{form}.conf.j2").render(
            name=name,
            domain=main.domain if main is not None else server.domain,
            enter=planning.enter_path(description),
            entry=entry,
            entry_folder=entry.rpartition("/")[0],
            entry_name=entry.rpartition("/")[2],
            served=[url for url in (static_url, media_url) if url],
            socket_prefix=server.socket_prefix,
            user=user,
            group=group,
            processes=application.processes,
            threads=application.threads,
            root=application.root,
            static_url=static_url,
            static_root=static_root,
            media_url=media_url,
            media_root=media_root,
            media_pattern=media.replace(".", r"\.").replace("+", r"\+"),
            url=application.url,
            script=script,
            script_folder=script.rpartition("/")[0],
            script_name=script.rpartition("/")[2],
            callable="" if function == "application" else f" callable-object={function}",
            upstream=upstream,
            environment=app.bundle.folder if app.bundle is not None else "",
        )
    }
    wanted = {s.name for s in plan.sources}
    if f"{name}.logrotate" in wanted:
        places = {e.path for use, _, e in names.path_entries(description.path) if use == "log"}
        logs = [f for f in app.folders if f.path in places]
        files[f"{name}.logrotate"] = environment.get_template("system/logrotate.j2").render(
            name=name, logs=logs
        )
    if f"{name}.tmpfiles" in wanted:
        folders = planning.volatile_folders(description, target)
        folders += [f for f in app.folders if f.path.startswith("/var/")]
        files[f"{name}.tmpfiles"] = environment.get_template("system/tmpfiles.j2").render(
            name=name, folders=sorted(folders, key=lambda f: f.path)
        )
    if f"{name}.sysusers" in wanted:
        files[f"{name}.sysusers"] = environment.get_template("system/sysusers.j2").render(
            name=name, accounts=app.accounts, home=application.root
        )
    files |= services.files(description, plan, target)
    if application.migrate == "unit" and not confined:
        template = environment.get_template("system/migrate.service.j2")
        files[f"{name}-migrate.service"] = template.render(
            name=name,
            user=user,
            group=group,
            root=application.root,
            settings=application.settings,
            python=app.interpreter,
        )
    return files


def remarks(tree: Tree) -> list[str]:
    """Return what a person should know before the tree is built: what is left out or not used."""
    from wsgi_sepkg.package.archive import SECRET_LOOKING, source_files

    found = []
    application = tree.loaded.description.application
    if application is not None:
        root = tree.loaded.folder / application.source
        every = {p.as_posix() for p in source_files(root, application.exclude)}
        public = source_files(root, [*application.exclude, *SECRET_LOOKING])
        for name in sorted(every - {p.as_posix() for p in public}):
            found.append(f"{name} is not shipped: it looks like a secret")
    before = _record(tree.loaded.folder)
    for name, content in sorted(tree.files.items()):
        digest = _digest(tree.loaded.folder / name)
        if name in before and digest not in ("", before[name], hashlib.sha256(content).hexdigest()):
            found.append(
                f"{name} was edited; the package is made from {tree.loaded.file.name} and does not "
                "have the edit. Additions belong in selinux/local.te and local.fc"
            )
    return found


# -- writing -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Written:
    """What ``write`` did, paths relative to the folder."""

    folder: Path
    written: tuple[str, ...]
    unchanged: tuple[str, ...]
    removed: tuple[str, ...]


def write(tree: Tree, folder: Path, *, force: bool = False, dry_run: bool = False) -> Written:
    """Write the tree into ``folder``.

    Raises ForeignFile, having written nothing, when a file there is not ours or was edited since
    and ``force`` is not set. Files that were generated earlier and are no longer wanted go.
    """
    return write_files(tree.files, folder, RECORD, force=force, dry_run=dry_run)


def write_files(
    files: Mapping[str, bytes],
    folder: Path,
    record_name: str,
    *,
    force: bool = False,
    dry_run: bool = False,
    keep_others: bool = False,
) -> Written:
    """Write ``files`` below ``folder`` and what they were into the file ``record_name`` there.

    ``keep_others`` leaves files that were written earlier and are not among ``files``. Raises
    ForeignFile, having written nothing, as ``write`` does.
    """
    before = _record(folder, record_name)
    foreign, changed, unchanged = [], [], []
    for name, content in sorted(files.items()):
        path = folder / name
        if not path.exists() and not path.is_symlink():
            changed.append(name)
            continue
        present = path.read_bytes() if path.is_file() else b""
        if present == content and path.is_file():
            unchanged.append(name)
        elif force or before.get(name) == hashlib.sha256(present).hexdigest():
            changed.append(name)
        else:
            foreign.append(name)
    if foreign:
        raise ForeignFile(
            "not overwritten, because they were not written by wsgi-sepkg or were edited since:\n"
            + "\n".join(f"    {folder / name}" for name in foreign),
            "keep additions in selinux/local.te and local.fc, or use --force",
        )
    stale = [
        name
        for name, digest in sorted(before.items())
        if not keep_others and name not in files and _digest(folder / name) == digest
    ]
    if not dry_run:
        record = {name: hashlib.sha256(c).hexdigest() for name, c in files.items()}
        record = {**before, **record} if keep_others else record
        text = json.dumps(record, indent=1, sort_keys=True) + "\n"
        contents = {name: files[name] for name in changed}
        if before != record:
            contents[record_name] = text.encode()
        replace_files(folder, contents)
        for name in stale:
            (folder / name).unlink(missing_ok=True)
    return Written(folder, tuple(changed), tuple(unchanged), tuple(stale))


def _record(folder: Path, name: str = RECORD) -> dict[str, str]:
    try:
        data = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(data, dict):
        return {}
    return {k: v for k, v in data.items() if isinstance(v, str) and ".." not in k.split("/")}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def replace_files(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write all ``contents`` below ``folder``, or nothing: temporary names first, then renames.

    Raises WsgiSepkgError when the disk is full or the folder cannot be written.
    """
    import tempfile

    waiting: list[tuple[Path, Path]] = []
    made: list[Path] = []
    try:
        for name, content in contents.items():
            path = folder / name
            missing = [p for p in (path.parent, *path.parent.parents) if not p.exists()]
            for parent in reversed(missing):
                parent.mkdir()
                made.append(parent)
            handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
            waiting.append((Path(temporary), path))
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
            Path(temporary).chmod(0o644)
        while waiting:
            temporary_path, path = waiting[0]
            temporary_path.replace(path)
            waiting.pop(0)
            made.clear()
    except OSError as exc:
        raise WsgiSepkgError(f"{folder}: {exc.strerror or exc}; nothing was changed") from exc
    finally:
        for temporary_path, _ in waiting:
            temporary_path.unlink(missing_ok=True)
        for parent in reversed(made if waiting else []):
            parent.rmdir()
