"""The description of an application, as written in wsgi-sepkg.toml.

Every struct is frozen and refuses unknown keys; keys are written in kebab-case in the file. The
``description`` of each field is what the JSON Schema, ``explain-config`` and the reference show.
"""

# No `from __future__ import annotations` here: resolving them later doubles the time of a load.
import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

PATH_USES = (
    "code",
    "static",
    "media",
    "data",
    "log",
    "cache",
    "config",
    "secret",
    "socket",
    "runtime",
    "temporary",
)

Text = Annotated[str, Meta(min_length=1, max_length=500)]
Reason = Annotated[
    str, Meta(min_length=1, max_length=500, description="why this is needed, for the reviewer")
]
FileType = Literal[
    "any", "file", "directory", "symlink", "socket", "pipe", "block-device", "character-device"
]
Confinement = Literal["shared", "daemon", "service"]


class _Table(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """Base of all tables of the description."""


class Project(_Table, frozen=True):
    """Who the package is."""

    name: Annotated[Text, Meta(description="name of the package; NAME-selinux is the subpackage")]
    version: Annotated[Text, Meta(description="version, PEP 440")]
    summary: Annotated[Text, Meta(description="one line for the package")]
    license: Annotated[Text, Meta(description="SPDX expression of the application")]
    maintainer: Annotated[
        Text, Meta(description="'Name <address>' for the changelog", examples=["A <a@b.example>"])
    ]
    url: Annotated[str, Meta(description="home page")] = ""
    description: Annotated[
        str, Meta(max_length=4000, description="a paragraph for the package; default: the summary")
    ] = ""
    policy_license: Annotated[
        str, Meta(description="SPDX expression of the policy where it differs")
    ] = ""
    epoch: Annotated[int, Meta(ge=0, description="RPM epoch; avoid it")] = 0
    release: Annotated[int, Meta(ge=1, description="RPM release, without the dist tag")] = 1
    module: Annotated[
        str, Meta(description="name of the policy module; default: the name with '_' for '-'")
    ] = ""
    prefix: Annotated[
        str, Meta(description="what the names of own types begin with; default: the module's name")
    ] = ""
    previous_modules: Annotated[
        list[str], Meta(description="names that this module had before: removed on upgrade")
    ] = field(default_factory=list)
    previous_priority: Annotated[
        int,
        Meta(ge=0, le=999, description="priority at which older packages of ours installed it"),
    ] = 0
    replace_base_module: Annotated[
        str,
        Meta(
            description="reason to take the place of the base policy's module of the same name, "
            "with all its types and labels; default: such a name is refused"
        ),
    ] = ""
    targets: Annotated[
        list[str], Meta(description="distributions and releases that this is built for")
    ] = field(default_factory=list)
    policy_types: Annotated[
        list[Literal["targeted", "mls", "minimum"]], Meta(description="SELinux policy types")
    ] = field(default_factory=lambda: ["targeted"])


class ChangelogEntry(_Table, frozen=True):
    """One entry of the RPM changelog."""

    date: Annotated[datetime.date, Meta(description="day of the entry")]
    text: Annotated[
        list[Text] | Text, Meta(description="what changed, one item or a list of items")
    ]
    version: Annotated[str, Meta(description="PEP 440 version; default: the project's version")] = (
        ""
    )
    release: Annotated[int, Meta(ge=1, description="default: 1")] = 1
    author: Annotated[str, Meta(description="default: the maintainer")] = ""


class Application(_Table, frozen=True):
    """What is installed and how it is served. Without this table only policy is packaged."""

    root: Annotated[str, Meta(description="folder on the target that holds the code")]
    wsgi: Annotated[
        str, Meta(description="WSGI entry, MODULE:OBJECT", examples=["guestbook.wsgi:application"])
    ]
    settings: Annotated[str, Meta(description="Django settings module")]
    source: Annotated[str, Meta(description="source tree, beside the description")] = "."
    exclude: Annotated[
        list[str], Meta(description="glob patterns of files that are not shipped")
    ] = field(default_factory=list)
    server: Annotated[Literal["httpd", "nginx"], Meta(description="web server")] = "httpd"
    upstream: Annotated[
        str, Meta(description="with nginx: where the application listens, unix:PATH or HOST:PORT")
    ] = ""
    confinement: Annotated[
        Confinement,
        Meta(
            description="shared: the application stays in the web server's domain; daemon: a "
            "process of mod_wsgi enters a domain of its own; service: systemd starts it in one"
        ),
    ] = "shared"
    without_selinux: Annotated[
        Literal["run", "refuse"],
        Meta(
            description="with daemon or service: what happens on a host without SELinux; run "
            "serves with a warning in the log"
        ),
    ] = "run"
    python: Annotated[
        str,
        Meta(
            pattern=r"^$|^3\.\d+$",
            description="Python of the target, selects mod_wsgi and the interpreter; default: the "
            "target's own",
        ),
    ] = ""
    django: Annotated[
        str, Meta(description="Django version that the application needs, e.g. '4.2'")
    ] = ""
    requires: Annotated[list[Text], Meta(description="RPM requirements of the application")] = (
        field(default_factory=list)
    )
    dependencies: Annotated[
        Literal["distribution", "bundled"],
        Meta(
            description="where Python packages come from: the distribution, or wheels that travel "
            "along in a virtual environment"
        ),
    ] = "distribution"
    requirements: Annotated[
        str,
        Meta(
            description="requirements file beside the description. distribution: each name becomes "
            "python3dist(NAME); bundled: it pins each package with its hashes"
        ),
    ] = ""
    architectures: Annotated[
        list[Literal["x86_64", "aarch64", "ppc64le", "s390x"]],
        Meta(description="bundled: machines that wheels are packaged for"),
    ] = field(default_factory=lambda: ["x86_64"])
    user: Annotated[
        str, Meta(description="account that the daemon process runs as; default: the server's")
    ] = ""
    processes: Annotated[int, Meta(ge=1, le=256, description="daemon processes")] = 2
    threads: Annotated[int, Meta(ge=1, le=256, description="threads of each")] = 8
    url: Annotated[str, Meta(description="where the application is mounted")] = "/"
    static: Annotated[
        Literal["collect", "prebuilt", "none"],
        Meta(description="how static files come about: collectstatic at build time, in the source"),
    ] = "collect"
    static_url: Annotated[str, Meta(description="URL of the static files")] = "/static/"
    media_url: Annotated[
        str, Meta(description="URL of the media files; '' where they are not served")
    ] = "/media/"
    build_environment: Annotated[
        dict[str, str],
        Meta(description="environment of collectstatic; dummy secrets go here, never shipped"),
    ] = field(default_factory=dict)
    migrate: Annotated[
        Literal["off", "print", "unit"],
        Meta(description="database migrations: by hand, command printed, or a one-shot unit"),
    ] = "off"
    reload: Annotated[
        bool, Meta(description="reload the web server after install, upgrade and erase")
    ] = True


class PathEntry(_Table, frozen=True):
    """A folder or file with more than its path to say."""

    path: Annotated[str, Meta(description="absolute path on the target, no pattern")]
    type: Annotated[
        str, Meta(description="type, own or of the base policy; default: follows from the use")
    ] = ""
    override: Annotated[
        str,
        Meta(description="reason to relabel a path that another module labels already"),
    ] = ""
    owner: str = ""
    group: str = ""
    mode: Annotated[str, Meta(pattern=r"^$|^[0-7]{4}$", description="octal, four digits")] = ""
    generate: Annotated[
        bool, Meta(description="secret: make a random one once per host, on first install")
    ] = True
    variable: Annotated[
        str,
        Meta(
            pattern=r"^$|^[A-Z_][A-Z0-9_]*$",
            description="secret: write NAME=value instead of the bare value",
        ),
    ] = ""


PathValue = str | PathEntry | list[str | PathEntry]


class Paths(_Table, frozen=True):
    """What lies where, by use. The use decides the type and what the application may do there."""

    code: Annotated[
        PathValue, Meta(description="programs and templates: read; default: the root")
    ] = field(default_factory=list)
    static: Annotated[PathValue, Meta(description="static files: read by the server")] = field(
        default_factory=list
    )
    media: Annotated[PathValue, Meta(description="uploads: written and served")] = field(
        default_factory=list
    )
    data: Annotated[PathValue, Meta(description="databases in files: written, mapped")] = field(
        default_factory=list
    )
    log: Annotated[PathValue, Meta(description="log files: created and appended to")] = field(
        default_factory=list
    )
    cache: Annotated[PathValue, Meta(description="cache files: written")] = field(
        default_factory=list
    )
    config: Annotated[PathValue, Meta(description="configuration: read")] = field(
        default_factory=list
    )
    secret: Annotated[
        PathValue, Meta(description="key files: read, never shipped, made once per host")
    ] = field(default_factory=list)
    socket: Annotated[
        PathValue, Meta(description="folder of sockets that the application makes")
    ] = field(default_factory=list)
    runtime: Annotated[PathValue, Meta(description="folder in /run: written")] = field(
        default_factory=list
    )
    temporary: Annotated[
        PathValue, Meta(description="folder of its own for temporary files: written")
    ] = field(default_factory=list)


class FilePayload(_Table, frozen=True):
    """One more file of the application package."""

    source: Annotated[str, Meta(description="file beside the description")]
    path: Annotated[str, Meta(description="where it is installed")]
    mode: Annotated[str, Meta(pattern=r"^[0-7]{4}$")] = "0644"
    owner: str = "root"
    group: str = "root"
    config: Annotated[bool, Meta(description="%config(noreplace): edits are kept")] = False


class Unit(_Table, frozen=True):
    """A systemd unit that travels along."""

    source: Annotated[str, Meta(description="unit file beside the description")]
    enable: Annotated[bool, Meta(description="enable it on first install (preset)")] = False


class Process(_Table, frozen=True):
    """A process that systemd starts in a domain of its own; not with shared confinement."""

    kind: Annotated[
        Literal["web", "worker", "scheduler", "timer", "command"],
        Meta(
            description="web: answers the web server; worker and scheduler: run all the time; "
            "timer: runs by a schedule; command: runs once, when it is started"
        ),
    ]
    run: Annotated[
        str | list[str],
        Meta(
            description="command line without addresses, accounts and paths of programs: a "
            "server, a worker, manage with a command of Django, or call with MODULE:FUNCTION",
            examples=["gunicorn guestbook.wsgi --workers 2", "manage clearsessions"],
        ),
    ]
    own_domain: Annotated[
        bool | None,
        Meta(
            description="false: it shares the web's domain, or that of the management commands; "
            "default: true for worker and scheduler"
        ),
    ] = None
    listen: Annotated[
        str,
        Meta(
            description="web: socket in /run (the default), or an address as 127.0.0.1:8765 whose "
            "port [[port]] labels"
        ),
    ] = "socket"
    socket_activation: Annotated[
        bool, Meta(description="web: systemd opens the socket and starts the process when needed")
    ] = False
    schedule: Annotated[
        str, Meta(description="timer: when it runs, as OnCalendar= of systemd.time(7) has it")
    ] = ""
    user: Annotated[str, Meta(description="account; default: the application's")] = ""
    environment: Annotated[
        dict[str, str], Meta(description="environment of the process; no secrets")
    ] = field(default_factory=dict)
    enable: Annotated[bool, Meta(description="enable its unit on first install")] = True
    permissive: Annotated[
        bool, Meta(description="its domain stops nothing; needs a waiver, and ends with it")
    ] = False


class Power(_Table, frozen=True):
    """Something beyond paths and connections that a process may do."""

    name: Annotated[
        Literal[
            "helpers",
            "shell",
            "shared-memory",
            "libffi",
            "nsswitch",
            "nfs",
            "cifs",
            "kerberos",
            "sendmail",
            "collect-static",
            "execmem",
        ],
        Meta(
            description="helpers: run programs of the host; shell: run sh too; shared-memory: "
            "multiprocessing; libffi: callbacks of compiled modules; nsswitch: accounts by SSSD, "
            "LDAP, NIS; collect-static: management commands write static files; execmem: needs a "
            "waiver"
        ),
    ]
    reason: Reason
    by: Annotated[
        list[str], Meta(description="processes that get it; default: all that it is meant for")
    ] = field(default_factory=list)
    through: Annotated[
        Literal["rule", "tunable"],
        Meta(description="tunable: a boolean of our own that the site can turn off"),
    ] = "tunable"
    default: Annotated[bool, Meta(description="initial value of the tunable")] = True


class Connect(_Table, frozen=True):
    """A connection that the application makes."""

    reason: Reason
    to: Annotated[str, Meta(description="well-known service: postgresql, redis, smtp, ...")] = ""
    port: Annotated[int, Meta(ge=0, le=65535, description="or a TCP port number")] = 0
    socket: Annotated[
        bool, Meta(description="through the service's socket on this host instead of TCP")
    ] = False
    by: Annotated[
        str | list[str],
        Meta(description="domain or processes that connect; default: all of the application"),
    ] = ""
    through: Annotated[
        Literal["rule", "tunable", "boolean"],
        Meta(
            description="rule: always; tunable: a boolean of our own that the site can turn off; "
            "boolean: the base policy's boolean, set by the package"
        ),
    ] = "tunable"
    default: Annotated[bool, Meta(description="initial value of the tunable")] = True
    tunable: Annotated[str, Meta(description="name of the tunable; default: derived")] = ""
    set: Annotated[
        Literal["always", "first-install"], Meta(description="when the base boolean is set")
    ] = "first-install"


class Port(_Table, frozen=True):
    """A port that gets a label by this package."""

    number: Annotated[int | str, Meta(description="a number or a range LOW-HIGH")]
    reason: Reason
    protocol: Literal["tcp", "udp", "sctp", "dccp"] = "tcp"
    type: Annotated[str, Meta(description="port type; default: <prefix>_port_t")] = ""
    bind_by: Annotated[list[str], Meta(description="domains that may bind it")] = field(
        default_factory=list
    )
    connect_by: Annotated[list[str], Meta(description="domains that may connect to it")] = field(
        default_factory=list
    )
    tunable: Annotated[str, Meta(description="tunable that these depend on")] = ""


class Boolean(_Table, frozen=True):
    """A boolean of the base policy that the package sets and restores."""

    name: str
    value: bool
    reason: Reason
    set: Annotated[
        Literal["always", "first-install"],
        Meta(
            description="always: at each install and upgrade; first-install: once, an "
            "administrator's later change is respected"
        ),
    ] = "first-install"


class Tunable(_Table, frozen=True):
    """A boolean of our own that guards rules of this description."""

    name: str
    reason: Reason
    default: bool = False


class TypeDeclaration(_Table, frozen=True):
    """A type of our own."""

    name: str
    kind: Annotated[
        Literal[
            "file",
            "content",
            "config",
            "secret",
            "log",
            "cache",
            "data",
            "temporary",
            "tmpfs",
            "runtime",
            "executable",
            "unit",
            "port",
            "certificate",
        ],
        Meta(description="what it labels; decides its attributes"),
    ]
    reason: str = ""
    attributes: Annotated[list[str], Meta(description="further attributes")] = field(
        default_factory=list
    )


class Domain(_Table, frozen=True):
    """A domain of our own that a systemd service enters."""

    name: str
    entry: Annotated[str, Meta(description="type of its entry point")]
    reason: Reason
    no_new_privileges: Annotated[bool, Meta(description="the unit sets NoNewPrivileges=")] = False
    permissive: Annotated[bool, Meta(description="needs a waiver")] = False


class Rule(_Table, frozen=True):
    """A type enforcement rule in the field's words."""

    source: str
    target: Annotated[str, Meta(description="a type, or self")]
    class_: Annotated[str | list[str], Meta(description="object class or classes")] = field(
        name="class"
    )
    permissions: Annotated[
        list[str] | str, Meta(description="permissions, or the name of a permission set")
    ]
    reason: Reason
    optional: Annotated[
        bool | None,
        Meta(
            description="in an optional block; default: when a type is not our own. Said as true, "
            "a type may also be one that the target lacks: then the block is left out there"
        ),
    ] = None
    tunable: str = ""


class Call(_Table, frozen=True):
    """An interface of the policy headers, called with arguments."""

    interface: str
    arguments: list[str]
    reason: Reason
    optional: Annotated[
        bool | None,
        Meta(
            description="default: when a type is not our own or the interface's module may be "
            "absent. Said as true, a type may also be one that the target lacks"
        ),
    ] = None
    tunable: str = ""


class FileTransition(_Table, frozen=True):
    """New objects that a domain makes in a folder of one type get another type."""

    source: str
    directory: Annotated[str, Meta(description="type of the folder")]
    type: Annotated[str, Meta(description="type of the new object")]
    reason: Reason
    class_: Annotated[str | list[str], Meta(description="classes of the new object")] = field(
        name="class", default_factory=lambda: ["file", "dir"]
    )
    name: Annotated[str, Meta(description="only for this name")] = ""


class FileContext(_Table, frozen=True):
    """A file context in the field's words."""

    pattern: Annotated[str, Meta(description="regular expression of the whole path")]
    type: Annotated[str, Meta(description="type, or <<none>>")]
    reason: Reason
    file_type: FileType = "any"
    level: Annotated[str, Meta(pattern=r"^s\d+(:c\d+([.,]c\d+)*)?$")] = "s0"
    override: Annotated[
        bool, Meta(description="also where another module labels the path already")
    ] = False


class AccessVector(_Table, frozen=True):
    """Source, target, class and permissions."""

    source: str
    target: str
    class_: str = field(name="class")
    permissions: list[str]


class Expect(_Table, frozen=True):
    """Something that must hold in the linked policy or the linked labels."""

    allow: AccessVector | None = None
    deny: AccessVector | None = None
    path: Annotated[str, Meta(description="a path on the target")] = ""
    type: Annotated[str, Meta(description="type that the path must have")] = ""
    file_type: FileType = "file"
    reason: str = ""


class Waiver(_Table, frozen=True):
    """A built-in refusal that is set aside for a stated time."""

    grant: Annotated[
        str, Meta(description="'SOURCE TARGET:CLASS PERMISSION', or 'permissive DOMAIN'")
    ]
    reason: Reason
    until: Annotated[datetime.date, Meta(description="the check fails after this day")]


class Description(_Table, frozen=True):
    """The whole file."""

    project: Project
    application: Application | None = None
    path: Paths = field(default_factory=Paths)
    changelog: list[ChangelogEntry] = field(default_factory=list)
    file: list[FilePayload] = field(default_factory=list)
    unit: list[Unit] = field(default_factory=list)
    process: Annotated[
        dict[str, Process],
        Meta(description="[process.NAME]: a process that systemd starts in a domain of its own"),
    ] = field(default_factory=dict)
    power: list[Power] = field(default_factory=list)
    connect: list[Connect] = field(default_factory=list)
    port: list[Port] = field(default_factory=list)
    boolean: list[Boolean] = field(default_factory=list)
    tunable: list[Tunable] = field(default_factory=list)
    type: list[TypeDeclaration] = field(default_factory=list)
    domain: list[Domain] = field(default_factory=list)
    allow: list[Rule] = field(default_factory=list)
    dontaudit: list[Rule] = field(default_factory=list)
    call: list[Call] = field(default_factory=list)
    file_transition: list[FileTransition] = field(default_factory=list)
    file_context: list[FileContext] = field(default_factory=list)
    expect: list[Expect] = field(default_factory=list)
    waiver: list[Waiver] = field(default_factory=list)
    target: Annotated[
        dict[str, dict[str, Any]],
        Meta(description="[target.NAME]: keys that differ for one target"),
    ] = field(default_factory=dict)
