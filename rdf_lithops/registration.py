"""Make ``executor=lithops.FunctionExecutor()`` work in ROOT's own constructors. Light: starts nothing, initialises nothing.

DistRDF's functions stay the objects that they are and get other code, so that a name which somebody took before (``from
ROOT import RDataFrame``, a notebook's first cell) leads here as well. What is given no Lithops executor goes on to a copy of
ROOT's own function, untouched: Dask and Spark dispatch as before.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import sys
import types
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from . import batch
from .errors import PlanError
from .graph import environment, listening
from .options import Options, plain

__all__ = ["RDataFrame", "register"]


_SESSION_VARIABLE = "__LITHOPS_SESSION_ID"  # Lithops' own


def register() -> None:
    """Redirect DistRDF's entry points, and make our back ends known to Lithops; done twice, it does nothing."""
    batch.register()
    if "lithops" not in sys.modules or sys.modules["lithops.utils"]._SESSION_ID is None:
        # of the program that started this one: two that it started would use the same names in the storage
        os.environ.pop(_SESSION_VARIABLE, None)
    if importlib.util.find_spec("ROOT") is None:
        return  # the command line, and whoever asks for a data frame, say how to get it
    with warnings.catch_warnings():  # the wheel warns who imports ROOT, and README.md does: here it is us
        warnings.filterwarnings("ignore", message=r"\s*This distribution of ROOT is in alpha stage")
        import ROOT._distrdf as distrdf

    if getattr(distrdf.RDataFrame, "rdf_lithops", False):
        return
    for name, ours in {
        "RDataFrame": RDataFrame,
        "FromSpec": _from_spec,
    }.items():
        _redirect(getattr(distrdf, name), functools.partial(_dispatching, ours))
    _redirect(distrdf.RunGraphs, _run_graphs)
    for place, keyword in (("Dask", "daskclient"), ("Spark", "sparkcontext")):
        module = importlib.import_module(f"ROOT._distrdf.Backends.{place}")
        _redirect(module.RDataFrame, functools.partial(_dispatching_named, keyword))
    for name in ("DistributeCppCode", "DistributeHeaders", "DistributeSharedLibs", "initialize"):
        _redirect(getattr(distrdf, name), functools.partial(_checking, name))
    distrdf.build_backends_submodules = _with_our_module(distrdf.build_backends_submodules)
    namespace = _touched_rdf_namespace()
    if namespace is not None:
        _add_our_module(namespace)
        _lead_functions(namespace)
    else:
        _lead_functions_when_read()
    _lead_roots_own_class()
    listening.register()
    environment.begin()
    _anticipate()


def _anticipate() -> None:
    """Start the ROOT process of this machine's executor before ``ROOT.RDataFrame`` initialises ROOT here, not after it.

    That is when the program makes its first executor, if Lithops was imported before us. Else it is when it reads the name
    ``ROOT.RDataFrame``, a second before ROOT's constructor, and then ours, is called: the property that it is gets a look
    for the one localhost executor that the program has made. Without exactly one, nothing is anticipated.
    """
    import ROOT

    if "lithops" in sys.modules:
        _look_at_first_executor(sys.modules["lithops"].FunctionExecutor)
    facade = type(ROOT)
    original = vars(facade).get("RDataFrame")
    if not isinstance(original, property) or original.fget is None:
        return

    get = original.fget

    def read(self: Any) -> Any:
        facade.RDataFrame = original
        if "lithops" in sys.modules and "cppyy" not in sys.modules:
            from .executor import registry

            registry.anticipate()
        from .compiled import signals

        with signals.held():  # in the middle of its start ROOT crashes over a Ctrl-C
            return get(self)

    facade.RDataFrame = property(read, doc=original.__doc__)


def _look_at_first_executor(kind: Any) -> None:
    original = kind.__init__

    @functools.wraps(original)
    def make(self: Any, *args: Any, **kwargs: Any) -> None:
        kind.__init__ = original
        from .executor import lithops_copy

        lithops_copy.keep()
        original(self, *args, **kwargs)
        if "cppyy" not in sys.modules:  # else ROOT is up already, and the program may be doing something else with it
            from .executor import registry

            registry.anticipate()

    kind.__init__ = make


def _touched_rdf_namespace() -> Any:
    """``ROOT.RDF`` if somebody has used it, else None: the property that makes it deletes itself when it has."""
    import ROOT

    return None if "RDF" in vars(type(ROOT)) else ROOT.RDF


def _redirect(function: Any, made: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Have ``function``, whoever keeps it under whatever name, do what ``made(original)`` does."""
    original = types.FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__)
    original.__kwdefaults__, original.__doc__ = function.__kwdefaults__, function.__doc__
    function.__code__, function.__defaults__ = _redirected.__code__, None
    function.__kwdefaults__ = {"rdf_lithops_does": made(original)}
    function.__wrapped__ = original
    function.rdf_lithops = True  # how register() knows its own work


def _redirected(*args: Any, rdf_lithops_does: Any, **kwargs: Any) -> Any:
    return rdf_lithops_does(*args, **kwargs)


def _checking(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    """Ours of the name, which looks at what DistRDF's ``original`` keeps unseen."""

    def check(*args: Any, **kwargs: Any) -> Any:
        from .graph import declaring

        ours: dict[str, Callable[..., Any]] = {
            "DistributeCppCode": declaring.distribute_code,
            "DistributeHeaders": declaring.distribute_headers,
            "DistributeSharedLibs": declaring.distribute_libraries,
            "initialize": declaring.initialize,
        }
        return ours[name](*args, **kwargs)

    return check


def _add_our_module(namespace: Any) -> None:
    experimental = object.__getattribute__(namespace.Experimental, "__dict__").get("Distributed")
    for module in filter(None, (namespace.Distributed, experimental)):
        vars(module).update(Lithops=_our_module())  # of the deprecated module too, without its warning


def _lead_functions_when_read() -> None:
    """Have the functions of ``ROOT.RDF`` know our data frames as soon as somebody reads that name."""
    import ROOT

    facade = type(ROOT)
    original = vars(facade)["RDF"].fget

    def read(self: Any) -> Any:
        namespace = original(self)  # which takes the property away
        _lead_functions(namespace)
        return namespace

    facade.RDF = property(read)


def _lead_functions(namespace: Any) -> None:
    """Have functions of ``ROOT.RDF`` take our data frames, or a Lithops executor; others go on to ROOT's own.

    From now on PyROOT finds that name at once, which it seeks anew at each use, DistRDF's seven times for a histogram.
    """
    import ROOT

    vars(ROOT)["RDF"] = namespace
    for name in ("FromCSV", "FromNumpy", "FromPandas", "FromArrow", "FromSqlite", "FromRNTuple"):
        original = getattr(namespace, name, None)
        setattr(namespace, name, functools.partial(_from, name, original))
    namespace.RunGraphs = functools.partial(_run_apart, namespace.RunGraphs)
    for place, name in ((namespace, "AsRNode"), (namespace, "SaveGraph"), (namespace.Experimental, "AddProgressBar")):
        setattr(place, name, _Function(name, getattr(place, name)))


class _Function:
    """A function, or template, of ROOT's that takes a node: those of our data frames go to ours of the name."""

    def __init__(self, name: str, original: Any) -> None:
        self.__name__, self._original = name, original

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def __getitem__(self, template: Any) -> Any:
        return self._original[template]

    def __call__(self, *args: Any, **given: Any) -> Any:
        if args and type(args[0]).__module__.partition(".")[0] in ("ROOT", __package__) and "lithops" in sys.modules:
            from .graph import functions

            if functions.is_ours(args[0]):
                return functions.FUNCTIONS[self.__name__](*args, **given)
        return self._original(*args, **given)


def _from(name: str, original: Any, *args: Any, executor: Any = None, **given: Any) -> Any:
    """ROOT's function of the name, or with a Lithops executor our data frame of what it reads."""
    if executor is None:
        if original is None:
            raise AttributeError(f"this ROOT was built without ROOT.RDF.{name}")
        return original(*args, **given)
    ours: dict[str, Any] = {key: given.pop(key) for key in ("npartitions", "options") if key in given}
    npartitions, options = keywords(name, ours)
    backend = _backend(executor, options)
    if name == "FromRNTuple":
        return backend.make_dataframe(*args, npartitions=npartitions)
    if original is None or name == "FromSqlite":
        raise PlanError(
            f"{name} does not run in ranges, or not in this ROOT: read it here into arrays, and give these to FromNumpy"
        )
    from .graph import in_memory

    return in_memory.from_root(original, backend, npartitions, args, given)


def _lead_roots_own_class() -> None:
    """Have ``ROOT.ROOT.RDataFrame``, the C++ class, take a Lithops executor: when somebody reads ``ROOT.ROOT``, or now."""
    import ROOT

    facade = type(ROOT)
    if "_cppyy" in vars(ROOT):
        _lead(ROOT.ROOT.RDataFrame)
        return

    def read(self: Any) -> Any:
        del facade.ROOT
        namespace = self.ROOT
        _lead(namespace.RDataFrame)
        return namespace

    facade.ROOT = property(read)


def _lead(frame: Any) -> None:
    plain = frame.__new__

    def make(kind: Any, *args: Any, **kwargs: Any) -> Any:
        if _is_lithops(kwargs.get("executor")):
            return RDataFrame(*args, **kwargs)
        return plain(kind, *args, **kwargs)

    frame.__new__ = staticmethod(make)


def _our_module() -> types.ModuleType:
    """``ROOT.RDF.Distributed.Lithops``, the explicit spelling that Dask and Spark have too."""
    module = types.ModuleType("ROOT.RDF.Distributed.Lithops", "RDataFrame on a Lithops executor.")
    module.RDataFrame = RDataFrame  # type: ignore[attr-defined]
    return module


def _with_our_module(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def build(parentmodule: Any) -> Any:
        built = original(parentmodule)
        built.Lithops = _our_module()
        return built

    return build


def _is_lithops(executor: Any) -> bool:
    if "lithops" not in sys.modules:
        return False
    from .executor import registry

    return registry.is_executor(executor)


def _dispatching(ours: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
    def dispatch(*args: Any, **kwargs: Any) -> Any:
        return (ours if _is_lithops(kwargs.get("executor")) else original)(*args, **kwargs)

    return dispatch


def _dispatching_named(keyword: str, original: Callable[..., Any]) -> Callable[..., Any]:  # decision 320
    """A constructor that has another scheduler's name: a Lithops executor says where it runs, also under the ``keyword``
    that ROOT has given up."""

    def dispatch(*args: Any, **kwargs: Any) -> Any:
        if _is_lithops(kwargs.get(keyword)) and kwargs.get("executor") is None:
            warnings.warn(f"{keyword}= is ROOT's old keyword: give the executor as executor=", FutureWarning, stacklevel=3)
            kwargs["executor"] = kwargs.pop(keyword)
        return (RDataFrame if _is_lithops(kwargs.get("executor")) else original)(*args, **kwargs)

    return dispatch


def RDataFrame(*args: Any, executor: Any = None, **given: Any) -> Any:  # ROOT's name
    """A ROOT RDataFrame whose event loop runs on a Lithops executor.

    ``args`` are those of ``ROOT.RDataFrame``: a number of entries; a tree's name and a file, glob or list of files; a
    TTree or TChain; an RDatasetSpec. Keywords: ``npartitions``, the number of ranges to cut the dataset into (1 or
    more; None: one per worker), and ``options``, an :class:`~rdf_lithops.Options` or a dictionary of its fields. Raises
    TypeError for an unknown keyword or a foreign executor, PlanError for values out of bounds.
    """
    npartitions, options = keywords("RDataFrame", given)
    return _backend(executor, options).make_dataframe(*_names_listed(args), npartitions=npartitions)


def _names_listed(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a constructor's arguments with file names that a generator, a tuple or pathlib gives as texts and a list."""
    if len(args) < 2 or not isinstance(args[0], str):
        return args
    files = args[1]
    if isinstance(files, os.PathLike):
        files = os.fspath(files)
    elif isinstance(files, (tuple, list, set, frozenset, types.GeneratorType, map, filter)):
        files = [os.fspath(name) if isinstance(name, os.PathLike) else name for name in files]
    return (args[0], files, *args[2:])


def _from_spec(jsonfile: str, *, executor: Any, **given: Any) -> Any:
    """A Lithops-run RDataFrame of the dataset that the JSON specification in the file ``jsonfile`` describes."""
    npartitions, options = keywords("FromSpec", given)
    backend = _backend(executor, options)
    import ROOT

    from .dataset import names

    with names.expanded_spec(jsonfile) as path:
        spec = ROOT.Internal.RDF.RetrieveSpecFromJson(path)
    return backend.make_dataframe(spec, npartitions=npartitions)


def keywords(function: str, given: dict[str, Any]) -> tuple[int | None, Any]:
    """``npartitions`` and ``options`` of a call of ``function``, both checked, and nothing else."""
    unknown = sorted(set(given) - {"npartitions", "options"})
    if unknown:
        raise TypeError(f"{function} got unknown keywords {unknown}; known are executor, npartitions, options")
    npartitions = plain(given.get("npartitions"))
    if npartitions is not None:
        if isinstance(npartitions, bool) or not isinstance(npartitions, int):
            raise TypeError(f"npartitions must be an integer, got {npartitions!r}")
        if npartitions < 1:
            raise PlanError(f"npartitions must be 1 or more, got {npartitions}")
    Options.read(given.get("options"))
    return npartitions, given.get("options")


def _backend(executor: Any, given: Any) -> Any:
    """A back end on ``executor``. The session comes first: its ROOT process starts while this one initialises its own."""
    if not _is_lithops(executor):
        raise TypeError(f"executor must be a lithops.FunctionExecutor, got {type(executor).__name__}: {executor!r}")
    from .executor import registry

    options = registry.options_of(executor, given)
    registry.session_for(executor, options)
    from .graph.backend import LithopsBackend

    return LithopsBackend(executor, options)


def _run_graphs(original: Callable[..., Any]) -> Callable[..., Any]:
    def run_graphs(proxies: Iterable[Any]) -> int:
        handles = list(proxies)
        if handles and "lithops" in sys.modules:
            from .graph import functions, graphs

            if any(functions.is_ours(handle) for handle in handles):
                return graphs.run_graphs(handles, original)
        return int(original(handles))

    return run_graphs


def _run_apart(original: Callable[..., Any], handles: Iterable[Any]) -> int:
    """ROOT's RunGraphs, for handles of local data frames and of distributed ones side by side, which it takes for all of
    the first one's kind."""
    given = list(handles)
    distributed = [handle for handle in given if "_distrdf" in type(handle).__module__]
    local = [handle for handle in given if "_distrdf" not in type(handle).__module__]
    if not distributed or not local:
        return int(original(given))
    for handle in local:
        if "RResult" not in type(handle).__name__:
            raise PlanError(f"RunGraphs: expected results, as Count() and Histo1D(...) return them, got {handle!r}")
    return int(original(distributed)) + int(original(local))
