"""What of a run travels to workers, as workers get it: DistRDF's graph with our runner in it, and ranges as plain values."""

from __future__ import annotations

import functools
import hashlib
import os
from dataclasses import dataclass, field
from typing import Any

from . import cutting, output
from .rewriting import made_node, with_default_columns, with_global_entry_numbers
from .signatures import named_plain
from .worker import execute
from .worker import ranges as adapter

# isort: split
from ROOT._distrdf import ComputationGraphGenerator, Ranges

__all__ = ["Graph", "Travelling", "digest_of", "graph_to_travel", "nodes_of", "plain_of", "travelling_of"]


@dataclass(frozen=True)
class Graph:
    """A graph as workers get it: our runner in the mapper, placeholders for what Snapshots write.

    ``nodes`` are those of DistRDF, none of a mapper of another make; ``counts_entries``: it uses ``rdfentry_``.
    """

    mapper: Any
    nodes: list[Any] = field(default_factory=list)
    counts_entries: bool = False
    destinations: list[output.Destination] = field(default_factory=list)
    has_arrays: bool = False


@dataclass(frozen=True)
class Travelling:
    """A graph and its ranges as workers get them: ``loads`` are the seconds of each range, if its files were surveyed, and
    ``versions`` of files those for which the ranges were made."""

    graph: Graph
    loads: list[float] | None
    versions: dict[str, str]
    plain_ranges: list[dict[str, Any]]
    dataset: dict[str, Any]


def travelling_of(ranges: list[Any], mapper: Any, merging: bool) -> Travelling:
    """What of DistRDF's ``ranges`` and ``mapper`` travels. ``merging``: parts of a Snapshot will be merged later."""
    graph = graph_to_travel(mapper, merging)
    plain_ranges, dataset = plain_of(ranges)
    if graph.counts_entries:
        _add_first_entries(plain_ranges, ranges)
    _add_expectations(plain_ranges, ranges)
    loads = [item.piece.load for item in ranges if isinstance(item, cutting.CutRange)] or None
    versions = {name: seen for item in ranges for name, seen in getattr(item, "versions", {}).items()}
    return Travelling(graph, loads, versions, plain_ranges, dataset)


def plain_of(ranges: list[Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """DistRDF's ranges as they travel, and what they share."""
    plain_ranges, dataset = adapter.to_plain(ranges)
    plain_ranges, dataset = [named_plain(plain) for plain in plain_ranges], named_plain(dataset)
    if any(_is_rntuple(item) for item in ranges):
        for plain in plain_ranges:
            plain["rntuple"] = True
    return plain_ranges, dataset


def graph_to_travel(mapper: Any, merging: bool) -> Graph:
    """What of the graph depends on neither ranges nor files: it is the same before they are cut and after."""
    nodes, parts = _take_apart(mapper)
    if nodes is None:
        return Graph(mapper)
    given = list(nodes.values())
    nodes, counts_entries = with_global_entry_numbers(with_default_columns(nodes))
    snapshots, destinations = output.planned(nodes, merging)
    moved = {node_id: made_node(operation, nodes[node_id].parent_id) for node_id, operation in snapshots.items()}
    nodes = {**nodes, **moved}
    has_arrays = any(getattr(node.operation, "name", "") == "AsNumpy" for node in nodes.values())
    return Graph(_put_together(mapper, nodes, parts), given, counts_entries, destinations, has_arrays)


def nodes_of(mapper: Any) -> list[Any]:
    """The nodes of DistRDF's graph; none of a mapper of another make."""
    return list((_take_apart(mapper)[0] or {}).values())


def _take_apart(mapper: Any) -> tuple[dict[int, Any] | None, dict[str, Any]]:
    """The graph's nodes and the other parts of DistRDF's mapper; (None, {}) for a mapper of another make."""
    keywords = getattr(mapper, "keywords", {})
    generator: Any = keywords.get("computation_graph_callable")
    if getattr(generator, "func", None) is not ComputationGraphGenerator.trigger_computation_graph:
        return None, {}
    return generator.args[0], keywords


def _put_together(mapper: Any, nodes: dict[int, Any], parts: dict[str, Any]) -> Any:
    """The mapper that travels: ours runs the graph (timed, compiled once), the payload has run the user's set-up."""
    return functools.partial(
        mapper.func,
        build_rdf_from_range=parts["build_rdf_from_range"],
        computation_graph_callable=functools.partial(execute.graph_runner, nodes),
        initialization_fn=execute.no_initialisation,
        code_to_declare="",
    )


def digest_of(graph: bytes, plain_ranges: list[dict[str, Any]], versions: dict[str, str]) -> str:
    """Names a compiled graph: its pickle, and the files it reads as they are now (compiled code depends on the types)."""
    digest = hashlib.sha256(graph)
    for name in sorted({name for plain in plain_ranges for name in plain.get("files") or ()}):
        try:
            seen = None if name in versions else os.stat(name)
            version = versions[name] if seen is None else f"{seen.st_size}:{seen.st_mtime_ns}"
            digest.update(f"{name}:{version}".encode())
        except OSError:
            digest.update(name.encode())
    return digest.hexdigest()


def _is_rntuple(item: Any) -> bool:
    exec_id = getattr(item, "exec_id", None)  # PyRDF's ranges have none
    return getattr(exec_id, "rdf_uuid", None) == "RNTuple"


def _add_expectations(plain_ranges: list[dict[str, Any]], ranges: list[Any]) -> None:
    """Tell each range of a surveyed dataset how many entries, clusters and compressed bytes of what it reads it has."""
    for plain, item in zip(plain_ranges, ranges, strict=True):
        if isinstance(item, cutting.CutRange):
            piece = item.piece
            plain["entries"], plain["read_bytes"], plain["clusters"] = piece.entries, piece.read_bytes, piece.clusters


def _add_first_entries(plain_ranges: list[dict[str, Any]], ranges: list[Any]) -> None:
    """Tell each range the entry number, in the dataset, of its first file's first entry. Opens every file once."""
    counted: dict[tuple[str, str], int] = {}
    before = 0
    for plain, item in zip(plain_ranges, ranges, strict=True):
        plain["first_entry"] = 0
        if isinstance(item, cutting.CutRange) and plain["files"] is not None:
            plain["first_entry"] = item.first_entry
            continue
        if plain["kind"] != "files" or plain["files"] is None:
            continue  # empty sources and chains with friends count globally by themselves
        plain["first_entry"] = before
        finished = plain["files"] if plain["end_fraction"] == 1 else plain["files"][:-1]
        for name, tree in zip(finished, plain["trees"], strict=False):
            if (name, tree) not in counted:
                counted[name, tree] = int(Ranges.get_clusters_and_entries(item.exec_id.rdf_uuid, tree, name)[1])
            before += counted[name, tree]
