"""One result, two faces: text for a person, JSON for a program."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return ``1 record``, ``2 records``: for nouns whose plural ends with s."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
