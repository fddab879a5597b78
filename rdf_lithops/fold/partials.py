"""Results as bytes and back again, and the fold of many, in a process that may use ROOT.

A result is DistRDF's: a list, one per action, of what can be merged, together perhaps gigabytes. Each is pickled by itself,
and folded by itself: a pickler keeps all that it has seen until it ends, and so a result would be in memory five times.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import pickle
import re
import time
from collections.abc import Callable, Iterable
from traceback import format_exc
from typing import Any

from ..processes.seconds import peak_memory_mib, whereabouts
from ..travels.envelope import Envelope, pack, unpack
from ..travels.facts import Began, Facts
from . import moments, sums
from .order import flat

__all__ = ["dumped", "fold", "folds", "loaded", "merge_results"]

Reducer = Callable[[Any, Any], Any]

_CLASS_WITHIN = 500  # bytes of a pickle: it comes first
_WARNED_OF = re.compile(rb"(ROOT::Detail::RDF::RMergeable(?:Report|(?:Sum|Min|Max)<[\w: <>,]+>))[^\w: <>,]")

_REPORT_HEADER = """
#ifndef RDF_LITHOPS_MERGEABLE_AGAIN
#define RDF_LITHOPS_MERGEABLE_AGAIN
#include "ROOT/RDF/RMergeableValue.hxx"
namespace rdf_lithops {
std::unique_ptr<ROOT::Detail::RDF::RMergeableValue<ROOT::RDF::RCutFlowReport>>
mergeable_again(const ROOT::RDF::RCutFlowReport &value) {
   std::vector<ROOT::RDF::TCutInfo> cuts(value.begin(), value.end());
   return std::make_unique<ROOT::Detail::RDF::RMergeableReport>(value, cuts);
}
}
#endif
"""


def dumped(result: Any) -> list[bytes]:  # decision 81
    """Return the pickles of a result: first what there is of it beside its list of results, then each of the list.

    The result is used up, so that its objects and their pickles are not in memory together.
    """
    mergeables = getattr(result, "mergeables", None)
    if not isinstance(mergeables, list):
        return [pickle.dumps(result, protocol=pickle.HIGHEST_PROTOCOL)]
    result.mergeables = []
    pickles = [pickle.dumps(result, protocol=pickle.HIGHEST_PROTOCOL)]
    for index, mergeable in enumerate(mergeables):
        mergeables[index] = None
        pickles.append(pickle.dumps(mergeable, protocol=pickle.HIGHEST_PROTOCOL))
    return pickles


def loaded(envelope: Envelope) -> Any:
    """Return the result in an envelope: the inverse of ``dumped``."""
    first, *rest = _pickles(envelope)
    result = _load(first)
    if rest:
        result.mergeables = [_load(each) for each in rest]
    return result


def _pickles(envelope: Envelope) -> list[memoryview]:
    """Return views of the pickles that an envelope's body consists of."""
    view, lengths = memoryview(envelope.body), envelope.pickles or (len(envelope.body),)
    edges = itertools.pairwise(itertools.accumulate(lengths, initial=0))
    return [view[start:end] for start, end in edges]


def _load(pickled: memoryview) -> Any:
    """Unpickle one object, and silence what ROOT says of the layouts of some.

    PyROOT makes a Python warning of it, and crashes in the middle of the unpickling where warnings are errors.
    """
    if found := _WARNED_OF.search(pickled[:_CLASS_WITHIN]):
        _build_layout(bytes(found[1]).decode())
    return pickle.loads(pickled)


@functools.lru_cache(maxsize=64)
def _build_layout(kind: str) -> None:
    """Have ROOT build its description of the layout of a class, which is when it warns; it then keeps it."""
    import ROOT

    level = ROOT.gErrorIgnoreLevel
    ROOT.gErrorIgnoreLevel = ROOT.kError
    try:
        ROOT.TClass.GetClass(kind).GetStreamerInfo()
    finally:
        ROOT.gErrorIgnoreLevel = level


def merge_results(reducer: Reducer, into: Any, other: Any) -> Any:
    """Fold two results with DistRDF's ``reducer``, and repair what it leaves behind.

    Means and standard deviations are merged by ``moments``, and what histograms sum over all fills by ``sums``. ROOT 6.40
    merges a cut-flow report into its value but not into what the next merge starts from: a third report would replace the
    second. A merged report is therefore made mergeable again from its value.
    """
    import ROOT

    pairs = zip(*(getattr(each, "mergeables", None) or [] for each in (into, other)), strict=False)
    corrections = [correction for pair in pairs if (correction := sums.kept(*pair)) is not None]
    merged = _with_moments(reducer, into, other)
    for correct in corrections:
        correct()
    mergeables: list[Any] = getattr(merged, "mergeables", None) or []
    for index, mergeable in enumerate(mergeables):
        kind = type(mergeable).__name__
        value = mergeable.GetValue() if kind.startswith("RMergeableValue<") and "RCutFlowReport" in kind else None
        if isinstance(value, ROOT.RDF.RCutFlowReport):
            ROOT.gInterpreter.Declare(_REPORT_HEADER)
            mergeables[index] = ROOT.rdf_lithops.mergeable_again(value)
    return merged


def _with_moments(reducer: Reducer, into: Any, other: Any) -> Any:
    """Fold two results; ``reducer`` gets none of their means and standard deviations (see ``moments``)."""
    left, right = getattr(into, "mergeables", None), getattr(other, "mergeables", None)
    if not isinstance(left, list) or not isinstance(right, list):
        return reducer(into, other)
    done = [moments.merged(*pair) for pair in zip(left, right, strict=True)]
    if not any(done):
        return reducer(into, other)
    into.mergeables = [each for each, is_done in zip(left, done, strict=True) if not is_done]
    other.mergeables = [each for each, is_done in zip(right, done, strict=True) if not is_done]
    merged = reducer(into, other)
    rest = iter(merged.mergeables)
    merged.mergeables = [each if is_done else next(rest) for each, is_done in zip(left, done, strict=True)]
    return merged


def folds(reducer: bytes, partials: Iterable[bytes], orders: list[list[Any]], began: Began, version: str) -> list[bytes]:
    """Several folds, one after the other, of partials that come in a row; as many packed envelopes. Of several, one that
    fails is an envelope that says so."""
    coming = iter(partials)
    if len(orders) == 1:
        return [fold(reducer, coming, orders[0], began, version)]
    packed = []
    for order in orders:
        own = itertools.islice(coming, len(flat(order)))
        try:
            packed.append(fold(reducer, own, order, began, version))
        except Exception as problem:
            range_ids = sorted({number for each in own for number in unpack(each).range_ids})  # and so all of them have come
            error = {"kind": "fold", "type": type(problem).__name__, "message": str(problem), "range_ids": range_ids}
            packed.append(pack(Envelope(tuple(range_ids), None, version, error={**error, "traceback": format_exc()})))
    return packed


def fold(reducer: bytes, partials: Iterable[bytes], order: list[Any], began: Began, version: str) -> bytes:
    """Fold packed ``partials`` with the pickled ``reducer``; return a packed envelope.

    The partials come one after the other, as they stand in ``order`` (see order.fold_order), and each is dropped once
    folded. ``began`` is what ``seconds.began_here`` said in the task, ``version`` that of this ROOT. Raises RuntimeError for
    a partial of another ROOT, EnvelopeError for a damaged one.
    """
    started = time.perf_counter()
    fold_two: Reducer = pickle.loads(reducer)
    coming = iter(partials)
    heads: list[Envelope] = []

    def arrived() -> Envelope:
        envelope = unpack(next(coming))
        if envelope.root != version:
            message = f"expected partials of ROOT {version}, got one of ROOT {envelope.root} (ranges {envelope.range_ids})"
            raise RuntimeError(message)
        heads.append(dataclasses.replace(envelope, body=b""))
        return envelope

    def folded(branch: Any) -> Any:
        if isinstance(branch, int):
            return loaded(arrived())
        first, *others = branch
        sum_of = folded(first)
        for other in others:
            sum_of = _add(fold_two, sum_of, arrived()) if isinstance(other, int) else fold_two(sum_of, folded(other))
        return sum_of

    pickles = dumped(folded(order))
    heads.sort(key=lambda envelope: (envelope.range_ids, envelope.half))
    range_ids = tuple(dict.fromkeys(range_id for envelope in heads for range_id in envelope.range_ids))
    counts = [envelope.entries for envelope in heads]
    facts: Facts = {
        **whereabouts(began),
        "fold_s": time.perf_counter() - started,
        "peak_memory_mib": peak_memory_mib(sum(map(len, pickles))),
    }
    entries = None if None in counts else sum(count for count in counts if count is not None)
    return pack(Envelope(range_ids, entries, version, facts=facts), pickles)


def _add(fold_two: Reducer, sum_of: Any, envelope: Envelope) -> Any:
    """Fold the result in ``envelope`` into ``sum_of``, one of its list after the other, so that no two are in memory."""
    first, *rest = _pickles(envelope)
    into = getattr(sum_of, "mergeables", None)
    if not rest or not isinstance(into, list) or len(into) != len(rest):
        return fold_two(sum_of, loaded(envelope))
    other = _load(first)
    sum_of.mergeables = []
    sum_of = fold_two(sum_of, other)  # the entries
    for index, pickled in enumerate(rest):
        two = dataclasses.replace(other, mergeables=[into[index]], entries_in_trees=None)
        into[index] = fold_two(two, dataclasses.replace(two, mergeables=[_load(pickled)])).mergeables[0]
    sum_of.mergeables = into
    return sum_of
