"""A Snapshot's parts on a worker: ROOT writes them to a private folder, they are put where the user wants them, whole.

The graph that travels names a placeholder, so that a graph compiled for one destination serves another. A part's name
depends on the run and the range alone: whoever runs the range again writes the same file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from . import stores

__all__ = ["FOLDER", "Output", "clear", "merge", "part_url", "placeholder", "publish", "redirected"]

FOLDER = "output"  # of the ROOT process, below its meeting folder
_PLACEHOLDER = "/rdf_lithops/output/"
Output = dict[str, Any]  # plain: "folder" (a URL or path with its slash), "stem", "run", "ending" (of the parts' names)


def placeholder(index: int) -> str:
    """Return what Snapshot ``index`` of a graph is told to write, until a worker says where."""
    return f"{_PLACEHOLDER}{index}/part.root"


def part_url(output: Output, range_id: int, half: Sequence[int] = ()) -> str:  # decision 36
    """Return where the part of that range goes, or of that ``half`` of a range that was halved.

    Names of a run sort in the order of its ranges.
    """
    end = "".join(f"_{side}" for side in half) + ".root" + output.get("ending", "")
    return f"{output['folder']}{output['stem']}_{output['run']}_{range_id:05d}{end}"


def redirected(nodes: dict[int, Any], folder: str) -> None:
    """Have the Snapshots of a graph that has just arrived write below the private ``folder``."""
    for node in nodes.values():
        arguments = list(getattr(node.operation, "args", ()))
        if getattr(node.operation, "name", "") == "Snapshot" and str(arguments[1]).startswith(_PLACEHOLDER):
            path = os.path.join(folder, str(arguments[1]).removeprefix(_PLACEHOLDER))
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            node.operation.args[1] = path


def publish(result: Any, outputs: tuple[Output, ...], folder: str, fields: dict[str, Any]) -> None:
    """Put the parts that range ``fields`` has written where they belong, and name them so in its ``result`` (a TaskResult).

    The local files are removed, also when that fails. Raises stores.StoreFailure.
    """
    written = [item for item in getattr(result, "mergeables", None) or () if hasattr(item, "filenames")]
    ours = [item for item in written if item.filenames[0].startswith(folder + os.sep)]
    try:
        for item in ours:
            index = int(os.path.basename(os.path.dirname(item.filenames[0])))
            url = part_url(outputs[index], fields["id"], fields.get("half", ()))
            stores.put(item.filenames[0], url, replace=False)
            item.local, item.filenames = item.filenames[0], [url]
    finally:
        for item in ours:
            _unlink(item.__dict__.pop("local", item.filenames[0]))


def merge(sources: list[str], target: str, folder: str) -> None:
    """Make one file of several, in their order, and put it where ``target`` says. Needs ROOT; raises stores.StoreFailure."""
    import ROOT

    os.makedirs(folder, mode=0o700, exist_ok=True)
    copies = [os.path.join(folder, f"part_{number}.root") for number in range(len(sources))]
    whole = os.path.join(folder, "merged.root")
    for source, copy in zip(sources, copies, strict=True):
        stores.fetch(source, copy)
    entries = {copy: _entries(copy) for copy in copies}
    copies = [copy for copy in copies if entries[copy]] or copies[:1]  # decision 415
    if len(copies) == 1:
        stores.put(copies[0], target, replace=False)
        return
    merger = ROOT.TFileMerger(False)
    merger.SetPrintLevel(0)
    with ROOT.TFile.Open(copies[0]) as first:
        compression = first.GetCompressionSettings()
    if not merger.OutputFile(whole, "RECREATE", compression) or not all(merger.AddFile(copy, False) for copy in copies):
        raise stores.StoreFailure(
            f"cannot merge into {target}", "ROOT cannot read its parts; the log's tail says why", False
        )
    found, expected = _entries(whole) if merger.Merge() else 0, sum(entries.values())
    if found != expected:
        what = f"ROOT's merging gave {found} of {expected} entries; the log's tail says why"
        raise stores.StoreFailure(f"cannot merge into {target}", what, False)
    stores.put(whole, target, replace=False)


def _entries(path: str) -> int:
    """Entries of the first tree or RNTuple in a file, in which a Snapshot has written no other."""
    import ROOT

    with ROOT.TFile.Open(path) as file:
        return _entries_in(file) or 0


def _entries_in(folder: Any) -> int | None:
    import ROOT

    for key in folder.GetListOfKeys():
        kind, found = str(key.GetClassName()), folder.Get(str(key.GetName()))
        if kind == "ROOT::RNTuple":
            return int(ROOT.RNTupleReader.Open(found).GetNEntries())
        if isinstance(found, ROOT.TTree):
            return int(found.GetEntries())
        if isinstance(found, ROOT.TDirectory) and (below := _entries_in(found)) is not None:
            return below
    return None


def clear(folder: str) -> None:
    """Remove what an event loop that failed has written below ``folder``; the folders stay."""
    for place, _, names in os.walk(folder):
        for name in names:
            _unlink(os.path.join(place, name))


def _unlink(path: str) -> None:
    if os.path.exists(path):
        os.unlink(path)
