"""Datasets as values: what ``write`` makes of one are the arguments of ``ROOT.RDataFrame``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import ROOT

from .columns import NTUPLE_KINDS, Column, TreeColumn


@dataclass(frozen=True)
class File:
    """One file of a dataset: its entries, how many of them a cluster has, and the columns that are in it."""

    entries: int
    cluster: int
    columns: tuple[Column, ...]
    tree: str = "t"  # may lie in a folder: "d/t"
    others: tuple[str, ...] = ()  # trees of other names beside it


@dataclass(frozen=True)
class Source:
    """A dataset: ``kind`` is "entries" (without files), "tree", "chain", "spec", "ntuple" or "glob"; ``friends`` are files
    of one column each, as long as the dataset or not."""

    kind: str
    files: tuple[File, ...] = ()
    entries: int = 0
    friends: tuple[File, ...] = ()
    selected: tuple[int, int] | None = None  # WithGlobalRange of a specification

    @property
    def columns(self) -> tuple[Column, ...]:
        """Those of the first file, by which users know the dataset."""
        return self.files[0].columns if self.files else ()

    @property
    def total(self) -> int:
        """Entries in all."""
        return self.entries if self.kind == "entries" else sum(file.entries for file in self.files)


def write(source: Source, folder: str, shift: int = 0) -> None:
    """Write the files of a dataset into ``folder``; with another ``shift`` they hold other values."""
    first = shift
    for number, file in enumerate(source.files):
        path = os.path.join(folder, f"f{number}.root")
        (_write_ntuple if source.kind == "ntuple" else _write_tree)(path, file, first)
        first += file.entries
    first = shift
    for number, file in enumerate(source.friends):
        _write_tree(os.path.join(folder, f"friend{number}.root"), file, first)
        first += file.entries


def _write_tree(path: str, file: File, first: int) -> None:
    with ROOT.TFile(path, "RECREATE") as written:
        for name in (file.tree, *file.others):
            _fill_tree(written, name, file, first if name == file.tree else first + 5)


def _fill_tree(written: Any, name: str, file: File, first: int) -> None:
    folder, _, last = name.rpartition("/")
    place = written if not folder else (written.Get(folder) or written.mkdir(folder))
    place.cd()
    tree = ROOT.TTree(last, "")
    tree.SetAutoFlush(max(1, file.cluster))
    branches = [TreeColumn(tree, column) for column in file.columns]
    for entry in range(first, first + file.entries):
        for branch in branches:
            branch.set(entry)
        tree.Fill()
    tree.Write()


def _write_ntuple(path: str, file: File, first: int) -> None:
    model = ROOT.RNTupleModel.Create()
    for column in file.columns:
        model.MakeField[NTUPLE_KINDS[column.kind]](column.name)
    with ROOT.RNTupleWriter.Recreate(model, file.tree, path) as writer:
        entry = writer.CreateEntry()
        for number in range(first, first + file.entries):
            for column in file.columns:
                entry[column.name] = _ntuple_value(column, number)
            writer.Fill(entry)
            if (number - first) % max(1, file.cluster) == file.cluster - 1:
                writer.CommitCluster()


def _ntuple_value(column: Column, entry: int) -> Any:
    number, length = column.number(entry), column.length(entry)
    if column.kind == "string":
        return "x" * int(4 * number)
    if column.kind == "vector<float>":
        return ROOT.std.vector["float"]([number + index for index in range(length)])
    if column.kind == "vector<int>":
        return ROOT.std.vector["std::int32_t"]([int(number) + index for index in range(length)])
    if column.kind == "bool":
        return bool(number)
    return number if column.kind in ("float", "double") else int(number)


def arguments(source: Source, folder: str) -> tuple[Any, ...]:
    """What ``ROOT.RDataFrame`` takes for the dataset in ``folder``."""
    paths = [os.path.join(folder, f"f{number}.root") for number in range(len(source.files))]
    if source.kind == "entries":
        return (source.entries,)
    tree = source.files[0].tree
    if source.kind == "spec":
        return (_specification(source, paths, folder),)
    if source.kind == "chain":
        chain = ROOT.TChain(tree)
        for path in paths:
            chain.Add(path)
        if source.friends:
            friend = ROOT.TChain("fr")
            for number in range(len(source.friends)):
                friend.Add(os.path.join(folder, f"friend{number}.root"))
            chain.AddFriend(friend)
            chain.kept = friend  # Python would let it go
        return (chain,)
    if source.kind == "glob":
        return tree, os.path.join(folder, "f*.root")
    return tree, paths if len(paths) > 1 else paths[0]


def _specification(source: Source, paths: list[str], folder: str) -> Any:
    spec = ROOT.RDF.Experimental.RDatasetSpec()
    for number, (path, file) in enumerate(zip(paths, source.files, strict=True)):
        meta = ROOT.RDF.Experimental.RMetaData()
        meta.Add("weight", 0.5 * (number + 1))
        spec.AddSample((f"sample{number}", file.tree, path, meta))
    if source.friends:
        names = [os.path.join(folder, f"friend{number}.root") for number in range(len(source.friends))]
        spec.WithGlobalFriends("fr", names)
    if source.selected:
        spec.WithGlobalRange(source.selected)
    return spec
