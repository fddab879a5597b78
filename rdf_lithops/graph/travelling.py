"""What of a run travels to workers, as workers get it: DistRDF's graph with our runner in it, and ranges as plain values."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..dataset import ranges_by_load
from ..dataset import snapshots as output
from ..dataset.signed_sources import named_fields
from ..errors import DataAccessError, PlanError
from ..files.fingerprints import fingerprints
from ..frame import opening
from ..frame import ranges as adapter
from ..frame.schema import look
from ..worker.root import graphs
from . import in_memory, selecting
from .python_functions import with_bare_functions
from .reference import add_reference
from .rewriting import made_node, with_default_columns, with_global_entry_numbers

# isort: split
from ROOT._distrdf import ComputationGraphGenerator

__all__ = ["Graph", "Travelling", "check_entries", "digest_of", "fields_of", "graph_to_travel", "travelling_of"]


@dataclass(frozen=True)
class Graph:
    """A graph as workers get it: our runner in the mapper, placeholders for what Snapshots write.

    ``nodes`` are those of DistRDF, none of a mapper of another make; ``counts_entries``: it uses ``rdfentry_``;
    ``selected``: which entries it is to read, None for all; ``tells_samples``: it uses ``rdfsampleinfo_``.
    """

    mapper: Any
    nodes: list[Any] = field(default_factory=list)
    counts_entries: bool = False
    destinations: list[output.Destination] = field(default_factory=list)
    has_arrays: bool = False
    selected: selecting.Selection | None = None
    tells_samples: bool = False


@dataclass(frozen=True)
class Travelling:
    """A graph and its ranges as workers get them: ``loads`` are the seconds of each range, if its files were surveyed,
    ``versions`` of files those for which the ranges were made, and ``entries`` those that files were counted with, by file
    and tree as DistRDF spells them."""

    graph: Graph
    loads: list[float] | None
    versions: dict[str, str]
    entries: dict[str, int]
    plain_ranges: list[dict[str, Any]]
    dataset: dict[str, Any]


def travelling_of(ranges: list[Any], graph: Graph, pinned: ranges_by_load.Pinned) -> Travelling:
    """What of DistRDF's ``ranges`` travels with ``graph``; ``pinned`` as for ``ranges_by_load.cut_by_load``."""
    plain_ranges, dataset = fields_of(ranges, graph)
    versions = {name: seen for item in ranges for name, seen in getattr(item, "versions", {}).items()}
    names = adapter.files_of(plain_ranges, dataset)
    versions.update(fingerprints(sorted(names - versions.keys())))
    entries: dict[str, int] = {}
    if graph.counts_entries:
        with pinned(sorted(names - versions.keys())) as newest:
            entries = _add_first_entries(plain_ranges, ranges)
        versions.update(newest)
        _check_entry_range(graph, entries)
    _add_fingerprints(plain_ranges, dataset, versions)
    loads = [item.piece.load for item in ranges if isinstance(item, ranges_by_load.CutRange)] or None
    if loads is not None:
        _add_expectations(plain_ranges, ranges)
    return Travelling(graph, loads, versions, entries, plain_ranges, dataset)


def fields_of(ranges: list[Any], graph: Graph) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """DistRDF's ranges as they travel, and what they share."""
    plain_ranges, dataset = adapter.to_fields(ranges)
    if graph.nodes and ranges_by_load.reads_files(graph.nodes[0]):
        add_reference(graph.nodes[0], dataset)
    if graph.nodes and getattr(graph.nodes[0], "rdf_lithops_has_masks", False):
        dataset["has_masks"] = True
    if graph.nodes and getattr(graph.nodes[0], "rdf_lithops_friend_indices", None) is not None:
        dataset["friend_indices"] = graph.nodes[0].rdf_lithops_friend_indices
    if graph.selected is not None:
        dataset["selection"], dataset["entry_range"] = graph.selected.packed, graph.selected.entry_range
    if graph.tells_samples:
        ends = [fields["end"] for fields in plain_ranges if fields["kind"] == "entries"]
        dataset["tells_samples"], dataset["entries"] = True, max(ends, default=0)
    if any(_is_rntuple(item) for item in ranges):
        for fields in plain_ranges:
            fields["rntuple"] = True
    return [named_fields(fields) for fields in plain_ranges], named_fields(dataset)


def graph_to_travel(mapper: Any) -> Graph:
    """What of the graph depends on neither ranges nor files: it is the same before they are cut and after."""
    nodes, parts = _take_apart(mapper)
    if nodes is None:
        return Graph(mapper)
    given = list(nodes.values())
    selected = getattr(given[0], "rdf_lithops_selection", None)
    kinds = {getattr(node.operation, "name", "") for node in given}
    nodes, counts_entries = with_global_entry_numbers(with_default_columns(with_bare_functions(nodes)))
    nodes, tells_samples = in_memory.with_columns(nodes), False
    if "DefinePerSample" in kinds:
        nodes, tells_samples = selecting.with_local_samples(nodes)
    if selected is not None:
        nodes, counts_entries = selecting.with_selection(nodes, selected), True
    if tells_samples and selected is not None and selected.entry_range is None:
        raise PlanError("DefinePerSample cannot follow a TEntryList: ROOT tells it of the first file alone; filter instead")
    destinations: list[output.Destination] = []
    if "Snapshot" in kinds:
        snapshots, destinations = output.planned(nodes)
        nodes |= {node_id: made_node(operation, nodes[node_id].parent_id) for node_id, operation in snapshots.items()}
    travels = _put_together(mapper, nodes, parts)
    return Graph(travels, given, counts_entries, destinations, "AsNumpy" in kinds, selected, tells_samples)


def _take_apart(mapper: Any) -> tuple[dict[int, Any] | None, dict[str, Any]]:
    """The graph's nodes and the other parts of DistRDF's mapper; (None, {}) for a mapper of another make."""
    keywords = getattr(mapper, "keywords", {})
    generator: Any = keywords.get("computation_graph_callable")
    if getattr(generator, "func", None) is not ComputationGraphGenerator.trigger_computation_graph:
        return None, {}
    return generator.args[0], keywords


def _put_together(mapper: Any, nodes: dict[int, Any], parts: dict[str, Any]) -> Any:
    """The mapper that travels: ours runs the graph (timed, compiled once), the payload has run the user's set-up."""
    build = parts["build_rdf_from_range"]
    source = opening.SOURCES.get(build.__qualname__.partition(".")[0])
    return functools.partial(
        mapper.func,
        build_rdf_from_range=build if source is None else functools.partial(opening.data_frame, source),
        computation_graph_callable=functools.partial(graphs.graph_runner, nodes),
        initialization_fn=graphs.no_initialisation,
        code_to_declare="",
    )


def digest_of(graph: bytes, plain_ranges: list[dict[str, Any]], dataset: dict[str, Any], versions: dict[str, str]) -> str:
    """Names a compiled graph: its pickle, and all that it was compiled and will be asked for. Of a simple dataset that is
    the types of the columns that it reads, whatever the files, so that one analysis of many samples is one graph; else the
    trees and files that it reads and its friends', in their order and as they are now, and the samples with their metadata.

    How all this is cut into ranges does not matter, nor does what the ROOT process is bound to anyway: the user's code
    (``payload``) and the variables with which it was started.
    """
    described = _simple_shape(plain_ranges, dataset)
    if described is None:
        known = {**fingerprints(sorted(adapter.files_of(plain_ranges, dataset) - versions.keys())), **versions}
        described = {
            "kinds": sorted({f"{fields['kind']}:{fields.get('rntuple', False)}" for fields in plain_ranges}),
            "files": _in_order([dataset, *plain_ranges], known),
            "friends": _friends_in_order([dataset, *plain_ranges], known),
            "shared": {name: value for name, value in dataset.items() if name not in ("files", "trees", "friends", "seen")},
        }
    return hashlib.sha256(graph + json.dumps(described, sort_keys=True).encode()).hexdigest()


def _simple_shape(plain_ranges: list[dict[str, Any]], dataset: dict[str, Any]) -> dict[str, Any] | None:
    """What a compiled graph needs to know of entries without files, or of trees that have neither friends nor samples, nor
    anything else that ROOT would bind to it; None for other datasets."""
    kinds = {fields["kind"] for fields in plain_ranges}
    bound = ("selection", "has_masks", "friends", "samples", "entry_range")
    if any(dataset.get(name) for name in bound) or any(
        fields.get("friends") or fields.get("rntuple") for fields in plain_ranges
    ):
        return None
    if kinds == {"entries"}:
        return {"kinds": "entries", "tells_samples": dataset.get("tells_samples", False)}
    reference = dataset.get("reference")
    if kinds != {"files"} or not reference or reference["is_odd"] or not reference["entries"]:
        return None
    told = {name: reference[name] for name in ("types", "columns")}
    return {"kinds": "files", **told, "tells_samples": dataset.get("tells_samples", False)}


def _in_order(holders: Sequence[dict[str, Any]], known: dict[str, str]) -> list[tuple[str, str, str | None]]:
    """File, tree and version of all that ``holders`` name, each once."""
    pairs = [
        pair
        for holder in holders
        for pair in itertools.zip_longest(holder.get("files") or (), holder.get("trees") or (), fillvalue="")
    ]
    return [(name, tree, known.get(name)) for name, tree in dict.fromkeys(pairs)]


def _friends_in_order(holders: Sequence[dict[str, Any]], known: dict[str, str]) -> list[tuple[list[str], Any]]:
    """Of each friend its name and alias, and what ``holders`` have of it."""
    held = [holder["friends"] for holder in holders if holder.get("friends")]
    return [
        (names, _in_order([_one_friend(friends, index) for friends in held], known))
        for index, names in enumerate(held[0]["names"] if held else ())
    ]


def _one_friend(friends: dict[str, Any], index: int) -> dict[str, Any]:
    return {"files": friends["files"][index], "trees": friends["trees"][index] if friends.get("trees") else ()}


def _is_rntuple(item: Any) -> bool:
    exec_id = getattr(item, "exec_id", None)  # PyRDF's ranges have none
    return getattr(exec_id, "rdf_uuid", None) == "RNTuple"


def _add_expectations(plain_ranges: list[dict[str, Any]], ranges: list[Any]) -> None:
    """Tell each range of a surveyed dataset how many entries, clusters and compressed bytes of what it reads it has."""
    for fields, item in zip(plain_ranges, ranges, strict=True):
        if isinstance(item, ranges_by_load.CutRange):
            piece = item.piece
            fields["entries"], fields["read_bytes"], fields["clusters"] = piece.entries, piece.read_bytes, piece.clusters


def _add_fingerprints(plain_ranges: list[dict[str, Any]], dataset: dict[str, Any], versions: dict[str, str]) -> None:
    """Tell each range what its local files held when it was made; what all ranges share is told once."""
    for holder in (dataset, *plain_ranges):
        names = adapter.files_of([], holder)
        holder["seen"] = {name: versions[name] for name in sorted(names) if name in versions and "://" not in name}


def _add_first_entries(plain_ranges: list[dict[str, Any]], ranges: list[Any]) -> dict[str, int]:
    """Tell each range the entry number, in the dataset, of its first file's first entry, and return the entries of what was
    counted for it, as DistRDF tells them. Opens every file once."""
    counted: dict[tuple[str, str], int] = {}
    before = 0
    for fields, item in zip(plain_ranges, ranges, strict=True):
        fields["first_entry"] = 0
        if isinstance(item, ranges_by_load.CutRange) and fields["files"] is not None:
            fields["first_entry"] = item.first_entry
            counted.update(zip(zip(fields["files"], fields["trees"], strict=True), item.file_entries, strict=True))
            continue
        if fields["kind"] != "files" or fields["files"] is None:
            continue  # empty sources and chains with friends count globally by themselves
        fields["first_entry"] = before = getattr(item, "entries_before", before)
        finished = fields["files"] if fields["end_fraction"] == 1 else fields["files"][:-1]
        for name, tree in zip(finished, fields["trees"], strict=False):
            if (name, tree) not in counted:
                counted[name, tree] = look(name, tree, (), _is_rntuple(item)).entries  # DistRDF's aborts in empty RNTuples
            before += counted[name, tree]
    return {f"{name}/{tree}": entries for (name, tree), entries in counted.items()}


def _check_entry_range(graph: Graph, counted: dict[str, int]) -> None:
    """Raise PlanError for a specification's range that begins behind the last entry, as local ROOT does."""
    head, selected = graph.nodes[0], graph.selected
    names = [f"{name}/{tree}" for name, tree in zip(head.inputfiles, head.subtreenames, strict=True)] if selected else []
    if selected and selected.entry_range and all(name in counted for name in names):
        total, (begin, end) = sum(counted[name] for name in names), selected.entry_range
        if total <= begin < end:
            raise PlanError(
                f"expected a global range that begins within the dataset's {total} entries, got one from {begin}"
            )


def check_entries(expected: dict[str, int], result: Any) -> None:
    """Raise DataAccessError for a file that had other entries when it was read than when entry numbers were given out."""
    found = getattr(getattr(result, "entries_in_trees", None), "trees_with_entries", {})
    for name, entries in expected.items():
        if name in found and int(found[name]) != entries:
            why = f"it was replaced: its entries were numbered when it had {entries}, and read when it had {found[name]}"
            failed = {"kind": "changed", "url": name.rpartition("/")[0], "why": why, "next_command": "run the query again"}
            raise DataAccessError.of(failed)
