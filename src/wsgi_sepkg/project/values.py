"""What single values may be: identifiers, paths, patterns, texts.

Each function returns a list of complaints, (message, hint) pairs; an empty list means that the
value can be written into policy, m4, a spec, shell or server configuration without further thought.
"""

from __future__ import annotations

import keyword
import re
import unicodedata
import warnings

Complaints = list[tuple[str, str]]

# Words of the policy language (SELinuxProject/selinux checkpolicy/policy_scan.l) and m4's own.
POLICY_WORDS = frozenset(
    [
        "alias",
        "allow",
        "allowxperm",
        "and",
        "attribute",
        "attribute_role",
        "auditallow",
        "auditallowxperm",
        "auditdeny",
        "base",
        "bool",
        "category",
        "cats",
        "class",
        "clone",
        "common",
        "constrain",
        "constraint",
        "default_range",
        "default_role",
        "default_type",
        "default_user",
        "devicetreecon",
        "dom",
        "domby",
        "dontaudit",
        "dontauditxperm",
        "dominance",
        "else",
        "eq",
        "equals",
        "expandattribute",
        "false",
        "filename",
        "fscon",
        "fs_use_task",
        "fs_use_trans",
        "fs_use_xattr",
        "genfscon",
        "glblub",
        "h1",
        "h2",
        "high",
        "ibendportcon",
        "ibpkeycon",
        "identifier",
        "if",
        "incomp",
        "inherits",
        "iomemcon",
        "ioportcon",
        "ipv4_addr",
        "ipv6_addr",
        "l1",
        "l2",
        "level",
        "low",
        "low_high",
        "mlsconstrain",
        "mlsvalidatetrans",
        "module",
        "ne",
        "netifcon",
        "neverallow",
        "neverallowxperm",
        "nodecon",
        "not",
        "notequal",
        "optional",
        "or",
        "path",
        "pcidevicecon",
        "permissive",
        "pirqcon",
        "policycap",
        "portcon",
        "r1",
        "r2",
        "r3",
        "range",
        "range_transition",
        "require",
        "role",
        "role_transition",
        "roleattribute",
        "roles",
        "sameuser",
        "self",
        "sensitivity",
        "sid",
        "source",
        "t1",
        "t2",
        "t3",
        "target",
        "true",
        "tunable",
        "type",
        "type_change",
        "type_member",
        "type_transition",
        "typealias",
        "typeattribute",
        "typebounds",
        "types",
        "u1",
        "u2",
        "u3",
        "user",
        "validatetrans",
        "version_identifier",
        "xor",
    ]
)
M4_WORDS = frozenset(
    [
        "builtin",
        "changecom",
        "changequote",
        "changeword",
        "debugfile",
        "debugmode",
        "decr",
        "define",
        "defn",
        "divert",
        "divnum",
        "dnl",
        "dumpdef",
        "errprint",
        "esyscmd",
        "eval",
        "format",
        "ifdef",
        "ifelse",
        "include",
        "incr",
        "index",
        "indir",
        "len",
        "m4exit",
        "m4wrap",
        "maketemp",
        "mkstemp",
        "patsubst",
        "popdef",
        "pushdef",
        "regexp",
        "shift",
        "sinclude",
        "substr",
        "syscmd",
        "sysval",
        "traceoff",
        "traceon",
        "translit",
        "undefine",
        "undivert",
        "unix",
        "__file__",
        "__line__",
        "__program__",
        "__gnu__",
        "__unix__",
    ]
)
# The file type of a context as a file of contexts writes it (file_contexts(5)); "any" has none.
FC_FLAGS = {
    "file": "--",
    "directory": "-d",
    "symlink": "-l",
    "socket": "-s",
    "pipe": "-p",
    "block-device": "-b",
    "character-device": "-c",
}
_BOTH_WORDS = {word.lower() for word in POLICY_WORDS | M4_WORDS}

# Folders that many packages share: labelling them would change the whole host.
HOST_FOLDERS = frozenset(
    [
        "/etc/apache2",
        "/etc/cron.d",
        "/etc/default",
        "/etc/httpd",
        "/etc/httpd/conf",
        "/etc/httpd/conf.d",
        "/etc/logrotate.d",
        "/etc/nginx",
        "/etc/nginx/conf.d",
        "/etc/pam.d",
        "/etc/pki",
        "/etc/security",
        "/etc/selinux",
        "/etc/ssh",
        "/etc/ssl",
        "/etc/sudoers.d",
        "/etc/sysconfig",
        "/etc/systemd",
        "/etc/systemd/system",
        "/run/httpd",
        "/run/lock",
        "/run/systemd",
        "/run/user",
        "/usr/bin",
        "/usr/include",
        "/usr/lib",
        "/usr/lib/systemd",
        "/usr/lib/systemd/system",
        "/usr/lib/sysusers.d",
        "/usr/lib/tmpfiles.d",
        "/usr/lib64",
        "/usr/libexec",
        "/usr/local",
        "/usr/local/bin",
        "/usr/local/etc",
        "/usr/local/lib",
        "/usr/local/lib64",
        "/usr/local/libexec",
        "/usr/local/sbin",
        "/usr/local/share",
        "/usr/sbin",
        "/usr/share",
        "/usr/share/doc",
        "/usr/share/selinux",
        "/usr/src",
        "/var/cache",
        "/var/cache/httpd",
        "/var/lib",
        "/var/lib/httpd",
        "/var/lib/mysql",
        "/var/lib/nginx",
        "/var/lib/pgsql",
        "/var/lib/postgresql",
        "/var/lib/rpm",
        "/var/lib/selinux",
        "/var/lib/systemd",
        "/var/lock",
        "/var/log",
        "/var/log/apache2",
        "/var/log/audit",
        "/var/log/httpd",
        "/var/log/journal",
        "/var/log/nginx",
        "/var/mail",
        "/var/opt",
        "/var/run",
        "/var/spool",
        "/var/tmp",  # noqa: S108
        "/var/www",
        "/var/www/cgi-bin",
        "/var/www/html",
    ]
)
# The kernel's own trees: file contexts do not reach them.
_KERNEL_FOLDERS = ("/dev", "/proc", "/sys")

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_MODULE = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_PATH = re.compile(r"/[A-Za-z0-9._/@+=,~-]*")
_RELATIVE = re.compile(r"[A-Za-z0-9._@+=,~-][A-Za-z0-9._/@+=,~-]*")
_PATTERN = re.compile(r"/[A-Za-z0-9._/@+=,~\-\\()\[\]|*?{}^:$]*")
_META = "*?[](){}|\\^$"
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_DEEPEST = 32


def shown(value: str, longest: int = 120) -> str:
    """Return ``value`` as a message may show it: cut, and quoted where it is not a plain word."""
    cut = value if len(value) <= longest else value[:longest] + "..."
    return cut if re.fullmatch(r"[!-~]+( [!-~]+)*", cut) else ascii(cut)


def text(value: str, longest: int = 500) -> Complaints:
    """Check a text for people: one line, printable, no characters that reorder what is shown."""
    if not value:
        return [("is empty", "say it in a few words")]
    if not value.strip():
        return [("holds white space only", "say it in a few words")]
    found: Complaints = []
    if len(value) > longest:
        found.append((f"longer than {longest} characters ({len(value)})", "say it shorter"))
    for char in value:
        if char in _BIDI:
            found.append((f"holds U+{ord(char):04X}, which reorders the text shown", "remove it"))
            break
        if char == "\n":
            found.append(("has more than one line", "write it in one line"))
            break
        if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp", "Cn", "Co"):
            found.append((f"holds the control character U+{ord(char):04X}", "use one plain line"))
            break
    if not found and value != value.strip():
        found.append(("begins or ends with white space", "remove it"))
    return found


def identifier(value: str, what: str) -> Complaints:
    """Check a name of a type, attribute, boolean, tunable, class or role."""
    if not _IDENTIFIER.fullmatch(value):
        hint = re.sub(r"[^A-Za-z0-9_]", "_", value)[:60]
        cure = f"e.g. {hint}" if _IDENTIFIER.fullmatch(hint) else ""
        message = f"{value[:80]!a} is no {what}: a letter, then letters, digits, underscores"
        return [(message, cure)]
    if value.lower() in _BOTH_WORDS:
        word = "of the policy language" if value.lower() in POLICY_WORDS else "of m4"
        return [(f"{value!r} is a word {word}, it cannot name a {what}", "choose another name")]
    if len(value) > 120:
        return [(f"the {what} is longer than 120 characters", "choose a shorter name")]
    return []


def module(value: str) -> Complaints:
    """Check the name of a policy module."""
    if not _MODULE.fullmatch(value):
        message = f"{value[:80]!a} is no module name: a letter, then letters, digits, _ and -"
        return [(message, "")]
    if value.lower() in POLICY_WORDS or any(p.lower() in M4_WORDS for p in value.split("-")):
        message = f"{value!r} is, or holds, a word of the policy language or of m4"
        return [(message, "choose another name")]
    if len(value) > 64:
        return [("the module name is longer than 64 characters", "choose a shorter name")]
    return []


def plain_path(value: str) -> Complaints:
    """Check the form of an absolute path: no pattern, no way to leave it, one spelling."""
    if not value.startswith("/"):
        return [(f"{value[:120]!a} is not absolute", "begin it with /")]
    if any(char in value for char in _META):
        cut = re.split(r"[*?\[\](){}|\\^$]", value)[0].rpartition("/")[0] or "/"
        return [
            (
                f"{value[:120]!a} is a pattern, a path is wanted here",
                f"name the folder, {shown(cut)}: what lies in it is included; patterns belong in "
                "[[file-context]]",
            )
        ]
    if not _PATH.fullmatch(value):
        bad = next(char for char in value if not _PATH.fullmatch("/" + char))
        return [
            (
                f"{value[:120]!a} holds {bad!a}",
                "paths here are made of letters, digits and . _ - @ + = , ~",
            )
        ]
    if value != "/" and (value.endswith("/") or "//" in value):
        cured = re.sub("/+", "/", value).rstrip("/") or "/"
        return [(f"{value[:120]!a} ends with / or holds //", f"write {cured[:120]}")]
    if {".", ".."} & set(value.split("/")):
        return [(f"{value[:120]!a} holds . or .. as a part", "write the path it stands for")]
    if len(value) > 255:
        return [("the path is longer than 255 characters", "choose a shorter path")]
    return []


def path(value: str) -> Complaints:
    """Check an absolute path that is the application's own: below the folders of the host."""
    found = plain_path(value)
    if found:
        return found
    if value == "/" or value in HOST_FOLDERS:
        return [(f"{value} belongs to the host", "name a folder of the application below it")]
    if value.startswith(tuple(f"{folder}/" for folder in _KERNEL_FOLDERS)):
        return [(f"{value[:120]} is the kernel's: no labels there", "use /var/lib, /srv or /run")]
    if value.startswith(("/home/", "/root/")):
        # Measured: file_contexts.homedirs is read after a module's contexts, so it wins there.
        return [
            (
                f"{value[:120]} is in a home directory: the labels of home directories win over "
                "those of a module",
                "move it, e.g. to /srv or /var/lib",
            )
        ]
    if value.count("/") < 2:
        return [(f"{value} is a top-level folder of the host", "name a folder of the application")]
    return []


def relative(value: str) -> Complaints:
    """Check the name of a file beside the description; it becomes a source of the spec."""
    if not value:
        return [("is empty", "name a file beside the description")]
    if value.startswith("/"):
        return [(f"{value[:120]!a} is absolute", "name a file beside the description")]
    if not _RELATIVE.fullmatch(value):
        bad = next(char for char in value if not _RELATIVE.fullmatch("x" + char))
        return [
            (
                f"{value[:120]!a} holds {bad!a}",
                "file names here are made of letters, digits and . _ - @ + = , ~",
            )
        ]
    if len(value) > 255:
        return [("the file name is longer than 255 characters", "choose a shorter name")]
    return []


def pattern(value: str) -> Complaints:
    """Check a regular expression of file_contexts(5)."""
    if not value.startswith("/"):
        return [(f"{value[:120]!a} does not begin with /", "patterns match absolute paths")]
    if len(value) > 400:
        return [("the pattern is longer than 400 characters", "split it")]
    if not _PATTERN.fullmatch(value):
        bad = next(char for char in value if not _PATTERN.fullmatch("/" + char))
        return [(f"{value[:120]!a} holds {bad!a}", "leave it out, or match it with [^/]")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # POSIX classes look like nested sets to Python
        try:
            re.compile(value)
        except (re.error, OverflowError, RecursionError) as exc:
            return [(f"'{value[:120]}' is no regular expression: {exc}", "see file_contexts(5)")]
    found: Complaints = []
    if "^" in re.sub(r"\[\^", "[", _blanked(value)) or "$" in _blanked(value):
        found.append((f"'{value}': patterns are anchored already", "leave out ^ and $"))
    if _top_level_alternative(value):
        found.append(
            (
                f"'{value}': only the first alternative would be anchored at its beginning",
                "put the alternatives in parentheses, after a common folder",
            )
        )
    cured = _escaped_dots(value)
    if cured != value:
        found.append((f"'{value}': an unescaped dot matches any character", f"write '{cured}'"))
    return found or _literal_beginning(value)


def _literal_beginning(value: str) -> Complaints:
    """Refuse a pattern that would make fixfiles walk, or label, a folder of the host."""
    stem = literal_stem(value)
    whole = stem == value.replace("\\", "")
    folders = stem if whole else stem.rpartition("/")[0]
    rest = value.removesuffix("(/.*)?").removesuffix("/.*").removesuffix("/[^/]*")
    own = rest.replace("\\", "")
    if own in HOST_FOLDERS or (folders == stem.rstrip("/") and folders in HOST_FOLDERS):
        named = own if own in HOST_FOLDERS else folders
        message = f"'{value}': {named} belongs to the host, it would be relabelled as a whole"
        return [(message, "name a folder of the application below it")]
    if len([part for part in stem.split("/") if part]) < 2:
        return [
            (
                f"'{value}' has no literal beginning: a relabel would walk the whole host",
                "begin with at least two literal folders",
            )
        ]
    if stem.startswith(tuple(f"{folder}/" for folder in _KERNEL_FOLDERS)):
        return [(f"'{value}': the kernel's own tree has no labels of file contexts", "")]
    return []


def literal_stem(value: str) -> str:
    """Return the path that every match of the pattern begins with: ``/srv/a(/.*)?`` is /srv/a."""
    stem = re.match(r"(?:\\[^A-Za-z0-9]|[^.^$?*+|\[({\\])*", value)
    assert stem is not None
    text_ = stem.group()
    if len(text_) < len(value) and value[len(text_)] in "?*{":
        # The quantifier makes the last character optional, together with its backslash.
        text_ = re.sub(r"\\?.\Z", "", text_)
    return text_.replace("\\", "")


def _blanked(value: str) -> str:
    """Return the pattern with escapes and the insides of brackets replaced, same length."""
    plain = re.sub(r"\\.", "xx", value)
    return re.sub(r"\[\^?\]?[^\]]*\]", lambda m: "x" * len(m.group()), plain)


def _escaped_dots(value: str) -> str:
    blanked = _blanked(value)
    dots = {m.start() for m in re.finditer(r"\.(?![*+?{])", blanked)}
    return "".join(f"\\{c}" if i in dots else c for i, c in enumerate(value))


def _top_level_alternative(value: str) -> bool:
    depth = 0
    for char in _blanked(value):
        depth += (char == "(") - (char == ")")
        if char == "|" and depth == 0:
            return True
    return False


def account(value: str) -> Complaints:
    """Check a user or group name (useradd(8), the portable form)."""
    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,30}", value):
        hint = "lower-case letters, digits, '_' and '-'"
        return [(f"{value[:60]!a} is no account name", hint)]
    return []


def mode(value: str) -> Complaints:
    """Check a file mode: four octal digits."""
    if not re.fullmatch(r"[0-7]{4}", value):
        return [(f"{value[:20]!a} is no file mode", "four octal digits, e.g. 0640")]
    return []


def dotted(value: str) -> Complaints:
    """Check a dotted Python name."""
    parts = value.split(".")
    if not all(python_name(part) for part in parts) or len(value) > 200:
        return [(f"{value[:120]!a} is no Python module", "e.g. guestbook.settings")]
    return []


def python_name(value: str) -> bool:
    """Return whether Python can use ``value`` as a name."""
    return value.isascii() and value.isidentifier() and not keyword.iskeyword(value)


def url_path(value: str) -> Complaints:
    """Check a URL path as web server configuration takes it unquoted."""
    if not re.fullmatch(r"/[A-Za-z0-9._~/-]*", value):
        message = f"{value[:120]!a} is no URL path"
        return [(message, "begin with /, letters, digits and . _ ~ - only")]
    if "//" in value or {".", ".."} & set(value.split("/")):
        message = f"{value[:120]!a} holds //, or . or .. as a part"
        return [(message, "write the path it stands for")]
    if len(value) > 255:
        return [("the URL path is longer than 255 characters", "choose a shorter one")]
    return []


def requirement(value: str) -> Complaints:
    """Check an RPM requirement: a capability, optionally with a version."""
    name = r"[A-Za-z0-9_/][A-Za-z0-9_.+/-]*(\([A-Za-z0-9_.+:/ -]*\))*(\(64bit\))?"
    if not re.fullmatch(rf"{name}( (<|<=|=|>=|>) [A-Za-z0-9.+~^:_-]+)?", value):
        message = f"{value[:120]!a} is no RPM requirement"
        return [(message, "e.g. python3-django, python3dist(django) >= 4.2")]
    return []


def spdx(value: str) -> Complaints:
    """Check the form of an SPDX expression (SPDX specification, annex D); ids are not looked up."""
    words = re.findall(r"[()]|[^()\s]+", value)
    good = bool(words) and value == value.strip() and value.isprintable() and len(value) <= 300
    depth = 0
    wants_id = True
    for word in words:
        if word == "(" and wants_id:
            depth += 1
            good = good and depth <= _DEEPEST
        elif word == ")" and not wants_id and depth:
            depth -= 1
        elif word in ("AND", "OR", "WITH") and not wants_id:
            wants_id = True
        elif wants_id and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*\+?", word):
            wants_id = False
        else:
            good = False
    if not good or wants_id or depth:
        message = f"{value[:80]!a} is no SPDX expression"
        return [(message, "e.g. MIT, GPL-2.0-or-later, MIT AND BSD-3-Clause")]
    return []


def web_address(value: str) -> Complaints:
    """Check the address of a home page."""
    if not re.fullmatch(
        r"https?://[A-Za-z0-9.-]+(:\d{1,5})?([/?#]([A-Za-z0-9._~:/?#@!&+,;=-]|%[0-9A-Fa-f]{2})*)?",
        value,
        re.ASCII,
    ):
        message = f"{value[:120]!a} is no http(s) address"
        return [(message, "e.g. https://www.example.org/guestbook")]
    return []
