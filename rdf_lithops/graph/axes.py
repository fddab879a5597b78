"""Histograms whose axis the data decide, as local RDataFrame's do: by the first thousand values, then by doubling.

Local ROOT fills one histogram in the order of the entries. Its axis is made of the first 1000 values, and grows with each
value outside. So a run fetches, of each range, what may matter for that, with its weights: the first 1000 values, and later
those greater or less than all before them. ROOT's own filling of these, in order, gives the axis; up to 1000 values in all
it gives the histogram, too. Else a second run fills one with that axis.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from ..errors import PlanError

# isort: split
import ROOT
from ROOT._distrdf import Node, Proxy

__all__ = ["Awaited", "awaited", "book", "finds_its_limits", "settle"]

logger = logging.getLogger(__name__)

BUFFERED = 1000  # values from which ROOT makes an axis: TH1's buffer by default
_PREFIX = "rdf_lithops_axis_"


@dataclass(frozen=True)
class _Model:
    """Name and title of a histogram, and how many bins it has."""

    name: str
    title: str
    bins: int

    def empty(self, low: float = 0.0, high: float = 0.0) -> Any:
        """Return a histogram in which nothing is."""
        made = ROOT.TH1D(self.name, self.title, self.bins, low, high)
        made.SetDirectory(ROOT.nullptr)
        made.SetCanExtend(ROOT.TH1.kAllAxes)
        return made


class Awaited(Proxy.ResultPtrProxy):  # type: ignore[misc]  # ROOT has no type information
    """The handle of a histogram that one run, or two, give: of a node of its own, which is in no graph."""

    def __init__(self, parent: Any, model: _Model, columns: Sequence[str], seeds: Any) -> None:
        super().__init__(Node.Node(parent.proxied_node.get_head, -1, None, None))
        self.parent, self.model, self.columns, self.seeds = parent, model, columns, seeds
        self.booked: Any = None

    def create_variations(self) -> Any:
        """Refuse what local RDataFrame does with an axis for each variation."""
        raise PlanError(
            "VariationsFor: expected a histogram with limits, got one whose axis the data decide: give it a model"
        )

    def take(self) -> None:
        """Enter what a run has given, or book what a second one has to give."""
        if self.booked is None:
            values, weights = _joined(self.seeds.proxied_node.value, len(self.columns) > 1)
            filled = self.model.empty()
            if len(values):
                filled.FillN(len(values), values, weights)
            if len(values) <= BUFFERED:
                self.proxied_node.value = filled
                return
            axis = filled.GetXaxis()
            if not axis.GetXmin() < axis.GetXmax():
                raise PlanError(f"Histo1D: no axis can be made of the values of {self.columns[0]!r}: give it limits")
            self.filled = filled
            given = (self.model.name, self.model.title, self.model.bins, axis.GetXmin(), axis.GetXmax())
            self.booked = self.parent.Histo1D(given, *self.columns)
        elif self.booked.proxied_node.value is not None:
            found = self.booked.proxied_node.value
            if self.filled.CanExtendAllAxes():
                found.SetCanExtend(ROOT.TH1.kAllAxes)
            self.proxied_node.value = found


def finds_its_limits(args: Sequence[Any], given: dict[str, Any]) -> bool:
    """Return whether a Histo1D that is asked for with these arguments leaves its axis to the data."""
    model = args[0] if args else given.get("model", "")
    if isinstance(model, (str, ROOT.std.string)):
        return True
    if isinstance(model, tuple):
        return len(model) == 3 or (len(model) == 5 and model[3] == model[4])
    edges = getattr(model, "fBinXEdges", ())
    return hasattr(model, "fXLow") and not len(edges) and model.fXLow == model.fXUp


def book(proxy: Any, args: Sequence[Any], given: dict[str, Any]) -> Awaited:
    """Book a Histo1D without limits on the node of ``proxy``; arguments are ROOT's."""
    model, columns = _told(proxy, list(args), dict(given))
    head = proxy.proxied_node.get_head()
    number = head.node_counter
    alias, kept = f"{_PREFIX}{number}_", f"{_PREFIX}{number}"
    names = [f"{alias}{place}" for place in range(len(columns))]
    node = proxy
    for name, column in zip(names, columns, strict=True):
        node = node.Alias(name, column)
    node = node.DefinePerSample(f"{kept}_sample", f"static ULong64_t {kept}_count = 0; return ++{kept}_count;")
    node = node.Define(kept, _expression(f"{kept}_sample", names)).Filter(f"!{kept}.empty()")
    handle = Awaited(proxy, model, columns, node.AsNumpy([kept], lazy=True))
    awaited(head).append(handle)
    logger.info("Histo1D of %s has no limits: more than %d values take a second run", columns[0], BUFFERED)
    return handle


def _told(proxy: Any, args: list[Any], given: dict[str, Any]) -> tuple[_Model, list[str]]:
    model = given.pop("model", None)
    if model is None and args and not isinstance(args[0], (str, ROOT.std.string)):
        model = args.pop(0)
    columns = [*map(str, args), *(str(given[name]) for name in ("vName", "wName") if name in given)]
    if not columns:
        columns = [str(name) for name in getattr(proxy.proxied_node.get_head(), "defaultbranches", None) or ()][:1]
    if len(columns) not in (1, 2):
        raise PlanError(f"Histo1D: expected a column, and one of weights or none, got {columns}")
    if model is None:
        title = columns[0] if len(columns) == 1 else f"{columns[0]}, weights: {columns[1]}"
        return _Model("_weighted_".join(columns), title, 128), columns
    if isinstance(model, tuple):
        return _Model(str(model[0]), str(model[1]), int(model[2])), columns
    return _Model(str(model.fName), str(model.fTitle), int(model.fNbinsX)), columns


def _expression(sample: str, names: Sequence[str]) -> str:
    """Return the C++ of what is kept of an entry: value and weight in turn, of each of its values."""
    passed = ", ".join([sample, *names])
    weight = "1." if len(names) == 1 else "double(of(rdfl_w, rdfl_at))"
    arguments = "ULong64_t rdfl_sample, const auto &rdfl_x" + (", const auto &rdfl_w" if len(names) > 1 else "")
    code = f"""return []({arguments}) {{
        static ULong64_t current = 0, seen = 0;
        static double least = 0, most = 0;
        static bool has_nan = false;
        if (!rdfl_sample || current != rdfl_sample) {{ current = rdfl_sample; seen = 0; has_nan = false; }}
        ROOT::RVec<double> kept;
        auto of = [](const auto &rdfl_v, std::size_t rdfl_i) {{
            if constexpr (ROOT::Internal::RDF::IsDataContainer<std::decay_t<decltype(rdfl_v)>>::value)
                return *std::next(rdfl_v.begin(), rdfl_i);
            else return rdfl_v;
        }};
        auto size = [](const auto &rdfl_v) -> std::size_t {{
            if constexpr (ROOT::Internal::RDF::IsDataContainer<std::decay_t<decltype(rdfl_v)>>::value) return rdfl_v.size();
            else return 1;
        }};
        for (std::size_t rdfl_at = 0; rdfl_at < size(rdfl_x); ++rdfl_at) {{
            const double value = of(rdfl_x, rdfl_at);
            const bool is_nan = std::isnan(value), first = is_nan && !has_nan;
            if (seen < {BUFFERED} || value < least || value > most || first) {{
                kept.push_back(value);
                kept.push_back({weight});
            }}
            if (!seen || value < least || std::isnan(least)) least = value;
            if (!seen || value > most || std::isnan(most)) most = value;
            has_nan |= is_nan;
            ++seen;
        }}
        return kept;
    }}({passed});"""
    for name in ("current", "seen", "least", "most", "has_nan", "kept", "of", "size", "value", "is_nan", "first"):
        code = re.sub(rf"(?<![.:\w]){name}(?=\W)", f"rdfl_{name}", code)  # which no column is called
    return code


def _joined(value: Any, weighted: bool) -> tuple[Any, Any]:
    arrays = value.GetValue() if hasattr(value, "GetValue") else value
    found = [numpy.asarray(each, dtype="f8") for each in next(iter(arrays.values()))]
    pairs = numpy.concatenate(found).reshape(-1, 2) if found else numpy.empty((0, 2))
    values, weights = (numpy.ascontiguousarray(pairs[:, place]) for place in (0, 1))
    return values, weights if weighted else ROOT.nullptr


def awaited(head: Any) -> list[Awaited]:
    """Return the handles of DistRDF's ``head`` that have no value yet."""
    if not hasattr(head, "rdf_lithops_awaited"):
        head.rdf_lithops_awaited = []
    found: list[Awaited] = head.rdf_lithops_awaited
    return found


def settle(head: Any) -> bool:
    """To be called when the graph of DistRDF's ``head`` has run: enter and book what depends on it. Return whether
    something that was awaited is there, or is booked for another run."""
    waiting = awaited(head)
    changed = False
    for each in list(waiting):
        if each.booked is not None or each.seeds.proxied_node.value is not None:
            each.take()
            changed = True
    waiting[:] = [each for each in waiting if each.proxied_node.value is None]
    return changed
