"""Audit logs of any size for the benchmarks: what a busy web host under a thin policy writes.

A third of the events are denials, each with SYSCALL, CWD, PATH and PROCTITLE beside its AVC; the
rest are logins, services and sessions. With ``interleave`` the records of neighbouring events stand
between each other, as under load. The same arguments give the same bytes.

usage: denial_logs.py FILE LINES [--distinct N]
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from pathlib import Path

_START = 1_700_000_000_000
_DOMAINS = ("httpd_t", "mysqld_t", "crond_t", "init_t", "postfix_smtpd_t", "redis_t")
_THINGS = (
    ("file", "open", "var_t", 'path="/srv/site/media/{n}.jpg" dev="dm-0" ino={n}'),
    ("file", "read", "user_home_t", 'name="settings.py" dev="dm-0" ino={n}'),
    ("file", "{{ read write }}", "httpd_log_t", 'name="debug.log" dev="dm-0" ino={n}'),
    ("dir", "search", "user_home_dir_t", 'name="root" dev="dm-0" ino={n}'),
    ("sock_file", "write", "httpd_runtime_t", 'name="gunicorn.sock" dev="tmpfs" ino={n}'),
    ("unix_stream_socket", "connectto", "initrc_t", 'path="/run/notes/gunicorn.sock"'),
    ("tcp_socket", "name_connect", "postgresql_port_t", "dest=5432"),
    ("tcp_socket", "name_connect", "unreserved_port_t", "dest={p}"),
    ("process", "execmem", "", ""),
    ("capability", "dac_override", "", "capability=1 "),
    ("file", "{{ map execute }}", "tmpfs_t", 'path={m} dev="tmpfs" ino={n}'),
)


def lines(count: int, distinct: int = 4000, seed: int = 7) -> Iterator[str]:
    """``count`` lines; ``distinct`` is how many different files are denied."""
    rng = random.Random(seed)
    serial, made, ms = 1, 0, _START
    waiting: list[list[str]] = []
    while made < count:
        serial += 1
        ms += rng.randrange(1, 40)
        event = f"msg=audit({ms // 1000}.{ms % 1000:03d}:{serial}):"
        waiting.append(_denied(rng, event, distinct) if rng.random() < 0.3 else _other(rng, event))
        while sum(map(len, waiting)) > 12:
            # Mostly in order; now and then a record of the next event comes first.
            queue = waiting[0] if rng.random() < 0.9 or len(waiting) < 2 else waiting[1]
            if queue:
                yield queue.pop(0)
                made += 1
                if made == count:
                    return
            waiting = [w for w in waiting if w]


def _denied(rng: random.Random, event: str, distinct: int) -> list[str]:
    domain = rng.choice(_DOMAINS)
    tclass, perms, ttype, fields = rng.choice(_THINGS)
    n, pid = rng.randrange(distinct) + 1000, rng.randrange(1000, 60000)
    memfd = b"/memfd:libffi (deleted)".hex().upper()
    fields = fields.format(n=n, p=8000 + n % 100, m=memfd)
    source = f"system_u:system_r:{domain}:s0"
    target = f"system_u:object_r:{ttype}:s0" if ttype else source
    permissions = perms.format() if "{{" in perms else "{ " + perms + " }"
    middle = f" {fields}" if fields else ""
    return [
        f'type=AVC {event} avc:  denied  {permissions} for  pid={pid} comm="gunicorn"{middle} '
        f"scontext={source} tcontext={target} tclass={tclass} permissive=0\n",
        f"type=SYSCALL {event} arch=c000003e syscall=257 success=no exit=-13 a0=ffffff9c "
        f"a1=7f06cf6a4c48 a2=80000 a3=0 items=2 ppid=1 pid={pid} auid=4294967295 uid=48 gid=48 "
        "euid=48 suid=48 fsuid=48 egid=48 sgid=48 fsgid=48 tty=(none) ses=4294967295 "
        f'comm="gunicorn" exe="/usr/bin/python3.11" subj={source} key=(null)\n',
        f'type=CWD {event} cwd="/srv/site"\n',
        f'type=PATH {event} item=0 name="/srv/site/media/" inode=41 dev=fd:00 mode=040755 ouid=0 '
        "ogid=0 rdev=00:00 obj=system_u:object_r:var_t:s0 nametype=PARENT cap_fp=0 cap_fi=0 "
        "cap_fe=0 cap_fver=0 cap_frootid=0\n",
        f'type=PATH {event} item=1 name="/srv/site/media/{n}.jpg" inode={n} dev=fd:00 '
        "mode=0100644 ouid=48 ogid=48 rdev=00:00 obj=system_u:object_r:var_t:s0 nametype=NORMAL "
        "cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0\n",
        f"type=PROCTITLE {event} proctitle="
        + b"/srv/site/venv/bin/python3\0/srv/site/venv/bin/gunicorn\0notes.wsgi".hex().upper()
        + "\n",
    ]


def _other(rng: random.Random, event: str) -> list[str]:
    pid = rng.randrange(1000, 60000)
    start = f"{event} pid={pid} uid=0 auid=4294967295 ses=4294967295 subj=system_u:system_r:"
    end = "hostname=? addr=? terminal=cron res=success'\n"
    if rng.random() < 0.5:
        return [
            f'type=SERVICE_START {start}init_t:s0 msg=\'unit=notes-{pid} comm="systemd" '
            f'exe="/usr/lib/systemd/systemd" {end}'
        ]
    kind, what = rng.choice(
        (
            ("USER_ACCT", "accounting"),
            ("CRED_ACQ", "setcred"),
            ("USER_START", "session_open"),
            ("USER_END", "session_close"),
        )
    )
    return [
        f"type={kind} {start}crond_t:s0-s0:c0.c1023 msg='op=PAM:{what} grantors=pam_access,"
        f'pam_unix acct="root" exe="/usr/sbin/crond" {end}'
    ]


def write(path: Path, count: int, distinct: int = 4000) -> None:
    """Write the log of ``count`` lines to ``path``."""
    with path.open("w", encoding="ascii") as out:
        out.writelines(lines(count, distinct))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("lines", type=int)
    parser.add_argument("--distinct", type=int, default=4000)
    given = parser.parse_args()
    write(given.file, given.lines, given.distinct)


if __name__ == "__main__":
    main()
