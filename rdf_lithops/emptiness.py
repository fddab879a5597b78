"""A dataset without a single entry: what its graph gives is what local RDataFrame gives, so local RDataFrame is asked.

DistRDF's workers build nothing for a range without entries, and say nothing of it. The graph runs on the driver, over no
events; Snapshots write their empty file where it belongs.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Sequence
from typing import Any

from . import payload
from .errors import RunError
from .worker import execute
from .worker.output import Output, publish, redirected

# isort: split
import ROOT
from ROOT._distrdf import ComputationGraphGenerator as generator
from ROOT._distrdf.Backends import Base, Utils

__all__ = ["results_of_nothing"]


def results_of_nothing(frame: Any, mapper: Any, outputs: Sequence[Output]) -> list[Any] | None:
    """The results of the graph in ``mapper`` over the local ``frame``, which has no entries, as those of a range; None for a
    mapper of another make. Raises stores.StoreFailure for a Snapshot that cannot be written, RunError for an RNTuple."""
    nodes = execute.nodes_of(pickle.loads(payload.dumps(mapper)))
    if not nodes:
        return None
    if str(ROOT.Internal.RDF.GetDataSourceLabel(ROOT.RDF.AsRNode(frame))) == "RNTupleDS":
        why = "local RDataFrame crashes over an RNTuple without entries (ROOT 6.40)"
        raise RunError("the dataset has no entries", why=why, next_command="leave it out, or write it as a TTree")
    execute.declare_first_entry()
    with tempfile.TemporaryDirectory(prefix="rdf_lithops-nothing-") as folder:
        redirected(nodes, folder)
        promises = generator.generate_computation_graph(nodes, ROOT.RDF.AsRNode(frame), 0)
        ROOT.Internal.RDF.TriggerRun(ROOT.RDF.AsRNode(frame))
        result = Base.TaskResult([Utils.get_mergeablevalue(promise) for promise in promises], None)
        execute.restore_entry_columns(result)
        publish(result, tuple(outputs), folder, {"id": 0})
    mergeables: list[Any] = result.mergeables
    return mergeables
