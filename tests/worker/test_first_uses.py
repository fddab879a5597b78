"""What a ROOT process does beforehand for the first use of a method (``worker.root.first_uses``)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from test_instantiations import run

from rdf_lithops.compiled import library

MAKES = """
    import ROOT
    from rdf_lithops.worker.root import first_uses, graphs, initialisation
    from rdf_lithops.compiled import noting
    initialisation.initialise()
    initialisation.prepare()
    noting.prepare()
    for use in sorted(first_uses.USES):
        with graphs._notes.taken():
            steps = len(list(first_uses.make([use])))
        is_action = "(" not in use or use.partition(".")[2] in first_uses._ACTIONS
        wanted = graphs._notes.missing(initialisation.instantiated)
        print(use, "made" if steps == 3 + 2 * is_action else f"broke off at step {steps}", wanted)
    print(len(list(first_uses.make(first_uses.USES))))
"""


@pytest.mark.skipif(os.environ[library.VARIABLE] == library.OFF, reason="no library was built for the tests")
def test_each_use_can_be_made_and_runs_from_the_library(tmp_path: Path) -> None:
    """Each use that stands in the list is made to its end, and what it runs is in the base library; it is made once."""
    variables = {library.VARIABLE: os.environ[library.VARIABLE]}
    *uses, again = run(MAKES, tmp_path / "cache", **variables).splitlines()
    assert len(uses) > 30
    assert [line for line in uses if not line.endswith(" made []")] == []
    assert again == "0"
