"""What a run of some cells makes of the table that runs of others have written."""

from __future__ import annotations

from tables_page import put, with_lines

HEAD = ["| cell | held | made of |", "| --- | --- | --- |"]
OLD = ["| `a` | all | 11 |", "| `b` | all | 22 |", "| `c` | all | 33 |"]
PAGE = put(
    put(
        "Text.\n<!-- matrix -->\n<!-- end of matrix -->\nOn:\n"
        "<!-- versions -->\n<!-- end of versions -->\nMore.\n",
        "matrix",
        HEAD + OLD,
    ),
    "versions",
    ["Image 1."],
)


def rows(page: str) -> list[str]:
    """Return the lines of the table below its head, by sight."""
    return [line for line in page.splitlines() if line.startswith("| `")]


def test_a_line_of_an_earlier_run_stays_where_nothing_has_changed() -> None:
    new = "| `b` | 1 | 22 |"
    page = with_lines(PAGE, [*HEAD, new], "Image 1.", {"a": "11", "b": "22"})
    assert rows(page) == [OLD[0], new, OLD[2]]
    assert page.replace(new, OLD[1]) == PAGE


def test_a_line_whose_cell_is_made_of_something_else_goes() -> None:
    page = with_lines(PAGE, [*HEAD, OLD[1]], "Image 1.", {"a": "99", "b": "22", "c": "33"})
    assert rows(page) == [OLD[1], OLD[2]]


def test_all_earlier_lines_go_when_it_ran_on_something_else() -> None:
    page = with_lines(PAGE, [*HEAD, OLD[1]], "Image 2.", {})
    assert rows(page) == [OLD[1]]
    assert "<!-- versions -->\nImage 2.\n<!-- end of versions -->\nMore.\n" in page
