"""From audit logs to denials: which accesses were refused, to whom, how often, on what.

`read` is the door; `model` holds what it returns.
"""

from __future__ import annotations

from wsgi_sepkg.denials.model import (
    Denial,
    Example,
    Group,
    Notice,
    Origin,
    Reading,
    Rejected,
    SecurityContext,
    Stamp,
)
from wsgi_sepkg.denials.reading import read

__all__ = [
    "Denial",
    "Example",
    "Group",
    "Notice",
    "Origin",
    "Reading",
    "Rejected",
    "SecurityContext",
    "Stamp",
    "read",
]
