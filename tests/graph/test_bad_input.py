"""Bad input is an error that says what was expected and what was found, where, or is ROOT's documented behaviour."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lithops
import numpy
import pytest
import ROOT
from conftest import CAPTURED, LOCALHOST_CONFIG, WITHOUT_ROOT
from datasets import Datasets, write_main_file

import rdf_lithops
from rdf_lithops.cli import _run as cli_run

# -- the dataset -------------------------------------------------------------------------------------------------------


def test_zero_entries(fexec: Any) -> None:
    """No entries: none are counted, and a histogram is empty, as locally."""
    frame = ROOT.RDataFrame(0, executor=fexec, npartitions=2)
    count, histogram = frame.Count(), frame.Define("x", "1.0").Histo1D(("h", "", 4, 0, 4), "x")
    assert (0, 0.0) == (count.GetValue(), histogram.GetEntries())


@pytest.mark.parametrize(
    "wrong", [lambda frame: frame.Sum("nosuch"), lambda frame: frame.Histo1D(("h", "", 2, 0, 2), "nosuch")]
)
def test_a_wrong_graph_is_a_runtime_error(fexec: Any, files: Datasets, wrong: Callable[[Any], Any]) -> None:
    """Programs catch what DistRDF ends in when a graph is wrong, a RuntimeError: so they do when it is seen at booking."""
    frame = ROOT.RDataFrame("events", files.main, executor=fexec, npartitions=2)
    with pytest.raises(RuntimeError, match="nosuch"):
        wrong(frame).GetValue()


@pytest.mark.filterwarnings("default")  # ROOT warns, too
@pytest.mark.parametrize("as_list", [False, True])
def test_missing_file(fexec: Any, files: Datasets, tmp_path: Path, as_list: bool) -> None:
    """A file that is not there is named in the error, wherever it is noticed."""
    missing = str(tmp_path / "no_such_file.root")
    with pytest.raises(Exception, match="no_such_file"):
        frame = ROOT.RDataFrame("events", [*files.main, missing] if as_list else missing, executor=fexec, npartitions=2)
        frame.Count().GetValue()


@pytest.mark.filterwarnings("default")
def test_missing_tree(fexec: Any, files: Datasets) -> None:
    """A tree that is not in the file is named in the error."""
    with pytest.raises(Exception, match="no_such_tree"):
        ROOT.RDataFrame("no_such_tree", files.main[0], executor=fexec, npartitions=2).Count().GetValue()


@pytest.mark.filterwarnings("default")
def test_glob_without_files(fexec: Any, tmp_path: Path) -> None:
    """A pattern that no file matches is named in the error."""
    with pytest.raises(Exception, match="nothing_here"):
        ROOT.RDataFrame("events", str(tmp_path / "nothing_here_*.root"), executor=fexec).Count().GetValue()


def test_only_empty_trees(fexec: Any, files: Datasets) -> None:
    """Trees without entries: none are counted, and a histogram is empty, as locally."""
    frame = ROOT.RDataFrame("events", files.empty, executor=fexec, npartitions=2)
    count, histogram = frame.Count(), frame.Histo1D(("h", "", 4, 0, 4), "i")
    assert (0, 0.0) == (count.GetValue(), histogram.GetEntries())


def test_some_empty_trees(fexec: Any, files: Datasets) -> None:
    """Empty trees among others count for nothing, wherever they are."""
    mixed = [files.empty[0], files.main[0], files.empty[1], files.main[2]]
    expected = ROOT.RDataFrame("events", mixed).Sum("i").GetValue()
    for npartitions in (1, 4, 7):
        frame = ROOT.RDataFrame("events", mixed, executor=fexec, npartitions=npartitions)
        count, total = frame.Count(), frame.Sum("i")
        assert (350, expected) == (count.GetValue(), total.GetValue())


def test_one_file_given_twice(fexec: Any, files: Datasets) -> None:
    """A file that is listed twice is read twice, as locally."""
    twice = [files.main[1], files.main[1]]
    expected = ROOT.RDataFrame("events", twice).Sum("i").GetValue()
    for npartitions in (1, 3):
        assert expected == ROOT.RDataFrame("events", twice, executor=fexec, npartitions=npartitions).Sum("i").GetValue()


def test_damaged_file(fexec: Any, files: Datasets, tmp_path: Path) -> None:
    """A file that is no ROOT file at its turn is an error that names it, not a smaller result."""
    copy = tmp_path / "spoilt.root"
    copy.write_bytes(Path(files.main[0]).read_bytes())
    booked = ROOT.RDataFrame("events", [files.main[1], str(copy)], executor=fexec, npartitions=2).Sum("x")
    copy.write_bytes(b"this is no ROOT file any more\n" * 50)
    with pytest.raises(Exception, match=r"spoilt\.root"):
        booked.GetValue()


def test_a_file_that_grew_between(fexec: Any, tmp_path: Path) -> None:
    """A file that was written again between two runs is read as it is then."""
    path = tmp_path / "growing.root"
    write_main_file(path, 0, 60)
    first = ROOT.RDataFrame("events", str(path), executor=fexec, npartitions=2).Count().GetValue()
    write_main_file(path, 0, 90)
    assert (60, 90) == (first, ROOT.RDataFrame("events", str(path), executor=fexec, npartitions=2).Count().GetValue())


def test_arguments_of_no_constructor(fexec: Any) -> None:
    """Arguments that fit no constructor of RDataFrame: DistRDF's own error."""
    with pytest.raises(TypeError, match="not accepted by any RDataFrame constructor"):
        ROOT.RDataFrame([1, 2], {}, executor=fexec)


# -- the graph ---------------------------------------------------------------------------------------------------------


def test_column_that_does_not_exist(fexec: Any, files: Datasets) -> None:
    """It is an error at booking, as locally, that names it: in an expression with the column that is near."""
    given = {"executor": fexec, "npartitions": 2, "options": {"ranges_per_call": 2}}
    with pytest.raises(rdf_lithops.PlanError, match=r"(?s)identifier 'no_such_column'.* is no column"):
        ROOT.RDataFrame("events", files.main, **given).Filter("no_such_column > 1")
    with pytest.raises(rdf_lithops.PlanError, match="did you mean the column 'weight'"):
        ROOT.RDataFrame(9, **given).Define("weight", "1.").Filter("wieght > 1")
    with pytest.raises(rdf_lithops.PlanError, match=r"Histo1D: unknown column 'no_such_column'"):
        ROOT.RDataFrame("events", files.main, **given).Histo1D(("h", "", 10, 0.0, 1.0), "no_such_column")


@pytest.mark.parametrize(("method", "columns"), [("Histo2D", 2), ("Histo3D", 3)])
def test_histogram_without_a_model(fexec: Any, method: str, columns: int) -> None:
    """A histogram of more than one axis whose bins are not given is refused at booking, with what to give."""
    with pytest.raises((rdf_lithops.PlanError, ValueError), match=r"model|limits"):
        getattr(ROOT.RDataFrame(10, executor=fexec).Define("x", "1."), method)(*["x"] * columns)


def test_a_method_that_nobody_has(fexec: Any) -> None:
    """A name that local RDataFrame has not, either, is an AttributeError that says the nearest one; see test_operations."""
    frame = ROOT.RDataFrame(10, executor=fexec)
    for node in (frame, frame.Filter("true")):
        with pytest.raises(AttributeError, match=r"no method 'Histo1d'; did you mean Histo1D\?"):
            node.Histo1d


def test_exception_in_a_filter(fexec: Any) -> None:
    """A C++ exception at run time: which range, which entries, and the exception's own words; the next query works."""
    frame = ROOT.RDataFrame(40, executor=fexec, npartitions=4, options={"ranges_per_call": 2})
    booked = frame.Filter('if (rdfentry_ == 25) throw std::runtime_error("entry 25 is spoilt"); return true;').Count()
    with pytest.raises(rdf_lithops.RangeError, match=r"range 2 failed: .*") as caught:
        booked.GetValue()
    text = str(caught.value)
    assert "entry 25 is spoilt" in text
    assert "call 1, range 2: entries 20 to 30" in text
    assert ((2,), 1) == (caught.value.range_ids, caught.value.call_id)
    assert 40 == ROOT.RDataFrame(40, executor=fexec, npartitions=4).Count().GetValue()


def test_code_that_does_not_compile(fexec: Any) -> None:
    """C++ that does not compile is an error when it is booked, with the compiler's line and caret, and what to do."""
    frame = ROOT.RDataFrame(10, executor=fexec)
    for book in (
        lambda: frame.Filter("no_such_function(1)", "a cut"),
        lambda: frame.Define("y", "no_such_function(1)"),
        lambda: frame.Define("x", "1.").Vary("x", "ROOT::RVecD{no_such_function(1), 1.}", 2),
    ):
        with pytest.raises(rdf_lithops.PlanError, match=r"no_such_function\(.* does not compile: use of undecl") as caught:
            book()
        lines = str(caught.value).splitlines()
        assert any(line.strip() == "^" for line in lines)
        assert any(line.startswith("  next: ") and "ROOT.gInterpreter.Declare" in line for line in lines)
        assert "all RDF objects" not in str(caught.value).lower()
    assert 10 == frame.Count().GetValue()


def test_exception_in_initialize(fexec: Any, registries: Any) -> None:
    """A Python exception of the user's initialisation on the far side, by type and message."""
    registries.initialization = staticmethod(_fail)
    with pytest.raises(
        rdf_lithops.PayloadError, match="the function given to initialize: ZeroDivisionError: division by zero"
    ):
        ROOT.RDataFrame(10, executor=fexec).Count().GetValue()


def _fail() -> None:
    1 / 0


def test_exception_in_initialize_here(fexec: Any, registries: Any) -> None:
    """initialize runs the function here first, so its exception comes at once."""
    with pytest.raises(ZeroDivisionError):
        ROOT.RDF.Distributed.initialize(_fail)


def test_crash_in_a_filter(fexec: Any) -> None:
    """A crash of the user's C++ code: which ranges, by which signal; it does not hang, and the next query works."""
    frame = ROOT.RDataFrame(20, executor=fexec, npartitions=2, options={"ranges_per_call": 1})
    booked = frame.Filter("if (rdfentry_ == 15) raise(SIGSEGV); return true;").Count()
    with pytest.raises(rdf_lithops.RunError, match="the ROOT process was killed by SIGSEGV") as caught:
        booked.GetValue()
    assert (1,) == caught.value.range_ids
    assert 20 == ROOT.RDataFrame(20, executor=fexec, npartitions=2).Count().GetValue()


# -- the numbers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("npartitions", [0, -1, -100])
def test_npartitions_out_of_bounds(fexec: Any, files: Datasets, npartitions: int) -> None:
    """Fewer than one range cannot be; the error says what was expected and what was given."""
    message = f"npartitions must be 1 or more, got {npartitions}"
    for make in (
        lambda given: ROOT.RDataFrame(10, **given),
        lambda given: ROOT.RDF.Experimental.FromSpec(files.spec, **given),
        lambda given: ROOT.RDF.Distributed.FromSpec(files.spec, **given),
        lambda given: rdf_lithops.RDataFrame(10, **given),
    ):
        with pytest.raises(rdf_lithops.PlanError, match=message):
            make({"executor": fexec, "npartitions": npartitions})
    with pytest.raises(ValueError, match=message):  # a PlanError is a ValueError to those who do not know it
        ROOT.RDataFrame(10, executor=fexec, npartitions=npartitions)


@pytest.mark.parametrize("npartitions", ["2", True, 2.0, [2]])
def test_npartitions_of_another_type(fexec: Any, npartitions: object) -> None:
    """Something that is no integer is a TypeError that shows it."""
    with pytest.raises(TypeError) as caught:
        ROOT.RDataFrame(10, executor=fexec, npartitions=npartitions)
    assert f"npartitions must be an integer, got {npartitions!r}" == str(caught.value)


def test_more_ranges_than_entries(fexec: Any) -> None:
    """An empty source: DistRDF's own warning, and one range per entry."""
    booked = ROOT.RDataFrame(3, executor=fexec, npartitions=10).Count()
    with pytest.warns(UserWarning, match="Number of partitions 10 is greater than number of entries 3"):
        assert 3 == booked.GetValue()


def test_more_ranges_than_clusters(fexec: Any, files: Datasets) -> None:
    """Files: ranges without a cluster of their own do nothing, and the result is whole."""
    frame = ROOT.RDataFrame("events", files.main, executor=fexec, npartitions=60)
    count, total = frame.Count(), frame.Sum("i")
    assert (400, 79800) == (count.GetValue(), total.GetValue())


# -- the options -------------------------------------------------------------------------------------------------------


def test_unknown_keyword(fexec: Any, files: Datasets) -> None:
    """A misspelt keyword is a TypeError that shows it and those that are known, in every constructor."""
    for make in (
        lambda given: ROOT.RDataFrame(10, **given),
        lambda given: ROOT.RDF.Experimental.FromSpec(files.spec, **given),
        lambda given: ROOT.RDF.Distributed.FromSpec(files.spec, **given),
        lambda given: rdf_lithops.RDataFrame(10, **given),
    ):
        with pytest.raises(TypeError, match=r"unknown keywords \['npartition'\]; known are executor, npartitions, options"):
            make({"executor": fexec, "npartition": 3})


def test_unknown_option(fexec: Any) -> None:
    """A misspelt option is a TypeError that shows it and those that are known."""
    with pytest.raises(TypeError, match=r"unknown options \[3, 'sed'\] \(did you mean seed\?\); known are \['seed', "):
        ROOT.RDataFrame(10, executor=fexec, options={"sed": 3, 3: 4})


@pytest.mark.parametrize("options", [3, "seed", [("seed", 1)]])
def test_options_of_another_type(fexec: Any, options: object) -> None:
    """Options are an Options, a dictionary or nothing."""
    with pytest.raises(TypeError, match=r"options must be rdf_lithops.Options or a dictionary .*, got (int|str|list)"):
        ROOT.RDataFrame(10, executor=fexec, options=options)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", 1.5),
        ("seed", True),
        ("seed", None),
        ("ranges_per_call", 0),
        ("ranges_per_call", -2),
        ("ranges_per_call", 1.5),
        ("ranges_per_call", "2"),
        ("ranges_per_call", True),
        ("deadline_s", 0),
        ("deadline_s", -1.0),
        ("deadline_s", "10"),
        ("idle_limit_s", 0),
        ("idle_limit_s", None),
        ("memory_limit_mib", -5),
        ("memory_limit_mib", None),
        ("warm", "yes"),
        ("progress", 3),
        ("deadline_s", float("inf")),
        ("beat_s", float("nan")),
        ("beat_s", 1e9),
        ("fold_mib", float("inf")),
        ("backoff_s", -0.5),
        ("arrays_mib", -0.5),
        ("usd_per_gb_s", -1.0),
        ("usd_per_gb_s", float("nan")),
        ("credentials", [["krb5"]]),
        ("seed", numpy.float64(3)),
    ],
)
def test_bad_option_values(fexec: Any, name: str, value: object) -> None:
    """A value that an option cannot have is an error, when the data frame is made, that shows name and value."""
    with pytest.raises((rdf_lithops.PlanError, TypeError)) as caught:
        ROOT.RDataFrame(10, executor=fexec, options={name: value})
    assert f"options.{name} must be " in str(caught.value)
    assert f"got {value!r}" in str(caught.value)


@pytest.mark.parametrize(
    ("section", "given", "why"),
    [
        ("rdf_lithops", {"sed": 5}, r"unknown options \['sed'\] in section rdf_lithops of .* \(did you mean seed\?\)"),
        ("rdf_lithops", {"seed": "x"}, "section rdf_lithops of Lithops' configuration: options.seed must be int, got 'x'"),
        ("rdf_lithop", {"seed": 5}, "has a section 'rdf_lithop': the one that is read is 'rdf_lithops'"),
    ],
)
def test_bad_sections_of_the_configuration(section: str, given: Any, why: str) -> None:
    """What is wrong in the file of the configuration is said to be there, to programs and on the command line."""
    config = {name: WITHOUT_ROOT[name] for name in ("lithops", "localhost")} | {section: given}
    with lithops.FunctionExecutor(config=config) as fexec, pytest.raises((TypeError, rdf_lithops.PlanError), match=why):
        ROOT.RDataFrame(10, executor=fexec)
    Path("config.yaml").write_text(json.dumps(config))
    with pytest.raises(rdf_lithops.PlanError, match=why), cli_run.executor("config.yaml"):
        raise AssertionError("no executor is made")


def test_numbers_of_numpy(fexec: Any) -> None:
    """A number that came out of an array is one, also for the plain values that travel."""
    options = {
        "seed": numpy.int64(7),
        "ranges_per_call": numpy.uint8(2),
        "deadline_s": numpy.float32(300),
        "warm": numpy.True_,
    }
    booked = ROOT.RDataFrame(10, executor=fexec, npartitions=numpy.int32(4), options=options).Count()
    plan = rdf_lithops.plan(booked)
    assert (4, 2) == (plan.ranges, len(plan.iterdata))
    assert 10 == booked.GetValue()


# -- the executor ------------------------------------------------------------------------------------------------------


def test_wrong_type_of_executor() -> None:
    """The explicit constructor takes Lithops' executor alone and says what it got."""
    for wrong in (None, "lithops", lithops, lithops.FunctionExecutor):
        with pytest.raises(TypeError, match=f"executor must be a lithops.FunctionExecutor, got {type(wrong).__name__}"):
            rdf_lithops.RDataFrame(10, executor=wrong)


def test_closed_executor() -> None:
    """An executor that was closed: an error at construction and, for what was booked before, at the run."""
    with lithops.FunctionExecutor(config=WITHOUT_ROOT) as closed:
        booked = ROOT.RDataFrame(10, executor=closed, npartitions=2).Count()
    message = "expected an open Lithops executor, got one that was closed; create a new FunctionExecutor"
    with pytest.raises(rdf_lithops.PlanError, match=message):
        booked.GetValue()
    with pytest.raises(rdf_lithops.PlanError, match=message):
        ROOT.RDataFrame(10, executor=closed, npartitions=2)


def test_executor_closed_before_it_was_used() -> None:
    """One that was closed before any data frame saw it cannot be told from a new one, and Lithops lets it work."""
    with lithops.FunctionExecutor(config_file=str(LOCALHOST_CONFIG)) as closed:
        pass
    assert 10 == ROOT.RDataFrame(10, executor=closed, npartitions=2).Count().GetValue()
    closed.__exit__(None, None, None)


def test_result_used_after_the_executor_was_closed() -> None:
    """What was computed stays when the executor is gone."""
    with lithops.FunctionExecutor(config_file=str(LOCALHOST_CONFIG)) as executor:
        booked = ROOT.RDataFrame(10, executor=executor, npartitions=2).Count()
        assert 10 == booked.GetValue()
    assert 10 == booked.GetValue()


def test_a_program_that_fails_still_ends(files: Datasets) -> None:
    """A program whose query fails ends by itself, with its own error, and leaves nobody waiting."""
    program = f"""
        import lithops, ROOT, rdf_lithops
        fexec = lithops.FunctionExecutor(config_file={str(LOCALHOST_CONFIG)!r})
        frame = ROOT.RDataFrame(10, executor=fexec, npartitions=2)
        frame.Filter('throw std::runtime_error("spoilt"); return true;').Count().GetValue()
    """
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)], **CAPTURED)
    assert 1 == done.returncode
    assert "RangeError: range " in done.stderr
    assert "spoilt" in done.stderr
