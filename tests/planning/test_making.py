"""Whether what workers would compile is compiled on the driver's machine first: a plan weighs money against waiting."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import ROOT
from conftest import REPOSITORY
from lambda_standin import Places, standing

import rdf_lithops
from rdf_lithops.compiled import build, instantiation_lines, library
from rdf_lithops.planning.making import Making

USD_PER_S = 1.7 * 1.67e-5  # a call of one vCPU on Lambda
DEVIATION = instantiation_lines.action("StdDev", ["short"], "double")  # no catalogue has it


def making(cold: int = 1000, compile_s: float = 7.0, missing: int | None = 12, **given: Any) -> Making:
    """A heavy graph, whose compilation took seven seconds when it ran."""
    return Making(cold, compile_s, missing, **{"usd_per_s": USD_PER_S, **given})


def test_many_paid_calls_are_worth_a_library() -> None:
    """A thousand calls that would compile for seven seconds each are spared that: it is cheaper than the wait."""
    made = making()
    assert made.first
    assert "12 instantiations are in none: compiled here first, 13 s, which spares 1000 calls 6.3e+03 s, 0.18 USD" == str(
        made
    )
    assert made.as_plain()["built_first"] is True


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"cold": 8}, "not worth waiting; made when the program ends"),
        ({"compile_s": 0.3}, "not worth waiting"),
        ({"missing": None}, "known when it has run once; 1000 calls compile"),
        ({"missing": 0}, "all that this graph asked Cling for"),
        ({"cold": 0}, "no call compiles"),
        ({"why_not": "there is no C++ compiler here"}, "there is no C++ compiler here"),
        ({"usd_per_s": None}, "not worth waiting"),
    ],
)
def test_otherwise_the_calls_compile(given: dict[str, Any], said: str) -> None:
    """Few calls, quick compilations, graphs that nobody knows, machines without a compiler: the plan says which it is."""
    made = making(**given)
    assert not made.first
    assert said in str(made)
    assert made.as_plain()["built_first"] is False


def test_what_is_sooner_is_made_first() -> None:
    """Where the compiler takes no longer than one call would, nobody waits for it: it is made first whatever calls cost."""
    assert making(cold=1, compile_s=20.0, missing=2, usd_per_s=None).first


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's cache that has the base library, as after a first program."""
    built = REPOSITORY / ".venv" / "instantiations" / f"instantiations-{library.key()}"
    if build.compiler() is None or not (built / f"{library.BASE}.so").exists():
        pytest.skip("needs a C++ compiler, and the base library: make test builds it")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "driver"))
    monkeypatch.delenv(library.VARIABLE)
    folder = Path(library.folder())
    for path in built.iterdir():
        if path.name.startswith((library.BASE, library.OURS)):
            shutil.copy(path, folder)
            os.chmod(folder / path.name, 0o600)
    return folder


@pytest.mark.slow
def test_the_second_run_brings_what_the_first_compiled(cache: Path, tmp_path: Path) -> None:
    """What a graph had compiled on Lambda is compiled here before its next run, whose plan and report say so."""
    places = Places(None, variables={"XDG_CACHE_HOME": str(tmp_path / "worker")})
    with standing(places, quota=1) as made:
        options = {"usd_per_gb_s": 10.0, "ranges_per_call": 1}  # so dear that whatever is spared is worth a wait

        def booked() -> Any:
            frame = ROOT.RDataFrame(100, executor=made.executor, npartitions=1, options=options)
            return frame.Define("s", "short(rdfentry_)").StdDev("s")

        first = booked()
        plan = rdf_lithops.plan(first)
        assert "libraries what this graph needs is known when it has run once" in str(plan)
        assert json.loads(plan.to_json())["libraries"]["missing"] is None
        del plan
        expected = first.GetValue()
        assert 1 == sum(call.cling_actions for call in rdf_lithops.report(first).maps)
        made.service.retire()
        again = booked()
        session = rdf_lithops.graph.backend.registry.session_of(made.executor)
        session.experience.catch_up()
        session.experience.workers.clear()  # it is known that they are gone
        plan = rdf_lithops.plan(again)
        assert "compiled here first" in str(plan)
        del plan
        assert expected == again.GetValue()
        report = rdf_lithops.report(again)
        assert [0] == [call.cling_actions for call in report.maps]
        assert "compiled into a library before the calls began" in str(report)
    assert DEVIATION in {line for known in library.libraries(str(cache)) for line in known.lines}
