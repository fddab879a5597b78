"""``ROOT.RDF.FromNumpy``, ``FromPandas`` and ``FromCSV`` on an executor: the driver's own data frame of them says what
there is, its columns travel with the graph, and ranges are cut of its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..errors import PlanError
from ..frame.in_memory import TEXT, Columns, expression
from .rewriting import made_node

# isort: split
import ROOT
from ROOT._distrdf.Operation import create_op

__all__ = ["MOST_MIB", "data_frame", "from_root", "with_columns"]

MOST_MIB = 64  # of columns in a graph, which travels with each run
_BY_BYTES = ("f", "i", "u", "b")  # kinds of numpy's types that C++ reads as they are
_NEXT = 'write it with ROOT (Snapshot("t", "name.root")) where workers can read it, and give its name to ROOT.RDataFrame'


def from_root(make: Callable[..., Any], backend: Any, npartitions: int | None, args: Any, given: Any) -> Any:
    """Return the data frame on ``backend`` of what ``make(*args, **given)``, one of ROOT's From functions, makes here."""
    local = make(*args, **given)
    names = [str(name) for name in local.GetColumnNames()]
    return _data_frame(backend, npartitions, local, local.AsNumpy(names))


def data_frame(backend: Any, arrays: Mapping[str, Any], npartitions: int | None) -> Any:
    """Return the data frame on ``backend`` of one-dimensional arrays. Raises PlanError for what does not travel."""
    import numpy  # where it is wanted: its import takes as long as a third of ROOT's

    plain = {name: _plain(name, numpy.asarray(array)) for name, array in arrays.items()}
    made = {
        name: numpy.array(values, dtype=object) if isinstance(values, list) else values for name, values in plain.items()
    }
    return _data_frame(backend, npartitions, ROOT.RDF.FromNumpy(made), made)


def _data_frame(backend: Any, npartitions: int | None, local: Any, arrays: Mapping[str, Any]) -> Any:
    import numpy

    types = {str(name): _type(str(local.GetColumnType(name))) for name in arrays}
    columns = Columns(types, {name: _plain(name, numpy.asarray(array)) for name, array in arrays.items()})
    if columns.nbytes > MOST_MIB * 2**20:
        size = columns.nbytes / 2**20
        raise PlanError(f"expected at most {MOST_MIB} MiB in memory, which travel with each run, got {size:.0f}: {_NEXT}")
    entries = min((len(array) for array in arrays.values()), default=0)
    workers = npartitions or backend.optimize_npartitions()
    frame = backend.make_dataframe(entries, npartitions=max(1, min(workers, entries)))
    frame._headnode.rdf_node = local
    frame._headnode.rdf_lithops_columns = columns
    return frame


def _type(kind: str) -> str:
    return TEXT if kind in ("string", "std::string") else kind


def _plain(name: str, array: Any) -> Any:
    """Return an array as C++ reads it, or a list of texts."""
    import numpy

    if array.ndim == 1 and array.dtype.kind in _BY_BYTES:
        return numpy.ascontiguousarray(array)
    if array.ndim == 1 and (array.dtype.kind == "U" or all(hasattr(value, "encode") for value in map(_text, array))):
        return [str(value) for value in array]
    raise PlanError(f"expected columns of numbers or texts in memory, got {name!r} of {array.dtype} values: {_NEXT}")


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, ROOT.std.string) else value


def with_columns(nodes: dict[int, Any]) -> dict[int, Any]:
    """Return the graph with the columns that its data frame has in memory defined before all others."""
    head_id = next(iter(nodes))
    columns: Columns | None = getattr(nodes[head_id], "rdf_lithops_columns", None)
    if columns is None:
        return nodes
    found, last, number = {head_id: nodes[head_id]}, head_id, max(nodes)
    for name, kind in columns.types.items():
        number += 1
        operation = create_op("Define", name, expression(kind, columns.keys[name]))
        operation.rdf_lithops_columns = columns  # which settle where it is unpickled
        found[number], last = made_node(operation, last), number
    for node_id, node in list(nodes.items())[1:]:
        found[node_id] = made_node(node.operation, last) if node.parent_id == head_id else node
    return found
