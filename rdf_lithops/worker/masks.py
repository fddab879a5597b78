"""Trees with variations in them, as a Snapshot with ``fIncludeVariations`` writes them: which values are valid is a mask.

ROOT finds the masks of a tree under the tree's name, and DistRDF reads trees by a specification without a name: columns that
an event has not selected would be read as if it had. So such trees are read by a chain of their own name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["are_in", "frame_of"]

_MASK = "R_rdf_mask_"
_chains: list[Any] = []  # of the frame that was made last: ROOT's frames do not own them


def are_in(columns: Iterable[str]) -> bool:
    """Whether a tree of these columns has masks."""
    return any(str(name).startswith(_MASK) for name in columns)


def frame_of(current_range: Any) -> Any:
    """What DistRDF's ``build_rdf_from_range`` makes of a range: the frame over its entries, and how many there are. It is
    made anew for each range."""
    import ROOT
    from ROOT._distrdf import Ranges
    from ROOT._distrdf.HeadNode import TaskObjects

    clustered, entries = Ranges.get_clustered_range_from_percs(current_range)
    if clustered is None:
        return TaskObjects(None, entries)
    chains = [_chain(clustered.treenames, clustered.filenames)]
    friends = clustered.friendinfo
    if friends is not None:
        for (name, alias), files, trees in zip(
            friends.fFriendNames, friends.fFriendFileNames, friends.fFriendChainSubNames, strict=True
        ):
            chains.append(_chain([*trees] or [name] * len(files), files))
            chains[0].AddFriend(chains[-1], str(alias))
    frame = ROOT.RDataFrame(chains[0])
    ROOT.Internal.RDF.ChangeBeginAndEndEntries(ROOT.RDF.AsRNode(frame), clustered.globalstart, clustered.globalend)
    _chains[:] = chains
    return TaskObjects(frame, entries)


def _chain(trees: Iterable[Any], files: Iterable[Any]) -> Any:
    import ROOT

    trees = [str(tree) for tree in trees]
    chain = ROOT.TChain(trees[0])
    for tree, file in zip(trees, files, strict=True):
        chain.AddFile(str(file), ROOT.TTree.kMaxEntries, tree)
    return chain
