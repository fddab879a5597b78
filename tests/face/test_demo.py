"""The demonstration: its sample, its spectrum, and the command line that shows them."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click.testing
import lithops
import numpy
import pytest
import ROOT
import yaml
from conftest import CAPTURED, LOCALHOST_CONFIG, REPOSITORY

from rdf_lithops import Options, PlanError, demo
from rdf_lithops.cli import main
from rdf_lithops.cli._run import LOCALHOST

EVENTS = 20_000


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A small sample in four files."""
    return demo.make_sample(str(tmp_path_factory.mktemp("sample")), files=4, events=EVENTS)


@pytest.fixture(scope="module")
def local(sample: list[str]) -> demo.Measured:
    """What local RDataFrame says of the sample."""
    return demo.measure(lambda: ROOT.RDataFrame(demo.TREE, sample))


def events_of(paths: list[str]) -> list[str]:
    """Every event of the files, in order: the bytes of its branches in hexadecimal, beginning with the number of muons."""
    ROOT.gInterpreter.Declare("""
    #ifndef RDF_LITHOPS_TEST_BYTES
    #define RDF_LITHOPS_TEST_BYTES
    void AddBytes(std::string &all, const void *from, std::size_t count) {
       for (auto *byte = static_cast<const unsigned char *>(from); count > 0; --count, ++byte)
          for (auto digit : {*byte >> 4, *byte & 15}) all += "0123456789abcdef"[digit];
    }
    template <typename T> void AddBytes(std::string &all, const T &value) { AddBytes(all, &value, sizeof(value)); }
    template <typename T> void AddBytes(std::string &all, const ROOT::RVec<T> &values) {
       AddBytes(all, values.data(), sizeof(T) * values.size());
    }
    template <typename... T> std::string Bytes(const T &...values) {
       std::string all;
       (AddBytes(all, values), ...);
       return all;
    }
    #endif""")
    frame = ROOT.RDataFrame(demo.TREE, paths).Define("bytes", f"Bytes({', '.join(demo.BRANCHES)})")
    return list(map(str, frame.Take["std::string"]("bytes").GetValue()))


# -- the sample -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("files", [1, 3])
def test_the_sample_does_not_depend_on_its_files(tmp_path: Path, sample: list[str], files: int) -> None:
    """Cut into other files, and made anew, it has the same bytes in the same order."""
    again = demo.make_sample(str(tmp_path), files=files, events=EVENTS)
    assert files == len(again)
    assert events_of(sample) == events_of(again)


@pytest.mark.slow
def test_the_sample_does_not_depend_on_threads(sample: list[str]) -> None:
    """Computed by two threads, which cut the entries as they like, each entry is the event that the file has."""
    program = f"""
import ROOT
from rdf_lithops.demo import sample
ROOT.EnableImplicitMT(2)
frame = sample._sample({EVENTS // 4}, {EVENTS // 2}).Define("entry", "rdfentry_")
pairs = frame.Define("sum", "Sum(Muon_pt)").AsNumpy(["entry", "sum"])
print(sorted(zip(pairs["entry"].tolist(), pairs["sum"].tolist()))[:1000])
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], **CAPTURED)
    assert 0 == done.returncode, done.stderr
    sums = ROOT.RDataFrame(demo.TREE, sample[1]).Define("sum", "Sum(Muon_pt)").AsNumpy(["sum"])["sum"].tolist()
    assert str(list(enumerate(sums))[:1000]) == done.stdout.strip()


def test_the_files_hold_distinct_events(sample: list[str]) -> None:
    """No event with a muon occurs twice."""
    events = [event for event in events_of(sample) if int(event[:8], 16)]
    assert EVENTS // 2 < len(events) == len(set(events))


def test_the_branches_have_the_types_of_nanoaod(sample: list[str]) -> None:
    """Counts are unsigned, kinematics single precision, charges integers; arrays are as long as the count."""
    frame = ROOT.RDataFrame(demo.TREE, sample)
    types = {name: str(frame.GetColumnType(name)) for name in demo.BRANCHES}
    floats = dict.fromkeys(("Muon_pt", "Muon_eta", "Muon_phi", "Muon_mass"), "ROOT::VecOps::RVec<float>")
    assert {"nMuon": "UInt_t", **floats, "Muon_charge": "ROOT::VecOps::RVec<int>"} == types
    lengths = " || ".join(f"{name}.size() != nMuon" for name in demo.BRANCHES[1:])
    assert 0 == frame.Filter(lengths).Count().GetValue()


def test_the_sample_has_every_kind_of_event(sample: list[str]) -> None:
    """No muon to four of them, and pairs of the same sign: the cuts have something to reject."""
    frame = ROOT.RDataFrame(demo.TREE, sample)
    counts = numpy.bincount(frame.AsNumpy(["nMuon"])["nMuon"])
    assert EVENTS == counts.sum()
    assert 5 == len(counts) and counts.min() > EVENTS // 100
    same_sign = frame.Filter("nMuon == 2 && Muon_charge[0] == Muon_charge[1]").Count().GetValue()
    assert EVENTS // 100 < same_sign < counts[2] // 2


def test_the_muons_have_the_mass_that_was_drawn(sample: list[str]) -> None:
    """The decay conserves the mass: single precision of the muons is all that is lost, some MeV where they are close."""
    ROOT.gInterpreter.Declare("""
    double DrawnMass(ULong64_t entry) {   // as Generate() draws: number of muons, charge, same sign or not, mass
       rdf_lithops_demo::Stream random(entry);
       const double u = random.Uniform();
       if (u < 0.14 || u >= 0.86) return -1;
       random.Sign();
       if (random.Uniform() < 0.12) return rdf_lithops_demo::Continuum(random);
       return rdf_lithops_demo::PairMass(random);
    }""")
    frame = ROOT.RDataFrame(demo.TREE, sample).Define("drawn", "DrawnMass(rdfentry_)").Filter("nMuon == 2")
    frame = frame.Define("m", "InvariantMass(Muon_pt, Muon_eta, Muon_phi, Muon_mass)")
    columns = frame.AsNumpy(["m", "drawn"])
    assert columns["drawn"].min() > 0.2
    lost_gev = numpy.abs(columns["m"] - columns["drawn"])
    assert lost_gev.max() < 0.05 and numpy.quantile(lost_gev, 0.99) < 0.005


@pytest.mark.parametrize("peak", [peak for peak in demo.PEAKS if peak.label], ids=lambda peak: peak.name)
def test_the_peaks_are_where_they_should_be(local: demo.Measured, peak: demo.Peak) -> None:
    """The fullest one per cent of mass within 5 % of the particle's is at the particle's mass."""
    axis = local.histogram.GetXaxis()
    windows = [peak.mass_gev * (1 + 0.005 * step) for step in range(-10, 11)]

    def entries(centre: float) -> float:
        first, last = axis.FindFixBin(centre * 0.995), axis.FindFixBin(centre * 1.005)
        return float(local.histogram.Integral(first, last)) / (last - first + 1)

    assert max(windows, key=entries) == pytest.approx(peak.mass_gev, rel=0.011)
    assert entries(peak.mass_gev) > 1.5 * (entries(windows[0]) + entries(windows[-1])) / 2


def test_a_complete_sample_is_reused(tmp_path: Path) -> None:
    """Files that are there are kept; one that is missing is made again; nothing unfinished stays behind."""
    first = demo.make_sample(str(tmp_path), files=2, events=100)
    before = [os.stat(path).st_mtime_ns for path in first]
    os.unlink(first[1])
    assert first == demo.make_sample(str(tmp_path), files=2, events=100)
    assert before[0] == os.stat(first[0]).st_mtime_ns
    assert before[1] != os.stat(first[1]).st_mtime_ns
    assert sorted(os.listdir(tmp_path)) == sorted(os.path.basename(path) for path in first)


def test_what_failed_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample whose writing breaks off is not taken for a complete one next time."""

    def interrupted(source: str, target: str) -> None:
        assert os.path.getsize(source) > 0
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        demo.make_sample(str(tmp_path), files=1, events=100)
    assert [] == os.listdir(tmp_path)


@pytest.mark.parametrize(("files", "events"), [(0, 100), (3, 2)])
def test_an_impossible_sample_is_refused(tmp_path: Path, files: int, events: int) -> None:
    """Each file has at least one event."""
    with pytest.raises(PlanError, match=f"got {files} files, {events} events"):
        demo.make_sample(str(tmp_path), files=files, events=events)


# -- the spectrum -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("npartitions", [1, 2, 5])
def test_the_spectrum_is_that_of_local_rdataframe(
    fexec: lithops.FunctionExecutor, sample: list[str], local: demo.Measured, npartitions: int
) -> None:
    """Entries, cut flow and every bin, twice: the second query finds a compiled graph."""
    for _ in range(2):
        ran = demo.measure(lambda: ROOT.RDataFrame(demo.TREE, sample, executor=fexec, npartitions=npartitions))
        assert [] == demo.differences(ran, local)
        assert local.entries == ran.entries > EVENTS // 2


def test_differences_are_found(local: demo.Measured) -> None:
    """An entry more is seen in the entries and in its bin, another cut flow in the cuts."""
    histogram = local.histogram.Clone()
    histogram.Fill(91.0)
    other = demo.Measured(histogram, local.cuts[:1], 0.0)
    entries, cuts, bins = demo.differences(local, other)
    assert f"entries: {local.entries} and {local.entries + 1}" == entries
    assert cuts.startswith("cut flow: ")
    assert "contents of 1 of 30002 bins" == bins


def test_the_cut_flow_is_a_table() -> None:
    """One line per cut; fractions of the events that came to it and of all."""
    table = demo.cut_flow_table([demo.Cut("two muons", 2000, 1000), demo.Cut("opposite charge", 1000, 250)])
    lines = [line.split() for line in table.splitlines()]
    assert ["two", "muons", "2,000", "1,000", "50.0%", "50.0%"] == lines[1]
    assert ["opposite", "charge", "1,000", "250", "25.0%", "12.5%"] == lines[2]
    assert "-" in demo.cut_flow_table([demo.Cut("none", 0, 0)])


def test_an_empty_spectrum_can_be_drawn(tmp_path: Path) -> None:
    """Files without a single pair give an empty picture, not an error."""
    name, title, *axis = demo.MODEL
    demo.save_plot(ROOT.TH1D(name, title, *axis), str(tmp_path / "empty.png"))
    assert is_png(tmp_path / "empty.png")


def is_png(path: Path) -> bool:
    """Whether it is a picture of some size."""
    return b"\x89PNG" == path.read_bytes()[:4] and path.stat().st_size > 5000


# -- the command line -------------------------------------------------------------------------------------------------


def rdf_lithops(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, as a user does."""
    command = [sys.executable, "-W", "ignore", "-m", "rdf_lithops", *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, **CAPTURED)


def test_the_demo_runs(tmp_path: Path) -> None:
    """From nothing to the picture: sample, times, cut flow, and the comparison that says equal; no bar in a file."""
    done = rdf_lithops("demo", "--events", str(EVENTS), "--folder", "made", "--output", "m.png")
    assert 0 == done.returncode, done.stderr
    assert "\r" not in done.stderr
    words = done.stdout.split()
    entries = [words[i + 1] for i, word in enumerate(words) if word == "entries" and words[i + 1].isdigit()]
    assert 2 == len(entries) and entries[0] == entries[1]
    for expected in ("first query", "the same again", "two muons", "opposite charge", "all 30000 bins"):
        assert expected in done.stdout
    assert is_png(tmp_path / "m.png")
    assert 4 == len(list((tmp_path / "made").glob("*.root")))


@pytest.mark.slow
def test_the_demo_takes_files_and_a_configuration(tmp_path: Path, sample: list[str]) -> None:
    """A glob, ranges and a Lithops file of one's own, without the comparison."""
    pattern = os.path.join(os.path.dirname(sample[0]), "*.root")
    options = ("--npartitions", "3", "--config", str(LOCALHOST_CONFIG), "--output", "m.pdf", "--no-local")
    done = rdf_lithops("demo", "--files", pattern, *options)
    assert 0 == done.returncode, done.stderr
    assert "4 files" in done.stdout and "local RDataFrame" not in done.stdout
    assert b"%PDF" == (tmp_path / "m.pdf").read_bytes()[:4]
    assert not (tmp_path / "demo").exists()


def test_plan_prints_the_calls(sample: list[str]) -> None:
    """What would run, and nothing of a result; of files with one cluster each there are not more ranges than files."""
    files = [word for path in sample for word in ("--files", path)]
    done = rdf_lithops("plan", *files, "--npartitions", "6")
    assert 0 == done.returncode, done.stderr
    assert "plan: 4 ranges in" in done.stdout
    assert "entries" not in done.stdout


def test_plan_as_json(sample: list[str]) -> None:
    """One document on standard output, for machines; what is for people goes to standard error."""
    done = click.testing.CliRunner().invoke(main, ["plan", "--files", sample[0], "--npartitions", "3", "--json"])
    assert 0 == done.exit_code, done.output
    assert 1 == json.loads(done.stdout)["ranges"]  # a file of one cluster
    assert "1 file" in done.stderr


def test_a_file_that_is_no_root_file_is_named(tmp_path: Path) -> None:
    """Status 1, the name and the way to help; no traceback and nothing of ROOT's own."""
    (tmp_path / "bad.root").write_text("not a ROOT file")
    done = rdf_lithops("demo", "--files", "bad.root")
    assert 1 == done.returncode
    assert "Error: not a ROOT file that can be read: bad.root\n  help:  rdf-lithops explain plan\n" == done.stderr


@pytest.fixture
def flat(tmp_path: Path) -> Iterator[str]:
    """A ROOT file with a tree of other columns, and a histogram."""
    path = str(tmp_path / "flat.root")
    ROOT.RDataFrame(3).Define("x", "1").Snapshot("other", path)
    with ROOT.TFile(path, "UPDATE") as file:
        file.WriteObject(ROOT.TH1D("h", "", 1, 0, 1), "h")
    yield path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demo", "--files", "absent.root"], "no such file: absent.root"),
        (["demo", "--files", "absent*.root"], "no file matches absent*.root"),
        (["demo", "--files", "flat.root"], "no tree 'Events' in flat.root, which has: h, other"),
        (["plan", "--files", "flat.root", "--tree", "other"], "tree 'other' of flat.root lacks Muon_charge, Muon_eta,"),
        (["plan", "--files", "flat.root", "--tree", "h"], "'h' in flat.root is not a tree"),
        (["demo", "--output", "absent/m.png"], "expected a folder to write the picture to, got"),
        (["demo", "--output", "m.txt"], "ends in .png, .pdf, .svg, .eps or .jpg, got m.txt"),
        (["demo", "--config", "absent.yaml"], "'absent.yaml' does not exist"),
        (["demo", "--npartitions", "0"], "0 is not in the range x>=1"),
        (["plan"], "Missing option '--files'"),
    ],
)
def test_bad_input_is_a_message(flat: str, arguments: list[str], message: str) -> None:
    """What was expected or is missing, by name, and a status other than 0."""
    done = click.testing.CliRunner().invoke(main, arguments)
    assert done.exit_code in (1, 2) and isinstance(done.exception, SystemExit)
    assert message in done.output


def test_a_configuration_that_lithops_refuses_is_named(tmp_path: Path, sample: list[str]) -> None:
    """Lithops' own reason, behind the name of the file."""
    (tmp_path / "mars.yaml").write_text("lithops:\n  backend: mars\n")
    done = click.testing.CliRunner().invoke(main, ["plan", "--files", sample[0], "--config", "mars.yaml"])
    assert 1 == done.exit_code
    assert "Lithops does not accept mars.yaml: Unknown compute backend: mars" in done.output


def test_without_root_the_message_says_how_to_get_it(sample: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """ROOT is an extra: its absence is common, and no reason for a traceback."""
    monkeypatch.setitem(sys.modules, "ROOT", None)
    done = click.testing.CliRunner().invoke(main, ["plan", "--files", sample[0]])
    assert 1 == done.exit_code
    assert "pip install 'rdf_lithops[root]'" in done.output


def test_a_difference_ends_the_demo_with_an_error(sample: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs of different files: a status of its own, and what differs in words."""
    runs = iter([sample, sample, sample[:3]])
    measure = demo.measure
    monkeypatch.setattr(demo, "measure", lambda frame: measure(lambda: ROOT.RDataFrame(demo.TREE, next(runs))))
    done = click.testing.CliRunner().invoke(main, ["demo", "--files", sample[0]])
    assert 3 == done.exit_code
    assert "Lithops' first query and local RDataFrame differ in entries: " in done.output


def test_help_names_every_option() -> None:
    """Help is where a user learns what there is."""
    runner = click.testing.CliRunner()
    listed = runner.invoke(main, ["demo", "--help"]).output
    for option in ("tree", "files", "events", "npartitions", "config", "output", "folder", "no-local"):
        assert f"--{option}" in listed
    assert "rdf-lithops, version 0.1.0\n" == runner.invoke(main, ["--version"]).output


def test_the_built_in_configuration_is_that_of_the_file() -> None:
    """An installed package has no configs folder: what it has instead is the same."""
    assert yaml.safe_load(LOCALHOST_CONFIG.read_text()) == LOCALHOST


def test_the_readme_lists_every_option() -> None:
    """Its table has the options and their defaults, in order."""
    rows = re.findall(r"^\| `(\w+)`(?: \*)? \| (\S+) \|", (REPOSITORY / "README.md").read_text(), re.MULTILINE)
    fields = [
        (field.name, f"{field.default:g}" if field.type == "float" else str(field.default))
        for field in dataclasses.fields(Options)
    ]
    assert fields == rows
