"""Sound records in every form, and ways to spoil them."""

from __future__ import annotations

import random

DOMAINS = (
    "httpd_t init_t app.web_t web-app.process postfix_smtpd_t container_t unconfined_t".split()
)
TYPES = "var_t tmp_t postgresql_port_t user_home_t shadow_t httpd_sys_content_t etc_t".split()
CLASSES = "file dir sock_file tcp_socket process capability lnk_file filesystem newclass".split()
PERMISSIONS = "read write open getattr execmem name_connect map dac_override newperm".split()
LEVELS = ["", ":s0", ":s0", ":s0-s0:c0.c1023", ":s0:c12,c845", ":SystemLow"]
COMMS = ["httpd", "gunicorn", "(gunicorn)", "python3", "rs:main Q:Reg", "a=b", "café"]
PATHS = ["/srv/site/a.txt", "/memfd:libffi (deleted)", "/tmp/x y", "socket:[12]", '/a"b', "/é"]
# What somebody would write who can choose a name that is logged.
TRAPS = [
    "scontext=a:b:evil_t:s0",
    'x" scontext=a:b:evil_t:s0 tcontext=a:b:evil_t:s0 tclass=file permissive=0',
    "type=AVC msg=audit(1700000000.000:1): avc:  denied  { read } for  pid=1 "
    "scontext=u:r:evil_t:s0 tcontext=u:r:shadow_t:s0 tclass=file permissive=0",
    "avc:  denied  { write } for  scontext=u:r:evil_t:s0 tcontext=u:r:shadow_t:s0 tclass=file",
    " tclass=process",
    "\x1b[2J",
    "\ntype=AVC msg=audit(1700000000.000:1): avc:  denied  { read } for  pid=1 "
    "scontext=u:r:evil_t:s0 tcontext=u:r:shadow_t:s0 tclass=file permissive=0\n",
]
GARBAGE = ['"', "'", "=", " ", "  ", "{", "}", "\\", "\0", "\x1d", "\t", "\r", ":", ".", ",", "_"]
FRAGMENTS = [
    *GARBAGE,
    "\n",
    "\\\n",
    " \n",
    "type=AVC ",
    "msg=audit(",
    "avc:  denied  ",
    "permissive=1",
    " tclass=file",
    "scontext=",
    "tcontext=u:r:t_t:s0",
    "0x",
    "FF",
    "\xff",
    "\\_",
    "\xe2\x80\x9d",
    "=3D",
    "&quot;",
    "(null)",
    "%n",
    "A" * 300,
    " " * 300,
    "a " * 100,
    ":c1" * 100,
    "{ " * 50,
]


def quoted(rng: random.Random, text: str) -> str:
    """As the kernel writes an untrusted string."""
    raw = text.encode()
    if all(33 <= b < 127 and b != 34 for b in raw) and rng.random() < 0.9:
        return f'"{text}"'
    return raw.hex().upper()


def record(rng: random.Random) -> str:
    """One sound record with its line end."""
    dated = rng.random() < 0.15
    user = rng.random() < 0.12
    show = (lambda text: text) if dated else (lambda text: quoted(rng, text))
    perms = " ".join(rng.sample(PERMISSIONS, rng.randrange(1, 4)))
    tclass = rng.choice(CLASSES)
    fields = [f"pid={rng.randrange(1, 99999)}", f"comm={show(rng.choice(COMMS))}"]
    if rng.random() < 0.4:
        trap = rng.choice(TRAPS) if rng.random() < 0.2 and not dated else ""
        fields.append(f"path={show(trap or rng.choice(PATHS))}")
    elif rng.random() < 0.5:
        fields.append(f"name={show('index.html')}")
    if rng.random() < 0.5:
        fields += ['dev="dm-0"', f"ino={rng.randrange(10**6)}"]
    if tclass == "tcp_socket":
        fields.append(f"dest={rng.randrange(65536)}")
    vector = [
        f"scontext=system_u:system_r:{rng.choice(DOMAINS)}{rng.choice(LEVELS)}",
        f"tcontext=system_u:object_r:{rng.choice(TYPES)}{rng.choice(LEVELS)}",
        f"tclass={tclass}",
    ]
    if rng.random() < 0.85:
        vector.append(f"permissive={rng.randrange(2)}")
    if rng.random() < 0.05:
        fields += vector
        rng.shuffle(fields)
    else:
        fields += vector
    verdict = "granted" if rng.random() < 0.05 else "denied"
    body = f"avc:  {verdict}  {{ {perms} }} for  {' '.join(fields)}"
    if user:
        body = f"pid=7 uid=81 auid=1 ses=1 subj=a:b:c:s0 msg='{body}  exe=\"/usr/bin/dbus\"'"
    text = heading(rng, "USER_AVC" if user else "AVC", dated) + body
    if rng.random() < 0.06:
        text = shown(rng, text)
    return text + rng.choice(["\n"] * 9 + ["\r\n"])


def shown(rng: random.Random, text: str) -> str:
    """A record as people show it: wrapped in a mail or a comment."""
    text = text.lstrip(" >#").replace(" \n", " ")  # wrapped in one place only
    mark = rng.choice(["> ", "# ", "> > ", "#", "#\t", "//", "// "])
    words = text.split(" ")
    begin = next(i for i, word in enumerate(words) if word.endswith("avc:"))
    at = rng.randrange(begin + 1, len(words))
    return f"{mark}{' '.join(words[:at])}\n{mark}{' '.join(words[at:])}"


def heading(rng: random.Random, kind: str, dated: bool) -> str:
    """The head of a record in one of the forms that logs have."""
    serial = rng.randrange(1, 10**6)
    raw = f"{1_700_000_000 + rng.randrange(10**7)}.{rng.randrange(1000):03d}:{serial}"
    if dated:
        date = rng.choice(["10/09/24", "3.1.2022", "2024-05-01", "01/09/2024"])
        return f"type={kind} msg=audit({date} 11:12:13.123:{serial}) : "
    number = {"AVC": 1400, "USER_AVC": 1107}[kind]
    return rng.choice(
        [f"type={kind} msg=audit({raw}): "] * 6
        + [
            f"node=web-1.example.org type={kind} msg=audit({raw}): ",
            f"host=web1 type={kind} msg=audit({raw}): ",
            f"Jun  9 15:55:50 web1 audit[7]: {kind} ",
            f"2024-05-01T10:00:00+02:00 web1 audit[7]: {kind} ",
            f"Jun 29 14:07:33 web1 kernel: [ 12.123456] audit: type={number} audit({raw}): ",
            f"web1 login: [   12.123456] audit: type={number} audit({raw}): ",
            f"[  131.818956][   T31] audit: type={number} audit({raw}): ",
            f"[   10.779755] web1 audit[7]: {kind} ",
            f"audit[7]: {kind} ",
            f"kernel: audit: type={number} audit({raw}): ",
            f"2024-05-01 10:00:00 type={kind} msg=audit({raw}): ",
            f"/var/log/audit/audit.log:12:type={kind} msg=audit({raw}): ",
            f"12:type={kind} msg=audit({raw}): ",
            f"> type={kind} msg=audit({raw}): ",
            f"  # type={kind} msg=audit({raw}): ",
            f"- type={kind} msg=audit({raw}): ",
            f"+type={kind} msg=audit({raw}): ",
            f"  12. type={kind} msg=audit({raw}): ",
            f"type={kind} \nmsg=audit({raw}): ",
            f"Jun  9 15:55:50 web1 audit: <audit-{number}> ",
            f"Jun  9 15:55:50 <redacted> audit[7]: {kind} ",
        ]
        + ["Jun  9 15:55:50 web1 systemd[7]: selinux: "] * (kind == "AVC")
    )


def other(rng: random.Random) -> str:
    """A record that is no decision, now and then with a trap in it."""
    trap = rng.choice(TRAPS).replace("\n", " ") if rng.random() < 0.3 else "root"
    return (
        f"{heading(rng, 'AVC', False).replace('AVC', 'USER_LOGIN').replace('1400', '1112')}"
        f'pid=1 uid=0 msg=\'op=login acct="{trap}" exe="/usr/sbin/sshd" res=failed\'\n'
    )


def spoil(rng: random.Random, text: str) -> str:
    """``text`` with one to four changes."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        if not text:
            return text
        at = rng.randrange(len(text))
        to = min(len(text), at + rng.choice((1, 1, 2, 5, 20, 80)))
        match rng.randrange(12):
            case 0:
                text = text[:at] + chr(rng.randrange(256)) + text[at + 1 :]
            case 1:
                text = text[:at] + text[to:]
            case 2:
                text = text[:at] + rng.choice(FRAGMENTS) + text[at:]
            case 3:
                text = text[:at] + text[at:to] * 2 + text[to:]
            case 4:
                text = text[:at] + ("\n" if rng.random() < 0.5 else "")
            case 5:
                where = rng.randrange(len(text))
                text = text[:where] + text[at:to] + text[where:]
            case 6:
                words = text.split(" ")
                rng.shuffle(words)
                text = " ".join(words)
            case 7:
                words = text.split(" ")
                a, b = rng.randrange(len(words)), rng.randrange(len(words))
                words[a], words[b] = words[b], words[a]
                text = " ".join(words)
            case 8:
                second = record(rng)
                text = text[:at] + second[rng.randrange(len(second)) :]
            case 9:
                text = text.rstrip("\n") + rng.choice(["", " "]) + record(rng)
            case 10:
                text = text[:at] + "\n" + text[at:]
            case _:
                words = text.split(" ")
                words.insert(rng.randrange(len(words) + 1), rng.choice(words))
                text = " ".join(words)
    return text
