"""Small datasets on disk, with what makes cutting one into ranges hard: files of different sizes, several clusters in a
file, a branch that one file does not have, friends whose files end elsewhere."""

from __future__ import annotations

import array
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ROOT

MAIN_ENTRIES = {"main_a.root": 120, "main_b.root": 50, "main_c.root": 230}
FRIEND_ENTRIES = {"friend_a.root": 200, "friend_b.root": 199, "friend_c.root": 1}
CLUSTER_ENTRIES = 25
ENTRIES = sum(MAIN_ENTRIES.values())


@dataclass(frozen=True)
class Datasets:
    """The files of one folder; names are absolute paths.

    ``main``: tree "events" of 120, 50 and 230 entries in clusters of 25; the branch ``maybe`` is absent in the second
    file. ``friends``: tree "friends" of the same 400 entries in files of 200, 199 and 1. ``spec``: an RDatasetSpec with
    two samples and their metadata, ``spec_with_friends`` the same with the friends. ``rntuple``: the first and the last
    of ``main`` as RNTuples. ``empty``: two files whose tree "events" has branches and no entries.
    """

    folder: Path
    main: list[str]
    friends: list[str]
    rntuple: list[str]
    empty: list[str]
    spec: str
    spec_with_friends: str
    glob: str


def write_main_file(path: Path, first: int, entries: int, *, with_maybe: bool = True, tree_name: str = "events") -> str:
    """A file of ``entries`` entries whose content depends on the entry number alone, counted from ``first``."""
    output = ROOT.TFile(str(path), "RECREATE")
    tree = ROOT.TTree(tree_name, tree_name)
    tree.SetAutoFlush(CLUSTER_ENTRIES)
    scalars = {
        name: (array.array(code, [0]), f"{name}/{leaf}")
        for name, code, leaf in (
            ("i", "i", "I"),
            ("n", "i", "I"),
            ("x", "d", "D"),
            ("z", "d", "D"),
            ("y", "f", "F"),
            ("w", "f", "F"),
            *([("maybe", "i", "I")] if with_maybe else []),
        )
    }
    for name, (store, leaf) in scalars.items():
        tree.Branch(name, store, leaf)
    v = ROOT.std.vector("float")()
    tree.Branch("v", v)
    for number in range(first, first + entries):
        values = {
            "i": number,
            "n": number % 4,
            "x": 0.1 + (number * 37 % 101) * 0.0999,
            "z": 1.0 + (number * 53 % 89) * 0.1,
            "y": 0.3 + (number * 71 % 97) * 0.1,
            "w": 0.5 + (number % 13) * 0.1,
            "maybe": number % 17,
        }
        for name, (store, _) in scalars.items():
            store[0] = values[name]
        v.clear()
        for j in range(values["n"]):
            v.push_back(0.7 * j + (number * 29 % 83) * 0.1)
        tree.Fill()
    tree.Write()
    output.Close()
    return str(path)


def write_friend_file(path: Path, first: int, entries: int) -> str:
    """A file with the tree "friends": ``fi`` is the entry number, ``fx`` a float."""
    output = ROOT.TFile(str(path), "RECREATE")
    tree = ROOT.TTree("friends", "friends")
    tree.SetAutoFlush(CLUSTER_ENTRIES + 5)
    fi, fx = array.array("i", [0]), array.array("d", [0])
    tree.Branch("fi", fi, "fi/I")
    tree.Branch("fx", fx, "fx/D")
    for number in range(first, first + entries):
        fi[0], fx[0] = number, 0.2 + (number * 41 % 103) * 0.1
        tree.Fill()
    tree.Write()
    output.Close()
    return str(path)


def write_rntuple(path: Path, source: str) -> str:
    """The tree "events" of the file ``source`` as an RNTuple of the same name."""
    options = ROOT.RDF.RSnapshotOptions()
    options.fOutputFormat = ROOT.RDF.ESnapshotOutputFormat.kRNTuple
    options.fApproxZippedClusterSize = 1000  # bytes: several clusters
    options.fMaxUnzippedClusterSize = 2000
    options.fInitialUnzippedPageSize = 16
    options.fMaxUnzippedPageSize = 64
    ROOT.RDataFrame("events", source).Snapshot("events", str(path), ["i", "n", "x", "z", "y", "w", "maybe", "v"], options)
    return str(path)


def _write_spec(path: Path, main: Sequence[str], friends: Sequence[str]) -> str:
    spec = {
        "samples": {
            "signal": {
                "trees": ["events"],
                "files": [main[0], main[1]],
                "metadata": {"xsec": 2.5, "year": 2016, "kind": "sig"},
            },
            "background": {"trees": ["events"], "files": [main[2]], "metadata": {"xsec": 0.75, "year": 2017, "kind": "bkg"}},
        }
    }
    if friends:
        spec["friends"] = {"fr": {"trees": ["friends"], "files": list(friends)}}  # type: ignore[dict-item]
    path.write_text(json.dumps(spec))
    return str(path)


def generate(folder: Path) -> Datasets:
    """Write all datasets into ``folder``."""
    main, friends = [], []
    first = 0
    for name, entries in MAIN_ENTRIES.items():
        main.append(write_main_file(folder / name, first, entries, with_maybe=name != "main_b.root"))
        first += entries
    first = 0
    for name, entries in FRIEND_ENTRIES.items():
        friends.append(write_friend_file(folder / name, first, entries))
        first += entries
    return Datasets(
        folder=folder,
        main=main,
        friends=friends,
        rntuple=[write_rntuple(folder / f"ntuple_{i}.root", main[i]) for i in (0, 2)],
        empty=[write_main_file(folder / f"empty_{i}.root", 0, 0) for i in (0, 1)],
        spec=_write_spec(folder / "spec.json", main, []),
        spec_with_friends=_write_spec(folder / "spec_with_friends.json", main, friends),
        glob=str(folder / "main_*.root"),
    )
