"""DESIGN.md shows the package as it is: its picture is the imports, hops of its walk exist, folders say what is in them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from conftest import REPOSITORY
from test_layers import MODULES, ORDER, PACKAGE, dotted, folder_of, ours

DESIGN = (PACKAGE / "DESIGN.md").read_text(encoding="utf-8")
FOLDERS = sorted({path.parent for path in MODULES} - {PACKAGE})
MAX_LINES = 130
MAX_WORDS = 12


def blocks(text: str) -> list[str]:
    """The contents of a page's blocks of code."""
    return re.findall(r"^```\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def picture() -> dict[str, list[str]]:
    """What each folder imports, as the page draws it."""
    lines = [re.match(r"  (\w+) +->(.*)$", line) for line in blocks(DESIGN)[0].splitlines()]
    return {line[1]: line[2].split() for line in lines if line}


def arrows() -> dict[str, set[str]]:
    """What each folder imports."""
    found: dict[str, set[str]] = {folder: set() for folder in ORDER}
    for path in MODULES:
        folder = folder_of(dotted(path))
        found[folder] |= {folder_of(target) for target in ours(path) if target} - {folder}
    return found


def definitions(path: Path) -> set[str]:
    """Functions, classes and methods of a module, with dots."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
            found |= {f"{node.name}.{inner.name}" for inner in ast.walk(node) if isinstance(inner, ast.FunctionDef)}
    return found


def said_by(path: Path) -> str:
    """A module's docstring."""
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")), clean=False) or ""


def is_one_sentence(said: str) -> bool:
    """Whether a docstring's first paragraph is."""
    return re.fullmatch(r"[^.:]+(?:[.:](?=\S)[^.:]+|: [^.:]+)*\.", said.partition("\n\n")[0]) is not None


HOPS = re.findall(r"^ *(\d+) \w+ +([\w.]+)", blocks(DESIGN)[1], re.MULTILINE)
KNOWN = {f"{dotted(path)}.{name}" for path in MODULES for name in definitions(path)}


def test_the_picture_is_the_imports() -> None:
    """Folders stand in their order, and after each stand those that it imports, no more and no fewer."""
    drawn = picture()
    assert list(ORDER) == list(drawn)
    expected = {folder: sorted(targets, key=ORDER.index) for folder, targets in arrows().items()}
    wrong = {folder: f"draw: {' '.join(expected[folder])}" for folder in ORDER if drawn[folder] != expected[folder]}
    assert {} == wrong


def test_each_hop_exists() -> None:
    """A function that the walk names is where it says."""
    gone = {hop for _, hop in HOPS} - KNOWN
    elsewhere = {hop: sorted(name for name in KNOWN if name.split(".")[-1] == hop.split(".")[-1]) for hop in gone}
    assert {} == elsewhere, "hops that are not there, and functions of their names"


def test_hops_are_counted() -> None:
    """They are numbered from 1 on, and the page says how many there are."""
    assert len(HOPS) > 20
    assert [str(number + 1) for number in range(len(HOPS))] == [number for number, _ in HOPS]
    assert f"These {len(HOPS)} hops" in DESIGN


def test_one_page_with_few_words() -> None:
    """It can be read at one sitting, and has no more words of our own than one remembers."""
    assert len(DESIGN.splitlines()) <= MAX_LINES
    words = DESIGN[DESIGN.index("**Ours**") : DESIGN.index("Units stand in names")]
    named = re.findall(r"\*\*([a-z]+)\*\*", words)
    assert 1 < len(named) <= MAX_WORDS
    assert len(set(named)) == len(named)


def test_each_module_has_a_first_line() -> None:
    """It is a sentence that says what the module is; ``_version`` is one number."""
    first = {dotted(path): said_by(path).partition("\n\n")[0] for path in MODULES}
    assert {"_version"} == {name for name, said in first.items() if not said.rstrip().endswith((".", ":"))}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(REPOSITORY)))
def test_a_folder_names_its_modules(folder: Path) -> None:
    """Its docstring lists each of them, or the module's first line is one sentence; and it lists none that is not there."""
    modules = {path.stem: path for path in folder.glob("*.py") if path.stem != "__init__"}
    listed = set(re.findall(r"^ *(\w+)  +\S", said_by(folder / "__init__.py"), re.MULTILINE))
    assert set() == listed - modules.keys()
    assert set() == {name for name in modules.keys() - listed if not is_one_sentence(said_by(modules[name]))}
