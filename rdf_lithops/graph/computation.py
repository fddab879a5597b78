"""One computation of a DistRDF graph as a value: what is to be run, and the nodes that its result fills.

DistRDF's ``HeadNode.execute_graph`` makes a mapper, has a back end run it and fills nodes, in one call. Graphs that run
together, and a plan that somebody else runs, need what comes before the run apart from what comes after it: here are both,
of DistRDF's own pieces. Read in ROOT 6.40; a test compares them with what DistRDF hands to a back end.
"""

from __future__ import annotations

import functools
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..compiled.compiling import compiling_quickly
from ..dataset import ranges_by_load
from ..fold import partials
from ..planning.cost import default_calls
from . import afterwards, naming
from .reference import has_run, keep_folder

# isort: split
from ROOT._distrdf import ComputationGraphGenerator, _graph_cache
from ROOT._distrdf.Backends import Base, Utils

__all__ = ["Computation", "computation_of"]


@dataclass(frozen=True)
class Computation:
    """What DistRDF would run of one graph: ``mapper`` over ``ranges``, and results folded with ``reducer``.

    ``backend`` is that of its data frame. ``head`` is DistRDF's head node, and ``actions`` are the nodes that the result
    fills, in its order; None and none where PyRDF, and not DistRDF, runs the graph.
    """

    backend: Any
    ranges: list[Any]
    mapper: Callable[..., Any]
    reducer: Callable[..., Any]
    head: Any = None
    actions: Sequence[Any] = ()

    def cut(self, shape: str) -> list[Any]:
        """The ranges to run: of a dataset in files, which are looked into for that, those that cost about the same; else
        DistRDF's own. ``shape`` is the graph's."""
        if self.head is None or not ranges_by_load.reads_files(self.head):
            return self.ranges
        options, session = self.backend.options, self.backend.session
        offer, speeds = session.offer(), session.experience.speeds(shape)

        def count(load_s: float) -> int:
            return default_calls(load_s, offer, options.target_s)

        given = options.survey, offer.is_local, speeds.load, count, self.backend.pinned
        return ranges_by_load.cut_by_load(self.head, self.ranges, *given)

    def deliver(self, result: Any) -> None:
        """Fill the nodes with DistRDF's ``result``, but those that have a value: DistRDF computes a result again whose
        variations are asked for later, and what the user has done to it since would be lost."""
        with compiling_quickly():
            for node, value in zip(self.actions, self.head._handle_returned_values(result), strict=True):
                if node.value is None:
                    Utils.set_value_on_node(value, node, self.backend)
                    naming.announce_removal(node.value)
        has_run(self.head)


def computation_of(head: Any) -> Computation:  # decision 360
    """What DistRDF would run of the graph of its node ``head`` as it is now. Runs nothing."""
    keep_folder(head)
    _put_back(head)
    head.npartitions = head.backend.optimize_npartitions()
    head.exec_id = _graph_cache.ExecutionIdentifier(head.rdf_uuid, uuid.uuid4())
    graph = functools.partial(ComputationGraphGenerator.trigger_computation_graph, head._generate_graph_dict())
    afterwards.check(head)  # which has by now what is wanted, and no more
    mapper = functools.partial(
        Base.distrdf_mapper, build_rdf_from_range=head._generate_rdf_creator(), computation_graph_callable=graph
    )
    has_none = ranges_by_load.has_no_entries(head)
    ranges = ranges_by_load.empty_range(head) if has_none else head._build_ranges()
    reducer = functools.partial(partials.merge_results, Base.distrdf_reducer)
    return Computation(head.backend, ranges, mapper, reducer, head, head._get_action_nodes())


def _put_back(head: Any) -> None:  # decision 406
    """Put into DistRDF's graph what it has taken out and what is needed again: a result that has run, whose variations are
    asked for now, and all that leads to it."""
    there = {node.node_id: node for node in head.graph_nodes}
    for node in head.graph_nodes:
        while (node := node.parent) is not None and node.node_id not in there:
            there[node.node_id] = node
            node.parent.nchildren += 1  # as when it was booked: pruning counts it down
    head.graph_nodes = deque(there[number] for number in sorted(there, reverse=True))  # the newest first
