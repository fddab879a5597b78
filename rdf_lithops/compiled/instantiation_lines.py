"""Instantiations as lines of C++: one line each, the same for the same types, whatever the cut, the name or the binning.

ROOT 6.40 makes of every node of a graph a function that calls one of four function templates (``InterfaceUtils.hxx``);
RDataFrame's log channel prints its text when the node is booked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = [
    "HEADERS",
    "action",
    "countings",
    "declaration",
    "function_names",
    "interface",
    "is_line",
    "node",
    "noted",
    "result",
    "source",
    "taking",
    "variations",
]

_RDF, _NODES, _MAP = "ROOT::Internal::RDF::", "ROOT::Detail::RDF::", "ROOT::RDF::Experimental::RResultMap"
_INCLUDED = ("RDataFrame", "RDFHelpers", "RDF/InterfaceUtils", "RDF/RJittedFilter")
HEADERS = "".join(f"#include <ROOT/{name}.hxx>\n" for name in _INCLUDED)
_COMMON = f"const std::vector<std::string>&, {_RDF}RColumnRegister&, {_NODES}RLoopManager&"
_HELPERS = {  # what each helper fills in, and what it takes beside
    "JitFilterHelper": (f"{_NODES}RJittedFilter", ""),
    "JitDefineHelper": (f"{_NODES}RJittedDefine", ""),
    "JitVariationHelper": (
        f"{_RDF}RJittedVariation",
        ", const std::vector<std::string>&, const std::vector<std::string>&",
    ),
}
_REGISTRATION = re.compile(r"Registering deferred JIT helper:\n(.*?)\n\n", re.DOTALL)
_CALL = re.compile(r"RDF::(Jit\w+Helper|CallBuildAction)(<.*?>)?\((.*)\);")
_RESULT = re.compile(r"reinterpret_cast<std::shared_ptr<(.*)> \*>\(helperArg\)")
_FUNCTION = re.compile(r"R_rdf::(\w+)")


def action(tag: str, columns: Sequence[str], result: str) -> str:
    """The instantiation for an action (ROOT's name of its tag) over columns of these C++ types, with this result."""
    return _action(f"<{_RDF}ActionTags::{tag}, {', '.join(columns)}>", result)


def _action(arguments: str, result: str) -> str:
    # the list of arguments is written as RDataFrame writes it: one more would be swallowed by the pack at its end
    given = f"{_COMMON}, {_RDF}RJittedAction*, unsigned int, std::shared_ptr<{result}>*"
    return f"template void {_RDF}CallBuildAction{arguments}({given}) noexcept;"


def node(helper: str, arguments: str, function_type: str) -> str:
    """The instantiation for a Filter, Define or Vary: ``arguments`` are those of the template but the function's type, which
    is written as ``bool (float)``."""
    target, more = _HELPERS[helper]
    reference = function_type.replace("(", "(&)(", 1)
    inner = f"{arguments}, {reference}" if arguments else reference
    return f"template void {_RDF}{helper}<{inner}>({reference}, {_COMMON}, {target}*{more}) noexcept;"


def interface(node_class: str) -> str:
    """The instantiation of what Python has of a node of this class: its ``Filter``, ``Define``, ``Histo1D``."""
    return f"template class ROOT::RDF::RInterface<{_NODES}{node_class}>;"


def countings(node_class: str) -> Iterator[str]:
    """The instantiations for ``Count`` and ``Report`` of a node of this class, which book their action without Cling's help:
    what calls them from Python drags it in."""
    for helper in ("CountHelper", f"ReportHelper<{_NODES}{node_class}>"):
        yield f"template class {_RDF}RAction<{_RDF}{helper}, {_NODES}{node_class}>;"


def taking(node_class: str, column: str) -> str:
    """The instantiation for what ``AsNumpy`` takes of a column of this type from a node of this class."""
    values = f"ROOT::VecOps::RVec<{column}>"
    of, pointer = f"ROOT::RDF::RInterface<{_NODES}{node_class}>", f"ROOT::RDF::RResultPtr<{values}>"
    return f"template {pointer} {of}::Take<{column}, {values}>(std::string_view);"


def result(kind: str) -> Iterator[str]:
    """The instantiations for an action with a result of this type: taken out to be merged, and cloned for the next range."""
    of, pointer = f"<{kind}>", f"ROOT::RDF::RResultPtr<{kind}>"
    yield f"template class {_NODES}RMergeableValue{of};"
    yield f"template std::unique_ptr<{_NODES}RMergeableValue{of}> {_NODES}GetMergeableValue{of}({pointer}&);"
    yield f"template {pointer} {_RDF}CloneResultAndAction{of}(const {pointer}&);"


def variations(result: str) -> Iterator[str]:
    """The same for the variations of an action with this result, and for asking for them."""
    of = f"<{result}>"
    yield f"template class {_NODES}RMergeableVariations{of};"
    yield f"template {_MAP}{of} ROOT::RDF::Experimental::VariationsFor{of}(ROOT::RDF::RResultPtr{of});"
    yield f"template std::unique_ptr<{_NODES}RMergeableVariations{of}> {_NODES}GetMergeableValue{of}({_MAP}{of}&);"
    yield f"template {_MAP}{of} {_RDF}CloneResultAndAction{of}(const {_MAP}{of}&);"


def function_names(log: str) -> list[str]:
    """The functions of namespace ``R_rdf`` that the nodes in a log call, whose types ``noted`` asks for."""
    found = (_FUNCTION.match(call[3]) for call in _calls(log) if call[1] != "CallBuildAction")
    return list(dict.fromkeys(match[1] for match in found if match))


def noted(log: str, type_of: Callable[[str], str | None]) -> list[str]:
    """The instantiations that the nodes in RDataFrame's log ask for. ``type_of`` gives a function's type, as
    ``bool (float)``, or None where it is not to be had: that node is left out."""
    found: dict[str, None] = {}
    for call in _calls(log):
        helper, arguments, given = call[1], call[2] or "", call[3]
        if helper == "CallBuildAction":
            result = _RESULT.search(given)
            if result is not None:
                found[_action(arguments, result[1])] = None
            continue
        function = _FUNCTION.match(given)
        function_type = type_of(function[1]) if function else None
        if function_type is not None:
            found[node(helper, arguments[1:-1], function_type)] = None
    return list(found)


def _calls(log: str) -> Iterable[re.Match[str]]:
    for body in _REGISTRATION.findall(log):
        call = _CALL.search(body)
        if call is not None:
            yield call


_INSIDE = r"[^;{}\n#]*"  # of one declaration
_LINE = re.compile(
    rf"template (?:void {_RDF}(?:Jit\w+Helper|CallBuildAction)<{_INSIDE}\) noexcept|class ROOT::RDF::{_INSIDE});"
)


def is_line(text: str) -> bool:
    """Whether ``text`` is one instantiation and nothing else: lines that come from elsewhere are compiled here."""
    return _LINE.fullmatch(text) is not None


def declaration(lines: Iterable[str]) -> str:
    """C++ after which Cling takes these instantiations from a library that is loaded, and makes none of them."""
    return HEADERS + "".join(f"extern {line}\n" for line in lines)


def source(lines: Iterable[str]) -> str:
    """C++ that a compiler makes these instantiations of."""
    return HEADERS + "".join(f"{line}\n" for line in lines)
