"""The import registers Lithops executors with ROOT, whenever it comes; everything else dispatches as before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from typing import Any

import pytest
import ROOT
from conftest import CAPTURED, LOCALHOST_CONFIG, WITHOUT_ROOT
from datasets import ENTRIES, Datasets
from kinds import quickly
from ROOT._distrdf.DataFrame import RDataFrame as DistributedFrame

import rdf_lithops

ORDERS = {
    "package first": "import rdf_lithops, ROOT, lithops",
    "ROOT first": "import ROOT, lithops, rdf_lithops",
    "ROOT used first": "import ROOT, lithops; ROOT.RDataFrame(1).Count().GetValue(); import rdf_lithops",
    "ROOT.RDF used first": "import ROOT, lithops; ROOT.RDF.RunGraphs; ROOT.RDF.Experimental.FromSpec; import rdf_lithops",
    "distributed used first": "import ROOT, lithops; ROOT.RDF.Distributed.RunGraphs; import rdf_lithops",
}


@pytest.mark.parametrize("order", quickly(ORDERS, "package first", "ROOT.RDF used first"))
def test_registered_in_any_order(order: str, files: Datasets) -> None:
    """Whether imported before or after ROOT.RDF was touched, all entry points take a Lithops executor."""
    program = f"""
        {ORDERS[order]}
        import json
        with lithops.FunctionExecutor(config={WITHOUT_ROOT}) as fexec:
            frames = [
                ROOT.RDataFrame({ENTRIES}, executor=fexec, npartitions=2),
                ROOT.RDF.Experimental.FromSpec({files.spec!r}, executor=fexec, npartitions=2),
                ROOT.RDF.Distributed.FromSpec({files.spec!r}, executor=fexec, npartitions=2),
            ]
            plans = [rdf_lithops.plan(handle).ranges for handle in [frame.Count() for frame in frames]]
            print(json.dumps([plans, ROOT.RDF.Distributed.RunGraphs is ROOT._distrdf.RunGraphs]))
    """
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)], **CAPTURED)
    assert 0 == done.returncode, done.stderr[-2000:]
    assert [[2, 2, 2], True] == json.loads(done.stdout)


def test_everything_runs_when_registered_late(files: Datasets) -> None:
    """Registered after ROOT.RDF was used: constructors, both FromSpec and both RunGraphs run on Lithops, each in one run."""
    program = f"""
        import ROOT, lithops
        ROOT.RDF.RunGraphs, ROOT.RDF.Experimental.FromSpec, ROOT.RDF.Distributed.RunGraphs
        import rdf_lithops
        import json
        with lithops.FunctionExecutor(config_file={str(LOCALHOST_CONFIG)!r}) as fexec:
            frames = [
                ROOT.RDataFrame({ENTRIES}, executor=fexec, npartitions=2),
                ROOT.RDF.Experimental.FromSpec({files.spec!r}, executor=fexec, npartitions=2),
                ROOT.RDF.Distributed.FromSpec({files.spec!r}, executor=fexec, npartitions=2),
                rdf_lithops.RDataFrame({ENTRIES}, executor=fexec),
            ]
            handles = [frame.Count() for frame in frames]
            before = fexec.total_jobs
            ran = ROOT.RDF.RunGraphs(handles[:2]), ROOT.RDF.Distributed.RunGraphs(handles[2:])
            print(json.dumps([ran, [handle.GetValue() for handle in handles], fexec.total_jobs - before]))
    """
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)], **CAPTURED)
    assert 0 == done.returncode, done.stderr[-2000:]
    assert [[2, 2], [ENTRIES] * 4, 2] == json.loads(done.stdout)


KEPT = {
    "a name imported before": "from ROOT import RDataFrame as make; import rdf_lithops",
    "a name kept from before": "make = ROOT.RDataFrame; import rdf_lithops",
    "a name of a used ROOT": "ROOT.RDataFrame(1).Count().GetValue(); make = ROOT.RDataFrame; import rdf_lithops",
    "the class before": "import rdf_lithops; make = ROOT.ROOT.RDataFrame",
    "the class of a used ROOT": "make = ROOT.ROOT.RDataFrame; import rdf_lithops",
    "DistRDF's own": "from ROOT._distrdf import RDataFrame as make; import rdf_lithops",
}


@pytest.mark.parametrize("how", quickly(KEPT, "a name of a used ROOT", "DistRDF's own"))
def test_names_from_before_the_import(how: str) -> None:
    """However somebody came by the constructor, it takes a Lithops executor, and makes local data frames without."""
    program = f"""
        import ROOT, lithops
        {KEPT[how]}
        with lithops.FunctionExecutor(config={WITHOUT_ROOT}) as fexec:
            frame = make(10, executor=fexec, npartitions=2)
            print(rdf_lithops.plan(frame.Count()).ranges)
        local = None if make is ROOT._distrdf.RDataFrame else make(7)
        print(local is None or [local.Count().GetValue(), isinstance(local, ROOT.ROOT.RDataFrame)])
    """
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)], **CAPTURED)
    assert 0 == done.returncode, done.stderr[-2000:]
    assert ["2", "True" if "own" in how else "[7, True]"] == done.stdout.splitlines()


@pytest.mark.slow
def test_functions_kept_from_before_the_import() -> None:
    """RunGraphs, FromSpec and what gives code to workers are ours under names from before the import, too."""
    program = f"""
        import ROOT, lithops
        from ROOT.RDF import RunGraphs
        run, code = ROOT.RDF.Distributed.RunGraphs, ROOT.RDF.Distributed.DistributeCppCode
        import rdf_lithops
        try:
            code("int wrong( {{{{ }}}}")
        except rdf_lithops.PayloadError:
            print("refused")
        with lithops.FunctionExecutor(config_file={str(LOCALHOST_CONFIG)!r}) as fexec:
            handles = [ROOT.RDataFrame(n, executor=fexec, npartitions=2).Count() for n in (10, 20)]
            print(run(handles[:1]) + RunGraphs(handles[1:]), fexec.total_jobs > 0, [handle.GetValue() for handle in handles])
    """
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)], **CAPTURED)
    assert 0 == done.returncode, done.stderr[-2000:]
    assert ["refused", "2 True [10, 20]"] == done.stdout.splitlines()


@pytest.mark.parametrize(("place", "keyword"), [("Dask", "daskclient"), ("Spark", "sparkcontext")])
def test_constructors_of_other_schedulers(place: str, keyword: str, fexec: Any) -> None:
    """A program that calls another scheduler's constructor runs where its executor says, under ROOT's old keyword too."""
    make = getattr(ROOT.RDF.Distributed, place).RDataFrame
    assert 7 == make(7, executor=fexec, npartitions=2).Count().GetValue()
    with pytest.warns(FutureWarning, match=f"{keyword}= is ROOT's old keyword"):
        frame = make(7, npartitions=2, **{keyword: fexec})
    assert 7 == frame.Count().GetValue()


def test_handles_of_two_kinds(fexec: Any) -> None:
    """RunGraphs takes handles of local data frames and of ours, in any order."""
    for turn in (1, -1):
        local = ROOT.RDataFrame(10).Count()
        ours = ROOT.RDataFrame(20, executor=fexec, npartitions=2).Count()
        assert 2 == ROOT.RDF.RunGraphs([local, ours][::turn])
        assert ours.IsReady()
        assert local.IsReady()
        assert (10, 20) == (local.GetValue(), ours.GetValue())


class Foreign:
    """An executor that nobody supports."""


def test_foreign_executors_get_roots_own_error() -> None:
    """Any executor that is not Lithops' reaches ROOT's own dispatch, Dask's and Spark's included."""
    with pytest.raises(TypeError, match=r"Foreign.*is not a supported connection type for distributed RDataFrame"):
        ROOT.RDataFrame(10, executor=Foreign())
    with pytest.raises(ValueError, match="Missing keyword argument 'executor'"):
        ROOT._distrdf.RDataFrame(10)


def test_foreign_executors_of_specifications(files: Datasets) -> None:
    """The same for FromSpec, with and without an executor."""
    for from_spec in (ROOT.RDF.Experimental.FromSpec, ROOT.RDF.Distributed.FromSpec):
        with pytest.raises(TypeError, match=r"Foreign.*is not a supported connection type"):
            from_spec(files.spec, executor=Foreign())
    with pytest.raises(ValueError, match="Missing keyword argument 'executor'"):
        ROOT.RDF.Distributed.FromSpec(files.spec)


def test_other_schedulers_dispatch_as_before() -> None:
    """A client of another scheduler reaches that scheduler's own back end with all its arguments.

    Neither Dask nor Spark need be installed: a module that stands where ROOT looks for Spark's tells who was called.
    """
    program = """
        import importlib.machinery, json, sys, types
        context = type("SparkContext", (), {})
        spark = types.ModuleType("pyspark")
        spark.SparkContext, spark.__spec__ = context, importlib.machinery.ModuleSpec("pyspark", None)
        sys.modules["pyspark"] = spark
        import ROOT, rdf_lithops
        ROOT.gInterpreter
        backend = types.ModuleType("ROOT._distrdf.Backends.Spark")
        calls = []
        backend.RDataFrame = lambda *args, **given: calls.append([args[1:], sorted(given), given["npartitions"]])
        sys.modules["ROOT._distrdf.Backends.Spark"] = backend
        import ROOT._distrdf as distrdf
        distrdf.RDataFrame("events", "f.root", executor=context(), npartitions=3, monitor_label="x")
        print(json.dumps(calls))
    """
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)], **CAPTURED)
    assert 0 == done.returncode, done.stderr[-2000:]
    assert [[["f.root"], ["executor", "monitor_label", "npartitions"], 3]] == json.loads(done.stdout)


def test_local_frames_stay_local(files: Datasets) -> None:
    """Without an executor ROOT's constructors give what they always gave."""
    assert not isinstance(ROOT.RDataFrame(10), DistributedFrame)
    assert not isinstance(ROOT.RDF.Experimental.FromSpec(files.spec), DistributedFrame)
    frames = [ROOT.RDataFrame(n).Count() for n in (3, 4)]
    assert 2 == ROOT.RDF.RunGraphs(frames)
    assert [3, 4] == [frame.GetValue() for frame in frames]


def test_documentation_is_kept() -> None:
    """What was rebound still says what ROOT says of it."""
    assert "JSON" in ROOT._distrdf.FromSpec.__doc__ or "FromSpec" in ROOT._distrdf.FromSpec.__doc__
    assert "Trigger the execution" in ROOT._distrdf.RunGraphs.__doc__


def test_explicit_constructor(fexec: Any, files: Datasets) -> None:
    """rdf_lithops.RDataFrame takes ROOT's arguments, and npartitions and options by keyword."""
    frame = rdf_lithops.RDataFrame("events", files.main, executor=fexec, npartitions=3, options={"seed": 7})
    assert isinstance(frame, DistributedFrame)
    assert (3, 7) == (frame._headnode.npartitions, frame._headnode.backend.options.seed)
    options = rdf_lithops.Options(ranges_per_call=2)
    assert 5 == rdf_lithops.RDataFrame(5, executor=fexec, options=options).Count().GetValue()


def test_npartitions_by_default(fexec: Any) -> None:
    """Without npartitions there is one range per worker of the executor."""
    frame = rdf_lithops.RDataFrame(1000, executor=fexec)
    plan = rdf_lithops.plan(frame.Count())
    assert fexec.config["localhost"]["worker_processes"] == plan.ranges
    assert plan.ranges == plan.calls


def test_lithops_module_of_roots_namespace(fexec: Any) -> None:
    """ROOT.RDF.Distributed.Lithops.RDataFrame is this package's constructor, as Dask's and Spark's are theirs."""
    assert 7 == ROOT.RDF.Distributed.Lithops.RDataFrame(7, executor=fexec, npartitions=2).Count().GetValue()


@pytest.mark.slow
def test_programs_of_one_program_have_names_of_their_own() -> None:
    """Lithops lets programs that one program starts share its session; what they write into the storage must not meet."""
    child = """
        import lithops, ROOT, rdf_lithops
        with lithops.FunctionExecutor(config_file={config!r}) as fexec:
            ROOT.RDataFrame(10, executor=fexec, npartitions=1).Count().GetValue()
            print(fexec.executor_id, fexec._create_job_id("M"))
    """
    early = textwrap.dedent(child).format(config=str(LOCALHOST_CONFIG))
    late = early.replace(", rdf_lithops\n", "\n").replace("    ROOT.", "    import rdf_lithops\n    ROOT.", 1)
    inherited = {**os.environ, "__LITHOPS_SESSION_ID": "abcdef", "__LITHOPS_TOTAL_EXECUTORS": "3"}
    names = []
    for program in (early, early, late, late):
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], env=inherited, **CAPTURED)
        assert 0 == done.returncode, done.stderr[-2000:]
        names.append(done.stdout.split())
    assert 4 == len({tuple(name) for name in names})
    assert {"abcdef-4"} == {executor_id for executor_id, _ in names[2:]}, "this is what Lithops does"
    assert 4 == len({job_id for _, job_id in names})


PRESSES = """
import os, signal, sys
import ROOT
facade = type(ROOT)
plain = vars(facade)["RDataFrame"]
facade.RDataFrame = property(lambda self: (os.kill(os.getpid(), signal.SIGINT), plain.fget(self))[1])
import lithops, rdf_lithops
try:
    ROOT.RDataFrame
except KeyboardInterrupt:
    print("interrupted", "cppyy" in sys.modules)
"""


def test_a_press_while_root_starts() -> None:
    """Ctrl-C waits until ROOT is up, which crashes over it in the middle of its start, and is heard then."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", PRESSES], **CAPTURED)
    assert (0, "interrupted True") == (done.returncode, done.stdout.strip()), done.stderr[-2000:]
