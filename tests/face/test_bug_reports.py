"""docs/bug_reports.md: each kind of public report has a test that exists."""

from __future__ import annotations

import re

from conftest import REPOSITORY
from test_decisions import is_there, named_tests

PAGE = (REPOSITORY / "docs" / "bug_reports.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if re.match(r"\| (?!kind)[^-]", line)
]


def test_each_kind_says_what_becomes_of_it() -> None:
    """Kind, what happens, and at least one test."""
    assert len(ROWS) > 40
    assert [] == [row for row in ROWS if len(row) != 3 or not all(row)]


def test_each_kind_has_its_test() -> None:
    """What a row names is there."""
    assert [] == [row[0] for row in ROWS if not named_tests(row[2])]
    gone = {row[0]: [name for name in named_tests(row[2]) if not is_there(name)] for row in ROWS}
    assert {} == {kind: names for kind, names in gone.items() if names}
