"""A program of the original PyRDF, run in a process of its own by test_pyrdf_original.py: one generation per process.

    python pyrdf_original_program.py DATASETS LITHOPS_CONFIG

The original package is what ``import PyRDF`` finds. Prints one line of JSON: results by name, exceptions as their text.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lithops
import PyRDF
import ROOT

from rdf_lithops import pyrdf

MODEL = ("x", "x", 20, 0.0, 12.0)
PROFILE = ("p", "p", 8, 0.0, 12.0)
OLDEST = not hasattr(PyRDF, "create_logger")
HEADER = "#pragma once\nnamespace original { inline int offset = 0; inline int shifted(int i) { return i + offset; } }\n"


def histogram(result: Any) -> list[list[float]]:
    """Contents and errors of all bins."""
    return [[result.GetBinContent(i), result.GetBinError(i)] for i in range(result.GetNcells())]


def graph(result: Any) -> list[list[float]]:
    """The points, sorted: their order is that of merging."""
    return sorted([result.GetPointX(i), result.GetPointY(i)] for i in range(result.GetN()))


def chain(tree: str, files: list[str]) -> Any:
    """A TChain of ``files`` that outlives whatever refers to it."""
    made = ROOT.TChain(tree)
    ROOT.SetOwnership(made, False)
    for name in files:
        made.Add(name)
    return made


class Original:
    """The original package with our back end, spelt as its generation does."""

    def __init__(self, executor: Any) -> None:
        self.executor = executor
        self.backend: Any = None

    def frame(self, partitions: int, *args: Any) -> Any:
        """A data frame of ``args`` in ``partitions``."""
        self.backend = pyrdf.backend_for(PyRDF, {"npartitions": partitions, "lithops": self.executor})
        if not hasattr(PyRDF, "current_backend"):
            return self.backend.make_dataframe(*args)
        PyRDF.current_backend = self.backend
        return PyRDF.RDataFrame(*args)


def actions(original: Original, partitions: int, main: list[str]) -> dict[str, Any]:
    """Every kind of action that the generation has, in one query if it lets us."""
    df = original.frame(partitions, chain("events", main)) if OLDEST else original.frame(partitions, "events", main)
    lazy = {
        "Histo1D": (histogram, df.Filter("n > 0").Histo1D(MODEL, "x")),
        "Profile1D": (histogram, df.Profile1D(PROFILE, "x", "z")),
        "Graph": (graph, df.Filter("i % 10 == 0").Graph("x", "z")),
    }
    if OLDEST:
        return {name: read(result) for name, (read, result) in lazy.items()}
    lazy["Count"] = (lambda result: result.GetValue(), df.Filter("n > 1").Count())
    lazy["zero"] = (lambda result: result.GetValue(), df.Filter("n > 100").Count())
    lazy["Sum"] = (lambda result: result.GetValue(), df.Sum("x"))
    arrays = df.AsNumpy(["i", "rdfentry_"])
    jobs = original.executor.total_jobs
    results = {name: read(result) for name, (read, result) in lazy.items()}
    results["jobs of a second reading"] = original.executor.total_jobs - jobs
    results["AsNumpy"] = {name: [int(number) for number in array] for name, array in arrays.items()}
    return results


def snapshot(original: Original, partitions: int, main: list[str]) -> dict[str, Any]:
    """The parts' names and what a data frame of them holds."""
    original.frame(partitions, "events", main).Filter("n > 0").Snapshot("kept", f"in_{partitions}.root", ["i", "x"])
    names = sorted(name for name in os.listdir() if name.startswith(f"in_{partitions}_"))
    return {"parts": len(names), "i": sorted(int(i) for i in ROOT.RDataFrame("kept", names).AsNumpy(["i"])["i"])}


def friends(original: Original, partitions: int, main: list[str], others: list[str]) -> dict[str, Any]:
    """Friends whose files end elsewhere: what they say of each entry, and their sums."""
    tree, friend = chain("events", main), chain("friends", others)
    tree.AddFriend(friend)
    df = original.frame(partitions, tree)
    drawn = df.Histo2D(("f", "f", 40, 0.0, 400.0, 40, 0.0, 400.0), "i", "fi")
    if OLDEST:
        return {"Histo2D": histogram(drawn)}
    total, aligned = df.Sum("fx"), df.Filter("fi == i").Count()
    return {"aligned": aligned.GetValue(), "Sum": total.GetValue(), "Histo2D": histogram(drawn)}


def set_offset(value: int, record: str) -> None:
    """What the program gives to ``initialize``: leaves a line, so that its calls can be counted."""
    ROOT.original.offset = value
    with open(record, "a") as stream:
        stream.write(f"{os.getpid()}\n")


def user_code(original: Original, main: list[str]) -> dict[str, Any]:
    """A header and ``initialize``, over more ranges than there are processes."""
    Path("original.h").write_text(HEADER)
    df = original.frame(5, "events", main)
    (PyRDF.include_headers if hasattr(PyRDF, "include_headers") else original.backend.distribute_headers)("original.h")
    PyRDF.initialize(set_offset, 1000, os.path.abspath("record"))
    total = df.Define("s", "original::shifted(i)").Sum("s").GetValue()
    calls = Counter(Path("record").read_text().split())
    with contextlib.suppress(KeyError):
        del calls[str(os.getpid())]  # here, where initialize calls it too
    return {"Sum": total, "processes": len(calls), "calls of one": max(calls.values())}


def refused(function: Callable[[], Any]) -> str:
    """The error of what must not run."""
    try:
        return f"ran: {function()}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def refusals(original: Original, main: list[str], others: list[str], empty: list[str]) -> dict[str, str]:
    """What the original loses on the way to its ranges."""
    aliased, indexed, listed = chain("events", main), chain("events", main), chain("events", main)
    friend, plain_friend = chain("friends", others), chain("friends", others)
    aliased.AddFriend(plain_friend, "fr")
    friend.LoadTree(0)
    friend.BuildIndex("fi")
    indexed.AddFriend(friend)
    entries = ROOT.TEntryList("list", "list")
    ROOT.SetOwnership(entries, False)
    listed.SetEntryList(entries)
    cases = {
        "alias": aliased,
        "index": indexed,
        "entry list": listed,
        "empty": chain("events", empty),
        "repeated": chain("events", [main[0], main[0]]),
    }
    return {name: refused(lambda tree=tree: original.frame(1, tree).Count().GetValue()) for name, tree in cases.items()}


def main() -> None:
    """Run all cases over the datasets of the folder that is the first argument."""
    folder, config = sys.argv[1:]
    files = sorted(str(path) for path in Path(folder).glob("main_*.root"))
    others = sorted(str(path) for path in Path(folder).glob("friend_*.root"))
    empty = sorted(str(path) for path in Path(folder).glob("empty_*.root"))
    ROOT.TH1.AddDirectory(False)
    with lithops.FunctionExecutor(config_file=config) as executor:
        original = Original(executor)
        results: dict[str, Any] = {}
        for partitions in (1, 3, 5):
            results[f"actions {partitions}"] = actions(original, partitions, files)
            if OLDEST:
                continue
            results[f"snapshot {partitions}"] = snapshot(original, partitions, files)
            results[f"friends {partitions}"] = friends(original, partitions, files, others)
        numbered = original.frame(3, 100).Define("e", "double(rdfentry_)").Histo1D(("e", "e", 10, 0.0, 100.0), "e")
        results["entries"] = histogram(numbered)
        if OLDEST:
            results["friends"] = refused(lambda: friends(original, 3, files, others))
        else:
            results["refusals"] = refusals(original, files, others, empty)
            results["user code"] = user_code(original, files)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
