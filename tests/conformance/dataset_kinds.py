"""The kinds of source that a data frame can have, and all operations measured on one of them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ROOT
from datasets import ENTRIES, Datasets
from operations import CHECKS, FRIEND_CHECKS, MISSING_CHECKS, SPEC_CHECKS, UNCLONED_CHECKS, Check, prepare
from plain_results import graph, histogram, number, statistic


@dataclass(frozen=True)
class Source:
    """A dataset as RDataFrame's arguments: ``open(files)`` gives them, and ``checks`` are those it has beyond CHECKS."""

    open: Callable[[Datasets], tuple[Any, ...]]
    checks: dict[str, Check]
    frame: Callable[..., Any] = ROOT.RDataFrame
    entries: bool = False


def chain(files: list[str], name: str = "events") -> Any:
    """A TChain of ``files``."""
    made = ROOT.TChain(name)
    for file in files:
        made.Add(file)
    return made


@functools.cache
def keep(path: str) -> Any:
    """An open file; kept, because a frame made of a tree in it needs it for as long as it lives."""
    return ROOT.TFile(path)


def with_friends(files: Datasets) -> tuple[Any]:
    """A chain and its friend, whose files end elsewhere."""
    main, friend = chain(files.main), chain(files.friends, "friends")
    main.AddFriend(friend, "fr")
    _kept.append(friend)
    return (main,)


def spec_with_friends(files: Datasets) -> tuple[Any]:
    """The specification of ``files.spec_with_friends``; kept, as DistRDF refers to its friends for as long as it runs."""
    _kept.append(ROOT.Internal.RDF.RetrieveSpecFromJson(files.spec_with_friends))
    return (_kept[-1],)


_kept: list[Any] = []


def spec_of(files: Datasets) -> tuple[Any]:
    """An RDatasetSpec built by hand, as the JSON of ``files.spec`` describes it."""
    spec = ROOT.RDF.Experimental.RDatasetSpec()
    for name, paths, xsec, year, kind in (
        ("signal", files.main[:2], 2.5, 2016, "sig"),
        ("background", files.main[2:], 0.75, 2017, "bkg"),
    ):
        metadata = ROOT.RDF.Experimental.RMetaData()
        metadata.Add("xsec", xsec)
        metadata.Add("year", year)
        metadata.Add("kind", kind)
        spec.AddSample(ROOT.RDF.Experimental.RSample(name, "events", paths, metadata))
    return (spec,)


def experimental_from_spec(*args: Any, **given: Any) -> Any:
    """ROOT.RDF.Experimental.FromSpec, found when it is called."""
    return ROOT.RDF.Experimental.FromSpec(*args, **given)


def distributed_from_spec(*args: Any, **given: Any) -> Any:
    """ROOT.RDF.Distributed.FromSpec; its local oracle is the other one."""
    return ROOT.RDF.Distributed.FromSpec(*args, **given) if given else ROOT.RDF.Experimental.FromSpec(*args)


SOURCES = {
    "entries": Source(lambda files: (ENTRIES,), {}, entries=True),
    "one file": Source(lambda files: ("events", files.main[2]), MISSING_CHECKS),
    "list of files": Source(lambda files: ("events", files.main), MISSING_CHECKS),
    "glob": Source(lambda files: ("events", files.glob), MISSING_CHECKS),
    "directory": Source(lambda files: ("events", keep(files.main[0])), MISSING_CHECKS),
    "tree": Source(lambda files: (keep(files.main[2]).Get("events"),), MISSING_CHECKS),
    "chain": Source(lambda files: (chain(files.main),), MISSING_CHECKS),
    "chain with friends": Source(with_friends, FRIEND_CHECKS),
    "specification": Source(spec_of, SPEC_CHECKS),
    "specification with friends": Source(spec_with_friends, SPEC_CHECKS | FRIEND_CHECKS),
    "Experimental.FromSpec": Source(lambda files: (files.spec,), SPEC_CHECKS, experimental_from_spec),
    "Distributed.FromSpec": Source(lambda files: (files.spec,), SPEC_CHECKS, distributed_from_spec),
    "rntuple": Source(lambda files: ("events", files.rntuple), {}),
}


def default_branches(frame: Any) -> dict[str, Any]:
    """Actions that name no column, on a frame whose default branches are x, z and n."""
    booked = {
        "sum": (frame.Sum(), number),
        "mean": (frame.Mean(), number),
        "max": (frame.Max(), number),
        "min": (frame.Filter("i > 7").Min(), number),
        "standard deviation": (frame.StdDev(), number),
        "statistic": (frame.Stats(), statistic),
        "graph": (frame.Graph(), graph),
        "histogram": (frame.Histo1D(("d1", "", 10, 0.0, 12.0)), histogram),
        "histogram 2D": (frame.Histo2D(("d2", "", 4, 0.0, 12.0, 5, 0.0, 12.0)), histogram),
        "profile": (frame.Profile1D(("dp", "", 4, 0.0, 12.0)), histogram),
        "a column is named": (frame.Sum("y"), number),
    }
    return {name: read(result) for name, (result, read) in booked.items()}


def columns(frame: Any, source: Source) -> Any:
    """``frame`` with the columns of the files, which an empty source has to define."""
    if not source.entries:
        return frame
    return (
        frame.Define("i", "int(rdfentry_)")
        .Define("n", "i % 4")
        .Define("x", "0.1 + (i * 37 % 101) * 0.0999")
        .Define("z", "1.0 + (i * 53 % 89) * 0.1")
        .Define("y", "float(0.3 + (i * 71 % 97) * 0.1)")
        .Define("w", "float(0.5 + (i % 13) * 0.1)")
        .Define("v", "ROOT::RVecF r; for (int j = 0; j < n; ++j) r.push_back(0.7 * j + (i * 29 % 83) * 0.1); return r;")
    )


def measure(frame: Any, source: Source, folder: Path, checks: dict[str, Check]) -> dict[str, Any]:
    """Book every check on ``frame``, run once, read all."""
    folder.mkdir(parents=True, exist_ok=True)
    nodes = prepare(columns(frame, source), folder)
    booked = {name: check.book(nodes) for name, check in checks.items()}
    return {name: checks[name].read(result) for name, result in booked.items()}


def checks_of(name: str, group: str) -> dict[str, Check]:
    """The checks of a source that run in one query."""
    return UNCLONED_CHECKS if group == "not cloned" else CHECKS | SOURCES[name].checks
