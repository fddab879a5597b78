"""What is run of a DistRDF graph, and what becomes of its result, is what DistRDF's own ``execute_graph`` does of both."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import ROOT
from datasets import Datasets

import rdf_lithops
from rdf_lithops.graph import execution
from rdf_lithops.graph.backend import head_of
from rdf_lithops.graph.computation import Computation, computation_of
from rdf_lithops.planning.cost import Speeds

SOURCES = ["entries", "files", "specification", "ntuple"]


class Handed(Exception):
    """Ends DistRDF's ``execute_graph`` where it has a back end run something."""


def frame_of(source: str, files: Datasets, fexec: Any) -> Any:
    """A data frame of each kind of head node that DistRDF has."""
    if source == "entries":
        return ROOT.RDataFrame(20, executor=fexec, npartitions=3).Define("x", "double(rdfentry_)")
    if source == "specification":
        return ROOT.RDF.Experimental.FromSpec(files.spec, executor=fexec, npartitions=3)
    given = ("events", files.main) if source == "files" else ("events", files.rntuple)
    return ROOT.RDataFrame(*given, executor=fexec, npartitions=3)


def handed_over(head: Any) -> tuple[list[Any], Any, Any]:
    """Ranges, mapper and reducer that DistRDF's own ``execute_graph`` gives to a back end."""
    given: list[Any] = []

    def run(*arguments: Any) -> None:
        given.extend(arguments)
        raise Handed

    head.backend.ProcessAndMerge = run
    try:
        with pytest.raises(Handed):
            type(head).execute_graph(head)
    finally:
        del head.backend.ProcessAndMerge
    return given[0], given[1], given[2]


def told(item: Any) -> dict[str, Any]:
    """A range of DistRDF's, without the name of the execution that it belongs to."""
    return {name: value for name, value in vars(item).items() if name != "exec_id"}


@pytest.mark.parametrize("source", SOURCES)
def test_what_is_run_is_what_distrdf_would_run(files: Datasets, fexec: Any, source: str) -> None:
    """Of each kind of dataset, ranges, nodes, data frames and reducer are DistRDF's; the user's set-up travels apart."""
    frame = frame_of(source, files, fexec)
    booked = frame.Filter("x > 2").Histo1D(("h", "", 10, 0.0, 12.0), "x"), frame.Count()
    head = head_of(frame)
    ranges, mapper, reducer = handed_over(head)
    made = computation_of(head)
    assert [told(item) for item in ranges] == [told(item) for item in made.ranges]
    assert mapper.func is made.mapper.func
    assert mapper.keywords.keys() - made.mapper.keywords.keys() == {"initialization_fn", "code_to_declare"}
    build, graph = (made.mapper.keywords[name] for name in ("build_rdf_from_range", "computation_graph_callable"))
    assert mapper.keywords["build_rdf_from_range"].__code__ is build.__code__
    assert mapper.keywords["computation_graph_callable"].func is graph.func
    assert list(mapper.keywords["computation_graph_callable"].args[0].items()) == list(graph.args[0].items())
    assert made.reducer.args == (reducer,)
    assert list(made.actions) == [handle.proxied_node for handle in booked]


@pytest.mark.parametrize("source", SOURCES)
def test_a_result_fills_what_distrdf_would_fill(files: Datasets, fexec: Any, source: str) -> None:
    """The values of a run that we deliver are those that DistRDF's own ``execute_graph`` takes of the same result."""
    ours, theirs = frame_of(source, files, fexec), frame_of(source, files, fexec)
    booked = [(frame.Filter("x > 2").Sum("x"), frame.Count()) for frame in (ours, theirs)]
    computation = computation_of(head_of(ours))
    computation.deliver(execution.run_alone(computation))
    head = head_of(theirs)
    head.backend.ProcessAndMerge = lambda *_: execution.run_alone(computation_of(head))
    type(head).execute_graph(head)
    values = [[handle.proxied_node.value for handle in pair] for pair in booked]
    assert values[0] == values[1]
    assert None not in values[0]


def test_a_value_that_is_there_stays(fexec: Any) -> None:
    """A histogram that the user has scaled stays so when its graph runs once more for its variations."""
    frame = ROOT.RDataFrame(10, executor=fexec, npartitions=2).Define("x", "double(rdfentry_)")
    histogram = frame.Vary("x", "ROOT::RVecD{x - 1, x + 1}", 2).Histo1D(("h", "", 10, 0.0, 10.0), "x")
    histogram.GetValue().Scale(2)
    varied = ROOT.RDF.Experimental.VariationsFor(histogram)
    assert 9.0 == varied["x:0"].GetSumOfWeights()
    assert 20.0 == histogram.GetSumOfWeights()


def test_what_a_run_has_taught_counts_when_its_data_is_cut(files: Datasets, fexec: Any) -> None:
    """A graph of several operations that was seen to take long per entry is cut into more calls the next time."""
    options = {"target_s": 1.0, "survey": True}

    def booked() -> Any:
        frame = ROOT.RDataFrame("events", files.main, executor=fexec, options=options)
        return frame.Filter("x > 2.0078125").Histo1D(("taught", "", 10, 0.0, 12.0), "x")

    query = booked()
    assert 1 == rdf_lithops.plan(query).ranges
    assert query.GetEntries()
    experience, before = head_of(query).backend.session.experience, dict[str, Speeds]()
    experience.catch_up()
    try:
        before.update(experience.graphs)
        experience.graphs.update({shape: dataclasses.replace(each, pace=1e9) for shape, each in before.items()})
        assert rdf_lithops.plan(booked()).ranges > 1
    finally:
        experience.graphs.update(before)


def test_no_head_is_cut_as_it_is() -> None:
    """What PyRDF runs has its own ranges."""
    assert [1, 2] == Computation(None, [1, 2], print, print).cut("a shape")
