"""Instantiation libraries change who compiles a graph, and no bit of what it gives."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lithops
import pytest
from conftest import LOCALHOST_CONFIG
from dataset_kinds import SOURCES, checks_of, measure
from datasets import Datasets

from rdf_lithops.compiled import library

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.environ[library.VARIABLE] == library.OFF, reason="no library was built for the tests"),
]


@pytest.fixture(scope="module")
def executors() -> Iterator[dict[str, lithops.FunctionExecutor]]:
    """Two executors, whose ROOT processes use the libraries that are there, and none."""
    made = {how: lithops.FunctionExecutor(config_file=str(LOCALHOST_CONFIG)) for how in ("use", "off")}
    yield made
    for executor in made.values():
        executor.__exit__(None, None, None)


@pytest.mark.parametrize("npartitions", [2, 7])
@pytest.mark.parametrize("group", ["cloned", "not cloned"])
@pytest.mark.parametrize("name", SOURCES)
def test_bits_are_the_same_with_and_without_libraries(
    name: str, group: str, npartitions: int, files: Datasets, executors: dict[str, Any], tmp_path: Path
) -> None:
    """Every operation on every source gives the same to the last bit."""
    source, found = SOURCES[name], {}
    for how, executor in executors.items():
        given = {"executor": executor, "npartitions": npartitions, "options": {"instantiations": how}}
        frame = source.frame(*source.open(files), **given)
        found[how] = measure(frame, source, tmp_path / how, checks_of(name, group))
    different = [check for check in found["off"] if repr(found["off"][check]) != repr(found["use"][check])]
    assert [] == different


def test_one_of_them_uses_libraries(executors: dict[str, Any]) -> None:
    """The comparison above is one: there are libraries, and they are whole."""
    assert [] != list(library.libraries(library.folder()))
