"""The tables of docs/explanation/life-cycle-matrix.md, written by the runs that fill them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def put(page: str, name: str, lines: Sequence[str]) -> str:
    """Return the page with these lines as its table of that name."""
    before, _, after = _cut(page, name)
    return before + "\n".join(lines) + "\n" + after


def with_lines(page: str, lines: Sequence[str], ran_on: str, now: Mapping[str, str]) -> str:
    """Return the page with the lines of a run, and with those of earlier runs that still hold.

    ``lines`` are the table's head and a line for each cell, the last column of which names what the
    cell was made of. An earlier line goes when it was run on something else than ``ran_on`` says,
    or when ``now`` has another name for what its cell is made of.
    """
    rows: dict[str, str] = {}
    if _cut(page, "versions")[1].strip() == ran_on:
        for row in _cut(page, "matrix")[1].splitlines()[2:]:
            made = row.split("|")[-2].strip()
            if now.get(_cell(row), made) == made:
                rows[_cell(row)] = row
    rows |= {_cell(line): line for line in lines[2:]}
    page = put(page, "versions", [ran_on])
    return put(page, "matrix", [*lines[:2], *(rows[name] for name in sorted(rows))])


def _cell(row: str) -> str:
    return row.split("|")[1].strip(" `")


def _cut(page: str, name: str) -> tuple[str, str, str]:
    """Return the page before a table, the table, and the page from its end on."""
    before, start, rest = page.partition(f"<!-- {name} -->\n")
    table, end, after = rest.partition(f"<!-- end of {name} -->")
    return before + start, table, end + after
