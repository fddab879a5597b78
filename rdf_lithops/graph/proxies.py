"""DistRDF's nodes and results in Python: each attribute that is taken of one of ours stands for itself.

DistRDF keeps the last attribute taken, per node, and calls that: after ``s, m = node.Sum, node.Mean`` both are the mean, and
two threads that book on one node book what the other asked for. Nodes of other back ends stay as ROOT makes them.
"""

from __future__ import annotations

import functools
import itertools
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from ..errors import PlanError, RdfLithopsError
from ..frame import default_values, settings, typed
from ..processes import hints
from . import (
    afterwards,
    answers,
    booking,
    composed,
    default_types,
    first_entries,
    naming,
    operations,
    own_axis,
    uncompiled,
    unfetched,
    unknown_columns,
    weighted_statistics,
)

# isort: split
import ROOT  # noqa: F401  # DistRDF is a part of it
from ROOT._distrdf import LiveVisualize, Operation, Proxy

__all__ = ["Method", "install"]

logger = logging.getLogger(__name__)

_booking = threading.RLock()  # DistRDF numbers nodes with a plain counter


def install(is_ours: Callable[[Any], bool]) -> None:
    """From now on, attributes of proxies for which ``is_ours`` holds are their own; done twice, it does nothing."""
    for kind, generic, own in (
        (Proxy.NodeProxy, Proxy.NodeProxy._create_new_op, _book),
        (Proxy.ResultPtrProxy, Proxy.ResultPtrProxy._call_action_result, _call),
    ):
        original = kind.__getattr__
        if not hasattr(original, "__wrapped__"):
            kind.__getattr__ = _taking(original, generic, own, is_ours)
    if not hasattr(Proxy.ResultPtrProxy, "__iter__"):
        Proxy.ResultPtrProxy.__iter__ = _iterating(is_ours)
    results, variations = Proxy.ResultPtrProxy, Proxy.ResultMapProxy
    if not hasattr(results.GetValue, "__wrapped__"):
        results.GetValue = _letting_go(results.GetValue, is_ours)
        results.create_variations = _with_variations(results.create_variations, is_ours)
    if not hasattr(variations.GetKeys, "__wrapped__"):
        variations.GetKeys = _telling_keys(variations.GetKeys, is_ours)
        variations.__getitem__ = _as_locally(variations.__getitem__, is_ours)
        variations.__iter__ = _pairs(is_ours)
    live: Any = sys.modules[LiveVisualize.__module__]  # the module, which has the name of its function
    if not hasattr(live.is_valid_drawable, "__wrapped__"):
        live.is_valid_drawable = _refusing_derived(live.is_valid_drawable)


def _refusing_derived(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(original)
    def check(drawn: Any) -> Any:
        if isinstance(drawn, composed.Derived):
            raise PlanError(
                "LiveVisualize: expected a result that grows with the ranges, got one that the driver makes of all values, "
                "as a Histo1D without limits: give the histogram limits, ('h', '', 100, low, high)"
            )
        return original(drawn)

    return check


def _iterating(is_ours: Callable[[Any], bool]) -> Callable[[Any], Any]:
    """Return the loop over a result's value, as ROOT's own handles have it: over the cuts of a Report, for one."""

    def loop(self: Any) -> Any:
        if not is_ours(self):
            raise TypeError(f"{type(self).__name__!r} object is not iterable")
        return iter(self.GetValue())

    return loop


def _letting_go(original: Callable[[Any], Any], is_ours: Callable[[Any], bool]) -> Callable[[Any], Any]:  # decision 328
    """The value of a result; an error of ours leaves without the frames that hold the result's handle.

    Who keeps the error, as notebooks do, would keep the handle, and so have later queries of the data frame fail as well.
    """

    @functools.wraps(original)
    def value(self: Any) -> Any:
        if not is_ours(self):
            return original(self)
        try:
            return original(self)
        except RdfLithopsError as error:
            logger.debug("a run failed", exc_info=True)
            failure = error.with_traceback(None)
        del self
        raise failure

    return value


def _with_variations(original: Callable[[Any], Any], is_ours: Callable[[Any], bool]) -> Callable[[Any], Any]:
    @functools.wraps(original)
    def create(self: Any) -> Any:
        if is_ours(self):
            booking.check_varied(self.proxied_node.operation)
        return original(self)

    return create


def _telling_keys(original: Callable[[Any], Any], is_ours: Callable[[Any], bool]) -> Callable[[Any], Any]:
    @functools.wraps(original)
    def keys(self: Any) -> Any:
        if self.proxied_node.value is None and is_ours(self):
            return answers.keys_of(self.proxied_node.parent)
        return original(self)

    return keys


def _as_locally(original: Callable[[Any, str], Any], is_ours: Callable[[Any], bool]) -> Callable[[Any, str], Any]:
    """Locally, "nominal" is the result itself: who sets its errors sets those of the handle that was varied, too. And what
    is kept of a map keeps what it lies in: a program may drop the map."""

    @functools.wraps(original)
    def variation(self: Any, key: str) -> Any:
        value = original(self, key)
        if not is_ours(self):
            return value
        if str(key) == "nominal" and self.proxied_node.parent.value is not None:
            return self.proxied_node.parent.value
        if hasattr(type(value), "__cpp_name__"):  # an object that lies there, and no number
            value.rdf_lithops_lies_in = self.proxied_node.value
            naming.announce_removal(value)
        return value

    return variation


def _pairs(is_ours: Callable[[Any], bool]) -> Callable[[Any], Iterator[Any]]:
    """Keys and values of a map of variations, in turn, as a loop over ROOT's own has them."""

    def pairs(self: Any) -> Iterator[Any]:
        if not is_ours(self):
            yield from map(self.__getitem__, itertools.count())  # what Python does where there is nothing of the kind
        for key in self.GetKeys():
            yield key, self[key]

    return pairs


def _taking(
    original: Callable[[Any, str], Any], generic: Callable[..., Any], own: Callable[..., Any], is_ours: Callable[[Any], bool]
) -> Callable[[Any, str], Any]:
    @functools.wraps(original)
    def take(self: Any, name: str) -> Any:
        if name.startswith("_") or "proxied_node" not in vars(self) or not is_ours(self):
            return original(self, name)
        if own is _book and name in operations.answered_here():
            return Method(operations.method(name, self), name)
        if own is _call and name in _OF_HANDLES:
            return functools.partial(_OF_HANDLES[name], self)
        try:
            found = original(self, name)
        except AttributeError:
            raise AttributeError(operations.no_such(name)) from None
        if getattr(found, "__func__", None) is generic:
            if own is _call:
                handle = [self]
                del self, found  # see _letting_go
                return _call(handle.pop(), name)
            return Method(functools.partial(own, self, name), name)
        return found

    return take


class Method:
    """A method that was taken of a node or a result, and may get a template's arguments in brackets before it is called.

    Take and DefaultValueFor need them, and Sum, Min and Max return what they say. Elsewhere what is known of the columns
    makes them unnecessary, as in local ROOT.
    """

    def __init__(self, called: Callable[..., Any], name: str, template: tuple[Any, ...] = ()) -> None:
        self._called, self.__name__, self._template = called, name, template

    def __getitem__(self, template: Any) -> Method:
        return Method(self._called, self.__name__, template if isinstance(template, tuple) else (template,))

    def __call__(self, *args: Any, **given: Any) -> Any:
        if self.__name__ in ("Take", default_values.NAME, *typed.NAMES):
            given["template"] = self._template
        called = [self._called]
        del self  # see _letting_go
        return called.pop()(*args, **given)


def _book(proxy: Any, name: str, /, *args: Any, **given: Any) -> Any:
    if not given and own_axis.is_wanted(name, args):
        return own_axis.histogram(proxy, *args)
    if name == "DefinePerSample" and len(args) == 2 and not given:
        return composed.define_per_sample(functools.partial(_booked, proxy, name), *args)
    booked = _booked(proxy, name, *args, **given)
    weight = weighted_statistics.weight_of(name, args, given)
    value = str(args[0] if args else given.get("value", ""))
    return weighted_statistics.Statistic(booked, proxy, value, weight) if weight else booked


def _booked(proxy: Any, name: str, /, *args: Any, template: tuple[Any, ...] = (), **given: Any) -> Any:
    args = tuple(map(booking.listed, args))
    given = {keyword: booking.listed(argument) for keyword, argument in given.items()}
    args = booking.with_expressions(name, booking.with_models(name, args, given))
    operation = Operation.create_op(name, *args, **given)
    if template:
        operation.template = ", ".join(map(typed.type_name, template))
    parent = proxy.proxied_node
    booking.check(operation)
    kept = [booking.as_it_is(argument, name) for argument in operation.args]
    kept_given = {keyword: booking.as_it_is(argument, name) for keyword, argument in operation.kwargs.items()}
    unknown_columns.check(operation, parent)
    unfetched.check(operation, parent)
    if name == default_values.NAME:
        default_types.check(parent.rdf_node, operation)
    first_entries.check_report(operation, parent.get_head())
    settings.note(operation)
    _foresee(operation, parent)
    with _booking:
        node = Proxy._create_new_node(parent, operation)
    afterwards.note_booking(node)
    try:
        if name == default_values.NAME:
            node.rdf_node = default_values.defined(parent.rdf_node, operation)
            return Proxy.NodeProxy(node)
        found = Proxy.get_proxy_for(operation, node)
        operation.args, operation.kwargs = kept, kept_given  # the driver's own node has the program's functions
        return found
    except BaseException as problem:  # of a transformation that does not compile, or an action that ran at once
        _forget(node)
        if isinstance(problem, Exception) and (refusal := uncompiled.told(problem, operation, parent.rdf_node)):
            raise refusal from None
        raise


def _foresee(operation: Any, parent: Any) -> None:  # decision 405
    processes = parent.get_head().backend.session.processes
    above = hints.names_upwards(parent, lambda node: node.parent)
    processes.foresee(hints.first_use(operation.name, operation.args, operation.kwargs, above))
    if operation.name == "Vary":
        processes.foresee(hints.VARIATIONS_FOR)


def _forget(node: Any) -> None:  # decision 322
    """Take a node whose booking failed out of its graph, where DistRDF leaves it: later queries would fail for it, too."""
    with _booking:
        graph = node.get_head().graph_nodes
        if node in graph:
            graph.remove(node)
            node.parent.nchildren -= 1


def _partly(proxy: Any, *_: Any) -> None:
    raise PlanError(
        "OnPartialResult is not for distributed data frames: no worker holds the whole result while it grows; "
        "ROOT.RDF.Distributed.LiveVisualize draws it, and the option live_picture writes it to a file"
    )


_OF_HANDLES: dict[str, Callable[..., Any]] = {
    "GetSharedPtr": lambda proxy: proxy.GetValue(),
    "GetPtr": lambda proxy: proxy.GetValue(),
    "IsReady": lambda proxy: proxy.proxied_node.value is not None,
    "OnPartialResult": _partly,
    "OnPartialResultSlot": _partly,
}
"""What ROOT's handle of a result has itself; all else is of the result."""


def _call(proxy: Any, name: str) -> Any:
    """Return an attribute of a result's value, as local ROOT's handle does: with a run, where it has not run."""
    handle = [proxy]
    del proxy  # see _letting_go
    value = handle.pop().GetValue()
    try:
        return getattr(value, name)
    except AttributeError:
        raise AttributeError(f"{type(value).__name__!r} object has no attribute {name!r}") from None
