"""The pages say what is true: links lead somewhere, commands exist, programs run, and each error has its paragraph."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import click.testing
import nbformat
import pytest
from conftest import CAPTURED, LOCALHOST_CONFIG, REPOSITORY
from jupyter_client.manager import AsyncKernelManager
from kinds import quickly
from nbclient import NotebookClient

import rdf_lithops
from rdf_lithops import demo, errors
from rdf_lithops.cli import explain, main

PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "rdf_lithops/*.md", "benchmarks/*.md", "runtime/*.md")
    for path in REPOSITORY.glob(pattern)
)
ERRORS = [item for _, item in inspect.getmembers(errors, inspect.isclass) if issubclass(item, errors.RdfLithopsError)]


def name_of(path: Path) -> str:
    """The path inside the repository."""
    return path.relative_to(REPOSITORY).as_posix()


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: str(kind.__name__))
def test_each_error_leads_to_its_paragraph(kind: type[errors.RdfLithopsError]) -> None:
    """Its text ends with the command that prints the paragraph, which is there."""
    if kind is errors.RdfLithopsError:
        return  # only its kinds are raised, and lists of them
    made = errors.GraphsError([errors.RunError("it")], 1) if kind is errors.GraphsError else kind(*_arguments_of(kind))
    *text, last = str(made).splitlines()
    assert "it" in "\n".join(text)
    command = last.strip().removeprefix("help:").split()
    assert ["rdf-lithops", "explain", kind.topic()] == command
    shown = click.testing.CliRunner().invoke(main, command[1:])
    assert 0 == shown.exit_code, shown.output
    assert len(shown.output) > 100


def _arguments_of(kind: type[errors.RdfLithopsError]) -> list[str]:
    return ["it"] * (2 if kind is errors.PayloadError else 1)


def test_topics_are_listed() -> None:
    """Without a topic each one is listed with a sentence; an unknown one is wrong usage that lists them."""
    listed = click.testing.CliRunner().invoke(main, ["explain"]).output.splitlines()
    assert list(explain.paragraphs()) == [line.split()[0] for line in listed]
    assert all(line.rstrip("*").endswith(".") and len(line) < 110 for line in listed)
    done = click.testing.CliRunner().invoke(main, ["explain", "nonsense"])
    assert 2 == done.exit_code
    assert "lost-ranges" in done.output


def test_topics_are_completed() -> None:
    """A shell completes them."""
    parameter = explain.command.params[0]
    found = parameter.shell_complete(click.Context(explain.command), "lost")
    assert ["lost-ranges"] == [item.value for item in found]


# -- links ------------------------------------------------------------------------------------------------------------


def prose(path: Path) -> str:
    """A page without its code."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(path: Path) -> set[str]:
    """The anchors that a forge makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    """Files and headings that a page links to exist; addresses elsewhere are whole and encrypted."""
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if "://" in target:
            dead += [] if re.fullmatch(r"https://[\w.-]+\.[a-z]+(/\S*)?", target) else [target]
            continue
        file, _, anchor = target.partition("#")
        linked = (path.parent / file).resolve() if file else path
        if not linked.exists() or (anchor and anchor not in anchors(linked)):
            dead.append(target)
    assert [] == dead


def test_all_pages_can_be_reached() -> None:
    """From README.md, by links, every page of docs/ is found."""
    reached, todo = set(), [REPOSITORY / "README.md"]
    while todo:
        path = todo.pop()
        if path in reached or path.suffix != ".md":
            reached.add(path)
            continue
        reached.add(path)
        for target in re.findall(r"\]\(([^)\s#]+)", prose(path)):
            linked = (path.parent / target).resolve()
            if "://" not in target and linked.exists():
                todo.append(linked)
    assert set() == {path for path in (REPOSITORY / "docs").rglob("*") if path.is_file()} - reached


# -- commands and programs --------------------------------------------------------------------------------------------


def commands(path: Path) -> Iterator[list[str]]:
    """The calls of our command line that a page shows, in code."""
    for line in re.findall(r"rdf-lithops((?: +[^\s`#|;&)]+)*)", path.read_text(encoding="utf-8")):
        yield line.split()


def verb_of(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that the words name, and the words after it."""
    command: click.Command = main
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, f"no verb {words[0]!r}"
        command, words = found, words[1:]
    return command, words


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_commands_exist(path: Path) -> None:
    """Each verb and option of `rdf-lithops` that a page shows is one that there is."""
    wrong = []
    for words in commands(path):
        if not words or not re.fullmatch(r"[a-z][a-z-]*|-\S+", words[0]):
            continue  # prose: "rdf-lithops is ..."
        try:
            command, rest = verb_of(words)
        except AssertionError as error:
            wrong.append(str(error))
            continue
        known = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h"}
        wrong += [f"{' '.join(words)}: {word}" for word in rest if re.match(r"--?[a-z]", word) and word not in known]
    assert [] == wrong


def programs(path: Path) -> list[str]:
    """The Python programs of a page."""
    return re.findall(r"^```python\n(.*?)^```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("path", [path for path in PAGES if programs(path)], ids=name_of)
def test_programs_use_what_there_is(path: Path) -> None:
    """Every program parses, and what it uses of rdf_lithops and of its options exists."""
    options = {field.name for field in dataclasses.fields(rdf_lithops.Options)}
    for program in programs(path):
        for node in ast.walk(ast.parse(program)):
            if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "rdf_lithops":
                assert node.attr in rdf_lithops.__all__ or node.attr == "pyrdf", node.attr
            if isinstance(node, ast.keyword) and node.arg == "options" and isinstance(node.value, ast.Dict):
                assert {key.value for key in node.value.keys if isinstance(key, ast.Constant)} <= options


def test_options_named_in_prose_exist() -> None:
    """What pages call `options.name` is an option."""
    known = {field.name for field in dataclasses.fields(rdf_lithops.Options)}
    named: set[Any] = set()
    for path in PAGES:
        if name_of(path) != "CHANGELOG.md":
            named |= set(re.findall(r"\boptions\.(\w+)", path.read_text(encoding="utf-8")))
    assert set() == named - known - {"py"}  # the module that has them


RUN_HERE = ["README.md", "docs/lambda.md", "docs/cost.md"]  # the others read what is not on this machine


@pytest.fixture(scope="module")
def users_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data and configurations under the names that the pages use; each place is this machine."""
    made = tmp_path_factory.mktemp("pages")
    (made / "configs").mkdir()
    for name in ("configs/localhost.yaml", "my_lambda.yaml", "my_cloud.yaml"):
        (made / name).write_text(LOCALHOST_CONFIG.read_text())
    demo.make_sample(str(made / "demo"), files=2, events=2000)
    (made / "data").symlink_to("demo")
    return made


@pytest.mark.parametrize("name", quickly(RUN_HERE, "README.md"))
def test_a_page_runs(name: str, users_folder: Path) -> None:
    """Its programs, one after the other as a reader would type them, end well."""
    found = [program for program in programs(REPOSITORY / name) if "://" not in program]  # no network in tests
    assert found
    command = [sys.executable, "-W", "ignore", "-c", "\n".join(found)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, cwd=users_folder, env=environment, **CAPTURED)
    assert 0 == done.returncode, done.stderr[-3000:]


@pytest.mark.slow
def test_the_tutorial_runs(tmp_path: Path) -> None:
    """Every cell, in a real kernel; what it shows is there: plan, picture, report, cut flow, and the error it provokes."""
    notebook = nbformat.read(REPOSITORY / "docs" / "tutorial.ipynb", 4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "kept without outputs"
    manager = AsyncKernelManager(kernel_name="python3", transport="ipc")
    client = NotebookClient(notebook, km=manager, timeout=150, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    text = "".join(output.get("text", "") for output in outputs)  # one print may come in two pieces
    for expected in ("plan: 4 ranges", "two muons", "equal in all 200 bins", "four muons!", "rdf-lithops explain range"):
        assert expected in text
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) >= 2, "the histogram, and the one that grew"
    assert any("where the time went" in output.get("data", {}).get("text/plain", "") for output in outputs)
