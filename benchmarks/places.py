"""Where a workload can run: each place as a user would set it up, on the cores of this machine.

A place is a context manager that takes the number of cores and gives an ``Opened``: how to make a data frame there, and
what it can tell of its last run. It imports what it needs when it is opened, as part of what is measured.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["KEPT", "PLACES", "Opened", "Place", "Source"]

KEPT = "rdf_lithops_kept"
LOCALHOST_CONFIG = Path(__file__).resolve().parent.parent / "configs" / "localhost.yaml"


@dataclass(frozen=True)
class Source:
    """The arguments of ``ROOT.RDataFrame``, and how they are cut: ``ranges`` in all, ``ranges_per_call`` in a Lithops call
    of ours (None: one call per core)."""

    args: list[Any]
    ranges: int
    ranges_per_call: int | None = None


@dataclass(frozen=True)
class Opened:
    """A place that is up: ``frame`` makes a new data frame, ``facts`` are the place's own seconds of its last run."""

    frame: Callable[[Source], Any]
    facts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """A place by the name that tables give it. ``kept``: an earlier program has been there, and left it warm.
    ``forgets_cpu``: the seconds of its workers are lost when they end, and look as if somebody else had spent them.
    ``learns``: what it compiles it keeps for later programs, which are those that are measured."""

    label: str
    open: Callable[[int], AbstractContextManager[Opened]]
    kept: bool = False
    forgets_cpu: bool = False
    learns: bool = False


@contextmanager
def _one_thread(cores: int) -> Iterator[Opened]:
    import ROOT

    yield Opened(lambda source: ROOT.RDataFrame(*source.args))


@contextmanager
def _implicit_mt(cores: int) -> Iterator[Opened]:
    import ROOT

    ROOT.EnableImplicitMT(cores)
    yield Opened(lambda source: ROOT.RDataFrame(*source.args))


@contextmanager
def _dask(cores: int) -> Iterator[Opened]:
    import ROOT
    from dask.distributed import Client, LocalCluster

    workers = {"n_workers": cores, "threads_per_worker": 1, "processes": True}
    with LocalCluster(**workers, dashboard_address=None) as cluster, Client(cluster) as client:
        yield Opened(lambda source: ROOT.RDataFrame(*source.args, executor=client, npartitions=source.ranges))


@contextmanager
def _spark(cores: int) -> Iterator[Opened]:
    import ROOT
    from pyspark import SparkConf, SparkContext

    conf = SparkConf().setMaster(f"local[{cores}]").set("spark.ui.enabled", "false")
    conf.set("spark.driver.host", "127.0.0.1").set("spark.driver.bindAddress", "127.0.0.1")
    with SparkContext(conf=conf) as context:
        yield Opened(lambda source: ROOT.RDataFrame(*source.args, executor=context, npartitions=source.ranges))


@contextmanager
def _naive(cores: int) -> Iterator[Opened]:
    import lithops

    from .naive import NaiveLithopsBackend

    with lithops.FunctionExecutor(config_file=str(LOCALHOST_CONFIG)) as executor:
        yield Opened(lambda source: NaiveLithopsBackend(executor).make_dataframe(*source.args, npartitions=source.ranges))


@contextmanager
def _rdf_lithops(cores: int, **options: Any) -> Iterator[Opened]:
    import lithops
    import ROOT
    import yaml

    import rdf_lithops  # noqa: F401  # registers Lithops executors with ROOT

    config = {**yaml.safe_load(LOCALHOST_CONFIG.read_text()), "rdf_lithops": options}
    with lithops.FunctionExecutor(config=config) as executor:
        latest = _LatestFacts()

        def frame(source: Source) -> Any:
            options = {"ranges_per_call": source.ranges_per_call}
            found = ROOT.RDataFrame(*source.args, executor=executor, npartitions=source.ranges, options=options)
            found._headnode.backend.consumers = (latest.note,)
            return found

        yield Opened(frame, latest)


class _LatestFacts(dict[str, float]):
    """Of the seconds that each call of the last run reports, the largest."""

    def note(self, event: Any) -> None:
        """Note ``event``."""
        kind = type(event).__name__
        if kind == "RunBegan":
            self.clear()
        elif kind == "CallEnded":
            self.update({name: max(self.get(name, 0.0), event.facts.get(name, 0.0)) for name in ("compile_s", "loop_s")})


PLACES = {
    "one_thread": Place("one thread", _one_thread),
    "implicit_mt": Place("implicit MT", _implicit_mt),
    "dask": Place("Dask", _dask),
    "spark": Place("Spark", _spark, forgets_cpu=True),  # pyspark's daemon ignores SIGCHLD
    "naive": Place("naive Lithops", _naive),
    "rdf_lithops": Place("rdf_lithops", _rdf_lithops, learns=True),
    KEPT: Place("- kept warm", functools.partial(_rdf_lithops, keep_warm=True), kept=True),
}
