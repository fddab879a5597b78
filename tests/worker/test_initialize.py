"""What is given to initialize runs here and there, once a process, before anything else; where it fails, it says so."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import ROOT
from conftest import jobs_of
from ROOT._distrdf.Backends.Base import BaseBackend
from test_payload import total, write

import rdf_lithops

pytestmark = pytest.mark.usefixtures("registries")


def test_initialize_that_fails_here(fexec: Any, tag: str) -> None:
    """A function that fails when it is given is not kept: what was to be done before still is."""
    ROOT.RDF.Distributed.initialize(declare, f"kept_{tag}", 7)
    with pytest.raises(ZeroDivisionError):
        ROOT.RDF.Distributed.initialize(lambda: 1 / 0)
    assert 28.0 == total(fexec, f"kept_{tag}")


def declare(name: str, value: int, *, factor: int = 1) -> None:
    """An initialisation with arguments."""
    ROOT.gInterpreter.ProcessLine(f"int {name} = {value * factor};")


def note(folder: str) -> None:
    """An initialisation that leaves a trace of each process it ran in."""
    with Path(folder, str(os.getpid())).open("a") as trace:
        trace.write("x")


def test_initialize_with_arguments(fexec: Any, tag: str) -> None:
    """The function given to initialize runs with its arguments before any range, here and there."""
    ROOT.RDF.Distributed.initialize(declare, f"value_{tag}", 7, factor=3)
    assert 84.0 == total(fexec, f"value_{tag}")


def test_initialize_runs_once_in_a_process(fexec: Any, tmp_path: Path) -> None:
    """Once per process, not per range or call: a slot that is warm does not repeat it."""
    ROOT.RDF.Distributed.initialize(note, str(tmp_path))
    frame = ROOT.RDataFrame(8, executor=fexec, npartitions=8, options={"ranges_per_call": 1})
    assert 8 == frame.Count().GetValue()
    assert 4.0 == total(fexec, "1")
    assert {"x"} == {trace.read_text() for trace in tmp_path.iterdir()}


def fail() -> None:
    """An initialisation that works here and fails on the far side."""
    if "RDF_LITHOPS_WORKER" in os.environ:
        raise LookupError("no calibration for this run")


def test_initialize_that_fails(fexec: Any) -> None:
    """An exception in initialize is an error that says whose function it was, with its type and message."""
    ROOT.RDF.Distributed.initialize(fail)
    with pytest.raises(rdf_lithops.PayloadError, match=r"initialize.*LookupError.*no calibration for this run"):
        total(fexec, "1")


def test_initialisation_that_fails_beside_a_header(fexec: Any, tmp_path: Path, tag: str) -> None:
    """The reason is that of ``initialize``: what is loaded in part is not loaded again, and its process is replaced."""
    ROOT.RDF.Distributed.DistributeHeaders([write(tmp_path / "plain.h", f"int thrice_{tag}(int x) {{ return 3 * x; }}\n")])

    def fail() -> None:
        if "RDF_LITHOPS_WORKER" in os.environ:
            raise RuntimeError("no calibration for this run")

    ROOT.RDF.Distributed.initialize(fail)
    for _ in range(2):  # the second query meets no half loaded process
        with pytest.raises(rdf_lithops.PayloadError, match="RuntimeError: no calibration for this run") as caught:
            total(fexec, f"thrice_{tag}(1)")
        assert "the function given to initialize" == caught.value.what


@pytest.mark.parametrize(
    ("end", "how"),
    [
        ("os.abort()", "killed by SIGABRT"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV"),
        ("os._exit(3)", "exited with code 3"),
        ("sys.exit(3)", "exited with code"),
    ],
)
def test_initialisation_that_ends_its_process(fexec: Any, tag: str, end: str, how: str) -> None:
    """It would do so each time: named at once, and no range is blamed; the next query meets none of it."""

    def finish() -> None:
        if "RDF_LITHOPS_WORKER" in os.environ:
            exec(f"import os, signal, sys; {end}")

    with pytest.MonkeyPatch.context() as later:
        later.setattr(BaseBackend, "initialization", BaseBackend.initialization)
        ROOT.RDF.Distributed.initialize(finish)
        before = jobs_of(fexec)
        with pytest.raises(
            rdf_lithops.PayloadError, match=f"given to initialize: it ended the worker's ROOT process: {how}"
        ):
            total(fexec, "1")
        assert before + 1 == jobs_of(fexec)
    assert 4.0 == total(fexec, "1")


def test_initialisation_that_never_ends(fexec: Any) -> None:
    """One that waits for what never comes is given up, in all calls, those that wait for the slot that compiles included."""

    def wait() -> None:
        if "RDF_LITHOPS_WORKER" in os.environ:
            threading.Event().wait(3600)

    ROOT.RDF.Distributed.initialize(wait)
    options = {"stall_s": 1.0, "beat_s": 0.1, "attempts": 1}
    with pytest.raises(rdf_lithops.LostRangesError, match="did no entry and used no CPU time"):
        ROOT.RDataFrame(4, executor=fexec, npartitions=2, options=options).Count().GetValue()


def test_initialisation_that_is_killed_once(fexec: Any, tmp_path: Path) -> None:
    """What somebody else has killed is done again: the machine's memory may have run out."""
    marker = tmp_path / "was_here"

    def finish() -> None:
        if "RDF_LITHOPS_WORKER" in os.environ and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    ROOT.RDF.Distributed.initialize(finish)
    assert 4.0 == total(fexec, "1", npartitions=1)
    assert marker.exists()


def test_a_line_that_ends_its_process(fexec: Any, tag: str, caplog: pytest.LogCaptureFixture) -> None:
    """A line of C++ that is right here, where Python has filled what it uses, and crashes on a worker, is named."""
    ROOT.gInterpreter.Declare(
        f"struct Cuts_{tag} {{ double *all = nullptr; void make() {{ all = new double[2]; }} }} cuts_{tag};"
    )
    getattr(ROOT, f"cuts_{tag}").make()
    ROOT.gInterpreter.ProcessLine(f"cuts_{tag}.all[0] = 9;")
    with pytest.raises(rdf_lithops.PayloadError, match=r"declares in test_initialize.py:\d+: it ended .* SIGSEGV"):
        total(fexec, f"cuts_{tag}.all[0]")
