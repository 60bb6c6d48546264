"""Does the description make sense on its target? Every mistake is found in one pass.

Only the facts of ``targets/`` are asked here, so it takes milliseconds and needs no policy;
``check`` and ``build`` ask the real headers and the linked policy.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Iterable, Sequence
from functools import cache
from pathlib import Path

from wsgi_sepkg import targets
from wsgi_sepkg.errors import Problem
from wsgi_sepkg.project import names, processes, values
from wsgi_sepkg.project.place import joined
from wsgi_sepkg.project.schema import (
    AccessVector,
    Application,
    ChangelogEntry,
    Connect,
    Description,
    Expect,
    FileContext,
    PathEntry,
    Port,
    Process,
    Rule,
)
from wsgi_sepkg.project.values import shown
from wsgi_sepkg.targets import Facts, Target, did_you_mean, domains

# Django release: (oldest, newest) Python 3 minor; docs.djangoproject.com/en/dev/faq/install/
DJANGO_PYTHON = {
    "2.2": (5, 9),
    "3.2": (6, 10),
    "4.0": (8, 10),
    "4.1": (8, 11),
    "4.2": (8, 12),
    "5.0": (10, 12),
    "5.1": (10, 13),
    "5.2": (10, 14),
    "6.0": (12, 14),
}
# Where rpm must not put files: gone after a boot, or the home of people.
_NOT_SHIPPED = ("/dev", "/home", "/proc", "/root", "/run", "/sys", "/tmp", "/var/run", "/var/tmp")  # noqa: S108
# Links on every target: files are shipped below /usr (file-hierarchy(7)).
_MERGED = ("/bin", "/lib", "/lib64", "/sbin")
# Uses that a web server must not hand out when they lie below what it serves.
_NOT_SERVED = ("config", "data", "log", "runtime", "secret", "socket", "temporary")
# Macros that a [[call]] may use beside interfaces; the others shape the policy's text.
_CALLABLE = re.compile(r".*_pattern|can_exec|domain_(auto_)?trans")
_BROAD_BOOLEANS = {
    "httpd_can_network_connect": "[[connect]] opens the one service that is needed",
    "httpd_execmem": "it lets every page of the server's memory be written and run",
    "httpd_unified": "[path] gives each folder its own access",
}
# What the names of derived interfaces are made of (policy/derive.py).
_INTERFACE_VERBS = ("read", "manage", "stream_connect", "tcp_bind", "tcp_connect")
# What a first description chooses from.
CONFINEMENTS = ("shared", "daemon", "service")
# A schedule as OnCalendar= has it: words, dates and times, no %, no line break (systemd.time(7)).
_SCHEDULE = re.compile(r"[A-Za-z0-9*][A-Za-z0-9*.,:/~ +-]{0,199}")
# A nearest word is looked for among thousands: not for each of thousands of mistakes.
_MOST_SUGGESTIONS = 25


def validate(
    description: Description, target: Target, folder: Path, bad: Collection[str] = frozenset()
) -> list[Problem]:
    """Return every mistake and warning of ``description``; ``folder`` holds its files.

    ``bad`` are keys that could not be read: names that they may have declared are not missed.
    """
    checker = _Checker(description, target, folder, bad)
    checker.run()
    return checker.problems


@cache
def _interface_text(facts: Facts) -> str:
    """Return the names of the headers' interfaces, one a line: quicker to ask than to parse."""
    return "\n" + (facts.folder / "interfaces.txt").read_text(encoding="utf-8")


class _Checker:
    def __init__(
        self, description: Description, target: Target, folder: Path, bad: Collection[str]
    ) -> None:
        self.d = description
        self.target = target
        self.facts = target.facts
        self.folder = folder
        self.problems: list[Problem] = []
        self.own_types: dict[str, str] = {}
        self.tunables: dict[str, str] = {}
        self.domains = {d.name for d in description.domain}
        self.process_names = {p.name for p in processes.processes(description, target)}
        self.suggestions: dict[tuple[str, str], str] = {}
        # Names that a key of the wrong form may have declared.
        declaring = re.compile(
            r"project(\.(name|module|prefix))?|(type|domain|port|tunable)(\[\d+\](\.(name|entry|type))?)?"
        )
        self.lost_any = any(declaring.fullmatch(key) for key in bad)
        self.lost_own = self.lost_any or any(key.startswith(("path", "connect")) for key in bad)

    def add(self, key: str, message: str, hint: str = "", warning: bool = False) -> None:
        self.problems.append(Problem(key, message, hint, warning))

    def value(self, key: str, complaints: values.Complaints) -> bool:
        for message, hint in complaints:
            self.add(key, message, hint)
        return not complaints

    def reason(self, key: str, value: str) -> None:
        self.value(f"{key}.reason", values.text(value))

    def run(self) -> None:
        self.project()
        self.changelog()
        self.application()
        self.processes()
        self.powers()
        self.paths()
        self.own_types = names.own_types(self.d, self.target)
        for name, key in processes.own_types(self.d, self.target).items():
            self.own_types.setdefault(name, key)
        self.domains |= {p.domain for p in processes.processes(self.d, self.target)}
        self.tunables = names.own_tunables(self.d) | processes.power_tunables(self.d)
        self.declarations()
        self.labels()
        self.files()
        self.connections()
        self.ports()
        self.booleans()
        self.rules()
        self.calls()
        self.transitions()
        self.expectations()
        self.waivers()

    # -- what is known -----------------------------------------------------------------------

    def known(self, key: str, name: str, what: str, *known: Collection[str]) -> bool:
        """Return whether one of the collections has the name; add a problem where none has."""
        if any(name in collection for collection in known):
            return True
        near = self.nearest(name, what, known)
        self.add(
            key,
            f"{shown(name)}: no such {what} in {self.target.name}{near}",
            "" if near else self.elsewhere(name, what),
        )
        return False

    def nearest(self, name: str, what: str, known: Iterable[Iterable[str]]) -> str:
        if len(name) > 80:
            return ""
        if (name, what) not in self.suggestions:
            if len(self.suggestions) >= _MOST_SUGGESTIONS:
                return ""
            like = [w for words in known for w in words if abs(len(w) - len(name)) <= 4]
            self.suggestions[name, what] = did_you_mean(name, sorted(set(like)))
        return self.suggestions[name, what]

    def elsewhere(self, name: str, what: str) -> str:
        """Return a hint when ``name`` belongs to another kind of word."""
        kinds: tuple[tuple[str, Collection[str]], ...] = (
            ("type", self.facts.types),
            ("attribute", self.facts.attributes),
            ("boolean", self.facts.booleans),
            ("object class", self.facts.classes),
            ("permission set", self.facts.permission_sets),
            ("interface", self.facts.interfaces),
        )
        other = next((kind for kind, words in kinds if kind != what and name in words), "")
        if other:
            return f"{name} is the name of {'an' if other[0] in 'aeio' else 'a'} {other}"
        return "one name for each entry" if re.search(r"[\s{},]", name) else ""

    def type_known(
        self,
        key: str,
        name: str,
        attribute: bool = True,
        itself: bool = False,
        may_lack: bool | None = False,
    ) -> bool:
        """Check the name of a type; ``self`` and attributes only where they may stand.

        ``may_lack``: an optional statement may name a type that this target does not have.
        """
        if name == "self":
            if not itself:
                self.add(key, "self stands for the source; it can be a rule's target only")
            return itself
        if name in self.own_types or name in self.facts.types:
            return True
        if name in self.facts.attributes:
            if not attribute:
                self.add(key, f"{name} is an attribute, one type is wanted here")
            return attribute
        if self.may_be_lost(name):
            return False
        if may_lack and name.endswith("_t") and not values.identifier(name, "type"):
            return True
        return self.known(key, name, "type", self.own_types, self.facts.types)

    def may_be_lost(self, name: str) -> bool:
        """Return whether a key that could not be read may have declared the name."""
        return self.lost_any or (self.lost_own and name.startswith(f"{names.prefix(self.d)}_"))

    def domain_known(self, key: str, name: str) -> None:
        if name in self.facts.types or not self.may_be_lost(name):
            self.known(key, name, "domain", self.domains, self.facts.types)

    def tunable_known(self, key: str, name: str) -> None:
        if name and name not in self.tunables and not self.may_be_lost(name):
            near = self.nearest(name, "tunable", [self.tunables])
            hint = "declare it with [[tunable]]"
            if name in self.facts.booleans:
                hint = "it is a boolean of the base policy; rules can depend on an own tunable only"
            message = f"{shown(name)}: no such tunable in this description{near}"
            self.add(f"{key}.tunable", message, hint)

    def unique(self, pairs: Iterable[tuple[str, Hashable]], what: str = "") -> None:
        """``pairs`` are keys and what must not come twice below them."""
        seen: dict[Hashable, str] = {}
        for key, item in pairs:
            if item in seen:
                self.add(key, f"{what or shown(str(item))} is there twice, also as {seen[item]}")
            seen.setdefault(item, key)

    def unique_list(self, key: str, items: Sequence[str]) -> None:
        self.unique((f"{key}[{index}]", item) for index, item in enumerate(items))

    # -- the package -------------------------------------------------------------------------

    def project(self) -> None:
        p = self.d.project
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", p.name) or len(p.name) > 64:
            self.add(
                "project.name",
                f"{p.name[:80]!a} is no package name",
                "letters, digits and . _ + -, at most 64",
            )
        else:
            if p.name.endswith("-selinux") and self.d.application is not None:
                self.add(
                    "project.name",
                    f"{p.name}: the subpackage adds -selinux itself",
                    f"name it {p.name.removesuffix('-selinux')}",
                )
            self.module_names()
        self.version("project.version", p.version)
        for key, text in (("summary", p.summary), ("description", p.description)):
            longest = 4000 if key == "description" else 500
            wanted = bool(text) or key == "summary"
            if wanted and self.value(f"project.{key}", values.text(text, longest)):
                self.not_a_directive(f"project.{key}", text)
        self.value("project.license", values.spdx(p.license))
        if p.policy_license:
            self.value("project.policy-license", values.spdx(p.policy_license))
        self.person("project.maintainer", p.maintainer)
        if p.url:
            self.value("project.url", values.web_address(p.url))
        for key, number in (("epoch", p.epoch), ("release", p.release)):
            if number > 2**31 - 1:
                self.add(f"project.{key}", f"{number} is too large for rpm", "at most 2147483647")
        for index, name in enumerate(p.targets):
            if name not in targets.names():
                self.add(
                    f"project.targets[{index}]",
                    f"{shown(name)}: no such target{did_you_mean(name[:80], targets.names())}",
                    f"supported: {', '.join(targets.names())}",
                )
        self.unique_list("project.targets", p.targets)
        self.unique_list("project.policy-types", p.policy_types)
        if not p.policy_types:
            self.add("project.policy-types", "is empty", 'e.g. ["targeted"]')

    def not_a_directive(self, key: str, text: str) -> None:
        if text[0] in "%#":
            self.add(key, f"begins with {text[0]!r}", "begin with a word")

    def module_names(self) -> None:
        """The module, and what own names begin with, must be legal and free."""
        p = self.d.project
        name, start = names.module_name(self.d), names.prefix(self.d)
        module_key = "project.module" if p.module else "project.name"
        prefix_key = "project.prefix" if p.prefix else module_key
        cure = f'set project.module, e.g. module = "{start.strip("_")}_app"'
        if not re.match(r"[A-Za-z]", start.strip("_")):
            cure = f'set project.module, e.g. module = "app_{start.strip("_")}"'
        if p.replace_base_module:
            self.value("project.replace-base-module", values.text(p.replace_base_module))
        good = True
        for message, hint in values.module(name):
            self.add(module_key, message, cure if not p.module else hint)
            good = False
        if good or p.prefix:
            for message, hint in values.identifier(start, "prefix of names"):
                self.add(prefix_key, message, hint or "set project.prefix")
        for own in (name, names.ports_module(self.d)):
            if own in self.facts.modules or own == "base":
                self.add(
                    module_key,
                    f"{own}: a module of the base policy has this name; ours would replace it",
                    f"{cure}; or say why in project.replace-base-module",
                )
        word = self.word_of_headers(name)
        if good and word:
            self.add(module_key, f"{name} is {word} of the policy headers", cure)
        for index, previous in enumerate(p.previous_modules):
            key = f"project.previous-modules[{index}]"
            if self.value(key, values.module(previous)) and previous == name:
                self.add(key, f"{previous} is the present name", "leave it out")
            elif previous in self.facts.modules and p.previous_priority in (0, 100):
                self.add(
                    key,
                    f"{previous} is a module of the base policy; it must not be removed",
                    "leave it out",
                )
        self.unique_list("project.previous-modules", p.previous_modules)

    def word_of_headers(self, name: str) -> str:
        """Return what a name is for m4, '' for nothing: it would be expanded wherever it stands."""
        if name in self.facts.macros:
            return "a macro"
        if name in self.facts.permission_sets:
            return "a permission set"
        return "an interface" if f"\n{name} " in _interface_text(self.facts) else ""

    def changelog(self) -> None:
        last: ChangelogEntry | None = None
        for index, entry in enumerate(self.d.changelog):
            key = f"changelog[{index}]"
            if isinstance(entry.text, str):
                self.value(f"{key}.text", values.text(entry.text))
            else:
                for item, line in enumerate(entry.text):
                    self.value(f"{key}.text[{item}]", values.text(line))
                if not entry.text:
                    self.add(f"{key}.text", "is empty", "say what changed")
            if entry.version:
                self.version(f"{key}.version", entry.version)
            if entry.author:
                self.person(f"{key}.author", entry.author)
            if last is not None and last.date < entry.date:
                self.add(
                    f"{key}.date",
                    f"{entry.date} is later than the entry above it ({last.date})",
                    "newest entry first",
                )
            last = entry

    def version(self, key: str, value: str) -> None:
        from wsgi_sepkg.package.version import rpm_version

        try:
            rpm_version(value)
        except ValueError:
            message = f"{value[:60]!a} is not a PEP 440 version"
            self.add(key, message, "e.g. 1.4, 2.0rc1, 1.4.post1")
            return
        if len(value) > 64:
            self.add(key, "the version is longer than 64 characters", "e.g. 1.4")

    def person(self, key: str, value: str) -> None:
        good = re.fullmatch(r"[^<>%]*[^<>%\s] <[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+>", value)
        if not good or values.text(value):
            self.add(
                key,
                f"{value[:120]!a} is not of the form 'Name <address>'",
                "e.g. Example Ltd <packages@example.org>",
            )

    # -- the application ---------------------------------------------------------------------

    def application(self) -> None:
        a = self.d.application
        if a is None:
            for key, entries in (("file", self.d.file), ("unit", self.d.unit)):
                if entries:
                    self.add(
                        f"{key}[0]",
                        "a policy-only project installs no files",
                        "add [application], or leave this out",
                    )
            return
        if self.value("application.root", values.path(a.root)):
            self.alive("application.root", a.root)
        self.value("application.settings", values.dotted(a.settings))
        if a.confinement == "shared" and a.without_selinux != "run":
            self.add(
                "application.without-selinux",
                "with shared confinement nothing watches where the application runs",
                'leave it out, or set confinement = "service"',
            )
        self.entry_point(a)
        self.server(a)
        self.python(a)
        if a.user and self.value("application.user", values.account(a.user)) and a.user == "root":
            self.add(
                "application.user",
                "the application must not run as root",
                f"leave it out: {self.target.servers[a.server].user} is the server's account",
            )
        self.urls(a)
        for name, value in a.build_environment.items():
            key = joined("application.build-environment", name)
            if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", name):
                message = f"{name[:60]!a} is no name of an environment variable"
                self.add(key, message, "capital letters, digits and _")
            if value:
                self.value(key, values.text(value, 4000))
        for index, glob in enumerate(a.exclude):
            key = f"application.exclude[{index}]"
            if self.value(key, values.text(glob)) and {"", ".", ".."} & set(
                glob.strip("/").split("/")
            ):
                self.add(
                    key,
                    f"{shown(glob)} is no pattern relative to the source folder",
                    "e.g. *.log, or /docs",
                )
        if a.static != "none" and not self.d.path.static:
            self.add(
                "path.static",
                "static files need a folder",
                'add static = "..." to [path], or static = "none" to [application]',
            )

    def entry_point(self, a: Application) -> None:
        module, colon, function = a.wsgi.partition(":")
        sound = bool(colon) and not values.dotted(module) and values.python_name(function)
        if not sound:
            self.add(
                "application.wsgi",
                f"{a.wsgi[:120]!a} is not of the form MODULE:OBJECT",
                "e.g. guestbook.wsgi:application",
            )
        source = self.inside("application.source", a.source, values.text(a.source))
        if source is None:
            return
        if not _is_dir(source):
            message = f"{shown(a.source)}: no such folder beside the description"
            self.add("application.source", message, 'e.g. source = "."')
        elif a.server == "httpd" and sound:
            file = source.joinpath(*module.split("."))
            wanted = file.with_name(f"{file.name}.py")
            if not _is_file(wanted) and not _is_file(file / "__init__.py"):
                self.add(
                    "application.wsgi",
                    f"{shown(module)}: the source folder holds no such module",
                    f"{shown(str(wanted.relative_to(source)))} is looked for in {shown(a.source)}",
                )

    def server(self, a: Application) -> None:
        if a.server != "nginx":
            if a.upstream:
                self.add("application.upstream", "only nginx has an upstream", "leave it out")
            return
        if a.confinement == "service":
            if a.upstream:
                message = "the process that answers the web server says where it listens"
                self.add("application.upstream", message, "leave it out, or set process.web.listen")
            return
        socket = a.upstream.removeprefix("unix:")
        host, _, port = a.upstream.rpartition(":")
        if socket != a.upstream:
            good = not values.path(socket)
        else:
            good = bool(
                re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", host)
                and re.fullmatch(r"[1-9][0-9]{0,4}", port)
                and int(port) <= 65535
            )
        if not good:
            self.add(
                "application.upstream",
                f"{a.upstream[:120]!a} is no address"
                if a.upstream
                else "nginx runs no WSGI itself: say where the application listens",
                'e.g. upstream = "unix:/run/guestbook/web.sock", or "127.0.0.1:8000"',
            )

    def python(self, a: Application) -> None:
        if a.python and a.python not in self.target.pythons:
            self.add(
                "application.python",
                f"{shown(a.python)}: {self.target.name} has no such Python with mod_wsgi",
                f"it has {', '.join(sorted(self.target.pythons, key=_minor))}",
            )
        self.django(a, a.python or self.target.default_python)
        for index, requirement in enumerate(a.requires):
            self.value(f"application.requires[{index}]", values.requirement(requirement))
        self.unique_list("application.requires", a.requires)
        self.dependencies(a)

    def dependencies(self, a: Application) -> None:
        """Where the packages of Python come from, and whether each bundled one is pinned."""
        key = "application.requirements"
        bundled = a.dependencies == "bundled"
        if not bundled and not a.requirements:
            return
        if not bundled and self.target.family != "fedora":
            message = f"packages of {self.target.name} have no names as python3dist(django)"
            self.add(key, message, "name them in requires, e.g. python3-django")
            return
        from packaging.utils import canonicalize_name

        from wsgi_sepkg.project import requirements
        from wsgi_sepkg.project.requirements import LOCK_CURE

        self.unique_list("application.architectures", list(a.architectures))
        if not a.architectures:
            self.add("application.architectures", "is empty", 'e.g. ["x86_64"]')
        python = self.target.pythons.get(a.python or self.target.default_python)
        if bundled and python is not None and not python.pip:
            newer = sorted((v for v, p in self.target.pythons.items() if p.pip), key=_minor)
            self.add(
                "application.dependencies",
                f"bundled: pip of Python {python.version} on {self.target.name} is too old for "
                "today's wheels",
                f'set application.python = "{newer[-1]}"' if newer else "",
            )
        if not a.requirements:
            self.add(
                "application.dependencies",
                "bundled: no file says which packages",
                'add requirements = "requirements.txt"',
            )
            return
        path = self.inside(key, a.requirements, values.text(a.requirements))
        if path is None:
            return
        if not _is_file(path):
            message = f"{shown(a.requirements)}: no such file beside the description"
            self.add(key, message, LOCK_CURE if bundled else "write one name a line")
            return
        try:
            text = requirements.text_of(path)
        except ValueError as exc:
            self.add(key, f"{shown(a.requirements)}: {exc}", LOCK_CURE)
            return
        here: set[str] = set()
        if bundled:
            lock = requirements.read(text)
            mistakes = lock.mistakes
            here.update(one.name for one in lock.requirements)
        else:
            mistakes = requirements.wanted(text)[1]
        for mistake in mistakes[:_MOST_SUGGESTIONS]:
            message = f"{shown(a.requirements)}:{mistake.line}: {mistake.message}"
            self.add(key, message, mistake.hint)
        if len(mistakes) > _MOST_SUGGESTIONS:
            more = len(mistakes) - _MOST_SUGGESTIONS
            self.add(key, f"{shown(a.requirements)}: {more} more lines are wrong", LOCK_CURE)
        for index, said in enumerate(a.requires):
            match = re.match(r"python3(?:\.[0-9]+)?(?:-|dist\()([A-Za-z0-9._-]+)", said)
            if match and canonicalize_name(match.group(1)) in here:
                self.add(
                    f"application.requires[{index}]",
                    f"{said}: the environment of the application does not see it, and brings its "
                    "own",
                    "leave it out",
                    warning=True,
                )

    def django(self, a: Application, python: str) -> None:
        wanted, key = a.django, "application.django"
        if wanted and not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3}){0,3}", wanted):
            self.add(key, f"{wanted[:60]!a} is no Django version", "e.g. 4.2")
            return
        for index, text in enumerate(a.requires):
            match = re.match(
                r"python3(?:\.[0-9]+)?(?:-django|dist\(django\)) (?:>=|=) ([0-9]+\.[0-9]+)", text
            )
            if match and not wanted:
                wanted, key = match.group(1), f"application.requires[{index}]"
        series = ".".join(wanted.split(".")[:2])
        if series not in DJANGO_PYTHON or python not in self.target.pythons:
            return
        oldest, newest = DJANGO_PYTHON[series]
        if _minor(python) < oldest:
            better = [v for v in sorted(self.target.pythons, key=_minor) if _minor(v) >= oldest]
            self.add(
                key,
                f"Django {series} does not run on Python {python} of {self.target.name}: it needs "
                f"3.{oldest} or newer",
                f'set application.python = "{better[0]}"' if better else "use an older Django",
            )
        elif _minor(python) > newest:
            self.add(
                key,
                f"Django {series} was not released for Python {python} (up to 3.{newest})",
                "tested at your own risk",
                warning=True,
            )

    def urls(self, a: Application) -> None:
        self.value("application.url", values.url_path(a.url))
        served = [("static-url", a.static_url)] if a.static != "none" else []
        served += [("media-url", a.media_url)] if a.media_url else []
        for key, url in served:
            if self.value(f"application.{key}", values.url_path(url)):
                if not url.endswith("/"):
                    self.add(f"application.{key}", f"{url} does not end with /", f"write {url}/")
                elif url == "/" or url.rstrip("/") == a.url.rstrip("/"):
                    self.add(
                        f"application.{key}",
                        f"{url} would hide the application at {shown(a.url)}",
                        "give it a folder of its own, e.g. /static/",
                    )
        if a.static != "none" and a.static_url == a.media_url:
            message = "the static and the media files have the same URL"
            self.add("application.media-url", message, "e.g. /media/")

    def inside(self, key: str, name: str, complaints: values.Complaints) -> Path | None:
        """Return the file beside the description that ``name`` names, if it stays inside."""
        if not self.value(key, complaints):
            return None
        path = self.folder / name
        try:
            path.resolve().relative_to(self.folder.resolve())
        except (ValueError, OSError, RuntimeError):
            self.add(
                key,
                f"{shown(name)} leaves the folder of the description",
                "name something beside or below wsgi-sepkg.toml",
            )
            return None
        return path

    # -- processes and powers ----------------------------------------------------------------

    def processes(self) -> None:
        a = self.d.application
        if a is None or a.confinement == "shared":
            for name in self.d.process:
                self.add(
                    joined("process", name),
                    "only an application with domains of its own has processes",
                    'set application.confinement = "service" or "daemon"',
                )
            return
        webs = [name for name, said in self.d.process.items() if said.kind == "web"]
        if a.confinement == "service" and not webs:
            self.add(
                "application.confinement",
                "service: no process answers the web server",
                'add [process.web] with kind = "web" and run = "gunicorn ..."',
            )
        if a.confinement == "daemon":
            for name in webs:
                self.add(
                    f"{joined('process', name)}.kind",
                    "with daemon confinement mod_wsgi answers, not a process of its own",
                    'leave it out, or set confinement = "service"',
                )
            if a.server != "httpd":
                message = "daemon confinement is one of mod_wsgi, which httpd runs"
                self.add("application.server", message, 'set server = "httpd"')
        elif len(webs) > 1 and "web" not in webs:
            message = "several processes answer the web server: which is the main one?"
            self.add(joined("process", webs[0]), message, "call the main one [process.web]")
        for name, said in self.d.process.items():
            self.process(joined("process", name), name, said, a)

    def process(self, key: str, name: str, said: Process, a: Application) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or len(name) > 32:
            message = f"{shown(name[:60])} is no name of a process"
            self.add(key, message, "small letters, digits and -, at most 32")
            return
        own = processes.has_own_domain(said) or name in ("manage", "wsgi")
        if own and name.replace("-", "_") in processes.RESERVED:
            self.add(key, f"{name}: its types would be those of something else", "e.g. jobs")
        if name == "web" and said.kind != "web":
            self.add(f"{key}.kind", f"web is a {said.kind} here", "choose another name")
        self.command_line(key, said)
        main = name == processes.main_name(self.d)
        if said.own_domain is False and main:
            message = "the process that answers the web server has a domain of its own"
            self.add(f"{key}.own-domain", message, "leave it out")
        shares_wsgi = a.confinement == "daemon" and said.kind in ("worker", "scheduler")
        if said.own_domain is False and shares_wsgi:
            message = "a service cannot share the domain of mod_wsgi's process: nothing starts it"
            self.add(f"{key}.own-domain", message, "leave it out")
        if said.permissive and not self.waived(f"permissive {self.domain_of(name)}"):
            self.add(
                f"{key}.permissive",
                f"{self.domain_of(name)}: a permissive domain stops nothing",
                "leave it out, or add a [[waiver]] with grant = "
                f'"permissive {self.domain_of(name)}"',
            )
        if said.permissive and not main and not processes.has_own_domain(said):
            message = "it shares its domain: say it where the domain is made"
            self.add(f"{key}.permissive", message, "leave it out, or set own-domain = true")
        sound = not said.user or self.value(f"{key}.user", values.account(said.user))
        if sound and said.user == "root":
            self.add(f"{key}.user", "it must not run as root", "leave it out")
        for variable, value in said.environment.items():
            where = joined(f"{key}.environment", variable)
            if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", variable):
                message = f"{variable[:60]!a} is no name of an environment variable"
                self.add(where, message, "capital letters, digits and _")
            elif variable.startswith(("PYTHON", "LD_")):
                message = f"{variable} changes what is imported before the entry point looks"
                self.add(where, message, "leave it out")
            if value:
                self.value(where, values.text(value, 4000))
        self.only_for(key, said)

    def domain_of(self, name: str) -> str:
        """Return the domain of a process, as far as its name and kind can say."""
        found = {p.name: p.domain for p in processes.processes(self.d, self.target)}
        return found.get(name, "")

    def only_for(self, key: str, said: Process) -> None:
        """What belongs to one kind of process only."""
        if said.kind == "timer":
            if not _SCHEDULE.fullmatch(said.schedule):
                message = f"{said.schedule[:60]!a} is no schedule" if said.schedule else "is empty"
                self.add(f"{key}.schedule", message, 'e.g. "daily", or "Mon *-*-* 03:30"')
        elif said.schedule:
            message = f"a {said.kind} has no schedule"
            self.add(f"{key}.schedule", message, 'leave it out, or set kind = "timer"')
        if said.kind != "web":
            if said.listen != "socket":
                self.add(f"{key}.listen", f"a {said.kind} does not listen", "leave it out")
            if said.socket_activation:
                message = f"a {said.kind} has no socket that systemd could open"
                self.add(f"{key}.socket-activation", message, "leave it out")
            return
        if said.listen == "socket":
            return
        host, _, number = said.listen.rpartition(":")
        span = _port_range(number)
        if host not in ("127.0.0.1", "localhost") or span is None or span[0] != span[1]:
            message = f"{said.listen[:60]!a} is no address of this host"
            self.add(f"{key}.listen", message, 'leave it out, or e.g. "127.0.0.1:8765"')
            return
        spans = [_port_range(p.number) for p in self.d.port if p.protocol == "tcp"]
        if not any(s and s[0] <= span[0] <= s[1] for s in spans):
            message = f"port {number} has no label of its own"
            self.add(f"{key}.listen", message, f"add [[port]] with number = {number}")

    def command_line(self, key: str, said: Process) -> None:
        where = f"{key}.run"
        try:
            words = processes.words_of(said.run)
        except ValueError as exc:
            self.add(where, f"{shown(str(said.run))}: {exc}", "close the quote")
            return
        for word in words:
            if not self.value(where, values.text(word, 1000)):
                return
        if not words:
            self.add(where, "is empty", 'e.g. run = "gunicorn guestbook.wsgi"')
            return
        runners = self.target.runners
        runner = runners.get(words[0])
        fitting = [name for name, r in runners.items() if said.kind in r.kinds]
        if runner is None or said.kind not in runner.kinds:
            near = self.nearest(words[0], "program", [runners]) if runner is None else ""
            self.add(
                where,
                f"{shown(words[0])} is nothing that a {said.kind} can be{near}",
                f"known: {', '.join(fitting)}",
            )
            return
        word = runner.word(said.kind)
        if word and word not in words[1:]:
            message = f"{shown(words[0])} without {word} is no {said.kind}"
            self.add(where, message, f"add the word {word}")
        for option in words[1:]:
            plain = option.partition("=")[0] if option.startswith("--") else option
            if plain in runner.refused:
                self.add(where, f"{plain} of {words[0]} is decided by the package", "leave it out")
        spawning = sorted(set(words[1:]) & set(runner.spawns))
        if spawning and not any(p.name in ("helpers", "shell") for p in self.d.power):
            self.add(
                where,
                f"{spawning[0]} of {words[0]} starts a new interpreter for each process, which "
                "this domain must not execute",
                'leave it out, use gunicorn, or add [[power]] with name = "helpers"',
            )
        if said.kind == "web" and said.listen == "socket" and not runner.socket:
            message = f"{words[0]} cannot listen on a socket of this host"
            self.add(f"{key}.listen", message, 'e.g. listen = "127.0.0.1:8765"')
        if said.socket_activation and not runner.activation:
            message = f"{words[0]} cannot take a socket from systemd"
            self.add(f"{key}.socket-activation", message, "leave it out")
        if words[0] == "call":
            module, colon, function = "".join(words[1:2]).partition(":")
            if not colon or values.dotted(module) or not values.python_name(function):
                example = 'e.g. "call shop.jobs:main --queue mail"'
                self.add(where, "call wants a function, as MODULE:FUNCTION", example)
        if words[0] == "manage":
            command = words[1] if len(words) > 1 else ""
            if not re.fullmatch(r"[a-z][a-z0-9_]*", command):
                self.add(where, "manage wants a command of Django", 'e.g. "manage clearsessions"')
            elif command in ("runserver", "testserver", "shell", "dbshell"):
                self.add(where, f"{command} is nothing to run unattended", "use gunicorn")

    def powers(self) -> None:
        own = processes.confined(self.d)
        for index, power in enumerate(self.d.power):
            key = f"power[{index}]"
            self.reason(key, power.reason)
            if not own:
                self.add(
                    key,
                    "only an application with domains of its own has powers",
                    "with shared confinement use [[boolean]] and [[allow]]",
                )
                return
            for item, name in enumerate(power.by):
                self.known(f"{key}.by[{item}]", name, "process", self.process_names)
            self.unique_list(f"{key}.by", power.by)
            known = domains(self.target.family).powers[power.name]
            chosen = processes.powers(self.d, self.target)[index]
            if power.name == "execmem":
                for process in chosen:
                    if not self.waived(f"{process.domain} self:process execmem"):
                        message = f"execmem needs a waiver for {process.domain}"
                        cure = f'"{process.domain} self:process execmem"'
                        self.add(key, message, f"add a [[waiver]] with grant = {cure}")
            if not chosen:
                self.add(
                    f"{key}.by",
                    f"{power.name}: no process of this application is meant",
                    f"name one: {', '.join(sorted(self.process_names))}",
                )
            if power.name == "collect-static" and not self.d.path.static:
                self.add(key, "there are no static files to write", "leave it out")
            if not known.tunable and not power.default:
                message = f"{power.name} cannot be turned off on a host: it is given by a rule"
                self.add(f"{key}.default", message, "leave it out, or leave the power out")
            if power.through == "rule" and not power.default:
                message = "a power through a rule has no default"
                self.add(f"{key}.default", message, 'leave it out, or set through = "tunable"')
        self.unique((f"power[{i}].name", p.name) for i, p in enumerate(self.d.power))

    # -- paths -------------------------------------------------------------------------------

    def paths(self) -> None:
        places: dict[str, tuple[str, str]] = {}
        entries = list(names.path_entries(self.d.path))
        a = self.d.application
        sound: list[tuple[str, str, str]] = []
        for use, key, entry in entries:
            self.path_entry(use, key, entry)
            if not self.value(key, values.path(entry.path)):
                continue
            real = self.alive(key, entry.path)
            sound.append((use, key, real))
            if use in ("runtime", "socket") and not real.startswith("/run/"):
                self.add(key, f"{entry.path}: a {use} folder lies in /run", "it is made at boot")
            if real in places:
                other_use, other = places[real]
                said = "for two uses" if other_use != use else "twice"
                message = f"{entry.path} is named {said}, also as {other}"
                hint = "give each use a folder of its own" if other_use != use else "keep one"
                self.add(key, message, hint)
            places.setdefault(real, (use, key))
        if a is not None and not self.d.path.code and a.root in places:
            self.add(
                places[a.root][1],
                f"{a.root} is the application's root already",
                "give each use a folder of its own",
            )
        served = [path for use, _, path in sound if use in ("static", "media")]
        for use, key, path in sound:
            within = next((s for s in served if path.startswith(f"{s}/")), "")
            if within and use in _NOT_SERVED:
                self.add(
                    key,
                    f"{path} lies in {within}, which the web server hands out",
                    "move it elsewhere",
                )

    def path_entry(self, use: str, key: str, entry: PathEntry) -> None:
        for field, name in (("owner", entry.owner), ("group", entry.group)):
            if name:
                self.value(f"{key}.{field}", values.account(name))
        if entry.mode and self.value(f"{key}.mode", values.mode(entry.mode)):
            if use == "secret" and entry.mode[3] != "0":
                message = f"{entry.mode} opens the secret to every account"
                self.add(f"{key}.mode", message, "e.g. 0640")
            elif entry.mode[3] in "2367" and entry.mode[0] not in "1357":
                message = f"{entry.mode} lets every account write"
                self.add(f"{key}.mode", message, "e.g. 0750")
        if entry.type:
            self.value(f"{key}.type", values.identifier(entry.type, "type"))
        if entry.type.endswith("_exec_t"):
            message = f"{shown(entry.type)} would also label folders"
            self.add(f"{key}.type", message, 'use [[file-context]] with file-type = "file"')
        if entry.override:
            self.value(f"{key}.override", values.text(entry.override))
        if entry.variable:
            if use != "secret":
                self.add(f"{key}.variable", "only a secret has a variable", "leave it out")
            elif not re.fullmatch(r"[A-Z_][A-Z0-9_]*", entry.variable):
                message = f"{entry.variable[:60]!a} is no name of a variable"
                self.add(f"{key}.variable", message, "capital letters, digits and _")

    def alive(self, key: str, path: str) -> str:
        """Refuse the side of an equivalence that labels never match; return the live spelling."""
        for alias, real in (("/var/run", "/run"), ("/var/lock", "/run/lock")):
            if path == alias or path.startswith(f"{alias}/"):
                return real + path[len(alias) :]
        for alias, real in self.facts.equivalences:
            if alias in ("/run", "/run/lock", "/var/run", "/var/lock"):
                continue
            if path == alias or path.startswith((f"{alias}/", f"{alias}(", f"{alias}\\.")):
                live = real + path[len(alias) :]
                # Fedora's newer policies fold /usr/sbin into /usr/bin; both are written.
                if alias != "/usr/sbin":
                    self.add(
                        key,
                        f"{path[:120]} is labelled as {live[:120]} on {self.target.name}: this "
                        "spelling never matches",
                        f"write {live[:120]}",
                    )
                return live
        return path

    # -- own names ---------------------------------------------------------------------------

    def declarations(self) -> None:
        """Own names must be legal and free."""
        start = names.prefix(self.d)
        # A bad prefix was named already; it spoils each name that is made of it.
        sound = not values.identifier(start, "prefix")
        asks = f"\n{start}_" in _interface_text(self.facts)
        for name, key in self.own_types.items():
            if name.startswith(f"{start}_") and not sound:
                continue
            said = self.declared_at(key)
            if self.value(said, values.identifier(name, "type")):
                self.free(said, name, asks)
        for name, key in self.tunables.items():
            if name.startswith(f"{start}_") and not sound:
                continue
            said = f"{key}.name" if key.startswith("tunable[") else key
            if self.value(said, values.identifier(name, "tunable")):
                if name in self.facts.booleans:
                    self.add(
                        said,
                        f"{name}: the base policy of {self.target.name} has this boolean",
                        "set it with [[boolean]], or choose another name",
                    )
                elif word := self.word_of_headers(name):
                    self.add(said, f"{name} is {word} of the policy headers", "choose another name")
        if sound and asks:
            self.interface_names(start)
        for index, tunable in enumerate(self.d.tunable):
            self.reason(f"tunable[{index}]", tunable.reason)
        for index, declared in enumerate(self.d.type):
            key = f"type[{index}]"
            if declared.reason:
                self.reason(key, declared.reason)
            for item, attribute in enumerate(declared.attributes):
                where = f"{key}.attributes[{item}]"
                self.known(where, attribute, "attribute", self.facts.attributes)
            self.unique_list(f"{key}.attributes", declared.attributes)
        for index, domain in enumerate(self.d.domain):
            self.reason(f"domain[{index}]", domain.reason)
            if domain.permissive and not self.waived(f"permissive {domain.name}"):
                self.add(
                    f"domain[{index}].permissive",
                    f"{shown(domain.name)}: a permissive domain stops nothing",
                    "leave it out, or add a [[waiver]] with grant = "
                    f'"permissive {shown(domain.name)}"',
                )
        self.unique((f"tunable[{i}].name", t.name) for i, t in enumerate(self.d.tunable))
        self.unique(
            [(f"type[{i}].name", t.name) for i, t in enumerate(self.d.type)]
            + [(f"domain[{i}].name", d.name) for i, d in enumerate(self.d.domain)]
            + [(f"domain[{i}].entry", d.entry) for i, d in enumerate(self.d.domain)]
        )

    def declared_at(self, key: str) -> str:
        if re.fullmatch(r"(type|domain)\[\d+\]", key):
            return f"{key}.name"
        return key

    def free(self, key: str, name: str, asks: bool) -> None:
        cure = "choose another name, or project.prefix"
        if name in self.facts.types:
            message = f"{name}: the base policy of {self.target.name} has this type already"
            self.add(key, message, cure)
        elif name in self.facts.attributes:
            self.add(key, f"{name}: the base policy has an attribute of this name", cure)
        elif (asks or not name.startswith(names.prefix(self.d))) and (
            word := self.word_of_headers(name)
        ):
            self.add(key, f"{name} is {word} of the policy headers", cure)

    def interface_names(self, start: str) -> None:
        """The interfaces that we write must not replace one of the headers (same name, m4)."""
        if self.d.project.replace_base_module or names.module_name(self.d) in self.facts.modules:
            return  # those of the replaced module stay as they are, derive leaves out ours
        made = [f"{start}_admin", f"{start}_filetrans_named_content"]
        for name in self.own_types:
            short = name.removeprefix(f"{start}_").removesuffix("_t")
            made += [f"{start}_{verb}_{short}" for verb in _INTERFACE_VERBS]
        taken = [name for name in made if f"\n{name} " in _interface_text(self.facts)]
        if taken:
            key = "project.module" if self.d.project.module else "project.name"
            message = f"our interface {taken[0]} would replace the one of the policy headers"
            self.add(key, message, "set project.module to another name")

    def waived(self, grant: str) -> bool:
        return any(" ".join(w.grant.split()) == grant for w in self.d.waiver)

    # -- labels ------------------------------------------------------------------------------

    def labels(self) -> None:
        seen: dict[tuple[str, str], str] = {}
        for used in names.used_paths(self.d, self.target):
            if used.entry.type and not values.identifier(used.entry.type, "type"):
                self.type_known(f"{used.key}.type", used.type, attribute=False)
            if used.kept_by or values.path(used.path):
                continue
            pattern = names.pattern_of(used.path)
            row = (pattern, "file") if used.is_file else (f"{pattern}(/.*)?", "any")
            seen.setdefault(row, used.key)
            self.not_of_the_base(used.key, *row)
        for index, context in enumerate(self.d.file_context):
            self.file_context(f"file-context[{index}]", context, seen)

    def file_context(
        self, key: str, context: FileContext, seen: dict[tuple[str, str], str]
    ) -> None:
        self.reason(key, context.reason)
        if context.type != "<<none>>":
            self.type_known(f"{key}.type", context.type, attribute=False)
        if not re.fullmatch(r"s[0-9]+(:c[0-9]+([.,]c[0-9]+)*)?", context.level):
            self.add(f"{key}.level", f"{context.level[:60]!a} is no level", 'e.g. "s0"')
        if context.type.endswith("_exec_t") and context.file_type == "any":
            message = f"{context.type} would also label folders"
            self.add(f"{key}.file-type", message, 'set file-type = "file"')
        where = f"{key}.pattern"
        if not self.value(where, values.pattern(context.pattern)):
            return
        real = self.alive(where, context.pattern)
        row = (real, context.file_type)
        if row in seen:
            self.add(where, f"{real} is labelled twice, also as {seen[row]}", "keep one")
        elif not self.not_of_the_base(where, *row) and not context.override:
            self.not_labelled(where, *row)
        seen.setdefault(row, where)

    def not_of_the_base(self, key: str, pattern: str, file_type: str) -> bool:
        """Refuse a pattern that the base policy has: the linker drops one of the two."""
        kind = values.FC_FLAGS.get(file_type, "any")
        type_ = names.type_of_pattern(self.facts, pattern, kind)
        if type_:
            self.add(
                key,
                f"{pattern}: the base policy of {self.target.name} has this very pattern, for "
                f"{type_}; one of the two would be dropped",
                "name something more precise below it, or leave this out and use that type",
            )
        return bool(type_)

    def not_labelled(self, key: str, pattern: str, file_type: str) -> None:
        """Refuse to relabel what another module labels, unless the entry says so."""
        folder = pattern.removesuffix("(/.*)?")
        path = values.literal_stem(folder)
        if path != folder.replace("\\", ""):
            return
        probe = path if folder == pattern else f"{path}/x"
        type_, module = names.label_of(self.facts, probe, values.FC_FLAGS.get(file_type, "--"))
        if module and type_ not in names.GENERIC_TYPES:
            self.add(
                key,
                f"{path} is {type_} already, by the module {module} of {self.target.name}",
                "leave it out, or set override = true",
            )

    # -- files -------------------------------------------------------------------------------

    def files(self) -> None:
        secrets = {e.path for use, _, e in names.path_entries(self.d.path) if use == "secret"}
        for index, item in enumerate(self.d.file):
            key = f"file[{index}]"
            self.source(f"{key}.source", item.source)
            if self.value(f"{key}.path", values.path(item.path)):
                self.shipped(f"{key}.path", item.path)
                if item.path in secrets:
                    message = f"{item.path} is a secret: it is made once per host, never shipped"
                    self.add(f"{key}.path", message, "leave out one of the two")
            self.value(f"{key}.mode", values.mode(item.mode))
            self.value(f"{key}.owner", values.account(item.owner))
            self.value(f"{key}.group", values.account(item.group))
        self.unique((f"file[{i}].path", item.path) for i, item in enumerate(self.d.file))
        for index, unit in enumerate(self.d.unit):
            key = f"unit[{index}].source"
            name = unit.source.rpartition("/")[2]
            if re.fullmatch(r"[A-Za-z0-9:_.@-]+\.(service|socket|timer|path|target)", name):
                self.source(key, unit.source)
            else:
                self.add(
                    key,
                    f"{unit.source[:120]!a} is no name of a unit",
                    "NAME.service, .socket, .timer, .path or .target",
                )
        self.unique(
            (f"unit[{i}].source", u.source.rpartition("/")[2]) for i, u in enumerate(self.d.unit)
        )

    def source(self, key: str, name: str) -> None:
        file = self.inside(key, name, values.relative(name))
        if file is not None and not _is_file(file):
            message = f"{shown(name)}: no such file beside the description"
            self.add(key, message, f"looked for in {shown(str(self.folder), 400)}")

    def shipped(self, key: str, path: str) -> None:
        for folder in _NOT_SHIPPED:
            if path.startswith(f"{folder}/"):
                message = f"{path} lies in {folder}, where a package installs nothing"
                self.add(key, message, "e.g. below /usr/share, /usr/lib, /etc or /var/lib")
                return
        for folder in _MERGED:
            if path.startswith(f"{folder}/"):
                self.add(key, f"{folder} is a link to /usr{folder}", f"write /usr{path}")

    # -- network -----------------------------------------------------------------------------

    def connections(self) -> None:
        defaults: dict[str, tuple[bool, str]] = {}
        for index, connect in enumerate(self.d.connect):
            key = f"connect[{index}]"
            self.reason(key, connect.reason)
            if self.d.application is None and not connect.by:
                self.add(
                    f"{key}.by",
                    "is missing: a policy-only project must say which domain connects",
                    'e.g. by = "httpd_t"',
                )
            if isinstance(connect.by, list):
                self.processes_known(f"{key}.by", connect.by)
            elif connect.by and connect.by not in self.process_names:
                self.domain_known(f"{key}.by", connect.by)
            if bool(connect.to) == bool(connect.port):
                self.add(key, "name either a service (to) or a port", 'e.g. to = "postgresql"')
                continue
            self.through(key, connect)
            if connect.to:
                self.service(key, connect)
            else:
                self.bare_port(key, connect)
            if connect.through == "tunable" and not names.has_tunable(connect):
                given = [
                    f
                    for f, v in (("tunable", connect.tunable), ("default", not connect.default))
                    if v
                ]
                for field in given:
                    message = f"{connect.to} is opened by a rule: no tunable can turn it off"
                    self.add(f"{key}.{field}", message, "leave it out, or leave out the connection")
            if names.has_tunable(connect):
                name = names.connect_tunable(self.d, connect)
                default, other = defaults.setdefault(name, (connect.default, key))
                if default != connect.default:
                    message = f"{shown(name)} has another default in {other}"
                    self.add(f"{key}.default", message, "one tunable, one default")
        said = [(f"connect[{i}]", c) for i, c in enumerate(self.d.connect)]
        self.unique(
            ((k, (c.to or c.port, str(c.by), c.socket)) for k, c in said), "the same connection"
        )

    def processes_known(self, key: str, wanted: list[str]) -> None:
        known = self.process_names
        for item, name in enumerate(wanted):
            if not known:
                message = "only an application with domains of its own has processes"
                self.add(f"{key}[{item}]", message, "name a domain, as text")
            else:
                self.known(f"{key}[{item}]", name, "process", known)
        self.unique_list(key, wanted)

    def through(self, key: str, connect: Connect) -> None:
        if connect.through != "tunable":
            if connect.tunable:
                message = f"a connection through a {connect.through} has no tunable"
                self.add(f"{key}.tunable", message, 'leave it out, or set through = "tunable"')
            if not connect.default:
                message = f"a connection through a {connect.through} has no default"
                self.add(f"{key}.default", message, 'leave it out, or set through = "tunable"')
        if connect.through != "boolean":
            return
        server = self.d.application.server if self.d.application is not None else "httpd"
        domain = self.target.servers[server].domain
        if connect.by and connect.by != domain:
            message = f"the base policy's boolean is for {domain}, not for {shown(str(connect.by))}"
            self.add(f"{key}.through", message, 'set through = "tunable" or "rule"')
        if connect.socket:
            message = "a boolean of the base policy opens TCP, not the socket on this host"
            self.add(f"{key}.socket", message, 'leave it out, or set through = "tunable"')

    def bare_port(self, key: str, connect: Connect) -> None:
        if connect.socket:
            self.add(f"{key}.socket", "a port number has no socket", "leave it out")
        if connect.through == "boolean":
            message = "a port number has no boolean of the base policy"
            self.add(f"{key}.through", message, 'set through = "tunable" or "rule"')
        for index, port in enumerate(self.d.port):
            span = _port_range(port.number)
            if port.protocol == "tcp" and span and span[0] <= connect.port <= span[1]:
                self.add(
                    f"{key}.port",
                    f"{connect.port} is labelled by port[{index}] already",
                    f"use connect-by of port[{index}], or leave that out",
                )

    def service(self, key: str, connect: Connect) -> None:
        services = self.target.services
        if connect.to not in services:
            self.add(
                f"{key}.to",
                f"{shown(connect.to)}: no such service"
                f"{self.nearest(connect.to, 'service', [services])}",
                f"known: {', '.join(services)}; or name a port",
            )
            return
        service = services[connect.to]
        if connect.socket and not service.stream:
            self.add(
                f"{key}.socket",
                f"{self.target.name} has no interface for the socket of {connect.to}",
                "connect over TCP, or write [[allow]] rules",
            )
        if connect.through == "boolean":
            if service.boolean not in self.facts.booleans:
                self.add(
                    f"{key}.through",
                    f"{self.target.name} has no boolean for {connect.to} alone",
                    'set through = "tunable" or "rule"',
                )
            for index, boolean in enumerate(self.d.boolean):
                if boolean.name == service.boolean and not boolean.value:
                    message = f"boolean[{index}] turns {boolean.name} off, this turns it on"
                    self.add(f"{key}.through", message, "leave out one of the two")
        elif not connect.socket and not service.call and not service.tcp:
            self.add(
                f"{key}.to",
                f"{self.target.name} has no port type for {connect.to}",
                "name its port instead: port = ...",
            )

    def ports(self) -> None:
        taken: list[tuple[str, int, int, str]] = []
        for index, port in enumerate(self.d.port):
            key = f"port[{index}]"
            self.reason(key, port.reason)
            span = _port_range(port.number)
            if span is None:
                self.add(
                    f"{key}.number",
                    f"{str(port.number)[:40]!a} is no port and no range of ports",
                    'a number from 1 to 65535, or "8000-8010"',
                )
            else:
                low, high = span
                for protocol, other_low, other_high, other in taken:
                    if protocol == port.protocol and low <= other_high and other_low <= high:
                        message = f"{port.number}/{port.protocol} overlaps {other}"
                        self.add(f"{key}.number", message, "give each port to one entry")
                taken.append((port.protocol, low, high, key))
                self.free_port(f"{key}.number", port.protocol, low, high)
            self.port_type(f"{key}.type", port)
            for field, those in (("bind-by", port.bind_by), ("connect-by", port.connect_by)):
                for item, domain in enumerate(those):
                    self.domain_known(f"{key}.{field}[{item}]", domain)
                self.unique_list(f"{key}.{field}", those)
            self.tunable_known(key, port.tunable)

    def port_type(self, key: str, port: Port) -> None:
        if not port.type or values.identifier(port.type, "type"):
            return  # declarations() names an own type that is not legal
        if port.type in self.facts.types and not port.type.endswith("port_t"):
            self.add(key, f"{port.type} is no port type", "its name would end with _port_t")
        for index, declared in enumerate(self.d.type):
            if declared.name == port.type and declared.kind != "port":
                message = f"type[{index}] declares {port.type} for a {declared.kind}"
                self.add(key, message, 'set kind = "port" there')

    def free_port(self, key: str, protocol: str, low: int, high: int) -> None:
        for fact in self.facts.ports:
            if fact.protocol != protocol or fact.low > high or low > fact.high:
                continue
            if fact.type not in names._WIDE:
                span = f"{fact.low}" if fact.low == fact.high else f"{fact.low}-{fact.high}"
                self.add(
                    key,
                    f"{protocol} {span} is {fact.type} of the base policy of {self.target.name}; "
                    "the linker would keep that and drop ours",
                    "use that type with [[connect]] or [[allow]], or another port",
                )
                return

    def booleans(self) -> None:
        for index, boolean in enumerate(self.d.boolean):
            key = f"boolean[{index}]"
            self.reason(key, boolean.reason)
            if boolean.name in self.tunables:
                self.add(
                    f"{key}.name",
                    f"{boolean.name} is a tunable of this description",
                    "set its default there",
                )
                continue
            self.known(f"{key}.name", boolean.name, "boolean", self.facts.booleans)
            if boolean.value and boolean.name in _BROAD_BOOLEANS:
                self.add(
                    f"{key}.name",
                    f"{boolean.name} opens much more than one application needs",
                    _BROAD_BOOLEANS[boolean.name],
                    warning=True,
                )
        self.unique((f"boolean[{i}].name", b.name) for i, b in enumerate(self.d.boolean))

    # -- rules -------------------------------------------------------------------------------

    def rules(self) -> None:
        said: dict[tuple[str, str, str, str], str] = {}
        for field, rules in (("allow", self.d.allow), ("dontaudit", self.d.dontaudit)):
            for index, rule in enumerate(rules):
                key = f"{field}[{index}]"
                self.rule(key, rule)
                other = {said[v] for v in self.vectors(rule) if v in said}
                every = all(v in said for v in self.vectors(rule))
                if other and field == "dontaudit" and any(k.startswith("allow") for k in other):
                    first = min(k for k in other if k.startswith("allow"))
                    self.add(
                        key,
                        f"dontaudit hides refusals, and {first} allows the same",
                        "leave out one of the two",
                    )
                elif other and every:
                    self.add(key, f"says nothing new beside {min(other)}", "leave out one")
                for vector in self.vectors(rule):
                    said.setdefault(vector, key)

    def vectors(self, rule: Rule) -> list[tuple[str, str, str, str]]:
        classes = [rule.class_] if isinstance(rule.class_, str) else rule.class_
        target = rule.source if rule.target == "self" else rule.target
        permissions: Iterable[str] = rule.permissions
        if isinstance(rule.permissions, str):
            permissions = self.facts.permission_sets.get(rule.permissions, frozenset())
        return [(rule.source, target, c, p) for c in classes for p in sorted(permissions)]

    def rule(self, key: str, rule: Rule) -> None:
        self.reason(key, rule.reason)
        self.type_known(f"{key}.source", rule.source, may_lack=rule.optional)
        self.type_known(f"{key}.target", rule.target, itself=True, may_lack=rule.optional)
        self.tunable_known(key, rule.tunable)
        classes = self.classes(f"{key}.class", rule.class_)
        where = f"{key}.permissions"
        if isinstance(rule.permissions, str):
            self.permission_set(where, rule.permissions, classes, bool(rule.optional))
            return
        if not rule.permissions:
            self.add(where, "names no permission", 'e.g. ["read", "getattr"]')
        self.unique_list(where, rule.permissions)
        for item, permission in enumerate(rule.permissions):
            self.permission(f"{where}[{item}]", permission, classes, bool(rule.optional))

    def permission_set(self, key: str, name: str, classes: list[str], optional: bool) -> None:
        sets = self.facts.permission_sets
        if name not in sets and any(name in self.facts.classes[c] for c in classes):
            self.add(key, f"{name} is one permission, no set", f'write ["{name}"]')
            return
        if not self.known(key, name, "permission set", sets):
            return
        for class_ in classes:
            lacking = sorted(sets[name] - self.facts.classes[class_])
            if lacking and not optional:
                self.add(
                    key,
                    f"{name}: the class {class_} has no {', '.join(lacking[:5])}",
                    "choose the set of this class, or list permissions",
                )

    def permission(self, key: str, name: str, classes: list[str], optional: bool) -> None:
        if name in self.facts.permission_sets:
            self.add(
                key,
                f"{name} is a permission set",
                f'write permissions = "{name}", or list permissions',
            )
            return
        # An optional rule gives up the permissions that the target's class does not have.
        if optional and not values.identifier(name, "permission"):
            return
        for class_ in classes:
            known = self.facts.classes[class_]
            if not self.known(key, name, f"permission of class {class_}", known):
                hint = self.problems[-1].hint or f"it has {', '.join(sorted(known))}"
                self.problems[-1] = Problem(key, self.problems[-1].message, hint)

    def classes(self, key: str, value: str | list[str]) -> list[str]:
        if isinstance(value, str):
            return [value] if self.known(key, value, "object class", self.facts.classes) else []
        if not value:
            self.add(key, "names no class", 'e.g. "file"')
        self.unique_list(key, value)
        return [
            name
            for index, name in enumerate(value)
            if self.known(f"{key}[{index}]", name, "object class", self.facts.classes)
        ]

    def calls(self) -> None:
        for index, call in enumerate(self.d.call):
            key = f"call[{index}]"
            self.reason(key, call.reason)
            name = call.interface
            if name in self.facts.macros and not _CALLABLE.fullmatch(name):
                self.add(
                    f"{key}.interface",
                    f"{name} shapes the text of a policy, it grants nothing",
                    "the tables of the description do what it does",
                )
            else:
                known = (self.facts.interfaces, self.facts.macros)
                self.known(f"{key}.interface", name, "interface", *known)
            for item, argument in enumerate(call.arguments):
                self.argument(f"{key}.arguments[{item}]", argument, call.optional)
            self.tunable_known(key, call.tunable)
        self.unique(
            ((f"call[{i}]", (c.interface, *c.arguments)) for i, c in enumerate(self.d.call)),
            "the same call",
        )

    def argument(self, key: str, argument: str, may_lack: bool | None) -> None:
        inner = re.fullmatch(r"\{ ?([A-Za-z0-9_ ]+?) ?\}", argument)
        if inner:
            for word in inner.group(1).split():
                self.known(key, word, "object class", self.facts.classes)
        elif self.value(key, values.identifier(argument, "argument")):
            if argument.endswith("_t"):
                self.type_known(key, argument, may_lack=may_lack)
            elif self.word_of_headers(argument) not in ("", "a permission set"):
                word = self.word_of_headers(argument)
                self.add(key, f"{argument} is {word} of the policy headers")

    def transitions(self) -> None:
        for index, transition in enumerate(self.d.file_transition):
            key = f"file-transition[{index}]"
            self.reason(key, transition.reason)
            self.type_known(f"{key}.source", transition.source)
            self.type_known(f"{key}.directory", transition.directory)
            self.type_known(f"{key}.type", transition.type, attribute=False)
            self.classes(f"{key}.class", transition.class_)
            name = transition.name
            if name and (not re.fullmatch(r"[A-Za-z0-9._-]{1,255}", name) or name in (".", "..")):
                message = f"{name[:60]!a} is no plain file name"
                self.add(f"{key}.name", message, "letters, digits and . _ -")
            for word in re.findall(r"[A-Za-z_]\w*", name, re.ASCII):
                if word in values.M4_WORDS or self.word_of_headers(word):
                    message = f"{shown(name)} holds {word}, a word of m4 or of the policy headers"
                    self.add(f"{key}.name", message, "leave the name out")

    # -- expectations ------------------------------------------------------------------------

    def expectations(self) -> None:
        promises: dict[tuple[str, str, str, str], tuple[str, str]] = {}
        for field, rules in (("allow", self.d.allow),):
            for index, rule in enumerate(rules):
                if not rule.tunable and not rule.optional:
                    for vector in self.vectors(rule):
                        promises.setdefault(vector, ("allow", f"{field}[{index}]"))
        labels: dict[tuple[str, str], tuple[str, str]] = {}
        for index, expect in enumerate(self.d.expect):
            key = f"expect[{index}]"
            if expect.reason:
                self.reason(key, expect.reason)
            if sum((bool(expect.allow), bool(expect.deny), bool(expect.path))) != 1:
                self.add(key, "say one of allow, deny, path", 'e.g. path = "...", type = "..."')
                continue
            if expect.path:
                self.expected_label(key, expect, labels)
                continue
            if expect.type:
                self.add(f"{key}.type", "belongs to a path", "leave it out")
            word = "allow" if expect.allow else "deny"
            access = expect.allow or expect.deny
            assert access is not None
            self.expected_access(key, word, access, promises)

    def expected_label(
        self, key: str, expect: Expect, labels: dict[tuple[str, str], tuple[str, str]]
    ) -> None:
        self.value(f"{key}.path", values.plain_path(expect.path))
        if not expect.type:
            message = "is missing: which type must the path have?"
            self.add(f"{key}.type", message, f'e.g. type = "{names.prefix(self.d)[:60]}_data_t"')
        elif expect.type != "<<none>>":
            self.type_known(f"{key}.type", expect.type, attribute=False)
        said, other = labels.setdefault((expect.path, expect.file_type), (expect.type, key))
        if other != key:
            message = f"{shown(expect.path)} is expected to be {shown(said)} by {other}"
            self.add(key, message, "keep one")

    def expected_access(
        self,
        key: str,
        word: str,
        vector: AccessVector,
        promises: dict[tuple[str, str, str, str], tuple[str, str]],
    ) -> None:
        where = f"{key}.{word}"
        self.type_known(f"{where}.source", vector.source, attribute=False)
        self.type_known(f"{where}.target", vector.target, attribute=False, itself=True)
        if not vector.permissions:
            self.add(f"{where}.permissions", "names no permission", 'e.g. ["read"]')
        self.unique_list(f"{where}.permissions", vector.permissions)
        classes = self.classes(f"{where}.class", vector.class_)
        target = vector.source if vector.target == "self" else vector.target
        for item, permission in enumerate(vector.permissions):
            self.permission(f"{where}.permissions[{item}]", permission, classes, optional=False)
            row = (vector.source, target, vector.class_, permission)
            said, other = promises.setdefault(row, (word, key))
            if said != word:
                self.add(
                    key,
                    f"{shown(f'{vector.source} {target}:{vector.class_} {permission}')} is to be "
                    f"allowed and to be denied, see {other}",
                    "keep one",
                )
            elif other != key and other.startswith("expect"):
                self.add(key, f"{shown(permission)} is expected by {other} already", "keep one")

    def waivers(self) -> None:
        grammar = re.compile(r"permissive ([A-Za-z]\w*)|(\w+) (\w+):(\w+) (\w+)", re.ASCII)
        for index, waiver in enumerate(self.d.waiver):
            key = f"waiver[{index}]"
            self.reason(key, waiver.reason)
            match = grammar.fullmatch(" ".join(waiver.grant.split(" ")))
            if match is None:
                self.add(
                    f"{key}.grant",
                    f"{waiver.grant[:120]!a} names no grant",
                    "'SOURCE TARGET:CLASS PERMISSION', or 'permissive DOMAIN'",
                )
                continue
            domain, source, target, class_, permission = match.groups()
            if domain:
                self.domain_known(f"{key}.grant", domain)
                continue
            self.type_known(f"{key}.grant", source)
            self.type_known(f"{key}.grant", target, itself=True)
            classes = self.classes(f"{key}.grant", class_)
            self.permission(f"{key}.grant", permission, classes, optional=False)
        self.unique(
            (f"waiver[{i}].grant", " ".join(w.grant.split())) for i, w in enumerate(self.d.waiver)
        )


def _minor(python: str) -> int:
    return int(python.split(".")[1])


def _port_range(number: int | str) -> tuple[int, int] | None:
    """Return both ends of a port or a range, None for anything else."""
    text = str(number) if isinstance(number, int) and abs(number) < 100_000 else number
    if not isinstance(text, str) or not re.fullmatch(r"[1-9][0-9]{0,4}(-[1-9][0-9]{0,4})?", text):
        return None
    try:
        return names.port_range(text)
    except ValueError:
        return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False
