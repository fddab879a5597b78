"""docs/decisions: a table a subject, each row with the test that would say that the choice was wrong, each number once."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path
from typing import NamedTuple

from conftest import REPOSITORY

FOLDER = REPOSITORY / "docs" / "decisions"
PAGES = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")
HEADER = "| | choice | why | price | wrong if | test that would say so |"
SOURCES = (
    "rdf_lithops/**/*.py",
    "rdf_lithops/**/*.h",
    "tests/**/*.py",
    "benchmarks/**/*.py",
    "**/*.md",
    "Makefile",
    "runtime/*",
    "configs/*",
)


class Row(NamedTuple):
    """One decision."""

    number: int
    choice: str
    why: str
    price: str
    wrong_if: str
    tests: str


def rows(path: Path) -> list[Row]:
    """The decisions of one page."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if re.match(r"\| \d", line)]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [Row(int(number), *rest) for number, *rest in cells]


ROWS = [row for path in PAGES for row in rows(path)]
NUMBERS = {row.number for row in ROWS}


def named_tests(text: str) -> list[str]:
    """What a cell names, as ``file`` or ``file::test``; ``::test`` alone is in the file before it."""
    found: list[str] = []
    for name in re.findall(r"`([^`]+)`", text):
        found.append(found[-1].partition("::")[0] + name if name.startswith("::") else name)
    return found


@functools.cache
def functions_of(file: str) -> frozenset[str]:
    """The tests of a file; of a file that is not there, none."""
    path = REPOSITORY / file
    tree = ast.parse(path.read_text(encoding="utf-8") if path.exists() else "")
    return frozenset(
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


def is_there(named: str) -> bool:
    """Whether a test, a file of tests or a benchmark exists."""
    file, _, test = named.partition("::")
    return test in functions_of(file) if test else (REPOSITORY / file).is_file()


def test_each_page_has_the_header() -> None:
    """And a number in each row, in ascending order."""
    assert len(PAGES) > 10
    for path in PAGES:
        assert HEADER in path.read_text(encoding="utf-8"), path.name
        numbers = [row.number for row in rows(path)]
        assert numbers == sorted(numbers), path.name
        assert numbers, path.name


def test_no_number_is_given_twice() -> None:
    """A number means one choice, wherever it stands."""
    assert len(NUMBERS) == len(ROWS)
    assert len(ROWS) > 100


def test_the_overview_lists_them() -> None:
    """README.md of the folder leads to each page."""
    listed = re.findall(r"^\| \[\w+\]\((\w+\.md)\) \| [^|]+ \|$", (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert [path.name for path in PAGES] == sorted(listed)


def test_rows_are_whole() -> None:
    """Choice, why, price and wrong if are said, and a test that exists would say so; or it is said why none can."""
    assert [] == [row.number for row in ROWS if not all((row.choice.strip("*"), row.why, row.price, row.wrong_if))]
    gone = {row.number: [name for name in named_tests(row.tests) if not is_there(name)] for row in ROWS}
    assert {} == {number: names for number, names in gone.items() if names}
    assert [] == [row.number for row in ROWS if not named_tests(row.tests) and not re.match(r"none: .{10}", row.tests)]


def test_numbers_that_are_cited_exist() -> None:
    """``decision 65`` in a comment or on a page leads to a row."""
    dead = {}
    for path in {path for pattern in SOURCES for path in REPOSITORY.glob(pattern)}:
        if path.is_file() and not {".venv", "node_modules"} & set(path.parts):
            cited = re.findall(r"\bdecisions? ((?:\d+(?:, | and | to )?)+)", path.read_text(encoding="utf-8"))
            wrong = {int(number) for group in cited for number in re.findall(r"\d+", group)} - NUMBERS
            if wrong:
                dead[path.relative_to(REPOSITORY).as_posix()] = wrong
    assert {} == dead


def test_rows_name_files_that_exist() -> None:
    """Files of the package that a row names are where it says."""
    text = "".join(path.read_text(encoding="utf-8") for path in PAGES)
    named = set(re.findall(r"`([\w/]+\.(?:py|h))`", text))
    assert len(named) > 30
    known = {
        path.relative_to(root).as_posix()
        for root in (REPOSITORY, REPOSITORY / "rdf_lithops")
        for path in root.rglob("*.*")
        if ".venv" not in path.parts
    }
    assert set() == named - known
