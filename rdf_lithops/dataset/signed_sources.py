"""Secrets in URLs, on the driver: which URL a name stands for, and ROOT's own descriptions of data with names for URLs.

What a user gives is named at the door. The URLs that names stand for are kept here, in this process, and given to ROOT, to
the reader, and, sealed, to workers.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from ..files.secret_urls import is_signed, name_of

# isort: split
import ROOT

__all__ = ["named", "named_arguments", "named_fields", "of"]

MAX_KEPT = 20_000

_kept: OrderedDict[str, str] = OrderedDict()  # by the name that stands for it: the newest URL of this program
_lock = threading.Lock()


def named(url: str) -> str:
    """Return the name by which ROOT, ranges and messages know ``url``: itself, or, if it holds a secret, a name; the URL is
    kept."""
    name = name_of(url) if "://" in url else url
    if name != url:
        with _lock:
            _kept[name] = url
            _kept.move_to_end(name)
            while len(_kept) > MAX_KEPT:
                _kept.popitem(last=False)
    return name


def of(names: Iterable[str]) -> dict[str, str]:
    """Return, by name, the URLs that ``names`` stand for; names that stand for themselves are left out."""
    with _lock:
        return {name: _kept[name] for name in names if name in _kept}


def named_arguments(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a constructor's arguments with names in the place of URLs in a chain, a tree, a folder or a specification."""
    if not args:
        return args
    if isinstance(args[0], ROOT.RDF.Experimental.RDatasetSpec):
        return _named_specification(args[0]), *args[1:]
    if isinstance(args[0], ROOT.TTree):
        return _named_tree(args[0]), *args[1:]
    if len(args) > 1 and isinstance(args[1], ROOT.TDirectory) and is_signed(_file_of(args[1])):
        tree = args[1].Get(str(args[0]))
        if isinstance(tree, ROOT.TTree):
            return _named_tree(tree), *args[2:]
        return args[0], named(_file_of(args[1])), *args[2:]
    return args


def _file_of(folder: Any) -> str:
    return str(folder.GetFile().GetName()) if folder.GetFile() else ""


def _named_specification(given: Any) -> Any:
    friends = given.GetFriendInfo()
    names = [*given.GetFileNameGlobs(), *(name for chain in friends.fFriendFileNames for name in chain)]
    if not any(is_signed(str(name)) for name in names):
        return given
    made, text = ROOT.RDF.Experimental.RDatasetSpec(), ROOT.std.vector["std::string"]
    for sample in ROOT.Internal.RDF.MoveOutSamples(ROOT.RDF.Experimental.RDatasetSpec(given)):
        # its constructor has put another ? behind a query
        files = text([named(str(name).removesuffix("?")) for name in sample.GetFileNameGlobs()])
        what = sample.GetSampleName(), sample.GetTreeNames(), files, sample.GetMetaData()
        made.AddSample(ROOT.RDF.Experimental.RSample(*what))
    for (name, alias), chain, trees in _friends(friends):
        made.WithGlobalFriends(text(trees or [name] * len(chain)), text(chain), alias)
    made.WithGlobalRange((given.GetEntryRangeBegin(), given.GetEntryRangeEnd()))
    return made


def _named_tree(given: Any) -> Any:
    """Return a chain of the same files, trees and friends, known by names; ``given`` itself where it holds no secret.

    With an index it stays what it is, as DistRDF refuses that.
    """
    trees = ROOT.Internal.TreeUtils
    names, friends = trees.GetFileNamesFromTree(given), trees.GetFriendInfo(given)
    all_names = [*names, *(name for files in friends.fFriendFileNames for name in files)]
    if not any(is_signed(str(name)) for name in all_names) or trees.TreeUsesIndexedFriends(given)[0]:
        return given
    chain = _chain(given.GetName(), map(str, names), map(str, trees.GetTreeFullPaths(given)))
    chain.rdf_lithops_friends = []  # ROOT keeps references to them, and not them
    for (name, alias), files, subtrees in _friends(friends):
        friend = _chain(name, files, subtrees or [name] * len(files))
        chain.rdf_lithops_friends.append(friend)
        chain.AddFriend(friend, alias)
    if given.GetEntryList():
        chain.SetEntryList(given.GetEntryList())
    return chain


def _chain(name: str, files: Iterable[str], trees: Iterable[str]) -> Any:
    chain = ROOT.TChain(name)
    for file, tree in zip(files, trees, strict=True):
        chain.AddFile(named(file), ROOT.TTree.kMaxEntries, tree)
    return chain


def _friends(info: Any) -> list[tuple[tuple[str, str], list[str], list[str]]]:
    """Return, of each friend, its name and alias, its files by name, and the tree in each file, where they have names of
    their own."""
    listed = zip(info.fFriendNames, info.fFriendFileNames, info.fFriendChainSubNames, strict=True)
    return [
        ((str(names.first), str(names.second)), [named(str(file)) for file in files], [str(tree) for tree in trees])
        for names, files, trees in listed
    ]


def named_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a range, or what ranges share, as it travels: with names in it, and no URLs with secrets, whoever made it."""
    changed = dict(fields)
    if fields.get("files"):
        changed["files"] = [named(name) for name in fields["files"]]
    if fields.get("friends"):
        chains = [[named(name) for name in files] for files in fields["friends"]["files"]]
        changed["friends"] = {**fields["friends"], "files": chains}
    return changed
