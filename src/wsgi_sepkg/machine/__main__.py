"""A root shell in the machine: ``python -m wsgi_sepkg.machine [FILE...]``.

The files lie in /run/job/in there. Leaving the shell turns the machine off; nothing is kept.
"""

from __future__ import annotations

import sys
from pathlib import Path

from wsgi_sepkg.errors import WsgiSepkgError
from wsgi_sepkg.machine.boot import Machine
from wsgi_sepkg.machine.image import prepare


def main() -> int:
    """Boot, hand the terminal over, and return qemu's exit status, or that of the error."""
    try:
        machine = Machine.of(prepare(lambda text: print(text, file=sys.stderr)))  # noqa: T201
        return machine.shell({Path(name).name: Path(name) for name in sys.argv[1:]})
    except WsgiSepkgError as exc:
        sys.stderr.write(f"error: {exc}\n")
        return exc.exit_status


if __name__ == "__main__":
    sys.exit(main())
