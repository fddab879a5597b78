"""Calls that bring a new graph to one machine at the same time have it compiled once, whatever happens to who compiles."""

from __future__ import annotations

import contextlib
import importlib
import os
from pathlib import Path
from typing import Any

import lithops
import psutil
import pytest
import ROOT
from kinds import quickly
from test_warm import (
    busy,
    count,
    finished,
    in_thread,
    root_processes,
    working_slots,
)
from test_warm import (
    own_fexec as own_fexec,
)
from waiting import until

from rdf_lithops import RangeError
from rdf_lithops.executor import registry
from rdf_lithops.graph.computation import Computation


@pytest.mark.parametrize("module", quickly(["math", "numpy"], "math"))
def test_one_slot_compiles_for_all(
    own_fexec: lithops.FunctionExecutor, registries: Any, tmp_path: Path, module: str
) -> None:
    """Two calls that bring a new graph at once run in two processes, and one of them loaded the user's code and compiled:
    also where that has threads that end when it forks, as NumPy's."""
    del registries
    loaded = tmp_path / "loaded"

    def note(path: str, module: str) -> None:
        importlib.import_module(module)
        with open(path, "a") as file:
            file.write(f"{os.getpid()}\n")

    ROOT.RDF.Distributed.initialize(note, str(loaded), module)
    assert busy(own_fexec, 50).GetValue() == 20.0
    _, slots = root_processes(own_fexec)
    assert len(slots) == 2
    driver, pid = map(int, loaded.read_text().split())  # ROOT runs it on the driver first
    assert driver == os.getpid()
    assert pid in {slot.pid for slot in slots}


def adopted(fexec: lithops.FunctionExecutor) -> list[psutil.Process]:
    """The slots that are the parent's: not those by way of which one makes a twin, which are there for a moment."""
    parents, slots = root_processes(fexec)
    with contextlib.suppress(psutil.NoSuchProcess):
        return [slot for slot in slots if slot.ppid() in {parent.pid for parent in parents}]
    return []


def test_graph_is_compiled_while_its_ranges_are_cut(
    own_fexec: lithops.FunctionExecutor, registries: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any call is submitted one slot has loaded the user's code and compiled, and its twin waits beside it."""
    del registries
    loaded, seen = tmp_path / "loaded", []

    def note(path: str) -> None:
        with open(path, "a") as file:
            file.write(f"{os.getpid()}\n")

    def cut_late(computation: Computation, shape: str) -> list[Any]:
        del shape
        slots = until(lambda: (found := adopted(own_fexec)) and len(found) == 2 and found)
        assert slots, "two slots"
        seen[:] = [slot.pid for slot in slots]
        return computation.ranges

    monkeypatch.setattr(Computation, "cut", cut_late)
    ROOT.RDF.Distributed.initialize(note, str(loaded))
    assert busy(own_fexec, 50).GetValue() == 20.0
    assert sorted(slot.pid for slot in root_processes(own_fexec)[1]) == sorted(seen)
    _, loaded_in = map(int, loaded.read_text().split())  # ROOT runs it on the driver first
    assert loaded_in in seen


def test_compilation_of_a_run_that_fails_is_called_off(
    own_fexec: lithops.FunctionExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that ends before its calls are submitted takes the slot that compiles for it along; the next query is served."""

    def fail(computation: Computation, shape: str) -> list[Any]:
        assert until(lambda: root_processes(own_fexec)[1]), "the slot that compiles"
        raise OSError("no such disk")

    lines = " + ".join(f"std::sin(rdfslot_ + {number}.5)" for number in range(400))
    query = ROOT.RDataFrame(100, executor=own_fexec, npartitions=2).Define("x", f"({lines}) * 0 + 1.0").Sum("x")
    with monkeypatch.context() as patch:
        patch.setattr(Computation, "cut", fail)
        with pytest.raises(OSError, match="no such disk"):
            query.GetValue()
    assert until(lambda: not root_processes(own_fexec)[1]), "the end of the slot"
    assert count(own_fexec) == 1000


@pytest.mark.slow
def test_twin_that_cannot_begin(own_fexec: lithops.FunctionExecutor) -> None:
    """A fork of a slot that cannot open its log (a full disk, here a folder of that name) costs nothing but another slot."""
    query = busy(own_fexec, 50)
    assert until(lambda: root_processes(own_fexec)[0]), "the parent"
    (parent,), _ = root_processes(own_fexec)
    folder = registry.session_of(own_fexec).processes.warm_folder
    assert folder is not None
    os.mkdir(os.path.join(folder, "slot-2.log"))
    assert query.GetValue() == 20.0
    parents, slots = root_processes(own_fexec)
    assert parents == [parent]
    assert len(slots) == 2


@pytest.mark.slow
def test_killed_while_compiling_for_all(own_fexec: lithops.FunctionExecutor) -> None:
    """The only slot that compiles is killed while another call waits for it: both calls are served all the same."""
    count(own_fexec)
    before = {slot: slot.cpu_times().user for slot in root_processes(own_fexec)[1]}
    lines = " + ".join(f"std::sin(rdfslot_ + {number}.5)" for number in range(200))
    query = ROOT.RDataFrame(100, executor=own_fexec, npartitions=2).Define("x", f"({lines}) * 0 + 1.0").Sum("x")
    thread, outcome = in_thread(query)
    compiling = until(lambda: working_slots(own_fexec, before))
    assert compiling, "a slot that compiles"
    compiling[0].kill()
    assert finished(thread)
    assert outcome == {"value": 100.0}
    assert count(own_fexec) == 1000


@pytest.mark.parametrize("npartitions", quickly([1, 2], 1))
def test_what_does_not_compile_ahead(fexec: lithops.FunctionExecutor, npartitions: int) -> None:
    """The error has the compiler's words, which it says once: when the graph is compiled ahead of its run."""
    frame = ROOT.RDataFrame(10, executor=fexec, npartitions=npartitions).Define("s", 'std::string("a")')
    with pytest.raises(RangeError, match=r"its C\+\+ does not compile on the worker: no matching member function") as caught:
        frame.Mean("s").GetValue()
    assert "MeanHelper" in str(caught.value)
    assert 10 == frame.Count().GetValue()
