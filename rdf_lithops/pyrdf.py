"""PyRDF's spelling of this package, and a back end that plugs into the original PyRDF package. A leaf: nothing imports it.

A PyRDF 0.2.1 program changes its import, and says ``use("lithops", conf)`` where it said ``use("spark", conf)``::

    import rdf_lithops.pyrdf as PyRDF

    PyRDF.use("lithops", {"npartitions": 8, "lithops": "configs/localhost.yaml"})
    df = PyRDF.RDataFrame("Events", files)

A program that keeps the original package gives it a back end, in the way of its generation::

    PyRDF.current_backend = backend_for(PyRDF, conf)                      # 0.1.0 to 0.2.1
    df = backend_for(PyRDF, conf).make_dataframe("Events", files)         # its master, and the branch after it
"""

from __future__ import annotations

import copy
import importlib
import inspect
import itertools
import logging
import os
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import cloudpickle
import lithops
import ROOT

from . import registration
from .errors import PayloadError, PlanError, RunError
from .executor import payload, registry
from .options import Options
from .worker.root import graphs

__all__ = [
    "RDataFrame",
    "backend_for",
    "create_logger",
    "include_headers",
    "include_shared_libraries",
    "initialize",
    "send_generic_files",
    "use",
]

CONF_KEYS = ("lithops", "npartitions", "options")
LIBRARY_ENDINGS = (".so", ".dll", ".dylib")


@dataclass(frozen=True)
class _Conf:
    """A checked ``conf``; ``lithops`` is a configuration, a file's name, an executor, or None for Lithops' own default."""

    lithops: Any
    npartitions: int | None
    options: Options | dict[str, Any] | None

    @classmethod
    def read(cls, given: dict[str, Any] | None) -> _Conf:
        given = {} if given is None else given
        if not isinstance(given, dict):
            raise PlanError(f"conf must be a dictionary with keys of {list(CONF_KEYS)}, got {given!r}")
        unknown = sorted(set(given) - set(CONF_KEYS))
        if unknown:
            raise PlanError(f"unknown keys {unknown} in conf; known are {list(CONF_KEYS)}")
        npartitions, options = registration.keywords("use", {key: given[key] for key in given if key != "lithops"})
        return cls(given.get("lithops"), npartitions, options)


_executors: list[tuple[Any, Any]] = []  # (what conf said, the executor that was made of it)
_chosen: _Conf | None = None  # None: local


def _executor(wanted: Any) -> Any:
    """The Lithops executor that ``wanted`` describes; the same one for the same description, as ROOT stays warm in it."""
    if isinstance(wanted, lithops.FunctionExecutor):
        return wanted
    for described, executor in _executors:
        if described == wanted:
            return executor
    if wanted is None or isinstance(wanted, dict):
        made = lithops.FunctionExecutor(config=copy.deepcopy(wanted))
    elif isinstance(wanted, (str, os.PathLike)):
        made = lithops.FunctionExecutor(config_file=os.fspath(wanted))
    else:
        kind = type(wanted).__name__
        raise PlanError(f"conf['lithops'] must be a Lithops configuration, the name of its file or an executor, got {kind}")
    _executors.append((copy.deepcopy(wanted), made))
    return made


# -- PyRDF's functions ------------------------------------------------------------------------------------------------


def use(backend_name: str, conf: dict[str, Any] | None = None) -> None:
    """Choose where data frames that are made from now on run: "lithops" or "local"; before any call it is "local".

    ``conf`` may hold ``npartitions``, ``lithops`` (a Lithops configuration, the name of its file, or an executor; without
    it, what Lithops finds by itself) and ``options`` (:class:`~rdf_lithops.Options` or a dictionary of its fields). It is
    not changed. Raises PlanError for another name, an unknown key or a value out of bounds.
    """
    global _chosen
    if backend_name not in ("lithops", "local"):
        hint = "; ROOT itself runs on Spark and Dask: ROOT.RDataFrame(..., executor=SparkContext or dask Client)"
        raise PlanError(f"expected the back end 'lithops' or 'local', got {backend_name!r}{hint}")
    checked = _Conf.read(conf)
    _chosen = None if backend_name == "local" else checked


def RDataFrame(*args: Any) -> Any:  # PyRDF's name
    """A data frame on the chosen back end, from what PyRDF and ROOT take.

    A number of entries; a tree's name and a file, glob, list or vector of files, or directory; a TTree or TChain; each of
    those with a tree may be followed by the default branches.
    """
    if _chosen is None:
        return ROOT.RDataFrame(*args)
    executor = _executor(_chosen.lithops)
    return registration.RDataFrame(*args, executor=executor, npartitions=_chosen.npartitions, options=_chosen.options)


def initialize(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Call ``fun`` with its arguments here and now, and once in each ROOT process before its first range."""
    ROOT.RDF.Distributed.initialize(fun, *args, **kwargs)


def include_headers(headers_paths: str | Iterable[str]) -> None:
    """Include C++ headers, given by file or folder, here and in each ROOT process. PayloadError for a missing one."""
    ROOT.RDF.Distributed.DistributeHeaders(_existing("header", headers_paths))


def include_shared_libraries(shared_libraries_paths: str | Iterable[str]) -> None:
    """Load libraries, given by file or folder, here and in each ROOT process, with the pcm files that lie beside them.
    PayloadError for a missing one."""
    ROOT.RDF.Distributed.DistributeSharedLibs(_existing("shared library", shared_libraries_paths))


def send_generic_files(files_paths: str | Iterable[str]) -> None:
    """Have files, or all files of a folder, with each range: below the folder that RDF_LITHOPS_FILES names there."""
    ROOT.RDF.Distributed.DistributeFiles(_existing("file", files_paths))


def create_logger(level: str = "WARNING", log_path: str | None = "./PyRDF.log") -> logging.Logger:
    """Show this package's messages of ``level`` and above on standard output, and in the file ``log_path`` if there is
    one. Called again, it replaces what it set up before."""
    logger = logging.getLogger(__package__)
    for handler in [handler for handler in logger.handlers if handler.get_name() == __name__]:
        logger.removeHandler(handler)
        handler.close()
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout)]
    handlers += [logging.FileHandler(log_path)] if log_path else []
    for handler in handlers:
        handler.set_name(__name__)
        handler.setFormatter(logging.Formatter("%(levelname)s: %(name)s[%(asctime)s]: %(message)s"))
        logger.addHandler(handler)
    logger.setLevel(level)
    return logger


def _existing(kind: str, paths: str | Iterable[str]) -> list[str]:
    listed = [paths] if isinstance(paths, str) else list(paths)
    for path in listed:
        if not os.path.exists(path):
            raise PayloadError(f"{kind} {path}", f"there is no such file or folder ({os.path.abspath(path)})")
    return listed


# -- a back end for the original package ------------------------------------------------------------------------------


def backend_for(package: ModuleType, conf: dict[str, Any] | None = None) -> Any:
    """A back end for ``package``, the original PyRDF of any generation; ``conf`` as in :func:`use`.

    The package is not changed, and need not be where the ranges run. TypeError for a package that is something else.
    """
    base = _base_class(package)
    first_generation = base.__name__ == "Dist"
    # the name means "send these" in the first generation, and is the user's own function in the later ones
    renamed = {"distribute_files": _OriginalBackend.distribute_unique_paths} if first_generation else {}
    cloudpickle.register_pickle_by_value(package)
    backend = type("LithopsBackend", (_OriginalBackend, base), renamed)()
    backend._set_up(package, _Conf.read(conf))
    return backend


def _base_class(package: ModuleType) -> Any:
    for module, name in (("backend.Dist", "Dist"), ("Backends.Dist", "DistBackend"), ("Backends.Base", "BaseBackend")):
        try:
            return getattr(importlib.import_module(f"{package.__name__}.{module}"), name)
        except ModuleNotFoundError:
            continue
    raise TypeError(f"expected the package PyRDF of github.com/vepadulano/PyRDF, got {package!r}")


class _OriginalBackend:
    """What a back end of the original package has to do, in front of that package's own base class."""

    def _set_up(self, package: ModuleType, conf: _Conf) -> None:
        from .graph.backend import LithopsBackend

        self._package = package
        executor = _executor(conf.lithops)
        self._lithops = LithopsBackend(executor, registry.options_of(executor, conf.options))
        self._wanted = conf.npartitions or self._lithops.optimize_npartitions()
        self._sent: set[str] = set()
        self._head: Any = None
        self.npartitions = self._wanted

    @property
    def nentries(self) -> int:
        """Entries of the dataset that is run; PlanError for 0, of which PyRDF makes a local run from then on."""
        return self._entries

    @nentries.setter
    def nentries(self, entries: int) -> None:
        if not entries:
            raise PlanError("expected a dataset with entries, got one without")
        self._entries = entries

    def make_dataframe(self, *args: Any, **given: Any) -> Any:
        """A data frame of the later generations, which runs here; ``npartitions`` is its own."""
        given.setdefault("npartitions", self._wanted)
        frame = importlib.import_module(f"{self._package.__name__}.DataFrame").DistDataFrame
        head = importlib.import_module(f"{self._package.__name__}.Node").HeadNode
        if hasattr(head, "build_ranges"):
            return frame(head(*args), self, **given)
        own = copy.copy(self)  # this generation keeps npartitions in the back end
        own._wanted = given["npartitions"]
        return frame(own, *args, **given)

    def distribute_unique_paths(self, paths: Iterable[str]) -> None:
        """Remember ``paths``: they travel in the payload of a run."""
        self._sent.update(paths)

    def execute(self, generator: Any) -> None:
        """Compute what of the graph has no value yet.

        PyRDF goes by the truth of a value: it would compute a result of 0, and each AsNumpy and Snapshot, again.
        """
        nodes = generator.get_action_nodes()
        for node in nodes:
            node.has_user_references &= node.value is None  # without references a node is pruned
        if any(node.has_user_references for node in nodes):
            self._head = getattr(generator, "headnode", None) or generator.head_node
            with self._initialised_by_the_payload():
                super().execute(generator)  # type: ignore[misc]  # PyRDF's base class

    def ProcessAndMerge(self, *given: Any) -> Any:  # PyRDF's name
        """Run ``mapper`` over the ranges, which are given or (older generations) built here; returns the merged list."""
        *ranges, mapper, reducer = given
        runner = self._lithops
        headers = set(getattr(self, "headers", ())) | set(getattr(self._package, "includes_headers", ()))
        runner.headers = headers
        runner.shared_libraries = {path for path in self._sent if path.endswith(LIBRARY_ENDINGS)}
        runner.pcms = {path for path in self._sent if path.endswith(".pcm")}
        runner.files = self._sent - headers - runner.shared_libraries - runner.pcms
        runner.strings_to_declare = {}
        pickled = payload.dumps(mapper)
        aligned = self._aligned(ranges[0] if ranges else self._build(), counts_entries=b"rdfentry_" in pickled)
        return _with_parts_here(runner.ProcessAndMerge(aligned, _afresh(pickled), reducer))

    def _build(self) -> list[Any]:
        """The older generations' ranges. They lower npartitions for a small dataset, and would keep it for the next."""
        self.npartitions = self._wanted
        build: Any = self.build_ranges  # type: ignore[attr-defined]  # PyRDF's base class
        return list(build(self.npartitions) if inspect.signature(build).parameters else build())

    def _aligned(self, ranges: list[Any], *, counts_entries: bool) -> list[Any]:
        """The ranges; if entry numbers matter, because of friends or as ``counts_entries`` says, then counted in the
        whole dataset instead of from their own first file. PlanError for what PyRDF would silently get wrong."""
        if not ranges:
            raise PlanError("expected a dataset with entries, got one without")
        files = _all_files(ranges)
        friends = getattr(ranges[0], "friend_info", None)
        _refuse_what_is_lost(self._head, files, friends)
        if not files or not (friends or counts_entries):
            return ranges
        edges = [0, *itertools.accumulate(int(item.end) - int(item.start) for item in ranges)]
        return [
            SimpleNamespace(start=start, end=end, filelist=files, friend_info=friends)
            for start, end in itertools.pairwise(edges)
        ]

    @contextmanager
    def _initialised_by_the_payload(self) -> Iterator[None]:
        """Take the user's ``initialize`` out of PyRDF's mapper, which calls it for each range: the payload does it once."""
        base = next(kind for kind in type(self).__mro__ if "initialization" in vars(kind))
        users = vars(base)["initialization"]
        self._lithops.initialization = base.initialization  # type: ignore[attr-defined]
        base.initialization = staticmethod(graphs.no_initialisation)  # type: ignore[attr-defined]
        try:
            yield
        finally:
            base.initialization = users  # type: ignore[attr-defined]


def _afresh(pickled_mapper: bytes) -> Callable[[Any], Any]:
    """The mapper, unpickled for each range: PyRDF's keep state in their graph (a Snapshot's file name grows)."""

    def run(one_range: Any) -> Any:  # a nested function travels by value: workers need not import this module
        return pickle.loads(pickled_mapper)(one_range)

    return run


def _all_files(ranges: list[Any]) -> list[str]:
    """The dataset's files in order: a range that starts within a file shares it with the range before."""
    files: list[str] = []
    for item in ranges:
        listed = [str(name) for name in item.filelist or ()]
        files += listed[1:] if item.start > 0 and files else listed
    return files


def _refuse_what_is_lost(head: Any, files: list[str], friends: Any) -> None:
    """PlanError for what PyRDF drops between the user's dataset and its ranges."""
    given = head.get_inputfiles()
    listed = [] if given is None or isinstance(given, str) else [str(name) for name in given]
    if files and _repeats(listed) > _repeats(files):
        raise PlanError("this PyRDF reads a file that is listed twice in a row once; use rdf_lithops.pyrdf.RDataFrame")
    tree = head.args[0]
    if not isinstance(tree, ROOT.TTree):
        return
    for friend in tree.GetListOfFriends() or ():
        name, real = str(friend.GetName()), str(friend.GetTree().GetName())
        if not friends or name != real or friend.GetTree().GetTreeIndex():
            lost = "friend trees" if not friends else "the index" if name == real else f"the alias {name!r}"
            raise PlanError(f"this PyRDF loses {lost} of a dataset (friend {real!r}); use rdf_lithops.pyrdf.RDataFrame")
    if tree.GetEntryList():
        raise PlanError("PyRDF loses the entry list of a tree; use a Filter")


def _repeats(files: list[str]) -> int:
    return sum(first == second for first, second in itertools.pairwise(files))


def _with_parts_here(values: list[Any]) -> list[Any]:
    """``values``, of which the lists are names of a Snapshot's parts; RunError for a part that cannot be read from here."""
    for part in (name for value in values if isinstance(value, list) for name in value):
        if "://" not in part and not os.path.exists(part):
            raise RunError(
                f"the Snapshot part {part} is not to be seen from here",
                why="it lies on the disk of the machine that wrote it",
                next_command="Snapshot to a folder that the workers share with this machine, or to root://",
            )
    return values
